"""Optuna's part in a sweep: it chooses what a search tries, ends poor trainings, and keeps both.

A trial of the sweep is one of optuna's study. Optuna's storage may be lost: results and chosen
settings are in the sweep's folder, and a search goes on with them; only its sampler has forgotten
what came of them.
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
from .trials import Trials, TrialStatus

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def open_study(trials: Trials, address: str | None = None) -> Study | None:
    """Open the study of a sweep.

    Args:
        trials: the sweep in its folder.
        address: of a database, such as postgresql://user@host/name; None: study/journal.log in the
            sweep's folder.

    Returns:
        The study; None if the sweep needs none: it is no search, prunes nothing, names no storage.

    Raises:
        SrnnError: ``package``: optuna or a driver is not installed; ``resource``, ``file``: the
            storage cannot be used.
    """
    sweep = trials.sweep
    if not sweep.is_search and sweep.pruner.name == "none" and address is None:
        return None
    with locked(trials.out, wait=600):  # a database's tables are created by one worker
        if address is None:
            storage = _open_journal(trials.out / "study")
        else:
            storage = _open_database(address)
        with reading("The storage", f"that of the sweep '{sweep.name}'"):
            study = Study(sweep, storage)
            study.catch_up(trials)
    return study


class Study:
    """Optuna's study of a sweep."""

    def __init__(self, sweep: Sweep, storage: Any) -> None:
        optuna = import_optuna()
        self.sweep, self.storage = sweep, storage
        self.states = optuna.trial.TrialState
        pruner = optuna.pruners.NopPruner()
        if sweep.pruner.name == "median":
            pruner = optuna.pruners.MedianPruner(
                n_startup_trials=sweep.pruner.startup, n_warmup_steps=sweep.pruner.warmup
            )
        self.study = optuna.create_study(
            study_name=_name(sweep),
            storage=storage,
            load_if_exists=True,
            direction="maximize" if sweep.maximise else "minimize",
            pruner=pruner,
        )

    def catch_up(self, trials: Trials) -> None:
        """Report the results whose workers died before they did."""
        begun = self._open_trials()
        for one in trials.status():
            if one.state == "done" and one.trial.name in begun:
                with suppress(FolderInUse), trials.hold(one.trial):  # no worker is about to
                    self.end(one)

    def begin(self, one: TrialStatus) -> dict[str, Any]:
        """Begin a trial, or go on with it; returns its settings, which a search's sampler chooses."""
        from optuna.samplers import RandomSampler, TPESampler
        from optuna.trial import Trial

        if one.trial.name not in self._open_trials():
            params = {}
            if self.sweep.is_search:  # settings that were chosen before, as optuna has them
                for key, value in one.settings.items():
                    listed = isinstance(self.sweep.parameters[key], list)
                    params[key] = json.dumps(value) if listed else value
            about = {"trial": one.trial.name, "settings": one.settings}
            self.study.enqueue_trial(params, user_attrs=about)
        known = self._open_trials()[one.trial.name]
        if known.state == self.states.WAITING:
            self.storage.set_trial_state_values(known._trial_id, self.states.RUNNING)
        sampler = self.sweep.sampler
        if self.sweep.is_search:  # seeded by the trial's number: no two workers draw the same point
            number = int(one.trial.point.removeprefix("p"))
            seed = derive_seed(sampler.seed, "sampler", number) % 2**32
            kind = TPESampler if sampler.name == "tpe" else RandomSampler
            self.study.sampler = kind(seed=seed)
        else:
            self.study.sampler = RandomSampler()
        self._trial = Trial(self.study, known._trial_id)
        self._reported = max(known.intermediate_values, default=0)
        self._report(one)  # an epoch whose worker died before it did
        if not self.sweep.is_search:
            return one.settings
        return self._choose()

    def should_prune(self, one: TrialStatus) -> bool:
        """Report how far the trial is that was begun last. Whether to end it here."""
        self._report(one)
        return self._trial.should_prune()

    def end(self, one: TrialStatus) -> None:
        """Report how a trial that is held has ended, unless that has been reported."""
        trial = self._open_trials().get(one.trial.name)
        if trial is None or one.state == "failed":  # that may be tried again: its trial stays open
            return
        if one.state == "done":
            self.study.tell(trial.number, one.value, skip_if_finished=True)
        else:
            self.study.tell(trial.number, state=self.states.PRUNED)  # with the last value reported

    def _report(self, one: TrialStatus) -> None:
        if one.value is not None and one.epochs > self._reported:
            self._trial.report(one.value, one.epochs)
            self._reported = one.epochs

    def _open_trials(self) -> dict[str, FrozenTrial]:
        """Optuna's trials that have not ended, by the names of the sweep's."""
        states = (self.states.WAITING, self.states.RUNNING)
        trials = self.study.get_trials(deepcopy=False, states=states)
        named = [trial.user_attrs for trial in trials]
        names = [known.get("trial", known.get("unit", "")) for known in named]  # of srnn 0.2
        return dict(zip(names, trials, strict=True))

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
        problem = f"{path} is damaged, or no journal ({error}); delete it: no result depends on it."
        raise SrnnError(problem, "file", path) from error


def _open_database(address: str) -> Any:
    """Optuna's storage in a database."""
    optuna = import_optuna()
    # A plain database name selects today's driver, not the one that was the default ten years ago.
    if address.startswith(("postgresql://", "postgres://")):
        address = f"postgresql+psycopg://{address.partition('://')[2]}"
    try:
        return optuna.storages.get_storage(address)
    except ImportError as error:
        lacking = f"needs a driver ({error.__cause__ or error}): install it"
        advice = 'for PostgreSQL: pip install "srnn[postgres]"'
        problem = f"The storage {_shown(address)} {lacking}; {advice}."
        raise SrnnError(problem, "package", "storage") from error
    except Exception as error:  # SQLAlchemy's and the driver's errors, ValueError for an address
        if str(error):
            reason = str(error).splitlines()[0]
        else:
            reason = type(error).__name__
        problem = f"The storage {_shown(address)} cannot be used: {_shown(reason)}"
        raise SrnnError(problem, "resource", "storage") from error


def _shown(text: str) -> str:
    """An address, or a message about it, without its password, even one with an @ in it."""
    return re.sub("'[^']*@", "'***@", re.sub("(://[^:/]*):.*@", r"\1:***@", text, flags=re.DOTALL))
