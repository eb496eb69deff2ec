"""One layer as it runs without autograd, and the derivatives of its steps that learning needs."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import SrnnError
from ...nn.derivatives import adjoint
from ...nn.kernels import loops
from ...nn.network.layer import Layer


class LocalLayer:
    """A layer to be run without a graph. Takes up changed parameters of the layer with ``refresh``.

    ``passes`` (B, H): the factors with which dropout passes its output to the layers above; None:
    no dropout.
    """

    def __init__(self, layer: Layer, passes: Tensor | None = None) -> None:
        if layer.kept is not None or layer.weights_as is not None:
            raise SrnnError(
                "Online learning rules cannot train a network with rounded weights or states; "
                "the rule bptt can.",
                "unsupported",
                "network",
            )
        weights = (layer.weight_in, layer.weight_rec, layer.bias)
        if not all(
            isinstance(weight, torch.nn.Parameter) for weight in weights if weight is not None
        ):
            raise SrnnError(
                "Online learning rules cannot train what weight_norm, pruning or another "
                "parametrization computes; make it permanent first.",
                "unsupported",
                "network",
            )
        self.passes = passes
        self.layer, self.neuron = layer, layer.dynamics()[0]
        self.refresh()

    def refresh(self) -> None:
        """Take up the parameters as they are now."""
        layer = self.layer
        self.weight_in = layer.weight_in.detach()
        if layer.weight_rec is None:
            self.weight_rec = None
        else:
            self.weight_rec = layer.weight_rec.detach()
        if layer.bias is None:
            self.bias = None
        else:
            self.bias = layer.bias.detach()
        self.coefficients = tuple(value.detach() for value in layer.params.coefficients())

    def passed(self, output: Tensor) -> Tensor:
        """What the layers above receive of an output (B, H) or (B, T, H), or what the output
        receives of their errors."""
        if self.passes is None:
            return output
        return output * self.passes.view(len(output), *[1] * (output.ndim - 2), -1)

    def output_row(self) -> int:
        """Which row of a sensitivity belongs to the output."""
        if self.layer.output == "membrane":
            return 0
        return -1

    def slope(self, states: tuple[Tensor, ...], current: Tensor) -> Tensor:
        """The derivative of the output with respect to the current of the same step.

        Args:
            states: (*variables, s) before the step, (..., H) each.
            current: in the step, (..., H).

        Returns:
            (..., H).
        """
        arguments, none = (*states, current, *self.coefficients), current.new_zeros(())
        seeds = [none] * len(states)
        if self.layer.output == "membrane":
            seeds[0] = none + 1
        else:
            seeds[-1] = loops.emission_slope(
                self.neuron, self.layer.surrogate, self.neuron.step(*arguments)[-1]
            )
        return adjoint(type(self.neuron))(*seeds, *arguments)[len(states)].expand_as(current)

    def kept(self, states: tuple[Tensor, ...], current: Tensor) -> Tensor:
        """What the membrane, the first variable, keeps of itself in a step: its derivative with
        respect to its last value.

        Args:
            states: (*variables, s) before the step, (..., H) each.
            current: in the step, (..., H).

        Returns:
            (..., H).
        """
        none = current.new_zeros(())
        seeds = [none + 1, *[none] * (len(states) - 1)]
        return adjoint(type(self.neuron))(*seeds, *states, current, *self.coefficients)[
            0
        ].expand_as(current)

    def give(self, by_synapse: Tensor, by_bias: Tensor, by_coefficient: Tensor) -> None:
        """Add gradients to the parameters' ``.grad``.

        Args:
            by_synapse: (H, I) or (H, I + H), in the order of ``Chunk.presynaptic``.
            by_bias: (H,).
            by_coefficient: (C, H), passed on to trained parameters by the chain rule.
        """
        layer, inputs = self.layer, self.weight_in.shape[1]
        for parameter, gradient in (
            (layer.weight_in, by_synapse[:, :inputs]),
            (layer.weight_rec, by_synapse[:, inputs:]),
            (layer.bias, by_bias),
        ):
            if parameter is not None and parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = gradient.clone()
                else:
                    parameter.grad = parameter.grad + gradient
        with torch.enable_grad():
            coefficients = layer.params.coefficients()
        pairs = [
            (c, g) for c, g in zip(coefficients, by_coefficient, strict=True) if c.requires_grad
        ]
        if pairs:
            torch.autograd.backward([c for c, _ in pairs], [g for _, g in pairs])
