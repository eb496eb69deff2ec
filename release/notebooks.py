"""A tutorial as an executed notebook: its Python blocks and the commands of its console blocks are run, in the order of the page.

    python release/notebooks.py docs/tutorials/own-sensor.md > own-sensor.ipynb

The page is the source: tests run it as they run every page of docs/. Here what its code prints, shows and draws is kept.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(python|console)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)


def cells(markdown: str) -> list[tuple[str, str]]:
    """("markdown", "python" or "console", text) of a page, in order."""
    found, at = [], 0
    for block in BLOCK.finditer(markdown):
        found += [("markdown", markdown[at : block.start()].strip()), (block[1], block[2].strip())]
        at = block.end()
    found.append(("markdown", markdown[at:].strip()))
    return [(kind, text) for kind, text in found if text]


def notebook(markdown: str) -> dict[str, Any]:
    """The page as an executed notebook of format 4.5. What its code raises, or a command that fails, is raised."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    done = []
    for number, (kind, text) in enumerate(cells(markdown)):
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": text}
        if kind == "markdown":
            done.append({"cell_type": "markdown", **cell})
            continue
        outputs = run_python(text, namespace) if kind == "python" else run_commands(text)
        if kind == "console":
            cell["source"] = "\n".join(f"!{line[2:]}" if line.startswith("$ ") else line for line in text.splitlines())
        done.append({"cell_type": "code", **cell, "execution_count": None, "outputs": outputs})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": done}


def run_python(code: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """What a cell prints, the value of its last line, and the pictures that it has drawn."""
    from matplotlib import pyplot

    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "tutorial", "exec", dont_inherit=True), namespace)
        value = (
            eval(compile(ast.Expression(last.value), "tutorial", "eval", dont_inherit=True), namespace)
            if last
            else None
        )
    outputs = [_stream(printed.getvalue())] if printed.getvalue() else []
    figures = pyplot.get_fignums()
    for number in figures:
        png = io.BytesIO()
        pyplot.figure(number).savefig(png, format="png", dpi=110)
        data = {"image/png": base64.b64encode(png.getvalue()).decode()}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    pyplot.close("all")
    if value is not None and not figures:
        outputs.append(_stream(f"{value!r}\n"))
    return outputs


def run_commands(text: str) -> list[dict[str, Any]]:
    """What the lines that start with "$ " print."""
    outputs = []
    for line in re.findall(r"^\$ (.*)$", text.replace("\\\n", " "), re.MULTILINE):
        done = subprocess.run(shlex.split(line, comments=True), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{line}: exit code {done.returncode}\n{done.stderr}")
        outputs.append(_stream(done.stdout))
    return outputs


def to_markdown(executed: dict[str, Any]) -> str:
    """The page again, with outputs and pictures under the code."""
    parts = []
    for cell in executed["cells"]:
        if cell["cell_type"] == "markdown":
            parts.append(cell["source"])
            continue
        lines = cell["source"].splitlines()
        language = "console" if lines[0].startswith("!") else "python"
        source = "\n".join(f"$ {line[1:]}" if line.startswith("!") else line for line in lines)
        parts.append(f"```{language}\n{source}\n```")
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                text = output["text"].rstrip()
                parts.append(f"```text\n{text}\n```" if text else "")
            else:
                parts.append(f"![](data:image/png;base64,{output['data']['image/png']})")
    return "\n\n".join(parts) + "\n"


def _stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


if __name__ == "__main__":
    page = Path(sys.argv[1]).read_text(encoding="utf-8")
    os.environ |= {"MPLBACKEND": "agg", "COLUMNS": "100",
                   "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print(json.dumps(notebook(page), indent=1))
