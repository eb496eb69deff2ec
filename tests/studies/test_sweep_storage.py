"""What a sweep's storage keeps: a file that grew is taken up, another one is refused; what was cut or left behind is mended."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from srnn import SrnnError
from srnn.cli.main import main
from srnn.files import append_line
from srnn.studies.storage import open_storage
from srnn.studies.worker import work
from srnn.training.recipes import dump_recipe
from srnn.training.runs import Run
from support.sweeps import SWEEP, queue_in, states_of, sweep_in
from support.tiny import TinyTask, tiny_recipe

optuna = pytest.importorskip("optuna")


def test_a_sweep_may_grow_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    queue_in(sweep_in(tmp_path), out).fill()
    grown = queue_in(
        sweep_in(tmp_path, SWEEP.replace("[0, 1]", "[0, 1, 2]") + "  - c: {network.surrogate: slayer}\n"), out
    )
    grown.fill()
    assert len(states_of(grown)) == len(grown.study.trials) == 9
    for text, message in (
        (SWEEP, "points and seeds may be added, not removed"),
        (SWEEP + "optimise: loss\n", "direction|a different sweep|optimise differs"),
        (SWEEP.replace("linear", "slayer"), "different settings|not removed"),
        (SWEEP + "set: {training.epochs: 9}\n", "its base differs"),
    ):
        with pytest.raises((SrnnError, ValueError), match=message):
            queue_in(sweep_in(tmp_path, text), out)


def test_a_recipe_that_is_edited_while_a_sweep_runs_changes_none_of_its_trainings(tmp_path: Path) -> None:
    sweep, out = sweep_in(tmp_path), tmp_path / "out"

    def edit(_: str) -> None:
        (tmp_path / "tiny.yaml").write_text(dump_recipe(tiny_recipe("--network.hidden=[9]")))

    assert work(queue_in(sweep, out), out, task=TinyTask(), say=edit) == 4
    hidden = {tuple(Run.open(folder).recipe.network.hidden) for folder in (out / "runs").glob("*/s*")}
    assert hidden == {tuple(tiny_recipe().network.hidden)}


def test_a_recipe_that_a_variant_names_stays_as_it_was(tmp_path: Path) -> None:
    """Seeds that are added later are of the network that the first ones are of."""
    out, one = tmp_path / "out", SWEEP + "  - own: {recipe: own.yaml}\n"
    for name in ("own", "new"):
        (tmp_path / f"{name}.yaml").write_text(dump_recipe(tiny_recipe()))
    queue_in(sweep_in(tmp_path), out).fill()
    for text in (one, one + "  - new: {recipe: new.yaml}\n", one + "  - new: {recipe: new.yaml}\n"):
        queue_in(sweep_in(tmp_path, text), out).fill()
    (tmp_path / "own.yaml").write_text(dump_recipe(tiny_recipe("--network.hidden=[9]")))
    with pytest.raises(SrnnError, match=r"different sweep 'sweep' \(its recipe own\.yaml differs\)"):
        queue_in(sweep_in(tmp_path, text.replace("[0, 1]", "[0, 1, 2]")), out)


def test_a_worker_whose_file_was_shorter_leaves_the_new_units_alone(tmp_path: Path) -> None:
    old = queue_in(sweep_in(tmp_path), tmp_path / "out")
    grown = queue_in(sweep_in(tmp_path, SWEEP.replace("[0, 1]", "[0, 1, 2]")), tmp_path / "out")
    grown.fill()
    while (claim := old.claim()) is not None:
        assert claim.end("done", 0.5, results={})
    assert old.finished() and not grown.finished()
    assert states_of(grown) == ["done"] * 4 + ["waiting"] * 2


def test_a_sweep_goes_on_after_a_training_whose_best_epoch_was_sick(tmp_path: Path) -> None:
    out, sick = tmp_path / "out", ["layers.0 is silent (4 of 4 neurons emitted nothing)"]
    queue = queue_in(sweep_in(tmp_path), out)
    queue.fill()
    result = {
        "accuracy": 0.5,
        "loss": 1.0,
        "firing_rate": 0.0,
        "parameters": 9,
        "restores": 2,
        "sick": sick,
        "run": "runs/a/s0",
    }
    claim = queue.claim()
    assert claim is not None and claim.end("done", 0.5, results={"0": result})
    assert queue_in(sweep_in(tmp_path), out).status()[0].results == {"0": result}


def test_what_is_told_of_a_unit_is_its_last_report_and_at_the_end_its_result(tmp_path: Path) -> None:
    queue = queue_in(sweep_in(tmp_path, "recipe: tiny.yaml\n"), tmp_path / "out")
    claim = queue.claim()
    assert claim is not None
    for epoch, value in ((1, 0.1), (2, 0.3)):
        claim.report(value, epoch, 10.0 * epoch)
    (told,) = queue.status()
    assert (told.state, told.value, told.epochs, told.seconds, told.ended) == ("running", 0.3, 2, 20.0, False)
    assert told.worker.endswith(f":{os.getpid()}")
    claim.end("done", 0.25, results={})
    (told,) = queue.status()
    assert (told.state, told.value, told.ended) == ("done", 0.25, True)


def test_a_journal_that_was_cut_is_mended_and_a_foreign_one_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    queue_in(sweep_in(tmp_path), out).fill()
    with open(out / "journal.log", "ab") as file:
        file.write(b'{"op_code": 5, "worker_id"')
    queue = queue_in(sweep_in(tmp_path), out)
    assert states_of(queue) == ["waiting"] * 4
    assert queue.claim() is not None
    for content in ("never a journal\n", "{}\n", "[1]\n", "no line", '{"op_code": 99}\n{}\n'):
        (out / "journal.log").write_text(content)
        with pytest.raises(SrnnError, match="is not a sweep journal"):
            open_storage(None, out)
    (tmp_path / "file").write_text("")
    with pytest.raises(SrnnError, match="Cannot write"):
        open_storage(None, tmp_path / "file" / "out")


@pytest.mark.slow
def test_results_of_nothing_are_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over those that lie in the folder, which may have been copied there without the journal."""
    sweep_in(tmp_path)
    out = tmp_path / "out"
    words = ["sweep", str(tmp_path / "sweep.yaml"), "--report", "--out", str(out)]
    assert main(words) == 2 and not out.exists()
    out.mkdir()
    (out / "results.json").write_text("{}")
    assert main(words) == 2 and (out / "results.json").read_text() == "{}" and not (out / "results.md").exists()
    assert capsys.readouterr().err.count("Nothing of the sweep 'sweep' has been trained in") == 2


def test_a_driver_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_it(url: str, **_: object) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr("sqlalchemy.engine.create_engine", without_it)
    with pytest.raises(SrnnError, match=r"needs a driver \(No module named 'psycopg'\).*srnn\[postgres\]"):
        open_storage("postgresql://me@host/db", tmp_path)


def test_where_links_need_a_privilege_the_journal_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""

    def refused(*_: object) -> None:
        raise OSError(22, "A required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", refused)
    monkeypatch.setattr("srnn.studies.storage.os", SimpleNamespace(name="nt"), raising=False)
    queue = queue_in(sweep_in(tmp_path), tmp_path / "out")
    queue.fill()
    assert states_of(queue) == ["waiting"] * 4


def test_a_lock_that_a_dead_worker_left_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("srnn.studies.storage.LOCK_GRACE", 3)
    out = Path("out")  # relative, as on a command line
    queue = queue_in(sweep_in(tmp_path), out)
    os.symlink(str((out / "journal.log").absolute()), out / "journal.log.lock")
    queue.fill()
    assert states_of(queue) == ["waiting"] * 4


def test_who_lost_the_lock_while_it_was_suspended_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its unit counted as failed."""
    queue = queue_in(sweep_in(tmp_path), tmp_path / "out")

    def suspended(path: Path, line: str) -> None:
        append_line(path, line)
        (tmp_path / "out" / "journal.log.lock").unlink()  # by another worker, which has released it since

    monkeypatch.setattr("srnn.studies.storage.append_line", suspended)
    queue.fill()
    assert states_of(queue) == ["waiting"] * 4
