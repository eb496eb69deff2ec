"""The two time loops of a layer in Triton, generic over neurons and surrogates. For steps ``first``
to ``last`` - 1 of T.

Program (i, j) runs ROWS sequences of COLUMNS neurons; the recurrent weights that lead to these
neurons (on the way back: from them) stay on the chip for all steps. What a step needs from the
other neurons passes through memory: their emissions, and on the way back the gradients of their
currents. So does the state, at the beginning and at the end: one launch may do all steps or a
single one. Programs do not wait for each other, so a recurrent layer of several blocks of neurons
takes one launch per step; unless ``arrived`` is given: then they wait, and all of them must run at
once.

Three things keep the loops fast, and look odd. The loop over time is a ``while``, not a ``for``, in
which the values that it carries would be computed once for each layout that they are wanted in.
Time is a scalar that moves ``at``, while the offsets around it stay: otherwise the weights would be
copied again in each step. ``tl.where(total == total, part, total)`` keeps the sums of pieces apart,
which would otherwise become one long chain of tensor-core instructions.
"""

# ruff: noqa: RUF005 (Triton's tuples know + only)

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def load_each(pointers, offsets, mask):
    """Load from each of several arrays.

    Args:
        pointers: a tuple of them.
        offsets: where, in each.
        mask: which of these exist; the others are 0.

    Returns:
        A tuple of the values.
    """
    values = ()
    for i in tl.static_range(len(pointers)):
        values = values + (tl.load(pointers[i] + offsets, mask=mask, other=0.0),)
    return values


@triton.jit
def store_each(pointers, offsets, values, mask):
    """Store in each of several arrays.

    Args:
        pointers: a tuple of them.
        offsets: where, in each.
        values: a tuple of the values.
        mask: which of the places exist.
    """
    for i in tl.static_range(len(pointers)):
        tl.store(pointers[i] + offsets, values[i], mask=mask)


@triton.jit
def where_each(condition, values, others):
    """``tl.where`` of each of several values.

    Args:
        condition: where the values are taken.
        values, others: tuples.

    Returns:
        A tuple as long as ``others``.
    """
    chosen = ()
    for i in tl.static_range(len(others)):
        chosen = chosen + (tl.where(condition, values[i], others[i]),)
    return chosen


@triton.jit
def load_tiles(weights, own, SIZE: tl.constexpr, DEPTH: tl.constexpr):
    """Load the recurrent weights of some neurons.

    Args:
        weights: pieces, each (SIZE, SIZE).
        own: the neurons' columns, (1, COLUMNS).
        SIZE, DEPTH: the layer's neurons, and how many rows a tile has.

    Returns:
        For every DEPTH rows a tuple, with a tile (DEPTH, COLUMNS) of each piece.
    """
    tiles = ()
    for k in tl.static_range(0, SIZE, DEPTH):
        rows = k + tl.arange(0, DEPTH)[:, None]
        tiles = tiles + (load_each(weights, rows * SIZE + own, (rows < SIZE) & (own < SIZE)),)
    return tiles


@triton.jit
def multiply(values, tiles, total, PIECES: tl.constexpr, PRECISION: tl.constexpr):
    """total + values @ the sum of the tiles. Products of two small pieces, which are below the last
    digit of the others, are left out.

    Args:
        values: (ROWS, DEPTH).
        tiles: (DEPTH, COLUMNS) each.
        total: (ROWS, COLUMNS).
        PIECES: into how many numbers of the weights' dtype each value is cut.
        PRECISION: of ``tl.dot``; "upcast" is for Triton's interpreter, which cannot multiply
            bfloat16.

    Returns:
        (ROWS, COLUMNS)
    """
    for i in tl.static_range(PIECES):
        piece = values.to(tiles[0].dtype)
        for j in tl.static_range(len(tiles)):
            if i + j < max(PIECES, len(tiles)):
                if PRECISION == "upcast":
                    part = tl.dot(
                        piece.to(total.dtype),
                        tiles[j].to(total.dtype),
                        input_precision="ieee",
                        out_dtype=total.dtype,
                    )
                else:
                    part = tl.dot(piece, tiles[j], input_precision=PRECISION, out_dtype=total.dtype)
                total += tl.where(total == total, part, total)
        if i + 1 < PIECES:
            values = values - piece.to(values.dtype)
    return total


@triton.jit
def add_product(
    total,
    source,
    at,
    known,
    row,
    batch,
    steps,
    tiles,
    SIZE: tl.constexpr,
    DEPTH: tl.constexpr,
    PIECES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """total + the values of all neurons at one step @ the recurrent weights.

    Args:
        total: (ROWS, COLUMNS).
        source, at: the values are at ``at`` in ``source`` (B, T, H).
        known: whether there are any; else the result is ``total``.
        row, batch: the program's sequences, and how many there are.
        steps: T.
        tiles: of ``load_tiles``.
        SIZE, DEPTH, PIECES, PRECISION: as for ``load_tiles`` and ``multiply``.

    Returns:
        (ROWS, COLUMNS)
    """
    part = tl.arange(0, DEPTH)[None, :]
    others = tl.arange(0, total.shape[0])[:, None] * steps * SIZE + part
    for k in tl.static_range(0, SIZE, DEPTH):
        place, there = source + at + k + others, (row < batch) & (k + part < SIZE)
        if total.dtype == tl.float64:
            # Triton before 3.9 cannot multiply float64 that it has traced back to int8.
            values = tl.zeros((total.shape[0], DEPTH), total.dtype)
            if known:
                values = tl.load(place, mask=there, other=0).to(total.dtype)
        else:
            values = tl.load(place, mask=there, other=0)
            values = tl.where(known, values, 0).to(total.dtype)
        total = multiply(values, tiles[k // DEPTH], total, PIECES, PRECISION)
    return total


@triton.jit
def places(batch, steps, t, SIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """What a program works on.

    Args:
        batch, steps: B and T.
        t: a step.
        SIZE, ROWS, COLUMNS: the layer's neurons; sequences and neurons of a program.

    Returns:
        Its sequences (ROWS, 1), its neurons (1, COLUMNS), which of both exist, where these lie in
        (B, H); and in (B, T, H), where step t begins, and the offsets around that.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    own = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    at = tl.program_id(0).to(tl.int64) * ROWS * steps * SIZE + t * SIZE
    around = tl.arange(0, ROWS)[:, None] * steps * SIZE + own
    return row, own, (row < batch) & (own < SIZE), row.to(tl.int64) * SIZE + own, at, around


@triton.jit
def meet(arrived, times):
    """Wait for all programs of the same sequences; what each stored is then visible to all.

    Args:
        arrived: a counter for each block of sequences; None: programs do not wait.
        times: how often each program has been here.
    """
    if arrived is not None:
        tl.debug_barrier()
        tl.atomic_add(arrived + tl.program_id(0), 1, sem="acq_rel", scope="gpu")
        while tl.atomic_add(
            arrived + tl.program_id(0), 0, sem="acquire", scope="gpu"
        ) < times * tl.num_programs(1):
            pass
    tl.debug_barrier()


@triton.jit(do_not_specialize=("batch", "steps", "first", "last"))
def forward(
    STEP: tl.constexpr,
    current,
    weights,
    delays,
    coefficients,
    state,
    lengths,
    emitted,
    sent,
    states,
    arrived,
    batch,
    steps,
    first,
    last,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    EMIT: tl.constexpr,
    KEEP: tl.constexpr,
    PIECES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Steps ``first`` to ``last`` - 1.

    Args:
        STEP, EMIT: the neuron's device functions.
        current: (B, T, H) from the input, and from what was in flight at the start; replaced by the
            whole current if KEEP.
        weights: pieces of the recurrent weights, each (H, H), presynaptic-major; None:
            feed-forward.
        delays: (H,), or None.
        coefficients: (H,) each.
        state: (B, H) each, that before step ``first``, replaced by the one at the end.
        lengths: (B,), or None.
        emitted: (B, T, H), int8 for spikes. Steps before ``first`` are read, as those of ``sent``.
        sent: (B, T, H) what of these arrives one step later; without delays ``emitted`` itself.
        states: the first variables, (B, T, H) each.
        arrived: zeros (blocks of sequences,) int32, by which all programs of a launch for all steps
            wait for each other; None: they do not.
        batch, steps: B and T.
        first, last: the steps of this launch.
        SIZE, ROWS, COLUMNS, DEPTH, PIECES, PRECISION: as for ``places`` and ``multiply``.
        KEEP: whether currents are kept for the backward loop.
    """
    row, own, inside, place, at, around = places(batch, steps, first, SIZE, ROWS, COLUMNS)
    constants = load_each(coefficients, tl.minimum(own, SIZE - 1), own >= 0)
    valid = inside
    if lengths is not None:
        length = tl.load(lengths + row, mask=row < batch, other=0)
    if weights is not None:
        to_own = load_tiles(weights, own, SIZE, DEPTH)
        if delays is not None:
            delay = tl.load(delays + own, mask=own < SIZE, other=0).to(tl.int32)
    state_now = load_each(state, place, inside)
    n: tl.constexpr = len(state) - 1
    t = first
    while t < last:
        now = tl.load(current + at + around, mask=inside, other=0.0)
        if weights is not None:
            before = tl.where(t > 0, at - SIZE, at)
            now = add_product(
                now, sent, before, t > 0, row, batch, steps, to_own, SIZE, DEPTH, PIECES, PRECISION
            )
        result = STEP(*state_now, now, *constants)
        v = result[n]
        s = EMIT(v)[0].to(now.dtype)
        after = result[:n] + (s,)
        shown = s
        if lengths is not None:
            valid = inside & (t < length)
            after = where_each(valid, after, state_now)
            shown = tl.where(valid, s, 0.0)
        tl.store(emitted + at + around, shown.to(emitted.dtype.element_ty), mask=inside)
        if delays is not None:
            earlier = tl.load(
                emitted + at + around - delay * SIZE,
                mask=inside & (delay > 0) & (t >= delay),
                other=0,
            )
            shown = shown.to(emitted.dtype.element_ty)
            tl.store(sent + at + around, tl.where(delay > 0, earlier, shown), mask=inside)
        if KEEP:
            tl.store(current + at + around, now, mask=inside)
        store_each(states, at + around, after, inside)
        state_now = after
        at += SIZE
        t += 1
        if weights is not None:
            meet(arrived, t)
    store_each(state, place, state_now, inside)


@triton.jit(do_not_specialize=("batch", "steps", "first", "last"))
def backward(
    STEP: tl.constexpr,
    ADJOINT: tl.constexpr,
    PSI: tl.constexpr,
    current,
    weights,
    delays,
    coefficients,
    initial,
    lengths,
    emitted,
    states,
    g_emitted,
    g_membrane,
    g_current,
    g_sent,
    g_state,
    g_coefficients,
    arrived,
    batch,
    steps,
    first,
    last,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    SLOPE: tl.constexpr,
    WANTED: tl.constexpr,
    PIECES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Steps ``last`` - 1 down to ``first``.

    Args:
        STEP, ADJOINT, PSI, SLOPE: the neuron's and the surrogate's device functions.
        current, delays, coefficients, lengths, emitted, states: those of ``forward``, as it left
            them, with all states.
        weights: pieces of the recurrent weights, (H, H), postsynaptic-major.
        initial: the state before step 0, (B, H) each.
        g_emitted, g_membrane: (B, T, H) gradients of the emission and of the first variable, or
            None.
        g_current: (B, T, H) the result.
        g_sent: (B, T, H) with delays, the gradients of ``sent``.
        g_state: (B, H) each, the gradients of the state after step ``last`` - 1, replaced by those
            of the state before ``first``, without what comes through the current.
        g_coefficients: (blocks of sequences, H) each, which are added to where WANTED.
        arrived, batch, steps, first, last, SIZE, ROWS, COLUMNS, DEPTH, PIECES, PRECISION: as for
            ``forward``.
    """
    row, own, inside, place, at, around = places(batch, steps, last - 1, SIZE, ROWS, COLUMNS)
    constants = load_each(coefficients, tl.minimum(own, SIZE - 1), own >= 0)
    valid = inside
    if lengths is not None:
        length = tl.load(lengths + row, mask=row < batch, other=0)
    if weights is not None:
        from_own = load_tiles(weights, own, SIZE, DEPTH)
        if delays is not None:
            delay = tl.load(delays + own, mask=own < SIZE, other=0).to(tl.int32)
    n: tl.constexpr = len(g_state) - 1
    g_after = load_each(g_state, place, inside)
    sums = ()
    for i in tl.static_range(len(g_coefficients)):
        sums = sums + (
            tl.zeros((ROWS, COLUMNS), g_coefficients[i].dtype.element_ty) if WANTED[i] else 0.0,
        )
    t = last - 1
    while t >= first:
        # The product comes first, then the other loads: both at once would take more registers than
        # there are.
        g_s = g_after[n]
        if weights is not None:
            after = tl.where(t + 1 < steps, at + SIZE, at)
            g_now = tl.zeros((ROWS, COLUMNS), g_current.dtype.element_ty)
            g_now = add_product(
                g_now,
                g_current,
                after,
                t + 1 < steps,
                row,
                batch,
                steps,
                from_own,
                SIZE,
                DEPTH,
                PIECES,
                PRECISION,
            )
            if delays is not None:
                tl.store(g_sent + at + around, g_now, mask=inside)
                there = inside & (delay > 0) & (t + delay < steps)
                g_now = tl.where(
                    delay > 0,
                    tl.load(g_sent + at + around + delay * SIZE, mask=there, other=0.0),
                    g_now,
                )
            g_s += g_now
        now = tl.load(current + at + around, mask=inside, other=0.0)
        if t > 0:
            before = load_each(states, at - SIZE + around, inside)
            before = before + (
                tl.load(emitted + at - SIZE + around, mask=inside, other=0).to(now.dtype),
            )
        else:
            before = load_each(initial, place, inside)
        if g_emitted is not None:
            g_s += tl.load(g_emitted + at + around, mask=inside, other=0.0)
        g_new = g_after[:n]
        if g_membrane is not None:
            g_new = (g_new[0] + tl.load(g_membrane + at + around, mask=inside, other=0.0),) + g_new[
                1:
            ]
        v = STEP(*before, now, *constants)[n]
        g_v = SLOPE(g_s, v, PSI(v)[0])[0]
        g = ADJOINT(*g_new, g_v, *before, now, *constants)
        if lengths is not None:
            valid = inside & (t < length)
            g_before = where_each(valid, g[: n + 1], g_after)
        else:
            g_before = g[: n + 1]
        tl.store(g_current + at + around, tl.where(valid, g[n + 1], 0.0), mask=inside)
        more = ()
        for i in tl.static_range(len(g_coefficients)):
            more = more + (sums[i] + tl.where(valid, g[n + 2 + i], 0.0) if WANTED[i] else 0.0,)
        sums = more
        g_after = g_before
        at -= SIZE
        t -= 1
        if weights is not None:
            meet(arrived, steps - 1 - t)
    store_each(g_state, place, g_after, inside)
    block = tl.program_id(0) * SIZE + tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    here = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS) < SIZE
    for i in tl.static_range(len(g_coefficients)):
        if WANTED[i]:
            total = tl.load(g_coefficients[i] + block, mask=here, other=0.0) + tl.sum(sums[i], 0)
            tl.store(g_coefficients[i] + block, total, mask=here)
