"""Links out of a page's place: of the README on a package index, of the site's pages to files that
are beside docs/."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
REPOSITORY: str = PROJECT["urls"].get("Source", "")
"""Where the source is, as pyproject.toml says. While it says nothing, links to files that are not
pages are text."""
HOME = REPOSITORY and f"{REPOSITORY}/blob/main/"
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)\s]+)\)")


def absolute(
    markdown: str, folder: str, within: Callable[[str], str | None] = lambda place: None
) -> str:
    """The text with its relative links made absolute or, without a ``HOME``, replaced by their
    words; pictures vanish then.

    Args:
        folder: of the page, relative to the repository's root ("" for it).
        within: place of a file, relative to the repository's root -> what a link to it becomes
            instead, or None.
    """

    def replaced(link: re.Match[str]) -> str:
        is_picture, words, target = link.groups()
        path, mark, anchor = target.partition("#")
        place = posixpath.normpath(posixpath.join(folder, path))
        if instead := within(place):
            return f"{is_picture}[{words}]({instead}{mark}{anchor})"
        place += mark + anchor
        if HOME:
            return f"{is_picture}[{words}]({HOME}{place})"
        return "" if is_picture else words

    return LINK.sub(replaced, markdown)
