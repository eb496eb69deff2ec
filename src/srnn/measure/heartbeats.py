"""What step labels of an ECG tell about the heart: its beats, their intervals, and where the labels
cannot be used.

    heart = read_heart(numbers, probabilities, dead_leads(x, 250, in_mv=True), step_seconds=0.004)
    heart.beats[0].qt, heart.intervals()["QT"].median, heart.shares()["flat"]

Six step labels (P, PQ, QR, RS, ST, TP) become waves: a P wave is a run of P; a QRS complex is a run
of QR and RS; ST runs from the end of the QRS to the end of the T wave, so it gives the T wave's
offset, but no onset (none is labelled). Labels flicker: runs of a wave less than ``GAP_MS`` apart
are one wave; then runs shorter than ``SHORTEST_MS`` are dropped. A beat is a QRS complex with the
last P wave before it and the T wave after it, as far as they are found.

Where a lead is flat or off (``leads.py``) there is no label: a network of two leads labels 90 % of
the steps rightly, and 59 % with one of them flat (16 validation records of QTDB). A step is unsure

    if the class found has a probability below ``LEAST_PROBABILITY``: then fewer than half are right; they are
    1.9 % of an ECG;
    between two R peaks more than ``LONGEST_RR`` apart, while the leads are neither flat nor off:
    95 to 100 % of white noise and all of mains hum, in which the network is often sure;
    for ``BEGINNING_SECONDS``, in which 38, 62 and 73 % are right;
    for ``RECOVERY_SECONDS`` after a lead was flat or off: after 20 s of a flat line 54 and 71 % are
    right in the first two seconds, then 84 % and more.

Which steps are right with a lead flat, at the beginning and after it was measured with the pretrained
network of srnn 0.1.

Where most of a recording is unsure, its beats are listed, but no rate and no interval is given. Of 660
stretches of ten seconds of QTDB that withholds none; of 632 rates with .1 mV of mains hum, by a network
without the filter that there is now, 31 of the 70 that were wrong by more than 5 beats a minute, and 11
others (results/mains).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..data.datasets.qtdb import CLASS_NAMES
from ..data.leads import FLAT, OFF, READ, STATES, UNSURE, Interval, dead_leads, has_waves, runs
from ..data.recordings import Recording
from ..data.signals import SignalPath
from ..data.tasks import Task
from ..text import counted
from .sections import COUNT, TEXT, Note, Section, Table

Array = npt.NDArray[Any]
_QR = CLASS_NAMES.index("QR")
WAVES: Mapping[str, tuple[int, ...]] = {"P": (0,), "QRS": (2, 3), "T": (4,)}
"""Wave -> the classes of its steps, as in ``srnn.data.datasets.qtdb.CLASS_NAMES``."""
GAP_MS = 20.0
SHORTEST_MS = 20.0
LONGEST_PR = 0.5
"""Seconds from the onset of a P wave to that of the QRS complex to which it is taken to lead."""
LEAST_PROBABILITY = 0.5
BEGINNING_SECONDS = 0.75
RECOVERY_SECONDS = 2.0
LONGEST_RR = 3.0
"""Seconds."""
MOSTLY = 0.5
"""Fraction of the time after the beginning in which leads are neither flat nor off: if more of it
is unsure, rate and intervals are withheld."""
SHOWN_SECONDS = 0.1
"""Shorter stretches of unsure steps are mostly borders of waves, and not listed."""
NOT_MEDICAL = "Not a medical device."


def clean(found: list[Interval], gap: float, shortest: float) -> list[Interval]:
    """Join runs that lie close together, then drop short ones.

    Args:
        found: the runs, in order.
        gap: runs less than so many steps apart are joined.
        shortest: shorter runs, in steps, are dropped.

    Returns:
        The runs left, in order.
    """
    joined: list[Interval] = []
    for run in found:
        if joined and run.onset - joined[-1].offset < gap:
            joined[-1] = Interval(joined[-1].onset, run.offset)
        else:
            joined.append(run)
    return [run for run in joined if run.offset - run.onset >= shortest]


class Beat(NamedTuple):
    """One heartbeat, in seconds from the recording's beginning; None: not found."""

    qrs_onset: float
    r: float
    """The peak of the R wave: where QR ends and RS begins."""
    qrs_end: float
    p_onset: float | None = None
    p_end: float | None = None
    t_end: float | None = None
    rr: float | None = None
    """Seconds since the R peak before; None if there is none, or if a lead was flat or off in
    between.
    """

    @property
    def p(self) -> float | None:
        return _apart(self.p_onset, self.p_end)

    @property
    def pr(self) -> float | None:
        return _apart(self.p_onset, self.qrs_onset)

    @property
    def qrs(self) -> float | None:
        return _apart(self.qrs_onset, self.qrs_end)

    @property
    def qt(self) -> float | None:
        return _apart(self.qrs_onset, self.t_end)

    def in_ms(self) -> dict[str, float | None]:
        """Each interval, by its name."""
        found = {name: getattr(self, field) for name, field in INTERVALS.items()}
        return {name: _rounded(value, 1000, 3) for name, value in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """The borders in seconds, and the intervals in ms."""
        borders = {name: value for name, value in self._asdict().items() if name != "rr"}
        seconds = {name: _rounded(value, 1, 6) for name, value in borders.items()}
        return {**seconds, "intervals_ms": self.in_ms()}


INTERVALS: Mapping[str, str] = {"RR": "rr", "P": "p", "PR": "pr", "QRS": "qrs", "QT": "qt"}
"""An interval's name -> the field of ``Beat``."""


class Middle(NamedTuple):
    """An interval over the beats."""

    median: float
    low: float
    """The quartiles: half of the beats are between ``low`` and ``high``."""
    high: float
    beats: int


@dataclass(frozen=True)
class Heart:
    """A heart as a network labels it."""

    beats: tuple[Beat, ...]
    """Those whose steps are mostly sure, in order."""
    states: npt.NDArray[np.uint8]
    """(T,) the state of each step, a place in ``STATES``."""
    dead: npt.NDArray[np.uint8]
    """(T, leads) whether each lead is flat or off."""
    step_seconds: float
    leads: tuple[str, ...] = ()

    @property
    def rate(self) -> float | None:
        """Beats per minute: 60 seconds by the median RR; None where no two beats are in a row, or
        where it is ``withheld``."""
        rr = self.intervals()["RR"]
        if rr is None:
            return None
        return 60 / rr.median

    @property
    def withheld(self) -> str:
        """Why rate and intervals are not given, for people; empty where they are."""
        states = self.states[round(BEGINNING_SECONDS / self.step_seconds) :]
        unsure, read = ((states == state).sum() for state in (UNSURE, READ))
        if unsure > MOSTLY * (unsure + read):
            return "most of the recording is unsure"
        return ""

    def intervals(self) -> dict[str, Middle | None]:
        """Each interval in seconds; None where no beat has it, or where it is ``withheld``."""
        found: dict[str, Middle | None] = {}
        for name, field in INTERVALS.items():
            values = [value for beat in self.beats if (value := getattr(beat, field)) is not None]
            found[name] = None
            if values and not self.withheld:
                low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
                found[name] = Middle(median, low, high, len(values))
        return found

    def shares(self) -> dict[str, float]:
        """The fraction of the time that was unsure, flat, and off."""
        shares = {name: float((self.states == state).mean()) for state, name in enumerate(STATES)}
        return {name: share for name, share in shares.items() if name != STATES[READ]}

    @property
    def silent(self) -> npt.NDArray[np.bool_]:
        """(T,) whether there is no label, because a lead is flat or off."""
        return self.states >= FLAT

    def headline(self) -> str:
        """The rate, and the share of the time without usable labels, for people."""
        if self.rate is not None:
            text = f"{self.rate:.0f} beats/min"
        elif self.withheld:
            text = f"no heart rate: {self.withheld}"
        else:
            text = "no heart rate"
        beats = counted(len(self.beats), "beat")
        parts = []
        for name, share in self.shares().items():
            dead = (self.dead == STATES.index(name)).any(0)  # never "unsure", which is no lead's
            leads = [lead for lead, found in zip(self.leads, dead, strict=False) if found]
            parts.append(f"{name} {share:.1%}" + (f" ({', '.join(leads)})" if leads else ""))
        return f"{text} ({beats}); {', '.join(parts)} of the time"

    def section(self) -> Section:
        """The intervals, for people."""
        columns = {"interval": TEXT, "median, ms": COUNT, "middle half, ms": COUNT, "beats": COUNT}
        rows: list[list[Any]] = []
        for name, one in self.intervals().items():
            if one is None:
                rows.append([name, None, None, 0])
            else:
                rows.append([name, 1000 * one.median, (1000 * one.low, 1000 * one.high), one.beats])
        return Section(
            "Heart", self.headline(), (Table("Intervals", columns, rows), Note(NOT_MEDICAL))
        )

    def stretches(self) -> list[tuple[int, int, str]]:
        """Where it is flat, off, or unsure for ``SHOWN_SECONDS``: (first step, step after the last,
        state), in order.
        """
        unsure = clean(runs(self.states == UNSURE), 0, SHOWN_SECONDS / self.step_seconds)
        found = {UNSURE: unsure, FLAT: runs(self.states == FLAT), OFF: runs(self.states == OFF)}
        return sorted(
            (first, end, STATES[state]) for state, those in found.items() for first, end in those
        )

    def to_dict(self, over_time: bool = False) -> dict[str, Any]:
        """Rate in beats per minute, intervals in ms, shares of the time; ``over_time``: each beat
        and stretch, too.
        """

        def in_ms(one: Middle | None) -> dict[str, float | int] | None:
            if one is None:
                return None
            seconds = {"median_ms": one.median, "low_ms": one.low, "high_ms": one.high}
            return {
                **{name: round(1000 * value, 3) for name, value in seconds.items()},
                "beats": one.beats,
            }

        found: dict[str, Any] = {
            "rate": self.rate and round(self.rate, 3),
            "withheld": self.withheld or None,
            "count": len(self.beats),
            "intervals": {name: in_ms(one) for name, one in self.intervals().items()},
            "shares": {name: round(share, 6) for name, share in self.shares().items()},
            "note": NOT_MEDICAL,
        }
        if over_time:
            found["beats"] = [beat.to_dict() for beat in self.beats]
            found["stretches"] = [
                {"first": first, "end": end, "state": state}
                for first, end, state in self.stretches()
            ]
        return found


def heart_of(
    task: Task,
    path: SignalPath,
    recording: Recording,
    scores: Array,
    probabilities: Array,
    *,
    in_mv: bool,
) -> Heart | None:
    """A heart as a network labels it.

    Args:
        task: what the network labels.
        path: what the recording has been matched to; where it reads encoded steps, no lead can be
            found flat or off.
        recording: the recording that the network read.
        scores: (T, classes) of each step.
        probabilities: (T, classes).
        in_mv: whether the recording states its units.

    Returns:
        The heart; None where the task labels no waves of an ECG.
    """
    if not has_waves(task):
        return None
    assert task.step_ms is not None
    x, leads = recording.samples, path.pairs
    dead = np.zeros((len(scores), 0), np.uint8)
    if path.form == "signal" and path.rate is not None and x.shape == (len(scores), path.channels):
        dead = dead_leads(x, path.rate, in_mv=in_mv and path.units is not None)
        leads = recording.channels or leads
    return read_heart(scores.argmax(-1), probabilities, dead, task.step_ms / 1000, leads=leads)


def read_heart(
    numbers: npt.NDArray[np.int64],
    probabilities: Array,
    dead: npt.NDArray[np.uint8],
    step_seconds: float,
    start_seconds: float = 0.0,
    leads: Sequence[str] = (),
) -> Heart:
    """The beats of a recording of T steps.

    Args:
        numbers: (T,) the class of each step.
        probabilities: (T, classes).
        dead: (T, leads), of ``dead_leads``; (T, 0) where the signal itself is not at hand.
        step_seconds: how long a step lasts.
        start_seconds: when the first step is.
        leads: their names.

    Returns:
        The heart.
    """
    unsure = probabilities.max(-1, initial=0) < LEAST_PROBABILITY
    states = np.where(unsure, UNSURE, READ).astype(np.uint8)
    worst = dead.max(-1, initial=READ)
    states[: round(BEGINNING_SECONDS / step_seconds)] = UNSURE
    recovery = round(RECOVERY_SECONDS / step_seconds)
    for run in runs(worst >= FLAT):
        states[run.offset : run.offset + recovery] = UNSURE
    states = np.maximum(states, worst).astype(np.uint8)
    labels = np.where(worst >= FLAT, -1, numbers)
    step, start = step_seconds, start_seconds
    # The beats: each QRS complex, with the P wave that leads to it and the T wave that follows.
    complexes, p_waves, t_waves = (_waves(labels, wave, step) for wave in ("QRS", "P", "T"))
    silent, unsure_before = _so_far(labels < 0), _so_far(states != READ)
    earliest = [0, *(qrs.offset for qrs in complexes)]
    latest = [*(qrs.onset for qrs in complexes[1:]), len(labels)]
    beats: list[Beat] = []
    before: int | None = None  # the R peak of the beat before, if that is sure
    for qrs, least, most in zip(complexes, earliest, latest, strict=False):
        p = _before(p_waves, qrs.onset, max(least, qrs.onset - round(LONGEST_PR / step)))
        # The first wave that begins after a place and ends before the latest.
        number = bisect_left(t_waves, (qrs.offset,))
        if number == len(t_waves) or t_waves[number].offset >= most:
            t = None
        else:
            t = t_waves[number]
        first, end = p.onset if p else qrs.onset, t.offset if t else qrs.offset
        if 2 * (unsure_before[end] - unsure_before[first]) > end - first:
            before = None
            continue
        r = qrs.onset + int((labels[qrs.onset : qrs.offset] == _QR).sum())
        rr = None
        if before is not None and silent[r] == silent[before]:
            rr = (r - before) * step
        before = r
        beat = Beat(start + qrs.onset * step, start + r * step, start + qrs.offset * step, rr=rr)
        if p:
            beat = beat._replace(p_onset=start + p.onset * step, p_end=start + p.offset * step)
        if t:
            beat = beat._replace(t_end=start + t.offset * step)
        beats.append(beat)
    # Where no beat was found for long, though the leads were neither flat nor off.
    peaks = [round((beat.r - start) / step) for beat in beats]
    steps_read = _so_far(worst < FLAT)
    for first, end in pairwise([0, *peaks, len(states)]):
        if (steps_read[end] - steps_read[first]) * step > LONGEST_RR:
            states[first:end] = np.maximum(states[first:end], UNSURE)
    return Heart(tuple(beats), states, dead, step_seconds, tuple(leads))


def _waves(labels: Array, wave: str, step: float) -> list[Interval]:
    """The runs of a wave. One beside a step without a label, or at an end of the recording, may
    have begun or ended elsewhere, and is left out.
    """
    found = clean(
        runs(np.isin(labels, WAVES[wave])), GAP_MS / 1000 / step, SHORTEST_MS / 1000 / step
    )
    around = np.pad(labels, 1, constant_values=-1)
    return [run for run in found if around[run.onset] >= 0 and around[run.offset + 1] >= 0]


def _so_far(mask: Array) -> npt.NDArray[np.int64]:
    """(T + 1,) how many of the steps before each are True."""
    return np.concatenate([[0], mask.cumsum()])


def _before(waves: list[Interval], place: int, earliest: int) -> Interval | None:
    """The last wave that begins between two places."""
    number = bisect_left(waves, (place,)) - 1
    if number < 0 or waves[number].onset < earliest:
        return None
    return waves[number]


def _rounded(value: float | None, factor: float, digits: int) -> float | None:
    if value is None:
        return None
    return round(factor * value, digits)


def _apart(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return None
    return second - first
