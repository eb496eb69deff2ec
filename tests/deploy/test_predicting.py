"""What ``Model.predict`` and ``srnn predict`` take, and that a stream says the same."""

from __future__ import annotations

import contextlib
import io
import json
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import wavfile

import srnn
from srnn import SRNN, SrnnError, from_network
from srnn.cli.main import main
from srnn.data.encoders import Statistics
from srnn.data.signals import ScaledPath, WindowPath
from srnn.deploy.predicting import recordings
from srnn.deploy.serve.batch import read_body
from srnn.deploy.streaming import Decisions, Decoder
from srnn.deploy.streaming.running import decisions_of
from srnn.deploy.streaming.sources import open_source
from srnn.model.checkpoints import read_checkpoint, save_checkpoint
from srnn.nn.scores import confidences_of, running_scores
from srnn.training.loop import train
from support.runs import ECG, SPOKEN, make_run, small_model
from support.tiny import TinyStepTask, TinyTask, tiny_recipe


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"))


def recording_and_scale() -> tuple[np.ndarray, Statistics]:
    """Gravity in m/s2 on the second of two channels."""
    scale = Statistics(np.array([0.0, 9.8], np.float32), np.array([2.0, 0.5], np.float32))
    return np.random.default_rng(0).normal(scale[0], scale[1], (40, 2)), scale


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose labels come 6 steps late, besides the lag of the paper's files, which the labels of
    their steps have."""
    return make_run(tmp_path_factory.mktemp("late") / "ecg", *ECG, "--task.options.label_lag=6")


STANDARD = Statistics(np.zeros(120, np.float32), np.ones(120, np.float32))


@pytest.mark.parametrize("kind", ["per_sequence", "per_step"])
def test_a_stream_and_a_prediction_agree(kind: str, tmp_path: Path) -> None:
    task: Any = TinyTask() if kind == "per_sequence" else TinyStepTask()
    loss = "ce_mean" if kind == "per_sequence" else "nll"
    train(tiny_recipe("--training.epochs=1", f"--loss.name={loss}"), tmp_path / "run", task=task)
    model = srnn.load(tmp_path / "run")
    for x in task.load("test").x[:4]:
        found, session = model.predict(x), model.stream()
        parts = [session.push(x[:5]), session.push(x[5:]), session.finish()]
        numbers = np.concatenate([part.winners for part in parts])[: len(x)]
        assert np.array_equal(numbers, found.numbers) and found.per_step == (kind == "per_step")
    # A stream that may never end decides, where a sequence has one label, after as many steps as
    # those of training have.
    session = Decoder.of(model).open()
    final = session.push(np.zeros((30, 3), np.float32)).final
    assert np.flatnonzero(final).tolist() == ([11, 23] if kind == "per_sequence" else [])


def test_late_labels_stand_beside_what_they_name(late: Path) -> None:
    model = srnn.load(late)
    x = (np.random.default_rng(0).random((60, 4)) < 0.3).astype(np.float32)
    with torch.no_grad():
        longer = np.concatenate([x, np.zeros((6, 4), np.float32)])
        output = model.network.run(torch.from_numpy(longer)[None]).output[0].numpy()
    found = model.predict(x)
    assert np.array_equal(found.scores, np.float64(output[6:])) and len(found.labels) == 60
    assert Decoder.of(late, form="signal").lag == 19 + 6
    decoder = Decoder.of(late, form="steps")
    session = decoder.open()
    told = [one for part in (x[:10], x[10:]) for one in decisions_of(decoder, session.push(part))]
    # The steps before name what was before the stream.
    assert [one.step for one in told] == [*range(6, 60)]
    assert [one.seconds for one in told] == [round(step * 0.004, 6) for step in range(54)]
    assert [one.number for one in told] == found.numbers[:54].tolist()


def test_labels_of_other_recordings_stand_beside_what_they_name(late: Path, tmp_path: Path) -> None:
    model = srnn.load(late)
    x = (np.random.default_rng(0).random((2, 60, 4)) < 0.3).astype(np.float32)
    y = np.random.default_rng(1).integers(0, 6, (2, 60))
    np.savez(tmp_path / "own.npz", x=x, y=y, class_names=model.classes)
    split = model.task.reading(tmp_path / "own.npz").load("validation")  # as evaluate --data
    np.testing.assert_array_equal(split.x[:, :60], x)
    assert not split.x[:, 60:].any() and split.lengths is None
    assert (split.y[:, :6] == -1).all() and np.array_equal(split.y[:, 6:], y)


def test_texts_beside_sound_or_records_are_no_recordings(tmp_path: Path) -> None:
    """As TIMIT has them beside its sentences, and PhysioNet beside its records."""
    for name in ("a/SA1.TXT", "a/SA1.WAV", "b/RECORDS.txt", "b/sel1.hea", "c/1.txt", "c/2.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    places = [tmp_path / name for name in ("a", "b", "c", "a/SA1.TXT")]
    names = [path.name for path in recordings(places)]
    assert names == ["SA1.WAV", "sel1.hea", "1.txt", "2.csv", "SA1.TXT"]


def test_predict_skips_what_does_not_fit(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def predict(name: str, *words: str, code: int = 0) -> tuple[list[str], list[str]]:
        """Lines of output and of errors."""
        assert main(["predict", str(small), str(tmp_path / name), *words]) == code
        printed = capsys.readouterr()
        return printed.out.splitlines(), printed.err.splitlines()

    x = np.random.default_rng(0).random((20, 4), np.float32)
    np.save(tmp_path / "good.npy", np.ones((20, 3), np.float32))
    np.save(tmp_path / "wide.npy", x)
    (tmp_path / "nan.csv").write_text("1,2,3\n1,nan,3\n")
    np.save(tmp_path / "huge.npy", np.full((20, 3), 1e300))  # infinite in float32
    (tmp_path / "notes.md").write_text("not a recording")
    (tmp_path / ".cache").mkdir()  # as training on a folder leaves it there
    np.savez(tmp_path / ".cache" / "scale.npz", mean=np.zeros(3), std=np.ones(3))
    (head, row), errors = predict("", "--csv", code=2)
    assert head == "file,label,confidence" and "good.npy" in row
    assert len(errors) == 3 and all(line.startswith("srnn: ") for line in errors)
    for said in ("huge.npy: sample 0 is not finite", "sample 1 is not finite", "reads 3"):
        assert any(said in line for line in errors)
    rows, _ = predict("good.npy", "--over-time", "--csv")
    assert rows[0] == "file,step,seconds,label,confidence" and len(rows) == 21
    assert rows[20].split(",")[1:3] == ["19", "0.19"]
    predict("good.npy", "--over-time")
    (line,), _ = predict("wide.npy", "--channels", "4,1,2", "--json")
    chosen: Any = srnn.load(small).predict(x[:, [3, 0, 1]])
    probabilities = json.loads(line)["results"][0]["probabilities"]
    assert probabilities == pytest.approx(chosen.probabilities[-1], abs=1e-6)
    assert "no channel 5" in predict("wide.npy", "--channels", "1,2,5", code=2)[1][0]
    (tmp_path / "empty").mkdir()
    assert "no recordings" in predict("empty", code=2)[1][0]


def test_no_class_is_named_where_the_output_is_not_finite(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a network whose training diverged: the first class was, with "nan%", and JSON that is
    none."""
    checkpoint, path, x = read_checkpoint(small), tmp_path / "m.safetensors", tmp_path / "x.npy"
    bias = checkpoint.tensors["network.readout.bias"] * float("nan")
    tensors = {**checkpoint.tensors, "network.readout.bias": bias}
    save_checkpoint(path, tensors, checkpoint.info)
    np.save(x, np.ones((20, 3), np.float32))
    for words in ((), ("--json",), ("--csv",), ("--over-time",)):
        assert main(["predict", str(path), str(x), *words]) == 2
        printed = capsys.readouterr()
        assert "nan" not in printed.out.lower()
        assert "x.npy: the network's output is not finite from step 0 on" in printed.err


def test_what_predict_takes(small: Path) -> None:
    model = srnn.load(small)
    x = np.random.default_rng(0).random((4, 20, 3))
    many = model.predict(x)
    assert isinstance(many, list) and len(many) == 4 and isinstance(model.predict(list(x)), list)
    one: Any = model.predict(torch.from_numpy(x[0]))
    assert np.array_equal(one.scores, many[0].scores) and one.labels[-1] == one.label
    assert repr(one).startswith("Prediction('") and "20 steps" in repr(one)
    segments = one.segments()
    assert segments[0][0] == 0 and segments[-1][1] == 20
    assert all(a[1] == b[0] for a, b in pairwise(segments))
    words = np.array([["a", "b", "c"]])
    for bad in (
        x[0][:, :2],
        x[0] * np.nan,
        np.zeros((0, 3)),
        words,
        [[1.0, 2.0], [3.0]],
        Path("."),
    ):
        with pytest.raises(SrnnError):
            model.predict(bad)


def test_a_channel_in_another_unit_is_named() -> None:
    x, scale = recording_and_scale()
    model = from_network(SRNN.paper(2, [4], 2), ("a", "b"), signal=ScaledPath(2, 50.0, scale))
    model.predict(x)
    x[:, 1] = 9800
    with pytest.warns(RuntimeWarning, match=r"^The signal: channel 1 .* lies 1\.96e\+04 standard"):
        model.predict(x)


def test_a_recording_is_read_by_name_and_what_it_does_not_state_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, scale = recording_and_scale()
    path = ScaledPath(2, 50.0, scale, names=("ax", "az"), units=("m/s2", "m/s2"))
    model = from_network(SRNN.paper(2, [4], 2), ("a", "b"), signal=path)
    assert repr(model).startswith("Model('model': 2 channels at 50 Hz (ax, az in m/s2) -> a, b;")
    frame = pd.DataFrame({"az (g)": x[:, 1] / 9.80665, "ax (m/s2)": x[:, 0]})
    expected: Any = model.predict(x)
    assert "does not state" in expected.notes[0]
    found: Any = model.predict(frame, rate=50)
    assert found.notes == ()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    renamed = frame.rename(columns={"az (g)": "u (g)"})
    other: Any = model.predict(renamed, channels=["ax", "u"])
    np.testing.assert_array_equal(other.scores, found.scores)
    with pytest.raises(SrnnError, match="no az: its channels are u, ax, and this network reads ax"):
        model.predict(renamed)
    file, (one, two, three) = (
        str(model.save(tmp_path / "model.safetensors")),
        [str(tmp_path / f"{number}.csv") for number in (1, 2, 3)],
    )
    frame.to_csv(one, index=False)
    frame.to_csv(two, index=False)
    np.savetxt(three, x, delimiter=",")
    assert main(["predict", file, one, two, three, "--json"]) == 0
    printed = capsys.readouterr()
    results = json.loads(printed.out)["results"]
    assert {one["label"] for one in results} == {expected.label}
    (note,) = results[0]["notes"]
    assert note.startswith("it does not state its rate: taken as 50 Hz")
    told = printed.err.splitlines()
    assert len(told) == 2 and all(line.startswith("note: ") for line in told)
    assert "1.csv and 1 other:" in told[0]
    assert main(["predict", file, one, "--rate", "50", "--channels", "AX,1"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["predict", file, one, "--channels", "ay,az"]) == 2
    assert "1.csv has no channel 'ay'." in capsys.readouterr().err
    assert main(["stream", file, one, "--json"]) == 0
    assert capsys.readouterr().err.startswith(f"note: {one}: it does not state its rate")


def test_one_class_for_far_more_than_a_sequence_is_doubted() -> None:
    model = from_network(SRNN.paper(2, [4], 2), ("a", "b"), steps=50)
    model.predict(np.zeros((200, 2)))
    with pytest.warns(RuntimeWarning, match="201 steps are read as one sequence, where .* had 50"):
        model.predict(np.zeros((201, 2)))
    each = from_network(SRNN.paper(2, [4], 2), ("a", "b"), loss="nll", steps=50)
    each.predict(np.zeros((201, 2)))  # has a class at every step


@pytest.mark.parametrize(
    ("white", "brightest", "drift"),
    [(1, 1, ""), (1, 16, "0 to 16"), (255, 255, ""), (255, 1, "0 to 1"), (255, 0, "")],
)
def test_images_of_another_white_are_named(white: float, brightest: float, drift: str) -> None:
    model = from_network(SRNN.paper(3, [4], 2), ("a", "b"), signal=WindowPath(3, white))
    with pytest.warns(RuntimeWarning, match=drift) if drift else contextlib.nullcontext():
        model.predict(np.linspace(0, brightest, 20))


def test_an_image_of_rows_and_columns_is_told_to_be_flat(tmp_path: Path) -> None:
    """Also where its columns are as many as the network's inputs, which makes them steps; real
    steps are taken."""
    model, image = from_network(SRNN.paper(3, [4], 2), ("a", "b"), signal=WindowPath(3)), np.eye(28)
    np.save(tmp_path / "x.npy", image)
    for given in (image, tmp_path / "x.npy"):
        with pytest.raises(SrnnError, match=r"28 channels; .* pixels of an image .* x\.reshape"):
            model.predict(given)
    with pytest.warns(RuntimeWarning, match=r"not windows of pixels.* as x\.reshape\(-1\)"):
        model.predict(image[:3, :3])
    flat = image.reshape(-1)
    steps = model.task.signal().whole(flat[:, None])
    assert np.array_equal(model.predict(flat).scores, model.predict(steps).scores)


def test_a_recording_may_be_a_list_or_a_tensor_of_any_kind() -> None:
    model = srnn.load("ecg-records")
    # Numbers of float16, which bfloat16 changes again.
    x = np.load(srnn.example("ecg-records"))[:300].astype(np.float16).astype(np.float32)
    half = torch.from_numpy(x).bfloat16()
    same = [x.tolist(), tuple(map(tuple, x.tolist())), [*map(tuple, x)], np.asfortranarray(x)]
    same += [torch.from_numpy(x).requires_grad_(), torch.from_numpy(x).to_sparse(), x.astype(">f4")]
    for given, plain in (*((one, x) for one in same), (half, half.float().numpy())):
        one, wanted = model.predict(given), model.predict(plain)
        assert np.array_equal(one.scores, wanted.scores)
        decisions = model.stream().push(given)
        np.testing.assert_array_equal(decisions.scores, model.stream().push(plain).scores)
    two = model.predict([x, x.tolist()])
    assert isinstance(two, list) and np.array_equal(two[0].scores, two[1].scores)
    for bad, message in (
        (x.T, r"300 channels; this network reads 2 leads .* \(samples, channels\), x\.T\."),
        (x[:, :1], "has 1 channel; this"),
    ):
        with pytest.raises(SrnnError, match=message):
            model.predict(bad)
    for read in (model.predict, model.stream().push):
        with pytest.raises(SrnnError, match="meta device has no numbers"):
            read(torch.from_numpy(x).to("meta"))
    with pytest.raises(SrnnError, match="Samples must be real numbers, not complex64"):
        model.stream().push(x * np.complex64(1j))
    model, pixels = srnn.load("digits"), np.load(srnn.example("digits")).ravel()
    # Lists of numbers that are no float and no int.
    for numbers in (pixels, np.rint(pixels).astype(np.int16), torch.from_numpy(pixels)):
        assert np.array_equal(model.predict([*numbers]).scores, model.predict(numbers).scores)


def test_sound_is_brought_to_the_clips_length(tmp_path: Path) -> None:
    sound = 0.1 * np.random.default_rng(0).standard_normal(9000).astype(np.float32)
    digits = srnn.load(make_run(tmp_path / "spoken", *SPOKEN, statistics=STANDARD))
    assert len(digits.predict(sound).scores) == 113  # as long as it is, 8 kHz
    with pytest.raises(SrnnError, match="sound at 8000 Hz"):
        digits.predict(np.stack([sound, sound], 1))


def test_the_times_of_a_long_clip_are_those_of_its_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--task.name=gsc", "--task.options.normalise=training", "--loss.name=ce_mean")
    run = make_run(tmp_path / "gsc", *words, statistics=STANDARD)
    model = srnn.load(run)
    sound = 0.1 * np.random.default_rng(0).standard_normal(16000 * 3 + 1).astype(np.float32)
    path = model.task.signal()
    starts = {48001: 16000, 16001: 0, 16000: 0, 15999: 0, 15997: -1, 1: -7999}
    for length, start in starts.items():
        clip = model.task.as_clip(sound[:length, None], path)[:, 0]
        assert model.task.clip_start(length, path) == start
        kept = clip[max(0, -start) :][: min(length, 16000)]
        np.testing.assert_array_equal(kept, sound[max(0, start) : length][:16000])
    whole, part = model.predict(sound), model.predict(sound[:8000])
    assert (whole.start_seconds, part.start_seconds) == (1.0, -0.25)
    assert len(whole.scores) == len(part.scores) == 101  # one second
    assert model.predict(np.zeros((7, 120), np.float32), form="steps").start_seconds == 0

    def predict(*words: str) -> str:
        told = "clips of 1 s, read only in their middle: 1 of 2"
        with pytest.warns(RuntimeWarning, match=told):
            assert main(["predict", str(run), *both, "--over-time", *words]) == 0
        return capsys.readouterr().out

    both = [str(tmp_path / "long.wav"), str(tmp_path / "right.wav")]
    wavfile.write(both[0], 16000, sound)
    wavfile.write(both[1], 16000, sound[:16000])
    shown = predict()
    assert all(f" {time} s " in shown for time in ("1.000", "2.010", "1.010"))
    rows = [row.split(",") for row in predict("--csv").splitlines()]
    assert [rows[place][2] for place in (1, 101, 102)] == ["1", "2", "0"]
    results = json.loads(predict("--json"))["results"]
    assert [one["start_seconds"] for one in results] == [1.0, 0.0]
    assert main(["predict", str(run), both[1]]) == 0  # without a warning


def test_ecg_takes_steps_or_leads(tmp_path: Path) -> None:
    model = srnn.load(make_run(tmp_path / "ecg", *ECG))
    spikes, leads = np.zeros((50, 4), np.float32), np.zeros((50, 2), np.float32)
    assert len(model.predict(spikes).labels) == 50 and model.predict(spikes).step_seconds == 0.004
    with pytest.raises(SrnnError, match="steps of 4 inputs"):
        model.predict(leads)  # this network was trained on spikes encoded elsewhere
    with pytest.warns(RuntimeWarning, match="lead 1, lead 2: a flat line"):
        assert len(model.predict(leads, form="signal").labels) == 50


def test_sound_in_int16_is_the_same_wherever_it_is_given(tmp_path: Path) -> None:
    """predict took full scale as 1; a stream, a file of an array and the service took 32,768 as the
    number that it is."""
    model = srnn.load("spoken-digits")
    sound = np.random.default_rng(0).normal(0, 3000, (4000, 1)).astype(np.int16)
    known = model.predict((sound / 32768).astype(np.float32))
    np.save(tmp_path / "a.npy", sound)
    np.savez(tmp_path / "b.npz", x=sound[None], y=[model.classes[3]], rate=8000)
    for same in (sound, tmp_path / "a.npy"):
        assert np.array_equal(model.predict(same).scores, known.scores)
    decoder = Decoder.of(model, segment=0)
    session = decoder.open()
    parts = [session.push(sound[:1000]), session.push(sound[1000:]), session.finish()]
    last = Decisions.joined(parts).scores[-1]
    np.testing.assert_allclose(last, known.scores[-1], atol=1e-4)
    whole = open_source(str(tmp_path / "a.npy"), decoder.signal, 100).whole()
    body = io.BytesIO()
    np.save(body, sound[None])
    sent = read_body(body.getvalue(), "application/x-npy", decoder)[0].samples
    assert np.array_equal(whole, sent) and np.array_equal(sent, sound / np.float32(32768))
    steps = model.task.encode("a", sound)
    assert len(steps) == len(known.scores)
    assert np.array_equal(model.task.reading(tmp_path / "b.npz").load("train").x[0], steps)
    with pytest.raises(SrnnError, match="too large to be encoded"):  # its power is not finite
        model.predict(np.full((9000, 1), 9e18))


@pytest.mark.slow
def test_a_long_recording_is_held_few_times() -> None:
    """What is computed between a recording and its prediction is of parts of it, or in the place of
    what was there."""
    path = ScaledPath(64, statistics=Statistics(np.zeros(64, np.float32), np.ones(64, np.float32)))
    net = SRNN(64, [2], 16, neuron="lif", readout="integrator", norm="none")
    model = from_network(net, list("abcdefghijklmnop"), loss="ce_mean", signal=path)
    recording = np.ones((2**18, 64), np.uint8)
    steps, peak = _peak(lambda: model.task.encode("long", recording))
    assert peak < 2.6 * steps.nbytes  # the parts, and the whole that is made of them
    scores = np.ones((1, 2**17, 16))
    running, peak = _peak(lambda: running_scores(scores, "ce_mean"))
    assert peak < 1.5 * running.nbytes
    confidences, peak = _peak(lambda: confidences_of(running, "ce_mean"))
    assert peak < 1.5 * confidences.nbytes


def test_a_recording_that_memory_cannot_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few kilobytes may hold so many steps that the system would end the process without a
    word."""
    net = SRNN(1, [2], 3, neuron="lif", readout="integrator", norm="none")
    model = from_network(net, list("abc")).save(tmp_path / "model.safetensors")
    long, short = tmp_path / "long.npz", tmp_path / "short.npy"
    np.savez_compressed(long, x=np.zeros((10_000, 1), np.uint8))
    np.save(short, np.zeros((100, 1), np.uint8))
    monkeypatch.setattr("srnn.files.limits.SMALL", 0)
    for left, what in (
        (700_000, "the class at every one of 10,000 steps"),
        (70_000, "to encode 10,000 samples"),
    ):
        monkeypatch.setattr("srnn.files.limits.memory_left", lambda left=left: left)
        assert main(["predict", str(model), str(long), str(short)]) == 2
        shown = capsys.readouterr()
        assert [Path(line.split()[0]).name for line in shown.out.splitlines()] == ["short.npy"]
        assert f"long.npz: {what} takes about" in shown.err
        assert "srnn stream" in shown.err.splitlines()[0]


def _peak(work: Callable[[], Any]) -> tuple[Any, int]:
    """What it returns, and the most that it had allocated at a time."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_network_in_training_mode_is_not_changed_by_a_prediction() -> None:
    """As it is after a loop of one's own: batch norm took the recording's own statistics, and kept
    them."""
    net = SRNN(2, [8], 2, generator=torch.Generator().manual_seed(0))
    model = from_network(net, ("a", "b"))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = 100 * np.random.default_rng(0).normal(size=(40, 2))
    scores = model.predict(x, form="steps").scores
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.eval()
    np.testing.assert_array_equal(scores, model.predict(x, form="steps").scores)
