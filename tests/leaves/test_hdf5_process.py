"""The process that reads HDF5 files: its limits and memory, its end when idle, crashes, forks, and its successors."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from srnn import SrnnError
from srnn.data.datasets.shd import read_recordings
from srnn.data.encoders import EventBinning
from srnn.files import hdf5
from srnn.files.hdf5 import open_hdf5
from support.hdf5_files import ENDLESS, external, read_x, write

unix = pytest.mark.skipif(sys.platform == "win32", reason="without limits for processes")


@pytest.fixture(scope="module", autouse=True)
def _no_process_of_others() -> Any:
    """Limits that a test has changed are not those of a process that others use."""
    yield
    hdf5._end_idle()


@unix
def test_the_process_can_open_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a check be missing or HDF5 find another way: the kernel does not open a second file."""
    from srnn.files import hdf5_reader

    script = tmp_path / "unchecked.py"
    source = Path(hdf5_reader.__file__).read_text(encoding="utf-8")
    script.write_text(source.replace("_check(name, item)\n        return", "return"), encoding="utf-8")
    assert script.read_text() != source
    monkeypatch.setattr(hdf5, "_SCRIPT", script)
    hdf5._end_idle()
    path = write(tmp_path / "a.h5", external)
    with pytest.raises(SrnnError, match="open"), open_hdf5(path, "arrays") as file:
        file["x"].read()
    hdf5._end_idle()


MACOS = """
import resource, runpy, sys, h5py, numpy
sys.platform, get, set = "darwin", resource.getrlimit, resource.setrlimit

def limits(what):
    return (256, resource.RLIM_INFINITY) if what == resource.RLIMIT_NOFILE else get(what)

def limit(what, pair):
    if what == resource.RLIMIT_AS or what == resource.RLIMIT_NOFILE and pair[0] == resource.RLIM_INFINITY:
        raise ValueError("current limit exceeds maximum limit")
    set(what, (pair[0], get(what)[1]))

resource.getrlimit, resource.setrlimit = limits, limit
runpy.run_path({script!r}, run_name="__main__")
"""


@unix
def test_limits_that_macos_refuses_are_no_part_of_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes neither as many files as its hard limit, which is infinite, nor less memory than it has reserved."""
    script = tmp_path / "macos.py"
    script.write_text(MACOS.format(script=str(hdf5._SCRIPT)), encoding="utf-8")
    monkeypatch.setattr(hdf5, "_SCRIPT", script)
    hdf5._end_idle()
    path = write(tmp_path / "a.h5", x=np.arange(3))
    for _ in range(2):
        with open_hdf5(path, "arrays") as file:
            assert file["x"].read().tolist() == [0, 1, 2]
    hdf5._end_idle()


@unix
def test_the_process_ends_when_it_is_idle_but_not_while_a_file_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads may be slow, or have been suspended."""
    from srnn.files import hdf5_reader

    script = tmp_path / "impatient.py"
    script.write_text(
        Path(hdf5_reader.__file__).read_text(encoding="utf-8").replace("IDLE = 20", "IDLE = 1"), encoding="utf-8"
    )
    monkeypatch.setattr(hdf5, "_SCRIPT", script)
    hdf5._end_idle()
    path = write(tmp_path / "a.h5", x=np.arange(3))
    with open_hdf5(path, "arrays") as file:
        time.sleep(1.5)
        assert file["x"].read().tolist() == [0, 1, 2]
    (process,) = hdf5._idle
    assert process._process.wait(10) == -signal.SIGALRM
    with open_hdf5(path, "arrays") as file:
        assert "x" in file
    hdf5._end_idle()


@unix
def test_a_file_that_hdf5_reads_for_ever_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "CPU_SECONDS", 0.3)
    with pytest.raises(SrnnError, match=r"endless\.h5 cannot be read as .*(reading it takes more than 0\.3 s|crash)"):
        read_recordings(ENDLESS, EventBinning(), 3)
    assert len(read_x(write(tmp_path / "good.h5", x=np.arange(3)))) == 3  # by another process


@unix
@pytest.mark.parametrize("number", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_crash_in_hdf5_is_one_line_and_the_next_file_is_read(tmp_path: Path, number: str) -> None:
    path = write(tmp_path / "a.h5", x=np.arange(3))
    with (
        pytest.raises(SrnnError, match=f"a.h5 cannot be read as arrays .*crashes on it: {number}"),
        open_hdf5(path, "arrays") as file,
    ):
        os.kill(file.process._process.pid, getattr(signal, number))
        file["x"].read()
    assert len(read_x(path)) == 3


@unix
def test_a_process_that_has_ended_while_idle_is_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", x=np.arange(3))
    read_x(path)
    (idle,) = hdf5._idle
    os.kill(idle._process.pid, signal.SIGALRM)  # what ends it when nobody asks
    assert len(read_x(path)) == 3
    assert hdf5._idle and hdf5._idle[0] is not idle


def test_a_fork_leaves_the_processes_of_its_parent_alone(tmp_path: Path) -> None:
    read_x(write(tmp_path / "a.h5", x=np.arange(3)))
    (idle,) = hdf5._idle
    hdf5._forget_idle()  # as after a fork
    assert hdf5._idle == [] and idle._process.returncode == 0  # nobody waits for it, or warns that it runs
    idle._process.returncode = None
    idle.end()


@unix
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not limit memory")
def test_the_process_takes_no_more_memory_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.h5", lambda file: file.create_dataset("x", (2**25,), "u1", chunks=(2**25,)))
    monkeypatch.setattr(hdf5, "_MEMORY", 2**20)
    hdf5._end_idle()
    with pytest.raises(SrnnError, match=r"a\.h5 cannot be read as arrays"), open_hdf5(path, "arrays") as file:
        file["x"].read()
    hdf5._end_idle()


def test_limits_are_within_those_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    from srnn.files import hdf5_reader

    made = list[Any]()
    for hard in (-1, 50, 200):
        told = SimpleNamespace(
            RLIM_INFINITY=-1, getrlimit=lambda _, hard=hard: (9, hard), setrlimit=lambda *given: made.append(given)
        )
        monkeypatch.setattr(hdf5_reader, "resource", told)
        hdf5_reader._limit(7, 100)
    assert made == [(7, (100, -1)), (7, (50, 50)), (7, (100, 200))]


def test_two_files_at_once_and_one_process_after_another(tmp_path: Path) -> None:
    a, b = (write(tmp_path / f"{n}.h5", x=np.arange(n)) for n in (3, 4))
    with open_hdf5(a, "arrays") as one, open_hdf5(b, "arrays") as two:
        assert (len(one["x"].read()), len(two["x"].read()), len(one["x"].read())) == (3, 4, 3)
        used = {one.process, two.process}
    assert len(used) == 2
    with open_hdf5(a, "arrays") as again:
        assert again.process in used
