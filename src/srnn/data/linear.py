"""The linear part of an answer: a linear prediction from the last steps, to which a network adds the
scaled residual.

    predicted(t) = sum over k < taps, and inputs i, of weights[k, i] x_i(t - k)
    answer(t) = predicted(t) + residual_scale * network(t)

A spiking network follows a smooth signal less exactly than a linear predictor does, and a linear
predictor can do nothing else. This is the autoregressive part of LSTNet (Lai et al. 2018, SIGIR,
arXiv 1703.07015), but fitted in closed form before the network is trained. All of it is in
deviations of the targets (``targets.py``). Before its first step a sequence is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from ..files.conversion import convert

Array = npt.NDArray[Any]
TAPS = (1, 4, 16, 32)
"""Numbers of steps of which one is chosen, or none."""
_MOST = 1024
"""Steps times inputs that are fitted at most."""
_RIDGE = 1e-6
"""Of the mean square of the inputs: small, and weights stay such that float32 can add them."""
_PAYS = 0.99
"""More taps pay where the squared error of held-out sequences falls below this share."""
_EXACT = 1e-4
"""Deviations that are nothing: the least that a linear part leaves."""


@dataclass(frozen=True)
class LinearPart:
    """A fitted linear part."""

    weights: tuple[tuple[tuple[float, ...], ...], ...]
    """(taps, inputs, values); the first tap is of the step itself."""
    residual_scale: tuple[float, ...]
    """(values,) deviation of the residual: what an output of 1 stands for."""

    def __post_init__(self) -> None:
        weights, scale = np.array(self.weights, float), np.array(self.residual_scale, float)
        if weights.ndim != 3 or not weights.size or weights.shape[2] != len(scale):
            message = "A linear part needs weights (taps, inputs, values)."
            raise SrnnError(message, "value", "weights")
        if not np.isfinite(weights).all():
            message = "The weights of a linear part must be finite."
            raise SrnnError(message, "value", "weights")
        if not (np.isfinite(scale) & (scale > 0)).all():
            message = "The residual scale of a linear part must be finite numbers above 0."
            raise SrnnError(message, "value", "residual_scale")

    @property
    def taps(self) -> int:
        """Steps from which a prediction is made."""
        return len(self.weights)

    @property
    def inputs(self) -> int:
        return len(self.weights[0])

    @property
    def past(self) -> npt.NDArray[np.float64]:
        """(taps - 1, inputs) the steps before a sequence: zeros."""
        return np.zeros((self.taps - 1, self.inputs))

    def predicted(self, x: Array, past: Array | None = None) -> npt.NDArray[np.float64]:
        """The linear prediction, to the same bits however a sequence is cut.

        Args:
            x: (..., T, inputs).
            past: (..., taps - 1, inputs) the steps before them; None: the sequences begin.

        Returns:
            (..., T, values), in deviations of the targets.
        """
        if past is None:
            past = np.broadcast_to(self.past, (*x.shape[:-2], *self.past.shape))
        seen = np.concatenate([past, x], axis=-2, dtype=np.float64)
        predicted = np.zeros((*x.shape[:-1], len(self.residual_scale)))
        for tap, weights in enumerate(np.array(self.weights)):
            begin = self.taps - 1 - tap
            predicted += (seen[..., begin : begin + x.shape[-2], :, None] * weights).sum(-2)
        return predicted

    def after(self, x: Array, past: Array) -> npt.NDArray[np.float64]:
        """The past of the next steps.

        Args:
            x: (T, inputs) the steps that were read.
            past: (taps - 1, inputs) before them.

        Returns:
            (taps - 1, inputs).
        """
        seen = np.concatenate([past, x], dtype=np.float64)
        return seen[len(seen) - len(past) :]

    def plain(self) -> dict[str, Any]:
        """As JSON values; ``restore`` reads them."""
        return {"weights": np.array(self.weights).tolist(), "rest": list(self.residual_scale)}

    @classmethod
    def restore(cls, plain: Mapping[str, Any]) -> Self:
        """From what ``plain`` gave. Raises some exception for anything else."""
        weights = convert(list[list[list[float]]], plain["weights"], "weights")
        scale = convert(list[float], plain["rest"], "rest")
        return cls(tuple(tuple(map(tuple, tap)) for tap in weights), tuple(scale))


class Moments(NamedTuple):
    """Sums over sequences from which least squares are solved, for up to ``taps`` steps."""

    seen: Array
    """(taps inputs, taps inputs) sums of products of the inputs."""
    both: Array
    """(taps inputs, values) of the inputs and the targets."""
    targets: Array
    """(values,) of the targets' squares."""
    known: int
    """Number of targets of each value."""

    @classmethod
    def zero(cls, taps: int, inputs: int, values: int) -> Moments:
        """Those of no sequences.

        Args:
            taps: the most taps that can be fitted.
            inputs: of a step.
            values: targets of a step.
        """
        size = taps * inputs
        return cls(np.zeros((size, size)), np.zeros((size, values)), np.zeros(values), 0)

    def plus(self, x: Array, y: Array, start: int) -> Moments:
        """The sums with more sequences. Steps at which one of the values is unknown count nothing.

        Args:
            x: (N, T, inputs).
            y: (N, T, values) standardised targets; NaN: none.
            start: the first step that counts.
        """
        taps = len(self.seen) // x.shape[2]
        x = np.concatenate([np.zeros((len(x), taps - 1, x.shape[2])), x], axis=1)
        rows = np.lib.stride_tricks.sliding_window_view(x, taps, axis=1)[..., ::-1]
        known = ~np.isnan(y).any(-1) & (np.arange(y.shape[1]) >= start)
        # By taps and then inputs, so that fewer taps are the first rows.
        seen = rows[known].transpose(0, 2, 1).reshape(-1, len(self.seen))
        true = y[known].astype(np.float64)
        return Moments(
            self.seen + seen.T @ seen,
            self.both + seen.T @ true,
            self.targets + np.square(true).sum(0),
            self.known + len(true),
        )

    def fitted(self, taps: int, inputs: int) -> LinearPart:
        """A linear part, by ridge regression.

        Args:
            taps: of the part.
            inputs: of a step.
        """
        size = taps * inputs
        seen, both = self.seen[:size, :size], self.both[:size]
        scale = np.trace(seen) / size
        weights = np.linalg.solve(seen + _RIDGE * max(scale, 1e-30) * np.eye(size), both)
        scale = np.sqrt(self.error(weights))
        shaped = weights.reshape(taps, inputs, -1).tolist()
        return LinearPart(tuple(tuple(map(tuple, tap)) for tap in shaped), tuple(scale.tolist()))

    def error(self, weights: Array) -> npt.NDArray[np.float64]:
        """(values,) the mean squared error of the weights (taps inputs, values)."""
        size = len(weights)
        squared = self.targets - 2 * (weights * self.both[:size]).sum(0)
        squared += (weights * (self.seen[:size, :size] @ weights)).sum(0)
        return np.maximum(squared / max(self.known, 1), _EXACT**2)


def chosen_taps(training: Moments, held_out: Moments, inputs: int) -> int:
    """The number of taps beyond which the error of held-out sequences does not fall.

    Args:
        training: sums over the sequences that are fitted.
        held_out: sums over others.
        inputs: of a step.

    Returns:
        One of ``TAPS``; 0: a linear part does not pay.
    """
    best, least = 0, float(held_out.targets.mean()) / max(held_out.known, 1)
    for taps in TAPS:
        if taps * inputs > len(training.seen):
            break
        weights = np.array(training.fitted(taps, inputs).weights)
        error = float(held_out.error(weights.reshape(taps * inputs, -1)).mean())
        if error < _PAYS * least:
            best, least = taps, error
    return best


def most_taps(inputs: int) -> int:
    """The most taps that are tried; 0 for so many inputs that none are."""
    return max((taps for taps in TAPS if taps * inputs <= _MOST), default=0)
