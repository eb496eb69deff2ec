"""The program beside an exported library prints classes; names of classes and networks are any
text; two fit into one program."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import srnn
from srnn import SRNN
from srnn.api import from_network
from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.speech import Statistics
from srnn.data.signals import CrossingPath, ScaledPath, SignalPath
from srnn.data.tasks import create_task
from srnn.deploy.c import export_c
from srnn.deploy.c.names import c_string, check_name, identifier
from srnn.deploy.c.plan import make_plan
from srnn.deploy.export.model import export
from srnn.model.recipe import Recipe, TaskConfig
from srnn.model.trained import Trained
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from srnn.nn.loss_config import DecisionRule, LossConfig, LossName
from srnn.nn.scores import running_scores
from support.compiled import COMPILERS, FLAGS, SANITIZED, build, every_format, needs_compiler, ran
from support.exporting import signal
from support.kept import copy_of, write_tables

Format = Literal["float32", "int8"]
FORMATS: tuple[Format, ...] = ("float32", "int8")
CLASSES = ("a", "b", "c", "d")
NET = SRNN.paper(2, [2], 4, generator=torch.Generator().manual_seed(0))

# ---- names ------------------------------------------------------------------------------------------------------------------

HOSTILE = [
    '"', "\\", 'say "x"; \\', "two\nlines", "tab\t", "??/", "??)trigraph", "é", "日本", "\x80\x9b31m", "%s%n", "/* */", "//", "0",
    "\\x41", "a" * 400 + " " + "b" * 400, " ", "", "ends with \\", "\r", "\x7f", "\ud800", "1" + "\x01" + "1",
]  # fmt: skip

NAMES = """\
#include "net.h"
#include <stdio.h>
int main(void)
{
    for (int c = 0; c < NET_NUM_CLASSES; c++) {
        fputs(NET_CLASSES[c], stdout);
        putchar(0);
    }
    return 0;
}
"""


@needs_compiler
def test_any_class_name_in_c(tmp_path: Path) -> None:
    """1,000 of them: their bytes, and nothing of a name becomes C."""
    classes = tuple(HOSTILE) + tuple(f"class {n}" for n in range(1000 - len(HOSTILE)))
    net = SRNN.paper(2, [1], 1000, generator=torch.Generator().manual_seed(0))
    report = export_c(net, tmp_path, "net", decision=DecisionRule(LossConfig(), classes))
    assert report["decision"]["classes"] == list(classes)
    (tmp_path / "names.c").write_text(NAMES)
    command = [COMPILERS[0], *FLAGS, "-trigraphs", "-o", "names", "names.c", "net.c", "-lm"]
    ran(*command, cwd=tmp_path)
    told = ran(tmp_path / "names").split(b"\0")
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


# ---- the program ------------------------------------------------------------------------------------------------------------


def program(folder: Path, format: Format, loss: LossConfig, **options: Any) -> tuple[Any, Any]:
    """(program, model) of a network of 5 inputs and 3 classes."""
    net = SRNN.paper(5, [12, 9], 3, generator=torch.Generator().manual_seed(1))
    rule = DecisionRule(loss, ("up\n", "do wn", "é"))
    export_c(net, folder, "net", format, decision=rule, **options)
    device = device_network(net)
    model = quantise(device, options.get("inputs_as")) if format == "int8" else device
    plan = make_plan(model, "net", rule)
    return build(folder, plan, COMPILERS[0], *SANITIZED), model


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
    """An int8 library's inputs are converted as its integer model converts them."""
    x, inputs_as = signal("analog", batch=3, steps=40), InputFormat(3.0, whole=False)
    x[0, 0, 0] = 100.0  # beyond the range: held
    ties = np.array([0.5, -0.5, 1.5, 2.5, -3.5])  # go to the even neighbour
    x[1, :5, 0] = ties / 2**inputs_as.bits
    loss = LossConfig(name, start=2)
    options = {"inputs_as": inputs_as} if format == "int8" else {}
    tested, model = program(tmp_path / "c", format, loss, **options)
    whole, one = inputs_as.encode(x), 2.0 ** getattr(model, "output_bits", 0)
    run = run_float32(model, x) if format == "float32" else model.run(whole)
    output, shown = run.output / one, ("up?", "do wn", "é")
    every, changes = [], []
    for labels in running_scores(output, loss.scoring, loss.start).argmax(-1):
        rows = [f"{t}\t{shown[label]}" for t, label in enumerate(labels)]
        every += rows
        changed = np.diff(labels, prepend=-1) != 0
        changes += [row for row, new in zip(rows, changed, strict=True) if new]
    if name != "nll":
        changes = every[39::40]

    def told(*words: str, text: str = lines(x)) -> list[str]:
        return tested.text("--steps", "40", *words, given=text).splitlines()

    assert told("--every") == every and told() == changes
    scores = np.array([line.split(",") for line in told("--scores")], run.output.dtype)
    np.testing.assert_array_equal(scores.reshape(output.shape), run.output)
    assert tested.text(given="") == ""
    if format == "float32":
        return
    assert told("--every", "--raw", text=lines(whole.astype(float))) == every
    row = "5,4,3,2,1\n"
    assert tested.text(given=f"time,a,b,c,d,e\n0,{row}") == tested.text(given=row)
    for words, text, message in (
        (["--raw"], "0.5,0,0,0,0", "not an integer"),
        (["--raw"], "40000,0,0,0,0", "not an integer"),
        ([], "nan,0,0,0,0", "finite number"),
        ([], f"0,{row}", "line 1: too many numbers (expected: 5 numbers)"),
        ([], f"a,b,c,d\n{row}", "line 1: too few columns (expected: 5 numbers)"),
        ([], f"a,b,c,d,e,f\n0,{row}", "line 1: too many columns (expected: 5 numbers)"),
        ([], f"t,a,b,c,d,e\n{row}", "line 2: too few numbers (expected: 5 numbers)"),
    ):
        assert message in tested.tried(*words, given=text).stderr


@needs_compiler
def test_a_stream_may_have_more_steps_than_a_long_counts(tmp_path: Path) -> None:
    """32 bits are passed after 37 hours of sound; 8 stand in for them here."""
    crossing = LevelCrossing("send_on_delta", 0.1, 0.1)
    path = CrossingPath(crossing, channels=1, smoothing=0, horizon=2.0)
    net = SRNN.paper(2, [4], 2, generator=torch.Generator().manual_seed(0))
    from_network(net, ("a", "b"), loss="nll", signal=path).export(tmp_path, "c", name="net")
    source = tmp_path / "net_main.c"
    wide = r"(?<!unsigned )\blong (?!long)(?=[a-z]+\W)"
    narrow, count = re.subn(wide, "signed char ", source.read_text())
    assert count == 3
    source.write_text(narrow)
    ran(COMPILERS[0], "-std=c99", "-o", "net", "net_main.c", "net.c", "-lm", cwd=tmp_path)
    for options, row in (([], b"1,0\n"), (["--encode"], b"5\n")):
        told = ran(tmp_path / "net", "--every", *options, given=row * 300).splitlines()
        assert [int(line.split()[0]) for line in told] == [*range(300)]


@needs_compiler
@every_format
def test_a_macro_of_many_channels_is_one(format: Format, tmp_path: Path) -> None:
    """Of nine sensors or more the macro went on in a line that was no part of it."""
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
        ran(COMPILERS[0], *FLAGS, "-o", "net", "net_main.c", "net.c", "-lm", cwd=folder)


@pytest.mark.parametrize("name, format, words", [
    ("digits", "int8", "Inputs of a step: its pixel and the next 15, from 0 to 1"),
    ("smnist-delays", "c", "Inputs of a step: its pixel and the next 7, divided by 255"),
    ("ecg", "int8", "spikes, 0 or 1: lead 1 rises, lead 1 falls, lead 2 rises, lead 2 falls"),
    ("spoken-digits-spikes", "c", "spikes of the cochlea, 0 or 1, in bins of 10 ms"),
    ("ecg-lookahead-large", "c", "with the class of the step 94 steps (376 ms) before it"),
    ("ecg-records", "c", "with the class of the step 19 steps (76 ms) before it"),
])  # fmt: skip
def test_the_header_says_what_a_step_is(name: str, format: Any, words: str, tmp_path: Path) -> None:
    srnn.load(name).export(tmp_path, format, name="net")
    assert words in re.sub(r"\s*\n \* ", " ", (tmp_path / "net.h").read_text())


def test_an_export_needs_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even those of a folder that a recipe names, and that is not here."""
    monkeypatch.chdir(tmp_path)
    np.savez("taps.npz", x=np.zeros((30, 5, 2)), y=np.arange(30) % 3)
    task = create_task("folder", path="taps.npz", scale="none").described()
    Path("taps.npz").unlink()
    export(Trained(SRNN.paper(2, [2], 3), task, Recipe(TaskConfig("folder"))), tmp_path / "c")


@needs_compiler
def test_what_is_not_finite_is_gone_with_a_new_state(tmp_path: Path) -> None:
    """It silences neurons until NAME_init, and nothing reads or writes beyond an array."""
    tested, model = program(tmp_path / "c", "float32", LossConfig("ce_mean"))
    x = signal("analog", batch=4, steps=30)
    expected, broken = run_float32(model, x).output, x.copy()
    broken[:3, 5, 1] = np.nan, np.inf, -np.inf
    told = ran(tested.path, "--binary", "--steps", "30", given=broken.tobytes())
    found = np.frombuffer(told, np.float32).reshape(expected.shape)
    assert (found[:, :5] == expected[:, :5]).all() and (found[3] == expected[3]).all()
    assert (found[:3, 5:] != expected[:3, 5:]).any((1, 2)).all()


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
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    cases: list[tuple[str, Format, list[float]]] = [
        ("heart", "float32", [1.0, 1.0]),
        ("hand", "int8", [1.0, 0.0]),
    ]
    expected = []
    for seed, (name, format, inputs) in enumerate(cases):
        net = SRNN.paper(2, [8], 3, generator=torch.Generator().manual_seed(seed))
        rule = DecisionRule(LossConfig("ce_sum_softmax", 1), tuple(f"{name}{c}" for c in "abc"))
        export_c(net, tmp_path / name, name, format, decision=rule)
        files = {path.name for path in (tmp_path / name).iterdir()} - {"Makefile"}
        assert all(file.startswith((f"{name}.", f"{name}_")) for file in files), files
        for path in (tmp_path / name).glob("*.[ch]"):
            shutil.copy(path, tmp_path)
        ran(COMPILERS[0], "-std=c99", *warnings, "-c", f"{name}.c", cwd=tmp_path)
        model, x = device_network(net), np.tile(np.float32(inputs), (1, 20, 1))
        output = run_float32(model, x).output
        if format == "int8":
            small = quantise(model)
            output = small.run(x.astype(int)).output / 2.0**small.output_bits
        scores = running_scores(output, rule.loss.scoring, rule.loss.start)[0, -1]
        expected.append(rule.classes[scores.argmax()])
    (tmp_path / "two").write_text(TWO)
    objects = ["-x", "none", "heart.o", "hand.o", "-lm"]
    ran(linker, *warnings, "-x", language, "two", *objects, "-o", "program", cwd=tmp_path)
    assert ran(tmp_path / "program").decode().split() == expected


@pytest.mark.slow
@needs_compiler
def test_the_makefile_builds_what_it_says(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    decision = DecisionRule(LossConfig(), CLASSES)
    export_c(NET, tmp_path, "read", decision=decision)  # a name that clashed with read_input
    ran("make", "-s", f"CC={COMPILERS[0]}", "read", "read_count", cwd=tmp_path)
    assert (tmp_path / "read_count").exists()
    told = ran(tmp_path / "read", given=b"1,0\n0,1\n")
    assert told.startswith(b"1\t") and told.count(b"\n") == 1
    flags = ran("make", "-n", "-B", "read", "CFLAGS=-O3", cwd=tmp_path)  # as an environment's
    assert b"-O3 -ffp-contract=off" in flags


@needs_compiler
@every_format
def test_the_program_takes_the_tables_of_training(format: Format, tmp_path: Path) -> None:
    """In any spelling, order or separator: the label is that of predict."""
    write_tables(tmp_path / "data")
    model = srnn.load(copy_of("tables", tmp_path / "run"))
    model.export(tmp_path / "c", "int8" if format == "int8" else "c", name="net")
    named: Any = SimpleNamespace(name="net")
    program = build(tmp_path / "c", named, COMPILERS[0], *SANITIZED)

    paths = sorted((tmp_path / "data").glob("*/*.csv"))[::4]
    labels = [model.predict(path).label for path in paths]
    assert len(set(labels)) > 1
    told = [program.text(given=path.read_text()) for path in paths]
    assert told == [f"39\t{label}\n" for label in labels]

    table = paths[0].read_text()
    header, *rows = table.split("\n")
    bare = "\n".join(row.partition(",")[2] for row in rows)
    turned = "\n".join(",".join([*row.split(",")[:0:-1], "0"]) for row in rows)
    german = bare.replace(",", ";").replace(".", ",")
    scores = program.text("--scores", given=table)
    for text in (
        bare,
        bare.replace(",", " \t"),
        f"ax;acc_y;temp\n{german}",
        f"\ufefftemp,Acc_Y,AX,other\r\n# a comment\n\n{turned}\n",
        f'temp,"acc_y",ax [m/s^2],\n{turned}',
        f"temp,acc_y,ax_m/s2,0\n{turned}",
    ):
        assert program.text("--scores", given=text) == scores

    if format == "float32":  # --raw: what the network reads, which is scaled
        raw = np.loadtxt(bare.splitlines(), np.float32, delimiter=",")
        steps = lines(model.task.signal().whole(raw))
        assert program.text("--scores", "--raw", given=steps) == scores

    for titles, said in (
        ("time,ax,acc_y,tempo", "line 1: there is no column temp"),
        ("time,ax (g),acc_y,temp", "line 1: there is no column ax (m/s2)"),
        ("time,ax,acc_y,temp,AX", "line 1: more than one column is ax"),
        ("\n".join([header, *rows[:3], "0.06,1,,2"]), "line 5: too few numbers: a column is empty"),
    ):
        done = program.tried(given="\n".join([titles, *rows]))
        assert done.returncode == 2 and done.stderr.startswith(said)
