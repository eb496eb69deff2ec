"""The base of all signal paths; and the path of networks whose input was encoded elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import Between
from ...text import counted, some
from ..encoders.speech import Statistics
from ..encoders.streaming import Memoryless, StreamEncoder, as_samples

Array = npt.NDArray[Any]
PathForm = Literal["signal", "steps"]
Form = Literal["auto", PathForm]
Scale = tuple[npt.ArrayLike, npt.ArrayLike]
"""(mean, std) of each channel, in the signal's unit."""
CALIBRATION = 5.0
"""Seconds from which a signal's scale is measured where none is given: mean and deviation of an
ECG, the gain of a cochlea."""
LONGEST_CALIBRATION = 60
Calibration = Annotated[float, Between(0, LONGEST_CALIBRATION, above=True)]
"""Seconds over which a stream measures its scale or gain."""
BLOCK = 2**16
"""Samples of a long signal that are converted at a time: intermediate results are several times as
large."""
INT16_SCALE = 32768.0
"""int16 of full scale becomes -1 to 1."""
_REFUSALS = {
    "scale": "takes no scale: only an ECG signal that does not measure its own takes one",
    "gain": "takes no gain: only sound that a cochlea encodes does",
    "calibration": "is not calibrated: only an ECG's scale (unless a running one) and a cochlea's "
    "gain are",
    "statistics": "takes no statistics of a training set: only features of sound and scaled "
    "channels do",
}


class SignalPath(ABC):
    """From a raw signal (samples, channels) to a network's input (steps, inputs). A frozen
    dataclass of its settings.

    A path of another package may have fields of any type. So these classes check their own fields
    one by one, and are no ``CheckedSettings``.
    """

    form: ClassVar[PathForm] = "signal"
    """Whether the path takes a sensor's signal, or encoded steps."""
    channels: int
    """Channels of a sample."""
    rate: float | None
    """Samples (or steps) per second; None: they are not in time."""
    names: tuple[str, ...] | None = None
    """Names of the channels, by which recordings are matched; None: not known."""
    units: tuple[str | None, ...] | None = None
    """Units of the channels, to which recordings are converted; None, also for one of them: not
    known."""
    as_trained: bool = True
    """Whether training data were encoded in exactly this way. If not, it is close, and used only on
    request."""
    shape_advice: str = ""
    """Advice for a signal of another number of channels, for people; empty: none."""
    training_difference: str = ""
    """How the network's input differs from that in training, for people; empty where it does
    not."""

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Inputs of a step."""

    @property
    @abstractmethod
    def what(self) -> str:
        """Description of the signal, for people: "sound at 8000 Hz"."""

    @property
    def step_inputs(self) -> str:
        """The inputs of a step, for people who make them themselves; empty: not stated."""
        return ""

    @property
    def pairs(self) -> tuple[str, ...]:
        """Names of the channels whose rises and falls are inputs 2 i and 2 i + 1; empty: inputs are
        not such pairs."""
        return ()

    @property
    def int16_scale(self) -> float:
        """Divisor of raw int16 samples; 1 where they are used as they are: a sensor's channels,
        steps, and pixels up to 255."""
        return INT16_SCALE

    @property
    def has_c(self) -> bool:
        """Whether the C export includes it: a device then takes the signal itself."""
        return False

    @property
    def settings(self) -> frozenset[str]:
        """The settings that ``calibrated`` accepts: those of these that are fields of the path."""
        return frozenset(item.name for item in fields(self) if item.name in _REFUSALS)  # type: ignore[arg-type]

    @abstractmethod
    def stream(self) -> StreamEncoder:
        """A new encoder, for one stream. SrnnError (``unsupported``), with the reason, where the
        signal cannot be encoded as it arrives."""

    def whole(self, signal: npt.ArrayLike) -> Array:
        """A whole signal (samples, channels) -> (steps, inputs), to the same bits as ``stream``
        returns for blocks of any size."""
        encoder = self.stream()
        samples = as_samples(signal, encoder.channels)
        blocks = [
            encoder.push(samples[start : start + BLOCK])
            for start in range(0, max(len(samples), 1), BLOCK)
        ]
        return np.concatenate([*blocks, encoder.flush()])

    def scale_samples(self, samples: Array) -> Array:
        """Samples in the path's unit: as they are, except for sound in int16."""
        return samples

    def encode_batch(self, signals: Sequence[npt.ArrayLike]) -> list[Array]:
        """``whole`` of each of several signals, to the same bits; faster where some of the work can
        be done for all at once."""
        return [self.whole(signal) for signal in signals]

    def decode(self, steps: Array) -> Array | None:
        """The signal (samples, channels) that ``whole`` encoded as these steps, up to rounding;
        None: it cannot be recovered."""
        return None

    def drift(self, given: Array) -> str:
        """How a signal (samples, channels), or encoded steps (steps, inputs), differs from those of
        training, for people; empty where it does not."""
        return ""

    def check(self) -> None:  # noqa: B027 (most can)
        """SrnnError (``unsupported``), with the reason, for a signal that cannot be encoded as it
        arrives."""

    def check_c(self, integer: bool) -> None:  # noqa: B027
        """SrnnError (``unsupported``) for a path that cannot be exported as C, with a network in
        integers (``integer``) or in float32."""

    @property
    def latency(self) -> float:
        """Seconds (or samples, where they are not in time) that a step waits for after its own
        sample."""
        samples = self.stream().latency
        if not self.rate:
            return samples
        return samples / self.rate

    @property
    def step_ms(self) -> float | None:
        """Milliseconds from one step to the next; None: steps are not in time."""
        if not self.rate:
            return None
        return 1000 * self.stream().hop / self.rate

    def calibrated(
        self,
        *,
        scale: Scale | None = None,
        gain: float | None = None,
        calibration: float | None = None,
        statistics: Statistics | None = None,
    ) -> Self:
        """The path with statistics of its signal.

        Args:
            scale: (mean, std) of each channel, in the signal's unit; None: those of its first
                ``calibration`` seconds.
            gain: cochlea: what sound of full scale 1 is multiplied by; None: the factor that brings
                its first ``calibration`` seconds to the level to which training brought each clip.
            calibration: seconds, up to 60; None: 5.
            statistics: of the training set, by which features of sound or channels are scaled
                (``Task.statistics``).

        Raises:
            SrnnError: ``conflict``: a setting that the path does not have (``settings``); ``value``.
        """
        changes = {"scale": scale, "gain": gain}
        changes |= {"calibration": calibration, "statistics": statistics}
        changes = {name: value for name, value in changes.items() if value is not None}
        for name in changes:
            if name not in self.settings:
                raise SrnnError(f"This input {_REFUSALS[name]}.", "conflict", name)
        return replace(self, **changes) if changes else self  # type: ignore[type-var]


def check_stated(path: SignalPath) -> None:
    """SrnnError (``conflict``) unless a path's names and units are as many as its channels."""
    for what, values in (("names", path.names), ("units", path.units)):
        if values is not None and len(values) != path.channels:
            channels = counted(path.channels, "channel")
            message = f"A signal of {channels} cannot have {len(values)} {what}."
            raise SrnnError(message, "conflict", what)


def listed(names: Sequence[str] | None, units: Sequence[str | None] | None) -> str:
    """Channels in words: "ax, ay in m/s2", "ax (g), temp".

    Args:
        names: of the channels; None: not known.
        units: of the channels; None, also for one of them: not known.

    Returns:
        The words; empty where neither is known.
    """
    each = units or [None] * len(names or ())
    one = None
    if len({*each}) == 1:
        one = next(iter({*each}), None)
    if names is None:
        if not units:
            return ""
        return f"in {one or some([unit or 'no known unit' for unit in each])}"
    if one is not None:
        return f"{some(names)} in {one}"
    return some(
        [f"{name} ({unit})" if unit else name for name, unit in zip(names, each, strict=True)]
    )


def in_brackets(path: SignalPath) -> str:
    """The end of a path's ``what``: its names and units, where these are known."""
    known = listed(path.names, path.units)
    if not known:
        return ""
    return f" ({known})"


def known(statistics: Statistics | None, whose: str) -> Statistics:
    """The statistics, where they are known.

    Args:
        statistics: of the training set; None: not known yet.
        whose: what needs them, for people.

    Raises:
        SrnnError: ``missing``: they are not known.
    """
    if statistics is None:
        raise SrnnError(
            f"{whose} needs the statistics of the training set, which srnn stream reads once if "
            "the data are there.",
            "missing",
            "statistics",
        )
    return statistics


@dataclass(frozen=True)
class Steps(SignalPath):
    """Input that was encoded elsewhere: (steps, inputs) in, the same out."""

    form = "steps"
    channels: int
    every_ms: float | None = None
    """Milliseconds from one step to the next; None: steps are not in time."""
    reason: str = "there is none; give steps"
    """Why there is no signal."""
    _: KW_ONLY
    names: tuple[str, ...] | None = field(default=None, repr=False)
    units: tuple[str | None, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_stated(self)

    @property
    def inputs(self) -> int:
        return self.channels

    @property
    def rate(self) -> float | None:  # type: ignore[override]
        if not self.every_ms:
            return None
        return 1000 / self.every_ms

    @property
    def int16_scale(self) -> float:
        return 1.0

    @property
    def has_c(self) -> bool:
        return True

    @property
    def what(self) -> str:
        every = ""
        if self.every_ms:
            every = f", one every {self.every_ms:g} ms"
        return f"steps of {self.channels} inputs{every}{in_brackets(self)}"

    def stream(self) -> StreamEncoder:
        return Memoryless(self.channels)

    def decode(self, steps: Array) -> Array:
        return steps
