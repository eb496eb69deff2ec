"""Write a trained network for a device, a runtime or another library.

  srnn export c runs/digits-s0-20260101-120000 --out digits_c      C99 for a device
  srnn export c RUN --out DIR --format int8                        the same in integers only

'srnn export FORM --help' describes a format.
"""

from __future__ import annotations

from .options import Command

METAVAR = "FORM"
PARTS = {form: Command.of_module(f"export_{form}") for form in ("c", "onnx", "nir")}
