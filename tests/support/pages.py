"""The code of a page of the docs, as a reader pastes it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, code) of the blocks that are run."""
    return [
        (language, code)
        for language, code in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if language == "python" or (language == "console" and commands(code))
    ]


def commands(code: str) -> list[str]:
    """The lines of a console block that start with "$ srnn" or "$ python -m paper", without the "$"."""
    return re.findall(r"^\$ ((?:srnn|python -m paper) .*)$", code.replace("\\\n", " "), re.MULTILINE)


def program(page: Path) -> str:
    """The page as one Python program, whose commands end it where they fail."""
    parts = ["import shlex as _shlex, subprocess as _subprocess"]
    for language, code in blocks(page):
        lines = [code] if language == "python" else [
            f"_subprocess.run(_shlex.split({line!r}, comments=True), check=True)" for line in commands(code)
        ]  # fmt: skip
        parts += lines
    return "\n".join(parts)
