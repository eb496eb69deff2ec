"""Predict the class of recordings: one line for each file, with its label and the confidence in it.

  srnn predict runs/words clip.wav                  the label of a clip
  srnn predict model.safetensors recordings/        every recording of a folder
  srnn predict runs/ecg heart.hea --over-time       the stretches of each class, with their times
  srnn predict runs/words *.wav --csv > labels.csv  a table; with --over-time a row for every step

Files are .wav, .flac, .csv, .npy, .npz or WFDB records, of any sampling rate. A file that does not fit is reported on
standard error and skipped; then the exit code is 2.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError
from ..text import filled, json_text, one_line, places, spreadsheet

if TYPE_CHECKING:
    from ..deploy.predicting import Prediction

_CUT = 1e-3  # seconds before the part of a recording that is read, from which on it counts as cut
SHARED = ("model", "--input", "--channels")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="recordings, or folders of them")
    parser.add_argument("--over-time", action="store_true", help="the class at every step instead of one for each file")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    how.add_argument("--csv", action="store_true", help="print a table with commas and nothing else")


def run(arguments: argparse.Namespace) -> int:
    from ..api import load
    from ..deploy.predicting import predict, recordings

    model = load(arguments.model)
    files, failed, cut = list(recordings(arguments.files)), 0, 0
    if not files:
        raise SrnnError(f"{', '.join(map(str, arguments.files))}: no recordings were found.")
    for_people = not (arguments.json or arguments.csv)
    width = min(60, max(places(one_line(str(file))) for file in files)) if for_people else 0
    results, table = list[dict[str, Any]](), csv.writer(sys.stdout, lineterminator="\n")
    if arguments.csv:
        table.writerow(["file", *(["step", "seconds"] if arguments.over_time else []), "label", "confidence"])
    for number, file in enumerate(files, 1):
        try:
            prediction = predict(model, file, arguments.form, arguments.channels)
        except SrnnError as error:
            failed += 1
            print(f"srnn: {one_line(str(error))}", file=sys.stderr, flush=True)
        else:
            cut += prediction.start_seconds > _CUT
            if arguments.json:
                results.append(as_json(file, prediction, arguments.over_time))
            elif arguments.csv:
                table.writerows(_rows(file, prediction, arguments.over_time))
            else:
                _show(filled(one_line(str(file)), width), prediction, arguments.over_time)
        if not for_people and sys.stderr.isatty() and len(files) > 1:
            print(f"\r{number} of {len(files)}", end="\n" if number == len(files) else "", file=sys.stderr, flush=True)
    if arguments.json:
        print(json_text({"model": model.name, "results": results}))
    if cut:
        warnings.warn(
            f"recordings longer than training's clips of {model.task.clip_seconds:g} s, read only in their middle: {cut} of "
            f"{len(files)} (srnn stream reads all of one).",
            RuntimeWarning, stacklevel=2,
        )  # fmt: skip
    if failed and for_people and len(files) > 1:
        print(f"{len(files) - failed} of {len(files)} files were read", file=sys.stderr)
    return 2 if failed else 0


def as_json(file: Path, prediction: Prediction, over_time: bool) -> dict[str, Any]:
    result: dict[str, Any] = {
        "file": str(file),
        "label": prediction.label,
        "class": prediction.number,
        "confidence": round(prediction.confidence, 6),
        "steps": len(prediction.scores),
    }
    if not prediction.per_step:
        result["probabilities"] = [round(value, 6) for value in prediction.probabilities[-1].tolist()]
    if over_time:
        result["step_seconds"], result["start_seconds"] = prediction.step_seconds, round(prediction.start_seconds, 6)
        result["classes"] = prediction.numbers.tolist()
        result["segments"] = [
            {"first": first, "end": end, "label": label, "confidence": round(confidence, 6)}
            for first, end, label, confidence in prediction.segments()
        ]
    return result


def _show(name: str, prediction: Prediction, over_time: bool) -> None:
    part = " of the steps" if prediction.per_step else ""
    print(f"{name}  {prediction.label}  {prediction.confidence:.1%}{part}", flush=True)
    for first, end, label, confidence in prediction.segments() if over_time else ():
        every, start = prediction.step_seconds, prediction.start_seconds
        span = (
            f"{first} to {end - 1}"
            if every is None
            else f"{start + first * every:.3f} s to {start + end * every:.3f} s"
        )
        print(f"  {span:>24}  {label}  {confidence:.1%}", flush=True)


def _rows(file: Path, prediction: Prediction, over_time: bool) -> Iterator[list[Any]]:
    """The rows of a table: one, or one for every step."""
    name, every, start = spreadsheet(str(file)), prediction.step_seconds, prediction.start_seconds
    if not over_time:
        yield [name, spreadsheet(prediction.label), f"{prediction.confidence:.6f}"]
        return
    for step, (number, row) in enumerate(zip(prediction.numbers.tolist(), prediction.probabilities, strict=True)):
        seconds = "" if every is None else f"{start + step * every:.6g}"
        yield [name, step, seconds, spreadsheet(prediction.classes[number]), f"{row[number]:.6f}"]
