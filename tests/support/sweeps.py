"""A sweep of a tiny recipe, in a folder, and its queue of trainings."""

from __future__ import annotations

from pathlib import Path

from srnn.studies import Sweep, load_sweep
from srnn.studies.queue import Queue
from srnn.studies.storage import open_storage
from srnn.training.recipes import dump_recipe
from support.tiny import tiny_recipe

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


def queue_in(sweep: Sweep, out: Path, patience: float = 60.0) -> Queue:
    return Queue(sweep, open_storage(None, out), patience)


def states_of(queue: Queue) -> list[str]:
    return [status.state for status in queue.status()]
