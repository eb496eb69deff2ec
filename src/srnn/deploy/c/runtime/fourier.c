#include "configuration.h"

/* The Fourier transform of p numbers that lie span apart, the q-th of them turned by q times turn \
 * parts of a circle. */
static void combine(float *re, float *im, int span, int p, int turn)
{
    float a[LARGEST_FACTOR], b[LARGEST_FACTOR], sum_a, sum_b;
    int q, r;

    a[0] = re[0];
    b[0] = im[0];
    for (q = 1; q < p; q++) {
        const int angle = q * turn;
        const float c = cosines[angle], s = cosines[(angle + THREE_QUARTERS) % WINDOW];
        const float x = re[q * span], y = im[q * span];
        a[q] = x * c + y * s;
        b[q] = y * c - x * s;
    }
    if (p == 2) {
        re[0] = a[0] + a[1];
        im[0] = b[0] + b[1];
        re[span] = a[0] - a[1];
        im[span] = b[0] - b[1];
        return;
    }
    sum_a = a[0];
    sum_b = b[0];
    for (q = 1; 2 * q < p; q++) {
        const float x = a[q], y = b[q];
        a[q] = x + a[p - q];
        b[q] = y + b[p - q];
        a[p - q] = x - a[p - q];
        b[p - q] = y - b[p - q];
        sum_a += a[q];
        sum_b += b[q];
    }
    re[0] = sum_a;
    im[0] = sum_b;
    for (r = 1; 2 * r < p; r++) {
        float even_a = a[0], even_b = b[0], odd_a = 0.0f, odd_b = 0.0f;
        for (q = 1; 2 * q < p; q++) {
            const int angle = q * r % p * (WINDOW / p);
            const float c = cosines[angle], s = cosines[(angle + THREE_QUARTERS) % WINDOW];
            even_a += c * a[q];
            even_b += c * b[q];
            odd_a += s * a[p - q];
            odd_b += s * b[p - q];
        }
        re[r * span] = even_a + odd_b;
        im[r * span] = even_b - odd_a;
        re[(p - r) * span] = even_a - odd_b;
        im[(p - r) * span] = even_b + odd_a;
    }
}

/* The Fourier transform of POINTS complex numbers, in place. */
static void transform(float *re, float *im)
{
    int span = 1, stage, group, k;

    for (stage = 0; stage < STAGES; stage++) {
        const int p = factors[stage], reach = span * p;
        for (group = 0; group < POINTS; group += reach)
            for (k = 0; k < span; k++)
                combine(re + group + k, im + group + k, span, p, k * (WINDOW / reach));
        span = reach;
    }
}
