#include "configuration.h"

#if ADDS && INTEGER
/* total + x, saturating in int64 */
static int64_t sum(int64_t total, int32_t x)
{
    if (x > 0)
        return total > INT64_MAX - x ? INT64_MAX : total + x;
    return total < INT64_MIN - x ? INT64_MIN : total + x;
}

#endif
#if SOFT && INTEGER
/* repeat OUTPUT_EXPONENTIALS */
#include "exponential.c"
/* end OUTPUT_EXPONENTIALS */

#endif
#if VALUES && SCORES_MEAN && INTEGER
/* total / count, rounded half up */
static int32_t mean(int64_t total, int64_t count)
{
    int64_t whole = total / count, rest = total % count;

    if (rest < 0) {
        whole--;
        rest += count;
    }
    return (int32_t)(whole + (rest >= count - rest));
}

#endif
#if SCALED && INTEGER
const int16_t MODEL_VALUE_BITS[MODEL_NUM_CLASSES] = {VALUE_BITS};
static const int32_t value_factors[NUM_CLASSES] = {VALUE_FACTORS};
static const int64_t value_offsets[NUM_CLASSES] = {VALUE_OFFSETS};
static const unsigned char value_shifts[NUM_CLASSES] = {VALUE_SHIFTS};

/* The score in the targets' unit, rounded half up, saturating. */
static int32_t restored(int32_t score, int c)
{
    const int64_t half = ((int64_t)1 << value_shifts[c]) >> 1;
    const int64_t value = value_offsets[c] + (((int64_t)score * value_factors[c] + half) >> value_shifts[c]);

    if (value > INT32_MAX)
        return INT32_MAX;
    return value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

#elif SCALED
static const float means[NUM_CLASSES] = {VALUE_MEANS};
static const float deviations[NUM_CLASSES] = {VALUE_STDS};

/* The score in the targets' unit. */
static float restored(float score, int c)
{
    return means[c] + deviations[c] * score;
}

#elif VALUES
#define restored(score, c) (score)

#endif
#if LINEAR
static const TAP_TYPE taps[] = {
/* repeat TAPS_OF_STEPS */
    TAPS_OF_STEP,
/* end TAPS_OF_STEPS */
};
#endif
#if LINEAR && INTEGER
static const unsigned char tap_shifts[NUM_CLASSES] = {TAP_SHIFTS};

/* A value and the linear part of it, saturating. */
static int32_t answered(int32_t value, int64_t linear)
{
    linear += value;
    if (linear > INT32_MAX)
        return INT32_MAX;
    return linear < INT32_MIN ? INT32_MIN : (int32_t)linear;
}

#elif LINEAR
static const float rests[NUM_CLASSES] = {VALUE_RESTS};

/* What the network says, and the linear part. */
static float answered(float score, float linear, int c)
{
    return rests[c] * score + linear;
}

#endif
#if LINEAR
void model_linear(model_decision *decision, const model_input input[MODEL_INPUTS])
{
    const TAP_TYPE *tap = taps;
    int c, i, k;

    decision->newest = (decision->newest + 1u) % TAPS;
    for (i = 0; i < MODEL_INPUTS; i++)
        decision->past[decision->newest * MODEL_INPUTS + (unsigned)i] = input[i];
    for (c = 0; c < NUM_CLASSES; c++)
        decision->linear[c] = 0;
    for (k = 0; k < TAPS; k++) {
        const uint32_t step = (decision->newest + TAPS - (uint32_t)k) % TAPS;
        const model_input *seen = decision->past + step * MODEL_INPUTS;
        for (i = 0; i < MODEL_INPUTS; i++)
            for (c = 0; c < NUM_CLASSES; c++)
                decision->linear[c] += (LINEAR_TYPE)*tap++ * (LINEAR_TYPE)seen[i];
    }
#if INTEGER
    for (c = 0; c < NUM_CLASSES; c++) {
        decision->linear[c] += ((int64_t)1 << tap_shifts[c]) >> 1;
        decision->linear[c] >>= tap_shifts[c];
    }
#endif
}

#endif
#if !VALUES
static int largest(const SCORE_TYPE *scores)
{
    int c, best = 0;

    for (c = 1; c < NUM_CLASSES; c++)
        if (scores[c] > scores[best])
            best = c;
    return best;
}

#endif
#if STEPS_COUNTED
/* The steps in a total; before the first of them 1. */
#endif
#if STEPS_COUNTED && LATE_START
static STEPS_TYPE counted(const model_decision *decision)
{
    return decision->steps > LOSS_START ? (STEPS_TYPE)(decision->steps - LOSS_START) : ONE_STEP;
}

#elif STEPS_COUNTED
static STEPS_TYPE counted(const model_decision *decision)
{
    return decision->steps > 0 ? (STEPS_TYPE)decision->steps : ONE_STEP;
}

#endif
void model_decision_init(model_decision *decision)
{
    int c;

#if LINEAR
    for (c = 0; c < PAST; c++)
        decision->past[c] = 0;
    for (c = 0; c < NUM_CLASSES; c++)
        decision->linear[c] = 0;
    decision->newest = 0;
#endif
#if ALARM && INTEGER
    for (c = 0; c < NUM_CLASSES; c++)
        decision->said[c] = (int32_t)value_offsets[c];
    decision->mean = (int64_t)1 << MEAN_BITS;
#elif ALARM
    for (c = 0; c < NUM_CLASSES; c++)
        decision->said[c] = 0.0f;
    decision->mean = ALARM_USUAL;
#endif
#if ALARM
    decision->score = ZERO;
    decision->heard = 0;
    decision->alarm = 0;
#endif
    for (c = 0; c < NUM_CLASSES; c++)
        decision->scores[c] = ZERO;
#if ADDS && !INTEGER
    for (c = 0; c < NUM_CLASSES; c++)
        decision->lost[c] = 0.0f;
#endif
#if SOFT
    for (c = 0; c < NUM_CLASSES; c++)
        decision->part[c] = ZERO;
#endif
#if STANDS
    decision->sure_of = 0;
    decision->row = 0;
#endif
    decision->steps = 0;
}

#if VALUES
void model_decide(model_decision *decision, const model_score output[MODEL_OUTPUTS],
        model_score values[MODEL_NUM_CLASSES])
#else
int model_decide(model_decision *decision, const model_score output[MODEL_OUTPUTS])
#endif
{
    int c;
#if SOFT && INTEGER
    int32_t most = output[0];
    uint64_t total = 0, inverse;
#elif SOFT
    float most = output[0];
    float total = 0.0f;
#endif
#if VALUES && SCORES_MEAN
    STEPS_TYPE count;
#endif

#if SOFT
    for (c = 0; c < NUM_CLASSES; c++)
        most = output[c] > most ? output[c] : most;
    for (c = 0; c < NUM_CLASSES; c++) {
#if INTEGER
        decision->part[c] = exponential((uint64_t)((int64_t)most - output[c]));
#else
        decision->part[c] = expf(output[c] - most);
#endif
        total += decision->part[c];
    }
#endif
#if SOFT && INTEGER
    inverse = ((uint64_t)1 << SHARE_BITS) / total;
#endif
    for (c = 0; c < NUM_CLASSES; c++) {
/* repeat COUNTED_LINES */
        const NUMBER COUNTED_NAME = COUNTED_LINE;
/* end COUNTED_LINES */
#if KEEPS
        const NUMBER x = COUNTED_VALUE;
#else
        decision->scores[c] = COUNTED_VALUE;
#endif
#if KEEPS && ADDS && INTEGER
        decision->scores[c] = decision->steps <= LOSS_START ? x : sum(decision->scores[c], x);
#elif KEEPS && ADDS
        if (decision->steps <= LOSS_START) {
            decision->scores[c] = x;
            decision->lost[c] = 0.0f;
        } else { /* with what rounding lost so far */
            const float more = x - decision->lost[c], after = decision->scores[c] + more;
            decision->lost[c] = (after - decision->scores[c]) - more;
            decision->scores[c] = after;
        }
#elif KEEPS
/* repeat JOINED_LINES */
        const NUMBER JOINED_NAME = JOINED_LINE;
/* end JOINED_LINES */
        decision->scores[c] = decision->steps <= LOSS_START ? x : JOINED_VALUE;
#endif
    }
    if (decision->steps < UINT32_MAX)
        decision->steps++;
#if VALUES && SCORES_MEAN
    count = counted(decision);
#endif
#if VALUES
    for (c = 0; c < NUM_CLASSES; c++)
#endif
#if VALUES && SCORES_MEAN && INTEGER
        values[c] = restored(mean(decision->scores[c], count), c);
#elif VALUES && SCORES_MEAN
        values[c] = restored(decision->scores[c] / count, c);
#elif LINEAR && INTEGER
        values[c] = answered(restored(decision->scores[c], c), decision->linear[c]);
#elif LINEAR
        values[c] = restored(answered(decision->scores[c], decision->linear[c], c), c);
#elif VALUES
        values[c] = restored(decision->scores[c], c);
#else
    return largest(decision->scores);
#endif
}

#if ALARM && INTEGER
static const int32_t seen_factors[NUM_CLASSES] = {SEEN_FACTORS};
static const unsigned char seen_shifts[NUM_CLASSES] = {SEEN_SHIFTS};
static const int32_t off_factors[NUM_CLASSES] = {OFF_FACTORS};
static const unsigned char off_shifts[NUM_CLASSES] = {OFF_SHIFTS};

/* factor x / 2^shift, rounded half up; at most limit, and at least -limit */
static int64_t multiple(int64_t x, int32_t factor, unsigned char shift, int64_t limit)
{
    const int64_t half = ((int64_t)1 << shift) >> 1, y = (x * factor + half) >> shift;

    if (y > limit)
        return limit;
    return y < -limit ? -limit : y;
}

/* log2 of a mean, MEAN_BITS fractional bits, with LOG_BITS; of 0 that of the least above it */
static int64_t logarithm(int64_t mean)
{
    uint64_t mantissa = mean < 1 ? 1u : (uint64_t)mean;
    int power = -MEAN_BITS, bit;
    int64_t found;

    while (mantissa >> (power + MEAN_BITS) > 1u)
        power++;
    if (power + MEAN_BITS > 30)
        mantissa >>= power + MEAN_BITS - 30;
    else
        mantissa <<= 30 - power - MEAN_BITS;
    found = power;
    for (bit = 0; bit < LOG_BITS; bit++) {
        mantissa = mantissa * mantissa >> 30;
        found *= 2;
        if (mantissa >> 31) {
            mantissa >>= 1;
            found++;
        }
    }
    return found;
}

int32_t model_surprise(model_decision *decision, const model_input input[MODEL_INPUTS],
        const model_score output[MODEL_OUTPUTS])
{
    const int64_t limit = INT32_MAX;
    int64_t error = 0, off;
    int c;

    for (c = 0; c < NUM_CLASSES; c++) {
        off = multiple(input[c], seen_factors[c], seen_shifts[c], INT64_MAX) + value_offsets[c];
        off -= decision->said[c];
        if (off > limit || off < -limit)
            off = off < 0 ? -limit : limit;
        off = multiple(off, off_factors[c], off_shifts[c], MOST_OFF);
        error += off * off;
        decision->said[c] = restored(output[c], c);
#if LINEAR
        decision->said[c] = answered(decision->said[c], decision->linear[c]);
#endif
    }
    error = (error + NUM_CLASSES / 2) / NUM_CLASSES;
    if (decision->heard > ALARM_START) {
        uint32_t counted = decision->heard - ALARM_START;
        int64_t count, more;
        if (counted > ALARM_SMOOTH)
            counted = ALARM_SMOOTH;
        count = (int64_t)ALARM_PRIOR + counted;
        more = error * ((int64_t)1 << (MEAN_BITS - ERROR_BITS)) - decision->mean + count / 2;
        decision->mean += more / count - (more % count < 0);
    }
    if (decision->heard < UINT32_MAX)
        decision->heard++;
    off = logarithm(decision->mean);
    off = off < 0 ? -off * ALARM_BELOW : off * ALARM_ABOVE;
    off >>= LOG_BITS;
    decision->score = (int32_t)(off < limit ? off : limit);
    decision->alarm = decision->score > MODEL_SCORE_ONE;
    return decision->score;
}

#elif ALARM
float model_surprise(model_decision *decision, const model_input input[MODEL_INPUTS],
        const model_score output[MODEL_OUTPUTS])
{
    float error = 0.0f, off;
    int c;

    for (c = 0; c < NUM_CLASSES; c++) {
        off = input[c] - decision->said[c];
        decision->said[c] = output[c];
#if LINEAR
        off /= rests[c];
        decision->said[c] = answered(output[c], decision->linear[c], c);
#endif
        error += off * off;
    }
    if (decision->heard > ALARM_START) {
        uint32_t count = decision->heard - ALARM_START;
        if (count > ALARM_SMOOTH)
            count = ALARM_SMOOTH;
        decision->mean += (error / NUM_CLASSES - decision->mean) / (float)(ALARM_PRIOR + count);
    }
    if (decision->heard < UINT32_MAX)
        decision->heard++;
    off = logf((decision->mean > ALARM_LEAST ? decision->mean : ALARM_LEAST) / ALARM_USUAL);
    decision->score = off < 0.0f ? -ALARM_BELOW * off : ALARM_ABOVE * off;
    decision->alarm = decision->score > 1.0f;
    return decision->score;
}

#endif
#if HAS_CONFIDENCE && CONFIDENCE_SOFT && INTEGER
/* repeat SCORE_EXPONENTIALS */
#include "exponential.c"
/* end SCORE_EXPONENTIALS */

#endif
#if HAS_CONFIDENCE && CONFIDENCE_FINER && INTEGER
/* A difference of totals with FINER_BITS more fractional bits; beyond some it makes no difference. */
static uint64_t fine(uint64_t distance, uint64_t count)
{
    const uint64_t far = FAR * count;

    return (distance < far ? distance : far) << FINER_BITS;
}

#endif
#if HAS_CONFIDENCE && CONFIDENCE_DIVIDES && INTEGER
/* 2^ONE_BITS part / whole, at most that; 0 where one of them is not above 0 */
static int32_t divided(int64_t part, int64_t whole)
{
    if (part <= 0 || whole <= 0)
        return 0;
    while (whole >= (int64_t)1 << 32) {
        part >>= 1;
        whole >>= 1;
    }
    return (int32_t)(((part < whole ? part : whole) << ONE_BITS) / whole);
}

#endif
#if HAS_CONFIDENCE
/* The confidence in a class. */
static CONFIDENCE_TYPE confidence_of(const model_decision *decision, int which)
{
    const CONFIDENCE_PART own = (CONFIDENCE_PART)decision->scores[which];
#if CONFIDENCE_OF_LARGEST
    const CONFIDENCE_PART most = (CONFIDENCE_PART)decision->scores[largest(decision->scores)];
#endif
#if CONFIDENCE_OF_MEAN
    const STEPS_TYPE count = counted(decision);
#endif
    CONFIDENCE_PART total = ZERO;
    int c;

    for (c = 0; c < NUM_CLASSES; c++)
        total += CONFIDENCE_ADDED;
    return CONFIDENCE_RESULT;
}

CONFIDENCE_TYPE model_confidence(const model_decision *decision)
{
    return confidence_of(decision, largest(decision->scores));
}

#endif
#if STANDS
int model_stands(model_decision *decision)
{
    const int best = largest(decision->scores);
#if EARLIEST_ASKED
    int sure = decision->steps >= EARLIEST && confidence_of(decision, best) >= LEAST_CONFIDENCE;
#else
    int sure = confidence_of(decision, best) >= LEAST_CONFIDENCE; /* which no NaN is */
#endif
#if MARGIN_ASKED
    int c, second = best == 0;

    for (c = 0; c < NUM_CLASSES; c++)
        if (c != best && decision->scores[c] > decision->scores[second])
            second = c;
    sure = sure && confidence_of(decision, best) - confidence_of(decision, second) >= LEAST_MARGIN;
#endif

    if (!sure)
        decision->row = 0;
    else if (best != decision->sure_of)
        decision->row = 1;
    else if (decision->row < UINT32_MAX)
        decision->row++;
    decision->sure_of = best;
    return decision->row >= PATIENCE;
}

#endif
const char *const MODEL_CLASSES[MODEL_NUM_CLASSES] = {
/* repeat CLASS_NAMES */
    CLASS_NAME,
/* end CLASS_NAMES */
};
