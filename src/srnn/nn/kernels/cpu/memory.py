"""Vectors between memory and registers, and spikes as bits.

Vectors travel one at a time (``load``, ``store``), cut off at the end of a row (``load_first``, ``store_first``: so rows need no
padding), or one from each of several arrays (``load_each``, ``store_each``: a neuron with n variables has n arrays). Spikes are
bits in uint64 words: bit j of a row is neuron j.

Arrays are one-dimensional and contiguous; indices count elements and are not checked. Kernels turn the arrays that they are
given into ``Flat`` ones at once: bare addresses, which helper functions pass on without counting references, and whose indices
are never tested for being negative.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import overload, register_model
from numba.np.arrayobj import make_array

from .simd import BIT, INDEX, MASKS, VECTORS, Vector, broadcast, call, constant, instruction, overloaded


class Flat(types.Type):
    """Type of the bare address of an array's first element; whoever made the array keeps it alive."""

    def __init__(self, dtype: Any) -> None:
        super().__init__(name=f"Flat({dtype})")
        self.dtype = dtype


register_model(Flat)(models.PointerModel)


def pointer(context: Any, builder: Any, of: Any, array: Any, index: Any, exists: bool = True) -> Any:
    """Address of an element of a lowered array of type ``of``; ``exists``: whether that element certainly exists."""
    first = array if isinstance(of, Flat) else make_array(of)(context, builder, array).data
    return builder.gep(first, [index], inbounds=exists)


def _flattened(of: Any) -> Any:
    if isinstance(of, types.Array):
        return Flat(of.dtype)
    if isinstance(of, types.BaseTuple):
        parts = [_flattened(part) for part in of]  # type: ignore[attr-defined]
        return types.BaseTuple.from_types(parts, getattr(of, "instance_class", None))
    return of


def _flatten(context: Any, builder: Any, of: Any, value: Any) -> Any:
    if isinstance(of, types.Array):
        return make_array(of)(context, builder, value).data
    if isinstance(of, types.BaseTuple):
        parts = zip(of, cgutils.unpack_tuple(builder, value, len(of)), strict=True)  # type: ignore[call-overload]
        return context.make_tuple(builder, _flattened(of), [_flatten(context, builder, *part) for part in parts])
    return value


@instruction
def flat(typing: Any, group: Any) -> Any:
    """An array as a ``Flat`` one; a (named) tuple of arrays, tuples and numbers with ``Flat`` ones in it."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _flatten(context, builder, group, arguments[0])

    return _flattened(group)(group), emit


@instruction
def _read(typing: Any, array: Any, index: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(pointer(context, builder, array, *arguments))

    return array.dtype(array, types.intp), emit


@instruction
def _write(typing: Any, array: Any, index: Any, value: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], pointer(context, builder, array, *arguments[:2]))

    return types.void(array, types.intp, array.dtype), emit


@overload(operator.getitem)
def _getitem(array, index):  # without annotations: Numba compares the signature with the implementation's
    if isinstance(array, Flat):
        return lambda array, index: _read(array, index)


@overload(operator.setitem)
def _setitem(array, index, value):
    if isinstance(array, Flat):
        return lambda array, index, value: _write(array, index, value)


def load_at(builder: Any, address: Any, vector: Vector, offset: int = 0) -> Any:
    """The vector at an address, ``offset`` vectors further on; no alignment is assumed beyond the element's."""
    if offset:
        address = builder.gep(address, [ir.Constant(INDEX, offset * vector.lanes)], inbounds=True)
    address = builder.bitcast(address, vector.llvm.as_pointer())
    return builder.load(address, align=vector.dtype.bitwidth // 8, typ=vector.llvm)


def store_at(builder: Any, value: Any, address: Any, vector: Vector, offset: int = 0) -> None:
    if offset:
        address = builder.gep(address, [ir.Constant(INDEX, offset * vector.lanes)], inbounds=True)
    builder.store(value, builder.bitcast(address, vector.llvm.as_pointer()), align=vector.dtype.bitwidth // 8)


def first_lanes(builder: Any, count: Any, vector: Vector) -> Any:
    """Mask of the first ``count`` lanes; count may exceed the number of lanes."""
    integers = ir.VectorType(ir.IntType(vector.dtype.bitwidth), vector.lanes)
    if vector.dtype.bitwidth == 32:
        count = builder.trunc(count, integers.element)
    lanes = ir.Constant(integers, list(range(vector.lanes)))
    return builder.icmp_signed("<", lanes, broadcast(builder, count, integers))


def load_first_at(builder: Any, address: Any, count: Any, vector: Vector) -> Any:
    """The first ``count`` lanes of the vector at an address, zeros in the others, whose memory is not touched."""
    align, mask = ir.Constant(ir.IntType(32), vector.dtype.bitwidth // 8), first_lanes(builder, count, vector)
    name = overloaded("llvm.masked.load", vector.llvm) + ".p0"
    return call(builder, name, vector.llvm, address, align, mask, constant(vector.llvm, 0.0))


def store_first_at(builder: Any, value: Any, address: Any, count: Any, vector: Vector) -> None:
    """Store the first ``count`` lanes of a vector at an address."""
    align, mask = ir.Constant(ir.IntType(32), vector.dtype.bitwidth // 8), first_lanes(builder, count, vector)
    name = overloaded("llvm.masked.store", vector.llvm) + ".p0"
    call(builder, name, ir.VoidType(), value, address, align, mask)


@instruction
def load(typing: Any, array: Any, index: Any) -> Any:
    """The vector that starts at array[index]."""
    vector = VECTORS[array.dtype]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return load_at(builder, pointer(context, builder, array, *arguments), vector)

    return vector(array, types.intp), emit


@instruction
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + lanes] = value."""
    vector = VECTORS[array.dtype]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        store_at(builder, arguments[2], pointer(context, builder, array, *arguments[:2]), vector)

    return types.void(array, types.intp, vector), emit


@instruction
def load_first(typing: Any, array: Any, index: Any, count: Any) -> Any:
    """The vector that starts at array[index], of which only the first ``count`` lanes are read; the others are 0."""
    vector = VECTORS[array.dtype]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return load_first_at(builder, pointer(context, builder, array, *arguments[:2]), arguments[2], vector)

    return vector(array, types.intp, types.intp), emit


@instruction
def store_first(typing: Any, array: Any, index: Any, count: Any, value: Any) -> Any:
    """array[index : index + count] = value, at most the vector's lanes."""
    vector = VECTORS[array.dtype]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        store_first_at(builder, arguments[3], pointer(context, builder, array, *arguments[:2]), arguments[2], vector)

    return types.void(array, types.intp, types.intp, vector), emit


READ, WRITE = 0, 1


@instruction
def prefetch(typing: Any, array: Any, index: Any, purpose: Any) -> Any:
    """Ask for the cache line of array[index], which need not exist, to READ or to WRITE there soon (a literal).

    Walking backwards through several sequences at once is more than the hardware foresees; and a store whose line has not
    arrived yet holds up all later ones.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = pointer(context, builder, array, *arguments[:2], exists=False)
        write, everywhere, data = (ir.Constant(ir.IntType(32), value) for value in (purpose.literal_value, 3, 1))
        call(builder, "llvm.prefetch.p0", ir.VoidType(), address, write, everywhere, data)

    return types.void(array, types.intp, purpose), emit


def _each(context: Any, builder: Any, of: types.UniTuple, arrays: Any, index: Any) -> Any:
    """Addresses of element ``index`` in every array of a lowered tuple."""
    return [
        pointer(context, builder, of.dtype, array, index) for array in cgutils.unpack_tuple(builder, arrays, of.count)
    ]


def _vectors(arrays: Any) -> Any:
    """Type of a tuple of one vector from each of the arrays, of which there may be none (a neuron without coefficients)."""
    return types.UniTuple(VECTORS[arrays.dtype.dtype], arrays.count) if arrays.count else arrays


@instruction
def load_each(typing: Any, arrays: Any, index: Any) -> Any:
    """Tuple of the vectors that start at ``index`` in each of the arrays."""
    result = _vectors(arrays)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        addresses = _each(context, builder, arrays, *arguments)
        return context.make_tuple(builder, result, [load_at(builder, address, result.dtype) for address in addresses])

    return result(arrays, types.intp), emit


@instruction
def store_each(typing: Any, arrays: Any, index: Any, values: Any) -> Any:
    """Store a tuple of vectors, one in each of the arrays, at ``index``."""
    vectors = _vectors(arrays)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        addresses = _each(context, builder, arrays, *arguments[:2])
        for address, value in zip(addresses, cgutils.unpack_tuple(builder, arguments[2], arrays.count), strict=True):
            store_at(builder, value, address, vectors.dtype)

    return types.void(arrays, types.intp, vectors), emit


@instruction
def split(typing: Any, vectors: Any, arrays: Any) -> Any:
    """A tuple of vectors in two: as many as there are ``arrays``, and the rest."""
    count = len(arrays)
    result = types.Tuple((types.UniTuple(vectors.dtype, count), types.UniTuple(vectors.dtype, len(vectors) - count)))

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = cgutils.unpack_tuple(builder, arguments[0], len(vectors))
        parts = zip(result, (values[:count], values[count:]), strict=True)
        return context.make_tuple(builder, result, [context.make_tuple(builder, *part) for part in parts])

    return result(vectors, arrays), emit


# ---- spikes as bits ---------------------------------------------------------------------------------------------------


@instruction
def with_spikes(typing: Any, word: Any, first: Any, count: Any, mask: Any) -> Any:
    """A word to which a mask is added as the bits of neurons ``first`` ..., numbered modulo 64 and not yet set; lanes from
    ``count`` on (padding) are left out.

    The word is stored once it is whole: a load of eight bytes that were just written in pieces waits until all of them have
    left for the cache, and the next step wants to know at once who spiked.
    """
    vector = next(vector for vector, of in MASKS.items() if of == mask)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        real = builder.and_(arguments[3], first_lanes(builder, arguments[2], vector))
        bits = builder.zext(builder.bitcast(real, ir.IntType(vector.lanes)), ir.IntType(64))
        place = builder.and_(arguments[1], ir.Constant(INDEX, 63))
        return builder.or_(arguments[0], builder.shl(bits, place))

    return types.uint64(types.uint64, types.intp, types.intp, mask), emit


@instruction
def load_spikes(typing: Any, words: Any, word: Any, first: Any, like: Any) -> Any:
    """The spikes of neurons ``first`` ..., in the row of words that starts at ``word`` (little-endian), as a vector of 0 and 1,
    of the type of ``like``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = builder.bitcast(pointer(context, builder, words, *arguments[:2]), ir.IntType(8).as_pointer())
        own = builder.gep(row, [builder.lshr(arguments[2], ir.Constant(INDEX, 3))], source_etype=ir.IntType(8))
        address = builder.bitcast(own, ir.IntType(like.lanes).as_pointer())
        bits = builder.load(address, align=like.lanes // 8, typ=ir.IntType(like.lanes))
        mask = builder.bitcast(bits, ir.VectorType(BIT, like.lanes))
        return builder.select(mask, constant(like.llvm, 1.0), constant(like.llvm, 0.0))

    return like(words, types.intp, types.intp, like), emit


@instruction
def lowest_bit(typing: Any, word: Any) -> Any:
    """Index of the lowest set bit of a uint64; 64 if there is none."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call(builder, "llvm.cttz.i64", INDEX, arguments[0], ir.Constant(BIT, 0))

    return types.intp(types.uint64), emit


@instruction
def bit_count(typing: Any, word: Any) -> Any:
    """Set bits of a uint64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call(builder, "llvm.ctpop.i64", INDEX, arguments[0])

    return types.intp(types.uint64), emit
