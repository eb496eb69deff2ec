"""Binary spike trains, in about a byte per spike.

A sequence of T steps and C channels is a raster of bits, in the layout of
``srnn.data.spikes.Spikes``: 64 channels to a word, whole words per step. Its spikes are kept as the
gaps between set bits, in raster order, a byte each:

    1 to 255   a spike follows that many bits later (the first is counted from the bit before the raster)
    0          move on by 255 bits without a spike: for gaps beyond 255

So silence costs a byte per 255 bits, a spike a byte, and each raster has exactly one code. Spiking
Heidelberg Digits, 250 steps of 700 channels, would be 5.7 GB as floats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from .inputs import Inputs

_SKIP = 255  # bits that a code of 0 passes
_JUMPS = np.array([_SKIP, *range(1, 256)], np.int32)
_BLOCK = 1 << 27  # bits that are unpacked at once, a byte each; below 2^31


@dataclass(frozen=True, eq=False)
class SpikeArray(Inputs):
    """Zeros and ones (N, T, C), kept as gaps between spikes."""

    gaps: npt.NDArray[np.uint8]
    """Codes of all sequences, one after the other; may be a memory map."""
    begin: npt.NDArray[np.int64]
    """(N,) where in ``gaps`` a sequence's codes begin..."""
    end: npt.NDArray[np.int64]
    """(N,) ...and end. Sequences may be in any order, and share codes: selecting some copies no
    spikes."""
    sequence_shape: tuple[int, int]
    """(T, C)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.begin), *self.sequence_shape)

    @classmethod
    def from_cache(
        cls, gaps: npt.NDArray[Any], edges: npt.NDArray[Any], steps: int, channels: int
    ) -> SpikeArray:
        """From stored arrays.

        Codes that lead beyond their raster are detected when they are unpacked.

        Args:
            gaps: all codes, bytes.
            edges: (N + 1,) int64, where each sequence's codes begin, and the last one's end.
            steps: of every sequence, T.
            channels: of every sequence, C.

        Raises:
            SrnnError: edges do not ascend from 0 to the number of codes, or codes are not bytes
                (data).
        """
        fits = (
            gaps.dtype == np.uint8
            and gaps.ndim == 1
            and edges.dtype == np.int64
            and edges.ndim == 1
            and edges.size
        )
        if (
            not fits
            or not np.array_equal(edges[[0, -1]], (0, len(gaps)))
            or (np.diff(edges) < 0).any()
        ):
            raise SrnnError(
                "These are not sparse spikes: the codes and the places "
                "where sequences begin do not fit.",
                "data",
                "edges",
            )
        return cls(gaps, edges[:-1], edges[1:], (steps, channels))

    @classmethod
    def from_events(
        cls, sequences: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]], steps: int, channels: int
    ) -> SpikeArray:
        """From the events of every sequence. Several at one step and channel count as one spike.

        Args:
            sequences: for each sequence the step and the channel of each spike, in any order.
            steps: of every sequence, T.
            channels: of every sequence, C.

        Raises:
            SrnnError: a spike is outside the ``steps`` x ``channels`` raster (data), or the raster
                has 2^31 bits or more (resource).
        """
        row = _words(channels) * 64
        if steps * row >= 2**31:
            raise SrnnError(
                f"{steps} steps of {channels} channels are too many for "
                "one sequence of sparse spikes.",
                "resource",
                "steps",
            )
        codes = []
        for step, channel in sequences:
            t, c = np.asarray(step, np.int64), np.asarray(channel, np.int64)
            if t.shape != c.shape or (
                t.size and (min(t.min(), c.min()) < 0 or t.max() >= steps or c.max() >= channels)
            ):
                raise SrnnError(
                    f"Each spike needs a step and a channel, within {steps} "
                    f"steps and {channels} channels.",
                    "data",
                    "sequences",
                )
            raster = np.zeros(steps * row, bool)
            raster[t * row + c] = True
            distances = np.diff(np.flatnonzero(raster), prepend=-1)
            skips = (distances - 1) // _SKIP
            coded = np.zeros(int(skips.sum()) + len(distances), np.uint8)
            coded[np.cumsum(skips + 1) - 1] = distances - skips * _SKIP
            codes.append(coded)
        edges = np.cumsum([0, *map(len, codes)], dtype=np.int64)
        return cls.from_cache(
            np.concatenate([np.zeros(0, np.uint8), *codes]), edges, steps, channels
        )

    @classmethod
    def from_dense(cls, x: npt.ArrayLike) -> SpikeArray:
        """From zeros and ones (N, T, C). SrnnError for other shapes and values."""
        dense = np.asarray(x)
        if dense.ndim != 3 or not ((dense == 0) | (dense == 1)).all():
            raise SrnnError(
                "Spikes are zeros and ones (sequences, steps, channels), not "
                f"{dense.shape} {dense.dtype}.",
                "data",
                "x",
            )
        events = ((step, channel) for step, channel in map(np.nonzero, dense))
        return cls.from_events(events, *dense.shape[1:])

    def __getitem__(self, index: Any) -> SpikeArray:
        begin = self.begin[index]
        if begin.ndim != 1:
            raise SrnnError(
                "Take spikes by a slice, a list of integers or a mask.", "value", "index"
            )
        return SpikeArray(self.gaps, begin, self.end[index], self.sequence_shape)

    def packed(self) -> npt.NDArray[np.uint64]:
        """(N, T, ceil(C / 64)) words, as in ``srnn.data.spikes.Spikes``: bit j % 64 of word j // 64
        is channel j."""
        n, steps, channels = self.shape
        raster = steps * _words(channels) * 64
        words = np.empty((n, steps, _words(channels)), np.uint64)
        block = max(1, _BLOCK // raster)
        for start in range(0, n, block):
            part = slice(start, start + block)
            bits = np.zeros((len(self.begin[part]), raster), bool)
            bits.reshape(-1)[self[part]._positions(raster)] = True
            octets = np.packbits(bits, axis=-1, bitorder="little")
            words[part] = octets.view("<u8").reshape(-1, *words.shape[1:])
        return words

    def to_dense(self) -> npt.NDArray[np.float32]:
        octets = self.packed().astype("<u8", copy=False).view(np.uint8)
        return np.unpackbits(octets, axis=-1, count=self.shape[2], bitorder="little").astype(
            np.float32
        )

    def _positions(self, raster: int) -> npt.NDArray[np.int32]:
        """Ascending positions of all spikes in consecutive rasters of ``raster`` bits."""
        sizes = self.end - self.begin
        full = np.flatnonzero(sizes)
        if not len(full):
            return np.zeros(0, np.int32)
        codes = np.concatenate(
            [self.gaps[a:b] for a, b in zip(self.begin[full], self.end[full], strict=True)]
        )
        jumps = _JUMPS[codes]
        # One running sum over all sequences: the first jump of each makes up for where the one
        # before it ended.
        first = np.cumsum(sizes[full]) - sizes[full]
        ended = np.add.reduceat(jumps, first, dtype=np.int64)
        if ended.max() > raster:  # a cache not written by us
            raise SrnnError(
                f"Sparse spikes go beyond their {raster} bits; delete the "
                "folder .cache next to the data.",
                "file",
            )
        jumps[first] += (np.diff(full, prepend=0) * raster - np.append(1, ended[:-1])).astype(
            np.int32
        )
        return np.cumsum(jumps, dtype=np.int32)[codes != 0]


def _words(channels: int) -> int:
    return (channels + 63) // 64
