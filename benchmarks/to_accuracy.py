"""Time to reach an accuracy: ``python -m benchmarks.to_accuracy ecg 0.83``.

What a user waits for is a trained network, not a step. A recipe is trained on each backend, one
seed after the other, until an epoch's validation accuracy reaches the goal. Data, network, settings
and seed are the same, so that only the time differs. "eager" is this project's reference, a Python
loop over time that autograd differentiates, as one writes such a network in PyTorch. Time counts
from the call of ``srnn.train``, with reading the data, fetching compiled loops (or compiling them),
and validation. "authors" is the program with which a recipe was published, as its authors wrote it
(``benchmarks.authors``). Earlier measurements of the same recipe and goal are kept, except those
that are repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from srnn.api import train
from srnn.progress import Reporter
from srnn.text import counted, markdown_table

from .authors import HOME, train_theirs
from .driver import ROOT
from .machine import describe

WAYS: dict[str, str | None] = {"srnn": "cpu", "eager": "reference", "authors": None}
"""Backend of each; None: not our program."""
OTHERS = {"eager": "Eager PyTorch", "authors": "The authors' program"}
"""What is compared with ours, as the page names it."""


class Enough(Exception):
    """The goal is reached, or the limit."""


class Clock(Reporter):
    """Accuracy on validation after each epoch, with seconds of a clock and of the processor; ends
    at the goal or the limit."""

    def __init__(self, goal: float, limit: float) -> None:
        self.goal, self.limit, self.epochs, self.batches, self.begin = goal, limit, [], 0, 0.0
        self.began = time.perf_counter(), time.process_time()

    def now(self) -> dict[str, float]:
        clock, processor = self.began
        return {
            "seconds": time.perf_counter() - clock,
            "processor_s": time.process_time() - processor,
        }

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        self.batches = done_steps
        if (
            done_steps == 1
        ):  # data, compiled loops, measured first weights and a batch are behind it
            self.begin = self.now()["processor_s"]
        if self.now()["processor_s"] > self.limit:
            raise Enough

    def epoch(self, record: dict[str, Any]) -> None:
        self.epochs.append({"accuracy": record["validation"]["accuracy"], **self.now()})
        if self.reached:
            raise Enough

    @property
    def reached(self) -> bool:
        return bool(self.epochs) and self.epochs[-1]["accuracy"] >= self.goal


def measure(
    recipe: str,
    goal: float,
    way: str,
    seed: int,
    limit: float,
    data: Path | None,
    checkout: Path | None = None,
) -> dict[str, Any]:
    """One training, up to the goal, the limit or the recipe's last epoch, on torch's threads."""
    clock, done, backend = Clock(goal, limit), False, WAYS[way]
    with tempfile.TemporaryDirectory() as folder:
        try:
            if backend is None:
                train_theirs(recipe, checkout, seed, data, clock)
            else:
                overrides = {"network.backend": backend}
                train(
                    recipe,
                    folder,
                    overrides,
                    seed=seed,
                    data_dir=data,
                    examples=False,
                    reporter=clock,
                )
            done = True
        except Enough:
            pass
    return {
        "way": way, "seed": seed, "limit": limit, "reached": clock.reached, "all_epochs": done, "epochs": clock.epochs,
        "batches": clock.batches, "first_batch_s": clock.begin, **clock.now(),
    }  # fmt: skip


def each_batch(record: dict[str, Any]) -> float:
    """Seconds of the processor that a batch takes after the first, with its part of what an epoch
    needs besides."""
    return (record["processor_s"] - record["first_batch_s"]) / (record["batches"] - 1)


def compared(records: list[dict[str, Any]], way: str, who: str) -> list[str]:
    """How much longer another way takes than ours, in sentences; none where not both were
    measured."""
    found, lines = {(record["seed"], record["way"]): record for record in records}, []
    pairs = [
        (found[seed, "srnn"], record)
        for (seed, other), record in found.items()
        if other == way and (seed, "srnn") in found
    ]
    pairs = [(ours, theirs) for ours, theirs in pairs if ours["reached"]]
    ratios = [
        theirs["processor_s"] / ours["processor_s"] for ours, theirs in pairs if theirs["reached"]
    ]
    least = [
        theirs["processor_s"] / ours["processor_s"]
        for ours, theirs in pairs
        if not theirs["reached"]
    ]
    slower = [
        each_batch(theirs) / each_batch(ours)
        for ours, theirs in pairs
        if min(ours["batches"], theirs["batches"]) > 1
    ]
    if ratios:
        lines.append(
            f"{who} takes {statistics.median(ratios):.1f} times as long (median of "
            f"{counted(len(ratios), 'seed')})."
        )
    if least and min(least) >= 1:
        lines.append(
            f"{who} did not always reach the goal, and was stopped after at least {min(least):.1f} "
            "times as long."
        )
    if slower:
        lines.append(
            f"{who} takes {statistics.median(slower):.0f} times as long per batch, once the first "
            "batch is done."
        )
    return [" ".join(lines), ""] if lines else []


def page(results: dict[str, Any]) -> str:
    rows, records = [], results["records"]
    for record in records:
        epochs = record["epochs"]
        best = max((epoch["accuracy"] for epoch in epochs), default=None)
        each = [after["processor_s"] - before["processor_s"] for before, after in pairwise(epochs)]
        outcome = f"{record['processor_s']:.0f}" if record["reached"] else (
            "never" if record["all_epochs"] else f"not within {record['limit']:g}")  # fmt: skip
        rows.append([
            str(record["seed"]), record["way"], outcome, f"{record['seconds']:.0f}", str(len(epochs)), f"{record['batches']:,}",
            f"{epochs[0]['processor_s']:.1f}" if epochs else "-", f"{statistics.mean(each):.2f}" if each else "-",
            "-" if best is None else f"{best:.2%}",
        ])  # fmt: skip
    authors = (
        f"; authors: the program with which the recipe was published ({HOME}), compiled by "
        "TorchScript"
    )
    lines = [
        f"# Time to reach {results['goal']:.0%} with `{results['recipe']}`", "",
        "Validation accuracy is measured after each epoch. srnn: the CPU backend; eager: the same "
        "network and settings in "
        "plain PyTorch, with a Python loop over time (this project's reference backend)"
        f"{authors if any(record['way'] == 'authors' for record in records) else ''}. Processor "
        "time is that of all threads "
        f"together ({results['threads']}), without other work on the machine. All times include "
        "reading the data, fetching "
        "compiled loops, and validation. For later epochs the mean is given.", "",
        *markdown_table(
            [
                "seed", "program", "processor time, s", "elapsed, s", "epochs", "batches", "first epoch, s", "later epochs, s",
                "best",
            ],
            rows,
        ), "",
    ]  # fmt: skip
    lines += [line for way, who in OTHERS.items() for line in compared(records, way, who)]
    commands = ", ".join(f"`{command}`" for command in results["commands"])
    return "\n".join([*lines, f"{results['machine']['cpu']}. Made by {commands}.", ""])


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.to_accuracy",
        description="time until a network reaches an accuracy, compared with eager PyTorch",
    )
    parser.add_argument("recipe", help="what is trained")
    parser.add_argument("goal", type=float, help="validation accuracy to reach, for example 0.83")
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=[*WAYS],
        default=["srnn", "eager"],
        help="programs to compare (default: srnn eager)",
    )
    parser.add_argument(
        "--checkout", type=Path, metavar="FOLDER", help=f"for authors: a clone of {HOME}"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument(
        "--limit",
        type=float,
        default=1800.0,
        help="seconds of processor time that a training may take (default: 1800)",
    )
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="default: torch's"
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="FOLDER", help="the data sets (default: SRNN_DATA)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="default: results/to-accuracy-RECIPE"
    )
    options = parser.parse_args(words)
    named = (
        options.recipe.removeprefix("paper/")
        .removeprefix("recipes/")
        .removesuffix(".yaml")
        .replace("/", "-")
    )
    out = options.out or ROOT / "results" / f"to-accuracy-{named}"
    path, same = (
        out / "to-accuracy.json",
        {"recipe": options.recipe, "goal": options.goal, "threads": options.threads},
    )
    earlier = json.loads(path.read_text()) if path.is_file() else {}
    if any(earlier.get(name) != value for name, value in same.items()):
        earlier = {"commands": [], "records": []}
    command = " ".join(
        ["python -m benchmarks.to_accuracy", *(sys.argv[1:] if words is None else words)]
    )
    records: list[dict[str, Any]] = earlier["records"]
    results = {
        **same,
        "machine": describe(),
        "commands": [*earlier["commands"], command],
        "records": records,
    }
    out.mkdir(parents=True, exist_ok=True)
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        for seed in options.seeds:
            for way in options.ways:
                record = measure(
                    options.recipe,
                    options.goal,
                    way,
                    seed,
                    options.limit,
                    options.data_dir,
                    options.checkout,
                )
                records[:] = [
                    other for other in records if (other["way"], other["seed"]) != (way, seed)
                ] + [record]
                records.sort(key=lambda record: (record["seed"], [*WAYS].index(record["way"])))
                print(
                    {name: value for name, value in record.items() if name != "epochs"}, flush=True
                )
                path.write_text(json.dumps(results, indent=1) + "\n")
                (out / "README.md").write_text(page(results))
    finally:
        torch.set_num_threads(before)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
