"""srnn predict: what a trained network says of recordings."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError
from ..text import one_line, spreadsheet

if TYPE_CHECKING:
    from ..deploy.predicting import Prediction

SHARED = ("model", "--input")
DESCRIPTION = """\
Predict the class of recordings: one line for each file, with its label and the confidence in it.

  srnn predict runs/words clip.wav                  the label of a clip
  srnn predict model.safetensors recordings/        every recording of a folder
  srnn predict runs/ecg heart.hea --over-time       the stretches of each class, with their times
  srnn predict runs/words *.wav --csv > labels.csv  a table; with --over-time a row for every step

Files are .wav, .flac, .csv, .npy, .npz or WFDB records, of any sampling rate. A file that does not fit is reported on
standard error and skipped; the exit code is 2 then.
"""


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
    files, failed = list(recordings(arguments.files)), 0
    if not files:
        raise SrnnError(f"{', '.join(map(str, arguments.files))}: there are no recordings.")
    show = _Json(model.name, arguments) if arguments.json else _Csv(arguments) if arguments.csv else _Text(files)
    for number, file in enumerate(files, 1):
        try:
            show.one(file, predict(model, file, arguments.form), arguments.over_time)
        except SrnnError as error:
            failed += 1
            print(f"srnn: {one_line(str(error))}", file=sys.stderr, flush=True)
        if (arguments.json or arguments.csv) and sys.stderr.isatty() and len(files) > 1:
            print(f"\r{number} of {len(files)}", end="\n" if number == len(files) else "", file=sys.stderr, flush=True)
    show.end()
    if failed and not (arguments.json or arguments.csv) and len(files) > 1:
        print(f"{len(files) - failed} of {len(files)} files were read", file=sys.stderr)
    return 2 if failed else 0


def as_json(file: Path, prediction: Prediction, over_time: bool) -> dict[str, Any]:
    """A file's prediction as JSON values."""
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
        result["step_seconds"] = prediction.step_seconds
        result["classes"] = prediction.numbers.tolist()
        result["segments"] = [
            {"first": first, "end": end, "label": label, "confidence": round(confidence, 6)}
            for first, end, label, confidence in prediction.segments()
        ]
    return result


class _Text:
    """Lines for people, as they come."""

    def __init__(self, files: list[Path]) -> None:
        self._width = min(60, max(len(one_line(str(file))) for file in files))

    def one(self, file: Path, prediction: Prediction, over_time: bool) -> None:
        name = one_line(str(file))
        part = " of the steps" if prediction.per_step else ""
        print(f"{name:<{self._width}}  {prediction.label}  {prediction.confidence:.1%}{part}", flush=True)
        if not over_time:
            return
        for first, end, label, confidence in prediction.segments():
            every = prediction.step_seconds
            span = f"{first} to {end - 1}" if every is None else f"{first * every:.3f} s to {end * every:.3f} s"
            print(f"  {span:>24}  {label}  {confidence:.1%}", flush=True)

    def end(self) -> None:
        pass


class _Json:
    def __init__(self, model: str, arguments: argparse.Namespace) -> None:
        self._content: dict[str, Any] = {"model": model, "results": []}

    def one(self, file: Path, prediction: Prediction, over_time: bool) -> None:
        self._content["results"].append(as_json(file, prediction, over_time))

    def end(self) -> None:
        print(json.dumps(self._content))


class _Csv:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._rows = csv.writer(sys.stdout, lineterminator="\n")
        steps = ["step", "seconds"] if arguments.over_time else []
        self._rows.writerow(["file", *steps, "label", "confidence"])

    def one(self, file: Path, prediction: Prediction, over_time: bool) -> None:
        name = spreadsheet(str(file))
        if not over_time:
            self._rows.writerow([name, spreadsheet(prediction.label), f"{prediction.confidence:.6f}"])
            return
        every = prediction.step_seconds
        for step, (number, row) in enumerate(zip(prediction.numbers.tolist(), prediction.probabilities, strict=True)):
            seconds = "" if every is None else f"{step * every:.6g}"
            self._rows.writerow([name, step, seconds, spreadsheet(prediction.classes[number]), f"{row[number]:.6f}"])

    def end(self) -> None:
        pass
