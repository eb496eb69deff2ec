"""Workers of a sweep: each unit exactly once, whoever dies; what they leave is what one undisturbed training leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.cli.main import main
from srnn.studies import load_sweep
from srnn.studies.queue import MAX_DEATHS, Claim, Lost, Queue
from srnn.studies.results import write_results
from srnn.studies.storage import open_storage
from srnn.studies.worker import work
from srnn.training.checkpoints import read_checkpoint
from srnn.training.loop import train
from srnn.training.runs import Run
from support.sweeps import SWEEP, queue_in, states_of, sweep_in
from support.tiny import TinyTask

optuna = pytest.importorskip("optuna")


def _once(queue: Queue) -> None:
    """Every unit is done, by exactly one trial."""
    done = [t.user_attrs["unit"] for t in queue.study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    assert sorted(done) == sorted(queue.units)


def test_one_worker_does_all(tmp_path: Path) -> None:
    sweep = sweep_in(tmp_path)
    said: list[str] = []
    assert work(queue_in(sweep, tmp_path / "out"), tmp_path / "out", task=TinyTask(), say=said.append) == 4
    queue = queue_in(sweep, tmp_path / "out")
    _once(queue)
    assert said[0] == "a/s0: begun" and "accuracy" in said[-1]
    content = write_results(sweep, queue.status(), tmp_path / "out")
    for row in content["trainings"]:
        result = json.loads((tmp_path / "out" / row["run"] / "result.json").read_text())
        assert (row["accuracy"], row["loss"], row["seed"]) == (result["accuracy"], result["loss"], result["seed"])
    # Nothing is left to do, and it is not done again.
    assert work(queue, tmp_path / "out", task=TinyTask()) == 0


KILLED = """
# Two workers in processes of their own; the one that has come to the middle of a unit is killed, then the first one of another.
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import lightning_fabric, optuna, torch
from support.tiny import TinyTask
from srnn.cli.main import main
from srnn.studies import load_sweep
from srnn.studies.queue import Queue
from srnn.studies.storage import open_storage
from srnn.studies import worker
from srnn.studies.worker import _Follower, work

worker.POLL = 0.1
sweep, out, address = load_sweep(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] or None

begin = _Follower.start

def noted(follower, epochs, steps, done):
    with open(out / "begun", "a") as file:
        file.write(follower.claim.unit.name + " " + str(done) + "\\n")
    begin(follower, epochs, steps, done)

_Follower.start = noted

def start():
    child = os.fork()
    if child == 0:
        work(Queue(sweep, open_storage(address, out)), out, task=TinyTask())
        os._exit(0)
    return child

queue = Queue(sweep, open_storage(address, out))

def holders():
    running = [status for status in queue.status() if status.state == "running" and status.epochs >= 2]
    return alive & {{int(status.worker.rpartition(":")[2]) for status in running}}

queue.fill()
alive = {{start(), start()}}
for _ in range(2):
    victim = None
    while victim is None:
        time.sleep(0.01)
        assert os.waitpid(-1, os.WNOHANG)[0] == 0  # none has ended by itself
        for holder in holders():
            os.kill(holder, signal.SIGSTOP)  # so that it does not end its unit between our look and its death
            if holder in holders():
                victim = holder
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


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("storage", ["journal", "postgresql"])
def test_killed_workers_lose_nothing_and_double_nothing(
    storage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A killed worker's unit is taken up by another from its last checkpoint, whatever the storage."""
    address = request.getfixturevalue("database") if storage == "postgresql" else None
    sweep_in(tmp_path, SWEEP, "--training.epochs=6", "--training.checkpoint_every=2")
    file, out = tmp_path / f"{uuid.uuid4().hex}.yaml", tmp_path / "out"  # a name that the database has not got
    (tmp_path / "sweep.yaml").rename(file)
    sweep = load_sweep(str(file))
    script = KILLED.format(tests=str(Path(__file__).parents[1]))
    command = [sys.executable, "-c", script, str(file), str(out), address or ""]
    printed = subprocess.run(command, check=True, timeout=200, capture_output=True, text=True).stdout
    assert printed.split() == ["killed", "killed"]
    opened = open_storage(address, out)
    queue = Queue(sweep, opened)
    _once(queue)
    died = sorted(trial.user_attrs["unit"] for trial in queue.study.trials if trial.user_attrs.get("died"))
    assert len(died) == 2
    begun = [line.split() for line in (out / "begun").read_text().splitlines()]
    assert sorted(unit for unit, done in begun if int(done) > 0) == died  # went on, at a checkpoint
    assert sorted(unit for unit, done in begun if int(done) == 0) == sorted(queue.units)
    if address is not None:
        opened.remove_session()
        opened._backend.engine.dispose()
    for unit in sweep.units():
        folder = out / "runs" / unit.name
        epochs = [json.loads(line)["epoch"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert epochs == list(range(1, 7))
        whole = tmp_path / "whole" / unit.name
        train(sweep.recipe_for(unit.settings), whole, seed=unit.seeds[0], task=TinyTask())
        for which in ("last", "best"):
            ours, theirs = (read_checkpoint(getattr(Run.open(run), which)) for run in (folder, whole))
            assert all(torch.equal(tensor, theirs.tensors[name]) for name, tensor in ours.tensors.items())


@pytest.mark.slow
def test_a_search_is_pruned_resumed_and_independent_of_the_workers(tmp_path: Path) -> None:
    text = """
recipe: tiny.yaml
seeds: [0, 1]
sampler: {name: random, seed: 7}
pruner: {name: median, startup: 2, warmup: 1}
trials: 6
optimise: loss
parameters:
  training.optimizer.lr: loguniform(1e-5, 3e-1)
  network.hidden: [[4], [3, 3]]
  training.batch_size: integer(10, 30)
"""
    sweep = sweep_in(tmp_path, text, "--training.epochs=3")
    queue = queue_in(sweep, tmp_path / "out")
    work(queue, tmp_path / "out", task=TinyTask())
    states = states_of(queue)
    assert "pruned" in states and set(states) == {"done", "pruned"}
    found = [status.settings for status in queue.status()]
    assert all(10 <= s["training.batch_size"] <= 30 and s["network.hidden"] in ([4], [3, 3]) for s in found)
    assert len({s["training.optimizer.lr"] for s in found}) == 6
    # Two workers in turn draw the same points, and a unit that is given back keeps its point.
    first, second = queue_in(sweep, tmp_path / "two"), queue_in(sweep, tmp_path / "two")
    claims = [one.claim() for one in (first, second, first)]
    assert [claim.settings() for claim in claims if claim] == found[:3]
    assert claims[0] is not None and claims[0].release()
    for _ in range(3):
        later = second.claim()
        assert later is not None
    again = second.claim()
    assert again is not None and again.unit.name == "p0000" and again.settings() == found[0]


def test_a_failed_training_is_kept_as_failed_and_tried_again_when_asked(tmp_path: Path) -> None:
    sweep = sweep_in(
        tmp_path, "recipe: tiny.yaml\nvariants: [{a: {}}, {b: {training.max_restores: 0}}]\n", "--training.epochs=1"
    )
    out = tmp_path / "out"
    queue = queue_in(sweep, out)
    work(queue, out, task=TinyTask(poison=float("nan")))
    assert states_of(queue) == ["failed", "failed"]
    assert "not finite" in (queue.status()[0].error or "")
    assert work(queue, out, task=TinyTask()) == 0
    queue.fill(retry_failed=True)
    queue.fill(retry_failed=True)
    assert states_of(queue) == ["waiting", "waiting"]
    claim = queue.claim()
    assert claim is not None and claim.release()  # given back in its second round: it stays asked for
    assert work(queue, out, task=TinyTask()) == 2
    _once(queue)


def test_a_training_that_lacks_memory_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended its worker, and the next."""
    sweep, out = sweep_in(tmp_path, "recipe: tiny.yaml\nseeds: [0, 1]\n"), tmp_path / "out"

    def large(*arguments: object, seed: int, **options: object) -> object:
        return torch.empty(2**50) if seed == 0 else train(*arguments, seed=seed, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("srnn.training.loop.train", large)
    assert work(queue_in(sweep, out), out, task=TinyTask()) == 2
    queue = queue_in(sweep, out)
    assert states_of(queue) == ["failed", "done"] and "not enough memory" in (queue.status()[0].error or "")


def test_a_point_that_fails_at_its_second_seed_keeps_the_first(tmp_path: Path) -> None:
    """It is named as having lost a training, and is not the best, however good the other was."""
    text = "recipe: tiny.yaml\nseeds: [0, 1]\nsampler: random\ntrials: 2\nparameters: {training.batch_size: [4, 5]}\n"
    queue, out = queue_in(sweep_in(tmp_path, text, "--training.epochs=2"), tmp_path / "out"), tmp_path / "out"
    first = queue.claim()
    assert first is not None
    first.settings()
    result = {
        "accuracy": 1.0,
        "loss": 0.1,
        "parameters": 3,
        "seconds": 60.0,
        "epochs": 2,
        "firing_rate": 0.1,
        "run": "x",
    }
    for epoch in (1, 2, 3):
        first.report(1.0, epoch, 30.0 * epoch)
    assert first.end("failed", error="Training diverged at epoch 2", results={"0": result})
    assert work(queue, out, task=TinyTask()) == 1
    content = write_results(queue.sweep, queue.status(), out)
    assert [(row["seed"], row["state"]) for row in content["trainings"]] == [
        (0, "done"), (1, "failed"), (0, "done"), (1, "done")
    ]  # fmt: skip
    lost = content["trainings"][1]
    assert (lost["epochs"], lost["seconds"], lost["error"]) == (1, 30.0, "Training diverged at epoch 2")
    assert content["best"] == "p0001" and content["points"][1]["lost"] == [1]
    page = (out / "results.md").read_text()
    assert "| 0 (1 lost) |" in page and "Training diverged at epoch 2" in page and "failed" in page


def test_a_budget_ends_a_sweep_between_two_trainings_and_may_be_raised(tmp_path: Path) -> None:
    recipe = "recipe: tiny.yaml\nseeds: [0, 1, 2]\n"
    out, small = tmp_path / "out", "--training.epochs=1"
    queue = queue_in(sweep_in(tmp_path, recipe + "budget_minutes: 1.0e-9\n", small), out)
    assert not queue.finished()
    assert work(queue, out, task=TinyTask()) == 1  # what has begun is trained to its end
    assert states_of(queue) == ["done", "waiting", "waiting"] and queue.finished()
    content = write_results(queue.sweep, queue.status(), out)
    seconds = content["trainings"][0]["seconds"]
    assert content["minutes"] == pytest.approx(seconds / 60, abs=1e-4) and seconds > 0
    page = (out / "results.md").read_text()
    assert "Not finished: 2 waiting." in page and "(budget: 1e-09)" in page
    assert work(queue, out, task=TinyTask()) == 0
    more = queue_in(sweep_in(tmp_path, recipe + "budget_minutes: 100\n", small), out)
    assert not more.finished() and work(more, out, task=TinyTask()) == 2
    _once(more)
    used = [
        replace(status, seconds=seconds) for status, seconds in zip(more.status(), (3000.0, None, 2999.0), strict=True)
    ]
    assert not more.is_spent(used) and more.is_spent([*used, replace(used[0], seconds=1.0)])


def test_what_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    queue = queue_in(sweep_in(tmp_path, "recipe: tiny.yaml\n"), tmp_path / "out", patience=1e-9)
    for _ in range(MAX_DEATHS):
        queue.give_up_dead()
        assert queue.claim() is not None
        queue.give_up_dead()  # has seen it
    assert queue.claim() is None
    assert states_of(queue) == ["failed"] and "died 3 times" in (queue.status()[0].error or "")
    queue.fill(retry_failed=True)
    assert queue.claim() is not None


def test_a_worker_that_was_taken_for_dead_stops(tmp_path: Path) -> None:
    sweep = sweep_in(tmp_path, "recipe: tiny.yaml\n")
    sleeper, other = queue_in(sweep, tmp_path / "out"), queue_in(sweep, tmp_path / "out", patience=1e-9)
    late = sleeper.claim()
    assert late is not None
    late.check()
    other.give_up_dead()  # sees its sign of life, and that there is no other before it claims
    new = other.claim()
    assert new is not None and new.unit.name == late.unit.name
    late.beat()  # its next sign of life tells it
    with pytest.raises(Lost):
        late.check()
    with pytest.raises(Lost):
        late.report(0.5, 1, 1.0)
    assert not late.end("done", 0.5, results={}) and not late.end("failed", error="x", results={})
    assert new.end("done", 0.9, results={})
    _once(other)


def test_a_sleeper_asks_before_it_goes_on(tmp_path: Path) -> None:
    """A process that was stopped for long does not train a single batch more for a unit that is another's."""
    sweep = sweep_in(tmp_path, "recipe: tiny.yaml\n")
    sleeper, other = queue_in(sweep, tmp_path / "out"), queue_in(sweep, tmp_path / "out", patience=1e-9)
    late = sleeper.claim()
    other.give_up_dead()
    other.give_up_dead()
    assert late is not None and other.claim() is not None
    late._last -= 31  # of 60 seconds of patience
    with pytest.raises(Lost):
        late.check()


def test_an_interrupted_worker_gives_its_unit_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = sweep_in(tmp_path, "recipe: tiny.yaml\n")
    queue = queue_in(sweep, tmp_path / "out")

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("srnn.training.loop.train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            work(queue, tmp_path / "out", task=TinyTask())
    assert states_of(queue) == ["waiting"]
    assert work(queue_in(sweep, tmp_path / "out"), tmp_path / "out", task=TinyTask()) == 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_worker_that_is_ended_gives_its_unit_back(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three times the unit counted as one that kills its workers."""
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(f"needs {name}")
    sweep = sweep_in(tmp_path, "recipe: tiny.yaml\n")

    def ended(*arguments: object, **options: object) -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(signal.SIGTERM)  # by the parent, which was told as well

    monkeypatch.setattr("srnn.training.loop.train", ended)
    for _ in range(MAX_DEATHS):
        kept = {one: signal.getsignal(one) for one in (number, signal.SIGTERM)}
        try:
            assert main(["sweep", str(tmp_path / "sweep.yaml"), "--as-worker", "--out", str(tmp_path / "out")]) == 130
        finally:
            for one, handler in kept.items():
                signal.signal(one, handler)
    queue = queue_in(sweep, tmp_path / "out")
    assert states_of(queue) == ["waiting"] and not any("died" in trial.user_attrs for trial in queue.study.trials)


@settings(max_examples=12)
@given(st.lists(st.tuples(st.sampled_from(["claim", "die", "release", "complete", "fill", "double"]), st.integers(0, 2)),
                max_size=25))  # fmt: skip
def test_whatever_happens_every_unit_is_done_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list
) -> None:
    folder = tmp_path_factory.mktemp("sweep")
    queue = Queue(sweep_in(folder), optuna.storages.InMemoryStorage())
    held: dict[int, Claim] = {}
    for what, who in steps:
        if what == "claim" and who not in held:
            claim = queue.claim()
            if claim is not None:
                held[who] = claim
        elif what == "die" and who in held:  # as give_up_dead does it
            queue._write(held.pop(who).trial, optuna.trial.TrialState.FAIL)
        elif what == "release" and who in held:
            held.pop(who).release()
        elif what == "complete" and who in held:
            assert held.pop(who).end("done", 0.5, results={})
        elif what == "fill":
            queue.fill()
        elif what == "double":  # another worker has missed the same unit at the same time
            unit = list(queue.units.values())[who]
            attributes = {"unit": unit.name, "settings": dict(unit.settings), "round": 0}
            queue.study.enqueue_trial({}, user_attrs=attributes)
    for claim in held.values():
        claim.release()
    while (claim := queue.claim()) is not None:
        assert claim.end("done", 0.5, results={})
    assert queue.finished()
    _once(queue)
