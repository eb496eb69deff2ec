"""Where else each epoch's numbers go: TensorBoard, Weights & Biases, MLflow. A run's own record is its metrics.jsonl.

A resumed training continues the same record: the two services name theirs by an id, which the run keeps in ``logger.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, get_args

from ..errors import SrnnError, nearest, need
from ..files import read_object, write_atomically
from .runs import Run

LoggerName = Literal["tensorboard", "wandb", "mlflow"]


def service(name: LoggerName) -> Any:
    """The package of a service. SrnnError for a service that is not known, or whose package is not installed."""
    if name not in get_args(LoggerName):
        raise SrnnError(f"There is no logger {name!r}.{nearest(str(name), get_args(LoggerName))}")
    return need("torch.utils.tensorboard" if name == "tensorboard" else name, f"The logger '{name}'", name)


class Logger:
    """Gives the record of an epoch to a service: ``log`` for each epoch, ``close`` at the end."""

    def __init__(self, name: LoggerName, run: Run, epoch: int) -> None:
        """``epoch``: the last one that the run has; the record continues behind it."""
        opened = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}[name](service(name), run, epoch)
        self._write, self.close = opened

    def log(self, record: dict[str, Any]) -> None:
        """The record of an epoch, as metrics.jsonl has it; what is None (the firing rate of what does not spike) is left out."""
        scalars = {
            f"{name}/{part}": value["mean"] if name == "firing_rate" else value
            for part in ("train", "validation")
            for name, value in record[part].items()
            if value is not None
        }
        self._write({**scalars, "lr": record["lr"]}, record["epoch"])


Opened = tuple[Callable[[dict[str, float], int], None], Callable[[], None]]
"""What writes an epoch's numbers, and what ends."""


def _tensorboard(module: Any, run: Run, epoch: int) -> Opened:
    writer = module.SummaryWriter(str(run.path / "tensorboard"), purge_step=epoch + 1)

    def write(scalars: dict[str, float], epoch: int) -> None:
        for name, value in scalars.items():
            writer.add_scalar(name, value, epoch)

    return write, writer.close


def _wandb(module: Any, run: Run, epoch: int) -> Opened:
    known = _id(run, "wandb")
    made = module.init(
        project="srnn", name=run.path.name, dir=str(run.path), config=run.recipe.to_dict(), id=known, resume="allow"
    )
    _keep(run, "wandb", made.id)
    return (lambda scalars, epoch: made.log(scalars, step=epoch)), made.finish


def _mlflow(module: Any, run: Run, epoch: int) -> Opened:
    known = _id(run, "mlflow")
    made = module.start_run(run_id=known, run_name=run.path.name)
    _keep(run, "mlflow", made.info.run_id)
    if known is None:
        module.log_dict(run.recipe.to_dict(), "recipe.json")
    return (lambda scalars, epoch: module.log_metrics(scalars, step=epoch)), module.end_run


def _id(run: Run, name: str) -> str | None:
    """The id under which a service knows the run; None: it does not know it yet."""
    path = run.path / "logger.json"
    return read_object(path).get(name) if path.is_file() else None


def _keep(run: Run, name: str, identity: str) -> None:
    path = run.path / "logger.json"
    others = read_object(path) if path.is_file() else {}
    write_atomically(path, (json.dumps({**others, name: identity}) + "\n").encode())
