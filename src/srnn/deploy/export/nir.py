"""NIR, the Neuromorphic Intermediate Representation (neuroir.org): networks to and from other libraries and chips.

    graph, report = to_graph(net, dt=0.004)     the network in NIR, and a report of what NIR cannot represent
    save(graph, path)
    imported = load(path)                       imported.network is an SRNN

Our own files are restored to the same bits. ``nir_write.py``, ``nir_read.py`` and ``nir_neurons.py`` describe the conversions.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import SrnnError, need
from ...files import write_atomically
from .nir_neurons import OPEN
from .nir_read import Imported, load, read
from .nir_report import Entry, Report
from .nir_write import to_graph

if TYPE_CHECKING:
    from nir import NIRGraph

__all__ = ["OPEN", "Entry", "Imported", "Report", "load", "read", "save", "to_graph"]


def save(graph: NIRGraph, path: Path | str) -> None:
    """Write a graph atomically. SrnnError if it cannot be written."""
    nir = need("nir", "NIR", "nir")
    content = io.BytesIO()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the HDF5 library prints tracebacks, too, where closing fails
            nir.write(content, graph)
    except Exception as error:  # the HDF5 library reports a lack of memory in many ways
        reason = str(error).rstrip(".") or type(error).__name__
        raise SrnnError(f"Cannot write {path}: {reason}.") from error
    write_atomically(Path(path), content.getvalue())
