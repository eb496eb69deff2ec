/* A sample of what an exporter tells the files beside it, with which each of them compiles alone, for
 * compilers, linters and editors. It is never exported. Conditions may be set from outside: -DINTEGER=1. */
#ifndef CONFIGURATION_H
#define CONFIGURATION_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* ---- conditions ---- */
#ifndef INTEGER /* the network computes in integers */
#define INTEGER 0
#endif
#ifndef SPARSE /* a matrix stores only the weights that are not zero */
#define SPARSE 0
#endif
#ifndef SPIKES /* what is sent is 0 or 1 */
#define SPIKES INTEGER
#endif
#ifndef BITS /* what is under way takes a bit each */
#define BITS 1
#endif
#ifndef CROSSING /* the signal path is level crossings */
#define CROSSING 0
#endif
#ifndef RUNNING /* whose thresholds follow the signal */
#define RUNNING 0
#endif
#ifndef SMOOTHED
#define SMOOTHED 1
#endif
#ifndef ON_DELTA
#define ON_DELTA 1
#endif
#ifndef SOUND /* the signal path is log-mel features */
#define SOUND 0
#endif
#ifndef TERNARY
#define TERNARY 0
#endif
#ifndef LEARNING /* the network goes on learning */
#define LEARNING 0
#endif
#ifndef SUMMED /* from one label for all steps */
#define SUMMED 0
#endif
#ifndef HIDDEN /* by e-prop */
#define HIDDEN 0
#endif
#ifndef DECISION
#define DECISION 0
#endif
#ifndef PER_STEP /* every step has a class */
#define PER_STEP 0
#endif
#ifndef CONVERTS /* channels of a sample are scaled by means and deviations */
#define CONVERTS 0
#endif
#define POOLED CONVERTS
#define CODED (CROSSING || SOUND)
#define TOLD (CROSSING && !RUNNING)
#define SAMPLED (CODED || CONVERTS || INTEGER)
#define FRACTIONAL INTEGER
#ifndef VALUES /* the answer is a value for each output */
#define VALUES 0
#endif
#ifndef SCALED /* which is in the targets' unit */
#define SCALED 0
#endif
#ifndef ALARM /* of a signal whose next sample is not as it was said to be */
#define ALARM 0
#endif
#ifndef LINEAR /* values have a linear part */
#define LINEAR 0
#endif
#define TAPS 4
#define PAST 4
#define PAST_TYPE float
#define TAPS_OF_STEP 1
#define TAP_SHIFTS 1
#define VALUE_RESTS 1.0f
#if INTEGER
#define TAP_TYPE int32_t
#define LINEAR_TYPE int64_t
#else
#define TAP_TYPE float
#define LINEAR_TYPE float
#endif
#if INTEGER
#define SURPRISE_TYPE int32_t
#define ALARM_ABOVE 65536
#define ALARM_BELOW 65536
#else
#define SURPRISE_TYPE float
#define ALARM_ABOVE 1.0f
#define ALARM_BELOW 1.0f
#endif
#define SEEN_FACTORS 1
#define SEEN_SHIFTS 1
#define OFF_FACTORS 1
#define OFF_SHIFTS 1
#define MOST_OFF 4194304
#define ERROR_BITS 24
#define MEAN_BITS 40
#define LOG_BITS 20
#define SCORE_ONE 65536
#define ALARM_USUAL 1.0f
#define ALARM_LEAST 1e-30f
#define ALARM_PRIOR 25u
#define ALARM_SMOOTH 100u
#define ALARM_STEPS 100
#define ALARM_START 0u
#define VALUE_BITS 8
#define VALUE_FACTORS 1
#define VALUE_OFFSETS 0
#define VALUE_SHIFTS 1
#define VALUE_MEANS 0.0f
#define VALUE_STDS 1.0f
#ifndef ADDS /* scores are sums of steps */
#define ADDS 1
#endif
#ifndef SOFT /* of softmax */
#define SOFT 0
#endif
#ifndef STANDS /* an answer can stand early */
#define STANDS (DECISION && !VALUES)
#endif
#define MATH 1
#define LIFTED 1
#define FROM_BELOW 1
#define FROM_ITSELF 1
#define SCALED_CURRENT INTEGER
#define CURRENT_FITS SPARSE
#define DRIVE_USED 1
#define EMISSION_KEPT 1
#define EMISSION_READ 0
#define LAST 1
#define LEARNS LEARNING
#define TOLD_ABOUT 1
#define RESULT_USED 1
#define DEVIATIONS_KNOWN SMOOTHED
#define SCALED_TO_INTEGERS (INTEGER && !TERNARY)
#define FLOATING SOUND
#define FLOAT_SAMPLES 0
#define NARROW 0
#define INPUTS_TOLD 1
#define KEPT_DIFFERS HIDDEN
#define FILTERED HIDDEN
#define MEAN SUMMED
#define STARTS_LATE 0
#define DIVIDED 1
#define SLOPES_DIFFER HIDDEN
#define ROW_READ 1
#define LISTED CONVERTS
#define NAMED CONVERTS
#define MULTIPLIED (CONVERTS && INTEGER)
#define ENDS SMOOTHED
#define ENDLESS PER_STEP
#ifndef PLATFORMIO
#define PLATFORMIO 0
#endif
#define ARDUINO 0
#define ZEPHYR 0
#define ESPIDF 0

/* ---- types and numbers ---- */
#if INTEGER
#define NUMBER int32_t
#define WEIGHT int8_t
#define ZERO 0
#define NUMBER_ONE 1
#define STATE_TYPE int16_t
#define SAMPLE_ZERO 0
#define SPIKE 256
#define NO_SPIKE 0
#define INPUT_UNIT 256.0f
#define WIDE int64_t
#define SMOOTHING_WEIGHTS {-2, 3, 6, 3, -2}
#define SMOOTHING_TYPE int8_t
#define UP 3
#define DOWN 4
#define UNIT 10
#define HORIZON 500
#define UP_THRESHOLDS 12, 13
#define DOWN_THRESHOLDS 8, 9
#define UP_MULTIPLE 0.1
#define DOWN_MULTIPLE 0.07
#else
#define NUMBER float
#define WEIGHT float
#define ZERO 0.0f
#define NUMBER_ONE 1.0f
#define STATE_TYPE float
#define SAMPLE_ZERO 0.0f
#define SPIKE 1.0f
#define NO_SPIKE 0.0f
#define INPUT_UNIT 1.0f
#define WIDE float
#define SMOOTHING_WEIGHTS {-0.2f, 0.3f, 0.8f, 0.3f, -0.2f}
#define SMOOTHING_TYPE float
#define UP 0.1f
#define DOWN 0.07f
#define UNIT 1.0f
#define HORIZON 500.0f
#define UP_THRESHOLDS 12.5f, 13.5f
#define DOWN_THRESHOLDS 8.5f, 9.5f
#define UP_MULTIPLE 0.1f
#define DOWN_MULTIPLE 0.07f
#endif
#if SOUND
#define SAMPLE int16_t
#define CHANNELS 1
#elif CROSSING
#define SAMPLE NUMBER
#define CHANNELS 2
#elif CONVERTS
#define SAMPLE NUMBER
#if INTEGER
#define POOLED_SUM int64_t
#else
#define POOLED_SUM float
#endif
#define POOL 4
#define CHANNELS INPUTS
#else
#define SAMPLE model_input
#define CHANNELS INPUTS
#endif
#define ONE 1
#if INTEGER && CROSSING
#define INPUT int32_t
#elif INTEGER
#define INPUT int16_t
#else
#define INPUT float
#endif
#if SOUND
#define INPUTS 8
#else
#define INPUTS 4
#endif
#define OUTPUTS 3
#define WIDEST 5
#define COUNTS 1024.0, 1024.0, 1024.0, 1024.0
#define REAL double
#define HALF 0.5
#define ROUNDED int16_t
#define ROUNDED_LEAST INT16_MIN
#define ROUNDED_MOST INT16_MAX

/* ---- a layer of leaky neurons, which is the readout ---- */
#define NAME "sample"
#define LAYER readout
#define STEP_LAYER step_readout
#if LEARNING
#define STEP_PARAMETERS model_state *state, const model_parameters *parameters, model_traces *traces, \
    const model_input *input, model_score *scores
#define STEP_ARGUMENTS state, parameters, traces, input, scores
#define WEIGHTS parameters->readout + 0
#define FIRST_SUM (parameters->readout + 12)[h]
#else
#define STEP_PARAMETERS model_state *state, const model_input *input, model_score *scores
#define STEP_ARGUMENTS state, input, scores
#define WEIGHTS readout_from_input
#define FIRST_SUM 0
#endif
#define SIZE 3
#define STATE_MEMBERS STATE_TYPE u[3]; SENT_TYPE s[3]; SLOT_TYPE incoming[12]; uint16_t incoming_turn[1];
#define VARIABLE u
#define INITIAL 0
#define MEMBRANE u
#define NEURON traced
#define NEURON_FUNCTION TRACED_FUNCTION
#define NEURON_ARGUMENTS &state->readout.u[h], NEURON_CURRENT
#define NEURON_ADDS 1
#define NEURON_MULTIPLIES 1
#define EMITTED v > 0 ? SENT_ONE : SENT_ZERO
#define BIAS readout_bias
#define SCALES readout_scale
#define SCALE_SHIFT 10
#define LIFT 4
#if INTEGER
#define NEURON_CURRENT current
#else
#define NEURON_CURRENT state->sums[h]
#endif

#define CONSTANT_ABOUT
#define CONSTANT_TYPE WEIGHT
#define CONSTANT readout_from_input
#define CONSTANT_LENGTH 12
#define CONSTANT_VALUES 1

/* ---- what is traced: the neuron's step ---- */
#define TRACED traced
#define TRACED_ABOUT
#define RETURNED NUMBER
#define PARAMETERS STATE_TYPE *u_at, NUMBER drawn
#define ASSIGNED_NAME u
#define ASSIGNED_VALUE *u_at
#define STORED_AT u_at
#define STORED_VALUE (STATE_TYPE)(u / 2)
#define RESULT u + drawn
#define TRACED_FUNCTION static NUMBER traced(STATE_TYPE *u_at, NUMBER drawn) \
    { *u_at = (STATE_TYPE)(*u_at / 2); return *u_at + drawn; }

/* ---- rows of weights, and delays ---- */
#define ADD_ROWS add_rows
#define ROW_START uint8_t
#define ROW_TARGET uint8_t
#define START readout_from_input_start
#define TO readout_from_input_to
#define ARRIVING input
#define PRESYNAPTIC INPUTS
#define PRESYNAPTIC_VALUE (NUMBER)presynaptic[j]
#define SENT_TYPE INPUT
#define SENT state->readout.s
#define SENT_ZERO 0
#define SENT_ONE 1
#define SEND send
#define RECEIVE receive
#define DELAYS readout_delay
#define DELAY_TYPE uint8_t
#define RING incoming
#define RING_TURN incoming_turn
#define RING_COUNT SIZE
#define RING_DEPTH 4
#define RING_LENGTH 4
#define ARRIVED incoming_now
#if BITS
#define SLOT_TYPE uint8_t
#define SLOT_EMPTY 0
#else
#define SLOT_TYPE SENT_TYPE
#define SLOT_EMPTY SENT_ZERO
#endif

/* ---- signal paths ---- */
#define WINDOW 5
#define WINDOW_END 4
#define LATE 2
#define READY_AT_FIRST 3
#define DENOMINATOR 21
#define LARGEST_SAMPLE 1000000
#define KEPT_VALUE before
#define HALF_HORIZON 250
#define ENCODER_ADDS 10
#define ENCODER_MULTIPLIES 12
#define RATE 800
#define HALF_WINDOW 2
#define NEEDED_AT_FIRST 3
#define QUARTER 1
#define THREE_QUARTERS 3
#define HOP 3
#define MINIMUM 40
#define POINTS 2
#define STAGES 1
#define LARGEST_FACTOR 2
#define MELS 2
#define ENERGIES 3
#define ENERGY_FLOOR 1e-6f
#define HEARD 1
#define FIRST_HEARD 1
#define LAST_HEARD 1
#define DERIVATIVES 2
#define FRAMES_OF_SLOPE 9
#define FRAMES_OF_A_STEP 9
#define FRAMES 18
#define OLDER_FRAMES 16
#define MIDDLE 4
#define AFTER_MIDDLE 5
#define TERNARY_THRESHOLD 0.6f
#define MADE_UP 500, 500
#define MEANS 0.5f, 0.5f, 0.5f, 0.5f
#define DEVIATIONS 2.0f, 2.0f, 2.0f, 2.0f
#define FACTORS 1 << 29, 1 << 29, 1 << 29, 1 << 29
#define OFFSETS 1, 1, 1, 1
#define SHIFTS 29, 29, 29, 29
#define INPUT_BOUND 32768

/* ---- learning: the readout, as if it were the hidden layer too ---- */
#define LEARNT 15
#define LEARNT_ROWS 5
#define TRACE readout_u
#define TRACE_LENGTH 15
#define OUTPUT_TRACE readout_u
#define LAST_ROW readout_u
#define SUM readout_u
#define SHIPPED readout_bias
#define OFFSET 12
#define TENSOR_LENGTH 3
#define OUTPUTS_FLOAT 3.0f
#define KEPT (float)h
#define COLUMN (float)c
#define LOSS_START 2ul
#define TARGET 0.9f
#define OTHER_TARGET 0.05f
#define HIDDEN_SIZE 3
#define SIGNAL error
#define INDEX c
#define TRACED_SLOPES static void slopes_of(float *at) { *at = 0.5f; }
#define SLOPES slopes_of
#define SLOPE_ARGUMENTS &traces->scores[h]
#define FOLLOW_LAYER follow
#define FOLLOW_PARAMETERS model_traces *traces, const model_input *input
#define FOLLOW_ARGUMENTS traces, input
#define SYNAPSE_INPUT j < 4 ? input[j] : 1.0f
#define ROW u
#define ROW_AT u_at
#define ROW_TRACE readout_u
#define ROW_NEXT 0.5f * u + z

/* ---- the decision ---- */
#define HAS_CONFIDENCE !VALUES
#define CONFIDENCE_SOFT !SOFT
#define CONFIDENCE_FINER !SOFT
#define CONFIDENCE_DIVIDES SOFT
#define CONFIDENCE_OF_LARGEST (!SOFT || !INTEGER)
#define CONFIDENCE_OF_MEAN 1
#define KEEPS 1
#define SCORES_MEAN 1
#define STEPS_COUNTED 1
#define LATE_START 1
#define MARGIN_ASKED 1
#define EARLIEST_ASKED ADDS
#define NUM_CLASSES OUTPUTS
#define CLASS_NAME "a", "b", "c"
#if INTEGER && SOFT
#define COUNTED_VALUE twice + (NUMBER)(decision->part[c] * inverse >> 32)
#else
#define COUNTED_VALUE twice
#endif
#define JOINED_VALUE half_of_it + (NUMBER)decision->scores[c] / 2
#define COUNTED_NAME twice
#define COUNTED_LINE 2 * output[c]
#define JOINED_NAME half_of_it
#define JOINED_LINE x / 2
#define ONE_BITS 30
#define SHARE_BITS 62
#define EXPONENTIAL EXPONENTIAL_NAME
#define DISTANCE_BITS 20
#define VANISHING 22020096
#define PER_LN2 1549082005
#define TO_ONE_BITS >> 20
#define BELOW_ONE 1073741823
#define LAST_POWER 1024386
#define POWER 9908896
#define FAR 22020096
#define FINER_BITS 4
#define PATIENCE 2
#define EARLIEST 4
#if INTEGER && ADDS
#define SCORE_TYPE int64_t
#elif INTEGER
#define SCORE_TYPE int32_t
#else
#define SCORE_TYPE float
#endif
#if INTEGER
#define STEPS_TYPE int64_t
#define ONE_STEP 1
#define CONFIDENCE_TYPE int32_t
#define CONFIDENCE_PART uint64_t
#define LEAST_CONFIDENCE 536870912
#define LEAST_MARGIN 53687091
#else
#define STEPS_TYPE float
#define ONE_STEP 1.0f
#define CONFIDENCE_TYPE float
#define CONFIDENCE_PART float
#define LEAST_CONFIDENCE 0.5f
#define LEAST_MARGIN 0.05f
#endif
#if SOFT
#define EXPONENTIAL_NAME exponential
#else
#define EXPONENTIAL_NAME exponential_of_scores
#endif
#if INTEGER && SOFT
#define CONFIDENCE_ADDED own
#define CONFIDENCE_RESULT divided((int64_t)own, (int64_t)(total / (uint64_t)count))
#elif INTEGER
#define CONFIDENCE_ADDED exponential_of_scores(fine(most - own, (uint64_t)count))
#define CONFIDENCE_RESULT (int32_t)total
#else
#define CONFIDENCE_ADDED expf((decision->scores[c] - most) / count)
#define CONFIDENCE_RESULT own / total
#endif

/* ---- one struct ---- */
#if LEARNING && TOLD
#define BEGIN_PARAMETERS model_model *whole, const SAMPLE *up, const SAMPLE *down, \
    const model_parameters *parameters, model_traces *traces
#define BEGIN_ARGUMENTS &model, up, down, &parameters, 0
#elif LEARNING
#define BEGIN_PARAMETERS model_model *whole, const model_parameters *parameters, model_traces *traces
#define BEGIN_ARGUMENTS &model, &parameters, 0
#elif TOLD
#define BEGIN_PARAMETERS model_model *whole, const SAMPLE *up, const SAMPLE *down
#define BEGIN_ARGUMENTS &model, up, down
#else
#define BEGIN_PARAMETERS model_model *whole
#define BEGIN_ARGUMENTS &model
#endif
#if DECISION
#define ANSWER_FORMAT "%s\n"
#else
#define ANSWER_FORMAT "%d\n"
#endif

/* ---- the program that tries a network ---- */
#define READ input_read
#define READ_TYPE model_input
#define READ_LENGTH INPUTS
#define READ_INTEGERS INTEGER
#define READ_NAMED 1
#define CHANNEL_NAMES "ax"
#define CHANNEL_UNITS "m/s2\nm/s^2\n"
#define READ_LEAST INT16_MIN
#define READ_GREATEST INT16_MAX
#define WHAT steps
#define PAUSE_MS 1

/* ---- what each file may use of the others ---- */
#ifdef SRNN_COUNT
#define COUNT(what, number) (model_counts.what += (unsigned long)(number))
#else
#define COUNT(what, number) ((void)0)
#endif
#include "model.h"
#include "model_weights.h"
static const uint8_t readout_from_input_start[5] = {0, 3, 6, 9, 12};
static const uint8_t readout_from_input_to[12] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2};
static const NUMBER readout_bias[3] = {1};
static const int32_t readout_scale[3] = {1, 2, 3};
static const uint8_t readout_delay[4] = {1, 2, 3, 0};
#if CROSSING
static const SMOOTHING_TYPE smoothing[5 * 5] = SMOOTHING_WEIGHTS;
#elif SOUND
static const float cosines[WINDOW] = {1}, in_band[2 * HEARD] = {1}, slopes[18] = {1};
static const float feature_mean[INPUTS] = {1}, feature_std[INPUTS] = {1};
static const uint8_t loaded[POINTS] = {0, 1}, factors[STAGES] = {2}, band[HEARD] = {1};
#endif
static inline int signal_read(SAMPLE *signal)
{
    *signal = 0;
    return 0;
}
#endif
