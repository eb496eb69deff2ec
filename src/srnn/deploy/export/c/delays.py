"""Delays in C: what is under way is kept in the state, in a ring of fixed size, spikes as bits."""

from __future__ import annotations

from dataclasses import dataclass

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

    def call(self, function: str) -> str:
        """A call of "send" or "receive"."""
        ring = f"state->{self.layer}.{self.name}"
        values = f"{self.delays.name}, {self.sent.values}" if function == "send" else self.arrived
        return f"    {function}_{self.kind}({ring}, {ring}_turn, {self.depth}, {values}, {self.presynaptic});"

    @property
    def kind(self) -> str:
        return f"{'bits' if self.sent.spikes else 'values'}_{self.sent.ctype.removesuffix('_t')}"

    def functions(self) -> str:
        """The C functions of rings of this kind."""
        ctype, bits = self.sent.ctype, self.sent.spikes
        zero, one = number(0, ctype), number(1, ctype)
        slot, at = "((uint32_t)count + 7) / 8" if bits else "(uint32_t)count", "(uint32_t)j"
        if bits:
            at += " / 8"
            put, take = "(uint8_t)(ring[at] | 1u << j % 8)", f"((arriving[{at}] >> j % 8) & 1) ? {one} : {zero}"
        else:
            put, take = "presynaptic[j]", f"arriving[{at}]"
        member, delays = self.members[0][0], self.delays.ctype
        return f"""\
/* Puts what presynaptic neurons emit now into the ring's slots, each by its delay. Any turn in the state is safe. */
static void send_{self.kind}({member} *ring, const uint16_t *turn, int depth, const {delays} *delays,
        const {ctype} *presynaptic, int count)
{{
    const uint32_t slot = {slot};
    const int now = turn[0] < (uint16_t)depth ? (int)turn[0] : 0;
    int j;

    for (j = 0; j < count; j++)
        if (presynaptic[j] != {zero}) {{
            const int due = now + delays[j];
            const uint32_t at = (uint32_t)(due < depth ? due : due - depth) * slot + {at};
            ring[at] = {put};
        }}
}}

/* Takes what arrives now; its slot is then empty, and the ring turns by one. */
static void receive_{self.kind}({member} *ring, uint16_t *turn, int depth, {ctype} *arrived, int count)
{{
    const uint32_t slot = {slot};
    const int now = turn[0] < (uint16_t)depth ? (int)turn[0] : 0;
    {member} *const arriving = ring + (uint32_t)now * slot;
    uint32_t i;
    int j;

    for (j = 0; j < count; j++)
        arrived[j] = {take};
    for (i = 0; i < slot; i++)
        arriving[i] = {zero if not bits else "0"};
    turn[0] = (uint16_t)(now + 1 < depth ? now + 1 : 0);
}}
"""
