"""What a finding is, for every target alike.

A reader may take an input, or refuse it with an SrnnError: one line of at most ``MESSAGE``
characters that a terminal shows. Anything else is a finding: another exception, and what
``guard.py`` forbids. How long it takes, and how much memory, is no part of it. (A crash in C ends
the process: ``fuzzing.py`` sees that.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from srnn.errors import SrnnError

from .guard import watched
from .target import Target

MESSAGE = 2048
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")
_TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Unicode categories and characters that a terminal obeys instead of showing them."""
Kind = Literal["exception", "message", "forbidden", "crash"]


@dataclass(frozen=True)
class Finding:
    """What an input did that it should not."""

    target: str
    kind: Kind
    what: str
    """One line."""
    where: str = ""
    """The innermost function of srnn on the way."""

    @property
    def signature(self) -> str:
        """Findings with the same one are taken for one."""
        return (
            f"{self.kind}: {self.what.partition(':')[0][:80]} in "
            f"{self.where or 'no function of srnn'}"
        )


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder in which inputs are read; meanwhile the current one, and where temporary
    files go."""
    before, there = tempfile.tempdir, Path.cwd()
    with tempfile.TemporaryDirectory(prefix="srnn-fuzz-") as name:
        folder = Path(name) / "input"
        folder.mkdir()
        tempfile.tempdir = str(folder)
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(there)
            tempfile.tempdir = before


def examine(target: Target, data: bytes, folder: Path) -> Finding | None:
    """What reading the input, or a mended variant of it, leads to; None if all is well. Leaves the
    folder empty."""
    for variant in target.variants(data):
        found = _examine_one(target, variant, folder)
        if found is not None:
            return found
    return None


def _examine_one(target: Target, data: bytes, folder: Path) -> Finding | None:
    error: BaseException | None = None
    with watched(folder, target.allowed) as forbidden:
        try:
            target.read(data, folder)
        except SrnnError as refusal:
            try:
                check_message(refusal)
            except MessageFault as fault:
                error = fault
        except (
            BaseException
        ) as raised:  # KeyboardInterrupt and SystemExit too: a reader raises SrnnError only
            error = raised
    empty(folder)
    if forbidden:
        return Finding(target.name, "forbidden", forbidden[0], _where(error))
    if isinstance(error, MessageFault):
        return Finding(target.name, "message", str(error), _where(error.__cause__))
    if error is not None:
        return Finding(target.name, "exception", _line(error), _where(error))
    return None


class MessageFault(Exception):
    """What is wrong with an SrnnError's message."""


def check_message(error: SrnnError) -> None:
    """MessageFault for a message that is none, too long, or does something to the terminal that
    shows it."""
    message = str(error)
    odd = next((c for c in message if unicodedata.category(c) in _UNSEEN or c in _TURNING), "")
    if not message:
        raise MessageFault("an empty message") from error
    if len(message) > MESSAGE:
        raise MessageFault(
            f"a message of more than {MESSAGE} characters: {message[:80]!r}"
        ) from error
    if odd:
        raise MessageFault(
            f"a message that is not printable: {odd!r} in {message[:200]!r}"
        ) from error


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _where(error: BaseException | None) -> str:
    place, trace = "", error.__traceback__ if error is not None else None
    while isinstance(trace, TracebackType):
        code = trace.tb_frame.f_code
        parts = Path(code.co_filename).parts
        if "srnn" in parts and "site-packages" not in parts:
            at = len(parts) - 1 - parts[::-1].index("srnn")
            place = f"{'/'.join(parts[at + 1 :])}:{code.co_name}"
        trace = trace.tb_next
    return place


def empty(folder: Path) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
