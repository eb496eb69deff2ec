"""What one client may ask of a server. Clients that attack it are a reverse proxy's business
(docs/serve.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ...errors import check_positive


@dataclass(frozen=True)
class Limits:
    """Limits of a server."""

    streams: int = 2000
    """Max simultaneous streams, of all models together."""

    message_bytes: int = 256 * 1024
    """Max bytes of a WebSocket message; a larger one ends its stream."""

    body_bytes: int = 4 * 1024 * 1024
    """Max bytes of a body over HTTP."""

    sequences: int = 16384
    """Max sequences in a body."""

    idle_seconds: float = 60.0
    """A stream that sends nothing for this long is ended (its client has its state, and may
    resume)."""

    def __post_init__(self) -> None:
        for field in fields(self):
            check_positive(f"The limit {field.name}", getattr(self, field.name))
