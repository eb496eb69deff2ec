"""An analysis for people: tables, and curves as small as a line of text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..terminal import has_blocks
from ..text import one_line
from .show import percent, show_interval, show_table

if TYPE_CHECKING:
    from ..measure.analysis.analyse import Analysis
    from ..measure.analysis.anytime import Anytime
    from ..measure.analysis.calibration import Calibration
    from ..measure.analysis.changes import ChangeTimes
    from ..measure.analysis.delineation import Delineation
    from ..measure.analysis.exits import EarlyExit, ExitPoint
    from ..measure.analysis.neurons import Activity
    from ..measure.analysis.time_constants import TimeConstants, Values

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-~=+*#"
SHOWN = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Confidences for which the time to decision is shown."""
MOST_GROUPS = 12
"""Most groups that have a row."""
LONGEST_NAME = 34
"""Characters of a group's name, so that its row fits a narrow terminal; of a longer one part of its middle is left out."""
WIDTH = 60
"""The most characters of a curve."""


def sparkline(
    values: Sequence[float | None], low: float | None = None, high: float | None = None, width: int = WIDTH
) -> str:
    """Values over time as a line of blocks, from ``low`` to ``high`` (default: the extremes), with a space for None.

    If there are more values than ``width``, those that share a character are averaged.
    """
    symbols = BLOCKS if has_blocks(sys.stdout.encoding) else ASCII
    count = min(len(values), width)
    cells: list[float | None] = []
    for i in range(count):
        part = [v for v in values[i * len(values) // count : (i + 1) * len(values) // count] if v is not None]
        cells.append(sum(part) / len(part) if part else None)
    known = [cell for cell in cells if cell is not None]
    if not known:
        return " " * count
    low = min(known) if low is None else low
    high = max(known) if high is None else high
    scale = (len(symbols) - 1) / (high - low) if high > low else 0.0
    return "".join(
        " " if cell is None else symbols[min(max(round((cell - low) * scale), 0), len(symbols) - 1)] for cell in cells
    )


def show_analysis(analysis: Analysis) -> None:
    """Print what an analysis has beyond the report; in ASCII if standard output can show no more."""
    _classes(analysis)
    _groups(analysis)
    _calibration(analysis.calibration)
    if analysis.anytime is not None:
        _anytime(analysis, analysis.anytime)
    if analysis.exit is not None:
        _exit(analysis.exit, analysis.anytime.step_ms if analysis.anytime else None)
    if analysis.change_times is not None and analysis.change_times.changes:
        _change_times(analysis.change_times)
    if analysis.delineation is not None:
        _delineation(analysis.delineation)
    if analysis.activity is not None:
        _activity(analysis.activity)
    if analysis.time_constants:
        _time_constants(analysis.time_constants)


def _classes(analysis: Analysis) -> None:
    report = analysis.classes
    rows = [
        [name, f"{support:,}", percent(recall), percent(precision)]
        for name, support, recall, precision in zip(
            report.class_names, report.support, report.recall, report.precision, strict=True
        )
    ]
    show_table("classes", ("class", "labelled", "recall", "precision"), rows)
    names = report.class_names
    if len(names) <= 12:
        counts = [
            [name, *(f"{count:,}" for count in row)] for name, row in zip(names, report.confusion.tolist(), strict=True)
        ]
        show_table("confusion: rows true, columns predicted", ("", *names), counts)
    parts = [f"balanced accuracy {percent(report.balanced_accuracy)}"]
    if report.frame_error_rate is not None:
        parts.append(f"frame error rate {percent(report.frame_error_rate)}")
    if report.accuracy_without_silence is not None:
        parts.append(f"accuracy without silence {percent(report.accuracy_without_silence)}")
    print(", ".join(parts))


def _groups(analysis: Analysis) -> None:
    report = analysis.groups
    if report.names is not None:
        columns = zip(report.accuracy, report.names, report.sequences, report.counts[:, 1], strict=True)
        known = sorted(row for row in columns if row[0] is not None)
        rows = [
            [one_line(name, LONGEST_NAME), f"{n:,}", f"{labelled:,}", percent(accuracy)]
            for accuracy, name, n, labelled in known[:MOST_GROUPS]
        ]
        title = "groups (records, speakers, subjects), the least accurate first"
        show_table(title, ("group", "sequences", "labelled", "accuracy"), rows)
        if len(known) > MOST_GROUPS:
            print(f"{len(known) - MOST_GROUPS:,} more, up to {percent(known[-1][0])}")
    show_interval(analysis.evaluation.report, report)


def _calibration(found: Calibration) -> None:
    if not found.counted.any():
        return
    report = found.to_dict()
    rows = [
        [f"{low * 10} to {low * 10 + 10} %", f"{counted:,}", percent(confidence), percent(accuracy)]
        for low, (counted, confidence, accuracy) in enumerate(
            zip(report["counted"], report["confidence"], report["accuracy"], strict=True)
        )
        if counted
    ]
    show_table("calibration", ("confidence", "decisions", "mean confidence", "accuracy"), rows)
    print(
        f"expected calibration error {100 * found.error:.2f} points; "
        f"mean confidence minus accuracy {100 * found.excess:+.2f} points"
    )


def _anytime(analysis: Analysis, curve: Anytime) -> None:
    labelled, steps = curve.accuracy_labelled, curve.steps
    accuracy = curve.accuracy if labelled is None else labelled
    if not any(value is not None for value in accuracy):
        return
    which = "steps" if labelled is None else "labelled steps"
    begins = f", from step {curve.labelled_from} on" if (curve.labelled_from or 1) > 1 else ""
    what = f"of all {which} so far{begins}" if curve.per_step else "if the network decided then"
    print(f"\naccuracy over time, {what} ({steps} steps{_in_ms(steps, curve.step_ms)}):")
    _accuracies(accuracy)
    settled = curve.settled_steps
    if settled is not None:
        print(f"  from step {settled}{_in_ms(settled, curve.step_ms)} on at most 1 point below the last value")
    if labelled is not None:  # the curve over all steps comes second, because it counts unlabelled ones by convention
        alike = f"; before step {curve.labelled_from} all labels are the same" if (curve.labelled_from or 1) > 1 else ""
        name = analysis.unlabelled_name
        print(f"over all steps, counting those without a label as {name} by convention{alike}:")
        _accuracies(curve.accuracy)
    if curve.per_step:
        after = curve.after_change
        print(f"accuracy in the {len(after)} steps after the true class changes:")
        _accuracies(after)
    if not curve.online:
        print("  the network is bidirectional: these decisions use later steps")


def _accuracies(accuracy: Sequence[float | None]) -> None:
    """Print a curve from 0 to 1 with its first and last value; nothing if it has no values."""
    known = [value for value in accuracy if value is not None]
    if known:
        print(f"  {sparkline(accuracy, 0, 1)}  {percent(known[0])} to {percent(known[-1])}")


def _change_times(times: ChangeTimes) -> None:
    def wait(mean: float | None, median: float | None) -> str:
        return "-" if mean is None else f"{_steps(mean, times.step_ms)}, {median:g}"

    show_table(
        f"time to decision: steps after each of {times.changes:,} changes of the true class (mean, median)",
        ("confidence", "confident", "after", "then right", "confident and correct", "after"),
        [
            [
                f"{point.confidence:g}", percent(point.reached), wait(point.mean_steps, point.median_steps),
                percent(point.accuracy_reached), percent(point.right), wait(point.right_mean_steps, point.right_median_steps),
            ]
            for point in times.points
        ],
    )  # fmt: skip
    print("  counted until the class changes again; immediate confidence may still be in the previous class")
    if times.label_lag:
        late = "" if times.step_ms is None else f" ({times.label_lag * times.step_ms:g} ms)"
        print(f"  counted from the label, which comes {times.label_lag} steps{late} after what it names")
    if not times.online:
        print("  the network is bidirectional: these decisions use later steps")


def _exit(early: EarlyExit, step_ms: float | None) -> None:
    def row(name: str, point: ExitPoint) -> list[str]:
        return [
            name, percent(point.accuracy), percent(point.exited), _steps(point.mean_steps, step_ms),
            f"{point.median_steps:g}",
        ]  # fmt: skip

    policy = early.policy
    rows = [row("at the end", early.waiting)]
    if policy.confidence is not None:
        rows.append(row("early exit", early.result))
    show_table(
        f"early exit, {early.split} split",
        ("decision", "accuracy", "sure enough", "mean steps read", "median"), rows,
    )  # fmt: skip
    allowed = 100 * (policy.allowed_loss or 0)
    if policy.confidence is None:
        print(f"every policy costs more than {allowed:g} points of accuracy on validation: decide at the end")
    else:
        in_a_row = f" for {policy.patience} steps in a row" if policy.patience > 1 else ""
        not_before = f", not before step {policy.earliest}" if policy.earliest > 1 else ""
        margin = f" and {policy.margin:g} above the next class" if policy.margin else ""
        print(
            f"policy: confidence {policy.confidence:g}{margin}{in_a_row}{not_before}; "
            f"chosen on validation for a loss of at most {allowed:g} points"
        )
    shown = [point for point in early.first_reached if point.confidence in SHOWN]
    show_table(
        "time to decision: when the network is first that confident",
        ("confidence", "reached by", "after steps, mean", "then right"),
        [
            [
                f"{point.confidence:g}", percent(point.exited),
                "-" if point.mean_steps_exited is None else _steps(point.mean_steps_exited, step_ms),
                percent(point.accuracy_exited),
            ]
            for point in shown
        ],
    )  # fmt: skip
    points = early.curve
    most = max(point.mean_steps for point in [*points, early.waiting])
    print(f"all sequences, by the policy's confidence, {points[0].confidence:g} to {points[-1].confidence:g}:")
    print(f"  accuracy    {sparkline([point.accuracy for point in points], 0, 1)}")
    print(f"  mean steps  {sparkline([point.mean_steps for point in points], 0, most)}")


def _delineation(delineation: Delineation) -> None:
    rows = []
    for name, wave in delineation.waves.items():
        rows.append([name, str(wave.reference), percent(wave.sensitivity), percent(wave.ppv), "", ""])
        for border, report in wave.borders.items():
            error = "n/a" if report.mean_ms is None else f"{report.mean_ms:+.1f}"
            spread = "n/a" if report.sd_ms is None else f"{report.sd_ms:.1f} ({report.cse_tolerance_ms:g})"
            rows.append(
                [
                    f"  {border}",
                    str(report.reference),
                    percent(report.sensitivity),
                    percent(report.ppv),
                    error,
                    spread,
                ]
            )
    show_table(
        f"delineation, tolerance {delineation.tolerance_ms:g} ms",
        ("wave", "labelled", "sensitivity", "ppv", "mean error, ms", "sd, ms (CSE tolerance)"), rows,
    )  # fmt: skip


def _activity(activity: Activity) -> None:
    steps, sequences, above = max(activity.steps, 1), max(activity.sequences, 1), activity.saturated_above
    rows = []
    for layer in activity.layers:
        dead, saturated = len(layer.dead()), len(layer.saturated(above))
        numbers = (len(layer.rates), f"{layer.rates.mean():.4f}", f"{layer.rates.max():.3f}", dead, saturated)
        rows.append([layer.name, *map(str, numbers), f"{layer.sops / steps:,.1f}"])
    silent, unit = ("dead", "SOPs per step") if activity.spiking else ("always 0", "operations per step")
    columns = ("layer", "neurons", "rate", "highest", silent, f"over {above:g}", unit)
    what = "spikes per neuron and step" if activity.spiking else "fraction of outputs that are not 0"
    show_table(f"activity: {what}", columns, rows)
    for layer in activity.layers:
        line = sparkline(sorted(layer.rates.tolist()), 0, 1, 40)
        print(f"  {layer.name}: {line}  neurons by rate, 0 to 1")
    name = "synaptic operations" if activity.spiking else "operations of outputs that are not 0 (analog ones multiply)"
    print(
        f"{name}: {activity.sops / steps:,.1f} per step, {activity.sops / sequences:,.0f} per sequence, of which inputs "
        f"{activity.input_sops / steps:,.1f} per step"
    )


def _time_constants(constants: Sequence[TimeConstants]) -> None:
    rows, lines = [], []
    plus_minus = "±" if has_blocks(sys.stdout.encoding) else "+-"
    wide = max(len(one.name) for one in constants)
    for one in constants:
        change = "n/a" if one.rms_change is None else f"{one.rms_change:.2f}"
        rows.append(
            [
                one.name,
                _spread(one.initial, plus_minus),
                _spread(one.values, plus_minus),
                change if one.is_trained else "fixed",
            ]
        )
        bins = one.histogram(16)
        start = "" if bins.initial is None else f"start {sparkline(bins.initial, 0)} "
        line = f"{start}now {sparkline(bins.now, 0)}"
        log = " (logarithmic)" if bins.log else ""
        lines.append(f"  {one.name:<{wide}} {bins.edges[0]:7.1f} {line} {bins.edges[-1]:.1f}{log}")
    columns = ("time constant", "at the start", "now", "rms change")
    show_table(f"time constants in steps, mean {plus_minus} deviation over neurons", columns, rows)
    print(*lines, sep="\n")


def _spread(values: Values | None, plus_minus: str) -> str:
    known = None if values is None else values[abs(values) < float("inf")]
    return "n/a" if known is None or not len(known) else f"{known.mean():.1f} {plus_minus} {known.std():.1f}"


def _in_ms(steps: float, step_ms: float | None) -> str:
    return "" if step_ms is None else f", {steps * step_ms:,.0f} ms"


def _steps(steps: float, step_ms: float | None) -> str:
    return f"{steps:.1f}" + ("" if step_ms is None else f" ({steps * step_ms:,.0f} ms)")
