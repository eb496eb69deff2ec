"""One writer a folder: the others are told who it is; a killed one's lock is gone, and what it left
is removed a day later."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from srnn.files import (
    FolderInUse,
    append_line,
    check_folder,
    check_writable,
    locked,
    locking,
    locks,
    only_writer,
    remove_leftovers,
    whole_file,
    whole_folder,
    write_atomically,
)
from srnn.files.unfinished import lock_beside, temporary_beside
from srnn.text import one_line
from srnn.training.loop import train
from srnn.training.runs import Run
from support.refusing import refuses
from support.tiny import TinyTask, tiny_recipe
from support.windows import files_of_windows

fcntl = pytest.importorskip("fcntl")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs flock and fork")


@contextmanager
def _another(code: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """A process that has run ``code`` (files is srnn.files, words are its arguments) and then
    waits; killed at the end."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom srnn import files\nwords = "
        f"sys.argv[1:]\n{code}\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


HOLD = "with files.locked(Path(words[0])):\n    print('ready', flush=True)\n    input()"


def test_a_second_process_is_told_who_has_the_folder_until_that_is_killed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    recipe = tiny_recipe("--training.epochs=1")
    train(recipe, run, task=TinyTask())
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with _another(HOLD, run) as child:
        for resume in (True, False):
            with pytest.raises(
                FolderInUse,
                match=rf"{run} is in use by process {child.pid} on .+ \(since 20.*another folder",
            ):
                train(recipe, run, task=TinyTask(), resume=resume)
        assert all(path.read_bytes() == content for path, content in before.items())
        assert (
            len(Run.open(run).epochs()) == 1 and Run.open(run).best.is_file()
        )  # readers need no lock
        child.kill()
        child.wait()
        assert (run / locking.NAME).is_file()  # the file stays, the lock does not
        assert train(recipe, run, task=TinyTask(), resume=True)["epochs"] == 1
    assert not (run / locking.NAME).exists()


NINE = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import lightning_fabric
from support.tiny import TinyTask, tiny_recipe
from srnn.files import FolderInUse
from srnn.training.loop import train

recipe, out = tiny_recipe("--training.epochs=10"), Path(sys.argv[1])
children = []
for _ in range(9):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            train(recipe, out, task=TinyTask(), resume=True)
            code = 0
        except FolderInUse:
            code = 3
        finally:
            os._exit(code)
    children.append(child)
print(sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.mark.robust
def test_of_nine_trainings_in_one_folder_none_harms_another(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        NINE.format(tests=str(Path(__file__).parents[1])),
        str(tmp_path / "run"),
    ]
    codes = json.loads(
        subprocess.run(command, check=True, timeout=200, capture_output=True, text=True).stdout
    )
    assert set(codes) <= {0, 3} and 3 in codes and 0 in codes
    assert [record["epoch"] for record in Run.open(tmp_path / "run").epochs()] == list(range(1, 11))
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 10


def test_a_thread_may_lock_again_what_it_holds_and_no_other_may(tmp_path: Path) -> None:
    with locked(tmp_path):
        with locked(tmp_path / "." / "inner" / ".."), locked(tmp_path):
            pass
        assert f"process {os.getpid()}" in refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_who_waits_gets_it(tmp_path: Path) -> None:
    held, got = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path):
            held.set()
            got.wait(0.1)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with locked(tmp_path, wait=60):  # the holder removes the lock's file between two looks
        got.set()
        assert (tmp_path / locking.NAME).exists()
    thread.join()


def test_a_process_that_was_forked_does_not_hold_what_its_parent_does(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from srnn.files import FolderInUse, locked
with locked(Path(sys.argv[1])):
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    try:
        with locked(Path(sys.argv[1])):
            os._exit(1)
    except FolderInUse:
        os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)


def test_who_holds_a_folder_is_said_whatever_was_in_the_lock(tmp_path: Path) -> None:
    (tmp_path / locking.NAME).write_text("x" * 2000)  # of a killed process
    with locked(tmp_path):
        assert (tmp_path / locking.NAME).read_text().startswith(f"process {os.getpid()} on ")
        for content, who in (("", "another process"), ("a\n\x1b[31m" + 500 * "b", "a.*b")):
            (tmp_path / locking.NAME).write_text(content)
            assert re.search(rf"is in use by {who}; wait", refused(tmp_path))


def refused(folder: Path) -> str:
    """What another thread is told that locks a folder."""
    said: list[str] = []

    def other() -> None:
        with pytest.raises(FolderInUse) as raised, locked(folder):
            pass
        said.append(str(raised.value))
        assert (raised.value.kind, raised.value.field) == ("resource", str(folder))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert "\n" not in said[0] and "\x1b" not in said[0] and len(said[0]) < 500
    return said[0]


@pytest.mark.skipif(os.name != "posix", reason="no pipes with names here")
@pytest.mark.parametrize("thing", ["link", "dangling", "pipe", "folder"])
def test_a_lock_is_a_file(thing: str, tmp_path: Path) -> None:
    """A pipe as a lock kept nobody out, and was removed."""
    (tmp_path / "kept").write_text("content")
    (tmp_path / "run").mkdir()
    for lock, hold in (
        (tmp_path / "run" / locking.NAME, lambda: locked(tmp_path / "run")),
        (lock_beside(tmp_path / "out.csv"), lambda: only_writer(tmp_path / "out.csv")),
    ):
        if thing == "pipe":
            os.mkfifo(lock)
        elif thing == "folder":
            lock.mkdir()
        else:
            lock.symlink_to(tmp_path / ("kept" if thing == "link" else "nothing"))
        with refuses(lock, "file"), hold():
            pass
        assert os.path.lexists(lock)
    assert (tmp_path / "kept").read_text() == "content" and not (tmp_path / "nothing").exists()


def test_a_function_holds_its_folder_where_it_is_asked_to_and_waits_for_it(tmp_path: Path) -> None:
    held, holds = threading.Event(), [True]

    @locks("out", wait=60, when=lambda: holds[0])
    def is_locked(other: int, out: Path) -> bool:
        held.set()
        return (out / locking.NAME).exists()

    with locked(tmp_path):
        thread = threading.Thread(target=is_locked, args=(1, tmp_path))
        thread.start()
        assert not held.wait(0.01)
    thread.join()
    assert held.is_set() and is_locked(2, out=tmp_path)
    holds[0] = False
    assert not is_locked(2, out=tmp_path)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    temporary_beside(tmp_path / "left").touch()
    os.utime(next(tmp_path.iterdir()), (0, 0))
    with whole_folder(tmp_path / "folder") as folder, whole_file(folder / "file") as file:
        file.write(b"1")
    append_line(tmp_path / "log", "1")
    with locked(tmp_path):
        refused(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "log"]
    assert len(os.listdir("/proc/self/fd")) <= before


def test_what_stays_empty_is_gone_again_and_bad_names_are_one_line(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["file"]
    (tmp_path / "link").symlink_to("nowhere")  # a folder in it was tried to be made for ever
    for name, kind in (
        ("x" * 300, "resource"),
        ("zero\0byte", "resource"),
        ("a/b/file", "file"),
        ("a/b/file/c", "file"),
        ("link/a", "file"),
        ("link", "file"),
    ):
        with refuses(one_line(str(tmp_path / name)), kind), locked(tmp_path / name):
            pass


def test_where_nothing_can_be_written_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as changed:
        changed.setattr(os, "access", lambda _, mode: not mode & os.X_OK)  # root may do anything
        with refuses(tmp_path / "a" / "b", "file"):
            check_writable(tmp_path / "a" / "b")
    with monkeypatch.context() as changed:  # of Windows: a drive that is not there
        for name in ("exists", "lexists"):
            changed.setattr(os.path, name, lambda _: False)
        check_folder(tmp_path / "new")  # which the next check refuses
        with refuses(tmp_path / "new", "missing"):
            check_writable(tmp_path / "new")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_on_the_file_system_that_is_said_and_work_goes_on(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(number, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.warns(RuntimeWarning, match="without file locks"), locked(tmp_path / "run"):
        (tmp_path / "run" / "file").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["file"]
    with pytest.warns(RuntimeWarning, match="without file locks"), only_writer(tmp_path / "file"):
        write_atomically(tmp_path / "file", b"content")


def test_a_disk_that_is_full_keeps_nobody_from_locking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with locked(tmp_path):
        assert "by another process" in refused(tmp_path)


def test_what_a_killed_writer_left_goes_a_day_later_and_what_is_being_written_stays(
    tmp_path: Path,
) -> None:
    code = (
        "with files.whole_file(Path(words[0]) / 'big') as file, files.whole_folder(Path(words[0]) "
        "/ 'folder') as folder:\n"
        "    file.write(b'half'); file.flush(); (folder / 'part').touch()\n"
        "    print('ready', flush=True)\n    input()"
    )
    foreign = tmp_path / ".someone-else.tmp"
    foreign.touch()
    os.utime(foreign, (0, 0))
    with _another(code, tmp_path) as child:
        assert len(list(tmp_path.iterdir())) == 3
        append_line(tmp_path / "log", "1")
        write_atomically(tmp_path / "first", b"whole")
        assert len(list(tmp_path.iterdir())) == 5
        child.kill()
        child.wait()
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 86401,) * 2)
    write_atomically(tmp_path / "second", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".someone-else.tmp",
        "first",
        "log",
        "second",
    ]


def test_who_alone_writes_a_folder_removes_at_once_what_was_left_there(tmp_path: Path) -> None:
    """Whenever that was: the clock may have been set back since."""
    for name in ("one", "other"):
        left = temporary_beside(tmp_path / name)
        left.touch()
        os.utime(left, (time.time() + 1e6, time.time() + 1e6))
    remove_leftovers(tmp_path, "one", age=0)
    assert [path.name.startswith(".other-") for path in tmp_path.iterdir()] == [True]
    remove_leftovers(tmp_path, age=0)
    assert list(tmp_path.iterdir()) == []


def test_on_windows_too_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files_of_windows(monkeypatch)
    left = temporary_beside(tmp_path / "file")
    left.touch()
    os.utime(left, (0, 0))
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as folder, whole_file(folder / "one") as file:
        file.write(b"1\n")
    for line in ("1", "2"):
        append_line(tmp_path / "log", line)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "out"]
    assert (tmp_path / "out" / "one").read_bytes() == b"1\n" and (
        tmp_path / "log"
    ).read_bytes() == b"1\n2\n"
