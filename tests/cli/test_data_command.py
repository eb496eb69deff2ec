"""srnn data, as people and programs call it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
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


Command = Callable[..., tuple[int, str, str]]

__all__ = ["plain_network", "server"]  # fixtures
pytestmark = pytest.mark.usefixtures("plain_network")


def run(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = main(["data", *words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def srnn_data(tmp_path: Path, capsys: Capture) -> Command:
    """``srnn data WORDS --data-dir`` of an empty folder: exit code, output and errors."""

    def call(*words: str) -> tuple[int, str, str]:
        code = main(["data", *words, "--data-dir", str(tmp_path)])
        return code, *capsys.readouterr()

    return call


def states(found: tuple[int, str, str]) -> dict[str, str]:
    assert (found[0], found[2]) == (0, "")
    return {row["name"]: row["state"] for row in json.loads(found[1])["data_sets"]}


def test_list_and_info(srnn_data: Command, tmp_path: Path, capsys: Capture) -> None:
    layouts.write_spoken_digits(tmp_path)
    for name in ("mnist", "shd", "ssc", "timit/TRAIN", "timit/TEST", "qtdb/paper_split"):
        (tmp_path / name).mkdir(parents=True)
    for file in CATALOGUE["mnist"].files:
        (tmp_path / "mnist" / file.name).write_bytes(gzip.compress(b"1"))
    (tmp_path / "shd" / "shd_train.h5.zip").write_text("junk")
    (tmp_path / "qtdb" / "paper_split" / "QTDB_train.mat").write_text("1")
    for file in CATALOGUE["ssc"].files:
        (tmp_path / "ssc" / file.name).write_bytes(zipped({"x": b"1"}))
    expected = {
        "mnist": "there", "ssc": "packed", "shd": "incomplete", "fsdd": "incomplete", "timit": "incomplete",
        "qtdb": "there", "soli": "ask for it", "digits": "built in",
    }  # fmt: skip
    found = states(srnn_data("list", "--json"))
    assert set(found) == set(CATALOGUE) and {name: found[name] for name in expected} == expected
    assert "MNIST" in run(capsys)[1]
    for name in CATALOGUE:
        code, out, _ = srnn_data("info", name, "--json")
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
                spikes = h5py.vlen_dtype(kind)
                rows = file.create_dataset(f"spikes/{name}", (len(speakers),), spikes)
                for index in range(len(speakers)):
                    rows[index] = np.array([0, index], kind)
            file["labels"], file["extra/speaker"] = np.array(speakers), np.array(speakers)
        contents[f"shd_{part}.h5.zip"] = zipped({path.name: path.read_bytes()})
    server.files = {f"/mirror/shd/{name}": content for name, content in contents.items()}
    shd = CATALOGUE["shd"]
    files = tuple(replace(file, checksum=md5(contents[file.name])) for file in shd.files)
    entry = replace(shd, files=files)
    monkeypatch.setattr("srnn.data.datasets.catalogue.find_data_set", lambda _: entry)
    monkeypatch.setenv("SRNN_MIRROR", f"{server.url}/mirror")
    monkeypatch.setenv("SRNN_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "shd"

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
    (folder / "shd_test.h5.zip").unlink()
    assert "unpacked" in run(capsys, "verify", "shd", "--json")[1]
    (folder / "shd_train.h5.zip").write_bytes(zipped({"shd_train.h5": b"another"}))
    code, out, err = run(capsys, "verify", "shd")
    assert code == 1 and "wrong" in out and "srnn data fetch shd" in err
    code, out, err = run(capsys, "prepare", "shd")  # a sound archive, but not the one that is known
    assert code == 2 and "its checksum differs" in err and err.count("\n") == 1
    assert (folder / "shd_train.h5").stat().st_size > 100
    (folder / "shd_train.h5.zip").unlink()
    assert run(capsys, "verify", "shd")[0] == 0
    (folder / "shd_train.h5").write_bytes(b"junk")
    code, out, err = run(capsys, "verify", "shd")
    assert code == 1 and "wrong     shd_train.h5 (it was changed after" in out
    assert "srnn data fetch shd" in err


def test_what_is_printed_to_be_done_next_is_of_the_same_place(
    capsys: Capture, tmp_path: Path
) -> None:
    folder = tmp_path / "a place"
    (folder / "shd").mkdir(parents=True)
    (folder / "shd" / CATALOGUE["shd"].files[0].name).write_bytes(zipped({"x": b"1"}))
    for command, name in (("verify", "mnist"), ("prepare", "fsdd"), ("prepare", "shd")):
        _, _, err = run(capsys, command, name, "--data-dir", str(folder))
        assert f": srnn data fetch {name} --data-dir '{folder}'" in err


def test_events_without_their_archives_are_opened(srnn_data: Command, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
    layouts.write_shd(tmp_path)
    (tmp_path / "shd" / "shd_test.h5").write_bytes(b"junk")
    code, out, _ = srnn_data("verify", "shd")
    assert code == 1 and out.startswith("wrong     shd_test.h5 (cannot be read as recordings")
    assert "1 of 2 files" in out


def test_recordings_are_counted(srnn_data: Command, tmp_path: Path) -> None:
    """Without what macOS hides beside them; a part of a test set is not all of it."""
    layouts.write_spoken_digits(tmp_path)
    count = len(list((tmp_path / "fsdd" / "recordings").iterdir()))
    layouts.hide_beside(tmp_path)
    code, out, _ = srnn_data("verify", "fsdd")
    assert code == 1 and out.startswith(f"wrong     fsdd ({count} of 3,000 recordings are there)\n")
    folder = tmp_path / CATALOGUE["speech-commands-test-v2"].folder
    for word in layouts.MINI:
        write_wav(folder / word / "0_nohash_0.wav", tone(0.1))
    code, out, _ = srnn_data("verify", "speech-commands-test-v2")
    assert code == 1 and "(12 of 4,890 recordings are there)" in out
    assert states(srnn_data("list", "--json"))["speech-commands-test-v2"] == "incomplete"


def pack_digits(root: Path) -> Path:
    """The archive of fsdd as it is fetched, with its recordings in it."""
    layouts.write_spoken_digits(root / "made")
    paths = sorted((root / "made" / "fsdd" / "recordings").iterdir())
    members = {f"top/recordings/{path.name}": path.read_bytes() for path in paths}
    for place, take in ((0, 0), (5, 5)):  # of the test split, and of validation
        for path in paths[place : place + 2]:
            members[f"top/recordings/{path.name[:-6]}{take}.wav"] = path.read_bytes()
    archive = root / "fsdd" / "fsdd.zip"
    archive.parent.mkdir()
    archive.write_bytes(zipped(members))
    return archive


def test_an_archive_by_another_name_is_to_be_unpacked_not_fetched_again(
    srnn_data: Command, tmp_path: Path
) -> None:
    archive = pack_digits(tmp_path)
    # As a browser calls it.
    archive = archive.rename(archive.with_name("free-spoken-digit-dataset-1.0.10.zip"))
    code, _, err = srnn_data("verify", "fsdd")
    assert code == 1 and f"that are there, {archive.name}: srnn data prepare fsdd" in err
    assert srnn_data("prepare", "fsdd", "--json")[0] == 0
    assert "fetch it: srnn data fetch fsdd" in srnn_data("verify", "fsdd")[2]  # the rest of it


def test_what_was_lost_is_unpacked_again_and_what_is_not_made_is_skipped(
    srnn_data: Command, tmp_path: Path
) -> None:
    archive = pack_digits(tmp_path)
    code, out, err = srnn_data("prepare", "fsdd")
    assert (code, err) == (0, "") and "spoken-digits test: 2 sequences" in out
    (line,) = [line for line in out.splitlines() if "skipped" in line]
    assert f"srnn data encode cochlea {archive.parent}/recordings --pattern " in line
    report = json.loads(srnn_data("prepare", "fsdd", "--json")[1])
    assert report["unpacked"] == []
    assert [skip["task"] for skip in report["skipped"]] == ["spoken-digits-spikes"]

    for path in (archive.parent / "recordings").iterdir():
        path.unlink()
    code, _, err = srnn_data("verify", "fsdd")
    assert code == 1 and "srnn data prepare fsdd" in err
    code, out, err = srnn_data("prepare", "fsdd")
    assert (code, err) == (0, "") and f"unpacked {archive}" in out
    assert len(list(archive.parent.glob("*/*.wav"))) == 16


def test_archives_may_be_deleted_once_they_are_unpacked(srnn_data: Command, tmp_path: Path) -> None:
    archive = pack_digits(tmp_path)
    assert srnn_data("prepare", "fsdd")[0] == 0
    archive.unlink()
    code, out, err = srnn_data("verify", "fsdd")
    assert (code, err) == (0, "") and "its 16 files are there, unpacked" in out
    code, out, err = srnn_data("fetch", "fsdd", "--mirror", "http://127.0.0.1:9")
    assert (code, err) == (0, "") and "files are there, unpacked" in out

    damaged = archive.parent / "recordings" / "3_george_10.wav"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    (archive.parent / "recordings" / "7_theo_10.wav").unlink()
    code, out, _ = srnn_data("verify", "fsdd")
    missing, wrong, *_ = out.splitlines()
    assert code == 1 and missing == "missing   recordings/7_theo_10.wav"
    assert wrong.startswith("wrong     recordings/3_george_10.wav (it was changed after")
    for note in (archive.parent / ".cache").glob("*.unpacked"):
        note.unlink()  # the cache may be deleted at any time; then the sound itself tells
    damaged.write_bytes(b"RIFF")
    code, out, _ = srnn_data("verify", "fsdd")
    assert code == 1 and "15 of 3,000 recordings" in out
    assert "wrong     recordings/3_george_10.wav" in out


def test_version_1_of_speech_commands_is_prepared(srnn_data: Command, tmp_path: Path) -> None:
    code, out, err = srnn_data("prepare", "speech-commands-v1")
    assert code == 2 and "srnn data fetch speech-commands-v1" in err and out == ""
    layouts.write_speech_commands(tmp_path)
    lists = tmp_path / "speech_commands_v0.01"
    names = [f"{word}/00000001_nohash_0.wav\n" for word in ("yes", "cat")]
    (lists / "testing_list.txt").write_text("".join(names))
    code, out, err = srnn_data("prepare", "speech-commands-v1", "--json")
    assert (code, err) == (0, "")
    assert [split["task"] for split in json.loads(out)["splits"]] == ["gsc"] * 3
    assert list((lists / ".cache").glob("features-*"))


def test_what_only_its_owner_gives_is_looked_at(srnn_data: Command, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")

    def verified(name: str, *said: str) -> None:
        code, out, err = srnn_data("verify", name)
        assert code == 1 and all(one in out + err for one in said), out + err

    verified("timit", "missing   TRAIN", "buy it from the Linguistic Data Consortium")
    layouts.write_timit(tmp_path)
    verified("timit", "wrong     TRAIN (3 of its 462 speakers are there)", "wrong     TEST (")
    split = tmp_path / "soli" / "file_half.json"
    split.parent.mkdir()
    split.write_text(json.dumps({"train": ["0_2_0"], "eval": ["1_2_0"]}))
    verified("soli", "missing   GESTURE_SUBJECT_INSTANCE.h5", "ask its authors")
    (split.parent / "0_2_0.h5").write_bytes(b"junk")
    verified("soli", "wrong     0_2_0.h5 (cannot be read as a Soli", "missing   1_2_0.h5")
    split.write_text("[]")
    verified("soli", "wrong     file_half.json (is not a split")


def test_mistakes_are_one_line(srnn_data: Command) -> None:
    code, out, err = srnn_data("fetch", "mnist", "--mirror", "http://127.0.0.1:9")
    assert code == 2 and out == "" and "cannot be reached" in err and err.count("\n") == 1


def test_what_needs_nothing_says_so(capsys: Capture) -> None:
    assert "needs no download" in run(capsys, "fetch", "digits")[1]
    assert run(capsys, "verify", "digits")[0] == 0
