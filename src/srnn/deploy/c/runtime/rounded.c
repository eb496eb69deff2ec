#include "configuration.h"

/* Half to even, and clamped to the range. */
static ROUNDED rounded(REAL x)
{
    int32_t whole;
    REAL rest;

    if (x >= ROUNDED_MOST)
        return ROUNDED_MOST;
    if (x <= ROUNDED_LEAST)
        return ROUNDED_LEAST;
    whole = (int32_t)x;
    rest = x - (REAL)whole;
    whole += rest > HALF || (rest >= HALF && whole % 2 != 0);
    whole -= rest < -HALF || (rest <= -HALF && whole % 2 != 0);
    return (ROUNDED)whole;
}
