"""The results of a sweep, for people and for programs.

results.csv    one row per training: point, settings, seed, state, metrics, run; text like a formula ("=1") gets an apostrophe
results.json   all of that, and each point's mean and spread over its seeds
results.md     the points as a table, best first (variants in the file's order)
*.svg          from plots.py: one per swept parameter, or one for the variants; a heat map for two parameters
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import locks, write_atomically
from ..text import code, markdown, markdown_table, spreadsheet
from .plots import draw
from .queue import UnitStatus
from .schema import Sweep

_METRICS = ("accuracy", "accuracy_labelled", "loss", "firing_rate", "parameters", "best_epoch", "epochs", "seconds")
_SPREAD = ("accuracy", "accuracy_labelled", "loss", "firing_rate")


@locks("out", wait=60)  # several 'srnn sweep' may end at the same moment
def write_results(sweep: Sweep, status: Sequence[UnitStatus], out: Path) -> dict[str, Any]:
    """Write the results of all units that have ended so far into ``out``; return the content of results.json.

    status: from ``Queue.status``. SrnnError when the folder cannot be written.
    """
    rows = _rows(sweep, status)
    points = _points(sweep, rows)
    counts: dict[str, int] = {}
    for unit in status:
        counts[unit.state] = counts.get(unit.state, 0) + 1
    content = {
        "name": sweep.name,
        "title": sweep.title,
        "split": "validation (which also chose each training's epoch)",
        "optimise": sweep.optimise,
        "maximise": sweep.maximise,
        "units": counts,
        "best": points[0]["point"] if points else None,
        "points": points,
        "trainings": rows,
        "recipe": sweep.recipe_for({}).to_dict(),
    }
    pictures = draw(sweep, points) if points else {}
    write_atomically(out / "results.csv", _csv(sweep, rows).encode())
    write_atomically(out / "results.json", (json.dumps(content) + "\n").encode())
    write_atomically(out / "results.md", _page(sweep, points, rows, list(pictures)).encode())
    for name, picture in pictures.items():
        write_atomically(out / name, picture)
    return content


def setting_names(sweep: Sweep) -> list[str]:
    """The settings that differ between points, in the file's order."""
    names = [key for settings in sweep.variants.values() for key in settings]
    return list(dict.fromkeys([*names, *sweep.parameters]))


def _rows(sweep: Sweep, status: Sequence[UnitStatus]) -> list[dict[str, Any]]:
    """One row per training; a unit without results also gets one row per seed, so that nothing is missing unnoticed."""
    rows = []
    for unit in status:
        for seed in unit.unit.seeds:
            result = unit.results.get(str(seed))
            rows.append({
                "point": unit.unit.point,
                "settings": unit.settings,
                "seed": seed,
                "state": "done" if result is not None else unit.state,
                **({name: result[name] for name in (*_METRICS, "run") if name in result} if result else {}),
                **({"best_so_far": unit.value} if result is None and unit.value is not None else {}),
                "worker": unit.worker,
                "error": unit.error,
            })  # fmt: skip
    return rows


def _points(sweep: Sweep, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points with at least one finished training, best mean first."""
    from .summary import spread

    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["state"] == "done":
            grouped.setdefault(row["point"], []).append(row)
    points = [
        {
            "point": name,
            "variant": name.partition(",")[0] if sweep.variants else None,
            "settings": done[0]["settings"],
            "seeds": [row["seed"] for row in done],
            "parameters": done[0]["parameters"],
            **{
                metric: spread([row[metric] for row in done])
                for metric in _SPREAD
                if all(row.get(metric) is not None for row in done)
            },
        }
        for name, done in grouped.items()
    ]
    return sorted(points, key=lambda point: point[sweep.optimise]["mean"], reverse=sweep.maximise)


def _csv(sweep: Sweep, rows: Sequence[dict[str, Any]]) -> str:
    settings = setting_names(sweep)
    metrics = [name for name in _METRICS if any(name in row for row in rows)]
    columns = ["point", *settings, "seed", "state", *metrics, "best_so_far", "run", "worker", "error"]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writerow({column: spreadsheet(column) for column in columns})
    for row in rows:
        given = {
            key: value if isinstance(value, (str, int, float)) else json.dumps(value)
            for key, value in row["settings"].items()
        }
        told = {**given, **{key: value for key, value in row.items() if value is not None}}
        writer.writerow({key: spreadsheet(value) for key, value in told.items()})
    return buffer.getvalue()


def _page(sweep: Sweep, points: list[dict[str, Any]], rows: list[dict[str, Any]], pictures: list[str]) -> str:
    from ..measure.analysis import recipe_spikes

    def cell(point: dict[str, Any], metric: str) -> str:
        statistics = point.get(metric)
        if statistics is None:
            return "n/a"
        scale, digits, unit = (100, 2, " %") if metric.startswith("accuracy") else (1, 4, "")
        plus_minus = f" ± {scale * statistics['std']:.{digits}f}" if statistics["std"] is not None else ""
        return f"{scale * statistics['mean']:.{digits}f}{plus_minus}{unit}"

    metrics = [metric for metric in _SPREAD if any(metric in point for point in points)]
    head = ["point", *(metric.replace("_", " ") for metric in metrics), "parameters", "seeds"]
    order = list(sweep.variants)
    listed = sorted(points, key=lambda point: order.index(point["variant"])) if order else points
    table = []
    for point in listed:
        seeds = ", ".join(map(str, point["seeds"]))
        table.append([code(point["point"]), *(cell(point, m) for m in metrics), f"{point['parameters']:,}", seeds])
    missing = [row for row in rows if row["state"] != "done"]
    counts = {
        state: sum(row["state"] == state for row in missing) for state in dict.fromkeys(r["state"] for r in missing)
    }
    analog = "firing_rate" in metrics and not all(recipe_spikes(sweep.recipe_for(p["settings"])) for p in points)
    lines = [
        f"# {markdown(sweep.title)}",
        "",
        *([markdown(sweep.note), ""] if sweep.note else []),
        f"Recipe {code(sweep.recipe)}; mean ± sample standard deviation over seeds, on the validation split, "
        "which also chose each",
        "training's epoch. No number here is from the test split.",
        "",
        *markdown_table(head, table),
        "",
        *([f"Without a result: {', '.join(f'{n} {state}' for state, n in counts.items())}.", ""] if missing else []),
        *(f"![{Path(name).stem}]({name})" for name in pictures),
        *([""] if pictures else []),
        *(["The firing rate of analog neurons is the fraction of their outputs that are not 0.", ""] if analog else []),
        f"Made by {code(f'srnn sweep {sweep.name}')}; every training in [results.csv](results.csv), all numbers in",
        "[results.json](results.json).",
        "",
    ]
    return "\n".join(lines)
