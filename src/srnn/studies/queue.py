"""Who does what: the units of a sweep, as trials of an optuna study that all workers share.

A unit has one trial that counts: the one of the lowest number that has not been given up. Everything follows from this rule,
without a lock of our own: whoever misses a unit's trial adds one, whoever claims a second one drops it again, and a dead
worker's is given up, whereupon it is missing. A trial changes hands in the storage's own atomic step from waiting to running,
or to failed.

States of a unit: waiting, running, done, pruned, failed (its training ended with an error, or its workers died again and again).

Signs of life stay by hand: optuna's heartbeat needs a database, and never tells a frozen worker that its trial is another's now.
Under SLURM an array of jobs starts the workers (docs/sweeps.md), which needs no code.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError
from ..files import reading
from .liveness import Watcher, identity, is_gone, is_lease
from .schema import Range, Sweep, Unit
from .storage import import_optuna

if TYPE_CHECKING:
    import optuna

_STATES = {"WAITING": "waiting", "RUNNING": "running", "COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}
_FORMS = {"unit": str, "settings": dict, "round": int, "lease": dict, "results": dict, "error": str, "died": bool}
MAX_DEATHS = 3
"""Workers that may die over a unit before it counts as failed: it may be what kills them."""


class Lost(Exception):
    """The unit has been given to another worker, because this one was silent for too long."""


@dataclass(frozen=True)
class UnitStatus:
    """How far a unit is."""

    unit: Unit
    state: str
    """waiting, running, done, pruned or failed."""
    settings: dict[str, Any]
    """Of the point; in a search what the sampler chose."""
    value: float | None
    """Of the optimised metric: the result, or the best so far."""
    epochs: int
    """Epochs done, over all seeds of the unit."""
    worker: str
    """Host and process that have it, or had it."""
    seconds: float | None
    """From its start to its end."""
    results: dict[str, dict[str, Any]]
    """By seed: what ``worker.py`` recorded."""
    error: str | None


class Queue:
    """A sweep in a storage.

    Args:
        sweep: what is to be done.
        storage: from ``open_storage``.
        patience: seconds without a sign of life after which a worker counts as dead. A worker gives one four times as often.

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
        """SrnnError for another sweep's study, and for trials that no worker writes: others may write to a storage too."""
        sweep, theirs = self.sweep, self.study.user_attrs.get("sweep")
        ours = json.loads(json.dumps(sweep.identity()))
        if theirs is not None and ours != theirs:
            given = theirs if isinstance(theirs, dict) else {}
            key = next((key for key in [*ours, *given] if ours.get(key) != given.get(key)), "description")
            raise SrnnError(
                f"The storage holds another sweep '{sweep.name}' (its {key} differs); choose another --out, or another name "
                "for the file."
            )
        for trial in self.study.get_trials(deepcopy=False):
            attributes = trial.user_attrs
            if "unit" not in attributes:  # another user of optuna's
                continue
            lease, results = attributes.get("lease", {}), attributes.get("results", {})
            sound = {"settings", "round"} <= attributes.keys() and all(
                isinstance(attributes[key], form) for key, form in _FORMS.items() if key in attributes
            )
            if not sound or not is_lease(lease) or not all(self._is_result(result) for result in results.values()):
                raise SrnnError(
                    f"The storage is damaged: trial {trial.number} of the sweep '{sweep.name}' is not what a worker writes; "
                    "choose another --out."
                )
            unit = self.units.get(attributes["unit"])
            if unit is None:
                raise SrnnError(
                    f"The sweep in the storage has '{attributes['unit']}', which the file has not; points and seeds "
                    "may be added, not removed. Choose another --out."
                )
            if json.loads(json.dumps(dict(unit.settings))) != attributes["settings"]:
                raise SrnnError(
                    f"'{unit.name}' has other settings in the storage than in the file; choose another --out."
                )
        if theirs is None:
            self.study.set_user_attr("sweep", ours)

    def _is_result(self, result: Any) -> bool:
        """Whether it may be what ``worker.py`` records of a training."""
        needed = {self.sweep.optimise, "parameters", "run"}
        return isinstance(result, dict) and needed <= result.keys() and all(
            isinstance(value, str) if name == "run" else type(value) in (int, float) or (value is None and name == "firing_rate")
            for name, value in result.items()
        )  # fmt: skip

    def fill(self, retry_failed: bool = False) -> None:
        """Add a trial for every unit that has none; with ``retry_failed`` also for what ended with an error."""
        optuna = import_optuna()
        for name, trials in self._by_unit().items():
            if self._holder(trials, retry_failed) is not None:
                continue
            # How often a person has asked for this unit again; deaths of earlier rounds count no more.
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
        """A waiting unit, which is now ours; None when there is none at the moment."""
        from optuna.trial import Trial

        self.give_up_dead()
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
        """Give up the trials of workers that are no more, so that ``fill`` adds them again."""
        for trial in self._trials():
            lease = trial.user_attrs.get("lease", {})
            if trial.state == self.states.RUNNING and (is_gone(lease) or self._watcher.is_stale(trial.number, lease)):
                self._write(trial, self.states.FAIL, died=True)

    def status(self) -> list[UnitStatus]:
        """Every unit, in the sweep's order."""
        with reading("The storage", f"that of the sweep '{self.sweep.name}'"):
            return [self._status(self.units[name], self._holder(trials)) for name, trials in self._by_unit().items()]

    def finished(self) -> bool:
        """Nothing is waiting or running."""
        return all(status.state not in ("waiting", "running") for status in self.status())

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        """Those of this file's units; a worker that began later may have a file with more."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.user_attrs.get("unit") in self.units]

    def _by_unit(self) -> dict[str, list[optuna.trial.FrozenTrial]]:
        found: dict[str, list[optuna.trial.FrozenTrial]] = {name: [] for name in self.units}
        for trial in self._trials():
            found[trial.user_attrs["unit"]].append(trial)
        return found

    def _holder(
        self, trials: list[optuna.trial.FrozenTrial], retry_failed: bool = False
    ) -> optuna.trial.FrozenTrial | None:
        """The trial that counts of a unit's; with ``retry_failed`` none that ended with an error."""
        current = max((trial.user_attrs["round"] for trial in trials), default=0)
        for trial in trials:
            stands = trial.state != self.states.FAIL or ("error" in trial.user_attrs and not retry_failed)
            if stands and trial.user_attrs["round"] == current:
                return trial
        return None

    def _write(
        self, trial: Any, state: optuna.trial.TrialState | None = None, value: float | None = None, **attributes: Any
    ) -> bool:
        """Set attributes of a trial, then its state; False when someone has ended it, or begun it, before."""
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
        if trial.value is not None:
            value = trial.value
        else:
            value = seen[max(seen)] if seen else None
        return UnitStatus(
            unit=unit,
            state=_STATES[trial.state.name],
            settings=decode(trial.params, self.sweep) if self.sweep.is_search else dict(unit.settings),
            value=value,
            epochs=len(seen),
            worker=f"{lease['host']}:{lease['pid']}" if lease else "",
            seconds=trial.duration.total_seconds() if trial.duration else None,
            results=trial.user_attrs.get("results", {}),
            error=trial.user_attrs.get("error"),
        )


class Claim:
    """A unit that is ours, as long as we give signs of life. Use it as a context: it does so from a thread of its own."""

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
        """Give a sign of life."""
        self._beats += 1
        # A worker that is resumed on another machine may have the number of beats of the dead one; never its process.
        if not self.queue._write(self.trial, lease={**self._lease, "beat": [os.getpid(), self._beats]}):
            self._lost.set()
        self._last = time.monotonic()

    def check(self) -> None:
        """Raise Lost when the unit is no longer ours. Cheap: to be asked at every step of the training."""
        if time.monotonic() - self._last > self.queue.patience / 2:  # this process was stopped, and now goes on
            self.beat()
        if self._lost.is_set():
            raise Lost

    def settings(self) -> dict[str, Any]:
        """The point's settings; in a search they are chosen now."""
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

    def report(self, value: float, epoch: int) -> bool:
        """Say how good the unit is after ``epoch`` (over all its seeds); True when it should be pruned."""
        self.check()
        self.trial.report(value, epoch)
        return self.queue.sweep.pruner.name != "none" and self.trial.should_prune()

    def complete(self, value: float, results: Mapping[str, Any]) -> bool:
        """The unit is done; False when it was not ours any more."""
        return self._end(self.queue.states.COMPLETE, value, results=dict(results))

    def prune(self, value: float, results: Mapping[str, Any]) -> bool:
        """The unit was ended early."""
        return self._end(self.queue.states.PRUNED, value, results=dict(results))

    def fail(self, error: str) -> bool:
        """The unit's training ended with an error."""
        return self._end(self.queue.states.FAIL, error=error)

    def release(self) -> bool:
        """Give the unit back, for whoever goes on with it."""
        given_back = self._end(self.queue.states.FAIL)
        self.queue.fill()
        return given_back

    def _end(self, state: optuna.trial.TrialState, value: float | None = None, **attributes: Any) -> bool:
        self._stop.set()  # a sign of life after the end would look like a lost unit
        return self.queue._write(self.trial, state, value, **attributes)

    def _beat_on(self) -> None:
        while not self._stop.wait(self.queue.patience / 4) and not self._lost.is_set():
            # A storage that does not answer now may do so next time; if not, the unit goes to another worker and is lost.
            with contextlib.suppress(Exception):
                self.beat()


def decode(params: Mapping[str, Any], sweep: Sweep) -> dict[str, Any]:
    """What the sampler chose as settings: the choices of a list are kept as JSON, because a storage takes no lists."""
    return {
        key: value if isinstance(sweep.parameters[key], Range) else json.loads(value) for key, value in params.items()
    }


def _sampler(sweep: Sweep, index: int) -> Any:
    """A sampler for one unit. Its seed belongs to the unit: two workers never draw the same point by drawing from one seed."""
    from optuna.samplers import RandomSampler, TPESampler

    from ..train.training import derive_seed

    seed = derive_seed(sweep.sampler.seed, "sampler", index) % 2**32
    return TPESampler(seed=seed) if sweep.sampler.name == "tpe" else RandomSampler(seed=seed)


def _pruner(sweep: Sweep) -> Any:
    from optuna.pruners import MedianPruner, NopPruner

    if sweep.pruner.name == "none":
        return NopPruner()
    return MedianPruner(n_startup_trials=sweep.pruner.startup, n_warmup_steps=sweep.pruner.warmup)
