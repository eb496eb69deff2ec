"""From words to a command's arguments: what cyclopts makes of a function's types, and a line for
each mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

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
        ("evaluate m --split tset", "--split cannot be 'tset'. Did you mean 'test'?"),
        ("evaluate --full", "MODEL is missing: a run folder"),
        ("info -x", "Unknown option '-x'. See 'srnn info --help'."),
    ],
)
def test_a_mistake_is_a_line(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is refused, and for what, is in test_refusals_cli.py."""
    assert fails(capsys, *words.split()).startswith(f"srnn: {said}")


def test_a_dash_is_standard_input_and_options_may_stand_anywhere() -> None:
    def given(words: str) -> dict[str, Any]:
        return parse(words.split()).arguments

    stream = given("stream --json run - --block=3 --exit --mean=-1,2")
    assert [stream[key] for key in ("model", "source", "json", "block")] == ["run", "-", True, 3]
    assert (stream["decoding"].exit, stream["decoding"].mean) == (True, "-1,2")
    assert given("stream run - --exit policy.json")["decoding"].exit == "policy.json"
    recordings = given("serve m --recording - --recording [x].npy")["recording"]
    assert recordings == [Path("-"), Path("[x].npy")]
    assert given("compress m --sparsity 0.5 0.9 --json")["pruning"].sparsity == [0.5, 0.9]
    assert given("predict m x.wav --channels 2,az")["recording"].channels == [1, "az"]


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
