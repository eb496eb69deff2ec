"""A rule whose answer is a value: it is the same in torch, numpy, integers and C; what needs
classes is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError
from srnn.deploy.c import export_c
from srnn.deploy.c.plan import make_plan
from srnn.measure.policy import ExitPolicy
from srnn.measure.scores import running_scores
from srnn.nn.decision import RULES, Rule, Until
from srnn.nn.fixedpoint.decision import integer_scores
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from srnn.nn.loss_config import DecisionRule, LossConfig
from srnn.nn.losses import Loss
from support.compiled import build, compilers
from support.deciding import LEAKY, decided

NET = SRNN.paper(2, [6], 3, generator=torch.Generator().manual_seed(0))
NAMES = ("speed", "height", "load")
LEAKY_VALUE = Rule("leaky mean of its output", joined=LEAKY.joined, confidence=None)
OWN = {
    "last": RULES["mse_last"],
    "mean": RULES["mse_mean"],
    "steps": RULES["mse"],
    "leaky": LEAKY_VALUE,
}


@pytest.fixture
def ruled(own: str, start: int, monkeypatch: pytest.MonkeyPatch) -> DecisionRule:
    """A decision by one of the rules, in the place of one that recipes know."""
    name = "ce_last"
    if OWN[own].per_step:
        name = "nll"
    monkeypatch.setitem(RULES, name, OWN[own])
    return DecisionRule(LossConfig(name, start), NAMES)


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("start", [pytest.param(0, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("compiler", compilers()[:1])
def test_a_value_is_the_same_everywhere(
    own: str, start: int, compiler: str, ruled: DecisionRule, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    x = (rng.random((30, 2)) < 0.5).astype(np.float32)
    output = NET.run(torch.from_numpy(x)[None]).output.detach()
    expected = decided(OWN[own], start, output[0].double().numpy())
    loss = ruled.loss
    found = running_scores(output.numpy(), loss.scoring, start)[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    scores = Loss(loss, OWN[own].per_step).scores(output)[0].numpy()
    np.testing.assert_allclose(scores, expected if OWN[own].per_step else expected[-1], atol=1e-5)

    device = device_network(NET)
    small = quantise(device, InputFormat())
    outputs = small.run(x[None].astype(int)).output[0]
    integers = integer_scores(outputs, small.output_bits, loss)
    if own != "leaky":  # which rounds at each step
        exact = decided(OWN[own], start, outputs.astype(float))
        np.testing.assert_array_equal(integers, np.floor(exact + 0.5))
    lines = "\n".join(",".join(f"{value:g}" for value in row) for row in x.tolist())
    for format, model in (("float32", device), ("int8", small)):
        export_c(NET, tmp_path / format, "net", format, decision=ruled)  # type: ignore[arg-type]
        program = build(
            tmp_path / format, make_plan(model, "net", ruled), compiler, "-fsanitize=undefined"
        )
        text = program.text("--steps", "30", given=lines)
        told = np.array([[float(part) for part in line.split(",")] for line in text.splitlines()])
        if format == "int8":
            np.testing.assert_array_equal(told, integers)
        else:
            np.testing.assert_allclose(told, expected, atol=1e-5)


@pytest.mark.parametrize("own", ["mean"])
@pytest.mark.parametrize("start", [0])
def test_what_needs_classes_is_refused(
    own: str, start: int, ruled: DecisionRule, tmp_path: Path
) -> None:
    assert OWN[own].value and not RULES["ce_mean"].value
    with pytest.raises(SrnnError, match="use layout plain"):
        export_c(NET, tmp_path / "arduino", "net", decision=ruled, layout="arduino")
    with pytest.raises(SrnnError, match="Learning in C is for classes"):
        export_c(NET, tmp_path / "learns", "net", decision=ruled, learn="readout")
    with pytest.raises(SrnnError, match="no answer can stand early"):
        export_c(
            NET, tmp_path / "early", "net", decision=DecisionRule(ruled.loss, NAMES, Until(0.5))
        )
    with pytest.raises(SrnnError, match="An exit policy's loss must be one of"):
        ExitPolicy("ce_last")


@pytest.mark.parametrize("negative", [False, True])
def test_a_mean_is_rounded_half_up(negative: bool) -> None:
    outputs = np.array([[1], [2], [2], [3], [2]])
    if negative:
        outputs = -outputs
    expected = [-1, -1, -2, -2, -2] if negative else [1, 2, 2, 2, 2]  # of 1, 1.5, 1.67, 2, 2
    assert integer_scores(outputs, 0, LossConfig("mse_mean"))[:, 0].tolist() == expected
