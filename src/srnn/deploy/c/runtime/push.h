/* All of it in one struct, from samples of the signal to the name of the class:
 *
#if !SOUND && TOLD
 *     model_begin(&model, up, down);                   before each signal
#else
 *     model_begin(&model);                             before each signal
#endif
 *     if (model_push(&model, sample))                  each sample; 1: there is a new answer
 *         puts(model_label(&model));
 *
 * The answers are those of the functions above. A sample is given in their unit. */
typedef struct {
    model_state state;
    model_encoder encoder;
    model_decision decision;
    model_input input[MODEL_INPUTS];
    model_score scores[MODEL_OUTPUTS];
    int label; /* -1: no step is complete yet */
#if STANDS
    int stands; /* what model_stands said of the last step */
#endif
} model_model;
#if !SOUND && TOLD
static inline void model_begin(model_model *whole, const SAMPLE up[MODEL_CHANNELS],
        const SAMPLE down[MODEL_CHANNELS])
#else
static inline void model_begin(model_model *whole)
#endif
{
    model_init(&whole->state);
#if !SOUND && TOLD
    model_encoder_init(&whole->encoder, up, down);
#else
    model_encoder_init(&whole->encoder);
#endif
    model_decision_init(&whole->decision);
    whole->label = -1;
#if STANDS
    whole->stands = 0;
#endif
}
static inline int model_push(model_model *whole, const SAMPLE sample[MODEL_CHANNELS])
{
    int answered = 0;

    model_encoder_push(&whole->encoder, sample);
    while (model_encode(&whole->encoder, whole->input)) {
        model_step(&whole->state, whole->input, whole->scores);
        whole->label = model_decide(&whole->decision, whole->scores);
#if STANDS
        whole->stands = model_stands(&whole->decision);
#endif
        answered = 1;
    }
    return answered;
}
/* The name of the class at the last step; "" before the first. */
static inline const char *model_label(const model_model *whole)
{
    return whole->label < 0 ? "" : MODEL_CLASSES[whole->label];
}
