"""Plain torch whose products round both factors to bfloat16 on the way back, and torch's own setting that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def rounded(values: Tensor) -> Tensor:
    return values.to(torch.bfloat16).to(values.dtype)


class _Product(torch.autograd.Function):
    """x (..., I) times weight.t() (I, H)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        g = gradients[0]
        return rounded(g) @ rounded(weight), g.flatten(0, -2).t() @ x.flatten(0, -2)


class RoundedGoingBack(TorchFunctionMode):
    """The reference's products with weights, under this mode: exact forwards and for the weights' own gradients, rounded for that
    of what the weights multiply."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.linear:
            x, weight, bias = args
            product = _Product.apply(x, weight)
            return product if bias is None else product + bias
        if function in (Tensor.matmul, Tensor.__matmul__, torch.matmul):
            return _Product.apply(args[0], args[1].t())
        return function(*args, **(kwargs or {}))
