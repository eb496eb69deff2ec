"""What a sweep's folder and its storage keep: a file that grew is taken up, another one is refused;
damage is mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srnn import SrnnError
from srnn.cli.main import main
from srnn.studies import load_sweep
from srnn.studies.study import Study, open_study
from srnn.studies.trials import Trials, TrialStatus
from srnn.studies.worker import Worker
from srnn.training.recipes import dump_recipe
from srnn.training.runs import Run
from support.refusing import refuses
from support.sweeps import SWEEP, close, states_of, sweep_in, trials_in, work
from support.tiny import TinyTask, tiny_recipe

SEARCH = """
recipe: tiny.yaml
sampler: {name: tpe, seed: 7}
trials: 3
parameters: {training.optimizer.lr: "loguniform(1e-3, 3e-1)", network.hidden: [[4], [3, 3]]}
"""
SMALL = "--training.epochs=1"


def test_a_sweep_may_grow(tmp_path: Path) -> None:
    out = tmp_path / "out"
    trials_in(sweep_in(tmp_path), out)
    grown = SWEEP.replace("[0, 1]", "[0, 1, 2]") + "  - c: {network.surrogate: slayer}\n"
    assert len(states_of(trials_in(sweep_in(tmp_path, grown), out))) == 9


def test_a_search_may_get_more_trials(tmp_path: Path) -> None:
    out = tmp_path / "out"
    trials_in(sweep_in(tmp_path, SEARCH), out)
    assert (
        len(trials_in(sweep_in(tmp_path, SEARCH.replace("trials: 3", "trials: 5")), out).all) == 5
    )


def test_a_point_that_is_wrong_is_found_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SrnnError, match=r"sweep, c: .*lif_"):
        trials_in(sweep_in(tmp_path, SWEEP + "  - c: {network.neuron: lif_}\n"), out)
    assert not out.exists()


@pytest.mark.slow
def test_a_recipe_that_is_edited_while_a_sweep_runs_changes_none_of_its_trainings(
    tmp_path: Path,
) -> None:
    sweep, out = sweep_in(tmp_path, SWEEP, SMALL), tmp_path / "out"

    def edit() -> None:
        (tmp_path / "tiny.yaml").write_text(dump_recipe(tiny_recipe("--network.hidden=[9]")))

    assert work(sweep, out, tick=edit) == 4
    hidden = {
        tuple(Run.open(folder).recipe.network.hidden) for folder in (out / "runs").glob("*/s*")
    }
    assert hidden == {tuple(tiny_recipe().network.hidden)}


def test_a_recipe_that_a_variant_names_stays_as_it_was(tmp_path: Path) -> None:
    """Seeds that are added later are of the network that the first ones are of."""
    out, one = tmp_path / "out", SWEEP + "  - own: {recipe: own.yaml}\n"
    for name in ("own", "new"):
        (tmp_path / f"{name}.yaml").write_text(dump_recipe(tiny_recipe()))
    trials_in(sweep_in(tmp_path), out)
    for text in (one, one + "  - new: {recipe: new.yaml}\n", one + "  - new: {recipe: new.yaml}\n"):
        trials_in(sweep_in(tmp_path, text), out)
    (tmp_path / "own.yaml").write_text(dump_recipe(tiny_recipe("--network.hidden=[9]")))
    with refuses("out", "conflict"):
        trials_in(sweep_in(tmp_path, text.replace("[0, 1]", "[0, 1, 2]")), out)


@pytest.mark.slow
def test_a_worker_whose_file_was_shorter_leaves_the_new_trials_alone(tmp_path: Path) -> None:
    out, grown = tmp_path / "out", []
    sweep, text = sweep_in(tmp_path, SWEEP, SMALL), SWEEP.replace("[0, 1]", "[0, 1, 2]")

    def grow() -> None:
        if not grown:
            grown.append(trials_in(sweep_in(tmp_path, text, SMALL), out))

    assert work(sweep, out, tick=grow) == 4
    assert states_of(grown[0]) == ["done"] * 4 + ["waiting"] * 2


def test_the_value_of_a_trial_is_its_best_so_far_and_at_the_end_its_result(
    tmp_path: Path,
) -> None:
    sweep, out, told = (
        sweep_in(tmp_path, "recipe: tiny.yaml\n", "--training.epochs=2"),
        tmp_path / "out",
        {},
    )
    trials = trials_in(sweep, out)

    def look() -> None:
        (status,) = trials.status()
        told[status.epochs] = status

    assert Worker(trials, task=TinyTask(), tick=look).work() == 1
    records = [
        json.loads(line) for line in (out / "runs/base/s0/metrics.jsonl").read_text().splitlines()
    ]
    best = [record["validation"]["accuracy"] for record in records]
    assert (told[0].state, told[0].value, told[0].seconds) == ("running", None, 0)
    assert (told[1].state, told[1].value, told[1].seconds) == (
        "running",
        best[0],
        records[0]["seconds"],
    )
    assert told[1].worker.endswith(f":{os.getpid()}")
    assert (told[2].state, told[2].value, told[2].ended) == ("done", max(best), True)


def test_of_losses_the_smallest_is_the_best_so_far(tmp_path: Path) -> None:
    sweep, run = (
        sweep_in(tmp_path, "recipe: tiny.yaml\noptimise: loss\n"),
        tmp_path / "out" / "runs" / "base" / "s0",
    )
    run.mkdir(parents=True)
    records = [
        {"epoch": n, "seconds": 2.0 * n, "validation": {"loss": loss}}
        for n, loss in ((1, 0.5), (2, 0.7))
    ]
    lines = [json.dumps(record) for record in (*records, {"event": "skipped"})]
    (run / "metrics.jsonl").write_text(
        "\n".join([*lines, '{"epoch": 3, "se'])
    )  # and one that is being written
    (status,) = Trials(sweep, tmp_path / "out").status()
    assert status.trainings == {0: {"best_so_far": 0.5, "epochs": 2, "seconds": 4.0}}
    assert (status.state, status.value, status.epochs, status.seconds) == ("waiting", 0.5, 2, 4.0)


@pytest.mark.slow
def test_results_of_nothing_are_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over those that lie in the folder, which may have been copied there without the runs."""
    sweep_in(tmp_path)
    out = tmp_path / "out"
    words = ["sweep", str(tmp_path / "sweep.yaml"), "--report", "--out", str(out)]
    assert main(words) == 2 and not out.exists()
    out.mkdir()
    (out / "results.json").write_text("{}")
    assert (
        main(words) == 2
        and (out / "results.json").read_text() == "{}"
        and not (out / "results.md").exists()
    )
    assert capsys.readouterr().err.count("Nothing of the sweep 'sweep' has been trained in") == 2


# ---- optuna's storage ----


def opened(trials: Trials) -> Study:
    study = open_study(trials)
    assert study is not None
    return study


def optuna_trials(study: Study) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (trial.user_attrs["trial"], trial.state.name, trial.params) for trial in study.study.trials
    ]


def test_a_grid_needs_no_study_unless_it_prunes_or_a_storage_is_named(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    sweep, out = sweep_in(tmp_path, SWEEP, SMALL), tmp_path / "out"
    assert open_study(trials_in(sweep, out)) is None
    address = f"sqlite:///{tmp_path}/study.db"
    assert work(sweep, out, address) == 4
    study = open_study(trials_in(sweep, out), address)
    assert study is not None and [state for _, state, _ in optuna_trials(study)] == ["COMPLETE"] * 4
    assert study.study.best_trial.user_attrs["trial"] in [
        trial.name for trial in sweep.list_trials()
    ]
    close(study)
    pruned = trials_in(sweep_in(tmp_path, SWEEP + "pruner: median\n", SMALL), tmp_path / "pruned")
    assert open_study(pruned) is not None


@pytest.mark.slow
def test_a_search_whose_storage_is_lost_goes_on(tmp_path: Path) -> None:
    """With the settings that were chosen; only its sampler has forgotten what came of them."""
    pytest.importorskip("optuna")
    sweep, out = sweep_in(tmp_path, SEARCH, SMALL), tmp_path / "out"
    trials = trials_in(sweep, out)
    chosen = [opened(trials).begin(one) for one in trials.status()[:2]]
    trials.note(trials.all[1], settings=chosen[1])
    (out / "study" / "journal.log").unlink()
    assert opened(trials).begin(trials.status()[1]) == chosen[1]
    assert work(sweep, out) == 3
    assert trials.status()[1].settings == chosen[1]
    (out / "study" / "journal.log").unlink()
    assert work(sweep, out) == 0 and states_of(trials) == ["done"] * 3


@pytest.mark.slow
def test_a_result_that_was_not_told_is_told_by_the_next_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own was killed between the two."""
    pytest.importorskip("optuna")
    sweep, out = sweep_in(tmp_path, SEARCH, SMALL), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(Study, "end", lambda *_: None)
        assert work(sweep, out) == 3
    trials = trials_in(sweep, out)
    assert [state for _, state, _ in optuna_trials(opened(trials))] == ["COMPLETE"] * 3
    assert [trial.value for trial in opened(trials).study.trials] == [
        one.value for one in trials.status()
    ]


def test_a_result_is_told_once_and_not_while_its_worker_is_about_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    sweep, out, end, told = sweep_in(tmp_path, SEARCH, SMALL), tmp_path / "out", Study.end, []

    def late(study: Study, one: TrialStatus) -> None:
        code = "import sys; from pathlib import Path; from srnn.studies import load_sweep\n"
        code += (
            "from srnn.studies.study import open_study; from srnn.studies.trials import Trials\n"
        )
        code += "study = open_study(Trials(load_sweep(sys.argv[1]), Path(sys.argv[2]))).study\n"
        code += "print(*(trial.state.name for trial in study.trials))"
        words = [sys.executable, "-c", code, str(tmp_path / "sweep.yaml"), str(out)]
        told.append(
            subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        )
        end(study, one)
        end(study, one)

    monkeypatch.setattr(Study, "end", late)
    assert work(replace(sweep, trials=1), out) == 1
    assert told == [["RUNNING"]]


@pytest.mark.slow
def test_a_training_that_is_tried_again_has_the_settings_that_were_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    sweep, out = sweep_in(tmp_path, SEARCH, SMALL), tmp_path / "out"

    def diverging(*_: Any, **__: Any) -> None:
        raise SrnnError("Training diverged.")

    with monkeypatch.context() as patched:
        patched.setattr("srnn.training.loop.train", diverging)
        assert work(sweep, out) == 3
    trials = trials_in(sweep, out)
    before = optuna_trials(opened(trials))
    assert [state for _, state, _ in before] == ["RUNNING"] * 3 and states_of(trials) == [
        "failed"
    ] * 3
    trials.retry_failed()
    assert work(sweep, out) == 3
    assert optuna_trials(opened(trials)) == [
        (name, "COMPLETE", params) for name, _, params in before
    ]


@pytest.mark.robust
def test_a_journal_whose_last_line_was_cut_is_mended_and_a_foreign_one_refused(
    tmp_path: Path,
) -> None:
    pytest.importorskip("optuna")
    sweep, out = sweep_in(tmp_path, SEARCH, SMALL), tmp_path / "out"
    trials = trials_in(sweep, out)
    opened(trials)
    journal = out / "study" / "journal.log"
    with open(journal, "ab") as file:
        file.write(b'{"op_code": 5, "worker_id"')  # by a machine that lost its power
    assert work(sweep, out) == 3
    assert [state for _, state, _ in optuna_trials(opened(trials))] == ["COMPLETE"] * 3
    for content in ("{}\n", "[1]\n", '{"op_code": 99}\n{}\n'):
        journal.write_text(content)
        with refuses(journal, "file"):
            opened(trials)
        assert journal.read_text() == content
    (tmp_path / "file").write_text("")
    with pytest.raises(SrnnError, match="Cannot write"):
        trials_in(sweep, tmp_path / "file" / "out")


def test_a_full_disk_does_not_tear_a_sweeps_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    trials = trials_in(sweep_in(tmp_path, SEARCH, SMALL), tmp_path / "out")
    study, journal = opened(trials), tmp_path / "out" / "study" / "journal.log"
    before, write = journal.read_bytes(), os.write

    def narrow(handle: int, content: bytes) -> int:
        if b"op_code" not in content:
            return write(handle, content)
        write(handle, content[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", narrow)
        with pytest.raises(SrnnError, match="No space left"):
            study.begin(trials.status()[0])
    assert journal.read_bytes() == before
    assert opened(trials).begin(trials.status()[0])


@pytest.mark.slow
def test_sweeps_of_one_name_share_a_database(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    address = f"sqlite:///{tmp_path}/study.db"
    for number in (1, 2):
        text = SEARCH.replace("trials: 3", "trials: 1").replace("3e-1", f"{number}e-1")
        assert work(sweep_in(tmp_path, text, SMALL), tmp_path / f"out{number}", address) == 1
    study = open_study(
        trials_in(load_sweep(str(tmp_path / "sweep.yaml")), tmp_path / "out2"), address
    )
    assert study is not None and len(study.study.trials) == 1
    close(study)


@pytest.mark.slow
def test_without_optuna_a_grid_is_trained_and_a_search_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert work(sweep_in(tmp_path, SWEEP, SMALL), tmp_path / "grid") == 4
    with refuses("optuna", "package"):
        work(sweep_in(tmp_path, SEARCH, SMALL), tmp_path / "search")


def test_a_sweep_of_srnn_0_2_goes_on(tmp_path: Path) -> None:
    """Its trials are called units, in its state, in its notes' folder and in optuna's study."""
    out = tmp_path / "out"
    trials = trials_in(sweep_in(tmp_path), out)
    trials.note(trials.all[0], ended="failed", error="why")
    state = json.loads((out / "sweep.json").read_text())
    state = {key.replace("trial ", "unit "): value for key, value in state.items()}
    (out / "sweep.json").write_text(json.dumps(state))
    (out / "trials").rename(out / "units")
    again = trials_in(sweep_in(tmp_path), out)
    assert again.status()[0].error == "why" and states_of(again) == ["failed"] + ["waiting"] * 3
    again.retry_failed()
    assert states_of(again) == ["waiting"] * 4 and (out / "trials" / "a" / "s0.json").is_file()
    with refuses("out", "conflict"):
        trials_in(sweep_in(tmp_path, SWEEP.replace("[0, 1]", "[0]")), out)


def test_a_study_of_srnn_0_2_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    trials = trials_in(sweep_in(tmp_path, SEARCH, SMALL), tmp_path / "out")
    study = opened(trials)
    study.study.enqueue_trial({}, user_attrs={"unit": "p0001", "settings": {}})
    study.begin(trials.status()[1])
    assert [trial.number for trial in study.study.trials] == [0]
