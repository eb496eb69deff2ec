"""The process that libFuzzer runs in: python -m fuzz.instrument TARGET FINDINGS [libFuzzer's
options and folders].

Everything is imported and every kept input read first, so that Numba compiles what it compiles;
then the readers, and those of Python's parsers that they use, are instrumented where they stand. An
input that is a finding is put into the folder FINDINGS, the first of each signature, and fuzzing
goes on; only what ends the process ends it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .examining import Finding, empty, examine, workplace
from .target import Target
from .targets import TARGETS

READERS = (
    "srnn.model.exit_policy",
    "srnn.model.checkpoints",
    "paper",
    "srnn.data.datasets",
    "srnn.measure.energy",
    "srnn.errors",
    "srnn.deploy.c",
    "srnn.deploy.export",
    "srnn.files",
    "srnn.training.optimisation",
    "srnn.training.recipes",
    "srnn.measure.page",
    "srnn.training.runs",
    "srnn.deploy.serve",
    "srnn.deploy.streaming",
    "srnn.studies",
    "srnn.data.tasks",
)  # fmt: skip
"""Not the kernels and neurons: Numba compiles their bytecode."""


def main(name: str, findings: Path, options: list[str]) -> None:
    atheris: Any = importlib.import_module("atheris")
    target = TARGETS[name]
    warnings.simplefilter("ignore")
    known = {
        json.loads(path.read_text(encoding="utf-8"))["signature"]
        for path in findings.glob("*.json")
    }
    with workplace() as folder:
        prepare(target, folder)
        for function in _functions((*READERS, *target.parsers)):
            atheris.instrument_func(function)

        def one_input(data: bytes) -> None:
            found = examine(target, data, folder)
            if found is not None and found.signature not in known:
                known.add(found.signature)
                keep(found, data, findings)

        atheris.Setup(
            [f"{sys.executable} -m fuzz.instrument {name} {findings}", *options], one_input
        )
        atheris.Fuzz()


def prepare(target: Target, folder: Path) -> None:
    """Read the seeds unwatched: what is imported and compiled at its first use is there before
    inputs are examined."""
    for data in target.seeds().values():
        target.read(data, folder)
        empty(folder)


def keep(found: Finding, data: bytes, findings: Path) -> None:
    """An input and what it did, as two files."""
    name = f"{found.kind}-{hashlib.sha1(data).hexdigest()[:12]}"
    (findings / name).write_bytes(data)
    (findings / f"{name}.json").write_text(
        json.dumps({**asdict(found), "signature": found.signature}), encoding="utf-8"
    )
    print(f"FINDING {found.signature}: {found.what}", file=sys.stderr, flush=True)


def _functions(modules: tuple[str, ...]) -> Iterator[types.FunctionType]:
    """The Python functions and methods of the loaded modules under these names."""
    for name, module in list(sys.modules.items()):
        if any(name == root or name.startswith(f"{root}.") for root in modules):
            yield from _of(vars(module), name, set())


def _of(members: Any, module: str, seen: set[int]) -> Iterator[types.FunctionType]:
    for member in list(members.values()):
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        if isinstance(member, property):
            member = member.fget
        member = getattr(
            member, "__wrapped__", member
        )  # a context manager's generator, a cached function
        if getattr(member, "__module__", None) != module or id(member) in seen:
            continue
        seen.add(id(member))
        if isinstance(member, types.FunctionType):
            yield member
        elif isinstance(member, type):
            yield from _of(vars(member), module, seen)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
