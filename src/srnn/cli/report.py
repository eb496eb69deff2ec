"""``srnn report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import SrnnError
from .options import MORE, NO_OPTIONS, Data, DataDir, Json, Models, NoExit, RecordingOptions
from .show import print_result, show_result
from .show_section import show_section

if TYPE_CHECKING:
    from ..data.datasets import SplitName
    from ..data.recordings import ReadingOverrides
    from ..measure.analysis import AnalysisOptions


_OF_PAGES = "pages; of runs that differ only in their seed there is one with --out FILE.html"


def report(
    models: Models,
    /,
    *,
    out: Path | None = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        Parameter(help="split to measure on; use test once, at the end (default: validation)"),
    ] = None,
    samples: int | None = None,
    baselines: Annotated[list[str] | None, MORE] = None,
    no_exit: NoExit = False,
    title: str | None = None,
    command: str | None = None,
    data: Data = None,
    recording: RecordingOptions = NO_OPTIONS,
    data_dir: DataDir = None,
    json: Json = False,
) -> int:
    """Write a page about a run, a page that compares several, or a summary of the seeds of one
    recipe.

      srnn report runs/ecg                                      writes runs/ecg/report.html
      srnn report runs/ecg --split test --out ecg.html
      srnn report runs/ecg --baselines lstm,gru runs/ecg-lif    energy compared with untrained baselines and trained runs

    Of one run: all results on a split, in one self-contained HTML file. Real sequences of the split
    can be watched step by step: input, spikes, membranes, and the network's confidence in each
    class. docs/report.md explains the page.

      srnn report runs/ecg runs/ecg-lstm runs/ecg-lif --out ecg.html

    Of several runs of one task: measures with the best marked, overlaid curves, energy against
    error, and the differences between the recipes. It also prints the measures, and how sure
    differences in accuracy are.

      srnn report runs/ecg-s0 runs/ecg-s1 runs/ecg-s2 --out results/ecg

    Of finished runs that differ only in their seed, or with --title or --command: mean and spread.
    summary.md, summary.json, curves.svg and the recipe are written into a folder; if --out ends in
    .html, the runs are compared on a page like others.

    Args:
        out: the page (default: RUN/report.html; of several: comparison.html), or the folder
        samples: one run: sequences to watch step by step (default: 6)
        baselines: one run: what to compare the energy with: rnn, gru, lstm, bilstm, relu, lif,
            feedforward, or run folders (default: lstm)
        title: seeds: one line that says what was trained (default: the task's name)
        command: seeds: the command that made each run, with SEED for the seed
    """
    reading = recording.of(data)
    runs = [Path(model) for model in models]
    summary = title is not None or command is not None
    if len(runs) > 1 and not summary and (out is None or out.suffix != ".html"):
        # Whether runs differ only in their seed. SrnnError for a folder that is not a run.
        from dataclasses import replace

        from ..training.runs import Run

        opened = [Run.open(run) for run in runs]
        recipes = [replace(run.recipe, note="") for run in opened]
        seeds = {run.seed for run in opened}
        summary = len(seeds) == len(runs) and all(recipe == recipes[0] for recipe in recipes)
    if summary or len(runs) > 1:
        of_one = {"--samples": samples, "--baselines": baselines, "--data": data}
        _refuse(of_one, "the page of a single run")
    if summary:
        of_pages = {"--split": split, "--no-exit": no_exit or None}
        _refuse(of_pages, _OF_PAGES)
        return _summarise(runs, out, title, command, json)

    from ..measure.analysis import AnalysisOptions

    options = AnalysisOptions(early_exit=not no_exit)
    if len(runs) > 1:
        return _compare(runs, out, split or "validation", data_dir, options, json)
    return _show_one(
        models[0],
        out,
        split or "validation",
        6 if samples is None else samples,
        baselines,
        data,
        reading,
        data_dir,
        options,
        json,
    )


def _refuse(options: dict[str, Any], whose: str) -> None:
    """SrnnError for options that are given, but belong to another form of the command."""
    for option, value in options.items():
        if value is not None:
            raise SrnnError(f"{option} is for {whose}.", "conflict", option)


# ---- one run ----


def _show_one(
    model: str,
    page: Path | None,
    split: SplitName,
    samples: int,
    baselines: list[str] | None,
    data: Path | None,
    reading: ReadingOverrides,
    data_dir: Path | None,
    options: AnalysisOptions,
    json: bool,
) -> int:
    from ..measure.page import check_page, report_content, write_page
    from ..model.pretrained import find_model

    # By default in the run's folder; the page of a model's file is beside it, and that of a
    # pretrained network in the working folder.
    out, named = page, page is not None
    if out is None:
        place = find_model(model)
        out = place / "report.html" if place.is_dir() else Path(model).with_suffix(".html")
    check_page(out, named=named)
    names = None
    if baselines is not None:
        names = [name.strip() for word in baselines for name in word.split(",") if name.strip()]
    content = report_content(
        model,
        split,
        samples=samples,
        baselines=names,
        data=data,
        said=reading,
        data_dir=data_dir,
        options=options,
    )
    write_page(content, out, named=named)

    def show() -> None:
        from ..measure.energy.page import section

        heading = f"{content['name']}, {split} split"
        show_result(content["evaluation"], heading, content["network"]["spiking"])
        show_section(section(content["energy"]))
        print(f"page: {out}")

    return print_result(json, content, show)


# ---- several runs ----


def _compare(
    runs: list[Path],
    page: Path | None,
    split: SplitName,
    data_dir: Path | None,
    options: AnalysisOptions,
    json: bool,
) -> int:
    from ..measure.page import check_page, comparison_content, comparison_sections, write_page

    out = page or Path("comparison.html")
    named = page is not None
    check_page(out, named=named)
    content = comparison_content(runs, split, data_dir=data_dir, options=options)
    write_page(content, out, named=named)

    def show() -> None:
        show_section(comparison_sections(content)["measures"])
        print(f"page: {out}")

    return print_result(json, content, show)


# ---- the seeds of one recipe ----


def _summarise(
    runs: list[Path], out: Path | None, title: str | None, command: str | None, json: bool
) -> int:
    if out is None:
        raise SrnnError(
            "These runs are seeds of one recipe; name a folder for "
            "their summary, --out DIR, or a page, --out FILE.html.",
            "missing",
            "out",
        )
    from ..studies.summary import summarise
    from ..training.runs import Run

    title = title or Run.open(runs[0]).recipe.task.name
    # The recipe is written into the folder, too.
    command = command or "srnn train recipe.yaml --seed SEED"
    summary = summarise(runs, out, title, command)

    def show() -> None:
        accuracy = summary["accuracy"]
        plus_minus = ""
        if accuracy["std"] is not None:
            plus_minus = f" ± {100 * accuracy['std']:.2f}"
        mean, seeds = f"{accuracy['mean']:.2%}", summary["seeds"]
        print(f"{summary['title']}: {mean}{plus_minus} (seeds {seeds}); {out}/summary.md")

    return print_result(json, summary, show)
