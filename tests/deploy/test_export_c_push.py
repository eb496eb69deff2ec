"""The one struct of the exported C: a sample in, the name of a class out, as from the functions
below it and as in Python."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srnn import SRNN, SrnnError
from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.speech import SpeechFeatures, Statistics
from srnn.data.signals import CrossingPath, ScaledPath, SpeechPath, Steps
from srnn.deploy.c import export_c
from srnn.deploy.c.arrays import DTYPES
from srnn.deploy.c.plan import Plan, make_plan
from srnn.measure.scores import running_scores
from srnn.nn.decision import StoppingCriterion
from srnn.nn.fixedpoint.device import run_float32
from srnn.nn.fixedpoint.integer import InputFormat
from srnn.nn.fixedpoint.sensor import SensorFormat
from srnn.nn.loss_config import DecisionRule, LossConfig
from support.compiled import FLAGS, SANITIZED, compile_c, compilers, ran
from support.exporting import exported
from support.hearts import Format, scores_of
from support.signals import two_leads
from support.sounds import tone

every_compiler = pytest.mark.parametrize("compiler", compilers())
every_format = pytest.mark.parametrize("format", ["float32", "int8"])
UNTIL = StoppingCriterion(confidence=0.4, patience=2)
CLASSES = ("rest", "walk", "run")
PROGRAM = """\
#include "net.h"

#include <stdio.h>
#include <string.h>

static net_model model;
static net_state state;
static net_encoder encoder;
static net_decision decision;
static int stands;

static int below(const SAMPLE *sample)
{
    static net_input input[NET_INPUTS];
    static net_score scores[NET_OUTPUTS];
    int label = -1;

    net_encoder_push(&encoder, sample);
    while (net_encode(&encoder, input)) {
        net_step(&state, input, scores);
        label = net_decide(&decision, scores);
        STANDS
    }
    return label;
}

int main(void)
{
    SAMPLE sample[NET_CHANNELS];
    THRESHOLDS
    int label, pushed;

    memset(&model, 0x55, sizeof model); /* whatever it was */
    net_begin(&model MORE);
    net_init(&state);
    net_encoder_init(&encoder MORE);
    net_decision_init(&decision);
    if (net_label(&model)[0])
        return 2;
    while (fread(sample, sizeof sample, 1, stdin) == 1) {
        pushed = net_push(&model, sample);
        label = below(sample);
        if (pushed != (label >= 0) || (pushed && strcmp(net_label(&model), NET_CLASSES[label])))
            return 3;
        if (STOOD)
            return 4;
        if (pushed)
            puts(net_label(&model));
    }
    return fflush(stdout) != 0;
}
"""


STEPS = """\
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

static net_model model;

int main(int argc, char **argv)
{
    SAMPLE sample[NET_CHANNELS];
    long t;

    for (t = 0; argc == 2 && fread(sample, sizeof sample, 1, stdin) == 1; t++) {
        if (t % atol(argv[1]) == 0)
            net_begin(&model);
        if (net_push(&model, sample) != (t % atol(argv[1]) % POOL == POOL - 1))
            return 3;
        fwrite(model.scores, sizeof model.scores, 1, stdout);
        fwrite(ANSWER, sizeof ANSWER, 1, stdout);
    }
    return fflush(stdout) != 0;
}
"""
"""Of a network whose samples are steps: the scores and the answer after each; begins again every so
many."""


def pushed(
    folder: Path, plan: Plan, compiler: str, signal: np.ndarray, answer: str = "&model.label"
) -> np.ndarray:
    """(B, T) records of the scores and the answer at each step of a signal (B, T, channels)."""
    text = STEPS.replace("POOL", str(plan.samples.pool)).replace("SAMPLE", plan.samples.sample)
    text = text.replace("sizeof ANSWER", f"sizeof {answer.replace('&', '')}")
    (folder / "push.c").write_text(text.replace("ANSWER", answer))
    sources = [folder / "push.c", folder / "net.c"]
    compile_c([compiler, *FLAGS, *SANITIZED], sources, folder / "push")
    raw = np.ascontiguousarray(signal, DTYPES[plan.samples.sample])
    told = ran(folder / "push", str(signal.shape[1]), given=raw.tobytes())
    score = (DTYPES[plan.number], plan.network.outputs)
    kind = [("scores", *score), ("answer", np.int32) if "label" in answer else ("answer", *score)]
    return np.frombuffer(told, np.dtype(kind)).reshape(signal.shape[:2])


def answers(
    folder: Path, compiler: str, sample: str, thresholds: bool, signal: np.ndarray
) -> list[str]:
    """What the library in ``folder`` calls each sample that completes a step, by one struct and by
    its parts."""
    more = ", up, down" if thresholds else ""
    declared = f"static const {sample} up[] = NET_UP, down[] = NET_DOWN;" if thresholds else ""
    text = PROGRAM.replace("SAMPLE", sample).replace("THRESHOLDS", declared).replace(" MORE", more)
    early = "model.stands" if "net_stands(" in (folder / "net.h").read_text() else "0"
    text = text.replace("STOOD", f"{early} != stands")
    text = text.replace("STANDS", "" if early == "0" else "stands = net_stands(&decision);")
    (folder / "push.c").write_text(text)
    sources = [folder / "push.c", folder / "net.c"]
    compile_c([compiler, *FLAGS, *SANITIZED], sources, folder / "push")
    return ran(folder / "push", given=signal.tobytes()).decode().splitlines()


@every_compiler
@pytest.mark.parametrize(
    ("running", "loss", "format"),
    [
        (False, "nll", "int8"),
        (False, "ce_mean", "float32"),
        (True, "nll", "float32"),
        (True, "ce_mean", "int8"),
        pytest.param(False, "nll", "float32", marks=pytest.mark.slow),
        pytest.param(False, "ce_mean", "int8", marks=pytest.mark.slow),
        pytest.param(True, "nll", "int8", marks=pytest.mark.slow),
        pytest.param(True, "ce_mean", "float32", marks=pytest.mark.slow),
    ],
)  # every two of them together; the slow tests have all three
def test_a_crossed_signal(
    running: bool, loss: Any, format: Format, compiler: str, tmp_path: Path
) -> None:
    """With a class at each step, also that of Python's scores. Of the steps of one sample, the last
    one counts."""
    crossing = LevelCrossing("send_on_delta", 0.1, 0.1)
    path = CrossingPath(crossing, 2, 250.0, horizon=3.0)
    if not running:
        path = CrossingPath(crossing, 2, smoothing=7).with_std((171.3, 95.7))
    net = SRNN(4, [16], 3, neuron="alif", generator=torch.Generator().manual_seed(0), norm="none")
    decision = DecisionRule(LossConfig(loss), CLASSES, UNTIL)
    plan, model = exported(net, tmp_path, format, encoder=path, decision=decision)
    assert plan.encoder is not None
    signal = two_leads(1000)
    sample = plan.encoder.sample
    raw = signal.astype(np.float32 if sample == "float" else np.dtype(sample.removesuffix("_t")))
    said = answers(tmp_path, compiler, sample, not running, raw)
    assert len(said) == (1000 if running else 994)
    assert len(set(said)) > 1
    if loss == "nll" and not running:
        spikes = path.in_c(signal, (171.3, 95.7), format == "int8")
        labels = scores_of(model, spikes).argmax(1)
        assert said == [CLASSES[label] for label in labels[3:-3]]


@every_compiler
@every_format
def test_sound(format: Format, compiler: str, tmp_path: Path) -> None:
    features = SpeechFeatures(rate=8000, mels=8, normalise="training")
    tones = [tone(0.5, 8000, hz) / 32768 for hz in (300, 700, 1500)]
    known = [features.expand(features.frames(one)) for one in tones]
    path = SpeechPath(features, None, features.fit(known))
    rng = torch.Generator().manual_seed(1)
    net = SRNN(known[0].shape[1], [16], 3, neuron="alif", generator=rng, norm="none")
    decision = DecisionRule(LossConfig("ce_mean"), CLASSES)
    inputs_as = {"inputs_as": InputFormat(8.0, whole=False)} if format == "int8" else {}
    exported(net, tmp_path, format, encoder=path, decision=decision, **inputs_as)
    said = answers(tmp_path, compiler, "int16_t", False, tone(1.0, 8000, 500).astype(np.int16))
    assert len(said) > 80


KNOWN: Any = {"names": ("ax", "temp */", "\u00e9\\"), "units": ("m/s2", None, "g")}
MEAN, DEVIATION = np.array([[9.81, -300.0, 0.002], [0.3, 71.5, 1e-4]], np.float32)
STATISTICS = Statistics(MEAN, DEVIATION)
SENSOR = ScaledPath(3, 50.0, STATISTICS, **KNOWN)
ANALOG = InputFormat(4.0, whole=False)


def recorded(batch: int = 3, steps: int = 40) -> np.ndarray:
    """A signal of the sensor (batch, steps, 3), some of it far beyond training."""
    rng = np.random.default_rng(0)
    x = rng.normal(STATISTICS.mean, STATISTICS.std, (batch, steps, 3)).astype(np.float32)
    return np.where(rng.random(x.shape) < 0.05, 50 * x, x)


def labels_of(scores: np.ndarray, loss: LossConfig) -> np.ndarray:
    return running_scores(scores, loss.scoring, loss.start).argmax(-1)


def sensing(hidden: int = 16) -> SRNN:
    return SRNN(3, [hidden], 3, neuron="alif", generator=torch.Generator().manual_seed(0))


@every_compiler
@pytest.mark.parametrize("loss", ["nll", "ce_mean"])
def test_a_sensor_in_its_own_unit(loss: Any, compiler: str, tmp_path: Path) -> None:
    """In float32: scores at each step and the class of each sequence are those of Python, to the
    bit."""
    rule = DecisionRule(LossConfig(loss), CLASSES)
    plan, model = exported(sensing(), tmp_path, encoder=SENSOR, decision=rule)
    x = recorded()
    found = pushed(tmp_path, plan, compiler, x)
    expected = run_float32(model, np.stack([SENSOR.whole(one) for one in x])).output
    np.testing.assert_array_equal(found["scores"], expected)
    np.testing.assert_array_equal(found["answer"], labels_of(expected, rule.loss))
    header = (tmp_path / "net.h").read_text()
    assert all(
        words in header
        for words in ("ax in m/s2; mean 9.81, deviation 0.3", "temp _; mean -300", "__ in g;")
    )


@every_compiler
@pytest.mark.parametrize("counts", [None, (1000.0, 16.0, 1e6)])
def test_a_sensor_in_integers(counts: Any, compiler: str, tmp_path: Path) -> None:
    """In int8: those of the integer model of conversion and network; inputs are those of training,
    up to rounding."""
    rule = DecisionRule(LossConfig("ce_mean"), CLASSES)
    options: Any = {"encoder": SENSOR, "decision": rule, "inputs_as": ANALOG}
    _, model = exported(sensing(), tmp_path, "int8", counts=counts, **options)
    plan = make_plan(model, "net", rule, counts=counts)
    sensor, x = plan.samples.format, recorded()
    assert sensor is not None and plan.samples.sample == "int32_t"
    samples = sensor.samples(x)
    samples[0, :5] = [[2**31 - 1] * 3, [-(2**31)] * 3, [0, 0, 0], [1, -1, 2**30], [-1, 1, 7]]
    inputs = sensor.inputs(samples)
    found = pushed(tmp_path, plan, compiler, samples)
    expected = model.run(inputs).output
    np.testing.assert_array_equal(found["scores"], expected)
    labels = labels_of(expected / 2.0**model.output_bits, rule.loss)
    np.testing.assert_array_equal(found["answer"], labels)
    if counts is None:
        near = ANALOG.encode(np.stack([SENSOR.whole(one) for one in x]))[1:]
        assert np.abs(inputs[1:] - near).max() <= 1
        assert (inputs[1:] == near).mean() > 0.9
    else:
        assert "ax in m/s2, times 1000, rounded; mean 9.81" in (tmp_path / "net.h").read_text()


@every_compiler
@every_format
def test_a_pooled_sensor(format: Format, compiler: str, tmp_path: Path) -> None:
    """The mean of seven samples is a step: scores are Python's to the bit, and other samples give
    no answer."""
    rule = DecisionRule(LossConfig("ce_mean"), CLASSES)
    path = ScaledPath(3, 50.0, STATISTICS, pool=7, **KNOWN)
    options: Any = {"inputs_as": ANALOG} if format == "int8" else {}
    _, model = exported(sensing(), tmp_path, format, encoder=path, decision=rule, **options)
    plan = make_plan(model, "net", rule)
    x = recorded(steps=46)
    steps = np.stack([path.whole(one) for one in x])
    if format == "int8":
        sensor = plan.samples.format
        assert sensor is not None
        x = sensor.samples(x)
        x[0, :21] = np.repeat([[2**31 - 1] * 3, [-(2**31)] * 3, [-7, 0, 7]], 7, 0)
        expected = model.run(sensor.inputs(x)).output
        near = ANALOG.encode(steps)[1:]
        assert np.abs(sensor.inputs(x)[1:] - near).max() <= 1
    else:
        expected = run_float32(model, steps).output
    found = pushed(tmp_path, plan, compiler, x)
    np.testing.assert_array_equal(found["scores"][:, 6::7], expected)


@every_compiler
@pytest.mark.parametrize(
    ("format", "inputs_as"),
    [
        ("float32", InputFormat()),
        ("int8", InputFormat()),
        ("int8", InputFormat(3.0, whole=False)),
    ],
)
def test_steps_are_pushed_as_they_are(
    format: Format, inputs_as: InputFormat, compiler: str, tmp_path: Path
) -> None:
    rule = DecisionRule(LossConfig("ce_mean"), CLASSES, UNTIL)
    options: Any = {"inputs_as": inputs_as} if format == "int8" else {}
    path = Steps(3, **KNOWN)
    plan, model = exported(sensing(), tmp_path, format, encoder=path, decision=rule, **options)
    x = np.random.default_rng(0).integers(-1, 3, (2, 30, 3))
    x = x if format == "float32" else inputs_as.encode(x)
    found = pushed(tmp_path, plan, compiler, x)
    expected = run_float32(model, x).output if format == "float32" else model.run(x).output
    np.testing.assert_array_equal(found["scores"], expected)
    scores = expected / 2.0 ** getattr(model, "output_bits", 0)
    np.testing.assert_array_equal(found["answer"], labels_of(scores, rule.loss))


@every_compiler
@pytest.mark.parametrize("answer", ["model.values", "model.scores"])
def test_an_answer_without_a_class(answer: str, compiler: str, tmp_path: Path) -> None:
    """A value, and outputs without a rule."""
    rule = DecisionRule(LossConfig("mse_mean"), CLASSES) if answer == "model.values" else None
    plan, model = exported(sensing(8), tmp_path, encoder=SENSOR, decision=rule)
    x = recorded()
    found = pushed(tmp_path, plan, compiler, x, answer)
    expected = run_float32(model, np.stack([SENSOR.whole(one) for one in x])).output
    np.testing.assert_array_equal(found["scores"], expected)
    if rule is None:
        np.testing.assert_array_equal(found["answer"], expected)
    else:
        values = running_scores(expected, rule.loss.scoring)
        np.testing.assert_allclose(found["answer"], values, 1e-6)


LEARNS = """\
#include "net.h"

#include <stdio.h>
#include <string.h>

static net_model model;
static net_parameters own, other;
static net_traces traces, below;
static net_state state;

int main(void)
{
    net_score scores[NET_OUTPUTS];
    float sample[NET_CHANNELS];
    net_input input[NET_INPUTS];
    int label;

    net_parameters_init(&own);
    net_parameters_init(&other);
    net_begin(&model, &own, &traces);
    net_init(&state);
    net_traces_init(&below);
    while (fread(sample, sizeof sample, 1, stdin) == 1) {
        label = net_push(&model, sample);
        net_convert(sample, input);
        net_step(&state, &other, &below, input, scores);
        if (memcmp(scores, model.scores, sizeof scores))
            return 3;
        net_learn(&own, &traces, label);
        net_learn(&other, &below, label);
        net_update(&own, &traces, 0.1f, 0.5f);
        net_update(&other, &below, 0.1f, 0.5f);
    }
    puts(net_label(&model));
    net_parameters_init(&other);
    return !memcmp(&own, &other, sizeof own);
}
"""


@every_compiler
def test_what_is_pushed_can_be_learnt(compiler: str, tmp_path: Path) -> None:
    rule = DecisionRule(LossConfig("nll"), CLASSES)
    export_c(sensing(8), tmp_path, "net", encoder=SENSOR, decision=rule, learn="readout")
    (tmp_path / "learns.c").write_text(LEARNS)
    sources = [tmp_path / "learns.c", tmp_path / "net.c"]
    compile_c([compiler, *FLAGS, *SANITIZED], sources, tmp_path / "learns")
    said = ran(tmp_path / "learns", given=recorded(1)[0].tobytes())
    assert said.decode().strip() in CLASSES


# ---- conversion ---------------------------------------------------------------------------------


@given(
    st.floats(-1e6, 1e6, width=32),
    st.floats(2.0**-20, 2.0**20, width=32),
    st.sampled_from([ANALOG, InputFormat(), InputFormat(30000.0, whole=False)]),
    st.integers(-(2**31), 2**31 - 1),
)
def test_conversion_is_exact_up_to_rounding(
    mean: float, std: float, inputs_as: InputFormat, sample: int
) -> None:
    """What it computes fits int64, and differs by less than a thousandth from what it would be
    without rounding."""
    try:
        sensor = SensorFormat.of(np.array([mean]), np.array([std]), inputs_as)
    except SrnnError as error:
        assert "too few" in str(error) and abs(mean) > 2**20 * std
        return
    (factor,), (offset,) = sensor.factors, sensor.offsets
    (shift,), (count,) = sensor.shifts, sensor.counts
    assert 0 < factor < 2**31 and 0 < shift < 63
    assert abs(sample * factor - offset) < 2**63
    exact = (Fraction(sample) / count - Fraction(mean)) / Fraction(std) * 2**inputs_as.bits
    bounded = min(max(exact, Fraction(-inputs_as.bound)), Fraction(inputs_as.bound - 1))
    (found,) = sensor.inputs(np.array([sample]))
    assert abs(found - bounded) <= Fraction(501, 1000)
