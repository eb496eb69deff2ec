"""How well step labels of an ECG delineate its waves: which borders are found, and their distance
from the cardiologist's.

Step labels become waves as in ``measure/heartbeats.py``.

Rules
    - Only labelled stretches count; predictions elsewhere, before the loss's ``start`` and after a
      sequence's length are ignored. A run that touches the end of a stretch has no border there.
    - Predictions flicker. Two predicted runs of a wave less than ``gap_ms`` apart are one wave;
      then predicted runs shorter than ``shortest_ms`` are dropped. Reference labels are left
      unchanged.
    - Predicted and reference waves are paired one to one, nearest first. A reference border is
      found if the paired wave has this border within ``tolerance_ms``; else it is missed. A
      predicted border that matches no reference border is extra.
    - sensitivity = found / reference borders, ppv = found / predicted borders; errors (predicted -
      reference, so late is positive) are taken over the found borders. A wave is found if all its
      borders are found in one predicted wave.

The tolerance of 150 ms is the match window of ANSI/AAMI EC57 for beats, which papers on delineation
use for every border. ``CSE_TOLERANCE_MS`` is twice the standard deviation among experts (CSE
Working Party, Eur. Heart J. 6, 1985, as given by Martinez et al., IEEE Trans. Biomed. Eng. 51,
2004); an algorithm's standard deviation is compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...data.leads import Interval, has_waves, runs
from ..heartbeats import GAP_MS, SHORTEST_MS, WAVES, clean
from ..sections import COUNT, NUMBER, SHARE, TEXT, Form, Note, Section, Table
from .measuring import Measurement, Subject

Border = Literal["onset", "offset"]
Labels = npt.NDArray[np.int64]

BORDERS: Mapping[str, tuple[Border, ...]] = {
    "P": ("onset", "offset"),
    "QRS": ("onset", "offset"),
    "T": ("offset",),
}
"""Wave -> the borders that its step labels determine."""
CSE_TOLERANCE_MS: Mapping[tuple[str, Border], float] = {
    ("P", "onset"): 10.2,
    ("P", "offset"): 12.7,
    ("QRS", "onset"): 6.5,
    ("QRS", "offset"): 11.6,
    ("T", "offset"): 30.6,
}
"""Published, not measured here."""


@dataclass
class _Matched:
    """Counts of waves, or of borders of one kind, over all sequences so far."""

    reference: int = 0
    """How many are in the labels; of waves, only those whose borders are all visible."""
    predicted: int = 0
    """How many are in the predictions; without waves paired with a reference wave whose borders are
    not all visible."""
    found: int = 0

    @property
    def sensitivity(self) -> float | None:
        if not self.reference:
            return None
        return self.found / self.reference

    @property
    def ppv(self) -> float | None:
        """Positive predictive value."""
        if not self.predicted:
            return None
        return self.found / self.predicted

    def to_dict(self) -> dict[str, Any]:
        names = ("reference", "predicted", "found", "sensitivity", "ppv")
        return {name: getattr(self, name) for name in names}


@dataclass(kw_only=True)
class BorderReport(_Matched):
    """One border of one wave."""

    cse_tolerance_ms: float
    errors_ms: list[float] = field(default_factory=list)
    """Predicted - reference, for the borders found."""

    @property
    def mean_ms(self) -> float | None:
        """Mean error; None if none was found."""
        if not self.errors_ms:
            return None
        return float(np.mean(self.errors_ms))

    @property
    def sd_ms(self) -> float | None:
        """Sample standard deviation of the error; None for fewer than two."""
        if len(self.errors_ms) > 1:
            return float(np.std(self.errors_ms, ddof=1))
        return None

    def to_dict(self) -> dict[str, Any]:
        errors = {
            "mean_ms": self.mean_ms,
            "sd_ms": self.sd_ms,
            "cse_tolerance_ms": self.cse_tolerance_ms,
        }
        return {**super().to_dict(), **errors}


@dataclass(kw_only=True)
class WaveReport(_Matched):
    """One wave."""

    borders: Mapping[Border, BorderReport]

    def to_dict(self) -> dict[str, Any]:
        return {
            **super().to_dict(),
            **{name: border.to_dict() for name, border in self.borders.items()},
        }


class Delineation:
    """Counts waves and borders, batch by batch, by the rules above.

    Args:
        step_ms: milliseconds per step.
        tolerance_ms: the largest distance of a border that is found from the cardiologist's.
        gap_ms: predicted runs of a wave that are less apart are one wave.
        shortest_ms: predicted runs that are shorter are dropped.
    """

    def __init__(
        self,
        step_ms: float,
        tolerance_ms: float = 150.0,
        gap_ms: float = GAP_MS,
        shortest_ms: float = SHORTEST_MS,
    ) -> None:
        self.step_ms, self.tolerance_ms = step_ms, tolerance_ms
        self.gap_ms, self.shortest_ms = gap_ms, shortest_ms
        self.waves = {
            wave: WaveReport(
                borders={
                    b: BorderReport(cse_tolerance_ms=CSE_TOLERANCE_MS[wave, b]) for b in borders
                }
            )
            for wave, borders in BORDERS.items()
        }

    @classmethod
    def begin(cls, subject: Subject) -> Measurement | None:
        task = subject.trained.task
        if not has_waves(task):
            return None
        found = cls(task.step_ms or 1.0, subject.options.tolerance_ms)
        return Measurement(
            lambda _: found, lambda outcome: found.add(outcome.true, outcome.predicted)
        )

    def add(self, true: Labels, predicted: Labels) -> None:
        """Count a batch.

        Args:
            true: (B, T) classes, -1 where a step has no label or does not count.
            predicted: (B, T) classes.
        """
        for reference, guess in zip(true, predicted, strict=True):
            for start, stop in runs(reference >= 0):
                for wave in BORDERS:
                    self._compare(wave, reference[start:stop], guess[start:stop])

    def to_dict(self) -> dict[str, Any]:
        return {
            "tolerance_ms": self.tolerance_ms,
            "gap_ms": self.gap_ms,
            "shortest_ms": self.shortest_ms,
            **{name: wave.to_dict() for name, wave in self.waves.items()},
        }

    def section(self) -> Section:
        rows: list[list[Any]] = []
        for name, wave in self.waves.items():
            rows.append([name, wave.reference, wave.sensitivity, wave.ppv, None, None, None])
            for border, one in wave.borders.items():
                errors = one.mean_ms, one.sd_ms, one.cse_tolerance_ms
                rows.append([f"  {border}", one.reference, one.sensitivity, one.ppv, *errors])
        columns = {
            "wave": TEXT,
            "labelled": COUNT,
            "sensitivity": SHARE,
            "ppv": SHARE,
            "mean, ms": Form("number", signed=True),
            "sd, ms": NUMBER,
            "experts, ms": NUMBER,
        }
        note = (
            "mean, sd: of the errors, predicted minus true, so late is positive. ppv: fraction of "
            "the predictions that are right. Experts: two standard deviations between experts "
            "(CSE Working Party, 1985; published)."
        )
        lead = (
            f"Borders of the heart's waves, found within {self.tolerance_ms:g} ms of the "
            "cardiologist's."
        )
        return Section(
            "Delineation", lead, (Table("Waves and their borders", columns, rows), Note(note))
        )

    def _compare(self, wave: str, true: Labels, predicted: Labels) -> None:
        """Count one kind of wave in one labelled stretch."""
        classes, borders = WAVES[wave], BORDERS[wave]
        length, report = len(true), self.waves[wave]
        references = runs(np.isin(true, classes))
        guesses = clean(
            runs(np.isin(predicted, classes)),
            self.gap_ms / self.step_ms,
            self.shortest_ms / self.step_ms,
        )
        tolerance = self.tolerance_ms / self.step_ms
        partner = _pair(references, guesses, borders, tolerance)
        for i, reference in enumerate(references):
            guess = None
            if i in partner:
                guess = guesses[partner[i]]
            seen: list[Border] = [border for border in borders if _sees(reference, border, length)]
            found = 0
            for border in seen:  # at other borders a guess is neither right nor wrong
                count = report.borders[border]
                count.reference += 1
                if guess is not None and _sees(guess, border, length):
                    count.predicted += 1
                    error = getattr(guess, border) - getattr(reference, border)
                    if abs(error) <= tolerance:
                        found += 1
                        count.found += 1
                        count.errors_ms.append(error * self.step_ms)
            if len(seen) == len(borders):
                report.reference += 1
                report.predicted += guess is not None
                report.found += found == len(borders)
        for j in set(range(len(guesses))) - set(partner.values()):
            seen = [border for border in borders if _sees(guesses[j], border, length)]
            report.predicted += len(seen) == len(borders)
            for border in seen:
                report.borders[border].predicted += 1


def _sees(run: Interval, border: Border, length: int) -> bool:
    """Whether a run has this border within a stretch of ``length`` steps, so that it begins, or
    ends, there."""
    return 0 < getattr(run, border) < length


def _pair(
    references: list[Interval],
    guesses: list[Interval],
    borders: tuple[Border, ...],
    tolerance: float,
) -> dict[int, int]:
    """Reference index -> guess index, one to one, nearest first; pairs overlap or have a border
    within tolerance."""
    candidates = []
    for i, reference in enumerate(references):
        for j, guess in enumerate(guesses):
            distances = [
                abs(getattr(guess, border) - getattr(reference, border)) for border in borders
            ]
            overlap = reference.onset < guess.offset and guess.onset < reference.offset
            if overlap or min(distances) <= tolerance:
                candidates.append((sum(distances), i, j))
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(candidates):
        if i not in partner and j not in taken:
            partner[i] = j
            taken.add(j)
    return partner
