"""``srnn export nir``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .options import Json, Model
from .show import print_result


def export_nir(
    model: Model,
    /,
    *,
    out: Path,
    dt: float | None = None,
    discretisation: Literal["euler", "exact"] = "euler",
    scaling: Literal["keep", "one", "unscaled"] = "keep",
    report: Path | None = None,
    overwrite: bool = False,
    json: Json = False,
) -> int:
    """Write a trained network as a NIR file (neuroir.org), and report layer by layer what is exact,
    approximated or lost.

      srnn export nir runs/ecg --out ecg.nir
      srnn export nir runs/ecg --out ecg.nir --dt 1e-4 --scaling unscaled     as snnTorch reads it
      srnn export nir runs/ecg --out ecg.nir --dt 1e-3 --scaling one          as Norse reads it

    What NIR cannot represent goes into the metadata; 'srnn import nir' restores the network to the
    same bits.

    Args:
        out: the file to write (.nir)
        dt: the reader's time step in seconds (default: the task's own step, else 0.001)
        discretisation: how the reader steps: euler: 1 - dt/tau, as most readers; exact:
            exp(-dt/tau)
        scaling: r is our resistance (keep), 1, or tau/dt (unscaled); for the latter two the weights
            are scaled
        report: also write the report to this file, as JSON
        overwrite: replace the files in --out and --report
    """
    from ..deploy.export import nir
    from ..deploy.export.model import input_scale, to_nir
    from ..files import check_new, write_json
    from ..model.opening import open_trained

    check_new(out, overwrite, ours=not out.is_dir())
    if report is not None:
        check_new(report, overwrite, ours=not report.is_dir(), name="report")
    trained = open_trained(model)
    graph, losses, step = to_nir(trained, dt, discretisation, scaling)
    nir.save(graph, out)
    content = {"out": str(out), "dt": step, **losses.to_dict()}
    if report is not None:
        write_json(report, content, named=True)

    def show() -> None:
        print(f"{out}: {len(graph.nodes)} nodes, for a reader with steps of {step:g} s")
        for line in losses.lines():
            print(f"  {line}")
        if input_scale(trained):
            print(
                "The input is (channels - mean) / std of training; "
                "both are in the metadata: input_mean, input_std."
            )
        if not losses.exact:
            print(
                "What is approximated or lost is kept in the metadata, "
                "for 'srnn import nir'; other readers ignore it."
            )

    return print_result(json, content, show)
