/* A part of model.c, whose other parts it calls. */
#include "configuration.h"

#if LEARNS
#include "traces.c"

#endif
static void STEP_LAYER(STEP_PARAMETERS)
{
/* repeat RINGS */
    SENT_TYPE ARRIVED[RING_COUNT];
/* end RINGS */
    int h;

/* repeat RINGS */
#if FROM_BELOW
    SEND(state->LAYER.RING, state->LAYER.RING_TURN, RING_DEPTH, DELAYS, SENT, RING_COUNT);
#endif
    RECEIVE(state->LAYER.RING, state->LAYER.RING_TURN, RING_DEPTH, ARRIVED, RING_COUNT);
/* end RINGS */
    for (h = 0; h < SIZE; h++)
        state->sums[h] = FIRST_SUM;
/* repeat SOURCES */
#if SPARSE
    ADD_ROWS(state->sums, START, TO, WEIGHTS, ARRIVING, PRESYNAPTIC);
#else
    ADD_ROWS(state->sums, SIZE, WEIGHTS, ARRIVING, PRESYNAPTIC);
#endif
#if LIFTED
    for (h = 0; h < SIZE; h++)
        state->sums[h] *= LIFT;
#endif
/* end SOURCES */
#if LEARNS
    if (traces)
        FOLLOW_LAYER(FOLLOW_ARGUMENTS);
#endif
#if INTEGER
    COUNT(neuron_adds, SIZE);
    COUNT(neuron_multiplies, SIZE);
#endif
    for (h = 0; h < SIZE; h++) {
#if SCALED_CURRENT && CURRENT_FITS
        const int32_t current = scale(state->sums[h], SCALES[h], SCALE_SHIFT) + BIAS[h];
#elif SCALED_CURRENT
        const int32_t current = add(multiply(state->sums[h], SCALES[h], SCALE_SHIFT), BIAS[h]);
#endif
#if DRIVE_USED
        const NUMBER v = NEURON(NEURON_ARGUMENTS);
#else
        (void)NEURON(NEURON_ARGUMENTS);
#endif
#if EMISSION_KEPT
        state->LAYER.s[h] = EMITTED;
#endif
#if EMISSION_READ
        scores[h] = EMITTED;
#elif LAST
        scores[h] = state->LAYER.MEMBRANE[h];
#endif
    }
/* repeat RINGS */
#if FROM_ITSELF
    SEND(state->LAYER.RING, state->LAYER.RING_TURN, RING_DEPTH, DELAYS, SENT, RING_COUNT);
#endif
/* end RINGS */
    COUNT(neuron_adds, SIZE * NEURON_ADDS);
    COUNT(neuron_multiplies, SIZE * NEURON_MULTIPLIES);
}
