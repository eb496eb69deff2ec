"""The code of a page of the docs, as a reader pastes it, and what the page says that it prints."""

from __future__ import annotations

import re
from pathlib import Path

from release.notebooks import Cell, cells

ROOT = Path(__file__).parents[2]


def code_cells(page: Path) -> list[Cell]:
    """What is run of a page, in order: Python blocks, and each command of its console blocks."""
    return [cell for cell in cells(page.read_text(encoding="utf-8")) if cell.kind != "markdown"]


def executed_pages() -> list[Path]:
    """Those that are run while the site is built, which makes notebooks of them."""
    docs = ROOT / "docs"
    return [docs / "quickstart.md", docs / "pytorch.md", *sorted((docs / "tutorials").glob("*.md"))]


def is_ours(command: str) -> bool:
    """Whether a line of a console block starts this project's own program."""
    return re.match(r"(?:srnn|python -m paper) ", command) is not None


def marked(page: str, mark: str) -> str:
    """The Python block of a page of the docs that stands behind ``<!-- mark -->``, and which the
    page itself does not run."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (found,) = re.findall(rf"<!-- {mark} -->\n```py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return found
