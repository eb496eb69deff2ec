"""The networks whose energy shall be told: trained runs, recipes, and baselines of the same sizes; their activity measured.

May import: recipes, runs, evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import SrnnError
from .activity import Activity, InputActivity, measure_input, rates_of
from .estimate import Subject, compare, energy_report
from .layers import describe_network
from .operations import ANALOG_IN_PAPER
from .technology import DEFAULT, load_technology

if TYPE_CHECKING:
    from ...data.batches import Sequences
    from ...data.datasets import SplitName
    from ...data.tasks import Task
    from ...nn.baselines import Network
    from ...train.recipes import Recipe

UNTRAINED = "untrained: rates of its initial weights"
UNTRAINED_BASELINE = "untrained"
UNMEASURED = "untrained, rates not measured: train it (srnn train RECIPE --baseline NAME) and name its run"


@dataclass(frozen=True)
class _Found:
    """A network by the name that the user gave."""

    name: str
    recipe: Recipe
    network: Network
    seed: int
    trained: bool


def compare_energy(
    networks: Sequence[str | Path],
    baselines: Sequence[str] = (),
    *,
    split: SplitName = "validation",
    data_dir: Path | None = None,
    technology: str | Path = DEFAULT,
    rates: Sequence[float] | None = None,
    input_rate: float | None = None,
) -> dict[str, Any]:
    """What ``srnn energy --json`` prints: networks beside the first of them, by all models.

    Args:
        networks: run folders and recipes (names or files), all of one task; the others are compared with the first.
        baselines: names of baselines of the first one's sizes, untrained, put after them.
        split: on which the rates are measured.
        rates: firing rates to be taken for granted, one or one for each hidden layer, of a single recipe; nothing is then
            measured and no data are needed.
        input_rate: with ``rates``: spikes per channel and step of the input; None: the input is analog.

    Raises SrnnError for networks of several tasks, missing data, and whatever else does not fit.
    """
    prices = load_technology(technology)
    if not networks:
        raise SrnnError("Name at least one run folder or recipe.")
    found = [_find(item) for item in networks]
    for other in found[1:]:
        if other.recipe.task != found[0].recipe.task:
            raise SrnnError(
                f"{other.name} is of another task ({_task(other)}) than {found[0].name} ({_task(found[0])}); compare "
                "networks of one task."
            )
    task = found[0].recipe.create_task()
    if rates is None:
        if input_rate is not None:
            raise SrnnError("--input-rate belongs to --rates; otherwise the input is measured.")
        from ...data.batches import Sequences

        sequences = Sequences(task, split, data_dir)
        given = measure_input(sequences)
        subjects = [_measured(item, task, sequences, split, given) for item in found]
    else:
        if len(found) > 1 or found[0].trained:
            raise SrnnError("--rates belongs to a single recipe; the rates of runs are measured.")
        given = InputActivity(input_rate is not None, 1.0 if input_rate is None else input_rate)
        shape = describe_network(found[0].network)
        if not (shape.spiking or shape.graded):
            raise SrnnError(f"{found[0].name} has no firing rates; leave --rates out, or name a spiking recipe first.")
        subjects = [Subject(found[0].name, shape, Activity(given, rates_of(shape, rates)), note="rates as given")]
    subjects += [_baseline(found[0].recipe, name, task, given) for name in baselines]
    analog = task.name in ANALOG_IN_PAPER
    reports = [energy_report(subject, prices, task.step_ms, analog) for subject in subjects]
    recipes = [item.recipe for item in found]
    for index, report in enumerate(reports):
        report["seed"] = found[index].seed if index < len(found) and found[index].trained else None
        report["group"] = recipes.index(recipes[index]) if report["seed"] is not None else index
    return {
        "task": task.name,
        "split": split if rates is None else None,
        "step_ms": task.step_ms,
        "input": {"spikes": given.spikes, "density": given.density, "steps_per_sequence": given.steps},
        "technology": {"name": prices.name, "sources": dict(prices.sources)},
        "networks": reports,
        "compared_with_first": compare(reports),
    }


def _task(found: _Found) -> str:
    config = found.recipe.task
    return f"{config.name} {config.options}" if config.options else config.name


def _find(item: str | Path) -> _Found:
    """A run of that folder, with its best checkpoint, or a new network of that recipe (seed 0)."""
    from ...train.recipes import load_recipe
    from ...train.runs import Run

    path = Path(item)
    if not path.is_dir():
        recipe = load_recipe(str(item), [], None)
        return _Found(str(item), recipe, recipe.build_network(recipe.create_task(), 0), 0, trained=False)
    run = Run.open(path)
    return _Found(str(item), run.recipe, run.trained().network, run.seed, trained=True)


def _measured(found: _Found, task: Task, sequences: Sequences, split: SplitName, given: InputActivity) -> Subject:
    """A network with the rates, and if it is trained the accuracy, that evaluating it finds."""
    from ...train.evaluation import evaluate_sequences
    from ...train.trained import Trained

    if getattr(found.network, "encoder", None) is not None:
        given = measure_input(sequences, network=found.network)
    trained = Trained(found.network, task, found.recipe, found.seed)
    report = evaluate_sequences(trained, sequences, split).report
    rates = None if report["firing_rate"] is None else tuple(report["firing_rate"]["layers"])
    return Subject(
        found.name,
        describe_network(found.network),
        Activity(given, rates),
        report["accuracy"] if found.trained else None,
        "" if found.trained else UNTRAINED_BASELINE if rates is None else UNTRAINED,
    )


def _baseline(recipe: Recipe, name: str, task: Task, given: InputActivity) -> Subject:
    """A baseline of the recipe's sizes, as it is built, untrained."""
    from ...train.recipes import as_baseline

    shape = describe_network(as_baseline(recipe, name).build_network(task, 0))
    needs_rates = shape.spiking or shape.graded
    return Subject(name, shape, Activity(given), note=UNMEASURED if needs_rates else UNTRAINED_BASELINE)
