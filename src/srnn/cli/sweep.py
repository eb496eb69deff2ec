"""Train every point of a sweep file with every seed; write results.csv, results.json, results.md and plots next to the runs.

  srnn sweep list                         the shipped sweeps
  srnn sweep digits-surrogates --dry-run  what one would do
  srnn sweep mine.yaml --workers 4        four processes here; the same command continues where it was stopped

More workers may join at any time, from any machine that shares the sweep's folder: give the same command.
What a dead worker was training is resumed by another, from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError, check_whole
from .show import show_names, tell

if TYPE_CHECKING:
    from ..studies.schema import Sweep
    from ..studies.units import Units

SHARED = ("--data-dir", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="FILE", help="a sweep file, the name of a shipped sweep, or 'list'")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the sweep's folder (default: runs/sweep-NAME)")
    parser.add_argument(
        "--launcher",
        choices=("local", "slurm"),
        help="submit the workers as jobs and return: to SLURM, or to the background of this machine (submitit)",
    )
    parser.add_argument(
        "--job",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="what a job of --launcher gets, by submitit's names: timeout_min=600 cpus_per_task=4 slurm_partition=long",
    )
    parser.add_argument("--storage", metavar="URL", help="a database for what optuna keeps, instead of a file in --out")
    parser.add_argument("--retry-failed", action="store_true", help="retry the trainings that failed")
    parser.add_argument("--dry-run", action="store_true", help="check the file and list what would be trained")
    parser.add_argument("--report", action="store_true", help="only write the results so far")


def run(arguments: argparse.Namespace) -> int:
    from ..studies import load_sweep, shipped_sweeps

    if arguments.sweep == "list":
        return _list({name: load_sweep(name) for name in shipped_sweeps()}, arguments)
    check_whole("--workers", arguments.workers, 1, 1024)
    options = _job_options(arguments)
    sweep = load_sweep(arguments.sweep)
    if arguments.dry_run:
        sweep.check()
        return _dry_run(sweep, arguments)

    from ..studies.units import Units

    units = Units(sweep, arguments.out or Path("runs") / f"sweep-{sweep.name}")
    if arguments.report:
        units.check()
        if all(one.state == "waiting" for one in units.status()):  # results that lie there are from elsewhere
            raise SrnnError(
                f"Nothing of the sweep '{sweep.name}' has been trained in {units.out}: there are no results to write."
            )
        return _write_results(units, arguments, if_new=False)
    units.begin()
    if arguments.retry_failed:
        units.retry_failed()
    if arguments.launcher:
        return _submit(units, options, arguments)
    code = _work(units, arguments)
    return code if code == 130 else _write_results(units, arguments, if_new=True) or code


def _work(units: Units, arguments: argparse.Namespace) -> int:
    """Train what is left. The exit code: 0, 1 when something is left all the same, 130 when interrupted."""
    from ..studies.launching import interrupted_by_signals, run_processes
    from ..studies.study import open_study
    from ..studies.watch import Watch
    from ..studies.worker import Worker

    study, watch = open_study(units, arguments.storage), Watch(units, quiet=arguments.json)
    logs, codes = units.out / "workers", []
    try:
        with interrupted_by_signals():
            if arguments.workers == 1:
                Worker(units, study, data_dir=arguments.data_dir, tick=watch.tick).work()
            else:
                codes = run_processes(_worker(units, arguments), arguments.workers, logs, watch.tick)
    except KeyboardInterrupt:
        done = sum(one.ended for one in units.status())
        print(f"srnn: stopped; the same command continues ({done} of {len(units.all)} are done)", file=sys.stderr)
        return 130
    finally:
        watch.stop()

    failed, left = any(one.state == "failed" for one in units.status()), units.left()
    usual = (0, 1) if failed and not left else (0,)
    died = [code for code in codes if code not in usual]
    if died:
        what = "the same command continues" if left else "nothing is lost"
        numbers = ", ".join(map(str, died))
        print(
            f"srnn: {len(died)} of {len(codes)} workers died (exit code {numbers}; see {logs}); {what}",
            file=sys.stderr,
        )
    return 1 if left else 0


def _submit(units: Units, options: dict[str, Any], arguments: argparse.Namespace) -> int:
    from ..studies.launching import submit

    logs = units.out / "workers"
    submitted = submit(_worker(units, arguments), arguments.workers, arguments.launcher, logs, options)
    jobs = [job.job_id for job in submitted]

    def show() -> None:
        print(f"{units.sweep.title}: submitted the jobs {', '.join(jobs)}; they print to {logs}")
        print(f"how far they are: srnn sweep {arguments.sweep} --out {units.out} --report")

    return tell(arguments, {"jobs": jobs, "logs": str(logs)}, show)


def _worker(units: Units, arguments: argparse.Namespace) -> list[str]:
    """The command of one more worker. The program that was started may define neurons or tasks of its own."""
    words = [sys.executable, *arguments.program, "sweep", arguments.sweep, "--out", str(units.out)]
    for option, value in (("--storage", arguments.storage), ("--data-dir", arguments.data_dir)):
        words += [] if value is None else [option, str(value)]
    return words


def _write_results(units: Units, arguments: argparse.Namespace, *, if_new: bool) -> int:
    from ..studies.results import write_results

    content = write_results(units.sweep, units.status(), units.out, if_new=if_new)
    counts = ", ".join(f"{count} {state}" for state, count in content["units"].items())
    tell(arguments, content, lambda: print(f"{units.sweep.title}: {counts}; {units.out}/results.md"))
    return 1 if content["units"].get("failed") else 0


def _job_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """KEY=VALUE as submitit takes them, numbers as numbers."""
    options: dict[str, Any] = {}
    for word in arguments.job:
        key, equals, value = word.partition("=")
        if not key or not equals or not arguments.launcher:
            raise SrnnError(f"--job takes KEY=VALUE, and needs --launcher; not {word!r}.")
        options[key] = int(value) if value.isdecimal() else value
    return options


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
