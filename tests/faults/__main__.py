"""The command: ``PYTHONPATH=src:tests python -m faults``. Prints JSON, and writes it and a table
with --out."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .injector import ALL, Injector, NoCompiler, build
from .workloads import WORKLOADS

COMMAND = "PYTHONPATH=src:tests python -m faults"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument(
        "--workloads", nargs="+", choices=tuple(WORKLOADS), default=list(WORKLOADS), metavar="NAME"
    )
    parser.add_argument("--kinds", nargs="+", choices=ALL, default=list(ALL), metavar="KIND")
    parser.add_argument(
        "--most",
        type=int,
        default=10**9,
        metavar="N",
        help="faults of a kind in a workload (default: all)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write faults.json and faults.md")
    arguments = parser.parse_args()
    if "faults_arm" not in os.environ.get("SRNN_FAULTS", ""):
        with tempfile.TemporaryDirectory() as folder:
            try:
                library = build(Path(folder))
            except NoCompiler as error:
                print(f"faults: {error}", file=sys.stderr)
                return 77
            environment = {
                **os.environ,
                "LD_PRELOAD": str(library),
                "SRNN_FAULTS": "faults_arm",
                "OMP_NUM_THREADS": "1",
            }
            return os.spawnve(
                os.P_WAIT,
                sys.executable,
                [sys.executable, "-m", "faults", *sys.argv[1:]],
                environment,
            )
    began = time.monotonic()

    def points(_: str, count: int) -> Iterable[int]:
        most = min(arguments.most, count)
        return sorted({(2 * i + 1) * count // (2 * most) for i in range(most)})

    with tempfile.TemporaryDirectory() as folder:
        injector = Injector(Path(folder).resolve())
        for name in arguments.workloads:
            injector.put(WORKLOADS[name], points, arguments.kinds)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    content = {
        "command": " ".join([COMMAND, *sys.argv[1:]]),
        "seconds": round(time.monotonic() - began),
        "faults": sum(injector.counts.values()),
        "counts": [[*key, count] for key, count in sorted(injector.counts.items())],
        "bad": injector.bad,
    }
    print(json.dumps(content))
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "faults.json").write_text(json.dumps(content, indent=1) + "\n")
        (arguments.out / "faults.md").write_text(page(content))
    return 1 if injector.bad else 0


def page(content: dict[str, Any]) -> str:
    """The counts as a table, a row a workload and kind."""
    rows: dict[tuple[str, str], list[str]] = {}
    for workload, kind, outcome, count in content["counts"]:
        rows.setdefault((workload, kind), []).append(f"{count} {outcome}")
    return "\n".join([
        "# Faults in the system", "",
        f"{content['faults']} faults, each followed by the same command again. \"The same\" is the "
        "undisturbed result:",
        "every byte (but for times) of weights, metrics, reports and exports in C and ONNX; of the "
        "others what",
        "`tests/faults/workloads.py` compares. \"One line\" is an error with exit code 2 before "
        "that; a sweep counts",
        "the training as failed, and ends with 1.", "",
        "| workload | fault | outcomes |", "| --- | --- | --- |",
        *(f"| {workload} | {kind} | {'; '.join(outcomes)} |" for (workload, kind), outcomes in rows.items()), "",
        f"Not as it should be: {len(content['bad'])}." + ("" if not content["bad"] else " See `faults.json`."), "",
        f"Made by `{content['command']}` in {content['seconds']} s.", "",
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
