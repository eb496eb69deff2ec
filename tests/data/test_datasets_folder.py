"""Data of one's own: folders of sound, tables, and arrays; and everything that can be wrong with
them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from srnn.files import CLASSES
from support.sounds import tone, write_wav

SPLITS = ("train", "validation", "test")
PEOPLE = ("ann", "bob", "cid", "dee", "eve")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Two classes by five people, twice each, at 8 kHz; another format of name than any data
    set's."""
    for word, hz in (("low", 200.0), ("high", 900.0)):
        for number, person in enumerate(PEOPLE):
            for take in range(2):
                sound = tone(0.3 + 0.1 * take, 8000, hz, seed=number)
                write_wav(tmp_path / "words" / word / f"{person}-{take}.wav", sound, 8000)
    return tmp_path / "words"


short = pytest.mark.filterwarnings("ignore:.*clips shorter than 1 s:RuntimeWarning")
"""The words last less than a second; what is said about that is tested below."""


def load(task: Any) -> dict[str, Any]:
    return {split: task.load(split) for split in SPLITS}


@short
def test_sound_by_class(words: Path) -> None:
    task = create_task("folder", path=str(words))
    assert (task.kind, task.class_names, task.step_ms, task.inputs) == (
        "per_sequence",
        ("high", "low"),
        10.0,
        120,
    )
    splits = load(task)
    assert [len(splits[s]) for s in SPLITS] == [12, 4, 4]
    for split in splits.values():
        assert split.x.shape[1:] == (101, 120) and set(split.y) == {0, 1} and split.groups is None
    assert task.statistics().std.shape == (120,)


def test_sound_by_speaker_and_as_long_as_it_is(words: Path) -> None:
    task = create_task(
        "folder", path=str(words), speaker="{speaker}-{index}", seconds=None, features="mfcc"
    )
    splits = load(task)
    people = [set(splits[s].groups) for s in SPLITS]
    assert sum(map(len, people)) == 5 and set().union(*people) == set(PEOPLE)
    assert sorted(set(splits["train"].lengths)) == [29, 39]


@short
def test_a_table_says_everything(words: Path) -> None:
    rows = ["file, label, group, split"]
    for k, path in enumerate(sorted(words.rglob("*.wav"))):
        rows.append(f"words/{path.relative_to(words)}, {10 if k % 2 else 2}, g{k}, {SPLITS[k % 3]}")
    table = words.parent / "list.csv"
    table.write_text("\n".join(rows) + "\n")
    task = create_task("folder", path=str(table))
    assert task.class_names == ("2", "10")
    assert (
        task.described().origin() == task.origin() == str(table)
    )  # also of what a trained network knows of it
    splits = load(task)
    assert [len(splits[s]) for s in SPLITS] == [7, 7, 6] and splits["test"].groups[0] == "g2"


def test_a_table_of_arrays(tmp_path: Path) -> None:
    rows = ["file,label"]
    for k in range(12):
        np.save(tmp_path / f"{k}.npy", np.full((5 + k, 3), k, np.int16))
        rows.append(f"{k}.npy,{'ab'[k % 2]}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    task = create_task("folder", path=str(tmp_path / "list.csv"), rate=400, scale="none")
    assert (task.inputs, task.step_ms, task.class_names) == (3, 2.5, ("a", "b"))
    for split in load(task).values():
        for x, length in zip(split.x, split.lengths, strict=True):
            assert length == 5 + x[0, 0] and not x[length:].any()


def write(path: Path, **arrays: Any) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
        with h5py.File(path, "w") as file:
            for key, value in arrays.items():
                values = np.asarray(value)
                file[key] = np.char.encode(values) if values.dtype.kind == "U" else values
    return path


def numbers(**changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made = {
        "x": rng.normal(size=(30, 8, 2)), "y": np.arange(30) % 3, "lengths": 1 + np.arange(30) % 8,
        "groups": np.array([f"s{k % 6}" for k in range(30)]),
    } | changed  # fmt: skip
    return {key: value for key, value in made.items() if value is not None}


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_arrays(tmp_path: Path, name: str) -> None:
    arrays = numbers(class_names=np.array(["x", "y", "z"]))
    task = create_task("folder", path=str(write(tmp_path / name, **arrays)), scale="none")
    assert (task.kind, task.inputs, task.class_names, task.step_ms) == (
        "per_sequence",
        2,
        ("x", "y", "z"),
        None,
    )
    splits = load(task)
    assert sum(len(s) for s in splits.values()) == 30
    seen = [set(split.groups) for split in splits.values()]
    assert [len(groups) for groups in seen] == [4, 1, 1] and len(set().union(*seen)) == 6
    for split in splits.values():
        for x, y, length, group in zip(split.x, split.y, split.lengths, split.groups, strict=True):
            row = int(np.argmin(np.abs(arrays["x"][:, 0] - x[0]).sum(1)))
            np.testing.assert_allclose(x[:length], arrays["x"][row][:length], rtol=1e-6)
            assert not x[length:].any()
            assert (y, length, group) == (
                arrays["y"][row],
                arrays["lengths"][row],
                arrays["groups"][row],
            )
    with pytest.raises(SrnnError, match="are not scaled, so there are no statistics"):
        task.statistics()  # type: ignore[attr-defined]


def test_arrays_with_a_label_at_each_step_and_a_split_of_their_own(tmp_path: Path) -> None:
    y = np.tile(np.arange(8) - 1, (30, 1))
    own = np.array([SPLITS[k % 3] for k in range(30)])
    task = create_task(
        "folder", path=str(write(tmp_path / "a.npz", **numbers(y=y, split=own, groups=None)))
    )
    assert task.kind == "per_step" and task.outputs == 7
    assert [len(split) for split in load(task).values()] == [10, 10, 10]
    without = create_task(
        "folder", path=str(write(tmp_path / "b.npz", **numbers(y=y, groups=None, lengths=None)))
    )
    assert sum(len(split) for split in load(without).values()) == 30


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": None}, "has no 'x'"),
        ({"x": np.zeros((30, 8))}, r"x should be \(sequences, time, channels\)"),
        ({"y": np.arange(30) * 1j}, "y should be integers"),
        ({"y": np.arange(29) % 3}, "y should have 30 entries"),
        ({"y": np.full(30, -1)}, "y should hold classes from 0 up"),
        ({"lengths": np.ones(7, int)}, "lengths should have 30 entries"),
        ({"lengths": np.full(30, 9)}, "lengths must be 1 to 8"),
        ({"lengths": np.full(30, 7.9)}, "lengths should be integers, not float64"),
        (
            {"x": np.zeros((0, 8, 2)), "y": np.zeros(0, int), "lengths": None, "groups": None},
            "it holds no sequences",
        ),
        ({"x": None, "y": None, "lengths": None, "groups": None}, "is empty: it holds no arrays"),
        ({"groups": np.array(["a"] * 30)}, r"1 group \(speakers, subjects\), a: too few"),
        ({"split": np.array(["tain"] * 30)}, "split must be train, validation or test"),
        ({"split": np.array(["test"] * 30)}, "has no sequences for the train split"),
        (
            {"groups": None, "y": np.arange(30) % 15},
            "No class has enough sequences to hold out 15% .*: 0 .2., 1 .2.,",
        ),
        ({"x": np.full((30, 8, 2), np.nan)}, "not finite"),
        (
            {"x": np.where(np.arange(30)[:, None, None] == 29, np.inf, np.ones((1, 8, 2)))},
            r"x\[29, 0, 0\] is not finite",
        ),
        ({"y": np.array([object()] * 30)}, "cannot be read as"),
        ({"y": np.full(30, 2**64 - 1, np.uint64)}, "a label is 18446744073709551615; at most"),
        ({"y": np.full(30, 2**63, np.uint64)}, "a label is 9223372036854775808; at most"),
        ({"class_names": np.array([str(k) for k in range(CLASSES + 1)])}, "has 10001 classes"),
        ({"class_names": np.array([["a", "b", "c"]])}, "class_names should be a list"),
        ({"x": np.zeros((30, 8, 2), complex)}, "x should hold real numbers, not complex128"),
        ({"x": np.full((30, 8, 2), "1")}, "x should hold real numbers, not <U1"),
        ({"lengths": np.full(30, 2**64 - 1, np.uint64)}, "lengths must be 1 to 8"),
        ({"groups": np.full((30, 2), "a")}, "groups should have 30 entries"),
        ({"split": np.full((30, 1), "test")}, "split should have 30 entries"),
        ({"groups": np.full(30, "Zoë".encode("latin-1"))}, "is not UTF-8 text"),
        ({"split": np.full(30, "träin".encode("latin-1"))}, "is not UTF-8 text"),
    ],
)
def test_bad_arrays_are_one_line(tmp_path: Path, changed: dict, words: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **numbers(**changed))
    with pytest.raises(SrnnError, match=words) as caught:
        create_task("folder", path=str(path)).load("train")
    assert "a.npz" in str(caught.value)


def test_as_many_classes_as_possible_are_taken(tmp_path: Path) -> None:
    for count in (CLASSES, CLASSES + 1):
        np.savez(
            tmp_path / "a.npz", x=np.ones((count, 1, 1)), y=2 * np.arange(count, dtype=np.int32)
        )
        if count > CLASSES:
            with pytest.raises(SrnnError, match="10001 classes; at most 10000 are possible"):
                create_task("folder", path=str(tmp_path / "a.npz"))
        else:
            task = create_task("folder", path=str(tmp_path / "a.npz"))
            assert len(task.class_names) == CLASSES and task.labels[-1] == 2 * CLASSES - 2


@pytest.mark.parametrize("key", ["x", "y", "lengths"])
def test_a_group_is_no_array(tmp_path: Path, key: str) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
    path = write(tmp_path / "a.h5", **numbers(**{key: None}))
    with h5py.File(path, "a") as file:
        file.create_group(key)
    with pytest.raises(SrnnError, match=rf"a\.h5: {key} is a group, but should be an array"):
        create_task("folder", path=str(path)).load("train")


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    for name in ("a.npz", "a.h5"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(SrnnError, match=r"is empty \(0 bytes\)"):
            create_task("folder", path=str(tmp_path / name))


def test_what_is_changed_or_not_read_is_said_once(words: Path) -> None:
    write_wav(words / "low" / "long-0.wav", tone(6.0, 8000), 8000)
    write_wav(words / "high" / "mute-0.wav", np.zeros(8000, np.int16), 8000)
    write_wav(words / "loose.wav", tone(1.0, 8000), 8000)
    (words / "hum").mkdir()
    for name in ("hum/a.mp3", "hum/b.MP3", "low/notes.txt", "README.md"):
        (words / name).write_bytes(b"x")
    with pytest.warns(RuntimeWarning) as said:
        load(create_task("folder", path=str(words)))
    (message,) = [str(warning.message) for warning in said]
    assert message == (
        f"{words}: clips longer than 1 s, cut to their middle: 1 of 22 (the longest lasts 6.0 s; "
        "option 'seconds'); "
        "clips shorter than 1 s, filled up with silence: 20 of 22 (the shortest lasts 0.30 s); "
        "clips of nothing but silence: 1 of 22, such as high/mute-0.wav; "
        "files of kinds that are not read: 2 .mp3, 1 .txt (only .wav, .flac, .sph, .nist are); "
        "folders without files that are read, which are not classes: hum; "
        "files outside the classes' folders, which are not read: 1."
    )


@short
def test_files_in_two_splits_are_said(words: Path) -> None:
    """Copies and links of a file are where chance puts their names."""
    for take in range(10):
        (words / "low" / f"link-{take}.wav").symlink_to(words / "low" / "bob-1.wav")
    copy = words / "high" / "copy-0.wav"
    copy.write_bytes((words / "low" / "bob-1.wav").read_bytes())
    table = words.parent / "list.csv"
    table.write_text("file,label,split\n" + "".join(
        f"words/{path.relative_to(words)},{path.parent.name},{'test' if path == copy else SPLITS[k % 2]}\n"
        for k, path in enumerate(sorted(words.rglob("*.wav"))) if not path.is_symlink()
    ))  # fmt: skip
    for source in (words, table):
        with pytest.warns(
            RuntimeWarning,
            match=r"files that are in two splits: .* of (?:31|21), such as .*, which is the same "
            r"as .*\.$",
        ):
            create_task("folder", path=str(source)).load("train")


@short
def test_a_group_in_two_splits_is_said(words: Path) -> None:
    table, rows = words.parent / "list.csv", ["file,label,group,split"]
    for path in words.rglob("*.wav"):
        person = path.stem.partition("-")[0]
        split = "test" if path.stem == "bob-1" else SPLITS[PEOPLE.index(person) % 3]
        rows.append(f"words/{path.relative_to(words)},{path.parent.name},{person},{split}")
    table.write_text("\n".join(rows))
    with pytest.warns(RuntimeWarning, match=r"groups that are in two splits: 1 of 5, such as bob"):
        create_task("folder", path=str(table)).load("train")


def test_a_link_to_nothing_is_one_line(words: Path) -> None:
    (words / "low" / "gone-0.wav").symlink_to(words / "nowhere.wav")
    with pytest.raises(SrnnError, match=r"gone-0\.wav is a link that leads nowhere\. Remove it"):
        create_task("folder", path=str(words))


def test_a_folder_of_nothing_that_is_read_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "hum").mkdir()
    (tmp_path / "hum" / "a.mp3").write_bytes(b"x")
    with pytest.raises(SrnnError, match=r"holds no folders of sound .*not read: 1 \.mp3"):
        create_task("folder", path=str(tmp_path))


@given(st.data())
@settings(max_examples=25)
def test_a_damaged_file_never_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = (
        tmp_path_factory.getbasetemp()
        / f"damaged{data.draw(st.sampled_from(['.npz', '.h5', '.csv', '.txt']))}"
    )
    np.savez(path.with_suffix(".npz"), **numbers())
    content = bytearray(path.with_suffix(".npz").read_bytes())
    del content[data.draw(st.integers(0, len(content) - 1)) :]
    path.write_bytes(content)
    with pytest.raises(SrnnError):
        create_task("folder", path=str(path)).load("train")


def test_a_table_may_be_a_german_spreadsheets(words: Path) -> None:
    rows = [f"{name}/{speaker}-0.wav,{name},{split}" for name in ("high", "low")
            for speaker, split in (("ann", "train"), ("bob", "validation"), ("cid", "test"))]  # fmt: skip
    text = "\n".join(["file,label,split", *rows])
    for name, content in (
        ("a.csv", text.encode()),
        ("b.csv", text.replace(",", ";").encode("utf-8-sig")),
    ):
        (words / name).write_bytes(content)
        assert create_task("folder", path=str(words / name)).class_names == ("high", "low")
    (words / "c.csv").write_bytes(text.replace("low,", "tür,").encode("latin-1"))
    with pytest.raises(
        SrnnError,
        match=r"c\.csv cannot be read as a table \(it is not UTF-8 text; save it as UTF-8\)",
    ):
        create_task("folder", path=str(words / "c.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "should begin with the line 'file,label'"),
        ("path,class\na.wav,1\n", "should begin with"),
        ("file,label\nhigh/ann-0.wav,\n", "line 2: a row needs a file and a label"),
        ("file,label\nnone.wav,a\n", r"line 2: .*none\.wav was not found"),
        ("file,label\n\nhigh/ann-0.wav,a\n\n\nnone.wav,a\n", r"line 6: .*none\.wav was not found"),
        ("file,label\rhigh/ann-0.wav,a\rnone.wav,a\r", r"line 3: .*none\.wav was not found"),
        (
            "file,label\nhigh/ann-0.wav,a\na.npy,b\n",
            r"holds sound and sensor files, such as high/ann-0\.wav \(sound\) and a\.npy "
            r"\(sensor\)",
        ),
        (
            "file,label,group\nhigh/ann-0.wav,a,g\nhigh/ann-1.wav,a,\n",
            "some files have a group and some have none; give one to all or none of them",
        ),
        (
            "file,label,split\nhigh/ann-0.wav,a,train\nhigh/ann-1.wav,a,\n",
            "split must be train, validation or test",
        ),
        (
            "file,label\nhigh/ann-0.wav,a\n",
            r"No class has enough sequences to hold out .*: a \(1\); record more",
        ),
        (
            "file,label\nhigh/ann-0.wav,a\nhigh/ann-1.wav,a\nlow/../high/ann-0.wav,b\n",
            "line 4: .* is already named in line 2",
        ),
        (
            "file,label,split\nhigh/ann-0.wav,a,train\nhigh/ann-0.wav,a,test\n",
            "one label and one split",
        ),
        (
            "file,label,split\nhigh/ann-0.wav,a,test\nhigh/ann-1.wav,b,test\n",
            "has no clips for the train split",
        ),
    ],
)
def test_bad_tables_are_one_line(words: Path, text: str, message: str) -> None:
    table = words / "list.csv"
    table.write_text(text)
    np.save(words / "a.npy", np.zeros((2, 2)))
    with pytest.raises(SrnnError, match=message) as caught:
        create_task("folder", path=str(table)).load("train")
    assert "list.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs the option 'path'"),
        ({"path": "nowhere"}, r"nowhere was not found, .* \(data_dir or SRNN_DATA\)"),
        ({"path": "~nobody-of-that-name/words"}, "~nobody-of-that-name/words was not found"),
        ({"path": "a" * 300}, "was not found"),
        ({"path": "."}, "holds no folders of sound"),
        ({"path": "a.txt"}, "is not a folder or a .csv, .npz"),
        ({"path": "words", "speaker": "{who}-{index}"}, "may contain only {label}"),
        ({"path": "words", "speaker": "^([a-z]+)-"}, "it needs {speaker}"),
        (
            {"path": "words", "speaker": "{speaker}_{index}"},
            "The pattern .* does not find the speaker in the name of",
        ),
    ],
)
def test_bad_options_are_one_line(
    words: Path, monkeypatch: pytest.MonkeyPatch, options: dict, message: str
) -> None:
    here = words.parent / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "words").symlink_to(words)
    if options.get("path") == ".":
        (here / "words").unlink()
    (here / "a.txt").write_text("x")
    write(here / "a.npz", **numbers())
    with pytest.raises(SrnnError, match=message):
        create_task("folder", **options).load("train")


@short
def test_numbers_of_numpy_are_numbers(words: Path) -> None:
    """In the name of a cache's file, too."""
    plain, numpys = (
        create_task("folder", path=str(words), mels=kind(20), derivatives=kind(1)).load("train")
        for kind in (int, np.int64)
    )
    assert (
        np.array_equal(plain.x, numpys.x) and len(list((words / ".cache").glob("features-*"))) == 1
    )


def test_a_folder_may_have_the_name_of_a_file(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "tap.npz" / label).mkdir(parents=True)
        for take in range(3):
            np.savetxt(
                tmp_path / "tap.npz" / label / f"{take}.csv",
                np.random.default_rng(take).random((5, 2)),
                delimiter=",",
            )
    task = create_task("folder", path=str(tmp_path / "tap.npz"), scale="none")
    assert (
        len(task.load("train")) == 2 and len(task.reading(tmp_path / "tap.npz").load("train")) == 6
    )


def test_labels_of_very_many_digits_are_in_order(tmp_path: Path) -> None:
    """Of so many Python makes no integer."""
    np.savez(
        tmp_path / "a.npz",
        **numbers(y=np.array(["9" * 5000, "1" * 4999, "20", "3"])[np.arange(30) % 4]),
    )
    names = create_task("folder", path=str(tmp_path / "a.npz")).class_names
    assert [name[:2] for name in names] == ["3", "20", "11", "99"]
