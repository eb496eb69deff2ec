"""Has a change made anything slower? This checkout against another one of the project, alternated
on this machine.

    git worktree add ../before COMMIT
    python -m benchmarks.versions ../before --out results/speed-of-a-change
    python -m benchmarks.versions ../before --at-most 1.1      # exit status 1 if more than 10 % slower

Times training steps, forward passes, a step of a stream, compilation from nothing, importing, a
first prediction, and ``srnn --help``; of another surrogate or kind of input, training steps alone.
Each ratio is this checkout's time divided by the mean of the other's two measurements beside it:
above 1, the change is slower.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import machine, storage
from .catalogue import BASE, CATALOGUE, OWN, Entry
from .driver import ROOT, Field
from .measures.speed import Plan, compare_all
from .measures.statistics import summary
from .nets import NETS, quick

PROCESSES = {
    "import srnn, one neuron": ["-c", "import srnn; srnn.ALIF()"],
    "load and first prediction": [
        "-c",
        "import srnn; srnn.load('ecg').predict(srnn.example('ecg'))",
    ],
    "srnn --help": ["-m", "srnn", "--help"],
    "srnn train --help": ["-m", "srnn", "train", "--help"],
}
COMPILED = """
import torch, srnn
net = srnn.SRNN(4, [8], 3, neuron='alif', norm='none')
out, _ = net(torch.randn(2, 20, 4))
out.sum().backward()
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.versions", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "other",
        type=Path,
        metavar="CHECKOUT",
        help="another checkout, with which this one is compared",
    )
    parser.add_argument("--nets", nargs="+", choices=[*NETS], default=["ecg", "shd", "ssc", "gsc"])
    parser.add_argument("--rounds", type=int, default=9, help="pairs per measurement (default: 9)")
    parser.add_argument(
        "--threads", type=int, default=2, help="threads and cores of each (default: 2)"
    )
    parser.add_argument(
        "--surrogate", help="surrogate of both, such as linear (default: the multi-Gaussian)"
    )
    parser.add_argument(
        "--input", choices=["spikes", "dense"], default="spikes",
        help="what binary inputs come as: packed, as a data set keeps them (default), or as "
             "tensors of 0 and 1"
    )  # fmt: skip
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small networks and one round, to try everything; the numbers mean nothing",
    )
    parser.add_argument(
        "--at-most",
        type=float,
        default=float("inf"),
        metavar="RATIO",
        help="exit status 1 if a median ratio is above this, or something was not measured",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results/versions", metavar="FOLDER")
    options = parser.parse_args(argv)
    other = options.other.resolve() / "src"
    if not (other / "srnn" / "__init__.py").is_file():
        parser.error(f"{options.other} is not a checkout of srnn: it has no src/srnn.")
    plan = Plan(rounds=1, block=0.05, most=3) if options.quick else Plan(rounds=options.rounds)
    results: dict[str, Any] = {
        "machine": machine.describe(),
        "compared_with": subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=other,
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip(),
        "rounds": plan.rounds,
        "threads": options.threads,
        "surrogate": options.surrogate,
        "input": options.input,
        "records": [],
    }
    both = {"surrogate": options.surrogate, "input": options.input}
    steps_alone = both != {"surrogate": None, "input": "spikes"}
    here, there = entry("this", ROOT / "src", **both), entry("other", other, **both)
    with tempfile.TemporaryDirectory() as folder:
        field = Field({OWN: sys.executable}, {}, Path(folder), threads=options.threads)
        for name in options.nets:
            net = quick(NETS[name]) if options.quick else NETS[name]
            say(f"{net.label} {net.size}")
            whats = ["train"] if steps_alone else ["train", "forward"]
            results["records"] += timed(there, here, net, whats, field, plan)
        if not steps_alone:
            net = replace(quick(NETS["shd"]) if options.quick else NETS["shd"], batch=1)
            say(f"one stream: {net.label} {net.size}")
            results["records"] += timed(
                there, here, net, ["stream", "loop"], replace(field, threads=1), plan
            )
    if not steps_alone:
        for name, command in PROCESSES.items():
            results["records"].append(processes(name, command, other, plan.rounds, cached=True))
        rounds, command = 1 if options.quick else min(3, plan.rounds), ["-c", COMPILED]
        results["records"].append(
            processes("compiling a small ALIF network", command, other, rounds, cached=False)
        )
    options.out.mkdir(parents=True, exist_ok=True)
    storage.write(results, options.out / "versions.json")
    (options.out / "versions.md").write_text(page(results))
    say(f"Results in {options.out}.")
    slower = too_slow(results["records"], options.at_most)
    for what in slower:
        say(f"above {options.at_most:g}: {what}")
    return 1 if slower else 0


def too_slow(records: Sequence[dict[str, Any]], at_most: float) -> list[str]:
    """What took more than ``at_most`` times the other checkout's time; with such a limit, also what
    failed."""
    limited = at_most < float("inf")
    return [
        record["what"]
        for record in records
        if (limited and "failed" in record)
        or ("ratio" in record and record["ratio"]["median"] > at_most)
    ]


def entry(name: str, source: Path, **options: Any) -> Entry:
    return replace(
        CATALOGUE[BASE],
        name=name,
        source=str(source),
        options={**CATALOGUE[BASE].options, **options},
    )


def timed(
    base: Entry, peer: Entry, net: Any, whats: list[str], field: Field, plan: Plan
) -> list[dict[str, Any]]:
    """Records of what both did: times of both, and this checkout's divided by the other's."""
    return [
        {**record, "what": f"{net.label} {net.size}: {record['what']}"}
        for record in compare_all(base, [peer], net, whats, field, plan, say)
        if record["contestant"] == peer.name
    ]


def processes(
    name: str, command: list[str], other: Path, rounds: int, cached: bool
) -> dict[str, Any]:
    """A whole process, alternated: this, other, this, ... Where not ``cached``, each has an empty
    folder for compiled code."""

    def seconds(source: Path) -> float:
        with tempfile.TemporaryDirectory() as folder:
            given = os.environ | {"PYTHONPATH": str(source), "PYTHONWARNINGS": "ignore"}
            if not cached:
                given["NUMBA_CACHE_DIR"] = folder
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, *command], env=given, check=True, capture_output=True, cwd=folder
            )
            return time.perf_counter() - began

    this = ROOT / "src"
    if cached:
        for source in (this, other):
            seconds(source)
    before, ratios, ours = [seconds(other)], [], []
    for _ in range(rounds):
        ours.append(seconds(this))
        before.append(seconds(other))
        ratios.append(2 * ours[-1] / (before[-2] + before[-1]))
    say(
        f"{name}: {1000 * statistics.median(ours):.0f} ms, {statistics.median(ratios):.3f} of the "
        "other's"
    )
    return {
        "what": name, "ratio": summary(ratios), "ratios": ratios, "ours_s": summary(before), "peer_s": summary(ours)
    }  # fmt: skip


def page(results: dict[str, Any]) -> str:
    """A table: what, both times, and the ratio."""
    where = f"{results['machine']['cpu']}, {results['threads']} threads"
    if results["surrogate"]:
        where += f", {results['surrogate']} surrogate"
    if results["input"] == "dense":
        where += ", spikes given as tensors of 0 and 1"
    lines = [
        f"# This checkout beside `{results['compared_with']}`", "",
        f"{where}, alternated; each ratio is this checkout's time divided by the mean of the "
        "other's two measurements beside "
        "it. Above 1, this one is slower.", "",
        "| | other, ms | this, ms | ratio, median | quartiles' distance | ratios |",
        "| --- | --: | --: | --: | --: | --: |",
    ]  # fmt: skip
    for record in results["records"]:
        if "failed" in record:
            lines.append(f"| {record['what']} | | | {record['failed']} | | |")
            continue
        ratio = record["ratio"]
        times = (1000 * record[side]["median"] for side in ("ours_s", "peer_s"))
        lines.append(
            f"| {record['what']} | {' | '.join(f'{value:.3g}' for value in times)} | "
            f"{ratio['median']:.3f} "
            f"| {ratio['iqr']:.3f} | {ratio['n']} |"
        )
    return "\n".join([*lines, ""])


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
