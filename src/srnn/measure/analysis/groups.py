"""How sure an accuracy is: that of every group (record, speaker, subject), and the interval within
which other groups would have put it.

Sequences of one subject are alike, so ten subjects of a thousand heartbeats each are worth little
more than ten numbers. Groups are therefore what is drawn at random; sequences only where a split names
no groups. The variance of an accuracy p over G groups comes from what it would be without each of
them in turn (the jackknife, Tukey 1958):

    v = (G - 1) / G * sum (p_without - p)^2

For groups of equal size this is Cochran's variance of a ratio (1977, equation 6.13), which is too
small where one group has most of the decisions: it pulls p to its own accuracy, from which it then
hardly differs.

The interval is Clopper and Pearson's for the number of independent decisions that would have this
variance, p (1 - p) / v, corrected for the few groups that v comes from (Korn & Graubard 1998). It
lies within 0 and 1, and is wide where groups are few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ...nn.scores import ratios
from ...training.evaluation import Evaluation
from ..sections import COUNT, SHARE, TEXT, Note, Part, Section, Table, Values
from .measuring import Measurement, Subject

LEVEL = 0.95
"""How often the intervals of many samples of groups would contain the accuracy of all groups there
are."""
FIRST_GROUPS = 12
"""How many groups a terminal lists."""


@dataclass(frozen=True)
class GroupReport:
    """The accuracy of every group of a split."""

    names: tuple[str, ...] | None
    """Of the G groups, in alphabetical order; None: the split names none, and each sequence counts
    as one."""
    sequences: npt.NDArray[np.int64]
    """(G,) sequences of each group."""
    counts: npt.NDArray[np.int64]
    """(G, 2) of each group: decisions that are right, and decisions that count."""
    labelled: bool = False
    """Whether only labelled steps count, of a task in which others count by convention."""

    @classmethod
    def begin(cls, subject: Subject) -> Measurement:
        return Measurement(cls.of)

    @classmethod
    def of(cls, evaluation: Evaluation) -> GroupReport:
        """From the counts of its sequences."""
        counts, groups = evaluation.counts, evaluation.groups
        labelled, each = "accuracy_labelled" in evaluation.report, np.ones(len(counts), np.int64)
        if groups is None:
            return cls(None, each, counts, labelled)
        return cls._named(groups.astype(str), each, counts, labelled)

    @classmethod
    def together(cls, reports: Sequence[GroupReport], splits: Sequence[int]) -> GroupReport:
        """The report of several networks.

        Args:
            reports: those of the networks.
            splits: a number for each report, the same where they are about the same sequences
                (seeds), another elsewhere (folds).

        Returns:
            All decisions about each group, or each sequence if a report names no groups.
        """
        named = [report.names for report in reports if report.names is not None]
        labelled = any(report.labelled for report in reports)
        if len(named) < len(reports):
            of: dict[int, npt.NDArray[np.int64]] = {}
            for report, split in zip(reports, splits, strict=True):
                of[split] = of.get(split, np.int64(0)) + report.counts
            joined = np.concatenate(list(of.values()))
            return cls(None, np.ones(len(joined), np.int64), joined, labelled)
        sequences, counts = (
            np.concatenate(parts)
            for parts in zip(*((r.sequences, r.counts) for r in reports), strict=True)
        )
        return cls._named(np.concatenate(named), sequences, counts, labelled)

    @classmethod
    def _named(
        cls,
        names: npt.NDArray[Any],
        sequences: npt.NDArray[np.int64],
        counts: npt.NDArray[np.int64],
        labelled: bool,
    ) -> Self:
        """Sequences (N,) and counts (N, 2) added up by name (N,)."""
        groups, which = np.unique(names, return_inverse=True)
        of_each, sums = np.zeros(len(groups), np.int64), np.zeros((len(groups), 2), np.int64)
        np.add.at(of_each, which, sequences)
        np.add.at(sums, which, counts)
        return cls(tuple(groups.tolist()), of_each, sums, labelled)

    @property
    def unit(self) -> str:
        """What the intervals are over."""
        if self.names is None:
            return "sequences"
        return "groups"

    @property
    def count(self) -> int:
        """Of the groups in which something counts, which are what the interval is over."""
        return int((self.counts[:, 1] > 0).sum())

    @property
    def overall(self) -> float | None:
        """The accuracy over all groups; None where nothing counts."""
        right, total = self.counts.sum(0).tolist()
        if not total:
            return None
        return right / total

    @property
    def accuracy(self) -> list[float | None]:
        """(G,) of each group; None where nothing counts."""
        return ratios(self.counts[:, 0], self.counts[:, 1])

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the accuracy over all groups, at ``LEVEL``; None for fewer than two groups in which
        something counts."""
        from scipy.special import betaincinv, stdtrit

        counted = self.counts[self.counts[:, 1] > 0]
        if len(counted) < 2:
            return None
        right, total = counted.sum(0).tolist()
        (p, without), tail = _without_each(counted), (1 - LEVEL) / 2
        # Where all are right, or all are wrong, there is nothing to estimate a variance from: as
        # many successes, or failures, as groups.
        alone = len(counted)
        if 0 < right < total:
            few = float(stdtrit(total - 1, tail) / stdtrit(len(counted) - 1, tail)) ** 2
            variance = _variance(without - p)
            # Groups that agree by chance are worth no more than decisions that are independent.
            if variance:
                alone = min(few * p * (1 - p) / variance, total)
            else:
                alone = total
        return (
            float(betaincinv(p * alone, (1 - p) * alone + 1, tail)) if right else 0.0,
            float(betaincinv(p * alone + 1, (1 - p) * alone, 1 - tail)) if right < total else 1.0,
        )

    def difference(self, other: GroupReport) -> dict[str, Any] | None:
        """The difference of two accuracies over the same groups, and its interval.

        The interval is Student's, from how each group moves the difference: what makes a group easy
        or hard for both cancels.

        Returns:
            {"accuracy": by how much this accuracy is above the other's, "interval": (low, high),
            "count": of groups, "unit": "groups" or "sequences", "better": groups in which this one
            is more accurate, "worse": in which it is less}; None for other groups, or fewer than
            two.
        """
        if self.names != other.names or not np.array_equal(self.sequences, other.sequences):
            return None
        both = (self.counts[:, 1] > 0) & (other.counts[:, 1] > 0)
        if both.sum() < 2:
            return None
        from scipy.special import stdtrit

        ours, theirs = (_without_each(one.counts[both]) for one in (self, other))
        gain, count, tail = ours[0] - theirs[0], int(both.sum()), (1 - LEVEL) / 2
        variance = _variance(ours[1] - theirs[1] - gain)
        # The same difference everywhere, mostly none: as many groups that agree, as in
        # ``interval``, bound how rare others are.
        if variance > 1e-20:
            half = -float(stdtrit(count - 1, tail)) * math.sqrt(variance)
        else:
            half = 1 - tail ** (1 / count)
        ahead = np.subtract(
            *(counts[both, 0] / counts[both, 1] for counts in (self.counts, other.counts))
        )
        return {
            "accuracy": gain,
            "interval": (max(gain - half, -1.0), min(gain + half, 1.0)),
            "count": count,
            "unit": self.unit,
            "better": int((ahead > 0).sum()),
            "worse": int((ahead < 0).sum()),
        }

    @property
    def accuracy_name(self) -> str:
        """What the accuracy is of."""
        if self.labelled:
            return "accuracy, labelled steps"
        return "accuracy"

    def certainty(self) -> tuple[Part, ...]:
        """The interval for people, with what it is over, or why there is none; nothing where
        nothing counts."""
        if not self.count:
            return ()
        if self.interval is None:
            return (Note(f"No confidence interval: only one of the {self.unit} has labels."),)
        name = (
            f"{self.accuracy_name}, {LEVEL:.0%} confidence interval over {self.count:,} {self.unit}"
        )
        return (Values({name: (self.interval, SHARE)}),)

    def to_dict(self) -> dict[str, Any]:
        by_name = {
            "sequences": self.sequences.tolist(),
            "counted": self.counts[:, 1].tolist(),
            "accuracy": self.accuracy,
        }
        return {
            "count": self.count,
            "unit": self.unit,
            "interval": self.interval,
            "level": LEVEL,
            "by_group": None if self.names is None else {"names": list(self.names), **by_name},
        }

    def section(self) -> Section | None:
        if not self.count:
            return None
        if self.names is None:
            return Section(
                "Groups",
                "The split names no groups: each sequence counts as one.",
                self.certainty(),
            )
        columns = zip(
            self.names,
            self.sequences.tolist(),
            self.counts[:, 1].tolist(),
            self.accuracy,
            strict=True,
        )
        rows = sorted(
            (row for row in columns if row[3] is not None), key=lambda row: (row[3], row[0])
        )
        head = {"group": TEXT, "sequences": COUNT, "labelled": COUNT, self.accuracy_name: SHARE}
        lead = (
            "Records, speakers or subjects. Sequences of one group are alike, so the interval "
            "depends on how much groups differ, and on how few there are."
        )
        table = Table(
            "The least accurate first", head, rows, bar=self.accuracy_name, first=FIRST_GROUPS
        )
        return Section("Groups", lead, (table, *self.certainty()))


def _without_each(counts: npt.NDArray[np.int64]) -> tuple[float, npt.NDArray[np.float64]]:
    """The accuracy over groups from their counts (G, 2), and (G,) what it would be without each of
    them."""
    right, total = counts.sum(0).tolist()
    return right / total, (right - counts[:, 0]) / (total - counts[:, 1])


def _variance(changes: npt.NDArray[np.float64]) -> float:
    """The jackknife's, from the changes (G,) that leaving out each group makes."""
    return float(np.square(changes).sum()) * (len(changes) - 1) / len(changes)
