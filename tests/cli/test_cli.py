"""The command line: one JSON object or a table on standard output, one line on standard error and
exit code 2 for a mistake."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from srnn.cli.compress import repeated
from srnn.cli.main import COMMANDS, main
from srnn.cli.show import show_result
from srnn.cli.show_section import show_parts
from srnn.cli.train import with_short_forms
from srnn.data.datasets import Split
from srnn.data.datasets.digits import DigitsTask
from srnn.files import only_writer
from srnn.measure.analysis import ClassReport
from srnn.nn.neurons import NEURONS, Neuron
from srnn.nn.surrogates import SURROGATES, Surrogate
from support.commands import fails, parse
from support.kept import QUICK_DIGITS, copy_of

Capture = pytest.CaptureFixture[str]

QUICK = ["digits", *QUICK_DIGITS]
KEYS = {"task", "split", "n_sequences", "accuracy", "firing_rate", "parameters", "seed"}


pytestmark = pytest.mark.usefixtures("few_digits")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What QUICK trains, which a test may change."""
    return copy_of("digits", tmp_path / "run")


def test_train_and_evaluate_print_one_json_object(tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "run"
    assert main(["train", *QUICK, "--out", str(run), "--seed", "3", "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert printed.out.count("\n") == 1 and printed.err == ""
    assert set(result) == KEYS | {"loss", "best_epoch", "epochs", "seconds", "run"}
    assert (result["split"], result["seed"], result["epochs"]) == ("validation", 3, 2)
    assert result["run"] == str(run) and set(result["firing_rate"]) == {"layers", "mean"}
    assert main(["evaluate", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    trained = json.loads((run / "result.json").read_text())
    assert set(found) == KEYS and found == {key: trained[key] for key in found}
    assert main(["evaluate", str(run), "--json", "--split", "test", "--seed", "9"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["seed"]) == ("test", 9)


def test_train_for_people_shows_epochs_and_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK]) == 0
    printed = capsys.readouterr()
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("digits-s0-") and f"runs/{folder.name}" in printed.out
    assert "accuracy" in printed.out and printed.err.count("\nepoch ") == 2


def test_evaluate_for_people_is_short_and_says_where_the_rest_is(
    run: Path, capsys: Capture
) -> None:
    assert main(["evaluate", str(run)]) == 0
    short = capsys.readouterr()
    assert short.err == "" and "Least often recognised: " in short.out
    assert f"srnn evaluate {run} --full" in short.out and f"srnn report {run}" in short.out
    assert main(["evaluate", str(run), "--full"]) == 0
    assert "most often taken for" in " ".join(capsys.readouterr().out.split())


def test_no_table_says_that_all_is_right(capsys: Capture) -> None:
    perfect = ClassReport(("a", "b"), np.diag([3, 1_000]), False)
    assert perfect.least_recognised() == ()
    show_parts(perfect.section().parts)
    said = ["No class is taken for another.", "By class: 100 % in all 2"]
    assert capsys.readouterr().out.splitlines()[:2] == said
    for almost in ([[3, 0], [1, 1_000_000]], [[3, 0], [0, 0]]):  # a class that never occurs
        show_parts(ClassReport(("a", "b"), np.array(almost), False).section().parts)
        assert any(line.strip() == "By class" for line in capsys.readouterr().out.splitlines())
    (missed,) = ClassReport(("a\x1b[2J", "b"), np.array([[0, 2], [1, 0]]), False).least_recognised()
    assert missed.text.count("0.00%") == 2 and "\x1b" not in missed.text


def test_resume_and_its_refusals(run: Path, tmp_path: Path, capsys: Capture) -> None:
    again = ["train", *QUICK, "--out", str(run), "--seed", "3", "--json"]
    assert "--resume" in fails(capsys, *again)
    assert main([*again, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
    assert "another recipe" in fails(capsys, *again, "--resume", "--training.epochs", "3")


@pytest.mark.parametrize("words", [("adapt", "m", "--out"), ("stream", "m", "x.csv", "--state")])
def test_of_two_commands_that_would_write_one_file_the_second_is_told_at_once(
    words: tuple[str, ...], tmp_path: Path, capsys: Capture
) -> None:
    """Both worked to their end, and one result took the place of the other."""
    with only_writer(tmp_path / "file"):
        assert "is being written by another process" in fails(capsys, *words, tmp_path / "file")
    (tmp_path / "file").touch()
    if words[0] != "stream":
        assert "exists; --overwrite replaces it" in fails(capsys, *words, tmp_path / "file")


@pytest.mark.robust
def test_a_lack_of_memory_is_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy has an error of its own for it; torch says it in a RuntimeError, which was a
    traceback."""
    for large in (lambda *_: torch.empty(2**50), lambda *_: np.empty(2**55)):
        monkeypatch.setattr("srnn.cli.recipes.show_names", large)
        assert "not enough memory" in fails(capsys, "recipes")
    monkeypatch.setattr("srnn.cli.recipes.show_names", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        main(["recipes"])


def test_what_training_would_refuse_is_refused_before_it_writes(
    tmp_path: Path, capsys: Capture
) -> None:
    for words, said in (
        (["digits", "--task.options", "{windwo: 3}"], "Did you mean 'window'"),
        (["digits", "--task.name", "digitz"], "task"),
        (["digits", "--training.lr_scale", "{layer.*: 2}"], "no parameter matches"),
        (["digits", "--loss.name", "nll"], "does not fit"),
        (["paper/ecg", "--task.options.rul=3"], "'rul'"),
        (["paper/ecg", "--data-dir", tmp_path / "nowhere"], "nowhere"),
    ):
        assert said in fails(capsys, "train", *words, "--out", tmp_path / "run")
    # Behind -- it is a name, not a setting.
    assert "--a.npy was not found" in fails(capsys, "predict", "digits", "--", "--a.npy")
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run", "/dev/null/run"):
        fails(capsys, "train", *QUICK, "--out", out)
    assert (tmp_path / "file").read_text() == "mine"
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        assert "permission" in fails(capsys, "train", *QUICK, "--out", tmp_path / "locked" / "run")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_are_not_finite_are_refused(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    x = np.zeros((20, 5, 16), np.float32)
    x[4, 2, 6] = value
    split = Split(x, np.zeros(20, np.int64))
    monkeypatch.setattr(DigitsTask, "load", lambda *_: split)
    said = fails(capsys, "train", *QUICK, "--out", tmp_path / "run")
    assert "not finite: sequence 4, step 2, channel 6" in said and not (tmp_path / "run").exists()


@pytest.mark.parametrize("reason", ["", "Triton 3.2.0 is too old (3.5.1 or newer is needed)"])
def test_info_lists_the_gpu_backend_where_its_triton_can_be_used(
    reason: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srnn.nn.kernels.gpu.no_triton", lambda: reason)
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__="3.9.0", __spec__=True))
    assert main(["info", "--json"]) == 0
    assert ("gpu" in json.loads(capsys.readouterr().out)["backends"]) == (reason == "")


def test_recipes_and_info(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def printed(*words: str) -> str:
        assert main([*words]) == 0
        return capsys.readouterr().out

    assert "digits" in printed("recipes")
    assert {"digits", "paper/ecg"} <= set(json.loads(printed("recipes", "--json")))
    assert "epochs: 5" in printed("recipes", "show", "paper/ecg", "--training.epochs", "5")
    assert json.loads(printed("recipes", "show", "paper/ecg", "--json"))["task"]["name"] == "ecg"
    assert "reference" in json.loads(printed("info", "--json"))["backends"]
    assert "reference" in printed("info") and "usage: srnn" in printed()
    monkeypatch.setattr("srnn.nn.kernels.cpu.compiler.folder_in_use", lambda: None)
    assert "cache none" in printed("info")


@pytest.mark.slow
def test_info_compiles_ahead(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """What it compiles, which takes minutes: the loops themselves are compiled where they are
    compared with the reference."""
    loops: set[Any] = set()
    streams: set[Any] = set()

    def precompile(neuron: Neuron, surrogate: Surrogate, dtype: Any, backward: bool) -> None:
        loops.add((neuron.name, surrogate.name if backward else None, dtype))

    monkeypatch.setattr("srnn.nn.kernels.cpu.layer.precompile", precompile)
    monkeypatch.setattr("srnn.nn.kernels.cpu.stream.advance_loop", lambda *of: streams.add(of))
    assert main(["info", "--warm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warmed up in"].endswith(" s")
    wanted = {(name, surrogate) for name in NEURONS for surrogate in (None, "multi_gaussian")}
    wanted |= {("alif", name) for name in SURROGATES}
    assert loops == {(*kind, torch.float32) for kind in wanted}
    readout = NEURONS["integrator"]
    kinds = {(one, readout) if one is not readout else (one,) for one in NEURONS.values()}
    assert streams == {(kind, np.dtype(np.float32), spikes) for kind in kinds for spikes in (0, 1)}


def test_a_rate_is_not_said_twice(capsys: Capture) -> None:
    """Of a single layer the mean is all there is."""
    show_result({"firing_rate": {"mean": 0.25, "layers": [0.25]}}, "digits", True)
    shown = capsys.readouterr().out
    assert "0.2500 spikes per neuron and step " in shown and "layers" not in shown
    show_result({"firing_rate": {"mean": 0.25, "layers": [0.2, 0.3]}}, "digits", True)
    assert "(layers: 0.2000, 0.3000)" in capsys.readouterr().out


def test_help_is_one_screen_and_help_all_says_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Of each command: first how it is called, then what it does."""

    def shown(*words: str) -> str:
        assert main([*words]) == 0
        text = capsys.readouterr().out
        usage, purpose, *_ = text.split("\n\n")
        assert usage.startswith("usage: srnn") and purpose[0].isupper(), words
        return text

    def options(text: str) -> set[str]:
        return {*re.findall(r"^  (--[\w-]+)", text, re.M)}

    monkeypatch.setenv("COLUMNS", "80")
    shown("--help")
    for name, command in COMMANDS.items():
        short, everything = shown(*name.split(), "--help"), shown(*name.split(), "--help-all")
        assert options(short) <= options(everything)
        if command[0]:
            assert len(short.splitlines()) <= 32, name
            assert short.endswith(f"srnn {name} --help-all\n") or name in ("data", "recipes")
    text = shown("evaluate", "--help-all")
    assert {"--exit-patience", "--longest-gap"} <= options(text) and " ...\n" not in text


@pytest.mark.parametrize("columns", [32, 44, 72, 300])
def test_help_fits_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("train", "stream", "info"):
        assert main([name, "--help"]) == 0
        lines = capsys.readouterr().out.partition("\n\n")[2].splitlines()
        assert not [line for line in lines if len(line) > columns and len(line.split()) > 1]
        # A line each still, whatever the width.
        assert [line for line in lines if line.startswith(f"  srnn {name} ")]


def test_short_forms_of_settings() -> None:
    def settings(words: str) -> str:
        given = parse(["train", "digits", *words.split()]).arguments
        return " ".join(with_short_forms(given["settings"], given["epochs"], given["device"]))

    short = "--training.epochs=3 --training.device=cpu"
    assert settings("--epochs 3 --device=cpu") == short and settings("") == ""
    # Written in full it counts, wherever it stands.
    both = settings("--training.epochs 5 --epochs 3")
    assert both == "--training.epochs=3 --training.epochs 5"
    microphone = parse(["stream", "run", "mic", "--device", "2"])
    assert microphone.arguments["device"] == "2"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_the_command_beside_results_says_how_long_was_fine_tuned() -> None:
    """Also by default: nothing else in curve.md does, and the defaults may change."""
    words = "srnn compress 'a run' --out DIR --sparsity 0.5 0.9"
    given = f"{words} --epochs 20 --lr-factor 0.5"
    for one in (f"{words} --json --data-dir data", given):
        assert repeated(parse(shlex.split(one)[1:]).arguments["called"], 20, 0.5) == given


@pytest.mark.robust
def test_interrupted_it_says_how_to_go_on(tmp_path: Path) -> None:
    """As a process: exit code 130, one line with the command, and that command works."""
    out = tmp_path / "run"
    words = "-m srnn train digits --network.hidden=[8,8] --network.backend=reference --json"
    command = [sys.executable, *words.split(), "--training.epochs=500", "--out", str(out)]
    # A shell's background job ignores the interrupt, and so would its children: the tests
    # themselves may be such a job.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with process:
        try:
            deadline = time.monotonic() + 120
            # In the second epoch or later: in the first modules are still imported, and an
            # interrupt there ends it at once.
            log = out / "metrics.jsonl"
            while not log.exists() or log.read_text().count("\n") < 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, stdout) == (130, "")
    assert stderr.startswith("srnn: stopped") and stderr.count("\n") == 1
    assert "srnn train digits " in stderr and "--training.epochs=500" in stderr
    assert stderr.endswith(f" --out {out} --resume\n")


@pytest.mark.slow
def test_processes_of_a_sweep_know_what_their_program_defines(tmp_path: Path) -> None:
    """A program with a surrogate of its own, which calls the command line, is what workers run as
    well."""
    (tmp_path / "mine.py").write_text("""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from srnn.cli.main import main
from srnn.nn.surrogates import Surrogate

def cauchy(v, width):
    return 1.0 / (1.0 + (v / width) * (v / width))

@dataclass(frozen=True)
class Cauchy(Surrogate):
    name: ClassVar[str] = "cauchy"
    derivative: ClassVar[Callable[..., Any]] = staticmethod(cauchy)
    width: float = 0.3

if __name__ == "__main__":
    raise SystemExit(main())
""")
    np.savez(
        tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(20, 5, 2)), y=np.arange(20) % 2
    )
    (tmp_path / "a.yaml").write_text("""
task: {name: folder, options: {path: a.npz}}
network: {hidden: 4, neuron: alif, norm: none, surrogate: cauchy, backend: reference}
training: {epochs: 1}
""")
    (tmp_path / "b.yaml").write_text("{recipe: a.yaml, seeds: [0, 1]}")
    words = [sys.executable, "mine.py", "sweep", "b.yaml", "--out", "out", "--workers", "2"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 done" in done.stdout
