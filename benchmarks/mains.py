"""What hum of the mains does to the heart rate and the labels of an ECG.

    python -m benchmarks.mains --out results/mains
    python -m benchmarks.mains --out results/mains --networks "before=OLD.safetensors" after=ecg-records

Hum is added to records of QTDB for training and validation. Of each that has reference beats (atr),
twelve stretches of ten seconds are predicted as by ``srnn predict``, and their heart rates compared
with those of the reference beats: both are 60 seconds by the median interval. Labels are compared
where a cardiologist annotated (q1c), after 40 seconds of the record before.

Hum is a wave of 50 or 60 Hz, of another phase in each lead, with a tenth of its third harmonic, as it
lies when sampled at 250 Hz; its frequency wanders by half a Hz. "Noise and tilt" are white noise of
10 uV, a slope of up to .1 mV a second, and .1 mV of breathing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import srnn
from srnn.data.datasets.base import SplitName
from srnn.data.datasets.qtdb_records import (
    RECORDS,
    annotated_stretches,
    read_record,
    records_folder,
)
from srnn.data.recordings import Recording
from srnn.deploy.predicting import Prediction
from srnn.measure.heartbeats import Heart
from srnn.text import markdown_table

from .delineation import beats_marked
from .machine import describe

Array = npt.NDArray[np.float64]
RATE = 250
SECONDS = 10
STRETCHES = 12
BEFORE = 40
"""Seconds of a record before what is annotated."""
OFF = 5.0
"""Beats a minute by which a rate may differ."""
SPLITS: tuple[SplitName, ...] = ("validation", "train")


class Condition(NamedTuple):
    hz: int
    mv: float
    more: bool = False
    """Noise and tilt, too."""

    def of(self, signal: Array, *key: int) -> Array:
        """The signal (T, leads), in mV, in this condition; the ``key`` decides the phases."""
        rng = np.random.default_rng([self.hz, round(1000 * self.mv), *key])
        t = np.arange(len(signal)) / RATE
        wander = 0.5 * np.sin(2 * np.pi * t / rng.uniform(5, 20) + rng.uniform(0, 2 * np.pi))
        phase = 2 * np.pi * np.cumsum(self.hz + wander)[:, None] / RATE
        first, third = rng.uniform(0, 2 * np.pi, (2, signal.shape[1]))
        changed = signal + self.mv * (np.sin(phase + first) + 0.1 * np.sin(3 * phase + third))
        if self.more:
            changed += rng.uniform(-0.1, 0.1, signal.shape[1]) * t[:, None]
            changed += 0.1 * np.sin(2 * np.pi * 0.3 * t + rng.uniform(0, 2 * np.pi))[:, None]
            changed += rng.normal(0, 0.01, signal.shape)
        return changed

    def __str__(self) -> str:
        told = f"{self.mv:g} mV of {self.hz} Hz" if self.mv else "no hum"
        return told + (", noise and tilt" if self.more else "")


CONDITIONS = (
    Condition(50, 0),
    *(Condition(hz, mv) for hz in (50, 60) for mv in (0.02, 0.05, 0.1, 0.2)),
    Condition(50, 0, True),
    Condition(50, 0.1, True),
    Condition(60, 0.1, True),
)


class Stretch(NamedTuple):
    signal: Array
    leads: tuple[str, ...]
    rate: float
    """Of the reference beats."""


def stretches(split: SplitName, folder: Path) -> Iterator[Stretch]:
    for name in RECORDS[split]:
        beats = beats_marked(folder / name, RATE)
        if beats is None:
            continue
        record = read_record(folder, name)
        last = len(record.signal) / RATE - SECONDS - 10
        for start in np.linspace(10, last, STRETCHES):
            own = beats[(beats >= start) & (beats < start + SECONDS)]
            if len(own) > 3:
                at = int(start * RATE)
                part = record.signal[at : at + SECONDS * RATE]
                yield Stretch(part, record.leads, 60 / float(np.median(np.diff(own))))


def predicted(model: srnn.Model, signal: Array, leads: tuple[str, ...]) -> tuple[Prediction, Heart]:
    found = model.predict(Recording(signal, RATE, leads, ("mV",) * len(leads)))
    assert isinstance(found, Prediction) and found.heart is not None
    return found, found.heart


def rates(model: srnn.Model, condition: Condition, parts: Sequence[Stretch]) -> dict[str, Any]:
    """How many rates are given, withheld and wrong, and how much is unsure."""
    counts = {"given": 0, "given_off": 0, "withheld": 0, "withheld_off": 0, "none": 0}
    unsure = []
    for number, part in enumerate(parts):
        _, heart = predicted(model, condition.of(part.signal, number), part.leads)
        unsure.append(heart.shares()["unsure"])
        found = [beat.rr for beat in heart.beats if beat.rr is not None]
        if not found:
            counts["none"] += 1
            continue
        kind = "withheld" if heart.withheld else "given"
        counts[kind] += 1
        counts[f"{kind}_off"] += abs(60 / float(np.median(found)) - part.rate) > OFF
    counts = {name: int(count) for name, count in counts.items()}
    return {"stretches": len(parts), **counts, "unsure": round(float(np.mean(unsure)), 4)}


def accuracy(
    model: srnn.Model, condition: Condition, split: SplitName, folder: Path
) -> list[float]:
    """Of each record, the share of labelled steps that are right."""
    told = []
    for number, name in enumerate(RECORDS[split]):
        record = read_record(folder, name)
        first, last = annotated_stretches(record.labels)[0]
        part = slice(max(first - BEFORE * RATE, 0), last + 2 * RATE)
        labels, signal = record.labels[part], condition.of(record.signal[part], number, 1)
        found, _ = predicted(model, signal, record.leads)
        told.append(round(float((found.numbers == labels)[labels >= 0].mean()), 4))
    return told


HEAD = ("", "rates given", "off by > 5", "withheld", "of these off", "unsure, %", "labels right, %")
LEAD = """What hum of the mains does to `srnn predict`: {records} records of QTDB for validation and training with
reference beats, in stretches of ten seconds; a rate is off if it differs by more than 5 beats a minute. The labels are those
of all 19 validation records. {how}"""
HOW = """Hum has another phase in each lead, a third harmonic and a frequency that wanders by half a Hz; noise and tilt
are 10 uV of white noise, a slope and .1 mV of breathing. Where no two beats were found in a row, a rate is neither given nor
withheld. The network without a filter is the one that was shipped at commit 3e178ed8."""


def page(lines: Sequence[dict[str, Any]]) -> str:
    """README.md, of the lines of the JSON file."""
    about, *rows = lines
    told = ["# Hum of the mains", "", LEAD.format(records=about["records"], how=HOW)]
    for network in dict.fromkeys(row["network"] for row in rows):
        cells = []
        for condition in dict.fromkeys(row["condition"] for row in rows):
            own = [
                row for row in rows if (row["network"], row["condition"]) == (network, condition)
            ]
            if not own:
                continue
            sums = {
                key: sum(row[key] for row in own)
                for key in ("stretches", "given", "given_off", "withheld", "withheld_off")
            }
            unsure = sum(row["unsure"] * row["stretches"] for row in own) / sums["stretches"]
            right = next(row["accuracy"] for row in own if "accuracy" in row)
            cells.append(
                [
                    condition,
                    f"{sums['given']} of {sums['stretches']}",
                    f"{sums['given_off']}",
                    f"{sums['withheld']}",
                    f"{sums['withheld_off']}",
                    f"{unsure:.1%}".removesuffix("%"),
                    f"{100 * np.mean(right):.1f}",
                ]
            )
        told += ["", f"## {network}", "", *markdown_table(HEAD, cells)]
    made = f"Made by `{about['command']}` (commit {about['machine']['commit']});"
    return "\n".join([*told, "", made, "all numbers are in [mains.jsonl](mains.jsonl).", ""])


def words_of(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """(title or "", name or file) of each network."""
    parts = (word.rpartition("=") for word in arguments.networks)
    return [(title, file) for title, _, file in parts]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--networks", nargs="+", default=["ecg-records", "ecg-records-large"],
        help="names or files, each perhaps with a title: TITLE=FILE",
    )  # fmt: skip
    arguments = parser.parse_args(words)
    folder = records_folder()
    parts = {split: list(stretches(split, folder)) for split in SPLITS}
    rows: list[dict[str, Any]] = []
    for title, file in words_of(arguments):
        model = srnn.load(file)
        for split in SPLITS:
            for condition in CONDITIONS:
                row: dict[str, Any] = {
                    "network": title or file,
                    "split": split,
                    "condition": str(condition),
                }
                row |= rates(model, condition, parts[split])
                if split == "validation":
                    row["accuracy"] = accuracy(model, condition, split, folder)
                rows.append(row)
                print(json.dumps(row), flush=True)
    named = [json.dumps(f"{title}=FILE") if title else file for title, file in words_of(arguments)]
    command = f"python -m benchmarks.mains --out {arguments.out} --networks {' '.join(named)}"
    marked = [
        name
        for split in SPLITS
        for name in RECORDS[split]
        if beats_marked(folder / name, RATE) is not None
    ]
    about = {"command": command, "machine": describe(), "records": len(marked)}
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines = [about, *rows]
    (arguments.out / "mains.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (arguments.out / "README.md").write_text(page(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
