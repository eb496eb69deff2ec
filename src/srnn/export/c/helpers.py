"""The parts of the C library that are the same for every network: sums of rows, fixed-point arithmetic, the encoder."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ..integer import IntegerNetwork

if TYPE_CHECKING:
    from .plan import Plan

_WIDTH = 118

ARITHMETIC = """\
/* Fixed-point arithmetic. Every result is held within int32; products are rounded half up. It relies on negative numbers
 * being shifted arithmetically, as every compiler in use does; here it is checked. */
typedef char srnn_shifts_are_arithmetic[((int64_t)-3 >> 1) == -2 ? 1 : -1];

static int32_t held(int64_t x)
{
    return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : (int32_t)x;
}

static inline int32_t add(int32_t a, int32_t b)
{
    return held((int64_t)a + b);
}

static inline int32_t subtract(int32_t a, int32_t b)
{
    return held((int64_t)a - b);
}

/* a * b / 2^shift */
static inline int32_t multiply(int32_t a, int32_t b, int shift)
{
    const int64_t product = (int64_t)a * b;
    return held(shift > 0 ? (product + ((int64_t)1 << (shift - 1))) >> shift : product);
}

/* a * 2^shift */
static inline int32_t rescale(int32_t a, int shift)
{
    return held(shift < 0 ? ((int64_t)a + ((int64_t)1 << (-shift - 1))) >> -shift : (int64_t)a * ((int64_t)1 << shift));
}
"""


def folded(text: str) -> str:
    """C text without very long lines: broken at blanks, the rest indented further, or after the star of a comment."""
    lines = []
    for line in text.split("\n"):
        if len(line) <= _WIDTH:
            lines.append(line)
            continue
        indent = " * " if line.startswith((" * ", "/* ")) else " " * (len(line) - len(line.lstrip()) + 8)
        lines += textwrap.wrap(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def used_arithmetic(text: str) -> str:
    """ARITHMETIC without the functions that ``text`` does not call: a compiler warns of these."""
    blocks = ARITHMETIC.split("\n\n")
    return "\n\n".join(block for block in blocks if "static inline" not in block or f"{_name(block)}(" in text)


def _name(block: str) -> str:
    return block.split("static inline int32_t ")[1].partition("(")[0]


def row_function(kind: str, ctype: str, sparse: bool, plan: Plan) -> str:
    """The C function that adds the rows of weights of all senders that are not zero. ``kind``: any, input or spike."""
    weight = "int8_t" if plan.integer else "float"
    name = "_".join(["add", *([] if kind == "any" else [kind]), *(["sparse"] if sparse else []), "rows"])
    zero, one = ("0", "1") if plan.integer else ("0.0f", "1.0f")
    cast = "(int32_t)" if plan.integer else ""  # where an int has 16 bits, the product needs more
    if sparse:
        start_type, target_type = plan.index_types
        parameters = f"const {start_type} *start, const {target_type} *to, const {weight} *weights"
        loop, target, row = "for (k = start[j]; k < start[j + 1]; k++)", "to[k]", "weights[k]"
        width, index, advance = "start[j + 1] - start[j]", f"{start_type} k;", ""
        declare = f"    int j;\n    {index}\n\n    for (j = 0; j < count; j++) {{\n"
    else:
        parameters = f"int size, const {weight} *weights"
        loop, target, row = "for (k = 0; k < size; k++)", "k", "weights[k]"
        width, advance = "size", ", weights += size"
        declare = f"    int j, k;\n\n    for (j = 0; j < count; j++{advance}) {{\n"
    body = [
        "        if (senders[j] == " + zero + ")",
        "            continue;",
        "        COUNT(events, 1);",
        f"        COUNT(synaptic_adds, {width});",
    ]
    if kind == "spike":
        body += [f"        {loop}", f"            sums[{target}] += {row};"]
    else:
        body += [
            f"        if (senders[j] == {one}) {{",
            f"            {loop}",
            f"                sums[{target}] += {row};",
            "        } else {",
            f"            COUNT(synaptic_multiplies, {width});",
            f"            {loop}",
            f"                sums[{target}] += {cast}senders[j] * {row};",
            "        }",
        ]
    comment = "/* sums += the weights of every sender that is not zero"
    comment += ". */" if kind == "spike" else ", times what it sends; a spike is 1. */"
    return (
        f"{comment}\n"
        f"static void {name}({plan.number} *sums, {parameters}, const {ctype} *senders, int count)\n{{\n"
        f"{declare}" + "\n".join(body) + "\n    }\n}\n"
    )


def encoder_source(plan: Plan) -> tuple[list[str], str]:
    """(lines for the header, C functions) of the level-crossing encoder."""
    encoder, name, upper = plan.network.encoder, plan.name, plan.name.upper()
    assert encoder is not None
    channels, ctype = plan.network.inputs // 2, "int32_t" if plan.integer else "float"
    up, down = f"{encoder.up:g}", f"{encoder.down:g}"
    rule = {
        "difference": "spikes where the signal rises or falls by a threshold from one sample to the next",
        "send_on_delta": "spikes where the signal has moved by a threshold since its last spike",
    }[encoder.rule]
    unit = (
        f" * signal: whole numbers of any unit, as a converter gives them; up and down: the thresholds in that unit. The "
        f"network was trained with {up} and {down}, in the unit of the training's signal."
        if plan.integer
        else f" * signal: in the unit of the training's signal, for which the thresholds are {up} and {down}."
    )
    lines = [
        "/* Level crossing, signal to input:",
        f" * {rule}.",
        f" * The first sample only begins. For each of {channels} channels 2 inputs: rises, falls.",
        f"{unit} */",
        f"typedef struct {{ {ctype} before[{channels}]; {ctype} up, down; uint8_t started; }} {name}_encoder;",
        f"void {name}_encoder_init({name}_encoder *encoder, {ctype} up, {ctype} down);",
        f"void {name}_encode({name}_encoder *encoder, const {ctype} signal[{channels}], {name}_input spikes[{upper}_INPUTS]);",
        "",
    ]
    # In integers the difference of two int32 needs 33 bits.
    change = "int64_t" if plan.integer else ctype
    cast = "(int64_t)" if plan.integer else ""
    keep = "encoder->before[c] = signal[c];"
    if encoder.rule == "send_on_delta":
        keep = f"if (!encoder->started || spikes[2 * c] || spikes[2 * c + 1])\n            {keep}"
    one, zero = ("1.0f", "0.0f") if not isinstance(plan.network, IntegerNetwork) else (
        str(2**plan.network.inputs_as.bits), "0"
    )  # fmt: skip
    source = f"""\
void {name}_encoder_init({name}_encoder *encoder, {ctype} up, {ctype} down)
{{
    int c;

    for (c = 0; c < {channels}; c++)
        encoder->before[c] = {zero};
    encoder->up = up;
    encoder->down = down;
    encoder->started = 0;
}}

void {name}_encode({name}_encoder *encoder, const {ctype} signal[{channels}], {name}_input spikes[{upper}_INPUTS])
{{
    int c;

    for (c = 0; c < {channels}; c++) {{
        const {change} change = encoder->started ? {cast}signal[c] - encoder->before[c] : {zero};
        spikes[2 * c] = change >= encoder->up ? {one} : {zero};
        spikes[2 * c + 1] = -change >= encoder->down ? {one} : {zero};
        {keep}
    }}
    encoder->started = 1;
}}
"""
    return lines, source
