"""Compiled functions on disk, for their tests: how often one is compiled, and what can happen to
its file."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any


def compiles(function: Any) -> int:
    """Call it; how often it was compiled, rather than found on disk."""
    assert function(41) == 42
    return sum(function.stats.cache_misses.values())


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut in the digest": lambda data: data[:20],
    "nothing but a digest": lambda data: data[:32],
    "cut": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "a bit of the digest": lambda data: flip(data, 3),
    "a bit of the code": lambda data: flip(data, len(data) * 2 // 3),
    "zeros, as after a power cut": lambda data: bytes(len(data)),
    "garbled": lambda data: random.Random(0).randbytes(len(data)),
    "a pickle that runs code": lambda data: pickle.dumps(Evil(Path("ran"))),
}
