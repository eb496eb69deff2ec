#include "configuration.h"

#if TOLD
void model_encoder_init(model_encoder *encoder, const SAMPLE up[MODEL_CHANNELS],
        const SAMPLE down[MODEL_CHANNELS])
#else
void model_encoder_init(model_encoder *encoder)
#endif
{
    int c;

    for (c = 0; c < CHANNELS; c++) {
        encoder->before[c] = SAMPLE_ZERO;
#if RUNNING
        encoder->level[c] = SAMPLE_ZERO;
        encoder->total[c] = SAMPLE_ZERO;
#else
        encoder->up[c] = up[c];
        encoder->down[c] = down[c];
#endif
    }
#if RUNNING
    encoder->span = SAMPLE_ZERO;
#endif
    encoder->seen = encoder->next = encoder->stop = encoder->started = 0;
}

#if SMOOTHED
/* The window has the newest samples; steps are ready for its places from next up to, but not \
 * including, stop. */
void model_encoder_push(model_encoder *encoder, const SAMPLE signal[MODEL_CHANNELS])
{
    int c, k;

    for (c = 0; c < CHANNELS; c++) {
        for (k = 1; k < WINDOW; k++)
            encoder->last[k - 1][c] = encoder->last[k][c];
#if INTEGER
        encoder->last[WINDOW_END][c] = signal[c] > LARGEST_SAMPLE ? LARGEST_SAMPLE
            : signal[c] < -LARGEST_SAMPLE ? -LARGEST_SAMPLE : signal[c];
#else
        encoder->last[WINDOW_END][c] = signal[c];
#endif
    }
    encoder->next = encoder->seen < WINDOW ? 0 : LATE;
    if (encoder->seen < WINDOW)
        encoder->seen++;
    encoder->stop = encoder->seen < WINDOW ? 0 : READY_AT_FIRST;
}

void model_encoder_end(model_encoder *encoder)
{
    if (encoder->seen < WINDOW && encoder->stop < WINDOW)
        encoder->next = (uint8_t)(WINDOW - encoder->seen);
    encoder->stop = WINDOW;
}

/* A signal that ended before the window was full is not smoothed. */
#else
void model_encoder_push(model_encoder *encoder, const SAMPLE signal[MODEL_CHANNELS])
{
    int c;

    for (c = 0; c < CHANNELS; c++)
        encoder->last[0][c] = signal[c];
    encoder->next = 0;
    encoder->stop = 1;
}

#endif
int model_encode(model_encoder *encoder, model_input spikes[MODEL_INPUTS])
{
#if RUNNING
    const int full = encoder->span >= HORIZON;
#endif
#if SMOOTHED
    const SMOOTHING_TYPE *row = smoothing + WINDOW * encoder->next;
    int c, k;
#else
    int c;
#endif

    if (encoder->next == encoder->stop)
        return 0;
    for (c = 0; c < CHANNELS; c++) {
#if !SMOOTHED
        const SAMPLE value = encoder->last[0][c];
#elif INTEGER
        SAMPLE value = SAMPLE_ZERO;
        if (encoder->seen < WINDOW)
            value = encoder->last[encoder->next][c] * DENOMINATOR;
        else
            for (k = 0; k < WINDOW; k++)
                value += (int32_t)row[k] * encoder->last[k][c];
#else
        SAMPLE value = SAMPLE_ZERO;
        if (encoder->seen < WINDOW)
            value = encoder->last[encoder->next][c];
        else
            for (k = 0; k < WINDOW; k++)
                value += row[k] * encoder->last[k][c];
#endif
#if INTEGER
        const WIDE change = encoder->started ? (int64_t)value - encoder->before[c] : 0;
#else
        const WIDE change = encoder->started ? value - encoder->before[c] : 0.0f;
#endif
#if RUNNING && INTEGER
        const WIDE move = UNIT * ((int64_t)value - encoder->level[c]) * encoder->span;
        if (full)
            encoder->total[c] -= (encoder->total[c] + HALF_HORIZON) / HORIZON;
#elif RUNNING
        const WIDE move = (value - encoder->level[c]) * encoder->span;
        if (full)
            encoder->total[c] -= encoder->total[c] / HORIZON;
#endif
#if RUNNING
        encoder->total[c] += change < SAMPLE_ZERO ? -change : change;
        encoder->before[c] = value;
        spikes[2 * c] = move > UP * encoder->total[c] ? SPIKE : NO_SPIKE;
        spikes[2 * c + 1] = -move > DOWN * encoder->total[c] ? SPIKE : NO_SPIKE;
#else
        spikes[2 * c] = change >= encoder->up[c] ? SPIKE : NO_SPIKE;
        spikes[2 * c + 1] = -change >= encoder->down[c] ? SPIKE : NO_SPIKE;
#endif
#if ON_DELTA
        if (!encoder->started || spikes[2 * c] != NO_SPIKE || spikes[2 * c + 1] != NO_SPIKE)
            encoder->KEPT_VALUE[c] = value;
#else
        encoder->KEPT_VALUE[c] = value;
#endif
    }
#if RUNNING
    if (!full)
        encoder->span += 1;
#endif
    COUNT(encoder_adds, ENCODER_ADDS);
    COUNT(encoder_multiplies, ENCODER_MULTIPLIES);
    encoder->next++;
    encoder->started = 1;
    return 1;
}
