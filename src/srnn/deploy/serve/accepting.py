"""A listening socket, file descriptors for its connections, and accepting them no faster than places become free."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...errors import SrnnError
from .limits import Limits
from .places import Places

AT_ONCE = 16
"""Connections that may be accepted before other tasks get their turn, and that may be set up at a time."""
BACK_OFF = 0.25
"""Seconds before connections are accepted again after running out of file descriptors."""
BACKLOG = 2048
"""Connections that may wait in the kernel."""
SPARE_CONNECTIONS = 64
"""Connections besides the streams: for the page, batches, and those that are being refused."""
SELECTED = 512
"""Number of sockets that Python can wait for on Windows."""
OWN_DESCRIPTORS = 96
"""Descriptors for other purposes, and for connections that have just been accepted or closed."""


def bind(host: str, port: int, shared: bool = False) -> socket.socket:
    """A socket with its address, for ``listen``: a port in use is reported at once. SrnnError if it cannot have the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small messages at once (TCP_NODELAY) only if the protocol is named; else the kernel holds them for up to .2 s.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise SrnnError("This system cannot share a port between servers (--share-port).")
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host.strip("[]"), port))
    except (OSError, UnicodeError) as error:
        bound.close()
        raise _refusal(host, port, error) from error
    return bound


def listen(bound: socket.socket) -> socket.socket:
    """The socket, to which anyone who reads the address may now connect. SrnnError if another server was faster."""
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        bound.close()
        raise _refusal(host, port, error) from error
    return bound


def _refusal(host: str, port: int, error: Exception) -> SrnnError:
    reason = getattr(error, "strerror", None) or error
    return SrnnError(f"Cannot listen on {host}:{port} ({reason}); choose another --port or --host.")


def fit_descriptors(limits: Limits) -> tuple[Limits, str]:
    """Limits for which this process has enough file descriptors, and a message where these allow fewer streams.

    The soft limit is raised as far as the hard one allows. SrnnError if they allow no stream.
    """
    own = SPARE_CONNECTIONS + OWN_DESCRIPTORS + _open_descriptors()
    wanted = int(limits.streams) + own
    try:
        import resource
    except ImportError:  # Windows
        soft, reason = SELECTED, f"Windows waits for {SELECTED} connections"
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        unlimited = resource.RLIM_INFINITY
        most = wanted if hard == unlimited else min(wanted, hard)
        if soft != unlimited and soft < most:
            with contextlib.suppress(OSError, ValueError, OverflowError):  # refused, as macOS does beyond its own limit
                resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
                soft = most
        soft, reason = wanted if soft == unlimited else soft, f"'ulimit -n' allows {soft} open files"
    if soft >= wanted:
        return limits, ""
    streams = soft - own
    if streams < 1:
        raise SrnnError(f"{reason}, and a server needs more than {own}: raise that limit.")
    return replace(limits, streams=streams), f"at most {streams} streams instead of {int(limits.streams)}: {reason}"


def _open_descriptors() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(folder))
    return 16


class Acceptor:
    """Accepts connections in place of an asyncio server (which accepts thousands at once, and logs thousands of errors when
    descriptors run out). When they do run out, some of the connections in ``places`` are closed.
    """

    def __init__(self, listening: socket.socket, make_protocol: Callable[[], Any], places: Places) -> None:
        self.sockets = (listening,)
        self._make, self._places = make_protocol, places
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._said = False
        self._retry: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        (listening,) = self.sockets
        if self._retry is not None:
            self._retry.cancel()
        if listening.fileno() >= 0:
            self._loop.remove_reader(listening)
            listening.close()

    async def wait_closed(self) -> None:
        """Return at once: the server waits for its connections elsewhere."""

    def _accept(self) -> None:
        while len(self._tasks) < AT_ONCE:
            try:
                connection, _ = self.sockets[0].accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._back_off(error)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._welcome(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError:  # gone already
            connection.close()

    def _back_off(self, error: OSError) -> None:
        """The system has no descriptor or memory for another connection: close some, and let new ones wait."""
        scarce = error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
        if scarce:
            self._places.evict(AT_ONCE)
        if not self._said:
            self._said = True
            logging.getLogger("uvicorn.error").error(
                "Cannot accept connections at the moment (%s); retrying every %g s (logged once).",
                error.strerror,
                BACK_OFF,
            )
        self._loop.remove_reader(self.sockets[0])
        self._retry = self._loop.call_later(BACK_OFF, self._loop.add_reader, self.sockets[0], self._accept)
