"""Parts of one run, each in a process of its own: what crashes or hangs there, a GPU with it, costs
its own part only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = "device.json"


def read(out: Path) -> dict[str, Any]:
    """What is known so far, by part."""
    file = out / FILE
    return json.loads(file.read_text()) if file.is_file() else {}


def keep(out: Path, name: str, outcome: Mapping[str, Any]) -> None:
    """Put a part's outcome, or what there is of it, beside the others', all at once."""
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"{FILE}.part"
    written.write_text(json.dumps(read(out) | {name: dict(outcome)}, indent=1, default=str) + "\n")
    written.replace(out / FILE)


def run(out: Path, name: str, command: Sequence[str], seconds: float, **how: Any) -> dict[str, Any]:
    """A part's outcome, which ``command`` keeps in ``out``; of one that does not end so, what it
    had kept and said.

    It and all that it has started are killed after so many seconds.
    """
    start = time.perf_counter()
    keep(out, name, {})  # what an earlier run found is not this one's
    with (
        tempfile.TemporaryFile() as said
    ):  # a pipe would be held open by what the command has started
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True, **how
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.seek(0)
        tail = said.read()[-2000:].decode(errors="replace")
    outcome = read(out).get(name, {})
    if code not in (0, 1) or outcome.get("ok", "unknown") == "unknown":
        why = (
            f"did not end in {seconds:g} seconds"
            if code is None
            else f"ended with exit code {code}"
        )
        outcome = {**outcome, "ok": False, "why": why, "said": tail}
    outcome["seconds"] = round(time.perf_counter() - start, 1)
    keep(out, name, outcome)
    return outcome
