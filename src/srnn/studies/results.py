"""The results of a sweep, for people and for programs.

results.csv    one row per training: point, settings, seed, state, metrics, run; text like a formula ("=1") gets an apostrophe
results.json   all of that, and each point's mean and spread over its seeds
results.md     the points as a table, best first (variants in the file's order), with what they cost; then what has no result
*.svg          from plots.py: one per swept parameter, or one for the variants; a heat map for two parameters
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import locks, read_object, reading, write_atomically
from ..measure.analysis import recipe_spikes
from ..text import code, counted, json_text, markdown, markdown_table, spreadsheet
from .plots import draw
from .queue import UnitStatus, minutes
from .schema import Sweep, shipped_sweeps, short_names
from .summary import machine, spread

METRICS = (
    "accuracy", "accuracy_labelled", "balanced_accuracy", "loss", "firing_rate", "parameters", "best_epoch", "epochs", "seconds",
    "restores", "sick",
)  # fmt: skip
"""What a sweep keeps of a training's result; restores and sick only where training had to go back, or its best epoch is sick."""
_SPREAD = ("accuracy", "accuracy_labelled", "balanced_accuracy", "loss", "firing_rate")
_LOST = ("failed", "pruned")
"""States of a training that was begun and has no result."""


@locks("out", wait=60)  # several 'srnn sweep' may end at the same time
def write_results(sweep: Sweep, status: Sequence[UnitStatus], out: Path) -> dict[str, Any]:
    """Write the results of all units that have ended so far into ``out``; return the content of results.json.

    status: from ``Queue.status``. SrnnError when the folder cannot be written.
    """
    rows = _rows(status)
    points = _points(sweep, rows)
    counts = dict(Counter(unit.state for unit in status))
    content = {
        "name": sweep.name,
        "title": sweep.title,
        "split": "validation (which also chose each training's epoch)",
        "optimise": sweep.optimise,
        "maximise": sweep.maximise,
        "units": counts,
        "budget_minutes": sweep.budget_minutes,
        "minutes": minutes(status),
        "best": points[0]["point"] if points else None,
        "points": points,
        "trainings": rows,
        "recipe": sweep.recipe_for({}).to_dict(),
    }
    pictures = draw(sweep, points) if points else {}
    write_atomically(out / "results.csv", _csv(sweep, rows).encode())
    write_atomically(out / "results.json", (json_text(content) + "\n").encode())
    write_atomically(out / "results.md", _page(content, sweep, list(pictures), _machine(rows, out)).encode())
    for name, picture in pictures.items():
        write_atomically(out / name, picture)
    return content


def setting_names(sweep: Sweep) -> list[str]:
    """The settings that differ between points, in the file's order."""
    names = [key for settings in sweep.variants.values() for key in settings]
    return list(dict.fromkeys([*names, *sweep.parameters]))


def _rows(status: Sequence[UnitStatus]) -> list[dict[str, Any]]:
    """One row per training; a unit without results also gets one row per seed, so that nothing is missing unnoticed."""
    rows = []
    for unit in status:
        done = list(unit.results.values())
        # What the unit took besides its finished trainings went into the first unfinished one; the others were not begun.
        begun = {
            **({"best_so_far": unit.value} if unit.value is not None else {}),
            "epochs": unit.epochs - sum(int(result.get("epochs", 0)) for result in done),
            **({"seconds": unit.seconds - sum(result.get("seconds", 0.0) for result in done)} if unit.seconds else {}),
        }
        for seed in unit.unit.seeds:
            result = unit.results.get(str(seed))
            if result is not None:
                numbers = {name: result[name] for name in (*METRICS, "run") if name in result}
                numbers |= {"sick": "; ".join(result["sick"])} if "sick" in result else {}
            else:
                numbers, begun = begun, {}
            rows.append({
                "point": unit.unit.point,
                "settings": unit.settings,
                "seed": seed,
                "state": "done" if result is not None else unit.state,
                **numbers,
                "worker": unit.worker,
                "error": unit.error if result is None else None,
            })  # fmt: skip
    return rows


def _points(sweep: Sweep, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points with at least one finished training, best mean first; those that lost a training after those that did not."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    lost: dict[str, list[int]] = {}
    for row in rows:
        if row["state"] == "done":
            grouped.setdefault(row["point"], []).append(row)
        elif row["state"] in _LOST:
            lost.setdefault(row["point"], []).append(row["seed"])
    points = [
        {
            "point": name,
            "variant": name.partition(",")[0] if sweep.variants else None,
            "settings": done[0]["settings"],
            "spiking": recipe_spikes(sweep.recipe_for(done[0]["settings"])),
            "seeds": [row["seed"] for row in done],
            "lost": lost.get(name, []),
            "mended": [row["seed"] for row in done if row.get("restores")],
            "sick": [row["seed"] for row in done if row.get("sick")],
            "parameters": done[0]["parameters"],
            **{
                metric: spread([row[metric] for row in done])
                for metric in (*_SPREAD, "seconds")
                if all(row.get(metric) is not None for row in done)
            },
        }
        for name, done in grouped.items()
    ]
    sign = -1 if sweep.maximise else 1
    return sorted(points, key=lambda point: (bool(point["lost"]), sign * point[sweep.optimise]["mean"]))


def _csv(sweep: Sweep, rows: Sequence[dict[str, Any]]) -> str:
    settings = setting_names(sweep)
    metrics = [name for name in METRICS if any(name in row for row in rows)]
    columns = ["point", *settings, "seed", "state", *metrics, "best_so_far", "run", "worker", "error"]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writerow({column: spreadsheet(column) for column in columns})
    for row in rows:
        own = {
            key: value if isinstance(value, (str, int, float)) else json.dumps(value)
            for key, value in row["settings"].items()
        }
        told = {**own, **{key: value for key, value in row.items() if value is not None}}
        writer.writerow({key: spreadsheet(value) for key, value in told.items()})
    return buffer.getvalue()


def _machine(rows: Sequence[dict[str, Any]], out: Path) -> str:
    """Where the first finished training that lies here was trained; "" where all were trained elsewhere."""
    for row in rows:
        path = out / "runs" / row["point"] / f"s{row['seed']}" / "environment.json"
        if row["state"] == "done" and path.is_file():
            with reading(path, "a run's environment"):
                return machine(read_object(path, "a run's environment"))
    return ""


def _setting(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return code(value if isinstance(value, str) else json.dumps(value))


def _number(value: float | None, metric: str, std: float | None = None) -> str:
    if value is None:
        return "n/a"
    scale, digits, unit = (100, 2, " %") if "accuracy" in metric else (1, 4, "")
    plus_minus = f" ± {scale * std:.{digits}f}" if std is not None else ""
    return f"{scale * value:.{digits}f}{plus_minus}{unit}"


def _minutes(seconds: float | None) -> str:
    return "n/a" if seconds is None else f"{seconds / 60:.1f}"


def _page(content: Mapping[str, Any], sweep: Sweep, pictures: Sequence[str], machine: str) -> str:
    points, rows, budget = content["points"], content["trainings"], content["budget_minutes"]

    def cell(point: dict[str, Any], metric: str) -> str:
        measured = point.get(metric)
        return _number(None, metric) if measured is None else _number(measured["mean"], metric, measured["std"])

    def chosen(settings: Mapping[str, Any]) -> list[str]:
        """The settings of a search's point, which its name does not say."""
        return [_setting(settings.get(key)) for key in searched]

    def health(point: dict[str, Any]) -> list[str]:
        worst = point[sweep.optimise]["min" if sweep.maximise else "max"]
        return [_number(worst, sweep.optimise), *(str(len(point[what])) for what in ("mended", "sick"))]

    searched = short_names(sweep.parameters) if sweep.is_search else {}
    metrics = [metric for metric in _SPREAD if any(metric in point for point in points)]
    others_too = ", or the one that a point names" if "recipe" in setting_names(sweep) else ""
    several = any(len(point["seeds"]) > 1 for point in points)
    head = ["point", *searched.values(), *(metric.replace("_", " ") for metric in metrics),
            *(("worst", "mended", "sick") if several else ()), "parameters", "minutes", "seeds"]  # fmt: skip
    order = list(sweep.variants)
    listed = sorted(points, key=lambda point: order.index(point["variant"])) if order else points
    table = []
    for point in listed:
        seeds = ", ".join(map(str, point["seeds"])) + (f" ({len(point['lost'])} lost)" if point["lost"] else "")
        table.append([
            code(point["point"]), *chosen(point["settings"]), *(cell(point, m) for m in metrics),
            *(health(point) if several else ()),
            f"{point['parameters']:,}", _minutes(point["seconds"]["mean"] if "seconds" in point else None), seeds,
        ])  # fmt: skip
    lost = [
        [
            code(row["point"]), *chosen(row["settings"]), str(row["seed"]), row["state"],
            _number(row.get("best_so_far"), sweep.optimise), str(row.get("epochs", 0)), _minutes(row.get("seconds")),
            markdown(row["error"] or ""),
        ]
        for row in rows
        if row["state"] in _LOST
    ]  # fmt: skip
    lost_head = ["point", *searched.values(), "seed", "state", f"best {sweep.optimise.replace('_', ' ')}", "epochs",
                 "minutes", "why"]  # fmt: skip
    others = Counter(row["state"] for row in rows if row["state"] not in ("done", *_LOST))
    analog = "firing_rate" in metrics and not all(point["spiking"] for point in points)
    done = sum(row["state"] == "done" for row in rows)
    finished = counted(done, "finished training")
    file = sweep.name if sweep.name in shipped_sweeps() else f"{sweep.name}.yaml"
    limit = "" if budget is None else f" (budget: {budget:g})"
    lines = [
        f"# {markdown(sweep.title)}",
        "",
        *([markdown(sweep.note), ""] if sweep.note else []),
        f"Recipe {code(sweep.recipe)}{others_too}; mean ± sample standard deviation over seeds, on the validation split, "
        "which also chose each",
        "training's epoch. No number here is from the test split.",
        *(
            [
                "Worst: the worst seed. Mended: trainings that went back to a checkpoint. Sick: trainings whose best epoch has",
                "silent or saturated layers, or exploded gradients.",
            ]
            if several
            else []
        ),
        "",
        *markdown_table(head, table),
        "",
        *(["Trainings without a result:", "", *markdown_table(lost_head, lost), ""] if lost else []),
        *([f"Not finished: {', '.join(f'{count} {state}' for state, count in others.items())}.", ""] if others else []),
        *(f"![{Path(name).stem}]({name})" for name in pictures),
        *([""] if pictures else []),
        *(["The firing rate of analog neurons is the fraction of their outputs that are not 0.", ""] if analog else []),
        f"Made by {code(f'srnn sweep {file}')}: {finished},",
        f"{content['minutes']:.1f} minutes of training in all{limit}. Each training is in [results.csv](results.csv), all",
        "numbers are in [results.json](results.json).",
        *([markdown(machine)] if machine else []),
        "",
    ]
    return "\n".join(lines)
