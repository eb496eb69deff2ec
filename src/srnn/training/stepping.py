"""One step of training: a batch is drawn, run, scored, and learnt, window by window."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..data.batches import Batch
from ..nn.losses import Scored, rate_penalty
from .distributed import BatchShard
from .evaluation import layer_rates, rate_report
from .health import EVERY, SAMPLED_EVERY
from .optimisation import schedule_factor, set_learning_rate
from .parts import Epoch, Training
from .seeds import derive_seed
from .windows import Window


def step(training: Training, epoch: Epoch) -> None:
    """Learn the next batch. Failures are recorded in ``epoch`` (``diverged``, ``urgent``), and end
    it.

    Args:
        training: what is trained; changed in place.
        epoch: the current one; changed in place.
    """
    state, config = training.state, training.config
    done = training.batch_number / (config.epochs * training.ready.steps_per_epoch)
    factor = schedule_factor(config.schedule, state.epoch, done)
    epoch.lr = config.optimizer.lr * state.lr_factor * factor
    set_learning_rate(training.ready.optimizer, epoch.lr)
    indices = epoch.order[state.step * config.batch_size :][: config.batch_size]
    shard = training.processes.shard(len(indices))
    batch = training.ready.batches.take(indices, shard.part, state.epoch, state.step)
    batch = batch.left(training.ready.trained.task.targets)
    _learn(training, epoch, batch, shard)
    if epoch.diverged:
        return
    state.step += 1
    _report(training, epoch)
    # Look for unhealthy layers now and then, and before every checkpoint.
    inside = state.step < training.ready.steps_per_epoch
    saves = state.step % training.checkpoint_every == 0
    if not inside or saves or state.step % EVERY == 0:
        examine = partial(state.watch.examine, training.ready.network, epoch.waits)
        epoch.unhealthy, epoch.urgent = training.processes.from_first(examine)
        if not state.recovers:
            epoch.urgent = {}
    if inside and not epoch.urgent and saves:
        training.save_last()


def _learn(training: Training, epoch: Epoch, batch: Batch, shard: BatchShard) -> None:
    """All windows of a batch."""
    state, config, processes = training.state, training.config, training.processes
    network, loss = training.ready.network, training.ready.loss
    training.generator.manual_seed(derive_seed(training.seed, "batch", state.epoch, state.step))
    initial, dropout = processes.draw(network, shard, config.dropout, training.generator)
    past: Any = training.wrapped.begin(initial, dropout)
    processes.join_norms(network, shard)

    outputs, weight = None, 0.0
    for window in Window.cut(batch, config.window):
        output, ran = training.module(window.x, window.lengths, past, dropout, window.last)
        past = ran.past
        if outputs is None or loss.per_step:
            outputs = output
        else:
            outputs = torch.cat([outputs.detach(), output], 1)
        scored, objective = _score(training, window, outputs, ran.layers, shard)

        if config.update == "window" or window.begin == 0:
            training.optimizer.zero_grad()
        value = float(objective.detach())
        if config.update == "sequence":
            objective = objective * scored.weight
            if loss.sums:
                weight = scored.weight
            else:
                weight = weight + scored.weight
        processes.fabric.backward(objective)
        if config.update == "sequence":
            updates = window.last
        else:
            # A summed loss is weighted by its number of sequences, even if no step of them counts:
            # the loss is then 0.
            counts = bool(scored.loss != 0) if loss.sums else bool(scored.weight)
            updates = counts or config.window is None
        if not updates:
            continue
        if weight:
            training.gradients.divide(weight)
        _update(training, epoch, value)
        if epoch.diverged:
            return


def _score(
    training: Training, window: Window, outputs: Tensor, hidden: Any, shard: BatchShard
) -> tuple[Scored, Tensor]:
    """(the window's score, what is minimised), both of the whole batch, whichever part of it is
    this process's."""
    network, loss, processes, state = (
        training.ready.network,
        training.ready.loss,
        training.processes,
        training.state,
    )
    rate = training.ready.trained.recipe.loss.rate
    scored, rates = window.score(loss, outputs), layer_rates(network, hidden, window.lengths)
    scored, steps, rates = processes.join(loss, shard, scored, window.steps, rates)
    own_lengths = network.hidden_lengths(window.lengths)
    layers, lengths = processes.join_layers(rate, shard, hidden, own_lengths)
    state.add(scored, steps, rates)
    if state.step % SAMPLED_EVERY == 0:
        state.watch.see(network, hidden, own_lengths, state.step)
    return scored, scored.loss + rate_penalty(rate, layers, lengths)


def _update(training: Training, epoch: Epoch, value: float) -> None:
    """A step of the optimiser, unless the loss or its gradient is not finite."""
    state, config, callbacks = training.state, training.config, training.callbacks
    callbacks.running_mean.regularise()
    norms = training.gradients.norms()
    norm = training.gradients.clip(
        training.processes.fabric, training.module, training.optimizer, norms, state.watch.recent
    )
    epoch.gradient_norm = norm
    state.watch.add_norms(norms, norm, remember=config.clip_quantile is not None)
    if math.isfinite(value) and math.isfinite(norm):
        training.optimizer.step()
        callbacks.after_step(training.batch_number + 1)
    elif math.isfinite(value) and state.skipped < config.max_skipped:
        state.skipped += 1
        # A gradient through many steps may overflow for one batch of sequences and for no other.
        where = f"epoch {state.epoch + 1}, batch {state.step + 1}"
        training.run.log(
            {"event": "skipped", "where": where, "reason": f"gradient norm {norm:.4g}"}
        )
        text = f"{where}: the gradient overflowed (norm {norm:.4g}); no step was made"
        training.reporter.event(text)
    else:
        epoch.diverged = f"loss {value:.4g}, gradient norm {norm:.4g}"


def _report(training: Training, epoch: Epoch) -> None:
    """Show people the step that was just made."""
    state, size = training.state, training.config.batch_size
    state.seconds = epoch.seconds
    samples = min(state.step * size, len(training.ready.train_set)) - epoch.first_step * size
    epoch.samples_per_s = samples / max(state.seconds - epoch.seconds_before, 1e-9)
    loss, accuracy, rates = state.means()
    firing = rate_report(training.ready.network, rates)
    shown = {
        "epoch": state.epoch + 1,
        "loss": loss,
        **training.accuracy(accuracy),
        "firing_rate": firing["mean"] if firing else None,
        "samples_per_s": epoch.samples_per_s,
    }
    training.reporter.step(training.batch_number, shown)
