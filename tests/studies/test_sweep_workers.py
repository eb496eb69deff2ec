"""Workers of a sweep: each trial once, whoever dies; what they leave is what one undisturbed
training leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from srnn import SrnnError
from srnn.cli.main import main
from srnn.model.checkpoints import read_checkpoint
from srnn.studies import load_sweep, worker
from srnn.studies.results import write_results
from srnn.studies.study import open_study
from srnn.studies.trials import MAX_DEATHS, Trials
from srnn.training.loop import train
from srnn.training.runs import Run
from support.sweeps import SWEEP, close, states_of, sweep_in, trials_in, work
from support.tiny import TinyTask

ONE = "recipe: tiny.yaml\n"
SEARCH = """
recipe: tiny.yaml
sampler: {name: random, seed: 3}
trials: 4
parameters: {training.optimizer.lr: "loguniform(1e-3, 1e-1)", network.hidden: [[4], [3, 3]]}
"""


def whole(sweep: Any, trials: Trials, folder: Path) -> None:
    """Every training has, to the bit, what a single undisturbed one has."""
    for one in trials.status():
        for seed in one.trial.seeds:
            run, other = trials.run(one.trial, seed), folder / one.trial.name / f"{seed}"
            train(sweep.recipe_for(one.settings), other, seed=seed, task=TinyTask())
            epochs = [
                json.loads(line)["epoch"]
                for line in (run / "metrics.jsonl").read_text().splitlines()
            ]
            assert epochs == list(range(1, len(epochs) + 1))
            for which in ("last", "best"):
                ours, theirs = (
                    read_checkpoint(getattr(Run.open(path), which)) for path in (run, other)
                )
                assert all(
                    torch.equal(tensor, theirs.tensors[name])
                    for name, tensor in ours.tensors.items()
                )


def test_one_worker_does_all(tmp_path: Path) -> None:
    sweep, out = sweep_in(tmp_path), tmp_path / "out"
    assert work(sweep, out) == 4
    trials = trials_in(sweep, out)
    assert states_of(trials) == ["done"] * 4 and not trials.left()
    content = write_results(sweep, trials.status(), out)
    for row in content["trainings"]:
        result = json.loads((out / row["run"] / "result.json").read_text())
        assert (row["accuracy"], row["loss"], row["seed"]) == (
            result["accuracy"],
            result["loss"],
            result["seed"],
        )
        assert row["worker"].endswith(f":{os.getpid()}")
    # Nothing is left to do, and it is not done again.
    assert work(sweep, out) == 0


def test_the_run_folders_are_the_state(tmp_path: Path) -> None:
    """Of a grid all else may be lost; and what is trained by hand, or copied there, need not be
    trained."""
    sweep, out = sweep_in(tmp_path), tmp_path / "out"
    train(sweep.recipe_for({}), out / "runs" / "a" / "s1", seed=1, task=TinyTask())
    assert work(sweep, out) == 3
    before = [one.trainings for one in trials_in(sweep, out).status()]
    for path in (out / "trials").rglob("*.json"):
        path.unlink()
    (out / "sweep.json").unlink()
    trials = trials_in(sweep, out)
    assert [one.trainings for one in trials.status()] == before and states_of(trials) == [
        "done"
    ] * 4
    # And what is deleted is trained again.
    (out / "runs" / "b" / "s0" / "result.json").unlink()
    assert (
        states_of(trials_in(sweep, out)) == ["done", "waiting", "done", "done"]
        and work(sweep, out) == 1
    )


PROCESSES = """
# Processes that are workers; each notes what it begins, and at which step. COUNT at once, of which VICTIMS are killed.
import os, platform, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import lightning_fabric, optuna, torch
from support.tiny import TinyTask
from srnn.studies import load_sweep, worker
from srnn.studies.study import open_study
from srnn.studies.trials import Trials
from srnn.studies.worker import Worker

worker.POLL = 0.1
sweep, out, address = load_sweep(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] or None
count, victims = int(sys.argv[4]), int(sys.argv[5])

class Noting(Worker):
    def start(self, epochs, steps_per_epoch, done_steps):
        with open(out / "begun", "a") as file:
            file.write(self._trial.name + " " + str(done_steps) + "\\n")

def start():
    child = os.fork()
    if child == 0:
        platform.node = lambda: f"machine{{os.getpid() % 2}}"  # that share the folder
        trials = Trials(sweep, out)
        trials.begin()
        Noting(trials, open_study(trials, address), task=TinyTask()).work()
        os._exit(0)
    return child

trials = Trials(sweep, out)

def holders():
    running = [one for one in trials.status() if one.state == "running" and one.epochs >= 2 and one.trial.name not in struck]
    holding = {{int(one.worker.rpartition(":")[2]): one.trial.name for one in running}}
    return {{holder: name for holder, name in holding.items() if holder in alive}}

alive, struck = {{start() for _ in range(count)}}, set()
for _ in range(victims):
    victim = None
    while victim is None:
        time.sleep(0.01)
        assert os.waitpid(-1, os.WNOHANG)[0] == 0  # none has ended by itself
        for holder in holders():
            os.kill(holder, signal.SIGSTOP)  # so that it does not end its trial between our look and its death
            if holder in holders():
                victim = holder
                struck.add(holders()[holder])
                break
            os.kill(holder, signal.SIGCONT)
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    alive.remove(victim)
    print("killed")
    alive.add(start())
for child in alive:
    assert os.waitpid(child, 0)[1] == 0
"""


def in_processes(
    file: Path, out: Path, address: str | None, count: int, victims: int
) -> list[tuple[str, int]]:
    """What was begun, and at which step of its training."""
    script = PROCESSES.format(tests=str(Path(__file__).parents[1]))
    command = [
        sys.executable,
        "-c",
        script,
        str(file),
        str(out),
        address or "",
        str(count),
        str(victims),
    ]
    done = subprocess.run(command, check=False, timeout=250, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["killed"] * victims
    begun = [line.split() for line in (out / "begun").read_text().splitlines()]
    return [(name, int(step)) for name, step in begun]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("text", "storage"),
    [(SWEEP, ""), (SEARCH, "journal"), (SEARCH, "postgresql")],
    ids=["grid", "search-journal", "search-postgresql"],
)
def test_killed_workers_lose_nothing_and_double_nothing(
    text: str, storage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A killed worker's trial is taken up by another, on whatever machine, from its last
    checkpoint."""
    optuna = pytest.importorskip("optuna") if storage else None
    address = request.getfixturevalue("database") if storage == "postgresql" else None
    sweep_in(tmp_path, text, "--training.epochs=6", "--training.checkpoint_every=2")
    file, out = (
        tmp_path / f"{uuid.uuid4().hex}.yaml",
        tmp_path / "out",
    )  # a name that the database has not got
    (tmp_path / "sweep.yaml").rename(file)
    sweep = load_sweep(str(file))
    begun = in_processes(file, out, address, 2, 2)
    trials = Trials(sweep, out)
    names = [trial.name for trial in trials.all]
    assert states_of(trials) == ["done"] * 4
    assert sorted(name for name, step in begun if step == 0) == sorted(names)
    assert len([name for name, step in begun if step > 0]) == 2  # went on, at a checkpoint
    if optuna is not None:
        study = open_study(trials, address)
        assert study is not None
        done = [
            trial for trial in study.study.trials if trial.state == optuna.trial.TrialState.COMPLETE
        ]
        assert (
            sorted(trial.user_attrs["trial"] for trial in done) == sorted(names)
            and len(study.study.trials) == 4
        )
        assert all(len(trial.intermediate_values) == 6 for trial in done)
        if address is not None:
            close(study)
    whole(sweep, trials, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_nine_workers_that_begin_at_once_train_everything_once(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    sweep, out = sweep_in(tmp_path, SEARCH, "--training.epochs=1"), tmp_path / "out"
    begun = in_processes(tmp_path / "sweep.yaml", out, None, 9, 0)
    trials = Trials(sweep, out)
    assert (
        sorted(begun) == sorted((trial.name, 0) for trial in trials.all)
        and states_of(trials) == ["done"] * 4
    )


@contextmanager
def locked_elsewhere(folder: Path, ready: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds a folder's lock until it is killed."""
    code = "import sys, time; from pathlib import Path; from srnn.files import locked\n"
    code += "with locked(Path(sys.argv[1])):\n    Path(sys.argv[2]).touch()\n    time.sleep(100)\n"
    with subprocess.Popen([sys.executable, "-c", code, str(folder), str(ready)]) as other:
        try:
            while not ready.exists():
                assert other.poll() is None
            yield other
        finally:
            other.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "folder", "states"),
    [
        ("recipe: tiny.yaml\nseeds: [0, 1]\n", "base/s0", ["running", "done"]),
        (SEARCH.replace("trials: 4", "trials: 1\nseeds: [0, 1]"), "p0000/s1", ["waiting"]),
    ],
)
def test_what_another_process_trains_is_left_to_it_until_it_dies(
    text: str, folder: str, states: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker, or somebody who trains one of a search's seeds by hand."""
    pytest.importorskip("optuna")
    sweep, out = sweep_in(tmp_path, text, "--training.epochs=1"), tmp_path / "out"
    waits = []
    with locked_elsewhere(out / "runs" / folder, tmp_path / "ready") as other:

        def wait(seconds: float) -> None:
            waits.append((seconds, states_of(trials_in(sweep, out))))
            other.kill()
            other.wait()

        monkeypatch.setattr(worker, "time", SimpleNamespace(sleep=wait))
        assert work(sweep, out) == len(states)
    assert waits == [(worker.POLL, states)]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_worker_that_is_ended_gives_its_unit_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After three times the trial counted as one that kills its workers."""
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(f"needs {name}")
    sweep = sweep_in(tmp_path, ONE)

    def ended(*arguments: object, **options: object) -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(signal.SIGTERM)  # by whoever started it, which was told as well

    before = signal.getsignal(number)
    with monkeypatch.context() as patched:
        patched.setattr("srnn.training.loop.train", ended)
        for _ in range(MAX_DEATHS + 1):
            assert (
                main(["sweep", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "out")]) == 130
            )
            assert (
                "stopped; the same command continues (0 of 1 are done)" in capsys.readouterr().err
            )
    assert signal.getsignal(number) == before
    assert (
        states_of(trials_in(sweep, tmp_path / "out")) == ["waiting"]
        and work(sweep, tmp_path / "out") == 1
    )


@pytest.mark.robust
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    """Unless it gets further each time: then it was a scheduler, or a power cut."""
    sweep, out = sweep_in(tmp_path, ONE, "--training.epochs=1"), tmp_path / "out"
    metrics = out / "runs" / "base" / "s0" / "metrics.jsonl"
    trials_in(sweep, out)

    def die() -> None:
        assert states_of(Trials(sweep, out)) == ["waiting"]
        if (child := os.fork()) == 0:
            trials = Trials(sweep, out)
            held = trials.hold(trials.all[0])
            held.__enter__()
            os._exit(0)
        os.waitpid(child, 0)

    for epoch in range(2 * MAX_DEATHS):
        die()
        record = {"epoch": epoch + 1, "seconds": 1.0, "validation": {"accuracy": 0.5}}
        with open(metrics, "a") as file:
            file.write(f"{json.dumps(record)}\n")
    for _ in range(MAX_DEATHS):
        die()
    assert work(sweep, out) == 0
    trials = trials_in(sweep, out)
    assert states_of(trials) == ["failed"] and "died 3 times" in (trials.status()[0].error or "")
    metrics.unlink()  # there is no such run
    trials.retry_failed()
    assert work(sweep, out) == 1


def test_a_failed_training_is_kept_as_failed_and_tried_again_when_asked(tmp_path: Path) -> None:
    text = "recipe: tiny.yaml\nvariants: [{a: {}}, {b: {training.max_restores: 0}}]\n"
    sweep, out = sweep_in(tmp_path, text, "--training.epochs=1"), tmp_path / "out"
    assert work(sweep, out, task=TinyTask(poison=float("nan"))) == 2
    trials = trials_in(sweep, out)
    assert states_of(trials) == ["failed", "failed"] and "not finite" in (
        trials.status()[0].error or ""
    )
    assert work(sweep, out) == 0
    trials.retry_failed()
    assert states_of(trials) == ["waiting", "waiting"]
    assert work(sweep, out) == 2 and states_of(trials) == ["done", "done"]


def test_a_training_that_lacks_memory_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended its worker, and the next."""
    sweep, out = sweep_in(tmp_path, "recipe: tiny.yaml\nseeds: [0, 1]\n"), tmp_path / "out"

    def large(*arguments: object, seed: int, **options: object) -> object:
        return torch.empty(2**50) if seed == 0 else train(*arguments, seed=seed, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("srnn.training.loop.train", large)
    assert work(sweep, out) == 2
    trials = trials_in(sweep, out)
    assert states_of(trials) == ["failed", "done"] and "not enough memory" in (
        trials.status()[0].error or ""
    )


def test_what_is_no_users_mistake_ends_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = sweep_in(tmp_path, ONE), tmp_path / "out"

    def wrong(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("srnn.training.loop.train", wrong)
    for _ in range(MAX_DEATHS + 1):
        with pytest.raises(ZeroDivisionError):
            work(sweep, out)
    assert states_of(trials_in(sweep, out)) == ["waiting"]


@pytest.mark.slow
def test_a_point_that_fails_at_its_second_seed_keeps_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named as having lost a training, and is not the best, however good the other was."""
    pytest.importorskip("optuna")
    text = (
        "recipe: tiny.yaml\nseeds: [0, 1]\nsampler: random\ntrials: 2\nparameters: "
        "{training.batch_size: [4, 5]}\n"
    )
    sweep, out = sweep_in(tmp_path, text, "--training.epochs=2"), tmp_path / "out"

    def diverging(recipe: Any, run: Path, *, seed: int, **options: Any) -> Any:
        if (run.parent.name, seed) != ("p0000", 1):
            return train(recipe, run, seed=seed, **options)
        run.mkdir(parents=True)
        record = {"epoch": 1, "seconds": 30.0, "validation": {"accuracy": 0.2}}
        (run / "metrics.jsonl").write_text(f"{json.dumps(record)}\n")
        raise SrnnError("Training diverged at epoch 2")

    monkeypatch.setattr("srnn.training.loop.train", diverging)
    assert work(sweep, out) == 2
    result = out / "runs" / "p0000" / "s0" / "result.json"
    result.write_text(json.dumps({**json.loads(result.read_text()), "accuracy": 1.0}))
    content = write_results(sweep, trials_in(sweep, out).status(), out)
    assert [(row["seed"], row["state"]) for row in content["trainings"]] == [
        (0, "done"), (1, "failed"), (0, "done"), (1, "done")
    ]  # fmt: skip
    lost = content["trainings"][1]
    assert (lost["epochs"], lost["seconds"], lost["error"]) == (
        1,
        30.0,
        "Training diverged at epoch 2",
    )
    assert lost["best_so_far"] == 0.2
    assert content["best"] == "p0001" and content["points"][1]["lost"] == [1]
    page = (out / "results.md").read_text()
    assert "| 0 (1 lost) |" in page and "Training diverged at epoch 2" in page and "failed" in page


@pytest.mark.slow
def test_a_budget_ends_a_sweep_between_two_trainings_and_may_be_raised(tmp_path: Path) -> None:
    recipe = "recipe: tiny.yaml\nseeds: [0, 1, 2]\n"
    out, small = tmp_path / "out", "--training.epochs=1"
    sweep = sweep_in(tmp_path, recipe + "budget_minutes: 1.0e-9\n", small)
    trials = trials_in(sweep, out)
    assert len(trials.left()) == 3
    assert work(sweep, out) == 1  # what has begun is trained to its end
    assert states_of(trials) == ["done", "waiting", "waiting"] and not trials.left()
    content = write_results(sweep, trials.status(), out)
    seconds = content["trainings"][0]["seconds"]
    assert content["minutes"] == pytest.approx(seconds / 60, abs=1e-4) and seconds > 0
    page = (out / "results.md").read_text()
    assert "Not finished: 2 waiting." in page and "(budget: 1e-09)" in page
    assert work(sweep, out) == 0
    more = sweep_in(tmp_path, recipe + "budget_minutes: 100\n", small)
    assert len(trials_in(more, out).left()) == 2 and work(more, out) == 2
    # Exactly used up: 100 minutes.
    for seed, seconds in enumerate((3000.0, 1.0, 2999.0)):
        result = out / "runs" / "base" / f"s{seed}" / "result.json"
        result.write_text(json.dumps({**json.loads(result.read_text()), "seconds": seconds}))
    longer = sweep_in(tmp_path, recipe.replace("2]", "2, 3]") + "budget_minutes: 100\n", small)
    assert not trials_in(longer, out).left()
    result.write_text(json.dumps({**json.loads(result.read_text()), "seconds": 2998.0}))
    assert len(trials_in(longer, out).left()) == 1


def test_a_sweep_goes_on_after_a_training_whose_best_epoch_was_unhealthy(tmp_path: Path) -> None:
    sweep, out = sweep_in(tmp_path, ONE, "--training.epochs=1"), tmp_path / "out"
    work(sweep, out)
    result = out / "runs" / "base" / "s0" / "result.json"
    unhealthy = ["layers.0 is silent (4 of 4 neurons emitted nothing)"]
    result.write_text(
        json.dumps({**json.loads(result.read_text()), "unhealthy": unhealthy, "restores": 2})
    )
    assert work(sweep, out) == 0
    (row,) = write_results(sweep, trials_in(sweep, out).status(), out)["trainings"]
    assert (row["unhealthy"], row["restores"]) == (unhealthy[0], 2)


@pytest.mark.parametrize("name", ["trials/base/s0.json", "sweep.json", "runs/base/s0/result.json"])
def test_a_damaged_file_is_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    sweep, out = sweep_in(tmp_path, ONE, "--training.epochs=1"), tmp_path / "out"
    work(sweep, out)
    for content in ("[1]", "{", "{}" if "result" in name else "7"):
        (out / name).write_text(content)
        with pytest.raises(SrnnError, match=name.rpartition("/")[2].replace(".", r"\.")):
            work(sweep, out)


def test_a_trial_that_nobody_has_begun_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four looks at the disk for each of 20,000 seeds took seconds after every training."""
    sweep = sweep_in(tmp_path, SWEEP.replace("[0, 1]", str([*range(500)])))
    trials = trials_in(sweep, tmp_path / "out")
    begun = {trial.name: trial for trial in trials.all if trial.name in ("a/s7", "b/s8", "b/s9")}
    trials.note(begun["a/s7"], ended="failed", error="why")
    (trials.out / "runs" / "b" / "s8").mkdir(parents=True)
    looked = list[str]()
    look = Trials.of
    monkeypatch.setattr(
        Trials, "of", lambda self, trial: looked.append(trial.name) or look(self, trial)
    )
    with trials.hold(begun["b/s9"]):
        looked.clear()
        found = trials.status()
    assert sorted(looked) == sorted(begun)
    assert {one.trial.name: one.state for one in found if one.state != "waiting"} == {
        "a/s7": "failed",
        "b/s9": "running",
    }
    monkeypatch.undo()
    first = trials.all[0]
    assert first.name not in begun and found[0] == trials.of(first)
