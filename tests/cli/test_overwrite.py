"""Everything can be run twice: what is there is refused in the same words, and replaced with
--overwrite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import srnn
from srnn import SrnnError
from srnn.cli.main import main
from srnn.training.loop import train
from srnn.training.recipes import Recipe
from support.commands import fails
from support.refusing import refuses
from support.sounds import tone, write_wav
from support.tiny import TinyTask, tiny_recipe

TUNED = "--epochs 1"
COMMANDS = {
    "compress": f"compress RUN {TUNED} --out OUT",
    "prune": f"compress RUN --sparsity 0.5 {TUNED} --out OUT",
    "dead": "compress RUN --what dead --out OUT",
    "import nir": "import nir NIR --task tiny --out OUT",
    "export c": "export c RUN --out OUT",
    "export nir": "export nir RUN --out OUT",
    "export onnx": "export onnx RUN --out OUT",
    "encode": "data encode cochlea WAV --places 4 --workers 1 --out OUT",
    "adapt": "adapt RUN --data DATA --limit 2 --out OUT",
    "curve": "adapt RUN --data DATA --curve 1 --out OUT",
}

SLOW = ("compress", "prune", "dead", "curve", "import nir")


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What stands for the words in capitals."""
    monkeypatch.setattr(Recipe, "create_task", lambda self: TinyTask())
    train(tiny_recipe("--training.epochs=1"), tmp_path / "run")
    srnn.load(tmp_path / "run").export(tmp_path / "net.nir", "nir")
    data = TinyTask().load("validation")
    groups = np.array(["someone"] * len(data.y))
    np.savez(
        tmp_path / "data.npz",
        x=data.x,
        y=data.y,
        groups=groups,
        class_names=np.array(["a", "b", "c"]),
    )
    write_wav(tmp_path / "a" / "a.wav", tone(0.1))
    names = {"RUN": "run", "NIR": "net.nir", "WAV": "a", "DATA": "data.npz", "OUT": "out"}
    return {word: str(tmp_path / name) for word, name in names.items()}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in COMMANDS],
)
def test_a_command_replaces_what_it_made_before_and_nothing_else(
    name: str, words: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, out = [words.get(word, word) for word in COMMANDS[name].split()], tmp_path / "out"
    assert main(command) == 0
    (tmp_path / "run" / "own.txt").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in [out, *out.rglob("*")] if path.is_file()}
    said = fails(capsys, *command)
    assert said.endswith("--overwrite replaces it, or choose another --out.\n")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert main([*command, "--overwrite"]) == 0
    assert any(path.stat().st_mtime_ns != time for path, time in before.items())

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "own.txt").write_text("mine")
    command[-1] = str(elsewhere)
    assert "is not empty; choose another --out" in fails(capsys, *command, "--overwrite")
    assert [path.name for path in elsewhere.iterdir()] == ["own.txt"]


def test_what_is_there_is_no_page_s(
    words: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page, and what Python exports, were replaced without a word."""
    there = tmp_path / "there"
    there.write_text("mine")
    refused = f"{there} exists; --overwrite replaces it, or choose another"
    assert f"{refused} --out." in fails(capsys, "export", "web", words["RUN"], "--out", there)
    report = ["export", "nir", words["RUN"], "--out", words["OUT"], "--report", there]
    assert f"{refused} --report." in fails(capsys, *report)
    example = tmp_path / "there.npy"
    example.write_text("mine")
    example_is_there = fails(capsys, "models", "ecg-records", "--example", example)
    assert "replaces it, or choose another --example." in example_is_there
    for form in ("web", "nir", "onnx"):
        with pytest.raises(SrnnError, match="overwrite=True replaces it, or choose another out"):
            srnn.load(words["RUN"]).export(there, form)
    assert there.read_text() == example.read_text() == "mine"
    assert not (tmp_path / "out").exists()
    if Path("/dev/null").exists():
        assert main(["export", "nir", words["RUN"], "--out", "/dev/null"]) == 0


def test_compressing_does_not_overwrite_what_it_starts_from(
    words: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be lost, with what it could be made from again."""
    run = words["RUN"]
    assert main(["compress", run, "--sparsity", "0.5", "--epochs", "1", "--out", words["OUT"]]) == 0
    kept = (tmp_path / "run" / "model.safetensors").read_bytes()
    for model, out in ((run, run), (str(tmp_path / "out" / "weights-0.5"), words["OUT"])):
        said = fails(capsys, "compress", model, "--epochs", "1", "--out", out, "--overwrite")
        assert f"{model} would be overwritten by what it becomes" in said
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == kept
    both = ["compress", run, "--epochs", "1", "--out", words["OUT"], "--resume", "--overwrite"]
    for more in ([], ["--sparsity", "0.5"]):
        assert "contradict each other" in fails(capsys, *both, *more)


def test_fit_replaces_its_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 20, 2)).astype(np.float32), np.arange(40) % 2
    options = {"epochs": 1, "hidden": 4, "out": tmp_path / "run"}
    srnn.fit(x, y, **options)
    with refuses(tmp_path / "run", "exists"):
        srnn.fit(x, y, **options)
    srnn.fit(x, y, seed=1, overwrite=True, **options)
    assert srnn.load(tmp_path / "run").seed == 1
