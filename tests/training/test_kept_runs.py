"""The trained runs that tests copy: what today's program would train, and how good it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srnn.training.evaluation import evaluate
from srnn.training.recipes import Recipe, dump_recipe
from srnn.training.runs import Run
from support.kept import KEPT_RUNS, WORDS, recipe_of, task_of, write_tables

RENEW = "PYTHONPATH=tests python tests/fixtures/make_runs.py makes them anew"


@pytest.mark.usefixtures("few_digits")
@pytest.mark.parametrize("name", WORDS)
def test_a_kept_run_is_of_today(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tables(Path("data"))
    run = Run.open(KEPT_RUNS / name)
    assert (run.path / "recipe.yaml").read_text() == dump_recipe(recipe_of(name)), RENEW

    if (task := task_of(name)) is not None:
        monkeypatch.setattr(Recipe, "create_task", lambda self: task)
    found = evaluate(run.trained(), "validation").report
    result = json.loads((run.path / "result.json").read_text())
    # On another processor a sequence may be taken for another class.
    assert found["accuracy"] == pytest.approx(result["accuracy"], abs=0.1), RENEW
    assert result["epochs"] == run.recipe.training.epochs
