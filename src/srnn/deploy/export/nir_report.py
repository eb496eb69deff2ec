"""A report, layer by layer, of what a conversion to or from NIR keeps, changes and loses; and the
map of time constants."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ...files.bounds import Between
from ...files.conversion import check

Verdict = Literal["exact", "approximated", "lost"]
Discretisation = Literal["euler", "exact"]
Array = np.ndarray[Any, Any]

EXTENSION = "srnn"
"""Key of this library's own entries in a node's or a graph's metadata."""
FORMAT = 1
"""Version of these entries' format."""


@dataclass(frozen=True)
class Entry:
    """One finding."""

    where: str
    """Layer's name as in the network (layers.0, readout), or "network"; an import names the node in
    the detail."""
    what: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class Report:
    """All findings of a conversion."""

    entries: tuple[Entry, ...]

    @property
    def exact(self) -> bool:
        """Whether NIR represents the whole network."""
        return all(entry.verdict == "exact" for entry in self.entries)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"exact": self.exact, "entries": [asdict(entry) for entry in self.entries]}

    def lines(self) -> list[str]:
        """The report for people, one line per entry."""
        widths = [
            max((len(getattr(entry, name)) for entry in self.entries), default=0)
            for name in ("where", "what")
        ]
        return [
            f"{entry.verdict:<12}  {entry.where:<{widths[0]}}  "
            f"{entry.what:<{widths[1]}}  {entry.detail}"
            for entry in self.entries
        ]


def check_stepping(dt: float, discretisation: str) -> float:
    """dt as a plain number.

    Args:
        dt: seconds per step.
        discretisation: how a reader or writer steps.

    Raises:
        SrnnError: dt is not a time with which float32 can compute, or the discretisation is not a
            known one.
    """
    check("discretisation", discretisation, Discretisation)
    return check("dt", dt, float, Between(1e-30, 1e30))


def to_seconds(steps: Array, own: Discretisation, dt: float, wanted: Discretisation) -> Array:
    """NIR's tau, in seconds, such that its reader has the same factor of a step as we do.

    Args:
        steps: our time constants; our factor is 1 - 1/steps ("euler") or exp(-1/steps) ("exact").
        own: how we discretise.
        dt: seconds per step.
        wanted: how the reader discretises.
    """
    if own == wanted:
        return steps * dt
    return dt / _other_rate(1.0 / steps, own)


def to_steps(tau: Array, own: Discretisation, dt: float, theirs: Discretisation) -> Array:
    """Our time constants, in steps, from NIR's tau: the inverse of ``to_seconds``.

    Args:
        tau: NIR's, in seconds.
        own: how we discretise.
        dt: seconds per step.
        theirs: how the writer discretised.
    """
    if own == theirs:
        return tau / dt
    return 1.0 / _other_rate(dt / tau, theirs)


def _other_rate(rate: Array, how: Discretisation) -> Array:
    """The rate that gives the same factor of a step in the other form, 1 - rate or exp(-rate);
    infinity for a factor of 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if how == "exact":
            return -np.expm1(-rate)
        return -np.log1p(-rate)
