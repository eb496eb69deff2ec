"""Free Spoken Digit Dataset: ten digits in English by six speakers, fifty times each, 8 kHz.

    <data_dir>/fsdd/recordings/{digit}_{speaker}_{index}.wav

Two ways to split:

official   index 0 to 4 for testing, as the data set's README says; validation is carved from the rest, index 5 to 9.
           Every speaker is in all three.
speaker    speaker-independent: one speaker for testing, another for validation, the others (four of six) for training.
           Without a choice the speaker after the tested one, in alphabetical order, is for validation.

As sound features, or as the spikes of a cochlea, which are read from <data_dir>/fsdd/cochlea.h5.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ...errors import SrnnError, nearest
from ...files.hdf5 import open_hdf5
from ..encoders.event_binning import EventBinning
from ..signals import SpeechPath
from .base import Split, SplitName, check_split, resolve_data_dir
from .catalogue import CATALOGUE
from .features import Clip, load_features
from .shd import read_recordings

RATE = 8000
SPIKES = "cochlea.h5"
"""The recordings through a cochlea, in SHD's layout, beside their folder."""
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
DigitSplitting = Literal["official", "speaker"]
_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)")
_OF_INDEX: dict[int, SplitName] = {index: "test" if index < 5 else "validation" for index in range(10)}


def load_spoken_digits(
    split: SplitName, data_dir: Path | None, splitting: DigitSplitting, test_speaker: str, validation_speaker: str | None,
    path: SpeechPath,
) -> Split:  # fmt: skip
    """One split: x (N, T, channels) features, y (N,) the digit, lengths (N,), groups the speakers.

    Args:
        split: train, validation or test.
        data_dir: where data lie.
        splitting: official or speaker.
        test_speaker, validation_speaker: where ``splitting`` is speaker: who is held out.
        path: from sound at 8 kHz to features.

    Raises:
        SrnnError: recordings are missing (the message says how to get them) or cannot be read; there is no such speaker.
    """
    check_split(split)
    clips = list_digits(data_dir, splitting, test_speaker, validation_speaker)
    folder = clips[split][0].path.parent.parent
    x = load_features(split, clips.__getitem__, folder / ".cache", path)
    labels = np.array([clip.label for clip in clips[split]], np.int64)
    groups = np.array([clip.group for clip in clips[split]])
    return Split(x, labels, np.array(x.lengths), groups).validate(str(folder), 10)


def load_digit_spikes(
    split: SplitName,
    data_dir: Path | None = None,
    splitting: DigitSplitting = "official",
    test_speaker: str = SPEAKERS[-1],
    validation_speaker: str | None = None,
    binning: EventBinning | None = None,
) -> Split:
    """One split as spikes: x (N, steps, channels) sparse, y (N,) the digit, groups the speakers.

    Other arguments and errors as ``load_spoken_digits``; also SrnnError where the spikes were not made yet (it says how), or
    not of all recordings.
    """
    check_split(split)
    clips = list_digits(data_dir, splitting, test_speaker, validation_speaker)[split]
    path = clips[0].path.parent.parent / SPIKES
    if not path.is_file():
        how = next(use for use in CATALOGUE["fsdd"].uses if use.needs).missing(resolve_data_dir(data_dir))
        raise SrnnError(f"{path} was not found; make it from the recordings (minutes): {how}")
    found = read_recordings(path, binning or EventBinning(), 10)
    with open_hdf5(path, "spikes that name their clips; make it anew by 'srnn encode cochlea'") as file:
        names = [name.decode() for name in file["extra/meta_info/file"].read().tolist()]
    place = {name: index for index, name in enumerate(names)}
    missing = [clip.path.name for clip in clips if clip.path.name not in place]
    if missing:
        raise SrnnError(f"{path} lacks {len(missing)} of the recordings, as {missing[0]}; make it anew.")
    order = np.array([place[clip.path.name] for clip in clips])
    labels = np.array([clip.label for clip in clips], np.int64)
    groups = np.array([clip.group for clip in clips])
    return Split(found.x[order], labels, groups=groups).validate(str(path), 10)


def list_digits(
    data_dir: Path | None = None,
    splitting: DigitSplitting = "official",
    test_speaker: str = SPEAKERS[-1],
    validation_speaker: str | None = None,
) -> dict[SplitName, list[Clip]]:
    """The recordings of every split, in the order of their names. Arguments and errors as ``load_spoken_digits``."""
    root = resolve_data_dir(data_dir)
    folder = root / "fsdd" / "recordings"
    paths = sorted(folder.glob("*.wav"))
    if not paths:
        raise SrnnError(
            f"No spoken digits were found in {folder}: get them by 'srnn data fetch fsdd' and "
            "'srnn data prepare fsdd', or name another data folder by --data-dir or SRNN_DATA."
        )
    held = validation_speaker or after(test_speaker)
    clips: dict[SplitName, list[Clip]] = {"train": [], "validation": [], "test": []}
    for path in paths:
        found = _NAME.fullmatch(path.stem)
        if found is None:
            raise SrnnError(f"{path}: the name is not digit_speaker_index.wav.")
        digit, speaker, index = int(found[1]), found[2], int(found[3])
        if splitting == "official":
            split = _OF_INDEX.get(index, "train")
        else:
            split = "test" if speaker == test_speaker else "validation" if speaker == held else "train"
        clips[split].append(Clip(path, path.name, digit, speaker))
    for split, chosen in clips.items():
        if not chosen:
            raise SrnnError(f"{folder} holds no recordings for the {split} split (splitting '{splitting}').")
    return clips


def after(speaker: str) -> str:
    """The next speaker in alphabetical order, the first after the last. SrnnError for one who is not there."""
    check_speaker("test_speaker", speaker)
    return SPEAKERS[(SPEAKERS.index(speaker) + 1) % len(SPEAKERS)]


def check_speaker(option: str, speaker: object) -> None:
    """SrnnError, with the nearest, for one who is not there."""
    if speaker not in SPEAKERS:
        raise SrnnError(f"{option} cannot be {speaker!r}.{nearest(speaker, SPEAKERS)}")


def check_speakers(splitting: str, test_speaker: str, validation_speaker: str | None) -> None:
    """SrnnError for a way to split that is not there, or for speakers who do not fit it."""
    if splitting not in get_args(DigitSplitting):
        raise SrnnError(f"splitting cannot be {splitting!r}.{nearest(splitting, get_args(DigitSplitting))}")
    check_speaker("test_speaker", test_speaker)
    if validation_speaker is not None:
        check_speaker("validation_speaker", validation_speaker)
    if validation_speaker == test_speaker:
        raise SrnnError(f"{test_speaker} cannot be held out for testing and for validation.")
    if splitting == "official" and (test_speaker, validation_speaker) != (SPEAKERS[-1], None):
        raise SrnnError("test_speaker and validation_speaker have an effect only with splitting 'speaker'.")
