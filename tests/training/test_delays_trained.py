"""Learned delays in a training: they move, narrow by the epoch, resume to the same bits; the model has integers, everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import srnn
from srnn import SRNN, Stream
from srnn.nn.fixedpoint.device import run_float32
from srnn.training import loop
from srnn.training.checkpoints import read_checkpoint
from srnn.training.evaluation import evaluate
from srnn.training.loop import train
from srnn.training.optimisation import build_optimizer
from srnn.training.recipes.schema import OptimizerConfig
from srnn.training.runs import open_trained
from support.compiled import build, compilers
from support.exporting import exported
from support.tiny import TinyTask, tiny_recipe

RECIPE = tiny_recipe(
    "--network.delays={recurrent: 'uniform(0, 4)', input: 1.4, learned: true, sigma: 2}",
    "--training.lr_scale={layers.*.delay_*: 20}", "--training.epochs=3", "--training.checkpoint_every=2",
)  # fmt: skip


class _Stop(Exception):
    pass


def test_learned_delays_are_trained_resumed_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sigmas, save, saves = list[float](), loop._save, [0]

    def watched(run, trained, *rest) -> None:
        sigmas.append(trained.network.layers[0].sigma)
        save(run, trained, *rest)
        saves[0] -= 1
        if saves[0] == 0:
            raise _Stop

    monkeypatch.setattr(loop, "_save", watched)
    result = train(RECIPE, tmp_path / "whole", task=TinyTask())
    assert sorted(set(sigmas), reverse=True) == pytest.approx([2 * 0.95 ** (100 * e / 3) for e in range(3)])
    for stop in (2, 4):  # within the first and the second epoch
        saves[0] = stop
        with pytest.raises(_Stop):
            train(RECIPE, tmp_path / "cut", task=TinyTask(), resume=True)
    train(RECIPE, tmp_path / "cut", task=TinyTask(), resume=True)
    (last, best), cut = (
        [
            read_checkpoint(tmp_path / run / name).tensors
            for name in ("checkpoints/last.safetensors", "model.safetensors")
        ]
        for run in ("whole", "cut")
    )
    for ours, theirs in zip((last, best), cut, strict=True):
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)

    drawn = RECIPE.build_network(TinyTask(), 0).state_dict()
    for name in ("layers.0.delay_rec", "layers.0.delay_in"):
        moved = last[f"network.{name}"] - drawn[name]
        assert moved.abs().min() > 0.05
        assert best[f"network.{name}"].dtype == torch.int64 and (best[f"network.{name}"] >= 0).all()
    trained = open_trained(tmp_path / "whole")
    assert evaluate(trained, "validation").report["accuracy"] == result["accuracy"]
    again = srnn.load(srnn.load(tmp_path / "whole").save(tmp_path / "m.safetensors"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.network.state_dict().values(), trained.network.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("compiler", compilers()[:1])
def test_evaluation_stream_and_c_round_alike(compiler: str, tmp_path: Path) -> None:
    """To the bit; and what is frozen is what a network with fixed delays has."""
    delays = {"recurrent": "uniform(0, 5)", "input": "uniform(0, 3)"}
    net, fixed = (
        SRNN(3, [9, 7], 2, "alif", delays={**delays, "learned": learned}, backend="cpu", gain_in=4)
        for learned in (True, False)
    )
    state = net.state_dict()
    fixed.load_state_dict({key: value.round() if ".delay" in key else value for key, value in state.items()})
    x = (np.random.default_rng(0).random((2, 40, 3)) < 0.4).astype(np.float32)
    net.eval()
    with torch.no_grad():
        result = net.run(torch.from_numpy(x))
    assert result.layers[1].rate() > 0.02
    stream = Stream(net)
    assert np.array_equal(stream.run(x[0]), result.output[0].numpy())
    for ours, theirs in zip(net.freeze().layers, fixed.freeze().layers, strict=True):
        assert ours.delays.keys() == theirs.delays.keys()
        assert all(np.array_equal(value, theirs.delays[key]) for key, value in ours.delays.items())
    plan, model = exported(net, tmp_path / "c")
    assert plan.layers[0].rings
    expected = run_float32(model, x)
    scores, _ = build(tmp_path / "c", plan, compiler).run(x, trace=True)
    assert (scores == expected.output).all()
    assert all((a == b.output.numpy()).all() for a, b in zip(expected.emitted, result.layers[:-1], strict=False))


def test_delays_have_a_rate_of_their_own_and_do_not_decay() -> None:
    network = RECIPE.build_network(TinyTask(), 0)
    settings = OptimizerConfig(name="adamw", lr=0.1, weight_decay=0.5)
    optimizer = build_optimizer(network, settings, RECIPE.training.lr_scale)
    delays = {id(parameter) for name, parameter in network.named_parameters() if ".delay_" in name}
    groups = [group for group in optimizer.param_groups if delays & {id(parameter) for parameter in group["params"]}]
    assert [(group["scale"], group["weight_decay"], len(group["params"])) for group in groups] == [(20, 0, 2)]


def test_a_run_with_learned_delays_can_be_continued_with_fixed_ones(tmp_path: Path) -> None:
    train(RECIPE, tmp_path / "run", task=TinyTask())
    fixed = tiny_recipe("--network.delays={recurrent: 3, input: 0}", "--training.epochs=1",
                        f"--training.start_from={tmp_path / 'run'}")  # fmt: skip
    train(fixed, tmp_path / "fixed", task=TinyTask())
    ours, theirs = (read_checkpoint(tmp_path / run / "model.safetensors").tensors for run in ("run", "fixed"))
    assert torch.equal(ours["network.layers.0.delay_rec"], theirs["network.layers.0.delay_rec"])
