"""Whether a worker of a sweep is still there: by its process, or by its heart beat where that cannot be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from srnn.studies.liveness import Watcher, _started, ended_with_its_machine, identity, is_gone
from srnn.studies.queue import MAX_DEATHS
from support.sweeps import queue_in, states_of, sweep_in


def test_liveness() -> None:
    lease = identity()
    assert not is_gone(lease)
    assert not is_gone({}) and not is_gone({**lease, "machine": "another", "pid": 1, "started": 5})
    if lease["machine"] is not None:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        theirs = {**lease, "pid": child.pid, "started": _started(child.pid)}
        assert not is_gone(theirs)
        assert is_gone({**theirs, "started": theirs["started"] - 1})  # the number was given to a later process
        assert not is_gone({**theirs, "started": None})  # it cannot be told
        child.kill()
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(theirs)  # before anybody has waited for it
        child.wait()
        assert is_gone(theirs)
    watcher = Watcher(patience=1e-9)
    assert not watcher.is_stale(1, {"beat": 1}) and watcher.is_stale(1, {"beat": 1})
    assert not watcher.is_stale(1, {"beat": 2}) and not watcher.is_stale(2, {})
    assert not Watcher(patience=1e9).is_stale(1, {"beat": 1})


def test_a_sign_of_life_is_as_old_as_the_watchers_own_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, watcher = [0.0], Watcher(patience=60)
    monkeypatch.setattr("srnn.studies.liveness.time.monotonic", lambda: clock[0])
    for now, beat, stale in (
        (0, 1, False),
        (60, 1, False),
        (61, 1, True),
        (62, 2, False),
        (122, 2, False),
        (123, 2, True),
    ):
        clock[0] = now
        assert watcher.is_stale(1, {"beat": beat}) == stale


def test_who_was_suspended_takes_nobody_for_dead_who_was_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that pauses wakes all workers at once; the first that looked gave the others' units away."""
    clock, watcher = [0.0], Watcher(patience=60)
    monkeypatch.setattr("srnn.studies.liveness.time.monotonic", lambda: clock[0])
    for now, stale in ((0, False), (50, False), (3600, False), (3602, False), (3660, False), (3661, True)):
        clock[0] = now
        assert watcher.is_stale(1, {"beat": 1}) == stale


def test_a_process_may_have_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = " ".join(map(str, range(100, 130)))
    for name in ("python", "a) Z (b", ") ) S 1"):
        monkeypatch.setattr(Path, "read_text", lambda *_, name=name, **__: f"7 ({name}) S {fields}")
        assert _started(7) == 118


def test_the_unit_of_a_process_that_is_gone_is_given_away_at_once(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    sweep, lease = sweep_in(tmp_path, "recipe: tiny.yaml\n"), identity()
    if lease["machine"] is None:
        pytest.skip("needs /proc")
    first, second = queue_in(sweep, tmp_path / "out"), queue_in(sweep, tmp_path / "out")
    claim = first.claim()
    assert claim is not None and second.claim() is None and not second.finished()
    assert states_of(second) == ["running"]
    first._write(claim.trial, lease={**lease, "started": lease["started"] - 1, "beat": [1, 1]})
    assert states_of(second) == ["waiting"] and not second.finished()  # and so it stands in the results
    assert second.claim() is not None


def test_power_cuts_are_not_deaths_of_a_units_workers(tmp_path: Path) -> None:
    """After three deaths a unit counts as failed."""
    pytest.importorskip("optuna")
    lease = identity()
    if lease["machine"] is None:
        pytest.skip("needs /proc")
    host, boot, space = lease["machine"].split(" ")
    machines = {
        f"{host} before {space}": True,
        f"other before {space}": False,
        f"{host} {boot} other": False,
        "": False,
    }
    assert [ended_with_its_machine({**lease, "machine": name}) for name in machines] == [*machines.values()]
    assert not ended_with_its_machine(lease) and not ended_with_its_machine({**lease, "machine": None})
    queue = queue_in(sweep_in(tmp_path, "recipe: tiny.yaml\n"), tmp_path / "out", patience=1e-9)
    for _ in range(2 * MAX_DEATHS):
        claim = queue.claim()
        assert claim is not None
        queue._write(claim.trial, lease={**lease, "machine": f"{host} before {space}", "beat": [1, 1]})
        queue.give_up_dead()  # has seen it
        queue.give_up_dead()
    assert states_of(queue) == ["waiting"]


def test_a_worker_gives_four_signs_of_life_in_the_time_after_which_it_counts_as_dead(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    claim, waited = queue_in(sweep_in(tmp_path, "recipe: tiny.yaml\n"), tmp_path / "out", patience=60.0).claim(), []
    assert claim is not None

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) == 4

    claim._stop.wait = wait  # type: ignore[method-assign]
    claim._beat_on()
    (told,) = claim.queue.study.trials
    assert waited == [15.0] * 4 and told.user_attrs["lease"]["beat"][1] == 4
