"""Early exit: decide as soon as the network is sure enough, instead of at the end. A policy is a
record of when an answer stands (``nn.decision.StoppingCriterion``) for one loss, with its origin.

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
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError, naming, require
from ..files import read_json, write_json
from ..files.bounds import Between, Fraction
from ..files.conversion import CheckedSettings, check
from ..nn.decision import RULES, Decisions, StoppingCriterion, StoppingState, in_a_row
from ..nn.scores import RunningScores, Scores, running_scores
from ..registry import check_settings

if TYPE_CHECKING:
    from ..nn.loss_config import LossConfig
    from .trained import Trained


Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_Streams = Annotated[int, Between(1, 2**31 - 1)] | None


@dataclass(frozen=True)
class ExitPolicy(CheckedSettings):
    """When to decide. Holds all that is needed to apply it to a network's output, and its origin;
    saved as a small JSON file."""

    loss: str
    """The recipe's loss, by which the output becomes scores."""
    start: Annotated[int, Between(0, 2**31 - 1)] = 0
    """The recipe's ``loss.start``."""
    confidence: Fraction | None = None
    """Decide when the confidence in a class is at least this; None: never before the end."""
    margin: Fraction = 0.0
    """Least difference between that confidence and the confidence in any other class."""
    patience: Annotated[int, Between(1, 2**31 - 1)] = 1
    """Number of consecutive steps for which the same class must satisfy both conditions."""
    earliest: Annotated[int, Between(1, 2**31 - 1)] = 1
    """Least number of steps to read before deciding; of these only the last one counts towards the
    patience."""
    chosen_on: str | None = None
    """The split on which it was chosen."""
    allowed_loss: Fraction | None = None
    """Accuracy that the policy was allowed to lose there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        losses = [name for name, rule in RULES.items() if not (rule.per_step or rule.value)]
        require(self.loss in losses, "loss", f"one of {', '.join(losses)}", self.loss)

    def decide(self, output: npt.ArrayLike, lengths: npt.ArrayLike | None = None) -> Decisions:
        """Decide whole sequences.

        Args:
            output: (B, T, C) what a network gave for them; or (T, C) for a single one.
            lengths: (B,) valid steps; None: all T.

        Returns:
            A row for each sequence, at the step at which it is decided; final where the policy
            decided it, not its end. Of a single sequence (T, C), each column is one value.

        Raises:
            SrnnError: ``data`` for arrays of another shape.
        """
        x = np.asarray(output, np.float64)
        one = x.ndim == 2
        x = x[None] if one else x
        if x.ndim != 3 or 0 in x.shape:
            raise SrnnError(
                f"decide takes output of shape (sequences, steps, classes), not {np.shape(output)}.",
                "data",
                "output",
            )
        if lengths is None:
            last = np.full(len(x), x.shape[1] - 1)
        else:
            last = np.atleast_1d(np.asarray(lengths)) - 1
        if last.shape != (len(x),) or last.min() < 0 or last.max() >= x.shape[1]:
            message = f"lengths must be {len(x)} numbers from 1 to {x.shape[1]}."
            raise SrnnError(message, "data", "lengths")
        scores = running_scores(x, self.loss, self.start)
        stopping = StoppingState(self.until, RULES[self.loss], len(x), x.shape[-1])
        _, met = stopping.push(scores, np.arange(x.shape[1]))
        exits = met & (np.arange(x.shape[1]) <= last[:, None])
        at = np.where(exits.any(1), exits.argmax(1), last)
        decisions = Decisions(at, scores[np.arange(len(x)), at], exits.any(1))
        if not one:
            return decisions
        return Decisions(*(part[0] for part in decisions))

    def begin(self, streams: int | None = None) -> Deciding:
        """Decide one step at a time, for one stream or for ``streams`` of them."""
        return Deciding(self, streams)

    def confident(self, confidences: Scores, read: Counts | None = None) -> Flags:
        """Where ``confidence``, ``margin`` and ``earliest`` are reached.

        Args:
            confidences: (..., C) the confidence in each class.
            read: (...) steps read so far, 1 at the first; a policy with an ``earliest`` needs it.

        Returns:
            (...) whether they are.

        Raises:
            SrnnError: ``missing`` without ``read`` where it is needed.
        """
        if read is None and self.earliest > 1:
            raise SrnnError(
                f"This exit policy waits for step {self.earliest}; pass the number of steps read.",
                "missing",
                "read",
            )
        return self.until.confident(confidences, read)

    @property
    def until(self) -> StoppingCriterion:
        """When an answer stands."""
        return StoppingCriterion(self.confidence, self.margin, self.patience, self.earliest)

    def check(self, loss: LossConfig) -> None:
        """SrnnError unless it is for networks with this loss."""
        if (self.loss, self.start) != (loss.scoring, loss.start):
            raise SrnnError(
                f"The exit policy is for loss {self.loss} from step {self.start}, not for this "
                "network's.",
                "conflict",
                "loss",
            )

    @classmethod
    def of(cls, trained: Trained) -> ExitPolicy | None:
        """The model's own policy; None: it has none. SrnnError for one that is damaged or another
        network's."""
        if trained.policy is None:
            return None
        policy = cls.from_dict(dict(trained.policy), f"The exit policy of {trained.name}")
        policy.check(trained.recipe.loss)
        return policy

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Any, source: str = "This") -> ExitPolicy:
        """The policy with the given settings.

        Args:
            content: as ``to_dict`` returned it.
            source: what it is from, such as a file's path, which begins the message of an error.

        Returns:
            The policy.

        Raises:
            SrnnError: ``file`` for anything else; ``name`` or ``value`` for a wrong setting.
        """
        if not isinstance(content, dict) or "loss" not in content:
            raise SrnnError(
                f"{source} is not an exit policy: it must be a JSON object with a loss, as written "
                "by 'srnn evaluate --full'.",
                "file",
                source,
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
    """A policy applied to streams, step by step. Made by ``ExitPolicy.begin``.

    Args:
        policy: when to decide.
        streams: how many streams; None: one, whose arrays lack the axis of streams.
    """

    def __init__(self, policy: ExitPolicy, streams: int | None) -> None:
        self.policy, self.streams = policy, check("streams", streams, _Streams)
        count = self.streams or 1
        self._scores: RunningScores | None = None
        self._stopping: StoppingState | None = None
        self.classes = np.full(count, -1)
        """(streams,) the class decided for each stream, -1 while undecided."""
        self.guesses = np.full(count, -1)
        """(streams,) the class that would be decided for each stream now."""

    def push(self, output: npt.ArrayLike, active: npt.ArrayLike | None = None) -> Any:
        """Read the network's output at the next step.

        Args:
            output: (C,), or (n, C) with ``streams=n``.
            active: (n,) a mask of the streams that take part; None: all.

        Returns:
            The class once it is decided, else None; with ``streams=n`` (n,) classes, -1 where
            undecided. A decision is kept until ``reset``.

        Raises:
            SrnnError: ``data`` for arrays of another shape.
        """
        x = np.asarray(output, np.float64)
        count = len(self.classes)
        if self.streams is None and x.ndim == 1:
            x = x[None]
        if x.ndim != 2 or len(x) != count or not x.shape[1]:
            expected = f"the output of one step, for {count} stream(s)"
            message = f"push takes {expected}, not an array of shape {np.shape(output)}."
            raise SrnnError(message, "data", "output")
        if active is None:
            mask = np.ones(count, bool)
        else:
            mask = np.asarray(active)
        if mask.shape != (count,) or mask.dtype != bool:
            message = f"active must be {count} booleans, one for each stream."
            raise SrnnError(message, "data", "active")
        if self._scores is None or self._stopping is None:
            policy = self.policy
            self._scores = RunningScores(policy.loss, policy.start, count, x.shape[1])
            self._stopping = StoppingState(policy.until, RULES[policy.loss], count, x.shape[1])
        which = np.flatnonzero(mask)
        scores = self._scores.push(x[which, None], which)
        _, met = self._stopping.push(scores, self._scores.steps[which, None] - 1, which)
        guess = self.guesses[which] = self._stopping.classes[which]
        decided = met[:, 0] & (self.classes[which] < 0)
        self.classes[which[decided]] = guess[decided]
        if self.streams is None:
            if self.classes[0] >= 0:
                return int(self.classes[0])
            return None
        return self.classes.copy()

    def reset(self, active: npt.ArrayLike | None = None) -> None:
        """Begin a new sequence in all streams, or where a mask (n,) is True."""
        if active is None:
            which = np.arange(len(self.classes))
        else:
            which = np.flatnonzero(np.asarray(active))
        self.classes[which], self.guesses[which] = -1, -1
        if self._scores is not None and self._stopping is not None:
            self._scores.reset(which)
            self._stopping.reset(which)


def first_exit(
    predicted: Counts, confident: Flags, patiences: Sequence[int], earliest: Sequence[int] = (1,)
) -> list[Counts]:
    """The first step at which the same class has been sure for ``patience`` consecutive steps, none
    of them before step number ``earliest``.

    Args:
        predicted: (B, T) classes.
        confident: (B, T) whether each is sure.
        patiences: the patiences to try.
        earliest: the first step numbers (from 1) to try.

    Returns:
        (B,) steps (from 0), -1: never; for each patience, and within it for each earliest.
    """
    nothing = np.zeros(len(confident), np.int64)
    counts, steps = in_a_row(predicted, confident, nothing, nothing), []
    for patience in patiences:
        long_enough = counts >= patience
        for first in earliest:
            begin = first + patience - 2
            hit = long_enough[:, begin:]
            if hit.shape[1]:
                steps.append(np.where(hit.any(1), hit.argmax(1) + begin, -1))
            else:
                steps.append(np.full(len(hit), -1))
    return steps
