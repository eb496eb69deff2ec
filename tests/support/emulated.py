"""Exported C on Cortex-M: compiled for the processor, without a C library, and run on an emulated board."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.compiled import WARNINGS

PREFIX = "arm-none-eabi-"
needs_compiler = pytest.mark.skipif(
    shutil.which(PREFIX + "gcc") is None, reason="no arm-none-eabi-gcc in the PATH (apt-get install gcc-arm-none-eabi)"
)
needs_emulator = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None, reason="no qemu-system-arm in the PATH (apt-get install qemu-system-arm)"
)
FLAGS = ("-std=c99", "-Os", "-mthumb", "-ffreestanding", "-ffp-contract=off", *WARNINGS)


@dataclass(frozen=True)
class Processor:
    """``machine``: the emulator's, with such a processor and RAM and flash of the sizes below at least."""

    machine: str
    flags: tuple[str, ...]


PROCESSORS = {
    "Cortex-M0+": Processor("microbit", ("-mcpu=cortex-m0plus",)),  # an M0: the same instructions, no unaligned access
    "Cortex-M4": Processor("mps2-an386", ("-mcpu=cortex-m4", "-mfloat-abi=soft")),
    "Cortex-M4F": Processor("mps2-an386", ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")),
}
BOARD = """\
/* Steps from raw states, as exporting.STEP, on a board: standard input and output are the emulator's, by semihosting. */
#include "net.h"

#include <stddef.h>

extern void stack_top(void); /* an address, from the linker */
static net_state state;
static net_input input[NET_INPUTS];
static net_score scores[NET_OUTPUTS];

/* What a compiler may call of a C library. */
void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

void *memcpy(void *to, const void *from, size_t count)
{
    volatile unsigned char *t = to;
    const unsigned char *f = from;

    while (count--)
        *t++ = *f++;
    return to;
}

void *memset(void *to, int value, size_t count)
{
    volatile unsigned char *t = to;

    while (count--)
        *t++ = (unsigned char)value;
    return to;
}

static uint32_t asked(uint32_t operation, uint32_t about)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = about;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t asked_with(uint32_t operation, uint32_t a, uint32_t b, uint32_t c)
{
    volatile uint32_t words[3];

    words[0] = a;
    words[1] = b;
    words[2] = c;
    return asked(operation, (uint32_t)words);
}

static void run(void)
{
    const uint32_t in = asked_with(1, (uint32_t)":tt", 0, 3), out = asked_with(1, (uint32_t)":tt", 4, 3);

#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* the floating-point unit is off after a reset */
#endif
    while (!asked_with(6, in, (uint32_t)&state, sizeof state) && !asked_with(6, in, (uint32_t)input, sizeof input)) {
        net_step(&state, input, scores);
        (void)asked_with(5, out, (uint32_t)scores, sizeof scores);
        (void)asked_with(5, out, (uint32_t)&state, sizeof state);
    }
    (void)asked(0x18, 0x20026);
}

static void fault(void)
{
    (void)asked(0x18, 0x20023);
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[7] = {
    stack_top, run, fault, fault, fault, fault, fault,
};
"""
DECIDING = (
    BOARD.replace("net_state state", "net_decision state")
    .replace("net_input input[NET_INPUTS]", "net_score input[NET_OUTPUTS]")
    .replace("net_score scores[NET_OUTPUTS]", "int scores[1]")
    .replace("net_step(&state, input, scores)", "scores[0] = net_decide(&state, input)")
)
"""As BOARD, decisions: what is remembered and an output -> the class, and what is remembered after."""
MEMORY = """\
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 256K  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 16K }
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > FLASH
  .bss (NOLOAD) : { *(.bss*) *(COMMON) } > RAM
  stack_top = ORIGIN(RAM) + LENGTH(RAM);
  /DISCARD/ : { *(.ARM.exidx*) }
}
"""


def _called(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def compiled_for(processor: Processor, folder: Path) -> Path:
    """The object file of an exported library; any warning fails the test."""
    built, headers = folder / "net.o", folder / "headers"
    headers.mkdir(exist_ok=True)  # for a compiler without a C library; where there is one, its own are taken
    (headers / "math.h").write_text("float expf(float x);\n")
    _called(
        PREFIX + "gcc",
        *FLAGS,
        *processor.flags,
        "-idirafter",
        str(headers),
        "-c",
        "-o",
        str(built),
        str(folder / "net.c"),
    )
    return built


def sizes(built: Path) -> tuple[int, int, int]:
    """Bytes of (text, data, bss): code and constants, variables with a value, variables."""
    return tuple(int(word) for word in _called(PREFIX + "size", str(built)).splitlines()[1].split()[:3])  # type: ignore[return-value]


def needed(built: Path) -> set[str]:
    """Functions that an object file does not bring along."""
    return set(re.findall(r"^\s+U (\S+)$", _called(PREFIX + "nm", str(built)), re.MULTILINE))


def built_board(processor: Processor, folder: Path, program: str = BOARD) -> list[str]:
    """The command that runs BOARD, or another program, with an exported library on the emulated processor."""
    (folder / "board.c").write_text(program)
    (folder / "board.ld").write_text(MEMORY)
    image, sources = str(folder / "board.elf"), [str(folder / "board.c"), str(folder / "net.c")]
    link = ("-nostdlib", "-T", str(folder / "board.ld"), "-o", image, *sources, "-lgcc")
    _called(PREFIX + "gcc", *FLAGS, *processor.flags, *link)
    return [
        "qemu-system-arm", "-M", processor.machine, "-display", "none", "-monitor", "none", "-serial", "none",
        "-semihosting-config", "enable=on,target=native", "-kernel", image,
    ]  # fmt: skip
