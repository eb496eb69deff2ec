"""What the site has beyond the pages of docs/ (a hook of mkdocs): executed tutorials, their notebooks, links to other files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from links import absolute
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from notebooks import to_markdown

executed: dict[str, tuple[str, str]] = {}
"""Page -> its text, and the notebook that it became; kept for ``mkdocs serve``."""


def on_files(files: Files, config: Any) -> Files:
    """Run the tutorials, each in a process of its own, and add their notebooks."""
    pages = {file.src_uri: Path(file.abs_src_path or "") for file in files if file.src_uri.startswith("tutorials/")}
    stale = {uri: path for uri, path in pages.items() if executed.get(uri, ("", ""))[0] != path.read_text("utf-8")}
    command = [sys.executable, str(Path(__file__).with_name("notebooks.py"))]
    started = {
        uri: subprocess.Popen([*command, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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
        markdown = to_markdown(json.loads(executed[uri][1])) + f"\n[This page as a notebook]({name}.ipynb)\n"
    folder = (Path("docs") / uri).parent.as_posix()
    return absolute(markdown, folder, inside="docs")
