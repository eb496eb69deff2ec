"""Injected faults, some of each kind; ``python -m faults`` does all of them. What they are:
tests/faults/."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faults.disk import KINDS, Call, Disk, crash_points

pytestmark = pytest.mark.robust

HERE = Path(__file__).parents[1]


def injected(*words: str) -> dict[str, Any]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parent / "src"), str(HERE)]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "faults", *words],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment,
    )
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def test_some_faults_of_a_data_cache_and_an_archive() -> None:
    found = injected("--workloads", "data cache", "unpack", "--most", "1")
    assert found["bad"] == [] and found["faults"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workload", "most"),
    [
        ("train", 2),
        ("sweep", 2),
        ("search", 2),
        ("summarise", 2),
        ("export c", 2),
        ("stream --state", 2),
        ("fit", 1),
        ("predict --out", 1),
        ("adapt", 1),
        ("data prepare", 1),
    ],
)
def test_some_faults_of_each_kind(workload: str, most: int) -> None:
    found = injected("--workloads", workload, "--most", str(most))
    assert found["bad"] == [] and found["faults"] >= 6 * most


def test_the_model_of_a_disk_loses_what_was_not_synced(tmp_path: Path) -> None:
    """Without it the faults above would prove nothing: a writer that does not sync must be found
    out."""
    root, before = tmp_path / "root", tmp_path / "before"
    before.mkdir()
    (before / "kept").write_bytes(b"old")

    def left(kind: str, *calls: tuple[str, str, str, bytes]) -> dict[str, bytes]:
        disk, out = Disk(before), tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        for what, path, other, data in calls:
            disk.apply(Call(what, str(before / path), str(before / other), 0, data, len(data)))
        out.mkdir()
        disk.leave(kind, out)
        return {path.name: path.read_bytes() for path in out.iterdir()}

    assert not root.exists()
    careless = [("c", "t", "", b""), ("w", "t", "", b"new"), ("r", "t", "kept", b"")]
    careful = [*careless[:2], ("s", "t", "", b""), careless[2]]
    assert left("killed", *careless) == {"kept": b"new"}
    assert left("power cut: content lost", *careless) == {
        "kept": b""
    }  # the old one is gone, the new one empty
    assert left("power cut: content lost", *careful) == {"kept": b"new"}
    assert left("power cut: names lost", *careful) == {"kept": b"old"}
    assert left("power cut: names lost", *careful, ("s", "", "", b"")) == {"kept": b"new"}
    assert crash_points(
        [Call("w", "a", "", 0, b"ab", 2), Call("s", "a", "", 0, b"", 0)], "torn write"
    ) == [0]
    assert len(KINDS) == 4
