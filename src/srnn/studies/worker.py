"""One worker of a sweep: take a unit that nobody trains, train it, go on until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data.tasks import Task
from ..errors import SrnnError, lacks_memory
from ..files import FolderInUse
from ..progress import Reporter
from .schema import Unit
from .study import Study
from .units import Units

POLL = 2.0
"""Seconds between two looks while other workers have all that is left."""


class _Pruned(Exception):
    """The unit does worse than others did at the same epoch."""


class Worker(Reporter):
    """A worker, which follows its trainings as their reporter.

    Args:
        study: from ``open_study``.
        task: the task itself, if a recipe cannot name it.
        tick: called often, at least after every batch.
    """

    _unit: Unit
    """That it trains now."""

    def __init__(
        self,
        units: Units,
        study: Study | None = None,
        *,
        data_dir: Path | None = None,
        task: Task | None = None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.units, self.study, self.tick = units, study, tick
        self.data_dir, self.task = data_dir, task

    def work(self) -> int:
        """Work until the whole sweep has ended, here or elsewhere. Returns how many units it
        trained.

        A unit whose training ends with an SrnnError, or lacks memory, has failed; the next is
        begun.
        """
        trained = 0
        while left := self.units.left():
            waiting = [one.unit for one in left if one.state == "waiting"]
            if any(self._take(unit) for unit in waiting):  # the first that can be had
                trained += 1
            else:
                time.sleep(POLL)
            self.tick()
        return trained

    def _take(self, unit: Unit) -> bool:
        """Train a unit; False if it is another worker's by now."""
        try:
            with self.units.hold(unit) as ours:
                if ours:
                    self._train(unit)
                return ours
        except FolderInUse:
            return False

    def _train(self, unit: Unit) -> None:
        from ..training.loop import train

        settings = self.units.of(unit).settings
        if self.study is not None:
            settings = self.study.begin(self.units.of(unit))
            self.units.note(unit, settings=settings)
        self._unit = unit
        try:
            recipe = self.units.sweep.recipe_for(settings)
            for seed in unit.seeds:
                run = self.units.run(unit, seed)
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
            self.units.note(unit, ended="pruned")
        except FolderInUse:  # somebody trains one of a search's seeds by hand
            raise
        except Exception as error:
            if lacks_memory(error):
                error = SrnnError("there is not enough memory for it")
            if not isinstance(error, SrnnError):
                raise
            self.units.note(unit, ended="failed", error=str(error))
        if self.study is not None:
            self.study.end(self.units.of(unit))

    def phase(self, text: str) -> None:
        self.tick()

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        self.tick()

    def epoch(self, record: dict[str, Any]) -> None:
        self.tick()
        study = self.study
        if study is not None and study.should_prune(self.units.of(self._unit)):
            raise _Pruned
