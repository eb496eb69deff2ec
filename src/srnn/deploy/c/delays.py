"""Delays in C: what is under way is kept in the state, in a ring of fixed size, spikes as bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .arrays import Constant, Member, number


@dataclass(frozen=True)
class Sent:
    """What presynaptic neurons emit at a step."""

    values: str
    """Their array in C."""
    ctype: str
    spikes: bool

    @property
    def kind(self) -> str:
        """Which function adds their weights; in float32 one serves all."""
        if self.ctype == "float":
            return "any"
        if self.values == "input":
            return "input"
        return "spike" if self.spikes else "value"


@dataclass(frozen=True)
class Ring:
    """What is under way to a layer from its input ("incoming") or from itself ("arriving"). At turn n, slot (n + k) modulo
    ``depth`` holds what arrives k steps from now. The C compares and subtracts, because small cores have no division."""

    name: str
    layer: str
    delays: Constant
    sent: Sent
    """One byte holds eight spikes."""

    @property
    def presynaptic(self) -> int:
        return self.delays.values.size

    @property
    def depth(self) -> int:
        return int(self.delays.values.max()) + 1

    @property
    def members(self) -> tuple[Member, ...]:
        """Its arrays in the layer's state."""
        slot = -(-self.presynaptic // 8) if self.sent.spikes else self.presynaptic
        ring = ("uint8_t" if self.sent.spikes else self.sent.ctype, self.name, self.depth * slot)
        return ring, ("uint16_t", f"{self.name}_turn", 1)

    @property
    def arrived(self) -> str:
        """The local array of what arrives at a step."""
        return f"{self.name}_now"

    @property
    def kind(self) -> str:
        """What its functions are called after."""
        kind = "bits" if self.sent.spikes else "values"
        return f"{kind}_{self.sent.ctype.removesuffix('_t')}"

    def configuration(self) -> dict[str, Any]:
        """What ``delays.c`` and ``layer.c`` are told about it."""
        (slot, _, length), (_, turn, _) = self.members
        return {
            "SEND": f"send_{self.kind}",
            "RECEIVE": f"receive_{self.kind}",
            "BITS": self.sent.spikes,
            "SENT": self.sent.values,
            "SENT_TYPE": self.sent.ctype,
            "SENT_ZERO": number(0, self.sent.ctype),
            "SENT_ONE": number(1, self.sent.ctype),
            "SLOT_TYPE": slot,
            "SLOT_EMPTY": number(0, slot),
            "DELAYS": self.delays.name,
            "DELAY_TYPE": self.delays.ctype,
            "RING": self.name,
            "RING_TURN": turn,
            "RING_LENGTH": length,
            "RING_COUNT": self.presynaptic,
            "RING_DEPTH": self.depth,
            "ARRIVED": self.arrived,
            "FROM_BELOW": self.name == "incoming",
            "FROM_ITSELF": self.name == "arriving",
        }
