"""The paper's tables and figures, from what was measured here, with the published numbers beside it.

    reproduce(["table1", "fig4"], Path("reproduced"), results=Path("results"))

What no run or data allow is said in words in its place; no number is made up. docs/reproduce.md explains each.
"""

from .curves import write_curves
from .evidence import Entry, Evidence, SweepResult, gather
from .make import MAKERS, file_names, reproduce
from .published import PublishedRow, published_rows, published_settings
from .sheet import Panel, Sheet
from .table import Number, Table

__all__ = [
    "MAKERS",
    "Entry",
    "Evidence",
    "Number",
    "Panel",
    "PublishedRow",
    "Sheet",
    "SweepResult",
    "Table",
    "file_names",
    "gather",
    "published_rows",
    "published_settings",
    "reproduce",
    "write_curves",
]
