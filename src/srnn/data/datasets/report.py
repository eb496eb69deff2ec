"""What verifying finds about a file of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Condition = Literal["whole", "readable", "missing", "wrong"]


@dataclass(frozen=True)
class FileReport:
    """What verifying found about a file."""

    name: str
    condition: Condition
    """whole: its checksum is right; readable: it can be read and no checksum is known; missing; wrong."""
    note: str = ""

    @property
    def good(self) -> bool:
        """Whether it can be used."""
        return self.condition in ("whole", "readable")
