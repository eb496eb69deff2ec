"""What commands have in common: options that mean the same everywhere, and parts, such as ``srnn export c``."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ..errors import SrnnError, nearest

if TYPE_CHECKING:
    from pathlib import Path


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is an SrnnError of one line, and help fits the terminal's width."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": _Help, **options})

    def error(self, message: str) -> NoReturn:
        raise SrnnError(f"{message} (see: {self.prog} --help)")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Suggest the nearest valid choice, where argparse would list all: of commands, of parts, or of an option's values."""
        if action.choices is not None and value not in action.choices:
            what = f"{'/'.join(action.option_strings)} cannot be" if action.option_strings else f"'{self.prog}' has no"
            raise SrnnError(f"{what} '{value}'.{nearest(value, map(str, action.choices))}")


class _Help(argparse.HelpFormatter):
    """Indented lines of a description (commands, with what each does) stay lines; all else is wrapped."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for indented, group in groupby(text.splitlines(), lambda line: line[:1] in ("", " ")):
            for line in group if indented else [" ".join(group)]:
                # What a command does follows it after two or more spaces. If it does not fit, it continues in the same
                # column; if there is no room for that, below the command.
                gap, column = re.search(r"(?<=\S) {2,}(?=\S)", line), 4 * indented
                parts = [line]
                if gap and width - gap.end() >= 20:
                    column = gap.end()
                elif gap and len(line) > width:
                    parts = [line[: gap.start()], " " * 6 + line[gap.end() :]]
                for part in parts:
                    lines += textwrap.wrap(
                        part, max(width, 16), subsequent_indent=" " * column, drop_whitespace=True,
                        break_on_hyphens=False, break_long_words=False,
                    ) or [""]  # fmt: skip
        return "\n".join(lines)


class _Setting(argparse.Action):
    """A short form of one of the recipe's settings: ``const`` is its dotted name."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        namespace.overrides = [*namespace.overrides, f"--{self.const}={values}"]


def _path(text: str) -> Path:
    from pathlib import Path  # its import takes a tenth of ``srnn --help``

    return Path(text)


def _model(text: str) -> str:
    """A model's name, or the text of its path, which keeps the folder that tells it from a name (``registry.is_name``)."""
    path = str(_path(text))
    return path if os.path.dirname(path) or path == text else os.path.join(os.curdir, path)


def seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,19}", text, re.ASCII) or int(text) >= 2**63:
        raise SrnnError(f"--seed must be an integer from 0 to below 2^63, not {text!r}.")
    return int(text)


def channels(text: str) -> list[int]:
    """The channels that --channels names, counted from 0."""
    if not re.fullmatch(r"[1-9]\d{0,3}(,[1-9]\d{0,3})*", text, re.ASCII):
        raise SrnnError(f"--channels takes numbers of channels, counted from 1, such as 2,1, not {text!r}.")
    return [int(part) - 1 for part in text.split(",")]


_MODEL = {
    "metavar": "MODEL", "type": _model,
    "help": "a run folder written by 'srnn train', a model's file, or a pretrained network ('srnn models')",
}  # fmt: skip
_SHARED: Mapping[str, dict[str, Any]] = {
    "model": _MODEL,
    "models": {**_MODEL, "nargs": "+"},
    "recipe": {
        "metavar": "RECIPE", "help": "name of a shipped recipe (digits, paper/ecg), a YAML file, or your own data",
    },
    "runs": {"metavar": "RUN", "type": _path, "nargs": "+", "help": "run folders written by 'srnn train'"},
    "--baseline": {"metavar": "NAME", "help": "use this baseline instead: rnn, gru, lstm, bilstm, relu, lif, feedforward"},
    "--no-exit": {
        "action": "store_true", "default": None,
        "help": "choose no early-exit policy; choosing one needs a validation split, which some tasks lack",
    },
    "--state-bits": {
        "type": int, "choices": (32, 16, 8), "metavar": "N",
        "help": "bits of a state in int8: 32, 16 or 8 (default: what the run was trained for, usually 32)",
    },
    "--split": {
        "choices": ("train", "validation", "test"), "default": "validation",
        "help": "split to measure on (default: validation; use test once, at the end)",
    },
    "--data-dir": {"metavar": "D", "type": _path, "help": "folder with the data sets (default: SRNN_DATA, else ~/.cache/srnn)"},
    "--seed": {
        "type": seed, "default": 0, "metavar": "N", "help": "seed of everything random (default: 0)",
    },
    "--input": {
        "choices": ("auto", "signal", "steps"), "default": "auto", "dest": "form",
        "help": "what the input is: the raw signal, or steps as the network reads them (default: the signal, if it can be "
        "encoded as in training)",
    },
    "--channels": {
        "type": channels, "metavar": "N,N",
        "help": "which channels of a file to read, counted from 1 (1,1 reads the first one twice)",
    },
    "--epochs": {
        "action": _Setting, "const": "training.epochs", "metavar": "N", "dest": "overrides",
        "help": "short for --training.epochs",
    },
    "--device": {
        "action": _Setting, "const": "training.device", "metavar": "D", "dest": "overrides",
        "help": "short for --training.device: auto, cpu or cuda",
    },
    "--data": {
        "metavar": "PATH", "type": _path,
        "help": "labelled recordings to use instead of the task's own data: a folder for each class, a table "
        "(file,label), or arrays in an .npz or .h5 file",
    },
    "--json": {"action": "store_true", "help": "print one JSON object and nothing else"},
}  # fmt: skip


@contextlib.contextmanager
def place(option: str, path: Path, new: bool = False) -> Iterator[None]:
    """For a block that writes a file at its end. SrnnError at its beginning if no file can be written there, if another process
    is about to write it, or if it should be ``new`` but exists."""
    from ..files import only_writer

    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise SrnnError(
            f"{option}: {path} cannot be written: the folder {folder} does not exist, or is write-protected."
        )
    with only_writer(path):
        if new and path.exists():
            raise SrnnError(f"{path} exists; name a new file.")
        yield


def again(arguments: argparse.Namespace, without: Sequence[str] = (), **others: Any) -> list[str]:
    """The words after "srnn" that give this command again, without the options named, and with these values for ``others``, which
    are written even if they are the defaults."""
    options: list[str] = []
    words = arguments.parser.prog.split()[1:]
    for action in arguments.parser._actions:
        value = others.get(action.dest, getattr(arguments, action.dest, None))
        unsaid = None if action.dest in others else action.default
        if action.dest in ("overrides", *without) or value in (None, unsaid):
            continue
        texts = [] if value is True else [str(one) for one in (value if isinstance(value, list) else [value])]
        if action.option_strings:
            options += [action.option_strings[-1], *texts]
        else:
            words += texts
    return [*words, *options, *getattr(arguments, "overrides", ())]


def data_dir_again(arguments: argparse.Namespace) -> list[str]:
    """The words that give --data-dir to another command; none where it was left out."""
    return [] if arguments.data_dir is None else ["--data-dir", str(arguments.data_dir)]


class Command(NamedTuple):
    """A command, or a part of one."""

    help: str
    """Its line in the list of commands."""
    run: Callable[[argparse.Namespace], int] | None = None
    """None: the word after the command must name one of its parts."""
    shared: tuple[str, ...] = ()
    """Names of its shared arguments, besides those that ``add`` adds."""
    add: Callable[[argparse.ArgumentParser], None] = lambda _: None
    parts: Mapping[str, Command] = MappingProxyType({})
    metavar: str = "ACTION"
    """What its parts are."""
    description: str = ""

    @classmethod
    def of_module(cls, name: str, help: str = "") -> Command:
        """The command of a module in this folder: its docstring, and what it has of the names below; HELP if it is a part."""
        module = import_module(f".{name}", __package__)
        own = {"run": "run", "shared": "SHARED", "add": "add_arguments", "parts": "PARTS", "metavar": "METAVAR"}
        given = {field: getattr(module, own[field]) for field in own if hasattr(module, own[field])}
        return cls(help or module.HELP, description=module.__doc__ or "", **given)

    def add_to(self, commands: Any, name: str) -> None:
        """Add its parser to what ``add_subparsers`` returned."""
        description = self.description or f"{self.help[0].upper()}{self.help[1:]}."
        parser = commands.add_parser(name, help=self.help, description=description)
        section = parser.add_argument_group("common options")
        for argument in self.shared:
            (section if argument.startswith("-") else parser).add_argument(argument, **_SHARED[argument])
        if "recipe" in self.shared:
            parser.set_defaults(overrides=[])
        self.add(parser)
        if self.parts:
            below = parser.add_subparsers(dest="part", metavar=self.metavar, parser_class=type(parser))
            for part, command in self.parts.items():
                command.add_to(below, part)

        def which(_: argparse.Namespace) -> NoReturn:
            one, names = self.metavar, ", ".join(self.parts)
            raise SrnnError(f"Which {one.lower()}? {parser.prog} {one}, where {one} is one of {names}.")

        parser.set_defaults(run=self.run or which, parser=parser)
