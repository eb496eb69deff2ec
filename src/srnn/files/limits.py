"""Bounds that are one comparison each: of files that are read whole, of a task's classes, of
memory."""

from __future__ import annotations

from pathlib import Path

from ..errors import SrnnError

KiB, MiB, GiB = 2**10, 2**20, 2**30

TEXT = 512 * KiB
"""Bytes of a file that people write: a recipe, a sweep, a technology."""
JSON = 256 * MiB
"""Bytes of a file of results."""
LARGEST = 4 * GiB
"""Bytes of any other file that is read whole."""
CLASSES = 10_000
"""Maximal number of classes of a task. A label is a number in a file, and lists and tables are as
long as the largest label."""
SMALL = 256 * MiB
"""Bytes of memory that are taken without checking how much is left."""


def check_memory(size: int, what: str, do: str) -> None:
    """Refuse work that takes more memory than the machine has left.

    Linux grants memory that it does not have, and ends a process that uses it without a message;
    other systems refuse it themselves.

    Args:
        size: bytes that the work takes.
        what: what takes them; begins the message.
        do: what else the user can do; ends it.

    Raises:
        SrnnError: ``resource``: it is too much.
    """
    left = None
    if size > SMALL:
        left = memory_left()
    if left is not None and size > left:
        needs = (
            f"takes about {size / GiB:.1f} GiB of memory, but only {left / GiB:.1f} GiB are free"
        )
        raise SrnnError(f"{what} {needs}; {do}.", "resource", "memory")


def memory_left(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that new work may use without taking any from other processes, swap space included;
    None elsewhere than on Linux."""
    try:
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return sum(int(fields[name].split()[0]) * KiB for name in ("MemAvailable", "SwapFree"))
    except (OSError, ValueError, KeyError, IndexError):
        return None
