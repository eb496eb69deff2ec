"""Log-mel: sound -> energies, on a logarithmic scale, of some tens of bands per frame, spaced on
the mel scale of pitch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import Count, NotNegative, Positive
from ...files.conversion import CheckedSettings
from .streaming import as_numbers

Array = npt.NDArray[np.float32]
LevelName = Literal["clip", "absolute"]
FLOOR = 1e-6
"""Added to energies before the logarithm where the level is absolute: about the energy of silence
in 16-bit sound."""


@dataclass(frozen=True)
class LogMel(CheckedSettings):
    """Frames of ``window`` samples, Hann-weighted, ``hop`` apart, centred at samples 0, hop, 2 hop,
    ...

    A frame looks window / 2 samples ahead (15 ms); a clip of N samples has 1 + N // hop frames, or
    1 + (N - 1) // hop if the window is odd. Beyond a clip's ends the sound is mirrored. Bands are
    triangles on Slaney's mel scale (linear below 1 kHz, logarithmic above) of equal area.

        level "clip"       log(1 + S / max S), S (frames, bands) the energies: does not depend on how loud the clip is, but
                           needs the whole clip
        level "absolute"   log(S + 1e-6): needs only the frame, so it can be streamed (``LogMelStream``)

    The defaults and level "clip" are the input of the published GSC network (which also divides
    sound by its maximum first; that cancels out). Source: the paper, Methods (GSC); what librosa's
    ``melspectrogram`` computes.
    """

    rate: Count = 16000
    """Samples per second."""
    window: Count = 480
    """Samples in a frame, and in its Fourier transform: 30 ms."""
    hop: Count = 160
    """Samples from one frame to the next: 10 ms."""
    mels: Count = 40
    """Number of bands."""
    low: NotNegative = 20.0
    """Lower end of the first band, in Hz."""
    high: Positive = 4000.0
    """Upper end of the last band, in Hz; at most half the rate."""
    level: LevelName = "clip"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high <= self.rate / 2:
            raise SrnnError(
                f"Bands from {self.low:g} to {self.high:g} Hz are not possible: they must lie "
                f"between 0 and {self.rate / 2:g} Hz, half the sampling rate.",
                "conflict",
                "high",
            )
        if (
            self.mels > self.window
            or not mel_filters(self.rate, self.window, self.mels, self.low, self.high).any(1).all()
        ):
            message = f"{self.mels} mels are too many for a window of {self.window} samples"
            raise SrnnError(f"{message}: some would be empty.", "conflict", "mels")

    @property
    def channels(self) -> int:
        return self.mels

    @property
    def centre(self) -> int:
        """The sample on which frame 0 is centred."""
        return 0

    def __call__(self, samples: npt.ArrayLike) -> Array:
        """(N,) mono sound, any unit, N >= 1 -> (frames, mels). SrnnError unless it is finite
        numbers."""
        sound = as_sound(samples)
        half = self.window // 2
        energy = self.energies(np.pad(sound, half, mode="reflect" if len(sound) > 1 else "edge"))
        if self.level == "absolute":
            return np.log(energy + np.float32(FLOOR))
        top = energy.max()
        if top > 0:
            return np.log1p(energy / top)
        return energy

    def energies(self, sound: Array) -> Array:
        """(N,) samples, N >= window -> (1 + (N - window) // hop, mels): S of the frames that lie
        within the samples."""
        frames = np.lib.stride_tricks.sliding_window_view(sound, self.window)[:: self.hop]
        filters, parts = mel_filters(self.rate, self.window, self.mels, self.low, self.high).T, []
        for first in range(0, len(frames), _TOGETHER):  # an hour's spectra take gigabytes
            spectrum = np.fft.rfft(frames[first : first + _TOGETHER] * _hann(self.window), axis=1)
            parts.append((np.square(spectrum.real) + np.square(spectrum.imag)) @ filters)
        return np.concatenate(parts)


def as_sound(samples: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """One channel of sound, checked.

    Args:
        samples: (N,), N >= 1, any type of number.
        dtype: of the result; too large for it counts as infinite.

    Returns:
        (N,) of ``dtype``.

    Raises:
        SrnnError: ``data``: not one channel of at least one number, or not finite.
    """
    sound = as_numbers("samples", samples)
    if sound.ndim != 1 or len(sound) == 0 or sound.dtype.kind == "b":
        hint = ""
        if sound.ndim == 2:
            hint = "; average its channels first"
        found = f"{sound.dtype} {sound.shape}{hint}"
        message = f"Sound must be one channel of numbers (samples,), not {found}."
        raise SrnnError(message, "data", "samples")
    with np.errstate(over="ignore"):  # too large values become infinite
        sound = sound.astype(dtype, copy=False)
    if not np.isfinite(sound).all():
        message = "Sound contains samples that are not finite (NaN or infinity)."
        raise SrnnError(message, "data", "samples")
    return sound


_TOGETHER = 4096
"""Frames whose spectra are in memory at a time."""


@lru_cache(maxsize=16)
def mel_filters(rate: int, window: int, mels: int, low: float, high: float) -> Array:
    """Triangular bands of equal area on Slaney's mel scale.

    Args:
        rate: samples per second.
        window: samples in a frame.
        mels: number of bands.
        low: lower end of the first band, in Hz.
        high: upper end of the last band, in Hz.

    Returns:
        (mels, 1 + window // 2) weights on the power spectrum, read-only.
    """
    edges = mel_to_hz(np.linspace(hz_to_mel(low), hz_to_mel(high), mels + 2))
    frequencies = np.fft.rfftfreq(window, 1 / rate)
    slopes = edges[:, None] - frequencies
    widths = np.diff(edges)[:, None]
    rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
    weights = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    filters = weights.astype(np.float32)
    filters.flags.writeable = False
    return filters


_LINEAR = 200 / 3  # Hz per mel below 1 kHz
_KNEE = 1000.0
_STEP = math.log(6.4) / 27  # of the logarithm of the frequency, per mel, above


def hz_to_mel(hz: float) -> float:
    """Slaney's mel scale (Auditory Toolbox, 1998)."""
    if hz < _KNEE:
        return hz / _LINEAR
    return _KNEE / _LINEAR + math.log(hz / _KNEE) / _STEP


def mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    knee = _KNEE / _LINEAR
    return np.where(
        mel < knee, mel * _LINEAR, _KNEE * np.exp(_STEP * (np.maximum(mel, knee) - knee))
    )


@lru_cache(maxsize=16)
def _hann(window: int) -> Array:
    turns = 2 * np.pi * np.arange(window) / window  # periodic: the end is the next beginning
    return (0.5 - 0.5 * np.cos(turns)).astype(np.float32)
