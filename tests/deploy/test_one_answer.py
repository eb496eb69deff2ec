"""One property: whatever reads a finite recording says the same of it, whole, in blocks or on a
device.

It holds for every rule, one of one's own and values, and for random networks and recordings:
answer, confidence, and where an answer stands before the end.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn import SRNN, SrnnError
from srnn.data.targets import Targets
from srnn.deploy.export.model import with_exit
from srnn.deploy.streaming import Decisions, Decoder
from srnn.measure.policy import ExitPolicy
from srnn.nn.decision import RULES, Rule, softmax
from srnn.nn.fixedpoint.decision import (
    integer_confidences,
    integer_scales,
    integer_scores,
    integer_stands,
    integer_values,
)
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from support.compiled import compilers
from support.deciding import LEAKY, decided
from support.everywhere import devices
from support.graded import BoundedALIF
from support.onnx_scores import check_onnx

pytestmark = pytest.mark.filterwarnings("ignore:Layers run on the slow reference backend")

INPUTS, NAMES = 4, "abcd"
LAYERS = (("alif",), (BoundedALIF.name,), ("lif", "adlif"), (BoundedALIF.name, "alif"))
"""Each is compiled; what is drawn beside is not."""
LEAKY_SOFT = Rule("leaky mean of softmax(output)", counted=softmax, joined=LEAKY.joined)
OWN = {
    "leaky": LEAKY,
    "leaky softmax": LEAKY_SOFT,
}
KINDS = [*RULES, *OWN]


def drawn(rng: np.random.Generator, readout: str, **options: Any) -> SRNN:
    """A network of random layers, most of whose neurons spike."""
    neurons = LAYERS[int(rng.integers(len(LAYERS)))]
    depth = len(neurons)
    recurrent = rng.choice([True, False], depth).tolist()
    delays = [None, {"input": 2}, {"recurrent": "uniform(0, 3)"}]
    hidden = rng.integers(5, 12, depth).tolist()
    net = SRNN.paper(
        INPUTS,
        hidden,
        len(NAMES),
        neuron=list(neurons),
        readout=readout,
        recurrent=recurrent,
        delays=[delays[int(rng.integers(3))] for _ in range(depth)],
        generator=torch.Generator().manual_seed(int(rng.integers(2**31))),
        **options,
    )
    with torch.no_grad():
        for layer in [*net.layers, net.readout]:
            layer.weight_in *= 6
            layer.bias.normal_(0.3, 0.3, generator=torch.Generator().manual_seed(depth))
    return net.eval()


def fits(net: SRNN) -> bool:
    """Whether its classes vary, in int8, too, whose sums graded values may exceed."""
    x = recordings(0)[-1][None]
    with torch.no_grad():
        outputs = [net.run(torch.from_numpy(x)).output[0].numpy()]
    if net.substeps == 1:
        try:
            outputs.append(
                quantise(device_network(net), InputFormat()).run(x.astype(int)).output[0]
            )
        except SrnnError:
            return False
    return all(len(np.unique(output.argmax(-1))) > 1 for output in outputs)


def model_of(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> srnn.Model:
    """A random network that decides by a rule, with an exit policy where its sequences have a
    class."""
    rng = np.random.default_rng([seed, *kind.encode()])
    name: Any = kind
    if kind in OWN:
        name = "nll" if OWN[kind].per_step else "ce_last"
        monkeypatch.setitem(RULES, name, OWN[kind])
    readout, start = "integrator", int(rng.integers(0, 6))
    if name == "ce_spike_count":
        readout = "spike_count"
    net = drawn(rng, readout, **options)
    while not fits(net):
        net = drawn(rng, readout, **options)
    targets = None
    if RULES[name].value and seed % 2 == 0:  # otherwise the outputs themselves are the values
        mean, std = rng.normal(0, 100, INPUTS), np.exp(rng.normal(0, 5, INPUTS))
        targets = Targets((None,) * len(NAMES), tuple(mean.tolist()), tuple(std.tolist()))
    model = srnn.from_network(net, NAMES, loss=name, start=start, targets=targets)
    if RULES[name].per_step or RULES[name].value:
        return model
    confidence, earliest = float(rng.choice([0.25, 0.3, 0.4])), int(rng.integers(1, 7))
    margin, patience = float(rng.choice([0.0, 0.02])), int(rng.integers(1, 4))
    policy = ExitPolicy(name, start, confidence, margin, patience, earliest)
    return replace(model, policy=policy.to_dict())


def recordings(seed: int) -> list[np.ndarray]:
    """Of one step, of few, and of many."""
    rng = np.random.default_rng(seed)
    lengths = (1, int(rng.integers(2, 8)), int(rng.integers(30, 60)))
    return [(rng.random((length, INPUTS)) < 0.4).astype(np.float32) for length in lengths]


def blocks(x: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The recording, cut anywhere."""
    cuts = np.sort(rng.integers(0, len(x) + 1, int(rng.integers(0, 6))))
    return np.split(x, cuts)


def streamed(decoder: Decoder, parts: list[np.ndarray]) -> Decisions:
    session = decoder.open_finite()
    return Decisions.joined([*map(session.push, parts), session.finish()])


def output_of(model: srnn.Model, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.spiking("run").run(torch.from_numpy(x)[None]).output[0].numpy()


def scale_of(model: srnn.Model) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of its values; 0 and 1 of class scores."""
    targets = model.task.targets or Targets((None,) * len(NAMES))
    return targets.scale


def check_python(model: srnn.Model, x: np.ndarray, seed: int) -> Any:
    """Whole and in blocks, with and without the policy. Returns the whole's prediction."""
    rule, start = model.decision.loss.rule, model.decision.loss.start
    whole: Any = model.predict(x)
    output = output_of(model, x)
    expected = decided(rule, start, output.astype(float))
    if not rule.per_step:
        scores = model.loss.scores(torch.from_numpy(output)[None])[0].numpy()
        np.testing.assert_allclose(scores, expected[-1], atol=1e-5)
    mean, std = scale_of(model)
    expected = mean + std * expected
    np.testing.assert_allclose(whole.scores / std, expected / std, atol=1e-9)

    rng, decoder = np.random.default_rng(seed), Decoder.of(model)
    parts = streamed(decoder, blocks(x, rng))
    for ours, theirs in zip(parts, streamed(decoder, blocks(x, rng)), strict=True):
        if len(ours) == len(
            theirs
        ):  # else the last step was known before the end, and is told again
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(parts.scores[: len(x)] / std, expected / std, atol=1e-5)
    np.testing.assert_allclose(parts.scores[-1] / std, expected[-1] / std, atol=1e-5)
    assert parts.final[-1] or rule.per_step
    believed = decoder.probabilities(parts.scores)
    np.testing.assert_allclose(believed[: len(x)], whole.probabilities, atol=1e-5)
    if rule.value:
        np.testing.assert_array_equal(
            whole.value, whole.scores if rule.per_step else whole.scores[-1]
        )
    elif not rule.per_step:
        np.testing.assert_allclose(believed[-1, whole.number], whole.confidence, atol=1e-5)
        assert parts.winners[-1] == whole.number
    policy = ExitPolicy.of(model)
    if policy is not None:
        found = policy.decide(output)
        early = streamed(Decoder.of(model, policy=policy), blocks(x, rng))
        assert (early.steps[-1], early.winners[-1]) == (found.steps, found.winners)
        assert early.final[-1]
    return whole


def check_devices(
    model: srnn.Model, xs: list[np.ndarray], wholes: list[Any], folder: Path, compiler: str
) -> None:
    """float32 C against the prediction; int8 C against the integer model, to the bit."""
    net, decision = model.spiking("exported"), with_exit(model)
    loss, rule = decision.loss, decision.loss.rule
    program = devices(net, decision, folder, compiler)
    small = quantise(device_network(net), InputFormat())
    for x, whole in zip(xs, wholes, strict=True):
        told = program(x)
        outputs = small.run(x[None].astype(int)).output[0]
        np.testing.assert_array_equal(told["outputs"], outputs)
        integers = integer_scores(outputs, small.output_bits, loss)
        if rule.value:
            mean, std = scale_of(model)
            bound = 1e-4 + 1e-6 * np.abs(mean) / std
            assert (np.abs(told["values"] - whole.scores) / std < bound).all()
            scales = integer_scales(decision.targets, small.output_bits, rule)
            if scales:
                integers = integer_values(integers, scales)
            np.testing.assert_array_equal(told["integers"], integers)
            continue
        best = integers.argmax(-1)
        np.testing.assert_array_equal(told["small_label"], best)
        shares = integer_confidences(integers, small.output_bits, loss)
        np.testing.assert_array_equal(told["share"], shares[np.arange(len(x)), best])
        ordered = np.sort(whole.scores, -1)
        clear = ordered[:, -1] - ordered[:, -2] > 1e-4  # no tie, which rounding decides
        np.testing.assert_array_equal(told["label"][clear], whole.numbers[clear])
        np.testing.assert_allclose(told["confidence"], whole.probabilities.max(-1), atol=1e-4)
        if decision.until is not None:
            policy = ExitPolicy.of(model)
            assert policy is not None
            first = policy.decide(told["output"])
            expected = np.flatnonzero(told["stands"])[:1].tolist()
            assert expected == ([int(first.steps)] if first.final else [])
            stands = integer_stands(integers, small.output_bits, loss, decision.until)
            np.testing.assert_array_equal(told["small_stands"], stands)


def check(
    kind: str, seed: int, monkeypatch: pytest.MonkeyPatch, folder: Path, compiler: str
) -> None:
    model, xs = model_of(kind, seed, monkeypatch), recordings(seed)
    wholes = [check_python(model, x, seed) for x in xs]
    check_devices(model, xs, wholes, folder, compiler)
    check_onnx(model, xs[-1], wholes[-1].scores, [len(xs[-1])], 1e-4 * scale_of(model)[1].max())


@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("kind", KINDS)
def test_all_say_the_same(
    kind: str, compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(kind, 0, monkeypatch, tmp_path, compiler)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_all_say_the_same_of_more_networks(
    kind: str, seed: int, compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(kind, seed, monkeypatch, tmp_path, compiler)


@pytest.mark.parametrize("kind", ["ce_mean", "mse_mean"])
def test_of_networks_that_no_device_takes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(kind, 0, monkeypatch, substeps=2)
    for x in recordings(1):
        bound = 1e-4 * scale_of(model)[1].max()
        check_onnx(model, x, check_python(model, x, 0).scores, [len(x)], bound)
