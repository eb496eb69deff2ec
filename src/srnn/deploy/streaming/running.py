"""A source through a session: decisions as they are made, and their latency."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...data.signals import SignalPath
from ...data.targets import Targets
from ...measure.scores import check_confidences
from ...nn.alarm import THRESHOLD
from ...nn.decision import Decisions
from .decisions import NO_CLASS, Array, Decision
from .decoder import Decoder, Session
from .sources import Source
from .spotting import Spotter


def decisions_of(decoder: Decoder, known: Decisions) -> list[Decision]:
    """Each step's decision by itself, except for those of the first steps where labels come late,
    which name what was before the stream. SrnnError where the network's output is not finite."""
    if not len(known.steps):
        return []
    confidences, step_seconds, lag = (
        decoder.probabilities(known.scores),
        decoder.step_seconds,
        decoder.lag,
    )
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
        self.blocks, self.total, self.most = (
            self.blocks + 1,
            self.total + seconds,
            max(self.most, seconds),
        )
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
        latency = {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99)} | {
            "max": self.most
        }
        return {
            "signal_seconds": round(self.signal, 6) if self.signal else None,
            "work_seconds": round(self.total, 6),
            "real_time_factor": self.total / self.signal if self.signal else None,
            "block_latency_ms": {
                name: round(seconds * 1000, 4) for name, seconds in latency.items()
            },
        }


class Beginning:
    """The beginning of a signal, by which it is judged whether it can be like those of training."""

    KEPT = 2**18
    """Numbers."""
    SECONDS = 5.0
    """After which it is judged for the first time."""

    def __init__(
        self, signal: SignalPath, report: Callable[[str], None] = lambda drift: None
    ) -> None:
        self._signal, self._kept, self._room = signal, list[Array](), self.KEPT
        self._report, self._waits = report, round(self.SECONDS * (signal.rate or 100))

    def of(self, blocks: Iterator[Array]) -> Iterator[Array]:
        """The same blocks. ``report`` is called once, if the first seconds are unlike training."""
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
    def judged(self) -> bool:
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
    """The decisions of each block, as soon as they are known, with their delays; then those of the
    signal's end.

    Args:
        timing: receives the times.
        real_time: wait so that blocks come only as fast as the signal was recorded.
        finish: the signal ends with the source; False: it continues later, and nothing is flushed.
    """
    decoder, rate = session.decoder, session.decoder.signal.rate
    before, started, samples = session.samples / rate if rate else None, time.perf_counter(), 0
    for block in source.blocks:
        if rate is not None:
            samples += len(block)
            timing.signal = (
                samples / rate
            )  # a sum of seconds would drift by milliseconds in some weeks
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
