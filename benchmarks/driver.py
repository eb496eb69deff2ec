"""A contestant's process, seen from the benchmark's own."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from .catalogue import OWN, Entry
from .nets import Net, file_for

ROOT = Path(__file__).resolve().parent.parent


class Failed(Exception):
    """A contestant could not do what was asked. The message is the reason that the report shows."""


@dataclass(frozen=True)
class Field:
    """Where contestants run: what all measurements share."""

    pythons: Mapping[str, str]
    """Interpreter of each environment; a peer's that is not there could not be made."""
    missing: Mapping[str, str]
    """Why an environment could not be made."""
    work: Path
    """Folder for problem files and logs."""
    threads: int = 2
    timeout: float = 900.0
    """Seconds that one command may take."""
    wait_policy: str = ""
    """OMP_WAIT_POLICY of all contestants; empty: unset, as on a user's machine."""
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    """Filled as contestants start."""


class Worker:
    """One contestant with one net loaded, in a process of its own. A context manager: leaving it
    ends the process."""

    def __init__(
        self,
        entry: Entry,
        net: Net,
        field_: Field,
        *,
        threads: int | None = None,
        dtype: str = "float32",
    ) -> None:
        self.entry, self.field = entry, field_
        threads = threads or field_.threads
        python = field_.pythons.get(entry.environment)
        if python is None:
            raise Failed(field_.missing.get(entry.environment, "its environment was not made"))
        problem = file_for(net, field_.work)
        # Each start has a log of its own; the newest attempt of a contestant on a net is the one
        # that is kept.
        self.log = field_.work / f"{entry.name}-{net.name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [python, "-m", "benchmarks.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                cwd=ROOT, env=self.environment(threads), text=True, bufsize=1,
            )  # fmt: skip
        try:
            self.started = self.ask(
                "prepare",
                module=entry.module,
                options=dict(entry.options),
                problem=str(problem),
                threads=threads,
                dtype=dtype,
            )
        except Failed:
            self.close()
            raise
        field_.versions[entry.name] = self.started["versions"]

    def environment(self, threads: int) -> dict[str, str]:
        """Environment variables of the process."""
        count = str(threads)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        # The checkout's own source, whatever is installed; peers do not see it.
        paths = [
            str(ROOT),
            *([self.entry.source or str(ROOT / "src")] if self.entry.environment == OWN else []),
        ]
        given = dict.fromkeys(names, count) | {
            "BENCHMARKS_THREADS": count,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONWARNINGS": "ignore",
            "JAX_PLATFORMS": "cpu",
        }
        if self.field.wait_policy:
            given["OMP_WAIT_POLICY"] = self.field.wait_policy
        return os.environ | given

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer. Raises Failed with the reason."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"its process had ended: {self.last_words()}") from None
        ready, _, _ = select.select([self.process.stdout], [], [], self.field.timeout)
        if not ready:
            self.process.kill()
            raise Failed(f"'{do}' took more than {self.field.timeout:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            how = "killed, perhaps for want of memory" if code == -9 else f"exit code {code}"
            raise Failed(f"its process died ({how}): {self.last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def run(self, what: str, times: int = 1) -> list[float]:
        """Seconds of each of ``times`` runs."""
        return self.ask("run", what=what, times=times)["seconds"]

    def last_words(self) -> str:
        """The log's last line."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][-300:] if lines else "no message"

    def close(self) -> None:
        if self.process.poll() is None:
            try:
                assert self.process.stdin is not None
                self.process.stdin.write('{"do": "quit"}\n')
                self.process.stdin.close()
                self.process.wait(20)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # what was not sent to a process that has ended
                pipe.close()  # type: ignore[union-attr]

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
