"""Gaps of a signal that is still coming are filled as those of a whole one, whatever its blocks."""

from __future__ import annotations

import re

import numpy as np
import pytest

from srnn.data.gaps import Filling, Gaps, Missing
from srnn.errors import SrnnError
from support.refusing import refuses


def filled(x: np.ndarray, gaps: Gaps, sizes: list[int]) -> np.ndarray:
    filling, parts, start = Filling("it", gaps), [x[:0]], 0
    while start < len(x):
        size = sizes[len(parts) % len(sizes)]
        parts.append(filling.push(x[start : start + size]))
        start += size
    filling.finish()
    return np.concatenate(parts)


@pytest.mark.parametrize("missing", ["interpolate", "hold"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(20))
def test_blocks_of_any_size_give_the_bits_of_the_whole(
    missing: Missing, dtype: type, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 3)).astype(dtype)
    for _ in range(12):  # some of which overlap, or are beside each other
        start, channel = rng.integers(1, 52), rng.integers(3)
        x[start : start + rng.integers(1, 7), channel] = np.nan
    x[-1] = 0
    gaps = Gaps(missing, 60)
    whole, count = gaps.fill("it", x)
    assert count == np.isnan(x).sum() and np.isfinite(whole).all()
    for sizes in ([1], [2], [7, 1, 0, 3], [60], [100]):
        found = filled(x, gaps, sizes)
        assert np.array_equal(found, whole) and found.dtype == x.dtype
    longest = max(
        len(run)
        for column in np.isnan(x).T
        for run in "".join(map(str, column.astype(int))).split("0")
    )
    assert np.array_equal(filled(x, Gaps(missing, longest), [5]), whole)
    with refuses("samples", "data"):
        filled(x, Gaps(missing, longest - 1), [5])
    with refuses("samples", "data"):
        Gaps(missing, longest - 1).fill("it", x)


def test_with_hold_nothing_waits_and_with_interpolate_a_gap_does() -> None:
    x = np.array([[1.0, 5], [np.nan, 6], [np.nan, 7], [4, 8]])
    holding, joining = Filling("it", Gaps("hold")), Filling("it", Gaps())
    assert [len(holding.push(row[None])) for row in x] == [1, 1, 1, 1]
    assert [len(joining.push(row[None])) for row in x] == [1, 0, 0, 3]
    assert holding.filled == joining.filled == 2


@pytest.mark.parametrize("missing", ["interpolate", "hold", "refuse"])
@pytest.mark.parametrize("place", [0, 5, 9])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_may_not_be_filled_is_refused_by_its_place(
    missing: Missing, place: int, value: float
) -> None:
    x = np.ones((10, 2))
    x[place, 1] = value
    if place == 5 and missing != "refuse" and np.isnan(value):
        assert np.array_equal(filled(x, Gaps(missing), [3]), np.ones((10, 2)))
        return
    told = f"it: sample {place} is not finite in channel 1 (counted from 0): {value}"
    for size in (1, 4, 10):
        with pytest.raises(SrnnError, match=re.escape(told)):
            filled(x, Gaps(missing), [size])
