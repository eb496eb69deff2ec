"""Types of what several commands take, and the command as it was called."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from ..data.units import parse_channels
from ..errors import SrnnError

if TYPE_CHECKING:
    from ..data.recordings import ReadingOverrides

MORE = Parameter(consume_multiple=(1, None))
"""Of an option that takes one value or more: ``--sparsity 0.5 0.9``."""


RARE = Group("more options")
"""Of options that ``--help`` leaves to ``--help-all``."""


def _model(text: str) -> str:
    """A model's name, or the text of its path, which keeps the folder that distinguishes it from a name
    (``registry.is_name``)."""
    path = str(Path(text))
    if os.path.dirname(path) or path == text:
        return path
    return os.path.join(os.curdir, path)


_MODEL = Parameter(
    name="MODEL",
    required=True,
    converter=lambda _, tokens: _model(tokens[0].value),
    help="a run folder written by 'srnn train', a model's file, or a pretrained network ('srnn "
    "models')",
)
Model = Annotated[str, _MODEL]
Models = Annotated[
    list[str],
    _MODEL,
    Parameter(
        name="MODEL...", converter=lambda _, tokens: [_model(token.value) for token in tokens]
    ),
]
RecipeName = Annotated[
    str,
    Parameter(
        name="RECIPE",
        help="name of a shipped recipe (digits, paper/ecg), a YAML file, or your own data",
    ),
]
Baseline = Annotated[
    str | None,
    Parameter(help="use this baseline instead: rnn, gru, lstm, bilstm, relu, lif, feedforward"),
]
NoExit = Annotated[
    bool,
    Parameter(
        help="choose no early-exit policy; choosing one needs a validation split, which some tasks "
        "lack"
    ),
]
StateBits = Annotated[
    Literal[32, 16, 8] | None,
    Parameter(help="bits of a state in int8 (default: what the run was trained for, usually 32)"),
]
Split = Annotated[
    Literal["train", "validation", "test"],
    Parameter(help="split to measure on; use test once, at the end"),
]
DataDir = Annotated[
    Path | None,
    Parameter(help="folder with the data sets (default: SRNN_DATA, else ~/.cache/srnn)"),
]
SeedNumber = Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))]
Seed = Annotated[SeedNumber, Parameter(help="seed of everything random")]
Form = Annotated[
    Literal["auto", "signal", "steps"],
    Parameter(
        name="--input",
        help="what the input is: the raw signal, or steps as the network reads them; auto: the "
        "signal, if it can be encoded as in training",
    ),
]


Channels = Annotated[
    list[int | str] | None,
    Parameter(
        n_tokens=1, metavar="NAME,NAME", converter=lambda _, tokens: parse_channels(tokens[0].value)
    ),
]


@Parameter(name="*", group=RARE)
@dataclass(frozen=True)
class RecordingOptions:
    """What recordings do not state themselves.

    Args:
        rate: samples per second of the recordings, if they do not state it, or wrongly
        channels: which channels to read, in this order, by name or counted from 1, as ax,ay,az or
            2,1 (default: those that the network knows by name, else all)
        missing: what is done about missing samples: empty cells, NaN, rows that are missing by their times
        longest_gap: samples that may be missing in a row
    """

    rate: Annotated[float | None, Parameter(validator=Number(gt=0))] = None
    channels: Channels = None
    missing: Literal["interpolate", "hold", "refuse"] = "interpolate"
    longest_gap: Annotated[int, Parameter(validator=Number(gte=1))] = 25

    def reading(self) -> ReadingOverrides:
        """The options, for the reader of recordings."""
        from ..data.gaps import Gaps
        from ..data.recordings import ReadingOverrides

        return ReadingOverrides(self.rate, self.channels, Gaps(self.missing, self.longest_gap))

    def of(self, data: Path | None) -> ReadingOverrides:
        """The options, for the reader of the recordings that --data names. SrnnError of kind
        ``conflict`` where it names none."""
        if data is None and self != NO_OPTIONS:
            raise SrnnError(
                "--rate, --channels and --missing are for "
                "recordings that --data names; remove them.",
                "conflict",
                "data",
            )
        return self.reading()


NO_OPTIONS = RecordingOptions()
Data = Annotated[
    Path | None,
    Parameter(
        help="labelled recordings to use instead of the task's own data: a folder for each class, "
        "a table (file,label), or arrays in an .npz or .h5 file"
    ),
]
Json = Annotated[bool, Parameter(help="print one JSON object and nothing else")]


class Call(NamedTuple):
    """A command as it was called."""

    program: str
    """The program's name, such as ``srnn``."""
    words: Sequence[str]
    """All words after that."""
    python: Sequence[str]
    """Arguments with which Python starts the program again."""

    def again(self, without: Mapping[str, int], *more: str) -> list[str]:
        """The words that call it again.

        Args:
            without: options that are left out, and how many values each of them has.
            more: words that are added at the end, but before ``--`` and what follows it.

        Returns:
            The program's name and its words.
        """
        words, end = list(self.words), len(self.words)
        if "--" in words:  # nothing behind it is an option
            end = words.index("--")
        kept: list[str] = []
        rest = words[:end]
        while rest:
            word = rest.pop(0)
            option, given, _ = word.partition("=")
            if option not in without:
                kept.append(word)
            elif not given:
                del rest[: without[option]]
        return [self.program, *kept, *more, *words[end:]]


Called = Annotated[Call, Parameter(parse=False)]
"""Of the parameter ``called``, which is no option."""
Settings = Annotated[Sequence[str], Parameter(parse=False)]
"""Of the parameter ``settings``: words that set the recipe's keys,
``["--training.epochs", "5", "--note=x"]``."""


def data_dir_again(data_dir: Path | None) -> list[str]:
    """The words that give --data-dir to another command; none where it was left out."""
    if data_dir is None:
        return []
    return ["--data-dir", str(data_dir)]


@contextlib.contextmanager
def place(option: str, path: Path, overwrite: bool = True) -> Iterator[None]:
    """For a block that writes a file at its end: refuses at its beginning what could not be
    written.

    Args:
        option: the option that names the file, for the message.
        path: the file.
        overwrite: whether it may exist.

    Raises:
        SrnnError: ``file``: no file can be written there; ``resource``: another process is about to
            write it; ``exists``: it exists.
    """
    from ..files import check_new, only_writer

    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise SrnnError(
            f"{option}: {path} cannot be written: the folder "
            f"{folder} does not exist, or is write-protected.",
            "file",
            path,
        )
    with only_writer(path):
        check_new(path, overwrite, ours=not path.is_dir())
        yield
