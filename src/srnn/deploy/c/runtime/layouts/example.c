#include "configuration.h"

/* Runs the network NAME:
#if ENDLESS
 * on a signal that does not end, and prints its class now and then.
#else
 * sequence after sequence, and prints the class of each.
#endif
 * ABOUT */
#if PLATFORMIO
#include <stdio.h>
#elif ZEPHYR
#include <zephyr/kernel.h>
#elif ESPIDF
#include <stdio.h>

#include <freertos/FreeRTOS.h>
#include <freertos/task.h>
#endif

#include "model.h"

#if SOUND
#define STEPS MODEL_RATE /* samples: one second */
#elif ENDLESS
#define STEPS 100 /* from one class that is printed to the next */
#else
#define STEPS 100 /* of a sequence */
#endif

static model_state state;
#if CODED
static model_encoder encoder;
#endif
#if LEARNING
static model_parameters parameters;
#endif
#if DECISION
static model_decision decision;
#endif

#if CODED
/* Stands in for a sensor: the value of a channel at a sample.
 * Read your own here; wait until it is due, if nothing else keeps time. */
static SAMPLE sensor(int sample, int channel)
{
    return (SAMPLE)((sample + channel) % 40 * 500 - 9750);
}

#elif RAW && STANDARDISED
/* Stands in for a sensor: the value of a channel at a step, in the unit of the training data.
 * Read your own here; wait until it is due, if nothing else keeps time. */
static float sensor(int step, int channel)
{
    return (float)((step + channel) % 3 == 0);
}

static const float means[] = MODEL_MEAN, deviations[] = MODEL_STD;

#else
/* Stands in for a sensor: the value of a channel at a step, as model.h describes the input.
 * Read your own here; wait until it is due, if nothing else keeps time. */
static model_input sensor(int step, int channel)
{
    return (model_input)((step + channel) % 3 == 0);
}

#endif
#if RAW && STANDARDISED && FRACTIONAL
#include "converted.c"

#endif
#if TOLD && DEVIATIONS_KNOWN
/* Thresholds of each channel: model.h says how they derive from its standard deviation.
 * For the deviations that were stated. */
static const SAMPLE up[MODEL_CHANNELS] = MODEL_UP, down[MODEL_CHANNELS] = MODEL_DOWN;

#elif TOLD
/* Thresholds of each channel: model.h says how they derive from its standard deviation.
 * Measure that, and put your own here. */
static const SAMPLE up[MODEL_CHANNELS] = {MADE_UP}, down[MODEL_CHANNELS] = {MADE_UP};

#endif
/* Before the first step of a signal. */
static void begin(void)
{
    model_init(&state);
#if TOLD
    model_encoder_init(&encoder, up, down);
#elif CODED
    model_encoder_init(&encoder);
#endif
#if LEARNING
    model_parameters_init(&parameters);
#endif
#if DECISION
    model_decision_init(&decision);
#endif
}

#if !DECISION
static int largest(const model_score *scores)
{
    int i, label = 0;

    for (i = 1; i < MODEL_OUTPUTS; i++)
        label = scores[i] > scores[label] ? i : label;
    return label;
}
#endif

/* The class after one more step. */
static int decided(const model_input *input)
{
    static model_score scores[MODEL_OUTPUTS]; /* static: a task's stack may be small */

#if LEARNING
    model_step(&state, &parameters, 0, input, scores);
#else
    model_step(&state, input, scores);
#endif
#if DECISION
    return model_decide(&decision, scores);
#else
    return largest(scores);
#endif
}

static int classify(void)
{
#if ENDLESS
    static int begun;
#endif
#if CODED
    static SAMPLE sample[MODEL_CHANNELS];
#endif
    static model_input input[MODEL_INPUTS];
    int t, i, label = 0;

#if ENDLESS
    if (!begun) {
        begin();
        begun = 1;
    }
#else
    begin();
#endif
    for (t = 0; t < STEPS; t++) {
#if CODED
        for (i = 0; i < MODEL_CHANNELS; i++)
            sample[i] = sensor(t, i);
        model_encoder_push(&encoder, sample);
        while (model_encode(&encoder, input))
            label = decided(input);
#else
        for (i = 0; i < MODEL_INPUTS; i++)
#if RAW && STANDARDISED && FRACTIONAL
            input[i] = converted((double)((sensor(t, i) - means[i]) / deviations[i]));
#elif RAW && STANDARDISED
            input[i] = (sensor(t, i) - means[i]) / deviations[i];
#else
            input[i] = sensor(t, i);
#endif
        label = decided(input);
#endif
    }
    return label;
}

#if ARDUINO
void setup()
{
    Serial.begin(115200);
}

void loop()
{
#if DECISION
    Serial.println(MODEL_CLASSES[classify()]);
#else
    Serial.println(classify());
#endif
    delay(PAUSE_MS);
}
#elif PLATFORMIO
int main(void)
{
#if DECISION
    printf("%s\n", MODEL_CLASSES[classify()]);
#else
    printf("%d\n", classify());
#endif
    return 0;
}
#elif ZEPHYR
int main(void)
{
    for (;;) {
#if DECISION
        printk("%s\n", MODEL_CLASSES[classify()]);
#else
        printk("%d\n", classify());
#endif
        k_msleep(PAUSE_MS);
    }
    return 0;
}
#elif ESPIDF
void app_main(void)
{
    for (;;) {
#if DECISION
        printf("%s\n", MODEL_CLASSES[classify()]);
#else
        printf("%d\n", classify());
#endif
#if ENDLESS
        vTaskDelay(1 /* tick: the idle task must run */);
#else
        vTaskDelay(pdMS_TO_TICKS(PAUSE_MS));
#endif
    }
}
#endif
