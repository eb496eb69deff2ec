"""Train a recipe; write a run folder with the resolved recipe, metrics, checkpoints and result.

Every setting of the recipe can be given here by its dotted name:
  srnn train digits --epochs 5 --network.hidden "[32, 32]" --network.neuron.beta 0
'srnn recipes show NAME' prints a recipe with all its settings. A training that was stopped, even by kill -9,
continues with the same command and --resume, to the same final weights.

Your own data need no recipe: give a folder that holds a folder of recordings for each class (docs/bring-your-own.md):
  srnn train gestures/ --task.options.speaker "{speaker}-{index}"

A baseline on the same task, splits and sizes, for comparison:
  srnn train digits --baseline lstm

Several processes, on one machine or more, with the same result as one (docs/distributed.md):
  torchrun --nproc-per-node 4 -m srnn train paper/shd --out runs/shd
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SrnnError
from .options import again, data_dir_again

if TYPE_CHECKING:
    from ..progress import Reporter
    from ..training.recipes import Recipe

SHARED = ("recipe", "--baseline", "--seed", "--epochs", "--device", "--data-dir", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/RECIPE-sSEED-DATE)")
    parser.add_argument("--resume", action="store_true", help="resume the run in --out; start it if there is none")
    parser.add_argument(
        "--no-examples", action="store_true",
        help="keep no recordings in the run folder (otherwise three short ones of the validation split, for srnn serve)",
    )  # fmt: skip
    parser.add_argument(
        "--logger", choices=("tensorboard", "wandb", "mlflow"), metavar="NAME",
        help="also send each epoch's metrics to tensorboard, wandb or mlflow",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    from ..progress import reporter_for
    from ..training.recipes import load_recipe

    if arguments.resume and arguments.out is None:
        raise SrnnError("--resume needs the run folder to resume: --out DIR.")
    recipe = load_recipe(arguments.recipe, arguments.overrides, arguments.baseline)
    reporter = reporter_for(arguments.json)
    try:
        if "WORLD_SIZE" not in os.environ:
            reporter.phase("loading")  # PyTorch, which takes seconds
        return _train(arguments, recipe, reporter)
    finally:
        reporter.stop()


def _train(arguments: argparse.Namespace, recipe: Recipe, reporter: Reporter) -> int:
    from ..training.distributed import is_first, world_size
    from ..training.runs import default_folder

    path = Path(arguments.recipe)
    name = (path.with_suffix("") if path.name else path).as_posix()
    if arguments.baseline:
        name += f"-{arguments.baseline}"
    out = arguments.out or default_folder(name, arguments.seed)
    words = ["train", arguments.recipe, "--out", str(out), "--seed", str(arguments.seed)]
    options = again(arguments, ("recipe", "out", "seed", "resume"))[1:]
    resumed = shlex.join(["srnn", *words, "--resume", *options])
    if world_size() > 1 and arguments.out is None:
        raise SrnnError("Processes that train together need one folder that all of them can access: --out DIR.")
    from ..measure.analysis import recipe_spikes
    from ..training.loop import train
    from .show import show_result, tell

    try:
        result = train(
            recipe,
            out,
            seed=arguments.seed,
            data_dir=arguments.data_dir,
            resume=arguments.resume,
            reporter=reporter,
            logger=arguments.logger,
            examples=not arguments.no_examples,
        )
    except KeyboardInterrupt:
        reporter.stop()
        if is_first():
            print(f"srnn: stopped; resume with: {resumed}", file=sys.stderr)
        return 130
    if not is_first():
        return 0
    as_baseline = f" as {arguments.baseline}" if arguments.baseline else ""
    title = f"{arguments.recipe}{as_baseline}, best checkpoint on validation"

    def show() -> None:
        show_result(result, title, recipe_spikes(recipe))
        print("next:")
        *commands, last = (shlex.join(["srnn", *words]) for words in _next(arguments, recipe, out))
        print(*(f"  {command}" for command in commands), f"  {last}  # once, when everything is chosen", sep="\n")

    return tell(arguments, result, show)


def _next(arguments: argparse.Namespace, recipe: Recipe, out: Path) -> list[list[str]]:
    """Commands that use the run, as words after "srnn"; the last reads the test split."""
    from ..registry import as_text  # not at the top: help must not wait for it
    from ..training.pretrained import pretrained_names

    data, run = data_dir_again(arguments), as_text(out, pretrained_names())
    commands = [
        ["evaluate", run, "--full", *data],
        ["report", run, *data],
        ["predict", run, "FILE"],
    ]
    if recipe.network.model == "srnn" and not recipe.network.bidirectional:
        with suppress(SrnnError):  # sound whose clips are scaled as a whole cannot be streamed
            recipe.create_task().live()
            commands.append(["stream", run, "FILE"])
        commands.append(["export", "c", run, "--out", f"{out}-c"])
    commands.append(["evaluate", run, "--split", "test", *data])
    return commands
