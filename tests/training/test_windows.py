"""Sequences learnt window by window: what is scored, what is carried on, and what a gradient goes
through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from srnn import SrnnError
from srnn.data.batches import Batch
from srnn.data.spikes import Spikes
from srnn.model.checkpoints import read_checkpoint
from srnn.nn.loss_config import LossName
from srnn.nn.losses import Loss, LossConfig
from srnn.training.loop import train
from srnn.training.rules import DRTRL, EProp, OnlineRule, follow, run_window
from srnn.training.runs import Run
from srnn.training.windows import Window, WrappedNetwork
from support.rtrl import RTRL
from support.rules import assert_equal, distance, make, problem, taken
from support.tiny import TinyStepTask, TinyTask, tiny_recipe

LENGTHS = torch.tensor([26, 15, 13, 18])
SIZE = 10
RULES = [RTRL(), DRTRL(), EProp()]


def learnt(network, rule: OnlineRule | None, loss: Loss, batch: Batch, size: int | None):
    """The gradients of all windows of a batch, added up, each loss times what it is a mean over;
    and the weights' sum."""
    trainee = WrappedNetwork(network, rule)
    past, outputs, weight = trainee.begin(network.initial_state(len(batch.y))), [], 0
    for window in Window.cut(batch, size):
        output, ran = trainee(window.x, window.lengths, past, None, window.last)
        outputs = [*(part.detach() for part in outputs), output]
        scored = window.score(loss, output if loss.per_step else torch.cat(outputs, 1))
        (scored.loss * scored.weight).backward()
        past, weight = ran.past, weight + scored.weight
    return taken(network), weight


def test_windows_follow_one_another_to_the_end_and_an_ended_sequence_has_no_step_of_them() -> None:
    x = torch.arange(33.0).reshape(3, 11, 1)
    for lengths, valid, steps in (
        (torch.tensor([11, 4, 8]), [[5, 4, 5], [5, 0, 3], [1, 0, 0]], [14, 8, 1]),
        (None, [None] * 3, [15, 15, 3]),
    ):
        windows = list(Window.cut(Batch(x, torch.zeros(3, dtype=torch.int64), lengths), 5))
        assert torch.equal(torch.cat([window.x for window in windows], 1), x)  # type: ignore[misc]
        assert [window.end for window in windows] == [
            5,
            10,
            11,
        ]  # of the last there is a single step
        assert [window.last for window in windows] == [False, False, True]
        assert [
            None if window.lengths is None else window.lengths.tolist() for window in windows
        ] == valid
        assert [window.steps for window in windows] == steps


@pytest.mark.parametrize("scoring", ["ce_sum_softmax", "ce_mean", "ce_last"])
def test_tbptt_is_the_published_loop_by_hand(scoring: LossName) -> None:
    network, (x, y) = make([5, 4]), problem()
    gradients, _ = learnt(
        network, None, Loss(LossConfig(scoring), False), Batch(x, y[:, 0], None), SIZE
    )
    state, so_far, steps = network.initial_state(len(x)), torch.zeros(4, 2, dtype=x.dtype), 0
    for begin in range(0, x.shape[1], SIZE):
        for t in range(begin, min(begin + SIZE, x.shape[1])):
            result = network.run(x[:, t : t + 1], state)
            output, state, steps = result.output[:, 0], result.state, steps + 1
            so_far = (
                output
                if scoring == "ce_last"
                else so_far + (output if scoring == "ce_mean" else output.softmax(-1))
            )
        F.cross_entropy(
            so_far / steps if scoring == "ce_mean" else so_far, y[:, 0], reduction="sum"
        ).backward()
        so_far, state = (
            so_far.detach(),
            tuple(type(part)(*(v.detach() for v in part)) for part in state),
        )
    assert_equal(gradients, taken(network), 1e-9)
    whole, _ = learnt(
        network, None, Loss(LossConfig(scoring), False), Batch(x, y[:, 0], None), None
    )
    assert distance(gradients, whole) > 0.01


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("name", ["nll", "ce_steps"])
def test_rules_that_go_forwards_do_not_care_where_sequences_of_losses_of_single_steps_are_cut(
    rule: OnlineRule, name: LossName
) -> None:
    network, (x, y) = make([4, 3]), problem()
    loss, y = Loss(LossConfig(name, start=12), name == "nll"), (y if name == "nll" else y[:, 0])
    batch = Batch(Spikes.from_dense(x > 0), y, LENGTHS)
    whole, parts = (learnt(network, rule, loss, batch, size) for size in (None, SIZE))
    assert whole[1] == parts[1] == 14 + 3 + 1 + 6
    assert_equal(whole[0], parts[0], 1e-9)


def test_windows_before_the_first_step_that_counts_have_no_target_and_ended_sequences_neither() -> (
    None
):
    batch = Batch(torch.zeros(3, 12, 1), torch.tensor([0, 1, 1]), torch.tensor([12, 4, 8]))
    outputs = torch.zeros(3, 12, 2)
    names: tuple[LossName, ...] = ("ce_steps", "ce_mean")
    counted = {}
    for name in names:
        loss = Loss(LossConfig(name, start=6), False)
        counted[name] = [
            window.score(loss, outputs[:, : window.end]).counted for window in Window.cut(batch, 4)
        ]
    # The second sequence is over after 4 steps, before the first that counts: then its last one
    # does.
    assert counted == {"ce_steps": [3, 2, 1], "ce_mean": [3, 2, 1]}
    weights = [window.score(Loss(LossConfig("ce_steps", start=6), False), outputs[:, : window.end]).weight
               for window in Window.cut(batch, 4)]  # fmt: skip
    assert weights == [1, 4, 4]
    whole = Batch(batch.x, batch.y, None)  # of which no sequence ends before the last window does
    loss = Loss(LossConfig("ce_steps", start=6), False)
    assert [
        window.score(loss, outputs[:, : window.end]).weight for window in Window.cut(whole, 4)
    ] == [0, 6, 12]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_long_windows_are_learnt_in_chunks(
    rule: OnlineRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, (x, y) = make([4, 3]), problem()

    def gradients() -> tuple[dict[str, Tensor], Tensor]:
        learner = follow(network, rule, network.initial_state(4))
        result = run_window(learner, Spikes.from_dense(x > 0), LENGTHS)
        F.cross_entropy(result.output.sum(1), y[:, 0]).backward()
        return taken(network), result.layers[0].output

    whole = gradients()
    monkeypatch.setattr("srnn.training.rules.chunks.CHUNK", 7)
    parts = gradients()
    assert_equal(parts[0], whole[0], 1e-9)
    assert torch.equal(parts[1], whole[1]) and bool(whole[1].any())


def test_weights_may_change_between_windows() -> None:
    network, (x, _) = make([4]), problem()
    learner = follow(network, DRTRL(), network.initial_state(4))
    run_window(learner, x[:, :10], last=False).output.sum().backward()
    state = learner.state[0], network.readout.initial_state(4)
    with torch.no_grad():
        network.layers[0].params.set_values(tau_mem=torch.full((4,), 2.0))  # type: ignore[operator, union-attr]
    assert torch.equal(
        run_window(learner, x[:, 10:]).layers[0].output,
        network.run(x[:, 10:], state).layers[0].output,
    )


def weights(folder: Path) -> dict[str, Tensor]:
    return read_checkpoint(Run.open(folder).last).tensors


def test_a_window_of_a_whole_sequence_is_bptt_to_the_bit(tmp_path: Path) -> None:
    for rule in ("bptt", "tbptt"):
        more = ["--training.window=12"] if rule == "tbptt" else []
        recipe = tiny_recipe(
            f"--training.rule={rule}", *more, "--training.dropout=0.2", "--training.epochs=2"
        )
        train(recipe, tmp_path / rule, task=TinyTask(padded=True))
    one, other = weights(tmp_path / "bptt"), weights(tmp_path / "tbptt")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_one_update_by_all_windows_is_that_of_whole_sequences(
    reduction: str, tmp_path: Path
) -> None:
    norms = []
    for name, more in {
        "whole": [],
        "cut": ["--training.window=5", "--training.update=sequence"],
    }.items():
        more = [f"--loss.reduction={reduction}", *more]
        recipe = tiny_recipe(
            "--training.rule=d-rtrl", "--loss.name=nll", "--training.epochs=1", *more
        )
        train(recipe, tmp_path / name, task=TinyStepTask(padded=True))
        lines = Run.open(tmp_path / name).metrics.read_text().splitlines()
        norms += [json.loads(line)["gradient_norm"] for line in lines]
    assert len(norms) == 2 and norms[1] == pytest.approx(norms[0], rel=1e-3)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(
        torch.allclose(one[name], other[name], atol=1e-4)
        for name in one
        if name.startswith("network.")
    )
    steps = {name: int(tensor) for name, tensor in other.items() if name.endswith(".step")}
    assert set(steps.values()) == {4}  # batches, not windows


@pytest.mark.parametrize("reduction", ["mean", pytest.param("sum", marks=pytest.mark.slow)])
def test_a_window_without_a_step_that_counts_makes_no_update(
    reduction: str, tmp_path: Path
) -> None:
    more = [
        "--training.window=3",
        "--training.batch_size=1",
        "--training.epochs=1",
        f"--loss.reduction={reduction}",
    ]
    train(
        tiny_recipe("--training.rule=tbptt", "--loss.name=nll", *more),
        tmp_path / "run",
        task=TinyStepTask(),
    )
    steps = {
        int(tensor) for name, tensor in weights(tmp_path / "run").items() if name.endswith(".step")
    }
    assert steps == {60 * 4 - 20}  # of each third sequence the first three steps have no label


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--training.window=5"], "must be null with the rule bptt, not 5"),
        (["--training.rule=tbptt"], "must be a number of steps with the rule tbptt"),
        (["--training.rule=tbptt", "--training.window=0"], r"training\.window"),
        (["--training.rule=e-prop", "--training.update=sequence"], r"training\.update"),
        (
            ["--training.rule=tbptt", "--training.window=5", "--network.bidirectional=true"],
            "bidirectional",
        ),
        (["--training.fptt.alpha=0.1"], r"training\.fptt\.alpha"),
    ],
)
def test_options_that_do_not_fit(options: list[str], said: str) -> None:
    with pytest.raises(SrnnError, match=said):
        tiny_recipe(*options)
