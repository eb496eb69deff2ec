"""Tasks: a data set with its signal path, its classes, and whether each sequence or each step of it
has a class.

    task = create_task("ecg", validation_fraction=0.2)
    train = task.load("train", data_dir)          # a Split: x (N, T, inputs), y (N,) or (N, T), lengths, groups

A task does not define how a network's output is scored: the recipe does. Each task is in its data
set's file and is ``register``ed there; docs/add-a-dataset.md walks through an example. Nothing here
imports a data library; ``load`` does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, get_type_hints

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError, naming, nearest
from ..files import CLASSES, reading
from ..files.conversion import check, convert
from ..registry import OWN, imported
from ..text import counted
from .datasets.answers import Label, LabelType, as_given
from .datasets.base import Split, SplitName, data_folder, resolve_data_dir, shown
from .datasets.splitting import Shares
from .encoders.speech import Statistics
from .recordings import NO_OVERRIDES, ReadingOverrides
from .samples import clip_start, fit_length
from .signals import Form, PathForm, SignalPath, Steps, alike, describe, restore
from .signals.base import LONGEST_CALIBRATION
from .tables import WORDS
from .targets import Targets

if TYPE_CHECKING:
    from .datasets.survey import Problem

Kind = Literal["per_sequence", "per_step"]
BACKGROUND = "_silence_"
"""Name of the class for signals with nothing to recognise, in data sets that have one."""
FOLDS = ("fold", "test_speaker", "validation_speaker")
"""Options of tasks that choose who is held out: all in which the folds of a cross-validation
differ."""


class TaskProperties(ABC):
    """Properties of a task: stated in its class or, where its options decide, computed."""

    name: str
    kind: Kind
    """Whether a label belongs to a sequence or to a step."""
    class_names: tuple[str, ...]
    """Names of the classes; or of the values, where it has ``targets``."""
    label_type: LabelType = "text"
    """Type of the labels behind ``class_names``: predictions have them as they were given."""
    targets: Targets | None = None
    """The values that are learnt; None: classes."""
    step_ms: float | None = None
    """Milliseconds that one time step lasts; None: the steps are not in time."""
    unlabelled_class: int | None = None
    """Class that the original work gave to steps without a label; None: there is none. y keeps -1
    for them."""
    silence_class: int | None = None
    """Class that accuracy may leave out, such as silence; None: there is none."""
    clip_seconds: float | None = None
    """Sound: length in seconds to which clips are cut, or padded with silence; None: each keeps its
    length."""
    analog_in_paper: bool = False
    """Whether the paper's tables count the task's analog input as MACs; they count the inputs of
    the other tasks as spikes."""
    channel_blocks: int = 1
    """Number of equal groups of channels that describe the same quantities: 3 for features with two
    derivatives."""


@dataclass(frozen=True)
class Task(TaskProperties):
    """Base of all tasks. The fields of a task are its options, checked when it is made."""

    @property
    def pixel_order(self) -> npt.NDArray[np.intp] | None:
        """Square images read pixel by pixel: (T,) the place of each step's pixel, counted row by
        row; None: no images."""
        return None

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels of the classes as they were given in training; or the names of the values."""
        return as_given(self.class_names, self.label_type)

    @property
    def background_class(self) -> int | None:
        """The class for signals with nothing to recognise; None: there is none."""
        if BACKGROUND not in self.class_names:
            return None
        return self.class_names.index(BACKGROUND)

    @property
    def words(self) -> tuple[str, str]:
        """Names of a table's columns that are no channels."""
        return WORDS

    @property
    def split_since(self) -> str | None:
        """The version of srnn since which the data are split as they are now; None: they always
        were.

        A network of an earlier version may have been trained on sequences that are now held out.
        """
        return None

    @property
    def segment(self) -> float | None:
        """The length of the windows into which training's recordings were cut, in seconds, or in
        steps where these are not in time; None: they were not cut."""
        return None

    def lag(self, form: PathForm = "signal") -> int:
        """Steps by which labels are late, so that a network has read what follows their samples:
        for the signal, or for encoded steps as in the task's files, whose labels may already be
        late."""
        return 0

    @property
    def inputs(self) -> int:
        """Channels of the network's input."""
        return self.signal().inputs

    @property
    def outputs(self) -> int:
        return len(self.class_names)

    def signal(self) -> SignalPath:
        """The path from a raw signal to the inputs of the task's networks: as a whole, as it
        arrives, and in C where that is small.

        The default is ``Steps`` with the task's ``inputs``.
        """
        if type(self).inputs is Task.inputs:  # which asks this method
            message = f"The task '{self.name}' defines neither signal() nor inputs; one is needed."
            raise SrnnError(message, "missing", "inputs")
        return Steps(self.inputs, self.step_ms)

    def live(self, form: Form = "auto") -> SignalPath:
        """The path of the task's networks for a signal as it arrives.

        Args:
            form: "signal", a sensor's raw signal; "steps", the network's input, encoded elsewhere;
                or "auto": the signal where training data were encoded the same way.

        Raises:
            SrnnError: ``unsupported``, with the reason: the form is not possible.
        """
        form = check("form", form, Form)
        path = self.signal()
        if form == "steps" or (form == "auto" and not path.as_trained):
            return Steps(self.inputs, self.step_ms)
        if form == "signal" and isinstance(path, Steps):
            message = f"The signal of task '{self.name}' cannot be encoded as it arrives"
            raise SrnnError(f"{message}: {path.reason}.", "unsupported", "form")
        path.check()
        return path

    def whole_path(self, form: Form = "auto") -> SignalPath:
        """The path for whole recordings. "auto": as the signal where training data were encoded the
        same way, even if a stream cannot be; else as steps that were encoded elsewhere."""
        path = self.signal()
        if form != "auto":
            return self.live(form)
        if path.as_trained:
            return path
        return self.live("steps")

    def encode(
        self, name: str, signal: npt.NDArray[Any], form: Form = "auto"
    ) -> npt.NDArray[np.float32]:
        """A whole recording as the task's networks read it.

        Args:
            name: of the recording, with which messages begin.
            signal: (samples, channels).
            form: as for ``live``; "auto": a recording with as many columns as the network has
                inputs, if the signal has another number, is steps.

        Returns:
            (steps, inputs), at least one step.

        Raises:
            SrnnError: ``data``: it does not fit, is too short, or too large to be encoded.
        """
        path, columns = self.whole_path(form), signal.shape[1]
        if form == "auto" and columns == self.inputs != path.channels:
            path = self.live("steps")
        if columns != path.channels:
            turned = len(signal) in (path.channels, self.inputs) and columns > len(signal)
            advice = path.shape_advice or ("Give it as (samples, channels), x.T." if turned else "")
            message = f"{name} has {counted(columns, 'channel')}; this network reads {path.what}."
            raise SrnnError(f"{message} {advice}".rstrip(), "data", "channels")
        # Values too large for float32 become infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            signal = path.scale_samples(signal)
            steps = np.asarray(path.whole(self.as_clip(signal, path)), np.float32)
        if not len(steps):
            raise SrnnError(f"{name} is too short: it yields no steps.", "data", "samples")
        if not np.isfinite(steps).all():
            raise SrnnError(
                f"{name} has values that are too large to be encoded: the network's inputs are not "
                "finite.",
                "data",
                "samples",
            )
        return steps

    def _clip_length(self, path: SignalPath) -> int | None:
        """The samples of training's clips, where all of these have one length and the path reads
        recordings."""
        if path.form == "steps" or self.clip_seconds is None or path.rate is None:
            return None
        return round(self.clip_seconds * path.rate)

    def as_clip(self, signal: npt.NDArray[Any], path: SignalPath) -> npt.NDArray[Any]:
        """A whole recording for the path.

        Args:
            signal: (samples, channels).
            path: that encodes it.

        Returns:
            (samples, channels), as long as training's clips where all of these have one length.
        """
        length = self._clip_length(path)
        if length is None:
            return signal
        return fit_length(signal[:, 0], length)[:, None]

    def clip_start(self, samples: int, path: SignalPath) -> int:
        """The first sample of a whole recording that ``as_clip`` keeps.

        Args:
            samples: of the recording.
            path: that encodes it.

        Returns:
            A sample's number; below 0: as many samples of padding come first.
        """
        length = self._clip_length(path)
        if length is None:
            return 0
        return clip_start(samples, length)

    def described(
        self, path: SignalPath | None = None, targets: Targets | None = None
    ) -> TaskMetadata:
        """The task without its data, as a model stores it.

        Args:
            path: its signal path, with the statistics of its training data; None: ``signal()``.
            targets: its targets, with the same; None: those that it has.
        """
        values = {name: getattr(self, name) for name in _PLAIN}
        return TaskMetadata(
            **values,
            path=path or self.signal(),
            targets=targets or self.targets,
            options=self.chosen(),
        )

    def chosen(self) -> dict[str, Any]:
        """The options with which the task was made, as ``create_task`` takes them, and as a file has
        them."""
        values = {}
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, np.generic):
                value = value.item()
            elif isinstance(value, tuple):
                value = list(value)
            values[option.name] = value
        return values

    def origin(self, data_dir: Path | None = None) -> str:
        """Where its data come from, for people: the data set's title (if it is not in the
        catalogue, the first line of the task's docstring), and the folder."""
        catalogue = imported("srnn.data.datasets.catalogue")
        known = catalogue.data_set_of(self.name, self.chosen())
        if known is None:
            title = (type(self).__doc__ or self.name).strip().splitlines()[0].rstrip(".")
            return f"{title} ({resolve_data_dir(data_dir)})"
        return f"{known.title} ({catalogue.folder_of(known, data_dir) if known.folder else known.size})"

    def problems(self) -> list[Problem]:
        """Problems of, and unusual things about, single files of the data. Only data of your own
        are examined."""
        return []

    def reading(
        self, data: Path, hold_out: bool = False, overrides: ReadingOverrides = NO_OVERRIDES
    ) -> TaskMetadata:
        """The task with labelled recordings in place of its own data.

        Args:
            data: the recordings, see ``datasets.labelled``.
            hold_out: where these name no splits, hold some out for validation and testing (else
                every split is all of them).
            overrides: metadata that the recordings do not state, or state wrongly.
        """
        return replace(self.described(), data=data, hold_out=hold_out, overrides=overrides)

    def statistics(self, data_dir: Path | None = None) -> Statistics:
        """The statistics that scale inputs, from the training split; stored with a network."""
        statistics = self.load("train", data_dir).statistics
        if statistics is None:
            message = (
                f"The inputs of task '{self.name}' are not scaled, so there are no statistics."
            )
            raise SrnnError(message, "unsupported", "statistics")
        return statistics

    @abstractmethod
    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """The encoded split, checked.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: ``missing``, with how to get the data; ``file`` or ``data``: they are damaged.
        """


DATA_SETS = (
    "digits",
    "mackey_glass",
    "ecg",
    "shd",
    "mnist",
    "soli",
    "speech_commands",
    "timit",
    "spoken_digits",
    "folder",
)
"""The files in ``datasets/`` that register tasks."""
PLUGINS = "srnn.tasks"
"""Group of entry points in which installed packages name modules that register tasks."""
_tasks: dict[str, type[Task]] = {}
_Task = TypeVar("_Task", bound=type[Task])


def register(task: _Task) -> _Task:
    """A decorator that registers a task by its name. SrnnError if another class has that name
    (``exists``), or if it states too little (``missing``)."""
    for stated in ("name", "kind", "class_names"):
        if not hasattr(task, stated):
            message = f"The task {task.__qualname__} has no {stated}, which every task needs."
            raise SrnnError(message, "missing", stated)
    if isinstance(task.kind, str):  # otherwise it is a property: it depends on the task's options
        with naming(f"task '{task.name}'"):
            check("kind", task.kind, Kind)
    other = _tasks.setdefault(task.name, task)
    if (other.__module__, other.__qualname__) != (task.__module__, task.__qualname__):
        message = (
            f"There are two tasks '{task.name}': {other.__qualname__} and {task.__qualname__}."
        )
        raise SrnnError(message, "exists", "name")
    _tasks[task.name] = task  # the same class, if its module is run again
    return task


def known_tasks() -> Mapping[str, type[Task]]:
    """Every registered task by its name, including those of this library."""
    for name in DATA_SETS:
        import_module(f"{__package__}.datasets.{name}")
    return MappingProxyType(_tasks)


def create_task(name: str, /, **options: Any) -> Task:
    """The named task with its options.

    Args:
        name: of a registered task; entry points of installed packages are loaded if it is none.
        options: its fields.

    Raises:
        SrnnError: ``name``: an unknown name or option (with the nearest); ``value``.
    """
    known, wanted = known_tasks(), name if isinstance(name, str) else ""
    if wanted not in known:
        from importlib.metadata import entry_points  # imported here because it is slow

        for plugin in entry_points(group=PLUGINS):
            plugin.load()
    if wanted not in known:
        message = f"There is no task {name!r}.{nearest(wanted, known)} {OWN}"
        raise SrnnError(message, "name", "task.name")
    check_options(known[name], options)
    return known[name](**options)


def check_options(task: type[Task], options: Iterable[str]) -> None:
    """SrnnError (``name``), with the nearest, for an option that tasks of a class do not have.

    Args:
        task: the class.
        options: names.
    """
    allowed = [option.name for option in fields(task)]
    for option in options:
        if option not in allowed:
            message = f"The task '{task.name}' has no option '{option}'.{nearest(option, allowed)}"
            raise SrnnError(message, "name", option)


_LONGEST_MS = 1e12
"""Thirty years."""
_PLAIN = (
    "name",
    "kind",
    "class_names",
    "label_type",
    "step_ms",
    "unlabelled_class",
    "silence_class",
    "analog_in_paper",
    "channel_blocks",
    "clip_seconds",
)
"""Fields of a ``TaskMetadata`` that its file holds as they are."""


@dataclass(frozen=True, kw_only=True)
class TaskMetadata(Task):
    """Classes, steps and signal path of a task. Its data are looked for only when they are loaded.

    SrnnError for values beyond what a model's file may contain.
    """

    name: str
    kind: Kind
    class_names: tuple[str, ...]
    label_type: LabelType = "text"
    path: SignalPath
    targets: Targets | None = None
    step_ms: float | None = None
    unlabelled_class: int | None = None
    silence_class: int | None = None
    analog_in_paper: bool = False
    channel_blocks: int = 1
    clip_seconds: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """The task's options, with which its data are loaded."""
    data: Path | None = None
    """Labelled recordings to use in place of its own data; see ``datasets.labelled``."""
    hold_out: bool = False
    """Where ``data`` name no splits: whether some are held out for validation and testing, or every
    split is all of them."""
    overrides: ReadingOverrides = NO_OVERRIDES
    """Metadata that the recordings in ``data`` do not state, or state wrongly."""
    own: Task | None = field(default=None, compare=False)
    """The task itself, with its data, where name and options cannot make it again; a model's file
    does not hold it."""

    def __post_init__(self) -> None:
        # Checked here, so that no network is trained whose file could not be opened.
        path, classes = self.path, len(self.class_names)
        if self.targets is not None and len(self.targets.units) != classes:
            message = f"{classes} values need as many units; None where one is not known."
            raise SrnnError(message, "conflict", "targets")
        calibration = getattr(path, "calibration", None)
        for name, what, value, most in (
            ("class_names", "classes", classes, CLASSES),
            ("step_ms", "ms per step (step_ms)", self.step_ms, _LONGEST_MS),
            ("clip_seconds", "seconds per clip", self.clip_seconds, 1e6),
            ("channels", "channels", path.channels, 2**16),
            ("inputs", "inputs", path.inputs, 2**16),
            ("rate", "samples per second", path.rate, 1e6),
            ("calibration", "seconds of calibration", calibration, LONGEST_CALIBRATION),
        ):
            if value is not None and not 0 < value <= most:
                message = f"A network cannot have {value:.12g} {what}"
                hint = f"it must be above 0 and at most {most:.12g}"
                raise SrnnError(f"{message}; {hint}.", "value", name)
        for name in ("unlabelled_class", "silence_class"):
            if not 0 <= (getattr(self, name) or 0) < classes:
                message = (
                    f"A network of {classes} classes cannot have {name} {getattr(self, name)}."
                )
                raise SrnnError(message, "value", name)

    def lag(self, form: PathForm = "signal") -> int:
        # A task without a lag of its own is not made: its data may not be here.
        if known_tasks().get(self.name, Task).lag is Task.lag:
            return 0
        return self._original().lag(form)

    @property
    def split_since(self) -> str | None:
        own = known_tasks().get(self.name, Task).split_since is not Task.split_since
        if own and self.data is None:
            return self._original().split_since
        return None

    @property
    def words(self) -> tuple[str, str]:
        label, group = WORDS
        return str(self.options.get("label", label)), str(self.options.get("group", group))

    @property
    def segment(self) -> float | None:
        window = self._own_options.get("window")
        if window is None or self.step_ms is not None:
            return window
        return window / getattr(self.path, "pool", 1)

    @property
    def _own_options(self) -> Mapping[str, Any]:
        """The options of data of one's own: only the task "folder" has these."""
        return self.options if self.name == "folder" else {}

    def _original(self, data_dir: Path | None = None) -> Task:
        if self.own is not None:
            return self.own
        with data_folder(data_dir):
            return create_task(self.name, **self.options)

    def signal(self) -> SignalPath:
        return self.path

    def statistics(self, data_dir: Path | None = None) -> Statistics:
        return self._original(data_dir).statistics(data_dir)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """As ``Task.load``; labelled recordings (``data``) in place of the task's own.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: as for ``Task.load``; or the task's data have other classes or inputs than
                those that the network was trained on (data).
        """
        if self.data is not None:
            # As the task itself does it: the same files give the same split.
            shares, speaker = None, ""
            if self.hold_out:
                shares = Shares.of(self.options)
                speaker = str(self.options.get("speaker", ""))
            path = self.whole_path()
            lag = self.lag(path.form)
            own = self._own_options
            # Labels within recordings are of steps where that was asked for; values always are.
            per_step = own.get("per_step", False)
            if self.targets is not None:
                per_step = self.kind == "per_step"
            return imported("srnn.data.datasets.labelled:load_labelled")(
                split,
                self.data,
                self.class_names,
                path,
                self.encode,
                shares,
                speaker,
                lag,
                self.overrides,
                imported("srnn.data.datasets.segmentation:Segmentation").of(
                    {**own, "per_step": per_step}
                ),
                self.targets is not None,
            )
        original = self._original(data_dir)
        if shown(original.class_names) != shown(self.class_names) or original.inputs != self.inputs:
            message = f"The data of task '{self.name}' now have other classes or inputs than those"
            raise SrnnError(f"{message} this network was trained on.", "data", "data")
        return original.load(split, data_dir)

    def check_path(self) -> None:
        """SrnnError (``unsupported``) for a signal path of another package that the task of this
        name, with these options, does not have: ``restored`` could not make it again."""
        if describe(self.path) is not None:
            return
        registered = self.name in known_tasks()
        if not registered or not alike(create_task(self.name, **self.options).signal(), self.path):
            raise SrnnError(
                f"A model's file cannot hold the signal path {type(self.path).__name__}, which is "
                f"not srnn's own: register a task (@register) with the name '{self.name}' whose "
                "signal() returns this path, with the same settings.",
                "unsupported",
                "path",
            )

    def plain(self) -> dict[str, Any]:
        """The task as JSON values; ``restored`` reads them. SrnnError as for ``check_path``."""
        self.check_path()
        values = {name: getattr(self, name) for name in _PLAIN}
        return {
            **values,
            "class_names": list(self.class_names),
            "options": dict(self.options),
            "signal": describe(self.path),
            "targets": None if self.targets is None else self.targets.plain(),
        }

    def chosen(self) -> dict[str, Any]:
        return dict(self.options)

    def origin(self, data_dir: Path | None = None) -> str:
        if self.data is None:
            return self._original(data_dir).origin(data_dir)
        return str(self.data)

    def described(
        self, path: SignalPath | None = None, targets: Targets | None = None
    ) -> TaskMetadata:
        return replace(self, path=path or self.path, targets=targets or self.targets)

    @classmethod
    def restored(cls, plain: Any, source: str) -> Self:
        """The task from what ``plain`` gave.

        Args:
            plain: what a model's file holds.
            source: the file, for messages.

        Raises:
            SrnnError: which names the source: anything else.
        """
        with reading(source, "a model's task"):
            # Missing from the first files.
            plain = {"analog_in_paper": False, "label_type": "text", **plain}
            hints = get_type_hints(cls) | {"class_names": list[str]}
            values = {name: convert(hints[name], plain[name], name) for name in _PLAIN}
            values["class_names"] = shown(values["class_names"])
            as_given(values["class_names"], values["label_type"])
            if plain.get("targets") is not None:  # missing from the first files
                values["targets"] = Targets.restore(plain["targets"])
            options, signal = convert(dict[str, Any], plain["options"], "options"), plain["signal"]
            module = known_tasks().get(values["name"], cls).__module__
            # Making one of srnn's own again may read data, from any folder among the options.
            if signal is None and module.startswith(f"{__package__}.datasets."):
                raise ValueError("it does not describe its signal")
        # A path of another package: that package makes it again.
        if signal is None:
            path = create_task(values["name"], **options).signal()
        else:
            path = restore(signal, source)
        with naming(source):
            return cls(**values, path=path, options=options)
