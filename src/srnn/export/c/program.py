"""main.c and the Makefile beside an exported network: a program that tries it on recorded inputs."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Plan


def makefile(plan: Plan) -> str:
    name = plan.name
    return f"""\
# make            the program {name}, which tries the network
# make count      the same, counting operations
# make checked    the same, with address and undefined-behaviour sanitizers
CC ?= cc
CFLAGS ?= -std=c99 -O2 -Wall -Wextra -Werror -ffp-contract=off

{name}: main.c {name}.c {name}.h {name}_weights.h
\t$(CC) $(CFLAGS) -o $@ main.c {name}.c

count: main.c {name}.c {name}.h {name}_weights.h
\t$(CC) $(CFLAGS) -DSRNN_COUNT -o {name}_count main.c {name}.c

checked: main.c {name}.c {name}.h {name}_weights.h
\t$(CC) $(CFLAGS) -g -fsanitize=address,undefined -fno-sanitize-recover=all -o {name}_checked main.c {name}.c

clean:
\trm -f {name} {name}_count {name}_checked

.PHONY: count checked clean
"""


@dataclass(frozen=True)
class _EncoderParts:
    """What main.c has more when the library has an encoder; nothing when it has none."""

    usage: str = ""
    reader: str = ""
    declarations: str = ""
    options: str = ""
    begin: str = ""
    read: str = ""


def _encoder_parts(plan: Plan) -> _EncoderParts:
    encoder, name, channels = plan.network.encoder, plan.name, plan.network.inputs // 2
    if encoder is None:
        return _EncoderParts()
    signal, threshold, parse = "float", "float", "strtof(argv[{}], 0)"
    if plan.integer:
        signal, threshold, parse = "int32_t", "long", "strtol(argv[{}], 0, 10)"
    trained = f" (training: {encoder.up:g} {encoder.down:g})"
    return _EncoderParts(
        usage=f" *   --encode UP DOWN  the input is a signal; thresholds of its level crossing{trained}\n",
        reader=_reader("read_signal", signal, plan.integer),
        declarations=f"""\
    int encode = 0;
    {threshold} up = 0, down = 0;
    {name}_encoder encoder;
    {signal} samples[{channels}];
""",
        options=f"""\
        else if (!strcmp(argv[i], "--encode") && i + 2 < argc) {{
            encode = 1;
            up = {parse.format("++i")};
            down = {parse.format("++i")};
        }}
""",
        begin=f"\n            {name}_encoder_init(&encoder, ({signal})up, ({signal})down);",
        read=f"""\
        if (encode) {{
            if (!read_signal(samples, {channels}, binary))
                break;
            {name}_encode(&encoder, samples, input);
        }} else """,
    )


def main_c(plan: Plan) -> str:
    """A program that runs the network on what it reads, for trying it and for tests."""
    name, upper = plan.name, plan.name.upper()
    score, cast = ("%ld", "(long)") if plan.integer else ("%.9g", "(double)")
    more = _encoder_parts(plan)
    return f"""\
/* Tries the network {name} on standard input; scores go to standard output, a line a step.
 *
 *   --steps N         begin anew every N steps (several signals of one length, one after the other)
 *   --binary          input and scores are raw {name}_input and {name}_score, not text
 *   --trace           after the scores of a step, the raw state (with --binary)
 *   --state FILE      begin with this raw state
{more.usage} */
#include "{name}.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

{_reader("read_input", f"{name}_input", plan.integer)}{more.reader}\
int main(int argc, char **argv)
{{
    static {name}_state state, first;
    {name}_input input[{upper}_INPUTS];
    {name}_score scores[{upper}_OUTPUTS];
    long steps = 0, t;
    int binary = 0, trace = 0, i;
    const char *state_file = 0;
{more.declarations}
    for (i = 1; i < argc; i++) {{
        if (!strcmp(argv[i], "--binary"))
            binary = 1;
        else if (!strcmp(argv[i], "--trace"))
            trace = 1;
        else if (!strcmp(argv[i], "--steps") && i + 1 < argc)
            steps = strtol(argv[++i], 0, 10);
        else if (!strcmp(argv[i], "--state") && i + 1 < argc)
            state_file = argv[++i];
{more.options}\
        else {{
            fprintf(stderr, "unknown argument: %s (see main.c)\\n", argv[i]);
            return 2;
        }}
    }}
    {name}_init(&first);
    if (state_file) {{
        FILE *file = fopen(state_file, "rb");
        if (!file || fread(&first, sizeof first, 1, file) != 1) {{
            fprintf(stderr, "cannot read a state from %s\\n", state_file);
            return 2;
        }}
        fclose(file);
    }}
    for (t = 0;; t++) {{
        if (t == 0 || (steps > 0 && t % steps == 0)) {{
            state = first;{more.begin}
        }}
{more.read or "        "}if (!read_input(input, {upper}_INPUTS, binary))
            break;
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
#ifdef SRNN_COUNT
    fprintf(stderr, "{{\\"steps\\": %lu, \\"events\\": %lu, \\"synaptic_adds\\": %lu, \\"synaptic_multiplies\\": %lu, "
            "\\"neuron_adds\\": %lu, \\"neuron_multiplies\\": %lu, \\"state_bytes\\": %lu}}\\n",
            {name}_counts.steps, {name}_counts.events, {name}_counts.synaptic_adds, {name}_counts.synaptic_multiplies,
            {name}_counts.neuron_adds, {name}_counts.neuron_multiplies, (unsigned long)sizeof state);
#endif
    return 0;
}}
"""


def _reader(function: str, ctype: str, integer: bool) -> str:
    number_type, pattern = ("long", "%ld") if integer else ("float", "%f")
    return f"""\
/* The numbers of one step, raw, or as text between commas and white space; 0 at the end of the input. */
static int {function}({ctype} *numbers, int count, int binary)
{{
    int i;

    if (binary)
        return fread(numbers, sizeof *numbers, (size_t)count, stdin) == (size_t)count;
    for (i = 0; i < count; i++) {{
        {number_type} value;
        if (scanf("{pattern}", &value) != 1)
            return 0;
        numbers[i] = ({ctype})value;
        if (scanf("%*[, \\t\\r\\n]") == EOF && i + 1 < count)
            return 0;
    }}
    return 1;
}}

"""
