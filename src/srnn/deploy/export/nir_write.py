"""A network as a NIR graph, with a report of what NIR cannot represent.

    input -> layer0_in (Affine) -> layer0.neuron -> layer1_in -> ... -> readout.neuron -> output
                                   layer0.neuron -> layer0.rec (Linear) -> layer0.neuron

NIR describes neurons by differential equations and leaves the time step to the reader; a cycle counts as one step of delay, as
in our recurrent layers. Delays are NIR's own Delay before the weights: input -> layer0_delay -> layer0_in, and layer0.neuron ->
layer0.rec_delay -> layer0.rec. Our factors of one step become NIR's tau for a reader who steps by forward Euler (1 - dt/tau;
snnTorch, Norse, SpikingJelly) or exactly (exp(-dt/tau); Sinabs).

What NIR cannot represent (the dynamic threshold and soft reset of ALIF, adLIF's adaptation, ReLU emission, spiking neurons whose
membrane is read) is written as the nearest NIR neuron, and in full in that node's metadata, which ``nir_read.py`` reads back to
the same bits and other readers ignore.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ...errors import SrnnError, need
from ...nn.network import SRNN, FrozenLayer, FrozenNetwork, freeze
from ...nn.neurons import CubaLIF, Neuron
from .nir_report import (
    EXTENSION,
    FORMAT,
    Array,
    Discretisation,
    Entry,
    Report,
    Verdict,
    check_discretisation,
    check_dt,
    to_seconds,
)

if TYPE_CHECKING:
    from nir import NIRGraph, NIRNode

Scaling = Literal["keep", "one", "unscaled"]
"""Where a neuron's input gain goes: "keep": r is our resistance. "one": r = 1, the weights are scaled (Norse reads r as 1).
"unscaled": r = tau/dt, so that the current is added as it is, and the weights are scaled (snnTorch, some of SpikingJelly)."""

Values = Mapping[str, Array]
"""A layer's parameters by name, each (size,), float64; time constants in steps."""


@dataclass(frozen=True)
class _Neuron:
    """A neuron as NIR sees it: tau du/dt = -u + r I, with a threshold and a reset or without both."""

    own: Discretisation
    """How our step discretises it."""
    r: Array
    threshold: Array | None
    reset: Array | None
    findings: tuple[tuple[str, Verdict, str], ...] = ()
    """(what, verdict, detail) of what this omits."""
    w_in: Array | None = None
    """What the input is multiplied by on its way into a synaptic current, whose time constant is tau_syn; None: there is none."""


def _lif(p: Values, _: Neuron) -> _Neuron:
    return _Neuron("euler", p["resistance"], p["threshold"], p["reset"])


def _integrator(p: Values, _: Neuron) -> _Neuron:
    return _Neuron("exact", np.ones_like(p["tau_mem"]), None, None)


def _relu(p: Values, _: Neuron) -> _Neuron:
    lost = ("ReLU emission", "lost", "written as an integrator, which passes on negative membranes too")
    return _Neuron("exact", np.ones_like(p["tau_mem"]), None, None, (lost,))


def _alif(p: Values, _: Neuron) -> _Neuron:
    findings: list[tuple[str, Verdict, str]] = [
        ("soft reset", "approximated", "NIR resets to a value (0); ALIF subtracts its threshold, one step later")
    ]
    if p["beta"].any():
        findings.append(
            ("dynamic threshold", "lost", "NIR's thresholds are constant; the resting threshold is written")
        )
    return _Neuron("exact", np.ones_like(p["tau_mem"]), p["threshold"], np.zeros_like(p["tau_mem"]), tuple(findings))


def _adlif(p: Values, _: Neuron) -> _Neuron:
    coupled = (p["coupling"] * np.maximum(p["a"], 0.0)).any() or (p["coupling"] * np.maximum(p["b"], 0.0)).any()
    lost = ("adaptation current", "lost", "NIR has no second state that opposes the input")
    findings = (lost,) if coupled else ()
    return _Neuron("exact", np.ones_like(p["tau_mem"]), p["threshold"], np.zeros_like(p["tau_mem"]), findings)


def _cubalif(p: Values, neuron: CubaLIF) -> _Neuron:
    findings: list[tuple[str, Verdict, str]] = []
    if neuron.reset_kind == "soft":
        detail = "NIR resets to a value; read it with reset_kind soft"
        findings.append(("soft reset", "approximated", detail))
    if neuron.reset_step == "next":
        detail = "NIR resets at once; read it with reset_step next"
        findings.append(("reset in the next step", "approximated", detail))
    if neuron.synapse_step == "next":
        detail = "NIR does not say it, and most readers pass a spike on in its own step; read it with synapse_step next"
        findings.append(("synapse in the next step", "approximated", detail))
    return _Neuron("exact", p["resistance"], p["threshold"], p["reset"], tuple(findings), p["gain"])


_NEURONS: Mapping[str, Callable[[Values, Any], _Neuron]] = {
    "lif": _lif,
    "integrator": _integrator,
    "relu": _relu,
    "alif": _alif,
    "adlif": _adlif,
    "cubalif": _cubalif,
}
"""To export another neuron: its nearest NIR neuron here; the extension contains the rest."""


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
    """(graph, report) of a network.

    Args:
        net: reads forwards only.
        dt: seconds a time step lasts. Readers take it from elsewhere: snnTorch steps by 1e-4, SpikingJelly and Norse by what
            they are told (1e-4 and 1e-3 by default).
        discretisation: how the reader steps, "euler" or "exact".
        scaling: where the gain of the input goes.
        name, class_names, about: stored in the graph's metadata; ``about`` holds JSON values, for example the task.

    Raises SrnnError without the extra ``nir``, and for networks that are not a graph of NIR neurons.
    """
    nir = need("nir", "NIR", "nir")
    check_dt(dt)
    check_discretisation(discretisation)
    if scaling not in get_args(Scaling):
        raise SrnnError(f"The scaling must be 'keep', 'one' or 'unscaled', not {scaling!r}.")
    frozen = freeze(net, "NIR", neurons=_NEURONS)
    nodes: dict[str, NIRNode] = {"input": nir.Input({"input": np.array([frozen.inputs])})}
    edges, below, entries = [], "input", _of_the_network(frozen)
    for layer in frozen.layers:
        key = layer.name.replace("layers.", "layer")  # readers may split a node's name at its dots
        made, lines = _layer_nodes(layer, dt, discretisation, scaling)
        nodes |= {f"{key}{suffix}": node for suffix, node in made.items()}
        entries += lines
        connections = [(below, f"{key}_in")] + [(f"{key}.neuron", f"{key}.rec")] * (layer.weight_rec is not None)
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
    return nir.NIRGraph(nodes, edges, metadata={EXTENSION: json.dumps(entry)}), Report(tuple(entries))


def _layer_nodes(
    layer: FrozenLayer, dt: float, discretisation: Discretisation, scaling: Scaling
) -> tuple[dict[str, Any], list[Entry]]:
    """({"_in", ".neuron" and ".rec": node}, findings) of a layer."""
    import nir

    where, weight = layer.name, layer.weight_in
    node, spec, scale = neuron_node(layer, dt, discretisation, scaling)
    entries = [
        Entry(
            where,
            "time constants",
            "exact",
            f"{_taus(node)} s, for a reader who steps by dt = {dt:g} s, {discretisation}",
        )
    ]
    if (scale == 1.0).all():
        entries.append(Entry(where, "weights", "exact", f"{weight.shape[0]} x {weight.shape[1]}"))
    else:
        entries.append(Entry(where, "weights", "approximated", "multiplied by the input gain, equal up to rounding"))
    entries += [Entry(where, *finding) for finding in spec.findings]
    if not spec.findings:
        entries.append(Entry(where, "neuron", "exact", f"{layer.neuron.name} as NIR's {type(node).__name__}"))
    dtype = weight.dtype

    def scaled(values: Array) -> Array:
        factor = scale[:, None] if values.ndim == 2 else scale
        return values if scaling == "keep" else (values.astype(np.float64) * factor).astype(dtype)

    into = nir.Affine(scaled(weight), scaled(layer.bias)) if layer.bias.any() else nir.Linear(scaled(weight))
    nodes = {"_in": into, ".neuron": node}
    if layer.weight_rec is not None:
        nodes[".rec"] = nir.Linear(scaled(layer.weight_rec))
    for what, delays in layer.delays.items():
        nodes[_DELAYS[what]] = nir.Delay(delays * dt)
        entries.append(
            Entry(where, "delays", "exact", f"{delays.min() * dt:g} to {delays.max() * dt:g} s, as NIR's Delay")
        )
    return nodes, entries


def neuron_node(
    layer: FrozenLayer, dt: float, discretisation: Discretisation, scaling: Scaling
) -> tuple[Any, _Neuron, Array]:
    """(node with the extension, what it leaves out, factor of the weights (size,))."""
    import nir

    values = {name: value.astype(np.float64) for name, value in layer.values().items()}
    spec = _NEURONS[layer.neuron.name](values, layer.neuron)
    if spec.threshold is not None and layer.output == "membrane":
        lost = (
            "membrane of a spiking neuron",
            "lost",
            f"NIR's LIF passes on spikes; written as an integrator without reset{'' if spec.w_in is None else ' and synapse'}",
        )
        spec = _Neuron(spec.own, spec.r if spec.w_in is None else spec.r * spec.w_in, None, None, (lost,))
    tau = _seconds(layer, values["tau_mem"], spec.own, dt, discretisation)
    r = {"keep": spec.r, "one": np.ones_like(tau), "unscaled": tau / dt}[scaling]
    extension = {"neuron": layer.neuron.describe(), "output": layer.output}
    metadata = {EXTENSION: json.dumps(extension), f"{EXTENSION}_parameters": dict(layer.parameters)}
    zero = np.zeros_like(tau)
    if spec.threshold is None:
        return nir.LI(tau, r, zero, metadata=metadata), spec, spec.r / r
    if spec.w_in is None:
        return nir.LIF(tau, r, zero, spec.threshold, spec.reset, metadata=metadata), spec, spec.r / r
    tau_syn = _seconds(layer, values["tau_syn"], spec.own, dt, discretisation)
    w_in = {"keep": spec.w_in, "one": np.ones_like(tau), "unscaled": tau_syn / dt}[scaling]
    node = nir.CubaLIF(tau_syn, tau, r, zero, spec.threshold, spec.reset, w_in, metadata=metadata)
    return node, spec, spec.r * spec.w_in / (r * w_in)


def _seconds(layer: FrozenLayer, steps: Array, own: Discretisation, dt: float, discretisation: Discretisation) -> Array:
    """Time constants in NIR's seconds. SrnnError where the reader's discretisation has none."""
    tau = to_seconds(steps, own, dt, discretisation)
    if not (np.isfinite(tau) & (tau > 0)).all():
        raise SrnnError(
            f"{layer.name}: a time constant of {steps.min():g} steps has no tau in NIR with the discretisation "
            f"'{discretisation}'; try the other one."
        )
    return tau


def _of_the_network(net: FrozenNetwork) -> list[Entry]:
    entries = []
    if net.substeps > 1:
        entries.append(
            Entry(
                "network",
                "substeps",
                "lost",
                f"a host must hold each input for {net.substeps} steps and average the output",
            )
        )
    for layer in net.layers:
        parts = [f"{key} = {how}" for key, how in layer.neuron.initial if how == "u" or how.a or how.b]  # type: ignore[union-attr]
        if parts:
            lost = f"NIR's neurons start at rest, not with {', '.join(parts)}"
            entries.append(Entry(layer.name, "initial state", "lost", lost))
    return entries


def _taus(node: Any) -> str:
    named = {name: getattr(node, name) for name in ("tau", "tau_mem", "tau_syn") if hasattr(node, name)}
    return ", ".join(f"{name} {_span(values)}" for name, values in named.items())


def _span(values: Array) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
