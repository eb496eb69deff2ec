"""Exported C and ONNX beside the reference and the integer model, on whole sequences: ``device.py``
tells it as agreement."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from srnn.deploy.c.plan import Plan
    from srnn.model.trained import Trained

CHUNK = 10
"""Sequences at once: every state of every step is kept."""


def run_c(program: Path, plan: Plan, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """(scores (B, T, outputs), spikes of the hidden layers (B, T, size)) of a program, x (B, T,
    inputs)."""
    from srnn.deploy.c.arrays import DTYPES

    given = np.ascontiguousarray(x, DTYPES[plan.input])
    words = [program, "--binary", "--trace", "--steps", str(x.shape[1])]
    done = subprocess.run(words, input=given.tobytes(), check=True, capture_output=True)
    record = np.dtype(
        [("scores", DTYPES[plan.number], plan.network.outputs), ("state", plan.state_dtype())]
    )
    found = np.frombuffer(done.stdout, record).reshape(x.shape[:2])
    return found["scores"], [found["state"][layer.name]["s"] for layer in plan.layers[:-1]]


def as_reference(network: Any) -> Any:
    """A copy whose layers run on the reference backend."""
    reference = copy.deepcopy(network)
    for layer in [*reference.layers, reference.readout]:
        layer.backend = "reference"
    return reference


def first_state(network: Any, device: Any, batch: int) -> Any:
    """The device's initial state, as the network takes it."""
    return tuple(
        layer.as_state({name: torch.from_numpy(values) for name, values in part.items()})
        for layer, part in zip(
            [*network.layers, network.readout], device.initial_state(batch), strict=True
        )
    )


@torch.no_grad()
def agreement(
    trained: Trained,
    device: Any,
    whole: Any,
    x: np.ndarray,
    lengths: torch.Tensor | None,
    plans: dict[str, Plan],
    folder: Path,
    compilers: list[str],
    flags: tuple[str, ...],
) -> dict[str, Any]:
    """Both formats, x (N, T, inputs) with valid steps ``lengths``; ``folder`` has an exported
    folder of each format."""
    from srnn.deploy.export.onnx import advance, start, state_arrays, to_model
    from srnn.nn.fixedpoint.device import run_float32

    reference, programs = as_reference(trained.network), {}
    session = start(to_model(trained.network, "sequence"))
    for format in plans:
        for compiler in compilers:
            programs[format, compiler] = target = folder / format / f"whole-{compiler}"
            subprocess.run(
                [compiler, *flags, "-o", target, "network_main.c", "network.c", "-lm"],
                check=True,
                cwd=folder / format,
            )
    steps = np.full(len(x), x.shape[1]) if lengths is None else lengths.numpy()
    total: dict[str, Any] = {
        "sequences": len(x), "steps": int(steps.sum()), "spikes": 0, "decisions": 0, "int8_decisions_that_differ": 0,
        "onnx_greatest_difference": 0.0, "greatest_output": 0.0, "onnx_decisions_that_differ": 0,
        "by_compiler": {
            name: {
                "spikes_that_differ": 0, "sequences_with_such_spikes": 0, "decisions_that_differ": 0,
                "c_equals_its_model": True, "int8_equals_its_model": True,
            } for name in compilers
        },
    }  # fmt: skip
    for at in range(0, len(x), CHUNK):
        part, own = (
            np.ascontiguousarray(x[at : at + CHUNK]),
            None if lengths is None else lengths[at : at + CHUNK],
        )
        valid = np.arange(x.shape[1]) < steps[at : at + CHUNK, None]

        def decided(scores: Any, own: Any = own, valid: np.ndarray = valid) -> np.ndarray:
            """Class of every sequence, or of every valid step, one after the other."""
            found = (
                trained.loss.scores(torch.from_numpy(np.array(scores, np.float32)), own)
                .argmax(-1)
                .numpy()
            )
            return found[valid] if found.ndim == 2 else found

        state = first_state(reference, device, len(part))
        result, model = reference.run(torch.from_numpy(part), state), run_float32(device, part)
        given = whole.inputs_as.encode(part)
        integer, (y, _) = whole.run(given), advance(session, part, state_arrays(reference, state))
        expected, decisions = (
            [layer.output.numpy() for layer in result.layers[:-1]],
            decided(result.output.numpy()),
        )
        total["spikes"] += int(sum(np.count_nonzero(spikes[valid]) for spikes in expected))
        total["decisions"] += decisions.size
        total["int8_decisions_that_differ"] += int(
            (decided(integer.output * 2.0**-whole.output_bits) != decisions).sum()
        )
        output = result.output.numpy()[valid]
        total["greatest_output"] = max(total["greatest_output"], float(np.abs(output).max()))
        total["onnx_greatest_difference"] = max(
            total["onnx_greatest_difference"], float(np.abs(y[valid] - output).max())
        )
        total["onnx_decisions_that_differ"] += int((decided(y) != decisions).sum())
        for name, row in total["by_compiler"].items():
            scores, spikes = run_c(programs["float32", name], plans["float32"], part)
            differ = [
                (ours != theirs) & valid[:, :, None]
                for ours, theirs in zip(spikes, expected, strict=True)
            ]
            row["spikes_that_differ"] += int(sum(where.sum() for where in differ))
            row["sequences_with_such_spikes"] += int(
                np.any([where.any((1, 2)) for where in differ], axis=0).sum()
            )
            row["decisions_that_differ"] += int((decided(scores) != decisions).sum())
            row["c_equals_its_model"] &= bool((scores == model.output).all())
            scores, spikes = run_c(programs["int8", name], plans["int8"], given)
            same = [
                (ours == theirs).all()
                for ours, theirs in zip(spikes, integer.emitted, strict=False)
            ]
            row["int8_equals_its_model"] &= bool((scores == integer.output).all() and all(same))
    return total
