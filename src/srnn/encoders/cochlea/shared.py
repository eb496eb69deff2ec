"""What the stages share: compiled loops, and the check of their constants."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from ...errors import SrnnError


@functools.cache
def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled form of a plain function of arrays and numbers; Numba keeps the machine code on disk.

    It runs without the GIL, so that threads can convert clips side by side.
    """
    import numba  # costs more than all else here: only who converts pays for it

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(loop)
    except RuntimeError:  # no folder to cache in can be written
        return numba.njit(**options)(loop)


def check_constants(stage: object) -> None:
    """SrnnError for a constant of a stage that is not a positive number."""
    for name, value in vars(stage).items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise SrnnError(f"{type(stage).__name__}: {name} is a positive number, not {value!r}.")
