"""Packing zeros and ones of a dense array into bits, 64 at a time, at the speed of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from .. import threads
from ..compiling import loop

Array = np.ndarray[Any, Any]

_SHARE = 1 << 16
"""Numbers that can be packed in less time than it takes to call another thread to help."""


def _emitted(typing: Any, array: Any, index: Any) -> Any:
    """For array[index : index + 64], flat: (bits of the values that are 1, bits of those that are
    neither 0 nor 1)."""
    pair = types.UniTuple(types.uint64, 2)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        dtype = array.dtype
        vector = ir.VectorType(context.get_data_type(dtype), 64)
        first = builder.gep(
            make_array(array)(context, builder, arguments[0]).data, [arguments[1]], inbounds=True
        )
        values = builder.load(
            builder.bitcast(first, vector.as_pointer()), align=dtype.bitwidth // 8, typ=vector
        )
        of_floats = isinstance(dtype, types.Float)
        compare = builder.fcmp_unordered if of_floats else builder.icmp_unsigned  # NaN is neither
        other = [
            compare("!=", values, ir.Constant(vector, [float(n) if of_floats else n] * 64))
            for n in (0, 1)
        ]
        masks = builder.not_(other[1]), builder.and_(*other)
        words = [builder.bitcast(mask, ir.IntType(64)) for mask in masks]
        return context.make_tuple(builder, pair, words)

    return pair(array, types.intp), emit


_bits: Any = intrinsic(_emitted)


def _pack(first, last, x, channels, words, other):
    """Pack rows first ... last - 1 of x (rows, channels), flat, into words; stop with other[0] = 1
    at a row with other values."""
    count = (channels + 63) // 64
    for row in range(first, last):
        wrong = np.uint64(0)
        for w in range(count):
            at = row * channels + 64 * w
            size = min(64, channels - 64 * w)
            start = at + size - 64
            if start >= 0:  # the last 64 numbers; those before ``at`` are shifted out
                ones, others = _bits(x, start)
                ones >>= np.uint64(64 - size)
                wrong |= others >> np.uint64(64 - size)
            else:
                ones = np.uint64(0)
                for i in range(size):
                    if x[at + i] == 1:
                        ones |= np.uint64(1) << np.uint64(i)
                    elif x[at + i] != 0:
                        wrong |= np.uint64(1)
            words[row * count + w] = ones
        if wrong or other[0]:
            other[0] = 1
            return


def pack(x: Array) -> Array | None:
    """Words (..., ceil(C / 64)) uint64 of x (..., C), contiguous, of 4-byte or 8-byte floats or of
    integers; None unless it is all zeros and ones."""
    *leading, channels = x.shape
    words, other = np.empty((*leading, -(-channels // 64)), np.uint64), np.zeros(1, np.int64)
    rows, flat = int(np.prod(leading)), x.reshape(-1)
    parts = max(1, min(4 * torch.get_num_threads(), x.size // _SHARE))
    edges = [rows * part // parts for part in range(parts + 1)]
    compiled, out = loop(_pack), words.reshape(-1)
    threads.for_each(
        lambda part: compiled(edges[part], edges[part + 1], flat, channels, out, other), parts
    )
    if other[0]:
        return None
    return words
