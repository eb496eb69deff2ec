"""Tasks on the output of event-like sensors: a silicon ear (SHD, SSC), a radar (Soli)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...errors import SrnnError
from ..datasets.base import Split, SplitName, check_whole
from ..datasets.shd import SHD_CLASSES, SSC_CLASSES, load_shd, load_ssc
from ..datasets.soli import GESTURES, PIXELS, RECEIVERS, load_soli
from ..datasets.spoken_digits import RATE, SPEAKERS, DigitSplitting, check_speakers, load_digit_spikes
from ..encoders import EventBinning
from ..signals import CochleaPath
from .base import Kind, Task


@dataclass(frozen=True)
class EventTask(Task):
    """What SHD and SSC share: spikes of 700 channels in time bins."""

    kind: ClassVar[Kind] = "per_sequence"
    rate: ClassVar[int]
    """Hz, of the recordings behind the spikes."""

    bin_ms: float = 4.0
    """Width of a time bin, ms."""
    steps: int = 250
    """Time bins; what comes later is dropped."""
    pool: int = 1
    """Neighbouring channels that become one (5: 140 channels)."""
    mirrored: bool = True
    """Whether channels run from the last unit to the first, as in the published networks."""

    def __post_init__(self) -> None:
        self.binning  # noqa: B018 (SrnnError for a bad option)

    @property
    def binning(self) -> EventBinning:
        """The encoder."""
        return EventBinning(self.bin_ms, self.steps, pool=self.pool, mirrored=self.mirrored)

    @property
    def step_ms(self) -> float:  # type: ignore[override]
        """Milliseconds that one time step lasts."""
        return self.bin_ms

    def signal(self) -> CochleaPath:
        return CochleaPath(self.binning, self.rate)


@dataclass(frozen=True)
class SHDTask(EventTask):
    """Spiking Heidelberg Digits: 0 to 9 in English and German."""

    name: ClassVar[str] = "shd"
    rate: ClassVar[int] = 48000
    class_names: ClassVar[tuple[str, ...]] = SHD_CLASSES

    validation_speakers: tuple[int, ...] | None = None
    """Who is held out from training. None: the two speakers with the highest numbers; (): nobody."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "validation_speakers", numbers("validation_speakers", self.validation_speakers))

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, steps, channels) sparse spikes, y (N,) the word, groups the speakers."""
        return load_shd(split, data_dir, self.binning, self.validation_speakers)


@dataclass(frozen=True)
class SSCTask(EventTask):
    """Spiking Speech Commands: 35 words."""

    name: ClassVar[str] = "ssc"
    rate: ClassVar[int] = 16000
    class_names: ClassVar[tuple[str, ...]] = SSC_CLASSES

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, steps, channels) sparse spikes, y (N,) the word."""
        return load_ssc(split, data_dir, self.binning)


@dataclass(frozen=True)
class SpokenDigitSpikesTask(EventTask):
    """Free Spoken Digits, 0 to 9 in English by six speakers, as the spikes of a cochlea."""

    name: ClassVar[str] = "spoken-digits-spikes"
    rate: ClassVar[int] = RATE
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")

    splitting: DigitSplitting = "official"
    """official: by the recordings' number, every speaker in all splits. speaker: one held out for testing, one for validation."""
    test_speaker: str = SPEAKERS[-1]
    """splitting speaker: who is tested on."""
    validation_speaker: str | None = None
    """splitting speaker: who is validated on; None: the next in alphabetical order."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_speakers(self.splitting, self.test_speaker, self.validation_speaker)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, steps, channels) sparse spikes, y (N,) the digit, groups the speakers."""
        return load_digit_spikes(
            split, data_dir, self.splitting, self.test_speaker, self.validation_speaker, self.binning
        )


@dataclass(frozen=True)
class SoliTask(Task):
    """Hand gestures seen by a radar, one of eleven at each frame."""

    name: ClassVar[str] = "soli"
    kind: ClassVar[Kind] = "per_step"
    class_names: ClassVar[tuple[str, ...]] = GESTURES

    receivers: tuple[int, ...] = (3,)
    """Which of the radar's four receivers are read."""
    steps: int = 40
    """Frames in a sequence."""
    validation_subjects: tuple[int, ...] | None = None
    """Who is held out from training. None: the subject with the highest number; (): nobody."""

    def __post_init__(self) -> None:
        receivers = numbers("receivers", self.receivers) or ()
        if not receivers or max(receivers) >= RECEIVERS or len(set(receivers)) < len(receivers):
            raise SrnnError(f"receivers must be different numbers from 0 to {RECEIVERS - 1}, not {self.receivers!r}.")
        object.__setattr__(self, "receivers", receivers)
        object.__setattr__(self, "validation_subjects", numbers("validation_subjects", self.validation_subjects))
        check_whole("steps", self.steps, least=1)

    @property
    def inputs(self) -> int:
        return PIXELS * len(self.receivers)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, steps, inputs) in 0..1, y (N, steps) the gesture, groups the subjects."""
        return load_soli(split, data_dir, self.receivers, self.steps, self.validation_subjects)


@dataclass(frozen=True)
class SoliSequenceTask(SoliTask):
    """The same with one answer a sequence."""

    name: ClassVar[str] = "soli_sequence"
    kind: ClassVar[Kind] = "per_sequence"

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, steps, inputs) in 0..1, y (N,) the gesture, groups the subjects."""
        frames = super().load(split, data_dir)
        return Split(frames.x, frames.y[:, 0], groups=frames.groups)


def numbers(name: str, value: object) -> tuple[int, ...] | None:
    """None, or a list of whole numbers of at least 0 (a recipe's) as a tuple. SrnnError for something else."""
    if value is None:
        return None
    if not isinstance(value, (list, tuple)):
        raise SrnnError(f"{name} must be a list of whole numbers, not {value!r}.")
    return tuple(check_whole(name, number, least=0) for number in value)
