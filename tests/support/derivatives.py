"""The derivatives of one step of a layer, from the Jacobian of its neuron: what the step-by-step
rules of the tests use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from srnn.nn.derivatives import jacobian_record
from srnn.nn.equations import function
from srnn.nn.kernels import loops
from srnn.training.rules.local import LocalLayer


@functools.cache
def jacobian(model: Any) -> Callable[..., tuple[Any, ...]]:
    """``jacobian_record`` as a function, called with the arguments of ``step``."""
    return function(f"{model.name}_jacobian", jacobian_record(model))


@dataclass(frozen=True)
class Derivatives:
    """The derivatives of one step of a layer: V state variables and then the emission, which is a
    result of its own.

    ``by_state``, ``by_current`` and ``by_coefficient`` are derivatives of (*new variables, drive
    v), the last row being v's; ``emission`` stands for the derivative of the emission by v: the
    surrogate's psi(v) for a spiking neuron.
    """

    by_state: Tensor
    """(V + 1, V + 1, B, H): by (*variables, s) of the previous step; by s as the neuron's own reset
    and adaptation see it."""
    by_current: Tensor
    """(V + 1, B, H)."""
    by_coefficient: Tensor
    """(V + 1, C, B, H)."""
    emission: Tensor
    """(B, H)."""

    @classmethod
    def of(cls, layer: LocalLayer, state: tuple[Tensor, ...], current: Tensor) -> Self:
        """Derivatives of a step from (*variables, s) with a current, (B, H) each."""
        count, arguments = len(state), (*state, current, *layer.coefficients)
        partials = [
            part.expand_as(current)
            if isinstance(part, Tensor)
            else torch.full_like(current, float(part))
            for part in jacobian(type(layer.neuron))(*arguments)
        ]
        rows = torch.stack(partials).view(count, -1, *current.shape).to(current.dtype)
        v = layer.neuron.step(*arguments)[-1]
        emission = loops.emission_slope(layer.neuron, layer.layer.surrogate, v)
        return cls(rows[:, :count], rows[:, count], rows[:, count + 1 :], emission)

    def with_own_weight(self, weight_rec: Tensor | None) -> Self:
        """The derivatives if a neuron's recurrent weight to itself, on the diagonal of (H, H),
        counts as part of the neuron."""
        if weight_rec is None:
            return self
        by_state = self.by_state.clone()
        by_state[:, -1] += self.by_current * weight_rec.diagonal()
        return replace(self, by_state=by_state)

    def push(self, sensitivity: Tensor, direct: Tensor) -> Tensor:
        """The sensitivity (V + 1, B, H, P) of (*variables, s) to P parameters, one step on.

        ``direct`` (V + 1, B, H, P): how the parameters act within this step itself.
        """
        pushed = torch.einsum("kmbh,mbhp->kbhp", self.by_state, sensitivity) + direct
        pushed[-1] *= self.emission[:, :, None]
        return pushed
