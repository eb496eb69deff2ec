"""The networks whose energy is reported: trained runs, recipes, and baselines of the same sizes;
their activity is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.recordings import NO_OVERRIDES, ReadingOverrides
from ...errors import SrnnError, option
from ...registry import is_name
from ...training.recipes import as_baseline, load_recipe
from .activity import Activity, evaluate_activity, measure_input
from .counting import describe_network, graded, rates_of, spiking
from .estimate import break_even, compare, energy_report
from .operation_energy import DEFAULT, load_technology

if TYPE_CHECKING:
    from ...data.datasets import SplitName
    from ...model.trained import Trained
    from ...nn.baselines import Network

UNTRAINED = "untrained: rates of its initial weights"
UNTRAINED_BASELINE = "untrained"
UNMEASURED = (
    "untrained, rates not measured: train it (srnn train RECIPE --baseline NAME) and name its run"
)


def compare_energy(
    networks: Sequence[str | Path],
    baselines: Sequence[str] = (),
    *,
    split: SplitName = "validation",
    data: Path | None = None,
    said: ReadingOverrides = NO_OVERRIDES,
    data_dir: Path | None = None,
    technology: str | Path = DEFAULT,
    rates: Sequence[float] | None = None,
    input_rate: float | None = None,
) -> dict[str, Any]:
    """What ``srnn energy --json`` prints: networks compared with the first of them, by all models.

    Args:
        networks: run folders, names of pretrained networks, and recipes (names or files), all of
            one task; the others are compared with the first. With ``rates`` a name is a recipe's.
        baselines: names of untrained baselines with the first network's sizes, listed after the
            networks.
        split: the split on which the rates are measured.
        data: labelled recordings on which to measure trained networks, instead of their task's own
            data.
        said: metadata of these recordings that the recordings do not state themselves.
        data_dir: the folder of the task's data; None: where the task looks for them.
        technology: prices of the memory model: a shipped technology's name, or a TOML file.
        rates: firing rates to assume, one for all hidden layers or one for each, for a single
            recipe; nothing is then measured and no data are needed.
        input_rate: with ``rates``: spikes per channel and step of the input; None: the input is
            analog.

    Returns:
        {"task", "split", "step_ms", "input", "technology", "networks": a report of each,
        "compared_with_first", "break_even"}, all plain.

    Raises:
        SrnnError: ``conflict`` for networks of several tasks, or options that do not go together;
            ``missing`` or ``file`` without data.
    """
    prices = load_technology(technology)
    if not networks:
        raise SrnnError("Name at least one run folder or recipe.", "missing", "networks")
    names = [str(item) for item in networks]
    subjects = [_find(item, data, said, rates) for item in networks]
    first, task = subjects[0], subjects[0].task
    for name, other in zip(names, subjects, strict=True):
        if other.recipe.task != first.recipe.task:
            raise SrnnError(
                f"{name} is for another task ({_task(other)}) than {names[0]} ({_task(first)}); "
                "compare networks of one task.",
                "conflict",
                name,
            )
    report = partial(
        energy_report, technology=prices, step_ms=task.step_ms, analog_in_paper=task.analog_in_paper
    )
    if rates is None:
        if input_rate is not None:
            together = f"{option('input_rate')} belongs to {option('rates')}"
            message = f"{together}; otherwise the input is measured."
            raise SrnnError(message, "conflict", "input_rate")
        reports, at_input, encoded = _measured(names, subjects, split, data_dir, report)
    else:
        at_input = encoded = _given(names, first, rates, input_rate)
        reports = [report(first.network, at_input, name=names[0], note="rates as given")]
    at_input, encoded = replace(at_input, rates=None), replace(encoded, rates=None)

    def read_by(network: Network) -> Activity:
        """The input; for a network with a trained encoder, after the first network's encoder."""
        return at_input if getattr(network, "encoder", None) is None else encoded

    for name in baselines:
        network = as_baseline(first.recipe, name).build_network(task, 0)
        shape = describe_network(network)
        note = UNMEASURED if spiking(shape) or graded(shape) else UNTRAINED_BASELINE
        reports.append(report(network, read_by(network), name=name, note=note))
    # The seed of each network that is a run, and its group: the seeds of one recipe are one.
    recipes = [one.recipe for one in subjects]
    for index, made in enumerate(reports):
        run = index < len(subjects) and subjects[index].folder is not None
        made["seed"] = subjects[index].seed if run else None
        made["group"] = recipes.index(recipes[index]) if run else index
    limits, layers = {}, describe_network(first.network)
    for name in ("relu", "lstm") if all(layer.spiking for layer in layers[:-1]) else ():
        network = as_baseline(first.recipe, name).build_network(task, 0)
        shape = describe_network(network)
        limits[name] = break_even(
            layers, encoded, shape, prices, task.analog_in_paper, read_by(network)
        )
    return {
        "task": task.name,
        "split": split if rates is None else None,
        "step_ms": task.step_ms,
        "input": {
            "spikes": at_input.spikes,
            "density": float(np.mean(at_input.density)),
            "steps_per_sequence": at_input.steps,
        },
        "technology": {"name": prices.name, "sources": dict(prices.sources)},
        "networks": reports,
        "compared_with_first": compare(reports),
        "break_even": limits,
    }


def _measured(
    names: Sequence[str],
    subjects: Sequence[Trained],
    split: SplitName,
    data_dir: Path | None,
    report: Callable[..., dict[str, Any]],
) -> tuple[list[dict[str, Any]], Activity, Activity]:
    """Reports with rates measured on a split; its input, and what arrives after the first network's
    encoder."""
    from ...data.batches import Sequences

    sequences = Sequences(subjects[0].task, split, data_dir)
    reports, at_input = [], measure_input(sequences)
    encoded = at_input
    for name, one in zip(names, subjects, strict=True):
        evaluation, activity = evaluate_activity(one, sequences, split)
        if one is subjects[0]:
            encoded = activity
        accuracy, note = evaluation.report.get("accuracy"), ""
        if one.folder is None:
            accuracy, note = None, UNTRAINED_BASELINE if activity.rates is None else UNTRAINED
        reports.append(report(one.network, activity, name=name, accuracy=accuracy, note=note))
    return reports, at_input, encoded


def _given(
    names: Sequence[str], first: Trained, rates: Sequence[float], input_rate: float | None
) -> Activity:
    """The activity of a recipe's network at assumed rates."""
    layers = describe_network(first.network)
    if len(names) > 1 or first.folder is not None:
        message = f"{option('rates')} belongs to a single recipe; the rates of runs are measured."
        raise SrnnError(message, "conflict", "rates")
    if not (spiking(layers) or graded(layers)):
        raise SrnnError(
            f"{names[0]} has no firing rates; "
            f"leave {option('rates')} out, or name a spiking recipe first.",
            "conflict",
            "rates",
        )
    if input_rate is None:
        density = 1.0
    else:
        density = input_rate
    return Activity(input_rate is not None, density, rates_of(layers, rates))


def _task(trained: Trained) -> str:
    config = trained.recipe.task
    if not config.options:
        return config.name
    return f"{config.name} {config.options}"


def _find(
    item: str | Path, data: Path | None, said: ReadingOverrides, rates: Sequence[float] | None
) -> Trained:
    """The network of that run or model, the pretrained one of that name (not with given ``rates``),
    or a new one from that recipe (seed 0)."""
    from ...model.pretrained import pretrained_names

    named = rates is None and is_name(item, pretrained_names(), "pretrained network")
    if named or Path(item).is_dir() or Path(item).suffix == ".safetensors":
        from ...model.opening import open_trained

        return open_trained(item, data, said)
    if data is not None:
        raise SrnnError(
            f"{option('data')} is for trained networks, and {item} is a recipe, whose task has its "
            "own data; leave it out.",
            "conflict",
            "data",
        )
    recipe = load_recipe(item, [], None)
    task = recipe.create_task()
    # Imported here because it needs torch, for which a wrong name need not wait.
    from ...model.trained import Trained

    return Trained(recipe.build_network(task, 0), task, recipe)
