"""Readouts: the last layer, whose membrane or spikes are the scores of the classes.

    integrator    leaky integrators; the score is the membrane (SHD, SSC, GSC, SoLi, TIMIT in the paper)
    alif          spiking ALIF neurons; the score is their membrane (ECG: the reset lets it change its mind quickly)
    spike_count   spiking ALIF neurons; the score is their spikes, to be summed over time ((P)S-MNIST)

Readouts are feed-forward layers like any other; this file only states their neurons and what is
read from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ...errors import SrnnError, nearest
from ...registry import check_settings, refuse_class
from ..emissions import Output
from ..neurons import ALIF, Integrator, Neuron, as_neuron
from ..neurons.base import DEFINED


@dataclass(frozen=True)
class Readout:
    """Which neuron the last layer has, and what is read from it.

    Args:
        neuron: the model.
        output: "membrane", or "emission": its spikes, or what a model that does not spike emits.
    """

    neuron: Neuron = field(default_factory=Integrator)
    output: Output = "membrane"


READOUTS: Mapping[str, Readout] = MappingProxyType(
    {
        "integrator": Readout(Integrator(), "membrane"),
        "alif": Readout(ALIF(), "membrane"),
        "spike_count": Readout(ALIF(), "emission"),
    }
)


def as_readout(spec: str | Mapping[str, Any] | Readout | Neuron) -> Readout:
    """A Readout from a name, a neuron (its membrane is read), or
    ``{"neuron": ..., "output": "membrane" | "emission"}``.

    A mapping may also start from a name:
    ``{"name": "alif", "neuron": {"name": "alif", "tau_mem": 20}}``.
    """
    if isinstance(spec, Readout):
        return spec
    if isinstance(spec, Neuron):
        return Readout(spec, "membrane")
    if isinstance(spec, str):
        spec = {"name": spec}
    refuse_class("readout", spec)
    if not isinstance(spec, Mapping):
        forms = "its name, a neuron, a Readout or a mapping"
        raise SrnnError(f"A readout is given by {forms}, not by {spec!r}.", "value", "readout")
    options = dict(spec)
    name = options.pop("name", "integrator")
    if not isinstance(name, str) or name not in READOUTS:
        neuron = ""
        if isinstance(name, str) and name in DEFINED:
            neuron = f" A neuron is given as a mapping, {{neuron: {name}}}."
        message = f"Unknown readout {name!r}.{nearest(str(name), READOUTS)}{neuron}"
        raise SrnnError(message, "name", "readout")
    check_settings("A readout has", options, ("name", "neuron", "output"))
    base = READOUTS[name]
    neuron = as_neuron(options["neuron"]) if "neuron" in options else base.neuron
    return Readout(neuron, options.get("output", base.output))
