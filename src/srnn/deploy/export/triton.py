"""A model of Triton Inference Server's repository: the ONNX model of one step, of whose state
Triton keeps one for each sequence.

    NAME/config.pbtxt         inputs, outputs, and states with how they begin; NAME is the model's
    NAME/labels.txt           the classes
    NAME/1/model.onnx
    NAME/initial_state/...    of states that do not begin with zeros

Triton calls this implicit state; its backend for onnxruntime has it. The format is that of its
documentation (docs/user_guide/implicit_state_management.md of triton-inference-server/server). The
folder was not run in Triton.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...files import check_new, whole_folder
from .onnx_graph import Array

if TYPE_CHECKING:
    from onnx import ModelProto

LARGEST_BATCH = 64
"""Sequences that take a step together."""
MOST_SEQUENCES = 1024
"""Sequences whose states are kept at a time."""
_IDLE = 60_000_000
"""Microseconds after which the state of a silent sequence is dropped."""


def write(model: ModelProto, initial: Mapping[str, Array], labels: list[str], path: Path) -> None:
    """Write a folder of the repository, whole or not at all.

    Args:
        model: one step.
        initial: the state before a sequence, by the names of the model's inputs, for a batch of 1.
        labels: names of the classes.
        path: the folder, new or empty.

    Raises:
        SrnnError: the folder is not empty (exists), or cannot be written.
    """
    from onnx.helper import tensor_dtype_to_np_dtype

    check_new(path, ours=False)
    with whole_folder(path) as folder:
        (folder / "1").mkdir()
        (folder / "1" / "model.onnx").write_bytes(model.SerializeToString())
        # The type and shape of each input and output, without the batch.
        shapes = {}
        for item in (*model.graph.input, *model.graph.output):
            kind = item.type.tensor_type
            sizes = ", ".join(str(size.dim_value) for size in kind.shape.dim[1:])
            bits = 8 * tensor_dtype_to_np_dtype(kind.elem_type).itemsize
            shapes[item.name] = f"data_type: TYPE_FP{bits} dims: [ {sizes} ]"
        given = [item.name for item in model.graph.input if item.name not in initial]
        kept = [f"{name}.next" for name in initial]
        outputs = [item.name for item in model.graph.output if item.name not in kept]
        ends = {"scores": ' label_filename: "labels.txt"'}
        states = []
        for name, values in initial.items():
            begins = f'data_file: "{name}"' if values.any() else "zero_data: true"
            states += [
                "  state {",
                f'    input_name: "{name}" output_name: "{name}.next" {shapes[name]}',
                f'    initial_state {{ name: "{name}" {shapes[name]} {begins} }}',
                "  }",
            ]
        lines = [
            'backend: "onnxruntime"',
            f"max_batch_size: {LARGEST_BATCH}",
            *(f'input {{ name: "{name}" {shapes[name]} }}' for name in given),
            *(
                f'output {{ name: "{name}" {shapes[name]}{ends.get(name, "")} }}'
                for name in outputs
            ),
            "sequence_batching {",
            f"  max_sequence_idle_microseconds: {_IDLE}",
            f"  oldest {{ max_candidate_sequences: {MOST_SEQUENCES} }}",
            *states,
            "}",
        ]
        configuration = "".join(f"{line}\n" for line in lines)
        (folder / "config.pbtxt").write_bytes(configuration.encode())
        (folder / "labels.txt").write_bytes("".join(f"{name}\n" for name in labels).encode())
        for name, values in initial.items():
            if values.any():
                (folder / "initial_state").mkdir(exist_ok=True)
                (folder / "initial_state" / name).write_bytes(values.tobytes())
