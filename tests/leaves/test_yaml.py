"""YAML: text, numbers, lists and mappings; anything else is one line, before it takes memory or time."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from srnn import SrnnError
from srnn.files import LIMITS
from srnn.files.yaml_reading import parse_yaml, read_yaml

YAML = LIMITS["yaml"]
DEPTH, ITEMS, TEXT = YAML.depth, YAML.items, YAML.unpacked
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{below}'] * 10)}]}}\n"
    for below, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!!python/object/apply:os.system [ls]", "line 1.*tag"),
        ("a: !!python/name:os.system", "line 1.*tag"),
        ("a: 1\nb: !!binary aGk=", "line 2.*tag"),
        ("!!set {a}", "tag"),
        ("!!omap [a: 1]", "tag"),
        ("!!pairs [a: 1]", "tag"),
        ("a: !mine 1", "tag"),
        ("a: =", "tag"),
        ("!!int x", "line 1.*invalid literal"),
        ("!!int", "line 1"),
        ("!!float x", "line 1.*convert"),
        ("!!bool x", "line 1"),
        ("!!map [1]", "expected a mapping"),
        ("!!str [1]", "expected a scalar"),
        ("a: " + "9" * 5000, "line 1.*at most 100 characters"),
        ("a: 0x" + "f" * 5000, "at most 100 characters"),
        ("a: " + "9" * 25, "too large"),
        ("1" + ":1" * 2000, "at most 100 characters"),
        ("&a [*a]", "line 1.*alias"),
        ("&a {b: *a}", "alias"),
        ("a: &a {<<: *a}", "alias"),
        ("*a", "undefined alias"),
        ("{<<: 5}", "merging"),
        ("{.nan: 1}", "'.nan' is not text"),
        ("{1: 2}", "not text"),
        ("{no: 2}", "not text"),
        ("{null: 2}", "not text"),
        ("{[1]: 2}", "not text"),
        ("{{a: 1}: 2}", "not text"),
        ("a: 1\nb: 2\na: 3", "line 3.*'a' occurs twice"),
        ('{a: 1, "a": 2}', "twice"),
        ("{<<: {a: 1}, <<: {b: 1}}", "twice"),
        ('"\\ud800"', "surrogate"),
        ('"\\U00110000"', "chr"),
        ("\x00", "unacceptable"),
        ("\x1b[31m", "unacceptable"),
        ("a: [", "line 1"),
        ("a: b: c", "line 1"),
        ("a\n--- b", "line 2"),
        ("%YAML 9.9\n--- a", "version"),
        ("*" + "a" * 3000, "undefined alias"),
        (LAUGHS, f"more than {ITEMS:,} values"),
        (MERGED, f"more than {ITEMS:,} values"),
        ("[" * 100_000, "nested more than 32 levels"),
        ("- " * 100_000, "nested more than 32 levels"),
        ("? " * 100_000, "nested more than 32 levels"),
        ("{a: " * 5_000, "nested more than 32 levels"),
    ],
)
def test_what_is_not_plain_data_is_one_short_line(text: str, expected: str) -> None:
    with pytest.raises(SrnnError, match=f"^the.file (is not valid|cannot be read as) YAML.*{expected}") as caught:
        parse_yaml(text, "the.file")
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable()


def test_what_yaml_1_1_makes_of_words_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "a: [010, 0x1F, 1_000, 1:30, 1e-2, 1e-12, 1.e-2, -.5E+3, .inf, no, ~, 2024-01-01, 2024-99-99, '5', 1e, e5, 1.5]"
    )
    assert read_yaml(path) == {
        "a": [
            8,
            31,
            1000,
            90,
            0.01,
            1e-12,
            0.01,
            -500.0,
            math.inf,
            False,
            None,
            "2024-01-01",
            "2024-99-99",
            "5",
            "1e",
            "e5",
            1.5,
        ]
    }
    assert parse_yaml("b: &b {x: 1, y: 2}\nc: {<<: *b, x: 3}\nd: {<<: [*b, {x: 4, z: 5}]}", "f") == {
        "b": {"x": 1, "y": 2}, "c": {"x": 3, "y": 2}, "d": {"x": 1, "y": 2, "z": 5},
    }  # fmt: skip
    parse_yaml(
        "a: {x: &x {<<: {k: 1}, k: 2}}\nb: {<<: *x}", "f"
    )  # merged before x itself is made: k is not there twice


@pytest.mark.parametrize("number", ["2" * 19, str(2**64 - 1), str(-(2**64) + 1)])
def test_integers_of_64_bits_are_read(number: str) -> None:
    assert parse_yaml(number, "f") == int(number)


def test_at_each_limit_a_file_is_read_and_one_beyond_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: " + "[" * (DEPTH - 2) + "1" + "]" * (DEPTH - 2))  # the mapping and the number are levels too
    assert read_yaml(path)
    path.write_text("a: " + "[" * (DEPTH - 1) + "1" + "]" * (DEPTH - 1))
    with pytest.raises(SrnnError, match="nested"):
        read_yaml(path)
    path.write_text("#" * (YAML.bytes - 2) + "\n1")
    assert read_yaml(path) == 1
    path.write_text("#" * (YAML.bytes - 1) + "\n1")
    with pytest.raises(SrnnError, match="too large"):
        read_yaml(path)
    with pytest.raises(SrnnError, match="too large"):
        parse_yaml("#" + "é" * (YAML.bytes // 2), "f")


def test_values_and_text_are_counted_with_what_aliases_stand_for() -> None:
    # in all 1 mapping, its keys a, b; 10 + 1 values of a; then for each alias itself and those 11
    aliases = (ITEMS - 1 - 2 - 11 - 1) // 12
    rest = ITEMS - 1 - 2 - 11 - 1 - aliases * 12
    text = "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: [{}]"
    items = ["*a"] * aliases + ["1"] * rest
    assert len(parse_yaml(text.format(",".join(items)), "f")["b"]) == aliases + rest
    with pytest.raises(SrnnError, match="values"):
        parse_yaml(text.format(",".join([*items, "1"])), "f")
    word = "x" * 2**18
    parse_yaml(f"[&a {word}, {', '.join(['*a'] * (TEXT // 2**18 - 1))}]", "f")
    with pytest.raises(SrnnError, match="characters"):
        parse_yaml(f"[&a {word}, {', '.join(['*a'] * (TEXT // 2**18 - 1))}, y]", "f")


def test_many_keys_and_long_numbers_take_linear_time() -> None:
    """As the count of steps of the interpreter would say: four times the keys may not take sixteen times the work."""
    compared = []

    class Key(str):
        def __eq__(self, other: object) -> bool:
            compared.append(1)
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    from srnn.files import yaml_reading

    loader = yaml_reading._loader()
    keys = [f"k{number}: 1\n" for number in range(2000)]

    class Counting(loader):  # type: ignore[misc, valid-type]
        def construct_scalar(self, node: object) -> object:
            return Key(super().construct_scalar(node))

    made = Counting("".join(keys))
    assert len(made.get_single_data()) == len(keys)
    assert len(compared) < 20 * len(keys)
