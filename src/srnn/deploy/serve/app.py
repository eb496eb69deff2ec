"""The routes: the live page, the signals that it can play (raw float32), the models, their streams,
and whole sequences.

An error's body is a JSON object: ``detail``, a line for people, and ``kind`` and ``field``, those
of SrnnError.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from ...errors import SrnnError, naming
from ...text import json_text
from ..live import describe, page
from ..streaming import Decoder
from .access import Access, Limits, Refused, error_body
from .batch import classify, read_body, read_dropped
from .messages import Array, finite_json
from .metadata import ARRAY_KEYS, ClientMetadata, check_keys
from .stream import StreamConnection

T = TypeVar("T")

PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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
    """The service for some models.

    Args:
        models: the decoders, by the names of their models.
        limits: of what a client may ask for.
        token: what clients must present; None: nothing is needed, and the server listens on
            loopback only.
        recordings: what the live page can play.

    Returns:
        The ASGI application.
    """
    # No documentation page: FastAPI's loads scripts from elsewhere.
    app = FastAPI(title="srnn", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(SrnnError)
    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, SrnnError)
        return _json(error_body(error), error.status if isinstance(error, Refused) else 422)

    @app.exception_handler(HTTPException)  # of the router: no such route, or not by this method
    async def refuse_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = "name" if error.status_code == 404 else "unsupported"
        refused = Refused(error.status_code, error.detail, kind, request.url.path)
        response = _json(error_body(refused), refused.status)
        response.headers.update(error.headers or {})
        return response

    # ---- the live page, and what it can play

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
            raise Refused(404, "There is no such recording.", "name", number)
        data = np.ascontiguousarray(one.samples, "<f4").tobytes()
        return Response(data, headers=HEADERS, media_type="application/octet-stream")

    # ---- the models, and their answers to whole sequences

    computing = asyncio.Semaphore(BODIES)

    @app.get("/v1/models")
    async def list_models() -> Response:
        shown = [describe(name, decoder) for name, decoder in models.items()]
        return _json({"models": shown})

    @app.post("/v1/models/{name}/classify")
    async def classify_batch(name: str, request: Request) -> Response:
        decoder = _named(models, name)
        try:
            body = await _receive_body(request, limits.body_bytes)
            media_type = request.headers.get("content-type", "")
            work = answer(name, decoder, media_type, body, request.query_params)
            content = await _unless_gone(request, work)
        except ClientDisconnect:
            return Response()  # to nobody
        except asyncio.CancelledError:  # by uvicorn, which would log a traceback
            raise Refused(503, "The server is stopping.", "resource") from None
        return Response(content, headers=HEADERS, media_type="application/json")

    async def answer(
        name: str, decoder: Decoder, media_type: str, body: bytes, query: Mapping[str, str]
    ) -> str:
        check_keys(query, ARRAY_KEYS)
        metadata, results = ClientMetadata.of(query), []
        async with computing:
            read = await asyncio.to_thread(read_body, body, media_type, decoder, limits, metadata)
            for number, sequence in enumerate(read):
                with naming(f"Sequence {number}"), np.errstate(all="ignore"):
                    results.append(await classify(decoder, sequence.samples))
        notes = list(dict.fromkeys(note for one in read for note in one.notes))
        return finite_json({"model": name, "results": results, "notes": notes})

    @app.post("/v1/models/{name}/recording")
    async def read_file(name: str, request: Request) -> Response:
        """The samples in a file, as the model takes them: raw float32, with notes on how it was
        read in a header."""
        signal = _named(models, name).signal
        try:
            body = await _receive_body(request, limits.body_bytes)
        except ClientDisconnect:
            return Response()  # to nobody
        async with computing:
            read = await asyncio.to_thread(read_dropped, body, request.query_params, signal)
        data = np.ascontiguousarray(read.samples, "<f4").tobytes()
        drift = signal.drift(read.samples)
        about = {"Srnn-Notes": read.notes, "Srnn-Drift": drift, "Srnn-Channels": read.channels}
        headers = {**HEADERS, **{name: json.dumps(value) for name, value in about.items()}}
        return Response(data, headers=headers, media_type="application/octet-stream")

    # ---- the streams, and how many there are

    counts = {"streams": 0, "streams_total": 0, "refused": 0}
    key = b""  # signs states; who has it cannot compute the token from it
    if token is not None:
        key = hashlib.blake2b(token.encode(), digest_size=32, person=b"srnn state").digest()

    @app.get("/v1/status")
    async def status() -> Response:
        return _json({**counts, "limit": limits.streams})

    @app.websocket("/v1/models/{name}/stream")
    async def stream(socket: WebSocket, name: str) -> None:
        with suppress(WebSocketDisconnect):  # gone before it was answered
            try:
                decoder = _named(models, name)
                if counts["streams"] >= limits.streams:
                    counts["refused"] += 1
                    problem = f"There are {limits.streams} streams already; try again later."
                    raise Refused(503, problem, "resource", "streams")
            except Refused as error:
                await socket.receive()  # its "websocket.connect"
                await socket.send_denial_response(_json(error_body(error), error.status))
                return
            counts["streams"] += 1
            counts["streams_total"] += 1
            try:
                await socket.accept()
                await StreamConnection(socket, name, decoder, limits, key).run()
            finally:
                counts["streams"] -= 1

    app.add_middleware(Access, token=token)
    return app


def _named(models: Mapping[str, Decoder], name: str) -> Decoder:
    if name not in models:
        raise Refused(404, "There is no such model.", "name", name)
    return models[name]


def _json(content: Any, status: int = 200) -> Response:
    """An answer in ASCII: names, as of files and classes, may be no text, which UTF-8 refuses."""
    return Response(json_text(content), status, HEADERS, "application/json")


async def _receive_body(request: Request, most: int) -> bytes:
    """The body of a request. Refused: it is larger than ``most`` bytes. ClientDisconnect: the
    client has gone."""
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise Refused(413, f"A body may have at most {most} bytes.", "data", "body")
        parts.append(part)
    return b"".join(parts)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work for a request whose body has been received.

    The work is cancelled if the client goes (ClientDisconnect).
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    doing = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(gone())
    try:
        await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientDisconnect
        return doing.result()
    finally:
        for task in (doing, watching):
            task.cancel()
        await asyncio.gather(doing, watching, return_exceptions=True)
