"""A page as an executed notebook: its Python blocks and the commands of its console blocks are run,
in order.

    python release/notebooks.py docs/tutorials/own-sensor.md > own-sensor.ipynb
    python release/notebooks.py docs/tutorials/own-sensor.md FOLDER > own-sensor.ipynb

The first runs the page in a folder that is gone afterwards. The page is the source; what its code
prints and draws takes the place of the outputs that the page shows.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import doctest
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = re.compile(
    r"^```(python|console)\n(.*?)^```\n?(?:\n*^```text\n(.*?)^```\n?)?", re.MULTILINE | re.DOTALL
)
WIDTH = 4.5
"""Inches of a picture, so that its text can be read on a telephone."""
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


class Cell(NamedTuple):
    """A part of a page: its kind ("markdown", "python" or "console"), its text, and what the page
    says it prints.

    A console block with several commands is as many cells.
    """

    kind: str
    text: str
    shown: str = ""


def cells(markdown: str) -> list[Cell]:
    """A page's parts in order. What a Python block prints is shown by a block of ``text`` right
    below it."""
    found, at = [], 0
    for block in BLOCK.finditer(markdown):
        kind, code, shown = block[1], block[2], block[3] or ""
        found.append(Cell("markdown", markdown[at : block.start()].strip()))
        if kind == "python":
            found.append(Cell(kind, code.strip(), shown))
        else:
            commands = COMMAND.findall(code.replace("\\\n", " "))
            found += [Cell(kind, command, said) for command, said in commands]
        at = block.end()
    found.append(Cell("markdown", markdown[at:].strip()))
    return [cell for cell in found if cell.text]


def agrees(shown: str, printed: str) -> bool:
    """Whether a page shows what its code printed, of which "..." stands for any part; white space
    is all alike."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return not shown or doctest.OutputChecker().check_output(shown, printed, flags)


def notebook(markdown: str) -> dict[str, Any]:
    """The page as an executed notebook of format 4.5. What its code raises, or a command that
    fails, is raised."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    done = []
    for number, (kind, text, _) in enumerate(cells(markdown)):
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": text}
        if kind == "markdown":
            done.append({"cell_type": "markdown", **cell})
            continue
        if kind == "python":
            outputs = run_python(text, namespace)
        else:
            cell["source"] = f"!{text}"
            outputs = run_command(text)
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
            eval(
                compile(ast.Expression(last.value), "tutorial", "eval", dont_inherit=True),
                namespace,
            )
            if last
            else None
        )
    outputs = [_stream(printed.getvalue())] if printed.getvalue() else []
    figures = pyplot.get_fignums()
    for number in figures:
        png = io.BytesIO()
        figure = pyplot.figure(number)
        figure.set_size_inches(min(WIDTH, figure.get_figwidth()), figure.get_figheight())
        figure.savefig(png, format="png", dpi=220)
        data = {"image/png": base64.b64encode(png.getvalue()).decode()}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    pyplot.close("all")
    if value is not None and not figures:
        outputs.append(_stream(f"{value!r}\n"))
    return outputs


def run_command(line: str) -> list[dict[str, Any]]:
    """What a shell's line prints."""
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{line}: exit code {done.returncode}\n{done.stderr}")
    return [_stream(done.stdout)] if done.stdout else []


def to_markdown(executed: dict[str, Any]) -> str:
    """The page again, with outputs and pictures under the code."""
    parts = []
    for cell in executed["cells"]:
        source = cell["source"]
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        printed = text_of(cell).rstrip()
        if source.startswith("!"):
            said = f"$ {source[1:]}\n{printed}".rstrip()
            parts.append(f"```console\n{said}\n```")
        else:
            parts.append(f"```python\n{source}\n```")
            if printed:
                parts.append(f"```text\n{printed}\n```")
        pictures = [output["data"]["image/png"] for output in cell["outputs"] if "data" in output]
        parts += [f"![](data:image/png;base64,{picture})" for picture in pictures]
    return "\n\n".join(parts) + "\n"


def text_of(cell: dict[str, Any]) -> str:
    """What a notebook's cell has printed."""
    return "".join(
        output["text"] for output in cell["outputs"] if output["output_type"] == "stream"
    )


def _stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


if __name__ == "__main__":
    page = Path(sys.argv[1]).read_text(encoding="utf-8")
    os.environ |= {
        "MPLBACKEND": "agg",
        "COLUMNS": "96",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(sys.argv[2] if len(sys.argv) > 2 else folder)
        print(json.dumps(notebook(page), indent=1))
