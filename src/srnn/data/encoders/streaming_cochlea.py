"""The streaming cochlea: the spikes of ``Cochlea(level=None, ramps=False)``, delayed by a quarter
of a second.

    sound (gained) -> basilar membrane, frame by frame -> hair cells -> bushy cells -> time bins

The membrane is a linear filter, so the sound is filtered in overlapping frames (overlap and save),
with the transfer functions used for whole clips. As the converter behind SHD implements the model,
a place moves *before* its tone, by up to 15 ms near the apex, and rings on both sides: frames look
``AHEAD`` ahead. Hair and bushy cells run from step to step; their state is explicit.

Frames lie at fixed times, so that blocks of any size give the same bits. Firing probabilities (of
up to .02) differ from the model's by 1e-4 or less for sound of 8 kHz: the ends of responses, beyond
``AHEAD`` and as far behind, are left out. For whole clips, time also runs slower, by one step (1/24
ms) over the padded clip, because their inverse FFT has N/2 + 1 bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import Between
from ...files.conversion import check
from .cochlea import BLOCK, RATES, BushyState, Cochlea
from .cochlea.basilar import velocity
from .event_binning import EventBinning
from .streaming import Array, State, StreamEncoder, check_block, take, take_count

HOP, AHEAD, FRAME = 0.144, 0.15, 0.432
"""Seconds from one frame to the next, of sound that must follow it, and of the whole frame,
including what came before."""


class CochleaFrames:
    """Shared by all streams through one cochlea: the times of frames, and the membrane's response
    to them.

    The cochlea's level, gain and ramps are not applied. ``rate``: samples of sound per second, at
    most the cochlea's own.
    """

    def __init__(self, cochlea: Cochlea, rate: int) -> None:
        rate = check("rate", rate, int, Between(RATES[0], cochlea.rate))
        self.cochlea, self.rate, self.step_rate = cochlea, rate, cochlea.rate // 2
        # Steps that last a whole number of samples.
        unit = self.step_rate // math.gcd(self.step_rate, rate)
        if cochlea.rate % 2 or unit > HOP * self.step_rate:
            message = f"Frames of {HOP:g} s are not an integer number of samples at {rate} Hz"
            raise SrnnError(f"{message}; resample the sound.", "unsupported", "rate")
        self.hop, self.ahead, self.frame = (
            math.ceil(seconds * self.step_rate / unit - 1e-9) * unit
            for seconds in (HOP, AHEAD, FRAME)
        )
        """Times in steps."""
        self.behind = self.frame - self.hop - self.ahead
        places = np.linspace(0, cochlea.membrane.length, cochlea.places)
        # Sound has nothing above half its rate.
        bins = math.ceil(self.frame * rate / cochlea.rate)
        frequency = np.arange(bins) * self.step_rate / self.frame
        dtype = np.complex128
        if cochlea.precision == "float32":
            dtype = np.complex64
        # What ``scipy.signal.resample_poly`` does to these frequencies on the way to the cochlea's
        # rate.
        gain = np.ones(bins)
        common = math.gcd(rate, cochlea.rate)
        up, down = cochlea.rate // common, rate // common
        if up != down:
            from scipy.signal import firwin

            half = 10 * max(up, down)  # its filter has these taps on both sides of the middle one
            taps = firwin(2 * half + 1, 1 / max(up, down), window=("kaiser", 5.0))  # pyright: ignore[reportArgumentType]
            angle = 2 * np.pi * frequency[:, None] / (rate * up) * np.arange(1, half + 1)
            gain = taps[half] + 2 * (np.cos(angle) * taps[half + 1 :]).sum(axis=1)
            gain = gain * up / down  # sound of the same length has so many more samples
        # (K, P) for each block: factors from a frame's spectrum to the velocity's. The converter
        # behind SHD reads the model from 1 Hz on (TransferTables): frequencies are shifted by 1 Hz
        # at 0.
        shifted = 1 + frequency * (1 - 1 / self.step_rate)
        self._tables = [
            (cochlea.membrane.transfer(shifted, place) * gain[:, None]).astype(dtype)
            for place in np.split(places, range(BLOCK, cochlea.places, BLOCK))
        ]

    def samples(self, steps: int) -> int:
        """How many samples of sound so many steps last."""
        return steps * self.rate // self.step_rate

    def spectrum(self, sound: Array) -> Array:
        """The spectrum of a frame's samples."""
        from scipy.fft import rfft

        return np.asarray(rfft(sound.astype(np.float64)))[: len(self._tables[0])].astype(
            self._tables[0].dtype
        )

    def velocities(self, spectrum: Array, block: int) -> Array:
        """Velocities of the membrane in a frame.

        Args:
            spectrum: of the frame's samples, as ``spectrum`` returns it.
            block: the number of a block of P places.

        Returns:
            (hop, P), at the steps that the frame is for.
        """
        moved = velocity(spectrum, self._tables[block], self.frame)
        return moved[self.behind : self.behind + self.hop]


class CochleaStream(StreamEncoder):
    """Sound (samples, 1) -> binary (steps, channels), a step per ``binning.bin_ms``;
    ``binning.steps`` does not limit them.

    ``frames`` are shared with other streams. ``key``: for the random numbers, 0 to 2^64 - 1, like
    the seed of ``Cochlea.spikes``; streams with the same key have the same random numbers.
    """

    channels = 1
    heavy = True

    def __init__(self, frames: CochleaFrames, binning: EventBinning, key: int) -> None:
        if binning.units != frames.cochlea.places:
            message = f"The cochlea has {frames.cochlea.places} places, but {binning.units} are"
            raise SrnnError(f"{message} binned.", "conflict", "binning")
        self.frames, self.binning, self.outputs = frames, binning, binning.channels
        self._key = key
        self._steps_a_bin = binning.bin_ms * frames.step_rate / 1000
        self.hop = round(binning.bin_ms * frames.rate / 1000)
        self.latency = frames.samples(frames.hop + frames.ahead) - 1
        self.reset()

    def push(self, block: npt.ArrayLike) -> Array:
        self._sound = np.concatenate([self._sound, check_block(block, 1, np.float32)[:, 0]])
        frames, bins = self.frames, [self._none()]
        size, hop = frames.samples(frames.frame), frames.samples(frames.hop)
        while len(self._sound) >= size:
            bins.append(self._encode(self._sound[:size], frames.hop))
            self._sound = self._sound[hop:].copy()
        return np.concatenate(bins)

    def _encode(self, sound: Array, steps: int) -> Array:
        """Pass a frame's first ``steps`` steps through the cells -> the bins that are now full."""
        frames, cochlea = self.frames, self.frames.cochlea
        spectrum, when, units = frames.spectrum(sound), [], []
        for block, (reservoirs, cells) in enumerate(self._cells):
            moved = frames.velocities(spectrum, block)[:steps]
            fires = cochlea.hair_cell.firing_probability(moved, frames.step_rate, reservoirs)
            first = block * BLOCK
            t, unit = cochlea.bushy_cell.spikes(
                fires, frames.step_rate, self._key, first, self._steps, cells
            )
            when.append(t + self._steps)
            units.append(unit + first)
        begun = self._bins()
        self._steps += steps
        out = np.zeros((self._bins() - begun + 1, self.outputs), np.float32)
        out[0] = self._pending
        bins, channels = self._bin(np.concatenate(when)), np.concatenate(units)
        if self.binning.mirrored:  # as EventBinning: unit 0 has no channel
            bins, channels = bins[channels > 0], self.binning.units - channels[channels > 0]
        out[bins - begun, channels // self.binning.pool] = 1
        self._pending = out[-1].copy()
        return out[:-1]

    def _bin(self, step: Array) -> Array:
        """The bin of a step: bin i ends with the step at i * bin_ms."""
        return np.ceil(step / self._steps_a_bin - 1e-9).astype(np.int64)

    def _bins(self) -> int:
        """Number of bins to which no later step belongs."""
        return int(self._bin(np.array(self._steps)))

    def flush(self) -> Array:
        frames = self.frames
        count = frames.samples(self._steps) - frames.samples(frames.behind) + len(self._sound)
        if count == 0:
            return self._none()
        last = -(-count * frames.cochlea.rate // frames.rate) // 2  # as the whole clip, resampled
        size, hop = frames.samples(frames.frame), frames.samples(frames.hop)
        bins = []
        while self._steps <= last:
            sound = np.pad(self._sound[:size], (0, max(0, size - len(self._sound))))
            bins.append(self._encode(sound, min(frames.hop, last + 1 - self._steps)))
            self._sound = self._sound[hop:]
        if self._bins() == self._bin(np.array(last)):  # the last bin is not full
            bins.append(self._pending[None])
        self.reset()
        return np.concatenate(bins)

    def reset(self) -> None:
        frames, cochlea = self.frames, self.frames.cochlea
        self._sound = np.zeros(frames.samples(frames.behind), np.float32)  # silence before
        self._steps = 0
        self._pending = np.zeros(self.outputs, np.float32)
        sizes = [min(BLOCK, cochlea.places - first) for first in range(0, cochlea.places, BLOCK)]
        self._cells = [
            (cochlea.hair_cell.reservoirs(size), cochlea.bushy_cell.rest(size, frames.step_rate))
            for size in sizes
        ]

    @property
    def state(self) -> State:
        reservoirs, cells = zip(*self._cells, strict=True)
        membranes = [np.stack([cell.current, cell.potential]) for cell in cells]
        return {
            "sound": self._sound.copy(),
            "steps": np.array(self._steps, np.int64),
            "pending": self._pending.copy(),
            "reservoirs": np.concatenate(reservoirs, axis=1),
            "membrane": np.concatenate(membranes, axis=1),
            "recent": np.concatenate([cell.recent for cell in cells], axis=1).astype(np.int16),
            "pause": np.concatenate([cell.pause for cell in cells]).astype(np.int16),
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        frames, cochlea = self.frames, self.frames.cochlea
        places, (waits, _) = cochlea.places, self._cells[0][1].recent.shape
        sound, steps = take(state, "sound", (None,), np.float32), take_count(state, "steps", 2**46)
        pending = take(state, "pending", (self.outputs,), np.float32)
        reservoirs, membrane = (
            take(state, name, (n, places), np.float64)
            for name, n in (("reservoirs", 3), ("membrane", 2))
        )
        recent = take(state, "recent", (waits, places), np.int16).astype(np.int32)
        pause = take(state, "pause", (places,), np.int16).astype(np.int32)
        behind, size = frames.samples(frames.behind), frames.samples(frames.frame)
        sound_fits = behind <= len(sound) < size and steps % frames.hop == 0
        copies = cochlea.bushy_cell.copies
        cells_fit = (
            recent.min() >= 0
            and recent.sum(0).max() <= copies
            and 0 <= pause.min() <= pause.max() <= waits
        )
        if (
            not sound_fits
            or not cells_fit
            or reservoirs.min() < 0
            or not np.isin(pending, (0, 1)).all()
        ):
            message = "The encoder's state does not fit: it belongs to a different cochlea."
            raise SrnnError(message, "data", "state")
        self._sound, self._steps, self._pending = sound, steps, pending
        current, potential = membrane
        self._cells = [
            (
                reservoirs[:, at].copy(),
                BushyState(
                    recent[:, at].copy(), current[at].copy(), potential[at].copy(), pause[at].copy()
                ),
            )
            for at in (slice(first, first + BLOCK) for first in range(0, places, BLOCK))
        ]
