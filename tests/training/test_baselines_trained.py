"""Baselines in training: the same loop, checkpoints and reports, and any recipe turned into one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from srnn import SRNN, SrnnError
from srnn.cli.main import main
from srnn.files.conversion import read_named
from srnn.model.checkpoints import (
    architecture,
    load_network,
    network_tensors,
    read_checkpoint,
    save_checkpoint,
)
from srnn.model.recipe import Recipe
from srnn.model.trained import Trained
from srnn.nn.baselines import DenseLayer
from srnn.progress import epoch_line
from srnn.studies.summary import summarise
from srnn.training.evaluation import evaluate, layer_rates, rate_report
from srnn.training.loop import train
from srnn.training.recipes import BASELINES, dump_recipe, load_recipe, parse_recipe
from srnn.training.recipes.baselines import as_baseline
from srnn.training.recipes.reading import apply_overrides
from support.cells import CELLS, TORCH, make, signal
from support.refusing import refuses
from support.tiny import TinyStepTask, TinyTask, tiny_recipe

# ---- the same training, checkpoints and reports ----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BASELINES))
@pytest.mark.parametrize("padded", [pytest.param(False, marks=pytest.mark.slow), True])
def test_every_baseline_trains_and_is_evaluated_again_the_same(
    name: str, padded: bool, tmp_path: Path
) -> None:
    recipe, task = as_baseline(tiny_recipe("--training.epochs", "2"), name), TinyTask(padded=padded)
    assert parse_recipe(dump_recipe(recipe)) == recipe
    result = train(recipe, tmp_path / "run", task=task)
    network = recipe.build_network(task, seed=5)
    load_network(network, read_checkpoint(tmp_path / "run" / "model.safetensors"))
    trained = Trained(network, task, recipe)
    again = evaluate(trained, "validation").report
    assert again["accuracy"] == result["accuracy"] and again["firing_rate"] == result["firing_rate"]
    with pytest.raises(SrnnError, match="batch_size"):
        evaluate(trained, "validation", batch_size=0)
    assert result["parameters"] == sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert (result["firing_rate"] is None) == (name in ("rnn", "gru", "lstm", "bilstm"))
    records = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert (records[0]["train"]["firing_rate"] is None) == (result["firing_rate"] is None)
    assert ("rate n/a" in epoch_line(records[0])) == (result["firing_rate"] is None)


def test_it_learns(tmp_path: Path) -> None:
    recipe = as_baseline(tiny_recipe("--training.epochs", "10"), "gru")
    assert train(recipe, tmp_path / "run", task=TinyTask(padded=True))["accuracy"] > 0.7


def test_labels_at_every_step(tmp_path: Path) -> None:
    recipe = as_baseline(tiny_recipe("--loss.name", "nll", "--training.epochs", "1"), "bilstm")
    result = train(recipe, tmp_path / "run", task=TinyStepTask(padded=True))
    assert 0 < result["accuracy_labelled"] < 1 and result["firing_rate"] is None


TUNING = {
    "training.dropout": 0.3,
    "network.norm": "layer",
    "training.optimizer": {"name": "adamw", "lr": 0.02, "weight_decay": 0.1},
    "training.schedule": {"name": "one_cycle"},
    "training.clip_norm": 0.01,
    "training.augment": {"time_shift": 2, "drop": 0.3},
    "loss.label_smoothing": 0.1,
    "training.average": 0.9,
}
"""What tuned networks of either kind need."""


@pytest.mark.slow
def test_every_setting_of_tuned_networks_reaches_torchs_cells(tmp_path: Path) -> None:
    """Alone, each of them makes another network of the same data, weights and order."""
    base = as_baseline(
        tiny_recipe("--training.epochs", "2", "--network.hidden", "[6, 5]"), "lstm"
    ).to_dict()

    def weights(name: str, settings: dict) -> torch.Tensor:
        train(
            read_named(Recipe, apply_overrides(base, settings), name),
            tmp_path / name,
            task=TinyTask(),
        )
        return read_checkpoint(tmp_path / name / "model.safetensors").tensors[
            "network.readout.weight_in"
        ]

    found = [weights("plain", {}), *(weights(key, {key: value}) for key, value in TUNING.items())]
    assert torch.equal(weights("again", {}), found[0])
    for number, one in enumerate(found):
        assert not any(torch.equal(one, other) for other in found[:number]), ["plain", *TUNING][
            number
        ]


@pytest.mark.parametrize("settings_", [{}, TUNING], ids=["plain", "tuned"])
def test_a_resumed_run_ends_with_the_same_bits(settings_: dict, tmp_path: Path) -> None:
    recipe = as_baseline(
        tiny_recipe("--training.epochs", "3", "--training.checkpoint_every", "1"), "lstm"
    )
    recipe = read_named(Recipe, apply_overrides(recipe.to_dict(), settings_), "tiny")
    train(recipe, tmp_path / "whole", task=TinyTask())

    class Stop(Exception):
        pass

    from srnn.progress import Reporter

    class Stopper(Reporter):
        def step(self, done_steps: int, numbers: dict) -> None:
            if done_steps == 6:
                raise Stop

    with pytest.raises(Stop):
        train(recipe, tmp_path / "cut", task=TinyTask(), reporter=Stopper())
    train(recipe, tmp_path / "cut", task=TinyTask(), resume=True)
    whole, cut = (
        read_checkpoint(tmp_path / name / "checkpoints" / "last.safetensors")
        for name in ("whole", "cut")
    )
    assert whole.tensors.keys() == cut.tensors.keys()
    assert all(torch.equal(whole.tensors[key], cut.tensors[key]) for key in whole.tensors)


def test_checkpoints_know_their_architecture(tmp_path: Path) -> None:
    nets = [make(cell, bidirectional=both) for cell in CELLS for both in (False, True)]
    nets += [make(recurrent=[False, True]), make(hidden=[5]), make(norm="layer")]
    assert len({tuple(architecture(net)) for net in nets}) == len(nets)
    save_checkpoint(
        tmp_path / "a", network_tensors(nets[0]), {"architecture": architecture(nets[0])}
    )
    load_network(make("rnn", seed=3), read_checkpoint(tmp_path / "a"))
    for other in [*nets[1:], SRNN.paper(3, [5, 4], 2)]:
        with refuses(tmp_path / "a", "file"):
            load_network(other, read_checkpoint(tmp_path / "a"))


def test_no_firing_rate_is_none_not_zero() -> None:
    net = make()
    result = net.run(signal(2, 5))
    rates = layer_rates(net, result.layers[:-1], None)
    assert rates == [] and rate_report(net, rates) is None


def test_summaries_say_not_applicable(tmp_path: Path) -> None:
    recipe = as_baseline(tiny_recipe("--training.epochs", "1"), "gru")
    for seed in (0, 1):
        train(recipe, tmp_path / f"s{seed}", seed=seed, task=TinyTask())
    summary = summarise(
        [tmp_path / "s0", tmp_path / "s1"], tmp_path / "out", "tiny GRU", "srnn train"
    )
    assert summary["firing_rate"] is None
    page = (tmp_path / "out" / "summary.md").read_text()
    assert page.count("| n/a |") == 3


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    small = ["--training.epochs", "1", "--network.hidden", "[4, 4]"]
    assert main(["train", "digits", "--baseline", "lstm", "--out", run, *small]) == 0
    shown, log = capsys.readouterr()
    assert "n/a" in shown and "rate n/a" in log and "digits as lstm" in shown
    assert main(["evaluate", run, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (
        report["firing_rate"] is None and report["parameters"] == 352 + 160 + 50
    )  # 16-4-4-10, LSTM cells in both layers
    assert (
        main(["train", "digits", "--baseline", "lstm", "--out", run, "--resume", "--json", *small])
        == 0
    )
    capsys.readouterr()
    assert main(["train", "digits", "--baseline", "lsmt", "--out", run]) == 2
    assert "Did you mean 'lstm'" in capsys.readouterr().err
    assert main(["recipes", "show", "digits", "--baseline", "gru", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["network"]["model"] == "gru"
    assert main(["recipes", "--baseline", "gru"]) == 2
    capsys.readouterr()


# ---- recipes as baselines --------------------------------------------------------------------------------------------


def test_cells_keep_sizes_task_and_training_and_drop_what_means_nothing() -> None:
    recipe = load_recipe("paper/smnist")
    made = as_baseline(recipe, "lstm")
    assert made.network.hidden == recipe.network.hidden and made.network.recurrent is True
    assert (made.task, made.training.epochs) == (recipe.task, 300) and made.training.lr_scale == {}
    assert made.loss.name == "ce_mean"
    assert set(made.to_dict()["network"]) == {
        "model",
        "hidden",
        "recurrent",
        "bidirectional",
        "norm",
    }
    assert as_baseline(recipe, "bilstm").network.bidirectional


@pytest.mark.parametrize(
    "words",
    [
        ["--training.rule=e-prop", "--training.feedback=random"],
        ["--training.rule=tbptt", "--training.window=4", "--training.fptt.alpha=0.5"],
        ["--training.rule=d-rtrl", "--training.window=4", "--training.update=sequence"],
    ],
)
def test_cells_are_trained_by_backpropagation_whatever_rule_the_recipe_has(
    words: list[str],
) -> None:
    """As energy and pages ask, which compare every run with an LSTM."""
    assert (
        as_baseline(tiny_recipe(*words), "lstm").training
        == as_baseline(tiny_recipe(), "lstm").training
    )


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "bilstm"])
@pytest.mark.parametrize("recipe", ["speech-commands-mini", "smnist", "ecg-feedforward"])
def test_cells_are_in_every_hidden_layer_whatever_the_recipe_s_are(name: str, recipe: str) -> None:
    network = as_baseline(load_recipe(recipe), name).network
    built = network.build(5, 3, seed=0)
    cell = {"bilstm": nn.LSTM, **TORCH}[name]
    assert [type(layer.cell) for layer in built.layers] == [cell] * len(network.hidden)  # type: ignore[union-attr]


def test_a_mix_of_dense_and_recurrent_layers_is_made_where_it_is_asked_for() -> None:
    """What was once called LSTM 128 + 128: 120 -> 128 ReLU -> 128 LSTM -> 12 of Speech Commands
    mini, 149,132 parameters."""
    words = ["--network.hidden", "[128, 128]"]
    pure = load_recipe("speech-commands-mini", words, "lstm").network.build(120, 12, seed=0)
    mixed = load_recipe(
        "speech-commands-mini", [*words, "--network.recurrent", "[false, true]"], "lstm"
    ).network
    built = mixed.build(120, 12, seed=0)
    assert (
        isinstance(built.layers[0], DenseLayer)
        and built.layers[0].relu
        and built.layers[1].name == "lstm"
    )
    counts = [sum(parameter.numel() for parameter in net.parameters()) for net in (pure, built)]
    assert counts == [4 * 128 * (120 + 128 + 2) + 4 * 128 * (128 + 128 + 2) + 12 * 129, 149_132]


def test_relu_and_lif_are_other_neurons_of_the_same_network() -> None:
    recipe = load_recipe("paper/ecg")
    task = recipe.create_task()
    relu, lif = (as_baseline(recipe, name).build_network(task, 0) for name in ("relu", "lif"))
    assert isinstance(relu, SRNN) and isinstance(lif, SRNN)
    assert [relu.layers[0].neuron.name, relu.readout.neuron.name] == ["relu", "integrator"]  # type: ignore[union-attr]
    # LIF as the authors ran it: u = .618 u + I; a spike above .5 sets it to 0.
    leak, gain, threshold, reset = (c[0].item() for c in lif.layers[0].params.coefficients())  # type: ignore[operator, union-attr]
    assert (leak, gain, threshold, reset) == pytest.approx((0.618, 1.0, 0.5, 0.0))
    assert not any("tau" in name for name, _ in lif.named_parameters())
    assert as_baseline(recipe, "lif").training.lr_scale == {"layers.*.bias": 2}


def test_a_spiking_readout_becomes_lif_however_the_recipe_writes_it() -> None:
    """``network_config`` names every readout an integrator, and gives its neuron."""
    for readout, name in (
        ("alif", "lif"),
        ({"neuron": "alif"}, "lif"),
        ("integrator", "integrator"),
    ):
        recipe = as_baseline(load_recipe("paper/ecg", {"network.readout": readout}), "lif")
        assert recipe.build_network(recipe.create_task(), 0).readout.neuron.name == name


def test_feedforward_has_no_recurrent_weights() -> None:
    made = as_baseline(load_recipe("paper/ecg"), "feedforward")
    network = made.build_network(made.create_task(), 0)
    assert not any("weight_rec" in name for name, _ in network.named_parameters())


def test_one_neuron_a_layer_and_multipliers_that_fit_nothing() -> None:
    text = """
task: {name: digits}
network: {hidden: [4, 4], neuron: [alif, {name: lif, tau_mem: 30, trained: []}], norm: none, readout: spike_count}
loss: {name: ce_spike_count, rate: {weight: 1, upper: 0.1}}
training: {lr_scale: {"*.tau_adp": 3, "*.tau_mem": 2, "layers.1.weight_rec": 5}}
"""
    relu = as_baseline(parse_recipe(text), "relu")
    assert relu.network.neuron == [{"name": "relu"}, {"name": "relu", "tau_mem": 30, "trained": []}]
    assert relu.training.lr_scale == {"*.tau_mem": 2, "layers.1.weight_rec": 5}
    assert relu.loss.name == "ce_mean" and relu.loss.rate.weight == 0
    lif = as_baseline(parse_recipe(text), "lif")
    assert lif.loss == parse_recipe(text).loss and lif.training.lr_scale == {
        "layers.1.weight_rec": 5
    }
    assert (
        "layers.1.weight_rec"
        not in as_baseline(parse_recipe(text), "feedforward").training.lr_scale
    )


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_overrides_come_after(name: str) -> None:
    made = load_recipe(
        "digits", ["--training.optimizer.lr", "3e-3", "--network.hidden", "[7]"], baseline=name
    )
    assert made.training.optimizer.lr == 3e-3 and made.network.hidden == [7] and name in made.note


@pytest.mark.parametrize(
    ("key", "value"),
    [("neuron", "lif"), ("readout", "alif"), ("surrogate", "linear"), ("merge", "concat"), ("substeps", "5"), ("bias", "false"),
     ("init_in", "zero"), ("init_rec", "zero"), ("gain_in", "2"), ("backend", "reference"), ("recompute", "true")],
)  # fmt: skip
def test_what_means_nothing_for_cells_is_refused(key: str, value: str) -> None:
    with pytest.raises(
        SrnnError, match=f"'network.{key}' has no effect with network.model 'gru'"
    ) as caught:
        parse_recipe("network: {model: gru}", [f"--network.{key}", value])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(BASELINES))
@pytest.mark.parametrize("setting", ["initial: null", "initial: u", "trained: null"])
def test_a_network_that_is_none_is_no_baselines_either(name: str, setting: str) -> None:
    recipe = parse_recipe(f"task: {{name: digits}}\nnetwork: {{neuron: {{name: alif, {setting}}}}}")
    with pytest.raises(
        SrnnError, match=f"Recipe section 'network': '?{setting.partition(':')[0]}'? must be a"
    ):
        as_baseline(recipe, name)
