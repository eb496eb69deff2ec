"""One worker of a sweep: take a unit, train it, report its results, until nothing is left.

A unit's run is the folder ``OUT/runs/POINT/sSEED`` and is always trained with ``resume``: a worker that takes over a dead
worker's unit resumes from its last checkpoint, to the same bits. Without a shared folder the training starts from scratch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data.tasks import Task
from ..errors import SrnnError, lacks_memory
from ..files import FolderInUse
from ..progress import Reporter
from ..training.runs import Run
from .queue import Claim, Lost, Queue
from .results import METRICS

POLL = 2.0
"""Seconds between two looks while another worker has what this one waits for."""


class _Pruned(Exception):
    """The unit does worse than the others did at the same epoch. Carries its best value so far."""


def work(
    queue: Queue,
    out: Path,
    *,
    data_dir: Path | None = None,
    task: Task | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """Work on units until the whole sweep is done, here or elsewhere. Returns how many units this worker has finished.

    Args:
        out: the sweep's folder; shared by the workers if they are to resume each other's runs.
        task: the task itself, if a recipe cannot name it.
        say: called with one line for each thing that happens.

    A unit whose training ends with an SrnnError, or lacks memory, counts as failed, and the worker continues with the next. A
    worker that is interrupted gives its unit back.
    """
    done = 0
    while True:
        claim = queue.claim()
        if claim is None:
            if queue.finished():
                return done
            time.sleep(POLL)
            continue
        say(f"{claim.unit.name}: begun")
        with claim:
            done += _do(claim, out, data_dir, task, say)


def _do(claim: Claim, out: Path, data_dir: Path | None, task: Task | None, say: Callable[[str], None]) -> bool:
    """Train a unit's seeds. False when the unit was lost to another worker."""
    from ..training.loop import train

    name, metric = claim.unit.name, claim.queue.sweep.optimise
    results: dict[str, dict[str, Any]] = {}
    try:
        recipe = claim.queue.sweep.recipe_for(claim.settings())
        for index, seed in enumerate(claim.unit.seeds):
            folder = out / "runs" / claim.unit.point / f"s{seed}"
            seconds = sum(float(result["seconds"]) for result in results.values())
            follower = _Follower(claim, folder, index * recipe.training.epochs, seconds)
            while True:
                try:
                    result = train(
                        recipe, folder, seed=seed, data_dir=data_dir, resume=True, task=task, reporter=follower,
                        examples=False,
                    )  # fmt: skip
                    break
                except FolderInUse as error:  # a worker that was taken for dead is still running; it will find that out
                    say(f"{name}: {error}")
                    claim.check()
                    time.sleep(POLL)
            rate = result["firing_rate"]
            results[str(seed)] = {
                **{name: result[name] for name in METRICS if name in result},
                "firing_rate": rate["mean"] if rate else None,
                "run": folder.relative_to(out).as_posix(),
            }
        value = sum(result[metric] for result in results.values()) / len(results)
        kept = claim.end("done", value, results=results)
        say(f"{name}: {metric} {value:.4f}" if kept else f"{name}: another worker has it")
        return kept
    except _Pruned as pruned:
        (best,) = pruned.args
        say(f"{name}: pruned, {metric} {best:.4f}")
        return claim.end("pruned", best, results=results)
    except Lost:
        say(f"{name}: another worker has it now, because this one was silent for too long")
        return False
    except Exception as error:
        if not isinstance(error, SrnnError) and not lacks_memory(error):
            raise
        reason = str(error) if isinstance(error, SrnnError) else "there is not enough memory for it"
        say(f"{name}: failed: {reason}")
        return claim.end("failed", error=reason, results=results)
    except KeyboardInterrupt:
        claim.release()
        raise


class _Follower(Reporter):
    """Reports a training's epochs to the storage, and ends the training when it is pruned or no longer ours."""

    def __init__(self, claim: Claim, folder: Path, first_epoch: int, first_seconds: float) -> None:
        self.claim, self.folder = claim, folder
        self.first_epoch, self.first_seconds = first_epoch, first_seconds
        self.best: float | None = None
        self._reported = 0

    def start(self, epochs: int, steps_per_epoch: int, done_steps: int) -> None:
        """Report the epochs of an earlier worker again, so that a pruner can compare them."""
        for record in Run.open(self.folder).epochs():  # training has just cut them to its last checkpoint
            self._report(record)

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        self.claim.check()

    def epoch(self, record: dict[str, Any]) -> None:
        if self._report(record):
            raise _Pruned(self.best)

    def _report(self, record: dict[str, Any]) -> bool:
        """Report the best value so far; True when the unit should be pruned."""
        sweep, epoch = self.claim.queue.sweep, int(record["epoch"])
        if epoch <= self._reported:
            return False
        value = float(record["validation"][sweep.optimise])
        if self.best is None or (value > self.best) == sweep.maximise:
            self.best = value
        self._reported = epoch
        return self.claim.report(self.best, self.first_epoch + epoch, self.first_seconds + float(record["seconds"]))
