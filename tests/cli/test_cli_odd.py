"""Odd words for every option of every command: one line and exit code 2, before any work. The table
is made from the types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts.argument import Argument

from srnn.cli.main import COMMANDS, SRNN, main
from srnn.cli.parsing import app_of
from srnn.training.recipes import recipe_keys
from support.commands import parse

pytestmark = pytest.mark.robust

ODD = [
    "",
    "\x00",
    "\x1b[31m",
    "\udcff",
    "x" * 5000,
    "-1",
    "1e999",
    "nan",
    "9" * 5000,
    "[/red]",
    "--",
    "{",
]
TEXTS = [
    "1e309",
    "-.inf",
    "[[1]]",
    "{a: {b: 1}}",
    "!!python/name:os.system",
    "&a [*a]",
    "2024-13-45",
    "~",
]
LISTING = ("data", "models", "recipes")
"""Without an action they list what there is, whatever their other options say."""


def sound(arguments: list[Argument]) -> dict[str, list[str]]:
    """Words by argument for what a command cannot do without; no such run or file is there."""
    found: dict[str, list[str]] = {}
    for argument in arguments:
        if argument.name.startswith("--"):
            if argument.required:
                found[argument.name] = [f"{argument.name}=missing.x"]
        elif argument.required:
            word = next(iter(argument.get_choices() or ()), "missing")
            found[argument.name] = [word, "missing2"] if argument.name.endswith("...") else [word]
    return found


def odd_lines(command: str) -> Iterator[list[str]]:
    for name, (where, _) in COMMANDS.items():
        if name.split()[0] != command or not where:
            continue
        collection = app_of(name, SRNN).assemble_argument_collection()
        arguments = [one for one in collection if one.parse and not one.children]
        base = sound(arguments)
        for argument in arguments:
            for odd in ("x",) if argument.hint is bool else ODD:
                given = [f"{argument.name}={odd}"] if argument.name.startswith("--") else [odd]
                groups = {**base, argument.name: given}.values()
                yield [*name.split(), *(word for group in groups for word in group)]


def check(words: list[str], capsys: pytest.CaptureFixture[str], codes: tuple[int, ...]) -> None:
    code, said = main(words), capsys.readouterr()
    assert code in codes, words
    if code == 2:
        assert said.err.startswith("srnn: ") and said.err.count("\n") == 1, words
        assert len(said.err) < 2300, words
        assert not any(ord(character) < 32 for character in said.err.rstrip("\n")), words
    assert "Traceback" not in said.err + said.out


@pytest.mark.parametrize("command", [name for name in SRNN.parts() if name != "info"])
def test_odd_words_are_one_line(
    command: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    tried = 0
    for words in odd_lines(command):
        check(words, capsys, (2, 0) if command in LISTING else (2,))
        tried += 1
    assert tried >= 10
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]  # nothing was begun


@pytest.mark.parametrize("odd", [*ODD, *TEXTS])
def test_odd_words_for_every_setting_of_a_recipe_are_one_line(
    odd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in recipe_keys():
        # 0: text is text in task.options, say
        check(["recipes", "show", "digits", f"--{key}={odd}"], capsys, (2, 0))


@pytest.mark.parametrize("name", ["-heart.csv", "--heart.csv", "--note"])
def test_a_file_whose_name_begins_with_a_dash(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no option, and no setting, behind --; elsewhere it is said how else to write it."""
    monkeypatch.chdir(tmp_path)
    assert parse(["predict", "--json", "--", "digits", name]).arguments["files"] == [Path(name)]
    assert parse(["stream", "digits", "--", name]).arguments["source"] == name
    assert main(["predict", "digits", name]) == 2 and "write ./" not in capsys.readouterr().err
    Path(name).touch()
    for words in (["predict", "digits", name], ["stream", "digits", name]):
        check(words, capsys, (2,))
        assert main(words) == 2
        assert capsys.readouterr().err.endswith(f" If you mean the file {name}, write ./{name}.\n")
