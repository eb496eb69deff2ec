"""Training, from data to result: ``train`` is the whole of it, in phases over one state
(``parts.py``).

Two things make a run reproducible to the bit, even if it was killed and resumed. Whatever is random
(the order of an epoch, the initial states of a batch) is drawn from a seed made of (seed, epoch,
step), so no generator has a history. And whatever has a history (weights, moments, counters, sums
so far) is written to one atomic checkpoint.

Several processes may train together (``distributed.py``). A process that trains alone is a ``ProcessGroup``
of one: nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .._version import __version__
from ..data.tasks import Task
from ..errors import SrnnError, option
from ..files import locks
from ..files.bounds import Between
from ..files.conversion import check
from ..model import checkpoints
from ..progress import Reporter, ScriptReporter
from ..text import in_short
from .batches import differ
from .compression.evaluation import int8_of
from .distributed import ProcessGroup, is_first, world_size
from .epochs import end_epoch, validate
from .evaluation import evaluate_sequences
from .examples import keep_examples
from .loggers import Logger, LoggerName, service
from .optimisation import subnormals_as_zero
from .parts import Epoch, Training
from .preparing import prepare
from .recipes import Recipe
from .recovery import recover
from .runs import Run
from .state import TrainingState
from .stepping import step


@locks("out", when=is_first)
@subnormals_as_zero()
def train(
    recipe: Recipe,
    out: Path,
    *,
    seed: int = 0,
    data_dir: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    task: Task | None = None,
    reporter: Reporter | None = None,
    logger: LoggerName | None = None,
    examples: bool = True,
) -> dict[str, Any]:
    """Train a recipe and write a run.

    Args:
        out: the run's folder; new or empty, or with ``resume`` a run of the same recipe and seed,
            which continues to the same bits as if it had never stopped, or with ``overwrite`` a
            run, which is replaced once all is known to be right. Nobody else can train in it
            meanwhile.
        seed: determines the initial weights, the order of the data and the initial states.
        task: the task itself, if the recipe cannot name it.
        reporter: shows progress to a person; None: a line for what takes more than two seconds.
        logger: where else each epoch's metrics go (``loggers.py``); None: nowhere.
        examples: also keep a few recordings of the validation split in the folder
            (``examples.py``).

    Returns:
        The content of result.json: ``evaluate``'s report of the best checkpoint on the validation
        split, and its loss; its epoch, and the number of all epochs; seconds; run. With
        ``training.refit`` that of the last epoch before all sequences were learnt, and how many
        these are.

    Raises SrnnError for bad data, recipes and folders, and when training diverges for good.
    """
    seed = check("seed", seed, int, Between(0, 2**63 - 1))
    reporter = reporter or ScriptReporter()
    try:
        training = _prepare(recipe, out, seed, data_dir, resume, overwrite, task, reporter, logger)
        _begin(training)
        with _watched(training, logger):
            _train_epochs(training)
            if recipe.training.refit and not training.state.held_out:
                training = _refit(training, data_dir, task)
                _train_epochs(training)
        return _finish(training, examples)
    finally:
        reporter.stop()


def _train_epochs(training: Training) -> None:
    """All epochs that are left."""
    while not training.state.finished(training.ready.trained.recipe):
        epoch = Epoch.begin(training)
        while not epoch.failed and training.state.step < training.ready.steps_per_epoch:
            step(training, epoch)
        validation = validate(training, epoch)
        if epoch.failed:
            recover(training, epoch)
        else:
            end_epoch(training, epoch, validation)


def _prepare(
    recipe: Recipe,
    out: Path,
    seed: int,
    data_dir: Path | None,
    resume: bool,
    overwrite: bool,
    task: Task | None,
    reporter: Reporter,
    logger: LoggerName | None,
) -> Training:
    """What is trained, on which data, to which end. Nothing is written until all of this is known
    to be right."""
    config = recipe.training
    if config.rule != "bptt" and world_size() > 1:
        raise SrnnError(
            f"training.rule '{config.rule}' trains in one process; only bptt shares a batch.",
            "conflict",
            "training.rule",
        )
    processes = ProcessGroup(config.device)
    if not processes.first:
        reporter = Reporter()
    if processes.first:
        Run.check(out, resume, overwrite)
        if logger:
            service(logger)
    reporter.phase("reading the data")
    again, last = False, out / "checkpoints" / "last.safetensors"
    if resume and last.is_file():  # it may be of a training on all sequences
        again = bool(TrainingState.of(checkpoints.read_checkpoint(last)).held_out)
    ready = prepare(
        recipe, seed=seed, data_dir=data_dir, task=task, device=processes.fabric.device, refit=again
    )
    training = Training.of(ready, seed, processes, reporter)
    reporter.header(ready.description)
    training.run = processes.open_run(out, recipe, seed, resume, overwrite)
    return training


def _begin(training: Training) -> None:
    """Start from the run's last checkpoint, or from the beginning."""
    run = training.run
    if run.last.is_file():
        begun, state = training.state, training.load_last()
        others = (
            state.data not in ("", begun.data)
            or state.validation_data not in ("", begun.validation_data)
            or differ(state.inputs, begun.inputs)
            or differ(state.validation_inputs, begun.validation_inputs)
            or state.step >= training.ready.steps_per_epoch
        )
        if others:
            raise SrnnError(
                f"The checkpoint {run.last} was made with other data: sequences, labels, speakers "
                "or inputs are not the same. Resume with the data with which training began "
                f"({option('data_dir')}), or choose another {option('out')}.",
                "conflict",
                "data_dir",
            )
        training.state = state
        run.truncate_metrics(state.metrics_size)
    else:
        run.truncate_metrics(0)
        _measure_start(training)
        training.save_last()
    _announce(training)


def _measure_start(training: Training) -> None:
    """Scale the weights of layers that would start silent or saturated; all processes, and the
    histories, begin from there."""
    training.reporter.phase("measuring the first spikes")
    if starts := training.ready.measured_start():
        training.reporter.note(f"start     measured: {'; '.join(map(str, starts))}")
        training.state.start = [asdict(layer) for layer in starts]
    training.processes.agree(training.ready.network)
    training.callbacks.restart()


def _announce(training: Training) -> None:
    epochs = training.state.held_out.get("epochs", training.config.epochs)
    training.reporter.start(epochs, training.ready.steps_per_epoch, training.batch_number)


def _refit(training: Training, data_dir: Path | None, task: Task | None) -> Training:
    """The same training from its beginning, on the sequences of training and validation
    together."""
    done, processes, reporter = training.state, training.processes, training.reporter
    _load_model(training)
    held_out = _held_out_result(training)
    ready = prepare(
        training.ready.trained.recipe,
        seed=training.seed,
        data_dir=data_dir,
        task=task,
        device=processes.fabric.device,
        refit=True,
    )
    again = Training.of(ready, training.seed, processes, reporter)
    again.run, again.log = training.run, training.log
    again.state.held_out = held_out
    again.state.seconds, again.state.metrics_size = done.seconds, done.metrics_size
    again.state.restores, again.state.lr_factor = done.restores, done.lr_factor
    reporter.event(
        f"validation {' '.join(in_short(held_out))}; now the same training on all "
        f"{len(ready.train_set):,} sequences (training.refit)"
    )
    _measure_start(again)
    again.save_last()
    _announce(again)
    return again


@contextmanager
def _watched(training: Training, logger: LoggerName | None) -> Iterator[None]:
    """While epochs are trained: a logger that gets their metrics; one line for a connection that
    broke."""
    if logger and training.processes.first:
        training.log = Logger(logger, training.run, training.state.epoch)
    try:
        yield
    except RuntimeError as error:
        training.processes.raise_if_broken(error, training.run.path)
        raise
    finally:
        if training.log is not None:
            training.log.close()


def _load_model(training: Training) -> checkpoints.Checkpoint | None:
    """Load the network that becomes the model; the first process gets its file's content."""
    best = None
    if training.processes.first:
        best = checkpoints.read_checkpoint(training.run.best)
    if best is not None:
        checkpoints.load_network(training.ready.network, best)
    training.callbacks.compression.finish(best)
    return best


def _held_out_result(training: Training) -> dict[str, Any]:
    """The results on validation of the network that becomes the model."""
    ready, state, processes = training.ready, training.state, training.processes
    final = processes.from_first(
        lambda: evaluate_sequences(ready.trained, ready.validation_set, "validation")
    )
    return {
        **final.report,
        "loss": final.loss,
        "epochs": state.epoch,
        "best_epoch": state.epoch if training.config.refit else state.best_epoch,
    }


def _finish(training: Training, examples: bool) -> dict[str, Any]:
    """The result is that of the network that validation chose, or of the last one before a refit;
    what int8 needs from the training data completes the model."""
    run, ready, state = training.run, training.ready, training.state
    best = _load_model(training)
    report = state.held_out or _held_out_result(training)
    if state.held_out:
        report["refit"] = len(ready.train_set)
    result = {**report, "seconds": round(state.seconds, 3), "run": str(run.path)}
    if state.restores:
        result["restores"] = state.restores
    if state.unhealthy:
        result["unhealthy"] = state.unhealthy
        training.reporter.event(
            f"the network of the best epoch, {report['best_epoch']}, is unhealthy: "
            f"{'; '.join(state.unhealthy)}"
        )
    if best is not None:
        kept = {name: value for name, value in report.items() if name != "loss"}
        about = {"result": kept, "srnn": __version__}
        training.reporter.phase("measuring what integers need to hold, for int8")
        model = replace(ready.trained, about=about, **int8_of(ready.trained, ready.train_set))
        model.write(run.best, best.tensors, best.info)
        if examples:
            keep_examples(run.path, ready.trained.task, ready.validation_set)
    run.write_json("result.json", result)
    return result
