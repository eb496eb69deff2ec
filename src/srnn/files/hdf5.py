"""Untrusted HDF5 files, read by a separate process (``hdf5_reader.py``), which a damaged file may crash, block or exhaust.

    with open_hdf5(path, "recordings") as file:
        labels = file["labels"].read()
        for times in file["spikes/times"].lists(): ...

Files are read-only: links to other files or out of their groups are refused, and so is more than LIMITS["hdf5"] allows. The
process ends by itself after some idle seconds without a file; until then it is reused for the next file.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from .limits import LIMITS, GiB
from .reading import reading
from .unpacking import Allowance

CPU_SECONDS = 30.0
"""CPU time that reading a part may take: some 16 MiB, or one chunk."""
_MEMORY = 4 * GiB  # that the process may take, besides twice the file's size
_BLOCK_ROWS = 256
_SCRIPT = Path(__file__).with_name("hdf5_reader.py")


class _Process:
    def __init__(self) -> None:
        quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_SCRIPT)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, **quiet, "HDF5_PLUGIN_PRELOAD": "::"},  # no filters from elsewhere
        )  # fmt: skip
        self.in_step = True
        """Whether it has answered all requests."""

    def ask(self, do: str, room: Callable[[int], memoryview] | None = None, **request: Any) -> dict[str, Any]:
        """The answer to a request. ``room`` gives the memory for bytes that come with it; its exceptions are passed on.

        ValueError: the process says why the file cannot be read. ConnectionError: it has ended instead of answering.
        """
        asking, answering = self._process.stdin, self._process.stdout
        assert asking is not None and answering is not None
        self.in_step = False
        asking.write(json.dumps({"do": do, **request}).encode() + b"\n")
        asking.flush()
        while line := answering.readline():
            answer = json.loads(line)
            if "bytes" not in answer:
                self.in_step = True
                if "error" in answer:
                    raise ValueError(answer["error"])
                return answer
            assert room is not None
            part = room(answer["bytes"])
            if len(part) and answering.readinto(part) < len(part):  # type: ignore[attr-defined]
                break
        raise ConnectionError

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def why(self) -> str:
        """Why it has ended unexpectedly."""
        code = self._process.wait()
        if code == -getattr(signal, "SIGPROF", 0):
            return f"reading it takes more than {CPU_SECONDS:g} s"
        return f"the HDF5 library crashes on it: {signal.Signals(-code).name if code < 0 else code}"


_idle: list[_Process] = []


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


def _forget_idle() -> None:
    """In a fork of this process: they are the parent's."""
    for process in _idle:
        process._process.returncode = 0
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_idle)


@contextlib.contextmanager
def open_hdf5(path: Path, what: str) -> Iterator[Hdf5]:
    """Open a file for reading. SrnnError: it is missing, too large, not HDF5, or damaged; any exception that is raised while it
    is open becomes one, too. ``what``: what it should be, with its article, for the message."""
    with reading(path, what):
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is not a file")
        allowance = Allowance(about.st_size, LIMITS["hdf5"])
        opening = {"path": str(path.resolve()), "memory": _MEMORY + 2 * about.st_size, "seconds": CPU_SECONDS}
        process = _opened(opening)
        try:
            yield Hdf5(process, allowance, path, about.st_size)
        except ConnectionError as error:
            raise ValueError(process.why()) from error
        finally:
            if process.in_step:
                with contextlib.suppress(OSError):
                    process.ask("close")
            if process.in_step:
                _idle.append(process)
            else:
                process.end()


def _opened(opening: dict[str, Any]) -> _Process:
    """A process that has opened a file."""
    while True:
        used, process = bool(_idle), _idle.pop() if _idle else _Process()
        try:
            process.ask("open", **opening)
            return process
        except ValueError:
            _idle.append(process)
            raise
        except OSError as error:  # a used one may have ended before it was asked
            reason = process.why()
            process.end()
            if not used:
                raise ValueError(reason) from error


class Hdf5(Mapping[str, "Dataset"]):
    """An opened file: its data sets by name, such as "spikes/times". SrnnError for a group, ValueError for links."""

    def __init__(self, process: _Process, allowance: Allowance, path: Path, size: int) -> None:
        self.process, self.allowance, self.path, self.size = process, allowance, path, size

    def __getitem__(self, name: str) -> Dataset:
        about = self.process.ask("about", name=name)
        if about["kind"] == "missing":
            raise KeyError(name)
        if about["kind"] == "group":
            raise SrnnError(f"{self.path}: {name} is a group, but should be an array (an HDF5 dataset).")
        return Dataset(self, name, **about)

    def __contains__(self, name: object) -> bool:
        return self.process.ask("about", name=str(name))["kind"] != "missing"

    def names(self, group: str = "") -> list[str]:
        """The names in a group; without a name, in the file."""
        return self.process.ask("names", name=group, maximum=LIMITS["hdf5"].items)["names"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def tree(self, group: str) -> dict[str, Any]:
        """The content of a group: groups within it as mappings, single numbers and texts as NumPy's and Python's."""
        return self._tree(group, LIMITS["hdf5"].depth, [LIMITS["hdf5"].items])

    def _tree(self, group: str, depth: int, left: list[int]) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        names = self.names(group)
        left[0] -= len(names)
        if not depth or left[0] < 0:
            raise ValueError("it contains too many groups and arrays, or they are nested too deeply")
        for key in names:
            name = f"{group}/{key}"
            about = self.process.ask("about", name=name)
            if about["kind"] == "group":
                tree[key] = self._tree(name, depth - 1, left)
            else:
                value = Dataset(self, name, **about).read()[()]
                tree[key] = value.decode() if isinstance(value, bytes) else value
        return tree


class Dataset:
    """An array in a file, whose numbers are read when they are asked for."""

    def __init__(self, file: Hdf5, name: str, kind: str, dtype: str, shape: list[int]) -> None:
        self._file, self.name, self._kind = file, name, kind
        self.dtype, self.shape = np.dtype(dtype if kind != "texts" else object), tuple(shape)
        """The type of a list's numbers; object for texts."""
        if kind != "numbers" and math.prod(shape) > file.size:
            raise ValueError(f"'{name}' declares more lists or texts than the file has bytes")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def is_lists(self) -> bool:
        """Whether every entry is a list of numbers."""
        return self._kind == "lists"

    def read(self, rows: npt.NDArray[np.integer] | None = None) -> npt.NDArray[Any]:
        """All of it, or the rows of these ascending numbers; texts as bytes in an array of objects."""
        if self._kind != "numbers":
            if self.is_lists or rows is not None:
                raise ValueError(f"'{self.name}' contains lists or texts, not numbers")
            cells = np.empty(math.prod(self.shape), object)
            cells[:] = [cell.tobytes() for cell in self._cells(None)]
            return cells.reshape(self.shape)
        shape = self.shape if rows is None else (len(rows), *self.shape[1:])
        size = math.prod(shape) * self.dtype.itemsize
        self._file.allowance.take(size)
        content = np.empty(size, np.uint8)
        free = memoryview(content)  # type: ignore[arg-type]

        def room(count: int) -> memoryview:
            nonlocal free
            if count > len(free):
                raise ValueError(f"'{self.name}' has more numbers than its shape")
            part, free = free[:count], free[count:]
            return part

        if size:
            self._file.process.ask("read", room, name=self.name, rows=None if rows is None else _ranges(rows))
            if len(free):
                raise ValueError(f"'{self.name}' has fewer numbers than its shape")
        return content.view(self.dtype).reshape(shape) if size else np.zeros(shape, self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        array = self.read()
        return array if dtype is None else array.astype(dtype, copy=False)

    __getitem__ = read

    def lists(self, start: int = 0, stop: int | None = None) -> Iterator[npt.NDArray[Any]]:
        """The lists of numbers, one after another; read-only arrays of one axis."""
        if not self.is_lists or self.ndim != 1:
            raise ValueError(f"'{self.name}' should be a row of lists of numbers, not {self.dtype} {self.shape}")
        stop = self.shape[0] if stop is None else stop
        for first in range(start, stop, _BLOCK_ROWS):
            yield from self._cells([[first, min(first + _BLOCK_ROWS, stop)]])

    def _cells(self, rows: list[list[int]] | None) -> list[npt.NDArray[Any]]:
        """Lists of numbers; texts as lists of bytes."""
        parts: list[bytearray] = []

        def room(count: int) -> memoryview:
            self._file.allowance.take(count)
            parts.append(bytearray(count))
            return memoryview(parts[-1])

        self._file.process.ask("read", room, name=self.name, rows=rows)
        lengths, values = parts
        numbers = np.frombuffer(values, np.uint8 if self._kind == "texts" else self.dtype)
        numbers.flags.writeable = False
        return np.split(numbers, np.cumsum(np.frombuffer(lengths, "<i8"))[:-1])


def _ranges(rows: npt.NDArray[np.integer]) -> list[list[int]]:
    """Ascending numbers as ranges: from, to."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return [[int(part[0]), int(part[-1]) + 1] for part in np.split(rows, breaks)]
