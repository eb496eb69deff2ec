"""NAME_main.c and the Makefile beside an exported network: a program that tries it on recorded inputs."""

from __future__ import annotations

from collections import defaultdict

from ....text import counted
from .arrays import number
from .encoder import CrossingPlan
from .plan import Plan
from .reading import reader, readers, takes_raw

_SCORES = "The readout's outputs go to standard output, a line per step."
_RAW = """\
 *   --raw             numbers are as the library takes them; otherwise the sensor's or training's, which are converted
"""
_ROUNDED_UP = """\
static int32_t rounded_up(double x)
{
    const int32_t whole = x < INT32_MAX ? (int32_t)x : INT32_MAX;

    return whole < x && whole < INT32_MAX ? whole + 1 : whole;
}

"""


def _option(name: str, variable: str) -> str:
    return f'        else if (!strcmp(argv[i], "--{name}"))\n            {variable} = 1;\n'


def makefile(plan: Plan) -> str:
    name, libraries = plan.name, " -lm" if plan.uses_math else ""
    return f"""\
# make                  the program {name}, which tries the network
# make {name}_count     the same, counting operations
# make {name}_checked   the same, with address and undefined-behaviour sanitizers
CC ?= cc
CFLAGS ?= -std=c99 -O2 -Wall -Wextra
# Whatever CFLAGS is: with this, float32 gives the same bits everywhere.
EXACT = -ffp-contract=off

{name}: {name}_main.c {name}.c {name}.h {name}_weights.h
\t$(CC) $(CFLAGS) $(EXACT) -o $@ {name}_main.c {name}.c{libraries}

{name}_count: {name}_main.c {name}.c {name}.h {name}_weights.h
\t$(CC) $(CFLAGS) $(EXACT) -DSRNN_COUNT -o $@ {name}_main.c {name}.c{libraries}

{name}_checked: {name}_main.c {name}.c {name}.h {name}_weights.h
\t$(CC) $(CFLAGS) $(EXACT) -g -fsanitize=address,undefined -fno-sanitize-recover=all -o $@ {name}_main.c {name}.c{libraries}

clean:
\trm -f {name} {name}_count {name}_checked

.PHONY: clean
"""


def main_c(plan: Plan) -> str:
    """A program that runs the network on what it reads, to try it, and for tests."""
    name, upper = plan.name, plan.name.upper()
    score, cast = ("%ld", "(long)") if plan.integer else ("%.9g", "(double)")
    encode, decide = _encoding(plan), _deciding(plan)
    raw = takes_raw(plan)
    declaration, initialisation, arguments = plan.learnt
    counted = ", ".join(rf"\"{what}\": %lu" for what in (*plan.counted, "state_bytes"))
    counts = ", ".join(f"{name}_counts.{what}" for what in plan.counted)
    return f"""\
/* Tries the network {name} on standard input, a line of {upper}_INPUTS numbers per step. {decide["about"] or _SCORES}
 * Input that is not such a line ends the program with exit code 2 and a message that says which line it is.
 *
{decide["usage"]}{_RAW if raw else ""}\
 *   --steps N         begin again every N steps (several signals of one length, one after the other)
 *   --binary          input and scores are raw {name}_input and {name}_score, not text
 *   --trace           after the scores of a step, the raw state (with --binary)
 *   --state FILE      begin with this raw state
{encode["usage"]} */
#include "{name}.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

static {name}_state state, first;
{declaration}\
{decide["variables"]}\
static int binary, trace{", raw" if raw else ""};
static unsigned long line = 1; /* of the input; of binary input, the step */

{readers(plan)}{encode["reader"]}{decide["functions"]}\
static void step(const {name}_input *input)
{{
    {name}_score scores[{upper}_OUTPUTS];
    int i;

    {name}_step(&state, {arguments}input, scores);
    if (binary) {{
        fwrite(scores, sizeof scores, 1, stdout);
        if (trace)
            fwrite(&state, sizeof state, 1, stdout);
    }} else {decide["choice"]}{{
        for (i = 0; i < {upper}_OUTPUTS; i++)
            printf("{score}%c", {cast}scores[i], i + 1 < {upper}_OUTPUTS ? ',' : '\\n');
    }}
}}

/* A new sequence. */
static void begin(void)
{{
    state = first;
{decide["begin"]}}}

/* Steps on standard input. */
static void run_steps(long steps)
{{
    {name}_input input[{upper}_INPUTS];
    long left = 0; /* of the sequence; -1: it never ends */

    while (input_read(input)) {{
        if (left == 0) {{
            begin();
            left = steps > 0 ? steps : -1;
        }}
        step(input);
        if (left > 0)
            left--;
    }}
}}

{encode["functions"]}\
int main(int argc, char **argv)
{{
    long steps = 0;
    int i;
    const char *state_file = 0;
    char *rest;
{encode["declarations"]}
    for (i = 1; i < argc; i++) {{
        if (!strcmp(argv[i], "--binary"))
            binary = 1;
        else if (!strcmp(argv[i], "--trace"))
            trace = 1;
{decide["options"]}{_option("raw", "raw") if raw else ""}\
        else if (!strcmp(argv[i], "--steps") && i + 1 < argc && (steps = strtol(argv[i + 1], &rest, 10)) > 0 && !*rest)
            i++;
        else if (!strcmp(argv[i], "--state") && i + 1 < argc)
            state_file = argv[++i];
{encode["options"]}\
        else {{
            fprintf(stderr, "%s: no such argument, or its value is missing or wrong (see {name}_main.c)\\n", argv[i]);
            return 2;
        }}
    }}
#ifdef _WIN32
    if (binary) {{ /* or raw numbers that look like ends of lines would be changed */
        (void)_setmode(_fileno(stdin), _O_BINARY);
        (void)_setmode(_fileno(stdout), _O_BINARY);
    }}
#endif
    {name}_init(&first);
{initialisation}\
    if (state_file) {{
        FILE *file = fopen(state_file, "rb");
        /* Any bytes are safe as a state; a file of another size belongs to another network. */
        const int whole = file && fread(&first, sizeof first, 1, file) == 1 && getc(file) == EOF && !ferror(file);
        if (file)
            fclose(file);
        if (!whole) {{
            fprintf(stderr, "%s is not a state of {name}, which has %lu bytes\\n", state_file, (unsigned long)sizeof first);
            return 2;
        }}
    }}
    {encode["run"]}run_steps(steps);
{decide["end"]}\
#ifdef SRNN_COUNT
    fprintf(stderr, "{{{counted}}}\\n",
            {counts}, (unsigned long)sizeof state);
#endif
    if (fflush(stdout) || ferror(stdout)) {{
        fprintf(stderr, "the output could not be written\\n");
        return 2;
    }}
    return 0;
}}
"""


def _deciding(plan: Plan) -> defaultdict[str, str]:
    """What NAME_main.c also has, part by part, when the library decides: it prints classes."""
    if plan.decision is None:
        return defaultdict(str)
    if plan.decision.how.value:
        return _valuing(plan)
    name, upper, per_step = plan.name, plan.name.upper(), plan.decision.rule.per_step
    when = (
        "wherever the class changes: that step and the class"
        if per_step
        else "at the end of each sequence: its last step and its class"
    )
    finish = """\
/* The sequence's class, at its end. */
static void finish(void)
{
    if (label >= 0 && !every)
        say();
}

"""
    decided = f"{name}_decide(&decision, scores)"
    taken = f"    label = {decided};\n    steps_read++;\n    if (every)\n"
    if per_step:
        taken = f"    const int now = {decided}, changed = now != label;\n\n"
        taken += "    label = now;\n    steps_read++;\n    if (every || changed)\n"
    return defaultdict(
        str,
        about=f"A line of output\n * {when}, with a tab between them; steps count from 0.",
        usage="""\
 *   --every           a line for every step, of the sequence so far
 *   --scores          the readout's outputs instead, a line per step
""",
        variables=f"""\
static {name}_decision decision;
static int every, scores_only, label = -1; /* of the sequence so far; -1: none */
static unsigned long steps_read; /* of the sequence */
""",
        choice="if (!scores_only) {\n        decide(scores);\n    } else ",
        begin=f"""\
{"" if per_step else "    finish();"}
    {name}_decision_init(&decision);
    steps_read = 0;
    label = -1;
""".lstrip("\n"),
        options=_option("every", "every") + _option("scores", "scores_only"),
        end="" if per_step else "    finish();\n",
        functions=f"""\
/* A line of output, written at once. No name can break it. */
static void say(void)
{{
    const char *at;

    printf("%lu\\t", steps_read - 1);
    for (at = {upper}_CLASSES[label]; *at; at++)
        putchar((unsigned char)*at < ' ' || *at == 127 ? '?' : *at);
    putchar('\\n');
    fflush(stdout);
}}

static void decide(const {name}_score *scores)
{{
{taken}        say();
}}

{"" if per_step else finish}""",
    )


def _valuing(plan: Plan) -> defaultdict[str, str]:
    """The same when the library gives values: it prints those of every step, as if the sequence ended there."""
    name, upper = plan.name, plan.name.upper()
    form, cast = "%.9g", "(double)"
    if plan.integer:
        form, cast = "%ld", "(long)"
    return defaultdict(
        str,
        about="A line of output\n * for each step: the values as if the sequence ended there, with commas.",
        usage=" *   --scores          the readout's outputs instead, a line per step\n",
        variables=f"static {name}_decision decision;\nstatic int scores_only;\n",
        choice="if (!scores_only) {\n        decide(scores);\n    } else ",
        begin=f"    {name}_decision_init(&decision);\n",
        options=_option("scores", "scores_only"),
        functions=f"""\
/* A line of output, written at once. */
static void decide(const {name}_score *scores)
{{
    {name}_score values[{upper}_NUM_CLASSES];
    int i;

    {name}_decide(&decision, scores, values);
    for (i = 0; i < {upper}_NUM_CLASSES; i++)
        printf("{form}%c", {cast}values[i], i + 1 < {upper}_NUM_CLASSES ? ',' : '\\n');
    fflush(stdout);
}}

""",
    )


def _encoding(plan: Plan) -> defaultdict[str, str]:
    """What NAME_main.c also has, part by part, when the library has an encoder: with --encode the input is a signal."""
    if plan.encoder is None:
        return defaultdict(str)
    name, upper, ctype = plan.name, plan.name.upper(), plan.encoder.sample
    end = f"    {name}_encoder_end(encoder);\n    ready(encoder);\n" if plan.encoder.ends else "    (void)encoder;\n"
    parameters = arguments = ""
    what = "sound, a line per sample: integers of 16 bits" if plan.encoder.floating else "a signal, a line per sample"
    own = defaultdict[str, str](
        str, usage=f" *   --encode          the input is {what}\n", options=_option("encode", "encode")
    )
    if isinstance(plan.encoder, CrossingPlan) and not plan.encoder.running:
        own |= _thresholds(plan.encoder)
        parameters, arguments = f", const {ctype} *up, const {ctype} *down", ", up, down"
    return own | {
        "reader": reader("signal_read", ctype, ctype, f"{upper}_CHANNELS"),
        "functions": f"""\
static void ready({name}_encoder *encoder)
{{
    {name}_input input[{upper}_INPUTS];

    while ({name}_encode(encoder, input))
        step(input);
}}

static void end({name}_encoder *encoder)
{{
{end}}}

/* A signal on standard input; begins again every so many samples. */
static void run_signal(long steps{parameters})
{{
    static {name}_encoder encoder;
    {ctype} signal[{upper}_CHANNELS];
    long left = 0; /* of the sequence; -1: it never ends */
    int begun = 0;

    while (signal_read(signal)) {{
        if (left == 0) {{
            if (begun)
                end(&encoder);
            begun = 1;
            begin();
            {name}_encoder_init(&encoder{arguments});
            left = steps > 0 ? steps : -1;
        }}
        {name}_encoder_push(&encoder, signal);
        ready(&encoder);
        if (left > 0)
            left--;
    }}
    if (begun)
        end(&encoder);
}}

{own["functions"]}""",
        "declarations": f"{own['declarations']}    int encode = 0;\n",
        "run": f"if (encode)\n        run_signal(steps{arguments});\n    else\n        ",
    }


def _thresholds(plan: CrossingPlan) -> dict[str, str]:
    """What it also has when the encoder is given the deviations of its channels."""
    encoder, upper, ctype = plan.encoder, plan.name.upper(), plan.sample
    channels = counted(plan.channels, "channel")
    told = "" if encoder.std is None else f" (stated: {' '.join(f'{value:g}' for value in encoder.std)})"
    up, down = (
        f"rounded_up({value!r} * {encoder.denominator} * std)"
        if plan.integer
        else f"(float)std * {number(value, 'float')}"
        for value in (encoder.crossing.up, encoder.crossing.down)
    )
    return {
        "usage": f""" *   --encode STD ...  the input is a signal of {channels} with standard deviations{told}
""",
        "functions": f"""\
{_ROUNDED_UP if plan.integer else ""}/* Thresholds for the deviations after --encode; 0 if these are not positive numbers. */
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

""",
        "options": f"""\
        else if (!strcmp(argv[i], "--encode") && thresholds(argv + i + 1, argc - i - 1, up, down)) {{
            encode = 1;
            i += {upper}_CHANNELS;
        }}
""",
        "declarations": f"    {ctype} up[{upper}_CHANNELS], down[{upper}_CHANNELS];\n",
    }
