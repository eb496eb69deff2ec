"""The bushy cell: probability of firing -> spikes. It combines 40 noisy copies of a nerve fibre,
which sharpens their timing.

    Each copy fires within a step with the probability p of the hair cell, unless it fired less than a refractory period ago.
    I <- I exp(-dt / tau_syn) + copies that fire
    V <- V exp(-dt / tau_mem) + (weight / copies) dt I         a spike where V >= 1; then V = 0 for a refractory period

Copies that are not refractory are alike, so only their number A matters: how many fire is one draw
from the binomial distribution of A and p, instead of one draw per copy. The spikes have the same
distribution.

Randomness is counter-based: the draw of a place and step is a SplitMix64 output (Steele et al.
2014) whose index is the pair. It depends only on the key, never on what else was computed.

Source: Rothman, Young & Manis 1993 for the cell; as a LIF neuron, Cramer et al. 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ....compiling import loop
from ....files.bounds import Count, Positive
from ....files.conversion import CheckedSettings


class BushyState(NamedTuple):
    """The state of the cells of P places, in the middle of a sound."""

    recent: npt.NDArray[np.int32]
    """(refractory steps, P): how many copies fired in each of the last steps, as a ring: step t is
    row t % rows."""
    current: npt.NDArray[np.float64]
    """(P,) I."""
    potential: npt.NDArray[np.float64]
    """(P,) V."""
    pause: npt.NDArray[np.int32]
    """(P,) remaining steps of the cell's refractory period."""


@dataclass(frozen=True)
class BushyCell(CheckedSettings):
    """The model's constants; times in seconds. The defaults are those of SHD and SSC."""

    copies: Count = 40
    tau_mem: Positive = 1e-3
    tau_syn: Positive = 0.5e-3
    refractory: Positive = 1e-3
    """Refractory period of the copies and of the cell."""
    weight: Positive = 13000.0
    """Weight of all copies together, per second."""

    def wait(self, rate: float) -> int:
        """Steps of the refractory period at ``rate`` steps per second."""
        # 0.001 * rate may lie just above an integer.
        return math.ceil(self.refractory * rate - 1e-9)

    def rest(self, places: int, rate: float) -> BushyState:
        """The state of the cells before any sound.

        Args:
            places: number of cells.
            rate: steps per second.
        """
        recent = np.zeros((max(self.wait(rate), 1), places), np.int32)
        return BushyState(recent, np.zeros(places), np.zeros(places), np.zeros(places, np.int32))

    def spikes(
        self,
        probability: npt.NDArray[np.floating],
        rate: float,
        key: int,
        first_place: int = 0,
        first_step: int = 0,
        state: BushyState | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Spikes of one cell per place, by step and then column.

        Args:
            probability: (T, P) of a copy firing within a step.
            rate: steps per second.
            key: for the random numbers, 0 to 2^64 - 1.
            first_place: of column 0, so that a block of places has the same draws as in the whole.
            first_step: of row 0, likewise.
            state: the state to continue from, overwritten by the final one; None: no sound before.

        Returns:
            Steps and columns of the spikes, (S,) each.
        """
        steps, places = probability.shape
        wait = self.wait(rate)
        if state is None:
            recent, current, potential, pause = self.rest(places, rate)
        else:
            recent, current, potential, pause = state
        most = places * (steps // (wait + 1) + 1)
        out_t, out_i = np.empty(most, np.int64), np.empty(most, np.int64)
        count = loop(_integrate)(
            probability,
            recent,
            current,
            potential,
            pause,
            np.uint64(key),
            first_place,
            first_step,
            self.copies,
            self.copies.bit_length(),
            wait,
            math.exp(-1 / (rate * self.tau_syn)),
            math.exp(-1 / (rate * self.tau_mem)),
            self.weight / self.copies / rate,
            out_t,
            out_i,
        )
        return out_t[:count], out_i[:count]


def _integrate(
    p: npt.NDArray,
    recent: npt.NDArray,
    current: npt.NDArray,
    potential: npt.NDArray,
    pause: npt.NDArray,
    key: np.uint64,
    first_place: int,
    first_step: int,
    copies: int,
    bits: int,
    wait: int,
    keep_syn: float,
    keep_mem: float,
    gain: float,
    out_t: npt.NDArray,
    out_i: npt.NDArray,
) -> int:
    """Number of spikes written. The short loops over places become SIMD code; only draws of 1 or
    more branch."""
    steps, places = p.shape
    free = np.full(places, copies, np.int32)
    for k in range(len(recent)):
        for i in range(places):
            free[i] -= recent[k, i]
    draw, none, power = np.empty(places), np.empty(places), np.empty(places)
    fired = np.empty(places, np.int32)
    count = 0
    for t in range(steps):
        step = first_step + t
        row = recent[step % len(recent)]
        for i in range(places):
            free[i] += row[i]
        # Probability that none fires: (1 - p)^free, by squaring.
        for i in range(places):
            power[i] = 1.0 - min(p[t, i], 0.999999)
            none[i] = power[i] if free[i] & 1 else 1.0
        for bit in range(1, bits):
            for i in range(places):
                power[i] *= power[i]
                none[i] *= power[i] if (free[i] >> bit) & 1 else 1.0
        # One uniform draw per place, SplitMix64 of its index. A row of indices holds 2^16 places.
        for i in range(places):
            index = np.uint64((step << 16) + first_place + i + 1)
            z = key + index * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            draw[i] = np.int64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
        # The binomial distribution, inverted.
        for i in range(places):
            number = 0
            if draw[i] >= none[i]:
                q = 1.0 - min(p[t, i], 0.999999)
                odds = (1.0 - q) / q
                mass = none[i]
                below = mass
                while number < free[i] and draw[i] >= below:
                    mass *= odds * (free[i] - number) / (number + 1)
                    below += mass
                    number += 1
            fired[i] = number
        for i in range(places):
            row[i] = fired[i]
            free[i] -= fired[i]
            current[i] = current[i] * keep_syn + fired[i]
            resting = pause[i] > 0
            potential[i] = 0.0 if resting else potential[i] * keep_mem + gain * current[i]
            pause[i] = pause[i] - 1 if resting else 0
        for i in range(places):
            if potential[i] >= 1.0:
                out_t[count], out_i[count] = t, i
                count += 1
                potential[i] = 0.0
                pause[i] = wait
    return count
