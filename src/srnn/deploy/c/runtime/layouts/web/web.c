#include "configuration.h"

/* What a page calls of the network, compiled to WebAssembly. The numbers of a sample are written to where web_sample points;
 * states are read where web_state points, at the places that model.json names. */
#include "model.h"

#ifdef __wasm__
#define EXPORTED(name) __attribute__((export_name(name)))
#else
#define EXPORTED(name)
#endif

static model_model model;
static SAMPLE sample[MODEL_CHANNELS];
#if !CODED
static int answered;
#endif
/* NOLINTBEGIN(misc-use-internal-linkage): the page calls what follows. */
#if TOLD
static SAMPLE up[MODEL_CHANNELS], down[MODEL_CHANNELS];

/* The thresholds of each channel, to be written before web_begin. */
EXPORTED("up") SAMPLE *web_up(void)
{
    return up;
}
EXPORTED("down") SAMPLE *web_down(void)
{
    return down;
}
#endif

EXPORTED("begin") void web_begin(void)
{
    model_begin(BEGIN_ARGUMENTS);
}

EXPORTED("sample") SAMPLE *web_sample(void)
{
    return sample;
}

EXPORTED("state") model_state *web_state(void)
{
    return &model.state;
}

/* The readout's output at the last step. */
EXPORTED("scores") model_score *web_scores(void)
{
    return model.scores;
}

/* Takes the sample; web_next gives the answers of the steps that it completes. */
EXPORTED("push") void web_push(void)
{
#if CODED
    model_encoder_push(&model.encoder, sample);
#else
    answered = model_push(&model, sample);
#endif
}

/* The signal has ended: the steps that are still under way can be had, too. */
EXPORTED("end") void web_end(void)
{
#if CODED && ENDS
    model_encoder_end(&model.encoder);
#endif
}

/* 1 if there is the answer of one more step. */
EXPORTED("next") int web_next(void)
{
#if CODED
    if (!model_encode(&model.encoder, model.input))
        return 0;
    model_answer(&model, model.input);
    return 1;
#else
    int once = answered;

    answered = 0;
    return once;
#endif
}

#if ALARM
/* How unusual the signal is: above 1 there is an alarm. */
EXPORTED("score") double web_score(void)
{
#if INTEGER
    return (double)model.decision.score / MODEL_SCORE_ONE;
#else
    return model.decision.score;
#endif
}

#elif VALUES
/* VALUES_ARE */
EXPORTED("values") model_score *web_values(void)
{
    return model.values;
}

#else
/* -1 before the first step. */
EXPORTED("label") int web_label(void)
{
    return model.label;
}

/* -1 where the network does not say. */
EXPORTED("confidence") double web_confidence(void)
{
#if !HAS_CONFIDENCE
    return -1;
#elif INTEGER
    return model_confidence(&model.decision) / 1073741824.0;
#else
    return model_confidence(&model.decision);
#endif
}
#endif
/* NOLINTEND(misc-use-internal-linkage) */
