"""How well a network finds the heart's waves in whole records.

    python -m benchmarks.delineation --out results/delineation

Records are predicted as ``srnn predict`` does, and the borders of the beats that it reports are
compared with those that a cardiologist marked (QTDB's annotation q1c, some 30 beats of a record): a
border is found if one of the same kind is within 150 ms, each for one mark only, the nearest first.
Errors are found - marked. The beats of all of a record are compared with its reference beats (atr),
where it has these.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import srnn
from srnn.data.datasets.qtdb_records import RECORDS, records_folder
from srnn.deploy.predicting import Prediction
from srnn.files import wfdb_records
from srnn.measure.analysis.delineation import CSE_TOLERANCE_MS
from srnn.measure.heartbeats import Heart
from srnn.text import markdown_table

from .machine import describe

Times = npt.NDArray[np.float64]
TOLERANCE = 0.15
"""Seconds."""
BORDERS = {
    ("P", "onset"): "p_onset",
    ("P", "offset"): "p_end",
    ("QRS", "onset"): "qrs_onset",
    ("QRS", "offset"): "qrs_end",
    ("T", "offset"): "t_end",
}
"""Wave and border -> the field of a ``Beat``."""


WAVES = {"p": "P", "t": "T"} | dict.fromkeys(wfdb_records.BEATS, "QRS")
"""WFDB's symbol -> the wave."""


def waves_marked(path: Path, rate: float) -> dict[tuple[str, str], Times]:
    """The borders that a cardiologist marked, in seconds."""
    marks = wfdb_records.read_annotation(path, "q1c")
    samples, symbols = marks.sample.tolist(), ["", *map(str, marks.symbol), ""]
    found: dict[tuple[str, str], list[float]] = {border: [] for border in BORDERS}
    for place, symbol in enumerate(symbols[1:-1]):
        wave = WAVES.get(symbol, "")
        if (wave, "onset") in found and symbols[place] == "(":
            found[wave, "onset"].append(samples[place - 1] / rate)
        if (wave, "offset") in found and symbols[place + 2] == ")":
            found[wave, "offset"].append(samples[place + 1] / rate)
    return {border: np.array(times) for border, times in found.items()}


def beats_marked(path: Path, rate: float) -> Times | None:
    """All beats of a record; None where nobody marked them."""
    if not path.with_suffix(".atr").is_file():
        return None
    marks = wfdb_records.read_annotation(path, "atr")
    of_beats = [symbol in wfdb_records.BEATS for symbol in marks.symbol]
    return np.asarray(marks.sample)[of_beats] / rate


def found_in(heart: Heart, field: str) -> Times:
    return np.array([at for beat in heart.beats if (at := getattr(beat, field)) is not None])


def errors(marked: Times, found: Times) -> Times:
    """found - marked, in seconds, of the pairs within ``TOLERANCE``: one to one, the nearest first.
    Both ascend."""
    near = [
        (abs(found[j] - marked[i]), i, j)
        for i in range(len(marked))
        for j in range(*np.searchsorted(found, (marked[i] - TOLERANCE, marked[i] + TOLERANCE)))
    ]
    kept: dict[int, float] = {}
    taken = set()
    for _, i, j in sorted(near):
        if i not in kept and j not in taken:
            kept[i] = found[j] - marked[i]
            taken.add(j)
    return np.array(list(kept.values()))


def measure(network: str, names: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """A row for each record, and for each border in it or all of its beats."""
    model = srnn.load(network)
    rate = model.task.signal().rate or 1.0
    rows: list[dict[str, Any]] = []
    for name in names:
        prediction = model.predict(folder / f"{name}.hea")
        assert isinstance(prediction, Prediction) and prediction.heart is not None
        heart, known = prediction.heart, {"network": network, "record": name}
        for (wave, border), marked in waves_marked(folder / name, rate).items():
            told = 1000 * errors(marked, found_in(heart, BORDERS[wave, border]))
            one = {"wave": wave, "border": border, "marked": len(marked)}
            rows.append({**known, **one, "errors_ms": np.round(told, 1).tolist()})
        if (beats := beats_marked(folder / name, rate)) is not None:
            found = found_in(heart, "r")
            one = {"wave": "beats", "marked": len(beats), "found": len(found)}
            rows.append({**known, **one, "right": len(errors(beats, found))})
        print(f"{network} {name}: {heart.headline()}", flush=True)
    return rows


def summary(rows: Sequence[dict[str, Any]], wave: str, border: str) -> list[str]:
    """The cells of a border, over all records."""
    own = [row for row in rows if row["wave"] == wave and row.get("border") == border]
    told = np.concatenate([row["errors_ms"] for row in own])
    within = [np.std(row["errors_ms"], ddof=1) for row in own if len(row["errors_ms"]) > 1]
    marked = sum(row["marked"] for row in own)
    return [
        f"{wave} {border}",
        f"{marked:,}",
        f"{len(told) / marked:.1%}",
        f"{told.mean():+.1f}",
        f"{told.std(ddof=1):.1f}",
        f"{np.mean(within):.1f}",
        f"{CSE_TOLERANCE_MS[wave, border]:g}",  # type: ignore[index]
    ]


LEAD = """The waves that `srnn predict` finds in {records} validation records of QTDB, beside a
cardiologist's marks (q1c). A border is found if one of its kind is within 150 ms; errors are found -
marked, so late is positive. Experts: two standard deviations between them (CSE Working Party, 1985;
published), with which an algorithm's standard deviation is compared. These records chose the epoch and
the seed of the networks, so the numbers are slightly optimistic."""
BEATS = """Of the {marked:,} beats of all of {records} records that have reference beats (atr), {found:.2%} were
found; of the {reported:,} beats that were found, {right:.2%} are beats."""
HEAD = (
    "border",
    "marked",
    "sensitivity",
    "mean error, ms",
    "sd, ms",
    "sd within a record, ms",
    "experts, ms",
)


def page(lines: Sequence[dict[str, Any]]) -> str:
    """README.md, of the lines of the JSON file."""
    about, *rows = lines
    text = LEAD.format(records=about["records"])
    told = ["# Delineation of whole records", "", text]
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        beats = [row for row in own if row["wave"] == "beats"]
        counts = {name: sum(row[name] for row in beats) for name in ("marked", "found", "right")}
        table = markdown_table(HEAD, [summary(own, *border) for border in BORDERS])
        text = BEATS.format(
            marked=counts["marked"],
            records=len(beats),
            found=counts["right"] / counts["marked"],
            reported=counts["found"],
            right=counts["right"] / counts["found"],
        )
        told += ["", f"## {network}", "", *table, "", text]
    made = f"Made by `{about['command']}` (commit {about['machine']['commit']});"
    return "\n".join(
        [*told, "", made, "each record's errors are in [delineation.jsonl](delineation.jsonl).", ""]
    )


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["ecg-records", "ecg-records-large"])
    arguments = parser.parse_args(words)
    names = RECORDS["validation"]
    folder = records_folder()
    rows = [row for network in arguments.networks for row in measure(network, names, folder)]
    command = f"python -m benchmarks.delineation --out {arguments.out}"
    about = {"command": command, "machine": describe(), "records": len(names)}
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines = [about, *rows]
    text = "\n".join(map(json.dumps, lines))
    (arguments.out / "delineation.jsonl").write_text(text + "\n")
    (arguments.out / "README.md").write_text(page(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
