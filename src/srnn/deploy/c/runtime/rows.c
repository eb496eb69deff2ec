#include "configuration.h"

#if SPIKES
/* sums += the weights of every presynaptic neuron whose output is not zero. */
#else
/* sums += the weights of every presynaptic neuron whose output is not zero, times that output; a \
 * spike is 1. */
#endif
#if SPARSE
static void ADD_ROWS(NUMBER *sums, const ROW_START *start, const ROW_TARGET *to,
        const WEIGHT *weights, const SENT_TYPE *presynaptic, int count)
{
    int j;
    ROW_START k;

    for (j = 0; j < count; j++) {
        if (presynaptic[j] == ZERO)
            continue;
        COUNT(events, 1);
        COUNT(synaptic_adds, start[j + 1] - start[j]);
#if SPIKES
        for (k = start[j]; k < start[j + 1]; k++)
            sums[to[k]] += weights[k];
#else
        if (presynaptic[j] == NUMBER_ONE) {
            for (k = start[j]; k < start[j + 1]; k++)
                sums[to[k]] += weights[k];
        } else {
            COUNT(synaptic_multiplies, start[j + 1] - start[j]);
            for (k = start[j]; k < start[j + 1]; k++)
                sums[to[k]] += PRESYNAPTIC_VALUE * weights[k];
        }
#endif
    }
}
#else
static void ADD_ROWS(NUMBER *sums, int size, const WEIGHT *weights, const SENT_TYPE *presynaptic,
        int count)
{
    int j, k;

    for (j = 0; j < count; j++, weights += size) {
        if (presynaptic[j] == ZERO)
            continue;
        COUNT(events, 1);
        COUNT(synaptic_adds, size);
#if SPIKES
        for (k = 0; k < size; k++)
            sums[k] += weights[k];
#else
        if (presynaptic[j] == NUMBER_ONE) {
            for (k = 0; k < size; k++)
                sums[k] += weights[k];
        } else {
            COUNT(synaptic_multiplies, size);
            for (k = 0; k < size; k++)
                sums[k] += PRESYNAPTIC_VALUE * weights[k];
        }
#endif
    }
}
#endif
