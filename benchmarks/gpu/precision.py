"""How exactly each way of multiplying trains: spikes and gradients against float64, by Triton's
interpreter or on a GPU."""

from __future__ import annotations

import importlib.util
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from srnn.nn.kernels.gpu import layer, loops, plans
from support.kernels import cast, differentiate, on_device

from ..measures.exactness import compare, problem

Products = plans.Products
ROWS = {
    "bf16, 3 pieces / 2 x 2 pieces (the default)": Products(torch.bfloat16, 3, 2),
    "bf16, 3 / 1": Products(torch.bfloat16, 3, 1),
    "bf16, 2 / 2 x 2": Products(torch.bfloat16, 2, 2),
    'tf32 ("high")': Products(torch.float32, precision="tf32"),
    'bf16, 1 / 1 ("medium")': Products(torch.bfloat16),
}
"""Products going forward / going back."""

_TO_TF32 = "((values.to(tl.int32, bitcast=True) + 0x1000) & -0x2000).to(tl.float32, bitcast=True)"


def rounded_to_tf32() -> Any:
    """The loops with both factors of a product rounded to tf32's ten bits, which the interpreter
    does not do."""
    text = Path(loops.__file__).read_text()
    for before, after in (
        ("piece = values.to(tiles[0].dtype)", f"piece = {_TO_TF32}"),
        ("tiles[j].to(total.dtype)", _TO_TF32.replace("values", "tiles[j]")),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = Path(tempfile.mkdtemp()) / "loops.py"  # Triton reads it later
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("loops_in_tf32", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(
    batch: int = 16, steps: int = 100, size: int = 128, device: str = "cpu"
) -> dict[str, dict[str, Any]]:
    """Of each row, what differs from the reference in float64."""
    double = on_device(problem(batch, steps, size), device)
    single = cast(double, torch.float32)
    exact = differentiate(double, "reference")
    rows = {"the reference in float32": compare(exact, differentiate(single, "reference"))}
    for label, products in ROWS.items():
        with ExitStack() as stack:
            stack.enter_context(
                mock.patch.object(Products, "of", lambda dtype, products=products: products)
            )
            if products.precision == "tf32" and plans.interpreted():
                stack.enter_context(mock.patch.object(layer, "loops", rounded_to_tf32()))
            rows[label] = compare(exact, differentiate(single, "gpu"))
    return rows
