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
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError, naming
from ..files import read_json, write_json
from ..nn.decision import RULES, Decisions, StoppingCriterion, StoppingState, in_a_row
from ..registry import check_settings
from ..text import brief
from .scores import RunningScores, Scores, running_scores

if TYPE_CHECKING:
    from ..nn.loss_config import LossConfig
    from ..training.trained import Trained
    from .analysis.changes import Counts, Flags


@dataclass(frozen=True)
class ExitPolicy:
    """When to decide. Holds all that is needed to apply it to a network's output, and its origin;
    saved as a small JSON file."""

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
    """Least number of steps to read before deciding; of these only the last one counts towards the
    patience."""
    chosen_on: str | None = None
    """The split on which it was chosen."""
    allowed_loss: float | None = None
    """Accuracy that the policy was allowed to lose there."""

    def __post_init__(self) -> None:
        def require(good: bool, name: str, rule: str) -> None:
            if not good:
                raise SrnnError(
                    f"An exit policy's {name} must be {rule}, not {brief(getattr(self, name))}."
                )

        losses = [name for name, rule in RULES.items() if not (rule.per_step or rule.value)]
        require(self.loss in losses, "loss", f"one of {', '.join(losses)}")
        require(_whole(self.start, 0), "start", "an integer, at least 0")
        require(_whole(self.patience, 1), "patience", "an integer, at least 1")
        require(_whole(self.earliest, 1), "earliest", "an integer, at least 1")
        require(
            self.confidence is None or _share(self.confidence),
            "confidence",
            "a number from 0 to 1, or null",
        )
        require(_share(self.margin), "margin", "a number from 0 to 1")
        require(
            self.allowed_loss is None or _share(self.allowed_loss),
            "allowed_loss",
            "a number from 0 to 1",
        )

    def decide(self, output: npt.ArrayLike, lengths: npt.ArrayLike | None = None) -> Decisions:
        """The output for whole sequences, (B, T, C) or (T, C), and their numbers of valid steps
        (B,) -> the decisions.

        A row for each sequence, at the step at which it is decided; final where the policy decided
        it, not its end. Of a single sequence (T, C), each column is one value.
        """
        x = np.asarray(output, np.float64)
        one = x.ndim == 2
        x = x[None] if one else x
        if x.ndim != 3 or 0 in x.shape:
            raise SrnnError(
                f"decide takes output of shape (sequences, steps, classes), not {np.shape(output)}."
            )
        if lengths is None:
            last = np.full(len(x), x.shape[1] - 1)
        else:
            last = np.atleast_1d(np.asarray(lengths)) - 1
        if last.shape != (len(x),) or last.min() < 0 or last.max() >= x.shape[1]:
            raise SrnnError(f"lengths must be {len(x)} numbers from 1 to {x.shape[1]}.")
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
        """Confidences (..., C) -> (...): whether ``confidence``, ``margin`` and ``earliest`` are
        reached.

        ``read`` (...): number of steps read so far, 1 at the first; a policy with an ``earliest``
        needs it (else SrnnError).
        """
        if read is None and self.earliest > 1:
            raise SrnnError(
                f"This exit policy waits for step {self.earliest}; pass the number of steps read "
                "so far."
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
                "network's."
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
        """The policy described by the content of ``to_dict``. SrnnError for anything else;
        ``source`` names it in the message."""
        if not isinstance(content, dict) or "loss" not in content:
            raise SrnnError(
                f"{source} is not an exit policy: it must be a JSON object with a loss, as written "
                "by 'srnn evaluate --full'."
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
        if streams is None:
            count = 1
        else:
            count = streams
        self._scores: RunningScores | None = None
        self._stopping: StoppingState | None = None
        self.classes = np.full(count, -1)
        """(streams,) the class decided for each stream, -1 while undecided."""
        self.guesses = np.full(count, -1)
        """(streams,) the class that would be decided for each stream now."""

    def push(self, output: npt.ArrayLike, active: npt.ArrayLike | None = None) -> Any:
        """The network's output at the next step: (C,) -> the class once it is decided, else None.

        With ``streams=n``: (n, C) -> (n,) classes, -1 where undecided; only streams where the mask
        ``active`` (n,) is True take part. A decision is kept until ``reset``.
        """
        x = np.asarray(output, np.float64)
        count = len(self.classes)
        if self.streams is None and x.ndim == 1:
            x = x[None]
        if x.ndim != 2 or len(x) != count or not x.shape[1]:
            raise SrnnError(
                f"push takes the output of one step, for {count} stream(s), not an array of shape "
                f"{np.shape(output)}."
            )
        if active is None:
            mask = np.ones(count, bool)
        else:
            mask = np.asarray(active)
        if mask.shape != (count,) or mask.dtype != bool:
            raise SrnnError(f"active must be {count} booleans, one for each stream.")
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
    """The first step (B,) at which the same class has been sure for ``patience`` consecutive steps,
    none of them before step number ``earliest`` (from 1); -1: never. For each patience, and within
    it for each earliest."""
    nothing = np.zeros(len(confident), np.int64)
    counts, steps = in_a_row(predicted, confident, nothing, nothing), []
    for patience in patiences:
        long_enough = counts >= patience
        for first in earliest:
            begin = first + patience - 2
            hit = long_enough[:, begin:]
            steps.append(
                np.where(hit.any(1), hit.argmax(1) + begin, -1)
                if hit.shape[1]
                else np.full(len(hit), -1)
            )
    return steps


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**31


def _share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
