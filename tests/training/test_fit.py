"""``srnn.fit``: data in memory, in every form, give the network that the same arrays in a file
give; and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import srnn
from srnn import SrnnError
from srnn.data.datasets.folder import InMemoryTask
from srnn.data.recordings import Recording
from srnn.training import own_data
from srnn.training.own_data import FitArguments
from support.refusing import refuses

QUICK = {
    "network.backend": "reference",
    "network.hidden": [3],
    "training.epochs": 1,
    "training.refit": False,
}
SPLITS: tuple[Any, ...] = ("train", "validation", "test")
Array = np.ndarray


def numbers(count: int = 24, steps: int = 6, channels: int = 2) -> tuple[Array, Array]:
    """Sequences of two classes, whose levels differ."""
    y = np.arange(count) % 2
    x = np.random.default_rng(0).normal(size=(count, steps, channels)) + y[:, None, None]
    return x, y


def gather(x: Any, y: Any, **told: Any) -> Any:
    """The arrays that ``srnn.fit`` makes of them."""
    return own_data.gather(x, FitArguments(y, **told))


def same_weights(one: srnn.Model, other: srnn.Model) -> bool:
    theirs = other.network.state_dict()
    return all(torch.equal(own, theirs[name]) for name, own in one.network.state_dict().items())


class Pairs(torch.utils.data.Dataset[Any]):
    """A Dataset of (x, y)."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return torch.as_tensor(self.x[index]), int(self.y[index])


# ---- one path -----------------------------------------------------------------------------------


@pytest.mark.parametrize("per_step", [pytest.param(False, marks=pytest.mark.slow), True])
def test_data_in_memory_give_the_same_bits_as_in_a_file(tmp_path: Path, per_step: bool) -> None:
    x, y = numbers()
    lengths = 3 + np.arange(len(x)) % 4
    groups = np.array([f"s{index % 8}" for index in range(len(x))])
    if per_step:
        y = np.where(np.arange(6) == 2, -1, y[:, None])
    known: dict[str, Any] = {
        "lengths": lengths,
        "groups": groups,
        "rate": 50.0,
        "units": ["g", "deg/s"],
    }
    np.savez(
        tmp_path / "own.npz",
        x=x,
        y=y,
        channels=["ax", "gx"],
        class_names=["still", "fast"],
        **known,
    )
    quick = QUICK | {"training.refit": not per_step}
    filed = srnn.train(tmp_path / "own.npz", tmp_path / "filed", quick)
    options: dict[str, Any] = {
        "channels": ["ax", "gx"],
        "classes": ["still", "fast"],
        "overrides": quick,
        **known,
    }
    fitted = srnn.fit(x, y, **options)
    kept = srnn.fit(x, y, **options, out=tmp_path / "kept")
    by_path = srnn.fit(tmp_path / "own.npz", overrides=quick)
    for model in (fitted, kept, by_path):
        assert same_weights(model, filed) and model.about == filed.about
        assert model.task.signal() == filed.task.signal() and model.classes == ("still", "fast")
    assert fitted.recipe.task.name == "folder" and fitted.recipe.network == filed.recipe.network
    assert (tmp_path / "kept" / "metrics.jsonl").is_file() and by_path.folder is None


def test_a_model_is_whole_without_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    x, y = numbers()
    model = srnn.fit(x, y, rate=50, overrides=QUICK)
    assert not [*tmp_path.glob("srnn-*")] and model.folder is None and model.file is None
    assert model.about["result"]["n_sequences"] == 4
    found: Any = model.predict(x[0])
    session = model.stream()
    session.push(x[0])
    assert session.finish().winners[-1] == found.number
    assert [model.evaluate(split).report["n_sequences"] for split in SPLITS] == [16, 4, 4]
    again = srnn.load(model.save(tmp_path / "model.safetensors"))
    read: Any = again.predict(x[0])
    assert np.array_equal(read.scores, found.scores)
    with pytest.raises(SrnnError, match=r"data were in memory.* \(data\)"):
        again.evaluate()
    assert model.export(tmp_path / "c")["weights"] > 0
    assert model.energy(torch.zeros(1, 6, 2))["models"]


def test_a_task_of_a_program_stays_with_the_model_that_train_returns(tmp_path: Path) -> None:
    x, y = numbers()
    given = gather(x, y)
    recipe = srnn.training.recipes.parse_recipe(
        "task: {name: unknown}", [f"--{key}={value}" for key, value in QUICK.items()]
    )
    model = srnn.train(recipe, tmp_path / "run", task=InMemoryTask(arrays=given))
    assert len(model.task.load("validation")) == 4


def test_a_run_in_a_folder_is_resumed_with_the_same_data_only(tmp_path: Path) -> None:
    x, y = numbers()
    run = tmp_path / "run"
    first = srnn.fit(x, y, out=run, overrides=QUICK)
    assert same_weights(srnn.fit(x, y, out=run, overrides=QUICK, resume=True), first)
    with pytest.raises(SrnnError, match="not empty"):
        srnn.fit(x, y, out=run, overrides=QUICK)
    with refuses("data_dir", "conflict"):
        srnn.fit(x + 1, 1 - y, out=run, overrides=QUICK, resume=True)
    with pytest.raises(SrnnError, match="name it with out"):
        srnn.fit(x, y, resume=True)


def test_keywords_are_settings_of_the_recipe() -> None:
    x, y = numbers()
    model = srnn.fit(
        x, y, validation=0.25, test=0, epochs=2, patience=5, hidden=(4, 3), neuron=srnn.LIF(), lr=0.5, batch_size=7, seed=3,
        overrides=_without(QUICK, "training.epochs", "network.hidden")
        | {"task.options.scale": "none", "training.batch_size": 9},
    )  # fmt: skip
    recipe, training = model.recipe, model.recipe.training
    assert recipe.task.options == {
        "path": "",
        "validation_fraction": 0.25,
        "test_fraction": 0,
        "scale": "none",
    }
    assert recipe.network.hidden == [4, 3] and recipe.network.neuron == srnn.LIF().describe()
    assert (training.epochs, training.early_stopping.patience, training.optimizer.lr) == (2, 5, 0.5)
    assert training.batch_size == 9, "overrides come last"
    assert model.seed == 3 and model.about["result"]["n_sequences"] == 6
    with pytest.raises(SrnnError, match="no sequences for the test split"):
        model.task.load("test")


def test_training_stops_when_validation_has_not_improved_for_a_while() -> None:
    x, y = numbers()
    # A rate that changes no weight in float32: every epoch is as good as the first.
    options = QUICK | {"training.start": "drawn", "network.norm": "none"}
    model = srnn.fit(
        x, y, epochs=30, lr=1e-30, patience=2, overrides=_without(options, "training.epochs")
    )
    assert (model.about["result"]["epochs"], model.about["result"]["best_epoch"]) == (3, 1)


def _without(settings: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in keys}


def test_validation_may_be_given() -> None:
    x, y = numbers()
    model = srnn.fit(x[:16], y[:16], validation=(x[16:], y[16:]), overrides=QUICK)
    assert model.about["result"]["n_sequences"] == 8 and len(model.task.load("train")) == 16
    found = model.task.load("validation")
    assert np.array_equal(found.y, y[16:])
    path: Any = model.task.signal()
    np.testing.assert_allclose(path.statistics.mean, x[:16].mean((0, 1)), rtol=1e-5)
    same = srnn.fit(Pairs(x[:16], y[:16]), validation=Pairs(x[16:], y[16:]), overrides=QUICK)
    assert same_weights(same, model)


# ---- forms --------------------------------------------------------------------------------------


def frames(x: Array, rate: float | None = None) -> list[pd.DataFrame]:
    made = [pd.DataFrame(one, columns=["ax (g)", "gx (deg/s)"]) for one in x]
    if rate is not None:
        for frame in made:
            frame.insert(0, "time", np.arange(len(frame)) / rate)
    return made


@pytest.mark.parametrize(
    "form",
    [
        torch.as_tensor,
        list,
        lambda x: [
            torch.as_tensor(one, dtype=torch.float64, device="cpu").requires_grad_() for one in x
        ],
        lambda x: x.tolist(),
        lambda x: tuple(map(Recording, x)),
        lambda x: [pd.DataFrame(one) for one in x],
    ],
)
def test_sequences_of_one_length_are_the_same_in_every_form(form: Callable[[Any], Any]) -> None:
    x, y = numbers()
    given = gather(form(x), y)
    assert np.array_equal(given["x"].astype(np.float32), x.astype(np.float32))
    assert "lengths" not in given and np.array_equal(given["y"], y)


def test_sequences_of_different_lengths_are_padded() -> None:
    x = [np.full((length, 2), length, np.int16) for length in (3, 5, 4, 1)]
    for form in (x, np.array(x, dtype=object), tuple(map(torch.as_tensor, x))):
        given = gather(form, ["a", "b", "a", "b"])
        assert given["lengths"].tolist() == [3, 5, 4, 1] and given["x"].shape == (4, 5, 2)
        assert given["x"][0, :, 0].tolist() == [3, 3, 3, 0, 0]
    one_channel = gather([np.arange(3.0), np.arange(2.0)], [0, 1])
    assert one_channel["x"].shape == (2, 3, 1) and gather(np.zeros((4, 9)), [0, 1] * 2)[
        "x"
    ].shape == (4, 9, 1)


def test_tables_state_their_names_units_and_rate() -> None:
    x, y = numbers()
    given = gather(frames(x, rate=50), y)
    assert given["channels"].tolist() == ["ax", "gx"] and given["units"].tolist() == ["g", "deg/s"]
    assert given["rate"] == 50 and given["x"].shape == x.shape
    turned = [frame[[*frame.columns[::-1]]] for frame in frames(x[1:])]
    mixed = gather([frames(x)[0], *turned], y)
    np.testing.assert_allclose(mixed["x"], x, rtol=1e-6)
    chosen = gather(frames(x), y, channels=["GX"])
    assert chosen["x"].shape == (24, 6, 1) and chosen["channels"].tolist() == ["gx"]
    slower = gather(frames(x, rate=50), y, rate=25)
    assert slower["x"].shape == (24, 3, 2) and slower["rate"] == 25
    gap = frames(x)
    gap[3].iloc[2] = np.nan
    with pytest.warns(RuntimeWarning, match=r"x: 2 missing values in 1 sequence filled in on"):
        filled = gather(gap, y)["x"]
    np.testing.assert_allclose(filled[3, 2], x[3, [1, 3]].mean(0), rtol=1e-6)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([1, 0] * 12, ("0", "1")),
        (np.array([1, 0] * 12, np.uint8), ("0", "1")),
        (torch.tensor([1, 0] * 12), ("0", "1")),
        ([torch.tensor(1), torch.tensor(0)] * 12, ("0", "1")),
        (["up", "down"] * 12, ("down", "up")),
        (pd.Series(["up", "down"] * 12), ("down", "up")),
        (pd.Series(["up", "down"] * 12, dtype="category"), ("down", "up")),
        (pd.DataFrame({"label": ["up", "down"] * 12}), ("down", "up")),
        (np.array(["up", "down"] * 12, object), ("down", "up")),
        ([True, False] * 12, ("False", "True")),
        (np.array([[1, -1, 0, 0, 1, 1]] * 24), ("0", "1")),
        ([["up", "", "down", "down", "up", "up"]] * 24, ("down", "up")),
    ],
)
def test_labels_in_every_form(y: Any, classes: tuple[str, ...]) -> None:
    task = InMemoryTask(arrays=gather(numbers()[0], y))
    assert task.class_names == classes and task.kind == (
        "per_step" if np.ndim(task.arrays["y"]) == 2 else "per_sequence"
    )
    labels = [label for split in SPLITS for label in task.load(split).y.ravel()]
    assert {*labels} - {-1} == {0, 1}


def test_labels_of_steps_end_where_their_sequence_does() -> None:
    x = [np.ones((length, 1)) for length in (2, 4, 3)]
    for y, none in (
        ([[0, 1], [1, 1, 0, 0], [0, 0, 1]], -1),
        ([["a", "b"], ["b"] * 4, ["a"] * 3], ""),
    ):
        given = gather(x, y)
        assert given["y"].shape == (3, 4) and given["y"][0, 2:].tolist() == [none] * 2
    given = gather(
        np.ones((3, 6, 1)),
        np.ones((3, 6), int),
        lengths=[2, 3, 4],
        validation=(x, [[0] * len(one) for one in x]),
    )
    assert (
        given["x"].shape == (6, 4, 1)
        and given["y"].shape == (6, 4)
        and given["lengths"].tolist() == [2, 3, 4, 2, 4, 3]
    )
    assert given["split"].tolist() == ["train"] * 3 + ["validation"] * 3


# ---- mistakes -----------------------------------------------------------------------------------


X, Y = numbers()
NAN = X.copy()
NAN[7, 5, 1] = np.nan


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"y": Y * np.nan}, "y holds no targets: all of them are NaN"),
        ({"y": np.where(Y == 1, np.inf, 0.5)}, r"y\[\d+\] is infinite in float32; NaN says"),
        ({"y": Y * 0.5, "unit": "m,s"}, "unit names 2 units, and there are 1 values"),
        ({"unit": "m"}, "unit is for values, and the labels of The data are classes"),
        ({"y": Y * 0.5, "overrides": {"loss.name": "ce_mean"}}, "does not fit a task with one val"),
        ({"overrides": {"loss.name": "mse_mean"}}, "does not fit a task with one label"),
        ({"y": -1 - Y}, "y should hold classes from 0 up, or -1"),
        ({"y": [[[0], [0, 1]]] * 24}, "y cannot be read as labels"),
        ({"y": np.tile(Y[:5], (24, 1))}, "y has labels of 5 steps, x has 6"),
        ({"y": np.zeros((24, 6, 2), int)}, r"y should be integers or text \(sequences,\) or"),
        ({"y": np.eye(2)[Y].astype(int)}, "y has labels of 2 steps, x has 6"),
        (
            {"x": NAN},
            r"x\[7\]: sample 5 is not finite in channel 1.*its beginning or end is not filled in",
        ),
        (
            {"x": list(NAN)},
            r"x\[7\]: sample 5 is not finite in channel 1.*its beginning or end is not filled in",
        ),
        ({"x": X * 1e300}, "not finite"),
        ({"x": [*X[1:], X[0, :, :1]]}, r"x\[23\] has 1 channels, but x\[0\] has 2"),
        ({"x": [*X[1:], X[0, :0]]}, r"x\[23\].* holds no samples"),
        (
            {"x": [frames(X)[0], *frames(X[1:, :, ::-1], 50)]},
            "Some sequences of x state their rate",
        ),
        (
            {"x": [frames(X)[0].rename(columns={"ax (g)": "az"}), *frames(X)[1:]]},
            r"x\[1\] has the channels .*ax.*x\[0\] has.* az",
        ),
        ({"x": frames(X), "channels": ["ay"]}, "has no channel 'ay'"),
        ({"channels": ["a"]}, "channels should have 2 entries"),
        ({"units": ["g"]}, "units should have 2 entries"),
        ({"lengths": [6] * 23}, "lengths should have 24 entries"),
        ({"lengths": [7] * 24}, "lengths must be 1 to 6"),
        ({"lengths": [6.0] * 24}, "lengths should be integers"),
        ({"groups": ["a"] * 23}, "groups should have 24 entries"),
        ({"groups": ["a", "b"] * 12}, "2 groups .*too few to hold out"),
        ({"classes": ["a"]}, "y holds the label 1, but class_names has 1 names"),
        ({"classes": ["a", "a"]}, "two classes with the same name"),
        ({"validation": 1.5}, "'validation' must be a number above 0 and below 1"),
        ({"validation": (X[:, :, :1], Y)}, r"x\[24\] has 1 channels, but x\[0\] has 2"),
        ({"test": -1}, "'test' must be a number of at least 0"),
        ({"hidden": 0}, "'hidden' must be a list"),
        ({"neuron": "adlf"}, "adlif"),
        ({"overrides": {"training.epoch": 3}}, "epochs"),
        (
            {"overrides": {"task.options.folds": "1/5"}},
            "The task 'folder' has no option 'folds'.*fold",
        ),
        ({"x": "nowhere.npz", "y": None}, "nowhere.npz was not found"),
    ],
)
def test_mistakes_are_one_line(given: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SrnnError, match=words) as caught:
        srnn.fit(**{"x": X, "y": Y, "out": tmp_path / "run", "epochs": 1, **given})
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_an_error_is_about_the_keyword_that_was_given() -> None:
    with refuses("epochs"):
        srnn.fit(X, Y, epochs=0)
    with refuses("training.epochs"):
        srnn.fit(X, Y, overrides={"training.epochs": 0})
    with refuses("groups", "data"):
        srnn.fit(X, Y, groups=["a", "b"] * 12)
