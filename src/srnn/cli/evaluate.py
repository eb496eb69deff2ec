"""srnn evaluate: measure a run's best checkpoint, or a published network, on a split."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SrnnError

if TYPE_CHECKING:
    from ..measure.analysis import Analysis, AnalysisOptions
    from ..train.trained import Trained

DESCRIPTION = """\
Measure a trained network: accuracy, firing rates, number of parameters.

  srnn evaluate runs/digits-s0-20260101-120000 --split test

With --full all that suits the task: accuracy over time, time to decision, an early-exit policy (always chosen on validation),
recall and precision of every class, delineation of ECG waves, every neuron's rate, synaptic operations, time constants before and
after training. A run keeps it as evaluation-SPLIT.json, and the policy as exit-policy.json.
  srnn evaluate runs/digits-s0-20260101-120000 --full --exit-loss 1
  srnn evaluate --published ecg --weights ecg.npz --data-dir DIR --split test

A published network's task takes options by their dotted names:
  srnn evaluate --published gsc --weights gsc.npz --task.options.source mini
"""
TASK_OPTION = "task.options."


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
    parser.add_argument(
        "--full", action="store_true", help="measure all that suits the task, and write it into the run"
    )
    parser.add_argument(
        "--no-exit", action="store_true", default=None,
        help="--full: no early-exit policy; it needs a validation split, which some tasks lack",
    )  # fmt: skip
    parser.add_argument(
        "--exit-loss", type=float, metavar="P",
        help="--full: percentage points of accuracy that deciding early may cost on validation (default: 0.5)",
    )  # fmt: skip
    parser.add_argument(
        "--exit-patience", type=int, metavar="N", help="--full: steps in a row to be sure for (default: chosen)"
    )
    parser.add_argument(
        "--exit-margin", type=float, metavar="M",
        help="--full: how far, 0 to 1, a class must lie above the next (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=float, metavar="MS", help="--full, ECG: how far off a border may be, ms (default: 150)"
    )
    parser.add_argument(
        "--saturated", type=float, metavar="R",
        help="--full: rate above which a neuron counts as saturated (default: 0.9)",
    )  # fmt: skip
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

    check_full_options(arguments)

    from ..measure.analysis import spikes
    from ..paper.compat import describe_silent_units
    from ..train.evaluation import evaluate
    from ..train.runs import Run
    from .show import show_result

    silent: Mapping[str, tuple[int, ...]] = {}
    if arguments.published is not None:
        if arguments.weights is None:
            raise SrnnError(f"--published {arguments.published} needs its weights: --weights FILE (.npz or .pth).")
        trained, silent = load_published_network(arguments.published, arguments.weights, options)
        title = f"published {arguments.published}"
    else:
        trained = Run.open(arguments.run_folder).trained()
        title = str(arguments.run_folder)
    if arguments.seed is not None:
        trained = replace(trained, seed=arguments.seed)
    if not 0 <= trained.seed < 2**63:
        raise SrnnError(f"--seed must be between 0 and 2^63, not {trained.seed}.")
    extra = {"silent_units": dict(silent)} if silent else {}
    if arguments.full:
        analysis = analyse_fully(arguments, trained)
        if arguments.json:
            print(json.dumps(analysis.to_dict() | extra))
        else:
            from .show_analysis import show_analysis

            show_result(analysis.evaluation.report, title, spiking=spikes(trained.network))
            show_analysis(analysis)
    else:
        found = evaluate(trained, arguments.split, data_dir=arguments.data_dir)
        if arguments.json:
            print(json.dumps(found.report | extra))
        else:
            show_result(found.report, title, found.confusion, trained.task.class_names, spikes(trained.network))
    if not arguments.json:
        for line in describe_silent_units(silent):
            print(line)
    return 0


def check_full_options(arguments: argparse.Namespace) -> None:
    """SrnnError for options of --full without it."""
    for name in ("no_exit", "exit_loss", "exit_patience", "exit_margin", "tolerance", "saturated"):
        if getattr(arguments, name) is not None and not arguments.full:
            raise SrnnError(f"--{name.replace('_', '-')} belongs to --full; add it.")
    for name in ("exit_loss", "exit_patience", "exit_margin"):
        if arguments.no_exit and getattr(arguments, name) is not None:
            raise SrnnError(f"--{name.replace('_', '-')} and --no-exit contradict each other; give one of them.")


def analyse_fully(arguments: argparse.Namespace, trained: Trained) -> Analysis:
    """All that suits the task; a run's folder gets evaluation-SPLIT.json and, where there is a policy, exit-policy.json."""
    from ..measure.analysis import analyse
    from ..train.runs import Run

    options = analysis_options(arguments, trained)
    run = None if arguments.published is not None else Run.open(arguments.run_folder)
    initial = None if run is None else run.recipe.build_network(trained.task, run.seed)
    analysis = analyse(trained, arguments.split, data_dir=arguments.data_dir, initial=initial, options=options)
    if run is not None:
        run.write_json(f"evaluation-{arguments.split}.json", analysis.to_dict())
        if analysis.exit is not None:
            run.write_json("exit-policy.json", analysis.exit.policy.to_dict())
    return analysis


def analysis_options(arguments: argparse.Namespace, trained: Trained) -> AnalysisOptions:
    """The options of --full. SrnnError for bad ones, and for those that mean nothing for the task or the network."""
    from ..measure.analysis import AnalysisOptions, can_exit, is_ecg

    default, task = AnalysisOptions(), trained.task
    for name in ("exit_loss", "exit_patience", "exit_margin"):
        if getattr(arguments, name) is not None and not can_exit(trained):
            reason = "decides at every step" if trained.loss.per_step else "is read from both ends"
            raise SrnnError(f"--{name.replace('_', '-')} has no effect: task '{task.name}' {reason} here; remove it.")
    if arguments.tolerance is not None and not is_ecg(task):
        raise SrnnError(f"--tolerance is for the waves of an ECG, and the task is '{task.name}'; remove it.")

    def number(name: str, fallback: float, highest: float, scale: float = 1.0) -> float:
        value = getattr(arguments, name)
        if value is not None and not 0 <= value <= highest:
            raise SrnnError(f"--{name.replace('_', '-')} must be between 0 and {highest:g}, not {value}.")
        return fallback if value is None else value * scale

    if arguments.exit_patience is not None and arguments.exit_patience < 1:
        raise SrnnError(f"--exit-patience must be at least 1, not {arguments.exit_patience}.")
    if arguments.tolerance == 0:
        raise SrnnError("--tolerance must be above 0 ms.")
    return AnalysisOptions(
        not arguments.no_exit,
        number("exit_loss", default.exit_loss, 100, 0.01),
        arguments.exit_patience,
        number("exit_margin", default.exit_margin, 1),
        number("tolerance", default.tolerance_ms, 10_000),
        number("saturated", default.saturated_above, 1),
    )


def task_options(words: list[str]) -> dict[str, object]:
    """{NAME: VALUE} from ``--task.options.NAME VALUE`` or ``--task.options.NAME=VALUE``, values as in YAML."""
    from ..train.recipes.reading import read_settings

    found: dict[str, object] = {}
    for key, value in read_settings(words):
        if not key.startswith(TASK_OPTION):
            raise SrnnError(f"'srnn evaluate' takes no recipe settings such as --{key}, only --{TASK_OPTION}NAME.")
        found[key.removeprefix(TASK_OPTION)] = value
    return found


def load_published_network(
    name: str, weights: Path, options: Mapping[str, object]
) -> tuple[Trained, Mapping[str, tuple[int, ...]]]:
    """A published network (with seed 0), and its units that are NaN in the weights.

    ``options``: of the task, where they shall differ from those that the network was published with.
    """
    from ..data.tasks import create_task
    from ..nn.loss_config import LossConfig
    from ..paper.compat import load_published
    from ..train.recipes import Recipe
    from ..train.recipes.reading import build
    from ..train.recipes.schema import TaskConfig
    from ..train.trained import Trained

    published = load_published(name, weights)
    config = TaskConfig(published.task, {**published.task_options, **options})
    recipe = Recipe(config, loss=build(LossConfig, published.loss, f"published {name}", "loss."))
    task = create_task(config.name, **config.options)
    return Trained(published.network, task, recipe), published.silent_units
