"""The exported C decides as the loss does: for every rule and format, step by step, whatever the
network's outputs are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError
from srnn.deploy.c import export_c
from srnn.deploy.c.decision import DecisionPlan
from srnn.deploy.c.plan import make_plan
from srnn.nn.decision import RULES as LIBRARY
from srnn.nn.decision import Rule, StoppingCriterion, StoppingState, total_of
from srnn.nn.decision import softmax as shares
from srnn.nn.fixedpoint.decision import (
    POWER,
    exponential,
    integer_confidences,
    integer_scores,
    integer_stands,
    softmax,
)
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import IntegerNetwork, quantise
from srnn.nn.loss_config import DecisionRule, LossConfig, LossName
from srnn.nn.scores import confidences_of, running_scores
from support.compiled import COMPILERS, FLAGS, SANITIZED, compile_c, needs_compiler, ran

Format = Literal["float32", "int8"]
FORMATS: tuple[Format, ...] = ("float32", "int8")
SUMMED = ("mean", "sum_softmax", "spike_count")
NAMES: tuple[LossName, ...] = ("nll", "ce_last", "ce_mean", "ce_sum_softmax", "ce_spike_count")
RULES = [
    LossConfig(name, start) for name in NAMES for start in ((0, 3) if name[3:] in SUMMED else (0,))
]
CLASSES = ("a", "b", "c", "d")
NET = SRNN.paper(2, [2], 4, generator=torch.Generator().manual_seed(0))
TYPES = {"float32": ("float", "double", "float"), "int8": ("int32_t", "int64_t", "int32_t")}
# No share of few spikes.
UNTIL = StoppingCriterion(confidence=0.26037, margin=0.01013, patience=2, earliest=4)
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.name}-{rule.start}")

CALL = """\
        case {number}: {{
            static {name}_decision decision;
            if (begins)
                {name}_decision_init(&decision);
            label = {name}_decide(&decision, output);
            for (c = 0; c < 4; c++)
                scores[c] = decision.scores[c];
            confidence = {name}_confidence(&decision);
            stands = {name}_stands(&decision);
            break;
        }}
"""
DRIVER = """\
#include <stdio.h>

int main(void)
{{
    int32_t rule, begins, label, stands;
    {given} output[4];
    {kept} scores[4];
    {belief} confidence;
    int c;

    while (fread(&rule, 4, 1, stdin) == 1 && fread(&begins, 4, 1, stdin) == 1 && fread(output, sizeof output, 1, stdin) == 1) {{
        switch (rule) {{
{calls}        default: return 1;
        }}
        fwrite(&label, 4, 1, stdout);
        fwrite(&confidence, 4, 1, stdout);
        fwrite(&stands, 4, 1, stdout);
        fwrite(scores, sizeof scores, 1, stdout);
    }}
    return 0;
}}
"""


class Deciders:
    """One program with a library of each rule, which is given outputs instead of inputs."""

    def __init__(self, folder: Path, format: Format) -> None:
        self.format: Format = format
        names = [f"{rule.name}_{rule.start}" for rule in RULES]
        for name, rule in zip(names, RULES, strict=True):
            export_c(NET, folder / name, name, format, decision=DecisionRule(rule, CLASSES, UNTIL))
        model = quantise(device_network(NET)) if format == "int8" else device_network(NET)
        self.bits = model.output_bits if isinstance(model, IntegerNetwork) else 0
        calls = "".join(CALL.format(number=number, name=name) for number, name in enumerate(names))
        given, kept, belief = TYPES[format]
        heads = "".join(f'#include "{name}/{name}.h"\n' for name in names)
        for name, rule in zip(names, RULES, strict=True):  # the bytes that the plan states
            plan = make_plan(model, name, DecisionRule(rule, CLASSES, UNTIL))
            assert plan.decision is not None
            assert plan.ram_bytes == plan.state_bytes + plan.decision.ram_bytes
            size = f"sizeof({name}_decision) == {plan.decision.ram_bytes}"
            heads += f"typedef char {name}_size[{size} ? 1 : -1];\n"
        text = heads + DRIVER.format(given=given, kept=kept, belief=belief, calls=calls)
        (folder / "driver.c").write_text(text)
        self.path = folder / "driver"
        sources = [folder / "driver.c", *(folder / name / f"{name}.c" for name in names)]
        flags = [flag for flag in FLAGS if flag != "-O2"]
        compile_c([COMPILERS[0], *flags, *SANITIZED], sources, self.path)
        belief_type, score_type = ("f4", "f8") if format == "float32" else ("i4", "i8")
        self.record = np.dtype(f"i4,{belief_type},i4,(4,){score_type}")
        self.record.names = ("label", "confidence", "stands", "scores")

    def __call__(self, rule: LossConfig, sequences: list[np.ndarray]) -> list[np.ndarray]:
        """Outputs (T, 4) of sequences, one after the other -> the answers after each step."""
        kind = np.float32 if self.format == "float32" else np.int32
        record = np.dtype([("rule", "i4"), ("begins", "i4"), ("output", kind, 4)])
        given = np.zeros(sum(map(len, sequences)), record)
        given["rule"], given["output"] = RULES.index(rule), np.concatenate(sequences)
        ends = np.cumsum([len(sequence) for sequence in sequences])
        given["begins"][[0, *ends[:-1]]] = 1
        told = ran(self.path, given=given.tobytes())
        return np.split(np.frombuffer(told, self.record), ends[:-1])


def as_given(x: np.ndarray, deciders: Deciders) -> np.ndarray:
    """Outputs as the format has them."""
    if deciders.format == "float32":
        return x.astype(np.float32)
    return np.rint(x.astype(np.float32) * 2.0**deciders.bits).astype(np.int32)


@pytest.fixture(scope="module", params=FORMATS)
def deciders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Deciders:
    return Deciders(tmp_path_factory.mktemp("deciders"), request.param)


def outputs(length: int, seed: int, deciders: Deciders) -> np.ndarray:
    """(length, 4) as the format has them, about 1, of which some classes are alike for long."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(length, 4)) * rng.choice([0.1, 1.0, 4.0])
    return as_given(x + rng.normal(size=4) * 0.05, deciders)


@needs_compiler
@every_rule
def test_the_label_is_that_of_the_loss(rule: LossConfig, deciders: Deciders) -> None:
    """After every step, in sequences one after the other, some of which end before ``start``."""
    lengths, one = (1, 2, 3, 4, 50, 300, 2, 700), 2.0**deciders.bits
    sequences = [outputs(length, seed, deciders) for seed, length in enumerate(lengths)]
    if rule.name == "ce_spike_count":  # and ties
        sequences = [np.rint(abs(x) / one).clip(0, 1).astype(x.dtype) for x in sequences]
    differs = 0
    for x, told in zip(sequences, deciders(rule, sequences), strict=True):
        expected = running_scores(x[None] / one, rule.scoring, rule.start)[0]
        np.testing.assert_array_equal(told["label"], expected.argmax(-1))
        differs += int((told["label"] != x.argmax(-1)).sum())
        if deciders.format == "float32":
            confidence = confidences_of(expected, rule.name).max(-1)
            np.testing.assert_allclose(told["confidence"], confidence, rtol=1e-4)
            state = StoppingState(UNTIL, rule.rule, 1, 4)
            _, stands = state.push(expected[None], np.arange(len(x)))
            np.testing.assert_array_equal(told["stands"], stands[0])
    # The largest output of a step is another rule.
    assert (differs > 100) == (rule.name not in ("nll", "ce_last"))


@needs_compiler
@pytest.mark.parametrize("deciders", ["int8"], indirect=True)
@every_rule
def test_int8_decides_as_the_model_to_the_bit(rule: LossConfig, deciders: Deciders) -> None:
    """Any int32 as the output."""
    rng, ends = np.random.default_rng(1), np.iinfo(np.int32)
    anything = rng.integers(ends.min, ends.max, (200, 4), endpoint=True, dtype=np.int32)
    places = np.array([ends.min, ends.max, -1, 0, 1, 352321535, 352321536], np.int32)
    near = (rng.integers(-(2**26), 2**26, (1, 4)) >> rng.integers(0, 26, (300, 1))).astype(np.int32)
    given = [anything, rng.choice(places, (200, 4)), near]
    for x, told in zip(given, deciders(rule, given), strict=True):
        scores = integer_scores(x, deciders.bits, rule)
        believed = integer_confidences(scores, deciders.bits, rule)
        expected = {
            "scores": scores,
            "label": scores.argmax(-1),
            "confidence": believed[np.arange(len(x)), scores.argmax(-1)],
            "stands": integer_stands(scores, deciders.bits, rule, UNTIL),
        }
        for name, values in expected.items():
            np.testing.assert_array_equal(told[name], values, name)


@every_rule
@pytest.mark.parametrize("bits", [0, 7, 20, 26])
def test_the_integer_confidence_is_nearly_the_real_one(rule: LossConfig, bits: int) -> None:
    rng = np.random.default_rng(bits)
    outputs = np.rint(rng.normal(size=(60, 4)) * 2.0**bits).astype(np.int64)
    if rule.name == "ce_spike_count":
        outputs = abs(outputs)
    scores = integer_scores(outputs, bits, rule)
    exact = running_scores(outputs[None] / 2.0**bits, rule.scoring, rule.start)[0]
    believed = integer_confidences(scores, bits, rule) / 2.0**30
    np.testing.assert_allclose(believed, confidences_of(exact, rule.scoring), atol=2.0**-18)
    assert (believed.argmax(-1) == scores.argmax(-1)).all()


@needs_compiler
@pytest.mark.parametrize("name", ["ce_mean", "ce_sum_softmax"])
def test_sums_of_a_long_sequence_go_on(name: LossName, deciders: Deciders) -> None:
    """A plain float32 sum of 300,000 steps has lost a difference of a part in 10,000."""
    rng, rule, one = np.random.default_rng(3), LossConfig(name), 2.0**deciders.bits
    x = np.full((300_000, 4), [0.0, 0.50005, 0.5, 0.1]) + 1e-3 * rng.normal(size=(300_000, 1))
    x = as_given(x, deciders)
    (told,) = deciders(rule, [x])
    total = running_scores(x[None] / one, rule.scoring, rule.start)[0, -1]
    if name == "ce_mean":
        total = total * len(x)
    scale = 2.0**30 if name == "ce_sum_softmax" else one
    kept = told["scores"][-1] / (1.0 if deciders.format == "float32" else scale)
    np.testing.assert_allclose(kept, total, rtol=3e-6, atol=0.2)
    assert (told["label"] == 1).all()


@needs_compiler
@pytest.mark.parametrize("deciders", ["float32"], indirect=True)
def test_outputs_that_are_no_numbers_do_no_harm(deciders: Deciders) -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 0], np.float32)
    for rule in RULES:
        (told,) = deciders(rule, [np.random.default_rng(0).choice(odd, (300, 4))])
        assert set(told["label"].tolist()) <= {0, 1, 2, 3}


@pytest.mark.parametrize("bits", [None, 5])
def test_flash_of_a_decision_by_hand(bits: int | None) -> None:
    plan = DecisionPlan("net", DecisionRule(LossConfig("nll"), ("a", "né")), bits)
    assert plan.flash_bytes == (1 + 1 + 4) + (3 + 1 + 4)  # a name, its end and a pointer to it
    # The longest name and the last start; one more of either is refused.
    DecisionPlan("net", DecisionRule(LossConfig("nll", start=2**31 - 1), ("é" * 500, "b")), bits)


@pytest.mark.parametrize("bits", [-8, -1, 0, 5, 13, 24, 30, 64])
def test_the_integer_softmax(bits: int) -> None:
    rng = np.random.default_rng(0)
    x = np.rint(rng.normal(size=(500, 5)) * 4 * 2.0 ** min(bits, 26)).astype(np.int64)
    real = np.exp((x - x.max(-1, keepdims=True)) / 2.0**bits)
    found, shares = softmax(x, bits), real / real.sum(-1, keepdims=True)
    np.testing.assert_allclose(found / 2.0**30, shares, atol=2.0**-22)
    assert (found.sum(-1) <= 2**30).all()
    ordered = exponential(np.arange(0, 2**32 - 1, 2**20 + 1), bits)
    assert ordered[0] == 2**30 and (np.diff(ordered) <= 0).all() and (bits > 28 or ordered[-1] == 0)


def test_no_product_of_the_integer_softmax_overflows() -> None:
    """Each stage is a coefficient less a part of the stage before. As the coefficients fall, a
    stage lies between 0 and its own, so that no difference is negative and no product exceeds
    2**60."""
    stages = (2**30, *POWER)
    assert all(more > less > 0 for more, less in pairwise(stages))
    assert 2**32 * 1549082005 < 2**64  # distance x 1 / ln 2
    assert 2**30 * (2**62 // 2**30) < 2**64  # part x 2**62 / total, whose least is 2**30


@pytest.mark.parametrize("spikes", range(5))
def test_a_share_reaches_the_threshold_that_it_equals(spikes: int) -> None:
    share, rule = (9 - spikes) / 10, LossConfig("ce_spike_count")  # (8 - spikes + 1) / (8 + 2)
    scores = np.array([[8 - spikes, spikes]])
    for confidence, stands in ((share, True), (share + 1e-8, False)):
        found = integer_stands(scores, 0, rule, StoppingCriterion(confidence))
        assert found.tolist() == [stands]


# ---- a rule of one's own ----

SHARE = Rule("share", counted=lambda x: x / total_of(x))
TWICE = Rule("output", confidence=lambda scores, n: total_of(scores) / total_of(scores + 1.0))


@pytest.mark.parametrize(
    ("own", "bits", "said"),
    [
        (Rule("share", counted=lambda x: shares(2.0 * x)), None, "'softmax'"),
        (SHARE, None, "'total_of'"),
        (SHARE, 5, "'total_of'"),
        (Rule("leaky", joined=lambda total, y: 0.9 * total + y), 5, "0.9"),
        (TWICE, None, "once"),
    ],
)
def test_what_c_cannot_decide_is_said(
    own: Rule, bits: int | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIBRARY, "ce_last", own)
    with pytest.raises(SrnnError, match=said):
        DecisionPlan("net", DecisionRule(LossConfig("ce_last"), ("a", "b")), bits).source()


def test_a_share_of_means_is_written_in_float_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def confidence(scores: Any, n: Any) -> Any:
        return (scores + 1.0) / (total_of(scores) + n)

    monkeypatch.setitem(LIBRARY, "ce_last", Rule("mean spikes", mean=True, confidence=confidence))
    rule = DecisionRule(LossConfig("ce_last"), ("a", "b"))
    text = DecisionPlan("net", rule, None).source()
    assert "total += decision->scores[c] / count;" in text
    assert "return (own / count + 1.0f) / (total + 2.0f);" in text
    assert "confidence" not in DecisionPlan("net", rule, 5).source()
