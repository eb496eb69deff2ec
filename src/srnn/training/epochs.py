"""The end of an epoch: its network is validated, chosen or not, and written; or the epoch has
failed."""

from __future__ import annotations

import math
from typing import Any

from .evaluation import ACCURACIES, Evaluation, evaluate_sequences, rate_report
from .parts import Epoch, Training
from .regression import ERRORS


def validate(training: Training, epoch: Epoch) -> Evaluation | None:
    """Evaluate the network on the validation split.

    Args:
        training: what is trained.
        epoch: the epoch that ends; ``diverged`` is set if the loss is not finite.

    Returns:
        The evaluation; None if the epoch has failed, or fails here, and where all sequences are
        learnt.
    """
    if epoch.failed:
        return None
    training.callbacks.end_epoch()
    if training.state.held_out:
        return None
    training.reporter.phase("validating")
    averaged, split = training.averaged, training.ready.validation_set
    validation = training.processes.from_first(
        lambda: evaluate_sequences(averaged, split, "validation", finite=False)
    )
    if not math.isfinite(validation.loss):
        epoch.diverged = f"validation loss {validation.loss:.4g}"
        return None
    return validation


def end_epoch(training: Training, epoch: Epoch, validation: Evaluation | None) -> None:
    """Count the epoch, and write its results: its line of metrics, the best network, the last
    checkpoint.

    Args:
        training: what is trained.
        epoch: the epoch that ends.
        validation: what ``validate`` returned; None where all sequences are learnt.
    """
    state, run = training.state, training.run
    state.seconds = epoch.seconds
    loss, accuracy, rates = state.means()
    trained_on = {
        "loss": loss,
        **training.accuracy(accuracy),
        "firing_rate": rate_report(training.ready.network, rates),
    }
    best = _choose(training, epoch, validation)

    # The line is called "refit_epoch" where all sequences are learnt, and none validates.
    record: dict[str, Any] = {
        "refit_epoch" if validation is None else "epoch": state.epoch,
        "step": state.epoch * training.ready.steps_per_epoch,
        "train": trained_on,
    }
    if validation is not None:
        numbers = validation.report
        names = [name for name in (*ACCURACIES, *ERRORS, "firing_rate") if name in numbers]
        measured = {name: numbers[name] for name in names}
        record["validation"] = {"loss": validation.loss, **measured}
    record |= {
        "lr": epoch.lr,
        "gradient_norm": epoch.gradient_norm,
        "health": state.watch.report(training.ready.network),
    }
    if epoch.unhealthy:
        record["unhealthy"] = list(epoch.unhealthy.values())
    if state.epoch == 1 and state.start:
        record["start"] = state.start
    record |= {
        "seconds": round(state.seconds, 3),
        "samples_per_s": round(epoch.samples_per_s, 1),
        "best": best,
    }

    # The last checkpoint is written last: if killed before it, the run repeats the whole epoch,
    # with the same numbers.
    run.log(record)
    state.metrics_size = run.metrics_size()
    # What becomes the model: the best network so far, or the last one if a refit follows.
    becomes_model = best
    if training.config.refit:
        becomes_model = state.finished(training.ready.trained.recipe)
    if becomes_model:
        training.save_best()
    training.save_last()
    training.reporter.epoch(record)
    for what in epoch.unhealthy.values():
        training.reporter.event(f"epoch {state.epoch}: {what}")
    if training.log is not None and validation is not None:
        training.log.log(record)


def _score(training: Training, validation: Evaluation) -> list[float]:
    """What epochs are compared by, from left to right; greater is better."""
    metric = training.config.early_stopping.metric
    if metric == "loss" or training.ready.loss.rule.value:
        return [-validation.loss]
    return [validation.report[metric], -validation.loss]


def _choose(training: Training, epoch: Epoch, validation: Evaluation | None) -> bool:
    """Count the epoch; whether its network is the best so far."""
    state = training.state
    if validation is None:
        score = None
    else:
        score = _score(training, validation)
    # An epoch that has pruned is the best so far: earlier networks still have the weights that are
    # gone.
    pruned = training.callbacks.compression.prunes(state.epoch)
    best = score is not None and (state.best is None or score > state.best or pruned)
    state.epoch, state.step, state.sums, state.skipped = state.epoch + 1, 0, {}, 0
    if best:
        state.best, state.best_epoch = score, state.epoch
    if training.config.refit or best:
        state.unhealthy = list(epoch.unhealthy.values())
    return best
