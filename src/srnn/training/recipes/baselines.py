"""Any recipe as one of the baselines: the same task, splits, sizes, loss and training, but another
kind of network.

    srnn train paper/shd --baseline lstm

    rnn, gru, lstm   torch's cells of the same sizes in every hidden layer; a linear readout
    bilstm           bidirectional LSTM cells, so each layer has twice as many units
    relu             the spiking network without its spikes: leaky ReLU units, integrators as readout (the paper's "ReLU SRNN")
    lif              the authors' "LIF": u = .618 u + I, threshold .5, hard reset, no time constant trained
    feedforward      the spiking network without recurrent weights

Settings without effect on the new network are removed: those of neurons, learning-rate multipliers
that match no parameter (for rnn to bilstm all of them, since they were chosen for spiking neurons),
the firing-rate regulariser if nothing spikes, and for torch's cells pruning, int8 and every
learning rule but backpropagation through whole sequences. Spike counts become means over time if
there are no spikes. Everything else stays, including the learning rate: set
``--training.optimizer.lr`` if a baseline needs another one.

Torch's cells are in every layer, even if it is feed-forward in the recipe: "LSTM 128 + 128" is two
layers of LSTM cells. A mix with dense ReLU layers is made only on request:
``--network.recurrent "[false, true]"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal

from ...errors import SrnnError, nearest, option
from ...model.network import NetworkConfig
from ...model.recipe import SPIKING_ONLY, Recipe, TrainingConfig
from ...nn.loss_config import RateConfig

# u = .618 u + I in the form of the LIF neuron's equation: 1 - 1/tau_mem = .618 and resistance /
# tau_mem = 1.
_TAU = 1 / 0.382
LIF: Mapping[str, Any] = MappingProxyType(
    {"name": "lif", "tau_mem": _TAU, "resistance": _TAU, "threshold": 0.5, "trained": []}
)


def as_baseline(recipe: Recipe, name: str) -> Recipe:
    """The recipe as a baseline.

    Args:
        recipe: an SRNN's.
        name: one of ``BASELINES``.

    Returns:
        The baseline's recipe; its note names the baseline.

    Raises:
        SrnnError: ``name`` for an unknown baseline; ``conflict`` for a recipe that is not an
            SRNN's.
    """
    if name not in list(BASELINES):  # a sweep's file may hold anything, even a list
        near = nearest(str(name), BASELINES)
        raise SrnnError(f"There is no baseline {name!r}.{near}", "name", "baseline")
    if recipe.network.model != "srnn":
        raise SrnnError(
            f"{option('baseline')} turns a spiking network's recipe into another one; this one "
            f"is a baseline itself (network.model: {recipe.network.model}).",
            "conflict",
            "baseline",
        )
    _parameters(recipe.network)  # refuses invalid neurons, before their settings are taken over
    made = BASELINES[name](recipe)
    names = _parameters(made.network)
    scales = {
        pattern: scale
        for pattern, scale in made.training.lr_scale.items()
        if made.network.model == "srnn" and any(fnmatchcase(key, pattern) for key in names)
    }
    training = replace(made.training, lr_scale=scales)
    return replace(made, training=training, note=f"Baseline {name} of: {recipe.note}")


def _parameters(network: NetworkConfig) -> list[str]:
    """The names of a network's parameters, taken from the smallest network of its kind, which has
    the same."""
    smallest = replace(network, hidden=[1] * len(network.hidden))
    return [key for key, _ in smallest.build(1, 1, seed=0).named_parameters()]


def _cells(
    model: Literal["rnn", "gru", "lstm"], both_ends: bool = False
) -> Callable[[Recipe], Recipe]:
    def convert(recipe: Recipe) -> Recipe:
        old = recipe.network
        network = NetworkConfig(
            model=model, hidden=old.hidden, bidirectional=old.bidirectional or both_ends
        )
        default = TrainingConfig()
        training = replace(
            recipe.training, **{name: getattr(default, name) for name in SPIKING_ONLY}
        )
        return replace(_without_spikes(recipe), network=network, training=training)

    return convert


def _without_spikes(recipe: Recipe) -> Recipe:
    """The recipe with a loss that needs no spikes."""
    if recipe.loss.name == "ce_spike_count":
        name = "ce_mean"
    else:
        name = recipe.loss.name
    return replace(recipe, loss=replace(recipe.loss, name=name, rate=RateConfig()))


def _relu(recipe: Recipe) -> Recipe:
    old = recipe.network
    each = [_leaky("relu", one) for one in old.each("neuron")]
    if isinstance(old.neuron, list):
        neuron = each
    else:
        neuron = each[0]
    if isinstance(old.readout, Mapping):
        readout = old.readout
    else:
        readout = {"name": old.readout}
    integrator = {
        "name": "integrator",
        "neuron": _leaky("integrator", readout.get("neuron", "integrator")),
    }
    return replace(_without_spikes(recipe), network=replace(old, neuron=neuron, readout=integrator))


def _leaky(name: str, neuron: str | Mapping[str, Any]) -> dict[str, Any]:
    """A membrane without spikes in place of a spiking neuron, of which only the leak and the
    initial membrane remain."""
    if isinstance(neuron, Mapping):
        settings = neuron
    else:
        settings = {}
    kept = {key: settings[key] for key in ("tau_mem", "time_constants") if key in settings}
    if "trained" in settings:
        kept["trained"] = [key for key in settings["trained"] if key == "tau_mem"]
    initial = {key: value for key, value in dict(settings.get("initial", {})).items() if key == "u"}
    return {"name": name, **kept, **({"initial": initial} if initial else {})}


def _lif(recipe: Recipe) -> Recipe:
    from ...nn.network.readout import as_readout

    readout = recipe.network.readout
    if isinstance(readout, Mapping):
        settings: dict[str, Any] = dict(readout)
    else:
        settings = {"name": readout}
    # An integrating readout has no spikes to reset it, and stays; a spiking one becomes LIF too.
    if as_readout(readout).neuron.emission.binary:
        settings["neuron"] = dict(LIF)
    return replace(recipe, network=replace(recipe.network, neuron=dict(LIF), readout=settings))


BASELINES: Mapping[str, Callable[[Recipe], Recipe]] = MappingProxyType(
    {
        "rnn": _cells("rnn"),
        "gru": _cells("gru"),
        "lstm": _cells("lstm"),
        "bilstm": _cells("lstm", both_ends=True),
        "relu": _relu,
        "lif": _lif,
        "feedforward": lambda recipe: replace(
            recipe, network=replace(recipe.network, recurrent=False)
        ),
    }
)
"""The function that turns a recipe into each baseline, by name."""
