"""Detecting whether the worker that holds a unit is still alive.

A worker renews its lease (``beat``) periodically. The clocks of several machines need not agree: a lease counts as stale when
it has not changed for a while on the watcher's own clock. On the same machine there is no need to wait: the process either
exists or it does not.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """Identifies this process, so that another one on the same machine can tell whether it is still running."""
    return {"host": platform.node(), "pid": os.getpid(), "started": _started(os.getpid()), "machine": _machine()}


def is_lease(lease: dict[str, Any]) -> bool:
    """Whether this has the form that ``identity`` returns, or is still empty."""
    numbers, texts = (lease.get("pid"), lease.get("started")), (lease.get("host"), lease.get("machine"))
    fits = type(numbers[0]) is int and isinstance(texts[0], str)
    return not lease or (fits and isinstance(numbers[1], int | None) and isinstance(texts[1], str | None))


def is_gone(lease: dict[str, Any]) -> bool:
    """Whether the process of this lease ran on this machine and has ended. False also when this cannot be determined."""
    machine = _machine()
    if machine is None or lease.get("machine") != machine or lease.get("started") is None:
        return False
    return _started(int(lease["pid"])) != lease["started"]


def ended_with_its_machine(lease: dict[str, Any]) -> bool:
    """Whether this machine has been started again since this lease was taken on it: no process outlived that, whatever it did."""
    ours, theirs = ((machine or "").split(" ") for machine in (_machine(), lease.get("machine")))
    return len(ours) == len(theirs) == 3 and ours[0] == theirs[0] and ours[1] != theirs[1]


_ASLEEP = 10.0
"""Seconds between two looks after which this process may have been suspended, and all others with it."""


class Watcher:
    """Finds leases that have not changed for ``patience`` seconds, as observed by this process."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._seen: dict[int, tuple[Any, float]] = {}
        self._looked = time.monotonic()

    def is_stale(self, trial: int, lease: dict[str, Any]) -> bool:
        """Whether a lease is stale. Call it repeatedly; a lease is fresh when it is first seen, or has changed."""
        beat, now = lease.get("beat"), time.monotonic()
        if now - self._looked > max(self.patience, _ASLEEP):  # nobody looked, so nobody knows who was silent
            self._seen.clear()
        self._looked = now
        known = self._seen.get(trial)
        if known is None or known[0] != beat:
            self._seen[trial] = (beat, now)
            return False
        return now - known[1] > self.patience


def _machine() -> str | None:
    """Identifies this boot of this machine and its PID namespace (containers have their own); None: unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> int | None:
    """When a process was started, in kernel ticks, to distinguish it from a later one with the same PID; None: it has ended."""
    try:
        # The name is in parentheses and may contain anything, even spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None
