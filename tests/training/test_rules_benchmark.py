"""benchmarks.rules, tiny: a point of each rule, in this process; benchmarks.learning_stream and
benchmarks.rules_agreement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import learning_stream, rules, rules_agreement


@pytest.mark.slow
def test_points_of_all_rules_and_a_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "in_its_own_process", rules.measure)
    out = ["--neurons=4", "--window=20", f"--out={tmp_path}"]
    assert (
        rules.main(
            ["--rules", "bptt", "tbptt", "e-prop", "--steps", "30", "50", "--limit=30", *out]
        )
        == 0
    )
    written = json.loads((tmp_path / "rules.json").read_text())
    assert [(point["rule"], point["done"]) for point in written["points"]] == [
        (rule, steps) for rule in ("bptt", "tbptt", "e-prop") for steps in (30, 50)
    ]
    assert all(point["seconds_per_step"] > 0 for point in written["points"])
    assert "</svg>" in (tmp_path / "rules.svg").read_text()
    # What cannot stop is not begun; what can stops at its limit.
    assert (
        rules.main(["--rules", "bptt", "tbptt", "--steps", "30", "50000000", "--limit=0.2", *out])
        == 0
    )
    points = json.loads((tmp_path / "rules.json").read_text())["points"]
    assert "skipped" in points[1] and points[3]["done"] < 50_000_000


@pytest.mark.slow
def test_a_stream_that_learns_is_measured(tmp_path: Path) -> None:
    assert (
        learning_stream.main(
            ["--steps", "500", "1000", "--train", "readout", "--out", str(tmp_path)]
        )
        == 0
    )
    rows = json.loads((tmp_path / "learning-stream.json").read_text())["rows"]
    assert [row["steps"] for row in rows] == [500, 1000] and abs(
        rows[0]["state_bytes"] - rows[1]["state_bytes"]
    ) < 100
    assert all(row["microseconds_per_step"] > 0 and row["resident_mib"] > 0 for row in rows)
    assert "| 1,000 |" in (tmp_path / "learning-stream.md").read_text()


def test_gradients_beside_those_of_bptt(tmp_path: Path) -> None:
    network = "64 ALIF, feed-forward"
    assert (
        rules_agreement.main(["--seeds", "1", "--networks", network, "--out", str(tmp_path)]) == 0
    )
    rows = {
        row["rule"]: row["values"][0]
        for row in json.loads((tmp_path / "agreement.json").read_text())["rows"]
    }
    assert rows["e-prop"][:3] == pytest.approx((1, 1, 1), abs=0.02) and rows["e-prop"][3] > 0.01
    assert (
        rows["d-rtrl"][0] < 0.999
        and rows["d-rtrl"][2] < 0.5
        and abs(rows["e-prop, random"][0]) < 0.5
    )
