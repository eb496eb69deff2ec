"""How a layer is cut into programs, and with which numbers it is multiplied."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from ....errors import SrnnError
from ..problem import LayerProblem, matmul_precision

INTERPRETED = 227 << 10
"""Bytes of shared memory per program that Triton's interpreter is assumed to have: those of an
H100."""

LEAST = 64 << 10
"""The same where PyTorch does not tell (for ROCm): what all AMD GPUs have."""

FLATTEST, DEEPEST = 32, 64
"""How many neurons' emissions are multiplied at once, at least and at most. More take more
registers. With fewer, Triton (up to 3.9.0) may multiply bfloat16 numbers that come from int8
wrongly, because it lays them out for 32."""

SPARE = 12 << 10
"""Bytes of shared memory that are kept for anything but weights."""

PERSISTENT = "SRNN_GPU_PERSISTENT"
"""Environment variable: with "1", layers of several blocks of neurons take one launch, whose
programs wait for each other."""


def interpreted() -> bool:
    """Whether Triton interprets kernels, on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def persistent() -> bool:
    """Whether programs may wait for each other: if asked for, and not in the interpreter, which
    runs one after the other."""
    return os.environ.get(PERSISTENT) == "1" and not interpreted()


@dataclass(frozen=True)
class Products:
    """How products with recurrent weights are made: of how many ``dtype`` numbers a weight is the
    sum, forwards and backwards.

    Backwards, and forwards where emissions are not spikes (which every dtype holds exactly), what
    the weights are multiplied by is written as such a sum as well.
    """

    dtype: torch.dtype
    forward: int = 1
    backward: int = 1
    precision: str = "ieee"

    @classmethod
    def of(cls, dtype: torch.dtype) -> Products:
        """For tensors of a dtype; for float32 ones by ``torch.set_float32_matmul_precision``."""
        if dtype == torch.float64:
            return cls(dtype)
        match matmul_precision():
            case "highest":
                return cls(torch.bfloat16, 3, 2)
            case "high":
                return cls(torch.float32, precision="tf32")
            case _:
                return cls(torch.bfloat16)

    @property
    def on_device(self) -> str:
        """``PRECISION`` of the loops. The interpreter multiplies bfloat16 wrongly, and has no
        tf32."""
        return "upcast" if interpreted() else self.precision


@dataclass(frozen=True)
class LaunchPlan:
    """Programs of ``rows`` sequences and ``columns`` neurons, of ``warps`` warps; ``depth`` neurons
    are multiplied at once."""

    rows: int
    columns: int
    warps: int
    depth: int = 16

    def blocks(self, size: int) -> int:
        """Into how many blocks of neurons a layer is cut."""
        return -(-size // self.columns)


def shared_memory(device: torch.device) -> int:
    """Bytes of shared memory that a program may have."""
    if device.type != "cuda":
        return INTERPRETED
    return getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", LEAST)


def choose_plan(size: int, recurrent: bool, products: Products, shared: int) -> LaunchPlan | None:
    """The largest blocks of neurons whose recurrent weights fit into shared memory. Rows are the 16
    of a tensor core. A feed-forward layer, which multiplies nothing, has small programs, and many.

    Args:
        size: the layer's neurons.
        recurrent: whether it is.
        products: how its products are made.
        shared: bytes of shared memory that a program may have.

    Returns:
        The plan; None if not even the smallest blocks fit.
    """
    if not recurrent:
        return LaunchPlan(4, 32, 1)
    depth = min(DEEPEST, max(FLATTEST, 1 << (size - 1).bit_length()))
    weight_bytes = products.dtype.itemsize * max(products.forward, products.backward)
    column = -(-size // depth) * depth * weight_bytes
    for columns in (128, 64, 32, 16):
        wide = columns > 16 and (columns >= 2 * size or (columns == 128 and size > 128))
        if not wide and columns * column + SPARE <= shared:
            return LaunchPlan(16, columns, 8 if size > 64 else 4, depth)
    return None


def plan_of(problem: LayerProblem) -> LaunchPlan | None:
    """The plan of a problem on its device; None if the layer is too large for it, or its offsets
    for 32 bits."""
    size, weight = len(problem.weight_in), problem.weight_in
    recurrent, shared = problem.weight_rec is not None, shared_memory(weight.device)
    plan = choose_plan(size, recurrent, Products.of(weight.dtype), shared)
    return plan if plan is None or plan.rows * problem.x.shape[1] * size < 1 << 31 else None


def at_once(registers: int, shared: int, warps: int, properties: Any) -> int:
    """How many programs a GPU runs at once.

    Args:
        registers: registers per thread that a program takes; a warp takes them in units of 256.
        shared: bytes of shared memory that a program takes; the system adds 1,024.
        warps: warps of a program.
        properties: the GPU's, of ``torch.cuda.get_device_properties``.

    Returns:
        The number.
    """
    a_warp = -(-registers * 32 // 256) * 256
    return properties.multi_processor_count * min(
        properties.regs_per_multiprocessor // (a_warp * warps),
        properties.shared_memory_per_multiprocessor // (shared + 1024),
        properties.max_threads_per_multi_processor // (32 * warps),
    )


def require_room(programs: int, room: int) -> None:
    """Refuse programs that wait for each other where not all run at once: they would wait forever.

    Args:
        programs: how many there are.
        room: how many the GPU runs at once.

    Raises:
        SrnnError: ``resource``.
    """
    if programs > room:
        raise SrnnError(
            f"This layer takes {programs} programs that wait for each other, but the GPU runs only "
            f"{room} at once: use fewer sequences per batch, "
            f"or one launch per step (without {PERSISTENT}=1).",
            "resource",
        )
