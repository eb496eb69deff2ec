"""srnn serve: batches equal streams; bodies and routes that are none are refused."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from websockets.exceptions import InvalidStatus

import srnn
from srnn.data.encoders import Statistics
from srnn.deploy.predicting import predict
from srnn.deploy.serve.batch import classify, read_body
from srnn.deploy.streaming import Decoder
from support.runs import ECG, SPOKEN, make_run
from support.serving import LEADS, Service, expected, serving


def test_batches_equal_streams(service: Service, models: dict[str, Decoder]) -> None:
    signals = np.random.default_rng(3).random((3, 40, 1)).astype(np.float32)
    body = json.dumps({"inputs": signals.tolist()}).encode()
    status, found = service.ask("/v1/models/digits/classify", body, Content_Type="application/json")
    assert status == 200 and [one["class"] for one in found["results"]] == [
        expected(models["digits"], signal_)[-1] for signal_ in signals
    ]
    assert all(
        abs(sum(one["probabilities"]) - 1) < 1e-4 and one["steps"] == 40 for one in found["results"]
    )
    for array in (signals, np.asfortranarray(signals.astype(np.float64))):
        file = io.BytesIO()
        np.save(file, array)
        assert service.ask(
            "/v1/models/digits/classify", file.getvalue(), Content_Type="application/x-npy"
        ) == (
            200,
            found,
        )
    file = io.BytesIO()
    np.save(file, LEADS[None])
    status, found = service.ask(
        "/v1/models/ecg/classify", file.getvalue(), Content_Type="application/x-npy"
    )
    assert found["results"][0]["classes"] == expected(models["ecg"], LEADS)


def test_a_batch_of_sound(tmp_path: Path) -> None:
    ones = Statistics(np.zeros(120, np.float32), np.ones(120, np.float32))
    decoder = Decoder.of(make_run(tmp_path / "run", *SPOKEN, statistics=ones))
    sound = (np.sin(np.arange(4000) / 5) * 9000).astype("<i2")

    def clip(rate: int) -> bytes:
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(rate)
            writer.writeframes(sound.tobytes())
        return file.getvalue()

    with serving({"words": decoder}) as running:
        status, found = running.ask(
            "/v1/models/words/classify", clip(8000), Content_Type="audio/wav"
        )
        assert status == 200 and found["results"][0]["steps"] == 51
        status, found = running.ask(
            "/v1/models/words/classify", clip(16000), Content_Type="audio/wav"
        )
        assert (
            status == 200 and found["results"][0]["steps"] == 26
        )  # half as long, at twice the rate
        status, found = running.ask(
            "/v1/models/words/classify", clip(8000)[:-3], Content_Type="audio/wav"
        )
        assert status == 422 and found["detail"].startswith("The body: the sound is cut off")
        status, found = running.ask(
            "/v1/models/words/classify", b"ID3" + clip(8000), Content_Type="audio/wav"
        )
        why = "The body: this is not a sound file of a known format (WAV, NIST SPHERE, FLAC)."
        assert (status, found["detail"]) == (422, why)  # nor is it cut off


def test_of_stereo_sound_the_mean_is_heard() -> None:
    words = Decoder.of(srnn.load("speech-commands-mini"))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((2, 2, 8000, 0, "NONE", ""))
        writer.writeframes(np.array([[2**14, 0], [0, -(2**14)]] * 200, "<i2").tobytes())
    sound = read_body(file.getvalue(), "Audio/WAV; codecs=1", words)[0].samples
    assert (
        sound.shape[1] == 1
        and 0.2 < sound.max() < 0.35
        and sound.mean() == pytest.approx(0, abs=1e-3)
    )


def test_a_sequence_longer_than_those_of_training_is_one_sequence(
    models: dict[str, Decoder],
) -> None:
    """As predict decides it: not by what a stream, which begins anew after so many steps, has at
    its end."""
    digits = Decoder.of(models["digits"].trained, segment=64)
    signal = np.random.default_rng(5).random((150, 1)).astype(np.float32)
    wanted = predict(digits.trained, signal)
    got = asyncio.run(classify(digits, signal))
    assert (got["class"], got["steps"]) == (wanted.number, 150)
    np.testing.assert_allclose(got["probabilities"], wanted.probabilities[-1], atol=1e-5)
    session = digits.open()
    session.push(signal)
    stream = digits.probabilities(session.finish().scores)[-1]
    assert not np.allclose(stream, wanted.probabilities[-1], atol=1e-3), "the two shall differ here"
    words = srnn.load("speech-commands-mini")
    word = np.load(srnn.example("speech-commands-mini"))
    long = np.concatenate([np.zeros((4000, 1), word.dtype), word, np.zeros((4000, 1), word.dtype)])
    for sound in (word, long, word[4000:12000]):
        got = asyncio.run(classify(Decoder.of(words), sound))
        wanted = words.predict(sound)
        assert not isinstance(wanted, list) and (got["label"], got["steps"]) == (wanted.label, 101)
        assert got["start_seconds"] == wanted.start_seconds == (len(sound) - len(word)) / 32000, (
            "what is cut is said"
        )


def test_late_labels_of_a_batch_stand_beside_what_they_name(tmp_path: Path) -> None:
    late = "--task.options={source: records, rule: send_on_delta, scale: running, label_lag: 6}"
    model = srnn.load(make_run(tmp_path / "ecg", *ECG, late))
    wanted = predict(model, LEADS)
    got = asyncio.run(classify(Decoder.of(model), LEADS))
    assert got["classes"] == wanted.numbers.tolist() and got["steps"] == len(LEADS)
    assert got["class"] == wanted.numbers[-1] and len(set(got["classes"])) > 1


NPY = io.BytesIO()
np.save(NPY, np.ones((1, 20, 1)))
HUGE = (
    NPY.getvalue()
    .replace(b"(1, 20, 1)", b"(1 ,2**9,1)")
    .replace(b"(1 ,2**9,1)", b"(9, 99999,1)"[:11])
)


@pytest.mark.parametrize(
    ("kind", "body", "status", "message"),
    [
        ("application/json", b"", 422, "not JSON"),
        ("application/json", b"[" * 200000, 422, "not JSON"),
        ("application/json", b"{}", 422, "a list of sequences"),
        ("application/json", b'{"inputs": []}', 422, "a list of sequences"),
        ("application/json", b'{"inputs": [[]]}', 422, "no samples"),
        ("application/json", b'{"inputs": [[[1, 2]]]}', 422, "rows of 1 numbers"),
        ("application/json", b'{"inputs": [[[1], [2, 3]]]}', 422, "same length"),
        ("application/json", b'{"inputs": [[["a"]]]}', 422, "rows of numbers"),
        (
            "application/json",
            b'{"inputs": [[[0], [0], [0], [0], [0], [0], [0], [0]], [[1], [NaN]]]}',
            422,
            "Sequence 1: sample 1 is not finite in channel 0 (counted from 0)",
        ),
        (
            "application/json",
            b'{"inputs": [[[0], [0], [0], [0], [0], [0], [0], [0]], [[1], [1e999]]]}',
            422,
            "Sequence 1: sample 1 is not finite in channel 0 (counted from 0)",
        ),
        (
            "application/json",
            b'{"inputs": [[[0], [0], [0], [0], [0], [0], [0], [0]], [[1], [1e300]]]}',
            422,
            "Sequence 1: sample 1 is not finite in channel 0 (counted from 0)",
        ),
        ("application/json", b'{"inputs": [[[1]]]}', 422, "ended after 1 sample;"),
        ("application/json", b'{"inputs": [[[' + b"9" * 6000 + b"]]]}", 422, ""),
        ("application/x-npy", b"x", 422, "The body cannot be read as a .npy array"),
        ("application/x-npy", NPY.getvalue()[:-1], 422, "The body cannot be read as a .npy array"),
        ("application/x-npy", NPY.getvalue()[:80], 422, "The body cannot be read as a .npy array"),
        (
            "application/x-npy",
            NPY.getvalue().replace(b"20", b"99"),
            422,
            "The body cannot be read as a .npy array",
        ),
        (
            "application/x-npy",
            NPY.getvalue().replace(b"<f8", b"|O8"),
            422,
            "The body cannot be read as a .npy array",
        ),
        (
            "application/x-npy",
            NPY.getvalue().replace(b"(1, 20, 1)", b"(2, 10, 1)").replace(b"2, 10", b"20, 1"),
            422,
            "",
        ),
        ("audio/wav", b"x", 422, "not sound"),
        ("text/plain", b"x", 422, "content type"),
        ("application/json", b" " * 5_000_000, 413, "at most 4194304 bytes"),
    ],
)
def test_bad_batches(service: Service, kind: str, body: bytes, status: int, message: str) -> None:
    found, answer = service.ask("/v1/models/digits/classify", body, Content_Type=kind)
    assert found == status and message in answer["detail"]


def test_routes_that_are_not_there(service: Service) -> None:
    assert service.ask("/v1/models/nothing/classify", b"{}")[0] == 404
    for number in (
        "7",
        "x",
        "-1",
        "00",
        "9" * 5000,
    ):  # a path that is no number was answered with pydantic's list of problems
        assert service.ask(f"/v1/recordings/{number}") == (
            404,
            {"detail": "There is no such recording."},
        )
    assert service.ask("/v1/models/ecg/classify")[0] == 405
    with pytest.raises(InvalidStatus, match="404"):
        service.open("nothing")
