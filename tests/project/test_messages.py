"""Messages name options as their reader calls them: in Python as arguments, at the command line as
options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from srnn import SrnnError
from srnn.errors import command_line, either, option

SOURCE = Path(__file__).parents[2] / "src" / "srnn"
BARE = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
ONLY_WORDS = {"training/recipes/reading.py"}
"""What reads a command line's words, and may be given them in Python."""


def texts(node: ast.AST) -> Iterator[ast.Constant]:
    """The literal texts of a message, but for those that choose by who reads them."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("either", "option"):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node
    for inner in ast.iter_child_nodes(node):
        yield from texts(inner)


def test_no_message_of_the_package_names_an_option_of_the_command_line_alone() -> None:
    """But one of a whole command, such as srnn data prepare X --data-dir Y."""
    wrong = []
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith("cli/") or name in ONLY_WORDS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SrnnError":
                said = " ".join(str(text.value) for text in texts(node))
                if BARE.search(said) and "srnn " not in said:
                    wrong.append(f"{name}:{node.lineno} {said}")
    assert not wrong, "\n".join(wrong)


def test_options_are_called_as_their_reader_calls_them() -> None:
    assert [option("data_dir"), option("resume", flag=True), either("a", "b")] == [
        "data_dir",
        "resume=True",
        "b",
    ]
    with command_line():
        assert [option("data_dir"), option("resume", flag=True), either("a", "b")] == [
            "--data-dir",
            "--resume",
            "a",
        ]
        with pytest.raises(SrnnError, match=r"a$"):
            raise SrnnError(either("a", "b"))
    assert option("out") == "out"
