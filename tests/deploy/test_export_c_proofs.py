"""The exported C can neither overflow nor leave its arrays: proven for small networks, tried under
sanitizers for all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.speech import SpeechFeatures
from srnn.data.signals import CrossingPath, SpeechPath
from srnn.nn.loss_config import DecisionRule, LossConfig
from support.compiled import COMPILERS, SANITIZED, every_compiler, every_format, needs_compiler, ran
from support.exporting import build_step, check_steps, raw_states, run_steps, small
from support.proving import DECIDE, ENCODER, STEP, needs_cbmc, tried
from support.sounds import tone

INT8 = {
    "lif": {"neuron": "lif", "hidden": (2,)},
    "alif": {"neuron": "alif", "readout": "alif"},
    "alif, analog input": {"neuron": "alif", "hidden": (2,), "analog": True},
    "alif, sparse": {"neuron": "alif", "hidden": (2,), "sparse": True, "inputs": 6},
    "alif, 16-bit states": {"neuron": "alif", "hidden": (2,), "width": 16},
    "alif, 8-bit states": {"neuron": "alif", "hidden": (2,), "width": 8, "analog": True},
    "adlif": {"neuron": "adlif", "hidden": (2,)},
    "adlif, 8-bit states": {"neuron": "adlif", "hidden": (2,), "width": 8},
    "cubalif": {"neuron": "cubalif", "hidden": (2,)},
    "cubalif, 8-bit states": {"neuron": "cubalif-soft", "hidden": (2,), "width": 8},
}
QUICK = ("alif", "alif, 8-bit states", "adlif", "cubalif, 8-bit states")
FLOAT = ("lif", "alif", "adlif", "cubalif", "relu", "integrator")
HEART = CrossingPath(LevelCrossing("send_on_delta", 0.1, 0.1), 2, smoothing=7)
HELD = (
    "return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : (int32_t)x;",
    "return (int32_t)x;",
)


@needs_cbmc
@pytest.mark.slow
@pytest.mark.parametrize("kind", INT8)
def test_no_int8_step_overflows_or_leaves_its_arrays(kind: str, tmp_path: Path) -> None:
    """From ANY bytes as the state and any input, so a restored state needs no check."""
    small(tmp_path / "c", **INT8[kind])
    checked, failed = tried(tmp_path / "c", STEP)
    assert checked > 100 and not failed, failed


@needs_cbmc
@pytest.mark.parametrize(
    ("neuron", "sparse"),
    [
        pytest.param(neuron, sparse, marks=() if neuron in ("alif", "adlif") else pytest.mark.slow)
        for neuron in FLOAT
        for sparse in (False, True)
    ],
)
def test_no_float32_step_leaves_its_arrays(neuron: str, sparse: bool, tmp_path: Path) -> None:
    small(tmp_path / "c", neuron, "float32", sparse=sparse, inputs=6)
    checked, failed = tried(tmp_path / "c", STEP)
    assert checked > 50 and not failed, failed


@needs_cbmc
@pytest.mark.parametrize(
    ("format", "loss"),
    [
        ("float32", "nll"),
        ("float32", "ce_mean"),
        ("float32", "ce_sum_softmax"),
        ("int8", "ce_last"),
        ("int8", "ce_mean"),
    ],
)
def test_no_decision_overflows_or_leaves_the_classes(
    format: str, loss: str, tmp_path: Path
) -> None:
    """From any bytes as what is remembered. The products of int8's softmax are beyond CBMC:
    sanitizers try these, and ``test_export_c_decision.py`` has the argument for their bounds."""
    rule = DecisionRule(LossConfig(loss, 2), ("a", "b"))  # type: ignore[arg-type]
    small(tmp_path / "c", "lif", format, hidden=(2,), decision=rule)
    checked, failed = tried(tmp_path / "c", DECIDE)
    assert checked > 250 and not failed, failed


@needs_cbmc
@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder", [HEART, replace(HEART, horizon=2.0, rate=250.0)], ids=["told", "running"]
)
@every_format
def test_no_order_of_calls_harms_an_encoder(
    format: str, encoder: CrossingPath, tmp_path: Path
) -> None:
    """Samples after the end once made a step read beyond the smoothing's weights."""
    small(tmp_path / "c", "lif", format, hidden=(2,), inputs=4, encoder=encoder)
    sample = "int32_t" if format == "int8" else "float"
    held = f"((x) <= {HEART.limit} && (x) >= -{HEART.limit})" if format == "int8" else "1"
    defined = f"#define WINDOW {HEART.window}\n#define SAMPLE {sample}\n#define HELD(x) {held}\n"
    defined += (
        f"#define HORIZON 500\n#define INTEGERS {format == 'int8':d}\n" if encoder.horizon else ""
    )
    checked, failed = tried(tmp_path / "c", defined + ENCODER)
    assert checked > 100 and not failed, failed


@needs_cbmc
@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "put_in", "found"),
    [
        ("int8", HELD, "overflow"),
        ("int8", ("sums[k] += weights[k];", "sums[k] += 65536 * 32767 * weights[k];"), "overflow"),
        ("float32", ("for (h = 0; h < 2; h++) {", "for (h = 0; h < 4; h++) {"), "bound"),
    ],
)
def test_a_proof_finds_what_is_wrong(
    format: str, put_in: tuple[str, str], found: str, tmp_path: Path
) -> None:
    small(tmp_path / "c", "lif", format, hidden=(2,))
    library = tmp_path / "c" / "net.c"
    text = library.read_text()
    assert put_in[0] in text
    library.write_text(text.replace(*put_in))
    _, failed = tried(tmp_path / "c", STEP)
    assert failed and any(found in line for line in failed), failed


@every_compiler
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in INT8]
)
def test_int8_steps_from_raw_states(kind: str, compiler: str, tmp_path: Path) -> None:
    """Under sanitizers; where spikes are 0 or 1, the bits of the integer model."""
    plan, model = small(tmp_path / "c", **INT8[kind])
    program = [str(build_step(tmp_path / "c", compiler, *SANITIZED))]
    run_steps(program, plan, *raw_states(plan, 500))
    states, inputs = raw_states(plan, 500, seed=1, spikes=True)
    check_steps(plan, model, states, inputs, run_steps(program, plan, states, inputs))


@needs_compiler
@pytest.mark.parametrize("neuron", FLOAT)
def test_float32_steps_from_raw_states(neuron: str, tmp_path: Path) -> None:
    """NaN and infinities among them: they stay where they are, and harm nothing else."""
    plan, _ = small(tmp_path, neuron, "float32")
    program = [str(build_step(tmp_path, COMPILERS[0], *SANITIZED))]
    scores, _ = run_steps(program, plan, *raw_states(plan, 500))
    assert np.isnan(scores).any()


CALLS = """\
#include "net.h"

typedef char size[sizeof(net_encoder) == BYTES ? 1 : -1];
#ifdef TOLD
static const SAMPLE up[NET_CHANNELS] = {1, 1}, down[NET_CHANNELS] = {1, 1};
#define BEGIN net_encoder_init(&encoder, up, down)
#else
#define BEGIN net_encoder_init(&encoder)
#endif

int main(void)
{
    static net_encoder encoder;
    SAMPLE signal[NET_CHANNELS] = {0};
    net_input input[NET_INPUTS];
    uint32_t drawn = 1;
    long t, burst;

    BEGIN;
    for (t = 0; t < TURNS; t++) {
        drawn = drawn * 1664525u + 1013904223u;
        signal[0] = (SAMPLE)(drawn >> 17);
        switch (drawn >> 28) {
        case 0: net_encoder_end(&encoder); break;
        case 1:
            BEGIN;
            if (net_encode(&encoder, input))
                return 1; /* a step of nothing */
            break;
        case 2: case 3: case 4: case 5: case 6: (void)net_encode(&encoder, input); break;
        default:
            for (burst = (long)(drawn >> 20 & BURST); burst >= 0; burst--)
                net_encoder_push(&encoder, signal);
        }
    }
#ifdef TOLD
    for (t = 0; t < 10; t++) { /* an end that is told twice has nothing more */
        long steps = 0, samples;

        BEGIN;
        for (samples = 0; samples < t; samples++)
            for (net_encoder_push(&encoder, signal); net_encode(&encoder, input);)
                steps++;
        for (net_encoder_end(&encoder); net_encode(&encoder, input);)
            steps++;
        net_encoder_end(&encoder);
        if (steps != t || net_encode(&encoder, input))
            return 2;
    }
#endif
    return 0;
}
"""
FEATURES = SpeechFeatures(rate=8000, derivatives=1, normalise="training")
SOUND = SpeechPath(
    FEATURES, None, FEATURES.fit([FEATURES.expand(FEATURES.frames(tone(0.5, 8000)))])
)


@needs_compiler
@pytest.mark.parametrize(
    ("format", "encoder", "flags"),
    [
        ("float32", HEART, ("-DSAMPLE=float", "-DTOLD", "-DBURST=0", "-DTURNS=20000")),
        ("int8", HEART, ("-DSAMPLE=int32_t", "-DTOLD", "-DBURST=0", "-DTURNS=20000")),
        ("float32", SOUND, ("-DSAMPLE=int16_t", "-DBURST=255u", "-DTURNS=3000")),
    ],
)
def test_an_encoder_called_in_any_order(
    format: str, encoder: Any, flags: tuple[str, ...], tmp_path: Path
) -> None:
    """Under sanitizers; as the proof, without its tool. Its struct is as large as is said."""
    inputs = encoder.inputs
    plan, _ = small(tmp_path, "lif", format, hidden=(2,), inputs=inputs, encoder=encoder)
    assert plan.encoder is not None
    more = (*SANITIZED, *flags, f"-DBYTES={plan.encoder.ram_bytes}")
    ran(build_step(tmp_path, COMPILERS[0], *more, program=CALLS))
