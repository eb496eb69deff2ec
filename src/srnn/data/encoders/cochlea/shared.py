"""Shared by the stages: the check of their constants."""

from __future__ import annotations

from ....errors import check_positive


def check_constants(stage: object) -> None:
    """SrnnError for a constant of a stage that is not a positive number."""
    for name, value in vars(stage).items():
        check_positive(f"{type(stage).__name__}: {name}", value)
