"""Level crossing: a sampled signal -> two spike trains per channel, one for rises and one for
falls.

Two rules, each with a threshold for either direction (L+ > 0, L- > 0; spikes are 0/1):

    difference      S+_t = x_t - x_{t-1} >= L+        S-_t = x_{t-1} - x_t >= L-
                    The paper's rule (Methods, ECG): a spike where the signal is steep.
    send_on_delta   S+_t = x_t - r >= L+              S-_t = r - x_t >= L-              then r = x_t at a spike
                    r is the signal at the last spike: a spike wherever the signal has moved by a threshold since,
                    however slowly; at most one per step.

Both need one number per channel as state (x_{t-1}, or r), which goes in and comes out: a signal
encoded block by block with the state passed on gives exactly the spikes of the whole. Without a
state, the first sample only sets it.

Sources: difference, Yin, Corradi & Bohte 2021, Methods (ECG); send_on_delta, Miskowicz 2006,
"Send-on-delta concept: an event-based data reporting strategy".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import Positive
from ...files.conversion import CheckedSettings
from .streaming import as_numbers

Rule = Literal["difference", "send_on_delta"]
Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class LevelCrossing(CheckedSettings):
    """A rule with its two thresholds:
    ``spikes, state = LevelCrossing("difference", 0.3, 0.3)(signal, state)``."""

    rule: Rule = "difference"
    up: Positive = 0.3
    """Threshold for rises, in the signal's unit."""
    down: Positive = 0.3
    """Threshold for falls, in the signal's unit."""

    def __call__(
        self, signal: npt.ArrayLike, state: npt.ArrayLike | None = None
    ) -> tuple[npt.NDArray[np.float32], Array]:
        """Encode a signal, or a block of one.

        Args:
            signal: (..., T, C), in the unit of the thresholds.
            state: what the call for the block before returned; None at the start (step 0 then has
                no spike).

        Returns:
            Spikes (..., T, 2C), 0 or 1, and the new state (..., C). Channel 2c is the rises of
            channel c, 2c+1 its falls.

        Raises:
            SrnnError: ``data``: values that are not finite, or another shape.
        """
        x = _floats("signal", signal)
        if x.ndim < 2:
            message = f"A signal must have the shape (..., time, channels), not {x.shape}."
            raise SrnnError(message, "data", "signal")
        if state is not None:
            level, shape = _floats("state", state), (*x.shape[:-2], x.shape[-1])
            if level.shape != shape:
                message = f"The encoder's state has the shape {level.shape}; this signal needs"
                raise SrnnError(f"{message} {shape}.", "data", "state")
        elif x.shape[-2] == 0:
            message = "The first block of a signal is empty; it must contain at least one sample."
            raise SrnnError(message, "data", "signal")
        else:
            level = x[..., 0, :].copy()
        if self.rule == "difference" and x.shape[-2]:
            change = np.diff(x, axis=-2, prepend=level[..., None, :])
            return _interleave(change >= self.up, -change >= self.down), x[..., -1, :].copy()
        rises, falls = np.zeros(x.shape, bool), np.zeros(x.shape, bool)
        for t in range(x.shape[-2]):
            now = x[..., t, :]
            change = now - level
            rises[..., t, :] = change >= self.up
            falls[..., t, :] = -change >= self.down
            level = np.where(rises[..., t, :] | falls[..., t, :], now, level)
        return _interleave(rises, falls), level


def _floats(field: str, values: npt.ArrayLike) -> Array:
    x = as_numbers(field, values)
    if x.dtype.kind != "f":
        x = x.astype(np.float64)  # unsigned differences would wrap around
    if not np.isfinite(x).all():
        message = f"The {field} contains values that are not finite (NaN or infinity); remove them."
        raise SrnnError(message, "data", field)
    return x


def _interleave(
    rises: npt.NDArray[np.bool_], falls: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Two (..., T, C) -> (..., T, 2C): up 0, down 0, up 1, down 1, ..."""
    return (
        np.stack([rises, falls], axis=-1)
        .reshape(*rises.shape[:-1], 2 * rises.shape[-1])
        .astype(np.float32)
    )
