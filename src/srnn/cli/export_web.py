"""``srnn export web``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from .decoding import numbers
from .options import MORE, Json, Model
from .show import print_result


def export_web(
    model: Model,
    /,
    *,
    out: Path,
    format: Literal["float32", "int8"] = "int8",
    std: Annotated[list[str] | None, MORE] = None,
    overwrite: bool = False,
    json: Json = False,
) -> int:
    """Write a trained network as a page that needs no server: one HTML file in which the network
    runs, compiled to WebAssembly, on a phone's motion, the microphone, files and its own examples.

      srnn export web ecg-records --out ecg.html
      srnn export web runs/gestures-s0-1 --out gestures.html

    Nothing that the page reads leaves the device. Its answers are those of srnn export c. Phones
    tell their motion, and browsers open the microphone, only to pages from https or localhost.

    Args:
        out: the file to write (.html)
        format: numbers, as for srnn export c
        std: raw ECG with scale: record: standard deviation of each lead in the signal's unit, as
            S S or S,S
        overwrite: replace the file in --out
    """
    from ..deploy.export.model import export_web
    from ..model.opening import open_trained

    deviations = None if std is None else numbers("--std", ",".join(std))
    report = export_web(open_trained(model), out, format, std=deviations, overwrite=overwrite)

    def show() -> None:
        print(
            f"{out}: {report['bytes']:,} bytes, of which {report['wasm_bytes']:,} are WebAssembly"
        )
        print(f"open it in a browser, or serve it: python -m http.server -d {out.parent}")

    return print_result(json, report, show)
