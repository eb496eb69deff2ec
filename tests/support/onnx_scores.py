"""The scores of a model's two ONNX forms, the whole sequence and one step, against those
expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

import srnn


def check_onnx(
    model: srnn.Model, x: np.ndarray, expected: np.ndarray, lengths: Iterable[int], tolerance: float
) -> None:
    """Compare with the scores after each step of x, ``expected`` (T, classes), within
    ``tolerance``.

    ``lengths``: the prefixes of x that are read as whole sequences. Skips where onnxruntime is not
    installed.
    """
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from srnn.deploy.export import onnx as exported

    net = model.spiking("exported")
    state = exported.state_arrays(net, net.initial_state(1))
    whole = exported.to_model(net, "sequence", decision=model.decision)
    for length in lengths:
        (scores,) = exported.start(whole).run(["scores"], {"x": x[None, :length], **state})
        ending = expected[:length] if model.decision.per_step else expected[length - 1]
        np.testing.assert_allclose(scores[0], ending, atol=tolerance)
    stepwise = exported.to_model(net, "step", decision=model.decision)
    session, inputs = exported.start(stepwise), state | exported.decision_arrays(stepwise, 1)
    for step, row in enumerate(x):
        names = ["scores", *(f"{name}.next" for name in inputs)]
        scores, *after = session.run(names, {"x": row[None], **inputs})
        inputs = dict(zip(inputs, after, strict=True))
        np.testing.assert_allclose(scores[0], expected[step], atol=tolerance)


def run_onnx(net: Any, form: Any, x: torch.Tensor, state: Any) -> tuple[Any, list[dict[str, Any]]]:
    """The output (B, T, outputs) of a network's model, and its states after each call: of one step,
    or of the sequence."""
    from srnn.deploy.export import onnx as exported

    session, arrays = (
        exported.start(exported.to_model(net, form)),
        exported.state_arrays(net, state),
    )
    outputs, states = [], []
    for part in x.unbind(1) if form == "step" else [x]:
        y, arrays = exported.advance(session, np.ascontiguousarray(part.numpy()), arrays)
        outputs.append(y)
        states.append(arrays)
    return np.stack(outputs, 1) if form == "step" else outputs[0], states
