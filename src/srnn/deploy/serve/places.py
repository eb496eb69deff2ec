"""Who is connected, and who has to go when places run out.

A connection that waits for its client (for a request, or the rest of one) can be closed at no loss, a running stream cannot. So
nobody who comes is turned away while others wait: the one that has waited longest goes, those without the token before the rest.
As streams are fewer than places, there is always one that can go.
"""

from __future__ import annotations

import ipaddress
from typing import Any

STRANGER, GUEST, BUSY, STREAM = range(4)
"""Ranks, the first to go first: waits, and has not shown the token; waits, and has; is being answered; streams."""


class Places:
    """The connections of a server, by rank.

    Args:
        most: connections at a time; more than there can be streams.
        of_address: connections of one address; None: half of all, and loopback addresses are not bounded.
    """

    def __init__(self, most: int, of_address: int | None = None) -> None:
        self._most, self._of_address = most, of_address
        self._ranks: tuple[dict[Any, None], ...] = ({}, {}, {}, {})  # transports; dictionaries, for they keep the order
        self._rank: dict[Any, int] = {}
        self._addresses: dict[str, dict[Any, None]] = {}

    def __len__(self) -> int:
        return len(self._rank)

    def enter(self, transport: Any) -> None:
        """A new connection, as a stranger. Aborts another one, or this one where its address has nothing but streams."""
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
        """What a connection does from now on; it is then the last of its rank to go. Nothing for one that has left."""
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
        """Abort the connections that are the first to go; streams never are."""
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
        """Abort a connection; ``instead`` if it is a stream."""
        if self._rank[one] == STREAM:
            instead.abort()
        else:
            self.leave(one)  # at once; its protocol hears of it in the loop's next turn
            one.abort()

    def _address(self, transport: Any) -> tuple[str, int]:
        """Whom a connection is counted with, and how many of them there may be."""
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
