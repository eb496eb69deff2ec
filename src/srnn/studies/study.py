"""Optuna's part in a sweep: it chooses what a search tries, ends poor trainings, and keeps both.

A trial of optuna's study is a unit. Its storage may be lost: results and chosen settings are in the
sweep's folder, and a search goes on with them; only its sampler has forgotten what came of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError, need
from ..files import FolderInUse, append_line, changing, cut_lines, locked, reading
from ..text import json_text
from ..training.seeds import derive_seed
from .schema import Sweep
from .units import Units, UnitStatus

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def open_study(units: Units, address: str | None = None) -> Study | None:
    """The study of a sweep; None if it needs none: it is no search, prunes nothing, names no
    storage.

    address: of a database, such as postgresql://user@host/name; None: study/journal.log in the
    sweep's folder. SrnnError: optuna or a driver is not installed, or the storage cannot be used.
    """
    sweep = units.sweep
    if not sweep.is_search and sweep.pruner.name == "none" and address is None:
        return None
    with locked(units.out, wait=600):  # a database's tables are created by one worker
        if address is None:
            storage = _open_journal(units.out / "study")
        else:
            storage = _open_database(address)
        with reading("The storage", f"that of the sweep '{sweep.name}'"):
            study = Study(sweep, storage)
            study.catch_up(units)
    return study


class Study:
    """Optuna's study of a sweep."""

    def __init__(self, sweep: Sweep, storage: Any) -> None:
        optuna = import_optuna()
        self.sweep, self.storage = sweep, storage
        self.states = optuna.trial.TrialState
        self.study = optuna.create_study(
            study_name=_name(sweep),
            storage=storage,
            load_if_exists=True,
            direction="maximize" if sweep.maximise else "minimize",
            pruner=_pruner(sweep),
        )

    def catch_up(self, units: Units) -> None:
        """Tell the study of results whose workers died before they could."""
        begun = self._open_trials()
        for one in units.status():
            if one.state == "done" and one.unit.name in begun:
                with suppress(FolderInUse), units.hold(one.unit):  # no worker is about to
                    self.end(one)

    def begin(self, one: UnitStatus) -> dict[str, Any]:
        """Begin a unit, or go on with it; returns its settings. A search's sampler chooses them."""
        from optuna.trial import Trial

        if one.unit.name not in self._open_trials():
            if self.sweep.is_search:
                params = self._encoded(one.settings)
            else:
                params = {}
            about = {"unit": one.unit.name, "settings": one.settings}
            self.study.enqueue_trial(params, user_attrs=about)
        known = self._open_trials()[one.unit.name]
        if known.state == self.states.WAITING:
            self.storage.set_trial_state_values(known._trial_id, self.states.RUNNING)
        self.study.sampler = _sampler(self.sweep, one.unit.point)
        self._trial = Trial(self.study, known._trial_id)
        self._reported = max(known.intermediate_values, default=0)
        self._report(one)  # an epoch whose worker died before it could
        if not self.sweep.is_search:
            return one.settings
        return self._choose()

    def should_prune(self, one: UnitStatus) -> bool:
        """Tell the study how far the unit is that was begun last. Whether to end it here."""
        self._report(one)
        return self._trial.should_prune()

    def end(self, one: UnitStatus) -> None:
        """Tell the study what came of a unit that is held, unless it has been told."""
        trial = self._open_trials().get(one.unit.name)
        if trial is None or one.state == "failed":  # that may be tried again: its trial stays open
            return
        if one.state == "done":
            self.study.tell(trial.number, one.value, skip_if_finished=True)
        else:
            self.study.tell(trial.number, state=self.states.PRUNED)  # with the last value reported

    def _report(self, one: UnitStatus) -> None:
        if one.value is not None and one.epochs > self._reported:
            self._trial.report(one.value, one.epochs)
            self._reported = one.epochs

    def _open_trials(self) -> dict[str, FrozenTrial]:
        """Trials that have not ended, by unit."""
        states = (self.states.WAITING, self.states.RUNNING)
        trials = self.study.get_trials(deepcopy=False, states=states)
        return {trial.user_attrs.get("unit", ""): trial for trial in trials}

    def _choose(self) -> dict[str, Any]:
        """Let the sampler choose every parameter, unless it has done so before."""
        settings: dict[str, Any] = {}
        for key, values in self.sweep.parameters.items():
            if isinstance(values, list):
                texts = [json.dumps(value) for value in values]  # optuna has no lists
                settings[key] = json.loads(str(self._trial.suggest_categorical(key, texts)))
            elif values.kind == "integer":
                settings[key] = self._trial.suggest_int(key, int(values.low), int(values.high))
            else:
                log = values.kind == "loguniform"
                settings[key] = self._trial.suggest_float(key, values.low, values.high, log=log)
        return settings

    def _encoded(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings that were chosen before, as optuna has them."""
        return {
            key: json.dumps(value) if isinstance(self.sweep.parameters[key], list) else value
            for key, value in settings.items()
        }


def import_optuna() -> Any:
    """Import optuna with its logging silenced. SrnnError when it is not installed."""
    optuna = need("optuna", "This sweep", "sweep")
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna


def _name(sweep: Sweep) -> str:
    """The study's name, as a database may have studies of other sweeps whose file has this name."""
    identity = sweep.identity().items()
    fixed = {key: value for key, value in identity if not key.startswith("recipe ")}
    return f"{sweep.name}-{hashlib.sha256(json_text(fixed).encode()).hexdigest()[:8]}"


def _sampler(sweep: Sweep, point: str) -> Any:
    """A sampler for one point, seeded by its number, so that no two workers draw the same point."""
    from optuna.samplers import RandomSampler, TPESampler

    if not sweep.is_search:
        return RandomSampler()
    seed = derive_seed(sweep.sampler.seed, "sampler", int(point.removeprefix("p"))) % 2**32
    if sweep.sampler.name == "tpe":
        return TPESampler(seed=seed)
    return RandomSampler(seed=seed)


def _pruner(sweep: Sweep) -> Any:
    from optuna.pruners import MedianPruner, NopPruner

    if sweep.pruner.name == "none":
        return NopPruner()
    return MedianPruner(n_startup_trials=sweep.pruner.startup, n_warmup_steps=sweep.pruner.warmup)


def _open_journal(folder: Path) -> Any:
    """Optuna's storage in a file to which all workers append."""
    import_optuna()
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    path = folder / "journal.log"

    class Journal(JournalFileBackend):
        """Written under the folder's lock, which does not outlive its process."""

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            with locked(folder, wait=600), changing(path):
                # What a machine that lost its power left of a line would spoil the next one.
                cut_lines(path, path.read_bytes().rfind(b"\n") + 1)
                append_line(path, "\n".join(json.dumps(log) for log in logs))

    with changing(path):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, wait=600):
            cut_lines(path)
        journal = Journal(str(path))
    try:
        return JournalStorage(journal)
    except Exception as error:  # whatever optuna makes of lines that are not its own
        raise SrnnError(
            f"{path} is damaged, or no journal ({error}); delete it: no result depends on it."
        ) from error


def _open_database(address: str) -> Any:
    """Optuna's storage in a database."""
    optuna = import_optuna()
    # A plain database name selects today's driver, not the one that was the default ten years ago.
    if address.startswith(("postgresql://", "postgres://")):
        address = f"postgresql+psycopg://{address.partition('://')[2]}"
    try:
        return optuna.storages.get_storage(address)
    except ImportError as error:
        raise SrnnError(
            f"The storage {_shown(address)} needs a driver ({error.__cause__ or error}): install "
            "it; "
            'for PostgreSQL: pip install "srnn[postgres]".'
        ) from error
    except Exception as error:  # SQLAlchemy's and the driver's errors, ValueError for an address
        if str(error):
            reason = str(error).splitlines()[0]
        else:
            reason = type(error).__name__
        raise SrnnError(
            f"The storage {_shown(address)} cannot be used: {_shown(reason)}"
        ) from error


def _shown(text: str) -> str:
    """An address, or a message about it, without its password, even one with an @ in it."""
    return re.sub("'[^']*@", "'***@", re.sub("(://[^:/]*):.*@", r"\1:***@", text, flags=re.DOTALL))
