"""A sweep of a tiny recipe, in a folder, and its trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from srnn.data.tasks import Task
from srnn.studies import Sweep, load_sweep
from srnn.studies.study import Study, open_study
from srnn.studies.trials import Trials
from srnn.studies.worker import Worker
from srnn.training.recipes import dump_recipe
from support.tiny import TinyTask, tiny_recipe

SWEEP = """
recipe: tiny.yaml
seeds: [0, 1]
variants:
  - a: {}
  - b: {network.surrogate: linear}
"""

BASE = "recipe: digits\nset: {network.backend: reference}\n"


def sweep_of(folder: Path, text: str, name: str = "mine") -> Sweep:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return load_sweep(str(path))


def sweep_in(folder: Path, text: str = SWEEP, *overrides: str) -> Sweep:
    (folder / "tiny.yaml").write_text(dump_recipe(tiny_recipe(*overrides)))
    (folder / "sweep.yaml").write_text(text)
    return load_sweep(str(folder / "sweep.yaml"))


def trials_in(sweep: Sweep, out: Path) -> Trials:
    """The trials of a sweep that has begun."""
    trials = Trials(sweep, out)
    trials.begin()
    return trials


def work(
    sweep: Sweep, out: Path, address: str | None = None, task: Task | None = None, **options: Any
) -> int:
    """One worker, from its beginning to its end: how many trials it has trained."""
    trials = trials_in(sweep, out)
    return Worker(trials, open_study(trials, address), task=task or TinyTask(), **options).work()


def close(study: Study) -> None:
    """Close a study in a database."""
    study.storage.remove_session()
    study.storage._backend.engine.dispose()


def states_of(trials: Trials) -> list[str]:
    return [status.state for status in trials.status()]
