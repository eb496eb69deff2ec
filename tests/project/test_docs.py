"""The code that README and docs show runs: Python blocks one after the other, and the commands of console blocks."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_python_blocks(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page share their names, as a reader would paste them one after the other."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for number, code in enumerate(blocks(page, "python"), 1):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, f"{name(page)}, block {number}", "exec"), namespace)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in PAGES if "$ srnn" in "".join(blocks(page, "console"))], ids=name)
def test_commands(page: Path, tmp_path: Path) -> None:
    """Lines that start with "$ srnn" end with exit code 0. Those that need data skip without it, and say so."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for code in blocks(page, "console"):
        for line in re.findall(r"^\$ (srnn .*)$", code.replace("\\\n", " "), re.MULTILINE):
            if "SRNN_DATA" in line and not os.environ.get("SRNN_DATA"):
                pytest.skip(f"SRNN_DATA is not set: not run: {line}")
            arguments = shlex.split(os.path.expandvars(line), comments=True)
            done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"


def test_every_local_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{name(page)}: {target}"
