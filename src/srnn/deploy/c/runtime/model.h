/* ABOUT
 *
#if CODED && DECISION
 * Flash FLASH bytes of constants, besides code; RAM STATE_RAM bytes per state, ENCODER_RAM per \
 * encoder and DECISION_RAM per decision.
#elif CODED
 * Flash FLASH bytes of constants, besides code; RAM STATE_RAM bytes per state, ENCODER_RAM per \
 * encoder.
#elif DECISION
 * Flash FLASH bytes of constants, besides code; RAM STATE_RAM bytes per state and DECISION_RAM \
 * per decision.
#else
 * Flash FLASH bytes of constants, besides code; RAM STATE_RAM bytes per state.
#endif
#if CODED
 * A step takes at most (if every input and neuron spikes) SYNAPTIC_ADDS synaptic additions and \
 * SPIKE_MULTIPLIES multiplications (ANALOG_MULTIPLIES if inputs are neither 0 nor 1); for the \
 * neurons ALL_NEURON_ADDS additions and ALL_NEURON_MULTIPLIES multiplications; for the encoder \
 * ENCODER_ADDS and ENCODER_MULTIPLIES. A build with -DSRNN_COUNT counts what is executed.
#else
 * A step takes at most (if every input and neuron spikes) SYNAPTIC_ADDS synaptic additions and \
 * SPIKE_MULTIPLIES multiplications (ANALOG_MULTIPLIES if inputs are neither 0 nor 1); for the \
 * neurons ALL_NEURON_ADDS additions and ALL_NEURON_MULTIPLIES multiplications. A build with \
 * -DSRNN_COUNT counts what is executed.
#endif
#if !INTEGER
 * Arithmetic: float32, sums in ascending order of the presynaptic neurons. With -ffp-contract=off \
 * the results equal those of srnn's model to the bit; without it, a multiplication may be fused \
 * with an addition, and then rounds differently. Never compile with -ffast-math or -Ofast: sums \
 * of the decision would drift in long sequences.
#elif FLOATING
 * Arithmetic: integers only (the encoder: float32); overflow saturates. Weights int8 with a scale \
 * for each neuron; state int32.
#else
 * Arithmetic: integers only; overflow saturates. Weights int8 with a scale for each neuron; state \
 * int32.
#endif
#if INTEGER
 * Fractional bits of the state: STATE_BITS.
#endif
#if NARROW
 * Between two steps a state is stored in STATE_KIND, rounded and clamped; fractional bits: \
 * KEPT_BITS.
#endif
#if INTEGER
 * A score s stands for s / 2^OUTPUT_BITS.
#endif
#if INPUTS_TOLD
 * Inputs of a step: INPUTS_ARE.
#endif
#if INTEGER && FRACTIONAL
 * An input x is given as round(x * 2^INPUT_BITS), clamped to INPUT_KIND.
#elif INTEGER
 * An input x is given as an integer, clamped to INPUT_KIND.
#elif FLOAT_SAMPLES
 * All samples must be finite: a NaN or an infinity stays in the state, and silences neurons, \
 * until model_init and model_encoder_init is called.
#elif !CODED
 * All inputs must be finite: a NaN or an infinity stays in the state, and silences neurons, until \
 * model_init is called.
#endif
 * Nothing is allocated. A call changes nothing but the structs that it is given, so any number of \
 * networks and signals can run side by side; no struct may be used by two threads, or by a thread \
 * and an interrupt, at once.
 *
 * Written by 'srnn export c' in C99. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MODEL_INPUTS INPUTS
#define MODEL_OUTPUTS OUTPUTS

typedef INPUT model_input;
typedef NUMBER model_score;

/* All that a network keeps between two steps, and room for its sums. Use one for each signal, \
 * static or global, not on a small stack. */
typedef struct {
/* repeat LAYERS */
    struct { STATE_MEMBERS } LAYER;
/* end LAYERS */
    NUMBER sums[WIDEST];
} model_state;

/* Before the first step, and again to begin a new signal. */
void model_init(model_state *state);

#if LEARNING
#include "learning.h"

#endif
#if DECISION
/* One time step. scores: the readout's output at this step, a number for each class. model_decide \
 * turns them into a decision. */
#else
/* One time step. scores: the readout's output at this step, a number for each class. Which class \
 * they stand for depends on the loss that the network was trained with, which this export was not \
 * given: the largest at this step, or the largest sum, mean or last value over a sequence. */
#endif
#if LEARNING
void model_step(model_state *state, const model_parameters *parameters, model_traces *traces,
        const model_input input[MODEL_INPUTS], model_score scores[MODEL_OUTPUTS]);
#else
void model_step(model_state *state, const model_input input[MODEL_INPUTS],
        model_score scores[MODEL_OUTPUTS]);
#endif

#include "samples.h"

#if CROSSING
#include "crossing.h"

#elif SOUND
#include "sound.h"

#endif
#if DECISION
#include "decision.h"

#endif
#include "push.h"

#ifdef SRNN_COUNT
/* What has been computed since the program began, over all states. */
typedef struct {
#if CODED
    unsigned long steps, events, synaptic_adds, synaptic_multiplies, neuron_adds,
        neuron_multiplies, encoder_adds, encoder_multiplies;
#else
    unsigned long steps, events, synaptic_adds, synaptic_multiplies, neuron_adds,
        neuron_multiplies;
#endif
} model_counts_type;
extern model_counts_type model_counts;
#endif

#ifdef __cplusplus
}
#endif

#endif
