"""NIR, the Neuromorphic Intermediate Representation (neuroir.org): networks to and from other
libraries and chips.

    graph, report = to_graph(net, dt=0.004)     the network in NIR, and a report of what NIR cannot represent
    save(graph, path)
    imported = load(path)                       imported.network is an SRNN

Our own files are restored to the same bits. Other libraries' files are read as their equations say,
if they consist of layers of LIF, IF, LI or CubaLIF. All linear nodes (Affine, Linear, Scale)
between two neurons are multiplied into one matrix and one bias. A path from a neuron back to itself
becomes recurrent weights, with the delay of one step that every reader gives it: within a step a
neuron sees the layer below in the same step and itself one step earlier. r and v_leak of an
integrator go into weights and bias, which is the same arithmetic; the membranes of spiking neurons
are measured from their v_leak. What is not a chain of such layers (convolutions, skip connections)
is refused by name. Delays are read only directly after a neuron or the input.

NIR states only the value of a reset, which is immediate. None of its nodes tells how a writer's
simulator differs from that (a reset by subtraction, or in the next step): the argument ``neuron``
does. ``nir_write.py`` describes how networks are written.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from ...errors import SrnnError, need
from ...files import parse_json, reading, write_atomically
from ...files.hdf5 import open_hdf5
from ...nn.delays import Delays, check_delays
from ...nn.emissions import Output
from ...nn.network import SRNN, FrozenLayer, FrozenNetwork, Readout
from ...nn.neurons import CubaLIF, Init, Integrator, as_neuron
from .nir_neurons import NO_MEMORY, OPEN, SETTINGS, Make, Stepping, scaled
from .nir_report import (
    EXTENSION,
    FORMAT,
    Array,
    Discretisation,
    Entry,
    Report,
    check_stepping,
)
from .nir_wiring import Wiring, flatten, kind_of, size_of
from .nir_write import neuron_node, to_graph

if TYPE_CHECKING:
    from nir import NIRGraph, NIRNode

__all__ = ["OPEN", "Entry", "Imported", "Report", "load", "read", "save", "to_graph"]

DEFAULT_DT = 1e-4
"""Seconds per step in snnTorch's and SpikingJelly's files."""
LONG = 2**14
"""Longest time constant, in steps, for which float32 has 1 - exp(-1 / tau), an integrator's input
weight, to 1 in 2,000."""


@dataclass(frozen=True)
class Imported:
    """A network from a NIR file."""

    network: SRNN
    report: Report
    name: str
    class_names: tuple[str, ...]
    dt: float
    """Seconds that a step lasts."""
    discretisation: Discretisation
    about: Mapping[str, Any]
    """Other metadata of the writer (see ``to_graph``); empty for other libraries' files."""


def load(
    source: Path | str | NIRGraph,
    *,
    dt: float | None = None,
    discretisation: Discretisation | None = None,
    extension: bool = True,
    neuron: Mapping[str, str] | None = None,
) -> Imported:
    """The network in a NIR file, or in a graph in memory.

    Args:
        source: the file or the graph.
        dt: seconds per time step; None: as the file's own entries say, else 1e-4 (snnTorch,
            SpikingJelly).
        discretisation: how the writer steps, "euler" (most) or "exact" (Sinabs); None: as the file
            says, else "euler".
        extension: restore what this library wrote besides the NIR nodes; False: only what NIR
            itself contains.
        neuron: how the writer's spiking neurons differ from what NIR says, where the extension does
            not tell: the settings ``reset_kind``, ``reset_step`` and ``synapse_step`` of
            ``CubaLIF``. {"reset_kind": "soft", "reset_step": "next"} is what snnTorch does by
            default.

    Raises:
        SrnnError: the file cannot be read, or is not a chain of LIF, IF, LI or CubaLIF layers.
    """
    if isinstance(source, (str, Path)):
        graph = read(Path(source))
    else:
        graph = source
    if isinstance(source, (str, Path)):
        source = str(source)
    else:
        source = "the NIR graph"
    settings: dict[str, Any] = dict(neuron or {})
    if not set(settings) <= set(OPEN):
        raise SrnnError(
            f"NIR leaves open {', '.join(OPEN)}, but not "
            f"{', '.join(sorted(set(settings) - set(OPEN)))}.",
            "name",
            ", ".join(sorted(set(settings) - set(OPEN))),
        )
    CubaLIF(**settings)  # refuses invalid values
    # Nodes contain whatever their writer put into them.
    with reading(source, "a network of layers"):
        entries = _entries(graph, source)
        if discretisation is None:
            how: Discretisation = entries.get("discretisation", "euler")
        else:
            how = discretisation
        step = check_stepping(entries.get("dt", DEFAULT_DT) if dt is None else dt, how)
        wiring, stepping = Wiring(*flatten(graph, source), source), Stepping(step, how, settings)
        reader = _Reader(wiring, stepping, entries if extension else {}, extension)
        chain = reader.wiring.chain()
        layers, report = [], []
        for place, (before, node) in enumerate(chain):
            last = place == len(chain) - 1
            layer, origin = reader.layer(before, node, last)
            if last:
                name = "readout"
            else:
                name = f"layers.{place}"
            layers.append(replace(layer, name=name))
            report.append(Entry(name, "neuron", "exact", f"node '{node}': {origin}"))
            leaky: Any = wiring.nodes[node]
            if kind_of(leaky) == "LI":  # what an integrator here does not reproduce of it
                if np.ptp(leaky.v_leak) > 0:
                    detail = "membranes start at 0 here, not each at its own v_leak"
                    report.append(Entry(name, "initial state", "lost", detail))
                if (steps := float(np.max(leaky.tau)) / step) > LONG:
                    detail = (
                        f"float32 rounds what an input adds to a membrane of {steps:.3g} steps, "
                        "perhaps to 0"
                    )
                    report.append(Entry(name, "time constant", "approximated", detail))
        return Imported(
            network=_build(tuple(layers), reader.entries, source),
            report=Report(tuple(report)),
            name=str(entries.get("name", "")),
            class_names=tuple(map(str, entries.get("class_names", ()))),
            dt=step,
            discretisation=how,
            about=entries.get("about", {}),
        )


def read(path: Path) -> NIRGraph:
    """The graph in a file, not yet interpreted. SrnnError if there is none."""
    nir = need("nir", "NIR", "nir")
    if not path.is_file():
        raise SrnnError(f"There is no NIR file {path}.", "missing", path)
    with open_hdf5(path, f"a NIR graph by nir {nir.version}") as file:
        graph = nir.dict2NIRNode({**file.tree("node"), "type_check": False})
        if not isinstance(graph, nir.NIRGraph):
            raise ValueError(f"it holds a single {kind_of(graph)}")
        graph.validate_structure()
    return graph


def save(graph: NIRGraph, path: Path | str) -> None:
    """Write a graph atomically.

    Args:
        graph: the graph.
        path: the file, HDF5.

    Raises:
        SrnnError: the file cannot be written, or the extra ``nir`` is missing (package).
    """
    nir = need("nir", "NIR", "nir")
    content = io.BytesIO()
    try:
        # The HDF5 library prints tracebacks, too, where closing fails.
        with contextlib.redirect_stderr(io.StringIO()):
            nir.write(content, graph)
    except Exception as error:  # the HDF5 library reports a lack of memory in many ways
        reason = str(error).rstrip(".") or type(error).__name__
        raise SrnnError(f"Cannot write {path}: {reason}.", "file", path) from error
    write_atomically(Path(path), content.getvalue(), named=True)


def _entries(graph: NIRGraph, source: str) -> dict[str, Any]:
    """Our entries in the graph's metadata; empty for other libraries' files."""
    text = graph.metadata.get(EXTENSION)
    if text is None:
        return {}
    try:
        entries = parse_json(text, source)
        if not isinstance(entries, dict) or entries.get("format") != FORMAT:
            raise ValueError("unknown format")
        if not isinstance(entries["class_names"], list) or not isinstance(entries["about"], dict):
            raise ValueError("not what to_graph writes")
    except (TypeError, ValueError, KeyError, SrnnError) as error:
        raise SrnnError(
            f"{source}: the entries of srnn in the graph's metadata cannot be read; remove them.",
            "file",
            source,
        ) from error
    return entries


@dataclass(frozen=True)
class _Reader:
    """Layers from nodes."""

    wiring: Wiring
    stepping: Stepping
    entries: Mapping[str, Any]
    """Our entries in the graph's metadata; empty where there are none or they are not wanted."""
    extension: bool

    def layer(self, before: str, name: str, last: bool) -> tuple[FrozenLayer, str]:
        """(layer, how it was read) of a neuron's node fed by ``before``, or of the output if
        weights follow the last neuron."""
        wiring, source = self.wiring, self.wiring.source
        matrices, bias = wiring.current(name)
        node, size = wiring.nodes[name], size_of(wiring.nodes[name])
        if before == wiring.input:
            fan_in = wiring.channels
        else:
            fan_in = {size_of(wiring.nodes[before])}
        feed, back = wiring.fed_by(name, before), wiring.fed_by(name, name)
        assert feed is not None  # guaranteed by ``chain``
        matrix, fed_back = matrices[feed], None if back is None else matrices[back]
        if matrix is None:
            weight = wiring.diagonal(np.ones(size))
        else:
            weight = matrix
        if back is not None and fed_back is None:
            recurrent = wiring.diagonal(np.ones(size))
        else:
            recurrent = fed_back
        if np.ndim(bias) == 0:
            bias = np.zeros(size)
        else:
            bias = np.asarray(bias)
        fits = len(weight) == size and weight.shape[1] in fan_in and bias.shape == (size,)
        if not fits or (recurrent is not None and recurrent.shape != (size, size)):
            raise SrnnError(
                f"{source}: the weights or bias into '{name}' do not fit its {size} neurons and "
                "what feeds it.",
                "data",
                name,
            )
        for values in (weight, bias, recurrent):
            if values is not None and not np.isfinite(values).all():
                raise SrnnError(
                    f"{source}: the weights or bias into '{name}' are not finite.", "data", name
                )
        delays = {
            what: self._delays(key, count)
            for what, key, count in (("incoming", feed, weight.shape[1]), ("arriving", back, size))
            if key is not None and wiring.sent(key)[1] is not None
        }
        make: Make = functools.partial(
            FrozenLayer.of, name, weight_in=weight, weight_rec=recurrent, bias=bias
        )
        if kind_of(node) == "Output":
            neuron = Integrator(
                tau_mem=Init("constant", NO_MEMORY), trained=(), time_constants="unconstrained"
            )
            layer = make(
                neuron, parameters={"tau_mem": np.full(size, NO_MEMORY)}, output="membrane"
            )
            how = "weights after the last neuron: an integrator without memory (tau of 0.001 steps)"
        elif self.extension and EXTENSION in node.metadata:
            layer, how = self._extended(make, node, name, size)
        else:
            layer, how = self.stepping.layer(make, node, f"{source}: '{name}'", last)
        return replace(layer, delays=delays), how

    def _delays(self, key: str, count: int) -> Array:
        """The delays of a Delay node in steps, (count,)."""
        where = f"{self.wiring.source}: '{key}'"
        seconds = self.wiring.sent(key)[1]
        if seconds is None or len(seconds) not in (1, count):
            raise SrnnError(
                f"{where} does not have a delay for each of the {count} values that it delays.",
                "data",
                key,
            )
        steps = np.broadcast_to(seconds / self.stepping.dt, count)
        whole = np.rint(steps)
        if not (np.abs(steps - whole) <= 1e-3).all():  # also catches NaN
            raise SrnnError(
                f"{where} delays by fractions of a step of {self.stepping.dt:g} s; name the "
                "writer's step with dt.",
                "data",
                key,
            )
        check_delays(torch.from_numpy(whole), where)
        return whole.astype(np.int64)

    def _extended(self, make: Make, node: NIRNode, name: str, size: int) -> tuple[FrozenLayer, str]:
        """The layer that the extension describes, if its node has not changed since both were
        written."""
        source = self.wiring.source
        try:
            described = parse_json(node.metadata[EXTENSION], source)
            neuron, stored = (
                as_neuron(described["neuron"]),
                node.metadata[f"{EXTENSION}_parameters"],
            )
            parameters = {
                key: np.asarray(stored[key], _dtype(self.entries)) for key in neuron.parameters()
            }
            if described["output"] not in get_args(Output):
                raise ValueError("no output")
            if any(
                value.shape != (size,) or not np.isfinite(value).all()
                for value in parameters.values()
            ):
                raise ValueError("not finite, or of another shape")
            layer = make(neuron, parameters=parameters, output=described["output"])
        except (TypeError, ValueError, KeyError, AttributeError, SrnnError) as error:
            raise SrnnError(
                f"{source}: the extension of '{name}' cannot be read; import without it.",
                "data",
                name,
            ) from error
        scaling = self.entries.get("scaling", "keep")
        wanted, _, scale = neuron_node(
            layer, self.stepping.dt, self.stepping.discretisation, scaling
        )
        same = type(wanted) is type(node) and all(
            np.allclose(getattr(node, key), getattr(wanted, key), rtol=1e-5, atol=1e-12)
            for key in SETTINGS
            if hasattr(wanted, key)
        )
        if not same:
            raise SrnnError(
                f"{source}: '{name}' is not what its extension says: one of them has been changed, "
                "or dt has; import without the extension.",
                "data",
                name,
            )
        return (
            layer if scaling == "keep" else scaled(layer, 1.0 / scale)
        ), f"{neuron.name}, from the extension"


def _build(layers: tuple[FrozenLayer, ...], entries: Mapping[str, Any], source: str) -> SRNN:
    """The network of these layers, the last of which is the readout."""
    *hidden, readout = layers
    if readout.delays:
        raise SrnnError(
            f"{source} delays what goes into its last layer; only hidden layers can have delays "
            "here.",
            "unsupported",
            source,
        )
    # Distributions that allow delays such as the layers', whose own then replace the drawn ones.
    keys = {"incoming": "input", "arriving": "recurrent"}
    delays: list[Any] = [
        {
            keys[what]: Init("uniform", float(d.min()), float(d.max()))
            for what, d in layer.delays.items()
        }
        for layer in hidden
    ]
    try:
        network = SRNN(
            layers[0].inputs,
            [layer.size for layer in hidden],
            readout.size,
            [layer.neuron for layer in hidden],
            Readout(readout.neuron, readout.output),
            entries.get("surrogate", "multi_gaussian"),
            norm="none",  # a graph holds folded weights
            recurrent=[layer.weight_rec is not None for layer in hidden],
            substeps=entries.get("substeps", 1),
            delays=[Delays(**ranges) for ranges in delays],
        ).to(getattr(torch, _dtype(entries)))
    except (TypeError, ValueError) as error:
        raise SrnnError(
            f"{source} does not describe a network of this library: {error}.", "unsupported", source
        ) from error
    targets: list[Any] = [*network.layers]
    for target, layer in zip(targets, hidden, strict=True):
        target.output = layer.output
    FrozenNetwork(layers).into(network)
    return network.eval()


def _dtype(entries: Mapping[str, Any]) -> Literal["float32", "float64"]:
    if entries.get("dtype") == "float64":
        return "float64"
    return "float32"
