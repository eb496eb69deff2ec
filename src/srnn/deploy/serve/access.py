"""Access control, and limits of what one client may ask for. Clients that attack a server are a
reverse proxy's business (docs/serve.md).

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
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ...errors import Kind, SrnnError
from ...files.bounds import Count, Positive
from ...files.conversion import CheckedSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LEAST_TOKEN = 16
"""Minimal number of characters in a token."""


@dataclass(frozen=True)
class Limits(CheckedSettings):
    """Limits of a server."""

    streams: Count = 2000
    """Max simultaneous streams, of all models together."""

    message_bytes: Count = 256 * 1024
    """Max bytes of a WebSocket message; a larger one ends its stream."""

    body_bytes: Count = 4 * 1024 * 1024
    """Max bytes of a body over HTTP."""

    sequences: Count = 16384
    """Max sequences in a body."""

    idle_seconds: Positive = 60.0
    """A stream that sends nothing for this long is ended (its client has its state, and may
    resume)."""


class Refused(SrnnError):
    """A request that is answered with an HTTP status other than 422."""

    def __init__(self, status: int, message: str, kind: Kind, field: object = "") -> None:
        super().__init__(message, kind, field)
        self.status = status


def error_body(error: SrnnError) -> dict[str, str]:
    """An error as its client gets it over HTTP."""
    return {"detail": str(error), "kind": error.kind, "field": error.field}


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
        error = self.problem(scope)
        if error is None:
            return await self._app(scope, receive, send)
        from starlette.responses import Response

        if scope["type"] == "websocket":
            await receive()  # its "websocket.connect"
        headers = {400: {"connection": "close"}, 401: {"www-authenticate": "Bearer"}}
        body = json.dumps(error_body(error))
        response = Response(body, error.status, headers.get(error.status), "application/json")
        await response(scope, receive, send)

    def problem(self, scope: Scope) -> Refused | None:
        """Why a request is refused; None if it is permitted."""
        # The first of each counts.
        headers = {name.lower(): value for name, value in reversed(scope["headers"])}
        if b"content-length" in headers and b"transfer-encoding" in headers:
            text = "A request has Content-Length or Transfer-Encoding, not both."
            return Refused(400, text, "conflict", "Content-Length")
        host = headers.get(b"host", b"").decode("latin-1")
        name = _part(f"//{host}", "hostname")
        if self._token is None and (name is None or not is_loopback(name)):
            text = "This server accepts loopback names only, as it has no token."
            return Refused(403, text, "value", "Host")
        origin = headers.get(b"origin")
        if origin is not None and _part(origin.decode("latin-1"), "netloc") != host:
            return Refused(403, "Requests from other pages are refused.", "value", "Origin")
        if self._token is None:
            return None
        header = headers.get(b"authorization", b"")
        if header[:7].lower() == b"bearer ":
            token = header[7:].strip()
        else:
            try:
                query = scope.get("query_string", b"").decode("ascii")
                text = parse_qs(query, max_num_fields=20).get("token", [""])[0]
                token = text.encode("utf-8", "surrogatepass")
            except ValueError:
                token = b""
        if not hmac.compare_digest(token, self._token):
            return Refused(401, "This server needs its token.", "value", "token")
        return None


def _part(address: str, name: str) -> str | None:
    """The "hostname", or the "netloc" (with a port), of an address; None if it has none or is not
    an address, such as "null"."""
    try:
        return getattr(urlsplit(address), name) or None
    except ValueError:
        return None
