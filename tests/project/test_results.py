"""What results/ says of itself: a command that it prints trains what it is said to have trained,
and its table is its files'."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from release import results_table

from srnn.cli.train import with_short_forms
from srnn.files.yaml_reading import parse_yaml
from srnn.training.recipes import Recipe, load_recipe, parse_recipe
from support.commands import parse
from support.pages import ROOT

RESULTS = ROOT / "results"
ROWS = [RESULTS / name for name in results_table.ROWS]
SUMMARIES = sorted(path.parent for row in ROWS for path in row.rglob("summary.json"))
"""Rows, and what they are compared with."""
DEFAULTS_THAT_CAME_LATER = ("start", "mend")
"""Of the section training: a recipe of before them was trained without, and does not say so by
leaving them out."""

pytestmark = pytest.mark.skipif(not RESULTS.is_dir(), reason="results/ is not here")


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def readings(row: Path) -> list[dict[str, Any]]:
    return results_table.read(row / "test.json") or []


def trained(test: dict[str, Any]) -> tuple[str, int]:
    """(command, seed) of what was tested."""
    command, _, seed = test["trained"].rpartition(" --seed ")
    return command, int(seed)


def recipe_of(command: str) -> Recipe:
    """What 'srnn train' would train, given these words; its note aside."""
    arguments = parse(shlex.split(command.replace("SEED", "0"))[1:]).arguments
    settings = with_short_forms(arguments["settings"], arguments["epochs"], arguments["device"])
    return replace(load_recipe(arguments["recipe"], settings, arguments["baseline"]), note="")


@pytest.mark.parametrize(
    "folder", SUMMARIES, ids=lambda folder: folder.relative_to(RESULTS).as_posix()
)
def test_the_command_of_a_result_trains_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    told = summary(folder)
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    assert parse_yaml(text, folder.name) == told["recipe"]
    spiking = told["recipe"]["network"].get("model", "srnn") == "srnn"
    assert {*DEFAULTS_THAT_CAME_LATER[not spiking :]} <= {*told["recipe"]["training"]}, (
        "a default would take its place"
    )
    kept = replace(parse_recipe(text, source=folder.name), note="")
    assert recipe_of(told["command"]) == kept, (
        "a recipe has changed since: let the command name the folder's recipe.yaml"
    )
    if (folder / "summary.md").is_file():
        page = " ".join((folder / "summary.md").read_text(encoding="utf-8").split())
        assert f"Made by `{told['command']}` for each seed" in page


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_command_of_a_test_split_trains_what_was_tested(
    row: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe that has changed since would be tested by its name, and have other weights."""
    monkeypatch.chdir(ROOT)
    for command, parameters in {
        (trained(one)[0], one["parameters"]) for one in readings(row) if "trained" in one
    }:
        recipe = recipe_of(command)
        network = recipe.build_network(recipe.create_task(), seed=0)
        assert (
            sum(one.numel() for one in network.parameters() if one.requires_grad) == parameters
        ), command


def test_a_summary_has_all_its_tests_or_none() -> None:
    """Where we read the test split for some seeds of a result, we did for all; and each reading is
    of something in its folder."""
    for row in ROWS:
        tests = [(*trained(one), "read_by" in one) for one in readings(row) if "trained" in one]
        summaries = [summary(folder) for folder in SUMMARIES if folder.is_relative_to(row)]
        for told in summaries:
            command = results_table.bare(told["command"])
            mine = {seed for name, seed, by_others in tests if name == command and not by_others}
            assert mine in (set(), {*told["seeds"]}), row.name
        if (row / "summary.json").is_file():
            assert {name for name, *_ in tests} <= {
                results_table.bare(told["command"]) for told in summaries
            }


def test_the_table_is_that_of_its_files() -> None:
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert results_table.replaced(page) == page, "write it again: python -m release.results_table"


def test_a_folder_is_named_on_the_page_and_has_no_plots() -> None:
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    for folder in ROWS:
        assert f"]({folder.name}/" in page
        assert not {path.suffix for path in folder.rglob("*")} & {
            ".svg",
            ".png",
            ".jsonl",
            ".csv",
        }, folder.name
