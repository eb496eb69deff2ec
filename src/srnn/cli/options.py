"""What commands have in common: options that mean the same everywhere, and parts, such as ``srnn export c``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ..errors import SrnnError

_SHARED: Mapping[str, dict[str, Any]] = {
    "run_folder": {"metavar": "RUN", "type": Path, "help": "a run folder, written by 'srnn train'"},
    "runs": {"metavar": "RUN", "type": Path, "nargs": "+", "help": "run folders, written by 'srnn train'"},
    "--baseline": {"metavar": "NAME", "help": "as this baseline: rnn, gru, lstm, bilstm, relu, lif, feedforward"},
    "--no-exit": {
        "action": "store_true",
        "help": "no early-exit policies; they need a validation split, which some tasks lack",
    },
    "--state-bits": {
        "type": int, "choices": (32, 16, 8), "metavar": "N",
        "help": "bits in which int8 keeps states: 32, 16 or 8 (default: as the run was trained for, usually 32)",
    },
    "--split": {
        "choices": ("train", "validation", "test"), "default": "validation",
        "help": "what is measured (default: validation; look at test once, at the end)",
    },
    "--data-dir": {"metavar": "D", "type": Path, "help": "folder with the data sets (default: SRNN_DATA)"},
    "--json": {"action": "store_true", "help": "print one JSON object and nothing else"},
}  # fmt: skip


def shared(*names: str) -> argparse.ArgumentParser:
    """A parent parser with the shared arguments of those names, options in a section of their own."""
    parent = argparse.ArgumentParser(add_help=False)
    section = parent.add_argument_group("common options")
    for name in names:
        (section if name.startswith("-") else parent).add_argument(name, **_SHARED[name])
    return parent


class Command(NamedTuple):
    """A command, or a part of one."""

    help: str
    """A line of the list that it stands in."""
    run: Callable[[argparse.Namespace], int] | None
    shared: tuple[str, ...] = ()
    """Names of the shared arguments that it has, besides ``add``'s own."""
    add: Callable[[argparse.ArgumentParser], None] = lambda _: None
    description: str = ""

    @classmethod
    def of_module(cls, name: str, help: str = "") -> Command:
        """That of a module here: its run, SHARED, add_arguments and DESCRIPTION, and HELP where it is a part.

        One that only has parts has no ``run`` and nothing SHARED.
        """
        module = import_module(f".{name}", __package__)
        run, names = getattr(module, "run", None), getattr(module, "SHARED", ())
        return cls(help or module.HELP, run, names, module.add_arguments, module.DESCRIPTION)

    def add_to(self, commands: Any, name: str) -> None:
        """Add its parser to what ``add_subparsers`` gave."""
        parser = commands.add_parser(
            name, help=self.help, description=self.description or f"{self.help[0].upper()}{self.help[1:]}.", allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter, parents=[shared(*self.shared)],
        )  # fmt: skip
        self.add(parser)
        parser.set_defaults(run=parser.get_default("run") or self.run, own_options=list(parser._option_string_actions))


def add_parts(parser: argparse.ArgumentParser, parts: Mapping[str, Command], metavar: str) -> None:
    """The parts of a command: the word after it names one, and nothing happens without."""

    def which(_: argparse.Namespace) -> NoReturn:
        raise SrnnError(f"Which {metavar.lower()}? {parser.prog} {metavar}, with {metavar} one of {', '.join(parts)}.")

    below = parser.add_subparsers(dest="part", metavar=metavar, parser_class=type(parser))
    for name, part in parts.items():
        part.add_to(below, name)
    parser.set_defaults(run=which)
