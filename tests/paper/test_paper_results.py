"""What paper/results/ says of itself: a command that it gives trains what it measured, and its
tables are today's."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from paper.evidence import RESULTS, gather
from paper.make import reproduce
from paper.matching import differences
from paper.table import Table
from srnn.cli.train import with_short_forms
from srnn.studies import load_sweep
from srnn.training.recipes import load_recipe
from support.commands import parse
from support.pages import ROOT

SWEEPS = ROOT / "paper" / "sweeps"


@pytest.mark.filterwarnings("ignore:training.mend is called:FutureWarning")
@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in RESULTS.glob("*/summary.json"))
)
def test_the_command_of_a_result_trains_it(name: str) -> None:
    (measured,) = (entry for entry in gather(RESULTS).entries if entry.name == name)
    command = json.loads((RESULTS / name / "summary.json").read_text(encoding="utf-8"))["command"]
    arguments = parse(shlex.split(command.replace("SEED", "0"))[1:]).arguments
    settings = with_short_forms(arguments["settings"], arguments["epochs"], arguments["device"])
    trained = load_recipe(arguments["recipe"], settings, arguments["baseline"])
    assert not differences(trained, measured.recipe), (
        "a recipe has changed since: let the command say what was trained"
    )


def test_every_sweep_of_the_results_has_its_file() -> None:
    for path in RESULTS.glob("*/results.json"):
        sweep = load_sweep(str(SWEEPS / f"{path.parent.name}.yaml"))
        points = {
            point["point"] for point in json.loads(path.read_text(encoding="utf-8"))["points"]
        }
        assert points <= set(sweep.grid_points()), path


def test_the_tables_are_those_of_todays_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SRNN_DATA", str(tmp_path / "nothing"))
    for name, table in reproduce(["table1", "table2", "tableS1", "tableS2"], tmp_path).items():
        kept = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
        assert isinstance(table, Table) and table.markdown() == kept, (
            "make it again: python -m paper reproduce all --out reproduced; then copy the tables' "
            ".md"
        )


def test_what_is_kept_is_little() -> None:
    """Plots and other forms of a number are made, not kept."""
    kept = [path for path in RESULTS.rglob("*") if path.is_file()]
    assert len(kept) <= 60 and not {path.suffix for path in kept} & {".png", ".svg", ".csv"}
