"""From a run to smaller ones: prune, train on, measure; a curve of accuracy against size."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..batches import Sequences
from ..checkpoints import (
    architecture,
    network_tensors,
    read_checkpoint,
    save_checkpoint,
    write_atomically,
)
from ..errors import SrnnError
from ..losses import Loss
from ..network import SRNN
from ..recipes import Recipe
from ..runs import Run
from ..training import train
from .finetuning import FineTuning, shortened
from .masks import Scope, apply_masks, check_share, magnitude_masks, present_masks
from .neurons import dead_neurons, least_used_neurons, remove_neurons, same_on, smaller_recipe
from .points import measure_point
from .quantisation import snap_weights, train_as_int8

if TYPE_CHECKING:
    from ..datasets import SplitName
    from ..encoders import Statistics
    from ..progress import Reporter
    from ..tasks import Task


@dataclass(frozen=True)
class TuningOptions:
    """How a smaller network is trained on and measured."""

    epochs: int = 20
    lr_factor: float = 0.5
    """Of the recipe's learning rate."""
    split: SplitName = "validation"
    """What points are measured on; training always chooses its best epoch on validation."""
    data_dir: Path | None = None
    resume: bool = False


@dataclass(frozen=True)
class _Trained:
    """A network, and the recipe that builds one of its sizes."""

    network: SRNN
    recipe: Recipe
    task: Task
    seed: int

    @classmethod
    def open(cls, folder: Path) -> _Trained:
        run = Run.open(folder)
        network, task, _ = run.trained()
        if not isinstance(network, SRNN):
            raise SrnnError(f"{folder}: only spiking networks can be pruned or quantised.")
        if network.encoder is not None:  # every point is measured as int8 C, too
            raise SrnnError(f"{folder} has a trained encoder; such a network cannot be pruned or quantised yet.")
        return cls(network, run.recipe, task, run.seed)

    def point(self, options: TuningOptions) -> dict[str, Any]:
        loss = Loss.for_task(self.recipe.loss, self.task)
        return measure_point(self.network, self.task, loss, options.split, seed=self.seed, data_dir=options.data_dir)

    def tune(
        self,
        folder: Path,
        recipe: Recipe,
        prepare: Callable[[SRNN], object],
        options: TuningOptions,
        reporter: Reporter | None,
    ) -> _Trained:
        """Train on in a run of its own, and open its best checkpoint."""
        short = shortened(recipe, options.epochs, options.lr_factor)
        train(
            FineTuning(short, prepare), folder, seed=self.seed, data_dir=options.data_dir, resume=options.resume,
            reporter=reporter,
        )  # fmt: skip
        return _Trained.open(folder)


def prune_run(
    folder: Path,
    out: Path,
    shares: Sequence[float],
    *,
    what: str = "weights",
    scope: Scope = "layer",
    options: TuningOptions | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Prune a run's network to each of the ``shares`` in turn, each time training on from the one before.

    Args:
        folder: the run; it is not changed.
        out: folder for the new runs, one for each share, and for curve.json.
        shares: of all weights (or of each hidden layer's neurons) that shall be gone, each from 0 to below 1.
        what: "weights" (the smallest become 0), "neurons" (the least used are removed), or "dead": the neurons that never spike
            on the training split are removed, exactly and without training; ``shares`` is empty then.

    Returns: curve.json's content: the points, the unpruned network's first.
    Raises SrnnError for a run, a share or a folder that does not fit.
    """
    options = options or TuningOptions()
    for share in shares:
        check_share("sparsity", share)
    if what not in ("weights", "neurons", "dead") or (what == "dead") != (not shares):
        raise SrnnError("Prune 'weights' or 'neurons' by some shares, or 'dead' neurons without a share.")
    now = _Trained.open(folder)
    points = [{"pruned": 0.0, "run": str(folder), **now.point(options)}]
    if what == "dead":
        now, found = _without_dead(now, Run.open(folder).statistics(), out, options)
        points.append({**found, "run": str(out / "dead"), **now.point(options)})
    before = 0.0
    for share in sorted(shares):
        place = out / f"{what}-{share:g}"
        if what == "weights":
            recipe, prepare = now.recipe, _masked(now.network, magnitude_masks(now.network, share, scope))
        else:
            recipe, prepare = _narrowed(now, 1 - (1 - share) / (1 - before), options)
        now, before = now.tune(place, recipe, prepare, options, reporter), share
        point = {"pruned": share, "run": str(place), **now.point(options)}
        _write(place / "compression.json", {"from": str(folder), "what": what, "scope": scope, **point})
        points.append(point)
    curve = {"task": now.task.name, "what": what, "from": str(folder), "seed": now.seed, "points": points}
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "curve.json", curve)
    return curve


def measure_run(folder: Path, options: TuningOptions | None = None) -> dict[str, Any]:
    """The point of a run as it is: accuracy in float32 and int8, sizes, operations."""
    return _Trained.open(folder).point(options or TuningOptions())


def quantise_run(
    folder: Path, out: Path, options: TuningOptions | None = None, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Train a run's network on with int8 weights, in a new run ``out``, whose best checkpoint then holds exactly such weights.

    Weights that are 0 stay 0. Returns {"before": point, "after": point}, as written to compression.json.
    """
    options = options or TuningOptions()
    start = _Trained.open(folder)
    masked = _masked(start.network, present_masks(start.network))

    def prepare(network: SRNN) -> None:
        masked(network)
        train_as_int8(network)

    tuned = start.tune(out, start.recipe, prepare, options, reporter)
    best = Run.open(out).best
    snap_weights(tuned.network)
    save_checkpoint(best, network_tensors(tuned.network), read_checkpoint(best).info)
    found = {"from": str(folder), "run": str(out), "before": start.point(options), "after": tuned.point(options)}
    _write(out / "compression.json", found)
    return found


def _masked(source: SRNN, masks: dict[str, torch.Tensor]) -> Callable[[SRNN], None]:
    """What puts the source's weights into a new network, and the masks on it."""
    tensors = {name: tensor.clone() for name, tensor in source.state_dict().items()}

    def prepare(network: SRNN) -> None:
        network.load_state_dict(tensors)
        apply_masks(network, masks)

    return prepare


def _narrowed(now: _Trained, share: float, options: TuningOptions) -> tuple[Recipe, Callable[[SRNN], object]]:
    """Without the least used share of each hidden layer's neurons: the recipe, and what fills a network of its sizes."""
    removed = least_used_neurons(now.network, Sequences(now.task, "train", options.data_dir), share, now.seed)
    recipe, large = smaller_recipe(now.recipe, removed), now.network
    return recipe, lambda network: remove_neurons(large, network, removed)


def _without_dead(
    now: _Trained, statistics: Statistics | None, out: Path, options: TuningOptions
) -> tuple[_Trained, dict[str, Any]]:
    """The network without the neurons that never spike on the training split, as a run of its own, compared there."""
    sequences = Sequences(now.task, "train", options.data_dir)
    removed = dead_neurons(now.network, sequences, now.seed)
    recipe = smaller_recipe(now.recipe, removed)
    smaller = recipe.build_network(now.task, now.seed)
    assert isinstance(smaller, SRNN)
    remove_neurons(now.network, smaller, removed)
    different, greatest = same_on(now.network, smaller, removed, sequences, now.seed)
    if different:
        raise SrnnError(
            f"Without its dead neurons the network spikes otherwise {different} times; nothing was written."
        )
    run = Run.start(out / "dead", recipe, now.seed)
    if statistics is not None:
        run.keep_statistics(statistics)
    save_checkpoint(run.best, network_tensors(smaller), {"architecture": architecture(smaller)})
    found = {
        "removed": [int(mask.sum()) for mask in removed],
        "different_spikes_on_train": different,
        "greatest_output_difference_on_train": greatest,
    }
    _write(run.path / "compression.json", found)
    return _Trained(smaller, recipe, now.task, now.seed), found


def _write(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
