"""srnn export onnx: a trained network as an ONNX model."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .export_source import add_source_arguments, load_source

if TYPE_CHECKING:
    from onnx import ModelProto

    from ..nn.network import SRNN

HELP = "an ONNX model of one step, or of whole sequences"
DESCRIPTION = """\
Write a trained network as an ONNX model, for onnxruntime and others.

  srnn export onnx runs/ecg --out ecg.onnx                     one step: input and state -> output and new state
  srnn export onnx runs/ecg --out ecg.onnx --form sequence     whole sequences
  srnn export onnx --published ecg --weights ecg.npz --out ecg.onnx

The model is checked, and where onnxruntime is installed run beside the network on a random input.
"""
CHECKED_STEPS = 100
"""Of the random input."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the file to write (.onnx)")
    parser.add_argument("--form", choices=("step", "sequence"), default="step", help="default: step")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ..deploy.export import onnx

    source = load_source(arguments)
    model = onnx.to_model(
        source.network,
        arguments.form,
        name=source.name,
        class_names=source.task.class_names,
        step_ms=source.task.step_ms,
        metadata={"task": source.task.name, "loss": json.dumps(asdict(source.loss.config))},
    )
    difference = check(model, source.network)
    onnx.save(model, arguments.out)
    found: dict[str, Any] = {
        "out": str(arguments.out),
        "form": arguments.form,
        "bytes": model.ByteSize(),
        "inputs": {item.name: shape(item) for item in model.graph.input},
        "outputs": {item.name: shape(item) for item in model.graph.output},
        "greatest_difference": difference,
    }
    if arguments.json:
        print(json.dumps(found))
        return 0
    print(f"{arguments.out}: {arguments.form} form, {found['bytes']:,} bytes")
    for what in ("inputs", "outputs"):
        for name, sizes in found[what].items():
            print(f"  {what[:-1]:<7} {name:<28} ({', '.join(map(str, sizes))})")
    if difference is None:
        print("not run: onnxruntime is not installed (pip install 'srnn[onnx]')")
    else:
        print(
            f"greatest difference from the network over {CHECKED_STEPS} random steps in onnxruntime: {difference:.1e}"
        )
    return 0


def check(model: ModelProto, network: SRNN) -> float | None:
    """Greatest difference of the outputs over a random input of ones (a fifth) and zeros; None without onnxruntime."""
    if find_spec("onnxruntime") is None:
        return None
    import torch

    from ..deploy.export.onnx import greatest_difference

    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(2, CHECKED_STEPS, network.inputs, generator=generator) < 0.2).to(network.readout.weight_in.dtype)
    return greatest_difference(model, network, x, generator)


def shape(item: Any) -> list[int | str]:
    """Of a model's input or output; free lengths by name."""
    return [size.dim_param or size.dim_value for size in item.type.tensor_type.shape.dim]
