"""How sure an accuracy is: that of every group (record, speaker, subject), and the interval within which other groups would
have put it.

Sequences of one subject are alike, so ten subjects of a thousand heartbeats each say little more than ten numbers. Groups are
therefore what is drawn at random; sequences only where a split names no groups. The variance of an accuracy p is that of a ratio
of sums over groups (Cochran 1977, equation 6.13): with r right of n decisions in each of G groups, and N decisions in all,

    v = G / (G - 1) * sum (r - p n)^2 / N^2

The interval is Clopper and Pearson's for the number of independent decisions that would have this variance, p (1 - p) / v,
corrected for the few groups that v comes from (Korn & Graubard 1998). It lies within 0 and 1, and is wide where groups are few.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...training.evaluation import Evaluation
from .scores import ratios

LEVEL = 0.95
"""How often the intervals of many samples of groups would contain the accuracy of all groups there are."""


@dataclass(frozen=True)
class GroupReport:
    """The accuracy of every group of a split."""

    names: tuple[str, ...] | None
    """Of the G groups, in alphabetical order; None: the split names none, and each sequence counts as one."""
    sequences: npt.NDArray[np.int64]
    """(G,) sequences of each group."""
    counts: npt.NDArray[np.int64]
    """(G, 2) of each group: decisions that are right, and decisions that count."""

    @classmethod
    def of(cls, evaluation: Evaluation) -> GroupReport:
        """From the counts of its sequences."""
        counts, groups = evaluation.counts, evaluation.groups
        if groups is None:
            return cls(None, np.ones(len(counts), np.int64), counts)
        names, which = np.unique(groups.astype(str), return_inverse=True)
        sums = np.zeros((len(names), 2), np.int64)
        np.add.at(sums, which, counts)
        return cls(tuple(names.tolist()), np.bincount(which, minlength=len(names)), sums)

    @property
    def unit(self) -> str:
        """What the intervals are over."""
        return "sequences" if self.names is None else "groups"

    @property
    def accuracy(self) -> list[float | None]:
        """(G,) of each group; None where nothing counts."""
        return ratios(self.counts[:, 0], self.counts[:, 1])

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the accuracy over all groups, at ``LEVEL``; None for fewer than two groups in which something counts."""
        from scipy.special import betaincinv, stdtrit

        counted = self.counts[self.counts[:, 1] > 0]
        if len(counted) < 2:
            return None
        right, total = counted.sum(0).tolist()
        p, tail = right / total, (1 - LEVEL) / 2
        alone = len(counted)  # as many successes, or failures, as groups: there is nothing to estimate a variance from
        if 0 < right < total:
            few = float(stdtrit(max(total - 1, 1), tail) / stdtrit(len(counted) - 1, tail)) ** 2
            variance = _variance((counted[:, 0] - p * counted[:, 1]) / total)
            # Groups that agree by chance are worth no more than decisions that are independent.
            alone = min(few * p * (1 - p) / variance, total) if variance else total
        return (
            float(betaincinv(p * alone, (1 - p) * alone + 1, tail)) if right else 0.0,
            float(betaincinv(p * alone + 1, (1 - p) * alone, 1 - tail)) if right < total else 1.0,
        )

    def difference(self, other: GroupReport) -> dict[str, Any] | None:
        """By how much this accuracy is above the other's, which is of the same groups, and the interval of that.

        {"accuracy": difference, "interval": (low, high), "count": of groups, "unit": "groups" or "sequences", "better": groups in
        which this one is more accurate, "worse": in which it is less}. The interval is Student's, from the groups' differences:
        what makes a group easy or hard for both cancels. None for other groups, or fewer than two.
        """
        both = (self.counts[:, 1] > 0) & (other.counts[:, 1] > 0) if self.comparable(other) else np.zeros(0, bool)
        if both.sum() < 2:
            return None
        from scipy.special import stdtrit

        deviations, means = [], []
        for counts in (self.counts[both], other.counts[both]):
            right, total = counts.sum(0).tolist()
            means.append(right / total)
            deviations.append((counts[:, 0] - right / total * counts[:, 1]) / total)
        gain = means[0] - means[1]
        half = -float(stdtrit(int(both.sum()) - 1, (1 - LEVEL) / 2)) * math.sqrt(
            _variance(deviations[0] - deviations[1])
        )
        ahead = np.subtract(*(counts[both, 0] / counts[both, 1] for counts in (self.counts, other.counts)))
        return {
            "accuracy": gain,
            "interval": (max(gain - half, -1.0), min(gain + half, 1.0)),
            "count": int(both.sum()),
            "unit": self.unit,
            "better": int((ahead > 0).sum()),
            "worse": int((ahead < 0).sum()),
        }

    def comparable(self, other: GroupReport) -> bool:
        """Whether the other has the same groups, with as many sequences each."""
        return self.names == other.names and np.array_equal(self.sequences, other.sequences)

    @property
    def text(self) -> str:
        """The interval for people, with what it is over; empty without one."""
        if self.interval is None:
            return ""
        low, high = self.interval
        return f"{low:.2%} to {high:.2%} ({LEVEL:.0%} confidence interval over {len(self.counts):,} {self.unit})"

    def to_dict(self) -> dict[str, Any]:
        by_name = {
            "sequences": self.sequences.tolist(),
            "counted": self.counts[:, 1].tolist(),
            "accuracy": self.accuracy,
        }
        return {
            "count": len(self.counts),
            "unit": self.unit,
            "interval": self.interval,
            "level": LEVEL,
            "by_group": None if self.names is None else {"names": list(self.names), **by_name},
        }


def _variance(deviations: npt.NDArray[np.float64]) -> float:
    """Of a sum over groups, from how far each group's part is from its expectation (G,)."""
    return float(np.square(deviations).sum()) * len(deviations) / (len(deviations) - 1)
