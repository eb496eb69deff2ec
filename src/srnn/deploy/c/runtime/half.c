#include "configuration.h"

/* Rounded to the 11 bits of a float16 (half to even), as the features were in training. */
static float half(float x)
{
    union { float number; uint32_t bits; } both;

    both.number = x;
    both.bits += 0xfffu + ((both.bits >> 13) & 1u);
    both.bits &= ~(uint32_t)0x1fff;
    return both.number;
}
