"""srnn train --dry-run: what training would do and refuse, without training; and what training says
at its end."""

from __future__ import annotations

import json
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from srnn.cli.main import main
from srnn.nn.kernels.cpu import compiler, layer
from support.commands import fails

QUICK = [
    "digits",
    "--epochs=2",
    "--network.hidden=8",
    "--network.recurrent=true",
    "--network.backend=reference",
]

pytestmark = pytest.mark.usefixtures("few_digits")


def test_check_tells_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--dry-run", *QUICK, "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert printed.err == "" and printed.out.count("\n") == 1
    assert found["task"] == "digits" and found["sequences"] == {"train": 123, "validation": 22}
    assert (found["network"], found["epochs"]) == ("16-8-10, alif, integrator readout", 2)
    assert len(found["start"]) == 1 and found["start"][0].startswith("layers.0 rate 0.")
    assert (found["device"], found["backend"], found["compile_seconds"]) == ("cpu", "reference", 0)
    assert "scikit-learn" in found["origin"]
    assert main(["train", "--dry-run", *QUICK]) == 0
    assert "classes   10: 0, 1, 2, 3" in capsys.readouterr().out
    assert (
        main(["train", "--dry-run", *QUICK, "--seed", "1", "--json"]) == 0
    )  # of other weights, another start
    assert json.loads(capsys.readouterr().out)["start"] != found["start"]
    assert main(["train", "--dry-run", *QUICK[:4], "--baseline", "lstm", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["network"], found["backend"]) == ("16-8-10, lstm", "torch")
    assert not any(tmp_path.iterdir())


def test_one_class_is_nothing_to_learn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(
        tmp_path / "a.npz",
        x=np.random.default_rng(0).normal(size=(20, 5, 2)),
        y=np.full(20, "gehen"),
    )
    (tmp_path / "a.yaml").write_text(
        f"task: {{name: folder, options: {{path: {tmp_path / 'a.npz'}}}}}\n"
    )
    assert "folder has only one class, gehen;" in fails(
        capsys, "train", "--dry-run", tmp_path / "a.yaml"
    )


def test_names_of_classes_tell_them_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a model's file gives them again, where a tab is a blank."""
    for first, second in (("gehen", "gehen"), ("a\tb", "a b")):
        x = np.random.default_rng(0).normal(size=(20, 5, 2))
        np.savez(tmp_path / "a.npz", x=x, y=np.arange(20) % 3, class_names=[first, second, "rest"])
        (tmp_path / "a.yaml").write_text(
            f"task: {{name: folder, options: {{path: {tmp_path / 'a.npz'}}}}}\n"
        )
        assert f"folder has two classes with the same name, {second};" in fails(
            capsys, "train", "--dry-run", tmp_path / "a.yaml"
        )


def test_a_warning_is_one_line_without_its_place_in_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(words: object) -> int:
        sys.stderr.write(warnings.formatwarning("two\nlines", RuntimeWarning, "arrays.py", 3))
        return 0

    monkeypatch.setattr("srnn.cli.main._run", warn)
    kept = warnings.formatwarning
    assert main(["info"]) == 0 and capsys.readouterr().err == "srnn: note: two lines\n"
    assert warnings.formatwarning is kept


def test_check_refuses_what_training_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.yaml").write_text("note: nothing\n")
    for said, words in {
        "nowhere": ["paper/ecg", "--data-dir", tmp_path / "nowhere"],
        "Did you mean 'digits'": ["digit"],
        "Did you mean 'training.epochs'": ["digits", "--training.epoch", "3"],
        "'task.name'": [tmp_path / "empty.yaml"],
        "does not fit": [*QUICK, "--loss.name", "nll"],
        "no parameter matches": [*QUICK, "--training.lr_scale", "{layer.*: 2}"],
        "leaves nothing unlabelled": [
            *QUICK,
            "--training.early_stopping.metric",
            "accuracy_labelled",
        ],
        "training.augment.drop": [*QUICK, "--training.augment.drop", "0.5"],
        "training.quantise": [
            *QUICK,
            "--training.quantise",
            "int8",
            "--network.bidirectional",
            "true",
        ],
        **({} if torch.cuda.is_available() else {"this machine": [*QUICK, "--device", "cuda"]}),
        "recipe.yaml": [*QUICK, "--training.start_from", tmp_path],
    }.items():
        assert said in fails(capsys, "train", "--dry-run", *words), said
        assert said in fails(capsys, "train", *words, "--out", tmp_path / "run"), said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_compiling_is_told_where_nothing_is_kept_and_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    caches = (layer.precompile, compiler.forward_loop, compiler.backward_loop)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    for cache in caches:
        cache.cache_clear()
    try:
        for words in (["--json"], []):
            assert main(["train", "--dry-run", *QUICK[:4], *words]) == 0
        first, text = capsys.readouterr().out.split("\n", 1)
        # Two neurons, alif and the readout's integrator, forward and backward.
        seconds = layer.LOADING + layer.PARTS + 2 * sum(layer.COMPILING)
        assert json.loads(first)["compile_seconds"] == seconds
        assert f"compiling once, about {seconds:.0f} s" in text
        assert not list(tmp_path.rglob("*.compiled"))  # it was only asked
        kept = iter([True, False, False, False])
        monkeypatch.setattr(layer, "is_kept", lambda call: next(kept))
        assert main(["train", "--dry-run", *QUICK[:4], "--json"]) == 0
        seconds -= layer.COMPILING[0] + layer.PARTS  # what all call has been compiled with it
        assert json.loads(capsys.readouterr().out)["compile_seconds"] == seconds
        monkeypatch.setattr(layer, "is_kept", lambda call: True)
        assert main(["train", "--dry-run", *QUICK[:4]]) == 0
        assert "compiling" not in capsys.readouterr().out
    finally:
        for cache in caches:
            cache.cache_clear()


@pytest.mark.slow
def test_the_next_commands_work_as_they_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my run"  # a name that a shell would cut in two
    assert main(["train", *QUICK, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    lines = [
        shlex.split(line, comments=True)
        for line in printed.out.splitlines()
        if line.startswith("  srnn ")
    ]
    assert [line[1] for line in lines] == [
        "evaluate",
        "report",
        "predict",
        "stream",
        "export",
        "evaluate",
    ]
    assert all(str(out) in line for line in lines)
    assert ["test" in line for line in lines] == [False] * 5 + [
        True
    ]  # last, since nothing may be chosen by it
    assert printed.err.startswith("data      digits: ") and "samples/s" in printed.err
    np.savetxt(tmp_path / "x.csv", np.zeros(64))
    for _, *words in lines:
        assert main([str(tmp_path / "x.csv") if word == "FILE" else word for word in words]) == 0
    assert (out / "report.html").is_file() and (tmp_path / "my run-c").is_dir()
    capsys.readouterr()
    assert main(["train", *QUICK[:4], "--baseline", "gru", "--out", str(tmp_path / "gru")]) == 0
    lines = [
        line.split()[1]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("  srnn ")
    ]
    assert lines == ["evaluate", "report", "predict", "evaluate"]
