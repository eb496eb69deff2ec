"""Connections that say nothing, or do not read: uvicorn's protocols with some more limits.

uvicorn bounds a message's size, reads no further than the application, and stops writing for a client that does not read. What it
leaves open is how long a first request may take, how long a client may leave its answers unread, and answers to pings, which it
writes whether they are read or not. And what a client did wrong is no error of the server: nobody can fill its log from outside.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .limits import Limits


class Patient(asyncio.Protocol):
    """Stands before a protocol, and aborts a connection whose client has not read for ``seconds``: closing it would wait."""

    seconds: float
    transport: Any
    _timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop()
        self._timer = asyncio.get_running_loop().call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def guarded_http(limits: Limits) -> type[H11Protocol]:
    """HTTP whose first request must be there within ``start_seconds``, and whose answers are read."""

    class GuardedHTTP(Patient, H11Protocol):  # type: ignore[misc]
        seconds = limits.send_seconds

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._waiting = asyncio.get_running_loop().call_later(limits.start_seconds, self._expire)

        def connection_lost(self, exc: Exception | None) -> None:
            self._waiting.cancel()
            super().connection_lost(exc)

        def _expire(self) -> None:
            # A request has a cycle; a WebSocket has taken the connection over.
            if self.cycle is None and self.transport.get_protocol() is self:
                self.transport.abort()

    return GuardedHTTP


def guarded_websocket(limits: Limits) -> type[WebSocketsSansIOProtocol]:
    """WebSockets that are cut off when they are not read, or more than ``output_bytes`` wait for a client."""

    class GuardedWebSocket(Patient, WebSocketsSansIOProtocol):  # type: ignore[misc]
        seconds = limits.send_seconds

        async def send(self, message: Any) -> None:
            await super().send(message)
            # A refusal (401, 404, ...) is an answer too; uvicorn would log it as a handshake that was forgotten.
            if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
                self.handshake_complete = True

        def send_receive_event_to_app(self) -> None:
            if self.curr_msg_data_type == "text":
                try:
                    b"".join(self.frames).decode()
                except UnicodeDecodeError:  # uvicorn would log it, with a traceback
                    self.frames = []
                    self.conn.send_close(1007)
                    self.handle_parser_exception()
                    return
            super().send_receive_event_to_app()

        def handle_ping(self) -> None:
            super().handle_ping()
            if self.transport.get_write_buffer_size() > limits.output_bytes:
                self.transport.abort()

    return GuardedWebSocket
