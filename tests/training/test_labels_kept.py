"""Labels come back as they were given: of the same type, through training, a file and scikit-learn's
hands."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import srnn
from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.datasets.folder import InMemoryTask
from srnn.training.own_data import FitArguments, gather

QUICK: dict[str, Any] = {
    "network.backend": "reference",
    "network.hidden": [3],
    "training.refit": False,
}


def sequences(of: Any) -> tuple[Any, Any]:
    """30 sequences whose level is their label's place, and their labels."""
    places = np.arange(30) % len(of)
    x = np.random.default_rng(0).normal(0, 0.1, size=(30, 6, 2)) + places[:, None, None]
    return x, [of[place] for place in places]


def quick(x: Any, y: Any, **more: Any) -> srnn.Model:
    return srnn.fit(x, y, epochs=1, overrides=QUICK, **more)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: [0, 1, 2], int),
        (lambda: [100, 200, 900], int),
        (lambda: np.array([7, 3], np.uint8), int),
        (lambda: torch.tensor([4, 2]), int),
        (lambda: [True, False], bool),
        (lambda: np.array([False, True]), bool),
        (lambda: ["10", "9"], str),
    ],
)
def test_a_label_has_the_type_that_it_was_given(make: Any, kind: type, tmp_path: Path) -> None:
    x, y = sequences(make())
    known = {one.item() if hasattr(one, "item") else one for one in y}
    model = quick(x, y)
    assert len(model.classes) == len(known), "sparse integers were as many classes as the largest"
    read = srnn.load(model.save(tmp_path / "model.safetensors"))
    for one in (model, read, copy.copy(read)):
        found: Any = one.predict(x)
        assert {type(each.label) for each in found} == {kind}
        assert {each.label for each in found} <= known
        assert {*one.labels} == known and [*map(str, one.labels)] == [*one.classes]
        assert all(one.labels[each.number] == each.label for each in found)
    assert f"Prediction({found[0].label!r}" in repr(found[0]) and isinstance(found[0].answer, str)


def test_what_is_learnt_is_said_in_the_labels_that_were_given() -> None:
    x, y = sequences([900, 100])
    model = srnn.fit(x, np.array(y), epochs=40, hidden=8, overrides=QUICK | {"network.hidden": [8]})
    found: Any = model.predict(x)
    right = np.mean([each.label == label for each, label in zip(found, y, strict=True)])
    assert right > 0.9


def test_names_are_given_too_and_then_they_are_the_labels() -> None:
    x, y = sequences([0, 1])
    found: Any = quick(x, y, classes=["still", "fast"]).predict(x[0])
    assert found.label in ("still", "fast")
    ordered = quick(*sequences([5, 7]), classes=[7, 5])
    assert ordered.classes == ("7", "5") and ordered.labels == (7, 5)
    with pytest.raises(SrnnError, match=r"label 5, .*not among"):
        quick(*sequences([5, 7]), classes=[7, 9])


def test_labels_of_steps_keep_their_type() -> None:
    x, y = sequences([5, 8])
    steps = np.where(np.arange(6) == 2, -1, np.array(y)[:, None])
    model = quick(x, steps)
    assert model.labels == (5, 8) and (model.task.load("train").y[:, 2] == -1).all()
    found: Any = model.predict(x[0])
    assert {*map(type, found.labels)} == {int} and {type(one[2]) for one in found.segments()} == {
        int
    }
    rows = [[True, False][: 1 + index % 2] for index in range(30)]
    given = gather([np.full((len(row), 1), 0.5) for row in rows], FitArguments(rows))
    task = InMemoryTask(arrays=given)
    assert task.labels == (False, True)
    assert {*np.unique(task.load("train").y)} == {-1, 0, 1}, "what is no step has no label"


def test_files_say_the_type_of_their_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = sequences([100, 900])
    np.savez(tmp_path / "own.npz", x=x, y=y)
    model = srnn.fit(tmp_path / "own.npz", epochs=1, overrides=QUICK)
    assert model.labels == (100, 900)
    np.savez(tmp_path / "two.npz", x=x, y=np.array(y) == 900)
    assert srnn.fit(tmp_path / "two.npz", epochs=1, overrides=QUICK).labels == (False, True)
    model.save(tmp_path / "model.safetensors")
    np.save(tmp_path / "a.npy", x[0])
    words = [str(tmp_path / "model.safetensors"), str(tmp_path / "a.npy")]
    assert main(["predict", *words, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["label"] in ("100", "900") and result["label"] == model.classes[result["class"]]
    assert main(["predict", *words, "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split(",")[1] == result["label"]
    for number in range(16):  # names of folders, and cells, are text
        path = tmp_path / "days" / ("1", "2")[number % 2] / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(x[number]).to_csv(path, index=False, header=["ax", "ay"])
    assert srnn.fit(tmp_path / "days", epochs=1, overrides=QUICK).labels == ("1", "2")


def test_a_file_of_before_labels_had_types_has_text(tmp_path: Path) -> None:
    old = srnn.load(Path(__file__).parents[1] / "fixtures" / "models" / "version-2.safetensors")
    assert old.labels == old.classes


def test_the_classifier_gives_back_what_it_was_given() -> None:
    for of, kind in (
        ([-1, 1], np.integer),
        ([100, 900], np.integer),
        ([True, False], np.bool_),
        (["b", "a"], str),
        ([1.0, 3.0], np.floating),
    ):
        x, y = sequences(of)
        found = srnn.SRNNClassifier(epochs=1, overrides=QUICK).fit(x, np.array(y))
        assert isinstance(found.predict(x[:3])[0], kind)
        assert {*found.classes_.tolist()} == {*of}
        one: Any = found.model_.predict(x[0])
        assert one.label in of and found.model_.labels == tuple(sorted(of))


def test_floats_that_are_whole_are_values_and_that_is_said() -> None:
    x, y = sequences([1.0, 2.0])
    with pytest.warns(RuntimeWarning, match=r"whole numbers \(1, 2\).*astype\(int\)"):
        task = InMemoryTask(arrays=gather(x, FitArguments(np.array(y))))
        assert task.targets is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert InMemoryTask(arrays=gather(x, FitArguments(np.array(y))), answer="values").targets
        assert InMemoryTask(arrays=gather(x, FitArguments(np.array(y) + 0.5))).targets
