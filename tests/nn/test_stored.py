"""A frozen network in a file: read back to the bit without torch, and refused where its arrays do
not fit each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError
from srnn.model.checkpoints import as_arrays, model_tensors
from srnn.model.stored import arrays_of, describe, restore
from srnn.nn.frozen import Array, FrozenNetwork
from srnn.nn.network import layers_by_name
from srnn.nn.network.freezing import freeze, with_drawn_state
from srnn.nn.state_format import StateFormat

DRAWN = {"name": "alif", "initial": {"u": "uniform(0, 1)", "s": "u"}}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "drawn": {"neuron": [DRAWN, "brf"]},
    "feed-forward": {"recurrent": [False, True], "bias": [False, True]},
    "both directions": {"bidirectional": True, "merge": "concat", "late": True, "neuron": DRAWN},
    "normed": {"norm": ["batch", "none"], "bias": False},
    "delayed": {"delays": {"recurrent": "uniform(0, 5)", "input": 2}, "neuron": ["lif", DRAWN]},
    "encoded, in substeps": {
        "encoder": {"name": "learned_ternary", "per_channel": True},
        "substeps": 3,
    },
    "counting": {"readout": "spike_count", "neuron": ["adlif", "cubalif"], "surrogate": "arctan"},
}


def network(**options: Any) -> SRNN:
    net = SRNN.paper(
        3, [4, 5], 2, backend="reference", generator=torch.Generator().manual_seed(0), **options
    )
    net(torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(1)))  # a norm's statistics
    return net.eval()


def in_file(net: SRNN, seed: int = 7) -> tuple[FrozenNetwork, dict[str, Array], Any]:
    """The frozen network, and what a file holds of it."""
    frozen, parameters = with_drawn_state(freeze(net), net, seed), as_arrays(model_tensors(net))
    return (
        frozen,
        parameters | arrays_of(frozen, parameters),
        json.loads(json.dumps(describe(frozen))),
    )


def same(a: FrozenNetwork, b: FrozenNetwork) -> bool:
    """Whether two frozen networks agree in everything, and in their numbers to the bit."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return str(value.dtype), value.shape, value.tobytes()
        if is_dataclass(value):
            return type(value).__name__, {
                item.name: plain(getattr(value, item.name)) for item in fields(value)
            }
        if isinstance(value, (list, tuple)):
            return [plain(one) for one in value]
        return {key: plain(one) for key, one in value.items()} if isinstance(value, dict) else value

    return plain(a) == plain(b)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_restored_is_the_same_to_the_bit(kind: str) -> None:
    frozen, arrays, described = in_file(network(**KINDS[kind]))
    assert same(restore(arrays, described, "file"), frozen)


def test_the_initial_state_is_the_one_that_the_seed_draws() -> None:
    for kind in ("drawn", "delayed", "both directions"):
        net = network(**KINDS[kind])
        _, arrays, described = in_file(net)
        restored = restore(arrays, described, "file")
        drawn = net.initial_state(1, torch.Generator().manual_seed(7))
        for layer, state in zip(restored.layers, drawn, strict=True):
            ahead: Any = state if layer.backward is None else state[0]
            assert (layer.initial["s"] == ahead.s.numpy()[0]).all()
            for name, part in layer.initial_state(1).items():
                assert np.array_equal(part, getattr(ahead, name).numpy()), name
        assert not same(restored, freeze(net))


def test_states_in_few_bits_are_kept() -> None:
    net = network()
    kept = tuple(
        dict.fromkeys(layer.neuron.variables(), 4) for layer in layers_by_name(net).values()
    )
    StateFormat(8, kept).into(net)
    frozen, arrays, described = in_file(net)
    assert restore(arrays, described, "file").state_as == frozen.state_as == StateFormat(8, kept)
    for wrong in ("kept_bits.8.0.e", "kept_bits.8.2.u"):
        fewer = {name: array for name, array in arrays.items() if name != wrong}
        with pytest.raises(SrnnError, match="state format"):
            restore(fewer, described, "file")


def test_nothing_is_stored_twice() -> None:
    """Only a norm's layers have weights of their own; a network in double precision is stored as it
    is."""
    for options, own in (
        ({}, set()),
        (KINDS["normed"], {"frozen.layers.0.weight_in", "frozen.layers.0.bias"}),
    ):
        _, arrays, _ = in_file(network(**options))
        weights = {
            name
            for name in arrays
            if name.startswith("frozen.") and name.endswith(("weight_in", "weight_rec", "bias"))
        }
        assert weights == own
    double = network().double()
    parameters = as_arrays(model_tensors(double))
    single = freeze(network())
    assert not [name for name in arrays_of(single, parameters) if "weight" in name]


def without(name: str) -> Callable[[dict[str, Array], Any], object]:
    return lambda arrays, described: arrays.pop(name)


def instead(name: str, array: Any) -> Callable[[dict[str, Array], Any], object]:
    return lambda arrays, described: arrays.update({name: np.asarray(array)})


def said(key: str, value: Any, number: int | None = 0) -> Callable[[dict[str, Array], Any], object]:
    return lambda arrays, described: (
        described.update({key: value})
        if number is None
        else described["layers"][number].update({key: value})
    )


@pytest.mark.parametrize(
    "damage",
    [
        without("network.layers.0.weight_in"),
        without("frozen.layers.0.coefficients.alpha"),
        without("network.layers.0.params.tau_mem"),
        instead("network.layers.0.weight_in", np.zeros((0, 3), np.float32)),
        instead("network.layers.0.weight_in", np.zeros((4, 3), np.int64)),
        instead("network.layers.0.weight_rec", np.zeros((4, 5), np.float32)),
        instead("network.layers.0.bias", np.zeros(1, np.float32)),
        instead("network.layers.1.weight_in", np.zeros((5, 3), np.float32)),
        instead("frozen.layers.0.initial.u", np.zeros(9, np.float32)),
        instead("frozen.layers.0.coefficients.alpha", np.float32(1)),
        instead("network.layers.0.delay_in", np.array([0, -1, 2])),
        instead("network.layers.0.delay_in", np.array([0, 2**40, 2])),
        instead("network.layers.0.delay_rec", np.zeros(4, np.float32)),
        instead("network.layers.0.delay_rec", np.zeros(3, np.int64)),
        instead("frozen.threshold", np.zeros(2, np.float32)),
        said("neuron", "os.system"),
        said("neuron", "brf"),
        said("surrogate", None),
        said("output", "weights"),
        said("merge", "sum"),
        said("late", 1),
        said("bidirectional", True),
        said("substeps", 0, None),
        said("substeps", 1.5, None),
        said("layers", [], None),
        said("layers", {}, None),
        said("layers", None, None),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_the_file(
    damage: Callable[[Any, Any], object],
) -> None:
    """Compiled code reads these arrays without looking at their shapes again."""
    _, arrays, described = in_file(network(delays={"recurrent": 2, "input": 1}))
    assert restore(arrays, described, "m.safetensors")
    damage(arrays, described)
    with pytest.raises(SrnnError) as caught:
        restore(arrays, described, "m.safetensors")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
