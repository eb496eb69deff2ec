"""The process in which the HDF5 library reads untrusted files. Run as a script by ``hdf5.py``; it imports nothing of srnn.

The library is a large one in C, which a damaged file can make crash, loop or take all memory. So the kernel limits this process:
its memory (not on macOS) and the CPU time of a request; it can open no other file, and write none. A request is a line of JSON on
standard input; the answers on standard output are parts of numbers, each after a line of JSON with its size, and a last line of
JSON.

A file may hold groups and data sets of numbers, texts or lists of numbers. What points to other files or places (soft and
external links, external storage, virtual data sets) is refused, and so are filters that would be loaded from elsewhere.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

try:
    import resource
except ImportError:  # no limits on Windows
    resource: Any = None

IDLE = 20
"""Idle seconds after which the process ends if no file is open; with one open it waits, as its parent may have been suspended."""
_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
"""Those within HDF5, and the one within h5py."""
_HARD = h5py.h5l.TYPE_HARD  # type: ignore[attr-defined]
_LAYOUTS = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)
_BLOCK = 2**24  # bytes that are read at a time


class Reader:
    """The opened file, and what can be asked about it."""

    def __init__(self) -> None:
        self.file: Any = None

    def open(self, path: str, memory: int) -> dict[str, Any]:
        """Open a file. ``memory``: bytes that the process may take from now on."""
        self.close()
        if resource is not None:
            _limit(resource.RLIMIT_NOFILE, 64)  # some: macOS refuses as many as its hard limit, which is infinite
            if sys.platform != "darwin":  # it refuses less than it has reserved for a process: hundreds of GiB
                _limit(resource.RLIMIT_AS, memory)
        self.file = h5py.File(path, "r")
        if resource is not None:
            _limit(resource.RLIMIT_NOFILE, 0)
        return {}

    def close(self) -> dict[str, Any]:
        if self.file is not None:
            with contextlib.suppress(Exception):  # of a damaged file
                self.file.close()
        self.file = None
        return {}

    def names(self, name: str, maximum: int) -> dict[str, Any]:
        """The entries of a group."""
        group = self._find(name)
        if not isinstance(group, h5py.Group):
            raise ValueError(f"'{name}' is not a group")
        if len(group) > maximum:
            raise ValueError(f"'{name}' contains {len(group)} entries; at most {maximum} are read")
        return {"names": list(group)}

    def about(self, name: str) -> dict[str, Any]:
        """Whether the name exists; for a data set: its shape, the type of its numbers, and its kind."""
        item = self._find(name)
        if item is None or isinstance(item, h5py.Group):
            return {"kind": "missing" if item is None else "group"}
        kind, dtype = _kind(item)
        return {"kind": kind, "dtype": dtype.str, "shape": list(item.shape)}

    def read(self, name: str, rows: list[list[int]] | None) -> Iterator[Any]:
        """The numbers of a data set in parts: all, or those of ranges of rows; for lists and texts lengths, then numbers."""
        stored = self._find(name)
        kind, dtype = _kind(stored)
        if kind != "numbers":
            values = (
                [stored[()]] if not stored.shape else stored[()].flat if rows is None else stored[slice(*rows[0])].flat
            )
            cells = [np.frombuffer(v, "u1") if isinstance(v, bytes) else np.asarray(v, dtype) for v in values]
            yield np.array([len(cell) for cell in cells], "<i8")
            yield np.concatenate([*cells, np.empty(0, dtype)])
        elif not stored.shape or not stored.size:
            yield np.asarray(stored[()], dtype)
        else:
            # Whole chunks: each is decompressed as a whole.
            length = stored.chunks[0] if stored.chunks else 1
            step = max(_BLOCK * stored.shape[0] // stored.nbytes // length, 1) * length
            for start, pieces in _blocks(rows or [[0, stored.shape[0]]], step):
                block = stored[start : pieces[-1][1]]
                for first, last in pieces:
                    yield np.asarray(block[first - start : last - start], dtype)

    def _find(self, name: str) -> Any:
        """A group or data set by its name; None where there is none. ValueError for links."""
        item = self.file
        for part in name.split("/"):
            if not part:
                continue
            if not isinstance(item, h5py.Group) or part.encode() not in item.id:
                return None
            if item.id.links.get_info(part.encode()).type != _HARD:
                raise ValueError(f"'{name}' is a link to another place or file, which is not followed")
            item = item[part]
        if not isinstance(item, h5py.Group):
            _check(name, item)
        return item


def _check(name: str, item: Any) -> None:
    """ValueError for what is not an ordinary data set of this file."""
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        raise ValueError(f"'{name}' is neither a group nor an array")
    settings = item.id.get_create_plist()
    if settings.get_layout() not in _LAYOUTS or settings.get_external_count():
        raise ValueError(f"'{name}' has its numbers in other files, which are not read")
    for index in range(settings.get_nfilters()):
        number = settings.get_filter(index)[0]
        if number not in _FILTERS:
            raise ValueError(
                f"'{name}' is compressed by the filter {number}; only {', '.join(_FILTERS.values())} can be read"
            )


def _kind(array: Any) -> tuple[str, Any]:
    """What a data set consists of: numbers (fixed texts too), lists of numbers, or texts; and the numbers' type."""
    text, of = h5py.check_string_dtype(array.dtype), h5py.check_vlen_dtype(array.dtype)
    if text is not None and text.length is None:
        return "texts", np.dtype("u1")
    kind, dtype = ("lists", np.dtype(of)) if of is not None else ("numbers", array.dtype)
    if dtype.kind not in ("iufbS" if kind == "numbers" else "iufb"):
        raise ValueError(f"it contains elements of the type {str(dtype)[:60]}, which cannot be read")
    return kind, dtype


def _limit(what: int, soft: int) -> None:
    """Limit this process, within what it is allowed from outside."""
    hard = resource.getrlimit(what)[1]
    allowed = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(what, (allowed, hard))


def _blocks(rows: list[list[int]], step: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Ranges of rows, ascending and disjoint, cut into blocks of ``step``: each block's first row, and its pieces."""
    pieces: list[tuple[int, int]] = []
    for first, last in rows:
        while first < last:
            end = min(last, (first // step + 1) * step)
            if pieces and pieces[0][0] // step != first // step:
                yield pieces[0][0], pieces
                pieces = []
            pieces.append((first, end))
            first = end
    if pieces:
        yield pieces[0][0], pieces


def main() -> None:
    """Answer requests until there are no more."""
    asked, answers, reader, seconds = sys.stdin.buffer, sys.stdout.buffer, Reader(), 1.0
    for encoding in ("ascii", "latin1", "utf-8"):  # later no file can be opened, not even for Python's own modules
        codecs.lookup(encoding)
    if resource is not None:
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_FSIZE, 0)
    while True:
        _end_after(cpu=0, idle=IDLE if reader.file is None else 0)
        line = asked.readline()
        if not line:
            return
        request = json.loads(line)
        operation = request.pop("do")
        seconds = request.pop("seconds", seconds)
        _end_after(cpu=seconds)
        answer: dict[str, Any] = {}
        try:
            if operation != "read":
                answer = getattr(reader, operation)(**request)
            else:
                for part in reader.read(**request):
                    answers.write(json.dumps({"bytes": part.nbytes}).encode() + b"\n")
                    answers.write(np.ascontiguousarray(part).reshape(-1).view("u1").data if part.nbytes else b"")
                    _end_after(cpu=seconds)
        except Exception as error:
            answer = {"error": " ".join(str(error).split())[:300] or type(error).__name__}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _end_after(cpu: float, idle: int = 0) -> None:
    """Have the kernel end this process after so much CPU time, or so many seconds; 0: never. No C code can prevent that."""
    if resource is not None:
        signal.setitimer(signal.ITIMER_PROF, cpu)
        signal.alarm(idle)


if __name__ == "__main__":
    main()
