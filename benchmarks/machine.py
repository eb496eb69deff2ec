"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

#: A load average above this means that something else runs.
IDLE = 0.5
SIMD = ("avx512f", "avx2", "fma", "asimd", "sve")


def describe() -> dict[str, Any]:
    """CPU, cores, memory, system, the checkout's commit, and how busy the machine is."""
    cpu = _lines("/proc/cpuinfo")
    flags = next(
        (line.split(":", 1)[1].split() for line in cpu if line.startswith(("flags", "Features"))),
        [],
    )
    memory = next(
        (
            int(line.split()[1]) * 1024
            for line in _lines("/proc/meminfo")
            if line.startswith("MemTotal")
        ),
        None,
    )
    return {
        "cpu": next(
            (line.split(":", 1)[1].strip() for line in cpu if line.startswith("model name")),
            platform.processor(),
        ),
        "simd": [flag for flag in SIMD if flag in flags],
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.machine()}",
        "python": sys.version.split()[0],
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "uncommitted_source": bool(_git("status", "--porcelain", "--", "src")),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _git(*arguments: str) -> str:
    try:
        found = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()
