"""YAML: text, numbers, lists and mappings; anything else is one line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from srnn import SrnnError
from srnn.files import TEXT
from srnn.files.yaml_reading import parse_yaml, read_yaml
from support.refusing import refuses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!!python/object/apply:os.system [ls]", "line 1.*tag"),
        ("a: !!python/name:os.system", "line 1.*tag"),
        ("a: !mine 1", "tag"),
        ("a: =", "tag"),
        ("!!int x", "invalid literal"),
        ("!!map [1]", "expected a mapping"),
        ("a: " + "9" * 5000, "limit"),
        ("a: 0x" + "f" * 5000, "line 1.*too large"),
        ("a: " + "9" * 25, "too large"),
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
        ('"\\U00110000"', "chr"),
        ("\x00", "unacceptable"),
        ("\x1b[31m", "unacceptable"),
        ("a: [", "line 1"),
        ("a: b: c", "line 1"),
        ("a\n--- b", "line 2"),
        ("%YAML 9.9\n--- a", "version"),
        ("*" + "a" * 3000, "undefined alias"),
        ("[" * 10_000, "nested too deeply"),
        ("- " * 10_000, "nested too deeply"),
        ("{a: " * 5_000, "nested too deeply"),
    ],
)
def test_what_is_not_plain_data_is_one_short_line(text: str, expected: str) -> None:
    with pytest.raises(SrnnError, match=expected) as caught:
        parse_yaml(text, "the.file")
    assert (caught.value.kind, caught.value.field) == ("file", "the.file")
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "each",
    [
        "a{n}: &a{n} [{ten}]",
        "a{n}: &a{n} {{x: *a{m}, y: *a{m}, z: [{ten}]}}",
        "a{n}: &a{n} {{<<: [{ten}]}}",
    ],
)
def test_aliases_of_aliases_do_not_multiply(each: str) -> None:
    """Eleven lines stood for 10^12 values, which were copied one by one."""
    text = "\n".join(
        ["a0: &a0 {k: 1}"]
        + [each.format(n=n, m=n - 1, ten=", ".join([f"*a{n - 1}"] * 10)) for n in range(1, 13)]
    )
    with refuses("the.file", "file"):
        parse_yaml(text, "the.file")


def test_as_many_values_as_aliases_may_repeat() -> None:
    text = f"[&a [{', '.join('1' * 99)}], {', '.join(['*a'] * 1000)}"
    assert len(parse_yaml(text + "]", "the.file")) == 1001
    with refuses("the.file", "file"):
        parse_yaml(text + ", *a]", "the.file")


def test_what_yaml_1_1_makes_of_words_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "a: [010, 0x1F, 1_000, 1:30, 1e-2, 1e-12, 1.e-2, -.5E+3, .inf, no, ~, 2024-01-01, "
        "2024-99-99, '5', 1e, e5, 1.5]"
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
    assert parse_yaml("b: &b {x: 1, y: 2}\nc: {<<: *b, x: 3}\nd: {<<: [*b, {x: 4, z: "
                      "5}]}", "f") == {
        "b": {"x": 1, "y": 2}, "c": {"x": 3, "y": 2}, "d": {"x": 1, "y": 2, "z": 5},
    }  # fmt: skip
    parse_yaml(
        "a: {x: &x {<<: {k: 1}, k: 2}}\nb: {<<: *x}", "f"
    )  # merged before x itself is made: k is not there twice


@pytest.mark.parametrize("number", ["2" * 19, str(2**64 - 1), str(-(2**64) + 1)])
def test_integers_of_64_bits_are_read(number: str) -> None:
    assert parse_yaml(number, "f") == int(number)


def test_no_code_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (
        "!!python/object/apply:os.system ['touch owned']",
        "!!python/object/new:os.system ['touch owned']",
    ):
        with refuses("f", "file"):
            parse_yaml(text, "f")
    assert not Path("owned").exists()


def test_a_file_at_its_limit_is_read_and_one_beyond_it_is_not(tmp_path: Path) -> None:
    path, most = tmp_path / "a.yaml", TEXT
    path.write_text("#" * (most - 2) + "\n1")
    assert read_yaml(path) == 1
    path.write_text("#" * (most - 1) + "\n1")
    with refuses(path, "file"):
        read_yaml(path)
