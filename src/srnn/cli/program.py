"""A program's table of commands, its list of them, and text that fits the terminal: what needs no
library."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple

AGAIN = ("-m", "srnn")
"""Arguments with which Python starts the command line in another process."""


class Program(NamedTuple):
    """A program of commands, whose functions are imported only when they are called."""

    name: str
    """How it is called, such as ``srnn``."""
    package: str
    """The package that the functions' modules are in."""
    purpose: str
    """What it is for, in a sentence."""
    commands: Mapping[str, tuple[str, str]]
    """By name: ("module:function", what the command does, in a line). A name of two words is a
    part of the command of the first word, which is called without a part if it has a function."""

    def parts(self, command: str = "") -> dict[str, str]:
        """By name: what each command does, or each part of the command."""
        lines = {name.rpartition(" "): line for name, (_, line) in self.commands.items()}
        return {name: line for (of, _, name), line in lines.items() if of == command}


def list_commands(program: Program, command: str = "") -> None:
    """Print a line for each command, with what it does.

    Args:
        program: the program.
        command: whose parts are listed; "": the program's commands.
    """
    called = f"{program.name} {command}".strip()
    purpose = program.purpose
    if command:
        line = program.commands[command][1]
        purpose = f"{line[0].upper()}{line[1:]}."
    print(f"usage: {called} COMMAND ...\n\n{wrapped(purpose)}\n")
    print(columns(program.parts(command)))
    print(f"\n{wrapped(f'What a command takes: {called} COMMAND --help')}")


def width() -> int:
    return max(shutil.get_terminal_size().columns, 16)


def columns(texts: Mapping[str, str], short: bool = False) -> str:
    """Names, indented, and a text for each: beside it, or below where there is no room.

    Args:
        texts: the texts by name.
        short: in a line each, which ends with "..." if the text is longer.

    Returns:
        The lines, joined.
    """
    left = max(map(len, texts)) + 4
    if short:
        room = max(width() - left, 24)
        texts = {
            name: textwrap.shorten(text, room, placeholder=" ...", break_on_hyphens=False)
            for name, text in texts.items()
        }
    if width() - left < 24:
        return "\n".join(
            f"  {name}\n{_filled(text, ' ' * 6, ' ' * 6)}" for name, text in texts.items()
        )
    return "\n".join(
        _filled(text, f"  {name}".ljust(left), " " * left) for name, text in texts.items()
    )


def wrapped(text: str) -> str:
    """A text at the terminal's width. Indented lines (commands, with what each does) stay lines."""
    lines: list[str] = []
    for indented, group in groupby(text.splitlines(), lambda line: line[:1] in ("", " ")):
        for line in group if indented else [" ".join(group)]:
            if indented:
                lines += _example(line)
            else:
                lines += [_filled(line)]
    return "\n".join(lines)


def _example(line: str) -> list[str]:
    """What a command does follows it after two or more spaces. If it does not fit there, it goes on
    in the same column; if there is no room for that, below the command."""
    gap = re.search(r"(?<=\S) {2,}(?=\S)", line)
    if gap and width() - gap.end() >= 20:
        return [_filled(line[gap.end() :], line[: gap.end()], " " * gap.end())]
    if gap and len(line) > width():
        below = _filled(line[gap.end() :], " " * 6, " " * 6)
        return [_filled(line[: gap.start()], "", " " * 4), below]
    return [_filled(line, "", " " * 4)]


def _filled(text: str, first: str = "", others: str = "") -> str:
    """The text in lines; ``first`` begins the first of them, and ``others`` all others."""
    lines = textwrap.wrap(
        text,
        width(),
        initial_indent=first,
        subsequent_indent=others,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(lines)
