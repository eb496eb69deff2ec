"""One process that has everything imported, and a fork of it for each fault; what came of each,
counted."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from .disk import KINDS, crash_points, leave_after, read_trace
from .workloads import Workload

SECONDS = 120
"""That a workload may take before it counts as hanging."""


class NoCompiler(Exception):
    """There is no C compiler here, or no way to load the library."""


def build(folder: Path) -> Path:
    """shim.c, compiled."""
    library = folder / "shim.so"
    command = [
        "cc",
        "-shared",
        "-fPIC",
        "-O1",
        "-o",
        str(library),
        str(Path(__file__).with_name("shim.c")),
        "-ldl",
    ]
    if not sys.platform.startswith("linux"):
        raise NoCompiler("faults are injected by LD_PRELOAD and /proc, so on Linux only")
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoCompiler("there is no C compiler (cc)") from error
    except subprocess.CalledProcessError as error:
        raise NoCompiler(
            f"shim.c cannot be compiled: {error.stderr.strip().splitlines()[-1]}"
        ) from error
    return library


class Injector:
    """To be made in a process that was started with the library."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = ctypes.CDLL(None)
        self.library.faults_arm.argtypes = [
            ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_size_t,
        ]  # fmt: skip
        self.library.faults_calls.restype = self.library.faults_allocations.restype = ctypes.c_long
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.bad: list[dict[str, Any]] = []

    def fork(
        self, run: Callable[[Path], int], place: Path, *, at: int = 0, error: int = 0, trace: Path | None = None, refuse: int = 0,
        large: int = 0,
    ) -> tuple[int, str, int]:  # fmt: skip
        """(exit code, standard error, calls counted or large allocations) of a workload in a child
        with one fault."""
        errors = self.folder / "stderr"
        reading, writing = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            code = 99
            try:
                signal.alarm(SECONDS)
                with open(errors, "wb") as file:
                    os.dup2(file.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                handle = -1 if trace is None else os.open(trace, os.O_WRONLY | os.O_CREAT, 0o600)
                logging.raiseExceptions = (
                    False  # loggers made while errors went nowhere would complain of that
                )
                self.library.faults_arm(os.fsencode(place), at, error, handle, refuse, large)
                code = run(place)
            except BaseException:
                self.library.faults_disarm()
                traceback.print_exc()
            finally:
                self.library.faults_disarm()
                sys.stderr.flush()
                count = self.library.faults_allocations() if large else self.library.faults_calls()
                os.write(writing, str(count).encode())
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            count = int(pipe.read() or 0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, errors.read_text(errors="replace"), count

    def put(
        self, workload: Workload, points: Callable[[str, int], Iterable[int]], kinds: Iterable[str]
    ) -> None:
        """A workload under faults of all ``kinds``, at those of the points from 0 that
        ``points(kind, count)`` chooses."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            base, place, trace = Path(name) / "base", Path(name) / "work", Path(name) / "trace"
            base.mkdir()
            self._must(self.fork(lambda folder: workload.prepare(folder) or 0, base))
            # As the folder's name stands in some results, all runs are in one of the same name.
            base.rename(Path(name) / "before")
            before = Path(name) / "before"
            shutil.copytree(before, place, symlinks=True)
            with (
                open(os.devnull, "w") as nowhere,
                redirect_stdout(nowhere),
                redirect_stderr(nowhere),
            ):
                workload.run(place)  # here, so that the children find everything imported
            self._fresh(before, place)
            calls = self._must(self.fork(workload.run, place, trace=trace))
            wanted = workload.result(place)
            recorded = read_trace(trace.read_bytes())
            for kind in kinds:
                large = 1 << 15
                if kind in ERRORS:
                    for at in points(kind, calls):
                        self._fresh(before, place)
                        fault = {"at": at + 1, "error": ERRORS[kind]}
                        self._live(workload, kind, at + 1, place, wanted, fault)
                elif kind == "no memory":
                    self._fresh(before, place)
                    count = self._must(self.fork(workload.run, place, large=large))
                    for at in points(kind, count):
                        self._fresh(before, place)
                        self._live(
                            workload,
                            kind,
                            at + 1,
                            place,
                            wanted,
                            {"refuse": at + 1, "large": large},
                        )
                else:
                    ends = crash_points(recorded, kind)
                    for at in points(kind, len(ends)):
                        shutil.rmtree(place)
                        place.mkdir()
                        leave_after(before, recorded, ends[at], kind, place, place)
                        self._again(workload, kind, ends[at], place, wanted, "killed")

    def _live(
        self,
        workload: Workload,
        kind: str,
        at: int,
        place: Path,
        wanted: Any,
        fault: dict[str, int],
    ) -> None:
        code, said, _ = self.fork(workload.run, place, **fault)
        # A sweep says of a training what has ended it, and goes on with the next.
        ends = re.compile("srnn: |.*  failed  .*(Cannot |there is not enough memory)")
        lines = [line for line in said.splitlines() if ends.match(line)]
        if kind == "kill -9" and code == -signal.SIGKILL:
            self._again(workload, kind, at, place, wanted, "killed")
        elif code == 0 and kind != "kill -9":
            self._again(workload, kind, at, place, wanted, "undisturbed")
        elif code in (1, 2) and lines and "Traceback" not in said:
            self._again(workload, kind, at, place, wanted, "one line")
        elif code < 0 and kind == "no memory":  # a library's own answer to it
            self._again(workload, kind, at, place, wanted, "aborted")
        else:
            self._record(workload, kind, at, f"ended with {code}", said)

    def _again(
        self, workload: Workload, kind: str, at: int, place: Path, wanted: Any, how: str
    ) -> None:
        for left in place.rglob(".*.srnn-tmp"):  # it is removed a day later
            os.utime(left, (0, 0), follow_symlinks=False)
        code, said, _ = self.fork(workload.again or workload.run, place)
        if code:
            self._record(workload, kind, at, f"{how}, then the next start ended with {code}", said)
            return
        try:
            found = workload.result(place)
        except Exception as error:
            self._record(workload, kind, at, f"{how}, then no result", repr(error))
            return
        same = found == wanted
        self._record(
            workload,
            kind,
            at,
            f"{how}, then the same" if same else f"{how}, then another result",
            "",
            same,
        )

    def _record(
        self, workload: Workload, kind: str, at: int, outcome: str, said: str, good: bool = False
    ) -> None:
        self.counts[workload.name, kind, outcome] += 1
        if not good:
            self.bad.append(
                {
                    "workload": workload.name,
                    "kind": kind,
                    "at": at,
                    "outcome": outcome,
                    "said": said[-2000:],
                }
            )

    def _fresh(self, before: Path, place: Path) -> None:
        shutil.rmtree(place)
        shutil.copytree(before, place, symlinks=True)

    @staticmethod
    def _must(ended: tuple[int, str, int]) -> int:
        code, said, count = ended
        if code:
            raise RuntimeError(f"Without a fault it ended with {code}: {said}")
        return count


ERRORS = {"disk full": errno.ENOSPC, "input/output error": errno.EIO, "kill -9": 0}
LIVE = (*ERRORS, "no memory")
ALL = (*LIVE, *KINDS)
