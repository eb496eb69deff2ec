"""Sinabs: ALIFRecurrent, the nearest to the paper's neuron among the libraries, with its own
multi-Gaussian surrogate."""

from __future__ import annotations

import sinabs.layers as sl
import torch
from sinabs.activation import MultiGaussian
from torch import Tensor, nn

from ..nets import BETA, LOBE, SIGMA, THRESHOLD, WIDTH
from .torch_base import TorchContestant


class Sinabs(TorchContestant):
    packages = ("torch", "sinabs")
    holds_common_weights = False

    def build(self) -> None:
        self.inputs, self.layers = nn.ModuleList(), nn.ModuleList()
        width = self.net.inputs
        for number, size in enumerate(self.net.hidden):
            weights = self.layer_weights(number)
            linear, recurrent = nn.Linear(width, size), nn.Linear(size, size, bias=False)
            with torch.no_grad():
                linear.weight.copy_(weights["weight_in"])
                linear.bias.copy_(weights["bias"])
                recurrent.weight.copy_(weights["weight_rec"])
            self.inputs.append(linear)
            self.layers.append(
                sl.ALIFRecurrent(
                    tau_mem=weights["tau_mem"],
                    tau_adapt=weights["tau_adp"],
                    adapt_scale=BETA,
                    rec_connect=recurrent,
                    spike_threshold=torch.tensor(THRESHOLD),
                    surrogate_grad_fn=MultiGaussian(mu=0.0, sigma=SIGMA, h=LOBE, s=WIDTH),
                )
            )
            width = size
        self.linear_out, self.readout = nn.Linear(width, self.net.outputs), sl.ExpLeak(tau_mem=20.0)
        modules = nn.ModuleList([self.inputs, self.layers, self.linear_out, self.readout])
        # Some parameters of a Sinabs layer only take their shape from the first input.
        self.run()
        self.parameters = {name: p for name, p in modules.named_parameters() if p.requires_grad}

    def run(self, keep_hidden: bool = False) -> Tensor:
        x = self.x
        for linear, layer in zip(self.inputs, self.layers, strict=True):
            layer.reset_states()
            x = layer(linear(x))
            if keep_hidden:
                self.hidden.append(x)
        self.readout.reset_states()
        return self.readout(self.linear_out(x))


contestant = Sinabs
