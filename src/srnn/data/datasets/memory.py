"""Data of your own in memory: read, split and scaled as the same arrays in a file are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ..tasks import check_options
from .arrays import Given
from .folder import FolderTask


@dataclass(frozen=True)
class InMemoryTask(FolderTask):
    """The task "folder" with arrays in memory in the place of a path."""

    arrays: Given = field(default_factory=Given, repr=False, compare=False)
    """As in a file of arrays: x (N, T, C), y (N,) or (N, T), and what is optional there."""

    @classmethod
    def of(cls, arrays: Given, options: Mapping[str, Any]) -> Self:
        """The task with the options of the task "folder". SrnnError for an unknown one, or arrays
        that do not fit."""
        check_options(FolderTask, options)
        return cls(**options, arrays=arrays)

    @cached_property
    def source(self) -> Given:
        return self.arrays

    def chosen(self) -> dict[str, Any]:
        options = super().chosen()
        del options["arrays"]
        return options

    def origin(self, data_dir: Path | None = None) -> str:
        return "arrays in memory"
