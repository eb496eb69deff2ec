"""Our counts against NeuroBench's own, hook by hook, on networks that run the reference step by
step.

They differ where NeuroBench

- counts the recurrent input of the first step, which is zero; our rates count the spikes of the
  last step instead, as for a stream that continues;
- counts all operations of an LSTM, GRU or RNN as ACs if its input consists of spikes, even those on
  the cell's own values; ours are ACs only where a spike causes them. The sum is the same;
- would see averaged directions (0, 1/2, 1) as graded values; we deliver each direction's spikes;
- cannot hook layers that run whole sequences: hence the unrolled modules.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srnn import SRNN
from srnn.measure.energy import LayerCounts, energy
from srnn.nn.baselines import ClassicalRNN

pytest.importorskip(
    "neurobench",
    reason="neurobench is not installed (pip install 'srnn[neurobench]'): its counts are not "
    "compared",
)

STEPS, BATCH = 12, 3


class Unrolled(nn.Module):
    """An SRNN as NeuroBench can hook it: a ``nn.Linear`` for each matrix, called once a step,
    between reference steps."""

    def __init__(self, net: SRNN) -> None:
        super().__init__()
        # In a list: no submodule, so that parameters and hooks are those of the matrices alone.
        self.net = [net]
        self.matrices = nn.ModuleList()
        for layer in [*net.layers, net.readout]:
            pair = nn.ModuleDict({"weight_in": self._linear(layer.weight_in, layer.bias)})
            if layer.weight_rec is not None:
                pair["weight_rec"] = self._linear(layer.weight_rec, None)
            self.matrices.append(pair)

    @staticmethod
    def _linear(weight: Any, bias: Any) -> nn.Linear:
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        linear.weight.data = weight.detach().clone()
        if bias is not None:
            linear.bias.data = bias.detach().clone()
        return linear

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        net = self.net[0]
        layers = [*net.layers, net.readout]
        states = [layer.initial_state(len(x)) for layer in layers]  # type: ignore[operator, union-attr]
        outputs = []
        for step in range(x.shape[1]):
            signal = x[:, step]
            for index, (layer, pair) in enumerate(zip(layers, self.matrices, strict=True)):
                state = states[index]
                current = pair["weight_in"](signal)  # type: ignore[index, operator]
                if "weight_rec" in pair:  # type: ignore[operator]
                    current = current + pair["weight_rec"](state[-1])  # type: ignore[index, operator]
                *new, v = layer.neuron.step(*state, current, *layer.params.coefficients())  # type: ignore[union-attr, operator]
                signal = layer.neuron.emit(v)  # type: ignore[union-attr, operator]
                states[index] = layer.neuron.State(*new, signal)  # type: ignore[union-attr, operator]
            outputs.append(states[-1][0])
        return torch.stack(outputs, 1)


class UnrolledCell(nn.Module):
    """A one-layer network of torch's cells, as the step-by-step cell that NeuroBench can count."""

    def __init__(self, net: ClassicalRNN) -> None:
        super().__init__()
        layer: Any = net.layers[0]
        self.cell = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}[layer.name](
            layer.inputs, layer.units
        )
        self.cell.load_state_dict(
            {name.removesuffix("_l0"): value for name, value in layer.cell.state_dict().items()}
        )
        self.out = nn.Linear(layer.units, net.outputs)
        self.out.load_state_dict({"weight": net.readout.weight_in, "bias": net.readout.bias})

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), self.cell.hidden_size)
        state: Any = (h, h) if isinstance(self.cell, nn.LSTMCell) else h
        outputs = []
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
            outputs.append(self.out(state[0] if isinstance(state, tuple) else state))
        return torch.stack(outputs, 1)


def neurobench_counts(module: nn.Module, x: Tensor) -> dict[str, float]:
    """NeuroBench's synaptic operations per sample, from its own hooks."""
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    model = TorchModel(module)
    model.register_hooks()
    predictions = model(x)
    found = SynapticOperations()(model, predictions, (x, None))
    model.cleanup_hooks()
    return found


def signal(kind: str, inputs: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    x = torch.rand(BATCH, STEPS, inputs, generator=generator)
    return (x < 0.3).float() if kind == "spikes" else x * (x > 0.5)  # analog, with zeros


def network(neuron: str, recurrent: bool) -> SRNN:
    generator = torch.Generator().manual_seed(1)
    options = {"backend": "reference", "norm": "none", "generator": generator}
    net = SRNN(5, [9, 7], 4, neuron, recurrent=recurrent, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for layer in net.layers:
            layer.weight_in.mul_(40.0)  # type: ignore[union-attr, operator]
    return net


@pytest.mark.parametrize("kind", ["spikes", "analog"])
@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("neuron", ["alif", "lif", "adlif", "cubalif", "relu"])
def test_synaptic_operations(neuron: str, recurrent: bool, kind: str) -> None:
    net = network(neuron, recurrent)
    x = signal(kind, 5)
    with torch.no_grad():
        result = net.run(x)
    module = Unrolled(net)
    assert torch.allclose(module(x), result.output, atol=1e-6)
    theirs = neurobench_counts(module, x)
    ours = LayerCounts(**energy(net, x)["counts"])
    # The one difference: NeuroBench sees the zeros of the initial state instead of what the last
    # step would hand on.
    last = sum(
        float(layer.output[:, -1].count_nonzero()) / BATCH * size
        for layer, size in zip(result.layers[:-1], (9, 7), strict=True)
        if recurrent
    )
    spiking = neuron != "relu"
    assert theirs["Effective_ACs"] == pytest.approx(
        ours.effective_acs * STEPS - (last if spiking else 0.0), rel=1e-5, abs=1e-3
    )
    # A recurrent matrix that gets nothing but zeros counts as spiking there; with ReLU units the
    # sum of both is the same.
    both = theirs["Effective_ACs"] + theirs["Effective_MACs"]
    assert both == pytest.approx(
        (ours.effective_acs + ours.effective_macs) * STEPS - last, rel=1e-5
    )
    assert theirs["Dense"] == ours.dense * STEPS
    # The networks are active.
    assert all(layer.output.count_nonzero() > 10 for layer in result.layers[:-1])


def test_footprint() -> None:
    from neurobench.metrics.static import Footprint
    from neurobench.models import TorchModel

    class Whole(nn.Module):
        def __init__(self, net: SRNN) -> None:
            super().__init__()
            self.net = net

    net = network("alif", True)
    assert (
        Footprint()(TorchModel(Whole(net))) == energy(net, signal("spikes", 5))["footprint_bytes"]
    )


@pytest.mark.parametrize("kind", ["spikes", "analog"])
@pytest.mark.parametrize(
    ("cell", "gates", "products"), [("rnn", 1, 0), ("gru", 3, 1), ("lstm", 4, 1)]
)
def test_cells(cell: Any, gates: int, products: int, kind: str) -> None:
    """The sum agrees; NeuroBench calls all of a cell ACs where its input are spikes, we only what
    the spikes cause."""
    net = ClassicalRNN(5, [9], 4, cell, generator=torch.Generator().manual_seed(2))
    x = signal(kind, 5)
    module = UnrolledCell(net)
    with torch.no_grad():
        assert torch.allclose(module(x), net(x)[0], atol=1e-6)
    theirs = neurobench_counts(module, x)
    ours = LayerCounts(**energy(net, x)["counts"])
    # At the first step the state is 0 there: n² of each gate, and a product with it.
    first = gates * 81 + products * 9
    assert theirs["Effective_MACs"] + theirs["Effective_ACs"] == pytest.approx(
        (ours.effective_macs + ours.effective_acs) * STEPS - first, rel=1e-5
    )
    if kind == "spikes":
        assert theirs["Effective_ACs"] > ours.effective_acs * STEPS
