"""One WebSocket stream, with its own session and pace. At worst, its client's actions end only this
stream.

The next message is read only when the last one has been handled; output waits until the client
reads it.
"""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import suppress
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ...data.leads import FLAT, LeadWatch
from ...errors import SrnnError
from ...nn.alarm import THRESHOLD
from ..live import describe
from ..streaming import Decisions, Decoder, Session
from ..streaming.running import NO_CLASS, Beginning, Chooser
from .access import Limits
from .messages import (
    Array,
    Start,
    decisions_message,
    finite_json,
    in_place,
    read_rows,
    read_samples,
    read_start,
    read_text,
)
from .metadata import NO_METADATA, STREAM_KEYS, ClientMetadata
from .turns import MOST, Turns

TRACED = 64
"""Max samples of a turn, for a client with a trace."""

DRAWN = 12
"""Number of neurons whose membranes are sent in a trace."""

NORMAL, POLICY, TIMEOUT = 1000, 1008, 4408
"""WebSocket close codes of streams."""


class Silent(SrnnError):
    """A client that has sent nothing for longer than it may."""


class StreamConnection:
    """A client's stream, from its first message to its end.

    Args:
        socket: an accepted socket.
        name: of the model, for messages.
        decoder: of the model, shared by its streams.
        limits: of what the client may ask for.
        key: signs states; empty: they are not signed.
    """

    def __init__(
        self, socket: WebSocket, name: str, decoder: Decoder, limits: Limits, key: bytes
    ) -> None:
        self._socket = socket
        self._name = name
        self._decoder = decoder
        self._limits = limits
        self._key = key
        self._session: Session = self._decoder.open()
        self._start = Start()
        self._saved = 0  # samples at the last state that was sent
        self._metadata = NO_METADATA
        self._beginning: Beginning | None = None

    async def run(self) -> None:
        """Serve the stream. Never raises for a client's actions."""
        # Samples of 1e38 overflow, which is the client's concern and not worth a warning by the
        # server.
        with np.errstate(all="ignore"), suppress(WebSocketDisconnect):
            try:
                await self._begin()
                while await self._answer(await self._receive()):
                    pass
                await self._send(
                    {
                        "type": "end",
                        "samples": self._session.samples,
                        "steps": self._session.steps,
                    }
                )
                await self._close(NORMAL)
            except SrnnError as error:
                message = {"type": "error", "message": str(error)}
                with suppress(WebSocketDisconnect, RuntimeError):  # it has gone
                    await self._send({**message, "kind": error.kind, "field": error.field})
                    await self._close(TIMEOUT if isinstance(error, Silent) else POLICY)

    async def _begin(self) -> None:
        first = await self._receive()
        self._start = read_start(read_text(first["text"]) if "text" in first else {})
        if self._start.report == "change" and self._decoder.targets and not self._decoder.alarm:
            problem = "'report' can be step or end: the answer is a value, not a class."
            raise SrnnError(problem, "conflict", "report")
        self._metadata = ClientMetadata.of({key: getattr(self._start, key) for key in STREAM_KEYS})
        self._metadata.check_stream(self._decoder.signal)
        if self._start.finite:
            self._session = self._decoder.open_finite()
        if self._start.state is not None:
            self._session.restore(self._start.state, self._key)
        self._saved = self._session.samples
        self._chooser = Chooser(self._start.report)
        self._begin_checks()
        self._turns = Turns(self._session, TRACED if self._start.trace else MOST)

        await self._send(
            {
                "type": "ready",
                **describe(self._name, self._decoder),
                "samples": self._session.samples,
                "steps": self._session.steps,
                "limits": {
                    "message_bytes": self._limits.message_bytes,
                    "idle_seconds": self._limits.idle_seconds,
                },
            }
        )

    async def _answer(self, message: dict[str, Any]) -> bool:
        """Handle a message; returns False if it was the last one."""
        signal = self._decoder.signal
        channels = self._metadata.channel_count(signal)
        if "text" not in message:
            data = message["bytes"]
            await self._push(read_samples(data, channels, self._start.format, signal.int16_scale))
            return True

        content = read_text(message["text"])
        if content["type"] == "samples":
            await self._push(read_rows(content.get("samples"), channels))
        elif content["type"] == "state":
            await self._send_state()
        elif content["type"] == "reset":
            self._session.reset()
            self._saved = 0
            self._chooser = Chooser(self._start.report)
            self._begin_checks()
        elif content["type"] == "finish":
            await self._send_decisions(await self._turns.finish())
            await self._send_drift()
            return False
        else:
            raise SrnnError("A stream can be started only once.", "conflict", "type")
        return True

    def _begin_checks(self) -> None:
        """Watch from here on where a lead is off, and the signal's beginning for drift."""
        self._watch = LeadWatch.of(self._decoder.task, self._decoder.signal, self._session.samples)
        if self._start.drift and not self._session.samples:
            self._beginning = Beginning(self._decoder.signal)

    async def _push(self, samples: Array) -> None:
        every = self._start.state_every
        if self._metadata != NO_METADATA and len(samples):
            samples = self._metadata.match("The signal", samples, self._decoder.signal).samples
        async for block in self._turns.cut(samples):
            if self._watch is not None:
                self._watch.observe(block)
            if self._start.trace:
                await self._push_traced(block)
            else:
                await self._send_decisions(await self._turns.decide(block))

            if every is not None and self._session.samples - self._saved >= every:
                await self._send_state()
            if self._beginning is not None:
                self._beginning.observe(block)
                if self._beginning.complete:
                    await self._send_drift()

    async def _push_traced(self, block: Array) -> None:
        stream, layers = self._decoder.stream, range(len(self._decoder.hidden))
        spikes: list[list[list[int]]] = []
        membranes: list[list[float]] = []
        drawn = hasattr(stream.state[0], "u")

        def probe(_: int) -> None:
            spikes.append(
                [np.flatnonzero(stream.state_part(layer, "s")[0]).tolist() for layer in layers]
            )
            membranes.append(
                [round(v, 4) for v in stream.state_part(0, "u")[0, :DRAWN].tolist()]
                if drawn
                else []
            )

        first, before = self._session.steps, self._session.samples
        decisions = await self._turns.decide(block, probe)
        # After an early exit the network rests.
        for row in np.setdiff1d(np.arange(len(spikes)), decisions.steps - first):
            spikes[row] = [[] for _ in layers]
        shown = np.round(block.astype(np.float64), 5).tolist()
        await self._send(
            {
                "type": "trace",
                "sample": before,
                "input": shown,
                "step": first,
                "spikes": spikes,
                "membranes": membranes,
            }
        )
        await self._send_decisions(decisions)

    async def _send_decisions(self, decisions: Decisions) -> None:
        """Send the decisions that the client has asked for."""
        states = np.zeros(len(decisions.steps), np.uint8)
        if self._watch is not None:
            states = self._watch.states(decisions.steps - self._decoder.lag)
        answers = np.where(states >= FLAT, NO_CLASS, decisions.winners)
        if self._decoder.alarm is not None:
            answers = decisions.scores[:, 0] > THRESHOLD
        keep = self._chooser(answers, decisions.final)
        if keep.any():
            message = decisions_message(self._decoder, decisions, keep, self._start.probabilities)
            if (states[keep] >= FLAT).any():
                message |= in_place(message, states[keep])
            await self._send(message)

    async def _send_drift(self) -> None:
        """Send, once, how the signal's beginning differs from those of training, if it does."""
        if self._beginning is None:
            return
        drift = self._beginning.drift()
        self._beginning = None
        if drift:
            await self._send({"type": "drift", "drift": drift})

    async def _send_state(self) -> None:
        session, self._saved = self._session, self._session.samples
        state = base64.b64encode(session.save(self._key)).decode()
        await self._send(
            {"type": "state", "samples": session.samples, "steps": session.steps, "state": state}
        )

    # ---- the socket -------------------------------------------------------------------------------------------------

    async def _receive(self, again: bool = False) -> dict[str, Any]:
        seconds = self._limits.idle_seconds
        begun = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                message = await self._socket.receive()
        except TimeoutError:
            # Much later: this process was stopped, and has yet to read what the client has sent
            # since. Or others keep it busy: so only once.
            if again or time.monotonic() - begun < 1.1 * seconds:
                problem = f"The stream sent nothing for {seconds:g} s."
                raise Silent(problem, "resource", "idle_seconds") from None
            return await self._receive(again=True)

        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", NORMAL))
        return {key: value for key, value in message.items() if value is not None}

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send_text(finite_json(message))  # waits for a client that does not read

    async def _close(self, code: int) -> None:
        if self._socket.application_state == WebSocketState.CONNECTED:
            await self._socket.close(code)
