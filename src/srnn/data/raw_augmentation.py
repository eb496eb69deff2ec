"""Augmentation of raw signals, before they are encoded: what a microphone in a room adds, and what
a clip leaves out.

    stream     the window in which the sequence is read moves along a stream of clips: it holds all of the sequence's clip, or
               only its beginning or end, silence, and a piece of another clip. Where it holds no word, it is background
    noise      white to pink noise (power falling with frequency to the power 0 to 1), or a training sequence of the background
    gain       the whole signal louder or softer
    speed      the whole signal faster or slower, and labels of its steps with it
    rotation   the three axes of each sensor turned together: what a sensor that is worn otherwise would give
    mixture    each channel has a part of the others: what electrodes placed elsewhere would give

The order is fixed: a window of the stream, speed, rotation, mixture, noise over all of it, gain. The changed
signal takes the task's own signal path, so the network reads what it would read from such a
recording. Where the path remembers more than the sequence (a running scale), that much of the
recording around it is changed, too (``Split.starts``). As in ``augmentation``, only a sequence's
seed decides how it is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from ..errors import SrnnError
from .augment_config import AugmentConfig
from .augmentation import at_places, move_labels
from .batches import Batch, Sequences, evenly_spread
from .signals import SignalPath
from .targets import of_steps

Array = npt.NDArray[np.float32]
WITHIN, BEYOND, FARTHEST = 0.2, 0.4, 1.2
"""How far a window may move from its clip, in clip lengths: up to the first it holds the word;
between the others it does not."""
_KEPT = 2**29
"""Bytes of signals kept in memory; the rest are read again in each epoch."""
_MEASURED = 256
"""Number of sequences from which the power of the signals is measured."""
_STREAM, _NOISE, _GAIN, _SPEED, _CHANNELS, _ROTATION = 11, 12, 13, 15, 16, 17
"""Keys of the generators, so that one kind of change does not alter the draws of another, nor
``augmentation``'s (14)."""


class RawAugmentation:
    """Changed sequences of one split, encoded anew.

    Args:
        sequences: the training split, with its signals or a path that undoes its encoding.
        path: from signal to steps, with its statistics.
        config: the changes; ``config.raw`` is true.
        background: the class for signals with nothing to recognise; None: the task has none.
        lag: steps by which labels of steps are late, whatever the speed.

    Raises:
        SrnnError: ``conflict``: there are no raw signals, the path alone does not turn them into
            the sequences, ``stream`` without a class for windows without a word, ``channel_mix`` of
            only one channel, or ``rotate`` where channels are not axes by threes.
    """

    def __init__(
        self,
        sequences: Sequences,
        path: SignalPath,
        config: AugmentConfig,
        background: int | None,
        lag: int = 0,
    ) -> None:
        self.sequences, self.path, self.config = sequences, path, config
        self.background, self.lag = background, lag
        self._signals, self._bytes = dict[int, Array](), 0
        if sequences.y.ndim == 1:
            self._noises = np.flatnonzero(sequences.y == background)
        else:
            self._noises = np.zeros(0, np.int64)
        self._settings = settings = ", ".join(f"training.augment.{name}" for name in config.raw)
        self._field = field = f"training.augment.{config.raw[0]}"
        if path.form != "signal":
            message = f"{settings}: this task has no raw signals, only encoded steps; leave it out."
            raise SrnnError(message, "conflict", field)
        if config.stream and (sequences.y.ndim != 1 or background is None):
            raise SrnnError(
                "training.augment.stream needs one label per sequence, and a class '_silence_' for "
                "windows without a word; remove it.",
                "conflict",
                "training.augment.stream",
            )
        if config.channel_mix and path.channels == 1:
            raise SrnnError(
                "training.augment.channel_mix needs several channels, and this signal has one; "
                "leave it out.",
                "conflict",
                "training.augment.channel_mix",
            )
        if config.rotate and path.channels % 3:
            raise SrnnError(
                "training.augment.rotate needs channels that are x, y, z of one sensor after the "
                f"other, and this signal has {path.channels}; choose them with the option "
                "channels, or leave it out.",
                "conflict",
                "training.augment.rotate",
            )
        for index in evenly_spread(sequences.y, 3).tolist():
            known = sequences.steps_of(index)
            whole = np.asarray(self.path.whole(self.signal(index)), np.float32)
            steps = whole[self.sequences.place_of(index)]
            made, waiting = known[: len(steps)], known[len(steps) :]  # zeros, for late labels
            if (
                steps.shape != made.shape
                or waiting.any()
                or not np.allclose(steps, made, atol=1e-3)
            ):
                raise SrnnError(
                    f"{settings}: sequences of this task do not depend on their raw signals alone "
                    "(but on a scale of the whole recording, for example); leave it out.",
                    "conflict",
                    field,
                )

    @cached_property
    def power(self) -> npt.NDArray[np.float64]:
        """(channels,) the mean power of a signal, to which ``noise`` is relative."""
        chosen = evenly_spread(self.sequences.y, _MEASURED).tolist()
        powers = [self.signal(index).var(0, dtype=np.float64) for index in chosen]
        return np.asarray(np.mean(powers, 0))

    def take(self, indices: npt.NDArray[np.integer], seeds: Sequence[int]) -> Batch:
        """As ``Sequences.take``, of changed signals.

        Args:
            indices: (B,) of the sequences.
            seeds: one per sequence, for every random choice.

        Returns:
            The batch, no longer than the longest of them.
        """
        sequences = self.sequences
        y = sequences.y[indices]
        if sequences.lengths is None:
            lengths = None
        else:
            lengths = sequences.lengths[indices]
        signals = []
        for row, (index, seed) in enumerate(zip(indices.tolist(), seeds, strict=True)):
            signal, holds = self.changed(index, seed)
            signals.append(signal)
            if not holds and self.background is not None:
                y[row] = self.background
        if lengths is None:
            steps = sequences.x.shape[1]
        else:
            steps = int(lengths.max())
        x = np.zeros((len(indices), steps, self.path.inputs), np.float32)
        encoded = self.path.encode_batch(signals)
        for row, (index, seed) in enumerate(zip(indices.tolist(), seeds, strict=True)):
            one = encoded[row][self.sequences.place_of(index)]
            x[row, : len(one)] = one
            if of_steps(y) and self.config.speed:
                late = y[row, : sequences.length_of(index)]
                samples = np.arange(len(late)) - self.lag  # the samples that the labels are of
                move_labels(late, np.rint(self._places(samples, len(one), seed)), self.lag)
        if lengths is None:
            valid = None
        else:
            valid = torch.as_tensor(lengths, device=sequences.device)
        labels = torch.from_numpy(y[:, :steps].copy() if of_steps(y) else y)
        return Batch(torch.from_numpy(x).to(sequences.device), labels.to(sequences.device), valid)

    def changed(self, index: int, seed: int) -> tuple[Array, bool]:
        """One changed signal.

        Args:
            index: of the sequence.
            seed: of every random choice.

        Returns:
            The signal (samples, channels), and whether its label still holds; if not, it is
            background.
        """
        config, signal, holds = self.config, self.signal(index), True
        if config.stream:
            signal, holds = self._window(index, np.random.default_rng([seed, _STREAM]))
        if config.speed:
            at = self.sequences.place_of(index)
            first = at.start or 0
            places = np.arange(len(signal)) - first
            length = (at.stop or len(signal)) - first
            signal = at_places(signal, first + self._places(places, length, seed))
        if config.rotate:
            rng = np.random.default_rng([seed, _ROTATION])
            turn = rotation(rng, config.rotate)
            signal = (signal.reshape(-1, 3) @ turn.T).reshape(len(signal), -1)
        if config.channel_mix:
            rng = np.random.default_rng([seed, _CHANNELS])
            spread, count = signal[self.sequences.place_of(index)].std(0), signal.shape[1]
            spread = np.where(spread > 0, spread, 1)
            change = rng.uniform(-config.channel_mix, config.channel_mix, (count, count))
            mixture = np.eye(count) + change
            signal = ((signal / spread) @ mixture.T * spread).astype(np.float32)
        if config.noise is not None:
            rng = np.random.default_rng([seed, _NOISE])
            level = np.sqrt(self.power * 10 ** (-rng.uniform(*config.noise) / 10))
            signal = signal + (level * self._noise(signal.shape, rng)).astype(np.float32)
        if config.gain:
            rng = np.random.default_rng([seed, _GAIN])
            signal = signal * np.float32(10 ** (rng.uniform(-config.gain, config.gain) / 20))
        return signal, holds

    def signal(self, index: int) -> Array:
        """The unchanged signal (samples, channels) of a sequence, with what is around it where that
        affects its encoding."""
        known = self._signals.get(index)
        if known is not None:
            return known
        if self.sequences.starts is not None and self.sequences.signals is not None:
            signal = self.sequences.signals[index]
        else:
            signal = self.sequences.signal_of(index, self.path)
        if signal is None:
            message = f"{self._settings}: this task has no raw signals to change; leave it out."
            raise SrnnError(message, "conflict", self._field)
        if self._bytes + signal.nbytes <= _KEPT:
            self._signals[index], self._bytes = signal, self._bytes + signal.nbytes
        return signal

    def _places(
        self, places: npt.NDArray[np.integer], length: int, seed: int
    ) -> npt.NDArray[np.float64]:
        """Where the ``places`` of a sequence of this ``length`` come from at the seed's speed."""
        speed, middle = self.config.speed, (length - 1) / 2
        factor = np.exp(np.random.default_rng([seed, _SPEED]).uniform(-speed, speed))
        return middle + (places - middle) * factor

    def _window(self, index: int, rng: np.random.Generator) -> tuple[Array, bool]:
        """A window as long as the clip, from a stream of the clip and another one; and whether it
        holds the clip's word."""
        clip = self.signal(index)
        if rng.random() >= self.config.stream:
            return clip, True
        length, whole = len(clip), bool(rng.random() < 0.5)
        if whole:
            move = rng.uniform(0, WITHIN)
        else:
            move = rng.uniform(BEYOND, FARTHEST)
        # At least enough silence between the clips that the window does not hold the other one's
        # word.
        gap = max(rng.uniform(0, 1), BEYOND - 1 + move)
        drawn = int(rng.integers(len(self.sequences)))
        other = self.signal(drawn)
        onwards = bool(rng.random() < 0.5) or drawn == index
        # The window moves towards the other clip.
        first, second = (clip, other) if onwards else (other, clip)
        silence = np.zeros((round(gap * length), clip.shape[1]), np.float32)
        ahead = np.zeros((length * 2, clip.shape[1]), np.float32)
        stream = np.concatenate([ahead, first, silence, second, ahead])
        start = len(ahead) + (0 if onwards else len(first) + len(silence))
        start += round(move * length) * (1 if onwards else -1)
        return stream[start : start + length], whole

    def _noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Noise (samples, channels) of power 1."""
        samples, noise = shape[0], np.zeros(shape)
        if len(self._noises) and rng.random() < 0.5:
            recorded = self.signal(int(rng.choice(self._noises))).astype(np.float64)
            recorded = np.roll(np.resize(recorded, shape), int(rng.integers(samples)), axis=0)
            noise = recorded - recorded.mean(0)
        silent = noise.std(0) < 1e-6  # digital silence contains no noise
        if silent.any():
            spectrum = np.fft.rfft(rng.standard_normal(shape), axis=0)
            colour = np.maximum(np.arange(len(spectrum)), 1.0) ** (-rng.uniform(0, 1) / 2)
            colour[0] = 0
            coloured = np.fft.irfft(spectrum * colour[:, None], samples, axis=0)
            noise = np.where(silent, coloured, noise)
        spread = noise.std(0)
        return noise / np.where(spread > 0, spread, 1)


def rotation(rng: np.random.Generator, degrees: float) -> Array:
    """A random rotation, about an axis of any direction: by Rodrigues' formula, for scipy's takes
    ten times as long, and each sequence has its own.

    Args:
        rng: for axis and angle.
        degrees: the largest angle.

    Returns:
        (3, 3) matrix.
    """
    x, y, z = rng.standard_normal(3)
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) / np.sqrt(x * x + y * y + z * z)
    angle = np.radians(rng.uniform(0, degrees))
    turn = np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across
    return turn.astype(np.float32)
