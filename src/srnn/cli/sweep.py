"""Train every point of a sweep file with every seed; write results.csv, results.json, results.md and plots next to the runs.

  srnn sweep list                         the shipped sweeps
  srnn sweep ecg-surrogates --dry-run     what one would do
  srnn sweep mine.yaml --workers 4        four processes here; the same command continues where it was stopped

More workers may join from any machine, at any time, with the same file and either the same folder (--out, on a shared disk) or
the same database (--storage postgresql://USER@HOST/NAME). What a dead worker was training is resumed by another, from its last
checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError, check_whole
from .options import again
from .show import show_names, tell

if TYPE_CHECKING:
    from ..studies.queue import Queue
    from ..studies.schema import Sweep

SHARED = ("--data-dir", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="FILE", help="a sweep file, the name of a shipped sweep, or 'list'")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    parser.add_argument("--storage", metavar="URL", help="a database instead of the file journal.log in --out")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the sweep's folder (default: runs/sweep-NAME)")
    parser.add_argument(
        "--patience", type=float, default=60.0, metavar="S",
        help="seconds without a sign of life after which a worker elsewhere counts as dead (default: 60)",
    )  # fmt: skip
    parser.add_argument("--retry-failed", action="store_true", help="retry the trainings that failed")
    parser.add_argument("--dry-run", action="store_true", help="check the file and list what would be trained")
    parser.add_argument("--report", action="store_true", help="only write the results so far")
    parser.add_argument("--as-worker", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    from ..studies import load_sweep, shipped_sweeps

    if arguments.sweep == "list":
        return _list({name: load_sweep(name) for name in shipped_sweeps()}, arguments)
    check_whole("--workers", arguments.workers, 1, 1024)
    if not 1 <= arguments.patience < float("inf"):
        raise SrnnError(f"--patience must be at least 1 second, not {arguments.patience:g}.")
    sweep = load_sweep(arguments.sweep)
    if not arguments.as_worker:
        sweep.check()
    if arguments.dry_run:
        return _dry_run(sweep, arguments)

    from ..studies.queue import Queue
    from ..studies.results import write_results
    from ..studies.storage import open_storage
    from ..studies.worker import work

    out = arguments.out or Path("runs") / f"sweep-{sweep.name}"
    where = "in that --storage" if arguments.storage else f"in {out}"
    nothing = SrnnError(f"Nothing of the sweep '{sweep.name}' has been trained {where}: there are no results to write.")
    if arguments.report and not arguments.storage and not out.is_dir():
        raise nothing
    queue = Queue(sweep, open_storage(arguments.storage, out), arguments.patience)
    if arguments.as_worker:
        _when_ended(_interrupt())
        work(queue, out, data_dir=arguments.data_dir, say=lambda text: print(text, file=sys.stderr, flush=True))
        return 0
    code = 0
    if not arguments.report:
        queue.fill(arguments.retry_failed)
        code = _work_here(queue, arguments, out)
    status = queue.status()
    if arguments.report and all(unit.state == "waiting" for unit in status):
        raise nothing  # results that lie there are from elsewhere
    content = write_results(sweep, status, out)
    counts = ", ".join(f"{count} {state}" for state, count in content["units"].items())
    tell(arguments, content, lambda: print(f"{sweep.title}: {counts}; {out}/results.md"))
    return code or (1 if content["units"].get("failed") else 0)


def _work_here(queue: Queue, arguments: argparse.Namespace, out: Path) -> int:
    """Start the workers, show the sweep until they have ended. The exit code: 0, 1 when all died, 130 when interrupted."""
    from ..studies.watch import Watch

    logs = out / "workers"
    logs.mkdir(parents=True, exist_ok=True)
    # If this process is ended from outside, it ends the workers too; they would continue by themselves.
    _when_ended(lambda number, _: sys.exit(128 + number))
    watch = Watch(queue, arguments.json)
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(arguments.workers):
            workers.append(_start_worker(arguments, out, logs / f"{platform.node()}-{os.getpid()}-{number}.log"))
        while any(worker.poll() is None for worker in workers):
            watch.update()
            with suppress(subprocess.TimeoutExpired):
                next(worker for worker in workers if worker.poll() is None).wait(2.0)
    except KeyboardInterrupt:
        # The terminal has interrupted the workers too: they give back what they were training.
        for worker in workers:
            worker.wait()
        done = sum(unit.ended for unit in queue.status())
        print(f"srnn: stopped; the same command continues ({done} of {len(queue.units)} are done)", file=sys.stderr)
        return 130
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in workers:  # each gives back what it was training
            worker.wait()
        watch.stop()
    died = [worker for worker in workers if worker.returncode != 0]
    if died:
        codes = ", ".join(str(worker.returncode) for worker in died)
        what = "nothing is lost" if queue.finished() else "the same command continues"
        print(
            f"srnn: {len(died)} of {len(workers)} workers died (exit code {codes}; see {logs}); {what}", file=sys.stderr
        )
    return 0 if queue.finished() else 1


def _when_ended(handle: Callable[[int, Any], Any]) -> None:
    """Call ``handle`` when a scheduler or a closed terminal ends this process. Only once: workers are told by these and by us."""
    both = {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
    numbers = [number for number in both if signal.getsignal(number) is not signal.SIG_IGN]  # as under nohup

    def once(number: int, frame: Any) -> None:
        for one in numbers:
            signal.signal(one, signal.SIG_IGN)
        handle(number, frame)

    for number in numbers:
        signal.signal(number, once)


def _interrupt() -> Callable[[int, Any], Any]:
    """What Ctrl-C does, even if it is ignored, as in a script's background job."""
    handler = signal.getsignal(signal.SIGINT)
    return handler if callable(handler) else signal.default_int_handler


def _start_worker(arguments: argparse.Namespace, out: Path, log: Path) -> subprocess.Popen[bytes]:
    from ..files import write_atomically

    words = again(arguments, ("workers", "retry_failed", "json"), as_worker=True, out=out)
    command = [sys.executable, *arguments.program, *words]
    environment = dict(os.environ)
    # Workers share the cores: threads that outnumber them would only wait for each other.
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // arguments.workers)))
    write_atomically(log, b"")  # whatever has its name is replaced
    with open(log, "ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


def _list(sweeps: dict[str, Sweep], arguments: argparse.Namespace) -> int:
    listed = {name: {"title": sweep.title, "trainings": sweep.size} for name, sweep in sweeps.items()}
    texts = {name: f" {one['title']} ({one['trainings']} trainings)" for name, one in listed.items()}
    return tell(arguments, listed, lambda: show_names(texts))


def _dry_run(sweep: Sweep, arguments: argparse.Namespace) -> int:
    units = [{"unit": unit.name, "seeds": list(unit.seeds), "settings": dict(unit.settings)} for unit in sweep.units()]

    def show() -> None:
        limit = f", begun within {sweep.budget_minutes:g} minutes of training" if sweep.budget_minutes else ""
        print(f"{sweep.title}: {sweep.size} trainings of {sweep.recipe}{limit}")
        unchanged = "chosen by the sampler" if sweep.is_search else "the recipe as it is"
        for unit in units:
            print(f"  {unit['unit']}  {json.dumps(unit['settings']) if unit['settings'] else unchanged}")

    about = {"name": sweep.name, "title": sweep.title, "budget_minutes": sweep.budget_minutes}
    return tell(arguments, {**about, "units": units}, show)
