"""Fixed-point expressions in C have the value of the same arithmetic on arrays, and what does not
saturate never overflows."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.deploy.c.resolve import resolved
from srnn.deploy.c.translate import FixedText
from srnn.nn.fixedpoint.fixed import INT32, INT32_MAX, INT32_MIN, FixedArray
from support.compiled import FLAGS, SANITIZED, compile_c, every_compiler, ran

LIMIT = 20
NUMBERS = {
    "state": (20, INT32), "spike": (0, (0, 1)), "factor": (30, (-(2**29), 2**30)), "threshold": (20, (5000, 7_000_000)),
    "one": (30, (2**30, 2**30)), "zero": (12, (0, 0)), "coarse": (3, (-128, 127)),
}  # fmt: skip
"""Their fractional bits, and between what they are."""


def number(name: str, bits: int, low: int, high: int, counts: Any = None) -> FixedText:
    return FixedText(name, bits, LIMIT, counts if counts is not None else Counter(), (low, high))


class Int32(int):
    """An int32 of C, whose arithmetic must not overflow."""

    def __new__(cls, value: int) -> Int32:
        assert INT32_MIN <= value <= INT32_MAX, f"{value} overflows"
        return super().__new__(cls, value)

    def __add__(self, other: int) -> Int32:
        return Int32(int(self) + int(other))

    def __sub__(self, other: int) -> Int32:
        return Int32(int(self) - int(other))

    def __mul__(self, other: int) -> Int32:
        return Int32(int(self) * int(other))

    def __rshift__(self, shift: int) -> Int32:
        assert 0 <= shift < 32
        return Int32(int(self) >> shift)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: int) -> Int32:
        return Int32(int(other) - int(self))


def _clamped(value: int) -> Int32:
    return Int32(max(INT32_MIN, min(INT32_MAX, value)))


def _scaled(a: int, b: int, shift: int) -> int:
    if shift < 1:
        return int(np.floor(int(a) * int(b) / 2**shift + 0.5))
    return (int(a) * int(b) + 2 ** (shift - 1)) >> shift


def _rescaled(a: int, shift: int) -> Int32:
    return _clamped(int(a) << shift if shift >= 0 else _scaled(a, 1, -shift))


FUNCTIONS = {
    "add": lambda a, b: _clamped(int(a) + int(b)),
    "subtract": lambda a, b: _clamped(int(a) - int(b)),
    "multiply": lambda a, b, shift: _clamped(_scaled(a, b, shift)),
    "scale": lambda a, b, shift: Int32(_scaled(a, b, shift)),
    "rescale": _rescaled,
}


def _built(rng: np.random.Generator, leaves: list[tuple[Any, Any]], depth: int) -> tuple[Any, Any]:
    """The same random expression of both kinds of numbers."""
    if depth == 0 or rng.random() < 0.1:
        return leaves[rng.integers(len(leaves))]
    (a, x), (b, y) = (_built(rng, leaves, depth - 1) for _ in range(2))
    match rng.integers(5):
        case 0:
            return a + b, x + y
        case 1:
            return a - b, x - y
        case 2:
            return a.to(LIMIT), x.to(LIMIT)
        case 3:
            return 1 - a, 1 - x
    return a * b, x * y


@pytest.mark.parametrize("seed", range(4))
def test_a_text_has_the_value_of_the_arithmetic_on_arrays(seed: int) -> None:
    rng, plain = np.random.default_rng(seed), 0
    for _ in range(150):
        values = {
            name: rng.choice([low, high, *(rng.integers(low, high + 1, 6))], 20).astype(np.int64)
            for name, (_, (low, high)) in NUMBERS.items()
        }
        leaves = [
            (number(name, bits, *bounds), FixedArray(values[name], bits, LIMIT, [0]))
            for name, (bits, bounds) in NUMBERS.items()
        ]
        text, expected = _built(rng, leaves, 4)
        assert (text.bits, text.limit) == (expected.bits, LIMIT)
        results = np.broadcast_to(expected.values, 20)
        for i in range(20):
            names = {name: Int32(int(column[i])) for name, column in values.items()}
            assert int(eval(text.text, FUNCTIONS | names)) == results[i], text.text
        assert text.bounds[0] <= results.min() and results.max() <= text.bounds[1]
        plain += not re.search(r"\b(add|subtract|multiply|rescale)\(", text.text)
    assert 10 < plain < 140


def test_what_is_known_is_not_computed() -> None:
    counts: Counter[str] = Counter()
    state, spike, factor, one, zero = (
        number(name, NUMBERS[name][0], *NUMBERS[name][1], counts)
        for name in ("state", "spike", "factor", "one", "zero")
    )
    assert (state * one).text == (one * state).text == "state"
    assert (zero * state).text == "0" and (1 - one).text == "0"
    assert not counts
    assert (factor * state).text == "scale(factor, state, 30)"
    assert (state * (1 - spike)).text == "state * (1 - spike)"
    assert (state + state).text == "add(state, state)"
    assert counts == {"multiplies": 2, "adds": 2}
    least = number("least", 20, INT32_MIN, INT32_MIN)
    assert (least + least).text == "add(least, least)"  # C has no number of type int for it
    nearly_one = number("nearly_one", 30, 2**30, 2**30 + 1)
    assert (state * nearly_one).text == "multiply(state, nearly_one, 30)"
    sign = number("sign", 0, -1, 0)
    assert sign.to(30).text == f"sign * {2**30}"
    assert sign.to(31).text == "rescale(sign, 31)"  # 2**31 is none either


def test_a_product_fits_before_it_is_rounded_and_with_what_rounds_it() -> None:
    assert -65537 * 32768 < INT32_MIN == -65537 * 32768 + 2**15
    assert 65535 * 32768 <= INT32_MAX < 65535 * 32768 + 2**15
    for bounds in ((-65537, 0), (0, 65535)):
        a, b = (
            FixedText(name, 16, 16, Counter(), one)
            for name, one in (("a", bounds), ("b", (32768, 32768)))
        )
        assert (a * b).text == "scale(a, b, 16)"


def test_a_number_fits_with_what_rounds_it() -> None:
    for largest, text in (
        (INT32_MAX - 512, "(a + 512) >> 10"),
        (INT32_MAX - 511, "rescale(a, -10)"),
    ):
        assert number("a", 30, INT32_MIN, largest).to(20).text == text
    assert number("a", 30, -512, 1536).to(20).bounds == (0, 2)  # -.5 and 1.5, rounded half up


CALLS = """\
#include <stdint.h>
#include <stdio.h>

%s
int main(void)
{
    int32_t n[3];

    while (fread(n, sizeof n, 1, stdin) == 1) {
        const int left = n[2] > 32 ? 32 : n[2];
        const int32_t results[7] = {
            add(n[0], n[1]), subtract(n[0], n[1]), multiply(n[0], n[1], n[2]), n[2] < 32 ? 0 : scale(n[0], n[1], n[2]),
            rescale(n[0], left), rescale(n[0], -n[2]), narrow(n[0], n[2], n[2] %% 2 ? INT8_MAX : INT16_MAX)
        };
        fwrite(results, sizeof results, 1, stdout);
    }
    return 0;
}
"""


@every_compiler
def test_the_functions_of_c_round_and_saturate(compiler: str, tmp_path: Path) -> None:
    """Against integers of any size."""
    ends = [INT32_MIN, INT32_MIN + 1, INT32_MIN // 2, -32769, -129, -3, -1, 0, 1, 2, 127, 32767]
    ends += [INT32_MAX // 2, INT32_MAX]
    asked = [*itertools.product(ends, ends, (0, 1, 2, 3, 8, 16, 31, 32, 40, 62))]
    (tmp_path / "calls.c").write_text(CALLS % resolved("fixed_point.c", "", {}))
    program = tmp_path / "calls"
    compile_c([compiler, *FLAGS, *SANITIZED], [tmp_path / "calls.c"], program)
    told = ran(program, given=np.array(asked, np.int32).tobytes())
    results = np.frombuffer(told, np.int32).reshape(-1, 7).tolist()

    def rounded(value: int, shift: int) -> int:
        return (2 * value + 2**shift) // 2 ** (shift + 1)  # half up

    for (a, b, shift), found in zip(asked, results, strict=True):
        most = 127 if shift % 2 else 32767
        product, right = rounded(a * b, shift), rounded(a, shift)
        assert found == [
            _clamped(a + b), _clamped(a - b), _clamped(product), 0 if shift < 32 else product,
            _clamped(a * 2 ** min(shift, 32)), _clamped(right), max(-most - 1, min(most, right)),
        ], (a, b, shift)  # fmt: skip


INT16 = {"ROUNDED": "int16_t", "ROUNDED_LEAST": "INT16_MIN", "ROUNDED_MOST": "INT16_MAX"}
ROUNDED = f"""\
#include <stdint.h>
#include <stdio.h>

{resolved("rounded.c", "", {"REAL": "float", "HALF": "0.5f", **INT16}).replace("rounded", "of_float")}
{resolved("rounded.c", "", {"REAL": "double", "HALF": "0.5", **INT16}).replace("rounded", "of_double")}
int main(void)
{{
    double x;

    while (fread(&x, sizeof x, 1, stdin) == 1) {{
        const int16_t results[2] = {{of_float((float)x), of_double(x)}};
        fwrite(results, sizeof results, 1, stdout);
    }}
    return 0;
}}
"""


@every_compiler
def test_a_number_is_rounded_half_to_even_and_held_in_int16(compiler: str, tmp_path: Path) -> None:
    (tmp_path / "rounded.c").write_text(ROUNDED)
    program = tmp_path / "rounded"
    compile_c([compiler, *FLAGS, *SANITIZED], [tmp_path / "rounded.c"], program)
    near = np.arange(-3, 3.25, 0.25)
    x = np.concatenate([place + near for place in (-(2**31), -(2**15), -1, 0, 1, 2**15, 2**31)])
    below = np.nextafter(x.astype(np.float32), np.float32(-np.inf))
    x = np.concatenate([x, np.nextafter(x, np.inf), below, [-np.inf, -1e30, 1e30, np.inf]])
    found = np.frombuffer(ran(program, given=x.tobytes()), np.int16).reshape(-1, 2)
    for column, kind in zip(found.T, (np.float32, np.float64), strict=True):
        expected = np.clip(np.rint(x.astype(kind)), -(2**15), 2**15 - 1)
        np.testing.assert_array_equal(column, expected)
