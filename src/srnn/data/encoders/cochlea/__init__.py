"""The cochlea: sound -> spike trains of 700 places between the base (high tones) and the apex (low
tones) of the inner ear.

    sound, RMS 0.3, Hann ramps -> basilar membrane -> inner hair cells -> bushy cells -> spikes

Each stage's equations are in its own file. These are the models and constants behind the Spiking
Heidelberg Digits and the Spiking Speech Commands (Cramer, Stradmann, Schemmel & Zenke 2020, IEEE
TNNLS 33:2744).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from ....errors import SrnnError
from ....files.bounds import Between, Positive
from ....files.conversion import CheckedSettings, check
from ..mel import as_sound
from .basilar import BasilarMembrane, TransferTables, velocity
from .bushy import BushyCell, BushyState
from .hair_cell import HairCell

__all__ = ["BasilarMembrane", "BushyCell", "BushyState", "Cochlea", "HairCell", "clip_key"]

BLOCK = 100
"""Places that are computed together, so that their arrays stay in the processor's cache."""
RATES = (1000, 1_000_000)
"""Supported sampling rates, lowest and highest, in Hz."""


def clip_key(seed: int, name: str) -> int:
    """The key of a clip's random numbers.

    Args:
        seed: of all clips.
        name: of the clip.

    Returns:
        0 to 2^64 - 1, which depends on these two alone.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little")


@dataclass(frozen=True)
class Cochlea(CheckedSettings):
    """Sound to spikes: ``times, units = Cochlea().spikes(samples, rate, seed=0)``.

    One object serves any number of clips and threads; it caches the transfer functions that it has
    computed.
    """

    places: Annotated[int, Between(1, 65535)] = 700
    """Number of spike trains; unit 0 is at the base (high tones)."""
    rate: Annotated[int, Between(*RATES)] = 48000
    """Sampling rate used internally, Hz; sound of another rate is resampled. Spikes have half this
    rate."""
    level: Positive | None = 0.3
    """Root mean square to which clips are normalised; None: their own level, times ``gain``."""
    gain: Positive = 1.0
    """Factor on the sound where ``level`` is None; else 1."""
    ramps: bool = True
    """Fade a clip in over its first half, and out over its second."""
    pad: bool = True
    """Compute clips at a few common lengths, with silence appended, so that many clips share
    transfer functions."""
    precision: Literal["float32", "float64"] = "float32"
    """Precision of the basilar membrane's filter: float32, or float64 for checks."""
    membrane: BasilarMembrane = BasilarMembrane()
    hair_cell: HairCell = HairCell()
    bushy_cell: BushyCell = BushyCell()
    _tables: TransferTables = field(
        default_factory=TransferTables, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gain != 1 and self.level is not None:
            message = "A cochlea's gain has no effect where a level is set; set one of them only."
            raise SrnnError(message, "conflict", "gain")

    def parameters(self) -> dict[str, Any]:
        """All parameters, as JSON values; the constants of each stage under its name."""
        stages = {
            name: asdict(getattr(self, name)) for name in ("membrane", "hair_cell", "bushy_cell")
        }
        return {f.name: stages.get(f.name, getattr(self, f.name)) for f in fields(self) if f.init}

    def firing_probability(self, samples: npt.ArrayLike, rate: int) -> npt.NDArray[np.floating]:
        """Probability that a fibre fires within a step.

        Args:
            samples: (N,) mono sound in any unit, integers or floats.
            rate: samples per second.

        Returns:
            (T, places), at ``self.rate / 2`` steps per second, in the cochlea's precision.

        Raises:
            SrnnError: ``data``: not one channel of finite numbers with some sound in it;
                ``value``: the rate.
        """
        blocks = [probability for _, probability in self._blocks(samples, rate)]
        return np.concatenate(blocks, axis=1)

    def spikes(
        self, samples: npt.ArrayLike, rate: int, seed: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint16]]:
        """Spikes of a clip, by time and then unit.

        Args:
            samples: as for ``firing_probability``.
            rate: as for ``firing_probability``.
            seed: 0 to 2^64 - 1; clips with the same seed share random numbers (``clip_key`` makes
                a seed for each clip).

        Returns:
            Times (S,) in seconds, and units (S,), 0 to places - 1.

        Raises:
            SrnnError: as for ``firing_probability``; ``value``: the seed.
        """
        seed = check("seed", seed, int, Between(0, 2**64 - 1))
        steps, units = [], []
        for first, probability in self._blocks(samples, rate):
            t, i = self.bushy_cell.spikes(probability, self.rate / 2, seed, first)
            steps.append(t)
            units.append(i + first)
        step, unit = np.concatenate(steps), np.concatenate(units)
        order = np.lexsort((unit, step))
        return step[order] / (self.rate / 2), unit[order].astype(np.uint16)

    def _blocks(
        self, samples: npt.ArrayLike, rate: int
    ) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
        """(first place, firing probability (T, P)) of each block of places."""
        from scipy.fft import rfft
        from scipy.signal import resample_poly

        sound = as_sound(samples, np.float64)
        rate = check("rate", rate, int, Between(*RATES))
        if len(sound) < 2:
            message = f"Sound must have at least 2 samples; this has {len(sound)}."
            raise SrnnError(message, "data", "samples")
        x = resample_poly(sound, self.rate, rate)  # a copy where the rates are the same
        if self.level is not None:
            peak = np.abs(x).max()
            if not peak > 0:
                message = "A silent clip has no level to normalise; remove it."
                raise SrnnError(message, "data", "samples")
            x /= peak  # so that no square overflows or vanishes
            x *= self.level / np.sqrt(np.mean(x**2))
        else:
            x *= self.gain
        if self.ramps:
            half = len(x) // 2
            ramps = np.hanning(2 * half)
            x[:half] *= ramps[:half]
            x[len(x) - half :] *= ramps[half:]
        steps = len(x) // 2 + 1
        padded = steps
        if self.pad:
            # The next of 8192, 10240, 12288, 16384, ... (4, 5 or 6 times a power of 2): few
            # different lengths, with a fast FFT.
            least = (len(x) + 1) // 2 + 1
            power = 2 ** max(0, (least - 1).bit_length() - 3)
            padded = next(power * k for k in (4, 5, 6, 8) if power * k >= least)
            x = np.pad(x, (0, 2 * (padded - 1) - len(x)))
        # Resampled sound has nothing above half its own rate: those bins need no transfer function.
        bins = min(padded, math.ceil(padded * min(1.0, rate / self.rate)))
        if self.precision == "float32":
            dtype = np.complex64
        else:
            dtype = np.complex128
        spectrum = np.asarray(rfft(x))[:bins].astype(dtype)
        places = np.linspace(0, self.membrane.length, self.places)
        for first in range(0, self.places, BLOCK):
            place = places[first : first + BLOCK]
            table = self._tables.get(
                self.membrane, place, padded, self.rate / 2, len(spectrum), dtype
            )
            moved = velocity(spectrum, table, padded)[:steps]
            yield first, self.hair_cell.firing_probability(moved, self.rate / 2)
