"""What training tells: a header, a bar that fits every terminal from the first moment on, plain
lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srnn
from srnn import progress
from srnn.errors import SrnnError, command_line
from srnn.nn.kernels.problem import LayerProblem
from srnn.progress import BarReporter, LineReporter, Reporter, epoch_line, header, reporter_for
from srnn.training import loop, preparing
from srnn.training.loop import train
from srnn.training.preparing import prepare
from support.tiny import TinyStepTask, TinyTask, tiny_recipe

DESCRIPTION: dict[str, Any] = {
    "task": "words", "chosen": [], "origin": "Spoken words (/data/words)", "kind": "per_sequence",
    "sequences": {"train": 12345, "validation": 1}, "steps": 101, "shortest": 17, "inputs": 1, "step_ms": 10.0,
    "classes": [f"a name of which a header shows the beginning {i}" for i in range(35)],
    "largest_class": {"name": "yes", "fraction": 0.04}, "weighs_classes": False,
    "absent": {"training": [], "validation": []},
    "network": "1-64-35, alif, integrator readout", "parameters": 27476, "epochs": 1, "batch_size": 64,
    "batches_per_epoch": 193, "device": "cpu", "device_reason": "auto: no GPU found", "threads": 1, "backend": "cpu",
    "backend_reason": "the fastest that can", "compile_seconds": 0.0,
}  # fmt: skip
RECORD: dict[str, Any] = {
    "epoch": 12, "train": {"loss": 0.123456, "accuracy": 0.987}, "best": True, "samples_per_s": 1234.5,
    "validation": {"loss": 0.2, "accuracy": 0.9, "firing_rate": {"mean": 0.05}},
}  # fmt: skip
NUMBERS = {
    "epoch": 1,
    "loss": 123456.7,
    "accuracy": 1.0,
    "firing_rate": None,
    "samples_per_s": 123456.0,
}


@pytest.mark.parametrize("width", [*range(20, 60), 80, 120, 300])
def test_everything_fits_the_terminal(width: int) -> None:
    assert max(map(len, header(DESCRIPTION, width))) <= width
    assert len(epoch_line(RECORD, width)) <= width and "90.00%" in epoch_line(RECORD, width)
    balanced = {**RECORD, "validation": {**RECORD["validation"], "balanced_accuracy": 0.611}}
    assert len(epoch_line(balanced, width)) <= width and "90.00%" in epoch_line(balanced, width)
    assert "balanced 61.10%" in epoch_line(balanced)


def test_the_header_says_what_is_trained() -> None:
    text = "\n".join(header(DESCRIPTION))
    assert "words: Spoken words (/data/words)" in text
    assert (
        "12,345 training and 1 validation sequences x 17 to 101 steps of 10 ms x 1 input, one "
        "label per sequence" in text
    )
    assert (
        "35: a name of w [...] ning 0" in text
        and "and 23 more" in text
        and text.count("[...]") == 12
    )
    assert "27,476 parameters" in text and "1 epoch of 193 batches of 64" in text
    assert "cpu (auto: no GPU found), 1 thread; backend cpu (the fastest that can)" in text
    assert "compiling" not in text
    assert header({**DESCRIPTION, "compile_seconds": 17.2})[-1].endswith(
        "compiling once, about 17 s"
    )
    assert "always" not in text
    unequal = {
        **DESCRIPTION,
        "classes": ["no", "yes"],
        "largest_class": {"name": "no", "fraction": 0.9474},
    }
    assert "2: no, yes; always choosing 'no' would be right for 95% of validation" in "\n".join(
        header(unequal)
    )
    advice = "--training.class_weights balanced --training.early_stopping.metric balanced_accuracy"
    with command_line():
        assert advice in "\n".join(header(unequal))
    assert "overrides={'training.class_weights': 'balanced', 'training.ear" in "\n".join(
        header(unequal)
    )
    assert "class_weights" not in "\n".join(header({**unequal, "weighs_classes": True}))
    assert "class_weights" not in "\n".join(
        header({**unequal, "largest_class": {"name": "no", "fraction": 0.74}})
    )
    assert "not in" not in text
    absent = {**DESCRIPTION, "absent": {"training": ["no"], "validation": ["no", "yes"]}}
    assert "; not in training: no; not in validation: no, yes" in "\n".join(header(absent))
    evil = {**DESCRIPTION, "classes": ["a\nb", "\x1b[31m"], "origin": "x\ny"}
    assert len(header(evil)) == len(header(DESCRIPTION)) and not any(
        "\x1b" in line for line in header(evil)
    )


def test_a_description_is_of_the_data_and_the_network() -> None:
    ready = prepare(tiny_recipe("--training.epochs", "3"), task=TinyTask(padded=True))
    ready.network.readout.weight_in.requires_grad_(
        False
    )  # is counted all the same, as in evaluations
    found = ready.description()
    assert found["sequences"] == {"train": 60, "validation": 30} and found["classes"] == [
        "a",
        "b",
        "c",
    ]
    validation = TinyTask(padded=True).load("validation").y
    assert found["largest_class"]["fraction"] == round(
        float(np.bincount(validation).max() / len(validation)), 4
    )
    assert (found["shortest"], found["steps"], found["inputs"]) == (4, 12, 3)
    assert found["parameters"] == sum(p.numel() for p in ready.network.parameters())
    assert (found["epochs"], found["batch_size"], found["batches_per_epoch"]) == (3, 16, 4)
    assert (found["backend"], found["backend_reason"], found["compile_seconds"]) == (
        "reference",
        "as asked for",
        0,
    )
    assert found["network"] == "3-8-3, alif, integrator readout"
    assert (
        prepare(tiny_recipe("--loss.name", "nll"), task=TinyStepTask()).description()["kind"]
        == "per_step"
    )


def test_a_backend_is_asked_about_layers_of_their_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's shared memory may be too small for one."""
    asked: list[LayerProblem] = []
    monkeypatch.setattr(
        preparing, "choose", lambda problem, _: asked.append(problem) or ("reference", "")
    )
    prepare(tiny_recipe(), task=TinyTask()).description()
    for problem in asked:
        problem.require_fitting()
    assert [(len(p.weight_in), p.weight_rec is not None) for p in asked] == [(8, True), (3, False)]


class _Terminal:
    """A pseudo-terminal of some width as standard error; what was written to it, line by line."""

    def __init__(self, width: int, patch: pytest.MonkeyPatch, encoding: str = "utf-8") -> None:
        self._ours, theirs = os.openpty()
        self._file, self._written = os.fdopen(theirs, "w", encoding=encoding), bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        patch.setattr(sys, "stderr", self._file)
        patch.setenv("COLUMNS", str(width))
        patch.setenv("LINES", "24")
        patch.setenv("TERM", "xterm-256color")

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # closed on the other side
            while part := os.read(self._ours, 4096):
                self._written += part

    def lines(self) -> list[str]:
        self._file.close()
        self._reader.join()
        os.close(self._ours)
        parts = re.split(r"\r\n|\r|\x1b\[2K", self._written.decode())
        return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part) for part in parts]


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 300])
def test_the_bar_is_there_from_the_first_moment_and_fits(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = _Terminal(width, monkeypatch)
    reporter = reporter_for(json=False)
    assert isinstance(reporter, BarReporter)
    try:
        reporter.phase("loading")
        reporter.header(lambda: {**DESCRIPTION, "compile_seconds": 17.0})
        reporter.start(2, 10, 0)
        for step in range(1, 21):
            reporter.step(step, NUMBERS)
        reporter.phase("validating")
        reporter.epoch(RECORD)
        reporter.event("the gradient overflowed")
    finally:
        reporter.stop()
    lines = terminal.lines()
    assert max(map(len, lines)) <= width
    shown = [line for line in lines if line.strip()]
    assert shown[0].startswith("loading")
    assert any(line.startswith("data") for line in shown) and any(
        "90.00%" in line for line in shown
    )
    if width >= 40:
        bars = [line for line in shown if "━" in line]
        assert any(line.startswith("compiling once, about 17 s") and "0%" in line for line in bars)
        assert any(line.startswith("validating") and "100%" in line for line in bars)
        assert any("accuracy 100.0%" in line for line in bars) == (width >= 80)
        assert any("samples/s" in line for line in bars) == (width >= 120)


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_a_terminal_that_has_only_ascii_gets_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal(40, monkeypatch, "ascii")
    reporter = BarReporter()
    reporter.phase("reading the data")
    reporter.start(1, 10, 0)
    reporter.step(5, NUMBERS)
    reporter.phase("validating")
    reporter.stop()
    assert any(re.match("validating -[- ]+ 50%", line) for line in terminal.lines())


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_a_second_training_begins_with_its_own_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a network is pruned in two steps."""
    terminal = _Terminal(80, monkeypatch)
    reporter = BarReporter()
    for _ in range(2):
        reporter.phase("reading the data")
        reporter.start(1, 10, 0)
        reporter.step(10, NUMBERS)
        reporter.phase("validating")
        reporter.stop()
        reporter.stop()
    shown = [line for line in terminal.lines() if line.strip()]
    assert sum("100%" in line and "validating" in line for line in shown) >= 2
    second = max(i for i, line in enumerate(shown) if line.startswith("reading the data"))
    assert "100%" in shown[second - 1] and "  0%" in shown[second + 1]


def test_no_terminal_gets_plain_lines_and_json_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = reporter_for(json=False)
    assert isinstance(reporter, LineReporter) and type(reporter_for(json=True)) is Reporter
    reporter.phase("loading")
    reporter.header(lambda: DESCRIPTION)
    reporter.start(2, 10, 0)
    reporter.step(1, NUMBERS)
    reporter.epoch(RECORD)
    reporter.stop()
    printed = capsys.readouterr()
    assert (
        printed.err.splitlines() == [*header(DESCRIPTION), epoch_line(RECORD)] and printed.out == ""
    )
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(reporter_for(json=False), LineReporter)


def test_training_reports_in_order_and_to_the_same_bits(tmp_path: Path) -> None:
    said: list[str] = []

    class Told(Reporter):
        def phase(self, text: str) -> None:
            said.append(text)

        def header(self, describe: Any) -> None:
            said.append(f"header of {describe()['task']}")
            assert not (tmp_path / "told" / "recipe.yaml").exists()

        def start(self, epochs: int, steps_per_epoch: int, done_steps: int) -> None:
            said.append(f"start {epochs} {steps_per_epoch} {done_steps}")

    recipe = tiny_recipe("--training.epochs", "2")
    train(recipe, tmp_path / "told", task=TinyTask(), reporter=Told())
    train(recipe, tmp_path / "quiet", task=TinyTask())
    measuring = "measuring the first spikes"
    integers = "measuring what integers need to hold, for int8"
    assert said == [
        "reading the data",
        "header of tiny",
        measuring,
        "start 2 4 0",
        "validating",
        "validating",
        integers,
    ]
    lines = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("told", "quiet")]
    assert len({re.sub(r'"(seconds|samples_per_s)": [0-9.]+', "", text) for text in lines}) == 1


def test_a_notebook_sees_each_epoch_and_a_program_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    srnn.train(tiny_recipe("--training.epochs", "1"), tmp_path / "program", task=TinyTask())
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)  # which IPython sets as well
    srnn.train(tiny_recipe("--training.epochs", "2"), tmp_path / "notebook", task=TinyTask())
    assert "epoch    2" in capsys.readouterr().err


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long, and nothing has been said."""
    monkeypatch.setattr(progress, "PATIENCE", 0.02)
    monkeypatch.setattr(progress, "_PRINTED", set())


@pytest.mark.usefixtures("impatient")
def test_slow_work_says_what_it_does_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(progress, "PATIENCE", 0.5)  # a busy machine does not get there at once
        with suppress(KeyError), progress.saying("failing at once"):
            raise KeyError
    for _ in range(2):
        with progress.saying("reading\na lot"):
            time.sleep(0.2)
    printed = capsys.readouterr()
    assert printed.err == "srnn: reading a lot\n" and printed.out == ""
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    with progress.saying("measuring", waited=60):
        time.sleep(0.2)
    printed = capsys.readouterr()
    assert printed.out == "srnn: measuring\n" and printed.err == ""


@pytest.mark.usefixtures("impatient")
def test_a_script_is_told_of_each_kind_of_slow_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slowly(function: Any) -> Any:
        return lambda *given, **more: (time.sleep(0.2), function(*given, **more))[1]

    monkeypatch.setattr(loop, "prepare", slowly(loop.prepare))
    monkeypatch.setattr(loop, "int8_of", slowly(loop.int8_of))
    train(tiny_recipe("--training.epochs", "2"), tmp_path / "run", task=TinyTask())
    said = capsys.readouterr().err.splitlines()
    assert {"srnn: reading the data", "srnn: measuring what integers need to hold, for int8"} <= {
        *said
    }
    assert len({*said}) == len(said) and all(line.startswith("srnn: ") for line in said)
    with pytest.raises(SrnnError):
        train(tiny_recipe("--training.epochs", "2"), tmp_path / "run", task=TinyTask())
    time.sleep(0.2)
    assert capsys.readouterr().err == ""  # what failed is not going on


@pytest.mark.slow
def test_the_first_compiling_is_announced_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "loops.py").write_text("def once(x): return x + 1\ndef twice(x): return x + 2\n")
    code = (
        "import loops; from srnn import progress; from srnn.compiling import compiled; import "
        "time\n"
        "progress.PATIENCE = 0.0\n"
        "assert compiled(loops.once)(1) == 2 and compiled(loops.twice)(1) == 3"
    )
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(tmp_path),
    }
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stderr
        for _ in range(2)
    ]
    assert said == [f"srnn: {progress.COMPILING}\n", ""]


def test_what_is_no_recipe_or_task(tmp_path: Path) -> None:
    for mistake in (np.zeros((500, 3)), None):
        with pytest.raises(
            SrnnError, match=r"A recipe is a name, a file or a Recipe, not a .*srnn\.fit\(x, y\)"
        ):
            srnn.train(mistake, tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(SrnnError, match=r"derived from srnn\.data\.tasks\.Task, not a list"):
        srnn.train("digits", tmp_path / "run", task=[1, 2])  # type: ignore[arg-type]
