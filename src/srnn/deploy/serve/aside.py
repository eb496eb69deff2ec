"""Parse and compute each body in a process of its own: no stream waits for it, and it can be ended at any time.

When the server starts, with its models loaded, it forks a mother process, which does nothing but fork a child for every body. A
child shares the models' memory, has a low priority and bounded memory and time, and ends with its client: the kernel kills it
when the server closes their socket (O_ASYNC). No part of a body is ever parsed in the server.

    server -- a socket, over a socket --> mother -- fork --> child
           <------- status and JSON, over that socket -------

Without fork (Windows) a thread does the work, one body after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import signal
import socket
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..streaming import Decoder
from .batch import answer
from .limits import Limits

PIECE = 64 * 1024
"""Bytes passed on before other tasks get their turn."""
Answer = tuple[int, bytes]
FAILED: Answer = (503, b'{"detail": "The body cannot be processed at the moment; try again later."}')


class Aside:
    """Computes bodies in other processes.

    Args:
        models: by name.
        limits: ``batches`` at a time, ``batch_seconds`` and ``batch_memory`` for each.
    """

    def __init__(self, models: Mapping[str, Decoder], limits: Limits) -> None:
        self._models, self._limits = models, limits
        self._turns = asyncio.Semaphore(int(limits.batches))
        self._mother: socket.socket | None = None
        self._process = 0

    def start(self) -> None:
        """Fork the mother. Call it before connections arrive, and again if the mother has died."""
        if not hasattr(os, "fork"):
            self._models = copy.deepcopy(self._models)  # a decoder is for one thread
            self._turns = asyncio.Semaphore(1)
            return
        self.close()
        own, other = socket.socketpair()
        with warnings.catch_warnings():
            # A warning that there are other threads: the child never needs their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if not process:
            try:
                _mother(other, self._models, self._limits)
            finally:
                os._exit(1)
        other.close()
        own.setblocking(False)
        self._mother, self._process = own, process

    def close(self) -> None:
        """End the mother, and with it all computations."""
        if self._mother is not None:
            self._mother.close()
            os.kill(self._process, signal.SIGKILL)  # its number cannot be another process's: it is not yet waited for
            os.waitpid(self._process, 0)
            self._mother = None

    async def answer(self, name: str, kind: str, body: Sequence[bytes]) -> Answer:
        """(status, JSON) for a body, in parts, for the model ``name``. Cancel it when the answer is no longer needed."""
        try:
            async with asyncio.timeout(self._limits.batch_seconds):
                await self._turns.acquire()
        except TimeoutError:
            return FAILED
        try:
            async with asyncio.timeout(self._limits.batch_seconds):
                return await self._compute(name, kind, body)
        except TimeoutError:
            seconds = f"{self._limits.batch_seconds:g}"
            return 422, json.dumps({"detail": f"The body takes more than {seconds} s; send fewer sequences."}).encode()
        finally:
            self._turns.release()

    async def _compute(self, name: str, kind: str, body: Sequence[bytes]) -> Answer:
        if not hasattr(os, "fork"):
            return await asyncio.to_thread(answer, self._models, self._limits, name, kind, b"".join(body))
        own, other = socket.socketpair()
        try:
            with other:
                self._hand_over(other)
            reader, writer = await asyncio.open_connection(sock=own)
        except OSError:
            own.close()
            return FAILED
        try:
            head = json.dumps({"name": name, "kind": kind, "size": sum(map(len, body))}).encode()
            for part in (head + b"\n", *body):
                for first in range(0, len(part), PIECE):
                    writer.write(part[first : first + PIECE])
                    await writer.drain()
            parts = []
            while part := await reader.read(PIECE):
                parts.append(part)
        except OSError:
            return FAILED
        finally:
            writer.transport.abort()
        status, _, content = b"".join(parts).partition(b"\n")
        return (int(status), content) if status else FAILED

    def _hand_over(self, other: socket.socket) -> None:
        for _ in range(2):
            try:
                assert self._mother is not None
                socket.send_fds(self._mother, [b"-"], [other.fileno()])
                return
            except (BrokenPipeError, ConnectionResetError):
                self.start()
        raise OSError("the process that forks others keeps dying")


# ---- in the other processes -----------------------------------------------------------------------------------------


def _mother(channel: socket.socket, models: Mapping[str, Decoder], limits: Limits) -> None:
    _leave_behind(channel)
    channel = socket.socket(fileno=3)
    torch.set_num_threads(1)  # the server's threads do not exist in this process
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not message:
            os._exit(0)  # the server has gone
        for descriptor in descriptors:
            with contextlib.suppress(OSError):  # no more processes: the server sees the socket closed
                if not os.fork():
                    channel.close()
                    _child(socket.socket(fileno=descriptor), models, limits)
            os.close(descriptor)


def _leave_behind(channel: socket.socket) -> None:
    """Drop all that is the server's except its memory: connections, files, signal handlers. The channel becomes descriptor 3."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):  # Ctrl-C is the server's; children are not waited for
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    kept = os.dup(channel.detach())
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.dup2(kept, 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))


def _child(connection: socket.socket, models: Mapping[str, Decoder], limits: Limits) -> None:
    import fcntl

    try:
        _bound(limits)
        with connection.makefile("rb") as file:
            head: dict[str, Any] = json.loads(file.readline())
            body = file.read(head["size"])
        if len(body) == head["size"]:
            # From here on the only possible event is the end: SIGIO, which kills.
            fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
            flags = fcntl.fcntl(connection, fcntl.F_GETFL)
            fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
            with contextlib.suppress(BlockingIOError):
                if connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b"":
                    os._exit(0)  # it came before
            status, content = answer(models, limits, head["name"], head["kind"], body)
            fcntl.fcntl(connection, fcntl.F_SETFL, flags)
            connection.sendall(f"{status}\n".encode() + content)
    finally:
        os._exit(0)


def _bound(limits: Limits) -> None:
    """Give the server priority, and bound memory and time."""
    import resource

    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_REAL, limits.batch_seconds + 1)  # kills by default
    with contextlib.suppress(OSError, ValueError):  # /proc is Linux's
        with open("/proc/self/statm") as file:
            here = int(file.read().split()[0]) * resource.getpagesize()
        most = here + int(limits.batch_memory)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
