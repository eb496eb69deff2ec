"""Boards that QEMU emulates: exported C compiled for Cortex-M and RISC-V by the distribution's
compilers, and run there.

A program talks to standard input and output by semihosting, and counts instructions: under
``-icount shift=0`` each takes a nanosecond of the board's time, which Cortex-M's SysTick measures
(in ticks of 40) and RISC-V's ``minstret`` counts. No clock cycles: an emulator has no pipeline, no
waits for flash, no cache.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FLAGS = ("-std=c99", "-Os", "-ffreestanding", "-ffp-contract=off")


@dataclass(frozen=True)
class Processor:
    """``machine``: the emulator's, which has such a processor; ``memory``: (flash, RAM) as (origin,
    bytes)."""

    prefix: str
    emulator: str
    machine: str
    flags: tuple[str, ...]
    memory: tuple[tuple[int, int], tuple[int, int]]
    library: tuple[str, ...] = ()
    """Options by which the compiler finds a C library."""

    def missing(self, emulator: bool = True) -> str:
        """The Debian packages that are needed and not there, or "", with blanks between them."""
        arm = self.prefix.startswith("arm")
        tools = {f"{self.prefix}gcc": "gcc-arm-none-eabi" if arm else "gcc-riscv64-unknown-elf"}
        if emulator:
            tools[self.emulator] = "qemu-system-arm" if arm else "qemu-system-misc"
        return " ".join(package for tool, package in tools.items() if shutil.which(tool) is None)


def _arm(machine: str, memory: tuple[int, int], *flags: str) -> Processor:
    places = ((0, memory[0]), (0x20000000, memory[1]))
    return Processor("arm-none-eabi-", "qemu-system-arm", machine, ("-mthumb", *flags), places)


SMALL, LARGE = (256 << 10, 16 << 10), (4 << 20, 1 << 20)
PROCESSORS = {
    "Cortex-M0+": _arm("microbit", SMALL, "-mcpu=cortex-m0plus"),  # an M0: the same instructions, no unaligned access
    "Cortex-M4": _arm("mps2-an386", SMALL, "-mcpu=cortex-m4", "-mfloat-abi=soft"),
    "Cortex-M4F": _arm("mps2-an386", LARGE, "-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    "RV32IMAC": Processor(
        "riscv64-unknown-elf-", "qemu-system-riscv32", "virt",
        ("-march=rv32imac_zicsr", "-mabi=ilp32", "-mcmodel=medany", "-msmall-data-limit=0"),
        ((0x80000000, LARGE[0]), (0x80000000 + LARGE[0], LARGE[1])), ("--specs=picolibc.specs",),
    ),
}  # fmt: skip
LARGE_M0 = _arm("mps2-an385", LARGE, "-mcpu=cortex-m0plus")
"""An M3, which has all of an M0+'s instructions, with room for networks that no M0+ has."""

SUPPORT = """\
/* Standard input and output of an emulated board, by semihosting; what a compiler may call of a C library; and the start. */
#include <stddef.h>
#include <stdint.h>

extern void stack_top(void), bss_end(void), run(void); /* addresses, from the linker */
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

#ifdef __riscv
static uint32_t asked(uint32_t operation, uint32_t about)
{
    register uint32_t a0 __asm__("a0") = operation;
    register uint32_t a1 __asm__("a1") = about;

    __asm__ volatile(".option push\\n.option norvc\\n.balign 16\\nslli x0, x0, 0x1f\\nebreak\\nsrai x0, x0, 7\\n.option pop"
                     : "+r"(a0) : "r"(a1) : "memory");
    return a0;
}

static uint32_t ticks(void)
{
    uint32_t count;

    __asm__ volatile("csrr %0, minstret" : "=r"(count));
    return count;
}

static uint32_t since(uint32_t start) /* in instructions */
{
    return ticks() - start;
}
#else
static uint32_t asked(uint32_t operation, uint32_t about)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = about;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t ticks(void) /* of SysTick, which counts 24 bits down */
{
    return *(volatile uint32_t *)0xE000E018u;
}

static uint32_t since(uint32_t start) /* in instructions: a tick each 40 ns of the board's time */
{
    return 40 * ((start - ticks()) & 0xFFFFFFu);
}
#endif

static uint32_t asked_with(uint32_t operation, uint32_t a, uint32_t b, uint32_t c)
{
    volatile uint32_t words[3];

    words[0] = a;
    words[1] = b;
    words[2] = c;
    return asked(operation, (uint32_t)words);
}

static uint32_t in, out;

static void begin(void)
{
    in = asked_with(1, (uint32_t)":tt", 0, 3);
    out = asked_with(1, (uint32_t)":tt", 4, 3);
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* the floating-point unit is off after a reset */
#endif
#ifdef __arm__
    *(volatile uint32_t *)0xE000E014u = 0xFFFFFFu;
    *(volatile uint32_t *)0xE000E010u = 5;
#endif
}

/* 0 where there is no more. */
static int receive(void *bytes, size_t count)
{
    return !asked_with(6, in, (uint32_t)bytes, count);
}

static void send(const void *bytes, size_t count)
{
    (void)asked_with(5, out, (uint32_t)bytes, count);
}

static void end(void)
{
    (void)asked(0x18, 0x20026);
}

#ifdef __riscv
__asm__(".section .vectors, \\"ax\\"\\n.globl _start\\n_start: la sp, stack_top\\nla tp, tls\\nla t0, fault\\ncsrw mtvec, t0\\n"
        "call run\\n.balign 4\\nfault: j fault\\n.text");
#else
static void fault(void)
{
    (void)asked(0x18, 0x20023);
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[7] = {
    stack_top, run, fault, fault, fault, fault, fault,
};
#endif
"""
"""What each program on a board begins with; the program is its function ``run``."""
_MEMORY = """\
MEMORY {{ FLASH (rx) : ORIGIN = {0[0]}, LENGTH = {0[1]}  RAM (rwx) : ORIGIN = {1[0]}, LENGTH = {1[1]} }}
SECTIONS {{
  .text : {{ KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.srodata*) }} > FLASH
  .data : {{ *(.data*) *(.sdata*) }} > RAM
  .tdata : {{ tls = .; *(.tdata*) }} > RAM
  .tbss : {{ *(.tbss*) }} > RAM
  .bss (NOLOAD) : {{ . = . + 64; *(.bss*) *(.sbss*) *(COMMON) bss_end = .; }} > RAM
  stack_top = ORIGIN(RAM) + LENGTH(RAM);
  /DISCARD/ : {{ *(.ARM.exidx*) *(.eh_frame*) }}
}}
"""


def called(*command: str) -> str:
    """Standard output. RuntimeError, with what it said, where a command fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:2])}: {done.stderr}")
    return done.stdout


def compiled(processor: Processor, source: Path, *flags: str) -> Path:
    """The object file of a C file, beside it."""
    folder, built = source.parent, source.with_suffix(".o")
    headers = folder / "headers"
    headers.mkdir(
        exist_ok=True
    )  # for a compiler without a C library; where there is one, its own are taken
    (headers / "math.h").write_text(
        "float expf(float x);\nfloat logf(float x);\nfloat tanhf(float x);\n"
    )
    (headers / "string.h").write_text(
        "#include <stddef.h>\nvoid *memset(void *, int, size_t);\nvoid *memcpy(void *, const void "
        "*, size_t);\n"
    )
    options = (
        *FLAGS,
        *processor.flags,
        *processor.library,
        *flags,
        "-idirafter",
        str(headers),
        f"-I{folder}",
    )
    called(processor.prefix + "gcc", *options, "-c", "-o", str(built), str(source))
    return built


def linked(processor: Processor, objects: list[Path], math: bool = False) -> Path:
    """The image of a program: its object files, the compiler's own library, and <math.h>'s
    functions where they are called."""
    script, image = objects[0].with_suffix(".ld"), objects[0].with_suffix(".elf")
    script.write_text(_MEMORY.format(*processor.memory))
    library = processor.library if math else ()
    libraries = ("-lm", "-lc", "-lgcc") if math else ("-lgcc",)
    called(
        processor.prefix + "gcc", *processor.flags, *library, "-nostartfiles", "-nodefaultlibs", "-Wl,--no-warn-rwx-segments",
        "-Wl,--gc-sections", "-T", str(script), "-o", str(image), *map(str, objects), *libraries,
    )  # fmt: skip
    return image


def command(processor: Processor, image: Path, *options: str) -> list[str]:
    """What runs an image."""
    bare = ("-bios", "none") if "riscv" in processor.emulator else ()
    return [
        processor.emulator, "-M", processor.machine, *bare, "-display", "none", "-monitor", "none", "-serial", "none",
        "-semihosting-config", "enable=on,target=native", *options, "-kernel", str(image),
    ]  # fmt: skip


def sizes(processor: Processor, built: Path) -> tuple[int, int, int]:
    """Bytes of (text, data, bss): code and constants, variables with a value, variables."""
    return tuple(
        int(word)
        for word in called(processor.prefix + "size", str(built)).splitlines()[1].split()[:3]
    )  # type: ignore[return-value]
