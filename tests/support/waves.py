"""Heartbeats as an ECG's annotation marks them."""

from __future__ import annotations

_BEAT = [(0, "("), (10, "p"), (20, ")"), (35, "("), (45, "N"), (55, ")"), (100, "t"), (120, ")")]


def beats(*starts: int) -> tuple[list[int], list[str]]:
    """Of beats that start there: the marks' samples, and their symbols in WFDB."""
    marks = [(start + at, symbol) for start in starts for at, symbol in _BEAT]
    return [at for at, _ in marks], [symbol for _, symbol in marks]
