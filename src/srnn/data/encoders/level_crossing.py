"""Level crossing: a sampled signal -> two spike trains a channel, one for rises and one for falls.

Two rules, each with a threshold for either direction (L+ > 0, L- > 0; spikes are 0/1):

    difference      S+_t = x_t - x_{t-1} >= L+        S-_t = x_{t-1} - x_t >= L-
                    The paper's rule (Methods, ECG): a spike where the signal is steep.
    send_on_delta   S+_t = x_t - r >= L+              S-_t = r - x_t >= L-              then r = x_t at a spike
                    r is the signal at the last spike: a spike wherever the signal has moved by a threshold since,
                    however slowly; at most one a step.

Both need one number a channel as state (x_{t-1}, or r), which goes in and comes out: a signal encoded block by block
with the state carried gives exactly the spikes of the whole. Without a state, the first sample only sets it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, nearest

Rule = Literal["difference", "send_on_delta"]
Array = npt.NDArray[np.floating]


def difference_crossing(
    signal: npt.ArrayLike, up: float, down: float, state: npt.ArrayLike | None = None
) -> tuple[npt.NDArray[np.float32], Array]:
    """Spikes where the signal rises by at least ``up``, or falls by at least ``down``, from one sample to the next.

    Args:
        signal: (..., T, C), any unit.
        up, down: thresholds in the signal's unit, positive.
        state: (..., C), the sample before the block; None at the start (step 0 then has no spike).

    Returns:
        spikes (..., T, 2C), 0 or 1, channel 2c the rises of channel c and 2c+1 its falls; and the new state (..., C).

    Raises:
        SrnnError: values that are not finite, wrong shapes, or a threshold that is not positive.

    Source: Yin, Corradi & Bohte 2021, Methods (ECG).
    """
    x, before = _prepare(signal, up, down, state)
    if x.shape[-2] == 0:
        return _interleave(np.zeros(x.shape, bool), np.zeros(x.shape, bool)), before
    change = np.diff(x, axis=-2, prepend=before[..., None, :])
    return _interleave(change >= up, -change >= down), x[..., -1, :].copy()


def send_on_delta(
    signal: npt.ArrayLike, up: float, down: float, state: npt.ArrayLike | None = None
) -> tuple[npt.NDArray[np.float32], Array]:
    """Spikes where the signal has moved by a threshold from its value at the last spike, at most one a step.

    Args, returns and errors as ``difference_crossing``; ``state`` (..., C) is the signal's value at the last spike.

    Source: Miskowicz 2006, "Send-on-delta concept: an event-based data reporting strategy".
    """
    x, reference = _prepare(signal, up, down, state)
    rises, falls = np.zeros(x.shape, bool), np.zeros(x.shape, bool)
    for t in range(x.shape[-2]):
        now = x[..., t, :]
        change = now - reference
        rises[..., t, :] = change >= up
        falls[..., t, :] = -change >= down
        reference = np.where(rises[..., t, :] | falls[..., t, :], now, reference)
    return _interleave(rises, falls), reference


@dataclass(frozen=True)
class LevelCrossing:
    """A rule with its two thresholds: ``spikes, state = LevelCrossing("difference", 0.3, 0.3)(signal, state)``."""

    rule: Rule = "difference"
    up: float = 0.3
    """Threshold for rises, in the signal's unit."""
    down: float = 0.3
    """Threshold for falls, positive, in the signal's unit."""

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise SrnnError(f"There is no level-crossing rule {self.rule!r}.{nearest(self.rule, get_args(Rule))}")
        _check_threshold("up", self.up)
        _check_threshold("down", self.down)

    def __call__(
        self, signal: npt.ArrayLike, state: npt.ArrayLike | None = None
    ) -> tuple[npt.NDArray[np.float32], Array]:
        """signal (..., T, C), state (..., C) or None -> spikes (..., T, 2C), state."""
        encode = difference_crossing if self.rule == "difference" else send_on_delta
        return encode(signal, self.up, self.down, state)


def _check_threshold(name: str, value: object) -> None:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:  # type: ignore[arg-type, operator]
        raise SrnnError(f"A level-crossing threshold must be a positive number; {name!r} is {value!r}.")


def _prepare(signal: npt.ArrayLike, up: float, down: float, state: npt.ArrayLike | None) -> tuple[Array, Array]:
    _check_threshold("up", up)
    _check_threshold("down", down)
    x = _floats("signal", signal)
    if x.ndim < 2:
        raise SrnnError(f"A signal must have the shape (..., time, channels), not {x.shape}.")
    shape = (*x.shape[:-2], x.shape[-1])
    if state is not None:
        before = _floats("state", state)
        if before.shape != shape:
            raise SrnnError(f"The encoder's state has the shape {before.shape}; this signal needs {shape}.")
    elif x.shape[-2] == 0:
        raise SrnnError("The first block of a signal is empty; it must contain at least one sample.")
    else:
        before = x[..., 0, :].copy()
    return x, before


def _floats(what: str, values: npt.ArrayLike) -> Array:
    try:
        x = np.asarray(values)
        if x.dtype.kind in "biu":
            x = x.astype(np.float64)  # unsigned differences would wrap around
    except ValueError as error:
        raise SrnnError(f"The {what} is not a regular array: {error}") from error
    if x.dtype.kind != "f":
        raise SrnnError(f"The {what} must contain real numbers, not {x.dtype}.")
    if not np.isfinite(x).all():
        raise SrnnError(f"The {what} contains values that are not finite (NaN or infinity); remove them first.")
    return x


def _interleave(rises: npt.NDArray[np.bool_], falls: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Two (..., T, C) -> (..., T, 2C): up 0, down 0, up 1, down 1, ..."""
    return np.stack([rises, falls], axis=-1).reshape(*rises.shape[:-1], 2 * rises.shape[-1]).astype(np.float32)
