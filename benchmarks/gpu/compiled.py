"""The GPU backend's loops compiled ahead of time, without a GPU: registers, stack and shared memory
for each target.

What is compiled is what a layer would launch: the launch is recorded, and goes its way up to where
a GPU would run it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton.backends.nvidia as nvidia
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from srnn.nn.kernels.gpu import layer, plans
from srnn.nn.kernels.problem import LayerProblem
from srnn.nn.network.parameters import NeuronParameters
from srnn.nn.neurons import NEURONS, as_neuron
from srnn.nn.surrogates import SURROGATES, as_surrogate

TARGETS = {"sm_80": 163 << 10, "sm_90": 227 << 10}
"""Bytes of shared memory that a program may have there: an A100's, an H100's."""

HIP = "gfx942"

MOST_STACK = 64
"""Bytes: more is spilled registers."""

TOOLS = Path(nvidia.__file__).parent / "bin"


class Absent:
    """Triton's driver of GPUs that are not there: enough of one to compile for, by the target that
    is current."""

    target = ""

    def get_current_target(self) -> GPUTarget:
        return (
            GPUTarget("hip", self.target, 64)
            if self.target == HIP
            else GPUTarget("cuda", int(self.target[3:]), 32)
        )

    def get_current_device(self) -> int:
        return [*TARGETS, HIP].index(self.target)  # Triton keeps what it has compiled by device

    def get_current_stream(self, device: int) -> int:
        return 0


@dataclass(frozen=True)
class Launch:
    """A kernel and all that it would be launched with."""

    kernel: Any
    arguments: tuple[Any, ...]
    constants: dict[str, Any]

    @property
    def name(self) -> str:
        return self.kernel.fn.__name__

    def compile(self, target: str) -> Any:
        """The kernel as this launch would compile it on such a GPU."""
        driver.set_active(Absent())
        driver.active.target = target
        return self.kernel.warmup(*self.arguments, grid=(1, 1), **self.constants)


def launches(problem: LayerProblem, shared: int, persistent: bool = False) -> list[Launch]:
    """What running and differentiating a layer would launch, on a device with so much shared
    memory."""
    recorded = []

    def record(self: Any, kernel: Any, firsts: range, *arguments: Any, **constants: Any) -> None:
        recorded.append(Launch(kernel, (*arguments, *self.part(0)), self.constants | constants))

    with (
        mock.patch.object(layer.Loop, "launch", record),
        mock.patch.object(plans, "shared_memory", lambda device: shared),
        mock.patch.object(plans, "persistent", lambda: persistent),
    ):
        result = layer.run_layer(problem)
        result.output.sum().backward()  # type: ignore[union-attr]
    return recorded[-2:]  # before them, those of the smallest problem


def compiled(launch: Launch, target: str) -> dict[str, Any]:
    """Registers, bytes of stack and of shared memory, and what the machine code shows, of a kernel
    for sm_XX."""
    made = launch.compile(target)
    if target == HIP:
        return {name: int(max(re.findall(rf"\.{key}: +(\d+)", made.asm["amdgcn"]), key=int))
                for name, key in (("registers", "vgpr_count"), ("spilled", "vgpr_spill_count"),
                                  ("shared", "group_segment_fixed_size"))}  # fmt: skip
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        usage = _output(TOOLS / "cuobjdump", "-res-usage", file.name)
        text = _output(TOOLS / "nvdisasm", "-c", file.name)
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found is not None, usage
    whole, loop = instructions(text)
    # Arriving, and looking whether all have arrived: of this Triton 3.9 makes a load.
    ordered = [
        len(re.findall(rf"(?:atom|ld)\.global\.(?:gpu\.{order}|{order}\.gpu)\.", made.asm["ptx"]))
        for order in ("acq_rel", "acquire")
    ]
    return {
        "registers": int(found[1]),
        "stack": int(found[2]),
        "shared": made.metadata.shared,
        "instructions in the loop": sum(loop.values()),
        "tensor-core instructions in the loop": loop["HMMA"] + loop["HGMMA"] + loop["DMMA"],
        "local loads in the loop": loop["LDL"],
        "weights stored in the loop": _weights_stored(launch, made.asm["ttgir"]),
        "contractions": whole["FFMA"] + whole["DFMA"],
        # Of each: what was stored is seen (MEMBAR), what is loaded is not what a cache has kept
        # (CCTL).
        "barriers of all programs in the loop": min(*ordered, loop["MEMBAR"], loop["CCTL"] // 2),
    }


def _output(*command: Any) -> str:
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=True
    ).stdout


def _weights_stored(launch: Launch, text: str) -> int:
    """How often a tile of weights is written to shared memory within the loop over time, of
    Triton's own text."""
    tile = f"tensor<{launch.constants['DEPTH']}x{launch.constants['COLUMNS']}x"
    loop = text[text.index("scf.while") :]
    return sum(
        tile in line for line in loop.splitlines() if re.search(r"ttg\.local_(alloc|store)", line)
    )


def instructions(text: str) -> tuple[Counter[str], Counter[str]]:
    """How often each instruction occurs in a disassembly, and in its longest loop."""
    names: list[str] = []
    labels: dict[str, int] = {}
    loop = (0, 0)
    for line in text.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label[1]] = len(names)
        elif code := re.match(r"\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?(\w+)(.*);", line):
            names.append(code[1])
            back = re.search(r"\.L_x_\d+", code[2])
            if (
                code[1] == "BRA"
                and back
                and len(names) - labels.get(back[0], len(names)) > loop[1] - loop[0]
            ):
                loop = labels[back[0]], len(names)
    return Counter(names), Counter(names[slice(*loop)])


SPILLING = ("drf",)
"""Neurons with more variables than registers hold (D-RF has twelve): their
loops are right, and slow."""


def exceeded(launch: Launch, target: str, measured: dict[str, Any]) -> list[str]:
    """Which ceilings a float32 kernel breaks."""
    rules = {
        f"stack above {MOST_STACK} B": measured["stack"] > MOST_STACK,
        "shared memory above the device's": measured["shared"] > TARGETS[target],
        "registers spilled in the loop": measured["local loads in the loop"] > 0,
        "weights stored anew in each step": measured["weights stored in the loop"] > 0,
        "programs that do not wait for each other": measured["barriers of all programs in the loop"]
        != launch.constants.get("launch_cooperative_grid", False),
        "contractions in the forward step": launch.name == "forward"
        and measured["contractions"] > 0,
    }
    return [rule for rule, broken in rules.items() if broken]


def example(
    neuron: str = "alif", size: int = 128, surrogate: str = "multi_gaussian", *, recurrent: bool = True, padded: bool = False,
    delays: bool = False, output: str = "emission", dtype: torch.dtype = torch.float32,
) -> LayerProblem:  # fmt: skip
    """A layer in training, of which nothing but shapes counts."""
    problem = LayerProblem.smallest(as_neuron(neuron), as_surrogate(surrogate), dtype, trained=True)
    trained = NeuronParameters(problem.neuron, size).coefficients()
    weight = torch.zeros(size, 1, dtype=dtype, requires_grad=True)
    square = torch.zeros(size, size, dtype=dtype, requires_grad=True)
    return replace(
        problem, weight_in=weight, weight_rec=square if recurrent else None,
        coefficients=tuple(each.detach().to(dtype).requires_grad_(each.requires_grad) for each in trained),
        state=tuple(torch.zeros(1, size, dtype=dtype) for _ in problem.state), output=output,  # type: ignore[arg-type]
        lengths=torch.ones(1, dtype=torch.int64) if padded else None,
        delays=torch.zeros(size, dtype=torch.int64) if delays else None,
        arriving=torch.zeros(1, 1, size, dtype=dtype) if delays else None,
    )  # fmt: skip


def cases(quick: bool) -> list[tuple[str, str, LayerProblem]]:
    """(what, target, layer) of all that is compiled."""
    if quick:
        some = {f"{neuron}, H 128": example(neuron) for neuron in NEURONS}
        some["alif, H 256, persistent"] = example(size=256)
        return [(what, "sm_90", layer) for what, layer in some.items()]
    kinds = {
        f"{neuron}, H {size}": example(neuron, size)
        for neuron in NEURONS
        for size in (64, 128, 400)
    }
    kinds["alif, H 256"] = example(size=256)
    kinds |= {
        f"{name}, H 128": example(surrogate=name) for name in SURROGATES if name != "multi_gaussian"
    }
    kinds |= {
        "alif, H 128, padded": example(padded=True),
        "alif, H 128, delays": example(delays=True),
        "alif, H 400, padded, delays": example(size=400, padded=True, delays=True),
        "alif, H 256, persistent": example(size=256),
        "alif, H 400, persistent": example(size=400),
        "alif, H 400, padded, delays, persistent": example(size=400, padded=True, delays=True),
        "cubalif, H 400, persistent": example("cubalif", 400),
        "alif, H 128, feed-forward": example(recurrent=False),
        "integrator, H 20, readout": example("integrator", 20, recurrent=False, output="membrane"),
        "alif, H 37, padded, delays, float64": example(
            size=37, padded=True, delays=True, dtype=torch.float64
        ),
    }
    with_targets = [(what, target, layer) for what, layer in kinds.items() for target in TARGETS]
    return [*with_targets, *((f"alif, H {size}", HIP, example(size=size)) for size in (64, 128))]


def measure(quick: bool, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row for each kernel: what, target, direction, neurons a program, what ``compiled`` says,
    and the ceilings broken."""
    rows = []
    for what, target, problem in cases(quick):
        if only and not any(word in f"{what}, {target}" for word in only):
            continue
        for launch in launches(problem, TARGETS.get(target, 64 << 10), what.endswith("persistent")):
            measured = compiled(launch, target)
            bound = target in TARGETS and problem.weight_in.dtype == torch.float32
            rows.append({
                "layer": what, "target": target, "pass": launch.name, "neurons": launch.constants["COLUMNS"], **measured,
                "exceeded": exceeded(launch, target, measured) if bound else [],
            })  # fmt: skip
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in the order of ``cases``."""
    places = {(what, target): place for place, (what, target, _) in enumerate(cases(quick=False))}
    return sorted(rows, key=lambda row: places[row["layer"], row["target"]])


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| layer | target | pass | neurons | registers | stack, B | shared, KB | loop: "
        "instructions, tensor core | ceilings |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        stack = row.get("stack", f"{row.get('spilled')} registers")
        inside = [
            row.get(f"{kind} in the loop", "")
            for kind in ("instructions", "tensor-core instructions")
        ]
        cells = (row["layer"], row["target"], row["pass"], row["neurons"], row["registers"], stack, f"{row['shared'] / 1024:.0f}",
                 ", ".join(filter(None, map(str, inside))), ", ".join(row["exceeded"]))  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"
