"""One step of a whole network in one compiled call: what streaming needs, into which Numba compiles
every layer's own ``step``.

Everything is event-driven: of what a layer receives (the input, the layer below, itself one step
ago) the entries that are not zero are listed, and each adds its row of weights times its value. A
spike is an event of value 1, which is exact, so that the sums have the order and the bits of
``forward.py``.

A call from Python pays for each of its arguments; that is why a network is packed into two flat
arrays (``packing.py``):

    plan     int64: HEADER numbers, RECORD numbers per layer (their meanings are below), and room for a list of events
    numbers  float: for each layer weights, bias and coefficients; room for the events' values and for sums; the state of every
             stream. Coefficients and state variables of a layer are interleaved by vectors: all that 16 neurons (8 in float64)
             need lies side by side.
"""
# Numba knows tuples joined by "+", but not several stars in one call or display.
# ruff: noqa: RUF005

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import types

from ...neurons.base import Neuron
from .arguments import Emitted
from .compiler import cannot_compile, compile_loop, emission_of, step_of
from .memory import flat, load, load_first, store, store_first
from .rows import (
    add_outers,
    called,
    inlined,
    lanes_of,
    list_bits,
    list_spikes,
    load_panel,
    store_panel,
    zero_panel,
)
from .simd import INDEX, Code, Operand, as_vector, constant, instruction, ir

# The plan's header: how many layers, substeps of the hidden ones and streams there are, and where
# in ``numbers`` (the events and turns: in ``plan``) things lie. Turns: for each stream the steps
# that its hidden layers have taken.
LAYERS, SUBSTEPS, STREAMS, STATE_SIZE, FIRST_STATE, SUMS, POOLED, VALUES, EVENTS, TURNS, HEADER = (
    range(11)
)
# A layer's record: which of the network's neuron models it has, its sizes, whether it is recurrent,
# what it writes to the output (nothing but for the last), where its constants lie, and, from the
# start of a stream's state, its variables and what it emitted. With delays, for its own emissions
# and for its input: where in the plan they lie, and where in the state the ring of what is under
# way begins: DEPTH slots (0: there is no ring), each of one number per presynaptic neuron, rounded
# up to whole vectors. At turn n, slot (n + k) % DEPTH has what arrives k steps from now.
(
    KIND,
    PRESYNAPTIC,
    SIZE,
    WIDTH,
    RECURRENT,
    WANTS,
    WEIGHTS,
    BIAS,
    COEFFICIENTS,
    VARIABLES,
    EMITTED,
    DEPTH,
    DELAYS,
    ARRIVING,
    DEPTH_IN,
    DELAYS_IN,
    INCOMING,
    RECORD,
) = range(18)


@instruction(types.uint64)
def nonzero(code: Code, vector: Operand) -> Any:
    """Which lanes of a vector are not 0 (NaN is not).

    Args:
        code: where instructions are written.
        vector: the vector.

    Returns:
        A uint64 with a bit for each lane.
    """
    mask = code.builder.fcmp_unordered("!=", vector.value, constant(vector.of.llvm, 0.0))
    return code.builder.zext(code.builder.bitcast(mask, ir.IntType(vector.of.lanes)), INDEX)


@inlined
def list_events(outputs, at, count, first, plan, numbers, listed):
    """List the values that are not 0.

    Args:
        outputs, at, count: the values are outputs[at : at + count].
        first: is added to the events' indices.
        plan, numbers: the network's, in which the list is.
        listed: how many events there are already.

    Returns:
        The new ``listed``.
    """
    lanes, events, values = lanes_of(outputs), plan[EVENTS], plan[VALUES]
    place = events + listed
    for w in range(0, count, 64):
        word = np.uint64(0)
        if count - w >= 64:
            for j in range(0, 64, lanes):
                word |= nonzero(load(outputs, at + w + j)) << np.uint64(j)
        else:
            for j in range(0, count - w, lanes):
                word |= nonzero(load_first(outputs, at + w + j, count - w - j)) << np.uint64(j)
        place = list_bits(word, first + w, plan, place)
    for i in range(listed, place - events):
        numbers[values + i] = outputs[at + plan[events + i] - first]
    return place - events


@inlined
def list_spikes_of(words, at, count, first, plan, numbers, listed):
    """List spikes that come as bits.

    Args:
        words, at, count: ``count`` bits that begin at words[at].
        first: is added to the spikes' indices.
        plan, numbers: the network's, in which the list is.
        listed: how many events there are already.

    Returns:
        The new ``listed``.
    """
    events, values = plan[EVENTS], plan[VALUES]
    place = events + listed
    place = list_spikes(words, at, (count + 63) // 64, first, plan, place)
    for i in range(listed, place - events):
        numbers[values + i] = 1
    return place - events


@called
def send_events(ring, depth, delays, turn, pitch, plan, numbers, listed):
    """Put the listed events into a ring's slots.

    Args:
        ring, depth: the ring begins at numbers[ring] and has so many slots.
        delays: those of the events' neurons begin at plan[delays].
        turn: the steps taken so far.
        pitch: numbers in a slot.
        plan, numbers: the network's, in which the list is.
        listed: how many events there are.
    """
    for i in range(listed):
        j = plan[plan[EVENTS] + i]
        slot = (turn + plan[delays + j]) % depth
        numbers[ring + slot * pitch + j] = numbers[plan[VALUES] + i]


@called
def list_slot(slot, count, pitch, first, plan, numbers, listed):
    """List the events that arrive now; their slot is then empty.

    Args:
        slot: the slot begins at numbers[slot].
        count: neurons or channels in the slot.
        pitch: numbers in the slot.
        first: is added to the events' indices.
        plan, numbers: the network's, in which the list is.
        listed: how many events there are already.

    Returns:
        The new ``listed``.
    """
    listed = list_events(numbers, slot, count, first, plan, numbers, listed)
    for h in range(0, pitch, lanes_of(numbers)):
        store(numbers, slot + h, as_vector(load(numbers, slot + h), 0.0))
    return listed


@called
def delay_input(layer, state, turn, plan, numbers, listed):
    """List the input's events that arrive at this step, in place of the listed ones, which were
    emitted at it.

    Args:
        layer, state: where the layer's record and the stream's state begin.
        turn: the steps taken so far.
        plan, numbers: the network's, in which the list is.
        listed: how many events there are.

    Returns:
        The new ``listed``.
    """
    depth, presynaptic = plan[layer + DEPTH_IN], plan[layer + PRESYNAPTIC]
    ring = state + plan[layer + INCOMING]
    pitch = presynaptic + -presynaptic % lanes_of(numbers)
    send_events(ring, depth, plan[layer + DELAYS_IN], turn, pitch, plan, numbers, listed)
    return list_slot(ring + turn % depth * pitch, presynaptic, pitch, 0, plan, numbers, 0)


@inlined
def _add_events(numbers, start, sums, like, weights, width, plan, listed):
    events, values = plan[EVENTS], plan[VALUES]
    panel = load_panel(numbers, start, like)
    for i in range(listed):
        row = weights + plan[events + i] * width
        panel = add_outers(panel, numbers, values + i, 0, numbers, row, like, 1)
    store_panel(numbers, sums, panel)


@inlined
def sum_events(numbers, bias, weights, width, plan, listed):
    """The current into every neuron, at numbers[plan[SUMS]]: the bias and the events' rows, each
    times its event's value.

    Args:
        numbers, plan: the network's, in which the list of events is.
        bias, weights: where they begin in ``numbers``.
        width: numbers in a row of weights.
        listed: how many events there are.
    """
    lanes, sums = lanes_of(numbers), plan[SUMS]
    column = 0
    while column + 8 * lanes <= width:
        like = zero_panel(numbers, 8)
        _add_events(
            numbers, bias + column, sums + column, like, weights + column, width, plan, listed
        )
        column += 8 * lanes
    while column + 2 * lanes <= width:
        two = zero_panel(numbers, 2)
        _add_events(
            numbers, bias + column, sums + column, two, weights + column, width, plan, listed
        )
        column += 2 * lanes
    while column < width:
        one = zero_panel(numbers, 1)
        _add_events(
            numbers, bias + column, sums + column, one, weights + column, width, plan, listed
        )
        column += lanes


# The closures of the next two hold no instructions (intrinsics): those are new objects in every
# process, so that the loop on disk would never be found again.


def make_update(neuron: type[Neuron]) -> Callable[..., None]:
    """The elementwise part of a step of a layer of such neurons, uncompiled."""
    step, emit = step_of(neuron), emission_of(neuron).emit
    variables, coefficients = (0,) * len(neuron.variables()), (0,) * len(neuron.coefficients)

    def update(numbers, plan, layer, state, out, out_at):
        """New state and emission from the currents at plan[SUMS]. ``layer``, ``state``: where the
        layer's record and the stream's state begin."""
        lanes, size, wants = lanes_of(numbers), plan[layer + SIZE], plan[layer + WANTS]
        variables_at, emitted_at = state + plan[layer + VARIABLES], state + plan[layer + EMITTED]
        for h in range(0, plan[layer + WIDTH], lanes):
            place = variables_at + h * len(variables)
            before = load_panel(numbers, place, variables)
            s, current = load(numbers, emitted_at + h), load(numbers, plan[SUMS] + h)
            constants = load_panel(
                numbers, plan[layer + COEFFICIENTS] + h * len(coefficients), coefficients
            )
            result = step(*(before + (s, current) + constants))
            (emitted,) = emit(result[-1])
            store_panel(numbers, place, result[:-1])
            store(numbers, emitted_at + h, emitted)
            if wants == Emitted.EMISSION:
                store_first(out, out_at + h, size - h, emitted)
            elif wants == Emitted.MEMBRANE:
                store_first(out, out_at + h, size - h, result[0])

    return update


def choose(updates: Sequence[Callable[..., None]]) -> Callable[..., None]:
    """One function for all updates; its first argument is the number of the one that is meant."""
    first: Any = inlined(updates[0])
    if len(updates) == 1:

        def last(kind, numbers, plan, layer, state, out, out_at):
            first(numbers, plan, layer, state, out, out_at)

        return last
    others: Any = inlined(choose(updates[1:]))

    def chosen(kind, numbers, plan, layer, state, out, out_at):
        if kind == 0:
            first(numbers, plan, layer, state, out, out_at)
        else:
            others(kind - 1, numbers, plan, layer, state, out, out_at)

    return chosen


@inlined
def pool(numbers, pooled, emitted, width, substep, substeps):
    """The mean over the substeps of a layer's emissions, after the last of them.

    Args:
        numbers: the network's.
        pooled: numbers[pooled : pooled + width] is written.
        emitted: where the emissions begin in ``numbers``.
        width: how many.
        substep, substeps: the number of this substep, and how many there are.
    """
    for h in range(0, width, lanes_of(numbers)):
        total = load(numbers, emitted + h)
        if substep > 0:
            total = load(numbers, pooled + h) + total
        if (
            substep == substeps - 1
        ):  # as torch divides: a product with 1 / substeps rounds otherwise
            total = total / as_vector(total, substeps)
        store(numbers, pooled + h, total)


def make_advance(neurons: Sequence[type[Neuron]], binary: bool) -> Callable[..., None]:
    """The loop over streams, steps and layers, uncompiled.

    Args:
        neurons: the neuron models of the networks.
        binary: whether the input comes as spike bits (uint64 words), not as numbers.

    Returns:
        The loop.
    """
    update: Any = inlined(choose([make_update(neuron) for neuron in neurons]))
    list_input = list_spikes_of if binary else list_events

    def advance(x, out, which, plan, numbers):
        """x (streams, T, inputs) and out (streams, T, outputs), flat; T follows from their lengths.

        ``which``: numbers of the streams that advance; for the others neither state nor out is
        touched.
        """
        last, substeps = HEADER + (plan[LAYERS] - 1) * RECORD, plan[SUBSTEPS]
        outputs = plan[last + SIZE]
        steps = len(out) // (plan[STREAMS] * outputs)
        x_width = len(x) // (plan[STREAMS] * max(1, steps))
        x, out, plan, numbers = flat(x), flat(out), flat(plan), flat(numbers)
        for i in range(len(which)):
            state = plan[FIRST_STATE] + which[i] * plan[STATE_SIZE]
            turn = plan[plan[TURNS] + which[i]]
            for t in range(which[i] * steps, (which[i] + 1) * steps):
                for substep in range(substeps):
                    # Only the last substep goes as far as the readout.
                    for layer in range(HEADER, last + (substep == substeps - 1), RECORD):
                        presynaptic, own = plan[layer + PRESYNAPTIC], state + plan[layer + EMITTED]
                        if layer == HEADER:
                            listed = list_input(x, t * x_width, presynaptic, 0, plan, numbers, 0)
                        else:
                            below = state + plan[layer - RECORD + EMITTED]
                            if layer == last and substeps > 1:
                                below = plan[POOLED]
                            listed = list_events(numbers, below, presynaptic, 0, plan, numbers, 0)
                        if plan[layer + DEPTH_IN]:
                            listed = delay_input(layer, state, turn, plan, numbers, listed)
                        bias, weights = plan[layer + BIAS], plan[layer + WEIGHTS]
                        width, size = plan[layer + WIDTH], plan[layer + SIZE]
                        depth, ring = plan[layer + DEPTH], state + plan[layer + ARRIVING]
                        if depth:
                            slot = ring + turn % depth * width
                            listed = list_slot(
                                slot, size, width, presynaptic, plan, numbers, listed
                            )
                        elif plan[layer + RECURRENT]:
                            listed = list_events(
                                numbers, own, size, presynaptic, plan, numbers, listed
                            )
                        sum_events(numbers, bias, weights, width, plan, listed)
                        update(plan[layer + KIND], numbers, plan, layer, state, out, t * outputs)
                        if depth:
                            listed = list_events(numbers, own, size, 0, plan, numbers, 0)
                            send_events(
                                ring,
                                depth,
                                plan[layer + DELAYS],
                                turn + 1,
                                width,
                                plan,
                                numbers,
                                listed,
                            )
                        if layer == last - RECORD and substeps > 1:
                            pool(numbers, plan[POOLED], own, width, substep, substeps)
                    turn += 1
            plan[plan[TURNS] + which[i]] = turn

    return advance


@functools.cache
def advance_loop(
    neurons: tuple[type[Neuron], ...], dtype: np.dtype[Any], binary: bool
) -> Callable[..., None]:
    """The compiled loop over streams, steps and layers.

    Args:
        neurons: the neuron models of the networks, each once.
        dtype: of the arrays that it takes; others raise TypeError.
        binary: whether the input comes as spike bits (uint64 words), not as numbers.

    Returns:
        The loop that ``make_advance`` describes.

    Raises:
        CannotCompile: if Numba cannot.
    """
    number = types.float32 if dtype == np.float32 else types.float64
    floats, integers = types.Array(number, 1, "C"), types.Array(types.int64, 1, "C")
    x = types.Array(types.uint64, 1, "C") if binary else floats
    names = ", ".join(f"'{neuron.name}'" for neuron in neurons)
    with cannot_compile(f"a network of {names} neurons", advance_loop, neurons, dtype, binary):
        loop: Any = compile_loop(make_advance(neurons, binary))
        loop.compile((x, floats, integers, integers, floats))
    loop.disable_compile()
    return loop
