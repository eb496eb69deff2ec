"""One network's energy by the four models, networks compared, and the firing rate at which spiking
stops paying."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import SrnnError
from ...files.bounds import Positive
from ...files.conversion import check
from ...text import html_table
from ..sections import ENERGY, written
from .activity import Activity, ActivityTally
from .counting import (
    LayerCounts,
    LayerShape,
    count,
    describe_network,
    graded,
    mean_rate,
    spiking,
    total,
)
from .operation_energy import (
    DEFAULT,
    FP32,
    MODELS,
    NEUROBENCH,
    PAPER,
    Prices,
    Technology,
    load_technology,
    parts,
    picojoules,
)

if TYPE_CHECKING:
    from ...nn.baselines import Network
    from ...nn.network.inputs import Input, Lengths


class EnergyReport(dict[str, Any]):
    """A report of energy as plain numbers, for JSON; shown as one line, and in a notebook as a
    table."""

    def _costs(self) -> dict[str, str]:
        """By model, what a step costs."""
        models = self["models"].items()
        return {
            name: written(costs and costs["energy_pj"]["step"], ENERGY) for name, costs in models
        }

    def __repr__(self) -> str:
        costs = ", ".join(f"{name} {cost}" for name, cost in self._costs().items())
        return f"EnergyReport({self['name']}, per step: {costs}; keys: {', '.join(self)})"

    def _repr_html_(self) -> str:
        return html_table(f"{self['name']}: energy of a step, by model", self._costs().items())


def energy(
    network: Network,
    x: Input,
    lengths: Lengths | None = None,
    *,
    technology: str | Path = DEFAULT,
    step_ms: float | None = None,
) -> EnergyReport:
    """What a network costs on an input, by four models:
    ``energy(net, x)["models"]["fp32"]["energy_pj"]["step"]``.

    Args:
        network: an ``SRNN`` or a ``ClassicalRNN``, compiled by torch or not.
        x: (B, T, inputs), a tensor, array or ``Spikes``: the input for which it is run once,
            without gradients, from its initial states.
        lengths: (B,) valid steps of each sequence in a padded batch.
        technology: prices of the memory model: a shipped technology's name, or a TOML file.
        step_ms: how long a step lasts; None: steps are not in time, and there is no energy per
            second.

    Returns:
        The report of ``energy_report``.

    Raises:
        SrnnError: ``data`` for inputs that do not fit, ``name``, ``file`` or ``value`` for a
            technology, ``value`` for ``step_ms``, ``unsupported`` for another module.
    """
    import torch

    from ...data.batches import Batch
    from ...nn.baselines import evaluating
    from ...nn.network.inputs import checked, uncompiled

    network = uncompiled(network)
    describe_network(network)  # SrnnError for anything that is not a network
    step_ms = check("step_ms", step_ms, Positive | None)
    # Values are checked, because NaN would cost as little as a silent network.
    x, lengths = checked(network, x, None, lengths, check=True)
    if not (lengths.sum() if lengths is not None else x.shape[0] * x.shape[1]):
        message = f"The input {tuple(x.shape)} has no steps, so there is nothing to measure."
        raise SrnnError(message, "data", "x")
    tally = ActivityTally(network)
    with evaluating(network), torch.no_grad():
        result = network.run(x, lengths=lengths, record=tally.record)
    tally.add(Batch(x, torch.zeros(len(result.output), dtype=torch.int64), lengths), result)
    return energy_report(network, tally.activity(), load_technology(technology), step_ms)


def energy_report(
    network: Network,
    activity: Activity,
    technology: Technology,
    step_ms: float | None = None,
    *,
    analog_in_paper: bool = False,
    name: str = "network",
    accuracy: float | None = None,
    note: str = "",
) -> EnergyReport:
    """The energy report of one network, as plain numbers for JSON: energies in pJ, counts for one
    step.

    Args:
        network: an ``SRNN`` or a ``ClassicalRNN``.
        activity: how often its input and its neurons are active.
        technology: prices of the memory model.
        step_ms: how long a step lasts; None: steps are not in time, and there is no energy per
            second.
        analog_in_paper: whether the paper's model counts this task's input as analog.
        name: the network's name in the report.
        accuracy: its accuracy in the report; None: it is not trained.
        note: a caveat in the report.

    Returns:
        The report. Counts and models are None where a rate that they depend on was not measured.

    Raises:
        SrnnError: ``unsupported`` for another module, ``data`` for another number of rates.
    """
    layers, rates, steps = describe_network(network), activity.layer_rates, activity.steps
    mean = mean_rate(layers, activity)
    tensors = [*network.parameters(), *network.buffers()]
    # Where a hidden layer spikes, everything depends on its rate; zeros of ReLU units only matter
    # to NeuroBench's counts.
    missing = rates is None and spiking(layers)
    if missing:
        counts = ()
    else:
        counts = count(layers, activity, analog_in_paper)
    sums, spikes = total(counts), None
    if rates is not None and spiking(layers):
        emitted = sum(
            r * one.cells * one.updates
            for r, one in zip(rates, layers, strict=False)
            if one.spiking
        )
        spikes = _by_sequence("per", emitted, steps)
        spikes |= _by_sequence("synaptic_operations_per", sums.synaptic_acs, steps)
    models: dict[str, Any] = dict.fromkeys(MODELS)
    if not missing:
        for model, prices in price_lists(sums, technology).items():
            step = picojoules(sums, prices)
            periods = {
                "step": step,
                "sequence": None if steps is None else step * steps,
                "second": None if step_ms is None else step * 1000.0 / step_ms,
            }
            models[model] = {"parts_pj": parts(sums, prices), "energy_pj": periods}
        if rates is None and graded(layers):
            models["neurobench"] = None
    report = {
        "name": name,
        "note": note,
        "parameters": sum(p.numel() for p in network.parameters()),
        "footprint_bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        "accuracy": accuracy,
        "firing_rate": None if rates is None else {"layers": rates, "mean": mean},
        "activation_sparsity": None if mean is None else 1.0 - mean,
        "spikes": spikes,
        "layers": None
        if missing
        else [
            {"name": layer.name, "kind": layer.kind, **_plain(one)}
            for layer, one in zip(layers, counts, strict=True)
        ],
        "counts": None if missing else _plain(sums),
        "models": models,
    }
    return EnergyReport(report)


def price_lists(counts: LayerCounts, technology: Technology) -> dict[str, Prices]:
    """The prices of each model.

    Args:
        counts: the network's, by whose words its memories are sized.
        technology: prices of the memory model.

    Returns:
        Prices by the name of the model.
    """
    return dict(zip(MODELS, (PAPER, FP32, NEUROBENCH, technology.prices(counts)), strict=True))


def _plain(counts: LayerCounts) -> dict[str, float]:
    return {name: float(value) for name, value in asdict(counts).items()}


def _by_sequence(what: str, step: float, steps: float | None) -> dict[str, float | None]:
    return {f"{what}_step": step, f"{what}_sequence": None if steps is None else step * steps}


def break_even(
    layers: Sequence[LayerShape],
    activity: Activity,
    dense: Sequence[LayerShape],
    technology: Technology,
    analog_in_paper: bool = False,
    dense_activity: Activity | None = None,
) -> dict[str, float]:
    """The firing rate at which a spiking network starts to cost at least as much as a dense one.

    In every model the energy is linear in a rate that all hidden neurons share, so that two rates
    determine it. The input stays as it is, except in the paper's model, whose one rate is also the
    input's.

    Args:
        layers: the layers of the spiking network, from ``describe_network``.
        activity: describes its input; the rates are not used.
        dense: the layers of the other network; whatever its hidden units emit counts as not 0.
        technology: prices of the memory model.
        analog_in_paper: whether the paper's model counts this task's input as analog.
        dense_activity: describes the input of the other network; None: the same. The spiking
            network may read its input behind a trained encoder.

    Returns:
        The rate by the name of the model. It may lie above 1 (spiking costs less at every rate) or
        below 0 (it never does); it is infinite where spikes cost nothing.
    """

    def costs(
        of: Sequence[LayerShape], rate: float, given: Activity = activity
    ) -> dict[str, float]:
        counts = total(count(of, replace(given, rates=(rate,) * (len(of) - 1)), analog_in_paper))
        return {
            model: picojoules(counts, prices)
            for model, prices in price_lists(counts, technology).items()
        }

    silent, full = costs(layers, 0.0), costs(layers, 1.0)
    other = costs(dense, 1.0, dense_activity or activity)
    limits = {}
    for model in MODELS:
        left, rise = other[model] - silent[model], full[model] - silent[model]
        limits[model] = left / rise if rise else math.copysign(math.inf, left)
    return limits


def compare(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each network against the first: energy ratio by each model, error ratio, and their product,
    the efficiency.

    As in the paper's Table S2: above 1, the first network is better. None where something was not
    measured, or the first network makes no error.
    """
    first = reports[0]
    rows = []
    for report in reports:
        error = None
        if None not in (report["accuracy"], first["accuracy"]) and first["accuracy"] < 1:
            error = (1 - report["accuracy"]) / (1 - first["accuracy"])
        ratios: dict[str, float | None] = dict.fromkeys(MODELS)
        for name in MODELS:
            own, other = first["models"][name], report["models"][name]
            if own is not None and other is not None and own["energy_pj"]["step"]:
                ratios[name] = other["energy_pj"]["step"] / own["energy_pj"]["step"]
        efficiency = {
            name: None if error is None or value is None else value * error
            for name, value in ratios.items()
        }
        rows.append(
            {"name": report["name"], "energy": ratios, "error": error, "efficiency": efficiency}
        )
    return rows
