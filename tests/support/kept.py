"""Trained runs that lie in tests/fixtures/trained, for tests that need one and do not train it.

``python tests/fixtures/make_runs.py`` makes them anew.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from srnn.data.tasks import Task
from srnn.training.recipes import Recipe, load_recipe
from support.tiny import TinyTask, tiny_recipe

KEPT_RUNS = Path(__file__).parents[1] / "fixtures" / "trained"
QUICK_DIGITS = ("--training.epochs=2", "--network.hidden=[8,8]", "--network.backend=reference")
"""Options of ``srnn train digits`` that make its run, given few digits."""
SEEDS = {"digits": 3, "tables": 0, "tiny": 0}

WORDS = {
    "digits": QUICK_DIGITS,
    "tables": ("--training.epochs=14", "--training.dropout=0", "--training.augment.mix=0",
               "--training.refit=false", "--network.hidden=[8]", "--network.backend=reference"),
    "tiny": ("--network.hidden=[8, 6]", "--training.epochs=2"),
}  # fmt: skip
"""Of each run, what its recipe overrides."""


def recipe_of(name: str) -> Recipe:
    """What a run was trained by; that of "tables" reads them in the current folder."""
    if name == "tiny":
        return tiny_recipe(*WORDS[name])
    return load_recipe({"tables": "data"}.get(name, name), WORDS[name])


def task_of(name: str) -> Task | None:
    """The task itself, where a recipe cannot name it."""
    return TinyTask() if name == "tiny" else None


def copy_of(name: str, folder: Path) -> Path:
    """A copy of a run, which a test may change."""
    return Path(shutil.copytree(KEPT_RUNS / name, folder))


def write_tables(folder: Path) -> None:
    """What "tables" has learnt: tables in folders of their class."""
    rng = np.random.default_rng(0)
    for number in range(30):
        kind = ("still", "shaken", "turned")[number % 3]
        x = rng.normal([0.1, 9.81, 20.0], [0.2 + 3 * (kind == "shaken"), 0.3, 2.0], (40, 3))
        x[:, 1] -= 15 * (kind == "turned")
        times = np.arange(40) * 0.02
        table = [
            "time,ax (m/s2),acc_y,temp",
            *(f"{t:.2f},{a:.9g},{b:.9g},{c:.9g}" for t, (a, b, c) in zip(times, x, strict=True)),
        ]
        path = folder / kind / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(table))
