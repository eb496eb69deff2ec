"""python -m paper reproduce from a results folder alone: published weights, kept runs, evaluations
and curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paper.costs import method_of
from paper.curves import write_curves
from paper.evidence import gather, read_sweep
from srnn.errors import SrnnError
from srnn.measure.analysis import recipe_spikes
from srnn.studies import load_sweep
from srnn.studies.results import write_results
from srnn.studies.trials import TrialStatus
from srnn.training.recipes import load_recipe
from support.reproducing import (
    evaluation,
    figure,
    panel,
    table,
    time_constants,
    write_summary,
    write_sweep,
)
from support.runs import ECG, few_sequences, make_run

pytestmark = pytest.mark.usefixtures("no_data")
RELU = {"network.neuron": {"name": "relu"}}
PUBLISHED = {
    "published": "smnist", "command": "python -m paper import "
                                      "smnist", "task": "smnist", "split": "test",
    "data": "10,000 images", "comparable": True, "seeds": [0, 1], "accuracy": [0.98, 0.982],
}  # fmt: skip


def write_list(results: Path, name: str, entries: Any) -> None:
    (results / name).write_text(json.dumps(entries))


class TestNoSpikes:
    @pytest.mark.parametrize(
        ("recipe", "name", "spikes"),
        [
            ("paper/ecg-code", "SRNN", True), ("paper/ecg-lif", "LIF SRNN", True), ("ecg-adlif", "SE-adLIF SRNN", True),
            ("paper/ecg-relu", "ReLU SRNN", False), ("paper/ecg-lstm", "LSTM", False), ("paper/ecg-bilstm", "Bi-LSTM", False),
        ],
    )  # fmt: skip
    def test_kinds(self, recipe: str, name: str, spikes: bool) -> None:
        assert (
            method_of(load_recipe(recipe).network) == name
            and recipe_spikes(load_recipe(recipe)) == spikes
        )

    def test_points_whose_recipes_lie_elsewhere(self, tmp_path: Path) -> None:
        """The sweep knows what each point is: a recipe beside its file, another baseline than the
        other points'."""
        (tmp_path / "own.yaml").write_text("task: {name: digits}\nnetwork: {neuron: relu}")
        (tmp_path / "mine.yaml").write_text(
            "recipe: digits\nset: {baseline: lstm}\nvariants: [own: {recipe: own.yaml, baseline: "
            "null}, lif: {baseline: lif}]"
        )
        sweep = load_sweep(str(tmp_path / "mine.yaml"))
        result = {
            "accuracy": 0.5,
            "loss": 1.0,
            "firing_rate": 0.1,
            "parameters": 9,
            "seconds": 1.0,
            "epochs": 1,
            "run": "r",
        }
        status = [
            TrialStatus(trial, "done", dict(trial.settings), {0: result}, 0.5)
            for trial in sweep.list_trials()
        ]
        write_results(sweep, status, tmp_path / "out")
        points = {point["point"]: point["spiking"] for point in read_sweep(tmp_path / "out").points}
        assert points == {"own": False, "lif": True}

    def test_activity_of_relu_units_is_no_firing_rate(self, results: Path, tmp_path: Path) -> None:
        """Their summaries and sweeps hold the share of outputs that are not 0 under that name."""
        folder = write_summary(results / "mine", "paper/ecg-relu")
        (folder / "evaluation-validation.json").write_text(evaluation())
        write_summary(results / "spikes")
        write_sweep(results / "ecg-neurons", {"alif": {}, "relu": RELU})
        rows = {row["method"]: row for row in table("table2", results, tmp_path).to_dict()["rows"]}
        assert (
            rows["mine"]["rate"] is None
            and rows["mine"]["mac"] > 1000
            and rows["spikes"]["rate"] == 0.3
        )
        texts = {
            row["method"]: row["rate"]
            for row in table("table2", results, tmp_path).to_dict()["texts"]
        }
        assert texts["mine"] == "n/a" and texts["spikes"] == "0.300"
        panels = {one.letter: one for one in figure("fig3", results).panels}
        assert list(panels["f"].numbers["ours"]) == ["ECG"] and panels["g"].state == "missing"
        assert panels["h"].numbers["ecg-neurons: relu"]["firing_rate"] is None
        assert panels["h"].numbers["ecg-neurons: alif"]["firing_rate"]["mean"] > 0


class TestPublishedWeights:
    def test_a_column_of_table_1(self, results: Path, tmp_path: Path) -> None:
        assert "weights" not in table("table1", results, tmp_path).titles
        other = {**PUBLISHED, "task": "gsc", "comparable": False, "seeds": [], "accuracy": [0.9]}
        write_list(results, "published.json", [PUBLISHED, other])
        made = table("table1", results, tmp_path)
        found = {row["task"]: row["weights"] for row in made.to_dict()["texts"] if row["weights"]}
        assert found == {"S-MNIST": "98.10 ± 0.14 (test)", "GSC": "90.00 (test) *"}
        notes = [note for note in made.notes if "run here" in note]
        assert (
            "seeds 0, 1" in notes[0]
            and "python -m paper import smnist" in notes[0]
            and notes[1].startswith("* ")
        )

    @pytest.mark.parametrize(
        "content",
        [{}, 3, [3], [{}], [{**PUBLISHED, "accuracy": "x"}], [{**PUBLISHED, "accuracy": []}]],
    )
    def test_a_damaged_list(self, results: Path, content: Any) -> None:
        write_list(results, "published.json", content)
        with pytest.raises(SrnnError, match=r"published\.json"):
            gather(results)


class TestKeptRuns:
    def test_a_run_in_the_results_fills_panels(
        self, results: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        few_sequences(monkeypatch)
        run = make_run(results / "ecg" / "run", *ECG)
        panels = {one.letter: one for one in figure("fig4", results).panels}
        assert panels["c"].state == panels["d"].state == "made"
        (entry,) = gather(results).entries
        assert entry.name == "ecg" and entry.runs == [run]
        (entry,) = gather(results, [run]).entries  # named once more it is the same run
        assert len(entry.runs) == 1
        write_summary(results / "ecg", recipe={**entry.recipe.to_dict(), "note": "in other words"})
        (entry,) = gather(results).entries
        assert entry.seeds == [0, 1, 2] and entry.runs == [run]

    def test_evaluations_alone(self, results: Path) -> None:
        """No checkpoint is needed for time constants and curves."""
        folder = write_summary(results / "mine")
        (folder / "evaluation-validation.json").write_text(
            evaluation(time_constants=time_constants())
        )
        sheet = figure("fig4", results)
        made = panel(sheet, "c")
        assert made.numbers["tau_mem"] == {"before": [10.0, 10.0, 20.0], "after": [5.0, 10.0, None]}
        assert sheet.axes["c"].get_xscale() == "log"
        low, high = sheet.axes["c"].get_xlim()
        assert low < 5 and 400 < high < 1000
        assert (
            panel(sheet, "j").state == "made"
            and panel(figure("fig3", results), "g").state == "made"
        )

    def test_time_constants_of_a_network_that_began_as_another(self, results: Path) -> None:
        folder = write_summary(results / "mine")
        (folder / "evaluation-validation.json").write_text(
            evaluation(time_constants=time_constants(initial=None))
        )
        sheet = figure("fig4", results)
        made, legend = panel(sheet, "c"), sheet.axes["c"].get_legend()
        assert made.numbers["tau_mem"] == {"before": [], "after": [5.0, 10.0, None]}
        assert "before" not in made.text
        assert legend is not None and not any(
            "before" in text.get_text() for text in legend.get_texts()
        )

    def test_frozen_time_constants_are_not_shown(self, results: Path) -> None:
        folder = write_summary(results / "mine")
        (folder / "evaluation-validation.json").write_text(
            evaluation(time_constants=time_constants(trained=False))
        )
        assert panel(figure("fig4", results), "c").text == "mine trains no time constants."

    @pytest.mark.parametrize(
        "given", [{"name": 3}, {"trained": "x"}, {"now": {"values": "x"}}, {"initial": {}}]
    )
    def test_damaged_time_constants(self, results: Path, given: dict[str, Any]) -> None:
        folder = write_summary(results / "mine")
        (folder / "evaluation-validation.json").write_text(
            evaluation(time_constants=time_constants(**given))
        )
        with pytest.raises(SrnnError, match=r"evaluation-validation\.json"):
            gather(results)


class TestAccuracyOverTime:
    """What a curve is depends on the task, and its panel says it."""

    @pytest.mark.parametrize(
        ("changes", "says", "last"),
        [
            ({"accuracy": [None, 0.2, 0.8]}, "if the sequence ended there", 80),
            ({"accuracy": [0.2, 0.8], "per_step": True}, "of all steps so far, where a step "
                                                         "without a label counts", 80),
            ({"accuracy": [0.2, 0.8], "accuracy_labelled": [None, 0.7], "labelled_from": 2, "per_step": True},
             "of all labelled steps so far, from step 2 on", 70),
            ({"accuracy": [0.2, 0.8], "accuracy_labelled": None, "per_step": True}, "of all steps so far", 80),
        ],
    )  # fmt: skip
    def test_its_meaning(
        self, results: Path, changes: dict[str, Any], says: str, last: float
    ) -> None:
        folder = write_summary(results / "mine")
        (folder / "evaluation-validation.json").write_text(evaluation(anytime=changes))
        made = panel(figure("fig4", results), "j")
        assert (
            says in made.text
            and "mine, validation" in made.text
            and made.numbers["mine"][-1] == pytest.approx(last)
        )


class TestSweeps:
    def test_further_sweeps_have_panels(self, results: Path) -> None:
        grid = {
            f"s={s}": {"network.surrogate.h": 0.15, "network.surrogate.s": s} for s in (3.0, 6.0)
        }
        for task in ("ecg", "spoken-digits"):
            recipe: dict[str, Any] = {"recipe": {"task": {"name": task}}}
            write_sweep(results / f"{task}-h-s", grid, **recipe)
            write_sweep(results / f"{task}-initialisation", {"one": {}}, **recipe)
        sheet = figure("fig4", results)
        assert (
            panel(sheet, "k").title == "h × s: accuracy, % (spoken digits)"
            and panel(sheet, "l").state == "made"
        )
        assert panel(sheet, "a").numbers["accuracy_std"][0][0] == pytest.approx(100 * 0.09 / 2**0.5)
        assert any("±" in text.get_text() for text in sheet.axes["a"].texts)
        titles = [one.title for one in figure("figS1", results).panels]
        assert (
            titles[0] == "accuracy (ECG)"
            and titles[3] == "accuracy (spoken digits)"
            and len(titles) == 6
        )

    def test_titles_say_what_is_there(self, results: Path) -> None:
        write_sweep(results / "ecg-neurons", {"alif": {}})
        assert panel(figure("fig3", results), "h").title == "neuron types"
        write_sweep(
            results / "ecg-size",
            {"hidden=[9]": {"network.hidden": [9]}, "hidden=[18]": {"network.hidden": [18]}},
        )
        sheet = figure("fig3", results)
        assert panel(sheet, "h").title == "neuron types and sizes"
        assert [text.get_text() for text in sheet.axes["h"].texts if text.get_text().isdigit()] == [
            "9",
            "18",
        ]

    def test_a_relu_network_beside_time_constants(self, results: Path) -> None:
        """As in the paper's panel; of the same data, trained as long."""
        task: dict[str, Any] = {"task": {"name": "ecg"}, "training": {"epochs": 60}}
        write_sweep(results / "ecg-time-constants", {"none": {}, "both": {}}, recipe=task)
        write_sweep(
            results / "ecg-neurons", {"relu": RELU}, recipe={**task, "training": {"epochs": 3}}
        )
        assert list(panel(figure("fig3", results), "e").numbers["ecg-time-constants"]) == [
            "none",
            "both",
        ]
        write_sweep(results / "ecg-neurons", {"relu": RELU}, recipe=task)
        made = panel(figure("fig3", results), "e")
        assert (
            "ReLU, no spikes" in made.numbers["ecg-time-constants"]
            and "ecg-neurons/results.json" in made.text
        )

    def test_curves_without_run_folders(self, results: Path, tmp_path: Path) -> None:
        trainings = [
            {"point": "one", "state": "done", "seed": seed, "run": f"runs/{seed}"}
            for seed in (0, 1)
        ]
        folder = write_sweep(results / "ecg-initialisation", {"one": {}}, trainings=trainings)
        with pytest.raises(SrnnError, match="does not hold the run folder of every training"):
            write_curves(folder)
        for seed in (0, 1):
            (tmp_path / "sweep" / "runs" / str(seed)).mkdir(parents=True)
            report = {
                "accuracy": 0.2 + 0.2 * seed,
                "loss": 1.0,
                "firing_rate": {"mean": 0.123456789},
            }
            line = json.dumps({"epoch": 1, "train": report})
            (tmp_path / "sweep" / "runs" / str(seed) / "metrics.jsonl").write_text(line + "\n")
        path = write_curves(folder, tmp_path / "sweep")
        assert json.loads(path.read_text())["points"]["one"][1] == {
            "seed": 1, "accuracy": [0.4], "loss": [1.0], "firing_rate": [0.12346],
        }  # fmt: skip
        made = panel(figure("figS1", results), "a")
        assert made.numbers["one"] == [pytest.approx(30)] and "curves.json" in made.text
        path.write_text('{"points": {"one": [{"accuracy": [1], "loss": ["x"]}]}}')
        with pytest.raises(SrnnError, match=r"curves\.json"):
            figure("figS1", results)

    def test_methods_can_be_told_apart(self, results: Path) -> None:
        """In accuracy against energy: a shape a method, named in the legend."""
        write_summary(results / "mine")
        write_summary(results / "gru", "paper/ecg-gru", firing_rate=None)
        sheet = figure("fig2", results)
        assert [one["method"] for one in panel(sheet, "d").numbers["ours"]] == ["GRU", "SRNN"]
        legend = sheet.axes["d"].get_legend()
        assert legend is not None
        names = [text.get_text() for text in legend.get_texts()]
        assert {"SRNN", "ReLU SRNN", "LSTM", "GRU", "RNN", "CNN", "published", "ours"} <= set(names)
