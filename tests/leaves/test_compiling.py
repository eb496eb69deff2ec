"""Machine code on disk: damaged files, files of others, folders that cannot be written, writers
that are killed or many."""

from __future__ import annotations

import errno
import os
import pickle
import random
import re
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import srnn
from srnn import SrnnError, compiling
from srnn.cli.main import main
from srnn.files import code_cache
from support.compiled_forms import DAMAGE, Evil, compiles, flip

pytest.importorskip("numba")


def loop(offset: int = 1) -> Any:
    """A compiled function, as a new process has it: nothing is in memory yet."""

    def add(x):
        return x + offset

    return compiling.loop(add)


@pytest.fixture
def kept(folder: Path) -> Path:
    """The file of a compiled function."""
    assert compiles(loop()) == 1
    (path,) = folder.iterdir()
    return path


def test_whether_something_is_kept_is_told_without_compiling_it(folder: Path) -> None:
    function, other = loop(), loop(2)
    assert not compiling.is_kept(lambda: function(41)) and not list(folder.glob("*.compiled"))
    assert function(41) == 42  # it compiles still
    assert compiling.is_kept(lambda: function(41))  # in memory
    again = loop()
    assert compiling.is_kept(lambda: again(41)) and again(1) == 2  # on disk
    assert not compiling.is_kept(lambda: again(1.5))  # for another type
    assert not compiling.is_kept(lambda: [again(41), other(41)])
    with pytest.raises(ZeroDivisionError):
        compiling.is_kept(lambda: 1 // 0)
    assert compiles(loop(1)) == 0 and other(40) == 42


def test_what_is_kept_is_found_by_the_next_process(kept: Path) -> None:
    """Fails clearly if Numba's internals, on which this rests, have moved: then every start would
    compile again."""
    again = loop()
    assert compiles(again) == 0 and sum(again.stats.cache_hits.values()) == 1
    assert stat.S_IMODE(kept.stat().st_mode) & 0o022 == 0
    assert compiling.loop(again.py_func) is again and again.stats.cache_path == str(kept.parent)


@pytest.mark.robust
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_compiled_anew_and_replaced(
    damage: str, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = kept.read_bytes()
    kept.write_bytes(DAMAGE[damage](whole))
    assert compiles(loop()) == 1
    assert compiles(loop()) == 0
    assert not Path("ran").exists() and [kept] == list(kept.parent.iterdir())


def test_no_flipped_bit_and_no_cut_goes_unseen(kept: Path) -> None:
    whole, generator = kept.read_bytes(), random.Random(1)
    for _ in range(60):
        place = generator.randrange(len(whole))
        kept.write_bytes(flip(whole, place))
        assert code_cache._read(kept) is None
        kept.write_bytes(whole[:place])
        assert code_cache._read(kept) is None
    kept.write_bytes(whole)
    assert code_cache._read(kept) == whole[32:]


def test_a_file_under_anothers_name_is_damaged(kept: Path) -> None:
    """As a home of several machines might get it from a careless copy: code for another processor
    ends in SIGILL."""
    other = kept.with_name("add-" + "0" * 40 + ".compiled")
    kept.rename(other)
    assert code_cache._read(other) is None


def test_a_form_that_numba_cannot_take_back_is_compiled_anew(kept: Path) -> None:
    content = pickle.dumps(("not", "what", "Numba", "saved"))
    kept.write_bytes(code_cache._digest(kept, content) + content)
    assert compiles(loop()) == 1


@pytest.mark.parametrize("instead", ["folder", "link to nothing", "pipe"])
def test_what_is_no_file_is_not_read(instead: str, kept: Path) -> None:
    kept.unlink()
    if instead == "folder":
        kept.mkdir()
    elif instead == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(kept)
    else:
        kept.symlink_to("nothing")
    assert code_cache._read(kept) is None


# ---- whom is trusted ---------------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")


def _owned_by_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(path, 4321, -1)
    else:
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)


OPEN = {
    "the folder, by its group": (0o775, "folder"),
    "the folder, by all": (0o777, "folder"),
    "the folder, by all, with the sticky bit": (0o1777, "folder"),
    "a folder above, by its group": (0o775, "above"),
    "a folder above, by all": (0o777, "above"),
}


@posix
@pytest.mark.robust
@pytest.mark.parametrize("how", [*OPEN, "another's folder", "another's folder above"])
def test_from_where_others_may_write_nothing_is_read(
    how: str, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code with the right digest, planted.

    It runs where it is trusted, so that its not running says something.
    """
    monkeypatch.setattr(code_cache, "_alone", lambda group: False)
    content = pickle.dumps(Evil(tmp_path / "ran"))
    kept.write_bytes(code_cache._digest(kept, content) + content)
    assert compiles(loop()) == 1 and (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()

    kept.write_bytes(code_cache._digest(kept, content) + content)
    places = {"folder": kept.parent, "above": kept.parent.parent}
    if how in OPEN:
        mode, place = OPEN[how]
        places[place].chmod(mode)
    else:
        _owned_by_another(places[how.split()[-1]], monkeypatch)
    with pytest.warns(RuntimeWarning, match="others may write to .*NUMBA_CACHE_DIR"):
        assert compiles(loop()) == 1
    assert not (tmp_path / "ran").exists() and code_cache.folder_in_use() is None


@posix
def test_a_folder_of_ones_own_below_one_for_all_is_trusted(kept: Path) -> None:
    """As /tmp is: nobody can put another folder in its place."""
    kept.parent.parent.chmod(0o1777)
    assert compiles(loop()) == 0


@posix
def test_links_on_the_way_are_followed_by_the_check(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_cache, "_alone", lambda group: False)
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "link").symlink_to(kept.parent.parent)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "open" / "link"))
    assert compiles(loop()) == 0
    (tmp_path / "open").chmod(0o777)  # somebody may let the link lead elsewhere
    with pytest.warns(RuntimeWarning, match="others may write"):
        assert compiles(loop()) == 1


@posix
def test_a_group_of_ones_own_counts_as_oneself(monkeypatch: pytest.MonkeyPatch) -> None:
    import grp
    import pwd

    groups = {
        1000: ("me", []), 1001: ("staff", ["me"]), 1002: ("me", ["me"]), 1003: ("me", ["you"]),
    }  # fmt: skip
    monkeypatch.setattr(
        grp, "getgrgid", lambda gid: SimpleNamespace(gr_name=groups[gid][0], gr_mem=groups[gid][1])
    )
    for gid, expected in ((1000, True), (1001, False), (1002, True), (1003, False), (1004, False)):
        monkeypatch.setattr(
            pwd, "getpwuid", lambda uid, gid=gid: SimpleNamespace(pw_gid=gid, pw_name="me")
        )
        assert code_cache._alone.__wrapped__(gid) is expected
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_gid=7, pw_name="me"))
    assert code_cache._alone.__wrapped__(1000) is False


def test_a_folder_that_is_only_read_serves_everyone(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an administrator compiled is read; what is new goes to the user's own folder."""
    own = tmp_path / "own"
    monkeypatch.setattr(code_cache, "_candidates", lambda: iter([kept.parent, own]))
    write = code_cache.write_atomically

    def refused(path: Path, content: bytes, **options: Any) -> None:
        if path.parent == kept.parent:
            raise SrnnError("Permission denied.")
        write(path, content, **options)

    monkeypatch.setattr(code_cache, "write_atomically", refused)
    assert compiles(loop()) == 0 and not own.exists()
    other = loop(3)
    assert other(1) == 4 and len(list(own.iterdir())) == 1


# ---- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.robust
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_what_cannot_be_written_is_compiled_in_memory(
    call: str, code: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any, **options: Any) -> Any:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fails)
    with pytest.warns(RuntimeWarning, match=re.escape(os.strerror(code))) as said:
        assert compiles(loop()) == 1
        assert loop(7)(1) == 8
    assert len(said) == 1
    monkeypatch.undo()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("where", ["file", "srnn"])
def test_a_place_that_is_no_folder_is_said_once(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path if where == "srnn" else tmp_path / "file"
    (tmp_path / where).touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(place))
    compiling._say.cache_clear()
    with pytest.warns(RuntimeWarning, match="is not kept") as said:
        assert compiles(loop()) == compiles(loop()) == 1
    assert len(said) == 1 and code_cache.folder_in_use() is None


def test_a_cache_that_is_removed_meanwhile_is_made_again(kept: Path) -> None:
    shutil.rmtree(kept.parents[1])
    assert loop(2)(1) == 3 and compiles(loop()) == 1
    assert kept.is_file() and len(list(kept.parent.iterdir())) == 2


def test_a_numba_that_saves_otherwise_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.core.compiler import CompileResult

    monkeypatch.setattr(CompileResult, "_reduce", None)
    with pytest.warns(RuntimeWarning, match="TypeError"):
        assert compiles(loop()) == 1


def test_many_writers_and_readers_see_whole_files_only(kept: Path) -> None:
    whole = kept.read_bytes()

    def write(_: int) -> None:
        for _ in range(10):
            code_cache.write_atomically(kept, whole, mode=0o644)

    def read(_: int) -> bool:
        return all(code_cache._read(kept) == whole[32:] for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        writers, readers = pool.map(write, range(2)), pool.map(read, range(2))
        assert all(readers) and list(writers) == [None, None]
    assert [kept] == list(kept.parent.iterdir())


def test_a_folder_is_kept_within_bounds(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = kept.with_name("old.compiled")
    old.write_bytes(bytes(1000))
    unrelated = kept.with_name("module.cpython-311.pyc")
    unrelated.write_bytes(bytes(10**6))
    os.utime(old, (1, 1))
    monkeypatch.setattr(code_cache, "MOST", kept.stat().st_size + 1000)
    code_cache._forget_oldest(kept.parent)
    assert old.exists()  # at the limit
    monkeypatch.setattr(code_cache, "MOST", kept.stat().st_size + 999)
    code_cache._forget_oldest(kept.parent)
    assert not old.exists() and kept.exists()
    monkeypatch.setattr(code_cache, "MOST", 0)
    assert loop(5)(1) == 6
    assert list(kept.parent.iterdir()) == [unrelated]


def test_what_a_killed_writer_left_is_never_read_and_removed_a_day_later(kept: Path) -> None:
    left = kept.with_name(f".{kept.name}-0123456789ab.srnn-tmp")
    left.write_bytes(kept.read_bytes()[:1000])
    os.utime(left, (0, 0))
    assert compiles(loop()) == 0 and left.exists()
    assert loop(5)(1) == 6 and not left.exists()


# ---- what is found -----------------------------------------------------------------------------------------------------


def test_a_file_belongs_to_processor_versions_options_and_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import numba

    def add(x):
        return x

    def name(
        function: Any = add,
        depends_on: str = "",
        signature: str = "(int64,)",
        processor: str = "haswell",
    ) -> str:
        codegen = SimpleNamespace(magic_tuple=lambda: ("x86_64-linux", processor, "+avx2"))
        return compiling._DiskCache(function, depends_on).name(signature, codegen)

    names = [
        name(),
        name(depends_on="nogil"),
        name(signature="(float64,)"),
        name(processor="skylake"),
    ]
    names += [name(loop(offset).py_func) for offset in (1, 2)]
    monkeypatch.setattr(numba, "__version__", "0.99")
    names.append(name())
    monkeypatch.setattr(compiling, "_source_digest", lambda path: "changed")
    names.append(name())
    assert len(set(names)) == len(names)


def test_functions_that_a_closure_holds_tell_all_that_they_are_made_of() -> None:
    def loop(inner: Any) -> Any:
        return lambda x: inner(x)

    def shifted(by: float) -> Any:
        return lambda x: x + by

    held = [
        lambda x: x + 1,
        lambda x: x + 2,
        lambda x: abs(x),
        lambda x: max(x),
        shifted(1),
        shifted(2),
        (1, 2),
        (1, 3),
    ]
    codegen = SimpleNamespace(magic_tuple=tuple)
    names = {compiling._DiskCache(loop(inner), "").name("(int64,)", codegen) for inner in held}
    assert len(names) == len(held)


def test_numba_that_is_told_to_compile_nothing_is_not_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As programs whose coverage is measured tell it: compiled functions call instructions, which
    Python has not."""
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    assert not compiling.has_numba()
    with pytest.raises(SrnnError, match="cannot run this layer: NUMBA_DISABLE_JIT is set"):
        srnn.SRNN.paper(2, [3], 2, backend="cpu")(torch.zeros(1, 4, 2))
    assert main(["info"]) == 0 and "NUMBA_DISABLE_JIT" in capsys.readouterr().out
    assert main(["info", "--warm"]) == 2 and "NUMBA_DISABLE_JIT" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "numba")
    for value, said in (("1", "NUMBA_DISABLE_JIT is set"), ("0", ""), ("", "")):
        monkeypatch.setenv("NUMBA_DISABLE_JIT", value)
        assert compiling.why_no_numba() == said


def test_numba_may_be_under_way_in_another_thread() -> None:
    """As in 'srnn data encode cochlea', whose threads ask for it at once: what they found had no
    settings yet."""
    program = """
import sys, threading
from srnn import compiling
sys.setswitchinterval(1e-6)
other = threading.Thread(target=__import__, args=("numba",))
other.start()
while "numba" not in sys.modules:
    pass
assert compiling.has_numba()
other.join()
"""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_uses_numbas_own_cache() -> None:
    """It unpickles and runs what it finds."""
    root = Path(srnn.__file__).parent
    assert not [
        path
        for path in root.rglob("*.py")
        if re.search(r"cache\s*=\s*True", path.read_text("utf-8"))
    ]


def test_numba_is_not_configured_by_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "numba")
    assert compiling.has_numba()
    (tmp_path / ".numba_config.yaml").write_text("cache_dir: planted\n")
    with pytest.raises(SrnnError, match=r"\.numba_config\.yaml"):
        compiling.has_numba()
    monkeypatch.undo()
    assert compiling.has_numba()  # it is imported already, as its user wanted
