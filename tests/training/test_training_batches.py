"""The batches that a training learns from: mixed sequences and their labels, and that no process or
interruption changes them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from srnn import SrnnError
from srnn.data.augment_config import AugmentConfig
from srnn.data.augmentation import augment, mix
from srnn.data.batches import Batch, Sequences
from srnn.data.datasets import Split
from srnn.data.encoders import sliding_window
from srnn.data.spikes import Spikes
from srnn.model.checkpoints import read_checkpoint
from srnn.nn.loss_config import LossName
from srnn.nn.losses import Loss, LossConfig
from srnn.training.batches import TrainingBatches, differ, size_of_inputs
from srnn.training.loop import train
from srnn.training.seeds import derive_seed
from srnn.training.windows import Window
from support.tiny import TinyStepTask, TinyTask, tiny_recipe


def batch_of(
    seed: int, steps: int, lengths: list[int] | None = None, rate: float | None = None
) -> Batch:
    """Three sequences of four channels; of values, or of events with a rate."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, steps, 4)) if rate is None else rng.random((3, steps, 4)) < rate
    valid = None if lengths is None else torch.tensor(lengths)
    dense = torch.from_numpy(x.astype(np.float32))
    if valid is not None:
        dense[torch.arange(steps)[None, :] >= valid[:, None]] = 0
    return Batch(dense, torch.from_numpy(rng.integers(0, 5, 3)), valid)


def dense(batch: Batch) -> torch.Tensor:
    return batch.x.dense() if isinstance(batch.x, Spikes) else batch.x


@pytest.mark.parametrize("steps", [4, 9, 14])
def test_values_are_averaged_and_nothing_passes_the_first_ones_end(steps: int) -> None:
    own, other = batch_of(0, 9, [9, 3, 6]), batch_of(1, steps, [steps, 4, min(8, steps)])
    mixed = mix(own, other, False, 0.75, range(3))
    expected = 0.75 * dense(own)
    both = min(9, steps)
    expected[:, :both] += 0.25 * dense(other)[:, :both]
    expected[1, 3:] = expected[2, 6:] = 0
    assert (
        torch.equal(dense(mixed), expected)
        and torch.equal(mixed.y, own.y)
        and mixed.lengths is own.lengths
    )
    assert (
        mixed.mixed is not None and torch.equal(mixed.mixed[0], other.y) and mixed.mixed[1] == 0.75
    )


@pytest.mark.parametrize("packed", [True, False])
def test_events_stay_events_each_of_one_of_both(packed: bool) -> None:
    own, other = batch_of(0, 500, rate=0.3), batch_of(1, 500, rate=0.6)
    a, b = dense(own), dense(other)
    if packed:
        own, other = (
            Batch(Spikes.from_dense(a), own.y, None),
            Batch(Spikes.from_dense(b), other.y, None),
        )
    mixed = mix(own, other, True, 0.8, range(3))
    assert isinstance(mixed.x, Spikes) == packed
    x = dense(mixed)
    assert bool(((x == a) | (x == b)).all())
    differ = a != b
    assert (x == a)[differ].float().mean() == pytest.approx(0.8, abs=0.02)
    assert ((x != a).any(-1) & (x != b).any(-1)).any()  # each event by itself, not a step
    changes = torch.from_numpy(np.random.default_rng(1).random(a.shape[1:], np.float32) < 0.8)
    assert not torch.equal(
        (x == a)[1][differ[1]], changes[differ[1]]
    )  # not by the numbers that augment draws
    rows = np.array([1])
    assert torch.equal(dense(mix(own[rows], other[rows], True, 0.8, [1])), x[1:2])


def test_labels_of_steps_end_with_the_other_sequence() -> None:
    own, other = batch_of(0, 6), batch_of(1, 4)
    own, other = (
        Batch(one.x, one.y[:, None].expand(-1, one.x.shape[1]), None) for one in (own, other)
    )
    mixed = mix(own, other, False, 0.5, range(3))
    assert mixed.mixed is not None and torch.equal(mixed.mixed[0], F.pad(other.y, (0, 2), value=-1))


@pytest.mark.parametrize("name", ["ce_mean", "nll", "ce_steps"])
def test_both_labels_count_by_their_share_and_parts_add_up(name: LossName) -> None:
    """However a batch is shared among processes: losses count by what y counts, as ``Team.join``
    adds them up."""
    own, other = batch_of(0, 8, [8, 5, 7]), batch_of(1, 8)
    loss = Loss(LossConfig(name=name), name == "nll")
    if name == "nll":
        labels = [
            torch.from_numpy(np.random.default_rng(seed).integers(-1, 4, (3, 8))) for seed in (2, 3)
        ]
        own, other = Batch(own.x, labels[0], own.lengths), Batch(other.x, labels[1], None)
    mixed = mix(own, other, False, 0.7, range(3))
    outputs = torch.from_numpy(np.random.default_rng(4).normal(size=(3, 8, 5)))
    if name == "nll":
        outputs = outputs.log_softmax(-1)
    (window,) = Window.cut(mixed, None)
    scored = window.score(loss, outputs)
    one, two = loss(outputs, own.y, own.lengths), loss(outputs, other.y, own.lengths)
    total = 0.7 * one.loss * one.weight + 0.3 * two.loss * two.weight
    assert scored.loss * one.weight == pytest.approx(float(total), rel=1e-12)
    assert (scored.weight, scored.correct, scored.counted) == (one.weight, one.correct, one.counted)
    parts = 0.0
    for rows in (slice(0, 1), slice(1, 3)):
        assert mixed.mixed is not None and mixed.lengths is not None
        part = Batch(mixed.x[rows], mixed.y[rows], mixed.lengths[rows], (mixed.mixed[0][rows], 0.7))
        of = Window(part, 0, 8).score(loss, outputs[rows])
        parts += float(of.loss) * of.weight
    assert parts == pytest.approx(float(total), rel=1e-12)


def test_inputs_are_told_from_others_by_their_size_and_from_another_machines_they_are_not() -> None:
    parts = [batch_of(0, 9), batch_of(1, 6)]
    values = torch.cat([dense(one).double().reshape(-1) for one in parts])
    split: Any = SimpleNamespace(batches=lambda _: parts)
    assert size_of_inputs(split) == pytest.approx(
        [float(values.mean()), float(values.square().mean().sqrt())]
    )
    parts = [Batch(Spikes.from_dense(dense(batch_of(2, 9, rate=0.3))), torch.zeros(3), None)]
    rate = float(dense(parts[0]).double().mean())
    assert size_of_inputs(split) == pytest.approx([rate, rate**0.5])
    for loud in (1.0, 1e4):  # bits are rounded in proportion to it
        for change in (-1, 1):
            own, near, far = (
                [0.5 * loud, (1 + share * change) * loud] for share in (0, 0.9e-5, 1.2e-5)
            )
            assert (
                not differ(own, near)
                and differ(own, far)
                and differ(own, [0.5 * loud + 2e-5 * change * loud, loud])
            )


def test_settings_fit_the_split_whatever_a_batch_holds() -> None:
    """Counts are values although a batch has none above 1, and a shift may be longer than all
    sequences of a batch."""
    counts, short = TinyTask(), TinyTask(padded=True)
    sequences = Sequences(counts, "train")
    sequences.x[40, 3, 1] = 2  # type: ignore[index]
    batches = TrainingBatches(
        sequences, counts, counts.signal(), AugmentConfig(channel_mask=1, mix=1), 5
    )
    mixed = dense(batches.take(np.arange(20, 26), slice(None), 0, 0))
    assert bool(((mixed > 0) & (mixed < 1)).any())  # averaged, not drawn
    with pytest.raises(SrnnError, match="drop applies only to inputs that are events"):
        TrainingBatches(sequences, counts, counts.signal(), AugmentConfig(drop=0.1), 5)
    sequences = Sequences(short, "train")
    batches = TrainingBatches(sequences, short, short.signal(), AugmentConfig(time_shift=8), 5)
    assert sequences.lengths is not None
    shortest = np.flatnonzero(sequences.lengths < 8)[:3]
    assert len(shortest) == 3 and batches.take(shortest, slice(None), 0, 0).x.shape[1] < 8


@pytest.mark.parametrize(
    "task", [TinyTask(), TinyTask(padded=True), TinyStepTask()], ids=["whole", "padded", "steps"]
)
def test_parts_are_of_the_whole_batch(task: TinyTask) -> None:
    config = AugmentConfig(drop=0.3, time_shift=2, mix=0.4)
    batches = TrainingBatches(Sequences(task, "train"), task, task.signal(), config, 5)
    indices = np.random.default_rng(0).permutation(60)[:11]
    whole = batches.take(indices, slice(None), 3, 7)
    assert (
        whole.mixed is not None
        and 0.5 <= whole.mixed[1] < 1
        and not torch.equal(whole.mixed[0], whole.y)
    )
    for rows in (slice(0, 6), slice(6, 11)):
        part = batches.take(indices, rows, 3, 7)
        steps = part.x.shape[1]
        assert (
            torch.equal(dense(part), dense(whole)[rows, :steps])
            and not dense(whole)[rows, steps:].any()
        )
        assert part.mixed is not None and part.mixed[1] == whole.mixed[1]
        expected = whole.mixed[0][rows]
        assert torch.equal(part.mixed[0], expected[:, :steps] if expected.ndim == 2 else expected)
    again, later = (
        batches.take(indices, slice(None), 3, 7),
        batches.take(indices, slice(None), 3, 8),
    )
    assert torch.equal(dense(again), dense(whole)) and not torch.equal(dense(later), dense(whole))


def test_changes_are_drawn_anew_by_seed_and_epoch_and_mixtures_in_each_step() -> None:
    task, taken = TinyTask(), {}
    for seed, epoch, step in ((5, 0, 0), (5, 0, 1), (5, 1, 0), (6, 0, 0)):
        for config in (AugmentConfig(drop=0.3), AugmentConfig(mix=0.4)):
            batches = TrainingBatches(Sequences(task, "train"), task, task.signal(), config, seed)
            taken[config, seed, epoch, step] = batches.take(np.arange(9), slice(None), epoch, step)
    dropped = [dense(batch) for (config, *_), batch in taken.items() if config.drop]
    mixed = [batch.mixed for (config, *_), batch in taken.items() if config.mix]
    assert torch.equal(dropped[0], dropped[1])
    assert not any(
        torch.equal(dropped[one], dropped[other]) for one, other in ((0, 2), (0, 3), (2, 3))
    )
    assert len({share for _, share in mixed if 0.5 <= share < 1}) == 4  # type: ignore[misc]


class Tiles(TinyStepTask):
    """Images of 16 pixels, of which each step sees four, with late labels of its steps."""

    channel_blocks = 2
    inputs = 4
    pixel_order = np.random.default_rng(0).permutation(16)

    def lag(self, form: Any = "signal") -> int:
        return 3

    def load(self, split: Any, data_dir: Path | None = None) -> Split:
        rng = np.random.default_rng(0)
        x = sliding_window(rng.random((5, 16), np.float32), 4).astype(np.float32)
        return Split(x, rng.integers(-1, 3, (5, 16)))


def test_what_a_task_says_of_its_sequences_is_kept_to() -> None:
    task, config = Tiles(), AugmentConfig(image_shift=1, stretch=0.4, channel_mask=1)
    sequences, indices = Sequences(task, "train"), np.array([3, 0, 4])
    batch = TrainingBatches(sequences, task, task.signal(), config, 5).take(
        indices, slice(None), 2, 0
    )
    said = {"events": False, "blocks": 2, "pixel_order": task.pixel_order, "lag": 3}
    said["seeds"] = [derive_seed(5, "augment", 2, index) for index in (3, 0, 4)]
    for other in ({}, {"blocks": 1}, {"pixel_order": None}, {"lag": 0}, {"seeds": [0, 1, 2]}):
        expected = augment(sequences.take(indices), config, **(said | other))  # type: ignore[arg-type]
        same = torch.equal(dense(batch), dense(expected)) and torch.equal(batch.y, expected.y)
        assert same == (not other)


@pytest.mark.slow
def test_a_training_with_mixed_sequences_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        "--training.epochs",
        "3",
        "--training.augment.mix",
        "0.4",
        "--training.checkpoint_every",
        "1",
    )
    recipe = tiny_recipe(*words)
    train(recipe, tmp_path / "whole", task=TinyTask())
    taken, take = [], TrainingBatches.take

    def stopping(*arguments, **named):
        taken.append(arguments)
        if len(taken) == 6:
            raise KeyboardInterrupt
        return take(*arguments, **named)

    monkeypatch.setattr(TrainingBatches, "take", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "stopped", task=TinyTask())
    train(recipe, tmp_path / "stopped", task=TinyTask(), resume=True)
    train(tiny_recipe(*words[:2]), tmp_path / "plain", task=TinyTask())
    whole, stopped, plain = (
        read_checkpoint(tmp_path / name / "checkpoints" / "last.safetensors").tensors
        for name in ("whole", "stopped", "plain")
    )
    assert all(torch.equal(stopped[name], value) for name, value in whole.items())
    assert any(not torch.equal(plain[name], value) for name, value in whole.items())
