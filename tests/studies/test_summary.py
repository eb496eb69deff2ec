"""Several runs as one result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from srnn import SrnnError
from srnn.cli.main import main
from srnn.studies.summary import _plot, last_epochs, machine, spread, summarise
from srnn.training.loop import train
from srnn.training.runs import Run
from support.commands import fails
from support.tiny import TinyTask, tiny_recipe


def test_spread() -> None:
    assert spread([1.0, 3.0]) == {
        "mean": 2.0,
        "std": pytest.approx(2**0.5),
        "min": 1.0,
        "max": 3.0,
        "values": [1.0, 3.0],
    }
    assert spread([1.0])["std"] is None


@pytest.mark.parametrize(("epochs", "last"), [(1, 1), (4, 1), (16, 2), (25, 2), (60, 6)])
def test_the_last_tenth_of_the_epochs_is_at_least_one(epochs: int, last: int) -> None:
    curve = [float(epoch) for epoch in range(epochs)]
    assert last_epochs(curve) == pytest.approx(sum(curve[-last:]) / last)


@pytest.mark.slow
def test_seeds_add_up_and_mistakes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe("--training.epochs=2")
    for seed in (0, 1):  # what a recipe says of itself is no setting
        train(
            replace(recipe, note=f"note {seed}"), tmp_path / f"s{seed}", seed=seed, task=TinyTask()
        )
    folders = [tmp_path / "s1", tmp_path / "s0"]
    summary = summarise(folders, tmp_path / "out", "tiny", "srnn train tiny --seed SEED")
    results = [json.loads((tmp_path / f"s{seed}" / "result.json").read_text()) for seed in (0, 1)]
    assert summary["seeds"] == [0, 1]
    assert summary["accuracy"]["values"] == [result["accuracy"] for result in results]
    assert all(len(curve) == 2 for curve in summary["curves"])
    assert summary["last_epochs"]["values"] == [curve[-1] for curve in summary["curves"]]
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    assert "mean ± std" in (tmp_path / "out" / "summary.md").read_text()
    picture = (tmp_path / "out" / "curves.svg").read_bytes()
    summarise(folders, tmp_path / "out", "tiny", "srnn train tiny --seed SEED")
    assert (tmp_path / "out" / "curves.svg").read_bytes() == picture

    train(tiny_recipe("--training.epochs=1"), tmp_path / "other", seed=5, task=TinyTask())
    for wrong in ([folders[0], tmp_path / "other"], [tmp_path / "out"], [tmp_path]):
        with pytest.raises(SrnnError):
            summarise(wrong, tmp_path / "new", "tiny", "srnn train")
    with monkeypatch.context() as patch, pytest.raises(MemoryError):  # all files, or none
        patch.setattr("srnn.measure.style.rendered", lambda *_: np.empty(2**55))
        summarise(folders, tmp_path / "new", "tiny", "srnn train")
    assert not (tmp_path / "new").exists()
    (tmp_path / "s0" / "result.json").unlink()
    with pytest.raises(SrnnError, match="no result yet"):
        summarise(folders, tmp_path / "new", "tiny", "srnn train")


@pytest.mark.parametrize("seeds", [2, 45])
def test_no_curve_is_covered_and_epochs_are_whole(
    seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list = []
    monkeypatch.setattr(
        "srnn.measure.style.rendered", lambda figure, form: drawn.append(figure) or b""
    )
    given = {
        "seeds": range(seeds),
        "curves": [[0.1, 0.2]] * seeds,
        "best_epoch": [2] * seeds,
        "title": "a title " * 40,
    }
    _plot(given, "accuracy")
    (figure,) = drawn
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= axes.get_window_extent().x1 and box.y0 >= 0
    assert figure._suptitle.get_window_extent().x1 <= box.x0
    assert all(tick == round(tick) for tick in axes.get_xticks())
    assert [text.get_text() for text in legend.get_texts()] == [
        f"seed {i}" for i in range(seeds)
    ] + ["best epoch"]


def test_analog_neurons_have_no_firing_rate(tmp_path: Path) -> None:
    for name, heading in (("relu", "hidden outputs not 0"), ("lif", "hidden firing rate")):
        recipe = tiny_recipe(
            "--training.epochs=1", f"--network.neuron={{name: {name}, tau_mem: 3}}"
        )
        train(recipe, tmp_path / name, task=TinyTask())
        summary = summarise([tmp_path / name], tmp_path / "out", "tiny", "srnn train tiny")
        assert summary["spiking"] is (name == "lif")
        assert f"| {heading} |" in (tmp_path / "out" / "summary.md").read_text()


def test_every_accuracy_has_a_column(tmp_path: Path) -> None:
    train(
        tiny_recipe("--training.epochs=1", "--training.class_weights=balanced"),
        tmp_path / "run",
        task=TinyTask(),
    )
    summarise([tmp_path / "run"], tmp_path / "out", "tiny", "srnn train tiny")
    assert (
        "| seed | accuracy | balanced accuracy | last tenth of epochs | hidden"
        in (tmp_path / "out" / "summary.md").read_text()
    )


def test_the_accuracy_that_chose_the_epoch_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was always the plain one."""
    drawn: list = []
    monkeypatch.setattr(
        "srnn.measure.style.rendered", lambda figure, form: drawn.append(figure) or b""
    )
    recipe = tiny_recipe(
        "--training.epochs=2", "--training.early_stopping.metric=balanced_accuracy"
    )
    train(recipe, tmp_path / "run", task=TinyTask())
    summary = summarise([tmp_path / "run"], tmp_path / "out", "tiny", "srnn train tiny")
    epochs = Run.open(tmp_path / "run").epochs()
    assert summary["curves"] == [[epoch["validation"]["balanced_accuracy"] for epoch in epochs]]
    assert summary["curves"] != [[epoch["validation"]["accuracy"] for epoch in epochs]]
    assert drawn[0].axes[0].get_ylabel() == "validation balanced accuracy, %"
    assert (
        "![validation balanced accuracy by epoch]" in (tmp_path / "out" / "summary.md").read_text()
    )


def test_where_a_run_was_trained() -> None:
    environment = {
        "cpu": "a CPU",
        "cores": 2,
        "versions": {"torch": "2.9", "srnn": "0.1.0"},
        "git_commit": "abc-dirty",
    }
    assert machine(environment) == "a CPU, 2 cores, torch 2.9, commit abc-dirty."
    assert (
        machine(environment | {"git_commit": None}) == "a CPU, 2 cores, torch 2.9, srnn 0.1.0."
    )  # it was commit None


def test_seeds_of_a_recipe_are_one_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(tmp_path / name) for name in "ab"]
    for seed, run in enumerate(runs):
        train(
            replace(tiny_recipe("--training.epochs=1"), note=run),
            Path(run),
            seed=seed,
            task=TinyTask(),
        )
    out = tmp_path / "summary"
    assert main(["report", *runs, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["seeds"] == [0, 1]
        and told["title"] == "digits"
        and told == json.loads((out / "summary.json").read_text())
    )
    named = ["--title", "Two seeds", "--command", "srnn train digits --seed SEED"]
    assert main(["report", *runs, "--out", str(out), *named]) == 0
    assert (
        "Two seeds: " in capsys.readouterr().out
        and "Made by `srnn train digits" in (out / "summary.md").read_text()
    )
    assert main(["report", runs[0], "--out", str(out), "--title", "One", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["std"] is None
    for words, said in (
        ([], "name a folder for their summary, --out DIR"),
        (["--out", out, "--split", "test"], "--split is for pages"),
        (["--out", out, "--baselines", "lstm"], "--baselines is for the page of a single run"),
        (
            ["--out", tmp_path / "x.html", "--samples", "1"],
            "--samples is for the page of a single run",
        ),
    ):
        assert said in fails(capsys, "report", *runs, *words)
