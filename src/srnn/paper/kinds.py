"""What a network is in the paper's terms: whether it spikes, and its name in comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..nn.neurons import NEURONS, Neuron


def spiking(network: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> bool:
    """Whether every hidden neuron emits spikes, so that a mean of the outputs that are not 0 is a firing rate.

    network: a recipe's ``network`` section; settings: a sweep's point, by dotted names, which override it.
    """
    settings = settings or {}
    if settings.get("baseline") is not None:
        return settings["baseline"] == "lif"
    if settings.get("network.model", network.get("model", "srnn")) != "srnn":
        return False
    return all(
        getattr(NEURONS.get(name, Neuron), "emission", "spike") == "spike"
        for name in _hidden_neurons(network, settings)
    )


def kind(network: Mapping[str, Any]) -> str:
    """ "SRNN", "LIF SRNN", "LSTM", ... as ``METHODS`` names the published ones; of several kinds of neurons, the first named."""
    if network.get("model", "srnn") != "srnn":
        name = str(network["model"]).upper()
        return "Bi-LSTM" if network.get("bidirectional") and name == "LSTM" else name
    names = _hidden_neurons(network, {})
    return next((method for name, method in _OF_NEURONS.items() if name in names), "SRNN")


_OF_NEURONS = {"relu": "ReLU SRNN", "adlif": "SE-adLIF SRNN", "lif": "LIF SRNN"}
METHODS = {
    "Adaptive SRNN": "SRNN", "LIF SRNN": "LIF SRNN", "ReLU SRNN": "ReLU SRNN", "LSTM": "LSTM", "GRU": "GRU",
    "Vanilla RNN": "RNN", "Bidirectional LSTM": "Bi-LSTM", "CNN": "CNN",
}  # fmt: skip
"""Of the paper's methods, by the beginning of their names in its Table S2."""


def published_kind(method: str) -> str:
    """What a method of the paper's Table S2 is; its own name for one that is none of these."""
    return next((kind for name, kind in METHODS.items() if method.startswith(name)), method)


def _hidden_neurons(network: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    neuron = settings.get("network.neuron", network.get("neuron"))
    named = settings.get("network.neuron.name")
    each = neuron if isinstance(neuron, list) else [neuron]
    return [str(named or (spec.get("name") if isinstance(spec, Mapping) else spec)) for spec in each]
