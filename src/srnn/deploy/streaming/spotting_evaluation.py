"""How many of a split's words a network detects in one long signal, and the rule by which it
detects most.

    signal, clips = concatenated(split, rate)
    windows = score_windows(decoder, signal)
    evaluate_spotting(decoder, windows, clips, SpottingRule(0.8))

The signal holds all clips of a split, in an order drawn from a seed, with half a second to two
seconds of silence between them. Scoring follows MLPerf Tiny's streaming wake word benchmark, with
all words at once: a word is understood if the first detection from its clip's beginning to half a
window after its end names it, else it is a false reject; every other detection is a false accept,
even in a clip that holds no word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...data.datasets.base import Split
from ...errors import SrnnError
from .decoder import Decoder
from .spotting import Array, Detector, SpottingRule, Windows, is_word

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95)
GAP = (0.5, 2.0)
"""Seconds between two clips."""
GRID = [round(0.3 + 0.05 * step, 2) for step in range(14)], (1, 2, 3)
"""Thresholds and numbers of windows among which a rule is chosen."""
CHOSEN_AT = (None, 20.0)
"""Levels of noise at which a rule is chosen, in decibels below the clips; None: no noise."""


class Clip(NamedTuple):
    """A clip in the signal: its first sample, the sample after its last, and its class."""

    start: int
    end: int
    label: int


@dataclass(frozen=True)
class SpottingResult:
    """How much of a signal was detected."""

    seconds: float
    words: int
    rule: SpottingRule
    understood: int
    false_accepts: int
    mistaken: int
    """False accepts in which a word was taken for another; in the rest there was no word."""
    delays: tuple[float, ...]
    """Seconds from the beginning of each understood word's clip until the network has decided,
    including the encoder's latency but not the time for computing."""

    @property
    def share(self) -> float:
        """The fraction of the words that was understood."""
        return self.understood / max(1, self.words)

    @property
    def an_hour(self) -> float:
        """False accepts per hour."""
        return 3600 * self.false_accepts / self.seconds

    def to_dict(self) -> dict[str, Any]:
        if self.delays:
            delays = np.percentile(self.delays, (50, 95)).tolist()
        else:
            delays = [None, None]
        return {
            "seconds": round(self.seconds, 3),
            "words": self.words,
            "threshold": self.rule.threshold,
            "smooth": self.rule.smooth,
            "understood": self.understood,
            "false_rejects": self.words - self.understood,
            "false_accepts": self.false_accepts,
            "mistaken": self.mistaken,
            "false_accepts_an_hour": self.an_hour,
            "without_a_word_an_hour": 3600 * (self.false_accepts - self.mistaken) / self.seconds,
            "delay_seconds": {"p50": delays[0], "p95": delays[1]},
        }


def concatenated(
    split: Split, rate: float, seed: int = 0, noise_db: float | None = None
) -> tuple[npt.NDArray[np.float32], list[Clip]]:
    """All sounds of a split as one signal.

    Args:
        split: sounds with labels.
        rate: samples per second.
        seed: draws their order, the silence between them and the noise.
        noise_db: white noise is added, this many decibels below the mean power of the clips; None:
            no noise.

    Returns:
        The signal (samples, 1), and where each clip lies.

    Raises:
        SrnnError: ``data``: the split has no sounds.
    """
    if split.signals is None or split.signals[0].shape[1] != 1:
        problem = "Words are spotted in sound, but the data of this task contain none."
        raise SrnnError(problem, "data")
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
        count = sum(clip.end - clip.start for clip in clips)
        power = np.square(signal, dtype=np.float64).sum() / count
        deviation = np.sqrt(power * 10 ** (-noise_db / 10))
        signal = signal + rng.normal(0, deviation, signal.shape).astype(np.float32)
    return signal, clips


class ScoredWindows(NamedTuple):
    """The windows of a signal."""

    seconds: float
    """Length of the signal."""
    ends: Array
    """(W,) the last step of each."""
    scores: Array
    """(W, classes)."""


def score_windows(decoder: Decoder, signal: npt.ArrayLike) -> ScoredWindows:
    """Score all windows of a signal.

    Args:
        decoder: with segments, which are the windows.
        signal: (samples, 1).

    Returns:
        The windows.

    Raises:
        SrnnError: ``unsupported``: the network does not classify words in time.
    """
    windows, encoder, x = Windows(decoder), decoder.signal.stream(), np.asarray(signal)
    parts = [windows.push(encoder.push(x[at : at + 2**15])) for at in range(0, len(x), 2**15)]
    ends, scores = zip(*parts, windows.push(encoder.flush()), strict=True)
    seconds = len(x) / (decoder.signal.rate or 1.0)
    return ScoredWindows(seconds, np.concatenate(ends), np.concatenate(scores))


def evaluate_spotting(
    decoder: Decoder, windows: ScoredWindows, clips: Sequence[Clip], rule: SpottingRule
) -> SpottingResult:
    """Apply a rule to the windows of a signal, and compare its detections with the words.

    Args:
        decoder: that scored the windows.
        windows: of ``score_windows``.
        clips: where the words are.
        rule: when a word is detected.

    Returns:
        Detected words, false accepts and delays.
    """
    rate, step, segment = decoder.signal.rate, decoder.step_seconds, decoder.segment
    assert rate is not None and step is not None and segment is not None
    known = Detector(decoder, rule).push(windows.ends, windows.scores)
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
    return SpottingResult(
        windows.seconds, wanted, rule, len(understood), false, mistaken, tuple(understood.values())
    )


def choose_threshold(decoder: Decoder, split: Split, allowed: float, seed: int = 0) -> SpottingRule:
    """Choose the rule that detects most words, on average over the clean signal and 20 dB of noise.

    Args:
        decoder: of the network.
        split: the validation split.
        allowed: false accepts per hour, on average, that a rule may have; if all have more, the one
            with the fewest is chosen.
        seed: as for ``concatenated``.

    Returns:
        The rule.
    """
    signals = [concatenated(split, decoder.signal.rate or 1.0, seed, noise) for noise in CHOSEN_AT]
    scored = [(score_windows(decoder, signal), clips) for signal, clips in signals]

    def worth(rule: SpottingRule) -> tuple[float, float]:
        results = [evaluate_spotting(decoder, windows, clips, rule) for windows, clips in scored]
        false = sum(one.an_hour for one in results) / len(results)
        share = sum(one.share for one in results) / len(results)
        if false <= allowed:
            return (share, -false)
        return (-1.0, -false)

    rules = [SpottingRule(threshold, smooth) for smooth in GRID[1] for threshold in GRID[0]]
    best = max(rules, key=worth)
    return replace(best, chosen_on="validation", false_accepts=allowed)
