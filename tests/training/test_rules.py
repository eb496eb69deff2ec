"""Learning rules against backpropagation through time, in float64: equal where they are exact,
different where they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from srnn import SRNN, SrnnError
from srnn.nn.kernels.reference import spike
from srnn.training.rules import create_rule
from srnn.training.rules.d_rtrl import DRTRL
from srnn.training.rules.e_prop import EProp
from srnn.training.rules.learner import Learner, OnlineRule
from srnn.training.rules.local import LocalLayer
from support.derivatives import Derivatives
from support.refusing import refuses
from support.rtrl import RTRL
from support.rules import (
    NEURONS,
    WINDOW,
    Gradients,
    Memoryless,
    assert_equal,
    by_rule,
    by_time,
    distance,
    flat,
    make,
    problem,
    taken,
)
from support.step_by_step import Traces, presynaptic, step


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(
    ("hidden", "recurrent"), [([5], True), ([5, 4], True), ([4, 3], [False, True])]
)
def test_rtrl_is_backpropagation_through_time(
    neuron: str, hidden: list[int], recurrent: Any
) -> None:
    network = make(hidden, neuron, recurrent)
    assert_equal(by_rule(network, RTRL()), by_time(network), 1e-9)


def test_rtrl_of_sequences_that_end_early() -> None:
    network, lengths = make([5]), torch.tensor([26, 15, 13, 18])
    assert_equal(by_rule(network, RTRL(), lengths), by_time(network, lengths), 1e-9)


@pytest.mark.parametrize("rule", [RTRL(), DRTRL(), EProp()], ids=lambda rule: type(rule).__name__)
def test_what_a_sequence_that_is_over_is_given_reaches_no_gradient(rule: OnlineRule) -> None:
    found = []
    for after in (0.0, float("nan")):
        network = make([5])
        learner = Learner(network, rule, 2)
        for t in range(4):
            valid = torch.tensor([True, t < 2])
            output = learner.step(
                torch.where(valid[:, None], 1.0 + t, after).expand(2, 3).double(), valid
            )
            learner.learn(torch.ones_like(output) * valid[:, None])
        learner.give()
        found.append(taken(network))
    assert_equal(*found, 0.0)


@pytest.mark.parametrize("neuron", NEURONS)
def test_d_rtrl_is_exact_without_recurrence_below_a_readout_without_memory(neuron: str) -> None:
    network = make([6], neuron, False, Memoryless())
    assert_equal(by_rule(network, DRTRL()), by_time(network), 1e-9)


def test_d_rtrl_is_exact_where_neurons_hear_only_themselves() -> None:
    network = make([6], "alif", True, Memoryless())
    with torch.no_grad():
        network.layers[0].weight_rec.copy_(torch.diag(torch.linspace(-1, 1, 6)))  # type: ignore[union-attr, operator]
    one, other = by_rule(network, DRTRL()), by_time(network)
    for gradients in (
        one,
        other,
    ):  # of the other weights, which are zero but could be learnt, it is blind to what follows
        gradients["layers.0.weight_rec"] = gradients["layers.0.weight_rec"].diagonal()
    assert_equal(one, other, 1e-9)


@pytest.mark.parametrize(
    "rule", [DRTRL(), EProp(), EProp("random")], ids=lambda rule: type(rule).__name__
)
def test_rules_that_approximate_differ(rule: OnlineRule) -> None:
    network = make([6, 5])
    gradients, exact = by_rule(network, rule), by_time(network)
    assert distance(gradients, exact, "layers.0") > 0.01
    own, bias = (g["readout.bias"] for g in (gradients, exact))
    assert torch.allclose(own, bias, rtol=1e-9)  # each rule is exact for the readout
    if not isinstance(rule, EProp) or rule.feedback == "symmetric":
        assert torch.cosine_similarity(flat(gradients), flat(exact), 0) > 0.5


def recorded(network: SRNN, detach: bool) -> tuple[Gradients, Tensor]:
    """BPTT through one hidden layer and the memoryless readout; ``detach``: not through other
    neurons' recurrent weights.

    Also the total derivative of the loss by each step's spikes, (B, T, H).
    """
    (x, y), layer, readout = problem(), network.layers[0], network.readout
    state = layer.initial_state(len(x))  # type: ignore[operator]
    *variables, s = state
    loss, spikes = torch.zeros((), dtype=x.dtype), []
    own = layer.weight_rec.diagonal()  # type: ignore[union-attr]
    for t in range(x.shape[1]):
        others = (s.detach() if detach else s) @ layer.weight_rec.t()  # type: ignore[operator, union-attr]
        # With ``detach``, the diagonal's path is put back: value zero, derivative that of the
        # neuron's own weight.
        current = (
            F.linear(x[:, t], layer.weight_in, layer.bias)
            + others
            + detach * (s - s.detach()) * own.detach()
        )  # type: ignore[arg-type]
        *variables, v = layer.neuron.step(*variables, s, current, *layer.params.coefficients())  # type: ignore[union-attr, operator]
        s = spike(v, layer.surrogate)  # type: ignore[arg-type]
        s.retain_grad()
        spikes.append(s)
        output = readout.params.coefficients()[0] * F.linear(s, readout.weight_in, readout.bias)
        if WINDOW.start <= t < WINDOW.stop:
            loss = loss + F.cross_entropy(output, y[:, t], reduction="sum")
    loss.backward()
    zero = torch.zeros_like(spikes[0])
    return taken(network), torch.stack([zero if s.grad is None else s.grad for s in spikes], 1)


@pytest.mark.parametrize("neuron", ["alif", "adlif", "lif"])
def test_traces_are_autograd_with_the_recurrent_path_detached(neuron: str) -> None:
    network = make([6], neuron, True, Memoryless())
    detached, _ = recorded(network, detach=True)
    assert_equal(by_rule(network, DRTRL()), detached, 1e-12)
    assert distance(detached, by_time(network)) > 1e-3  # the path matters


class WithoutSpikes(Traces):
    """The traces of e-prop's factorisation: all that reaches a later step as a spike belongs to the
    learning signal."""

    def advance(
        self, derivatives: Derivatives, presynaptic: Tensor, decay: Tensor | float = 0.0
    ) -> None:
        by_state = derivatives.by_state.clone()
        by_state[:, -1] = -derivatives.by_current * self.local.weight_rec.diagonal()  # type: ignore[union-attr]
        super().advance(replace(derivatives, by_state=by_state), presynaptic)


@pytest.mark.parametrize("neuron", ["alif", "adlif", "lif"])
def test_traces_times_the_true_learning_signal_are_backpropagation_through_time(
    neuron: str,
) -> None:
    network = make([6], neuron, True, Memoryless())
    exact, signals = recorded(network, detach=False)
    x, local = problem()[0], LocalLayer(network.layers[0])  # type: ignore[arg-type]
    traces, state = WithoutSpikes(local, len(x)), network.layers[0].initial_state(len(x))  # type: ignore[operator]
    with torch.no_grad():
        for t in range(x.shape[1]):
            arrived = presynaptic(local, x[:, t], state)
            state, derivatives = step(local, x[:, t], state)
            traces.advance(derivatives, arrived)
            traces.learn(signals[:, t])
    traces.give()
    assert_equal(taken(network), {k: v for k, v in exact.items() if "layers" in k}, 1e-9)


def test_e_prop_is_exact_below_a_leaky_readout_of_one_time_constant() -> None:
    network = make([6], "alif", False)
    assert_equal(by_rule(network, EProp()), by_time(network), 1e-9)
    assert (
        distance(by_rule(network, DRTRL()), by_time(network), "layers.0") > 0.05
    )  # which is why e-prop filters


def test_e_prop_is_exact_below_a_readout_that_spikes_and_does_not_hear_its_spikes() -> None:
    """What it keeps is still its membrane, not what a spike owes to the membrane before."""
    neuron = {"name": "alif", "tau_mem": 6.0, "beta": 0.0, "detach_reset": True}
    network = make([6], "alif", False, {"name": "spike_count", "neuron": neuron})
    assert_equal(by_rule(network, EProp()), by_time(network), 1e-9)


def test_e_prop_filters_by_the_mean_of_what_outputs_keep() -> None:
    """Two outputs with the same weights and constant errors send down as much as two of which each
    keeps the mean."""
    alphas, found = torch.tensor([0.9, 0.5], dtype=torch.float64), []
    for kept in (alphas, alphas.mean().expand(2)):
        network = make([6], "alif", False)
        with torch.no_grad():
            network.readout.params.tau_mem.copy_(-1 / kept.log())
            network.readout.weight_in[1] = network.readout.weight_in[0]
        learner = Learner(network, EProp(), batch=4)
        for x in problem()[0].unbind(1):
            learner.learn(torch.ones_like(learner.step(x)))
        learner.give()
        found.append(
            {name: gradient for name, gradient in taken(network).items() if "layers" in name}
        )
    assert_equal(*found, 1e-9)


def test_random_feedback_is_its_seeds() -> None:
    network = make([5, 4])
    first, again, other = (by_rule(network, EProp("random", seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.0.weight_in"], other["layers.0.weight_in"])
    # The readout needs no feedback.
    assert torch.equal(first["readout.weight_in"], other["readout.weight_in"])


def test_a_learner_goes_through_the_same_states_as_the_network() -> None:
    network, (x, _) = make([5, 4]), problem()
    learner = Learner(network, DRTRL(), len(x))
    outputs = torch.stack([learner.step(x[:, t]) for t in range(x.shape[1])], 1)
    expected = network.run(x)
    assert torch.allclose(outputs, expected.output, rtol=1e-12, atol=1e-14)
    for own, other in zip(learner.state, expected.state, strict=True):
        assert all(
            torch.allclose(a, b, rtol=1e-12, atol=1e-14) for a, b in zip(own, other, strict=True)
        )


def test_a_learner_goes_on_from_a_state() -> None:
    network, (x, _) = make([5, 4]), problem()
    first = Learner(network, DRTRL(), len(x))
    for t in range(4):
        first.step(x[:, t])
    second = Learner(
        network, DRTRL(), len(x), [tuple(part.clone() for part in layer) for layer in first.state]
    )
    for t in range(4, 8):
        assert torch.equal(first.step(x[:, t]), second.step(x[:, t]))


@pytest.mark.slow
def test_memory_does_not_grow_with_time() -> None:
    network = make([5])
    learner = Learner(network, DRTRL(), 1)
    sizes = set()
    for _ in range(300):
        learner.step(torch.ones(1, 3, dtype=torch.float64))
        learner.learn(torch.ones(1, 2, dtype=torch.float64))
        learner.give()
        kept = [
            value for traces in learner._learner.traces for value in (*traces.synapses, *traces.own)
        ]
        sizes.add(sum(value.numel() for value in kept))
    assert len(sizes) == 1


def test_a_step_is_learnt_before_its_gradients_are_given() -> None:
    learner = Learner(make([5]), DRTRL(), 1)
    with refuses("x", "missing"):
        learner.learn(torch.ones(1, 2))
    learner.step(torch.ones(1, 3, dtype=torch.float64))
    learner.give()
    with refuses("x", "missing"):
        learner.learn(torch.ones(1, 2))


def test_what_is_learnt_of_a_step_adds_up_and_what_is_not_trained_gets_no_gradient() -> None:
    found = []
    for times in (1, 2):
        network = make([5])
        network.layers[0].weight_in.requires_grad_(False)
        network.layers[0].params.requires_grad_(False)
        learner = Learner(network, DRTRL(), 4)
        for x in problem(steps=8)[0].unbind(1):
            output = learner.step(x)
            for _ in range(times):
                learner.learn(torch.full_like(output, 2.0 / times))
        learner.give()
        found.append(taken(network))
    assert_equal(*found, 1e-12)
    untrained = {"layers.0.weight_in", "layers.0.params.tau_mem", "layers.0.params.tau_adp"}
    assert "layers.0.weight_rec" in found[0] and not untrained & found[0].keys()


def test_a_rule_is_made_by_its_name_feedback_and_seed() -> None:
    made = [create_rule(name) for name in ("bptt", "tbptt", "d-rtrl", "e-prop")]
    assert made[:2] == [None, None]
    assert [type(rule) for rule in made[2:]] == [DRTRL, EProp]
    assert create_rule("e-prop", "random", 3) == EProp("random", 3) != EProp("random")
    assert create_rule("e-prop") == EProp("symmetric")


@pytest.mark.parametrize("rule", [RTRL(), EProp()])
def test_weights_that_are_computed_are_refused_not_left_as_they_are(rule: OnlineRule) -> None:
    normed, pruned = SRNN.paper(3, [4], 2), SRNN.paper(3, [4], 2)
    parametrizations.weight_norm(normed.layers[0], "weight_in")
    prune.l1_unstructured(pruned.layers[0], "weight_rec", 0.5)
    for network in (normed, pruned):
        with torch.no_grad(), refuses("network", "unsupported"):
            Learner(network, rule, 1)


def test_steps_and_errors_that_do_not_fit_are_one_line_and_change_nothing() -> None:
    learners = [Learner(make([5]), DRTRL(), 2) for _ in range(2)]
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    for learner in learners:
        assert torch.equal(learner.step(x.bool()), Learner(make([5]), DRTRL(), 2).step(x))
    for refused, said in (
        (lambda: learners[0].step(x[:1]), r"with 2 sequences, not \(1, 3\)"),
        (lambda: learners[0].step(x[0]), r"with 2 sequences, not \(3,\)"),
        (lambda: learners[0].step(x[:, :2]), r"\(2, 1, 2\)"),
        (lambda: learners[0].step(x.float()), "float32"),
        (lambda: learners[0].step(x, torch.tensor([True])), "2 integers"),
        (lambda: learners[0].learn(torch.ones(2, dtype=torch.float64)), r"\(2, 2\), not \(2,\)"),
    ):
        with pytest.raises(SrnnError, match=said) as caught:
            refused()
        assert "\n" not in str(caught.value)
    outputs = [learner.step(x) for learner in learners]
    assert torch.equal(*outputs)
