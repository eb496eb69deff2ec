"""From a run to smaller ones: prune, fine-tune, measure; a curve of accuracy against size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..data.batches import Sequences
from ..data.datasets import SplitName
from ..data.recordings import NO_OVERRIDES, ReadingOverrides
from ..errors import SrnnError, option
from ..files import check_folder, check_new, check_writable, locks, write_json
from ..files.bounds import BelowOne, Count, Positive
from ..files.conversion import check
from ..model.opening import open_trained
from ..model.pretrained import pretrained_names
from ..model.recipe import PruneConfig
from ..model.trained import Trained
from ..nn.network import freeze
from ..nn.state_format import StateFormat
from ..progress import Reporter
from ..registry import as_text
from ..training.compression.evaluation import int8_of
from ..training.compression.masks import Scope, check_share, magnitude_masks, weight_matrices
from ..training.compression.neurons import (
    dead_neurons,
    remove_neurons,
    same_on,
    smaller_recipe,
    to_drop,
)
from ..training.examples import kept_examples
from ..training.loop import train
from ..training.recipes import Recipe
from ..training.runs import Run
from .curve import write_curve
from .points import measure_point


@dataclass(frozen=True)
class TuningOptions:
    """How a smaller network is fine-tuned and measured."""

    epochs: int = 20
    lr_factor: float = 0.5
    """Factor on the recipe's learning rate."""
    gradual: float = 0.0
    """Pruning of weights: the fraction of the fine-tuning over which they are pruned; 0: all at its
    start."""
    split: SplitName = "validation"
    """The split that points are measured on; training always chooses its best epoch on
    validation."""
    data_dir: Path | None = None
    data: Path | None = None
    """Labelled recordings to fine-tune and measure on instead of the task's own data."""
    said: ReadingOverrides = NO_OVERRIDES
    """Metadata of these recordings in place of their own."""
    resume: bool = False
    overwrite: bool = False
    """Whether the runs of an earlier call in the same folder are replaced."""
    state_bits: int | None = None
    """Bits of an int8 state; None: as many as the run was trained for."""


def _open(folder: Path | str, options: TuningOptions, hold_out: bool = True) -> Trained:
    """The network of a run, whose task reads the data to use. SrnnError unless it can be pruned and
    quantised.

    ``hold_out``: if ``options.data`` name no splits, some are held out for validation and testing.
    """
    trained = open_trained(folder)
    trained.require_classes("compressed")
    freeze(trained.spiking("pruned or quantised"), "Compression")
    if options.data is None:
        return trained
    return replace(trained, task=trained.task.reading(options.data, hold_out, options.said))


def check_out(folder: Path | str, out: Path, options: TuningOptions, prunes: bool) -> None:
    """Check, before any work, that a smaller network can be written.

    Args:
        folder: the run that it is made of.
        out: where it is written.
        options: whether something may be there.
        prunes: whether the runs of a curve are written, or one run.

    Raises:
        SrnnError: ``exists``, ``conflict`` or ``file``: it cannot.
    """
    if options.overwrite and Path(folder).resolve().is_relative_to(out.resolve()):
        problem = f"{folder} would be overwritten by what it becomes"
        raise SrnnError(f"{problem}; choose another {option('out')}.", "conflict", "out")
    if options.resume or not prunes:
        Run.check(out, options.resume, options.overwrite)
        return
    check_folder(out)
    curve = any(out.glob("*/recipe.yaml")) and not (out / "recipe.yaml").is_file()
    check_new(
        out, options.overwrite, ours=curve, also=f"{option('resume', flag=True)} continues it, "
    )
    check_writable(out)


def _point(trained: Trained, options: TuningOptions) -> dict[str, Any]:
    return measure_point(
        trained, options.split, data_dir=options.data_dir, state_bits=options.state_bits
    )


def _tune(
    recipe: Recipe, now: Trained, out: Path, options: TuningOptions, reporter: Reporter | None
) -> Trained:
    """Fine-tune the network that the recipe starts from, ``now``, in a run of its own, and open its
    best checkpoint."""
    train(
        recipe,
        out,
        seed=now.seed,
        data_dir=options.data_dir,
        resume=options.resume,
        overwrite=options.overwrite,
        task=now.task,
        reporter=reporter,
        examples=now.folder is not None and bool(kept_examples(now.folder)),
    )
    return _open(out, options)


def tuning_recipe(
    recipe: Recipe, folder: Path | str | None, options: TuningOptions, note: str
) -> Recipe:
    """The recipe that fine-tunes a run. Batch norm is folded into the weights, so that the weights
    that are pruned or rounded are those that a device has.

    Args:
        recipe: the run's.
        folder: the run.
        options: how many epochs, and the learning rate's factor.
        note: says why, in the recipe.

    Returns:
        The recipe, which starts from the run.

    Raises:
        SrnnError: ``value``: an option is not valid.
    """
    check("epochs", options.epochs, Count)
    check("lr_factor", options.lr_factor, Positive)
    check("gradual", options.gradual, BelowOne)
    optimizer = recipe.training.optimizer
    optimizer = replace(optimizer, lr=optimizer.lr * options.lr_factor)
    training = replace(
        recipe.training,
        epochs=options.epochs,
        optimizer=optimizer,
        start_from=as_text(folder, pretrained_names()),
        prune=replace(recipe.training.prune, begin=0.0, end=0.0),
    )
    if options.data is None:
        data = ""
    else:
        data = f" Fine-tuned on {options.data}."
    return replace(
        recipe,
        network=recipe.network.folded(),
        training=training,
        note=f"{recipe.note} {note}{data}".strip(),
    )


@locks("out")
def prune_run(
    folder: Path | str,
    out: Path,
    shares: Sequence[float],
    *,
    what: str = "weights",
    scope: Scope = "layer",
    options: TuningOptions | None = None,
    reporter: Reporter | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Prune a run's network to each of the ``shares`` in turn, each time fine-tuning from the
    previous one.

    Args:
        folder: the run, or the name of a pretrained network; it is not changed.
        out: folder for the new runs, one for each fraction, and for curve.json, curve.md and
            curve.svg.
        shares: fractions of all weights (or of each hidden layer's neurons) to prune, each at least
            0 and below 1.
        what: "weights" (the smallest become 0), "neurons" (the least used are removed), or "dead":
            neurons that never spike on the training split are removed, exactly and without
            training; then ``shares`` is empty.
        scope: of weights, whether the smallest of each layer or of the network are pruned.
        options: how each network is fine-tuned and measured; None: the default.
        reporter: follows the trainings.
        command: the command that reproduces the curve; recorded with it.

    Returns:
        The content of curve.json: the points, beginning with the unpruned network.

    Raises:
        SrnnError: a run, a fraction or a folder that does not fit.
    """
    options = options or TuningOptions()
    for share in shares:
        check_share("sparsity", share)
    check("what", what, Literal["weights", "neurons", "dead"])
    if (what == "dead") != (not shares):
        rule = "'weights' or 'neurons' with at least one fraction, or 'dead' neurons without one"
        raise SrnnError(f"Prune {rule}.", "conflict", "shares")
    now = _open(folder, options)
    if what == "weights" and any(shares):
        # The curve would name a fraction that prunes nothing but weights that are 0 already.
        least = min(share for share in shares if share)
        matrices = dict(weight_matrices(now.network))
        masks = magnitude_masks(now.network, least, scope)
        dropped = [matrices[name][~mask] for name, mask in masks.items()]
        if any(map(len, dropped)) and not any(values.any() for values in dropped):
            zero = sum(int((matrix == 0).sum()) for matrix in matrices.values())
            zero /= sum(matrix.numel() for matrix in matrices.values())
            sparse = f"{zero:.1%} of its weights are 0 already"
            advice = "give a larger one, or 0 to fine-tune it as it is"
            problem = f"{sparse}, and a sparsity of {least:g} prunes no other; {advice}."
            raise SrnnError(f"{now.folder}: {problem}", "value", "sparsity")
    note = now.recipe.note
    points = [{"pruned": 0.0, "run": str(folder), **_point(now, options)}]
    if what == "dead":
        now, report = _without_dead(now, out, options)
        points.append({**report, "run": str(out / "dead"), **_point(now, options)})
    before = 0.0
    for share in sorted({*shares}):
        place = out / f"{what}-{share:g}"
        how = f", scope {scope}" if what == "weights" else ""
        recipe = tuning_recipe(
            replace(now.recipe, note=note),
            now.folder,
            options,
            f"Pruned: {share:g} of the {what}{how}.",
        )
        if what == "weights":
            prune = PruneConfig(share, scope, 0.0, options.gradual)
            recipe = replace(recipe, training=replace(recipe.training, prune=prune))
        else:
            sizes = recipe.network.hidden
            dropped = to_drop(sizes, 1 - (1 - share) / (1 - before))
            left = [size - count for size, count in zip(sizes, dropped, strict=True)]
            recipe = replace(recipe, network=replace(recipe.network, hidden=left))
        now, before = _tune(recipe, now, place, options, reporter), share
        point = {"pruned": share, "run": str(place), **_point(now, options)}
        write_json(
            place / "compression.json", {"from": str(folder), "what": what, "scope": scope, **point}
        )
        points.append(point)
    curve = {
        "task": now.task.name,
        "what": what,
        "scope": scope,
        "from": str(folder),
        "seed": now.seed,
        "command": command,
        "points": points,
    }
    write_json(out / "curve.json", curve)
    write_curve(out, curve, [(share_name(point), point) for point in points])
    return curve


def share_name(point: dict[str, Any]) -> str:
    """What was pruned, for people."""
    if "pruned" not in point:
        return "no dead neurons"
    if point["pruned"]:
        return f"{100 * point['pruned']:.4g} % pruned"
    return "whole"


def measure_run(folder: Path | str, options: TuningOptions | None = None) -> dict[str, Any]:
    """Measure an unchanged run. Data without splits are used whole.

    Args:
        folder: the run.
        options: how it is measured; None: the default.

    Returns:
        The point, as of ``measure_point``.
    """
    options = options or TuningOptions()
    return _point(_open(folder, options, hold_out=False), options)


@locks("out")
def quantise_run(
    folder: Path | str,
    out: Path,
    options: TuningOptions | None = None,
    reporter: Reporter | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Fine-tune a run's network with int8 weights in a new run ``out``, whose best checkpoint then
    holds exactly such weights.

    Weights that are 0 stay 0.

    Args:
        folder: the run, or the name of a pretrained network; it is not changed.
        out: folder for the new run, with compression.json, a table and a plot.
        options: how the network is fine-tuned and measured; None: the default.
        reporter: follows the training.
        command: the command that reproduces these; recorded with them.

    Returns:
        The content of compression.json, {"before": point, "after": point, ...}.

    Raises:
        SrnnError: a run, an option or a folder that does not fit.
    """
    options = options or TuningOptions()
    start = _open(folder, options)
    options = replace(options, state_bits=options.state_bits or start.recipe.training.state_bits)
    states = ""
    if options.state_bits != 32:
        states = f" and states of {options.state_bits} bits"
    recipe = tuning_recipe(start.recipe, folder, options, f"Fine-tuned with int8 weights{states}.")
    training = replace(recipe.training, quantise="int8", state_bits=options.state_bits)
    recipe = replace(recipe, training=training)
    tuned = _tune(recipe, start, out, options, reporter)
    report = {
        "task": start.task.name,
        "what": "int8",
        "state_bits": options.state_bits,
        "from": str(folder),
        "seed": start.seed,
        "command": command,
        "run": str(out),
        "before": _point(start, options),
        "after": _point(tuned, options),
    }
    write_json(out / "compression.json", report)
    write_curve(out, report, [("as trained", report["before"]), ("fine-tuned", report["after"])])
    return report


def _without_dead(
    now: Trained, out: Path, options: TuningOptions
) -> tuple[Trained, dict[str, Any]]:
    """Remove the neurons that never spike on the training split: a run of its own, compared with
    the original on that split."""
    sequences, network = Sequences(now.task, "train", options.data_dir), now.spiking("pruned")
    removed = dead_neurons(network, sequences, now.seed)
    recipe = smaller_recipe(now.recipe, removed)
    training = replace(recipe.training, start_from=as_text(now.folder, pretrained_names()))
    note = f"{recipe.note} Without its dead neurons, not fine-tuned.".strip()
    recipe = replace(recipe, training=training, note=note)
    smaller: Any = recipe.build_network(now.task, now.seed)
    remove_neurons(network, smaller, removed)
    StateFormat.of_network(network).into(smaller)
    different, greatest = same_on(network, smaller, removed, sequences, now.seed)
    if different:
        found = f"the network differs in {different} spikes"
        raise SrnnError(f"Without its dead neurons {found}; nothing was written.", "unsupported")
    now = replace(now, network=smaller, recipe=recipe, folder=out / "dead")
    now = replace(now, **int8_of(now, sequences))
    run = Run.hold(out / "dead", now, overwrite=options.overwrite)
    report = {
        "removed": [int(mask.sum()) for mask in removed],
        "different_spikes_on_train": different,
        "greatest_output_difference_on_train": greatest,
    }
    write_json(run.path / "compression.json", report)
    return now, report
