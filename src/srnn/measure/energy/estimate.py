"""One network's energy by the four models, and networks beside each other.

paper        the paper's rules and constants (3.1 / 0.1 pJ), one average rate: to compare with its tables
fp32         each layer's own rate, float32 (4.6 / 0.9 pJ), analog input as MACs
neurobench   NeuroBench's effective operations at the float32 prices
memory       operations, memory traffic and addressing, by a technology
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .activity import Activity, mean_rate, own_spikes
from .layers import NetworkShape
from .memory import memory_energy, memory_words
from .operations import (
    FP32_AC_PJ,
    FP32_MAC_PJ,
    PAPER_AC_PJ,
    PAPER_MAC_PJ,
    effective_operations,
    measured_operations,
    paper_operations,
    total,
)
from .technology import Technology

MODELS = ("paper", "fp32", "neurobench", "memory")


@dataclass(frozen=True)
class Subject:
    """A network as the energy models see it, and how well it does."""

    name: str
    shape: NetworkShape
    activity: Activity
    accuracy: float | None = None
    """None: not trained, or not measured."""
    note: str = ""
    """What a reader has to know about it."""


def energy_report(
    subject: Subject, technology: Technology, step_ms: float | None, analog_in_paper: bool = False
) -> dict:
    """All about one network, as plain numbers for JSON: energies in pJ, counts for one step.

    Args:
        step_ms: how long a step lasts; None: steps are not in time, and there is no energy per second.
        analog_in_paper: whether the paper's model counts this task's input as analog.

    A model that needs a firing rate which was not measured is None.
    """
    shape, activity = subject.shape, subject.activity
    # Where a hidden layer spikes, all depends on its rate; zeros of ReLU units only matter to NeuroBench's counts.
    missing = activity.rates is None and shape.spiking
    unknown_zeros = missing or (activity.rates is None and shape.graded)
    steps = activity.input.steps
    models: dict[str, Callable[[], dict[str, Any]]] = {
        "paper": lambda: _paper(shape, activity, analog_in_paper),
        "fp32": lambda: _fp32(shape, activity),
        "neurobench": lambda: _neurobench(shape, activity),
        "memory": lambda: _memory(shape, activity, technology),
    }
    energies: dict[str, dict[str, Any] | None] = {}
    for name, model in models.items():
        if unknown_zeros if name == "neurobench" else missing:
            energies[name] = None
            continue
        found = model()
        step = found["energy_pj"]
        found["energy_pj"] = {
            "step": step,
            "sequence": None if steps is None else step * steps,
            "second": None if step_ms is None else step * 1000.0 / step_ms,
        }
        energies[name] = found
    return {
        "name": subject.name,
        "note": subject.note,
        "parameters": shape.parameters,
        "footprint_bytes": shape.footprint_bytes,
        "accuracy": subject.accuracy,
        "firing_rate": None if activity.rates is None else {"layers": list(activity.rates), "mean": mean_rate(shape, activity)},
        "spikes": _spikes(shape, activity),
        "layers": [asdict(layer) for layer in shape.layers],
        "models": energies,
    }  # fmt: skip


def _paper(shape: NetworkShape, activity: Activity, analog_input: bool) -> dict[str, Any]:
    counted = total(paper_operations(shape, mean_rate(shape, activity) or 0.0, analog_input))
    return {"mac": counted.mac, "ac": counted.ac, "energy_pj": counted.energy(PAPER_MAC_PJ, PAPER_AC_PJ)}


def _fp32(shape: NetworkShape, activity: Activity) -> dict[str, Any]:
    layers = measured_operations(shape, activity)
    counted = total(layers)
    return {
        "mac": counted.mac,
        "ac": counted.ac,
        "layers": [asdict(layer) for layer in layers],
        "energy_pj": counted.energy(FP32_MAC_PJ, FP32_AC_PJ),
    }


def _neurobench(shape: NetworkShape, activity: Activity) -> dict[str, Any]:
    counted = effective_operations(shape, activity)
    return {
        "effective_macs": counted.mac,
        "effective_acs": counted.ac,
        "dense": counted.dense,
        "activation_sparsity": counted.activation_sparsity,
        "energy_pj": counted.mac * FP32_MAC_PJ + counted.ac * FP32_AC_PJ,
    }


def _memory(shape: NetworkShape, activity: Activity, technology: Technology) -> dict[str, Any]:
    energy = memory_energy(shape, activity, technology)
    fixed, moving = memory_words(shape)
    word = technology.word_bits / 8
    return {
        "parts_pj": asdict(energy),
        "weight_memory_bytes": fixed * word,
        "state_memory_bytes": moving * word,
        "energy_pj": energy.total,
    }


def _spikes(shape: NetworkShape, activity: Activity) -> dict[str, Any] | None:
    """Spikes of the hidden layers, and synaptic operations: additions that all spikes cause, the input's included."""
    if activity.rates is None or not shape.spiking:
        return None
    emitted = sum(
        own_spikes(layer, rate) for layer, rate in zip(shape.hidden, activity.rates, strict=True) if layer.spiking
    )
    operations = total(measured_operations(shape, activity)).ac
    steps = activity.input.steps
    return {
        "per_step": emitted,
        "per_sequence": None if steps is None else emitted * steps,
        "synaptic_operations_per_step": operations,
        "synaptic_operations_per_sequence": None if steps is None else operations * steps,
    }


def compare(reports: list[dict]) -> list[dict[str, Any]]:
    """Each network against the first: energy ratio by each model, error ratio, and their product, the efficiency.

    As in the paper's Table S2: above 1, the first network is better. None where something was not measured, or the first makes
    no error.
    """
    first = reports[0]
    rows = []
    for report in reports:
        error = None
        if None not in (report["accuracy"], first["accuracy"]) and first["accuracy"] < 1:
            error = (1 - report["accuracy"]) / (1 - first["accuracy"])
        energy = {name: _ratio(report["models"][name], first["models"][name]) for name in MODELS}
        efficiency = {name: None if error is None or value is None else value * error for name, value in energy.items()}
        rows.append({"name": report["name"], "energy": energy, "error": error, "efficiency": efficiency})
    return rows


def _ratio(other: dict[str, Any] | None, own: dict[str, Any] | None) -> float | None:
    if other is None or own is None or not own["energy_pj"]["step"]:
        return None
    return other["energy_pj"]["step"] / own["energy_pj"]["step"]
