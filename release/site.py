"""What the site has beyond docs/ (a hook of mkdocs): the README as its first page, executed pages
and their notebooks, results/, live pages, and links to other files.
"""

from __future__ import annotations

import json
import posixpath
import subprocess
import sys
from pathlib import Path
from typing import Any

from links import REPOSITORY, absolute
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from notebooks import to_markdown

from srnn.deploy.live import page as live_page

ROOT = Path(__file__).parents[1]
MEASURED = "measured"
"""Where the site has what lies in results/; docs/results.md is at results/."""
SHOWN = {".md", ".svg", ".png", ".json", ".jsonl", ".csv", ".yaml"}
"""Endings of the files in results/ that the site has."""

EXECUTED = ("quickstart.md", "pytorch.md", "tutorials/")
"""Beginnings of the pages that are run while the site is built."""

executed: dict[str, tuple[str, str]] = {}
"""Page -> its text, and the notebook that it became; kept for ``mkdocs serve``."""


def on_config(config: Any) -> Any:
    """The version in every page's head and, where pyproject.toml states it, the repository beside
    it."""
    version: dict[str, Any] = {}
    exec((ROOT / "src" / "srnn" / "_version.py").read_text(encoding="utf-8"), version)
    config.site_name += f" {version['__version__']}"
    if REPOSITORY:
        config.repo_url = REPOSITORY
        config.repo_name = "/".join(REPOSITORY.split("/")[-2:])
    return config


def on_files(files: Files, config: Any) -> Files:
    """Run these pages, each in a process of its own, add their notebooks, results/ as pages outside
    of the navigation, and the live pages around their data."""
    for path in sorted((ROOT / "results").rglob("*")):
        if path.suffix in SHOWN and (uri := site_uri(path.relative_to(ROOT).as_posix())):
            files.append(
                File.generated(
                    config, uri, abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV
                )
            )
    for data in sorted((ROOT / "docs" / "live").glob("*.json")):
        html = live_page("device", json.loads(data.read_text("utf-8")))
        files.append(File.generated(config, f"live/{data.stem}.html", content=html))
    pages = {
        file.src_uri: Path(file.abs_src_path or "")
        for file in files
        if file.src_uri.startswith(EXECUTED)
    }
    stale = {
        uri: path
        for uri, path in pages.items()
        if executed.get(uri, ("", ""))[0] != path.read_text("utf-8")
    }
    command = [sys.executable, str(Path(__file__).with_name("notebooks.py"))]
    started = {
        uri: subprocess.Popen(
            [*command, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for uri, path in stale.items()
    }
    ended = {uri: (*process.communicate(), process.returncode) for uri, process in started.items()}
    for uri, (out, error, code) in ended.items():
        if code:
            raise PluginError(f"{uri} does not run:\n{error[-3000:]}")
        executed[uri] = pages[uri].read_text("utf-8"), out
    for uri in pages:
        files.append(File.generated(config, uri.replace(".md", ".ipynb"), content=executed[uri][1]))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    uri: str = page.file.src_uri
    if uri in executed:
        name = Path(uri).stem
        markdown = (
            to_markdown(json.loads(executed[uri][1]))
            + f"\n[This page as a notebook]({name}.ipynb)\n"
        )
    top, _, rest = uri.partition("/")
    source = f"results/{rest}" if top == MEASURED else f"docs/{uri}"
    if uri == "index.md":
        source = "README.md"
        markdown = (ROOT / source).read_text(encoding="utf-8")

    def within(place: str) -> str | None:
        target = site_uri(place)
        return target and posixpath.relpath(target, posixpath.dirname(uri))

    return absolute(markdown, posixpath.dirname(source), within)


def site_uri(place: str) -> str | None:
    """Where the site has a file of the repository, or a folder of results by its page; None:
    nowhere."""
    top, _, rest = place.partition("/")
    if top == "docs" and rest:
        return rest
    if top != "results":
        return None
    pages = [
        place,
        f"{place}/README.md",
        f"{place}/summary.md",
        f"{place}/results.md",
        f"{place}/{posixpath.basename(place)}.md",
    ]
    page = next((page for page in pages if (ROOT / page).is_file()), None)
    return page and MEASURED + page.removeprefix("results")
