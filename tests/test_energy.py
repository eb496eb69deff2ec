"""Energy: every count against a count by hand, memory traffic, reports."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import SRNN, SrnnError
from srnn.measure.energy import (
    MODELS,
    Activity,
    InputActivity,
    Operations,
    Subject,
    compare,
    describe_network,
    effective_operations,
    energy_report,
    load_technology,
    measure_input,
    measured_operations,
    memory_energy,
    paper_operations,
    rates_of,
    total,
)
from srnn.measure.energy.memory import memory_words
from srnn.nn.baselines import ClassicalRNN
from srnn.nn.neurons import ALIF

SPIKES = InputActivity(spikes=True, density=0.1, steps=100.0)
ANALOG = InputActivity(spikes=False, density=0.5)


def small(neuron: object = "alif", inputs: int = 3, hidden: object = (5, 4), **options: object) -> SRNN:
    return SRNN(inputs, list(hidden), 2, neuron, backend="reference", **options)  # type: ignore[arg-type, call-overload]


# By hand


def spikes_and_activity(network: SRNN, x: torch.Tensor) -> tuple[list[torch.Tensor], Activity]:
    """What each hidden layer emitted (B, T, N), and the activity that the counts take."""
    with torch.no_grad():
        result = network.run(x)
    outputs = [layer.output for layer in result.layers[:-1]]
    given = InputActivity(True, float(x.count_nonzero()) / x.numel())
    return outputs, Activity(given, tuple(float(output.mean()) for output in outputs))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    inputs=st.integers(1, 6),
    hidden=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    recurrent=st.booleans(),
    substeps=st.integers(1, 3),
    direction=st.sampled_from(["one", "mean", "concat"]),
)
def test_accumulates_are_what_spikes_cause(
    seed: int, inputs: int, hidden: list[int], recurrent: bool, substeps: int, direction: str
) -> None:
    """Every spike adds one weight at each target; counted from the spikes themselves."""
    torch.manual_seed(seed)
    merge = {} if direction == "one" else {"bidirectional": True, "merge": direction}
    net = small("lif", inputs, hidden, recurrent=recurrent, substeps=substeps, **merge)
    x = (torch.rand(2, 9, inputs) < 0.4).float()
    outputs, activity = spikes_and_activity(net, x)
    both = 1 if direction == "one" else 2
    # Averaged directions emit halves: each spike of either is one half, so the sum of all spikes is twice the output's.
    counts = [float(x.sum()) * substeps, *(float(out.sum()) * (2 if direction == "mean" else 1) for out in outputs)]
    expected = sum(count * size * both for count, size in zip(counts, hidden, strict=False)) + counts[-1] * 2
    if recurrent:
        expected += sum(count * size for count, size in zip(counts[1:], hidden, strict=True))
    found = total(measured_operations(describe_network(net), activity))
    assert found.ac * x.shape[0] * x.shape[1] == pytest.approx(expected, rel=1e-4)
    effective = effective_operations(describe_network(net), activity)
    assert effective.ac == pytest.approx(found.ac) and effective.mac == 0


@pytest.mark.parametrize(("direction", "recurrent"), [("one", True), ("one", False), ("mean", True), ("concat", True)])
@pytest.mark.parametrize("neuron", ["alif", "lif", "adlif", "relu", "integrator"])
def test_dense_operations_are_the_weights(neuron: str, direction: str, recurrent: bool) -> None:
    merge = {} if direction == "one" else {"bidirectional": True, "merge": direction}
    net = small(neuron, recurrent=recurrent, **merge)
    weights = sum(p.numel() for name, p in net.named_parameters() if "weight" in name)
    shape = describe_network(net)
    always = Activity(InputActivity(True, 1.0), (1.0, 1.0))
    effective = effective_operations(shape, always)
    assert effective.dense == weights
    # Averaged directions each deliver their own spikes, so that the next layer works twice; graded means arrive once.
    twice = direction == "mean" and shape.spiking
    extra = shape.layers[1].weights_in + shape.layers[2].weights_in if twice else 0
    assert effective.mac + effective.ac == pytest.approx(weights + extra)
    assert shape.parameters == sum(p.numel() for p in net.parameters() if p.requires_grad)
    fixed, _ = memory_words(shape)
    constants = sum(layer.cells * layer.constants for layer in shape.layers)
    biases = sum(p.numel() for name, p in net.named_parameters() if "bias" in name)
    assert fixed == weights + biases + constants


@pytest.mark.parametrize(("cell", "gates", "products"), [("rnn", 1, 0), ("gru", 3, 3), ("lstm", 4, 3)])
def test_cells(cell: str, gates: int, products: int) -> None:
    shape = describe_network(ClassicalRNN(3, [5], 2, cell))  # type: ignore[arg-type]
    assert effective_operations(shape, Activity(ANALOG)).dense == gates * (15 + 25) + products * 5 + 10
    spikes = effective_operations(shape, Activity(SPIKES))
    assert spikes.ac == pytest.approx(0.1 * gates * 15)
    assert spikes.mac == pytest.approx(gates * 25 + products * 5 + 10)


def test_concatenated_directions_are_read_whole_but_not_in_the_paper_s_rule() -> None:
    shape = describe_network(ClassicalRNN(3, [5, 4], 2, "lstm", bidirectional=True))
    honest, rule = total(measured_operations(shape, Activity(ANALOG))), total(paper_operations(shape, 0.0))
    assert honest.mac - rule.mac == 2 * 4 * 5 * 4 + 4 * 2  # the second layer's gates, and the readout


def test_zero_weights_count_only_where_neurobench_counts() -> None:
    net = small(hidden=(5,))
    before = effective_operations(describe_network(net), Activity(SPIKES, (0.2,)))
    with torch.no_grad():
        net.layers[0].weight_rec.zero_()  # type: ignore[operator, union-attr]
    after = effective_operations(describe_network(net), Activity(SPIKES, (0.2,)))
    assert before.ac - after.ac == pytest.approx(0.2 * 25) and before.dense == after.dense


def test_adaptation_that_is_off_costs_nothing() -> None:
    def macs(beta: object, trained: tuple[str, ...] = ("tau_mem", "tau_adp")) -> int:
        return describe_network(small(ALIF(beta=beta, trained=trained), hidden=(50,))).layers[0].neuron_macs  # type: ignore[arg-type]

    assert (macs(0.0), macs(1.8)) == (100, 150)
    assert macs(0.0, ("tau_mem", "beta")) == 150  # it may leave 0
    some = small(ALIF(), hidden=(50,))
    some.layers[0].params.set_values(beta=torch.arange(50).float() % 2)  # type: ignore[operator, union-attr]
    assert describe_network(some).layers[0].neuron_macs == 125


def test_substeps_and_what_runs_once() -> None:
    once, five = describe_network(small()), describe_network(small(substeps=5))
    rates = (0.2, 0.3)
    a, b = (measured_operations(shape, Activity(SPIKES, rates)) for shape in (once, five))
    assert [layer.ac for layer in b[:2]] == pytest.approx([5 * layer.ac for layer in a[:2]])
    assert b[2].mac == a[2].mac and b[2].ac == pytest.approx(5 * a[2].ac)  # one update, but of five steps' spikes


def test_a_layer_after_one_that_does_not_spike_multiplies() -> None:
    shape = describe_network(small(["relu", "lif"]))
    layers = measured_operations(shape, Activity(SPIKES, (0.5, 0.25)))
    assert layers[1] == Operations(mac=20 + 4, ac=0.25 * 16)
    assert effective_operations(shape, Activity(SPIKES, (0.5, 0.25))).mac == pytest.approx(0.5 * (25 + 20))


# Memory


def test_memory_by_hand() -> None:
    """Two inputs, one LIF neuron, one integrator: each term counted on paper."""
    shape = describe_network(SRNN(2, 1, 1, "lif", "integrator"))
    prices = replace(load_technology(), sram_bytes=(1e9,), sram_pj=(2.0,), sram_bits=32, address_pj=7.0)
    energy = memory_energy(shape, Activity(InputActivity(True, 0.5), (0.25,)), prices)
    # Spikes of a step: 1 at the input, .25 of the neuron, which go to itself and to the readout.
    synapses = 1.0 + 0.25 + 0.25
    assert energy.operations == pytest.approx(
        2 * 4.6 + synapses * 0.9 + (2 + 0.25) * 0.9
    )  # leaks; adds; biases, a reset
    assert energy.weights == pytest.approx(2.0 * (synapses + 4 + 1 + 2))  # constants of LIF and integrator, biases
    assert energy.states == pytest.approx(2.0 * (2 * synapses + 2 * 2))
    assert energy.signals == pytest.approx(
        2.0 * (1 + 0.25 + 0.25 + 0.25 + 1)
    )  # read thrice, written once, and the output
    assert energy.addressing == pytest.approx(7.0 * synapses)
    assert energy.total == pytest.approx(
        energy.operations + energy.weights + energy.states + energy.signals + energy.addressing
    )


def test_dram_costs_orders_of_magnitude_more() -> None:
    shape, activity = describe_network(SRNN(700, [128, 128], 20)), Activity(SPIKES, (0.1, 0.1))
    on, off = (
        memory_energy(shape, activity, load_technology(name)) for name in ("horowitz-45nm", "horowitz-45nm-dram")
    )
    assert off.total > 10 * on.total and off.operations == on.operations
    assert off.total > 100 * off.operations


def test_the_energy_of_a_memory_grows_with_it() -> None:
    prices = load_technology()
    sizes = [1, 2048, 8192, 20000, 262144, 10**7]
    energies = [prices.sram_word(size) for size in sizes]
    assert energies[:3] == [5.0, 5.0, 10.0]  # half of a 64-bit access of 8 KB, 8 KB, 32 KB
    assert energies == sorted(energies) and energies[4] == 50.0


# Reports


def test_what_was_not_measured_is_none() -> None:
    prices = load_technology()
    lif, relu = describe_network(small("lif")), describe_network(small("relu"))
    nothing = energy_report(Subject("a", lif, Activity(SPIKES)), prices, 4.0)
    assert nothing["models"] == dict.fromkeys(MODELS)
    assert nothing["firing_rate"] is None and nothing["spikes"] is None
    report = energy_report(Subject("b", relu, Activity(SPIKES)), prices, 4.0)
    assert report["models"]["neurobench"] is None and report["models"]["memory"]["energy_pj"]["step"] > 0
    assert [row["energy"]["fp32"] for row in compare([report, nothing])] == [1.0, None]
    with pytest.raises(SrnnError, match="not measured"):
        measured_operations(lif, Activity(SPIKES))


def test_step_sequence_and_second() -> None:
    shape = describe_network(small())
    report = energy_report(Subject("a", shape, Activity(SPIKES, (0.1, 0.2)), 0.9), load_technology(), 4.0)
    for model in report["models"].values():
        energy = model["energy_pj"]
        assert energy["sequence"] == pytest.approx(100 * energy["step"])
        assert energy["second"] == pytest.approx(250 * energy["step"])
    assert report["spikes"]["per_sequence"] == pytest.approx(100 * (0.1 * 5 + 0.2 * 4))
    assert report["spikes"]["synaptic_operations_per_step"] == report["models"]["fp32"]["ac"]
    untimed = energy_report(Subject("a", shape, Activity(ANALOG, (0.1, 0.2))), load_technology(), None)
    assert untimed["models"]["paper"]["energy_pj"]["second"] is None
    assert untimed["models"]["paper"]["energy_pj"]["sequence"] is None


def test_a_first_network_without_errors_has_no_ratio() -> None:
    shape = describe_network(small())
    report = energy_report(Subject("a", shape, Activity(SPIKES, (0.1, 0.2)), 1.0), load_technology(), 4.0)
    assert compare([report, report])[1]["error"] is None


def test_wrong_rates_and_networks() -> None:
    shape = describe_network(small())
    with pytest.raises(SrnnError, match="2 hidden layers"):
        rates_of(shape, [0.1, 0.2, 0.3])
    with pytest.raises(SrnnError, match="between 0 and 1"):
        Activity(SPIKES, (0.1, 1.5))
    with pytest.raises(SrnnError, match="between 0 and 1"):
        InputActivity(True, float("nan"))
    with pytest.raises(SrnnError, match="Linear"):
        describe_network(torch.nn.Linear(2, 2))  # type: ignore[arg-type]


def test_input_is_measured_without_padding() -> None:
    from srnn.data.batches import Sequences
    from tiny import TinyTask

    task = TinyTask(padded=True)
    data = task.load("validation")
    found = measure_input(Sequences(task, "validation"), batch_size=7)
    assert found.spikes and found.steps == pytest.approx(data.lengths.mean())  # type: ignore[union-attr]
    assert found.density == pytest.approx(data.x.sum() / (data.lengths.sum() * 3))  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(("values", "spikes"), [((0, 1), True), ((-1, 0, 1), True), ((0, 2), False), ((0, 0.5), False)])
def test_what_counts_as_spikes(values: tuple[float, ...], spikes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from srnn.data.batches import Sequences
    from srnn.data.datasets import Split
    from tiny import TinyTask

    x = np.resize(np.array(values, np.float32), (4, 5, 3))
    monkeypatch.setattr(TinyTask, "load", lambda *_: Split(x, np.zeros(4, np.int64)))
    found = measure_input(Sequences(TinyTask(), "validation"))
    assert found.spikes is spikes and found.density == pytest.approx((x != 0).mean())
