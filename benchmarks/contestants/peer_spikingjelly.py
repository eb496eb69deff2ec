"""SpikingJelly: LIFNode inside LinearRecurrentContainer, its way to all-to-all recurrence, in
multi-step mode."""

from __future__ import annotations

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from ..nets import THRESHOLD
from .torch_base import TorchContestant


class SpikingJelly(TorchContestant):
    packages = ("torch", "spikingjelly")
    holds_common_weights = False

    def build(self) -> None:
        modules: list[nn.Module] = []
        width = self.net.inputs
        for number, size in enumerate(self.net.hidden):
            weights = self.layer_weights(number)
            # With decay_input the node adds a fraction 1/tau of the current, as the paper's neuron
            # adds (1 - alpha).
            node = neuron.LIFNode(
                tau=20.0, decay_input=True, v_threshold=THRESHOLD, v_reset=None, detach_reset=False,
                surrogate_function=surrogate.ATan(), step_mode="s",
            )  # fmt: skip
            linear = layer.Linear(width, size, step_mode="m")
            recurrent = layer.LinearRecurrentContainer(node, size, size, bias=False, step_mode="m")
            with torch.no_grad():
                linear.weight.copy_(weights["weight_in"])
                linear.bias.copy_(weights["bias"])
                recurrent.rc.weight.copy_(torch.cat([torch.eye(size), weights["weight_rec"]], 1))
            modules += [linear, recurrent]
            width = size
        modules.append(layer.Linear(width, self.net.outputs, step_mode="m"))
        self.modules = nn.Sequential(*modules)
        self.parameters = dict(self.modules.named_parameters())
        self.x = self.x.transpose(0, 1).contiguous()

    def run(self, keep_hidden: bool = False) -> Tensor:
        functional.reset_net(self.modules)
        x = self.x
        for module in self.modules:
            x = module(x)
            if keep_hidden and isinstance(module, layer.LinearRecurrentContainer):
                self.hidden.append(x)
        return x.transpose(0, 1)


contestant = SpikingJelly
