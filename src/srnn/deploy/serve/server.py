"""uvicorn with the limits of ``Limits``, and without a log line for each request."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import SrnnError, either, need
from ..streaming import Decoder
from .access import LEAST_TOKEN, is_loopback
from .limits import Limits

SPARE_CONNECTIONS = 64
"""Connections besides the streams: for the page and for batches."""

GRACE = 2
"""Seconds in which requests have to end when the server stops."""

LARGEST_HEAD = 16 * 1024
"""Max bytes of a request before its body."""


def check_exposure(host: str, token: str | None) -> None:
    """SrnnError for a server that others can reach without a token, or a token that can be
    guessed."""
    if token is not None and len(token) < LEAST_TOKEN:
        maker = either("--new-token", "secrets.token_urlsafe()")
        raise SrnnError(f"A token must have at least {LEAST_TOKEN} characters; {maker} makes one.")
    if token is None and not is_loopback(host):
        given = either("a token (--new-token, --token-file FILE)", "a token")
        raise SrnnError(
            f"On {host} others can reach this server: give it {given}, or use 127.0.0.1."
        )


def check_installed() -> None:
    """SrnnError where the extra ``serve`` is missing."""
    for package in ("fastapi", "uvicorn", "websockets"):
        need(package, "Serving", "serve")


def make_server(
    models: Mapping[str, Decoder],
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    token: str | None = None,
    limits: Limits | None = None,
    recordings: Sequence[Any] = (),
) -> Any:
    """A ``uvicorn.Server``; ``run()`` serves until it is stopped. SrnnError where the extra
    ``serve`` is missing."""
    check_installed()
    import uvicorn

    from .app import create_app

    check_exposure(host, token)
    limits = limits or Limits()
    app = create_app(models, limits=limits, token=token, recordings=recordings)

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",
        ws="websockets-sansio",
        loop="asyncio",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=int(limits.streams) + SPARE_CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        ws_max_size=int(limits.message_bytes),
        ws_per_message_deflate=False,  # so that no small message becomes a large one
        # A pong comes after all that its client has sent, which may take a while to compute; a
        # client that has gone is silent, and ``idle_seconds`` ends its stream.
        ws_ping_timeout=None,
    )
    return uvicorn.Server(config)


def spare_collections() -> None:
    """Keep Python's garbage collections from stalling every stream. Call it once the models are
    loaded.

    Scanning the libraries' objects, some 200,000, took a fifth of a second each time: they are
    excluded from now on. Objects of 300 streams still take a tenth of a second, and hardly any are
    garbage: old ones are scanned a tenth as often.
    """
    gc.collect()
    gc.freeze()
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, 10 * old)
