"""The inner hair cell: velocity of the membrane -> probability that a nerve fibre fires.

Transmitter moves between three reservoirs: free (q), in the cleft (c), reprocessed (w). With the
membrane's velocity v:

    k = g (v + A) / (v + A + B) where v + A > 0, else 0      permeability
    dq/dt = y max(M - q, 0) + x w - k q                      replenished, returned, released
    dc/dt = k q - (l + r) c                                  lost (l) and taken up again (r)
    dw/dt = r c - x w
    p = h c dt                                               probability of firing within a step

by Euler steps of one sample, with none of them below 0, from the equilibrium in silence.

Source: Meddis 1986 and 1988, J. Acoust. Soc. Am. 79:702 and 83:1056.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....compiling import loop
from ....files.bounds import Positive
from ....files.conversion import CheckedSettings


@dataclass(frozen=True)
class HairCell(CheckedSettings):
    """The model's constants; rates per second. The defaults are those of SHD and SSC."""

    replenishment: Positive = 5.05
    """y."""
    permeability: Positive = 2000.0
    """g, the maximal rate of transmitter release, per second."""
    loss: Positive = 2500.0
    """l."""
    uptake: Positive = 6580.0
    """r."""
    reprocessing: Positive = 66.3
    """x."""
    offset: Positive = 5.0
    """A, in units of the velocity."""
    half_release: Positive = 300.0
    """B, in units of the velocity: the permeability is half its maximum at v + A = B."""
    firing: Positive = 50000.0
    """h."""
    capacity: Positive = 1.0
    """M, transmitter in the free reservoir when full."""

    def reservoirs(self, places: int) -> npt.NDArray[np.float64]:
        """(3, places): q, c and w of as many cells in silence."""
        k = self.permeability * self.offset / (self.offset + self.half_release)
        gone = self.loss + self.uptake
        c = self.capacity * self.replenishment * k / (self.loss * k + self.replenishment * gone)
        return np.repeat(
            [[c * gone / k], [c], [c * self.uptake / self.reprocessing]], places, axis=1
        )

    def firing_probability(
        self,
        velocity: npt.NDArray[np.floating],
        rate: float,
        reservoirs: npt.NDArray[np.float64] | None = None,
    ) -> npt.NDArray[np.floating]:
        """Probability of firing within each step.

        Args:
            velocity: (T, P) of the membrane; overwritten by the result.
            rate: steps per second.
            reservoirs: (3, P) the state to continue from, overwritten by the final one; None:
                silence before.

        Returns:
            (T, P), in the place of the velocity.
        """
        if reservoirs is None:
            held = self.reservoirs(velocity.shape[1])
        else:
            held = reservoirs
        loop(_release)(
            velocity,
            held[0],
            held[1],
            held[2],
            self.offset,
            self.half_release,
            self.capacity,
            self.permeability / rate,
            self.replenishment / rate,
            (self.loss + self.uptake) / rate,
            self.uptake / rate,
            self.reprocessing / rate,
            self.firing / rate,
        )
        return velocity


def _release(
    v: npt.NDArray,
    q: npt.NDArray,
    c: npt.NDArray,
    w: npt.NDArray,
    offset: float,
    half: float,
    capacity: float,
    g_dt: float,
    y_dt: float,
    lr_dt: float,
    r_dt: float,
    x_dt: float,
    h_dt: float,
) -> None:
    """v (T, P) in place, reservoirs (P,): the places are the SIMD lanes."""
    steps, places = v.shape
    for t in range(steps):
        for i in range(places):
            drive = v[t, i] + offset
            released = 0.0
            if drive > 0:
                released = g_dt * drive / (drive + half) * q[i]
            replenished = y_dt * max(capacity - q[i], 0.0)
            returned = x_dt * w[i]
            q_new = q[i] + replenished - released + returned
            c_new = c[i] + released - lr_dt * c[i]
            w_new = w[i] + r_dt * c[i] - returned
            q[i], c[i], w[i] = max(q_new, 0.0), max(c_new, 0.0), max(w_new, 0.0)
            v[t, i] = h_dt * c[i]
