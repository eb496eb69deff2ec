"""srnn data, as people and programs call it."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from srnn.cli.main import main
from srnn.data.datasets.catalogue import CATALOGUE
from support import layouts
from support.loopback import Server, md5, plain_network, server, zipped
from support.sounds import tone, write_wav

Capture = pytest.CaptureFixture[str]

__all__ = ["plain_network", "server"]  # fixtures
pytestmark = pytest.mark.usefixtures("plain_network")


def run(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = main(["data", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_list_and_info(capsys: Capture, tmp_path: Path) -> None:
    layouts.write_spoken_digits(tmp_path)
    for name in ("mnist", "shd", "ssc", "timit/TRAIN", "timit/TEST", "qtdb/paper_split"):
        (tmp_path / name).mkdir(parents=True)
    for file in CATALOGUE["mnist"].files:
        (tmp_path / "mnist" / file.name).write_bytes(gzip.compress(b"1"))
    (tmp_path / "shd" / "shd_train.h5.zip").write_text("junk")
    (tmp_path / "qtdb" / "paper_split" / "QTDB_train.mat").write_text("1")
    for file in CATALOGUE["ssc"].files:
        (tmp_path / "ssc" / file.name).write_bytes(zipped({"x": b"1"}))
    code, out, err = run(capsys, "list", "--data-dir", str(tmp_path), "--json")
    states = {row["name"]: row["state"] for row in json.loads(out)["data_sets"]}
    assert (code, err) == (0, "") and set(states) == set(CATALOGUE)
    found = {
        name: states[name]
        for name in ("mnist", "ssc", "shd", "fsdd", "timit", "qtdb", "soli", "digits")
    }
    assert found == {
        "mnist": "there", "ssc": "packed", "shd": "incomplete", "fsdd": "incomplete", "timit": "incomplete",
        "qtdb": "there", "soli": "ask for it", "digits": "built in",
    }  # fmt: skip
    assert "MNIST" in run(capsys)[1]
    for name in CATALOGUE:
        code, out, _ = run(capsys, "info", name, "--data-dir", str(tmp_path), "--json")
        assert code == 0 and json.loads(out)["folder"].startswith(str(tmp_path))
        assert CATALOGUE[name].licence in run(capsys, "info", name)[1]
    assert "gsc (version: 1)" in run(capsys, "info", "speech-commands-v1")[1]


def test_fetch_verify_prepare(
    capsys: Capture, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
    contents = {}
    for part, speakers in (("train", [0, 1, 2, 3]), ("test", [4, 5])):
        path = tmp_path / f"shd_{part}.h5"
        with h5py.File(path, "w") as file:
            for name, kind in (("times", np.float16), ("units", np.uint16)):
                rows = file.create_dataset(
                    f"spikes/{name}", (len(speakers),), h5py.vlen_dtype(kind)
                )
                for index in range(len(speakers)):
                    rows[index] = np.array([0, index], kind)
            file["labels"], file["extra/speaker"] = np.array(speakers), np.array(speakers)
        contents[f"shd_{part}.h5.zip"] = zipped({path.name: path.read_bytes()})
    server.files = {f"/mirror/shd/{name}": content for name, content in contents.items()}
    files = tuple(
        replace(file, checksum=md5(contents[file.name])) for file in CATALOGUE["shd"].files
    )
    entry = replace(CATALOGUE["shd"], files=files)
    monkeypatch.setattr("srnn.data.datasets.catalogue.find_data_set", lambda _: entry)
    monkeypatch.setenv("SRNN_MIRROR", f"{server.url}/mirror")
    monkeypatch.setenv("SRNN_DATA", str(tmp_path / "data"))

    assert run(capsys, "verify", "shd", "--json")[0] == 1
    code, out, err = run(capsys, "fetch", "shd", "--json")
    assert (code, err) == (0, "") and len(json.loads(out)["files"]) == 2
    code, out, err = run(capsys, "verify", "shd")
    assert (code, err) == (0, "") and "2 of 2 files are intact" in out
    code, out, err = run(capsys, "prepare", "shd", "--json")
    report = json.loads(out)
    assert (code, err) == (0, "") and len(report["unpacked"]) == 2
    assert [split["shape"] for split in report["splits"]] == [[2, 250, 700]] * 3
    assert "sequences of 250 steps" in run(capsys, "prepare", "shd")[1]
    (tmp_path / "data" / "shd" / "shd_test.h5.zip").unlink()
    assert "unpacked" in run(capsys, "verify", "shd", "--json")[1]
    (tmp_path / "data" / "shd" / "shd_train.h5.zip").write_bytes(
        zipped({"shd_train.h5": b"another"})
    )
    code, out, err = run(capsys, "verify", "shd")
    assert code == 1 and "wrong" in out and "srnn data fetch shd" in err
    code, out, err = run(capsys, "prepare", "shd")  # a sound archive, but not the one that is known
    assert code == 2 and "its checksum differs" in err and err.count("\n") == 1
    assert (tmp_path / "data" / "shd" / "shd_train.h5").stat().st_size > 100
    (tmp_path / "data" / "shd" / "shd_train.h5.zip").unlink()
    assert run(capsys, "verify", "shd")[0] == 0
    (tmp_path / "data" / "shd" / "shd_train.h5").write_bytes(b"junk")
    code, out, err = run(capsys, "verify", "shd")
    assert code == 1 and "wrong     shd_train.h5 (it was changed after" in out
    assert "srnn data fetch shd" in err


def test_what_is_printed_to_be_done_next_is_of_the_same_place(
    capsys: Capture, tmp_path: Path
) -> None:
    where = ("--data-dir", str(tmp_path / "a place"))
    place = f"--data-dir '{tmp_path}/a place'"
    assert f"fetch it: srnn data fetch mnist {place}" in run(capsys, "verify", "mnist", *where)[2]
    assert (
        f"get them first: srnn data fetch fsdd {place}" in run(capsys, "prepare", "fsdd", *where)[2]
    )
    (tmp_path / "a place" / "shd").mkdir(parents=True)
    (tmp_path / "a place" / "shd" / CATALOGUE["shd"].files[0].name).write_bytes(zipped({"x": b"1"}))
    assert (
        f"fetch it again: srnn data fetch shd {place}" in run(capsys, "prepare", "shd", *where)[2]
    )


def test_events_without_their_archives_are_opened(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
    layouts.write_shd(tmp_path)
    (tmp_path / "shd" / "shd_test.h5").write_bytes(b"junk")
    code, out, _ = run(capsys, "verify", "shd", "--data-dir", str(tmp_path))
    assert code == 1
    assert out.startswith("wrong     shd_test.h5 (cannot be read as recordings in HDF5")
    assert "1 of 2 files" in out


def test_recordings_are_counted_without_what_macos_hides_beside_them(
    capsys: Capture, tmp_path: Path
) -> None:
    layouts.write_spoken_digits(tmp_path)
    count = len(list((tmp_path / "fsdd" / "recordings").iterdir()))
    layouts.hide_beside(tmp_path)
    code, out, _ = run(capsys, "verify", "fsdd", "--data-dir", str(tmp_path))
    assert code == 1 and out.startswith(f"wrong     fsdd ({count} of 3,000 recordings are there)\n")


def test_a_part_of_the_official_test_set_is_not_all_of_it(capsys: Capture, tmp_path: Path) -> None:
    folder = tmp_path / CATALOGUE["speech-commands-test-v2"].folder
    for word in layouts.MINI:
        write_wav(folder / word / "0_nohash_0.wav", tone(0.1))
    code, out, _ = run(capsys, "verify", "speech-commands-test-v2", "--data-dir", str(tmp_path))
    assert code == 1
    assert out.startswith(f"wrong     {folder.name} (12 of 4,890 recordings are there)\n")
    states = {
        row["name"]: row["state"]
        for row in json.loads(run(capsys, "list", "--data-dir", str(tmp_path), "--json")[1])[
            "data_sets"
        ]
    }
    assert states["speech-commands-test-v2"] == "incomplete"


def pack_digits(root: Path) -> Path:
    """The archive of fsdd as it is fetched, with its recordings in it."""
    layouts.write_spoken_digits(root / "made")
    paths = sorted((root / "made" / "fsdd" / "recordings").iterdir())
    archive = root / "fsdd" / "fsdd.zip"
    archive.parent.mkdir()
    members = {f"top/recordings/{path.name}": path.read_bytes() for path in paths}
    for place, take in ((0, 0), (5, 5)):  # of the test split, and of validation
        members |= {
            f"top/recordings/{p.name[:-6]}{take}.wav": p.read_bytes()
            for p in paths[place : place + 2]
        }
    archive.write_bytes(zipped(members))
    return archive


def test_an_archive_by_another_name_is_to_be_unpacked_not_fetched_again(
    capsys: Capture, tmp_path: Path
) -> None:
    archive = pack_digits(tmp_path)
    archive = archive.rename(
        archive.with_name("free-spoken-digit-dataset-1.0.10.zip")
    )  # as a browser calls it
    where = ("--data-dir", str(tmp_path))
    code, _, err = run(capsys, "verify", "fsdd", *where)
    assert code == 1
    assert f"unpack the archives that are there, {archive.name}: srnn data prepare fsdd" in err
    assert run(capsys, "prepare", "fsdd", *where, "--json")[0] == 0
    assert (
        "fetch it: srnn data fetch fsdd" in run(capsys, "verify", "fsdd", *where)[2]
    )  # the rest of the recordings


def test_what_was_lost_is_unpacked_again_and_what_is_not_made_is_skipped(
    capsys: Capture, tmp_path: Path
) -> None:
    archive = pack_digits(tmp_path)
    where = ("--data-dir", str(tmp_path))
    code, out, err = run(capsys, "prepare", "fsdd", *where)
    assert (code, err) == (0, "") and "spoken-digits test: 2 sequences" in out
    (line,) = [line for line in out.splitlines() if "skipped" in line]
    assert (
        f"srnn data encode cochlea {archive.parent}/recordings --pattern "
        f"'{{label}}_{{speaker}}_{{index}}' --out" in line
    )
    report = json.loads(run(capsys, "prepare", "fsdd", "--json", *where)[1])
    assert report["unpacked"] == []
    assert [skip["task"] for skip in report["skipped"]] == ["spoken-digits-spikes"]

    for path in (archive.parent / "recordings").iterdir():
        path.unlink()
    code, out, err = run(capsys, "verify", "fsdd", *where)
    assert code == 1 and "srnn data prepare fsdd" in err
    code, out, err = run(capsys, "prepare", "fsdd", *where)
    assert (code, err) == (0, "") and f"unpacked {archive}" in out
    assert len(list(archive.parent.glob("*/*.wav"))) == 16


def test_archives_may_be_deleted_once_they_are_unpacked(capsys: Capture, tmp_path: Path) -> None:
    archive = pack_digits(tmp_path)
    where = ("--data-dir", str(tmp_path))
    assert run(capsys, "prepare", "fsdd", *where)[0] == 0
    archive.unlink()
    code, out, err = run(capsys, "verify", "fsdd", *where)
    assert (code, err) == (0, "") and "its 16 files are there, unpacked" in out
    code, out, err = run(capsys, "fetch", "fsdd", "--mirror", "http://127.0.0.1:9", *where)
    assert (code, err) == (0, "") and "files are there, unpacked" in out

    damaged = archive.parent / "recordings" / "3_george_10.wav"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    (archive.parent / "recordings" / "7_theo_10.wav").unlink()
    code, out, err = run(capsys, "verify", "fsdd", *where)
    assert code == 1 and out.splitlines()[:2] == [
        "missing   recordings/7_theo_10.wav", "wrong     recordings/3_george_10.wav (it was "
                                              "changed after it was unpacked)",
    ]  # fmt: skip
    for note in (archive.parent / ".cache").glob("*.unpacked"):
        note.unlink()  # the cache may be deleted at any time; then the sound itself tells
    damaged.write_bytes(b"RIFF")
    code, out, err = run(capsys, "verify", "fsdd", *where)
    assert code == 1 and "15 of 3,000 recordings" in out
    assert "wrong     recordings/3_george_10.wav" in out


def test_version_1_of_speech_commands_is_prepared(capsys: Capture, tmp_path: Path) -> None:
    code, out, err = run(capsys, "prepare", "speech-commands-v1", "--data-dir", str(tmp_path))
    assert code == 2 and "srnn data fetch speech-commands-v1" in err and out == ""
    layouts.write_speech_commands(tmp_path)
    lists = tmp_path / "speech_commands_v0.01"
    (lists / "testing_list.txt").write_text(
        "yes/00000001_nohash_0.wav\ncat/00000001_nohash_0.wav\n"
    )
    code, out, err = run(
        capsys, "prepare", "speech-commands-v1", "--data-dir", str(tmp_path), "--json"
    )
    assert (code, err) == (0, "")
    assert [split["task"] for split in json.loads(out)["splits"]] == ["gsc"] * 3
    assert list((lists / ".cache").glob("features-*"))


def test_what_only_its_owner_gives_is_looked_at(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
    where = ("--data-dir", str(tmp_path))
    code, out, err = run(capsys, "verify", "timit", *where)
    assert code == 1 and "missing   TRAIN" in out
    assert "buy it from the Linguistic Data Consortium" in err
    layouts.write_timit(tmp_path)
    code, out, _ = run(capsys, "verify", "timit", *where)
    assert code == 1 and "wrong     TRAIN (3 of its 462 speakers are there)" in out
    assert "wrong     TEST (" in out

    (tmp_path / "soli").mkdir()
    (tmp_path / "soli" / "file_half.json").write_text(
        json.dumps({"train": ["0_2_0"], "eval": ["1_2_0"]})
    )
    code, out, err = run(capsys, "verify", "soli", *where)
    assert code == 1 and "missing   GESTURE_SUBJECT_INSTANCE.h5" in out and "ask its authors" in err
    (tmp_path / "soli" / "0_2_0.h5").write_bytes(b"junk")
    code, out, _ = run(capsys, "verify", "soli", *where)
    assert code == 1 and "wrong     0_2_0.h5 (cannot be read as a Soli recording" in out
    assert "missing   1_2_0.h5" in out
    (tmp_path / "soli" / "file_half.json").write_text("[]")
    assert "wrong     file_half.json (is not a split" in run(capsys, "verify", "soli", *where)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare", "shd"], "srnn data fetch shd"),
        (["fetch", "mnist", "--mirror", "http://127.0.0.1:9"], "cannot be reached"),
    ],
)
def test_mistakes_are_one_line(
    capsys: Capture, tmp_path: Path, words: list[str], message: str
) -> None:
    code, out, err = run(capsys, *words, "--data-dir", str(tmp_path))
    assert code == 2 and out == "" and message in err and err.count("\n") == 1


def test_what_needs_nothing_says_so(capsys: Capture) -> None:
    assert "needs no download" in run(capsys, "fetch", "digits")[1]
    assert run(capsys, "verify", "digits")[0] == 0
