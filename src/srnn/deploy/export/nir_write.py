"""A network as a NIR graph, with a report of what NIR cannot represent.

    input -> layer0_in (Affine) -> layer0.neuron -> layer1_in -> ... -> readout.neuron -> output
                                   layer0.neuron -> layer0.rec (Linear) -> layer0.neuron

NIR describes neurons by differential equations and leaves the time step to the reader; a cycle
counts as one step of delay, as in our recurrent layers. Delays are NIR's own Delay before the
weights: input -> layer0_delay -> layer0_in, and layer0.neuron -> layer0.rec_delay -> layer0.rec.
Our factors per step become NIR's tau for a reader who steps by forward Euler (1 - dt/tau; snnTorch,
Norse, SpikingJelly) or exactly (exp(-dt/tau); Sinabs).

What NIR cannot represent (the dynamic threshold and soft reset of ALIF, adLIF's adaptation, graded
emissions, spiking neurons whose membrane is read) is written as the nearest NIR neuron, and in full
in that node's metadata, which ``nir.load`` reads back to the same bits and other readers ignore.
The package ``nir`` has a closed list of node types and refuses a whole file with any other, so
there is no node type of our own. The entries:

    of a neuron's node   srnn             JSON: the neuron with its settings, as in a recipe, and
                                          its output, "emission" or "membrane"
                         srnn_parameters  its parameters by name, (size,) each, as in a checkpoint
    of the graph         srnn             JSON: format (1), name, class_names, dt, discretisation,
                                          scaling, substeps, surrogate, dtype, about (task, loss)
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...errors import SrnnError, need
from ...files.conversion import check
from ...nn.network import SRNN, FrozenLayer, freeze
from ...nn.neurons import CubaLIF, Neuron
from .nir_neurons import scaled
from .nir_report import (
    EXTENSION,
    FORMAT,
    Array,
    Discretisation,
    Entry,
    Report,
    Verdict,
    check_stepping,
    to_seconds,
)

if TYPE_CHECKING:
    from nir import NIRGraph, NIRNode

Scaling = Literal["keep", "one", "unscaled"]
"""Where a neuron's input gain goes. "keep": r is our resistance. "one": r = 1, the weights are
scaled (Norse reads r as 1). "unscaled": r = tau/dt, so that the current is added as it is, and the
weights are scaled (snnTorch, some of SpikingJelly)."""

Finding = tuple[str, Verdict, str]
"""(what, verdict, detail) of an entry of the report."""

_STEPPED: Mapping[str, Discretisation] = {
    "lif": "euler",
    "integrator": "exact",
    "relu": "exact",
    "alif": "exact",
    "adlif": "exact",
    "cubalif": "exact",
}
"""How our step discretises each neuron that can be written. NIR sees it as tau du/dt = -u + r I:
with a threshold and a reset if it has a threshold, and after a synapse if it has a gain (of its
input). To export another neuron, add an entry here, and to ``_omitted`` what its nearest NIR neuron
leaves out; the extension contains the rest."""


def _omitted(neuron: Neuron, p: Mapping[str, Array]) -> Iterator[Finding]:
    """What the nearest NIR neuron leaves out of a neuron with the parameters p, each (size,)."""
    if neuron.emission.graded:
        detail = "written as an integrator, which passes on its membrane as it is"
        yield f"emission '{neuron.emission.name}'", "lost", detail
    elif neuron.name == "alif":
        yield (
            "soft reset",
            "approximated",
            "NIR resets to a value (0); ALIF subtracts its threshold, one step later",
        )
        if p["beta"].any():
            yield (
                "dynamic threshold",
                "lost",
                "NIR's thresholds are constant; the resting threshold is written",
            )
    elif neuron.name == "adlif":
        if any((p["coupling"] * np.maximum(p[name], 0.0)).any() for name in ("a", "b")):
            yield "adaptation current", "lost", "NIR has no second state that opposes the input"
    elif isinstance(neuron, CubaLIF):
        if neuron.reset_kind == "soft":
            yield (
                "soft reset",
                "approximated",
                "NIR resets to a value; read it with reset_kind soft",
            )
        if neuron.reset_step == "next":
            yield (
                "reset in the next step",
                "approximated",
                "NIR resets at once; read it with reset_step next",
            )
        if neuron.synapse_step == "next":
            most = "NIR does not state this, and most readers pass on a spike in its own step"
            yield (
                "synapse in the next step",
                "approximated",
                f"{most}; read it with synapse_step next",
            )


_DELAYS = {"incoming": "_delay", "arriving": ".rec_delay"}
"""What a layer's Delay nodes are called."""


def to_graph(
    net: SRNN,
    *,
    dt: float = 1e-3,
    discretisation: Discretisation = "euler",
    scaling: Scaling = "keep",
    name: str = "srnn",
    class_names: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
) -> tuple[NIRGraph, Report]:
    """The NIR graph of a network, and the report of what NIR cannot represent.

    Args:
        net: reads forwards only.
        dt: seconds per time step. Readers take it from elsewhere: snnTorch steps by 1e-4,
            SpikingJelly and Norse by what they are told (1e-4 and 1e-3 by default).
        discretisation: how the reader steps, "euler" or "exact".
        scaling: where the gain of the input goes.
        name: stored in the graph's metadata.
        class_names: names of the classes, stored there too.
        about: JSON values, for example the task, stored there too.

    Raises:
        SrnnError: the extra ``nir`` is missing (package), or the network is no graph of NIR neurons
            (unsupported).
    """
    nir = need("nir", "NIR", "nir")
    dt = check_stepping(dt, discretisation)
    check("scaling", scaling, Scaling)
    frozen = freeze(net, "NIR", neurons=_STEPPED)
    nodes: dict[str, NIRNode] = {"input": nir.Input({"input": np.array([frozen.inputs])})}
    edges, below, entries = [], "input", list[Entry]()
    if frozen.substeps > 1:
        lost = f"a host must hold each input for {frozen.substeps} steps and average the output"
        entries.append(Entry("network", "substeps", "lost", lost))
    for layer in frozen.layers:
        parts = [
            f"{key} = {how}"
            for key, how in dict(layer.neuron.initial).items()
            if isinstance(how, str) or how.a or how.b
        ]
        if parts:
            lost = f"NIR's neurons start at rest, not with {', '.join(parts)}"
            entries.append(Entry(layer.name, "initial state", "lost", lost))
    for layer in frozen.layers:
        key = layer.name.replace("layers.", "layer")  # readers may split a node's name at its dots
        made, lines = _layer_nodes(layer, dt, discretisation, scaling)
        nodes |= {f"{key}{suffix}": node for suffix, node in made.items()}
        entries += lines
        connections = [(below, f"{key}_in")] + [(f"{key}.neuron", f"{key}.rec")] * (
            layer.weight_rec is not None
        )
        for before, weights in connections:
            delay = f"{key}{_DELAYS['incoming' if before == below else 'arriving']}"
            way = [before, *([delay] if delay in nodes else []), weights, f"{key}.neuron"]
            edges += itertools.pairwise(way)
        below = f"{key}.neuron"
    nodes["output"] = nir.Output({"output": np.array([frozen.outputs])})
    edges.append((below, "output"))
    entry = {
        "format": FORMAT,
        "name": name,
        "class_names": list(class_names),
        "dt": dt,
        "discretisation": discretisation,
        "scaling": scaling,
        "substeps": frozen.substeps,
        "surrogate": net.surrogate.describe(),
        "dtype": frozen.dtype,
        "about": dict(about or {}),
    }
    return nir.NIRGraph(nodes, edges, metadata={EXTENSION: json.dumps(entry)}), Report(
        tuple(entries)
    )


def _layer_nodes(
    layer: FrozenLayer, dt: float, discretisation: Discretisation, scaling: Scaling
) -> tuple[dict[str, Any], list[Entry]]:
    """({"_in", ".neuron" and ".rec": node}, findings) of a layer."""
    import nir

    weight, biased = layer.weight_in, layer.bias.any()
    node, omitted, scale = neuron_node(layer, dt, discretisation, scaling)
    named = {
        name: getattr(node, name) for name in ("tau", "tau_mem", "tau_syn") if hasattr(node, name)
    }
    spans = {name: np.unique([values.min(), values.max()]) for name, values in named.items()}
    taus = ", ".join(
        f"{name} {' to '.join(f'{end:.3g}' for end in ends)}" for name, ends in spans.items()
    )
    stepped = f"{taus} s, for a reader that steps with dt = {dt:g} s, {discretisation}"
    findings: list[Finding] = [("time constants", "exact", stepped)]
    if (scale == 1.0).all():
        findings.append(("weights", "exact", f"{weight.shape[0]} x {weight.shape[1]}"))
    else:
        findings.append(
            ("weights", "approximated", "multiplied by the input gain, equal up to rounding")
        )
    findings += omitted or [
        ("neuron", "exact", f"{layer.neuron.name} as NIR's {type(node).__name__}")
    ]
    if scaling != "keep":
        layer = scaled(layer, scale).as_type(weight.dtype.type)
    if biased:
        into = nir.Affine(layer.weight_in, layer.bias)
    else:
        into = nir.Linear(layer.weight_in)
    nodes = {"_in": into, ".neuron": node}
    if layer.weight_rec is not None:
        nodes[".rec"] = nir.Linear(layer.weight_rec)
    for what, delays in layer.delays.items():
        nodes[_DELAYS[what]] = nir.Delay(delays * dt)
        findings.append(
            ("delays", "exact", f"{delays.min() * dt:g} to {delays.max() * dt:g} s, as NIR's Delay")
        )
    return nodes, [Entry(layer.name, *finding) for finding in findings]


def neuron_node(
    layer: FrozenLayer, dt: float, discretisation: Discretisation, scaling: Scaling
) -> tuple[Any, list[Finding], Array]:
    """The node of a layer's neuron, with the extension.

    Args:
        layer: the layer.
        dt: seconds per step of the reader.
        discretisation: how the reader steps.
        scaling: where the gain of the input goes.

    Returns:
        The node, what it leaves out, and the factor of the weights (size,).

    Raises:
        SrnnError: a time constant has no tau in NIR (unsupported).
    """
    import nir

    p = {name: value.astype(np.float64) for name, value in layer.values().items()}
    own, one, zero = _STEPPED[layer.neuron.name], np.ones(layer.size), np.zeros(layer.size)
    r, threshold, gain = p.get("resistance", one), p.get("threshold"), p.get("gain")
    omitted: list[Finding] = list(_omitted(layer.neuron, p))
    if threshold is not None and layer.output == "membrane":
        written = f"written as an integrator without reset{'' if gain is None else ' and synapse'}"
        omitted = [
            ("membrane of a spiking neuron", "lost", f"NIR's LIF passes on spikes; {written}")
        ]
        r, threshold, gain = r if gain is None else r * gain, None, None
    tau = _seconds(layer, p["tau_mem"], own, dt, discretisation)
    nir_r = {"keep": r, "one": one, "unscaled": tau / dt}[scaling]
    extension = {"neuron": layer.neuron.describe(), "output": layer.output}
    metadata = {EXTENSION: json.dumps(extension), f"{EXTENSION}_parameters": dict(layer.parameters)}
    if threshold is None:
        return nir.LI(tau, nir_r, zero, metadata=metadata), omitted, r / nir_r
    reset = p.get("reset", zero)
    if gain is None:
        return nir.LIF(tau, nir_r, zero, threshold, reset, metadata=metadata), omitted, r / nir_r
    tau_syn = _seconds(layer, p["tau_syn"], own, dt, discretisation)
    w_in = {"keep": gain, "one": one, "unscaled": tau_syn / dt}[scaling]
    node = nir.CubaLIF(tau_syn, tau, nir_r, zero, threshold, reset, w_in, metadata=metadata)
    return node, omitted, r * gain / (nir_r * w_in)


def _seconds(
    layer: FrozenLayer, steps: Array, own: Discretisation, dt: float, discretisation: Discretisation
) -> Array:
    """Time constants in NIR's seconds. SrnnError where there are none for the reader's
    discretisation."""
    tau = to_seconds(steps, own, dt, discretisation)
    if not (np.isfinite(tau) & (tau > 0)).all():
        raise SrnnError(
            f"{layer.name}: a time constant of {steps.min():g} steps has no tau in NIR with the "
            f"discretisation '{discretisation}'; try the other one.",
            "unsupported",
            "discretisation",
        )
    return tau
