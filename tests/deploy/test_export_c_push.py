"""The one struct of the exported C: a sample in, the name of a class out, as from the functions below it and as in Python."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN
from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.speech import SpeechFeatures
from srnn.data.signals import CrossingPath, SpeechPath
from srnn.nn.decision import Until
from srnn.nn.fixedpoint.integer import InputFormat
from srnn.nn.loss_config import DecisionRule, LossConfig
from support.compiled import FLAGS, SANITIZED, compilers
from support.exporting import exported
from support.hearts import Format, scores_of
from support.signals import two_leads
from support.sounds import tone

UNTIL = Until(confidence=0.4, patience=2)
CLASSES = ("rest", "walk", "run")
PROGRAM = """\
#include "net.h"

#include <stdio.h>
#include <string.h>

static net_model model;
static net_state state;
static net_encoder encoder;
static net_decision decision;
static int stands;

static int below(const SAMPLE *sample)
{
    static net_input input[NET_INPUTS];
    static net_score scores[NET_OUTPUTS];
    int label = -1;

    net_encoder_push(&encoder, sample);
    while (net_encode(&encoder, input)) {
        net_step(&state, input, scores);
        label = net_decide(&decision, scores);
        STANDS
    }
    return label;
}

int main(void)
{
    SAMPLE sample[NET_CHANNELS];
    THRESHOLDS
    int label, pushed;

    memset(&model, 0x55, sizeof model); /* whatever it was */
    net_begin(&model MORE);
    net_init(&state);
    net_encoder_init(&encoder MORE);
    net_decision_init(&decision);
    if (net_label(&model)[0])
        return 2;
    while (fread(sample, sizeof sample, 1, stdin) == 1) {
        pushed = net_push(&model, sample);
        label = below(sample);
        if (pushed != (label >= 0) || (pushed && strcmp(net_label(&model), NET_CLASSES[label])))
            return 3;
        if (STOOD)
            return 4;
        if (pushed)
            puts(net_label(&model));
    }
    return fflush(stdout) != 0;
}
"""


def answers(folder: Path, compiler: str, sample: str, thresholds: bool, signal: np.ndarray) -> list[str]:
    """What the library in ``folder`` calls each sample that completes a step, by one struct and by its parts."""
    more = ", up, down" if thresholds else ""
    declared = f"static const {sample} up[] = NET_UP, down[] = NET_DOWN;" if thresholds else ""
    text = PROGRAM.replace("SAMPLE", sample).replace("THRESHOLDS", declared).replace(" MORE", more)
    early = "model.stands" if "net_stands(" in (folder / "net.h").read_text() else "0"
    text = text.replace("STOOD", f"{early} != stands")
    text = text.replace("STANDS", "" if early == "0" else "stands = net_stands(&decision);")
    (folder / "push.c").write_text(text)
    command = [compiler, *FLAGS, *SANITIZED, "push.c", "net.c", "-o", "push", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run([folder / "push"], input=signal.tobytes(), capture_output=True, check=True)
    return done.stdout.decode().splitlines()


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("format", ["float32", "int8"])
@pytest.mark.parametrize("loss", ["nll", "ce_mean"])
@pytest.mark.parametrize("running", [False, True])
def test_a_crossed_signal(running: bool, loss: Any, format: Format, compiler: str, tmp_path: Path) -> None:
    """With a class at each step, also that of Python's scores. Of the steps of one sample, the last one counts."""
    crossing = LevelCrossing("send_on_delta", 0.1, 0.1)
    path = CrossingPath(crossing, 2, 250.0, horizon=3.0)
    if not running:
        path = CrossingPath(crossing, 2, smoothing=7).with_std((171.3, 95.7))
    net = SRNN(4, [16], 3, neuron="alif", generator=torch.Generator().manual_seed(0), norm="none")
    decision = DecisionRule(LossConfig(loss), CLASSES, UNTIL)
    plan, model = exported(net, tmp_path, format, encoder=path, decision=decision)
    assert plan.encoder is not None
    signal = two_leads(1000)
    sample = plan.encoder.sample
    raw = signal.astype(np.float32 if sample == "float" else np.dtype(sample.removesuffix("_t")))
    said = answers(tmp_path, compiler, sample, not running, raw)
    assert len(said) == (1000 if running else 994)
    assert len(set(said)) > 1
    if loss == "nll" and not running:
        spikes = path.in_c(signal, (171.3, 95.7), format == "int8")
        labels = scores_of(model, spikes).argmax(1)
        assert said == [CLASSES[label] for label in labels[3:-3]]


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("format", ["float32", "int8"])
def test_sound(format: Format, compiler: str, tmp_path: Path) -> None:
    features = SpeechFeatures(rate=8000, mels=8, normalise="training")
    known = [features.expand(features.frames(tone(0.5, 8000, hz) / 32768)) for hz in (300, 700, 1500)]
    path = SpeechPath(features, None, features.fit(known))
    net = SRNN(known[0].shape[1], [16], 3, neuron="alif", generator=torch.Generator().manual_seed(1), norm="none")
    decision = DecisionRule(LossConfig("ce_mean"), CLASSES)
    inputs_as = {"inputs_as": InputFormat(8.0, whole=False)} if format == "int8" else {}
    exported(net, tmp_path, format, encoder=path, decision=decision, **inputs_as)
    said = answers(tmp_path, compiler, "int16_t", False, tone(1.0, 8000, 500).astype(np.int16))
    assert len(said) > 80
