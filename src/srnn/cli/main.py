"""The command line: the table of all commands, and how a program ends.

A user's mistake is one line on standard error that begins with "srnn: ", and exit code 2.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from ..errors import SrnnError, command_line, lacks_memory
from ..terminal import printable_output
from ..text import one_line
from .program import AGAIN, Program, list_commands

COMMANDS = {
    "train": ("train:train", "train a recipe and write a run folder, or say what would be trained"),
    "evaluate": ("evaluate:evaluate", "measure a run on a split of its task"),
    "predict": ("predict:predict", "predict the class of recordings, of each file or over time"),
    "stream": ("stream:stream", "run a live signal through a trained network"),
    "serve": ("serve:serve", "serve trained networks: streams, batches, and a live page"),
    "adapt": ("adapt:adapt", "let a trained network keep learning from labelled recordings"),
    "compress": (
        "compress:compress",
        "measure a network in int8, fine-tune it for int8, or prune it",
    ),
    "energy": ("energy:energy", "estimate the energy of networks, by several rules"),
    "report": ("report:report", "write a page about a run or several, or the seeds of one recipe"),
    "sweep": ("sweep:sweep", "run many trainings from one file: grids, ablations, searches"),
    "export": ("", "write a trained network as C, ONNX or NIR"),
    "export c": ("export_c:export_c", "C99 for a device: float32, or int8 in integers only"),
    "export web": ("export_web:export_web", "a page that needs no server, with the network in it"),
    "export onnx": ("export_onnx:export_onnx", "an ONNX model of one step, or of whole sequences"),
    "export nir": (
        "export_nir:export_nir",
        "a NIR file, for other libraries and chips, and what it loses",
    ),
    "import": ("", "make a run from a network of another library"),
    "import nir": ("import_nir:import_nir", "show what is in a NIR file, and make a run from it"),
    "models": ("models:models", "list the pretrained networks, or show the card of one"),
    "recipes": (
        "recipes:list_recipes",
        "list the shipped recipes, or show one with all its settings",
    ),
    "recipes list": ("recipes:list_recipes", "list the shipped recipes"),
    "recipes show": ("recipes:show_recipe", "print a recipe as YAML, every setting written out"),
    "recipes schema": ("recipes:show_schema", "print the JSON schema of recipes, for editors"),
    "data": (
        "data:list_data_sets",
        "list, fetch, verify and prepare data sets; turn sound into spikes",
    ),
    "data list": ("data:list_data_sets", "list the data sets, and which are installed"),
    "data info": ("data:info", "show licence, citation, files and source of a data set"),
    "data fetch": ("data:fetch", "download a data set from its official address"),
    "data verify": ("data:verify", "verify a data set's files by their checksums"),
    "data prepare": ("data:prepare", "unpack a data set and build its caches"),
    "data encode": ("encode:encode", "turn sound files into spike trains"),
    "info": ("info:info", "show versions, backends, threads and devices of this machine"),
}

SRNN = Program(
    "srnn",
    "srnn.cli",
    "Adaptive spiking recurrent neural networks for signals in time: "
    "train, measure, stream, deploy. Start with: srnn train digits",
    COMMANDS,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, see ``ending``."""
    if argv is None:
        return ending(lambda: _run(sys.argv[1:], _program()))
    return ending(lambda: _run(argv))


def ending(run: Callable[[], int], name: str = "srnn") -> int:
    """Run a program. Its messages begin with its name.

    Args:
        run: does what the program does; returns an exit code.
        name: the program's.

    Returns:
        The exit code: 0, 1 for a check that failed, 2 for a user's mistake, 130 when interrupted.
    """
    # Before torch is loaded: its idle OpenMP threads sleep instead of spinning. Where another
    # process wants the cores too, spinning made a training of small batches 9 times slower
    # (measured: digits, batch 16, 2 cores).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with printable_output(), command_line():
        try:
            try:
                return run()
            finally:
                sys.stdout.flush()
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


def _program() -> Sequence[str]:
    """Arguments with which Python starts the program that called ``main`` again, followed by other
    words.

    The program may have defined neurons or tasks of its own, which processes that train beside it
    need as well.
    """
    main = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:  # python -m
        return "-m", spec.name.removesuffix(".__main__")
    if file is not None and os.path.isfile(file):
        return (file,)
    return AGAIN


def _run(words: Sequence[str], program: Sequence[str] = AGAIN) -> int:
    if words and words[0] == "--version":
        from .._version import __version__

        print(f"srnn {__version__}")
        return 0
    return run_program(SRNN, words, program)


def run_program(program: Program, words: Sequence[str], python: Sequence[str] = AGAIN) -> int:
    """Run a command. Without words, or with ``--help`` alone, the commands are listed, which
    imports nothing else.

    Args:
        program: the program.
        words: the command line, without the program's name.
        python: arguments with which Python starts the program again.

    Returns:
        The exit code.
    """
    if not words or words[0] in ("--help", "-h"):
        list_commands(program)
        return 0
    from .parsing import parse

    return parse(words, program, python).run()


def _discard_output() -> None:
    """Prevent another attempt, at exit, to write what could not be written."""
    with contextlib.suppress(OSError, AttributeError):  # not while tests have another stream there
        if sys.stdout.fileno() == 1:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
