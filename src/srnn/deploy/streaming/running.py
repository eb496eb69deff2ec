"""A source through a session: decisions as they are made, which of them are worth a line, and their
latency."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ...data.leads import FLAT, STATES, LeadWatch
from ...data.signals import SignalPath
from ...data.targets import Targets
from ...nn.alarm import THRESHOLD
from ...nn.decision import Decisions
from ...nn.scores import check_confidences
from .decoder import Array, Decoder, Session
from .sources import Source
from .spotting import Spotter

Report = Literal["step", "change", "end"]
NO_CLASS = -2
"""In place of a class's number, where a lead of an ECG is flat or off, or the answer is a value."""


class Decision(NamedTuple):
    """One step's decision, ready to be shown."""

    step: int
    seconds: float | None
    """When what the decision names was in the signal, from the stream's start: the step's time,
    less the lag of labels that come late; None: steps are not in time."""
    number: int
    """The class, or ``NO_CLASS``: there is none."""
    label: str
    probability: float
    final: bool
    probabilities: npt.NDArray[np.float64]
    """(classes,)."""
    values: npt.NDArray[np.float64] | None = None
    """(values,) in their own units, where the answer is a value: it has neither a class nor a
    probability. None: it is a class."""
    alarm: bool | None = None
    """Whether there is an alarm; None: the network raises none."""
    delay: float | None = None
    """Seconds of signal and of work from that moment until the decision was known; None: not
    measured, or not in time."""


def decisions_of(decoder: Decoder, known: Decisions) -> list[Decision]:
    """Each step's decision by itself.

    Args:
        decoder: what made them.
        known: decisions of T steps.

    Returns:
        At most T decisions: where labels come late, those of the first steps are left out, as they
        name what was before the stream.

    Raises:
        SrnnError: ``data``: the network's output is not finite.
    """
    if not len(known.steps):
        return []
    confidences = decoder.probabilities(known.scores)
    step_seconds, lag = decoder.step_seconds, decoder.lag
    values = decoder.loss.rule.value
    check_confidences(known.scores if values else confidences, known.steps)
    made = []
    for step, number, final, row, scores in zip(
        known.steps, known.winners, known.final, confidences, known.scores, strict=True
    ):
        if step < lag:
            continue
        if step_seconds is None:
            seconds = None
        else:
            seconds = round(int(step - lag) * step_seconds, 6)
        one = Decision(int(step), seconds, NO_CLASS, "", 0.0, bool(final), row)
        if values:
            targets = decoder.targets or Targets((None,) * len(scores))
            label = targets.described(decoder.classes, scores)
            if decoder.alarm is not None:
                one = one._replace(alarm=bool(scores[0] > THRESHOLD))
            if one.alarm:
                label = f"{label}  ALARM"
            one = one._replace(label=label, values=scores)
        else:
            label, probability = decoder.classes[number], float(row[number])
            one = one._replace(number=int(number), label=label, probability=probability)
        made.append(one)
    return made


def where_silent(decisions: list[Decision], watch: LeadWatch | None, lag: int) -> list[Decision]:
    """Decisions without a class where a lead is flat or off.

    Args:
        decisions: of single steps.
        watch: it has observed the signal so far; None: nothing is known of leads.
        lag: steps by which labels come later than what they name.

    Returns:
        The decisions; at each sample at which a lead is flat or off, "flat" or "off" is the label.
    """
    if watch is None or not decisions:
        return decisions
    states = watch.states(np.array([one.step - lag for one in decisions]))
    return [
        one if state < FLAT else one._replace(number=NO_CLASS, label=STATES[state], probability=0.0)
        for one, state in zip(decisions, states.tolist(), strict=True)
    ]


class Chooser:
    """Which decisions are worth a line: every step's, those that change, or those that end a
    sequence."""

    def __init__(self, report: Report) -> None:
        self.report, self._before = report, -1

    def __call__(self, classes: npt.ArrayLike, final: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Choose among the next T decisions.

        Args:
            classes: (T,) the class of each.
            final: (T,) whether it is final.

        Returns:
            Booleans (T,).
        """
        ends = np.asarray(final, bool)
        if self.report != "change":
            if self.report == "end":
                return ends
            return np.ones_like(ends)
        # After a final decision the next sequence begins afresh.
        *before, self._before = self._before, *np.where(ends, -1, classes).tolist()
        return ends | (np.asarray(before) != classes)


class Timing:
    """The latency of blocks, from their arrival to their decisions.

    A stream may never end, so the times are not kept but counted in classes 1 % wide: a reported
    percentile is at most 1 % above the true one, and never below. Sum and maximum are exact.
    """

    LEAST, WIDTH = 1e-7, 1.01
    """Seconds at the end of the first class; the factor from one class's end to the next."""
    CLASSES = 2600  # up to some 17,000 s

    def __init__(self) -> None:
        self.blocks = 0
        self.total = self.most = 0.0
        """Seconds of all blocks, and of the slowest."""
        self.signal = 0.0
        """Seconds of signal so far; 0 where samples are not in time."""
        self._counts = np.zeros(self.CLASSES, np.int64)

    def add(self, seconds: float) -> None:
        """Count a block that took this long."""
        self.blocks += 1
        self.total += seconds
        self.most = max(self.most, seconds)
        place = math.ceil(math.log(max(seconds, self.LEAST) / self.LEAST, self.WIDTH))
        self._counts[min(place, self.CLASSES - 1)] += 1

    def percentile(self, percent: float) -> float:
        """A percentile of the blocks' latency, in seconds; 0 without blocks."""
        if not self.blocks:
            return 0.0
        place = int(np.searchsorted(self._counts.cumsum(), math.ceil(self.blocks * percent / 100)))
        if place == self.CLASSES - 1:
            return self.most
        return min(self.LEAST * self.WIDTH**place, self.most)

    def summary(self) -> dict[str, Any]:
        """Real-time factor (seconds of work per second of signal) and percentiles of a block's
        latency in milliseconds."""
        latency = {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99)}
        latency["max"] = self.most
        return {
            "signal_seconds": round(self.signal, 6) if self.signal else None,
            "work_seconds": round(self.total, 6),
            "real_time_factor": self.total / self.signal if self.signal else None,
            "block_latency_ms": {
                name: round(seconds * 1000, 4) for name, seconds in latency.items()
            },
        }


class Beginning:
    """The beginning of a signal, which is checked for drift: whether it can be like those of
    training.

    Args:
        signal: what the network reads.
        report: called once, with how the first seconds differ, if they do.
    """

    KEPT = 2**18
    """Numbers."""
    SECONDS = 5.0
    """After which it is checked for the first time."""

    def __init__(
        self, signal: SignalPath, report: Callable[[str], None] = lambda drift: None
    ) -> None:
        self._signal, self._kept, self._room = signal, list[Array](), self.KEPT
        self._report, self._waits = report, round(self.SECONDS * (signal.rate or 100))

    def of(self, blocks: Iterator[Array]) -> Iterator[Array]:
        """The same blocks, observed on the way."""
        for block in blocks:
            self.observe(block)
            yield block

    def observe(self, block: Array) -> None:
        """A block, as for ``of``."""
        if self._room > 0 and block.size:
            self._kept.append(np.array(block).reshape(-1, self._signal.channels))
            self._room -= block.size
        before, self._waits = self._waits, self._waits - len(block)
        if before > 0 >= self._waits and (drift := self.drift()):
            self._report(drift)

    @property
    def complete(self) -> bool:
        """Whether the first seconds have come."""
        return self._waits <= 0

    def drift(self) -> str:
        """Why what has come can hardly be like training's signals, for people; else empty."""
        if not self._kept:
            return ""
        return self._signal.drift(np.concatenate(self._kept))

    def training_difference(self) -> str:
        """How it, or the way in which it is encoded, differs from training, for people; empty where
        it does not."""
        return self._signal.training_difference or self.drift()


def run_source(
    session: Session | Spotter,
    source: Source,
    timing: Timing,
    *,
    real_time: bool = False,
    finish: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[Decision]]:
    """Push a source through a session.

    Args:
        session: at the place in the signal at which the source begins.
        source: what is pushed.
        timing: receives the times.
        real_time: wait so that blocks come only as fast as the signal was recorded.
        finish: the signal ends with the source; False: it continues later, and nothing is flushed.
        sleep: waits for so many seconds.

    Returns:
        The decisions of each block, as soon as they are known, with their delays; then those of
        the signal's end.
    """
    decoder, rate = session.decoder, session.decoder.signal.rate
    before, started, samples = session.samples / rate if rate else None, time.perf_counter(), 0
    for block in source.blocks:
        if rate is not None:
            samples += len(block)
            # A sum of seconds would drift by milliseconds in some weeks.
            timing.signal = samples / rate
            if real_time:
                sleep(max(0.0, started + timing.signal - time.perf_counter()))
        yield _timed(decoder, timing, before, lambda block=block: session.push(block))
    if finish:
        yield _timed(decoder, timing, before, session.finish)


def _timed(
    decoder: Decoder, timing: Timing, before: float | None, work: Callable[[], Decisions]
) -> list[Decision]:
    """The decisions of some work, timed; ``before``: seconds of signal that came before the
    source's."""
    start = time.perf_counter()
    decisions = decisions_of(decoder, work())
    seconds = time.perf_counter() - start
    timing.add(seconds)
    if before is None:
        return decisions
    now = before + timing.signal + seconds
    return [
        one if one.seconds is None else one._replace(delay=max(0.0, now - one.seconds))
        for one in decisions
    ]
