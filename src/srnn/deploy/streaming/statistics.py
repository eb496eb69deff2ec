"""What a run on sound scales its features by: kept with it by training, else taken from its training data."""

from __future__ import annotations

from pathlib import Path

from ...data.encoders import Statistics
from ...data.tasks import Task
from ...errors import SrnnError
from ...train.runs import Run


def run_statistics(run: Run, task: Task, data_dir: Path | None = None) -> Statistics:
    """The run's own (RUN/statistics.json). A run without any, such as an imported one, gets them from the task's training data,
    which are needed this once.

    SrnnError when there are neither, or the file is damaged or of another task.
    """
    kept = run.statistics()
    if kept is None:
        try:
            kept = task.statistics(data_dir)
        except SrnnError as error:
            raise SrnnError(
                f"{run.path} has no statistics.json, and to make it the training data are needed once: {error}"
            ) from error
        run.keep_statistics(kept)
    if kept.mean.shape != (task.inputs,):
        raise SrnnError(
            f"{run.path / 'statistics.json'} is of {len(kept.mean)} features, and the run reads {task.inputs}; "
            "remove it, and it is made anew from the data."
        )
    return kept
