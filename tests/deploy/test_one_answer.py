"""One property: whatever reads a finite recording says the same of it, whole, in blocks, on a
device, in a page, in another format or without torch.

It holds for every rule, one of one's own, values and alarms, every form of input, and for random
networks and recordings: answer, confidence, and where an answer stands before the end. How many
networks the slow test draws is said by ``SRNN_TEST_NETWORKS``, and from which number on by
``SRNN_TEST_FIRST``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import srnn
from srnn import SRNN, SrnnError
from srnn.data.signals import SpeechPath
from srnn.data.targets import Targets
from srnn.deploy.c.decision import DecisionPlan
from srnn.deploy.export.model import to_onnx, with_exit
from srnn.deploy.export.web import find_compiler
from srnn.deploy.streaming import Decisions, Decoder
from srnn.model.exit_policy import ExitPolicy
from srnn.nn.alarm import Alarm, AnomalyScore
from srnn.nn.decision import RULES
from srnn.nn.fixedpoint.alarm import SCORE_BITS
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import quantise
from support.compiled import SANITIZED, compilers
from support.deciding import decided
from support.everywhere import WithoutTorch, devices, integer_answers, pages
from support.graded import BoundedALIF
from support.onnx_scores import check_onnx
from support.pages_in_node import NODE
from support.random_models import COMPILED, FORMS, KINDS, MORE, OWN, Case, case_of, outputs_of

pytestmark = pytest.mark.filterwarnings("ignore:Layers run on the slow reference backend")
MANY = int(os.environ.get("SRNN_TEST_NETWORKS", "16"))
FIRST = int(os.environ.get("SRNN_TEST_FIRST", "0"))
NOT_IN_NIR = {"silif", "csilif", "brf", "bhrf", "drf", BoundedALIF.name}


def blocks(x: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The recording, cut anywhere."""
    cuts = np.sort(rng.integers(0, len(x) + 1, int(rng.integers(0, 6))))
    return np.split(x, cuts)


def streamed(decoder: Decoder, parts: list[np.ndarray]) -> Decisions:
    session = decoder.open_finite()
    return Decisions.joined([*map(session.push, parts), session.finish()])


def scale_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of its values; 0 and 1 of class scores and alarms."""
    targets = case.model.task.targets
    if targets is None or case.kind == "alarm":
        targets = Targets((None,) * len(case.model.answers))
    return targets.scale


def scored(case: Case, output: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """What outputs (T, outputs) for these steps mean, by definition: (T, answers)."""
    loss, targets = case.model.decision.loss, case.model.task.targets
    output = output.astype(float)
    if targets is not None:
        output = targets.answered(output, steps)
    alarm = Alarm.of(case.model.alarm)
    if alarm is not None:
        assert targets is not None
        return AnomalyScore(alarm, targets.residual_scale).push(steps, output)[:, None]
    mean, std = scale_of(case)
    return mean + std * decided(loss.rule, loss.start, output)


def check_python(case: Case, x: np.ndarray, steps: np.ndarray, seed: int) -> Any:
    """Whole and in blocks, with and without the policy. Returns the whole's prediction."""
    model, rule = case.model, case.model.decision.loss.rule
    whole: Any = model.predict(x)
    output = outputs_of(model.spiking("run"), steps)
    expected, (_, std) = scored(case, output, steps), scale_of(case)
    if not rule.per_step:
        scores = model.loss.scores(torch.from_numpy(output)[None])[0].numpy()
        last = decided(rule, model.decision.loss.start, output.astype(float))[-1]
        np.testing.assert_allclose(scores, last, atol=1e-5)
    np.testing.assert_allclose(whole.scores / std, expected / std, atol=1e-9)

    rng, decoder = np.random.default_rng(seed), Decoder.of(model)
    parts = streamed(decoder, blocks(x, rng))
    for ours, theirs in zip(parts, streamed(decoder, blocks(x, rng)), strict=True):
        # Else the last step was known before the end, and is told again.
        if len(ours) == len(theirs):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(parts.scores[: len(steps)] / std, expected / std, atol=1e-5)
    np.testing.assert_allclose(parts.scores[-1] / std, expected[-1] / std, atol=1e-5)
    assert parts.final[-1] or rule.per_step
    believed = decoder.probabilities(parts.scores)
    np.testing.assert_allclose(believed[: len(steps)], whole.probabilities, atol=1e-5)
    if rule.value:
        value = whole.scores if whole.per_step else whole.scores[-1]
        np.testing.assert_array_equal(whole.value, value)
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


def close_answers(case: Case, told: dict[str, Any], scores: np.ndarray, believed: Any) -> None:
    """float32 answers are those of scores (T, answers) and confidences, up to rounding."""
    mean, std = scale_of(case)
    if case.kind == "alarm":
        np.testing.assert_allclose(told["score"], scores[:, 0], atol=1e-3, rtol=1e-3)
        return
    if case.model.decision.loss.rule.value:
        bound = 1e-4 + 1e-6 * np.abs(mean) / std
        assert (np.abs(told["answer"] - scores) / std < bound).all()
        return
    ordered = np.sort(scores, -1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-4  # no tie, which rounding decides
    np.testing.assert_array_equal(told["label"][clear], scores.argmax(-1)[clear])
    np.testing.assert_allclose(told["confidence"], believed.max(-1), atol=1e-4)


def check_devices(case: Case, wholes: list[Any], folder: Path, compiler: str, *flags: str) -> Any:
    """float32 C against the prediction, int8 C against its model. Returns what both said."""
    decision, device = with_exit(case.model), device_network(case.model.spiking("exported"))
    program = devices(case, folder, compiler, *flags)
    small = quantise(device, case.given.inputs_as, case.model.state_format(case.state_bits))
    said = []
    for x, whole in zip(case.xs, wholes, strict=True):
        samples, inputs = case.given.samples(x), case.given.inputs(x)
        told, integers = (program(*pair) for pair in zip(("plain", "small"), samples, strict=True))
        said.append((told, integers))
        rounded = isinstance(case.given.path, SpeechPath)  # of which a logarithm may be another
        for found, expected in zip((told["input"], integers["input"]), inputs, strict=True):
            one = 1.0 if found.dtype.kind == "f" else 2.0**case.given.inputs_as.bits
            off = np.abs(found / one - expected / one)
            assert off.max() < (0.05 if rounded else 1e-5)
            assert found.dtype.kind == "f" or rounded or (found == expected).all()
        output = run_float32(device, told["input"][None]).output[0]
        np.testing.assert_allclose(told["output"], output, rtol=1e-6, atol=1e-6)
        scores = scored(case, told["output"], told["input"])
        close_answers(case, told, scores, Decoder.of(case.model).probabilities(scores))
        if not rounded:
            close_answers(case, told, whole.scores, whole.probabilities)
        policy = ExitPolicy.of(case.model)
        if policy is not None:
            first = policy.decide(told["output"])
            expected = np.flatnonzero(told["stands"])[:1].tolist()
            assert expected == ([int(first.steps)] if first.final else [])
        expected = integer_answers(small, decision, integers["input"])
        same_integers(integers, expected)
    return said


def same_integers(found: Any, expected: Any) -> None:
    """int8 answers are those of the integer model, to the bit."""
    np.testing.assert_array_equal(found["output"], expected.output)
    for name in ("answer", "score", "label", "confidence", "stands"):
        values = getattr(expected, "share" if name == "confidence" else name)
        if values is not None:
            np.testing.assert_array_equal(found[name], values, name)


def check_pages(case: Case, said: Any, folder: Path) -> None:
    """Pages say what the C said on this machine, in int8 to the bit."""
    decision, device = with_exit(case.model), device_network(case.model.spiking("exported"))
    small = quantise(device, case.given.inputs_as)
    for told, (plain, _) in zip(pages(case, folder, "float32"), said, strict=True):
        same_in_page(case, told, {name: plain[name] for name in plain.dtype.names}, 1e-4)
    plan = DecisionPlan("net", case.model.decision, small.output_bits)
    for told, (_, integers) in zip(pages(case, folder, "int8"), said, strict=True):
        found = integer_answers(small, decision, integers["input"])
        bits = {"answer": plan.value_bits, "score": SCORE_BITS, "confidence": 30}
        expected: dict[str, Any] = vars(found) | {"confidence": found.share}
        for name, of in bits.items():
            if of is not None and expected[name] is not None:
                expected[name] = expected[name] / 2.0 ** np.array(of)
        same_in_page(case, told, expected, 0)


def same_in_page(case: Case, told: dict[str, Any], expected: Any, off: float) -> None:
    """``off``: by how much rounding may differ; the front end for sound has a logarithm of each
    library's own, so that of sound most labels are compared."""
    heard, (_, std) = isinstance(case.given.path, SpeechPath), scale_of(case)
    rule, values = case.model.decision.loss.rule, np.array(told["values"])
    if case.kind == "alarm":
        pairs = [(values[:, 0], expected["score"])]
    elif rule.value:
        pairs = [(values / std, expected["answer"] / std)]
    else:
        labels = np.array(told["labels"])
        assert (labels == expected["label"]).mean() >= (0.9 if heard else 1)
        pairs = [(np.array(told["scores"]), expected["output"])]
        if not rule.per_step and expected["confidence"] is not None:
            believed = np.array(told["probabilities"], float)[np.arange(len(labels)), labels]
            pairs.append((believed, expected["confidence"]))
    for found, wanted in pairs:
        assert len(found) == len(wanted)
        if not heard:
            np.testing.assert_allclose(found, wanted, atol=off, rtol=off)


def check_exchange(case: Case, wholes: list[Any], folder: Path) -> None:
    """ONNX gives the scores after every step, and refuses alarms; NIR gives the network back."""
    x = case.steps[-1]
    bound = 1e-4 * scale_of(case)[1].max() + 1e-6 * np.abs(scale_of(case)[0]).max()
    if case.kind == "alarm":
        with pytest.raises(SrnnError, match="no score of an alarm"):
            to_onnx(case.model)
    else:
        check_onnx(case.model, x, wholes[-1].scores, [len(x)], bound)
    nir, net = pytest.importorskip("srnn.deploy.export.nir"), case.model.spiking("exported")
    if case.neurons & NOT_IN_NIR:
        with pytest.raises(SrnnError, match=r"^NIR cannot take this network: .* the neuron"):
            nir.to_graph(net)
        return
    graph, _ = nir.to_graph(net)
    nir.save(graph, folder / "net.nir")
    back = nir.load(folder / "net.nir").network.eval()
    np.testing.assert_array_equal(outputs_of(back, x), outputs_of(net, x))


def check_without_torch(case: Case, process: WithoutTorch, folder: Path) -> None:
    """A process that cannot import torch says the same of the model's file."""
    std = scale_of(case)[1]
    for x, (whole, parts) in zip(case.xs, process(case, folder), strict=True):
        expected: Any = case.model.predict(x)
        np.testing.assert_allclose(whole / std, expected.scores / std, atol=1e-5)
        np.testing.assert_allclose(parts[: len(whole)] / std, expected.scores / std, atol=1e-5)


@pytest.fixture(scope="module")
def without_torch() -> Iterator[WithoutTorch]:
    process = WithoutTorch()
    yield process
    process.close()


def no_pages() -> str:
    """Why this machine cannot make a page and run it; empty where it can."""
    if NODE is None:
        return "no Node: pages are not compared"
    try:
        find_compiler()
    except SrnnError:
        return "no compiler to WebAssembly (pip install 'srnn[web]'): pages are not compared"
    return ""


def check(
    case: Case, seed: int, folder: Path, compiler: str, process: WithoutTorch, *flags: str
) -> Any:
    """All but pages. Returns what C said."""
    steps = case.steps
    wholes = [check_python(case, x, own, seed) for x, own in zip(case.xs, steps, strict=True)]
    said = check_devices(case, wholes, folder, compiler, *flags)
    check_exchange(case, wholes, folder)
    # What is one's own is not read without torch.
    if case.kind not in OWN and BoundedALIF.name not in case.neurons:
        check_without_torch(case, process, folder)
    return said


def registered(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda name, rule: monkeypatch.setitem(RULES, name, rule)


@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("kind", KINDS)
def test_all_say_the_same(
    kind: str,
    compiler: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_torch: WithoutTorch,
) -> None:
    """Each kind of answer, with one of the forms of input."""
    form = [*FORMS][KINDS.index(kind) % len(FORMS)]
    case = case_of(kind, form, 0, registered(monkeypatch))
    check(case, 0, tmp_path, compiler, without_torch, *SANITIZED)


@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("form", FORMS)
def test_pages_say_the_same(
    form: str, compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each form of input, with one of the kinds of answer."""
    if reason := no_pages():
        pytest.skip(reason)
    kind = KINDS[::-1][[*FORMS].index(form)]
    case = case_of(kind, form, 0, registered(monkeypatch))
    wholes = [case.model.predict(x) for x in case.xs]
    check_pages(case, check_devices(case, wholes, tmp_path, compiler), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("compiler", compilers()[:1])
def test_all_say_the_same_of_random_networks(
    compiler: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_torch: WithoutTorch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every neuron, kind of answer and form of input. All are tried, and those that differ told."""
    wrong, begun, lacking = list[str](), time.monotonic(), no_pages()

    def report(text: str) -> None:
        if MANY > 16:
            with capsys.disabled():
                print(text, flush=True)

    for number in range(FIRST, FIRST + MANY):
        rng = np.random.default_rng(number)
        kind, form = str(rng.choice(KINDS)), str(rng.choice([*FORMS]))
        folder = tmp_path / str(number)
        folder.mkdir()
        with monkeypatch.context() as patch:
            try:
                case = case_of(kind, form, number, registered(patch), COMPILED + MORE)
                flags = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")
                said = check(case, number, folder, compiler, without_torch, *flags)
                if not lacking:
                    check_pages(case, said, folder)
            except (AssertionError, SrnnError) as error:
                wrong.append(f"{number} ({kind}, {form}): {str(error).strip()[:400]}")
                report(wrong[-1])
        shutil.rmtree(folder)
        if number % 10 == 9:
            minutes = (time.monotonic() - begun) / 60
            report(f"{number + 1 - FIRST} networks, {minutes:.1f} min, {len(wrong)} differ")
    assert not wrong, "\n\n".join(wrong)
    if lacking:
        pytest.skip(f"{lacking}; all else agrees")


@pytest.mark.parametrize("kind", ["ce_mean", "mse_mean"])
def test_of_networks_that_no_device_takes(kind: str) -> None:
    case = case_of(kind, "spikes", 0, substeps=2)
    for x in case.xs:
        bound = 1e-4 * scale_of(case)[1].max()
        check_onnx(case.model, x, check_python(case, x, x, 0).scores, [len(x)], bound)


LOSSES = ["ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count", "ce_steps", "nll"]


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=15)
@given(st.integers(1, 60), st.integers(0, 20), st.integers(0, 99), st.lists(st.floats(0, 1)))
def test_a_finite_recording_has_one_answer(
    loss: str, length: int, start: int, seed: int, cuts: list[float]
) -> None:
    """A stream began a new sequence after as many steps as training's had."""
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
