"""What results/ says of itself: a command that it prints trains what it is said to have trained,
and every number of its pages is its files'."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from release import ecg_energy, results_picture, results_table

from srnn.cli.train import with_short_forms
from srnn.data.datasets.catalogue import CATALOGUE
from srnn.files.conversion import with_present_keys
from srnn.files.yaml_reading import parse_yaml
from srnn.measure.energy import FP32, Activity, count, describe_network, picojoules, total
from srnn.training.recipes import Recipe, load_recipe, parse_recipe
from support.commands import parse
from support.pages import ROOT

RESULTS = ROOT / "results"
ROWS = [RESULTS / name for name in (*results_table.ROWS, "phones")]
"""And phones, which is no row: its labels cannot be had."""
SUMMARIES = sorted(path.parent for row in ROWS for path in row.rglob("summary.json"))
"""Rows, and what they are compared with."""
DEFAULTS_THAT_CAME_LATER = ("start", "recover")
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
    recipe = with_present_keys(Recipe, told["recipe"])
    assert {*DEFAULTS_THAT_CAME_LATER[not spiking :]} <= {*recipe["training"]}, (
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


WRITE = "write it again: python -m release."


def text(path: str) -> str:
    """A page, its lines joined."""
    return " ".join((ROOT / path).read_text(encoding="utf-8").split())


def points(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def test_the_tables_and_the_picture_are_those_of_their_files() -> None:
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert {found[2] for found in results_table.PLACE.finditer(page)} == {*results_table.TABLES}
    assert results_table.replaced(page) == page, f"{WRITE}results_table"
    picture = results_picture.PATH.read_text(encoding="utf-8")
    assert picture == results_picture.picture(), f"{WRITE}results_table"
    energy = (ecg_energy.FOLDER / "README.md").read_text(encoding="utf-8")
    assert ecg_energy.replaced(energy, ecg_energy.TABLES) == energy, f"{WRITE}ecg_energy"


def test_no_result_is_of_an_uncommitted_tree() -> None:
    """Of speech-commands-live, whose page says so, the commit is not on record."""
    for folder in SUMMARIES:
        commits = [one["git_commit"] for one in summary(folder).get("environments", [])]
        assert commits or folder.name == "speech-commands-live"
        assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in commits), folder


def test_the_last_epochs_are_of_the_same_trainings() -> None:
    """And so at most as good as the best one."""
    for told in map(summary, SUMMARIES):
        if "last_epochs" in told:
            best, last = told[told["last_epochs"]["measure"]]["values"], told["last_epochs"]
            assert all(a >= b for a, b in zip(best, last["values"], strict=True))


def test_energies_that_need_no_data_are_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not spike costs the same whatever it reads."""
    monkeypatch.chdir(ROOT)
    measured = results_table.read(ecg_energy.MEASURED)["networks"]
    recipes = {
        name: parse_recipe(Path(path).read_text(encoding="utf-8"), source=name)
        for name, path in ecg_energy.NETWORKS.items()
        if name != "srnn"
    }
    twin = (RESULTS / "ecg" / "relu" / "recipe.yaml").read_text(encoding="utf-8")
    recipes["twin"] = parse_recipe(twin, source="twin")
    for name, recipe in recipes.items():
        layers = describe_network(recipe.build_network(recipe.create_task(), seed=0))
        counts = total(count(layers, Activity(True, 0.1)))
        assert measured[name]["arithmetic_pj"] == pytest.approx(picojoules(counts, FP32))


def test_the_headlines_are_those_of_their_files() -> None:
    readme, claims = text("README.md"), text("docs/results.md")
    ours, lstm = summary(RESULTS / "ecg"), summary(RESULTS / "ecg" / "lstm")

    def read_by_others(row: str, baseline: str = "", measure: str = "accuracy_labelled") -> float:
        told = summary(RESULTS / row / baseline)
        command = results_table.bare(told["command"])
        found = results_table.trainings(readings(RESULTS / row), command)
        values = [one[measure] for one in found if "read_by" in one]
        return sum(values) / len(values)

    low, high = results_table.interval("ecg").split(" to ")
    validation = points(ours["accuracy_labelled"]["mean"])
    assert (
        f"{points(read_by_others('ecg'))} %, 1,848 parameters (validation {validation}; over "
        f"records {float(low):.0f} to {float(high):.0f})" in readme
    )
    assert (
        f"tuned LSTM: {points(read_by_others('ecg', 'lstm'))} %, {lstm['parameters']:,} parameters "
        f"(validation {points(lstm['accuracy_labelled']['mean'])})" in readme
    )
    assert f"confidence interval of {low} to {high} %" in claims
    assert (
        f"the LSTM has {points(read_by_others('ecg', 'lstm', 'accuracy'))} %, `ecg` "
        f"{points(read_by_others('ecg', measure='accuracy'))}" in claims
    )
    large, small, gated, tuned, causal = results_table.raw_ecg()[1:]
    held_out = [row[2].partition(" ")[0] for row in (large, small, gated, tuned, causal)]
    assert (
        f"{held_out[0]} %, {large[1]} parameters; {held_out[1]} %, {small[1]} | GRU: {held_out[2]} %, "
        f"{gated[1]} parameters; LSTM: {held_out[3]} %, {tuned[1]}; causal CNN: {held_out[4]} %, "
        f"{causal[1]} |" in readme
    )
    low, high = results_table.interval("speech-commands-mini").split(" to ")
    speech = summary(RESULTS / "speech-commands-mini")["accuracy"]["mean"]
    heard = read_by_others("speech-commands-mini", measure="accuracy")
    assert (
        f"{points(heard)} %, 118,296 parameters (validation {points(speech)}; over speakers "
        f"{float(low):.0f} to {float(high):.0f})" in readme
    )
    of_all = read_by_others("speech-commands-mini", "lstm", "accuracy")
    assert f"LSTM: {points(of_all + 1e-9)} %, 262,156 parameters" in readme


def test_the_energies_of_the_headlines_are_those_of_their_file() -> None:
    of = results_table.read(ecg_energy.MEASURED)["networks"]
    names = [f"memory_{technology}_pj" for technology in ecg_energy.TECHNOLOGIES]
    nanojoules = {name: [f"{one[key] / 1000:.1f}" for key in names] for name, one in of.items()}
    readme, claims = text("README.md"), text("docs/results.md")
    assert "{} nJ, in int8 {}".format(*nanojoules["srnn"]) in readme
    assert "LSTM of as many parameters: {} and {}".format(*nanojoules["lstm-18"]) in readme
    assert "which is more accurate: {} and {}".format(*nanojoules["twin"]) in readme
    ratios = {
        name: [f"{one[key] / of['srnn'][key]:.1f}" for key in names] for name, one in of.items()
    }
    assert ratios["lstm-18"] == ratios["twin"]
    assert f"{ratios['lstm'][0]} times less than an LSTM of as many units" in claims
    assert f"{ratios['twin'][0]} times less than one of as many parameters" in claims
    ints = [ratios[name][1] for name in ("lstm", "lstm-18", "twin")]
    assert "In int8 {}, {} and {} times".format(*ints) in claims
    times = [float(row[-1]) for row in ecg_energy.times()[1:]]
    assert f"takes {min(times)} to {max(times)} times less time" in claims


def test_a_claim_of_the_ecg_is_its_file_s() -> None:
    claims = text("docs/results.md")
    rows = ("results/ecg", "results/ecg/relu")
    for folder in ("paper/results/paper-ecg-printed", "paper/results/paper-ecg", *rows):
        told = summary(ROOT / folder)
        both = [results_table.validated(told, key) for key in ("accuracy_labelled", "accuracy")]
        assert f"| {both[0]} | {both[1]} |" in claims
    groups = results_table.read(RESULTS / "ecg" / "groups.json")["right_of_counted"].values()
    each = sorted(right / counted for right, counted in groups)
    assert f"right in {points(each[0], 0)} to {points(each[-1], 0)} % of the labelled" in claims


def test_a_seed_that_was_trained_twice_has_the_same_curve() -> None:
    again = results_table.read(RESULTS / "ecg" / "again.json")
    row = summary(RESULTS / "ecg")
    place = row["seeds"].index(41)
    assert again["git_commit"] != row["environments"][place]["git_commit"]
    assert again["curve"] == row["curves"][place]
    assert again["accuracy"] == row["accuracy"]["values"][place]


def test_the_data_of_the_page_can_be_fetched() -> None:
    named = re.findall(r"srnn data fetch (\S+?)`", text("results/README.md"))
    assert len(named) == 5 and {*named} <= {*CATALOGUE}


def test_a_folder_is_named_on_the_page_and_has_no_plots() -> None:
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    for folder in ROWS:
        assert f"]({folder.name}/" in page
        suffixes = {path.suffix for path in folder.rglob("*")}
        assert not suffixes & {".svg", ".png", ".jsonl", ".csv"}, folder.name
