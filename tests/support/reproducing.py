"""Summaries, sweeps and evaluations as our commands write them, for the tests of the paper's tables
and figures."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from paper.evidence import gather
from paper.make import MAKERS, reproduce
from paper.sheet import Panel, Sheet
from paper.table import Table
from srnn.studies.summary import spread
from srnn.training.recipes import Recipe, load_recipe

ACCURACIES = [0.80, 0.81, 0.82]


@cache
def shipped(name: str) -> Recipe:
    """Reading a recipe takes a tenth of a second."""
    return load_recipe(name)


def write_summary(folder: Path, name: str = "paper/ecg-code", **changes: Any) -> Path:
    """A summary as srnn report writes it."""
    content = {
        "title": "t", "command": "c", "split": "validation (which also chose the "
                                               "epoch)", "seeds": [0, 1, 2],
        "accuracy": spread(ACCURACIES), "firing_rate": spread([0.3, 0.3, 0.3]), "parameters": 1746,
        "recipe": shipped(name).to_dict(), **changes,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(content))
    return folder


def write_sweep(folder: Path, points: dict[str, dict[str, Any]], **changes: Any) -> Path:
    """A sweep's results; points: name -> settings."""
    content = {
        "name": folder.name, "title": "a sweep", "split": "validation", "trainings": [],
        "recipe": load_recipe("paper/ecg-code").to_dict(),
        "points": [
            {
                "point": name, "variant": None, "settings": given, "parameters": 100 * i, "seeds": [0, 1],
                "spiking": "relu" not in json.dumps(given),
                "accuracy": spread([0.5 + i / 100, 0.6]), "loss": spread([1.0, 2.0]), "firing_rate": spread([0.1, 0.1 + i / 100]),
            }
            for i, (name, given) in enumerate(points.items(), 1)
        ],
        **changes,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def evaluation(**changes: Any) -> str:
    content = {
        "accuracy": 0.8,
        "split": "validation",
        "seed": 3,
        "activity": {
            "sequences": 4,
            "steps": 400,
            "layers": [{"rates": [0.1, 0.2]}, {"rates": [0.7]}],
        },
        "anytime": {"accuracy": [None, 0.2, 0.8], "step_ms": 4.0},
        **changes,
    }
    return json.dumps(content)


def time_constants(**changes: Any) -> list[dict[str, Any]]:
    """Those of a layer of three, as srnn evaluate --full has them: membranes of tens of steps,
    adaptation of hundreds."""
    found = []
    for name, start in (("layers.0.tau_mem", 10.0), ("layers.0.tau_adp", 200.0)):
        initial = {"values": [start, start, 2 * start]}
        now = {"values": [start / 2, start, None]}
        found.append(
            {
                "name": name,
                "trained": True,
                "step_ms": 1.0,
                "rms_change": 1.0,
                "now": now,
                "initial": initial,
                **changes,
            }
        )
    return found


def table(name: str, results: Path, tmp_path: Path) -> Table:
    made = reproduce([name], tmp_path / "out", results)[name]
    assert isinstance(made, Table)
    return made


def figure(
    name: str, results: Path, runs: tuple[Path, ...] = (), data_dir: Path | None = None
) -> Sheet:
    """The figure, drawn but not rendered: that takes most of the time."""
    made = MAKERS[name](gather(results, runs, data_dir))
    assert isinstance(made, Sheet)
    return made


def panel(sheet: Sheet, letter: str) -> Panel:
    """What became of a panel."""
    return next(one for one in sheet.panels if one.letter == letter)
