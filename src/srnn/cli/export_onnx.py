"""``srnn export onnx``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .options import Json, Model
from .show import print_result

if TYPE_CHECKING:
    from onnx import ModelProto

    from ..nn.network import SRNN

SCALED = (
    "x is (channels - mean) / std of training, not the sensor's "
    "unit; both are in the metadata: input_mean, input_std"
)
CHECKED_STEPS = 100
"""Steps of the random input."""


def export_onnx(
    model: Model,
    /,
    *,
    out: Path,
    form: Literal["step", "sequence", "triton"] = "step",
    overwrite: bool = False,
    json: Json = False,
) -> int:
    """Write a trained network as an ONNX model, for onnxruntime and others.

      srnn export onnx runs/ecg --out ecg.onnx                     one step: input and state -> output and new state
      srnn export onnx runs/ecg --out ecg.onnx --form sequence     whole sequences
      srnn export onnx runs/ecg --out models/ecg --form triton     a folder of Triton's model repository

    Besides the output the model gives the scores of the classes, by the rule of the loss; the
    highest score is the decision.

    The model is checked and, if onnxruntime is installed, compared with the network on a random
    input.

    Args:
        out: the file to write (.onnx); for triton the folder, new or empty
        form: one step, whole sequences, or one step whose state Triton Inference Server keeps
        overwrite: replace the file in --out
    """
    from ..deploy.export import onnx
    from ..deploy.export.model import input_scale, save_triton, to_onnx
    from ..files import check_new
    from ..model.opening import open_trained

    check_new(out, overwrite, ours=not out.is_dir())
    trained = open_trained(model)
    written = to_onnx(trained, "sequence" if form == "sequence" else "step")
    difference = check(written, trained.spiking("exported"))
    if form == "triton":
        save_triton(trained, written, out)
    else:
        onnx.save(written, out)
    content: dict[str, Any] = {
        "out": str(out),
        "form": form,
        "bytes": written.ByteSize(),
        "inputs": {item.name: shape(item) for item in written.graph.input},
        "outputs": {item.name: shape(item) for item in written.graph.output},
        "greatest_difference": difference,
    }

    def show() -> None:
        print(f"{out}: {form} form, {content['bytes']:,} bytes")
        for what in ("inputs", "outputs"):
            for name, sizes in content[what].items():
                print(f"  {what[:-1]:<7} {name:<28} ({', '.join(map(str, sizes))})")
        if input_scale(trained):
            print(SCALED)
        if difference is None:
            print("not run: onnxruntime is not installed (pip install 'srnn[onnx]')")
        else:
            print(
                f"maximal difference from the network over {CHECKED_STEPS} "
                f"random steps in onnxruntime: {difference:.1e}"
            )

    return print_result(json, content, show)


def check(model: ModelProto, network: SRNN) -> float | None:
    """Compare an ONNX model with its network over a random input of ones (a fifth) and zeros.

    Args:
        model: the ONNX model.
        network: the network.

    Returns:
        The maximal difference of the outputs; None without onnxruntime.
    """
    if find_spec("onnxruntime") is None:
        return None
    import torch

    from ..deploy.export.onnx import greatest_difference

    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(2, CHECKED_STEPS, network.inputs, generator=generator) < 0.2).to(
        network.readout.weight_in.dtype
    )
    return greatest_difference(model, network, x, generator)


def shape(item: Any) -> list[int | str]:
    """The shape of a model's input or output; free lengths by name."""
    return [size.dim_param or size.dim_value for size in item.type.tensor_type.shape.dim]
