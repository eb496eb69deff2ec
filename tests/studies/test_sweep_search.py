"""A search, without trainings: what is drawn, what the study is told of it, and when a poor point
is ended early."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srnn import SrnnError
from srnn.progress import Reporter
from srnn.studies.study import Study, open_study
from srnn.studies.trials import Trials, TrialStatus
from support.sweeps import states_of, sweep_in, trials_in, work

optuna = pytest.importorskip("optuna")

SEARCH = """
recipe: tiny.yaml
sampler: {name: random, seed: 7}
trials: 3
parameters:
  training.optimizer.lr: loguniform(1e-5, 3e-1)
  training.batch_size: integer(10, 12)
"""


def searched(folder: Path, text: str) -> tuple[Study, list[TrialStatus]]:
    sweep = sweep_in(folder, text)
    return Study(sweep, optuna.storages.InMemoryStorage()), Trials(sweep, folder / "out").status()


def test_a_search_draws_from_its_files_ranges_by_its_seed(tmp_path: Path) -> None:
    drawn = {}
    for text in (SEARCH, SEARCH.replace("seed: 7", "seed: 8"), SEARCH.replace("random", "tpe")):
        for again in (False, True):
            study, trials = searched(tmp_path, text)
            drawn[text, again] = [study.begin(one) for one in trials]
            kind = optuna.samplers.TPESampler if "tpe" in text else optuna.samplers.RandomSampler
            assert type(study.study.sampler) is kind
            assert study.study.trials[0].distributions == {
                "training.optimizer.lr": optuna.distributions.FloatDistribution(
                    1e-5, 0.3, log=True
                ),
                "training.batch_size": optuna.distributions.IntDistribution(10, 12),
            }
        assert drawn[text, True] == drawn[text, False]
        assert len({point["training.optimizer.lr"] for point in drawn[text, True]}) == 3
    assert drawn[SEARCH, True] != drawn[SEARCH.replace("seed: 7", "seed: 8"), True]
    # Whoever begins a point, and whenever: it is the same.
    study, trials = searched(tmp_path, SEARCH)
    assert [study.begin(trials[number]) for number in (2, 0, 1, 2, 1, 0)] == [
        drawn[SEARCH, True][number] for number in (2, 0, 1, 2, 1, 0)
    ]
    assert len(study.study.trials) == 3


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_poor_training_is_ended_after_as_many_epochs_and_others_as_the_file_says(
    metric: str, tmp_path: Path
) -> None:
    good, poor = (0.9, 0.1) if metric == "accuracy" else (0.1, 0.9)
    text = SEARCH + f"optimise: {metric}\npruner: {{name: median, startup: 1, warmup: 3}}\n"

    def pruned(study: Study, one: TrialStatus, value: float, epochs: int) -> list[bool]:
        study.begin(one)
        told = [
            replace(one, value=value, trainings={0: {"epochs": epoch}})
            for epoch in range(1, epochs + 1)
        ]
        return [study.should_prune(status) for status in told]

    for pruner, expected in (("median", [False, False, True]), ("none", [False] * 3)):
        study, (first, second, third) = searched(tmp_path, text.replace("median", pruner))
        assert not any(pruned(study, second, poor, 4))  # nothing has ended
        assert not any(pruned(study, first, good, 4))
        study.end(replace(first, state="done", value=good))
        assert pruned(study, third, poor, 3) == expected


def test_an_epoch_that_was_not_told_is_told_by_the_next_worker(tmp_path: Path) -> None:
    """Its own was killed between the two."""
    study, (first, *_) = searched(tmp_path, SEARCH)
    for one in (first, replace(first, value=0.5, trainings={0: {"epochs": 4}})):
        study.begin(one)
    assert study.study.trials[0].intermediate_values == {4: 0.5}


def faked(curves: dict[int, tuple[float, ...]], metric: str, fails: tuple[int, ...] = ()) -> Any:
    """A training that only writes what a sweep reads of one, by seed."""

    def train(
        _: Any,
        run: Path,
        *,
        seed: int,
        resume: bool,
        reporter: Reporter,
        examples: bool,
        **more: Any,
    ) -> None:
        assert resume and not examples
        run.mkdir(parents=True)
        for number, value in enumerate(curves[seed], 1):
            record = {"epoch": number, "seconds": 10.0 * number, "validation": {metric: value}}
            with open(run / "metrics.jsonl", "a") as file:
                file.write(f"{json.dumps(record)}\n")
            reporter.epoch(record)
            reporter.epoch(
                record
            )  # as after a death: an epoch more was reported than the checkpoint has
        if seed in fails:
            raise SrnnError("Training diverged.")
        best = (min if metric == "loss" else max)(curves[seed])
        result = {
            metric: best,
            "seconds": 20.0,
            "epochs": len(curves[seed]),
            "parameters": 3,
            "firing_rate": None,
        }
        (run / "result.json").write_text(json.dumps(result))

    return train


def test_a_worker_reports_the_best_so_far_of_one_seed_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs go on from seed to seed, an epoch is reported once, and the result is the mean of the
    seeds'."""
    monkeypatch.setattr("srnn.training.loop.train", faked({3: (0.5, 0.7), 4: (0.9, 0.3)}, "loss"))
    text = SEARCH.replace("trials: 3", "trials: 1\noptimise: loss\nseeds: [3, 4]")
    sweep, out = sweep_in(tmp_path, text), tmp_path / "out"
    assert work(sweep, out) == 1
    trials = trials_in(sweep, out)
    study = open_study(trials)
    assert study is not None
    (trial,) = study.study.trials
    assert trial.intermediate_values == {
        1: 0.5,
        2: 0.5,
        3: 0.9,
        4: 0.3,
    } and trial.value == pytest.approx(0.4)
    (told,) = trials.status()
    assert told.value == trial.value and [result["loss"] for result in told.trainings.values()] == [
        0.5,
        0.3,
    ]
    assert (told.epochs, told.seconds) == (4, 40.0)


def test_a_point_that_is_ended_early_keeps_its_best_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srnn.training.loop.train", faked({0: (0.6, 0.4, 0.7)}, "accuracy"))
    monkeypatch.setattr(Study, "should_prune", lambda study, one: one.epochs == 2)
    sweep, out = sweep_in(tmp_path, SEARCH.replace("trials: 3", "trials: 1")), tmp_path / "out"
    assert work(sweep, out) == 1
    trials = trials_in(sweep, out)
    assert states_of(trials) == ["pruned"] and trials.status()[0].value == 0.6
    assert work(sweep, out) == 0


def test_a_point_that_fails_at_its_second_seed_keeps_what_its_first_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "srnn.training.loop.train", faked({3: (0.5,), 4: (0.2,)}, "accuracy", fails=(4,))
    )
    text = SEARCH.replace("trials: 3", "trials: 1\nseeds: [3, 4]")
    sweep, out = sweep_in(tmp_path, text), tmp_path / "out"
    assert work(sweep, out) == 1
    (told,) = trials_in(sweep, out).status()
    assert (told.state, told.error) == ("failed", "Training diverged.")
    assert told.trainings[3]["accuracy"] == 0.5 and told.trainings[3]["run"] == "runs/p0000/s3"
    assert told.trainings[4] == {"best_so_far": 0.2, "epochs": 1, "seconds": 10.0}


@pytest.mark.slow
def test_a_search_prunes(tmp_path: Path) -> None:
    text = SEARCH.replace("trials: 3", "trials: 6\noptimise: loss\nseeds: [0, 1]").replace(
        "12", "30"
    )
    text += "  network.hidden: [[4], [3, 3]]\npruner: {name: median, startup: 2, warmup: 1}\n"
    sweep, out = sweep_in(tmp_path, text, "--training.epochs=3"), tmp_path / "out"
    assert work(sweep, out) == 6
    trials = trials_in(sweep, out)
    assert set(states_of(trials)) == {"done", "pruned"}
    found = [status.settings for status in trials.status()]
    assert all(
        10 <= s["training.batch_size"] <= 30 and s["network.hidden"] in ([4], [3, 3]) for s in found
    )
    assert len({s["training.optimizer.lr"] for s in found}) == 6
    study = open_study(trials)
    assert study is not None
    states = {"done": "COMPLETE", "pruned": "PRUNED"}
    assert [trial.state.name for trial in study.study.trials] == [
        states[state] for state in states_of(trials)
    ]
    assert [trial.value for trial in study.study.trials] == [
        status.value for status in trials.status()
    ]
