"""Averages of weights, and batch norm in training: what is validated and saved, resumed to the bit,
pruned, rounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import numpy as np
import pytest
import torch

import srnn
from srnn import SRNN, SrnnError
from srnn.model.checkpoints import architecture, read_checkpoint
from srnn.model.trained import Trained
from srnn.nn.network import has_norm
from srnn.nn.state_format import StateFormat
from srnn.studies.pruning import TuningOptions, prune_run, quantise_run
from srnn.training.callbacks import Average, Callbacks
from srnn.training.compression.masks import sparsity
from srnn.training.evaluation import evaluate
from srnn.training.loop import train
from srnn.training.recipes import Recipe
from srnn.training.runs import Run
from support.refusing import refuses
from support.runs import cut_and_resumed
from support.tiny import TinyTask, tiny_recipe

AVERAGE = ("--training.average=0.9", "--training.epochs=3")
NORM = ("--network.norm=batch", "--network.hidden=[8, 6]", "--training.dropout=0.2")


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes name the tiny task."""
    monkeypatch.setattr(Recipe, "create_task", lambda self: TinyTask())


def test_the_model_is_the_average_of_the_weights_after_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the sum by hand: decay d_t = min(.9, (1 + t) / (10 + t)) after step t, of weights and
    of statistics."""
    seen: list[dict[str, torch.Tensor]] = []
    update, start = Average.update, {}

    def watched(self: Average, step: int) -> None:
        if step == 1:
            start.update({name: value.clone() for name, value in self.network.state_dict().items()})
        seen.append({name: value.clone() for name, value in self.source.state_dict().items()})
        update(self, step)
        assert step == len(seen)

    monkeypatch.setattr(Average, "update", watched)
    train(
        tiny_recipe(*AVERAGE, *NORM, "--training.early_stopping.metric=loss"),
        tmp_path / "run",
        task=TinyTask(),
    )
    run = Run.open(tmp_path / "run")
    best, last = read_checkpoint(run.best), read_checkpoint(run.last)
    steps = (
        4 * json.loads((run.path / "result.json").read_text())["best_epoch"]
    )  # 60 sequences in batches of 16
    for name in seen[0]:
        mean = start[name].double()
        for t, weights in enumerate(seen[:steps], 1):
            decay = min(0.9, (1 + t) / (10 + t))
            mean = decay * mean + (1 - decay) * weights[name].double()
        if not seen[0][name].is_floating_point():  # the counter of batches is no average
            mean = seen[steps - 1][name]
        torch.testing.assert_close(
            best.tensors[f"network.{name}"], mean.to(seen[0][name].dtype), rtol=1e-5, atol=1e-6
        )
        assert torch.equal(last.tensors[f"network.{name}"], seen[-1][name])
    assert not torch.equal(
        best.tensors["network.layers.0.weight_in"], seen[steps - 1]["layers.0.weight_in"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 4, 7])
def test_a_resumed_training_has_the_same_average_and_statistics_to_the_bit(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(
        *AVERAGE, *NORM, "--training.checkpoint_every=2", "--training.prune.sparsity=0.4"
    )
    found = cut_and_resumed(recipe, moment, tmp_path, monkeypatch)
    names = found["last"].keys()
    assert {
        "network.layers.1.norm.mean",
        "average.layers.1.norm.variance",
        "average.readout.weight_in",
    } <= names
    assert int(found["last"]["network.layers.0.norm.batches"]) == 12
    assert not any(name.startswith("average.") for name in found["best"])


def test_what_was_selected_is_the_model(tmp_path: Path) -> None:
    result = train(tiny_recipe(*AVERAGE, *NORM), tmp_path / "run", task=TinyTask())
    model = Run.open(tmp_path / "run").trained()
    found = evaluate(model, "validation")
    lines = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    best = next(line for line in reversed(lines) if line["best"])
    assert found.report["accuracy"] == result["accuracy"] == best["validation"]["accuracy"]
    assert found.loss == pytest.approx(best["validation"]["loss"], rel=1e-6)


def test_pruned_weights_are_zero_in_the_average(tmp_path: Path) -> None:
    train(
        tiny_recipe(*AVERAGE, *NORM, "--training.prune.sparsity=0.6"),
        tmp_path / "run",
        task=TinyTask(),
    )
    network = Run.open(tmp_path / "run").trained().spiking("tested")
    assert sparsity(network) == pytest.approx(0.6, abs=0.01) == sparsity(network.fold())


def test_an_average_of_rounded_states_keeps_their_format(tmp_path: Path) -> None:
    words = ("--training.quantise=int8", "--training.state_bits=8", "--network.neuron=lif")
    result = train(tiny_recipe(*AVERAGE, *words), tmp_path / "run", task=TinyTask())
    model = Run.open(tmp_path / "run").trained()
    assert evaluate(model).report["accuracy"] == result["accuracy"]
    assert model.spiking("tested").freeze().state_as.width == 8
    # Resumed, too, also where no step of the optimiser follows that would hand it on.
    again = Average(tiny_recipe(*AVERAGE, *words).build_network(TinyTask(), 0), 0.9)
    again.load(read_checkpoint(Run.open(tmp_path / "run").last))
    kept = StateFormat.of_network(again.network)
    assert kept.width == 8 and len(kept.kept) == 2


def test_an_average_that_begins_again_is_what_is_trained_then() -> None:
    source = tiny_recipe().build_network(TinyTask(), 0)
    average = Average(source, 0.9)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter += 1
    average.update(1)
    assert not torch.equal(average.network.readout.bias, source.readout.bias)  # type: ignore[union-attr]
    average.restart()
    assert all(
        torch.equal(value, average.network.state_dict()[name])
        for name, value in source.state_dict().items()
    )
    assert average.network is not source


def test_all_parts_with_a_history_take_their_turn() -> None:
    """Masks come after what changes the weights, or their average."""
    parts = Mock()
    callbacks = Callbacks(parts.compression, parts.average, parts.running_mean)
    callbacks.after_step(3)
    mask = call.compression.after_step
    assert parts.mock_calls == [
        call.average.update(3),
        mask(parts.average.network),
        call.running_mean.update(),
    ]
    parts.reset_mock()
    callbacks.end_epoch()
    assert parts.mock_calls == [call.running_mean.settle(), mask()]
    parts.reset_mock()
    callbacks.restart()
    assert parts.mock_calls == [call.average.restart(), call.running_mean.restart()]


def test_a_checkpoint_without_the_average_is_refused(tmp_path: Path) -> None:
    train(tiny_recipe("--training.epochs=1"), tmp_path / "plain", task=TinyTask())
    average = Average(tiny_recipe().build_network(TinyTask(), 0), 0.9)
    last = Run.open(tmp_path / "plain").last
    with refuses(last, "file"):
        average.load(read_checkpoint(last))


# ---- norm -------------------------------------------------------------------------------------------------------------------


def test_a_model_keeps_its_norm_and_predicts_as_it_does(tmp_path: Path, named: None) -> None:
    train(tiny_recipe(*NORM, "--training.epochs=1"), tmp_path / "run")
    model = srnn.load(tmp_path / "run")
    network = model.network
    assert isinstance(network, SRNN) and has_norm(network)
    assert architecture(network)[0].endswith(", batch norm") and not architecture(network)[
        -1
    ].endswith("norm")
    x = torch.rand(30, 3, generator=torch.Generator().manual_seed(0)).numpy()
    folded = Trained(network.fold(), model.task, model.recipe)
    own = srnn.from_network(network, "abc")
    again = srnn.load(own.save(tmp_path / "m.safetensors"))
    scores: list[Any] = [
        one.predict([x])[0].scores
        for one in (model, srnn.Model(folded.network, model.task, model.recipe), own, again)
    ]
    assert (scores[1] == scores[0]).all() and (scores[2] == scores[0]).all()
    np.testing.assert_allclose(scores[3], scores[0], rtol=1e-5)  # on the cpu backend
    # Training goes on from it.
    train(
        tiny_recipe(*NORM, "--training.epochs=1", f"--training.start_from={tmp_path / 'run'}"),
        tmp_path / "more",
    )
    counted = read_checkpoint(Run.open(tmp_path / "more").last).tensors[
        "network.layers.0.norm.batches"
    ]
    assert int(counted) == 8


@pytest.mark.slow
def test_pruned_and_rounded_it_is_folded(tmp_path: Path, named: None) -> None:
    train(
        tiny_recipe(*NORM, *AVERAGE, "--network.neuron=lif", "--training.epochs=1"),
        tmp_path / "run",
    )
    whole = Run.open(tmp_path / "run").trained()
    curve = prune_run(tmp_path / "run", tmp_path / "pruned", [0.5], options=TuningOptions(epochs=1))
    points = curve["points"]
    assert points[1]["weights_not_zero"] < points[0]["weights_not_zero"]
    assert (
        points[0]["accuracy"] == evaluate(whole).report["accuracy"]
        and points[0]["int8"] is not None
    )
    pruned = Run.open(tmp_path / "pruned" / "weights-0.5").trained()
    assert pruned.recipe.network.norm == "none" and not has_norm(pruned.network)
    for what in (["dead", []], ["neurons", [0.25]]):
        found = prune_run(
            tmp_path / "run",
            tmp_path / what[0],
            what[1],
            what=what[0],
            options=TuningOptions(epochs=1),
        )
        assert found["points"][0] == points[0]
    rounded = quantise_run(
        tmp_path / "run", tmp_path / "int8", TuningOptions(epochs=1, state_bits=16)
    )
    assert rounded["after"]["int8"]["saturated"] == 0


def test_int8_from_the_beginning_is_refused(tmp_path: Path) -> None:
    recipe = tiny_recipe(*NORM, "--network.neuron=lif", "--training.quantise=int8")
    with pytest.raises(
        SrnnError, match=r"^training\.quantise: .* batch norm .*srnn compress.*folds it\.$"
    ):
        train(recipe, tmp_path / "run", task=TinyTask())
    assert not (tmp_path / "run").exists()
