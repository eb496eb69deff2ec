"""Access control.

token    if one is set, every request needs it: "Authorization: Bearer TOKEN", or ?token=TOKEN (browsers cannot set headers
         of a WebSocket). Compared in constant time.
host     without a token, only loopback names are accepted, so that no page can reach the server by a name that resolves to it
         (DNS rebinding); with a token, such a page would not know it
length   a request has Content-Length or Transfer-Encoding: with both, a proxy and this server might see it end at different
         places (request smuggling); its connection is closed
origin   a browser sends the origin of the page that makes a request; pages other than the server's own are refused
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LEAST_TOKEN = 16
"""Minimal number of characters in a token."""


def is_loopback(host: str) -> bool:
    """Whether a name or address refers to this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Access:
    """ASGI middleware: passes on permitted requests, and answers all others with 400, 401 or 403."""

    def __init__(self, app: App, token: str | None) -> None:
        self._app = app
        if token is None:
            self._token = None
        else:
            self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        problem = self.problem(scope)
        if problem is None:
            return await self._app(scope, receive, send)
        from starlette.responses import Response

        status, message = problem
        if scope["type"] == "websocket":
            await receive()  # its "websocket.connect"
        headers = {400: {"connection": "close"}, 401: {"www-authenticate": "Bearer"}}.get(status)
        await Response(json.dumps({"detail": message}), status, headers, "application/json")(
            scope, receive, send
        )

    def problem(self, scope: Scope) -> tuple[int, str] | None:
        """(status, message) for a request that is refused; None for one that is permitted."""
        headers = {
            name.lower(): value for name, value in reversed(scope["headers"])
        }  # the first of each counts
        if b"content-length" in headers and b"transfer-encoding" in headers:
            return 400, "A request has Content-Length or Transfer-Encoding, not both."
        host = headers.get(b"host", b"").decode("latin-1")
        name = _part(f"//{host}", "hostname")
        if self._token is None and (name is None or not is_loopback(name)):
            return 403, "This server accepts loopback names only, as it has no token."
        origin = headers.get(b"origin")
        if origin is not None and _part(origin.decode("latin-1"), "netloc") != host:
            return 403, "Requests from other pages are refused."
        if self._token is not None and not self._has_token(headers, scope.get("query_string", b"")):
            return 401, "This server needs its token."
        return None

    def _has_token(self, headers: dict[bytes, bytes], query: bytes) -> bool:
        assert self._token is not None
        header = headers.get(b"authorization", b"")
        if header[:7].lower() == b"bearer ":
            return hmac.compare_digest(header[7:].strip(), self._token)
        try:
            token = parse_qs(query.decode("ascii"), max_num_fields=20).get("token", [""])[0]
        except ValueError:
            return False
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token)


def _part(address: str, name: str) -> str | None:
    """The "hostname", or the "netloc" (with a port), of an address; None if it has none or is not
    an address, such as "null"."""
    try:
        return getattr(urlsplit(address), name) or None
    except ValueError:
        return None
