#if CONVERTS && INTEGER
/* A sample is an integer for each channel, which is its value times a number:
CHANNELS_LISTED */
#elif CONVERTS
/* A sample is a number for each channel:
CHANNELS_LISTED */
#elif LISTED && CODED
/* The channels of a sample:
CHANNELS_LISTED */
#elif LISTED
/* The inputs of a step:
CHANNELS_LISTED */
#endif
#if !CODED
#define MODEL_CHANNELS CHANNELS
#endif
#if CONVERTS
/* The input of a step: each channel minus its mean, over its deviation in training. */
static inline void model_convert(const SAMPLE sample[MODEL_CHANNELS],
        model_input input[MODEL_INPUTS])
{
#if INTEGER
    static const int32_t factor[MODEL_CHANNELS] = {FACTORS};
    static const int64_t offset[MODEL_CHANNELS] = {OFFSETS};
    static const uint8_t shift[MODEL_CHANNELS] = {SHIFTS};
    int c;

    for (c = 0; c < MODEL_CHANNELS; c++) {
        int64_t x = ((int64_t)sample[c] * factor[c] - offset[c]) >> shift[c];
        if (x >= INPUT_BOUND)
            x = INPUT_BOUND - 1;
        if (x < -INPUT_BOUND)
            x = -INPUT_BOUND;
        input[c] = (model_input)x;
    }
#else
    static const float mean[MODEL_CHANNELS] = {MEANS};
    static const float deviation[MODEL_CHANNELS] = {DEVIATIONS};
    int c;

    for (c = 0; c < MODEL_CHANNELS; c++)
        input[c] = (sample[c] - mean[c]) / deviation[c];
#endif
}
#endif
#if POOLED
/* The samples of a step that is not complete yet. */
typedef struct {
    POOLED_SUM sum[MODEL_CHANNELS];
    int held;
} model_pool;
static inline void model_pool_init(model_pool *pool)
{
    int c;

    for (c = 0; c < MODEL_CHANNELS; c++)
        pool->sum[c] = 0;
    pool->held = 0;
}
/* Adds a sample; 1 if it completes a step, whose SUMS_OR_MEANS are then in whole. */
static inline int model_pool_push(model_pool *pool, const SAMPLE sample[MODEL_CHANNELS],
        SAMPLE whole[MODEL_CHANNELS])
{
    int c;

    for (c = 0; c < MODEL_CHANNELS; c++)
        pool->sum[c] += sample[c];
    if (++pool->held < POOL)
        return 0;
    for (c = 0; c < MODEL_CHANNELS; c++) {
#if INTEGER
        POOLED_SUM sum = pool->sum[c];

        if (sum > INT32_MAX)
            sum = INT32_MAX;
        if (sum < INT32_MIN)
            sum = INT32_MIN;
        whole[c] = (SAMPLE)sum;
#else
        whole[c] = pool->sum[c] / (float)POOL;
#endif
    }
    model_pool_init(pool);
    return 1;
}
#endif
