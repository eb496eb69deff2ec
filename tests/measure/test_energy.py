"""Energy: every count against a count by hand, and memory traffic."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import SRNN, Init, Neuron, Spikes, SrnnError
from srnn.measure.energy import (
    Activity,
    count,
    describe_network,
    energy,
    energy_report,
    load_technology,
    picojoules,
    total,
)
from srnn.measure.energy.operation_energy import parts
from srnn.nn.arithmetic import absolute
from srnn.nn.baselines import ClassicalRNN
from srnn.nn.neurons import ALIF, AdLIF
from srnn.nn.neurons.base import decay
from support.energies import ANALOG, SPIKES, small, spiking

# By hand


@settings(max_examples=25)
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
    with torch.no_grad():
        result = net.run(x)
    outputs = [layer.output for layer in result.layers[:-1]]
    activity = Activity(
        True,
        float(x.count_nonzero()) / x.numel(),
        tuple(float(output.mean()) for output in outputs),
    )
    both = 1 if direction == "one" else 2
    # Averaged directions emit halves: each spike of either is one half, so the sum of all spikes is
    # twice the output's.
    counts = [
        float(x.sum()) * substeps,
        *(float(out.sum()) * (2 if direction == "mean" else 1) for out in outputs),
    ]
    expected = (
        sum(count * size * both for count, size in zip(counts, hidden, strict=False))
        + counts[-1] * 2
    )
    if recurrent:
        expected += sum(count * size for count, size in zip(counts[1:], hidden, strict=True))
    found = total(count(describe_network(net), activity))
    assert found.synaptic_acs * x.shape[0] * x.shape[1] == pytest.approx(expected, rel=1e-4)
    assert found.effective_acs == pytest.approx(found.synaptic_acs) and found.effective_macs == 0
    assert energy(net, x)["counts"]["synaptic_acs"] == pytest.approx(found.synaptic_acs, rel=1e-5)


def test_what_cannot_be_run_has_no_energy() -> None:
    net, x = small("lif", 2, [3]), torch.zeros(2, 4, 2)
    # All zeros are an input, and a silent network still updates its neurons.
    assert energy(net, x)["firing_rate"]["mean"] == 0
    x[1, 3, 0] = torch.nan
    with pytest.raises(SrnnError, match="sequence 1, step 3"):
        energy(net, x)


def test_measuring_a_network_leaves_it_as_it_was() -> None:
    """A norm whose statistics were no longer to change went on changing them, and frozen parameters
    were none."""
    net = SRNN(2, [3], 2, norm="batch", backend="reference", neuron="alif")
    before = energy(net, torch.ones(1, 4, 2))["parameters"]
    assert isinstance(net.layers[0].norm, torch.nn.Module)
    net.layers[0].norm.eval().requires_grad_(False)
    net.layers[0].weight_in.requires_grad_(False)
    assert energy(net, torch.ones(1, 4, 2))["parameters"] == before
    assert net.training and net.layers[0].training and not net.layers[0].norm.training


@pytest.mark.parametrize(
    ("direction", "recurrent"), [("one", True), ("one", False), ("mean", True), ("concat", True)]
)
@pytest.mark.parametrize("neuron", ["alif", "lif", "adlif", "cubalif", "relu", "integrator"])
def test_dense_operations_are_the_weights(neuron: str, direction: str, recurrent: bool) -> None:
    merge = {} if direction == "one" else {"bidirectional": True, "merge": direction}
    net = small(neuron, recurrent=recurrent, **merge)
    weights = sum(p.numel() for name, p in net.named_parameters() if "weight" in name)
    layers = describe_network(net)
    found = total(count(layers, Activity(True, 1.0, (1.0, 1.0))))
    assert found.dense == weights
    # Averaged directions each deliver their own spikes, so that the next layer works twice; graded
    # means arrive once.
    twice = direction == "mean" and layers[0].spiking
    extra = layers[1].weights_in + layers[2].weights_in if twice else 0
    assert found.effective_macs + found.effective_acs == pytest.approx(weights + extra)
    report = energy_report(net, Activity(True, 1.0, (1.0, 1.0)), load_technology())
    assert report["parameters"] == sum(p.numel() for p in net.parameters() if p.requires_grad)
    constants = sum(layer.cells * layer.constants for layer in layers)
    biases = sum(p.numel() for name, p in net.named_parameters() if "bias" in name)
    assert found.weight_words == weights + biases + constants


@pytest.mark.parametrize(
    ("cell", "gates", "products"), [("rnn", 1, 0), ("gru", 3, 3), ("lstm", 4, 3)]
)
def test_cells(cell: str, gates: int, products: int) -> None:
    layers = describe_network(ClassicalRNN(3, [5], 2, cell))  # type: ignore[arg-type]
    assert total(count(layers, ANALOG)).dense == gates * (15 + 25) + products * 5 + 10
    spikes = total(count(layers, SPIKES))
    assert spikes.effective_acs == pytest.approx(0.1 * gates * 15)
    assert spikes.effective_macs == pytest.approx(gates * 25 + products * 5 + 10)
    # Torch's two biases of a gate are one where they are added; of a GRU's candidate the second is
    # multiplied by a gate first.
    biases = 5 * (gates + (cell == "gru"))
    assert spikes.additions == biases + 2
    assert spikes.weight_words == gates * (15 + 25) + 10 + biases + 2
    # Inputs, what units emit and an LSTM's cells, outputs.
    assert spikes.state_words == 3 + 5 * (1 + (cell == "lstm")) + 2


@pytest.mark.parametrize("bidirectional", [False, True])
def test_layer_norm_takes_three_multiplications_and_two_constants_of_each_unit(
    bidirectional: bool,
) -> None:
    nets = [
        ClassicalRNN(3, [5], 2, "gru", bidirectional=bidirectional, norm=norm)
        for norm in ("none", "layer")
    ]
    plain, normed = (total(count(describe_network(net), ANALOG)) for net in nets)
    units = 5 * (1 + bidirectional)
    assert normed.neuron_macs == plain.neuron_macs + 3 * units
    assert normed.synaptic_macs == plain.synaptic_macs
    assert normed.weight_words == plain.weight_words + 2 * units
    assert normed.weight_reads == plain.weight_reads + 2 * units


def test_concatenated_directions_are_read_whole_but_not_in_the_paper_s_rule() -> None:
    found = total(
        count(describe_network(ClassicalRNN(3, [5, 4], 2, "lstm", bidirectional=True)), ANALOG)
    )
    extra = 2 * 4 * 5 * 4 + 4 * 2  # the second layer's gates, and the readout
    padding = 2 * (5 + 4) * 14
    assert found.synaptic_macs + found.neuron_macs + padding - found.paper_macs == extra


@pytest.mark.parametrize(
    ("cell", "by_its_equations", "by_the_paper"),
    [
        ("rnn", 4 * 36 + 36**2 + 36 * 6, 4 * 36 + 2 * 36**2 + 4 * 36 + 36 * 6),
        ("gru", 3 * (4 * 36 + 36**2) + 2 * 36 + 36 * 6, 3 * (4 * 36 + 36**2) + 12 * 36 + 36 * 6),
        ("lstm", 4 * (4 * 36 + 36**2) + 3 * 36 + 36 * 6, 4 * (4 * 36 + 36**2) + 17 * 36 + 36 * 6),
    ],
)
def test_a_cell_is_counted_by_its_equations_but_in_the_paper_s_rule(
    cell: Any, by_its_equations: int, by_the_paper: int
) -> None:
    """The paper's rule counts recurrent weights of an RNN twice, and adds to what a unit
    multiplies."""
    found = total(count(describe_network(ClassicalRNN(4, [36], 6, cell)), ANALOG))
    assert found.synaptic_macs + found.neuron_macs == by_its_equations
    assert found.paper_macs == by_the_paper


def test_weights_that_are_0_cost_nothing_but_in_the_paper_s_rule() -> None:
    net = small(hidden=(5,))
    before = total(count(describe_network(net), spiking(0.2)))
    with torch.no_grad():
        net.layers[0].weight_rec.zero_()  # type: ignore[operator, union-attr]
    after = total(count(describe_network(net), spiking(0.2)))
    assert before.effective_acs - after.effective_acs == pytest.approx(0.2 * 25)
    assert before.dense == after.dense
    assert before.synaptic_acs - after.synaptic_acs == pytest.approx(0.2 * 25)
    assert before.weight_words - after.weight_words == 25 and before.paper_acs == after.paper_acs


def test_each_sender_counts_with_the_weights_that_it_has() -> None:
    """Not spread evenly: the channel that is active may be the one that was pruned."""
    net = SRNN(2, 3, 2, "lif", recurrent=False, backend="reference", norm="none")
    with torch.no_grad():
        net.layers[0].weight_in[:, 1] = 0  # type: ignore[index, union-attr]
    layers = describe_network(net)
    first, second = (
        count(layers, Activity(True, np.array(density), (0.0,)))[0] for density in ([1, 0], [0, 1])
    )
    assert (first.synaptic_acs, second.synaptic_acs) == (3, 0)


def test_adaptation_that_is_off_costs_nothing() -> None:
    def macs(beta: object, trained: tuple[str, ...] = ("tau_mem", "tau_adp")) -> int:
        return describe_network(small(ALIF(beta=beta, trained=trained), hidden=(50,)))[
            0
        ].neuron_macs  # type: ignore[arg-type]

    assert (macs(0.0), macs(1.8)) == (100, 150)
    assert macs(0.0, ("tau_mem", "beta")) == 150  # it may leave 0
    some = small(ALIF(), hidden=(50,))
    some.layers[0].params.set_values(beta=torch.arange(50).float() % 2)  # type: ignore[operator, union-attr]
    with torch.no_grad():
        assert describe_network(some)[0].neuron_macs == 125


def _step(u: Any, w: Any, s: Any, current: Any, alpha: Any, drop: Any, root: Any) -> Any:
    w = w / root + drop * s  # 1; the spike takes its drop or not
    u = alpha * u + (1.0 - alpha) * (current - w)  # 1: (current - w) + alpha (u - (current - w))
    return u * (w <= 2.0), w, 0.5 * absolute(u) * u - drop * root  # 2


@dataclass(frozen=True)
class Mine(Neuron):
    """A neuron that nobody has counted before."""

    name: ClassVar[str] = "mine"
    step = staticmethod(_step)

    tau_mem: Init = Init("normal", 20.0, 5.0)
    drop: Init = Init("constant", 0.1)
    trained: tuple[str, ...] = field(default=("tau_mem", "drop"), kw_only=True)

    def derive(self, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (
            decay(parameters["tau_mem"]),
            parameters["drop"],
            3.0 * torch.ones_like(parameters["drop"]),
        )


def test_any_neuron_is_counted_by_its_equations() -> None:
    def macs(neuron: object) -> float:
        return describe_network(small(neuron, hidden=(50,)))[0].neuron_macs / 50

    assert macs(Mine()) == 4
    usual = {"integrator": 1, "relu": 1, "lif": 1, "cubalif": 2, "alif": 3, "adlif": 3}
    assert {name: macs(name) for name in usual} == usual
    # q's decay and what it takes of the rest; two products for each of u and w, for w of BHRF one;
    # dt I is in the weights.
    assert [macs(name) for name in ("brf", "bhrf")] == [6, 5]
    assert macs(AdLIF(discretisation="euler")) == macs("silif") == 3
    # Four for each dendrite, and its two weights, one of which is in the weights of one dendrite.
    assert macs("drf") == 4 * 4 + 4 * 2 - 1
    assert macs("csilif") == 4  # two products for each of u and w; its gain is in the weights
    # Each gate: its current's weight, its state's, the quotient; then rho e, beta e, and alpha u +
    # (1 - alpha) I as one product.
    assert macs("liquid") == 2 * 3 + 3


def test_substeps_and_what_runs_once() -> None:
    a, b = (
        count(describe_network(small(**more)), spiking(0.2, 0.3)) for more in ({}, {"substeps": 5})
    )
    assert [layer.synaptic_acs for layer in b[:2]] == pytest.approx(
        [5 * layer.synaptic_acs for layer in a[:2]]
    )
    assert b[2].neuron_macs == a[2].neuron_macs  # one update, but of five steps' spikes
    assert b[2].synaptic_acs == pytest.approx(5 * a[2].synaptic_acs)


def test_spikes_are_told_for_a_step_of_the_input_and_for_a_sequence() -> None:
    """With three updates for each step."""
    generator = torch.Generator().manual_seed(0)
    net = small("lif", 3, [4], substeps=3, generator=generator)
    x = (torch.rand(2, 9, 3, generator=generator) < 0.6).float()
    with torch.no_grad():
        spikes = float(net.run(x).layers[0].output.sum())
    report = energy(net, x)["spikes"]
    assert spikes > 0
    assert (report["per_step"], report["per_sequence"]) == pytest.approx((spikes / 18, spikes / 2))


def test_only_spikes_are_told_as_spikes_and_all_tensors_take_memory() -> None:
    """Of a layer that spikes above one that does not; the norm keeps statistics besides the
    parameters."""
    generator = torch.Generator().manual_seed(0)
    net = small(["relu", "lif"], 3, [4, 5], norm=["batch", "none"], generator=generator)
    x = torch.rand(2, 9, 3, generator=generator)
    net.eval()
    with torch.no_grad():
        spikes = float(net.run(x).layers[1].output.sum())
    found = energy(net, x)
    assert spikes > 0 and found["spikes"]["per_step"] == pytest.approx(spikes / 18)
    assert found["activation_sparsity"] == pytest.approx(1 - found["firing_rate"]["mean"])
    kept = net.state_dict()
    assert "layers.0.norm.variance" in kept
    assert found["footprint_bytes"] == sum(t.nbytes for t in kept.values())


def test_a_layer_after_one_that_does_not_spike_multiplies() -> None:
    found = count(describe_network(small(["relu", "lif"])), spiking(0.5, 0.25))
    assert found[1].synaptic_macs == 20 and found[1].neuron_macs == 4
    assert found[1].synaptic_acs == 0.25 * 16
    assert total(found).effective_macs == pytest.approx(0.5 * (25 + 20))


# Memory


def test_memory_by_hand() -> None:
    """Two inputs, one LIF neuron, one integrator: each term counted on paper."""
    layers = describe_network(SRNN(2, 1, 1, "lif", "integrator", norm="none"))
    prices = replace(
        load_technology(),
        on_chip_bytes=(1e9,),
        on_chip_pj=(2.0,),
        on_chip_access_bits=32,
        address_pj=7.0,
    )
    counts = total(count(layers, Activity(True, 0.5, (0.25,))))
    found = parts(counts, prices.prices(counts))
    # Spikes of a step: 1 at the input, .25 of the neuron, which go to itself and to the readout.
    synapses = 1.0 + 0.25 + 0.25
    assert found["synaptic_macs"] + found["neuron_macs"] == pytest.approx(2 * 4.6)  # leaks
    assert found["synaptic_acs"] == pytest.approx(synapses * 0.9)
    assert found["additions"] == pytest.approx((2 + 0.25) * 0.9)  # biases, a reset
    # Constants of LIF and integrator, biases.
    assert found["weight_reads"] == pytest.approx(2.0 * (synapses + 4 + 1 + 2))
    assert found["state_accesses"] == pytest.approx(2.0 * (2 * synapses + 2 * 2))
    # Read thrice, written once, and the output.
    assert found["signal_accesses"] == pytest.approx(2.0 * (1 + 0.25 + 0.25 + 0.25 + 1))
    assert found["addresses"] == pytest.approx(7.0 * synapses)
    assert picojoules(counts, prices.prices(counts)) == pytest.approx(sum(found.values()))


def test_a_layer_without_biases_neither_adds_reads_nor_keeps_them() -> None:
    """Four neurons, in two substeps; with batch norm, whose shift is a bias, they have them
    again."""
    biased, without, normed = (
        total(count(describe_network(small("lif", 3, [4], substeps=2, **options)), spiking(0.1)))
        for options in ({}, {"bias": False}, {"bias": False, "norm": "batch"})
    )
    assert biased == normed
    assert biased.additions - without.additions == pytest.approx(4 * 2)
    assert biased.weight_reads - without.weight_reads == pytest.approx(4 * 2)
    assert biased.weight_words - without.weight_words == 4


@pytest.mark.parametrize("packed", [True, False])
def test_what_lies_in_padding_costs_nothing(packed: bool) -> None:
    """Spikes beyond a sequence's length, and numbers that would make the input an analog one."""
    net, lengths = small("lif"), torch.tensor([7, 0, 4])
    x = (torch.rand(3, 7, 3, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    padding = torch.arange(7)[:, None] >= lengths[:, None, None]
    clean, noisy = x.masked_fill(padding, 0.0), x.masked_fill(padding, 1.0 if packed else 0.5)
    reports = [
        energy(net, Spikes.from_dense(one) if packed else one, lengths) for one in (clean, noisy)
    ]
    assert reports[0] == reports[1]


def test_with_substeps_every_update_of_a_valid_step_is_counted() -> None:
    generator = torch.Generator().manual_seed(0)
    net = small("lif", substeps=3, generator=generator)
    x = (torch.rand(1, 7, 3, generator=generator) < 0.6).float()
    padded = torch.nn.functional.pad(x, (0, 0, 0, 5))
    rates = [energy(net, *given)["firing_rate"] for given in ((x,), (padded, [7]))]
    assert rates[0] == rates[1] and rates[0]["mean"] > 0


@pytest.mark.parametrize("spikes", [True, False])
def test_what_is_under_way_takes_memory_and_nothing_else(spikes: bool) -> None:
    """Of 5 neurons 8 steps at a bit; of 3 inputs 4 steps, at a bit or a word."""
    activity = Activity(spikes, 0.5, (0.25,))

    def counts(delays: Any) -> Any:
        generator = torch.Generator().manual_seed(0)
        net = SRNN.paper(3, 5, 2, delays=delays, generator=generator)
        return total(count(describe_network(net), activity))

    plain, late = counts(None), counts({"recurrent": 7, "input": 4})
    assert late.state_words - plain.state_words == pytest.approx(
        5 * 8 / 32 + 3 * 4 / (32 if spikes else 1)
    )
    assert replace(late, state_words=0.0) == replace(plain, state_words=0.0)


def test_dram_costs_orders_of_magnitude_more() -> None:
    counts = total(count(describe_network(SRNN.paper(700, [128, 128], 20)), spiking(0.1, 0.1)))
    on, off = (
        parts(counts, load_technology(name).prices(counts))
        for name in ("horowitz-45nm", "horowitz-45nm-dram")
    )
    operations = ("synaptic_macs", "neuron_macs", "synaptic_acs", "additions")
    assert sum(off.values()) > 10 * sum(on.values())
    assert all(off[name] == on[name] for name in operations)
    assert sum(off.values()) > 100 * sum(off[name] for name in operations)


def test_the_energy_of_a_memory_grows_with_it() -> None:
    prices = load_technology()
    sizes = [1, 2048, 8192, 20000, 262144, 10**7]
    energies = [prices.on_chip_word(size) for size in sizes]
    assert energies[:3] == [5.0, 5.0, 10.0]  # half of a 64-bit access of 8 KB, 8 KB, 32 KB
    assert energies == sorted(energies) and energies[4] == 50.0
    # On the line from 32 KB to 1 MB, and beyond: 40 pJ more, for a word, by 2^20 - 2^15 bytes.
    rises = [10 + 40 * (4 * size - 2**15) / (2**20 - 2**15) for size in (20000, 10**7)]
    assert [energies[3], energies[5]] == pytest.approx(rises)


def test_weights_and_states_lie_in_memories_of_their_own_sizes() -> None:
    """Where an access of a memory costs 1 pJ for each of its words, and one off the chip 24 for
    three words."""
    counts = replace(total(()), weight_words=1000, state_words=10)
    sizes = {"on_chip_bytes": (4.0, 4e6), "on_chip_pj": (1.0, 1e6), "on_chip_access_bits": 32}
    technology = replace(load_technology(), **sizes, off_chip_pj=24.0, off_chip_access_bits=96)  # type: ignore[arg-type]
    for weights, price in (("on_chip", 1000), ("off_chip", 8)):
        found = replace(technology, weights=weights).prices(counts)  # type: ignore[arg-type]
        assert found["weight_reads"] == pytest.approx(price)
        assert found["state_accesses"] == found["signal_accesses"] == pytest.approx(10)
