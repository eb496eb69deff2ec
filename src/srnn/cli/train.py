"""``srnn train``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import SrnnError
from ..text import counted, json_text
from .options import Baseline, Called, DataDir, Json, RecipeName, Seed, Settings, data_dir_again
from .show import print_result, show_table

if TYPE_CHECKING:
    from ..data.tasks import Task
    from ..progress import Reporter
    from ..training.recipes import Recipe

Logger = Literal["tensorboard", "wandb", "mlflow"]


Epochs = Annotated[str | None, Parameter(metavar="N", help="short for --training.epochs")]
Device = Annotated[
    str | None, Parameter(metavar="D", help="short for --training.device: auto, cpu or cuda")
]


def train(
    recipe: RecipeName,
    /,
    *,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    baseline: Baseline = None,
    seed: Seed = 0,
    epochs: Epochs = None,
    device: Device = None,
    no_examples: bool = False,
    logger: Logger | None = None,
    data_dir: DataDir = None,
    json: Json = False,
    settings: Settings = (),
    called: Called,
) -> int:
    """Train a recipe; write a run folder with the resolved recipe, metrics, checkpoints and result.

    Every setting of the recipe can be given here by its dotted name:
      srnn train digits --epochs 5 --network.hidden "[32, 32]" --network.neuron.beta 0
    'srnn recipes show NAME' prints a recipe with all its settings. A training that was stopped,
    even by kill -9, continues with the same command and --resume, to the same final weights.
    With --dry-run nothing is trained, compiled or written: it shows what would be trained, refuses
    whatever training would refuse, and lists all that is wrong with your own files.

    Your own data need no recipe (docs/bring-your-own.md): a folder of recordings for each class.
      srnn train gestures/ --task.options.speaker "{speaker}-{index}"

    A baseline on the same task, splits and sizes, for comparison:
      srnn train digits --baseline lstm

    Several processes, with the same result as one (docs/distributed.md):
      torchrun --nproc-per-node 4 -m srnn train paper/shd --out DIR

    Args:
        out: run folder (default: runs/RECIPE-sSEED-1, or the next number)
        resume: resume the run in --out; start it if there is none
        overwrite: replace the run in --out
        dry_run: only show what would be trained, or why it cannot be
        no_examples: keep no recordings in the run folder (otherwise three, for srnn serve)
        logger: also send each epoch's metrics there
    """
    from ..progress import reporter_for
    from ..training.recipes import load_recipe

    if resume and out is None:
        raise SrnnError("--resume needs the run folder to resume: --out DIR.", "missing", "out")
    settings = with_short_forms(settings, epochs, device)
    if dry_run:
        return _dry_run(recipe, settings, baseline, seed, data_dir, json)
    loaded = load_recipe(recipe, settings, baseline)
    reporter = reporter_for(json)
    try:
        if "WORLD_SIZE" not in os.environ:
            reporter.phase("loading")  # PyTorch, which takes seconds
        folder = out
        if folder is None:
            from ..training.distributed import world_size
            from ..training.runs import default_folder

            if world_size() > 1:  # each would make its own
                raise SrnnError(
                    "Processes that train together need one folder "
                    "that all of them can access: --out DIR.",
                    "missing",
                    "out",
                )
            path = Path(recipe)
            if path.name:
                path = path.with_suffix("")
            as_baseline = f"-{baseline}" if baseline else ""
            folder = default_folder(f"{path.as_posix()}{as_baseline}", seed)
        resumed = called.again(
            {"--resume": 0, "--overwrite": 0, "--out": 1}, "--out", str(folder), "--resume"
        )
        return _train(
            loaded,
            folder,
            reporter,
            title=f"{recipe}{f' as {baseline}' if baseline else ''}, best checkpoint on validation",
            resumed=shlex.join(resumed),
            seed=seed,
            data_dir=data_dir,
            resume=resume,
            overwrite=overwrite,
            logger=logger,
            examples=not no_examples,
            json=json,
        )
    finally:
        reporter.stop()


def with_short_forms(settings: Sequence[str], epochs: str | None, device: str | None) -> list[str]:
    """The settings, and those of --epochs and --device; what is set in full takes precedence.

    Args:
        settings: words that set the recipe's keys.
        epochs: value of --epochs, as text; None: not given.
        device: value of --device; None: not given.

    Returns:
        All settings.
    """
    short = {"training.epochs": epochs, "training.device": device}
    given = [f"--{key}={value}" for key, value in short.items() if value is not None]
    return [*given, *settings]


def _dry_run(
    name: str,
    settings: Sequence[str],
    baseline: str | None,
    seed: int,
    data_dir: Path | None,
    json: bool,
) -> int:
    from ..training.recipes import load_recipe
    from ..training.recipes.reading import noted_recipe, own_task
    from ..training.recipes.suited import suited_recipe

    # Problems come before PyTorch, which takes seconds; and of data of one's own before what is
    # read for them is used for their recipe.
    own = own_task(name, settings)
    if own is None:
        recipe = load_recipe(name, settings, baseline)
        task = recipe.create_task()
        problems = _problems(task, json)
    else:
        problems = _problems(own, json)
        recipe = noted_recipe(suited_recipe(own), name, settings, baseline)
        task = recipe.create_task()

    from ..progress import header
    from ..terminal import open_console
    from ..training.distributed import ProcessGroup
    from ..training.preparing import prepare

    device = ProcessGroup(recipe.training.device).fabric.device
    ready = prepare(recipe, seed=seed, data_dir=data_dir, task=task, device=device)
    description = {**ready.description(), "problems": problems}
    # If nothing has to be compiled for it, the layers run once, to show how the network would
    # start.
    description["start"] = []
    if not description["compile_seconds"]:
        description["start"] = [str(one) for one in ready.measured_start()]
    ready.compression()  # SrnnError where int8 cannot represent the network
    width = open_console().width if sys.stdout.isatty() else None
    return print_result(json, description, lambda: print("\n".join(header(description, width))))


def _problems(task: Task, json: bool) -> list[dict[str, Any]]:
    """What is wrong with files of the data; SrnnError if training would refuse some."""
    from ..data.datasets.survey import called, grouped

    problems = task.problems()
    plain = [problem._asdict() for problem in problems]
    if problems and not json:
        rows = [(called(alike), alike[0].problem, alike[0].mend) for alike in grouped(problems)]
        show_table(
            "files", ("file", "problem", "how to fix it, or what is done"), rows, left=(0, 1, 2)
        )
    refused = {problem.file for problem in problems if problem.refused}
    if refused and not task.chosen()["skip"]:
        if json:
            print(json_text({"problems": plain}))
        raise SrnnError(
            f"{counted(len(refused), 'file')} cannot be used: fix what is listed "
            "above, or leave such files out with --task.options.skip true.",
            "data",
            "data",
        )
    return plain


def _train(
    recipe: Recipe,
    out: Path,
    reporter: Reporter,
    *,
    title: str,
    resumed: str,
    seed: int,
    data_dir: Path | None,
    resume: bool,
    overwrite: bool,
    logger: Logger | None,
    examples: bool,
    json: bool,
) -> int:
    """resumed: the command that continues it when it is interrupted."""
    from ..measure.analysis import recipe_spikes
    from ..training.distributed import is_first
    from ..training.loop import train
    from .show import show_result

    try:
        result = train(
            recipe,
            out,
            seed=seed,
            data_dir=data_dir,
            resume=resume,
            overwrite=overwrite,
            reporter=reporter,
            logger=logger,
            examples=examples,
        )
    except KeyboardInterrupt:
        reporter.stop()
        if is_first():
            print(f"srnn: stopped; resume with: {resumed}", file=sys.stderr)
        return 130
    if not is_first():
        return 0

    def show() -> None:
        show_result(result, title, recipe_spikes(recipe))
        print("next:")
        *commands, last = (shlex.join(["srnn", *words]) for words in _next(recipe, out, data_dir))
        print(*(f"  {command}" for command in commands), sep="\n")
        print(f"  {last}  # once, when everything is chosen")

    return print_result(json, result, show)


def _next(recipe: Recipe, out: Path, data_dir: Path | None) -> list[list[str]]:
    """Commands that use the run, as words after "srnn"; the last reads the test split."""
    from ..model.pretrained import pretrained_names
    from ..registry import as_text  # not at the top: help must not wait for it

    data, run = data_dir_again(data_dir), as_text(out, pretrained_names())
    commands = [["predict", run, "FILE"]]
    if not recipe.loss.rule.value:
        commands = [["evaluate", run, "--full", *data], ["report", run, *data], *commands]
    if recipe.network.model == "srnn" and not recipe.network.bidirectional:
        with suppress(SrnnError):  # sound whose clips are scaled as a whole cannot be streamed
            recipe.create_task().live()
            commands.append(["stream", run, "FILE"])
        commands.append(["export", "c", run, "--out", f"{out}-c"])
    commands.append(["evaluate", run, "--split", "test", *data])
    return commands
