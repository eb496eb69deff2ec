"""Accepting connections, no faster than there are places and file descriptors for them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from .places import Places

AT_ONCE = 16
"""Connections that are accepted before other tasks get their turn, and that may be in the process of being set up."""
BACK_OFF = 0.25
"""Seconds before connections are accepted again after running out of file descriptors."""


class Acceptor:
    """Accepts connections in place of an asyncio server (which accepts thousands at once, and logs thousands of errors when
    descriptors run out). Of the connections in ``places`` some are closed then.
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
