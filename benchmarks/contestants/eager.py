"""The same ALIF network in plain eager PyTorch, in two styles.

``layers`` tidy: each layer's input projection at once over all steps, then a Python loop over time
with per-step tensors. ``authors`` as the paper's published scripts are written: one loop over time
through all layers, every projection and every
            decay factor computed anew in every step.

``input_grad``: with the input's requires_grad, which the published scripts set and nothing needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..nets import BETA, GAMMA, LOBE, SIGMA, THRESHOLD, WIDTH
from .torch_base import TorchContestant


def normal(v: Tensor, mean: float, std: float) -> Tensor:
    return torch.exp(-((v - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return v.gt(0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (v,) = ctx.saved_tensors
        lobes = normal(v, SIGMA, WIDTH * SIGMA) + normal(v, -SIGMA, WIDTH * SIGMA)
        return gradients[0] * GAMMA * ((1 + LOBE) * normal(v, 0.0, SIGMA) - LOBE * lobes)


def alif_step(
    current: Tensor, u: Tensor, e: Tensor, s: Tensor, alpha: Tensor, rho: Tensor
) -> tuple[Tensor, ...]:
    e = rho * e + (1 - rho) * s
    theta = THRESHOLD + BETA * e
    u = alpha * u + (1 - alpha) * current - theta * s
    return u, e, Spike.apply(u - theta)  # type: ignore[return-value]


class Eager(TorchContestant):
    def build(self) -> None:
        make = {
            name: torch.from_numpy(value).to(self.torch_dtype)
            for name, value in self.problem.weights.items()
        }
        self.parameters = {name: value.requires_grad_() for name, value in make.items()}
        if self.options.get("input_grad"):
            self.x.requires_grad_()

    def layer(self, number: int | None) -> list[Tensor]:
        prefix = "readout." if number is None else f"layers.{number}."
        return [value for name, value in self.parameters.items() if name.startswith(prefix)]

    def run(self, keep_hidden: bool = False) -> Tensor:
        if self.x.requires_grad:
            self.x.grad = None
        return (
            self.run_authors(keep_hidden)
            if self.options["style"] == "authors"
            else self.run_layers(keep_hidden)
        )

    def run_layers(self, keep_hidden: bool) -> Tensor:
        spikes = self.x
        for number in range(len(self.net.hidden)):
            weight_in, weight_rec, bias, tau_mem, tau_adp = self.layer(number)
            alpha, rho, weight_rec = (
                torch.exp(-1 / tau_mem),
                torch.exp(-1 / tau_adp),
                weight_rec.t(),
            )
            currents = F.linear(spikes, weight_in, bias)
            u = e = s = currents.new_zeros(currents.shape[0], currents.shape[2])
            emitted = []
            for current in currents.unbind(1):
                u, e, s = alif_step(current + s @ weight_rec, u, e, s, alpha, rho)
                emitted.append(s)
            spikes = torch.stack(emitted, 1)
            if keep_hidden:
                self.hidden.append(spikes)
        weight_in, bias, tau_mem = self.layer(None)
        kappa = torch.exp(-1 / tau_mem)
        currents = F.linear(spikes, weight_in, bias)
        y, outputs = currents.new_zeros(currents.shape[0], currents.shape[2]), []
        for current in currents.unbind(1):
            y = kappa * y + (1 - kappa) * current
            outputs.append(y)
        return torch.stack(outputs, 1)

    def run_authors(self, keep_hidden: bool) -> Tensor:
        layers = [self.layer(number) for number in range(len(self.net.hidden))]
        weight_out, bias_out, tau_out = self.layer(None)
        batch = self.x.shape[0]
        states = [[self.x.new_zeros(batch, size)] * 3 for size in self.net.hidden]
        y, outputs = self.x.new_zeros(batch, self.net.outputs), []
        emitted: list[list[Tensor]] = [[] for _ in layers]
        for t in range(self.x.shape[1]):
            below = self.x[:, t, :]
            for number, (weight_in, weight_rec, bias, tau_mem, tau_adp) in enumerate(layers):
                u, e, s = states[number]
                current = F.linear(below, weight_in, bias) + F.linear(s, weight_rec)
                states[number] = [
                    *alif_step(current, u, e, s, torch.exp(-1 / tau_mem), torch.exp(-1 / tau_adp))
                ]
                below = states[number][2]
                if keep_hidden:
                    emitted[number].append(below)
            kappa = torch.exp(-1 / tau_out)
            y = kappa * y + (1 - kappa) * F.linear(below, weight_out, bias_out)
            outputs.append(y)
        if keep_hidden:
            self.hidden += [torch.stack(spikes, 1) for spikes in emitted]
        return torch.stack(outputs, 1)

    def stream(self) -> Callable[[], Any]:
        with torch.no_grad():
            layers = [self.layer(number) for number in range(len(self.net.hidden))]
            decays = [(torch.exp(-1 / layer[3]), torch.exp(-1 / layer[4])) for layer in layers]
            weight_out, bias_out, tau_out = self.layer(None)
            kappa = torch.exp(-1 / tau_out)

        @torch.inference_mode()
        def walk() -> Tensor:
            states = [[self.x.new_zeros(1, size)] * 3 for size in self.net.hidden]
            y = self.x.new_zeros(1, self.net.outputs)
            for t in range(self.x.shape[1]):
                below = self.x[:1, t]
                for number, (weight_in, weight_rec, bias, _, _) in enumerate(layers):
                    u, e, s = states[number]
                    alpha, rho = decays[number]
                    current = F.linear(below, weight_in, bias) + F.linear(s, weight_rec)
                    e = rho * e + (1 - rho) * s
                    theta = THRESHOLD + BETA * e
                    u = alpha * u + (1 - alpha) * current - theta * s
                    below = (u > theta).to(u.dtype)
                    states[number] = [u, e, below]
                y = kappa * y + (1 - kappa) * F.linear(below, weight_out, bias_out)
            return y

        return walk


contestant = Eager
