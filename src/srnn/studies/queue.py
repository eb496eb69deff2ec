"""The work queue: the units of a sweep as trials of an optuna study that all workers share.

A unit has one trial that counts: the one with the lowest number that has not been given up. Everything follows from this rule,
without a lock of our own: a worker that finds no trial of a unit adds one, a worker that claims a second one drops it again,
and a dead worker's trial is given up, whereupon it is missing. A trial changes hands when the storage atomically changes its
state from waiting to running, or to failed.

States of a unit: waiting, running, done, pruned, failed (its training ended with an error, or its workers died again and again).

Heartbeats are our own: optuna's need a database, and never tell a stalled worker that its trial now belongs to another one.
Under SLURM a job array starts the workers (docs/sweeps.md), which needs no code.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError
from ..files import reading
from ..training.seeds import derive_seed
from .liveness import Watcher, ended_with_its_machine, identity, is_gone, is_lease
from .schema import Range, Sweep, Unit
from .storage import import_optuna

if TYPE_CHECKING:
    import optuna

_STATES = {"WAITING": "waiting", "RUNNING": "running", "COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}
_FORMS = {"unit": str, "settings": dict, "round": int, "lease": dict, "results": dict, "error": str, "died": bool,
          "trained": float}  # fmt: skip
MAX_DEATHS = 3
"""Workers that may die during a unit, but not with their machine, before it counts as failed: the unit may be what kills them."""


class Lost(Exception):
    """The unit has been given to another worker, because this one sent no heartbeat for too long."""


@dataclass(frozen=True)
class UnitStatus:
    """The progress of a unit."""

    unit: Unit
    state: str
    """waiting, running, done, pruned or failed."""
    settings: dict[str, Any]
    """Settings of the point; in a search those that the sampler chose."""
    value: float | None
    """Value of the optimised metric: the result, or the best so far."""
    epochs: int
    """Epochs done, over all seeds of the unit."""
    worker: str
    """Host and process that hold it, or held it."""
    seconds: float | None
    """Of training so far, over all its seeds, without pauses; None before the first epoch has ended."""
    results: dict[str, dict[str, Any]]
    """By seed: what ``worker.py`` recorded."""
    error: str | None

    @property
    def ended(self) -> bool:
        return self.state in ("done", "pruned", "failed")


class Queue:
    """The units of a sweep in a storage.

    Args:
        storage: from ``open_storage``.
        patience: seconds without a heartbeat after which a worker counts as dead. Workers send four heartbeats in this time.

    Raises SrnnError when the storage holds another sweep of this name.
    """

    def __init__(self, sweep: Sweep, storage: Any, patience: float = 60.0) -> None:
        optuna = import_optuna()
        self.sweep, self.storage, self.patience = sweep, storage, patience
        self.units = {unit.name: unit for unit in sweep.units()}
        self.states = optuna.trial.TrialState
        self._watcher = Watcher(patience)
        self.study = optuna.create_study(
            study_name=sweep.name, storage=storage, load_if_exists=True,
            direction="maximize" if sweep.maximise else "minimize", pruner=_pruner(sweep),
        )  # fmt: skip
        with reading("The storage", f"that of the sweep '{sweep.name}'"):
            self._check()

    def _check(self) -> None:
        """SrnnError for another sweep's study, and for trials that no worker wrote: others may write to a storage too."""
        sweep, theirs = self.sweep, self.study.user_attrs.get("sweep")
        ours = json.loads(json.dumps(sweep.identity()))
        stored = theirs if isinstance(theirs, dict) else {}
        # Recipes that points name may be added with the points.
        added = {key for key in ours.keys() ^ stored.keys() if key.startswith("recipe ")}
        differ = [key for key in {**ours, **stored} if key not in added and ours.get(key) != stored.get(key)]
        if theirs is not None and differ:
            raise SrnnError(
                f"The storage contains a different sweep '{sweep.name}' (its {differ[0]} differs); choose another --out, or "
                "another name for the file."
            )
        for trial in self.study.get_trials(deepcopy=False):
            attributes = trial.user_attrs
            if "unit" not in attributes:  # from another user of optuna
                continue
            lease, results = attributes.get("lease", {}), attributes.get("results", {})
            sound = {"settings", "round"} <= attributes.keys() and all(
                isinstance(attributes[key], form) for key, form in _FORMS.items() if key in attributes
            )
            if not sound or not is_lease(lease) or not all(self._is_result(result) for result in results.values()):
                raise SrnnError(
                    f"The storage is corrupt: trial {trial.number} of the sweep '{sweep.name}' was not written by a worker; "
                    "choose another --out."
                )
            unit = self.units.get(attributes["unit"])
            if unit is None:
                raise SrnnError(
                    f"The sweep in the storage has '{attributes['unit']}', but the file does not; points and seeds "
                    "may be added, not removed. Choose another --out."
                )
            if json.loads(json.dumps(dict(unit.settings))) != attributes["settings"]:
                raise SrnnError(
                    f"'{unit.name}' has different settings in the storage and in the file; choose another --out."
                )
        if theirs is None or added:
            self.study.set_user_attr("sweep", {**stored, **ours})

    def _is_result(self, result: Any) -> bool:
        """Whether it has the form that ``worker.py`` records for a training."""

        def is_sound(name: str, value: Any) -> bool:
            if name == "sick":
                return isinstance(value, list) and all(isinstance(one, str) for one in value)
            if name == "run":
                return isinstance(value, str)
            return type(value) in (int, float) or (value is None and name == "firing_rate")

        needed = {self.sweep.optimise, "parameters", "run"}
        return isinstance(result, dict) and needed <= result.keys() and all(starmap(is_sound, result.items()))

    def fill(self, retry_failed: bool = False) -> None:
        """Add a trial for every unit that has none; with ``retry_failed`` also for units that ended with an error."""
        optuna = import_optuna()
        for name, trials in self._by_unit().items():
            if self._holder(trials, retry_failed) is not None:
                continue
            # How often the user has retried this unit; deaths of earlier rounds no longer count.
            current = max((trial.user_attrs["round"] for trial in trials), default=0)
            current += retry_failed and any("error" in trial.user_attrs for trial in trials)
            attributes = {"unit": name, "settings": dict(self.units[name].settings), "round": current}
            deaths = sum("died" in trial.user_attrs and trial.user_attrs["round"] == current for trial in trials)
            if deaths >= MAX_DEATHS:
                attributes["error"] = f"its worker died {deaths} times; --retry-failed tries again"
                self.study.add_trial(optuna.trial.create_trial(state=self.states.FAIL, user_attrs=attributes))
            else:  # what a sampler once chose stays
                self.study.enqueue_trial(trials[-1].params if trials else {}, user_attrs=attributes)

    def claim(self) -> Claim | None:
        """Claim a waiting unit for this worker; None when there is none at the moment, or the budget is used up."""
        from optuna.trial import Trial

        self.give_up_dead()
        if self.is_spent(self.status()):
            return None
        self.fill()
        for trial in self._trials():
            if trial.state != self.states.WAITING or not self._write(trial, self.states.RUNNING):
                continue
            name = trial.user_attrs["unit"]
            holder = self._holder(self._by_unit()[name])
            if holder is not None and holder.number == trial.number:
                return Claim(self, self.units[name], Trial(self.study, trial._trial_id))
            self._write(trial, self.states.FAIL)  # two workers added it at the same time
        return None

    def give_up_dead(self) -> None:
        """Give up the trials of dead workers, so that ``fill`` adds them again."""
        for trial in self._trials():
            lease = trial.user_attrs.get("lease", {})
            if trial.state == self.states.RUNNING and (is_gone(lease) or self._watcher.is_stale(trial.number, lease)):
                # A power cut says nothing about the unit, unlike the death of a worker alone.
                self._write(trial, self.states.FAIL, **({} if ended_with_its_machine(lease) else {"died": True}))

    def status(self) -> list[UnitStatus]:
        """Every unit, in the sweep's order."""
        with reading("The storage", f"that of the sweep '{self.sweep.name}'"):
            return [self._status(self.units[name], self._holder(trials)) for name, trials in self._by_unit().items()]

    def finished(self) -> bool:
        """Whether no unit is running, and none will be: none is waiting, or the budget is used up."""
        status = self.status()
        states = {unit.state for unit in status}
        return "running" not in states and ("waiting" not in states or self.is_spent(status))

    def is_spent(self, status: Sequence[UnitStatus]) -> bool:
        """Whether the trainings have used up the sweep's budget. What has begun is trained to its end all the same."""
        return self.sweep.budget_minutes is not None and minutes(status) >= self.sweep.budget_minutes

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        """Trials of this file's units; a worker that started later may have a file with more."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.user_attrs.get("unit") in self.units]

    def _by_unit(self) -> dict[str, list[optuna.trial.FrozenTrial]]:
        trials: dict[str, list[optuna.trial.FrozenTrial]] = {name: [] for name in self.units}
        for trial in self._trials():
            trials[trial.user_attrs["unit"]].append(trial)
        return trials

    def _holder(
        self, trials: list[optuna.trial.FrozenTrial], retry_failed: bool = False
    ) -> optuna.trial.FrozenTrial | None:
        """The trial of a unit that counts; with ``retry_failed`` never one that ended with an error."""
        current = max((trial.user_attrs["round"] for trial in trials), default=0)
        for trial in trials:
            stands = trial.state != self.states.FAIL or ("error" in trial.user_attrs and not retry_failed)
            if stands and trial.user_attrs["round"] == current:
                return trial
        return None

    def _write(
        self, trial: Any, state: optuna.trial.TrialState | None = None, value: float | None = None, **attributes: Any
    ) -> bool:
        """Set attributes of a trial, then its state; False when another worker has ended or started it before."""
        from optuna.exceptions import UpdateFinishedTrialError

        number = trial._trial_id
        try:
            for key, content in attributes.items():
                self.storage.set_trial_user_attr(number, key, content)
            values = None if value is None else [value]
            return state is None or self.storage.set_trial_state_values(number, state, values)
        except UpdateFinishedTrialError:
            return False

    def _status(self, unit: Unit, trial: optuna.trial.FrozenTrial | None) -> UnitStatus:
        if trial is None:
            return UnitStatus(unit, "waiting", dict(unit.settings), None, 0, "", None, {}, None)
        seen, lease = trial.intermediate_values, trial.user_attrs.get("lease")
        latest = seen[max(seen)] if seen else None
        held = trial.state != self.states.RUNNING or not is_gone(lease or {})
        return UnitStatus(
            unit=unit,
            state=_STATES[trial.state.name] if held else "waiting",
            settings=decode(trial.params, self.sweep) if self.sweep.is_search else dict(unit.settings),
            value=latest if trial.value is None else trial.value,
            epochs=len(seen),
            worker=f"{lease['host']}:{lease['pid']}" if lease else "",
            seconds=trial.user_attrs.get("trained"),
            results=trial.user_attrs.get("results", {}),
            error=trial.user_attrs.get("error"),
        )


class Claim:
    """A unit that is ours as long as we send heartbeats. Use it as a context manager: a thread of its own sends them."""

    def __init__(self, queue: Queue, unit: Unit, trial: optuna.trial.Trial) -> None:
        self.queue, self.unit, self.trial = queue, unit, trial
        self._lease, self._beats, self._last = identity(), 0, 0.0
        self._lost, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="lease", daemon=True)
        self.beat()

    def __enter__(self) -> Claim:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def beat(self) -> None:
        self._beats += 1
        # A worker that is resumed on another machine may have the dead one's number of beats, but never its process.
        if not self.queue._write(self.trial, lease={**self._lease, "beat": [os.getpid(), self._beats]}):
            self._lost.set()
        self._last = time.monotonic()

    def check(self) -> None:
        """Raise Lost when the unit is no longer ours. Cheap enough to call at every training step."""
        if time.monotonic() - self._last > self.queue.patience / 2:  # this process was suspended, and now continues
            self.beat()
        if self._lost.is_set():
            raise Lost

    def settings(self) -> dict[str, Any]:
        """The point's settings; in a search the sampler chooses them now."""
        if not self.queue.sweep.is_search:
            return dict(self.unit.settings)
        self.queue.study.sampler = _sampler(self.queue.sweep, list(self.queue.units).index(self.unit.name))
        for key, values in self.queue.sweep.parameters.items():
            if isinstance(values, list):
                self.trial.suggest_categorical(key, [json.dumps(value) for value in values])
            elif values.kind == "integer":
                self.trial.suggest_int(key, int(values.low), int(values.high))
            else:
                self.trial.suggest_float(key, values.low, values.high, log=values.kind == "loguniform")
        return decode(self.trial.params, self.queue.sweep)

    def report(self, value: float, epoch: int, seconds: float) -> bool:
        """Report the unit's metric after ``epoch`` and ``seconds`` of training (over all its seeds); True when it should be
        pruned."""
        self.check()
        self.queue._write(self.trial, trained=float(seconds))
        self.trial.report(value, epoch)
        return self.queue.sweep.pruner.name != "none" and self.trial.should_prune()

    def end(self, state: str, value: float | None = None, **attributes: Any) -> bool:
        """Mark the unit as "done", "pruned" (ended early) or "failed"; False when it was no longer ours.

        ``attributes``: the ``results`` of its trainings that have ended, and of a failed one the ``error``.
        """
        self._stop.set()  # a sign of life after the end would look like a lost unit
        (of_optuna,) = (name for name, ours in _STATES.items() if ours == state)
        return self.queue._write(self.trial, self.queue.states[of_optuna], value, **attributes)

    def release(self) -> bool:
        """Give the unit back, so that another worker can resume it."""
        given_back = self.end("failed")
        self.queue.fill()
        return given_back

    def _beat_on(self) -> None:
        while not self._stop.wait(self.queue.patience / 4) and not self._lost.is_set():
            # A storage that does not respond now may do so next time; if not, the unit goes to another worker.
            with contextlib.suppress(Exception):
                self.beat()


def minutes(status: Sequence[UnitStatus]) -> float:
    """Minutes of training of all units so far."""
    return sum(unit.seconds or 0.0 for unit in status) / 60


def decode(params: Mapping[str, Any], sweep: Sweep) -> dict[str, Any]:
    """The sampler's choices as settings: choices from a list are stored as JSON, because a storage cannot represent lists."""
    return {
        key: value if isinstance(sweep.parameters[key], Range) else json.loads(value) for key, value in params.items()
    }


def _sampler(sweep: Sweep, index: int) -> Any:
    """A sampler for one unit, seeded by the unit, so that two workers never draw the same point from one seed."""
    from optuna.samplers import RandomSampler, TPESampler

    seed = derive_seed(sweep.sampler.seed, "sampler", index) % 2**32
    return TPESampler(seed=seed) if sweep.sampler.name == "tpe" else RandomSampler(seed=seed)


def _pruner(sweep: Sweep) -> Any:
    from optuna.pruners import MedianPruner, NopPruner

    if sweep.pruner.name == "none":
        return NopPruner()
    return MedianPruner(n_startup_trials=sweep.pruner.startup, n_warmup_steps=sweep.pruner.warmup)
