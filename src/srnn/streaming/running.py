"""A source through a session: decisions as they come, and how long they took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .decoder import Decisions, Decoder, Session
from .sources import Source

Report = Literal["step", "change", "end"]


class Decision(NamedTuple):
    """One step's decision, ready to be shown."""

    step: int
    seconds: float | None
    """When the step was in the signal, from the stream's start; None: steps are not in time."""
    number: int
    """The class."""
    label: str
    probability: float
    final: bool
    probabilities: npt.NDArray[np.float64]
    """(classes,)."""


def decisions_of(decoder: Decoder, found: Decisions) -> list[Decision]:
    """Each step's decision by itself."""
    if not len(found.steps):
        return []
    believed, step_seconds = decoder.probabilities(found.scores), decoder.step_seconds
    return [
        Decision(
            int(step), None if step_seconds is None else round(int(step) * step_seconds, 6), int(number),
            decoder.classes[number], float(row[number]), bool(final), row,
        )
        for step, number, final, row in zip(found.steps, found.winners, found.final, believed, strict=True)
    ]  # fmt: skip


class Chooser:
    """Which decisions are worth a line: every step's, those that change, or those that end a sequence."""

    def __init__(self, report: Report) -> None:
        self.report, self._before = report, -1

    def __call__(self, decision: Decision) -> bool:
        changed, self._before = decision.number != self._before, decision.number
        if self.report == "step":
            return True
        if decision.final:
            self._before = -1  # the next sequence begins anew
        return decision.final or (self.report == "change" and changed)


class Timing:
    """How long blocks took, from the moment they were there until their decisions were."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.signal = 0.0
        """Seconds of signal so far; 0 where samples are not in time."""

    def summary(self) -> dict[str, Any]:
        """Real-time factor (seconds of work a second of signal) and percentiles of a block's latency in milliseconds."""
        total = sum(self.seconds)
        percentiles = np.percentile(self.seconds, [50, 95, 99, 100]) * 1000 if self.seconds else [0.0] * 4
        names = ("p50", "p95", "p99", "max")
        return {
            "signal_seconds": round(self.signal, 6) if self.signal else None,
            "work_seconds": round(total, 6),
            "real_time_factor": total / self.signal if self.signal else None,
            "block_latency_ms": {name: round(float(value), 4) for name, value in zip(names, percentiles, strict=True)},
        }


def run_source(
    session: Session, source: Source, timing: Timing, *, real_time: bool = False, finish: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[Decision]]:  # fmt: skip
    """The decisions of each block, as soon as they are known; after the last block those of the signal's end.

    Args:
        session, source: what goes through what.
        timing: is written to.
        real_time: wait so that blocks come as fast as the signal was recorded.
        finish: the signal ends with the source; False: it goes on later, and nothing is flushed.
        sleep: what waits.
    """
    decoder, rate = session.decoder, session.decoder.live.rate
    started = time.perf_counter()
    for block in source.blocks:
        if rate is not None:
            timing.signal += len(block) / rate
            if real_time:
                sleep(max(0.0, started + timing.signal - time.perf_counter()))
        yield _timed(decoder, timing, lambda block=block: session.push(block))
    if finish:
        yield _timed(decoder, timing, session.finish)


def _timed(decoder: Decoder, timing: Timing, work: Callable[[], Decisions]) -> list[Decision]:
    start = time.perf_counter()
    found = decisions_of(decoder, work())
    timing.seconds.append(time.perf_counter() - start)
    return found
