"""Early decisions with a stated risk: how much sooner a word or an exercise is named if that may cost
so many points of accuracy, and what it costs for people on whom the rule was not chosen.

    python -m benchmarks.early runs/movement   # writes results/any-time/early.json
    python -m benchmarks.early --table         # the tables of results/any-time/README.md from it

The folder holds networks that ``python -m benchmarks.people movement --runs FOLDER`` has kept: of
each seed, one for each fold, which knows none of its two people. Words are those of the pretrained
networks' validation, whose speakers are divided into four parts.

A rule (``srnn.model.exit_policy``) is chosen on three of the four parts, as ``srnn evaluate --full``
chooses one: the earliest on average that loses at most the stated points of accuracy there against
waiting for the end. It is checked on the people of the fourth, and every part has its turn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats

from srnn.data.batches import Sequences
from srnn.data.datasets.splitting import place
from srnn.measure.analysis.exits import ExitCounts
from srnn.measure.analysis.measuring import Prefixes, prefixes
from srnn.model.exit_policy import ExitPolicy, first_exit
from srnn.model.opening import open_trained
from srnn.model.trained import Trained
from srnn.text import markdown_table
from srnn.training.evaluation import run_batches

OUT = Path("results/any-time/early.json")
WORDS = ("speech-commands-mini", "speech-commands-live")
MOVEMENT = ("srnn", "lstm")
RISKS = (0.005, 0.01, 0.02, 0.05)
"""Accuracy that may be lost."""
PARTS = 4
TIMES = 8
"""How many points of time the curve has."""

Row = dict[str, Any]


class Part(NamedTuple):
    """What a network decides about some people at every step."""

    decisions: Prefixes
    true: np.ndarray
    people: np.ndarray


class Decided(NamedTuple):
    """What a rule makes of a part."""

    steps: np.ndarray
    """(N,) read before each decision."""
    right: np.ndarray
    people: np.ndarray


def parts_of(trained: Trained, parts: int) -> list[Part]:
    """The validation split, its people divided into equal parts in the order of ``place``."""
    sequences = Sequences(trained.task, "validation")
    assert sequences.groups is not None
    found = []
    for batch, result in run_batches(
        trained.network, sequences.batches(len(sequences)), seed=trained.seed
    ):
        found.append(prefixes(trained.loss, result.output, batch.lengths))
    names = sorted({str(name) for name in sequences.groups}, key=place)
    number = {name: index * parts // len(names) for index, name in enumerate(names)}
    people = np.array([str(name) for name in sequences.groups])
    of = np.array([number[name] for name in people])
    (decisions,) = found
    return [
        Part(
            Prefixes(
                decisions.predicted[of == part],
                decisions.confidence[of == part],
                decisions.margin[of == part],
                decisions.last[of == part],
            ),
            np.asarray(sequences.y)[of == part],
            people[of == part],
        )
        for part in range(parts)
    ]


def choose(parts: Iterable[Part], trained: Trained, risk: float) -> ExitPolicy:
    """The rule for these people."""
    given = [*parts]
    counts = ExitCounts(trained.loss, max(part.decisions.predicted.shape[1] for part in given))
    for part in given:
        counts.add(part.decisions, part.true)
    return counts.choose(risk, "validation")


def decide(part: Part, policy: ExitPolicy) -> Decided:
    """The rule on a part."""
    decisions = part.decisions
    rows = np.arange(len(part.true))
    steps = np.arange(decisions.predicted.shape[1])
    at = np.full(len(rows), -1)
    if policy.confidence is not None:
        sure = (decisions.confidence >= policy.confidence) & (steps <= decisions.last[:, None])
        (at,) = first_exit(decisions.predicted, sure, (policy.patience,), (policy.earliest,))
    at = np.where(at < 0, decisions.last, at)
    return Decided(at + 1, decisions.predicted[rows, at] == part.true, part.people)


def measure(trained: Trained, seeds: Sequence[Sequence[Part]]) -> Row:
    """The curve over time, and each risk: of the parts of one network, or of the networks of several
    seeds."""
    step_s = (trained.task.step_ms or 0.0) / 1000
    parts = [part for one in seeds for part in one]
    steps = max(part.decisions.predicted.shape[1] for part in parts)
    at = [round(steps * (point + 1) / TIMES) for point in range(TIMES)]
    curve = {
        f"{step * step_s:.2f}": share(
            [Decided(part.true, correct(part, step - 1), part.people) for part in parts]
        )
        for step in at
    }
    ends = [Decided(part.decisions.last + 1, correct(part, -1), part.people) for part in parts]
    rows = []
    for risk in RISKS:
        found = [
            decide(part, choose((other for other in one if other is not part), trained, risk))
            for one in seeds
            for part in one
        ]
        read = np.concatenate([one.steps for one in found])
        end = np.concatenate([one.steps for one in ends])
        loss, half = lost(ends, found)
        rows.append(
            {
                "risk": risk,
                "seconds": round(float(read.mean()) * step_s, 3),
                "early": round(float((read < end).mean()), 4),
                "accuracy": share(found),
                "lost": loss,
                "interval": half,
            }
        )
    return {
        "sequences": sum(len(part.true) for part in seeds[0]),
        "people": len(np.unique(np.concatenate([one.people for one in ends]))),
        "seeds": len(seeds),
        "seconds": round(steps * step_s, 3),
        "curve": curve,
        "accuracy": share(ends),
        "risks": rows,
    }


def correct(part: Part, step: int) -> np.ndarray:
    return part.decisions.predicted[:, step] == part.true


def share(found: Iterable[Decided]) -> float:
    """The accuracy over all sequences."""
    return round(float(np.concatenate([one.right for one in found]).mean()), 4)


def lost(ends: Sequence[Decided], found: Sequence[Decided]) -> tuple[float, float]:
    """How much accuracy is lost, and half of its 95 % interval over people (Student's t; each counts
    by his or her sequences)."""
    difference = np.concatenate(
        [end.right.astype(float) - one.right for end, one in zip(ends, found, strict=True)]
    )
    people = np.concatenate([one.people for one in ends])
    mean = difference.mean()
    apart = [(difference[people == name] - mean).sum() for name in np.unique(people)]
    error = np.sqrt(np.square(apart).sum() * len(apart) / (len(apart) - 1)) / len(difference)
    half = stats.t.ppf(0.975, len(apart) - 1) * error
    return round(float(mean), 4), round(float(half), 4)


def of_words(name: str) -> Row:
    trained = open_trained(name)
    return measure(trained, [parts_of(trained, PARTS)])


def of_movement(runs: Path, family: str) -> Row:
    """The networks of every seed and fold that are kept for a family."""
    files = sorted(runs.glob(f"{family}, *.safetensors"))
    kept: dict[str, list[Part]] = {}
    trained = None
    for file in files:
        trained = open_trained(file)
        kept.setdefault(file.stem.rpartition(", ")[2], []).extend(parts_of(trained, 1))
    if trained is None:
        raise SystemExit(f"{runs} holds no network of {family}.")
    return measure(trained, [*kept.values()])


def curves_table(rows: dict[str, Row]) -> str:
    lines = []
    for name, row in rows.items():
        cells = [f"{100 * accuracy:.1f}" for accuracy in row["curve"].values()]
        lines.append([name, f"{row['seconds']:g} s", *cells])
    eighths = [f"{point + 1}/{TIMES}" for point in range(TIMES)]
    return "\n".join(markdown_table(("network", "all of it", *eighths), lines))


def risks_table(rows: dict[str, Row]) -> str:
    columns = ("network", "may cost", "costs", "accuracy", "decides after", "of", "before the end")
    lines = []
    for name, row in rows.items():
        for risk in row["risks"]:
            lines.append(
                [
                    name,
                    f"{100 * risk['risk']:g}",
                    f"{100 * risk['lost']:.1f} ± {100 * risk['interval']:.1f}",
                    f"{100 * risk['accuracy']:.1f}",
                    f"{risk['seconds']:.2f} s",
                    f"{row['seconds']:g} s",
                    f"{100 * risk['early']:.0f} %",
                ]
            )
    return "\n".join(markdown_table(columns, lines))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="?", type=Path, help="networks of benchmarks.people movement")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--table", action="store_true", help="print the tables of what is there")
    given = parser.parse_args()
    if given.table:
        rows = json.loads(given.out.read_text())
        print(curves_table(rows), risks_table(rows), sep="\n\n")
        return
    torch.set_num_threads(1)
    rows = {name: of_words(name) for name in WORDS}
    if given.runs is not None:
        rows |= {f"movement, {family}": of_movement(given.runs, family) for family in MOVEMENT}
    given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
