"""Files, read and written so that none can do harm: one guarded reader a format, and writing that is whole or not at all.

    arrays.py    NumPy's .npy; imported by name alone, for it needs numpy and the command line's first answer does not
    limits.py    what a file of each format may be (the table of docs/security.md)
    reading.py   bytes and JSON; ``reading``, which makes one SrnnError of whatever a parser raises
    yaml_reading.py   YAML; imported by name
    writing.py   files that appear under their name when they are whole

Files of someone else are opened here and nowhere else. A leaf: it knows nothing of networks, data sets or recipes.
"""

from __future__ import annotations

from .limits import LIMITS, FormatLimits
from .reading import parse_json, read_bytes, read_json, read_json_lines, read_text, reading
from .writing import is_leftover, remove_leftovers, temporary_beside, write_atomically, write_json

__all__ = [
    "LIMITS", "FormatLimits", "is_leftover", "parse_json", "read_bytes", "read_json", "read_json_lines", "read_text", "reading",
    "remove_leftovers", "temporary_beside", "write_atomically", "write_json",
]  # fmt: skip
