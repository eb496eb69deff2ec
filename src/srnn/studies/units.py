"""The units of a sweep, as its folder knows them: the run folders are the state.

    sweep.json               what must stay the same while the sweep goes on
    runs/POINT/sSEED         a training, as ``srnn train`` writes it
    units/POINT/sSEED.json   notes on a unit: who trained it last, and why it has no result

Whoever trains a unit holds the lock of its folder, which the system frees when that process ends,
however it ends. So a unit with all its results is done, one whose lock is held is running, and any
other waits for the next worker, who resumes what an earlier one has begun, to the same bits.

In a search a unit has several seeds; its folder is runs/POINT, and its notes are units/POINT.json.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SrnnError, option
from ..files import FolderInUse, locked, read_json_lines, read_object, reading, whole_file
from ..files.conversion import with_present_keys
from ..text import json_text
from ..training.recipes import Recipe
from .schema import Sweep, Unit

METRICS = (
    *("accuracy", "accuracy_labelled", "balanced_accuracy", "loss", "firing_rate"),
    *("parameters", "best_epoch", "epochs", "seconds", "restores", "unhealthy"),
)
"""What a sweep keeps of a result; restores and unhealthy only of trainings that went back, or are
unhealthy."""
MAX_DEATHS = 3
"""Workers that may die in a unit before it counts as failed, as it may be what kills them; an epoch
that one of them has finished begins the count anew."""


@dataclass(frozen=True)
class UnitStatus:
    """How far a unit is."""

    unit: Unit
    state: str
    """waiting, running, done, pruned or failed."""
    settings: dict[str, Any]
    """Settings of the point; in a search those that the sampler chose."""
    trainings: dict[int, dict[str, Any]]
    """By seed: a result's ``METRICS`` and the folder of its run; else best_so_far, epochs,
    seconds."""
    value: float | None = None
    """The mean of the results' optimised metric, or the best so far of the seed that was begun
    last."""
    worker: str = ""
    """Host and process that train it, or did so last."""
    error: str | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("done", "pruned", "failed")

    @property
    def epochs(self) -> int:
        return sum(training.get("epochs", 0) for training in self.trainings.values())

    @property
    def seconds(self) -> float:
        """Of training so far, without pauses."""
        return sum(training.get("seconds", 0.0) for training in self.trainings.values())


class Units:
    """The units of a sweep in its folder."""

    def __init__(self, sweep: Sweep, out: Path) -> None:
        self.sweep, self.out = sweep, out
        self.all = sweep.units()
        self._final: dict[str, UnitStatus] = {}
        """Of what is done or pruned, which is read once."""
        self._waiting = {
            unit.name: UnitStatus(
                unit,
                "waiting",
                {} if sweep.is_search else dict(unit.settings),
                {seed: {"epochs": 0} for seed in unit.seeds},
            )
            for unit in self.all
        }
        """Of those that nobody has begun."""
        self._ours = ""
        """The unit that this process trains, which its own lock does not keep out."""

    def begin(self) -> None:
        """Begin the sweep, or go on with it.

        SrnnError: a new point is wrong, or the folder has another sweep.
        """
        if not self.check():
            self.sweep.check()
            _write(self.out / "sweep.json", self._must_stay())

    def check(self) -> bool:
        """Whether the folder's sweep is that of the file. SrnnError if it is another one.

        Once a sweep has begun, its file may get more points, seeds, trials and minutes; the
        folder's sweep is then not yet that of the file. Nothing else may change.
        """
        if (self.out / "journal.log").exists():
            raise SrnnError(
                f"The sweep in {self.out} is one of srnn 0.1; choose another {option('out')}."
            )
        path, theirs = self.out / "sweep.json", {}
        if path.is_file():
            theirs = read_object(path, "a sweep's state")
        ours, theirs = (
            {key: with_present_keys(Recipe, value) for key, value in state.items()}
            for state in (self._must_stay(), theirs)
        )
        for key, value in theirs.items():
            if key not in ours:
                raise SrnnError(
                    f"The sweep in {self.out} has the {key}, but the file does not; points and "
                    f"seeds may be added, not removed. Choose another {option('out')}."
                )
            if ours[key] != value:
                raise SrnnError(
                    f"{self.out} contains a different sweep (its {key} differs); choose another "
                    f"{option('out')}."
                )
        return theirs == ours

    def _must_stay(self) -> dict[str, Any]:
        units = {f"unit {unit.name}": dict(unit.settings) for unit in self.all}
        return json.loads(json_text(self.sweep.identity() | units))

    def status(self) -> list[UnitStatus]:
        """Every unit, in the sweep's order."""
        there = self._there()
        return [
            self.of(unit) if unit.name in there else self._waiting[unit.name] for unit in self.all
        ]

    def _there(self) -> set[str]:
        """The names of the units of which the folder holds anything: to look for each of twenty
        thousand takes seconds, after every training."""
        below = "*" if self.sweep.is_search else "*/*"
        runs, units = self.out / "runs", self.out / "units"
        return {path.relative_to(runs).as_posix() for path in runs.glob(below)} | {
            path.relative_to(units).as_posix().removesuffix(".json") for path in units.glob(below)
        }

    def left(self) -> list[UnitStatus]:
        """Units that run, and those that wait, unless the trainings have used up the budget."""
        status, budget = self.status(), self.sweep.budget_minutes
        spent = budget is not None and minutes(status) >= budget
        if spent:
            states = ("running",)
        else:
            states = ("running", "waiting")
        return [one for one in status if one.state in states]

    def retry_failed(self) -> None:
        """Let units that failed wait again."""
        for one in self.status():
            if one.state == "failed":
                self.note(one.unit, ended=None, error=None, begun=0)

    def run(self, unit: Unit, seed: int) -> Path:
        """The folder of a training."""
        return self.out / "runs" / unit.point / f"s{seed}"

    def of(self, unit: Unit) -> UnitStatus:
        """A unit's status. SrnnError, which names the file, for one that is damaged."""
        if unit.name in self._final:
            return self._final[unit.name]
        notes = self._notes(unit)
        trainings = {seed: self._training(self.run(unit, seed)) for seed in unit.seeds}
        numbers = list(trainings.values())
        begun = [training["best_so_far"] for training in numbers if "best_so_far" in training]
        value = None
        if begun:
            value = begun[-1]
        if all("run" in training for training in numbers):
            state = "done"
            value = statistics.fmean(training[self.sweep.optimise] for training in numbers)
        elif notes.get("ended"):
            state = notes["ended"]
        else:
            state = "waiting"
            if self._is_held(unit):
                state = "running"

        status = UnitStatus(
            unit=unit,
            state=state,
            settings=notes.get("settings", {}) if self.sweep.is_search else dict(unit.settings),
            trainings=trainings,
            value=value,
            worker=notes.get("worker", ""),
            error=notes.get("error") if state == "failed" else None,
        )
        if state in ("done", "pruned"):
            self._final[unit.name] = status
        return status

    def note(self, unit: Unit, **notes: Any) -> None:
        """Add notes on a unit that is held: settings, ended (pruned or failed), error."""
        _write(self.out / "units" / f"{unit.name}.json", self._notes(unit) | notes)

    @contextmanager
    def hold(self, unit: Unit) -> Iterator[bool]:
        """Hold a unit for the block. FolderInUse: another worker does. False: it has ended."""
        with locked(self.out / "runs" / unit.name):
            if self.of(unit).ended or not self._may_begin(unit):
                yield False
                return
            self._ours = unit.name
            try:
                yield True
            finally:
                self._ours = ""
                self.note(unit, begun=0)

    def _may_begin(self, unit: Unit) -> bool:
        """Count one more worker that begins a unit. False: too many died, and it has failed."""
        notes, epochs = self._notes(unit), self.of(unit).epochs
        deaths = 0
        if notes.get("epochs") == epochs:
            deaths = notes.get("begun", 0)
        if deaths >= MAX_DEATHS:
            error = (
                f"its worker died {deaths} times; {option('retry_failed', flag=True)} tries again"
            )
            self.note(unit, ended="failed", error=error)
            return False
        worker = f"{platform.node()}:{os.getpid()}"
        self.note(unit, worker=worker, begun=deaths + 1, epochs=epochs)
        return True

    def _is_held(self, unit: Unit) -> bool:
        folder = self.out / "runs" / unit.name
        if unit.name == self._ours or not folder.is_dir():
            return unit.name == self._ours
        try:
            with locked(folder):
                return False
        except FolderInUse:
            return True

    def _notes(self, unit: Unit) -> dict[str, Any]:
        path = self.out / "units" / f"{unit.name}.json"
        if not path.is_file():
            return {}
        return read_object(path, "notes on a sweep's unit")

    def _training(self, folder: Path) -> dict[str, Any]:
        """A training's result, or how far it is."""
        path = folder / "result.json"
        if not path.is_file():
            return self._unfinished(folder / "metrics.jsonl")
        with reading(path, "a run's result"):
            result = read_object(path)
            if "sick" in result:  # as srnn 0.2 called it
                result["unhealthy"] = result.pop("sick")
            names = [name for name in METRICS if name in result or name == self.sweep.optimise]
            rate = result["firing_rate"]
            return {
                **{name: result[name] for name in names},
                "firing_rate": rate["mean"] if rate else None,
                "run": folder.relative_to(self.out).as_posix(),
            }

    def _unfinished(self, metrics: Path) -> dict[str, Any]:
        if not metrics.is_file():
            return {"epochs": 0}
        with reading(metrics, "a run's metrics"):
            epochs = [record for record in read_json_lines(metrics) if "epoch" in record]
            if not epochs:
                return {"epochs": 0}
            if self.sweep.maximise:
                best = max
            else:
                best = min
            return {
                "best_so_far": best(record["validation"][self.sweep.optimise] for record in epochs),
                "epochs": len(epochs),
                "seconds": epochs[-1]["seconds"],
            }


def minutes(status: Sequence[UnitStatus]) -> float:
    """Minutes of training of all units so far."""
    return sum(one.seconds for one in status) / 60


def _write(path: Path, content: dict[str, Any]) -> None:
    with whole_file(path, parents=True) as file:
        file.write(f"{json_text(content, indent=2)}\n".encode())
