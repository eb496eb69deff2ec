"""Limits of each client's use of resources, so that no client can starve another."""

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
    message_lists: int = 16384
    """Max lists and objects in a text message (a row of samples is one); counted before it is parsed."""
    body_bytes: int = 4 * 1024 * 1024
    """Max bytes of a body over HTTP."""
    sequences: int = 16384
    """Max sequences in a body."""
    sequence_samples: int = 4 * 1024 * 1024
    """Max samples of a sequence in a body."""
    waiting_bytes: int = 64 * 1024 * 1024
    """Max bytes of the bodies of all connections together, whether being received, waiting or being computed."""
    idle_seconds: float = 60.0
    """A stream that sends nothing for this long is ended (its client has its state, and may resume)."""
    stream_seconds: float = 24 * 3600.0
    """A stream that lasts this long is ended."""
    start_seconds: float = 10.0
    """Time limit for the head of each request, for its body, and for a stream's first message."""
    send_seconds: float = 10.0
    """Time limit for a client to read what is sent to it; one that does not read is disconnected."""
    output_bytes: int = 1024 * 1024
    """Max bytes of output that are buffered for one client."""
    batches: int = 4
    """Max batches that are computed at a time; others wait."""
    batch_seconds: float = 60.0
    """Time limit for a batch to wait for its turn, and to be computed."""
    batch_memory: int = 512 * 1024 * 1024
    """Max bytes that the process of a batch may allocate."""
    address_connections: int | None = None
    """Max connections of one IP address (of one /64 network with IPv6). None: half of all places; this machine's own addresses
    are unlimited."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None or field.default is not None:
                check_positive(f"The limit {field.name}", value)
