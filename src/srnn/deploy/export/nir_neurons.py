"""A neuron's NIR node as one of our layers, from what the node itself says.

Its equations are stepped as its writer steps them: LIF, IF and LI by our LIF and integrator,
CubaLIF by CubaLIF, and LIF and IF whose reset differs from NIR's by a CubaLIF whose synapse
remembers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ...errors import SrnnError
from ...nn.network import FrozenLayer
from ...nn.network.parameters import raw_from_tau
from ...nn.neurons import LIF, CubaLIF, Init, Integrator, Neuron
from .nir_report import Array, Discretisation, to_steps
from .nir_wiring import kind_of, size_of

NO_LEAK = 2.0**26
"""Time constant, in steps, of the LIF that stands for an IF neuron: 1 - 1/tau is 1 in float32."""
NO_MEMORY = 1e-3
"""Time constant, in steps, of an integrator or a synapse that passes on its input: exp(-1000) is
0."""
OPEN = {"reset_kind": "hard", "reset_step": "same", "synapse_step": "same"}
"""Settings of CubaLIF about which NIR's nodes say nothing, with the values assumed where the reader
is not told either."""
Make = Callable[..., FrozenLayer]
"""``FrozenLayer.of`` with everything that the wiring says about a layer."""
SETTINGS = ("tau", "tau_mem", "tau_syn", "r", "w_in", "v_leak", "v_threshold", "v_reset")


@dataclass(frozen=True)
class Stepping:
    """How the writer of a file steps its neurons: what NIR leaves to its reader."""

    dt: float
    discretisation: Discretisation
    settings: Mapping[str, str]
    """Those of ``OPEN`` that are known of the writer."""

    def layer(self, make: Make, node: Any, where: str, last: bool) -> tuple[FrozenLayer, str]:
        """A layer from a neuron's node, and how the node was read, for people.

        Args:
            make: makes the layer from its neuron, parameters and output.
            node: an LIF, IF, LI or CubaLIF.
            where: what messages call the node.
            last: whether it is the readout, which passes on membranes where it does not spike.

        Raises:
            SrnnError: the node's parameters do not fit each other or the step, or are not finite.
        """
        kind, size = kind_of(node), size_of(node)
        try:
            fields = {
                key: np.broadcast_to(np.asarray(getattr(node, key), np.float64).reshape(-1), size)
                for key in SETTINGS
                if hasattr(node, key)
            }
        except ValueError as error:
            raise SrnnError(
                f"{where} has parameters of different lengths.", "data", where
            ) from error
        if not all(np.isfinite(values).all() for values in fields.values()):
            raise SrnnError(f"{where} has parameters that are not finite.", "data", where)
        how = f"NIR's {kind}, stepped with dt = {self.dt:g} s, {self.discretisation}"
        if kind == "LI":
            steps, leak = self._steps(fields["tau"], "exact", where), fields["v_leak"]
            settings = _settings(steps)
            if leak.any() and np.ptp(leak) == 0:
                settings["initial"] = {"u": Init("constant", float(leak[0]))}
            neuron = Integrator(**settings)
            parameters = _stored(neuron, tau_mem=np.maximum(steps, NO_MEMORY))
            layer = scaled(
                make(neuron, parameters=parameters, output="membrane" if last else "emission"),
                fields["r"],
            )
            return replace(layer, bias=layer.bias + leak), how
        other_reset = any(
            self.settings.get(key, OPEN[key]) != OPEN[key] for key in ("reset_kind", "reset_step")
        )
        synapse = kind == "CubaLIF" or other_reset
        stated = (f"{key} {value}" for key, value in self.settings.items() if synapse)
        return self._spiking(make, fields, synapse, where), ", ".join((how, *stated))

    def _spiking(
        self, make: Make, fields: Mapping[str, Array], synapse: bool, where: str
    ) -> FrozenLayer:
        """The layer of NIR's LIF and IF; with a ``synapse`` that of its CubaLIF, or (a synapse that
        remembers nothing) that of its LIF and IF if their reset is not NIR's."""
        tau, r, leak = (
            fields.get("tau_mem", fields.get("tau")),
            fields["r"],
            fields.get("v_leak", 0.0),
        )
        if tau is None:  # an IF
            steps, r = np.full_like(r, NO_LEAK), r * self.dt * NO_LEAK
        else:
            steps = self._steps(tau, "exact" if synapse else "euler", where)
        values = {
            "resistance": r,
            "threshold": fields["v_threshold"] - leak,
            "reset": fields["v_reset"] - leak,
        }
        if not synapse:
            neuron = LIF(**_settings(steps))
            return make(neuron, parameters=_stored(neuron, tau_mem=steps, **values))
        timing: dict[str, Any] = {**OPEN, **self.settings}
        taus = [steps, np.zeros_like(r)]
        if "tau_syn" in fields:
            taus[1] = self._steps(fields["tau_syn"], "exact", where)
        else:
            timing["synapse_step"] = "same"
        mem, syn = (np.maximum(steps, NO_MEMORY) for steps in taus)
        neuron, gain = CubaLIF(**_settings(mem, syn), **timing), fields.get("w_in", np.ones_like(r))
        return make(
            neuron, parameters=_stored(neuron, tau_mem=mem, tau_syn=syn, gain=gain, **values)
        )

    def _steps(self, tau: Array, own: Discretisation, where: str) -> Array:
        """Our time constants from NIR's. SrnnError for time constants that do not fit the writer's
        step."""
        steps = to_steps(tau, own, self.dt, self.discretisation)
        if not (np.isfinite(steps) & (steps >= (1.0 if own == "euler" else 0.0))).all():
            raise SrnnError(
                f"{where} has a tau of {tau.min():g} s, too short for steps of {self.dt:g} s "
                f"({self.discretisation}); name the writer's step with dt.",
                "value",
                "dt",
            )
        return steps


def scaled(layer: FrozenLayer, factor: Array) -> FrozenLayer:
    """The layer with its current multiplied by a factor, neuron by neuron.

    Args:
        layer: the layer.
        factor: (size,).
    """
    if layer.weight_rec is None:
        recurrent = None
    else:
        recurrent = factor[:, None] * layer.weight_rec
    return replace(
        layer,
        weight_in=factor[:, None] * layer.weight_in,
        weight_rec=recurrent,
        bias=factor * layer.bias,
    )


def _stored(neuron: Neuron, **values: Array) -> dict[str, Array]:
    """A neuron's parameters, time constants in steps, as it stores them."""
    for name in neuron.taus:
        raw = raw_from_tau(
            torch.from_numpy(np.array(values[name])), neuron.time_constants, neuron.tau_min
        )
        values[name] = raw.numpy()
    return {name: np.array(value) for name, value in values.items()}


def _settings(*taus: Array) -> dict[str, Any]:
    """Settings of a neuron whose time constants (in steps) stay as they are read."""
    # There "linear" stores them unchanged.
    kept = all(steps.min() >= 2.0 and steps.max() <= 1e6 for steps in taus)
    return {"time_constants": "linear" if kept else "unconstrained"}
