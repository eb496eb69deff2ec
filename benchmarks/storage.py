"""The results file: JSON, one record a line, so that two runs can be compared line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from srnn.files import write_atomically

from .report import KINDS

ABOUT_A_RUN = ("date", "machine", "settings", "minutes")


def write(results: dict[str, Any], out: Path) -> None:
    """Write the file in one move, so that a run that is cut short leaves the last complete
    state."""
    out.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    for key, value in results.items():
        if key in KINDS:
            records = ",\n".join(json.dumps(rounded(record)) for record in value)
            parts.append(f"{json.dumps(key)}: [\n{records}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, indent=1)}")
    write_atomically(out, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


def publish(results: dict[str, Any], page: str, out: Path, name: str) -> None:
    """Write results as ``name``.json and their page as README.md into the folder ``out``, and print
    the page."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / f"{name}.json", (json.dumps(results, indent=2) + "\n").encode())
    write_atomically(out / "README.md", page.encode())
    print(page)


def rounded(value: Any) -> Any:
    """Numbers to six digits: a clock has no more to say."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value


def add(results: dict[str, Any], kind: str, records: list[dict[str, Any]]) -> None:
    """Add records; those of the same contestant, net (and sweep's point) from an earlier run give
    way."""

    def place(record: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(
            record.get(key) for key in ("contestant", "net", "what", "dtype", "sweep", "value")
        )

    new = {place(record) for record in records}
    results[kind] = [
        record for record in results.get(kind, []) if place(record) not in new
    ] + records


def start_from(earlier: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """``new``, with the records of an earlier run; what is known of that run is kept too."""
    about = {key: earlier[key] for key in ABOUT_A_RUN if key in earlier}
    return {
        **new,
        "earlier": [*earlier.get("earlier", []), about],
        "contestants": earlier["contestants"] | new["contestants"],
        "versions": earlier["versions"] | new["versions"],
        **{kind: earlier[kind] for kind in KINDS if kind in earlier},
    }
