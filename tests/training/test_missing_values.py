"""Missing values are treated in one way by training, evaluation, prediction and streams, and a note
says how many were filled in."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srnn
from srnn import SrnnError
from srnn.data.datasets.folder import InMemoryTask
from srnn.data.gaps import DEFAULT, Gaps
from srnn.data.tasks import create_task
from srnn.training.own_data import FitArguments, gather

QUICK: dict[str, Any] = {
    "network.backend": "reference",
    "network.hidden": [3],
    "training.refit": False,
}


def holey(count: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sequences, the same with 5 values missing in two of them, and labels."""
    y = np.arange(count) % 2
    whole = np.random.default_rng(0).normal(size=(count, 12, 2)) + y[:, None, None]
    x = whole.copy()
    x[3, 4:7, 1] = np.nan
    x[8, 2] = np.nan
    return whole, x, y


def said(call: Any) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = call()
    return found, [str(warning.message) for warning in caught]


def filled(x: np.ndarray, gaps: Gaps = DEFAULT) -> np.ndarray:
    return np.stack([gaps.fill("x", row)[0] for row in x])


@pytest.mark.parametrize("form", [np.asarray, list])
@pytest.mark.parametrize("missing", ["interpolate", "hold"])
def test_gaps_are_filled_in_arrays_as_in_files(form: Any, missing: Any) -> None:
    _, x, y = holey()
    gaps = Gaps(missing)
    given, notes = said(lambda: gather(form(x), FitArguments(y), gaps))
    np.testing.assert_allclose(given["x"], filled(x, gaps), rtol=1e-6)
    (note,) = notes
    assert note.startswith("x: 5 missing values in 2 sequences filled in ")
    assert np.isnan(x).sum() == 5, "what is given stays as it is"


def test_fit_evaluate_predict_and_streams_agree() -> None:
    _, x, y = holey()
    model, notes = said(lambda: srnn.fit(x, y, epochs=1, overrides=QUICK))
    assert [note for note in notes if "5 missing values in 2 sequences" in note] == notes
    same = srnn.fit(filled(x), y, epochs=1, overrides=QUICK)
    assert model.evaluate("train").report == same.evaluate("train").report
    found, notes = said(lambda: model.predict(x))
    assert len(notes) == 1 and "5 missing values in 2 recordings filled in" in notes[0]
    whole: Any = model.predict(filled(x))
    assert all(map(np.array_equal, (a.scores for a in found), (b.scores for b in whole)))
    assert [one.filled for one in found].count(0) == 22

    for size in (1, 5, 12):
        session = model.stream()
        blocks = [x[3, start : start + size] for start in range(0, 12, size)]
        parts = [session.push(block).scores for block in blocks]
        last, notes = said(session.finish)
        assert notes == [
            "The signal: 3 missing values filled in on a line between their neighbours."
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole[3].scores)
        assert session.filled == 3 and last.final[-1]


def test_refuse_refuses_everywhere() -> None:
    whole, x, y = holey()
    with pytest.raises(SrnnError, match=r"x\[3\]: sample 4 is not finite in channel 1"):
        srnn.fit(x, y, missing="refuse")
    with pytest.raises(SrnnError, match=r"x\[3\]: 3 samples are missing.*longest_gap, now 2"):
        srnn.fit(x, y, longest_gap=2)
    with pytest.raises(SrnnError, match="'missing' must be one of"):
        srnn.fit(x, y, missing="drop")  # type: ignore[arg-type]
    x[0, 0] = np.nan
    with pytest.raises(SrnnError, match=r"x\[0\]: sample 0 is not finite.*beginning"):
        srnn.fit(x, y)
    model = srnn.fit(whole, y, epochs=1, missing="hold", overrides=QUICK)
    assert model.recipe.task.options["missing"] == "hold"
    with pytest.raises(SrnnError, match="Sample 4 is not finite in channel 1"):
        model.stream(missing="refuse").push(x[3])
    with pytest.raises(SrnnError, match="missing in channel 1"):
        model.stream(longest_gap=2).push(x[3])


def test_padding_is_no_gap() -> None:
    whole, _, y = holey()
    x, lengths = whole.copy(), 6 + np.arange(24) % 7
    for row, length in zip(x, lengths, strict=True):
        row[length:] = np.nan
    given = gather(x, FitArguments(y, lengths=lengths))
    assert not np.isnan(given["x"]).any() and InMemoryTask(arrays=given).load("train")


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_files_of_arrays_are_filled_too(tmp_path: Path, suffix: str) -> None:
    _, x, y = holey()
    path = tmp_path / f"own{suffix}"
    if suffix == ".npz":
        np.savez(path, x=x, y=y)
    else:
        h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
        with h5py.File(path, "w") as file:
            file["x"], file["y"] = x, y
    task = create_task("folder", path=str(path), scale="none", missing="hold")
    splits, notes = said(lambda: [task.load(name) for name in ("train", "validation", "test")])  # type: ignore[arg-type]
    rows = {tuple(row.ravel().tolist()) for split in splits for row in np.asarray(split.x)}
    expected = filled(x, Gaps("hold")).astype(np.float32)
    assert rows == {tuple(row.ravel().tolist()) for row in expected}
    assert notes and all("filled in with the value before them" in note for note in notes)
    again, notes = said(lambda: task.described().reading(path).load("test"))
    assert len(again) == 24 and any("5 missing values in 2 sequences" in note for note in notes)
    with pytest.raises(SrnnError, match=r"x\[\d+, \d+, \d\] is not finite.*missing"):
        for name in ("train", "validation", "test"):
            create_task("folder", path=str(path), missing="refuse").load(name)  # type: ignore[arg-type]


def test_the_classifier_has_the_same_policy() -> None:
    _, x, y = holey()
    (found, notes) = said(lambda: srnn.SRNNClassifier(epochs=1, overrides=QUICK).fit(x, y))
    assert any("5 missing values in 2 sequences" in note for note in notes)
    answers, notes = said(lambda: found.predict(x))
    assert answers.shape == (24,) and len(notes) == 1
    table, _ = said(lambda: srnn.SRNNClassifier(epochs=1, overrides=QUICK).fit(x[..., 1], y))
    assert said(lambda: table.predict(x[..., 1]))[0].shape == (24,)
    for wrong in (x, x[..., 1]):
        with pytest.raises(ValueError, match=r"finite|NaN"):
            srnn.SRNNClassifier(missing="refuse", overrides=QUICK).fit(wrong, y)


def test_a_stream_is_kept_within_a_gap() -> None:
    whole, x, y = holey()
    model = srnn.fit(whole, y, epochs=1, overrides=QUICK)
    session = model.stream()
    first = session.push(x[3, :6]).scores
    assert len(first) == 4, "what is missing waits for its end"
    restored = session.decoder.restore(session.save())
    rest = [one.push(x[3, 6:]).scores for one in (session, restored)]
    assert np.array_equal(*rest) and len(rest[0]) == 8
    with pytest.raises(SrnnError, match="missing"):
        session.push(np.full((30, 2), np.nan))
    assert session.steps == 12 and np.array_equal(
        session.push(x[0]).scores, restored.push(x[0]).scores
    ), "nothing has changed"
    session.push(np.full((2, 2), np.nan))
    with pytest.raises(SrnnError, match="not finite"):
        session.finish()
