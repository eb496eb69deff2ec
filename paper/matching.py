"""Matching our trainings with published rows: the same data, and the same network."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

from srnn.measure.energy import (
    PAPER,
    Activity,
    LayerCounts,
    LayerShape,
    count,
    describe_network,
    picojoules,
    total,
)
from srnn.measure.page.comparison import differences as setting_differences
from srnn.nn.network.readout import as_readout
from srnn.nn.neurons import Init, as_neuron
from srnn.training.recipes import Recipe

from .evidence import Entry
from .published import PublishedRow

_SHAPES: dict[str, tuple[LayerShape, ...]] = {}
"""By recipe: building a network takes a while."""


def beside(row: PublishedRow, entries: list[Entry]) -> list[Entry]:
    """Our trainings of the row's network on the row's data."""
    recipes = row.recipes().values()
    return [
        entry
        for entry in entries
        if any(same_data(entry.recipe, one) and same_network(entry.recipe, one) for one in recipes)
    ]


def nearest(entry: Entry, row: PublishedRow) -> tuple[str, list[str]]:
    """The row's shipped recipe from which the training differs least, by name, and the settings
    that differ."""
    return min(
        ((name, differences(entry.recipe, recipe)) for name, recipe in row.recipes().items()),
        key=lambda one: len(one[1]),
    )


def same_data(one: Recipe, other: Recipe) -> bool:
    """Whether both have the same task with the same options."""
    return one.task.name == other.task.name and one.create_task() == other.create_task()


def same_network(one: Recipe, other: Recipe) -> bool:
    """Whether both have the same layers of the same neurons; parameters of neurons and training may
    differ."""
    return _layout(one) == _layout(other)


def differences(ours: Recipe, theirs: Recipe) -> list[str]:
    """Settings in which ours differs from theirs, as "training.epochs 100 (there 400)"."""
    rows = setting_differences([ours.to_dict(), theirs.to_dict()])
    return [
        "{} {} (there {})".format(row["key"], *row["values"])
        for row in rows
        if row["key"] != "note"
    ]


def cost(recipe: Recipe, rate: float | None) -> LayerCounts | None:
    """The operations of a step of a recipe's network, with one rate for all its neurons and, as the
    paper counts, for its input.

    None for a spiking network whose rate was not measured.
    """
    key = json.dumps([recipe.to_dict()["task"], recipe.to_dict()["network"]], sort_keys=True)
    if key not in _SHAPES:
        _SHAPES[key] = describe_network(recipe.build_network(recipe.create_task(), 0))
    layers = _SHAPES[key]
    if rate is None and any(layer.spiking for layer in layers[:-1]):
        return None
    rates = (rate or 0.0,) * (len(layers) - 1)
    return total(
        count(layers, Activity(True, rate or 0.0, rates), recipe.create_task().analog_in_paper)
    )


def energy(counts: LayerCounts) -> float:
    """pJ, by the paper's prices."""
    return picojoules(counts, PAPER)


def describe(recipe: Recipe) -> str:
    """A network in a few words: "alif 36, readout alif"; torch's cells: "LSTM 128-128", or "ReLU
    128, LSTM 128" for a mix."""
    network = recipe.network
    sizes = "-".join(map(str, network.hidden))
    both = "bidirectional " if network.bidirectional else ""
    if network.model != "srnn":
        kinds = [
            network.model.upper() if recurrent else "ReLU"
            for recurrent in network.each("recurrent")
        ]
        runs = groupby(zip(kinds, network.hidden, strict=True), key=lambda layer: layer[0])
        return both + ", ".join(
            f"{kind} {'-'.join(str(size) for _, size in layers)}" for kind, layers in runs
        )
    names = dict.fromkeys(as_neuron(spec).name for spec in network.each("neuron"))
    readout = (
        network.readout
        if isinstance(network.readout, str)
        else network.readout.get("name", "integrator")
    )
    return f"{both}{'/'.join(names)} {sizes}, readout {readout}"


def _layout(recipe: Recipe) -> tuple[Any, ...]:
    network = recipe.network
    layers = (network.model, network.hidden, network.each("recurrent"), network.bidirectional)
    if network.model != "srnn":
        return layers
    neurons, readout = (
        [as_neuron(spec) for spec in network.each("neuron")],
        as_readout(network.readout),
    )
    return (
        *layers,
        network.merge if network.bidirectional else "",
        network.substeps,
        # The second: whether it adapts.
        [(neuron.name, getattr(neuron, "beta", None) != Init("constant", 0)) for neuron in neurons],
        (readout.neuron.name, readout.output),
    )
