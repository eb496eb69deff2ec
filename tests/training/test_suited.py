"""The recipe for data of one's own: what it follows from, what it says, and that small or odd data
train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srnn.data.tasks import create_task
from srnn.training.preparing import prepare
from srnn.training.recipes import Recipe, load_recipe


def arrays(folder: Path, count: int, steps: int, channels: int = 1, **more: np.ndarray) -> str:
    rng = np.random.default_rng(0)
    content = {"x": rng.normal(size=(count, steps, channels)), "y": np.arange(count) % 3, **more}
    np.savez(folder / "mine.npz", **content)
    return str(folder / "mine.npz")


def settled(recipe: Recipe) -> tuple[int, int, bool]:
    return recipe.training.epochs, recipe.task.options.get("pool", 1), recipe.training.refit


@pytest.mark.parametrize(
    ("count", "steps", "pool", "refit"),
    [
        (60, 100, 1, True),
        (60, 500, 1, True),
        (60, 1250, 4, True),
        (60, 7000, 22, True),
        (500, 100, 1, False),
        (3600, 40, 1, False),
    ],
)
def test_pooling_and_refit_follow_length_and_number(
    count: int, steps: int, pool: int, refit: bool, tmp_path: Path
) -> None:
    epochs, chosen, again = settled(load_recipe(arrays(tmp_path, count, steps)))
    assert (chosen, again) == (pool, refit)
    assert 10 <= epochs <= 400
    assert epochs * 0.65 * count * (steps / pool) <= 21_000_000


@pytest.mark.filterwarnings("ignore:.*has 40 steps of 300 channels:RuntimeWarning")
def test_more_inputs_take_fewer_neurons_so_that_int8_fits(tmp_path: Path) -> None:
    for channels in (1, 40, 300):
        recipe = load_recipe(arrays(tmp_path, 30, 40, channels))
        network = recipe.build_network(recipe.create_task(), 0)
        assert sum(parameter.numel() for parameter in network.parameters()) <= 64_000
    assert recipe.network.hidden[0] < 128


def test_it_says_what_it_chose_and_what_was_set_by_hand(tmp_path: Path) -> None:
    path = arrays(tmp_path, 60, 1250)
    note = load_recipe(path).note.splitlines()
    assert note[0] == "chosen for these data:"
    assert [line.split(":")[0] for line in note[1:]] == [
        "answer",
        "steps",
        "width",
        "epochs",
        "refit",
        "variety",
    ]
    assert "classes, since labels are integers; for values: y.astype(float)" in note[1]
    assert "the mean of 4 samples" in note[2]
    changed = load_recipe(path, {"training.epochs": 7, "task.options.pool": 2})
    assert changed.note.splitlines()[-1] == "by hand: training.epochs 7, task.options.pool 2"
    assert settled(changed)[:2] == (7, 2)
    description = prepare(changed).description()
    assert description["chosen"] == changed.note.splitlines()[1:]


def test_events_are_not_scaled_and_steps_with_labels_not_pooled(tmp_path: Path) -> None:
    events = (np.random.default_rng(0).random((60, 1250, 2)) < 0.1).astype(float)
    recipe = load_recipe(arrays(tmp_path, 60, 1250, x=events))
    assert recipe.task.options == {"path": str(tmp_path / "mine.npz"), "scale": "none"}
    assert recipe.training.augment.drop > 0
    labels = np.arange(60 * 1250).reshape(60, 1250) % 2
    recipe = load_recipe(arrays(tmp_path, 60, 1250, y=labels))
    assert recipe.loss.name == "nll" and "pool" not in recipe.task.options


@pytest.mark.filterwarnings("ignore:.*too few sequences to hold any out")
@pytest.mark.filterwarnings("ignore:.*names no validation split")
def test_a_rare_class_and_few_sequences_train(tmp_path: Path) -> None:
    """23 sequences, two of them of a class of their own: refused before."""
    labels = np.array(["often"] * 11 + ["seldom"] * 10 + ["rare"] * 2)
    recipe = load_recipe(arrays(tmp_path, 23, 20, y=labels))
    task = create_task("folder", path=recipe.task.options["path"])
    ready = prepare(recipe, task=task, refit=recipe.training.refit)
    assert len(ready.train_set) == 23 - len(task.load("test"))
    assert recipe.training.refit
