"""What an export to C refuses, by kind and field; it leaves no folder behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, from_network
from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.speech import Statistics
from srnn.data.signals import CrossingPath, ScaledPath, Steps
from srnn.deploy.c import export_c
from srnn.nn.fixedpoint.integer import InputFormat
from srnn.nn.loss_config import DecisionRule, LossConfig
from srnn.nn.state_format import StateFormat
from support.exporting import network
from support.refusing import Refusal, refusals, refuses
from support.rules import LEAKY, NEURONS

CROSSING = LevelCrossing()
SENSOR = ScaledPath(3, 50.0, Statistics(np.zeros(3, np.float32), np.ones(3, np.float32)))
FAR = StateFormat(8, ({"u": -9, "e": -9}, {"u": -9}))
ANALOG = InputFormat(4.0, whole=False)


def broken() -> SRNN:
    net = network()
    with torch.no_grad():
        net.layers[0].bias[2] = float("nan")
    return net


def c(net: Any, *format: Any, **options: Any) -> Any:
    """The call that exports a network to C."""
    return lambda folder: export_c(net, folder / "c", "net", *format, **options)


def crossed(std: tuple[float, ...] | None = None, **options: Any) -> CrossingPath:
    path = CrossingPath(CROSSING, 2, **options)
    return path if std is None else path.with_std(std)


def counted(*counts: float, path: Any = SENSOR, format: Any = "int8") -> Any:
    more = {"inputs_as": ANALOG} if path is SENSOR and format == "int8" else {}
    return c(SRNN(3, [4], 3), format, encoder=path, counts=counts, **more)


def learning(
    learn: Any,
    loss: Any = "nll",
    format: Any = "c",
    hidden: Any = (7,),
    readout: Any = LEAKY,
    **options: Any,
) -> Any:
    net = SRNN.paper(4, list(hidden), 3, neuron=NEURONS["alif"], readout=readout, **options)
    own = from_network(net, ("a", "b", "c"), loss=loss)
    more = {"inputs_as": InputFormat()} if format == "int8" else {}
    return lambda folder: own.export(folder / "c", format, learn=learn, **more)


NET = SRNN.paper(4, [3], 2)
NAMES = (
    "", "a-b", "1a", "_a", "a b", "a\n", "a;", "é", "a/b", "../a", "a" * 32, 'a"b', "a\0b", "a*/b", "int", "while",
    "main", "Main", "Makefile", "count", "checked", "clean", "stdint", "Aux", "com1",
)  # fmt: skip
REFUSALS = [
    Refusal("bidirectional", "unsupported", c(network(bidirectional=True))),
    Refusal("substeps", "unsupported", c(network(substeps=2))),
    Refusal("not finite", "unsupported", c(broken())),
    Refusal("analog", "unsupported", c(network("relu"), "int8")),
    Refusal("network", "unsupported", c(torch.nn.Linear(2, 2))),
    Refusal("classes", "conflict", c(NET, decision=DecisionRule(LossConfig(), ("a", "b", "c")))),
    *[
        Refusal("name", "value", lambda folder, name=name: export_c(NET, folder / "c", name))
        for name in NAMES
    ],
    # encoders
    Refusal("encoder", "conflict", c(network(), encoder=crossed())),
    Refusal("smoothing", "unsupported", c(NET, "int8", encoder=crossed(smoothing=21))),
    Refusal("smoothing", "value", lambda: crossed(smoothing=6)),
    Refusal("std", "value", lambda: crossed((1.0,), smoothing=7)),
    Refusal("std", "value", lambda: crossed((1.0, 0.0), smoothing=7)),
    # counts of a sensor
    Refusal("counts", "value", counted(1e9), "too many: channel 0"),
    Refusal("counts", "value", counted(1000.0, 16.0, 1e-7), "too few for channel 2"),
    Refusal("counts", "value", counted(1.0, 2.0)),
    Refusal("counts", "value", counted(-1.0)),
    Refusal("counts", "value", counted(float("inf"))),
    Refusal("counts", "conflict", counted(1.0, format="float32")),
    Refusal("counts", "conflict", counted(1.0, path=Steps(3))),
    Refusal("counts", "conflict", counted(1.0, path=None)),
    # learning
    Refusal("learn", "unsupported", learning("e-prop", hidden=(6, 5)), "one hidden layer"),
    Refusal("learn", "conflict", learning("readout", format="int8")),
    Refusal("learn", "unsupported", learning("readout", delays={"recurrent": 3}), "delays"),
    Refusal("learn", "unsupported", learning("e-prop", "ce_spike_count", readout="spike_count")),
    Refusal("learn", "unsupported", learning("e-prop", "ce_mean", readout={"neuron": "liquid"})),
    # where int8 keeps states
    *[
        Refusal("u", "value", lambda bits=bits: StateFormat(8, ({"u": bits, "e": 0},)))
        for bits in (-65, 65, 10**6, -(10**6), 10**30)
    ],
    Refusal("network", "unsupported", c(NET, "int8", state_as=FAR), "33 bits"),
]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", ["plain", "arduino"])
def test_only_an_earlier_export_is_written_over_where_that_is_asked_for(
    layout: Any, tmp_path: Path
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    export_c(network(seed=1), out, layout=layout)
    (out / "network").write_text("built")
    with refuses(out, "exists"):
        export_c(network(seed=2), out, layout=layout)
    export_c(network(seed=2), out, layout=layout, overwrite=True)
    export_c(network(seed=2), fresh, layout=layout)
    files = [path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()]
    assert all((out / file).read_bytes() == (fresh / file).read_bytes() for file in files)
    assert (out / "network").read_text() == "built"

    mine = tmp_path / "mine" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("kept")
    for overwrite in (False, True):
        with refuses(mine.parent, "exists"):
            export_c(network(), mine.parent, layout=layout, overwrite=overwrite)
    assert [*mine.parent.iterdir()] == [mine] and mine.read_text() == "kept"
