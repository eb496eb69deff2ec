"""The hostile clients of ``benchmarks.serve_attack``: its process NAME PORT CHANNELS COUNT SECONDS, the token in SRNN_TOKEN.

Each is a coroutine that goes on until it is cancelled. All are bounded in number and time, and talk to 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable

import numpy as np

KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
BODY = 3_900_000


class Target:
    """The server, and how one talks to it."""

    def __init__(self, port: int, token: str, channels: int) -> None:
        self.port, self.token, self.channels = port, token, channels
        self.connections = 0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.connections += 1
        return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), 5)

    def request(self, method: str, path: str, headers: str = "") -> bytes:
        host = f"Host: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.token}\r\n"
        return f"{method} {path} HTTP/1.1\r\n{host}{headers}\r\n".encode()

    async def post(self, body: bytes, kind: str, wait: bool = True) -> None:
        """Send a body; without waiting the client goes as soon as it has sent it."""
        reader, writer = await self.connect()
        try:
            headers = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            writer.write(self.request("POST", "/v1/models/model/classify", headers) + body)
            await asyncio.wait_for(writer.drain(), 30)
            if wait:
                await asyncio.wait_for(reader.read(1000), 60)
        finally:
            writer.transport.abort()

    async def stream(self, start: dict[str, object]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A stream that has started; what it is told has not been read."""
        reader, writer = await self.connect()
        writer.write(self.request("GET", "/v1/models/model/stream", KEY))
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.write(frame(1, json.dumps({"type": "start", **start}).encode()))
        await writer.drain()
        return reader, writer


def frame(opcode: int, data: bytes, fin: bool = True) -> bytes:
    """A masked frame, with a mask of zeros."""
    size = len(data)
    length = (
        bytes([0x80 | size]) if size < 126
        else bytes([0xFE]) + size.to_bytes(2, "big") if size < 65536
        else bytes([0xFF]) + size.to_bytes(8, "big")
    )  # fmt: skip
    return bytes([0x80 * fin | opcode]) + length + bytes(4) + data


def npy(shape: str, data: bytes = b"") -> bytes:
    """A .npy with this shape in its header, whatever is behind it."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


async def shapes(target: Target) -> None:
    """.npy headers of 128 bytes: nothing times 2**40, everything, and nested."""
    channels = target.channels
    headers = (f"({2**40}, 0, {channels})", f"(1, {2**62}, {channels})", f"({2**31}, {2**31}, 0)", "(" * 50 + ")" * 50)
    for shape in itertools.cycle(headers):
        await target.post(npy(shape), "application/x-npy")


async def empty_lists(target: Target) -> None:
    """JSON of 4 MB: 1.3 million empty lists, as sequences and as rows."""
    lists = b"[]," * (BODY // 3) + b"[]"
    for body in itertools.cycle((b'{"inputs":[%b]}' % lists, b'{"inputs":[[%b]]}' % lists)):
        await target.post(body, "application/json")


async def abandoned(target: Target) -> None:
    """Bodies of 3.9 MB that are worth much work, whose client goes when it has sent them."""
    count = BODY // 4 // target.channels
    body = npy(f"(1, {count}, {target.channels})", np.ones(count * target.channels, "<f4").tobytes())
    while True:
        await target.post(body, "application/x-npy", wait=False)
        await asyncio.sleep(0.05)


async def unfinished(target: Target) -> None:
    """A request without the token, and then half of a second one."""
    reader, writer = await target.connect()
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await asyncio.wait_for(reader.read(1000), 30)
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Unfinished: ")
        await reader.read(1)
    finally:
        writer.transport.abort()


async def silent(target: Target) -> None:
    """A connection that says nothing."""
    reader, writer = await target.connect()
    try:
        await reader.read(1)
    finally:
        writer.transport.abort()


async def slow_readers(target: Target) -> None:
    """A stream that asks for everything, sends much, and does not read."""
    _, writer = await target.stream({"trace": True, "probabilities": True})
    block = frame(2, np.zeros((4000, target.channels), "<f4").tobytes())
    try:
        while True:
            writer.write(block)
            await writer.drain()
    finally:
        writer.transport.abort()


async def bad_frames(target: Target) -> None:
    """Frames that RFC 6455 forbids, floods of the smallest that it allows, pieces without end."""
    ping, piece = frame(9, b""), frame(0, b"", False)
    forbidden = (
        b"\xc1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x81\x01x", b"\x09\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xed",
        frame(1, b"\xff\xfe"), frame(9, b"x" * 126), b"\x82\xff\0\0\0\0" + b"\xff" * 8, frame(0, b"x"),
    )  # fmt: skip
    floods = (ping * 40_000, frame(1, b"{", False) + piece * 40_000, frame(2, b"") * 40_000)
    for data in itertools.cycle((*forbidden, *floods)):
        reader, writer = await target.stream({"report": "end"})
        try:
            writer.write(data)
            await asyncio.wait_for(writer.drain(), 10)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.5)
        finally:
            writer.transport.abort()


async def text_messages(target: Target) -> None:
    """Messages of 256 KiB in JSON: empty lists, as many as are let through and more, and one row a list."""
    row = json.dumps([0.5] * target.channels).encode()
    many = [
        b",".join([one] * count) for one, count in ((b"[]", 80_000), (b"[]", 16_000), (row, 16_000), (b"[[]]", 8_000))
    ]
    for rows in itertools.cycle(many):
        reader, writer = await target.stream({"report": "end"})
        try:
            for _ in range(20):
                writer.write(frame(1, b'{"type":"samples","samples":[%b]}' % rows[:250_000].rpartition(b",")[0]))
                await asyncio.wait_for(writer.drain(), 20)
            await asyncio.wait_for(reader.read(), 0.5)
        except TimeoutError:
            pass
        finally:
            writer.transport.abort()


async def small_pieces(target: Target) -> None:
    """Bodies in chunks of one byte, heads of thousands of headers, pipelined requests."""
    chunked = (
        target.request("POST", "/v1/models/model/classify", "Transfer-Encoding: chunked\r\n") + b"1\r\n \r\n" * 200_000
    )
    headers = b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 100_000
    for data in itertools.cycle((chunked, headers, target.request("GET", "/v1/models") * 5_000)):
        reader, writer = await target.connect()
        try:
            writer.write(data)
            await asyncio.wait_for(writer.drain(), 20)
            await asyncio.wait_for(reader.read(1000), 2)
        finally:
            writer.transport.abort()


ATTACKS: dict[str, tuple[Callable[[Target], Awaitable[None]], int]] = {
    "shapes": (shapes, 4), "empty_lists": (empty_lists, 4), "abandoned": (abandoned, 4),
    "unfinished": (unfinished, 2064), "silent": (silent, 2300), "slow_readers": (slow_readers, 8),
    "bad_frames": (bad_frames, 4), "text_messages": (text_messages, 4), "small_pieces": (small_pieces, 4),
}  # fmt: skip
"""By name: what one client does, and how many do it at a time."""
OUTSIDE = ("unfinished", "silent")
"""Those that have no token."""


async def attack(name: str, target: Target, count: int, seconds: float) -> int:
    """So many clients for so long (or until SIGTERM), each anew when it is turned away. How often they connected."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    one, over = ATTACKS[name][0], False

    async def again() -> None:
        while not over:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await one(target)
            await asyncio.sleep(random.uniform(0.02, 0.1))

    tasks = []
    for number in range(count):
        tasks.append(asyncio.ensure_future(again()))
        if number % 20 == 19:
            await asyncio.sleep(0.01)
    print("begun", flush=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), seconds)
    over, pending = True, set(tasks)
    # More than once: wait_for of Python 3.11 may swallow a cancellation, and the attack's own loop then continues.
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
    return target.connections


def main(name: str, port: str, channels: str, count: str, seconds: str) -> None:
    target = Target(int(port), os.environ["SRNN_TOKEN"], int(channels))
    print(asyncio.run(attack(name, target, int(count), float(seconds))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
