"""Where else each epoch's numbers go: TensorBoard, Weights & Biases, MLflow. A run's own record is
its metrics.jsonl.

A resumed training continues the same record: the last two identify it by an id, which the run keeps
in ``logger.json``. Their packages may raise any exception: it prevents a training that has not
begun, but never ends one that has.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, get_args

from ..errors import SrnnError, nearest, need
from ..files import read_object
from ..text import one_line
from .runs import Run

LoggerName = Literal["tensorboard", "wandb", "mlflow"]
_FILE = "logger.json"


def service(name: LoggerName) -> Any:
    """The package of a service. SrnnError for a service that is not known, or whose package is not
    installed."""
    if name not in get_args(LoggerName):
        near = nearest(str(name), get_args(LoggerName))
        raise SrnnError(f"There is no logger {name!r}.{near}", "name", "logger")
    return need(
        "torch.utils.tensorboard" if name == "tensorboard" else name, f"The logger '{name}'", name
    )


class Logger:
    """Gives each epoch's record to a service: call ``log`` for each epoch, ``close`` at the end.

    If the service fails, a RuntimeWarning says which epoch it lacks.
    """

    def __init__(self, name: LoggerName, run: Run, epoch: int) -> None:
        """``epoch``: the last one that the run has; the record continues after it. SrnnError if
        that fails."""
        self._name = name
        try:
            opened = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}[name](
                service(name), run, epoch
            )
        except SrnnError:
            raise
        except Exception as error:
            failed = f"The logger '{name}' cannot be started: {error}"
            raise SrnnError(failed, "package", name) from error
        self._write, self._close = opened

    def log(self, record: dict[str, Any]) -> None:
        """Log an epoch's record, as in metrics.jsonl; values of None (the firing rate of what does
        not spike) are left out."""
        scalars = {
            f"{name}/{part}": value["mean"] if name == "firing_rate" else value
            for part in ("train", "validation")
            for name, value in record[part].items()
            if value is not None
        }
        self._try(
            f"epoch {record['epoch']}",
            lambda: self._write({**scalars, "lr": record["lr"]}, record["epoch"]),
        )

    def close(self) -> None:
        """End the record."""
        self._try("the end", self._close)

    def _try(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:
            text = (
                f"The logger '{self._name}' did not get {what}, which is in metrics.jsonl: {error}"
            )
            warnings.warn(one_line(text), RuntimeWarning, stacklevel=2)


Opened = tuple[Callable[[dict[str, float], int], None], Callable[[], None]]
"""A function that writes an epoch's numbers, and one that ends the record."""


def _tensorboard(module: Any, run: Run, epoch: int) -> Opened:
    writer = module.SummaryWriter(str(run.path / "tensorboard"), purge_step=epoch + 1)

    def write(scalars: dict[str, float], epoch: int) -> None:
        for name, value in scalars.items():
            writer.add_scalar(name, value, epoch)

    return write, writer.close


def _wandb(module: Any, run: Run, epoch: int) -> Opened:
    known = _known(run)
    made = module.init(
        project="srnn",
        name=run.path.name,
        dir=str(run.path),
        config=run.recipe.to_dict(),
        id=known.get("wandb"),
        resume="allow",
    )
    run.write_json(_FILE, {**known, "wandb": made.id})
    return (lambda scalars, epoch: made.log(scalars, step=epoch)), made.finish


def _mlflow(module: Any, run: Run, epoch: int) -> Opened:
    known = _known(run)
    made = module.start_run(run_id=known.get("mlflow"), run_name=run.path.name)
    run.write_json(_FILE, {**known, "mlflow": made.info.run_id})
    if "mlflow" not in known:
        module.log_dict(run.recipe.to_dict(), "recipe.json")
    return (lambda scalars, epoch: module.log_metrics(scalars, step=epoch)), module.end_run


def _known(run: Run) -> dict[str, Any]:
    """The ids by which services know the run, by service name."""
    path = run.path / _FILE
    if not path.is_file():
        return {}
    return read_object(path)
