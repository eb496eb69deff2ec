"""SIMD vectors for Numba: the small language in which the CPU kernels are written.

A ``Vector`` holds 16 float32 or 8 float64 numbers (64 bytes) and behaves like a number:
``+ - * /``, comparison, and the functions of ``srnn.nn.arithmetic``. That is why a neuron's
``step``, plain arithmetic in its own file, compiles here unchanged. LLVM splits the vectors where
the machine's registers are narrower, so nothing depends on AVX-512.

How vectors travel to and from memory is in ``memory.py``, loops over rows of weights are in
``rows.py``.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import Signature
from numba.extending import intrinsic, overload, register_model, type_callable

from ... import arithmetic

VECTOR_BYTES = 64
INDEX = ir.IntType(64)
BIT = ir.IntType(1)
# Lets LLVM contract a * b + c into one fused multiply-add; nothing else of IEEE arithmetic is given
# up.
CONTRACT = ("contract",)


class Vector(types.Type):
    """Type of a vector of ``dtype`` (Numba's float32 or float64)."""

    def __init__(self, dtype: types.Float) -> None:
        super().__init__(name=f"Vector({dtype})")
        self.dtype = dtype
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        self.element = ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()
        self.llvm = ir.VectorType(self.element, self.lanes)


class Mask(types.Type):
    """Type of what comparing two vectors gives: one bit per lane."""

    def __init__(self, lanes: int) -> None:
        super().__init__(name=f"Mask({lanes})")
        self.lanes = lanes
        self.llvm = ir.VectorType(BIT, lanes)


@register_model(Vector)
@register_model(Mask)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, fe_type.llvm)


VECTORS = {types.float32: Vector(types.float32), types.float64: Vector(types.float64)}
MASKS = {vector: Mask(vector.lanes) for vector in VECTORS.values()}


class Code(NamedTuple):
    """Where instructions are written: Numba's context and llvmlite's builder."""

    context: Any
    builder: Any

    def parts(self, group: Operand) -> list[Any]:
        """The values in a tuple."""
        return list(cgutils.unpack_tuple(self.builder, group.value, len(group.of)))

    def cast(self, number: Operand, of: Any) -> Any:
        """Convert a number.

        Args:
            number: the number.
            of: the type wanted.

        Returns:
            Its value.
        """
        return self.context.cast(self.builder, number.value, number.of, of)

    def tuple_of(self, of: Any, values: Iterable[Any]) -> Any:
        """Make a tuple.

        Args:
            of: the tuple's type.
            values: those of its elements.

        Returns:
            Its value.
        """
        return self.context.make_tuple(self.builder, of, list(values))


class Operand(NamedTuple):
    """An argument of an instruction: its type, and LLVM's value."""

    of: Any
    value: Any


def instruction(result: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates the text of a function of compiled code that consists of LLVM instructions: Numba's
    ``intrinsic``.

    What is decorated takes a ``Code`` and an ``Operand`` for each argument; it writes the
    instructions, and returns the value of their result. Integers written in the code have literal
    types.

    Args:
        result: the result's type, or a function that returns it from the arguments' types.
    """

    def decorate(write: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(write)
        def typing(context: Any, *given: Any) -> Any:
            def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                return write(Code(context, builder), *map(Operand, given, values))

            return Signature(
                result if isinstance(result, types.Type) else result(*given), given, None
            ), emit

        return intrinsic(prefer_literal=True)(typing)

    return decorate


# ---- values -----------------------------------------------------------------------------------------------------------


def constant(vector: ir.VectorType, value: float) -> ir.Constant:
    """A vector with one value in every lane.

    Args:
        vector: LLVM's type.
        value: the number.

    Returns:
        The constant.
    """
    return ir.Constant(vector, [value] * vector.count)


def broadcast(builder: Any, scalar: Any, vector: ir.VectorType) -> Any:
    """A vector with one value in every lane.

    Args:
        builder: of llvmlite.
        scalar: the value, of the vector's element type.
        vector: LLVM's type.

    Returns:
        The vector.
    """
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    )


def call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call an LLVM intrinsic.

    Args:
        builder: of llvmlite.
        name: the intrinsic's full name.
        result: LLVM's type of its result.
        arguments: its arguments' values.

    Returns:
        The result's value.
    """
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def overloaded(name: str, vector: ir.VectorType) -> str:
    """Full name of an LLVM intrinsic: llvm.fma -> llvm.fma.v16f32.

    Args:
        name: without its type.
        vector: LLVM's type of its operands.

    Returns:
        The full name.
    """
    return f"{name}.v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"


def fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once.

    Args:
        builder: of llvmlite.
        a, b, c: vectors of one type.

    Returns:
        The vector.
    """
    return call(builder, overloaded("llvm.fma", a.type), a.type, a, b, c)


def _as_vector(code: Code, operand: Operand, vector: Vector) -> Any:
    """A vector, mask, float or integer as a vector."""
    if isinstance(operand.of, Vector):
        return operand.value
    if isinstance(operand.of, Mask):
        return code.builder.uitofp(operand.value, vector.llvm)
    return broadcast(code.builder, code.cast(operand, vector.dtype), vector.llvm)


def _common(a: types.Type, b: types.Type) -> Vector | None:
    """The vector type in which an operation on a and b is done, None where there is none."""
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Vector) and (other == one or isinstance(other, (Mask, types.Number))):
            return one
        if isinstance(one, Mask) and isinstance(other, types.Number):
            return next(vector for vector, mask in MASKS.items() if mask == one)
    return None


# ---- operators --------------------------------------------------------------------------------------------------------


def _operator(symbol: Any, emit: Any, gives_mask: bool = False) -> None:
    """Register a binary operator: on two vectors, on a vector and a number or mask, or on a mask
    and a number."""

    @type_callable(symbol)
    def typing(context: Any) -> Any:
        def typer(a: Any, b: Any) -> Any:
            a, b = types.unliteral(a), types.unliteral(b)
            vector = _common(a, b)
            return vector and Signature(MASKS[vector] if gives_mask else vector, (a, b), None)

        return typer

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector: Any = _common(*signature.args)
        code, (a, b) = Code(context, builder), map(Operand, signature.args, arguments)
        if symbol is operator.truediv and isinstance(b.of, types.Number):
            # A number rarely changes in a loop: one scalar division before it, and products in it.
            inverse = builder.fdiv(ir.Constant(vector.element, 1.0), code.cast(b, vector.dtype))
            return builder.fmul(a.value, broadcast(builder, inverse, vector.llvm), flags=CONTRACT)
        return emit(builder, _as_vector(code, a, vector), _as_vector(code, b, vector))

    for a, b in ((Vector, Vector), (Vector, Mask), (Vector, types.Number), (Mask, types.Number)):
        for pair in {(a, b), (b, a)}:
            lower_builtin(symbol, *pair)(lower)


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b, flags=CONTRACT))
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b, flags=CONTRACT))
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b, flags=CONTRACT))
_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b, flags=CONTRACT))
_operator(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), gives_mask=True)
_operator(operator.ge, lambda builder, a, b: builder.fcmp_ordered(">=", a, b), gives_mask=True)
_operator(operator.lt, lambda builder, a, b: builder.fcmp_ordered("<", a, b), gives_mask=True)
_operator(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b), gives_mask=True)


def _function(symbol: Any, emit: Any) -> None:
    """Register a function of one vector."""

    @type_callable(symbol)
    def typing(context: Any) -> Any:
        return lambda x: x if isinstance(x, Vector) else None

    @lower_builtin(symbol, Vector)
    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit(builder, arguments[0])


# 2^f for |f| <= 1/2 by a polynomial: minimax of degree 5 (error 9e-8) for float32, Taylor's of
# degree 13 for float64.
_EXP2_SINGLE = (1.0, 0.69314698, 0.24022242, 0.055507336, 0.009671513, 0.0013264728)
_EXP2_DOUBLE = tuple(math.log(2.0) ** k / math.factorial(k) for k in range(14))


def _exp(builder: Any, x: Any) -> Any:
    """exp(x) = 2^n 2^f with n an integer: the polynomial, and n added to the exponent bits.

    Relative error below 2e-7 + 1e-8 |x| for float32 and 3e-16 + 1e-17 |x| for float64; saturates
    where the result would leave the range of normal numbers; NaN stays NaN.
    """
    vector, single = x.type, isinstance(x.type.element, ir.FloatType)
    low, high = (-87.0, 88.0) if single else (-708.0, 709.0)
    integers = ir.VectorType(ir.IntType(32 if single else 64), vector.count)
    for symbol, bound in (("<", low), (">", high)):
        limit = constant(vector, bound)
        x = builder.select(builder.fcmp_ordered(symbol, x, limit), limit, x)
    log2_e = constant(vector, 1.0 / math.log(2.0))
    # Added to a number below 2^22 (2^51), this one leaves no room for a fraction: the sum's last
    # bits are the integer.
    magic = constant(vector, 1.5 * 2.0**23 if single else 1.5 * 2.0**52)
    shifted = fma(builder, x, log2_e, magic)
    whole = builder.fsub(shifted, magic)
    fraction = fma(builder, x, log2_e, builder.fneg(whole))
    if not single:  # the digits that the constant lacks
        fraction = fma(builder, x, constant(vector, 2.0355273740931033e-17), fraction)
    first, *others = reversed(_EXP2_SINGLE if single else _EXP2_DOUBLE)
    result = constant(vector, first)
    for coefficient in others:
        result = fma(builder, result, fraction, constant(vector, coefficient))
    shift = ir.Constant(integers, [23 if single else 52] * vector.count)
    exponent = builder.shl(builder.bitcast(shifted, integers), shift)
    return builder.bitcast(builder.add(builder.bitcast(result, integers), exponent), vector)


def _positive_part(builder: Any, x: Any) -> Any:
    zero = constant(x.type, 0.0)
    return builder.select(builder.fcmp_ordered("<", x, zero), zero, x)


def _unit_step(builder: Any, x: Any) -> Any:
    zero = constant(x.type, 0.0)
    return builder.select(builder.fcmp_ordered(">", x, zero), constant(x.type, 1.0), zero)


_function(operator.neg, lambda builder, x: builder.fneg(x))
_function(arithmetic.exp, _exp)
_function(
    arithmetic.absolute,
    lambda builder, x: call(builder, overloaded("llvm.fabs", x.type), x.type, x),
)
_function(arithmetic.positive_part, _positive_part)
_function(arithmetic.unit_step, _unit_step)


def _scalar(symbol: Any, implementation: Any) -> None:
    """Give one of these functions its meaning for plain numbers too: surrogates may call it on
    their parameters."""
    overload(symbol, strict=False)(lambda x: implementation if isinstance(x, types.Float) else None)


_scalar(arithmetic.exp, lambda x: math.exp(x))
_scalar(arithmetic.absolute, lambda x: abs(x))
_scalar(arithmetic.positive_part, lambda x: max(x, 0.0))
_scalar(arithmetic.unit_step, lambda x: 1.0 if x > 0.0 else 0.0)


@instruction(lambda like, value: like)
def as_vector(code: Code, like: Operand, value: Operand) -> Any:
    """Any value as a vector.

    Args:
        code: where instructions are written.
        like: a vector of the type wanted.
        value: a number, which goes to every lane; a mask, whose true lanes become 1; or a vector.

    Returns:
        The vector.
    """
    return _as_vector(code, value, like.of)


@instruction(lambda mask, a, b: a)
def select(code: Code, mask: Operand, a: Operand, b: Operand) -> Any:
    """Lanes of one vector or the other.

    Args:
        code: where instructions are written.
        mask: where ``a`` is taken.
        a, b: the vectors.

    Returns:
        The vector.
    """
    return code.builder.select(mask.value, a.value, b.value)


@instruction(lambda a, b: a)
def add_vectors(code: Code, a: Operand, b: Operand) -> Any:
    """Elementwise sum of two tuples of vectors.

    Args:
        code: where instructions are written.
        a, b: the tuples.

    Returns:
        The tuple of sums.
    """
    return code.tuple_of(a.of, map(code.builder.fadd, code.parts(a), code.parts(b)))
