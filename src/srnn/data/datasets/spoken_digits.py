"""Free Spoken Digit Dataset: ten digits in English by six speakers, fifty times each, 8 kHz
(docs/tasks/spoken-digits.md).

    <data_dir>/fsdd/recordings/{digit}_{speaker}_{index}.wav

As sound features, or as the spikes of a cochlea, which are read from <data_dir>/fsdd/cochlea.h5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np

from ...errors import SrnnError
from ...files.conversion import CheckedSettings
from ...files.hdf5 import open_hdf5
from ..tasks import Task, register
from .base import Split, SplitName, check_split, not_found, resolve_data_dir
from .catalogue import CATALOGUE
from .features import AudioTask, load_clips
from .files import Item
from .shd import EventTask, read_recordings

RATE = 8000
SPIKES = "cochlea.h5"
"""The recordings as the spikes of a cochlea, in SHD's layout, next to their folder."""
Speaker = Literal["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
SPEAKERS: tuple[Speaker, ...] = get_args(Speaker)
DigitSplitting = Literal["official", "speaker"]
_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)")


@dataclass(frozen=True)
class _Recordings(CheckedSettings, Task):
    """The options that tasks on these recordings share: how they are split."""

    kind = "per_sequence"
    class_names = tuple("0123456789")

    splitting: DigitSplitting = "official"
    """official: by number of recording, every speaker in all splits. speaker: one held out for
    testing, one for validation."""
    test_speaker: Speaker = SPEAKERS[-1]
    """splitting speaker: the speaker held out for testing."""
    validation_speaker: Speaker | None = None
    """splitting speaker: the speaker held out for validation; None: the next in alphabetical order,
    after the last the first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_speaker == self.test_speaker:
            raise SrnnError(
                f"{self.test_speaker} cannot be held out for both testing and validation.",
                "conflict",
                "validation_speaker",
            )
        if self.splitting == "official" and (self.test_speaker, self.validation_speaker) != (
            SPEAKERS[-1],
            None,
        ):
            raise SrnnError(
                "test_speaker and validation_speaker have an effect only with splitting 'speaker'.",
                "conflict",
                "splitting",
            )

    def clips(self, data_dir: Path | None = None) -> dict[SplitName, list[Item]]:
        """The recordings of every split, in order of their names. SrnnError where there are
        none."""
        root = resolve_data_dir(data_dir)
        folder = root / "fsdd" / "recordings"
        paths = sorted(folder.glob("[!.]*.wav"))
        if not paths:
            how = "get them with 'srnn data fetch fsdd' and 'srnn data prepare fsdd'"
            raise not_found("Spoken digits (fsdd/recordings) were", root, how)
        following = SPEAKERS[(SPEAKERS.index(self.test_speaker) + 1) % len(SPEAKERS)]
        validation_speaker = self.validation_speaker or following
        clips: dict[SplitName, list[Item]] = {"train": [], "validation": [], "test": []}
        for path in paths:
            match = _NAME.fullmatch(path.stem)
            if match is None:
                raise SrnnError(f"{path}: the name is not digit_speaker_index.wav.", "file", path)
            digit, speaker, index = match[1], match[2], int(match[3])
            if self.splitting == "official":
                tested, validated = index < 5, index < 10
            else:
                tested, validated = speaker == self.test_speaker, speaker == validation_speaker
            own: SplitName = "test" if tested else "validation" if validated else "train"
            clips[own].append(Item(path, path.name, digit, speaker))
        for split, chosen in clips.items():
            if not chosen:
                raise SrnnError(
                    f"{folder} contains no recordings for the {split} split "
                    f"(splitting '{self.splitting}').",
                    "missing",
                    folder,
                )
        return clips


@register
@dataclass(frozen=True)
class SpokenDigitsTask(_Recordings, AudioTask):
    """Free Spoken Digits: 0 to 9 in English, six speakers."""

    name = "spoken-digits"
    rate: ClassVar[int] = RATE

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, T, inputs), y (N,) the digit, lengths, groups the speakers.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: data are missing (missing), with how to get them, or damaged (file, data).
        """
        check_split(split)
        clips = self.clips(data_dir)
        return load_clips(
            split,
            clips.__getitem__,
            clips[split][0].path.parent.parent,
            self.sound,
            self.class_names,
        )


@register
@dataclass(frozen=True)
class SpokenDigitSpikesTask(_Recordings, EventTask):
    """Free Spoken Digits, 0 to 9 in English by six speakers, as the spikes of a cochlea."""

    name = "spoken-digits-spikes"
    rate: ClassVar[int] = RATE

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, steps, channels) sparse spikes, y (N,) the digit, groups the speakers.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: the spikes are missing (missing; it says how to make them), incomplete
                (missing) or damaged (file).
        """
        check_split(split)
        clips = self.clips(data_dir)[split]
        path = clips[0].path.parent.parent / SPIKES
        if not path.is_file():
            how = next(use for use in CATALOGUE["fsdd"].uses if use.needs).missing(
                resolve_data_dir(data_dir)
            )
            raise SrnnError(
                f"{path} was not found; make it from the recordings, which takes minutes: {how}",
                "missing",
                path,
            )
        x, _, _ = read_recordings(path, self.binning, self.outputs)
        with open_hdf5(
            path, "spikes that name their clips; make it again with 'srnn data encode cochlea'"
        ) as file:
            names = [name.decode() for name in file["extra/meta_info/file"][:].tolist()]
        place = {name: index for index, name in enumerate(names)}
        missing = [clip.path.name for clip in clips if clip.path.name not in place]
        if missing:
            raise SrnnError(
                f"{path} lacks {len(missing)} of the recordings, such as "
                f"{missing[0]}; make it again.",
                "missing",
                path,
            )
        order = np.array([place[clip.path.name] for clip in clips])
        labels = np.array([int(clip.label) for clip in clips], np.int64)
        groups = np.array([clip.group for clip in clips])
        return Split(x[order], labels, groups=groups).validate(str(path), self.outputs)
