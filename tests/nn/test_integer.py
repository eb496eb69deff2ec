"""Fixed-point arithmetic, and the integer model of a network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srnn import ALIF, SRNN, AdLIF, CubaLIF, Init, Neuron, SrnnError
from srnn.deploy.c.translate import FixedC, FixedText
from srnn.nn.equations import equations
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.fixed import INT32_MAX, INT32_MIN, SHIFTS, FixedArray, possible_shift
from srnn.nn.fixedpoint.integer import (
    InputFormat,
    IntegerLayer,
    measure_ranges,
    quantise,
    row_scales,
)
from srnn.nn.neurons import NEURONS
from support.refusing import refuses

whole = st.integers(INT32_MIN, INT32_MAX)
bits = st.integers(0, 24)


def fixed(value: int, at: int, saturated: list[int] | None = None) -> FixedArray:
    return FixedArray(np.array([value], np.int64), at, 24, [0] if saturated is None else saturated)


def real(number: FixedArray) -> float:
    return float(number.values[0]) * 2.0**-number.bits


@given(whole, bits, whole, bits)
def test_products_are_rounded_and_held(a: int, a_bits: int, b: int, b_bits: int) -> None:
    product = fixed(a, a_bits) * fixed(b, b_bits)
    exact = a * b * 2.0 ** -(a_bits + b_bits)
    top = INT32_MAX * 2.0**-product.bits
    assert product.bits == min(24, a_bits + b_bits)
    if abs(exact) >= top + 1:
        assert product.saturated[0] == 1 and abs(real(product)) >= top
    else:
        assert (
            abs(real(product) - exact) <= 2.0 ** -(product.bits + 1) + 2.0**-40 * abs(exact)
            or product.saturated[0]
        )
    assert INT32_MIN <= product.values[0] <= INT32_MAX


@given(whole, bits, whole, bits)
def test_sums_are_held(a: int, a_bits: int, b: int, b_bits: int) -> None:
    for sign in (1, -1):
        saturated = [0]
        x, y = fixed(a, a_bits, saturated), fixed(b, b_bits, saturated)
        total, exact = (x + y if sign > 0 else x - y), a * 2.0**-a_bits + sign * b * 2.0**-b_bits
        assert INT32_MIN <= total.values[0] <= INT32_MAX
        if not saturated[0]:
            assert real(total) == exact  # both have at most 24 bits: nothing is rounded


@given(st.integers(0, 2**30))
def test_one_minus_a_multiplier_is_exact(value: int) -> None:
    assert real(1.0 - fixed(value, 30)) == 1.0 - value * 2.0**-30
    assert real(-fixed(value, 30)) == -value * 2.0**-30


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 24),
    st.integers(-3, 15),
    st.sampled_from([8, 16]),
)
def test_kept_numbers_are_rounded_and_held(value: int, at: int, bits: int, width: int) -> None:
    saturated = [0]
    number = fixed(value, at, saturated)
    kept = number.kept(bits, width)
    most = 2 ** (width - 1)
    assert kept.bits == bits and -most <= kept.values.item() < most
    if not saturated[0]:
        assert abs(real(kept) - real(number)) <= 2.0 ** -(bits + 1)
    assert number.kept(at, 32).values.item() == number.values.item()


def test_kept_numbers_reach_both_ends() -> None:
    for width in (8, 16, 32):
        ends = [int(fixed(value, 0).kept(0, width).values[0]) for value in (INT32_MIN, INT32_MAX)]
        assert ends == [-(2 ** (width - 1)), 2 ** (width - 1) - 1]


class CHelpers:
    """The C library's arithmetic, restated in Python."""

    @staticmethod
    def held(x: int) -> int:
        return max(INT32_MIN, min(INT32_MAX, x))

    def add(self, a: int, b: int) -> int:
        return self.held(a + b)

    def subtract(self, a: int, b: int) -> int:
        return self.held(a - b)

    def multiply(self, a: int, b: int, shift: int) -> int:
        return self.held((a * b + (1 << shift >> 1)) >> shift)

    def rescale(self, a: int, shift: int) -> int:
        return self.held(a << shift if shift >= 0 else (a + (1 << -shift >> 1)) >> -shift)


@pytest.mark.parametrize("name", ["lif", "alif", "adlif", "silif", "cubalif", "integrator"])
@given(data=st.data())
def test_texts_and_arrays_are_the_same_arithmetic(name: str, data) -> None:
    """A neuron's step on arrays, and as C text read by Python: the same integers, for any format
    and any values."""
    neuron = NEURONS[name]
    names = (*neuron.State._fields, "current", *neuron.coefficients)
    limit = data.draw(bits)
    formats = {
        n: data.draw(st.integers(0, 30)) if n in neuron.coefficients else limit for n in names
    } | {"s": 0}
    values = {n: data.draw(whole) for n in names} | {"s": data.draw(st.integers(0, 1))}
    saturated = [0]
    arrays = [
        FixedArray(np.array([values[n]], np.int64), formats[n], limit, saturated) for n in names
    ]
    expected = [int(result.to(limit).values[0]) for result in neuron.step(*arrays)]

    writer = FixedC()
    results = equations(neuron).run(
        writer, [FixedText(n, formats[n], limit, Counter()) for n in names]
    )
    helpers = CHelpers()
    space: dict[str, Any] = {
        n: getattr(helpers, n) for n in ("add", "subtract", "multiply", "rescale")
    } | values
    for target, text in writer.assignments:
        space[target] = eval(text, {}, space)
    assert [eval(result.to(limit).text, {}, space) for result in results] == expected


def test_which_coefficients_are_multipliers() -> None:
    def multipliers(model):
        return equations(model).multiplied() & set(model.coefficients)

    assert multipliers(NEURONS["alif"]) == {"alpha", "rho", "beta"}
    assert multipliers(NEURONS["lif"]) == {"leak", "gain", "reset"}
    assert multipliers(NEURONS["adlif"]) == {"alpha", "rho", "a", "b", "symplectic"}
    assert multipliers(NEURONS["cubalif"]) == {
        "alpha",
        "beta",
        "gain",
        "hard",
        "jump",
        "late_reset",
        "late_synapse",
    }


def network(neuron: Any = "alif", **options: Any) -> SRNN:
    return SRNN.paper(
        5, [12, 9], 3, neuron=neuron, generator=torch.Generator().manual_seed(0), **options
    )


def matrix_scales(layer: IntegerLayer) -> list[np.ndarray]:
    """What a step of each matrix's weights stands for."""
    finest = layer.multiplier * 2.0 ** -(layer.shift + layer.bits)
    return [finest * 2.0 ** max(layer.lift, 0), finest * 2.0 ** max(-layer.lift, 0)][
        : len(layer.matrices())
    ]


def test_weights_are_rounded_row_by_row() -> None:
    net = network()
    with torch.no_grad():
        net.layers[0].weight_in[3] *= 50  # a row with its own scale
        net.layers[0].weight_in[4].zero_()
        net.layers[0].weight_rec[4].zero_()
    device = device_network(net)
    whole_net = quantise(device)
    for real_layer, layer in zip(device.layers, whole_net.layers, strict=True):
        scales = matrix_scales(layer)
        for real_weights, weights, scale in zip(
            real_layer.matrices(), layer.matrices(), scales, strict=True
        ):
            assert np.abs(weights).max() <= 127
            assert (
                np.abs(weights * scale[:, None] - real_weights) <= scale[:, None] * 0.5001
            ).all()
        assert np.abs(layer.bias * 2.0**-layer.bits - real_layer.bias).max() <= 2.0 ** -(
            layer.bits + 1
        )
    assert not whole_net.layers[0].weight_in[4].any()
    assert all(
        np.abs(np.concatenate(layer.matrices(), 1)).max(1)[:4].min() == 127
        for layer in whole_net.layers[:2]
    )


def test_recurrent_weights_are_finer_or_coarser_by_a_power_of_two_within_bounds() -> None:
    weights = np.ones((3, 2), np.float32)
    assert [row_scales(weights, weights * 2.0**k)[1] for k in (-20, -8, 0, 5, 8, 20)] == [
        -8,
        -8,
        0,
        5,
        8,
        8,
    ]


def test_a_layer_without_weights_has_a_shift_that_a_device_can_do() -> None:
    net = network("lif")
    with torch.no_grad():
        net.layers[0].weight_in.zero_()
        net.layers[0].weight_rec.zero_()
    assert quantise(device_network(net)).layers[0].shift == 62


def test_shifts_that_a_device_can_do() -> None:
    assert [possible_shift(shift) for shift in SHIFTS] == [-62, 32]


@pytest.mark.parametrize(
    "neuron", ["lif", "alif", "cubalif", {"name": "adlif", "threshold": 0.02, "coupling": 1.0}]
)
def test_only_the_weights_lose_precision(neuron: Any) -> None:
    """With weights that int8 holds exactly, the integer model follows the float model closely,
    spike by spike."""
    net = network(neuron)
    whole_net = quantise(device_network(net))
    with torch.no_grad():
        for layer, integer in zip([*net.layers, net.readout], whole_net.layers, strict=True):
            below, *own = (torch.from_numpy(scale)[:, None] for scale in matrix_scales(integer))
            layer.weight_in.copy_(torch.from_numpy(integer.weight_in) * below)
            if layer.weight_rec is not None:
                layer.weight_rec.copy_(torch.from_numpy(integer.weight_rec) * own[0])
    x = (np.random.default_rng(0).random((2, 40, 5)) < 0.5).astype(np.float32)
    device = device_network(net)
    floats, integers = run_float32(device, x), quantise(device).run(x.astype(int))
    assert integers.saturated == 0
    for a, b in zip(floats.emitted[:-1], integers.emitted[:-1], strict=True):
        assert a.any() and np.array_equal(a, b)
    scores = integers.output * 2.0 ** -quantise(device).output_bits
    np.testing.assert_allclose(scores, floats.output, atol=1e-4)


@pytest.mark.parametrize("size", [1 / 64, 64.0])
@pytest.mark.parametrize("inputs_as", [InputFormat(), InputFormat(1.0, whole=False)])
def test_no_current_is_larger_than_the_largest(inputs_as: InputFormat, size: float) -> None:
    net = network()
    with torch.no_grad():
        for layer in net.layers:
            layer.weight_rec *= size
            layer.bias -= 5.0
    model = quantise(device_network(net), inputs_as)
    for number, layer in enumerate(model.layers):
        low, high = (0, 1) if number else (-inputs_as.bound, inputs_as.bound - 1)
        assert layer.weight_rec is None or layer.lift
        for sign in (-1, 1):  # for each neuron, what drives it furthest
            seen = np.where(sign * layer.weight_in > 0, high, low)
            s = (
                np.zeros(1)
                if layer.weight_rec is None
                else (sign * layer.weight_rec > 0).astype(int)
            )
            saturated = [0]

            def number(values: np.ndarray, at: int) -> FixedArray:
                return FixedArray(values, at, layer.bits, saturated)  # noqa: B023

            current = layer.current(number(layer.sums(seen, s), 0), number).values.diagonal()
            assert np.abs(current).max() <= layer.largest_current
            assert not saturated[0] or layer.largest_current > INT32_MAX


def test_states_have_room_for_the_largest_input() -> None:
    inputs_as = InputFormat(1000.0, whole=False)
    x = inputs_as.encode(np.sign(np.random.default_rng(0).normal(size=(4, 30, 5))) * 1000.0)
    assert quantise(device_network(network("lif")), inputs_as).run(x).saturated == 0


def test_states_have_room_for_what_a_layer_sends_itself() -> None:
    net = network("lif")
    with torch.no_grad():
        net.layers[0].weight_rec.abs_().mul_(1000)
    run = quantise(device_network(net)).run(np.ones((1, 30, 5), int))
    assert run.emitted[0].any() and run.saturated == 0


def test_ranges_of_states_begin_with_the_initial_ones() -> None:
    net = network("lif")
    device = device_network(net)
    layer = device.layers[0]
    device = replace(
        device,
        layers=(
            replace(layer, initial={**layer.initial, "u": layer.initial["u"] + 7}),
            *device.layers[1:],
        ),
    )
    ranges = measure_ranges(device, np.zeros((1, 1, 5), np.float32))
    assert ranges[0]["u"] == pytest.approx(7, rel=1e-3)


def test_a_cut_sequence_gives_the_same() -> None:
    model = quantise(device_network(network()))
    x = (np.random.default_rng(0).random((3, 20, 5)) < 0.5).astype(int)
    first = model.run(x[:, :7])
    second = model.run(x[:, 7:], first.state)
    np.testing.assert_array_equal(
        np.concatenate([first.output, second.output], 1), model.run(x).output
    )


def test_input_formats() -> None:
    assert InputFormat.measure(np.array([0.0, 1.0, -1.0])).bits == 0
    assert InputFormat.measure(np.array([0.0, 100.0])).bound == 128
    analog = InputFormat.measure(np.array([0.25, -3.0]))
    assert analog.bits == 13 and analog.bound == 2**15
    assert analog.encode(np.array([0.25, -3.0, 99.0])).tolist() == [2048, -24576, 32767]
    assert (
        InputFormat(127.0).bits == 0
        and InputFormat(128.0).bits == 7
        and InputFormat(1e-3, whole=False).bits == 15
    )
    wide = InputFormat.measure(np.array([0.0, 255.0]))  # whole, but too large for int8
    assert wide.bound == 2**15 and wide.encode(np.array([255.0])) <= 32767


def test_what_int8_cannot_say() -> None:
    for neuron in ("relu", "integrator"):
        with refuses("analog", "unsupported"):
            quantise(device_network(network(neuron)))
    with refuses("layers.0", "unsupported"):
        quantise(
            device_network(SRNN.paper(2000, [3], 2, recurrent=False)), InputFormat(1.0, whole=False)
        )
    device = device_network(network("lif"))
    layer = device.layers[0]
    growing = [
        replace(layer, coefficients={**layer.coefficients, "leak": np.full(12, leak)})
        for leak in (np.exp(1.0), 1.1, 1.008)  # tau_mem = -1, -10, -125
    ]
    heavy = replace(layer, weight_in=layer.weight_in * np.float32(1e20))
    for wrong in (*growing, heavy):
        with refuses("layers.0", "unsupported"):
            quantise(replace(device, layers=(wrong, *device.layers[1:])))


@pytest.mark.parametrize(
    "neuron",
    [
        model(**{tau: -1.0}, time_constants="unconstrained")
        for model in (ALIF, AdLIF, CubaLIF)
        for tau in model.taus
    ],
    ids=lambda neuron: neuron.name,
)
def test_a_state_that_grows_beyond_all_numbers_is_refused(neuron: Neuron) -> None:
    """It is NaN at the end, which was passed over."""
    with refuses("layers.0", "unsupported"):
        quantise(
            device_network(
                SRNN(
                    3,
                    [4],
                    2,
                    neuron=neuron,
                    generator=torch.Generator().manual_seed(0),
                    norm="none",
                )
            )
        )


def test_a_neuron_of_ones_own_that_amplifies_itself_is_not_told_of_time_constants_alone() -> None:
    """Its spikes stop it, but only one by one: no number of bits holds what a long current makes of
    it."""

    @dataclass(frozen=True)
    class Quadratic(Neuron):
        name: ClassVar[str] = "quadratic_in_int8"
        taus: ClassVar[tuple[str, ...]] = ()
        threshold: Init = Init("constant", 1.0)
        trained: tuple[str, ...] = ()

        @staticmethod
        def step(u: Any, s: Any, current: Any, threshold: Any) -> Any:
            u = u + current + u * u - threshold * s
            return u, u - threshold

        def derive(self, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (parameters["threshold"],)

    with refuses("layers.0", "unsupported"):
        quantise(
            device_network(
                SRNN(
                    3,
                    [4],
                    2,
                    neuron=Quadratic(),
                    generator=torch.Generator().manual_seed(0),
                    norm="none",
                )
            )
        )


@pytest.mark.slow
def test_the_published_ecg_network_in_int8(data_dir: Path, checkpoint_dir: Path) -> None:
    """Int8 within half a point of float32, on the training file's validation part: the network
    knows it, but neither arithmetic does. (The authors' test file may not be at hand.)"""
    from paper.compat import load_published
    from srnn.data.batches import Sequences
    from srnn.data.tasks import create_task
    from srnn.training.compression.evaluation import evaluate_int8
    from srnn.training.evaluation import evaluate_sequences

    try:
        task = create_task("ecg")
        sequences = Sequences(task, "validation", data_dir)
    except SrnnError as error:
        pytest.skip(f"no ECG data: {error}")
    published = load_published("ecg", checkpoint_dir / "ecg.npz")
    trained = replace(published.trained, task=task)
    floats = evaluate_sequences(trained, sequences, "validation").report
    integers = evaluate_int8(trained, data_dir=data_dir, inputs_as=InputFormat()).report
    assert integers["saturated"] == 0
    assert integers["accuracy"] > floats["accuracy"] - 0.005
    assert abs(integers["firing_rate"]["mean"] - floats["firing_rate"]["mean"]) < 0.02
