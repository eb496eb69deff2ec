"""Small mutations of the package, drawn at random, and which of them the default tests catch.

    python -m pytest --numprocesses 2 --cov src/srnn --cov-context test --cov-report=   (needs pytest-cov)
    python -m benchmarks.mutations --seed 7 --count 200 --out before.json
    python -m benchmarks.mutations --again before.json --out after.json

A mutation changes one operator, truth value or integer of one function. The tests that run its line, by the
contexts of ``.coverage``, are run on it in a copy of the working tree: those of the fewest lines first, sixty at
most; where none does (a line that only other processes run), the three test files that use most of the module's
names. ``--again`` makes the same changes (found by their text, if the lines have moved).
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coverage import CoverageData


ROOT = Path(__file__).resolve().parent.parent
OPERATORS = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.In: "not in", ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is",
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "+",
}  # fmt: skip
LEFT_OUT = ("nn/kernels/gpu/", "deploy/live/", "deploy/c/runtime/")
SECONDS = 900
MOST = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--again", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.again:
        drawn = json.loads(options.again.read_text())
    else:
        drawn = draw(options.seed, options.count)
    from coverage import CoverageData

    data = CoverageData(ROOT / ".coverage")
    data.read()
    done = json.loads(options.out.read_text()) if options.out.exists() else []
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        left_out = shutil.ignore_patterns(".git", ".venv", ".ci-venv", "runs", ".coverage")
        shutil.copytree(ROOT, tree, ignore=left_out, symlinks=True)
        for number, mutation in enumerate(drawn[len(done) :], len(done) + 1):
            done.append(tried(tree, mutation, data))
            options.out.write_text(json.dumps(done, indent=1))
            how = "caught" if done[-1]["caught"] else "not caught"
            change = f"{mutation['old'].strip()} -> {mutation['new'].strip()}"
            print(f"{number}/{len(drawn)} {how}: {mutation['path']}: {change}", flush=True)
    counted = [one["caught"] for one in done if one["caught"] is not None]
    print(f"{sum(counted)} of {len(counted)} mutations were caught")


def draw(seed: int, count: int) -> list[dict[str, Any]]:
    """Mutations of all of ``src``, each operator, truth value and integer as likely as any other."""
    sites = [
        site
        for path in sorted((ROOT / "src").rglob("*.py"))
        if not any(part in path.as_posix() for part in LEFT_OUT)
        for site in sites_of(path)
    ]
    return random.Random(seed).sample(sites, count)


def sites_of(path: Path, root: Path = ROOT) -> Iterator[dict[str, Any]]:
    """Each change of a file that could be drawn: where it is, and what stands there before and after."""
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    raw = text.encode()

    def place(node: ast.AST) -> tuple[int, int]:
        begin, end = node.lineno - 1, node.end_lineno - 1  # type: ignore[attr-defined]
        return starts[begin] + node.col_offset, starts[end] + node.end_col_offset  # type: ignore[attr-defined]

    def found(begin: int, end: int, new: str, function: str) -> dict[str, Any]:
        line = raw.count(b"\n", 0, begin)
        return {
            "path": path.relative_to(root).as_posix(), "function": function, "begin": begin, "end": end,
            "old": raw[begin:end].decode(), "new": new, "line": lines[line].strip(),
            "column": begin - starts[line] - (len(lines[line]) - len(lines[line].lstrip())),
        }  # fmt: skip

    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef):
            continue
        inner = [node for statement in function.body for node in ast.walk(statement)]
        nested = {
            id(node)
            for other in inner
            if isinstance(other, ast.FunctionDef)
            for node in ast.walk(other)
        }
        hidden = {
            id(below)
            for node in inner
            for named in ("annotation", "returns")
            if isinstance(getattr(node, named, None), ast.AST)
            for below in ast.walk(getattr(node, named))
        }
        hidden |= {
            id(below)
            for node in inner
            if isinstance(node, ast.JoinedStr)
            for below in ast.walk(node)
        }
        for node in inner:
            if id(node) in hidden or id(node) in nested:
                continue
            if (
                isinstance(node, ast.Compare)
                and len(node.ops) == 1
                and type(node.ops[0]) in OPERATORS
            ):
                begin, end = place(node.left)[1], place(node.comparators[0])[0]
                yield between(found(begin, end, "", function.name), OPERATORS[type(node.ops[0])])
            elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
                begin, end = place(node.left)[1], place(node.right)[0]
                yield between(found(begin, end, "", function.name), OPERATORS[type(node.op)])
            elif isinstance(node, ast.BoolOp):
                begin, end = place(node.values[0])[1], place(node.values[1])[0]
                yield between(
                    found(begin, end, "", function.name),
                    "or" if isinstance(node.op, ast.And) else "and",
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
                yield found(*place(node), str(not node.value), function.name)
            elif isinstance(node, ast.Constant) and type(node.value) is int:
                yield found(*place(node), str(node.value + 1), function.name)
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                yield found(*place(node), f"({ast.unparse(node.operand)})", function.name)


def between(site: dict[str, Any], operator: str) -> dict[str, Any]:
    """The operator replaced in the text between two operands, whose brackets and breaks stay."""
    old = site["old"]
    site["new"] = re.sub(
        r"not\s+in|is\s+not|\bin\b|\bis\b|\band\b|\bor\b|[<>=!+\-*/%]+", operator, old, count=1
    )
    return site


def tried(tree: Path, mutation: dict[str, Any], data: CoverageData) -> dict[str, Any]:
    path = tree / mutation["path"]
    sites = list(sites_of(ROOT / mutation["path"])) if (ROOT / mutation["path"]).exists() else []
    alike = [
        site for site in sites
        if all(site[key] == mutation[key] for key in ("function", "old", "new", "line", "column"))
    ] or [site for site in sites if all(site[key] == mutation[key] for key in ("old", "new", "line", "column"))]  # fmt: skip
    if not alike:
        return {**mutation, "caught": None, "by": "the line has gone"}
    site = min(alike, key=lambda one: abs(one["begin"] - mutation["begin"]))
    original = path.read_bytes()
    path.write_bytes(original[: site["begin"]] + site["new"].encode() + original[site["end"] :])
    covering = tests_of(tree, site, data)
    tests = covering or topic(tree, site)
    before = time.monotonic()
    try:
        by = run(tree, tests)
    finally:
        path.write_bytes(original)
    seconds = round(time.monotonic() - before)
    of = {"tests": len(tests), "covered": bool(covering), "seconds": seconds}
    return {**site, "caught": bool(by), "by": by, **of}


def tests_of(tree: Path, mutation: dict[str, Any], data: CoverageData) -> list[str]:
    """The tests that run a line of the mutation, those that run the least first."""
    text = (ROOT / mutation["path"]).read_bytes()
    first, last = (text.count(b"\n", 0, mutation[end]) + 1 for end in ("begin", "end"))
    measured = next(
        (name for name in data.measured_files() if name.endswith("/" + mutation["path"])), ""
    )
    by_line = data.contexts_by_lineno(measured) if measured else {}
    found = {
        one.partition("|")[0]
        for line in range(first, last + 1)
        for one in by_line.get(line, [])
        if one
    }
    return sorted(found, key=lambda one: (sizes(data).get(one, 0), one))[:MOST]


@cache
def sizes(data: CoverageData) -> Counter[str]:
    """How many lines each test runs."""
    counted: Counter[str] = Counter()
    for name in data.measured_files():
        for contexts in data.contexts_by_lineno(name).values():
            counted.update(one.partition("|")[0] for one in contexts)
    return counted


def topic(tree: Path, mutation: dict[str, Any]) -> list[str]:
    """The test files that use most of the names which the module defines."""
    path = tree / mutation["path"]
    names = {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    }
    scores = {}
    for test in (tree / "tests").rglob("test_*.py"):
        scores[test.relative_to(tree).as_posix()] = len(
            names & set(re.findall(r"\w+", test.read_text()))
        )
    return sorted((test for test in scores if scores[test]), key=lambda test: -scores[test])[:3]


def run(tree: Path, tests: list[str]) -> str:
    """The first test that fails, "" if none does."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tree / 'src'}:{tree / 'tests'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n0", *tests]
    try:
        out = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return "it took too long"
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", out.stdout, re.MULTILINE)
    if found:
        return found.group(1)
    return "" if out.returncode == 0 else f"pytest ended with {out.returncode}"


if __name__ == "__main__":
    main()
