"""The command line: words -> a command's plain function. No logic of its own; the commands are in ``commands/``.

A user's mistake is one line on standard error that begins with "srnn: ", and exit code 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from .commands import (
    compare,
    data,
    encode,
    energy,
    evaluate,
    export,
    import_nir,
    info,
    prune,
    published,
    quantise,
    recipes,
    report,
    reproduce,
    serve,
    stream,
    summarise,
    sweep,
    train,
)
from .errors import SrnnError, nearest
from .terminal import printable_output
from .text import one_line

COMMANDS: dict[str, ModuleType] = {
    "train": train,
    "evaluate": evaluate,
    "energy": energy,
    "report": report,
    "compare": compare,
    "reproduce": reproduce,
    "summarise": summarise,
    "sweep": sweep,
    "export": export,
    "import": import_nir,
    "prune": prune,
    "quantise": quantise,
    "stream": stream,
    "serve": serve,
    "recipes": recipes,
    "published": published,
    "data": data,
    "encode": encode,
    "info": info,
}


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is an SrnnError."""

    def error(self, message: str) -> NoReturn:
        raise SrnnError(f"{message} (see: {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(
        prog="srnn",
        description="Adaptive spiking recurrent neural networks for signals in time: train, measure.",
        epilog="Start with: srnn train digits",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name, help=module.HELP, description=module.DESCRIPTION, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        module.add_arguments(command)
        command.set_defaults(run=module.run, own_options=list(command._option_string_actions))
    return parser


def split_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the recipe's dotted settings (``--training.epochs 5``, ``--note=x``) out of the words: (others, settings)."""
    others: list[str] = []
    settings: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        key, given, _ = word[2:].partition("=")
        if word.startswith("--") and ("." in key or key == "note"):
            settings.append(word)
            if not given and rest:
                settings.append(rest.pop(0))
        else:
            others.append(word)
    return others, settings


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Arguments of the command line. SrnnError for a mistake, with the nearest right option."""
    parser = build_parser()
    others, settings = split_overrides(words)
    arguments, unknown = parser.parse_known_args(others)
    if unknown:
        candidates = list(getattr(arguments, "own_options", ["--help", "--version"]))
        if hasattr(arguments, "overrides"):
            from .recipes import recipe_keys

            candidates += [f"--{key}" for key in recipe_keys()]
            inner = {key.rpartition(".")[2]: key for key in recipe_keys()}
            name = unknown[0].removeprefix("--").partition("=")[0]
            if name in inner:
                raise SrnnError(f"Unknown option --{name}. Did you mean '--{inner[name]}'?")
        raise SrnnError(f"Unknown argument '{unknown[0]}'.{nearest(unknown[0].partition('=')[0], candidates)}")
    if settings:
        if not hasattr(arguments, "overrides"):
            raise SrnnError(f"'srnn {arguments.command}' takes no recipe settings such as {settings[0]}.")
        arguments.overrides = settings
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for a check that failed, 2 for a user's mistake, 130 when interrupted."""
    # Before torch is loaded: its idle OpenMP threads sleep instead of spinning. Where another process wants the cores too,
    # spinning made a training of small batches 9 times slower (measured: digits, batch 16, 2 cores).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with printable_output():
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        except SrnnError as error:
            print(f"srnn: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("srnn: stopped", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader of our output has gone, as with | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except OSError as error:  # of the machine: a name too long for it, a disk that is full or gone
            print(f"srnn: {one_line(str(error))}", file=sys.stderr)
            return 2


def _run(words: Sequence[str]) -> int:
    arguments = parse(words)
    if arguments.version:
        from . import __version__

        print(f"srnn {__version__}")
        return 0
    if arguments.command is None:
        build_parser().print_help()
        return 0
    code = arguments.run(arguments)
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
