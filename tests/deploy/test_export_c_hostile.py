"""What others wrote goes into C, or into the program beside it: names, descriptions, numbers, lines
of text and raw states."""

from __future__ import annotations

import random
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srnn import SRNN, SrnnError
from srnn.deploy.c import export_c
from srnn.deploy.c.arrays import DTYPES
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import quantise
from srnn.nn.loss_config import DecisionRule, LossConfig
from srnn.nn.neurons import Init, Neuron
from srnn.nn.neurons.base import decay
from srnn.nn.state_format import StateFormat
from support.compiled import COMPILERS, FLAGS, SANITIZED, build, every_format, needs_compiler, ran
from support.exporting import build_step, check_steps, exported, raw_states, run_steps, small

pytestmark = pytest.mark.robust

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror")
NET = SRNN.paper(2, [2], 2, generator=torch.Generator().manual_seed(0))

# ---- names and descriptions -------------------------------------------------------------------------------------------------

ENDS = [
    "*/", "/*", "*??/\n/", "*\\\n/", "*/ int evil; /*", "\0", "\r\n", '"', "%s%n", "é*/é", "* /", "**//", "*/" * 400, "?" * 9,
]  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("about", ENDS)
def test_a_description_stays_in_its_comment(about: str, tmp_path: Path) -> None:
    """Without comments, the header is that of any other description."""
    bare = []
    for text in ("x", f"x {about} y {about}"):
        export_c(NET, tmp_path, "net", about=text, overwrite=True)
        bare.append(ran(COMPILERS[0], *STRICT, "-E", "-P", "net.h", cwd=tmp_path))
    assert bare[0] == bare[1] and b"net_step" in bare[0]
    assert (tmp_path / "net.h").read_bytes().isascii()


@given(st.text(st.sampled_from("*/\\?\n\r\"' é\0x "), max_size=200))
def test_no_description_ends_its_comment(about: str) -> None:
    from srnn.deploy.c.names import one_comment
    from srnn.deploy.c.plan import make_plan
    from srnn.deploy.c.source import header

    text = header(make_plan(device_network(NET), "net"), f"net: {one_comment(about)}, float32")
    joined = re.sub(r"(\?\?/|\\)\s*\n", "", text)
    first, _, rest = joined.partition("*/")
    assert rest.lstrip().startswith("#ifndef NET_H") and first.count("/*") == 1


PARTS = (
    "alif", "integrator", "step", "readout", "layer0", "add", "saturated", "state", "a", "a" * 31,
)  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("name", PARTS)
@every_format
def test_a_library_may_be_called_as_its_parts(format: Any, name: str, tmp_path: Path) -> None:
    """alif_step was the network's and its neuron's."""
    export_c(NET, tmp_path, name, format)
    command = [COMPILERS[0], *STRICT, "-fsyntax-only", f"{name}_main.c", f"{name}.c"]
    ran(*command, cwd=tmp_path)


@dataclass(frozen=True)
class _Own(Neuron):
    """A leaky neuron, whose step is written below, with names of its author's."""

    tau_mem: Init = Init("uniform", 3.0, 9.0)
    threshold: Init = Init("uniform", 0.1, 0.4)

    def derive(self, **parameters: torch.Tensor) -> tuple[Any, ...]:
        return decay(parameters["tau_mem"]), parameters["threshold"]


def named_by_its_author(
    *, u: str = "u", alpha: str = "alpha", threshold: str = "threshold", part: str = "part"
) -> SRNN:
    """A network of such neurons."""
    text = f"""def step({u}, s, current, {alpha}, {threshold}):
        {part} = {alpha} * {u} + (1.0 - {alpha}) * current
        {u} = {part} - {threshold} * s * {part}
        return {u}, {u} - {threshold}"""
    place: dict[str, Any] = {"name": "test_own_names", "__module__": __name__}
    exec(compile(text, "<own>", "exec"), place)
    neuron: Any = type("Own", (_Own,), place)()
    rng = torch.Generator().manual_seed(0)
    return SRNN(2, [3], 2, neuron=neuron, generator=rng, backend="reference", norm="none")


@needs_compiler
@pytest.mark.parametrize(
    "names",
    [
        {"u": "double", "alpha": "restrict", "part": "register"},
        {"u": "this", "threshold": "_Bool", "part": "double"},
        {"u": "int", "alpha": "int_", "threshold": "int__"},
        {"threshold": "u_at", "alpha": "add", "part": "INT32_MAX"},
        {"u": "z", "part": "drive", "alpha": "bias", "threshold": "u_by_s"},
        {"u": "sum", "alpha": "state", "threshold": "k"},
        {"u": "h", "alpha": "from_input", "threshold": "psi"},
        {"u": "υ_é", "alpha": "τ", "threshold": "tau", "part": "Ω"},
        {"u": "ŝ", "alpha": "ß"},
    ],
)
@pytest.mark.parametrize("kind", ["float32", "int8", "e-prop"])
def test_a_name_that_c_has_for_something_else(
    kind: str, names: dict[str, str], tmp_path: Path
) -> None:
    """Numbers whose names C cannot have are called otherwise in C."""
    net = named_by_its_author(**names)
    if kind == "e-prop":
        rule = DecisionRule(LossConfig("ce_mean"), ("a", "b"))
        export_c(net, tmp_path, "net", learn="e-prop", decision=rule)
        ran(COMPILERS[0], *FLAGS, "-fsyntax-only", "net.c", "net_main.c", cwd=tmp_path)
    else:
        plan, model = exported(net, tmp_path, kind)
        x = np.random.default_rng(0).integers(0, 2, (1, 30, 2))
        expected = run_float32(model, x.astype(np.float32)) if kind == "float32" else model.run(x)
        scores = build(tmp_path, plan, COMPILERS[0]).run(x)[0]
        np.testing.assert_array_equal(scores, expected.output)
    assert all(path.read_bytes().isascii() for path in tmp_path.glob("*.[ch]"))


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    """An export once cleared .NAME.tmp beside its folder."""
    theirs = tmp_path / ".c.tmp" / "file"
    theirs.parent.mkdir()
    theirs.write_text("kept")
    export_c(NET, tmp_path / "c")
    assert theirs.read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"c", ".c.tmp"}


# ---- numbers ----------------------------------------------------------------------------------------------------------------


def test_the_ends_of_where_states_are_kept(tmp_path: Path) -> None:
    """64 is the most that a step computes with; -8 the least for a network with 24 bits."""
    device = device_network(NET)
    for bits in (64, -8):
        kept = StateFormat(8, ({"u": bits, "e": bits}, {"u": bits}))
        assert quantise(device, None, kept).layers[0].bits == 24
        export_c(NET, tmp_path / str(bits), "net", "int8", state_as=kept)


def astray(**scales: float) -> SRNN:
    """A network some of whose numbers have been multiplied."""
    net = SRNN(3, [2], 2, neuron="alif", generator=torch.Generator().manual_seed(0), norm="none")
    with torch.no_grad():
        for name, values in [*net.named_parameters(), *net.named_buffers()]:
            values *= scales.get(name.rpartition(".")[2], 1.0)
    return net


POWERS = (1e-30, 1e-12, 1.0, 1e6, 1e12, 1e18, 1e24, 1e36)


def _shifts(text: str) -> list[int]:
    """By how many bits the C text shifts: last arguments of its functions, and what follows >>."""
    found = [int(number) for number in re.findall(r">> (\d+)", text)]
    for call in re.finditer(r"\b(multiply|scale|rescale)\((?!int32_t)", text):
        end, depth = call.end(), 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        found.append(int(text[call.end() : end - 1].rpartition(",")[2]))
    return found


@pytest.mark.parametrize(
    "what", ["weight_in", "weight_rec", "bias", "beta", "threshold", "tau_mem"]
)
def test_no_network_shifts_by_what_c_does_not_know(what: str, tmp_path: Path) -> None:
    """Weights of 1e20 gave other numbers than their model, a beta of 1e30 shifted 64 bits by 70."""
    accepted = 0
    for power in POWERS:
        out = tmp_path / str(power)
        try:
            export_c(astray(**{what: power}), out, "net", "int8")
        except SrnnError as error:
            assert "\n" not in str(error) and not out.exists()
            continue
        accepted += 1
        shifts = _shifts((out / "net.c").read_text())
        assert shifts and max(shifts) <= 62 and min(shifts) >= -62, (power, shifts)
    assert accepted >= 3


@needs_compiler
@pytest.mark.parametrize(
    "what, scale",
    [
        ("weight_in", 1e9),
        ("weight_rec", 1e-30),
        ("beta", 1e12),
        ("threshold", 1e9),
        ("threshold", -1.0),
    ],
)
def test_numbers_at_the_ends_are_those_of_the_model(
    what: str, scale: float, tmp_path: Path
) -> None:
    plan, model = exported(astray(**{what: scale}), tmp_path, "int8")
    program = [str(build_step(tmp_path, COMPILERS[0], *SANITIZED))]
    states, inputs = raw_states(plan, 200, spikes=True)
    check_steps(plan, model, states, inputs, run_steps(program, plan, states, inputs))


# ---- the program's input ----------------------------------------------------------------------------------------------------

PIECES = [
    "nan", "inf", "-inf", "1e999", "-1e-999", "0x1p3", "1.5", "1", "0", "-0", "127", "128", "-129", "32768", "9" * 63, "9" * 64,
    "9" * 5000, ",", ",,", "\t", "\r", "\n", "\n\n", " ", "\0", "é", "-", "+", ".", "e", '"', "%n%s", "#", "1,1,1,1,1,1,1,1",
]  # fmt: skip


def mutated(rng: random.Random) -> bytes:
    """Lines of numbers, some of them spoilt."""
    rows = [[rng.choice(("0", "1", "-1")) for _ in range(3)] for _ in range(rng.randrange(5))]
    text = "\n".join(map(",".join, rows)) + rng.choice(("", "\n"))
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(PIECES) + text[at + rng.randrange(3) :]
    return text.encode()


@needs_compiler
@every_format
def test_spoilt_lines_are_refused_or_answered(format: str, tmp_path: Path) -> None:
    """Exit code 0 and a line of scores a step, or 2 and one line that says where."""
    plan, _ = small(tmp_path, "lif", format, hidden=(2,))
    program, rng = build(tmp_path, plan, COMPILERS[0], *SANITIZED), random.Random(0)
    codes = []
    for _ in range(150):
        text = mutated(rng)
        done = subprocess.run([program.path], input=text, capture_output=True, timeout=20)
        codes.append(done.returncode)
        said = {0: rb"", 2: rb"line \d+: [^\n]*\n"}[done.returncode]
        assert re.fullmatch(said, done.stderr), (text, done.stderr)
        assert all(line.count(b",") == 1 for line in done.stdout.splitlines())
    assert 20 < codes.count(2) < 130


@needs_compiler
@every_format
def test_raw_states_and_raw_inputs(format: str, tmp_path: Path) -> None:
    """--state: any bytes of the right number, no others; --binary: whole steps, no part of one."""
    plan, _ = small(tmp_path / "c", "alif", format)
    program, rng = build(tmp_path / "c", plan, COMPILERS[0], *SANITIZED), random.Random(0)
    image, size, step = tmp_path / "state", plan.state_bytes, np.dtype(DTYPES[plan.input]).itemsize
    same = [bytes([one]) * size for one in (0, 255, 127, 128)]
    for content in (*same, *(rng.randbytes(size) for _ in range(20))):
        image.write_bytes(content)
        steps = rng.randbytes(step * 3 * 5)
        told = ran(program.path, "--binary", "--trace", "--state", image, given=steps)
        assert len(told) == 5 * (size + 8)
    for length in (0, size - 1, size + 1, 10 * size):
        image.write_bytes(bytes(length))
        done = program.tried("--state", str(image), given="0,0,0\n")
        assert done.returncode == 2 and not done.stdout
        assert f"{size} bytes" in done.stderr and done.stderr.count("\n") == 1
    for path in (tmp_path, tmp_path / "none", Path("/dev/zero")):
        done = program.tried("--state", str(path), given="")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, path


WINDOWS = {
    "fcntl.h": "#define _O_BINARY 32768\n",
    "io.h": "#include <stdio.h>\n#define _fileno fileno\nint fileno(FILE *);\nint _setmode(int, "
    "int);\n",
    "setmode.c": '#include "io.h"\nint _setmode(int file, int mode)\n{\n'
    '    return fprintf(stderr, "%d %d;", file, mode);\n}\n',
}
"""Stand-ins for what Windows has of these."""


@needs_compiler
def test_raw_numbers_are_no_text_on_windows(tmp_path: Path) -> None:
    export_c(NET, tmp_path, "net")
    for name, content in WINDOWS.items():
        (tmp_path / name).write_text(content)
    sources = ["net_main.c", "net.c", "setmode.c"]
    flags = ["-std=c99", "-Wall", "-Werror", "-D_WIN32", "-I."]
    ran(COMPILERS[0], *flags, "-o", "net", *sources, cwd=tmp_path)
    for options, said in (([], b""), (["--binary"], b"0 32768;1 32768;")):
        done = subprocess.run([tmp_path / "net", *options], input=b"", capture_output=True)
        assert (done.returncode, done.stderr) == (0, said)


@needs_compiler
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_scores_that_cannot_be_written(tmp_path: Path) -> None:
    plan, _ = small(tmp_path / "c", "lif", hidden=(2,))
    program = build(tmp_path / "c", plan, COMPILERS[0], *SANITIZED)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [program.path], input=b"1,1,1\n", stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2 and done.stderr == b"the output could not be written\n"
