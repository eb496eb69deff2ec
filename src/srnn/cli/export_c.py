"""``srnn export c``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..errors import SrnnError
from .decoding import numbers
from .options import MORE, DataDir, Json, Model, StateBits
from .show import print_result

if TYPE_CHECKING:
    from ..model.trained import Trained
    from ..nn.fixedpoint.integer import InputFormat


def export_c(
    model: Model,
    /,
    *,
    out: Path,
    format: Literal["float32", "int8"] = "float32",
    state_bits: StateBits = None,
    layout: Literal["plain", "arduino", "platformio", "zephyr", "espidf"] = "plain",
    name: str | None = None,
    inputs: str | None = None,
    learn: Literal["readout", "e-prop"] | None = None,
    std: Annotated[list[str] | None, MORE] = None,
    counts: Annotated[list[str] | None, MORE] = None,
    overwrite: bool = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> int:
    """Write a trained network as a C99 library without allocation or dependencies, which names the
    class that the network decides for, with a program to try it and a Makefile; or, with --layout,
    as a library for a device tool, with an example.

      srnn export c runs/digits-s0-1 --out digits_c
      srnn export c RUN --out DIR --format int8
      srnn export c RUN --out DIR --format int8 --state-bits 16
      srnn export c RUN --out DIR --layout arduino
      srnn export c RUN --out DIR --learn readout

    int8 needs the range of the inputs and, for states of 16 or 8 bits, the ranges of the states: the
    model has them from its training. If it does not, the command measures them on the training
    data, or --inputs describes the inputs. The network's encoder is included. For raw ECG records,
    --std or your program gives it the standard deviation of each lead, in the signal's unit (int8:
    in units of the converter); with scale: running the C code measures it. For sound that was
    trained with normalise: training, the C code takes samples of 16 bits.

    Args:
        out: folder to write, new or empty
        format: numbers
        layout: the tool that it is for; plain: with a Makefile
        name: prefix of files, functions and types, a different one for each network in a program
            (default: the run's name)
        inputs: int8: 'spikes' for integers up to 127, or the largest analog input
        learn: float32: what keeps learning on the device: the readout, or also one hidden layer, by
            e-prop
        std: raw ECG: standard deviation of each lead, as S S or S,S
        counts: int8, where training scaled the channels: what 1 in a channel's unit is as the
            sensor's integer, such as 4096; one number, or one for each channel (default: powers of
            two, which the header states)
        overwrite: write over an earlier export in --out
    """
    from ..deploy.c.names import check_name
    from ..deploy.c.project import check_out
    from ..deploy.export import model as exporting
    from ..model.opening import open_trained

    check_out(out, overwrite)
    if name is not None:
        check_name(name)
    trained, inputs_as = open_trained(model), input_format(inputs)
    if format == "int8":
        trained = with_ranges(trained, inputs_as, state_bits, data_dir)
    report = exporting.export_c(
        trained,
        out,
        format,
        name=name,
        inputs_as=inputs_as,
        state_bits=state_bits,
        std=None if std is None else numbers("--std", ",".join(std)),
        counts=None if counts is None else numbers("--counts", ",".join(counts)),
        layout=layout,
        learn=learn,
        overwrite=overwrite,
    )
    report = {**report, "out": str(out), "layout": layout}
    return print_result(json, report, lambda: _show(report, trained.task.signal().step_inputs))


def input_format(text: str | None) -> InputFormat | None:
    """The input format that --inputs describes; None: it is not given."""
    from ..nn.fixedpoint.integer import InputFormat

    if text is None:
        return None
    if text == "spikes":
        return InputFormat()
    try:
        return InputFormat(float(text), whole=False)
    except ValueError as error:
        raise SrnnError(
            f"--inputs must be 'spikes' or the largest analog input, not {text!r}.",
            "value",
            "inputs",
        ) from error


def with_ranges(
    trained: Trained, inputs_as: InputFormat | None, state_bits: int | None, data_dir: Path | None
) -> Trained:
    """The model with the ranges of inputs and states that int8 needs: its own or, if it has none,
    measured on the training data.

    Args:
        trained: the model.
        inputs_as: the format of inputs; None: the model's own.
        state_bits: bits of a state; None: those it was trained for.
        data_dir: where the training data are.

    Returns:
        The model.

    Raises:
        SrnnError: ``missing``: the ranges are unknown, and there are no training data.
    """
    from ..data.batches import Sequences
    from ..nn.state_format import StateFormat
    from ..training.compression.evaluation import measure_int8

    network = trained.spiking("exported")
    network.freeze().require("int8")  # no data would help
    trained_for = StateFormat.of_network(network).width
    lacks_states = state_bits not in (None, 32, trained_for) and trained.state_ranges is None
    if (inputs_as or trained.inputs_as) and not lacks_states:
        return trained
    try:
        sequences = Sequences(trained.task, "train", data_dir)
    except SrnnError as error:
        raise SrnnError(
            "int8 needs the range of the inputs, and the ranges of "
            f"{state_bits}-bit states; give the training data: {error}"
            if lacks_states
            else f"int8 needs the range of the inputs; give --inputs, or the training data: {error}",
            "missing",
            "inputs",
        ) from error
    return replace(trained, **measure_int8(trained, sequences, inputs_as))


def _show(report: dict[str, Any], inputs: str) -> None:
    from ..deploy.c.layouts import LAYOUTS

    worst, lstm = report["worst_case_operations_per_step"], report["lstm_of_the_same_size"]
    print(f"{report['out']}: {report['name']}, {report['format']}")
    print(
        f"flash      {report['flash_bytes']:,} bytes of constants "
        f"(an LSTM of the same size: {lstm['flash_bytes']:,})"
    )
    print(f"RAM        {report['ram_bytes']:,} bytes per signal (LSTM: {lstm['ram_bytes']:,})")
    print(
        f"at most    {worst['synaptic_adds']:,} additions and "
        f"{worst['synaptic_multiplies']:,} multiplications per step for what is "
        f"sent ({worst['synaptic_multiplies_if_input_is_analog']:,} if inputs are "
        f"analog), {worst['neuron_adds']:,} and {worst['neuron_multiplies']:,} for "
        f"neurons (LSTM, always: {lstm['multiply_adds_per_step']:,} multiply-adds)"
    )
    encoder = report.get("encoder")
    if encoder is not None:
        late = "without latency"
        if encoder["latency_samples"]:
            late = f"{encoder['latency_samples']} samples late"
        print(
            f"encoder    {encoder['ram_bytes']:,} of these bytes of RAM; {late}; "
            f"{worst['encoder_adds']:,} and {worst['encoder_multiplies']:,} per step"
        )
        if encoder.get("std", ()) is None:
            print(
                "needs      each lead's standard deviation, in the "
                f"signal's unit: --std, or in {report['name']}_encoder_init"
            )
    elif inputs:
        print(f"inputs     {inputs}")
    decision = report["decision"]
    print(
        f"decides    {report['name']}_decide: {len(decision['classes'])} classes "
        f"by {decision['loss']}; {decision['ram_bytes']:,} of these bytes of RAM"
    )
    if "until" in decision:
        print(
            f"exits      {report['name']}_stands: when the class stands, by the model's exit policy"
        )
    if "learning" in report:
        learning = report["learning"]
        costs = "; ".join(
            f"{cost['adds']:,} additions and {cost['multiplies']:,} multiplications per {when}"
            for when, cost in learning["operations"].items()
        )
        print(
            f"learns     {learning['rule']}: {learning['parameters_ram_bytes']:,} "
            f"bytes of RAM for {learning['parameters']:,} parameters and "
            f"{learning['traces_ram_bytes']:,} for traces; {costs}"
        )
    encode = " --encode"
    if encoder is None:
        encode = ""
    if encoder is not None and "std" in encoder:
        encode += f" {' '.join(map(repr, encoder['std'] or ())) or 'STD ...'}"  # of each channel
    how = {**report, "out": shlex.quote(str(report["out"])), "encode": encode}
    print(f"try it     {LAYOUTS[report['layout']].format(**how)}")
