"""Folders that someone else has prepared: links that lead elsewhere, pipes, files that look like
ours.

Under a name that the program chose, a link is replaced and not followed, and a pipe is refused in
one line; nobody else's file is deleted. What the user named is written as named.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn import SrnnError, compiling
from srnn.cli.main import main
from srnn.data.datasets.cache import cached
from srnn.data.datasets.catalogue import DataFile
from srnn.data.datasets.fetch import download
from srnn.data.datasets.unpack import unpack_archives
from srnn.files.tensors import load_arrays
from srnn.studies.study import open_study
from srnn.training.loop import train
from srnn.training.runs import Run
from support.commands import fails
from support.loopback import Server, plain_network, server
from support.refusing import refuses
from support.runs import make_run
from support.sweeps import BASE, sweep_of, trials_in
from support.tiny import TinyTask, tiny_recipe

Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.robust

__all__ = ["plain_network", "server"]  # fixtures
pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
NOTES = ".notes-0123456789ab.tmp"
"""Another program's file; it looks as our unfinished ones once did."""
SECRET = b'{"epoch": 1}\n{"of": "someone else"}\n'


REPORT = ["report", "--no-exit", "--json", "--samples", "1"]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file that a link leads to."""
    path = tmp_path / "victim"
    path.write_bytes(SECRET)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# ---- report ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture
def own(tiny: Path, tmp_path: Path) -> Path:
    """A run of one's own."""
    return Path(shutil.copytree(tiny, tmp_path / "run"))


def test_a_report_replaces_a_link(own: Path, victim: Path) -> None:
    """It overwrote what the link led to."""
    (own / "report.html").symlink_to(victim)
    (own / NOTES).write_bytes(SECRET)
    assert main([*REPORT, str(own)]) == 0
    assert victim.read_bytes() == (own / NOTES).read_bytes() == SECRET
    assert not (own / "report.html").is_symlink() and b"<html" in (own / "report.html").read_bytes()


def test_a_report_goes_where_the_user_s_own_link_leads(own: Path, victim: Path) -> None:
    link = own.parent / "mine.html"
    link.symlink_to(victim)
    assert main([*REPORT, str(own), "--out", str(link)]) == 0
    assert link.is_symlink() and b"<html" in victim.read_bytes()


@pipes
@pytest.mark.parametrize(
    "name", ["report.html", "environment.json", "result.json", "exit-policy.json"]
)
def test_a_run_with_a_pipe_is_refused(own: Path, name: str, capsys: Capture) -> None:
    """The command waited for its other end for ever."""
    (own / name).unlink(missing_ok=True)
    os.mkfifo(own / name)
    assert "is a pipe or a device, not a file; remove it." in fails(capsys, "report", own)


@pipes
def test_a_page_beside_a_model_s_file_is_no_pipe(own: Path, capsys: Capture) -> None:
    os.mkfifo(own / "model.html")
    said = fails(capsys, "report", own / "model.safetensors")
    assert "model.html: it is a pipe or a device" in said


def test_a_comparison_replaces_a_link(
    own: Path, victim: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own.parent)
    Path("comparison.html").symlink_to(victim)
    shutil.copytree("run", "other")
    assert main(["report", "run", "other", "--no-exit", "--json"]) == 0
    assert victim.read_bytes() == SECRET and not Path("comparison.html").is_symlink()


# ---- train --resume --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after its first of two epochs, so to say, and beside it what it
    becomes."""
    folder = tmp_path_factory.mktemp("begun")
    train(tiny_recipe("--training.epochs=1"), folder / "run", task=TinyTask())
    shutil.copytree(folder / "run", folder / "whole")
    resume(folder / "whole")
    return folder


@pytest.fixture
def stopped(begun: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(begun / "run", tmp_path / "run"))


def resume(folder: Path) -> dict[str, Any]:
    recipe = folder / "recipe.yaml"
    text = recipe.read_text().replace("epochs: 1\n", "epochs: 2\n")
    recipe.unlink()
    recipe.write_text(text)
    return train(tiny_recipe("--training.epochs=2"), folder, task=TinyTask(), resume=True)


def without_times(folder: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key not in ("seconds", "samples_per_s")}
        for row in Run.open(folder).epochs()
    ]


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "result.json", "model.safetensors", "checkpoints/last.safetensors"]
)
def test_a_resumed_training_replaces_links(
    name: str, begun: Path, stopped: Path, tmp_path: Path
) -> None:
    """It truncated what a link behind metrics.jsonl led to, and appended to it."""
    victim = tmp_path / "victim"
    shutil.move(stopped / name, victim)
    before = victim.read_bytes()
    (stopped / name).symlink_to(victim)
    notes = [stopped / NOTES, stopped / "checkpoints" / NOTES]
    for note in notes:
        note.write_bytes(SECRET)
    resume(stopped)
    assert victim.read_bytes() == before and not (stopped / name).is_symlink()
    assert all(note.read_bytes() == SECRET for note in notes)
    assert without_times(stopped) == without_times(begun / "whole")
    for same in {"model.safetensors", "checkpoints/last.safetensors"} - {name}:
        ours, theirs = (load_arrays(folder / same)[0] for folder in (stopped, begun / "whole"))
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[tensor], theirs[tensor]) for tensor in ours)


def test_a_link_behind_metrics_may_lead_nowhere(stopped: Path, tmp_path: Path) -> None:
    (stopped / "metrics.jsonl").unlink()
    (stopped / "metrics.jsonl").symlink_to(tmp_path / "nowhere")
    resume(stopped)
    assert not (tmp_path / "nowhere").exists()
    assert [row["epoch"] for row in Run.open(stopped).epochs()] == [2]


@pipes
@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "environment.json", "result.json", "checkpoints/last.safetensors"]
)
def test_a_training_with_a_pipe_is_refused(name: str, stopped: Path) -> None:
    (stopped / name).unlink()
    os.mkfifo(stopped / name)
    with refuses(stopped / name, "file"):
        resume(stopped)


def test_a_linked_folder_of_checkpoints_is_refused(stopped: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(stopped / "checkpoints", elsewhere)
    (stopped / "checkpoints").symlink_to(elsewhere)
    before = contents(elsewhere)
    with pytest.raises(SrnnError, match="checkpoints is a link; move the folder itself there"):
        resume(stopped)
    assert contents(elsewhere) == before


def test_another_program_s_environment_is_not_taken_for_a_run(tmp_path: Path) -> None:
    """A run that was stopped before it had a recipe begins anew; its environment.json went
    first."""
    theirs = tmp_path / "environment.json"
    theirs.write_text('{"api": "https://example.org"}')
    with pytest.raises(SrnnError, match="holds no run to resume"):
        train(tiny_recipe("--training.epochs=1"), tmp_path, task=TinyTask(), resume=True)
    assert contents(tmp_path) == {"environment.json": b'{"api": "https://example.org"}'}


# ---- exports ---------------------------------------------------------------------------------------------------------


def test_exports_delete_nothing_beside_them(own: Path) -> None:
    pytest.importorskip("onnx")
    place = own.parent / "exports"
    place.mkdir()
    for name in (NOTES, ".c-0123456789ab.tmp", ".net.onnx-0123456789ab.tmp"):
        (place / name).write_bytes(SECRET)
    before = contents(place)
    for kind, name in (("c", "c"), ("onnx", "net.onnx")):
        assert main(["export", kind, str(own), "--out", str(place / name), "--json"]) == 0
    assert before.items() <= contents(place).items() and (place / "net.onnx").is_file()


@pipes
def test_an_export_goes_into_the_user_s_own_pipe(own: Path) -> None:
    pytest.importorskip("nir")
    pipe, out, read = own.parent / "pipe", own.parent / "n.nir", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    words = ["export", "nir", str(own), "--out", str(out), "--dt", "0.001", "--json"]
    assert main([*words, "--report", str(pipe)]) == 0
    reader.join(20)
    assert json.loads(read[0])["out"].endswith("n.nir") and pipe.is_fifo()


# ---- caches ----------------------------------------------------------------------------------------------------------


def use_cache(folder: Path) -> float:
    def arrays() -> dict[str, np.ndarray]:
        return {"x": np.arange(5.0)}

    source = folder / "source"
    source.touch()
    os.utime(source, (1e9, 1e9))
    place = folder / ".cache"
    return float(cached(place, "a", {"v": 1}, [source], arrays, lambda found: found["x"].sum()))


def test_a_cache_replaces_a_link_and_refuses_a_pipe(tmp_path: Path, victim: Path) -> None:
    assert use_cache(tmp_path) == 10
    (kept,) = (tmp_path / ".cache").iterdir()
    size = kept.stat().st_size
    kept.unlink()
    kept.symlink_to(victim)
    (kept.parent / NOTES).write_bytes(SECRET)
    assert use_cache(tmp_path) == 10
    assert victim.read_bytes() == (kept.parent / NOTES).read_bytes() == SECRET
    assert not kept.is_symlink() and kept.stat().st_size == size
    if hasattr(os, "mkfifo"):
        kept.unlink()
        os.mkfifo(kept)
        with refuses(kept, "file"):
            use_cache(tmp_path)


def _add(a: float, b: float) -> float:
    return a + b


@pipes
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_cache_of_compiled_loops_replaces_a_link_and_does_without_a_pipe(
    kind: str, tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    monkeypatch.setattr(compiling, "_fingerprint", lambda value: "the same")
    assert compiling.compiled(_add)(3.0, 4.0) == 7
    (kept,) = (tmp_path / "numba" / "srnn").iterdir()
    kept.unlink()
    compiling._say.cache_clear()
    if kind == "link":
        kept.symlink_to(victim)
        assert compiling.compiled(_add)(3.0, 4.0) == 7
        assert victim.read_bytes() == SECRET and not kept.is_symlink()
    else:
        os.mkfifo(kept)
        with pytest.warns(RuntimeWarning, match="is not kept"):
            assert compiling.compiled(_add)(3.0, 4.0) == 7
        assert kept.is_fifo()


@pipes
def test_a_note_of_what_was_unpacked_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("one.txt", "1")
    (tmp_path / NOTES).write_bytes(SECRET)
    assert len(unpack_archives(tmp_path)) == 1
    assert (tmp_path / NOTES).read_bytes() == SECRET
    (note,) = (tmp_path / ".cache").iterdir()
    note.unlink()
    os.mkfifo(note)
    with refuses(note, "file"):
        unpack_archives(tmp_path)


@pipes
@pytest.mark.usefixtures("plain_network")
def test_an_unfinished_download_replaces_a_link_and_refuses_a_pipe(
    tmp_path: Path, victim: Path, server: Server
) -> None:
    server.files["/source"] = b"12345"
    place = tmp_path / "place"
    place.mkdir()
    (place / "data.part").symlink_to(victim)
    file = DataFile("data", "", bytes=5)
    download(f"{server.url}/source", place / "data", file)
    assert (place / "data").read_bytes() == b"12345" and victim.read_bytes() == SECRET
    (place / "data").unlink()
    os.mkfifo(place / "data.part")
    with refuses(place / "data.part", "file"):
        download(f"{server.url}/source", place / "data", file)


# ---- sweeps ----------------------------------------------------------------------------------------------------------


def test_a_sweep_s_journal_replaces_a_link_and_refuses_a_pipe(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    trials = "trials: 2\nparameters: {training.batch_size: [16, 32]}\n"
    sweep = sweep_of(tmp_path, BASE + "sampler: {name: random, seed: 7}\n" + trials)
    victim, journal = tmp_path / "victim", tmp_path / "second" / "study" / "journal.log"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optuna says that journals are experimental
        assert open_study(trials_in(sweep, tmp_path / "first")) is not None
        before = (tmp_path / "first" / "study" / "journal.log").read_bytes()
        victim.write_bytes(before)
        journal.parent.mkdir(parents=True)
        journal.symlink_to(victim)
        assert open_study(trials_in(sweep, tmp_path / "second")) is not None
        assert before and victim.read_bytes() == before and not journal.is_symlink()
        assert journal.read_bytes().startswith(before)
        if hasattr(os, "mkfifo"):
            journal.unlink()
            os.mkfifo(journal)
            with refuses(journal, "file"):
                open_study(trials_in(sweep, tmp_path / "second"))
