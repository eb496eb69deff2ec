"""Starting the workers of a sweep: in this process, in several, or as jobs of submitit."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from srnn.studies.launching import WorkerJob, run_processes, submit
from srnn.training.recipes import dump_recipe
from support.tiny import tiny_recipe

PROGRAM = """
from srnn.cli.main import main
from support.tiny import TinyTask

if __name__ == "__main__":
    raise SystemExit(main())
"""
"""A program with a task of its own."""
SMALL = """
recipe: tiny.yaml
seeds: [0, 1]
"""


def program(folder: Path, epochs: int) -> list[str]:
    """A command that trains a small sweep."""
    (folder / "tiny.yaml").write_text(
        dump_recipe(tiny_recipe("--task.name=tiny", f"--training.epochs={epochs}"))
    )
    (folder / "small.yaml").write_text(SMALL)
    (folder / "mine.py").write_text(PROGRAM)
    return [sys.executable, "mine.py", "sweep", "small.yaml", "--out", "out"]


@pytest.fixture(autouse=True)
def find_support(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)


def test_processes_are_waited_for_and_share_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    ticks: list[None] = []
    code = "import os, sys; print(os.environ['OMP_NUM_THREADS']); sys.exit(3)"
    command = [sys.executable, "-c", code]
    assert run_processes(command, 3, tmp_path / "logs", lambda: ticks.append(None)) == [3, 3, 3]
    assert ticks and [log.read_text() for log in (tmp_path / "logs").iterdir()] == ["2\n"] * 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    run_processes(command, 1, tmp_path / "more", lambda: None)
    assert [log.read_text() for log in (tmp_path / "more").iterdir()] == ["5\n"]


def test_processes_end_when_who_started_them_is_ended(tmp_path: Path) -> None:
    started: list[float] = []

    def tick() -> None:
        started.append(time.monotonic())
        if len(list((tmp_path / "logs").iterdir())) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_processes(
            [sys.executable, "-c", "import time; time.sleep(1000)"], 2, tmp_path / "logs", tick
        )
    assert time.monotonic() - started[0] < 60


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_sweep_of_two_workers_that_is_ended_goes_on(tmp_path: Path) -> None:
    words = [*program(tmp_path, 24), "--workers", "2"]
    process = subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        while not all(
            (tmp_path / f"out/runs/base/s{seed}/metrics.jsonl").exists() for seed in (0, 1)
        ):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    said = re.compile(
        r"(1/2  .*\n)?srnn: stopped; the same command continues \([01] of 2 are done\)\n"
    )
    logs = [log.read_text() for log in (tmp_path / "out" / "workers").iterdir()]
    assert len(logs) == 2 and all(said.fullmatch(text) for text in (stderr, *logs))
    notes = [
        json.loads(path.read_text()) for path in (tmp_path / "out" / "trials").glob("base/*.json")
    ]
    assert [note["begun"] for note in notes] == [0, 0]
    done = subprocess.run(
        [*words, "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    content = json.loads(done.stdout)
    assert content["trials"] == {"done": 2} and {row["epochs"] for row in content["trainings"]} == {
        24
    }
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == content


@pytest.mark.slow
def test_workers_that_die_are_named(tmp_path: Path) -> None:
    words = [*program(tmp_path, 1), "--workers", "2"]
    (tmp_path / "out" / "runs" / "base").mkdir(parents=True)
    (
        tmp_path / "out" / "runs" / "base" / "s0"
    ).touch()  # where a folder should be: both will stumble
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "2 waiting" in done.stdout
    assert (
        "2 of 2 workers died (exit code 2, 2; see out/workers); the same command continues"
        in done.stderr
    )
    logs = [log.read_text() for log in (tmp_path / "out" / "workers").iterdir()]
    assert all(log.startswith("srnn: Cannot write the folder") for log in logs)


# ---- submitit ----

submitit = pytest.importorskip("submitit")


@pytest.mark.slow
def test_jobs_run_in_the_background_of_this_machine(tmp_path: Path) -> None:
    code = "import sys; print('worker', *sys.argv[1:])"
    jobs = submit(
        [sys.executable, "-c", code, "a b"], 2, "local", tmp_path / "logs", {"timeout_min": 5}
    )
    assert [job.result() for job in jobs] == [0, 0]
    assert all("worker a b" in job.stdout() for job in jobs)


@pytest.mark.slow
def test_a_job_whose_time_is_over_ends_its_worker_and_goes_on_in_a_new_one(tmp_path: Path) -> None:
    """The worker is told by SIGTERM, and gives back what it was training."""
    code = f"""
import pathlib, signal, sys, time
log = pathlib.Path({str(tmp_path / "log")!r})
def end(*_):
    log.write_text(log.read_text() + "ended ")
    sys.exit(130)
signal.signal(signal.SIGTERM, end)
before = log.read_text() if log.exists() else ""
log.write_text(before + "begun ")
time.sleep(0 if before else 1000)
"""
    (job,) = submit([sys.executable, "-c", code], 1, "local", tmp_path / "logs", {"timeout_min": 5})
    children = Path(f"/proc/{job.job_id}/task/{job.job_id}/children")
    if not children.exists():
        pytest.skip("needs /proc")
    while not (tmp_path / "log").exists():
        time.sleep(0.05)
    (process,) = children.read_text().split()
    os.kill(int(process), signal.SIGUSR2)  # a scheduler's warning
    assert job.result() == 0
    assert (tmp_path / "log").read_text() == "begun ended begun "


def test_slurm_gets_an_array_of_jobs_with_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, logs = tmp_path / "bin", tmp_path / "logs"
    programs.mkdir()
    # A cluster: jobs are numbered, and srun runs what follows its own options.
    scripts = {
        "sbatch": "echo Submitted batch job 12",
        "srun": 'while [ "${1#--}" != "$1" ]; do case $1 in --output|--error) shift;; esac; shift; '
        'done\nexec "$@"',
    }
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    said = tmp_path / "said"
    command = [sys.executable, "-c", f"open({str(said)!r}, 'a').write('worker ')"]
    options = {"timeout_min": 90, "cpus_per_task": 4, "slurm_partition": "long"}
    jobs = submit(command, 3, "slurm", logs, options)
    assert [job.job_id for job in jobs] == ["12_0", "12_1", "12_2"]
    (script,) = logs.glob("*_submission.sh")
    lines = script.read_text().splitlines()
    asked = ("array=0-2%3", "time=90", "cpus-per-task=4", "partition=long", "job-name=srnn-sweep")
    assert all(f"#SBATCH --{option}" in lines for option in asked)
    for number in range(2):
        place = {
            "SLURM_JOB_ID": "12",
            "SLURM_ARRAY_JOB_ID": "12",
            "SLURM_ARRAY_TASK_ID": str(number),
        }
        place |= {
            "SLURM_PROCID": "0",
            "SLURM_LOCALID": "0",
            "SLURM_NTASKS": "1",
            "SLURM_NODEID": "0",
        }
        subprocess.run(
            ["bash", script], check=True, env={**os.environ, **place}, capture_output=True
        )
    assert said.read_text() == "worker worker "


def test_a_job_is_kept_as_a_command() -> None:
    job = WorkerJob((sys.executable, "-c", "raise SystemExit(1)"))
    assert job() == 1 and job.checkpoint().function is job


def test_jobs_of_one_machine_share_its_cores(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    command = [sys.executable, "-c", "import os; print(os.environ.get('OMP_NUM_THREADS'))"]
    for sharing in (1, 3):
        assert WorkerJob(command, sharing)() == 0
    assert capfd.readouterr().out.split() == ["None", "2"]


@pytest.mark.slow
def test_a_sweep_is_submitted_and_looked_at(tmp_path: Path) -> None:
    sweep = [*program(tmp_path, 1), "--json"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*sweep, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    submitted = run("--workers", "2", "--launcher", "local", "--job", "timeout_min=10")
    found = json.loads(submitted.stdout)
    assert len(found["jobs"]) == 2 and found["logs"] == "out/workers"
    deadline = time.monotonic() + 200
    while not (tmp_path / "out" / "results.json").exists() and time.monotonic() < deadline:
        time.sleep(0.2)  # the last worker writes it
    report = run("--report")
    assert report.returncode == 0 and json.loads(report.stdout)["trials"] == {"done": 2}
