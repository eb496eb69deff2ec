"""One HTML file from an object for JSON and the files in ``assets/``. It needs no network, and
forbids the browser to use one."""

from __future__ import annotations

import html
from importlib import resources
from pathlib import Path
from typing import Any

from ...errors import SrnnError, option
from ...files import check_name, check_writable, whole_file
from ...text import json_in_html, one_line

SCRIPTS = {
    "report": ("base.js", "plots.js", "player.js", "sections.js", "report.js"),
    "comparison": ("base.js", "plots.js", "sections.js", "comparison.js"),
}


def page(content: dict[str, Any]) -> str:
    """The HTML page of a ``report_content`` or ``comparison_content``."""
    if content["kind"] == "report":
        title = content["name"]
    else:
        title = "comparison of " + ", ".join(run["name"] for run in content["runs"])
    parts = {
        "title": html.escape(one_line(f"srnn: {title}")),
        "style": _asset("style.css"),
        "script": "\n".join(_asset(name) for name in SCRIPTS[content["kind"]]),
        "data": json_in_html(content),
    }
    text = _asset("page.html")
    for name, part in parts.items():  # the data last, so that no placeholder in them is replaced
        text = text.replace(f"<!-- {name} -->", part, 1)
    return text


def check_page(path: Path | str, *, named: bool = True) -> None:
    """Refuse a place where no page can be written, before anything is measured for it.

    Args:
        path: where the page is to be.
        named: the user named the path, so that a link is followed; else it is replaced.

    Raises:
        SrnnError: ``file``, or ``missing`` for its folder.
    """
    path = Path(path)
    if path.is_dir():
        raise SrnnError(f"{path} is a folder; name a file ({option('out')}).", "file", path)
    if not named:
        check_name(path)
    check_writable(path.parent)


def write_page(content: dict[str, Any], path: Path | str, *, named: bool = True) -> None:
    """Write a page, atomically.

    Args:
        content: of ``report_content`` or ``comparison_content``.
        path: where the page is to be.
        named: as for ``check_page``.

    Raises:
        SrnnError: ``file`` when it cannot be written.
    """
    path = Path(path)
    check_page(path, named=named)
    with whole_file(path, parents=True, named=named) as file:
        file.write(page(content).encode())


def _asset(name: str) -> str:
    return (resources.files("srnn.measure.page") / "assets" / name).read_text(encoding="utf-8")
