/* Times the steps of an exported network: built by device.py with -DHEADER="NAME.h" -DPREFIX=NAME.
 *
 *   timing FILE STEPS PASSES   FILE: raw inputs of whole sequences of STEPS steps each
 *
 * Prints the nanoseconds a step of each pass over the file, a line a pass, then a sum of all scores, so that none is left out.
 */
#define _POSIX_C_SOURCE 199309L
#include HEADER

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define GLUE(a, b) a##_##b
#define JOIN(a, b) GLUE(a, b)
#define NET(part) JOIN(PREFIX, part)

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static NET(state) state;
    NET(score) scores[OUTPUTS];
    NET(input) *input;
    FILE *file;
    long steps, passes, total, pass, t, i;
    double sum = 0;

    if (argc != 4 || !(file = fopen(argv[1], "rb")))
        return 2;
    fseek(file, 0, SEEK_END);
    total = ftell(file) / (long)(INPUTS * sizeof *input);
    rewind(file);
    input = malloc((size_t)total * INPUTS * sizeof *input);
    if (!input || fread(input, INPUTS * sizeof *input, (size_t)total, file) != (size_t)total)
        return 2;
    fclose(file);
    steps = strtol(argv[2], 0, 10);
    passes = strtol(argv[3], 0, 10);
    for (pass = 0; pass < passes; pass++) {
        double began = now();
        for (t = 0; t < total; t++) {
            if (t % steps == 0)
                NET(init)(&state);
            NET(step)(&state, input + t * INPUTS, scores);
            for (i = 0; i < OUTPUTS; i++)
                sum += (double)scores[i];
        }
        printf("%.3f\n", (now() - began) / (double)total);
    }
    printf("%g\n", sum);
    free(input);
    return 0;
}
