"""The measurements of this project: summaries, runs and sweeps, read from their folders and
checked. Nothing here computes.

    results/NAME/summary.json            several seeds of one recipe (srnn report)
    results/NAME/evaluation-SPLIT*.json  beside it, if they were kept: srnn evaluate RUN --full
    results/NAME/run                     a run of it, if one was kept (srnn train)
    results/NAME/results.json            a sweep (srnn sweep)
    results/published.json               the authors' weights, run here
    RUN                                  a run folder that the user names

An entry of published.json, written by hand from ``srnn evaluate``, has the network's name
(``published``), ``command``, ``task``, ``split``, a description of the sequences (``data``),
whether these are those of the paper's number (``comparable``), the ``seeds`` of the initial states,
and an ``accuracy`` for each. Further keys are kept for the reader.

A file that is not as expected raises an SrnnError of one line; a folder without any of these is
skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from srnn.data.datasets.base import SPLITS
from srnn.errors import SrnnError
from srnn.files import read_json, read_object, reading
from srnn.files.conversion import finite, read_named
from srnn.measure.analysis import recipe_spikes
from srnn.studies.summary import spread
from srnn.training.recipes import Recipe
from srnn.training.runs import Run

RESULTS = Path(__file__).parent / "results"
"""What this project measured for the paper's tables and figures."""
LABELLED = "accuracy_labelled"
"""Key of an evaluation's curve over the labelled steps alone, if it has one."""
Spread = dict[str, Any]
"""mean, std (None for one value), min, max, values; as ``srnn.studies.summary.spread`` makes it."""


@dataclass(frozen=True)
class Entry:
    """One recipe as it was trained here, with one seed or more."""

    name: str
    """The folder's name."""
    recipe: Recipe
    accuracy: Spread
    """Fractions of 1."""
    firing_rate: Spread | None
    """Mean of the hidden neurons, spikes per step; None: it does not spike, or was not measured.
    What summaries and runs of ReLU units call a firing rate, the fraction of outputs that are not
    0, does not count as one."""
    seeds: list[int]
    split: str
    parameters: int | None
    runs: list[Path] = field(default_factory=list)
    """Run folders, if any were named."""
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    """What srnn evaluate --full wrote."""

    @property
    def spiking(self) -> bool:
        """Whether its hidden neurons spike."""
        return recipe_spikes(self.recipe)

    @property
    def task(self) -> str:
        return self.recipe.task.name

    @property
    def rate(self) -> float | None:
        """The mean of ``firing_rate``."""
        return None if self.firing_rate is None else self.firing_rate["mean"]

    def evaluated(self, part: str) -> dict[str, Any] | None:
        """The last full evaluation that has that part ("anytime", "activity", "time_constants")."""
        return next((one for one in reversed(self.evaluations) if one.get(part)), None)

    def measured(self) -> tuple[Spread, str, int]:
        """(accuracy, split, seeds): on the test split, as in the paper, if every seed was evaluated
        there; else as trained."""
        tested = {
            one["seed"]: one["accuracy"] for one in self.evaluations if one["split"] == "test"
        }
        if tested.keys() >= set(
            self.seeds
        ):  # perhaps also another seed, of a run that the user named
            return spread([tested[seed] for seed in self.seeds]), "test", len(self.seeds)
        return self.accuracy, self.split.partition(" ")[0], len(self.seeds)


@dataclass(frozen=True)
class SweepResult:
    """The points of a sweep."""

    name: str
    title: str
    split: str
    folder: Path
    task: str
    recipe: dict[str, Any]
    points: list[dict[str, Any]]
    """point, variant, settings, seeds, spiking, and spreads of accuracy, loss and, where it spikes,
    firing_rate."""
    trainings: list[dict[str, Any]]
    """point, seed, state, run (its folder, from the sweep's)."""


@dataclass(frozen=True)
class PublishedRun:
    """The authors' weights, run by this project."""

    task: str
    split: str
    data: str
    """For people: which sequences."""
    comparable: bool
    """Whether the paper's number is for these sequences."""
    command: str
    seeds: list[int]
    """Seeds of the initial states; empty if nothing is drawn."""
    accuracy: list[float]
    """Fractions of 1, one per seed."""


@dataclass(frozen=True)
class Evidence:
    """Everything that was read."""

    entries: list[Entry]
    sweeps: list[SweepResult]
    data_dir: Path | None
    published: list[PublishedRun] = field(default_factory=list)

    def sweep(self, ending: str) -> list[SweepResult]:
        """Sweeps whose name has this ending ("-surrogates")."""
        return [sweep for sweep in self.sweeps if sweep.name.endswith(ending)]

    def of_task(self, task: str) -> list[Entry]:
        """Entries of a task, by its name here."""
        return [entry for entry in self.entries if entry.task == task]


def gather(
    results: Path | None, runs: Sequence[Path] = (), data_dir: Path | None = None
) -> Evidence:
    """Read the results folder and the runs.

    Args:
        results: a folder of folders; None: ``RESULTS``.
        runs: run folders, which come before those in ``results``. A run adds its details to the
            summary of its recipe; without one it counts by itself.
        data_dir: folder of the data; None: SRNN_DATA.

    Raises SrnnError for a folder that is missing, or a file that is damaged.
    """
    if results is not None and not results.is_dir():
        raise SrnnError(
            f"There is no results folder {results}; name one with --results.", "missing", results
        )
    folder = RESULTS if results is None else results
    entries, sweeps = [], []
    trained = [_run(path) for path in runs]
    for path in sorted(folder.iterdir()):
        if (path / "summary.json").is_file():
            entries.append(_summary(path))
        if (path / "results.json").is_file():
            sweeps.append(read_sweep(path))
        if (path / "run" / "recipe.yaml").is_file():
            kept = replace(_run(path / "run"), name=path.name)
            if not any(
                _same(run.recipe, kept.recipe) and run.seeds == kept.seeds for run in trained
            ):
                trained.append(kept)
    return Evidence(
        _with_runs(entries, trained), sweeps, data_dir, _published(folder / "published.json")
    )


def _summary(folder: Path) -> Entry:
    path = folder / "summary.json"
    content = read_object(path)
    with reading(path, "what 'srnn report' writes about several seeds"):
        recipe = read_named(Recipe, content["recipe"], f"{path}, recipe")
        rate = content["firing_rate"]
        rate = None if rate is None else _spread(rate)
        seeds, parameters = [int(seed) for seed in content["seeds"]], int(content["parameters"])
        return Entry(
            name=folder.name,
            recipe=recipe,
            accuracy=_spread(content["accuracy"]),
            firing_rate=rate if recipe_spikes(recipe) else None,
            seeds=seeds,
            split=str(content["split"]),
            parameters=parameters,
            evaluations=_evaluations(folder),
        )


def _run(folder: Path) -> Entry:
    run = Run.open(folder)
    result = run.result()
    with reading(run.outcome, "a run's result"):
        rate = result.get("firing_rate")
        rate = None if rate is None else _one(rate["mean"])
        return Entry(
            name=folder.name,
            recipe=run.recipe,
            accuracy=_one(result["accuracy"]),
            firing_rate=rate if recipe_spikes(run.recipe) else None,
            seeds=[run.seed],
            split=f"{result.get('split', 'validation')} (which also chose the epoch)",
            parameters=None if result.get("parameters") is None else int(result["parameters"]),
            runs=[folder],
            evaluations=_evaluations(folder),
        )


def _with_runs(entries: list[Entry], runs: list[Entry]) -> list[Entry]:
    """Runs of one recipe become one entry; a summary of that recipe keeps its numbers and takes
    over their details."""
    joined = list(entries)
    for run in runs:
        place = next((i for i, entry in enumerate(joined) if _same(entry.recipe, run.recipe)), None)
        if place is None:
            taken = any(entry.name == run.name for entry in joined)
            joined.append(replace(run, name=str(run.runs[0])) if taken else run)
            continue
        entry = joined[place]
        details = replace(
            entry, runs=[*entry.runs, *run.runs], evaluations=[*entry.evaluations, *run.evaluations]
        )
        summarised = place < len(entries)
        joined[place] = details if summarised else _joined(details, run)
    return joined


def _same(one: Recipe, other: Recipe) -> bool:
    """Whether both train the same, whatever their notes say."""
    return replace(one, note=other.note) == other


def _joined(entry: Entry, run: Entry) -> Entry:
    """An entry that is made of runs, with another seed."""
    if run.seeds[0] in entry.seeds:
        raise SrnnError(
            f"{run.runs[0]} and {entry.runs[0]} have the same recipe and the same seed, "
            f"{run.seeds[0]}; name only one of them.",
            "conflict",
            "results",
        )
    rate = None
    if entry.firing_rate is not None and run.firing_rate is not None:
        rate = spread([*entry.firing_rate["values"], *run.firing_rate["values"]])
    accuracy = spread([*entry.accuracy["values"], *run.accuracy["values"]])
    return replace(entry, accuracy=accuracy, firing_rate=rate, seeds=[*entry.seeds, *run.seeds])


def read_sweep(folder: Path) -> SweepResult:
    """A sweep's ``results.json``."""
    path = folder / "results.json"
    content = read_object(path)
    with reading(path, "what 'srnn sweep' writes"):
        recipe = dict(content["recipe"])
        name, title, split, task = (
            content["name"],
            content["title"],
            content["split"],
            recipe["task"]["name"],
        )
        if not all(isinstance(text, str) for text in (name, title, split, task)):
            raise ValueError("a sweep without name, title, split or task")
        points = []
        for point in content["points"]:
            measured = {
                name: _spread(point[name])
                for name in ("accuracy", "firing_rate", "loss")
                if point.get(name)
            }
            if "accuracy" not in measured or not isinstance(point["settings"], dict):
                raise ValueError("a point without accuracy or settings")
            spikes = point["spiking"] is True
            kept = {name: value for name, value in point.items() if spikes or name != "firing_rate"}
            if not spikes:  # as in Entry: ReLU units have no firing rate
                measured.pop("firing_rate", None)
            named = {
                "point": str(point["point"]),
                "variant": point["variant"],
                "parameters": int(point["parameters"]),
            }
            points.append({**kept, **measured, **named, "spiking": spikes})
        trainings = [dict(training) for training in content["trainings"]]
        return SweepResult(name, title, split, folder, task, recipe, points, trainings)


def _published(path: Path) -> list[PublishedRun]:
    if not path.is_file():
        return []
    content = read_json(path, "a list of results")
    with reading(path, "a list of results of the published networks"):
        if not isinstance(content, list):
            raise ValueError("no list")
        return [
            PublishedRun(
                *(str(entry[key]) for key in ("task", "split", "data")),
                comparable=entry["comparable"] is True,
                command=str(entry["command"]),
                seeds=[int(seed) for seed in entry["seeds"]],
                accuracy=finite(entry["accuracy"] or [None]),
            )
            for entry in content
        ]


def _evaluations(folder: Path) -> list[dict[str, Any]]:
    evaluations = []
    for path in sorted(folder.glob("evaluation-*.json")):
        content = read_object(path)
        with reading(path, "what 'srnn evaluate --full' writes"):
            _check_evaluation(content)
        evaluations.append(content)
    return evaluations


def _check_evaluation(content: dict[str, Any]) -> None:
    """Raise some exception unless all numbers that figures use are numbers."""
    finite([content["accuracy"]])
    if content["split"] not in SPLITS or not isinstance(content["seed"], int):
        raise ValueError("no split or seed")
    activity, anytime = content["activity"], content["anytime"]
    if activity is not None:
        if not min(activity["sequences"], activity["steps"]) > 0:
            raise ValueError("an evaluation of nothing")
        finite(rate for layer in activity["layers"] for rate in layer["rates"])
    if anytime is not None:
        _numbers(anytime["accuracy"])
        _numbers(anytime.get(LABELLED) or [])
    for one in content.get("time_constants") or []:
        for name in ("now", "initial"):
            _numbers([] if one[name] is None else one[name]["values"])
        if not isinstance(one["name"], str) or not isinstance(one["trained"], bool):
            raise ValueError("time constants without a name")


def _numbers(values: Any) -> None:
    """ValueError unless this is a list of finite numbers and None."""
    if not isinstance(values, list):
        raise ValueError("numbers that are not in a list")
    finite(value for value in values if value is not None)


def _spread(value: Any) -> Spread:
    mean, *values = finite([value["mean"], *value["values"]])
    std = None if value["std"] is None else finite([value["std"]])[0]
    if not values:
        raise ValueError("no values")
    return {"mean": mean, "std": std, "min": min(values), "max": max(values), "values": values}


def _one(value: Any) -> Spread:
    return _spread({"mean": value, "std": None, "values": [value]})
