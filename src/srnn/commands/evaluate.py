"""srnn evaluate: measure a run's best checkpoint, or a published network, on a split."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SrnnError

if TYPE_CHECKING:
    from ..baselines import Network
    from ..losses import Loss
    from ..network import SRNN
    from ..tasks import Task

HELP = "measure a run, or a published network, on a split of its task"
DESCRIPTION = """\
Measure a trained network: accuracy, firing rates, number of parameters.

  srnn evaluate runs/digits-s0-20260101-120000 --split test
  srnn evaluate --published ecg --weights ecg.npz --data-dir DIR --split test

A published network's task takes options by their dotted names:
  srnn evaluate --published gsc --weights gsc.npz --task.options.source mini
"""
TASK_OPTION = "--task.options."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", nargs="?", type=Path, help="a run folder, written by 'srnn train'")
    parser.add_argument(
        "--published", metavar="NAME", help="instead of a run, the published network of that name (srnn published list)"
    )
    parser.add_argument("--weights", type=Path, metavar="W", help="its weights: .npz, or the authors' .pth")
    parser.add_argument("--data-dir", type=Path, metavar="D", help="folder with the data sets (default: SRNN_DATA)")
    parser.add_argument(
        "--split", choices=("train", "validation", "test"), default="validation",
        help="which split (default: validation; look at test once, at the end)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", help="of random initial states (default: the run's own, or 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(overrides=[])


def run(arguments: argparse.Namespace) -> int:
    if (arguments.run_folder is None) == (arguments.published is None):
        raise SrnnError(
            "Name a run folder, or a published network with --published NAME --weights FILE (one of the two)."
        )
    if arguments.published is None and arguments.weights is not None:
        raise SrnnError("--weights belongs to --published NAME; a run brings its own.")
    options = task_options(arguments.overrides)
    if options and arguments.published is None:
        raise SrnnError(f"{arguments.overrides[0]} belongs to --published NAME; a run keeps its own task.")

    from ..compat import describe_silent_units
    from ..evaluation import evaluate
    from .show import show_result

    silent: Mapping[str, tuple[int, ...]] = {}
    if arguments.published is not None:
        if arguments.weights is None:
            raise SrnnError(f"--published {arguments.published} needs its weights: --weights FILE (.npz or .pth).")
        network, task, loss, seed, silent = load_published_network(arguments.published, arguments.weights, options)
        title = f"published {arguments.published}"
    else:
        network, task, loss, seed = load_run_network(arguments.run_folder)
        title = str(arguments.run_folder)
    if arguments.seed is not None:
        seed = arguments.seed
    if not 0 <= seed < 2**63:
        raise SrnnError(f"--seed must be between 0 and 2^63, not {seed}.")
    found = evaluate(network, task, loss, arguments.split, seed=seed, data_dir=arguments.data_dir)
    if arguments.json:
        print(json.dumps(found.report | ({"silent_units": dict(silent)} if silent else {})))
    else:
        show_result(found.report, title, found.confusion, task.class_names)
        for line in describe_silent_units(silent):
            print(line)
    return 0


def load_run_network(folder: Path) -> tuple[Network, Task, Loss, int]:
    """(network, task, loss, seed) of a run's best checkpoint."""
    from ..checkpoints import load_network, read_checkpoint
    from ..losses import Loss
    from ..runs import Run

    found = Run.open(folder)
    if not found.best.is_file():
        raise SrnnError(
            f"{folder} has no checkpoint yet; train it to the end of its first epoch (srnn train --resume)."
        )
    task = found.recipe.create_task()
    network = found.recipe.build_network(task, found.seed)
    load_network(network, read_checkpoint(found.best))
    return network, task, Loss.for_task(found.recipe.loss, task), found.seed


def task_options(words: list[str]) -> dict[str, object]:
    """{NAME: VALUE} from ``--task.options.NAME VALUE`` or ``--task.options.NAME=VALUE``, values as in YAML."""
    import yaml

    found: dict[str, object] = {}
    rest = list(words)
    while rest:
        key, given, value = rest.pop(0).partition("=")
        if not key.startswith(TASK_OPTION):
            raise SrnnError(f"'srnn evaluate' takes no recipe settings such as {key}, only {TASK_OPTION}NAME.")
        if not given:
            if not rest:
                raise SrnnError(f"{key} needs a value.")
            value = rest.pop(0)
        try:
            found[key.removeprefix(TASK_OPTION)] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SrnnError(f"{key}: {value!r} is not a value (YAML).") from error
    return found


def load_published_network(
    name: str, weights: Path, options: Mapping[str, object]
) -> tuple[SRNN, Task, Loss, int, Mapping[str, tuple[int, ...]]]:
    """(network, task, loss, seed 0, units that are NaN in the weights) of a published network.

    ``options``: of the task, where they shall differ from those that the network was published with.
    """
    from ..compat import load_published
    from ..losses import Loss
    from ..recipes.reading import build
    from ..recipes.schema import LossConfig
    from ..tasks import create_task

    published = load_published(name, weights)
    task = create_task(published.task, **{**published.task_options, **options})
    config = build(LossConfig, published.loss, f"published {name}", "loss.")
    return published.network, task, Loss.for_task(config, task), 0, published.silent_units
