"""Inference needs no torch: models of version 2 predict and stream where torch cannot be
imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.without_torch import FORBIDDING

KEPT = Path(__file__).parents[1] / "fixtures" / "models"

MODULES = """
srnn srnn.api srnn.data.recordings srnn.data.signals srnn.data.tasks srnn.deploy.predicting
srnn.deploy.streaming.decoder srnn.deploy.streaming.running srnn.deploy.streaming.sources
srnn.deploy.streaming.spotting srnn.deploy.streaming.stream srnn.measure.heartbeats
srnn.data.leads srnn.model.exit_policy srnn.nn.scores srnn.nn.decision srnn.nn.delays
srnn.nn.emissions srnn.nn.equations srnn.nn.fixedpoint.compiled srnn.nn.fixedpoint.decision
srnn.nn.fixedpoint.device srnn.nn.fixedpoint.integer srnn.nn.frozen srnn.nn.kernels.cpu.packing
srnn.nn.neurons srnn.nn.state_format srnn.nn.surrogates srnn.training.recipes srnn.training.runs
srnn.model.trained
"""

EACH = """
wrong = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        wrong.append(f"{name}: {error}")
print("\\n".join(wrong))
"""


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDING + program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_inference_imports_does_not_import_torch() -> None:
    pytest.importorskip("numba")
    assert run(EACH, *MODULES.split()) == ""


def test_an_import_of_torch_would_be_found() -> None:
    assert run(EACH, "srnn.nn.network") == "srnn.nn.network: torch is forbidden here"


USING = """
import json
import numpy as np
import srnn
from srnn.cli.main import main

file, recording = sys.argv[1:]
model = srnn.load(file)
session = model.stream()
session.push(np.load(recording))
last = session.finish()
again = srnn.load(file).stream()
again.push(np.load(recording))
again.restore(session.save())
found = model.predict(recording)
print(json.dumps([found.label, found.numbers.tolist(), found.scores[-1].tolist(), last.scores[-1].tolist()]))
assert main(["predict", file, recording]) == 0 and main(["stream", file, recording]) == 0
assert "torch" not in sys.modules
"""


def test_a_model_predicts_and_streams_without_torch() -> None:
    pytest.importorskip("numba")
    expected = json.loads((KEPT / "version-2.json").read_text())
    told, *lines = run(
        USING, str(KEPT / "version-2.safetensors"), str(KEPT / "version-1-signal.npy")
    ).splitlines()
    label, numbers, scores, streamed = json.loads(told)
    assert (label, numbers) == (expected["label"], expected["numbers"])
    assert scores == pytest.approx(expected["scores"], rel=1e-5) and streamed == scores
    assert label in lines[0] and len(lines) > 1
