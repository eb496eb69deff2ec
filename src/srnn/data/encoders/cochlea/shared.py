"""Shared by the stages: compiled loops, and the check of their constants."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .... import compiling
from ....errors import check_positive


@functools.cache
def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled form of a plain function of arrays and numbers; its machine code is cached on disk.

    It runs without the GIL, so that threads can convert clips side by side.
    """
    return compiling.compiled(loop, nogil=True, error_model="numpy")


def check_constants(stage: object) -> None:
    """SrnnError for a constant of a stage that is not a positive number."""
    for name, value in vars(stage).items():
        check_positive(f"{type(stage).__name__}: {name}", value)
