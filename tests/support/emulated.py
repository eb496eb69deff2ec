"""Exported C on emulated boards (``benchmarks.boards``): compiled without a C library; any warning
fails a test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from benchmarks.boards import PROCESSORS, SUPPORT, Processor, called, command, compiled, linked

from support.compiled import WARNINGS

BOARD = """\
/* Steps from raw states, as exporting.STEP, on a board. */
#include "net.h"

static net_state state;
static net_input input[NET_INPUTS];
static net_score scores[NET_OUTPUTS];

void run(void)
{
    begin();
    while (receive(&state, sizeof state) && receive(input, sizeof input)) {
        net_step(&state, input, scores);
        send(scores, sizeof scores);
        send(&state, sizeof state);
    }
    end();
}
"""
DECIDING = (
    BOARD.replace("net_state state", "net_decision state")
    .replace("net_input input[NET_INPUTS]", "net_score input[NET_OUTPUTS]")
    .replace("net_score scores[NET_OUTPUTS]", "int scores[1]")
    .replace("net_step(&state, input, scores)", "scores[0] = net_decide(&state, input)")
)
"""As BOARD, decisions: what is remembered and an output -> the class, and what is remembered
after."""


def processors(*names: str, emulator: bool = False) -> Any:
    """Parameters of a test: these processors, or all; one whose compiler (or emulator) is missing
    skips."""
    return [
        pytest.param(
            name, marks=pytest.mark.skipif(bool(missing), reason=f"apt-get install {missing}")
        )
        for name in names or PROCESSORS
        for missing in [PROCESSORS[name].missing(emulator)]
    ]


def compiled_for(processor: Processor, folder: Path) -> Path:
    """The object file of an exported library."""
    return compiled(processor, folder / "net.c", *WARNINGS)


def needed(processor: Processor, built: Path) -> set[str]:
    """Functions that an object file does not bring along."""
    return set(
        re.findall(r"^\s+U (\S+)$", called(processor.prefix + "nm", str(built)), re.MULTILINE)
    )


def built_board(processor: Processor, folder: Path, program: str = BOARD) -> list[str]:
    """The command that runs BOARD, or another program, with an exported library on the emulated
    processor."""
    (folder / "board.c").write_text(SUPPORT + program)
    board = compiled(processor, folder / "board.c", "-Wno-unused-function")
    return command(processor, linked(processor, [board, compiled_for(processor, folder)]))
