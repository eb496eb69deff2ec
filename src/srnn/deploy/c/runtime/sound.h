/* From sound of 16 bits at RATE Hz to the network's input:
 *
 *     model_encoder_init(&encoder);
 *     model_encoder_push(&encoder, signal);            each sample
 *     while (model_encode(&encoder, input))            the steps that are ready
 *         model_step(&state, input, scores);
 *
#if DERIVATIVES
 * Log energies of MELS mel bands from LOW_HZ to HIGH_HZ Hz, of frames of WINDOW samples, HOP \
 * apart and their first DERIVATIVES derivatives over time, scaled by the training set's means and \
 * deviations. A step is LATE samples late, from the middle of its frame. At the end of a sound, \
 * model_encoder_end makes the rest ready.
#else
 * Log energies of MELS mel bands from LOW_HZ to HIGH_HZ Hz, of frames of WINDOW samples, HOP \
 * apart, scaled by the training set's means and deviations. A step is LATE samples late, from the \
 * middle of its frame. At the end of a sound, model_encoder_end makes the rest ready.
#endif
 * Call model_encode after each sample, as here: most calls return 0 at once, one in HOP does the \
 * work of a frame. A sample that is pushed into a full frame, before that call, is dropped. Sound \
 * that arrives while a frame and its step are computed belongs in a ring buffer of your own, \
 * which an interrupt or DMA fills and from which you push; model_encoder_push itself must not \
 * interrupt model_encode.
 * Arithmetic: float32. RAM ENCODER_RAM bytes per encoder; a step takes ENCODER_ADDS additions, \
 * ENCODER_MULTIPLIES multiplications and MELS logarithms. */
#define MODEL_CHANNELS 1
#define MODEL_RATE RATE
typedef struct {
    float frames[FRAMES];
    float re[POINTS];
    float im[POINTS];
    int16_t sound[WINDOW];
    int16_t at;
    uint16_t have;
    uint16_t count;
    uint8_t seen;
    uint8_t next;
    uint8_t stop;
    uint8_t ended;
} model_encoder;
void model_encoder_init(model_encoder *encoder);
void model_encoder_push(model_encoder *encoder, const int16_t signal[MODEL_CHANNELS]);
int model_encode(model_encoder *encoder, model_input input[MODEL_INPUTS]);
void model_encoder_end(model_encoder *encoder);
