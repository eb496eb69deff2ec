"""``srnn evaluate``."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import Kind, SrnnError
from .options import (
    NO_OPTIONS,
    RARE,
    Data,
    DataDir,
    Json,
    Models,
    NoExit,
    RecordingOptions,
    SeedNumber,
    Split,
)
from .show import RESULT_NAMES, percent, print_result, show_result, show_table
from .show_section import show_parts, show_section

if TYPE_CHECKING:
    from ..data.datasets import SplitName
    from ..data.recordings import ReadingOverrides
    from ..measure.analysis import AnalysisOptions
    from ..model.trained import Trained
    from ..nn.baselines import Network
    from ..training.evaluation import Evaluation
    from ..training.runs import Run

_FULL = {
    "exit_loss": ("exit_loss", 0, 100),
    "exit_patience": ("exit_patience", 1, 2**31 - 1),
    "exit_margin": ("exit_margin", 0, 1),
    "tolerance": ("tolerance_ms", 0.001, 10_000),
    "saturated": ("saturated_above", 0, 1),
}
"""Options of --full: the name in ``AnalysisOptions``, the least and the largest value."""


@Parameter(name="*", group=RARE)
@dataclass(frozen=True)
class FullOptions:
    """Options of --full.

    Args:
        exit_loss: --full: percentage points of accuracy that deciding early may cost on validation
            (default: 0.5)
        exit_patience: --full: consecutive steps of sufficient confidence (default: chosen on
            validation)
        exit_margin: --full: margin, 0 to 1, of a class over the next (default: 0)
        tolerance: --full, ECG: tolerance of a wave's borders, ms (default: 150)
        saturated: --full: rate above which a neuron counts as saturated (default: 0.9)
    """

    exit_loss: float | None = None
    exit_patience: int | None = None
    exit_margin: float | None = None
    tolerance: float | None = None
    saturated: float | None = None

    def given(self) -> dict[str, float]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


DEFAULT_OPTIONS = FullOptions()


def evaluate(
    models: Models,
    /,
    *,
    split: Split = "validation",
    full: bool = False,
    no_exit: NoExit = False,
    options: FullOptions = DEFAULT_OPTIONS,
    live: bool = False,
    noise: float | None = None,
    false_accepts: float | None = None,
    seed: Annotated[
        SeedNumber | None,
        Parameter(help="seed of random initial states (default: the run's own, or 0)"),
    ] = None,
    data: Data = None,
    recording: RecordingOptions = NO_OPTIONS,
    data_dir: DataDir = None,
    json: Json = False,
) -> int:
    """Measure a trained network: accuracy, or errors of values, firing rates, number of parameters.

      srnn evaluate runs/digits-s0-1 --split test

    With --full it measures everything that applies to the task: recall and precision of every
    class, the accuracy of every group (record, speaker, subject) and its confidence interval,
    calibration, accuracy over time, time to decision, an early-exit policy (always chosen on
    validation), delineation of ECG waves, every neuron's rate, synaptic operations, time constants
    before and after training. The results are written into the run (evaluation-SPLIT.json,
    exit-policy.json), but not if the data or the seed are not the run's own; use --json to keep
    those.
      srnn evaluate runs/digits-s0-1 --full --exit-loss 1

    With --live the sounds of the split form one long signal, with silence between them. Measured
    are the words understood, false accepts per hour, false rejects, and the delay of a decision,
    for thresholds from 0.5 to 0.95 and for the model's own rule. --false-accepts chooses that rule
    on validation, with and without noise, and keeps it in the run (spotting.json).
      srnn evaluate speech-commands-mini --live --noise 20
      srnn evaluate RUN --live --false-accepts 60

    Several runs, the seeds of one recipe or the folds of a cross-validation, are measured one after
    the other, and then together: the mean of their accuracies, and the confidence interval over the
    groups of all.
      srnn evaluate runs/fold-1 runs/fold-2 runs/fold-3 --split test

    Args:
        full: measure everything that applies to the task, and write it into the run
        live: spot words in all sounds of the split, joined into one signal
        noise: --live: add white noise, this many decibels below the sounds
        false_accepts: --live: choose the rule for detecting words on validation, with at most so
            many false accepts per hour
    """
    names = [*["no_exit"] * no_exit, *options.given()]
    named = [f"--{name.replace('_', '-')}" for name in names]
    of_exit = [name for name in named if name.startswith("--exit")]
    refused: list[tuple[bool, str, Kind, str]] = [
        (
            bool(named) and not full,
            f"{''.join(named[:1])} belongs to --full; add it.",
            "conflict",
            "full",
        ),
        (
            no_exit and bool(of_exit),
            f"{''.join(of_exit[:1])} and --no-exit contradict each other; give one of them.",
            "conflict",
            "no_exit",
        ),
        (
            live and full,
            "--live and --full measure different things; give one of them.",
            "conflict",
            "live",
        ),
        (
            noise is not None and not (live and -100 <= noise <= 100),
            "--noise needs --live, and must be between -100 and 100 decibels.",
            "value",
            "noise",
        ),
        (
            false_accepts is not None and not (live and false_accepts >= 0),
            "--false-accepts needs --live, and must be at least 0.",
            "value",
            "false_accepts",
        ),
        (
            len(models) > 1 and (full or live),
            "--full and --live measure one model; name one.",
            "conflict",
            "full" if full else "live",
        ),
    ]
    for wrong, message, kind, field in refused:
        if wrong:
            raise SrnnError(message, kind, field)
    reading = recording.of(data)

    if len(models) > 1:
        return _evaluate_together(models, split, seed, data, reading, data_dir, json)

    from ..model.opening import open_trained
    from ..training import evaluation

    (title,) = models
    original = open_trained(title, data, reading)
    trained = original if seed is None else replace(original, seed=seed)
    keeps = data is None and (full or false_accepts is not None)
    if live:
        trained.require_classes("measured with --live")
    run = _own_run(trained) if keeps else None
    if live:
        return _spot(trained, title, run, split, noise, false_accepts, data_dir, json)
    if full:
        chosen = _analysis_options(options, trained, no_exit)
        # The untrained network is of the training's own seed.
        return _analyse(trained, title, original.untrained(), run, split, data_dir, chosen, json)
    measured = evaluation.evaluate(trained, split, data_dir=data_dir)
    return print_result(json, measured.report, lambda: _show_evaluation(measured, title, trained))


def _analyse(
    trained: Trained,
    title: str,
    initial: Network | None,
    run: Run | None,
    split: SplitName,
    data_dir: Path | None,
    options: AnalysisOptions,
    json: bool,
) -> int:
    """--full: everything that applies to the task; the results go into the run's folder, too."""
    from ..measure.analysis import analyse, recipe_spikes

    analysis = analyse(trained, split, data_dir=data_dir, initial=initial, options=options)
    if run is not None:
        run.write_json(f"evaluation-{split}.json", analysis.to_dict())
        if analysis.exit is not None:
            run.write_json("exit-policy.json", analysis.exit.policy.to_dict())

    def show() -> None:
        show_result(analysis.evaluation.report, title, recipe_spikes(trained.recipe))
        for section in analysis.sections().values():
            show_section(section)

    return print_result(json, analysis.to_dict(), show)


def _show_evaluation(measured: Evaluation, title: str, trained: Trained) -> None:
    from ..measure.analysis import ClassReport, GroupReport, recipe_spikes

    show_result(measured.report, title, recipe_spikes(trained.recipe))
    if trained.task.targets is not None:
        # The errors of each value, where there are several.
        rows = [
            [name, *(f"{one[key]:.4g}" for key in ("mae", "rmse", "r2")), one["unit"] or ""]
            for name, one in measured.report.get("values", {}).items()
        ]
        if rows:
            columns = (*(RESULT_NAMES[key] for key in ("mae", "rmse", "r2")), "unit")
            show_table("each value", ("value", *columns), rows)
        return
    classes = ClassReport(
        tuple(trained.task.class_names), measured.confusion, trained.loss.per_step
    )
    show_parts([*classes.least_recognised(), *GroupReport.of(measured).certainty()])
    named = shlex.quote(title)
    print(f"Everything else: srnn evaluate {named} --full, or a page of it: srnn report {named}")


def _evaluate_together(
    paths: list[str],
    split: SplitName,
    seed: int | None,
    data: Path | None,
    reading: ReadingOverrides,
    data_dir: Path | None,
    json: bool,
) -> int:
    if len(set(paths)) < len(paths):
        raise SrnnError("A model is named twice; name each once.", "value", "models")
    import numpy as np

    from ..data.tasks import FOLDS
    from ..measure.analysis import ClassReport, GroupReport
    from ..model.opening import open_trained
    from ..studies.summary import spread
    from ..training.evaluation import ACCURACIES, balanced_accuracy, evaluate

    models = [open_trained(path, data, reading) for path in paths]
    for trained in models:
        trained.require_classes("measured together")
    # The fold that each model left out; besides, all must have one task and its options. With
    # --data all are measured on the same sequences, whatever they were trained on.
    first = models[0]
    options = [{} if data else dict(trained.recipe.task.options) for trained in models]
    folds = [{name: of_run.pop(name, None) for name in FOLDS} for of_run in options]
    same = (first.task.name, options[0], first.classes)
    for path, trained, of_run in zip(paths, models, options, strict=True):
        if (trained.task.name, of_run, trained.classes) != same:
            raise SrnnError(
                f"{path} has another task, other options of it, "
                f"or other classes, than {paths[0]}; measure them apart.",
                "conflict",
                path,
            )
    if seed is not None:
        models = [replace(trained, seed=seed) for trained in models]
    measured = [evaluate(trained, split, data_dir=data_dir) for trained in models]
    names = [name for name in ACCURACIES if all(name in one.report for one in measured)]
    spreads = {name: spread([one.report[name] for one in measured]) for name in names}
    groups = GroupReport.together(
        [GroupReport.of(one) for one in measured], [folds.index(fold) for fold in folds]
    )
    confusion = np.sum([one.confusion for one in measured], axis=0)
    together = {"accuracy": groups.overall}
    # Of all decisions: a fold without an alarm has no recall of alarms.
    if "balanced_accuracy" in names:
        together["balanced_accuracy"] = balanced_accuracy(confusion)

    def show() -> None:
        rows: list[list[str] | None] = [
            [
                str(path),
                f"{one.report['n_sequences']:,}",
                *(percent(one.report[name]) for name in names),
            ]
            for path, one in zip(paths, measured, strict=True)
        ]
        rows += [
            None,
            [f"mean of {len(models)}", "", *(percent(spreads[name]["mean"]) for name in names)],
        ]
        rows += [["standard deviation", "", *(percent(spreads[name]["std"]) for name in names)]]
        titles = (RESULT_NAMES[name] for name in names)
        show_table(f"{first.task.name}, {split} split", ("model", "sequences", *titles), rows)
        show_parts(
            ClassReport(
                tuple(first.task.class_names), confusion, first.loss.per_step
            ).least_recognised()
        )
        labelled = ", labelled steps" if groups.labelled else ""
        if "balanced_accuracy" in together:
            print(f"all decisions: balanced accuracy {percent(together['balanced_accuracy'])}")
        print(f"all decisions{labelled}: {percent(groups.overall)} right")
        show_parts(groups.certainty())

    reports = [
        {"model": str(path), **one.report} for path, one in zip(paths, measured, strict=True)
    ]
    content = {
        "split": split,
        "models": reports,
        **spreads,
        "together": {**together, **groups.to_dict()},
    }
    return print_result(json, content, show)


def _spot(
    trained: Trained,
    title: str,
    run: Run | None,
    split: SplitName,
    noise: float | None,
    false_accepts: float | None,
    data_dir: Path | None,
    json: bool,
) -> int:
    from ..deploy.streaming import Decoder, SpottingRule
    from ..deploy.streaming.spotting_evaluation import (
        THRESHOLDS,
        choose_threshold,
        concatenated,
        evaluate_spotting,
        score_windows,
    )

    decoder = Decoder.of(trained, data_dir=data_dir)
    own_rule = None if trained.spotting is None else SpottingRule.of(trained)
    sounds = trained.task.load(split, data_dir)
    if false_accepts is not None:
        if split == "validation":
            validation = sounds
        else:
            validation = trained.task.load("validation", data_dir)
        own_rule = choose_threshold(decoder, validation, false_accepts, trained.seed)
        if run is not None:
            run.write_json("spotting.json", asdict(own_rule))
    signal, clips = concatenated(sounds, decoder.signal.rate or 1.0, trained.seed, noise)
    scores, rules = score_windows(decoder, signal), map(SpottingRule, THRESHOLDS)
    if own_rule is None:
        by_rule = None
    else:
        by_rule = evaluate_spotting(decoder, scores, clips, own_rule).to_dict()
    rows = [evaluate_spotting(decoder, scores, clips, rule).to_dict() for rule in rules]

    def show() -> None:
        print(
            f"{title}: {rows[0]['words']:,} words and all other clips of {split}, "
            f"{rows[0]['seconds'] / 60:.1f} minutes"
        )
        print(
            "probability  understood  false rejects  false accepts per hour (without a word)  "
            "delay from a clip's beginning, median, 95 %"
        )
        for row in [*rows, *([] if by_rule is None else [by_rule])]:
            delay = "    ".join(
                "-" if one is None else f"{one:.2f} s" for one in row["delay_seconds"].values()
            )
            print(
                f"{row['threshold']:>11.2f}  {row['understood'] / max(1, row['words']):>10.1%} "
                f" {row['false_rejects']:>13,}  {row['false_accepts_an_hour']:>22,.0f} "
                f"({row['without_a_word_an_hour']:>14,.0f})  {delay}"
                + (f"  (its own rule; windows averaged: {row['smooth']})" if row is by_rule else "")
            )

    report = {"split": split, "noise_db": noise, "rule": by_rule, "thresholds": rows}
    return print_result(json, report, show)


def _own_run(trained: Trained) -> Run | None:
    """The run whose folder the results go into: the model's own, if the seed is the run's own, as
    readers of the folder assume. SrnnError if it cannot be written."""
    from ..files import check_writable
    from ..training.runs import Run

    folder = trained.folder
    if folder is None or not folder.is_dir():
        return None
    run = Run.open(folder)
    if trained.seed != run.seed:
        return None
    check_writable(run.path)
    return run


def _analysis_options(options: FullOptions, trained: Trained, no_exit: bool) -> AnalysisOptions:
    """The options of --full. SrnnError for invalid ones, and for those that have no effect on the
    task or the network."""
    from ..measure.analysis import AnalysisOptions, can_exit, has_waves

    task, chosen = trained.task, dict[str, Any]()
    for name, value in options.given().items():
        (field, least, most), option = _FULL[name], f"--{name.replace('_', '-')}"
        if name.startswith("exit") and not can_exit(trained):
            reason = "is read by a bidirectional network"
            if trained.loss.per_step:
                reason = "decides at every step"
            raise SrnnError(
                f"{option} has no effect: task '{task.name}' {reason} here; remove it.",
                "conflict",
                name,
            )
        if name == "tolerance" and not has_waves(task):
            raise SrnnError(
                f"--tolerance is for the waves of an ECG, but the task is '{task.name}'; remove it.",
                "conflict",
                "tolerance",
            )
        if not least <= value <= most:
            raise SrnnError(
                f"{option} must be from {least:g} to {most:,}, not {value}.", "value", name
            )
        chosen[field] = value * 0.01 if name == "exit_loss" else value  # from percentage points
    return AnalysisOptions(not no_exit, **chosen)
