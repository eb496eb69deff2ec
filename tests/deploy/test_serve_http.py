"""srnn serve: HTTP as hostile clients speak it. Every request has its time, and nothing but its own connection suffers."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

import h11
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from srnn.deploy.serve.access import KNOWN
from srnn.deploy.serve.guard import SLICE, GuardedHTTP, GuardedWebSocket, Patient
from srnn.deploy.serve.limits import Limits
from srnn.deploy.serve.places import BUSY, GUEST, STRANGER
from srnn.deploy.streaming import Decoder
from support.raw import UPGRADE, Raw, connected, streaming
from support.serving import LEADS, TOKEN, Clock, Service, expected, receive_at_once, serving, told

HOST = b"Host: 127.0.0.1\r\n"
GET = b"GET /v1/status HTTP/1.1\r\n" + HOST
POST = b"POST /v1/models/digits/classify HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
JSON = b'{"inputs": [[' + b",".join([b"[0.5]"] * 40) + b"]]}"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client makes the server say anything."""
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)
    yield
    logging.getLogger("uvicorn.error").removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def status(raw: Raw) -> int:
    return int(raw.head().split()[1])


def ended(raw: Raw) -> bool:
    """Whether the connection is closed, within the time of the socket."""
    try:
        while raw.raw.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


REQUESTS = [  # what is sent, and the status of the answer
    ("no host", b"GET /v1/status HTTP/1.1\r\n\r\n", 400), ("two hosts", GET + HOST + b"\r\n", 400),
    ("no request", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 403),
    ("another method", b"DELETE /v1/status HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    ("TRACE", b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    ("a long address", b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("a climbing address", b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("an address that is no text", b"GET /%ff%fe%00 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("a name that is no text", POST.replace(b"digits", b"%ff%00") + b"Content-Length: 0\r\n\r\n", 404),
    ("127 headers", GET + b"a:b\r\n" * 120 + b"\r\n", 200), ("many headers", GET + b"a:b\r\n" * 3000 + b"\r\n", 400),
    ("a huge header", GET + b"a: " + b"b" * 20_000 + b"\r\n\r\n", 400), ("endless headers", GET + b"a: b\r\n" * 100_000, 400),
    ("two lengths", POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
    ("a negative length", POST + b"Content-Length: -1\r\n\r\n", 400),
    ("a length of words", POST + b"Content-Length: 5x\r\n\r\nabcde", 400),
    ("a huge length", POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    ("two codings", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunks(JSON), 501),
    ("another coding", POST + b"Transfer-Encoding: xchunked\r\n\r\n" + chunks(JSON), 501),
    ("a space before the colon", GET + b"X : y\r\n\r\n", 400), ("a folded header", GET + b"X: y\r\n z\r\n\r\n", 200),
    ("a bare line feed", GET.replace(b"\r", b"") + b"\n", 200), ("a null", GET + b"X: \x00\r\n\r\n", 400),
    ("a chunk that is none", POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ("a huge chunk", POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n", 400),
    ("chunks", POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(JSON), 200),
    ("small chunks", POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(*(JSON[i : i + 1] for i in range(len(JSON)))), 200),
    ("a body of GET", GET + b"Content-Length: 5\r\n\r\nabcde", 200),
    ("another upgrade", GET + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", 200),
    ("a socket by POST", UPGRADE.replace(b"GET", b"POST"), 405), ("a socket elsewhere", UPGRADE.replace(b"ecg", b"nothing"), 404),
    ("a socket with many headers", UPGRADE.replace(b"Host", b"a:b\r\n" * 200 + b"Host"), 400),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "answer"), [case[1:] for case in REQUESTS], ids=[case[0] for case in REQUESTS])
def test_requests(service: Service, sent: bytes, answer: int) -> None:
    with connected(service.port) as raw:
        with contextlib.suppress(ConnectionError):  # refused before its end
            raw.send(sent)
        try:
            found = status(raw)
        except ConnectionError:  # refused, and what came after that reset the connection
            found = 400
        assert found == answer or (answer == 501 and found in (400, 501))
    assert service.ask("/v1/status")[0] == 200


def test_length_and_coding_together_are_read_as_one_request(service: Service) -> None:
    """Smuggling: where a proxy believes the one and the server the other, what follows is a request of the attacker's."""
    with connected(service.port) as raw:
        raw.send(
            POST
            + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunks(JSON)
            + GET
            + b"Connection: close\r\n\r\n"
        )
        assert status(raw) in (200, 400)
        answers = 1 + raw.raw.makefile("rb").read().count(b"HTTP/1.1 ")
    assert answers <= 2


def test_bodies_wait_for_continue(service: Service) -> None:
    with connected(service.port) as raw:
        raw.send(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(JSON))
        assert status(raw) == 100
        raw.send(JSON)
        assert status(raw) == 200


def test_requests_in_a_row_are_answered_in_a_row(service: Service) -> None:
    with connected(service.port) as raw:
        raw.send((GET + b"\r\n") * 20 + GET + b"Connection: close\r\n\r\n")
        assert raw.raw.makefile("rb").read().count(b"HTTP/1.1 200") == 21
    with connected(service.port) as raw:  # each may have as many headers as the first
        for _ in range(3):
            raw.send(GET + b"a:b\r\n" * 120 + b"\r\n")
            assert b'"streams"' in raw.body()
    with connected(service.port) as raw:  # but not without bound
        raw.send(POST + b"Content-Length: %d\r\n\r\n" % len(JSON) + JSON)
        answers = b""
        with contextlib.suppress(ConnectionError):
            raw.send((GET + b"\r\n") * 5000)
            while part := raw.raw.recv(65536):
                answers += part
        assert answers.count(b"HTTP/1.1 200") < 5000


@pytest.fixture(scope="module")
def quick(models: dict[str, Decoder]) -> Iterator[Service]:
    """A server with a token and no patience."""
    with serving(models, token=TOKEN, limits=Limits(start_seconds=0.3, send_seconds=0.3)) as running:
        yield running


AUTHORISED = b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"


@pytest.mark.parametrize(
    "first",
    [b"", GET + b"\r\n", GET + AUTHORISED + b"\r\n"],
    ids=["the first request", "after a refusal", "after an answer"],
)
@pytest.mark.parametrize(
    "second", [b"", b"GET ", GET + b"X-Unfinished: ", GET + AUTHORISED + b"Content-Length: 9\r\n\r\n1",
               POST + b"Content-Length: 100\r\n\r\n{", POST + AUTHORISED + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"],
    ids=["nothing", "a line", "a head", "a body of GET", "a body, refused", "a body in chunks"],
)  # fmt: skip
def test_every_request_has_its_time(quick: Service, first: bytes, second: bytes) -> None:
    """The limit was of a connection's first request: 2,064 unfinished second ones kept everyone out for ever."""
    with connected(quick.port) as raw:
        if first:
            raw.send(first)
            raw.body()
        raw.send(second)
        began = time.monotonic()
        assert ended(raw) and time.monotonic() - began < 15
    if second.startswith(POST + AUTHORISED):
        with connected(quick.port) as raw:
            raw.send(second)
            assert status(raw) == 408


def test_a_head_that_drips_has_its_time(quick: Service) -> None:
    with connected(quick.port) as raw, pytest.raises(ConnectionError):
        for _ in range(1000):
            raw.send(b"G")
            time.sleep(0.02)


def test_unfinished_second_requests_keep_nobody_out(models: dict[str, Decoder]) -> None:
    """Nor do silent sockets: with a token, without, and from one address or many."""
    with serving(models, token=TOKEN, limits=Limits(streams=4)) as running, contextlib.ExitStack() as stack:
        streams = [running.stream("ecg") for _ in range(3)]
        for number in range(150):  # there are 68 places
            raw = stack.enter_context(connected(running.port, f"127.0.0.{1 + number % 200}"))
            with contextlib.suppress(OSError, EOFError):
                if number % 2:
                    raw.send(GET + b"\r\n")
                    raw.body()
                    raw.send(GET)
        streams.append(running.stream("ecg"))
        assert running.ask("/v1/status")[1]["streams"] == 4
        for client in streams:
            client.push(LEADS)
            assert told(client.finish()) == expected(models["ecg"], LEADS)


def test_an_addresss_connections_are_bounded(models: dict[str, Decoder]) -> None:
    limits = Limits(address_connections=2)
    with serving(models, limits=limits) as running, streaming(running.port) as one, streaming(running.port) as two:
        with connected(running.port) as raw:
            assert ended(raw)
        with connected(running.port, "127.0.0.2") as raw:
            raw.send(GET + b"Connection: close\r\n\r\n")
            assert status(raw) == 200
        one.send(b"")
        two.raw.close()


def test_clients_that_do_not_read_a_recording_share_it(models: dict[str, Decoder]) -> None:
    """Each had a copy: some thousand of them took tens of gigabytes."""
    from srnn.deploy.serve.app import Recording

    recording = Recording("long", np.arange(4_000_000, dtype=np.float32).reshape(-1, 2), ("ecg",))
    with serving(models, recordings=[recording]) as running, contextlib.ExitStack() as open_ones:
        tracemalloc.start()
        open_ones.callback(tracemalloc.stop)
        for _ in range(5):
            raw = open_ones.enter_context(socket.create_connection(("127.0.0.1", running.port), 20))
            raw.sendall(b"GET /v1/recordings/0 HTTP/1.1\r\n" + HOST + b"\r\n")
            got = raw.recv(1000).partition(b"\r\n\r\n")
            assert b"content-length: 16000000" in got[0].lower()
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
        body = bytearray(got[2])
        while len(body) < 16_000_000:
            body += raw.recv(2**20)
        assert body == recording.samples.tobytes()


def test_answers_that_are_not_read_do_not_hold_a_connection(models: dict[str, Decoder]) -> None:
    from srnn.deploy.serve.app import Recording

    recording = Recording("long", np.zeros((2_000_000, 2), np.float32), ("ecg",))
    with serving(models, limits=Limits(send_seconds=0.3, start_seconds=0.3), recordings=[recording]) as running:
        raw = socket.socket()
        with raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.settimeout(20)
            raw.connect(("127.0.0.1", running.port))
            raw.sendall(b"GET /v1/recordings/0 HTTP/1.1\r\n" + HOST + b"\r\n")
            time.sleep(1.5)
            got = 0
            with contextlib.suppress(ConnectionError):
                while part := raw.recv(65536):
                    got += len(part)
            assert got < 16_000_000  # closed, before all of it was there


def test_what_comes_at_once_is_taken_in_slices_and_nothing_more_is_read_meanwhile() -> None:
    said, client = list[Any](), cast(Any, object.__new__(GuardedHTTP))
    client._take = said.append
    receive_at_once(client, said)
    assert said == [b"x" * SLICE, "pause", b"y" * SLICE, b"y" * SLICE, b"z", "resume"]
    client.data_received(b"x")
    assert said[-1] == b"x"


def test_frames_that_come_at_once_are_taken_in_slices_too(monkeypatch: pytest.MonkeyPatch) -> None:
    said, client = list[Any](), cast(Any, object.__new__(GuardedWebSocket))

    def taken(_: Any, data: bytes) -> None:
        said.append(data)
        client.handle_events()

    monkeypatch.setattr(WebSocketsSansIOProtocol, "data_received", taken)
    monkeypatch.setattr(WebSocketsSansIOProtocol, "handle_events", lambda _: None)
    client.read_paused, client.conn = False, SimpleNamespace(handshake_exc=None, events=["a frame"])
    receive_at_once(client, said)
    assert said == [b"x" * SLICE, b"y" * SLICE, "pause", b"y" * SLICE, "pause", b"z", "resume"]


def test_an_answer_to_a_ping_may_wait_behind_what_its_client_has_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, client = list[bool](), cast(Any, object.__new__(GuardedWebSocket))
    monkeypatch.setattr(WebSocketsSansIOProtocol, "send_keepalive_ping", lambda _: None)
    monkeypatch.setattr(WebSocketsSansIOProtocol, "keepalive_timeout", lambda _: ended.append(True))
    monkeypatch.setattr(WebSocketsSansIOProtocol, "data_received", lambda *_: None)
    client._rest, client.loop, client.ping_timeout, client.read_paused = bytearray(), Clock(), 20.0, False
    client.conn = SimpleNamespace(handshake_exc=None)
    client.send_keepalive_ping()
    client.read_paused = True  # a message takes long
    client.keepalive_timeout()
    client.read_paused, client._rest = False, bytearray(b"frames")
    client.loop.waiting.pop().call()
    client._rest = bytearray()
    client.data_received(b"frame")
    client.loop.waiting.pop().call()
    assert ended == [] and [handle.seconds for handle in client.loop.waiting] == [20.0]
    client.loop.waiting.pop().call()  # nothing has come for as long as that
    assert ended == [True] and client.loop.waiting == []


def test_a_head_and_a_body_have_their_time_and_an_answer_all_that_it_takes() -> None:
    ranks, client = list[int](), cast(Any, object.__new__(GuardedHTTP))
    client.limits, client.loop = Limits(start_seconds=10, send_seconds=5), Clock()
    client.headers, client.scope = [], None
    client.places = SimpleNamespace(set_rank=lambda _, rank: ranks.append(rank))
    client.transport = SimpleNamespace(abort=lambda: None)

    def settled(state: Any, answered: bool | None) -> tuple[list[float], int]:
        client.conn = SimpleNamespace(their_state=state)
        client.cycle = None if answered is None else SimpleNamespace(response_complete=answered)
        client._settle()
        return [handle.seconds for handle in client.loop.waiting], ranks[-1]

    assert settled(h11.IDLE, None) == ([10], STRANGER)
    assert settled(h11.SEND_BODY, None) == ([15], STRANGER) and not client._sliced
    assert settled(h11.DONE, False) == ([], BUSY)
    client.scope, client.headers = {KNOWN: True}, [(b"transfer-encoding", b"chunked")]
    assert settled(h11.IDLE, True) == ([10], GUEST) and client._sliced
    assert settled(h11.SEND_BODY, None) == ([15], GUEST) and client._sliced  # chunks may be small and many


@pytest.mark.parametrize(("read", "stays"), [(16384, True), (16383, False)])
def test_who_reads_too_slowly_is_cut_off_and_who_reads_again_is_left_alone(read: int, stays: bool) -> None:
    buffered, aborted = [100_000], list[bool]()
    client = cast(Any, Patient())
    client.limits, client.loop = Limits(), Clock()
    client.transport = SimpleNamespace(get_write_buffer_size=lambda: buffered[0], abort=lambda: aborted.append(True))
    client.pause_writing()
    buffered[0] -= read
    client.loop.waiting.pop().call()
    assert (aborted == []) == stays and len(client.loop.waiting) == stays
    client.resume_writing()
    assert client.loop.waiting == []
