"""The arguments of a layer's two time loops, in groups, with the layout of every array.

A call into compiled code costs twice as much with named tuples as with what is in them. So the
caller splats the groups, ``loop(first, last, *sizes, *inputs, ...)``, in the order of FORWARD or
BACKWARD, and ``from_fields`` writes the function that takes them one by one and puts the groups
together again: compiled into the loop, that costs nothing.

B sequences of T steps, I input channels, H neurons; W is H rounded up to whole SIMD vectors. Floats
are of one dtype, arrays contiguous, and flat in compiled code. A tuple has one array for each of a
neuron's variables or coefficients: that is how a loop knows how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from ...equations import written

Array = np.ndarray[Any, Any]
Arrays = tuple[Array, ...]

BLOCK = 8
"""Sequences of a batch that are worked on together: 8 rows by 2 vectors of sums fill the 16 or 32
vector registers."""

CHUNK = 64
"""Steps whose weight gradients are summed together; BLOCK * CHUNK is a multiple of 64 (bits in a
word)."""


# Members enter compiled code as plain ints: as members they would make another signature.
class InputKind(IntEnum):
    """How the input comes."""

    SPIKES = 0  # as bits: each that is set adds its row of weights
    FEW = 1  # as a few dense numbers: each adds its row of weights, zeros are skipped
    MANY = 2  # as many dense numbers: a matrix product, BLOCK steps at once


class Emitted(IntEnum):
    """What the array of outputs holds, or has gradients of."""

    NOTHING = 0
    EMISSION = 1
    MEMBRANE = 2  # the first state variable


class Kept(IntEnum):
    """What the forward loop keeps for the backward loop, besides the spikes."""

    NOTHING = 0
    STATES = 1  # the state every ``span`` steps; all else is computed again
    CURRENTS = 2  # the current of every step as well


class Sizes(NamedTuple):
    lengths: Array  # (B,) int64: valid steps of each sequence
    steps: int
    size: int
    width: int  # W
    channels: int
    input_kind: int
    recurrent: bool
    kept: int
    span: int  # steps between two ``checkpoints``, a divisor of CHUNK


class InputArrays(NamedTuple):
    x: Array  # (B, T, I), unless the input is spikes
    x_words: Array  # (B, T, ceil(I / 64)) uint64, if it is: bit j % 64 of word j // 64 is channel j


class Parameters(NamedTuple):
    bias: Array  # (W,)
    weights: Array
    """(presynaptic, W): row j is of presynaptic neuron j. First the input (not if MANY), then the
    layer itself (if recurrent)."""
    projection: Array  # bias and input weights (I, W) as ``multiply`` wants them, if MANY
    coefficients: Arrays  # (W,) each


class Lines(NamedTuple):
    """The delays of a recurrent layer that spikes: when its spikes reach it. Without delays all
    arrive one step later.

    The forward loop brings each spike to the step at which it arrives, where currents and weight
    gradients find it.
    """

    delayed: bool
    depth: int  # the longest delay plus 1: how many first steps spikes from before the sequence may reach
    delays: Array  # (H,) int64; like the next two if ``delayed``: a spike of step t arrives at t + 1 + delay
    arrived: Array  # (B, T, ceil(H / 64)) uint64: spikes as in ``Saved.words``, at the step they arrive; 0 at first
    sent: Array  # (B, depth, W): what arrives after the last step, entry k another k steps later; 0 at first
    known: int  # the number of steps in ``early``: up to the last at which anything arrives
    early: Array
    """(B, known, W): what arrives at the first steps from before the sequence (without delays the
    initial s)."""


class Saved(NamedTuple):
    words: Array
    """(B, T, ceil(H / 64)) uint64: the spikes of neurons that spike. Always written, because the
    recurrent weights read them."""
    currents: Array  # (B, T, H), if CURRENTS are kept
    checkpoints: Arrays
    """(B, ceil(T / span), W) each, if anything is kept: the variables and, of neurons that do not
    spike, s."""


class Outputs(NamedTuple):
    state: Arrays  # (B, W) each: the variables and what was emitted last, s. The initial state, overwritten by the final one
    emitted: int
    out: Array  # (B, T, H), written if anything is ``emitted``


class ForwardScratch(NamedTuple):
    projected: Array  # (BLOCK, W + I), if MANY: see ``project``
    active: Array  # presynaptic neurons that spiked, int64: see ``list_spikes``
    total: Array  # (W,): currents of a step


class Adjoint(NamedTuple):
    """What only the backward loop needs."""

    surrogate: tuple[float, ...]  # parameters of the surrogate's derivative
    s_initial: Array  # (B, W)
    back_own: Array
    """Recurrent weights (H, W) as ``multiply`` wants them: from gradients of currents to those of
    s."""
    back_in: Array  # input weights (H, I padded) in the same layout, if the gradient of x is wanted
    has_g_sent: bool  # whether spikes that are under way after the last step have gradients
    g_sent: Array  # (B, depth, W): these


class GradientArrays(NamedTuple):
    emitted: int
    g_out: Array  # (B, T, H), read if anything ``emitted`` has a gradient
    g_state: Arrays  # (B, W) each: of the final state, overwritten by those of the initial one
    wants_x: bool
    g_x: Array  # (B, T, I), written if ``wants_x``
    wants_early: bool
    g_weights: Array
    """(I + H, W), or (I, W): the sum over sequences and steps is written. Rows as in ``weights``,
    always with the input's."""
    g_early: Array  # (B, depth, W): is added to if ``wants_early``; without delays the last of ``g_state``
    g_bias: Array  # (W,): the sum is added
    g_coefficients: Arrays  # (W,) each: the sums are added


class Tape(NamedTuple):
    variables: (
        Arrays  # (span + 1, BLOCK, W) each: those before each step of a span, and after the last
    )
    s: Array  # (CHUNK + 1, BLOCK, W): what neurons that do not spike emitted


class BackwardScratch(NamedTuple):
    """Of the same type for every neuron, so that functions that take it are compiled only once."""

    projected: Array
    active: Array
    arriving: Array  # (BLOCK, W): what the recurrent weights bring back to s; with delays a ring, see ``_bring_back``
    g_currents: Array  # (CHUNK, BLOCK, W)
    recomputed: Array  # (CHUNK, BLOCK, W): currents, if they are not kept
    columns: Array  # bits of a chunk by channel (see ``_add_events``): CHUNK * BLOCK of them each, in uint64
    square: Array  # 64 uint64


def from_fields(
    loop: Callable[..., None], groups: Sequence[type[Any]], **words: Any
) -> Callable[..., None]:
    """A loop that takes the fields of its groups one by one.

    Args:
        loop: takes (first, last, *groups).
        groups: the types of its groups. Each group is passed through ``flat``.
        words: what the written text may use, ``flat`` among them.

    Returns:
        A function of (first, last, *all fields of the groups) that calls the loop. The loop is in
        its closure, where the cache of machine code sees what it depends on.
    """
    fields = ", ".join(field for group in groups for field in group._fields)
    made = ", ".join(f"flat({group.__name__}({', '.join(group._fields)}))" for group in groups)
    name = loop.__name__
    text = f"""def around(loop):
    def {name}(first, last, {fields}):
        loop(first, last, {made})

    return {name}
"""
    known = {group.__name__: group for group in groups} | words
    return written("around", text, known)(loop)


FORWARD = (Sizes, InputArrays, Parameters, Lines, Saved, Outputs, ForwardScratch)
BACKWARD = (*FORWARD[:5], Adjoint, GradientArrays, Tape, BackwardScratch)
