"""What several tests of the leaves are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from srnn import compiling


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where machine code is kept; nothing is there yet."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    compiling._say.cache_clear()
    return tmp_path / "cache" / "srnn"
