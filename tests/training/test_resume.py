"""Resuming: killed at any moment, a training goes on to the same bits. And the rules of run
folders."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SrnnError
from srnn._version import __version__
from srnn.data.batches import Sequences
from srnn.data.datasets import Split
from srnn.errors import command_line, option
from srnn.model.checkpoints import read_checkpoint
from srnn.training import loop, stepping
from srnn.training.loop import train
from srnn.training.parts import Training
from srnn.training.runs import Run, default_folder
from support.refusing import refuses
from support.tiny import TinyTask, tiny_recipe

SCRIPT = """
# Fork children that train, kill them at random moments, then let one finish. One process, so that torch is imported once.
import os, random, signal, sys, time
from pathlib import Path
import lightning_fabric
sys.path.insert(0, {tests!r})
from support.tiny import TinyTask, tiny_recipe
from srnn.training.loop import train

recipe = tiny_recipe("--training.epochs=8", "--training.checkpoint_every=2", "--training.optimizer.name=nadam")

def start(folder):
    child = os.fork()
    if child == 0:
        train(recipe, Path(folder), task=TinyTask(), seed=2, resume=True)
        os._exit(0)
    return child

began = time.monotonic()
assert os.waitpid(start(sys.argv[1]), 0)[1] == 0
seconds = time.monotonic() - began
moments = random.Random(0)
metrics = Path(sys.argv[2], "metrics.jsonl")

def epochs():
    return len(metrics.read_bytes().splitlines()) if metrics.exists() else 0

for _ in range(6):  # each after another epoch, and a random part of the next: on a busy machine no clock tells how far it is
    before, child, ended = epochs(), start(sys.argv[2]), 0
    while epochs() <= before and not ended:
        time.sleep(0.001)
        ended = os.waitpid(child, os.WNOHANG)[0]
    if not ended:
        time.sleep(moments.uniform(0, 0.12) * seconds)
        os.kill(child, signal.SIGKILL)
        ended = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        print("killed" if ended else "done")
assert os.waitpid(start(sys.argv[2]), 0)[1] == 0
"""


def _tensors(folder: Path, which: str = "last") -> dict[str, torch.Tensor]:
    return read_checkpoint(getattr(Run(folder, tiny_recipe(), 0), which)).tensors


def _equal(a: Path, b: Path) -> None:
    assert (
        read_checkpoint(a / "model.safetensors").info["model"]
        == read_checkpoint(b / "model.safetensors").info["model"]
    )
    for which in ("last", "best"):
        ours, theirs = _tensors(a, which), _tensors(b, which)
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), f"{which}: {name}"

    def lines(folder: Path) -> list[dict]:
        records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [
            {k: v for k, v in record.items() if k not in ("seconds", "samples_per_s")}
            for record in records
        ]

    assert lines(a) == lines(b)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT.format(tests=str(Path(__file__).parents[1]))]
    command += [str(tmp_path / "whole"), str(tmp_path / "killed")]
    printed = subprocess.run(
        command, check=True, timeout=200, capture_output=True, text=True
    ).stdout
    assert printed.split().count("killed") >= 2
    _equal(tmp_path / "whole", tmp_path / "killed")


class _Stop(Exception):
    pass


@pytest.mark.parametrize(
    ("every", "refit"),
    [(1, False), *(pytest.param(None, refit, marks=pytest.mark.slow) for refit in (False, True))],
)
def test_stopped_at_every_single_write_it_ends_with_the_same_bits(
    every: int | None, refit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thorough twin of the test above: stop right before, and right after, each write to the
    run folder."""
    words = ["--training.epochs=3"] + ([f"--training.checkpoint_every={every}"] if every else [])
    words += ["--training.refit=true"] if refit else []
    recipe = tiny_recipe(*words)
    train(recipe, tmp_path / "whole", task=TinyTask(), resume=True)

    writes = [(Training, "save_last"), (Training, "save_best"), (Run, "log")]
    budget = [0]

    def counted(write):
        def wrapper(*arguments):
            if budget[0] == 0:
                raise _Stop
            budget[0] -= 1
            write(*arguments)
            if budget[0] == 0:
                raise _Stop

        return wrapper

    for owner, name in writes:
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    stops = 0
    for allowed in range(100):  # each try writes a little more than the last before it is stopped
        budget[0] = allowed % 3 + 1
        try:
            train(recipe, tmp_path / "stopped", task=TinyTask(), resume=True)
            break
        except _Stop:
            stops += 1
    assert stops >= 3
    _equal(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.slow
def test_a_divergence_before_the_stop_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The halved learning rate survives in the checkpoint."""
    original, fail = stepping.rate_penalty, [True]

    def penalty(*arguments):
        nan, fail[0] = fail[0], False
        return original(*arguments) + (float("nan") if nan else 0.0)

    monkeypatch.setattr(stepping, "rate_penalty", penalty)
    train(tiny_recipe(), tmp_path / "whole", task=TinyTask())

    class Stopper(loop.Reporter):
        def epoch(self, record):
            if record["epoch"] == 2:
                raise KeyboardInterrupt

    fail[0] = True
    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(), tmp_path / "stopped", task=TinyTask(), reporter=Stopper())
    train(tiny_recipe(), tmp_path / "stopped", task=TinyTask(), resume=True)
    _equal(tmp_path / "whole", tmp_path / "stopped")
    assert (
        read_checkpoint(tmp_path / "stopped" / "checkpoints" / "last.safetensors").info["state"][
            "lr_factor"
        ]
        == 0.5
    )


def test_resuming_a_finished_run_gives_its_result_again(tmp_path: Path) -> None:
    first = train(tiny_recipe(), tmp_path / "run", task=TinyTask())
    noted = replace(tiny_recipe(), note="says something else since")  # which changes no number
    for recipe in (tiny_recipe(), noted):
        assert train(recipe, tmp_path / "run", task=TinyTask(), resume=True) == first


def test_data_that_have_moved_get_their_new_place_in_the_runs_recipe(tmp_path: Path) -> None:
    old, new, run = tmp_path / "old.npz", tmp_path / "new.npz", tmp_path / "run"

    def training(data: Path) -> Any:
        options = f"--task.name=folder --task.options.path={data} --training.epochs=1"
        return train(tiny_recipe(*options.split()), run, resume=True)

    np.savez(old, x=np.random.default_rng(0).normal(size=(30, 8, 3)), y=np.arange(30) % 3)
    first = training(old)
    old.rename(new)
    with pytest.raises(
        SrnnError, match=r"if the data have moved, change their place in .*recipe\.yaml\."
    ):
        training(new)
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(old), str(new)))
    assert training(new) == first


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    recipe = tiny_recipe("--training.epochs=1")
    run = tmp_path / "run"
    train(recipe, run, task=TinyTask())
    with pytest.raises(SrnnError, match="resume=True"):
        train(recipe, run, task=TinyTask())
    with refuses("training.epochs", "conflict"):
        train(tiny_recipe("--training.epochs=2"), run, task=TinyTask(), resume=True)
    with refuses("seed", "conflict"):
        train(recipe, run, task=TinyTask(), resume=True, seed=1)
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(SrnnError):
            train(recipe, out, task=TinyTask())
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    for resume in (False, True):
        with pytest.raises(SrnnError, match="not empty"):
            train(recipe, other, task=TinyTask(), resume=resume)
    assert [item.name for item in other.iterdir()] == ["thesis.tex"]


def test_a_run_that_began_before_data_were_compared_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = tiny_recipe("--training.epochs=1"), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Sequences, "digest", lambda self: "")
        patch.setattr("srnn.training.parts.size_of_inputs", lambda sequences: [])
        first = train(recipe, run, task=TinyTask())
    assert train(recipe, run, task=TinyTask(), resume=True) == first


@pytest.mark.parametrize(
    ("what", "which"),
    [
        ("x", "train"),
        ("y", "validation"),
        *(
            pytest.param(what, which, marks=pytest.mark.slow)
            for what in ("y", "lengths", "groups", "x")
            for which in ("train", "validation")
            if (what, which) not in (("x", "train"), ("y", "validation"))
        ),
    ],
)
def test_other_data_of_the_same_size_are_refused(
    what: str, which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose labels, lengths, speakers or inputs differ; nothing in the run's folder changes.
    Validation chooses the epoch."""
    recipe, run, load = tiny_recipe("--training.epochs=1"), tmp_path / "run", TinyTask.load
    first = train(recipe, run, task=TinyTask())
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def other(self: TinyTask, split: Any, data_dir: Path | None = None) -> Split:
        data = load(self, split, data_dir)
        if split != which:
            return data
        changed = {
            "y": (data.y + 1) % 3,
            "lengths": np.full(len(data), 11),
            "groups": np.full(len(data), "a"),
        }
        changed["x"] = data.x.copy()
        changed["x"][7, 3, 1] += 0.5
        return replace(data, **{what: changed[what]})

    with monkeypatch.context() as patch, refuses("data_dir", "conflict"):
        patch.setattr(TinyTask, "load", other)
        train(recipe, run, task=TinyTask(), resume=True)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert train(recipe, run, task=TinyTask(), resume=True) == first


def test_a_damaged_or_foreign_run_is_a_clear_error(tmp_path: Path) -> None:
    recipe = tiny_recipe("--training.epochs=1")
    run = tmp_path / "run"
    train(recipe, run, task=TinyTask())
    last = run / "checkpoints" / "last.safetensors"
    content = last.read_bytes()
    last.write_bytes(content[:-1])
    with pytest.raises(SrnnError, match="damaged"):
        train(recipe, run, task=TinyTask(), resume=True)
    last.write_bytes(content)
    (run / "environment.json").write_text("{}")
    with refuses(run / "environment.json", "file"):
        Run.open(run)
    with refuses(tmp_path, "missing"):
        Run.open(tmp_path)


@pytest.mark.parametrize("begun", ["0.1.0", "0.1.7", "1.2.0"])
def test_a_training_of_another_minor_version_is_read_but_not_continued(
    begun: str, tmp_path: Path
) -> None:
    recipe, run = tiny_recipe("--training.epochs=1"), tmp_path / "run"
    train(recipe, run, task=TinyTask())
    about = run / "environment.json"
    content = json.loads(about.read_text())
    assert content["versions"]["srnn"] == __version__
    content["versions"]["srnn"] = begun
    about.write_text(json.dumps(content))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(SrnnError, match=f"begun by srnn {begun}.*does not continue") as error:
        train(tiny_recipe("--training.epochs=2"), run, task=TinyTask(), resume=True)
    assert "\n" not in str(error.value)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert Run.open(run).trained().seed == 0


def test_a_training_of_another_patch_is_continued(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(tiny_recipe("--training.epochs=1"), run, task=TinyTask())
    about = run / "environment.json"
    major, minor, _ = __version__.split(".")
    about.write_text(
        about.read_text().replace(f'"srnn": "{__version__}"', f'"srnn": "{major}.{minor}.99"')
    )
    assert (
        train(tiny_recipe("--training.epochs=1"), run, task=TinyTask(), resume=True)["epochs"] == 1
    )


def test_a_start_that_was_killed_before_its_recipe_starts_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "environment.json").write_text("{")
    (run / ".recipe.yaml-0123456789ab.srnn-tmp").write_text("half")
    assert (
        train(tiny_recipe("--training.epochs=1"), run, task=TinyTask(), resume=True)["epochs"] == 1
    )


def test_default_folders_name_recipe_and_seed_and_count_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        folder = default_folder("paper/ecg", 3)
        assert folder.as_posix() == f"runs/paper-ecg-s3-{number}"
        folder.mkdir(parents=True)
    assert default_folder("../mine/a.yaml", 0).as_posix() == "runs/mine-a-s0-1"


def test_a_run_is_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    run, fresh, recipe = tmp_path / "run", tmp_path / "fresh", tiny_recipe("--training.epochs=2")
    train(tiny_recipe("--training.epochs=3"), run, task=TinyTask())
    (run / "evaluation-test.json").write_text("{}")
    (run / "notes.txt").write_text("mine")
    with pytest.raises(
        SrnnError,
        match=r"resume=True continues its run, overwrite=True replaces it, or choose another out\.",
    ):
        train(recipe, run, task=TinyTask())
    with refuses("resume", "conflict"):
        train(recipe, run, task=TinyTask(), resume=True, overwrite=True)
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(SrnnError):  # before anything is removed
        train(
            replace(recipe, loss=replace(recipe.loss, name="nll")),
            run,
            task=TinyTask(),
            overwrite=True,
        )
    assert (run / "model.safetensors").read_bytes() == before and (
        run / "evaluation-test.json"
    ).exists()

    again = train(recipe, run, task=TinyTask(), overwrite=True)
    alone = train(recipe, fresh, task=TinyTask())
    assert again["epochs"] == alone["epochs"] == 2 and again["loss"] == alone["loss"]
    assert len(Run.open(run).epochs()) == 2 and (run / "notes.txt").read_text() == "mine"
    assert {path.name for path in run.iterdir()} == {path.name for path in fresh.iterdir()} | {
        "notes.txt"
    }


def test_only_a_run_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(SrnnError, match=r"is not empty; choose another out\."):
        train(tiny_recipe("--training.epochs=1"), tmp_path, task=TinyTask(), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_option_is_called_as_the_user_calls_it() -> None:
    assert (option("data_dir"), option("resume", flag=True)) == ("data_dir", "resume=True")
    with command_line():
        assert (option("data_dir"), option("resume", flag=True)) == ("--data-dir", "--resume")
    assert option("out") == "out"


@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_at_the_start_leaves_nothing(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty folder checkpoints was left."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if there:
        (tmp_path / "run").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(SrnnError, match="No space left"):
            train(tiny_recipe("--training.epochs=1"), tmp_path / "run", task=TinyTask())
    assert [path.name for path in tmp_path.rglob("*")] == ["run"] * there
