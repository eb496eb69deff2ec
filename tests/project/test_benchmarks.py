"""``python -m benchmarks``: every kind of measure runs on shrunk networks, and the page shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import bf16, ternary, to_accuracy
from benchmarks.__main__ import main
from benchmarks.report import KINDS

HEADINGS = {
    "agreement": "## The same function?",
    "speed": "## Forward and backward", "limit": "## How far from the limit", "memory": "## Memory",
    "latency": "## One live stream", "scaling": "firing rate",
}  # fmt: skip


def measured(kind: str, folder: Path) -> list[dict]:
    out = folder / "benchmarks.json"
    options = ["--quick", "--threads", "1", "--nets", "ecg", "--peers", "eager", "--sweeps", "rate", "--out", str(out)]
    assert main(["--what", kind, *options]) == 0
    assert HEADINGS[kind] in out.with_suffix(".md").read_text()
    return json.loads(out.read_text())[kind]


def test_the_limit_is_measured(tmp_path: Path) -> None:
    (record,) = measured("limit", tmp_path)
    assert 0 < record["limit_s"] < 10 and all(rate > 0 for rate in record["rates"].values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "limit"])
def test_every_other_kind_is_measured(kind: str, tmp_path: Path) -> None:
    records = measured(kind, tmp_path)
    assert records and not any("failed" in record for record in records)


@pytest.mark.skipif(not bf16.multiplies_bf16(), reason="this processor has no AVX512-BF16")
@pytest.mark.parametrize(
    ("parts", "heading"),
    [
        pytest.param(["products", "layer", "gradients"], "## Exactness", id="exactness"),
        pytest.param(["steps"], "## A training step", id="steps"),
        pytest.param(["training"], "| digits | mean |", id="training", marks=pytest.mark.slow),
    ],
)
def test_bfloat16_products_are_measured(parts: list[str], heading: str, tmp_path: Path) -> None:
    options = ["--quick", "--nets", "ecg", "--seeds", "0", "--out", str(tmp_path)]
    assert bf16.main(["--what", *parts, *options]) == 0
    found = json.loads((tmp_path / "bf16.json").read_text())
    assert all(found[part] for part in parts) and heading in (tmp_path / "README.md").read_text()


def test_bfloat16_products_are_not_measured_where_there_are_none(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(bf16, "multiplies_bf16", lambda: False)
    assert bf16.main(["--out", str(tmp_path / "out")]) == 2 and not (tmp_path / "out").exists()
    assert "no AVX512-BF16" in capsys.readouterr().err


def test_planes_of_ternary_input_are_measured(tmp_path: Path) -> None:
    assert ternary.main(["--quick", "--nets", "gsc", "--out", str(tmp_path)]) == 0
    records = json.loads((tmp_path / "ternary.json").read_text())["records"]
    assert len(records) == 3 and all(record["same_output"] and record["ratio"] > 0 for record in records)
    assert "| GSC | 8 x 20, 120-300-300-12 | 10% |" in (tmp_path / "ternary.md").read_text()


def test_seconds_to_an_accuracy(tmp_path: Path) -> None:
    """A goal that the first epoch reaches, one that none does within the limit, and what the page says of both."""
    options = ["--seeds", "0", "--threads", "1", "--out", str(tmp_path)]
    for way in ("eager", "srnn"):  # the first stays when the second is measured
        assert to_accuracy.main(["digits", "0.15", "--limit", "100", "--ways", way, *options]) == 0
    ours, eager = json.loads((tmp_path / "to-accuracy.json").read_text())["records"]
    assert (ours["way"], eager["way"]) == ("srnn", "eager") and ours["reached"] and eager["reached"]
    assert len(ours["epochs"]) == 1 and 0 < ours["epochs"][0]["processor_s"] <= ours["processor_s"]
    page = (tmp_path / "README.md").read_text()
    assert "times as long (the median; seeds: 1)" in page and "A batch, without what comes before the first" in page
    assert 0 < eager["first_batch_s"] < eager["processor_s"]
    assert to_accuracy.main(["digits", "1.01", "--limit", "0.1", "--ways", "srnn", *options]) == 0
    (ours,) = json.loads((tmp_path / "to-accuracy.json").read_text())["records"]  # of another goal than before
    assert not ours["reached"] and not ours["all_epochs"] and "not within 0.1" in (tmp_path / "README.md").read_text()
