"""Rules chunk by chunk against the same rules step by step: the same gradients, wherever a sequence
is cut."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from srnn import SRNN
from srnn.nn.network import Dropout
from srnn.training.rules.chunks import ChunkLearner
from srnn.training.rules.d_rtrl import DRTRL
from srnn.training.rules.e_prop import EProp
from srnn.training.rules.learner import Learner, OnlineRule, follow, local_layers, run_window
from support.rtrl import RTRL
from support.rules import WINDOW, Gradients, assert_equal, by_rule, make, problem, taken
from support.step_by_step import StepByStep

RULES = {"d-rtrl": DRTRL(), "e-prop": EProp(), "e-prop, random": EProp("random", 4)}
LENGTHS = torch.tensor([26, 15, 13, 18])
CUTS = {1: [26], 2: [7, 19], 3: [13, 5, 8], 26: [1] * 26}


def chunks_of(
    network: SRNN, sizes: list[int], lengths: Tensor | None, rule: OnlineRule
) -> Gradients:
    (x, y), layers = problem(), local_layers(network)
    learner = rule.in_chunks(layers, network.initial_state(len(x)))
    assert learner is not None
    begin = 0
    for size in sizes:
        steps = torch.arange(begin, begin + size)[None, :]

        def error(output: Tensor, steps: Tensor = steps) -> Tensor:
            scored = (steps >= WINDOW.start) & (steps < WINDOW.stop)
            if lengths is not None:
                scored = scored & (steps < lengths[:, None])
            return (output.softmax(-1) - F.one_hot(y[:, steps[0]], 2)) * scored[:, :, None]

        left = None if lengths is None else lengths - begin
        begin += size
        learner.run(x[:, steps[0]], error, left, last=begin == x.shape[1])
    learner.give()
    return taken(network)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    ("count", "ragged"),
    [
        (1, True),
        (2, False),
        (3, True),
        (26, False),
        *(
            pytest.param(*pair, marks=pytest.mark.slow)
            for pair in ((1, False), (2, True), (3, False), (26, True))
        ),
    ],
)
def test_gradients_do_not_depend_on_where_a_sequence_is_cut(
    name: str, count: int, ragged: bool
) -> None:
    sizes, lengths, rule = CUTS[count], LENGTHS if ragged else None, RULES[name]
    for network in (make([4, 3]), make([4, 3], "adlif")):
        assert_equal(
            chunks_of(network, sizes, lengths, rule),
            by_rule(network, rule, lengths, StepByStep),
            1e-9,
        )


@pytest.mark.parametrize("name", RULES)
def test_a_learner_that_is_asked_after_each_step(name: str) -> None:
    network, rule = make([4, 3]), RULES[name]
    assert_equal(by_rule(network, rule, LENGTHS), by_rule(network, rule, LENGTHS, StepByStep), 1e-9)


def test_chunks_end_in_the_same_state() -> None:
    network, (x, _) = make([5, 4]), problem()
    stepwise = StepByStep(network, DRTRL(), len(x))
    learner = ChunkLearner(local_layers(network), network.initial_state(len(x)))
    outputs = learner.run(x, torch.zeros_like)
    expected = torch.stack([stepwise.step(x[:, t]) for t in range(x.shape[1])], 1)
    assert torch.allclose(outputs[-1], expected, rtol=1e-12, atol=1e-14)
    assert torch.equal(outputs[0], network.run(x).layers[0].output)
    for own, other in zip(learner.state, stepwise.state, strict=True):
        assert all(
            torch.allclose(a, b, rtol=1e-12, atol=1e-14) for a, b in zip(own, other, strict=True)
        )


def test_gradients_are_given_once() -> None:
    network, (x, _) = make([4]), problem()
    learner = ChunkLearner(local_layers(network), network.initial_state(len(x)))
    learner.run(x[:, :10], torch.ones_like, last=False)
    learner.give()
    assert taken(network)
    learner.give()
    assert not taken(network)
    learner.run(x[:, 10:], torch.ones_like)
    learner.give()
    assert taken(network)


@pytest.mark.parametrize("rule", [DRTRL(), RTRL()], ids=lambda rule: type(rule).__name__)
def test_gradients_given_step_by_step_add_up(rule: OnlineRule) -> None:
    network, (x, _), found = make([4, 3]), problem(), []
    for often in (True, False):
        learner = Learner(network, rule, len(x))
        for t in range(x.shape[1]):
            learner.learn(torch.ones_like(learner.step(x[:, t])))
            if often:
                learner.give()
        learner.give()
        found.append(taken(network))
    assert_equal(*found, 1e-9)


def test_weights_may_change_between_chunks() -> None:
    network, (x, _) = make([4]), problem()
    learner = ChunkLearner(local_layers(network), network.initial_state(len(x)))
    learner.run(x[:, :10], torch.zeros_like, last=False)
    hidden = learner.state[0]
    with torch.no_grad():
        network.layers[0].params.set_values(tau_mem=torch.full((4,), 2.0))  # type: ignore[operator, union-attr]
    learner.refresh()
    outputs = learner.run(x[:, 10:], torch.zeros_like)
    assert torch.equal(
        outputs[0],
        network.run(x[:, 10:], (hidden, network.readout.initial_state(4))).layers[0].output,
    )


@pytest.mark.parametrize("rule", [*RULES.values(), RTRL()], ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged, dropout"])
def test_whole_sequences_by_any_loss(rule: OnlineRule, lengths: Tensor | None) -> None:
    """The mean of the outputs decides, which no step alone can score."""
    network, (x, y) = make([4, 3]), problem()
    dropout = (
        None
        if lengths is None
        else Dropout.draw([4, 3], len(x), 0.4, torch.Generator().manual_seed(1))
    )

    def objective(output: Tensor) -> Tensor:
        return F.cross_entropy(output.sum(1), y[:, 0])

    state = network.initial_state(len(x))
    learnt = run_window(follow(network, rule, state, dropout), x, lengths)
    objective(learnt.output).backward()
    gradients = taken(network)
    result = network.run(x, state, lengths=lengths, dropout=dropout)
    assert torch.allclose(learnt.output, result.output, rtol=1e-12, atol=1e-14)
    assert not learnt.layers[0].output.requires_grad
    result.output.retain_grad()
    objective(result.output).backward()
    errors, exact = result.output.grad, taken(network)
    assert errors is not None
    if isinstance(rule, RTRL):
        assert_equal(gradients, exact, 1e-9)
    if lengths is not None:
        errors = errors * (torch.arange(x.shape[1]) < lengths[:, None])[:, :, None]
    learner = (Learner if isinstance(rule, RTRL) else StepByStep)(
        network, rule, len(x), dropout=dropout
    )
    for t in range(x.shape[1]):
        learner.step(x[:, t], None if lengths is None else t < lengths)
        learner.learn(errors[:, t])
    learner.give()
    assert_equal(gradients, taken(network), 1e-9)


@pytest.mark.parametrize("rule", [*RULES.values(), RTRL()], ids=lambda rule: type(rule).__name__)
def test_what_lies_behind_a_sequences_end_is_not_learnt(rule: OnlineRule) -> None:
    network, (x, _), found = make([4, 3]), problem(), []
    behind = torch.arange(x.shape[1])[None, :, None] >= LENGTHS[:, None, None]
    for filled in (0.0, float("nan")):
        learner = follow(network, rule, network.initial_state(len(x)))
        run_window(learner, x.masked_fill(behind, filled), LENGTHS).output.sum().backward()
        found.append(taken(network))
    assert_equal(*found, 1e-12)


@pytest.mark.parametrize("neuron", ["alif", "relu"])
def test_a_window_has_the_outputs_of_every_layer(neuron: str) -> None:
    network, (x, _) = make([4], neuron), problem()
    learnt = run_window(follow(network, DRTRL(), network.initial_state(len(x))), x, LENGTHS)
    expected = network.run(x, lengths=LENGTHS).layers[0].output.double()
    assert torch.allclose(
        learnt.layers[0].output.double(), expected, rtol=1e-12, atol=1e-14
    ) and bool(expected.any())
