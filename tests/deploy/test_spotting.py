"""Keyword spotting in a long signal: where clips lie, what counts as understood, and the
command."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.datasets import Split
from srnn.data.datasets.spoken_digits import SpokenDigitsTask
from srnn.data.encoders.speech import SpeechFeatures
from srnn.deploy.streaming import Decoder, Spotter, SpottingRule, spotting_evaluation
from srnn.deploy.streaming.spotting import Detector
from srnn.deploy.streaming.spotting_evaluation import (
    Clip,
    ScoredWindows,
    choose_threshold,
    concatenated,
    evaluate_spotting,
)
from srnn.nn.decision import RULES, softmax
from srnn.training.runs import Run
from support.commands import fails
from support.refusing import refuses
from support.runs import make_run
from support.signals import read_as
from support.sounds import tone, write_wav

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


def heard_of(said: list[tuple[int, int, float]]) -> ScoredWindows:
    """Windows that end at a step, say a class with a probability, and share the rest among the
    other two."""
    rows = np.zeros((len(said), 3))
    for row, (_, label, probability) in zip(rows, said, strict=True):
        row[:] = (1 - probability) / 2
        row[label] = probability
    return ScoredWindows(11.0, np.array([end for end, _, _ in said]), np.log(rows))


DECODER: Any = SimpleNamespace(
    signal=SimpleNamespace(rate=RATE, latency=0.05), step_seconds=0.01, segment=100, classes=("a", "b", "_unknown_"),
    loss=SimpleNamespace(rule=RULES["ce_last"]),
)  # fmt: skip
"""Windows of 1 s at 10 ms steps, and a latency of 0.05 s; classes a, b, and one that is no word."""


def outcome(scores: ScoredWindows, clips: list[Clip], threshold: float) -> tuple[int, int, int]:
    """How many words were understood, and false accepts, of which so many took one word for another."""
    found = evaluate_spotting(DECODER, scores, clips, SpottingRule(threshold))
    return found.understood, found.false_accepts, found.mistaken


def decided(said: list[tuple[int, int, float]], *rule: Any) -> list[int]:
    """The steps of the detections."""
    found = Detector(DECODER, SpottingRule(*rule)).push(*heard_of(said)[1:])
    return found.steps[found.final].tolist()


def test_what_is_understood() -> None:
    clips = [
        Clip(100 + 200 * place, 200 * (place + 1), label)
        for place, label in enumerate((0, 1, 2, 0, 0))
    ]
    heard = heard_of([
        (150, 0, 0.9),  # the first clip: right, 0.5 s after its beginning
        (180, 1, 0.9),  # within a window of that: not a detection
        (330, 0, 0.6), (420, 1, 0.9),  # the second: unsure, then right
        (590, 0, 0.9),  # no word there
        (660, 2, 0.9),  # no word, as is so
        (760, 1, 0.9), (870, 0, 0.9),  # the fourth: wrong, and then beyond its end and half a window
    ])  # fmt: skip
    sure = evaluate_spotting(DECODER, heard, clips, SpottingRule(0.8))
    assert (sure.words, sure.understood) == (4, 2)
    assert (sure.false_accepts, sure.mistaken) == (3, 1)
    assert sure.delays == pytest.approx((0.55, 1.25))
    told = sure.to_dict()
    assert told["false_rejects"] == 2
    assert told["false_accepts_an_hour"] == pytest.approx(3 * 3600 / 11)
    assert told["without_a_word_an_hour"] == pytest.approx(2 * 3600 / 11)
    assert told["delay_seconds"] == pytest.approx({"p50": 0.9, "p95": 0.55 + 0.95 * 0.7})
    # Said too early of the second, it keeps it from the right one.
    assert outcome(heard, clips, 0.5)[:2] == (1, 4)


def test_the_first_detection_decides_until_half_a_window_after_the_clip() -> None:
    clips = [Clip(100, 200, 0), Clip(400, 500, 1), Clip(700, 800, 1)]
    heard = heard_of([
        (110, 1, 0.9), (215, 0, 0.9),  # wrong, and right a window later
        (550, 1, 0.9),  # half a window after the second's end
        (851, 1, 0.9),  # a step later than that after the third's
    ])  # fmt: skip
    found = evaluate_spotting(DECODER, heard, clips, SpottingRule(0.8))
    assert (found.understood, found.false_accepts, found.mistaken) == (1, 3, 1)
    assert found.delays == pytest.approx((1.55,))
    no_word = evaluate_spotting(DECODER, heard, [Clip(100, 200, 2)], SpottingRule(0.8))
    assert no_word.share == 0


def test_a_mean_of_windows_outvotes_one_of_them() -> None:
    said = [
        (100, 2, 0.9),
        (125, 0, 0.95),
        (150, 2, 0.9),
        *((end, 1, 0.9) for end in (300, 325, 350)),
    ]
    assert decided(said, 0.8) == [125, 300]
    # The first window; and one of which all comes after it.
    assert decided([(99, 0, 0.9), (198, 0, 0.9), (199, 0, 0.9)], 0.8) == [99, 199]
    just = float(softmax(heard_of(said[:1]).scores).max())
    assert decided([(99, 0, 0.9)], just) == [99]
    assert decided([(99, 0, 0.9)], float(np.nextafter(just, 1))) == []
    ends, scores = heard_of(said)[1:]
    whole = Detector(DECODER, SpottingRule(0.8, smooth=2)).push(ends, scores)
    assert whole.steps[whole.final].tolist() == [325]
    np.testing.assert_allclose(whole.scores[1], scores[:2].mean(0))
    cut = Detector(DECODER, SpottingRule(0.8, smooth=4))
    parts = [cut.push(ends[at : at + 1], scores[at : at + 1]) for at in range(6)]
    at_once = Detector(DECODER, SpottingRule(0.8, smooth=4)).push(ends, scores)
    for ours, theirs in zip(zip(*parts, strict=True), at_once, strict=True):
        np.testing.assert_array_equal(np.concatenate(ours), theirs)


@pytest.mark.parametrize(
    "content", [{"threshold": 2}, {"threshold": "x"}, {"smooth": 1.5}, {"window": 1}, [1], 3]
)
def test_a_rule_that_does_not_fit_is_named_by_where_it_was_read(content: Any) -> None:
    assert SpottingRule.from_dict({"threshold": 0.5}, "run") == SpottingRule(0.5)
    with pytest.raises(SrnnError, match=r"^mine(: | cannot be read as a spotting rule)"):
        SpottingRule.from_dict(content, "mine")


def test_the_rule_chosen_understands_most_of_those_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three words are said with 0.62 at least, and of false ones one with 0.72, so what is
    allowed decides."""
    clips = [Clip(200, 300, 0), Clip(500, 600, 1), Clip(800, 900, 1), Clip(1000, 1100, 2)]
    heard = heard_of([(290, 0, 0.62), (590, 1, 0.92), (890, 0, 0.37), (1090, 0, 0.72)])
    monkeypatch.setattr(spotting_evaluation, "score_windows", lambda *_: heard)
    monkeypatch.setattr(spotting_evaluation, "concatenated", lambda *_: (None, clips))
    monkeypatch.setattr(spotting_evaluation, "GRID", (spotting_evaluation.GRID[0], (1,)))
    none, some, any_ = (choose_threshold(DECODER, sounds(3), n) for n in (0, 400, 10_000))
    assert 0.72 < none.threshold <= 0.92 and outcome(heard, clips, none.threshold)[0] == 1
    assert 0.37 < some.threshold <= 0.62 and outcome(heard, clips, some.threshold)[0] == 2
    # Just as many as it has.
    assert choose_threshold(DECODER, sounds(3), 3600 / 11).threshold == some.threshold
    assert (none.chosen_on, none.false_accepts) == ("validation", 0)
    # No more words are to be had, so the fewest false accepts.
    assert outcome(heard, clips, any_.threshold) == outcome(heard, clips, some.threshold)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Split]:
    """An untrained network with windows of half a second, and four tones."""
    features = SpeechFeatures(rate=8000, normalise="training")
    tones = [tone(0.5, 8000, hz).astype(np.float32) / 32768 for hz in (300, 600, 900, 1500)]
    known = features.fit([features.expand(features.frames(one)) for one in tones])
    signals = [one[:, None] for one in tones]
    split = Split(np.zeros((4, 51, 120), np.float32), np.arange(4), signals=signals)
    made: dict[str, Any] = {"recipe": "spoken-digits", "statistics": known, "steps": 50}
    folder = tmp_path_factory.mktemp("spoken") / "run"
    return make_run(folder, "--network.hidden=[8]", **made), split


def test_a_spotter_s_windows_are_whole_sequences_however_the_signal_comes(
    spoken: tuple[Path, Split],
) -> None:
    """Every window's scores are what a new session says of its half second alone, of the features
    of the whole signal."""

    def spotted(size: int) -> tuple[Spotter, list[np.ndarray]]:
        spotter = Spotter(decoder, SpottingRule(0.0))
        parts = [spotter.push(signal[at : at + size]) for at in range(0, len(signal), size)]
        return spotter, [*map(np.concatenate, zip(*parts, spotter.finish(), strict=True))]

    run, split = spoken
    decoder = Decoder.of(run)
    signal, _ = concatenated(split, 8000, 0, 20)
    steps = decoder.signal.whole(signal)
    _, (ends, scores, final) = spotted(len(signal))
    judged = [end for end in range(49, len(steps)) if (end + 1) % 50 % 12 == 0]
    assert ends.tolist() == [end for end in judged if (end + 1) % 50 < 49]
    for end, known in zip(ends[::7], scores[::7], strict=True):
        alone = decoder.open().decide(steps[end - 49 : end + 1])
        assert alone.final[-1]
        np.testing.assert_array_equal(alone.scores[-1], known)
    spotter, parts = spotted(777)
    for ours, theirs in zip(parts, (ends, scores, final), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(SrnnError, match=rf"Sample {len(signal) + 2} is not finite in channel 0"):
        spotter.push(np.array([0, 1, np.inf]))
    assert np.diff(ends[final]).min() >= 50
    assert (spotter.samples, spotter.steps) == (len(signal), len(steps))
    with refuses("", "unsupported"):
        Spotter(Decoder.of(run, segment=0))


def test_a_chosen_rule_stays_with_the_model(
    spoken: tuple[Path, Split],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, split = spoken
    monkeypatch.setattr(SpokenDigitsTask, "load", lambda *_: split)
    live = ["evaluate", str(run), "--live", "--json", "--false-accepts"]
    assert main([*live, "900"]) == 0
    found = json.loads(capsys.readouterr().out)["rule"]
    stored = json.loads((run / "spotting.json").read_text())
    assert stored["chosen_on"] == "validation" and stored["false_accepts"] == 900
    assert (found["threshold"], found["smooth"]) == (stored["threshold"], stored["smooth"])
    assert main([*live, "0", "--seed", "7"]) == 0
    capsys.readouterr()
    assert json.loads((run / "spotting.json").read_text()) == stored  # of the run's own seed
    file = Run.open(run).trained().save(tmp_path / "words.safetensors")
    assert asdict(SpottingRule.of(Decoder.of(file).trained)) == stored
    signal = (concatenated(split, 8000)[0][:, 0] * 32768).astype(np.int16)
    four = write_wav(tmp_path / "four.wav", signal, 8000)
    assert main(["stream", str(file), str(four), "--words", "--json"]) == 0
    *decisions, summary = map(json.loads, capsys.readouterr().out.splitlines())
    known = Spotter(Decoder.of(file)).push(read_as(four, 1, 8000))
    assert [one["step"] for one in decisions] == known.steps[known.final].tolist()
    assert all(one["final"] and one["delay_ms"] >= 55 - 10 for one in decisions)
    assert summary["decisions"] == len(decisions)
    (run / "spotting.json").write_text('{"threshold": 2}')
    assert "'threshold' must be" in fails(capsys, "stream", run, four, "--words")
    (run / "spotting.json").unlink()


def test_the_command(
    spoken: tuple[Path, Split], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, split = str(spoken[0]), spoken[1]
    monkeypatch.setattr(SpokenDigitsTask, "load", lambda *_: split)
    assert main(["evaluate", run, "--live", "--noise", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["noise_db"] == 20 and [row["words"] for row in found["thresholds"]] == [4] * 5
    assert all(row["understood"] + row["false_rejects"] == 4 for row in found["thresholds"])
    assert 4 < found["thresholds"][0]["seconds"] < 10 and found["rule"] is None
    assert main(["evaluate", run, "--live"]) == 0
    assert "false accepts per hour" in capsys.readouterr().out
    for option in ("--noise", "--false-accepts"):
        assert f"{option} needs --live" in fails(capsys, "evaluate", run, option, "9")
