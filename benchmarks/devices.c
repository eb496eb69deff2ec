/* An exported network on a board, or on this machine: sequences on standard input, labels and what they cost on standard output.
 * Built by devices.py, which defines HEADER, PREFIX, INPUTS and OUTPUTS, and what there is of ENCODER (samples a block), ENCODER_END
 * and DECISION. A sequence is a number of blocks and the blocks, each of ENCODER samples, or of one step. Out go an int8 label
 * for each step, and -1 at the end of each sequence; at last the instructions of the front end, those of the network, and the bytes of stack.
 */
#include HEADER

#ifdef BOARD
#include "support.h" /* boards.SUPPORT */
#else
#include <stdint.h>
#include <stdio.h>
#define begin() ((void)0)
#define end() ((void)fflush(stdout))
#define ticks() 0u
#define since(start) (0u * (start))
#define receive(bytes, count) (fread(bytes, count, 1, stdin) == 1)
#define send(bytes, count) ((void)fwrite(bytes, count, 1, stdout))
#define run main_run
static void run(void);
int main(void)
{
    run();
    return 0;
}
#endif

#define GLUE(a, b) a##_##b
#define JOIN(a, b) GLUE(a, b)
#define NET(part) JOIN(PREFIX, part)

static NET(state) state;
static NET(input) input[INPUTS];
static NET(score) scores[OUTPUTS];
static uint64_t front, network;
#ifdef DECISION
static NET(decision) decision;
#endif
#ifdef ENCODER
static NET(encoder) encoder;
static int16_t block[ENCODER];
#endif

static void step(void)
{
    const uint32_t start = ticks();
    int8_t label = 0;

    NET(step)(&state, input, scores);
#ifdef DECISION
    label = (int8_t)NET(decide)(&decision, scores);
#endif
    network += since(start);
    send(&label, 1);
}

#ifdef ENCODER
static int encode(void)
{
    const uint32_t start = ticks();
    const int made = NET(encode)(&encoder, input);

    front += since(start);
    return made;
}

static void process(void)
{
    int i;

    for (i = 0; i < ENCODER; i++) {
        const uint32_t start = ticks();
        NET(encoder_push)(&encoder, block + i);
        front += since(start);
        while (encode())
            step();
    }
}
#endif

#ifdef BOARD
#define PAINT 0xA5A5A5A5u
static void paint(void)
{
    volatile uint32_t here, *at = (volatile uint32_t *)(((uint32_t)&bss_end + 3) & ~3u);

    for (; at < &here - 64; at++)
        *at = PAINT;
}

static uint32_t stack(void)
{
    const volatile uint32_t *at = (const volatile uint32_t *)(((uint32_t)&bss_end + 3) & ~3u);

    while (*at == PAINT)
        at++;
    return (uint32_t)&stack_top - (uint32_t)at;
}
#else
#define paint() ((void)0)
#define stack() 0u
#endif

void run(void);
void run(void)
{
    uint32_t blocks, result[5];
    const int8_t finished = -1;

    begin();
    paint();
    while (receive(&blocks, sizeof blocks)) {
        NET(init)(&state);
#ifdef DECISION
        NET(decision_init)(&decision);
#endif
#ifdef ENCODER
        NET(encoder_init)(&encoder);
        while (blocks-- && receive(block, sizeof block))
            process();
        NET(encoder_end)(&encoder);
        while (encode())
            step();
#else
        while (blocks-- && receive(input, sizeof input))
            step();
#endif
        send(&finished, 1);
    }
    result[0] = (uint32_t)front;
    result[1] = (uint32_t)(front >> 32);
    result[2] = (uint32_t)network;
    result[3] = (uint32_t)(network >> 32);
    result[4] = stack();
    send(result, sizeof result);
    end();
}
