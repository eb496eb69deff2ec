#include "configuration.h"

/* Fixed-point arithmetic. Every result saturates in int32; products are rounded half up. It \
 * relies on arithmetic shifts of negative numbers, as every compiler in use makes them; this line \
 * checks it. */
typedef char srnn_shifts_are_arithmetic[((int64_t)-3 >> 1) == -2 ? 1 : -1];

static inline int32_t saturated(int64_t x)
{
    return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : (int32_t)x;
}

static inline int32_t add(int32_t a, int32_t b)
{
    return b > 0 ? (a > INT32_MAX - b ? INT32_MAX : a + b)
                 : (a < INT32_MIN - b ? INT32_MIN : a + b);
}

static inline int32_t subtract(int32_t a, int32_t b)
{
    return b < 0 ? (a > INT32_MAX + b ? INT32_MAX : a - b)
                 : (a < INT32_MIN + b ? INT32_MIN : a - b);
}

/* a * b / 2^shift, where it fits; shift > 0 */
static inline int32_t scale(int32_t a, int32_t b, int shift)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << (shift - 1))) >> shift);
}

/* a * b / 2^shift */
static inline int32_t multiply(int32_t a, int32_t b, int shift)
{
    const int64_t product = (int64_t)a * b;
    return saturated(shift > 0 ? (product + ((int64_t)1 << (shift - 1))) >> shift : product);
}

/* a * 2^shift */
static inline int32_t rescale(int32_t a, int shift)
{
    return saturated(shift < 0 ? ((int64_t)a + ((int64_t)1 << (-shift - 1))) >> -shift
                               : (int64_t)a * ((int64_t)1 << shift));
}

/* a / 2^shift, clamped to -max - 1 ... max: a state of fewer bits */
static inline int32_t narrow(int32_t a, int shift, int32_t max)
{
    const int32_t x =
        shift > 0 ? (int32_t)(((int64_t)a + ((int64_t)1 << (shift - 1))) >> shift) : a;
    return x > max ? max : x < -max - 1 ? -max - 1 : x;
}
