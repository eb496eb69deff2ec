"""``srnn sweep``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import SrnnError
from ..files.bounds import Between
from ..files.conversion import check
from ..text import json_text
from .options import MORE, Called, DataDir, Json, data_dir_again
from .show import print_result, show_names

if TYPE_CHECKING:
    from ..studies.schema import Sweep
    from ..studies.trials import Trials


def sweep(
    file: Annotated[
        str, Parameter(name="FILE", help="a sweep file, the name of a shipped sweep, or 'list'")
    ],
    /,
    *,
    workers: int = 1,
    out: Path | None = None,
    launcher: Literal["local", "slurm"] | None = None,
    job: Annotated[list[str] | None, MORE] = None,
    storage: str | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    report: bool = False,
    data_dir: DataDir = None,
    json: Json = False,
    called: Called,
) -> int:
    """Train every point of a sweep file with every seed; write results.csv, results.json,
    results.md and plots next to the runs.

      srnn sweep list                         the shipped sweeps
      srnn sweep digits-surrogates --dry-run  what one would do
      srnn sweep mine.yaml --workers 4        four processes here; the same command continues where it was stopped

    More workers may join at any time, from any machine that shares the sweep's folder: give the
    same command. What a dead worker was training is resumed by another, from its last checkpoint.

    Args:
        workers: processes on this machine
        out: the sweep's folder (default: runs/sweep-NAME)
        launcher: submit the workers as jobs and return: to SLURM, or to the background of this
            machine (submitit)
        job: what a job of --launcher gets, KEY=VALUE by submitit's names: timeout_min=600
            cpus_per_task=4 slurm_partition=long
        storage: a database (its URL) for what optuna keeps, instead of a file in --out
        retry_failed: retry the trainings that failed
        dry_run: check the file and list what would be trained
        report: only write the results so far
    """
    from ..studies import load_sweep, shipped_sweeps

    if file == "list":
        sweeps = {name: load_sweep(name) for name in shipped_sweeps()}
        listed = {
            name: {"title": sweep.title, "trainings": sweep.size} for name, sweep in sweeps.items()
        }
        texts = {
            name: f" {one['title']} ({one['trainings']} trainings)" for name, one in listed.items()
        }
        return print_result(json, listed, lambda: show_names(texts))
    check("--workers", workers, int, Between(1, 1024))
    options: dict[str, Any] = {}  # of a job, as submitit takes them
    for word in job or ():
        key, equals, value = word.partition("=")
        if not key or not equals or not launcher:
            raise SrnnError(
                f"--job takes KEY=VALUE, and needs --launcher; not {word!r}.", "value", "job"
            )
        options[key] = int(value) if value.isdecimal() else value
    loaded = load_sweep(file)
    if dry_run:
        loaded.check()
        return _dry_run(loaded, json)

    from ..studies.trials import Trials

    trials = Trials(loaded, out or Path("runs") / f"sweep-{loaded.name}")
    if report:
        trials.check()
        # Results that lie there in spite of this are from elsewhere.
        if all(one.state == "waiting" for one in trials.status()):
            raise SrnnError(
                f"Nothing of the sweep '{loaded.name}' has been trained "
                f"in {trials.out}: there are no results to write.",
                "missing",
                trials.out,
            )
        return _write_results(trials, json, if_new=False)
    trials.begin()
    if retry_failed:
        trials.retry_failed()
    # The program that was started may define neurons or tasks of its own.
    worker = [sys.executable, *called.python, "sweep", file, "--out", str(trials.out)]
    worker += [] if storage is None else ["--storage", storage]
    worker += data_dir_again(data_dir)
    if launcher:
        from ..studies.launching import submit

        logs = trials.out / "workers"
        jobs = [one.job_id for one in submit(worker, workers, launcher, logs, options)]

        def show() -> None:
            print(
                f"{trials.sweep.title}: submitted the jobs {', '.join(jobs)}; they print to {logs}"
            )
            print(f"how far they are: srnn sweep {file} --out {trials.out} --report")

        return print_result(json, {"jobs": jobs, "logs": str(logs)}, show)
    code = _work(trials, worker, workers, storage, data_dir, quiet=json)
    if code == 130:
        return code
    return _write_results(trials, json, if_new=True) or code


def _work(
    trials: Trials,
    worker: list[str],
    workers: int,
    storage: str | None,
    data_dir: Path | None,
    *,
    quiet: bool,
) -> int:
    """Train what is left. The exit code: 0, 1 when something is left all the same, 130 when
    interrupted."""
    from ..studies.launching import interrupted_by_signals, run_processes
    from ..studies.study import open_study
    from ..studies.watch import SweepView
    from ..studies.worker import Worker

    study, watch = open_study(trials, storage), SweepView(trials, quiet=quiet)
    logs, codes = trials.out / "workers", []
    try:
        with interrupted_by_signals():
            if workers == 1:
                Worker(trials, study, data_dir=data_dir, tick=watch.tick).work()
            else:
                codes = run_processes(worker, workers, logs, watch.tick)
    except KeyboardInterrupt:
        done = sum(one.ended for one in trials.status())
        print(
            f"srnn: stopped; the same command continues ({done} of {len(trials.all)} are done)",
            file=sys.stderr,
        )
        return 130
    finally:
        watch.stop()

    failed, left = any(one.state == "failed" for one in trials.status()), trials.left()
    usual = (0, 1) if failed and not left else (0,)
    died = [code for code in codes if code not in usual]
    if died:
        what = "nothing is lost"
        if left:
            what = "the same command continues"
        numbers = ", ".join(map(str, died))
        print(
            f"srnn: {len(died)} of {len(codes)} workers "
            f"died (exit code {numbers}; see {logs}); {what}",
            file=sys.stderr,
        )
    return 1 if left else 0


def _write_results(trials: Trials, json: bool, *, if_new: bool) -> int:
    from ..studies.results import write_results

    content = write_results(trials.sweep, trials.status(), trials.out, if_new=if_new)
    counts = ", ".join(f"{count} {state}" for state, count in content["trials"].items())
    print_result(
        json, content, lambda: print(f"{trials.sweep.title}: {counts}; {trials.out}/results.md")
    )
    if content["trials"].get("failed"):
        return 1
    return 0


def _dry_run(sweep: Sweep, json: bool) -> int:
    trials = [
        {"trial": trial.name, "seeds": list(trial.seeds), "settings": dict(trial.settings)}
        for trial in sweep.list_trials()
    ]

    def show() -> None:
        limit = ""
        if sweep.budget_minutes:
            limit = f", begun within {sweep.budget_minutes:g} minutes of training"
        print(f"{sweep.title}: {sweep.size} trainings of {sweep.recipe}{limit}")
        unchanged = "the recipe as it is"
        if sweep.is_search:
            unchanged = "chosen by the sampler"
        for trial in trials:
            if trial["settings"]:
                settings = json_text(trial["settings"])
            else:
                settings = unchanged
            print(f"  {trial['trial']}  {settings}")

    about = {"name": sweep.name, "title": sweep.title, "budget_minutes": sweep.budget_minutes}
    return print_result(json, {**about, "trials": trials}, show)
