"""Data of your own, in whatever form a program has them, as the arrays that a file of arrays would
hold (``Given``).

    array, tensor (N, T, C) or (N, T)         sequences of one length, or padded, with ``lengths``
    list of arrays (T_i, C) or (T_i,)         sequences of different lengths
    list of DataFrames, of ``Recording``s     the same, read like files: with names, units and rate
    torch's Dataset                           of pairs (x, y)

What is wrong with the arrays themselves is refused where files of arrays are read
(``data.datasets.arrays``).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..data.datasets.arrays import Given
from ..data.datasets.base import UNLABELLED, padded
from ..data.datasets.folder import InMemoryTask
from ..data.datasets.sensors import Leading
from ..data.datasets.survey import say
from ..data.gaps import DEFAULT, Gaps
from ..data.recordings import ChannelMetadata, Recording, at_rate, is_frame, read_recording
from ..data.tasks import Task
from ..errors import SrnnError, is_number, naming
from ..files import reading
from ..files.bounds import Between, Positive
from ..files.conversion import check
from ..nn.array_likes import as_numpy
from ..nn.neurons import Neuron
from ..text import brief, counted
from .recipes import Recipe, load_recipe
from .recipes.reading import noted_recipe
from .recipes.suited import suited_recipe

Array = npt.NDArray[Any]
_BOOLEANS = np.dtype(np.int8)
"""What holds labels that are truth values, with -1 for steps beyond a sequence's end."""
_FORMS = (
    "an array (sequences, time, channels), a list of arrays (time, channels) or of DataFrames, "
    "or a torch Dataset of pairs (x, y)"
)


class FitArguments(NamedTuple):
    """The arguments of ``srnn.fit`` that are about the sequences; see there."""

    y: Any = None
    lengths: Any = None
    groups: Any = None
    rate: float | None = None
    channels: Sequence[str | int] | None = None
    units: Sequence[str | None] | None = None
    classes: Sequence[str | int] | None = None
    validation: Any = None
    """A fraction; or sequences, as (x, y) or a Dataset."""


_KEYWORDS = {
    "test_fraction": "test",
    "validation_fraction": "validation",
    "group": "groups",
    "training.epochs": "epochs",
    "training.early_stopping.patience": "patience",
    "training.optimizer.lr": "lr",
    "training.batch_size": "batch_size",
    "network.hidden": "hidden",
    "network.neuron": "neuron",
}
"""What a recipe and its task call the keywords of ``srnn.fit``."""


def settings_of(
    test: float | None,
    epochs: int | None,
    patience: int | None,
    hidden: int | Sequence[int] | None,
    neuron: str | Neuron | Mapping[str, Any] | None,
    lr: float | None,
    batch_size: int | None,
    unit: str | None,
    gaps: Gaps = DEFAULT,
) -> dict[str, Any]:
    """The keywords of ``srnn.fit`` as settings of a recipe, by dotted keys; those that are None are
    left out.

    Args:
        test: the fraction of the data held out for the test split.
        epochs: how often the training data are seen, at most.
        patience: epochs without a better one before training stops.
        hidden: neurons in the hidden layer, or in each of several.
        neuron: of the hidden layers: its name, the neuron itself, or a mapping.
        lr: the largest learning rate.
        batch_size: sequences in a batch.
        unit: of values; of several, separated by commas.
        gaps: how missing samples are treated; what is as by default is left out.
    """
    settings = {
        "task.options.test_fraction": test,
        "task.options.unit": unit,
        "task.options.missing": gaps.missing if gaps.missing != DEFAULT.missing else None,
        "task.options.longest_gap": gaps.longest if gaps.longest != DEFAULT.longest else None,
        "training.epochs": epochs,
        "training.early_stopping.patience": patience,
        "training.optimizer.lr": lr,
        "training.batch_size": batch_size,
        "network.hidden": [hidden] if isinstance(hidden, int) else hidden,
        "network.neuron": neuron.describe() if isinstance(neuron, Neuron) else neuron,
    }
    return {key: value for key, value in settings.items() if value is not None}


@contextmanager
def naming_keywords(overrides: Collection[str]) -> Iterator[None]:
    """The block's SrnnErrors about settings that ``srnn.fit`` has as keywords are about these.

    Args:
        overrides: keys of the recipe that its caller wrote, which stay what they are.

    Raises:
        SrnnError: the block's own, of the same kind, about ``epochs`` instead of
            ``training.epochs``.
    """
    try:
        yield
    except SrnnError as error:
        keyword = _KEYWORDS.get(error.field)
        if keyword is None or error.field in overrides:
            raise
        message = str(error).replace(f"'{error.field}'", f"'{keyword}'")
        raise SrnnError(message, error.kind, keyword) from error


def recipe_for(
    x: Any, arguments: FitArguments, settings: Mapping[str, Any]
) -> tuple[Recipe, Task | None]:
    """The recipe that ``srnn train`` gives to data of one's own.

    Args:
        x: sequences in memory, or the path of data, as for ``srnn.fit``.
        arguments: what else is stated about the sequences.
        settings: of the recipe, by dotted keys.

    Returns:
        The recipe; and the data as its task, or None where the recipe names them.

    Raises:
        SrnnError: for what is not data; ``conflict`` for arguments that data at a path state
            themselves.
    """
    options = dict[str, Any]()
    if is_number(arguments.validation):
        options["task.options.validation_fraction"] = arguments.validation
        arguments = arguments._replace(validation=None)
    if not isinstance(x, (str, Path)):
        gaps = Gaps(
            settings.get("task.options.missing", DEFAULT.missing),
            settings.get("task.options.longest_gap", DEFAULT.longest),
        )
        given = gather(x, arguments, gaps)
        asked = settings.get("task.options.answer", InMemoryTask.answer)
        content = suited_recipe(InMemoryTask(arrays=given, answer=asked))
        recipe = noted_recipe(content, "srnn.fit", {**options, **settings})
        return recipe, InMemoryTask.of(given, recipe.task.options)
    for name, value in arguments._asdict().items():
        if value is not None and name in ("rate", "channels"):
            options[f"task.options.{name}"] = value
        elif value is not None:
            state = f"The data in {x} state this themselves"
            raise SrnnError(f"{state}: remove {name}, which is for arrays.", "conflict", name)
    return load_recipe(x, {**options, **settings}), None


def gather(x: Any, arguments: FitArguments, gaps: Gaps = DEFAULT) -> Given:
    """Sequences and their labels as the arrays of one data set, in which gaps are filled (a
    RuntimeWarning says how many values).

    Args:
        x: sequences in memory, as for ``srnn.fit``.
        arguments: their labels, and what else is stated about them.
        gaps: how missing samples are treated.

    Returns:
        The arrays, by the names that a file of arrays has for them.

    Raises:
        SrnnError: about the argument that is wrong.
    """
    if arguments.rate is not None:
        check("rate", arguments.rate, Positive)
    x, y = _pair("x", x, arguments.y)
    if arguments.lengths is not None and isinstance(x, list):
        own = "x is a list, whose sequences have lengths of their own"
        raise SrnnError(f"{own}: remove lengths.", "conflict", "lengths")
    labels = _labels("y", x, y)
    optional = {"groups": arguments.groups, "class_names": arguments.classes}
    if arguments.validation is None:
        given = _sequences(x, arguments, gaps)
    else:
        if arguments.groups is not None:
            raise SrnnError(
                "groups says which sequences are held out together, and validation which are: "
                "remove one.",
                "conflict",
                "groups",
            )
        held_out = arguments.validation
        if _is_dataset(held_out):
            held_out = held_out, None
        if not isinstance(held_out, (list, tuple)) or len(held_out) != 2:
            raise SrnnError(
                "validation should be a fraction, a pair (x, y) or a torch Dataset, not "
                f"{brief(held_out)}.",
                "value",
                "validation",
            )
        more_x, more_y = _pair("x of validation", *held_out)
        given = _of_list([*_cut(x, arguments.lengths), *more_x], arguments, gaps)
        labels = _joined(labels, _labels("y of validation", more_x, more_y))
        if labels.ndim > 1:  # which may go on where no sequence does
            labels = labels[:, : given["x"].shape[1]]
        optional["split"] = ["train"] * len(x) + ["validation"] * len(more_x)
    if labels.dtype == _BOOLEANS:
        # The names of the classes 0 and 1, or these themselves, in the user's order.
        if arguments.classes is None:
            optional["class_names"] = [False, True]
        elif {*map(str, arguments.classes)} == {"False", "True"}:
            optional["class_names"] = [str(one) == "True" for one in arguments.classes]
    given["y"] = labels
    if arguments.rate is not None:
        given["rate"] = np.asarray(arguments.rate)
    if arguments.units is not None:
        given["units"] = _units(arguments.units)
    for name, values in optional.items():
        if values is not None:
            given[name] = np.asarray(as_numpy(values))
    return given


def _is_dataset(value: Any) -> bool:
    """Whether it is a Dataset of torch, which is not imported for this."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.utils.data.Dataset)


def _is_list(value: Any) -> bool:
    """Whether it is a list of things, or an array of objects."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return isinstance(value, (list, tuple)) or (kind == "O" and getattr(value, "ndim", 0) == 1)


def _pair(name: str, x: Any, y: Any) -> tuple[Any, Any]:
    """Sequences, as a list or as an array (N, T, C), and their labels: those given, or of a
    Dataset's pairs."""
    if not _is_dataset(x):
        if _is_list(x):
            x = list(x)
        else:
            x = _array(name, x)
        if not len(x):
            raise SrnnError(f"{name} is empty: it holds no sequences.", "data", name)
        return x, y
    if y is not None:
        raise SrnnError(
            f"{name} is a Dataset of pairs (x, y), so it has labels of its own: remove y.",
            "conflict",
            "y",
        )
    if hasattr(x, "__len__"):
        pairs = [x[index] for index in range(len(x))]
    else:
        pairs = list(x)
    if not pairs:
        raise SrnnError(f"{name} is an empty Dataset.", "data", name)
    for index, pair in enumerate(pairs):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise SrnnError(
                f"{name} should be a Dataset of pairs (x, y), not of {brief(pair)} (item {index}).",
                "data",
                name,
            )
    return [one for one, _ in pairs], [label for _, label in pairs]


# ---- sequences ----------------------------------------------------------------------------------


def _sequences(x: Any, arguments: FitArguments, gaps: Gaps) -> Given:
    """x (N, T, C), and what is known of its lengths and channels."""
    if isinstance(x, list):
        return _of_list(x, arguments, gaps)
    given = Given(x=x)
    if arguments.lengths is not None:
        given["lengths"] = np.asarray(as_numpy(arguments.lengths))
    # Fill the gaps; what is beyond a sequence's length is no gap.
    whole, ends, lengths = x, np.full(len(x), x.shape[1]), given.get("lengths")
    if lengths is not None and lengths.shape == ends.shape and lengths.dtype.kind in "iu":
        ends = np.where((lengths > 0) & (lengths <= x.shape[1]), lengths, ends)
    filled = dict[int, int]()
    for index, end in enumerate(ends.tolist()):
        read = _checked(Recording(x[index, :end], name=f"x[{index}]"), gaps)
        if read.filled or not np.isfinite(x[index, end:]).all():
            if whole is x:
                whole = np.array(x)
            whole[index, :end], whole[index, end:] = read.samples, 0
            filled[index] = read.filled
    _warn_of_filled(gaps, filled.values())
    given["x"] = whole
    if arguments.channels is not None:
        given["channels"] = _names(arguments.channels)
    return given


def _array(name: str, x: Any) -> Array:
    """(N, T, C) from an array or a tensor, which may lack the channels' axis."""
    if is_frame(x):
        raise SrnnError(
            f"{name} is one table, which is one recording: give a list with a DataFrame for each "
            "sequence, as in [part for _, part in table.groupby('recording')].",
            "data",
            name,
        )
    array = np.asarray(as_numpy(x))
    if array.dtype.kind not in "iufb" or array.ndim not in (2, 3):
        if array.ndim:
            found = f"{array.dtype} {array.shape}"
        else:
            found = f"a {type(x).__name__}"
        raise SrnnError(f"{name} should be {_FORMS}, not {found}.", "data", name)
    if not array.size:
        raise SrnnError(f"{name} is empty: it has the shape {array.shape}.", "data", name)
    if array.ndim == 2:
        array = array[..., None]
    return array


def _warn_of_filled(gaps: Gaps, filled: Iterable[int]) -> None:
    """One RuntimeWarning for values that were filled in: so many of each sequence."""
    counts = [count for count in filled if count]
    for note in gaps.noted(sum(counts), f" in {counted(len(counts), 'sequence')}"):
        warnings.warn(f"x: {note}.", RuntimeWarning, stacklevel=2)


def _checked(recording: Recording, gaps: Gaps) -> Recording:
    """The recording with its gaps filled. SrnnError for numbers that are still missing, or infinite
    in float32."""
    x, filled = gaps.fill(recording.name, recording.samples)
    return replace(
        recording,
        samples=gaps.check(recording.name, x, np.float32),
        filled=recording.filled + filled,
    )


def _names(channels: Sequence[str | int]) -> Array:
    """Names of the channels of arrays, which have none of their own to choose from."""
    for name in channels:
        if not isinstance(name, str):
            raise SrnnError(
                f"channels names the channels of x, by text and not by {brief(name)}; "
                "choose them with x[..., k].",
                "value",
                "channels",
            )
    return np.array(channels)


def _units(units: Sequence[str | None]) -> Array:
    """As a file of arrays has them: "" is not known."""
    return np.array([unit or "" for unit in units])


def _cut(x: Any, lengths: Any) -> list[Any]:
    """The sequences one by one, without their padding."""
    if lengths is None:
        return list(x)
    ends = np.asarray(as_numpy(lengths)).tolist()
    if len(ends) != len(x):
        many = f"lengths should have {len(x)} entries, like x, not {len(ends)}."
        raise SrnnError(many, "data", "lengths")
    return [
        row[: check("lengths", end, int, Between(1, len(row)))]
        for row, end in zip(x, ends, strict=True)
    ]


def _of_list(x: Sequence[Any], arguments: FitArguments, gaps: Gaps) -> Given:
    """The sequences of a list, padded, with the first one's channels in its units and at its
    rate."""
    read = [_recording(f"x[{index}]", one, gaps) for index, one in enumerate(x)]
    rate, channels = arguments.rate, arguments.channels
    if rate is None and len({recording.rate is None for recording in read}) > 1:
        some = "Some sequences of x state their rate and others do not"
        raise SrnnError(f"{some}: give rate.", "missing", "rate")
    named = read[0].channels is not None
    if channels is None or not named:
        chosen = None
    else:
        chosen = tuple(channels)
    stated = [(one.name, ChannelMetadata(one.channels, one.units)) for one in read]
    first = Leading.of(read[0], chosen, read[0].name, stated)
    parts, notes = list[Array](), dict[str, str]()
    for recording in read:
        alike = first.alike(recording)
        part = at_rate(recording.name, alike.samples, alike.rate, rate or first.rate, sound=False)
        parts.append(part.astype(np.float32, copy=False))
        known = (*notes, *gaps.noted(recording.filled))
        notes |= {note: recording.name for note in alike.notes if note not in known}
    _warn_of_filled(gaps, (recording.filled for recording in read))
    for note, name in notes.items():
        say(f"{name}: {note}.")
    array, lengths = padded("x", parts)
    given = Given(x=array)
    if (lengths != array.shape[1]).any():
        given["lengths"] = lengths
    if first.rate is not None:
        given["rate"] = np.asarray(first.rate)
    if first.units is not None:
        given["units"] = _units(first.units)
    if first.names is not None:
        given["channels"] = np.array(first.names)
    elif channels is not None:
        given["channels"] = _names(channels)
    return given


def _recording(name: str, one: Any, gaps: Gaps) -> Recording:
    """One sequence of a list, with its gaps filled."""
    if isinstance(one, Recording) or is_frame(one):
        with naming(name):
            return replace(read_recording(one, gaps), name=name)
    with naming(name):
        try:
            array = np.asarray(as_numpy(one))
        except ValueError as error:
            problem = f"this is not an array of numbers ({error})."
            raise SrnnError(problem, "data", name) from error
        if array.ndim not in (1, 2) or array.dtype.kind not in "iufb":
            if array.ndim:
                found = f"{array.dtype} {array.shape}"
            else:
                found = brief(one)
            form = "a sequence is an array of numbers (time, channels)"
            raise SrnnError(f"{form}, not {found}.", "data", name)
    return _checked(Recording(array if array.ndim == 2 else array[:, None], name=name), gaps)


# ---- labels -------------------------------------------------------------------------------------


def _labels(name: str, x: Any, y: Any) -> Array:
    """(N,) or (N, T): integers, text, or floats, which are values (truth values: ``_BOOLEANS``). Lists of labels per step, of
    different lengths, are padded.

    ``x``: the sequences, with which lists must agree.
    """
    if y is None:
        raise SrnnError(
            f"{name} is missing: give a class or a value for each sequence (N,), or for each "
            "step (N, T).",
            "missing",
            name,
        )
    count = len(x)
    if not hasattr(y, "__len__") or isinstance(y, str):
        raise SrnnError(
            f"{name} should have a class for each of {count} sequences, not {brief(y)}.",
            "data",
            name,
        )
    if len(y) != count:
        raise SrnnError(f"x has {count} sequences, and {name} has {len(y)} labels.", "data", name)
    if not _is_list(y):
        labels = np.asarray(as_numpy(y))
        column = is_frame(y) and labels.shape[1:] == (1,)
        return _classes(name, labels[:, 0] if column else labels)
    parts = [as_numpy(one) for one in y]
    with reading(name, "labels"):  # lists of lists of different lengths are none
        depths = {*map(np.ndim, parts)}
    if depths == {0}:
        return _classes(name, _array_of(name, parts))
    rows = [_classes(f"{name}[{index}]", _array_of(name, part)) for index, part in enumerate(parts)]
    for index, row in enumerate(rows):
        most = 1 + (row.dtype.kind == "f")  # several values of a step
        if not 1 <= row.ndim <= most or row.dtype.kind != rows[0].dtype.kind:
            raise SrnnError(
                f"{name} should be integers, text or floats, one for each sequence, or a list "
                "for the steps of each.",
                "data",
                name,
            )
        if isinstance(x, list) and len(row) != _length(x[index]):
            raise SrnnError(
                f"{name}[{index}] has labels of {len(row)} steps, "
                f"and x[{index}] has {_length(x[index])}.",
                "data",
                f"{name}[{index}]",
            )
    longest = max(map(len, rows))
    return np.concatenate([_widened(row[None], longest) for row in rows])


def _length(sequence: Any) -> int:
    return len(sequence.samples if isinstance(sequence, Recording) else sequence)


def _array_of(name: str, values: Any) -> Array:
    """Labels in a list as an array; numbers among texts are refused, which numpy would make
    texts."""
    array = np.asarray(values)
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        odd = [one for one in values if not isinstance(one, str)]
        if odd:
            raise SrnnError(
                f"{name} should hold integers, or text, not both: it has {brief(odd[0])}.",
                "data",
                name,
            )
    return array


def _classes(name: str, labels: Array) -> Array:
    """Labels as int64, truth values as ``_BOOLEANS``, or text; values as they are."""
    if labels.dtype.kind == "O":
        labels = _plain(name, labels)
    kind = labels.dtype.kind
    if kind not in "biuUf":
        raise SrnnError(
            f"{name} should hold classes, integers or text, or values, floats, "
            f"not {labels.dtype} {labels.shape}.",
            "data",
            name,
        )
    if kind == "f":
        return labels
    if kind == "b":
        return labels.astype(_BOOLEANS)
    if kind in "iu":
        return labels if labels.dtype == np.uint64 else labels.astype(np.int64)
    return labels.astype(str)


def _plain(name: str, labels: Array) -> Array:
    """Objects of Python, as of a column of a table, as numpy's own texts or numbers."""
    values = labels.ravel().tolist()
    odd = [one for one in values if not isinstance(one, str)]
    if not odd:
        return labels.astype(str)
    if len(odd) == len(values):
        found = np.array(values).reshape(labels.shape)
    else:
        found = labels
    if found.dtype.kind not in "biuf":
        raise SrnnError(
            f'{name} should hold integers, or text ("" for none), but it has {brief(odd[0])}.',
            "data",
            name,
        )
    return found


def _widened(labels: Array, steps: int) -> Array:
    """(N, T, ...) labels, to so many steps, of which the last have none."""
    none: Any = {"U": "", "f": np.nan}.get(labels.dtype.kind, UNLABELLED)
    wider = np.full((len(labels), steps, *labels.shape[2:]), none, labels.dtype)
    wider[:, : labels.shape[1]] = labels
    return wider


def _joined(labels: Array, more: Array) -> Array:
    """The labels of two sets of sequences, one after the other."""
    alike = labels.dtype == more.dtype or labels.dtype.kind in "Uf"
    if labels.dtype.kind != more.dtype.kind or labels.ndim != more.ndim or not alike:
        raise SrnnError(
            f"y of validation should be like y, {labels.dtype} with {labels.ndim} axes, "
            f"not {more.dtype} with {more.ndim}.",
            "data",
            "y of validation",
        )
    if labels.ndim == 1:
        return np.concatenate([labels, more])
    steps = max(labels.shape[1], more.shape[1])
    return np.concatenate([_widened(labels, steps), _widened(more, steps)])
