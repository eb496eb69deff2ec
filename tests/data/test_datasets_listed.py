"""Speech Commands mini: its recordings of the official test set, their split, and how they are
unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from srnn.cli.main import main
from srnn.data.datasets import SPLITS, unpack
from srnn.data.datasets.catalogue import CATALOGUE
from srnn.data.datasets.speech_commands import (
    KEYWORDS,
    SILENCE,
    SpeechCommandsTask,
    list_clips,
    speaker_of,
)
from srnn.data.datasets.unpack import listed_names, unpack_listed
from srnn.errors import SrnnError
from support.sounds import tone, write_wav

MINI = CATALOGUE["speech-commands-mini"]
NAMES = listed_names(MINI)
TASK = SpeechCommandsTask(source="mini")
OTHERS = (
    "yes/00f0204f_nohash_0.wav",
    "_unknown_/bed_00f0204f_nohash_0.wav",
    "_silence_/0.wav",
    "README.md",
    "LICENSE",
)
"""Other files of the same archive."""


def pack(path: Path, names: Sequence[str], content: bytes) -> Path:
    """An archive as the official one: every name begins with ./"""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name in names:
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def recordings(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.glob("[!.]*/*")}


def split_of_names(root: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """The names (without suffixes) of every split of a folder in which they are empty files."""
    for name in names:
        path = root / MINI.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    clips = {split: list_clips(split, root, TASK) for split in SPLITS}  # type: ignore[arg-type]
    return {
        split: sorted(clip.name.rpartition(".")[0] for clip in part)
        for split, part in clips.items()
    }


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return split_of_names(tmp_path_factory.mktemp("mini"), [f"{name}.wav" for name in NAMES])


def test_the_list(data_dir: Path) -> None:
    assert len(NAMES) == len({*NAMES}) == MINI.count == 2754 and sorted(NAMES) == NAMES
    assert hashlib.sha256("\n".join(NAMES).encode()).hexdigest().startswith("2692eec6309105a4")
    assert {name.split("/")[0] for name in NAMES} == {*KEYWORDS}
    here = data_dir / MINI.folder
    assert {f"{name}.flac" for name in NAMES} == recordings(here)


def test_its_split_by_name(split: dict[str, list[str]]) -> None:
    """For ever: networks are trained and chosen on the first two, and measured on the third."""
    digests = {
        name: hashlib.sha256(" ".join(part).encode()).hexdigest()[:16]
        for name, part in split.items()
    }
    assert digests == {
        "train": "a495e2d1fdcd2a86",
        "validation": "795eb0a9a41311e1",
        "test": "89bd967ecc8b3d31",
    }
    assert sorted(name for part in split.values() for name in part) == NAMES
    speakers = [
        {speaker_of(name) for name in part if not name.startswith(SILENCE)}
        for part in split.values()
    ]
    assert [len(part) for part in speakers] == [84, 20, 26] and len(set.union(*speakers)) == 130
    assert [sum(name.startswith(SILENCE) for name in part) for part in split.values()] == [
        136,
        31,
        42,
    ]


@pytest.mark.parametrize("suffix", ["flac", "WAV"])
def test_who_is_in_which_split_depends_on_nobody_else(
    suffix: str, split: dict[str, list[str]], tmp_path: Path
) -> None:
    """Nor on the kind of files: a folder with fewer or other recordings is read as it is."""
    other = [
        f"{word}/{number:08x}_nohash_0.{suffix}" for word in KEYWORDS[:10] for number in range(50)
    ]
    some = [f"{name}.{suffix}" for name in NAMES[::3]]
    found = split_of_names(tmp_path, [*some, *other])
    for name in SPLITS:
        assert {*found[name]} & {*NAMES} == {*split[name]} & {*NAMES[::3]}
    people = [
        {speaker_of(name) for name in found[part] if not name.startswith(SILENCE)}
        for part in SPLITS
    ]
    assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]
    assert all(len(part) > 20 for part in people)


def test_a_folder_without_a_split_says_how_to_get_it(tmp_path: Path) -> None:
    how = (
        "get it with 'srnn data fetch speech-commands-mini' and 'srnn data prepare "
        "speech-commands-mini'"
    )
    with pytest.raises(SrnnError, match=f"left contains no recordings: {how}"):
        list_clips("train", tmp_path, TASK)
    few = [f"{word}/0cb74144_nohash_0.wav" for word in KEYWORDS[:10]]  # who is for training
    few += ["_silence_/1037.wav", "_unknown_/bed_0cb74144_nohash_0.wav"]
    with pytest.raises(
        SrnnError, match=f"mini contains no recordings of the validation split; {how}"
    ):
        split_of_names(tmp_path, few)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A part of the list, of every word, that is taken for the whole one."""
    names = [
        name
        for word in KEYWORDS
        for name in [name for name in NAMES if name.startswith(f"{word}/")][::24]
    ]
    monkeypatch.setattr(unpack, "listed_names", lambda _: names)
    return names


def test_the_archive_gives_the_listed_recordings_alone(few: list[str], tmp_path: Path) -> None:
    folder = tmp_path / MINI.folder
    archive = pack(
        folder / MINI.files[0].name, [*(f"{name}.wav" for name in few), *OTHERS], b"RIFF"
    )
    assert unpack_listed(MINI, folder) == [archive]
    assert recordings(folder) == {f"{name}.wav" for name in few}
    assert not unpack_listed(MINI, folder)  # all are there
    assert unpack_listed(MINI, folder, overwrite=True) == [archive]
    (folder / f"{few[9]}.wav").unlink()
    assert unpack_listed(MINI, folder) == [archive] and (folder / f"{few[9]}.wav").is_file()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [archive.name, *KEYWORDS]
    )  # nothing else is left


@pytest.mark.slow
def test_an_archive_without_all_of_them_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / MINI.folder
    pack(folder / MINI.files[0].name, [f"{name}.wav" for name in NAMES[2:]], b"RIFF")
    with pytest.raises(
        SrnnError,
        match=rf"tar.gz lacks 2 of the 2,754 files of speech-commands-mini, such as {NAMES[0]}",
    ):
        unpack_listed(MINI, folder)
    (folder / MINI.files[0].name).write_bytes(b"junk")
    with pytest.raises(SrnnError, match=r"\.tar\.gz"):
        unpack_listed(MINI, folder)
    assert not recordings(folder)


@pytest.mark.skipif(os.name != "posix", reason="Windows lets few make links")
def test_nothing_is_unpacked_through_a_link(few: list[str], tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / MINI.folder, tmp_path / "elsewhere"
    pack(folder / MINI.files[0].name, [f"{name}.wav" for name in few], b"RIFF")
    elsewhere.mkdir()
    (folder / "yes").symlink_to(elsewhere)
    with pytest.raises(SrnnError, match=r"yes is a link that leads out of .*; remove it"):
        unpack_listed(MINI, folder)
    assert not list(elsewhere.iterdir())


def test_prepare(
    few: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From an archive with the official names, of a part of them, to the features of every
    split."""
    sound = write_wav(tmp_path / "one.wav", tone(0.3)).read_bytes()
    folder, where = tmp_path / MINI.folder, ["--data-dir", str(tmp_path)]

    assert main(["data", "prepare", MINI.name, *where]) == 2
    assert "get them first: srnn data fetch speech-commands-mini" in capsys.readouterr().err
    archive = pack(folder / MINI.files[0].name, [*(f"{name}.wav" for name in few), *OTHERS], sound)
    assert main(["data", "prepare", MINI.name, *where, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["unpacked"] == [str(archive)] and recordings(folder) == {
        f"{name}.wav" for name in few
    }
    assert [(one["task"], one["split"]) for one in done["splits"]] == [
        ("gsc", name) for name in SPLITS
    ]
    assert sum(one["shape"][0] for one in done["splits"]) == len(few)

    os.remove(archive)  # and then it is read as it is
    monkeypatch.undo()
    write_wav(folder / "yes" / "00f0204f_nohash_0.wav", tone(0.3))
    assert main(["data", "prepare", MINI.name, *where, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["unpacked"] == [] and sum(one["shape"][0] for one in done["splits"]) == len(few) + 1
