"""Ctrl-C at any moment, also while modules are imported or the process ends: one line, exit code
130. And output that fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.cli.main import main
from srnn.deploy.streaming import Session
from support.runs import DIGITS, make_run

pytestmark = [pytest.mark.robust, pytest.mark.skipif(os.name != "posix", reason="signals")]

INTERRUPTED_AT = """
import atexit, os, signal, sys
WHERE = sys.argv[1]
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may be a shell's background job, which ignores it

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == WHERE:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
if WHERE == "atexit":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
if WHERE == "print twice":
    class Stream:
        def write(self, text): os.kill(os.getpid(), signal.SIGINT)
        def flush(self): pass
    sys.stdout = sys.stderr = Stream()
from srnn.__main__ import main
sys.argv[1:] = sys.argv[2:]
sys.exit(main())
"""


def ended(program: str, *words: str, **options: Any) -> tuple[int, str, str]:
    """Exit code, output and errors of a Python program."""
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stdout, done.stderr


def as_info(
    work: str, first: str = "signal.signal(signal.SIGINT, signal.default_int_handler)"
) -> str:
    """A program whose ``srnn info`` does this work."""
    return f"""if True:
        import os, signal, subprocess, sys, time, weakref
        {first}
        from srnn.__main__ import main
        import srnn.cli.info as info
        info.info = lambda: {work}
        sys.argv[1:] = ['info']
        sys.exit(main())"""


STOPPED = (130, "srnn: stopped\n")


@pytest.mark.parametrize(
    ("where", "words"),
    [
        *((where, "info") for where in ("srnn.cli.main", "cyclopts", "srnn.errors", "difflib")),
        ("srnn.cli.info", "info"),
        ("atexit", "--help"),
        ("print twice", "--version"),  # once more while the first is being said
    ],
)
def test_interrupted_while_modules_are_imported_or_all_is_done(where: str, words: str) -> None:
    code, _, said = ended(INTERRUPTED_AT, where, words)
    assert (code, said) == STOPPED


def test_who_ignores_interrupts_is_left_alone() -> None:
    """As a shell's background job does."""
    program = INTERRUPTED_AT.replace("signal.default_int_handler", "signal.SIG_IGN")
    code, out, err = ended(program, "srnn.errors", "--version")
    assert (code, err) == (0, "") and out.startswith("srnn ")


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGTERM, (-signal.SIGTERM, "")), (signal.SIGINT, STOPPED)]
)
def test_a_signal_while_a_command_runs_is_no_traceback(
    number: int, expected: tuple[int, str]
) -> None:
    """143 for the shell, which counts 128 + 15. What locks are held, the system lets go."""
    code, _, said = ended(as_info(f"os.kill(os.getpid(), {int(number)})"))
    assert (code, said) == expected


def test_children_are_waited_for_by_whom_a_supervisor_told_to_ignore_them() -> None:
    """Otherwise all children seem to end well, and a server ends with an error: there is no process
    of batches to wait for."""
    ignored = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    assert ended(as_info("subprocess.run(['false']).returncode", ignored))[0] == 1


def test_an_interrupt_that_nothing_can_catch_comes_again() -> None:
    """In a weak reference's callback Python only prints it: the command went on to its end, with
    exit code 0."""
    kill = "weakref.finalize(type('Kept', (), {})(), os.kill, os.getpid(), signal.SIGINT)"
    code, _, said = ended(as_info(f"({kill}, time.sleep(600))"), timeout=60)
    assert (code, said) == STOPPED


def test_a_stream_interrupted_within_a_block_goes_on_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The state had half of the block's work in it, and its decisions were lost."""
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", *DIGITS)
    pixels, encode = np.round(np.random.default_rng(0).random(60), 6), Session.encode
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def stream(start: int, state: str, times: int = 0) -> tuple[int, list[dict[str, Any]]]:
        """Interrupted so many times when the fourth block is encoded and not yet decided."""

        def interrupted(session: Session, block: Any) -> Any:
            steps = encode(session, block)
            for _ in range(times if session.samples == 32 else 0):
                os.kill(os.getpid(), signal.SIGINT)
            return steps

        monkeypatch.setattr(Session, "encode", interrupted)
        np.savetxt("in.csv", pixels[start:])
        words = ["in.csv", "--block", "8", "--json", "--report", "step", "--state", state]
        code = main(["stream", "run", *words])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    try:
        _, (*whole, _) = stream(0, "whole.state")
        code, (*first, summary) = stream(0, "s.state", 1)
        assert (code, summary["interrupted"], summary["samples_in_all"]) == (0, True, 32)
        assert first == whole[: len(first)] and len(first) == summary["steps"]
        _, (*second, _) = stream(32, "s.state")
        assert first + second == whole
        code, shown = stream(0, "impatient.state", 2)  # for a block that takes long; then no state
        assert code == 130 and len(shown) < len(first) and not Path("impatient.state").exists()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("words", ["--help", "recipes", "models", "--version"])  # models: by rich
@pytest.mark.parametrize("output", ["closed pipe", "/dev/full", "closed"])
def test_output_that_cannot_be_written(output: str, words: str) -> None:
    command = [sys.executable, "-m", "srnn", words]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    if output == "closed":
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    if output == "/dev/full":
        if not os.path.exists(output):
            pytest.skip("no /dev/full on this system")
        stdout = os.open(output, os.O_WRONLY)
    else:
        reader, stdout = os.pipe()
        os.close(reader)
    try:
        done = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
    finally:
        os.close(stdout)
    if output == "/dev/full":
        assert (done.returncode, done.stderr) == (2, "srnn: [Errno 28] No space left on device\n")
    else:
        assert done.returncode == 0 and "Error" not in done.stderr
        assert "Traceback" not in done.stderr


def test_without_standard_error_a_message_is_no_output() -> None:
    words = [
        "sh",
        "-c",
        'exec "$@" 2>&-',
        "sh",
        sys.executable,
        "-m",
        "srnn",
        "recipes",
        "show",
        "?",
    ]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


GUARDED = """
import os, sys

class Tells:
    def find_spec(self, name, path=None, target=None):
        if name == "srnn.cli.main":
            os.write(1, b"guarded\\n")

sys.meta_path.insert(0, Tells())
from srnn.__main__ import main
sys.exit(main())
"""


def guarded(*words: str) -> subprocess.Popen[str]:
    """A command that has come to where interrupts are ours. Before that the interpreter itself
    answers them, also by a fatal error while it opens its streams."""
    process = subprocess.Popen(
        [sys.executable, "-c", GUARDED, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "guarded\n"
    return process


@pytest.mark.slow
def test_interrupted_at_many_moments() -> None:
    """From the first line that is ours to the end of the process: never a traceback."""
    took, outcomes = [], []
    for _ in range(3):
        with guarded("info") as process:
            started = time.monotonic()
            process.communicate(timeout=120)
            took.append(time.monotonic() - started)
            assert process.returncode == 0
    seconds = min(took)  # the first may have to read everything from disk
    for moment in range(12):
        with guarded("info") as process:
            time.sleep(seconds * moment / 12)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=120)
        # Python dies of the signal itself (130 for the shell) where C code has seen the exception
        # pass.
        assert said in ("", "srnn: stopped\n"), said
        assert process.returncode in (130, -signal.SIGINT) or (
            said == "" and not process.returncode
        )
        outcomes.append(said)
    assert outcomes.count("srnn: stopped\n") > 2
