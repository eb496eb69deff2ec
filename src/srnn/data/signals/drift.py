"""Whether a recording is like those of training, channel by channel; if not, a prediction is "not
sure".

Five measures of each recording are taken, and of training's recordings the least and the greatest
are kept:

    level     its mean
              unlike: outside by more than the width of what training had, and a tenth of the
              channel's deviation over all of training
    spread    its standard deviation
              unlike: 5 times less or more
    size      the root mean square of all channels in one unit
              unlike: 2.5 times less or more. Gravity gives an accelerometer its size in any
              orientation, so g for m/s2 is seen even where no level is fixed
    still     the share of its samples that hardly differ from the last
              unlike: 0.3 more, and more than half: a flat line, a sensor that is saturated or off
    rough     the root mean square of its steps, in standard deviations
              unlike: 2.5 times more: noise, a loose electrode

Where levels are unlike, but would not be if two channels changed places, these seem to be swapped.
Where a size is unlike, but would not be in another unit, that unit is named. Comparison takes
``FEWEST`` recordings of training or more, ``SHORTEST`` samples or more, and up to ``MOST``
channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...text import digits
from ..units import KINDS

Array = npt.NDArray[Any]
FEWEST, SHORTEST, MOST = 8, 16, 64
MEASURES = ("level", "spread", "size", "still", "rough")
_STILL = 1e-3
"""Part of a channel's deviation in training that is no change."""
FLAT = "a flat line, or a sensor that is saturated or off"
_ALIKE, _APART, _ODD = 4, 3.0, 5.0
"""Recordings of one kind, at least, among which one can be odd; times that set clusters of sizes
apart; and times their median from which on one is odd. The least factor between two units is
9.8."""
_SHOWN = 3
"""Differences that are listed at most."""


def channel_called(channel: int, names: tuple[str, ...] | None) -> str:
    """A channel in words.

    Args:
        channel: its number, from 0.
        names: of the channels; None: not known.
    """
    if names:
        return f"channel {names[channel]}"
    return f"channel {channel} (counted from 0)"


class Channels(NamedTuple):
    """The channels in training."""

    seen: Array
    """(2, measures, channels): the least and the greatest of each measure."""
    std: Array
    """(channels,) deviation over all of training."""
    names: tuple[str, ...] | None = None
    units: tuple[str | None, ...] | None = None

    def unit(self, channel: int) -> str | None:
        if not self.units:
            return None
        return self.units[channel]

    def called(self, channel: int) -> str:
        return channel_called(channel, self.names)


def seen_in(
    recordings: Sequence[Array], std: Array, units: tuple[str | None, ...] | None = None
) -> npt.NDArray[np.float32] | None:
    """The least and the greatest of each measure over training's recordings.

    Args:
        recordings: (T, channels) each.
        std: (channels,) deviation over all of training.
        units: of the channels; None, also for one of them: not known.

    Returns:
        (2, measures, channels); None where the recordings are too few, short or wide to compare.
    """
    long = [x for x in recordings if len(x) >= SHORTEST]
    if len(long) < FEWEST or len(std) > MOST:
        return None
    measured = np.stack([_measured(x, std, units) for x in long])
    return np.stack([measured.min(0), measured.max(0)]).astype(np.float32)


def differences(x: Array, channels: Channels) -> list[str]:
    """How a recording differs from all of training's.

    Args:
        x: (T, channels).
        channels: those of training.

    Returns:
        A line for each difference, up to three; none where it does not differ.
    """
    if len(x) < SHORTEST:
        return []
    level, spread, size, still, rough = _measured(x, channels.std, channels.units)
    seen = channels.seen.astype(np.float64)
    least, most = (dict(zip(MEASURES, part, strict=True)) for part in seen)
    notes = []
    stuck = (still > 0.5) & (still > most["still"] + 0.3)
    for channel in np.flatnonzero(stuck).tolist():
        notes.append(f"{channels.called(channel)} hardly ever changes: {FLAT}")
    sized = (size * 2.5 < least["size"]) | (size > 2.5 * most["size"])
    notes += _sizes(size, sized & ~stuck, least["size"], most["size"], channels)
    other = ~stuck & ~sized
    # Levels: a swap of two channels explains what are several differences otherwise.
    low, high = least["level"], most["level"]
    margin = (high - low) + 0.1 * channels.std

    def moved(values: Array) -> Array:
        return other & ((values < low - margin) | (values > high + margin))

    wrong = np.flatnonzero(moved(level)).tolist()
    swaps = []
    for pair in combinations(wrong, 2):
        swapped = level.copy()
        swapped[[*pair]] = level[[*reversed(pair)]]
        if not swaps and not moved(swapped).any():
            one, another = map(channels.called, pair)
            swaps = [f"{one} and {another} seem to be swapped"]
    notes += swaps or [
        f"{channels.called(c)} lies around {digits(level[c])}, in training between "
        f"{digits(low[c])} and {digits(high[c])}"
        + _unit_hint(level[c], low[c], high[c], channels.unit(c))
        for c in wrong
    ]
    for channel in np.flatnonzero(other).tolist():
        called, own = channels.called(channel), spread[channel]
        low, high = least["spread"][channel], most["spread"][channel]
        hint = _unit_hint(own, low, high, channels.unit(channel))
        if high == 0 < own:
            notes.append(f"{called} varies, which it never did in training")
        elif 0 < own * 5 < low:
            notes.append(f"{called} varies {digits(low / own)} times less than in training{hint}")
        elif own > 5 * high:
            notes.append(f"{called} varies {digits(own / high)} times more than in training{hint}")
        elif rough[channel] > 2.5 * most["rough"][channel]:
            notes.append(f"{called} is rougher than in training: noise, or a loose electrode")
    return notes[:_SHOWN]


def odd_sizes(
    recordings: Sequence[Array],
    names: tuple[str, ...] | None = None,
    units: tuple[str | None, ...] | None = None,
) -> list[str]:
    """How some recordings of one kind are larger or smaller than most others, as in another unit.

    Their sizes, root mean squares, fall into clusters that are ``_APART`` times apart or more; odd
    are those outside of the largest one, and ``_ODD`` times its median or less. One channel is odd
    if its size and its standard deviation are; channels in one unit, together, if their size is:
    whatever the orientation of an accelerometer.

    Args:
        recordings: (T, channels) each.
        names: of the channels; None: not known.
        units: of the channels; None, also for one of them: not known.

    Returns:
        A line for each recording, "" where it is like the others.
    """
    if len(recordings) < _ALIKE or recordings[0].shape[1] > MOST:
        return [""] * len(recordings)
    every = np.arange(recordings[0].shape[1])
    kinds = np.array(units or [""] * len(every), object)
    together = [every[kinds == kind] for kind in dict.fromkeys(kinds.tolist())]
    power = np.stack([np.square(x, dtype=np.float64).mean(0) for x in recordings])
    spread = np.stack([x.std(0, dtype=np.float64) for x in recordings])
    notes = [""] * len(recordings)
    for group in [*(one for one in together if len(one) > 1), *every[:, None]]:
        size = np.sqrt(power[:, group].sum(1))
        most = _largest_cluster(size)
        odd = _far(size, most)
        if len(group) == 1:
            varied = spread[:, group[0]]
            odd &= _far(varied, _largest_cluster(varied))
        for row in np.flatnonzero(odd).tolist():
            if notes[row]:
                continue
            called = "all channels are"
            if len(group) < len(every):
                called = " and ".join(channel_called(c, names) for c in group)
                called += " is" if len(group) == 1 else " are"
            low, high, own = size[most].min(), size[most].max(), size[row]
            ratio = np.median(size[most]) / own
            how = f"{digits(ratio)} times smaller"
            if ratio < 1:
                how = f"{digits(1 / ratio)} times larger"
            hint = _unit_hint(own, low, high, units[group[0]] if units else None)
            notes[row] = f"{called} {how} than in most other recordings{hint}"
    return notes


def _largest_cluster(values: Array) -> npt.NDArray[np.intp]:
    """Places of the largest set of positive values without gaps of ``_APART`` times; of equal ones
    that of the first value."""
    order = np.flatnonzero(values > 0)
    order = order[np.argsort(values[order], kind="stable")]
    gaps = np.flatnonzero(np.diff(np.log(values[order])) > np.log(_APART)) + 1
    return max(np.split(order, gaps), key=lambda one: (len(one), -one.min(initial=len(values))))


def _far(values: Array, most: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which positive values are far from the median of those of a cluster, and not in it."""
    if len(most) < _ALIKE - 1:
        return np.zeros(len(values), bool)
    middle = np.median(values[most])
    far = (values > 0) & ((values >= _ODD * middle) | (values * _ODD <= middle))
    far[most] = False
    return far


def stuck_channels(x: Array) -> list[int]:
    """The channels of a recording without information, whatever training was like: constant, or
    mostly at one of their ends.
    """
    if len(x) < SHORTEST:
        return []
    at_ends = np.maximum((x == x.min(0)).mean(0), (x == x.max(0)).mean(0))
    return np.flatnonzero(at_ends > 0.5).tolist()


def _measured(x: Array, std: Array, units: tuple[str | None, ...] | None) -> Array:
    """(measures, channels) of one recording."""
    x = np.asarray(x, np.float64)
    spread, steps = x.std(0), np.diff(x, axis=0)
    power = np.square(x).mean(0)
    kinds = units or (None,) * x.shape[1]
    alike = np.array([[one == other for other in kinds] for one in kinds])
    size = np.sqrt(alike @ power)
    still = (np.abs(steps) <= _STILL * std).mean(0)
    rough = np.sqrt(np.square(steps).mean(0)) / np.where(spread > 0, spread, 1.0)
    return np.stack([x.mean(0), spread, size, still, rough])


def _sizes(size: Array, unlike: Array, least: Array, most: Array, channels: Channels) -> list[str]:
    """One line for each unit, whose channels have one size."""
    notes = []
    units = channels.units or (None,) * len(size)
    for unit in dict.fromkeys(units):
        own = [channel for channel in np.flatnonzero(unlike).tolist() if units[channel] == unit]
        if not own:
            continue
        value, low, high = size[own[0]], least[own[0]], most[own[0]]
        if value == 0:
            continue
        how = f"{digits(low / value)} times smaller"
        if value > low:
            how = "larger"
            if high:
                how = f"{digits(value / high)} times larger"
        names = " and ".join(channels.called(channel) for channel in own)
        verb = "are"
        if len(own) == 1:
            verb = "is"
        notes.append(f"{names} {verb} {how} than in training{_unit_hint(value, low, high, unit)}")
    return notes


def _unit_hint(value: float, low: float, high: float, unit: str | None) -> str:
    """The confusion of units that would bring the value between these bounds, if just one would."""
    if low * high <= 0:  # which any small value fits
        return ""
    low, high = sorted((abs(low), abs(high)))
    pairs = [
        (given, wanted)
        for units in KINDS.values()
        for given, one in units.items()
        for wanted, other in units.items()
        if given != wanted and unit in (None, wanted)
        if low / 1.25 <= abs(value) * one / other <= 1.25 * high
    ]
    if len(pairs) != 1:
        return ""
    return ", as in {} instead of {}".format(*pairs[0])
