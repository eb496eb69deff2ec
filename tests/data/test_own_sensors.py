"""Sensors' data of one's own: folders and tables of recordings, text as labels, scaling, rates, and
what is said of oddities."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.data.batches import Sequences
from srnn.data.encoders.speech import SpeechFeatures, Statistics
from srnn.data.signals import ScaledPath, SpeechPath, describe, restore
from srnn.data.tasks import TaskMetadata, create_task
from srnn.errors import SrnnError
from support.refusing import refuses
from support.sounds import write_wav

SPLITS = ("train", "validation", "test")
UNITS = np.array([9.8, 0.01, 500.0])


def recording(number: int) -> np.ndarray:
    """(8 to 11 samples, 3 channels), each in a unit of its own, the last one never changing."""
    x = np.random.default_rng(number).normal(size=(8 + number % 4, 3)) * [1, 0.001, 0] + UNITS
    return x.round(6)


def write_recording(path: Path, x: np.ndarray, header: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        path.write_text(header + "\n".join(",".join(map(repr, row)) for row in x.tolist()))
    else:
        np.save(path, x) if path.suffix == ".npy" else np.savez(path, x)


@pytest.fixture
def gestures(tmp_path: Path) -> Path:
    """Two classes of ten recordings each, by five people."""
    for number in range(20):
        name = f"{('shake', 'tilt')[number % 2]}/{'abcde'[number // 4]}-{number}.csv"
        write_recording(tmp_path / "gestures" / name, recording(number), "x,y,z\n")
    return tmp_path / "gestures"


def original(x: np.ndarray) -> int:
    """Which recording it is, by its length and first sample."""
    return next(
        k for k in range(20) if len(recording(k)) == len(x) and np.allclose(recording(k)[0], x[0])
    )


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz"])
def test_a_folder_for_each_class(tmp_path: Path, suffix: str) -> None:
    for number in range(20):
        write_recording(
            tmp_path / "all" / ("shake", "tilt")[number % 2] / f"{number}{suffix}",
            recording(number),
        )
    task = create_task("folder", path=str(tmp_path / "all"), scale="none", rate=50)
    assert (task.class_names, task.inputs, task.step_ms, task.kind) == (
        ("shake", "tilt"),
        3,
        20,
        "per_sequence",
    )
    seen = []
    for name in SPLITS:
        split = task.load(name)
        for x, y, length in zip(split.x, split.y, split.lengths, strict=True):
            seen.append(original(x[:length]))
            assert y == seen[-1] % 2 and not x[length:].any()
            np.testing.assert_array_equal(x[:length], recording(seen[-1]).astype(np.float32))
    assert sorted(seen) == list(range(20))


def test_people_are_never_in_two_splits(gestures: Path) -> None:
    task = create_task("folder", path=str(gestures), speaker="{speaker}-{index}")
    people = [set(task.load(name).groups) for name in SPLITS]
    assert [len(names) for names in people] == [3, 1, 1] and set().union(*people) == set("abcde")


def test_channels_are_scaled_by_the_training_split_and_the_signal_path_keeps_it(
    gestures: Path,
) -> None:
    raw = create_task("folder", path=str(gestures), rate=50, scale="none")
    task = create_task("folder", path=str(gestures), rate=50)
    train = raw.load("train")
    valid = np.concatenate(
        [x[:length] for x, length in zip(train.x, train.lengths, strict=True)]
    ).astype(np.float64)
    known = task.statistics()
    np.testing.assert_allclose(known.mean, valid.mean(0), rtol=1e-6)
    np.testing.assert_allclose(
        known.std, [*valid.std(0)[:2], 1], rtol=1e-5
    )  # what never changes is only shifted
    path = task.signal().calibrated(statistics=known)
    assert path.inputs == 3 and path.rate == 50 and path.step_ms == 20 and path.latency == 0
    for name in SPLITS:
        split, plain = task.load(name), raw.load(name)
        assert split.statistics is not None and all(map(np.array_equal, split.statistics, known))
        for x, length, unscaled in zip(split.x, split.lengths, plain.x, strict=True):
            assert not x[length:].any() and np.abs(x[:length]).max() < 6
            signal = recording(original(unscaled[:length]))
            stream = path.stream()
            assert np.array_equal(
                x[:length], np.concatenate([stream.push(signal[:3]), stream.push(signal[3:])])
            )
            assert np.array_equal(x[:length], path.whole(signal))


def test_a_kept_scale_is_used_until_the_files_change(
    gestures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = create_task("folder", path=str(gestures)).statistics()
    assert len(list((gestures / ".cache").glob("scale-*.npz"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr("srnn.data.datasets.arrays.fit_scale", None)
        assert np.array_equal(
            create_task("folder", path=str(gestures)).load("test").statistics.mean, known.mean
        )
    for number, path in enumerate(gestures.rglob("*.csv")):
        write_recording(path, recording(number) * 3)
    assert create_task("folder", path=str(gestures)).statistics().mean[0] > 2 * known.mean[0]


def test_a_scaled_path_is_kept_in_a_model() -> None:
    known = ScaledPath(2, 50.0).calibrated(statistics=statistics(2))
    again = restore(describe(known), "a model")
    assert again == known and np.array_equal(again.whole([[3, 4]]), known.whole([[3, 4]]))
    assert np.array_equal(known.whole([[3, 4]]), [[1, 1.5]])
    with pytest.raises(SrnnError, match="The statistics are for 3 channels, but the signal has 2"):
        replace(known, statistics=statistics(3))
    with refuses("statistics", "missing"):
        ScaledPath(2).stream()


def statistics(channels: int) -> Any:
    return Statistics(np.ones(channels, np.float32), np.full(channels, 2, np.float32))


def test_a_table_of_files_of_every_kind(gestures: Path) -> None:
    rows = ["file,label,group,split"]
    for number, suffix in enumerate((".csv", ".npy", ".npz", ".txt") * 3):
        path = gestures.parent / f"{number}{suffix}"
        write_recording(path.with_suffix(".csv"), recording(number))
        if suffix in (".npy", ".npz"):
            write_recording(path, recording(number))
        else:
            path.with_suffix(".csv").rename(path)
        rows.append(
            f"{path.name},{'walk' if number % 2 else 'run'},p{number},{SPLITS[number // 4]}"
        )
    table = gestures.parent / "list.csv"
    table.write_text("\n".join(rows))
    task = create_task("folder", path=str(table), scale="none")
    assert task.class_names == ("run", "walk")
    for part, name in enumerate(SPLITS):
        split = task.load(name)
        for number, x, length in zip(
            range(4 * part, 4 * part + 4), split.x, split.lengths, strict=True
        ):
            np.testing.assert_array_equal(x[:length], recording(number).astype(np.float32))
    assert list(split.groups) == ["p8", "p9", "p10", "p11"]


def test_text_as_labels(tmp_path: Path) -> None:
    names = np.array(["tilt", "shake", "", "10", "9"])
    split = np.array([SPLITS[k % 3] for k in range(30)])
    for file in ("a.npz", "a.h5"):
        y, steps = names[np.arange(30) % 5], names[np.arange(30 * 4).reshape(30, 4) % 5]
        for labels, kind in ((y, "per_sequence"), (steps, "per_step")):
            write_file(
                tmp_path / file,
                x=np.random.default_rng(0).normal(size=(30, 4, 2)),
                y=labels,
                split=split,
            )
            task = create_task("folder", path=str(tmp_path / file))
            assert (task.class_names, task.kind) == (("9", "10", "shake", "tilt"), kind)
            order = np.array([*task.class_names, ""])
            assert np.array_equal(order[task.load("validation").y], labels[1::3])
    write_file(
        tmp_path / "b.npz", x=np.ones((30, 4, 2)), y=names[np.arange(30) % 5], class_names=names[:2]
    )
    with refuses("y", "data"):
        create_task("folder", path=str(tmp_path / "b.npz"))


def test_labels_of_steps_are_as_many_as_the_longest_sequence_has(tmp_path: Path) -> None:
    """All of them may end before their array does, in a file that is measured whole, or of which a
    part is chosen."""
    x, y = np.random.default_rng(0).normal(size=(12, 9, 2)), np.tile(np.arange(9) % 3, (12, 1))
    np.savez(tmp_path / "a.npz", x=x, y=y, lengths=4 + np.arange(12) % 3)
    split = (
        create_task("folder", path=str(tmp_path / "a.npz"), scale="none")
        .reading(tmp_path / "a.npz")
        .load("train")
    )
    assert (
        split.x.shape == (12, 6, 2)
        and np.array_equal(split.y, y[:, :6])
        and list(split.lengths) == [4, 5, 6] * 4
    )


def write_file(path: Path, **arrays: Any) -> None:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file[key] = value.astype(h5py.string_dtype()) if value.dtype.kind == "U" else value


def said(path: Path, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task = create_task("folder", path=str(path), **options)
        for name in SPLITS:
            task.load(name)
    return [str(warning.message).removeprefix(str(path)) for warning in caught]


def test_labels_that_skip_a_class_are_said_once(tmp_path: Path) -> None:
    arrays = {
        "x": np.random.default_rng(0).normal(size=(30, 5, 2)),
        "y": np.array([0, 1, 3])[np.arange(30) % 3],
    }
    np.savez(tmp_path / "a.npz", **arrays)
    assert said(tmp_path / "a.npz") == [], "without names, what occurs is the classes"
    assert create_task("folder", path=str(tmp_path / "a.npz")).labels == (0, 1, 3)
    np.savez(tmp_path / "b.npz", **arrays, class_names=["a", "b", "c", "d"])
    assert said(tmp_path / "b.npz") == [": 1 of 4 classes do not occur in y: c."]


def test_arrays_of_few_steps_and_many_channels_are_said(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(30, 6, 100)), np.arange(30) % 3
    np.savez(tmp_path / "a.npz", x=x, y=y)
    assert said(tmp_path / "a.npz") == [
        " has 6 steps of 100 channels; if there are in fact 100 steps, give x.transpose(0, 2, 1), "
        "else name the channels."
    ]
    np.savez(tmp_path / "b.npz", x=np.zeros((30, 100, 700), np.float32), y=y)  # SHD's shape
    assert said(tmp_path / "b.npz", scale="none") == []
    np.savez(tmp_path / "c.npz", x=x, y=np.zeros((30, 100), int))
    with refuses("y", "data"):
        create_task("folder", path=str(tmp_path / "c.npz")).load("train")


def test_channels_first_are_said(tmp_path: Path) -> None:
    """(N, C, T) was learnt as 29 channels of 3 steps."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3, 29)), np.arange(30) % 3
    np.savez(tmp_path / "a.npz", x=x, y=y)
    assert said(tmp_path / "a.npz") == [
        " has 3 steps of 29 channels; if there are in fact 29 steps, give x.transpose(0, 2, 1), "
        "else name the channels."
    ]
    named = [f"c{number}" for number in range(29)]
    for name, more in (
        ("turned", {"x": x.transpose(0, 2, 1)}),
        ("named", {"x": x, "channels": named}),
        ("square", {"x": x[:, :, :3]}),
        ("spikes", {"x": (x > 1).astype(np.float32)}),
    ):
        np.savez(tmp_path / f"{name}.npz", y=y, **more)
        assert said(tmp_path / f"{name}.npz", scale="none") == [], name
    for number in range(12):
        path = tmp_path / "files" / "ab"[number % 2] / f"{number}.npy"
        write_recording(path, rng.normal(size=(3, 29)))
    (line,) = said(tmp_path / "files")
    assert "has 3 steps of 29 channels; if there are in fact 29 steps, give x.T" in line


def test_spikes_that_would_be_scaled_are_said(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz", x=np.random.default_rng(0).random((30, 5, 2)) < 0.3, y=np.arange(30) % 3
    )
    assert said(tmp_path / "a.npz") == [
        " holds spikes (only 0 and 1); set the option 'scale' to none to keep them."
    ]
    assert said(tmp_path / "a.npz", scale="none") == []


@pytest.mark.filterwarnings("ignore:overflow encountered in divide:RuntimeWarning")
def test_what_is_beyond_float32_once_it_is_scaled_is_no_input(tmp_path: Path) -> None:
    """A channel that hardly moved in training: elsewhere 1e30 of its deviations."""
    split = np.array([SPLITS[k % 3] for k in range(30)])
    x = (
        np.random.default_rng(0).normal(size=(30, 5, 1))
        * np.where(split == "test", 1e30, 1e-10)[:, None, None]
    )
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(30) // 3 % 2, split=split)
    task = create_task("folder", path=str(tmp_path / "a.npz"))
    assert len(Sequences(task, "validation")) == 10
    with refuses("x", "data"):
        Sequences(task, "test")


def test_files_of_another_rate_are_resampled(tmp_path: Path) -> None:
    for number in range(12):
        rate = (100, 50)[number % 4 == 3]
        seconds = np.arange(rate) / rate
        folder = tmp_path / "all" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{number}.npz", signal=np.sin(2 * seconds + number), rate=rate)
    task = create_task("folder", path=str(tmp_path / "all"), scale="none")
    assert task.signal().rate == 100 and task.step_ms == 10  # as the first file states it
    for name in SPLITS:
        split = task.load(name)
        assert set(split.lengths) == {100}
    assert set(
        create_task("folder", path=str(tmp_path / "all"), rate=20).load("train").lengths
    ) == {20}


def test_what_is_not_read_is_said(gestures: Path) -> None:
    (gestures / "labels.csv").write_text("x")
    (gestures / "shake" / "notes.txt").write_text("x")
    (gestures / "empty").mkdir()
    assert said(gestures) == [
        ": files of kinds that are not read: 1 .txt (only .csv, .npy, .npz are); "
        "folders without files that are read, which are not classes: empty; "
        "files outside the classes' folders, which are not read: 1."
    ]


def test_links_to_folders_are_said_not_to_be_followed(gestures: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("shake", "tilt"):
        (linked / name).symlink_to(gestures / name)
    with pytest.raises(
        SrnnError, match=r"links to folders, which are not followed \(.*\): shake, tilt\."
    ):
        create_task("folder", path=str(linked))
    (gestures / "tilt" / "more").symlink_to(gestures / "shake")
    assert said(gestures) == [
        ": links to folders, which are not followed (link their files instead): tilt/more."
    ]


@pytest.mark.filterwarnings("ignore:.*filled in:RuntimeWarning")
def test_gaps_in_training_recordings_are_treated_as_is_said(gestures: Path) -> None:
    """Only predictions could be told."""
    whole = create_task("folder", path=str(gestures), scale="none").load("train")
    for number in range(20):
        (path,) = gestures.rglob(f"*-{number}.csv")
        rows = path.read_text().splitlines()
        rows[4] = rows[5] = ",".join(["", *rows[4].split(",")[1:]])
        path.write_text("\n".join(rows))
    held = create_task("folder", path=str(gestures), scale="none", missing="hold").load("train")
    joined = create_task("folder", path=str(gestures), scale="none").load("train")
    for x, filled in zip(np.asarray(held.x), np.asarray(joined.x), strict=True):
        assert x[2, 0] == x[3, 0] == x[4, 0] and not (x[3:5] == filled[3:5]).all()
        np.testing.assert_allclose(
            filled[2:6, 0], np.linspace(filled[2, 0], filled[5, 0], 4), rtol=1e-5
        )
    assert np.array_equal(np.asarray(held.x)[:, :3], np.asarray(whole.x)[:, :3])
    scaled = [
        create_task("folder", path=str(gestures), missing=way).statistics()
        for way in ("hold", "interpolate")
    ]
    assert scaled[0].mean[0] != scaled[1].mean[0], "each is kept by itself"
    for options, message in (
        ({"missing": "refuse"}, "column 1 of 3 is empty"),
        ({"longest_gap": 1}, "2 samples are missing in channel 0"),
        ({"missing": "drop"}, "'missing' must be one of"),
        ({"longest_gap": 0}, "'longest_gap' must be"),
    ):
        with pytest.raises(SrnnError, match=message):
            create_task("folder", path=str(gestures), **options).load("train")


def test_channels_are_read_by_name(gestures: Path) -> None:
    """In another order they were read by position, with a warning."""

    def loaded(**options: Any) -> list[np.ndarray]:
        task = create_task("folder", path=str(gestures), **options)
        return [np.asarray(task.load(name).x) for name in SPLITS]

    before = loaded(scale="none")
    path = gestures / "tilt" / "b-5.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text(
        "\n".join(",".join(("7", row[2].upper(), *row[:2])) for row in rows).replace(
            "7,Z,x,y", "k,Z,x,y"
        )
    )
    assert said(gestures) == []
    assert all(map(np.array_equal, loaded(scale="none"), before))
    path.write_text(path.read_text().replace("k,Z,x,y", "u,v,w,x", 1))
    with refuses("channels", "data"):
        loaded()
    task = create_task("folder", path=str(gestures), channels="1,2")
    assert task.inputs == 2 and task.signal().names is None and task.load("train").x.shape[2] == 2
    for bad in ("0,1", [], [0], ["", 1]):
        with refuses("channels"):
            create_task("folder", path=str(gestures), channels=bad)


def test_names_units_and_rate_of_training_are_kept_in_the_model(gestures: Path) -> None:
    for number, path in enumerate(sorted(gestures.rglob("*.csv"))):
        rows = path.read_text().splitlines()[1:]
        unit, factor = ("g", 1.0) if number % 2 == 0 else ("mg", 1000.0)
        timed = [
            f"{20 * k},{','.join(str(factor * float(v)) for v in row.split(','))}"
            for k, row in enumerate(rows)
        ]
        path.write_text("\n".join([f"time_ms,ax ({unit}),ay ({unit}),az [{unit}]", *timed]))
    task = create_task("folder", path=str(gestures))
    path = task.described().signal()
    assert (path.names, path.units, path.rate) == (
        ("ax", "ay", "az"),
        ("g", "g", "g"),
        pytest.approx(50),
    )
    assert path.what == "3 channels at 50 Hz (ax, ay, az in g)"
    np.testing.assert_allclose(task.statistics().mean, UNITS, rtol=0.05)
    again = TaskMetadata.restored(task.described().plain(), "a model").signal()
    assert (again.names, again.units) == (path.names, path.units)
    assert "names" not in describe(ScaledPath(2, 50.0)), "as in a file of before them"


def test_a_channel_that_only_rises_is_said(tmp_path: Path) -> None:
    for number in range(20):
        x = np.column_stack([recording(number), 1e9 + 60 * number + np.arange(8 + number % 4)])
        write_recording(tmp_path / "all" / "ab"[number % 2] / f"{number}.csv", x)
    assert [line.partition(";")[0] for line in said(tmp_path / "all")] == [
        ": channel 3 (counted from 0) rises throughout every recording, as time or a counter does"
    ]


def bad(gestures: Path, case: str) -> None:
    write = (gestures / "shake" / "a-0.csv").write_text
    match case:
        case "sound":
            write_wav(gestures / "tilt" / "a.wav", np.zeros(10, np.int16))
        case "row":
            write("x,y,z\n1,2,3\n1,2\n")
        case "text":
            write("x,y,z\n1,2,3\n1,two,3\n")
        case "channels":
            write_recording(gestures / "tilt" / "b-5.csv", np.ones((4, 2)))
        case "large":
            write("1,2,3\n1,2,1e300\n")
        case "empty":
            write("")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "sound",
            r"holds sound and sensor files, such as shake/a-0\.csv \(sensor\) and tilt/a\.wav "
            r"\(sound\)",
        ),
        ("row", r"a-0\.csv, line 3: the row has 2 instead of 3 numbers"),
        ("text", r"a-0\.csv, line 3: '1,two,3' is not a row of numbers"),
        ("channels", r"b-5\.csv has 2 channels, but .*a-0\.csv has 3"),
        ("large", r"a-0\.csv: sample 1 is not finite in channel 2 \(counted from 0\): inf"),
        ("empty", r"a-0\.csv is empty \(0 bytes\)"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_row(
    gestures: Path, case: str, message: str
) -> None:
    bad(gestures, case)
    with pytest.raises(SrnnError, match=message):
        for name in SPLITS:
            create_task("folder", path=str(gestures)).load(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 2.0}, "The option 'seconds' has no effect on arrays"),
        ({"array_step_ms": 2}, "no option 'array_step_ms'"),
    ],
)
def test_bad_options_are_one_line(gestures: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SrnnError, match=message):
        create_task("folder", path=str(gestures), **options)


def test_rates_that_do_not_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((30, 5, 2)), y=np.arange(30) % 3, rate=50)
    assert create_task("folder", path=str(tmp_path / "a.npz")).step_ms == 20
    with refuses("rate", "conflict"):
        create_task("folder", path=str(tmp_path / "a.npz"), rate=20)
    write_wav(tmp_path / "s" / "a" / "1.wav", np.zeros(8000, np.int16), 8000)
    with pytest.raises(SrnnError, match="'rate' must be an integer from 8,000"):
        create_task("folder", path=str(tmp_path / "s"), rate=50)
    assert create_task("folder", path=str(tmp_path / "s"), rate=8000).signal().rate == 8000


def test_sound_is_cut_by_predictions_as_in_training_and_sensors_are_not(gestures: Path) -> None:
    write_wav(gestures.parent / "s" / "a" / "1.wav", np.zeros(8000, np.int16), 8000)
    assert create_task("folder", path=str(gestures.parent / "s"), seconds=0.5).clip_seconds == 0.5
    assert create_task("folder", path=str(gestures)).clip_seconds is None


def test_values_too_large_to_be_encoded_are_refused() -> None:
    """A mean and a deviation, or a band's energy, take them beyond float32: what a network says of
    infinity is nothing."""
    scale, features = (
        Statistics(np.float32([0]), np.float32([1e-3])),
        SpeechFeatures(normalise="training", derivatives=0),
    )
    known = Statistics(np.zeros(40, np.float32), np.ones(40, np.float32))
    loud = np.full((3000, 1), 1e36, np.float32)
    for path in (ScaledPath(1, statistics=scale), SpeechPath(features, statistics=known)):
        task = TaskMetadata(name="t", kind="per_sequence", class_names=("a", "b"), path=path)
        assert len(task.encode("quiet.wav", loud / 1e36)) > 0
        with refuses("samples", "data"):
            task.encode("loud.wav", loud)
