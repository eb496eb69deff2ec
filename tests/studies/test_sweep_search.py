"""A search, without trainings: what is drawn, what a worker reports of it, and when a poor point is ended early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from srnn import SrnnError
from srnn.files import FolderInUse
from srnn.progress import Reporter
from srnn.studies import worker
from srnn.studies.queue import Claim, Lost, Queue
from srnn.studies.worker import work
from support.sweeps import queue_in, states_of, sweep_in

optuna = pytest.importorskip("optuna")

SEARCH = """
recipe: tiny.yaml
sampler: {name: random, seed: 7}
trials: 3
parameters:
  training.optimizer.lr: loguniform(1e-5, 3e-1)
  training.batch_size: integer(10, 12)
"""


def _search(folder: Path, text: str) -> tuple[Queue, list[Claim]]:
    queue = Queue(sweep_in(folder, text), optuna.storages.InMemoryStorage())
    return queue, [claim for _ in range(3) if (claim := queue.claim()) is not None]


def test_a_search_draws_from_its_files_ranges_by_its_seed(tmp_path: Path) -> None:
    drawn = {}
    for text in (SEARCH, SEARCH.replace("seed: 7", "seed: 8"), SEARCH.replace("random", "tpe")):
        for again in (False, True):
            queue, claims = _search(tmp_path, text)
            drawn[text, again] = [claim.settings() for claim in claims]
            kind = optuna.samplers.TPESampler if "tpe" in text else optuna.samplers.RandomSampler
            assert type(queue.study.sampler) is kind
            assert claims[0].trial.distributions == {
                "training.optimizer.lr": optuna.distributions.FloatDistribution(1e-5, 0.3, log=True),
                "training.batch_size": optuna.distributions.IntDistribution(10, 12),
            }
        assert drawn[text, True] == drawn[text, False]
        assert len({point["training.optimizer.lr"] for point in drawn[text, True]}) == 3
    assert drawn[SEARCH, True] != drawn[SEARCH.replace("seed: 7", "seed: 8"), True]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_poor_training_is_ended_after_as_many_epochs_and_others_as_the_file_says(metric: str, tmp_path: Path) -> None:
    good, poor = (0.9, 0.1) if metric == "accuracy" else (0.1, 0.9)
    text = SEARCH + f"optimise: {metric}\npruner: {{name: median, startup: 1, warmup: 3}}\n"
    for pruner, expected in (("median", [False, False, True]), ("none", [False] * 3)):
        _, (first, second, third) = _search(tmp_path, text.replace("median", pruner))
        for claim in (first, second, third):
            claim.settings()
        assert not any(second.report(poor, epoch, 1.0) for epoch in (1, 2, 3, 4))  # nothing has ended
        for epoch in (1, 2, 3, 4):
            assert not first.report(good, epoch, 1.0)
        assert first.end("done", good, results={})
        assert [third.report(poor, epoch, 1.0) for epoch in (1, 2, 3)] == expected


def test_a_worker_reports_the_best_so_far_of_one_seed_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs and seconds go on from seed to seed, an epoch is reported once, and the result is the mean of the seeds'."""
    losses, reports, trained = {3: (0.5, 0.7), 4: (0.9, 0.3)}, list[tuple[Any, ...]](), list[tuple[int, str]]()

    def train(_: Any, folder: Path, *, seed: int, resume: bool, reporter: Reporter, **more: Any) -> dict[str, Any]:
        assert resume and more["examples"] is False
        trained.append((seed, folder.name))
        for epoch, loss in ((1, losses[seed][0]), (2, losses[seed][1]), (2, 0.0)):
            reporter.epoch({"epoch": epoch, "seconds": 10.0 * epoch, "validation": {"loss": loss}})
        return {"loss": min(losses[seed]), "seconds": 20.0, "parameters": 3, "firing_rate": None}

    monkeypatch.setattr("srnn.training.loop.train", train)
    monkeypatch.setattr(Claim, "report", lambda _, *told: bool(reports.append(told)))
    text = SEARCH.replace("trials: 3", "trials: 1\noptimise: loss\nseeds: [3, 4]")
    queue = queue_in(sweep_in(tmp_path, text, "--training.epochs=2"), tmp_path / "out")
    assert work(queue, tmp_path / "out") == 1
    assert trained == [(3, "s3"), (4, "s4")]
    assert reports == [(0.5, 1, 10.0), (0.5, 2, 20.0), (0.9, 3, 30.0), (0.3, 4, 40.0)]
    (told,) = queue.status()
    assert told.value == pytest.approx(0.4) and [result["loss"] for result in told.results.values()] == [0.5, 0.3]


def test_a_point_that_is_ended_early_keeps_its_best_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any, reporter: Reporter, **__: Any) -> None:
        for epoch, accuracy in ((1, 0.6), (2, 0.4)):
            reporter.epoch({"epoch": epoch, "seconds": 1.0, "validation": {"accuracy": accuracy}})

    monkeypatch.setattr("srnn.training.loop.train", train)
    monkeypatch.setattr(Claim, "report", lambda _, value, epoch, seconds: epoch == 2)
    queue = queue_in(sweep_in(tmp_path, SEARCH.replace("trials: 3", "trials: 1")), tmp_path / "out")
    assert work(queue, tmp_path / "out") == 1
    assert states_of(queue) == ["pruned"] and queue.status()[0].value == 0.6


def test_a_point_that_fails_at_its_second_seed_keeps_what_its_first_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any, seed: int, **__: Any) -> dict[str, Any]:
        if seed == 4:
            raise SrnnError("Training diverged.")
        return {"accuracy": 0.5, "seconds": 20.0, "parameters": 3, "firing_rate": {"mean": 0.1}}

    monkeypatch.setattr("srnn.training.loop.train", train)
    text = SEARCH.replace("trials: 3", "trials: 1\nseeds: [3, 4]")
    queue = queue_in(sweep_in(tmp_path, text), tmp_path / "out")
    assert work(queue, tmp_path / "out") == 1
    (told,) = queue.status()
    assert (told.state, told.error, list(told.results)) == ("failed", "Training diverged.", ["3"])
    assert told.results["3"]["firing_rate"] == 0.1 and told.results["3"]["run"] == "runs/p0000/s3"


def test_who_waits_for_a_run_that_another_trains_learns_that_its_unit_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for dead, and so was the one that still trains."""
    tries, said = list[int](), list[str]()

    def train(*_: Any, seed: int, **__: Any) -> None:
        tries.append(seed)
        assert len(tries) < 3
        raise FolderInUse("runs/p0000/s0 is in use.")

    def check(_: Claim) -> None:
        if len(tries) == 2:
            raise Lost

    monkeypatch.setattr("srnn.training.loop.train", train)
    monkeypatch.setattr(worker, "POLL", 0.0)
    monkeypatch.setattr(Claim, "check", check)
    monkeypatch.setattr(Queue, "finished", lambda _: True)
    queue = queue_in(sweep_in(tmp_path, SEARCH.replace("trials: 3", "trials: 1")), tmp_path / "out")
    assert work(queue, tmp_path / "out", say=said.append) == 0
    assert tries == [0, 0] and "another worker has it now" in said[-1]
