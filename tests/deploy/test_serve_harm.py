"""srnn serve: no client harms another; limits hold."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from websockets.exceptions import ConnectionClosed, InvalidStatus

from srnn.deploy.serve import stream
from srnn.deploy.serve.limits import Limits
from srnn.deploy.streaming import Decoder, Session
from srnn.errors import SrnnError
from support.raw import BINARY, PING, UPGRADE, frame, streaming
from support.serving import LEADS, QUICK, Client, Service, expected, serving, told

BAD_STARTS: list[tuple[Any, str]] = [
    (b"\0\0\0\0", "first message"),
    ("", "JSON object"),
    ("[]", "needs a known type"),
    ("{", "JSON object"),
    ("[" * 100000, "JSON object"),
    ("[" * 5000, "JSON object"),  # fewer than are refused unread, but deeper than a parser goes
    ('{"type": "begin"}', "needs a known type"),
    ('{"type": "finish"}', "first message"),
    ('{"type": "start", "formt": "int16"}', "Did you mean 'format'?"),
    ('{"type": "start", "format": "int8"}', "'format' must be one of"),
    ('{"type": "start", "format": null}', "'format' must be one of"),
    ('{"type": "start", "report": []}', "'report' must be one of"),
    ('{"type": "start", "trace": 1}', "true or false"),
    ('{"type": "start", "probabilities": 1}', "true or false"),
    ('{"type": "start", "state_every": 0}', "must be an integer from 1"),
    ('{"type": "start", "state_every": 9007199254740992}', "must be an integer from 1"),
    ('{"type": "start", "state": {}}', "not a state"),
]
BAD_MESSAGES: list[tuple[Any, str]] = [
    (b"\0" * 7, "ends within a sample of 8"),
    (b"\0" * 4, "ends within a sample of 8"),
    ('{"type": "samples", "samples": [[true, 1]]}', "rows of numbers"),
    (np.array([0, 1, np.nan, 1], "<f4").tobytes(), "Sample 6 is not finite in channel 0"),
    (np.array([1, -np.inf], "<f4").tobytes(), "Sample 5 is not finite in channel 1"),
    ('{"type": "samples", "samples": [[1, 2], [1, NaN]]}', "Sample 6 is not finite in channel 1"),
    ('{"type": "start"}', "started only once"),
    ('{"type": "samples"}', "rows of numbers"),
    ('{"type": "samples", "samples": [[1, 2, 3]]}', "rows of 2 numbers"),
    ('{"type": "samples", "samples": {"a": 1}}', "rows of numbers"),
    ('{"type": "samples", "samples": [[1], [2, 3]]}', "same length"),
    # 200 kB of texts, which an array of texts would make 18 GB of, and hold everybody up meanwhile
    (
        json.dumps({"type": "samples", "samples": [["x" * 100_000, *[""] * 45_000]]}, separators=(",", ":")),
        "rows of numbers",
    ),
    (json.dumps({"type": "samples", "samples": [[["x" * 100_000, *[""] * 40_000]]]}), "rows of numbers"),
    ('{"type": "samples", "samples": [[1, 18446744073709551616]]}', "rows of numbers"),
    ("null", "needs a known type"),
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
    # By default its own library gives up after 20 s in which the server had too much to compute to answer a ping.
    client = Client(service.open("ecg", ping_interval=None), report="end")
    block = np.zeros((30000, 2), "<f4").tobytes()
    for _ in range(2):
        client.socket.send(block)
    client.say(type="finish")
    while json.loads(client.socket.recv(timeout=180))["type"] != "end":
        pass


def _never_reads(service: Service) -> None:
    """Asks for everything and takes nothing."""
    asked = json.dumps({"type": "start", "probabilities": True, "trace": True}).encode()
    with streaming(service.port, asked) as client:
        client.raw.settimeout(0.2)
        began, block = time.monotonic(), frame(BINARY, np.zeros((4000, 2), "<f4").tobytes())
        rest = b""
        while time.monotonic() - began < 60:
            rest = rest or block
            try:
                rest = rest[client.raw.send(rest) :]
            except TimeoutError:
                continue
            except OSError:  # reset by the server
                return
    raise AssertionError("a client that never reads was served on and on")


def _pings_without_reading(service: Service) -> None:
    with streaming(service.port) as client:
        pings = frame(PING, b"x" * 125) * 500
        try:
            for _ in range(400):
                client.send(pings)
        except OSError:
            return
    raise AssertionError("26 MB of answers to pings were kept")


def _slow_start(service: Service) -> None:
    """Connections that say nothing, or begin and stop; and a stream that never starts."""
    began = time.monotonic()
    assert _send_raw(service.port, b"") == b"" and _send_raw(service.port, b"GET / HTT") == b""
    assert time.monotonic() - began < 9  # and not the 10 s after which it would give up itself
    with pytest.raises(ConnectionClosed), service.open("ecg") as stream:
        # The service and all that harms it share this process, so its own second may take some.
        assert "did not start within 1 s" in stream.recv(timeout=10)
        stream.recv(timeout=10)
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
        # What is not read fills this at once; by itself, the system would take some megabytes first.
        running.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        honest = [running.stream("ecg") for _ in range(4)]
        harm = [pool.submit(one, running) for one in HARM]
        longest, at = 0.0, 0
        while at < len(LEADS) or not all(one.done() for one in harm):
            for client in honest:
                began = time.monotonic()
                client.push(LEADS[at : at + 5])  # in the end, nothing
                client.state()
                longest = max(longest, time.monotonic() - began)
            at += 5
        for one in harm:
            one.result()
        assert all(told(client.finish()) == wanted for client in honest)
        status = running.ask("/v1/status")[1]
    assert longest < 5 and status["streams"] <= 1, (longest, status)  # generous: the machine may be busy
    # Of the server; the hostile clients' own library may stumble when it is cut off.
    records = [record for record in caplog.records if record.name != "websockets.client"]
    assert not [record for record in records if "Traceback" in (record.exc_text or "")]


def test_limits_of_streams(models: dict[str, Decoder]) -> None:
    with serving(models, limits=Limits(streams=2, start_seconds=1, idle_seconds=0.3, stream_seconds=1.2)) as running:
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
            assert "may last at most 1.2 s" in message["message"]
            break
        assert running.ask("/v1/status")[1]["refused"] == 1
    for bad in (0, -1, float("inf"), float("nan"), True, "5"):
        with pytest.raises(SrnnError, match="above 0"):
            Limits(streams=bad)  # type: ignore[arg-type]
    assert QUICK.streams == 2000


def test_who_could_not_be_heard_has_not_been_silent(
    models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was stopped for longer than a client may be silent ended its stream for that, with its samples unread."""
    stopped, encode = threading.Event(), Session.encode

    def slow(session: Session, block: Any) -> Any:  # computed in the server's loop
        if not stopped.is_set():
            stopped.set()
            time.sleep(0.6)
        return encode(session, block)

    monkeypatch.setattr(Session, "encode", slow)
    with serving(models, limits=Limits(idle_seconds=0.3)) as running:
        busy, client = running.stream("ecg"), running.stream("ecg")
        busy.push(LEADS[:1])
        assert stopped.wait(10)
        client.push(LEADS[:100])
        assert client.finish()[-1] == {"type": "end", "samples": 100, "steps": 100}


def test_a_busy_server_still_ends_who_never_starts(models: dict[str, Decoder]) -> None:
    """Streams of a network that is not compiled kept the loop late all the time: as after a stop, it waited again and again."""

    async def silence() -> None:
        await asyncio.Event().wait()

    async def flood() -> None:
        while True:
            time.sleep(0.05)  # all others wait
            await asyncio.sleep(0)

    async def never_starts() -> None:
        busy = asyncio.create_task(flood())
        client = stream.StreamConnection(SimpleNamespace(receive=silence), "ecg", models["ecg"], Limits(), b"")  # type: ignore
        with pytest.raises(stream.TooLong, match=r"did not start within 0\.1 s"):
            async with asyncio.timeout(5):
                await client._receive(0.1, "did not start within")
        busy.cancel()

    asyncio.run(never_starts())


def test_turns_of_a_slow_network_are_short(models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch) -> None:
    """512 steps of one that is not compiled took an eighth of a second, while all other streams waited. They still did after
    some short messages, which lengthened the turns again."""
    client = stream.StreamConnection(None, "ecg", models["ecg"], Limits(), b"")  # type: ignore[arg-type]
    now, turns = 0.0, []

    def decide(session: Session, steps: Any, probe: Any) -> None:
        nonlocal now
        now += float(steps.sum())

    monkeypatch.setattr(Session, "encode", lambda session, block: block)
    monkeypatch.setattr(Session, "decide", decide)
    monkeypatch.setattr(stream, "time", SimpleNamespace(thread_time=lambda: now))

    async def take_turns() -> None:
        for seconds in [1e-3] * 5 + [1e-6] * 8 + [1.0] * 12:
            turns.append(client._turn)
            if len(turns) == 5:
                for _ in range(9):  # short messages
                    await client._decide(np.full(1, seconds))
            await client._decide(np.full(client._turn, seconds))

    asyncio.run(take_turns())
    assert turns == [64, 32, 16, 8, 8, 8, 16, 32, 64, 128, 256, 512, 512, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 1, 1]


def test_what_a_client_left_behind_is_not_computed_to_its_end(
    models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing has to be sent before the end, nothing told that nobody was there."""
    monkeypatch.setattr(stream, "TURN", 1)
    with serving(models) as running:
        client = running.stream("ecg", report="end")
        client.push(np.tile(LEADS, (40, 1)))
        client.socket.close()
        began = time.monotonic()
        while running.ask("/v1/status")[1]["streams"]:
            time.sleep(0.01)
        assert time.monotonic() - began < 10  # of half a minute


@pytest.mark.parametrize("cut", ["in a frame", "between two frames"])
def test_of_a_message_that_breaks_off_nothing_is_kept(cut: str, models: dict[str, Decoder]) -> None:
    """A connection's objects refer to themselves: what they hold would stay until old objects are collected."""

    def kept(connection: Any) -> int:
        return len(connection.conn.reader.buffer) + sum(map(len, connection.frames)) + len(connection._rest)

    sent = frame(2, bytes(200_000))
    sent = sent[:-1] if cut == "in a frame" else bytes([2, *sent[1:]])  # not the last frame
    with serving(models) as running:
        with streaming(running.port) as raw:
            raw.send(sent)
            (connection,) = running.server.server_state.connections
            while kept(connection) < 199_000:
                time.sleep(0.01)
        while running.server.server_state.connections:
            time.sleep(0.01)
        assert kept(connection) == 0


def test_signals_that_come_again_leave_nothing_in_the_log(
    models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ctrl-C twice: who is still sending is released, not cut off in the middle."""
    monkeypatch.setattr("srnn.deploy.serve.server.GRACE", 0.4)
    head = b"POST /v1/models/ecg/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"
    with serving(models) as running, socket.create_connection(("127.0.0.1", running.port), 20) as slow:
        monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)  # to caplog
        client = running.stream("ecg")
        slow.sendall(head)
        while len(running.server.server_state.tasks) < 2:
            time.sleep(0.01)
        for _ in range(2):
            running.server.handle_exit(signal.SIGINT, None)
        with pytest.raises(ConnectionClosed):
            client.hear()
        assert slow.recv(1) == b""
    assert not caplog.records, caplog.text
