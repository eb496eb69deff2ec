"""srnn data, as people and programs call it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loopback import Server, md5, plain_network, server, zipped
from srnn.cli import main
from srnn.datasets.catalogue import CATALOGUE

__all__ = ["plain_network", "server"]  # fixtures
pytestmark = pytest.mark.usefixtures("plain_network")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["data", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_list_and_info(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "x").write_text("")
    code, out, err = run(capsys, "list", "--data-dir", str(tmp_path), "--json")
    states = {row["name"]: row["state"] for row in json.loads(out)["data_sets"]}
    assert (code, err) == (0, "") and set(states) == set(CATALOGUE)
    assert (states["mnist"], states["shd"], states["soli"], states["digits"]) == (
        "there", "missing", "ask for it", "built in",
    )  # fmt: skip
    assert "MNIST" in run(capsys)[1]
    for name in CATALOGUE:
        code, out, _ = run(capsys, "info", name, "--data-dir", str(tmp_path), "--json")
        assert code == 0 and json.loads(out)["folder"].startswith(str(tmp_path))
        assert CATALOGUE[name].licence in run(capsys, "info", name)[1]


def test_fetch_verify_prepare(
    capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
    contents = {}
    for part, speakers in (("train", [0, 1, 2, 3]), ("test", [4, 5])):
        path = tmp_path / f"shd_{part}.h5"
        with h5py.File(path, "w") as file:
            for name, kind in (("times", np.float16), ("units", np.uint16)):
                rows = file.create_dataset(f"spikes/{name}", (len(speakers),), h5py.vlen_dtype(kind))
                for index in range(len(speakers)):
                    rows[index] = np.array([0, index], kind)
            file["labels"], file["extra/speaker"] = np.array(speakers), np.array(speakers)
        contents[f"shd_{part}.h5.zip"] = zipped({path.name: path.read_bytes()})
    server.files = {f"/mirror/shd/{name}": content for name, content in contents.items()}
    files = tuple(replace(file, checksum=md5(contents[file.name])) for file in CATALOGUE["shd"].files)
    entry = replace(CATALOGUE["shd"], files=files)
    monkeypatch.setattr("srnn.datasets.catalogue.find_data_set", lambda _: entry)
    monkeypatch.setenv("SRNN_MIRROR", f"{server.url}/mirror")
    monkeypatch.setenv("SRNN_DATA", str(tmp_path / "data"))

    assert run(capsys, "verify", "shd", "--json")[0] == 1
    code, out, err = run(capsys, "fetch", "shd", "--json")
    assert (code, err) == (0, "") and len(json.loads(out)["files"]) == 2
    code, out, err = run(capsys, "verify", "shd")
    assert (code, err) == (0, "") and "2 of 2 files are right" in out
    code, out, err = run(capsys, "prepare", "shd", "--json")
    report = json.loads(out)
    assert (code, err) == (0, "") and len(report["unpacked"]) == 2
    assert [split["shape"] for split in report["splits"]] == [[2, 250, 700]] * 3
    assert "sequences of 250 steps" in run(capsys, "prepare", "shd")[1]
    (tmp_path / "data" / "shd" / "shd_test.h5.zip").unlink()
    assert "unpacked" in run(capsys, "verify", "shd", "--json")[1]
    (tmp_path / "data" / "shd" / "shd_train.h5.zip").write_bytes(b"x")
    code, out, err = run(capsys, "verify", "shd")
    assert code == 1 and "wrong" in out and "srnn data fetch shd" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fetch", "timit"], "buy it from the Linguistic Data Consortium"),
        (["info"], "Which data set?"),
        (["list", "mnist"], "srnn data info mnist"),
        (["info", "mnits"], "Did you mean 'mnist'?"),
        (["verify", "mnist", "--force"], "--force has no meaning"),
        (["prepare", "shd"], "srnn data fetch shd"),
        (["fetch", "mnist", "--mirror", "http://127.0.0.1:9"], "cannot be reached"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    code, out, err = run(capsys, *words, "--data-dir", str(tmp_path))
    assert code == 2 and out == "" and message in err and err.count("\n") == 1


def test_what_needs_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "needs no download" in run(capsys, "fetch", "digits")[1]
    assert run(capsys, "verify", "digits")[0] == 0
