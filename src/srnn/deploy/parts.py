"""A table of predictions in a file, made of many recordings: continued after a kill, and shared out
between processes or machines.

    mine = Shard.parse("2/8").of(recordings)
    part = Part(Path("part-2.csv"), ["file", "label", "confidence"], made_of(trained, options, mine))
    for recording in part.missing(mine):
        part.add(recording, rows)
    part.finish(mine, failed)

The table appears under its name when it is whole. Until then ``NAME.journal`` grows by a line of
JSON for each recording, on disk before the next begins; a line that was cut by a kill goes. The
journal's first line, which stays, says of what the part is made, so that it is not continued with
something else.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from ..errors import SrnnError, need, option
from ..files import (
    append_line,
    check_file,
    check_new,
    cut_lines,
    reading,
    whole_file,
    write_atomically,
)
from ..model.trained import Trained

PARQUET = ".parquet"
_TEXTS = ("file", "label")
"""Columns of words; all others hold numbers."""
_OTHER = {
    "model": "another model",
    "options": "other options",
    "recordings": "other recordings",
}
"""What is said of a part in which this differs."""


class Shard(NamedTuple):
    """Share ``number`` of ``shares`` of some recordings, counted from 1.

    A recording is in the same share whatever the others are: its name says in which. The shares
    are therefore about, not exactly, equally large.
    """

    number: int
    shares: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The share that "2/8" names. SrnnError for anything else."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise SrnnError(
                f"A shard is I/N, from 1/N to N/N, such as 2/8, not {text!r}.", "value", "shard"
            )
        return cls(int(found[1]), int(found[2]))

    def of(self, recordings: Iterable[Path]) -> list[Path]:
        """Those of the recordings that are in this share, in their order."""
        own = []
        for path in recordings:
            name = path.as_posix().encode("utf-8", "surrogateescape")
            digest = hashlib.blake2b(name, digest_size=8).digest()
            if int.from_bytes(digest) % self.shares == self.number - 1:
                own.append(path)
        return own


def made_of(
    trained: Trained, options: Mapping[str, Any], recordings: Iterable[Path]
) -> dict[str, Any]:
    """What decides what a part holds, as JSON values.

    Args:
        trained: the model, which was read from a file.
        options: those of the command, as JSON values.
        recordings: all of them, in any order.
    """
    assert trained.file is not None
    with trained.file.open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    names = json.dumps(sorted(map(str, recordings)))
    return {
        "model": model,
        "options": dict(options),
        "recordings": hashlib.sha256(names.encode()).hexdigest(),
    }


class Part:
    """A table that grows by the rows of one recording at a time.

    Args:
        path: the table, .csv or .parquet.
        columns: its columns; all but "file" and "label" hold numbers, as text.
        made: of what it is made (``made_of``).

    What a killed process has left is taken up, and ``recording in part`` says what of it is there.
    SrnnError for a file that is no part, and for a part that is made of something else. One process
    at a time may have it (``only_writer``).
    """

    def __init__(self, path: Path, columns: Sequence[str], made: Mapping[str, Any]) -> None:
        self.path, self.columns = path, list(columns)
        self._journal = path.with_name(f"{path.name}.journal")
        self.failed: dict[str, str] | None = None
        """Why recordings could not be read, by their names, of a part that is finished; None: it is
        not."""
        self._places: dict[str, int] = {}
        """Where in the journal the line of each recording begins."""

        check_file(self._journal)
        if self._journal.exists():
            # Take up what the journal holds, without the beginning of a line at its end.
            whole = 0
            with self._opened() as journal:
                for line in journal:
                    if not line.endswith(b"\n"):
                        break
                    said = json.loads(line)
                    if whole == 0:
                        others = [words for key, words in _OTHER.items() if said[key] != made[key]]
                        if others:
                            raise SrnnError(
                                f"{path} was begun with {' and '.join(others)}; choose another "
                                f"{option('out')}, or remove it and {self._journal.name}.",
                                "conflict",
                                "out",
                            )
                    elif isinstance(said, dict):
                        self.failed = said["failed"]
                    else:
                        self._places[said[0]] = whole
                    whole += len(line)
            cut_lines(self._journal, whole)

            removed = self.failed is not None and not self.path.exists()
            if removed or whole == 0:  # begun again
                self.failed = None
                write_atomically(self._journal, json.dumps(made).encode() + b"\n")
        else:
            check_new(path, ours=False)
            append_line(self._journal, json.dumps(made))

    def __contains__(self, recording: Path) -> bool:
        """Whether the rows of a recording are there."""
        return str(recording) in self._places

    def add(self, recording: Path, rows: Iterable[Sequence[Any]]) -> None:
        """Add the rows of a recording; they are on disk when this returns.

        Args:
            recording: the recording.
            rows: of the table, a value for each column.
        """
        place = self._journal.stat().st_size  # where its line will begin
        append_line(self._journal, json.dumps([str(recording), list(rows)]))
        self._places[str(recording)] = place

    def finish(self, recordings: Iterable[Path], failed: Mapping[str, str]) -> None:
        """Write the table.

        Args:
            recordings: in the order of the table; those that were not added are left out.
            failed: why recordings could not be read, by their names.

        Raises:
            SrnnError: the journal is damaged, or the table cannot be written.
        """
        kept = [self._places[str(path)] for path in recordings if path in self]
        with self._opened() as journal, whole_file(self.path, named=True) as file:
            rows = self._rows(journal, kept)
            if self.path.suffix == PARQUET:
                import pandas as pd

                frame = pd.DataFrame(list(rows), columns=self.columns)
                for name in self.columns:
                    if name not in _TEXTS:
                        frame[name] = pd.to_numeric(frame[name])
                file.write(frame.to_parquet(engine="pyarrow", index=False))
            else:
                text = io.TextIOWrapper(
                    file, "utf-8", "surrogateescape", newline="", write_through=True
                )
                table = csv.writer(text, lineterminator="\n")
                table.writerow(self.columns)
                table.writerows(rows)
                text.detach()  # which leaves the file open
        with self._opened() as journal:
            made = journal.readline()
        end = json.dumps({"failed": dict(failed)}).encode() + b"\n"
        write_atomically(self._journal, made + end)
        self.failed = dict(failed)

    def _rows(self, journal: BinaryIO, places: Iterable[int]) -> Iterator[list[Any]]:
        for place in places:
            journal.seek(place)
            yield from json.loads(journal.readline())[1]

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """The journal, open for reading. SrnnError, which names it, for what this class has not
        written."""
        with reading(self._journal, "the journal of a part"), self._journal.open("rb") as file:
            yield file


def check_table(path: Path, recordings: Iterable[Path]) -> None:
    """SrnnError for a table that could not be written, or would be read as a recording.

    Args:
        path: the table, which must be .csv or .parquet; the latter needs pyarrow.
        recordings: files and folders that the command reads, where the table would be found when it
            is called again.
    """
    if path.suffix not in (".csv", PARQUET):
        raise SrnnError(
            f"A table of predictions is NAME.csv or NAME{PARQUET}, not {path.name}.", "value", "out"
        )
    if path.suffix == PARQUET:
        need("pyarrow", "Parquet", "parquet")
        return
    for folder in recordings:
        if folder.is_dir() and path.resolve().is_relative_to(folder.resolve()):
            raise SrnnError(
                f"{path} would be read as one of the recordings in {folder}; choose another "
                f"{option('out')}.",
                "conflict",
                "out",
            )
