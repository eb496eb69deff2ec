"""The server: its socket, and uvicorn with the limits of ``Limits`` and without a log line for each
request."""

from __future__ import annotations

import contextlib
import gc
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import SrnnError, either, need, option
from ..streaming import Decoder
from .access import LEAST_TOKEN, Limits, is_loopback

BACKLOG = 2048
"""Connections that may wait in the kernel."""

OWN_DESCRIPTORS = 256
"""Descriptors for the page, for batches, and for other purposes."""

SPARE_CONNECTIONS = 64
"""Connections besides the streams: for the page and for batches."""

GRACE = 2
"""Seconds in which requests have to end when the server stops."""

LARGEST_HEAD = 16 * 1024
"""Max bytes of a request before its body."""


def check_exposure(host: str, token: str | None) -> None:
    """Check that nobody who should not can reach the server.

    Args:
        host: the address on which it listens.
        token: what clients must present; None: nothing.

    Raises:
        SrnnError: ``value``: others can reach it without a token, or the token can be guessed.
    """
    if token is not None and len(token) < LEAST_TOKEN:
        maker = either("--new-token", "secrets.token_urlsafe()")
        problem = f"A token must have at least {LEAST_TOKEN} characters; {maker} makes one."
        raise SrnnError(problem, "value", "token")
    if token is None and not is_loopback(host):
        given = either("a token (--new-token, --token-file FILE)", "a token")
        problem = f"On {host} others can reach this server: give it {given}, or use 127.0.0.1."
        raise SrnnError(problem, "value", "host")


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
    """Make a server; nothing listens until it runs.

    Args:
        models: the decoders, by the names under which they are served. A stream refuses what is
            missing (NaN) where its decoder does (``missing="refuse"``).
        host: the address on which it listens.
        port: the port.
        token: what clients must present; None: nothing is needed, and only loopback is served.
        limits: of what a client may ask for; None: the default ones.
        recordings: signals that the live page can play (``app.Playable``).

    Returns:
        A ``uvicorn.Server``, whose ``run()`` serves until it is stopped.

    Raises:
        SrnnError: ``package``: the extra ``serve`` is missing; ``value``: see ``check_exposure``.
    """
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
        limit_concurrency=limits.streams + SPARE_CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        ws_max_size=limits.message_bytes,
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


def bind(host: str, port: int, shared: bool = False) -> socket.socket:
    """Take an address, so that a port in use is reported at once; nobody can connect yet.

    Args:
        host: the address; the brackets of an IPv6 address may be left out.
        port: the port; 0: any that is free.
        shared: whether several servers may listen on the port.

    Returns:
        A socket with this address, for ``listen``.

    Raises:
        SrnnError: ``resource``: the address cannot be had; ``unsupported``: this system cannot
            share a port.
    """
    if ":" in host:
        family = socket.AF_INET6
    else:
        family = socket.AF_INET
    # asyncio sends small messages at once (TCP_NODELAY) only if the protocol is named; else the
    # kernel holds them for up to .2 s.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)

    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            if not hasattr(socket, "SO_REUSEPORT"):
                name = option("share_port")
                problem = f"This system cannot share a port between servers ({name})."
                raise SrnnError(problem, "unsupported", "share_port")
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host.strip("[]"), port))
    except (OSError, UnicodeError) as error:
        bound.close()
        raise _refusal(host, port, error) from error
    except SrnnError:
        bound.close()
        raise

    return bound


def listen(bound: socket.socket) -> None:
    """Let anyone who reads the address connect. SrnnError if another server was faster."""
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        bound.close()
        raise _refusal(host, port, error) from error


def raise_descriptors(connections: int) -> None:
    """Raise this process's soft limit on open files for so many connections, as far as it may."""
    try:
        import resource
    except ImportError:  # Windows
        return

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OWN_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)

    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS refuses more than a limit of its own.
        with contextlib.suppress(OSError, ValueError, OverflowError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _refusal(host: str, port: int, error: Exception) -> SrnnError:
    reason = getattr(error, "strerror", None) or error
    advice = f"choose another {option('port')} or {option('host')}"
    return SrnnError(f"Cannot listen on {host}:{port} ({reason}); {advice}.", "resource", "port")
