"""A neuron model's parameters as trainable tensors, and the map that keeps time constants valid.

A time constant tau must stay positive and finite whatever an optimiser does to its parameter r.
With floor the smallest tau that the model allows:

    linear          tau = r for r >= 1 step above the floor; below, an exponential approach to the floor that joins with equal
                    slope. Trains as the published code does (there r is tau itself) but cannot leave the valid range.
    log             tau = exp(r), r clamped between log(floor) and log(TAU_MAX): steps are relative.
    unconstrained   tau = r. For the published weights, some of which left the valid range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...data.spikes import traced
from ...errors import SrnnError, nearest
from ..equations import equations
from ..neurons.base import Neuron

TAU_MAX = 1e6
"""Longest time constant in steps; exp(-1/tau) is 1 to float32 precision long before."""


def tau_from_raw(raw: Tensor, kind: str, floor: float) -> Tensor:
    """Time constants from their trained parameters, elementwise.

    Args:
        raw: the parameters, any shape.
        kind: "linear", "log" or "unconstrained".
        floor: the least time constant, in steps.

    Returns:
        Steps, of the same shape; finite and at least the floor for every finite parameter, unless
        unconstrained.
    """
    if kind == "unconstrained":
        return raw
    if kind == "log":
        return raw.clamp(math.log(floor), math.log(TAU_MAX)).exp()
    knee = floor + 1.0
    if raw.device.type == "cpu" and not traced():
        # Where a look is cheap: values are nearly always unchanged. At the bound itself PyTorch
        # 2.15's clamp has no gradient.
        low, high = raw.detach().aminmax()
        if knee <= float(low) and float(high) < TAU_MAX:
            return raw
    below = floor + torch.exp(raw.clamp(max=knee) - knee)
    return torch.where(raw < knee, below, raw).clamp(max=TAU_MAX)


def raw_from_tau(tau: Tensor, kind: str, floor: float) -> Tensor:
    """Inverse of ``tau_from_raw``.

    Args:
        tau: time constants in steps; those at or under the floor are taken as just above it.
        kind: "linear", "log" or "unconstrained".
        floor: the least time constant, in steps.

    Returns:
        The parameters, of the same shape.
    """
    if kind == "unconstrained":
        return tau
    tau = tau.clamp(floor * (1.0 + 1e-3), TAU_MAX)
    if kind == "log":
        return tau.log()
    knee = floor + 1.0
    return torch.where(tau < knee, knee + torch.log(tau - floor), tau)


def valid_values(neuron: Neuron, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values of a neuron's stored parameters.

    Args:
        neuron: the model.
        stored: the trainable parameters by name, each (size,).

    Returns:
        The values by name, each (size,); time constants in steps, valid.
    """
    return {
        name: tau_from_raw(stored[name], neuron.time_constants, neuron.tau_min)
        if name in neuron.taus
        else stored[name]
        for name in neuron.parameters()
    }


class NeuronParameters(nn.Module):
    """The parameters of ``size`` neurons of one model: trained ones as nn.Parameter, fixed ones as
    buffers, each (size,)."""

    def __init__(self, neuron: Neuron, size: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.neuron = neuron
        for name in neuron.parameters():
            if hasattr(self, name) or hasattr(Neuron, name):
                raise SrnnError(
                    f"A neuron's parameter cannot be called '{name}', because its class or torch's "
                    "modules use that name for something else; give it another name.",
                    "value",
                    name,
                )
            # Drawn in float64 and rounded, so that a seed means the same network in both
            # precisions.
            value = getattr(neuron, name).sample(size, generator=generator, dtype=torch.float64)
            if name in neuron.taus:
                value = raw_from_tau(value, neuron.time_constants, neuron.tau_min)
            value = value.to(torch.get_default_dtype())
            if name in neuron.trained:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)
        equations(type(neuron))  # SrnnError for a step that is more than plain arithmetic
        derived = self.coefficients()
        shapes = [type(derived).__name__]
        if isinstance(derived, (tuple, list)):
            shapes = [
                tuple(value.shape) if isinstance(value, Tensor) else repr(value)
                for value in derived
            ]
        if shapes != [(size,)] * len(neuron.coefficients):
            wanted, returned = ", ".join(neuron.coefficients), ", ".join(map(str, shapes))
            raise SrnnError(
                f"derive of the neuron '{neuron.name}' must return a tensor ({size},), one value "
                f"per neuron, for each of {wanted}; it returned {returned}.",
                "value",
                "derive",
            )

    def values(self) -> dict[str, Tensor]:
        """Parameter values by name, each (size,); time constants in steps, valid."""
        return valid_values(
            self.neuron, {name: getattr(self, name) for name in self.neuron.parameters()}
        )

    @torch.no_grad()
    def set_values(self, **values: Tensor) -> None:
        """Overwrite parameters by name, each (size,); time constants in steps. SrnnError for what
        does not fit."""
        neuron = self.neuron
        for name, value in values.items():
            if name not in neuron.parameters():
                near = nearest(name, neuron.parameters())
                message = f"Neuron '{neuron.name}' has no parameter '{name}'.{near}"
                raise SrnnError(message, "name", name)
            own, value = getattr(self, name), torch.as_tensor(value)
            if value.shape != own.shape:
                expected, found = tuple(own.shape), tuple(value.shape)
                message = f"{neuron.name}.{name}: expected {expected} values, got {found}."
                raise SrnnError(message, "data", name)
            if name in neuron.taus:
                value = raw_from_tau(value.double(), neuron.time_constants, neuron.tau_min)
            own.copy_(value)

    def extra_repr(self) -> str:
        """Mean and range of each time constant, in steps."""
        if any(getattr(self, name).is_meta for name in self.neuron.parameters()):  # without values
            return ""
        return ", ".join(
            f"{name} {tau.mean():.4g} steps ({tau.min():.4g} to {tau.max():.4g})"
            for name, tau in self.dynamics().items()
        )

    def dynamics(self) -> dict[str, Tensor]:
        """The time constants of the model by name, in steps, each (size,), detached."""
        return self.neuron.dynamics(
            **{name: value.detach() for name, value in self.values().items()}
        )

    def coefficients(self) -> tuple[Tensor, ...]:
        """The per-neuron constants of the model's ``step``, each (size,)."""
        return self.neuron.derive(**self.values())
