"""Sound files that are cut into windows, as recordings of sensors are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srnn import SrnnError
from srnn.data.datasets import features
from srnn.data.datasets.audio import read_audio
from srnn.data.datasets.features import cut_clips, read_clip
from srnn.data.tasks import create_task
from support.sounds import tone, write_wav

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
RATE = 16000


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    """Two classes of eight recordings, 1.3 s each at 8 kHz but for a short one."""
    for number in range(8):
        for word, hz in (("good", 300.0), ("worn", 900.0)):
            seconds = 0.2 if number == 7 else 1.3
            write_wav(
                tmp_path / "m" / word / f"{number}.wav", tone(seconds, 8000, hz, number), 8000
            )
    return tmp_path / "m"


def test_windows_are_pieces_of_their_files(machines: Path) -> None:
    task = create_task("folder", path=str(machines), window=0.5, stride=0.25, features="log_mel")
    splits = [task.load(name) for name in ("train", "validation", "test")]
    assert sum(len(split.y) for split in splits) == 2 * (7 * 4 + 1)
    assert all(split.lengths is None for split in splits)
    groups = [set(np.asarray(split.groups).tolist()) for split in splits]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 16  # all of a file are in one split
    steps = {split.x.shape[1] for split in splits}
    assert steps == {
        create_task("folder", path=str(machines), seconds=0.5).load("train").x.shape[1]
    }
    split = splits[0]
    assert split.signals is not None
    for index in (0, 1, 2, 3):
        clip = split.signals.clips[index]  # type: ignore[attr-defined]
        whole, _ = read_audio(clip.path, RATE)
        begin = clip.start or 0
        np.testing.assert_array_equal(split.signals[index][:, 0], whole[begin : begin + RATE // 2])
    assert task.clip_seconds == 0.5


def test_windows_lie_side_by_side_and_a_short_file_is_filled_up(machines: Path) -> None:
    task = create_task("folder", path=str(machines), window=0.5)
    items = task.content.items
    pieces = cut_clips(items[:1] * 2, [1.3, 0.2], task.cutting, RATE)
    assert [piece.start for piece in pieces] == [0, RATE // 2, None]
    short = next(item for item in items if item.name.endswith("7.wav"))
    filled = read_clip(short, RATE, RATE // 2)
    assert len(filled) == RATE // 2 and filled[0] == filled[-1] == 0 and filled.any()


def test_a_file_is_read_once_for_all_its_windows(
    machines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording of an hour has thousands of windows."""
    task = create_task("folder", path=str(machines), window=0.5, stride=0.1)
    read = list[Path]()

    def counting(path: Path, rate: int | None = None) -> tuple[np.ndarray, int]:
        read.append(path)
        return read_audio(path, rate)

    monkeypatch.setattr(features, "read_audio", counting)
    split = task.load("train")
    assert len(read) == len(set(read)) < len(split.y)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 0.5, "seconds": 2.0}, "give one of them"),
        ({"window": 0.5, "seconds": None}, "give one of them"),
        ({"stride": 0.5}, "give 'window' too"),
        ({"window": 1e-9}, "window must be at least one step"),
        ({"window": 0.5, "per_step": True}, "'per_step' has no effect on sound"),
    ],
)
def test_what_does_not_fit(machines: Path, options: dict, words: str) -> None:
    with pytest.raises(SrnnError, match=words):
        create_task("folder", path=str(machines), **options)
