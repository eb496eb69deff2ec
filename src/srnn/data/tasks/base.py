"""What every task has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

from ...errors import SrnnError, nearest
from ..datasets.base import Split, SplitName
from ..datasets.features import FeatureArray
from ..encoders.speech import Statistics
from ..signals import Form, SignalPath, Steps

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
        return self.signal().inputs

    @property
    def outputs(self) -> int:
        """Classes."""
        return len(self.class_names)

    def signal(self) -> SignalPath:
        """How a raw signal becomes what the task's networks read: whole, as it comes, and in C where that is small.

        Without one of its own a task has ``Steps``, of as many ``inputs`` as it says.
        """
        return Steps(self.inputs, self.step_ms)

    def live(self, form: Form = "auto") -> SignalPath:
        """How the task's networks are fed as the signal comes.

        Args:
            form: "signal", what a sensor gives; "steps", what the network itself reads, encoded elsewhere; or "auto": the signal,
                where training data went the same way.

        SrnnError, with the reason, where the form is not possible.
        """
        if form not in get_args(Form):
            raise SrnnError(f"The form of the input is 'auto', 'signal' or 'steps', not {form!r}.")
        path = self.signal()
        if form == "steps" or (form == "auto" and not path.as_trained):
            return Steps(self.inputs, self.step_ms)
        if form == "signal" and isinstance(path, Steps):
            raise SrnnError(f"The signal of task '{self.name}' cannot be encoded as it comes: {path.reason}.")
        path.check()
        return path

    def statistics(self, data_dir: Path | None = None) -> Statistics:
        """What features of sound are scaled by, from the training split; two numbers a channel, to be kept with a network."""
        x = self.load("train", data_dir).x
        if not isinstance(x, FeatureArray):
            raise SrnnError(f"The task '{self.name}' has arrays here, not sound: there are no statistics of features.")
        return x.statistics

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """The encoded split, checked. ``data_dir``: where data lie; None: SRNN_DATA, else ~/.cache/srnn.

        Raises SrnnError when the data are missing (it says how to get them) or damaged.
        """
        raise NotImplementedError


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """SrnnError, with the nearest right one, unless ``value`` is one of the choices."""
    if value not in choices:
        raise SrnnError(f"{name} cannot be {value!r}.{nearest(value, choices)}")
