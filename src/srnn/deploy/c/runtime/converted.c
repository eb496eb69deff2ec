#include "configuration.h"

#include "rounded.c"

/* A number as the library takes it: scaled, rounded (half to even) and clamped to its range. */
static int16_t converted(double number)
{
    return rounded((double)(float)number * INPUT_SCALE);
}
