"""What labels of a new subject are worth: streams in cycles, the same scored labels for all,
nobody's labels for another."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import Adaptation
from srnn.cli.main import main
from srnn.files import only_writer
from srnn.model.trained import Trained
from srnn.studies.adaptation import adaptation_curve, curve_table, cycles
from srnn.training.adapting import Adapter
from support.refusing import refuses
from support.tiny import TinyStepTask, TinyTask, tiny_recipe

WAYS = {"all": Adaptation("all", lr=0.05, bound=5.0), "none": Adaptation("all", lr=1e-12)}


@dataclass(frozen=True)
class Subjects(TinyTask):
    """Two subjects with many recordings, one of them with the classes the other way round, and one
    with few."""

    def load(self, split: Any, data_dir: Path | None = None) -> Any:
        data = super().load(split, data_dir)
        groups = np.array(["a"] * 28 + ["b"] * 28 + ["few"] * 4)
        return replace(data, y=np.where(groups == "b", 2 - data.y, data.y), groups=groups)


def test_a_stream_is_cut_where_the_first_class_comes_again() -> None:
    y = np.array([-1, 1, 1, 2, -1, 1, 0, 1, 1, -1])
    parts = cycles(np.arange(10.0)[:, None], y)
    assert [part.y.tolist() for part in parts] == [[-1, 1, 1, 2, -1], [1, 0], [1, 1, -1]]
    assert (
        np.concatenate([part.x for part in parts])[:, 0].tolist() == list(range(10))
        and not parts[0].ends
    )
    assert len(cycles(np.zeros((4, 1)), np.full(4, -1))) == 1


def test_a_subject_learns_its_own_first_labels_and_is_scored_on_the_rest() -> None:
    recipe = tiny_recipe()
    trained = Trained(recipe.build_network(Subjects(), 1), Subjects(), recipe)
    report = adaptation_curve(trained, "train", [8, 1], WAYS, seed=3)
    assert report["labels"] == [1, 8] and report["left_out"] == 1
    first, second = report["subjects"]
    assert (first["subject"], first["scored_labels"], second["scored_labels"]) == ("a", 20, 20)
    for row in (first, second):
        assert row["none 8"] == row["none 1"] == row["before"]
        assert row["all 8"] != row["before"]
    data = Subjects().load("train")
    adapter = Adapter(trained, WAYS["all"])
    order = np.random.default_rng(3).permutation(np.arange(28, 56))
    for index in order[:8]:
        adapter.learn(
            torch.from_numpy(data.x[index : index + 1]), torch.from_numpy(data.y[index : index + 1])
        )
    state = adapter.network.initial_state(20, torch.Generator().manual_seed(0))
    state = tuple(type(part)(*(value[:1].expand_as(value) for value in part)) for part in state)
    output = adapter.network.run(torch.from_numpy(data.x[order[8:]]), state).output
    assert trained.loss(output, torch.from_numpy(data.y[order[8:]])).correct == round(
        20 * second["all 8"]
    )
    lines = curve_table(report, list(WAYS))
    assert len(lines) == 2 + 1 + 4 and "0 of 2" in lines[-1]


def test_what_has_no_subjects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tiny_recipe("--task.name=tiny_steps", "--loss.name=nll")
    network: Any = recipe.build_network(TinyStepTask(), 1)
    with refuses("subjects", "data"):
        adaptation_curve(Trained(network, TinyStepTask(), recipe), "train", [1], WAYS)
    recipe = tiny_recipe()
    with refuses("labels", "data"):
        adaptation_curve(
            Trained(recipe.build_network(Subjects(), 1), Subjects(), recipe), "train", [40], WAYS
        )
    model = Trained(recipe.build_network(TinyTask(), 1), TinyTask(), recipe).save(
        tmp_path / "m.safetensors"
    )
    out = tmp_path / "curve"
    assert main(["adapt", str(model), "--curve", "0", "--out", str(out)]) == 2
    assert "at least 1" in capsys.readouterr().err and not out.exists()


@pytest.mark.slow
def test_models_that_left_different_subjects_out_make_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = TinyTask().load("train")
    speakers = np.array(["a", "b"])[np.arange(len(data.y)) % 2]
    np.savez(
        tmp_path / "words.npz",
        x=data.x,
        y=data.y,
        groups=speakers,
        class_names=np.array(["a", "b", "c"]),
    )
    models = []
    for seed in (1, 2):
        trained = Trained(tiny_recipe().build_network(TinyTask(), seed), TinyTask(), tiny_recipe())
        models.append(str(trained.save(tmp_path / f"{seed}.safetensors")))
    arguments = ["--data", str(tmp_path / "words.npz"), "--out", str(tmp_path / "curve")]
    assert main(["adapt", *models, *arguments]) == 2
    assert "Without --curve give one model" in capsys.readouterr().err
    with only_writer(tmp_path / "curve"):  # another command: told before the work, not after it
        assert main(["adapt", *models, *arguments, "--curve", "2"]) == 2
    assert "curve is being written by another process" in capsys.readouterr().err
    assert main(["adapt", *models, *arguments, "--curve", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["subject"] for row in report["subjects"]] == ["a", "b", "a", "b"]
    assert report["subjects"][0]["before"] != report["subjects"][2]["before"]  # of another model
    assert "4 subjects" in (tmp_path / "curve" / "adaptation.md").read_text()
    assert main(["adapt", *models, *arguments, "--curve", "2"]) == 2
    assert (
        "is not empty; --overwrite replaces it, or choose another --out" in capsys.readouterr().err
    )
