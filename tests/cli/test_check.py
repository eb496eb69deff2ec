"""srnn train --dry-run: what training would do and refuse, without training; and what training says
at its end."""

from __future__ import annotations

import json
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn.cli.main import main
from srnn.nn.kernels.cpu import compiler, layer
from support.commands import fails

Capture = pytest.CaptureFixture[str]

COMPILED = ["digits", "--epochs=2", "--network.hidden=8", "--network.recurrent=true"]
QUICK = [*COMPILED, "--network.backend=reference"]

pytestmark = pytest.mark.usefixtures("few_digits")


def printed(capsys: Capture, *words: str) -> str:
    assert main(["train", "--dry-run", *words]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    return found.out


def written(folder: Path, y: np.ndarray, **more: Any) -> Path:
    """A recipe for 20 recordings with these labels."""
    x = np.random.default_rng(0).normal(size=(20, 5, 2))
    np.savez(folder / "a.npz", x=x, y=y, **more)
    recipe = folder / "a.yaml"
    recipe.write_text(f"task: {{name: folder, options: {{path: {folder / 'a.npz'}}}}}\n")
    return recipe


def test_check_tells_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    text = printed(capsys, *QUICK, "--json")
    found = json.loads(text)
    assert text.count("\n") == 1 and "scikit-learn" in found["origin"]
    assert found["task"] == "digits" and found["sequences"] == {"train": 123, "validation": 22}
    assert (found["network"], found["epochs"]) == ("16-8-10, alif, integrator readout", 2)
    assert len(found["start"]) == 1 and found["start"][0].startswith("layers.0 rate 0.")
    assert (found["device"], found["backend"], found["compile_seconds"]) == ("cpu", "reference", 0)
    assert "classes   10: 0, 1, 2, 3" in printed(capsys, *QUICK)
    # Of other weights, another start.
    other = json.loads(printed(capsys, *QUICK, "--seed", "1", "--json"))
    assert other["start"] != found["start"]
    lstm = json.loads(printed(capsys, *COMPILED, "--baseline", "lstm", "--json"))
    assert (lstm["network"], lstm["backend"]) == ("16-8-10, lstm", "torch")
    assert not any(tmp_path.iterdir())


def test_classes_that_cannot_be_learnt(tmp_path: Path, capsys: Capture) -> None:
    """One alone; and two of one name, as a model's file gives it again, where a tab is a blank."""
    recipe = written(tmp_path, np.full(20, "gehen"))
    said = fails(capsys, "train", "--dry-run", recipe)
    assert "folder has only one class, gehen;" in said
    for first, second in (("gehen", "gehen"), ("a\tb", "a b")):
        written(tmp_path, np.arange(20) % 3, class_names=[first, second, "rest"])
        said = fails(capsys, "train", "--dry-run", recipe)
        assert f"folder has two classes with the same name, {second};" in said


def test_a_warning_is_one_line_without_its_place_in_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def warn(words: object) -> int:
        sys.stderr.write(warnings.formatwarning("two\nlines", RuntimeWarning, "arrays.py", 3))
        return 0

    monkeypatch.setattr("srnn.cli.main._run", warn)
    kept = warnings.formatwarning
    assert main(["info"]) == 0 and capsys.readouterr().err == "srnn: note: two lines\n"
    assert warnings.formatwarning is kept


def test_check_refuses_what_training_refuses(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "empty.yaml").write_text("note: nothing\n")
    bidirectional = "--network.bidirectional=true"
    for said, words in {
        "nowhere": ["paper/ecg", "--data-dir", tmp_path / "nowhere"],
        "Did you mean 'digits'": ["digit"],
        "Did you mean 'training.epochs'": ["digits", "--training.epoch", "3"],
        "'task.name'": [tmp_path / "empty.yaml"],
        "does not fit": [*QUICK, "--loss.name", "nll"],
        "no parameter matches": [*QUICK, "--training.lr_scale", "{layer.*: 2}"],
        "unlabelled": [*QUICK, "--training.early_stopping.metric=accuracy_labelled"],
        "training.augment.drop": [*QUICK, "--training.augment.drop", "0.5"],
        "training.quantise": [*QUICK, "--training.quantise=int8", bidirectional],
        **({} if torch.cuda.is_available() else {"this machine": [*QUICK, "--device", "cuda"]}),
        "recipe.yaml": [*QUICK, "--training.start_from", tmp_path],
    }.items():
        assert said in fails(capsys, "train", "--dry-run", *words), said
        assert said in fails(capsys, "train", *words, "--out", tmp_path / "run"), said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_compiling_is_told_where_nothing_is_kept_and_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    caches = (layer.precompile, compiler.forward_loop, compiler.backward_loop)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    for cache in caches:
        cache.cache_clear()
    try:
        # Two neurons, alif and the readout's integrator, forward and backward.
        seconds = layer.LOADING + layer.PARTS + 2 * sum(layer.COMPILING)
        found = json.loads(printed(capsys, *COMPILED, "--json"))
        assert found["compile_seconds"] == seconds
        assert f"compiling once, about {seconds:.0f} s" in printed(capsys, *COMPILED)
        assert not list(tmp_path.rglob("*.compiled"))  # it was only asked
        kept = iter([True, False, False, False])
        monkeypatch.setattr(layer, "is_kept", lambda call: next(kept))
        seconds -= layer.COMPILING[0] + layer.PARTS  # what all call has been compiled with it
        found = json.loads(printed(capsys, *COMPILED, "--json"))
        assert found["compile_seconds"] == seconds
        monkeypatch.setattr(layer, "is_kept", lambda call: True)
        assert "compiling" not in printed(capsys, *COMPILED)
    finally:
        for cache in caches:
            cache.cache_clear()


@pytest.mark.slow
def test_the_next_commands_work_as_they_are_printed(tmp_path: Path, capsys: Capture) -> None:
    def trained(*words: str) -> list[list[str]]:
        assert main(["train", *words]) == 0
        found = capsys.readouterr()
        assert found.err.startswith("data      digits: ") and "samples/s" in found.err
        lines = [line for line in found.out.splitlines() if line.startswith("  srnn ")]
        return [shlex.split(line, comments=True)[1:] for line in lines]

    out, x = tmp_path / "my run", str(tmp_path / "x.csv")  # a name that a shell would cut in two
    lines = trained(*QUICK, "--out", str(out))
    first = ["evaluate", "report", "predict", "stream", "export"]
    assert [words[0] for words in lines] == [*first, "evaluate"]
    assert all(str(out) in words for words in lines)
    # The test split comes last, since nothing may be chosen by it.
    assert ["test" in words for words in lines] == [False] * 5 + [True]
    np.savetxt(x, np.zeros(64))
    for words in lines:
        assert main([x if word == "FILE" else word for word in words]) == 0
    assert (out / "report.html").is_file() and (tmp_path / "my run-c").is_dir()
    capsys.readouterr()
    gru = trained(*COMPILED, "--baseline", "gru", "--out", str(tmp_path / "gru"))
    assert [words[0] for words in gru] == ["evaluate", "report", "predict", "evaluate"]
