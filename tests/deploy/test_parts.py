"""Predictions of many recordings in a file: shared out, killed, continued, and refused."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import srnn
from srnn.cli.main import main
from srnn.deploy.parts import Shard
from srnn.files import only_writer
from support.commands import fails

Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.filterwarnings("default")  # noise is unlike an ECG, which is said


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = srnn.SRNN(2, [6], 3, norm="none")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    return srnn.from_network(net, ("a", "=b", "c,d"), loss="nll", rate=50).save(path)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine recordings in the folder ``data`` of the current one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "data" / "sub").mkdir(parents=True)
    for number in range(9):
        folder = "data/sub" if number % 3 == 0 else "data"
        np.save(tmp_path / folder / f"{number}.npy", rng.standard_normal((40 + number, 2)))
    return tmp_path


def predict(model: Path, *words: str) -> int:
    return main(["predict", str(model), *words])


def made(model: Path, *words: str) -> bytes:
    """The table that one whole run writes."""
    assert predict(model, *words, "--out", "whole.csv") == 0
    content = Path("whole.csv").read_bytes()
    Path("whole.csv").unlink()
    Path("whole.csv.journal").unlink()
    return content


@pytest.mark.parametrize("over_time", [[], ["--over-time"]])
def test_a_table_in_a_file_is_the_one_that_is_printed(
    model: Path, data: Path, over_time: list[str], capsys: Capture
) -> None:
    assert predict(model, "data", "--csv", *over_time) == 0
    printed = capsys.readouterr().out
    assert made(model, "data", *over_time).decode() == printed
    assert len(printed.splitlines()) == (1 + sum(range(40, 49)) if over_time else 10)


def test_shares_together_are_one_run_however_recordings_are_named(model: Path, data: Path) -> None:
    whole = made(model, "data").decode().splitlines()
    named = [str(path) for path in sorted(Path("data").rglob("*.npy"), reverse=True)]
    rows: list[str] = []
    for number in (1, 2, 3):
        shard = ["--shard", f"{number}/3"]
        first, *others = made(model, "data", *shard).decode().splitlines()
        assert sorted(made(model, *named, *shard).decode().splitlines()[1:]) == sorted(others)
        assert first == whole[0]
        rows += others
    assert sorted(rows) == sorted(whole[1:])


def test_a_recording_has_one_share_whatever_the_others_are() -> None:
    paths = [Path("data") / f"{number}.wav" for number in range(1000)]
    shares = [Shard(number, 7).of(paths) for number in range(1, 8)]
    assert sorted(path for share in shares for path in share) == sorted(paths)
    assert all(100 < len(share) < 190 for share in shares)
    assert Shard(3, 7).of(paths[500:]) == [path for path in shares[2] if path in paths[500:]]
    assert Shard.parse("1/1").of(paths) == paths
    # Written out: machines with other versions must agree.
    assert [path.stem for path in Shard(2, 5).of(paths[:20])] == ["2", "4"]
    for wrong in ("0/3", "4/3", "1", "1/0", "a/b", "1/3/5", "-1/3", "1.0/3", "", " 1/3"):
        with pytest.raises(srnn.SrnnError, match="I/N"):
            Shard.parse(wrong)


def test_an_empty_share_is_a_table_without_rows(model: Path, data: Path) -> None:
    held = Shard(1, 2).of([Path("data/1.npy")])
    words = ["data/1.npy", "--shard", "2/2" if held else "1/2"]
    assert made(model, *words) == b"file,label,confidence\n" and predict(model, *words) == 0


def test_a_finished_part_stays_and_one_that_was_removed_is_made_again(
    model: Path, data: Path, capsys: Capture
) -> None:
    part = Path("part.csv")
    assert predict(model, "data", "--out", "part.csv") == 0
    before = part.read_bytes(), part.stat().st_mtime_ns
    capsys.readouterr()
    shutil.rmtree("data/sub")  # of the same names, none is read again
    names = [f"data/{number}.npy" for number in (1, 2, 4, 5, 7, 8)]
    names += [f"data/sub/{number}.npy" for number in (0, 3, 6)]
    assert predict(model, *names, "--out", "part.csv") == 0
    assert capsys.readouterr().out == "part.csv was finished: 9 recordings\n"
    assert (part.read_bytes(), part.stat().st_mtime_ns) == before
    assert predict(model, *names, "--out", "part.csv", "--json") == 0
    told = {"out": "part.csv", "recordings": 9, "predicted": 0, "failed": {}}
    assert json.loads(capsys.readouterr().out) == told
    part.unlink()
    assert predict(model, *names, "--out", "part.csv") == 2
    assert len(part.read_text().splitlines()) == 7


def test_a_pattern_may_find_the_table_when_the_command_is_called_again(
    model: Path, data: Path, capsys: Capture
) -> None:
    for number in (1, 2):
        np.savetxt(f"{number}.csv", np.load(f"data/{number}.npy"), delimiter=",")
    for told in ("part.csv: 2 recordings\n", "part.csv was finished: 2 recordings\n"):
        named = sorted(str(path) for path in Path().glob("*.csv"))
        assert predict(model, *named, "--out", "part.csv") == 0
        assert capsys.readouterr().out == told


def test_two_processes_do_not_write_one_part(model: Path, data: Path, capsys: Capture) -> None:
    with only_writer(Path("part.csv")):
        assert predict(model, "data", "--out", "part.csv") == 2
    assert "is being written by another process" in capsys.readouterr().err


def test_what_cannot_be_read_is_told_again_and_ends_with_2(
    model: Path, data: Path, capsys: Capture
) -> None:
    Path("data/3.csv").write_text("1,2\n1,nan\nx,y\n")
    for told in ("part.csv: 9 recordings\n", "part.csv was finished: 9 recordings\n"):
        assert predict(model, "data", "--out", "part.csv") == 2
        printed = capsys.readouterr()
        assert printed.out == told and printed.err.count("srnn: ") == 1 and "3.csv" in printed.err
    rows = list(csv.DictReader(Path("part.csv").read_text().splitlines()))
    assert len(rows) == 9 and {row["label"] for row in rows} <= {"a", "'=b", "c,d"}


def test_a_part_of_something_else_is_refused(
    model: Path, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["data", "--out", "part.csv"]
    assert predict(model, *words) == 0
    other = tmp_path / "other.safetensors"
    srnn.from_network(srnn.SRNN(2, [5], 3), "abc", loss="nll", rate=50).save(other)
    before = Path("part.csv").read_bytes()
    for given, more, what in (
        (other, [], "another model"),
        (model, ["--over-time"], "other options"),
        (model, ["--rate", "100"], "other options"),
        (model, ["--shard", "1/2"], "other recordings"),
        (model, ["data/../data/1.npy"], "other recordings"),
    ):
        told = fails(capsys, "predict", given, *words, *more)
        assert f"part.csv was begun with {what};" in told and "part.csv.journal" in told
        assert Path("part.csv").read_bytes() == before


@pytest.mark.parametrize(("cut", "kept"), [(0, 0), (1, 0), (200, 0), (None, 4), (-2, 3), (-40, 3)])
def test_what_a_kill_leaves_is_continued_to_the_same_bytes(
    model: Path, data: Path, cut: int | None, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``cut``: where the journal of the first recordings ends; ``kept``: how many stay."""
    whole = made(model, "data", "--over-time")
    words = ["data", "--over-time", "--out", "part.csv"]
    predicted: list[Path] = []
    one = srnn.deploy.predicting.predict

    def counting(trained: object, file: Path, *rest: object) -> object:
        if len(predicted) == 4:
            raise KeyboardInterrupt
        predicted.append(file)
        return one(trained, file, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("srnn.deploy.predicting.predict", counting)
        assert predict(model, *words) == 130 and not Path("part.csv").exists()
    journal = Path("part.csv.journal")
    content = journal.read_bytes()[:cut]
    journal.write_bytes(content)
    assert predict(model, *words) == 0
    assert Path("part.csv").read_bytes() == whole
    assert max(content.count(b"\n") - 1, 0) == kept


def test_places_for_a_table(
    model: Path, data: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine.csv").write_text("my own\n")
    Path("odd.csv.journal").write_text("not a journal\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for out, what in (
        ("mine.csv", "mine.csv exists; choose another --out"),
        ("odd.csv", "odd.csv.journal cannot be read as the journal of a part"),
        ("part.txt", "NAME.csv or NAME.parquet, not part.txt"),
        ("part", "not part"),
        ("data/part.csv", "would be read as one of the recordings in data"),
        ("nowhere/part.csv", "the folder"),
        ("part.parquet", "Parquet needs pyarrow: pip install"),
    ):
        assert what in fails(capsys, "predict", model, "data", "--out", out)
    assert predict(model, "data", "--csv", "--out", "part.csv") == 2
    assert Path("mine.csv").read_text() == "my own\n"
    assert {path.name for path in Path().iterdir()} == {"data", "mine.csv", "odd.csv.journal"}


def test_parquet_has_the_rows_of_csv(model: Path, data: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    import pandas as pd

    head, *lines = csv.reader(made(model, "data", "--over-time").decode().splitlines())
    assert predict(model, "data", "--over-time", "--out", "part.parquet") == 0
    table = pd.read_parquet("part.parquet")
    assert [*table.columns] == head
    for row, line in zip(table.itertuples(index=False), lines, strict=True):
        assert [row.file, row.label] == [line[0], line[3]]
        assert [row.step, row.seconds, row.confidence] == [int(line[1]), *map(float, line[2::2])]


@pytest.mark.robust
@pytest.mark.parametrize("after", [1, 5])
def test_kill_9_in_the_middle_loses_nothing(model: Path, data: Path, after: int) -> None:
    rng = np.random.default_rng(1)
    for number in range(9, 60):
        np.save(f"data/{number}.npy", rng.standard_normal((4000, 2)))
    whole = made(model, "data", "--over-time")
    words = ["predict", str(model), "data", "--over-time", "--out", "part.csv"]
    command = [sys.executable, "-m", "srnn", *words]
    journal = Path("part.csv.journal")
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            if journal.read_bytes().count(b"\n") > after:
                break
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(20) == -signal.SIGKILL and not Path("part.csv").exists()
    assert after < journal.read_bytes().count(b"\n") < 61
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert Path("part.csv").read_bytes() == whole
    assert again.stdout == "part.csv: 60 recordings\n"
    assert "of 60 recordings are there, from before" in again.stderr
