"""The command line: see ``fuzz/__init__.py``."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import sys
import tempfile
from pathlib import Path

import fuzz

from .corpora import add_findings, kept, prune, replace_corpus
from .examining import examine, workplace
from .fuzzing import fuzz as fuzz_target
from .fuzzing import minimised
from .instrument import prepare
from .reporting import write_report
from .target import Target
from .targets import TARGETS

KEPT_BYTES, KEPT_FILES = 16 * 1024, 20
"""Of a target's corpus, beside the seeds."""


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m fuzz", description=fuzz.__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="names, or: all")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="in all, shared by the targets (default 60)"
    )
    parser.add_argument(
        "--work",
        type=Path,
        help="where corpora, logs and findings stay (default: a temporary folder)",
    )
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--list", action="store_true", help="print the targets' names")
    does.add_argument(
        "--replay",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="read these, or all that are kept, once more",
    )
    does.add_argument(
        "--keep",
        action="store_true",
        help="make the corpora anew, with what was found in the folder WORK, minimised",
    )
    does.add_argument(
        "--add", type=Path, nargs="+", metavar="FILE", help="keep these as findings of the target"
    )
    does.add_argument(
        "--prune", action="store_true", help="drop what belongs to targets that are no longer there"
    )
    does.add_argument(
        "--report", type=Path, metavar="OUT", help="write what came of WORK into this folder"
    )
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
    if arguments.prune:
        prune(TARGETS)
        return 0
    if not arguments.targets:
        parser.error("name a target, or all")
    chosen = (
        list(TARGETS.values())
        if "all" in arguments.targets
        else [TARGETS[name] for name in arguments.targets]
    )
    if arguments.add is not None:
        if len(chosen) != 1:
            parser.error("--add needs one target")
        add_findings(chosen[0].name, arguments.add)
        return 0
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
        print(f"{target.name}: {outcome.executions:,} executions in {outcome.seconds:.0f} s, "
              f"coverage {outcome.coverage:,}, "
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
            named = {str(path): path.read_bytes() for path in files}
            for name, data in (named or kept(target.name)).items():
                finding = examine(target, data, folder)
                if finding is not None:
                    found += 1
                    print(f"{name}: {finding.signature}\n  {finding.what}", flush=True)
    return 1 if found else 0


def keep(target: Target, work: Path) -> int:
    """The corpus is chosen anew: of inputs of all sizes, the smallest first; not the seeds, which
    targets make."""
    found, total = minimised(target, work), 0
    chosen: dict[str, bytes] = {}
    if not found:
        print(
            f"{target.name}: nothing was merged, see {work / target.name / 'merge.txt'}",
            file=sys.stderr,
        )
        return 1
    seeds = set(target.seeds().values())
    for data in found[:: -(-len(found) // KEPT_FILES)]:
        total += len(data)
        if total <= KEPT_BYTES and data not in seeds:
            chosen[hashlib.sha1(data).hexdigest()[:12]] = data
    replace_corpus(target.name, chosen)
    return 0


raise SystemExit(main())
