"""srnn evaluate --full: one JSON object, tables, what it writes into the run, options that do not
fit; what training keeps."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.datasets import Split
from srnn.data.datasets.digits import DigitsTask
from srnn.measure.analysis import ExitPolicy
from srnn.training.loop import train
from srnn.training.recipes import parse_recipe
from srnn.training.runs import Run
from support import layouts
from support.kept import copy_of

QUICK = [
    "digits",
    "--training.epochs=1",
    "--network.hidden=[8,8]",
    "--network.backend=reference",
    "--loss.start=4",
]
PHONES = """
task: {name: timit, options: {classes: 39, validation: training}}
network: {hidden: [4], neuron: alif, norm: none, backend: reference}
loss: {name: nll}
training: {epochs: 1}
"""


pytestmark = pytest.mark.usefixtures("few_digits")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A trained run, which a test may change."""
    return copy_of("digits", tmp_path / "run")


def evaluated(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.count("\n") == 1
    return json.loads(printed.out)


def fails(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words)]) == 2
    printed = capsys.readouterr()
    assert (
        printed.out == "" and printed.err.startswith("srnn: ") and printed.err.count("\n") == 1
    ), printed.err
    return printed.err


def test_one_object_and_two_files(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(item.name for item in run.iterdir())
    plain = evaluated(capsys, run)
    assert (
        sorted(item.name for item in run.iterdir()) == before
    )  # without --full nothing is written
    found = evaluated(capsys, run, "--full")
    assert {key: found[key] for key in plain} == plain
    assert found["anytime"]["accuracy"][-1] == plain["accuracy"]
    assert len(found["anytime"]["accuracy"]) == 16
    assert (
        found["delineation"] is None
        and found["change_times"] is None
        and found["anytime"]["accuracy_labelled"] is None
    )
    assert [layer["name"] for layer in found["activity"]["layers"]] == ["layers.0", "layers.1"]
    assert all(one["rms_change"] is not None for one in found["time_constants"])
    assert found["exit"]["policy"]["chosen_on"] == "validation"
    assert found["exit"]["policy"]["allowed_loss"] == 0.005
    assert sorted(item.name for item in run.iterdir()) == sorted(
        [*before, "evaluation-validation.json", "exit-policy.json"]
    )
    assert json.loads((run / "evaluation-validation.json").read_text()) == found
    assert ExitPolicy.load(run / "exit-policy.json").to_dict() == found["exit"]["policy"]


def test_another_seed_writes_nothing_and_the_initial_network_stays_the_runs(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated(capsys, run, "--full", "--seed", "3")
    own = (run / "evaluation-validation.json").read_text()
    report = evaluated(capsys, run, "--full", "--seed", "7")
    assert report["seed"] == 7 and (run / "evaluation-validation.json").read_text() == own
    found = report["time_constants"][0]
    again = Run.open(run)
    network = again.recipe.build_network(again.recipe.create_task(), 3)
    assert found["initial"]["values"] == pytest.approx(
        network.time_constants()["layers.0.tau_mem"].tolist()
    )


def test_the_test_split_and_the_policys_options(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluated(capsys, run, "--full", "--split", "test", "--exit-loss", "100", "--exit-patience", "3",
                      "--exit-margin", "0.01", "--saturated", "0.5")  # fmt: skip
    assert (run / "evaluation-test.json").is_file() and not (
        run / "evaluation-validation.json"
    ).exists()
    assert (found["split"], found["exit"]["split"]) == ("test", "test")
    policy = found["exit"]["policy"]
    assert (policy["allowed_loss"], policy["patience"], policy["margin"]) == (1.0, 3, 0.01)
    assert found["exit"]["result"]["mean_steps"] <= 16
    assert found["activity"]["saturated_above"] == 0.5


def test_no_split_but_those_asked_for_is_read(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read: list[str] = []
    load = DigitsTask.load

    def spy(self: DigitsTask, split, data_dir=None) -> Split:
        read.append(split)
        return load(self, split, data_dir)

    monkeypatch.setattr(DigitsTask, "load", spy)
    evaluated(capsys, run, "--full")
    assert read == ["validation"]
    evaluated(capsys, run, "--full", "--split", "test")
    assert read == ["validation", "validation", "test"]
    read.clear()
    assert evaluated(capsys, run, "--full", "--split", "test", "--no-exit")["exit"] is None
    assert read == ["test"]


def test_a_task_that_holds_nothing_out(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = DigitsTask.load

    def without_validation(self: DigitsTask, split, data_dir=None) -> Split:
        if split == "validation":
            raise SrnnError("Nothing is held out.")
        return load(self, split, data_dir)

    monkeypatch.setattr(DigitsTask, "load", without_validation)
    assert "(--no-exit skips the policy). Nothing is held out." in fails(
        capsys, run, "--full", "--split", "test"
    )
    assert (
        evaluated(capsys, run, "--full", "--split", "test", "--no-exit")["anytime"]["steps"] == 16
    )


def test_a_run_that_cannot_be_written_is_refused_before_it_is_measured(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All was measured, and then nothing of it was said."""
    monkeypatch.setattr(
        "srnn.measure.analysis.analyse", lambda *arguments, **options: pytest.fail("was measured")
    )
    monkeypatch.setattr(os, "access", lambda path, mode: mode & os.W_OK == 0)
    assert "no permission to write" in fails(capsys, run, "--full")


def test_tables_for_people(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--full"]) == 0
    printed = capsys.readouterr()
    for words in (
        "Accuracy over time",
        "Early exit",
        "synaptic operations",
        "Time constants",
        "precision",
    ):
        assert words in printed.out
    assert printed.err == ""


def test_analog_neurons_are_not_said_to_spike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    relu = [*QUICK, "--network.neuron={name: relu, tau_mem: 3}"]
    assert main(["train", *relu, "--out", str(tmp_path / "relu"), "--json"]) == 0
    for words in ([], ["--full"]):
        capsys.readouterr()
        assert main(["evaluate", str(tmp_path / "relu"), *words]) == 0
        printed = capsys.readouterr().out
        assert (
            "of outputs are not 0" in printed
            and "spikes" not in printed
            and "firing" not in printed
        )
    assert evaluated(capsys, tmp_path / "relu", "--full")["activity"]["spiking"] is False


def test_options_that_do_not_fit(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, value in (("--exit-loss", "1"), ("--exit-patience", "2"), ("--exit-margin", "0.1"), ("--tolerance", "40"),
                          ("--saturated", "0.5")):  # fmt: skip
        assert f"{option} belongs to --full" in fails(capsys, run, option, value)
    for option, values in {"--exit-loss": ("-1", "101", "nan"), "--exit-margin": ("-0.1", "1.1"), "--exit-patience": ("0", "-2"),
                           "--saturated": ("2", "nan"), "--tolerance": ("40",)}.items():  # fmt: skip
        for value in values:
            assert option in fails(capsys, run, "--full", f"{option}={value}")
    assert "contradict" in fails(capsys, run, "--full", "--no-exit", "--exit-loss", "1")
    assert "--no-exit belongs to --full" in fails(capsys, run, "--no-exit")
    assert "must be a number" in fails(capsys, run, "--full", "--exit-loss", "much")
    assert "must be an integer" in fails(capsys, run, "--full", "--exit-patience", "1.5")
    assert "is not a run" in fails(capsys, tmp_path, "--full")
    assert not (run / "evaluation-validation.json").exists()


def test_phones_are_reported_without_silence_and_keep_their_statistics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.write_timit(tmp_path / "data")
    recipe = parse_recipe(PHONES, ["--task.options.normalise=training"])
    result = train(recipe, tmp_path / "run", data_dir=tmp_path / "data")
    assert 0 <= result["accuracy_without_silence"] <= 1
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["accuracy_without_silence"] == result["accuracy_without_silence"]
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["validation"]["accuracy_without_silence"] == result["accuracy_without_silence"]
    words = [tmp_path / "run", "--data-dir", tmp_path / "data"]
    found = evaluated(capsys, *words, "--full")
    assert (
        found["accuracy_without_silence"]
        == found["classes"]["accuracy_without_silence"]
        == result["accuracy_without_silence"]
    )
    assert [point["confidence"] for point in found["change_times"]["points"]] == [
        0.5,
        0.8,
        0.9,
        0.95,
        0.99,
    ]
    assert found["exit"] is None and not (tmp_path / "run" / "exit-policy.json").exists()
    assert "decides at every step" in fails(capsys, *words, "--full", "--exit-loss", "1")
    assert main(["evaluate", *map(str, words)]) == 0
    assert "accuracy without silence" in capsys.readouterr().out

    # What scales the features, exactly and without the data.
    statistics = Run.open(tmp_path / "run").trained().task.signal().statistics  # type: ignore[attr-defined]
    known = recipe.create_task().statistics(tmp_path / "data")  # type: ignore[attr-defined]
    assert statistics is not None
    assert (statistics.mean == known.mean).all() and (statistics.std == known.std).all()
    assert statistics.mean.dtype == np.float32
