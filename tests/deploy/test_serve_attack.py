"""benchmarks.serve_attack, tiny: it runs, nobody is cut off, and the server says nothing. (A busy machine may be late.)"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")
benchmark = pytest.importorskip("benchmarks.serve_attack")

from benchmarks.serve_attackers import ATTACKS, frame, npy  # noqa: E402

if not Path("/proc/self/smaps_rollup").exists():
    pytest.skip("memory is read from Linux's /proc", allow_module_level=True)


def run(runs: Path, out: Path, *words: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.serve_attack",
        str(runs / "digits"),
        "--input",
        "steps",
        "--streams",
        "3",
    ]
    rows = out.with_suffix(".log")
    with rows.open("w") as file:
        try:
            words = ("--block", "5", "--out", str(out), *words)
            subprocess.run([*command, *words], check=True, timeout=280, stdout=file, stderr=file)
        except subprocess.SubprocessError as error:
            pytest.fail(f"{error}\n{rows.read_text()[-4000:]}")
    return json.loads(out.read_text())


@pytest.mark.slow
def test_honest_streams_stay_beside_every_attack(runs: Path, tmp_path: Path) -> None:
    found = run(runs, tmp_path / "out.json", "--seconds", "1", "--scale", "0.02")
    assert [row["attack"] for row in found["rows"]] == ["none", *ATTACKS, "ulimit"]
    for row in found["rows"]:
        assert (row["failures"], row["log"]) == ([], 0) and row["lost"] >= 0, row
        assert 0 < row["memory_mb"] < 4000 and row["descriptors"] > 5 and (row["came"] > 0) == (row["attack"] != "none")


@pytest.mark.slow
def test_a_soak_resumes_streams_and_sums_up(runs: Path, tmp_path: Path) -> None:
    found = run(runs, tmp_path / "out.json", "--seconds", "5", "--soak", "0.05", "--scale", "0.02")
    assert (found["wrong"], found["failures"], found["log"]) == (0, [], 0) and len(found["memory_mb"]) == 2


def test_what_is_sent_is_what_it_is_called() -> None:
    import io

    import numpy as np

    data = np.arange(6, dtype="<f4")
    assert np.array_equal(np.load(io.BytesIO(npy("(2, 3)", data.tobytes()))), data.reshape(2, 3))
    assert frame(2, b"ab") == b"\x82\x82\0\0\0\0ab" and frame(0, b"", False) == b"\x00\x80\0\0\0\0"
    assert frame(1, b"x" * 70000)[:10] == b"\x81\xff" + (70000).to_bytes(8, "big")
