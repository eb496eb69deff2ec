"""Odd words for every option of every command: one line and exit code 2, before any work. The table is made from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from srnn.cli.main import COMMANDS, build_parser, main, parse
from srnn.training.recipes import recipe_keys

ODD = ("", "\x00", "\x1b[31m", "\udcff", "x" * 5000, "-1", "1e999", "nan", "9" * 5000, "[/red]", "--", "{")
LISTING = ("data", "models", "recipes")
"""Without an action they list what there is, whatever their other options say."""


def parsers(parser: argparse.ArgumentParser, words: list[str]) -> Iterator[tuple[argparse.ArgumentParser, list[str]]]:
    """The parser, or all below it, with the words that lead there."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser, words
    for action in below:
        for name, inner in action.choices.items():
            yield from parsers(inner, [*words, name])


def sound(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Words by argument for what a command cannot do without; no such run or file is there."""
    found: dict[str, list[str]] = {}
    for action in parser._actions:
        if action.option_strings and action.required:
            found[action.dest] = [f"{action.option_strings[0]}=missing.x"]
        elif not action.option_strings and action.nargs not in ("?", "*"):
            word = next(iter(action.choices)) if action.choices else "missing"
            found[action.dest] = [word, "missing2"] if action.nargs == "+" else [word]
    return found


def odd_lines(command: str) -> Iterator[list[str]]:
    top = next(a for a in build_parser([command])._actions if isinstance(a, argparse._SubParsersAction))
    for parser, words in parsers(top.choices[command], [command]):
        base = sound(parser)
        for action in parser._actions:
            if isinstance(action, argparse._HelpAction):
                continue
            for odd in ("x",) if action.nargs == 0 else ODD:
                given = [f"{action.option_strings[-1]}={odd}"] if action.option_strings else [odd]
                yield [*words, *(word for group in {**base, action.dest: given}.values() for word in group)]


def check(words: list[str], capsys: pytest.CaptureFixture[str], codes: tuple[int, ...]) -> None:
    code, said = main(words), capsys.readouterr()
    assert code in codes, words
    if code == 2:
        assert said.err.startswith("srnn: ") and said.err.count("\n") == 1 and len(said.err) < 2300, words
        assert not any(ord(character) < 32 for character in said.err.rstrip("\n")), words
    assert "Traceback" not in said.err + said.out


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "info"])
def test_odd_words_are_one_line(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tried = 0
    for words in odd_lines(command):
        check(words, capsys, (2, 0) if command in LISTING else (2,))
        tried += 1
    assert tried >= 10
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]  # nothing was begun


@pytest.mark.parametrize(
    "odd", [*ODD, "1e309", "-.inf", "[[1]]", "{a: {b: 1}}", "!!python/name:os.system", "&a [*a]", "2024-13-45", "~"]
)
def test_odd_words_for_every_setting_of_a_recipe_are_one_line(odd: str, capsys: pytest.CaptureFixture[str]) -> None:
    for key in recipe_keys():
        check(["recipes", "show", "digits", f"--{key}={odd}"], capsys, (2, 0))  # 0: text is text in task.options, say


@pytest.mark.parametrize("name", ["-heart.csv", "--heart.csv", "--note"])
def test_a_file_whose_name_begins_with_a_dash(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no option, and no setting, behind --; elsewhere it is said how else to write it."""
    monkeypatch.chdir(tmp_path)
    assert parse(["predict", "--json", "--", "digits", name]).files == [Path(name)]
    assert parse(["stream", "digits", "--", name]).source == name
    assert main(["predict", "digits", name]) == 2 and "write ./" not in capsys.readouterr().err
    Path(name).touch()
    for words in (["predict", "digits", name], ["stream", "digits", name]):
        check(words, capsys, (2,))
        assert main(words) == 2
        assert capsys.readouterr().err.endswith(f" If you mean the file {name}, write ./{name}.\n")
