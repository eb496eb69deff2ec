"""Measure a trained network: accuracy, firing rates, number of parameters.

  srnn evaluate runs/digits-s0-20260101-120000 --split test

With --full it measures everything that applies to the task: recall and precision of every class, the accuracy of every group
(record, speaker, subject) and its confidence interval, calibration, accuracy over time, time to decision, an early-exit policy
(always chosen on validation), delineation of ECG waves, every neuron's rate, synaptic operations, time constants before and
after training. The results are written into the run (evaluation-SPLIT.json, exit-policy.json), but not if the data or the seed
are not the run's own; use --json to keep those.
  srnn evaluate runs/digits-s0-20260101-120000 --full --exit-loss 1

With --live the sounds of the split form one long signal, with silence between them. Measured are the words understood, false
accepts per hour, false rejects, and the delay of a decision, for thresholds from 0.5 to 0.95 and for the model's own rule.
--false-accepts chooses that rule on validation, with and without noise, and keeps it in the run (spotting.json).
  srnn evaluate speech-commands-mini --live --noise 20
  srnn evaluate RUN --live --false-accepts 60

Several runs, the seeds of one recipe or the folds of a cross-validation, are measured one after the other, and then together:
the mean of their accuracies, and the confidence interval over the groups of all.
  srnn evaluate runs/fold-1 runs/fold-2 runs/fold-3 --split test
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError
from .options import seed
from .show import RESULT_NAMES, percent, show_classes, show_interval, show_result, show_table, tell

if TYPE_CHECKING:
    from ..measure.analysis import Analysis, AnalysisOptions
    from ..nn.baselines import Network
    from ..training.runs import Run
    from ..training.trained import Trained

SHARED = ("models", "--no-exit", "--split", "--data", "--data-dir", "--json")
_FULL = {
    "exit_loss": ("exit_loss", 0, 100),
    "exit_patience": ("exit_patience", 1, 2**31 - 1),
    "exit_margin": ("exit_margin", 0, 1),
    "tolerance": ("tolerance_ms", 0.001, 10_000),
    "saturated": ("saturated_above", 0, 1),
}
"""Options of --full: the name in ``AnalysisOptions``, the least and the largest value."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=seed, metavar="N", help="seed of random initial states (default: the run's own, or 0)"
    )
    parser.add_argument(
        "--full", action="store_true", help="measure everything that applies to the task, and write it into the run"
    )
    parser.add_argument(
        "--exit-loss", type=float, metavar="P",
        help="--full: percentage points of accuracy that deciding early may cost on validation (default: 0.5)",
    )  # fmt: skip
    parser.add_argument(
        "--exit-patience",
        type=int,
        metavar="N",
        help="--full: consecutive steps of sufficient confidence (default: chosen on validation)",
    )
    parser.add_argument(
        "--exit-margin", type=float, metavar="M",
        help="--full: margin, 0 to 1, of a class over the next (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=float, metavar="MS", help="--full, ECG: tolerance of a wave's borders, ms (default: 150)"
    )
    parser.add_argument(
        "--saturated", type=float, metavar="R",
        help="--full: rate above which a neuron counts as saturated (default: 0.9)",
    )  # fmt: skip
    parser.add_argument(
        "--live", action="store_true", help="spot words in all sounds of the split, joined into one signal"
    )
    parser.add_argument(
        "--noise", type=float, metavar="DB", help="--live: add white noise, this many decibels below the sounds"
    )
    parser.add_argument(
        "--false-accepts", type=float, metavar="N",
        help="--live: choose the rule for detecting words on validation, with at most N false accepts per hour",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    given = [f"--{name.replace('_', '-')}" for name in ("no_exit", *_FULL) if getattr(arguments, name) is not None]
    if given and not arguments.full:
        raise SrnnError(f"{given[0]} belongs to --full; add it.")
    if arguments.no_exit and len(given) > 1 and given[1].startswith("--exit"):
        raise SrnnError(f"{given[1]} and --no-exit contradict each other; give one of them.")
    if arguments.live and arguments.full:
        raise SrnnError("--live and --full measure different things; give one of them.")
    if arguments.noise is not None and not (arguments.live and -100 <= arguments.noise <= 100):
        raise SrnnError("--noise needs --live, and must be between -100 and 100 decibels.")
    if arguments.false_accepts is not None and not (arguments.live and arguments.false_accepts >= 0):
        raise SrnnError("--false-accepts needs --live, and must be at least 0.")

    if len(arguments.models) > 1:
        return _evaluate_together(arguments)
    (arguments.model,) = arguments.models

    from ..measure.analysis import GroupReport, recipe_spikes
    from ..training.evaluation import evaluate
    from ..training.runs import open_trained

    original, title = open_trained(arguments.model, arguments.data), str(arguments.model)
    trained = original if arguments.seed is None else replace(original, seed=arguments.seed)
    if arguments.live:
        return _spot(arguments, trained, title)
    if arguments.full:
        analysis = analyse_fully(arguments, trained, original.untrained())  # of the training's own seed

        def show() -> None:
            from .show_analysis import show_analysis

            show_result(analysis.evaluation.report, title, recipe_spikes(trained.recipe))
            show_analysis(analysis)

        return tell(arguments, analysis.to_dict(), show)
    measured = evaluate(trained, arguments.split, data_dir=arguments.data_dir)

    def show_measured() -> None:
        show_result(measured.report, title, recipe_spikes(trained.recipe))
        show_classes(measured.confusion, trained.task.class_names)
        show_interval(measured.report, GroupReport.of(measured))

    return tell(arguments, measured.report, show_measured)


def _evaluate_together(arguments: argparse.Namespace) -> int:
    if arguments.full or arguments.live:
        raise SrnnError("--full and --live measure one model; name one.")
    if len(set(arguments.models)) < len(arguments.models):
        raise SrnnError("A model is named twice; name each once.")
    import numpy as np

    from ..data.tasks import FOLDS
    from ..measure.analysis import GroupReport
    from ..studies.summary import spread
    from ..training.evaluation import ACCURACIES, balanced_accuracy, evaluate
    from ..training.runs import open_trained

    models = [open_trained(path, arguments.data) for path in arguments.models]
    # With --data all are about the same sequences, whatever they were trained on.
    options = [{} if arguments.data else dict(trained.recipe.task.options) for trained in models]
    folds = [{name: own.pop(name, None) for name in FOLDS} for own in options]
    first = models[0]
    for path, trained, own in zip(arguments.models, models, options, strict=True):
        if (trained.task.name, own, trained.classes) != (first.task.name, options[0], first.classes):
            raise SrnnError(
                f"{path} has another task, other options of it, or other classes, than {arguments.models[0]}; "
                "measure them apart."
            )
    if arguments.seed is not None:
        models = [replace(trained, seed=arguments.seed) for trained in models]
    measured = [evaluate(trained, arguments.split, data_dir=arguments.data_dir) for trained in models]
    names = [name for name in ACCURACIES if all(name in one.report for one in measured)]
    spreads = {name: spread([one.report[name] for one in measured]) for name in names}
    groups = GroupReport.together([GroupReport.of(one) for one in measured], [folds.index(fold) for fold in folds])
    confusion = np.sum([one.confusion for one in measured], axis=0)
    together = {"accuracy": groups.overall}
    if "balanced_accuracy" in names:  # of all: a fold without an alarm says nothing of how often alarms are recognised
        together["balanced_accuracy"] = balanced_accuracy(confusion)

    def show() -> None:
        rows: list[list[str] | None] = [
            [str(path), f"{one.report['n_sequences']:,}", *(percent(one.report[name]) for name in names)]
            for path, one in zip(arguments.models, measured, strict=True)
        ]
        rows += [None, [f"mean of {len(models)}", "", *(percent(spreads[name]["mean"]) for name in names)]]
        rows += [["standard deviation", "", *(percent(spreads[name]["std"]) for name in names)]]
        titles = (RESULT_NAMES[name] for name in names)
        show_table(f"{first.task.name}, {arguments.split} split", ("model", "sequences", *titles), rows)
        show_classes(confusion, first.task.class_names)
        labelled = ", labelled steps" if "accuracy_labelled" in names else ""
        if "balanced_accuracy" in together:
            print(f"all decisions: balanced accuracy {percent(together['balanced_accuracy'])}")
        print(f"all decisions{labelled}: {percent(groups.overall)} right; {groups.text}")

    reports = [{"model": str(path), **one.report} for path, one in zip(arguments.models, measured, strict=True)]
    content = {"split": arguments.split, "models": reports, **spreads, "together": {**together, **groups.to_dict()}}
    return tell(arguments, content, show)


def _spot(arguments: argparse.Namespace, trained: Trained, title: str) -> int:
    from ..deploy.streaming import Decoder, SpottingRule
    from ..deploy.streaming.judging import THRESHOLDS, choose, concatenated, judge, listen

    decoder = Decoder.of(trained, data_dir=arguments.data_dir)
    own = SpottingRule.of(trained) if trained.spotting is not None else None
    split = trained.task.load(arguments.split, arguments.data_dir)
    if arguments.false_accepts is not None:
        run = _own_run(arguments, trained)
        validation = split if arguments.split == "validation" else trained.task.load("validation", arguments.data_dir)
        own = choose(decoder, validation, arguments.false_accepts, trained.seed)
        if run is not None:
            run.write_json("spotting.json", asdict(own))
    signal, clips = concatenated(split, decoder.signal.rate or 1.0, trained.seed, arguments.noise)
    heard, rules = listen(decoder, signal), [SpottingRule(threshold) for threshold in THRESHOLDS]
    by_rule = None if own is None else judge(decoder, heard, clips, own).to_dict()
    rows = [judge(decoder, heard, clips, rule).to_dict() for rule in rules]

    def show() -> None:
        print(
            f"{title}: {rows[0]['words']:,} words and all other clips of {arguments.split}, {rows[0]['seconds'] / 60:.1f} minutes"
        )
        print(
            "probability  understood  false rejects  false accepts per hour (without a word)  "
            "delay from a clip's beginning, median, 95 %"
        )
        for row in [*rows, *([] if by_rule is None else [by_rule])]:
            delay = "    ".join("-" if one is None else f"{one:.2f} s" for one in row["delay_seconds"].values())
            print(
                f"{row['threshold']:>11.2f}  {row['understood'] / max(1, row['words']):>10.1%}  {row['false_rejects']:>13,}  "
                f"{row['false_accepts_an_hour']:>22,.0f} ({row['without_a_word_an_hour']:>14,.0f})  {delay}"
                + (f"  (its own rule; windows averaged: {row['smooth']})" if row is by_rule else "")
            )

    report = {"split": arguments.split, "noise_db": arguments.noise, "rule": by_rule, "thresholds": rows}
    return tell(arguments, report, show)


def analyse_fully(arguments: argparse.Namespace, trained: Trained, initial: Network | None) -> Analysis:
    """Measure everything that applies to the task. With a run's own data and seed the results are written into its folder:
    evaluation-SPLIT.json and, if there is a policy, exit-policy.json."""
    from ..measure.analysis import analyse

    options, run = analysis_options(arguments, trained), _own_run(arguments, trained)
    analysis = analyse(trained, arguments.split, data_dir=arguments.data_dir, initial=initial, options=options)
    if run is not None:
        run.write_json(f"evaluation-{arguments.split}.json", analysis.to_dict())
        if analysis.exit is not None:
            run.write_json("exit-policy.json", analysis.exit.policy.to_dict())
    return analysis


def _own_run(arguments: argparse.Namespace, trained: Trained) -> Run | None:
    """The run whose folder the results go into: the model's own, if data and seed are the run's own, as readers of the folder
    assume. SrnnError if it cannot be written."""
    from ..files import check_writable
    from ..training.runs import Run

    folder = trained.folder
    if folder is None or not folder.is_dir() or arguments.data is not None:
        return None
    run = Run.open(folder)
    if trained.seed != run.seed:
        return None
    check_writable(run.path)
    return run


def analysis_options(arguments: argparse.Namespace, trained: Trained) -> AnalysisOptions:
    """The options of --full. SrnnError for invalid ones, and for those that mean nothing for the task or the network."""
    from ..measure.analysis import AnalysisOptions, can_exit, has_waves

    task, chosen = trained.task, dict[str, Any]()
    for name, (field, least, most) in _FULL.items():
        value, option = getattr(arguments, name), f"--{name.replace('_', '-')}"
        if value is None:
            continue
        if name.startswith("exit") and not can_exit(trained):
            reason = "decides at every step" if trained.loss.per_step else "is read by a bidirectional network"
            raise SrnnError(f"{option} has no effect: task '{task.name}' {reason} here; remove it.")
        if name == "tolerance" and not has_waves(task):
            raise SrnnError(f"--tolerance is for the waves of an ECG, but the task is '{task.name}'; remove it.")
        if not least <= value <= most:
            raise SrnnError(f"{option} must be from {least:g} to {most:,}, not {value}.")
        chosen[field] = value * 0.01 if name == "exit_loss" else value  # from percentage points
    return AnalysisOptions(not arguments.no_exit, **chosen)
