"""srnn stream: every kind of source, what is printed, states kept in files, and one clear line for
what is wrong."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn import SRNN, from_network
from srnn.cli.main import main
from srnn.data.encoders import Statistics
from srnn.data.signals import ScaledPath, WindowPath
from srnn.deploy.streaming import Decisions, Decoder, Session
from srnn.deploy.streaming.running import Beginning, decisions_of
from srnn.errors import SrnnError
from srnn.model.exit_policy import ExitPolicy
from support.commands import fails
from support.runs import ECG, make_run
from support.signals import read_as
from support.sounds import write_wav

Capture = pytest.CaptureFixture[str]

PIXELS = np.round(np.random.default_rng(0).random(64), 6)


def streamed(capsys: Capture, *words: str | Path) -> list[dict[str, Any]]:
    """The lines of ``srnn stream WORDS --json``."""
    assert main(["stream", *map(str, words), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def write_csv(path: Path, x: np.ndarray, head: str = "") -> str:
    rows = "\n".join(",".join(map(str, row)) for row in np.atleast_2d(x.T).T)
    path.write_text(head + rows + "\n")
    return str(path)


def test_json_lines_are_the_decoders_decisions(run: str, tmp_path: Path, capsys: Capture) -> None:
    source = write_csv(tmp_path / "x.csv", PIXELS, "pixel\n")
    *found, summary = streamed(capsys, run, source, "--report", "step", "--block", "5")
    decoder = Decoder.of(run)
    session = decoder.open()
    parts = session.push(PIXELS[:, None]), session.finish()
    expected = [one for part in parts for one in decisions_of(decoder, part)]
    for line, one in zip(found, expected, strict=True):
        assert (line["step"], line["class"], line["final"]) == (one.step, one.number, one.final)
        assert line["probability"] == round(one.probability, 6)
    keys = {"type", "step", "seconds", "class", "label", "probability", "final", "delay_ms"}
    assert found[0].keys() == keys and found[-1]["final"] and summary["type"] == "summary"
    assert (summary["samples"], summary["steps"], summary["decisions"]) == (64, 64, 64)
    # Pixels are not in time.
    assert summary["real_time_factor"] is None and summary["block_latency_ms"]["max"] > 0


def test_a_signal_in_another_unit_is_told(run: str, tmp_path: Path, capsys: Capture) -> None:
    """As by predict, but at the end: one pixel says nothing of an image's white."""
    told = "its pixels go from 0 to 255; is its white 1, as in training?"
    for white, expected in ((1, None), (255, told)):
        source = write_csv(tmp_path / "x.csv", white * np.linspace(0, 1, 64))
        assert streamed(capsys, run, source)[-1]["training_difference"] == expected
    assert main(["stream", run, source]) == 0
    assert f"unlike in training: {told}" in capsys.readouterr().out
    scale = Statistics(np.array([0.0, 9.8], np.float32), np.array([2.0, 0.5], np.float32))
    sensor = ScaledPath(2, 50.0, scale)
    pixels = np.linspace(0, 1, 64)[:, None]
    for signal, x, drift in (
        (WindowPath(3, 255), pixels, "from 0 to 1; is its white 255"),
        (sensor, np.full((64, 2), 9800.0), "channel 1 .* is it in the same unit"),
        (sensor, np.full((64, 2), 9.0), "^$"),
    ):
        beginning = Beginning(signal)
        assert not beginning.training_difference()  # nothing has come
        passed = [*beginning.of(iter(np.split(x, [0, 1, 30])))]
        np.testing.assert_array_equal(np.concatenate(passed), x)
        assert re.search(drift, beginning.training_difference())


def test_a_file_is_one_sequence(tmp_path: Path, capsys: Capture) -> None:
    """157 steps were a circle for predict, and ended as shake: what came after training's 153 began
    a new sequence."""
    net = SRNN.paper(2, [9], 3, generator=torch.Generator().manual_seed(1))
    model = from_network(net, ["shake", "circle", "lift"], steps=153, name="gestures")
    file = model.save(tmp_path / "m.safetensors")
    for length, longer in ((157, False), (700, True)):
        x = np.random.default_rng(length).normal(0, 2, (length, 2)).round(3)
        words = [file, write_csv(tmp_path / "x.csv", x), "--report", "end"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected: Any = model.predict(x)
        end, summary = streamed(capsys, *words)
        assert (end["label"], end["step"]) == (expected.label, length - 1)
        assert end["probability"] == pytest.approx(expected.confidence, abs=1e-6)
        assert bool(summary["training_difference"]) == longer
        *ends, _ = streamed(capsys, *words, "--segment", "153")
        assert [one["step"] for one in ends] == [152] + [305, 458, 611, 699] * longer


def test_short_sound_is_padded_as_by_predict(tmp_path: Path, capsys: Capture) -> None:
    model, sound = srnn.load("speech-commands-mini"), np.load(srnn.example("speech-commands-mini"))
    file = tmp_path / "x.wav"
    write_wav(file, sound[2000:11000, 0], 16000)
    expected: Any = model.predict(file)
    end, _ = streamed(capsys, "speech-commands-mini", file, "--report", "end")
    assert end["label"] == expected.label
    assert end["probability"] == pytest.approx(expected.confidence, abs=1e-3)


def test_reports(run: str, tmp_path: Path, capsys: Capture) -> None:
    source = write_csv(tmp_path / "x.csv", np.tile(PIXELS, 3))
    steps, changes, ends = (
        streamed(capsys, run, source, "--report", report, "--segment", "64")[:-1]
        for report in ("step", "change", "end")
    )
    assert len(steps) == 192 and [line["step"] for line in ends] == [63, 127, 191]
    assert changes == [
        line for i, line in enumerate(steps)
        if line["final"] or i == 0 or steps[i - 1]["final"] or line["class"] != steps[i - 1]["class"]
    ]  # fmt: skip
    assert [line["class"] for line in ends] == [ends[0]["class"]] * 3


@pytest.mark.slow
def test_an_ecg_of_another_database(ecg: str, tmp_path: Path, capsys: Capture) -> None:
    """A WFDB record of three leads at 360 Hz, of which the network takes two at 250 Hz; and one
    lead twice."""
    pytest.importorskip("wfdb")
    t = np.arange(3600) / 360
    leads = np.stack([np.sin(7 * t), np.zeros(3600), np.cos(7 * t)], 1)
    (tmp_path / "r.dat").write_bytes(np.rint(1000 * leads).astype("<i2").tobytes())
    rows = "".join(f"r.dat 16 1000/mV 16 0 0 0 0 {name}\n" for name in ("I", "II", "V1"))
    record = tmp_path / "r.hea"
    record.write_text(f"r 3 360 3600\n{rows}")
    at = np.arange(2500) / 250
    leads = read_as(record, 2, 250, [2, 0])
    np.testing.assert_allclose(leads, np.stack([np.cos(7 * at), np.sin(7 * at)], 1), atol=0.01)
    words = [ecg, record, "--mean", "0,0", "--std", "1,1"]
    for channels in ("3,1", "1,1"):
        summary = streamed(capsys, *words, "--channels", channels)[-1]
        assert summary["samples"] == 2500 and summary["signal_seconds"] == 10
        assert summary["encoder_latency"] == 0.012
    for more, message in (
        ([], "has 3 channels; this network reads 2"),
        (["--channels", "1,4"], "no channel 4"),
        (["--channels", "0,1"], "counted from 1"),
        (["--channels", "1"], "has 1 channel; this network reads 2"),
    ):
        assert message in fails(capsys, "stream", *words, *more)


def test_an_ecg_says_how_fast_it_is(ecg: str, tmp_path: Path, capsys: Capture) -> None:
    t = np.arange(1000) / 250
    file = tmp_path / "x.npz"
    np.savez(file, signal=np.stack([np.sin(7 * t), np.cos(7 * t)], 1), rate=250)
    for scale, waits in (("--mean=0,0 --std=1,1", 0), ("--calibrate=2", 1.996)):
        *found, summary = streamed(capsys, ecg, file, *scale.split())
        assert summary["signal_seconds"] == 4 and 0 < summary["real_time_factor"] < 5
        assert summary["encoder_latency"] == waits + 0.012
        assert found and all(line["seconds"] == round(line["step"] * 0.004, 6) for line in found)
    assert main(["stream", ecg, str(file)]) == 0
    text = capsys.readouterr().out
    assert "1,000 samples, 1,000 steps" in text and "real-time factor" in text


def test_exits_are_taken(run: str, tmp_path: Path, capsys: Capture) -> None:
    source, policy = write_csv(tmp_path / "x.csv", PIXELS), tmp_path / "policy.json"
    ExitPolicy("ce_mean", 0, 0.0, 0.0, 4).save(policy)
    found, summary = streamed(capsys, run, source, "--exit", policy, "--report", "end")
    assert found["final"] and found["step"] < 63 and summary["steps"] == 64
    assert main(["stream", run, source, "--exit", str(policy), "--report", "end"]) == 0
    assert "64 samples, 64 steps, 1 decision shown\n" in capsys.readouterr().out


def test_a_state_file_goes_on_to_the_same_end(run: str, tmp_path: Path, capsys: Capture) -> None:
    long, state = np.tile(PIXELS, 2), tmp_path / "s.state"
    parts, source = [], tmp_path / "x.csv"
    for part in (long[:50], long[50:]):
        write_csv(source, part)
        *found, summary = streamed(capsys, run, source, "--report", "step", "--state", state)
        parts += found
    assert (summary["samples"], summary["steps"]) == (78, 78)  # of this call, as the times are
    assert (summary["samples_in_all"], summary["steps_in_all"]) == (128, 121)
    whole = write_csv(tmp_path / "whole.csv", long)
    expected = streamed(capsys, run, whole, "--report", "step")[:-1]
    assert parts == expected[: len(parts)] and len(parts) == 128 - 7
    state.write_bytes(state.read_bytes()[:-1])
    assert "damaged" in fails(capsys, "stream", run, source, "--state", state)


def test_a_pipe_is_answered_at_once(run: str) -> None:
    """A decision comes out while the writer still waits, row by row."""
    process = subprocess.Popen(
        [sys.executable, "-m", "srnn", "stream", run, "-", "--json", "--report", "step"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    for step, values in enumerate((PIXELS[:8], PIXELS[8:9])):
        process.stdin.write("".join(f"{value}\n" for value in values))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["step"] == step
    rest, _ = process.communicate()
    assert process.returncode == 0 and json.loads(rest.splitlines()[-1])["samples"] == 9


@pytest.mark.parametrize("width", [20, 40, 100, 300])
def test_the_live_view_fits_and_decisions_stay_when_it_ends(
    run: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from rich.console import Console

    from srnn.cli.stream_view import LiveView, decision_line

    monkeypatch.setenv("COLUMNS", str(width))
    decoder = Decoder.of(run)
    decisions = decisions_of(decoder, decoder.open().push(PIXELS[:, None]))
    screen = io.StringIO()
    with LiveView("a title", decoder.classes) as view:
        console = Console(file=screen, width=width)
        console.print(view.picture())
        view.show(decisions, decisions[:3])
        console.print(view.picture())
        view.show(decisions, [])
    text = screen.getvalue()
    assert "waiting" in text and f"{decisions[-1].probability:.0%}" in text
    assert max(map(len, text.splitlines())) <= width and ("█" in text or width < 40)
    shown = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("      step ")
    ]
    assert shown == [decision_line(decision) for decision in decisions[:3]]


def test_a_network_that_overflows_is_said_in_one_line(run: str) -> None:
    """No NaN is ever printed as a probability."""
    decoder = Decoder.of(run)
    scores = np.zeros((3, len(decoder.classes)))
    scores[1:, 2] = np.nan, np.inf
    decisions = Decisions(np.arange(7, 10), scores, np.zeros(3, bool))
    with pytest.raises(SrnnError, match="not finite from step 8 on"), np.errstate(invalid="ignore"):
        decisions_of(decoder, decisions)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.csv"], "nowhere.csv was not found"),
        (["empty.csv"], "is empty (0 bytes)"),
        (["names.csv"], "holds no samples"),
        (["two.csv"], "two.csv has 2 channels; this network reads 1"),
        (["text.csv"], "line 2: 'b' is not a row of numbers"),
        (["nan.csv"], "sample 1 is not finite in channel 0 (counted from 0): nan"),
        (["x.mp3"], "files ending in .mp3 are not read"),
        (["bad.npz"], "cannot be read as a signal in NumPy's format"),
        (["object.npy"], "cannot be read as a signal in NumPy's format"),
        (["many.npz"], "holds the arrays a, b; call the one to read 'signal'"),
        (["flat.npy"], "(samples, channels), not float64 ()"),
        (["none.npz"], "holds no samples"),
        (["cut.wav"], "cut off"),
        (["x.csv", "--segment", "-1"], "A segment lasts from one step"),
        (["x.csv", "--segment", "1e20"], "to 2^31 steps"),
        (["x.csv", "--mean", "1", "--std", "1"], "This input takes no scale"),
        (["x.csv", "--calibrate", "3"], "This input is not calibrated"),
        (["x.csv", "--gain", "3"], "This input takes no gain: only sound that a cochlea encodes"),
        (["x.csv", "--state", "x" * 300], "name too long"),
        (["mic"], "A microphone records sound"),
        (["record"], "was not found"),
        (["record.hea"], "record.hea: record.dat was not found"),
    ],
)
def test_mistakes_are_one_line(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: list[str], message: str
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_csv(Path("x.csv"), PIXELS)
    write_csv(Path("two.csv"), np.ones((3, 2)))
    texts = {
        "empty.csv": "",
        "names.csv": "a\n\n# b\n",
        "text.csv": "1\nb\n",
        "nan.csv": "1\nnan\n",
    }
    texts |= {"x.mp3": "x", "bad.npz": "x"}
    if words == ["record.hea"]:
        texts["record.hea"] = "record 1 250 10\nrecord.dat 16\n"
    for name, text in texts.items():
        Path(name).write_text(text)
    np.save("object.npy", np.array([{}, 1], dtype=object))
    np.save("flat.npy", np.array(3.0))
    np.savez("many.npz", a=np.ones(3), b=np.ones(3))
    np.savez("none.npz", signal=np.ones((0, 1)))
    write_wav(Path("cut.wav"), np.arange(100, dtype=np.int16), 8000)
    Path("cut.wav").write_bytes(Path("cut.wav").read_bytes()[:-10])
    assert message in fails(capsys, "stream", run, *words)


def test_raw_leads_for_a_network_of_steps_get_a_hint(tmp_path: Path, capsys: Capture) -> None:
    run = make_run(tmp_path / "run", *ECG)
    np.save(tmp_path / "x.npy", np.ones((5, 2)))
    assert "try --input signal" in fails(capsys, "stream", run, tmp_path / "x.npy")


def test_int16_is_scaled_for_signals_only(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are numbers already: a spike of 1 is a 1."""
    pushed: list[np.ndarray] = []
    push = Session.push

    def noted(self: Session, block: np.ndarray, *more: Any) -> Decisions:
        pushed.append(block)
        return push(self, block, *more)

    monkeypatch.setattr(Session, "push", noted)
    for words, value in ((["--input", "steps"], 1.0), ([], 1 / 32768)):
        data = io.BufferedReader(io.BytesIO(np.ones(64, "<i2").tobytes()))  # type: ignore[arg-type]
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=data))
        assert main(["stream", run, "-", "--format", "int16", "--json", *words]) == 0
        # Nobody waits for each by itself.
        assert pushed[-1].size == 64 and pushed[-1].max() == np.float32(value)


def test_serving_without_its_extra_is_one_line(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setitem(sys.modules, "fastapi", types.ModuleType("fastapi"))
    assert 'pip install "srnn[serve]"' in fails(capsys, "serve", run)
