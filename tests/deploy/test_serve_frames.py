"""srnn serve: RFC 6455 as clients get it wrong. Numbers are those of the Autobahn test suite's cases that a case is modelled on.

All cases run against one server, beside one honest stream whose decisions must be those of the decoder, and leave no line in a
log. Autobahn's sections 12 and 13 are of compression, which is never agreed on here; 9 is of speed (benchmarks.serve_load).
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from srnn.deploy.serve.limits import Limits
from srnn.deploy.streaming import Decoder
from support.raw import BINARY, CLOSE, PING, PONG, TEXT, UPGRADE, Raw, closing, connected, frame, streaming
from support.serving import LEADS, Client, Service, expected, serving, told

STATE = b'{"type": "state"}'
ROWS = '{"type": "samples", "samples": [[1, 2]]}'
GREEK = '{"type": "κόσμε"}'.encode()  # 1011: not a type, but text
SAMPLES = np.zeros((30, 2), "<f4").tobytes()


class Case(NamedTuple):
    """What is sent on a stream that has begun, and what must come."""

    numbers: str
    """Of Autobahn's cases."""
    sent: bytes
    code: int | None
    """Of the close that must come; None: the stream must go on."""
    pongs: tuple[bytes, ...] = ()
    hears: bytes = b""
    """What must be in one of the answers."""


def _in_pieces(data: bytes, size: int, opcode: int = TEXT, between: bytes = b"") -> bytes:
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(
        frame(opcode if i == 0 else 0, piece, i == len(pieces) - 1) + (between if i < len(pieces) - 1 else b"")
        for i, piece in enumerate(pieces)
    )


TEXTS = [  # (numbers, text that is or is not UTF-8, whether it is)
    ("6.1.1", b"", True), ("6.2.1", "Hello-µ@ßöäüàá-UTF-8!!".encode(), True), ("6.5.1-6.5.5", "κόσμε".encode(), True),
    ("6.6.1-6.6.11", "κόσμε".encode()[:-1], False), ("6.7.1-6.7.4", b"\x00\xc2\x80\xe0\xa0\x80\xf0\x90\x80\x80", True),
    ("6.8.1", b"\xf8\x88\x80\x80\x80", False), ("6.8.2", b"\xfc\x84\x80\x80\x80\x80", False),
    ("6.9.1-6.9.4", b"\x7f\xdf\xbf\xef\xbf\xbf\xf4\x8f\xbf\xbf", True), ("6.10.1", b"\xf7\xbf\xbf\xbf", False),
    ("6.10.2", b"\xfb\xbf\xbf\xbf\xbf", False), ("6.10.3", b"\xfd\xbf\xbf\xbf\xbf\xbf", False),
    ("6.11.1-6.11.3", b"\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbd", True), ("6.11.5", b"\xf4\x90\x80\x80", False),
    ("6.12.1-6.12.8", b"\x80\xbf\x80", False), ("6.13.1-6.13.5", b"\xc0 \xc1 \xe0 \xf0 ", False),
    ("6.14.1-6.14.10", b"\xdf", False), ("6.15.1", b"\xc0\xe0\x80\xf0\x80\x80", False), ("6.16.1", b"\xfe", False),
    ("6.16.2", b"\xff", False), ("6.17.1-6.17.5", b"\xc0\xaf", False), ("6.18.1-6.18.5", b"\xe0\x9f\xbf", False),
    ("6.19.1-6.19.5", b"\xf0\x80\x80\x80", False), ("6.20.1-6.20.7", b"\xed\xa0\x80", False),
    ("6.21.1-6.21.8", b"\xed\xa0\x80\xed\xb0\x80", False), ("6.22.1-6.23.7", b"\xef\xbf\xbe\xf0\x9f\xbf\xbf", True),
]  # fmt: skip
CASES = [
    Case("1.1.1", frame(TEXT), 1008, hears=b"JSON object"),
    *(Case(f"1.1.{n}", frame(TEXT, STATE.ljust(size)), None, hears=b'"state"')
      for n, size in ((2, 125), (3, 126), (4, 127), (5, 128), (6, 65535), (7, 65536))),
    Case("1.1.8", b"".join([_in_pieces(STATE.ljust(65536), 997)]), None, hears=b'"state"'),
    Case("1.2.1", frame(BINARY), None),
    *(Case(f"1.2.{n}", frame(BINARY, bytes(size)), None) for n, size in ((2, 120), (3, 128), (4, 136), (6, 65528), (7, 65536))),
    Case("1.2.8", _in_pieces(bytes(65536), 997, BINARY), None),
    Case("2.1", frame(PING), None, (b"",)), Case("2.2", frame(PING, b"Hello, world!"), None, (b"Hello, world!",)),
    Case("2.3", frame(PING, b"\0\xff\xfe\xfd"), None, (b"\0\xff\xfe\xfd",)),
    Case("2.4", frame(PING, b"p" * 125), None, (b"p" * 125,)),
    Case("2.5", frame(PING, b"p" * 126), 1002), Case("2.7", frame(PONG), None), Case("2.8", frame(PONG, b"unasked"), None),
    Case("2.9", frame(PONG, b"unasked") + frame(PING, b"asked"), None, (b"asked",)),
    Case("2.10", b"".join(frame(PING, bytes([n])) for n in range(10)), None, tuple(bytes([n]) for n in range(10))),
    *(Case(f"3.{rsv}", frame(TEXT, STATE, rsv=rsv), 1002) for rsv in range(1, 8)),
    Case("3.5", frame(BINARY, SAMPLES, rsv=4), 1002), Case("3.6", frame(PING, b"x", rsv=5), 1002),
    Case("3.7", frame(CLOSE, b"\x03\xe8", rsv=6), 1002),
    *(Case(f"4.{1 + (opcode > 7)}.{opcode % 8 - 2}", frame(opcode, data), 1002)
      for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15) for data in (b"", b"x")),
    Case("5.1", frame(PING, b"x", False) + frame(0, b"y"), 1002), Case("5.2", frame(PONG, b"x", False) + frame(0, b"y"), 1002),
    Case("5.3-5.5", _in_pieces(STATE, 9), None, hears=b'"state"'), Case("5.5", _in_pieces(STATE, 1), None, hears=b'"state"'),
    Case("5.6-5.8", _in_pieces(STATE, 1, between=frame(PING, b"x")), None, (b"x",) * 16, b'"state"'),
    Case("5.9-5.14", frame(0, b"x"), 1002), Case("5.10", frame(0, b"x", False) + frame(0, b"y"), 1002),
    Case("5.15", _in_pieces(STATE, 9) + frame(0, b"x", False) + frame(TEXT, STATE), 1002),
    Case("5.16-5.17", frame(0, b"", False) + _in_pieces(STATE, 9), 1002),
    Case("5.18", frame(TEXT, b"{", False) + frame(TEXT, b"}"), 1002),
    Case("5.19-5.20", _in_pieces(STATE, 4, between=frame(PING, b"x")), None, (b"x",) * 4, b'"state"'),
    *(Case(numbers, _in_pieces(b'{"type": "' + text + b'"}', size), 1008 if good else 1007)
      for numbers, text, good in TEXTS for size in (2000, 1, 11)),
    Case("6.4.1", frame(TEXT, "κόσμε".encode() + b"\xf4\x90\x80\x80", False), 1007),  # at once: the end has not come
    Case("6.4.2", frame(TEXT, "κόσμε".encode(), False) + frame(0, b"\xf4\x90", False), 1007),
    Case("7.1.1-7.1.2", closing(1000), 1000), Case("7.1.3", closing() + frame(PING, b"late"), 1000),
    Case("7.1.4", closing() + frame(TEXT, STATE), 1000),
    Case("7.1.5", frame(TEXT, b"{", False) + closing() + frame(0, b"}"), 1002),
    Case("7.1.6", frame(BINARY, bytes(262144)) + closing(), 1000),
    Case("7.3.1", closing(None), 1005), Case("7.3.2", frame(CLOSE, b"\x03"), 1002), Case("7.3.3", closing(1000), 1000),
    Case("7.3.4", closing(1000, b"good bye"), 1000), Case("7.3.5", closing(1000, b"g" * 123), 1000),
    Case("7.3.6", closing(1000, b"g" * 124), 1002), Case("7.5.1", closing(1000, "κόσμε".encode() + b"\xed\xa0\x80"), 1007),
    *(Case(f"7.7.{n}", closing(code), code) for n, code in
      enumerate((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999), 1)),
    *(Case(f"7.9.{n}", closing(code), 1002) for n, code in
      enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1)),
    Case("7.13.1", closing(5000), 1002), Case("7.13.2", closing(65535), 1002),
    Case("10.1.1", _in_pieces(STATE.ljust(65536), 1300), None, hears=b'"state"'),
    # Not among Autobahn's: what a server has to refuse besides.
    Case("not masked", frame(TEXT, STATE, mask=None), 1002), Case("not masked, empty", frame(PING, mask=None), 1002),
    Case("longer lengths than needed", frame(TEXT, STATE, size=2) + frame(TEXT, STATE, size=8), None, hears=b'"state"'),
    Case("2**63 bytes", b"\x82\xff" + b"\xff" * 8 + bytes(4), 1009), Case("1 GB", b"\x82\xff" + (10**9).to_bytes(8, "big"), 1009),
    Case("a byte too large", frame(BINARY, bytes(262145)), 1009),
    Case("too large in pieces", frame(BINARY, bytes(262144), False) + frame(0, bytes(8)), 1009),
    Case("empty pieces without end", frame(TEXT, b"{", False) + frame(0, b"", False) * 20000, 1009),
    Case("text that is wrong, and a close", frame(TEXT, b"\xff") + closing(), 1000),
    Case("samples, then nonsense", frame(BINARY, SAMPLES) * 20 + b"\xff" * 100, 1002),
    Case("very many pings", frame(PING, b"") * 5000, None, (b"",) * 5000),
]  # fmt: skip


class Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record.getMessage())


@pytest.fixture(scope="module")
def log() -> Iterator[Log]:
    """What servers say while these tests run."""
    log = Log()
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio", "websockets.server")]
    for logger in loggers:
        logger.addHandler(log)
    yield log
    for logger in loggers:
        logger.removeHandler(log)


@pytest.fixture(scope="module")
def service(models: dict[str, Decoder]) -> Iterator[Service]:
    """A server whose patience outlasts the slowest machine."""
    with serving(models, limits=Limits(idle_seconds=600)) as running:
        yield running


@pytest.fixture(scope="module")
def honest(service: Service, models: dict[str, Decoder], log: Log) -> Iterator[Client]:
    client = service.stream("ecg")
    yield client
    client.push(LEADS[client.pushed :])
    assert told(client.finish()) == expected(models["ecg"], LEADS)
    assert log.records == []


def _answers(raw: Raw) -> list[tuple[int, bytes]]:
    """All that comes, to the close."""
    found = [raw.frame()]
    while found[-1][0] != CLOSE:
        found.append(raw.frame())
    return found


@pytest.mark.parametrize("case", CASES, ids=[f"{n}: {case.numbers}" for n, case in enumerate(CASES)])
def test_frames(service: Service, honest: Client, log: Log, case: Case) -> None:
    honest.push(LEADS[honest.pushed : honest.pushed + 3])
    with streaming(service.port) as raw:
        raw.send(case.sent)
        if case.code is None:
            raw.send(frame(TEXT, b'{"type": "finish"}'))
        found = _answers(raw)
        with contextlib.suppress(OSError):  # closed already, where the frames were to blame
            raw.send(frame(CLOSE, found[-1][1]))
        assert raw.rest() == []
    contents = [content for opcode, content in found if opcode == TEXT]
    last = [json.loads(content)["type"] for content in contents][-1:]
    assert last == ["end"] if case.code is None else last in ([], ["decisions"], ["error"])
    assert found[-1][1][:2] == (b"" if case.code == 1005 else (case.code or 1000).to_bytes(2, "big"))
    pongs = tuple(content for opcode, content in found if opcode == PONG)
    assert pongs == case.pongs and (not case.hears or any(case.hears in content for content in contents))
    assert log.records == []


HANDSHAKES = [
    (
        "no key",
        b"GET /v1/models/ecg/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        400,
    ),
    ("a short key", b"Sec-WebSocket-Key: AAAA\r\nSec-WebSocket-Version: 13\r\n", 400),
    ("two keys", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" * 2 + b"Sec-WebSocket-Version: 13\r\n", 400),
    ("another version", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 8\r\n", 400),
    ("a key of no letters", b"Sec-WebSocket-Key: \xff\xfe\r\nSec-WebSocket-Version: 13\r\n", 400),
]


@pytest.mark.parametrize(("headers", "status"), [case[1:] for case in HANDSHAKES], ids=[case[0] for case in HANDSHAKES])
def test_handshakes(service: Service, honest: Client, log: Log, headers: bytes, status: int) -> None:
    if not headers.startswith(b"GET"):
        headers = HANDSHAKES[0][1][:-2] + headers + b"\r\n"
    with connected(service.port) as raw:
        raw.send(headers)
        assert raw.head().split()[1] == str(status).encode()
    assert log.records == []


def test_a_handshake_whose_header_is_too_long_ends_at_once(service: Service, honest: Client, log: Log) -> None:
    """It is none to websockets; uvicorn would leave the connection open until its time to begin is over."""
    with connected(service.port) as raw:
        raw.raw.settimeout(5)
        raw.send(UPGRADE[:-2] + b"X: " + b"x" * 9000 + b"\r\n\r\n")
        assert raw.rest() == []
    assert log.records == []
