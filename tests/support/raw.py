"""Raw sockets, and WebSocket frames right and wrong, for tests of ``srnn serve``."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

UPGRADE = (
    b"GET /v1/models/ecg/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
START = b'{"type": "start"}'
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(
    opcode: int, data: bytes = b"", fin: bool = True, rsv: int = 0, mask: bytes | None = b"\1\2\3\4", size: int = 0
) -> bytes:
    """A client's frame.

    ``rsv``: reserved bits, 0 to 7. ``mask``: None: none. ``size``: bytes of the length, 2 or 8, for one longer than needed.
    """
    count, masked = len(data), 0 if mask is None else 0x80
    if size == 0:
        size = 0 if count < 126 else 2 if count < 65536 else 8
    length = (
        bytes([masked | count])
        if size == 0
        else bytes([masked | (126 if size == 2 else 127)]) + count.to_bytes(size, "big")
    )
    if mask is not None:
        data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)) if count < 2000 else data
        mask = mask if count < 2000 else bytes(4)
    return bytes([0x80 * fin | rsv << 4 | opcode]) + length + (mask or b"") + data


def closing(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """A close frame; None: without a code."""
    return frame(CLOSE, (b"" if code is None else code.to_bytes(2, "big")) + reason)


class Raw:
    """A connection that sends bytes, and takes apart what comes."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw, self._rest = raw, b""

    def send(self, data: bytes) -> None:
        self.raw.sendall(data)

    def _more(self) -> bytes:
        part = self.raw.recv(65536)
        if not part:
            raise EOFError
        return part

    def _read(self, count: int) -> bytes:
        while len(self._rest) < count:
            self._rest += self._more()
        found, self._rest = self._rest[:count], self._rest[count:]
        return found

    def head(self) -> bytes:
        """The head of an HTTP answer."""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._more()
        found, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return found

    def body(self) -> bytes:
        """What an answer has behind its head, by its Content-Length."""
        head = self.head()
        lengths = [
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        return self._read(lengths[0])

    def frame(self) -> tuple[int, bytes]:
        """(opcode, content) of the next frame."""
        first, second = self._read(2)
        assert first & 0x80 and not first & 0x70 and second < 128, "a server's frames are whole and not masked"
        size = int.from_bytes(self._read(2 if second == 126 else 8), "big") if second > 125 else second
        return first & 15, self._read(size)

    def rest(self) -> list[tuple[int, bytes]]:
        """All frames, to the end of the connection."""
        found = []
        try:
            while True:
                found.append(self.frame())
        except (EOFError, ConnectionError):
            return found


@contextmanager
def connected(port: int, address: str = "127.0.0.1") -> Iterator[Raw]:
    with socket.create_connection(("127.0.0.1", port), 20, (address, 0)) as raw:
        yield Raw(raw)


@contextmanager
def streaming(port: int, start: bytes = START) -> Iterator[Raw]:
    """A stream that has begun."""
    with connected(port) as raw:
        raw.send(UPGRADE)
        assert raw.head().startswith(b"HTTP/1.1 101")
        raw.send(frame(TEXT, start))
        opcode, content = raw.frame()
        assert opcode == TEXT and b'"ready"' in content
        yield raw
