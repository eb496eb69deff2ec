"""Tasks on sound: Speech Commands, phones, TIMIT, spoken digits; and data of one's own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, get_args

from ...errors import SrnnError
from ..datasets import folder as own
from ..datasets import speech_commands as commands
from ..datasets import timit
from ..datasets.base import Split, SplitName, check_fraction
from ..datasets.spoken_digits import RATE, SPEAKERS, DigitSplitting, check_speakers, load_spoken_digits
from ..encoders.speech import FeatureKind, Normalisation, SpeechFeatures
from ..signals import SignalPath, SpeechPath, Steps
from .base import Kind, Task, check_choice


@dataclass(frozen=True)
class AudioTask(Task):
    """What tasks on sound share: features of frames that lie 10 ms apart."""

    kind: ClassVar[Kind] = "per_sequence"
    step_ms: ClassVar[float | None] = 10.0
    rate: ClassVar[int] = 16000

    features: FeatureKind = "log_mel"
    """log_mel (40 bands) or mfcc (12 cepstra and the energy)."""
    mels: int = 40
    """log_mel: bands from 20 Hz to 4 kHz."""
    derivatives: int = 2
    """How many rates of change follow the features."""
    normalise: Normalisation = "clip"
    """clip: within each clip, as the published networks have it. training: by the training set only, which can be streamed."""
    ternary: float | None = None
    """Threshold above which features are +1, and below its negative -1; else 0. None: they stay as they are."""

    def __post_init__(self) -> None:
        self.sound  # noqa: B018 (SrnnError for a bad option)

    @property
    def sound(self) -> SpeechPath:
        """From sound to features."""
        features = SpeechFeatures(self.features, self.rate, self.mels, self.derivatives, self.normalise)
        return SpeechPath(features, self.ternary)

    def signal(self) -> SignalPath:
        return self.sound

    @property
    def channel_blocks(self) -> int:  # type: ignore[override]
        """The features and each of their derivatives."""
        return 1 + self.derivatives


@dataclass(frozen=True)
class SpeechCommandsTask(AudioTask):
    """Google Speech Commands: one of 12 classes (ten words, silence, unknown), or of all words."""

    name: ClassVar[str] = "gsc"

    version: int = 2
    """Of the data set: 1 (the paper's) or 2."""
    classes: int = 12
    """12, or all words: 30 of version 1, 35 of version 2."""
    source: commands.Source = "official"
    """official, or mini: half of the speakers of the official test set of version 2, split by speaker."""
    test_set: commands.TestSet = "lists"
    """Where the test recordings of 12 classes are from: testing_list.txt, or the official test set's own folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.version, bool) or self.version not in commands.WORDS:
            raise SrnnError(f"version must be 1 or 2, not {self.version!r}.")
        words = len(commands.WORDS[self.version])
        if isinstance(self.classes, bool) or self.classes not in (12, words):
            raise SrnnError(
                f"classes must be 12 or {words} (all words of version {self.version}), not {self.classes!r}."
            )
        check_choice("source", self.source, get_args(commands.Source))
        check_choice("test_set", self.test_set, get_args(commands.TestSet))
        if self.source == "mini" and (self.version, self.classes, self.test_set) != (2, 12, "lists"):
            raise SrnnError("source 'mini' is of version 2 with 12 classes; remove version, classes and test_set.")
        if self.test_set == "official" and self.classes != 12:
            raise SrnnError("The official test set has 12 classes; with all words, test_set must be 'lists'.")

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return commands.KEYWORDS if self.classes == 12 else commands.WORDS[self.version]

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 101, inputs) (99 steps for mfcc), y (N,) the word, groups the speakers."""
        which = commands.SpeechCommands(self.version, self.classes, self.source, self.test_set)
        return commands.load_speech_commands(split, data_dir, which, self.sound)


@dataclass(frozen=True)
class PhonesTask(AudioTask):
    """Phones of spoken words, one at every step; labels were made by a machine (Speech Commands mini)."""

    name: ClassVar[str] = "phones"
    kind: ClassVar[Kind] = "per_step"
    class_names: ClassVar[tuple[str, ...]] = commands.PHONES
    silence_class: ClassVar[int | None] = 0
    """The class that accuracy may leave out: nothing is said."""

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 101, inputs), y (N, 101) the phone or -1, groups the speakers."""
        return commands.load_phones(split, data_dir, self.sound)


@dataclass(frozen=True)
class TIMITTask(AudioTask):
    """Phones of read sentences (TIMIT), one at every step."""

    name: ClassVar[str] = "timit"
    kind: ClassVar[Kind] = "per_step"

    features: FeatureKind = "mfcc"
    """mfcc, the published network's, or log_mel."""
    classes: int = 61
    """61 phones, or folded to 48 or 39."""
    validation: timit.Validation = "standard"
    """standard: the customary development set of 50 speakers. training: 10 % of the training speakers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        timit.folding(self.classes)
        check_choice("validation", self.validation, get_args(timit.Validation))

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return timit.class_names(self.classes)

    @property
    def silence_class(self) -> int:  # type: ignore[override]
        """The class that accuracy may leave out: the pauses at a sentence's ends (of 39 classes: all closures too)."""
        return self.class_names.index("h#" if self.classes == 61 else "sil")

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, T, inputs), y (N, T) the phone or -1, lengths, groups the speakers."""
        return timit.load_timit(split, data_dir, self.classes, self.validation, self.sound)


@dataclass(frozen=True)
class SpokenDigitsTask(AudioTask):
    """Free Spoken Digits: 0 to 9 in English, six speakers."""

    name: ClassVar[str] = "spoken-digits"
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
        """x (N, T, inputs), y (N,) the digit, lengths, groups the speakers."""
        return load_spoken_digits(
            split, data_dir, self.splitting, self.test_speaker, self.validation_speaker, self.sound
        )


@dataclass(frozen=True)
class FolderTask(AudioTask):
    """Data of your own: sound files in a folder a class, a table of files, or arrays in one file."""

    name: ClassVar[str] = "folder"

    path: str = ""
    """The folder, .csv, .npz or .h5 file; here, or under the data folder."""
    seconds: float | None = 1.0
    """Sound: clips are cut or filled up with silence to it, at both ends; None: each stays as long as it is."""
    speaker: str = ""
    """Sound: pattern of the files' names, without their suffix: "{speaker}_{index}"; {index} stands for anything else."""
    validation_fraction: float = 0.15
    """Share that is held out where no split is given, of the groups or of each class."""
    test_fraction: float = 0.2
    """Share for testing, likewise."""
    array_step_ms: float | None = None
    """Arrays: how long a step is, ms; None: steps are not in time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.path, str) or not self.path:
            raise SrnnError(
                "The task 'folder' needs the option 'path': a folder of sound, or a .csv, .npz or .h5 file."
            )
        check_fraction("validation_fraction", self.validation_fraction)
        check_fraction("test_fraction", self.test_fraction)
        for name in ("seconds", "array_step_ms"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and (not number or not 0 < value < float("inf")):
                raise SrnnError(f"{name} must be a number above 0, or null, not {value!r}.")
        if self.content.form == "arrays":
            for option in fields(AudioTask):
                if getattr(self, option.name) != option.default:
                    raise SrnnError(f"The option '{option.name}' has no effect on arrays; remove it.")

    @property
    def content(self) -> own.Description:
        return own.describe(own.find_source(self.path), self.speaker)

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return "per_step" if self.content.per_step else "per_sequence"

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.content.class_names

    @property
    def step_ms(self) -> float | None:  # type: ignore[override]
        return 10.0 if self.content.form == "sound" else self.array_step_ms

    def signal(self) -> SignalPath:
        channels = self.content.channels
        return self.sound if channels is None else Steps(channels, self.step_ms)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, T, inputs), y (N,) or (N, T); lengths and groups where there are any. ``data_dir`` is not used."""
        source, shares = own.find_source(self.path), own.Shares(self.validation_fraction, self.test_fraction)
        if self.content.form == "arrays":
            return own.load_arrays(split, source, shares)
        length = None if self.seconds is None else round(self.seconds * self.rate)
        return own.load_sound(split, source, self.sound, length, shares, self.speaker)
