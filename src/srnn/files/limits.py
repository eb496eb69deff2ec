"""The limits of each file format. One table, which docs/security.md shows and a test compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KiB, MiB, GiB, TiB = 2**10, 2**20, 2**30, 2**40


@dataclass(frozen=True)
class FormatLimits:
    """Limits of one format; 0 where the format has no such quantity. A file at a limit is read, one beyond it is refused."""

    bytes: int
    """Of the file."""
    unpacked: int = 0
    """Decompressed bytes that are allowed for any size; above, ``ratio`` applies."""
    ratio: int = 0
    """Decompressed bytes per compressed byte that are allowed, beyond ``unpacked``."""
    depth: int = 0
    """Nesting depth of lists and mappings."""
    items: int = 0
    """Values, keys, rows, members or channels: docs/security.md says which."""


CLASSES = 10_000
"""Maximal number of classes of a task. A label is a number in a file, and lists and tables are as long as the largest."""

LIMITS: Mapping[str, FormatLimits] = {
    "yaml": FormatLimits(bytes=512 * KiB, unpacked=2 * MiB, depth=32, items=20_000),
    "sweep": FormatLimits(bytes=512 * KiB, items=100_000),
    "toml": FormatLimits(bytes=64 * KiB),
    "json": FormatLimits(bytes=256 * MiB, depth=64, items=8_000_000),  # values; 1 GB of objects at the very most
    "npy": FormatLimits(bytes=TiB, items=2**20),
    "npz": FormatLimits(bytes=TiB, unpacked=2 * GiB, ratio=250, items=10_000),
    "hdf5": FormatLimits(bytes=TiB, unpacked=2 * GiB, ratio=250, depth=16, items=10_000),
    "checkpoint": FormatLimits(bytes=64 * GiB),
    "state": FormatLimits(bytes=64 * MiB),
    "tensors": FormatLimits(bytes=16 * MiB, depth=64, items=20_000),  # the header of either
    "weights": FormatLimits(bytes=256 * MiB, unpacked=256 * MiB, depth=16, items=100_000),
    "archive": FormatLimits(bytes=TiB, unpacked=GiB, ratio=200, depth=32, items=500_000),
    "idx": FormatLimits(bytes=GiB, unpacked=256 * MiB, ratio=50, items=100_000),
    "audio": FormatLimits(bytes=4 * GiB, unpacked=GiB, ratio=100, items=10_000),
    "table": FormatLimits(bytes=256 * MiB, items=2_000_000),
    "wfdb": FormatLimits(bytes=4 * GiB, items=1000),
    "mat": FormatLimits(bytes=GiB, unpacked=GiB, ratio=200, items=10_000),
}
"""By format."""
