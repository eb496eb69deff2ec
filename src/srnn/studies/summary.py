"""Several runs of one recipe, seed by seed, as one result: mean and spread, the validation curve,
and how to reproduce it.

summary.json   every number, unrounded; recipe and environments
summary.md     the table, for people
curves.svg     validation accuracy (balanced, if that chose the epoch) by epoch, one line per seed
"""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import SrnnError
from ..files import locks, read_object, reading, write_atomically
from ..files.conversion import finite
from ..measure import style
from ..measure.analysis import recipe_spikes
from ..text import code, json_text, markdown, markdown_table, one_line
from ..training.evaluation import ACCURACIES
from ..training.recipes import Recipe, dump_recipe
from ..training.runs import Run


@dataclass(frozen=True)
class FinishedRun:
    """What a summary reads from a run folder."""

    seed: int
    recipe: Recipe
    result: dict[str, Any]
    """``result.json``: the validation report of the best checkpoint."""
    environment: dict[str, Any]
    epochs: list[dict[str, Any]]
    """One record of metrics.jsonl per epoch."""


def read_run(folder: Path) -> FinishedRun:
    """Read a finished run. SrnnError for a folder that is not a run, or whose training has not
    ended."""
    run = Run.open(folder)
    result, epochs = run.result(), run.epochs()
    if "mae" in result:
        problem = f"{folder} answers with values; runs are summarised where they name a class."
        raise SrnnError(problem, "unsupported", folder)
    with reading(run.metrics, "a training's metrics"):
        finite(record["validation"][_measure(run.recipe)] for record in epochs)
    with reading(folder / "environment.json", "a run's environment"):
        environment = read_object(folder / "environment.json")
        _ = environment["cpu"], environment["cores"], environment["git_commit"]
        _ = environment["versions"]["torch"]
    with reading(run.outcome, "a run's result"):
        rate = result["firing_rate"]
        names = ("accuracy", "parameters", "best_epoch", "epochs", "seconds")
        finite(result[name] for name in names)
        finite(result[name] for name in ACCURACIES if name in result)
        finite([rate["mean"]] if rate else [])
        if not 1 <= result["best_epoch"] <= len(epochs):
            known = f"the {len(epochs)} of {run.metrics.name}"
            raise ValueError(f"its best epoch is not one of {known}")
    return FinishedRun(run.seed, run.recipe, result, environment, epochs)


def _measure(recipe: Recipe) -> str:
    """What is drawn of a recipe's validation."""
    metric = recipe.training.early_stopping.metric
    if metric in ACCURACIES:
        return metric
    return "accuracy"


def machine(environment: dict[str, Any]) -> str:
    """Where and with what a run was trained, from its environment.json, in a sentence."""
    versions, commit = environment["versions"], environment["git_commit"]
    # An installed package has no commit.
    if commit is None:
        code = f"srnn {versions.get('srnn')}"
    else:
        code = f"commit {commit}"
    return f"{environment['cpu']}, {environment['cores']} cores, torch {versions['torch']}, {code}."


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (None for a single value), min, max and the values
    themselves."""
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "min": min(values),
        "max": max(values),
        "values": list(values),
    }


def last_epochs(curve: Sequence[float]) -> float:
    """The mean of the last tenth of a training's epochs, which nothing chose; at least one."""
    return statistics.fmean(curve[-max(1, round(len(curve) / 10)) :])


@locks("out")
def summarise(folders: Sequence[Path], out: Path, title: str, command: str) -> dict[str, Any]:
    """Write the summary of some runs of one recipe.

    Args:
        folders: the runs.
        out: the summary's folder.
        title: of its page.
        command: how each run was made, with SEED in place of the seed; shown in the summary.

    Returns:
        The content of summary.json.

    Raises:
        SrnnError: ``conflict``: the runs have different recipes, or a seed occurs twice; others: a
            run cannot be read.
    """
    runs = sorted((read_run(folder) for folder in folders), key=lambda run: run.seed)
    if not runs:
        raise SrnnError("Name at least one run folder.", "missing", "folders")
    for run in runs[1:]:
        if replace(run.recipe, note="") != replace(runs[0].recipe, note=""):
            problem = "These runs have different recipes; summarise each recipe's runs separately."
            raise SrnnError(problem, "conflict", "folders")
    seeds = [run.seed for run in runs]
    if len(set(seeds)) < len(seeds):
        problem = f"A seed occurs twice among these runs ({seeds})."
        raise SrnnError(problem, "conflict", "folders")

    results, measure = [run.result for run in runs], _measure(runs[0].recipe)
    curves = [[record["validation"][measure] for record in run.epochs] for run in runs]
    summary = {
        "title": title,
        "command": command,
        "split": "validation (which also chose the epoch)",
        "seeds": seeds,
        **{
            name: spread([r[name] for r in results])
            for name in ACCURACIES
            if all(name in r for r in results)
        },
        "last_epochs": {"measure": measure, **spread(list(map(last_epochs, curves)))},
        "firing_rate": spread([r["firing_rate"]["mean"] for r in results])
        if results[0]["firing_rate"]
        else None,
        "spiking": recipe_spikes(runs[0].recipe),
        "parameters": results[0]["parameters"],
        "best_epoch": [r["best_epoch"] for r in results],
        "epochs": [r["epochs"] for r in results],
        "seconds": [r["seconds"] for r in results],
        "curves": curves,
        "environments": [run.environment for run in runs],
        "recipe": runs[-1].recipe.to_dict(),
    }
    shown = measure.replace("_", " ")
    page, picture = _page(summary, shown), _plot(summary, shown)
    write_atomically(out / "recipe.yaml", dump_recipe(runs[-1].recipe).encode())
    write_atomically(out / "summary.json", (json_text(summary) + "\n").encode())
    write_atomically(out / "summary.md", page.encode())
    write_atomically(out / "curves.svg", picture)
    return summary


def _page(summary: dict[str, Any], shown: str) -> str:
    environment, rate = summary["environments"][0], summary["firing_rate"]
    columns = [name for name in ACCURACIES if name in summary]
    titles = [name.replace("accuracy_", "accuracy, ").replace("_", " ") for name in columns]
    activity = "hidden outputs not 0"
    if summary["spiking"]:
        activity = "hidden firing rate"
    last = summary["last_epochs"]
    head = ["seed", *titles, "last tenth of epochs", activity, "best epoch", "training, s"]
    rows = [
        [
            str(seed),
            *(f"{summary[name]['values'][i]:.2%}" for name in columns),
            f"{last['values'][i]:.2%}",
            f"{rate['values'][i]:.4f}" if rate else "n/a",
            f"{summary['best_epoch'][i]} of {summary['epochs'][i]}",
            f"{summary['seconds'][i]:.0f}",
        ]
        for i, seed in enumerate(summary["seeds"])
    ]
    if len(rows) > 1:
        both = [
            f"{one['mean']:.2%} ± {100 * one['std']:.2f}"
            for one in (*(summary[name] for name in columns), last)
        ]
        mean_rate = "n/a"
        if rate:
            mean_rate = f"{rate['mean']:.4f} ± {rate['std']:.4f}"
        rows.append(["**mean ± std**", *both, mean_rate, "", ""])
    lines = [
        f"# {markdown(summary['title'])}",
        "",
        f"Split: {summary['split']}. {summary['parameters']:,} trained parameters.",
        "No number here is from the test split.",
        "",
        *markdown_table(head, rows),
        "",
        f"![validation {shown} by epoch](curves.svg)",
        "",
        f"Made by {code(summary['command'])} for each seed; recipe in [recipe.yaml](recipe.yaml),",
        "all numbers in [summary.json](summary.json).",
        markdown(machine(environment)),
        "",
    ]
    return "\n".join(lines)


def _plot(summary: dict[str, Any], shown: str) -> bytes:
    with style.context():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(style.WIDTH, 3.4), layout="constrained")
        axes = figure.subplots()
        for i, (seed, curve) in enumerate(zip(summary["seeds"], summary["curves"], strict=True)):
            # From the eighth seed on in other pairs.
            colour, dash = style.CYCLE[i % 7], style.DASHES[(i + i // 7) % 7]
            percent, best = [100 * value for value in curve], summary["best_epoch"][i]
            axes.plot(
                range(1, len(curve) + 1), percent, lw=1, color=colour, ls=dash, label=f"seed {seed}"
            )
            axes.plot(best, percent[best - 1], "o", color=colour)
        axes.plot([], [], "o", color=style.GREY, label="best epoch")
        axes.set(xlabel="epoch", ylabel=f"validation {shown}, %")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.grid()
        figure.suptitle(
            "\n".join(textwrap.wrap(one_line(summary["title"]), 100)), fontsize=8, x=0.01, ha="left"
        )
        columns = math.ceil(len(summary["seeds"]) / 20)
        figure.legend(loc="outside right upper", ncols=columns)  # covers no curve
        return style.rendered(figure, "svg")
