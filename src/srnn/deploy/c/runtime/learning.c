#include "configuration.h"

void model_parameters_init(model_parameters *parameters)
{
/* repeat LEARNING_LAYERS */
/* repeat TENSORS */
    memcpy(parameters->LAYER + OFFSET, SHIPPED, sizeof SHIPPED);
/* end TENSORS */
/* end LEARNING_LAYERS */
}

void model_traces_init(model_traces *traces)
{
    memset(traces, 0, sizeof *traces);
}

static void remember(model_traces *traces, const model_score *scores)
{
#if KEPT_DIFFERS
    int h, i;
#else
    int i;
#endif
#if HIDDEN
    float kept = 0.0f;
#endif

#if KEPT_DIFFERS
    for (h = 0; h < OUTPUTS; h++)
        kept += KEPT;
    kept /= OUTPUTS_FLOAT;
#elif HIDDEN
    kept = KEPT;
#endif
/* repeat LEARNING_LAYERS */
#if FILTERED
    for (i = 0; i < LEARNT; i++)
        traces->OUTPUT_TRACE[i] = kept * traces->OUTPUT_TRACE[i] + traces->LAST_ROW[i];
#endif
/* end LEARNING_LAYERS */
#if SUMMED
    if (traces->position <= LOSS_START) { /* stands alone */
/* repeat LEARNING_LAYERS */
        for (i = 0; i < LEARNT; i++)
            traces->SUM[i] = traces->OUTPUT_TRACE[i];
/* end LEARNING_LAYERS */
        for (i = 0; i < OUTPUTS; i++)
            traces->scores[i] = scores[i];
        traces->learnt = 1;
    } else {
/* repeat LEARNING_LAYERS */
        for (i = 0; i < LEARNT; i++)
            traces->SUM[i] += traces->OUTPUT_TRACE[i];
/* end LEARNING_LAYERS */
        for (i = 0; i < OUTPUTS; i++)
            traces->scores[i] += scores[i];
        traces->learnt += traces->learnt < UINT32_MAX;
    }
#else
    for (i = 0; i < OUTPUTS; i++)
        traces->scores[i] = scores[i];
#endif
    if (traces->position < UINT32_MAX)
        traces->position++;
}

void model_learn(const model_parameters *parameters, model_traces *traces, int label)
{
#if HIDDEN
    float signal[HIDDEN_SIZE];
#endif
    float error[OUTPUTS], most = -FLT_MAX, total = 0.0f;
#if MEAN
    const float count = traces->learnt > 0 ? (float)traces->learnt : 1.0f;
#endif
#if HIDDEN
    int c, h, j;

#else
    int c, j;

    (void)parameters;
#endif
#if SUMMED
    if (label < 0 || label >= OUTPUTS || traces->learnt == 0 || traces->told)
#elif STARTS_LATE
    if (label < 0 || label >= OUTPUTS || traces->position <= LOSS_START)
#else
    if (label < 0 || label >= OUTPUTS || traces->position == 0)
#endif
        return;
#if MEAN
    for (c = 0; c < OUTPUTS; c++)
        most = traces->scores[c] / count > most ? traces->scores[c] / count : most;
    for (c = 0; c < OUTPUTS; c++) {
        error[c] = expf(traces->scores[c] / count - most);
        total += error[c];
    }
    for (c = 0; c < OUTPUTS; c++)
        error[c] = (error[c] / total - (c == label ? TARGET : OTHER_TARGET)) / count;
#else
    for (c = 0; c < OUTPUTS; c++)
        most = traces->scores[c] > most ? traces->scores[c] : most;
    for (c = 0; c < OUTPUTS; c++) {
        error[c] = expf(traces->scores[c] - most);
        total += error[c];
    }
    for (c = 0; c < OUTPUTS; c++)
        error[c] = error[c] / total - (c == label ? TARGET : OTHER_TARGET);
#endif
#if HIDDEN
    for (h = 0; h < HIDDEN_SIZE; h++) {
        signal[h] = 0.0f;
        for (c = 0; c < OUTPUTS; c++)
            signal[h] += error[c] * COLUMN * parameters->readout[h * OUTPUTS + c];
    }
#endif
/* repeat LEARNING_LAYERS */
    for (j = 0; j < LEARNT_ROWS; j++)
        for (INDEX = 0; INDEX < SIZE; INDEX++)
#if SUMMED
            traces->SUM[j * SIZE + INDEX] *= SIGNAL[INDEX];
#else
            traces->SUM[j * SIZE + INDEX] += SIGNAL[INDEX] * traces->OUTPUT_TRACE[j * SIZE + INDEX];
#endif
/* end LEARNING_LAYERS */
#if SUMMED
    traces->told = 1;
#else
    traces->learnt += traces->learnt < UINT32_MAX;
#endif
}

static int all_finite(const float *x, int count)
{
    int i, finite = 1;

    for (i = 0; i < count; i++)
        finite = finite && x[i] >= -FLT_MAX && x[i] <= FLT_MAX;
    return finite;
}

/* A step against the gradient, which is then set to 0; back to the bound where that is exceeded. */
static void move(float *now, const float *first, float *gradient, int count, float rate,
        float bound)
{
    float moved = 0.0f, size = 0.0f;
    int i;

    for (i = 0; i < count; i++) {
        if (rate > 0.0f)
            now[i] -= rate * gradient[i];
        gradient[i] = 0.0f;
        moved += (now[i] - first[i]) * (now[i] - first[i]);
        size += first[i] * first[i];
    }
    size = bound * bound * (size > 1e-6f ? size : 1e-6f);
    if (moved > size)
        for (i = 0; i < count; i++)
            now[i] = first[i] + (now[i] - first[i]) * sqrtf(size / moved);
}

void model_update(model_parameters *parameters, model_traces *traces, float rate, float bound)
{
    int finite = 1;
#if SUMMED
    int i;
#endif

#if SUMMED
    if (!traces->told)
        return;
#else
    if (!traces->learnt)
        return;
#endif
#if DIVIDED
    rate /= (float)traces->learnt;
#endif
/* repeat LEARNING_LAYERS */
    finite = finite && all_finite(traces->SUM, LEARNT);
/* end LEARNING_LAYERS */
/* repeat LEARNING_LAYERS */
/* repeat TENSORS */
    move(parameters->LAYER + OFFSET, SHIPPED, traces->SUM + OFFSET, TENSOR_LENGTH,
        finite ? rate : 0.0f, bound);
/* end TENSORS */
/* end LEARNING_LAYERS */
#if SUMMED
    for (i = 0; i < OUTPUTS; i++)
        traces->scores[i] = 0.0f;
    traces->told = 0;
#endif
    traces->learnt = 0;
}
