#include "configuration.h"

/* 2^ONE_BITS exp(-distance / 2^DISTANCE_BITS): a power of two, its whole part by a shift. */
static uint32_t EXPONENTIAL(uint64_t distance)
{
    uint64_t power, fraction, value;

    if (distance >= VANISHING)
        return 0;
    power = distance * PER_LN2 TO_ONE_BITS;
    fraction = power & BELOW_ONE;
    value = LAST_POWER;
/* repeat POWERS */
    value = POWER - (value * fraction >> ONE_BITS);
/* end POWERS */
    return (uint32_t)(value >> (power >> ONE_BITS));
}
