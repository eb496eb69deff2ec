"""The limits of each file format. One table, which docs/security.md shows and a test compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import SrnnError

KiB, MiB, GiB, TiB = 2**10, 2**20, 2**30, 2**40

SMALL = 256 * MiB
"""Bytes of memory that are taken without checking how much is left."""


@dataclass(frozen=True)
class FormatLimits:
    """Limits of one format; 0 where the format has no such quantity. A file at a limit is read, one beyond it is refused."""

    bytes: int
    """Of the file."""
    unpacked: int = 0
    """Decompressed bytes that are allowed for a file of any size; beyond that, ``ratio`` applies."""
    ratio: int = 0
    """Decompressed bytes per compressed byte that are allowed, beyond ``unpacked``."""
    depth: int = 0
    """Nesting depth of lists and mappings."""
    items: int = 0
    """Values, keys, rows, members or channels: docs/security.md says which."""


CLASSES = 10_000
"""Maximal number of classes of a task. A label is a number in a file, and lists and tables are as long as the largest label."""

LIMITS: Mapping[str, FormatLimits] = {
    "yaml": FormatLimits(bytes=512 * KiB),
    "sweep": FormatLimits(bytes=512 * KiB, items=100_000),
    "toml": FormatLimits(bytes=64 * KiB),
    "json": FormatLimits(bytes=256 * MiB, depth=64, items=8_000_000),  # values; 1 GB of objects at the very most
    "checkpoint": FormatLimits(bytes=64 * GiB),
    "state": FormatLimits(bytes=64 * MiB),
    "tensors": FormatLimits(bytes=16 * MiB, depth=64, items=20_000),  # the header of either
    "audio": FormatLimits(bytes=4 * GiB, unpacked=GiB, ratio=100, items=10_000),
    "table": FormatLimits(bytes=256 * MiB, items=2_000_000),
    "wfdb": FormatLimits(bytes=4 * GiB, items=1000),
}
"""By format."""


def check_memory(size: int, what: str, do: str) -> None:
    """SrnnError if ``what`` takes more bytes than the machine has left; ``do``: what else the user can do."""
    if lack := memory_lack(size):
        raise SrnnError(f"{what} {lack}; {do}.")


def memory_lack(size: int) -> str:
    """What to say of something that takes more bytes than the machine has left; empty if there are enough, or it takes few.

    Linux grants memory that it does not have, and ends a process that uses it without a word; other systems refuse it themselves.
    """
    left = memory_left() if size > SMALL else None
    if left is None or size <= left:
        return ""
    return f"takes about {size / GiB:.1f} GiB of memory, but only {left / GiB:.1f} GiB are free"


def memory_left(root: Path = Path("/")) -> int | None:
    """Bytes that new work may use without taking any from other processes, swap space included; None on systems other than Linux.

    At most what is left to each control group of this process, as in a container with a limit of its own. ``root``: of the file
    system.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        left = sum(int(fields[name].split()[0]) * KiB for name in ("MemAvailable", "SwapFree"))
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return min([left, *_left_to_groups(root)])


_GROUPS = {  # by controller: the folder of its groups, the files with limit and use, the line of what a cache can free
    "": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Both versions of Linux's control groups."""


def _left_to_groups(root: Path) -> Iterator[int]:
    """Bytes left to each control group with a limit, from the process's own to the outermost that can be seen."""
    try:
        entries = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return
    for _, controller, path in entries:
        if controller not in _GROUPS:
            continue
        top, limit, used, cache = _GROUPS[controller]
        own = PurePosixPath(path.lstrip("/"))
        for group in (own, *own.parents):  # a container's own group has no path in it: the outermost stands for it
            folder = root / top / group
            try:
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                taken = int((folder / used).read_text()) - int(stat[cache])
                yield max(0, int((folder / limit).read_text()) - taken)
            except (OSError, ValueError, KeyError):  # no such group, or "max": no limit
                continue
