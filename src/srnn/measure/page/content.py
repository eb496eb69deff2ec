"""The content of a run's page, as one object for JSON: the page embeds it, and
``srnn report --json`` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...data.batches import Sequences
from ...data.datasets import SplitName
from ...data.leads import has_waves
from ...data.recordings import NO_OVERRIDES, ReadingOverrides
from ...errors import SrnnError
from ...files import read_object
from ...files.bounds import CountFrom0
from ...files.conversion import check
from ...model.opening import open_trained
from ...model.trained import Trained
from ...registry import is_name
from ...text import plain
from ...training.evaluation import ACCURACIES
from ...training.recipes import dump_recipe
from ...training.recipes.baselines import BASELINES
from ...training.runs import Run
from ..analysis import Analysis, AnalysisOptions, analyse, recipe_spikes
from ..energy.compared import compare_energy
from ..energy.page import section as energy_section
from ..heartbeats import NOT_MEDICAL
from ..sections import COUNT, ENERGY, NUMBER, SHARE, Form, Values, as_json
from .history import history_sections
from .samples import kind_of, take_samples

SAMPLES = 6
ERRORS = {"mae": "mean absolute error", "r2": "R2"}
"""Those that are shown first of a network whose answers are values."""
MOST_PAIRS = 8
"""Most channels of a signal whose rises and falls have a track each; with more, all inputs share
one."""


def _compared(trained: Trained, baselines: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The names of untrained baselines, and the run folders, whose energy is compared with a
    run's."""
    if trained.recipe.network.model == "srnn":
        default = ["lstm"]
    else:
        default = []
    if baselines is None:
        names = default
    else:
        names = list(baselines)
    untrained = [name for name in names if is_name(name, BASELINES, "baseline")]
    others = [name for name in names if name not in BASELINES]
    for name in others:
        if not Path(name).is_dir():
            raise SrnnError(
                f"'{name}' is neither a run folder nor a baseline; baselines are "
                f"{', '.join(BASELINES)}.",
                "name",
                "baselines",
            )
    return untrained, others


def report_content(
    folder: Path | str,
    split: SplitName = "validation",
    *,
    samples: int = SAMPLES,
    baselines: Sequence[str] | None = None,
    data: Path | None = None,
    said: ReadingOverrides = NO_OVERRIDES,
    data_dir: Path | None = None,
    options: AnalysisOptions | None = None,
) -> dict[str, Any]:
    """Collect everything about a run, or a model's file.

    Args:
        folder: the run's folder, or the model's file.
        split: the split that is read; validation, too, if an exit policy has to be chosen.
        samples: number of real sequences that can be watched step by step.
        baselines: networks whose energy is compared: run folders, and names of untrained baselines
            of the same sizes. None: an LSTM, unless the run itself is a network of torch's cells.
        data: labelled recordings on which to measure, instead of the task's own data.
        said: metadata of these recordings that the recordings do not state themselves.
        data_dir: the folder of the task's data; None: where the task looks for them.
        options: options of the analysis; None: the defaults.

    Returns:
        What the page shows, for JSON.

    Raises:
        SrnnError: ``missing`` or ``file`` for a folder that is not a trained run, and without data;
            ``unsupported`` for a network that raises alarms.
    """
    samples = check("samples", samples, CountFrom0)
    trained = open_trained(folder, data, said)
    if trained.alarm is not None:
        raise SrnnError(
            f"{trained.name} raises alarms, and is not measured on labels: srnn serve and srnn "
            "export web make the page that shows its score over time, srnn predict prints it.",
            "unsupported",
            "folder",
        )
    task = trained.task
    untrained, others = _compared(trained, baselines)
    initial = trained.untrained()
    analysis = analyse(trained, split, data_dir=data_dir, initial=initial, options=options)
    energy = compare_energy(
        [folder, *others], untrained, split=split, data=data, said=said, data_dir=data_dir
    )
    shown = [*short_names([Path(folder), *map(Path, others)]), *untrained]
    rows = zip(shown, energy["networks"], energy["compared_with_first"], strict=True)
    for name, report, row in rows:
        report["name"] = row["name"] = name
    # How it was trained, and where; of a model's file only the result and the seed are left.
    history = {"epochs": [], "events": [], "best_epoch": None}
    history["result"], environment = trained.about.get("result"), {"seed": trained.seed}
    if trained.folder is not None and trained.folder.is_dir():
        history = training(Run.open(trained.folder))
        environment = read_object(trained.folder / "environment.json")
    policy = None
    if analysis.exit is not None and analysis.exit.policy.confidence is not None:
        policy = analysis.exit.policy
    watched: dict[str, Any] = {"watched": [], "substeps": 1, "sequences": []}
    if samples:
        sequences, activity = Sequences(task, split, data_dir), analysis.activity
        watched = take_samples(trained, sequences, samples, activity=activity, policy=policy)
    spiking = recipe_spikes(trained.recipe)
    sections = analysis.sections() | {"energy": energy_section(energy)}
    sections |= history_sections(history, spiking)
    return plain(
        {
            "kind": "report",
            "name": trained.name,
            "input_pairs": pairs if len(pairs := task.signal().pairs) <= MOST_PAIRS else (),
            "caution": NOT_MEDICAL if has_waves(task) else "",
            "task": describe_task(trained),
            "network": describe_network(trained),
            "evaluation": analysis.to_dict(),
            "short": as_json(_in_short(analysis, energy["networks"][0], spiking)),
            "sections": as_json(sections),
            "training": history,
            "energy": energy,
            "samples": watched,
            "recipe": dump_recipe(trained.recipe),
            "environment": environment,
        }
    )


def _in_short(analysis: Analysis, energy: dict[str, Any], spiking: bool) -> Values:
    """The numbers that a reader looks for first."""
    report, found = analysis.evaluation.report, dict[str, tuple[Any, Form]]()
    for name in ACCURACIES:
        if report.get(name) is not None:
            words = name.replace("_labelled", ", labelled steps").replace("_", " ")
            found[words] = report[name], SHARE
    if analysis.groups is not None:
        for part in analysis.groups.certainty():
            if isinstance(part, Values):
                found |= part.values
    for name, title in ERRORS.items():
        if report.get(name) is not None:
            if report["unit"] is None or name == "r2":
                unit = ""
            else:
                unit = f", {report['unit']}"
            found[title + unit] = report[name], NUMBER
            if report["interval"] is not None:
                found[f"{title}, 95 % interval"] = report["interval"][name], NUMBER
    if report["firing_rate"] is not None:
        rate = "activity, fraction of outputs that are not 0"
        if spiking:
            rate = "firing rate, spikes per neuron and step"
        found[rate] = report["firing_rate"]["mean"], NUMBER
    found["parameters"] = report["parameters"], COUNT
    found["bytes of memory"] = energy["footprint_bytes"], COUNT
    for model, name in (
        ("fp32", "estimated energy per step"),
        ("memory", "estimated energy per step, with memory"),
    ):
        if energy["models"][model] is not None:
            found[name] = energy["models"][model]["energy_pj"]["step"], ENERGY
    if analysis.exit is not None and analysis.exit.policy.confidence is not None:
        steps = Form("steps", step_ms=analysis.exit.step_ms)
        found["steps read with early exit"] = analysis.exit.result.mean_steps, steps
    return Values(found)


def describe_task(trained: Trained) -> dict[str, Any]:
    """A short description of the task, and of the loss; "values" have a name and a unit each, and
    are None where answers are classes."""
    task, loss, unlabelled = trained.task, trained.recipe.loss, trained.task.unlabelled_class
    values = None
    if task.targets is not None:
        pairs = zip(trained.classes, task.targets.units, strict=True)
        values = [{"name": name, "unit": unit} for name, unit in pairs]
    return {
        "name": task.name,
        "options": dict(trained.recipe.task.options),
        "per_step": task.kind == "per_step",
        "inputs": task.inputs,
        "signal": task.signal().what,
        "class_names": list(task.class_names),
        "values": values,
        "unlabelled_class": None if unlabelled is None else task.class_names[unlabelled],
        "step_ms": task.step_ms,
        "label_lag": task.lag(),
        "start": loss.start,
        "loss": loss.name,
    }


def describe_network(trained: Trained) -> dict[str, Any]:
    """A short description of the network, and its sizes; its parameters are counted by the
    evaluation."""
    network, config = trained.network, trained.recipe.network
    return {
        "model": config.model,
        "inputs": network.inputs,
        "hidden": list(config.hidden),
        "outputs": network.outputs,
        "neurons": [kind_of(layer) for layer in network.layers],
        "spiking": recipe_spikes(trained.recipe),
        "bidirectional": bool(network.bidirectional),
        "substeps": getattr(network, "substeps", 1),
    }


def short_names(folders: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as are needed to distinguish them all."""
    parts = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return ["/".join(part) for part in parts]


def training(run: Run) -> dict[str, Any]:
    """The values that training logged for each epoch, what it did when it went wrong, and the epoch
    that validation chose."""
    epochs = run.epochs()
    best = [record["epoch"] for record in epochs if record.get("best")]
    result = None
    if run.outcome.is_file():
        result = run.result()
    if result is not None:
        result.pop("run", None)  # the run's location is private
    return {
        "epochs": epochs,
        "events": run.events(),
        "best_epoch": best[-1] if best else None,
        "result": result,
    }
