"""Patterns of files' names: what they read, and that none takes long."""

from __future__ import annotations

import pytest

from srnn import SrnnError
from srnn.data.datasets.files import NamePattern


@pytest.mark.parametrize(
    ("pattern", "name", "read"),
    [
        (
            "{label}_{speaker}_{index}",
            "7_jackson_12",
            {"label": "7", "speaker": "jackson", "index": "12"},
        ),
        ("{speaker}-{index}", "ann-0-1", {"speaker": "ann", "index": "0-1"}),
        ("{speaker}", "a.b", {"speaker": "a.b"}),
        ("x{speaker}y", "xaay", {"speaker": "aa"}),
        ("{speaker}_nohash_{index}", "ab_cd_nohash_1", {"speaker": "ab_cd", "index": "1"}),
        ("{speaker}-{index}", "a\nb-1", {"speaker": "a\nb", "index": "1"}),
        ("{speaker}-{index}", "-1", None),
        ("{speaker}-{index}", "ann", None),
        ("(a+)+{speaker}", "(a+)+b", {"speaker": "b"}),
        ("(a+)+{speaker}", "aaab", None),
        ("{speaker}", "x" * 255, {"speaker": "x" * 255}),
        ("{speaker}", "x" * 256, None),
    ],
)
def test_a_name_is_read_by_its_pattern(
    pattern: str, name: str, read: dict[str, str] | None
) -> None:
    assert NamePattern(pattern).read(name) == read


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "(a+)+$",
        "{index}",
        "{speaker}{speaker}",
        "{who}",
        "{}",
        "{speaker",
        "^([a-z]+)-",
        "{index}" * 9000,
    ],
)
def test_what_is_no_pattern_is_one_line(pattern: str) -> None:
    with pytest.raises(SrnnError, match="pattern") as caught:
        NamePattern(pattern)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("between", ["", "a", "aa", "(a+)+$"])
def test_no_pattern_takes_long_on_any_name(between: str) -> None:
    """The work is a polynomial of the second degree: it ends at once where (a+)+$ would not before
    the sun does."""
    pattern = NamePattern(f"{{label}}{between}{{speaker}}{between}{{index}}{between}b")
    for name in ("a" * 255, "a" * 254 + "c", "a(a+)+$" * 36, "ab" * 127):
        assert pattern.read(name) is None or name.endswith("b")
