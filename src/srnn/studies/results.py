"""The results of a sweep, for people and for programs.

results.csv    one row per training: point, settings, seed, state, metrics, run; text like a formula ("=1") gets an apostrophe
results.json   all of that, and each grid point's (in a search, each trial's) mean and spread over its seeds
results.md     these points as a table, best first (variants in the file's order), with what they cost; then what has no result
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
from .schema import Sweep, shipped_sweeps, short_names
from .summary import machine, spread
from .trials import METRICS, TrialStatus, minutes

_SPREAD = ("accuracy", "accuracy_labelled", "balanced_accuracy", "loss", "firing_rate")
_LOST = ("failed", "pruned")
"""States of a training that was begun and has no result."""


@locks("out", wait=600)  # many workers may end at the same time
def write_results(
    sweep: Sweep, status: Sequence[TrialStatus], out: Path, *, if_new: bool = False
) -> dict[str, Any]:
    """Write the results of all trials that have ended so far.

    Args:
        sweep: the sweep.
        status: from ``Trials.status``.
        out: the sweep's folder.
        if_new: leave the files alone if another worker has just written the same.

    Returns:
        The content of results.json.

    Raises:
        SrnnError: ``file``: the folder cannot be written.
    """
    rows = [row for one in status for row in _rows(one)]

    # Points with at least one finished training, best mean first; those that lost a training after
    # those that did not.
    by_point: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_point.setdefault(row["point"], []).append(row)
    points: list[dict[str, Any]] = []
    for name, own in by_point.items():
        done = [row for row in own if row["state"] == "done"]
        if not done:
            continue
        measured = [
            metric
            for metric in (*_SPREAD, "seconds")
            if all(row.get(metric) is not None for row in done)
        ]
        points.append(
            {
                "point": name,
                "variant": name.partition(",")[0] if sweep.variants else None,
                "settings": done[0]["settings"],
                "spiking": recipe_spikes(sweep.recipe_for(done[0]["settings"])),
                "seeds": [row["seed"] for row in done],
                "lost": [row["seed"] for row in own if row["state"] in _LOST],
                "recovered": [row["seed"] for row in done if row.get("restores")],
                "unhealthy": [row["seed"] for row in done if row.get("unhealthy")],
                "parameters": done[0]["parameters"],
                **{metric: spread([row[metric] for row in done]) for metric in measured},
            }
        )
    sign = -1 if sweep.maximise else 1
    points.sort(key=lambda point: (bool(point["lost"]), sign * point[sweep.optimise]["mean"]))
    content = {
        "name": sweep.name,
        "title": sweep.title,
        "split": "validation (which also chose each training's epoch)",
        "optimise": sweep.optimise,
        "maximise": sweep.maximise,
        "trials": dict(Counter(one.state for one in status)),
        "budget_minutes": sweep.budget_minutes,
        "minutes": minutes(status),
        "best": points[0]["point"] if points else None,
        "points": points,
        "trainings": rows,
        "recipe": sweep.recipe_for({}).to_dict(),
    }
    text = f"{json_text(content)}\n"
    written = out / "results.json"
    if if_new and written.is_file() and written.read_text() == text:
        return content
    if points:
        pictures = draw(sweep, points)
    else:
        pictures = {}
    trained_on = ""  # the machine of the first finished training whose folder is here
    for row in rows:
        path = out / "runs" / row["point"] / f"s{row['seed']}" / "environment.json"
        if not trained_on and row["state"] == "done" and path.is_file():
            with reading(path, "a run's environment"):
                trained_on = machine(read_object(path, "a run's environment"))
    page = _page(content, sweep, list(pictures), trained_on)

    metrics = [name for name in METRICS if any(name in row for row in rows)]
    first, last = ("point", *setting_names(sweep)), ("best_so_far", "run", "worker", "error")
    columns = [*first, "seed", "state", *metrics, *last]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writerow({column: spreadsheet(column) for column in columns})
    for row in rows:
        cells = {
            key: value if isinstance(value, (str, int, float)) else json.dumps(value)
            for key, value in row["settings"].items()
        }
        cells |= {key: value for key, value in row.items() if value is not None}
        writer.writerow({key: spreadsheet(value) for key, value in cells.items()})

    write_atomically(out / "results.csv", buffer.getvalue().encode())
    write_atomically(out / "results.md", page.encode())
    for name, picture in pictures.items():
        write_atomically(out / name, picture)
    write_atomically(written, text.encode())  # last: with it the results are complete
    return content


def _rows(one: TrialStatus) -> list[dict[str, Any]]:
    """A row for each training of a trial; also for those that were not begun, so that nothing is
    missing unnoticed."""
    rows = []
    for seed, training in one.trainings.items():
        done = "run" in training
        row = {
            "point": one.trial.point,
            "settings": one.settings,
            "seed": seed,
            "state": "done" if done else one.state,
            **training,
            "worker": one.worker,
            "error": None if done else one.error,
        }
        if "unhealthy" in training:
            row["unhealthy"] = "; ".join(training["unhealthy"])
        rows.append(row)
    return rows


def setting_names(sweep: Sweep) -> list[str]:
    """The settings that differ between points, in the file's order."""
    names = [key for settings in sweep.variants.values() for key in settings]
    return list(dict.fromkeys([*names, *sweep.parameters]))


# ---- the page ----


def _page(content: Mapping[str, Any], sweep: Sweep, pictures: Sequence[str], machine: str) -> str:
    points, rows, budget = content["points"], content["trainings"], content["budget_minutes"]
    states = Counter(row["state"] for row in rows)
    others_too = ""
    if "recipe" in setting_names(sweep):
        others_too = ", or the one that a point names"
    lines = [f"# {markdown(sweep.title)}", ""]
    if sweep.note:
        lines += [markdown(sweep.note), ""]
    lines += [
        f"Recipe {code(sweep.recipe)}{others_too}; mean ± sample standard deviation over seeds,",
        "on the validation split, which also chose each training's epoch. No number here is from",
        "the test split.",
    ]
    if _several_seeds(points):
        lines += [
            "Worst: the worst seed. Recovered: trainings that went back to a checkpoint.",
            "Unhealthy: trainings whose best epoch has silent or saturated layers, or exploded",
            "gradients.",
        ]
    lines += ["", *_points_table(points, sweep), ""]

    lost = [row for row in rows if row["state"] in _LOST]
    if lost:
        searched, metric = _searched(sweep), sweep.optimise
        best = f"best {metric.replace('_', ' ')}"
        head = ["point", *searched.values(), "seed", "state", best, "epochs", "minutes", "why"]
        cells = [
            [
                code(row["point"]),
                *(_setting(row["settings"].get(key)) for key in searched),
                str(row["seed"]),
                row["state"],
                _number(row.get("best_so_far"), metric),
                str(row.get("epochs", 0)),
                _minutes(row.get("seconds")),
                markdown(row["error"] or ""),
            ]
            for row in lost
        ]
        lines += ["Trainings without a result:", "", *markdown_table(head, cells), ""]
    others = [
        f"{count} {state}" for state, count in states.items() if state not in ("done", *_LOST)
    ]
    if others:
        lines += [f"Not finished: {', '.join(others)}.", ""]

    lines += [f"![{Path(name).stem}]({name})" for name in pictures]
    if pictures:
        lines += [""]
    if any("firing_rate" in point for point in points) and not all(
        point["spiking"] for point in points
    ):
        lines += [
            "The firing rate of analog neurons is the fraction of their outputs that are not 0.",
            "",
        ]

    if sweep.name in shipped_sweeps():
        file = sweep.name
    else:
        file = f"{sweep.name}.yaml"
    if budget is None:
        limit = ""
    else:
        limit = f" (budget: {budget:g})"
    lines += [
        f"Made by {code(f'srnn sweep {file}')}: {counted(states['done'], 'finished training')},",
        f"{content['minutes']:.1f} minutes of training in all{limit}. Each training is in "
        "[results.csv](results.csv), all",
        "numbers are in [results.json](results.json).",
    ]
    if machine:
        lines += [markdown(machine)]
    return "\n".join([*lines, ""])


def _points_table(points: Sequence[dict[str, Any]], sweep: Sweep) -> list[str]:
    searched = _searched(sweep)
    metrics = [metric for metric in _SPREAD if any(metric in point for point in points)]
    several = _several_seeds(points)
    head = ["point", *searched.values(), *(metric.replace("_", " ") for metric in metrics)]
    if several:
        head += ["worst", "recovered", "unhealthy"]
    head += ["parameters", "minutes", "seeds"]

    def row(point: dict[str, Any]) -> list[str]:
        cells = [code(point["point"]), *(_setting(point["settings"].get(key)) for key in searched)]
        for metric in metrics:
            measured = point.get(metric, {"mean": None, "std": None})
            cells.append(_number(measured["mean"], metric, measured["std"]))
        if several:
            worst = point[sweep.optimise]["min" if sweep.maximise else "max"]
            cells += [
                _number(worst, sweep.optimise),
                str(len(point["recovered"])),
                str(len(point["unhealthy"])),
            ]
        lost = ""
        if point["lost"]:
            lost = f" ({len(point['lost'])} lost)"
        seeds = ", ".join(map(str, point["seeds"])) + lost
        return [
            *cells,
            f"{point['parameters']:,}",
            _minutes(point.get("seconds", {}).get("mean")),
            seeds,
        ]

    order = list(sweep.variants)
    if order:
        listed = sorted(points, key=lambda point: order.index(point["variant"]))
    else:
        listed = points
    return markdown_table(head, map(row, listed))


def _searched(sweep: Sweep) -> dict[str, str]:
    """The settings of a search's points, which are not in their names: a column for each."""
    if not sweep.is_search:
        return {}
    return short_names(sweep.parameters)


def _several_seeds(points: Sequence[dict[str, Any]]) -> bool:
    return any(len(point["seeds"]) > 1 for point in points)


def _setting(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return code(value if isinstance(value, str) else json.dumps(value))


def _number(value: float | None, metric: str, std: float | None = None) -> str:
    if value is None:
        return "n/a"
    if "accuracy" in metric:
        scale, digits, unit = (100, 2, " %")
    else:
        scale, digits, unit = (1, 4, "")
    plus_minus = ""
    if std is not None:
        plus_minus = f" ± {scale * std:.{digits}f}"
    return f"{scale * value:.{digits}f}{plus_minus}{unit}"


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "n/a"
    return f"{seconds / 60:.1f}"
