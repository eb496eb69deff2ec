"""Augmentation: random changes, on which the classes should not depend, to training sequences only,
never to other splits.

There are three kinds of sequences. A moved event is still one event, but an interpolated one is
not; and an image does not move along the order in which its pixels are read:

    events (0/1)   every event moves: in time by a shift and a stretch, over neighbouring channels; some are dropped
    values         the whole sequence moves in time, by a shift and a stretch, and over channels by a stretch; neighbouring
                   channels, or neighbouring steps, are set to zero
    images         read pixel by pixel, in any order: the image itself is shifted, rotated, sheared and scaled, and read again

Every sequence has its own seed, so that neither the batch it is in nor an interruption of the
training affects it. Sequences that have been changed may then be mixed with others (``mix``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import SrnnError
from .augment_config import AugmentConfig
from .batches import Batch
from .encoders.sliding_window import sliding_window
from .spikes import Spikes, as_dense
from .targets import of_steps, unlabelled

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[Any]
"""(T,) classes, -1 for none, or (T, values) targets, NaN for none."""
_NEEDS = {
    "image_shift": "images read pixel by pixel",
    "image_warp": "images read pixel by pixel",
    "channel_mask": "values",
    "time_mask": "values",
    "channel_warp": "values",
    "channel_shift": "events",
    "drop": "events",
}
"""The inputs that a setting applies to."""
_MIX = 14
"""Key of the generator that mixes events (``raw_augmentation`` has others)."""


def are_events(batches: Iterable[Batch]) -> bool:
    """Whether all values of a split are events. One batch does not suffice: counts or silence in
    it may be 0 and 1 by chance."""
    return all(
        isinstance(batch.x, Spikes) or bool(((batch.x == 0) | (batch.x == 1)).all())
        for batch in batches
    )


def augment(
    batch: Batch,
    config: AugmentConfig,
    events: bool,
    blocks: int,
    seeds: Sequence[int],
    pixel_order: npt.NDArray[np.intp] | None = None,
    lag: int = 0,
) -> Batch:
    """An augmented copy of a batch; the batch itself where ``config`` enables nothing.

    Args:
        batch: x (B, T, C), y (B,) or (B, T). Steps that get no content from the original lose their
            label.
        config: settings that ``check`` accepts.
        events: ``are_events`` of the split.
        blocks: number of equal groups of channels that belong together, such as features and their
            derivatives: a masked channel is masked in all of them.
        seeds: one per sequence, for every random choice.
        pixel_order: ``Task.pixel_order``; None: the sequences are not images.
        lag: steps by which labels of steps are late, however a sequence is stretched.

    Returns:
        A batch of the same shape, on the same device.
    """
    if not config.active:
        return batch
    x = as_dense(batch.x).cpu().numpy()
    y = batch.y.cpu().numpy().copy()
    if batch.lengths is None:
        lengths = np.full(len(x), x.shape[1])
    else:
        lengths = batch.lengths.cpu().numpy()
    result, change = np.zeros_like(x), _change_events if events else _change_values
    for index, length in enumerate(lengths.tolist()):
        steps = None
        if of_steps(y):
            steps = y[index, :length]
        generator = np.random.default_rng(seeds[index])
        sequence = x[index, :length]
        if pixel_order is not None and (config.image_shift or config.image_warp):
            sequence = _move_image(sequence, pixel_order, config, generator)
        result[index, :length] = change(sequence, steps, config, blocks, lag, generator)
    dense = torch.from_numpy(result)
    if isinstance(batch.x, Spikes):
        inputs = Spikes.from_dense(dense)
    else:
        inputs = dense
    return Batch(inputs.to(batch.x.device), torch.from_numpy(y).to(batch.y.device), batch.lengths)


def mix(batch: Batch, other: Batch, events: bool, share: float, seeds: Sequence[int]) -> Batch:
    """Mixup (Zhang, Cisse, Dauphin & Lopez-Paz 2018): each sequence with the one in its place in
    ``other``.

    Values are averaged by share. Each event is kept with a probability equal to its sequence's
    share, so that events remain events, and their number stays the same where both sequences have
    equally many.

    Args:
        batch: determines lengths: steps of the other sequences beyond them are cut off.
        other: as many sequences.
        events: ``are_events`` of the split.
        share: the share of ``batch``, whose labels stay; the other labels count by ``1 - share``.
        seeds: one per sequence, to draw which events are kept.

    Returns:
        A batch of the shape of ``batch``, whose ``mixed`` holds the other labels and the share.
    """
    steps, packed = batch.x.shape[1], isinstance(batch.x, Spikes)
    own, others = (as_dense(one.x) for one in (batch, other))
    others, labels = _fitted(others, steps, 0), other.y
    if of_steps(labels):
        labels = _fitted(labels, steps, unlabelled(labels))
    if events:
        drawn = [
            np.random.default_rng([seed, _MIX]).random(own.shape[1:], np.float32) for seed in seeds
        ]
        mixed = torch.where(torch.from_numpy(np.stack(drawn)).to(own.device) < share, own, others)
    else:
        mixed = share * own + (1 - share) * others
    if batch.lengths is not None:
        step = torch.arange(steps, device=own.device)
        ended = step[None, :] >= batch.lengths.to(own.device)[:, None]
        mixed = mixed.masked_fill(ended[:, :, None], 0)
    return replace(batch, x=Spikes.from_dense(mixed) if packed else mixed, mixed=(labels, share))


def _fitted(x: Tensor, steps: int, padding: float) -> Tensor:
    """x (B, T, ...) cut or padded to this many steps."""
    x = x[:, :steps]
    missing = x.new_full((len(x), steps - x.shape[1], *x.shape[2:]), padding)
    if not missing.numel():
        return x
    return torch.cat([x, missing], 1)


def check(
    config: AugmentConfig, events: bool, blocks: int, shape: Sequence[int], images: bool
) -> None:
    """Check that settings suit a split.

    Args:
        config: the settings.
        events: ``are_events`` of the split.
        blocks: number of equal groups of channels that belong together.
        shape: (B, T, C) of the split's inputs.
        images: whether they are images read pixel by pixel.

    Raises:
        SrnnError: ``conflict``: a setting has no effect on such inputs; ``value``: one is too large
            for them.
    """
    here = ["events" if events else "values"]
    if images:
        here.append("images read pixel by pixel")
    for name, needed in _NEEDS.items():
        if getattr(config, name) and needed not in here:
            key = f"training.augment.{name}"
            message = f"{key} applies only to inputs that are {needed}, but these are {here[0]}"
            raise SrnnError(f"{message}; remove it.", "conflict", key)
    rooms = {"channel_mask": shape[2] // blocks, "channel_shift": shape[2] - 1}
    for name, room in (rooms | {"time_shift": shape[1] - 1}).items():
        if getattr(config, name) > room:
            key = f"training.augment.{name}"
            message = f"{key} is {getattr(config, name)}, but these inputs allow at most {room}."
            raise SrnnError(message, "value", key)


def _change_events(
    x: Array,
    labels: Labels | None,
    config: AugmentConfig,
    blocks: int,
    lag: int,
    generator: np.random.Generator,
) -> Array:
    """One sequence (T, C) of events, every one of them moved; ``labels`` (T,), ``lag`` steps late,
    are moved along, in place."""
    steps, channels = x.shape
    factor = math.exp(generator.uniform(-config.stretch, config.stretch))
    shift = int(generator.integers(-config.time_shift, config.time_shift + 1))
    aside = int(generator.integers(-config.channel_shift, config.channel_shift + 1))
    at, channel = np.nonzero(x)
    at, channel = (at * factor).astype(np.int64) + shift, channel + aside
    kept = (at >= 0) & (at < steps) & (channel >= 0) & (channel < channels)
    if config.drop:  # the fraction is drawn for each sequence, so that all strengths occur
        kept &= generator.random(len(at)) >= generator.uniform(0, config.drop)
    moved = np.zeros_like(x)
    moved[at[kept], channel[kept]] = 1
    if labels is not None:
        # Of several steps that come to one, the first.
        move_labels(labels, np.ceil((np.arange(steps) - lag - shift) / factor), lag)
    return moved


def _change_values(
    x: Array,
    labels: Labels | None,
    config: AugmentConfig,
    blocks: int,
    lag: int,
    generator: np.random.Generator,
) -> Array:
    """One sequence (T, C) of values, moved and masked; ``labels`` (T,), ``lag`` steps late, are
    moved along, in place."""
    steps, channels = x.shape
    source = np.arange(steps) - int(generator.integers(-config.time_shift, config.time_shift + 1))
    factor = 1.0
    if config.stretch:  # drawn only where enabled: recipes without it keep their random numbers
        factor = math.exp(generator.uniform(-config.stretch, config.stretch))
    moved = at_places(x, source / factor)
    if labels is not None:
        move_labels(labels, np.rint((source - lag) / factor), lag)
    width = channels // blocks
    if config.channel_warp:
        warp = math.exp(generator.uniform(-config.channel_warp, config.channel_warp))
        source = np.arange(width) / warp
        parts = [at_places(part.T, source).T for part in np.split(moved, blocks, axis=1)]
        moved = np.concatenate(parts, axis=1)
    for _ in range(2):  # two masks of each kind, as in SpecAugment (Park et al. 2019)
        size = int(generator.integers(config.channel_mask + 1))
        first = int(generator.integers(width - size + 1))
        for block in range(blocks):
            moved[:, block * width + first : block * width + first + size] = 0
        size = int(generator.integers(min(config.time_mask, steps) + 1))
        first = int(generator.integers(steps - size + 1))
        moved[first : first + size] = 0
    return moved


def _move_image(
    x: Array, order: npt.NDArray[np.intp], config: AugmentConfig, generator: np.random.Generator
) -> Array:
    """The windows (T, width) of an image whose pixels are read in ``order``, moved; what comes from
    beyond its border is 0."""
    from scipy.ndimage import affine_transform

    steps, width = x.shape
    side = math.isqrt(steps)
    image = np.empty(steps, x.dtype)
    # Windows overlap; the last full one is repeated.
    image[order] = np.concatenate([x[: steps - width, 0], x[-1]])
    matrix = np.eye(2) + generator.uniform(-config.image_warp, config.image_warp, (2, 2))
    centre = np.full(2, (side - 1) / 2)
    shift = generator.uniform(-config.image_shift, config.image_shift, 2)
    offset = centre - matrix @ centre + shift
    moved = affine_transform(image.reshape(side, side), matrix, offset.tolist(), order=1)
    return sliding_window(moved.reshape(-1)[None, order], width)[0]


def at_places(x: Array, places: npt.NDArray[Any]) -> Array:
    """Interpolate between two neighbours. Beyond its ends x stays constant: zeros would be a loud
    click in log-mel.

    Args:
        x: (N, ...).
        places: (M,), from 0 to N - 1.

    Returns:
        (M, ...), a copy.
    """
    places = places.clip(0, len(x) - 1)
    before = places.astype(np.int64)
    moved, part = x[before], (places - before).astype(x.dtype)
    if part.any():
        moved += part[:, None] * (x[np.minimum(before + 1, len(x) - 1)] - moved)
    return moved


def move_labels(labels: Labels, source: npt.NDArray[np.floating], lag: int) -> None:
    """Move labels along with their steps, in place.

    Args:
        labels: (T,) classes, or (T, values) targets.
        source: (T,) the whole step from which each step's content comes; outside of the sequence:
            no label.
        lag: steps by which labels are late.
    """
    at = source.astype(np.int64) + lag
    moved = labels[at.clip(0, len(labels) - 1)]
    moved[(at < 0) | (at >= len(labels))] = unlabelled(labels)
    labels[:] = moved
