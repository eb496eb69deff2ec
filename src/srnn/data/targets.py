"""Targets that are numbers: what a regression learns, and the units in which it answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from ..files.conversion import convert
from ..text import one_line
from .linear import LinearPart

VALUE = "value"
"""The name of a value that has none of its own."""


@dataclass(frozen=True)
class Targets:
    """The values that a network answers with, one for each output.

    The network itself learns (target - mean) / std, so that temperatures and pressures have one
    scale; for values at each step, the residual of a linear prediction from the last inputs. Its
    answers are converted back, wherever they are read.
    """

    units: tuple[str | None, ...]
    """One for each value; None: not known."""
    mean: tuple[float, ...] | None = None
    """Of the training split; None: it has not been read yet."""
    std: tuple[float, ...] | None = None
    """The standard deviation in the training split, above 0; 1 for a value that never changes."""
    linear: LinearPart | None = None
    """The linear part of values at each step; None: there is none."""

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            message = "The mean and the deviation of values belong together."
            raise SrnnError(message, "conflict", "mean")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers is not None and len(numbers) != len(self.units):
                message = f"{len(self.units)} values cannot have {len(numbers)} scales."
                raise SrnnError(message, "conflict", name)
            if numbers is not None and not all(map(math.isfinite, numbers)):
                message = "The mean and the deviation of values must be finite numbers."
                raise SrnnError(message, "value", name)
        if self.std is not None and min(self.std) <= 0:
            raise SrnnError("The deviation of values must be above 0.", "value", "std")
        if self.linear is not None and len(self.linear.residual_scale) != len(self.units):
            count = len(self.linear.residual_scale)
            message = f"{len(self.units)} values cannot have {count} linear parts."
            raise SrnnError(message, "conflict", "linear")

    def of_training(self, y: npt.NDArray[Any]) -> Self:
        """With the statistics of a training split's targets (..., values), NaN where there is none.

        SrnnError (``data``) where one of the values has no target at all.
        """
        rows = y.reshape(-1, y.shape[-1]).astype(np.float64)
        if np.isnan(rows).all(0).any():
            message = "The training split has no target: every one of them is NaN."
            raise SrnnError(message, "data", "y")
        mean, std = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
        constant = std <= 1e-9 * np.maximum(np.abs(mean), np.finfo(np.float32).tiny)
        std = np.where(constant, 1.0, std)
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    @property
    def scale(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(values,) mean, and standard deviation; 0 and 1 while they are not known."""
        if self.mean is None or self.std is None:
            return np.zeros(len(self.units)), np.ones(len(self.units))
        return np.array(self.mean), np.array(self.std)

    @property
    def residual_scale(self) -> npt.NDArray[np.float64]:
        """(values,) how many deviations of a target 1 of the network's output is."""
        if self.linear is None:
            return np.ones(len(self.units))
        return np.array(self.linear.residual_scale)

    def past(self, inputs: int) -> npt.NDArray[np.float64]:
        """(steps, inputs) the inputs before a sequence, for the linear part."""
        if self.linear is None:
            return np.zeros((0, inputs))
        return self.linear.past

    def after(self, x: npt.NDArray[Any], past: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The past of the next steps, as ``LinearPart.after``.

        Args:
            x: (T, inputs) the steps that were read.
            past: (steps, inputs) before them.
        """
        if self.linear is None:
            return past
        return self.linear.after(x, past)

    def answered(
        self,
        output: npt.NDArray[Any],
        x: npt.NDArray[Any],
        past: npt.NDArray[Any] | None = None,
    ) -> npt.NDArray[Any]:
        """A network's output with the linear part: standardised values.

        Args:
            output: (..., T, values) of the network.
            x: (..., T, inputs) its inputs.
            past: as of ``LinearPart.predicted``.

        Returns:
            (..., T, values).
        """
        if self.linear is None:
            return output
        return self.residual_scale * output + self.linear.predicted(x, past)

    def restored(self, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Standardised values (..., values), in the targets' own units."""
        mean, std = self.scale
        return mean + std * scores

    def in_words(self, number: int, value: float) -> str:
        """A value with its unit, for people.

        Args:
            number: which of the values it is, from 0.
            value: in the target's unit.
        """
        unit = self.units[number]
        if unit is None:
            return f"{value:.4g}"
        return f"{value:.4g} {unit}"

    def described(self, names: Sequence[str], values: npt.NDArray[Any]) -> str:
        """Values with names and units, for people; one that has no name of its own, without it.

        Args:
            names: of the values.
            values: (values,) in the targets' units.
        """
        words = [self.in_words(number, float(value)) for number, value in enumerate(values)]
        if tuple(names) == (VALUE,):
            return words[0]
        return ", ".join(f"{name} {one}" for name, one in zip(names, words, strict=True))

    def plain(self) -> dict[str, Any]:
        """As JSON values; ``restore`` reads them."""
        mean, std = (None if one is None else list(one) for one in (self.mean, self.std))
        if self.linear is None:
            linear = None
        else:
            linear = self.linear.plain()
        return {"units": list(self.units), "mean": mean, "std": std, "linear": linear}

    @classmethod
    def restore(cls, plain: Mapping[str, Any]) -> Self:
        """From what ``plain`` gave. Raises some exception for anything else."""
        units = convert(list[str | None], plain["units"], "units")
        named = tuple(None if unit is None else one_line(unit, 40) for unit in units)
        scales = (convert(list[float] | None, plain[name], name) for name in ("mean", "std"))
        mean, std = (None if one is None else tuple(one) for one in scales)
        linear = plain.get("linear")  # missing from older files
        return cls(named, mean, std, None if linear is None else LinearPart.restore(linear))


def of_steps(y: Any) -> bool:
    """Whether labels or targets, an array or a tensor, belong to steps: classes (N, T), or values
    (N, T, values), which are floats."""
    return y.ndim == 2 + are_values(y)


def are_values(y: Any) -> bool:
    """Whether they are targets, floats, and not the numbers of classes."""
    return "float" in str(y.dtype)


def unlabelled(y: Any) -> float:
    """Stands among labels or targets where there is none: NaN, or -1 in place of a class."""
    if are_values(y):
        return math.nan
    return -1
