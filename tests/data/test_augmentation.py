"""Random changes of training sequences: what moves, what must not, and that a draw does not depend
on its surroundings."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data import augmentation
from srnn.data.augment_config import AugmentConfig
from srnn.data.augmentation import are_events
from srnn.data.batches import Batch
from srnn.data.encoders import sliding_window
from srnn.data.spikes import Spikes
from srnn.data.tasks import create_task
from srnn.training.loop import train
from support.refusing import refuses
from support.tiny import TinyTask, tiny_recipe


def augment(
    batch: Batch, config: AugmentConfig, blocks: int, seeds: Sequence[int], *more: Any, **named: Any
) -> Batch:
    """Of a split that is this batch."""
    kind = are_events([batch])
    augmentation.check(config, kind, blocks, batch.x.shape, bool(more))
    return augmentation.augment(batch, config, kind, blocks, seeds, *more, **named)


def events(
    rng: np.random.Generator, batch: int = 4, steps: int = 20, channels: int = 7
) -> torch.Tensor:
    return torch.from_numpy((rng.random((batch, steps, channels)) < 0.2).astype(np.float32))


@settings(max_examples=50)
@given(
    st.integers(0, 2**32),
    st.integers(0, 5),
    st.floats(0, 0.5),
    st.integers(0, 3),
    st.floats(0, 0.9),
    st.booleans(),
)
def test_events_stay_events_and_padding_stays_empty(seed, shift, stretch, aside, drop, packed):
    rng = np.random.default_rng(seed)
    x, lengths = events(rng), torch.tensor([20, 13, 7, 1])
    x[torch.arange(20)[None, :] >= lengths[:, None]] = 0
    batch = Batch(Spikes.from_dense(x) if packed else x, torch.zeros(4, dtype=torch.int64), lengths)
    config = AugmentConfig(time_shift=shift, stretch=stretch, channel_shift=aside, drop=drop)
    changed = augment(batch, config, 1, range(4))
    dense = changed.x.dense() if isinstance(changed.x, Spikes) else changed.x
    assert isinstance(changed.x, Spikes) == packed
    assert dense.shape == x.shape and bool(((dense == 0) | (dense == 1)).all())
    assert not dense[torch.arange(20)[None, :] >= lengths[:, None]].any()
    assert (dense.sum((1, 2)) <= x.sum((1, 2))).all()  # none is invented


def test_of_each_sequence_another_share_of_the_events_is_dropped_up_to_what_was_asked() -> None:
    batch = Batch(torch.ones(60, 100, 20), torch.zeros(60), None)
    dropped = 1 - augment(batch, AugmentConfig(drop=0.4), 1, range(60)).x.mean((1, 2))  # type: ignore[union-attr]
    assert dropped.min() < 0.05 and 0.35 < dropped.max() < 0.43 and 0.15 < dropped.mean() < 0.25


def test_an_event_carries_its_label_along():
    """Where the label of a step tells which channel fires in it, it still does after a shift and a
    stretch."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, (3, 60))
    x = np.zeros((3, 60, 5), np.float32)
    np.put_along_axis(x, y[:, :, None], 1, axis=2)
    batch = Batch(torch.from_numpy(x), torch.from_numpy(y), None)
    for seed in range(20):
        changed = augment(batch, AugmentConfig(time_shift=5), 1, [seed] * 3)
        fired = changed.x.sum(-1) > 0
        assert (changed.y[fired] == changed.x.argmax(-1)[fired]).all() and (
            changed.y[~fired] == -1
        ).all()
        for shift in (0, 5):
            changed = augment(batch, AugmentConfig(stretch=0.3, time_shift=shift), 1, [seed] * 3)
            fired = (changed.x.sum(-1) == 1) & (changed.y >= 0)
            assert (
                changed.y[fired] == changed.x.argmax(-1)[fired]
            ).float().mean() > 0.95  # rounding, where steps share a place


def test_events_are_shifted_as_far_as_was_asked_in_all_directions_and_over_no_border() -> None:
    config = AugmentConfig(time_shift=3, channel_shift=2)
    for place in (0, 4, 8):
        x = torch.zeros(1, 9, 9)
        x[0, place, place] = 1
        moved = [
            augment(Batch(x, torch.zeros(1), None), config, 1, [seed]).x for seed in range(300)
        ]
        found = {tuple(at.tolist()) for one in moved for at in one.nonzero()}  # type: ignore[union-attr]
        steps, channels = (
            [at for at in range(place - far, place + far + 1) if 0 <= at < 9] for far in (3, 2)
        )
        assert found == {(0, step, channel) for step in steps for channel in channels}


def test_time_and_channels_are_stretched_and_squeezed_as_far_as_was_asked() -> None:
    x = torch.zeros(1, 80, 1)
    x[0, 40] = 1  # an event
    ramp = torch.arange(20.0).expand(1, 2, 20) + 0.5
    found = []
    for seed in range(100):
        moved = augment(Batch(x, torch.zeros(1), None), AugmentConfig(stretch=0.3), 1, [seed]).x
        warped = augment(
            Batch(ramp, torch.zeros(1), None), AugmentConfig(channel_warp=0.3), 1, [seed]
        ).x
        found.append((float(moved[0].argmax()) / 40, float(warped[0, 0, 1] - 0.5)))  # type: ignore[union-attr]
    for one in np.array(found).T:
        assert math.exp(-0.3) - 1 / 40 < one.min() < 0.8 and 1.25 < one.max() < math.exp(0.3)


def test_values_are_shifted_as_far_as_was_asked_in_both_directions() -> None:
    ramp = Batch(torch.arange(20.0)[None, :, None] + 0.5, torch.zeros(1), None)
    moved = [augment(ramp, AugmentConfig(time_shift=3), 1, [seed]).x for seed in range(100)]
    assert {float(one[0, 10, 0]) - 10.5 for one in moved} == {-3, -2, -1, 0, 1, 2, 3}  # type: ignore[index]


@pytest.mark.parametrize("kind", ["events", "values"])
def test_labels_of_padding_stay_none(kind: str) -> None:
    """Of sequences of several lengths each moves as it does alone, and labels move no further than
    its end."""
    lengths, scale = [30, 17], 1 if kind == "events" else 0.5
    x = (torch.rand(2, 30, 3, generator=torch.Generator().manual_seed(0)) < 0.5).float() * scale
    y = torch.arange(30).repeat(2, 1) % 4
    x[1, 17:], y[1, 17:] = 0, -1
    config = AugmentConfig(time_shift=6, stretch=0.2)
    changed = augment(Batch(x, y, torch.tensor(lengths)), config, 1, [3, 4])
    assert (changed.y[1, 17:] == -1).all() and not changed.x[1, 17:].any()
    for row, length in enumerate(lengths):
        alone = augment(
            Batch(x[row : row + 1, :length], y[row : row + 1, :length], None), config, 1, [3 + row]
        )
        assert torch.equal(changed.x[row, :length], alone.x[0]) and torch.equal(
            changed.y[row, :length], alone.y[0]
        )


def test_values_are_masked_in_every_block_and_shift_with_their_labels():
    x = torch.rand(2, 30, 12) + 1
    y = torch.arange(30).expand(2, 30) % 4
    batch = Batch(x, y.clone(), None)
    changed = augment(batch, AugmentConfig(channel_mask=3), 3, [1, 2])
    gone = (changed.x == 0).all(1)  # (2, 12)
    assert gone.any() and (gone[:, :4] == gone[:, 4:8]).all() and (gone[:, :4] == gone[:, 8:]).all()
    assert torch.equal(batch.x, x) and torch.equal(batch.y, y)  # the original is left alone

    marked = torch.arange(30.0)[None, :, None].expand(2, 30, 12) + 1.5
    changed = augment(Batch(marked, y.clone(), None), AugmentConfig(time_shift=9), 1, [3, 4])
    inside = changed.y >= 0
    assert (~inside).any() and (
        ((changed.x[:, :, 0] - 1.5).long() % 4)[inside] == changed.y[inside]
    ).all()


def test_values_are_stretched_with_their_labels_and_stand_still_beyond_their_end():
    """A ramp stays a ramp: every step has the value of the (fractional) step that it comes from,
    and that one's label."""
    ramp = torch.arange(40.0)[None, :, None].expand(1, 40, 6) + 0.25
    batch = Batch(ramp, torch.arange(40)[None], None)
    factors = set()
    for seed in range(30):
        changed = augment(batch, AugmentConfig(stretch=0.3), 2, [seed])
        x, y = changed.x[0, :, 0] - 0.25, changed.y[0]
        assert (changed.x[0] == changed.x[0, :, :1]).all()
        inside = y >= 0
        slope = float(x[1])
        assert math.exp(-0.3) < slope < math.exp(0.3)
        factors.add(slope > 1)
        torch.testing.assert_close(
            x, (torch.arange(40) * slope).clamp(max=39), rtol=1e-4, atol=1e-4
        )
        assert (y[inside] == x[inside].round()).all() and bool((~inside).any()) == (
            round(39 * slope) > 39
        )
    assert factors == {True, False}  # faster and slower


@pytest.mark.parametrize("kind", ["events", "values"])
def test_late_labels_stay_as_late_however_a_sequence_is_stretched(kind):
    """What fires, or is read, at a step has its label ``lag`` steps later: blocks of channels,
    which a stretch leaves whole."""
    lag, blocks = 7, np.repeat(np.arange(12) % 5, 10)
    x = np.zeros((1, 120, 5), np.float32)
    np.put_along_axis(x, blocks[None, :, None], 1 if kind == "events" else 0.5, axis=2)
    y = np.full((1, 120), -1)
    y[0, lag:] = blocks[:-lag]
    batch, lags = Batch(torch.from_numpy(x), torch.from_numpy(y), None), []
    for seed in range(20):
        for told, wrong in ((lag, []), (0, lags)):
            changed = augment(batch, AugmentConfig(stretch=0.4), 1, [seed], lag=told)
            labels, fired = changed.y[0, lag:], changed.x[0, :-lag]
            known = (labels >= 0) & (fired.sum(1) > 0)
            wrong.append(float((labels != fired.argmax(1))[known].float().mean()))
            if told:
                assert wrong[-1] < 0.06  # at the borders of blocks, by rounding
    assert np.mean(lags) > 0.1  # where the lag is stretched along they are not where they belong


def test_channels_are_warped_within_each_block():
    ramp = torch.cat([torch.arange(20.0), 100 + 2 * torch.arange(20.0)])[None, None].expand(
        3, 5, 40
    )
    changed = augment(
        Batch(ramp, torch.arange(3), None), AugmentConfig(channel_warp=0.2), 2, [1, 2, 3]
    ).x
    slopes = changed[:, :, 1:2]
    assert len(slopes.unique()) == 3 and (slopes != 1).all()
    expected = (torch.arange(20) * slopes).clamp(max=19)
    torch.testing.assert_close(changed[:, :, :20], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(changed[:, :, 20:], 100 + 2 * expected, rtol=1e-5, atol=1e-5)


def test_an_image_moves_as_an_image_in_whatever_order_it_is_read():
    """A ramp over 12 x 12 pixels stays a ramp of another slope (bilinear interpolation is exact on
    it), black comes in from beyond the border, and the order in which pixels are read, and how many
    are seen at a step, change nothing."""
    side, orders = 12, (np.arange(144), np.random.default_rng(0).permutation(144))
    ramp = (1 + np.arange(side)[:, None] + 3 * np.arange(side)).astype(np.float32).reshape(-1)
    images = []
    for order, width in zip(orders, (5, 3), strict=True):
        x = torch.from_numpy(sliding_window(np.stack([ramp[order]] * 8), width))
        config = AugmentConfig(image_shift=2, image_warp=0.1)
        moved = augment(
            Batch(x, torch.zeros(8, dtype=torch.int64), None), config, 1, range(8), order
        ).x.numpy()
        image = np.empty((8, 144))
        image[:, order] = np.concatenate([moved[:, : 144 - width, 0], moved[:, -1]], axis=1)
        np.testing.assert_array_equal(
            moved, sliding_window(image[:, order].astype(np.float32), width)
        )
        images.append(image.reshape(8, side, side))
    np.testing.assert_array_equal(*images)
    inner = images[0][:, 4:-4, 4:-4]
    np.testing.assert_allclose(np.diff(inner, 2, axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(np.diff(inner, 2, axis=2), 0, atol=1e-4)
    slopes = np.diff(inner, axis=2)[:, 0, 0]
    assert (
        len(np.unique(slopes.round(4))) == 8
        and (abs(slopes - 3) < 0.5).all()
        and (images[0] == 0).any()
    )


def test_an_image_is_warped_about_its_centre():
    order = np.arange(169)
    ramp = (1 + np.arange(13)[:, None] + 3 * np.arange(13)).astype(np.float32).reshape(1, 169, 1)
    for seed in range(5):
        moved = augment(
            Batch(torch.from_numpy(ramp), torch.zeros(1), None),
            AugmentConfig(image_warp=0.3),
            1,
            [seed],
            order,
        )
        assert (
            moved.x[0, 84, 0] == pytest.approx(ramp[0, 84, 0], abs=1e-4)
            and moved.x[0, 83, 0] != ramp[0, 83, 0]
        )


def test_an_image_is_shifted_along_both_coordinates_in_both_directions() -> None:
    """Each seed's shift, told by a ramp along each of them."""
    ramps, shifts = np.indices((9, 9), np.float32).reshape(2, 81, 1) + 1, []
    for seed in range(40):
        batch = Batch(torch.from_numpy(ramps), torch.zeros(2), None)
        moved = augment(batch, AugmentConfig(image_shift=2), 1, [seed] * 2, np.arange(81))
        shifts.append(moved.x[:, 40, 0] - 5)  # type: ignore[union-attr]
    rows, columns = torch.stack(shifts).T
    for one in (rows, columns):
        assert one.min() < -1 and one.max() > 1 and one.abs().max() <= 2
    assert bool(((rows - columns).abs() > 0.01).all())


def test_two_masks_of_a_kind_lie_anywhere() -> None:
    batch = Batch(torch.full((1, 9, 9), 0.5), torch.zeros(1), None)
    for config, axis in ((AugmentConfig(time_mask=2), 1), (AugmentConfig(channel_mask=2), 0)):
        masked = torch.stack(
            [(augment(batch, config, 1, [seed]).x[0] == 0).all(axis) for seed in range(300)]
        )  # type: ignore[union-attr]
        assert bool(masked.any(0).all()) and set(masked.sum(1).tolist()) == {0, 1, 2, 3, 4}


def test_a_mask_may_be_longer_than_a_sequence():
    x = torch.ones(2, 30, 3)
    x[1, 4:] = 0
    batch = Batch(x / 2, torch.zeros(2, dtype=torch.int64), torch.tensor([30, 4]))
    masked = [
        augment(batch, AugmentConfig(time_mask=25), 1, [seed, seed + 1]).x[1, :4].sum(1) == 0
        for seed in range(30)
    ]
    assert {int(one.sum()) for one in masked} == {0, 1, 2, 3, 4}


def test_only_images_are_moved_as_images():
    batch = Batch(torch.rand(2, 9, 1), torch.zeros(2, dtype=torch.int64), None)
    for name, value in (("image_warp", 0.1), ("image_shift", 1)):  # each alone
        config = AugmentConfig(**{name: value})
        with refuses(f"training.augment.{name}", "conflict"):
            augment(batch, config, 1, [0, 1])
        assert not torch.equal(augment(batch, config, 1, [0, 1], np.arange(9)).x, batch.x)
    assert create_task("ecg").pixel_order is None
    order = create_task("psmnist", window=1).pixel_order
    assert (
        sorted(order.tolist()) == list(range(784))
        and (order != create_task("smnist").pixel_order).any()
    )


def test_what_was_drawn_before_there_was_a_stretch_of_values_is_drawn_still():
    """Numbers of a recipe with shift and masks alone, as this project has published them."""
    x = torch.arange(1.0, 1 + 12 * 6).reshape(1, 12, 6)
    changed = augment(
        Batch(x, torch.zeros(1, dtype=torch.int64), None),
        AugmentConfig(time_shift=4, channel_mask=2),
        1,
        [9],
    ).x
    rows = torch.tensor([*range(1, 12), 11])
    assert torch.equal(changed[0, :, :4], x[0, rows, :4]) and not changed[0, :, 4:].any()


def test_a_sequence_changes_alike_in_any_batch():
    x = events(np.random.default_rng(0))
    y = torch.arange(4)
    config = AugmentConfig(time_shift=3, stretch=0.2, channel_shift=2, drop=0.5)
    together = augment(Batch(x, y, None), config, 1, [5, 6, 7, 8])
    alone = augment(Batch(x[2:3], y[2:3], None), config, 1, [7])
    assert torch.equal(together.x[2:3], alone.x)
    assert not torch.equal(together.x, x)


def test_nothing_asked_nothing_done():
    batch = Batch(events(np.random.default_rng(0)), torch.zeros(4, dtype=torch.int64), None)
    assert augment(batch, AugmentConfig(), 1, range(4)) is batch


def test_one_batch_of_values_makes_a_split_one_of_values() -> None:
    parts = [
        Batch(events(np.random.default_rng(0)) * most, torch.zeros(4), None) for most in (1, 2, 1)
    ]
    assert not are_events(parts) and are_events([parts[0], parts[2]])
    assert are_events([Batch(Spikes.from_dense(parts[0].x), parts[0].y, None)])  # type: ignore[arg-type]


def test_a_mask_is_no_wider_than_a_block() -> None:
    batch = Batch(torch.rand(2, 9, 6), torch.zeros(2, dtype=torch.int64), None)
    assert (augment(batch, AugmentConfig(channel_mask=2), 3, [0, 1]).x == 0).any()
    with refuses("training.augment.channel_mask"):
        augment(batch, AugmentConfig(channel_mask=3), 3, [0, 1])


def test_training_is_changed_by_it_and_repeatable(tmp_path):
    def losses(name: str, *settings: str) -> list[float]:
        train(tiny_recipe("--training.epochs", "2", *settings), tmp_path / name, task=TinyTask())
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["train"]["loss"] for line in lines]

    asked = ("--training.augment.drop", "0.3", "--training.augment.time_shift", "2")
    assert losses("a", *asked) == losses("b", *asked) != losses("plain")
