"""NIR: files and graphs that are none of ours, damaged ones, and networks that NIR cannot say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from srnn import LIF, SrnnError
from srnn.nn.baselines import ClassicalRNN
from support.networks import NEURONS, make_net

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


def _cuba(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "tau_syn": TAU,
        "tau_mem": TAU,
        "r": R,
        "v_leak": LEAK,
        "v_threshold": THRESHOLD,
        "w_in": R,
    }
    return graph_of({"a": nir.Affine(W, B), "l": nir.CubaLIF(**(values | changes))}, CHAIN)


INTO = [("in", "d"), ("d", "a"), ("a", "l"), ("l", "out")]


def late(seconds: np.ndarray, edges: list[tuple[str, str]]) -> Any:
    return graph_of({"a": nir.Affine(W, B), "l": lif_node(), "d": nir.Delay(seconds)}, edges)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a synapse too fast": (lambda: _cuba(tau_syn=TAU / 99), "'l' has a tau of .* s, too short"),
    "a membrane too fast": (lambda: _cuba(tau_mem=TAU / 99), "'l' has a tau of .* s, too short"),
    "NaN into a synapse": (lambda: _cuba(w_in=R * np.nan), "'l' has parameters that are not "
                                                           "finite"),
    "a delay behind weights": (
        lambda: late(np.ones(N) * 1e-3, [("in", "a"), ("a", "d"), ("d", "l"), ("l", "out")]), "'d' is fed by .'a'.; it must be",
    ),
    "a delay of weights' results": (
        lambda: late(np.ones(N) * 1e-3, [*CHAIN[:2], ("l", "d"), ("d", "out")]), "delays what goes "
                                                                                 "into its last "
                                                                                 "layer",
    ),
    "delays of parts of a step": (lambda: late(np.ones(5) * 1.5e-3, INTO), "'d' delays by "
                                                                           "fractions of a step of "
                                                                           "0.001 s"),
    "delays that are no numbers": (lambda: late(np.ones(5) * np.nan, INTO), "'d' delays by "
                                                                            "fractions of a step"),
    "delays into the past": (lambda: late(np.ones(5) * -2e-3, INTO), "a delay is from 0 to 4,095 "
                                                                     "steps"),
    "delays without end": (lambda: late(np.ones(5) * 1e9, INTO), "a delay is from 0 to 4,095 "
                                                                 "steps"),
    "delays of others": (lambda: late(np.ones(3) * 1e-3, INTO), "'d' does not have a delay for "
                                                                "each of the 5"),
    "two delays of one neuron": (
        lambda: late(np.ones(5) * 1e-3, [*INTO, ("in", "a")]), "'l' is fed by 'in' with several "
                                                               "delays",
    ),
    "a skip connection": (
        lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node(), "k": nir.Linear(W), "m": lif_node()},
                         [("in", "a"), ("a", "l"), ("l", "m"), ("in", "k"), ("k", "m"), ("m", "out")]),
        "only chains",
    ),
    "a branch": (
        lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node(), "m": lif_node()}, [*CHAIN, ("a", "m"), ("m", "out")]),
        "only chains",
    ),
    "a loose end": (lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node(), "z": lif_node()}, CHAIN), "loose ends"),
    "a loop without a neuron": (
        lambda: graph_of({"a": nir.Affine(W, B), "r": nir.Linear(REC), "l": lif_node()}, [*CHAIN, ("a", "r"), ("r", "a")]),
        "form a loop without a neuron",
    ),
    "weights that do not fit": (
        lambda: graph_of({"a": nir.Affine(W[:3], B[:3]), "l": lif_node()}, CHAIN), "do not fit",
    ),
    "one bias for all": (lambda: graph_of({"a": nir.Affine(W, B[:1]), "l": lif_node()}, CHAIN), "bias into 'l' do not fit"),
    "recurrent weights that do not fit": (
        lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node(), "r": nir.Linear(REC[:, :3])},
                         [*CHAIN, ("l", "r"), ("r", "l")]),
        "weights or bias into 'l' do not fit",
    ),
    "another input": (lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node()}, CHAIN, (6,)), "do not fit"),
    "NaN": (lambda: graph_of({"a": nir.Affine(W * np.nan, B), "l": lif_node()}, CHAIN), "not finite"),
    "a NaN threshold": (
        lambda: graph_of({"a": nir.Affine(W, B), "l": nir.LIF(TAU, R, LEAK, THRESHOLD * np.nan)}, CHAIN), "not finite",
    ),
    "too fast": (lambda: graph_of({"a": nir.Affine(W, B), "l": nir.LIF(TAU / 99, R, LEAK, R)}, CHAIN), "too short"),
    "negative tau": (lambda: graph_of({"a": nir.Affine(W, B), "l": nir.LI(-TAU, R, LEAK)}, CHAIN), "too short"),
    "weights of three axes": (
        lambda: graph_of({"a": nir.Linear(np.ones((2, N, 5))), "l": lif_node()}, CHAIN), "3-dimensional",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_graphs_that_are_no_chain_of_layers(what: str) -> None:
    make, hint = REFUSED[what]
    with pytest.raises(SrnnError, match=hint) as caught:
        exchange.load(make(), dt=1e-3)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_nir(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    with pytest.raises(SrnnError, match="no NIR file"):
        exchange.load(path)
    whole = (FILES / "norse.nir").read_bytes()
    for content in (b"", b"text", whole[:3000], whole[:-900]):
        path.write_bytes(content)
        with pytest.raises(SrnnError, match="cannot be read as a NIR graph"):
            exchange.load(path)
    for change in (_unknown_type, _no_nodes, _edge_to_nowhere, _single_node):
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            change(file["node"])
        with pytest.raises(SrnnError, match="cannot be read as a NIR graph"):
            exchange.load(path)


def test_why_the_extension_is_no_node(tmp_path: Path) -> None:
    """A node of a type that nir does not know makes a file that no reader opens; metadata is passed
    over by all."""
    from typing import ClassVar

    import nir

    class AdaptiveLIF(nir.LIF):
        type: ClassVar[str] = "AdaptiveLIF"

        def to_dict(self) -> dict[str, Any]:
            return {**super().to_dict(), "type": "AdaptiveLIF"}

    ones, path = np.ones(3), tmp_path / "net.nir"
    node = {
        "in": nir.Input({"input": np.array([3])}),
        "n": AdaptiveLIF(ones, ones, ones, ones, ones),
    }
    graph = nir.NIRGraph(
        {**node, "out": nir.Output({"output": np.array([3])})}, [("in", "n"), ("n", "out")]
    )
    nir.write(path, graph)
    with pytest.raises(AssertionError):
        nir.read(path)
    node["n"] = nir.LIF(ones, ones, ones, ones, ones, metadata={"srnn": "{}"})
    nir.write(
        path,
        nir.NIRGraph(
            {**node, "out": nir.Output({"output": np.array([3])})}, [("in", "n"), ("n", "out")]
        ),
    )
    assert nir.read(path).nodes["n"].metadata == {"srnn": "{}"}  # type: ignore[union-attr]


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    """Whatever was overwritten: a network (of other numbers), or a SrnnError."""
    path, whole, rng = (
        tmp_path / "net.nir",
        (FILES / "norse.nir").read_bytes(),
        np.random.default_rng(4),
    )
    for hits in (1, 1, 5, 50) * 10:
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, len(whole), hits)] = rng.integers(0, 256, hits)
        path.write_bytes(damaged.tobytes())
        try:
            exchange.load(path, dt=1e-6)
        except SrnnError as error:
            assert "\n" not in str(error)


def with_weights(values: Any, key: str = "weight") -> Any:
    graph = graph_of({"a": nir.Affine(W, B), "l": lif_node()}, CHAIN)
    setattr(graph.nodes["a" if key in ("weight", "bias") else "l"], key, values)
    return graph


@pytest.mark.parametrize("key", ["weight", "bias", "tau", "r", "v_leak", "v_threshold"])
@pytest.mark.parametrize(
    "values",
    [np.ones(N, complex), np.array(["a"] * N), np.array([None] * N)],
    ids=["complex", "text", "objects"],
)
def test_what_is_not_real_numbers_is_refused(key: str, values: Any, tmp_path: Path) -> None:
    graph = with_weights(
        W * values[:, None] if key == "weight" and values.dtype == complex else values, key
    )
    with pytest.raises(SrnnError, match=f"'{key}' of the node .* is not made of real numbers"):
        exchange.load(graph, dt=1e-3)


def test_complex_weights_in_a_file_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    nir.write(path, with_weights(W.astype(complex)))
    with pytest.raises(SrnnError, match=r"net\.nir cannot be read as a NIR graph .*complex128"):
        exchange.load(path, dt=1e-3)


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
        nodes |= {
            f"s{step + 1}": ones,
            f"b{step}": nir.Scale(np.ones(N)),
            f"c{step}": nir.Scale(np.ones(N)),
        }
        edges += [(f"s{step}", f"{way}{step}") for way in "bc"] + [
            (f"{way}{step}", f"s{step + 1}") for way in "bc"
        ]
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
        with pytest.raises(
            SrnnError, match="need matrices that are too large: 10,000 numbers at most"
        ):
            exchange.load(graph_of(nodes, edges, shape), dt=1e-3)


def _unknown_type(node: Any) -> None:
    del node["nodes/1/type"]
    node["nodes/1/type"] = "Sigmoid"


def _no_nodes(node: Any) -> None:
    del node["nodes"]


def _edge_to_nowhere(node: Any) -> None:
    edges = node["edges"][()]
    edges[0][1] = b"nowhere"
    del node["edges"]
    node["edges"] = edges


def _single_node(node: Any) -> None:
    affine = {key: value[()] for key, value in node["nodes/0"].items()}
    for key in list(node):
        del node[key]
    for key, value in affine.items():
        node[key] = value


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
    graph.nodes["readout.neuron"] = nir.LIF(
        li.tau, li.r, li.v_leak, ones, 0 * ones, metadata=li.metadata
    )
    with pytest.raises(SrnnError, match="is not what its extension says"):
        exchange.load(graph)


@pytest.mark.parametrize(
    ("net", "options", "hint"),
    [
        (
            lambda: make_net(bidirectional=True),
            {},
            r"^NIR cannot take this network: layers\.0 is bidirectional",
        ),
        (
            lambda: ClassicalRNN(3, [4], 2, "lstm"),
            {},
            r"^NIR needs a spiking network \(SRNN\), not a ClassicalRNN",
        ),
        (
            lambda: make_net(neuron=LIF(tau_mem=1.0, time_constants="unconstrained")),  # type: ignore[arg-type]
            {"discretisation": "exact"},
            "no tau in NIR",
        ),  # type: ignore[arg-type]
    ],
)
def test_networks_and_options_that_do_not_fit(
    net: Callable[[], Any], options: dict[str, Any], hint: str
) -> None:
    with pytest.raises(SrnnError, match=hint):
        exchange.to_graph(net(), **options)


def test_nothing_half_written(tmp_path: Path) -> None:
    graph, _ = exchange.to_graph(make_net())
    with pytest.raises(SrnnError, match="Cannot write"):
        exchange.save(graph, tmp_path / "none" / "net.nir")
    exchange.save(graph, tmp_path / "net.nir")
    exchange.save(graph, tmp_path / "net.nir")
    assert [path.name for path in tmp_path.iterdir()] == ["net.nir"]


@pytest.mark.parametrize(
    "error", (MemoryError(), ValueError("I/O operation on closed file."), OSError("no space"))
)
def test_a_library_that_cannot_write_is_one_line(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    graph, _ = exchange.to_graph(make_net())
    (tmp_path / "net.nir").write_bytes(b"old")
    monkeypatch.setattr("nir.write", fail)
    with pytest.raises(
        SrnnError,
        match=r"Cannot write .*net\.nir: (MemoryError|I/O operation on closed file|no space)\.$",
    ):
        exchange.save(graph, tmp_path / "net.nir")
    assert (tmp_path / "net.nir").read_bytes() == b"old"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "nir", None)
    for call in (lambda: exchange.to_graph(make_net()), lambda: exchange.load(tmp_path)):
        with pytest.raises(SrnnError, match=r"srnn\[nir\]"):
            call()
