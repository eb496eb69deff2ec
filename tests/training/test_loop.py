"""Training: it learns, it repeats, it chooses by validation, it survives a divergence; schedules
and parameter groups."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError
from srnn.model.checkpoints import read_checkpoint
from srnn.model.recipe import OptimizerConfig, ScheduleConfig
from srnn.nn.baselines import ClassicalRNN
from srnn.progress import Reporter
from srnn.training import epochs, stepping
from srnn.training.loop import train
from srnn.training.optimisation import (
    build_optimizer,
    schedule_factor,
    set_learning_rate,
    subnormals_as_zero,
)
from srnn.training.runs import Run
from srnn.training.seeds import derive_seed, epoch_order
from support.refusing import refuses
from support.tiny import TinyStepTask, TinyTask, tiny_recipe


def _records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _weights(folder: Path, which: str = "last") -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "checkpoints" / f"{which}.safetensors").tensors


def test_it_learns_and_writes_a_run(tmp_path: Path) -> None:
    recipe = tiny_recipe("--training.epochs", "20")
    result = train(recipe, tmp_path / "run", task=TinyTask(), seed=1)
    assert result["accuracy"] > 0.8
    assert set(result) == {
        "task", "split", "n_sequences", "accuracy", "firing_rate", "parameters", "seed", "loss", "best_epoch", "epochs",
        "seconds", "run",
    }  # fmt: skip
    assert (result["task"], result["split"], result["n_sequences"], result["seed"]) == (
        "tiny",
        "validation",
        30,
        1,
    )
    run = Run.open(tmp_path / "run")
    assert (run.recipe, run.seed) == (recipe, 1)
    records = _records(run.path)
    assert [record["epoch"] for record in records] == list(range(1, 21))
    # The result is the best epoch's, exactly: same weights, same initial states.
    assert result["accuracy"] == max(record["validation"]["accuracy"] for record in records)
    written = json.loads((run.path / "result.json").read_text())
    assert written == result
    assert json.loads((run.path / "environment.json").read_text())["versions"]["torch"]


@pytest.mark.parametrize(
    "task", [TinyTask(padded=True), TinyStepTask(padded=True)], ids=["sequence", "step"]
)
def test_padded_and_per_step_tasks_train(task: TinyTask, tmp_path: Path) -> None:
    words = (
        ["--loss.name=nll", "--loss.start=2", "--loss.unlabelled=as_class"]
        if task.kind == "per_step"
        else []
    )
    result = train(tiny_recipe(*words), tmp_path / "run", task=task)
    assert ("accuracy_labelled" in result) == (task.kind == "per_step")
    assert math.isfinite(_records(tmp_path / "run")[-1]["train"]["loss"])


def test_one_seed_one_result(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(tiny_recipe(), tmp_path / name, task=TinyTask(), seed=seed)
        torch.rand(1)  # the state of torch's own generator plays no part
    a, b, c = (_weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_training_leaves_the_callers_generators_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(tiny_recipe("--training.epochs=1"), tmp_path / "run", task=TinyTask())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("rule", ["bptt", "e-prop"])
def test_torchs_default_precision_is_not_the_recipes(rule: str, tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        train(
            tiny_recipe("--training.epochs=1", f"--training.rule={rule}"),
            tmp_path / "run",
            task=TinyTask(),
        )
        trained = Run.open(tmp_path / "run").trained()
    finally:
        torch.set_default_dtype(torch.float32)
    assert {parameter.dtype for parameter in trained.network.parameters()} == {torch.float32}


def test_early_stopping_and_best_by_loss(tmp_path: Path) -> None:
    words = [
        "--training.epochs=50",
        "--training.optimizer.lr=1e-12",
        "--training.early_stopping.patience=3",
    ]
    result = train(tiny_recipe(*words), tmp_path / "run", task=TinyTask())
    assert result["epochs"] < 50
    records = _records(tmp_path / "run")
    best = [record["epoch"] for record in records if record["best"]][-1]
    assert result["epochs"] == best + 3
    result = train(
        tiny_recipe("--training.early_stopping.metric=loss"), tmp_path / "loss", task=TinyTask()
    )
    records = _records(tmp_path / "loss")
    lowest = min(records, key=lambda record: record["validation"]["loss"])
    assert result["accuracy"] == lowest["validation"]["accuracy"]
    with refuses("training.early_stopping.metric", "conflict"):
        train(
            tiny_recipe("--training.early_stopping.metric=accuracy_labelled"),
            tmp_path / "x",
            task=TinyTask(),
        )
    assert not (tmp_path / "x").exists()


def test_rate_regulariser_lowers_the_rate(tmp_path: Path) -> None:
    rates = []
    for name, words in (("free", []), ("held", ["--loss.rate", "{weight: 50, upper: 0.02}"])):
        result = train(
            tiny_recipe("--training.epochs=10", *words), tmp_path / name, task=TinyTask()
        )
        rates.append(result["firing_rate"]["mean"])
    assert rates[1] < 0.5 * rates[0]


class _Events(Reporter):
    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, text: str) -> None:
        self.events.append(text)


def _break_loss(monkeypatch: pytest.MonkeyPatch, when) -> None:
    """Make the loss NaN where ``when(count)`` says so, count being the number of training batches
    so far."""
    original, count = stepping.rate_penalty, [0]

    def penalty(*arguments):
        count[0] += 1
        return original(*arguments) + (math.nan if when(count[0]) else 0.0)

    monkeypatch.setattr(stepping, "rate_penalty", penalty)


def test_a_divergence_goes_back_and_halves_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break_loss(monkeypatch, lambda count: count in (6, 9))
    reporter = _Events()
    train(
        tiny_recipe("--training.schedule.name=constant"),
        tmp_path / "run",
        task=TinyTask(),
        reporter=reporter,
    )
    assert len(reporter.events) == 2 and "epoch 2, batch 2" in reporter.events[0]
    records = _records(tmp_path / "run")
    assert [record.get("event") for record in records].count("restored") == 2
    epochs = [record for record in records if "event" not in record]
    assert [record["epoch"] for record in epochs] == [1, 2, 3, 4]
    assert [record["lr"] for record in epochs] == [0.02, 0.005, 0.005, 0.005]


def test_a_divergence_names_its_own_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one before, though an unhealthy layer that is left alone was found after it; nor, in
    validation, one after the last."""
    _break_loss(monkeypatch, lambda count: count == 6)
    silent = (
        "--network.neuron.threshold=100",
        "--training.start=drawn",
        "--training.recover=false",
    )
    reporter, arguments = (
        _Events(),
        (*silent, "--training.checkpoint_every=1", "--training.epochs=2"),
    )
    train(tiny_recipe(*arguments), tmp_path / "unhealthy", task=TinyTask(), reporter=reporter)
    assert next(event for event in reporter.events if "not finite" in event).startswith(
        "epoch 2, batch 2: "
    )
    evaluate, reporter, calls = epochs.evaluate_sequences, _Events(), [0]

    def broken(*given, **named):
        calls[0] += 1
        evaluation = evaluate(*given, **named)
        return dataclasses.replace(evaluation, loss=math.nan) if calls[0] == 2 else evaluation

    monkeypatch.setattr(epochs, "evaluate_sequences", broken)
    train(tiny_recipe("--training.epochs=2"), tmp_path / "run", task=TinyTask(), reporter=reporter)
    assert len(reporter.events) == 1 and reporter.events[0].startswith(
        "epoch 2, batch 4: not finite (validation loss nan)"
    )


def _break_gradient(monkeypatch: pytest.MonkeyPatch, when) -> None:
    """Let the gradient overflow where ``when(count)`` says so, count being the number of training
    batches so far."""
    from lightning_fabric import Fabric  # which costs collecting a second and a half

    original, count = Fabric.clip_gradients, [0]

    def clip(*arguments, **named):
        count[0] += 1
        norm = original(*arguments, **named)
        return torch.tensor(math.inf) if when(count[0]) else norm

    monkeypatch.setattr(Fabric, "clip_gradients", clip)


def test_a_gradient_that_overflows_makes_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break_gradient(monkeypatch, lambda count: True)
    recipe, reporter = tiny_recipe("--training.batch_size=60", "--training.epochs=1"), _Events()
    train(recipe, tmp_path / "run", task=TinyTask(), reporter=reporter, seed=3)
    assert (
        len(reporter.events) == 1
        and "epoch 1, batch 1" in reporter.events[0]
        and "inf" in reporter.events[0]
    )
    first, weights = recipe.build_network(TinyTask(), 3).state_dict(), _weights(tmp_path / "run")
    for name, tensor in first.items():
        assert torch.equal(
            weights[f"network.{name}" if f"network.{name}" in weights else name], tensor
        ), name


def test_skipped_batches_change_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break_gradient(monkeypatch, lambda count: count in (6, 9))
    reporter = _Events()
    train(
        tiny_recipe("--training.schedule.name=constant"),
        tmp_path / "run",
        task=TinyTask(),
        reporter=reporter,
    )
    assert len(reporter.events) == 2
    records = _records(tmp_path / "run")
    assert [record.get("event") for record in records].count("skipped") == 2
    assert [record["lr"] for record in records if "event" not in record] == [0.02] * 4


def test_too_many_overflows_in_an_epoch_go_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break_gradient(monkeypatch, lambda count: count in (6, 7))
    arguments = ("--training.schedule.name=constant", "--training.max_skipped=1")
    train(tiny_recipe(*arguments), tmp_path / "run", task=TinyTask())
    events = [record["event"] for record in _records(tmp_path / "run") if "event" in record]
    assert events == ["skipped", "restored"]


def test_a_hopeless_divergence_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break_loss(monkeypatch, lambda count: count > 6)
    with pytest.raises(
        SrnnError, match=r"Training diverged at epoch 2, batch 1 .*2 times did not help"
    ):
        train(tiny_recipe("--training.max_restores=2"), tmp_path / "run", task=TinyTask())
    for tensor in _weights(tmp_path / "run").values():
        assert torch.isfinite(tensor).all()


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    train(tiny_recipe("--training.clip_norm=1e-9"), tmp_path / "clipped", task=TinyTask())
    assert all(record["gradient_norm"] > 1e-6 for record in _records(tmp_path / "clipped"))


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_data_that_are_not_finite_are_refused_before_anything_is_written(
    poison: float, tmp_path: Path
) -> None:
    with pytest.raises(SrnnError, match="sequence 7, step 3, channel 1"):
        train(tiny_recipe(), tmp_path / "run", task=TinyTask(poison=poison))
    assert not (tmp_path / "run").exists()


def test_a_seed_that_a_run_cannot_keep_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    for seed in (-1, 2**63, 1.5, "1"):
        with refuses("seed"):
            train(tiny_recipe(), tmp_path / "run", task=TinyTask(), seed=seed)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
    train(
        tiny_recipe("--training.epochs", "1"), tmp_path / "run", task=TinyTask(), seed=np.int64(1)
    )  # type: ignore[arg-type]


def test_lr_scale_and_weight_decay_groups() -> None:
    network = SRNN(3, [4], 2, norm="batch", neuron="alif")
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    config = OptimizerConfig("adamw", lr=1e-2, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-5)
    optimizer = build_optimizer(
        network, config, {"layers.*.tau_*": 3.0, "readout.*.tau_*": 2.0, "*": 1.0}
    )
    assert all(
        (group["betas"], group["eps"]) == ((0.8, 0.95), 1e-5) for group in optimizer.param_groups
    )
    set_learning_rate(optimizer, 1e-2)
    found = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert found.keys() == set(names.values())
    assert (
        found["layers.0.params.tau_mem"]
        == found["layers.0.params.tau_adp"]
        == (pytest.approx(3e-2), 0.0)
    )
    assert found["readout.params.tau_mem"] == (pytest.approx(2e-2), 0.0)
    assert found["layers.0.weight_rec"] == found["readout.bias"] == (1e-2, 0.1)
    assert found["layers.0.norm.gamma"] == (1e-2, 0.0)
    with refuses("training.lr_scale", "name"):
        build_optimizer(network, config, {"layer.*": 2.0})


@pytest.mark.parametrize(
    ("build", "lasting"),
    [
        (lambda: ClassicalRNN(3, [4], 2, "lstm", norm="layer"), {"norms.0.weight", "norms.0.bias"}),
        (
            lambda: SRNN(3, [4], 2, "lif", encoder="learned_ternary", norm="none"),
            {"encoder.log_threshold", "layers.0.params.tau_mem", "readout.params.tau_mem"},
        ),
    ],
)
def test_norms_thresholds_and_time_constants_do_not_decay(build: Any, lasting: set[str]) -> None:
    network = build()
    optimizer = build_optimizer(network, OptimizerConfig("adamw", weight_decay=0.1), {})
    decayed = {
        id(one)
        for group in optimizer.param_groups
        if group["weight_decay"]
        for one in group["params"]
    }
    assert {name for name, one in network.named_parameters() if id(one) not in decayed} == lasting


def test_schedules() -> None:
    def at(name: str, epoch: int, done: float, **options: float) -> float:
        return schedule_factor(ScheduleConfig(name, **options), epoch, done)  # type: ignore[arg-type]

    assert [at("step", epoch, 0.0, every=50, factor=0.5) for epoch in (0, 49, 50, 100)] == [
        1,
        1,
        0.5,
        0.25,
    ]
    assert [at("linear", 0, done) for done in (0, 0.25, 1)] == [1, 0.75, 0]
    assert [at("cosine", 0, done) for done in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert at("cosine", 0, 1.0, final=0.1) == pytest.approx(0.1)
    assert at("linear", 0, 0.5, final=0.1) == pytest.approx(0.55)
    assert [at("one_cycle", 0, done) for done in (0, 0.15, 0.3, 1)] == pytest.approx(
        [0.04, 0.52, 1, 0]
    )
    assert at("constant", 9, 0.9) == 1
    assert [at("cosine", 0, done, warmup=0.1) for done in (0, 0.05, 0.1, 1)] == pytest.approx(
        [0, 0.5, 1, 0]
    )
    assert at("step", 60, 0.05, every=50, warmup=0.1) == pytest.approx(0.25)
    for name in ("constant", "step", "linear", "cosine", "one_cycle"):
        assert all(0 <= at(name, 3, i / 100, warmup=0.2) <= 1 for i in range(101))


def test_seeds_differ_by_place_and_orders_are_permutations() -> None:
    seeds = {
        derive_seed(seed, "batch", epoch, step)
        for seed in range(3)
        for epoch in range(10)
        for step in range(10)
    }
    assert len(seeds) == 300 and all(0 <= seed < 2**63 for seed in seeds)
    orders = [epoch_order(0, epoch, 20).tolist() for epoch in range(2)]
    assert orders[0] != orders[1] and all(sorted(order) == list(range(20)) for order in orders)


def test_recipe_is_untouched_by_training(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    before = dataclasses.asdict(recipe)
    train(recipe, tmp_path / "run", task=TinyTask())
    assert dataclasses.asdict(recipe) == before


@pytest.mark.parametrize("number", [1, 2])
def test_subnormal_numbers_are_zero_while_training_on_every_thread(number: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        many = torch.full((1_000_000,), 1e-40)  # enough for torch to share it out among its threads
        if torch.set_flush_denormal(False):
            with subnormals_as_zero():
                assert not (many * 1).view(torch.int32).any()
            assert (many * 1).view(torch.int32).all()
            with pytest.raises(ValueError), subnormals_as_zero():
                raise ValueError
            assert (many * 1).view(torch.int32).all()
            torch.set_flush_denormal(True)  # whoever had it so keeps it
            with subnormals_as_zero():
                pass
            assert not (many[:10] * 1).view(torch.int32).any()
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)
