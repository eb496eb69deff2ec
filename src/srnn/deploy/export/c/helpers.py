"""The parts of the C library that are the same for every network: sums of rows, fixed-point arithmetic."""

from __future__ import annotations

import re
import textwrap

from .arrays import Matrix, number
from .plan import Plan

_WIDTH = 118

ARITHMETIC = """\
/* Fixed-point arithmetic. Every result saturates in int32; products are rounded half up. It relies on arithmetic shifts
 * of negative numbers, as every compiler in use makes them; this line checks it. */
typedef char srnn_shifts_are_arithmetic[((int64_t)-3 >> 1) == -2 ? 1 : -1];

static inline int32_t saturated(int64_t x)
{
    return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : (int32_t)x;
}

static inline int32_t add(int32_t a, int32_t b)
{
    return b > 0 ? (a > INT32_MAX - b ? INT32_MAX : a + b) : (a < INT32_MIN - b ? INT32_MIN : a + b);
}

static inline int32_t subtract(int32_t a, int32_t b)
{
    return b < 0 ? (a > INT32_MAX + b ? INT32_MAX : a - b) : (a < INT32_MIN + b ? INT32_MIN : a - b);
}

/* a * b / 2^shift, where it fits; shift > 0 */
static inline int32_t scale(int32_t a, int32_t b, int shift)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << (shift - 1))) >> shift);
}

/* a * b / 2^shift */
static inline int32_t multiply(int32_t a, int32_t b, int shift)
{
    const int64_t product = (int64_t)a * b;
    return saturated(shift > 0 ? (product + ((int64_t)1 << (shift - 1))) >> shift : product);
}

/* a * 2^shift */
static inline int32_t rescale(int32_t a, int shift)
{
    return saturated(shift < 0 ? ((int64_t)a + ((int64_t)1 << (-shift - 1))) >> -shift : (int64_t)a * ((int64_t)1 << shift));
}

/* a / 2^shift, clamped to -max - 1 ... max: a state of fewer bits */
static inline int32_t narrow(int32_t a, int shift, int32_t max)
{
    const int32_t x = shift > 0 ? (int32_t)(((int64_t)a + ((int64_t)1 << (shift - 1))) >> shift) : a;
    return x > max ? max : x < -max - 1 ? -max - 1 : x;
}
"""


_BOUND = re.compile(r"(?<=\w) (?=\*?\w)")
"""The blank between a type and its name, and after a keyword."""


def folded(text: str) -> str:
    """C text without very long lines: they are broken at blanks, and the rest is indented further, or follows the star of a
    comment. A name stays with its type, and the end of a comment with its last word; a macro continues after a backslash."""
    lines, comment = [], False
    for line in text.split("\n"):
        comment = comment or line.startswith("/* ")
        if len(line) > _WIDTH:
            indent = " * " if comment else " " * (len(line) - len(line.lstrip()) + 8)
            line = line.replace(" */", "\0*/") if comment else _BOUND.sub("\0", line)
            end = " \\\n" if line.startswith("#") else "\n"
            wrapped = textwrap.wrap(
                line, _WIDTH - len(end) + 1, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
            lines.append(end.join(wrapped).replace("\0", " "))
        else:
            lines.append(line)
        comment = comment and not line.endswith("*/")
    return "\n".join(lines)


def used_arithmetic(text: str) -> str:
    """ARITHMETIC without the functions that ``text`` does not call: compilers warn about unused ones."""
    kept: list[str] = []
    for block in reversed(ARITHMETIC.split("\n\n")):
        name = re.search(r"static inline int32_t (\w+\()", block)
        if name is None or any(re.search(rf"\b{re.escape(name[1])}", using) for using in (text, *kept)):
            kept.insert(0, block)
    return "\n\n".join(kept)


def row_name(kind: str, sparse: bool) -> str:
    """The name of the function that ``row_function`` writes."""
    return "_".join(["add", *([] if kind == "any" else [kind]), *(["sparse"] if sparse else []), "rows"])


def row_function(kind: str, ctype: str, matrix: Matrix, plan: Plan) -> str:
    """The C function that adds the rows of weights, in the matrix's own packing, of all neurons whose output is not zero.

    kind: any, input, spike or value.
    """
    # The cast: where an int has 16 bits, a product needs more.
    weight, cast = ("int8_t", "(int32_t)") if plan.integer else ("float", "")
    if matrix.sparse:
        start_type, target_type = (constant.ctype for constant in matrix.constants[:2])
        parameters = f"const {start_type} *start, const {target_type} *to, const {weight} *weights"
        loop, target = "for (k = start[j]; k < start[j + 1]; k++)", "to[k]"
        width = "start[j + 1] - start[j]"
        declare = f"    int j;\n    {start_type} k;\n\n    for (j = 0; j < count; j++) {{"
    else:
        parameters = f"int size, const {weight} *weights"
        loop, target, width = "for (k = 0; k < size; k++)", "k", "size"
        declare = "    int j, k;\n\n    for (j = 0; j < count; j++, weights += size) {"
    ending = ", times that output; a spike is 1."
    body = f"""\
        if (presynaptic[j] == {number(1, plan.number)}) {{
            {loop}
                sums[{target}] += weights[k];
        }} else {{
            COUNT(synaptic_multiplies, {width});
            {loop}
                sums[{target}] += {cast}presynaptic[j] * weights[k];
        }}"""
    if kind == "spike":
        ending, body = ".", f"        {loop}\n            sums[{target}] += weights[k];"
    return f"""\
/* sums += the weights of every presynaptic neuron whose output is not zero{ending} */
static void {row_name(kind, matrix.sparse)}({plan.number} *sums, {parameters}, const {ctype} *presynaptic, int count)
{{
{declare}
        if (presynaptic[j] == {number(0, plan.number)})
            continue;
        COUNT(events, 1);
        COUNT(synaptic_adds, {width});
{body}
    }}
}}
"""
