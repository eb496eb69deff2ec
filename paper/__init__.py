"""The paper's tables and figures, from our own measurements, next to the published numbers.

    reproduce(["table1", "fig4"], Path("reproduced"), results=Path("results"))

Where runs or data are missing, a note says so; no number is made up. docs/reproduce.md explains each.
"""

from .curves import write_curves
from .evidence import Evidence, gather
from .make import MAKERS, file_names, reproduce
from .published import published_rows, published_settings
from .sheet import Panel, Sheet
from .table import Table

__all__ = [
    "MAKERS", "Evidence", "Panel", "Sheet", "Table", "file_names", "gather", "published_rows", "published_settings",
    "reproduce", "write_curves",
]  # fmt: skip
