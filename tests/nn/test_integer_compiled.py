"""The integer model's compiled loop: to the bit, and to the last saturated result, what it is in
numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from srnn import LIF, Init, Neuron
from srnn.nn.fixedpoint import integer
from srnn.nn.fixedpoint.device import DeviceRun, device_network
from srnn.nn.fixedpoint.integer import (
    InputFormat,
    IntegerNetwork,
    measure_ranges,
    measure_states,
    quantise,
)
from support.exporting import drawn, network, signal
from support.graded import BoundedALIF
from support.refusing import refuses

DELAYS = [
    [{"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"}, {"input": 300}],
    [{"input": 0}, {"recurrent": 11}],
]


@dataclass(frozen=True)
class Swapping(Neuron):
    """Its variables change places."""

    name: ClassVar[str] = "swapping_in_int8"
    taus: ClassVar[tuple[str, ...]] = ()
    threshold: Init = Init("constant", 0.02)
    trained: tuple[str, ...] = ()

    @staticmethod
    def step(u: Any, w: Any, s: Any, current: Any, leak: Any, threshold: Any) -> Any:
        u_new = leak * w + current - threshold * s
        return u_new, u, u_new - threshold

    def derive(self, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        threshold = parameters["threshold"]
        return torch.full_like(threshold, 0.75), threshold


def same(found: DeviceRun, expected: DeviceRun) -> None:
    np.testing.assert_array_equal(found.output, expected.output)
    for layer, emitted in zip(found.emitted, expected.emitted, strict=True):
        np.testing.assert_array_equal(layer, emitted)
    for layer, part in zip(found.state, expected.state, strict=True):
        assert layer.keys() == part.keys()
        for name, values in part.items():
            np.testing.assert_array_equal(layer[name], values, name)
    assert (found.largest, found.saturated) == (expected.largest, expected.saturated)


def check(model: IntegerNetwork, x: np.ndarray, state: Any = None) -> DeviceRun:
    """A run, which is the reference's, whole and cut."""
    cut = x.shape[1] // 3
    first, whole = model.reference(x[:, :cut], state), model.run(x, state)
    same(model.run(x[:, :cut], state), first)
    expected = model.reference(x[:, cut:], first.state)
    same(model.run(x[:, cut:], first.state), expected)
    np.testing.assert_array_equal(whole.output, np.concatenate([first.output, expected.output], 1))
    assert whole.saturated == first.saturated + expected.saturated
    return whole


def quantised(net: Any, kind: str, width: int) -> tuple[IntegerNetwork, np.ndarray]:
    """A model for quiet signals, and a loud one."""
    x, device = signal(kind, batch=3, steps=24), device_network(net)
    inputs_as = InputFormat.measure(x)
    model = quantise(device, inputs_as, measure_states(device, x[:, :8], width, inputs_as))
    return model, inputs_as.encode(8 * x)


NEURONS = (
    *("lif", "alif", "adlif", "silif", "csilif", "cubalif", "cubalif-soft", "brf", "bhrf", "drf"),
    BoundedALIF(),
    Swapping(),
)


@pytest.mark.parametrize(
    ("neuron", "readout", "width"),
    [
        pytest.param(
            neuron,
            readout,
            width,
            marks=() if width == 16 or neuron in ("alif", "adlif") else pytest.mark.slow,
            id=f"{getattr(neuron, 'name', neuron)}-{readout}-{width}",
        )
        for neuron in NEURONS
        for readout, width in (("integrator", 32), ("alif", 16), ("integrator", 8))
    ],
)
def test_every_neuron_in_every_width(neuron: Any, readout: str, width: int) -> None:
    model, x = quantised(network(neuron, readout), "analog", width)
    run = check(model, x)
    assert run.emitted[0].any()
    assert run.saturated > 0 or width == 32


@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("kind", ["spikes", "analog"])
def test_delays(delays: Sequence[Any], kind: str) -> None:
    model, x = quantised(network("alif", delays=delays), kind, 16)
    check(model, x)


def test_feed_forward_layers_and_recurrent_weights_on_other_scales() -> None:
    for size in (1 / 64, 64.0):
        net = network("adlif")
        with torch.no_grad():
            net.layers[0].weight_rec *= size  # type: ignore[operator]
        model, x = quantised(net, "spikes", 32)
        assert model.layers[0].lift
        check(model, x)
    check(*quantised(network("lif", recurrent=False), "analog", 32))


@pytest.mark.parametrize("neuron", ["adlif", "cubalif", "bhrf"])
def test_states_of_every_kind_that_memory_can_hold(neuron: str) -> None:
    model, _ = quantised(network(neuron), "spikes", 32)
    rng = np.random.default_rng(0)
    state = model.initial_state(200)
    for part in state:
        for name, values in part.items():
            kind = np.dtype(np.int32 if name != "s" else np.uint8)
            part[name] = drawn(kind, values.shape, rng).astype(np.int64)
    run = check(model, drawn(np.dtype(np.int8), (200, 3, 5), rng).astype(np.int64), state)
    assert run.saturated > 0


def test_numbers_that_saturate_at_every_step_are_counted_at_every_step() -> None:
    """1 - alpha, of constants alone, does not change from step to step, nor from sequence to
    sequence."""
    model, x = quantised(network("adlif"), "spikes", 32)
    rng = np.random.default_rng(0)
    layer = model.layers[0]
    coefficients = {
        name: drawn(np.dtype(np.int32), values.shape, rng).astype(np.int64)
        for name, values in layer.coefficients.items()
    }
    hostile = replace(layer, coefficients=coefficients)
    check(replace(model, layers=(hostile, *model.layers[1:])), x)
    listing = hostile.listing()
    assert listing.of_constants and len(listing.of_constants) < len(listing.of_steps)


def test_nothing_runs_to_nothing_and_leaves_what_it_was_given() -> None:
    model, x = quantised(network("alif", delays=DELAYS[0]), "analog", 32)
    for empty in (x[:, :0], x[:0]):
        check(model, empty)
    state = model.initial_state(3)
    before = [{name: values.copy() for name, values in part.items()} for part in state]
    model.run(x, state)
    for part, old in zip(state, before, strict=True):
        assert all((part[name] == values).all() for name, values in old.items())


def test_ranges_are_the_same_in_parts_and_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    device, x = device_network(network("adlif")), signal("analog")
    expected = measure_ranges(device, x)
    monkeypatch.setattr(integer, "_KEPT", 14)
    assert measure_ranges(device, x) == expected
    monkeypatch.setattr(integer, "has_numba", lambda: False)
    assert measure_ranges(device, x) == expected


def test_a_neuron_without_an_integer_form_is_refused_as_in_numpy() -> None:
    model = quantise(device_network(network("lif")))

    @dataclass(frozen=True)
    class Absolute(LIF):
        name: ClassVar[str] = "absolute_in_int8"

        @staticmethod
        def step(
            u: Any, s: Any, current: Any, leak: Any, gain: Any, reset: Any, threshold: Any
        ) -> Any:
            u = leak * abs(u) + gain * current - reset * s
            return u, u - threshold

    layers = (replace(model.layers[0], neuron=Absolute()), *model.layers[1:])
    for run in (replace(model, layers=layers).run, replace(model, layers=layers).reference):
        with refuses("step", "unsupported"):
            run(np.zeros((1, 1, 5), np.int64))
