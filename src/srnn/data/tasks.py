"""Tasks: a data set with its signal path, its classes, and whether a sequence or every step of it has one.

    task = create_task("ecg", validation_fraction=0.2)
    train = task.load("train", data_dir)          # a Split: x (N, T, inputs), y (N,) or (N, T), lengths, groups

A task does not say how a network's output is scored: that is the recipe's. Each stands in its data set's file and is
``register``ed there; docs/add-a-dataset.md walks through one. Nothing here imports a data library; ``load`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar, get_args

from ..errors import SrnnError, nearest
from .datasets.base import Split, SplitName
from .datasets.inputs import Inputs
from .encoders.speech import Statistics
from .signals import Form, SignalPath, Steps

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
        if not isinstance(x, Inputs) or x.statistics is None:
            raise SrnnError(f"The task '{self.name}' has arrays here, not sound: there are no statistics of features.")
        return x.statistics

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """The encoded split, checked. ``data_dir``: where data lie; None: SRNN_DATA, else ~/.cache/srnn.

        Raises SrnnError when the data are missing (it says how to get them) or damaged.
        """
        raise NotImplementedError


DATA_SETS = ("digits", "ecg", "shd", "mnist", "soli", "speech_commands", "timit", "spoken_digits", "folder")
"""The files in ``datasets/`` that register tasks."""
PLUGINS = "srnn.tasks"
"""Group of the entry points by which installed packages name modules that register tasks."""
_tasks: dict[str, type[Task]] = {}
_Task = TypeVar("_Task", bound=type[Task])


def register(task: _Task) -> _Task:
    """A decorator that makes a task known by its name. SrnnError where another class has that name."""
    other = _tasks.setdefault(task.name, task)
    if (other.__module__, other.__qualname__) != (task.__module__, task.__qualname__):
        raise SrnnError(f"There are two tasks '{task.name}': {other.__qualname__} and {task.__qualname__}.")
    _tasks[task.name] = task  # of the same place, run once more
    return task


def known_tasks() -> Mapping[str, type[Task]]:
    """Every registered task by its name, those of this library among them."""
    for name in DATA_SETS:
        import_module(f"{__package__}.datasets.{name}")
    return MappingProxyType(_tasks)


def create_task(name: str, /, **options: Any) -> Task:
    """The named task with its options. SrnnError for an unknown name or option (with the nearest), or a bad value."""
    known = known_tasks()
    if not isinstance(name, str) or name not in known:
        from importlib.metadata import entry_points  # here, as it is slow to import

        for plugin in entry_points(group=PLUGINS):
            plugin.load()
    if not isinstance(name, str) or name not in known:
        guess = name if isinstance(name, str) else ""
        raise SrnnError(f"There is no task {name!r}.{nearest(guess, known)}")
    allowed = [option.name for option in fields(known[name])]
    for option in options:
        if option not in allowed:
            raise SrnnError(f"The task '{name}' has no option '{option}'.{nearest(option, allowed)}")
    return known[name](**options)
