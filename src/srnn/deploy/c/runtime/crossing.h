/* From a signal of CHANNELS_COUNTED to the network's input:
 *
#if TOLD
 *     model_encoder_init(&encoder, up, down);
#else
 *     model_encoder_init(&encoder);
#endif
 *     model_encoder_push(&encoder, signal);            each sample
 *     while (model_encode(&encoder, input))            the steps that are ready
 *         model_step(&state, input, scores);
 *
#if SMOOTHED
 * The signal is smoothed (Savitzky-Golay, SMOOTHING samples, order 3), so a step is LATE samples \
 * late: none is ready before SMOOTHING samples are in, then READY_AT_FIRST, then one per sample. \
 * At the end of a signal, model_encoder_end makes the rest ready.
#endif
#if ON_DELTA
 * Level crossing: spikes where a channel has moved by a threshold since its last spike; none at \
 * the first step.
#else
 * Level crossing: spikes where a channel rises or falls by a threshold from one step to the next; \
 * none at the first step.
#endif
 * Each channel gives 2 inputs: rises, falls.
 * THRESHOLDS_TOLD
 * RAM ENCODER_RAM bytes per encoder; a step takes ENCODER_ADDS additions and ENCODER_MULTIPLIES \
 * multiplications. */
#define MODEL_CHANNELS CHANNELS
#if DEVIATIONS_KNOWN
#define MODEL_UP {UP_THRESHOLDS}
#define MODEL_DOWN {DOWN_THRESHOLDS}
#endif
typedef struct {
#if RUNNING
    WIDE total[CHANNELS];
#endif
    SAMPLE last[WINDOW][CHANNELS];
    SAMPLE before[CHANNELS];
#if RUNNING
    SAMPLE level[CHANNELS];
    SAMPLE span;
#else
    SAMPLE up[CHANNELS];
    SAMPLE down[CHANNELS];
#endif
    uint8_t seen;
    uint8_t next;
    uint8_t stop;
    uint8_t started;
} model_encoder;
#if TOLD
void model_encoder_init(model_encoder *encoder, const SAMPLE up[MODEL_CHANNELS],
        const SAMPLE down[MODEL_CHANNELS]);
#else
void model_encoder_init(model_encoder *encoder);
#endif
void model_encoder_push(model_encoder *encoder, const SAMPLE signal[MODEL_CHANNELS]);
int model_encode(model_encoder *encoder, model_input spikes[MODEL_INPUTS]);
#if SMOOTHED
void model_encoder_end(model_encoder *encoder);
#endif
