#include "configuration.h"

/* Tries the network NAME on standard input, a table with a line of numbers per step. Its first line
 * may name the columns, which are then found by the names that are known from training; others,
 * such as one for time, are left out.
#if ALARM
 * A line of output for each step: the score, and after a comma 1 if it raises the alarm, else 0.
#elif VALUES
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
 * A line that holds something else ends the program with exit code 2 and a message that says which
 * line it is.
 *
#if DECISION && !VALUES
 *   --every           a line for every step, of the sequence so far
#endif
#if DECISION
 *   --scores          the readout's outputs instead, a line per step
#endif
#if SAMPLED && !CODED
 *   --raw             numbers are the inputs of steps as the library takes them; otherwise the
 *                     sensor's or training's, which are converted
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

#include <ctype.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

static model_model model;
static model_state first;
#if LEARNING
static model_parameters parameters;
#endif
#if DECISION && !VALUES
static int every;
static unsigned long steps_read; /* of the sequence */
#endif
#if DECISION
static int scores_only;
#endif
static int binary, trace;
#if CODED
static int raw = 1; /* inputs of steps are read, not samples of a signal */
#elif SAMPLED
static int raw;
#endif
static unsigned long line; /* of the input; of binary input, the step */

static void wrong(const char *what, const char *which, int count)
{
    if (binary)
        fprintf(stderr, "step %lu: %s\n", line, what);
    else
        fprintf(stderr, "line %lu: %s%s (expected: %d numbers)\n", line, what, which, count);
    exit(2);
}

/* 0 at the end of the input. */
static int read_raw(void *numbers, size_t size)
{
    const size_t found = fread(numbers, 1, size, stdin);

    line++;
    if (found > 0 && found < size)
        wrong("the input ends within it", "", 0);
    return found > 0;
}

/* ---- tables ---- */

static char text[4096 + 64 * (MODEL_INPUTS + MODEL_CHANNELS)], copied[sizeof text]; /* a line */
static char separator; /* between columns; a blank: any number of them */
static int columns; /* of a line; 0: none has been read */
static int column_of[MODEL_INPUTS + MODEL_CHANNELS]; /* where each number stands, from 0 */
#if NAMED
static const char *const names[MODEL_CHANNELS] = {CHANNEL_NAMES};
/* The spellings of each channel's unit, a line each. */
static const char *const units[MODEL_CHANNELS] = {CHANNEL_UNITS};
#endif

/* The next line that is neither empty nor a comment; 0 at the end of the input. */
static int next_line(int count)
{
    while (fgets(text, sizeof text, stdin)) {
        size_t length = strlen(text);
        line++;
        if ((!length || text[length - 1] != '\n') && !feof(stdin))
            wrong(length + 1 == sizeof text ? "it is too long" : "something is not text", "",
                count);
        if (line == 1 && !strncmp(text, "\xef\xbb\xbf", 3)) /* the mark of UTF-8 */
            memmove(text, text + 3, (length -= 3) + 1);
        while (length && strchr(" \r\n", text[length - 1]))
            text[--length] = 0;
        if (length && *text != '#')
            return 1;
    }
    return 0;
}

static char separator_of(const char *row)
{
    const char *one, *at;

    for (one = ";\t,"; *one; one++) {
        int quoted = 0;
        for (at = row; *at; at++) {
            if (*at == '"')
                quoted = !quoted;
            if (*at == *one && !quoted)
                return *one;
        }
    }
    return ' ';
}

/* The next column of a line, without blanks and quotes around it; 0 if there is none. Moves on. */
static char *next_column(char **rest)
{
    char *begin = *rest, *end;
    int quoted = 0;

    if (!begin)
        return 0;
    begin += strspn(begin, " ");
    for (end = begin; *end && (quoted || *end != separator); end++)
        if (*end == '"')
            quoted = !quoted;
    *rest = *end ? end + 1 : 0;
    while (end > begin && end[-1] == ' ')
        end--;
    if (end > begin + 1 && *begin == '"' && end[-1] == '"') {
        begin++;
        end--;
    }
    *end = 0;
    return begin;
}

/* Whether a column holds a number, perhaps with a decimal comma. */
static int is_number(char *column, double *value)
{
    char *comma = strchr(column, ','), *rest;

    if (comma)
        *comma = '.';
    *value = strtod(column, &rest);
    return *column && !*rest;
}

/* How many letters two texts begin with in common, whatever their case. */
static size_t in_common(const char *one, const char *other)
{
    size_t i;

    for (i = 0; one[i] && tolower((unsigned char)one[i]) == tolower((unsigned char)other[i]); i++)
        ;
    return i;
}

#if NAMED
/* Whether a title is that of a channel, alone or with the channel's unit: ax, ax (m/s2), ecg_mV. */
static int is_channel(const char *title, int channel)
{
    const size_t length = in_common(names[channel], title);
    const char *unit = title + length, *one;

    if (names[channel][length])
        return 0;
    if (!*unit)
        return 1;
    unit += strspn(unit, " _");
    if (unit == title + length && *unit != '(' && *unit != '[')
        return 0;
    unit += strspn(unit, "([ ");
    for (one = units[channel]; *one; one += strcspn(one, "\n") + 1) {
        const size_t same = in_common(one, unit);
        if (one[same] == '\n' && !unit[same + strspn(unit + same, ") ]")])
            return 1;
    }
    return 0;
}

#endif
/* Whether the first column is not a channel: it is time, or numbers the lines. */
static int is_time(const char *title)
{
    static const char *const words[] = {"time", "t", "timestamp", "elapsed", "date", "datetime",
        "clock", "epoch", "seconds", "millis", "milliseconds", "micros", "microseconds",
        "nanoseconds"};
    size_t i, length;

    for (i = 0; i < sizeof words / sizeof *words; i++) {
        length = in_common(words[i], title);
        if (!words[i][length] && !isalpha((unsigned char)title[length]))
            return 1;
    }
    return !*title;
}

/* Whether a line holds names, or as pandas calls columns without names 0, 1, 2. */
static int has_titles(int *numbered)
{
    char *column, *rest = copied;
    double value;
    int count = 0, words = 0;

    memcpy(copied, text, sizeof text);
    for (*numbered = 1; (column = next_column(&rest)); count++) {
        const int is = is_number(column, &value);
        words = words || (*column && !is);
        *numbered = *numbered && is && value == count;
    }
    return words || (*numbered && count > 2);
}

/* Finds the columns of count numbers by their titles, where these are known. */
static void read_titles(int count, int named)
{
    char *title, *rest = text;
    int c, leading = 0;

    for (c = 0; c < count; c++)
        column_of[c] = -1;
    for (; (title = next_column(&rest)); columns++) {
        if (!columns)
            leading = is_time(title);
        if (!named && columns >= leading && columns - leading < count)
            column_of[columns - leading] = columns;
#if NAMED
        for (c = 0; named && c < count; c++)
            if (is_channel(title, c)) {
                if (column_of[c] >= 0)
                    wrong("more than one column is ", names[c], count);
                column_of[c] = columns;
            }
#endif
    }
#if NAMED
    for (c = 0; named && c < count; c++)
        if (column_of[c] < 0) {
            const int unit = (int)strcspn(units[c], "\n");
            fprintf(stderr, "line %lu: there is no column %s%s%.*s%s\n", line, names[c],
                unit ? " (" : "", unit, units[c], unit ? ")" : "");
            exit(2);
        }
#endif
    if (!named && columns != leading + count)
        wrong(columns < leading + count ? "too few columns" : "too many columns", "", count);
}

/* The next line of numbers; the first may name its columns. 0 at the end of the input. */
static int read_line(double *numbers, int count, int named, int whole, double least,
        double greatest)
{
    char *column, *rest = text;
    int c, j, numbered;

    if (!next_line(count))
        return 0;
    if (!columns) {
        separator = separator_of(text);
        if (has_titles(&numbered)) {
            read_titles(count, named && !numbered);
            if (!next_line(count))
                return 0;
        } else {
            for (columns = count, c = 0; c < count; c++)
                column_of[c] = c;
        }
    }
    for (j = 0; (column = next_column(&rest)); j++) {
        double value;
        if (j == columns)
            wrong("too many numbers", "", count);
        for (c = j < count && column_of[j] == j ? j : 0; c < count && column_of[c] != j;)
            c++;
        if (c == count)
            continue;
        if (!*column)
            wrong("too few numbers: a column is empty", "", count);
        if (!is_number(column, &value) || !(value >= least && value <= greatest)
            || (whole && value != (double)(long long)value))
            wrong(whole ? "something is not an integer in the range of an input"
                        : "something is not a finite number", "", count);
        numbers[c] = value;
    }
    if (j < columns)
        wrong("too few numbers", "", count);
    return 1;
}

/* repeat READERS */
#if MULTIPLIED
#include "rounded.c"

/* What 1 in the unit of a channel is as a number of a sample. */
static const double counts[MODEL_CHANNELS] = {COUNTS};

#endif
static int READ(READ_TYPE *numbers)
{
    double values[READ_LENGTH] = {0};
    int i;

    if (binary)
        return read_raw(numbers, READ_LENGTH * sizeof *numbers);
    if (!read_line(values, READ_LENGTH, READ_NAMED, READ_INTEGERS, READ_LEAST, READ_GREATEST))
        return 0;
    for (i = 0; i < READ_LENGTH; i++)
#if MULTIPLIED
        numbers[i] = rounded((double)(float)values[i] * counts[i]);
#else
        numbers[i] = (READ_TYPE)values[i];
#endif
    return 1;
}

/* end READERS */
/* A line of numbers. */
static void show(const model_score *numbers, int count)
{
    int i;

    for (i = 0; i < count; i++)
#if INTEGER
        printf("%ld%c", (long)numbers[i], i + 1 < count ? ',' : '\n');
#else
        printf("%.9g%c", (double)numbers[i], i + 1 < count ? ',' : '\n');
#endif
}

#if VALUES
/* A line of output, written at once. */
static void say(void)
{
#if ALARM && INTEGER
    printf("%.10g,%d\n", (double)model.decision.score / MODEL_SCORE_ONE, (int)model.decision.alarm);
#elif ALARM
    printf("%.9g,%d\n", (double)model.decision.score, model.decision.alarm);
#elif SCALED && INTEGER
    int i, bits;

    for (i = 0; i < MODEL_NUM_CLASSES; i++) {
        double value = model.values[i];
        for (bits = MODEL_VALUE_BITS[i]; bits > 0; bits--)
            value /= 2;
        for (; bits < 0; bits++)
            value *= 2;
        printf("%.10g%c", value, i + 1 < MODEL_NUM_CLASSES ? ',' : '\n');
    }
#else
    show(model.values, MODEL_NUM_CLASSES);
#endif
    fflush(stdout);
}

#elif DECISION
/* A line of output, written at once. No name can break it. */
static void say(void)
{
    const char *at;

    printf("%lu\t", steps_read - 1);
    for (at = model_label(&model); *at; at++)
        putchar((unsigned char)*at < ' ' || *at == 127 ? '?' : *at);
    putchar('\n');
    fflush(stdout);
}

#endif
static void step(const model_input *input)
{
#if DECISION && PER_STEP && !VALUES
    const int before = model.label;
#endif

    model_answer(&model, input);
    if (binary) {
        fwrite(model.scores, sizeof model.scores, 1, stdout);
        if (trace)
            fwrite(&model.state, sizeof model.state, 1, stdout);
        return;
    }
#if VALUES
    if (!scores_only) {
        say();
        return;
    }
#elif DECISION
    if (!scores_only) {
        steps_read++;
#if PER_STEP
        if (every || model.label != before)
            say();
#else
        if (every)
            say();
#endif
        return;
    }
#endif
    show(model.scores, MODEL_OUTPUTS);
}

/* A new sequence. */
#if TOLD
static void begin(const SAMPLE *up, const SAMPLE *down)
#else
static void begin(void)
#endif
{
    model_begin(BEGIN_ARGUMENTS);
    model.state = first;
#if DECISION && !VALUES
    steps_read = 0;
#endif
}

#if SAMPLED
/* The steps that a sample makes ready. */
static void take(const SAMPLE *sample)
{
#if CODED
    model_encoder_push(&model.encoder, sample);
    while (model_encode(&model.encoder, model.input))
        step(model.input);
#elif CONVERTS
    if (model_take(&model, sample))
        step(model.input);
#else
    step(sample);
#endif
}

#endif
/* The end of a sequence. */
static void end(void)
{
#if CODED && ENDS
    if (!raw) {
        model_encoder_end(&model.encoder);
        while (model_encode(&model.encoder, model.input))
            step(model.input);
    }
#endif
#if DECISION && !PER_STEP && !VALUES
    if (steps_read && !every)
        say();
#endif
}

/* What is on standard input; begins again every so many steps or samples. */
#if TOLD
static void run(long steps, const SAMPLE *up, const SAMPLE *down)
#else
static void run(long steps)
#endif
{
    model_input input[MODEL_INPUTS];
#if SAMPLED
    SAMPLE sample[MODEL_CHANNELS] = {0};
#endif
    long left = 0; /* of the sequence; -1: it never ends */
    int begun = 0;

#if SAMPLED
    while (raw ? input_read(input) : signal_read(sample)) {
#else
    while (input_read(input)) {
#endif
        if (left == 0) {
            if (begun)
                end();
            begun = 1;
#if TOLD
            begin(up, down);
#else
            begin();
#endif
            left = steps > 0 ? steps : -1;
        }
#if SAMPLED
        if (raw)
            step(input);
        else
            take(sample);
#else
        step(input);
#endif
        if (left > 0)
            left--;
    }
    if (begun)
        end();
}

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
static int positive(const char *word, long *number)
{
    char *rest;

    *number = strtol(word, &rest, 10);
    return *number > 0 && !*rest;
}

int main(int argc, char **argv)
{
    long steps = 0;
    int i;
    const char *state_file = 0;
#if TOLD
    SAMPLE up[MODEL_CHANNELS] = {0}, down[MODEL_CHANNELS] = {0};
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
        else if (!strcmp(argv[i], "--steps") && i + 1 < argc
                 && positive(argv[i + 1], &steps))
            i++;
        else if (!strcmp(argv[i], "--state") && i + 1 < argc)
            state_file = argv[++i];
#if TOLD
        else if (!strcmp(argv[i], "--encode") && thresholds(argv + i + 1, argc - i - 1, up, down)) {
            raw = 0;
            i += MODEL_CHANNELS;
        }
#elif CODED
        else if (!strcmp(argv[i], "--encode"))
            raw = 0;
#elif SAMPLED
        else if (!strcmp(argv[i], "--raw"))
            raw = 1;
#endif
        else {
            fprintf(stderr,
                "%s: no such argument, or its value is missing or wrong (see model_main.c)\n",
                argv[i]);
            return 2;
        }
    }
#if SAMPLED && !CODED
    raw = raw || binary;
#endif
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
    run(steps, up, down);
#else
    run(steps);
#endif
#ifdef SRNN_COUNT
    putc('{', stderr);
/* repeat COUNTED */
    fprintf(stderr, "\"WHAT\": %lu, ", model_counts.WHAT);
/* end COUNTED */
    fprintf(stderr, "\"state_bytes\": %lu}\n", (unsigned long)sizeof first);
#endif
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "the output could not be written\n");
        return 2;
    }
    return 0;
}
