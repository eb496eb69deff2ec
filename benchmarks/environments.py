"""The peers' virtual environments, made from requirements-peers.txt."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from .catalogue import OWN

REQUIREMENTS = Path(__file__).parent / "requirements-peers.txt"
SECTION = "# peer "


def sections(text: str) -> tuple[list[str], dict[str, list[str]]]:
    """Common lines, and each peer's own, of a requirements file."""
    common: list[str] = []
    peers: dict[str, list[str]] = {}
    into = common
    for line in text.splitlines():
        if line.startswith(SECTION):
            into = peers.setdefault(line.removeprefix(SECTION).strip(), [])
        elif line.strip() and not line.startswith("#"):
            into.append(line.strip())
    return common, peers


def default_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "srnn-benchmarks"


def prepare(
    wanted: Iterable[str], folder: Path, say: Callable[[str], None]
) -> tuple[dict[str, str], dict[str, str]]:
    """Interpreters by environment name, and the reason for each that could not be made.

    All wanted peers share one environment where pip can install them together; else each gets its
    own. Made once: the folder's name holds a hash of the requirements and of the Python version.
    """
    pythons, missing = {OWN: sys.executable}, {}
    names = sorted(set(wanted) - {OWN})
    if not names:
        return pythons, missing
    common, peers = sections(REQUIREMENTS.read_text())
    every = common + [line for lines in peers.values() for line in lines]
    try:
        python = make(folder, "peers", every, say)
        return pythons | dict.fromkeys(names, python), missing
    except subprocess.CalledProcessError as error:
        say(
            f"  the peers do not install together ({reason(error)}); each gets an environment of "
            "its own"
        )
    for name in names:
        try:
            pythons[name] = make(folder, name, common + peers[name], say)
        except subprocess.CalledProcessError as error:
            missing[name] = f"could not be installed: {reason(error)}"
    return pythons, missing


def make(folder: Path, name: str, lines: list[str], say: Callable[[str], None]) -> str:
    """The interpreter of an environment with these requirements; made if it is not there."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256("\n".join([version, *lines]).encode()).hexdigest()[:10]
    home = folder / f"{name}-{key}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = home / "installed"
    if not done.exists():
        say(f"  installing into {home.name}: {', '.join(lines)}")
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(home)],
            check=True,
            capture_output=True,
            text=True,
        )
        install = [str(python), "-m", "pip", "install", "--quiet", *lines]
        subprocess.run(install, check=True, capture_output=True, text=True)
        done.touch()
    return str(python)


def reason(error: subprocess.CalledProcessError) -> str:
    """The line in which pip says what went wrong."""
    lines = [line for line in (error.stderr or "").splitlines() if line.startswith("ERROR")]
    return (lines or ["pip failed"])[-1].removeprefix("ERROR: ")[:300]
