"""Values of files, by types that hold their own bounds: each mistake says its key, what is valid,
and what was given."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from srnn import SrnnError
from srnn.errors import naming, naming_once
from srnn.files.bounds import BelowOne, Between, Items, Positive
from srnn.files.conversion import CheckedSettings, check, convert, keys_of, read_section
from support.refusing import Refusal, refusals, refuses


@dataclass(frozen=True)
class Inner(CheckedSettings, key="inner"):
    rate: BelowOne = 0.0
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer(CheckedSettings):
    size: Annotated[int, Between(1, 9)] = field(metadata={"missing": ": how large it is"})
    inner: Inner = field(default_factory=Inner)
    sizes: Annotated[list[Annotated[int, Between(1, 9)]], Items(3)] = field(
        default_factory=lambda: [2]
    )
    weights: Literal["none"] | dict[str, Positive] = "none"
    limit: Positive | None = None


@pytest.mark.parametrize(
    ("hint", "ends", "beyond"),
    [
        (Annotated[int, Between(1, 9)], (1, 9), (0, 10, 2.5, True, None, math.nan, 10**400)),
        (Annotated[float, Between(-1, 1)], (-1, 1.0), (-1.1, 1.1, math.nan, math.inf, "wide")),
        (BelowOne, (0, 0.999), (1, -0.001)),
        (Positive, (1e-9, 1e300), (0, math.inf, -math.inf)),
    ],
)
def test_ends_belong_to_it_or_not_as_its_type_says(
    hint: Any, ends: tuple[Any, ...], beyond: tuple[Any, ...]
) -> None:
    for value in ends:
        assert convert(hint, value, "key") == value
        assert convert(hint, str(value), "key") == value
    for value in beyond:
        with refuses("key"):
            convert(hint, value, "key")


def outer(**content: Any) -> Callable[[], Outer]:
    return lambda: read_section(Outer, content)


REFUSALS = [
    Refusal("size", "missing", outer(), ": how large it is."),
    Refusal("size", "missing", outer(size=None), ": how large it is."),
    Refusal("size", "value", outer(size=0), "an integer from 1 to 9, not 0"),
    Refusal("inner.rate", "value", outer(size=1, inner={"rate": 1}), "at least 0 and below 1"),
    Refusal("inner.kind", "value", outer(size=1, inner={"kind": "c"}), "one of a, b, not 'c'"),
    Refusal("inner", "value", outer(size=1, inner=[1]), "a section with rate, kind"),
    Refusal("inner.rat", "name", outer(size=1, inner={"rat": 1}), "mean 'inner.rate'"),
    Refusal("rate", "name", outer(size=1, rate=0), "mean 'inner.rate'"),
    Refusal("sizes", "value", outer(size=1, sizes=[1, None]), "each an integer from 1 to 9"),
    Refusal("sizes", "value", outer(size=1, sizes=[1, 2, 3, 4]), "a list of 1 to 3 values"),
    Refusal("weights.x", "value", outer(size=1, weights={"x": 0}), "a number above 0, not 0"),
    Refusal("limit", "value", outer(size=1, limit=-1), "a number above 0, or null"),
    Refusal("", "value", lambda: read_section(Outer, 5), "size, inner, sizes, weights, limit"),
    Refusal("inner.rate", "value", lambda: Inner(1.5)),
    Refusal("inner.rate", "value", lambda: replace(Inner(), rate=-1)),
    Refusal("inner.rate", "value", lambda: Inner(rate="0.1")),  # type: ignore[arg-type]
]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)


def test_a_section_is_checked_wherever_it_is_made() -> None:
    made = read_section(Outer, {"size": "3", "sizes": 4, "weights": {"x": 2}, "limit": None})
    assert (made.size, made.sizes, made.weights, made.inner) == (3, [4], {"x": 2.0}, Inner())
    assert Outer(np.int64(3), Inner(np.float32(0.5))) == Outer(3, Inner(0.5))  # type: ignore[arg-type]
    assert keys_of(Outer) == ["size", "inner.rate", "inner.kind", "sizes", "weights", "limit"]


def test_a_value_is_checked_by_its_type_and_bounds_as_it_is() -> None:
    assert type(check("n", np.int64(3), int, Between(1, 4))) is int
    assert check("rate", 3, Positive) == 3.0
    assert check("merge", "mean", Literal["mean", "concat"]) == "mean"
    for field_name, value, hint in (
        ("n", "3", int),
        ("n", True, int),
        ("rate", "1", Positive),
        ("merge", "meen", Literal["mean", "concat"]),
    ):
        with refuses(field_name):
            check(field_name, value, hint)
    with pytest.raises(SrnnError, match=r"not 'meen'\. Did you mean 'mean'\?$"):
        check("merge", "meen", Literal["mean", "concat"])


def test_an_error_says_what_it_is_about() -> None:
    error = SrnnError("x", "file", Path("a\nb"))
    assert (error.kind, error.field) == ("file", "a b")
    assert SrnnError("x", "conflict", "--no-exit").field == "no_exit"
    with pytest.raises(SrnnError) as caught, naming_once("run"), naming("run"):
        raise error
    assert (str(caught.value), caught.value.kind, caught.value.field) == ("run: x", "file", "a b")
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.kind, copied.field, str(copied)) == ("file", "a b", "x")
