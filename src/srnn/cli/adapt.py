"""Adapt a trained network to new recordings, such as those of one patient or speaker, by learning forwards in time:

  srnn adapt runs/digits --data recordings/ --out adapted.safetensors

Each recording is predicted, then learnt, then dropped. The command reports how often the network would have been right without
learning, and how often it was right while learning (before it was told the label). No parameter moves further than --bound
allows, so that what was learnt before is kept. The result is a model, which srnn predict, stream, evaluate and export accept.

  srnn adapt runs/ecg --split validation --curve 1 5 20 --out results/adaptation

writes a table instead: what 1, 5 and 20 labels of each subject are worth, as accuracy on the rest of its recordings, when the
readout learns, when everything learns, and when everything learns by backpropagation through time. Several models, each trained
without a different group of subjects, make one table.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError, require
from ..text import json_text, markdown
from .options import place
from .show import tell

if TYPE_CHECKING:
    from ..training.adapting import Adaptation
    from ..training.trained import Trained

SHARED = ("models", "--seed", "--data", "--data-dir", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        required=True,
        help="new file for the adapted model; with --curve a new folder",
    )
    parser.add_argument("--train", choices=("readout", "all"), default="readout", help="what learns (default: readout)")
    parser.add_argument(
        "--rule", choices=("e-prop", "d-rtrl", "bptt"), default="e-prop", help="learning rule (default: e-prop)"
    )
    parser.add_argument(
        "--feedback", choices=("symmetric", "random"), default="symmetric",
        help="e-prop: errors reach hidden layers through the weights above them, or through random ones (default: symmetric)",
    )  # fmt: skip
    parser.add_argument("--lr", type=float, default=1e-3, metavar="R", help="learning rate of Adam (default: 0.001)")
    parser.add_argument(
        "--bound", type=float, default=0.1, metavar="F",
        help="how far a parameter tensor may move, as a fraction of its norm (default: 0.1)",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="learn from at most N recordings (default: all)")
    parser.add_argument(
        "--curve",
        type=int,
        nargs="+",
        metavar="N",
        help="write the accuracy after each of these numbers of labels of a subject",
    )
    parser.add_argument(
        "--split", choices=("train", "validation", "test"), default="train",
        help="which recordings, if the data name splits (default: train)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    from ..files import only_writer
    from ..training.adapting import Adaptation, adapt
    from ..training.runs import open_trained

    require(arguments.limit is None or arguments.limit >= 1, "--limit", "at least 1", arguments.limit)
    hidden = arguments.rule == "e-prop" and (arguments.train == "all" or arguments.curve)
    if arguments.feedback != "symmetric" and not hidden:
        raise SrnnError("--feedback is for hidden layers that learn by e-prop: --train all --rule e-prop.")
    config = Adaptation(arguments.train, arguments.rule, arguments.feedback, arguments.lr, arguments.bound)
    if arguments.curve:  # a folder, which is made together with those above it
        models = [open_trained(path, arguments.data) for path in arguments.models]
        require(min(arguments.curve) >= 1, "--curve", "numbers of labels, at least 1", min(arguments.curve))
        with only_writer(arguments.out):
            if arguments.out.exists():
                raise SrnnError(f"{arguments.out} exists; name a new folder.")
            return _curve(arguments, models, config)
    with place("--out", arguments.out, new=True):
        models = [open_trained(path, arguments.data) for path in arguments.models]
        if len(models) > 1:
            raise SrnnError(f"Without --curve give one model, not {len(models)}.")
        adapted, report = adapt(
            models[0], arguments.split, config, data_dir=arguments.data_dir, limit=arguments.limit, seed=arguments.seed
        )
        adapted.save(arguments.out)
    return tell(arguments, {**report, "model": str(arguments.out)}, lambda: _show(report, arguments.out))


def _curve(arguments: argparse.Namespace, models: list[Trained], config: Adaptation) -> int:
    """--curve: the table of all subjects, in a folder."""
    from ..files import whole_folder
    from ..studies.adaptation import adaptation_curve, curve_table

    ways = {
        "readout": replace(config, train="readout"),
        f"all, {config.rule}": replace(config, train="all"),
        "all, bptt": replace(config, train="all", rule="bptt"),
    }
    report: dict[str, Any] = {"left_out": 0, "subjects": []}
    for trained in models:
        part = adaptation_curve(trained, arguments.split, arguments.curve, ways, arguments.data_dir, arguments.seed)
        rows = [{**row, "model": trained.name} for row in part["subjects"]]
        report = {**part, "left_out": report["left_out"] + part["left_out"], "subjects": [*report["subjects"], *rows]}
    names = ", ".join(dict.fromkeys(trained.name for trained in models))
    report |= {"model": names, "task": asdict(models[0].recipe.task), "seed": arguments.seed, **asdict(config)}
    table = "\n".join(curve_table(report, list(ways)))
    about = f"""\
# Adaptation of {markdown(names)}

{len(report["subjects"])} subjects of the {report["split"]} split; {report["left_out"]} others had too few
labels. Optimiser {config.optimizer}, learning rate {config.lr:g}, bound {config.bound:g}; mean and standard deviation over the
subjects. For each subject, all rows are measured on the same labels: those after the last one that is learnt.

{table}
"""
    with whole_folder(arguments.out) as folder:
        (folder / "adaptation.md").write_bytes(about.encode())
        (folder / "adaptation.json").write_bytes((json_text(report, indent=1) + "\n").encode())
    return tell(arguments, report, lambda: print(f"{table}\n\nwritten: {arguments.out}"))


def _show(report: dict[str, Any], out: Path) -> None:
    labels = "" if report["labels"] == report["sequences"] else f", {report['labels']:,} labels"
    print(f"recordings        {report['sequences']:,}{labels}")
    print(f"right, unadapted  {100 * report['accuracy_before']:.1f} %")
    print(f"right, adapting   {100 * report['accuracy_adapting']:.1f} %  (each predicted before its label was told)")
    print(f"written: {out}")
