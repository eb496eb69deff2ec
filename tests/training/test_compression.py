"""Pruning and quantisation: masks that stay, neurons that go without a trace, weights that int8
holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError
from srnn.cli.main import main
from srnn.data.batches import Sequences
from srnn.data.datasets import Split
from srnn.measure.energy import energy
from srnn.measure.energy.compared import compare_energy
from srnn.model.checkpoints import load_network, network_tensors, read_checkpoint
from srnn.model.trained import Trained
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import IntegerNetwork, measure_ranges, quantise
from srnn.studies import pruning as flow
from srnn.studies.pruning import TuningOptions, measure_run, prune_run, quantise_run
from srnn.training.compression import (
    apply_masks,
    dead_neurons,
    magnitude_masks,
    remove_neurons,
    snap_weights,
    sparsity,
    train_as_int8,
)
from srnn.training.compression.evaluation import evaluate_int8, measure_int8
from srnn.training.compression.masks import present_masks, weight_matrices
from srnn.training.compression.neurons import least_used, same_on, to_drop
from srnn.training.compression.quantisation import as_int8
from srnn.training.loop import train
from srnn.training.recipes import Recipe
from srnn.training.runs import Run
from support.kept import copy_of
from support.tiny import TinyTask, tiny_recipe

RECIPE = ("--network.hidden", "[8, 6]", "--training.epochs", "2")


def network(**options) -> SRNN:
    return SRNN.paper(
        3, [8, 6], 3, backend="reference", generator=torch.Generator().manual_seed(0), **options
    )


@pytest.fixture
def tiny_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained run of the tiny task, which a test may change and whose task recipes then name."""
    monkeypatch.setattr(Recipe, "create_task", lambda self: TinyTask())
    return copy_of("tiny", tmp_path / "run")


# ---- masks ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["layer", "network"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_the_smallest_weights_go(share: float, scope) -> None:
    net = network()
    before = {name: weight.detach().clone() for name, weight in weight_matrices(net)}
    masks = magnitude_masks(net, share, scope)
    apply_masks(net, masks)
    assert sparsity(net) == pytest.approx(share, abs=0.03)
    for name, weight in weight_matrices(net):
        kept = masks[name]
        assert torch.equal(weight.detach(), before[name] * kept)
        if scope == "layer" and kept.any() and not kept.all():
            assert before[name][kept].abs().min() >= before[name][~kept].abs().max()


def test_a_second_pruning_keeps_what_the_first_dropped() -> None:
    net = network()
    first = magnitude_masks(net, 0.5)
    apply_masks(net, first)
    second = magnitude_masks(net, 0.8)
    assert all(not (second[name] & ~first[name]).any() for name in first)


@pytest.mark.parametrize("optimiser", [torch.optim.Adam, torch.optim.AdamW, torch.optim.Adamax])
def test_no_optimiser_moves_a_dropped_weight(optimiser) -> None:
    net = network()
    apply_masks(net, magnitude_masks(net, 0.7))
    masks, biases = present_masks(net), net.layers[0].bias.detach().clone()
    tuner = optimiser(net.parameters(), lr=0.1, weight_decay=0.01)
    x = (torch.rand(4, 20, 3, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    for _ in range(5):
        tuner.zero_grad()
        net(x)[0].square().mean().backward()
        tuner.step()
    assert all(not weight.detach()[~masks[name]].any() for name, weight in weight_matrices(net))
    assert not torch.equal(biases, net.layers[0].bias)


# ---- neurons ----------------------------------------------------------------------------------------------------------------


def silenced(net: SRNN, *units: int) -> SRNN:
    with torch.no_grad():
        for unit in units:
            net.layers[0].bias[unit] = -1e3
    return net


def smaller_network(net: SRNN, removed) -> SRNN:
    sizes = [int((~mask).sum()) for mask in removed]
    return remove_neurons(net, SRNN.paper(3, sizes, 3, backend="reference"), removed)


def test_dead_neurons_go_without_a_trace() -> None:
    net = silenced(network(), 1, 5)
    sequences = Sequences(TinyTask(padded=True), "train")
    removed = dead_neurons(net, sequences)
    assert {1, 5} <= set(removed[0].nonzero().flatten().tolist())
    smaller = smaller_network(net, removed)
    different, greatest = same_on(net, smaller, removed, sequences)
    assert different == 0 and greatest < 1e-6
    assert smaller.layers[0].size == 8 - int(removed[0].sum())


def test_a_neuron_that_starts_with_a_spike_is_not_dead() -> None:
    net = SRNN(
        3,
        [8],
        3,
        neuron={"name": "alif", "initial": {"u": "uniform(0, 0.1)", "s": "u"}},
        backend="reference",
        norm="none",
    )
    silenced(net, 2)
    assert not dead_neurons(net, Sequences(TinyTask(), "train"))[0].any()


def test_the_least_used_go_first() -> None:
    net = silenced(network(), 3)
    sequences = Sequences(TinyTask(), "train")
    assert least_used(net, sequences, to_drop([8, 6], 1 / 8))[0].nonzero().flatten().tolist() == [3]
    most = least_used(net, sequences, to_drop([8, 6], 0.99))
    assert [int((~mask).sum()) for mask in most] == [1, 1]  # one neuron stays
    smaller = smaller_network(net, most)
    kept = int((~most[0]).nonzero())
    assert torch.equal(smaller.layers[0].params.tau_mem, net.layers[0].params.tau_mem[[kept]])
    assert torch.equal(
        smaller.layers[0].weight_rec, net.layers[0].weight_rec[kept, kept].reshape(1, 1)
    )
    with pytest.raises(SrnnError, match="bidirectional"):
        dead_neurons(network(bidirectional=True), sequences)


def test_use_is_rate_times_the_size_of_all_outgoing_weights() -> None:
    """To the layer above and to the own one; of signs and of what comes in nothing matters."""
    net, task = network(), TinyTask()
    with torch.no_grad():
        net.layers[0].weight_rec.mul_(torch.linspace(0, 4, 8))
        result = net.run(
            torch.from_numpy(task.load("train").x), generator=torch.Generator().manual_seed(0)
        )
    rates = result.layers[0].output.mean((0, 1))
    above, own = (
        weight.detach().abs() for weight in (net.layers[1].weight_in, net.layers[0].weight_rec)
    )
    order = sorted(range(8), key=lambda j: float(rates[j] * (above[:, j].sum() + own[:, j].sum())))
    assert order != sorted(range(8), key=lambda j: float(rates[j] * above[:, j].sum()))
    for count in range(1, 8):
        found = least_used(net, Sequences(task, "train"), [count, 0])[0]
        assert found.nonzero().flatten().tolist() == sorted(order[:count])


# ---- int8 -------------------------------------------------------------------------------------------------------------------


def test_training_sees_rounded_weights_and_moves_exact_ones() -> None:
    net = network()
    exact = {name: weight.detach().clone() for name, weight in weight_matrices(net)}
    train_as_int8(net)
    shown = net.layers[0].weights()[1].detach()
    assert not torch.equal(shown, exact["layers.0.weight_rec"])
    assert (shown - exact["layers.0.weight_rec"]).abs().max() < exact[
        "layers.0.weight_rec"
    ].abs().max() / 100
    assert dict(net.named_parameters()).keys() == dict(network().named_parameters()).keys()
    x = (torch.rand(4, 20, 3, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    net(x)[0].square().mean().backward()
    gradient = dict(net.named_parameters())["layers.0.weight_in"].grad
    assert gradient is not None and gradient.abs().max() > 0
    assert all(torch.equal(weight, exact[name]) for name, weight in weight_matrices(net))


def test_snapped_weights_are_those_of_the_integer_model() -> None:
    net = train_as_int8(network())
    x = (torch.rand(4, 20, 3, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    before = quantise(device_network(net))  # of the rounded weights that the layers show
    with torch.no_grad():
        expected = net(x)[0]
        snapped = snap_weights(net)
        assert torch.equal(snapped(x)[0], expected)
    assert type(snapped.layers[0]) is type(network().layers[0])
    after = quantise(device_network(snapped))
    for a, b in zip(before.layers, after.layers, strict=True):
        assert all(np.array_equal(m, n) for m, n in zip(a.matrices(), b.matrices(), strict=True))


class SortedTask(TinyTask):
    """Sorted by class, as folders are; of 200 sequences the last is the loudest."""

    def load(self, split, data_dir: Path | None = None) -> Split:
        x, y = np.full((200, 12, 3), 0.5, np.float32), np.arange(200) // 67
        x[y == 2] = 3
        x[-1, -1] = 4
        return Split(x, y)


def test_int8_knows_inputs_and_states_of_all_classes() -> None:
    trained = Trained(network(), SortedTask(), tiny_recipe())
    known = measure_int8(trained, Sequences(SortedTask(), "train"))
    assert (known["inputs_as"].largest, known["inputs_as"].whole) == (4, False)
    loud = measure_ranges(
        device_network(network()), np.full((1, 12, 3), 3, np.float32), known["inputs_as"]
    )
    assert known["state_ranges"][0]["u"] >= loud[0]["u"]


def test_a_long_split_is_measured_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, sizes, run = (
        Trained(network(), SortedTask(), tiny_recipe()),
        list[int](),
        IntegerNetwork.run,
    )
    whole = evaluate_int8(trained).report

    def spy(self: IntegerNetwork, x, state=None):
        sizes.append(x.shape[0] * x.shape[1])
        return run(self, x, state)

    monkeypatch.setattr(IntegerNetwork, "run", spy)
    monkeypatch.setattr("srnn.training.compression.evaluation._STEPS", 500)
    found = evaluate_int8(trained).report
    assert max(sizes) <= 500 and sum(sizes) == 200 * 12
    assert (found["accuracy"], found["saturated"]) == (whole["accuracy"], whole["saturated"])


# ---- runs -------------------------------------------------------------------------------------------------------------------


def test_prune_weights_of_a_run(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    curve = prune_run(tiny_run, out, [0.8, 0.5], options=TuningOptions(epochs=1))
    assert [point["pruned"] for point in curve["points"]] == [0.0, 0.5, 0.8]
    assert json.loads((out / "curve.json").read_text()) == curve
    kept = [point["weights_not_zero"] for point in curve["points"]]
    assert kept[0] > kept[1] > kept[2]
    assert curve["points"][2]["float32_flash_bytes"] < curve["points"][0]["float32_flash_bytes"]
    assert (
        curve["points"][2]["synaptic_adds_per_step"] < curve["points"][0]["synaptic_adds_per_step"]
    )
    # Both checkpoints of the last run have the mask, and the second pruning kept that of the first.
    masks = []
    for run in (Run.open(out / "weights-0.5"), Run.open(out / "weights-0.8")):
        for path in (run.best, run.last):
            net = run.recipe.build_network(TinyTask(), run.seed)
            load_network(net, read_checkpoint(path))
            masks.append(present_masks(net))  # type: ignore[arg-type]
    for mask in masks[1:]:
        assert all(not (mask[name] & ~masks[0][name]).any() for name in mask)
    # Resumed, all is there already, and nothing changes.
    again = prune_run(tiny_run, out, [0.5, 0.8, 0.8], options=TuningOptions(epochs=1, resume=True))
    assert again == curve
    # A fraction that is 0 already would only be named, beside a network that was called whole.
    with pytest.raises(
        SrnnError,
        match=r"0\.8: 79.*% of its weights are 0 already, and a sparsity of 0\.5 prunes no",
    ):
        prune_run(
            out / "weights-0.8", tmp_path / "none", [0.9, 0.5], options=TuningOptions(epochs=1)
        )
    assert not (tmp_path / "none").exists()
    _, again = prune_run(
        out / "weights-0.8", tmp_path / "on", [0.0], options=TuningOptions(epochs=1)
    )["points"]
    assert again["weights_not_zero"] <= kept[2]


def test_prune_neurons_of_a_run(tiny_run: Path, tmp_path: Path) -> None:
    curve = prune_run(
        tiny_run, tmp_path / "out", [0.25, 0.5], what="neurons", options=TuningOptions(epochs=1)
    )
    assert [point["hidden"] for point in curve["points"]] == [[8, 6], [6, 4], [4, 3]]
    assert Run.open(tmp_path / "out" / "neurons-0.5").recipe.network.hidden == [4, 3]


@pytest.mark.slow
def test_remove_dead_neurons_of_a_run(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(tiny_run)
    net = run.recipe.build_network(TinyTask(), run.seed)
    checkpoint = read_checkpoint(run.best)
    load_network(net, checkpoint)
    run.trained().write(run.best, network_tensors(silenced(net, 0, 7)), checkpoint.info)  # type: ignore[arg-type]
    curve = prune_run(tiny_run, tmp_path / "out", [], what="dead")
    smaller, whole = (
        Run.open(folder).trained() for folder in (tmp_path / "out" / "dead", tiny_run)
    )
    assert smaller.task == whole.task and smaller.steps == whole.steps == 12
    found = curve["points"][1]
    assert found["removed"][0] >= 2 and found["different_spikes_on_train"] == 0
    assert found["accuracy"] == curve["points"][0]["accuracy"]
    assert measure_run(tmp_path / "out" / "dead")["accuracy"] == found["accuracy"]
    monkeypatch.setattr(flow, "same_on", lambda *_: (3, 1.0))
    with pytest.raises(SrnnError, match=r"differs in \d+ spikes"):
        prune_run(tiny_run, tmp_path / "other", [], what="dead")
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_without_dead_neurons_states_are_kept_in_as_few_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the smaller network were not rounded, and so its spikes were others."""
    monkeypatch.setattr(Recipe, "create_task", lambda self: TinyTask())
    few = ("--training.quantise=int8", "--training.state_bits=8")
    train(tiny_recipe(*RECIPE, *few), tmp_path / "run")
    before, after = prune_run(tmp_path / "run", tmp_path / "out", [], what="dead")["points"]
    assert (
        after["int8"]["kept_bits"] == before["int8"]["kept_bits"]
        and after["int8"]["state_bits"] == 8
    )
    assert after["different_spikes_on_train"] == 0


def test_quantise_a_run(tiny_run: Path, tmp_path: Path) -> None:
    found = quantise_run(tiny_run, tmp_path / "out", TuningOptions(epochs=2))
    assert found["after"]["int8"]["saturated"] == 0
    run = Run.open(tmp_path / "out")
    net = run.recipe.build_network(TinyTask(), run.seed)
    load_network(net, read_checkpoint(run.best))
    weights = net.layers[0].weight_in.detach().clone()
    snap_weights(net)  # type: ignore[arg-type]
    assert torch.allclose(weights, net.layers[0].weight_in, rtol=1e-6)
    result = json.loads((run.path / "result.json").read_text())
    assert result["accuracy"] == found["after"]["accuracy"]


def test_operations_are_counted_by_hand() -> None:
    net = network()
    apply_masks(net, magnitude_masks(net, 0.5))
    x = torch.from_numpy(Sequences(TinyTask(), "train").x)
    found = energy(net, x)["counts"]
    with torch.no_grad():
        layers = net.run(x).layers
    adds = 0.0
    senders = [x, layers[0].output, layers[1].output]
    for values, layer in zip(senders, [*net.layers, net.readout], strict=True):
        adds += float((values.sum((0, 1)) * (layer.weight_in != 0).sum(0)).sum())
    for values, layer in zip(senders[1:], net.layers, strict=True):
        adds += float((values.sum((0, 1)) * (layer.weight_rec != 0).sum(0)).sum())
    assert found["synaptic_acs"] == pytest.approx(adds / (60 * 12))
    assert found["synaptic_macs"] == 0


@pytest.mark.slow
def test_pruning_and_energy_tell_the_same(tiny_run: Path, tmp_path: Path) -> None:
    """One count: the energy of a point is that of 'srnn energy' for the same network and input."""
    curve = prune_run(tiny_run, tmp_path / "out", [0.5], options=TuningOptions(epochs=1))
    for folder, point in zip(
        (tiny_run, tmp_path / "out" / "weights-0.5"), curve["points"], strict=True
    ):
        (told,) = compare_energy([folder])["networks"]
        assert told["models"]["fp32"]["energy_pj"]["step"] == point["energy_pj_per_step"]
        assert told["counts"]["synaptic_acs"] == point["synaptic_adds_per_step"]
        assert told["counts"]["synaptic_macs"] == point["synaptic_multiply_adds_per_step"]
        assert told["counts"]["neuron_macs"] == point["neuron_multiplies_per_step"]


# ---- commands ---------------------------------------------------------------------------------------------------------------


def test_commands(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pruned"
    assert (
        main(
            [
                "compress",
                str(tiny_run),
                "--sparsity",
                "0.5",
                "--epochs",
                "1",
                "--out",
                str(out),
                "--json",
            ]
        )
        == 0
    )
    assert len(json.loads(capsys.readouterr().out)["points"]) == 2
    assert main(["compress", str(out / "weights-0.5")]) == 0
    assert "int8" in capsys.readouterr().out
    assert (
        main(
            ["compress", str(tiny_run), "--epochs", "1", "--out", str(tmp_path / "int8"), "--json"]
        )
        == 0
    )
    assert set(json.loads(capsys.readouterr().out)) >= {"from", "run", "before", "after", "command"}


def test_command_mistakes(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, used = str(tmp_path / "out"), str(tiny_run)
    cases = [
        (["compress", used, "--what", "weights", "--out", out], "--sparsity"),
        (["compress", used, "--sparsity", "0.5"], "--out"),
        (["compress", used, "--scope", "network"], "--sparsity"),
        (["compress", used, "--what", "dead", "--sparsity", "0.5", "--out", out], "--sparsity"),
        (["compress", used, "--sparsity", "1.5", "--out", out], "at least 0 and below 1"),
        (["compress", used, "--sparsity", "0.5", "--epochs", "0", "--out", out], "epoch"),
        (
            ["compress", used, "--sparsity", "0.5", "--lr-factor", "-1", "--out", out],
            "'lr_factor' must be",
        ),
        (["compress", used, "--sparsity", "0.5", "--out", used], "not empty"),
        (["compress", out, "--sparsity", "0.5", "--out", f"{out}2"], "was not found"),
        (["compress", used, "--what", "dead", "--epochs", "5", "--out", out], "without training"),
        (
            [
                "compress",
                used,
                "--what",
                "neurons",
                "--sparsity",
                "0.5",
                "--scope",
                "network",
                "--out",
                out,
            ],
            "--what weights",
        ),
        (
            [
                "compress",
                used,
                "--what",
                "neurons",
                "--sparsity",
                "0.5",
                "--gradual",
                "0.5",
                "--out",
                out,
            ],
            "--what weights",
        ),
        (["compress", used, "--resume"], "--out"),
        (["compress", used, "--epochs", "5"], "--out"),
        (["compress", used, "--out", used], "not empty"),
    ]
    for words, message in cases:
        assert main(words) == 2, words
        found = capsys.readouterr()
        assert message in found.err and found.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_share_that_is_pruned_is_rounded() -> None:
    net = SRNN.paper(10, [10], 2, recurrent=False)
    masks = magnitude_masks(net, 0.29)  # 28.999999999999996 of 100
    assert int((~masks["layers.0.weight_in"]).sum()) == 29


def test_larger_recurrent_weights_are_rounded_to_int8_steps_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    below, own = torch.randn(6, 5, generator=generator), 64 * torch.randn(6, 6, generator=generator)
    rounded = as_int8(below, own)[1]
    assert rounded is not None  # steps of the input weights would be 64 times finer
    assert ((rounded - own).abs().amax(1) > own.abs().amax(1) / 127 / 20).all()
