#include "configuration.h"

/* Tries the network NAME on standard input, a line of MODEL_INPUTS numbers per step.
#if VALUES
 * A line of output for each step: the values as if the sequence ended there, with commas.
#elif DECISION && PER_STEP
 * A line of output wherever the class changes: that step and the class, with a tab between them;
 * steps count from 0.
#elif DECISION
 * A line of output at the end of each sequence: its last step and its class, with a tab between
 * them; steps count from 0.
#else
 * The readout's outputs go to standard output, a line per step.
#endif
 * Input that is not such a line ends the program with exit code 2 and a message that says which
 * line it is.
 *
#if DECISION && !VALUES
 *   --every           a line for every step, of the sequence so far
#endif
#if DECISION
 *   --scores          the readout's outputs instead, a line per step
#endif
#if RAW
 *   --raw             numbers are as the library takes them; otherwise the sensor's or training's,
 *                     which are converted
#endif
 *   --steps N         begin again every N steps (several signals of one length, one after another)
 *   --binary          input and scores are raw model_input and model_score, not text
 *   --trace           after the scores of a step, the raw state (with --binary)
 *   --state FILE      begin with this raw state
#if CROSSING && TOLD && DEVIATIONS_KNOWN
 *   --encode STD ...  the input is a signal of CHANNELS_COUNTED with standard deviations
 *                     (stated: STATED)
#elif CROSSING && TOLD
 *   --encode STD ...  the input is a signal of CHANNELS_COUNTED with standard deviations
#elif CROSSING
 *   --encode          the input is a signal, a line per sample
#elif SOUND
 *   --encode          the input is sound, a line per sample: integers of 16 bits
#endif
 */
#include "model.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

static model_state state, first;
#if LEARNING
static model_parameters parameters;
#endif
#if DECISION
static model_decision decision;
#endif
#if VALUES
static int scores_only;
#elif DECISION
static int every, scores_only, label = -1; /* of the sequence so far; -1: none */
static unsigned long steps_read; /* of the sequence */
#endif
#if RAW
static int binary, trace, raw;
#else
static int binary, trace;
#endif
static unsigned long line = 1; /* of the input; of binary input, the step */

static void wrong(const char *what, int count)
{
    if (binary)
        fprintf(stderr, "step %lu: %s\n", line, what);
    else
        fprintf(stderr, "line %lu: %s (expected: %d numbers, without column names or a time)\n",
            line, what, count);
    exit(2);
}

/* 0 at the end of the input. */
static int read_raw(void *numbers, size_t size)
{
    const size_t found = fread(numbers, 1, size, stdin);

    if (found > 0 && found < size)
        wrong("the input ends within it", 0);
    line++;
    return found > 0;
}

/* The next line of text that is not empty: count numbers with commas or blanks between them.
 * 0 at the end of the input. */
static int read_line(double *numbers, int count, int whole, double least, double greatest)
{
    char word[64], *rest;
    size_t length = 0;
    int i = 0;

    for (;;) {
        const int c = getchar(), ended = c == '\n' || c == EOF;
        if (!ended && c != ',' && c != ' ' && c != '\t' && c != '\r') {
            if (length + 1 == sizeof word)
                wrong("a number is too long", count);
            word[length++] = (char)c;
            continue;
        }
        if (length) {
            double value;
            word[length] = 0;
            value = strtod(word, &rest);
            if (rest != word + length || !(value >= least && value <= greatest)
                || (whole && value != (double)(long long)value))
                wrong(whole ? "something is not an integer in the range of an input"
                            : "something is not a finite number", count);
            if (i == count)
                wrong("too many numbers", count);
            numbers[i++] = value;
            length = 0;
        }
        if (ended && i && i < count)
            wrong("too few numbers", count);
        if (ended && (i || c == EOF)) {
            line++;
            return i > 0;
        }
        line += (unsigned long)ended;
    }
}

#if RAW && STANDARDISED
static const float mean[] = MODEL_MEAN, std[] = MODEL_STD;

#endif
#if FRACTIONAL
#include "converted.c"

#endif
/* repeat READERS */
static int READ(READ_TYPE *numbers)
{
    double values[READ_LENGTH];
    int i;

    if (binary)
        return read_raw(numbers, READ_LENGTH * sizeof *numbers);
#if CONVERTED && READ_INTEGERS
    if (!(raw ? read_line(values, READ_LENGTH, READ_INTEGERS, READ_LEAST, READ_GREATEST)
              : read_line(values, READ_LENGTH, 0, -(double)FLT_MAX, (double)FLT_MAX)))
        return 0;
#else
    if (!read_line(values, READ_LENGTH, READ_INTEGERS, READ_LEAST, READ_GREATEST))
        return 0;
#endif
    for (i = 0; i < READ_LENGTH; i++)
#if CONVERTED && FRACTIONAL && STANDARDISED
        numbers[i] = raw ? (READ_TYPE)values[i]
                         : converted((double)(((float)values[i] - mean[i]) / std[i]));
#elif CONVERTED && FRACTIONAL
        numbers[i] = raw ? (READ_TYPE)values[i] : converted(values[i]);
#elif CONVERTED
        numbers[i] = raw ? (READ_TYPE)values[i] : ((float)values[i] - mean[i]) / std[i];
#else
        numbers[i] = (READ_TYPE)values[i];
#endif
    return 1;
}

/* end READERS */
#if VALUES
/* A line of output, written at once. */
static void decide(const model_score *scores)
{
    model_score values[MODEL_NUM_CLASSES];
    int i;

    model_decide(&decision, scores, values);
    for (i = 0; i < MODEL_NUM_CLASSES; i++)
#if INTEGER
        printf("%ld%c", (long)values[i], i + 1 < MODEL_NUM_CLASSES ? ',' : '\n');
#else
        printf("%.9g%c", (double)values[i], i + 1 < MODEL_NUM_CLASSES ? ',' : '\n');
#endif
    fflush(stdout);
}

#elif DECISION
/* A line of output, written at once. No name can break it. */
static void say(void)
{
    const char *at;

    printf("%lu\t", steps_read - 1);
    for (at = MODEL_CLASSES[label]; *at; at++)
        putchar((unsigned char)*at < ' ' || *at == 127 ? '?' : *at);
    putchar('\n');
    fflush(stdout);
}

static void decide(const model_score *scores)
{
#if PER_STEP
    const int now = model_decide(&decision, scores), changed = now != label;

    label = now;
    steps_read++;
    if (every || changed)
        say();
#else
    label = model_decide(&decision, scores);
    steps_read++;
    if (every)
        say();
#endif
}

#endif
#if DECISION && !PER_STEP && !VALUES
/* The sequence's class, at its end. */
static void finish(void)
{
    if (label >= 0 && !every)
        say();
}

#endif
static void step(const model_input *input)
{
    model_score scores[MODEL_OUTPUTS];
    int i;

#if LEARNING
    model_step(&state, &parameters, 0, input, scores);
#else
    model_step(&state, input, scores);
#endif
    if (binary) {
        fwrite(scores, sizeof scores, 1, stdout);
        if (trace)
            fwrite(&state, sizeof state, 1, stdout);
#if DECISION
    } else if (!scores_only) {
        decide(scores);
#endif
    } else {
        for (i = 0; i < MODEL_OUTPUTS; i++)
#if INTEGER
            printf("%ld%c", (long)scores[i], i + 1 < MODEL_OUTPUTS ? ',' : '\n');
#else
            printf("%.9g%c", (double)scores[i], i + 1 < MODEL_OUTPUTS ? ',' : '\n');
#endif
    }
}

/* A new sequence. */
static void begin(void)
{
    state = first;
#if DECISION && !PER_STEP && !VALUES
    finish();
#endif
#if DECISION
    model_decision_init(&decision);
#endif
#if DECISION && !VALUES
    steps_read = 0;
    label = -1;
#endif
}

/* Steps on standard input. */
static void run_steps(long steps)
{
    model_input input[MODEL_INPUTS];
    long left = 0; /* of the sequence; -1: it never ends */

    while (input_read(input)) {
        if (left == 0) {
            begin();
            left = steps > 0 ? steps : -1;
        }
        step(input);
        if (left > 0)
            left--;
    }
}

#if CODED
static void ready(model_encoder *encoder)
{
    model_input input[MODEL_INPUTS];

    while (model_encode(encoder, input))
        step(input);
}

static void end(model_encoder *encoder)
{
#if ENDS
    model_encoder_end(encoder);
    ready(encoder);
#else
    (void)encoder;
#endif
}

/* A signal on standard input; begins again every so many samples. */
#if TOLD
static void run_signal(long steps, const SAMPLE *up, const SAMPLE *down)
#else
static void run_signal(long steps)
#endif
{
    static model_encoder encoder;
    SAMPLE signal[MODEL_CHANNELS];
    long left = 0; /* of the sequence; -1: it never ends */
    int begun = 0;

    while (signal_read(signal)) {
        if (left == 0) {
            if (begun)
                end(&encoder);
            begun = 1;
            begin();
#if TOLD
            model_encoder_init(&encoder, up, down);
#else
            model_encoder_init(&encoder);
#endif
            left = steps > 0 ? steps : -1;
        }
        model_encoder_push(&encoder, signal);
        ready(&encoder);
        if (left > 0)
            left--;
    }
    if (begun)
        end(&encoder);
}

#endif
#if TOLD && INTEGER
static int32_t rounded_up(double x)
{
    const int32_t whole = x < INT32_MAX ? (int32_t)x : INT32_MAX;

    return whole < x && whole < INT32_MAX ? whole + 1 : whole;
}

#endif
#if TOLD
/* Thresholds for the deviations after --encode; 0 if these are not positive numbers. */
static int thresholds(char **texts, int count, SAMPLE *up, SAMPLE *down)
{
    int c;

    for (c = 0; c < MODEL_CHANNELS; c++) {
        char *rest;
        const double std = c < count ? strtod(texts[c], &rest) : 0;
        if (!(std > 0 && std <= (double)FLT_MAX) || *rest)
            return 0;
#if INTEGER
        up[c] = rounded_up(UP_MULTIPLE * DENOMINATOR * std);
        down[c] = rounded_up(DOWN_MULTIPLE * DENOMINATOR * std);
#else
        up[c] = (float)std * UP_MULTIPLE;
        down[c] = (float)std * DOWN_MULTIPLE;
#endif
    }
    return 1;
}

#endif
/* Whether a text is a number above 0, and that number. */
static int positive(const char *text, long *number)
{
    char *rest;

    *number = strtol(text, &rest, 10);
    return *number > 0 && !*rest;
}

int main(int argc, char **argv)
{
    long steps = 0;
    int i;
    const char *state_file = 0;
#if TOLD
    SAMPLE up[MODEL_CHANNELS], down[MODEL_CHANNELS];
#endif
#if CODED
    int encode = 0;
#endif

    for (i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--binary"))
            binary = 1;
        else if (!strcmp(argv[i], "--trace"))
            trace = 1;
#if DECISION && !VALUES
        else if (!strcmp(argv[i], "--every"))
            every = 1;
#endif
#if DECISION
        else if (!strcmp(argv[i], "--scores"))
            scores_only = 1;
#endif
#if RAW
        else if (!strcmp(argv[i], "--raw"))
            raw = 1;
#endif
        else if (!strcmp(argv[i], "--steps") && i + 1 < argc
                 && positive(argv[i + 1], &steps))
            i++;
        else if (!strcmp(argv[i], "--state") && i + 1 < argc)
            state_file = argv[++i];
#if TOLD
        else if (!strcmp(argv[i], "--encode") && thresholds(argv + i + 1, argc - i - 1, up, down)) {
            encode = 1;
            i += MODEL_CHANNELS;
        }
#elif CODED
        else if (!strcmp(argv[i], "--encode"))
            encode = 1;
#endif
        else {
            fprintf(stderr,
                "%s: no such argument, or its value is missing or wrong (see model_main.c)\n",
                argv[i]);
            return 2;
        }
    }
#ifdef _WIN32
    if (binary) { /* or raw numbers that look like ends of lines would be changed */
        (void)_setmode(_fileno(stdin), _O_BINARY);
        (void)_setmode(_fileno(stdout), _O_BINARY);
    }
#endif
    model_init(&first);
#if LEARNING
    model_parameters_init(&parameters);
#endif
    if (state_file) {
        FILE *file = fopen(state_file, "rb");
        /* Any bytes are safe as a state; a file of another size belongs to another network. */
        const int whole = file && fread(&first, sizeof first, 1, file) == 1 && getc(file) == EOF
            && !ferror(file);
        if (file)
            fclose(file);
        if (!whole) {
            fprintf(stderr, "%s is not a state of NAME, which has %lu bytes\n", state_file,
                (unsigned long)sizeof first);
            return 2;
        }
    }
#if TOLD
    if (encode)
        run_signal(steps, up, down);
    else
        run_steps(steps);
#elif CODED
    if (encode)
        run_signal(steps);
    else
        run_steps(steps);
#else
    run_steps(steps);
#endif
#if DECISION && !PER_STEP && !VALUES
    finish();
#endif
#ifdef SRNN_COUNT
    putc('{', stderr);
/* repeat COUNTED */
    fprintf(stderr, "\"WHAT\": %lu, ", model_counts.WHAT);
/* end COUNTED */
    fprintf(stderr, "\"state_bytes\": %lu}\n", (unsigned long)sizeof state);
#endif
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "the output could not be written\n");
        return 2;
    }
    return 0;
}
