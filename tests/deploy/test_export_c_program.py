"""The program beside an exported library prints classes; names of classes and networks are any
text; two fit into one program."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import srnn
from srnn import SRNN, SrnnError
from srnn.api import from_network
from srnn.cli.main import main
from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.speech import Statistics
from srnn.data.signals import CrossingPath, ScaledPath, SignalPath
from srnn.data.tasks import create_task
from srnn.deploy.c import export_c
from srnn.deploy.c.names import c_string, check_name, identifier
from srnn.deploy.c.plan import Plan, make_plan
from srnn.deploy.export.model import export
from srnn.measure.scores import running_scores
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from srnn.nn.loss_config import DecisionRule, LossConfig, LossName
from srnn.training.recipes.schema import Recipe, TaskConfig
from srnn.training.trained import Trained
from support.compiled import COMPILERS, FLAGS, SANITIZED, build, compile_c
from support.exporting import signal
from support.kept import copy_of, write_tables

needs_compiler = pytest.mark.skipif(
    not COMPILERS, reason="no C compiler (gcc, clang) on this machine"
)
Format = Literal["float32", "int8"]
FORMATS: tuple[Format, ...] = ("float32", "int8")
CLASSES = ("a", "b", "c", "d")
NET = SRNN.paper(2, [2], 4, generator=torch.Generator().manual_seed(0))

# ---- names ------------------------------------------------------------------------------------------------------------------

HOSTILE = [
    '"', "\\", 'say "x"; \\', "two\nlines", "tab\t", "??/", "??)trigraph", "é", "日本", "\x80\x9b31m", "%s%n", "/* */", "//", "0",
    "\\x41", "a" * 400 + " " + "b" * 400, " ", "", "ends with \\", "\r", "\x7f", "\ud800", "1" + "\x01" + "1",
]  # fmt: skip


@needs_compiler
def test_any_class_name_in_c(tmp_path: Path) -> None:
    """1,000 of them: their bytes, and nothing of a name becomes C."""
    classes = tuple(HOSTILE) + tuple(f"class {n}" for n in range(1000 - len(HOSTILE)))
    net = SRNN.paper(2, [1], 1000, generator=torch.Generator().manual_seed(0))
    report = export_c(net, tmp_path, "net", decision=DecisionRule(LossConfig(), classes))
    assert report["decision"]["classes"] == list(classes)
    (tmp_path / "names.c").write_text(
        '#include "net.h"\n#include <stdio.h>\nint main(void)\n{\n    int c;\n\n'
        "    for (c = 0; c < NET_NUM_CLASSES; c++) {\n        fputs(NET_CLASSES[c], stdout);\n     "
        "   putchar(0);\n    }\n"
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
    plain = re.sub(
        rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), literal[1:-1].encode()
    )
    assert plain == text.encode("utf-8", "backslashreplace")


@given(st.text(max_size=60))
def test_any_text_makes_a_name(text: str) -> None:
    check_name(identifier(text))


def test_names_made_of_texts() -> None:
    cases = {
        "digits": "digits", "spoken-digits": "spoken_digits", "My gestures (v2)": "My_gestures_v2", "größe": "groe",
        "4 gestures": "net_4_gestures", "int": "int_net", "Main": "Main_net", "": "net", "日本": "net", "math": "math_net",
        "my-ecg-s3-20261201-140501": "my_ecg", "20261201-140501": "net_20261201_140501", "ecg-s3": "ecg_s3",
    }  # fmt: skip
    assert {text: identifier(text) for text in cases} == cases


def test_decisions_that_cannot_be_exported(tmp_path: Path) -> None:
    cases = [(DecisionRule(LossConfig(), ("a", "b")), "2 classes.*4 outputs")]
    for rule, message in cases:
        with pytest.raises(SrnnError, match=message):
            export_c(NET, tmp_path / "c", decision=rule)
    assert not (tmp_path / "c").exists()


# ---- the program ------------------------------------------------------------------------------------------------------------


def program(
    folder: Path, format: Format, loss: LossConfig, **options: Any
) -> tuple[Any, Plan, Any]:
    """(program, plan, model) of a network of 5 inputs and 3 classes."""
    net = SRNN.paper(5, [12, 9], 3, generator=torch.Generator().manual_seed(1))
    rule = DecisionRule(loss, ("up\n", "do wn", "é"))
    export_c(net, folder, "net", format, decision=rule, **options)
    device = device_network(net)
    model = quantise(device, options.get("inputs_as")) if format == "int8" else device
    plan = make_plan(model, "net", rule)
    return build(folder, plan, COMPILERS[0], *SANITIZED), plan, model


def lines(x: np.ndarray) -> str:
    return "\n".join(
        ",".join(f"{value:.9g}" for value in row) for row in x.reshape(-1, x.shape[-1])
    )


@needs_compiler
@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("nll", "float32"),
        ("ce_sum_softmax", "int8"),
        pytest.param("nll", "int8", marks=pytest.mark.slow),
        pytest.param("ce_sum_softmax", "float32", marks=pytest.mark.slow),
    ],
)
def test_the_program_prints_classes(name: LossName, format: Format, tmp_path: Path) -> None:
    """Both formats from the same numbers: an int8 library's are converted, as its integer model
    does."""
    x, inputs_as = signal("analog", batch=3, steps=40), InputFormat(3.0, whole=False)
    x[0, 0, 0] = 100.0  # beyond the range: held
    x[1, :5, 0] = (
        np.array([0.5, -0.5, 1.5, 2.5, -3.5]) / 2**inputs_as.bits
    )  # ties go to the even neighbour
    loss = LossConfig(name, start=2)
    options = {"inputs_as": inputs_as} if format == "int8" else {}
    tested, _, model = program(tmp_path / "c", format, loss, **options)
    whole = inputs_as.encode(x)
    output = (
        run_float32(model, x).output
        if format == "float32"
        else model.run(whole).output / 2.0**model.output_bits
    )
    shown = ("up?", "do wn", "é")
    running = [
        [shown[c] for c in row]
        for row in running_scores(output, loss.scoring, loss.start).argmax(-1)
    ]
    every = [f"{t}\t{label}" for labels in running for t, label in enumerate(labels)]
    if name == "nll":
        expected = [
            f"{t}\t{label}"
            for labels in running
            for t, label in enumerate(labels)
            if t == 0 or label != labels[t - 1]
        ]
    else:
        expected = [f"39\t{labels[-1]}" for labels in running]
    text = lines(x)
    assert tested.text("--steps", "40", "--every", given=text).splitlines() == every
    assert tested.text("--steps", "40", given=text).splitlines() == expected
    scores = [
        line.split(",")
        for line in tested.text("--steps", "40", "--scores", given=text).splitlines()
    ]
    raw = np.array(scores, np.float32 if format == "float32" else float).reshape(3, 40, 3)
    np.testing.assert_array_equal(
        raw if format == "float32" else raw / 2.0**model.output_bits, output
    )
    assert tested.text(given="") == ""
    if format == "int8":
        same = tested.text("--steps", "40", "--every", "--raw", given=lines(whole.astype(float)))
        assert same.splitlines() == every
        for text, message in (
            ("0.5,0,0,0,0", "not an integer"),
            ("40000,0,0,0,0", "not an integer"),
        ):
            assert message in tested.tried("--raw", given=text).stderr
        assert "finite number" in tested.tried(given="nan,0,0,0,0").stderr
        row = "5,4,3,2,1\n"
        assert tested.text(given=f"time,a,b,c,d,e\n0,{row}") == tested.text(given=row)
        for text, message in (
            (f"0,{row}", "line 1: too many numbers"),
            (f"a,b,c,d\n{row}", "line 1: too few columns"),
            (f"a,b,c,d,e,f\n0,{row}", "line 1: too many columns"),
            (f"t,a,b,c,d,e\n{row}", "line 2: too few numbers"),
        ):
            said = tested.tried(given=text).stderr
            assert message in said and "(expected: 5 numbers)" in said


@needs_compiler
@pytest.mark.parametrize("format", FORMATS)
def test_the_program_takes_the_sensors_numbers(format: Format, tmp_path: Path) -> None:
    """Of a model whose channels were scaled in training; its library takes them scaled, and its
    header says how."""
    net = SRNN.paper(2, [8], 3, generator=torch.Generator().manual_seed(3))
    statistics = Statistics(np.array([9.81, -300.0], np.float32), np.array([0.3, 71.5], np.float32))
    known = {"names": ("ax", "temp */"), "units": ("m/s2", None)}
    model = from_network(
        net, ("a", "b", "c"), signal=ScaledPath(2, 50.0, statistics, **known), name="My sensor"
    )
    inputs_as = InputFormat(4.0, whole=False)
    options = {"inputs_as": inputs_as} if format == "int8" else {}
    model.export(tmp_path / "c", "c" if format == "float32" else "int8", **options)
    raw = (
        np.random.default_rng(0)
        .normal(statistics.mean, statistics.std, (1, 40, 2))
        .astype(np.float32)
    )
    path = ScaledPath(2, 50.0, statistics)
    x, device = path.whole(raw[0])[None], device_network(net, path)
    small = quantise(device, inputs_as)
    plan = make_plan(small if format == "int8" else device, "My_sensor")
    output = run_float32(device, x).output
    if sensor := plan.samples.format:
        output = small.run(sensor.inputs(sensor.samples(raw))).output
    program = build(tmp_path / "c", plan, COMPILERS[0], *SANITIZED)
    rows = [line.split(",") for line in program.text("--scores", given=lines(raw)).splitlines()]
    np.testing.assert_array_equal(
        np.array(rows, np.float32 if format == "float32" else int), output[0]
    )
    if format == "float32":
        assert program.text("--scores", "--raw", given=lines(x)) == program.text(
            "--scores", given=lines(raw)
        )
    text = (tmp_path / "c" / "My_sensor.h").read_text()
    assert "task My sensor, a step every 20 ms, of ax (m/s2), temp _, " in text
    if format == "float32":
        assert "mean[MY_SENSOR_CHANNELS] = {9.81f, -300.0f};" in text
        assert "deviation[MY_SENSOR_CHANNELS] = {0.3f, 71.5f};" in text


@needs_compiler
def test_a_stream_may_have_more_steps_than_a_long_counts(tmp_path: Path) -> None:
    """One of 32 bits (Windows, small boards) is passed after 37 hours of sound. One of 8 stands in
    for it here."""
    path = CrossingPath(
        LevelCrossing("send_on_delta", 0.1, 0.1), channels=1, smoothing=0, horizon=2.0
    )
    net = SRNN.paper(2, [4], 2, generator=torch.Generator().manual_seed(0))
    from_network(net, ("a", "b"), loss="nll", signal=path).export(tmp_path, "c", name="net")
    source = tmp_path / "net_main.c"
    narrow, count = re.subn(
        r"(?<!unsigned )\blong (?!long)(?=[a-z]+\W)", "signed char ", source.read_text()
    )
    assert count == 3
    source.write_text(narrow)
    subprocess.run(
        [COMPILERS[0], "-std=c99", "-o", "net", "net_main.c", "net.c", "-lm"],
        cwd=tmp_path,
        check=True,
    )
    for options, row in (("", "1,0\n"), ("--encode", "5\n")):
        command = [tmp_path / "net", "--every", *options.split()]
        done = subprocess.run(command, input=row * 300, capture_output=True, text=True, check=True)
        assert [line.split()[0] for line in done.stdout.splitlines()] == [
            str(step) for step in range(300)
        ]


@needs_compiler
@pytest.mark.parametrize("format", FORMATS)
def test_a_macro_of_many_channels_is_one(format: Format, tmp_path: Path) -> None:
    """Nine sensors or more: their means and deviations, or thresholds, went on in a next line that
    was no part of the macro."""
    mean, std = np.full(30, -1234.567, np.float32), np.full(30, 9.876543, np.float32)
    crossing = CrossingPath(LevelCrossing("send_on_delta", 0.1, 0.1), channels=30, smoothing=0)
    signals: tuple[SignalPath, ...] = (
        ScaledPath(30, 50.0, Statistics(mean, std)),
        crossing.with_std([float(value) for value in std]),
    )
    for number, path in enumerate(signals):
        net = SRNN.paper(path.inputs, [2], 2, generator=torch.Generator().manual_seed(0))
        model, folder = from_network(net, ("a", "b"), signal=path), tmp_path / str(number)
        options = {"inputs_as": InputFormat(4.0, whole=False)} if format == "int8" else {}
        model.export(folder, "c" if format == "float32" else "int8", name="net", **options)
        subprocess.run(
            [COMPILERS[0], *FLAGS, "-o", "net", "net_main.c", "net.c", "-lm"],
            cwd=folder,
            check=True,
        )


@needs_compiler
def test_the_header_says_the_rule_and_its_sizes(tmp_path: Path) -> None:
    cases = [
        (
            "float32",
            LossConfig("ce_mean", 5),
            "largest mean of its output over its steps from number 5 on",
        ),
        (
            "int8",
            LossConfig("ce_sum_softmax"),
            "largest sum of softmax(output) over all of its steps",
        ),
        ("float32", LossConfig("nll"), "largest output at this step"),
    ]
    for format, loss, words in cases:
        folder = tmp_path / loss.name
        _, plan, model = program(folder, format, loss)  # type: ignore[arg-type]
        text = re.sub(r"\s*\n \* ", " ", (folder / "net.h").read_text())
        assert plan.decision is not None
        assert words in text and f"RAM {plan.decision.ram_bytes} bytes per decision" in text
        assert plan.ram_bytes == plan.state_bytes + plan.decision.ram_bytes
        assert plan.flash_bytes == make_plan(model, "net").flash_bytes + plan.decision.flash_bytes
        assert f"and {plan.decision.ram_bytes} per decision" in text
        (folder / "size.c").write_text(
            '#include "net.h"\n#include <stdio.h>\nint main(void)\n{\n    printf("%d", '
            "(int)sizeof(net_decision));\n"
            "    return 0;\n}\n"
        )
        subprocess.run([COMPILERS[0], "-o", "size", "size.c"], cwd=folder, check=True)
        told = subprocess.run([folder / "size"], capture_output=True, text=True, check=True).stdout
        assert int(told) == plan.decision.ram_bytes
    export_c(NET, tmp_path / "none")
    text = (tmp_path / "none" / "network.h").read_text()
    assert (
        "prediction" not in text
        and "decide" not in text
        and "was not given" in re.sub(r"\s*\n \* ", " ", text)
    )


@pytest.mark.parametrize("name, format, words", [
    ("digits", "int8", "its pixel and the next 15, from 0 to 1; where fewer follow, the last 16 of "
                       "the image. An input x is "
     "given as round(x * 2^14), clamped to int16."),
    ("smnist-delays", "c", "its pixel and the next 7, divided by 255;"),
    ("ecg", "int8", "spikes, 0 or 1: lead 1 rises, lead 1 falls, lead 2 rises, lead 2 falls. An "
                    "input x is given as an "
     "integer, clamped to int8."),
    ("spoken-digits-spikes", "c", "spikes of the cochlea, 0 or 1, in bins of 10 ms."),
])  # fmt: skip
def test_the_header_says_what_the_inputs_of_a_step_are(
    name: str, format: Any, words: str, tmp_path: Path
) -> None:
    srnn.load(name).export(tmp_path / "c", format, name="net")
    header = re.sub(r"\s*\n \* ", " ", (tmp_path / "c" / "net.h").read_text())
    assert f"Inputs of a step: {words}" in header
    assert ("must be finite" in header) == (format == "c")


@pytest.mark.parametrize(
    "name, lag", [("ecg-lookahead-large", "94 steps (376 ms)"), ("ecg-records", "19 steps (76 ms)")]
)
def test_the_header_says_how_late_a_class_is(name: str, lag: str, tmp_path: Path) -> None:
    """Of a network whose labels came later in training, and what this one is called elsewhere."""
    srnn.load(name).export(tmp_path / "c", name="net")
    header = re.sub(r"\s*\n \* ", " ", (tmp_path / "c" / "net.h").read_text())
    about = f"{name}, task ecg, a step every 4 ms, with the class of the step {lag} before it, "
    assert header.startswith(f"/* net: {about}")


def test_an_export_needs_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even those of a folder that a recipe names, and that is not here."""
    monkeypatch.chdir(tmp_path)
    np.savez("taps.npz", x=np.zeros((30, 5, 2)), y=np.arange(30) % 3)
    task = create_task("folder", path="taps.npz", scale="none").described()
    Path("taps.npz").unlink()
    export(Trained(SRNN.paper(2, [2], 3), task, Recipe(TaskConfig("folder"))), tmp_path / "c")


@needs_compiler
def test_what_is_not_finite_is_gone_with_a_new_state(tmp_path: Path) -> None:
    """As the header says: it silences neurons until NAME_init, and nothing reads or writes beyond
    an array."""
    tested, plan, model = program(tmp_path / "c", "float32", LossConfig("ce_mean"))
    x = signal("analog", batch=4, steps=30)
    expected, worst = run_float32(model, x).output, np.array([np.nan, np.inf, -np.inf], np.float32)
    broken = x.copy()
    broken[:3, 5, 1] = worst
    command = [str(tested.path), "--binary", "--steps", "30"]
    done = subprocess.run(command, input=broken.tobytes(), capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.float32).reshape(expected.shape)
    assert (found[:, :5] == expected[:, :5]).all() and (found[3] == expected[3]).all()
    assert (found[:3, 5:] != expected[:3, 5:]).any((1, 2)).all()
    assert (
        "a NaN or an infinity stays in the state" in (tmp_path / "c" / f"{plan.name}.h").read_text()
    )


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
        name: SRNN.paper(2, [8], 3, generator=torch.Generator().manual_seed(seed))
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
        expected.append(
            rule.classes[
                running_scores(output[None], rule.loss.scoring, rule.loss.start)[0, -1].argmax()
            ]
        )
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    (tmp_path / f"two.{language}").write_text(TWO)
    for name in nets:
        subprocess.run(
            [COMPILERS[0], "-std=c99", *warnings, "-c", f"{name}.c"], cwd=tmp_path, check=True
        )
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


@pytest.mark.slow
@needs_compiler
def test_the_makefile_builds_what_it_says(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    export_c(
        NET, tmp_path, "read", decision=DecisionRule(LossConfig(), CLASSES)
    )  # a name that clashed with read_input
    command = ["make", "-s", f"CC={COMPILERS[0]}", "read", "read_count"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"read", "read_count"} <= {path.name for path in tmp_path.iterdir()}
    told = subprocess.run(
        [tmp_path / "read"], input="1,0\n0,1\n", capture_output=True, text=True, check=True
    ).stdout
    assert told.splitlines()[0].startswith("1\t") and told.count("\n") == 1
    command = ["make", "-n", "-B", "read", "CFLAGS=-O3"]  # as an environment often has it
    assert (
        "-O3 -ffp-contract=off"
        in subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    )


@pytest.fixture
def learnt(tmp_path: Path) -> Path:
    """A folder with ``data``, tables in folders of their class, and ``run``, a network that has
    learnt them."""
    write_tables(tmp_path / "data")
    copy_of("tables", tmp_path / "run")
    return tmp_path


@needs_compiler
@pytest.mark.parametrize("format", FORMATS)
def test_the_program_takes_the_tables_of_training(
    format: Format, learnt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With names, units and times, columns in another order, and without a first line: the label is
    that of predict."""
    model = srnn.load(learnt / "run")
    model.export(tmp_path / "c", "int8" if format == "int8" else "c", name="net")
    sources = [tmp_path / "c" / name for name in ("net_main.c", "net.c")]
    compile_c([COMPILERS[0], *FLAGS, *SANITIZED], sources, tmp_path / "c" / "net")

    def said(table: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [tmp_path / "c" / "net", *arguments]
        return subprocess.run(command, input=table, capture_output=True, text=True, check=False)

    paths = sorted((learnt / "data").glob("*/*.csv"))[::4]
    capsys.readouterr()
    assert main(["predict", str(learnt / "run"), *map(str, paths), "--json"]) == 0
    labels = [result["label"] for result in json.loads(capsys.readouterr().out)["results"]]
    assert len(set(labels)) > 1
    assert [said(path.read_text()).stdout for path in paths] == [
        f"39\t{label}\n" for label in labels
    ]

    table = paths[0].read_text()
    scores = said(table, "--scores").stdout
    header, *rows = table.split("\n")
    bare = "\n".join(row.partition(",")[2] for row in rows)
    assert said(bare, "--scores").stdout == scores
    turned = "\n".join(",".join([*row.split(",")[:0:-1], "0"]) for row in rows)
    for titles in ("temp,Acc_Y,AX,other", 'temp,"acc_y",ax [m/s^2],', "temp,acc_y,ax_m/s2,0"):
        assert said(f"\ufeff{titles}\r\n# a comment\n\n{turned}\n", "--scores").stdout == scores
    german = bare.replace(",", ";").replace(".", ",")
    assert said(f"ax;acc_y;temp\n{german}", "--scores").stdout == scores
    assert said(bare.replace(",", " \t"), "--scores").stdout == scores

    for titles, message in (
        ("time,ax,acc_y,tempo", "line 1: there is no column temp\n"),
        ("time,ax (g),acc_y,temp", "line 1: there is no column ax (m/s2)\n"),
        ("time,ax,acc_y,temp,AX", "line 1: more than one column is ax (expected: 3 numbers)\n"),
    ):
        done = said("\n".join([titles, *rows]))
        assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    done = said("\n".join([header, *rows[:3], "0.06,1,,2"]))
    assert done.returncode == 2 and done.stderr.startswith(
        "line 5: too few numbers: a column is empty"
    )
