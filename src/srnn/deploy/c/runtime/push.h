/* All of it in one struct, from samples of the signal to the answer:
 *
 *     model_begin(BEGIN_ARGUMENTS);
 *     if (model_push(&model, sample))
#if ALARM
 *         use(model.decision.score, model.decision.alarm);
#elif VALUES
 *         use(model.values);
#elif DECISION
 *         puts(model_label(&model));
#else
 *         use(model.scores);
#endif
 *
 * model_begin comes before each signal. model_push takes a sample, and is 1 if there is a new \
 * answer. The answers are those of the functions above.
#if LEARNING
 * With traces instead of 0 the network can learn: model_learn and model_update take them.
#endif
 */
typedef struct {
    model_state state;
#if LEARNING
    const model_parameters *parameters;
    model_traces *traces;
#endif
#if CODED
    model_encoder encoder;
#endif
#if DECISION
    model_decision decision;
#endif
#if CODED || CONVERTS
    model_input input[MODEL_INPUTS];
#endif
#if POOLED
    model_pool pool;
#endif
    model_score scores[MODEL_OUTPUTS];
#if VALUES
    model_score values[MODEL_NUM_CLASSES];
#elif DECISION
    int label; /* -1: no step is complete yet */
#endif
#if STANDS
    int stands; /* what model_stands said of the last step */
#endif
} model_model;
static inline void model_begin(BEGIN_PARAMETERS)
{
    model_init(&whole->state);
#if LEARNING
    whole->parameters = parameters;
    whole->traces = traces;
    if (traces)
        model_traces_init(traces);
#endif
#if TOLD
    model_encoder_init(&whole->encoder, up, down);
#elif CODED
    model_encoder_init(&whole->encoder);
#endif
#if POOLED
    model_pool_init(&whole->pool);
#endif
#if DECISION
    model_decision_init(&whole->decision);
#endif
#if DECISION && !VALUES
    whole->label = -1;
#endif
#if STANDS
    whole->stands = 0;
#endif
}
/* One step from its inputs. */
static inline void model_answer(model_model *whole, const model_input input[MODEL_INPUTS])
{
#if LEARNING
    model_step(&whole->state, whole->parameters, whole->traces, input, whole->scores);
#else
    model_step(&whole->state, input, whole->scores);
#endif
#if LINEAR
    model_linear(&whole->decision, input);
#endif
#if VALUES
    model_decide(&whole->decision, whole->scores, whole->values);
#elif DECISION
    whole->label = model_decide(&whole->decision, whole->scores);
#endif
#if ALARM
    model_surprise(&whole->decision, input, whole->scores);
#endif
#if STANDS
    whole->stands = model_stands(&whole->decision);
#endif
}
#if CONVERTS
/* Takes a sample; 1 if the inputs of a step are complete. */
static inline int model_take(model_model *whole, const SAMPLE sample[MODEL_CHANNELS])
{
#if POOLED
    SAMPLE pooled[MODEL_CHANNELS];

    if (!model_pool_push(&whole->pool, sample, pooled))
        return 0;
    model_convert(pooled, whole->input);
#else
    model_convert(sample, whole->input);
#endif
    return 1;
}
#endif
static inline int model_push(model_model *whole, const SAMPLE sample[MODEL_CHANNELS])
{
#if CODED
    int answered = 0;

    model_encoder_push(&whole->encoder, sample);
    while (model_encode(&whole->encoder, whole->input)) {
        model_answer(whole, whole->input);
        answered = 1;
    }
    return answered;
#elif CONVERTS
    if (!model_take(whole, sample))
        return 0;
    model_answer(whole, whole->input);
    return 1;
#else
    model_answer(whole, sample);
    return 1;
#endif
}
#if DECISION && !VALUES
/* The name of the class at the last step; "" before the first. */
static inline const char *model_label(const model_model *whole)
{
    return whole->label < 0 ? "" : MODEL_CLASSES[whole->label];
}
#endif
