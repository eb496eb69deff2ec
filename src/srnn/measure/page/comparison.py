"""What the page of a comparison says, as one object for JSON: several runs of one task side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import SrnnError
from ...files import read_object
from ...train.runs import Run
from ..analysis import Analysis, AnalysisOptions, analyse
from ..energy.subjects import compare_energy
from .content import analysis_options, describe_network, describe_task, plain, short_names, training

if TYPE_CHECKING:
    from ...data.datasets import SplitName


def comparison_content(
    folders: Sequence[Path],
    split: SplitName = "validation",
    *,
    data_dir: Path | None = None,
    options: AnalysisOptions | None = None,
) -> dict[str, Any]:
    """Runs of one task, each measured anew on the split. SrnnError for fewer than two, or runs of several tasks."""
    if len(folders) < 2:
        raise SrnnError(
            "Name at least two run folders to compare; a single run has a page of its own: srnn report RUN."
        )
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise SrnnError("A run folder comes twice; name each once.")
    names = short_names(folders)
    runs = [Run.open(folder) for folder in folders]
    energy = compare_energy(list(folders), split=split, data_dir=data_dir)  # refuses runs of several tasks
    described: list[dict[str, Any]] = []
    for name, run, report in zip(names, runs, energy["networks"], strict=True):
        trained = run.trained()
        found = analyse(trained, split, data_dir=data_dir, options=analysis_options(trained, options))
        logged = training(run)
        report["name"] = name
        described.append(
            {
                "name": name,
                "seed": run.seed,
                "network": describe_network(trained.network, run),
                "measures": measures(name, found, report, run),
                "recall": found.classes.recall,
                "anytime": None if found.anytime is None else found.anytime.accuracy,
                "anytime_labelled": None if found.anytime is None else found.anytime.accuracy_labelled,
                "exit": None if found.exit is None else [point.to_dict() for point in found.exit.curve],
                "epochs": [_epoch(record) for record in logged["epochs"]],
                "best_epoch": logged["best_epoch"],
            }
        )
    for name, row in zip(names, energy["compared_with_first"], strict=True):
        row["name"] = name
    task = runs[0].recipe.create_task()
    return plain(
        {
            "kind": "comparison",
            "split": split,
            "task": describe_task(task, runs[0]),
            "runs": described,
            "energy": energy,
            "recipes": differences([_settings(run) for run in runs]),
            "environments": differences([read_object(run.path / "environment.json") for run in runs]),
        }
    )


def measures(name: str, found: Analysis, energy: dict[str, Any] | None, run: Run) -> dict[str, Any]:
    """The numbers by which runs are compared; None where one has no meaning for a run.

    Analog neurons do not spike: of them ``activity`` is the share of outputs that are not 0, and ``analog_operations_per_step``
    how often such an output, or an input, is multiplied at a synapse. Neither is a rival of ``firing_rate`` or ``sops_per_step``.
    """
    report, result = found.evaluation.report, training(run)["result"] or {}
    activity = None if found.activity is None else found.activity.to_dict()
    chosen = None if found.exit is None or found.exit.policy.confidence is None else found.exit.result
    models = {} if energy is None else energy["models"]
    rate = None if report["firing_rate"] is None else report["firing_rate"]["mean"]
    sops, spiking = (None, True) if activity is None else (activity["sops_per_step"], activity["spiking"])
    return {
        "name": name,
        "accuracy": report["accuracy"],
        "accuracy_labelled": report.get("accuracy_labelled"),
        "accuracy_without_silence": report.get("accuracy_without_silence"),
        "balanced_accuracy": found.classes.balanced_accuracy,
        "settled_steps": None if found.anytime is None else found.anytime.settled(),
        "exit_accuracy": None if chosen is None else chosen.accuracy,
        "exit_mean_steps": None if chosen is None else chosen.mean_steps,
        "firing_rate": rate if spiking else None,
        "activity": None if spiking else rate,
        "sops_per_step": sops if spiking else None,
        "analog_operations_per_step": None if spiking else sops,
        "parameters": report["parameters"],
        **{f"energy_{model}": None if one is None else one["energy_pj"]["step"] for model, one in models.items()},
        "training_seconds": result.get("seconds"),
    }


def differences(settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Only what differs: {"key": "training.optimizer.lr", "values": [...]}, a value for each; None where one has no such key.

    A mapping in which nothing stands says no more than one that is not there.
    """
    flat = [_flat(one) for one in settings]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    rows = [{"key": key, "values": [one.get(key) for one in flat]} for key in keys]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {key: value}
    return {k: v for name, item in value.items() for k, v in _flat(item, f"{key}.{name}" if key else str(name)).items()}


def _settings(run: Run) -> dict[str, Any]:
    """The recipe without its note, which sets nothing."""
    return {name: value for name, value in run.recipe.to_dict().items() if name != "note"}


def _epoch(record: dict[str, Any]) -> dict[str, Any]:
    """What is drawn of an epoch."""
    return {name: record[name] for name in ("epoch", "train", "validation") if name in record}
