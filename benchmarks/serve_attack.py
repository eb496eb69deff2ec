"""What hostile clients cost honest streams: ``python -m benchmarks.serve_attack RUN --out FILE``.

Starts ``srnn serve`` with a token, and honest streams that send a block each ``block / rate`` seconds, first alone and then
beside one attack after the other (serve_attackers.py), made by a process of its own; last of all a server under
``ulimit -n 1024`` beside 1,200 silent sockets. Honest streams begin when the attack is at its height: they also have to get in.
Of each it tells

    delay, lost, join   of the honest streams, as in ``benchmarks.serve_load``
    late                by how much the honest clients themselves fell behind: then the machine was the limit
    came                how often a hostile client connected
    memory, descriptors of the server while it lasted, the most; memory of all its processes together (shared pages once)
    log                 lines that the server wrote

``--soak MINUTES`` is for a server's long life: honest streams, others that come, stay a while, end or vanish and come back with
their states (whose decisions must go on where they were), and all attacks in turn. A line a minute is printed; the summary
tells whether memory and descriptors grew. It ends early, with the summary, on SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from srnn.files import write_json

from .machine import describe
from .serve_attackers import ATTACKS, OUTSIDE, Target, frame
from .serve_load import load, start_server

SILENT_UNDER_LIMIT = 1200
CHURN = 10
"""Streams that come and go at a time in a soak."""


class Watch:
    """The most memory and descriptors of a server's processes, looked at twice a second in a thread."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid, self.log = pid, log
        self._end = threading.Event()
        self.memory, self.descriptors, self._lines = 0, 0, len(log.read_bytes().splitlines())

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.memory, self.descriptors = (
                max(self.memory, memory(self.pid)),
                max(self.descriptors, descriptors(self.pid)),
            )
            if self._end.wait(0.5):
                return

    def found(self) -> dict[str, Any]:
        lines = len(self.log.read_bytes().splitlines()) - self._lines
        return {"memory_mb": round(self.memory / 1e6, 1), "descriptors": self.descriptors, "log": lines}


def memory(pid: int) -> int:
    """Bytes of a process and its descendants, each page counted once (Linux)."""
    total = 0
    with contextlib.suppress(OSError, ValueError):
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        total += int(fields["Pss"].split()[0]) * 1024
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(memory(int(child)) for child in (task / "children").read_text().split())
    return total


def descriptors(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


async def beside(
    port: int, token: str, name: str, count: int, watch: Watch, given: argparse.Namespace
) -> dict[str, Any]:
    """Honest streams beside an attack ("": none)."""
    hostile = None
    if name:
        hostile = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.serve_attackers", name, str(port), str(channels(port, token)), str(count),
            str(given.seconds + 60), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
            env=os.environ | {"SRNN_TOKEN": "" if name in OUTSIDE else token},
        )  # fmt: skip
        assert hostile.stdout is not None
        await hostile.stdout.readline()  # it is at its height
        await asyncio.sleep(1)
    try:
        with watch:
            row = await asyncio.wait_for(
                load(port, token, "model", given.streams, given.seconds, given.block, [watch.pid]), given.seconds + 60
            )
    except (OSError, TimeoutError, RuntimeError) as error:
        row = {"failures": [f"{type(error).__name__}: {error}"]}
    came = 0
    if hostile is not None:
        with contextlib.suppress(ProcessLookupError):
            hostile.send_signal(signal.SIGTERM)
        out, _ = await hostile.communicate()
        came = int(out.split()[-1]) if out.split() else 0
    return {"attack": name or "none", "clients": count, "came": came, **row, **watch.found()}


def clients(name: str, given: argparse.Namespace, most: int | None = None) -> int:
    """How many clients an attack has."""
    return max(1, round((most or ATTACKS[name][1]) * given.scale)) if name else 0


def channels(port: int, token: str) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())["models"][0]["channels"]


# ---- a long life -----------------------------------------------------------------------------------------------------


class Guest:
    """A stream that comes, stays a while, and ends or vanishes; with its state it comes back."""

    def __init__(self, target: Target, rng: random.Random) -> None:
        self._target, self._rng, self._state, self._samples = target, rng, None, 0
        self.resumed = self.wrong = 0

    async def live(self) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await self._stay()
            await asyncio.sleep(self._rng.uniform(0, 0.5))

    async def _stay(self) -> None:
        start = {"report": "end"} if self._state is None else {"report": "end", "state": self._state}
        reader, writer = await self._target.stream(start)
        try:
            ready = await self._hear(reader, "ready")
            self.resumed += self._state is not None
            self.wrong += ready["samples"] != self._samples
            for _ in range(self._rng.randrange(1, 30)):
                count = self._rng.randrange(1, 200)
                writer.write(frame(2, np.zeros((count, self._target.channels), "<f4").tobytes()))
                self._samples += count
                await asyncio.sleep(self._rng.uniform(0, 0.3))
            writer.write(frame(1, b'{"type": "state"}'))
            told = await self._hear(reader, "state")
            self.wrong += told["samples"] != self._samples
            self._state = told["state"]
            if self._rng.random() < 0.3:  # the signal ends here
                writer.write(frame(1, b'{"type": "finish"}'))
                await self._hear(reader, "end")
                self._state, self._samples = None, 0
        except BaseException:
            self._state, self._samples = None, 0
            raise
        finally:
            writer.transport.abort()

    async def _hear(self, reader: asyncio.StreamReader, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                head = await reader.readexactly(2)
                size = (
                    head[1]
                    if head[1] < 126
                    else int.from_bytes(await reader.readexactly(2 if head[1] == 126 else 8), "big")
                )
                content = await reader.readexactly(size)
                if head[0] & 15 == 1 and (message := json.loads(content))["type"] in (kind, "error"):
                    self.wrong += message["type"] == "error"
                    return message


async def soak(port: int, token: str, pid: int, log: Path, given: argparse.Namespace) -> dict[str, Any]:
    target = Target(port, token, channels(port, token))
    guests = [Guest(target, random.Random(number)) for number in range(CHURN)]
    tasks = [asyncio.ensure_future(guest.live()) for guest in guests]
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    rows: list[dict[str, Any]] = []
    names = ["", *ATTACKS]
    until = time.monotonic() + 60 * given.soak
    while time.monotonic() < until and not ended.is_set():
        name = names[len(rows) % len(names)]
        row = await beside(port, token, name, clients(name, given), Watch(pid, log), given)
        await asyncio.sleep(2)
        row |= {"minutes": round(given.soak - (until - time.monotonic()) / 60, 2), "after_mb": round(memory(pid) / 1e6, 1),
                "after_descriptors": descriptors(pid), "resumed": sum(guest.resumed for guest in guests),
                "wrong": sum(guest.wrong for guest in guests)}  # fmt: skip
        rows.append(row)
        print(json.dumps(row), flush=True)
        if given.out:
            write_json(given.out, summary(rows, given))
    for task in tasks:
        task.cancel()
    return summary(rows, given)


def summary(rows: list[dict[str, Any]], given: argparse.Namespace) -> dict[str, Any]:
    """What a soak says: the first and the last third compared, and the worst of each kind of row."""
    third = max(1, len(rows) // 3)
    worst = {
        name: max(row["delay_ms"]["p99"] for row in rows if row["attack"] == name and "delay_ms" in row)
        for name in {row["attack"] for row in rows if "delay_ms" in row}
    }
    return {
        "minutes": rows[-1]["minutes"], "streams": given.streams, "churn": CHURN,
        "memory_mb": [float(np.median([row["after_mb"] for row in part])) for part in (rows[:third], rows[-third:])],
        "descriptors": [max(row["after_descriptors"] for row in part) for part in (rows[:third], rows[-third:])],
        "resumed": rows[-1]["resumed"], "wrong": rows[-1]["wrong"], "log": sum(row["log"] for row in rows),
        "lost": sum(row.get("lost", 0) for row in rows), "failures": sorted({f for row in rows for f in row["failures"]}),
        "worst_p99_ms": worst, "rows": rows,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve_attack", description=__doc__)
    parser.add_argument("run", help="a run folder")
    parser.add_argument(
        "--attacks", nargs="*", default=["none", *ATTACKS, "ulimit"], help="which attacks (default: all)"
    )
    parser.add_argument("--streams", type=int, default=50, help="honest streams (default: 50)")
    parser.add_argument("--seconds", type=float, default=8, help="how long each lasts (default: 8)")
    parser.add_argument("--block", type=int, default=25, help="samples per message (default: 25)")
    parser.add_argument("--input", default="auto", help="as for srnn serve")
    parser.add_argument(
        "--soak", type=float, metavar="MINUTES", help="instead: one server for so many minutes, under mixed load"
    )
    parser.add_argument("--scale", type=float, default=1, help="multiply the clients of an attack by this (default: 1)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args()
    machine, token, rows = describe(), secrets.token_urlsafe(24), []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        for limited in (False, True):
            names = [name for name in given.attacks if (name == "ulimit") == limited]
            if not names or (limited and given.soak):
                continue
            before = ("sh", "-c", 'ulimit -n 1024; exec "$@"', "sh") if limited else ()
            with open(log, "a") as errors:
                server, port = start_server(given.run, ["--input", given.input, "--port", "0"], token, before, errors)
            try:
                if given.soak:
                    found = asyncio.run(soak(port, token, server.pid, log, given))
                    continue
                for name in names:
                    kind = "silent" if limited else "" if name == "none" else name
                    count = clients(kind, given, SILENT_UNDER_LIMIT if limited else None)
                    row = asyncio.run(beside(port, token, kind, count, Watch(server.pid, log), given))
                    rows.append({**row, "attack": name, "after_mb": round(memory(server.pid) / 1e6, 1)})
                    print(json.dumps(rows[-1]), flush=True)
            finally:
                server.terminate()
                server.wait(20)
        words = log.read_text()
    if not given.soak:
        found = {"rows": rows}
    if given.out:
        write_json(given.out, {"run": Path(given.run).name, "machine": machine, **found, "server_log": words[-2000:]})


if __name__ == "__main__":
    main()
