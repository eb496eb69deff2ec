"""The files in ``runtime/`` as they are exported: C that compiles alone, of which a network takes
what it uses.

A configuration gives names a value: a number or a text to be put in their place, or for a condition
a boolean. In a file

    #include "part.c"                       another file of ``runtime/`` stands here
    #include "configuration.h"              a sample, with which the file compiles alone: left out
    #if A && !B / #elif C / #else / #endif  is decided here; #ifdef and #ifndef are the compiler's
    /* repeat ITEMS */ ... /* end ITEMS */  once for each configuration in the list ITEMS
    model_, MODEL_                          become the library's own prefix
    a backslash at the end of a comment's line: it continues in the next
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Configuration = Mapping[str, Any]

_SAMPLE = '#include "configuration.h"'
_RUNTIME = Path(__file__).parent / "runtime"
_NAME = re.compile(r"\b(?:model|MODEL)(?=_|\.[ch]\b)|\b[A-Z][A-Z0-9_]*\b")
_INCLUDE = re.compile(r'#include "((?!model)[\w/]+\.[ch])"')
_CONDITION = re.compile(r"#(if|elif|else|endif)\b *(.*)")
_REPEAT = re.compile(r"/\* repeat (\w+) \*/")
_CONTINUED = re.compile(r" \\\n *\*? *")
_INLINE = re.compile(
    r"(?:/\*(?:(?!\*/).)*\*/\n)?static inline \w+ (\w+)\((?:(?!\n}\n).)*\n}\n\n?",
    re.DOTALL,
)


def resolved(file: str, name: str, configuration: Configuration) -> str:
    """A file of ``runtime/``, as C text for one library.

    Args:
        file: its path in ``runtime/``.
        name: the library's, which replaces "model" in names.
        configuration: the values of the file's conditions, repeats and names.
    """
    text = "\n".join(_lines(_read(file), name, configuration)) + "\n"
    return re.sub(r"\n{3,}", "\n\n", _CONTINUED.sub(" ", text)).strip("\n") + "\n"


def runtime_files(folder: str) -> list[str]:
    """The paths of all files in a folder of ``runtime/``, relative to it."""
    paths = list[str]()
    for entry in (_RUNTIME / folder).iterdir():
        if entry.is_dir():
            paths += [f"{entry.name}/{path}" for path in runtime_files(f"{folder}/{entry.name}")]
        else:
            paths.append(entry.name)
    return sorted(paths)


def without_unused(text: str) -> str:
    """C text without the inline functions that it does not call: compilers warn about them."""
    for found in reversed([*_INLINE.finditer(text)]):
        rest = text[: found.start()] + text[found.end() :]
        if not re.search(rf"\b{found[1]}\(", rest):
            text = rest
    return text


def _read(file: str) -> list[str]:
    """The lines below the one that includes the configuration, if there is one."""
    lines = (_RUNTIME / file).read_text(encoding="utf-8").splitlines()
    if _SAMPLE not in lines:
        return lines
    return lines[lines.index(_SAMPLE) + 1 :]


def _lines(lines: list[str], name: str, configuration: Configuration) -> Iterator[str]:
    """The lines that this configuration takes, filled in."""

    def filled(word: re.Match[str]) -> str:
        if word[0] == "model":
            return name
        if word[0] == "MODEL":
            return name.upper()
        value = configuration.get(word[0])
        known = isinstance(value, (str, int)) and not isinstance(value, bool)
        if known:
            return str(value)
        return word[0]

    place = 0
    while place < len(lines):
        line = lines[place]
        if repeat := _REPEAT.fullmatch(line):
            end = lines.index(f"/* end {repeat[1]} */", place)
            for item in configuration[repeat[1]]:
                yield from _lines(lines[place + 1 : end], name, {**configuration, **item})
            place = end
        elif line.startswith("#if "):
            chosen, place = _chosen(lines, place, configuration)
            yield from _lines(chosen, name, configuration)
        elif included := _INCLUDE.fullmatch(line):
            yield from _lines(_read(included[1]), name, configuration)
        else:
            yield _NAME.sub(filled, line)
        place += 1


def _chosen(lines: list[str], start: int, configuration: Configuration) -> tuple[list[str], int]:
    """The lines of the first alternative that holds, and the place of the #endif."""
    chosen, found, holds, depth = list[str](), False, False, 0
    for place in range(start, len(lines)):
        line = lines[place]
        directive = _CONDITION.match(line)
        depth += line.startswith("#if")  # and #ifdef
        if directive and depth == 1:
            if directive[1] == "endif":
                return chosen, place
            holds = not found and (directive[1] == "else" or _holds(directive[2], configuration))
            found = found or holds
        elif holds:
            chosen.append(line)
        depth -= line.startswith("#endif")
    raise AssertionError(f"no #endif for {lines[start]}")


def _holds(condition: str, configuration: Configuration) -> bool:
    """Whether a condition of names, !, && and ||, without parentheses, holds."""

    def true(word: str) -> bool:
        return bool(configuration[word.strip(" !")]) != word.strip().startswith("!")

    return any(all(map(true, term.split("&&"))) for term in condition.split("||"))


_WIDTH = 118
_BOUND = re.compile(r"(?<=\w) (?=\*?\w)")
"""The blank between a type and its name, and after a keyword."""


def folded(text: str) -> str:
    """C text without very long lines: they are broken at blanks, and the rest is indented further
    or follows the star of a comment. A name stays with its type, and the end of a comment with its
    last word; a macro continues after a backslash. A line that begins with a string stays."""
    lines, comment = [], False
    for line in text.split("\n"):
        comment = comment or line.startswith("/* ")
        if len(line) > _WIDTH and not line.lstrip().startswith('"'):
            indent = " * " if comment else " " * (len(line) - len(line.lstrip()) + 8)
            line = line.replace(" */", "\0*/") if comment else _BOUND.sub("\0", line)
            end = " \\\n" if line.startswith("#") else "\n"
            wrapped = textwrap.wrap(
                line,
                _WIDTH - len(end) + 1,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            lines.append(end.join(wrapped).replace("\0", " "))
        else:
            lines.append(line)
        comment = comment and not line.endswith("*/")
    return "\n".join(lines)
