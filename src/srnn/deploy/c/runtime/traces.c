#include "configuration.h"

#if SLOPES_DIFFER
TRACED_SLOPES
#endif
static void FOLLOW_LAYER(FOLLOW_PARAMETERS)
{
    int h, j;

#if SLOPES_DIFFER
    for (h = 0; h < SIZE; h++)
        SLOPES(SLOPE_ARGUMENTS);
#endif
    for (j = 0; j < LEARNT_ROWS; j++) {
        const float z = SYNAPSE_INPUT;
/* repeat TRACE_ROWS */
        float *const ROW_AT = traces->ROW_TRACE + j * SIZE;
/* end TRACE_ROWS */

        for (h = 0; h < SIZE; h++) {
/* repeat TRACE_ROWS */
#if ROW_READ
            const float ROW = ROW_AT[h];
#endif
/* end TRACE_ROWS */
/* repeat TRACE_ROWS */
            ROW_AT[h] = ROW_NEXT;
/* end TRACE_ROWS */
        }
    }
}
