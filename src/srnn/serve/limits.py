"""What one client may take, so that no client can take what belongs to another."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import SrnnError


@dataclass(frozen=True)
class Limits:
    """Limits of a server."""

    streams: int = 2000
    """Streams at a time, of all models together."""
    message_bytes: int = 256 * 1024
    """A WebSocket message; a larger one ends its stream."""
    body_bytes: int = 4 * 1024 * 1024
    """A body over HTTP."""
    idle_seconds: float = 60.0
    """A stream that sends nothing for so long is ended (its client has its state, and may come back)."""
    stream_seconds: float = 24 * 3600.0
    """A stream that lasts so long is ended."""
    start_seconds: float = 10.0
    """For a connection's first request, and a stream's first message; and to read a body."""
    send_seconds: float = 10.0
    """For a client to take what is sent to it; one that does not read is let go."""
    output_bytes: int = 1024 * 1024
    """Output that waits for one client, at most."""
    batches: int = 4
    """Batches that are computed at a time; others wait."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not 0 < value < float("inf"):
                raise SrnnError(f"The limit {field.name} is a number above 0, not {value!r}.")
