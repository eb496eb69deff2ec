"""The command line, called in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from srnn.cli.main import SRNN, main
from srnn.cli.parsing import Parsed
from srnn.cli.parsing import parse as parse_words


def fails(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Run a command that is a mistake; give its one line."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("srnn: ") and printed.err.count("\n") == 1, printed.err
    return printed.err


def parse(words: list[str]) -> Parsed:
    """What ``srnn WORDS`` would call."""
    return parse_words(words, SRNN)
