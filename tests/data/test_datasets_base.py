"""Split's checks, and where data lie."""

from pathlib import Path

import numpy as np
import pytest

from srnn.data.datasets import Split, resolve_data_dir
from srnn.data.datasets.folder import find_source
from srnn.errors import SrnnError
from support.refusing import refuses

X = np.zeros((3, 5, 2), np.float32)
Y = np.zeros((3, 5), np.int64)


def test_a_sound_split_passes_and_is_itself() -> None:
    split = Split(X, Y, np.array([5, 1, 3]), np.array(["a", "a", "b"]))
    assert split.validate("here", classes=1, inputs=2) is split
    assert len(split) == 3
    Split(X, Y[:, 0]).validate("here")


@pytest.mark.parametrize(
    ("split", "word"),
    [
        (Split(X[:0], Y[:0]), "no sequences"),
        (Split(X[:, :0], Y[:, :0]), "no sequences"),
        (Split(X[0], Y[0]), "float32"),
        (Split(X.astype(np.float64), Y), "float32"),  # type: ignore[arg-type]
        (Split(X[..., :1], Y), "channels"),
        (Split(X, Y[:2]), "labels must be int64"),
        (Split(X, Y.astype(np.int32)), "labels must be int64"),  # type: ignore[arg-type]
        (Split(X + np.nan, Y), "finite"),
        (Split(X + np.inf, Y), "finite"),
        (Split(X, Y - 2), "labels must be 0 to 3"),
        (Split(X, Y + 4), "labels must be 0 to 3"),
        (Split(X, Y, np.array([5, 6, 1])), "lengths"),
        (Split(X, Y, np.array([5, 0, 1])), "lengths"),
        (Split(X, Y, np.array([5, 1])), "lengths"),
        (Split(X, Y, np.array([5.0, 1, 1])), "lengths"),  # type: ignore[arg-type]
        (Split(X, Y, None, np.array(["a"])), "groups"),
        (Split(X, Y, None, np.array([1, 2, 3])), "groups"),  # type: ignore[arg-type]
    ],
)
def test_an_unsound_split_is_named_in_one_line(split: Split, word: str) -> None:
    with pytest.raises(SrnnError, match=word) as error:
        split.validate("the file", classes=4, inputs=2)
    assert str(error.value).startswith("the file: ") and "\n" not in str(error.value)


def test_what_is_not_finite_is_named_by_its_place_also_in_large_splits() -> None:
    x = np.zeros((3, 2**20, 1), np.float32)  # which are checked in parts
    x[2, 5] = np.nan
    with refuses("x", "data"):
        Split(x, Y[:, 0]).validate("here")


def test_take_keeps_everything_together() -> None:
    split = Split(
        X + np.arange(3, dtype=np.float32)[:, None, None],
        Y,
        np.array([1, 2, 3]),
        np.array(["a", "b", "c"]),
    )
    part = split.take([2, 0])
    assert part.x[:, 0, 0].tolist() == [2, 0]
    assert part.lengths is not None and part.lengths.tolist() == [3, 1]
    assert part.groups is not None and part.groups.tolist() == ["c", "a"]
    assert len(split.take(np.array([True, False, False]))) == 1


def test_the_data_dir_is_argument_then_variable_then_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRNN_DATA", "from_variable")
    assert resolve_data_dir("given") == Path("given")
    assert resolve_data_dir() == Path("from_variable")
    monkeypatch.setenv("SRNN_DATA", "")
    assert resolve_data_dir() == Path("~/.cache/srnn").expanduser()
    monkeypatch.delenv("SRNN_DATA")
    assert resolve_data_dir() == Path("~/.cache/srnn").expanduser()


def test_a_user_without_a_home_folder_needs_one_only_for_the_data_dir(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SRNN_DATA", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(SrnnError, match=r"no home folder, .*\(data_dir or SRNN_DATA\)"):
        resolve_data_dir()
    assert find_source(str(tmp_path)) == tmp_path
