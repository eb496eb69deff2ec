#include "configuration.h"

#include "fourier.c"

#include "half.c"

#if SCALED_TO_INTEGERS
#include "rounded.c"
#endif

/* Beyond its ends the sound is mirrored. Hann's window, times 2^-16: a half for the transform, \
 * and 2^15 is full scale. */
static float weighted(const model_encoder *encoder, int place)
{
    int i = encoder->at + place;

    if (i < 0)
        i = -i;
    else if (i >= encoder->have)
        i = 2 * (encoder->have - 1) - i;
    return (float)encoder->sound[i] * (7.62939453125e-06f - 7.62939453125e-06f * cosines[place]);
}

/* Log energies of the bands of the frame that begins at sample encoder->at. */
static void analyse(model_encoder *encoder, float *frame)
{
    float energy[ENERGIES];
    float *const re = encoder->re, *const im = encoder->im;
    int i;

    for (i = 0; i < POINTS; i++) {
        re[i] = weighted(encoder, 2 * loaded[i]);
        im[i] = weighted(encoder, 2 * loaded[i] + 1);
    }
    transform(re, im);
    for (i = 0; i <= MELS; i++)
        energy[i] = 0.0f;
    for (i = 0; i < HEARD; i++) { /* the spectrum of even and odd samples, put together */
        const int k = FIRST_HEARD + i, m = LAST_HEARD - i;
        const float c = cosines[k];
        const float s = cosines[k + THREE_QUARTERS < WINDOW ? k + THREE_QUARTERS : k - QUARTER];
        const float odd_re = im[k] + im[m], odd_im = re[m] - re[k];
        const float x = re[k] + re[m] + (odd_re * c + odd_im * s);
        const float y = im[k] - im[m] + (odd_im * c - odd_re * s);
        const float power = x * x + y * y;
        energy[band[i]] += in_band[2 * i] * power;
        energy[band[i] + 1] += in_band[2 * i + 1] * power;
    }
    for (i = 0; i < MELS; i++)
        frame[i] = half(logf(energy[i] + ENERGY_FLOOR));
}

void model_encoder_init(model_encoder *encoder)
{
    encoder->at = -HALF_WINDOW;
    encoder->have = encoder->count = 0;
    encoder->seen = encoder->next = encoder->stop = encoder->ended = 0;
}

void model_encoder_push(model_encoder *encoder, const int16_t signal[MODEL_CHANNELS])
{
    if (encoder->have == WINDOW || encoder->ended)
        return;
    encoder->sound[encoder->have++] = signal[0];
    if (encoder->count < MINIMUM)
        encoder->count++;
}

void model_encoder_end(model_encoder *encoder)
{
    if (encoder->count && !encoder->ended)
        encoder->ended = 1;
}

/* Makes frames until a step is ready; 0 if none is. Short sound continues as silence until there \
 * are MINIMUM samples. */
static int ready(model_encoder *encoder)
{
    int i;

    while (encoder->next == encoder->stop) {
        const int end = encoder->at + WINDOW, needed = end > HALF_WINDOW ? end : NEEDED_AT_FIRST;

        for (; encoder->ended && encoder->count < MINIMUM && encoder->have < needed;
             encoder->count++)
            encoder->sound[encoder->have++] = 0;
        if (encoder->have < needed && (!encoder->ended || end > encoder->have + HALF_WINDOW)) {
            if (encoder->ended != 1)
                return 0;
            encoder->ended = 2; /* the last frames, which no more follow in their window */
            encoder->next = AFTER_MIDDLE;
            encoder->stop = FRAMES_OF_A_STEP;
            continue;
        }
        for (i = 0; i < OLDER_FRAMES; i++)
            encoder->frames[i] = encoder->frames[i + MELS];
        analyse(encoder, encoder->frames + OLDER_FRAMES);
        encoder->at = (int16_t)(encoder->at + HOP);
        if (encoder->at > 0 && encoder->have >= needed) {
            for (i = encoder->at; i < encoder->have; i++)
                encoder->sound[i - encoder->at] = encoder->sound[i];
            encoder->have = (uint16_t)(encoder->have - encoder->at);
            encoder->at = 0;
        }
        encoder->next = encoder->seen < FRAMES_OF_A_STEP ? 0 : MIDDLE;
        if (encoder->seen < FRAMES_OF_A_STEP)
            encoder->seen++;
        encoder->stop = encoder->seen < FRAMES_OF_A_STEP ? 0 : AFTER_MIDDLE;
    }
    return 1;
}

#if SCALED_TO_INTEGERS
/* Rounded half to even, and clamped to the range. */
#endif
static model_input scaled(float feature, int c)
{
#if TERNARY
    const float x = (feature - feature_mean[c]) / feature_std[c];

    return x > TERNARY_THRESHOLD ? SPIKE : x < -TERNARY_THRESHOLD ? -SPIKE : NO_SPIKE;
#elif SCALED_TO_INTEGERS
    return rounded(INPUT_UNIT * ((feature - feature_mean[c]) / feature_std[c]));
#else
    return (feature - feature_mean[c]) / feature_std[c];
#endif
}

int model_encode(model_encoder *encoder, model_input input[MODEL_INPUTS])
{
    const float *frame;
#if DERIVATIVES
    int c, d, k;
#else
    int c;
#endif

    if (!ready(encoder))
        return 0;
    frame = encoder->frames + encoder->next * MELS;
    for (c = 0; c < MELS; c++) {
        input[c] = scaled(frame[c], c);
#if DERIVATIVES
        for (d = 1; d <= DERIVATIVES; d++) {
            float sum = 0.0f;
            for (k = 0; k < FRAMES_OF_SLOPE; k++)
                sum += slopes[FRAMES_OF_SLOPE * (d - 1) + k] * encoder->frames[MELS * k + c];
            input[MELS * d + c] = scaled(sum, MELS * d + c);
        }
#endif
    }
    COUNT(encoder_adds, ENCODER_ADDS);
    COUNT(encoder_multiplies, ENCODER_MULTIPLIES);
    encoder->next++;
    return 1;
}
