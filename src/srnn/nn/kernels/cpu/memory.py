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
    """The type of the vectors of an array's numbers, for instructions that return one.

    Args:
        array: the array's type.
        _: the types of the instruction's other arguments, which do not matter.
    """
    return VECTORS[array.dtype]


def pointer(code: Code, array: Operand, index: Any, exists: bool = True) -> Any:
    """Address of an element of an array.

    Args:
        code: where instructions are written.
        array: the array.
        index: the element's number, an LLVM value.
        exists: whether that element certainly exists.

    Returns:
        The address.
    """
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
    """Arrays as bare addresses.

    Args:
        code: where instructions are written.
        group: an array; or a (named) tuple of arrays, tuples and numbers.

    Returns:
        The same with ``Flat`` arrays.
    """
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
    """Load a vector; no alignment is assumed beyond the element's.

    Args:
        builder: of llvmlite.
        address: of an element.
        vector: the vector's type.
        offset: how many vectors further on it lies.

    Returns:
        The vector.
    """
    if offset:
        address = builder.gep(address, [ir.Constant(INDEX, offset * vector.lanes)], inbounds=True)
    address = builder.bitcast(address, vector.llvm.as_pointer())
    return builder.load(address, align=vector.dtype.bitwidth // 8, typ=vector.llvm)


def store_at(builder: Any, value: Any, address: Any, vector: Vector, offset: int = 0) -> None:
    """Store a vector; no alignment is assumed beyond the element's.

    Args:
        builder: of llvmlite.
        value: the vector.
        address: of an element.
        vector: the vector's type.
        offset: how many vectors further on it lies.
    """
    if offset:
        address = builder.gep(address, [ir.Constant(INDEX, offset * vector.lanes)], inbounds=True)
    builder.store(
        value, builder.bitcast(address, vector.llvm.as_pointer()), align=vector.dtype.bitwidth // 8
    )


def first_lanes(builder: Any, count: Any, vector: Vector) -> Any:
    """Mask of the first lanes.

    Args:
        builder: of llvmlite.
        count: how many; it may exceed the number of lanes.
        vector: the type of the vectors that are masked.

    Returns:
        The mask.
    """
    integers = ir.VectorType(ir.IntType(vector.dtype.bitwidth), vector.lanes)
    if vector.dtype.bitwidth == 32:
        count = builder.trunc(count, integers.element)
    lanes = ir.Constant(integers, list(range(vector.lanes)))
    return builder.icmp_signed("<", lanes, broadcast(builder, count, integers))


def load_first_at(builder: Any, address: Any, count: Any, vector: Vector) -> Any:
    """Load the first lanes of a vector.

    Args:
        builder: of llvmlite.
        address: of an element.
        count: how many lanes.
        vector: the vector's type.

    Returns:
        The vector, zero in the other lanes, whose memory is not touched.
    """
    align = ir.Constant(ir.IntType(32), vector.dtype.bitwidth // 8)
    mask = first_lanes(builder, count, vector)
    name = overloaded("llvm.masked.load", vector.llvm) + ".p0"
    return call(builder, name, vector.llvm, address, align, mask, constant(vector.llvm, 0.0))


def store_first_at(builder: Any, value: Any, address: Any, count: Any, vector: Vector) -> None:
    """Store the first lanes of a vector.

    Args:
        builder: of llvmlite.
        value: the vector.
        address: of an element.
        count: how many lanes.
        vector: the vector's type.
    """
    align = ir.Constant(ir.IntType(32), vector.dtype.bitwidth // 8)
    mask = first_lanes(builder, count, vector)
    name = overloaded("llvm.masked.store", vector.llvm) + ".p0"
    call(builder, name, ir.VoidType(), value, address, align, mask)


@instruction(vector_of)
def load(code: Code, array: Operand, index: Operand) -> Any:
    """Load a vector.

    Args:
        code: where instructions are written.
        array, index: the vector starts at array[index].

    Returns:
        The vector.
    """
    return load_at(code.builder, pointer(code, array, index.value), vector_of(array.of))


@instruction(types.void)
def store(code: Code, array: Operand, index: Operand, value: Operand) -> None:
    """Store a vector.

    Args:
        code: where instructions are written.
        array, index: the vector goes to array[index : index + lanes].
        value: the vector.
    """
    store_at(code.builder, value.value, pointer(code, array, index.value), value.of)


@instruction(vector_of)
def load_first(code: Code, array: Operand, index: Operand, count: Operand) -> Any:
    """Load the first lanes of a vector.

    Args:
        code: where instructions are written.
        array, index: the vector starts at array[index].
        count: how many lanes are read.

    Returns:
        The vector, zero in the other lanes.
    """
    return load_first_at(
        code.builder, pointer(code, array, index.value), count.value, vector_of(array.of)
    )


@instruction(types.void)
def store_first(code: Code, array: Operand, index: Operand, count: Operand, value: Operand) -> None:
    """Store the first lanes of a vector.

    Args:
        code: where instructions are written.
        array, index: the vector goes to array[index : index + count].
        count: how many lanes; all if there are fewer.
        value: the vector.
    """
    store_first_at(
        code.builder, value.value, pointer(code, array, index.value), count.value, value.of
    )


READ, WRITE = 0, 1


@instruction(types.void)
def prefetch(code: Code, array: Operand, index: Operand, purpose: Operand) -> None:
    """Ask for a cache line.

    Walking backwards through several sequences at once is more than the hardware foresees; and a
    store whose line has not arrived yet holds up all later ones.

    Args:
        code: where instructions are written.
        array, index: the line of array[index], which need not exist.
        purpose: READ or WRITE, a literal: what will happen there soon.
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
    """Load a vector from each of several arrays.

    Args:
        code: where instructions are written.
        arrays: a tuple of them.
        index: where the vectors start in each.

    Returns:
        Tuple of the vectors.
    """
    result = _vectors(arrays.of)
    return code.tuple_of(
        result, [load_at(code.builder, at, result.dtype) for at in _each(code, arrays, index)]
    )


@instruction(types.void)
def store_each(code: Code, arrays: Operand, index: Operand, values: Operand) -> None:
    """Store a vector in each of several arrays.

    Args:
        code: where instructions are written.
        arrays: a tuple of them.
        index: where the vectors start in each.
        values: a tuple of the vectors.
    """
    for address, value in zip(_each(code, arrays, index), code.parts(values), strict=True):
        store_at(code.builder, value, address, values.of.dtype)


def _split(vectors: Any, arrays: Any) -> Any:
    counts = len(arrays), len(vectors) - len(arrays)
    return types.Tuple([types.UniTuple(vectors.dtype, count) for count in counts])


@instruction(_split)
def split(code: Code, vectors: Operand, arrays: Operand) -> Any:
    """A tuple of vectors in two.

    Args:
        code: where instructions are written.
        vectors: the tuple.
        arrays: a tuple with as many elements as the first part is to have.

    Returns:
        Both parts.
    """
    result, values, count = _split(vectors.of, arrays.of), code.parts(vectors), len(arrays.of)
    return code.tuple_of(result, map(code.tuple_of, result, (values[:count], values[count:])))


# ---- spikes as bits ---------------------------------------------------------------------------------------------------


@instruction(lambda word, first, count, mask: word)
def with_spikes(code: Code, word: Operand, first: Operand, count: Operand, mask: Operand) -> Any:
    """Add a mask to a word of spikes.

    The word is stored once it is whole: a load of eight bytes that were just written in pieces
    waits until all of them have left for the cache, and the next step needs the spikes at once.

    Args:
        code: where instructions are written.
        word: a uint64.
        first: the neuron of the mask's first lane; its bit (modulo 64) and those that follow are
            not yet set.
        count: lanes from this one on (padding) are left out.
        mask: which neurons spiked.

    Returns:
        The new word.
    """
    builder, vector = code.builder, next(vector for vector, of in MASKS.items() if of == mask.of)
    real = builder.and_(mask.value, first_lanes(builder, count.value, vector))
    bits = builder.zext(builder.bitcast(real, ir.IntType(vector.lanes)), ir.IntType(64))
    place = builder.and_(first.value, ir.Constant(INDEX, 63))
    return builder.or_(word.value, builder.shl(bits, place))


@instruction(lambda words, word, first, like: like)
def load_spikes(code: Code, words: Operand, word: Operand, first: Operand, like: Operand) -> Any:
    """Spikes as a vector.

    Args:
        code: where instructions are written.
        words, word: the row of words (little-endian) starts at words[word].
        first: the neuron of the first lane.
        like: a vector of the type wanted.

    Returns:
        The vector, of 0 and 1.
    """
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
    """The lowest set bit of a word.

    Args:
        code: where instructions are written.
        word: a uint64.

    Returns:
        Its index; 64 if there is none.
    """
    return call(code.builder, "llvm.cttz.i64", INDEX, word.value, ir.Constant(BIT, 0))


@instruction(types.intp)
def bit_count(code: Code, word: Operand) -> Any:
    """The set bits of a word.

    Args:
        code: where instructions are written.
        word: a uint64.

    Returns:
        How many there are.
    """
    return call(code.builder, "llvm.ctpop.i64", INDEX, word.value)
