"""Learned delays: in training what plain autograd computes, in evaluation fixed ones, found by gradient descent."""

from __future__ import annotations

import pytest
import torch

from srnn import SRNN, SrnnError
from srnn.data.spikes import Spikes
from srnn.nn.delays import LONGEST, Delays
from srnn.nn.kernels import LayerResult
from srnn.nn.kernels.reference import spike
from srnn.nn.network import Layer, narrow_delays
from srnn.nn.network import layer as layers
from srnn.nn.network.learned_delays import reach, triangle

LEARNED = {"recurrent": "uniform(0, 6)", "input": "uniform(0, 4)", "learned": True, "sigma": 1.7}


def layer(backend: str = "reference", **options: object) -> Layer:
    delays = {**LEARNED, **options}
    made = Layer(3, 11, "lif", delays=delays, backend=backend, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        made.weight_in.mul_(3)
        made.delay_rec[2] *= -1  # type: ignore[index]
    return made


def signal(steps: int = 30) -> torch.Tensor:
    return (torch.rand(4, steps, 3, generator=torch.Generator().manual_seed(5)) < 0.4).double()


def plain(made: Layer, x: torch.Tensor) -> torch.Tensor:
    """The layer's spikes (B, T, H) by the definition: each current is a sum over all that was ever sent."""

    def parts(delays: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(x.shape[1])[:, None]
        height = torch.relu(1 + made.sigma - (steps - delays.abs()).abs())
        return height / height.sum(0)

    of_input, of_own = parts(made.delay_in), parts(made.delay_rec)  # type: ignore[arg-type]
    (u, s), sent = made.initial_state(len(x))[:2], []
    for t in range(x.shape[1]):
        current = sum(x[:, t - k] * of_input[k] for k in range(t + 1)) @ made.weight_in.t() + made.bias
        if t:
            current = current + sum(sent[t - 1 - k] * of_own[k] for k in range(t)) @ made.weight_rec.t()  # type: ignore[union-attr]
        u, v = made.neuron.step(u, s, current, *made.params.coefficients())
        s = spike(v, made.surrogate)
        sent.append(s)
    return torch.stack(sent, 1)


@pytest.mark.parametrize("sigma", [1.7, 0.0])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_training_is_what_plain_autograd_computes(backend: str, sigma: float) -> None:
    x, results = signal(), []
    factors = torch.randn(4, 30, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for run in (plain, lambda made, x: made(x if backend == "reference" else Spikes.from_dense(x)).output):
        made = layer(backend, sigma=sigma)
        spikes, parameters = run(made, x), dict(made.named_parameters())
        gradients = torch.autograd.grad((spikes * factors).sum(), list(parameters.values()), materialize_grads=True)
        results.append((spikes.detach(), dict(zip(parameters, gradients, strict=True))))
    (expected, g_expected), (spikes, gradients) = results
    assert 0.05 < expected.mean() < 0.8 and torch.equal(spikes, expected)
    assert g_expected.keys() > {"delay_rec", "delay_in"}
    for name, gradient in g_expected.items():
        assert gradient.any(), name
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-9, atol=1e-9 * float(gradient.abs().max()))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_cut_sequence_equals_the_whole_while_delays_are_learned(backend: str) -> None:
    made, x = layer(backend), signal()
    lengths = torch.tensor([30, 3, 17, 22])
    x[1, 3:] = 1e6  # is not looked at
    with torch.no_grad():
        whole: LayerResult = made(x, lengths=lengths)
        first = made(x[:, :19], lengths=lengths.clamp(max=19))
        second = made(x[:, 19:], first.state, lengths=(lengths - 19).clamp(min=0))
    torch.testing.assert_close(torch.cat([first.output, second.output], 1), whole.output, rtol=0, atol=0)
    for after, expected in zip(second.state, whole.state, strict=True):
        torch.testing.assert_close(after, expected)
    short, expected = whole.state, made(x[1:2, :3]).state  # of one that ends before the others
    torch.testing.assert_close((short.incoming[1:2], short.arriving[1:2]), (expected.incoming, expected.arriving))  # type: ignore[attr-defined]


@pytest.mark.parametrize("change", [-2.0, 2.0])
def test_delays_may_change_between_two_parts_of_a_sequence(change: float) -> None:
    """As an optimiser changes them, and with them for how many steps something is under way: nothing of it is lost."""
    x, results = signal(), []
    for backend in ("reference", "cpu"):
        made = layer(backend)
        with torch.no_grad():
            state = made(x[:, :12]).state
            made.delay_rec[made.delay_rec.abs().argmax()] += change  # type: ignore[index]
            made.delay_in[made.delay_in.argmax()] += change  # type: ignore[index]
            assert made.state_shapes["arriving"][0] != state.arriving.shape[1]
            results.append(made(x[:, 12:13], state))
        left = state.arriving[:, 1:].sum(1)
        torch.testing.assert_close(results[-1].state.arriving.sum(1), left + results[-1].output[:, 0])
    for ours, theirs in zip(*(result.state for result in results), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_evaluation_rounds_and_changes_nothing(backend: str) -> None:
    """DelRec's own code rounds the parameter itself, and training goes on from there."""
    made, x = layer(backend), signal()
    before = {name: parameter.clone() for name, parameter in made.named_parameters()}
    with torch.no_grad():
        spread, used = made(x).output, made.eval()(x)
        fixed = Layer(3, 11, "lif", delays={"recurrent": 0, "input": 0}, backend=backend).double()
        state = made.state_dict()
        fixed.load_state_dict(
            state | {"delay_rec": state["delay_rec"].abs().round(), "delay_in": state["delay_in"].round()}
        )
        expected = fixed(x)
    assert torch.equal(used.output, expected.output) and not torch.equal(spread, used.output)
    assert all(torch.equal(a, b) for a, b in zip(used.state, expected.state, strict=True))
    assert all(torch.equal(parameter, before[name]) for name, parameter in made.named_parameters())
    assert made.delay_steps["arriving"].dtype == torch.int64 and made.delay_steps["arriving"][2] >= 0


def test_sums_are_the_same_whatever_the_threads() -> None:
    results, before = [], torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            made = layer().float()
            made(signal(400).float()).output.sum().backward()
            results.append([parameter.grad for parameter in made.parameters()])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_at_last_training_meets_the_network_that_will_be_used(backend: str) -> None:
    """Spikes arrive whole, the same ones as in evaluation, where before they are others; and only weights learn."""
    made, x = layer(backend), signal(100)
    with torch.no_grad():
        made.delay_rec.mul_(2.37)  # type: ignore[union-attr]
        used = made.eval()(x).output
        for done, same in ((0.0, False), (0.79, False), (0.8, True), (1.0, True)):
            narrow_delays(made, done)
            assert torch.equal(made.train()(x).output, used) == same
    made(x).output.sum().backward()
    for name, parameter in made.named_parameters():  # there is a gradient for several processes to share
        assert parameter.grad is not None and bool(parameter.grad.any()) != ("delay" in name)


def test_a_delay_of_nothing_is_learned_too() -> None:
    delays = torch.zeros(2, requires_grad=True)
    triangle(delays, 1.5)[1].sum().backward()
    assert delays.grad is not None and bool((delays.grad > 0).all())


@pytest.mark.parametrize("sigma", [None, 2.0])
def test_a_delay_that_has_grown_too_long_is_the_longest(sigma: float | None) -> None:
    kernel = triangle(torch.tensor([3.0 * LONGEST, -2.0]), sigma)
    assert len(kernel) == LONGEST + 1 and kernel.argmax(0).tolist() == [LONGEST, 2]
    torch.testing.assert_close(kernel.sum(0), torch.ones(2))


def test_a_forward_pass_spreads_each_kind_of_delay_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a state's shape needs is only how far the triangle reaches."""
    made, widths = layer(), []
    monkeypatch.setattr(layers, "triangle", lambda delays, sigma: widths.append(len(delays)) or triangle(delays, sigma))
    made(signal())
    assert sorted(widths) == [3, 11]
    for delays in ([-3.4, 1.0], [0.5, 2.5], [1.5, 0.0], [1e9, 2.0]):
        for sigma in (None, 0.0, 0.3, 1.7):
            assert reach(torch.tensor(delays), sigma) == len(triangle(torch.tensor(delays), sigma))


def test_sigma_narrows_and_settings_are_checked() -> None:
    net = SRNN(3, [5, 4], 2, recurrent=[True, False], delays={"recurrent": 4, "learned": True, "sigma": 3})
    names = [name for name, _ in net.named_parameters() if "delay" in name]
    assert names == ["layers.0.delay_rec"]  # a feed-forward layer has none to learn
    narrow_delays(net, 0.5)
    assert net.layers[0].sigma == pytest.approx(3 * 0.95**50)
    assert net.layers[0].delays.describe() == {"recurrent": "constant(4)", "learned": True, "sigma": 3}
    assert Delays.parse(net.layers[0].delays.describe()) == net.layers[0].delays  # type: ignore[union-attr]
    assert Delays.parse({"recurrent": 3, "sigma": LONGEST}).sigma == LONGEST and Delays().sigma == 10
    with pytest.raises(SrnnError, match="start from drawn ones"):
        Delays.parse({"learned": True})
    for wrong, message in (({"learned": "yes"}, "delays.learned"), ({"sigma": -1}, f"0 to {LONGEST:,} steps"),
                           ({"sigma": float("nan")}, "delays.sigma"), ({"sigma": True}, "delays.sigma"),
                           ({"sigma": LONGEST + 1}, "delays.sigma"),
                           ({"lerned": True}, "Did you mean 'learned'")):  # fmt: skip
        with pytest.raises(SrnnError, match=message):
            Delays.parse({"recurrent": 3, **wrong})


def test_the_distance_of_a_coincidence_is_found() -> None:
    """The class is whether channel 0 spiked 7 steps before channel 1 or 3: only a delay of their distance tells."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 2
    at = torch.randint(8, 20, (64,), generator=generator)
    x = torch.zeros(64, 24, 2)
    x[torch.arange(64), at, 1] = 1
    x[torch.arange(64), at - torch.where(y == 1, 7, 3), 0] = 1
    net = Layer(2, 1, "lif", recurrent=False, delays={"input": 4.4, "learned": True, "sigma": 4}, generator=generator)
    with torch.no_grad():
        net.delay_in[1] = 0  # type: ignore[index]
        net.weight_in.fill_(0.8)
    optimizer = torch.optim.Adam([net.delay_in], lr=0.1)  # type: ignore[list-item]
    for step in range(80):
        narrow_delays(net, step / 80)
        drive = net(x, record=("u",)).traces["u"].amax(1)[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(20 * (drive - 0.12), y.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert net.delay_steps["incoming"].tolist()[0] - net.delay_steps["incoming"].tolist()[1] == 7
