"""Make a run from a network that was trained elsewhere.

  srnn import nir net.nir --out runs/theirs                            a network of another library
  srnn import published ecg --weights ecg.npz --out runs/published-ecg   one of the paper's authors

'srnn import FORMAT --help' describes a format.
"""

from __future__ import annotations

from .options import Command

METAVAR = "FORMAT"
PARTS = {name: Command.of_module(f"import_{name}") for name in ("nir", "published")}
