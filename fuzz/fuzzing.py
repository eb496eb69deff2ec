"""A target under libFuzzer for a while, in a process of its own, which is begun again after an
input that ends it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .corpora import HERE, kept
from .examining import Finding
from .target import Target

INPUT_SECONDS = 10
"""Of the clock, after which libFuzzer ends the process."""
RESIDENT_MB = 3000
_STATE = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")
_EXECUTED = re.compile(r"^stat::number_of_executed_units: +(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What a time of fuzzing came to."""

    target: str
    seconds: float
    processor_seconds: float
    executions: int
    coverage: int
    """Branches and blocks of the instrumented Python code that were reached (libFuzzer's "cov")."""
    features: int
    corpus: int
    ends: int
    """How often an input ended the process."""


def fuzz(target: Target, seconds: float, work: Path) -> Outcome:
    """Fuzz for so many seconds. Corpus, logs and findings stay in WORK/TARGET, and a later call
    goes on with them."""
    place = work / target.name
    for folder in (place / "corpus", place / "findings", place / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    words = place / "words.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), encoding="ascii")
    begun, spent_before = time.monotonic(), os.times().children_user + os.times().children_system
    executions = ends = coverage = features = corpus = 0
    while (left := seconds - (time.monotonic() - begun)) >= 1:
        log = place / f"log-{len(list(place.glob('log-*'))):03d}.txt"
        code = _run(target, place, left, log)
        said = log.read_text(encoding="utf-8", errors="replace")
        executions += sum(map(int, _EXECUTED.findall(said)))
        if states := _STATE.findall(said):
            coverage, features, corpus = map(int, states[-1])
        if code == 0:
            break
        ends += 1
        learnt = _keep_end(target, place / "findings", said)
        if not learnt and ends >= 3:  # and that will not change
            break
    spent = os.times().children_user + os.times().children_system - spent_before
    outcome = Outcome(
        target.name, time.monotonic() - begun, spent, executions, coverage, features, corpus, ends
    )
    with (place / "outcomes.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(outcome)) + "\n")
    shutil.rmtree(place / "tmp")
    return outcome


def minimised(target: Target, work: Path) -> list[bytes]:
    """Of what is kept and what was found, the first first, as few inputs as reach what all of them
    reach; the smallest first."""
    place, merged = work / target.name, work / target.name / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    for folder in (merged, place / "tmp", place / "findings"):
        folder.mkdir(parents=True, exist_ok=True)
    _run(target, place, 0, place / "merge.txt", "-merge=1", merged)
    return sorted(
        (path.read_bytes() for path in merged.iterdir()), key=lambda data: (len(data), data)
    )


def _run(target: Target, place: Path, seconds: float, log: Path, *first: str | Path) -> int:
    """libFuzzer's exit code: 0 when the time was up."""
    findings = place / "findings"
    limits = [
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={RESIDENT_MB}",
        f"-max_len={target.largest}",
    ]
    said = [
        "-print_final_stats=1",
        f"-artifact_prefix={findings}/",
        f"-max_total_time={int(seconds)}",
    ]
    words = [f"-dict={place / 'words.dict'}"] if target.words and not first else []
    folders = [
        folder
        for folder in (place / "corpus", _unpacked(target, place / "kept"))
        if folder.is_dir()
    ]
    command = [
        sys.executable,
        "-m",
        "fuzz.instrument",
        target.name,
        findings,
        *limits,
        *said,
        *words,
        *first,
        *folders,
    ]
    paths = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH", ""))))
    one_thread = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
    )
    environment = {
        **os.environ,
        **one_thread,
        "PYTHONPATH": paths,
        "TMPDIR": str(place / "tmp"),
        "PYTHONHASHSEED": "0",
    }
    with log.open("wb") as file:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment,
            check=False,
        ).returncode


def _unpacked(target: Target, folder: Path) -> Path:
    """A folder of the target's seeds and of the inputs that are kept for it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in {**target.seeds(), **kept(target.name)}.items():
        (folder / name.replace("/", "-")).write_bytes(data)
    return folder


def _keep_end(target: Target, findings: Path, said: str) -> bool:
    """Describe the input that ended the process, which libFuzzer kept; False if there is none."""
    new = False
    for path in findings.iterdir():
        described = path.with_name(f"{path.name}.json")
        if path.suffix or described.exists():
            continue
        if path.name.startswith(("slow-unit", "timeout", "oom")):  # no finding
            path.unlink()
            new = True
            continue
        error = next(
            (line for line in said.splitlines() if "ERROR: libFuzzer" in line), said[-300:]
        )
        found = Finding(
            target.name,
            "crash",
            " ".join(error.partition("ERROR: ")[2].split()) or " ".join(error.split()),
        )
        content = {**asdict(found), "signature": f"{found.signature} ({path.name})"}
        described.write_text(json.dumps(content), encoding="utf-8")
        new = True
    return new


def _escaped(word: str) -> str:
    return "".join(chr(c) if chr(c).isalnum() and c < 128 else f"\\x{c:02x}" for c in word.encode())
