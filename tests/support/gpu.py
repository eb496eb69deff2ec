"""The GPU backend against the reference, by Triton's interpreter or on a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from srnn.nn.kernels.gpu import layer, plans
from srnn.nn.kernels.problem import LayerProblem
from support.kernels import assert_same, on_device

DEVICE = "cpu" if plans.interpreted() else "cuda"


def show_unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is allocated for results holds NaN, or 77 where spikes will be, until it is written."""
    empty, empty_like = torch.empty, torch.empty_like

    def spoil(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.fill_(float("nan") if tensor.is_floating_point() else 77)

    monkeypatch.setattr(layer.torch, "empty", lambda *a, **k: spoil(empty(*a, **k)))
    monkeypatch.setattr(layer.torch, "empty_like", lambda *a, **k: spoil(empty_like(*a, **k)))


def blocks_of(monkeypatch: pytest.MonkeyPatch, columns: int, depth: int = 16) -> None:
    """Cut recurrent layers into blocks of few neurons, so that a small layer has several."""
    choose = plans.choose_plan

    def choose_small(size: int, recurrent: bool, *rest: Any) -> plans.LaunchPlan | None:
        return (
            plans.LaunchPlan(16, columns, 4, depth) if recurrent else choose(size, recurrent, *rest)
        )

    monkeypatch.setattr(plans, "choose_plan", choose_small)


def check(problem: LayerProblem, binary: bool = False, tolerance: float = 1e-9) -> None:
    assert_same(on_device(problem, DEVICE), tolerance, binary, backend="gpu")
