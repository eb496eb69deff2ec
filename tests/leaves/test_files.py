"""The room of files: what cannot be read is one line that names the file; what is written is there
whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import srnn
from srnn import SrnnError
from srnn.files import (
    append_line,
    check_files,
    check_regular,
    cut_lines,
    files_in,
    only_writer,
    parse_json,
    read_bytes,
    read_json,
    read_json_lines,
    reading,
    remove_leftovers,
    whole_file,
    whole_folder,
    write_atomically,
)
from srnn.files.unfinished import lock_beside, temporary_beside
from srnn.text import one_line
from support.refusing import refuses

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1, 2",
        '"\\ud800',
        "1" * 5000,
        "nonsense",
        "[" * 100_000,
        '{"a":' * 3000 + "1" + "}" * 3000,
        b"\xff\xfe{}",
    ],
)
def test_what_is_no_json_is_one_line(text: str | bytes) -> None:
    with pytest.raises(SrnnError) as caught:
        parse_json(text, "a file", "a result")
    assert (caught.value.kind, caught.value.field) == ("file", "a file")
    assert len(str(caught.value)) < 400


def test_a_file_at_its_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert read_bytes(path, "a note", 5) == b"12345"
    path.write_bytes(b"123456")
    with refuses(path, "file"):
        read_bytes(path, "a note", 5)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
def test_a_device_without_an_end_is_not_read() -> None:
    with refuses("/dev/zero", "file"):
        read_bytes(Path("/dev/zero"), "a note", 1000)


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    for name, kind, why in (
        ("", "file", " is a folder"),
        ("missing", "missing", "missing was not found"),
        ("link", "missing", "link is a link that leads nowhere"),
        ("x" * 300, "file", "cannot be read: File name too long"),
        ("zero\0byte", "file", "cannot be read: embedded null byte"),
    ):
        with pytest.raises(SrnnError, match=why) as caught:
            read_json(tmp_path / name)
        assert (caught.value.kind, caught.value.field) == (kind, one_line(str(tmp_path / name)))
        with pytest.raises(SrnnError) as direct:
            check_regular(tmp_path / name)
        assert str(caught.value) == str(direct.value)


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n')
    with refuses(f"{path}, line 3,", "file"):
        read_json_lines(path)
    path.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert read_json_lines(path) == [{"a": 1}, {"a": 2}]


def test_a_last_line_that_is_not_whole_is_left_out_where_a_writer_may_be_at_work(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"a": 1}\n{"a": 2')
    assert read_json_lines(path) == [{"a": 1}]
    path.write_text('{"a": 1}\n{"a": 2}')  # whole, only its line break is missing
    assert read_json_lines(path) == [{"a": 1}, {"a": 2}]
    for damaged in ('{"a": 1}\n{"a": 2\n', '{"a": 1\n{"a": 2}', '{"a": 1\n{"a": 2}\n'):
        path.write_text(damaged)
        with pytest.raises(SrnnError, match=r"line [12]"):
            read_json_lines(path)


def test_lines_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["srnn.files.reading"], "JSON", 20)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 2 + b"\n\n")
    assert read_json_lines(path) == [{"a": 1}] * 2
    for content in (b'{"a": 1}\n' * 2 + b"\n\n\n", b"[" + b" " * 20 + b"]"):
        path.write_bytes(content)
        with refuses(path, "file"):
            read_json_lines(path)
    with refuses(tmp_path / "missing", "missing"):
        read_json_lines(tmp_path / "missing")


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), RecursionError(), MemoryError(), OverflowError("inf"), ValueError("a" * 999)],
)
def test_whatever_a_parser_raises_names_the_file(error: Exception) -> None:
    with (
        pytest.raises(SrnnError, match=r"^the\.file cannot be read as a recipe") as caught,
        reading("the.file", "a recipe"),
    ):
        raise error
    assert caught.value.__cause__ is error
    assert len(str(caught.value)) < 300
    with pytest.raises(KeyboardInterrupt), reading("the.file", "a recipe"):
        raise KeyboardInterrupt


def test_writing_keeps_permissions_links_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that the user named: its target is replaced, and it stays a link."""
    path, link = tmp_path / "file", tmp_path / "link"
    write_atomically(path, b"first")
    path.chmod(0o640)
    link.symlink_to(path)
    write_atomically(link, b"second", named=True)
    assert link.is_symlink() and path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with refuses(path, "file"):
        write_atomically(path, b"third")
    assert path.read_bytes() == b"second"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "link"]


def test_what_is_written_is_on_disk_before_it_has_its_name_and_then_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, fsync, replace = list[object](), os.fsync, os.replace

    def noted(handle: int) -> None:
        found = os.fstat(handle)
        done.append("folder" if stat.S_ISDIR(found.st_mode) else found.st_size)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("named"), replace(*names)))
    write_atomically(tmp_path / "file", b"12345")
    assert done == [5, "named", "folder"]
    done.clear()
    with whole_folder(tmp_path / "new") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "one").write_bytes(b"123")
    assert done == ["folder", 3, "folder", "named", "folder"]
    done.clear()
    append_line(tmp_path / "log", "first")
    append_line(tmp_path / "log", "second")
    assert done == [6, "folder", 13]


def test_a_file_has_at_most_the_permissions_it_is_given_and_a_folder_only_where_asked(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch(0o666)
    (tmp_path / "file").chmod(0o666)
    with whole_file(tmp_path / "file", mode=0o600) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    with refuses(tmp_path / "inner" / "file", "file"), whole_file(tmp_path / "inner" / "file"):
        pass
    with whole_file(tmp_path / "inner" / "file", parents=True) as file:
        file.write(b"1")
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["file"]


@pipes
def test_what_is_no_ordinary_file_is_written_to_and_stays_if_the_user_named_it(
    tmp_path: Path,
) -> None:
    """A pipe of the test's own: with a mistake in the code root would replace the machine's
    /dev/null by a file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    for name in ("pipe", "link"):
        write_atomically(tmp_path / name, b"content", named=True)
        assert os.read(reader, 100) == b"content" and (tmp_path / "pipe").is_fifo()
    os.close(reader)
    for named in (True, False):
        with pytest.raises(SrnnError, match=f"Cannot write {tmp_path}: it is a folder"):
            write_atomically(tmp_path, b"content", named=named)


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout here")
@pytest.mark.parametrize("redirected", [True, False], ids=["a file", "a pipe"])
def test_standard_output_may_be_named(redirected: bool, tmp_path: Path) -> None:
    code = "from srnn.files.writing import *; write_json(Path('/dev/stdout'), {'a': 1}, named=True)"
    with (tmp_path / "out").open("w+") as file:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=file if redirected else subprocess.PIPE, check=True
        )
    written = (tmp_path / "out").read_text() if redirected else done.stdout.decode()
    assert json.loads(written) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pipes
def test_a_pipe_or_a_device_under_a_name_that_the_program_chose_is_refused(tmp_path: Path) -> None:
    """Whoever opened it waited for ever for the other end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for refused in (
        lambda: write_atomically(pipe, b"content"),
        lambda: append_line(pipe, "content"),
        lambda: cut_lines(pipe),
        lambda: check_files(tmp_path),
    ):
        with refuses(pipe, "file"):
            refused()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_link_under_a_name_that_the_program_chose_is_replaced(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    for leads_to in ("victim", "nowhere"):
        victim.write_bytes(b"1\n2\n3\n")
        for number, write in enumerate(
            (lambda path: write_atomically(path, b"new"), lambda path: cut_lines(path, 4))
        ):
            link = tmp_path / f"{leads_to}-{number}"
            link.symlink_to(leads_to)
            write(link)
            assert not link.is_symlink() and victim.read_bytes() == b"1\n2\n3\n"
            append_line(link, "4")
            assert victim.read_bytes() == b"1\n2\n3\n"
    assert [(tmp_path / f"{name}-1").read_bytes() for name in ("victim", "nowhere")] == [
        b"1\n2\n4\n",
        b"4\n",
    ]
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "link").symlink_to("victim")
    with refuses(tmp_path / "link", "file"):
        append_line(tmp_path / "link", "4")
    assert victim.read_bytes() == b"1\n2\n3\n"


def test_lines_are_cut_or_left_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    cut_lines(path, 5)
    assert not path.exists()
    path.write_bytes(b"1\n2\n3\n")
    for size, left in ((None, b"1\n2\n3\n"), (6, b"1\n2\n3\n"), (4, b"1\n2\n"), (0, b"")):
        cut_lines(path, size)
        assert path.read_bytes() == left


def test_leftovers_are_told_from_files(tmp_path: Path) -> None:
    left = temporary_beside(tmp_path / "metrics.jsonl")
    assert left != temporary_beside(tmp_path / "metrics.jsonl")
    assert len(temporary_beside(tmp_path / ("x" * 255)).name) < 130  # a name that there may be
    keep = {
        "metrics.jsonl",
        ".notes-0123456789ab.tmp",
        ".a-0123456789ab.srnn-tmp.zip",
        "a-0123456789ab.srnn-tmp",
    }
    keep |= {".a-0123456789AB.srnn-tmp", ".a-abc.srnn-tmp"}
    for name in (*keep, left.name, ".lock"):
        (tmp_path / name).write_bytes(b"x")
    folder, named = temporary_beside(tmp_path / "out"), temporary_beside(tmp_path / "link")
    folder.mkdir()
    (folder / "part").touch()
    (tmp_path / "target").write_bytes(b"x")
    named.symlink_to(tmp_path / "target")  # nothing of ours is one
    (tmp_path / ".out.srnn-lock").touch()
    assert set(files_in(tmp_path)) == keep | {"target"}
    (tmp_path / ".out.srnn-lock").unlink()
    remove_leftovers(tmp_path)
    assert left.exists() and folder.exists()  # they may be being written
    remove_leftovers(tmp_path, age=0)
    assert {path.name for path in tmp_path.iterdir()} == keep | {"target", ".lock", named.name}


def test_lines_end_alike_on_every_system() -> None:
    """Windows writes what is given as text with other ends: C and Makefiles that another system is
    to read."""
    source = Path(srnn.__file__).parent
    assert not [
        path for path in source.rglob("*.py") if ".write_text(" in path.read_text(encoding="utf-8")
    ]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere names are text")
def test_a_name_that_the_locale_cannot_say_is_written(tmp_path: Path) -> None:
    """In an old C locale the temporary name was none."""
    code = "import sys, srnn.files as f; f.write_atomically(f.writing.Path(sys.argv[1]), b'1')"
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "größe")],
        check=True,
        env={**os.environ, **locale},
    )
    assert (tmp_path / "größe").read_bytes() == b"1" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    with refuses(out, "file"), whole_folder(out) as folder:
        (folder / "one").touch()
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list((tmp_path / "a").iterdir()) == []
    (tmp_path / "a" / "out").mkdir()  # an empty one is filled
    with whole_folder(tmp_path / "a" / "out") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "one").write_text("1")
    assert (tmp_path / "a" / "out" / "inner" / "one").read_text() == "1"
    with refuses(out, "file"), whole_folder(out):
        pass
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]


def test_of_two_that_are_about_to_write_a_file_one_is_told(tmp_path: Path) -> None:
    out, killed = tmp_path / "out", tmp_path / ".out-0123456789ab.srnn-tmp"
    killed.mkdir()
    os.utime(killed, (0, 0))
    lock_beside(out).touch()  # of one that was killed
    with only_writer(out):
        with refuses(out, "resource"), only_writer(out):
            raise AssertionError
        with only_writer(tmp_path / "out2"), whole_file(out) as file:
            file.write(b"whole")
        assert not killed.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_line_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write, room = tmp_path / "log", os.write, [10**6]

    def narrow(handle: int, content: bytes) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = content[: room[0]]
        room[0] -= len(part)
        return write(handle, part)

    monkeypatch.setattr(os, "write", narrow)
    append_line(path, "first")
    room[0] = 3
    with refuses(path, "file"):
        append_line(path, "second")
    assert path.read_text() == "first\n"


def test_without_a_place_for_temporary_folders_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing"))
    with refuses("TMPDIR", "resource"):
        srnn.fit(np.zeros((20, 3, 1)), [0, 1] * 10, epochs=1)
    assert list(tmp_path.iterdir()) == []
