"""TIMIT: read sentences with their phones, from the user's own copy (LDC93S1).

    <data_dir>/timit/TRAIN|TEST/DR1..DR8/{speaker}/{sentence}.WAV     NIST SPHERE (or RIFF), 16 kHz
                                          /{sentence}.PHN             lines "first_sample end_sample phone"

Names are case-insensitive, and the folders may be one level deeper (timit/TIMIT/TRAIN). The splits
are in docs/tasks/timit.md. Phones are folded as by Lee & Hon (1989, IEEE Trans. ASSP 37:1641).
Sources of the lists: the corpus' documentation (core test), Kaldi's recipe s5 (development set,
folding).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import read_bytes, reading
from ..encoders.speech import FeatureKind
from ..tasks import register
from .base import Split, SplitName, check_split, not_found, resolve_data_dir
from .features import FramesTask, load_features, split_of
from .files import Item
from .splitting import place

Validation = Literal["standard", "training"]
Classes = Literal[61, 48, 39]
_CORE_TEST = (
    "mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0 mbpm0 mklt0 fnlp0 "
    "mcmj0 mjdh0 fmgd0 mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0"
)
_DEVELOPMENT = (
    "faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0 mcsh0 fadg0 fdms0 "
    "fedw0 mgjf0 mglb0 mrtk0 mtaa0 mtdt0 mthc0 mwjg0 fnmr0 frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 "
    "mdvc0 mers0 fmah0 fdrw0 mrcs0 mrjm4 fcal1 mmwh0 fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 "
    "mteb0 mjfc0 mrjr0 fmml0 mrws1"
)
CORE_TEST, DEVELOPMENT = frozenset(_CORE_TEST.split()), frozenset(_DEVELOPMENT.split())
TRAINING_SHARE = 0.1
SPEAKERS = {"TRAIN": 462, "TEST": 168}
"""Number of speakers in each folder."""
SENTENCES = 10
"""Number of sentences of each speaker."""
_ALL_PHONES = (
    "aa ae ah ao aw ax ax-h axr ay b bcl ch d dcl dh dx eh el em en eng epi er ey f g gcl h# hh hv "
    "ih ix iy jh k kcl l m n ng nx ow oy p pau pcl q r s sh t tcl th uh uw ux v w y z zh"
)
_PHONES = _ALL_PHONES.split()
_TO_48 = {
    "ax-h": "ax",
    "axr": "er",
    "bcl": "vcl",
    "dcl": "vcl",
    "gcl": "vcl",
    "kcl": "cl",
    "pcl": "cl",
    "tcl": "cl",
    "em": "m",
    "eng": "ng",
    "h#": "sil",
    "pau": "sil",
    "hv": "hh",
    "nx": "n",
    "ux": "uw",
}
_TO_39 = {
    "ao": "aa",
    "ax": "ah",
    "cl": "sil",
    "vcl": "sil",
    "epi": "sil",
    "el": "l",
    "en": "n",
    "ix": "ih",
    "zh": "sh",
}


def folding(classes: Classes) -> dict[str, str | None]:
    """Each of the 61 phones -> its class among 61, 48 or 39; None for one without a class."""
    if classes == 61:
        return {phone: phone for phone in _PHONES}
    to_48 = {phone: _TO_48.get(phone, phone) for phone in _PHONES}
    if classes == 48:
        folded = to_48
    else:
        folded = {phone: _TO_39.get(name, name) for phone, name in to_48.items()}
    return {phone: None if phone == "q" else name for phone, name in folded.items()}


@cache
def class_names(classes: Classes) -> tuple[str, ...]:
    return tuple(sorted({name for name in folding(classes).values() if name is not None}))


@register
@dataclass(frozen=True)
class TIMITTask(FramesTask):
    """Phones of read sentences (TIMIT), one at every step."""

    name = "timit"

    features: FeatureKind = "mfcc"
    """mfcc, the published network's, or log_mel."""
    classes: Classes = 61
    """61 phones, or folded to 48 or 39."""
    validation: Validation = "standard"
    """standard: the customary development set of 50 speakers. training: 10 % of the training
    speakers."""

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return class_names(self.classes)

    @property
    def silence_class(self) -> int:  # type: ignore[override]
        """The class that accuracy may leave out: the pauses at a sentence's ends (of 39 classes:
        all closures too)."""
        return self.class_names.index("h#" if self.classes == 61 else "sil")

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, T, inputs), y (N, T) the phone or -1, lengths, groups the speakers.

        A frame's phone is the one at its centre, ``label_lag`` steps later.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: data are missing (missing), with how to get them, or damaged (file, data).
        """
        check_split(split)
        folder = find_corpus(data_dir)
        number = {
            phone: -1 if name is None else class_names(self.classes).index(name)
            for phone, name in folding(self.classes).items()
        }
        clips_of = cache(lambda wanted: list_sentences(folder, wanted, self.validation))
        x = load_features(split, clips_of, folder, self.sound)
        clips, front = clips_of(split), self.sound.features.front
        labels = np.full(x.shape[:2], -1, np.int64)
        for row, clip, length in zip(labels, clips, x.lengths.tolist(), strict=True):
            centres = front.centre + front.hop * np.arange(length)
            row[:length] = read_phones(find_phones(clip.path), number)(centres)
        return split_of(x, labels, clips, lag=self.label_lag).validate(str(folder), self.outputs)


def find_corpus(data_dir: Path | None = None) -> Path:
    """The folder with TRAIN and TEST. SrnnError, with how to get them, if it is missing."""
    root = resolve_data_dir(data_dir)
    for path in ((), ("timit",), ("timit", "timit"), ("timit", "data")):
        folder: Path | None = root
        for name in path:
            folder = folder and _child(folder, name)
        if folder and _child(folder, "train") and _child(folder, "test"):
            return folder
    how = (
        "buy it from catalog.ldc.upenn.edu/LDC93S1 and put its folders TRAIN "
        f"and TEST into {root / 'timit'}"
    )
    raise not_found("TIMIT was", root, how)


def list_sentences(folder: Path, split: SplitName, validation: Validation) -> list[Item]:
    """The sentences of a split, without SA, in order of their speakers' names.

    Args:
        folder: the corpus, with TRAIN and TEST.
        split: train, validation or test.
        validation: who is held out: standard, the development set of TEST; training, some speakers
            of TRAIN.

    Raises:
        SrnnError: speakers or sentences are missing (missing).
    """
    tested = split == "test" or (split, validation) == ("validation", "standard")
    speakers = list_speakers(folder, "test" if tested else "train")
    if tested:
        if split == "test":
            wanted = CORE_TEST
        else:
            wanted = DEVELOPMENT
        if missing := sorted(wanted - set(speakers)):
            raise SrnnError(
                f"{folder} lacks {len(missing)} of the {len(wanted)} {split} speakers in its test "
                f"folder, such as {missing[0].upper()}.",
                "missing",
                folder,
            )
    elif validation == "standard":
        wanted = frozenset(speakers)
    else:
        order = sorted(speakers, key=place)
        held = order[: max(1, round(TRAINING_SHARE * len(order)))]
        wanted = frozenset(held if split == "validation" else set(order) - set(held))
    clips = []
    for speaker in sorted(wanted):
        sentences = {
            path.name.split(".")[0].lower(): path
            for path in reversed(list_sounds(speakers[speaker]))
        }
        for name, path in sorted(sentences.items()):
            if not name.startswith("sa"):
                clips.append(Item(path, path.relative_to(folder).as_posix(), "", speaker))
    if not clips:
        raise SrnnError(f"{folder} contains no sentences for the {split} split.", "missing", folder)
    return clips


def list_sounds(speaker: Path) -> list[Path]:
    """The sound files in a speaker's folder, sorted; not what macOS hides next to them on other
    systems' disks (._SA1.WAV)."""
    return sorted(
        p for p in speaker.iterdir() if p.suffix.lower() == ".wav" and not p.name.startswith(".")
    )


def find_phones(sound: Path) -> Path:
    """The .PHN file of a sentence. SrnnError if there is none."""
    stem = sound.name.split(".")[0].lower()
    for path in sound.parent.iterdir():
        if path.name.lower() == f"{stem}.phn":
            return path
    raise SrnnError(f"{sound} has no phones next to it ({stem.upper()}.PHN).", "missing", sound)


def read_phones(
    path: Path, number: dict[str, int]
) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """A function from samples to the number of the phone spoken there; -1 outside all.

    Args:
        path: the .PHN file.
        number: the number of each phone.

    Raises:
        SrnnError: the file is corrupt (file).
    """
    starts, ends, phones = [], [], []
    with reading(path, "a list of phones"):
        lines = read_bytes(path, "a list of phones").decode("ascii").splitlines()
    for index, line in enumerate(lines, 1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 3 or not all(p.isdecimal() and len(p) < 12 for p in parts[:2]):
            raise SrnnError(
                f"{path}, line {index}: should be 'first_sample end_sample "
                f"phone', not '{line.strip()[:80]}'.",
                "file",
                path,
            )
        if parts[2] not in number:
            raise SrnnError(
                f"{path}, line {index}: '{parts[2][:80]}' is not one of TIMIT's 61 phones.",
                "file",
                path,
            )
        start, end = int(parts[0]), int(parts[1])
        if end <= start or (ends and start < ends[-1]):
            raise SrnnError(
                f"{path}, line {index}: the phone from {start} to {end} is "
                "empty or overlaps the one before.",
                "file",
                path,
            )
        starts.append(start)
        ends.append(end)
        phones.append(number[parts[2]])
    if not starts:
        raise SrnnError(f"{path} contains no phones.", "file", path)

    def at(samples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        index = np.searchsorted(starts, samples, side="right") - 1
        inside = (index >= 0) & (samples < np.array(ends)[index])
        return np.where(inside, np.array(phones)[index], -1)

    return at


def _child(folder: Path, name: str) -> Path | None:
    """The subfolder of that name, ignoring case."""
    if not folder.is_dir():
        return None
    return next(
        (path for path in sorted(folder.iterdir()) if path.name.lower() == name and path.is_dir()),
        None,
    )


def list_speakers(folder: Path, part: str) -> dict[str, Path]:
    """Speaker -> folder, of TRAIN or TEST.

    Args:
        folder: the corpus.
        part: "train" or "test".

    Raises:
        SrnnError: there are none (missing).
    """
    speakers: dict[str, Path] = {}
    for dialect in sorted((_child(folder, part) or folder).iterdir()):
        if dialect.is_dir() and dialect.name.lower().startswith("dr"):
            paths = (
                path
                for path in sorted(dialect.iterdir())
                if path.is_dir() and not path.name.startswith(".")
            )
            speakers.update((path.name.lower(), path) for path in paths)
    if not speakers:
        raise SrnnError(
            f"{folder / part.upper()} contains no speakers (DR1..DR8/SPEAKER/*.WAV).",
            "missing",
            folder / part.upper(),
        )
    return speakers
