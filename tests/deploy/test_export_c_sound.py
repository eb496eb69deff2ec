"""The exported front end of sound: samples to features to labels, in C as in Python's streaming
form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn import SRNN, Model, from_network
from srnn.cli.main import main
from srnn.data.encoders.speech import SpeechFeatures
from srnn.data.signals import SpeechPath
from srnn.deploy.c.plan import Plan, make_plan
from srnn.deploy.c.resolve import resolved
from srnn.deploy.export.model import export_c
from srnn.model.trained import Trained
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import InputFormat, IntegerNetwork, quantise
from srnn.training.runs import Run
from support.compiled import COMPILERS, FLAGS, SANITIZED, build, every_format, needs_compiler, ran
from support.exporting import build_step, exported
from support.runs import make_run
from support.sounds import tone

pytestmark = needs_compiler
FEATURES = """\
#include "net.h"

#include <stdio.h>
#include <string.h>

static net_encoder encoder;

static void ready(void)
{
    net_input input[NET_INPUTS];

    while (net_encode(&encoder, input))
        fwrite(input, sizeof input, 1, stdout);
}

int main(void)
{
    int16_t signal[NET_CHANNELS] = {0};
    int more;

    memset(&encoder, 0x55, sizeof encoder); /* whatever it was */
    net_encoder_init(&encoder);
    for (; fread(signal, sizeof signal, 1, stdin) == 1; ready())
        net_encoder_push(&encoder, signal);
    net_encoder_end(&encoder);
    ready();
    net_encoder_end(&encoder); /* it has ended: nothing more is ready, and samples are dropped */
    for (more = 0; encoder.ended && more < 1000; more++, ready())
        net_encoder_push(&encoder, signal);
    return fflush(stdout) != 0;
}
"""
"""16-bit samples -> the network's inputs."""


def sounding(rate: int, *, ternary: float | None = None, **options: Any) -> SpeechPath:
    """A path with statistics of some tones."""
    features = SpeechFeatures(rate=rate, normalise="training", **options)
    tones = [tone(0.5, rate, hz) / 32768 for hz in (300, 700, 1500)]
    known = [features.expand(features.frames(one)) for one in tones]
    return SpeechPath(features, ternary, features.fit(known))


def streamed(path: SpeechPath, sound: np.ndarray) -> np.ndarray:
    encoder = path.stream()
    return np.concatenate([encoder.push(sound[:, None] / np.float32(32768)), encoder.flush()])


def inputs_in_c(program: Path, sound: np.ndarray, dtype: Any, inputs: int) -> np.ndarray:
    told = ran(program, given=sound.astype(np.int16).tobytes())
    return np.frombuffer(told, dtype).reshape(-1, inputs)


def front(
    path: SpeechPath, folder: Path, format: Any = "float32", *flags: str, **options: Any
) -> tuple[Path, Plan]:
    """(FEATURES, plan) of a network behind the path."""
    plan, _ = exported(SRNN.paper(path.inputs, [4], 2), folder, format, encoder=path, **options)
    return build_step(folder, COMPILERS[0], *flags, program=FEATURES), plan


@pytest.mark.parametrize(
    ("rate", "options"),
    [
        (16000, {}),
        pytest.param(8400, {"derivatives": 0, "mels": 20}, marks=pytest.mark.slow),
        pytest.param(16000, {"derivatives": 0, "high_hz": 8000.0}, marks=pytest.mark.slow),
    ],
    ids=["480 = 2 x 2^4 x 3 x 5", "252 = 2 x 2 x 3^2 x 7", "up to half the rate"],
)
def test_features_are_the_streams(rate: int, options: dict[str, Any], tmp_path: Path) -> None:
    """Of every length about the places where a frame, a window or the shortest sound ends. Rounding
    to float16 makes most log energies the very same; where a sum is within rounding of the middle
    of two, they are one unit apart (2^-7 at most)."""
    path = sounding(rate, **options)
    program, _ = front(path, tmp_path / "c", "float32", *SANITIZED)
    hop, all_differ = rate // 100, []
    half = hop // 2
    lengths = [1, 2, hop, 3 * half, 3 * half + 1, 5 * half, 5 * half + 1, 4 * hop - 1, 4 * hop]
    lengths += [9 * hop, rate]
    lengths += [2**16 + 1] if rate < 16000 else []  # more than a counter of 16 bits holds
    for samples in lengths:
        sound = tone(max(1.0, samples / rate), rate, seed=samples)[:samples]
        expected = streamed(path, sound)
        features = inputs_in_c(program, sound, np.float32, path.inputs)
        assert features.shape == expected.shape, samples
        np.testing.assert_allclose(features, expected, atol=0.02)
        all_differ.append((np.abs(features - expected) > 5e-5).mean())
    assert np.mean(all_differ) < 0.01 and np.median(all_differ) == 0
    assert len(inputs_in_c(program, np.zeros(0), np.float32, path.inputs)) == 0


HALF = """\
#include <stdint.h>
#include <stdio.h>
%s
int main(void)
{
    float x;

    for (; fread(&x, sizeof x, 1, stdin) == 1; fwrite(&x, sizeof x, 1, stdout))
        x = half(x);
    return 0;
}
"""


def test_a_float16_is_rounded_half_to_even(tmp_path: Path) -> None:
    near = np.array([0, 2**-13, 0.25, 0.5 - 2**-13, 0.5, 0.5 + 2**-13, 0.75])
    place = (np.arange(2**10, 2**10 + 64)[:, None] + near).ravel()
    x = np.outer([-1, 1, -(2.0**-10), 2.0**-10], place).astype(np.float32)
    (tmp_path / "half.c").write_text(HALF % resolved("half.c", "", {}))
    ran(COMPILERS[0], *FLAGS, "-o", tmp_path / "half", tmp_path / "half.c")
    told = np.frombuffer(ran(tmp_path / "half", given=x.tobytes()), np.float32)
    np.testing.assert_array_equal(told, x.astype(np.float16).astype(np.float32).ravel())


def test_ternary_features_and_those_of_integers(tmp_path: Path) -> None:
    """int8: rounded half to even, held in 16 bits; ternary: -1, 0, 1."""
    sound = tone(0.5, 8000)
    exact = sounding(8000, derivatives=1)
    expected = streamed(exact, sound)
    as_int8 = InputFormat(2.0, whole=False)  # louder features are held
    program, _ = front(exact, tmp_path / "analog", "int8", inputs_as=as_int8)
    found = inputs_in_c(program, sound, np.int16, exact.inputs)
    assert np.abs(found - as_int8.encode(expected)).max() <= 0.02 * 2**as_int8.bits
    assert np.abs(expected).max() > 2 and np.abs(found).max() >= 2**15 - 1
    ternary = sounding(8000, derivatives=1, ternary=0.3)
    expected = streamed(ternary, sound)
    assert {-1, 0, 1} == set(expected.ravel().tolist())
    program, _ = front(ternary, tmp_path / "ternary", "int8")
    assert (inputs_in_c(program, sound, np.int8, ternary.inputs) != expected).mean() < 1e-3


def talking(folder: Path, **options: Any) -> Trained:
    """An untrained network of the recipe, with the statistics of some tones."""
    words = ("--network.hidden=[24]", "--training.epochs=1")
    known: Any = sounding(8000).statistics
    run = make_run(folder, *words, recipe="spoken-digits", statistics=known, **options)
    return Run.open(run).trained()


@every_format
def test_a_network_takes_samples(
    format: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores are the model's of the C's features, to the bit; labels those of the stream."""
    inputs_as = InputFormat(16.0, whole=False)
    trained = talking(tmp_path / "run", inputs_as=inputs_as)
    words = f"export c {tmp_path}/run --out {tmp_path}/c --name net --format {format}"
    assert main(words.split()) == 0
    assert "440 samples late" in capsys.readouterr().out  # half a frame and four frames
    path: Any = trained.task.signal()
    device = device_network(trained.spiking("exported"), path)
    model = quantise(device, inputs_as) if format == "int8" else device
    program = build(tmp_path / "c", make_plan(model, "net", trained.decision), COMPILERS[0])
    sound = np.concatenate([tone(0.6, 8000, hz) for hz in (300, 1200)])
    text = "\n".join(map(str, sound))
    rows = program.text("--encode", "--scores", given=text).split()
    features = build_step(tmp_path / "c", COMPILERS[0], program=FEATURES)
    dtype = np.int16 if format == "int8" else np.float32
    x = inputs_in_c(features, sound, dtype, path.inputs)[None]
    run = model.run(x.astype(int)) if isinstance(model, IntegerNetwork) else run_float32(model, x)
    scores = np.array([row.split(",") for row in rows], run.output.dtype)
    np.testing.assert_array_equal(scores, run.output[0])
    assert len(scores) == len(streamed(path, sound)) and run.emitted[0].mean() > 0.01
    if format == "float32":
        told = program.text("--encode", "--every", given=text).splitlines()
        session = Model.of(trained).stream()
        parts = [session.push(sound[:, None] / np.float32(32768)), session.finish()]
        decided = [trained.classes[one] for part in parts for one in part.winners]
        assert [line.split("\t")[1] for line in told] == decided


def test_what_has_no_front_end_in_c_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sounding(8100)  # a quarter of its window is no whole number of samples
    model = from_network(SRNN.paper(path.inputs, [4], 2), ["a", "b"], signal=path)
    file = model.save(tmp_path / "m.safetensors")
    assert main(["export", "c", str(file), "--out", str(tmp_path / "c"), "--name", "net"]) == 0
    said = "features of sound at 8100 Hz, which your program computes"
    assert said in capsys.readouterr().out
    header = re.sub(r"\s*\n \* ", " ", (tmp_path / "c" / "net.h").read_text())
    assert f"Inputs of a step: {said}" in header and "net_encode" not in header


def test_the_example_of_a_tool_listens(tmp_path: Path) -> None:
    """A second of its made-up microphone, through the library as a tool lays it out."""
    trained = talking(tmp_path / "run")
    export_c(trained, tmp_path / "c", name="net", layout="platformio")
    sources = ["src/net.c", "examples/net/src/main.c"]
    ran(COMPILERS[0], *FLAGS, "-Isrc", "-o", "example", *sources, "-lm", cwd=tmp_path / "c")
    sound = (np.arange(8000) % 40 * 500 - 9750).astype(np.float32) / 32768
    decided = Model.of(trained).stream().push(sound[:, None])
    printed = ran(tmp_path / "c" / "example").decode().strip()
    assert printed == trained.classes[decided.winners[-1]]
