"""One WebSocket stream, with its own session and pace. At worst, its client's actions end only this stream.

All streams are computed in the event loop, in turns of a few hundred samples (about a millisecond; fewer of a slow network), so
that a client that sends much delays only itself; encoders that take longer use a thread. The next message is read only when the
last one has been handled; output waits until the client reads it.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ...errors import SrnnError
from ..streaming import Decisions, Decoder, Session
from ..streaming.decisions import Chooser
from .batch import TURN
from .guard import GONE
from .limits import Limits
from .messages import (
    Array,
    Start,
    decisions_message,
    describe,
    finite_json,
    read_rows,
    read_samples,
    read_start,
    read_text,
)

TURN_SECONDS = 0.01
"""A turn that takes longer (of a large network, or one that is not compiled) is followed by one of half as many samples."""
TRACED_TURN = 64
"""Max samples that are computed before other streams get their turn, for a client with a trace; else ``TURN``."""
DRAWN = 12
"""Number of neurons whose membranes are sent in a trace."""
NORMAL, POLICY, TIMEOUT = 1000, 1008, 4408
"""WebSocket close codes of streams."""


class TooLong(SrnnError):
    """A client takes more time than it is allowed."""


class StreamConnection:
    """A client's stream, on an accepted socket, from its first message to its end. ``key`` signs states."""

    def __init__(self, socket: WebSocket, name: str, decoder: Decoder, limits: Limits, key: bytes) -> None:
        self._socket, self._name, self._decoder, self._limits, self._key = socket, name, decoder, limits, key
        self._session: Session = decoder.open()
        self._start = Start()
        self._told = 0  # samples at the last state that was sent
        self._turn = TRACED_TURN  # samples that are computed before other streams get their turn
        self._until = time.monotonic() + limits.stream_seconds

    async def run(self) -> None:
        """Serve the stream. Never raises for a client's actions."""
        # Samples of 1e38 overflow, which is the client's concern and not worth a warning by the server.
        with np.errstate(all="ignore"), suppress(WebSocketDisconnect):
            try:
                await self._begin()
                while await self._answer(await self._receive(self._limits.idle_seconds, "sent nothing for")):
                    if time.monotonic() > self._until:
                        raise TooLong(f"A stream may last at most {self._limits.stream_seconds:g} s.")
                await self._send({"type": "end", "samples": self._session.samples, "steps": self._session.steps})
                await self._close(NORMAL)
            except SrnnError as error:
                await self._refuse(str(error), TIMEOUT if isinstance(error, TooLong) else POLICY)

    async def _begin(self) -> None:
        first = await self._receive(self._limits.start_seconds, "did not start within")
        if "text" not in first:
            raise SrnnError('The first message of a stream must be {"type": "start"}.')
        self._start = read_start(read_text(first["text"], self._limits.message_lists))
        if self._start.state is not None:
            self._session.restore(self._start.state, self._key)
        self._told, self._chooser = self._session.samples, Chooser(self._start.report)
        limits = {"message_bytes": self._limits.message_bytes, "idle_seconds": self._limits.idle_seconds}
        await self._send(
            {"type": "ready", **describe(self._name, self._decoder), "samples": self._session.samples,
             "steps": self._session.steps, "limits": limits}
        )  # fmt: skip

    async def _answer(self, message: dict[str, Any]) -> bool:
        """Handle a message; returns False if it was the last one."""
        if "text" not in message:
            signal = self._decoder.signal
            samples = read_samples(message["bytes"], signal.channels, self._start.format, signal.int16_scale)
            await self._push(samples)
            return True
        said = read_text(message["text"], self._limits.message_lists)
        if said["type"] == "samples":
            await self._push(await self._read_rows(said.get("samples")))
        elif said["type"] == "state":
            await self._tell_state()
        elif said["type"] == "reset":
            self._session.reset()
            self._told, self._chooser = 0, Chooser(self._start.report)
        elif said["type"] == "finish":
            await self._tell(self._session.decide_last(await self._aside(self._session.encoder.flush)))
            return False
        else:
            raise SrnnError("A stream can be started only once.")
        return True

    async def _read_rows(self, rows: Any) -> Array:
        """``read_rows``, in turns."""
        channels = self._decoder.signal.channels
        if not isinstance(rows, list) or len(rows) <= TURN:
            return read_rows(rows, channels)
        parts = []
        for first in range(0, len(rows), TURN):
            parts.append(read_rows(rows[first : first + TURN], channels))
            await asyncio.sleep(0)  # the others' turn
        return np.concatenate(parts)

    async def _push(self, samples: Array) -> None:
        while len(samples):
            block, samples = np.split(samples, [self._turn])
            if self._start.trace:
                await self._push_traced(block)
            else:
                await self._tell(await self._decide(block))
            every = self._start.state_every
            if every is not None and self._session.samples - self._told >= every:
                await self._tell_state()
            if len(samples):
                await asyncio.sleep(0)  # the others' turn
                if self._socket.scope[GONE]():
                    raise WebSocketDisconnect

    async def _aside(self, encode: Callable[..., Array], *block: Array) -> Array:
        """The output of the session's encoder, computed in a thread where it takes long (a cochlea's)."""
        if self._session.encoder.heavy:
            return await asyncio.to_thread(encode, *block)
        return encode(*block)

    async def _decide(self, block: Array, probe: Callable[[int], None] | None = None) -> Decisions:
        """A turn's decisions. What a block shorter than a turn takes does not tell that turns may be longer."""
        steps = await self._aside(self._session.encode, block)
        began = time.thread_time()  # on a busy machine, shorter turns would make it busier
        decisions = self._session.decide(steps, probe)
        seconds = time.thread_time() - began
        if seconds > TURN_SECONDS:
            self._turn = max(1, self._turn // 2)
        elif seconds < TURN_SECONDS / 4 and len(block) == self._turn:
            self._turn = min(TRACED_TURN if self._start.trace else TURN, 2 * self._turn)
        return decisions

    async def _push_traced(self, block: Array) -> None:
        stream, layers = self._decoder.stream, range(len(self._decoder.hidden))
        spikes: list[list[list[int]]] = []
        membranes: list[list[float]] = []
        drawn = hasattr(stream.state[0], "u")

        def probe(_: int) -> None:
            spikes.append([np.flatnonzero(stream.state_part(layer, "s")[0]).tolist() for layer in layers])
            membranes.append([round(v, 4) for v in stream.state_part(0, "u")[0, :DRAWN].tolist()] if drawn else [])

        first, before = self._session.steps, self._session.samples
        decisions = await self._decide(block, probe)
        # After an early exit the network rests.
        for row in np.setdiff1d(np.arange(len(spikes)), decisions.steps - first):
            spikes[row] = [[] for _ in layers]
        shown = np.round(block.astype(np.float64), 5).tolist()
        await self._send(
            {"type": "trace", "sample": before, "input": shown, "step": first, "spikes": spikes, "membranes": membranes}
        )
        await self._tell(decisions)

    async def _tell(self, decisions: Decisions) -> None:
        """Send the decisions that the client has asked for."""
        keep = self._chooser(decisions.winners, decisions.final)
        if keep.any():
            await self._send(decisions_message(self._decoder, decisions, keep, self._start.probabilities))

    async def _tell_state(self) -> None:
        session, self._told = self._session, self._session.samples
        state = base64.b64encode(session.save(self._key)).decode()
        await self._send({"type": "state", "samples": session.samples, "steps": session.steps, "state": state})

    # ---- the socket -------------------------------------------------------------------------------------------------

    async def _receive(self, seconds: float, what: str, again: bool = False) -> dict[str, Any]:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                message = await self._socket.receive()
        except TimeoutError:
            # Much later: this process was stopped, and has yet to read what the client has sent since. Or others keep it busy: so
            # only once.
            if again or time.monotonic() - begun < 1.1 * seconds:
                raise TooLong(f"The stream {what} {seconds:g} s.") from None
            return await self._receive(seconds, what, again=True)
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", NORMAL))
        return {key: value for key, value in message.items() if value is not None}

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send_text(finite_json(message))  # waits for a client that does not read (guard.py)

    async def _refuse(self, message: str, code: int) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # it has gone
            await self._send({"type": "error", "message": message})
            await self._close(code)

    async def _close(self, code: int) -> None:
        if self._socket.application_state == WebSocketState.CONNECTED:
            await self._socket.close(code)
