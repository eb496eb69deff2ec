"""What exports and predictions refuse, by kind and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.data.encoders.level_crossing import LevelCrossing
from srnn.data.signals import CrossingPath
from srnn.deploy.c.names import check_name
from srnn.deploy.c.project import export_c
from srnn.deploy.export import onnx as to_onnx
from srnn.deploy.export.model import export
from srnn.deploy.parts import Shard, check_table
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import InputFormat
from srnn.nn.loss_config import DecisionRule, LossConfig
from srnn.nn.network import SRNN
from support.networks import make_net
from support.nir_graphs import (
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
from support.refusing import Refusal, refusals

nir = pytest.importorskip("nir")
pytest.importorskip("onnx")

from srnn.deploy.export import nir as exchange  # noqa: E402  (needs the extra)

CLASSES = ("a", "b", "c", "d")


def c(**options: Any) -> Any:
    """The call that exports a small network to C."""
    return lambda folder: export_c(make_net(), folder / "c", **options)


def nir_of(**options: Any) -> Any:
    return lambda: exchange.to_graph(make_net(), **options)


def read(nodes: dict[str, Any], edges: Any = CHAIN, *shape: Any) -> Any:
    """The call that reads a graph of these nodes."""
    return lambda: exchange.load(graph_of(nodes, edges, *shape), dt=1e-3)


def delayed(seconds: np.ndarray, edges: Any) -> Any:
    return read({"a": nir.Affine(W, B), "l": lif_node(), "d": nir.Delay(seconds)}, edges)


def rule(*names: str, start: int = 0) -> DecisionRule:
    return DecisionRule(LossConfig("nll", start=start), names or CLASSES)


BEFORE = [("in", "d"), ("d", "a"), ("a", "l"), ("l", "out")]
AFTER = [("in", "a"), ("a", "d"), ("d", "l"), ("l", "out")]
SENSOR = CrossingPath(LevelCrossing(), 2)
AFFINE = {"a": nir.Affine(W, B), "l": lif_node()}

REFUSALS = [
    # C
    Refusal("format", "value", c(format="int4")),
    Refusal("layout", "value", c(layout="arduin"), "arduino"),
    Refusal("inputs_as", "conflict", c(inputs_as=InputFormat())),
    Refusal("name", "value", c(name="2fast"), "identifiers"),
    Refusal("name", "value", c(name="while"), "keyword"),
    Refusal("name", "value", lambda: check_name("x" * 32), "at most 31"),
    Refusal("name", "value", lambda: check_name("math"), "header"),
    Refusal("name", "value", lambda: check_name(3), "at most 31"),  # type: ignore[arg-type]
    Refusal("decision", "missing", c(layout="web")),
    Refusal("decision", "missing", c(learn="readout")),
    Refusal("learn", "value", c(learn="all", decision=rule())),
    Refusal("learn", "unsupported", c(learn="e-prop", decision=rule()), "one hidden layer"),
    Refusal("loss.start", "unsupported", c(decision=rule(start=2**31))),
    Refusal("x" * 2000, "unsupported", c(decision=rule("a", "b", "c", "x" * 2000))),
    Refusal(
        "encoder",
        "conflict",
        lambda folder: export_c(
            device_network(SRNN.paper(4, [3], 2)), folder / "c", encoder=SENSOR
        ),
    ),
    # models
    Refusal("trained", "value", lambda folder: export(1, folder)),  # type: ignore
    # ONNX and NIR
    Refusal("form", "value", lambda: to_onnx.to_model(make_net(), "loop")),  # type: ignore[arg-type]
    *[Refusal("dt", "value", nir_of(dt=dt)) for dt in (0.0, float("nan"), True, 1e308, 1e-310)],
    *[Refusal("dt", "value", lambda d=dt: exchange.load(FILES / "norse.nir", dt=d)) for dt in (0, -1e-3)],
    Refusal("discretisation", "value", nir_of(discretisation="heun")),
    Refusal("scaling", "value", nir_of(scaling="two")),
    Refusal("{}/a.nir", "missing", lambda folder: exchange.load(folder / "a.nir")),
    Refusal("a", "data", read({"a": nir.Linear(np.ones((2, N, 5))), "l": lif_node()}), "3-dim"),
    Refusal("l", "data", read({"a": nir.Affine(W[:3], B[:3]), "l": lif_node()}), "do not fit"),
    Refusal("l", "data", read({"a": nir.Affine(W * np.nan, B), "l": lif_node()}), "not finite"),
    Refusal("l", "data", read(AFFINE, CHAIN, (6,)), "do not fit"),
    Refusal("d", "unsupported", delayed(np.ones(N) * 1e-3, AFTER), "fed by"),
    Refusal("d", "data", delayed(np.ones(5) * 1.5e-3, BEFORE), "fractions"),
    Refusal("d", "data", delayed(np.ones(3) * 1e-3, BEFORE), "each of the 5"),
    Refusal("the NIR graph", "unsupported", read({**AFFINE, "z": lif_node()}), "loose ends"),
    Refusal(
        "a",
        "unsupported",
        read({**AFFINE, "r": nir.Linear(REC)}, [*CHAIN, ("a", "r"), ("r", "a")]),
        "without a neuron",
    ),
    Refusal(
        "the NIR graph: 'l'",
        "data",
        read({"a": nir.Affine(W, B), "l": nir.LIF(TAU, R, LEAK, THRESHOLD * np.nan)}),
        "not finite",
    ),
    # tables of predictions
    Refusal("shard", "value", lambda: Shard.parse("3/2")),
    Refusal("out", "value", lambda: check_table(Path("a.txt"), [])),
    Refusal("out", "conflict", lambda folder: check_table(folder / "a.csv", [folder])),
]  # fmt: skip


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)
    assert not (tmp_path / "c").exists()
