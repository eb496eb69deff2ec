"""snnTorch: RLeaky, its recurrent leaky integrate-and-fire neuron, in the loop over time that its
tutorials show."""

from __future__ import annotations

import math

import snntorch as snn
import torch
from snntorch import surrogate
from torch import Tensor, nn

from ..nets import THRESHOLD
from .torch_base import TorchContestant


class SnnTorch(TorchContestant):
    packages = ("torch", "snntorch")
    holds_common_weights = False

    def build(self) -> None:
        widths = (self.net.inputs, *self.net.hidden)
        self.inputs, self.cells = nn.ModuleList(), nn.ModuleList()
        for number, size in enumerate(self.net.hidden):
            weights = self.layer_weights(number)
            decay = torch.exp(-1 / weights["tau_mem"])
            # RLeaky adds the whole current where the paper's neuron adds (1 - alpha) of it: the
            # threshold makes up for that.
            cell = snn.RLeaky(
                beta=decay, linear_features=size, threshold=THRESHOLD / (1 - math.exp(-1 / 20)),
                learn_beta=True, spike_grad=surrogate.fast_sigmoid(), all_to_all=True,
            )  # fmt: skip
            linear = nn.Linear(widths[number], size)
            with torch.no_grad():
                linear.weight.copy_(weights["weight_in"])
                linear.bias.copy_(weights["bias"])
                cell.recurrent.weight.copy_(weights["weight_rec"])
            self.inputs.append(linear)
            self.cells.append(cell)
        self.linear_out = nn.Linear(widths[-1], self.net.outputs)
        self.readout = snn.Leaky(beta=math.exp(-1 / 20), reset_mechanism="none", learn_beta=True)
        modules = nn.ModuleList([self.inputs, self.cells, self.linear_out, self.readout])
        self.parameters = {name: p for name, p in modules.named_parameters() if p.requires_grad}
        self.x = self.x.transpose(0, 1).contiguous()

    def run(self, keep_hidden: bool = False) -> Tensor:
        states = [cell.reset_mem() for cell in self.cells]
        mem_out, outputs = self.readout.reset_mem(), []
        emitted: list[list[Tensor]] = [[] for _ in self.cells]
        for x in self.x:
            for number, (linear, cell) in enumerate(zip(self.inputs, self.cells, strict=True)):
                states[number] = cell(linear(x), *states[number])
                x = states[number][0]
                if keep_hidden:
                    emitted[number].append(x)
            _, mem_out = self.readout(self.linear_out(x), mem_out)
            outputs.append(mem_out)
        if keep_hidden:
            self.hidden += [torch.stack(spikes, 1) for spikes in emitted]
        return torch.stack(outputs, 1)


contestant = SnnTorch
