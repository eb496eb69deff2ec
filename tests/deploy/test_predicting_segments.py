"""A recording that is longer than training's windows: a note says so, and ``segment`` cuts it as
training did."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srnn
from srnn.cli.main import main
from srnn.data.tasks import TaskMetadata
from support.refusing import refuses

QUICK: dict[str, Any] = {"network.backend": "reference", "training.refit": False}
RATE = 10


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> srnn.Model:
    """Trained with ``window`` 2 on recordings of 8 s, whose level is their class."""
    folder = tmp_path_factory.mktemp("days")
    for number in range(12):
        rng = np.random.default_rng(number)
        x = rng.normal(0, 0.3, (8 * RATE, 2)) + number % 2
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        np.savez(folder / "ab"[number % 2] / f"{number}.npz", x=x, rate=RATE)
    overrides = QUICK | {"task.options.window": 2}
    return srnn.fit(folder, epochs=15, hidden=8, overrides=overrides)


def recording(seconds: int) -> np.ndarray:
    """Class b but for its last 2 s."""
    x = np.random.default_rng(0).normal(0, 0.3, (seconds * RATE, 2)) + 1
    x[-2 * RATE :] -= 1
    return x.astype(np.float32)


def said(call: Any) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = call()
    return found, [str(warning.message) for warning in caught]


def test_a_note_says_how_training_cut(model: srnn.Model, tmp_path: Path) -> None:
    assert model.task.segment == 2
    read = srnn.load(model.save(tmp_path / "model.safetensors"))
    for call in (
        lambda: model.predict(recording(20)),
        lambda: read.predict([recording(20), recording(8), recording(30)]),
    ):
        _, notes = said(call)
        (note,) = [note for note in notes if "one sequence" in note]
        assert "windows of 2 s" in note and "segment=2" in note
    found, _ = said(lambda: model.predict(recording(20)))
    assert any("segment=2" in note for note in found.notes)
    assert not said(lambda: model.predict(recording(20)[:20]))[1]


def test_a_segment_cuts_as_training_did(model: srnn.Model) -> None:
    x = recording(20)
    cut, notes = said(lambda: model.predict(x, segment=2))
    assert not [note for note in notes if "one sequence" in note]
    parts = [model.predict(x[start : start + 20]) for start in range(0, 200, 20)]
    np.testing.assert_array_equal(cut.scores, np.concatenate([one.scores for one in parts]))
    ends = np.array([one.probabilities[-1] for one in parts])
    np.testing.assert_allclose(cut.overall, ends.mean(0))
    assert cut.label == "b" and cut.confidence == pytest.approx(ends.mean(0).max())
    assert [one[2] for one in cut.sequences()] == [one.label for one in parts] == ["b"] * 9 + ["a"]
    assert [one[:2] for one in cut.sequences()][-1] == (180, 200)
    streamed = model.stream(segment=2)
    decided = streamed.push(x)
    np.testing.assert_array_equal(decided.scores, cut.scores)

    rest, _ = said(lambda: model.predict(x[:135], segment=2))
    assert len(rest.scores) == 135 and len(rest.sequences()) == 7
    short, _ = said(lambda: model.predict(x[:125], segment=2))
    assert len(short.scores) == 120, "the rest is too short to judge"
    alone, _ = said(lambda: model.predict(x[:5], segment=2))
    np.testing.assert_array_equal(alone.scores, model.predict(x[:5]).scores)
    for wrong in (0, -1, "2", 1e9 + 0.5j):
        with refuses("segment"):
            model.predict(x, segment=wrong)  # type: ignore[arg-type]


def test_the_command_line_has_it(
    model: srnn.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.npz"
    np.savez(file, x=recording(20), rate=RATE)
    np.savez(tmp_path / "b.npz", x=recording(30), rate=RATE)
    words = ["predict", str(model.save(tmp_path / "model.safetensors")), str(file)]
    assert main([*words, str(tmp_path / "b.npz")]) == 0
    err = capsys.readouterr().err
    assert err.count("--segment 2") == 1 and "and 1 other" in err
    assert main([*words, "--segment", "2"]) == 0
    printed = capsys.readouterr()
    assert "mean of 10 sequences" in printed.out and "one sequence" not in printed.err
    assert main([*words, "--segment", "2", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["label"] == "b" and len(result["sequences"]) == 10
    assert result["sequences"][-1]["label"] == "a"
    assert result["probabilities"][1] == pytest.approx(result["confidence"], abs=1e-6)


def test_only_what_was_cut_has_windows() -> None:
    assert srnn.load("digits").task.segment is None, "its window is something else"
    assert srnn.load("movement").task.segment == 2
    task = srnn.load("ecg").task
    assert isinstance(task, TaskMetadata) and task.segment is None
