"""``Split``, the form in which every data set is loaded; and where data are on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, nearest, option
from ...files.conversion import check
from ...text import composed, one_line
from ..encoders.speech import Statistics
from ..targets import are_values, of_steps, unlabelled
from .inputs import Inputs

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
# Bytes that padded sequences may always take; or so many times their own.
_PADDED, _PADDED_RATIO = 2**33, 100
_BLOCK = 2**20  # numbers that are checked at a time
_chosen: ContextVar[Path | None] = ContextVar("data folder", default=None)
UNLABELLED = -1
"""The label of a step (or sequence) that has none."""


_T = TypeVar("_T")


def _taken(array: npt.NDArray[Any] | None, index: npt.NDArray[Any]) -> Any:
    """What an array, if there is one, has at ``index``."""
    if array is None:
        return None
    return array[index]


def _listed(entries: Sequence[_T] | None, rows: npt.NDArray[Any]) -> list[_T] | None:
    """What a list, if there is one, has at ``rows``."""
    if entries is None:
        return None
    return [entries[row] for row in rows]


@dataclass(frozen=True, eq=False)
class Split:
    """N sequences of one split of a data set."""

    x: npt.NDArray[np.float32] | Inputs
    """(N, T, C) inputs, an array or a compact substitute (``SpikeArray``, ``WindowedArray``); steps
    from a sequence's length on are zero."""
    y: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    """(N,) a class for each sequence, or (N, T) one for each step; -1 where there is none. Or
    float32 targets: (N, values) for each sequence, (N, T, values) for each step; NaN where there is
    none."""
    lengths: npt.NDArray[np.int64] | None = None
    """(N,) valid steps of each sequence, padded on the right; None: all of them."""
    groups: npt.NDArray[np.str_] | None = None
    """(N,) the record, speaker or subject that a sequence comes from, for splitting and for
    statistics."""
    signals: Sequence[npt.NDArray[Any]] | None = None
    """N raw signals (samples, channels) from which the sequences were encoded; None: not at hand,
    or not needed, because the signal path can undo its encoding (``SignalPath.decode``)."""
    starts: npt.NDArray[np.int64] | None = None
    """(N,) the sample of its signal at which each sequence begins, one sample per step, where
    signals also hold what is around a sequence, because this affects its encoding (a running
    scale); None: each signal is just its sequence's."""
    statistics: Statistics | None = None
    """Statistics of the training set by which x was scaled; None: it was not."""
    channels: Sequence[tuple[str, ...]] | None = None
    """The names of each signal's channels, where these differ between recordings; None: they do
    not, or are not known."""

    def __post_init__(self) -> None:
        for name, value in (
            ("x", self.x),
            ("y", self.y),
            ("lengths", self.lengths),
            ("groups", self.groups),
        ):
            if not hasattr(value, "shape") and not (
                value is None and name in ("lengths", "groups")
            ):
                raise SrnnError(
                    f"{name} of a Split must be an array, not a {type(value).__name__}.",
                    "data",
                    name,
                )

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        labels = "a label each"
        if of_steps(self.y):
            labels = "a label a step"
        return f"Split(x {tuple(self.x.shape)}, {labels})"

    def take(self, index: npt.ArrayLike) -> Split:
        """The sequences at ``index`` (integers or a mask), in that order."""
        i = np.asarray(index)
        rows = np.arange(len(self))[i]
        return Split(
            self.x[i],
            self.y[i],
            _taken(self.lengths, i),
            _taken(self.groups, i),
            _listed(self.signals, rows),
            _taken(self.starts, i),
            self.statistics,
            _listed(self.channels, rows),
        )

    def validate(self, where: str, classes: int | None = None, inputs: int | None = None) -> Self:
        """``check``, and that dtypes are those of the fields.

        Args:
            where: as for ``check``.
            classes: as for ``check``.
            inputs: as for ``check``.

        Returns:
            The split.
        """
        x, groups = self.x, self.groups
        if not isinstance(x, Inputs) and x.dtype != np.float32:  # an array may hold anything
            raise SrnnError(
                f"{where}: inputs must be float32 (sequences, steps, "
                f"channels), not {x.dtype} {x.shape}.",
                "data",
                "x",
            )
        known = {"labels": (self.y, (np.int64, np.float32)), "lengths": (self.lengths, (np.int64,))}
        for name, (numbers, types) in known.items():
            if numbers is not None and numbers.dtype not in types:
                raise SrnnError(
                    f"{where}: {name} must be int64, not {numbers.dtype} {numbers.shape}.",
                    "data",
                    name,
                )
        self.check(where, classes, inputs)
        if groups is not None and (groups.shape != x.shape[:1] or groups.dtype.kind != "U"):
            raise SrnnError(
                f"{where}: groups must be {x.shape[0]} names, not {groups.dtype} {groups.shape}.",
                "data",
                "groups",
            )
        return self

    def check(
        self, where: str, classes: int | None, inputs: int | None, kind: str | None = None
    ) -> None:
        """SrnnError (data) for no sequences, wrong shapes, inputs that are not finite, and labels
        or lengths out of range.

        Args:
            where: a file or data set, with which the message begins.
            classes: labels must be below it; of targets, their number of values; None: any.
            inputs: the number of channels; None: any.
            kind: whether labels are of sequences or steps (``Task.kind``); None: either.
        """

        def require(good: object, field: str, problem: str) -> None:
            if not good:
                raise SrnnError(f"{where}: {problem}.", "data", field)

        x, y, lengths = self.x, self.y, self.lengths
        axes = f"(sequences, steps, {'channels' if inputs is None else f'{inputs} channels'})"
        fits = x.ndim == 3 and inputs in (None, x.shape[2])
        require(fits, "x", f"inputs must be float32 {axes}, not {x.shape}")
        require(all(x.shape), "x", f"there are no sequences (inputs have the shape {x.shape})")
        shapes = {"per_sequence": x.shape[:1], "per_step": x.shape[:2]}
        values = are_values(y)
        if values:
            count = y.shape[-1] if classes is None else classes
            shapes = {name: (*shape, count) for name, shape in shapes.items()}
        if kind is not None:
            check("kind", kind, Literal["per_sequence", "per_step"])
            shapes = {kind: shapes[kind]}
        dtype = "float32" if values else "int64"
        wanted = f"{dtype} {' or '.join(map(str, shapes.values()))}"
        fits = y.shape in shapes.values()
        require(fits, "y", f"labels must be {wanted}, not {y.dtype} {y.shape}")
        if values:
            require(not np.isinf(y).any(), "y", "targets must be finite, or NaN for none")
        else:
            top = "" if classes is None else f" to {classes - 1}"
            in_range = y.min() >= UNLABELLED and (classes is None or y.max() < classes)
            found = f"range from {y.min()} to {y.max()}"
            require(in_range, "y", f"labels must be 0{top}, or -1 for none, but {found}")
        if lengths is not None:
            found = f"{lengths.dtype} {lengths.shape}"
            fits = lengths.shape == x.shape[:1]
            require(fits, "lengths", f"lengths must be int64 {x.shape[:1]}, not {found}")
            in_range = lengths.min() >= 1 and lengths.max() <= x.shape[1]
            require(in_range, "lengths", f"lengths must be 1 to {x.shape[1]}")
        # A part at a time: a split may be a file larger than memory. Anything but an array is
        # finite by construction.
        block = max(1, _BLOCK // (x.shape[1] * x.shape[2]))
        for start in () if isinstance(x, Inputs) else range(0, len(x), block):
            if not np.isfinite(part := x[start : start + block]).all():
                row, step, channel = np.argwhere(~np.isfinite(part))[0]
                place = f"sequence {start + row}, step {step}, channel {channel}"
                raise SrnnError(
                    f"{where}: inputs are not finite: {place} (all counted from 0) is "
                    f"{part[row, step, channel]}. Repair or drop it.",
                    "data",
                    "x",
                )


@contextmanager
def data_folder(chosen: Path | None) -> Iterator[None]:
    """Within the block the data are in this folder, as if SRNN_DATA named it; None: no change. For
    a task that looks for its data when it is made, before ``load`` is given their folder."""
    before = _chosen.set(_chosen.get() if chosen is None else chosen)
    try:
        yield
    finally:
        _chosen.reset(before)


def resolve_data_dir(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder that holds the data sets: the argument, else that of ``data_folder``, else the
    variable SRNN_DATA, else ~/.cache/srnn.

    The folder need not exist; a data set whose files are missing says so, and how to get them.
    """
    if data_dir is not None:
        return Path(data_dir)
    if (chosen := _chosen.get()) is not None:
        return chosen
    if named := os.environ.get("SRNN_DATA"):
        return Path(named)
    try:
        return Path.home() / ".cache" / "srnn"
    except RuntimeError as error:  # as in a container with a user of its own
        raise SrnnError(
            "This user has no home folder, in which data would be: name their folder "
            f"({option('data_dir')} or SRNN_DATA).",
            "missing",
            "data_dir",
        ) from error


def not_found(what: str, root: Path, how: str) -> SrnnError:
    """The error to raise where data are missing.

    Args:
        what: the data, with its verb: "QTDB's records were".
        root: the data folder, which is the error's field.
        how: how to get the data.

    Returns:
        The error, of the kind ``missing``.
    """
    return SrnnError(
        f"{what} not found under {root}: {how}, or choose another data folder "
        f"({option('data_dir')} or SRNN_DATA).",
        "missing",
        root,
    )


def check_split(split: str) -> None:
    """SrnnError unless ``split`` is train, validation or test."""
    if split not in SPLITS:
        raise SrnnError(f"There is no split {split!r}.{nearest(split, SPLITS)}", "name", "split")


def check_padding(where: str, lengths: npt.NDArray[np.int64], step_bytes: int) -> None:
    """SrnnError (resource) where padding all sequences to the longest would take far more memory
    than their own content.

    Args:
        where: what the sequences are from, for the message.
        lengths: (N,) steps of each sequence.
        step_bytes: bytes of one step.
    """
    padded, own = len(lengths) * int(lengths.max()) * step_bytes, int(lengths.sum()) * step_bytes
    if padded > max(_PADDED, _PADDED_RATIO * own):
        raise SrnnError(
            f"{where}: the longest of {len(lengths)} sequences has {lengths.max()} steps; padding "
            f"all of them to that would take {padded:,} bytes instead of "
            f"{own:,}. Shorten or remove it.",
            "resource",
            "lengths",
        )


def padded(
    where: str, sequences: Sequence[npt.NDArray[Any]]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Sequences padded with zeros to the longest.

    Args:
        where: what the sequences are from, for messages.
        sequences: (T_i, C) each, of one dtype.

    Returns:
        The array (N, T, C), and the lengths (N,).

    Raises:
        SrnnError: as for ``check_padding``.
    """
    lengths, first = np.array([len(sequence) for sequence in sequences], np.int64), sequences[0]
    check_padding(where, lengths, first.dtype.itemsize * first.shape[1])
    x = np.zeros((len(sequences), lengths.max(), first.shape[1]), first.dtype)
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = sequence
    return x, lengths


def shown(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes as a model's file restores them: names of folders may hold anything."""
    return tuple(one_line(composed(name), 200) for name in names)


def later(labels: npt.NDArray[Any], steps: int) -> npt.NDArray[Any]:
    """Labels that come later: by then a network has seen that much of what follows.

    Args:
        labels: (N, T, ...).
        steps: how many steps later.

    Returns:
        (N, T + steps, ...).
    """
    return in_steps(labels, steps + labels.shape[1], steps)


def in_steps(labels: npt.NDArray[Any], steps: int, first: int = 0) -> npt.NDArray[Any]:
    """Labels within longer sequences, whose other steps have none.

    Args:
        labels: (N, T, ...).
        steps: steps of the longer sequences.
        first: the step at which the labels begin.

    Returns:
        (N, steps, ...).
    """
    wider = np.full((len(labels), steps, *labels.shape[2:]), unlabelled(labels), labels.dtype)
    wider[:, first : first + labels.shape[1]] = labels
    return wider
