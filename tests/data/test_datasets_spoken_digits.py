"""Free Spoken Digits: its two splits, on small files and on the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from srnn.data.datasets.spoken_digits import SPEAKERS, SpokenDigitsTask
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from support.layouts import hide_beside
from support.sounds import tone, write_wav

SPLITS = ("train", "validation", "test")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two digits by all speakers, thirteen times each, of different lengths."""
    for digit in (0, 7):
        for speaker in SPEAKERS:
            for index in range(13):
                name = f"{digit}_{speaker}_{index}.wav"
                write_wav(
                    tmp_path / "fsdd" / "recordings" / name, tone(0.15 + 0.01 * index, 8000), 8000
                )
    return tmp_path


def test_the_official_split(root: Path) -> None:
    task = create_task("spoken-digits")
    splits = [task.load(name, root) for name in SPLITS]  # type: ignore[arg-type]
    assert (
        [len(split) for split in splits] == [36, 60, 60]
        and task.inputs == 120
        and task.step_ms == 10
    )
    for split in splits:
        assert set(split.groups) == set(SPEAKERS) and set(split.y) == {0, 7}
        assert split.x.shape[1] == split.lengths.max()
    assert sorted(set(splits[2].lengths)) == [16, 17, 18, 19, 20]
    dense = splits[2].x.to_dense()  # type: ignore[union-attr]
    for row, length in zip(dense, splits[2].lengths, strict=True):
        assert not row[length:].any() and row[:length].any()


def test_what_macos_hides_beside_files_is_not_read(root: Path) -> None:
    clips = SpokenDigitsTask().clips(root)
    hide_beside(root)
    assert SpokenDigitsTask().clips(root) == clips


def test_every_speaker_can_be_tested(root: Path) -> None:
    for speaker, following in zip(SPEAKERS, SPEAKERS[1:] + SPEAKERS[:1], strict=True):
        clips = SpokenDigitsTask(splitting="speaker", test_speaker=speaker).clips(root)
        groups = {name: {clip.group for clip in clips[name]} for name in SPLITS}  # type: ignore[index]
        assert groups["test"] == {speaker} and groups["validation"] == {following}
        assert groups["train"] == set(SPEAKERS) - {speaker, following}
    chosen = SpokenDigitsTask(
        splitting="speaker", test_speaker="theo", validation_speaker="lucas"
    ).clips(root)
    assert {clip.group for clip in chosen["validation"]} == {"lucas"}


def test_features_can_be_chosen(root: Path) -> None:
    assert create_task("spoken-digits", features="mfcc").load("test", root).x.shape[2] == 39
    streamed = create_task("spoken-digits", normalise="training", derivatives=0)
    x = streamed.load("train", root).x.to_dense()  # type: ignore[union-attr]
    assert x.shape[2] == 40 and abs(x[:, :15].mean()) < 1


def test_what_is_wrong_is_one_line(root: Path, tmp_path: Path) -> None:
    task = create_task("spoken-digits")
    with pytest.raises(SrnnError, match="srnn data fetch fsdd"):
        task.load("test", tmp_path / "nowhere")
    bad = root / "fsdd" / "recordings" / "7_theo_3.wav"
    content = bad.read_bytes()
    bad.write_bytes(content[:60])
    with pytest.raises(SrnnError, match=r"7_theo_3\.wav: the sound is cut off"):
        task.load("test", root)
    bad.write_bytes(content)
    bad.rename(bad.with_name("seven.wav"))
    with pytest.raises(SrnnError, match=r"seven\.wav: the name is not digit_speaker_index\.wav"):
        task.load("test", root)


def test_the_real_recordings(tmp_path: Path) -> None:
    value = os.environ.get("SRNN_DATA")
    if not value or not (Path(value) / "fsdd" / "recordings").is_dir():
        pytest.skip("SRNN_DATA is not set, or has no fsdd")
    (tmp_path / "fsdd").mkdir()
    (tmp_path / "fsdd" / "recordings").symlink_to(Path(value) / "fsdd" / "recordings")
    clips = SpokenDigitsTask().clips(tmp_path)
    assert {name: len(part) for name, part in clips.items()} == {
        "train": 2400,
        "validation": 300,
        "test": 300,
    }
    assert {name: len(part) for name, part in SpokenDigitsTask(splitting="speaker").clips(tmp_path).items()} == {
        "train": 2000, "validation": 500, "test": 500,
    }  # fmt: skip
    task = create_task("spoken-digits", features="mfcc")
    test = task.load("test", tmp_path)
    assert np.bincount(test.y).tolist() == [30] * 10 and test.lengths.min() >= 9


def write_spikes(root: Path, names: list[str]) -> None:
    """A file as the cochlea writes it: of clip k, k + 1 events of channel k at 10 ms."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(root / "fsdd" / "cochlea.h5", "w") as file:
        for name, dtype, value in (("times", np.float32, 0.01), ("units", np.uint16, None)):
            rows = file.create_dataset(f"spikes/{name}", len(names), h5py.vlen_dtype(dtype))
            for k in range(len(names)):
                rows[k] = np.full(k + 1, k if value is None else value, dtype)
        file["labels"] = np.zeros(len(names), np.uint16)
        file["extra/meta_info/file"] = [name.encode() for name in names]


def test_spikes_of_a_cochlea(root: Path) -> None:
    task = create_task(
        "spoken-digits-spikes", splitting="speaker", test_speaker="theo", mirrored=False
    )
    with pytest.raises(SrnnError, match="srnn data encode cochlea"):
        task.load("test", root)
    names = [path.name for path in sorted((root / "fsdd" / "recordings").iterdir())][
        ::-1
    ]  # in another order
    write_spikes(root, names)
    split = task.load("test", root)
    assert (
        split.x.shape == (26, 250, 700) and set(split.groups) == {"theo"} and set(split.y) == {0, 7}
    )
    channels = split.x.to_dense().sum(1).argmax(1)  # type: ignore[union-attr]
    expected = [k for k, name in enumerate(names) if "_theo_" in name][::-1]
    assert channels.tolist() == expected
    assert [int(names[channel][0]) for channel in channels] == split.y.tolist()
    write_spikes(root, names[1:])
    with pytest.raises(SrnnError, match="lacks 1 of the recordings"):
        for name in SPLITS:
            task.load(name, root)  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["no names", "not HDF5"])
def test_damaged_spikes(root: Path, damage: str) -> None:
    path = root / "fsdd" / "cochlea.h5"
    write_spikes(root, [p.name for p in (root / "fsdd" / "recordings").iterdir()])
    if damage == "no names":
        with pytest.importorskip("h5py").File(path, "a") as file:
            del file["extra/meta_info/file"]
    else:
        path.write_bytes(b"no file of this kind")
    with pytest.raises(SrnnError, match="cochlea"):
        create_task("spoken-digits-spikes").load("train", root)
