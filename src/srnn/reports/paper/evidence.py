"""What this project measured: summaries, runs and sweeps, read from their folders and checked. Nothing here computes.

    results/NAME/summary.json            several seeds of one recipe (srnn summarise)
    results/NAME/evaluation-SPLIT*.json  beside it, if they were kept: srnn evaluate RUN --full
    results/NAME/results.json            a sweep (srnn sweep)
    RUN                                  a run folder (srnn train)

A file that is not what it should be is an SrnnError with one line; a folder without any of these is passed over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...datasets.base import SPLITS
from ...errors import SrnnError

if TYPE_CHECKING:
    from ...recipes import Recipe

Spread = dict[str, Any]
"""mean, std (None for one value), min, max, values; as ``srnn.reports.summary.spread`` makes it."""


@dataclass(frozen=True)
class Entry:
    """One recipe as it was trained here, with one seed or more."""

    name: str
    """The folder's."""
    recipe: Recipe
    accuracy: Spread
    """Shares of 1."""
    firing_rate: Spread | None
    """Mean of the hidden neurons, spikes per step; None: it does not spike, or was not measured."""
    seeds: list[int]
    split: str
    parameters: int | None
    layer_rates: list[float] | None = None
    """Each hidden layer's, of the first run; None where only the mean is known."""
    runs: list[Path] = field(default_factory=list)
    """Run folders, where these were named."""
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    """What srnn evaluate --full wrote."""

    @property
    def task(self) -> str:
        return self.recipe.task.name

    def measured(self) -> tuple[Spread, str, int]:
        """(accuracy, split, seeds): on the test split where every seed was evaluated there, as the paper is; else as trained."""
        from ..summary import spread

        tested = {one["seed"]: one["accuracy"] for one in self.evaluations if one["split"] == "test"}
        if set(tested) == set(self.seeds):
            return spread(list(tested.values())), "test", len(tested)
        return self.accuracy, self.split.partition(" ")[0], len(self.seeds)


@dataclass(frozen=True)
class SweepResult:
    """The points of a sweep."""

    name: str
    title: str
    split: str
    folder: Path
    task: str
    points: list[dict[str, Any]]
    """point, variant, settings, seeds, and spreads of accuracy, firing_rate and loss."""
    trainings: list[dict[str, Any]]
    """point, seed, state, run (its folder, from the sweep's)."""


@dataclass(frozen=True)
class Evidence:
    """All that was found."""

    entries: list[Entry]
    sweeps: list[SweepResult]
    data_dir: Path | None

    def sweep(self, ending: str) -> list[SweepResult]:
        """Sweeps whose name ends so ("-surrogates")."""
        return [sweep for sweep in self.sweeps if sweep.name.endswith(ending)]

    def of_task(self, task: str) -> list[Entry]:
        """Entries of a task, by its name here."""
        return [entry for entry in self.entries if entry.task == task]


def gather(results: Path | None, runs: Sequence[Path] = (), data_dir: Path | None = None) -> Evidence:
    """Read the results folder and the runs.

    Args:
        results: a folder of folders; None: "results" if it is there, else nothing.
        runs: run folders; those of a recipe that a summary has lend it their details, others count by themselves.
        data_dir: where data lie; None: SRNN_DATA.

    Raises SrnnError for a folder that is missing, or a file that is damaged.
    """
    if results is not None and not results.is_dir():
        raise SrnnError(f"There is no results folder {results}; name one with --results.")
    folder = Path("results") if results is None else results
    entries, sweeps = [], []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if (path / "summary.json").is_file():
            entries.append(_summary(path))
        if (path / "results.json").is_file():
            sweeps.append(_sweep(path))
    return Evidence(_with_runs(entries, [_run(path) for path in runs]), sweeps, data_dir)


def _summary(folder: Path) -> Entry:
    path = folder / "summary.json"
    content = read_json(path)
    with _sound(path, "srnn summarise"):
        rate = content["firing_rate"]
        return Entry(
            name=folder.name,
            recipe=_recipe(content["recipe"], path),
            accuracy=_spread(content["accuracy"]),
            firing_rate=None if rate is None else _spread(rate),
            seeds=[int(seed) for seed in content["seeds"]],
            split=str(content["split"]),
            parameters=int(content["parameters"]),
            evaluations=_evaluations(folder),
        )


def _run(folder: Path) -> Entry:
    from ...runs import Run

    run = Run.open(folder)
    if not (folder / "result.json").is_file():
        raise SrnnError(f"{folder} has no result yet; end its training first (srnn train ... --out {folder} --resume).")
    result = read_json(folder / "result.json")
    with _sound(folder / "result.json", "srnn train"):
        rate = result.get("firing_rate")
        return Entry(
            name=folder.name,
            recipe=run.recipe,
            accuracy=_one(result["accuracy"]),
            firing_rate=None if rate is None else _one(rate["mean"]),
            seeds=[run.seed],
            split=f"{result.get('split', 'validation')} (which also chose the epoch)",
            parameters=result.get("parameters"),
            layer_rates=None if rate is None else [float(value) for value in rate["layers"]],
            runs=[folder],
            evaluations=_evaluations(folder),
        )


def _with_runs(entries: list[Entry], runs: list[Entry]) -> list[Entry]:
    """Runs of one recipe as one entry; where a summary has that recipe, it keeps its numbers and takes their details."""
    found = list(entries)
    for run in runs:
        place = next((i for i, entry in enumerate(found) if entry.recipe == run.recipe), None)
        if place is None:
            taken = any(entry.name == run.name for entry in found)
            found.append(replace(run, name=str(run.runs[0])) if taken else run)
            continue
        entry = found[place]
        details = replace(
            entry,
            runs=[*entry.runs, *run.runs],
            evaluations=[*entry.evaluations, *run.evaluations],
            layer_rates=entry.layer_rates or run.layer_rates,
        )
        summarised = place < len(entries)
        found[place] = details if summarised else _joined(details, run)
    return found


def _joined(entry: Entry, run: Entry) -> Entry:
    """Another seed to an entry that is made of runs."""
    from ..summary import spread

    if run.seeds[0] in entry.seeds:
        raise SrnnError(
            f"{run.runs[0]} and {entry.runs[0]} are of one recipe and seed {run.seeds[0]}; name one of them."
        )
    rate = None
    if entry.firing_rate is not None and run.firing_rate is not None:
        rate = spread([*entry.firing_rate["values"], *run.firing_rate["values"]])
    accuracy = spread([*entry.accuracy["values"], *run.accuracy["values"]])
    return replace(entry, accuracy=accuracy, firing_rate=rate, seeds=[*entry.seeds, *run.seeds])


def _sweep(folder: Path) -> SweepResult:
    path = folder / "results.json"
    content = read_json(path)
    with _sound(path, "srnn sweep"):
        points = []
        for point in content["points"]:
            measured = {name: _spread(point[name]) for name in ("accuracy", "firing_rate", "loss") if point.get(name)}
            if "accuracy" not in measured or not isinstance(point["settings"], dict):
                raise ValueError("a point without accuracy or settings")
            points.append({**point, **measured, "parameters": int(point["parameters"])})
        trainings = [dict(training) for training in content["trainings"]]
        return SweepResult(
            str(content["name"]), str(content["title"]), str(content["split"]), folder,
            str(content["recipe"]["task"]["name"]), points, trainings,
        )  # fmt: skip


def _evaluations(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(folder.glob("evaluation-*.json")):
        content = read_json(path)
        with _sound(path, "srnn evaluate --full"):
            _check_evaluation(content)
        found.append(content)
    return found


def _check_evaluation(content: dict[str, Any]) -> None:
    """Raises whatever the numbers that figures take lead to when they are none."""
    _one(content["accuracy"])
    if content["split"] not in SPLITS or not isinstance(content["seed"], int):
        raise ValueError("no split or seed")
    activity, anytime = content["activity"], content["anytime"]
    if activity is not None:
        for name in ("sops_per_sequence", "sops_per_step"):
            _one(activity[name])
    if anytime is not None:
        _spread({"mean": 0, "std": None, "values": [value for value in anytime["accuracy"] if value is not None]})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. SrnnError when the file cannot be read or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SrnnError(f"{path} cannot be read: {error}. Make it again, or take its folder away.") from error
    if not isinstance(content, dict):
        raise SrnnError(f"{path} holds no JSON object; make it again, or take its folder away.")
    return content


@contextmanager
def _sound(path: Path, maker: str) -> Iterator[None]:
    """What is wrong within the block becomes one line that names the file and the command that makes it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise SrnnError(f"{path} is not what '{maker}' writes ({what}); make it again.") from error


def _spread(value: Any) -> Spread:
    values = [float(item) for item in value["values"]]
    mean, std = float(value["mean"]), value["std"]
    std = None if std is None else float(std)
    if not values or not all(map(math.isfinite, [*values, mean, std or 0.0])):
        raise ValueError("numbers that are missing or not finite")
    return {"mean": mean, "std": std, "min": min(values), "max": max(values), "values": values}


def _one(value: Any) -> Spread:
    return _spread({"mean": value, "std": None, "values": [value]})


def _recipe(content: Any, path: Path) -> Recipe:
    from ...recipes import Recipe
    from ...recipes.reading import build

    return build(Recipe, content, f"{path}, recipe")
