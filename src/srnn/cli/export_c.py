"""srnn export c: a run as a small C99 library."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError
from .show import tell

if TYPE_CHECKING:
    from ..nn.fixedpoint.integer import InputFormat
    from ..nn.network import FrozenNetwork
    from ..nn.network.state_format import StateFormat
    from ..train.trained import Trained

SHARED = ("run_folder", "--state-bits", "--data-dir", "--json")
HELP = "C99 for a device: float32, or int8 in integers only"
DESCRIPTION = """\
Write a trained network as a C99 library without allocation or dependencies, which names the class that the network decides for,
a program to try it, and a Makefile.

  srnn export c runs/digits-s0-20260101-120000 --out digits_c
  srnn export c RUN --out DIR --format int8
  srnn export c RUN --out DIR --format int8 --state-bits 16

int8 needs to know the inputs, and for states of 16 or 8 bits their ranges: the model has them from its training. Where it does
not, the command looks at the training data, or --inputs tells it.
A network trained on raw ECG records brings its encoder; --std tells it the standard deviation of each lead, in the signal's unit
(int8: in units of the converter), or your program does.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder to write, new or empty")
    parser.add_argument("--format", choices=("float32", "int8"), default="float32", help="numbers (default: float32)")
    parser.add_argument(
        "--name",
        metavar="N",
        help="prefix of files, functions and types (default: the task's name); another one for each network of a program",
    )
    parser.add_argument(
        "--inputs", metavar="R", help="int8: 'spikes' for integers up to 127, or the largest analog input"
    )
    parser.add_argument("--std", type=float, nargs="+", metavar="S", help="raw ECG: standard deviation of each lead")


def run(arguments: argparse.Namespace) -> int:
    if arguments.inputs is not None and arguments.format != "int8":
        raise SrnnError("--inputs belongs to --format int8; float32 takes any input.")
    if arguments.state_bits is not None and arguments.format != "int8":
        raise SrnnError("--state-bits belongs to --format int8; float32 keeps states in float32.")

    from ..data.signals import CrossingPath
    from ..deploy.export.c import export_c
    from ..deploy.export.c.project import check_name, check_out, identifier
    from ..nn.fixedpoint.device import device_network
    from ..train.runs import Run

    check_out(arguments.out)
    trained = Run.open(arguments.run_folder).trained()
    task = trained.task
    name = arguments.name or identifier(task.name)
    check_name(name)
    signal = task.signal()
    encoder = signal if isinstance(signal, CrossingPath) and signal.as_trained else None
    if arguments.std is not None:
        if encoder is None:
            raise SrnnError(
                f"--std belongs to networks trained on raw ECG records; this one (task {task.name}) has no encoder in C."
            )
        encoder = encoder.with_std(arguments.std)
    device = device_network(trained.spiking("exported"), encoder)
    inputs_as = state_as = None
    if arguments.format == "int8":
        inputs_as = input_format(arguments.inputs, trained, arguments.data_dir)
        if arguments.state_bits not in (None, device.state_as.width):
            state_as = state_format(arguments.state_bits, trained, arguments.data_dir, device, inputs_as)
    about = f"the run {arguments.run_folder.resolve().name}, task {task.name}"
    report = export_c(
        device, arguments.out, name, arguments.format, inputs_as=inputs_as, state_as=state_as,
        decision=trained.decision, about=about,
    )  # fmt: skip
    report = {**report, "out": str(arguments.out)}
    return tell(arguments, report, lambda: _show(report))


def input_format(given: str | None, trained: Trained, data_dir: Path | None) -> InputFormat:
    """What --inputs says, or else what the model knows of its training data, or what these are like."""
    from ..nn.fixedpoint.integer import InputFormat

    if given == "spikes":
        return InputFormat()
    if given is not None:
        try:
            return InputFormat(float(given), whole=False)
        except ValueError as error:
            raise SrnnError(f"--inputs is 'spikes' or the largest analog input, not {given!r}.") from error
    if trained.inputs_as is not None:
        return trained.inputs_as
    from ..data.batches import Sequences
    from ..train.compression.evaluation import measure_inputs

    try:
        return measure_inputs(Sequences(trained.task, "train", data_dir))
    except SrnnError as error:
        raise SrnnError(f"int8 must know the inputs; give --inputs, or the training data: {error}") from error


def state_format(
    width: int, trained: Trained, data_dir: Path | None, device: FrozenNetwork, inputs_as: InputFormat
) -> StateFormat:
    """How states of that width are kept, by the ranges that they have on the training data."""
    from ..nn.network.state_format import StateFormat

    if width == 32:
        return StateFormat()
    kept = trained.state_format(width)
    if kept is not None:
        return kept
    from ..data.batches import Sequences
    from ..train.compression.evaluation import measure_kept

    try:
        return measure_kept(Sequences(trained.task, "train", data_dir), device, width, inputs_as)
    except SrnnError as error:
        raise SrnnError(f"States of {width} bits need the training data, for their ranges: {error}") from error


def _show(report: dict[str, Any]) -> None:
    worst, lstm = report["worst_case_operations_per_step"], report["lstm_of_the_same_size"]
    print(f"{report['out']}: {report['name']}, {report['format']}")
    print(
        f"flash      {report['flash_bytes']:,} bytes of constants (an LSTM of the same size: {lstm['flash_bytes']:,})"
    )
    print(f"RAM        {report['ram_bytes']:,} bytes a state (LSTM: {lstm['ram_bytes']:,})")
    print(
        f"at most    {worst['synaptic_adds']:,} additions and {worst['synaptic_multiplies']:,} multiplications for what is sent "
        f"({worst['synaptic_multiplies_if_input_is_analog']:,} if inputs are analog); {worst['neuron_adds']:,} and "
        f"{worst['neuron_multiplies']:,} for neurons, a step (LSTM, always: {lstm['multiply_adds_per_step']:,} multiply-adds)"
    )
    encoder = report.get("encoder")
    if encoder is not None:
        late = f"{encoder['latency_samples']} samples late" if encoder["smoothing"] else "without latency"
        print(f"encoder    {encoder['ram_bytes']:,} of these bytes of RAM; {late}; {worst['encoder_adds']:,} and "
              f"{worst['encoder_multiplies']:,} a step")  # fmt: skip
        if encoder["std"] is None:
            print(
                f"needs      each lead's standard deviation, in the signal's unit: --std, or in {report['name']}_encoder_init"
            )
    decision = report["decision"]
    print(
        f"decides    {report['name']}_decide: {len(decision['classes'])} classes by {decision['loss']}; "
        f"{decision['ram_bytes']:,} of these bytes of RAM"
    )
    print(f"try it     make -C {report['out']} && {report['out']}/{report['name']} < input.csv")
