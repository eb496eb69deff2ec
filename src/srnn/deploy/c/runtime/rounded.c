#include "configuration.h"

/* Half to even, and clamped to the range. */
static int16_t rounded(REAL x)
{
    int32_t whole;
    REAL rest;

    if (x >= 32767)
        return 32767;
    if (x <= -32768)
        return -32768;
    whole = (int32_t)x;
    rest = x - (REAL)whole;
    whole += rest > HALF || (rest >= HALF && whole % 2 != 0);
    whole -= rest < -HALF || (rest <= -HALF && whole % 2 != 0);
    return (int16_t)whole;
}
