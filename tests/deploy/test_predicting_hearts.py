"""What is said of an ECG by ``Model.predict`` and ``srnn predict``: rate, intervals, and nothing
where there is no signal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srnn
from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.recordings import Recording
from srnn.deploy.predicting import Prediction
from srnn.deploy.streaming import Decoder
from support.commands import fails
from support.signals import heartbeats

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model() -> srnn.Model:
    return srnn.load("ecg-records")


def said(model: srnn.Model, x: np.ndarray, rate: float = 250.0, **known: object) -> Prediction:
    return model.predict(Recording(x, rate, ("I", "V1"), ("mV", "mV")), **known)  # type: ignore[arg-type, return-value]


def heart_of(model: srnn.Model, x: np.ndarray, rate: float = 250.0) -> Any:
    heart = said(model, x, rate).heart
    assert heart is not None
    return heart


def write(path: Path, x: np.ndarray, rate: float = 250.0) -> str:
    leads = x.shape[1]
    names = [f"lead{i}" for i in range(leads)]
    np.savez(path, signal=x, rate=rate, channels=names, units=["mV"] * leads)
    return str(path)


def predicted(capsys: Capture, file: str, *words: str) -> str:
    assert main(["predict", "ecg-records", file, *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("rate", [250.0, 360.0, 500.0, 1000.0])
def test_the_same_heart_at_any_rate(model: srnn.Model, rate: float) -> None:
    heart = heart_of(model, heartbeats(12, rate), rate)
    assert heart.rate == pytest.approx(75, abs=1) and len(heart.beats) == 14
    middles = {name: one.median for name, one in heart.intervals().items() if one is not None}
    expected = {"RR": 0.8, "P": 0.1, "PR": 0.175, "QRS": 0.09, "QT": 0.415}
    assert middles == pytest.approx(expected, abs=0.02)
    peaks = [beat.r for beat in heart.beats]
    assert peaks == pytest.approx(0.8 * np.arange(1, 15) + 0.41, abs=0.012)
    shares = heart.shares()
    assert shares["flat"] == shares["off"] == 0 and shares["unsure"] < 0.15


def test_an_inverted_lead_is_a_heart_and_one_without_p_waves_has_none(model: srnn.Model) -> None:
    inverted = heart_of(model, heartbeats(12, 250) * [-1, 1])
    without = heart_of(model, heartbeats(12, 250, p_waves=False))
    assert [inverted.rate, without.rate] == pytest.approx([75, 75], abs=1)
    assert sum(beat.p is not None for beat in without.beats) <= 1


def test_two_beats_have_one_rr_and_one_has_none(model: srnn.Model) -> None:
    two, one = (heart_of(model, heartbeats(seconds, 250)) for seconds in (2.6, 1.6))
    assert len(two.beats) == 2 and two.rate == pytest.approx(75, abs=1)
    assert len(one.beats) == 1 and one.rate is None


def test_a_flat_line_is_no_tp(model: srnn.Model) -> None:
    with pytest.warns(RuntimeWarning, match="flat"):
        found = said(model, np.zeros((2500, 2)))
    assert found.label == "flat" and found.confidence == 1.0 and set(found.labels) == {"flat"}
    assert found.segments() == [(0, 2500, "flat", 0.0)]
    assert found.heart is not None and found.heart.shares() == {"unsure": 0, "flat": 1, "off": 0}
    assert "no heart rate" in repr(found) and "TP" not in found._repr_html_()


def test_where_one_of_the_leads_is_off_there_is_no_label(model: srnn.Model) -> None:
    x = heartbeats(20, 250)
    x[2000:3000, 1] = 5.0  # saturated
    found = said(model, x)
    labels = np.array(found.labels)
    assert np.array_equal(np.flatnonzero(labels == "off"), np.arange(2000, 3000))
    assert found.heart is not None and "off 20.0% (V1)" in found.heart.headline()
    assert not [beat for beat in found.heart.beats if 7.8 < beat.r < 12]
    assert found.heart.rate == pytest.approx(75, abs=1)  # of the beats on either side


def test_missing_samples_are_refused_or_off(model: srnn.Model) -> None:
    x = heartbeats(20, 250)
    x[2000:3000, 0] = np.nan
    with pytest.raises(SrnnError, match="1,000 samples are missing in channel 0"):
        said(model, x)
    for more in ({}, {"missing": "hold"}):
        with pytest.warns(RuntimeWarning, match="1,000 missing values filled in"):
            found = said(model, x, longest_gap=1000, **more)
        assert set(found.labels[2000:3000]) <= {"off", "flat"}


def test_noise_is_unsure(model: srnn.Model) -> None:
    heart = heart_of(model, np.random.default_rng(0).normal(0, 1, (5000, 2)))
    assert heart.shares()["unsure"] > 0.9 and len(heart.beats) < 5
    hum = 0.3 * np.sin(2 * np.pi * 50.3 * np.arange(5000) / 250)[:, None] * [1, 0.7]
    heart = heart_of(model, np.rint(200 * hum) / 200)  # as from a converter
    assert heart.shares()["unsure"] > 0.9 and heart.rate is None


@pytest.mark.parametrize(("hz", "rate"), [(50, 250.0), (60, 250.0), (50, 500.0), (60, 360.0)])
def test_hum_of_the_mains_changes_no_rate(model: srnn.Model, hz: float, rate: float) -> None:
    """Its frequency wanders by half a Hz; it is twice as high as the P wave."""
    x = heartbeats(12, rate)
    t = np.arange(len(x)) / rate
    turns = np.cumsum(hz + 0.5 * np.sin(t)) / rate
    humming = x + 0.3 * np.sin(2 * np.pi * turns[:, None] + [0.3, 1.9])
    clean, found = said(model, x, rate), said(model, humming, rate)
    assert clean.heart is not None and found.heart is not None
    assert found.heart.rate == pytest.approx(75, abs=1) and len(found.heart.beats) == 14
    assert found.heart.shares()["unsure"] < 0.15
    assert np.mean(found.numbers == clean.numbers) > 0.95
    assert "P" in found.labels and found.heart.intervals()["PR"] is not None


def test_no_rate_is_given_of_noise_in_which_some_beats_are_found(
    model: srnn.Model, tmp_path: Path, capsys: Capture
) -> None:
    """Muscles that are tense all the time: a few beats are found, a rate from them is wrong."""
    noisy = heartbeats(20, 250) + np.random.default_rng(2).normal(0, 0.6, (5000, 2))
    heart = heart_of(model, noisy)
    assert len([beat for beat in heart.beats if beat.rr]) > 1
    assert heart.rate is None and heart.withheld
    file = write(tmp_path / "noisy.npz", noisy)
    out = predicted(capsys, file)
    assert "no heart rate: most of the recording is unsure" in out and "beats/min" not in out
    told = json.loads(predicted(capsys, file, "--json"))["results"][0]["heart"]
    assert told["rate"] is None and "unsure" in told["withheld"]


def test_other_networks_know_of_no_heart(tmp_path: Path, capsys: Capture) -> None:
    found = srnn.load("digits").predict(np.zeros((64, 1), np.float32))
    assert isinstance(found, Prediction) and found.heart is None
    np.save(tmp_path / "digit.npy", np.zeros((64, 1), np.float32))
    assert main(["predict", "digits", str(tmp_path / "digit.npy"), "--json"]) == 0
    assert "heart" not in json.loads(capsys.readouterr().out)["results"][0]


def test_the_command_prints_intervals_and_beats(tmp_path: Path, capsys: Capture) -> None:
    x = heartbeats(20, 250)
    x[2000:3000] = 0.0
    file = write(tmp_path / "heart.npz", x)
    out = predicted(capsys, file)
    assert "75 beats/min (" in out and "(lead0, lead1)" in out and "Not a medical device." in out
    rows = {line.split()[1]: line for line in out.splitlines() if len(line.split()) > 4}
    assert {"RR", "P", "PR", "QRS", "QT"} <= rows.keys()
    out = predicted(capsys, file, "--over-time")
    assert "  flat" in out and out.count("  QRS ") >= 15 and "TP" not in out
    result = json.loads(predicted(capsys, file, "--over-time", "--json"))["results"][0]
    heart = result["heart"]
    assert heart["rate"] == pytest.approx(75, abs=1) and len(heart["beats"]) >= 15
    (flat,) = [one for one in result["segments"] if one["label"] == "flat"]
    assert 1980 < flat["first"] <= 2000 and 3000 <= flat["end"] < 3020 and flat["confidence"] == 0
    rows = predicted(capsys, file, "--over-time", "--csv").splitlines()
    assert rows[1 + 2500].endswith(",2500,10,flat,0.000000")


def test_twelve_leads_are_to_be_chosen_from(tmp_path: Path, capsys: Capture) -> None:
    file = write(tmp_path / "twelve.npz", np.tile(heartbeats(12, 500), 6), 500.0)
    error = fails(capsys, "predict", "ecg-records", file)
    assert "12 channels" in error and "lead0" in error and "--channels" in error
    for chosen in ("lead2,lead7", "lead2,lead2", "3,8"):  # one lead may be given twice
        assert "75 beats/min" in predicted(capsys, file, "--channels", chosen)


def test_a_stream_says_that_a_lead_is_off(tmp_path: Path, capsys: Capture) -> None:
    x = heartbeats(20, 250)
    x[2000:3000, 1] = 5.0
    file = write(tmp_path / "heart.npz", x)
    assert main(["stream", "ecg-records", file, "--report", "step", "--json"]) == 0
    *lines, _ = map(json.loads, capsys.readouterr().out.splitlines())
    off = [line["step"] - 19 for line in lines if line["label"] == "off"]
    assert off == list(range(off[0], 3000)) and 2000 < off[0] <= 2100
    assert all((line["class"] is None) == (line["label"] == "off") for line in lines)
    assert main(["stream", "ecg-records", file]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " off " in line]
    assert "%" not in line


def test_the_service_says_that_a_lead_is_off(model: srnn.Model) -> None:
    for name in ("fastapi", "uvicorn", "websockets"):
        pytest.importorskip(name, reason="the extra 'serve' is not installed")
    from support.serving import serving, told

    x = heartbeats(12, 250).astype(np.float32)
    x[1000:1500] = 0
    body = json.dumps({"inputs": [x.tolist(), x[:1500].tolist()]}).encode()
    with serving({"heart": Decoder.of(model)}) as service:
        client = service.stream("heart", report="change", finite=True)
        for first in range(0, len(x), 100):
            client.push(x[first : first + 100])
        heard = client.finish()
        path = "/v1/models/heart/classify"
        status, answer = service.ask(path, body, Content_Type="application/json")
    steps, classes = told(heard, "steps"), told(heard)
    (change,) = [place for place, one in enumerate(classes) if one is None]
    assert 1000 <= steps[change] - 19 <= 1100 and steps[change + 1] - 19 == 1500
    (message,) = [one for one in heard if None in one.get("classes", ())]
    assert message["states"][message["classes"].index(None)] == "flat"
    whole, cut = answer["results"]
    assert status == 200 and whole["classes"].count(None) == 500
    assert whole["class"] is not None and whole["heart"]["count"] > 5
    assert cut["class"] is None and cut["label"] == "flat" and cut["probability"] == 0
