"""The house: docs/architecture.md says which wing may see which, and no file does otherwise; nor do
the folders beside it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
LEAVES = "leaves"
BESIDE = "Beside `src/`"
"""Begins the page's table of the folders that are not in the package."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    return _modules(SOURCE, "srnn")


@cache
def all_modules() -> dict[str, Path]:
    """Also those of the folders beside it."""
    return modules() | {
        name: path for folder in beside() for name, path in _modules(ROOT, folder).items()
    }


def _modules(root: Path, package: str) -> dict[str, Path]:
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (root / package).rglob("*.py")
    }


@cache
def tree(path: Path) -> ast.Module:
    """A file, parsed once for all that is asked of it."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(name: str) -> tuple[tuple[str, str, int], ...]:
    """(module, name taken from it, line) of every import of this repository's: at the top, in
    functions, for types only, by its name (``registry.imported``)."""
    return tuple(_imports(name))


def _imports(name: str) -> Iterator[tuple[str, str, int]]:
    path, ours = all_modules()[name], {"srnn", *beside()}
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (
                (alias.name, "", node.lineno)
                for alias in node.names
                if alias.name.split(".")[0] in ours
            )
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "imported":
            module, _, taken = str(ast.literal_eval(node.args[0])).partition(":")
            yield module, taken, node.lineno
        if not isinstance(node, ast.ImportFrom):
            continue
        parts = package.split(".")
        before = parts[: len(parts) - node.level + 1] if node.level else []
        target = ".".join([*before, *([node.module] if node.module else [])])
        if target.split(".")[0] in ours:
            for alias in node.names:
                inner = f"{target}.{alias.name}"
                yield (inner if inner in all_modules() else target), alias.name, node.lineno


def _rows(text: str) -> list[tuple[str, str]]:
    """(what, what it sees) of each row of the page's tables."""
    return re.findall(r"^\| (.+?) \| .+ \| (.+?) \|$", text, re.M)


@cache
def page() -> tuple[str, str]:
    """What the page says of the package, and of what is beside it."""
    inside, _, outside = (
        (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition(BESIDE)
    )
    return inside, outside


@cache
def beside() -> dict[str, set[str]]:
    """Folder beside the package -> the packages that it may import."""
    sees = {
        re.findall(r"`(\w+)/`", folder)[0]: text
        for folder, text in _rows(page()[1])
        if folder.endswith("/`")
    }
    return {folder: {"srnn", *re.findall(r"`(\w+)/`", text)} for folder, text in sees.items()}


@cache
def table() -> dict[str, set[str]]:
    """Wing -> the wings that it may import, from the page's table; the leaves together are one
    wing."""
    rows = _rows(page()[0])
    found: dict[str, set[str]] = {LEAVES: set()}
    for wing, sees in rows:
        names = re.findall(r"`(\w+)/?(?:\.py)?`", wing)
        if sees == "-":
            found[LEAVES] |= set(names)
        elif names:
            above = (
                set(found) - {LEAVES} if "all above" in sees else set(re.findall(r"`(\w+)/`", sees))
            )
            found[names[0]] = above
    return found


def wing(name: str) -> str:
    """The wing of a module: its folder below the package, or "leaves"."""
    first = name.split(".")[1]
    return LEAVES if first in table()[LEAVES] else first


def test_the_table_names_every_wing_and_every_leaf() -> None:
    there = {name.split(".")[1] for name in modules() if "." in name} - {"__main__"}
    assert there == (set(table()) - {LEAVES}) | table()[LEAVES]


def test_every_wing_sees_only_what_the_table_allows() -> None:
    wrong = []
    for name in modules():
        if name in ("srnn", "srnn.__main__"):  # the public face, and the way in
            continue
        for target, _, line in imports(name):
            allowed = {wing(name), LEAVES} | table().get(wing(name), set())
            if target.split(".")[0] != "srnn" or target == "srnn" or wing(target) not in allowed:
                wrong.append(f"{modules()[name].relative_to(ROOT)}:{line} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_the_folders_beside_the_package_see_only_what_the_table_allows() -> None:
    """The package itself sees none of them: that is tested above."""
    assert beside() == {"paper": {"srnn"}, "benchmarks": {"srnn", "paper"}}
    wrong = []
    for folder, allowed in beside().items():
        for name in _modules(ROOT, folder):
            for target, _, line in imports(name):
                if target.split(".")[0] not in {folder, *allowed}:
                    wrong.append(f"{all_modules()[name].relative_to(ROOT)}:{line} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_no_file_takes_a_private_name_of_another() -> None:
    wrong = []
    for name, path in all_modules().items():
        for target, taken, line in imports(name):
            if taken.startswith("_") and not taken.startswith("__") and taken != "_version":
                wrong.append(f"{path.relative_to(ROOT)}:{line} takes {taken} of {target}")
    assert not wrong, "\n".join(wrong)


def test_no_object_is_given_another_class() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules().values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and node.attr == "__class__"
        and isinstance(node.ctx, ast.Store)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_one_that_imports_it() -> None:
    """However long the way around, and wherever the imports stand."""
    sees = {
        name: {target for target, _, _ in imports(name) if target != name} for name in all_modules()
    }
    # What nobody imports, or what imports nothing, is on no circle: taken away until nothing
    # changes, only circles are left.
    while True:
        used = {target for targets in sees.values() for target in targets}
        free = {name for name, targets in sees.items() if not targets or name not in used}
        if not free:
            break
        sees = {name: targets - free for name, targets in sees.items() if name not in free}
    assert not sees, f"a circle: {sorted(sees)}"


def test_no_test_file_is_imported() -> None:
    """Neither by another, nor by what it shares with others, nor by a program that it writes: those
    have tests/support."""
    wrong = []
    for path in (ROOT / "tests").rglob("*.py"):
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.match(r"\s*(?:from|import)\s+(?:tests\.)?test_", text):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {text.strip()}")
    assert not wrong, "\n".join(wrong)


# ---- nobody outside data/ asks which task there is -----------------------------------------------------------------------------


def task_classes() -> set[str]:
    """The names of ``Task`` and of all classes that derive from it."""
    bases = {
        node.name: {part.id for part in node.bases if isinstance(part, ast.Name)}
        for name, path in modules().items() if name.startswith("srnn.data")
        for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)
    }  # fmt: skip
    found: set[str] = {"Task"}
    while more := {name for name, of in bases.items() if of & found} - found:
        found |= more
    return found


def questions(module: ast.AST, classes: set[str]) -> Iterator[tuple[int, str]]:
    """(line, what) wherever an object is asked for its class among these, or a task for its
    name."""
    for node in ast.walk(module):
        asked: list[ast.AST] = []
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            asked = list(ast.walk(node.args[1]))
        elif isinstance(node, ast.MatchClass):
            asked = [node.cls]
        names = {getattr(part, "id", getattr(part, "attr", None)) for part in asked}
        yield from ((node.lineno, name) for name in sorted(classes & names))
        parts: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Subscript):
            parts = [node.slice]
        elif isinstance(node, ast.Match):
            parts = [node.subject]
        named = [
            part
            for part in parts
            if any(getattr(inner, "attr", "") == "name" for inner in ast.walk(part))
        ]
        if any(re.search(r"\btask\.name$", ast.unparse(part)) for part in named):
            yield node.lineno, "task.name"


def test_no_file_outside_data_asks_which_task_there_is() -> None:
    """A task answers for itself."""
    classes = task_classes()
    assert {"Task", "ECGTask", "AudioTask", "PermutedMNISTTask"} <= classes
    wrong = [
        f"{path.relative_to(ROOT)}:{line} asks for {what}"
        for name, path in modules().items() if not name.startswith("srnn.data")
        for line, what in questions(tree(path), classes)
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_such_a_question_is_found() -> None:
    text = (
        "isinstance(x, (int, ECGTask)); tasks.Task; task.name == 'ecg'; recipe.task.name in "
        "NAMES; RATES[task.name]; task.name"
    )
    assert [what for _, what in questions(ast.parse(text), {"Task", "ECGTask"})] == [
        "ECGTask",
        *["task.name"] * 3,
    ]


def test_no_command_imports_another() -> None:
    from srnn.cli.main import COMMANDS

    commands = {f"srnn.cli.{where.partition(':')[0]}" for where, _ in COMMANDS.values() if where}
    for name in sorted(commands):
        taken = {target for target, _, _ in imports(name)} & commands
        assert not taken, (
            f"{name} imports {', '.join(sorted(taken))}; put what both need into a file of its own"
        )
