"""Real sequences of a split, step by step: the input, the activity of the neurons, the
probabilities of the classes.

They are spread evenly over the split, ordered by class if sequences have one, whatever the
network's accuracy on them. Arrays are packed for JSON as a type, a shape, and the bytes as base64,
which ``assets/base.js`` reads back:

    {"type": "bits", "shape": [T, N], "data": "..."}                      0 or 1, eight to a byte, the first in the lowest bit
    {"type": "int16", "shape": [T], "data": "..."}                        class numbers, little-endian, -1 for none
    {"type": "levels", "shape": [T, N], "low": a, "high": b, "data": ""}  a + (b - a) * byte / 255
    {"type": "fine", "shape": [T, N], "low": a, "high": b, "data": ""}    as "levels", with two bytes, little-endian, and 65535

Levels are for plots only. Every number printed on a page is a number in the JSON.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...data.batches import Batch, Sequences, evenly_spread
from ...data.leads import FLAT, dead_leads, has_waves
from ...data.spikes import as_dense
from ...model.trained import Trained
from ...nn.baselines import Network
from ...nn.decision import softmax
from ...nn.network import SRNN, BidirectionalLayer, Result
from ...nn.scores import confidences_of
from ...training.evaluation import run_batches
from ...training.regression import answers
from ..analysis import ExitPolicy, NeuronActivity, prefixes, running_scores

BUDGET = 1_500_000
"""Max bytes of all samples together, before they are encoded as text; longer sequences are cut."""
MOST_STEPS = 4000
"""Max steps of a sequence that are shown: no screen can show more."""
MOST_LINES = 16
"""Most analog channels that are drawn as lines, each on its own scale; more (spectra) are drawn as
a picture."""
WATCHED = 3
"""Number of neurons of each hidden layer whose membrane potential is shown."""

Array = npt.NDArray[Any]
Packed = dict[str, Any]


def take_samples(
    trained: Trained,
    sequences: Sequences,
    count: int,
    *,
    activity: NeuronActivity | None = None,
    policy: ExitPolicy | None = None,
) -> dict[str, Any]:
    """The content of the page's player.

    Args:
        trained: the network.
        sequences: the split.
        count: how many of its sequences are taken, at least 1.
        activity: rates on the split, which choose the neurons: the most active, the median, and the
            least active that fires.
        policy: marks where the network would decide early.

    Returns:
        {"watched": neurons of each hidden layer, "substeps", "sequences": the sequences}.
    """
    network = trained.network
    indices = evenly_spread(sequences.y, count)
    batch = sequences.take(indices)
    x = as_dense(batch.x, torch.float32)
    ((_, result),) = run_batches(network, [batch], seed=trained.seed, record=_traces(network))
    certain = _answers(trained, batch, result.output)
    watched = _watched(network, activity)
    # About how many bytes a step of a sequence takes, before base64.
    binary = bool(((x == 0) | (x.abs() == 1)).all())
    size = x.shape[2] // (4 if binary else 1) + 2 * network.outputs + 4
    for layer in watched:
        packed = layer["spiking"] and not network.bidirectional
        emitted = layer["size"] // (8 if packed else 1)
        size += network.substeps * (emitted + 4 * len(layer["neurons"]))
    most = max(1, BUDGET // len(indices) // size)
    if batch.lengths is None:
        lengths = [x.shape[1]] * len(x)
    else:
        lengths = batch.lengths.tolist()
    if policy is None:
        decided = None
    else:
        decided = policy.decide(result.output.numpy(), lengths)
    shown = []
    for row, (index, steps) in enumerate(zip(indices.tolist(), lengths, strict=True)):
        item = {
            "index": index,
            "group": None if sequences.groups is None else str(sequences.groups[index]),
            "steps": steps,
            "shown": min(steps, MOST_STEPS, most),
            **_outcome(trained, batch, result.output, row),
            "exit": None,
        }
        if decided is not None and bool(decided.final[row]):
            item["exit"] = {
                "steps": int(decided.steps[row]) + 1,
                "class": int(decided.winners[row]),
            }
        item |= {"input": _input(x[row, : item["shown"]].numpy())}
        item |= _arrays(trained, batch, result, certain[row], watched, row, item["shown"])
        if has_waves(trained.task):
            item |= _leads(trained, sequences, int(index), item)
        shown.append(item)
    return {"watched": watched, "substeps": network.substeps, "sequences": shown}


def _leads(
    trained: Trained, sequences: Sequences, index: int, item: dict[str, Any]
) -> dict[str, Any]:
    """The leads of an ECG in mV, with their names, where the data have them; no decision is shown
    where one is flat or off."""
    task = trained.task
    path = task.signal()
    if sequences.signals is None or path.rate is None:
        return {}
    signal = sequences.signal_of(index, path)
    assert signal is not None
    dead = dead_leads(signal, path.rate, in_mv=True).max(-1)
    states = np.pad(dead, (task.lag(), 0))[: item["shown"]]  # decisions lag behind the signal
    if sequences.channels is None:
        names = path.pairs
    else:
        names = sequences.channels[index]
    leads = [
        {"name": name, "mv": pack_levels(values[:, None], fine=True)}
        for name, values in zip(names, signal[: item["shown"]].T, strict=True)
    ]
    return {"leads": leads, "dead": pack_bits(states[:, None] >= FLAT)}


def _traces(network: Network) -> tuple[str, ...]:
    """Membrane and drive; none if a user's own neuron has another name for its membrane."""
    if not isinstance(network, SRNN):
        return ()
    neurons: list[Any] = [layer.neuron for layer in (*network.layers, network.readout)]
    if not all("u" in neuron.variables() for neuron in neurons):
        return ()
    return ("u", "v")


def _answers(trained: Trained, batch: Batch, outputs: Tensor) -> npt.NDArray[np.float64]:
    """(B, T, C): probabilities of the classes at each step, from the steps read so far; or values,
    in their own units."""
    network, loss, targets = trained.network, trained.loss, trained.task.targets
    output = outputs.double().numpy()
    if targets is not None:
        scores = running_scores(output, loss.config.scoring, loss.config.start)
        return targets.restored(targets.answered(scores, batch.numbers))
    if loss.per_step or network.bidirectional:
        return softmax(output)
    return confidences_of(
        running_scores(output, loss.config.scoring, loss.config.start), loss.config.scoring
    )


def _outcome(trained: Trained, batch: Batch, output: Tensor, row: int) -> dict[str, Any]:
    """The true class and the decision; with a label at every step, how many of the labelled steps
    that count are right; of values, the mean absolute error of the first, None where there is no
    target."""
    loss, targets = trained.loss, trained.task.targets
    y, lengths = batch.y[row], batch.lengths
    if targets is not None:
        predicted, true = answers(batch, output, loss, targets)
        errors = np.abs(predicted - true)[row, :, 0]
        errors = errors[~np.isnan(errors)]
        return {"error": float(errors.mean()) if len(errors) else None}
    if not loss.per_step:
        predicted, true = int(loss.scores(output, lengths).argmax(-1)[row]), int(y)
        return {"true": true, "predicted": predicted, "right": true == predicted}
    counted = loss.counted_steps(output, lengths)[row] & (y >= 0)
    right = int((counted & (output[row].argmax(-1) == y)).sum())
    return {"labelled_steps": int(counted.sum()), "right_steps": right}


def _watched(network: Network, activity: NeuronActivity | None) -> list[dict[str, Any]]:
    """For each hidden layer its name, kind and size, and the neurons whose membranes are shown, the
    most active first."""
    layers = []
    hidden: list[Any] = [*network.layers]
    for number, layer in enumerate(hidden):
        if isinstance(layer, BidirectionalLayer):
            one = layer.forward_layer
        else:
            one = layer
        spiking = isinstance(network, SRNN) and one.neuron.emission.binary
        neurons: list[int] = []
        if activity is not None and _traces(network):
            rates = next(a.rates for a in activity.layers if a.name.split(".")[1] == str(number))
            order = np.argsort(-rates, kind="stable")
            if (rates > 0).any():
                order = order[rates[order] > 0]
            places = np.linspace(0, len(order) - 1, min(WATCHED, len(order)))
            neurons = order[np.rint(places).astype(np.int64)].tolist()
        layers.append(
            {
                "name": f"layers.{number}",
                "kind": kind_of(layer),
                "size": layer.size,
                "spiking": spiking,
                "neurons": neurons,
            }
        )
    return layers


def kind_of(layer: nn.Module) -> str:
    """What the units of a hidden layer are called: the name of its neuron or its cell, else
    relu."""
    one = getattr(layer, "forward_layer", layer)
    return getattr(getattr(one, "neuron", one), "name", "relu")


def _arrays(
    trained: Trained,
    batch: Batch,
    result: Result,
    certain: Array,
    watched: list[dict[str, Any]],
    row: int,
    steps: int,
) -> dict[str, Any]:
    """The first ``steps`` steps of a sequence's results, packed."""
    network, loss = trained.network, trained.loss
    sample: dict[str, Any] = {"probabilities": pack_levels(certain[:steps], fine=True)}
    if trained.task.targets is not None:
        true = batch.y[row].double().numpy()
        if not loss.per_step:
            true = np.broadcast_to(true, (steps, len(true)))
        true = true[:steps]
        known = ~np.isnan(true)
        shown = np.where(known, true, true[known].mean() if known.any() else 0.0)
        sample |= {"targets": pack_levels(shown, fine=True), "known": pack_bits(known)}
    elif loss.per_step:
        sample["labels"] = pack_numbers(batch.y[row, :steps].numpy())
        sample["decisions"] = pack_numbers(result.output[row, :steps].argmax(-1).numpy())
    elif not network.bidirectional:
        lengths = None
        if batch.lengths is not None:
            lengths = batch.lengths[row : row + 1]
        decisions = prefixes(loss, result.output[row : row + 1], lengths)
        sample["decisions"] = pack_numbers(decisions.predicted[0, :steps])
    inner = steps * network.substeps
    sample["layers"] = [
        pack_activity(layer.output[row, :inner].numpy()) for layer in result.layers[:-1]
    ]
    sample["membranes"] = []
    for layer, emitted in zip(watched, result.layers[:-1], strict=True):
        if not layer["neurons"]:
            sample["membranes"].append(None)
            continue
        prefix = ""
        if network.bidirectional:
            prefix = "forward."
        u, v = (
            emitted.traces[prefix + name][row][:inner, layer["neurons"]].numpy()
            for name in ("u", "v")
        )
        # A spike occurs where the drive v = u - threshold is above 0, which gives the threshold,
        # moving or not.
        threshold = None
        if layer["spiking"]:
            threshold = pack_levels(u - v, fine=True)
        sample["membranes"].append({"u": pack_levels(u, fine=True), "threshold": threshold})
    return sample


def _input(x: Array) -> dict[str, Any]:
    """Events as bits, the two signs separately; else as levels: if there are few channels, each
    between its own min and max."""
    if not bool(((x == 0) | (np.abs(x) == 1)).all()):
        if x.shape[1] <= MOST_LINES:
            return {"kind": "lines", "values": [pack_levels(channel) for channel in x.T]}
        return {"kind": "analog", "values": pack_levels(x)}
    return {
        "kind": "events",
        "values": pack_bits(x > 0),
        "negative": pack_bits(x < 0) if (x < 0).any() else None,
    }


def pack_bits(values: Array) -> Packed:
    """Pack an array of any shape as bits: whether each value is not 0."""
    return _packed(
        "bits", values.shape, np.packbits(np.asarray(values).ravel() != 0, bitorder="little")
    )


def pack_numbers(values: Array) -> Packed:
    """Pack integers from -32768 to 32767."""
    return _packed("int16", values.shape, np.asarray(values).astype("<i2"))


def pack_levels(values: Array, fine: bool = False) -> Packed:
    """Pack real numbers, rounded to levels from min to max.

    Args:
        values: an array of any shape; values that are not finite become 0.
        fine: 65,536 levels instead of 256.

    Returns:
        The packed array, for JSON.
    """
    x = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low = high = 0.0
    if x.size:
        low, high = float(x.min()), float(x.max())
    kind, top, dtype = "levels", 255, "u1"
    if fine:
        kind, top, dtype = "fine", 65535, "<u2"
    scaled = np.zeros(x.shape)
    if high > low:
        scaled = np.rint((x - low) / (high - low) * top)
    return _packed(kind, x.shape, scaled.astype(dtype)) | {"low": low, "high": high}


def pack_activity(values: Array) -> Packed:
    """Pack as bits if all values are 0 or 1, else as levels."""
    if bool(((values == 0) | (values == 1)).all()):
        return pack_bits(values)
    return pack_levels(values)


def _packed(kind: str, shape: tuple[int, ...], data: Array) -> Packed:
    return {
        "type": kind,
        "shape": list(shape),
        "data": base64.b64encode(data.tobytes()).decode("ascii"),
    }
