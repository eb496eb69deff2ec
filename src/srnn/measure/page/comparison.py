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
    """Compare runs of one task, each measured anew on the split. SrnnError for fewer than two runs,
    or different tasks."""
    if len(folders) < 2:
        raise SrnnError(
            "Name at least two run folders to compare; for a single run use srnn report RUN."
        )
    runs = [Run.open(folder) for folder in folders]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise SrnnError("A run folder is listed twice; name each once.")
    names = short_names(folders)
    energy = compare_energy(
        list(folders), split=split, data_dir=data_dir
    )  # refuses runs of several tasks
    described: list[dict[str, Any]] = []
    first: GroupReport | None = None
    for name, run, report, row in zip(
        names, runs, energy["networks"], energy["compared_with_first"], strict=True
    ):
        trained = run.trained()
        trained.require_classes("compared on a page")
        analysis = analyse(trained, split, data_dir=data_dir, options=options)
        logged = training(run)
        first = first or analysis.groups
        report["name"] = row["name"] = name
        described.append(
            {
                "name": name,
                "seed": run.seed,
                "network": describe_network(trained),
                "measures": measures(name, analysis, report, logged["result"] or {}),
                "above_first": None
                if first is analysis.groups
                else analysis.groups.difference(first),
                "recall": analysis.classes.recall,
                "anytime": None if analysis.anytime is None else analysis.anytime.accuracy,
                "anytime_labelled": None
                if analysis.anytime is None
                else analysis.anytime.accuracy_labelled,
                "exit": None
                if analysis.exit is None
                else [asdict(point) for point in analysis.exit.curve],
                "epochs": [
                    {
                        name: record[name]
                        for name in ("epoch", "train", "validation")
                        if name in record
                    }
                    for record in logged["epochs"]
                ],
                "best_epoch": logged["best_epoch"],
            }
        )
    content = plain(
        {
            "kind": "comparison",
            "split": split,
            "task": describe_task(runs[0].trained()),
            "runs": described,
            "energy": energy,
            "recipes": differences([_settings(run) for run in runs]),
            "environments": differences(
                [read_object(run.path / "environment.json") for run in runs]
            ),
        }
    )
    return content | {"sections": as_json(comparison_sections(content))}


def measures(
    name: str, analysis: Analysis, energy: dict[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    """The numbers by which runs are compared; those of training come from ``result``. None where
    one does not apply to a run.

    Analog neurons do not spike: for them ``activity`` is the fraction of outputs that are not 0,
    and ``analog_operations_per_step`` how often such an output, or an input, is multiplied at a
    synapse. Neither is comparable with ``firing_rate`` or ``sops_per_step``.
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


def _settings(run: Run) -> dict[str, Any]:
    """The recipe without its note, which has no effect."""
    return {name: value for name, value in run.recipe.to_dict().items() if name != "note"}
