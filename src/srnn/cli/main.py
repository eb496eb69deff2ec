"""The command line: words -> a command's plain function. No logic of its own; each command is a module next to this one.

A user's mistake is one line on standard error that begins with "srnn: ", and exit code 2.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from ..errors import SrnnError, lacks_memory, nearest
from ..terminal import printable_output
from ..text import one_line
from .options import Command, Parser

COMMANDS = {
    "train": "train a recipe and write a run folder",
    "check": "show what a recipe would train, without training: data, shapes, classes, device; report any mistake",
    "evaluate": "measure a run on a split of its task",
    "predict": "predict the class of recordings: one line for each file, or the class over time",
    "energy": "estimate the energy of networks, by the paper's rules and by stricter ones",
    "report": "write a page about a run, one HTML file: curves, samples step by step, confusion, energy",
    "compare": "write a page that shows several runs of one task side by side, one HTML file",
    "summarise": "summarise several seeds of one recipe as one result: mean, spread, curves",
    "sweep": "run many trainings from one file: grids, ablations, searches",
    "export": "write a trained network as C, ONNX or NIR",
    "import": "make a run from a network of another library",
    "prune": "prune a trained network, and measure the cost",
    "quantise": "measure a trained network in int8, or fine-tune it for int8",
    "adapt": "let a trained network keep learning from labelled recordings, one at a time",
    "stream": "run a live signal through a trained network",
    "serve": "serve trained networks: streams, batches, and a live page",
    "models": "list the pretrained networks, or show the card of one",
    "recipes": "list the shipped recipes, or show one with all its settings",
    "data": "list, fetch, verify and prepare data sets",
    "encode": "turn sound files into spike trains",
    "info": "show versions, backends, threads and devices of this machine",
}
"""What each command does, in a line. Only the command that is given is imported, so that the others cost nothing."""

AGAIN = ("-m", "srnn")
"""Arguments with which Python starts the command line in another process."""

LISTING = ("data", "recipes")
"""Commands that list what there is if no action is given."""


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of the command that the words name; if they name none, of all commands, without their arguments."""
    parser = Parser(
        prog="srnn",
        description="Adaptive spiking recurrent neural networks for signals in time: train, measure, stream, deploy.",
        epilog="Start with: srnn train digits",
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    named = next((word for word in words if not word.startswith("-")), None)
    if named in COMMANDS:
        Command.of_module("importing" if named == "import" else named, COMMANDS[named]).add_to(commands, named)
    else:
        for name, purpose in COMMANDS.items():
            commands.add_parser(name, help=purpose)
    return parser


def split_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the recipe's dotted settings (``--training.epochs 5``, ``--note=x``) from the other words: (others, settings).

    Nothing that follows ``--`` is an option, and so nothing there is a setting.
    """
    others: list[str] = []
    settings: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*others, word, *rest], settings
        key, given, _ = word[2:].partition("=")
        if word.startswith("--") and ("." in key or key == "note"):
            settings.append(word)
            if not given and rest:
                settings.append(rest.pop(0))
        else:
            others.append(word)
    return others, settings


Build = Callable[[Sequence[str]], argparse.ArgumentParser]
"""Makes the parser for these words."""


def parse(words: Sequence[str], build: Build = build_parser) -> argparse.Namespace:
    """Arguments of the command line. SrnnError for a mistake, with the nearest valid option."""
    try:
        return _parse(words, build)
    except SrnnError as error:
        file = next((word for word in words if word.startswith("-") and word != "-" and os.path.lexists(word)), None)
        if file is None:
            raise
        raise SrnnError(f"{error} If you mean the file {file}, write ./{file}.") from error


def _parse(words: Sequence[str], build: Build) -> argparse.Namespace:
    for word in words:
        if "\0" in word:  # no file can have such a name, and open() would raise an error of its own
            raise SrnnError(f"The argument {word!r} contains a zero byte.")
        if word.startswith("--") and word.endswith("=--"):  # argparse would make an empty list of it, whatever the type
            raise SrnnError(f"'--' is not a value: {word!r}.")
    others, settings = split_overrides(words)
    command, *more = others or [""]
    if command in LISTING and (not more or more[0].startswith("-")) and not {"-h", "--help"} & {*more}:
        others.insert(1, "list")
    parser = build(others)
    arguments, unknown = parser.parse_known_args(others)
    if unknown:
        candidates = list(getattr(arguments, "parser", parser)._option_string_actions)
        if hasattr(arguments, "overrides"):
            from ..training.recipes import recipe_keys

            candidates += [f"--{key}" for key in recipe_keys()]
            inner = {key.rpartition(".")[2]: key for key in recipe_keys()}
            name = unknown[0].removeprefix("--").partition("=")[0]
            if name in inner:
                raise SrnnError(f"Unknown option --{name}. Did you mean '--{inner[name]}'?")
        raise SrnnError(f"Unknown argument '{unknown[0]}'.{nearest(unknown[0].partition('=')[0], candidates)}")
    if settings:
        if not hasattr(arguments, "overrides"):
            raise SrnnError(f"'{parser.prog} {arguments.command}' takes no recipe settings such as {settings[0]}.")
        arguments.overrides = [*arguments.overrides, *settings]  # a setting that is given in full takes precedence
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, see ``ending``."""
    if argv is None:
        return ending(lambda: _run(sys.argv[1:], _program()))
    return ending(lambda: _run(argv))


def ending(run: Callable[[], int], name: str = "srnn") -> int:
    """Run what a program does; returns its exit code: 0, 1 for a check that failed, 2 for a user's mistake, 130 when interrupted.

    name: the program's, with which its messages begin.
    """
    # Before torch is loaded: its idle OpenMP threads sleep instead of spinning. Where another process wants the cores too,
    # spinning made a training of small batches 9 times slower (measured: digits, batch 16, 2 cores).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with printable_output():
        try:
            return _flushed(run)
        except SrnnError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"{name}: stopped", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader of our output has closed it, as with | head
            _discard_output()
            return 0
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            print(f"{name}: there is not enough memory for this", file=sys.stderr)
            return 2
        except OSError as error:  # from the machine: the name is too long, the disk is full or gone
            print(f"{name}: {one_line(str(error))}", file=sys.stderr)
            _discard_output()
            return 2


def _flushed(run: Callable[[], int]) -> int:
    try:
        return run()
    finally:  # also after --help, which raises SystemExit once it has printed
        sys.stdout.flush()


def _program() -> Sequence[str]:
    """Arguments with which Python starts the program that called ``main`` again, followed by other words.

    The program may have defined neurons or tasks of its own, which processes that train beside it need as well.
    """
    main = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:  # python -m
        return "-m", spec.name.removesuffix(".__main__")
    return (file,) if file is not None and os.path.isfile(file) else AGAIN


def _run(words: Sequence[str], program: Sequence[str] = AGAIN) -> int:
    arguments = parse(words)
    arguments.program = program
    if arguments.version:
        from .._version import __version__

        print(f"srnn {__version__}")
        return 0
    if arguments.command is None:
        build_parser().print_help()
        return 0
    return carry_out(arguments)


def carry_out(arguments: argparse.Namespace) -> int:
    """Run the command that the arguments name, with the data in the folder that they name; returns its exit code."""
    if getattr(arguments, "data_dir", None) is None:
        return arguments.run(arguments)
    from ..data.datasets.base import data_folder  # imported here because it needs numpy

    with data_folder(arguments.data_dir):
        return arguments.run(arguments)


def _discard_output() -> None:
    """Prevent another attempt, at exit, to write what could not be written."""
    with contextlib.suppress(OSError, AttributeError):  # not while tests have another stream there
        if sys.stdout.fileno() == 1:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
