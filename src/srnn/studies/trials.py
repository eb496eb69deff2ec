"""The trials of a sweep in its folder: the run folders are the state.

    sweep.json               what must stay the same while the sweep goes on
    runs/POINT/sSEED         a training, as ``srnn train`` writes it
    trials/POINT/sSEED.json  notes on a trial: who trained it last, and why it has no result

Whoever trains a trial holds the lock of its folder, which the system frees when that process ends,
however it ends. So a trial with all its results is done, one whose lock is held is running, and any
other waits for the next worker, who resumes what an earlier one has begun, to the same bits.

In a search a trial has several seeds; its folder is runs/POINT, its notes are trials/POINT.json. In
srnn 0.2 trials were called units, in sweep.json and as the folder of notes; both are read.
"""

from __future__ import annotations

import json
import os
import platform
import re
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
from .schema import Sweep, Trial

METRICS = (
    *("accuracy", "accuracy_labelled", "balanced_accuracy", "loss", "firing_rate"),
    *("parameters", "best_epoch", "epochs", "seconds", "restores", "unhealthy"),
)
"""What a sweep keeps of a result; restores and unhealthy only of trainings that went back, or are
unhealthy."""
MAX_DEATHS = 3
"""Workers that may die in a trial before it counts as failed, as it may be what kills them; an
epoch that one of them has finished begins the count anew."""


@dataclass(frozen=True)
class TrialStatus:
    """How far a trial is."""

    trial: Trial
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


class Trials:
    """The trials of a sweep in its folder."""

    def __init__(self, sweep: Sweep, out: Path) -> None:
        self.sweep, self.out = sweep, out
        self.all = sweep.list_trials()
        self._final: dict[str, TrialStatus] = {}
        """Of what is done or pruned, which is read once."""
        self._waiting = {
            trial.name: TrialStatus(
                trial,
                "waiting",
                {} if sweep.is_search else dict(trial.settings),
                {seed: {"epochs": 0} for seed in trial.seeds},
            )
            for trial in self.all
        }
        """Of those that nobody has begun."""
        self._ours = ""
        """The trial that this process trains, which its own lock does not keep out."""

    def begin(self) -> None:
        """Begin the sweep, or go on with it.

        SrnnError: a new grid point is wrong, or the folder has another sweep.
        """
        if not self.check():
            self.sweep.check()
            _write(self.out / "sweep.json", self._must_stay())

    def check(self) -> bool:
        """Whether the folder's sweep is that of the file. SrnnError (``conflict``) if it is another
        one.

        Once a sweep has begun, its file may get more grid points, seeds, trials and minutes; the
        folder's sweep is then not yet that of the file. Nothing else may change.
        """
        advice = f"choose another {option('out')}"
        if (self.out / "journal.log").exists():
            problem = f"The sweep in {self.out} is one of srnn 0.1; {advice}."
            raise SrnnError(problem, "conflict", "out")
        path, theirs = self.out / "sweep.json", {}
        if path.is_file():
            theirs = {
                re.sub("^unit ", "trial ", key): value
                for key, value in read_object(path, "a sweep's state").items()
            }
        ours, theirs = (
            {key: with_present_keys(Recipe, value) for key, value in state.items()}
            for state in (self._must_stay(), theirs)
        )
        for key, value in theirs.items():
            if key not in ours:
                lacking = f"has the {key}, but the file does not"
                rule = "grid points and seeds may be added, not removed"
                problem = f"The sweep in {self.out} {lacking}; {rule}, or {advice}."
                raise SrnnError(problem, "conflict", "out")
            if ours[key] != value:
                problem = f"{self.out} contains a different sweep (its {key} differs); {advice}."
                raise SrnnError(problem, "conflict", "out")
        return theirs == ours

    def _must_stay(self) -> dict[str, Any]:
        trials = {f"trial {trial.name}": dict(trial.settings) for trial in self.all}
        return json.loads(json_text(self.sweep.identity() | trials))

    def status(self) -> list[TrialStatus]:
        """Every trial, in the sweep's order."""
        there = self._there()
        return [
            self.of(trial) if trial.name in there else self._waiting[trial.name]
            for trial in self.all
        ]

    def _there(self) -> set[str]:
        """The names of the trials of which the folder holds anything: to look for each of twenty
        thousand takes seconds, after every training."""
        below = "*" if self.sweep.is_search else "*/*"
        return {
            path.relative_to(self.out / folder).as_posix().removesuffix(suffix)
            for folder, suffix in (("runs", ""), ("trials", ".json"), ("units", ".json"))
            for path in (self.out / folder).glob(below)
        }

    def left(self) -> list[TrialStatus]:
        """Trials that run, and those that wait, unless the trainings have used up the budget."""
        status, budget = self.status(), self.sweep.budget_minutes
        spent = budget is not None and minutes(status) >= budget
        if spent:
            states = ("running",)
        else:
            states = ("running", "waiting")
        return [one for one in status if one.state in states]

    def retry_failed(self) -> None:
        """Let trials that failed wait again."""
        for one in self.status():
            if one.state == "failed":
                self.note(one.trial, ended=None, error=None, begun=0)

    def run(self, trial: Trial, seed: int) -> Path:
        """The folder of a training.

        Args:
            trial: what it belongs to.
            seed: one of the trial's.

        Returns:
            Its path, whether it is there or not.
        """
        return self.out / "runs" / trial.point / f"s{seed}"

    def of(self, trial: Trial) -> TrialStatus:
        """A trial's status. SrnnError, which names the file, for one that is damaged."""
        if trial.name in self._final:
            return self._final[trial.name]
        notes = self._notes(trial)
        trainings = {seed: self._training(self.run(trial, seed)) for seed in trial.seeds}
        found = list(trainings.values())
        begun = [training["best_so_far"] for training in found if "best_so_far" in training]
        value = None
        if begun:
            value = begun[-1]
        if all("run" in training for training in found):
            state = "done"
            value = statistics.fmean(training[self.sweep.optimise] for training in found)
        elif notes.get("ended"):
            state = notes["ended"]
        else:
            state, folder = "waiting", self.out / "runs" / trial.name
            if trial.name == self._ours:
                state = "running"
            elif folder.is_dir():
                try:
                    with locked(folder):
                        pass
                except FolderInUse:
                    state = "running"

        status = TrialStatus(
            trial=trial,
            state=state,
            settings=notes.get("settings", {}) if self.sweep.is_search else dict(trial.settings),
            trainings=trainings,
            value=value,
            worker=notes.get("worker", ""),
            error=notes.get("error") if state == "failed" else None,
        )
        if state in ("done", "pruned"):
            self._final[trial.name] = status
        return status

    def note(self, trial: Trial, **notes: Any) -> None:
        """Add notes on a trial that is held.

        Args:
            trial: the one that is held.
            notes: settings, ended ("pruned" or "failed"), error, worker, ...: they replace earlier
                ones of the same names.
        """
        _write(self.out / "trials" / f"{trial.name}.json", self._notes(trial) | notes)

    @contextmanager
    def hold(self, trial: Trial) -> Iterator[bool]:
        """Hold a trial for the block. FolderInUse: another worker does. False: it has ended."""
        with locked(self.out / "runs" / trial.name):
            now, notes = self.of(trial), self._notes(trial)
            if now.ended:
                yield False
                return
            # A worker that dies here has not taken back that it began the trial.
            deaths = 0
            if notes.get("epochs") == now.epochs:
                deaths = notes.get("begun", 0)
            if deaths >= MAX_DEATHS:
                again = f"{option('retry_failed', flag=True)} tries again"
                self.note(trial, ended="failed", error=f"its worker died {deaths} times; {again}")
                yield False
                return
            worker = f"{platform.node()}:{os.getpid()}"
            self.note(trial, worker=worker, begun=deaths + 1, epochs=now.epochs)
            self._ours = trial.name
            try:
                yield True
            finally:
                self._ours = ""
                self.note(trial, begun=0)

    def _notes(self, trial: Trial) -> dict[str, Any]:
        for folder in ("trials", "units"):
            path = self.out / folder / f"{trial.name}.json"
            if path.is_file():
                return read_object(path, "notes on a sweep's trial")
        return {}

    def _training(self, folder: Path) -> dict[str, Any]:
        """A training's result, or how far it is."""
        path, metrics = folder / "result.json", folder / "metrics.jsonl"
        if not path.is_file():
            if not metrics.is_file():
                return {"epochs": 0}
            with reading(metrics, "a run's metrics"):
                epochs = [record for record in read_json_lines(metrics) if "epoch" in record]
                if not epochs:
                    return {"epochs": 0}
                values = [record["validation"][self.sweep.optimise] for record in epochs]
                return {
                    "best_so_far": max(values) if self.sweep.maximise else min(values),
                    "epochs": len(epochs),
                    "seconds": epochs[-1]["seconds"],
                }
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


def minutes(status: Sequence[TrialStatus]) -> float:
    """Minutes of training of all trials so far."""
    return sum(one.seconds for one in status) / 60


def _write(path: Path, content: dict[str, Any]) -> None:
    with whole_file(path, parents=True) as file:
        file.write(f"{json_text(content, indent=2)}\n".encode())
