"""Make a run from a network that was trained elsewhere.

  srnn import nir net.nir --out runs/theirs

'srnn import FORMAT --help' describes a format.
"""

from __future__ import annotations

from .options import Command

METAVAR = "FORMAT"
PARTS = {"nir": Command.of_module("import_nir")}
