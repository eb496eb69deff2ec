"""Journals of sweeps that no worker wrote, or that a full disk tore. Each is one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from srnn import SrnnError
from support.tiny import tiny_recipe

HOSTILE = [
    *("trial", "unit", "settings", "round"),
    *({key: value} for key in ("unit", "settings", "round", "lease", "results", "error", "died") for value in (7.5, None)),
    {"lease": {"pid": "x", "host": "h"}}, {"lease": {"pid": 1}}, {"lease": {"host": 1, "pid": 1, "beat": 1}},
    *({"results": {"0": {"accuracy": 1, "parameters": 1, "run": "r", **wrong}}} for wrong in
      ({"accuracy": None}, {"sick": [1]}, {"run": 1}, {"epochs": True})),
    {"results": {"0": 1}}, {"results": {"0": {}}}, {"results": {"0": {"accuracy": "x", "parameters": 1, "run": "r"}}},
    {"unit": "nobody/s0"}, {"settings": {"more": 1}},
]  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE)
def test_a_sweeps_journal_that_no_worker_wrote(change: Any, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from srnn.studies import load_sweep
    from srnn.studies.queue import Queue
    from srnn.studies.storage import open_storage
    from srnn.training.recipes import dump_recipe

    (tmp_path / "tiny.yaml").write_text(dump_recipe(tiny_recipe()))
    (tmp_path / "s.yaml").write_text("recipe: tiny.yaml\nseeds: [0]\n")
    sweep = load_sweep(str(tmp_path / "s.yaml"))
    queue = Queue(sweep, open_storage(None, tmp_path / "out"))
    queue.fill()
    claim = queue.claim()
    assert claim is not None
    if isinstance(change, str):  # a trial without it
        attributes = {"unit": "base/s0", "settings": {}, "round": 0}
        attributes.pop(change, None)
        queue.study.enqueue_trial({}, user_attrs=attributes)
    else:
        for key, value in change.items():
            queue.storage.set_trial_user_attr(claim.trial._trial_id, key, value)
    if change in ("trial", "unit"):  # a trial more, which is dropped; one of another user of optuna
        again = Queue(sweep, open_storage(None, tmp_path / "out"))
        assert [status.state for status in again.status()] == ["running"]
        return
    with pytest.raises(SrnnError):
        Queue(sweep, open_storage(None, tmp_path / "out"))


@pytest.mark.parametrize("journal", ("x", "7\n", '{"op_kind":0', '{"op_code":0}\n{"op\n', '{"op_code":0}\n[]\n'))
def test_a_journal_with_other_lines_is_refused_and_left_as_it_is(journal: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from srnn.studies.storage import open_storage

    path = tmp_path / "journal.log"
    path.write_text(journal)
    with pytest.raises(SrnnError, match=re.escape(str(path))):
        open_storage(None, tmp_path)
    assert path.read_text() == journal


def test_a_journal_whose_first_line_was_torn_is_begun_again(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from srnn.studies.storage import open_storage

    for torn in ("{", '{"op_code":0,"work'):
        (tmp_path / "journal.log").write_text(torn)
        assert open_storage(None, tmp_path).get_all_studies() == [] and not (tmp_path / "journal.log").read_text()


def test_a_lock_that_cannot_be_released_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optuna = pytest.importorskip("optuna")
    import os

    from srnn.studies.storage import open_storage

    storage = open_storage(None, tmp_path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", full)
        with pytest.raises(SrnnError, match=r"Cannot release the lock of .*journal\.log: .*No space left"):
            optuna.create_study(study_name="a", storage=storage)


def test_a_full_disk_does_not_tear_a_sweeps_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    import os

    import optuna

    from srnn.studies.storage import open_storage

    storage = open_storage(None, tmp_path)
    optuna.create_study(study_name="a", storage=storage)
    before, write = (tmp_path / "journal.log").read_bytes(), os.write
    parts = iter([True, False])

    def narrow(handle: int, content: bytes) -> int:
        if not next(parts):
            raise OSError(28, "No space left on device")
        return write(handle, content[:10])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", narrow)
        with pytest.raises(SrnnError, match="No space left"):
            optuna.create_study(study_name="b", storage=storage)
    assert (tmp_path / "journal.log").read_bytes() == before
    assert not (tmp_path / "journal.log.lock").is_symlink()
    optuna.create_study(study_name="c", storage=storage)
    assert {study.study_name for study in open_storage(None, tmp_path).get_all_studies()} == {"a", "c"}
