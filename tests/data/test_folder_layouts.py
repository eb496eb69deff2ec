"""Folders of one's own sensor files: which of their folders are classes, which are splits, and
which are subjects."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

import srnn
from srnn.cli.main import main
from srnn.data.datasets.base import SPLITS, shown
from srnn.data.datasets.labelled import load_labelled
from srnn.data.signals import Steps
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from srnn.training.recipes import load_recipe
from support.commands import fails

PEOPLE = ("ann", "bob", "cid", "dee", "eve")


def write_sensor(path: Path) -> None:
    """A recording of its own for each name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng([*"/".join(path.parts[-3:]).encode()]).normal(size=(20, 3)))


def test_folders_of_splits_are_no_classes(tmp_path: Path) -> None:
    """The layout that most data sets come in. Read as classes, a network would learn who is in the
    test split."""
    for split, count in (("train", 5), ("Val", 2), ("test", 3)):
        for kind in ("run", "walk"):
            for k in range(count):
                write_sensor(tmp_path / "d" / split / kind / f"ann-{k}.npy")
    task = create_task("folder", path=str(tmp_path / "d"))
    assert task.class_names == ("run", "walk")
    assert [
        (len(s), sorted(set(s.y))) for s in map(task.load, ("train", "validation", "test"))
    ] == [(10, [0, 1]), (4, [0, 1]), (6, [0, 1])]
    write_sensor(tmp_path / "d" / "test" / "k.npy")
    with pytest.raises(
        SrnnError, match=r"Val, test, train are names of splits; .* test/k\.npy is in none\."
    ):
        create_task("folder", path=str(tmp_path / "d"))


@pytest.mark.parametrize("subjects", [PEOPLE, ("",)], ids=["people", "nobody"])
def test_validation_is_held_out_of_training_where_only_that_and_test_are_given(
    subjects: tuple[str, ...], tmp_path: Path
) -> None:
    """Which many data sets have; it was refused. Nobody is in two splits, each class is in both,
    and the test stays as it is."""
    for kind in ("run", "walk"):
        for subject in subjects:
            for k in range(8):
                write_sensor(tmp_path / "train" / kind / subject / f"{k}.npy")
        write_sensor(tmp_path / "test" / kind / ("flo" if subjects[0] else "") / "9.npy")
    options = {"path": str(tmp_path), "speaker": "{speaker}/{index}" if subjects[0] else ""}
    task = create_task("folder", **options)
    with pytest.warns(
        RuntimeWarning,
        match=r"names no validation split: 15% of the training split's .* are held out",
    ):
        train, validation, test = map(task.load, SPLITS)
    assert len(train) + len(validation) == 16 * len(subjects) and len(test) == 2
    assert all(set(split.y) == {0, 1} for split in (train, validation, test))
    if subjects[0]:
        people = [
            set(split.groups) for split in (train, validation, test) if split.groups is not None
        ]
        assert [len(one) for one in people] == [4, 1, 1] and len(set.union(*people)) == 6
    else:
        assert len(validation) == 2  # of 8, of each class
    again = create_task("folder", **options).load("validation")
    assert again.y.tolist() == validation.y.tolist() and np.array_equal(again.x, validation.x)


def test_validation_is_not_taken_where_only_the_network_is_tried(tmp_path: Path) -> None:
    """Elsewhere a network has its own shares; what a file names no sequences for, it has none
    for."""
    x, names = np.zeros((6, 5, 2), np.float32), np.array(["train"] * 4 + ["test"] * 2)
    np.savez(
        tmp_path / "one.npz", x=x, y=np.arange(6) % 2, class_names=np.array(["a", "b"]), split=names
    )
    with pytest.raises(SrnnError, match="has no sequences for the validation split"):
        load_labelled(
            "validation", tmp_path / "one.npz", ["a", "b"], Steps(2, None), lambda _, signal: signal
        )


def test_a_class_may_be_called_as_a_split(tmp_path: Path) -> None:
    for kind in ("train", "bus"):
        for k in range(6):
            write_sensor(tmp_path / kind / f"{k}.npy")
    assert create_task("folder", path=str(tmp_path)).class_names == ("bus", "train")


def test_a_folder_of_a_class_may_hold_one_for_each_subject(tmp_path: Path) -> None:
    for kind in ("run", "walk"):
        for subject in PEOPLE:
            for k in range(3):
                write_sensor(tmp_path / "d" / kind / subject / f"{k}.npy")
    with pytest.warns(
        RuntimeWarning,
        match=r"run, walk holds the folders ann, .*, eve, which nothing tells apart: .*speaker",
    ):
        create_task("folder", path=str(tmp_path / "d")).load("train")
    task = create_task("folder", path=str(tmp_path / "d"), speaker="{speaker}/{index}")
    splits = [task.load(split) for split in ("train", "validation", "test")]
    assert sorted(name for split in splits for name in set(split.groups)) == sorted(PEOPLE)
    with pytest.raises(SrnnError, match=r"The pattern .* does not find the speaker in the name of"):
        create_task("folder", path=str(tmp_path / "d"), speaker="{index}/{speaker}/x")


def test_loose_sensor_files_are_counted(tmp_path: Path) -> None:
    for k in range(4):
        write_sensor(tmp_path / f"run_{k}.npy")
    with pytest.raises(
        SrnnError,
        match=r"one for each class; files outside the classes' folders, which are not read: 4\. A "
        r"table",
    ):
        create_task("folder", path=str(tmp_path))


def test_runs_among_the_data_are_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ``srnn train .`` they lie there, with recordings as examples; the next command read
    these as a further class."""
    for kind in ("run", "walk"):
        for k in range(8):
            write_sensor(tmp_path / kind / f"{k}.npy")
    monkeypatch.chdir(tmp_path)
    settings = {"training.epochs": 1, "network.hidden": 2, "network.backend": "reference"}
    with pytest.warns(RuntimeWarning, match=r"^\.: folders without files .* not classes: runs\.$"):
        model = srnn.train(".", Path("runs", "first"), settings)
    assert [*(tmp_path / "runs" / "first" / "examples").glob("*.npy")]
    task = create_task("folder", path=".")
    assert task.class_names == model.classes == ("run", "walk")
    assert (
        len(task.load("train"))
        == len(model.task.load("train"))
        == 12 - len(task.load("validation"))
    )
    (tmp_path / "runs" / "mine").mkdir()
    (tmp_path / "runs" / "mine" / "recipe.yaml").touch()  # alone, it makes no run
    write_sensor(tmp_path / "runs" / "mine" / "1.npy")
    assert create_task("folder", path=".").class_names == ("run", "runs", "walk")


def test_a_folder_in_the_data_folder_is_found_wherever_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("run", "walk"):
        for k in range(8):
            write_sensor(tmp_path / "D" / "steps" / kind / f"{k}.npy")
    (tmp_path / "D" / "mnist").mkdir()
    (tmp_path / "mine.yaml").write_text("task: {name: folder, options: {path: steps}}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SRNN_DATA", str(tmp_path / "D"))
    task = create_task("folder", path="steps").described()
    assert load_recipe("steps").task.options == {"path": "steps"}
    monkeypatch.setenv("SRNN_DATA", str(tmp_path / "nothing"))
    small = {"training.epochs": 1, "network.hidden": 2, "network.backend": "reference"}
    capsys.readouterr()
    assert (
        main(
            [
                "train",
                "--dry-run",
                "mine.yaml",
                "--data-dir",
                "D",
                "--json",
                "--network.backend=reference",
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["origin"] == str(Path("D", "steps"))
    assert srnn.train("steps", "out", small, data_dir="D").classes == ("run", "walk")
    assert len(task.load("train", Path("D"))) > len(task.load("test", Path("D"))) > 0
    assert "There is no recipe 'mnist'" in fails(
        capsys, "train", "--dry-run", "mnist", "--data-dir", "D"
    )
    with pytest.raises(SrnnError, match="neither here nor under"):  # a command's folder is its own
        create_task("folder", path="steps")


def test_a_recipe_needs_no_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SRNN_DATA", raising=False)
    monkeypatch.setattr(
        Path, "home", Mock(side_effect=RuntimeError)
    )  # as in a container with a user of its own
    (tmp_path / "mine.yaml").write_text("task: {name: digits}\n")
    assert load_recipe(str(tmp_path / "mine.yaml")).task.name == "digits"
    with pytest.raises(SrnnError, match="There is no recipe 'digit'"):
        load_recipe("digit")


def test_rates_that_only_some_files_state_are_not_silently_mixed(tmp_path: Path) -> None:
    """The first file says nothing, so nothing was resampled, and nobody was told."""
    for kind in ("run", "walk"):
        for k in range(6):
            write_sensor(tmp_path / kind / f"{k}.npy")
    times = [0.002, 0.01]  # s from one row to the next
    for k, (kind, step) in enumerate(zip(("run", "walk"), times, strict=True)):
        rows = [f"{step * t:.3f},{t},{k},0" for t in range(20)]
        (tmp_path / kind / "x.csv").write_text("\n".join(["time,a,b,c", *rows]))
    options = {"path": str(tmp_path), "scale": "none"}
    with pytest.warns(
        RuntimeWarning, match=r"some files state their rate and others, such as 0\.npy, do not"
    ):
        lengths = [len(x) for name in SPLITS for x in create_task("folder", **options).load(name).x]
    assert len(lengths) == 14 and set(lengths) == {20}


def test_names_that_look_alike_are_the_same_name(tmp_path: Path) -> None:
    """A Mac writes é as e and an accent, other systems as one letter, and a copy may hold both."""
    forms = {
        form: [unicodedata.normalize(form, name) for name in ("zoé", "éric", "bob")]
        for form in ("NFC", "NFD")
    }
    assert forms["NFC"] != forms["NFD"]
    for form, (zoe, eric, bob) in forms.items():
        for k, who in enumerate((zoe, eric, bob) * 4):
            write_sensor(tmp_path / form / (eric, bob)[k % 2] / f"{who}-{k}.npy")
    ours, theirs = (
        create_task("folder", path=str(tmp_path / form), speaker="{speaker}-{index}")
        for form in forms
    )
    assert ours.class_names == theirs.class_names == ("bob", "éric")
    for split in ("train", "validation", "test"):
        ours_of, theirs_of = sorted(ours.load(split).groups), sorted(theirs.load(split).groups)
        assert ours_of == theirs_of and len({*ours_of}) == 1
    plain = replace(ours, scale="none").described()
    model = replace(
        plain, class_names=shown(("bob", forms["NFD"][1])), data=tmp_path / "NFC"
    )  # as a Mac wrote it
    assert len(model.load("train")) == 12
    (tmp_path / "NFC" / forms["NFD"][1]).mkdir()
    write_sensor(tmp_path / "NFC" / forms["NFD"][1] / "bob-12.npy")
    assert create_task("folder", path=str(tmp_path / "NFC")).class_names == ("bob", "éric")
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 5, 3)), y=[forms["NFC"][1], forms["NFD"][1]])
    assert create_task("folder", path=str(tmp_path / "a.npz")).class_names == ("éric",)
