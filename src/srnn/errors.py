"""The one exception for a user's mistake, and the "did you mean" that its messages end with."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from .text import brief, one_line

__all__ = ["SrnnError", "nearest", "need", "require"]


class SrnnError(Exception):
    """A user's mistake: bad input, a missing file, an unknown name.

    The message is ONE clear line that says what is wrong and what to do about it. The command line prints it to
    standard error and ends with exit code 2; a library user catches it. Line breaks in the message (a quoted
    third-party error, a file name with a newline in it) are folded to spaces, control characters are written out, and
    the middle of a very long one is left out, so the promise of one line holds whatever was put in.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(str(message)))


def nearest(name: object, candidates: Iterable[str]) -> str:
    """The end of an "unknown name" message, with its leading space.

    Args:
        name: what the user wrote (anything; it is compared as text).
        candidates: the names that exist.

    Returns:
        ``" Did you mean 'x'?"`` when one of the candidates is close, otherwise ``" There are: a, b, c."``, or
        ``" There are none."`` when there is nothing to choose from.
    """
    names = sorted(set(candidates))
    if not names:
        return " There are none."
    import difflib  # not for every ``srnn --help``

    folded = {candidate.casefold(): candidate for candidate in names}
    close = difflib.get_close_matches(str(name)[:100].casefold(), list(folded), n=1, cutoff=0.6)
    if close:
        return f" Did you mean {folded[close[0]]!r}?"
    return f" There are: {', '.join(names)}."


def need(package: str, what: str, extra: str) -> Any:
    """A package of an extra, imported. SrnnError, which says ``what`` it is for, where it is missing or does not work."""
    try:
        return import_module(package)
    except ImportError as error:
        raise SrnnError(f'{what} needs {package}: pip install "srnn[{extra}]".') from error
    except OSError as error:  # its library in C is missing
        raise SrnnError(f"{package} is installed, but does not work: {error}") from error


def require(condition: bool, key: str, rule: str, value: object) -> None:
    """SrnnError, which names the recipe's key and the rule, unless the condition holds."""
    if not condition:
        raise SrnnError(f"Recipe key '{key}' must be {rule}, not {brief(value)}.")
