"""The C files of which an export is made: each compiles alone with its sample configurations, and
is resolved as a compiler would."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.boards import PROCESSORS

import srnn.deploy.c.resolve as resolving
from srnn.deploy.c.resolve import resolved, without_unused
from support.compiled import COMPILERS, every_compiler, needs_compiler, ran
from support.emulated import processors

RUNTIME = Path(resolving.__file__).parent / "runtime"
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wundef", "-Werror")
ALONE = ("-Wno-unused", f"-I{RUNTIME}", "-DPLATFORMIO=1")
"""Alone, most parts call nothing and are called by nobody."""
TIDY = shutil.which(
    "clang-tidy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
)
"""That of the tests' packages, else that of the machine."""
ALWAYS = (
    "delays", "exponential", "fixed_point", "half", "main", "model", "rounded", "rows", "traced", "layouts/example",
)  # fmt: skip
MORE = {
    "CROSSING": ("crossing",), "SOUND": ("fourier", "sound"), "LEARNING": ("learning", "traces"),
    "DECISION": ("decision", "layouts/web/web"),
}  # fmt: skip
"""What belongs to configurations that begin so."""
CONFIGURATIONS = (
    "", "INTEGER", "SPARSE", "SPARSE INTEGER SRNN_COUNT", "BITS=0 SRNN_COUNT", "CONVERTS", "CONVERTS INTEGER",
    "CONVERTS DECISION", "CONVERTS DECISION INTEGER PER_STEP", "LEARNING", "LEARNING DECISION CONVERTS", "LEARNING SUMMED",
    "LEARNING HIDDEN", "LEARNING HIDDEN SUMMED", "CROSSING", "CROSSING INTEGER", "CROSSING RUNNING SMOOTHED=0",
    "CROSSING RUNNING INTEGER", "CROSSING ON_DELTA=0 SMOOTHED=0 INTEGER", "CROSSING DECISION",
    "CROSSING DECISION INTEGER RUNNING", "SOUND", "SOUND DECISION STANDS=0", "SOUND TERNARY", "SOUND INTEGER",
    "DECISION", "DECISION PER_STEP", "DECISION INTEGER",
    "DECISION SOFT", "DECISION SOFT INTEGER", "DECISION ADDS=0 INTEGER STANDS=0", "DECISION VALUES", "DECISION VALUES INTEGER",
    "DECISION VALUES SCALED", "DECISION VALUES SCALED INTEGER",
)  # fmt: skip
SOME = (
    "", "SPARSE INTEGER SRNN_COUNT", "LEARNING HIDDEN", "CROSSING RUNNING INTEGER", "SOUND", "DECISION INTEGER",
)  # fmt: skip
ALL = [
    name if name in SOME else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGURATIONS
]
needs_tidy = pytest.mark.skipif(not TIDY, reason="no clang-tidy: pip install -e .[test]")


def parts(configuration: str) -> list[str]:
    """The files that are compiled alone with a configuration."""
    own = [*ALWAYS, *MORE.get(configuration.split(" ")[0], [])]
    if "VALUES" in configuration:  # which no example prints
        own = [part for part in own if not part.startswith("layouts/")]
    return own


def files(configuration: str) -> list[str]:
    return [str(RUNTIME / f"{part}.c") for part in parts(configuration)]


def flags(configuration: str) -> list[str]:
    return [f"-D{flag}" for flag in configuration.split()]


@every_compiler
@pytest.mark.parametrize("configuration", ALL)
def test_every_file_compiles_alone(configuration: str, compiler: str) -> None:
    more = [*flags(configuration), "-fsyntax-only", *files(configuration)]
    ran(compiler, *FLAGS, *ALONE, *more)


def test_every_file_is_among_them() -> None:
    """But for a layer, which calls the other parts of model.c."""
    known = {part for configuration in CONFIGURATIONS for part in parts(configuration)}
    there = {str(path.relative_to(RUNTIME))[:-2] for path in RUNTIME.rglob("*.c")}
    assert {part for part in there if "model/" not in part} == known | {"layer"}


@pytest.mark.slow
@pytest.mark.parametrize("processor", processors())
def test_for_a_processor(processor: str, tmp_path: Path) -> None:
    """The library, of which main.c and the examples are no part."""
    own, out = PROCESSORS[processor], ["-o", tmp_path / "model.o", RUNTIME / "model.c"]
    for configuration in SOME:
        more = [*FLAGS, *ALONE, *flags(configuration), "-O2", "-c"]
        ran(f"{own.prefix}gcc", *own.flags, *own.library, *more, *out)


@needs_tidy
@pytest.mark.parametrize(
    ("configuration", "checks"),
    [(configuration, "-clang-analyzer-*") for configuration in SOME]
    + [pytest.param(configuration, "", marks=pytest.mark.slow) for configuration in CONFIGURATIONS],
)
def test_clang_tidy_has_nothing_to_say(configuration: str, checks: str) -> None:
    """All that runtime/.clang-tidy asks, or all but the analyser, which takes most of the time."""
    command = [str(TIDY), "--quiet", f"--checks={checks}", *files(configuration), "--"]
    done = subprocess.run([*command, *ALONE, *flags(configuration)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_tidy
@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        ("int wrong(int a) { return a > 1 ? a : a; }", "bugprone-branch-clone"),
        ("int wrong(const int *a) { return a ? 1 : *a; }", "clang-analyzer-core.NullDereference"),
        ("int wrong(int *a) { return *a; }", "readability-non-const-parameter"),
    ],
)
def test_clang_tidy_is_asked(wrong: str, check: str, tmp_path: Path) -> None:
    shutil.copy(RUNTIME / ".clang-tidy", tmp_path)
    (tmp_path / "wrong.c").write_text(wrong + "\n")
    command = [str(TIDY), "wrong.c", "--"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and check in done.stdout


@needs_compiler
@pytest.mark.parametrize("seed", range(5))
def test_conditions_are_decided_as_a_preprocessor_does(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested, with every kind of directive, and with #ifdef, which is left to the compiler."""
    drawn = random.Random(seed)

    def condition() -> str:
        words = [drawn.choice("!ABCD").replace("!", "!A") for _ in range(drawn.randint(1, 3))]
        joined = "".join(word + drawn.choice((" && ", " || ")) for word in words)
        return joined + drawn.choice("ABCD")

    def block(depth: int) -> list[str]:
        lines = [f"line {drawn.randint(0, 999)} VALUE;"]
        for _ in range(drawn.randint(1, 3) if depth else 0):
            lines += [f"#if {condition()}", *block(depth - 1)]
            for _ in range(drawn.randint(0, 2)):
                lines += [f"#elif {condition()}", *block(depth - 1)]
            if drawn.random() < 0.5:
                lines += ["#else", *block(depth - 1)]
            lines += ["#endif", "#ifdef NEVER", *block(0), "#else", "kept;", "#endif"]
        return lines

    monkeypatch.setattr(resolving, "_RUNTIME", tmp_path)
    (tmp_path / "all.c").write_text("\n".join(block(3)) + "\n")
    for number in range(16):
        told = {name: bool(number >> place & 1) for place, name in enumerate("ABCD")}
        (tmp_path / "resolved.c").write_text(resolved("all.c", "net", told | {"VALUE": number}))
        defined = [f"-D{name}={int(value)}" for name, value in told.items()]
        preprocess = [COMPILERS[0], "-E", "-P", f"-DVALUE={number}"]
        expected = ran(*preprocess, *defined, tmp_path / "all.c").split()
        assert ran(*preprocess, tmp_path / "resolved.c").split() == expected, told


def test_what_is_repeated_included_and_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "_RUNTIME", tmp_path)
    (tmp_path / "part.c").write_text(
        'About it.\n#include "configuration.h"\n\nint model_PART = VALUE;\n'
    )
    (tmp_path / "all.c").write_text(
        "/* A comment that \\\n * continues. */\n"
        '#include "model.h"\n#include <model.h>\n'
        "/* repeat OUTER */\n/* repeat INNER */\n"
        '#if ODD\n#include "part.c"\n#endif\n'
        "MODEL_SIZE[VALUE] UNKNOWN_VALUE remodel_ed;\n"
        "/* end INNER */\n/* end OUTER */\n\n\n\n"
        "model_end();\n"
    )
    inner = {"INNER": [{"VALUE": "VALUE + 1", "ODD": True}, {"VALUE": 2, "ODD": False}]}
    assert resolved("all.c", "net", {"OUTER": [inner], "VALUE": 0}) == (
        "/* A comment that continues. */\n"
        '#include "net.h"\n#include <net.h>\n\n'
        "int net_PART = VALUE + 1;\n"
        "NET_SIZE[VALUE + 1] UNKNOWN_VALUE remodel_ed;\n"
        "NET_SIZE[2] UNKNOWN_VALUE remodel_ed;\n\n"
        "net_end();\n"
    )


def test_a_condition_that_nobody_decided_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "_RUNTIME", tmp_path)
    (tmp_path / "all.c").write_text("#if TYPO\n#endif\n")
    with pytest.raises(KeyError, match="TYPO"):
        resolved("all.c", "net", {})


def test_only_what_is_called_is_kept() -> None:
    functions = {
        name: f"/* {name} */\nstatic inline int {name}(int x)\n{{\n    return {body};\n}}\n\n"
        for name, body in (("one", "x"), ("two", "one(x)"), ("three", "two(x)"), ("two_more", "x"))
    }
    text, main = "".join(functions.values()), "int main(void) { return two(1); }\n"
    assert without_unused(text + main) == functions["one"] + functions["two"] + main
