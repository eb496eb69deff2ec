"""CubaLIF: what snnTorch, NIR and SpyTorch compute with their own formulas, in all combinations of
its settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, CubaLIF
from srnn.measure.energy import describe_network
from srnn.nn.neurons import as_neuron

ALPHA, BETA, THRESHOLD = 0.8, 0.9, 0.7
STEPS, COUNT = 300, 40
SETTINGS = list(itertools.product(("hard", "soft"), ("same", "next"), ("same", "next")))


def currents(seed: int = 0) -> torch.Tensor:
    """(STEPS, COUNT), float64; strong enough to leave the membrane far above the threshold now and
    then."""
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(STEPS, COUNT, generator=generator, dtype=torch.float64) + 0.08


def ours(x: torch.Tensor, **settings: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(spikes, membranes, synaptic currents) of CubaLIF with what its parameters derive to."""
    given: dict[str, Any] = {
        "tau_syn": -1 / np.log(ALPHA),
        "tau_mem": -1 / np.log(BETA),
        "threshold": THRESHOLD,
    }
    given |= {"gain": 1 / (1 - ALPHA), "resistance": 1 / (1 - BETA)} | settings
    neuron = CubaLIF(**given)
    coefficients = neuron.derive(
        **{
            name: getattr(neuron, name).sample(1, dtype=torch.float64)
            for name in neuron.parameters()
        }
    )
    u = syn = s = torch.zeros(x.shape[1], dtype=torch.float64)
    records = []
    for current in x:
        u, syn, v = CubaLIF.step(u, syn, s, current, *coefficients)
        s = (v > 0).double()
        records.append((s, u, syn))
    spikes, membranes, synapses = map(torch.stack, zip(*records, strict=True))
    assert spikes.sum() > 300
    return spikes, membranes, synapses


def same(found: tuple[torch.Tensor, ...], expected: Iterator[tuple[torch.Tensor, ...]]) -> None:
    wanted = [torch.stack(values) for values in zip(*expected, strict=True)]
    assert torch.equal(found[0], wanted[0])
    for values, theirs in zip(found[1:], wanted[1:], strict=False):
        assert torch.allclose(values, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mechanism", ["zero", "subtract"])
def test_snntorchs_synaptic_as_it_is_by_default(mechanism: str) -> None:
    """A reset of the next step: the spike of mem is taken off (or empties) the new mem, current
    included."""

    def theirs(x: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        syn = mem = torch.zeros(COUNT, dtype=torch.float64)
        for input_ in x:
            reset = (mem > THRESHOLD).double()
            syn = ALPHA * syn + input_
            mem = BETA * mem + syn
            mem = mem - reset * (THRESHOLD if mechanism == "subtract" else mem)
            yield (mem > THRESHOLD).double(), mem, syn

    kind = {"zero": "hard", "subtract": "soft"}[mechanism]
    same(ours(currents(), reset_kind=kind, reset_step="next"), theirs(currents()))


def test_snntorchs_synaptic_without_reset_delay() -> None:
    """The reset to zero of its own step."""

    def theirs(x: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        syn = mem = torch.zeros(COUNT, dtype=torch.float64)
        for input_ in x:
            syn = ALPHA * syn + input_
            before = BETA * mem + syn
            spk = (before > THRESHOLD).double()
            mem = before - spk * before
            yield spk, before, syn

    same(ours(currents(), reset_kind="hard"), theirs(currents()))


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("synapse_step", ["same", "next"])
def test_nirs_equations_by_forward_euler(kind: str, synapse_step: str) -> None:
    """With r, w_in and v_reset; as NIR's own reference has it (the old current: "next"), and as
    snnTorch and Norse step it."""
    dt, tau_syn, tau_mem, r, w_in, v_reset = 1e-3, 4e-3, 7e-3, 2.5, 1.7, -0.2

    def theirs(x: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        v = i = torch.zeros(COUNT, dtype=torch.float64)
        for spikes_in in x:
            before = i
            i = i + dt / tau_syn * (w_in * spikes_in - i)
            v = v + dt / tau_mem * (r * (i if synapse_step == "same" else before) - v)
            z = (v > THRESHOLD).double()
            yield z, v, i * (r * dt / tau_mem)
            v = v - z * (THRESHOLD - v_reset if kind == "soft" else v - v_reset)

    steps = {"tau_syn": -1 / np.log(1 - dt / tau_syn), "tau_mem": -1 / np.log(1 - dt / tau_mem)}
    settings = {
        "gain": w_in,
        "resistance": r,
        "reset": v_reset,
        "reset_kind": kind,
        "synapse_step": synapse_step,
    }
    same(ours(8 * currents(), **settings, **steps), theirs(8 * currents()))


def test_spytorch() -> None:
    """Zenke's tutorials: spikes of the old membrane, the old current, and a reset of the whole new
    membrane."""

    def theirs(x: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        syn = mem = torch.zeros(COUNT, dtype=torch.float64)
        for h1 in x:
            rst = (mem - THRESHOLD > 0).double()
            syn, mem = ALPHA * syn + h1, (BETA * mem + syn) * (1.0 - rst)
            yield (mem - THRESHOLD > 0).double(), mem, syn

    same(
        ours(currents(), reset_kind="hard", reset_step="next", synapse_step="next"),
        theirs(currents()),
    )


def test_neftci_mostafa_and_zenke() -> None:
    """In their equations: I[n+1] = alpha I[n] + input, U[n+1] = beta U[n] + I[n] - S[n], threshold
    1."""

    def theirs(x: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        current = membrane = torch.zeros(COUNT, dtype=torch.float64)
        spike = torch.zeros(COUNT, dtype=torch.float64)
        for arrived in x:
            current, membrane = ALPHA * current + arrived, BETA * membrane + current - spike
            spike = (membrane > 1.0).double()
            yield spike, membrane, current

    settings = {
        "threshold": 1.0,
        "reset_kind": "soft",
        "reset_step": "next",
        "synapse_step": "next",
    }
    same(ours(currents(), **settings), theirs(currents()))


def test_no_two_settings_are_the_same() -> None:
    spikes = [
        ours(currents(), reset_kind=kind, reset_step=reset, synapse_step=synapse)[0]
        for kind, reset, synapse in SETTINGS
    ]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(spikes, 2))


def test_a_constant_input_brings_the_membrane_to_gain_times_resistance() -> None:
    """Also where a time constant is so long that 1 - exp(-1/tau) is all but lost in float32, or is
    no memory at all."""
    neuron = CubaLIF(gain=2.0, resistance=3.0, threshold=1e9)  # type: ignore[arg-type]
    ones = torch.ones(2)
    tau = {"tau_mem": torch.tensor([1e5, 30.0]), "tau_syn": torch.tensor([1e-3, 5.0])}
    alpha, beta, gain, *rest = neuron.derive(
        gain=2 * ones, resistance=3 * ones, threshold=1e9 * ones, reset=0 * ones, **tau
    )
    assert torch.allclose(
        gain / ((1 - alpha.double()) * -torch.expm1(-1 / tau["tau_mem"].double())),
        6.0 * ones.double(),
    )
    u = syn = s = torch.zeros(1)
    for _ in range(600):
        u, syn, _ = CubaLIF.step(
            u, syn, s, 1.0, *(value[1:] for value in (alpha, beta, gain, *rest))
        )
    assert u.item() == pytest.approx(6.0, rel=1e-4)


def test_settings() -> None:
    assert as_neuron({"name": "cubalif", "reset_kind": "hard"}) == CubaLIF(reset_kind="hard")
    model = CubaLIF(reset_step="next", tau_syn=3.0)  # type: ignore[arg-type]
    assert as_neuron(model.describe()) == model
    described = describe_network(SRNN(3, [10], 2, neuron=CubaLIF(reset_kind="hard"), norm="none"))[
        0
    ]
    assert (
        described.neuron_macs == 20
    )  # one more than a LIF neuron: the decay of the synaptic current


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "reset_step", "synapse_step"), SETTINGS)
def test_every_setting_on_the_compiled_backend(
    kind: Any, reset_step: Any, synapse_step: Any
) -> None:
    """Values and every gradient, trained parameters of the neuron included, against the
    reference."""
    pytest.importorskip("numba")
    trained = ("tau_mem", "tau_syn", "gain", "resistance", "threshold", "reset")
    neuron = CubaLIF(
        threshold="uniform(0.01, 0.03)", reset="uniform(-0.02, "
                                               "0.01)", trained=trained,  # type: ignore[arg-type]
        reset_kind=kind, reset_step=reset_step, synapse_step=synapse_step,
    )  # fmt: skip
    x = torch.randn(5, 60, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results = []
    for backend in ("reference", "cpu"):
        net = SRNN(
            4,
            [13, 9],
            2,
            neuron,
            backend=backend,
            generator=torch.Generator().manual_seed(0),
            norm="none",
        ).double()
        output = net(x)[0]
        (output * torch.arange(1.0, 3.0)).sum().backward()
        rates = [layer.output.mean().detach() for layer in net.run(x).layers[:-1]]
        results.append(
            [output.detach(), *rates, *(parameter.grad for parameter in net.parameters())]
        )
    assert all(0.01 < float(rate) < 0.8 for rate in results[0][1:3])
    assert sum(bool(gradient.any()) for gradient in results[0][3:]) > 12
    for compiled, reference in zip(results[1], results[0], strict=True):
        assert float((compiled - reference).abs().max()) <= 1e-9 * float(reference.abs().max())
