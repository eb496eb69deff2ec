"""What the page of a comparison says, as one object for JSON: several runs of one task side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...analysis import Analysis, AnalysisOptions, analyse
from ...energy.subjects import compare_energy
from ...errors import SrnnError
from ...runs import Run
from .content import analysis_options, describe_network, describe_task, plain, read_json, short_names, training

if TYPE_CHECKING:
    from ...datasets import SplitName


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
        network, task, loss = run.trained()
        found = analyse(
            network, task, loss, split, seed=run.seed, data_dir=data_dir,
            options=analysis_options(network, loss, options),
        )  # fmt: skip
        logged = training(run)
        report["name"] = name
        described.append(
            {
                "name": name,
                "seed": run.seed,
                "network": describe_network(network, run),
                "measures": measures(name, found, report, run),
                "recall": found.classes.recall,
                "anytime": None if found.anytime is None else found.anytime.accuracy,
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
            "recipes": differences([run.recipe.to_dict() for run in runs]),
            "environments": differences([read_json(run.path / "environment.json") for run in runs]),
        }
    )


def measures(name: str, found: Analysis, energy: dict[str, Any] | None, run: Run) -> dict[str, Any]:
    """The numbers by which runs are compared; None where one has no meaning for a run."""
    report, result = found.evaluation.report, training(run)["result"] or {}
    activity = None if found.activity is None else found.activity.to_dict()
    chosen = None if found.exit is None or found.exit.policy.confidence is None else found.exit.result
    models = {} if energy is None else energy["models"]
    return {
        "name": name,
        "accuracy": report["accuracy"],
        "accuracy_labelled": report.get("accuracy_labelled"),
        "accuracy_without_silence": report.get("accuracy_without_silence"),
        "balanced_accuracy": found.classes.balanced_accuracy,
        "settled_steps": None if found.anytime is None else found.anytime.settled(),
        "exit_accuracy": None if chosen is None else chosen.accuracy,
        "exit_mean_steps": None if chosen is None else chosen.mean_steps,
        "firing_rate": None if report["firing_rate"] is None else report["firing_rate"]["mean"],
        "sops_per_step": None if activity is None else activity["sops_per_step"],
        "parameters": report["parameters"],
        **{f"energy_{model}": None if one is None else one["energy_pj"]["step"] for model, one in models.items()},
        "training_seconds": result.get("seconds"),
    }


def differences(settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Only what differs: {"key": "training.optimizer.lr", "values": [...]}, a value for each; None where one has no such key."""
    flat = [_flat(one) for one in settings]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    rows = [{"key": key, "values": [one.get(key) for one in flat]} for key in keys]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {
            k: v for name, item in value.items() for k, v in _flat(item, f"{key}.{name}" if key else str(name)).items()
        }
    return {key: value}


def _epoch(record: dict[str, Any]) -> dict[str, Any]:
    """What is drawn of an epoch."""
    return {name: record[name] for name in ("epoch", "train", "validation") if name in record}
