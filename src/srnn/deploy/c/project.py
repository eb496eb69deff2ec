"""Writing an exported network: all of its files, or none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ...data.signals import SignalPath
from ...errors import SrnnError, either
from ...files import changing, check_folder, check_new, whole_folder, write_atomically
from ...files.conversion import check
from ...nn.fixedpoint.device import device_network
from ...nn.fixedpoint.integer import InputFormat, quantise
from ...nn.frozen import FrozenNetwork
from ...nn.loss_config import DecisionRule
from ...nn.network import SRNN
from ...nn.state_format import StateFormat
from .layouts import ForPage, Layout, arranged
from .learning import Learn
from .names import check_name, one_comment
from .plan import make_plan
from .program import main_c, makefile
from .source import header, source, weights

Format = Literal["float32", "int8"]


def export_c(
    network: SRNN | FrozenNetwork,
    out: Path | str,
    name: str = "network",
    format: Format = "float32",
    *,
    inputs_as: InputFormat | None = None,
    state_as: StateFormat | None = None,
    encoder: SignalPath | None = None,
    decision: DecisionRule | None = None,
    learn: Learn | None = None,
    counts: Sequence[float] | None = None,
    about: str = "",
    inputs: str = "",
    layout: Layout | ForPage = "plain",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a trained network as a C99 library.

    Args:
        network: an SRNN, or what ``device_network`` made of one.
        out: folder to be made; new or empty, or with ``overwrite`` that of an earlier export.
        name: as in ``export.model.export_c``.
        format: as in ``export.model.export_c``.
        inputs_as: int8 only: range and kind of the inputs (default: spikes and other integers up to
            127).
        state_as: int8 only: how states are kept, as ``measure_states`` finds it (default: as the
            network was trained for, or in 32 bits).
        encoder: what turns a signal into inputs, to be part of the library (``task.signal()``):
            a CrossingPath or SpeechPath, or a ScaledPath or Steps, whose samples are steps.
        decision: the rule by which outputs become a class, and the classes' names: gives
            NAME_decide and NAME_CLASSES. Without it the library ends with the readout's outputs.
        learn: as in ``export.model.export_c``.
        counts: as in ``export.model.export_c``.
        about: one line for the header: what network this is.
        inputs: for the header of a network without an encoder: what the inputs of a step are.
        layout: as in ``export.model.export_c``; or "web", for a page.
        overwrite: write over an earlier export in the folder.

    Returns:
        Sizes and operations, as written to NAME.json.

    Raises:
        SrnnError: the network cannot be exported like this, the name is a bad one, or the folder
            cannot be written.
    """
    out = Path(out)
    check_name(name)
    check_out(out, overwrite)
    # Refused: a format or layout that does not exist, and what does not belong to it.
    check("format", format, Format)
    check("layout", layout, Literal[Layout, ForPage])
    if inputs_as is not None and format != "int8":
        named = either("--inputs", "inputs_as")
        raise SrnnError(
            f"{named} belongs to format int8; float32 takes any input.", "conflict", "inputs_as"
        )
    if state_as is not None and format != "int8":
        raise SrnnError(
            "The width of states belongs to format int8; float32 keeps states in float32.",
            "conflict",
            "state_as",
        )
    if encoder is not None and isinstance(network, FrozenNetwork):
        raise SrnnError(
            "The encoder for a network from device_network is given there: "
            "device_network(net, encoder).",
            "conflict",
            "encoder",
        )
    device = network if isinstance(network, FrozenNetwork) else device_network(network, encoder)
    if format == "int8":
        model = quantise(device, inputs_as, state_as)
    else:
        model = device.require("float32 C")
    plan = make_plan(model, name, decision, learn, counts)
    report = plan.report()
    text = f"{name}: {one_comment(about or describe(device))}, {format}"
    files = {
        f"{name}.h": header(plan, text, one_comment(inputs)),
        f"{name}.c": source(plan),
        f"{name}_weights.h": weights(plan),
        f"{name}_main.c": main_c(plan),
        "Makefile": makefile(plan),
        f"{name}.json": json.dumps(report, indent=2) + "\n",
    }
    arrangement = arranged(layout, plan, text, files)
    if _exported(out):  # what was built there, and files of one's own, stay
        for file, content in arrangement.items():
            with changing(out / file):
                (out / file).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(out / file, content.encode())
        return report
    with whole_folder(out) as folder:  # all files, or no folder
        for file, content in arrangement.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            # Written as text, its line ends would change on Windows.
            (folder / file).write_bytes(content.encode())
    return report


def _check_format(
    format: str, layout: str, inputs_as: InputFormat | None, state_as: StateFormat | None
) -> None:
    """SrnnError for a format or layout that does not exist, and what does not belong to it."""
    check("format", format, Format)
    check("layout", layout, Literal[Layout, ForPage])
    if inputs_as is not None and format != "int8":
        named = either("--inputs", "inputs_as")
        raise SrnnError(
            f"{named} belongs to format int8; float32 takes any input.", "conflict", "inputs_as"
        )
    if state_as is not None and format != "int8":
        raise SrnnError(
            "The width of states belongs to format int8; float32 keeps states in float32.",
            "conflict",
            "state_as",
        )


def describe(network: FrozenNetwork) -> str:
    """The architecture in a few words: 4 - 36 alif, recurrent - 6 integrator."""
    parts = [str(network.inputs)]
    for layer in network.layers:
        recurrent = "" if layer.weight_rec is None else ", recurrent"
        parts.append(f"{layer.size} {layer.neuron.name}{recurrent}")
    return " - ".join(parts)


def check_out(out: Path, overwrite: bool = False) -> None:
    """SrnnError unless a folder may be written to.

    Args:
        out: the folder, which must be new or empty.
        overwrite: it may also be that of an earlier export.
    """
    check_folder(out)
    check_new(out, overwrite, ours=_exported(out))


def _exported(out: Path) -> bool:
    """Whether an export was written there: NAME.json, and NAME_weights.h where a layout has it."""
    places = (out, out / "src")
    return any(
        (place / f"{file.stem}_weights.h").is_file()
        for file in out.glob("*.json")
        for place in places
    )
