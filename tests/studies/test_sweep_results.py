"""Results of a sweep: its tables, its page, its plots; what a person sees while it runs."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from srnn import SrnnError
from srnn.studies import Sweep
from srnn.studies.plots import draw
from srnn.studies.results import write_results
from srnn.studies.trials import TrialStatus
from srnn.studies.watch import SweepView
from support.sweeps import BASE, sweep_of


def _status(sweep: Sweep, state: str = "done") -> list[TrialStatus]:
    """Every trial with made-up results."""
    found = []
    for number, trial in enumerate(sweep.list_trials()):
        results = {
            seed: {
                "accuracy": 0.5 + 0.01 * number + 0.001 * seed, "loss": 1.0, "parameters": 10, "best_epoch": 1, "epochs": 2,
                "seconds": 3.0, "firing_rate": 0.1, "run": f"runs/{trial.name}",
            }
            for seed in trial.seeds
        }  # fmt: skip
        settings = dict(trial.settings) or {
            "training.optimizer.lr": 10.0 ** -(number + 1),
            "network.hidden": [8 + number % 2],
        }
        found.append(TrialStatus(trial, state, settings, results, 0.5 + 0.01 * number, "host:1"))
    return found


def _unfinished(one: TrialStatus, state: str, **numbers: float) -> TrialStatus:
    """The same trial, of one seed, without a result."""
    return replace(
        one, state=state, trainings={one.trial.seeds[0]: numbers}, value=numbers.get("best_so_far")
    )


def test_results_have_every_training_and_the_spread(tmp_path: Path) -> None:
    text = (
        BASE + "title: T\nseeds: [0, 1, 2]\nparameters: {network.surrogate.h: [0.0, 0.1], "
        "network.surrogate.s: [3, 6]}\n"
    )
    sweep = sweep_of(tmp_path, text)
    status = _status(sweep)
    for number, (key, value) in {
        3: ("restores", 2),
        4: ("unhealthy", ["layers.0 is silent"]),
    }.items():
        ((_, result),) = status[number].trainings.items()
        result[key] = value
    status[-1] = replace(_unfinished(status[-1], "failed", epochs=0), error="it diverged")
    content = write_results(sweep, status, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines()))
    assert [(row["point"], row["seed"]) for row in rows] == [
        (u.trial.point, str(u.trial.seeds[0])) for u in status
    ]
    assert (
        rows[0]["network.surrogate.h"] == "0.0"
        and rows[-1]["state"] == "failed"
        and rows[-1]["error"] == "it diverged"
    )
    assert content == json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["trials"] == {"done": 11, "failed": 1}
    best = content["points"][0]
    assert content["best"] == best["point"] == "h=0.1,s=3" and best["seeds"] == [0, 1, 2]
    assert best["accuracy"]["std"] > 0
    page = (tmp_path / "out" / "results.md").read_text()
    assert (
        "| `h=0.1,s=6` | 2 | failed | n/a | 0 | n/a | it diverged |" in page
        and "![h-s](h-s.svg)" in page
    )
    assert (
        "| `h=0.1,s=6` | 55.05 ± 2.90 % | 1.0000 ± 0.0000 | 0.1000 ± 0.0000 | 53.00 % | 1 | 0 |"
        in page
    )
    assert "| 0, 1 (1 lost) |" in page
    unhealthy = (
        "| `h=0,s=3` | 54.10 ± 4.10 % | 1.0000 ± 0.0000 | 0.1000 ± 0.0000 | 50.00 % | 0 | 1 | "
        "10 | 0.1 | 0, 1, 2 |"
    )
    assert (
        unhealthy in page
        and rows[4]["unhealthy"] == "layers.0 is silent"
        and rows[3]["restores"] == "2"
    )
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"results.csv", "results.json", "results.md", "h.svg", "s.svg", "h-s.svg"}


def test_of_losses_the_smallest_is_best_and_the_largest_worst(tmp_path: Path) -> None:
    """And of a metric that a training has not there is no mean."""
    text = BASE + "optimise: loss\nseeds: [0, 1]\nparameters: {network.surrogate.h: [0.0, 0.1]}\n"
    sweep = sweep_of(tmp_path, text)
    status = _status(sweep)
    for trial, loss in zip(status, (1.0, 2.0, 1.5, 3.0), strict=True):
        ((_, result),) = trial.trainings.items()
        result["loss"] = loss
    result["firing_rate"] = None
    content = write_results(sweep, status, tmp_path / "out")
    assert [point["point"] for point in content["points"]] == ["h=0", "h=0.1"] and content[
        "best"
    ] == "h=0"
    assert ["firing_rate" in point for point in content["points"]] == [True, False]
    page = (tmp_path / "out" / "results.md").read_text()
    assert (
        "| 1.2500 ± 0.3536 | 0.1000 ± 0.0000 | 1.5000 | 0 | 0 |" in page
        and "| n/a | 3.0000 | 0 | 0 |" in page
    )
    assert "analog neurons" not in page


def test_variants_stay_in_the_files_order_on_the_page(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, "recipe: digits\nvariants: [{a: {}}, {b: {baseline: gru}}]\n")
    status = [replace(trial, worker="=1") for trial in _status(sweep)]
    for trial in status:
        trial.trainings[0]["accuracy_labelled"] = 0.25
    assert [
        point["point"] for point in write_results(sweep, status, tmp_path / "out")["points"]
    ] == ["b", "a"]
    page = (tmp_path / "out" / "results.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [row[:25] for row in rows] == ["| `a` | 50.00 % | 25.00 %", "| `b` | 51.00 % | 25.00 %"]
    assert "The firing rate of analog neurons" in page
    assert (
        ",'=1," in (tmp_path / "out" / "results.csv").read_text()
    )  # which no spreadsheet takes for a formula


def test_a_search_says_what_each_point_was_and_what_was_lost(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, BASE + "sampler: random\ntrials: 3\nparameters:\n"
                  "  training.optimizer.lr: loguniform(1e-5, 1)\n  network.hidden: [[8], "
                  "[9]]\n")  # fmt: skip
    status = _status(sweep)
    status[1] = _unfinished(status[1], "pruned", best_so_far=0.31, epochs=7, seconds=90.0)
    status[2] = _unfinished(status[2], "running", epochs=0, seconds=3.0)
    write_results(sweep, status, tmp_path / "out")
    page = (tmp_path / "out" / "results.md").read_text()
    assert (
        "| point | lr | hidden | accuracy | loss | firing rate | parameters | minutes | seeds |"
        in page
    )
    assert "| `p0000` | 0.1 | `[8]` | 50.00 % |" in page
    assert "| point | lr | hidden | seed | state | best accuracy | epochs | minutes | why |" in page
    assert "| `p0001` | 0.01 | `[9]` | 0 | pruned | 31.00 % | 7 | 1.5 |  |" in page
    assert "Not finished: 1 running." in page
    assert (
        "`srnn sweep mine.yaml`: 1 finished training, 1.6 minutes of training in all. Each"
        in " ".join(page.split())
    )


@pytest.mark.slow
def test_plots_of_every_kind(tmp_path: Path) -> None:
    ablation = sweep_of(
        tmp_path, BASE + "seeds: [0, 1]\nvariants: [{a: {}}, {b: {network.surrogate: linear}}]\n"
    )
    search = sweep_of(tmp_path, BASE + "seeds: [0, 1]\nsampler: tpe\ntrials: 4\nparameters:\n"
                   "  training.optimizer.lr: loguniform(1e-5, 1)\n  network.hidden: [[8], "
                   "[9]]\n", "search")  # fmt: skip
    for sweep, names in ((ablation, {"variants.svg"}), (search, {"lr.svg", "hidden.svg"})):
        content = write_results(sweep, _status(sweep), tmp_path / sweep.name)
        pictures = draw(sweep, content["points"])
        assert set(pictures) == names
        assert all(picture.startswith(b"<?xml") for picture in pictures.values())
        assert pictures == draw(sweep, content["points"])  # the same bytes from the same numbers
    assert write_results(ablation, [], tmp_path / "none")["points"] == []


def test_what_a_person_sees_in_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    text = (
        BASE + "title: '[red]Mine'\nbudget_minutes: 5\nvariants: [{a: {}}, {b: {network.surrogate: "
        "linear}}]\n"
    )
    sweep = sweep_of(tmp_path, text)
    status = [_unfinished(one, "waiting", epochs=0) for one in _status(sweep)]
    with open(tmp_path / "shown", "w") as file:
        console = Console(width=100, record=True, file=file, force_terminal=True)
        monkeypatch.setattr("srnn.studies.watch.open_console", lambda **_: console)
        monkeypatch.setattr(
            sys, "stderr", SimpleNamespace(isatty=lambda: True, write=file.write, flush=file.flush)
        )
        watch = SweepView(
            SimpleNamespace(sweep=sweep, status=lambda: status, all=sweep.list_trials())
        )  # type: ignore[arg-type]
        status[:] = [
            _status(sweep)[0],
            _unfinished(status[1], "running", best_so_far=0.5, epochs=7, seconds=90.0),
        ]
        watch.stop()
    shown = console.export_text()
    assert "1/2  a/s0  done  accuracy 0.5000  3 s" in shown
    assert "b/s0  running  accuracy 0.5000  90 s  epoch 7  host:1" in shown
    assert "[red]Mine, 2 of 5 minutes used" in shown and "50%" in shown


def test_a_look_that_fails_ends_no_training_and_lines_are_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, clock = sweep_of(tmp_path, BASE + "seeds: [0, 1]\n"), [100.0]
    monkeypatch.setattr("srnn.studies.watch.time.monotonic", lambda: clock[0])
    status, looks = [_unfinished(one, "waiting", epochs=0) for one in _status(sweep)], []

    def look() -> list[TrialStatus]:
        looks.append(clock[0])
        if clock[0] == 103:
            raise SrnnError("It cannot be read.")
        return status

    watch = SweepView(SimpleNamespace(sweep=sweep, status=look))  # type: ignore[arg-type]
    for clock[0] in (101, 102, 103, 104, 105):
        watch.tick()
        status[0] = _status(sweep)[0]
    watch.stop()
    assert looks == [100, 101, 103, 105, 105]
    assert capsys.readouterr().err == "1/2  base/s0  done  accuracy 0.5000  3 s\n"
