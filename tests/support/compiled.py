"""Exported C, compiled and run: for the tests of the export."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.deploy.c.arrays import DTYPES
from srnn.deploy.c.plan import Plan

WARNINGS = (
    "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wsign-conversion", "-Wfloat-conversion", "-Wshadow",
    "-Wdouble-promotion", "-Wcast-qual", "-Wundef", "-Wstrict-prototypes", "-Wmissing-prototypes",
)  # fmt: skip
FLAGS = ("-std=c99", "-O2", *WARNINGS, "-ffp-contract=off")
SANITIZED = ("-Og", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
"""Optimised little: that takes half as long to compile, and leaves more for sanitizers to see."""
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]


def compilers() -> Any:
    """Parameters of a test: every C compiler that is there, or one that skips."""
    missing = pytest.param(
        "none", marks=pytest.mark.skip("no C compiler (gcc, clang) on this machine")
    )
    return COMPILERS or [missing]


needs_compiler = pytest.mark.skipif(
    not COMPILERS, reason="no C compiler (gcc, clang) on this machine"
)
every_compiler = pytest.mark.parametrize("compiler", compilers())
every_format = pytest.mark.parametrize("format", ["float32", "int8"])


@dataclass
class Program:
    """A compiled NAME_main.c."""

    path: Path
    plan: Plan

    def run(
        self, x: np.ndarray, state: np.ndarray | None = None, trace: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """x (B, T, inputs) -> scores (B, T, outputs) and, with ``trace``, the states after each
        step (B, T)."""
        arguments = [
            str(self.path),
            "--binary",
            "--steps",
            str(x.shape[1]),
            *(["--trace"] if trace else []),
        ]
        if state is not None:
            image = self.path.parent / "first.state"
            image.write_bytes(state.tobytes())
            arguments += ["--state", str(image)]
        raw = np.ascontiguousarray(x, DTYPES[self.plan.input])
        assert (raw == x).all(), "the input does not fit its C type"
        done = subprocess.run(arguments, input=raw.tobytes(), capture_output=True, check=True)
        score = (DTYPES[self.plan.number], self.plan.network.outputs)
        record = np.dtype(
            [("scores", *score), ("state", self.plan.state_dtype())]
            if trace
            else [("scores", *score)]
        )
        found = np.frombuffer(done.stdout, record).reshape(x.shape[:2])
        self.counts = json.loads(done.stderr) if done.stderr else {}
        return found["scores"], found["state"] if trace else found["scores"]

    def text(self, *arguments: str, given: str) -> str:
        """Standard output of a run on text."""
        done = self.tried(*arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tried(self, *arguments: str, given: str) -> subprocess.CompletedProcess[str]:
        """A run on text that may fail."""
        return subprocess.run(
            [self.path, *arguments], input=given, capture_output=True, check=False, text=True
        )


def build(folder: Path, plan: Plan, compiler: str, *flags: str) -> Program:
    """Compile an exported folder. Any warning fails the test, with what the compiler said."""
    program = folder / f"program{abs(hash((compiler, flags)))}"
    sources = [folder / f"{plan.name}_main.c", folder / f"{plan.name}.c"]
    compile_c([compiler, *FLAGS, *flags], sources, program)
    return Program(program, plan)


KEPT = Path(__file__).parents[2] / ".pytest_cache" / "programs"
"""Programs of earlier runs, by what they were made of."""
MOST_KEPT = 1000


def compile_c(command: list[str], sources: Iterable[Path], program: Path) -> None:
    """Compile sources, which may include what lies beside them, into a program.

    The same compiler makes the same program of the same files, so it is asked once: most exports
    are, to the letter, those of the last time the tests ran.
    """
    files = list(sources)
    kept = KEPT / _digest(command, files)
    try:
        shutil.copy2(kept, program)
        os.utime(kept)
        return
    except OSError:
        pass  # made for the first time
    done = subprocess.run(
        [*command, "-o", str(program), *map(str, files), "-lm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    try:
        KEPT.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        shutil.copy2(program, partial)
        partial.replace(kept)
        for old in sorted(KEPT.iterdir(), key=lambda path: path.stat().st_mtime)[:-MOST_KEPT]:
            old.unlink()
    except OSError:
        pass  # another process forgets the same ones, or nothing can be written here


def _digest(command: list[str], sources: list[Path]) -> str:
    """Of the compiler, its options, and all C beside the sources."""
    compiler = Path(shutil.which(command[0]) or command[0]).resolve()
    found = hashlib.sha256(repr((compiler, compiler.stat().st_mtime_ns, command[1:])).encode())
    for folder in dict.fromkeys(source.parent for source in sources):
        for path in sorted(folder.rglob("*.[ch]")):
            found.update(f"{path.relative_to(folder)}\0{path in sources}\0".encode())
            found.update(path.read_bytes() + b"\0")
    return found.hexdigest()


def ran(*command: str | Path, given: bytes = b"", cwd: Path | None = None) -> bytes:
    """Standard output of a compiler or a program that succeeds."""
    done = subprocess.run(command, input=given, capture_output=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
