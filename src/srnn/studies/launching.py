"""Starting several workers: as processes that are waited for, or as jobs of a scheduler.

A worker is the command ``srnn sweep FILE`` itself: it does not matter who starts how many, or when.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError, need, option
from ..files import write_atomically

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

HOURS = 24
"""That a job may take unless its options state another limit; submitit's own is five minutes."""


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """In the block SIGTERM and SIGHUP, from a scheduler or a closed terminal, do what Ctrl-C does.

    Only the first signal counts: whoever ends a group of processes may signal each of them twice.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [number for name in names if (number := getattr(signal, name, None)) is not None]
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [
        number for number in numbers if before[number] is not signal.SIG_IGN
    ]  # as under nohup

    def interrupt(*_: object) -> None:
        for number in handled:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


def run_processes(
    command: Sequence[str], count: int, logs: Path, tick: Callable[[], None]
) -> list[int]:
    """Run a command in several processes. If this one ends, they end.

    Args:
        command: its words.
        count: of the processes.
        logs: a folder for what they print.
        tick: called all the while.

    Returns:
        Their exit codes.
    """
    environment = _environment(count)
    logs.mkdir(parents=True, exist_ok=True)
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            path = logs / f"{platform.node()}-{os.getpid()}-{number}.log"
            write_atomically(path, b"")  # whatever has its name is replaced
            with open(path, "ab") as log:
                workers.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        while running := [worker for worker in workers if worker.poll() is None]:
            tick()
            with suppress(subprocess.TimeoutExpired):
                running[0].wait(2.0)
    finally:
        for worker in workers:
            worker.terminate()  # nothing happens to one that has ended
        for worker in workers:
            worker.wait()
    return [worker.returncode for worker in workers]


def _environment(count: int) -> dict[str, str]:
    """For workers that share a machine: threads that outnumber its cores only wait for each
    other."""
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count)), **os.environ}


class WorkerJob:
    """A worker as a job: submitit keeps this object, and calls it where the job runs.

    Args:
        command: its words.
        sharing: how many jobs share the machine, if that is known.
    """

    def __init__(self, command: Sequence[str], sharing: int = 1) -> None:
        self.command, self.sharing = list(command), sharing

    def __call__(self) -> int:
        environment = None
        if self.sharing > 1:
            environment = _environment(self.sharing)
        worker = subprocess.Popen(self.command, env=environment)
        try:
            return worker.wait()
        finally:  # also when submitit ends the job because its time is almost over
            worker.terminate()
            worker.wait()

    def checkpoint(self) -> DelayedSubmission:
        """What a job whose time is over goes on with, in a new one."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit(
    command: Sequence[str],
    count: int,
    launcher: str,
    folder: Path,
    options: Mapping[str, Any],
) -> list[Any]:
    """Submit jobs that each run a command.

    Args:
        command: its words.
        count: of the jobs.
        launcher: slurm, or local for processes in the background.
        folder: for submitit's files, and for what the jobs print.
        options: what a job gets, by submitit's names.

    Returns:
        submitit's jobs.

    Raises:
        SrnnError: ``package``: submitit is missing; ``resource``: it cannot be done.
    """
    submitit = need("submitit", option("launcher"), "sweep")
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=launcher)
        executor.update_parameters(**{"name": "srnn-sweep", "timeout_min": 60 * HOURS, **options})
        with executor.batch():
            sharing = 1
            if launcher == "local":
                sharing = count
            jobs = [executor.submit(WorkerJob(command, sharing)) for _ in range(count)]
        return jobs
    except Exception as error:  # a scheduler that is not there, an option that it does not know
        problem = f"{option('launcher')} {launcher}: {error}"
        raise SrnnError(problem, "resource", "launcher") from error
