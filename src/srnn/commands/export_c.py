"""srnn export c: a run, or a published network, as a small C99 library."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError

if TYPE_CHECKING:
    from ..encoders import LevelCrossing
    from ..export.integer import InputFormat
    from ..tasks import Task

HELP = "C99 for a device: float32, or int8 in whole numbers only"
DESCRIPTION = """\
Write a trained network as a C99 library without allocation or dependencies, a program to try it, and a Makefile.

  srnn export c runs/digits-s0-20260101-120000 --out digits_c
  srnn export c RUN --out DIR --format int8
  srnn export c --published ecg --weights ecg.npz --out ecg_c

int8 needs to know the inputs: it looks at the training data, or is told by --inputs.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", nargs="?", type=Path, help="a run folder, written by 'srnn train'")
    parser.add_argument(
        "--published", metavar="NAME", help="instead of a run, the published network of that name (srnn published list)"
    )
    parser.add_argument("--weights", type=Path, metavar="W", help="its weights: .npz, or the authors' .pth")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder to write, new or empty")
    parser.add_argument("--format", choices=("float32", "int8"), default="float32", help="numbers (default: float32)")
    parser.add_argument("--name", metavar="N", help="prefix of files, functions and types (default: the task's name)")
    parser.add_argument(
        "--inputs", metavar="R", help="int8: 'spikes' for whole numbers up to 127, or the largest analog input"
    )
    parser.add_argument("--data-dir", type=Path, metavar="D", help="folder with the data sets (default: SRNN_DATA)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: argparse.Namespace) -> int:
    if (arguments.run_folder is None) == (arguments.published is None):
        raise SrnnError(
            "Name a run folder, or a published network with --published NAME --weights FILE (one of the two)."
        )
    if arguments.inputs is not None and arguments.format != "int8":
        raise SrnnError("--inputs belongs to --format int8; float32 takes any input.")

    from ..export.c import export_c
    from ..export.c.project import check_name, check_out
    from ..export.device import device_network

    check_out(arguments.out)
    network, task, title = load(arguments)
    name = arguments.name or re.sub(r"\W", "_", task.name)
    check_name(name)
    device = device_network(network, task_encoder(task))
    inputs_as = None
    if arguments.format == "int8":
        inputs_as = input_format(arguments.inputs, task, arguments.data_dir)
    report = export_c(device, arguments.out, name, arguments.format, inputs_as=inputs_as, about=title)
    report = {**report, "out": str(arguments.out)}
    if arguments.json:
        print(json.dumps(report))
    else:
        _show(report)
    return 0


def load(arguments: argparse.Namespace) -> tuple[Any, Task, str]:
    """(network, task, what it is) of a run's best checkpoint or of a published network."""
    from .evaluate import load_published_network, load_run_network

    if arguments.published is None:
        if arguments.weights is not None:
            raise SrnnError("--weights belongs to --published NAME; a run brings its own.")
        network, task, *_ = load_run_network(arguments.run_folder)
        return network, task, f"the run {arguments.run_folder.absolute().name}, task {task.name}"
    if arguments.weights is None:
        raise SrnnError(f"--published {arguments.published} needs its weights: --weights FILE (.npz or .pth).")
    network, task, *_ = load_published_network(arguments.published, arguments.weights, {})
    return network, task, f"the published network {arguments.published}"


def task_encoder(task: Task) -> LevelCrossing | None:
    """The level crossing that makes the task's inputs, where it has one."""
    from ..encoders import LevelCrossing
    from ..tasks.ecg import ECGTask

    if isinstance(task, ECGTask) and task.source == "records":
        return LevelCrossing(task.rule, task.threshold_up, task.threshold_down)
    return None


def input_format(given: str | None, task: Task, data_dir: Path | None) -> InputFormat:
    """What --inputs says, or else what the training data are like."""
    from ..export.integer import InputFormat

    if given == "spikes":
        return InputFormat()
    if given is not None:
        try:
            return InputFormat(float(given), whole=False)
        except ValueError as error:
            raise SrnnError(f"--inputs is 'spikes' or the largest analog input, not {given!r}.") from error
    from ..batches import Sequences
    from ..export.evaluation import measure_inputs

    try:
        return measure_inputs(Sequences(task, "train", data_dir))
    except SrnnError as error:
        raise SrnnError(f"int8 must know the inputs; give --inputs, or the training data: {error}") from error


def _show(report: dict[str, Any]) -> None:
    worst, lstm = report["worst_case_operations_per_step"], report["lstm_of_the_same_size"]
    print(f"{report['out']}: {report['name']}, {report['format']}")
    print(
        f"flash      {report['flash_bytes']:,} bytes of constants (an LSTM of the same size: {lstm['flash_bytes']:,})"
    )
    print(f"RAM        {report['ram_bytes']:,} bytes a state (LSTM: {lstm['ram_bytes']:,})")
    print(
        f"at most    {worst['synaptic_adds']:,} additions for spikes; {worst['neuron_adds']:,} additions and "
        f"{worst['neuron_multiplies']:,} multiplications for neurons, a step (LSTM, always: "
        f"{lstm['multiply_adds_per_step']:,} multiply-adds)"
    )
    print(f"try it     make -C {report['out']} && {report['out']}/{report['name']} < input.csv")
