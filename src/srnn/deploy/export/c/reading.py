"""What NAME_main.c reads: lines of numbers, or raw ones, converted for an int8 library; anything else ends the program."""

from __future__ import annotations

from .arrays import rounding
from .plan import Plan

_CONVERTED = """\
/* A number as the library takes it: scaled, rounded (half to even) and clamped to its range. */
static int16_t converted(double number)
{{
    const double x = (double)(float)number * {scale};
{rounding}
"""


def takes_raw(plan: Plan) -> bool:
    """Whether numbers in text are scaled or converted before the network takes them."""
    return bool(plan.input_bits) or (plan.scale is not None and not plan.integer)


def readers(plan: Plan) -> str:
    """C that reads the input, and ends the program when it is not what it should be."""
    text, value, upper = "", "", plan.name.upper()
    if takes_raw(plan):
        value = "values[i]"
        if plan.scale is not None:  # in float32, as in training
            text = f"static const float mean[] = {upper}_MEAN, std[] = {upper}_STD;\n\n"
            value = "((float)values[i] - mean[i]) / std[i]"
        if plan.input_bits:
            text += converter(plan)
            value = f"converted((double)({value}))" if plan.scale is not None else f"converted({value})"
    return f"""\
static void wrong(const char *what, int count)
{{
    if (binary)
        fprintf(stderr, "step %lu: %s\\n", line, what);
    else
        fprintf(stderr, "line %lu: %s (expected: %d numbers, without column names or a time)\\n", line, what, count);
    exit(2);
}}

/* 0 at the end of the input. */
static int read_raw(void *numbers, size_t size)
{{
    const size_t found = fread(numbers, 1, size, stdin);

    if (found > 0 && found < size)
        wrong("the input ends within it", 0);
    line++;
    return found > 0;
}}

/* The next line of text that is not empty: count numbers with commas or blanks between them. 0 at the end of the input. */
static int read_line(double *numbers, int count, int whole, double least, double greatest)
{{
    char word[64], *rest;
    size_t length = 0;
    int i = 0;

    for (;;) {{
        const int c = getchar(), ended = c == '\\n' || c == EOF;
        if (!ended && c != ',' && c != ' ' && c != '\\t' && c != '\\r') {{
            if (length + 1 == sizeof word)
                wrong("a number is too long", count);
            word[length++] = (char)c;
            continue;
        }}
        if (length) {{
            double value;
            word[length] = 0;
            value = strtod(word, &rest);
            if (rest != word + length || !(value >= least && value <= greatest)
                || (whole && value != (double)(long long)value))
                wrong(whole ? "something is not an integer in the range of an input" : "something is not a finite number",
                    count);
            if (i == count)
                wrong("too many numbers", count);
            numbers[i++] = value;
            length = 0;
        }}
        if (ended && i && i < count)
            wrong("too few numbers", count);
        if (ended && (i || c == EOF)) {{
            line++;
            return i > 0;
        }}
        line += (unsigned long)ended;
    }}
}}

{text}{reader("input_read", f"{plan.name}_input", plan.input, f"{upper}_INPUTS", value)}"""


def converter(plan: Plan) -> str:
    """The C function that turns a number into an int8 library's input."""
    return _CONVERTED.format(scale=f"{2 ** (plan.input_bits or 0)}.0", rounding=rounding("double"))


def reader(function: str, ctype: str, base: str, count: str, converted: str = "") -> str:
    """``base``: the C type that ``ctype`` stands for. ``converted``: what a number in text (``values[i]``) becomes, unless raw
    ones are asked for."""
    floats = "-(double)FLT_MAX, (double)FLT_MAX"
    whole = base.removesuffix("_t").upper()
    bounds = f"0, {floats}" if base == "float" else f"1, {whole}_MIN, {whole}_MAX"
    asked, value = f"read_line(values, {count}, {bounds})", f"({ctype})values[i]"
    if converted:
        if base != "float":
            asked = f"(raw ? {asked}\n             : read_line(values, {count}, 0, {floats}))"
        value = f"raw ? {value} : {converted}"
    return f"""\
static int {function}({ctype} *numbers)
{{
    double values[{count}];
    int i;

    if (binary)
        return read_raw(numbers, {count} * sizeof *numbers);
    if (!{asked})
        return 0;
    for (i = 0; i < {count}; i++)
        numbers[i] = {value};
    return 1;
}}

"""
