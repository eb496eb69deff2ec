"""Inference needs no torch: what it reads, computes and decides with is imported where torch cannot be."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = (
    "srnn",
    "srnn.api",
    "srnn.data.recordings",
    "srnn.data.signals",
    "srnn.data.tasks",
    "srnn.deploy.predicting",
    "srnn.deploy.streaming.decoder",
    "srnn.deploy.streaming.running",
    "srnn.deploy.streaming.sources",
    "srnn.deploy.streaming.spotting",
    "srnn.deploy.streaming.stream",
    "srnn.measure.policy",
    "srnn.measure.scores",
    "srnn.nn.decision",
    "srnn.nn.delays",
    "srnn.nn.emissions",
    "srnn.nn.equations",
    "srnn.nn.fixedpoint.decision",
    "srnn.nn.fixedpoint.device",
    "srnn.nn.fixedpoint.integer",
    "srnn.nn.frozen",
    "srnn.nn.kernels.cpu.packing",
    "srnn.nn.neurons",
    "srnn.nn.state_format",
    "srnn.nn.surrogates",
    "srnn.training.recipes",
    "srnn.training.runs",
    "srnn.training.trained",
)

FORBIDDING = """
import importlib, sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is forbidden here")

sys.meta_path.insert(0, Forbidden())
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
        [sys.executable, "-c", FORBIDDING + program, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_inference_imports_does_not_import_torch() -> None:
    pytest.importorskip("numba")
    assert run(EACH, *MODULES) == ""


def test_an_import_of_torch_would_be_found() -> None:
    assert run(EACH, "srnn.nn.network") == "srnn.nn.network: torch is forbidden here"
