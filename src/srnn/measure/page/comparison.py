"""The content of a comparison page, as one object for JSON: several runs of one task side by
side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...data.datasets import SplitName
from ...errors import SrnnError
from ...files import read_object
from ...text import plain
from ...training.runs import Run
from ..analysis import Analysis, AnalysisOptions, GroupReport, analyse
from ..energy.compared import compare_energy
from ..sections import as_json
from .compared import comparison_sections
from .content import describe_network, describe_task, short_names, training


def comparison_content(
    folders: Sequence[Path],
    split: SplitName = "validation",
    *,
    data_dir: Path | None = None,
    options: AnalysisOptions | None = None,
) -> dict[str, Any]:
    """Compare runs of one task, each measured anew on the split.

    Args:
        folders: the runs, two at least.
        split: the split on which they are measured.
        data_dir: the folder of the task's data; None: where the task looks for them.
        options: options of the analysis; None: the defaults.

    Returns:
        What the page shows, for JSON.

    Raises:
        SrnnError: ``value`` for fewer than two runs, ``conflict`` for different tasks, ``missing``
            or ``file`` without data.
    """
    if len(folders) < 2:
        raise SrnnError(
            "Name at least two run folders to compare; for a single run use srnn report RUN.",
            "value",
            "folders",
        )
    runs = [Run.open(folder) for folder in folders]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise SrnnError("A run folder is listed twice; name each once.", "value", "folders")
    names = short_names(folders)
    energy = compare_energy(list(folders), split=split, data_dir=data_dir)  # one task, or an error
    described: list[dict[str, Any]] = []
    first: GroupReport | None = None
    rows = zip(names, runs, energy["networks"], energy["compared_with_first"], strict=True)
    for name, run, report, row in rows:
        trained = run.trained()
        trained.require_classes("compared on a page")
        analysis = analyse(trained, split, data_dir=data_dir, options=options)
        logged = training(run)
        groups, anytime, early_exit = analysis.groups, analysis.anytime, analysis.exit
        first = first or groups
        kept = ("epoch", "train", "validation")
        report["name"] = row["name"] = name
        described.append(
            {
                "name": name,
                "seed": run.seed,
                "network": describe_network(trained),
                "measures": measures(name, analysis, report, logged["result"] or {}),
                "above_first": None if first is groups else groups.difference(first),
                "recall": analysis.classes.recall,
                "anytime": anytime and anytime.accuracy,
                "anytime_labelled": anytime and anytime.accuracy_labelled,
                "exit": early_exit and [asdict(point) for point in early_exit.curve],
                "epochs": [
                    {key: record[key] for key in kept if key in record}
                    for record in logged["epochs"]
                ],
                "best_epoch": logged["best_epoch"],
            }
        )
    recipes = [run.recipe.to_dict() | {"note": ""} for run in runs]  # a note has no effect
    environments = [read_object(run.path / "environment.json") for run in runs]
    content = plain(
        {
            "kind": "comparison",
            "split": split,
            "task": describe_task(runs[0].trained()),
            "runs": described,
            "energy": energy,
            "recipes": differences(recipes),
            "environments": differences(environments),
        }
    )
    return content | {"sections": as_json(comparison_sections(content))}


def measures(
    name: str, analysis: Analysis, energy: dict[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    """The numbers by which runs are compared.

    Analog neurons do not spike: for them ``activity`` is the fraction of outputs that are not 0,
    and ``analog_operations_per_step`` how often such an output, or an input, is multiplied at a
    synapse. Neither is comparable with ``firing_rate`` or ``sops_per_step``.

    Args:
        name: the run's name on the page.
        analysis: the run's.
        energy: its report of energy.
        result: what training wrote at its end.

    Returns:
        The numbers by name; None where one does not apply to a run.
    """
    report = analysis.evaluation.report
    if analysis.activity is None:
        activity = None
    else:
        activity = analysis.activity.to_dict()
    if analysis.exit is None or analysis.exit.policy.confidence is None:
        chosen = None
    else:
        chosen = analysis.exit.result
    if report["firing_rate"] is None:
        rate = None
    else:
        rate = report["firing_rate"]["mean"]
    if activity is None:
        sops, spiking = (None, True)
    else:
        sops, spiking = (activity["sops_per_step"], activity["spiking"])
    return {
        "name": name,
        "accuracy": report["accuracy"],
        "accuracy_labelled": report.get("accuracy_labelled"),
        "accuracy_without_silence": report.get("accuracy_without_silence"),
        "balanced_accuracy": analysis.classes.balanced_accuracy,
        "settled_steps": None if analysis.anytime is None else analysis.anytime.settled_steps,
        "exit_accuracy": None if chosen is None else chosen.accuracy,
        "exit_mean_steps": None if chosen is None else chosen.mean_steps,
        "firing_rate": rate if spiking else None,
        "activity": None if spiking else rate,
        "sops_per_step": sops if spiking else None,
        "analog_operations_per_step": None if spiking else sops,
        "parameters": report["parameters"],
        **{
            f"energy_{model}": None if one is None else one["energy_pj"]["step"]
            for model, one in energy["models"].items()
        },
        "training_seconds": result.get("seconds"),
    }


def differences(settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The settings that differ: {"key": "training.optimizer.lr", "values": [...]}, one value for
    each; None for a missing key.

    An empty mapping is equivalent to a missing one.
    """
    flat = [_flat(one) for one in settings]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    rows = [{"key": key, "values": [one.get(key) for one in flat]} for key in keys]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {key: value}
    return {
        k: v
        for name, item in value.items()
        for k, v in _flat(item, f"{key}.{name}" if key else str(name)).items()
    }
