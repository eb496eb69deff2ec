"""The one struct of the exported C: samples of a sensor in, the name of a class out, to the bit.

That NAME_push is the functions below it, for any signal and answer, is held by test_one_answer.py.
"""

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
from srnn.data.encoders.speech import Statistics
from srnn.data.signals import ScaledPath
from srnn.deploy.c.arrays import DTYPES
from srnn.deploy.c.plan import Plan, make_plan
from srnn.nn.fixedpoint.device import run_float32
from srnn.nn.fixedpoint.integer import InputFormat
from srnn.nn.fixedpoint.sensor import SensorFormat
from srnn.nn.loss_config import DecisionRule, LossConfig
from srnn.nn.scores import running_scores
from support.compiled import FLAGS, SANITIZED, compile_c, every_compiler, ran
from support.exporting import exported
from support.hearts import Format

CLASSES = ("rest", "walk", "run")


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
#ifdef NET_NUM_CLASSES
        fwrite(&model.label, sizeof model.label, 1, stdout);
#endif
    }
    return fflush(stdout) != 0;
}
"""
"""Of a network whose samples are steps: the scores and the answer after each; begins again every so
many."""


def pushed(folder: Path, plan: Plan, compiler: str, signal: np.ndarray) -> np.ndarray:
    """(B, T) records of the scores and the label at each step of a signal (B, T, channels)."""
    text = STEPS.replace("POOL", str(plan.samples.pool)).replace("SAMPLE", plan.samples.sample)
    (folder / "push.c").write_text(text)
    sources = [folder / "push.c", folder / "net.c"]
    compile_c([compiler, *FLAGS, *SANITIZED], sources, folder / "push")
    raw = np.ascontiguousarray(signal, DTYPES[plan.samples.sample])
    told = ran(folder / "push", str(signal.shape[1]), given=raw.tobytes())
    kind: list[Any] = [("scores", DTYPES[plan.number], plan.network.outputs)]
    kind += [("label", np.int32)] if plan.decision is not None else []
    return np.frombuffer(told, np.dtype(kind)).reshape(signal.shape[:2])


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


def sensing(hidden: int = 16) -> SRNN:
    return SRNN(3, [hidden], 3, neuron="alif", generator=torch.Generator().manual_seed(0))


@every_compiler
@pytest.mark.parametrize(
    ("format", "loss", "pool", "counts"),
    [
        ("float32", "nll", 1, None),
        ("float32", "ce_mean", 1, None),
        ("float32", "ce_mean", 7, None),
        ("int8", "ce_mean", 1, None),
        ("int8", "ce_mean", 7, None),
        ("int8", "ce_mean", 1, (1000.0, 16.0, 1e6)),
    ],
)
def test_a_sensor_in_its_own_unit(
    format: Format, loss: Any, pool: int, counts: Any, compiler: str, tmp_path: Path
) -> None:
    """Scores and classes are those of Python, or of the integer model of conversion and network, to
    the bit. The mean of ``pool`` samples is a step, and other samples give no answer."""
    rule = DecisionRule(LossConfig(loss), CLASSES)
    path = ScaledPath(3, 50.0, STATISTICS, pool=pool, **KNOWN)
    options: Any = {"inputs_as": ANALOG, "counts": counts} if format == "int8" else {}
    _, model = exported(sensing(), tmp_path, format, encoder=path, decision=rule, **options)
    plan = make_plan(model, "net", rule, counts=counts)
    x = recorded(steps=46)
    steps = np.stack([path.whole(one) for one in x])
    if format == "int8":
        sensor = plan.samples.format
        assert sensor is not None and plan.samples.sample == "int32_t"
        x = sensor.samples(x)
        odd = [[2**31 - 1] * 3, [-(2**31)] * 3, [0, 0, 0], [1, -1, 2**30], [-1, 1, 7], [-7, 0, 7]]
        x[0, : 6 * pool] = np.repeat(odd, pool, 0)
        inputs = sensor.inputs(x)
        output = model.run(inputs).output
        scores = output / 2.0**model.output_bits
        if counts is None:  # those of training, up to rounding
            near = ANALOG.encode(steps)[1:]
            assert np.abs(inputs[1:] - near).max() <= 1 and (inputs[1:] == near).mean() > 0.9
    else:
        scores = output = run_float32(model, steps).output
    found = pushed(tmp_path, plan, compiler, x)[:, pool - 1 :: pool]
    np.testing.assert_array_equal(found["scores"], output)
    labels = running_scores(scores, rule.loss.scoring, rule.loss.start).argmax(-1)
    np.testing.assert_array_equal(found["label"], labels)
    header = (tmp_path / "net.h").read_text()
    assert "temp _" in header and "__ in g" in header
    assert ("ax in m/s2, times 1000, rounded; mean 9.81" in header) == (counts is not None)


@every_compiler
def test_outputs_without_a_rule(compiler: str, tmp_path: Path) -> None:
    plan, model = exported(sensing(8), tmp_path, encoder=SENSOR)
    x = recorded()
    expected = run_float32(model, np.stack([SENSOR.whole(one) for one in x])).output
    np.testing.assert_array_equal(pushed(tmp_path, plan, compiler, x)["scores"], expected)


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
    """It fits int64, and is off by less than a thousandth beside rounding."""
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
