"""docs/security.md says what the code enforces."""

from __future__ import annotations

import re
from dataclasses import astuple
from pathlib import Path

from srnn.files import LIMITS

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def _value(cell: str) -> int:
    found = re.match(r"([\d,]+) ?(\w*)", cell)
    return 0 if found is None else int(found[1].replace(",", "")) * UNITS.get(found[2], 1)


def test_the_table_of_limits_is_the_one_that_is_enforced() -> None:
    rows = re.findall(
        r"^\| (\w+) \| (.+) \|$", PAGE.read_text(encoding="utf-8").partition("## What a file may be")[2], re.M
    )
    stated = {name: tuple(_value(cell) for cell in cells.split(" | ")) for name, cells in rows if name != "format"}
    assert stated == {name: astuple(limits) for name, limits in LIMITS.items()}
