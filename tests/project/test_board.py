"""The board of data sets, on a small one of the same layout: each family is trained, kept as a
line, and rendered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import board


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of 12 training and 8 test sequences of 16 to 24 steps, under the name of a set of
    the board."""
    rng = np.random.default_rng(0)
    sequences, labels, splits = [], [], []
    for number in range(40):
        x = rng.normal(size=(16 + number % 9, 1)) * 0.1
        x += np.sin(np.arange(len(x)) * (0.3 + number % 2))[:, None]
        sequences.append(x)
        labels.append(f"class {number % 2}")
        splits.append("train" if number < 24 else "test")
    board.write_arrays(tmp_path / "BasicMotions.npz", sequences, labels, splits)
    return tmp_path


def _run(data: Path, *words: str) -> list[dict]:
    out = data / "out"
    common = ["--sets", "BasicMotions", "--data", str(data), "--out", str(out), "--threads", "1"]
    settings = ["--set", "training.epochs=2", 'network.backend="reference"']
    assert board.main([*common, *words, *settings]) == 0
    return [json.loads(line) for line in (out / "board.jsonl").read_text().splitlines()]


def test_each_family_is_measured_once_and_rendered(data: Path) -> None:
    rows = _run(data, "--families", "srnn", "cnn", "--variant", "short")
    assert [row["family"] for row in rows] == ["srnn", "cnn"]
    assert all(0 <= row["accuracy"] <= 1 and row["epochs"] == 2 for row in rows)
    assert rows[1]["parameters"] <= rows[0]["parameters"]
    assert len(_run(data, "--families", "srnn", "cnn", "--variant", "short")) == 2
    page = (data / "out" / "README.md").read_text()
    assert "| BasicMotions |" in page and "| srnn, short |" in page and "| cnn, short |" in page


@pytest.mark.filterwarnings("ignore:.*names no validation split")
def test_energy_is_that_of_the_operations(data: Path) -> None:
    recipe = board._as_large(data / "BasicMotions.npz", "gru", 20_000, {})
    network = recipe.build_network(recipe.create_task(), 0)
    parameters = sum(p.numel() for p in network.parameters())
    # Each weight is multiplied once a step, and the gates by the states: some pJ a parameter.
    assert 4.6 * 0.9 < board.step_nj(network, None) * 1000 / parameters < 4.6 * 1.2


@pytest.mark.filterwarnings("ignore:.*names no validation split")
def test_a_baseline_is_about_as_large(data: Path) -> None:
    file = data / "BasicMotions.npz"
    recipe = board._as_large(file, "gru", 20_000, {})
    network = recipe.build_network(recipe.create_task(), 0)
    assert 15_000 < sum(p.numel() for p in network.parameters()) <= 20_000
    assert recipe.network.model == "gru"


def test_the_archives_other_sets_are_not_opened() -> None:
    with pytest.raises(AssertionError):
        next(board._ucr("GunPoint"))
