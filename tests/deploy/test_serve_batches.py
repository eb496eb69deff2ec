"""srnn serve: batches equal streams; bodies and routes that are none are refused."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from pathlib import Path
from typing import Any

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

NPY = io.BytesIO()
np.save(NPY, np.ones((1, 20, 1)))
EIGHT = b"[[0], [0], [0], [0], [0], [0], [0], [0]]"
JSON, X_NPY = "application/json", "application/x-npy"


def classify_by(
    service: Service, body: Any, kind: str = "", model: str = "digits"
) -> tuple[int, Any]:
    """The answer to a body, or to an array in NumPy's format."""
    if isinstance(body, np.ndarray):
        np.save(file := io.BytesIO(), body)
        kind, body = "application/x-npy", file.getvalue()
    return service.ask(f"/v1/models/{model}/classify", body, Content_Type=kind)


NOT_FINITE, NO_NPY = "Sequence 1: sample 1 is not finite", "The body cannot"
DATA, INPUTS, SAMPLES = ("data", "body"), ("data", "inputs"), ("data", "samples")


def test_batches_equal_streams(service: Service, models: dict[str, Decoder]) -> None:
    signals = np.random.default_rng(3).random((3, 40, 1)).astype(np.float32)
    body = json.dumps({"inputs": signals.tolist()}).encode()
    status, found = classify_by(service, body, JSON)
    assert status == 200
    for one, signal in zip(found["results"], signals, strict=True):
        assert one["class"] == expected(models["digits"], signal)[-1] and one["steps"] == 40
        assert sum(one["probabilities"]) == pytest.approx(1, abs=1e-4)
    for array in (signals, np.asfortranarray(signals.astype(np.float64))):
        assert classify_by(service, array) == (200, found)
    _, found = classify_by(service, LEADS[None], model="ecg")
    assert found["results"][0]["classes"] == expected(models["ecg"], LEADS)


def wav(samples: np.ndarray, rate: int) -> bytes:
    """(n, channels) in int16 as a file of sound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((samples.shape[1], 2, rate, 0, "NONE", ""))
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def test_a_batch_of_sound(tmp_path: Path) -> None:
    ones = Statistics(np.zeros(120, np.float32), np.ones(120, np.float32))
    decoder = Decoder.of(make_run(tmp_path / "run", *SPOKEN, statistics=ones))
    sound = (np.sin(np.arange(4000) / 5) * 9000)[:, None]
    clip = wav(sound, 8000)
    with serving({"words": decoder}) as running:
        for body, steps in ((clip, 51), (wav(sound, 16000), 26)):  # half as long, at twice the rate
            status, found = classify_by(running, body, "audio/wav", "words")
            assert status == 200 and found["results"][0]["steps"] == steps
        for body, why in ((clip[:-3], "the sound is cut off"), (b"ID3" + clip, "this is not a")):
            status, found = classify_by(running, body, "audio/wav", "words")
            assert status == 422 and found["detail"].startswith(f"The body: {why}")


def test_of_stereo_sound_the_mean_is_heard() -> None:
    words = Decoder.of(srnn.load("speech-commands-mini"))
    stereo = wav(np.array([[2**14, 0], [0, -(2**14)]] * 200), 8000)
    sound = read_body(stereo, "Audio/WAV; codecs=1", words)[0].samples
    assert sound.shape[1] == 1 and 0.2 < sound.max() < 0.35
    assert sound.mean() == pytest.approx(0, abs=1e-3)


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


@pytest.mark.parametrize(
    ("media_type", "body", "status", "about"),
    [
        (JSON, b"", 422, DATA),
        (JSON, b"[" * 200000, 422, DATA),
        (JSON, b"{}", 422, INPUTS),
        (JSON, b'{"inputs": []}', 422, INPUTS),
        (JSON, b'{"inputs": [[]]}', 422, SAMPLES),
        (JSON, b'{"inputs": [[[1, 2]]]}', 422, SAMPLES),
        (JSON, b'{"inputs": [[[1], [2, 3]]]}', 422, SAMPLES),
        (JSON, b'{"inputs": [[["a"]]]}', 422, SAMPLES),
        (JSON, b'{"inputs": [%b, [[1], [NaN]]]}' % EIGHT, 422, NOT_FINITE),
        (JSON, b'{"inputs": [%b, [[1], [1e999]]]}' % EIGHT, 422, NOT_FINITE),
        (JSON, b'{"inputs": [%b, [[1], [1e300]]]}' % EIGHT, 422, NOT_FINITE),
        (JSON, b'{"inputs": [[[1]]]}', 422, "ended after 1 sample;"),
        (JSON, b'{"inputs": [[[' + b"9" * 6000 + b"]]]}", 422, ""),
        (X_NPY, b"x", 422, NO_NPY),
        (X_NPY, NPY.getvalue()[:-1], 422, NO_NPY),
        (X_NPY, NPY.getvalue()[:80], 422, NO_NPY),
        (X_NPY, NPY.getvalue().replace(b"20", b"99"), 422, NO_NPY),
        (X_NPY, NPY.getvalue().replace(b"<f8", b"|O8"), 422, NO_NPY),
        (X_NPY, NPY.getvalue().replace(b"(1, 20, 1)", b"(20, 1, 1)"), 422, ""),
        (X_NPY, NPY.getvalue().replace(b"(1, 20, 1)", b"(1, 1, 20)"), 422, DATA),
        ("audio/wav", b"x", 422, ("unsupported", "Content-Type")),
        ("text/plain", b"x", 422, ("value", "Content-Type")),
        (JSON, b" " * 5_000_000, 413, DATA),
    ],
)
def test_bad_batches(
    service: Service, media_type: str, body: bytes, status: int, about: tuple[str, str] | str
) -> None:
    """Refused for a kind and a field, or, by a reader that others use, in its words."""
    found, answer = classify_by(service, body, media_type)
    assert found == status and set(answer) == {"detail", "kind", "field"}
    if isinstance(about, str):
        assert about in answer["detail"]
    else:
        assert (answer["kind"], answer["field"]) == about, answer


def test_routes_that_are_not_there(service: Service) -> None:
    def refused(path: str, body: bytes | None = None) -> tuple[int, str, str]:
        status, answer = service.ask(path, body)
        assert "\n" not in answer["detail"]
        return status, answer["kind"], answer["field"]

    assert refused("/v1/models/nothing/classify", b"{}") == (404, "name", "nothing")
    for number in ("7", "x", "-1", "00", "9" * 200):  # some were answered by pydantic
        assert refused(f"/v1/recordings/{number}") == (404, "name", number)
    assert refused("/nowhere") == (404, "name", "/nowhere")
    path = "/v1/models/ecg/classify"
    assert refused(path) == (405, "unsupported", path)
    with pytest.raises(InvalidStatus, match="404") as caught:
        service.open("nothing")
    answer = json.loads(caught.value.response.body or b"")
    assert (answer["kind"], answer["field"]) == ("name", "nothing")
