"""How many live streams one core carries:
``python -m benchmarks.serve_load RUN --input signal --find``.

Starts ``srnn serve`` (one, or one a core) and clients that send a block each ``block / rate``
seconds, as a sensor would, each at its own phase. Of every number of streams it tells

    lost        decisions that did not come (there is one a step)
    late        seconds by which the clients themselves fell behind their timetable, at most (then the clients were the limit)
    delay       milliseconds from a block's sending to its last decision: median, 95 %, 99 %, most; of blocks sent after the
                first second, in which all streams begin at once
    begin       the most of that first second
    join        milliseconds until a stream is connected and has begun, the most
    cpu         of the servers, in cores

A number of streams is carried where nothing is lost, the 99 % delay is below ``--allowed`` ms, and
the clients kept their time. ``--find`` steps up until a number is not carried, and then halves what
lies between: the largest number that is.

ECG of two leads is a record of the QT database under SRNN_DATA where it is there, else made: a beat
a second with noise. Every client sends it from another place on. The JSON says which it was, and on
which machine, load and commit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from srnn.data.signals import ScaledPath
from srnn.deploy.serve.server import spare_collections
from srnn.files import write_json

from .machine import describe

BEGIN = 1.0
"""Seconds that are told apart: all streams send their first blocks within one block's time, which
takes more than later ones."""
BLOCKS = 64
"""Different blocks that a client sends, again and again."""
KEY = (
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nUpgrade: "
    "websocket\r\nConnection: Upgrade\r\n"
)
"""The headers that open a WebSocket."""


class Stream(asyncio.Protocol):
    """One client, as cheap as can be: frames are written and read here."""

    def __init__(self, name: str, port: int, token: str, report: str) -> None:
        self.name, self.port, self.token, self.report = name, port, token, report
        self.buffer = bytearray()
        self.ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.sent: deque[tuple[int, float]] = deque()
        self.delays: list[tuple[float, float]] = []  # when sent, how long
        self.decided = 0
        self.failed = ""
        self._shaken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(
            f"GET /v1/models/{self.name}/stream HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{KEY}"
            f"Authorization: Bearer {self.token}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self.failed = self.failed or f"the connection was lost ({exc})"
        if not self.ready.done():
            self.ready.set_exception(RuntimeError(self.failed))

    def write(self, opcode: int, data: bytes) -> None:
        self.transport.write(frame(opcode, data))

    def send(self, block: bytes, steps: int, now: float) -> None:
        """A block after which so many steps were sent in all."""
        self.sent.append((steps, now))
        self.write(2, block)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self._shaken:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self.buffer.startswith(b"HTTP/1.1 101"):
                self.failed = self.buffer[:200].decode("latin-1")
                self.transport.close()
                return
            del self.buffer[: end + 4]
            self._shaken = True
            self.write(1, json.dumps({"type": "start", "report": self.report}).encode())
        while len(self.buffer) >= 2:
            size, at = self.buffer[1] & 0x7F, 2
            if size == 126:
                size, at = int.from_bytes(self.buffer[2:4], "big"), 4
            elif size == 127:
                size, at = int.from_bytes(self.buffer[2:10], "big"), 10
            if len(self.buffer) < at + size:
                return
            opcode, content = self.buffer[0] & 15, bytes(self.buffer[at : at + size])
            del self.buffer[: at + size]
            if opcode == 1:
                self.hear(json.loads(content))
            elif opcode == 9:
                self.write(10, content)

    def hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "ready":
            self.ready.set_result(message)
        elif message["type"] == "decisions":
            self.decided = message["steps"][-1] + 1
            now = time.perf_counter()
            while self.sent and self.sent[0][0] <= self.decided:
                sent = self.sent.popleft()[1]
                self.delays.append((sent, now - sent))
        elif message["type"] == "error":
            self.failed = message["message"]


def signal(channels: int, form: str, rate: float, samples: int) -> tuple[str, np.ndarray]:
    """What it is, and (samples, channels) float32: spikes with 6 % of the steps, an ECG, or
    sound."""
    rng = np.random.default_rng(0)
    if form == "steps":
        return "random spikes, 6 % of the steps", (rng.random((samples, channels)) < 0.06).astype(
            np.float32
        )
    t = np.arange(samples) / rate
    if (channels, rate) != (2, 250.0):
        return "a tone with noise", (
            0.1 * np.sin(2000 * t)[:, None] + 0.01 * rng.standard_normal((samples, channels))
        ).astype("f4")
    records = sorted(Path(os.environ.get("SRNN_DATA", "data")).glob("qtdb/records/*.hea"))
    if records:
        from srnn.deploy.streaming.sources import open_source

        found = np.concatenate(list(open_source(str(records[0]), ScaledPath(2, 250), 10**6).blocks))
        return f"record {records[0].stem} of the QT database", np.resize(
            found, (samples, 2)
        ).astype(np.float32)
    beat = np.exp(-(((t % 1) - 0.5) ** 2) / 0.0005)
    return "made: a beat a second with noise", (
        beat[:, None] + 0.05 * rng.standard_normal((samples, 2))
    ).astype(np.float32)


def frame(opcode: int, data: bytes) -> bytes:
    """A masked frame, with a mask of zeros."""
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0xFE]) + size.to_bytes(2, "big")
    else:
        length = bytes([0xFF]) + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + data


async def load(
    port: int, token: str, name: str, streams: int, seconds: float, block: int, pids: list[int]
) -> dict[str, Any]:
    """Run ``streams`` clients for some seconds."""
    loop = asyncio.get_running_loop()
    clients: list[Stream] = []
    joining = 0.0
    for _ in range(streams):
        came = time.perf_counter()
        _, client = await loop.create_connection(
            lambda: Stream(name, port, token, "step"), "127.0.0.1", port
        )
        clients.append(client)
        about = await asyncio.wait_for(client.ready, 30)
        joining = max(joining, time.perf_counter() - came)
    rate, channels = about["rate"] or 250.0, about["channels"]
    waiting = round(about["latency"] * rate) if about["rate"] else round(about["latency"])
    what, data = signal(channels, about["form"], rate, block * BLOCKS)
    blocks = [piece.tobytes() for piece in data.reshape(BLOCKS, block, channels)]
    period, count = block / rate, max(1, round(seconds * rate / block))
    used, started, late = cpu_seconds(pids), time.perf_counter(), 0.0

    async def walk(client: Stream, number: int) -> None:
        nonlocal late
        begin = started + period * number / streams
        for i in range(count):
            due = begin + i * period
            await asyncio.sleep(due - time.perf_counter())
            now = time.perf_counter()
            late = max(late, now - due)
            client.send(blocks[(i + number) % BLOCKS], (i + 1) * block - waiting, now)

    await asyncio.gather(*(walk(client, number) for number, client in enumerate(clients)))
    elapsed, cpu = time.perf_counter() - started, cpu_seconds(pids) - used
    until = time.perf_counter() + 10
    while time.perf_counter() < until and any(
        client.decided < count * block - waiting for client in clients
    ):
        await asyncio.sleep(0.01)
    lost = sum(max(0, count * block - waiting - client.decided) for client in clients)
    sent, delays = np.array([pair for client in clients for pair in client.delays]).reshape(-1, 2).T
    first, delays = 1000 * delays[sent < started + BEGIN], 1000 * delays[sent >= started + BEGIN]
    failures = sorted({client.failed for client in clients if client.failed})
    for client in clients:
        client.transport.abort()
    await asyncio.sleep(0.2)
    shown = np.percentile(delays, [50, 95, 99, 100]) if len(delays) else np.full(4, np.nan)
    return {
        "streams": streams, "signal": what, "form": about["form"], "seconds": round(elapsed, 3),
        "block": block, "lost": lost, "late": round(late, 4),
        "delay_ms": dict(zip(("p50", "p95", "p99", "max"), np.round(shown, 3).tolist(), strict=True)),
        "begin_ms": round(float(first.max(initial=0)), 3), "join_ms": round(1000 * joining, 3),
        "cpu": round(cpu / elapsed, 4), "failures": failures,
    }  # fmt: skip


def start_server(run: str, options: list[str], token: str) -> tuple[subprocess.Popen[str], int]:
    """``srnn serve`` of a run, as "model", and its port."""
    words = [sys.executable, "-m", "srnn", "serve", f"model={run}", "--json", *options]
    if "signal" in options:
        words += [
            "--mean",
            "0,0",
            "--std",
            "0.5,0.5",
        ]  # in mV: a calibration would hold back the first seconds
    server = subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"SRNN_TOKEN": token, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert server.stdout is not None
    return server, json.loads(server.stdout.readline())["port"]


def cpu_seconds(pids: list[int]) -> float:
    """Processor time of some processes so far (Linux)."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")


def largest(carried: Callable[[int], bool], first: int, most: int) -> int:
    """The largest number that is carried, to 5 %: doubled until one is not (or ``most`` is
    reached), then halved between."""
    good, bad = 0, first
    while carried(bad):
        good = bad
        if good >= most:
            return good
        bad = min(2 * bad, most)
    while bad - good > max(1, 0.05 * good):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if carried(middle) else (good, middle)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve_load", description=__doc__)
    parser.add_argument("run", help="a run folder")
    parser.add_argument(
        "--streams",
        type=int,
        nargs="+",
        default=[100, 200, 400, 800, 1600],
        help="how many at a time",
    )
    parser.add_argument(
        "--find",
        action="store_true",
        help="find the largest number of streams that it can serve, beginning with the first",
    )
    parser.add_argument(
        "--most", type=int, default=8000, help="with --find: try at most so many (default: 8000)"
    )
    parser.add_argument("--seconds", type=float, default=10, help="for how long (default: 10)")
    parser.add_argument(
        "--block",
        type=int,
        default=25,
        help="samples per message (default: 25, a tenth of a second of ECG)",
    )
    parser.add_argument("--input", default="auto", help="as for srnn serve")
    parser.add_argument(
        "--allowed",
        type=float,
        default=100,
        help="ms of delay that 99 %% must not exceed (default: 100)",
    )
    parser.add_argument(
        "--server-core",
        type=int,
        nargs="+",
        help="a server on each of these cores, all on one port (default: one)",
    )
    parser.add_argument(
        "--client-core", type=int, help="pin the clients to this core (default: not pinned)"
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args()
    token = secrets.token_urlsafe(24)
    words = [
        "--input",
        given.input,
        "--max-streams",
        str(max([*given.streams, given.most]) + 10),
        "--share-port",
    ]
    servers: list[subprocess.Popen[str]] = []
    port = 0
    try:
        for core in given.server_core or [None]:
            server, port = start_server(given.run, [*words, "--port", str(port)], token)
            servers.append(server)
            if core is not None:
                os.sched_setaffinity(server.pid, {core})
        if given.client_core is not None:
            os.sched_setaffinity(0, {given.client_core})
        rows: list[dict[str, Any]] = []
        machine, pids = describe(), [server.pid for server in servers]

        spare_collections()  # none of the clients' shall pass for a delay of the server's

        def carried(streams: int) -> bool:
            row = asyncio.run(load(port, token, "model", streams, given.seconds, given.block, pids))
            kept = row["late"] * 1000 < given.allowed
            row["carried"] = (
                not row["lost"]
                and not row["failures"]
                and row["delay_ms"]["p99"] < given.allowed
                and kept
            )
            rows.append(row)
            print(json.dumps(row), flush=True)
            return bool(row["carried"])

        if given.find:
            most = largest(carried, given.streams[0], given.most)
        else:
            most = max((streams for streams in given.streams if carried(streams)), default=0)
        print(f"carried: {most} streams ({given.block} samples a message)")
        if given.out is not None:
            found = {
                "run": Path(given.run).name, "input": given.input, "block": given.block, "allowed_ms": given.allowed,
                "server_cores": given.server_core, "client_core": given.client_core, "searched": given.find,
                "carried": most, "machine": machine, "rows": rows,
            }  # fmt: skip
            write_json(given.out, found)
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(20)


if __name__ == "__main__":
    main()
