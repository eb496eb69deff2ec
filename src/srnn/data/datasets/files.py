"""Which files a folder or table of your own data names, with their labels; and which files of a
folder are not read."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...errors import SrnnError, naming
from ...files import CLASSES, check_regular, read_text, reading
from ...text import brief, composed, some
from ..recordings import SENSOR_SUFFIXES
from ..tables import TABLE_SUFFIXES, read_titles
from .audio import AUDIO_SUFFIXES
from .base import SplitName
from .segmentation import WHOLE, Event, Segmentation

Form = Literal["sound", "arrays"]
HDF5 = (".h5", ".hdf5")
ARRAY_FILES = (".npz", *HDF5)
"""Suffixes of files that hold a whole data set."""
_OTHER_SENSORS = (".txt", ".hea", ".dat")  # which a table may name
_OTHER_SOUND = (
    ".mp3",
    ".ogg",
    ".oga",
    ".opus",
    ".m4a",
    ".aac",
    ".wma",
    ".aif",
    ".aiff",
    ".au",
    ".amr",
    ".webm",
)
_LABEL_AT_MOST = 200
_FIELDS = ("label", "speaker", "index")  # of a pattern of names
_SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Item:
    """One file of a folder or table, or one clip of a file. Its names are ``composed``: on every
    disk they give the same classes and splits."""

    path: Path
    name: str
    """Path relative to the data's folder."""
    label: str
    """Its class; "" if the labels are in it, beside it, or in ``events``."""
    group: str = ""
    """Whom or what it is of; "" where this is not known."""
    split: str = ""
    start: int | None = None
    """For a piece of a sound file: its first sample; None: it is all of the file."""
    events: tuple[Event, ...] = ()
    """What a table says of its parts."""

    def __post_init__(self) -> None:
        for name in ("name", "label", "group"):
            object.__setattr__(self, name, composed(getattr(self, name)))

    @property
    def form(self) -> Form:
        """Its form by its suffix; with an unknown suffix it is sound, whose format the first bytes
        tell."""
        if self.path.suffix.lower() in SENSOR_SUFFIXES + _OTHER_SENSORS:
            return "arrays"
        return "sound"


class NamePattern:
    """What file names tell, such as '{label}_{speaker}_{index}', for sound that is converted and
    for your own folders.

    A field stands for at least one character; {index} matches what is ignored. A pattern has each
    field at most once, so that a name of 255 characters has at most some ten thousand possible
    matches: no pattern is slow, as a regular expression can be.

    SrnnError for unknown fields, a field that occurs twice, or a pattern without any of the
    ``needed`` ones.
    """

    def __init__(self, pattern: str, needed: tuple[str, ...] = ("label", "speaker")) -> None:
        parts = re.split(r"\{(\w*)\}", pattern)  # text, field, text, field, ..., text
        fields = parts[1::2]
        for field in fields:
            if field not in _FIELDS or fields.count(field) > 1:
                raise SrnnError(
                    f"The pattern {brief(pattern)} may contain only {{label}}, "
                    "{speaker} and {index}, each once.",
                    "value",
                    "speaker",
                )
        if not set(needed) & set(fields):
            names = " or ".join(f"{{{name}}}" for name in needed)
            raise SrnnError(
                f"The pattern {brief(pattern)} extracts nothing: it needs "
                f"{names}, as in '{{speaker}}_{{index}}'.",
                "value",
                "speaker",
            )
        text = "".join(
            f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts)
        )
        self._expression = re.compile(text, re.DOTALL)

    def read(self, name: str) -> dict[str, str] | None:
        """The fields of a name without its suffix, none containing the text that follows it; None
        if the name does not match."""
        match = None
        if len(name) <= 255:
            match = self._expression.fullmatch(name)
        if match is None:
            return None
        return match.groupdict()


def list_items(source: Path, speaker: str = "", cutting: Segmentation = WHOLE) -> list[Item]:
    """The files of a folder or table, all of one form.

    Or a table that is itself a recording with a column of labels.

    Args:
        source: the folder or table.
        speaker: ``NamePattern`` of the files' names, with {speaker} for the group that a table does
            not give; with "/" also of the folders that they are in, below their class's folder; "":
            none.
        cutting: how recordings become sequences, which names the column of labels and the
            annotator.

    Returns:
        The files, sorted by name (a table's in its order).

    Raises:
        SrnnError: there are none (missing), they are not of one form (data), or the source is no
            folder or table (file).
    """
    if source.suffix.lower() == ".csv" and source.is_file():
        items = _table(source)
        if not items and _has_labels(source, cutting):
            items = [Item(source, source.name, "")]
        if not items:
            raise SrnnError(
                f"{source} should begin with the line 'file,label' (also: group, split, start, "
                f"end) and name files below it, or be a recording with a column '{cutting.label}'; "
                "the option label names another column.",
                "file",
                source,
            )
    elif source.is_dir():
        items = _labelled_inside(source, cutting) or _folders(source)
        if not items:
            there = "".join(f"; {line}" for line in list_unread(source, items))
            raise SrnnError(
                f"{source} holds no folders of sound ({', '.join(AUDIO_SUFFIXES)}) or sensor files "
                f"({', '.join(SENSOR_SUFFIXES)}), one for each class{there}. A table with the "
                "columns file,label may name the classes instead, or a column "
                f"'{cutting.label}' in each file.",
                "missing",
                source,
            )
        for item in items:
            check_regular(item.path, "Remove it.")
    else:
        raise SrnnError(
            f"{source} is not a folder or a .csv, .npz, {' or '.join(HDF5)} file.", "file", source
        )
    other = next((item for item in items if item.form != items[0].form), None)
    if other is not None:
        one, two = (
            f"{item.name} ({'sound' if item.form == 'sound' else 'sensor'})"
            for item in (items[0], other)
        )
        raise SrnnError(
            f"{source} holds sound and sensor files, such as {one} and "
            f"{two}; use only one of the two.",
            "data",
            source,
        )
    if not speaker:
        return items
    pattern, grouped = NamePattern(speaker, needed=("speaker",)), []
    for item in items:
        if item.group:
            grouped.append(item)
            continue
        parts = item.path.with_suffix("").parts
        if source.is_dir():
            parts = parts[len(source.parts) + bool(item.split) + bool(item.label) :]
        read = pattern.read(composed("/".join(parts[-1 - speaker.count("/") :])))
        if read is None:
            raise SrnnError(
                f"The pattern {speaker!r} does not find the speaker in the name of {item.path}.",
                "data",
                "speaker",
            )
        grouped.append(replace(item, group=read["speaker"]))
    return grouped


def _has_labels(path: Path, cutting: Segmentation) -> bool:
    """Whether it is a table with a column of labels."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        return False
    return cutting.label.casefold() in {title.casefold() for title in read_titles(path)}


def _labelled_inside(source: Path, cutting: Segmentation) -> list[Item]:
    """The files in a folder and its subfolders if their labels are in them, or beside them: tables
    with a column of labels, else WFDB records; none if there are neither, and folders are the
    classes."""
    paths = visible_files(source)
    of_sensors = [path for path in paths if path.suffix.lower() in SENSOR_SUFFIXES]
    tables = [path for path in of_sensors if path.suffix.lower() in TABLE_SUFFIXES]
    # The first file that is not empty shows what the others hold.
    shown = next((path for path in tables if path.is_file() and path.stat().st_size), None)
    if tables and _has_labels(shown or tables[0], cutting):
        return _in_splits(source, of_sensors)
    records = [path for path in paths if path.suffix.lower() == ".hea"]
    if not records or any(
        path.suffix.lower() in AUDIO_SUFFIXES + SENSOR_SUFFIXES for path in paths
    ):
        return []
    annotated = [path for path in records if path.with_suffix(f".{cutting.annotator}").is_file()]
    if not annotated:
        raise SrnnError(
            f"{source} holds WFDB records, but none has annotations {cutting.annotator}; name the "
            "ending of their files with the option annotator.",
            "missing",
            "annotator",
        )
    return _in_splits(source, annotated)


def _in_splits(source: Path, paths: Sequence[Path]) -> list[Item]:
    """The files without a class, in the splits that the folders in ``source`` are called by, if all
    of them are."""
    names = [path.relative_to(source) for path in paths]
    splits = [
        _SPLIT_FOLDERS.get(name.parts[0].lower(), "") if len(name.parts) > 1 else ""
        for name in names
    ]
    if len(set(splits)) < 2 or "" in splits:
        splits = [""] * len(paths)
    return [
        Item(path, name.as_posix(), "", split=split)
        for path, name, split in zip(paths, names, splits, strict=True)
    ]


def _folders(source: Path) -> list[Item]:
    """The files in a folder that has one folder for each class, or one for each split with those of
    the classes in it."""
    paths = {
        path: path.relative_to(source) for path in visible_files(source) if path.parent != source
    }
    paths = {
        path: name
        for path, name in paths.items()
        if path.suffix.lower() in AUDIO_SUFFIXES + SENSOR_SUFFIXES
    }
    tops = {name.parts[0]: _SPLIT_FOLDERS.get(name.parts[0].lower()) for name in paths.values()}
    if len(set(tops.values())) < 2 or None in tops.values():
        return [Item(path, name.as_posix(), name.parts[0]) for path, name in paths.items()]
    loose = next((name for name in paths.values() if len(name.parts) < 3), None)
    if loose is not None:
        raise SrnnError(
            f"{source}: {some(sorted(tops))} are names of splits; each needs a folder for each "
            f"class, but {loose.as_posix()} is in none.",
            "data",
            source,
        )
    return [
        Item(path, name.as_posix(), name.parts[1], split=tops[name.parts[0]] or "")
        for path, name in paths.items()
    ]


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The different names, integers by value before others."""
    # Python makes no int of a number with thousands of digits.
    return tuple(
        sorted(
            set(names), key=lambda n: (not n.isdecimal(), int(n[:1000]) if n.isdecimal() else 0, n)
        )
    )


def list_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """The different labels ``in_order``. SrnnError for more than a task can have."""
    different = in_order(labels)
    if len(different) > CLASSES:
        raise SrnnError(
            f"There are {len(different)} classes (labels or folders); at "
            f"most {CLASSES} are possible.",
            "data",
            "label",
        )
    return different


def _table(source: Path) -> list[Item]:
    """The files that a table names; none if it has no columns file and label."""
    with reading(source, "a table"):
        text = re.sub("\r\n?", "\n", read_text(source, "a table"))
    first = text.partition("\n")[0]
    between = ";" if ";" in first and "," not in first else ","  # as in German spreadsheets
    table = csv.DictReader(io.StringIO(text), skipinitialspace=True, delimiter=between)
    names = {*(table.fieldnames or ())}
    if not {"file", "label"} <= names:
        return []
    items: dict[Path, Item] = {}
    lines: dict[Path, int] = {}
    with reading(source, "a table"):
        for row in table:
            cells = {
                key: (row.get(key) or "").strip()
                for key in ("file", "label", "group", "split", "start", "end")
            }
            where = f"{source}, line {table.line_num}"
            item = _row(source, where, cells)
            known = item.path.resolve()
            if known not in items:
                items[known], lines[known] = item, table.line_num
                continue
            before = items[known]
            if not (before.events and item.events):
                raise SrnnError(
                    f"{where}: {item.path} is already named in line {lines[known]}; a file "
                    "has one label and one split.",
                    "data",
                    source,
                )
            if (before.group, before.split) != (item.group, item.split):
                raise SrnnError(
                    f"{where}: {item.path} has another group or split than in line {lines[known]}.",
                    "data",
                    source,
                )
            items[known] = replace(before, events=before.events + item.events)
    return [*items.values()]


def _row(source: Path, where: str, cells: dict[str, str]) -> Item:
    """What a row of a table says. SrnnError, which begins with ``where``."""
    file, label = cells["file"], cells["label"]
    if not file or not label:
        raise SrnnError(f"{where}: a row needs a file and a label.", "data", source)
    if len(label) > _LABEL_AT_MOST:
        raise SrnnError(
            f"{where}: a label may have at most {_LABEL_AT_MOST} characters.", "data", source
        )
    if file.startswith(("//", "\\\\")):
        raise SrnnError(
            f"{where}: {file[:100]!r} is a file on another computer; copy it to this one first.",
            "unsupported",
            source,
        )
    path = source.parent / file
    with naming(where):
        check_regular(path)
    if not cells["start"] and not cells["end"]:
        return Item(path, file, label, cells["group"], cells["split"])
    times = []
    for name in ("start", "end"):
        try:
            times.append(float(cells[name]) if cells[name] else math.nan)
        except ValueError as error:
            raise SrnnError(
                f"{where}: {name} is {cells[name][:40]!r}, not a number.", "data", source
            ) from error
    start, end = times
    if not math.isfinite(start) or math.isinf(end) or end <= start:
        raise SrnnError(
            f"{where}: an event needs a start, and ends after it, if it has an end.", "data", source
        )
    event = Event(start, None if math.isnan(end) else end, label)
    return Item(path, file, "", cells["group"], cells["split"], events=(event,))


def list_unread(source: Path, items: Sequence[Item]) -> list[str]:
    """What is in a folder but not among its items: a line for each kind, with counts.

    Args:
        source: the folder; of a table nothing is listed.
        items: the files that are read.
    """
    if not source.is_dir() or (items and items[0].path.suffix.lower() == ".hea"):
        return []  # of a record, many files are read
    used = {item.path.relative_to(source).parts[0] for item in items}
    read = AUDIO_SUFFIXES + SENSOR_SUFFIXES
    if items:
        read = SENSOR_SUFFIXES if items[0].form == "arrays" else AUDIO_SUFFIXES
    read_here = {item.path for item in items}
    loose, endings = 0, Counter[str]()
    for path in visible_files(source):
        ending = path.suffix.lower()
        if path in read_here:
            continue
        if path.parent == source:
            loose += ending in (read if read == SENSOR_SUFFIXES else read + _OTHER_SOUND)
        elif ending not in read:
            endings[ending or "without an ending"] += 1
    folders = [folder / name for folder, names, _ in _walk(source) for name in names]
    linked = sorted(path.relative_to(source).as_posix() for path in folders if path.is_symlink())
    unused = sorted(
        path.name for path in folders if path.parent == source and path.name not in {*used, *linked}
    )
    lines = []
    if endings:
        kinds = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
        lines.append(f"files of kinds that are not read: {kinds} (only {', '.join(read)} are)")
    if linked:
        lines.append(
            f"links to folders, which are not followed (link their files instead): {some(linked)}"
        )
    if unused:
        lines.append(f"folders without files that are read, which are not classes: {some(unused)}")
    if loose:
        lines.append(f"files outside the classes' folders, which are not read: {loose}")
    return lines + _list_repeated(source, items)


def _list_repeated(source: Path, items: Sequence[Item]) -> list[str]:
    """A line where every class holds the same folders, perhaps one for each speaker."""
    below: dict[str, set[str]] = {}
    for item in items:
        inside = item.path.relative_to(source).parts[2 if item.split else 1 : -1]
        below.setdefault(item.label, set()).add(inside[0] if inside and not item.group else "")
    first = next(iter(below.values()), set())
    if len(below) > 1 and len(first) > 1 and all(names == first for names in below.values()):
        return [
            f"each of {some(sorted(below))} holds the folders {some(sorted(first))}, which nothing "
            "tells apart: if they are speakers or subjects, set the option speaker to "
            "{speaker}/{index}; if they are the classes, list the files "
            "in a table (file,label,group)"
        ]
    return []


def visible_files(source: Path) -> list[Path]:
    """All files in a folder and its subfolders, sorted, without hidden ones (the cache's, an
    editor's)."""
    return sorted(folder / name for folder, _, names in _walk(source) for name in names)


def _walk(source: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As ``os.walk``, without hidden ones: a folder, and the names of the folders and files in it.

    Runs in it (after ``srnn train .``, their default place) are left out: their examples would be
    recordings of a class 'runs'.
    """
    for folder, folders, names in os.walk(source):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and not all(
                os.path.isfile(os.path.join(folder, name, file))
                for file in ("recipe.yaml", "environment.json")
            )
        ]
        yield Path(folder), folders, [name for name in names if not name.startswith(".")]
