"""A trained network with its task, exported to C, ONNX or NIR: what ``model.export`` and
``srnn export`` do.

    export(trained, Path("ecg_c"), "int8")           # {"ram_bytes": ..., "flash_bytes": ..., ...}

Class names, the rule by which outputs become a decision, the length of a step and number formats
come from the model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...data.signals import CrossingPath, ScaledPath, SpeechPath, Steps
from ...data.signals.base import listed
from ...errors import SrnnError, either, option
from ...files import check_new, check_writable, temporary_folder
from ...files.conversion import check
from ...model.exit_policy import ExitPolicy
from ...model.trained import Trained
from ...nn.loss_config import DecisionRule
from ...text import brief, counted

if TYPE_CHECKING:
    from nir import NIRGraph
    from onnx import ModelProto

    from ...data.signals import SignalPath
    from ...nn.fixedpoint.integer import InputFormat
    from ...nn.frozen import FrozenNetwork
    from ...nn.state_format import StateFormat
    from ..c.layouts import ForPage, Layout
    from ..c.learning import Learn
    from ..c.project import Format
    from .nir_report import Discretisation, Report
    from .nir_write import Scaling
    from .onnx import Form


def export(trained: Trained, path: Path, format: str = "c", **options: Any) -> dict[str, Any]:
    """Write a model in another format.

    Args:
        trained: the model.
        path: the folder ("c", "int8") or file that is written.
        format: "c", C in float32; "int8", C in integers; "onnx"; "nir"; or "web", a page.
        options: those of ``export_c``, ``export_onnx``, ``export_nir`` or ``export_web``.

    Returns:
        Figures about what was written.

    Raises:
        SrnnError: the format cannot represent the network, and nothing is written (unsupported);
            the format or an option is unknown; the path cannot be written to.
    """
    if not isinstance(trained, Trained):
        raise SrnnError(
            f"Only a model can be exported, not a {type(trained).__name__}: srnn.load reads one, "
            "srnn.from_network makes one of a network.",
            "value",
            "trained",
        )
    writers: dict[str, tuple[Any, ...]] = {
        "c": (export_c, "float32"),
        "int8": (export_c, "int8"),
        "onnx": (export_onnx,),
        "nir": (export_nir,),
        "web": (export_web,),
    }
    check("format", format, Literal["c", "int8", "onnx", "nir", "web"])
    write, *given = writers[format]
    known = list(signature(write).parameters)[2 + len(given) :]
    for name in options:
        if name not in known:
            raise SrnnError(
                f"The export as {format!r} has no option {name!r}. Its options are: "
                f"{', '.join(known)}.",
                "name",
                name,
            )
    return write(trained, path, *given, **options)


def export_c(
    trained: Trained,
    out: Path,
    format: Format = "float32",
    *,
    name: str | None = None,
    inputs_as: InputFormat | None = None,
    state_bits: int | None = None,
    std: Sequence[float] | None = None,
    counts: Sequence[float] | None = None,
    layout: Layout | ForPage = "plain",
    learn: Learn | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """A C99 library in a folder; see ``deploy.c.export_c``.

    Args:
        trained: the model.
        out: the folder, new or empty.
        format: "float32", or "int8" (integers only; see ``srnn.nn.fixedpoint.integer``).
        name: C identifier, prefix of files, functions and types; None: the model's name (its run's
            or file's).
        inputs_as: int8: what inputs are like; None: as in training.
        state_bits: int8: bits of a state, 32, 16 or 8; None: those that the network was trained
            for.
        std: networks that read a signal's level crossings: the standard deviation of each channel,
            in the signal's unit.
        counts: int8, with channels that were scaled in training: what 1 in a channel's unit is as a
            sample, such as the sensor's counts per unit; one number for each channel or one for
            all. None: a power of two for each.
        layout: "plain", or the tool that takes the folder as a library: "arduino", "platformio",
            "zephyr", "espidf".
        learn: float32: what keeps learning on the device: "readout", or also one hidden layer, by
            "e-prop".
        overwrite: write over an earlier export in the folder.

    Returns:
        Figures about what was written.

    Raises:
        SrnnError: the format cannot represent the network; or int8 needs a fact about the training
            data that the model does not state (missing).
    """
    from ...nn.fixedpoint.device import device_network
    from ...nn.fixedpoint.integer import InputFormat
    from ..c import export_c
    from ..c.names import identifier

    if format != "int8" and state_bits is not None:
        raise SrnnError(
            f"{option('state_bits')} belongs to format int8; float32 keeps states in float32.",
            "conflict",
            "state_bits",
        )
    if state_bits is not None:
        check("state_bits", state_bits, Literal[32, 16, 8])
    if inputs_as is not None and not isinstance(inputs_as, InputFormat):
        raise SrnnError(
            "inputs_as must be an InputFormat of srnn.nn.fixedpoint.integer (InputFormat() for "
            "spikes, InputFormat(largest, whole=False) for analog inputs), not "
            f"{brief(inputs_as)}.",
            "value",
            "inputs_as",
        )
    device = device_network(trained.spiking("exported"), _encoder(trained, std))
    state_as = None
    if format == "int8":
        inputs_as, state_as = _integer_formats(trained, device, inputs_as, state_bits)
    own = identifier(trained.name)
    other = "" if name in (None, own) else f"{trained.name}, "
    # What the C file says of the model after its task: its step, what it was trained on, and its
    # channels.
    task, signal = trained.task, trained.task.signal()
    facts = "" if task.step_ms is None else f", a step every {task.step_ms:g} ms"
    if task.step_ms is not None and (lag := task.lag()):
        late = f"{lag} steps ({lag * task.step_ms:g} ms)"
        facts += f", with the class of the step {late} before it"
    # After so many steps ``srnn stream`` begins anew.
    if trained.steps is not None and task.kind == "per_sequence":
        facts += f", trained on sequences of {counted(trained.steps, 'step')}"
    if known_of_it := listed(signal.names, signal.units):
        facts += f", of {'' if signal.names else 'channels '}{known_of_it}"
    return export_c(
        device,
        out,
        name or own,
        format,
        inputs_as=inputs_as,
        state_as=state_as,
        decision=with_exit(trained),
        learn=learn,
        counts=counts,
        about=f"{other}task {task.name}{facts}",
        inputs=signal.step_inputs,
        layout=layout,
        overwrite=overwrite,
    )


def _integer_formats(
    trained: Trained,
    device: FrozenNetwork,
    inputs_as: InputFormat | None,
    state_bits: int | None,
) -> tuple[InputFormat, StateFormat | None]:
    """The formats of inputs and states in int8. SrnnError where they need a fact about the training
    data that the model does not state."""
    from ...nn.fixedpoint.integer import quantise
    from ...nn.state_format import StateFormat

    device.require("int8")  # before asking for what no measurement would help
    inputs_as = inputs_as or trained.inputs_as
    if inputs_as is None:
        how = either("--inputs", "inputs_as=InputFormat(largest) of srnn.nn.fixedpoint.integer")
        raise SrnnError(
            f"{trained.name} does not say what its inputs are like, which int8 must know; state "
            f"their largest value with {how}.",
            "missing",
            "inputs_as",
        )
    if state_bits in (None, device.state_as.width):
        return inputs_as, None
    state_as = trained.state_format(state_bits)
    if state_as is None:
        # Refuses states without bounds, which nobody can measure.
        quantise(device, inputs_as, StateFormat())
        raise SrnnError(
            f"{trained.name} does not say how large its states become, which states of "
            f"{state_bits} bits must know; leave state_bits out (states then have 32), or measure "
            "them on inputs x (batch, time, inputs): dataclasses.replace(model, "
            "state_ranges=measure_ranges(model.network.freeze(), x, inputs_as)), of "
            "srnn.nn.fixedpoint.integer.",
            "missing",
            "state_ranges",
        )
    return inputs_as, state_as


def _encoder(trained: Trained, std: Sequence[float] | None) -> SignalPath | None:
    """The part of the signal path that is written in C, if one is. SrnnError for a ``std`` that it
    cannot have."""
    signal = trained.task.signal()
    # A class derived from one of these computes something else than the C that is written for it.
    written = type(signal) in (CrossingPath, SpeechPath, ScaledPath, Steps)
    encodes = written and signal.has_c and signal.as_trained
    if std is None:
        if encodes:
            return signal
        return None
    if not encodes or not isinstance(signal, CrossingPath):
        raise SrnnError(
            f"Standard deviations ({option('std')}) belong to networks trained on raw ECG records; "
            f"this one (task {trained.task.name}) has no such encoder.",
            "conflict",
            "std",
        )
    return signal.with_std(std)


def with_exit(trained: Trained) -> DecisionRule:
    """How the network's outputs become a class, and when it stands by the model's exit policy."""
    policy = ExitPolicy.of(trained)
    if policy is None:
        return trained.decision
    return replace(trained.decision, until=policy.until)


def export_onnx(
    trained: Trained,
    path: Path,
    form: Form | Literal["triton"] = "step",
    *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """An ONNX model, or a folder of Triton's model repository that holds one.

    Args:
        trained: the model.
        path: the file, or with "triton" the folder, new or empty.
        form: "step", one step with its state; "sequence", whole sequences (``deploy.export.onnx``);
            or "triton", a folder with the first (``deploy.export.triton``).
        overwrite: replace a file that is there.

    Returns:
        Figures about what was written.

    Raises:
        SrnnError: as for ``to_onnx``; or the path cannot be written to.
    """
    from . import onnx

    check_new(path, overwrite, ours=not path.is_dir())
    if form != "triton":
        model = to_onnx(trained, form)
        onnx.save(model, path)
    else:
        model = to_onnx(trained)
        save_triton(trained, model, path)
    return {"out": str(path), "form": form, "bytes": model.ByteSize()}


def save_triton(trained: Trained, model: ModelProto, path: Path) -> None:
    """Write a folder of Triton's model repository.

    Its sequences begin as the network's streams do.

    Args:
        trained: the model.
        model: its ONNX model of one step.
        path: the folder, new or empty.
    """
    import torch

    from . import onnx, triton

    network = trained.spiking("exported")
    drawn = network.initial_state(1, torch.Generator().manual_seed(trained.seed))
    initial = onnx.state_arrays(network, drawn) | onnx.decision_arrays(model, 1)
    triton.write(model, initial, [*trained.classes], path)


def to_onnx(trained: Trained, form: Form = "step") -> ModelProto:
    """The ONNX model itself, with the class scores by which the network decides.

    Args:
        trained: the model.
        form: "step" or "sequence".

    Raises:
        SrnnError: the network raises alarms, or has no such form (unsupported).
    """
    from . import onnx

    if trained.alarm is not None:
        raise SrnnError(
            f"{trained.name} raises alarms, and ONNX gives no score of an alarm; C and a page do.",
            "unsupported",
            "form",
        )

    task = trained.task
    about = {**({"label_lag": task.lag()} if task.lag() else {}), **input_scale(trained)}
    return onnx.to_model(
        trained.spiking("exported"),
        form,
        name=trained.name,
        decision=trained.decision,
        step_ms=task.step_ms,
        metadata={
            "task": task.name,
            **{name: json.dumps(values) for name, values in about.items()},
        },
    )


def input_scale(trained: Trained) -> dict[str, list[float]]:
    """How a sensor's channels are scaled before an ONNX or NIR model reads them: "input_mean" and
    "input_std", each with one number per channel; empty where they are read as they are. x =
    (channels - mean) / std."""
    signal = trained.task.signal()
    # A derived class may compute something else.
    scale = signal.statistics if type(signal) is ScaledPath else None
    if scale is None:
        return {}
    return {"input_mean": scale.mean.tolist(), "input_std": scale.std.tolist()}


def export_web(
    trained: Trained,
    out: Path,
    numbers: Format = "int8",
    *,
    std: Sequence[float] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a page that needs no server: an HTML file with the network's C in it.

    See ``deploy.export.web``.

    Args:
        trained: the model.
        out: the file.
        numbers: those of the C, "int8" or "float32".
        std: as for ``export_c``.
        overwrite: replace a file that is there.

    Returns:
        The sizes of the page and of its WebAssembly, in bytes.

    Raises:
        SrnnError: as for ``export_c``; or there is no compiler (package).
    """
    from .web import find_compiler, write_page

    check_new(out, overwrite, ours=not out.is_dir())
    compiler = find_compiler()
    check_writable(out.parent)
    with temporary_folder() as folder:
        library = folder / "library"
        export_c(trained, library, numbers, name="model", layout="web", std=std)
        return write_page(trained, out, library, compiler, numbers)


def export_nir(
    trained: Trained,
    path: Path,
    *,
    dt: float | None = None,
    discretisation: Discretisation = "euler",
    scaling: Scaling = "keep",
    overwrite: bool = False,
) -> dict[str, Any]:
    """A NIR graph; see ``deploy.export.nir``.

    Args:
        trained: the model.
        path: the file.
        dt: seconds per step of the reader; None: the task's, else 1 ms.
        discretisation: how the reader steps, "euler" or "exact".
        scaling: where the gain of the input goes: "keep", "one" or "unscaled".
        overwrite: replace a file that is there.

    Returns:
        Figures about what was written, with the report of what NIR cannot represent.

    Raises:
        SrnnError: the network is no graph of NIR neurons (unsupported), or the path cannot be
            written to.
    """
    from . import nir

    check_new(path, overwrite, ours=not path.is_dir())
    graph, report, dt = to_nir(trained, dt, discretisation, scaling)
    nir.save(graph, path)
    return {"out": str(path), "dt": dt, "nodes": len(graph.nodes), **report.to_dict()}


def to_nir(
    trained: Trained, dt: float | None, discretisation: Discretisation, scaling: Scaling
) -> tuple[NIRGraph, Report, float]:
    """The NIR graph itself.

    Args:
        trained: the model.
        dt: seconds per step of the reader; None: the task's, else 1 ms.
        discretisation: how the reader steps.
        scaling: where the gain of the input goes.

    Returns:
        The graph, the report of what it cannot represent, and the reader's seconds per step.

    Raises:
        SrnnError: the network is no graph of NIR neurons (unsupported).
    """
    from . import nir

    step_ms = trained.task.step_ms
    if dt is None:
        if step_ms is None:
            dt = 1e-3
        else:
            dt = step_ms / 1000
    about = {
        "task": asdict(trained.recipe.task),
        "loss": asdict(trained.recipe.loss),
        **input_scale(trained),
    }
    graph, report = nir.to_graph(
        trained.spiking("exported"),
        dt=dt,
        discretisation=discretisation,
        scaling=scaling,
        name=trained.name,
        class_names=trained.classes,
        about=about,
    )
    return graph, report, dt
