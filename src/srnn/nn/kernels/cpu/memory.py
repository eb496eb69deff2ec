"""Vectors between memory and registers, and spikes as bits.

Vectors travel one at a time (``load``, ``store``), cut off at the end of a row (``load_first``,
``store_first``: so rows need no padding), or one from each of several arrays (``load_each``,
``store_each``: a neuron with n variables has n arrays). Spikes are bits in uint64 words: bit j of a
row is neuron j.

Arrays are one-dimensional and contiguous; indices count elements and are not checked. Kernels turn
the arrays that they are given into ``Flat`` ones at once: bare addresses, which helper functions
pass on without counting references, and whose indices are never tested for being negative.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import overload, register_model
from numba.np.arrayobj import make_array

from .simd import (
    BIT,
    INDEX,
    MASKS,
    VECTORS,
    Code,
    Operand,
    Vector,
    broadcast,
    call,
    constant,
    instruction,
    overloaded,
)


class Flat(types.Type):
    """Type of the bare address of an array's first element; whoever made the array keeps it
    alive."""

    def __init__(self, dtype: Any) -> None:
        super().__init__(name=f"Flat({dtype})")
        self.dtype = dtype


register_model(Flat)(models.PointerModel)


def vector_of(array: Any, *_: Any) -> Vector:
    """The type of the vectors of an array's numbers, for instructions that return one."""
    return VECTORS[array.dtype]


def pointer(code: Code, array: Operand, index: Any, exists: bool = True) -> Any:
    """Address of an element of an array; ``exists``: whether that element certainly exists."""
    return code.builder.gep(_first(code, array), [index], inbounds=exists)


def _first(code: Code, array: Operand) -> Any:
    return (
        array.value if isinstance(array.of, Flat) else make_array(array.of)(*code, array.value).data
    )


def _flattened(of: Any) -> Any:
    if isinstance(of, types.Array):
        return Flat(of.dtype)
    if isinstance(of, types.BaseTuple):
        parts = [_flattened(part) for part in of]  # type: ignore[attr-defined]
        return types.BaseTuple.from_types(parts, getattr(of, "instance_class", None))
    return of


@instruction(_flattened)
def flat(code: Code, group: Operand) -> Any:
    """An array as a ``Flat`` one; a (named) tuple of arrays, tuples and numbers with ``Flat`` ones
    in it."""
    return _flatten(code, group)


def _flatten(code: Code, group: Operand) -> Any:
    if isinstance(group.of, types.BaseTuple):
        parts = (_flatten(code, part) for part in map(Operand, group.of, code.parts(group)))  # type: ignore[call-overload]
        return code.tuple_of(_flattened(group.of), parts)
    return _first(code, group) if isinstance(group.of, types.Array) else group.value


@instruction(lambda array, index: array.dtype)
def _read(code: Code, array: Operand, index: Operand) -> Any:
    return code.builder.load(pointer(code, array, index.value))


@instruction(types.void)
def _write(code: Code, array: Operand, index: Operand, value: Operand) -> None:
    code.builder.store(code.cast(value, array.of.dtype), pointer(code, array, index.value))


@overload(operator.getitem)
def _getitem(
    array, index
):  # without annotations: Numba compares the signature with the implementation's
    if isinstance(array, Flat):
        return lambda array, index: _read(array, index)


@overload(operator.setitem)
def _setitem(array, index, value):
    if isinstance(array, Flat):
        return lambda array, index, value: _write(array, index, value)


def load_at(builder: Any, address: Any, vector: Vector, offset: int = 0) -> Any:
    """The vector at an address, ``offset`` vectors further on; no alignment is assumed beyond the
    element's."""
    if offset:
        address = builder.gep(address, [ir.Constant(INDEX, offset * vector.lanes)], inbounds=True)
    address = builder.bitcast(address, vector.llvm.as_pointer())
    return builder.load(address, align=vector.dtype.bitwidth // 8, typ=vector.llvm)


def store_at(builder: Any, value: Any, address: Any, vector: Vector, offset: int = 0) -> None:
    if offset:
        address = builder.gep(address, [ir.Constant(INDEX, offset * vector.lanes)], inbounds=True)
    builder.store(
        value, builder.bitcast(address, vector.llvm.as_pointer()), align=vector.dtype.bitwidth // 8
    )


def first_lanes(builder: Any, count: Any, vector: Vector) -> Any:
    """Mask of the first ``count`` lanes; count may exceed the number of lanes."""
    integers = ir.VectorType(ir.IntType(vector.dtype.bitwidth), vector.lanes)
    if vector.dtype.bitwidth == 32:
        count = builder.trunc(count, integers.element)
    lanes = ir.Constant(integers, list(range(vector.lanes)))
    return builder.icmp_signed("<", lanes, broadcast(builder, count, integers))


def load_first_at(builder: Any, address: Any, count: Any, vector: Vector) -> Any:
    """The first ``count`` lanes of the vector at an address, zeros in the others, whose memory is
    not touched."""
    align, mask = (
        ir.Constant(ir.IntType(32), vector.dtype.bitwidth // 8),
        first_lanes(builder, count, vector),
    )
    name = overloaded("llvm.masked.load", vector.llvm) + ".p0"
    return call(builder, name, vector.llvm, address, align, mask, constant(vector.llvm, 0.0))


def store_first_at(builder: Any, value: Any, address: Any, count: Any, vector: Vector) -> None:
    """Store the first ``count`` lanes of a vector at an address."""
    align, mask = (
        ir.Constant(ir.IntType(32), vector.dtype.bitwidth // 8),
        first_lanes(builder, count, vector),
    )
    name = overloaded("llvm.masked.store", vector.llvm) + ".p0"
    call(builder, name, ir.VoidType(), value, address, align, mask)


@instruction(vector_of)
def load(code: Code, array: Operand, index: Operand) -> Any:
    """The vector that starts at array[index]."""
    return load_at(code.builder, pointer(code, array, index.value), vector_of(array.of))


@instruction(types.void)
def store(code: Code, array: Operand, index: Operand, value: Operand) -> None:
    """array[index : index + lanes] = value."""
    store_at(code.builder, value.value, pointer(code, array, index.value), value.of)


@instruction(vector_of)
def load_first(code: Code, array: Operand, index: Operand, count: Operand) -> Any:
    """The vector that starts at array[index], of which only the first ``count`` lanes are read; the
    others are 0."""
    return load_first_at(
        code.builder, pointer(code, array, index.value), count.value, vector_of(array.of)
    )


@instruction(types.void)
def store_first(code: Code, array: Operand, index: Operand, count: Operand, value: Operand) -> None:
    """array[index : index + count] = value, at most the vector's lanes."""
    store_first_at(
        code.builder, value.value, pointer(code, array, index.value), count.value, value.of
    )


READ, WRITE = 0, 1


@instruction(types.void)
def prefetch(code: Code, array: Operand, index: Operand, purpose: Operand) -> None:
    """Ask for the cache line of array[index], which need not exist, to READ or to WRITE there soon
    (a literal).

    Walking backwards through several sequences at once is more than the hardware foresees; and a
    store whose line has not arrived yet holds up all later ones.
    """
    address = pointer(code, array, index.value, exists=False)
    write, everywhere, data = (
        ir.Constant(ir.IntType(32), value) for value in (purpose.of.literal_value, 3, 1)
    )
    call(code.builder, "llvm.prefetch.p0", ir.VoidType(), address, write, everywhere, data)


def _each(code: Code, arrays: Operand, index: Operand) -> list[Any]:
    """Addresses of element ``index`` in every array of a tuple."""
    return [
        pointer(code, Operand(arrays.of.dtype, array), index.value) for array in code.parts(arrays)
    ]


def _vectors(arrays: Any, *_: Any) -> Any:
    """Type of a tuple of one vector from each of the arrays, of which there may be none (a neuron
    without coefficients)."""
    return types.UniTuple(vector_of(arrays.dtype), arrays.count) if arrays.count else arrays


@instruction(_vectors)
def load_each(code: Code, arrays: Operand, index: Operand) -> Any:
    """Tuple of the vectors that start at ``index`` in each of the arrays."""
    result = _vectors(arrays.of)
    return code.tuple_of(
        result, [load_at(code.builder, at, result.dtype) for at in _each(code, arrays, index)]
    )


@instruction(types.void)
def store_each(code: Code, arrays: Operand, index: Operand, values: Operand) -> None:
    """Store a tuple of vectors, one in each of the arrays, at ``index``."""
    for address, value in zip(_each(code, arrays, index), code.parts(values), strict=True):
        store_at(code.builder, value, address, values.of.dtype)


def _split(vectors: Any, arrays: Any) -> Any:
    counts = len(arrays), len(vectors) - len(arrays)
    return types.Tuple([types.UniTuple(vectors.dtype, count) for count in counts])


@instruction(_split)
def split(code: Code, vectors: Operand, arrays: Operand) -> Any:
    """A tuple of vectors in two: as many as there are ``arrays``, and the rest."""
    result, values, count = _split(vectors.of, arrays.of), code.parts(vectors), len(arrays.of)
    return code.tuple_of(result, map(code.tuple_of, result, (values[:count], values[count:])))


# ---- spikes as bits ---------------------------------------------------------------------------------------------------


@instruction(lambda word, first, count, mask: word)
def with_spikes(code: Code, word: Operand, first: Operand, count: Operand, mask: Operand) -> Any:
    """A word to which a mask is added as the bits of neurons ``first`` ..., numbered modulo 64 and
    not yet set; lanes from ``count`` on (padding) are left out.

    The word is stored once it is whole: a load of eight bytes that were just written in pieces
    waits until all of them have left for the cache, and the next step wants to know at once who
    spiked.
    """
    builder, vector = code.builder, next(vector for vector, of in MASKS.items() if of == mask.of)
    real = builder.and_(mask.value, first_lanes(builder, count.value, vector))
    bits = builder.zext(builder.bitcast(real, ir.IntType(vector.lanes)), ir.IntType(64))
    place = builder.and_(first.value, ir.Constant(INDEX, 63))
    return builder.or_(word.value, builder.shl(bits, place))


@instruction(lambda words, word, first, like: like)
def load_spikes(code: Code, words: Operand, word: Operand, first: Operand, like: Operand) -> Any:
    """The spikes of neurons ``first`` ..., in the row of words that starts at ``word``
    (little-endian), as a vector of 0 and 1, of the type of ``like``."""
    builder, vector = code.builder, like.of
    row = builder.bitcast(pointer(code, words, word.value), ir.IntType(8).as_pointer())
    own = builder.gep(
        row, [builder.lshr(first.value, ir.Constant(INDEX, 3))], source_etype=ir.IntType(8)
    )
    address = builder.bitcast(own, ir.IntType(vector.lanes).as_pointer())
    bits = builder.load(address, align=vector.lanes // 8, typ=ir.IntType(vector.lanes))
    mask = builder.bitcast(bits, ir.VectorType(BIT, vector.lanes))
    return builder.select(mask, constant(vector.llvm, 1.0), constant(vector.llvm, 0.0))


@instruction(types.intp)
def lowest_bit(code: Code, word: Operand) -> Any:
    """Index of the lowest set bit of a uint64; 64 if there is none."""
    return call(code.builder, "llvm.cttz.i64", INDEX, word.value, ir.Constant(BIT, 0))


@instruction(types.intp)
def bit_count(code: Code, word: Operand) -> Any:
    """Set bits of a uint64."""
    return call(code.builder, "llvm.ctpop.i64", INDEX, word.value)
