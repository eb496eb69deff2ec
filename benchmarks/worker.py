"""The process of one contestant: reads commands, one JSON object a line, and answers each with one.

    {"do": "prepare", "module": ..., "options": {...}, "problem": PATH, "threads": 2, "dtype": "float32"}
    {"do": "run", "what": "train" | "forward" | "stream" | "loop", "times": 3}   -> {"seconds": [...]}
    {"do": "rates"} {"do": "saved"} {"do": "peak", "times": 2} {"do": "solution", "save": PATH} {"do": "quit"}

Between commands it blocks in a read, so that a contestant that is not on the clock uses no core. An
exception is an answer too: {"error": ..., "unsupported": bool}. Started by ``driver.py`` as
``python -m benchmarks.worker``.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from importlib import import_module, metadata
from pathlib import Path
from typing import Any


class Worker:
    """State between commands, and one method a command."""

    def __init__(self) -> None:
        self.contestant: Any = None
        self.calls: dict[str, Any] = {}

    def prepare(
        self, module: str, options: dict[str, Any], problem: str, threads: int, dtype: str
    ) -> dict[str, Any]:
        """Load library, problem and model; nothing has run when this is over."""
        from .nets import load

        began = time.perf_counter()
        contestants = import_module(f"benchmarks.contestants.{module}")
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        imported = time.perf_counter()
        self.contestant = contestants.contestant(load(problem), options, dtype)
        versions = {name: metadata.version(name) for name in self.contestant.packages}
        return {
            "versions": {"python": sys.version.split()[0], **versions},
            "import_s": imported - began,
            "build_s": time.perf_counter() - imported,
            "rss": status_bytes("VmRSS"),
        }

    def run(self, what: str, times: int) -> dict[str, Any]:
        """Wall times of ``times`` calls."""
        if what not in self.calls:
            # What makes a walker comes before the clock, as loading a model does.
            make = {"stream": self.contestant.stream, "loop": self.contestant.loop}
            self.calls[what] = make[what]() if what in make else getattr(self.contestant, what)
        call, seconds = self.calls[what], []
        for _ in range(times):
            began = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - began)
        return {"seconds": seconds}

    def rates(self) -> dict[str, Any]:
        return {"rates": self.contestant.rates()}

    def saved(self) -> dict[str, Any]:
        return {"saved": self.contestant.saved()}

    def peak(self, times: int) -> dict[str, Any]:
        """Resident memory before, and at its peak during, ``times`` training steps (compilation
        included)."""
        before = status_bytes("VmRSS")
        reset = reset_peak()
        for _ in range(times):
            self.contestant.train()
        return {"rss_before": before, "rss_peak": status_bytes("VmHWM"), "peak_since_before": reset}

    def solution(self, save: str) -> dict[str, Any]:
        """Loss, gradients and spikes into a file."""
        import numpy as np

        np.savez(save, **self.contestant.solution())
        return {}


def status_bytes(name: str) -> int:
    """A size from /proc/self/status; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), 0)


def reset_peak() -> bool:
    """Let VmHWM start again from the present size; False where the system does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def bind(threads: int) -> None:
    """Keep to the first ``threads`` of the allowed cores: some libraries take as many threads as
    they see cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def main() -> None:
    # Libraries print; answers go to the original standard output alone.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    bind(int(os.environ["BENCHMARKS_THREADS"]))
    worker = Worker()
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        if do == "quit":
            break
        try:
            answer = getattr(worker, do)(**command)
        except Exception as error:
            traceback.print_exc()
            text = " ".join(str(error).split())[:300]
            # By name: the class must not be imported before the contestant has set up its library.
            unsupported = type(error).__name__ == "Unsupported"
            answer = {
                "error": text if unsupported else f"{type(error).__name__}: {text}",
                "unsupported": unsupported,
            }
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
