"""Delays: what is under way arrives when it should, is state, and lets a network learn what it
could not without."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import SRNN, SrnnError
from srnn.data.spikes import Spikes
from srnn.nn.delay_buffer import delayed_input, depth_of, draw, later, reached
from srnn.nn.delays import LONGEST, Delays
from srnn.nn.network import Layer
from srnn.nn.neurons import LIF, Init


def layer(backend: str = "reference", inputs: int = 3, size: int = 8, **options: Any) -> Layer:
    made = Layer(
        inputs, size, "lif", backend=backend, generator=torch.Generator().manual_seed(3), **options
    ).double()
    with torch.no_grad():
        made.weight_in.mul_(3)
    return made


def test_delays_are_drawn_once_in_whole_steps() -> None:
    drawn = draw(Init.parse("uniform(0, 20)"), 1000, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.int64 and set(drawn.tolist()) == set(range(21))
    half_normal = draw(Init.parse("normal(0, 12)"), 1000, torch.Generator().manual_seed(0)).double()
    assert half_normal.min() == 0 and half_normal.square().mean().sqrt() == pytest.approx(
        12, rel=0.1
    )
    assert draw(Init.parse(6), 3).tolist() == [6, 6, 6]
    one, other = (layer(delays={"recurrent": "uniform(0, 20)"}).delay_rec for _ in range(2))
    assert torch.equal(one, other)  # type: ignore[arg-type]
    assert Delays.parse(Delays.parse({"recurrent": 6, "input": None}).describe()) == Delays(
        Init("constant", 6.0)
    )
    assert Delays(input="uniform(0, 5)", recurrent=6) == Delays(
        Init("constant", 6.0), Init("uniform", 0.0, 5.0)
    )  # type: ignore[arg-type]


def test_delays_end_at_the_longest() -> None:
    assert draw(Init.parse(LONGEST), 2).tolist() == [LONGEST] * 2
    assert depth_of(torch.tensor([0, LONGEST])) == LONGEST + 1


def test_a_setting_of_another_name_is_refused() -> None:
    with pytest.raises(SrnnError, match="Did you mean 'recurrent'"):
        layer(delays={"recurent": 3})


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_spikes_arrive_after_their_delay(backend: str) -> None:
    """Against the equations, written out: x[t - d_j] of channel j, s[t - 1 - d_j] of neuron j."""
    made = layer(backend, delays={"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"})
    x = (torch.rand(2, 50, 3, generator=torch.Generator().manual_seed(1)) < 0.4).double()
    result = made(x)
    own, below = made.delay_rec, made.delay_in
    assert (
        own is not None and below is not None and len(own.unique()) > 3 and len(below.unique()) > 1
    )
    s, membrane = [torch.zeros(2, 8).double()], torch.zeros(2, 8).double()
    assert made.weight_rec is not None and made.bias is not None
    for t in range(50):
        heard = torch.stack(
            [x[:, t - d, j] if t >= d else 0 * x[:, 0, j] for j, d in enumerate(below)], 1
        )
        echo = torch.stack(
            [s[t - d][:, j] if t >= d else 0 * s[0][:, j] for j, d in enumerate(own)], 1
        )
        current = heard @ made.weight_in.T + echo @ made.weight_rec.T + made.bias
        membrane, v = made.neuron.step(membrane, s[-1], current, *made.params.coefficients())
        s.append((v > 0).double())
    assert result.output.sum() > 20 and torch.equal(result.output, torch.stack(s[1:], 1))
    assert all(torch.equal(result.state.arriving[:, k, j], s[50 + k - d][:, j] if k <= d else 0 * s[0][:, j])  # type: ignore[attr-defined]
               for k in range(result.state.arriving.shape[1]) for j, d in enumerate(own))  # type: ignore[attr-defined] # fmt: skip


def test_what_lies_in_the_padding_is_not_under_way() -> None:
    made, x = layer(delays={"input": "uniform(0, 6)"}), torch.rand(2, 9, 3).double()
    x[1, 4:] = float("nan")
    state = made(x, None, torch.tensor([9, 4])).state
    assert torch.equal(state.incoming[1:], made(x[1:, :4]).state.incoming)  # type: ignore[attr-defined]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_one_delay_for_all_is_the_skip_recurrence(backend: str) -> None:
    """ASRC-SNN: what a layer hears of itself is s[t - k], for which the delay is k - 1."""
    k, x = 5, torch.ones(2, 20, 3).double()
    made = layer(backend, delays={"recurrent": k - 1})
    (u, s), spikes = made.initial_state(2)[:2], []
    with torch.no_grad():
        for t in range(20):
            skipped = spikes[t - k] if t >= k else torch.zeros(2, 8).double()
            current = x[:, t] @ made.weight_in.t() + made.bias + skipped @ made.weight_rec.t()  # type: ignore[union-attr]
            u, v = made.neuron.step(u, s, current, *made.params.coefficients())
            s = (v > 0).double()
            spikes.append(s)
        assert (
            torch.equal(made(x).output, torch.stack(spikes, 1))
            and 0.05 < torch.stack(spikes).mean() < 0.9
        )


def test_what_version_0_1_wrote_of_drawn_delays_is_read() -> None:
    """A file of it may say in words that the delays were not learned."""
    written = {"recurrent": 3, "learned": False, "sigma": 10}
    assert (
        Delays.parse(written)
        == Delays.parse({"recurrent": 3, "learned": None})
        == Delays.parse({"recurrent": 3})
    )


def test_spikes_drawn_for_the_start_are_under_way() -> None:
    """Each arrives after its neuron's delay, as if it had been sent in the step before the
    first."""
    delays = {"recurrent": "uniform(0, 4)"}
    made = Layer(
        3, 8, LIF(initial={"s": 1}), delays=delays, generator=torch.Generator().manual_seed(0)
    )
    assert made.delay_rec is not None
    arriving = made.initial_state(2).arriving  # type: ignore[attr-defined]
    steps = torch.arange(arriving.shape[1])[:, None]
    torch.testing.assert_close(arriving.sum(1), torch.ones(2, 8))
    torch.testing.assert_close(
        (arriving * steps).sum(1), made.delay_rec.detach().float().expand(2, 8)
    )


def test_a_delay_of_no_step_is_no_delay() -> None:
    x = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for backend in ("reference", "cpu"):
        with torch.no_grad():
            assert torch.equal(
                layer(backend)(x).output,
                layer(backend, delays={"recurrent": 0, "input": 0})(x).output,
            )


@settings(max_examples=40)
@given(
    channels=st.sampled_from([1, 3, 64, 70]), longest=st.sampled_from([0, 1, 5, 30]), steps=st.integers(0, 20),
    padded=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_delayed_bits_equal_delayed_numbers(
    channels: int, longest: int, steps: int, padded: bool, seed: int
) -> None:
    """Values and gradients, of what arrives and of what is under way after each sequence's last
    step."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(3, steps, channels, generator=generator) < 0.3).double()
    delays = torch.randint(0, longest + 1, (channels,), generator=generator)
    incoming = (torch.rand(3, int(delays.max()), channels, generator=generator) < 0.3).double()
    lengths = torch.randint(0, steps + 1, (3,), generator=generator) if padded else None
    valid = None if lengths is None else (torch.arange(steps) < lengths[:, None])[..., None]
    results = []
    for binary in (False, True):
        leaf = torch.zeros_like(x, requires_grad=True) if binary else x.clone().requires_grad_()
        given = Spikes(Spikes.from_dense(x).words, channels, leaf) if binary else leaf
        arrived, after = delayed_input(given, delays, incoming, lengths)
        assert isinstance(arrived, Spikes) is binary
        dense = arrived.dense() if isinstance(arrived, Spikes) else arrived
        dense = dense if valid is None else dense * valid
        parts = [torch.randn(part.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype) * part
                 for part in (dense, after)]  # fmt: skip
        (parts[0].sum() + parts[1].sum()).backward()
        results.append((dense.detach(), after.detach(), leaf.grad))
    assert all(torch.allclose(a, b, atol=1e-14) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_numbers_under_way_arrive_with_bits_and_take_a_gradient(
    value: float, trained: bool
) -> None:
    """Each entry once, now or later, but for those beyond its neuron's delay."""
    x, delays = torch.tensor([[[1.0, 0, 1], [0, 1, 1]]]).double(), torch.tensor([0, 2, 3])
    incoming = torch.full((1, 3, 3), value, dtype=torch.float64, requires_grad=trained)
    arrived, after = delayed_input(Spikes.from_dense(x), delays, incoming, None)
    arrived, v = arrived.dense(x.dtype) if isinstance(arrived, Spikes) else arrived, value
    expected = torch.tensor([[1, v, v], [0, v, v], [0, 0, v], [0, 1, 1], [0, 0, 1]]).double()
    assert torch.equal(torch.cat([arrived, after], 1)[0], expected)
    if trained:
        (gradient,) = torch.autograd.grad(arrived.sum() + after.sum(), incoming)
        assert torch.equal(gradient[0], reached(delays - 1, 3).double())


def test_what_is_still_under_way_later() -> None:
    """Also after more steps than anything is under way: nothing."""
    in_flight = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(0))
    for lengths, steps in ((None, 0), (None, 2), (None, 99), (torch.tensor([0, 1, 3, 99]), 99)):
        ends = [steps] * 4 if lengths is None else lengths.tolist()
        wanted = [
            [in_flight[b, k + end] if k + end < 3 else torch.zeros(2) for k in range(3)]
            for b, end in enumerate(ends)
        ]
        assert torch.equal(
            later(in_flight, lengths, steps), torch.stack([torch.stack(rows) for rows in wanted])
        )


def test_states_are_pickled_and_copied() -> None:
    net = SRNN.paper(3, [4], 2, delays={"recurrent": 3, "input": 2})
    state = net.initial_state(2)
    for other in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):
        assert type(other[0]) is type(state[0]) and torch.equal(
            other[0].arriving, state[0].arriving
        )


LAG = 12


def coincidences(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two events, each on 16 channels: label 1 where the second comes LAG steps after the first,
    else another lag."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=generator)
    other = torch.randint(0, 2 * LAG - 1, (count,), generator=generator)
    other = other + (other >= LAG)
    first = torch.randint(0, 6, (count,), generator=generator)
    x = torch.zeros(count, 54, 32)
    x[torch.arange(count), first, :16] = 1
    x[torch.arange(count), first + torch.where(labels == 1, LAG, other), 16:] = 1
    return x, labels


def learnt(delays: Any) -> float:
    """Accuracy on new sequences of a feed-forward network whose membranes forget within a few
    steps, after 200 steps of Adam."""
    net = SRNN(
        32, [40], 2, {"name": "lif", "tau_mem": 2, "trained": []},
        {"neuron": {"name": "integrator", "tau_mem": 2, "trained": []}}, recurrent=False, delays=delays,
        generator=torch.Generator().manual_seed(1), norm="none"
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for step in range(200):
        x, labels = coincidences(64, step)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net.run(x).output.mean(1) * 20, labels).backward()
        optimizer.step()
    x, labels = coincidences(1000, 10_000)
    with torch.no_grad():
        return float((net.run(x).output.mean(1).argmax(1) == labels).float().mean())


@pytest.mark.slow
def test_a_coincidence_at_a_distance_is_learnt_with_delays_only() -> None:
    assert learnt(None) < 0.6
    assert learnt({"input": "uniform(0, 24)"}) > 0.9
