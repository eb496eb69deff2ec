"""What a fuzz target is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Mend = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Target:
    """A reader, as fuzzing sees it."""

    name: str
    read: Callable[[bytes, Path], object]
    """Reads an input; files it needs go into the folder, which is empty. May raise SrnnError, and
    nothing else."""
    seeds: Callable[[], Mapping[str, bytes]]
    """Inputs that are read without complaint, by name; the same at every call."""
    mends: tuple[Mend, ...] = ()
    """Each makes another input of one, with lengths and checksums that fit; all of them are
    read."""
    parsers: tuple[str, ...] = ()
    """Modules outside srnn, in Python, whose coverage guides too."""
    words: tuple[str, ...] = ()
    """What the format's inputs are made of."""
    allowed: frozenset[str] = frozenset()
    """What this reader may do beside reading: "processes", "other files" (read only)."""
    largest: int = 4096
    """Bytes of an input that fuzzing makes."""

    def variants(self, data: bytes) -> list[bytes]:
        """The input, and what the mends make of it."""
        return list(dict.fromkeys([data, *(mend(data) for mend in self.mends)]))


def write(folder: Path, name: str, data: bytes) -> Path:
    """A file in the folder of an input."""
    path = folder / name
    path.write_bytes(data)
    return path
