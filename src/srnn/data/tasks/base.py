"""What every task has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ...errors import SrnnError, nearest
from ..datasets.base import Split, SplitName

Kind = Literal["per_sequence", "per_step"]


@dataclass(frozen=True)
class Task:
    """What every task has. Its fields are the task's options, checked when it is made."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    """Whether a label belongs to a sequence or to a step."""
    class_names: ClassVar[tuple[str, ...]]
    step_ms: ClassVar[float | None] = None
    """Milliseconds that one time step lasts; None: the steps are not in time."""
    unlabelled_class: ClassVar[int | None] = None
    """Class as which the original work counted steps without a label; None: it has none. y keeps -1 for them."""
    silence_class: ClassVar[int | None] = None
    """Class that accuracy may leave out, because nothing happens there; None: there is none."""
    channel_blocks: ClassVar[int] = 1
    """Groups of as many channels each that show the same thing: 3 for features with two derivatives."""

    @property
    def inputs(self) -> int:
        """Channels of the network's input."""
        raise NotImplementedError

    @property
    def outputs(self) -> int:
        """Classes."""
        return len(self.class_names)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """The encoded split, checked. ``data_dir``: where data lie; None: SRNN_DATA, else ~/.cache/srnn.

        Raises SrnnError when the data are missing (it says how to get them) or damaged.
        """
        raise NotImplementedError


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """SrnnError, with the nearest right one, unless ``value`` is one of the choices."""
    if value not in choices:
        raise SrnnError(f"{name} cannot be {value!r}.{nearest(value, choices)}")
