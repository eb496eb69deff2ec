"""Keyword spotting: words in a signal that never ends. ``spotting_evaluation`` measures how many of
them a network detects.

spotter = Spotter(Decoder.of(srnn.load("speech-commands-mini")))
windows = spotter.push(block)                # Decisions: a row for each window's end; final where a word is detected

windows    as long as a training sequence, four at a time, a quarter of their length apart, each from the initial state, so that
           the network reads what it was trained on wherever a word begins
detection  a window whose class is a word, with a probability of at least ``threshold``, by the mean of the scores of the last
           ``smooth`` windows; then no other for the length of a window
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import Between, Fraction
from ...files.conversion import CheckedSettings, build, checking
from ...model.trained import Trained
from ...nn.decision import Decisions, StoppingCriterion, StoppingState
from .decoder import Array, Decoder

WINDOWS = 4
"""Windows open at a time."""


@dataclass(frozen=True)
class SpottingRule(CheckedSettings):
    """When a word is detected; stored with a network."""

    threshold: Fraction = 0.7
    """The least probability for a detection."""
    smooth: Annotated[int, Between(1, 100)] = 1
    """Number of windows whose scores are averaged."""
    chosen_on: str | None = None
    """The split on which the rule was chosen."""
    false_accepts: float | None = None
    """False accepts per hour that it was allowed there."""

    def until(self, decoder: Decoder) -> StoppingCriterion:
        """When a word is detected: its confidence is high enough, and the word before ended a window
        ago."""
        assert decoder.segment is not None
        words = tuple(number for number, name in enumerate(decoder.classes) if is_word(name))
        return StoppingCriterion(
            self.threshold, smooth=self.smooth, rest=decoder.segment, among=words
        )

    @classmethod
    def of(cls, trained: Trained) -> Self:
        """The network's own rule, or the default where it has none."""
        if trained.spotting is None:
            return cls()
        return cls.from_dict(trained.spotting, trained.name)

    @classmethod
    def from_dict(cls, content: Any, source: str) -> Self:
        """Read a rule.

        Args:
            content: as ``asdict`` returns it.
            source: where it is from, for messages.

        Returns:
            The rule.

        Raises:
            SrnnError: it is anything else.
        """
        with checking(source, "a spotting rule"):
            return build(cls, dict(content))


class Spotter:
    """The words of one stream.

    Args:
        decoder: with segments, which are the windows; a policy's early exits end them sooner.
        rule: when a word is detected; None: ``SpottingRule.of`` the network.

    Raises:
        SrnnError: ``unsupported``: the network does not classify words in time.
    """

    def __init__(self, decoder: Decoder, rule: SpottingRule | None = None) -> None:
        self._windows = Windows(decoder)
        if rule is None:
            rule = SpottingRule.of(decoder.trained)
        self.decoder = decoder
        self._front = decoder.open()  # only the first half of the session is used, its encoder
        self.steps = 0
        """Steps encoded from the samples since the stream's start."""
        self._detector = Detector(decoder, rule)

    def push(self, block: npt.ArrayLike) -> Decisions:
        """(samples, channels), any number of samples, or one sample (channels,) -> the windows that
        have ended.

        ``final``: a word is detected. SrnnError for a block that does not fit or is not finite.
        """
        return self._decide(self._front.encode(block))

    def finish(self) -> Decisions:
        """End the signal: the windows that ended in what the encoder held back. SrnnError if the
        last samples are missing."""
        return self._decide(self._front.flush()[1])

    @property
    def samples(self) -> int:
        """Samples pushed since the stream's start."""
        return self._front.samples

    def _decide(self, steps: Array) -> Decisions:
        self.steps += len(steps)
        return self._detector.push(*self._windows.push(steps))


class Windows:
    """Steps -> the scores of each window at its end, in order of time. SrnnError for a network that
    does not classify words in time."""

    def __init__(self, decoder: Decoder) -> None:
        if decoder.segment is None or decoder.signal.rate is None or decoder.step_seconds is None:
            problem = "Spotting words needs a network with one label per sound of a known length."
            raise SrnnError(problem, "unsupported")
        apart = max(1, decoder.segment // WINDOWS)
        self._late = [*range(0, decoder.segment, apart)]  # steps that each session still skips
        self._offsets, self._sessions = tuple(self._late), [decoder.open() for _ in self._late]

    def push(self, steps: Array) -> tuple[Array, Array]:
        """(T, inputs) -> the last step of each window that has ended (W,), and its class scores (W,
        classes)."""
        ends, scores = [], []
        for number, session in enumerate(self._sessions):
            late = self._late[number]
            known = session.decide(steps[late:])
            self._late[number] = max(0, late - len(steps))
            ends.append(known.steps[known.final] + self._offsets[number])
            scores.append(known.scores[known.final])
        order = np.argsort(np.concatenate(ends), kind="stable")
        return np.concatenate(ends)[order], np.concatenate(scores)[order]


class Detector:
    """Windows -> detections, by a rule."""

    def __init__(self, decoder: Decoder, rule: SpottingRule) -> None:
        until, outputs = rule.until(decoder), len(decoder.classes)
        self._stopping = StoppingState(until, decoder.loss.rule, 1, outputs)

    def push(self, ends: Array, scores: Array) -> Decisions:
        """Apply the rule to the next windows.

        Args:
            ends: (W,) the last step of each.
            scores: (W, classes).

        Returns:
            The windows, each with the mean of its scores and those of the windows before; final:
            a word is detected.
        """
        mean, met = self._stopping.push(scores[None], ends)
        return Decisions(ends, mean[0], met[0])


def is_word(name: str) -> bool:
    """Whether a class is a word to be detected: names such as _silence_ and _unknown_ stand for
    everything else."""
    return not name.startswith("_")
