"""One worker of a sweep: take a trial that nobody trains, train it, go on until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data.tasks import Task
from ..errors import SrnnError, lacks_memory
from ..files import FolderInUse
from ..progress import Reporter
from .schema import Trial
from .study import Study
from .trials import Trials

POLL = 2.0
"""Seconds between two looks while other workers have all that is left."""


class _Pruned(Exception):
    """The trial does worse than others did at the same epoch."""


class Worker(Reporter):
    """A worker, which follows its trainings as their reporter.

    Args:
        trials: the sweep in its folder.
        study: from ``open_study``.
        data_dir: where training data are.
        task: the task itself, if a recipe cannot name it.
        tick: called often, at least after every batch.
    """

    _trial: Trial
    """That it trains now."""

    def __init__(
        self,
        trials: Trials,
        study: Study | None = None,
        *,
        data_dir: Path | None = None,
        task: Task | None = None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.trials, self.study, self.tick = trials, study, tick
        self.data_dir, self.task = data_dir, task

    def work(self) -> int:
        """Work until the whole sweep has ended, here or elsewhere. Returns how many trials it
        trained.

        A trial whose training ends with an SrnnError, or lacks memory, has failed; the next is
        begun.
        """
        trained = 0
        while left := self.trials.left():
            waiting = [one.trial for one in left if one.state == "waiting"]
            if any(self._take(trial) for trial in waiting):  # the first that can be had
                trained += 1
            else:
                time.sleep(POLL)
            self.tick()
        return trained

    def _take(self, trial: Trial) -> bool:
        """Train a trial; False if it is another worker's by now."""
        try:
            with self.trials.hold(trial) as ours:
                if ours:
                    self._train(trial)
                return ours
        except FolderInUse:
            return False

    def _train(self, trial: Trial) -> None:
        from ..training.loop import train

        settings = self.trials.of(trial).settings
        if self.study is not None:
            settings = self.study.begin(self.trials.of(trial))
            self.trials.note(trial, settings=settings)
        self._trial = trial
        try:
            recipe = self.trials.sweep.recipe_for(settings)
            for seed in trial.seeds:
                run = self.trials.run(trial, seed)
                if (run / "result.json").is_file():
                    continue
                train(
                    recipe,
                    run,
                    seed=seed,
                    resume=True,
                    data_dir=self.data_dir,
                    task=self.task,
                    reporter=self,
                    examples=False,
                )
        except _Pruned:
            self.trials.note(trial, ended="pruned")
        except FolderInUse:  # somebody trains one of a search's seeds by hand
            raise
        except Exception as error:
            if lacks_memory(error):
                error = SrnnError("there is not enough memory for it", "resource")
            if not isinstance(error, SrnnError):
                raise
            self.trials.note(trial, ended="failed", error=str(error))
        if self.study is not None:
            self.study.end(self.trials.of(trial))

    def phase(self, text: str) -> None:
        self.tick()

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        """After each batch.

        Args:
            done_steps: of the training.
            numbers: of the batch.
        """
        self.tick()

    def epoch(self, record: dict[str, Any]) -> None:
        self.tick()
        study = self.study
        if study is not None and study.should_prune(self.trials.of(self._trial)):
            raise _Pruned
