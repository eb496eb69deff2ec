"""Keyword spotting in a long signal: where clips lie, what counts as understood, and the
command."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
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


def test_what_is_understood() -> None:
    clips = [
        Clip(100, 200, 0),
        Clip(300, 400, 1),
        Clip(500, 600, 2),
        Clip(700, 800, 0),
        Clip(900, 1000, 0),
    ]
    heard = heard_of([
        (150, 0, 0.9),  # the first clip: right, 0.5 s after its beginning
        (180, 1, 0.9),  # within a window of that: not a detection
        (330, 0, 0.6), (420, 1, 0.9),  # the second: unsure, then right
        (590, 0, 0.9),  # no word there
        (660, 2, 0.9),  # no word, as is so
        (760, 1, 0.9), (870, 0, 0.9),  # the fourth: wrong, and then beyond its end and half a window
    ])  # fmt: skip
    unsure, sure = (
        evaluate_spotting(DECODER, heard, clips, SpottingRule(threshold))
        for threshold in (0.5, 0.8)
    )
    assert sure.words == 4 and sure.understood == 2
    assert (sure.false_accepts, sure.mistaken) == (3, 1)
    assert sure.delays == pytest.approx((0.55, 1.25))
    told = sure.to_dict()
    assert told["false_rejects"] == 2
    assert told["false_accepts_an_hour"] == pytest.approx(3 * 3600 / 11)
    assert told["without_a_word_an_hour"] == pytest.approx(2 * 3600 / 11)
    assert told["delay_seconds"] == pytest.approx({"p50": 0.9, "p95": 0.55 + 0.95 * 0.7})
    assert (
        unsure.understood == 1 and unsure.false_accepts == 4
    )  # said too early of the second, it keeps it from the right one


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
    assert (
        evaluate_spotting(DECODER, heard, [Clip(100, 200, 2)], SpottingRule(0.8)).share == 0
    )  # of no word


def test_a_mean_of_windows_outvotes_one_of_them() -> None:
    said = [
        (100, 2, 0.9),
        (125, 0, 0.95),
        (150, 2, 0.9),
        (300, 1, 0.9),
        (325, 1, 0.9),
        (350, 1, 0.9),
    ]
    known = Detector(DECODER, SpottingRule(0.8)).push(*heard_of(said)[1:])
    assert known.steps[known.final].tolist() == [125, 300]
    again = Detector(DECODER, SpottingRule(0.8)).push(
        *heard_of([(99, 0, 0.9), (198, 0, 0.9), (199, 0, 0.9)])[1:]
    )
    assert again.final.tolist() == [
        True,
        False,
        True,
    ]  # the first window; and one of which all comes after it
    just = float(softmax(heard_of(said[:1]).scores).max())
    for threshold, sure in ((just, [True]), (float(np.nextafter(just, 1)), [False])):
        known = Detector(DECODER, SpottingRule(threshold)).push(*heard_of([(99, 0, 0.9)])[1:])
        assert known.final.tolist() == sure
    whole = Detector(DECODER, SpottingRule(0.8, smooth=2)).push(*heard_of(said)[1:])
    assert whole.steps[whole.final].tolist() == [325]
    np.testing.assert_allclose(whole.scores[1], heard_of(said).scores[:2].mean(0))
    cut, parts = Detector(DECODER, SpottingRule(0.8, smooth=4)), []
    for at in range(6):
        parts.append(cut.push(*(part[at : at + 1] for part in heard_of(said)[1:])))
    at_once = Detector(DECODER, SpottingRule(0.8, smooth=4)).push(*heard_of(said)[1:])
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
    chosen = {n: choose_threshold(DECODER, sounds(3), n) for n in (0, 400, 10_000)}
    assert 0.72 < chosen[0].threshold <= 0.92
    assert evaluate_spotting(DECODER, heard, clips, chosen[0]).understood == 1
    assert 0.37 < chosen[400].threshold <= 0.62
    assert evaluate_spotting(DECODER, heard, clips, chosen[400]).understood == 2
    assert (
        choose_threshold(DECODER, sounds(3), 3600 / 11).threshold == chosen[400].threshold
    )  # just as many as it has
    assert (chosen[0].chosen_on, chosen[0].false_accepts) == ("validation", 0)
    assert evaluate_spotting(DECODER, heard, clips, chosen[10_000]) == replace(
        evaluate_spotting(DECODER, heard, clips, chosen[400]), rule=chosen[10_000]
    )  # no more words are to be had, so the fewest false accepts


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Split]:
    """An untrained network with windows of half a second, and four tones."""
    features = SpeechFeatures(rate=8000, normalise="training")
    signals = [
        tone(0.5, 8000, hz)[:, None].astype(np.float32) / 32768 for hz in (300, 600, 900, 1500)
    ]
    known = features.fit([features.expand(features.frames(one[:, 0])) for one in signals])
    split = Split(np.zeros((4, 51, 120), np.float32), np.arange(4), signals=signals)
    folder = tmp_path_factory.mktemp("spoken") / "run"
    return make_run(
        folder, "--network.hidden=[8]", recipe="spoken-digits", statistics=known, steps=50
    ), split


def test_a_spotter_s_windows_are_whole_sequences_however_the_signal_comes(
    spoken: tuple[Path, Split],
) -> None:
    """Every window's scores are what a new session says of its half second alone, of the features
    of the whole signal."""
    run, split = spoken
    decoder = Decoder.of(run)
    signal, _ = concatenated(split, 8000, 0, 20)
    steps = decoder.signal.whole(signal)
    at_once = Spotter(decoder, SpottingRule(0.0))
    known = [
        np.concatenate(parts) for parts in zip(at_once.push(signal), at_once.finish(), strict=True)
    ]
    assert known[0].tolist() == [
        end for end in range(49, len(steps)) if (end + 1) % 50 % 12 == 0 and (end + 1) % 50 < 49
    ]
    for end, scores in zip(known[0][::7], known[1][::7], strict=True):
        alone = decoder.open().decide(steps[end - 49 : end + 1])
        assert alone.final[-1]
        np.testing.assert_array_equal(alone.scores[-1], scores)
    pieces, spotter = [], Spotter(decoder, SpottingRule(0.0))
    for at in range(0, len(signal), 777):
        pieces.append(spotter.push(signal[at : at + 777]))
    pieces.append(spotter.finish())
    for ours, theirs in zip(zip(*pieces, strict=True), known, strict=True):
        np.testing.assert_array_equal(np.concatenate(ours), theirs)
    with pytest.raises(SrnnError, match=rf"Sample {len(signal) + 2} is not finite in channel 0"):
        spotter.push(np.array([0, 1, np.inf]))
    assert np.diff(known[0][known[2]]).min() >= 50
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
    assert main(["evaluate", str(run), "--live", "--false-accepts", "900", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rule"]
    stored = json.loads((run / "spotting.json").read_text())
    assert stored["chosen_on"] == "validation" and stored["false_accepts"] == 900
    assert (found["threshold"], found["smooth"]) == (stored["threshold"], stored["smooth"])
    assert (
        main(["evaluate", str(run), "--live", "--false-accepts", "0", "--seed", "7", "--json"]) == 0
    )
    capsys.readouterr()
    assert json.loads((run / "spotting.json").read_text()) == stored  # of the run's own seed
    file = Run.open(run).trained().save(tmp_path / "words.safetensors")
    assert asdict(SpottingRule.of(Decoder.of(file).trained)) == stored
    wavfile = write_wav(
        tmp_path / "four.wav", (concatenated(split, 8000)[0][:, 0] * 32768).astype(np.int16), 8000
    )
    assert main(["stream", str(file), str(wavfile), "--words", "--json"]) == 0
    *decisions, summary = map(json.loads, capsys.readouterr().out.splitlines())
    expected = Spotter(Decoder.of(file))
    known = expected.push(read_as(wavfile, 1, 8000))
    assert [one["step"] for one in decisions] == known.steps[known.final].tolist()
    assert all(one["final"] and one["delay_ms"] >= 55 - 10 for one in decisions)
    assert summary["decisions"] == len(decisions)
    assert main(["stream", str(file), str(wavfile), "--words", "--state", str(tmp_path / "s")]) == 2
    assert "--words has several at a time" in capsys.readouterr().err
    (run / "spotting.json").write_text('{"threshold": 2}')
    assert main(["stream", str(run), str(wavfile), "--words"]) == 2
    assert "'threshold' must be" in capsys.readouterr().err
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
    assert main(["evaluate", run, "--noise", "20"]) == 2
    assert "--noise needs --live" in capsys.readouterr().err
    assert main(["evaluate", run, "--false-accepts", "9"]) == 2
    assert "--false-accepts needs --live" in capsys.readouterr().err
