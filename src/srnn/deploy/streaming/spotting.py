"""Keyword spotting: the words of a split in one long signal, and how many of them a network understands.

    signal    every clip of the split once, in an order drawn from a seed, with half a second to two of silence between them
    windows   as long as a training sequence, four at a time, a quarter of their length apart, each from the initial state: so the
              network reads what it was trained on wherever a word begins. A decision is a window's last step
    detection a window whose class is a word, with a probability of at least ``threshold``; then none for the length of a window

Scored in the manner of MLPerf Tiny's streaming wake word benchmark, with all words at once. A word is understood if the first
detection from its clip's beginning to half a window after its end names it, else it is a false reject; every other detection is
a false accept, of clips that hold no word, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...data.datasets.base import Split
from ...errors import SrnnError
from .decoder import Decoder

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95)
GAP = (0.5, 2.0)
"""Seconds between two clips."""


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
    threshold: float
    understood: int
    false_accepts: int
    delays: tuple[float, ...]
    """Of each word that was understood, seconds from its clip's beginning until the network has decided; the encoder's latency
    is in it, computing is not."""

    def to_dict(self) -> dict[str, Any]:
        delays = np.percentile(self.delays, (50, 95)).tolist() if self.delays else [None, None]
        return {
            "seconds": round(self.seconds, 3), "words": self.words, "threshold": self.threshold,
            "understood": self.understood, "false_rejects": self.words - self.understood,
            "false_accepts": self.false_accepts, "false_accepts_an_hour": 3600 * self.false_accepts / self.seconds,
            "delay_seconds": {"p50": delays[0], "p95": delays[1]},
        }  # fmt: skip


def is_word(name: str) -> bool:
    """Whether a class is one to be detected: names such as _silence_ and _unknown_ stand for all else."""
    return not name.startswith("_")


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


def windows(decoder: Decoder, signal: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(the last step of each window, its classes' probabilities (windows, classes)), in the order of time.

    ``decoder``: with segments, which are the windows; a policy's early exits end them sooner.
    """
    if decoder.segment is None or decoder.signal.rate is None or decoder.step_seconds is None:
        raise SrnnError("Words are spotted by a network with one label for each sound, of a known length.")
    encoder, x = decoder.signal.stream(), np.asarray(signal)
    steps = np.concatenate([encoder.push(x[at : at + 2**15]) for at in range(0, len(x), 2**15)] + [encoder.flush()])
    ends, probabilities = [], []
    for offset in range(0, decoder.segment, max(1, decoder.segment // 4)):
        known = decoder.open().decide(steps[offset:])
        ends.append(known.steps[known.final] + offset)
        probabilities.append(decoder.probabilities(known.scores[known.final]))
    order = np.argsort(np.concatenate(ends), kind="stable")
    return np.concatenate(ends)[order], np.concatenate(probabilities)[order]


def spot(decoder: Decoder, signal: npt.ArrayLike, clips: Sequence[Clip], thresholds: Sequence[float]) -> list[Spotting]:
    """What is understood at each threshold. SrnnError for a network that does not tell words in time."""
    ends, probabilities = windows(decoder, signal)
    rate, step = decoder.signal.rate, decoder.step_seconds
    assert rate is not None and step is not None and decoder.segment is not None
    words = np.array([is_word(name) for name in decoder.classes])
    times = ends * step  # where in the signal a window's last step is
    length, latency = decoder.segment * step, decoder.signal.latency
    wanted = sum(bool(words[clip.label]) for clip in clips)
    results = []
    for threshold in thresholds:
        understood, decided = dict[Clip, float](), set[Clip]()
        false, place, last = 0, 0, -np.inf
        for time, row in zip(times.tolist(), probabilities, strict=True):
            label = int(row.argmax())
            if not words[label] or row[label] < threshold or time - last < length:
                continue
            last = time
            while place + 1 < len(clips) and clips[place + 1].start / rate < time:
                place += 1
            clip = clips[place]
            begins = clip.start / rate
            within = begins < time <= clip.end / rate + length / 2
            if within and clip not in decided and label == clip.label:
                understood[clip] = time + latency - begins
            else:
                false += 1
            if within:
                decided.add(clip)
        delays = tuple(understood.values())
        results.append(Spotting(len(np.asarray(signal)) / rate, wanted, threshold, len(delays), false, delays))
    return results
