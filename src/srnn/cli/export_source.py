"""Which trained network a command exports: a run, or a published network with its weights."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SrnnError

if TYPE_CHECKING:
    from ..data.tasks import Task
    from ..nn.losses import Loss
    from ..nn.network import SRNN


@dataclass(frozen=True)
class Source:
    """A trained network and what it was trained for."""

    name: str
    """Of the run's folder, or "published-NAME"."""
    network: SRNN
    task: Task
    task_options: dict[str, object]
    loss: Loss
    title: str
    """What it is, for people: "the run digits-s0, task digits"."""


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, or --published NAME --weights W."""
    parser.add_argument("run_folder", metavar="RUN", nargs="?", type=Path, help="a run folder, written by 'srnn train'")
    parser.add_argument(
        "--published", metavar="NAME", help="instead of a run, the published network of that name (srnn published list)"
    )
    parser.add_argument("--weights", type=Path, metavar="W", help="its weights: .npz, or the authors' .pth")


def load_source(arguments: argparse.Namespace) -> Source:
    """The network that the arguments name, in evaluation mode. SrnnError when there is none, or it is no spiking network."""
    if (arguments.run_folder is None) == (arguments.published is None):
        raise SrnnError(
            "Name a run folder, or a published network with --published NAME --weights FILE (one of the two)."
        )
    if arguments.published is None and arguments.weights is not None:
        raise SrnnError("--weights belongs to --published NAME; a run brings its own.")

    from .evaluate import load_published_network

    if arguments.published is not None:
        from ..paper.compat.published import definition

        options = dict(definition(arguments.published).task_options)
        if arguments.weights is None:
            raise SrnnError(f"--published {arguments.published} needs its weights: --weights FILE (.npz or .pth).")
        trained, _ = load_published_network(arguments.published, arguments.weights, {})
        name, title = f"published-{arguments.published}", f"the published network {arguments.published}"
    else:
        from ..train.runs import Run

        run = Run.open(arguments.run_folder)
        trained = run.trained()
        options = dict(run.recipe.task.options)
        name = arguments.run_folder.resolve().name
        title = f"the run {name}, task {trained.task.name}"
    return Source(name, trained.spiking("exported").eval(), trained.task, options, trained.loss, title)
