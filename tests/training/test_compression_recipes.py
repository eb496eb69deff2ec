"""Pruning and int8 as a recipe says them: schedules, masks while training, resuming to the same
bits, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.batches import Sequences
from srnn.model.recipe import PruneConfig
from srnn.nn.arithmetic import absolute
from srnn.nn.network import Layer
from srnn.nn.neurons import Init, Neuron
from srnn.nn.neurons.base import decay
from srnn.training.compression import sparsity
from srnn.training.compression.in_training import Compression
from srnn.training.compression.masks import present_masks
from srnn.training.compression.quantisation import as_int8
from srnn.training.evaluation import evaluate
from srnn.training.loop import train
from srnn.training.recipes import Recipe, dump_recipe, load_recipe, parse_recipe
from srnn.training.runs import Run
from srnn.training.state import TrainingState
from support.refusing import refuses
from support.runs import cut_and_resumed, moments, trained
from support.tiny import TinyTask, tiny_recipe

PRUNED = ("--training.epochs=6", "--training.prune.sparsity=0.8", "--training.prune.begin=0.2")
INT8 = ("--training.quantise=int8",)


@pytest.fixture
def tiny_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes name the tiny task."""
    monkeypatch.setattr(Recipe, "create_task", lambda self: TinyTask())


# ---- the schedule -----------------------------------------------------------------------------------------------------------


def test_the_share_rises_and_is_whole_before_the_last_epochs() -> None:
    prune = PruneConfig(0.9, begin=0.1, end=0.6)
    shares = [prune.share(epoch, 20) for epoch in range(20)]
    assert shares[:2] == [0, 0] and shares[12:] == [0.9] * 8
    steps = [b - a for a, b in pairwise(shares[1:13])]
    assert all(a > b > 0 for a, b in pairwise(steps))  # ever slower
    for end in (0.0, 0.5, 0.99):
        for epochs in (1, 2, 3, 7):
            config = PruneConfig(0.5, begin=0.0, end=end)
            assert config.share(epochs - 1, epochs) == 0.5 and config.last_epoch(epochs) < epochs
    assert PruneConfig().share(3, 5) == 0 and PruneConfig().last_epoch(5) == 0


def test_patience_waits_for_the_pruning() -> None:
    recipe = tiny_recipe("--training.epochs=10", "--training.early_stopping.patience=2")
    state = TrainingState(epoch=4, best_epoch=1)
    assert state.finished(recipe)
    pruned = replace(recipe, training=replace(recipe.training, prune=PruneConfig(0.5, end=0.5)))
    assert not state.finished(pruned)
    assert not TrainingState(epoch=6, best_epoch=1).finished(pruned)
    assert TrainingState(epoch=7, best_epoch=1).finished(pruned)


# ---- training ---------------------------------------------------------------------------------------------------------------


def test_pruning_while_training(tmp_path: Path) -> None:
    result = train(
        tiny_recipe(*PRUNED, "--training.optimizer.weight_decay=0.01"),
        tmp_path / "run",
        task=TinyTask(),
    )
    for which in ("best", "last"):
        assert sparsity(trained(tmp_path / "run", which)) == pytest.approx(0.8, abs=0.01)
    best, last = (present_masks(trained(tmp_path / "run", which)) for which in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in best)
    assert Run.open(tmp_path / "run").recipe.training.prune.sparsity == 0.8
    assert result["epochs"] == 6


def test_training_for_int8_from_the_beginning(tmp_path: Path) -> None:
    result = train(tiny_recipe(*INT8), tmp_path / "run", task=TinyTask())
    best, last = trained(tmp_path / "run"), trained(tmp_path / "run", "last")
    for layer in (best.layers[0], best.readout):
        assert type(layer) is Layer
        assert torch.allclose(
            as_int8(layer.weight_in, layer.weight_rec)[0], layer.weight_in, rtol=1e-6, atol=0
        )
    assert not torch.allclose(
        as_int8(last.readout.weight_in, None)[0], last.readout.weight_in, rtol=1e-6, atol=0
    )  # type: ignore[arg-type]
    assert 0 <= result["accuracy"] <= 1


def test_what_is_asked_for_changes_nothing_else(tmp_path: Path) -> None:
    """A recipe without the new keys, as runs of earlier versions hold it, trains as ever; int8
    shows rounded weights."""
    plain = tiny_recipe("--training.epochs=1")
    text = dump_recipe(plain)
    old = text.split("  start_from:")[0] + text[text.index("  checkpoint_every:") :]
    assert "prune" not in old and parse_recipe(old) == plain
    network = plain.build_network(TinyTask(), 0)
    Compression(network, plain.training, Sequences(TinyTask(), "train"))
    assert not any(
        getattr(module, "weights_as", None) or module._backward_hooks
        for module in network.modules()
    )


@pytest.mark.slow
@pytest.mark.parametrize("moment", moments(5, 0, 2, 3, 8, 12))
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(PRUNED, id="pruned", marks=pytest.mark.slow),
        pytest.param((*PRUNED, *INT8), id="pruned int8"),
    ],
)
def test_killed_and_resumed_to_the_same_bits(
    words: tuple[str, ...], moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(*words, "--training.checkpoint_every=2", "--training.optimizer.name=nadam")
    for which, tensors in cut_and_resumed(recipe, moment, tmp_path, monkeypatch).items():
        assert any(name.startswith("pruning.") for name in tensors) == (which == "last")


# ---- from another run -------------------------------------------------------------------------------------------------------


def test_starting_from_a_run(tmp_path: Path, tiny_named: None) -> None:
    train(tiny_recipe(*PRUNED), tmp_path / "first")
    words = [
        "--training.epochs=1",
        f"--training.start_from={tmp_path / 'first'}",
        "--training.optimizer.lr=1e-9",
    ]
    train(tiny_recipe(*words), tmp_path / "second")
    first, second = trained(tmp_path / "first"), trained(tmp_path / "second", "last")
    assert torch.allclose(first.readout.weight_in, second.readout.weight_in, atol=1e-6)
    kept = present_masks(first)
    assert all(torch.equal(mask, kept[name]) for name, mask in present_masks(second).items())
    # Fewer neurons: those that are used least stay away.
    train(tiny_recipe(*words, "--network.hidden=[5]"), tmp_path / "third")
    rows = {tuple(row.tolist()) for row in first.layers[0].weight_in.detach().round(decimals=4)}
    fewer = trained(tmp_path / "third", "last").layers[0].weight_in.detach().round(decimals=4)
    assert len(fewer) == 5 and {tuple(row.tolist()) for row in fewer} <= rows
    # Neither was ever the network that its seed draws.
    before = [
        Run.open(tmp_path / name).trained().untrained() for name in ("first", "second", "third")
    ]
    assert [one is None for one in before] == [False, True, True]
    with pytest.raises(SrnnError, match="another architecture"):
        train(tiny_recipe(*words, "--network.hidden=[9]"), tmp_path / "fourth")
    with refuses("nowhere", "missing"):
        train(tiny_recipe("--training.start_from=nowhere"), tmp_path / "fourth")
    assert not (tmp_path / "fourth").exists()


@pytest.mark.slow
def test_what_prune_and_quantise_write_says_what_was_done(
    tmp_path: Path, tiny_named: None, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_recipe("--training.epochs=1"), tmp_path / "run")
    run, out = str(tmp_path / "run"), tmp_path / "out"
    words = [
        "--sparsity",
        "0.5",
        "0.75",
        "--scope",
        "network",
        "--gradual",
        "0.5",
        "--epochs",
        "2",
        "--out",
        str(out),
    ]
    assert main(["compress", run, *words]) == 0
    shown = capsys.readouterr().out
    assert (
        all(len(line) <= 80 for line in shown.splitlines() if "│" in line)
        and "additi…" not in shown
    )
    assert "│whole " in shown and "│75 % pruned│" in shown
    recipe = Run.open(out / "weights-0.75").recipe
    assert recipe.training.prune == PruneConfig(0.75, "network", 0.0, 0.5)
    assert recipe.training.start_from == str(out / "weights-0.5")
    assert recipe.note == "Pruned: 0.75 of the weights, scope network."
    text = (out / "curve.md").read_text()
    assert (
        "srnn compress" in text
        and "--gradual 0.5" in text
        and text.count(" % pruned |") == 2
        and "curve.svg" in text
    )
    assert (out / "curve.svg").read_text().startswith("<?xml")
    small = tmp_path / "int8"
    assert main(["compress", str(out / "weights-0.75"), "--epochs", "1", "--out", str(small)]) == 0
    recipe = Run.open(small).recipe
    assert recipe.training.quantise == "int8" and recipe.training.prune.sparsity == 0.75
    assert recipe.note.endswith("Fine-tuned with int8 weights.")
    assert (
        "srnn compress" in (small / "compression.md").read_text()
        and (small / "compression.svg").is_file()
    )
    assert sparsity(trained(small)) >= sparsity(trained(out / "weights-0.75"))


@pytest.mark.slow
def test_balanced_accuracy_is_compared_where_trainings_report_it(
    tmp_path: Path, tiny_named: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rare class may be what pruning loses, while accuracy rises."""
    train(tiny_recipe("--training.epochs=1", "--training.class_weights=balanced"), tmp_path / "run")
    capsys.readouterr()
    words = ["--sparsity", "0.5", "--epochs", "1", "--out", str(tmp_path / "out")]
    assert main(["compress", str(tmp_path / "run"), *words]) == 0
    shown, text = capsys.readouterr().out, (tmp_path / "out" / "curve.md").read_text()
    measured = evaluate(Run.open(tmp_path / "run").trained()).report["balanced_accuracy"]
    assert "balanced" in shown and f"float32│  {measured:.2%}│" in shown
    assert "Balanced accuracy, measured on" in text and f" {100 * measured:.2f} % |" in text
    assert "validation balanced accuracy, %" in (tmp_path / "out" / "curve.svg").read_text()


# ---- refused ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["prune.sparsity=0.5", "quantise=int8"])
def test_baselines_of_torchs_cells_are_refused(key: str) -> None:
    with pytest.raises(
        SrnnError, match=rf"training\.{key.split('.')[0].split('=')[0]}' has no effect .*'lstm'"
    ):
        load_recipe("spoken-digits-lstm", [f"--training.{key}"])
    assert "prune" not in dump_recipe(load_recipe("spoken-digits-lstm"))
    assert "sparsity: 0.0" in dump_recipe(load_recipe("digits"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--training.prune.sparsity", "1"],
            "'training.prune.sparsity' must be a number of at least 0 and below 1",
        ),
        (
            ["--training.prune.end", "1"],
            "'training.prune.end' must be a number of at least 0 and below 1",
        ),
        (
            ["--training.prune.begin", "0.7"],
            "'training.prune.begin' must be at most training.prune.end",
        ),
        (
            ["--training.prune.scope", "neuron"],
            "'training.prune.scope' must be one of network, layer",
        ),
        (["--training.quantise", "int4"], "'training.quantise' must be one of none, int8"),
        (["--training.prune", "0.9"], "'training.prune' must be a section"),
    ],
)
def test_mistakes_name_the_key(words: list[str], expected: str) -> None:
    with pytest.raises(SrnnError) as caught:
        load_recipe("digits", words)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_int8_refuses_what_it_cannot_say(tmp_path: Path) -> None:
    for words in (["--network.neuron=relu"], ["--network.bidirectional=true"]):
        with pytest.raises(SrnnError, match=r"training\.quantise: "):
            train(tiny_recipe(*INT8, *words), tmp_path / "run", task=TinyTask())
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("bits", (32, 8))
@pytest.mark.parametrize("odd", (absolute, lambda u: 0.01 * u), ids=("function", "number"))
def test_int8_refuses_a_neuron_that_integers_cannot_step(
    odd: Callable[[Any], Any], bits: int, tmp_path: Path
) -> None:
    """Before anything is written; and not only where the ranges of states are measured."""

    def step(u: Any, s: Any, current: Any, alpha: Any) -> tuple[Any, Any]:
        u = alpha * odd(u) + current
        return u, u - 1.0

    fields = {
        "__annotations__": {"tau_mem": Init},
        "tau_mem": Init("constant", 5.0),
        "step": staticmethod(step),
    }
    fields |= {
        "name": "odd_step",
        "derive": lambda self, **parameters: (decay(parameters["tau_mem"]),),
    }
    dataclass(frozen=True)(type("Odd", (Neuron,), fields))
    recipe = tiny_recipe(*INT8, f"--training.state_bits={bits}", "--network.neuron=odd_step")
    with pytest.raises(SrnnError, match=r"training\.quantise: (int8 has no|The number 0\.01)"):
        train(recipe, tmp_path / "run", task=TinyTask())
    assert not (tmp_path / "run").exists()


def test_a_relu_run_says_why_it_has_no_int8(
    tmp_path: Path, tiny_named: None, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_recipe("--training.epochs=1", "--network.neuron=relu"), tmp_path / "run")
    assert main(["compress", str(tmp_path / "run")]) == 0
    assert (
        "no int8: int8 cannot take this network: layers.0 (relu) emits analog values"
        in capsys.readouterr().out
    )
