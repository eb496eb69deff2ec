"""Keyword spotting: words in a signal that never ends, and how many of those of a split a network understands.

    spotter = Spotter(Decoder.of(srnn.load("speech-commands-mini")))
    heard = spotter.push(block)                  # Decisions: a row for each window's end; final where a word is detected

    windows    as long as a training sequence, four at a time, a quarter of their length apart, each from the initial state: so
               the network reads what it was trained on wherever a word begins
    detection  a window whose class is a word, with a probability of at least ``threshold``, by the mean of the scores of the last
               ``smooth`` windows; then none for the length of a window

Measured on a signal of all clips of a split, in an order drawn from a seed, with half a second to two of silence between them.
Scored in the manner of MLPerf Tiny's streaming wake word benchmark, with all words at once: a word is understood if the first
detection from its clip's beginning to half a window after its end names it, else it is a false reject; every other detection is
a false accept, of clips that hold no word, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ...data.datasets.base import Split
from ...errors import SrnnError
from ...files import reading
from ...files.conversion import convert
from ...text import brief
from .decoder import Decisions, Decoder

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95)
GAP = (0.5, 2.0)
"""Seconds between two clips."""
WINDOWS = 4
"""That are open at a time."""
_GRID = [round(0.3 + 0.05 * step, 2) for step in range(14)], (1, 2, 3)
"""Thresholds and numbers of windows among which a rule is chosen."""
CHOSEN_AT = (None, 20.0)
"""Decibels of noise at which it is chosen; None: without."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SpottingRule:
    """When a word is detected; stored with a network."""

    threshold: float = 0.7
    """Of the probability."""
    smooth: int = 1
    """Windows over whose scores the mean is taken."""
    chosen_on: str | None = None
    """The split on which it was chosen."""
    false_accepts: float | None = None
    """That it was allowed there, an hour."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise SrnnError(f"A spotting rule's threshold must be from 0 to 1, not {brief(self.threshold)}.")
        if not 1 <= self.smooth <= 100:
            raise SrnnError(f"A spotting rule's smooth must be an integer from 1 to 100, not {brief(self.smooth)}.")

    @classmethod
    def from_dict(cls, content: Any, source: str) -> Self:
        """From what ``asdict`` gave. SrnnError, which names the ``source``, for anything else."""
        hints = {"threshold": float, "smooth": int, "chosen_on": str | None, "false_accepts": float | None}
        with reading(source, "a spotting rule"):
            if not isinstance(content, Mapping) or not content.keys() <= hints.keys():
                raise ValueError("other keys than those of a spotting rule")
            return cls(**{name: convert(hints[name], value, name) for name, value in content.items()})


class Spotter:
    """The words of one stream.

    Args:
        decoder: with segments, which are the windows; a policy's early exits end them sooner.
        rule: when a word is detected; None: the network's own, or where it has none the default.

    SrnnError for a network that does not tell words in time.
    """

    def __init__(self, decoder: Decoder, rule: SpottingRule | None = None) -> None:
        if decoder.segment is None or decoder.signal.rate is None or decoder.step_seconds is None:
            raise SrnnError("Words are spotted by a network with one label for each sound, of a known length.")
        if rule is None:
            stored = decoder.trained.spotting
            rule = SpottingRule() if stored is None else SpottingRule.from_dict(stored, decoder.trained.name)
        self.decoder, self.rule, self.encoder = decoder, rule, decoder.signal.stream()
        self.samples = self.steps = 0
        """Pushed, and come out of them, since the stream's start."""
        self._windows = _Windows(decoder)
        self._detector = Detector(decoder, rule)

    def push(self, block: npt.ArrayLike) -> Decisions:
        """(samples, channels), any number of them -> the windows that have ended; final: a word is detected.

        SrnnError for a block that does not fit or is not finite.
        """
        steps = self.encoder.push(block)
        self.samples += len(np.asarray(block))
        return self._decide(steps)

    def finish(self) -> Decisions:
        """The signal ends: the windows that ended in what the encoder held back."""
        return self._decide(self.encoder.flush())

    def _decide(self, steps: Array) -> Decisions:
        self.steps += len(steps)
        return self._detector.push(*self._windows.push(steps))


class _Windows:
    """Steps -> the scores of each window at its end, in the order of time."""

    def __init__(self, decoder: Decoder) -> None:
        assert decoder.segment is not None
        apart = max(1, decoder.segment // WINDOWS)
        self._late = list(range(0, decoder.segment, apart))  # steps that each has still to leave out
        self._offsets, self._sessions = tuple(self._late), [decoder.open() for _ in self._late]

    def push(self, steps: Array) -> tuple[Array, Array]:
        """(T, inputs) -> the last step of each window (W,), and its classes' scores (W, classes)."""
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
        assert decoder.segment is not None
        self._decoder, self._rule, self._length = decoder, rule, decoder.segment
        self._words = np.array([is_word(name) for name in decoder.classes])
        self._past, self._last = np.zeros((0, len(decoder.classes))), -decoder.segment

    def push(self, ends: Array, scores: Array) -> Decisions:
        """The windows with the mean of their scores and those before; final: a word is detected."""
        smooth, before = self._rule.smooth, len(self._past)
        all_scores = np.concatenate([self._past, scores])
        rows = range(before, len(all_scores))
        mean = np.array([all_scores[max(0, at + 1 - smooth) : at + 1].mean(0) for at in rows]).reshape(scores.shape)
        self._past = all_scores[max(0, len(all_scores) - smooth + 1) :]
        final = np.zeros(len(ends), bool)
        believed = self._decoder.probabilities(mean)
        for row, (end, label) in enumerate(zip(ends.tolist(), believed.argmax(-1).tolist(), strict=True)):
            sure = self._words[label] and believed[row, label] >= self._rule.threshold
            if sure and end - self._last >= self._length:
                final[row], self._last = True, end
        return Decisions(ends, mean, final)


def is_word(name: str) -> bool:
    """Whether a class is one to be detected: names such as _silence_ and _unknown_ stand for all else."""
    return not name.startswith("_")


# ---- measured --------------------------------------------------------------------------------------------------------


class Clip(NamedTuple):
    """A clip in the signal: its first sample, the one after its last, its class."""

    start: int
    end: int
    label: int


@dataclass(frozen=True)
class Spotting:
    """What was understood of a signal."""

    seconds: float
    words: int
    rule: SpottingRule
    understood: int
    false_accepts: int
    mistaken: int
    """Of these, words that were taken for others; the rest was heard where no word is."""
    delays: tuple[float, ...]
    """Of each word that was understood, seconds from its clip's beginning until the network has decided; the encoder's latency
    is in it, computing is not."""

    @property
    def share(self) -> float:
        """Of the words, that which was understood."""
        return self.understood / max(1, self.words)

    @property
    def an_hour(self) -> float:
        """False accepts."""
        return 3600 * self.false_accepts / self.seconds

    def to_dict(self) -> dict[str, Any]:
        delays = np.percentile(self.delays, (50, 95)).tolist() if self.delays else [None, None]
        return {
            "seconds": round(self.seconds, 3), "words": self.words, "threshold": self.rule.threshold,
            "smooth": self.rule.smooth, "understood": self.understood, "false_rejects": self.words - self.understood,
            "false_accepts": self.false_accepts, "mistaken": self.mistaken, "false_accepts_an_hour": self.an_hour,
            "without_a_word_an_hour": 3600 * (self.false_accepts - self.mistaken) / self.seconds,
            "delay_seconds": {"p50": delays[0], "p95": delays[1]},
        }  # fmt: skip


def concatenated(
    split: Split, rate: float, seed: int = 0, noise_db: float | None = None
) -> tuple[npt.NDArray[np.float32], list[Clip]]:
    """All sounds of a split as one signal (samples, 1), and where each lies.

    ``noise_db``: white noise is added, so many decibels below the mean power of the clips; None: none. SrnnError for a split
    without sounds.
    """
    if split.signals is None or split.signals[0].shape[1] != 1:
        raise SrnnError("Words are spotted in sound, and the data of this task have none.")
    rng = np.random.default_rng(seed)
    parts, clips, at = [], list[Clip](), 0
    for index in rng.permutation(len(split.y)).tolist():
        sound = np.asarray(split.signals[index], np.float32)
        silence = np.zeros((round(rng.uniform(*GAP) * rate), 1), np.float32)
        at += len(silence)
        clips.append(Clip(at, at + len(sound), int(split.y[index])))
        parts += [silence, sound]
        at += len(sound)
    signal = np.concatenate(parts)
    if noise_db is not None:
        power = np.square(signal, dtype=np.float64).sum() / sum(clip.end - clip.start for clip in clips)
        signal = signal + rng.normal(0, np.sqrt(power * 10 ** (-noise_db / 10)), signal.shape).astype(np.float32)
    return signal, clips


class Heard(NamedTuple):
    """What the windows of a signal said."""

    seconds: float
    """Of the signal."""
    ends: Array
    scores: Array


def listen(decoder: Decoder, signal: npt.ArrayLike) -> Heard:
    """All windows of a signal (samples, 1). SrnnError for a network that does not tell words in time."""
    spotter, x = Spotter(decoder, SpottingRule()), np.asarray(signal)
    encoder, windows = spotter.encoder, spotter._windows
    parts = [windows.push(encoder.push(x[at : at + 2**15])) for at in range(0, len(x), 2**15)]
    ends, scores = zip(*parts, windows.push(encoder.flush()), strict=True)
    return Heard(len(x) / (decoder.signal.rate or 1.0), np.concatenate(ends), np.concatenate(scores))


def judge(decoder: Decoder, heard: Heard, clips: Sequence[Clip], rule: SpottingRule) -> Spotting:
    """What is understood by a rule."""
    rate, step, segment = decoder.signal.rate, decoder.step_seconds, decoder.segment
    assert rate is not None and step is not None and segment is not None
    known = Detector(decoder, rule).push(heard.ends, heard.scores)
    times, labels = (known.steps * step)[known.final].tolist(), known.winners[known.final].tolist()
    words = [is_word(name) for name in decoder.classes]
    understood, decided = dict[Clip, float](), set[Clip]()
    false = mistaken = place = 0
    for time, label in zip(times, labels, strict=True):
        while place + 1 < len(clips) and clips[place + 1].start / rate < time:
            place += 1
        clip = clips[place]
        begins = clip.start / rate
        within = begins < time <= clip.end / rate + segment * step / 2
        if within and clip not in decided and label == clip.label:
            understood[clip] = time + decoder.signal.latency - begins
        else:
            false += 1
            mistaken += within and clip not in decided and words[clip.label]
        if within:
            decided.add(clip)
    wanted = sum(words[clip.label] for clip in clips)
    return Spotting(heard.seconds, wanted, rule, len(understood), false, mistaken, tuple(understood.values()))


def choose(decoder: Decoder, split: Split, allowed: float, seed: int = 0) -> SpottingRule:
    """The rule that understands most words of a validation split, in the mean of the clean signal and 20 dB of noise, of those
    with at most so many false accepts an hour in their mean. The one with the fewest, if all have more.
    """
    signals = [concatenated(split, decoder.signal.rate or 1.0, seed, noise) for noise in CHOSEN_AT]
    heard = [(listen(decoder, signal), clips) for signal, clips in signals]

    def worth(rule: SpottingRule) -> tuple[float, float]:
        found = [judge(decoder, one, clips, rule) for one, clips in heard]
        false = sum(one.an_hour for one in found) / len(found)
        share = sum(one.share for one in found) / len(found)
        return (share, -false) if false <= allowed else (-1.0, -false)

    best = max((SpottingRule(threshold, smooth) for smooth in _GRID[1] for threshold in _GRID[0]), key=worth)
    return replace(best, chosen_on="validation", false_accepts=allowed)
