"""Bodies being received and answers being sent: bounded individually and in total, and dropped when the client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from .limits import Limits

PIECE = 64 * 1024
"""Bytes of an answer that are buffered for a client at a time."""
T = TypeVar("T")


class Bodies:
    """The bodies that are held in memory, while they are received or computed.

    When more than ``waiting_bytes`` would be held, those that are still being received are dropped, oldest first: a client that
    sends slowly, or stops, cannot block the others.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0
        # One part of one body at a time: a hundred bodies take no more of the loop's time than one.
        self._pace = asyncio.Lock()
        self._sent: dict[_Upload, None] = {}  # bodies being received, in order of arrival

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[list[bytes]]:
        """A request's body, in parts, which counts as held until the end of the block.

        HTTPException: too large, too slow, or too many at a time. ClientDisconnect: the client has gone.
        """
        upload, most, seconds = _Upload(), int(self._limits.body_bytes), self._limits.start_seconds
        try:
            try:
                async with asyncio.timeout(seconds) as upload.patience:
                    self._sent[upload] = None
                    async for part in request.stream():
                        upload.size += len(part)
                        self._bytes += len(part)
                        upload.parts.append(part)
                        if upload.size > most:
                            raise HTTPException(413, f"A body may have at most {most} bytes.")
                        self._make_room()
                        async with self._pace:
                            await asyncio.sleep(0)
            except TimeoutError:
                if upload.gave_way:
                    raise HTTPException(503, "Too many bodies are being sent at once; try again later.") from None
                raise HTTPException(408, f"A body must be sent within {seconds:g} s.") from None
            finally:
                self._sent.pop(upload, None)
            if self._bytes > self._limits.waiting_bytes:
                raise HTTPException(503, "Too many bodies are waiting to be computed; try again later.")
            yield upload.parts
        finally:
            self._bytes -= upload.size

    def _make_room(self) -> None:
        while self._bytes > self._limits.waiting_bytes and self._sent:
            first = next(iter(self._sent))
            del self._sent[first]
            if not first.patience.expired():  # else it ends in this turn, and cannot be rescheduled
                first.gave_way = True
                first.patience.reschedule(asyncio.get_running_loop().time())
            self._bytes -= first.size
            first.size = 0
            first.parts.clear()


class _Upload:
    """A body being received."""

    patience: asyncio.Timeout
    size = 0
    gave_way = False

    def __init__(self) -> None:
        self.parts: list[bytes] = []


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work for a request whose body has been read; it is cancelled if the client goes (ClientDisconnect)."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    doing, watching = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientDisconnect
        return doing.result()
    finally:
        for task in (doing, watching):
            task.cancel()
        await asyncio.gather(doing, watching, return_exceptions=True)


def in_pieces(content: bytes | memoryview, status: int, kind: str, headers: Mapping[str, str]) -> Response:
    """A response that is buffered for its client piece by piece, not as a whole; of a view, only these pieces are copied."""
    if len(content) <= PIECE:
        return Response(bytes(content), status, headers, kind)

    async def pieces() -> AsyncIterator[bytes]:
        for first in range(0, len(content), PIECE):
            yield bytes(content[first : first + PIECE])
            # Only in a turn of the loop is a client that has gone noticed; asyncio logs what is written to it before.
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), status, {**headers, "Content-Length": str(len(content))}, kind)
