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
from srnn.measure.policy import ExitPolicy
from support.runs import ECG, make_run
from support.signals import read_as
from support.sounds import write_wav

Capture = pytest.CaptureFixture[str]

PIXELS = np.round(np.random.default_rng(0).random(64), 6)


def lines(capsys: Capture) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def refused(capsys: Capture, *words: str) -> str:
    assert main(["stream", *words]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("srnn: ") and shown.err.count("\n") == 1
    return shown.err


def write_csv(path: Path, x: np.ndarray, head: str = "") -> str:
    rows = "\n".join(",".join(map(str, row)) for row in np.atleast_2d(x.T).T)
    path.write_text(head + rows + "\n")
    return str(path)


def test_json_lines_are_the_decoders_decisions(run: str, tmp_path: Path, capsys: Capture) -> None:
    source = write_csv(tmp_path / "x.csv", PIXELS, "pixel\n")
    assert main(["stream", run, source, "--json", "--report", "step", "--block", "5"]) == 0
    *found, summary = lines(capsys)
    decoder = Decoder.of(run)
    session = decoder.open()
    expected = decisions_of(decoder, session.push(PIXELS[:, None])) + decisions_of(
        decoder, session.finish()
    )
    assert [(line["step"], line["class"], line["final"]) for line in found] == [
        (one.step, one.number, one.final) for one in expected
    ]
    assert [line["probability"] for line in found] == [
        round(one.probability, 6) for one in expected
    ]
    assert found[0].keys() == {
        "type",
        "step",
        "seconds",
        "class",
        "label",
        "probability",
        "final",
        "delay_ms",
    }
    assert found[-1]["final"] and summary["type"] == "summary"
    assert (summary["samples"], summary["steps"], summary["decisions"]) == (64, 64, 64)
    assert (
        summary["real_time_factor"] is None and summary["block_latency_ms"]["max"] > 0
    )  # pixels are not in time


def test_a_signal_in_another_unit_is_told(run: str, tmp_path: Path, capsys: Capture) -> None:
    """As by predict, but at the end: one pixel says nothing of an image's white."""
    told = "its pixels go from 0 to 255; is its white 1, as in training?"
    for white, expected in ((1, None), (255, told)):
        source = write_csv(tmp_path / "x.csv", white * np.linspace(0, 1, 64))
        assert main(["stream", run, source, "--json"]) == 0
        assert lines(capsys)[-1]["training_difference"] == expected
    assert main(["stream", run, source]) == 0
    assert f"unlike in training: {told}" in capsys.readouterr().out
    scale = Statistics(np.array([0.0, 9.8], np.float32), np.array([2.0, 0.5], np.float32))
    for signal, x, drift in (
        (WindowPath(3, 255), np.linspace(0, 1, 64)[:, None], "from 0 to 1; is its white 255"),
        (
            ScaledPath(2, 50.0, scale),
            np.full((64, 2), 9800.0),
            "channel 1 .* is it in the same unit",
        ),
        (ScaledPath(2, 50.0, scale), np.full((64, 2), 9.0), "^$"),
    ):
        beginning = Beginning(signal)
        assert not beginning.training_difference()  # nothing has come
        passed = [*beginning.of(iter(np.split(x, [0, 1, 30])))]
        assert np.array_equal(np.concatenate(passed), x)
        assert re.search(drift, beginning.training_difference())


def test_a_file_is_one_sequence(tmp_path: Path, capsys: Capture) -> None:
    """157 steps were a circle for predict, and ended as shake: what came after training's 153 began
    a new sequence."""
    net = SRNN.paper(2, [9], 3, generator=torch.Generator().manual_seed(1))
    model = from_network(net, ["shake", "circle", "lift"], steps=153, name="gestures")
    model.save(tmp_path / "m.safetensors")
    for length, longer in ((157, False), (700, True)):
        x = np.random.default_rng(length).normal(0, 2, (length, 2)).round(3)
        words = [
            "stream",
            str(tmp_path / "m.safetensors"),
            write_csv(tmp_path / "x.csv", x),
            "--json",
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected: Any = model.predict(x)
        assert main([*words, "--report", "end"]) == 0
        end, summary = lines(capsys)
        assert (end["label"], end["step"]) == (expected.label, length - 1)
        assert end["probability"] == pytest.approx(expected.confidence, abs=1e-6)
        assert bool(summary["training_difference"]) == longer
        assert main([*words, "--report", "end", "--segment", "153"]) == 0
        assert [one["step"] for one in lines(capsys)[:-1]] == [152] + [305, 458, 611, 699] * longer


def test_short_sound_is_padded_as_by_predict(tmp_path: Path, capsys: Capture) -> None:
    model, sound = srnn.load("speech-commands-mini"), np.load(srnn.example("speech-commands-mini"))
    write_wav(tmp_path / "x.wav", sound[2000:11000, 0], 16000)
    expected: Any = model.predict(tmp_path / "x.wav")
    assert (
        main(
            ["stream", "speech-commands-mini", str(tmp_path / "x.wav"), "--json", "--report", "end"]
        )
        == 0
    )
    end = lines(capsys)[0]
    assert end["label"] == expected.label
    assert end["probability"] == pytest.approx(expected.confidence, abs=1e-3)


def test_reports(run: str, tmp_path: Path, capsys: Capture) -> None:
    source = write_csv(tmp_path / "x.csv", np.tile(PIXELS, 3))
    shown = {}
    for report in ("step", "change", "end"):
        assert main(["stream", run, source, "--json", "--report", report, "--segment", "64"]) == 0
        shown[report] = lines(capsys)[:-1]
    steps = shown["step"]
    assert len(steps) == 192 and [line["step"] for line in shown["end"]] == [63, 127, 191]
    changes = [
        line for i, line in enumerate(steps)
        if line["final"] or i == 0 or steps[i - 1]["final"] or line["class"] != steps[i - 1]["class"]
    ]  # fmt: skip
    assert shown["change"] == changes
    assert [line["class"] for line in shown["end"]] == [shown["end"][0]["class"]] * 3


@pytest.mark.slow
def test_an_ecg_of_another_database(ecg: str, tmp_path: Path, capsys: Capture) -> None:
    """A WFDB record of three leads at 360 Hz, of which the network takes two at 250 Hz; and one
    lead twice."""
    pytest.importorskip("wfdb")
    t = np.arange(3600) / 360
    leads = np.stack([np.sin(7 * t), np.zeros(3600), np.cos(7 * t)], 1)
    (tmp_path / "r.dat").write_bytes(np.rint(1000 * leads).astype("<i2").tobytes())
    rows = "".join(f"r.dat 16 1000/mV 16 0 0 0 0 {name}\n" for name in ("I", "II", "V1"))
    (tmp_path / "r.hea").write_text(f"r 3 360 3600\n{rows}")
    at = np.arange(2500) / 250
    leads = read_as(tmp_path / "r.hea", 2, 250, [2, 0])
    np.testing.assert_allclose(leads, np.stack([np.cos(7 * at), np.sin(7 * at)], 1), atol=0.01)
    scale = ["--mean", "0,0", "--std", "1,1"]
    for channels in ("3,1", "1,1"):
        assert (
            main(["stream", ecg, str(tmp_path / "r.hea"), "--json", *scale, "--channels", channels])
            == 0
        )
        summary = lines(capsys)[-1]
        assert summary["samples"] == 2500 and summary["encoder_latency"] == 0.012
        assert summary["signal_seconds"] == 10
    for more, message in (
        ([], "has 3 channels; this network reads 2"), (["--channels", "1,4"], "no channel 4"),
        (["--channels", "0,1"], "counted from 1"),
        (["--channels", "1"], "has 1 channel; this network reads 2"),
    ):  # fmt: skip
        assert main(["stream", ecg, str(tmp_path / "r.hea"), *scale, *more]) == 2
        assert message in capsys.readouterr().err


def test_an_ecg_says_how_fast_it_is(ecg: str, tmp_path: Path, capsys: Capture) -> None:
    t = np.arange(1000) / 250
    signal = np.stack([np.sin(7 * t), np.cos(7 * t)], 1)
    np.savez(tmp_path / "x.npz", signal=signal, rate=250)
    for scale in (["--mean", "0,0", "--std", "1,1"], ["--calibrate", "2"]):
        assert main(["stream", ecg, str(tmp_path / "x.npz"), "--json", *scale]) == 0
        *found, summary = lines(capsys)
        assert summary["signal_seconds"] == 4 and 0 < summary["real_time_factor"] < 5
        assert summary["encoder_latency"] == (0.012 if "--mean" in scale else 1.996 + 0.012)
        assert found and all(line["seconds"] == round(line["step"] * 0.004, 6) for line in found)
    assert main(["stream", ecg, str(tmp_path / "x.npz")]) == 0
    text = capsys.readouterr().out
    assert "1,000 samples, 1,000 steps" in text and "real-time factor" in text
    assert "ms (median)" in text


def test_exits_are_taken(run: str, tmp_path: Path, capsys: Capture) -> None:
    source = write_csv(tmp_path / "x.csv", PIXELS)
    policy = tmp_path / "policy.json"
    ExitPolicy("ce_mean", 0, 0.0, 0.0, 4).save(policy)
    assert main(["stream", run, source, "--json", "--exit", str(policy), "--report", "end"]) == 0
    *found, summary = lines(capsys)
    assert len(found) == 1 and found[0]["final"] and found[0]["step"] < 63
    assert summary["steps"] == 64
    assert main(["stream", run, source, "--exit", str(policy), "--report", "end"]) == 0
    assert "64 samples, 64 steps, 1 decision shown\n" in capsys.readouterr().out


def test_a_state_file_goes_on_to_the_same_end(run: str, tmp_path: Path, capsys: Capture) -> None:
    whole, one, two = (tmp_path / f"{name}.csv" for name in ("whole", "one", "two"))
    long = np.tile(PIXELS, 2)
    write_csv(whole, long), write_csv(one, long[:50]), write_csv(two, long[50:])
    state = tmp_path / "s.state"
    parts = []
    for source in (one, two):
        assert (
            main(["stream", run, str(source), "--json", "--report", "step", "--state", str(state)])
            == 0
        )
        *found, summary = lines(capsys)
        parts += found
    assert main(["stream", run, str(whole), "--json", "--report", "step"]) == 0
    expected = lines(capsys)[:-1]
    assert parts == expected[: len(parts)] and len(parts) == 128 - 7
    assert (summary["samples"], summary["steps"]) == (78, 78)  # of this call, as the times are
    assert (summary["samples_in_all"], summary["steps_in_all"]) == (128, 121)
    state.write_bytes(state.read_bytes()[:-1])
    assert "damaged" in refused(capsys, run, str(two), "--state", str(state))


def test_a_pipe_is_answered_at_once(run: str) -> None:
    """A decision comes out while the writer still waits, row by row."""
    code = "import sys; from srnn.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "stream", run, "-", "--json", "--report", "step"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    for value in PIXELS[:8]:
        process.stdin.write(f"{value}\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["step"] == 0
    process.stdin.write(f"{PIXELS[8]}\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["step"] == 1
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
    with LiveView("a title", decoder.classes) as view:
        console = Console(file=io.StringIO(), width=width)
        console.print(view.picture())
        view.show(decisions, decisions[:3])
        console.print(view.picture())
        view.show(decisions, [])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "waiting" in text and ("█" in text or width < 40)
    assert f"{decisions[-1].probability:.0%}" in text
    assert max(map(len, text.splitlines())) <= width
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("      step ")] == [
        decision_line(decision) for decision in decisions[:3]
    ]


def test_a_network_that_overflows_is_said_in_one_line(run: str) -> None:
    """No NaN is ever printed as a probability."""
    decoder = Decoder.of(run)
    scores = np.zeros((3, len(decoder.classes)))
    scores[1:, 2] = np.nan, np.inf
    with (
        pytest.raises(SrnnError, match="output is not finite from step 8 on"),
        np.errstate(invalid="ignore"),
    ):
        decisions_of(decoder, Decisions(np.arange(7, 10), scores, np.zeros(3, bool)))


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
        (["late.csv"], "line 3: 'b' is not a row of numbers"),
        (["mic"], "A microphone records sound"),
        (["record"], "was not found"),
        (["record.hea"], "record.hea: record.dat was not found"),
    ],
)
def test_mistakes_are_one_line(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: list[str],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_csv(Path("x.csv"), PIXELS)
    write_csv(Path("two.csv"), np.ones((3, 2)))
    for name, text in (("late.csv", "a\n1\nb\n"), ("empty.csv", ""),
                       ("names.csv", "a\n\n# b\n"), ("text.csv", "1\nb\n"), ("nan.csv", "1\nnan\n"),
                       ("x.mp3", "x"), ("bad.npz", "x"), ("record.hea", "record 1 250 10\nrecord.dat 16\n")):  # fmt: skip
        Path(name).write_text(text)
    np.save("object.npy", np.array([{}, 1], dtype=object))
    np.save("flat.npy", np.array(3.0))
    np.savez("many.npz", a=np.ones(3), b=np.ones(3))
    np.savez("none.npz", signal=np.ones((0, 1)))
    write_wav(Path("cut.wav"), np.arange(100, dtype=np.int16), 8000)
    Path("cut.wav").write_bytes(Path("cut.wav").read_bytes()[:-10])
    if words == ["record"]:
        Path("record.hea").unlink()
    assert message in refused(capsys, run, *words)


def test_raw_leads_for_a_network_of_steps_get_a_hint(tmp_path: Path, capsys: Capture) -> None:
    make_run(tmp_path / "run", *ECG)
    np.save(tmp_path / "x.npy", np.ones((5, 2)))
    assert "try --input signal" in refused(capsys, str(tmp_path / "run"), str(tmp_path / "x.npy"))


def test_int16_is_scaled_for_signals_only(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are numbers already: a spike of 1 is a 1."""
    pushed: list[np.ndarray] = []
    push = Session.push
    for words, value in ((["--input", "steps"], 1.0), ([], 1 / 32768)):
        data = io.BufferedReader(io.BytesIO(np.ones(64, "<i2").tobytes()))  # type: ignore[arg-type]
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=data))
        with monkeypatch.context() as patch:
            patch.setattr(
                Session,
                "push",
                lambda self, block, *more: (pushed.append(block), push(self, block, *more))[1],
            )
            assert main(["stream", run, "-", "--format", "int16", "--json", *words]) == 0
        assert pushed[-1].size == 64 and pushed[-1].max() == np.float32(
            value
        )  # nobody waits for each by itself


def test_serving_without_its_extra_is_one_line(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setitem(sys.modules, "fastapi", types.ModuleType("fastapi"))
    assert main(["serve", run]) == 2
    shown = capsys.readouterr().err
    assert 'pip install "srnn[serve]"' in shown and shown.count("\n") == 1
