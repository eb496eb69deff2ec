#include "configuration.h"

/* Puts what presynaptic neurons emit now into the ring's slots, each by its delay. \
 * Any turn in the state is safe. */
static void SEND(SLOT_TYPE *ring, const uint16_t *turn, int depth, const DELAY_TYPE *delays,
        const SENT_TYPE *presynaptic, int count)
{
#if BITS
    const uint32_t slot = ((uint32_t)count + 7) / 8;
#else
    const uint32_t slot = (uint32_t)count;
#endif
    const int now = turn[0] < (uint16_t)depth ? (int)turn[0] : 0;
    int j;

    for (j = 0; j < count; j++)
        if (presynaptic[j] != SENT_ZERO) {
            const int due = now + delays[j];
#if BITS
            const uint32_t at =
                (uint32_t)(due < depth ? due : due - depth) * slot + (uint32_t)j / 8;
            ring[at] = (uint8_t)(ring[at] | 1u << j % 8);
#else
            const uint32_t at = (uint32_t)(due < depth ? due : due - depth) * slot + (uint32_t)j;
            ring[at] = presynaptic[j];
#endif
        }
}

/* Takes what arrives now; its slot is then empty, and the ring turns by one. */
static void RECEIVE(SLOT_TYPE *ring, uint16_t *turn, int depth, SENT_TYPE *arrived, int count)
{
#if BITS
    const uint32_t slot = ((uint32_t)count + 7) / 8;
#else
    const uint32_t slot = (uint32_t)count;
#endif
    const int now = turn[0] < (uint16_t)depth ? (int)turn[0] : 0;
    SLOT_TYPE *const arriving = ring + (uint32_t)now * slot;
    uint32_t i;
    int j;

    for (j = 0; j < count; j++)
#if BITS
        arrived[j] = ((arriving[(uint32_t)j / 8] >> j % 8) & 1) ? SENT_ONE : SENT_ZERO;
#else
        arrived[j] = arriving[(uint32_t)j];
#endif
    for (i = 0; i < slot; i++)
        arriving[i] = SLOT_EMPTY;
    turn[0] = (uint16_t)(now + 1 < depth ? now + 1 : 0);
}
