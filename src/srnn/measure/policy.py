"""Early exit: decide as soon as the network is sure enough, instead of at the end.

    policy = ExitPolicy.load(Path("runs/digits/exit-policy.json"))
    policy.decide(output)                       # (B, T, C) at once: at which step, which class
    deciding = policy.begin()                   # one step at a time, with a srnn.Stream
    while (decision := deciding.push(stream.push(x_t))) is None: ...

``exits.py`` chooses a policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError, naming
from ..files import read_json, write_json
from ..nn.decision import RULES, Decisions
from ..registry import check_settings
from ..text import brief
from .scores import RunningScores, Scores, confidences, running_scores

if TYPE_CHECKING:
    from .analysis.changes import Counts, Flags


@dataclass(frozen=True)
class ExitPolicy:
    """When to decide. Holds all that is needed to apply it to a network's output, and its origin; saved as a small JSON file."""

    loss: str
    """The recipe's loss, which says how the output becomes scores."""
    start: int = 0
    """The recipe's ``loss.start``."""
    confidence: float | None = None
    """Decide when the confidence in a class is at least this; None: never before the end."""
    margin: float = 0.0
    """Least difference between that confidence and the confidence in any other class."""
    patience: int = 1
    """Number of consecutive steps for which the same class must satisfy both conditions."""
    earliest: int = 1
    """Least number of steps to read before deciding; of these only the last one counts towards the patience."""
    chosen_on: str | None = None
    """The split on which it was chosen."""
    allowed_loss: float | None = None
    """Accuracy that the policy was allowed to lose there."""

    def __post_init__(self) -> None:
        def require(good: bool, name: str, rule: str) -> None:
            if not good:
                raise SrnnError(f"An exit policy's {name} must be {rule}, not {brief(getattr(self, name))}.")

        losses = [name for name, rule in RULES.items() if not rule.per_step]
        require(self.loss in losses, "loss", f"one of {', '.join(losses)}")
        require(_whole(self.start, 0), "start", "an integer, at least 0")
        require(_whole(self.patience, 1), "patience", "an integer, at least 1")
        require(_whole(self.earliest, 1), "earliest", "an integer, at least 1")
        require(self.confidence is None or _share(self.confidence), "confidence", "a number from 0 to 1, or null")
        require(_share(self.margin), "margin", "a number from 0 to 1")
        require(self.allowed_loss is None or _share(self.allowed_loss), "allowed_loss", "a number from 0 to 1")

    def decide(self, output: npt.ArrayLike, lengths: npt.ArrayLike | None = None) -> Decisions:
        """The output for whole sequences, (B, T, C) or (T, C), and their numbers of valid steps (B,) -> the decisions.

        A row for each sequence, at the step at which it is decided; final where the policy decided it, not its end. Of a
        single sequence (T, C), each column is one value.
        """
        x = np.asarray(output, np.float64)
        one = x.ndim == 2
        x = x[None] if one else x
        if x.ndim != 3 or 0 in x.shape:
            raise SrnnError(f"decide takes output of shape (sequences, steps, classes), not {np.shape(output)}.")
        last = np.full(len(x), x.shape[1] - 1) if lengths is None else np.atleast_1d(np.asarray(lengths)) - 1
        if last.shape != (len(x),) or last.min() < 0 or last.max() >= x.shape[1]:
            raise SrnnError(f"lengths must be {len(x)} numbers from 1 to {x.shape[1]}.")
        scores = running_scores(x, self.loss, self.start)
        nothing = np.zeros(len(x), np.int64)
        _, sure_for = self.judged(scores, np.arange(1, x.shape[1] + 1), nothing, nothing)
        exits = (sure_for >= self.patience) & (np.arange(x.shape[1]) <= last[:, None])
        at = np.where(exits.any(1), exits.argmax(1), last)
        decisions = Decisions(at, scores[np.arange(len(x)), at], exits.any(1))
        return Decisions(*(part[0] for part in decisions)) if one else decisions

    def begin(self, streams: int | None = None) -> Deciding:
        """Decide one step at a time, for one stream or for ``streams`` of them."""
        return Deciding(self, streams)

    def sure(self, believed: Scores, read: Counts | None = None) -> Flags:
        """Confidences (..., C) -> (...): whether ``confidence``, ``margin`` and ``earliest`` are reached.

        ``read`` (...): number of steps read so far, 1 at the first; a policy with an ``earliest`` needs it (else SrnnError).
        """
        if self.confidence is None:
            return np.zeros(believed.shape[:-1], bool)
        if read is None and self.earliest > 1:
            raise SrnnError(f"This exit policy waits for step {self.earliest}; pass the number of steps read so far.")
        in_time = True if read is None else read >= self.earliest
        if believed.shape[-1] == 1:
            return in_time & (believed[..., 0] >= self.confidence)
        top = np.partition(believed, -2, axis=-1)
        return in_time & (top[..., -1] >= self.confidence) & (top[..., -1] - top[..., -2] >= self.margin)

    def judged(self, scores: Scores, read: Counts, before: Counts, count: Counts) -> tuple[Counts, Counts]:
        """Scores (B, T, C) after each of the next T steps -> the classes (B, T), and for how many steps in a row the policy
        has been sure of them (B, T): it decides at the first that reaches its patience.

        Args:
            read: (T,) or (B, T) number of steps read so far, 1 at the first.
            before, count: (B,) the two of the step before; anything and 0 before a sequence.
        """
        classes = scores.argmax(-1)
        sure = self.sure(confidences(scores, self.loss), read)
        return classes, in_a_row(classes, sure, before, count)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Any, source: str = "This") -> ExitPolicy:
        """The policy described by the content of ``to_dict``. SrnnError for anything else; ``source`` names it in the message."""
        if not isinstance(content, dict) or "loss" not in content:
            raise SrnnError(
                f"{source} is not an exit policy: it must be a JSON object with a loss, as written by 'srnn evaluate --full'."
            )
        with naming(source):
            check_settings("An exit policy has", content, [item.name for item in fields(cls)])
            return cls(**content)

    @classmethod
    def load(cls, path: Path | str) -> ExitPolicy:
        """Read a policy from its JSON file. SrnnError when it cannot be read or is not a policy."""
        return cls.from_dict(read_json(Path(path), "an exit policy"), str(path))

    def save(self, path: Path | str) -> None:
        """Write the policy as JSON, atomically."""
        write_json(Path(path), self.to_dict(), named=True)


class Deciding:
    """A policy applied to streams, step by step. Made by ``ExitPolicy.begin``."""

    def __init__(self, policy: ExitPolicy, streams: int | None) -> None:
        if streams is not None and not _whole(streams, 1):
            raise SrnnError(f"streams must be an integer, at least 1, or None, not {streams!r}.")
        self.policy, self.streams = policy, streams
        count = 1 if streams is None else streams
        self._scores: RunningScores | None = None
        self._before, self._row = np.full(count, -1), np.zeros(count, np.int64)
        self.classes = np.full(count, -1)
        """(streams,) the class decided for each stream, -1 while undecided."""
        self.guesses = np.full(count, -1)
        """(streams,) the class that would be decided for each stream now."""

    def push(self, output: npt.ArrayLike, active: npt.ArrayLike | None = None) -> Any:
        """The network's output at the next step: (C,) -> the class once it is decided, else None.

        With ``streams=n``: (n, C) -> (n,) classes, -1 where undecided; only streams where the mask ``active`` (n,) is True take
        part. A decision is kept until ``reset``.
        """
        x = np.asarray(output, np.float64)
        count = len(self.classes)
        x = x[None] if self.streams is None and x.ndim == 1 else x
        if x.ndim != 2 or len(x) != count or not x.shape[1]:
            raise SrnnError(
                f"push takes the output of one step, for {count} stream(s), not an array of shape {np.shape(output)}."
            )
        mask = np.ones(count, bool) if active is None else np.asarray(active)
        if mask.shape != (count,) or mask.dtype != bool:
            raise SrnnError(f"active must be {count} booleans, one for each stream.")
        if self._scores is None:
            self._scores = RunningScores(self.policy.loss, self.policy.start, count, x.shape[1])
        which = np.flatnonzero(mask)
        scores = self._scores.push(x[which, None], which)
        read = self._scores.steps[which, None]
        classes, rows = self.policy.judged(scores, read, self._before[which], self._row[which])
        guess, row = classes[:, 0], rows[:, 0]
        self._row[which], self._before[which], self.guesses[which] = row, guess, guess
        decided = (row >= self.policy.patience) & (self.classes[which] < 0)
        self.classes[which[decided]] = guess[decided]
        if self.streams is None:
            return int(self.classes[0]) if self.classes[0] >= 0 else None
        return self.classes.copy()

    def reset(self, active: npt.ArrayLike | None = None) -> None:
        """Begin a new sequence in all streams, or where a mask (n,) is True."""
        which = np.arange(len(self.classes)) if active is None else np.flatnonzero(np.asarray(active))
        self._before[which], self._row[which], self.classes[which], self.guesses[which] = -1, 0, -1, -1
        if self._scores is not None:
            self._scores.reset(which)


def in_a_row(predicted: Counts, sure: Flags, before: Counts, count: Counts) -> Counts:
    """(B, T): for how many consecutive steps the same class has been sure.

    Args:
        predicted, sure: (B, T) the class at each step, and whether the network is sure of it.
        before, count: (B,) for the step before: its class, and the number of such steps up to it (0 before a sequence).
    """
    step = np.arange(predicted.shape[1])
    held = np.column_stack([count > 0, sure[:, :-1]])
    goes_on = sure & held & (predicted == np.column_stack([before, predicted[:, :-1]]))
    begun = np.maximum.accumulate(np.where(goes_on, -count[:, None], step), axis=1)
    return np.where(sure, step - begun + 1, 0)


def first_exit(
    predicted: Counts, sure: Flags, patiences: Sequence[int], earliest: Sequence[int] = (1,)
) -> list[Counts]:
    """The first step (B,) at which the same class has been sure for ``patience`` consecutive steps, none of them before step
    number ``earliest`` (from 1); -1: never. For each patience, and within it for each earliest."""
    nothing = np.zeros(len(sure), np.int64)
    counts, steps = in_a_row(predicted, sure, nothing, nothing), []
    for patience in patiences:
        long_enough = counts >= patience
        for first in earliest:
            begin = first + patience - 2
            hit = long_enough[:, begin:]
            steps.append(np.where(hit.any(1), hit.argmax(1) + begin, -1) if hit.shape[1] else np.full(len(hit), -1))
    return steps


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**31


def _share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
