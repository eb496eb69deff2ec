"""uvicorn's protocols, with limits for clients that are silent, send slowly, send much at once, or do not read.

uvicorn bounds a message's size, reads no further than the application, and stops writing to a client that does not read. It does
not bound how long a request may take (each one, not only the first), how long a client may leave its answers unread, how much of
the loop's time is taken by many small frames, headers or chunks that arrive at once, or answers to pings, which it writes whether
they are read or not. Also, a client's mistake is not treated as a server error: no client can fill the log.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from .access import KNOWN
from .limits import Limits
from .places import BUSY, GUEST, STRANGER, STREAM, Places

SLICE = 512
"""Bytes parsed before other tasks get their turn; they may contain many small items: some 85 frames, taking a millisecond."""
READ = 64 * 1024
"""Bytes of a body that are read at a time."""
PIPELINED = 4096
"""Bytes of further requests that may be buffered while one is answered."""
HEADER_LINES = 128
GONE = "srnn.gone"
"""Key in a WebSocket's scope: a function that tells whether its client has gone, for when there is nothing to send to it."""
PROGRESS = 16384
"""Bytes that a client must read within ``send_seconds``, if that many are buffered for it."""


class Patient(asyncio.Protocol):
    """Wraps a protocol, and aborts a connection whose client does not read: closing it would wait."""

    limits: Limits
    places: Places
    transport: Any
    loop: Any
    _rest: bytearray
    _reading: asyncio.TimerHandle | None = None
    _timer: asyncio.TimerHandle | None = None
    """Aborts the connection of a silent client."""
    _turn: asyncio.Handle | None = None
    """The next turn for ``_rest``, what has been received but not yet parsed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rest = bytearray()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        self.places.leave(self.transport)
        for handle in (self._reading, self._timer, self._turn):
            if handle is not None:
                handle.cancel()
        super().connection_lost(exc)

    def _expire_after(self, seconds: float | None) -> None:
        """Abort the connection after so many seconds, unless called again before then; None: do not abort it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)

    def _watch(self) -> None:
        self._stop()
        waiting = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(self.limits.send_seconds, self._look, waiting)

    def _look(self, waiting: int) -> None:
        if self.transport.get_write_buffer_size() > waiting - PROGRESS:
            self.transport.abort()
        else:
            self._watch()

    def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None


class GuardedHTTP(Patient, H11Protocol):
    """HTTP in which the head of every request, and its body, must arrive within ``start_seconds``."""

    _phase = ""  # "head" or "body": what the client has yet to send; "answer": it waits
    _lines = 0  # of the head, so far
    _sliced = True  # whether what comes may hold many small items: a head, or a body in chunks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        with contextlib.suppress(AttributeError):  # asyncio's own transports read so much at a time, else 256 KiB
            transport.max_size = READ  # type: ignore[attr-defined]
        self.places.enter(transport)
        self._settle()

    # ---- no more of the loop's time than a slice takes

    def data_received(self, data: bytes) -> None:
        if not self._rest and (len(data) <= SLICE or not self._sliced):
            self._take(data)
            return
        self._rest += data
        if self._turn is None:
            self.transport.pause_reading()
            self._turn = self.loop.call_soon(self._next)

    def _next(self) -> None:
        self._turn = None
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._rest.clear()
            if not self.transport.is_closing():
                self.transport.resume_reading()
            return
        piece = bytes(self._rest[:SLICE] if self._sliced else self._rest)
        del self._rest[: len(piece)]
        self._take(piece)
        if self._rest:
            self._turn = self.loop.call_soon(self._next)
        else:
            self.transport.resume_reading()

    def _take(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE:
            self._lines += data.count(b"\n")
            if self._lines > HEADER_LINES:
                self.send_400_response(f"A request may have at most {HEADER_LINES} headers.")
                return
        self._settle()
        if self._phase == "answer":  # further requests; uvicorn would stop reading, and not notice that the client goes
            if len(self.conn.trailing_data[0]) > PIPELINED:
                self.transport.abort()
            elif not self._rest:
                self.flow.resume_reading()

    # ---- no more of a client's time than the limits allow

    def _settle(self) -> None:
        theirs, answering = self.conn.their_state, self.cycle is not None and not self.cycle.response_complete
        phase = "body" if theirs is h11.SEND_BODY else "answer" if answering else "head"
        if phase == self._phase:
            return
        self._phase, self._lines = phase, 0
        # For a body the application answers 408 first.
        seconds = self.limits.start_seconds + (self.limits.send_seconds if phase == "body" else 0)
        self._expire_after(None if phase == "answer" else seconds)
        known = self.scope is not None and self.scope.get(KNOWN)
        self.places.set_rank(self.transport, BUSY if phase == "answer" else GUEST if known else STRANGER)
        self._sliced = phase == "head" or any(name == b"transfer-encoding" for name, _ in self.headers)

    def on_response_complete(self) -> None:
        self._phase = "answered"  # the next request has its own time limit, even if it is here already
        super().on_response_complete()
        if self.transport.get_protocol() is self:
            self._settle()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._expire_after(None)
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # it has an answer already, and the error came after that
            self.transport.abort()


class GuardedWebSocket(Patient, WebSocketsSansIOProtocol):
    """WebSockets that are aborted when they are not read, or when more than ``output_bytes`` are buffered for a client."""

    _found = False  # frames, in the last slice
    _moved = False  # something was read, or handled, since the last ping or the last look for its answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.places.set_rank(transport, STRANGER)
        self._expire_after(self.limits.start_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        # What nobody will receive: a connection's objects refer to themselves, and so stay until the next collection of old ones,
        # which is rare (server.py).
        self._rest.clear()
        self.frames = []
        self.conn.reader.discard()
        while not self.queue.empty():
            self.queue.get_nowait()
        super().connection_lost(exc)

    async def run_asgi(self) -> None:
        self.scope[GONE] = lambda: self.disconnected  # type: ignore[typeddict-unknown-key]
        try:
            await super().run_asgi()
        finally:  # it may still take the last answers, and say goodbye
            if not self.disconnected:
                self.places.set_rank(self.transport, STRANGER)
                self._expire_after(self.close_timeout + self.limits.send_seconds)

    async def send(self, message: Any) -> None:
        if self.close_sent and message["type"] in ("websocket.send", "websocket.close"):
            raise ClientDisconnected  # closed because of a bad frame; uvicorn would blame the application
        await super().send(message)
        if message["type"] == "websocket.accept" and not self.disconnected:
            self.places.set_rank(self.transport, STREAM)
            self._expire_after(None)
        # A refusal (401, 404, ...) is an answer, too; uvicorn would log it as a forgotten handshake.
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    async def receive(self) -> Any:
        if self._rest or not self.queue.empty():
            await asyncio.sleep(0)  # nothing else makes it wait: give others their turn
        message = await super().receive()
        self._moved = True
        if self._rest and not self.read_paused and self._turn is None:
            self._turn = self.loop.call_soon(self._feed)
        return message

    def data_received(self, data: bytes) -> None:
        self._moved = True
        if self._rest or len(data) > SLICE:
            self._rest += data
            if not self.read_paused and self._turn is None:
                self._feed()
        else:
            super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:  # uvicorn would leave it open
            self.transport.abort()

    def _feed(self) -> None:
        """Handle some of the frames received; the rest get their turn when these are done, or after other tasks."""
        self._turn, self._found = None, False
        while self._rest and not self._found and not self.read_paused and not self.transport.is_closing():
            piece = bytes(self._rest[:SLICE])
            del self._rest[:SLICE]
            super().data_received(piece)
        if self.transport.is_closing():
            self._rest.clear()
        elif not self.read_paused:
            if self._rest:
                self.transport.pause_reading()
                self._turn = self.loop.call_soon(self._feed)
            else:
                self.transport.resume_reading()

    def handle_events(self) -> None:
        self._found = bool(self.conn.events)
        super().handle_events()

    def handle_text(self, event: Any) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        if self._is_text(event):
            super().handle_text(event)

    def handle_cont(self, event: Any) -> None:
        if len(self.frames) > self.limits.message_bytes // 16:  # empty ones could accumulate for ever
            self._fail(1009)
        elif self.curr_msg_data_type != "text" or self._is_text(event):
            super().handle_cont(event)

    def _is_text(self, event: Any) -> bool:
        """Whether a text message is UTF-8 so far; if not, the connection fails at once. uvicorn would log a traceback."""
        try:
            self._decoder.decode(event.data, event.fin)
        except UnicodeDecodeError:
            self._fail(1007)
            return False
        return True

    def _fail(self, code: int) -> None:
        self.frames = []
        if not self.close_sent:
            with contextlib.suppress(InvalidState):  # the client's close has been answered already
                self.conn.send_close(code)
            self.handle_parser_exception()

    def send_keepalive_ping(self) -> None:
        self._moved = False
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """End a connection that answers no ping, once all is read that its client has sent: the answer comes after it."""
        if self._moved or self._rest or self.read_paused:
            self._moved = False
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
        else:
            super().keepalive_timeout()

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > self.limits.output_bytes:
            self.transport.abort()


def guarded(protocol: type[Patient], limits: Limits, places: Places) -> type[Any]:
    """The protocol class for one server."""
    return type(protocol.__name__, (protocol,), {"limits": limits, "places": places})
