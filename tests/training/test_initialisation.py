"""The measured start: layers that would be silent or saturated spike, healthy ones keep their bits;
one seed, one start."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from srnn.data.batches import Sequences
from srnn.nn.network import SRNN
from srnn.training.initialisation import (
    LAYER_RATES,
    NEURON_RATES,
    LayerInitialisation,
    channel_rates,
    measured_start,
)
from srnn.training.loop import train
from support.tiny import TinyTask, tiny_recipe

THRESHOLDS = {"silent": 100.0, "saturated": 1e-9}


def _network(neuron: Any, seed: int = 0, **options: Any) -> SRNN:
    options = {"hidden": [12, 10], "backend": "reference"} | options
    generator = torch.Generator().manual_seed(seed)
    return SRNN.paper(3, options.pop("hidden"), 3, neuron=neuron, generator=generator, **options)


def _lif(threshold: float) -> dict[str, Any]:
    return {"name": "lif", "tau_mem": 4, "threshold": threshold}


def _train_set(padded: bool = False) -> Sequences:
    return Sequences(TinyTask(padded=padded), "train")


def _rates(network: SRNN, data: Sequences) -> list[torch.Tensor]:
    """Of each hidden layer's neurons, on all sequences of the split."""
    import numpy as np

    batch = data.take(np.arange(len(data)))
    result = network.run(batch.x, lengths=batch.lengths, generator=torch.Generator().manual_seed(0))
    return [
        channel_rates(layer.emitted, network.hidden_lengths(batch.lengths))
        for layer in result.layers[:-1]
    ]


@pytest.mark.parametrize(
    "options",
    [
        {}, {"recurrent": False}, {"substeps": 2}, {"bidirectional": True, "merge": "concat"},
        {"bidirectional": True, "merge": "concat", "late": True}, {"backend": "cpu"},
        {"encoder": "learned_ternary"},
    ],
    ids=["recurrent", "feed-forward", "substeps", "bidirectional", "late", "cpu", "encoder"],
)  # fmt: skip
@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
def test_a_silent_network_spikes_and_no_neuron_is_silent(
    options: dict[str, Any], padded: bool
) -> None:
    data, network = _train_set(padded), _network(_lif(THRESHOLDS["silent"]), **options)
    assert all(not rates.any() for rates in _rates(network, data))
    found = measured_start(network, data, seed=0)
    assert len(found) == (4 if options.get("bidirectional") else 2)
    for layer, rates in zip(
        found, _rates(network, data) * (2 if len(found) == 4 else 1), strict=False
    ):
        assert (
            layer.rates[0] == 0 and layer.silent == (layer.size, 0) and layer.scaled == layer.size
        )
        assert LAYER_RATES[0] <= layer.rates[1] <= LAYER_RATES[1]
        assert float(rates.min()) >= NEURON_RATES[0]
    if not options.get(
        "bidirectional"
    ):  # what it says is what there is: all 60 sequences were measured
        assert [layer.rates[1] for layer in found] == pytest.approx(
            [float(r.mean()) for r in _rates(network, data)]
        )


def test_saturated_neurons_are_calmed_by_both_gains() -> None:
    data, network = _train_set(), _network(_lif(0.2), hidden=[12])
    layer: Any = network.layers[0]
    with torch.no_grad():
        layer.weight_rec.fill_(
            3.0
        )  # each spike makes all others spike: less input alone would not help
        layer.weight_in.abs_().mul_(50)
    found = measured_start(network, data, seed=0)[0]
    assert found.rates[0] > 0.9 and found.saturated[0] == 12
    assert found.saturated[1] == 0 and LAYER_RATES[0] <= found.rates[1] <= LAYER_RATES[1]
    assert float(layer.weight_rec.detach().max()) < 1.5


def test_what_is_within_bounds_keeps_its_bits() -> None:
    data, network = _train_set(), _network(_lif(0.05))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = measured_start(network, data, seed=0)
    single = [layer for layer in found if layer.scaled]
    assert found[0].scaled < found[0].size  # healthy as a layer: at most single neurons were scaled
    changed = {
        name
        for name, tensor in network.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed <= {
        f"{layer.name}.{what}" for layer in single for what in ("weight_in", "weight_rec")
    }
    again = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert all(layer.scaled == 0 for layer in measured_start(network, data, seed=0))
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())


def test_only_the_neurons_out_of_bounds_are_scaled() -> None:
    data, network = _train_set(), _network(_lif(0.05), hidden=[8], recurrent=False)
    measured_start(network, data, seed=0)
    layer: Any = network.layers[0]
    with torch.no_grad():
        layer.weight_in[2].mul_(1e-4)  # silent: too weak
        layer.weight_in[5].abs_().neg_()  # silent: nothing excites it, so its sign is turned
    before = layer.weight_in.detach().clone()
    found = measured_start(network, data, seed=0)[0]
    assert found.silent == (2, 0) and found.scaled == 2
    same = [row for row in range(8) if torch.equal(layer.weight_in[row], before[row])]
    assert same == [0, 1, 3, 4, 6, 7]
    assert float((layer.weight_in.detach()[2] / before[2]).abs().min()) > 100 and bool(
        (layer.weight_in[5] > 0).all()
    )


def test_layers_that_do_not_spike_are_left_alone() -> None:
    data = _train_set()
    network = _network("relu")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert measured_start(network, data, seed=0) == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    # Of a readout whose spikes are read, silence would be the end, too.
    counting = _network(_lif(0.05), readout={"name": "spike_count", "neuron": _lif(50.0)})
    assert [layer.name for layer in measured_start(counting, data, seed=0)] == [
        "layers.0",
        "layers.1",
        "readout",
    ]


def test_only_the_layers_that_are_asked_for_are_measured() -> None:
    data, counting = _train_set(), {"name": "spike_count", "neuron": _lif(50.0)}
    for name in ("layers.1", "readout"):
        network = _network(_lif(0.05), readout=counting)
        before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        assert [layer.name for layer in measured_start(network, data, 0, {name})] == [name]
        changed = {
            key
            for key, tensor in network.state_dict().items()
            if not torch.equal(tensor, before[key])
        }
        assert all(key.startswith(f"{name}.") for key in changed)
    membrane = _network(_lif(0.05), readout="alif")  # whose spikes nobody reads
    assert [layer.name for layer in measured_start(membrane, data, seed=0)] == [
        "layers.0",
        "layers.1",
    ]


def test_an_input_without_spikes_is_no_endless_search() -> None:
    data, network = _train_set(), _network(_lif(0.05), hidden=[4])
    data.x = data.x * 0
    before = network.layers[0].weight_in.detach().clone()  # type: ignore[union-attr]
    found = measured_start(network, data, seed=0)[0]
    assert found.silent == (4, 4) and found.scaled == 0
    assert torch.equal(network.layers[0].weight_in, before)  # type: ignore[arg-type]


def test_one_seed_one_start_whatever_the_threads() -> None:
    found, threads = [], torch.get_num_threads()
    try:
        for count, seed in ((1, 0), (2, 0), (1, 1)):
            torch.set_num_threads(count)
            neuron = _lif(5.0) | {"initial": {"u": "uniform(0, 5)"}}
            network = _network(neuron, backend="cpu", hidden=[40])
            measured_start(network, _train_set(), seed)
            found.append(network.state_dict()["layers.0.weight_in"])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_with_batch_norm_its_gamma_is_scaled_and_its_statistics_are_left() -> None:
    """A gain of the weights would cancel; and statistics are of training's own batches."""
    data, network = (
        _train_set(),
        _network(_lif(THRESHOLDS["silent"]), norm="batch", recurrent=False),
    )
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = measured_start(network, data, seed=0)
    assert [layer.silent for layer in found] == [(12, 0), (10, 0)]
    changed = {
        name
        for name, tensor in network.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {"layers.0.norm.gamma", "layers.1.norm.gamma"}


def test_training_starts_measured_unless_told_otherwise(tmp_path: Path) -> None:
    silent = ["--network.neuron.threshold=100", "--training.epochs=1", "--training.recover=false"]
    records = {}
    for name, more in (("measured", []), ("drawn", ["--training.start=drawn"])):
        train(tiny_recipe(*silent, *more), tmp_path / name, task=TinyTask())
        records[name] = json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])
    assert "start" not in records["drawn"] and records["drawn"]["train"]["firing_rate"]["mean"] == 0
    (start,) = records["measured"]["start"]
    assert start["rates"][0] == 0 and start["silent"] == [8, 0]
    assert records["measured"]["train"]["firing_rate"]["mean"] > LAYER_RATES[0]


def test_a_network_from_another_run_is_not_touched(tmp_path: Path) -> None:
    first = tiny_recipe(
        "--network.neuron.threshold=100",
        "--training.epochs=1",
        "--training.start=drawn",
        "--training.recover=false",
    )
    train(first, tmp_path / "first", task=TinyTask())
    more = [f"--training.start_from={tmp_path / 'first'}", "--training.start=measured"]
    train(tiny_recipe("--network.neuron.threshold=100", "--training.epochs=1", "--training.recover=false", *more),
          tmp_path / "second", task=TinyTask())  # fmt: skip
    record = json.loads((tmp_path / "second" / "metrics.jsonl").read_text().splitlines()[0])
    assert "start" not in record and record["train"]["firing_rate"]["mean"] == 0


def test_what_is_said_of_a_layer() -> None:
    layer = LayerInitialisation("layers.0", 36, (0.0, 0.053), (36, 0), (0, 0), 36, (1.0, 38.1))
    assert (
        str(layer) == "layers.0 rate 0.000 -> 0.053, gains 1 to 38.1, 36 -> 0 of 36 neurons silent"
    )
    assert ", gain 38.1, " in str(replace(layer, gains=(38.1, 38.1)))  # it was "gains 38.1 to 38.1"
    assert (
        layer.was_unhealthy
        and replace(layer, rates=(0.6, 0.1)).was_unhealthy
        and not replace(layer, rates=(0.1, 0.6)).was_unhealthy
    )
