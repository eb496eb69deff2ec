"""The connections, and which of them are closed when places run out.

A connection that waits for its client (for a request, or the rest of one) can be closed without loss, a running stream cannot. So
no new connection is refused while others wait: the one that has waited longest is closed, starting with those without the token.
As there are fewer streams than places, there is always a connection that can be closed.
"""

from __future__ import annotations

import ipaddress
from typing import Any

STRANGER, GUEST, BUSY, STREAM = range(4)
"""Ranks, in the order of closing: waits without having presented the token; waits with it; being answered; streaming."""


class Places:
    """The connections of a server, by rank.

    Args:
        most: max simultaneous connections; more than the max number of streams.
        of_address: max connections of one address; None: half of all, with no limit for loopback addresses.
    """

    def __init__(self, most: int, of_address: int | None = None) -> None:
        self._most, self._of_address = most, of_address
        self._ranks: tuple[dict[Any, None], ...] = ({}, {}, {}, {})  # transports; dictionaries, as they keep the order
        self._rank: dict[Any, int] = {}
        self._addresses: dict[str, dict[Any, None]] = {}

    def __len__(self) -> int:
        return len(self._rank)

    def enter(self, transport: Any) -> None:
        """Add a new connection, at the lowest rank. Aborts another if need be, or this one if its address has only streams."""
        address, bound = self._address(transport)
        neighbours = self._addresses.setdefault(address, {})
        if len(neighbours) >= bound:
            self._go(min(neighbours, key=self._rank.__getitem__), transport)
        if len(self) >= self._most:
            self.evict()
        self._addresses.setdefault(address, {})[transport] = None
        self._rank[transport] = STRANGER
        self._ranks[STRANGER][transport] = None

    def set_rank(self, transport: Any, rank: int) -> None:
        """Set the rank of a connection, which becomes the last of that rank to be closed. No effect if it has left."""
        before = self._rank.get(transport)
        if before is not None:
            del self._ranks[before][transport]
            self._rank[transport] = rank
            self._ranks[rank][transport] = None

    def leave(self, transport: Any) -> None:
        rank = self._rank.pop(transport, None)
        if rank is None:
            return
        del self._ranks[rank][transport]
        address, _ = self._address(transport)
        neighbours = self._addresses[address]
        del neighbours[transport]
        if not neighbours:
            del self._addresses[address]

    def evict(self, count: int = 1) -> None:
        """Abort the ``count`` connections that are first in the order of closing; never streams."""
        for _ in range(count):
            for rank in (STRANGER, GUEST, BUSY):
                if self._ranks[rank]:
                    self._go(next(iter(self._ranks[rank])))
                    break

    def clear(self) -> None:
        """Abort all connections, streams too."""
        for transport in list(self._rank):
            transport.abort()

    def _go(self, one: Any, instead: Any = None) -> None:
        """Abort a connection, or ``instead`` if it is a stream."""
        if self._rank[one] == STREAM:
            instead.abort()
        else:
            self.leave(one)  # at once: its protocol is told only in the loop's next turn
            one.abort()

    def _address(self, transport: Any) -> tuple[str, int]:
        """The group in which a connection is counted, and the maximal size of that group."""
        peer = transport.get_extra_info("peername")
        bound = self._most // 2 if self._of_address is None else self._of_address
        try:
            address = ipaddress.ip_address(peer[0].partition("%")[0])
        except (TypeError, ValueError, IndexError, AttributeError):  # gone already, or no IP
            return "", bound
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        if address.is_loopback and self._of_address is None:
            bound = self._most + 1
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((address, 64), strict=False)), bound
        return str(address), bound
