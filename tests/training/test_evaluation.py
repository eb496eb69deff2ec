"""Evaluation: the report's keys and numbers against a direct calculation; seeds, padding,
unlabelled steps."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError
from srnn.data.batches import Sequences
from srnn.measure.analysis import analyse
from srnn.model.trained import Trained
from srnn.training.evaluation import evaluate, evaluate_sequences
from support.refusing import refuses
from support.tiny import TinyStepTask, TinyTask, tiny_recipe

STEP_LOSS = ["--loss.name=nll", "--loss.start=2"]


def _setup(task: TinyTask, *words: str, seed: int = 0) -> Trained:
    recipe = tiny_recipe(*(STEP_LOSS if task.kind == "per_step" else []), *words)
    return Trained(recipe.build_network(task, seed=0), task, recipe, seed)


def test_per_sequence_report() -> None:
    task = TinyTask()
    trained = _setup(task, "--network.neuron.initial={}", seed=3)
    network, loss = trained.network, trained.loss
    found = evaluate(trained, "test", batch_size=7)
    data = task.load("test")
    with torch.no_grad():
        result = network.run(torch.from_numpy(data.x))
    predicted = result.output.mean(1).argmax(-1).numpy()
    assert found.report == {
        "task": "tiny",
        "split": "test",
        "n_sequences": 30,
        "accuracy": pytest.approx((predicted == data.y).mean()),
        "firing_rate": {
            "layers": [pytest.approx(float(result.layers[0].output.mean()))],
            "mean": pytest.approx(float(result.layers[0].output.mean())),
        },
        "parameters": sum(p.numel() for p in network.parameters()),
        "seed": 3,
    }
    assert json.loads(json.dumps(found.report)) == found.report
    confusion = np.zeros((3, 3), dtype=int)
    np.add.at(confusion, (data.y, predicted), 1)
    assert (found.confusion == confusion).all()
    assert found.loss == pytest.approx(
        float(loss(result.output, torch.from_numpy(data.y)).loss.detach()), rel=1e-5
    )


@pytest.mark.parametrize("padded", [False, True])
def test_per_step_accuracies(padded: bool) -> None:
    """All steps from ``start`` with unlabelled ones as their class, and labelled ones alone;
    padding is no step."""
    task = TinyStepTask(padded=padded)
    trained = _setup(task, "--network.neuron.initial={}")
    network = trained.network
    found = evaluate(trained, "validation", batch_size=8)
    data = task.load("validation")
    right_all = right_labelled = all_steps = labelled_steps = 0
    spikes = steps = 0.0
    for index, (x, y) in enumerate(zip(data.x, data.y, strict=True)):
        length = 12 if data.lengths is None else int(data.lengths[index])
        with torch.no_grad():
            result = network.run(torch.from_numpy(x[None, :length]))
        predicted = result.output[0].argmax(-1).numpy()
        spikes += float(result.layers[0].output.sum())
        steps += 8 * length
        for step in range(min(2, length - 1), length):
            right_all += predicted[step] == max(y[step], 0)
            all_steps += 1
            right_labelled += y[step] >= 0 and predicted[step] == y[step]
            labelled_steps += y[step] >= 0
    assert found.report["accuracy"] == pytest.approx(right_all / all_steps)
    assert found.report["accuracy_labelled"] == pytest.approx(right_labelled / labelled_steps)
    assert found.report["firing_rate"]["mean"] == pytest.approx(spikes / steps)
    assert found.confusion.sum() == labelled_steps
    assert list(found.report) == [
        "task", "split", "n_sequences", "accuracy", "accuracy_labelled", "firing_rate", "parameters", "seed",
    ]  # fmt: skip


def test_the_mean_rate_is_over_neurons_not_layers() -> None:
    task = TinyTask()
    trained = _setup(task, "--network.hidden=[2, 30]")
    rate = evaluate(trained).report["firing_rate"]
    assert rate["mean"] == pytest.approx((2 * rate["layers"][0] + 30 * rate["layers"][1]) / 32)


def test_only_trained_scalars_are_counted() -> None:
    task = TinyTask()
    trained = _setup(task)
    free = evaluate(trained).report["parameters"]
    # in 3x8, rec 8x8, bias 8, two time constants 16; readout 8x3, bias 3, time constant 3
    assert free == 24 + 64 + 8 + 16 + 24 + 3 + 3
    fixed = _setup(task, "--network.neuron.trained=[]")
    assert evaluate(fixed).report["parameters"] == free - 16


def test_a_seed_fixes_random_initial_states() -> None:
    task = TinyTask()
    trained = _setup(task, "--network.neuron.initial={u: 'uniform(0, 1)'}")
    state = torch.get_rng_state()
    rates = [
        evaluate(replace(trained, seed=seed)).report["firing_rate"]["mean"] for seed in (0, 0, 1)
    ]
    assert rates[0] == rates[1] != rates[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_relu_layers_report_how_often_they_are_active() -> None:
    task = TinyTask()
    trained = _setup(task, "--network.neuron=relu")
    rate = evaluate(trained).report["firing_rate"]["mean"]
    assert 0 < rate < 1


def test_the_networks_mode_is_kept() -> None:
    task = TinyTask()
    trained = _setup(task)
    for mode in (True, False):
        trained.network.train(mode)
        evaluate(trained)
        assert trained.network.training is mode


def test_data_that_do_not_fit_are_refused() -> None:
    task = TinyTask()
    trained = _setup(task)
    with pytest.raises(
        SrnnError, match=r"sequence 7, step 3, channel 1 \(all counted from 0\) is nan"
    ):
        evaluate(replace(trained, task=TinyTask(poison=float("nan"))), "train")
    with pytest.raises(SrnnError, match="shape"):
        evaluate(replace(trained, network=SRNN.paper(4, [3], 3)))


@pytest.mark.parametrize("task", [TinyTask(), TinyStepTask()])
def test_outputs_that_are_not_finite_have_no_accuracy(task: TinyTask) -> None:
    """The first class would seem to be recognised each time. Training itself sees them by the loss,
    and goes back."""
    trained = _setup(task)
    with torch.no_grad():
        trained.network.readout.weight_in.fill_(3e38)
    for measure in (evaluate, partial(analyse, split="validation")):
        with refuses("", "data"):
            measure(trained)
    assert not np.isfinite(
        evaluate_sequences(trained, Sequences(task, "validation"), "validation", finite=False).loss
    )
