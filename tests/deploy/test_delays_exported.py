"""Delays in what is exported: C and int8 with their rings, to the bit of their models, and those
with the network's spikes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN
from srnn.deploy.c.plan import make_plan
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from support.compiled import SANITIZED, build, compilers
from support.exporting import check_states, exported, network, signal
from support.refusing import refuses

DELAYS = [
    {"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"},
    [{"recurrent": 0, "input": 300}, {"recurrent": "normal(0, 6)"}],
    [{"input": 0}, {"recurrent": 11}],
]


def late(delays: Any, neuron: str = "alif", **options: Any) -> SRNN:
    net = network(neuron, delays=delays, backend="reference", **options)
    with torch.no_grad():
        for layer in net.layers:
            layer.bias.fill_(0.02)  # type: ignore[union-attr, operator]
    return net


@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("neuron", ["alif", "relu"])
def test_the_models_of_devices_agree_with_the_network(neuron: str, delays: Any) -> None:
    """A sequence, and its end from the state in its middle; what neurons emit may be analog."""
    net, x = late(delays, neuron), signal("analog", steps=50)
    device = device_network(net)
    with torch.no_grad():
        result = net.run(torch.from_numpy(x))
    run = run_float32(device, x)
    np.testing.assert_allclose(run.output, result.output.numpy(), atol=1e-4)
    for part, expected in zip(run.state, result.state, strict=True):
        for name, value in part.items():
            reached = getattr(expected, name).numpy()
            np.testing.assert_allclose(value, reached, atol=1e-4, err_msg=name)
    again = run_float32(device, x[:, 20:], run_float32(device, x[:, :20]).state)
    assert (again.output == run.output[:, 20:]).all()
    if neuron == "relu":
        return
    model = quantise(device, InputFormat.measure(x))
    sent = model.inputs_as.encode(x)
    whole, cut = model.run(sent), model.run(sent[:, 20:], model.run(sent[:, :20]).state)
    assert (cut.output == whole.output[:, 20:]).all()
    spikes = result.layers[0].output.numpy()
    assert spikes.mean() > 0.02 and (whole.emitted[0] != spikes).mean() < 0.05


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize(
    ("neuron", "format", "delays"),
    [*itertools.product(["alif"], ["float32", "int8"], DELAYS), ("relu", "float32", DELAYS[1])],
)
def test_c_is_its_model_to_the_bit(
    neuron: str, format: str, delays: Any, compiler: str, tmp_path: Path
) -> None:
    x = signal("analog")
    options = {"inputs_as": InputFormat.measure(x)} if format == "int8" else {}
    plan, model = exported(late(delays, neuron), tmp_path / "c", format, **options)
    x = model.inputs_as.encode(x) if format == "int8" else x
    expected = model.run(x) if format == "int8" else run_float32(model, x)
    scores, states = build(tmp_path / "c", plan, compiler, *SANITIZED).run(x, trace=True)
    assert (scores == expected.output).all()
    check_states(states, plan, expected)
    assert all(np.count_nonzero(e) / e.size > 0.02 for e in expected.emitted[:-1])


def test_spikes_under_way_take_a_bit_each(tmp_path: Path) -> None:
    plan, _ = exported(late({"recurrent": 15}), tmp_path / "c")
    ring = plan.layers[0].rings[0]
    assert ring.members == (("uint8_t", "arriving", 16 * 2), ("uint16_t", "arriving_turn", 1))
    plain, _ = exported(late(None), tmp_path / "plain")
    assert plan.state_bytes - plain.state_bytes == 2 * (16 * 2 + 4)  # the turn, to whole words
    assert plan.flash_bytes - plain.flash_bytes == 12 + 9
    for longest, ctype in ((255, "uint8_t"), (256, "uint16_t")):  # one type for all layers
        net = late([{"recurrent": 3}, {"input": longest}])
        layers = make_plan(device_network(net), "net").layers
        assert [ring.delays.ctype for layer in layers for ring in layer.rings] == [ctype, ctype]


@pytest.mark.parametrize("compiler", compilers()[:1])
def test_no_state_is_unsafe(compiler: str, tmp_path: Path) -> None:
    """A turn beyond its ring is the first. 16 and 8 neurons fill their bytes, beyond which nothing
    is touched, and there is room for the sums of the largest layer, the last."""
    delays = [{"recurrent": 15, "input": 3}, {"recurrent": 15, "input": "uniform(0, 15)"}]
    rng = torch.Generator().manual_seed(0)
    net = SRNN(5, [16, 8], 17, neuron="alif", delays=delays, generator=rng, norm="none")
    plan, model = exported(net, tmp_path / "c")
    x, program = signal("spikes"), build(tmp_path / "c", plan, compiler, *SANITIZED)
    scores, states = program.run(x, trace=True)
    expected = run_float32(model, x)
    assert (scores == expected.output).all() and expected.emitted[1].any()
    check_states(states, plan, expected)
    rings = [(layer.name, ring) for layer in plan.layers for ring in layer.rings]
    found = list[np.ndarray]()
    for beyond in (None, 0, 65_535):
        state = np.zeros((), plan.state_dtype())
        state["layer1"]["arriving"] = 255
        for name, ring in rings:
            state[name][f"{ring.name}_turn"] = 0 if beyond is None else max(ring.depth, beyond)
        found.append(program.run(x, state)[0])
    assert (found[1] == found[0]).all() and (found[2] == found[0]).all()


def test_neurons_of_a_network_with_delays_are_not_pruned() -> None:
    with refuses("delays", "unsupported"):
        late({"input": 3}).freeze().require("Pruning of neurons")
