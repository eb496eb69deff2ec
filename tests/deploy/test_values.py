"""Values and alarms in integers: their linear part, their rounding, and their C; what needs classes
is refused. That all say the same of them is held by test_one_answer.py."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError
from srnn.data.linear import LinearPart
from srnn.data.targets import Targets
from srnn.deploy.c import export_c
from srnn.deploy.c.plan import Plan, make_plan
from srnn.model.exit_policy import ExitPolicy
from srnn.nn.alarm import Alarm, AnomalyScore
from srnn.nn.decision import RULES, StoppingCriterion
from srnn.nn.fixedpoint.alarm import IntegerAlarm, logarithm
from srnn.nn.fixedpoint.decision import (
    IntegerLinear,
    integer_scales,
    integer_scores,
    integer_values,
)
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from srnn.nn.loss_config import DecisionRule, LossConfig
from support.compiled import build, compilers
from support.deciding import decided
from support.refusing import refuses

NET = SRNN.paper(2, [6], 3, generator=torch.Generator().manual_seed(0))
ALARMS = [
    Alarm(0.5, 0.2, 0.9, 10, start=3),
    Alarm(2.0, 0.0, 2.002, 1),
    Alarm(0.01, 0.00999, 5000.0, 100_000),
]
TARGETS_OF_TWO = LinearPart((((0.9, 0.1), (0.0, 0.8)), ((0.05, 0.0), (0.1, 0.1))), (0.1, 0.3))
NAMES = ("speed", "height", "load")


def told_by(folder: Path, plan: Plan, compiler: str, x: np.ndarray, steps: int) -> np.ndarray:
    """The numbers that the program prints after each step of sequences of as many steps."""
    lines = "\n".join(",".join(map(repr, row)) for row in x.tolist())
    program = build(folder, plan, compiler, "-fsanitize=undefined")
    text = program.text("--steps", str(steps), given=lines)
    return np.array([line.split(",") for line in text.splitlines()], float)


@pytest.mark.parametrize("name", ["mse", "mse_last", "mse_mean"])
@pytest.mark.parametrize("start", [0, 3])
def test_integers_are_rounded_half_up(name: Any, start: int) -> None:
    """Ties among them, and below 0."""
    outputs = np.random.default_rng(1).integers(-4, 5, (60, 3))
    exact = decided(RULES[name], start, outputs.astype(float))
    found = integer_scores(outputs, 0, LossConfig(name, start))
    np.testing.assert_array_equal(found, np.floor(exact + 0.5))
    assert name != "mse_mean" or (exact % 1 == 0.5).any()


WEIGHTS = np.random.default_rng(2).normal(size=(5, 2, 3)).tolist()
LINEAR = LinearPart.restore({"weights": WEIGHTS, "rest": [0.05, 1.0, 0.3]})
TARGETS = Targets(("m/s", None, "m"), (1000.0, 0.0, -3.0), (20.0, 1.0, 5.0), LINEAR)


@pytest.mark.parametrize("compiler", compilers()[:1])
def test_the_linear_part_is_the_same_in_c_and_begins_anew(compiler: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = (rng.random((34, 2)) < 0.5).astype(np.float32)
    rule, device = DecisionRule(LossConfig("mse"), NAMES, targets=TARGETS), device_network(NET)
    small = quantise(device, InputFormat())
    scales = integer_scales(TARGETS, small.output_bits, rule.loss.rule)
    linear = IntegerLinear.of(TARGETS, InputFormat().bits, scales)
    assert linear is not None
    exact, integers = [], []
    for part in (x[:17], x[17:]):
        output = NET.run(torch.from_numpy(part)[None]).output.detach()[0].double().numpy()
        exact.append(TARGETS.restored(TARGETS.answered(output, part)))
        scores = integer_scores(small.run(part[None].astype(int)).output[0], 0, rule.loss)
        integers.append(integer_values(scores, scales, linear.predicted(part.astype(int))))
    values = np.concatenate(integers) / 2.0 ** np.array([scale.bits for scale in scales])
    expected = np.concatenate(exact)
    for format, model in (("float32", device), ("int8", small)):
        export_c(NET, tmp_path / format, "net", format, decision=rule)  # type: ignore[arg-type]
        told = told_by(tmp_path / format, make_plan(model, "net", rule), compiler, x, 17)
        if format == "int8":
            np.testing.assert_allclose(told, values, rtol=1e-9)
        else:
            np.testing.assert_allclose(told, expected, rtol=1e-5, atol=1e-4)
    off = np.abs(values - expected) / TARGETS.scale[1]
    assert off.max() < 0.1  # of the network's own rounding


@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_is_the_same_in_integers_and_c(
    compiler: str, alarm: Alarm, tmp_path: Path
) -> None:
    """As usual, far off, saturated, and never changing."""
    net = SRNN.paper(2, [6], 2, generator=torch.Generator().manual_seed(0))
    targets = Targets((None, None), (5.0, -300.0), (0.5, 40.0), TARGETS_OF_TWO)
    rule = DecisionRule(LossConfig("mse"), NAMES[:2], targets=targets, alarm=alarm)
    inputs_as, rng = InputFormat(4.0, whole=False), np.random.default_rng(2)
    x = rng.normal(size=(300, 2)).cumsum(0) / 10
    x[100:130] *= rng.choice([-30, 30], (30, 2))
    x[200:] = 0.25
    integers = inputs_as.encode(x)
    small = quantise(device_network(net), inputs_as)
    export_c(net, tmp_path, "net", "int8", decision=rule, inputs_as=inputs_as)
    given = integers / 2.0**inputs_as.bits
    told = told_by(tmp_path, make_plan(small, "net", rule), compiler, given, 300)

    scales = integer_scales(targets, small.output_bits, rule.loss.rule)
    linear = IntegerLinear.of(targets, inputs_as.bits, scales)
    assert linear is not None
    outputs = integer_scores(small.run(integers[None]).output[0], small.output_bits, rule.loss)
    values = integer_values(outputs, scales, linear.predicted(integers))
    whole = IntegerAlarm.of(alarm, targets, inputs_as.bits, scales)
    found = whole.scores(integers, values)
    np.testing.assert_array_equal(np.rint(told[:, 0] * 2**16), found)
    np.testing.assert_array_equal(told[:, 1], found > 2**16)

    said = (values / 2.0 ** np.array([scale.bits for scale in scales]) - [5, -300]) / [0.5, 40]
    real = AnomalyScore(alarm, targets.residual_scale).push(given, said)
    near = np.abs(found / 2**16 - real) < 0.01 + 0.001 * real
    assert near[:100].all()  # beyond, what is far off saturates
    assert (found[:100] > 0).any() and (found.max() > 2**17 or alarm.smooth > 1000)


def test_an_integer_logarithm_is_that_of_its_number() -> None:
    numbers = [1, 2, 3, 2**30 - 1, 2**30, 2**31 + 12345, 2**40, 2**40 + 2**38, 2**60 - 1]
    expected = [math.log2(number) - 40 for number in numbers]
    found = [logarithm(number) / 2**20 for number in numbers]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert logarithm(0) == logarithm(1) == -40 * 2**20


def test_alarms_that_rounding_would_raise_are_refused() -> None:
    targets = Targets((None,), (0.0,), (1.0,), LinearPart((((1.0,),),), (1e-4,)))
    scales = integer_scales(targets, 16, RULES["mse"])
    with pytest.raises(SrnnError, match="float32"):
        IntegerAlarm.of(Alarm(0.5, 0.1, 1.0, 9), targets, 12, scales)


def test_what_needs_classes_is_refused(tmp_path: Path) -> None:
    rule = DecisionRule(LossConfig("mse_mean"), NAMES)
    early = DecisionRule(rule.loss, NAMES, StoppingCriterion(0.5))
    with refuses("loss"):
        ExitPolicy("mse_mean")  # type: ignore[arg-type]
    with refuses("layout", "conflict"):
        export_c(NET, tmp_path / "arduino", "net", decision=rule, layout="arduino")
    with refuses("learn", "unsupported"):
        export_c(NET, tmp_path / "learns", "net", decision=rule, learn="readout")
    with refuses("exit", "unsupported"):
        export_c(NET, tmp_path / "early", "net", decision=early)
