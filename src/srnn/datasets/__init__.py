"""Data sets, one a file: the official layout on disk -> a ``Split`` of arrays. Importable without torch."""

from .base import SPLITS, Split, SplitName, resolve_data_dir

__all__ = ["SPLITS", "Split", "SplitName", "resolve_data_dir"]
