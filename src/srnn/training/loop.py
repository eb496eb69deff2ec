"""Training: one loop, from data to result, top to bottom in ``train``.

Two things make a run reproducible to the bit, even if it was killed and resumed. Whatever is random (the order of an
epoch, the initial states of a batch) is drawn from a seed made of (seed, epoch, step), so no generator has a history. And
whatever has a history (weights, moments, counters, sums so far) is written to one atomic checkpoint.

Several processes may train together (``distributed.py``). A process that trains alone is a ``Team`` of one: nothing changes.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .._version import __version__
from ..data.tasks import Task
from ..errors import SrnnError, check_whole
from ..files import locks, reading
from ..nn.baselines import Network
from ..nn.losses import rate_penalty
from ..progress import Reporter
from . import checkpoints
from .batches import differ, size_of_inputs
from .checkpoints import TrainingState
from .clipping import Gradients
from .compression.evaluation import int8_of
from .compression.quantisation import rounded_weights
from .distributed import Onlooker, Team, is_first, world_size
from .evaluation import ACCURACIES, Evaluation, evaluate_sequences, layer_rates, rate_report
from .examples import keep_examples
from .health import EVERY, SAMPLED_EVERY, WAITS, calm
from .histories import Average, Histories
from .loggers import Logger, LoggerName, service
from .optimisation import schedule_factor, set_learning_rate, subnormals_as_zero
from .preparing import Prepared, prepare
from .recipes import Recipe
from .rules import create_rule
from .rules.fptt import RunningMean
from .runs import Run
from .seeds import derive_seed, epoch_order
from .trained import Trained
from .windows import Trainee, Window


@locks("out", when=is_first)
@subnormals_as_zero()
def train(
    recipe: Recipe,
    out: Path,
    *,
    seed: int = 0,
    data_dir: Path | None = None,
    resume: bool = False,
    task: Task | None = None,
    reporter: Reporter | None = None,
    logger: LoggerName | None = None,
    examples: bool = True,
) -> dict[str, Any]:
    """Train a recipe and write a run.

    Args:
        out: the run's folder; new or empty, or with ``resume`` a run of the same recipe and seed, which continues to the same
            bits as if it had never stopped. Nobody else can train in it meanwhile.
        seed: determines the initial weights, the order of the data and the initial states.
        task: the task itself, if the recipe cannot name it.
        reporter: shows progress to a person.
        logger: where else each epoch's metrics go (``loggers.py``); None: nowhere.
        examples: also keep a few recordings of the validation split in the folder (``examples.py``).

    Returns:
        The content of result.json: ``evaluate``'s report of the best checkpoint on the validation split, and its loss; its epoch,
        and the number of all epochs; seconds; run.

    Raises SrnnError for bad data, recipes and folders, and when training diverges for good.
    """
    # 1. What is trained, on which data, to which end. Nothing is written until all of this is known to be right.
    config, seed = recipe.training, int(check_whole("seed", seed, 0, 2**63 - 1))
    if config.rule != "bptt" and world_size() > 1:
        raise SrnnError(f"training.rule '{config.rule}' trains in one process; only bptt shares a batch among several.")
    team = Team(config.device)
    fabric, reporter = team.fabric, (reporter if team.first else None) or Reporter()
    if team.first:
        Run.check(out, resume)
        if logger:
            service(logger)
    reporter.phase("reading the data")
    ready = prepare(recipe, seed=seed, data_dir=data_dir, task=task, device=fabric.device)
    trained, network, optimizer = ready.trained, ready.network, ready.optimizer
    train_set, validation_set, loss = ready.train_set, ready.validation_set, ready.loss
    steps_per_epoch = ready.steps_per_epoch
    total_steps = config.epochs * steps_per_epoch
    trainee = Trainee(network, create_rule(config.rule, config.feedback, seed))
    module, wrapped_optimizer = fabric.setup(trainee, optimizer)
    compression = ready.compression()
    histories = Histories(compression, Average(network, config.average), RunningMean(network, config.fptt))
    averaged = replace(trained, network=histories.average.network)
    reporter.header(ready.description)
    generator = torch.Generator(fabric.device)

    # 2. Where training starts: from the run's last checkpoint, or from the beginning.
    run = team.open_run(out, recipe, seed, resume)
    state = begun = TrainingState(
        mends=config.mend, data=train_set.digest(), inputs=size_of_inputs(train_set),
        validation_data=validation_set.digest(), validation_inputs=size_of_inputs(validation_set),
    )  # fmt: skip
    gradients = Gradients(network, config)
    if run.last.is_file():
        state = _load(run, network, optimizer, histories)
        others = state.data not in ("", begun.data) or state.validation_data not in ("", begun.validation_data)
        others |= differ(state.inputs, begun.inputs) or differ(state.validation_inputs, begun.validation_inputs)
        if others or state.step >= steps_per_epoch:
            raise SrnnError(
                f"The checkpoint {run.last} was made with other data: sequences, labels, speakers or inputs are not the same. "
                "Resume with the data with which training began (--data-dir), or choose another --out."
            )
        run.truncate_metrics(state.metrics_size)
    else:
        run.truncate_metrics(0)
        reporter.phase("measuring the first spikes")
        if starts := ready.measured_start():
            reporter.note(f"start     measured: {'; '.join(map(str, starts))}")
            state.start = [asdict(layer) for layer in starts]
        team.agree(network)
        histories.restart()
        _save(run, trained, optimizer, state, histories)
    log = Logger(logger, run, state.epoch) if logger and team.first else None
    reporter.start(config.epochs, steps_per_epoch, state.epoch * steps_per_epoch + state.step)

    # 3. The loop.
    try:
        while not state.finished(recipe):
            clock, seconds_before, first_step = time.perf_counter(), state.seconds, state.step
            order = epoch_order(seed, state.epoch, len(train_set))
            diverged, sick, urgent, lr, norm, samples_per_s = "", {}, {}, 0.0, 0.0, 0.0
            waits = config.start == "drawn" and state.epoch < max(1, WAITS * config.epochs)
            if state.step == 0:
                state.watch.begin_epoch()
                compression.begin_epoch(state.epoch)

            while state.step < steps_per_epoch:
                steps_done = state.epoch * steps_per_epoch + state.step
                factor = schedule_factor(config.schedule, state.epoch, steps_done / total_steps)
                lr = config.optimizer.lr * state.lr_factor * factor
                set_learning_rate(optimizer, lr)
                indices = order[state.step * config.batch_size :][: config.batch_size]
                share = team.share(len(indices))
                batch = ready.batches.take(indices, share.part, state.epoch, state.step)
                generator.manual_seed(derive_seed(seed, "batch", state.epoch, state.step))

                initial, dropout = team.draw(network, share, config.dropout, generator)
                past: Any = trainee.begin(initial, dropout)
                team.join_norms(network, share)
                outputs, weight = None, 0.0
                for window in Window.cut(batch, config.window):
                    output, ran = module(window.x, window.lengths, past, dropout, window.last)
                    past, hidden = ran.past, ran.layers
                    before = None if loss.per_step else outputs
                    outputs = output if before is None else torch.cat([before.detach(), output], 1)
                    scored, rates = window.score(loss, outputs), layer_rates(network, hidden, window.lengths)
                    scored, steps, rates = team.join(loss, share, scored, window.steps, rates)
                    own_lengths = network.hidden_lengths(window.lengths)
                    layers, lengths = team.join_layers(recipe.loss.rate, share, hidden, own_lengths)
                    objective = scored.loss + rate_penalty(recipe.loss.rate, layers, lengths)
                    value = float(objective.detach())
                    state.add(scored, steps, rates)
                    if state.step % SAMPLED_EVERY == 0:
                        state.watch.see(network, hidden, own_lengths, state.step)
                    if config.update == "window" or window.begin == 0:
                        wrapped_optimizer.zero_grad()
                    if config.update == "sequence":
                        objective = objective * scored.weight
                        weight = scored.weight if loss.sums else weight + scored.weight
                    fabric.backward(objective)
                    # A summed loss is weighted by its number of sequences, even if no step of them counts: the loss is then 0.
                    counts = bool(scored.loss != 0) if loss.sums else scored.weight
                    updates = window.last if config.update == "sequence" else counts or config.window is None
                    if not updates:
                        continue
                    if weight:
                        gradients.divide(weight)
                    histories.running_mean.regularise()
                    norms = gradients.norms()
                    norm = gradients.clip(fabric, module, wrapped_optimizer, norms, state.watch.recent)
                    state.watch.add_norms(norms, norm, remember=config.clip_quantile is not None)
                    if math.isfinite(value) and math.isfinite(norm):
                        wrapped_optimizer.step()
                        histories.after_step(steps_done + 1)
                    elif math.isfinite(value) and state.skipped < config.max_skipped:
                        state.skipped += 1
                        _tell_skipped(run, state, norm, reporter)
                    else:
                        diverged = f"loss {value:.4g}, gradient norm {norm:.4g}"
                        break
                if diverged:
                    break

                state.step += 1
                state.seconds = seconds_before + time.perf_counter() - clock
                samples = min(state.step * config.batch_size, len(train_set)) - first_step * config.batch_size
                samples_per_s = samples / max(state.seconds - seconds_before, 1e-9)
                train_loss, train_accuracy, rates = state.means()
                firing = rate_report(network, rates)
                reporter.step(steps_done + 1, {
                    "epoch": state.epoch + 1, "loss": train_loss, "accuracy": train_accuracy,
                    "firing_rate": firing["mean"] if firing else None, "samples_per_s": samples_per_s,
                })  # fmt: skip
                every = config.checkpoint_every or steps_per_epoch
                if state.step == steps_per_epoch or state.step % every == 0 or state.step % EVERY == 0:
                    sick, urgent = team.from_first(partial(state.watch.examine, network, waits))
                    urgent = urgent if state.mends else {}
                    if urgent:
                        break
                if state.step % every == 0 and state.step < steps_per_epoch:
                    _save(run, trained, optimizer, state, histories)

            validation = None
            if not diverged and not urgent:
                histories.end_epoch()
                reporter.phase("validating")
                validation = team.from_first(
                    lambda: evaluate_sequences(averaged, validation_set, "validation", finite=False)
                )
                if not math.isfinite(validation.loss):
                    diverged = f"validation loss {validation.loss:.4g}"
            if diverged or validation is None:
                state = _restore(run, ready, state, histories, diverged, urgent, reporter)
                team.agree(network)
                continue

            state.seconds = seconds_before + time.perf_counter() - clock
            train_loss, train_accuracy, rates = state.means()
            metric = config.early_stopping.metric  # scores are compared from left to right
            score = [-validation.loss] if metric == "loss" else [validation.report[metric], -validation.loss]
            # An epoch that has pruned is the best so far: earlier networks still have the weights that are gone.
            best = state.best is None or score > state.best or compression.prunes(state.epoch)
            state.epoch, state.step, state.sums, state.skipped = state.epoch + 1, 0, {}, 0
            if best:
                state.best, state.best_epoch, state.sick = score, state.epoch, list(sick.values())
            record = {
                "epoch": state.epoch,
                "step": state.epoch * steps_per_epoch,
                "train": {"loss": train_loss, "accuracy": train_accuracy, "firing_rate": rate_report(network, rates)},
                "validation": {"loss": validation.loss, **_numbers(validation)},
                "lr": lr,
                "gradient_norm": norm,
                "health": state.watch.report(network),
                **({"sick": list(sick.values())} if sick else {}),
                **({"start": state.start} if state.epoch == 1 and state.start else {}),
                "seconds": round(state.seconds, 3),
                "samples_per_s": round(samples_per_s, 1),
                "best": best,
            }
            # The last checkpoint is written last: if killed before it, the run repeats the whole epoch, with the same numbers.
            run.log(record)
            state.metrics_size = run.metrics_size()
            if best:
                _save(run, averaged, None, state, histories)
            _save(run, trained, optimizer, state, histories)
            reporter.epoch(record)
            for what in sick.values():
                reporter.event(f"epoch {state.epoch}: {what}")
            if log is not None:
                log.log(record)
    except RuntimeError as error:
        team.raise_if_broken(error, out)
        raise
    finally:
        reporter.stop()
        if log is not None:
            log.close()

    # 4. The result is the checkpoint that validation chose; what int8 needs from the training data completes its model.
    best_checkpoint = checkpoints.read_checkpoint(run.best) if team.first else None
    if best_checkpoint is not None:
        checkpoints.load_network(network, best_checkpoint)
    compression.finish(best_checkpoint)
    final = team.from_first(lambda: evaluate_sequences(trained, validation_set, "validation"))
    result = {
        **final.report, "loss": final.loss, "best_epoch": state.best_epoch, "epochs": state.epoch,
        "seconds": round(state.seconds, 3), "run": str(out),
    }  # fmt: skip
    if state.restores:
        result["restores"] = state.restores
    if state.sick:
        result["sick"] = state.sick
        reporter.event(f"the network of the best epoch, {state.best_epoch}, is sick: {'; '.join(state.sick)}")
    if best_checkpoint is not None:
        about = {"result": {**final.report, "epochs": state.epoch, "best_epoch": state.best_epoch}, "srnn": __version__}
        model = replace(trained, about=about, **int8_of(trained, train_set)).header()
        checkpoints.save_checkpoint(run.best, best_checkpoint.tensors, {**best_checkpoint.info, "model": model})
        if examples:
            keep_examples(run.path, trained.task, validation_set)
    run.write_json("result.json", result)
    return result


def _save(
    run: Run, trained: Trained, optimizer: torch.optim.Optimizer | None, state: TrainingState, histories: Histories
) -> None:  # fmt: skip
    """Write the last checkpoint or, without an optimiser, the best network as a model, from which nothing can resume."""
    if isinstance(run, Onlooker):
        return
    network = trained.network
    info = {**checkpoints.made_of(network), "state": asdict(state)}
    if optimizer is None:  # rounded as the network computes, if it is trained for int8
        rounded = {f"network.{name}": weight for name, weight in rounded_weights(network).items()}
        tensors = checkpoints.model_tensors(network) | rounded
        checkpoints.save_checkpoint(run.best, tensors, {**info, "model": trained.header()})
        return
    tensors = checkpoints.network_tensors(network) | checkpoints.optimizer_tensors(optimizer) | histories.tensors()
    checkpoints.save_checkpoint(run.last, tensors, info)


def _load(run: Run, network: Network, optimizer: torch.optim.Optimizer, histories: Histories) -> TrainingState:
    """Put the last checkpoint's tensors into network and optimiser; return the rest."""
    checkpoint = checkpoints.read_checkpoint(run.last)
    checkpoints.load_network(network, checkpoint)
    checkpoints.load_optimizer(optimizer, checkpoint)
    histories.load(checkpoint)
    state = TrainingState.of(checkpoint)
    with reading(run.last, "a checkpoint of this network's training"):
        state.watch.check(network)
        rate_report(network, state.means()[2] if state.sums else [])  # which has sums of each layer
    return state


def _tell_skipped(run: Run, state: TrainingState, norm: float, reporter: Reporter) -> None:
    """Report a skipped batch: a gradient through many steps may overflow for one batch of sequences and for no other."""
    where = f"epoch {state.epoch + 1}, batch {state.step + 1}"
    run.log({"event": "skipped", "where": where, "reason": f"gradient norm {norm:.4g}"})
    reporter.event(f"{where}: the gradient overflowed (norm {norm:.4g}); no step was made")


def _restore(
    run: Run, ready: Prepared, state: TrainingState, histories: Histories, diverged: str, sick: dict[str, str],
    reporter: Reporter,
) -> TrainingState:  # fmt: skip
    """Return to the last checkpoint, after a loss that is not finite, too many such gradients, or an epoch with sick layers.

    The learning rate is halved unless weights are scaled instead: those of a layer that was already sick in the checkpoint, and,
    the first time after a checkpoint, the recurrent weights through which gradients exploded (they shrink more each time). Merely
    skipping batches would not do: a network that overflows on every batch never recovers. SrnnError once ``max_restores`` are
    used up.
    """
    # What is not finite in validation comes after the last batch.
    batch = min(state.step + (not sick), ready.steps_per_epoch)
    where, reason = f"epoch {state.epoch + 1}, batch {batch}", diverged or "; ".join(sick.values())
    restores, lr_factor = state.restores + 1, state.lr_factor / 2
    training = ready.trained.recipe.training
    if restores > training.max_restores:
        advice = ["lower training.optimizer.lr", *["set training.clip_norm"] * (training.clip_norm is None)]
        if sick and not diverged:
            advice += ["start with training.start 'measured'"] * (training.start == "drawn")
            advice += ["set the neuron's detach_reset" if state.watch.exploded() else "choose another threshold"]
            raise SrnnError(
                f"Training stopped at {where}: {reason}, and going back {state.restores} times did not mend it; "
                f"{' or '.join(advice)}."
            )
        raise SrnnError(
            f"Training diverged at {where} ({reason}), and halving the learning rate {state.restores} times did not help; "
            f"{' or '.join(advice)}."
        )
    restored = _load(run, ready.network, ready.optimizer, histories)
    scaled = [layer for layer in ready.measured_start(sick) if layer.scaled] if not diverged else []
    times = restores - restored.restores  # how often training has come back to this checkpoint
    calmed = calm(ready.network, state.watch.exploded(), times)
    if scaled or calmed:
        histories.restart()
    if any(layer.was_sick for layer in scaled) or (calmed and times == 1):
        lr_factor = state.lr_factor
    restored.restores, restored.lr_factor = restores, lr_factor
    weights = f", weights scaled: {'; '.join(map(str, scaled))}" if scaled else ""
    weights += "".join(f", {factor:.3g} x the recurrent weights of {name}" for name, factor in calmed.items())
    run.log({"event": "restored", "where": where, "reason": reason, "lr_factor": lr_factor} | (
        {"scaled": [asdict(layer) for layer in scaled]} if scaled else {}
    ) | ({"calmed": calmed} if calmed else {}))  # fmt: skip
    what = f"not finite ({reason})" if diverged else reason
    reporter.event(f"{where}: {what}; back to the last checkpoint, {lr_factor:g} x the learning rate{weights}")
    return restored


def _numbers(validation: Evaluation) -> dict[str, Any]:
    return {name: validation.report[name] for name in (*ACCURACIES, "firing_rate") if name in validation.report}
