"""Speech Commands: small folders of the official layout, and the real part of it (mini) with its
phones."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from srnn.data.datasets import cache
from srnn.data.datasets.features import FeatureArray, fit_length, read_clip
from srnn.data.datasets.speech_commands import (
    KEYWORDS,
    PHONES,
    SILENCE,
    UNKNOWN,
    WORDS,
    PhonesTask,
    SpeechCommandsTask,
    list_clips,
    read_segments,
    speaker_of,
    which_set,
)
from srnn.data.encoders import SpeechFeatures, ternary
from srnn.data.signals import SpeechPath
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from support.layouts import hide_beside
from support.sounds import tone, write_wav

SPEAKERS = [f"{k:08x}" for k in range(24, 40)]
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 2: 35 words by 16 speakers, of whom the official rule gives some to validation and
    testing."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "speech_commands_v0.02"
    sound = write_wav(root / "one.wav", tone(0.1))
    lists: dict[str, list[str]] = {"validation": [], "test": []}
    for word in WORDS[2]:
        (folder / word).mkdir(parents=True)
        for speaker in SPEAKERS:
            name = f"{word}/{speaker}_nohash_0.wav"
            os.link(sound, folder / name)
            if which_set(name) != "train":
                lists[which_set(name)].append(name)
    (folder / "validation_list.txt").write_text("\n".join(lists["validation"]) + "\n")
    (folder / "testing_list.txt").write_text("\n".join(lists["test"]) + "\n")
    for k in range(2):
        noise = np.random.default_rng(k).normal(0, 3000, 16000 * 12).astype(np.int16)
        write_wav(folder / "_background_noise_" / f"noise{k}.wav", noise)
    (folder / "_background_noise_" / "README.md").write_text("not a sound")
    return root


@pytest.fixture
def root(master: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage by unlinking: its files are links to the master's."""
    shutil.copytree(master, tmp_path / "data", copy_function=os.link)
    return tmp_path / "data"


def test_the_official_hash() -> None:
    """Files of the official lists: the rule is what made them."""
    assert which_set("zero/0a7c2a8d_nohash_0.wav") == which_set("bed/0a7c2a8d_nohash_3.wav")
    shares = [which_set(f"{k:08x}_nohash_0.wav") for k in range(3000)]
    for name in ("validation", "test"):
        assert 0.08 < shares.count(name) / 3000 < 0.12


def test_all_words(master: Path) -> None:
    which = SpeechCommandsTask(classes=35)
    clips = {split: list_clips(split, master, which) for split in SPLITS}  # type: ignore[arg-type]
    names = [clip.name for part in clips.values() for clip in part]
    assert len(names) == len(set(names)) == 35 * len(SPEAKERS)
    for clip in clips["test"]:
        assert clip.label == clip.name.split("/")[0] and which_set(clip.name) == "test"
    people = [{clip.group for clip in part} for part in clips.values()]
    assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]


def test_twelve_classes_as_the_official_recipe_has_them(master: Path) -> None:
    for split in SPLITS:
        clips = list_clips(split, master, SpeechCommandsTask())  # type: ignore[arg-type]
        count = np.array([sum(clip.label == name for clip in clips) for name in KEYWORDS])
        words = sum(count[:10])
        assert len(set(count[:10])) == 1 and words == 10 * len(
            {c.group for c in clips if c.label in KEYWORDS[:10]}
        )
        assert count[KEYWORDS.index(SILENCE)] == count[KEYWORDS.index(UNKNOWN)] == -(-words // 10)
        assert clips == list_clips(split, master, SpeechCommandsTask())  # type: ignore[arg-type]


def test_no_noise_is_in_two_splits(master: Path) -> None:
    seen: dict[str, list[tuple[int, int, str]]] = {}
    for split in SPLITS:
        for clip in list_clips(split, master, SpeechCommandsTask()):  # type: ignore[arg-type]
            if clip.start is not None:
                assert len(read_clip(clip, 16000, 16000)) == 16000
                seen.setdefault(clip.name, []).append((clip.start, clip.start + 16000, split))
    assert len(seen) == 2
    for pieces in seen.values():
        for begin, end, split in pieces:
            assert all(end <= b or e <= begin for b, e, other in pieces if other != split)


def test_without_lists_the_hash_decides(root: Path) -> None:
    which = SpeechCommandsTask(classes=35)
    before = [list_clips(split, root, which) for split in SPLITS]  # type: ignore[arg-type]
    for name in ("validation_list.txt", "testing_list.txt"):
        (root / "speech_commands_v0.02" / name).unlink()
    assert [list_clips(split, root, which) for split in SPLITS] == before  # type: ignore[arg-type]


def test_loading_and_the_cache(master: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = create_task("gsc")
    assert task.step_ms == 10 and task.inputs == 120 and task.class_names == KEYWORDS
    first = task.load("validation", master)
    assert first.x.shape == (len(first.y), 101, 120) and first.y.max() == 11
    monkeypatch.setattr("srnn.data.datasets.features.read_audio", None)  # nothing is read again
    again = task.load("validation", master)
    np.testing.assert_array_equal(again.x[:5].to_dense(), first.x[:5].to_dense())  # type: ignore[union-attr]
    made = create_task("gsc", ternary=0.05).load("validation", master)
    np.testing.assert_array_equal(made.x.to_dense(), ternary(first.x.to_dense(), 0.05))  # type: ignore[union-attr]


def test_what_encode_gives_is_what_load_gave(master: Path) -> None:
    task = create_task("gsc", normalise="training")
    split = task.load("validation", master)
    statistics = task.statistics(master)  # type: ignore[attr-defined]
    clip = list_clips("validation", master, SpeechCommandsTask())[3]
    x = task.signal().calibrated(statistics=statistics).whole(read_clip(clip, 16000, 16000), 16000)  # type: ignore[attr-defined]
    np.testing.assert_allclose(x, split.x[3:4].to_dense()[0], atol=0.1)  # type: ignore[union-attr]
    assert np.abs(x - split.x[3:4].to_dense()[0]).mean() < 2e-3  # type: ignore[union-attr]


def test_a_full_disk_only_costs_time(master: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SrnnError("Cannot write the cache: No space left on device.")

    wanted = create_task("gsc", mels=20).load("test", master)
    monkeypatch.setattr(cache, "write_arrays", full)
    found = create_task("gsc", mels=20, derivatives=1).load("test", master)
    np.testing.assert_array_equal(found.x.to_dense(), wanted.x.to_dense()[..., :40])  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [1, 15999, 16000, 16001, 40000])
def test_clips_are_cut_or_filled_at_both_ends(size: int) -> None:
    made = fit_length(np.arange(1, size + 1, dtype=np.float32), 16000)
    assert len(made) == 16000
    sounding = np.flatnonzero(made)
    assert abs(int(sounding[0]) - (15999 - int(sounding[-1]))) <= 1
    assert abs(float(made[sounding[0]] - 1) - (size - float(made[sounding[-1]]))) <= 1


def test_a_clip_is_not_filled_up_without_end() -> None:
    with pytest.raises(
        SrnnError, match="a clip has 3 samples, which would become 16000000000 samples; at most"
    ):
        fit_length(np.ones(3, np.float32), 16 * 10**9)


def test_what_is_wrong_is_one_line(root: Path) -> None:
    folder = root / "speech_commands_v0.02"

    def refuses(words: str, **options: object) -> None:
        with pytest.raises(SrnnError, match=words):
            create_task("gsc", **options).load("test", root)

    refuses("srnn data fetch speech-commands-v1", version=1)
    refuses("test_set_v0.02.*srnn data fetch speech-commands-test-v2", test_set="official")
    (root / "speech_commands_v0.01").symlink_to(folder)
    refuses(
        r"speech_commands_v0.01 is not of version 1, which has no 'backward' \(validation_list.txt "
        r"lists",
        version=1,
    )
    refuses(
        "test_set_v0.01.*: it should contain", version=1, test_set="official"
    )  # 'srnn data fetch' has none of version 1
    bad = (
        folder
        / "yes"
        / next(c.name for c in list_clips("test", root, SpeechCommandsTask()) if "yes/" in c.name)[
            4:
        ]
    )
    content = bad.read_bytes()
    bad.unlink()
    refuses(f"lacks 1 recording that testing_list.txt lists, such as yes/{bad.name}")
    bad.write_bytes(content[:-100])
    refuses(f"{bad.name}.*cut off")
    bad.write_bytes(b"")
    refuses(f"{bad.name} is empty")
    bad.write_bytes(content)
    listed = (folder / "validation_list.txt").read_text()
    (folder / "validation_list.txt").unlink()
    (folder / "validation_list.txt").write_text(f"{listed}yes/{bad.name}\n")
    refuses("in both the validation list and the test list")
    shutil.rmtree(folder / "_background_noise_")
    (folder / "validation_list.txt").unlink()
    refuses("_background_noise_ contains no sound")
    shutil.rmtree(folder / "wow")
    refuses("lacks 1 of its 35 words, such as 'wow'", classes=35)


@pytest.mark.parametrize("classes", [12, 35])
def test_what_macos_hides_beside_files_is_not_read(root: Path, classes: int) -> None:
    which = SpeechCommandsTask(classes=classes)
    clips = [list_clips(split, root, which) for split in SPLITS]  # type: ignore[arg-type]
    hide_beside(root)
    assert [list_clips(split, root, which) for split in SPLITS] == clips  # type: ignore[arg-type]


def test_the_official_test_set(root: Path) -> None:
    folder = root / "speech_commands_test_set_v0.02"
    for word in KEYWORDS:
        name = (
            "backward_0cb74144_nohash_2.wav"
            if word == UNKNOWN
            else "12.wav"
            if word == SILENCE
            else "0cb74144_nohash_0.wav"
        )
        write_wav(folder / word / name, tone(1.0))
    test = create_task("gsc", test_set="official").load("test", root)
    assert test.y.tolist() == list(range(12)) and test.groups[0] == test.groups[11] == "0cb74144"


def test_speakers_in_names() -> None:
    assert (
        speaker_of("yes/0cb74144_nohash_0.wav")
        == speaker_of("backward_0cb74144_nohash_2.flac")
        == "0cb74144"
    )
    assert speaker_of("1024.flac") is None


def test_features_of_clips_of_many_lengths(tmp_path: Path) -> None:
    encoder = SpeechFeatures()
    statistics = encoder.fit([np.random.default_rng(0).normal(size=(50, 120)).astype(np.float32)])
    sounds = [tone(seconds).astype(np.float32) / 32768 for seconds in (0.1, 0.5, 0.1, 0.3)]
    frames = np.zeros((4, 51, 40), np.float16)
    lengths = np.array([11, 51, 11, 31])
    for row, sound in zip(frames, sounds, strict=True):
        made = encoder.frames(sound)
        row[: len(made)] = made
    x = FeatureArray(frames, lengths, SpeechPath(encoder, statistics=statistics))
    for index in ([3], [1, 0], slice(2), np.array([True, False, False, True])):
        dense = x[index].to_dense()
        for row, length, sound in zip(
            dense, lengths[index], np.array(sounds, object)[index], strict=True
        ):
            np.testing.assert_allclose(row[:length], encoder(sound, statistics), atol=0.05)
            assert not row[length:].any()
    with pytest.raises(SrnnError, match="slice"):
        x[0]


# ---- the real part -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that leads to the real recordings, with a cache of its own."""
    value = os.environ.get("SRNN_DATA")
    real = Path(value or "") / "speech_commands_mini"
    if not value or not real.is_dir():
        pytest.skip("SRNN_DATA is not set, or has no speech_commands_mini")
    root = tmp_path_factory.mktemp("data")
    (root / "speech_commands_mini").mkdir()
    for path in real.iterdir():
        if not path.name.startswith("."):
            (root / "speech_commands_mini" / path.name).symlink_to(path)
    return root


def test_mini_is_split_by_speaker(mini: Path) -> None:
    folder = mini / "speech_commands_mini"
    assert (
        create_task("gsc", source="mini")
        .origin(mini)
        .endswith(f" official test set, version 0.02 ({folder})")
    )
    clips = [list_clips(split, mini, SpeechCommandsTask(source="mini")) for split in SPLITS]  # type: ignore[arg-type]
    assert sum(map(len, clips)) == 2754
    people = [{c.group for c in part} for part in clips]
    assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]
    spoken = [{c.group for c in part if c.label != SILENCE} for part in clips]
    assert [len(part) for part in spoken] == [84, 20, 26]
    for part in clips:
        assert min(sum(c.label == name for c in part) for name in KEYWORDS) > 20


@pytest.mark.slow
def test_phones(mini: Path, tmp_path: Path) -> None:
    """Of every twelfth recording: statistics are of the whole training split, which takes long."""
    source, few = mini / "speech_commands_mini", tmp_path / "speech_commands_mini"
    few.mkdir()
    for folder in source.iterdir():
        if not folder.is_dir():
            (few / folder.name).symlink_to(folder)
            continue
        (few / folder.name).mkdir()
        for path in sorted(folder.iterdir())[::12]:
            (few / folder.name / path.name).symlink_to(path)
    split = PhonesTask().load("validation", tmp_path)
    assert len(split) > 25
    assert split.y.shape == (len(split), 101) and split.x.shape == (len(split), 101, 120)
    assert (split.y[:, 99:] == -1).all() and (split.y[:, :99] >= 0).all()
    assert 0.4 < (split.y == 0).mean() < 0.6  # silence
    energy = split.x.frames[:, :, :].astype(np.float32).sum(2)  # type: ignore[union-attr]
    spoken = split.y[:, :99] > 0
    assert (
        energy[:, :99][spoken].mean() > 3 * energy[:, :99][~spoken].mean()
    )  # labels lie where the sound is
    late = PhonesTask(label_lag=3).load("validation", tmp_path)
    assert (PhonesTask().lag(), PhonesTask(label_lag=3).lag()) == (0, 3)
    np.testing.assert_array_equal(late.y, np.pad(split.y, ((0, 0), (3, 0)), constant_values=-1))
    np.testing.assert_array_equal(late.x[:2], np.pad(split.x[:2], ((0, 0), (0, 3), (0, 0))))
    task = create_task("phones")
    assert (
        task.kind == "per_step"
        and task.outputs == 34
        and task.class_names[task.silence_class] == "SIL"
    )  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a list of phones"),
        ("[1]", "not a list of phones"),
        ({"labels": {"a": [["QQ", 0, 4]]}}, "unknown phone 'QQ'"),
        ({"labels": {"a": [["B", 0, 4], ["D", 3, 4]]}}, "overlap or are empty at frame 3"),
        ({"labels": {"a": [["B", 0, 0]]}}, "empty at frame 0"),
        ({"labels": {"a": [["B", "x", 0]]}}, "not a list of phones"),
    ],
)
def test_bad_phones_are_one_line(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "phones.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(SrnnError, match=words):
        read_segments(path)
    with pytest.raises(SrnnError, match="was not found"):
        read_segments(tmp_path / "none.json")
    assert len(PHONES) == len(set(PHONES)) == 34


def test_statistics_come_from_training_only(master: Path) -> None:
    """The test split's features do not change with what else is in it."""
    whole = SpeechCommandsTask().load("test", master)
    assert isinstance(whole.x, FeatureArray)
    part = whole.take([1, 4])
    np.testing.assert_array_equal(part.x.to_dense(), whole.x.to_dense()[[1, 4]])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ternary": 0}, "'ternary' must be a number above 0"),
        ({"derivates": 1}, "Did you mean 'derivatives'"),
    ],
)
def test_options_of_sound_features_are_checked(options: dict, words: str) -> None:
    with pytest.raises(SrnnError, match=words):
        create_task("gsc", **options)
