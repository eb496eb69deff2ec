"""What fuzzing came to: hours, executions, coverage and findings by target, as Markdown and
JSON."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from .corpora import read_descriptions
from .examining import examine, workplace
from .instrument import prepare
from .target import Target
from .targets import TARGETS


def write_report(work: Path, out: Path) -> int:
    """fuzz.md and fuzz.json in ``out``, from a folder that targets were fuzzed in, and from what
    findings.json says."""
    with workplace() as folder:
        rows = [
            _row(target, work.absolute() / name, folder)
            for name, target in TARGETS.items()
            if (work / name / "outcomes.jsonl").is_file()
        ]
    content = {
        "command": "python -m fuzz all --seconds N --work W; python -m fuzz all --report "
                   "results/fuzz --work W",
        "atheris": metadata.version("atheris"), "python": platform.python_version(), "cpu": platform.machine(),
        "hours": sum(row["seconds"] for row in rows) / 3600,
        "processor_hours": sum(row["processor_seconds"] for row in rows) / 3600,
        "executions": sum(row["executions"] for row in rows),
        "targets": rows, "repaired": read_descriptions(),
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "fuzz.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (out / "fuzz.md").write_text(_page(content), encoding="utf-8")
    return 0


def _row(target: Target, place: Path, folder: Path) -> dict[str, Any]:
    """Numbers of a target. Its findings are read once more: "open" are those that are findings
    still."""
    prepare(target, folder)
    outcomes = [
        json.loads(line)
        for line in (place / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    findings = []
    for path in sorted((place / "findings").glob("*.json")):
        said, data = json.loads(path.read_text(encoding="utf-8")), path.with_suffix("").read_bytes()
        open_still = examine(target, data, folder) is not None
        findings.append({"kind": said["kind"], "signature": said["signature"], "open": open_still})
    added = {
        key: sum(outcome[key] for outcome in outcomes)
        for key in ("seconds", "processor_seconds", "executions", "ends")
    }
    last = {key: outcomes[-1][key] for key in ("coverage", "features", "corpus")}
    return {
        "target": target.name,
        **added,
        **last,
        "findings": findings,
    }


def _page(content: dict[str, Any]) -> str:
    lines = [
        "# Fuzzing", "",
        f"{content['hours']:.1f} hours in all ({content['processor_hours']:.1f} of processor "
        f"time), {content['executions']:,} "
        f"executions of {len(content['targets'])} targets; Atheris {content['atheris']}, Python "
        f"{content['python']}. Made by",
        f"`{content['command']}`.", "",
        "Coverage counts blocks and branches of the readers' Python code (and of the parsers in "
        "Python that they use), as",
        "libFuzzer reports them; code in C is not counted. What a finding is: `fuzz/examining.py`. "
        "\"Findings\" are distinct",
        "ones since the first hour, \"open\" those that today's code still shows (a timeout on a "
        "busy machine is none).", "",
        "| target | minutes | executions | a second | coverage | corpus | findings | of these open "
        "|",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for row in content["targets"]:
        pace = row["executions"] / max(row["seconds"], 1e-9)
        lines.append(
            f"| {row['target']} | {row['seconds'] / 60:.1f} | {row['executions']:,} | {pace:,.0f} "
            f"| {row['coverage']:,} "
            f"| {row['corpus']:,} | {len(row['findings'])} "
            f"| {sum(found['open'] for found in row['findings'])} |"
        )
    lines += [
        "",
        "## Found and repaired",
        "",
        "Each input is kept in `fuzz/corpora.zip`, and read again by "
        "`tests/project/test_fuzz_corpus.py`.",
        "",
    ]
    lines += [
        f"- **{item['target']}**, {item['kind']}: {item['what']}" for item in content["repaired"]
    ]
    return "\n".join([*lines, ""])
