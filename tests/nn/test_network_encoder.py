"""A trained encoder in a network: what it computes, trains, is stored, streamed, exported and
counted; and clear refusals."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError, Stream
from srnn.data.batches import Batch, Sequences
from srnn.data.encoders import ternary
from srnn.measure.analysis.neurons import neuron_activity
from srnn.measure.energy import ActivityTally, break_even, describe_network, load_technology
from srnn.measure.energy.compared import compare_energy
from srnn.model.checkpoints import load_network, read_checkpoint
from srnn.model.opening import open_trained
from srnn.model.recipe import OptimizerConfig
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.network.encoding import LearnedTernary
from srnn.studies.pruning import measure_run
from srnn.training.loop import train
from srnn.training.optimisation import build_optimizer
from srnn.training.recipes import Recipe, as_baseline, parse_recipe
from srnn.training.runs import Run
from support.refusing import refuses
from support.tiny import TinyTask, tiny_recipe

X = np.random.default_rng(0).normal(0, 0.6, (3, 40, 4)).astype(np.float32)
TRAINED = {"name": "learned_ternary", "threshold": 0.3, "per_channel": True}


def network(encoder: Any = TRAINED, backend: str = "auto", **options: Any) -> SRNN:
    generator = torch.Generator().manual_seed(0)
    net = SRNN.paper(4, [9, 6], 3, encoder=encoder, backend=backend, generator=generator, **options)
    if net.encoder is not None:  # channels that differ
        with torch.no_grad():
            net.encoder.log_threshold += torch.arange(net.encoder.log_threshold.numel()) * 0.4
            for name, weight in net.named_parameters():
                weight *= 4 if name.endswith("weight_in") else 1
    return net


def encoded(net: SRNN) -> np.ndarray:
    assert net.encoder is not None
    theta = net.encoder.threshold.detach().numpy()
    return np.stack([ternary(X[..., c], float(theta[c % len(theta)])) for c in range(4)], -1)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("options", [{}, {"substeps": 2}, {"bidirectional": True}])
def test_a_network_reads_what_its_encoder_makes(backend: str, options: dict[str, Any]) -> None:
    net = network(backend=backend, **options)
    bare = network(None, backend, **options)
    bare.load_state_dict(
        {name: value for name, value in net.state_dict().items() if not name.startswith("encoder.")}
    )
    lengths = torch.tensor([40, 7, 0])
    ours, theirs = (
        n.run(torch.from_numpy(x), lengths=lengths) for n, x in ((net, X), (bare, encoded(net)))
    )
    assert torch.equal(ours.output, theirs.output) and ours.layers[0].output.any()
    ours.output.square().sum().backward()
    assert net.encoder is not None and net.encoder.log_threshold.grad is not None
    assert net.encoder.log_threshold.grad.abs().max() > 0


def test_new_networks_without_one_are_what_they_were() -> None:
    assert list(network(None).state_dict()) == [
        k for k in network().state_dict() if not k.startswith("encoder.")
    ]
    one = network("learned_ternary").encoder
    assert one is not None and one.threshold.tolist() == pytest.approx([0.05])
    shared = LearnedTernary()
    assert network(shared).encoder is shared and shared.threshold.shape == (
        1,
    )  # one threshold for all channels
    mine = LearnedTernary(4, 0.2, "linear")
    assert network(mine).encoder is mine


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("streams", [None, 3])
def test_streams(streams: int | None, backend: str) -> None:
    net, x = network(backend=backend), X if streams else X[0]
    with torch.no_grad():
        expected = net(torch.from_numpy(X if streams else X[:1]))[0].numpy()
    expected = expected if streams else expected[0]
    stream = Stream(net, streams)
    found = stream.run(x)
    assert np.abs(found - expected).max() < 1e-5 and np.abs(expected).max() > 0.01
    for again in (stream, pickle.loads(pickle.dumps(stream))):
        again.reset()
        steps = np.stack([again.push(np.ascontiguousarray(x[..., t, :])) for t in range(40)], -2)
        assert np.array_equal(steps, found)
    assert net.encoder is not None  # the stream has a copy
    stream.reset()
    events = stream.push_events([[1]] * 3 if streams else [1])
    stream.reset()
    assert np.array_equal(
        events, stream.push(np.broadcast_to(np.eye(4, dtype=np.float32)[1], x[..., 0, :].shape))
    )


@pytest.mark.parametrize("form", ["step", "sequence"])
def test_onnx(form: Any) -> None:
    pytest.importorskip("onnxruntime")
    from srnn.deploy.export.onnx import greatest_difference, to_model

    for net in (network(), network("learned_ternary", substeps=2)):
        assert greatest_difference(to_model(net, form), net, torch.from_numpy(X)) < 1e-5


def test_what_has_no_such_input_says_so() -> None:
    with refuses("encoder", "unsupported"):
        device_network(network())
    pytest.importorskip("nir")
    from srnn.deploy.export.nir import to_graph

    with refuses("encoder", "unsupported"):
        to_graph(network())


def test_inputs_are_counted_behind_it() -> None:
    net, spikes = network(), int(np.abs(encoded(network())).sum())
    counts = ActivityTally(net)
    batch = Batch(torch.from_numpy(X), torch.zeros(3, dtype=torch.long), None)
    with torch.no_grad():
        counts.add(batch, net.run(batch.x))
    assert neuron_activity(counts).input_events == spikes and 0 < spikes < X.size

    found = counts.activity()
    assert found.spikes and np.mean(found.density) == pytest.approx(spikes / X.size)


def test_break_even_is_of_what_the_network_reads_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = TinyTask.load
    monkeypatch.setattr(
        TinyTask, "load", lambda *given: replace(data := load(*given), x=0.1 + data.x)
    )  # analog
    train(tiny_recipe("--network.encoder", "{name: learned_ternary, threshold: "
                                           "0.5}", "--training.epochs=1"),
          tmp_path / "run", task=TinyTask())  # fmt: skip
    found = compare_energy([tmp_path / "run"], ["relu", "lstm"])
    own, relu, lstm = (report["counts"] for report in found["networks"])
    assert found["input"]["spikes"] is False and own["effective_macs"] == relu["synaptic_acs"] == 0
    assert own["effective_acs"] > 0 and relu["effective_macs"] < lstm["effective_macs"]
    trained, split = open_trained(tmp_path / "run"), Sequences(TinyTask(), "validation")
    tally = ActivityTally(trained.network)
    for batch in split.batches(128):
        tally.add(batch)
    dense = as_baseline(trained.recipe, "relu").build_network(trained.task, 0)
    expected = break_even(
        describe_network(trained.network),
        tally.activity(),
        describe_network(dense),
        load_technology(),
    )
    assert found["break_even"]["relu"] == pytest.approx(expected)


def test_a_recipe_trains_it_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a run: the threshold moves, is stored and loaded; weight decay leaves it alone."""
    recipe = tiny_recipe(
        "--network.encoder", "{name: learned_ternary, threshold: 0.5}", "--training.epochs=2"
    )
    train(recipe, tmp_path / "run", task=TinyTask())
    run = Run.open(tmp_path / "run")
    assert run.recipe.network.encoder == {"name": "learned_ternary", "threshold": 0.5}
    net = run.recipe.network.build(3, TinyTask().outputs, 0)
    assert isinstance(net, SRNN) and net.encoder is not None
    load_network(net, read_checkpoint(run.best))
    monkeypatch.setattr(Recipe, "create_task", lambda self: TinyTask())
    with refuses("encoder", "unsupported"):
        measure_run(tmp_path / "run")
    found = net.encoder.threshold.item()
    assert abs(found - 0.5) > 1e-6 and math.isfinite(found)
    plain = replace(run.recipe, network=replace(run.recipe.network, encoder=None)).network.build(
        3, net.outputs, 0
    )
    with pytest.raises(SrnnError, match=r"encoder\.log_threshold"):
        load_network(plain, read_checkpoint(run.best))
    groups = build_optimizer(
        net, OptimizerConfig(weight_decay=0.1), {"encoder.*": 3.0}
    ).param_groups
    mine = next(group for group in groups if group["scale"] == 3.0)
    assert mine["weight_decay"] == 0.0 and mine["params"][0] is net.encoder.log_threshold


def test_baselines() -> None:
    recipe = parse_recipe(
        "task: {name: digits}\nnetwork: {neuron: alif, norm: none, encoder: learned_ternary}", []
    )
    assert as_baseline(recipe, "lstm").network.encoder is None
    assert as_baseline(recipe, "lif").network.encoder == "learned_ternary"


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"name": "learned_ternary", "treshold": 0.1}, "Did you mean 'threshold'"),
        ({"name": "learned_ternary", "surrogate": "gausian"}, "gaussian"),
    ],
)
def test_mistakes(encoder: Any, message: str) -> None:
    with pytest.raises(SrnnError, match=message) as caught:
        network(encoder)
    assert "\n" not in str(caught.value)
