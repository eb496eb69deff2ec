"""One property: a model predicts the same bits in memory, from its file, and block by block.

In memory its network is a torch module, whose layers run over whole batches; from the file it is
arrays, and runs as a stream does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn import SRNN
from srnn.nn.neurons import NEURONS, as_neuron
from support.streams import same_bits

pytest.importorskip("numba")

RANDOM_START = {"name": "alif", "initial": {"u": "uniform(0, 1)", "s": "u"}}
"""Begins with emissions that are not 0 or 1."""
TRIGGERS: dict[str, dict[str, Any]] = {
    "many analog channels": {"inputs": 20},
    "activations": {"neuron": "relu"},
    "spikes into recurrent activations": {"neuron": ["alif", "relu"], "inputs": 20, "binary": True},
    "means of spikes": {"substeps": 3},
    "means of many activations": {"neuron": "relu", "substeps": 6},
    "values before the first step": {"neuron": RANDOM_START, "inputs": 20, "binary": True},
    "values under way": {"neuron": RANDOM_START, "delays": {"recurrent": "uniform(0, 9)"}},
    "an encoder": {"inputs": 20, "encoder": "learned_ternary"},
}
"""What once made them differ in the last digits, each alone."""


def signal(rng: np.random.Generator, binary: bool, *shape: int) -> np.ndarray:
    values = np.ones(shape) if binary else rng.normal(size=shape)
    return (values * (rng.random(shape) < 0.4)).astype(np.float32)


def trained(seed: int, binary: bool, options: dict[str, Any]) -> SRNN:
    """A network that spikes, and whose norm has seen batches, as training leaves it."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    net = SRNN(outputs=3, generator=generator, **options)
    with torch.no_grad():
        for layer in [*net.layers, net.readout]:
            layer.weight_in *= 3
            if layer.bias is not None:
                layer.bias.normal_(0.1, 0.2, generator=generator)
        for _ in range(3):
            net(torch.from_numpy(signal(rng, binary, 8, 20, net.inputs)))
    return net.eval()


def drawn(seed: int, names: list[Any]) -> dict[str, Any]:
    """The settings of a random network."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 4))
    kinds = [names[int(rng.integers(len(names)))] for _ in range(depth)]
    recurrent = rng.choice([True, False], depth).tolist()
    delays = [None, {"input": "uniform(0, 4)"}, {"recurrent": "uniform(0, 3)"}]
    return {
        "inputs": int(rng.choice([1, 4, 9, 20, 70])),
        "hidden": rng.integers(1, 40, depth).tolist(),
        "neuron": kinds,
        "readout": str(rng.choice(["integrator", "alif"])),
        "recurrent": recurrent,
        "substeps": int(rng.integers(1, 7)),
        "norm": str(rng.choice(["none", "batch"])),
        "bias": rng.choice([True, False], depth).tolist(),
        "binary": bool(rng.integers(2)),
        # Delayed activations of a layer's own only the reference takes: see docs/streaming.md.
        "delays": [
            delays[int(rng.integers(3 if as_neuron(kind).emission.binary or not own else 2))]
            for kind, own in zip(kinds, recurrent, strict=True)
        ],
    }


def check(seed: int, folder: Path, binary: bool = False, **options: Any) -> None:
    net, rng = trained(seed, binary, options), np.random.default_rng([seed, 1])
    model = srnn.from_network(net, "abc")
    loaded = srnn.load(model.save(folder / "model.safetensors"))
    assert loaded.unread is not None and model.unread is None
    batch = signal(rng, binary, 9, 50, net.inputs)
    state = net.initial_state(1, torch.Generator().manual_seed(model.seed))
    together = [type(parts)(*(part.repeat_interleave(9, 0) for part in parts)) for parts in state]
    with torch.no_grad():
        outputs = net.run(torch.from_numpy(batch), tuple(together)).output.numpy()
    assert np.ptp(outputs) > 0
    for x, output in zip(batch[:3], outputs, strict=False):
        for steps in (1, len(x)):
            with torch.no_grad():
                alone = net.run(torch.from_numpy(x)[None, :steps], state)
            np.testing.assert_array_equal(alone.output[0].numpy(), output[:steps])
            stream = srnn.Stream(loaded)
            np.testing.assert_array_equal(stream.run(x[:steps]), output[:steps])
            assert same_bits(stream.state, alone.state)  # spikes hide last digits
        scores: Any = model.predict(x).scores  # type: ignore[union-attr]
        np.testing.assert_array_equal(loaded.predict(x).scores, scores)  # type: ignore[union-attr]
        cuts = np.sort(rng.integers(0, len(x) + 1, 4))
        for one in (model, loaded):
            session = one.stream()
            blocks = [session.push(block).scores for block in np.split(x, cuts)]
            np.testing.assert_array_equal(np.concatenate(blocks), scores)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_each_of_these_alone(trigger: str, tmp_path: Path) -> None:
    options = {"inputs": 5, "hidden": [24, 17], "neuron": "alif", "norm": "none"}
    check(0, tmp_path, **options | TRIGGERS[trigger])


@pytest.mark.parametrize("seed", range(6))
def test_random_networks(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path, **drawn(seed, ["alif", "relu"]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 20))
def test_more_networks_of_every_neuron(seed: int, tmp_path: Path) -> None:
    names = [*sorted(NEURONS), RANDOM_START]
    second = names[seed % len(names)]  # two kinds each: every set of kinds is compiled
    check(seed, tmp_path, **drawn(seed, ["relu" if seed % 2 else "alif", second]))
