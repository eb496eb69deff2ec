"""One point of a curve: the accuracy, size and operations of a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.batches import Sequences
from ..data.datasets import SplitName
from ..deploy.c.plan import make_plan
from ..errors import SrnnError
from ..measure.energy import (
    FP32,
    INT8,
    count,
    describe_network,
    evaluate_activity,
    picojoules,
    total,
)
from ..model.trained import Trained
from ..nn.fixedpoint.device import device_network
from ..nn.fixedpoint.integer import quantise
from ..nn.state_format import StateFormat
from ..training.compression.evaluation import evaluate_int8, measure_int8
from ..training.compression.masks import sparsity
from ..training.compression.quantisation import snap_weights
from ..training.evaluation import evaluate_sequences


def measure_point(
    trained: Trained,
    split: SplitName = "validation",
    *,
    data_dir: Path | None = None,
    state_bits: int | None = None,
) -> dict[str, Any]:
    """Measure a network in float32 and int8: accuracy, size of the C export in bytes, operations
    and energy per step.

    Operations and energy are as in ``srnn energy``, model fp32, for the spikes of the float32
    network; memory accesses are not included. In int8, whose sums and states are int32, an addition
    costs 0.1 pJ and a multiply-add 3.2 pJ.

    ``accuracy_of_its_weights`` is that of the float32 network with the int8 weights: its difference
    from ``accuracy`` comes only from rounding states, time constants and inputs. A layer has
    ``computed_bits`` fractional bits while a step computes, and each of its variables ``kept_bits``
    between two steps.

    Args:
        trained: the network.
        split: that it is measured on.
        data_dir: where its data are.
        state_bits: bits of an int8 state, 32, 16 or 8; None: as the network was trained for, or 32.

    Returns:
        The point, ready for JSON; ``int8`` is None where the network has no int8 model, and
        ``why_no_int8`` is the reason.
    """
    network, task = trained.spiking("measured in int8"), trained.task
    train_set = None
    if trained.inputs_as is None or trained.state_ranges is None:  # int8 has to measure these
        train_set = Sequences(task, "train", data_dir)
    sequences = Sequences(task, split, data_dir)
    evaluation, activity = evaluate_activity(trained, sequences, split)
    report, counts = evaluation.report, total(count(describe_network(network), activity))
    device = device_network(network)
    plan = make_plan(device)
    point = {
        "split": split,
        **_accuracies(report),
        "firing_rate": report["firing_rate"]["mean"],
        "hidden": [layer.size for layer in device.layers[:-1]],
        "sparsity": sparsity(network),
        "weights_not_zero": plan.report()["weights_not_zero"],
        "float32_flash_bytes": plan.flash_bytes,
        "float32_ram_bytes": plan.ram_bytes,
        "neuron_multiplies_per_step": counts.neuron_macs,
        "synaptic_adds_per_step": counts.synaptic_acs,
        "synaptic_multiply_adds_per_step": counts.synaptic_macs,
        "energy_pj_per_step": picojoules(counts, FP32),
    }
    try:
        if train_set is not None:
            trained = replace(trained, **measure_int8(trained, train_set, trained.inputs_as))
        inputs_as = trained.inputs_as
        width, state_as = state_bits or device.state_as.width, device.state_as
        if width != state_as.width:
            state_as = trained.state_format(width)
        model = quantise(device, inputs_as, state_as)
        integer = make_plan(model)
        how: dict[str, Any] = {"inputs_as": inputs_as, "state_as": state_as}
        int8 = evaluate_int8(trained, split, data_dir=data_dir, **how).report
    except SrnnError as error:
        return {**point, "int8": None, "why_no_int8": str(error)}
    exact = snap_weights(network.fold())
    StateFormat().into(exact)
    rounded = evaluate_sequences(replace(trained, network=exact), sequences, split).report
    return {
        **point,
        "int8": {
            **_accuracies(int8),
            **{f"{name}_of_its_weights": value for name, value in _accuracies(rounded).items()},
            "state_bits": width,
            "computed_bits": [layer.bits for layer in model.layers],
            "kept_bits": [layer.kept_bits for layer in model.layers],
            "saturated": int8["saturated"],
            "flash_bytes": integer.flash_bytes,
            "ram_bytes": integer.ram_bytes,
            "energy_pj_per_step": picojoules(counts, INT8),
        },
    }


def accuracy_of(points: Iterable[Mapping[str, Any]]) -> str:
    """The accuracy by which people compare points: balanced where all report it, as rare classes
    may be what pruning loses."""
    if all("balanced_accuracy" in point for point in points):
        return "balanced_accuracy"
    return "accuracy"


def _accuracies(report: Mapping[str, Any]) -> dict[str, float]:
    return {name: report[name] for name in ("accuracy", "balanced_accuracy") if name in report}
