"""A trained network decides the same wherever it is exported to, without its data: as its loss
scores it, in C, int8 and ONNX."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import srnn
from srnn import SRNN
from srnn.cli.main import main
from srnn.deploy.c.plan import make_plan
from srnn.deploy.streaming import Decisions
from srnn.measure.scores import running_scores
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from srnn.training.runs import Run
from support.compiled import build, compilers
from support.runs import make_run

KINDS = {
    "every step": (
        "ecg",
        ("--network.neuron.threshold=0.2",),
    ),  # spikes, though it was never trained
    "mean": ("digits", ()),
    "softmax": ("digits", ("--loss.name=ce_sum_softmax", "--loss.start=5")),
}


@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize(
    "kind", ["every step", "mean", pytest.param("softmax", marks=pytest.mark.slow)]
)
def test_the_same_label_everywhere(
    kind: str,
    compiler: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """int8 had to be told --inputs where training data were missing; the C ended with outputs of
    single steps."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from srnn.deploy.export import onnx as exported

    recipe, words = KINDS[kind]
    run = make_run(tmp_path / "run", *words, recipe=recipe, inputs_as=InputFormat())
    monkeypatch.setenv("SRNN_DATA", str(tmp_path / "none"))
    trained = Run.open(run).trained()
    net = trained.spiking("exported")
    x = (torch.rand(4, 30, net.inputs, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    state = net.initial_state(len(x), torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = net.run(x, state).output
    per_step = trained.decision.per_step
    labels = trained.loss.scores(output).argmax(-1).numpy()
    loss = trained.recipe.loss
    running = running_scores(output.numpy(), loss.scoring, loss.start).argmax(-1)
    assert (running == labels).all() if per_step else (running[:, -1] == labels).all()
    assert len(set(running.ravel().tolist())) > 1

    csv = "\n".join(
        ",".join(f"{value:g}" for value in row) for row in x.reshape(-1, net.inputs).tolist()
    )
    rule, device = trained.decision, device_network(net)
    for format in ("float32", "int8"):
        out = tmp_path / format
        assert (
            main(
                [
                    "export",
                    "c",
                    str(run),
                    "--out",
                    str(out),
                    "--name",
                    "net",
                    "--format",
                    format,
                    "--json",
                ]
            )
            == 0
        )
        told = json.loads(capsys.readouterr().out)["decision"]
        assert told["classes"] == list(trained.classes) and told["loss"] == rule.loss.name
        small = quantise(device, InputFormat())
        program = build(
            out, make_plan(small if format == "int8" else device, "net", rule), compiler
        )
        shown = [
            line.split("\t")[1]
            for line in program.text("--steps", "30", "--every", given=csv).splitlines()
        ]
        expected = running
        if format == "int8":
            scores = small.run(x.numpy().astype(int)).output / 2.0**small.output_bits
            expected = running_scores(scores, loss.scoring, loss.start).argmax(-1)
            assert (
                expected == running
            ).mean() > 0.7  # untrained, so margins are small; chance is 0.1 to 0.17
        assert shown == [trained.classes[label] for label in expected.ravel()]
    for form in ("step", "sequence"):
        out = tmp_path / f"{form}.onnx"
        assert main(["export", "onnx", str(run), "--out", str(out), "--form", form]) == 0
        model = onnx.load(out)
        session, inputs = exported.start(model), exported.state_arrays(net, state)
        if form == "sequence":
            (found,) = session.run(["scores"], {"x": x.numpy(), **inputs})
            assert (found.argmax(-1) == labels).all()
            continue
        inputs |= exported.decision_arrays(model, len(x))
        for t in range(x.shape[1]):
            names = ["scores", *(f"{name}.next" for name in inputs)]
            found, *after = session.run(
                names, {"x": np.ascontiguousarray(x[:, t].numpy()), **inputs}
            )
            inputs = dict(zip(inputs, after, strict=True))
            assert (found.argmax(-1) == running[:, t]).all()


@pytest.mark.parametrize(
    "loss", ["ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count", "ce_steps", "nll"]
)
@settings(max_examples=15, deadline=None)
@given(
    length=st.integers(1, 60),
    start=st.integers(0, 20),
    seed=st.integers(0, 99),
    cuts=st.lists(st.floats(0, 1)),
)
def test_a_finite_recording_has_one_answer(
    loss: str, length: int, start: int, seed: int, cuts: list[float]
) -> None:
    """A stream began a new sequence after as many steps as training's had, and the few steps after
    that gave the answer."""
    readout: Any = "spike_count" if loss == "ce_spike_count" else "integrator"
    net = SRNN(
        3, [12], 4, "alif", readout, generator=torch.Generator().manual_seed(seed), norm="none"
    ).double()
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
