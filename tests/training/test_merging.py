"""Several networks as one: its output is the mean of theirs, and its hidden neurons spike as theirs do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from srnn.cli.main import main
from srnn.errors import SrnnError
from srnn.nn.fixedpoint.integer import InputFormat
from srnn.nn.loss_config import LossConfig
from srnn.nn.network.state_format import StateFormat
from srnn.training.evaluation import evaluate
from srnn.training.merging import merge
from srnn.training.recipes import Recipe
from srnn.training.trained import Trained
from support.tiny import TinyTask, tiny_recipe

FIXED = {"name": "integrator", "neuron": {"name": "integrator", "tau_mem": 5, "trained": []}}


def models(count: int = 3, **network: object) -> list[Trained]:
    """Networks of two hidden layers with weights as drawn, and the statistics of a batch each where they have a norm."""
    recipe: Recipe = tiny_recipe()
    settings = {"hidden": [6, 5], "readout": FIXED, "neuron": "alif", **network}  # whose initial state is not random
    recipe = replace(recipe, network=replace(recipe.network, **settings))
    made = []
    for seed in range(count):
        net = recipe.build_network(TinyTask(), seed).double()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)).double()
            net(4 * torch.rand(4, 12, 3, generator=torch.Generator().manual_seed(seed)).double())  # a norm's statistics
        made.append(Trained(net.eval(), TinyTask().described(), recipe, seed, state_ranges=({"u": 1.0 + seed},)))
    return made


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"recurrent": [True, False], "delays": {"recurrent": "uniform(0, 4)"}},
        {"neuron": "adlif", "norm": "batch"},
        {"delays": [{}, {"input": "uniform(1, 3)"}], "recurrent": False, "bias": False},
        {"bidirectional": True, "neuron": "adlif", "norm": "batch"},
        {"bidirectional": True, "merge": "concat", "delays": {"recurrent": "uniform(0, 4)"}},
        {
            "bidirectional": True,
            "merge": "concat",
            "delays": [{}, {"input": "uniform(1, 3)"}],
            "recurrent": [False, True],
        },
    ],
)
def test_the_merged_network_is_the_mean(network) -> None:
    several = models(**network)
    merged = merge(several)
    x = 4 * torch.rand(7, 12, 3, dtype=torch.float64)
    each = [model.folded().network.run(x) for model in several]
    joint = merged.network.run(x)
    for layer in range(2):
        sides = 2 if network.get("merge") == "concat" else 1  # forward directions come first, then backward ones
        halves = zip(*(result.layers[layer].output.chunk(sides, -1) for result in each), strict=True)
        spikes = torch.cat([one for side in halves for one in side], -1)
        assert 0 < spikes.mean() < 1 and torch.equal(joint.layers[layer].output, spikes)
    mean = torch.stack([result.output for result in each]).mean(0)
    torch.testing.assert_close(joint.output, mean, rtol=1e-12, atol=1e-12)
    assert merged.state_ranges == ({"u": 3.0},) and merged.recipe.network.hidden == [18, 15]
    assert merged.untrained() is None and not merged.network.training


def test_what_a_stream_and_int8_have_to_know_stays_known() -> None:
    """Of the ranges only where all networks have them: another's states may be larger."""
    several = [replace(model, steps=12, inputs_as=InputFormat(4.0, False)) for model in models()]
    merged = merge(several)
    assert (merged.steps, merged.inputs_as) == (12, InputFormat(4.0, False))
    assert merge([*several[:2], replace(several[2], state_ranges=None)]).state_ranges is None


def test_the_file_is_a_model_as_any_other(tmp_path) -> None:
    merged = merge([replace(model, network=model.network.float()) for model in models()])
    again = Trained.read(merged.save(tmp_path / "merged.safetensors"))
    x = torch.rand(2, 12, 3)
    assert torch.equal(again.network(x)[0], merged.network(x)[0])
    assert [one["seed"] for one in again.about["merged"]] == [0, 1, 2]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"readout": "alif"}, "integrator as readout"),
        ({"readout": "integrator"}, "tau_mem differ.*trained '\\[\\]' --network.readout.neuron.tau_mem NUMBER"),
        ({"delays": {"input": "uniform(1, 5)"}}, "inputs are delayed differently"),
    ],
)
def test_what_cannot_be_merged_is_one_line(network, words) -> None:
    with pytest.raises(SrnnError, match=words):
        merge(models(**network))


def test_states_of_few_bits_whose_formats_one_layer_cannot_hold_are_refused() -> None:
    several = models(2)
    layers = several[1].network.freeze().layers
    StateFormat(8, tuple(dict.fromkeys(layer.neuron.variables(), 4) for layer in layers)).into(several[1].network)
    with pytest.raises(SrnnError, match=r"Merging cannot .* states in 8 bits.* train without training\.state_bits"):
        merge(several)


def test_other_networks_tasks_and_too_few_are_refused() -> None:
    several = models()
    other = replace(
        several[1], recipe=replace(several[1].recipe, network=replace(several[1].recipe.network, hidden=[6, 6]))
    )
    with pytest.raises(SrnnError, match="different networks or losses"):
        merge([several[0], other])
    with pytest.raises(SrnnError, match="different networks or losses"):
        merge([several[0], replace(several[1], recipe=replace(several[1].recipe, loss=LossConfig("ce_last")))])
    for change in ({"class_names": ("x", "y", "z")}, {"step_ms": 7.0}):
        with pytest.raises(SrnnError, match="different tasks or signals"):
            merge([several[0], replace(several[1], task=replace(several[1].task, **change))])
    with torch.no_grad():
        several[1].spiking("merged").readout.params.tau_mem += 1  # of the one between two that agree
    with pytest.raises(SrnnError, match="tau_mem differ"):
        merge(several)
    for few in (several[:1], []):
        with pytest.raises(SrnnError, match="at least two"):
            merge(few)


def test_the_command_says_what_each_and_all_together_have(tmp_path, capsys) -> None:
    files = [
        str(replace(model, network=model.network.float()).save(tmp_path / f"{model.seed}.safetensors"))
        for model in models(2)
    ]
    out = tmp_path / "merged.safetensors"
    assert main(["merge", *files, "--out", str(out), "--split", "test", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    measured = [evaluate(Trained.read(path), "test").report["accuracy"] for path in [*files, out]]
    assert [*report["accuracies"], report["merged"]] == measured and report["split"] == "test"
    assert main(["merge", *files, "--out", str(out)]) == 2 and "exists; name a new file" in capsys.readouterr().err
    nowhere = str(tmp_path / "nowhere" / "merged.safetensors")  # said before anything is read
    assert (
        main(["merge", *files, "none", "--out", nowhere]) == 2 and "nowhere does not exist" in capsys.readouterr().err
    )
