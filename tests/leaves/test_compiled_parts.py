"""Functions that are compiled by themselves for others to call: found again, missed, and never
called where they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srnn import compiling
from support.compiled_forms import DAMAGE, compiles

pytest.importorskip("numba")


def _add(x, y):
    return x + y


def _twice(x):
    return 2 * x


def _half_of_it(x, y):
    return _inner_part(x) // 2 + y


_outer_part: Any = None
_inner_part: Any = None


def caller(offset: int = 1, kind: Callable[..., Any] = _add) -> Any:
    """A compiled function that calls a part, as a new process has it."""
    global _outer_part, _inner_part
    compiling._published.clear()
    _outer_part, _inner_part = compiling.part(kind), compiling.part(_twice)

    def outer(x):
        return _outer_part(x, offset)

    return compiling.compiled(outer, depends_on=kind.__name__)


@pytest.fixture
def kept_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a part; that of its caller stands beside it."""
    monkeypatch.setattr(compiling, "_published", {})
    assert compiles(caller()) == 1
    (path,) = folder.glob("_add-*")
    assert len(list(folder.iterdir())) == 2
    return path


def test_a_part_is_compiled_once_for_its_callers_and_found_by_the_next_process(
    kept_part: Path,
) -> None:
    written = kept_part.stat().st_mtime_ns
    assert compiles(caller()) == 0 and list(compiling._published) == [kept_part.stem]
    other = caller(2)
    assert other(40) == 42 and sum(other.stats.cache_misses.values()) == 1
    assert kept_part.stat().st_mtime_ns == written and len(list(kept_part.parent.iterdir())) == 3
    assert (
        caller()(1.5) == 2.5 and len(list(kept_part.parent.glob("_add-*"))) == 2
    )  # for another type another


def test_a_part_stays_that_a_process_has(kept_part: Path) -> None:
    """What calls it holds its address."""
    first = compiling._published[kept_part.stem]
    again = compiling.part(_add)
    assert compiling.loop(lambda x: again(x, 1))(41) == 42
    assert compiling._published[kept_part.stem] is first


@pytest.mark.parametrize(
    "damage", [*(pytest.param(name, marks=pytest.mark.robust) for name in DAMAGE), "gone"]
)
def test_without_its_part_a_caller_is_compiled_anew(damage: str, kept_part: Path) -> None:
    """Calling what is not there would end the process."""
    whole = kept_part.read_bytes()
    if damage == "gone":
        kept_part.unlink()
    else:
        kept_part.write_bytes(DAMAGE[damage](whole))
    assert not compiling.is_kept(lambda: caller()(41))
    assert compiles(caller()) == 1
    assert compiles(caller()) == 0 and kept_part.exists()


def test_parts_call_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_published", {})
    assert compiles(caller(kind=_half_of_it)) == 1 and len(list(folder.iterdir())) == 3
    assert compiles(caller(kind=_half_of_it)) == 0
    (path,) = folder.glob("_twice-*")
    path.unlink()
    assert compiles(caller(kind=_half_of_it)) == 1 and path.exists()


def test_a_part_is_another_where_what_it_depends_on_is(folder: Path) -> None:
    for text in ("one source", "one source", "another"):
        add = compiling.part(_add, text)
        assert compiling.compiled(lambda x, add=add: add(x, 1), text)(41) == 42
    assert len(list(folder.glob("_add-*"))) == 2
