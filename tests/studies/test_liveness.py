"""Whether a worker of a sweep is still there: by its process, or by its heart beat where that cannot be seen."""

from __future__ import annotations

import subprocess
import sys

from srnn.studies.liveness import Watcher, identity, is_gone


def test_liveness() -> None:
    lease = identity()
    assert not is_gone(lease)
    assert not is_gone({}) and not is_gone({**lease, "machine": "another", "pid": 1, "started": 5})
    if lease["machine"] is not None:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        from srnn.studies.liveness import _started

        theirs = {**lease, "pid": child.pid, "started": _started(child.pid)}
        assert not is_gone(theirs)
        assert is_gone({**theirs, "started": theirs["started"] - 1})  # the number was given to a later process
        child.kill()
        assert child.stdin is not None
        child.stdin.close()
        child.wait()
        assert is_gone(theirs)
    watcher = Watcher(patience=1e-9)
    assert not watcher.is_stale(1, {"beat": 1}) and watcher.is_stale(1, {"beat": 1})
    assert not watcher.is_stale(1, {"beat": 2}) and not watcher.is_stale(2, {})
    assert not Watcher(patience=1e9).is_stale(1, {"beat": 1})
