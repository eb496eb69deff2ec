"""Memory that is left, and work that would take more."""

from __future__ import annotations

from pathlib import Path

import pytest

from srnn.files import limits
from srnn.files.limits import SMALL, GiB, check_memory, memory_left
from support.refusing import refuses

MEMINFO = "MemTotal: 16777216 kB\nMemFree: 10 kB\nMemAvailable: 8388608 kB\nSwapFree: 1048576 kB\n"


def test_what_is_available_and_swap_space_are_left(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    assert memory_left(path) is None
    path.write_text(MEMINFO)
    assert memory_left(path) == 9 * GiB
    for odd in ("MemFree: 10 kB\n", "MemAvailable:\nSwapFree: 0 kB\n"):
        path.write_text(odd)
        assert memory_left(path) is None


def test_what_is_not_much_is_taken_without_a_look_and_more_as_far_as_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for left in (0, 2 * SMALL, None):
        monkeypatch.setattr(limits, "memory_left", lambda left=left: left)
        check_memory(SMALL, "it", "cut it")
    check_memory(2 * SMALL + 1, "it", "cut it")
    monkeypatch.setattr(limits, "memory_left", lambda: 2 * SMALL)
    check_memory(2 * SMALL, "it", "cut it")
    with refuses("memory", "resource"):
        check_memory(2 * SMALL + 1, "it", "cut it")
