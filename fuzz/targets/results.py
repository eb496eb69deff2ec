"""What lies in a folder of results: summaries, sweeps, curves, and a list of published networks."""

from __future__ import annotations

import json
from pathlib import Path

from ..target import Target, write
from .shared import CUT, each, parts, recipe

FILES = ("summary.json", "results.json", "curves.json", "published.json")


def read_results(data: bytes, folder: Path) -> None:
    from paper.curves import read_curves
    from paper.evidence import gather, read_sweep
    from paper.make import MAKERS

    results = folder / "results" / "one"
    results.mkdir(parents=True)
    for name, content in zip(FILES, parts(data, len(FILES)), strict=True):
        if content:
            write(results if FILES.index(name) < 3 else results.parent, name, content)

    def tables() -> None:
        evidence = gather(results.parent, data_dir=folder)
        for name in ("table1", "table2", "tableS2"):
            MAKERS[name](evidence)

    each(tables, lambda: read_curves(read_sweep(results)))


def results_seeds() -> dict[str, bytes]:
    spread = {"mean": 0.5, "std": 0.1, "min": 0.4, "max": 0.6, "values": [0.4, 0.6]}
    described = {"title": "t", "split": "validation", "recipe": recipe().to_dict(), "parameters": 9}
    measured = {"accuracy": spread, "firing_rate": spread}
    summary = {**described, **measured, "command": "srnn train digits --seed SEED", "seeds": [0, 1]}
    point = {"point": "a", "variant": "a", "settings": {"network.surrogate": "linear"}, "seeds": [0, 1], "parameters": 9,
             "spiking": True, "loss": spread, **measured}  # fmt: skip
    training = {"point": "a", "seed": 0, "state": "done", "run": "runs/a", "error": None}
    sweep = {**described, "name": "s", "points": [point], "trainings": [training]}
    curves = {
        "split": "train",
        "points": {"a": [{"seed": 0, "accuracy": [0.5], "loss": [1], "firing_rate": [0.1]}]},
    }
    published = {"published": "ecg", "command": "c", "task": "ecg", "split": "test", "data": "d", "comparable": True,
                 "seeds": [0], "accuracy": [0.8]}  # fmt: skip
    contents = (summary, sweep, curves, [published])
    return {"all": CUT.join(json.dumps(content).encode() for content in contents)}


TARGETS = (
    Target("results", read_results, results_seeds, largest=8192,
           words=("null", "1e999", "NaN", "[[[[", '"a":{', "seeds", "points", "values", "network.", "\n%%%\n")),
)  # fmt: skip
