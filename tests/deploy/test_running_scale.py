"""Thresholds that follow the signal: a network trained with them is told nothing of it, streamed or
on a device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.datasets.ecg import ECGTask
from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.streaming_crossing import RunningCrossingStream
from srnn.data.signals import CrossingPath
from srnn.data.signals.stored import describe, restore
from srnn.deploy.streaming import Decoder
from support.commands import fails
from support.compiled import COMPILERS, SANITIZED, build, compilers
from support.hearts import check_begins_again, from_signal, heart, scores_of
from support.refusing import refuses
from support.runs import RECORDS, make_run
from support.signals import two_leads
from support.streams import streamed


def path(
    rule: Any = "send_on_delta", smoothing: int = 7, horizon: float = 2.0, up: float = 1.2
) -> CrossingPath:
    return CrossingPath(LevelCrossing(rule, up, 0.9), 2, 250.0, smoothing, horizon=horizon)


def by_definition(x: np.ndarray, rule: str, up: float, down: float, horizon: int) -> np.ndarray:
    """Spikes (T, 2) of one channel, by its mean change so far and then a leaky one."""
    spikes, level, mean = np.zeros((len(x), 2)), x[0], 0.0
    for t in range(1, len(x)):
        kept = min(t - 1, horizon) * (1 if t < horizon else 1 - 1 / horizon)
        mean = (mean * kept + abs(x[t] - x[t - 1])) / min(t, horizon)
        spikes[t] = x[t] - level > up * mean, level - x[t] > down * mean
        if rule == "difference" or spikes[t].any():
            level = x[t]
    return spikes


@pytest.mark.parametrize("rule", ["difference", "send_on_delta"])
@pytest.mark.parametrize("horizon", [1, 30, 1000])
def test_it_is_what_it_says(rule: Any, horizon: int) -> None:
    x = np.random.default_rng(0).standard_normal((400, 2)).cumsum(0) * [1, 40]
    got = RunningCrossingStream(LevelCrossing(rule, 1.3, 0.6), 2, horizon).push(x)
    expected = [by_definition(x[:, channel], rule, 1.3, 0.6, horizon) for channel in range(2)]
    assert np.array_equal(got, np.concatenate(expected, 1)) and 0.1 < got.mean() < 0.5


@pytest.mark.parametrize("rule", ["difference", "send_on_delta"])
def test_whole_is_the_stream_and_offset_and_gain_change_no_spike(rule: Any) -> None:
    one, x = path(rule), two_leads(3000)
    whole = one.whole(x)
    assert np.array_equal(streamed(one.stream(), x, [0.001, 0.3, 0.3004, 0.9], one.stream), whole)
    assert one.latency == 3 / 250 and 0.03 < whole.mean() < 0.3
    for gain, offset in ((8.0, 0.0), (0.001, 0.0), (10.0, -777.0)):
        assert np.array_equal(one.whole(gain * x + offset), whole)


def test_a_flat_lead_has_no_spikes_and_the_first_come_with_its_first_moves() -> None:
    """Its ends apart, where smoothing fits a polynomial, which rounds, and another processor
    otherwise: after a few such changes of a last digit the level is one digit off, and crossed once
    more when so many samples have passed."""
    x = two_leads(1500)
    x[:, 1] = 7.0
    x[:600, 0] = x[600, 0]
    spikes = path().whole(x)
    assert not spikes[50:-3, 2:].any() and not spikes[50:597, :2].any()
    assert spikes[597:610, :2].any()
    assert not path(smoothing=0).whole(x)[:, 2:].any()
    assert not path().in_c(x, integer=True)[:, 2:].any()
    x[900:] = x[900]  # the lead falls off: what was measured decays, and nothing crosses it
    assert path().whole(x)[800:900, :2].any() and not path().whole(x)[904:-3].any()


def test_a_step_of_the_baseline_hardly_changes_the_thresholds() -> None:
    """Of twice the height of the beats. A deviation would be most of it for as long as the
    horizon."""
    x = two_leads(3000)
    stepped = x + 2000.0 * (np.arange(3000) >= 1500)[:, None]
    one = path(horizon=5.0)
    before, after = one.whole(x), one.whole(stepped)
    assert np.array_equal(before[:1497], after[:1497])
    assert after[1500:1750].mean() > 0.75 * before[1500:1750].mean()
    assert after[2750:].mean() > 0.8 * before[2750:].mean()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("span", value) for value in (-1.0, 20.5, 501.0, 0.0)),
        ("running", -1.0),
        ("running", np.inf),
    ],
)
def test_states_of_no_encoder_are_refused(name: str, value: float) -> None:
    encoder = path().running()
    encoder.push(two_leads(40))
    good = encoder.state
    with pytest.raises(SrnnError, match="state does not fit"):
        encoder.restore({**good, name: np.full_like(good[name], value)})
    assert all(np.array_equal(encoder.state[key], good[key]) for key in good)


def test_horizons_and_calibrations_are_in_seconds_or_else_in_samples() -> None:
    for rate, samples in ((250.0, 750), (None, 3)):
        assert CrossingPath(LevelCrossing(), 1, rate, horizon=3.0).running().horizon == samples
        calibrated = CrossingPath(LevelCrossing(), 1, rate, calibration=3.0)
        assert calibrated.stream().latency == samples - 1


def test_a_scale_that_integers_cannot_hold_is_refused() -> None:
    """Of n changes, each up to 2^32, the sum times a threshold of 1, which is 4096 there: 2^63
    where n is 2^19."""
    crossing = LevelCrossing("difference", 1.0, 0.5)
    fits, over = (CrossingPath(crossing, 1, 2.0**19 - more, horizon=1.0) for more in (2, 1))
    fits.check_c(integer=True)
    for large in (over, path(up=2000.0)):
        large.check_c(integer=False)
        with pytest.raises(SrnnError, match="does not fit int64; export it as float32"):
            large.check_c(integer=True)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("calibration", value) for value in (float("nan"), 0, -1.0, 61, "5")),
        *(
            ("horizon", value)
            for value in (0.0, -1.0, 61.0, float("nan"), float("inf"), 0.001, "5")
        ),
        *(("rate", value) for value in (0, float("nan"))),
        *(("scale", value) for value in (3, ([0],))),
        ("channels", 0),
        ("crossing", "difference"),
    ],
)
def test_a_path_that_could_not_be_walked_is_one_line(setting: str, value: Any) -> None:
    """Each was made, and failed otherwise or not at all once a signal came."""
    with refuses(setting):
        CrossingPath(**{"crossing": LevelCrossing(), "channels": 1, "rate": 250.0, setting: value})


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(SrnnError, match="a model"):
        restore({**describe(path()), "horizon": 61.0}, "a model")  # type: ignore[dict-item]
    with pytest.raises(SrnnError, match="not both"):
        CrossingPath(LevelCrossing(), 1, 250.0, scale=([0], [1]), horizon=1.0)
    with pytest.raises(SrnnError, match="'scale' has no effect with source 'paper_split'"):
        ECGTask(scale="running")


def test_a_network_trained_so_streams_without_a_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, x = (
        make_run(tmp_path / "run", *RECORDS, "--task.options.scale=running"),
        two_leads(600) / 200,
    )
    decoder = Decoder.of(run)
    session = decoder.open()
    first = session.push(x[:100])
    assert len(first.steps) == 97  # nothing waits for a scale
    again = decoder.restore(session.save())
    rest, end = again.push(x[100:]), again.finish()
    scores = np.concatenate([first.scores, rest.scores, end.scores])
    whole = Decoder.of(run).open()
    assert np.array_equal(scores, np.concatenate([whole.push(x).scores, whole.finish().scores]))
    file = tmp_path / "x.csv"
    np.savetxt(file, x, delimiter=",")
    assert main(["stream", str(run), str(file), "--json"]) == 0
    capsys.readouterr()
    export = ["export", "c", run, "--out", tmp_path / "c", "--std", "1", "1"]
    for words, message in (
        (["stream", run, file, "--mean", "0,0", "--std", "1,1"], "that does not measure its own"),
        (["stream", run, file, "--calibrate", "3"], "This input is not calibrated"),
        (export, "is a running one, as in training"),
    ):
        assert message in fails(capsys, *words)


# ---- on a device -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize(
    ("format", "rule", "smoothing"),
    [
        ("float32", "send_on_delta", 7),
        ("int8", "difference", 7),
        ("int8", "send_on_delta", 0),
        pytest.param("float32", "difference", 7, marks=pytest.mark.slow),
        pytest.param("float32", "send_on_delta", 0, marks=pytest.mark.slow),
        pytest.param("int8", "send_on_delta", 7, marks=pytest.mark.slow),
    ],
)
def test_c_has_the_bits_of_its_model(
    format: Any, rule: Any, smoothing: int, compiler: str, tmp_path: Path
) -> None:
    """From samples to the scores of every step; and with smoothing the spikes are those of the
    stream in float64."""
    one = path(rule, smoothing)
    plan, model = heart(one, format, tmp_path / "c")
    program = build(tmp_path / "c", plan, compiler, *SANITIZED)
    check_begins_again(program, ())
    for samples in (2000, 8, 7, 6, 3, 1):
        signal = two_leads(samples)
        spikes = one.in_c(signal, integer=format == "int8")
        if samples == 2000:  # unsmoothed integers are often exactly a threshold apart
            assert np.abs(spikes - one.whole(signal)).mean() <= (0 if smoothing else 0.01)
        assert np.array_equal(from_signal(program, signal, ()), scores_of(model, spikes))


@pytest.mark.slow
@pytest.mark.parametrize("format", ["float32", "int8"])
def test_sizes_operations_and_extreme_samples(format: Any, tmp_path: Path) -> None:
    if not COMPILERS:
        pytest.skip("no C compiler")
    one, c = path(), tmp_path / "c"
    plan, model = heart(one, format, c)
    program = build(c, plan, COMPILERS[0], *SANITIZED, "-DSRNN_COUNT")
    top = 2**31 - 1 if format == "int8" else 3.0e38
    signal = np.random.default_rng(0).choice([-top, top, 0], (1200, 2))
    form = "d" if format == "int8" else ".9g"
    done = program.tried("--encode", given="\n".join(f"{a:{form}},{b:{form}}" for a, b in signal))
    counts = json.loads(done.stderr)
    assert counts["encoder_adds"] == counts["encoder_multiplies"] == 1200 * (14 + 8)
    if format == "int8":
        found = np.array([line.split(",") for line in done.stdout.split()], int)
        assert np.array_equal(found, scores_of(model, one.in_c(signal, integer=True)))
    report = json.loads((c / "heart.json").read_text())["encoder"]
    assert report["horizon"] == 2.0 and "std" not in report and plan.encoder is not None
    size = 'printf("%d", (int)sizeof(heart_encoder));'
    text = f'#include "heart.h"\n#include <stdio.h>\nint main(void) {{ {size} return 0; }}\n'
    (c / "heart_main.c").write_text(text)
    bytes_in_c = int(build(c, plan, COMPILERS[0]).text(given=""))
    assert bytes_in_c == plan.encoder.ram_bytes == report["ram_bytes"]
