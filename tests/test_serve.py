"""srnn serve: streams and batches equal the decoder, nobody gets in without the token, and no client harms another."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
websockets = pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from serving import QUICK, Service, serving, told  # noqa: E402
from srnn.cli import main  # noqa: E402
from srnn.encoders import Statistics  # noqa: E402
from srnn.errors import SrnnError  # noqa: E402
from srnn.serve.access import is_loopback  # noqa: E402
from srnn.serve.limits import Limits  # noqa: E402
from srnn.serve.server import check_exposure  # noqa: E402
from srnn.streaming import Decoder  # noqa: E402
from srnn.streaming.statistics import run_statistics  # noqa: E402
from test_stream_decoder import DIGITS, make_run  # noqa: E402

TOKEN = "a-token-that-nobody-guesses"
PIXELS = np.random.default_rng(0).random((64, 1)).astype(np.float32)
LEADS = np.random.default_rng(1).standard_normal((800, 2)).cumsum(0).astype(np.float32)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    make_run(folder / "digits", *DIGITS)
    make_run(folder / "ecg", "--task.name", "ecg", "--task.options.source", "records", "--loss.name", "nll")
    return folder


@pytest.fixture(scope="module")
def models(runs: Path) -> dict[str, Decoder]:
    return {
        "digits": Decoder.from_run(runs / "digits"),
        "ecg": Decoder.from_run(runs / "ecg", scale=([0, 0], [5, 5])),
    }


@pytest.fixture(scope="module")
def service(models: dict[str, Decoder]) -> Iterator[Service]:
    with serving(models) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(models: dict[str, Decoder]) -> Iterator[Service]:
    with serving(models, TOKEN) as running:
        yield running


def expected(decoder: Decoder, samples: np.ndarray) -> list[int]:
    session = decoder.open()
    return [*session.push(samples).winners.tolist(), *session.finish().winners.tolist()]


# ---- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 800])
@pytest.mark.parametrize("form", ["float32", "int16", "json"])
def test_streams_equal_the_decoder(service: Service, models: dict[str, Decoder], size: int, form: str) -> None:
    whole = np.clip(np.round(LEADS * 200), -32768, 32767).astype("<i2") if form == "int16" else LEADS
    client = service.stream("ecg", format="int16" if form == "int16" else "float32", probabilities=True)
    assert client.ready["type"] == "ready" and client.ready["classes"] == ["P", "PQ", "QR", "RS", "ST", "TP"]
    assert (client.ready["channels"], client.ready["rate"], client.ready["latency"]) == (2, 250, 0.012)
    for first in range(0, 800, size):
        block = whole[first : first + size]
        if form == "json":
            client.say(type="samples", samples=block.tolist())
        else:
            client.socket.send(block.tobytes())
    heard = client.finish()
    signal_ = (whole / 32768).astype(np.float32) if form == "int16" else LEADS
    assert told(heard) == expected(models["ecg"], signal_) and told(heard, "steps") == list(range(800))
    assert np.allclose(np.sum(told(heard, "probabilities"), axis=1), 1, atol=1e-5)
    assert heard[-1] == {"type": "end", "samples": 800, "steps": 800} and told(heard, "final")[-1] is True


def test_reports_and_reset(service: Service, models: dict[str, Decoder]) -> None:
    winners = expected(models["ecg"], LEADS)
    changes = [w for i, w in enumerate(winners) if i in (0, 799) or w != winners[i - 1]]
    for report, wanted in (("change", changes), ("end", winners[-1:])):
        client = service.stream("ecg", report=report)
        for first in range(0, 800, 130):
            client.push(LEADS[first : first + 130])
        assert told(client.finish()) == wanted
    client = service.stream("ecg")
    client.push(LEADS[:300])
    client.say(type="reset")
    client.pushed = 0
    assert client.state()["samples"] in (0, 300)
    while client.heard[-1]["samples"]:
        client.state()
    client.heard.clear()
    client.push(LEADS)
    assert told(client.finish()) == winners


def test_a_trace_shows_every_step(service: Service, models: dict[str, Decoder]) -> None:
    client = service.stream("ecg", trace=True)
    client.push(LEADS[:200])
    heard = client.finish()
    traces = [message for message in heard if message["type"] == "trace"]
    assert np.allclose(np.concatenate([one["input"] for one in traces]), LEADS[:200], atol=1e-5)
    spikes = [step for one in traces for step in one["spikes"]]
    assert len(spikes) == 197 and told(heard) == expected(
        models["ecg"], LEADS[:200]
    )  # the last three come with the end
    stream = models["ecg"].stream
    session, seen = models["ecg"].open(), []
    session.push(LEADS[:200], lambda _: seen.append(stream.state[0].s[0].nonzero()[:, 0].tolist()))
    assert [step[0] for step in spikes] == seen and any(seen)
    assert all(len(row) == 8 for one in traces for row in one["membranes"])


def test_two_models_and_many_streams_side_by_side(service: Service, models: dict[str, Decoder]) -> None:
    # Decoders are not to be used from two threads: the test has its own.
    own = {name: Decoder(**_parts(decoder)) for name, decoder in models.items()}
    lock = threading.Lock()

    def walk(number: int) -> bool:
        with lock:
            name, samples = ("digits", PIXELS) if number % 2 else ("ecg", LEADS[number * 10 :])
            wanted = expected(own[name], samples)
        client = service.stream(name)
        for first in range(0, len(samples), 37 + number):
            client.push(samples[first : first + 37 + number])
        return told(client.finish()) == wanted

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(walk, range(16)))


def _parts(decoder: Decoder) -> dict[str, Any]:
    return {"network": decoder.stream._net, "task": decoder.task, "loss": decoder.loss, "live": decoder.live, "seed": 3}


# ---- states ----------------------------------------------------------------------------------------------------------


def test_states_are_told_and_taken(guarded: Service, service: Service, models: dict[str, Decoder]) -> None:
    winners = expected(models["ecg"], LEADS)
    client = guarded.stream("ecg", state_every=200)
    for first in range(0, 500, 50):
        client.push(LEADS[first : first + 50])
    kept = client.state()
    states = [message["samples"] for message in client.heard if message["type"] == "state"]
    assert states == [200, 400, 500] and kept["steps"] == 497
    client.socket.close_socket()  # gone without a word
    again = guarded.stream("ecg", state=kept["state"])
    assert (again.ready["samples"], again.ready["steps"]) == (500, 497)
    again.push(LEADS[500:])
    assert told(again.finish()) == winners[497:]
    for where, name, state, message in (
        (guarded, "digits", kept["state"], "another network"),
        (guarded, "ecg", kept["state"][:-8], "damaged"),
        (guarded, "ecg", "!", "no state that this server gave"),
        (guarded, "ecg", 7, "no state that this server gave"),
        (guarded, "ecg", "", "no state of a stream"),
        (service, "ecg", kept["state"], "not made here"),  # signed with the token
    ):
        refused = where.stream(name, state=state)
        assert refused.ready["type"] == "error" and message in refused.ready["message"]


@pytest.mark.slow
def test_a_client_goes_on_after_the_server_was_killed(runs: Path, models: dict[str, Decoder]) -> None:
    def launch(port: int) -> tuple[subprocess.Popen[str], Service]:
        code = "import sys; from srnn.cli import main; sys.exit(main(sys.argv[1:]))"
        words = ["serve", str(runs / "ecg"), "--port", str(port), "--json", "--mean", "0,0", "--std", "5,5"]
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"SRNN_TOKEN": TOKEN},
        )
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["token"] is None and ready["token_needed"] and ready["models"] == ["ecg"]
        return process, Service(ready["port"], TOKEN)

    process, running = launch(0)
    try:
        client = running.stream("ecg", state_every=100)
        client.push(LEADS[:350])
        client.state()
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises((ConnectionClosed, OSError)):
            while True:
                client.hear()
        kept = [message for message in client.heard if message["type"] == "state"][-1]
        process.stdout.close()  # type: ignore[union-attr]
        process, running = launch(running.port)
        again = running.stream("ecg", state=kept["state"])
        again.push(LEADS[kept["samples"] :])
        winners = expected(models["ecg"], LEADS)
        assert told(client.heard)[: kept["steps"]] + told(again.finish()) == winners
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


# ---- who may come in -------------------------------------------------------------------------------------------------

ROUTES = (
    "/",
    "/v1/models",
    "/v1/status",
    "/v1/recordings",
    "/v1/recordings/0",
    "/v1/models/ecg/classify",
    "/nowhere",
    "/docs",
)


@pytest.mark.parametrize(
    "given", ["", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xe4"]
)
def test_without_the_token_nobody_gets_in(guarded: Service, given: str) -> None:
    for path in ROUTES:
        assert guarded.ask(path, Authorization=given)[0] == 401
        assert guarded.ask(f"{path}?token=wrong", Authorization=given)[0] == 401
    assert guarded.ask("/v1/models/ecg/classify", b"{}", Authorization=given)[0] == 401
    for query in (
        "",
        "?token=",
        "?token=wrong",
        f"?token={TOKEN[:-1]}",
        f"?TOKEN={TOKEN}",
        "?token=%ff",
        "?" + "a&" * 50,
    ):
        with pytest.raises(InvalidStatus) as caught:
            websockets.sync.client.connect(
                f"ws://127.0.0.1:{guarded.port}/v1/models/ecg/stream{query}",
                additional_headers={"Authorization": given},
            )
        assert caught.value.response.status_code == 401


def test_with_the_token(guarded: Service) -> None:
    assert guarded.ask("/v1/models")[0] == 200
    assert guarded.ask(f"/v1/models?token={TOKEN}", Authorization="")[0] == 200
    assert b"srnn live" in guarded.ask(f"/?token={TOKEN}", Authorization="")[1]
    assert guarded.ask("/docs")[0] == guarded.ask("/openapi.json")[0] == 404
    url = f"ws://127.0.0.1:{guarded.port}/v1/models/ecg/stream?token={TOKEN}"
    with websockets.sync.client.connect(url) as stream:
        stream.send('{"type": "start"}')
        assert json.loads(stream.recv())["type"] == "ready"


def test_other_pages_and_names_are_refused(service: Service) -> None:
    host = f"127.0.0.1:{service.port}"
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{service.port + 1}", "http://[", ""):
        assert service.ask("/v1/models", Origin=origin)[0] == 403
        with pytest.raises(InvalidStatus, match="403"):
            service.open("ecg", origin=origin or "file://")
    assert service.ask("/v1/models", Origin=f"http://{host}")[0] == 200
    for name in ("evil.example", "127.0.0.1.evil.example", "[", "", "10.0.0.1", "localhost@evil.example:80"):
        assert service.ask("/v1/models", Host=name)[0] in (400, 403)
    assert service.ask("/v1/models", Host=f"localhost:{service.port}")[0] == 200


def test_what_is_exposed_needs_a_good_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org"):
        with pytest.raises(SrnnError, match="others can reach this server: give it a token"):
            check_exposure(host, None)
        check_exposure(host, TOKEN)
    with pytest.raises(SrnnError, match="16 characters or more"):
        check_exposure("127.0.0.1", "short")
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "[::1]", "127.9.9.9", "0.0.0.0", "x", "")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip


# ---- batches ---------------------------------------------------------------------------------------------------------


def test_batches_equal_streams(service: Service, models: dict[str, Decoder]) -> None:
    signals = np.random.default_rng(3).random((3, 40, 1)).astype(np.float32)
    body = json.dumps({"inputs": signals.tolist()}).encode()
    status, found = service.ask("/v1/models/digits/classify", body, Content_Type="application/json")
    assert status == 200 and [one["class"] for one in found["results"]] == [
        expected(models["digits"], signal_)[-1] for signal_ in signals
    ]
    assert all(abs(sum(one["probabilities"]) - 1) < 1e-4 and one["steps"] == 40 for one in found["results"])
    for array in (signals, np.asfortranarray(signals.astype(np.float64))):
        file = io.BytesIO()
        np.save(file, array)
        assert service.ask("/v1/models/digits/classify", file.getvalue(), Content_Type="application/x-npy") == (
            200,
            found,
        )
    file = io.BytesIO()
    np.save(file, LEADS[None])
    status, found = service.ask("/v1/models/ecg/classify", file.getvalue(), Content_Type="application/x-npy")
    assert found["results"][0]["classes"] == expected(models["ecg"], LEADS)


def test_a_batch_of_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srnn.tasks import SpokenDigitsTask

    make_run(
        tmp_path / "run",
        "--task.name",
        "spoken-digits",
        "--task.options.normalise",
        "training",
        "--loss.name",
        "ce_mean",
    )
    ones = Statistics(np.zeros(120, np.float32), np.ones(120, np.float32))
    monkeypatch.setattr(SpokenDigitsTask, "statistics", lambda self, data_dir: ones)
    decoder = Decoder.from_run(tmp_path / "run")
    assert np.array_equal(run_statistics(tmp_path / "run", decoder.task)[0], ones[0])  # type: ignore[arg-type]
    sound = (np.sin(np.arange(4000) / 5) * 9000).astype("<i2")

    def clip(rate: int) -> bytes:
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            (
                writer.setnchannels(1),
                writer.setsampwidth(2),
                writer.setframerate(rate),
                writer.writeframes(sound.tobytes()),
            )
        return file.getvalue()

    with serving({"words": decoder}) as running:
        status, found = running.ask("/v1/models/words/classify", clip(8000), Content_Type="audio/wav")
        assert status == 200 and found["results"][0]["steps"] == 51
        status, found = running.ask("/v1/models/words/classify", clip(16000), Content_Type="audio/wav")
        assert status == 422 and "16000 samples a second; this network reads 8000" in found["detail"]
        status, found = running.ask("/v1/models/words/classify", clip(8000)[:-3], Content_Type="audio/wav")
        assert status == 422 and "cut off" in found["detail"]


NPY = io.BytesIO()
np.save(NPY, np.ones((1, 20, 1)))
HUGE = NPY.getvalue().replace(b"(1, 20, 1)", b"(1 ,2**9,1)").replace(b"(1 ,2**9,1)", b"(9, 99999,1)"[:11])


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
        ("application/json", b'{"inputs": [[[NaN]]]}', 422, "not finite"),
        ("application/json", b'{"inputs": [[[1e999]]]}', 422, "not finite"),
        ("application/json", b'{"inputs": [[[1e300]]]}', 422, "not finite"),
        ("application/json", b'{"inputs": [[[1]]]}', 422, "ended after 1 samples"),
        ("application/json", b'{"inputs": [[[' + b"9" * 6000 + b"]]]}", 422, ""),
        ("application/x-npy", b"x", 422, "no .npy file"),
        ("application/x-npy", NPY.getvalue()[:-1], 422, "no .npy file"),
        ("application/x-npy", NPY.getvalue()[:80], 422, "no .npy file"),
        ("application/x-npy", NPY.getvalue().replace(b"20", b"99"), 422, "no .npy file"),
        ("application/x-npy", NPY.getvalue().replace(b"<f8", b"|O8"), 422, "no .npy file"),
        (
            "application/x-npy",
            NPY.getvalue().replace(b"(1, 20, 1)", b"(2, 10, 1)").replace(b"2, 10", b"20, 1"),
            422,
            "",
        ),
        ("audio/wav", b"x", 422, "not sound"),
        ("text/plain", b"x", 422, "content type"),
        ("application/json", b" " * 5_000_000, 413, "4194304 bytes at most"),
    ],
)
def test_bad_batches(service: Service, kind: str, body: bytes, status: int, message: str) -> None:
    found, answer = service.ask("/v1/models/digits/classify", body, Content_Type=kind)
    assert found == status and message in answer["detail"]


def test_routes_that_are_not_there(service: Service) -> None:
    assert service.ask("/v1/models/nothing/classify", b"{}")[0] == 404
    assert service.ask("/v1/recordings/7")[0] == 404 and service.ask("/v1/recordings/x")[0] == 422
    assert service.ask("/v1/models/ecg/classify")[0] == 405
    with pytest.raises(InvalidStatus, match="404"):
        service.open("nothing")


# ---- clients that mean harm ------------------------------------------------------------------------------------------

BAD_STARTS: list[tuple[Any, str]] = [
    (b"\0\0\0\0", "first message"),
    ("", "JSON object"),
    ("[]", "has a type"),
    ("{", "JSON object"),
    ("[" * 100000, "JSON object"),
    ('{"type": "begin"}', "has a type"),
    ('{"type": "finish"}', "first message"),
    ('{"type": "start", "formt": "int16"}', "Did you mean 'format'?"),
    ('{"type": "start", "format": "int8"}', "'format' is one of"),
    ('{"type": "start", "report": []}', "'report' is one of"),
    ('{"type": "start", "trace": 1}', "true or false"),
    ('{"type": "start", "state_every": 0}', "at least 1"),
    ('{"type": "start", "state": {}}', "no state"),
]
BAD_MESSAGES: list[tuple[Any, str]] = [
    (b"\0" * 7, "ends within a sample of 8"),
    (np.array([np.nan, 1], "<f4").tobytes(), "not finite"),
    (np.array([1, -np.inf], "<f4").tobytes(), "not finite"),
    ('{"type": "start"}', "started once"),
    ('{"type": "samples"}', "rows of numbers"),
    ('{"type": "samples", "samples": [[1, 2, 3]]}', "rows of 2 numbers"),
    ('{"type": "samples", "samples": {"a": 1}}', "rows of numbers"),
    ('{"type": "samples", "samples": [[1], [2, 3]]}', "same length"),
    ("null", "has a type"),
]


@pytest.mark.parametrize(("message", "answer"), BAD_STARTS)
def test_bad_starts_end_their_stream_only(service: Service, message: Any, answer: str) -> None:
    stream = service.open("ecg")
    stream.send(message)
    found = json.loads(stream.recv(timeout=20))
    assert found["type"] == "error" and answer in found["message"]
    with pytest.raises(ConnectionClosed) as caught:
        stream.recv(timeout=20)
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 1008


def test_bad_messages_end_their_stream_only(service: Service, models: dict[str, Decoder]) -> None:
    honest = service.stream("ecg")
    pieces = iter(np.array_split(LEADS, len(BAD_MESSAGES) + 1))
    for message, answer in BAD_MESSAGES:
        honest.push(next(pieces))
        bad = service.stream("ecg")
        bad.push(LEADS[:5])
        bad.socket.send(message)
        while (found := bad.hear())["type"] != "error":
            pass
        assert answer in found["message"]
        with pytest.raises(ConnectionClosed):
            bad.hear()
    honest.push(next(pieces))
    assert told(honest.finish()) == expected(models["ecg"], LEADS)


def _send_raw(port: int, data: bytes, wait: float = 0.0) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as raw:
        try:
            raw.sendall(data)
            time.sleep(wait)
            raw.settimeout(5)
            return raw.recv(65536)
        except OSError:
            return b""


UPGRADE = (
    b"GET /v1/models/ecg/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def _oversized(service: Service) -> None:
    client = service.stream("ecg")
    with pytest.raises(ConnectionClosed) as caught:
        client.socket.send(b"\0" * 300_000)
        while True:
            client.hear()
    assert caught.value.rcvd is None or caught.value.rcvd.code == 1009


def _endless_fragments(service: Service) -> None:
    client = service.stream("ecg")
    with pytest.raises(ConnectionClosed):
        client.socket.send(b"\0" * 4096 for _ in range(1000))
        while True:
            client.hear()


def _garbage(service: Service) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        _send_raw(service.port, rng.bytes(3000))
        _send_raw(service.port, UPGRADE + rng.bytes(500))
    _send_raw(service.port, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000)
    _send_raw(service.port, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 200_000)


def _flood(service: Service) -> None:
    client = service.stream("ecg", report="end")
    block = np.zeros((30000, 2), "<f4").tobytes()
    for _ in range(4):
        client.socket.send(block)
    client.finish()


def _never_reads(service: Service) -> None:
    """Asks for everything and takes nothing."""
    with socket.create_connection(("127.0.0.1", service.port), 10) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(UPGRADE)
        text = json.dumps({"type": "start", "probabilities": True, "trace": True}).encode()
        raw.sendall(_frame(1, text))
        raw.settimeout(0.2)
        began, block = time.monotonic(), _frame(2, np.zeros((4000, 2), "<f4").tobytes())
        rest = b""
        while time.monotonic() - began < 25:
            rest = rest or block
            try:
                rest = rest[raw.send(rest) :]
            except TimeoutError:
                continue
            except OSError:  # reset by the server
                return
    raise AssertionError("a client that never reads was served on and on")


def _frame(opcode: int, data: bytes) -> bytes:
    """A masked frame (with a mask of zeros)."""
    size = len(data)
    head = bytes([0x80 | opcode]) + (
        bytes([0x80 | size]) if size < 126
        else bytes([0x80 | 126]) + size.to_bytes(2, "big") if size < 65536
        else bytes([0x80 | 127]) + size.to_bytes(8, "big")
    )  # fmt: skip
    return head + b"\0\0\0\0" + data


def _pings_without_reading(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), 10) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(UPGRADE + _frame(1, b'{"type": "start"}'))
        raw.settimeout(8)
        pings = _frame(9, b"x" * 125) * 500
        try:
            for _ in range(400):
                raw.sendall(pings)
        except OSError:
            return
    raise AssertionError("26 MB of answers to pings were kept")


def _slow_start(service: Service) -> None:
    """Connections that say nothing, or begin and stop; and a stream that never starts."""
    began = time.monotonic()
    assert _send_raw(service.port, b"") == b"" and _send_raw(service.port, b"GET / HTT") == b""
    assert time.monotonic() - began < 6
    with pytest.raises(ConnectionClosed), service.open("ecg") as stream:
        assert "did not start for 1 s" in stream.recv(timeout=5)
        stream.recv(timeout=5)
    assert b" 408 " in _send_raw(
        service.port,
        b"POST /v1/models/ecg/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{", 1.5,
    )  # fmt: skip


HARM = (_oversized, _endless_fragments, _garbage, _flood, _never_reads, _pings_without_reading, _slow_start)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_hostile_clients_harm_no_other_stream(models: dict[str, Decoder], caplog: pytest.LogCaptureFixture) -> None:
    wanted = expected(models["ecg"], LEADS)
    with serving(models) as running, ThreadPoolExecutor(len(HARM)) as pool:
        honest = [running.stream("ecg") for _ in range(4)]
        harm = [pool.submit(one, running) for one in HARM]
        longest, at = 0.0, 0
        while at < 800 or not all(one.done() for one in harm):
            if at < 800:
                for client in honest:
                    began = time.monotonic()
                    client.push(LEADS[at : at + 5])
                    client.state()
                    longest = max(longest, time.monotonic() - began)
                at += 5
            else:
                time.sleep(0.05)
        for one in harm:
            one.result()
        assert all(told(client.finish()) == wanted for client in honest)
        status = running.ask("/v1/status")[1]
    assert longest < 5 and status["streams"] <= 1, (longest, status)  # generous: the machine may be busy
    assert not [record for record in caplog.records if "Traceback" in (record.exc_text or "")]


def test_limits_of_streams(models: dict[str, Decoder]) -> None:
    with serving(models, limits=Limits(streams=2, idle_seconds=0.3, stream_seconds=1.2)) as running:
        first, second = running.stream("ecg"), running.stream("ecg")
        with pytest.raises(InvalidStatus, match="503"):
            running.open("ecg")
        assert "sent nothing for 0.3 s" in second.hear()["message"]
        with pytest.raises(ConnectionClosed) as caught:
            second.hear()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 4408
        until = time.monotonic() + 10
        while running.ask("/v1/status")[1]["streams"]:
            assert time.monotonic() < until
            time.sleep(0.05)
        with pytest.raises(ConnectionClosed):
            while True:
                first.hear()
        long = running.stream("ecg", report="end")
        while True:
            long.push(LEADS[:5])
            try:
                message = json.loads(long.socket.recv(timeout=0.1))
            except TimeoutError:
                continue
            assert "lasts 1.2 s at most" in message["message"]
            break
        assert running.ask("/v1/status")[1]["refused"] == 1
    for bad in (0, -1, float("inf"), float("nan"), True, "5"):
        with pytest.raises(SrnnError, match="above 0"):
            Limits(streams=bad)  # type: ignore[arg-type]
    assert QUICK.streams == 2000


# ---- the command -----------------------------------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["serve", *words]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("srnn: ") and shown.err.count("\n") == 1
    return shown.err


def test_mistakes_are_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SRNN_TOKEN", raising=False)
    ecg, token = str(runs / "ecg"), tmp_path / "token"
    assert "is no run" in refused(capsys, "nowhere")
    assert "two models named 'ecg'" in refused(capsys, ecg, ecg)
    assert "letters, digits" in refused(capsys, f"a/b={ecg}")
    assert "others can reach this server" in refused(capsys, ecg, "--host", "0.0.0.0")
    assert "--port is a number" in refused(capsys, ecg, "--port", "70000")
    assert "above 0" in refused(capsys, ecg, "--max-streams", "0")
    assert "exclude each other" in refused(capsys, ecg, "--new-token", "--token-file", "x")
    assert "Cannot read the token" in refused(capsys, ecg, "--token-file", str(token))
    token.write_text("\n")
    assert "holds no token" in refused(capsys, ecg, "--token-file", str(token))
    token.write_text("short\n")
    assert "16 characters" in refused(capsys, ecg, "--token-file", str(token))
    assert "fits no model" in refused(capsys, ecg, "--recording", str(token))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "Cannot listen on 127.0.0.1" in refused(capsys, ecg, "--port", str(taken.getsockname()[1]))
    assert "Cannot listen on" in refused(capsys, ecg, "--host", "192.0.2.1", "--new-token")


def test_recordings_are_kept_for_the_models_that_they_fit(
    runs: Path, models: dict[str, Decoder], tmp_path: Path
) -> None:
    from srnn.commands.serve import load_recording

    np.save(tmp_path / "x.npy", LEADS)
    recording = load_recording(tmp_path / "x.npy", models)
    assert recording.models == ("ecg",) and np.array_equal(recording.samples, LEADS)
    with serving(models, recordings=[recording]) as running:
        status, found = running.ask("/v1/recordings")
        assert status == 200 and found["recordings"] == [{"number": 0, "name": "x.npy", "models": ["ecg"]}]
        assert running.ask("/v1/recordings/0") == (200, LEADS.tobytes())
