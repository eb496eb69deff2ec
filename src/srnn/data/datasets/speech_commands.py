"""Google Speech Commands: spoken words of one second, versions 0.01 and 0.02; and a small subset of
the latter with its phones.

    <data_dir>/speech_commands_v0.02/{word}/{speaker}_nohash_{n}.wav, validation_list.txt, testing_list.txt,
                                     _background_noise_/*.wav                        (and the same for ..._v0.01)
    <data_dir>/speech_commands_test_set_v0.02/{word}/*.wav, with _silence_ and _unknown_      (the official test of 12 classes)
    <data_dir>/speech_commands_mini/{word}/*, with _silence_ and _unknown_, phones.json             (.wav or .flac)

docs/tasks/gsc.md tells who is in which split. What the official recipe draws by chance (the unknown
words and the pieces of noise of 12 classes) and who is held out of mini is decided here by the
fixed order of ``splitting.place``, or spread evenly.

speech_commands_mini.txt lists the recordings of mini, by which ``srnn data prepare`` takes them
from the official test set. A prepared folder is read as it is: a speaker's split does not depend on
who else is there.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import SrnnError, option
from ...files import read_bytes, read_object, reading
from ...text import counted
from ..tasks import BACKGROUND, register
from .audio import AUDIO_SUFFIXES, read_audio
from .base import Split, SplitName, check_split, not_found, resolve_data_dir
from .features import AudioTask, FramesTask, load_clips, load_features, split_of
from .files import Item
from .splitting import place

RATE = 16000
SILENCE, UNKNOWN = BACKGROUND, "_unknown_"
KEYWORDS = ("left", "down", "yes", "right", "off", "up", "on", "no", "go", "stop", SILENCE, UNKNOWN)
"""The 12 classes, in the order of the published network's outputs."""
_V1 = (
    "bed bird cat dog down eight five four go happy house left marvin nine no off on one right "
    "seven sheila six stop three tree two up wow yes zero"
)
WORDS: dict[int, tuple[str, ...]] = {
    1: tuple(_V1.split()),
    2: tuple(sorted([*_V1.split(), "backward", "follow", "forward", "learn", "visual"])),
}
_ARPABET = "SIL AA AE AH AO AW AY B D EH ER EY F G HH IH IY K L M N OW P R S SH T TH UW V W Y Z ZH"
PHONES = tuple(_ARPABET.split())
"""The phones that occur in mini (ARPAbet), silence first."""
Source = Literal["official", "mini"]
TestSet = Literal["lists", "official"]

_MINI = "speech_commands_mini"
_OF_THE_TEST_SET = "it should contain the 12 classes' folders of the test set"
_GET_MINI = (
    "get it with 'srnn data fetch speech-commands-mini' and "
    "'srnn data prepare speech-commands-mini'"
)
_MINI_CUTS = {"speakers": ("3b", "5a8"), "silence": ("38", "562")}
"""Mini: places (``splitting.place``) up to which speakers, and pieces of silence, are for testing,
and then for validation. Of those listed these are 26 and 20 of 130, and 42 and 31 of 209."""
_LISTS: dict[SplitName, str] = {"validation": "validation_list.txt", "test": "testing_list.txt"}
_NOISE_PARTS: dict[SplitName, tuple[float, float]] = {
    "train": (0, 0.8),
    "validation": (0.8, 0.9),
    "test": (0.9, 1),
}
_EXTRA = 0.1  # recordings of silence, and of unknown words, as a fraction of those of the ten words
_SPEAKER = re.compile(r"(?:.*_)?([0-9a-f]+)_nohash_\d+")


@register
@dataclass(frozen=True)
class SpeechCommandsTask(AudioTask):
    """Google Speech Commands: one of 12 classes (ten words, silence, unknown), or of all words."""

    name = "gsc"
    clip_seconds = 1.0

    version: Literal[1, 2] = 2
    """Version of the data set: 1 (the paper's) or 2."""
    classes: int = 12
    """12, or all words: 30 in version 1, 35 in version 2."""
    source: Source = "official"
    """official, or mini: half of the speakers of the official test set of version 2, split by
    speaker."""
    test_set: TestSet = "lists"
    """Where the test recordings for 12 classes come from: testing_list.txt, or the official test
    set's own folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        words = len(WORDS[self.version])
        if self.classes not in (12, words):
            raise SrnnError(
                f"classes must be 12 or {words} (all words of version "
                f"{self.version}), not {self.classes!r}.",
                "value",
                "classes",
            )
        if self.source == "mini" and (self.version, self.classes, self.test_set) != (
            2,
            12,
            "lists",
        ):
            raise SrnnError(
                "source 'mini' is of version 2 with 12 classes; remove "
                "version, classes and test_set.",
                "conflict",
                "source",
            )
        if self.test_set == "official" and self.classes != 12:
            raise SrnnError(
                "The official test set has 12 classes; with all words, test_set must be 'lists'.",
                "conflict",
                "test_set",
            )

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        if self.classes == 12:
            return KEYWORDS
        return WORDS[self.version]

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 101, inputs) (99 steps for mfcc), y (N,) the word, groups the speakers.

        Clips that are not one second long are cut or padded with silence at both ends.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: data are missing (missing), with how to get them, or damaged (file, data).
        """
        check_split(split)
        root = resolve_data_dir(data_dir)
        folder = root / (_MINI if self.source == "mini" else f"speech_commands_v0.0{self.version}")
        clips_of = cache(lambda wanted: list_clips(wanted, root, self))
        return load_clips(split, clips_of, folder, self.sound, self.class_names, RATE)


def list_clips(split: SplitName, root: Path, which: SpeechCommandsTask) -> list[Item]:
    """The recordings of one split, in a fixed order.

    Args:
        split: train, validation or test.
        root: the data folder.
        which: the task, whose version, classes, source and test set count.

    Raises:
        SrnnError: recordings are missing (missing), or the folder has another layout.
    """
    if which.source == "mini":
        return _mini(split, root)
    folder = root / f"speech_commands_v0.0{which.version}"
    if which.classes != len(KEYWORDS):
        return [_clip(folder, name, _word(name)) for name in _names(folder, split, which.version)]
    if split == "test" and which.test_set == "official":
        official, fetched = (
            root / f"speech_commands_test_set_v0.0{which.version}",
            "speech-commands-test-v2",
        )
        get = f"get it with 'srnn data fetch {fetched}' and 'srnn data prepare {fetched}'"
        return _keyword_folders(official, get if which.version == 2 else _OF_THE_TEST_SET)
    names = _names(folder, split, which.version)
    wanted = [name for name in names if _word(name) in KEYWORDS]
    count = math.ceil(len(wanted) * _EXTRA)
    unknown = sorted((name for name in names if _word(name) not in KEYWORDS), key=place)[:count]
    # Silence: as many pieces of background noise, one second each, spread evenly over the split's
    # part of each noise file.
    files = sorted((folder / "_background_noise_").glob("[!.]*.wav"))
    if not files:
        raise SrnnError(
            f"{folder / '_background_noise_'} contains no sound, from which the class {SILENCE} is "
            "cut.",
            "missing",
            folder / "_background_noise_",
        )
    first, last = _NOISE_PARTS[split]
    silence = []
    for index, path in enumerate(files):
        samples = len(read_audio(path, RATE)[0])
        begin, end = int(first * samples), int(last * samples) - RATE
        if end < begin:
            raise SrnnError(
                f"{path} is {samples / RATE:.1f} s long; background noise must be at least 10 s "
                "long.",
                "data",
                path,
            )
        pieces, name = len(range(index, count, len(files))), f"_background_noise_/{path.name}"
        for start in np.linspace(begin, end, pieces).astype(int).tolist():
            silence.append(Item(path, name, SILENCE, path.stem, start=start))
    return [
        *(_clip(folder, name, _word(name)) for name in wanted),
        *silence,
        *(_clip(folder, name, UNKNOWN) for name in unknown),
    ]


def which_set(name: str) -> SplitName:
    """The split of a recording by the hash of its speaker, as the official lists were made (10 %
    validation, 10 % test)."""
    speaker = re.sub(r"_nohash_.*$", "", Path(name).name)
    largest = 2**27 - 1
    percentage = (int(place(speaker), 16) % (largest + 1)) * (100.0 / largest)
    if percentage < 10:
        return "validation"
    if percentage < 20:
        return "test"
    return "train"


def _names(folder: Path, split: SplitName, version: int) -> list[str]:
    """The recordings of a split, as word/file.wav, sorted."""
    data_set = f"speech-commands-v{version}"
    if not folder.is_dir():
        how = f"get it with 'srnn data fetch {data_set}' and 'srnn data prepare {data_set}'"
        raise not_found(f"{folder.name} was", folder.parent, how)
    missing = [word for word in WORDS[version] if not (folder / word).is_dir()]
    if missing:
        raise SrnnError(
            f"{folder} lacks {len(missing)} of its {len(WORDS[version])} words, such as "
            f"'{missing[0]}'; unpack it with 'srnn data prepare {data_set}'.",
            "missing",
            folder,
        )
    paths = (path for word in WORDS[version] for path in (folder / word).glob("[!.]*.wav"))
    present = {path.relative_to(folder).as_posix() for path in paths}
    if not present:
        raise SrnnError(f"{folder} contains no recordings; unpack it again.", "missing", folder)
    listed = {other: _listed(folder, other, present, version) for other in _LISTS}
    if both := listed["validation"] & listed["test"]:
        raise SrnnError(
            f"{folder}: {min(both)} is in both the validation list and the test list.",
            "data",
            folder,
        )
    if split != "train":
        return sorted(listed[split])
    return sorted(present - listed["validation"] - listed["test"])


def _listed(folder: Path, split: SplitName, present: set[str], version: int) -> set[str]:
    """The recordings that the official list holds out for a split; without the list, those that its
    rule would."""
    path = folder / _LISTS[split]
    if not path.is_file():
        return {name for name in present if which_set(name) == split}
    listed = set(read_bytes(path, "a list of recordings").decode("utf-8", "replace").split())
    missing = sorted(listed - present)
    if foreign := next((name for name in missing if _word(name) not in WORDS[version]), None):
        raise SrnnError(
            f"{folder} is not of version {version}, which has no "
            f"'{_word(foreign)}' ({path.name} lists it).",
            "conflict",
            "version",
        )
    if missing:
        recordings = counted(len(missing), "recording")
        raise SrnnError(
            f"{folder} lacks {recordings} that {path.name} lists, such as {missing[0]}.",
            "missing",
            folder,
        )
    return listed


def _word(name: str) -> str:
    return name.split("/", 1)[0]


def _clip(folder: Path, name: str, label: str) -> Item:
    return Item(folder / name, name, label, speaker_of(name) or name)


def speaker_of(name: str) -> str | None:
    """The speaker in a recording's name, speaker_nohash_n or word_speaker_nohash_n; None if there
    is none."""
    match = _SPEAKER.fullmatch(Path(name).stem)
    if not match:
        return None
    return match.group(1)


def _keyword_folders(folder: Path, how: str) -> list[Item]:
    """All recordings in a folder that has a subfolder for each of the 12 classes."""
    clips = []
    for word in KEYWORDS:
        paths = sorted(
            p for p in (folder / word).glob("[!.]*") if p.suffix.lower() in AUDIO_SUFFIXES
        )
        if not paths:
            raise SrnnError(
                f"{folder / word} contains no recordings: {how}, or choose another data "
                f"folder ({option('data_dir')}).",
                "missing",
                folder / word,
            )
        clips += [_clip(folder, f"{word}/{path.name}", word) for path in paths]
    return clips


def _mini(split: SplitName, root: Path) -> list[Item]:
    """The recordings of one split of mini: divided by speaker; pieces of silence, which have none,
    one by one."""
    clips = []
    for clip in _keyword_folders(root / _MINI, _GET_MINI):
        speaker = speaker_of(clip.name)
        if clip.label == SILENCE:
            at, cuts = place(f"{SILENCE}/{clip.path.stem}.flac"), _MINI_CUTS["silence"]
        elif speaker is not None:
            at, cuts = place(speaker), _MINI_CUTS["speakers"]
        else:
            raise SrnnError(
                f"{clip.path}: the name does not say who speaks (speaker_nohash_number).",
                "file",
                clip.path,
            )
        tested, validated = cuts
        own = "test" if at < tested else "validation" if at < validated else "train"
        if own == split:
            clips.append(clip)
    if not clips:
        raise SrnnError(
            f"{root / _MINI} contains no recordings of the {split} split; {_GET_MINI}.",
            "missing",
            root / _MINI,
        )
    return clips


# ---- phones ----------------------------------------------------------------------------------------------------------


@register
@dataclass(frozen=True)
class PhonesTask(FramesTask):
    """Phones of spoken words, one at every step; labels from forced alignment (Speech Commands
    mini)."""

    name = "phones"
    class_names = PHONES
    silence_class = 0

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 101 + label_lag, inputs), y (N, 101 + label_lag) the phone or -1, groups speakers.

        The segments are from forced alignment; only recordings that have them are included. The
        last one or two frames of a clip have no label.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: data are missing (missing), with how to get them, or damaged (file, data).
        """
        check_split(split)
        root = resolve_data_dir(data_dir)
        folder = root / _MINI
        segments = read_segments(folder / "phones.json")

        def clips_of(wanted: SplitName) -> list[Item]:
            return [clip for clip in _mini(wanted, root) if clip.name in segments]

        clips = clips_of(split)
        x = load_features(split, clips_of, folder, self.sound, RATE)
        labels = np.full(x.shape[:2], -1, np.int64)
        for row, clip in zip(labels, clips, strict=True):
            for phone, first, count in segments[clip.name]:
                row[first : first + count] = PHONES.index(phone)
        return split_of(x, labels, clips, RATE, self.label_lag).validate(str(folder), self.outputs)


Segments = list[tuple[str, int, int]]
"""(phone, first frame, frames), frames of 10 ms."""


def read_segments(path: Path) -> dict[str, Segments]:
    """The segments of every aligned recording by its name, word/file.flac. SrnnError if the file is
    corrupt."""
    if not path.is_file():
        raise SrnnError(
            f"{path} was not found: it contains the phones of {_MINI}.", "missing", path
        )
    try:
        with reading(path, "a list of phones"):
            labels = read_object(path)["labels"]
            read = {
                name: [(str(p), int(first), int(n)) for p, first, n in parts]
                for name, parts in labels.items()
            }
    except SrnnError as error:
        raise SrnnError(
            f'{path} is not a list of phones {{"labels": {{file: [[phone, first, frames], ...]}}}}.',
            "file",
            path,
        ) from error
    for name, parts in read.items():
        end = 0
        for phone, first, count in parts:
            if phone not in PHONES:
                raise SrnnError(f"{path}: {name} has an unknown phone '{phone}'.", "file", path)
            if first < end or count < 1:
                raise SrnnError(
                    f"{path}: the segments of {name} overlap or are empty at frame {first}.",
                    "file",
                    path,
                )
            end = first + count
    return read
