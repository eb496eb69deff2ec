"""What networks, neurons, losses and their settings are refused for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from srnn import SRNN, AdLIF, CubaLIF, Init
from srnn.nn.arithmetic import unit_step
from srnn.nn.baselines import ClassicalRNN
from srnn.nn.decision import Rule
from srnn.nn.delay_buffer import depth_of
from srnn.nn.delays import LONGEST
from srnn.nn.emissions import Emission
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.fixed import FixedArray, possible_shift
from srnn.nn.fixedpoint.integer import InputFormat, measure_states
from srnn.nn.loss_config import LossConfig, RateConfig
from srnn.nn.losses import Loss
from srnn.nn.network.dropout import Dropout
from srnn.nn.network.encoding import LearnedTernary
from srnn.nn.network.layer import Layer
from srnn.nn.neurons import as_neuron
from srnn.nn.state_format import StateFormat
from srnn.nn.surrogates import as_surrogate
from support.refusing import Refusal, refusals

X = torch.zeros(2, 5, 3)


def paper(hidden: Any = (4,), inputs: Any = 3, **options: Any) -> SRNN:
    return SRNN.paper(inputs, hidden, 2, **options)


def delayed(delays: Any, **options: Any) -> Layer:
    return Layer(3, 4, "lif", delays=delays, **options)


def classical(cell: Any = "lstm", hidden: Any = (6, 5), **options: Any) -> ClassicalRNN:
    return ClassicalRNN(3, hidden, 4, cell, **options)


def run(*given: Any, **options: Any) -> Callable[[], object]:
    """The network called with these."""
    return lambda: paper()(*given, **options)


def packed() -> Any:
    return pack_padded_sequence(X, torch.tensor([5, 3]), batch_first=True)


def fixed(bits: int) -> FixedArray:
    return FixedArray(np.ones(1, np.int64), bits, 30, [0])


def neuron(field: str, **settings: Any) -> Refusal:
    return Refusal(field, "value", lambda: as_neuron({"name": "alif", **settings}))


def norm(field: str, spec: Any) -> Refusal:
    kind = "name" if spec == "layer" else "value"
    return Refusal(field, kind, lambda: SRNN(3, [4, 4], 2, norm=spec, neuron="alif"))


def slayer(slope: Any) -> Refusal:
    return Refusal("slope", "value", lambda: as_surrogate({"name": "slayer", "slope": slope}))


NEURONS: list[Refusal] = [
    *(
        Refusal("distribution", "value", lambda text=text: Init.parse(text))
        for text in (
            "normal(20)",
            "gauss(1, 2)",
            "normal(a, b)",
            "normal(1, -2)",
            "uniform(3, 2)",
            "loguniform(3, 2)",
            "loguniform(0, 2)",
            "20 ms",
            "normal(20, 5) ms",
            None,
            True,
            [],
            float("nan"),
            10**400,
        )
    ),
    Refusal("distribution", "value", lambda: Init("unifrom", 5.0)),  # type: ignore[arg-type]
    Refusal("a", "value", lambda: Init("constant", "5")),  # type: ignore[arg-type]
    Refusal("a", "value", lambda: Init("normal", None)),  # type: ignore[arg-type]
    Refusal("b", "value", lambda: Init("normal", 1.0, float("inf"))),
    neuron("tau_mem", tau_mem="fast"),
    neuron("tau_mem", tau_mem="normal(1, -2)"),
    neuron("trained", trained="tau_mem"),
    neuron("trained", trained=None),
    neuron("initial", initial=["u"]),
    neuron("initial", initial=(("u",),)),
    neuron("initial", initial=("u", "s")),
    neuron("initial.u", initial={"u": "u"}),
    neuron("initial.u", initial={"u": "soon"}),
    neuron("time_constants", time_constants="exp"),
    neuron("detach_reset", detach_reset=1),
    neuron("detach_reset", detach_reset="yes"),
    Refusal("trained", "name", lambda: as_neuron({"name": "alif", "trained": ["tau"]}), "tau_"),
    Refusal("initial.w", "name", lambda: as_neuron({"name": "alif", "initial": {"w": 0}})),
    Refusal("discretisation", "value", lambda: AdLIF(discretisation="implicit")),  # type: ignore[arg-type]
    Refusal("reset_kind", "value", lambda: CubaLIF(reset_kind="zero")),  # type: ignore[arg-type]
    Refusal("reset_step", "value", lambda: CubaLIF(reset_step="late")),  # type: ignore[arg-type]
    Refusal("synapse_step", "value", lambda: CubaLIF(synapse_step=True)),  # type: ignore[arg-type]
    slayer(0),
    slayer("steep"),
    slayer(np.float32(3)),  # which no file could hold
    slayer(float("inf")),
    slayer(float("nan")),
    slayer(10**400),
    Refusal("shifted", "value", lambda: Emission("shifted", lambda v: unit_step(v - 1.0))),
    Refusal("constant", "value", lambda: Emission("constant", lambda v: 1.0)),
    Refusal("bool", "value", lambda: Emission("branches", lambda v: v if v > 0 else 0.0)),
    Refusal("joined", "value", lambda: Rule("nothing", joined=lambda total, y: total)),
    Refusal("counted", "value", lambda: Rule("nothing", counted=lambda x: 1.0)),
    Refusal("bool", "value", lambda: Rule("a choice", counted=lambda x: x if x > 0 else 0.0)),
    Refusal("sqrt", "value", lambda: Rule("a root", counted=lambda x: np.sqrt(x))),
]

LAYERS: list[Refusal] = [
    Refusal("size", "value", lambda: Layer(3, 2.5)),  # type: ignore[arg-type]
    Refusal("norm", "value", lambda: Layer(3, 4, norm=5)),  # type: ignore[arg-type]
    Refusal("output", "value", lambda: Layer(3, 4, output="spikes")),  # type: ignore[arg-type]
    Refusal("delays.input", "value", lambda: delayed({"input": "often"})),
    Refusal("delays", "value", lambda: delayed({"input": LONGEST + 1})),
    Refusal("delays", "value", lambda: delayed(7)),
    Refusal("delays.learned", "unsupported", lambda: delayed({"recurrent": 3, "learned": True})),
    Refusal("delays.recurrent", "conflict", lambda: delayed({"recurrent": 3}, recurrent=False)),
    Refusal("delays", "value", lambda: depth_of(torch.tensor([3, -1]))),
    Refusal("delays", "value", lambda: depth_of(torch.tensor([3, LONGEST + 1]))),
    Refusal("state", "data", lambda: delayed({"recurrent": 3})(X, [torch.zeros(1, 8)] * 2)),
    norm("norm", "layer"),
    norm("norm", [3, 3]),
    norm("network.norm.gamma", {"gamma": 0}),
    norm("network.norm.gamma", {"gamma": 10**400}),
    norm("network.norm.gamma", {"gamma": "3"}),
    norm("network.norm.momentum", {"momentum": 1.5}),
    norm("network.norm.detach", {"detach": 1}),
    Refusal("norm", "conflict", lambda: SRNN(3, [4, 4], 2, norm=["batch"], neuron="alif")),
    Refusal("encoder", "name", lambda: paper(encoder="ternary")),
    Refusal("encoder", "name", lambda: paper(encoder={"threshold": 0.1})),
    Refusal("encoder", "value", lambda: paper(encoder=3)),
    Refusal("encoder", "conflict", lambda: paper(encoder=LearnedTernary(5))),
    Refusal("threshold", "value", lambda: LearnedTernary(threshold=0)),
    Refusal("threshold", "value", lambda: LearnedTernary(threshold="low")),  # type: ignore[arg-type]
    Refusal("channels", "value", lambda: LearnedTernary(0)),
    Refusal(
        "per_channel",
        "value",
        lambda: paper(encoder={"name": "learned_ternary", "per_channel": 3}),
    ),
    Refusal("p", "value", lambda: Dropout.draw([5], 3, 1.0, torch.Generator())),
    Refusal("p", "value", lambda: Dropout.draw([5], 3, -0.1, torch.Generator())),
]

NETWORKS: list[Refusal] = [
    Refusal("hidden", "value", lambda: paper([0])),
    Refusal("hidden", "value", lambda: paper([4.0])),
    Refusal("hidden", "value", lambda: paper(4.0)),
    Refusal("inputs", "value", lambda: paper(inputs="3")),
    Refusal("substeps", "value", lambda: paper(substeps=0)),
    Refusal("substeps", "value", lambda: paper(substeps=1.5)),
    Refusal("recurrent", "value", lambda: paper(recurrent=None)),
    Refusal("recurrent", "value", lambda: paper(recurrent=["no"])),
    Refusal("bias", "value", lambda: paper(bias=["no"])),
    Refusal("recompute", "value", lambda: paper(recompute="no")),
    Refusal("bidirectional", "value", lambda: paper(bidirectional="yes")),
    Refusal("late", "value", lambda: paper(late="no")),
    Refusal("merge", "value", lambda: paper(merge="sum")),
    Refusal("gain_in", "value", lambda: paper(gain_in=float("nan"))),
    Refusal("gain_in", "value", lambda: paper(gain_in="2")),
    Refusal("init_rec", "value", lambda: paper(init_rec="orthogonl")),
    Refusal("init_in", "value", lambda: paper(init_in="xaver")),
    Refusal("delays", "value", lambda: paper(delays=3)),
    Refusal("delays", "conflict", lambda: paper([4, 4], delays=[{}])),
    Refusal("neuron", "conflict", lambda: SRNN(3, [4, 4], 2, neuron=["alif"], norm="none")),
    Refusal("norm", "value", lambda: SRNN(3, 4, 2, norm=5, neuron="alif")),  # type: ignore[arg-type]
    Refusal("readout", "name", lambda: paper(readout="integrater"), "Did you mean 'integrator'"),
    Refusal("readout", "name", lambda: paper(readout="lif"), "{neuron: lif}"),
    Refusal("readout", "name", lambda: paper(readout={"name": ["alif"]})),
    Refusal("readout", "value", lambda: paper(readout=3)),
    Refusal("tau_men", "name", lambda: paper().layers[0].params.set_values(tau_men=torch.ones(4))),
    Refusal("tau_mem", "data", lambda: paper().layers[0].params.set_values(tau_mem=5.0)),
    Refusal("cell", "value", lambda: classical("lstn")),
    Refusal("cell", "value", lambda: classical(["lstm"])),
    Refusal("hidden", "value", lambda: classical(hidden=[])),
    Refusal("hidden", "value", lambda: classical(hidden=[0])),
    Refusal("hidden", "value", lambda: classical(hidden=[2.5])),
    Refusal("hidden", "value", lambda: classical(hidden=2.5)),
    Refusal("bidirectional", "value", lambda: classical(bidirectional="yes")),
    Refusal("recurrent", "conflict", lambda: classical(recurrent=[True])),
    Refusal("recurrent", "value", lambda: classical(recurrent=["no", "no"])),
    Refusal("norm", "value", lambda: classical(norm="batch")),
]

INPUTS: list[Refusal] = [
    Refusal("x", "data", run(X.double()), "convert"),
    Refusal("x", "data", run(X.half()), "convert"),
    Refusal("x", "data", run(X[0].double()), "convert"),
    Refusal(
        "x", "data", lambda: paper()(packed()._replace(data=packed().data.double())), "convert"
    ),
    Refusal("x", "data", run(X.to(torch.complex64))),
    Refusal("x", "data", run(X.numpy().astype(object))),
    Refusal("x", "data", run(X.numpy().astype(str))),
    Refusal("x", "value", run(X.tolist())),
    Refusal("x", "value", run(None)),
    Refusal("x", "data", run(X[0, 0])),
    Refusal("x", "data", run(torch.zeros(9, 4))),
    Refusal("x", "data", run(torch.zeros(2, 9, 4))),
    Refusal("x", "data", lambda: paper().run(X[0])),
    Refusal("lengths", "conflict", run(X[0], None, torch.tensor([5]))),
    Refusal("lengths", "conflict", lambda: paper()(packed(), None, torch.tensor([5, 3]))),
    Refusal("lengths", "data", run(X, lengths=torch.tensor([6, 1]))),
    Refusal("lengths", "data", run(X, lengths=torch.tensor([-1, 1]))),
    Refusal("lengths", "data", run(X, lengths=torch.tensor([1.0, 2.0]))),
    Refusal("lengths", "data", run(X, lengths=np.array([1.0, 2.0]))),
    Refusal("lengths", "data", run(X, lengths=torch.tensor([1]))),
    Refusal("lengths", "data", run(X, lengths=[[1], [1, 2]])),
    Refusal("state", "value", run(X, 3)),
    Refusal("state", "data", lambda: paper()(X, paper()(X)[1][:1])),
    Refusal("state", "data", lambda: paper()(X[0], paper()(X)[1])),
    Refusal("state", "data", lambda: paper()(torch.zeros(3, 5, 3), paper()(X)[1])),
    Refusal("state", "data", lambda: paper()(X, paper().double()(X.double())[1])),
    Refusal("record", "unsupported", lambda: classical().run(X, record=("u",))),
    Refusal("state", "data", lambda: classical().run(X, ((), (), ()))),
    Refusal("state", "data", lambda: classical().run(X, classical(hidden=[6]).run(X).state)),
    Refusal("lengths", "data", lambda: classical().run(X, lengths=torch.tensor([6, 1]))),
    Refusal("x", "data", lambda: classical().run(X.double())),
]

LOSSES: list[Refusal] = [
    Refusal("loss.name", "conflict", lambda: Loss(LossConfig("ce_mean"), per_step=True), "nll"),
    Refusal("loss.name", "conflict", lambda: Loss(LossConfig("nll"), per_step=False), "ce_"),
    Refusal("loss.name", "value", lambda: Loss("cross_entropy")),  # type: ignore[arg-type]
    Refusal("loss.unlabelled", "conflict", lambda: Loss(LossConfig("nll", unlabelled="as_class"))),
    Refusal("loss.rate", "missing", lambda: RateConfig(weight=1.0)),
]

INTEGERS: list[Refusal] = [
    Refusal("state_bits", "value", lambda: measure_states(device_network(paper()), X.numpy(), 12)),
    Refusal("kept", "missing", lambda: StateFormat(8)),
    Refusal("u", "value", lambda: StateFormat(8, [{"u": 65}])),
    Refusal("u", "value", lambda: StateFormat.of_ranges(8, [{"u": 2.0**32}])),
    *(
        Refusal(key, "file", lambda key=key, bits=bits: StateFormat.from_arrays({key: bits}))
        for key, bits in (
            ("kept_bits.8.0", torch.tensor(1)),
            ("kept_bits.eight.0.u", torch.tensor(1)),
            ("kept_bits.8.0.u", torch.tensor([1, 2])),
        )
    ),
    Refusal("state_bits", "value", lambda: StateFormat.from_arrays({"kept_bits.9.0.u": 1})),
    *(
        Refusal(
            "kept_bits",
            "file",
            lambda key=key: StateFormat.from_arrays({"kept_bits.8.0.u": 1, key: 1}),
        )
        for key in ("kept_bits.16.1.u", "kept_bits.8.2.u", "kept_bits.8.-1.u")
    ),
    *(
        Refusal(
            "state_bits", "conflict", lambda kept=kept: StateFormat(8, kept).into(paper([4, 4, 4]))
        )
        for kept in ([{"u": 1}], [{"u": 1, "w": 1}] * 3, [{"u": 1, "e": 1}] * 5)
    ),
    Refusal("step", "unsupported", lambda: fixed(10) + 0.1),
    Refusal("step", "unsupported", lambda: fixed(30) + 2.0),
    *(
        Refusal("step", "unsupported", lambda function=function: function(fixed(2)))
        for function in (abs, np.exp, lambda x: np.maximum(x, 0.0), lambda x: x > 0)
    ),
    Refusal("network", "unsupported", lambda: possible_shift(-63)),
    Refusal("network", "unsupported", lambda: possible_shift(33)),
    *(
        Refusal(
            "inputs_as.largest", "value", lambda largest=largest: InputFormat(largest, whole=False)
        )
        for largest in (0.0, -1.0, float("nan"), float("inf"), 2.0**15, "3", None)
    ),
]

REFUSALS = [*NEURONS, *LAYERS, *NETWORKS, *INPUTS, *LOSSES, *INTEGERS]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)
