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
        self.units, self.study, self.data_dir, self.task, self.tick = units, study, data_dir, task, tick

    def work(self) -> int:
        """Work until the whole sweep has ended, here or elsewhere. Returns how many units this worker has trained.

        A unit whose training ends with an SrnnError, or lacks memory, counts as failed, and the next one is begun.
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
                if not (run / "result.json").is_file():
                    options: dict[str, Any] = {"data_dir": self.data_dir, "task": self.task, "examples": False}
                    train(recipe, run, seed=seed, resume=True, reporter=self, **options)
        except _Pruned:
            self.units.note(unit, ended="pruned")
        except FolderInUse:  # somebody trains one of a search's seeds by hand
            raise
        except Exception as error:
            if not isinstance(error, SrnnError) and not lacks_memory(error):
                raise
            reason = str(error) if isinstance(error, SrnnError) else "there is not enough memory for it"
            self.units.note(unit, ended="failed", error=reason)
        if self.study is not None:
            self.study.end(self.units.of(unit))

    def phase(self, text: str) -> None:
        self.tick()

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        self.tick()

    def epoch(self, record: dict[str, Any]) -> None:
        self.tick()
        if self.study is not None and self.study.should_prune(self.units.of(self._unit)):
            raise _Pruned
