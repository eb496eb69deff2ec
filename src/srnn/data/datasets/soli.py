"""Project Soli: hand gestures seen by a radar, as sequences of images (docs/tasks/soli.md), from
the user's own copy.

    <data_dir>/soli/{gesture}_{subject}_{instance}.h5 (or in a folder dsp/ there), each with
    ch0 .. ch3   (T, 1024) float32 in 0..1, one image per row
    label        (T, 1) or (T,) the gesture at every frame, 0 to 10
    <data_dir>/soli/file_half.json   the official split: {"train": ["0_8_4", ...], "eval": [...]}

A recording shorter than a sequence is repeated to fill it, as in the paper's code; a longer one
gives consecutive pieces, the last of which ends with the recording (and may overlap the piece
before).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import read_object, reading
from ...files.bounds import Between, Count, CountFrom0, Items
from ...files.conversion import CheckedSettings
from ...files.hdf5 import open_hdf5
from ...text import counted
from ..tasks import Task, register
from .base import Split, SplitName, check_split, not_found, resolve_data_dir
from .cache import Arrays, cached
from .splitting import held_out

GESTURES = tuple(f"gesture-{index:02d}" for index in range(11))
PIXELS = 1024
RECEIVERS = 4
HELD_OUT_SUBJECTS = 1
_NAME = re.compile(r"(\d+)_(\d+)_(\d+)")
_CODE = 1


@register
@dataclass(frozen=True)
class SoliTask(CheckedSettings, Task):
    """Hand gestures seen by a radar, one of eleven at each frame."""

    name = "soli"
    kind = "per_step"
    class_names = GESTURES

    receivers: Annotated[
        tuple[Annotated[int, Between(0, RECEIVERS - 1)], ...], Items(distinct=True)
    ] = (3,)
    """Which of the radar's four receivers are read."""
    steps: Count = 40
    """Frames in a sequence."""
    validation_subjects: tuple[CountFrom0, ...] | None = None
    """The subjects held out from training. None: the one with the highest number; (): nobody."""

    @property
    def inputs(self) -> int:
        return PIXELS * len(self.receivers)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, steps, inputs) in 0..1, y (N, steps) the gesture, groups the subjects.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: data are missing (missing), with how to get them, or damaged (file).
        """
        check_split(split)
        folder = find_folder(data_dir)
        paths = list_recordings(folder, "eval" if split == "test" else "train")
        if split != "test":
            subjects = [_numbers(path.stem)[1] for path in paths]
            present = sorted(set(subjects))
            out = held_out("subject", present, self.validation_subjects, split, HELD_OUT_SUBJECTS)
            held = split == "validation"
            paths = [
                path
                for path, subject in zip(paths, subjects, strict=True)
                if (subject in out) == held
            ]
        names = [path.name for path in paths]
        options = {
            "receivers": list(self.receivers),
            "steps": self.steps,
            "code": _CODE,
            "recordings": names,
        }

        def build() -> Arrays:
            xs, ys, groups = [], [], []
            for path in paths:
                images, labels = read_recording(path, self.receivers)
                pieces = cut(len(images), self.steps)
                xs.append(images[pieces])
                ys.append(labels[pieces])
                groups += [f"subject-{_numbers(path.stem)[1]:02d}"] * len(pieces)
            return {"x": np.concatenate(xs), "y": np.concatenate(ys), "groups": np.array(groups)}

        def use(arrays: Arrays) -> Split:
            frames = Split(arrays["x"], np.array(arrays["y"]), groups=np.array(arrays["groups"]))
            return frames.validate(str(folder), self.outputs, self.inputs)

        return cached(
            folder / ".cache",
            split,
            options,
            paths,
            build,
            use,
        )


@register
@dataclass(frozen=True)
class SoliSequenceTask(SoliTask):
    """Hand gestures seen by a radar, one of eleven for each sequence."""

    name = "soli_sequence"
    kind = "per_sequence"

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, steps, inputs) in 0..1, y (N,) the gesture, groups the subjects.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: data are missing (missing), with how to get them, or damaged (file).
        """
        frames = super().load(split, data_dir)
        return Split(frames.x, frames.y[:, 0], groups=frames.groups)


def find_folder(data_dir: Path | None = None) -> Path:
    """The folder of the recordings. SrnnError, with how to get them, if they are missing."""
    root = resolve_data_dir(data_dir)
    for folder in (root / "soli", root / "soli" / "dsp"):
        if any(_NAME.fullmatch(path.stem) for path in folder.glob("*.h5")):
            return folder
    how = (
        "ask its authors for them (github.com/simonwsw/deep-soli leads to them), put them into "
        f"{root / 'soli'}"
    )
    raise not_found("Soli's recordings were", root, how)


def list_recordings(folder: Path, half: str) -> list[Path]:
    """The recordings of a half of the official split, as ``read_names`` gives them.

    Args:
        folder: the folder of the recordings.
        half: "train" or "eval".

    Raises:
        SrnnError: a recording is missing (missing); or as for ``read_names``.
    """
    source, paths = read_names(folder, half)
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise SrnnError(
            f"{folder} lacks {counted(len(missing), 'recording')} that {source.name} "
            f"names, such as {missing[0]}.",
            "missing",
            folder,
        )
    return paths


def read_names(folder: Path, half: str) -> tuple[Path, list[Path]]:
    """The file of the official split, and the recordings that it names in a half.

    Args:
        folder: the folder of the recordings.
        half: "train" or "eval".

    Returns:
        The split's file; and the recordings' files, whether they exist or not, ordered by gesture,
        subject and instance.

    Raises:
        SrnnError: the split's file is missing (missing) or damaged (file).
    """
    for path in (folder / "file_half.json", folder.parent / "file_half.json"):
        if path.is_file():
            break
    else:
        raise SrnnError(
            f"{folder / 'file_half.json'}, the official split, was not found; get it "
            "with 'srnn data fetch soli'.",
            "missing",
            folder / "file_half.json",
        )
    try:
        with reading(path, "a split"):
            names = [str(name) for name in read_object(path)[half]]
            keys = sorted(map(_numbers, names))
    except SrnnError as error:
        raise SrnnError(
            f'{path} is not a split {{"train": ["0_8_4", ...], "eval": [...]}}.', "file", path
        ) from error
    return path, [
        folder / f"{gesture}_{subject}_{instance}.h5" for gesture, subject, instance in keys
    ]


def _numbers(name: str) -> tuple[int, int, int]:
    """Gesture, subject and instance, from a recording's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(name)
    gesture, subject, instance = map(int, match.groups())
    return gesture, subject, instance


def cut(frames: int, steps: int) -> npt.NDArray[np.intp]:
    """The frames (pieces, steps) of a recording that make up its sequences.

    Args:
        frames: number of the recording's frames.
        steps: frames of a sequence.
    """
    if frames <= steps:
        return np.arange(steps)[None] % frames
    starts = np.minimum(np.arange(-(-frames // steps)) * steps, frames - steps)
    return starts[:, None] + np.arange(steps)


def read_recording(
    path: Path, receivers: Sequence[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Images (T, 1024 * receivers) in 0..1 and labels (T,).

    Args:
        path: the recording's file.
        receivers: which of the radar's receivers are read, 0 to 3.

    Raises:
        SrnnError: the file is corrupt, or its gesture is not that of its name (file).
    """
    gesture, _, _ = _numbers(path.stem)
    with open_hdf5(path, "a Soli recording, HDF5 with ch0..ch3, label") as file:
        images = [file[f"ch{receiver}"][()] for receiver in receivers]
        labels = file["label"][()].reshape(-1)
    for receiver, image in zip(receivers, images, strict=True):
        if (
            image.ndim != 2
            or image.shape[1] != PIXELS
            or len(image) == 0
            or image.dtype.kind != "f"
        ):
            raise SrnnError(
                f"{path}: ch{receiver} should be floats (T, {PIXELS}), not "
                f"{image.dtype} {image.shape}.",
                "file",
                path,
            )
        if not np.isfinite(image).all():
            raise SrnnError(
                f"{path}: ch{receiver} contains values that are not finite (NaN or infinity).",
                "file",
                path,
            )
    if {len(image) for image in images} != {len(labels)}:
        raise SrnnError(
            f"{path} has {len(labels)} labels for {[len(image) for image in images]} frames.",
            "file",
            path,
        )
    if not (labels == gesture).all():
        raise SrnnError(
            f"{path} is named for gesture {gesture}, but has labels {np.unique(labels).tolist()}.",
            "file",
            path,
        )
    if gesture >= len(GESTURES):
        raise SrnnError(
            f"{path}: gesture {gesture} is out of range; gestures are 0 to {len(GESTURES) - 1}.",
            "file",
            path,
        )
    return np.concatenate(images, axis=1).astype(np.float32), labels.astype(np.int64)
