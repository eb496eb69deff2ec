"""Proofs about exported C, by CBMC: for every state and every input at once, not for those that a
test thinks of."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CBMC = shutil.which("cbmc")
CHECKS = (
    "--bounds-check", "--pointer-check", "--pointer-overflow-check", "--signed-overflow-check", "--unsigned-overflow-check",
    "--conversion-check", "--undefined-shift-check", "--div-by-zero-check", "--unwinding-assertions",
)  # fmt: skip
needs_cbmc = pytest.mark.skipif(CBMC is None, reason="no cbmc in the PATH (apt-get install cbmc)")

STEP = """\
#include "net.c"

int main(void)
{
    net_state state; /* CBMC: uninitialised, so any bytes */
    net_input input[NET_INPUTS];
    net_score scores[NET_OUTPUTS];

    net_step(&state, input, scores);
    return 0;
}
"""
"""One step from any state whatever, with any input."""

DECIDE = """\
#include "net.c"

int main(void)
{
    net_decision decision; /* any bytes */
    net_score output[NET_OUTPUTS];
    const int label = net_decide(&decision, output);

    __CPROVER_assert(label >= 0 && label < NET_NUM_CLASSES, "it is a class");
    return 0;
}
"""
"""One decision after any others, on any outputs."""

ENCODER = """\
#include "net.c"

int nondet_choice(void); /* CBMC: any number */

/* What holds of every encoder: after init; and if it held before a call, after it. */
static int valid(const net_encoder *encoder)
{
    int c, k;

    if (encoder->seen > WINDOW || encoder->next > encoder->stop || encoder->stop > WINDOW)
        return 0;
    if (encoder->next < encoder->stop && encoder->next < WINDOW - encoder->seen)
        return 0; /* a step of samples that never came */
    for (k = 0; k < WINDOW; k++)
        for (c = 0; c < NET_CHANNELS; c++)
            if (k >= WINDOW - encoder->seen && !HELD(encoder->last[k][c]))
                return 0;
#if defined HORIZON && INTEGERS /* in float32 any values are harmless */
    if (encoder->span < 0 || encoder->span > HORIZON)
        return 0;
    for (c = 0; c < NET_CHANNELS; c++)
        if (encoder->total[c] < 0 || encoder->total[c] > encoder->span * 4294967296LL)
            return 0;
#endif
    return 1;
}

int main(void)
{
    net_encoder encoder;
    net_input spikes[NET_INPUTS];
    SAMPLE signal[NET_CHANNELS];
#ifdef HORIZON
#define TOLD
#else
#define TOLD , up, down
    SAMPLE up[NET_CHANNELS], down[NET_CHANNELS];
#endif

    if (nondet_choice()) {
        net_encoder_init(&encoder TOLD);
    } else {
        __CPROVER_assume(valid(&encoder));
        switch (nondet_choice()) {
        case 0: net_encoder_push(&encoder, signal); break;
        case 1: (void)net_encode(&encoder, spikes); break;
        default: net_encoder_end(&encoder);
        }
    }
    __CPROVER_assert(valid(&encoder), "what held of the encoder holds again");
    return 0;
}
"""
"""Any order of calls of a smoothing encoder, by induction. To be defined before: WINDOW, SAMPLE
(its type), and HELD(x): whether a kept sample is within its limit; and, if its scale runs along,
HORIZON, its samples, and INTEGERS, 0 or 1."""


def tried(folder: Path, program: str, unwind: int = 20) -> tuple[int, list[str]]:
    """(properties that were checked, those that do not hold) of a program beside an exported
    library.

    Loops are followed to their end: that ``unwind`` turns suffice is one of the properties.
    """
    assert CBMC is not None
    (folder / "proof.c").write_text(program)
    done = subprocess.run(
        [CBMC, "proof.c", *CHECKS, "--unwind", str(unwind)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    failed = re.findall(r"^\[.*: FAILURE$", done.stdout, re.MULTILINE)
    counted = re.search(r"\*\* \d+ of (\d+) failed", done.stdout)
    assert counted, done.stdout[-2000:] + done.stderr[-2000:]  # it did not come to an end
    assert done.returncode == (10 if failed else 0)
    assert ("VERIFICATION FAILED" if failed else "VERIFICATION SUCCESSFUL") in done.stdout
    return int(counted.group(1)), failed
