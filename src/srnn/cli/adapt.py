"""``srnn adapt``."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import SrnnError, require
from ..text import markdown
from .options import MORE, NO_OPTIONS, Data, DataDir, Json, Models, RecordingOptions, Seed, place
from .show import print_result

if TYPE_CHECKING:
    from ..data.datasets import SplitName
    from ..model.trained import Trained
    from ..training.adapting import Adaptation


def adapt(
    models: Models,
    /,
    *,
    out: Path,
    overwrite: bool = False,
    train: Literal["readout", "all"] = "readout",
    rule: Literal["e-prop", "d-rtrl", "bptt"] = "e-prop",
    feedback: Literal["symmetric", "random"] = "symmetric",
    lr: float = 1e-3,
    bound: float = 0.1,
    limit: int | None = None,
    curve: Annotated[list[int] | None, MORE] = None,
    split: Annotated[
        Literal["train", "validation", "test"],
        Parameter(help="which recordings, if the data name splits"),
    ] = "train",
    seed: Seed = 0,
    data: Data = None,
    recording: RecordingOptions = NO_OPTIONS,
    data_dir: DataDir = None,
    json: Json = False,
) -> int:
    """Adapt a trained network to new recordings, such as those of one patient or speaker, by
    learning forwards in time.

      srnn adapt runs/digits --data recordings/ --out adapted.safetensors

    Each recording is predicted, then learnt, then dropped. The command reports how often the
    network would have been right without learning, and how often it was right while learning
    (before it learnt the label). No parameter moves further than --bound allows, so that what was
    learnt before is kept. The result is a model, which srnn predict, stream, evaluate and export
    accept.

      srnn adapt runs/ecg --split validation --curve 1 5 20 --out results/adaptation

    writes a table instead: what 1, 5 and 20 labels of each subject are worth, as accuracy on the
    rest of its recordings, when the readout learns, when everything learns, and when everything
    learns by backpropagation through time. Several models, each trained without a different group
    of subjects, make one table.

    Args:
        out: new file for the adapted model; with --curve a new folder
        overwrite: replace what is in --out
        train: what learns
        rule: learning rule
        feedback: e-prop: errors reach hidden layers through the weights above them, or through
            random ones
        lr: learning rate of Adam
        bound: how far a parameter tensor may move, as a fraction of its norm
        limit: learn from at most so many recordings (default: all)
        curve: write the accuracy after each of these numbers of labels of a subject
    """
    from ..files import check_folder, check_new, only_writer
    from ..model.opening import open_trained
    from ..training import adapting

    require(limit is None or limit >= 1, "--limit", "at least 1", limit)
    # Refused: feedback to hidden layers, where these do not learn by it.
    hidden = rule == "e-prop" and (train == "all" or bool(curve))
    if feedback != "symmetric" and not hidden:
        raise SrnnError(
            "--feedback is for hidden layers that learn by e-prop: --train all --rule e-prop.",
            "conflict",
            "feedback",
        )
    reading = recording.of(data)
    config = adapting.Adaptation(train, rule, feedback, lr, bound)
    if curve:  # a folder, which is made together with those above it
        opened = [open_trained(path, data, reading) for path in models]
        require(min(curve) >= 1, "--curve", "numbers of labels, at least 1", min(curve))
        with only_writer(out):
            check_folder(out)
            check_new(out, overwrite, ours=(out / "adaptation.json").is_file())
            report, table = _curve(opened, config, curve, split, data_dir, seed, out)
        return print_result(json, report, lambda: print(f"{table}\n\nwritten: {out}"))
    with place("--out", out, overwrite):
        opened = [open_trained(path, data, reading) for path in models]
        if len(opened) > 1:
            raise SrnnError(
                f"Without --curve give one model, not {len(opened)}.", "value", "models"
            )
        adapted, report = adapting.adapt(
            opened[0], split, config, data_dir=data_dir, limit=limit, seed=seed
        )
        adapted.save(out)
    return print_result(json, {**report, "model": str(out)}, lambda: _show(report, out))


def _curve(
    models: list[Trained],
    config: Adaptation,
    labels: list[int],
    split: SplitName,
    data_dir: Path | None,
    seed: int,
    out: Path,
) -> tuple[dict[str, Any], str]:
    """--curve: the table of all subjects, written into a folder: (report, table)."""
    from ..files import changing, write_atomically, write_json
    from ..studies.adaptation import adaptation_curve, curve_table

    ways = {
        "readout": replace(config, train="readout"),
        f"all, {config.rule}": replace(config, train="all"),
        "all, bptt": replace(config, train="all", rule="bptt"),
    }
    report: dict[str, Any] = {"left_out": 0, "subjects": []}
    for trained in models:
        part = adaptation_curve(trained, split, labels, ways, data_dir, seed)
        rows = [{**row, "model": trained.name} for row in part["subjects"]]
        report = {
            **part,
            "left_out": report["left_out"] + part["left_out"],
            "subjects": [*report["subjects"], *rows],
        }
    names = ", ".join(dict.fromkeys(trained.name for trained in models))
    report |= {
        "model": names,
        "task": asdict(models[0].recipe.task),
        "seed": seed,
        **asdict(config),
    }
    table = "\n".join(curve_table(report, list(ways)))
    about = f"""\
# Adaptation of {markdown(names)}

{len(report["subjects"])} subjects of the {report["split"]} split; {report["left_out"]} others had too few
labels. Optimiser {config.optimizer}, learning rate {config.lr:g}, bound {config.bound:g}; mean and standard deviation over the
subjects. For each subject, all rows are measured on the same labels: those after the last one that is learnt.

{table}
"""
    with changing(out):
        out.mkdir(exist_ok=True)
    write_atomically(out / "adaptation.md", about.encode())
    write_json(out / "adaptation.json", report)
    return report, table


def _show(report: dict[str, Any], out: Path) -> None:
    labels = "" if report["labels"] == report["sequences"] else f", {report['labels']:,} labels"
    print(f"recordings        {report['sequences']:,}{labels}")
    print(f"right, unadapted  {100 * report['accuracy_before']:.1f} %")
    print(
        f"right, adapting   {100 * report['accuracy_adapting']:.1f} "
        "%  (each predicted before its label was learnt)"
    )
    print(f"written: {out}")
