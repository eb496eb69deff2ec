"""What one client may take, so that no client can take what belongs to another."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ...errors import SrnnError


@dataclass(frozen=True)
class Limits:
    """Limits of a server."""

    streams: int = 2000
    """Streams at a time, of all models together."""
    message_bytes: int = 256 * 1024
    """A WebSocket message; a larger one ends its stream."""
    message_lists: int = 16384
    """Lists and objects in a text message (a row of samples is one); counted before it is parsed."""
    body_bytes: int = 4 * 1024 * 1024
    """A body over HTTP."""
    sequences: int = 16384
    """Sequences in a body."""
    sequence_samples: int = 4 * 1024 * 1024
    """Samples of a sequence in a body."""
    waiting_bytes: int = 64 * 1024 * 1024
    """Bodies of all connections together: those that are being sent, that wait, and that are computed."""
    idle_seconds: float = 60.0
    """A stream that sends nothing for so long is ended (its client has its state, and may come back)."""
    stream_seconds: float = 24 * 3600.0
    """A stream that lasts so long is ended."""
    start_seconds: float = 10.0
    """For the head of each request, for its body, and for a stream's first message."""
    send_seconds: float = 10.0
    """For a client to take what is sent to it; one that does not read is disconnected."""
    output_bytes: int = 1024 * 1024
    """Output that waits for one client, at most."""
    batches: int = 4
    """Batches that are computed at a time; others wait."""
    batch_seconds: float = 60.0
    """For a batch to wait for its turn, and for it to be computed."""
    batch_memory: int = 512 * 1024 * 1024
    """Bytes that the process of a batch may allocate."""
    address_connections: int | None = None
    """Connections of one IP address (of one /64 network with IPv6). None: half of all places, and this machine's own addresses
    are not bounded."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < float("inf"):
                raise SrnnError(f"The limit {field.name} is a number above 0, not {value!r}.")
