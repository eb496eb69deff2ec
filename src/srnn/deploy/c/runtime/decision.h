#if VALUES
/* The answer: a value for each output, VALUES_ARE.
#if SCALED
 * SUBJECT is the TITLE, in the unit of the targets in training (VALUE_UNITS).
#else
 * SUBJECT is the TITLE.
#endif
 *
 *     model_decision_init(&decision);                    before the first step of every sequence
 *     model_step(&state, input, scores);                 each step
#if LINEAR
 *     model_linear(&decision, input);
#endif
 *     model_decide(&decision, scores, values);           MODEL_CLASSES has the values' names
 *
 * model_decide must see every step; what it says is as if the sequence ended there.
 * RAM DECISION_RAM bytes per decision, flash NAMES_FLASH bytes for names and scales. */
#else
/* The decision: which class it is, by the loss that the network was trained with (LOSS).
 * SUBJECT the one with the largest TITLE.
 *
 *     model_decision_init(&decision);                    before the first step of every sequence
 *     model_step(&state, input, scores);                 each step
 *     label = model_decide(&decision, scores);           MODEL_CLASSES[label] is its name
 *
 * model_decide must see every step; what it says is as if the sequence ended there.
 * RAM DECISION_RAM bytes per decision, flash NAMES_FLASH bytes for the names. */
#endif
#define MODEL_NUM_CLASSES NUM_CLASSES
extern const char *const MODEL_CLASSES[MODEL_NUM_CLASSES]; /* UTF-8 */
#if SCALED && INTEGER
extern const int16_t MODEL_VALUE_BITS[MODEL_NUM_CLASSES];
#endif
typedef struct {
    SCORE_TYPE scores[NUM_CLASSES];
#if ADDS && !INTEGER
    float lost[NUM_CLASSES];
#endif
#if SOFT && INTEGER
    uint32_t part[NUM_CLASSES];
#elif SOFT
    float part[NUM_CLASSES];
#endif
#if STANDS
    int32_t sure_of;
    uint32_t row;
#endif
    uint32_t steps;
#if LINEAR
    LINEAR_TYPE linear[NUM_CLASSES];
    uint32_t newest;
    PAST_TYPE past[PAST];
#endif
#if ALARM && INTEGER
    int64_t mean;
    int32_t said[NUM_CLASSES];
#elif ALARM
    float mean;
    float said[NUM_CLASSES];
#endif
#if ALARM
    SURPRISE_TYPE score;
    uint32_t heard;
    int32_t alarm;
#endif
} model_decision;
void model_decision_init(model_decision *decision);
#if LINEAR
/* Before each model_decide, with the step's input: what a linear prediction from the last
 * TAPS steps says of the values, to which model_decide adds the network's part. */
void model_linear(model_decision *decision, const model_input input[MODEL_INPUTS]);
#endif
#if VALUES
void model_decide(model_decision *decision, const model_score output[MODEL_OUTPUTS],
        model_score values[MODEL_NUM_CLASSES]);
#else
int model_decide(model_decision *decision, const model_score output[MODEL_OUTPUTS]);
#endif
#if ALARM
/* After each model_decide, with the same input and output: how unusual the error is with which
 * inputs were foretold, over ALARM_STEPS steps: 0 is usual, and above 1 decision->alarm is not 0,
 * because the error is larger or smaller than that of signals like those of training.
#if INTEGER
 * MODEL_SCORE_ONE stands for 1.
#endif
 */
#if INTEGER
#define MODEL_SCORE_ONE SCORE_ONE
#endif
SURPRISE_TYPE model_surprise(model_decision *decision, const model_input input[MODEL_INPUTS],
        const model_score output[MODEL_OUTPUTS]);
#endif
#if HAS_CONFIDENCE
/* After a step: the probability that the network gives to the class it decided for, CONFIDENCE_RANGE; \
 * not calibrated. */
CONFIDENCE_TYPE model_confidence(const model_decision *decision);
#endif
#if STANDS
/* Call it once after each model_decide: not 0 once the class stands, so that the rest of
 * the sequence need not be read. That is where, for PATIENCE steps in a row, the same class had a
 * probability of at least UNTIL_CONFIDENCE, and UNTIL_MARGIN more than any other, at step number
 * EARLIEST or later (counted from 1). */
int model_stands(model_decision *decision);
#endif
