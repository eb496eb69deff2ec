"""A finite recording has one answer, whole and in pieces: that of its loss."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import srnn
from srnn import SRNN
from srnn.deploy.streaming import Decisions

LOSSES = ["ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count", "ce_steps", "nll"]


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=15)
@given(st.integers(1, 60), st.integers(0, 20), st.integers(0, 99), st.lists(st.floats(0, 1)))
def test_a_finite_recording_has_one_answer(
    loss: str, length: int, start: int, seed: int, cuts: list[float]
) -> None:
    """A stream began a new sequence after as many steps as training's had, and the few steps after
    that gave the answer."""
    readout: Any = "spike_count" if loss == "ce_spike_count" else "integrator"
    rng = torch.Generator().manual_seed(seed)
    net = SRNN(3, [12], 4, "alif", readout, generator=rng, norm="none").double()
    with torch.no_grad():
        for layer in (net.layers[0], net.readout):
            layer.weight_in *= 4  # type: ignore[operator]
    x = (np.random.default_rng(seed).random((length, 3)) < 0.4).astype(np.float32)
    model = srnn.from_network(net, "abcd", loss=loss, start=start, steps=15)  # type: ignore[arg-type]
    whole: Any = model.predict(x)
    session = model.stream()
    places = [0, *sorted(round(cut * length) for cut in cuts), length]
    parts = [session.push(x[a:b]) for a, b in itertools.pairwise(places)]
    known = Decisions.joined([*parts, session.finish()])
    assert not known.final[:-1].any() and (known.final[-1] or loss == "nll")
    believed = session.decoder.probabilities(known.scores)
    np.testing.assert_allclose(known.scores[:length], whole.scores, atol=1e-9)
    np.testing.assert_allclose(believed[:length], whole.probabilities, atol=1e-9)
    if loss != "nll":
        np.testing.assert_allclose(believed[-1].max(), whole.confidence, atol=1e-9)
        scores = model.loss.scores(net.run(torch.from_numpy(x).double()[None]).output)
        np.testing.assert_allclose(scores[0].detach().numpy(), whole.scores[-1], atol=1e-9)
