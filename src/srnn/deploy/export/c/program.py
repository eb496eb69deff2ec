"""main.c and the Makefile beside an exported network: a program that tries it on recorded inputs."""

from __future__ import annotations

from .arrays import number
from .plan import Plan

_FLOATS = ("-(double)FLT_MAX", "(double)FLT_MAX")


def makefile(plan: Plan) -> str:
    name, libraries = plan.name, " -lm" if plan.uses_math else ""
    return f"""\
# make            the program {name}, which tries the network
# make count      the same, counting operations
# make checked    the same, with address and undefined-behaviour sanitizers
CC ?= cc
CFLAGS ?= -std=c99 -O2 -Wall -Wextra -Werror -ffp-contract=off

{name}: main.c {name}.c {name}.h {name}_weights.h
\t$(CC) $(CFLAGS) -o $@ main.c {name}.c{libraries}

count: main.c {name}.c {name}.h {name}_weights.h
\t$(CC) $(CFLAGS) -DSRNN_COUNT -o {name}_count main.c {name}.c{libraries}

checked: main.c {name}.c {name}.h {name}_weights.h
\t$(CC) $(CFLAGS) -g -fsanitize=address,undefined -fno-sanitize-recover=all -o {name}_checked main.c {name}.c{libraries}

clean:
\trm -f {name} {name}_count {name}_checked

.PHONY: count checked clean
"""


def main_c(plan: Plan) -> str:
    """A program that runs the network on what it reads, for trying it and for tests."""
    name, upper = plan.name, plan.name.upper()
    score, cast = ("%ld", "(long)") if plan.integer else ("%.9g", "(double)")
    encode = _Encoding(plan) if plan.encoder is not None else None
    counted = ", ".join(rf"\"{what}\": %lu" for what in (*plan.counted, "state_bytes"))
    counts = ", ".join(f"{name}_counts.{what}" for what in plan.counted)
    return f"""\
/* Tries the network {name} on standard input; scores go to standard output, a line a step. Input that is no line of numbers
 * for each step ends it with exit code 2 and says which line.
 *
 *   --steps N         begin anew every N steps (several signals of one length, one after the other)
 *   --binary          input and scores are raw {name}_input and {name}_score, not text
 *   --trace           after the scores of a step, the raw state (with --binary)
 *   --state FILE      begin with this raw state
{encode.usage if encode else ""} */
#include "{name}.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static {name}_state state, first;
static int binary, trace;
static unsigned long line = 1; /* of the input; of binary input, the step */

{_readers(plan)}{encode.reader if encode else ""}\
static void step(const {name}_input *input)
{{
    {name}_score scores[{upper}_OUTPUTS];
    int i;

    {name}_step(&state, input, scores);
    if (binary) {{
        fwrite(scores, sizeof scores, 1, stdout);
        if (trace)
            fwrite(&state, sizeof state, 1, stdout);
    }} else {{
        for (i = 0; i < {upper}_OUTPUTS; i++)
            printf("{score}%c", {cast}scores[i], i + 1 < {upper}_OUTPUTS ? ',' : '\\n');
    }}
}}

/* Steps on standard input. */
static void run_steps(long steps)
{{
    {name}_input input[{upper}_INPUTS];
    long t;

    for (t = 0; read_input(input); t++) {{
        if (t == 0 || (steps > 0 && t % steps == 0))
            state = first;
        step(input);
    }}
}}

{encode.functions if encode else ""}\
int main(int argc, char **argv)
{{
    long steps = 0;
    int i;
    const char *state_file = 0;
    char *rest;
{encode.declarations if encode else ""}
    for (i = 1; i < argc; i++) {{
        if (!strcmp(argv[i], "--binary"))
            binary = 1;
        else if (!strcmp(argv[i], "--trace"))
            trace = 1;
        else if (!strcmp(argv[i], "--steps") && i + 1 < argc && (steps = strtol(argv[i + 1], &rest, 10)) > 0 && !*rest)
            i++;
        else if (!strcmp(argv[i], "--state") && i + 1 < argc)
            state_file = argv[++i];
{encode.options if encode else ""}\
        else {{
            fprintf(stderr, "%s: no such argument, or its value is missing or wrong (see main.c)\\n", argv[i]);
            return 2;
        }}
    }}
    {name}_init(&first);
    if (state_file) {{
        FILE *file = fopen(state_file, "rb");
        /* Any bytes are safe as a state; a file of another size is of another network. */
        const int whole = file && fread(&first, sizeof first, 1, file) == 1 && getc(file) == EOF && !ferror(file);
        if (file)
            fclose(file);
        if (!whole) {{
            fprintf(stderr, "%s is not a state of {name}, which has %lu bytes\\n", state_file, (unsigned long)sizeof first);
            return 2;
        }}
    }}
    {encode.run if encode else ""}run_steps(steps);
#ifdef SRNN_COUNT
    fprintf(stderr, "{{{counted}}}\\n",
            {counts}, (unsigned long)sizeof state);
#endif
    if (fflush(stdout) || ferror(stdout)) {{
        fprintf(stderr, "the scores could not be written\\n");
        return 2;
    }}
    return 0;
}}
"""


def _bounds(plan: Plan) -> tuple[str, str]:
    """(least, greatest) of the network's input, in C."""
    if not plan.integer:
        return _FLOATS
    return ("INT8_MIN", "INT8_MAX") if plan.input == "int8_t" else ("INT16_MIN", "INT16_MAX")


class _Encoding:
    """What main.c has more when the library has an encoder: the input is a signal, with --encode."""

    def __init__(self, plan: Plan) -> None:
        assert plan.encoder is not None
        encoder, name, upper = plan.encoder.encoder, plan.name, plan.name.upper()
        channels, ctype = plan.encoder.channels, plan.encoder.sample
        given = "" if encoder.std is None else f" (told: {' '.join(f'{value:g}' for value in encoder.std)})"
        self.usage = f""" *   --encode STD ...  the input is a signal of {channels} channels with these standard deviations{given}
"""
        bounds = ("INT32_MIN", "INT32_MAX") if plan.integer else _FLOATS
        self.reader = _reader("read_signal", ctype, f"{upper}_CHANNELS", bounds)
        end = (
            f"    {name}_encoder_end(encoder);\n    ready(encoder);\n" if encoder.smoothing else "    (void)encoder;\n"
        )
        up, down = (
            f"(float)std * {number(value, 'float')}"
            if not plan.integer
            else f"rounded_up({value!r} * {encoder.denominator} * std)"
            for value in (encoder.crossing.up, encoder.crossing.down)
        )
        rounding = ""
        if plan.integer:
            rounding = """\
static int32_t rounded_up(double x)
{
    const int32_t whole = x < INT32_MAX ? (int32_t)x : INT32_MAX;

    return whole < x && whole < INT32_MAX ? whole + 1 : whole;
}

"""
        self.functions = f"""\
{rounding}static void ready({name}_encoder *encoder)
{{
    {name}_input input[{upper}_INPUTS];

    while ({name}_encode(encoder, input))
        step(input);
}}

static void end({name}_encoder *encoder)
{{
{end}}}

/* A signal on standard input; begins anew every so many samples. */
static void run_signal(long steps, const {ctype} *up, const {ctype} *down)
{{
    static {name}_encoder encoder;
    {ctype} signal[{upper}_CHANNELS];
    long t;

    for (t = 0; read_signal(signal); t++) {{
        if (t == 0 || (steps > 0 && t % steps == 0)) {{
            if (t > 0)
                end(&encoder);
            state = first;
            {name}_encoder_init(&encoder, up, down);
        }}
        {name}_encoder_push(&encoder, signal);
        ready(&encoder);
    }}
    if (t > 0)
        end(&encoder);
}}

/* Thresholds of the deviations that follow --encode; 0 if these are no positive numbers. */
static int thresholds(char **texts, int count, {ctype} *up, {ctype} *down)
{{
    int c;

    for (c = 0; c < {upper}_CHANNELS; c++) {{
        char *rest;
        const double std = c < count ? strtod(texts[c], &rest) : 0;
        if (!(std > 0 && std <= (double)FLT_MAX) || *rest)
            return 0;
        up[c] = {up};
        down[c] = {down};
    }}
    return 1;
}}

"""
        self.options = f"""\
        else if (!strcmp(argv[i], "--encode") && thresholds(argv + i + 1, argc - i - 1, up, down)) {{
            encode = 1;
            i += {upper}_CHANNELS;
        }}
"""
        self.declarations = f"    {ctype} up[{upper}_CHANNELS], down[{upper}_CHANNELS];\n    int encode = 0;\n"
        self.run = "if (encode)\n        run_signal(steps, up, down);\n    else\n        "


def _readers(plan: Plan) -> str:
    """What reads the input, and ends the program when that is not what it should be."""
    whole = " && value == (double)(long long)value" if plan.integer else ""
    kind = "a whole number in the range of an input" if plan.integer else "a finite number"
    return f"""\
static void wrong(const char *what)
{{
    fprintf(stderr, "%s %lu: %s\\n", binary ? "step" : "line", line, what);
    exit(2);
}}

/* 0 at the end of the input. */
static int read_raw(void *numbers, size_t size)
{{
    const size_t found = fread(numbers, 1, size, stdin);

    if (found > 0 && found < size)
        wrong("the input ends within it");
    line++;
    return found > 0;
}}

/* The next line of text that is not empty: so many numbers with commas or blanks between them. 0 at the end of the input. */
static int read_line(double *numbers, int count, double least, double greatest)
{{
    char word[64], *rest;
    size_t length = 0;
    int i = 0;

    for (;;) {{
        const int c = getchar(), ended = c == '\\n' || c == EOF;
        if (!ended && c != ',' && c != ' ' && c != '\\t' && c != '\\r') {{
            if (length + 1 == sizeof word)
                wrong("a number is too long");
            word[length++] = (char)c;
            continue;
        }}
        if (length) {{
            double value;
            word[length] = 0;
            value = strtod(word, &rest);
            if (rest != word + length || !(value >= least && value <= greatest{whole}))
                wrong("something is not {kind}");
            if (i == count)
                wrong("too many numbers for one step");
            numbers[i++] = value;
            length = 0;
        }}
        if (ended && i && i < count)
            wrong("too few numbers for one step");
        if (ended && (i || c == EOF)) {{
            line++;
            return i > 0;
        }}
        line += (unsigned long)ended;
    }}
}}

{_reader("read_input", f"{plan.name}_input", f"{plan.name.upper()}_INPUTS", _bounds(plan))}"""


def _reader(function: str, ctype: str, count: str, bounds: tuple[str, str]) -> str:
    return f"""\
static int {function}({ctype} *numbers)
{{
    double values[{count}];
    int i;

    if (binary)
        return read_raw(numbers, {count} * sizeof *numbers);
    if (!read_line(values, {count}, {bounds[0]}, {bounds[1]}))
        return 0;
    for (i = 0; i < {count}; i++)
        numbers[i] = ({ctype})values[i];
    return 1;
}}

"""
