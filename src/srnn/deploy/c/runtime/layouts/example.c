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
#define SAMPLES MODEL_RATE /* one second */
#elif ENDLESS
#define SAMPLES 100 /* from one class that is printed to the next */
#else
#define SAMPLES 100 /* of a sequence */
#endif

static model_model model;
#if LEARNING
static model_parameters parameters;
#endif

/* Stands in for a sensor: the value of a channel at a sample, as model.h describes it.
 * Read your own here; wait until it is due, if nothing else keeps time. */
static SAMPLE sensor(int sample, int channel)
{
#if CODED
    return (SAMPLE)((sample + channel) % 40 * 500 - 9750);
#else
    return (SAMPLE)((sample + channel) % 3 ? 0 : ONE);
#endif
}

#if TOLD && DEVIATIONS_KNOWN
/* Thresholds of each channel: model.h says how they derive from its standard deviation.
 * For the deviations that were stated. */
static const SAMPLE up[MODEL_CHANNELS] = MODEL_UP, down[MODEL_CHANNELS] = MODEL_DOWN;

#elif TOLD
/* Thresholds of each channel: model.h says how they derive from its standard deviation.
 * Measure that, and put your own here. */
static const SAMPLE up[MODEL_CHANNELS] = {MADE_UP}, down[MODEL_CHANNELS] = {MADE_UP};

#endif
#if !DECISION
static int largest(const model_score *scores)
{
    int i, label = 0;

    for (i = 1; i < MODEL_OUTPUTS; i++)
        label = scores[i] > scores[label] ? i : label;
    return label;
}

#endif
/* Before the first sample of a signal. */
static void begin(void)
{
#if LEARNING
    model_parameters_init(&parameters);
#endif
    model_begin(BEGIN_ARGUMENTS);
}

/* The class after so many samples. */
#if DECISION
static const char *classify(void)
#else
static int classify(void)
#endif
{
#if ENDLESS
    static int begun;
#endif
    static SAMPLE sample[MODEL_CHANNELS]; /* static: a task's stack may be small */
    int t, c;

#if ENDLESS
    if (!begun)
        begin();
    begun = 1;
#else
    begin();
#endif
    for (t = 0; t < SAMPLES; t++) {
        for (c = 0; c < MODEL_CHANNELS; c++)
            sample[c] = sensor(t, c);
        model_push(&model, sample);
    }
#if DECISION
    return model_label(&model);
#else
    return largest(model.scores);
#endif
}

#if ARDUINO
void setup()
{
    Serial.begin(115200);
}

void loop()
{
    Serial.println(classify());
    delay(PAUSE_MS);
}
#elif PLATFORMIO
int main(void)
{
    printf(ANSWER_FORMAT, classify());
    return 0;
}
#elif ZEPHYR
int main(void)
{
    for (;;) {
        printk(ANSWER_FORMAT, classify());
        k_msleep(PAUSE_MS);
    }
    return 0;
}
#elif ESPIDF
void app_main(void)
{
    for (;;) {
        printf(ANSWER_FORMAT, classify());
#if ENDLESS
        vTaskDelay(1 /* tick: the idle task must run */);
#else
        vTaskDelay(pdMS_TO_TICKS(PAUSE_MS));
#endif
    }
}
#endif
