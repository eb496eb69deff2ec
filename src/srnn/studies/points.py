"""One point of a curve: how good a network is, how large, and how much it computes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..data.batches import Sequences
from ..deploy.export.c.project import plan_c
from ..errors import SrnnError
from ..measure.energy import FP32_AC_PJ, FP32_MAC_PJ, PAPER_AC_PJ, PAPER_MAC_PJ
from ..nn.fixedpoint.device import device_network
from ..nn.fixedpoint.integer import quantise
from ..nn.kernels import Spikes
from ..nn.network import SRNN
from ..nn.network.state_format import StateFormat
from ..train.compression.evaluation import evaluate_int8, measure_inputs, measure_kept
from ..train.compression.masks import sparsity
from ..train.compression.quantisation import snap_weights
from ..train.evaluation import evaluate_sequences, run_batches

INT32_ADD_PJ, INT32_MULTIPLY_PJ = PAPER_AC_PJ, PAPER_MAC_PJ
"""Horowitz 2014, 45 nm. The paper takes the multiplication alone as its MAC; here a multiply-add is both."""

if TYPE_CHECKING:
    from ..data.datasets import SplitName
    from ..train.trained import Trained


def measure_point(
    trained: Trained,
    split: SplitName = "validation",
    *,
    data_dir: Path | None = None,
    state_bits: int | None = None,
) -> dict[str, Any]:
    """Accuracy in float32 and in int8, bytes in C, operations and energy a step; for JSON.

    The energy is that of the operations on spikes and weights that are not 0, and of the neurons' own multiplications, for the
    spikes of the float32 network; memory is not in it. In float32 an addition is 0.9 pJ and a multiply-add 4.6 pJ; in int8,
    whose sums and states are int32, 0.1 pJ and 3.2 pJ.

    ``accuracy_of_its_weights`` is that of the float32 network with the int8 weights: from there to ``accuracy`` it is the
    rounding of states, time constants and inputs alone. ``state_bits``: in how many bits int8 keeps states, 32, 16 or 8; None:
    as the network was trained for, or 32. ``computed_bits`` of a layer lie behind the point while a step computes, and
    ``kept_bits`` of each of its variables between two steps.
    """
    network, task, seed = trained.spiking("measured in int8"), trained.task, trained.seed
    sequences, training = Sequences(task, split, data_dir), Sequences(task, "train", data_dir)
    inputs_as = measure_inputs(training)
    found = evaluate_sequences(trained, sequences, split).report
    device = device_network(network)
    plan = plan_c(device)
    point = {
        "split": split,
        "accuracy": found["accuracy"],
        "firing_rate": found["firing_rate"]["mean"],
        "hidden": [layer.size for layer in device.layers[:-1]],
        "sparsity": sparsity(network),
        "weights_not_zero": plan.report()["weights_not_zero"],
        "float32_flash_bytes": plan.flash_bytes,
        "float32_ram_bytes": plan.ram_bytes,
        "neuron_multiplies_per_step": plan.operations()["neuron_multiplies"],
        **synaptic_operations(network, sequences, seed),
    }
    additions, products = point["synaptic_adds_per_step"], point["synaptic_multiply_adds_per_step"]
    neurons = point["neuron_multiplies_per_step"]
    point["energy_pj_per_step"] = additions * FP32_AC_PJ + (products + neurons) * FP32_MAC_PJ
    try:
        state_as = measure_kept(training, device, state_bits or device.state_as.width, inputs_as)
        model = quantise(device, inputs_as, state_as)
        integer = plan_c(model)
        int8 = evaluate_int8(trained, split, data_dir=data_dir, inputs_as=inputs_as, state_as=state_as).report
    except SrnnError as error:
        return {**point, "int8": None, "why_no_int8": str(error)}
    exact = snap_weights(deepcopy(network))
    StateFormat().into(exact)
    rounded = evaluate_sequences(replace(trained, network=exact), sequences, split).report
    multiplies = products + integer.operations()["neuron_multiplies"]
    return {
        **point,
        "int8": {
            "accuracy": int8["accuracy"],
            "accuracy_of_its_weights": rounded["accuracy"],
            "state_bits": state_as.width,
            "computed_bits": [layer.bits for layer in model.layers],
            "kept_bits": [layer.kept_bits for layer in model.layers],
            "saturated": int8["saturated"],
            "flash_bytes": integer.flash_bytes,
            "ram_bytes": integer.ram_bytes,
            "energy_pj_per_step": additions * INT32_ADD_PJ + multiplies * (INT32_MULTIPLY_PJ + INT32_ADD_PJ),
        },
    }


def synaptic_operations(network: SRNN, sequences: Sequences, seed: int = 0) -> dict[str, float]:
    """Mean additions and multiply-adds of weights that are not 0, in one step: only what is not 0 is sent.

    Spikes (1, and -1 in the input) add; other values multiply.
    """
    layers: list[Any] = [*network.layers, network.readout]
    fans = [(layer.weight_in.detach() != 0).sum(0).double() for layer in layers]
    own = [None if layer.weight_rec is None else (layer.weight_rec.detach() != 0).sum(0).double() for layer in layers]
    adds = products = 0.0
    steps = 0
    for batch, result in run_batches(network, sequences, seed=seed):
        steps += batch.steps
        sent = [batch.x.dense(torch.float32) if isinstance(batch.x, Spikes) else batch.x]
        sent += [layer.output for layer in result.layers[:-1]]
        for index, values in enumerate(sent):
            fan = fans[index].clone()
            # A layer hears itself one step later; the last step of a sequence is counted as if there were one more.
            to_itself = own[index - 1] if index > 0 else None
            if to_itself is not None:
                fan += to_itself
            spike, other = values.abs() == 1, (values != 0) & (values.abs() != 1)
            adds += float(spike.sum((0, 1)).double() @ fan)
            products += float(other.sum((0, 1)).double() @ fan)
    return {
        "synaptic_adds_per_step": adds / max(1, steps),
        "synaptic_multiply_adds_per_step": products / max(1, steps),
    }
