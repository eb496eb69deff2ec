"""A summary of how your own data are read: clips that are cut, padded or silent, what two splits
share, what is ignored."""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import reading
from ...text import counted, some
from .audio import read_audio
from .cache import Arrays, cached
from .files import Item, list_unread

Read = TypeVar("Read")
_CODE = 1
_NAMED = 3
"""Files with one problem that are named; of more, the first is."""
_TOLERANCE = 1e-3  # seconds by which a clip's length may differ from the wanted one


class Problem(NamedTuple):
    """Something that is wrong with, or unusual about, a file of a folder or table."""

    file: str
    """Its name in the folder."""
    problem: str
    mend: str
    """What mends it; if it is not refused, what is done about it."""
    refused: bool = False
    """Whether training refuses it, or leaves it out (option ``skip``)."""

    @classmethod
    def of(cls, item: Item, error: SrnnError) -> Self:
        """From an error that names the file, with the remedy behind a semicolon.

        Args:
            item: the file.
            error: why it is refused.

        Returns:
            The problem.
        """
        problem, _, mend = str(error).removeprefix(str(item.path)).lstrip(":, ").partition("; ")
        return cls(item.name, problem.rstrip("."), mend.rstrip(".") or "repair or remove it", True)


def usable(
    source: Path, items: Sequence[Item], read: Callable[[Item], Read], skip: bool
) -> tuple[list[Item], list[Read]]:
    """The files that can be read, and what was read of each.

    Args:
        source: where they are from, for the warning.
        items: the files.
        read: reads one file, or raises SrnnError.
        skip: leave out the files that cannot be read, and name them in a RuntimeWarning; else the
            first one's SrnnError is raised.

    Returns:
        The files, and what ``read`` returned for each.
    """
    good: list[Item] = []
    found: list[Read] = []
    bad: list[Problem] = []
    for item in items:
        try:
            found.append(read(item))
            good.append(item)
        except SrnnError as error:
            if not skip:
                raise
            bad.append(Problem.of(item, error))
    if bad:
        named = [f"{called(alike)} ({alike[0].problem})" for alike in grouped(bad)]
        count = f"{len(bad)} of {len(items)}"
        say(f"{source}: files left out that cannot be used, {count}: {some(named)}.")
    return good, found


def grouped(problems: Iterable[Problem]) -> list[list[Problem]]:
    """Problems that are the same, of different files, together."""
    found = dict[tuple[str, str], list[Problem]]()
    for one in problems:
        found.setdefault((one.problem, one.mend), []).append(one)
    return [*found.values()]


def called(problems: Sequence[Problem]) -> str:
    """The files of some problems: by name, or if they are many, by number."""
    names = [one.file for one in problems]
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{len(names)} files; first: {names[0]}"


def say_unread(source: Path, items: Sequence[Item], changes: Sequence[str] = ()) -> None:
    """One RuntimeWarning for changes to what is read of a folder or table, and for what is not
    read, if there is any.

    Args:
        source: the folder or table.
        items: the files that are read of it.
        changes: a line for each kind of change.
    """
    if remarks := [*changes, *list_unread(source, items)]:
        say(f"{source}: {'; '.join(remarks)}.")


@functools.cache  # so the warning appears once, not for every split
def say(message: str) -> None:
    """Give a RuntimeWarning, once per process."""
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def say_notes(source: Path, notes: Sequence[tuple[Path, str]]) -> None:
    """A RuntimeWarning, once, for each thing that is to be known of some recordings.

    Args:
        source: where the recordings are from.
        notes: a recording's path and a note on it, of all recordings.
    """
    for note in dict.fromkeys(note for _, note in notes):
        files = [f"{path.parent.name}/{path.name}" for path, other in notes if other == note]
        others = ""
        if len(files) > 1:
            others = f" and {counted(len(files) - 1, 'other')}"
        say(f"{source}: {files[0]}{others}: {note}.")


def _measured(items: Sequence[Item], cache: Path) -> npt.NDArray[np.float64]:
    """(2, clips): how many seconds each lasts, and how far apart its least and greatest sample are.

    ``cache``: the folder where this is cached. SrnnError for a file that cannot be read, with its
    name.
    """

    def measure() -> Arrays:
        lasting, swing = np.zeros(len(items)), np.zeros(len(items))
        for index, item in enumerate(items):
            samples, rate = read_audio(item.path)
            lasting[index], swing[index] = len(samples) / rate, np.ptp(samples)
        return {"seconds": lasting, "swing": swing}

    def use(arrays: Arrays) -> npt.NDArray[np.float64]:
        # ValueError for other clips'.
        return np.array([arrays["seconds"], arrays["swing"]]).reshape(2, len(items))

    options = {"clips": [item.name for item in items], "code": _CODE}
    return cached(cache, "clips", options, [item.path for item in items], measure, use)


def list_seconds(items: Sequence[Item], cache: Path) -> list[float]:
    """How long each sound file lasts.

    Args:
        items: the files.
        cache: the folder where their lengths are cached.

    Returns:
        Seconds.

    Raises:
        SrnnError: a file cannot be read.
    """
    return _measured(items, cache)[0].tolist()


def list_changes(
    items: Sequence[Item], cache: Path, seconds: float | None, cut: bool = True
) -> list[str]:
    """What is done to clips of all splits, a line for each kind: cut, padded, or silent.

    Args:
        items: the clips.
        cache: the folder where their lengths are cached.
        seconds: the length to which they are cut or padded; None: each keeps its length.
        cut: whether longer ones lose anything.

    Returns:
        The lines.

    Raises:
        SrnnError: a file cannot be read.
    """
    lasting, swing = _measured(items, cache)
    silent, lines = np.flatnonzero(swing == 0), []
    if seconds is not None:
        longer, filled = (
            (lasting > seconds + _TOLERANCE).sum(),
            (lasting < seconds - _TOLERANCE).sum(),
        )
        if cut and longer:
            lines.append(
                f"clips longer than {seconds:g} s, cut to their middle: {longer} of {len(items)} "
                f"(the longest lasts {lasting.max():.1f} s; option 'seconds')"
            )
        if filled:
            lines.append(
                f"clips shorter than {seconds:g} s, filled up with silence: {filled} of "
                f"{len(items)} (the shortest lasts {lasting.min():.2f} s)"
            )
    if len(silent):
        lines.append(
            f"clips of nothing but silence: {len(silent)} of {len(items)}, "
            f"such as {items[silent[0]].name}"
        )
    return lines


def list_shared(splits: Mapping[str, Sequence[Item]], cache: Path) -> list[str]:
    """What is in two splits, a line for each kind: groups, and files that agree in every byte,
    whether copies or links.

    Args:
        splits: the files of each split.
        cache: the folder where their checksums are cached.

    Returns:
        The lines.
    """
    split_of = {item: split for split, items in splits.items() for item in items}
    items = sorted(split_of, key=lambda item: item.name)
    digests = list_digests(items, cache)
    lines, home, first = [], dict[str, str](), dict[str, Item]()
    torn = {
        item.group
        for item in items
        if item.group and home.setdefault(item.group, split_of[item]) != split_of[item]
    }
    if torn:
        lines.append(
            f"groups that are in two splits: {len(torn)} of {len(home)}, such as {min(torn)}"
        )
    pairs = [
        (item, first.setdefault(known, item)) for item, known in zip(items, digests, strict=True)
    ]
    copies = [(item, other) for item, other in pairs if split_of[item] != split_of[other]]
    if copies:
        item, other = copies[0]
        same = f"such as {item.name}, which is the same as {other.name}"
        lines.append(f"files that are in two splits: {len(copies)} of {len(items)}, {same}")
    return lines


def list_digests(items: Sequence[Item], cache: Path) -> list[str]:
    """A text for each file; files with the same text agree in every byte.

    Args:
        items: the files.
        cache: the folder where the texts are cached.

    Returns:
        The texts.
    """

    def measure() -> Arrays:
        of_size = dict[int, list[int]]()
        # The number stands for a file whose size is unique.
        digests = [*map(str, range(len(items)))]
        for index, item in enumerate(items):
            with reading(item.path, "a file"):
                of_size.setdefault(item.path.stat().st_size, []).append(index)
        for index in chain.from_iterable(alike for alike in of_size.values() if len(alike) > 1):
            with reading(items[index].path, "a file"), items[index].path.open("rb") as file:
                digests[index] = hashlib.file_digest(file, "sha256").hexdigest()
        return {"digests": np.array(digests)}

    def use(arrays: Arrays) -> list[str]:
        return arrays["digests"].reshape(len(items)).tolist()

    options = {"files": [item.name for item in items], "code": _CODE}
    return cached(cache, "copies", options, [item.path for item in items], measure, use)


def list_copies(items: Sequence[Item], cache: Path) -> list[Problem]:
    """The files that agree in every byte with one before them.

    Args:
        items: the files.
        cache: as for ``list_digests``.

    Returns:
        A problem for each of these files.
    """
    items = sorted(items, key=lambda item: item.name)
    first = dict[str, Item]()
    pairs = [
        (item, first.setdefault(digest, item))
        for item, digest in zip(items, list_digests(items, cache), strict=True)
    ]
    return [
        Problem(item.name, f"is the same as {other.name}", "remove one of them")
        for item, other in pairs
        if item is not other
    ]


def list_sound_problems(items: Sequence[Item], cache: Path) -> list[Problem]:
    """The sound files that cannot be read, or hold only silence.

    Args:
        items: the files.
        cache: as for ``list_changes``.

    Returns:
        A problem for each of these files.
    """
    try:
        _, swing = _measured(items, cache)
    except SrnnError:
        problems = []
        for item in items:
            try:
                read_audio(item.path)
            except SrnnError as error:
                problems.append(Problem.of(item, error))
        return problems
    silent = [item for item, one in zip(items, swing, strict=True) if one == 0]
    return [Problem(item.name, "holds only silence", "record it again") for item in silent]
