"""Refusals: what a call that a user got wrong is refused for, by ``kind`` and ``field``.

REFUSALS = [
    Refusal("epochs", "value", lambda: fit(X, Y, epochs=0)),
    Refusal("lengths", "data", lambda: fit(X, Y, lengths=[1])),
]

@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from srnn import SrnnError
from srnn.errors import KINDS, Kind


@contextmanager
def refuses(field: object, kind: Kind = "value") -> Iterator[None]:
    """The block raises an SrnnError that is of this kind and about this field."""
    assert kind in KINDS
    with pytest.raises(SrnnError) as caught:
        yield
    assert (caught.value.field, caught.value.kind) == (str(field), kind), str(caught.value)


@dataclass(frozen=True)
class Refusal:
    """A call that is refused, and what for."""

    field: str
    """``{}`` in it stands for the folder that the call is given."""
    kind: Kind
    call: Callable[..., Any]
    """With one parameter that has no default it is given an empty folder."""
    match: str = ""
    """A few words of the message, where kind and field do not tell two refusals apart."""

    def check(self, folder: Path) -> None:
        parameters = inspect.signature(self.call).parameters.values()
        given = [folder for one in parameters if one.default is one.empty]
        with pytest.raises(SrnnError, match=self.match or None) as caught:
            self.call(*given)
        error = caught.value
        expected = (self.field.replace("{}", str(folder)), self.kind)
        assert (error.field, error.kind) == expected, str(error)
        assert "\n" not in str(error)


def refusals(table: Sequence[Refusal]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Runs a test on each line of the table."""
    names = [f"{number}-{one.field or one.kind}" for number, one in enumerate(table)]
    return pytest.mark.parametrize("refusal", table, ids=names)
