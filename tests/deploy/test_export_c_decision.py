"""The exported C decides as the loss does: for every rule and format, step by step, whatever the network's outputs are."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srnn import SRNN, SrnnError
from srnn.deploy.export.c import export_c
from srnn.deploy.export.c.decision import c_string
from srnn.deploy.export.c.plan import Plan, make_plan
from srnn.deploy.export.c.project import check_name, identifier
from srnn.deploy.streaming.scores import RunningScores
from srnn.measure.analysis.scores import confidences
from srnn.nn.fixedpoint.decision import POWER, exponential, integer_scores, softmax
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import InputFormat, IntegerNetwork, quantise
from srnn.nn.loss_config import DecisionRule, LossConfig, LossName
from support.compiled import COMPILERS, FLAGS, SANITIZED, build
from support.exporting import signal

needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no C compiler (gcc, clang) on this machine")
Format = Literal["float32", "int8"]
FORMATS: tuple[Format, ...] = ("float32", "int8")
SUMMED = ("mean", "sum_softmax", "spike_count")
NAMES: tuple[LossName, ...] = ("nll", "ce_last", "ce_mean", "ce_sum_softmax", "ce_spike_count")
RULES = [LossConfig(name, start) for name in NAMES for start in ((0, 3) if name[3:] in SUMMED else (0,))]
CLASSES = ("a", "b", "c", "d")
NET = SRNN(2, [2], 4, generator=torch.Generator().manual_seed(0))
TYPES = {"float32": ("float", "double"), "int8": ("int32_t", "int64_t")}

CALL = """\
        case {number}: {{
            static {name}_decision decision;
            if (begins)
                {name}_decision_init(&decision);
            label = {name}_decide(&decision, output);
            for (c = 0; c < 4; c++)
                scores[c] = decision.scores[c];
            CONFIDENCE({name})
            break;
        }}
"""
DRIVER = """\
#include <stdio.h>

int main(void)
{{
    int32_t rule, begins, label;
    {given} output[4];
    {kept} scores[4];
    float confidence = 0.0f;
    int c;

    while (fread(&rule, 4, 1, stdin) == 1 && fread(&begins, 4, 1, stdin) == 1 && fread(output, sizeof output, 1, stdin) == 1) {{
        switch (rule) {{
{calls}        default: return 1;
        }}
        fwrite(&label, 4, 1, stdout);
        fwrite(&confidence, 4, 1, stdout);
        fwrite(scores, sizeof scores, 1, stdout);
    }}
    return 0;
}}
"""


class Deciders:
    """One program with a library of each rule; what it is given are outputs, not inputs of the networks."""

    def __init__(self, folder: Path, format: Format) -> None:
        self.format: Format = format
        names = [f"{rule.name}_{rule.start}" for rule in RULES]
        for name, rule in zip(names, RULES, strict=True):
            export_c(NET, folder / name, name, format, decision=DecisionRule(rule, CLASSES))
        model = quantise(device_network(NET)) if format == "int8" else device_network(NET)
        self.bits = model.output_bits if isinstance(model, IntegerNetwork) else 0
        confidence = "confidence = name##_confidence(&decision);" if format == "float32" else "(void)0;"
        calls = "".join(CALL.format(number=number, name=name) for number, name in enumerate(names))
        given, kept = TYPES[format]
        heads = "".join(f'#include "{name}/{name}.h"\n' for name in names)
        text = f"{heads}#define CONFIDENCE(name) {confidence}\n{DRIVER.format(given=given, kept=kept, calls=calls)}"
        (folder / "driver.c").write_text(text)
        self.path = folder / "driver"
        sources = [str(folder / name / f"{name}.c") for name in names]
        flags = [flag for flag in FLAGS if flag != "-O2"]
        done = subprocess.run(
            [COMPILERS[0], *flags, *SANITIZED, "-o", str(self.path), str(folder / "driver.c"), *sources, "-lm"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.record = np.dtype(
            [("label", np.int32), ("confidence", np.float32),
             ("scores", np.float64 if format == "float32" else np.int64, 4)]
        )  # fmt: skip

    def __call__(self, rule: LossConfig, sequences: list[np.ndarray]) -> list[np.ndarray]:
        """Outputs (T, 4) of each sequence, one after the other -> what the library says after each step."""
        kind = np.float32 if self.format == "float32" else np.int32
        given = np.zeros(sum(map(len, sequences)), np.dtype([("rule", "i4"), ("begins", "i4"), ("output", kind, 4)]))
        given["rule"], given["output"] = RULES.index(rule), np.concatenate(sequences)
        ends = np.cumsum([len(sequence) for sequence in sequences])
        given["begins"][[0, *ends[:-1]]] = 1
        done = subprocess.run([self.path], input=given.tobytes(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return np.split(np.frombuffer(done.stdout, self.record), ends[:-1])


@pytest.fixture(scope="module", params=FORMATS)
def deciders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Deciders:
    return Deciders(tmp_path_factory.mktemp("deciders"), request.param)


def outputs(length: int, seed: int, deciders: Deciders) -> np.ndarray:
    """(length, 4) as the format has them, about 1, of which some classes are alike for long."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(length, 4)) * rng.choice([0.1, 1.0, 4.0]) + rng.normal(size=4) * 0.05).astype(np.float32)
    return x if deciders.format == "float32" else np.rint(x * 2.0**deciders.bits).astype(np.int32)


@needs_compiler
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.name}-{rule.start}")
def test_the_label_is_that_of_the_loss(rule: LossConfig, deciders: Deciders) -> None:
    """After every step, in sequences one after the other, some of which end before ``start``."""
    sequences = [outputs(length, seed, deciders) for seed, length in enumerate((1, 2, 3, 4, 50, 300, 2, 700))]
    if rule.name == "ce_spike_count":  # and ties
        sequences = [np.rint(abs(x) / 2.0**deciders.bits).clip(0, 1).astype(x.dtype) for x in sequences]
    differs = 0
    for x, told in zip(sequences, deciders(rule, sequences), strict=True):
        expected = RunningScores(rule, 4).push(x / 2.0**deciders.bits)
        np.testing.assert_array_equal(told["label"], expected.argmax(-1))
        differs += int((told["label"] != x.argmax(-1)).sum())
        if deciders.format == "float32":
            confidence = confidences(expected, rule.name).max(-1)
            np.testing.assert_allclose(told["confidence"], confidence, rtol=1e-4)
    assert (differs > 100) == (rule.name not in ("nll", "ce_last"))  # the largest output of a step is another rule


@needs_compiler
@pytest.mark.parametrize("deciders", ["int8"], indirect=True)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.name}-{rule.start}")
def test_int8_scores_are_the_models_to_the_bit(rule: LossConfig, deciders: Deciders) -> None:
    """Any int32 as the output."""
    rng, ends = np.random.default_rng(1), np.iinfo(np.int32)
    anything = rng.integers(ends.min, ends.max, (200, 4), endpoint=True, dtype=np.int32)
    extreme = rng.choice(np.array([ends.min, ends.max, -1, 0, 1, 352321535, 352321536], np.int32), (200, 4))
    near = (rng.integers(-(2**26), 2**26, (1, 4)) >> rng.integers(0, 26, (300, 1))).astype(np.int32)
    for x, told in zip((anything, extreme, near), deciders(rule, [anything, extreme, near]), strict=True):
        expected = integer_scores(x, deciders.bits, rule)
        np.testing.assert_array_equal(told["scores"], expected)
        np.testing.assert_array_equal(told["label"], expected.argmax(-1))


@needs_compiler
def test_sums_of_a_long_sequence_go_on(deciders: Deciders) -> None:
    """Two classes whose means differ by a part in 10,000: a plain float32 sum of 300,000 steps has lost that."""
    rng = np.random.default_rng(3)
    x = np.full((300_000, 4), [0.0, 0.50005, 0.5, 0.1]) + 1e-3 * rng.normal(size=(300_000, 1))
    x = x.astype(np.float32) if deciders.format == "float32" else np.rint(x * 2.0**deciders.bits).astype(np.int32)
    for name in ("ce_mean", "ce_sum_softmax"):
        rule = LossConfig(name)  # type: ignore[arg-type]
        (told,) = deciders(rule, [x])
        total = RunningScores(rule, 4).push(x / 2.0**deciders.bits)[-1]
        scale = 2.0**30 if name == "ce_sum_softmax" else 2.0**deciders.bits
        kept = told["scores"][-1] / (1.0 if deciders.format == "float32" else scale)
        np.testing.assert_allclose(kept, total * (len(x) if name == "ce_mean" else 1), rtol=3e-6, atol=0.2)
        assert (told["label"] == 1).all()


@needs_compiler
@pytest.mark.parametrize("deciders", ["float32"], indirect=True)
def test_outputs_that_are_no_numbers_do_no_harm(deciders: Deciders) -> None:
    x = np.random.default_rng(0).choice(np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 0], np.float32), (300, 4))
    for rule in RULES:
        (told,) = deciders(rule, [x])
        assert set(told["label"].tolist()) <= {0, 1, 2, 3}


@pytest.mark.parametrize("bits", [-8, -1, 0, 5, 13, 24, 30, 64])
def test_the_integer_softmax(bits: int) -> None:
    rng = np.random.default_rng(0)
    x = np.rint(rng.normal(size=(500, 5)) * 4 * 2.0 ** min(bits, 26)).astype(np.int64)
    real = np.exp((x - x.max(-1, keepdims=True)) / 2.0**bits)
    np.testing.assert_allclose(softmax(x, bits) / 2.0**30, real / real.sum(-1, keepdims=True), atol=2.0**-22)
    assert (softmax(x, bits).sum(-1) <= 2**30).all()
    ordered = exponential(np.arange(0, 2**32 - 1, 2**20 + 1), bits)
    assert ordered[0] == 2**30 and (np.diff(ordered) <= 0).all() and (bits > 28 or ordered[-1] == 0)


def test_no_product_of_the_integer_softmax_overflows() -> None:
    """Each stage is a coefficient less a part of the stage before. As the coefficients fall, a stage lies between 0 and its
    own, so that no difference is negative and no product exceeds 2**60."""
    stages = (2**30, *POWER)
    assert all(more > less > 0 for more, less in pairwise(stages))
    assert 2**32 * 1549082005 < 2**64  # distance x 1 / ln 2
    assert 2**30 * (2**62 // 2**30) < 2**64  # part x 2**62 / total, whose least is 2**30


# ---- names ------------------------------------------------------------------------------------------------------------------

HOSTILE = [
    '"', "\\", 'say "x"; \\', "two\nlines", "tab\t", "??/", "??)trigraph", "é", "日本", "\x80\x9b31m", "%s%n", "/* */", "//", "0",
    "\\x41", "a" * 400 + " " + "b" * 400, " ", "", "ends with \\", "\r", "\x7f", "\ud800", "1" + "\x01" + "1",
]  # fmt: skip


@needs_compiler
def test_any_class_name_in_c(tmp_path: Path) -> None:
    """1,000 of them: their bytes, and nothing of a name becomes C."""
    classes = tuple(HOSTILE) + tuple(f"class {n}" for n in range(1000 - len(HOSTILE)))
    net = SRNN(2, [1], 1000, generator=torch.Generator().manual_seed(0))
    report = export_c(net, tmp_path, "net", decision=DecisionRule(LossConfig(), classes))
    assert report["decision"]["classes"] == list(classes)
    (tmp_path / "names.c").write_text(
        '#include "net.h"\n#include <stdio.h>\nint main(void)\n{\n    int c;\n\n'
        "    for (c = 0; c < NET_NUM_CLASSES; c++) {\n        fputs(NET_CLASSES[c], stdout);\n        putchar(0);\n    }\n"
        "    return 0;\n}\n"
    )
    command = [COMPILERS[0], *FLAGS, "-trigraphs", "-o", "names", "names.c", "net.c", "-lm"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = subprocess.run([tmp_path / "names"], capture_output=True, check=True).stdout.split(b"\0")
    assert told[:-1] == [name.encode("utf-8", "backslashreplace") for name in classes]
    assert (tmp_path / "net.c").read_bytes().isascii()


@given(st.text(max_size=50))
def test_a_string_is_one_line_of_plain_c(text: str) -> None:
    literal = c_string(text)
    assert re.fullmatch(r'"([ !#->@-\[\]-~]|\\[0-3][0-7]{2})*"', literal)
    plain = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), literal[1:-1].encode())
    assert plain == text.encode("utf-8", "backslashreplace")


@given(st.text(max_size=60))
def test_any_text_makes_a_name(text: str) -> None:
    check_name(identifier(text))


def test_names_made_of_texts() -> None:
    cases = {
        "digits": "digits", "spoken-digits": "spoken_digits", "My gestures (v2)": "My_gestures_v2", "größe": "groe",
        "4 gestures": "net_4_gestures", "int": "int_net", "Main": "Main_net", "": "net", "日本": "net", "math": "math_net",
    }  # fmt: skip
    assert {text: identifier(text) for text in cases} == cases


def test_decisions_that_cannot_be_exported(tmp_path: Path) -> None:
    cases = [
        (DecisionRule(LossConfig(), ("a", "b")), "2 classes.*4 outputs"),
        (DecisionRule(LossConfig(), ("a", "b", "c", "x" * 2000)), "2000 bytes"),
        (DecisionRule(LossConfig(start=2**31), CLASSES), "counts steps"),
    ]
    for rule, message in cases:
        with pytest.raises(SrnnError, match=message):
            export_c(NET, tmp_path / "c", decision=rule)
    assert not (tmp_path / "c").exists()


# ---- the program ------------------------------------------------------------------------------------------------------------


def program(folder: Path, format: Format, loss: LossConfig, **options: Any) -> tuple[Any, Plan, Any]:
    """(program, plan, model) of a network of 5 inputs and 3 classes."""
    net = SRNN(5, [12, 9], 3, generator=torch.Generator().manual_seed(1))
    rule = DecisionRule(loss, ("up\n", "do wn", "é"))
    export_c(net, folder, "net", format, decision=rule, **options)
    device = device_network(net)
    model = quantise(device, options.get("inputs_as")) if format == "int8" else device
    plan = make_plan(model, "net", rule)
    return build(folder, plan, COMPILERS[0], *SANITIZED), plan, model


def lines(x: np.ndarray) -> str:
    return "\n".join(",".join(f"{value:.9g}" for value in row) for row in x.reshape(-1, x.shape[-1]))


@needs_compiler
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["nll", "ce_sum_softmax"])
def test_the_program_prints_classes(name: LossName, format: Format, tmp_path: Path) -> None:
    """Both formats from the same numbers: an int8 library's are converted, as its integer model does."""
    x, inputs_as = signal("analog", batch=3, steps=40), InputFormat(3.0, whole=False)
    x[0, 0, 0] = 100.0  # beyond the range: held
    x[1, :5, 0] = np.array([0.5, -0.5, 1.5, 2.5, -3.5]) / 2**inputs_as.bits  # ties go to the even neighbour
    loss = LossConfig(name, start=2)
    options = {"inputs_as": inputs_as} if format == "int8" else {}
    tested, _, model = program(tmp_path / "c", format, loss, **options)
    whole = inputs_as.encode(x)
    output = run_float32(model, x).output if format == "float32" else model.run(whole).output / 2.0**model.output_bits
    shown = ("up?", "do wn", "é")
    running = [[shown[c] for c in RunningScores(loss, 3).push(sequence).argmax(-1)] for sequence in output]
    every = [f"{t}\t{label}" for labels in running for t, label in enumerate(labels)]
    if name == "nll":
        expected = [
            f"{t}\t{label}" for labels in running for t, label in enumerate(labels) if t == 0 or label != labels[t - 1]
        ]
    else:
        expected = [f"39\t{labels[-1]}" for labels in running]
    text = lines(x)
    assert tested.text("--steps", "40", "--every", given=text).splitlines() == every
    assert tested.text("--steps", "40", given=text).splitlines() == expected
    scores = [line.split(",") for line in tested.text("--steps", "40", "--scores", given=text).splitlines()]
    raw = np.array(scores, np.float32 if format == "float32" else float).reshape(3, 40, 3)
    np.testing.assert_array_equal(raw if format == "float32" else raw / 2.0**model.output_bits, output)
    assert tested.text(given="") == ""
    if format == "int8":
        same = tested.text("--steps", "40", "--every", "--raw", given=lines(whole.astype(float)))
        assert same.splitlines() == every
        for text, message in (("0.5,0,0,0,0", "whole number"), ("40000,0,0,0,0", "whole number")):
            assert message in tested.tried("--raw", given=text).stderr
        assert "finite number" in tested.tried(given="nan,0,0,0,0").stderr


@needs_compiler
def test_the_header_says_the_rule_and_its_sizes(tmp_path: Path) -> None:
    cases = [
        ("float32", LossConfig("ce_mean", 5), "largest mean of its output over its steps from number 5 on"),
        ("int8", LossConfig("ce_sum_softmax"), "largest sum of softmax(output) over all of its steps"),
        ("float32", LossConfig("nll"), "largest output at this step"),
    ]
    for format, loss, words in cases:
        folder = tmp_path / loss.name
        _, plan, _ = program(folder, format, loss)  # type: ignore[arg-type]
        text = re.sub(r"\s*\n \* ", " ", (folder / "net.h").read_text())
        assert plan.decision is not None
        assert words in text and f"RAM {plan.decision.ram_bytes} bytes a decision" in text
        assert f"and {plan.decision.ram_bytes} a decision" in text
        (folder / "size.c").write_text(
            '#include "net.h"\n#include <stdio.h>\nint main(void)\n{\n    printf("%d", (int)sizeof(net_decision));\n'
            "    return 0;\n}\n"
        )
        subprocess.run([COMPILERS[0], "-o", "size", "size.c"], cwd=folder, check=True)
        told = subprocess.run([folder / "size"], capture_output=True, text=True, check=True).stdout
        assert int(told) == plan.decision.ram_bytes
    export_c(NET, tmp_path / "none")
    text = (tmp_path / "none" / "network.h").read_text()
    assert "prediction" not in text and "decide" not in text and "was not given" in re.sub(r"\s*\n \* ", " ", text)


TWO = """\
#include "heart.h"
#include "hand.h"
#include <stdio.h>

int main()
{
    static heart_state one;
    static hand_state other;
    static heart_decision first;
    static hand_decision second;
    heart_input a[HEART_INPUTS] = {1, 1};
    hand_input b[HAND_INPUTS] = {1, 0};
    heart_score x[HEART_OUTPUTS];
    hand_score y[HAND_OUTPUTS];
    int t, i = 0, j = 0;

    heart_init(&one);
    hand_init(&other);
    heart_decision_init(&first);
    hand_decision_init(&second);
    for (t = 0; t < 20; t++) {
        heart_step(&one, a, x);
        hand_step(&other, b, y);
        i = heart_decide(&first, x);
        j = hand_decide(&second, y);
    }
    printf("%s %s", HEART_CLASSES[i], HAND_CLASSES[j]);
    return 0;
}
"""


@needs_compiler
@pytest.mark.parametrize("language", ["c", "c++"])
def test_two_networks_in_one_program(language: str, tmp_path: Path) -> None:
    """All files in one folder, as in a firmware; from C++, too."""
    linker = COMPILERS[0] if language == "c" else "g++"
    if shutil.which(linker) is None:
        pytest.skip(f"no {linker} in the PATH")
    nets = {
        name: SRNN(2, [8], 3, generator=torch.Generator().manual_seed(seed))
        for seed, name in enumerate(("heart", "hand"))
    }
    formats: dict[str, Format] = {"heart": "float32", "hand": "int8"}
    inputs, expected = {"heart": [1.0, 1.0], "hand": [1.0, 0.0]}, []
    for name, net in nets.items():
        rule = DecisionRule(LossConfig("ce_sum_softmax", 1), tuple(f"{name}{c}" for c in "abc"))
        export_c(net, tmp_path / name, name, formats[name], decision=rule)
        files = {path.name for path in (tmp_path / name).iterdir()}
        shared = {"Makefile"}
        assert all(file.startswith((f"{name}.", f"{name}_")) for file in files - shared), files
        for path in (tmp_path / name).glob("*.[ch]"):
            shutil.copy(path, tmp_path / path.name)
        model = device_network(net)
        x = np.tile(np.array(inputs[name], np.float32), (1, 20, 1))
        output = run_float32(model, x).output[0]
        if formats[name] == "int8":
            small = quantise(model)
            output = small.run(x.astype(int)).output[0] / 2.0**small.output_bits
        expected.append(rule.classes[RunningScores(rule.loss, 3).push(output)[-1].argmax()])
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    (tmp_path / f"two.{language}").write_text(TWO)
    for name in nets:
        subprocess.run([COMPILERS[0], "-std=c99", *warnings, "-c", f"{name}.c"], cwd=tmp_path, check=True)
    command = [
        linker,
        *warnings,
        "-x",
        language,
        f"two.{language}",
        "-x",
        "none",
        "heart.o",
        "hand.o",
        "-lm",
        "-o",
        "two",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = subprocess.run([tmp_path / "two"], capture_output=True, text=True, check=True).stdout
    assert told.split() == expected


@needs_compiler
def test_the_makefile_builds_what_it_says(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    export_c(NET, tmp_path, "read", decision=DecisionRule(LossConfig(), CLASSES))  # a name that clashed with read_input
    command = ["make", "-s", f"CC={COMPILERS[0]}", "read", "read_count"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"read", "read_count"} <= {path.name for path in tmp_path.iterdir()}
    told = subprocess.run([tmp_path / "read"], input="1,0\n0,1\n", capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[0].startswith("1\t") and told.count("\n") == 1
