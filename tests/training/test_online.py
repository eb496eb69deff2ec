"""Streams that learn: the rule's own update, whatever the blocks; within memory that is fixed; kept
and continued to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, Adaptation, Model, SrnnError, from_network
from srnn.deploy.streaming import Session
from srnn.training.online import OnlineLearner
from srnn.training.rules import DRTRL, EProp
from support.refusing import refuses
from support.rules import LEAKY, NEURONS
from support.step_by_step import StepByStep

CLASSES = ("a", "b", "c")
SGD = {"optimizer": "sgd", "bound": 1e9}


def model(
    neuron: str = "alif", loss: Any = "nll", dtype: torch.dtype = torch.float64, **options: Any
) -> Model:
    """A small network, with recurrent weights, that spikes."""
    net = SRNN.paper(
        3, options.pop("hidden", [7]), 3, neuron=NEURONS[neuron], readout=LEAKY, recurrent=True, backend="reference",
        generator=torch.Generator().manual_seed(2), **options,
    )  # fmt: skip
    return from_network(net.to(dtype), CLASSES, loss=loss)


def signal(steps: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((steps, 3)) < 0.4).astype(np.float64)


def told(session: Session, x: np.ndarray, plan: list[tuple[int, Any]], block: int) -> list[Any]:
    """Push steps in blocks, and after so many of them the target; what was predicted beforehand."""
    predicted, begin = [], 0
    for steps, target in plan:
        part = x[begin : begin + steps]
        for place in range(0, steps, block):
            session.push(part[place : place + block])
        predicted.append(session.learn(target))
        begin += steps
    return predicted


def targets(steps: int, seed: int) -> np.ndarray:
    y = np.random.default_rng(seed).integers(0, 3, steps)
    y[::4] = -1
    return y


PLAN = [(9, targets(9, 1)), (14, targets(14, 2)), (5, 2)]


def step_by_step(
    own: Model, rule: Any, x: np.ndarray, lr: float, readout_only: bool
) -> dict[str, torch.Tensor]:
    """What a stream that is told PLAN has to become, by ``StepByStep``: one step at a time, softmax
    by hand."""
    network = own.network
    assert isinstance(network, SRNN)
    learner, begin = StepByStep(network, rule, 1), 0
    for steps, target in PLAN:
        y = np.broadcast_to(target, (steps,))
        for t in range(steps):
            output = learner.step(torch.from_numpy(x[None, begin + t]))
            if y[t] >= 0:
                learner.learn(
                    (output.softmax(-1) - torch.eye(3, dtype=output.dtype)[y[t]]) / (y >= 0).sum()
                )
        learner.give()
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if parameter.grad is not None and (not readout_only or name.startswith("readout.")):
                    parameter -= lr * parameter.grad
                parameter.grad = None
        learner.refresh()
        begin += steps
    return {name: value.detach() for name, value in network.named_parameters()}


@pytest.mark.parametrize(
    ("neuron", "hidden", "train", "rule"),
    [
        ("alif", [7], "all", "e-prop"),
        ("adlif", [6, 5], "all", "d-rtrl"),
        ("lif", [6, 5], "readout", "e-prop"),
    ],
)
def test_a_stream_learns_what_the_rule_does_step_by_step(
    neuron: str, hidden: Any, train: Any, rule: Any
) -> None:
    config = Adaptation(train, rule, lr=0.3, **SGD)
    x = signal(28)
    expected = step_by_step(
        model(neuron, hidden=hidden),
        EProp() if rule == "e-prop" else DRTRL(),
        x,
        0.3,
        train != "all",
    )
    before = dict(model(neuron, hidden=hidden).network.named_parameters())
    sessions = [model(neuron, hidden=hidden).stream(learn=config) for _ in range(2)]
    predicted = [
        told(session, x, PLAN, block) for session, block in zip(sessions, (1, 5), strict=True)
    ]
    learnt = [dict(session.trained().network.named_parameters()) for session in sessions]
    for name, value in expected.items():
        torch.testing.assert_close(learnt[0][name].detach(), value, rtol=1e-12, atol=1e-12)
        assert torch.equal(learnt[0][name], learnt[1][name])  # blocks change no bit
        assert torch.equal(learnt[0][name], before[name]) == (
            train == "readout" and not name.startswith("readout.")
        )
    assert all(np.array_equal(a, b) for a, b in zip(*predicted, strict=True))
    # What is predicted next is what the learnt network predicts.
    rest = signal(20, 1)
    fresh = from_network(sessions[0].trained().network, CLASSES, loss="nll").stream()  # type: ignore[arg-type]
    fresh.push(np.zeros((0, 3)))
    outputs = [session.push(rest).scores for session in sessions]
    assert np.array_equal(outputs[0], outputs[1])
    assert not np.allclose(outputs[0], fresh.push(rest).scores)  # the sequence went on


def test_the_loss_starts_once_in_a_sequence_and_not_after_each_label() -> None:
    """At its fifth step. Of the three steps before the first label the last one counts, as of any
    sequence so short."""
    listener, counted = (
        OnlineLearner(from_network(model().network, CLASSES, loss="nll", start=4), Adaptation()),
        [],
    )
    for steps in (3, 3, 5):
        listener.observe(signal(steps))
        listener.learn_label(1)
        counted.append(listener.scored)
    assert counted == [1, 1 + 2, 1 + 2 + 5]


@pytest.mark.parametrize("loss", ["ce_mean", "ce_sum_softmax", "ce_last"])
def test_the_label_of_a_sequence_that_has_ended(loss: Any) -> None:
    """A segment's label is told after its end: the same update as by the whole sequence, with
    BPTT's for the readout."""
    x, labels = signal(36), [0, 2, 1]
    session = model(loss=loss).stream(segment=12, learn=Adaptation(lr=0.1, **SGD))
    listener = OnlineLearner(model(loss=loss), Adaptation(rule="bptt", lr=0.1, **SGD))
    for number, label in enumerate(labels):
        part = x[12 * number : 12 * number + 12]
        decisions = session.push(part)
        assert decisions.final[-1]
        predicted = listener.learn(torch.from_numpy(part)[None], torch.tensor([label]))
        assert session.learn(label) == int(predicted) == decisions.winners[-1]
    for own, other in zip(
        session.trained().network.parameters(), listener.network.parameters(), strict=True
    ):
        torch.testing.assert_close(own.detach(), other.detach(), rtol=1e-12, atol=1e-12)
    with pytest.raises(SrnnError, match="nothing to learn"):
        session.learn(1)


def test_a_stream_that_learns_goes_on_from_sequence_to_sequence() -> None:
    made = from_network(model(loss="ce_mean").network, CLASSES, loss="ce_mean", steps=12)
    ends = made.stream(learn=Adaptation()).push(signal(30)).final
    assert np.flatnonzero(ends).tolist() == [11, 23]
    assert not made.stream().push(signal(30)).final.any()


@pytest.mark.parametrize(
    ("train", "rule"), [("readout", "e-prop"), ("all", "e-prop"), ("all", "bptt")]
)
def test_a_saved_stream_continues_to_the_same_bits(train: Any, rule: Any) -> None:
    decoder = (
        model(dtype=torch.float32).stream(learn=Adaptation(train, rule, lr=0.02, window=6)).decoder
    )
    x, whole = signal(90).astype(np.float32), decoder.open()
    kept = decoder.open()
    for number in range(9):
        part = x[10 * number : 10 * number + 10]
        for begin, end in ((0, 4), (4, 10)):
            assert np.array_equal(
                whole.push(part[begin:end]).scores, kept.push(part[begin:end]).scores
            )
            kept = decoder.restore(kept.save(b"key"), b"key")
        if number == 6:
            whole.forget()
            kept.forget()
        assert np.array_equal(whole.learn(number % 3), kept.learn(number % 3))
        kept = decoder.restore(kept.save())
    assert whole.save() == kept.save()
    assert len(whole.save()) < 20_000


def test_what_was_learnt_can_be_forgotten() -> None:
    own = model(dtype=torch.float32)
    with pytest.raises(SrnnError, match=r"such as srnn\.Adaptation\(\), not True"):
        own.stream(learn=True)
    session, plain = own.stream(learn=Adaptation("all", lr=0.05)), own.stream()
    before = plain.push(signal(30)).scores
    session.push(signal(30))
    session.learn(1)
    session.reset()
    assert not np.array_equal(session.push(signal(30)).scores, before)
    session.forget()
    session.reset()
    assert np.array_equal(session.push(signal(30)).scores, before)
    assert all(map(torch.equal, session.trained().network.parameters(), own.network.parameters()))


@pytest.mark.slow
def test_memory_does_not_grow_with_what_no_label_was_told_of() -> None:
    listener = OnlineLearner(model(), Adaptation("all", lr=0.1, window=10, **SGD))
    listener.observe(signal(1234))
    assert listener.observed == 1234
    assert sum(part.size for part in listener.arrays().values()) < 800
    late = OnlineLearner(model(), Adaptation("all", lr=0.1, window=10, **SGD))
    for block in np.array_split(signal(1234), 77):
        late.observe(block)
    assert np.array_equal(listener.learn_label(2), late.learn_label(2))
    assert (
        listener.accuracy() == late.accuracy() and listener.scored == 14
    )  # the last ten, and what is left of a window
    for one, other in zip(listener.parameters, late.parameters, strict=True):
        assert torch.equal(one, other)


def test_steps_that_were_dropped_count_as_heard_and_are_not_predicted() -> None:
    """The loss starts at the 21st step: of the first label's the last five count, of the second's
    all."""
    listener = OnlineLearner(
        from_network(model().network, CLASSES, loss="nll", start=20), Adaptation(window=10)
    )
    listener.observe(signal(25))
    predicted = listener.learn_label(1)
    assert (predicted[:10] == -1).all() and (predicted[10:] >= 0).all() and len(predicted) == 25
    assert listener.scored == 5
    listener.observe(signal(10))
    assert listener.observed == 10 and len(listener.learn_label(1)) == 10 and listener.scored == 15


def test_what_cannot_be_learnt() -> None:
    steps, words = (model(loss=loss).stream(learn=Adaptation()) for loss in ("nll", "ce_mean"))
    for session in (steps, words):
        session.push(signal(4))
    for session, target in (
        (steps, [0, 1]),
        (steps, 3),
        (steps, 0.5),
        (words, [0, 1, 1, 1]),
        (words, -2),
    ):
        with pytest.raises(SrnnError, match="A label"):
            session.learn(target)
    steps.learn([0, 1, -1, 2])
    with pytest.raises(SrnnError, match="does not learn; open it with learn"):
        model().stream().learn(1)
    state = words.save()
    other = model(loss="ce_mean").stream(learn=Adaptation("all")).decoder
    with pytest.raises(SrnnError, match="another network, or to other settings"):
        other.restore(state)
    listener = OnlineLearner(model(), Adaptation("all"))
    arrays = listener.arrays()
    for name in ("counts", "pending", "network.readout.weight_in", "state.0.0"):
        with refuses("state", "data"):
            listener.restore(arrays | {name: arrays[name][..., :1].astype(np.float32)})


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    """Whatever part of it: what was read before that part is taken back."""
    config = Adaptation("all", lr=0.1, window=10)
    told, listener = OnlineLearner(model(), config), OnlineLearner(model(), config)
    told.observe(signal(20))  # two windows: as many as are kept
    told.learn_label(1)
    told.observe(signal(19))
    arrays, before = told.arrays(), listener.arrays()
    for name, value in {
        "counts": arrays["counts"] - 30,
        "pending": np.zeros((20, 3)),
        "pending ": arrays["pending"].astype(np.float32),
        "network.readout.weight_in": arrays["network.readout.weight_in"] * np.nan,
        "state.0.0": arrays["state.0.0"][..., :1],
        "state.0.0 ": arrays["state.0.0"].astype(np.float32),
    }.items():
        with refuses("state", "data"):
            listener.restore(arrays | {name.strip(): value})
        after = listener.arrays()
        assert after.keys() == before.keys() and all(
            np.array_equal(after[key], before[key]) for key in before
        ), name
    listener.restore(arrays)
    assert all(np.array_equal(value, arrays[key]) for key, value in listener.arrays().items())


def test_a_saved_sequence_that_has_ended_stays_ended() -> None:
    listener, other = OnlineLearner(model(), Adaptation()), OnlineLearner(model(), Adaptation())
    listener.observe(signal(5))
    listener.end()
    other.restore(listener.arrays())
    assert other.state is None and other.observed == 5
    other.observe(signal(3))
    assert other.state is not None and other.observed == 3
