"""The routes: the live page, the signals that it can play (raw float32), the models, their streams,
and whole sequences."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import HTMLResponse
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from ...errors import SrnnError, naming
from ...text import json_text
from ..live import describe, page
from ..streaming import Decoder
from .access import Access
from .batch import classify, read_body
from .bodies import receive_body, unless_gone
from .dropped import read_dropped
from .limits import Limits
from .messages import Array, finite_json
from .metadata import ARRAY_KEYS, ClientMetadata, check_keys
from .stream import StreamConnection

PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; worker-src blob:; style-src "
    "'unsafe-inline'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads nothing from elsewhere, and communicates only with this server."""

BODIES = 4
"""Bodies that are computed at a time; others wait."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Playable:
    """A signal that the live page can play."""

    name: str
    samples: Array
    """(T, channels) float32."""
    models: tuple[str, ...]
    """Names of the models for which it is suited."""
    kept: bool = False
    """Whether a run keeps it, so that the page plays it at once."""
    channels: tuple[str, ...] | None = None
    """Their names; None: not known."""


def create_app(
    models: Mapping[str, Decoder],
    *,
    limits: Limits,
    token: str | None,
    recordings: Sequence[Playable],
) -> FastAPI:
    """The service for some models, by name.

    ``token``: what clients must present; None: nothing is needed, and the server listens on
    loopback only.
    """
    # No documentation page: FastAPI's loads scripts from elsewhere.
    app = FastAPI(title="srnn", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(SrnnError)
    async def mistake(_: Request, error: Exception) -> Response:
        return _json({"detail": str(error)}, 422)

    _add_page(app, recordings)
    _add_models(app, models, limits)
    _add_streams(app, models, limits, b"" if token is None else _signing_key(token))
    app.add_middleware(Access, token=token)
    return app


def _add_page(app: FastAPI, recordings: Sequence[Playable]) -> None:
    """The live page, and what it can play."""
    html = page("socket")

    @app.get("/")
    async def live_page() -> Response:
        return HTMLResponse(html, headers={**HEADERS, "Content-Security-Policy": PAGE_POLICY})

    @app.get("/v1/recordings")
    async def list_recordings() -> Response:
        shown = [
            {
                "number": i,
                "name": one.name,
                "models": one.models,
                "kept": one.kept,
                "channels": one.channels,
            }
            for i, one in enumerate(recordings)
        ]
        return _json({"recordings": shown})

    @app.get("/v1/recordings/{number}")
    async def recording(number: str) -> Response:
        one = next((one for i, one in enumerate(recordings) if str(i) == number), None)
        if one is None:
            raise HTTPException(404, "There is no such recording.")
        data = np.ascontiguousarray(one.samples, "<f4").tobytes()
        return Response(data, headers=HEADERS, media_type="application/octet-stream")


def _add_models(app: FastAPI, models: Mapping[str, Decoder], limits: Limits) -> None:
    """The list of models, and their answers to whole sequences."""
    computing = asyncio.Semaphore(BODIES)

    @app.get("/v1/models")
    async def list_models() -> Response:
        shown = [describe(name, decoder) for name, decoder in models.items()]
        return _json({"models": shown})

    @app.post("/v1/models/{name}/classify")
    async def classify_batch(name: str, request: Request) -> Response:
        if name not in models:
            raise HTTPException(404, "There is no such model.")
        try:
            body = await receive_body(request, int(limits.body_bytes))
            kind = request.headers.get("content-type", "")
            content = await unless_gone(request, answer(name, kind, body, request.query_params))
        except ClientDisconnect:
            return Response()  # to nobody
        except asyncio.CancelledError:  # by uvicorn, which would log a traceback
            raise HTTPException(503, "The server is stopping.") from None
        return Response(content, headers=HEADERS, media_type="application/json")

    @app.post("/v1/models/{name}/recording")
    async def read_file(name: str, request: Request) -> Response:
        """The samples in a file, as the model takes them: raw float32, with notes on how it was
        read in a header."""
        if name not in models:
            raise HTTPException(404, "There is no such model.")
        try:
            body = await receive_body(request, int(limits.body_bytes))
        except ClientDisconnect:
            return Response()  # to nobody
        async with computing:
            read = await asyncio.to_thread(
                read_dropped, body, request.query_params, models[name].signal
            )
        data = np.ascontiguousarray(read.samples, "<f4").tobytes()
        drift = models[name].signal.drift(read.samples)
        sent = {"Srnn-Notes": read.notes, "Srnn-Drift": drift, "Srnn-Channels": read.channels}
        headers = {**HEADERS, **{name: json.dumps(value) for name, value in sent.items()}}
        return Response(data, headers=headers, media_type="application/octet-stream")

    async def answer(name: str, kind: str, body: bytes, asked: Mapping[str, str]) -> str:
        """The JSON for a body, of which the address says what is asked."""
        check_keys(asked, ARRAY_KEYS)
        said, results = ClientMetadata.of(asked), []
        async with computing:
            read = await asyncio.to_thread(read_body, body, kind, models[name], limits, said)
            for number, sequence in enumerate(read):
                with naming(f"Sequence {number}"), np.errstate(all="ignore"):
                    results.append(await classify(models[name], sequence.samples))
        notes = list(dict.fromkeys(note for one in read for note in one.notes))
        return finite_json({"model": name, "results": results, "notes": notes})


def _add_streams(app: FastAPI, models: Mapping[str, Decoder], limits: Limits, key: bytes) -> None:
    """The streams, and how many there are."""
    counts = {"streams": 0, "streams_total": 0, "refused": 0}

    @app.get("/v1/status")
    async def status() -> Response:
        return _json({**counts, "limit": int(limits.streams)})

    @app.websocket("/v1/models/{name}/stream")
    async def stream(socket: WebSocket, name: str) -> None:
        with suppress(WebSocketDisconnect):  # gone before it was answered
            if name not in models:
                await _deny(socket, 404, "There is no such model.")
            elif counts["streams"] >= limits.streams:
                counts["refused"] += 1
                await _deny(
                    socket,
                    503,
                    f"There are {int(limits.streams)} streams already; try again later.",
                )
            else:
                counts["streams"] += 1
                counts["streams_total"] += 1
                try:
                    await socket.accept()
                    await StreamConnection(socket, name, models[name], limits, key).run()
                finally:
                    counts["streams"] -= 1


def _signing_key(token: str) -> bytes:
    """What states are signed with; who knows it cannot tell the token."""
    return hashlib.blake2b(token.encode(), digest_size=32, person=b"srnn state").digest()


def _json(content: Any, status: int = 200) -> Response:
    """An answer in ASCII: names, as of files and classes, may be no text, which UTF-8 refuses."""
    return Response(json_text(content), status, HEADERS, "application/json")


async def _deny(socket: WebSocket, status: int, message: str) -> None:
    await socket.receive()  # its "websocket.connect"
    await socket.send_denial_response(_json({"detail": message}, status))
