"""A network with its defaults learns in a plain loop (``benchmarks/plain_loop.py``)."""

from __future__ import annotations

import torch
from benchmarks import plain_loop

from srnn import ALIF, SRNN, AdLIF, Integrator
from srnn.nn.network import has_norm
from srnn.training.recipes import parse_recipe


def test_a_new_network_learns_in_eight_epochs_of_a_plain_loop() -> None:
    assert plain_loop.accuracy("oscillations", SRNN, 1e-2, seed=0) > 0.9


def test_the_benchmark_runs_for_every_network_and_problem(monkeypatch, capsys) -> None:
    for name, few in (("SEQUENCES", 4), ("EPOCHS", 1)):
        monkeypatch.setattr(plain_loop, name, few)
    assert plain_loop.main(["--seeds", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + len(plain_loop.PROBLEMS) and all(
        row.count("±") == 3 for row in rows[2:]
    )


def test_a_recipe_has_the_defaults_of_the_class() -> None:
    network = parse_recipe("task: {name: digits}\nnetwork: {hidden: [5, 4]}").network
    made, own = (
        network.build(3, 2, seed=0),
        SRNN(3, [5, 4], 2, generator=torch.Generator().manual_seed(0)),
    )
    assert str(made) == str(own)
    for (name, one), (other, two) in zip(
        made.state_dict().items(), own.state_dict().items(), strict=True
    ):
        assert name == other and torch.equal(one, two)
    assert parse_recipe("task: {name: digits}\nnetwork: {model: gru}").network.norm == "none"


def test_the_papers_network() -> None:
    net = SRNN.paper(3, [5, 4], 2, recurrent=[True, False])
    assert [layer.neuron for layer in net.layers] == [ALIF(), ALIF()] and not has_norm(net)
    assert net.readout.neuron == Integrator() and net.surrogate.name == "multi_gaussian"
    assert net.layers[1].weight_rec is None
    net = SRNN.paper(3, [4], 2, readout="alif", neuron="adlif")
    assert net.layers[0].neuron == AdLIF() and net.readout.neuron == ALIF()
    eye = net.layers[0].weight_rec @ net.layers[0].weight_rec.T
    assert torch.allclose(eye, torch.eye(4), atol=1e-5)
