"""Norse: LSNNRecurrent, a recurrent neuron with an adaptive threshold, and its leaky integrator as
readout."""

from __future__ import annotations

import torch
from norse.torch import LI, LSNNParameters, LSNNRecurrent
from torch import Tensor, nn

from ..nets import BETA, THRESHOLD
from .torch_base import TorchContestant


class Norse(TorchContestant):
    packages = ("torch", "norse")
    holds_common_weights = False

    def build(self) -> None:
        # dt = 1 ms and time constants of 20 and 150 ms are the paper's 20 and 150 steps.
        constants = LSNNParameters(
            tau_mem_inv=torch.as_tensor(1000.0 / 20.0),
            tau_adapt_inv=torch.as_tensor(1000.0 / self.net.tau_adp[0]),
            v_th=torch.as_tensor(THRESHOLD),
            # Norse adds beta to the threshold with each spike; the paper's trace takes (1 - rho) of
            # it.
            beta=torch.as_tensor(BETA / self.net.tau_adp[0]),
        )
        self.layers = nn.ModuleList()
        width = self.net.inputs
        for number, size in enumerate(self.net.hidden):
            recurrent = LSNNRecurrent(width, size, constants, dt=0.001, autapses=True)
            weights = self.layer_weights(number)
            with torch.no_grad():
                recurrent.input_weights.copy_(weights["weight_in"])
                recurrent.recurrent_weights.copy_(weights["weight_rec"])
            self.layers.append(recurrent)
            width = size
        self.linear_out, self.readout = nn.Linear(width, self.net.outputs), LI()
        modules = nn.ModuleList([self.layers, self.linear_out, self.readout])
        self.parameters = {name: p for name, p in modules.named_parameters() if p.requires_grad}
        self.x = self.x.transpose(0, 1).contiguous()

    def run(self, keep_hidden: bool = False) -> Tensor:
        x = self.x
        for layer in self.layers:
            x, _ = layer(x)
            if keep_hidden:
                self.hidden.append(x)
        output, _ = self.readout(self.linear_out(x))
        return output.transpose(0, 1)


contestant = Norse
