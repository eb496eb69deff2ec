"""Multiplications of a neuron, counted from its equations: which products are free. Each expected
number is counted by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from srnn import Init, Neuron
from srnn.nn.emissions import IDENTITY, RELU, SPIKE, Emission
from srnn.nn.operations import multiplications


@dataclass(frozen=True)
class Scaled(Neuron):
    """A neuron that multiplies what its subclass multiplies, by coefficients that are not
    trained."""

    name: ClassVar[str] = "scaled"
    taus: ClassVar[tuple[str, ...]] = ()
    step = staticmethod(lambda u, w, s, current, a, b: (u + a * current, w + a * current, u + w))
    a: Init = Init("constant", 0.5)
    b: Init = Init("constant", 0.25)
    trained: tuple[str, ...] = field(default=(), kw_only=True)

    def derive(self, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return parameters["a"], parameters["b"]


def products(step: Any, **attributes: Any) -> float:
    """Multiplications of one neuron, out of ten."""
    made: Any = type("Scaled", (Scaled,), {"step": staticmethod(step), **attributes})
    return multiplications(made(), (np.full(10, 0.5), np.full(10, 0.25)), 10) / 10


@pytest.mark.parametrize(
    ("step", "number"),
    [
        # a is in the weights, which have room for one number.
        (lambda u, w, s, current, a, b: (u + a * current, w + a * current, u + w), 0),
        (lambda u, w, s, current, a, b: (u + a * current, w + b * current, u + w), 1),
        (lambda u, w, s, current, a, b: (u + current, w + b * current, u + w), 1),
        (lambda u, w, s, current, a, b: (u + 1.0 * current, w + b * current, u + w), 1),
        (lambda u, w, s, current, a, b: (u + current / a, w + current / b + current * a, u + w), 2),
        (
            lambda u, w, s, current, a, b: (
                u + (1.0 - a) * current,
                w + (1.0 - a) * current,
                u + w,
            ),
            0,
        ),
        (
            lambda u, w, s, current, a, b: (
                u + (1.0 - a) * current,
                w + (1.0 + a) * current,
                u + w,
            ),
            1,
        ),
        (lambda u, w, s, current, a, b: (u + b * (a * current), w, u + w), 0),
        # A quotient is a product, whatever of; one by the current is not in the weights.
        (lambda u, w, s, current, a, b: (u + a / current, w, u + w), 1),
        (lambda u, w, s, current, a, b: (u + b * (a / current), w, u + w), 2),
        (lambda u, w, s, current, a, b: (1.0 / (1.0 + u * u), w + current, u), 2),
        (lambda u, w, s, current, a, b: (u + 0.0 / (1.0 + w * w), w + current, u), 1),
        # current + w (u - current)
        (lambda u, w, s, current, a, b: (w * u + (1.0 - w) * current, w, u), 1),
        (lambda u, w, s, current, a, b: ((1.0 - w) * current + w * u, w, u), 1),
        (lambda u, w, s, current, a, b: (a * u + (1.0 - a) * w + current, w, u), 1),
        (lambda u, w, s, current, a, b: (a * u + (2.0 - a) * w + current, w, u), 2),
        # A sign; what depends on a spike is one of two numbers.
        (lambda u, w, s, current, a, b: (-1.0 * u + current, w, u), 0),
        (lambda u, w, s, current, a, b: (u + b * (a * s) + current, w, u), 0),
        (lambda u, w, s, current, a, b: (s * u * w + current, w, u), 1),
    ],
)
def test_products_that_are_free_and_that_cost(step: Any, number: int) -> None:
    assert products(step) == number


@pytest.mark.parametrize(("emission", "number"), [(SPIKE, 0), (RELU, 1), (IDENTITY, 1)])
def test_a_product_with_an_emission_is_free_where_that_is_a_spike(
    emission: Emission, number: int
) -> None:
    assert (
        products(lambda u, w, s, current, a, b: (u - w * s + current, w, u), emission=emission)
        == number
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_a_is_0_or_1_nothing_is_multiplied_to_choose_between_two(value: float) -> None:
    """a x + (1 - a) y is y + a (x - y), and x + (1 - a) (y - x)."""
    step = staticmethod(lambda u, w, s, current, a, b: (a * u + (1.0 - a) * w + current, w, u))
    made: Any = type("Scaled", (Scaled,), {"step": step})
    a = np.where(np.arange(10) < 3, value, 0.5)
    assert multiplications(made(), (a, np.full(10, 0.25)), 10) == 7
