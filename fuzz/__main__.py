"""The command line: see ``fuzz/__init__.py``."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import sys
import tempfile
from pathlib import Path

import fuzz

from .examining import examine, workplace
from .fuzzing import fuzz as fuzz_target
from .fuzzing import minimised
from .instrument import prepare
from .reporting import write_report
from .target import Target
from .targets import TARGETS

KEPT_BYTES, KEPT_FILES = 16 * 1024, 20
"""Of a target's corpus, which are added to the seeds."""


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m fuzz", description=fuzz.__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="names, or: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="in all, shared by the targets (default 60)")
    parser.add_argument("--work", type=Path, help="where corpora, logs and findings stay (default: a temporary folder)")
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--list", action="store_true", help="print the targets' names")
    does.add_argument(
        "--replay", type=Path, nargs="*", metavar="FILE", help="read these, or all that are kept, once more"
    )
    does.add_argument("--seeds", action="store_true", help="write the corpora's seeds anew")
    does.add_argument(
        "--keep", action="store_true", help="add what was found in the folder WORK to the corpora, minimised"
    )
    does.add_argument("--report", type=Path, metavar="OUT", help="write what came of WORK into this folder")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.targets if name not in (*TARGETS, "all")]
    if unknown:
        parser.error(f"there is no target {unknown[0]!r}; there are: {', '.join(TARGETS)}")
    if arguments.list:
        print("\n".join(TARGETS))
        return 0
    if arguments.report is not None:
        if arguments.work is None:
            parser.error("--report needs the folder --work that was fuzzed in")
        return write_report(arguments.work, arguments.report)
    if not arguments.targets:
        parser.error("name a target, or all")
    chosen = list(TARGETS.values()) if "all" in arguments.targets else [TARGETS[name] for name in arguments.targets]
    if arguments.seeds:
        return sum(write_seeds(target) for target in chosen)
    if arguments.replay is not None:
        return replay(chosen, [path.absolute() for path in arguments.replay])
    if importlib.util.find_spec("atheris") is None:
        print('Fuzzing needs Atheris: pip install -e ".[fuzz]"', file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="srnn-fuzz-") as temporary:
        work = (arguments.work or Path(temporary)).absolute()
        if arguments.keep:
            return sum(keep(target, work) for target in chosen)
        return run(chosen, arguments.seconds, work)


def run(targets: list[Target], seconds: float, work: Path) -> int:
    """Fuzz each; 1 if there were findings."""
    found = 0
    for target in targets:
        outcome = fuzz_target(target, seconds / len(targets), work)
        findings = sorted((work / target.name / "findings").glob("*.json"))
        print(f"{target.name}: {outcome.executions:,} executions in {outcome.seconds:.0f} s, coverage {outcome.coverage:,}, "
              f"corpus {outcome.corpus:,}, findings {len(findings)}", flush=True)  # fmt: skip
        for path in findings:
            print(f"  {path.read_text(encoding='utf-8')}")
        found += len(findings) + (not outcome.executions)
    return 1 if found else 0


def replay(targets: list[Target], files: list[Path]) -> int:
    """Read inputs once more; 1 if one of them is a finding."""
    found = 0
    with workplace() as folder:
        for target in targets:
            prepare(target, folder)
            for path in files or target.kept():
                finding = examine(target, path.read_bytes(), folder)
                if finding is not None:
                    found += 1
                    print(f"{path}: {finding.signature}\n  {finding.what}", flush=True)
    return 1 if found else 0


def write_seeds(target: Target) -> int:
    target.corpus.mkdir(parents=True, exist_ok=True)
    for path in target.corpus.glob("seed-*"):
        path.unlink()
    for name, data in target.seeds().items():
        (target.corpus / f"seed-{name}").write_bytes(data)
    return 0


def keep(target: Target, work: Path) -> int:
    """Seeds stay; the rest of the corpus is chosen anew: of inputs of all sizes, the smallest first."""
    found, total = minimised(target, work), 0
    if not found:
        print(f"{target.name}: nothing was merged, see {work / target.name / 'merge.txt'}", file=sys.stderr)
        return 1
    seeds = {path.read_bytes() for path in target.corpus.glob("seed-*")}
    for path in set(target.corpus.iterdir()) - set(target.corpus.glob("seed-*")):
        path.unlink()
    for data in found[:: -(-len(found) // KEPT_FILES)]:
        total += len(data)
        if total <= KEPT_BYTES and data not in seeds:
            (target.corpus / hashlib.sha1(data).hexdigest()[:12]).write_bytes(data)
    return 0


raise SystemExit(main())
