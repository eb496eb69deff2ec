"""Energy: reports of networks, the rate at which spiking stops paying, and how an input is
measured."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn.measure.energy import (
    FP32,
    MODELS,
    Activity,
    LayerCounts,
    break_even,
    compare,
    describe_network,
    energy,
    energy_report,
    load_technology,
    measure_input,
    picojoules,
)
from srnn.measure.energy.compared import compare_energy
from srnn.measure.energy.page import in_short
from srnn.measure.sections import Note
from srnn.nn.baselines import ClassicalRNN
from support.energies import ANALOG, GIVEN, SPIKES, small, spiking


def test_what_was_not_measured_is_none() -> None:
    prices = load_technology()
    lif, relu = small("lif"), small("relu")
    nothing = energy_report(lif, SPIKES, prices, 4.0)
    assert nothing["models"] == dict.fromkeys(MODELS) and nothing["counts"] is None
    assert nothing["firing_rate"] is None and nothing["spikes"] is None
    report = energy_report(relu, SPIKES, prices, 4.0)
    assert report["models"]["neurobench"] is None
    assert report["models"]["memory"]["energy_pj"]["step"] > 0
    assert [row["energy"]["fp32"] for row in compare([report, nothing])] == [1.0, None]


def test_step_sequence_and_second() -> None:
    report = energy_report(small(), spiking(0.1, 0.2), load_technology(), 4.0, accuracy=0.9)
    for model in report["models"].values():
        found = model["energy_pj"]
        assert found["sequence"] == pytest.approx(100 * found["step"])
        assert found["second"] == pytest.approx(250 * found["step"])
    assert report["spikes"]["per_sequence"] == pytest.approx(100 * (0.1 * 5 + 0.2 * 4))
    assert report["spikes"]["synaptic_operations_per_step"] == report["counts"]["synaptic_acs"]
    untimed = energy_report(small(), replace(ANALOG, rates=(0.1, 0.2)), load_technology(), None)
    assert untimed["models"]["paper"]["energy_pj"]["second"] is None
    assert untimed["models"]["paper"]["energy_pj"]["sequence"] is None


def test_ratios_are_to_the_first_and_efficiency_is_their_product() -> None:
    def report(accuracy: float, step: float) -> dict[str, Any]:
        return {
            "name": "",
            "accuracy": accuracy,
            "models": {model: {"energy_pj": {"step": step}} for model in MODELS},
        }

    first, other = compare([report(0.9, 10.0), report(0.6, 5.0)])
    assert (first["energy"]["fp32"], first["error"], first["efficiency"]["fp32"]) == (1, 1, 1)
    assert (other["energy"]["fp32"], other["error"]) == pytest.approx((0.5, 4))
    assert other["efficiency"] == pytest.approx(dict.fromkeys(MODELS, 2.0))
    assert compare([report(1.0, 10.0), report(0.6, 5.0)])[1]["error"] is None
    # To nothing.
    assert compare([report(0.9, 0.0), report(0.6, 5.0)])[1]["energy"] == dict.fromkeys(MODELS)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_energy_of_a_network_on_an_input_in_one_call(bidirectional: bool) -> None:
    torch.manual_seed(3)
    net = small("alif", bidirectional=bidirectional, merge="mean").train()
    x, lengths = (torch.rand(4, 20, 3) < 0.3).float(), torch.tensor([20, 5, 11, 20])
    report = energy(net, x, lengths, step_ms=2.0)
    record = ("s",) if bidirectional else ()
    with torch.no_grad():
        result = net.eval().run(x, lengths=lengths, record=record)
    spikes = sum(float(layer.output.sum()) for layer in result.layers[:-1]) * (
        2 if bidirectional else 1
    )
    assert report["spikes"]["per_step"] == pytest.approx(spikes / 56)
    assert report["spikes"]["per_step"] > 0
    step, sequence, second = (
        report["models"]["fp32"]["energy_pj"][period] for period in ("step", "sequence", "second")
    )
    assert sequence == pytest.approx(14 * step) and second == pytest.approx(500 * step)
    counts = LayerCounts(
        **{name: sum(layer[name] for layer in report["layers"]) for name in report["counts"]}
    )
    assert step == pytest.approx(picojoules(counts, FP32))
    assert "np." not in repr(report)  # plain numbers, as people print it
    lstm = energy(ClassicalRNN(3, [5, 4], 2, "lstm"), x, lengths)
    assert lstm["firing_rate"] is None and lstm["models"]["fp32"]["energy_pj"]["step"] > step
    assert (
        energy(net, x, lengths, technology="horowitz-45nm-dram")["models"]["memory"]
        != report["models"]["memory"]
    )


# Break-even


@functools.cache
def scanned(kind: str) -> dict[str, list[float]]:
    """pJ of a step of the spiking network at each of 201 rates from 0 to 1, by model; ``kind`` of
    input as in GIVEN."""
    prices, net = load_technology(), small("alif", inputs=6, hidden=(12, 8))
    reports = [
        energy_report(net, replace(GIVEN[kind], rates=(float(rate), float(rate))), prices)
        for rate in np.linspace(0, 1, 201)
    ]
    return {
        model: [report["models"][model]["energy_pj"]["step"] for report in reports]
        for model in MODELS
    }


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("other", ["relu", "lstm"])
@pytest.mark.parametrize("kind", ["spikes", "analog"])
def test_the_rate_at_which_spiking_stops_paying(model: str, other: str, kind: str) -> None:
    given, net = GIVEN[kind], small("alif", inputs=6, hidden=(12, 8))
    dense = (
        small("relu", inputs=6, hidden=(12, 8))
        if other == "relu"
        else ClassicalRNN(6, [12, 8], 2, "lstm")
    )
    rate = break_even(describe_network(net), given, describe_network(dense), load_technology())[
        model
    ]
    active = replace(given, rates=(1.0, 1.0)) if other == "relu" else given  # no ReLU unit is at 0
    limit = energy_report(dense, active, load_technology())["models"][model]["energy_pj"]["step"]
    # The first of the rates at which the spiking network's report shows no less.
    found = next(
        (number / 200 for number, pj in enumerate(scanned(kind)[model]) if pj >= limit),
        float("inf"),
    )
    if rate > 1:
        assert found == float("inf")
    else:
        assert found - 1 / 200 <= max(rate, 0.0) <= found


@pytest.mark.parametrize(
    ("rate", "limit", "words"),
    [
        (0.27, 0.6, "Spiking pays: it costs less than ReLU units"),
        (0.27, 1.5, "0.27 spikes per neuron and step, as at any other rate."),
        (0.8, 0.6, "Spiking does not pay: it costs more than ReLU units"),
        (0.8, 0.6, "and would pay below 0.6."),
        (0.1, -0.2, "does not pay: it costs more than ReLU units, memory included, at 0.1"),
        (0.1, -0.2, "as at any other rate."),
    ],
)
def test_one_line_says_whether_spiking_pays(rate: float, limit: float, words: str) -> None:
    comparison = compare_energy(["ecg"], rates=[rate], input_rate=0.1)
    comparison["break_even"]["relu"]["memory"] = limit
    notes = [part.text for part in in_short(comparison).parts if isinstance(part, Note)]
    assert any(words in note for note in notes)


def test_nothing_is_said_of_spiking_where_none_spikes() -> None:
    comparison = compare_energy(["ecg"], rates=[0.2], input_rate=0.1)
    comparison["break_even"] = {}
    notes = [part.text for part in in_short(comparison).parts if isinstance(part, Note)]
    assert not any("Spiking" in note for note in notes)


def test_no_rate_is_the_limit_where_spikes_cost_nothing(tmp_path: Path) -> None:
    file = tmp_path / "free.toml"
    free = "\n".join(f"[{name}]\npj = 0" for name in ("mac", "ac", "address", "off_chip"))
    file.write_text(f'base = "horowitz-45nm"\n{free}\n[on_chip]\npj = [0, 0, 0]\n')
    net, dense = (
        describe_network(small(kind, inputs=6, hidden=(12, 8))) for kind in ("alif", "relu")
    )
    limits = break_even(net, GIVEN["spikes"], dense, load_technology(file))
    assert limits["memory"] == float("inf") and limits["fp32"] < float("inf")
    # Multiplications decide, at every rate.
    file.write_text(file.read_text().replace("[mac]\npj = 0", "[mac]\npj = 1"))
    sizes = ((12, 8), (1, 1))
    others = [describe_network(small("relu", inputs=6, hidden=hidden)) for hidden in sizes]
    limits = [break_even(net, GIVEN["spikes"], other, load_technology(file)) for other in others]
    assert [limit["memory"] for limit in limits] == [float("inf"), -float("inf")]


def test_the_limit_is_of_what_the_dense_network_reads_itself() -> None:
    """Spikes behind an encoder for the one, for the other the analog signal, of which NeuroBench
    counts what is not 0."""
    net, dense = small(inputs=6, hidden=(12, 8)), small("relu", inputs=6, hidden=(12, 8))

    def step(network: object, activity: Activity) -> float:
        report = energy_report(network, activity, load_technology())  # type: ignore[arg-type]
        return report["models"]["neurobench"]["energy_pj"]["step"]

    silent, full = step(net, spiking(0.0, 0.0)), step(net, spiking(1.0, 1.0))
    ours, theirs, prices = describe_network(net), describe_network(dense), load_technology()
    found = break_even(ours, SPIKES, theirs, prices, dense_activity=ANALOG)
    expected = step(dense, replace(ANALOG, rates=(1.0, 1.0)))
    assert silent + found["neurobench"] * (full - silent) == pytest.approx(expected)
    assert expected > 1.01 * step(dense, spiking(1.0, 1.0))


def test_input_is_measured_without_padding() -> None:
    from srnn.data.batches import Sequences
    from support.tiny import TinyTask

    task = TinyTask(padded=True)
    data = task.load("validation")
    found = measure_input(Sequences(task, "validation"), batch_size=7)
    assert found.spikes and found.steps == pytest.approx(data.lengths.mean())  # type: ignore[union-attr]
    assert np.mean(found.density) == pytest.approx(data.x.sum() / (data.lengths.sum() * 3))  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("values", "spikes"), [((0, 1), True), ((-1, 0, 1), True), ((0, 2), False), ((0, 0.5), False)]
)
def test_what_counts_as_spikes(
    values: tuple[float, ...], spikes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srnn.data.batches import Sequences
    from srnn.data.datasets import Split
    from support.tiny import TinyTask

    x = np.resize(np.array(values, np.float32), (4, 5, 3))
    monkeypatch.setattr(TinyTask, "load", lambda *_: Split(x, np.zeros(4, np.int64)))
    found = measure_input(Sequences(TinyTask(), "validation"))
    assert found.spikes is spikes and np.mean(found.density) == pytest.approx((x != 0).mean())
