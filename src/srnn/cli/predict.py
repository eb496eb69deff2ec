"""``srnn predict``."""

from __future__ import annotations

import csv as tables
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from ..errors import SrnnError
from ..nn.alarm import THRESHOLD
from ..text import counted, filled, json_text, one_line, places, spreadsheet
from .options import NO_OPTIONS, Form, Json, Model, RecordingOptions, place

if TYPE_CHECKING:
    from ..data.recordings import ReadingOverrides
    from ..deploy.parts import Part
    from ..deploy.predicting import Prediction
    from ..measure.heartbeats import Heart
    from ..model.trained import Trained

_CUT = 1e-3  # seconds before the part of a recording that is read, from which on it counts as cut
_MINUTE = 60.0


def predict(
    model: Model,
    files: Annotated[list[Path], Parameter(name="FILE...", help="recordings, or folders of them")],
    /,
    *,
    over_time: bool = False,
    form: Form = "auto",
    segment: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    recording: RecordingOptions = NO_OPTIONS,
    shard: Annotated[str | None, Parameter(metavar="I/N")] = None,
    out: Path | None = None,
    csv: bool = False,
    json: Json = False,
) -> int:
    """Predict recordings: a line for each file, with its label and the confidence in it, or value.

      srnn predict runs/words clip.wav                  the label of a clip
      srnn predict model.safetensors recordings/        every recording of a folder
      srnn predict runs/ecg heart.hea --over-time       each heartbeat; else the stretches of each class
      srnn predict runs/words *.wav --csv > labels.csv  a table; with --over-time a row for every step
      srnn predict runs/words data --shard 2/8 --out 2.csv  the second of eight tables (docs/many.md)

    Files are .wav, .flac, .csv, .npy, .npz or WFDB records, of any sampling rate. Their channels
    are found by name and converted to the network's units, where both are known
    (docs/bring-your-own.md). A file that does not fit is reported on standard error and skipped;
    then the exit code is 2.

    Of an ECG whose waves are labelled, the heart rate and the intervals are printed, and for how
    much of the time the network was unsure, or a lead was flat or off; with --over-time a row for
    each beat (docs/tasks/ecg.md). This is not a medical device.

    Args:
        over_time: the class at every step instead of one for each file
        segment: cut recordings every so many seconds, as training did by window, and answer the mean
        shard: predict only share I of N, counted from 1, as 2/8; a recording's name says in which
            it is, so name them alike in all N
        out: write the table to this file (.csv or .parquet), whole or not at all; the same command
            continues after a kill, and does nothing where the file is finished
        csv: print a table with commas and nothing else
    """
    if csv and (json or out is not None):
        raise SrnnError("--csv excludes --json and --out; give one of them.", "conflict", "csv")
    from ..api import load
    from ..deploy import parts, predicting

    if out is not None:
        parts.check_table(out, files)
    share = None if shard is None else parts.Shard.parse(shard)
    loaded = load(model)
    found = list(dict.fromkeys(file for file in predicting.recordings(files) if file != out))
    if not found:
        raise SrnnError(
            f"{', '.join(map(str, files))}: no recordings were found.", "missing", "recordings"
        )
    if share is not None:
        found = share.of(found)
    # The columns of a table: the answer's are a class, a value each, or an alarm.
    targets = loaded.task.targets
    if targets is None:
        answer = ["label", "confidence"]
    elif loaded.alarm is not None:
        answer = [*loaded.answers]
    else:
        answer = [
            spreadsheet(name if unit is None else f"{name} ({unit})")
            for name, unit in zip(loaded.classes, targets.units, strict=True)
        ]
    columns = ["file", *(["step", "seconds"] if over_time else []), *answer]
    each = partial(_each, loaded, form, recording.reading(), segment)

    if out is not None:
        options = {"over_time": over_time, "input": form, **asdict(recording)}
        if segment is not None:  # left out otherwise: tables from before it was an option go on
            options["segment"] = segment
        with place("--out", out):
            part = parts.Part(out, columns, parts.made_of(loaded, options, found))
            return _fill(part, found, over_time, each, json)
    if json:
        results = list[dict[str, Any]]()
        failed = each(
            found, lambda file, one: results.append(as_json(file, one, over_time)), _Counter()
        )
        print(json_text({"model": loaded.name, "results": results}))
    elif csv:
        table = tables.writer(sys.stdout, lineterminator="\n")
        table.writerow(columns)
        failed = each(
            found, lambda file, one: table.writerows(_rows(file, one, over_time)), _Counter()
        )
    else:
        width = min(60, max((places(one_line(str(file))) for file in found), default=0))
        failed = each(found, lambda file, one: _show(file, one, over_time, width))
        if failed and len(found) > 1:
            print(f"{len(found) - len(failed)} of {len(found)} files were read", file=sys.stderr)
    return 2 if failed else 0


def _each(
    loaded: Trained,
    form: Form,
    overrides: ReadingOverrides,
    segment: float | None,
    found: list[Path],
    take: Callable[[Path, Prediction], object],
    count: Callable[[int, int], None] = lambda number, of: None,
) -> dict[str, str]:
    """Let ``take`` have the prediction of each recording; returns why others have none, by their
    names.

    count: called after each with how many of how many are done.
    """
    from ..deploy import predicting

    notes, failed, cut = dict[str, list[Path]](), dict[str, str](), 0
    for number, file in enumerate(found, 1):
        try:
            prediction = predicting.predict(loaded, file, form, overrides, segment)
        except SrnnError as error:
            failed[str(file)] = one_line(str(error))
            print(f"srnn: {failed[str(file)]}", file=sys.stderr, flush=True)
        else:
            cut += prediction.start_seconds > _CUT
            for note in prediction.notes:
                notes.setdefault(note, []).append(file)
            take(file, prediction)
        if len(found) > 1:
            count(number, len(found))
    for note, of in notes.items():
        others = ""
        if len(of) > 1:
            others = f" and {counted(len(of) - 1, 'other')}"
        print(f"note: {one_line(f'{of[0]}{others}: {note}')}", file=sys.stderr)
    if cut:
        text = (
            f"recordings longer than training's clips of {loaded.task.clip_seconds:g} s, read only "
            f"in their middle: {cut} of {len(found)} (srnn stream reads all of one)."
        )
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    return failed


class _Counter:
    """Prints how many are done: in a terminal after each, elsewhere once a minute."""

    def __init__(self) -> None:
        self._printed = time.monotonic()

    def __call__(self, number: int, of: int) -> None:
        if sys.stderr.isatty():
            end = ""
            if number == of:
                end = "\n"
            print(f"\r{number} of {of}", end=end, file=sys.stderr, flush=True)
        elif time.monotonic() - self._printed > _MINUTE:
            self._printed = time.monotonic()
            print(f"{number} of {of} recordings", file=sys.stderr, flush=True)


def _fill(
    part: Part,
    found: list[Path],
    over_time: bool,
    each: Callable[..., dict[str, str]],
    json: bool,
) -> int:
    """Predict what a part lacks, and write its table; one that is finished stays as it is."""
    missing, had = list[Path](), part.failed
    if had is None:
        missing = [file for file in found if file not in part]
        if len(missing) < len(found):
            print(
                f"srnn: {part.path}: {len(found) - len(missing)} "
                f"of {len(found)} recordings are there, from before",
                file=sys.stderr,
            )
        failed = each(
            missing, lambda file, one: part.add(file, _rows(file, one, over_time)), _Counter()
        )
        part.finish(found, failed)
    else:
        failed = had
        for why in failed.values():
            print(f"srnn: {why}", file=sys.stderr)

    read = len(found) - len(failed)
    if json:
        numbers = {"recordings": read, "predicted": len(missing) - len(failed)}
        if had is not None:
            numbers["predicted"] = 0
        print(json_text({"out": str(part.path), **numbers, "failed": failed}))
    else:
        finished = " was finished" if had is not None else ""
        print(f"{part.path}{finished}: {counted(read, 'recording')}")
    return 2 if failed else 0


def _at_end(prediction: Prediction) -> Any:
    """(outputs,) the values at the end, or of several sequences."""
    return prediction.scores[-1] if prediction.per_step else prediction.value


def as_json(file: Path, prediction: Prediction, over_time: bool) -> dict[str, Any]:
    """A prediction as a JSON value.

    Args:
        file: the recording.
        prediction: its prediction.
        over_time: with the answers of all steps.

    Returns:
        The value.
    """
    if prediction.targets is not None:
        # A network whose answer is a value: that at the end, and over time.
        targets, names = prediction.targets, prediction.classes
        result: dict[str, Any] = {
            "file": str(file),
            "values": dict(zip(names, _at_end(prediction).tolist(), strict=True)),
            "units": dict(zip(names, targets.units if targets else (), strict=False)),
            "steps": len(prediction.scores),
            "sure": prediction.sure,
            "notes": [*prediction.notes, *([prediction.drift] if prediction.drift else [])],
        }
        if prediction.threshold is not None:
            result["alarm"], result["threshold"] = prediction.alarm, THRESHOLD
        if over_time:
            result["step_seconds"] = prediction.step_seconds
            result["start_seconds"] = round(prediction.start_seconds, 6)
            result["over_time"] = dict(zip(names, prediction.scores.T.tolist(), strict=True))
        return result
    result: dict[str, Any] = {
        "file": str(file),
        "label": str(prediction.label),
        "class": prediction.number if str(prediction.label) in prediction.classes else None,
        "confidence": round(prediction.confidence, 6),
        "steps": len(prediction.scores),
        "sure": prediction.sure,
        "notes": [*prediction.notes, *([prediction.drift] if prediction.drift else [])],
    }
    if not prediction.per_step:
        result["probabilities"] = [round(value, 6) for value in prediction.overall.tolist()]
    if prediction.ends is not None:
        result["sequences"] = [
            {"first": first, "end": end, "label": str(label), "confidence": round(confidence, 6)}
            for first, end, label, confidence in prediction.sequences()
        ]
    if prediction.heart is not None:
        result["heart"] = prediction.heart.to_dict(over_time)
    if over_time:
        result["step_seconds"] = prediction.step_seconds
        result["start_seconds"] = round(prediction.start_seconds, 6)
        result["classes"] = prediction.numbers.tolist()
        result["segments"] = [
            {"first": first, "end": end, "label": str(label), "confidence": round(confidence, 6)}
            for first, end, label, confidence in prediction.segments()
        ]
    return result


def _show(file: Path, prediction: Prediction, over_time: bool, width: int) -> None:
    name = filled(one_line(str(file)), width)
    if prediction.heart is not None:
        _show_heart(name, prediction, prediction.heart, over_time)
        return
    if prediction.targets is not None:
        _show_values(name, prediction, over_time)
        return
    part = ""
    if prediction.per_step:
        part = " of the steps"
    elif prediction.ends is not None:
        part = f", the mean of {len(prediction.ends)} sequences"
    answer = f"{prediction.label}  {prediction.confidence:.1%}{part}"
    if not prediction.sure:
        answer = (
            f"not sure ({prediction.label} {prediction.confidence:.1%}{part}; {prediction.drift})"
        )
    print(f"{name}  {answer}", flush=True)
    for first, end, label, confidence in prediction.segments() if over_time else ():
        span = f"{first} to {end - 1}"
        if prediction.step_seconds is not None:
            span = _span(prediction, first, end)
        print(f"  {span:>24}  {label}  {confidence:.1%}", flush=True)


def _show_values(name: str, prediction: Prediction, over_time: bool) -> None:
    """The value, where each step has one that at the end; ``over_time``: of each step."""
    answer = one_line(prediction.answer)
    if prediction.per_step:
        answer = f"{answer} at its end"
    if not prediction.sure:
        answer = f"not sure ({answer}; {prediction.drift})"
    print(f"{name}  {answer}", flush=True)
    targets = prediction.targets
    if not over_time or targets is None:
        return
    for step, values in enumerate(prediction.scores):
        when = f"{step}"
        if prediction.step_seconds is not None:
            when = f"{prediction.start_seconds + step * prediction.step_seconds:.3f} s"
        print(
            f"  {when:>24}  {one_line(targets.described(prediction.classes, values))}", flush=True
        )


def _span(prediction: Prediction, first: int, end: int) -> str:
    start, every = prediction.start_seconds, prediction.step_seconds or 0.0
    return f"{start + first * every:.3f} s to {start + end * every:.3f} s"


def _show_heart(name: str, prediction: Prediction, heart: Heart, over_time: bool) -> None:
    """Rate and intervals; ``over_time``: a row for each beat, at its R peak, and for each stretch
    without a reading."""
    from .show_section import show_parts

    drift = ""
    if not prediction.sure:
        drift = f"not sure ({prediction.drift}): "
    print(f"{name}  {one_line(drift + heart.headline())}", flush=True)
    show_parts(heart.section().parts)
    if not over_time:
        return
    rows = []
    for beat in heart.beats:
        values = {name: "-" if ms is None else f"{ms:.0f}" for name, ms in beat.in_ms().items()}
        intervals = "  ".join(f"{name} {value:>4}" for name, value in values.items())
        rows.append((beat.r, f"{beat.r:.3f} s", f"{intervals} ms"))
    for first, end, state in heart.stretches():
        rows.append(
            (first * (prediction.step_seconds or 0.0), _span(prediction, first, end), state)
        )
    for _, when, text in sorted(rows):
        print(f"  {when:>24}  {text}", flush=True)


def _rows(file: Path, prediction: Prediction, over_time: bool) -> Iterator[list[Any]]:
    """The rows of a table: one, or one for every step. A warning names what speaks against them."""
    if prediction.drift:
        warnings.warn(f"{file}: {prediction.drift}", RuntimeWarning, stacklevel=2)
    name, every, start = spreadsheet(str(file)), prediction.step_seconds, prediction.start_seconds
    if prediction.targets is not None:
        if over_time:
            scores = prediction.scores
        else:
            scores = _at_end(prediction)[None]
        for step, values in enumerate(scores.tolist()):
            if every is None:
                seconds = ""
            else:
                seconds = f"{start + step * every:.6g}"
            yield [name, *([step, seconds] if over_time else []), *map("{:.9g}".format, values)]
        return
    if not over_time:
        yield [name, spreadsheet(str(prediction.label)), f"{prediction.confidence:.6f}"]
        return
    for step, (label, confidence) in enumerate(
        zip(prediction.labels, prediction.confidences.tolist(), strict=True)
    ):
        if every is None:
            seconds = ""
        else:
            seconds = f"{start + step * every:.6g}"
        yield [name, step, seconds, spreadsheet(str(label)), f"{confidence:.6f}"]
