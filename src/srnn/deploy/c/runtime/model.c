/* All of a library: which parts a network has, and in which order they stand. */
#include "configuration.h"

#if LEARNING
#include <float.h>
#include <string.h>

#endif
#if MATH
#include <math.h>

#endif
#include "model.h"
#include "model_weights.h"

#ifdef SRNN_COUNT
model_counts_type model_counts;
#define COUNT(what, number) (model_counts.what += (unsigned long)(number))
#else
#define COUNT(what, number) ((void)0)
#endif

#if INTEGER
#include "fixed_point.c"
#endif

/* repeat ROWS */
#include "rows.c"
/* end ROWS */

/* repeat RING_KINDS */
#include "delays.c"
/* end RING_KINDS */

/* repeat NEURONS */
NEURON_FUNCTION
/* end NEURONS */

/* repeat LAYERS */
#include "layer.c"
/* end LAYERS */

void model_init(model_state *state)
{
    int h;

/* repeat LAYERS */
    for (h = 0; h < SIZE; h++) {
/* repeat VARIABLES */
        state->LAYER.VARIABLE[h] = INITIAL;
/* end VARIABLES */
    }
/* repeat RINGS */
    for (h = 0; h < RING_LENGTH; h++)
        state->LAYER.RING[h] = 0;
    state->LAYER.RING_TURN[0] = 0;
#if FROM_ITSELF
    SEND(state->LAYER.RING, state->LAYER.RING_TURN, RING_DEPTH, DELAYS, SENT, RING_COUNT);
#endif
/* end RINGS */
/* end LAYERS */
    for (h = 0; h < WIDEST; h++)
        state->sums[h] = ZERO;
}

#if LEARNING
#include "learning.c"
#endif

#if LEARNING
void model_step(model_state *state, const model_parameters *parameters, model_traces *traces,
        const model_input input[MODEL_INPUTS], model_score scores[MODEL_OUTPUTS])
#else
void model_step(model_state *state, const model_input input[MODEL_INPUTS],
        model_score scores[MODEL_OUTPUTS])
#endif
{
/* repeat LAYERS */
    STEP_LAYER(STEP_ARGUMENTS);
/* end LAYERS */
#if LEARNING
    if (traces)
        remember(traces, scores);
#endif
    COUNT(steps, 1);
}

#if CROSSING
#include "crossing.c"
#elif SOUND
#include "sound.c"
#endif

#if DECISION
#include "decision.c"
#endif
