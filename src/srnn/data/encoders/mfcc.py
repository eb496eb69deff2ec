"""MFCC: sound -> cepstral coefficients and the energy of each frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...files.bounds import Count
from ...files.conversion import CheckedSettings
from .mel import Array, as_sound

_FILTERS, _COEFFICIENTS, _PREEMPHASIS, _LIFTER = 26, 12, 0.97, 22
_TINY = float(np.finfo(np.float64).eps)  # in place of an energy of 0


@dataclass(frozen=True)
class MFCC(CheckedSettings):
    """Twelve cepstra of 26 bands, then the logarithm of the frame's energy.

    Frames of ``window`` samples without weighting, ``hop`` apart; frame t begins at sample t hop,
    so it looks 25 ms ahead of its own beginning. The last frame is padded with zeros. Sound is
    pre-emphasised; bands are triangles on the mel scale 2595 log10(1 + f / 700), with corners
    rounded down to whole bins of the spectrum; cepstra (DCT-II, orthonormal, from the zeroth on)
    are liftered.

    The defaults, 25 ms and 10 ms, are the input of the published TIMIT network. Source: the
    authors' make_data_set4.py and the package python_speech_features, whose numbers these are.
    """

    rate: Count = 16000
    """Samples per second."""
    window: Count = 400
    """Samples in a frame: 25 ms."""
    hop: Count = 160
    """Samples from one frame to the next: 10 ms."""
    channels = _COEFFICIENTS + 1

    @property
    def centre(self) -> int:
        """The sample on which frame 0 is centred."""
        return self.window // 2

    @property
    def transform(self) -> int:
        """Length of the Fourier transform: the next power of two."""
        return 1 << (self.window - 1).bit_length()

    def __call__(self, samples: npt.ArrayLike) -> Array:
        """(N,) mono sound in -1..1, N >= 1 -> (frames, 13). SrnnError (``data``) unless it is
        finite numbers."""
        from scipy.fft import dct

        sound = as_sound(samples).astype(np.float64)
        count = 1 + math.ceil(max(0, len(sound) - self.window) / self.hop)
        emphasised = np.zeros((count - 1) * self.hop + self.window)
        emphasised[0] = sound[0]
        emphasised[1 : len(sound)] = sound[1:] - _PREEMPHASIS * sound[:-1]
        frames = np.lib.stride_tricks.sliding_window_view(emphasised, self.window)[:: self.hop]
        power = np.abs(np.fft.rfft(frames, self.transform, axis=1)) ** 2 / self.transform
        energy = power.sum(1)
        bands = power @ htk_filters(self.rate, self.transform, _FILTERS).T
        cepstra = np.asarray(
            dct(np.log(np.where(bands == 0, _TINY, bands)), type=2, axis=1, norm="ortho")
        )
        cepstra = cepstra[:, :_COEFFICIENTS]
        cepstra *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(_COEFFICIENTS) / _LIFTER)
        loudness = np.log(np.where(energy == 0, _TINY, energy))
        return np.column_stack([cepstra, loudness]).astype(np.float32)


@lru_cache(maxsize=16)
def htk_filters(rate: int, transform: int, filters: int) -> npt.NDArray[np.float64]:
    """Triangular bands on the mel scale of HTK, from 0 Hz to half the rate.

    Args:
        rate: samples per second.
        transform: samples in the Fourier transform.
        filters: number of bands.

    Returns:
        (filters, 1 + transform // 2) weights on the power spectrum, read-only.
    """
    top = 2595 * math.log10(1 + rate / 2 / 700)
    hz = 700 * (10 ** (np.linspace(0, top, filters + 2) / 2595) - 1)
    corners = np.floor((transform + 1) * hz / rate)
    places = np.arange(1 + transform // 2)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    with np.errstate(divide="ignore", invalid="ignore"):  # a side of zero width has no bins
        rising = np.where((low <= places) & (places < middle), (places - low) / (middle - low), 0)
        falling = np.where(
            (middle <= places) & (places < high), (high - places) / (high - middle), 0
        )
    weights = rising + falling
    weights.flags.writeable = False
    return weights
