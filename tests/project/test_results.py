"""What results/ says of itself: a command that it prints trains what it is said to have trained."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from paper.matching import differences
from srnn.cli.main import parse
from srnn.files.yaml_reading import parse_yaml
from srnn.training.recipes import Recipe, load_recipe, parse_recipe
from support.pages import ROOT

RESULTS = ROOT / "results"
SUMMARIES = sorted(path.parent for path in RESULTS.glob("*/summary.json"))
DEFAULTS_THAT_CAME_LATER = ("start", "mend")
"""Of the section training: a recipe of before them was trained without, and does not say so by leaving them out."""
NOT_THE_RECIPE = ("--seed", "--data-dir", "--out", "--device")
"""Options of 'srnn train' that do not change what is trained."""

pytestmark = pytest.mark.skipif(not SUMMARIES, reason="results/ is not here")


def command_words(command: str) -> tuple[tuple[str, ...], int | None]:
    """(words that name the recipe, seed) of a 'srnn train' command; SEED in place of the seed is no seed."""
    words = [part for word in command.split() for part in (word.split("=", 1) if word.startswith("--") else [word])]
    kept, seed = [], None
    rest = iter(words)
    for word in rest:
        if word not in NOT_THE_RECIPE:
            kept.append(word)
            continue
        value = next(rest, "")
        if word == "--seed" and value.isdigit():
            seed = int(value)
    return tuple(kept), seed


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def recipe_of(command: str) -> Recipe:
    """What 'srnn train' would train, given these words."""
    arguments = parse(shlex.split(command.replace("SEED", "0"))[1:])
    return load_recipe(arguments.recipe, arguments.overrides, arguments.baseline)


@pytest.mark.parametrize("folder", SUMMARIES, ids=lambda folder: folder.name)
def test_the_command_of_a_result_trains_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    told = summary(folder)
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    assert parse_yaml(text, folder.name) == told["recipe"]
    spiking = told["recipe"]["network"].get("model", "srnn") == "srnn"
    assert {*DEFAULTS_THAT_CAME_LATER[not spiking :]} <= {*told["recipe"]["training"]}, "a default would take its place"
    differ = differences(recipe_of(told["command"]), parse_recipe(text, source=folder.name))
    assert not differ, f"a recipe has changed since: let the command name results/{folder.name}/recipe.yaml"
    page = " ".join((folder / "summary.md").read_text(encoding="utf-8").split())
    assert f"Made by `{told['command']}` for each seed" in page


def test_the_command_of_a_test_split_trains_what_was_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that has changed since would be tested by its name, and have other weights."""
    monkeypatch.chdir(ROOT)
    tested = json.loads((RESULTS / "test-splits.json").read_text(encoding="utf-8"))
    assert len(tested) > 100
    for command, parameters in {(one["trained"].rpartition(" --seed ")[0], one["parameters"]) for one in tested}:
        recipe = recipe_of(command)
        network = recipe.build_network(recipe.create_task(), seed=0)
        assert sum(one.numel() for one in network.parameters() if one.requires_grad) == parameters, command


def test_a_summary_has_all_its_tests_or_none() -> None:
    """Where the test split was read for some seeds of a result, it was for all; a command that was reworded on one side alone
    would leave a result without its tests."""
    tests = [command_words(one["trained"]) for one in json.loads((RESULTS / "test-splits.json").read_text())]
    for folder in SUMMARIES:
        told = summary(folder)
        mine = {seed for words, seed in tests if words == command_words(told["command"])[0]}
        assert mine in (set(), {*told["seeds"]}), folder.name
    commands = {command_words(summary(folder)["command"])[0] for folder in SUMMARIES}
    named = {  # of each speaker left out once there is no summary: of its recipe
        words[:3] if "--task.options.test_speaker" in words else words
        for words, _ in tests
        if words[2].startswith("results/")
    }
    assert named <= commands, named - commands
