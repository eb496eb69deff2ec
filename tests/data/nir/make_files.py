"""Write one peer's NIR file and what the peer itself computed. Needs the peer, not this library; see README.md.

python make_files.py snntorch|norse|spikingjelly|sinabs
"""

from __future__ import annotations

import sys

import nir
import numpy as np
import torch
from torch import Tensor, nn

STEPS, BATCH, INPUTS, HIDDEN, OUTPUTS = 60, 2, 5, 6, 3


def linear(inputs: int, outputs: int, scale: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(outputs, inputs) * scale)
    return layer


def snntorch(x: Tensor) -> tuple[nir.NIRGraph, Tensor]:
    """Recurrent LIF, then LIF; hard reset at once, which is what its file says."""
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    options = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
    hidden = snn.RLeaky(beta=torch.full((HIDDEN,), 0.9), threshold=0.7, linear_features=HIDDEN, **options)
    with torch.no_grad():
        hidden.recurrent.weight.copy_(torch.randn(HIDDEN, HIDDEN) * 0.3)
    readout = snn.Leaky(beta=torch.full((OUTPUTS,), 0.8), threshold=torch.ones(OUTPUTS), output=True, **options)
    net = nn.Sequential(linear(INPUTS, HIDDEN, 0.5), hidden, linear(HIDDEN, OUTPUTS, 0.6), readout)
    graph = export_to_nir(net, x[0, :1], ignore_dims=[0])
    hidden.reset_mem()
    readout.reset_mem()
    return graph, torch.stack([net(step)[0] for step in x])


def norse(x: Tensor) -> tuple[nir.NIRGraph, Tensor]:
    """LIF with a leak potential, then leaky integrators."""
    import norse.torch as norse

    lif = norse.LIFBoxParameters(
        torch.full((HIDDEN,), 150.0), v_th=torch.full((HIDDEN,), 0.3), v_leak=torch.full((HIDDEN,), 0.05)
    )
    li = norse.LIBoxParameters(torch.full((OUTPUTS,), 80.0), v_leak=torch.zeros(OUTPUTS))
    net = norse.SequentialState(
        linear(INPUTS, HIDDEN, 1.5),
        norse.LIFBoxCell(lif, dt=1e-3),
        linear(HIDDEN, OUTPUTS, 1.0),
        norse.LIBoxCell(li, dt=1e-3),
    )
    graph, state, outputs = norse.to_nir(net, x[0, :1]), None, []
    for step in x:
        y, state = net(step, state)
        outputs.append(y)
    return graph, torch.stack(outputs)


def spikingjelly(x: Tensor) -> tuple[nir.NIRGraph, Tensor]:
    """LIF with r = 1, then LIF with r = tau/dt."""
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    first, second = layer.Linear(INPUTS, HIDDEN), layer.Linear(HIDDEN, OUTPUTS, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.randn(HIDDEN, INPUTS))
        second.weight.copy_(torch.randn(OUTPUTS, HIDDEN))
    net = nn.Sequential(
        first,
        neuron.LIFNode(tau=4.0, decay_input=True, v_reset=0.0, v_threshold=0.4),
        second,
        neuron.LIFNode(tau=2.5, decay_input=False, v_reset=0.0, v_threshold=0.9),
    )
    graph = export_to_nir(net, x[0, :1], dt=1e-3)
    functional.reset_net(net)
    return graph, torch.stack([net(step) for step in x])


def sinabs(x: Tensor) -> tuple[nir.NIRGraph, Tensor]:
    """LIF with a hard reset, then leaky integrators; exact steps of dt = 1, inputs normalised."""
    import sinabs.layers as sl
    from sinabs.activation import MembraneReset
    from sinabs.nir import to_nir

    tau, threshold = torch.full((HIDDEN,), 12.0), torch.ones(HIDDEN)
    net = nn.Sequential(
        linear(INPUTS, HIDDEN, 0.5),
        sl.LIF(tau_mem=tau, spike_threshold=threshold, norm_input=True, reset_fn=MembraneReset(0.0)),
        linear(HIDDEN, OUTPUTS, 0.6),
        sl.ExpLeak(tau_mem=torch.full((OUTPUTS,), 9.0), norm_input=True),
    )
    sequences = x.swapaxes(0, 1).contiguous()
    y = net(sequences).swapaxes(0, 1)
    return to_nir(net, sequences), y


def in_numpy(graph: nir.NIRGraph) -> nir.NIRGraph:
    """Some peers leave torch tensors in the nodes."""
    for node in graph.nodes.values():
        for key, value in vars(node).items():
            if isinstance(value, Tensor):
                setattr(node, key, value.detach().numpy())
    return graph


if __name__ == "__main__":
    torch.manual_seed(7)
    peer = sys.argv[1]
    spikes = (torch.rand(STEPS, BATCH, INPUTS) < 0.4).float()
    made, outputs = {"snntorch": snntorch, "norse": norse, "spikingjelly": spikingjelly, "sinabs": sinabs}[peer](spikes)
    nir.write(f"{peer}.nir", in_numpy(made))
    np.savez_compressed(f"{peer}.npz", x=spikes.numpy(), y=outputs.detach().numpy())
