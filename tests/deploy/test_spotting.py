"""Keyword spotting in a long signal: where clips lie, what counts as understood, and the command."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.datasets import Split
from srnn.data.datasets.spoken_digits import SpokenDigitsTask
from srnn.data.encoders.speech import SpeechFeatures
from srnn.deploy.streaming import spotting
from srnn.deploy.streaming.spotting import Clip, concatenated, spot
from support.runs import make_run
from support.sounds import tone

RATE = 100  # samples a second: one a step of the decoder below


def sounds(count: int, length: int = 100) -> Split:
    signals = [np.full((length, 1), index + 1, np.float32) for index in range(count)]
    return Split(np.zeros((count, 1, 1), np.float32), np.arange(count) % 3, signals=signals)


def test_every_clip_lies_once_in_the_signal_where_it_is_said_to() -> None:
    signal, clips = concatenated(sounds(9), RATE, seed=1)
    assert sorted(float(signal[clip.start, 0]) for clip in clips) == list(range(1, 10))
    assert signal.sum() == sum(100 * index for index in range(1, 10))
    for clip in clips:
        value = signal[clip.start, 0]
        assert (signal[clip.start : clip.end] == value).all() and clip.label == (value - 1) % 3
    gaps = [b.start - a.end for a, b in zip([Clip(0, 0, 0), *clips], clips, strict=False)]
    assert min(gaps) >= 50 and max(gaps) <= 200 and len(set(gaps)) > 3
    noisy, _ = concatenated(sounds(9), RATE, seed=1, noise_db=20)
    power = np.square(signal).sum() / 900
    assert np.square(noisy - signal).mean() == pytest.approx(power / 100, rel=0.1)
    with pytest.raises(SrnnError, match="the data of this task have none"):
        concatenated(Split(np.zeros((1, 1, 1), np.float32), np.zeros(1, np.int64)), RATE)


def test_what_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 1 s at 10 ms steps, and a latency of 0.05 s; classes a, b, and one that is no word."""
    decoder: Any = SimpleNamespace(
        signal=SimpleNamespace(rate=RATE, latency=0.05), step_seconds=0.01, segment=100, classes=("a", "b", "_unknown_")
    )
    clips = [Clip(100, 200, 0), Clip(300, 400, 1), Clip(500, 600, 2), Clip(700, 800, 0), Clip(900, 1000, 0)]
    heard = [
        (150, 0, 0.9),  # the first clip: right, 0.5 s after its beginning
        (180, 1, 0.9),  # within a window of that: not a detection
        (330, 0, 0.6), (420, 1, 0.9),  # the second: unsure, then right
        (590, 0, 0.9),  # no word there
        (660, 2, 0.9),  # no word, as is so
        (760, 1, 0.9), (870, 0, 0.9),  # the fourth: wrong, and then beyond its end and half a window
    ]  # fmt: skip
    rows = np.zeros((len(heard), 3))
    for row, (_, label, probability) in zip(rows, heard, strict=True):
        row[:] = (1 - probability) / 2
        row[label] = probability
    ends = np.array([end for end, _, _ in heard])
    monkeypatch.setattr(spotting, "windows", lambda *_: (ends, rows))
    unsure, sure = spot(decoder, np.zeros((1100, 1)), clips, (0.5, 0.8))
    assert sure.words == 4 and sure.understood == 2 and sure.false_accepts == 3
    assert sure.delays == pytest.approx((0.55, 1.25))
    told = sure.to_dict()
    assert told["false_rejects"] == 2 and told["false_accepts_an_hour"] == pytest.approx(3 * 3600 / 11)
    assert (
        unsure.understood == 1 and unsure.false_accepts == 4
    )  # what it said too early of the second keeps it from the right one


def test_the_command(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An untrained network with windows of half a second, on four tones."""
    features = SpeechFeatures(rate=8000, normalise="training")
    signals = [tone(0.5, 8000, hz)[:, None].astype(np.float32) / 32768 for hz in (300, 600, 900, 1500)]
    known = features.fit([features.expand(features.frames(one[:, 0])) for one in signals])
    split = Split(np.zeros((4, 51, 120), np.float32), np.arange(4), signals=signals)
    monkeypatch.setattr(SpokenDigitsTask, "load", lambda *_: split)
    words = ("--network.hidden=[8]",)
    run = str(make_run(tmp_path / "run", *words, recipe="spoken-digits", statistics=known, steps=50))
    assert main(["evaluate", run, "--live", "--noise", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["noise_db"] == 20 and [row["words"] for row in found["thresholds"]] == [4] * 5
    assert all(row["understood"] + row["false_rejects"] == 4 for row in found["thresholds"])
    assert 4 < found["thresholds"][0]["seconds"] < 10
    assert main(["evaluate", run, "--live"]) == 0
    assert "false accepts an hour" in capsys.readouterr().out
    assert main(["evaluate", run, "--noise", "20"]) == 2 and "belongs to --live" in capsys.readouterr().err
