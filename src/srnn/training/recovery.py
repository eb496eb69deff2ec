"""After a loss that is not finite, too many such gradients, or an epoch with unhealthy layers: back to
the last checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..errors import SrnnError
from .health import calm
from .initialisation import LayerInitialisation
from .parts import Epoch, Training


def recover(training: Training, epoch: Epoch) -> None:
    """Return to the last checkpoint with half the learning rate, or with other weights.

    The learning rate is halved unless weights are scaled instead: those of a layer that was already
    unhealthy in the checkpoint, and, the first time after a checkpoint, the recurrent weights through
    which gradients exploded (they shrink more each time). Merely skipping batches would not do: a
    network that overflows on every batch never recovers.

    Args:
        training: the training; its state becomes the checkpoint's.
        epoch: the epoch that has failed.

    Raises:
        SrnnError: ``value``, about the learning rate, once ``training.max_restores`` are used up.
    """
    ready, failed = training.ready, training.state
    unhealthy, restores = epoch.urgent, failed.restores + 1
    # What is not finite in validation comes after the last batch.
    batch = min(failed.step + (not unhealthy), ready.steps_per_epoch)
    where = f"epoch {failed.epoch + 1}, batch {batch}"
    reason = epoch.diverged or "; ".join(unhealthy.values())
    config = training.config
    if restores > config.max_restores:
        advice = ["lower training.optimizer.lr"]
        if config.clip_norm is None:
            advice.append("set training.clip_norm")
        if epoch.diverged:
            problem = f"Training diverged at {where} ({reason}), and halving the learning rate"
        else:
            problem = f"Training stopped at {where}: {reason}, and going back"
            if config.start == "drawn":
                advice.append("start with training.start 'measured'")
            exploded = failed.watch.exploded()
            advice.append(
                "set the neuron's detach_reset" if exploded else "choose another threshold"
            )
        raise SrnnError(
            f"{problem} {failed.restores} times did not help; {' or '.join(advice)}.",
            "value",
            "training.optimizer.lr",
        )

    restored = training.load_last()
    scaled: list[LayerInitialisation] = []
    if not epoch.diverged:
        scaled = [layer for layer in ready.measured_start(unhealthy) if layer.scaled]
    times = restores - restored.restores  # how often training has come back to this checkpoint
    calmed = calm(ready.network, failed.watch.exploded(), times)
    if scaled or calmed:
        training.callbacks.restart()
    weights_instead = any(layer.was_unhealthy for layer in scaled) or (calmed and times == 1)
    restored.restores = restores
    if weights_instead:
        restored.lr_factor = failed.lr_factor
    else:
        restored.lr_factor = failed.lr_factor / 2
    training.state = restored
    training.processes.agree(ready.network)

    event: dict[str, Any] = {
        "event": "restored",
        "where": where,
        "reason": reason,
        "lr_factor": restored.lr_factor,
    }
    if scaled:
        event["scaled"] = [asdict(layer) for layer in scaled]
    if calmed:
        event["calmed"] = calmed
    training.run.log(event)
    changes = ""
    if scaled:
        changes += f", weights scaled: {'; '.join(map(str, scaled))}"
    for name, factor in calmed.items():
        changes += f", {factor:.3g} x the recurrent weights of {name}"
    what = f"not finite ({reason})" if epoch.diverged else reason
    training.reporter.event(
        f"{where}: {what}; back to the last checkpoint, {restored.lr_factor:g} x the learning rate"
        f"{changes}"
    )
