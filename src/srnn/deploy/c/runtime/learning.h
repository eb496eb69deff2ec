/* Learning: the weights and biases of LEARNERS.
 *
 *     model_parameters_init(&parameters);           once: as they were trained; again: to forget
 *     model_init(&state); model_traces_init(&traces);     before the first step of every sequence
 *     model_step(&state, &parameters, &traces, input, scores);     0 for the traces: only runs
#if SUMMED
 *     model_learn(&parameters, &traces, label);     at the end: of all steps since the last label
 *     model_update(&parameters, &traces, rate, bound);   then
#else
 *     model_learn(&parameters, &traces, label);     after each step whose label is known
 *     model_update(&parameters, &traces, rate, bound);   whenever the parameters are to change
#endif
 *
 * An update moves each parameter by rate times the gradient of the loss, the mean over the labels
 * since the last update, and no tensor further from its trained values than bound times their norm.
 * A gradient that is not finite is dropped.
 * Both structs are plain numbers: saved and restored as bytes, they let learning continue to the
 * same bits.
 * RAM PARAMETERS_RAM bytes of parameters and TRACES_RAM of traces. In addition to the network's \
 * own cost: a step STEP_ADDS additions, STEP_MULTIPLIES multiplications, STEP_EXPONENTIALS calls \
 * of expf; a label LABEL_ADDS additions, LABEL_MULTIPLIES multiplications, LABEL_EXPONENTIALS \
 * calls of expf; an update UPDATE_ADDS additions, UPDATE_MULTIPLIES multiplications, \
 * UPDATE_EXPONENTIALS calls of expf. */
typedef struct {
/* repeat LEARNING_LAYERS */
    float LAYER[LEARNT];
/* end LEARNING_LAYERS */
} model_parameters;
typedef struct {
/* repeat TRACE_MEMBERS */
    float TRACE[TRACE_LENGTH];
/* end TRACE_MEMBERS */
    float scores[OUTPUTS];
    uint32_t position;
    uint32_t learnt;
#if SUMMED
    uint32_t told;
#endif
} model_traces;
void model_parameters_init(model_parameters *parameters);
void model_traces_init(model_traces *traces);
void model_learn(const model_parameters *parameters, model_traces *traces, int label);
void model_update(model_parameters *parameters, model_traces *traces, float rate, float bound);
