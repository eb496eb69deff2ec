"""From words to a command's arguments: what cyclopts makes of a function's types, and a line for
each mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from srnn.cli.main import COMMANDS
from srnn.cli.options import Call
from support.commands import fails, parse


def test_what_help_imports() -> None:
    """The list of commands needs no library, and the help of a command no PyTorch."""
    code = (
        "import sys\nfrom srnn.cli.main import COMMANDS, main\nmain(['--help'])\n"
        "assert not {'cyclopts', 'numpy', 'torch'} & {*sys.modules}\n"
        "for name in COMMANDS: main([*name.split(), '--help'])\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(
        any(line.startswith(f"  {name} ") for line in lines) for name in COMMANDS if " " not in name
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "m", "--split", "tset"], "--split cannot be 'tset'. Did you mean 'test'?"),
        (["evaluate", "m", "--seed", "five"], "--seed must be an integer, not 'five'."),
        (["evaluate", "m", "--seed", "-1"], "--seed must be >= 0, not '-1'."),
        (["evaluate", "m", "--seed", "1", "--seed", "2"], "--seed is given twice."),
        (["evaluate", "m", "--seed"], "--seed needs a value (see: srnn evaluate --help)."),
        (["evaluate", "m", "--no-full"], "Unknown option '--no-full'. Did you mean '--full'?"),
        (["evaluate", "m", "--full=3"], "--full takes no value, and so not '3'."),
        (["evaluate", "--full"], "MODEL is missing: a run folder"),
        (["compress", "m", "--sparsity", "a"], "--sparsity must be a number, not 'a'."),
        (["compress", "m", "--state-bits", "12"], "--state-bits cannot be '12'."),
        (["stream", "m"], "SOURCE is missing: a file, - for standard input, or mic"),
        (["stream", "m", "x", "y"], "Unknown argument 'y' (see: srnn stream --help)."),
        (["info", "-x"], "Unknown option '-x'. See 'srnn info --help'."),
    ],
)
def test_a_mistake_is_a_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(capsys, *words).startswith(f"srnn: {said}")


def test_a_dash_is_standard_input_and_options_may_stand_anywhere() -> None:
    given = parse(["stream", "--json", "run", "-", "--block=3", "--exit", "--mean=-1,2"]).arguments
    assert (given["model"], given["source"], given["json"], given["block"]) == ("run", "-", True, 3)
    assert (given["decoding"].exit, given["decoding"].mean) == (True, "-1,2")
    assert (
        parse(["stream", "run", "-", "--exit", "policy.json"]).arguments["decoding"].exit
        == "policy.json"
    )
    recordings = ["serve", "m", "--recording", "-", "--recording", "[x].npy"]
    assert parse(recordings).arguments["recording"] == [Path("-"), Path("[x].npy")]
    assert parse(["compress", "m", "--sparsity", "0.5", "0.9", "--json"]).arguments[
        "pruning"
    ].sparsity == [0.5, 0.9]
    assert parse(["predict", "m", "x.wav", "--channels", "2,az"]).arguments[
        "recording"
    ].channels == [1, "az"]


def test_a_command_is_given_again_with_what_changes() -> None:
    words = [
        "train",
        "digits",
        "--out=a",
        "--training.epochs",
        "5",
        "--resume",
        "--seed",
        "3",
        "--",
        "--x",
    ]
    again = Call("srnn", words, ()).again({"--out": 1, "--resume": 0}, "--out", "b")
    assert again == [
        "srnn",
        "train",
        "digits",
        "--training.epochs",
        "5",
        "--seed",
        "3",
        "--out",
        "b",
        "--",
        "--x",
    ]
