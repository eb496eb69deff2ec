"""What a few labels of a new subject are worth: accuracy before and after learning 1, 5, 20 of
them, subject by subject.

Each subject's recordings are one stream, in the order of the split if every step has a class,
otherwise in an order drawn from a seed (data are often sorted by class). The subject's first labels
are learnt in order, by one step each; the accuracy is measured on all labels after the last one
that any of the compared networks learns, so that all numbers of a subject are of the same steps,
and nothing is chosen on what is scored. A label belongs to a sequence or, if every step has a
class, to a cycle of classes (a heartbeat), which ends where its first class comes again.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..data.batches import Sequences
from ..data.datasets import SplitName
from ..errors import SrnnError
from ..model.trained import Trained
from ..text import markdown, markdown_table
from ..training.adapting import Adaptation
from ..training.online import OnlineLearner

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class LabelledSteps:
    """The steps that one label belongs to."""

    x: Array
    """(T, inputs)."""
    y: Array
    """A class number, (), or one for each step, (T,)."""
    ends: bool
    """Whether a sequence ends with this piece."""


def cycles(x: Array, y: Array) -> list[LabelledSteps]:
    """Cut a stream whose labels come in cycles.

    Args:
        x: (T, inputs).
        y: (T,) classes, -1 where they are not known.

    Returns:
        One piece for each cycle.
    """
    labelled = y[y >= 0]
    if not len(labelled):
        return [LabelledSteps(x, y, False)]
    known = np.where(y < 0, 0, 1).cumsum()
    # The last known class before each step.
    before = np.concatenate([labelled[:1], labelled])[known - (y >= 0)]
    starts = np.flatnonzero((y == labelled[0]) & (before != labelled[0]))
    pairs = zip(np.split(x, starts), np.split(y, starts), strict=True)
    return [LabelledSteps(a, b, False) for a, b in pairs]


def joined(parts: Sequence[LabelledSteps]) -> list[LabelledSteps]:
    """Pieces of one sequence, joined into one piece."""
    if not parts or parts[0].ends:
        return list(parts)
    x, y = (np.concatenate(column) for column in zip(*((p.x, p.y) for p in parts), strict=True))
    return [LabelledSteps(x, y, False)]


def learn(learner: OnlineLearner, labelled: Sequence[LabelledSteps]) -> None:
    """Learn, by one step of the optimiser for each piece.

    Args:
        learner: what learns.
        labelled: the pieces, in order.
    """
    for piece in labelled:
        learner.observe(piece.x)
        learner.learn_label(piece.y)
        if piece.ends:
            learner.end()


def correct(
    trained: Trained, observed: Sequence[LabelledSteps], scored: Sequence[LabelledSteps]
) -> tuple[int, int]:
    """Score a network on a stream.

    Args:
        trained: the network.
        observed: the stream's first pieces, which are not scored.
        scored: the pieces that follow.

    Returns:
        How many of their labels are predicted, and how many there are.
    """
    network, right, counted = trained.spiking("scored").eval(), 0, 0
    observed, scored = joined(observed), joined(scored)
    state = initial = network.initial_state(1, torch.Generator().manual_seed(trained.seed))
    for number, piece in enumerate([*observed, *scored]):
        with torch.no_grad():
            x = torch.from_numpy(piece.x)[None].to(network.readout.weight_in.dtype)
            result = network.run(x, state)
        if piece.ends:
            state = initial
        else:
            state = result.state
        if number >= len(observed):
            labels = torch.from_numpy(np.asarray(piece.y)).long()[None]
            of_piece = trained.loss(result.output, labels)
            right, counted = right + of_piece.correct, counted + of_piece.counted
    return right, counted


def adaptation_curve(
    trained: Trained,
    split: SplitName,
    labels: Sequence[int],
    ways: Mapping[str, Adaptation],
    data_dir: Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Accuracy for every subject of a split: as trained, and after some of their labels.

    Args:
        trained: the network.
        split: whose subjects. Those with too few labels are left out, and counted.
        labels: numbers of labels that are learnt.
        ways: how they are learnt, by name.
        data_dir: where the data are.
        seed: draws the order of recordings that have one label each.

    Returns:
        A row for each subject, ready for JSON.

    Raises:
        SrnnError: ``data``: the data do not name subjects, or no subject has enough labels.
    """
    sequences = Sequences(trained.task, split, data_dir)
    if sequences.groups is None:
        problem = f"Task '{trained.task.name}' does not name the subjects of its recordings"
        raise SrnnError(f"{problem}; there are none to adapt to.", "data", "subjects")
    counts, rows, left_out = sorted(labels), list[dict[str, Any]](), 0
    for subject in sorted(set(sequences.groups.tolist())):
        parts, own = [], np.flatnonzero(sequences.groups == subject)
        for index in own if trained.loss.per_step else np.random.default_rng(seed).permutation(own):
            x, y = sequences.steps_of(int(index)), sequences.y[index]
            parts.append((x, y[: len(x)] if y.ndim else y))
        if trained.loss.per_step:
            stream = cycles(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        else:
            stream = [LabelledSteps(x, y, True) for x, y in parts]
        labelled, scored = stream[: counts[-1]], stream[counts[-1] :]
        if sum(int((np.asarray(piece.y) >= 0).any()) for piece in scored) < 2:
            left_out += 1
            continue
        right, counted = correct(trained, labelled, scored)
        row: dict[str, Any] = {
            "subject": subject,
            "scored_labels": counted,
            "before": right / counted,
        }
        for name, way in ways.items():
            learner, learnt = OnlineLearner(trained, way), 0
            for count in counts:
                learn(learner, labelled[learnt:count])
                learnt = count
                row[f"{name} {count}"] = correct(learner.trained(), labelled, scored)[0] / counted
        rows.append(row)
    if not rows:
        problem = f"No subject of the {split} split has more than {counts[-1]} labels; learn fewer."
        raise SrnnError(problem, "data", "labels")
    return {"split": split, "labels": counts, "left_out": left_out, "subjects": rows}


def curve_table(report: Mapping[str, Any], ways: Sequence[str]) -> list[str]:
    """The means and standard deviations over the subjects, of the accuracy and of the gain in it.

    Args:
        report: of ``adaptation_curve``.
        ways: the names of its ways, in the order of the rows.

    Returns:
        Lines of Markdown.
    """
    rows, before = [], [row["before"] for row in report["subjects"]]
    for name in ["before", *(f"{way} {count}" for way in ways for count in report["labels"])]:
        values = [row[name] for row in report["subjects"]]
        gains = [value - first for value, first in zip(values, before, strict=True)]
        better = sum(gain > 0 for gain in gains)
        rows.append([markdown(name), _spread(values), _spread(gains), f"{better} of {len(gains)}"])
    return markdown_table(
        ["what learns, labels", "accuracy, %", "gain, points", "subjects that gain"], rows
    )


def _spread(values: Sequence[float]) -> str:
    deviation = 0.0
    if len(values) > 1:
        deviation = statistics.stdev(values)
    return f"{100 * statistics.fmean(values):.2f} ± {100 * deviation:.2f}"
