"""NIR: files and graphs that are none of ours, damaged ones, and networks that NIR cannot say."""

from __future__ import annotations

import contextlib
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest

from srnn import LIF, SrnnError
from srnn.nn.baselines import ClassicalRNN
from support.networks import NEURONS, make_net
from support.refusing import Refusal, refusals, refuses

nir = pytest.importorskip("nir")

from srnn.deploy.export import nir as exchange  # noqa: E402  (needs the extra)
from support.nir_graphs import (  # noqa: E402
    CHAIN,
    FILES,
    LEAK,
    REC,
    TAU,
    THRESHOLD,
    B,
    N,
    R,
    W,
    graph_of,
    lif_node,
)

INTO = [("in", "d"), ("d", "a"), ("a", "l"), ("l", "out")]
SKIP = [("in", "a"), ("a", "l"), ("l", "m"), ("in", "k"), ("k", "m"), ("m", "out")]


def reading(nodes: dict[str, Any], edges: Any = CHAIN, *shape: Any) -> Any:
    """The call that reads a graph of these nodes."""
    return lambda: exchange.load(graph_of(nodes, edges, *shape), dt=1e-3)


def fed(node: Any = None, weights: Any = None, edges: Any = CHAIN, **more: Any) -> Any:
    """... of one matrix, a LIF node or another, and more."""
    first = nir.Affine(W, B) if weights is None else weights
    return reading({"a": first, "l": node or lif_node(), **more}, edges)


def cuba(**changes: Any) -> Any:
    values: dict[str, Any] = {"tau_syn": TAU, "tau_mem": TAU, "r": R, "v_leak": LEAK, "w_in": R}
    return fed(nir.CubaLIF(**{**values, "v_threshold": THRESHOLD, **changes}))


def late(seconds: np.ndarray, edges: Any = INTO) -> Any:
    return fed(edges=edges, d=nir.Delay(seconds))


def writing(net: Any, discretisation: Any = "euler") -> Any:
    return lambda: exchange.to_graph(net, discretisation=discretisation)


def saved(path: Path) -> None:
    exchange.save(exchange.to_graph(make_net())[0], path)


ONE_STEP = LIF(tau_mem=1.0, time_constants="unconstrained")  # type: ignore[arg-type]
FIVE = np.ones(5)
LOOP = [("in", "a"), ("a", "d"), ("d", "l"), ("l", "out")]
ALL, NODE, DELAY = "the NIR graph", "the NIR graph: 'l'", "the NIR graph: 'd'"
REFUSALS = [
    # neurons
    Refusal("dt", "value", cuba(tau_syn=TAU / 99), "too short"),
    Refusal("dt", "value", cuba(tau_mem=TAU / 99), "too short"),
    Refusal("dt", "value", fed(nir.LIF(TAU / 99, R, LEAK, R)), "too short"),
    Refusal("dt", "value", fed(nir.LI(-TAU, R, LEAK)), "too short"),
    Refusal(NODE, "data", cuba(w_in=R * np.nan)),
    Refusal(NODE, "data", fed(nir.LIF(TAU, R, LEAK, THRESHOLD * np.nan))),
    # delays
    Refusal("d", "unsupported", late(np.ones(N) * 1e-3, LOOP), "fed by"),
    Refusal(ALL, "unsupported", late(np.ones(N) * 1e-3, [*CHAIN[:2], ("l", "d"), ("d", "out")])),
    Refusal("d", "data", late(FIVE * 1.5e-3), "fractions"),
    Refusal("d", "data", late(FIVE * np.nan), "fractions"),
    Refusal(DELAY, "value", late(FIVE * -2e-3)),
    Refusal(DELAY, "value", late(FIVE * 1e9)),
    Refusal("d", "data", late(np.ones(3) * 1e-3), "each of the 5"),
    Refusal("l", "unsupported", late(FIVE * 1e-3, [*INTO, ("in", "a")]), "several delays"),
    # no chain
    Refusal("m", "unsupported", fed(edges=SKIP, k=nir.Linear(W), m=lif_node()), "only chains"),
    Refusal("m", "unsupported", fed(edges=[*CHAIN, ("a", "m"), ("m", "out")], m=lif_node())),
    Refusal(ALL, "unsupported", fed(z=lif_node()), "loose ends"),
    Refusal("a", "unsupported", fed(edges=[*CHAIN, ("a", "r"), ("r", "a")], r=nir.Linear(REC))),
    # weights
    Refusal("l", "data", fed(weights=nir.Affine(W[:3], B[:3])), "do not fit"),
    Refusal("l", "data", fed(weights=nir.Affine(W, B[:1])), "do not fit"),
    Refusal("l", "data", fed(edges=[*CHAIN, ("l", "r"), ("r", "l")], r=nir.Linear(REC[:, :3]))),
    Refusal("l", "data", reading({"a": nir.Affine(W, B), "l": lif_node()}, CHAIN, (6,))),
    Refusal("l", "data", fed(weights=nir.Affine(W * np.nan, B)), "not finite"),
    Refusal("a", "data", fed(weights=nir.Linear(np.ones((2, N, 5)))), "3-dimensional"),
    # networks of ours
    Refusal("bidirectional", "unsupported", writing(make_net(bidirectional=True))),
    Refusal("network", "unsupported", writing(ClassicalRNN(3, [4], 2, "lstm"))),
    Refusal("discretisation", "unsupported", writing(make_net(neuron=ONE_STEP), "exact")),
    *[
        Refusal("neuron", "unsupported", writing(make_net(neuron=NEURONS[name])), name)
        for name in ("silif", "csilif", "brf", "bhrf", "drf")
    ],
    Refusal("{}/none/net.nir", "file", lambda folder: saved(folder / "none" / "net.nir")),
]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)


def _without(key: str, value: Any = None) -> Any:
    def change(node: Any) -> None:
        del node[key]
        if value is not None:
            node[key] = value

    return change


def _edge_to_nowhere(node: Any) -> None:
    edges = node["edges"][()]
    edges[0][1] = b"nowhere"
    _without("edges", edges)(node)


def _single_node(node: Any) -> None:
    affine = {key: value[()] for key, value in node["nodes/0"].items()}
    node.clear()
    for key, value in affine.items():
        node[key] = value


CHANGES = [_without("nodes/1/type", "Sigmoid"), _without("nodes"), _edge_to_nowhere, _single_node]


def test_files_that_are_no_nir(tmp_path: Path) -> None:
    path, whole = tmp_path / "net.nir", (FILES / "norse.nir").read_bytes()
    nir.write(path, with_weights(W.astype(complex)))
    for content in (path.read_bytes(), b"", b"text", whole[:3000], whole[:-900]):
        path.write_bytes(content)
        with pytest.raises(SrnnError, match="cannot be read as a NIR graph"):
            exchange.load(path, dt=1e-3)
    for change in CHANGES:
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            change(file["node"])
        with pytest.raises(SrnnError, match="cannot be read as a NIR graph"):
            exchange.load(path)


def test_why_the_extension_is_no_node(tmp_path: Path) -> None:
    """No reader opens a file with an unknown node; all pass over metadata."""

    class AdaptiveLIF(nir.LIF):
        type: ClassVar[str] = "AdaptiveLIF"

        def to_dict(self) -> dict[str, Any]:
            return {**super().to_dict(), "type": "AdaptiveLIF"}

    path, ones = tmp_path / "net.nir", [np.ones(N)] * 5
    nir.write(path, graph_of({"l": AdaptiveLIF(*ones)}, [("in", "l"), ("l", "out")], (N,)))
    with pytest.raises(AssertionError):
        nir.read(path)
    node = nir.LIF(*ones, metadata={"srnn": "{}"})
    nir.write(path, graph_of({"l": node}, [("in", "l"), ("l", "out")], (N,)))
    assert nir.read(path).nodes["l"].metadata == {"srnn": "{}"}  # type: ignore[union-attr]


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    """Whatever was overwritten: a network (of other numbers), or a SrnnError."""
    path, rng = tmp_path / "net.nir", np.random.default_rng(4)
    whole = (FILES / "norse.nir").read_bytes()
    for hits in (1, 1, 5, 50) * 10:
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, len(whole), hits)] = rng.integers(0, 256, hits)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(SrnnError):
            exchange.load(path, dt=1e-6)


def with_weights(values: Any, key: str = "weight") -> Any:
    graph = graph_of({"a": nir.Affine(W, B), "l": lif_node()}, CHAIN)
    setattr(graph.nodes["a" if key in ("weight", "bias") else "l"], key, values)
    return graph


ODD = {"complex": np.ones(N, complex), "text": np.array(["a"] * N), "objects": np.array([None] * N)}


@pytest.mark.parametrize("key", ["weight", "bias", "tau", "r", "v_leak", "v_threshold"])
@pytest.mark.parametrize("kind", ODD)
def test_what_is_not_real_numbers_is_refused(key: str, kind: str) -> None:
    values = W * ODD[kind][:, None] if (key, kind) == ("weight", "complex") else ODD[kind]
    with pytest.raises(SrnnError, match=f"'{key}' of the node .* is not made of real numbers"):
        exchange.load(with_weights(values, key), dt=1e-3)


def test_weights_in_other_files_are_not_read(tmp_path: Path) -> None:
    path, other = tmp_path / "net.nir", tmp_path / "other.nir"
    for name in (path, other):
        nir.write(name, with_weights(W))
    with h5py.File(path, "r+") as file:
        del file["node/nodes/a/weight"]
        file["node/nodes/a/weight"] = h5py.ExternalLink("other.nir", "node/nodes/a/weight")
    with pytest.raises(SrnnError, match="link to another place or file"):
        exchange.load(path, dt=1e-3)


def test_graphs_whose_ways_are_without_number_end() -> None:
    """Sixty times two ways from one scale to the next: 2**60 ways, and one matrix."""
    ones = nir.Scale(np.full(N, 0.5))
    nodes: dict[str, Any] = {"a": nir.Affine(W, B), "l": lif_node(), "s0": nir.Scale(np.ones(N))}
    edges = [("in", "a"), ("a", "s0"), ("s60", "l"), ("l", "out")]
    for step in range(60):
        nodes[f"s{step + 1}"] = ones
        for way in (f"b{step}", f"c{step}"):
            nodes[way] = nir.Scale(np.ones(N))
            edges += [(f"s{step}", way), (way, f"s{step + 1}")]
    found = exchange.load(graph_of(nodes, edges), dt=1e-3)
    assert np.allclose(found.network.readout.weight_in.detach().numpy(), W, atol=1e-6)


def test_small_graphs_of_large_matrices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srnn.deploy.export.nir_wiring._ENTRIES", 10_000)
    ones = np.ones(101)
    large = nir.LIF(ones, ones, ones, ones, ones)
    column, row = nir.Linear(np.ones((101, 1))), nir.Linear(np.ones((1, 101)))
    chain = [("in", "a"), ("a", "b"), ("b", "l"), ("l", "out")]
    many = {f"l{i}": nir.LIF(*[np.ones(30)] * 5) for i in range(12)}
    for nodes, edges, shape in (
        ({"l": large}, [("in", "l"), ("l", "out")], (101,)),
        ({"a": nir.Scale(ones), "b": nir.Linear(np.eye(101)), "l": large}, chain, (101,)),
        ({"a": row, "b": column, "l": large}, chain, (101,)),
        (many, list(pairwise(["in", *many, "out"])), (30,)),  # none too large, but all
    ):
        with pytest.raises(SrnnError, match="too large: 10,000 numbers at most"):
            exchange.load(graph_of(nodes, edges, shape), dt=1e-3)


def test_an_extension_that_no_longer_fits(tmp_path: Path) -> None:
    graph, _ = exchange.to_graph(make_net(neuron=NEURONS["alif"]), dt=1e-3)
    node: Any = graph.nodes["layer0.neuron"]
    with pytest.raises(SrnnError, match="dt has"):
        exchange.load(graph, dt=2e-3)
    node.tau = node.tau * 1.001
    with pytest.raises(SrnnError, match="has been changed"):
        exchange.load(graph)
    plain: Any = exchange.load(graph, extension=False, dt=1e-3).network.layers[0]
    assert plain.neuron.name == "lif"
    for metadata in (
        {"srnn": "{"}, {"srnn": "[]"}, {"srnn": json.dumps({"neuron": {"name": "alif", "colour": 1}, "output": "emission"})},
        {**node.metadata, "srnn_parameters": {}}, {**node.metadata, "srnn_parameters": {"tau_mem": np.ones(3)}},
        {**node.metadata, "srnn_parameters": {**node.metadata["srnn_parameters"], "beta": np.full(7, np.nan)}},
    ):  # fmt: skip
        node.metadata = metadata
        with pytest.raises(SrnnError, match="import without it"):
            exchange.load(graph)
    entries = json.loads(graph.metadata["srnn"])
    for change in ({"format": 99}, {"class_names": "ab"}, {"about": []}):
        graph.metadata["srnn"] = json.dumps(entries | change)
        with pytest.raises(SrnnError, match=r"entries of srnn .* cannot be read"):
            exchange.load(graph)


def test_an_integrators_extension_on_a_node_that_spikes_is_refused() -> None:
    graph, _ = exchange.to_graph(make_net(readout="integrator"))
    li: Any = graph.nodes["readout.neuron"]
    ones = np.ones_like(li.tau)
    spiking = nir.LIF(li.tau, li.r, li.v_leak, ones, 0 * ones, metadata=li.metadata)
    graph.nodes["readout.neuron"] = spiking
    with pytest.raises(SrnnError, match="is not what its extension says"):
        exchange.load(graph)


@pytest.mark.parametrize(
    "error", (MemoryError(), ValueError("I/O operation on closed file."), OSError("no space"))
)
def test_a_library_that_cannot_write_leaves_what_was_there(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    path = tmp_path / "net.nir"
    for _ in range(2):
        saved(path)
    before = path.read_bytes()
    monkeypatch.setattr("nir.write", fail)
    with refuses(path, "file"):
        saved(path)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "nir", None)
    for call in (lambda: exchange.to_graph(make_net()), lambda: exchange.load(tmp_path)):
        with pytest.raises(SrnnError, match=r"srnn\[nir\]"):
            call()
