"""A rule of one's own is one entry: it decides the same in Python, a stream, C, int8 and ONNX, step
by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn import SRNN, SrnnError
from srnn.deploy.c import export_c
from srnn.deploy.c.decision import DecisionPlan
from srnn.deploy.c.plan import make_plan
from srnn.deploy.streaming import Decisions
from srnn.nn.decision import RULES, Rule, softmax, total_of
from srnn.nn.fixedpoint.decision import integer_scores
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from srnn.nn.loss_config import DecisionRule, LossConfig
from support.compiled import build, compilers
from support.deciding import LEAKY, decided
from support.onnx_scores import check_onnx

SOFT = Rule("leaky mean of softmax(output)", counted=softmax, joined=LEAKY.joined)
SHIFTED = Rule(
    "excess", counted=lambda x: (x + 0.5) * 0.5, joined=lambda total, y: total + 0.5 * (y - total)
)
OWN = {"leaky": LEAKY, "soft": SOFT, "shifted": SHIFTED}


@pytest.mark.slow
@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("start", [0, 3])
def test_a_rule_of_ones_own_is_the_same_everywhere(
    own: str, start: int, compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, "ce_last", OWN[own])
    net = SRNN(3, [12], 4, "alif", generator=torch.Generator().manual_seed(2), norm="none")
    with torch.no_grad():
        net.layers[0].weight_in *= 4  # type: ignore[operator]
    model = srnn.from_network(net, "abcd", loss="ce_last", start=start)
    x = (np.random.default_rng(1).random((40, 3)) < 0.4).astype(np.float32)
    output = net.run(torch.from_numpy(x)[None]).output.detach()
    expected = decided(OWN[own], start, output[0].double().numpy())
    assert len(set(expected.argmax(-1).tolist())) > 1

    found: Any = model.predict(x)
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)
    np.testing.assert_allclose(model.loss.scores(output)[0], expected[-1], atol=1e-5)
    session = model.stream()
    streamed = Decisions.joined([session.push(x[:7]), session.push(x[7:]), session.finish()])
    np.testing.assert_allclose(streamed.scores[:40], expected, atol=1e-5)
    check_onnx(model, x, expected, [1, 2, len(x)], 1e-5)

    rule, device = DecisionRule(LossConfig("ce_last", start), tuple("abcd")), device_network(net)
    small = quantise(device, InputFormat())
    outputs = small.run(x[None].astype(int)).output[0]
    integers = integer_scores(outputs, small.output_bits, rule.loss)
    assert (np.diff(np.sort(expected, -1))[:, -1] > 1e-5).all()  # no ties, which rounding decides
    csv = "\n".join(",".join(f"{value:g}" for value in row) for row in x.tolist())
    for format, model_, scores in (("float32", device, expected), ("int8", small, integers)):
        export_c(net, tmp_path / format, "net", format, decision=rule)  # type: ignore[arg-type]
        program = build(tmp_path / format, make_plan(model_, "net", rule), compiler)
        lines = program.text("--steps", "40", "--every", given=csv).splitlines()
        labels = ["abcd"[number] for number in scores.argmax(-1)]
        assert [line.split("\t")[1] for line in lines] == labels


SHARE = Rule("share", counted=lambda x: x / total_of(x))
TWICE = Rule("output", confidence=lambda scores, n: total_of(scores) / total_of(scores + 1.0))


@pytest.mark.parametrize(
    ("own", "bits", "said"),
    [
        (Rule("share", counted=lambda x: softmax(2.0 * x)), None, "'softmax'"),
        (SHARE, None, "'total_of'"),
        (SHARE, 5, "'total_of'"),
        (Rule("leaky", joined=lambda total, y: 0.9 * total + y), 5, "0.9"),
        (TWICE, None, "once"),
    ],
)
def test_what_c_cannot_decide_is_said(
    own: Rule, bits: int | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, "ce_last", own)
    with pytest.raises(SrnnError, match=said):
        DecisionPlan("net", DecisionRule(LossConfig("ce_last"), ("a", "b")), bits).source()


def test_a_share_of_means_is_written_in_float_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def confidence(scores: Any, n: Any) -> Any:
        return (scores + 1.0) / (total_of(scores) + n)

    monkeypatch.setitem(RULES, "ce_last", Rule("mean spikes", mean=True, confidence=confidence))
    rule = DecisionRule(LossConfig("ce_last"), ("a", "b"))
    text = DecisionPlan("net", rule, None).source()
    assert "total += decision->scores[c] / count;" in text
    assert "return (own / count + 1.0f) / (total + 2.0f);" in text
    assert "confidence" not in DecisionPlan("net", rule, 5).source()
