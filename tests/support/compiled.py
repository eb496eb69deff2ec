"""Exported C, compiled and run: for the tests of the export."""

from __future__ import annotations

import json
import shutil
import subprocess
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
    sources = [str(folder / f"{plan.name}_main.c"), str(folder / f"{plan.name}.c")]
    done = subprocess.run(
        [compiler, *FLAGS, "-o", str(program), *sources, *flags, "-lm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Program(program, plan)
