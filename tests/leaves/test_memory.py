"""Memory that is left: the machine's, or a control group's, as in a container that may take less than its host has."""

from __future__ import annotations

from pathlib import Path

import pytest

from srnn.files import limits
from srnn.files.limits import SMALL, GiB, KiB, memory_lack, memory_left

MEMINFO = "MemTotal: 16777216 kB\nMemFree: 10 kB\nMemAvailable: 8388608 kB\nSwapFree: 1048576 kB\n"
MACHINE = 9 * GiB


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "proc/meminfo", MEMINFO)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def group(folder: Path, names: tuple[str, str, str], limit: str, used: int, cache: int) -> None:
    write(folder / names[0], f"{limit}\n")
    write(folder / names[1], f"{used}\n")
    write(folder / "memory.stat", f"anon 7\n{names[2]} {cache}\n")


V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def test_a_machine_without_groups_has_what_is_available_and_swap_space(root: Path) -> None:
    assert memory_left(root) == MACHINE
    write(root / "proc/self/cgroup", "0::/user.slice\n1:name=systemd:/\n")
    assert memory_left(root) == MACHINE
    assert memory_left(root / "elsewhere") is None
    for odd in ("MemFree: 10 kB\n", "MemAvailable:\nSwapFree: 0 kB\n"):
        write(root / "proc/meminfo", odd)
        assert memory_left(root) is None


@pytest.mark.parametrize(
    ("entry", "top", "names"), [("0::", "sys/fs/cgroup", V2), ("4:memory:", "sys/fs/cgroup/memory", V1)]
)
def test_a_group_and_those_around_it_set_limits(root: Path, entry: str, top: str, names: tuple[str, str, str]) -> None:
    write(root / "proc/self/cgroup", f"9:cpu:/other\n{entry}/jobs/this\n")
    own, around = root / top / "jobs/this", root / top / "jobs"
    group(own, names, str(2 * GiB), used=GiB, cache=KiB)
    assert memory_left(root) == GiB + KiB
    group(around, names, str(GiB), used=GiB // 2, cache=0)
    assert memory_left(root) == GiB // 2
    group(around, names, str(GiB), used=2 * GiB, cache=0)
    assert memory_left(root) == 0


def test_in_a_container_the_root_is_its_own_group(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/docker/not/seen/from/within\n")
    group(root / "sys/fs/cgroup", V2, str(GiB), used=KiB, cache=0)
    assert memory_left(root) == GiB - KiB


def test_no_limit_is_no_limit(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/a\n4:memory:/a\n")
    group(root / "sys/fs/cgroup/a", V2, "max", used=GiB, cache=0)
    group(root / "sys/fs/cgroup/memory/a", V1, str(2**63 - 4096), used=GiB, cache=0)
    assert memory_left(root) == MACHINE


def test_what_is_not_much_is_taken_without_a_look_and_more_as_far_as_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for left in (0, 2 * SMALL):
        monkeypatch.setattr(limits, "memory_left", lambda left=left: left)
        assert memory_lack(SMALL) == "" and memory_lack(2 * SMALL + 1).endswith("GiB are free")
    assert memory_lack(2 * SMALL) == ""
    monkeypatch.setattr(limits, "memory_left", lambda: None)
    assert memory_lack(2 * SMALL) == ""
