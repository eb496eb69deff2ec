"""TIMIT: a small corpus of the official layout (no part of the real one may be passed on)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn.data.augment_config import AugmentConfig
from srnn.data.batches import Sequences
from srnn.data.datasets.timit import (
    CORE_TEST,
    DEVELOPMENT,
    TIMITTask,
    class_names,
    find_phones,
    folding,
    list_sentences,
    read_phones,
)
from srnn.data.raw_augmentation import RawAugmentation
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from support.layouts import hide_beside
from support.sounds import sphere, tone

TRAINING = [f"{'fm'[k % 2]}aa{chr(97 + k)}0" for k in range(20)]
PHN = "0 3050 h#\n3050 4559 sh\n4559 5723 ix\n5723 6642 q\n6642 8000 h#\n"
SPLITS = ("train", "validation", "test")


def write_sentence(folder: Path, name: str, seconds: float = 0.5, phones: str = PHN) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.WAV").write_bytes(sphere(tone(seconds)))
    (folder / f"{name}.PHN").write_text(phones)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """20 speakers for training, the core test's 24, the development set's 50, and one of neither;
    three sentences each."""
    for part, speakers in (("TRAIN", TRAINING), ("TEST", [*CORE_TEST, *DEVELOPMENT, "mxyz0"])):
        for k, speaker in enumerate(sorted(speakers)):
            folder = tmp_path / "timit" / part / f"DR{k % 8 + 1}" / speaker.upper()
            for name in ("SA1", "SI648", "SX127"):
                write_sentence(folder, name)
    return tmp_path


def test_the_lists_and_the_folding() -> None:
    assert len(CORE_TEST) == 24 and len(DEVELOPMENT) == 50 and not CORE_TEST & DEVELOPMENT
    assert {speaker[0] for speaker in CORE_TEST} == {"f", "m"} and sum(
        s[0] == "f" for s in CORE_TEST
    ) == 8
    assert [len(class_names(n)) for n in (61, 48, 39)] == [61, 48, 39]
    assert set(folding(61).values()) == set(folding(61)) and len(folding(39)) == 61
    table = folding(39)
    for group in ("ao aa", "ax ah ax-h", "er axr", "hh hv", "ih ix", "l el", "m em", "n en nx", "ng eng", "sh zh", "uw ux",
                  "sil h# pau epi pcl tcl kcl bcl dcl gcl"):  # fmt: skip
        assert len({table.get(phone, phone) for phone in group.split()}) == 1
    assert table["q"] is folding(48)["q"] is None
    assert (
        folding(48)["pcl"] == "cl" and folding(48)["bcl"] == "vcl" and folding(48)["epi"] == "epi"
    )


def test_splits(root: Path) -> None:
    for validation, counts in (("standard", (40, 100, 48)), ("training", (36, 4, 48))):
        clips = {s: list_sentences(root / "timit", s, validation) for s in SPLITS}  # type: ignore[arg-type]
        assert tuple(len(clips[s]) for s in SPLITS) == counts
        people = [{clip.group for clip in clips[s]} for s in SPLITS]
        assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]
        assert people[2] == CORE_TEST and "mxyz0" not in set().union(*people)
        assert not any("SA1" in clip.name for part in clips.values() for clip in part)


def test_frames_have_the_phone_at_their_centre(root: Path) -> None:
    split = create_task("timit").load("validation", root)
    assert (
        split.x.shape == (100, 49, 39) and split.y.shape == (100, 49) and set(split.lengths) == {49}
    )
    names = class_names(61)
    for frame in range(49):
        centre = 160 * frame + 200
        wanted = next(
            p
            for s, e, p in (line.split() for line in PHN.splitlines())
            if int(s) <= centre < int(e)
        )
        assert names[split.y[7, frame]] == wanted
    mel = TIMITTask(features="log_mel").load("validation", root)
    assert mel.x.shape == (100, 51, 120) and names[mel.y[0, 0]] == "h#"
    assert (mel.y[:, 50] == -1).all()  # its centre is the sentence's end


def test_labels_may_come_later_than_their_frames(root: Path) -> None:
    split, late = (TIMITTask(label_lag=lag).load("test", root) for lag in (0, 4))
    np.testing.assert_array_equal(late.y, np.pad(split.y, ((0, 0), (4, 0)), constant_values=-1))
    assert late.lengths is not None and set(late.lengths) == {53}
    np.testing.assert_array_equal(late.x, np.pad(split.x, ((0, 0), (0, 4), (0, 0))))


@pytest.mark.parametrize("late", [0, 4])
@pytest.mark.parametrize("normalise", ["clip", "training"])
def test_sound_can_be_changed_before_it_is_encoded(root: Path, late: int, normalise: Any) -> None:
    """A gain too small for float32 changes nothing, label for label; noise changes the steps that
    hold sound, and no label."""
    write_sentence(
        root / "timit" / "TRAIN" / "DR1" / "FAAA0", "SX2", seconds=0.3, phones="0 4800 h#"
    )
    task = TIMITTask(label_lag=late, normalise=normalise)
    sequences = Sequences(task, "train", root)
    path = task.signal().calibrated(statistics=task.statistics(root))
    indices = np.arange(len(sequences))
    known = sequences.take(indices)
    assert len(set(known.lengths.tolist())) > 1
    same = RawAugmentation(sequences, path, AugmentConfig(gain=1e-12), None).take(
        indices, range(len(indices))
    )
    assert (
        torch.equal(same.x, known.x)
        and torch.equal(same.y, known.y)
        and torch.equal(same.lengths, known.lengths)
    )
    noisy = RawAugmentation(sequences, path, AugmentConfig(noise=(10, 20)), None).take(
        indices, range(len(indices))
    )
    assert torch.equal(noisy.y, known.y)
    for ours, theirs, length in zip(noisy.x, known.x, known.lengths.tolist(), strict=True):
        assert (
            not torch.equal(ours[: length - late], theirs[: length - late])
            and not ours[length - late :].any()
        )


def test_folded_classes(root: Path) -> None:
    task = create_task("timit", classes=39)
    split = task.load("test", root)
    assert task.outputs == 39 and task.class_names[task.silence_class] == "sil"  # type: ignore[attr-defined]
    present = {task.class_names[k] for k in np.unique(split.y[split.y >= 0])}
    assert present == {"sil", "sh", "ih"}
    assert (split.y == -1).any()  # q


def test_sentences_of_unequal_length_are_padded(root: Path) -> None:
    folder = root / "timit" / "TRAIN" / "DR1" / TRAINING[0].upper()
    write_sentence(folder, "SX127", 0.8, "0 12000 h#\n")
    split = TIMITTask().load("train", root)
    assert sorted(set(split.lengths)) == [49, 79] and split.x.shape[1] == 79
    short = np.flatnonzero(split.lengths == 49)[0]
    assert (split.y[short, 49:] == -1).all() and not split.x[[short]].to_dense()[0, 49:].any()  # type: ignore[union-attr]


def test_names_in_small_letters_and_one_folder_deeper(root: Path) -> None:
    before = TIMITTask().load("test", root)
    for path in sorted((root / "timit").rglob("*"), reverse=True):
        path.rename(path.with_name(path.name.lower()))
    (root / "TIMIT").mkdir()
    (root / "timit").rename(root / "TIMIT" / "data")
    after = TIMITTask().load("test", root)
    np.testing.assert_array_equal(before.y, after.y)
    np.testing.assert_array_equal(before.x.to_dense(), after.x.to_dense())  # type: ignore[union-attr]


def test_what_macos_hides_beside_files_is_not_read(root: Path) -> None:
    folder = root / "timit"
    clips = [list_sentences(folder, split, "standard") for split in SPLITS]  # type: ignore[arg-type]
    hide_beside(folder)
    (folder / "TRAIN" / "DR1" / ".AppleDouble").mkdir()
    assert [list_sentences(folder, split, "standard") for split in SPLITS] == clips  # type: ignore[arg-type]


def test_what_is_missing_is_one_line(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SrnnError, match=r"catalog\.ldc\.upenn\.edu/LDC93S1"):
        TIMITTask().load("train", tmp_path / "nowhere")
    speaker = next((root / "timit" / "TEST").glob("DR*/MDAB0"))
    (speaker / "SI648.PHN").unlink()
    with pytest.raises(SrnnError, match=r"SI648\.WAV has no phones next to it \(SI648\.PHN\)"):
        TIMITTask().load("test", root)
    speaker.rename(speaker.with_name("MXXX0"))
    with pytest.raises(
        SrnnError, match="lacks 1 of the 24 test speakers in its test folder, such as MDAB0"
    ):
        TIMITTask().load("test", root)


def test_a_damaged_sentence_is_named(root: Path) -> None:
    path = next((root / "timit" / "TEST").glob("DR*/MDAB0/SX127.WAV"))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(SrnnError, match=r"SX127\.WAV: the sound is cut off"):
        TIMITTask().load("test", root)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "contains no phones"),
        ("0 100\n", "line 1: should be 'first_sample end_sample phone'"),
        ("0 x h#\n", "line 1"),
        ("-1 5 h#\n", "line 1"),
        ("0 100 h#\n100 200 zz\n", "line 2: 'zz' is not one of TIMIT's 61 phones"),
        ("0 100 h#\n50 200 sh\n", "line 2: the phone from 50 to 200 is empty or overlaps"),
        ("0 0 h#\n", "is empty or overlaps"),
        ("0 100 h\xe9\n", "cannot be read"),
    ],
)
def test_bad_phones_are_one_line(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "SX1.PHN"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(SrnnError, match=words):
        read_phones(path, dict.fromkeys(folding(61), 0))


def test_gaps_between_phones_have_no_label(tmp_path: Path) -> None:
    path = tmp_path / "SX1.phn"
    path.write_text("100 200 h#\n\n300 400 sh\n")
    assert find_phones(tmp_path / "sx1.WAV") == path
    at = read_phones(path, {**dict.fromkeys(folding(61), 0), "sh": 5})
    assert at(np.array([0, 99, 100, 199, 200, 299, 300, 399, 400, 9999])).tolist() == [
        -1,
        -1,
        0,
        0,
        -1,
        -1,
        5,
        5,
        -1,
        -1,
    ]
