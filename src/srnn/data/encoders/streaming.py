"""Streaming encoders: blocks of samples in, completed steps out.

    encoder = CrossingStream(LevelCrossing("send_on_delta", 0.1, 0.1), channels=2)
    steps = encoder.push(block)          # (samples, 2) -> (steps, 4), steps >= 0
    steps = encoder.flush()              # the signal ends here: the remaining steps; then the encoder starts afresh

Not a bit of the result depends on how a signal is cut into blocks. Each encoder of a whole signal
has a streaming form (``streaming_*.py``, ``WindowStream``), which is tested against it. What would
need unbounded look-ahead, such as the level of a whole clip, is refused, or replaced by what a
stream can compute (the level of the first seconds).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...text import counted

Array = npt.NDArray[Any]
State = dict[str, Array]
"""The state of an encoder: named arrays that can be stored or sent."""


class StreamEncoder(ABC):
    """Base of all streaming encoders. Not for use from two threads at once."""

    channels: int
    """Channels of a sample."""
    outputs: int
    """Outputs of a step."""
    hop: int = 1
    """Samples from one step to the next."""
    latency: int = 0
    """Samples that a step waits for after its own: step k is returned, at the latest, with sample k
    * hop + latency; where smoothing or derivatives need a whole window, the first steps are
    returned with the step in that window's middle."""

    heavy: bool = False
    """Whether a push may take tens of milliseconds: servers run it in a thread."""

    @abstractmethod
    def push(self, block: npt.ArrayLike) -> Array:
        """(samples >= 0, channels), or one sample (channels,) -> (steps >= 0, outputs).

        SrnnError (``data``) for another shape, or values that are not finite.
        """

    def flush(self) -> Array:
        """End the signal: the remaining steps, (>= 0, outputs). The encoder is then reset."""
        self.reset()
        return self._none()

    @abstractmethod
    def reset(self) -> None:
        """Reset the state to that before the first sample."""

    @property
    @abstractmethod
    def state(self) -> State:
        """A copy of the state."""

    @abstractmethod
    def restore(self, state: Mapping[str, Array]) -> None:
        """Continue from a state. SrnnError (``data``), and nothing is changed, if it does not
        fit."""

    def _none(self) -> Array:
        return np.zeros((0, self.outputs), np.float32)


def as_numbers(field: str, values: npt.ArrayLike) -> Array:
    """An argument as an array of real numbers, of its own dtype.

    Args:
        field: the argument's name, for messages.
        values: its value.

    Raises:
        SrnnError: ``data``: anything else.
    """
    what = field.capitalize()
    try:
        x = np.asarray(values)
    except ValueError as error:
        message = f"{what} must be a regular array of real numbers, not a ragged list."
        raise SrnnError(message, "data", field) from error
    if x.dtype.kind not in "fiub":
        raise SrnnError(f"{what} must be real numbers, not {x.dtype}.", "data", field)
    return x


def as_samples(block: npt.ArrayLike, channels: int) -> Array:
    """A block of samples, of its own dtype.

    Args:
        block: (samples, channels), or flat: samples of the only channel, else one sample.
        channels: of a sample.

    Returns:
        (samples, channels).

    Raises:
        SrnnError: ``data``: another shape, or anything but real numbers.
    """
    x = as_numbers("samples", block)
    if x.ndim == 1 and channels in (1, len(x)):
        x = x.reshape(-1, channels)
    if x.ndim != 2 or x.shape[1] != channels:
        expected = f"{counted(channels, 'channel')}, (samples, {channels})"
        raise SrnnError(f"Expected blocks of {expected}, got {x.shape}.", "data", "samples")
    return x


def check_block(block: npt.ArrayLike, channels: int, dtype: npt.DTypeLike) -> Array:
    """``as_samples`` in which all are finite.

    Args:
        block: as for ``as_samples``.
        channels: of a sample.
        dtype: of the result; too large for it counts as infinite.

    Returns:
        (samples, channels) of ``dtype``, a copy if necessary.

    Raises:
        SrnnError: ``data``.
    """
    x = as_samples(block, channels)
    with np.errstate(over="ignore"):  # too large values become infinite
        x = x.astype(dtype, copy=False)
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise SrnnError(
            f"Sample {row} of the block is not finite in channel {column} (counted from 0): "
            f"{x[row, column]}.",
            "data",
            "samples",
        )
    return x


def take(
    state: Mapping[str, Array], name: str, shape: Sequence[int | None], dtype: npt.DTypeLike
) -> Array:
    """A copy of a part of a state.

    Args:
        state: named arrays.
        name: of the part.
        shape: that it must have; None: any number.
        dtype: that it must have.

    Raises:
        SrnnError: ``data``: it is missing, has another form, or is not finite.
    """
    part = state.get(name)
    if (
        isinstance(part, np.ndarray)
        and part.dtype == np.dtype(dtype)
        and part.ndim == len(shape)
        and all(want is None or have == want for have, want in zip(part.shape, shape, strict=True))
        and np.isfinite(part).all()
    ):
        return part.copy()
    message = f"The state does not fit: '{name}' is missing, or has a different form."
    raise SrnnError(message, "data", name)


def take_count(state: Mapping[str, Array], name: str, most: int = 2**62) -> int:
    """An integer from a state.

    Args:
        state: named arrays.
        name: of the part that holds it.
        most: the largest that it may be; the least is 0.
    """
    count = int(take(state, name, (), np.int64))
    if not 0 <= count <= most:
        raise SrnnError(f"The encoder's state does not fit: '{name}' is {count}.", "data", name)
    return count


class Chain(StreamEncoder):
    """Encoders one after the other, as one."""

    def __init__(self, *stages: StreamEncoder) -> None:
        self.stages = stages
        self.channels, self.outputs = stages[0].channels, stages[-1].outputs
        self.hop, self.latency = 1, 0
        self.heavy = any(stage.heavy for stage in stages)
        for stage in stages:
            self.latency += stage.latency * self.hop
            self.hop *= stage.hop

    def push(self, block: npt.ArrayLike) -> Array:
        for stage in self.stages:
            block = stage.push(block)
        return np.asarray(block)

    def flush(self) -> Array:
        steps = self.stages[0].flush()
        for stage in self.stages[1:]:
            steps = np.concatenate([stage.push(steps), stage.flush()])
        return steps

    def reset(self) -> None:
        for stage in self.stages:
            stage.reset()

    @property
    def state(self) -> State:
        return {
            f"{i}.{name}": part
            for i, stage in enumerate(self.stages)
            for name, part in stage.state.items()
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        before = [stage.state for stage in self.stages]
        try:
            for i, stage in enumerate(self.stages):
                own = f"{i}."
                parts = {key: part for key, part in state.items() if key.startswith(own)}
                stage.restore({key.removeprefix(own): part for key, part in parts.items()})
        except SrnnError:
            for stage, old in zip(self.stages, before, strict=True):
                stage.restore(old)
            raise


class WindowedStream(StreamEncoder):
    """An encoder whose steps are made of ``width`` successive samples. The last samples are kept,
    at most a window of them."""

    width: int
    dtype: npt.DTypeLike = np.float32
    """The samples' dtype."""

    def push(self, block: npt.ArrayLike) -> Array:
        x, full = self._taken(block), self._full
        buffer = np.concatenate([self._last, x])
        self._last = buffer[-self.width :].copy()
        if len(x) and self._full:
            return self._steps(buffer, full)
        return np.zeros((0, self.outputs), self.dtype)

    def _taken(self, block: npt.ArrayLike) -> Array:
        return check_block(block, self.channels, self.dtype)

    @abstractmethod
    def _steps(self, buffer: Array, full: bool) -> Array:
        """The steps that a window or more of samples determines; ``full``: the first window had
        already been kept and used."""

    @property
    def _full(self) -> bool:
        return len(self._last) == self.width

    def reset(self) -> None:
        self._last = np.zeros((0, self.channels), self.dtype)

    @property
    def state(self) -> State:
        return {"last": self._last.copy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        last = take(state, "last", (None, self.channels), self.dtype)
        if len(last) > self.width:
            message = f"The encoder's state does not fit: {len(last)} samples for a window of"
            raise SrnnError(f"{message} {self.width}.", "data", "last")
        self._last = last


class Memoryless(StreamEncoder):
    """An encoder without a state: each step depends on its own sample only.

    ``change``: (samples, channels) of ``dtype`` -> steps of the same shape; None: samples are
    already encoded, and passed on.
    """

    def __init__(
        self,
        channels: int,
        change: Callable[[Array], Array] | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.channels = self.outputs = channels
        self._change, self._dtype = change, dtype

    def push(self, block: npt.ArrayLike) -> Array:
        x = check_block(block, self.channels, self._dtype)
        if self._change is None:
            return x
        return self._change(x)

    def reset(self) -> None:
        pass

    @property
    def state(self) -> State:
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        pass
