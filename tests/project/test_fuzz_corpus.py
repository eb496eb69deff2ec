"""Every input that fuzzing keeps, read once more by its target, and what counts as a finding. Needs
no Atheris."""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fuzz import corpora, mending
from fuzz.corpora import ARCHIVE, kept, read_descriptions, read_inputs, write_inputs
from fuzz.examining import Finding, empty, examine, workplace
from fuzz.target import Target
from fuzz.targets import TARGETS

from srnn.errors import SrnnError, nearest
from srnn.model.checkpoints import read_checkpoint

pytestmark = [
    pytest.mark.robust,
    # Readers of damaged files may warn; the command line shows no warnings.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    # tmp_path first: it must not be made within the other.
    with workplace() as place:
        yield place


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_seeds_are_read_and_no_kept_input_is_a_finding(target: Target, folder: Path) -> None:
    seeds = target.seeds()
    assert seeds
    for data in seeds.values():
        target.read(data, folder)  # raises nothing
        empty(folder)
    for name, data in kept(target.name).items():
        assert examine(target, data, folder) is None, name


def test_every_crash_is_described() -> None:
    described = read_descriptions()
    inputs = {name for name in read_inputs() if name.startswith("crashes/")}
    assert {f"crashes/{item['target']}/{item['input']}" for item in described} == inputs
    assert all(item["kind"] and item["what"] for item in described)


def test_corpora_stay_small() -> None:
    assert ARCHIVE.stat().st_size < 2**20


def test_the_archive_is_changed_by_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same inputs are the same bytes; a finding is added by its name; what belongs to no target
    is dropped."""
    before, inputs, descriptions = ARCHIVE.read_bytes(), read_inputs(), read_descriptions()
    monkeypatch.setattr(corpora, "ARCHIVE", tmp_path / "corpora.zip")
    monkeypatch.setattr(corpora, "FINDINGS", tmp_path / "findings.json")
    write_inputs(dict(reversed(inputs.items())))
    assert corpora.ARCHIVE.read_bytes() == before

    (tmp_path / "odd").write_bytes(b"x")
    corpora.add_findings("zip", [tmp_path / "odd"])
    assert kept("zip")["crashes/zip/odd"] == b"x" and len(read_inputs()) == len(inputs) + 1
    corpora.replace_corpus("zip", {"new": b"y"})
    assert [name for name in kept("zip") if "corpus" in name] == ["corpus/zip/new"]

    corpora.FINDINGS.write_text(json.dumps(descriptions))
    corpora.prune(["zip"])
    assert read_inputs() == kept("zip")
    assert {item["target"] for item in read_descriptions()} == {"zip"}


# ---- what a finding is ----


def found(read: Callable[[bytes, Path], object], folder: Path, *allowed: str) -> Finding | None:
    return examine(Target("test", read, dict, allowed=frozenset(allowed)), b"x", folder)


def fail(error: BaseException) -> Callable[[bytes, Path], object]:
    def read(data: bytes, folder: Path) -> None:
        raise error

    return read


def test_refusals_are_no_findings_and_other_exceptions_are(folder: Path) -> None:
    assert found(lambda data, folder: None, folder) is None
    assert found(fail(SrnnError("It is damaged.")), folder) is None
    kinds = (MemoryError, SystemExit, KeyboardInterrupt, RecursionError)
    for error in (ValueError("a\nb"), *(kind() for kind in kinds)):
        finding = found(fail(error), folder)
        assert finding is not None and finding.kind == "exception" and "\n" not in finding.what


def test_messages_are_one_printable_line_of_bounded_length(folder: Path) -> None:
    class Own(SrnnError):
        def __str__(self) -> str:
            return self.said

    for said in ("", "a" * 2048, "a" * 2049, "\x1b[2J", "\ud800"):
        error = Own("")
        error.said = said  # type: ignore[attr-defined]
        finding = found(fail(error), folder)
        assert (finding is not None and finding.kind == "message") == (said != "a" * 2048), said


@pytest.mark.parametrize(
    "message", ["a" * 5000, "\x1b]0;title\x07 \ud800 \u202e \x00", "one\ntwo " * 900]
)
def test_any_error_can_be_shown(message: str, folder: Path) -> None:
    assert found(fail(SrnnError(message)), folder) is None


def test_a_long_name_is_not_compared_at_length() -> None:
    assert nearest("x" * 10**7, ["a" * 100]) == f" There are: {'a' * 100}."


class _Elsewhere:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.getcwd, ())


FORBIDDEN: dict[str, Callable[[Path], object]] = {
    "write": lambda elsewhere: Path(elsewhere / "new").write_text("x"),
    "read": lambda elsewhere: (elsewhere / "secret").read_text(),
    "remove": lambda elsewhere: os.unlink(elsewhere / "secret"),
    "mkdir": lambda elsewhere: os.mkdir(elsewhere / "folder"),
    "rename": lambda elsewhere: os.rename("own", elsewhere / "own"),
    "link": lambda elsewhere: os.symlink(elsewhere / "secret", "link") or Path("link").read_text(),
    "up": lambda elsewhere: Path("../../new").write_text("x"),
    "process": lambda elsewhere: subprocess.run(["true"], check=False),
    "system": lambda elsewhere: os.system("true"),
    "socket": lambda elsewhere: socket.socket(),
    "name": lambda elsewhere: socket.getaddrinfo("localhost", 80),
    "pickle": lambda elsewhere: pickle.loads(pickle.dumps(_Elsewhere())),
    "exec": lambda elsewhere: exec("x = 1"),
    "eval": lambda elsewhere: eval("1 + 1"),
    "import": lambda elsewhere: __import__("antigravity_of_someone"),
    "library": lambda elsewhere: __import__("ctypes").CDLL(str(elsewhere / "secret")),
    "script": lambda elsewhere: torch.jit.load(io.BytesIO(b"")),
    "shared file": lambda elsewhere: torch.from_file(
        str(elsewhere / "secret"), shared=True, size=1
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_no_reader_may_do_is_stopped_and_found(
    what: str, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("kept")

    def read(data: bytes, folder: Path) -> None:
        (folder / "own").write_bytes(data)
        try:
            FORBIDDEN[what](tmp_path)
        except BaseException as error:  # a reader that hides it
            raise SrnnError("It is damaged.") from error

    finding = found(read, folder)
    assert finding is not None and finding.kind == "forbidden"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").read_text() == "kept"
    assert not list(folder.iterdir())


def test_what_is_allowed_is_not_found(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x")
    allowed: dict[str, Callable[[bytes, Path], object]] = {
        "other files": lambda data, folder: open(tmp_path / "other").close(),
        "processes": lambda data, folder: subprocess.run(["true"], check=False),
        "": lambda data, folder: (folder / "a").write_bytes(data),
    }
    for what, read in allowed.items():
        assert found(read, folder, what) is None, what


# ---- containers that fit again ----


def test_mended_containers_fit(tmp_path: Path) -> None:
    seed = TARGETS["zip"].seeds()["two"]
    with zipfile.ZipFile(
        io.BytesIO(mending.mend_zip(seed.replace(b"some", b"another", 1)))
    ) as archive:
        assert archive.testzip() is None and archive.read("d/a.txt").startswith(b"another content")
    seed = TARGETS["checkpoint"].seeds()["tiny"]
    (tmp_path / "a").write_bytes(
        mending.mend_checkpoint(seed.replace(b"epoch", b"longer-epoch", 1))
    )
    assert read_checkpoint(tmp_path / "a").info["longer-epoch"] == 1
    for name in ("tar", "npy"):
        target = TARGETS[name]
        for seed in target.seeds().values():
            assert len(target.variants(seed)) == 1, name


@pytest.mark.parametrize("name", TARGETS)
def test_mends_take_any_bytes(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds().values():
        for data in (b"", seed[: len(seed) // 2], seed[8:], seed[::-1], bytes(len(seed))):
            assert all(isinstance(variant, bytes) for variant in target.variants(data))
