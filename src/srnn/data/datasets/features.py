"""Features of sound files, computed once, stored as float16, and completed when a batch is cut; and
the options that tasks on sound share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import Between
from ...files.conversion import CheckedSettings
from ..encoders.speech import FeatureKind, Normalisation, SpeechFeatures, Statistics, rounded
from ..samples import fit_length
from ..signals import PathForm, SignalPath, SpeechPath
from ..tasks import Task
from .answers import Numbers, as_targets
from .audio import Samples, read_audio
from .base import Split, SplitName, later, padded
from .cache import Arrays, cached
from .files import Item
from .inputs import Inputs
from .segmentation import LabelledInterval, Segmentation, windows

_CODE = 1  # incremented when the same files and options shall give another result
_CLIPS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class FeatureArray(Inputs):
    """Features (N, T, C) of N clips; derivatives and scaling are computed from the stored frames on
    demand."""

    frames: npt.NDArray[np.float16]
    """(N, T, front channels), zero from a clip's end on."""
    lengths: npt.NDArray[np.int64]
    """(N,) frames of each clip."""
    path: SpeechPath
    """The path from sound to features, with the training set's statistics."""

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.frames), self.frames.shape[1], self.path.inputs)

    def __getitem__(self, index: Any) -> FeatureArray:
        part = self.frames[index]
        if part.ndim != 3:
            raise SrnnError(
                "Take features by a slice, a list of integers or a mask.", "value", "index"
            )
        return FeatureArray(part, self.lengths[index], self.path)

    def to_dense(self) -> npt.NDArray[np.float32]:
        dense = np.zeros(self.shape, np.float32)
        for length in np.unique(self.lengths):  # derivatives end where a clip does
            rows = self.lengths == length
            dense[rows, :length] = self.path.expanded(self.frames[rows, :length])
        return dense


@dataclass(frozen=True, eq=False)
class Sounds(Sequence[npt.NDArray[Any]]):
    """The sounds of clips, (samples, 1) each, read when they are asked for."""

    clips: Sequence[Item]
    rate: int
    length: int | None = None
    """Samples to which clips are cut or padded; None: each keeps its length."""

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: Any) -> Any:
        return read_clip(self.clips[index], self.rate, self.length)[:, None]


@dataclass(frozen=True)
class AudioTask(CheckedSettings, Task):
    """The options that tasks on sound share: features of frames 10 ms apart."""

    kind = "per_sequence"
    step_ms = 10.0
    rate: ClassVar[int] = 16000

    features: FeatureKind = SpeechFeatures.kind
    """log_mel (40 bands) or mfcc (12 cepstra and the energy)."""
    mels: int = SpeechFeatures.mels
    """log_mel: bands from 20 Hz up to ``high_hz``."""
    high_hz: float | None = SpeechFeatures.high_hz
    """log_mel: where the highest band ends; what tells s from f lies above the published 4000.
    None: half the rate."""
    derivatives: int = SpeechFeatures.derivatives
    """Number of derivatives over time that follow the features."""
    normalise: Normalisation = SpeechFeatures.normalise
    """clip: within each clip, as in the published networks. training: only by the training set,
    which allows streaming."""
    ternary: float | None = None
    """Threshold above which features become +1, and below whose negative -1; otherwise 0. None:
    they stay as they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sound  # noqa: B018 (SrnnError for a bad option)

    @property
    def sound(self) -> SpeechPath:
        rate = AudioTask.rate if self.rate is None else self.rate  # "folder" has it as an option
        rate = int(rate) if rate == int(rate) else rate
        features = SpeechFeatures(
            self.features, rate, self.mels, self.derivatives, self.normalise, self.high_hz
        )
        return SpeechPath(features, self.ternary)

    def signal(self) -> SignalPath:
        return self.sound

    @property
    def channel_blocks(self) -> int:  # type: ignore[override]
        """A block for the features, and one for each of their derivatives."""
        return 1 + self.derivatives


@dataclass(frozen=True)
class FramesTask(AudioTask):
    """A task on sound with a label at every frame."""

    kind = "per_step"

    label_lag: Annotated[int, Between(0, 100)] = 0
    """Steps by which labels are delayed, up to 100; sequences are longer by as many."""

    def lag(self, form: PathForm = "signal") -> int:
        return self.label_lag


def load_features(
    split: SplitName,
    clips: Callable[[SplitName], Sequence[Item]],
    folder: Path,
    path: SpeechPath,
    length: int | None = None,
) -> FeatureArray:
    """Features of the clips of one split, scaled by the statistics of the training split.

    Args:
        split: train, validation or test.
        clips: returns the clips of a split; also called for "train" where statistics are needed.
        folder: the data's folder, in which the cache lies.
        path: the signal path from sound to features.
        length: samples to which clips are cut or padded (``fit_length``); None: each keeps its
            length.

    Raises:
        SrnnError: a file cannot be read; the message names it.
    """
    encoder, train = path.features, clips("train") if path.features.fitted else ()

    def fit() -> Arrays:
        frames, lengths = stored_frames(train, folder, encoder, length)
        # Some clips at a time: those with equally many frames, otherwise in the clips' order.
        alike = ((size, np.flatnonzero(lengths == size)) for size in np.unique(lengths))
        parts = (
            encoder.expand(frames[rows[first : first + _CLIPS_AT_ONCE], :size])
            for size, rows in alike
            for first in range(0, len(rows), _CLIPS_AT_ONCE)
        )
        return encoder.fit(parts)._asdict()

    if encoder.fitted:
        statistics = cached(
            folder / ".cache", "statistics", *_key(train, encoder, length), fit, Statistics.read
        )
    else:
        statistics = encoder.fit(())
    frames, lengths = stored_frames(clips(split), folder, encoder, length)
    return FeatureArray(frames, lengths, path.calibrated(statistics=statistics))


def cut_clips(
    clips: Sequence[Item], seconds: Sequence[float], cutting: Segmentation, rate: int
) -> list[Item]:
    """The windows of sound files; a file's are of one group.

    A file that is shorter than a window stays whole, to be filled up with silence; what is left
    behind the last window is not used.

    Args:
        clips: whole files.
        seconds: how long each of them lasts.
        cutting: its ``window`` and ``stride``, in seconds.
        rate: samples per second of the sound as it is read.

    Returns:
        The windows as clips, in the files' order.
    """
    window, stride = cutting.steps("window", rate), cutting.steps("stride", rate)
    found = list[Item]()
    for clip, lasting in zip(clips, seconds, strict=True):
        samples = math.floor(lasting * rate + 1e-6)
        whole = replace(clip, group=clip.group or clip.name)
        if window is None or samples <= window:
            found.append(whole)
            continue
        part = LabelledInterval(0, samples, "")
        found += [replace(whole, start=start) for start, _ in windows(part, window, stride)]
    return found


def load_clips(
    split: SplitName,
    clips: Callable[[SplitName], Sequence[Item]],
    folder: Path,
    path: SpeechPath,
    classes: Sequence[str] | None,
    length: int | None = None,
) -> Split:
    """``split_of`` the clips of one split, with one label each.

    Args:
        split: as for ``load_features``.
        clips: as for ``load_features``.
        folder: as for ``load_features``.
        path: as for ``load_features``.
        classes: names of the classes, among which each clip's label is; None: labels are values.
        length: as for ``load_features``.

    Raises:
        SrnnError: as for ``load_features``; or a label is no number, where they are values (data).
    """
    chosen, x = clips(split), load_features(split, clips, folder, path, length)
    if classes is None:
        numbers = Numbers(folder)
        values = as_targets(np.array([numbers[clip.label] for clip in chosen]))
        return split_of(x, values, chosen, length).validate(str(folder), 1)
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[clip.label] for clip in chosen], np.int64)
    return split_of(x, labels, chosen, length).validate(str(folder), len(classes))


def split_of(
    x: FeatureArray,
    labels: npt.NDArray[Any],
    clips: Sequence[Item],
    length: int | None = None,
    lag: int = 0,
) -> Split:
    """A split of features and labels, with the sounds that the features are of.

    Args:
        x: features (N, T, C).
        labels: (N,) or (N, T) classes; or values, with a last axis for them.
        clips: N, in the same order; their groups become the split's where all are known.
        length: samples of every clip; None: they differ, and the split has lengths.
        lag: steps by which labels of steps are delayed; sequences are longer by as many.
    """
    if lag:  # what follows is zeros: the training set's mean, where features are scaled by it
        x, labels = (
            replace(x, frames=np.pad(x.frames, ((0, 0), (0, lag), (0, 0)))),
            later(labels, lag),
        )
    if length is not None:
        lengths = None
    else:
        lengths = x.lengths + lag
    groups = None
    if all(clip.group for clip in clips):
        groups = np.array([clip.group for clip in clips])
    sounds = Sounds(clips, x.path.rate, length)
    return Split(x, labels, lengths, groups, sounds, statistics=x.path.statistics)


def stored_frames(
    clips: Sequence[Item], folder: Path, encoder: SpeechFeatures, length: int | None
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    """Frames of clips before derivatives and scaling, from the cache or made now.

    Args:
        clips: the clips, at least one.
        folder: the data's folder, in which the cache lies.
        encoder: makes the frames.
        length: samples to which clips are cut or padded; None: each keeps its length.

    Returns:
        Frames (N, T, front channels) float16, padded with zeros, and how many each clip has (N,).

    Raises:
        SrnnError: there are no clips (data), or a file cannot be read.
    """

    def make() -> Arrays:
        rows = [
            rounded(encoder.frames(clip)) for clip in _read_in_turn(clips, encoder.rate, length)
        ]
        frames, lengths = padded(str(folder), rows)
        return {"frames": frames, "lengths": lengths}

    if not clips:
        raise SrnnError("There are no clips in this split.", "data", "clips")

    def use(arrays: Arrays) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
        frames, lengths = arrays["frames"], np.array(arrays["lengths"])
        kinds = (frames.dtype, lengths.dtype, lengths.shape) == (
            np.float16,
            np.int64,
            frames.shape[:1],
        )
        sizes = (frames.ndim, *frames.shape[::2]) == (3, len(clips), encoder.front.channels)
        whole = kinds and sizes and 0 < lengths.min() <= lengths.max() <= frames.shape[1]
        if not (whole and np.isfinite(frames).all()):
            raise SrnnError("These are not frames of these clips.", "file")
        return frames, lengths

    return cached(
        folder / ".cache", f"features-{encoder.kind}", *_key(clips, encoder, length), make, use
    )


def read_clip(clip: Item, rate: int, length: int | None = None) -> Samples:
    """The samples (N,) of a clip.

    Args:
        clip: a sound file, or a piece of one.
        rate: samples per second, to which other rates are resampled.
        length: samples to which the clip is cut or padded with silence; None: it keeps its length.

    Raises:
        SrnnError: as for ``read_audio``.
    """
    (samples,) = _read_in_turn([clip], rate, length)
    return samples


def _read_in_turn(clips: Sequence[Item], rate: int, length: int | None) -> Iterator[Samples]:
    """``read_clip`` of each; a file of which several are pieces, one after the other, is read
    once."""
    for path, pieces in groupby(clips, lambda clip: clip.path):
        whole, _ = read_audio(path, rate)
        for clip in pieces:
            if clip.start is not None:
                yield whole[clip.start :][:length]
            else:
                yield whole if length is None else fit_length(whole, length)


def _key(
    clips: Sequence[Item], encoder: SpeechFeatures, length: int | None
) -> tuple[dict[str, Any], list[Path]]:
    """What features depend on, for the cache: the options and the files."""
    options = {
        "encoder": asdict(encoder),
        "length": length,
        "code": _CODE,
        "clips": [(c.name, c.start) for c in clips],
    }
    return options, sorted({clip.path for clip in clips})
