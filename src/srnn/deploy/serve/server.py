"""uvicorn, with the limits of ``Limits`` and without a log line for each request."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import SrnnError, need
from ..streaming import Decoder
from .accepting import SPARE_CONNECTIONS, Acceptor, bind, listen
from .access import LEAST_TOKEN, is_loopback
from .limits import Limits
from .places import Places

GRACE = 2
"""Seconds in which connections have to end when the server stops."""
LARGEST_HEAD = 16 * 1024
"""Max bytes of a request before its body."""


def check_exposure(host: str, token: str | None) -> None:
    """SrnnError for a server that others can reach without a token, or a token that can be guessed."""
    if token is not None and len(token) < LEAST_TOKEN:
        raise SrnnError(f"A token must have at least {LEAST_TOKEN} characters; --new-token makes one.")
    if token is None and not is_loopback(host):
        raise SrnnError(
            f"On {host} others can reach this server: give it a token (--new-token, --token-file FILE), or use 127.0.0.1."
        )


def check_installed() -> None:
    """SrnnError where the extra ``serve`` is missing."""
    for package in ("fastapi", "uvicorn", "websockets"):
        need(package, "Serving", "serve")


def make_server(
    models: Mapping[str, Decoder], *, host: str = "127.0.0.1", port: int = 8765, token: str | None = None,
    limits: Limits | None = None, recordings: Sequence[Any] = (),
) -> Any:  # fmt: skip
    """A ``uvicorn.Server``; ``run()`` serves until it is stopped. SrnnError where the extra ``serve`` is missing."""
    check_installed()
    import uvicorn

    from .app import create_app
    from .aside import Aside
    from .guard import GuardedHTTP, GuardedWebSocket, guarded

    check_exposure(host, token)
    limits = limits or Limits()
    places = Places(int(limits.streams) + SPARE_CONNECTIONS, limits.address_connections)
    aside = Aside(models, limits)
    app = create_app(models, aside, limits=limits, token=token, recordings=recordings)
    # The loop: uvicorn's choice for Windows has no readers, by which the Acceptor learns of connections.
    config = uvicorn.Config(
        app, host=host, port=port, http=guarded(GuardedHTTP, limits, places), ws=guarded(GuardedWebSocket, limits, places),
        lifespan="off", loop="asyncio:SelectorEventLoop", log_level="error", access_log=False, server_header=False,
        proxy_headers=False, ws_max_size=int(limits.message_bytes),
        ws_per_message_deflate=False,  # so that no small message becomes a large one
        h11_max_incomplete_event_size=LARGEST_HEAD, timeout_graceful_shutdown=GRACE,
    )  # fmt: skip

    class Server(uvicorn.Server):
        """Accepts connections itself, and computes bodies in other processes."""

        def handle_exit(self, sig: int, frame: Any) -> None:
            # No signal makes it stop at once: it is already stopping, and streams cut short would be errors in its log.
            super().handle_exit(sig, frame)
            self.force_exit = False

        async def startup(self, sockets: Any = None) -> None:
            await self.lifespan.startup()
            listening = sockets or [listen(bind(host, port))]
            aside.start()
            make = functools.partial(
                config.http_protocol_class, config=config, server_state=self.server_state, app_state=self.lifespan.state
            )
            self.servers = [Acceptor(one, make, places) for one in listening]  # type: ignore[misc]
            self.started = True

        async def shutdown(self, sockets: Any = None) -> None:
            # Release connections that have not ended by then: tasks that uvicorn has to cancel are errors in its log.
            last = asyncio.get_running_loop().call_later(GRACE / 2, places.clear)
            try:
                await super().shutdown(sockets)
            finally:
                last.cancel()
                aside.close()

    return Server(config)


def spare_collections() -> None:
    """Keep Python's garbage collections from stalling every stream. Call it once the models are loaded.

    Scanning the libraries' objects, some 200,000, took a fifth of a second each time: they are excluded from now on. Objects of
    300 streams still take a tenth of a second, and hardly any are garbage: old ones are scanned a tenth as often.
    """
    gc.collect()
    gc.freeze()
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, 10 * old)
