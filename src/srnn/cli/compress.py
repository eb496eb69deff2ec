"""``srnn compress``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import SrnnError
from .options import (
    MORE,
    NO_OPTIONS,
    Called,
    Data,
    DataDir,
    Json,
    Model,
    RecordingOptions,
    Split,
    StateBits,
)
from .show import print_result, show_table

if TYPE_CHECKING:
    from ..progress import Reporter
    from ..studies.pruning import TuningOptions

EPOCHS, LR_FACTOR = 20, 0.5


@Parameter(name="*")
@dataclass(frozen=True)
class PruningOptions:
    """What is pruned, and how much.

    Args:
        sparsity: prune these fractions: 0.5 0.9
        what: what to prune (default with --sparsity: weights)
        scope: weights: prune the fraction of each matrix, or of all together (default: layer)
        gradual: weights: prune gradually over this fraction of the fine-tuning; 0: at once
    """

    sparsity: Annotated[list[float] | None, MORE] = None
    what: Literal["weights", "neurons", "dead"] | None = None
    scope: Literal["layer", "network"] | None = None
    gradual: float = 0.0

    @property
    def wanted(self) -> bool:
        """Whether anything is pruned."""
        return self.what is not None or self.sparsity is not None

    def check(self, tuned: bool) -> None:
        """Refuse options that contradict each other. tuned: whether options of fine-tuning are
        given. SrnnError of kind ``conflict`` or ``missing``."""
        how = self.scope is not None or self.gradual > 0
        if how and not self.wanted:
            raise SrnnError(
                "--scope and --gradual are for pruning; add --sparsity.", "conflict", "sparsity"
            )
        if self.what == "dead" and (self.sparsity is not None or tuned):
            raise SrnnError(
                "--what dead removes all neurons that never spike, "
                "without training; leave out --sparsity and --epochs.",
                "conflict",
                "what",
            )
        if self.wanted and self.what != "dead" and self.sparsity is None:
            raise SrnnError(
                "--sparsity is missing: the fractions to prune, "
                "such as 0.5 0.9; only --what dead needs none.",
                "missing",
                "sparsity",
            )
        if how and self.what not in (None, "weights"):
            raise SrnnError(
                f"--scope and --gradual are for --what weights, not {self.what}; leave them out.",
                "conflict",
                "what",
            )

    def run(
        self, model: str, out: Path, options: TuningOptions, reporter: Reporter, command: str
    ) -> dict[str, Any]:
        """Prune and fine-tune into runs.

        Args:
            model: the network to prune.
            out: folder for the runs.
            options: of the fine-tuning.
            reporter: receives its progress.
            command: the command that made them, kept in the results.

        Returns:
            The report of ``studies.pruning.prune_run``.
        """
        from ..studies.pruning import prune_run

        return prune_run(
            model,
            out,
            self.sparsity or [],
            what=self.what or "weights",
            scope=self.scope or "layer",
            options=options,
            reporter=reporter,
            command=command,
        )


NOTHING_PRUNED = PruningOptions()


def compress(
    model: Model,
    /,
    *,
    pruning: PruningOptions = NOTHING_PRUNED,
    out: Path | None = None,
    epochs: int | None = None,
    lr_factor: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    state_bits: StateBits = None,
    split: Split = "validation",
    data: Data = None,
    recording: RecordingOptions = NO_OPTIONS,
    data_dir: DataDir = None,
    json: Json = False,
    called: Called,
) -> int:
    """Measure a trained network with int8 weights, fine-tune it with them, or prune it and
    fine-tune what is left.

      srnn compress RUN                          accuracy with int8 weights and integer arithmetic, and in float32
      srnn compress RUN --epochs 20 --out DIR    fine-tune with rounded weights; DIR is a run whose weights are int8's
      srnn compress RUN --state-bits 8 [...]     with states of 8 bits (16, 32) between two steps

    What is measured is the integer model, which the int8 C code equals bit for bit (srnn export c
    --format int8). DIR/compression.json has both points; compression.md shows them as a table,
    compression.svg as a plot. To train with rounded weights from the beginning, see
    training.quantise in a recipe.

      srnn compress RUN --sparsity 0.5 0.8 0.9 --epochs 20 --out DIR              the smallest weights become 0
      srnn compress RUN --what neurons --sparsity 0.25 0.5 --epochs 20 --out DIR  the least used neurons are removed
      srnn compress RUN --what dead --out DIR                                     neurons that never spike are removed, exactly

    Each fraction is fine-tuned from the previous one, in a run of its own (DIR/weights-0.9);
    DIR/curve.json has accuracy in float32 and int8, bytes in C, operations and energy of all of
    them; curve.md shows it as a table, curve.svg as a plot. To prune while training from the
    beginning, see training.prune in a recipe. An interrupted command continues with --resume.

    If the data of the run are not available, --data names others, with the run's classes. If these
    name no splits, some are held out for validation and testing, always the same ones; without
    --out they are used whole.

    Args:
        out: folder for the new run or, when pruning, the new runs; new or empty
        epochs: epochs of fine-tuning (default: 20)
        lr_factor: factor on the recipe's learning rate (default: 0.5)
        resume: resume what is in --out
        overwrite: replace what is in --out
    """
    reading = recording.of(data)
    tuned = epochs is not None or lr_factor is not None
    pruning.check(tuned)
    if out is None and (pruning.wanted or tuned or resume or overwrite):
        raise SrnnError(
            "Pruning and fine-tuning make new runs; name their folder: --out DIR.", "missing", "out"
        )

    from ..studies.pruning import TuningOptions, measure_run

    options = TuningOptions(
        EPOCHS if epochs is None else epochs,
        LR_FACTOR if lr_factor is None else lr_factor,
        pruning.gradual,
        split,
        data_dir,
        data,
        reading,
        resume,
        overwrite,
        state_bits,
    )
    if out is None:
        measured = {"run": str(model), "before": measure_run(model, options)}
        return print_result(
            json, measured, lambda: _show_points([("as trained", measured["before"])])
        )

    from ..progress import reporter_for
    from ..studies.pruning import check_out, quantise_run, share_name

    check_out(model, out, options, prunes=pruning.wanted)
    command, reporter = repeated(called, options.epochs, options.lr_factor), reporter_for(json)
    if pruning.wanted:
        report = pruning.run(model, out, options, reporter, command)
        shown = [(share_name(point), point) for point in report["points"]]
        files = f"curve: {out / 'curve.json'}, curve.md, curve.svg"
    else:
        report = quantise_run(model, out, options, reporter, command)
        shown = [("as trained", report["before"]), ("fine-tuned", report["after"])]
        files = f"written: {out / 'compression.json'}, compression.md, compression.svg"

    def show() -> None:
        _show_points(shown)
        print(files)

    return print_result(json, report, show)


def repeated(called: Called, epochs: int, lr_factor: float) -> str:
    """The command that makes the results again; nothing else in them names the settings of
    fine-tuning.

    Args:
        called: the command as it was called.
        epochs: of fine-tuning.
        lr_factor: of fine-tuning.

    Returns:
        The command, for a shell.
    """
    left_out = {
        "--json": 0,
        "--resume": 0,
        "--overwrite": 0,
        "--data-dir": 1,
        "--epochs": 1,
        "--lr-factor": 1,
    }
    tuned = "--epochs", str(epochs), "--lr-factor", str(lr_factor)
    return shlex.join(called.again(left_out, *tuned))


def _show_points(points: list[tuple[str, dict[str, Any]]]) -> None:
    """Print a table of points that fits into 80 columns: for each network a line for float32 and
    one for int8."""
    from ..studies.points import accuracy_of

    rows: list[tuple[str, ...] | None] = []
    accuracy = accuracy_of(point for _, point in points)
    for name, point in points:
        weights, adds = f"{point['weights_not_zero']:,}", f"{point['synaptic_adds_per_step']:,.1f}"
        int8 = point["int8"]
        for kind, measured, flash, ram in (
            ("float32", point, point["float32_flash_bytes"], point["float32_ram_bytes"]),
            ("int8", int8, int8 and int8["flash_bytes"], int8 and int8["ram_bytes"]),
        ):
            first = kind == "float32"
            if measured is None:
                rows.append(("", kind, "none", *[""] * 5))
                continue
            rows.append(
                (
                    name if first else "",
                    kind,
                    f"{measured[accuracy]:.2%}",
                    weights if first else "",
                    f"{flash:,}",
                    f"{ram:,}",
                    adds if first else "",
                    f"{measured['energy_pj_per_step'] / 1000:,.3f} nJ",
                )
            )
        rows.append(None)
    right = accuracy.removesuffix("_accuracy")
    columns = ("network", "", right, "weights", "flash, B", "RAM, B", "adds/step", "energy")
    show_table(
        f"measured on {points[0][1]['split']}",
        columns,
        rows,
        left=(0, 1),
        no_wrap=True,
        padding=(0, 0),
    )
    for reason in dict.fromkeys(
        point["why_no_int8"] for _, point in points if point["int8"] is None
    ):
        print(f"no int8: {reason}")
