"""Exported networks learn as the stream in Python does: to rounding in double precision, and in
float32 as it allows."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, Adaptation, Model, SrnnError, from_network
from srnn.cli.main import main
from srnn.deploy.c import export_c
from srnn.deploy.c.arrays import number
from srnn.deploy.c.plan import Plan, make_plan
from srnn.deploy.c.traces import emission_slope
from srnn.deploy.c.translate import FloatC
from srnn.nn.emissions import RELU
from srnn.nn.equations import Text
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import InputFormat
from srnn.nn.kernels import loops
from srnn.nn.loss_config import LossConfig
from srnn.nn.network import freeze
from srnn.nn.neurons import as_neuron
from support.compiled import COMPILERS, FLAGS, SANITIZED, build, compile_c
from support.rules import LEAKY, NEURONS

CLASSES = ("a", "b", "c")
PROGRAM = """\
/* A step for each line of input: its numbers, a label or -1, and whether to update after it. Then the parameters. */
#include "net.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    static net_state state;
    static net_parameters parameters;
    static net_traces traces;
    static net_input input[NET_INPUTS];
    static net_score scores[NET_OUTPUTS];
    struct { int label, update, begin; } told;
    double rate, bound;

    if (argc != 3 || sscanf(argv[1], "%lf", &rate) != 1 || sscanf(argv[2], "%lf", &bound) != 1)
        return 2;
    net_parameters_init(&parameters);
    while (fread(input, sizeof input, 1, stdin) == 1 && fread(&told, sizeof told, 1, stdin) == 1) {
        if (told.begin) {
            net_init(&state);
            net_traces_init(&traces);
            net_learn(&parameters, &traces, 0); /* of no step: ignored */
#ifdef LATE
            traces.position = UINT32_MAX;
            traces.learnt = MANY;
#endif
        }
        net_step(&state, &parameters, &traces, input, scores);
        net_learn(&parameters, &traces, told.label);
        if (told.update)
            net_update(&parameters, &traces, (net_score)rate, (net_score)bound);
        fwrite(scores, sizeof scores, 1, stdout);
    }
    fwrite(&parameters, sizeof parameters, 1, stdout);
    fwrite(&traces, sizeof traces, 1, stdout);
    return fflush(stdout) != 0;
}
"""
DOUBLE = ("-Dfloat=double", "-Dexpf=exp", "-Dfabsf=fabs", "-Dsqrtf=sqrt", "-DFLT_MAX=DBL_MAX")
"""The same text in double precision: what is left of a difference from Python is then not
rounding."""


def model(
    neuron: str,
    loss: Any,
    dtype: torch.dtype,
    readout: Any = LEAKY,
    hidden: Any = (7,),
    **options: Any,
) -> Model:
    """A network with recurrent weights, whose time constants stay."""
    net = SRNN.paper(
        4, list(hidden), 3, neuron=NEURONS[neuron] if isinstance(neuron, str) else neuron, readout=readout, recurrent=True,
        backend="reference", generator=torch.Generator().manual_seed(3), **options,
    )  # fmt: skip
    layers: list[Any] = [*net.layers, net.readout]
    for layer in layers:
        layer.params.requires_grad_(False)
    with torch.no_grad():
        layers[0].weight_in *= 2
        for layer in layers:
            layer.bias.copy_(
                0.2 * torch.randn(layer.bias.shape, generator=torch.Generator().manual_seed(1))
            )
    if isinstance(loss, str):
        return from_network(net.to(dtype), CLASSES, loss=loss)  # type: ignore[arg-type]
    own = from_network(net.to(dtype), CLASSES, loss=loss.name)
    return replace(own, recipe=replace(own.recipe, loss=loss))


def in_double(value: Any, ctype: str) -> str:
    """A literal, as ``number`` makes it, for the text in double precision."""
    return repr(float(value)) if ctype == "float" else str(int(value))


def learnt_in_c(
    folder: Path,
    own: Model,
    learn: str,
    x: np.ndarray,
    told: np.ndarray,
    config: Adaptation,
    *flags: str,
) -> tuple[Plan, np.ndarray, dict[str, np.ndarray]]:
    """The plan, the scores of each step, and the parameters in the end; from a program without
    allocation."""
    double = bool(flags) and flags[0] == DOUBLE[0]
    device = freeze(own.network, "C") if double else device_network(own.network)
    with pytest.MonkeyPatch.context() as patch:
        if double:
            patch.setattr(number, "__code__", in_double.__code__)
        export_c(device, folder, "net", decision=own.decision, learn=learn)  # type: ignore[arg-type]
        plan = make_plan(device, "net", own.decision, learn=learn)  # type: ignore[arg-type]
    (folder / "try.c").write_text(PROGRAM)
    source = (folder / "net.c").read_text()
    assert "alloc" not in source
    warned = (
        ("-std=c99", "-O2", "-ffp-contract=off") if double else FLAGS
    )  # the single build is the one that warns
    sources = [folder / "try.c", folder / "net.c"]
    compile_c([COMPILERS[0], *warned, *flags], sources, folder / "try")
    ctype = np.float64 if double else np.float32
    rows = np.empty(len(x), np.dtype([("x", ctype, 4), ("told", np.int32, 3)]))
    rows["x"], rows["told"] = x, told
    done = subprocess.run(
        [folder / "try", repr(config.lr), repr(config.bound)],
        input=rows.tobytes(),
        capture_output=True,
        check=True,
    )
    assert plan.learning is not None
    size = np.dtype(ctype).itemsize
    scores = np.frombuffer(done.stdout, ctype, 3 * len(x)).reshape(-1, 3)
    flat = np.frombuffer(done.stdout, ctype, plan.learning.parameters, scores.nbytes)
    if ctype == np.float32:  # the bytes that the header states
        assert len(done.stdout) == scores.nbytes + size * len(flat) + plan.learning.trace_bytes
    values, begin = {}, 0
    for layer in plan.learning.layers:
        for name, length in layer.tensors:
            part = flat[begin : begin + length]
            values[name] = part if name.endswith("bias") else part.reshape(-1, layer.size).T
            begin += length
    return plan, scores, values


def learnt_in_python(
    own: Model, x: np.ndarray, told: np.ndarray, config: Adaptation
) -> tuple[np.ndarray, dict[str, Any]]:
    """The same by a stream: the scores of each step, and the parameters in the end, under the names
    that they have in C."""
    session, pending, scores = own.stream(learn=config), list[int](), list[np.ndarray]()
    for row, (label, update, begin) in zip(x, told.tolist(), strict=True):
        if begin:
            session.reset()
            pending = []
        scores.append(session.push(row[None]).scores[0])
        pending.append(label)
        if update:
            session.learn(pending if own.recipe.loss.name == "nll" else label)
            pending = []
    network: Any = session.trained().network
    values = {"readout_from_below": network.readout.weight_in, "readout_bias": network.readout.bias}
    values |= {
        "layer0_from_input": network.layers[0].weight_in,
        "layer0_from_self": network.layers[0].weight_rec,
    }
    values["layer0_bias"] = network.layers[0].bias
    return np.stack(scores), {name: value.detach().numpy() for name, value in values.items()}


def stream(steps: bool) -> tuple[np.ndarray, np.ndarray]:
    """Spikes (T, 4), and (label, update, begin) of each step: three sequences, seven labels or
    updates."""
    rng = np.random.default_rng(5)
    x = (rng.random((90, 4)) < 0.4).astype(np.float64)
    told = np.full((90, 3), (-1, 0, 0), np.int32)
    ends = [9, 20, 29, 41, 59, 71, 89]
    told[ends, 0], told[ends, 1] = rng.integers(0, 3, 7), 1
    if steps:
        labelled = rng.random(90) < 0.6
        told[labelled, 0] = rng.integers(0, 3, labelled.sum())
    told[[0, 30, 60], 2] = 1
    return x, told


ALIF_READOUT = as_neuron({"name": "alif", "tau_mem": 5.0, "threshold": 0.1})
SPREAD = replace(LEAKY, tau_mem="uniform(2, 9)")
"""Each neuron with a time constant of its own, as training makes them."""
SLOW = partial(pytest.param, marks=pytest.mark.slow)
CASES = [
    ("alif", LossConfig("nll", start=3, label_smoothing=0.1), "e-prop", LEAKY, (7,)),
    ("adlif", LossConfig("ce_mean", start=3, label_smoothing=0.1), "e-prop", SPREAD, (7,)),
    ("lif", "ce_spike_count", "readout", "spike_count", (6, 5)),
    SLOW("lif", "ce_last", "e-prop", LEAKY, (7,)),
    SLOW("relu", "nll", "e-prop", LEAKY, (7,)),
    SLOW(
        as_neuron({"name": "brf", "dt": 0.1, "omega": "uniform(1, 6)", "threshold": 0.05}),
        "nll",
        "e-prop",
        LEAKY,
        (7,),
    ),
    SLOW("alif", "nll", "readout", ALIF_READOUT, (6, 5)),
    SLOW("lif", "ce_mean", "e-prop", ALIF_READOUT, (7,)),
]


@pytest.mark.skipif(not COMPILERS, reason="no C compiler (gcc, clang) on this machine")
@pytest.mark.parametrize(("neuron", "loss", "learn", "readout", "hidden"), CASES)
def test_c_learns_what_the_stream_learns(
    neuron: Any, loss: Any, learn: str, readout: Any, hidden: Any, tmp_path: Path
) -> None:
    name = getattr(loss, "name", loss)
    x, told = stream(name == "nll")
    train: Any = "all" if learn == "e-prop" else "readout"
    config = Adaptation(train, lr=0.2, bound=0.2, optimizer="sgd")
    own = model(neuron, loss, torch.float64, readout, hidden)
    outputs, expected = learnt_in_python(own, x, told, config)
    plan, scores, learnt = learnt_in_c(tmp_path / "double", own, learn, x, told, config, *DOUBLE)
    np.testing.assert_allclose(scores, outputs, rtol=1e-9, atol=1e-9) if name in (
        "nll",
        "ce_last",
    ) else None
    shipped = {constant.name: constant.values for constant in plan.constants()}
    for name, value in learnt.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-9, err_msg=name)
        first = shipped[name].T if value.ndim == 2 else shipped[name]
        assert np.abs(value - first).max() > 2e-4, f"{name} has learnt nothing"
    # In float32: the distance that rounding makes of 90 steps and 7 updates, beside how far they
    # went.
    _, _, single = learnt_in_c(tmp_path / "single", own, learn, x, told, config, *SANITIZED)
    moved = max(
        float(np.abs(value - (shipped[n].T if value.ndim == 2 else shipped[n])).max())
        for n, value in learnt.items()
    )
    assert max(float(np.abs(single[name] - expected[name]).max()) for name in single) < 1e-3 * moved


@pytest.mark.skipif(not COMPILERS, reason="no C compiler (gcc, clang) on this machine")
@pytest.mark.parametrize("wrong", [np.nan, SLOW(np.inf)])
def test_labels_that_are_none_and_gradients_that_are_not_finite_move_nothing(
    wrong: float, tmp_path: Path
) -> None:
    (x, told), own, found = stream(True), model("alif", "nll", torch.float32), []
    spoilt, odd = x.copy(), told.copy()
    spoilt[0] = wrong  # so the traces of the first sequence are not finite; its outputs are
    none = np.flatnonzero(told[30:, 0] < 0) + 30
    odd[none, 0] = np.resize([3, 1000, -7, 2**31 - 1, -(2**31)], len(none))
    told[:30, 0] = -1
    for name, signal, labels in (("spoilt", spoilt, odd), ("plain", x, told)):
        found.append(
            learnt_in_c(
                tmp_path / name, own, "e-prop", signal, labels, Adaptation(lr=0.2), *SANITIZED
            )[2]
        )
    assert all((found[0][name] == value).all() for name, value in found[1].items())
    assert (found[0]["layer0_from_self"] != own.network.layers[0].weight_rec.detach().numpy()).any()  # type: ignore[union-attr, operator]


def test_the_last_step_is_told_wherever_the_others_start(tmp_path: Path) -> None:
    """As in the loss itself: no sequence has 50 steps."""
    x, told = stream(False)
    own = model("lif", LossConfig("ce_last", start=50), torch.float32)
    plan, _, learnt = learnt_in_c(tmp_path, own, "readout", x, told, Adaptation(lr=0.2))
    shipped = {constant.name: constant.values for constant in plan.constants()}
    assert (learnt["readout_bias"] != shipped["readout_bias"]).all()


def test_a_tensor_of_zeros_may_move_as_one_of_norm_one_in_a_thousand(tmp_path: Path) -> None:
    (x, told), own = stream(False), model("lif", "ce_mean", torch.float32)
    with torch.no_grad():
        own.network.readout.bias.zero_()  # type: ignore[operator, union-attr]
    learnt = learnt_in_c(tmp_path, own, "readout", x, told, Adaptation(lr=0.2, bound=0.2))[2]
    assert np.linalg.norm(learnt["readout_bias"]) == pytest.approx(0.2e-3, rel=1e-3)


@pytest.mark.parametrize("loss", ["nll", SLOW("ce_mean")])
def test_what_counts_steps_stays_at_its_end(loss: str, tmp_path: Path) -> None:
    """After 2^32 steps (half a year at 250 Hz), or however many: all are beyond the start."""
    (x, told), own = stream(loss == "nll"), model("lif", loss, torch.float32)
    early, late = (
        learnt_in_c(
            tmp_path / str(len(flags)), own, "readout", x, told, Adaptation(lr=0.2), *flags
        )[2]
        for flags in ((), ("-DLATE", "-DMANY=0"))
    )
    assert all((late[name] == value).all() for name, value in early.items())


@pytest.mark.parametrize("loss", [SLOW("nll"), "ce_mean"])
def test_what_counts_what_is_learnt_stays_at_its_end(loss: str, tmp_path: Path) -> None:
    """A few more than 2^32 are not few: by their mean, a handful of gradients moves nothing."""
    (x, told), own = stream(loss == "nll"), model("lif", loss, torch.float32)
    told[:, 1] = np.arange(len(told)) == 9  # one update
    told[9, 0] = 1
    few, many = (
        learnt_in_c(
            tmp_path / name, own, "readout", x, told, Adaptation(lr=0.2), "-DLATE", f"-DMANY={name}"
        )[2]
        for name in ("0", "UINT32_MAX")
    )
    shipped = own.network.readout.bias.detach().numpy()  # type: ignore[union-attr, operator]
    assert np.abs(few["readout_bias"] - shipped).max() > 1e-3
    np.testing.assert_allclose(many["readout_bias"], shipped, atol=1e-6)


def test_scores_that_are_all_far_below_zero_still_teach(tmp_path: Path) -> None:
    (x, told), own = stream(True), model("lif", "nll", torch.float32)
    with torch.no_grad():
        own.network.readout.bias.fill_(-500.0)  # type: ignore[operator, union-attr]
    _, scores, learnt = learnt_in_c(tmp_path, own, "readout", x, told, Adaptation(lr=0.2))
    assert scores.max(1).min() < -90 and (learnt["readout_bias"] != -500.0).all()


def test_the_gradient_of_a_sum_is_not_divided_by_its_labels(tmp_path: Path) -> None:
    (x, told), found = stream(False), []
    told[:, :2] = 1, 0
    told[9, 1] = 1  # of 10 labels; none is learnt later
    for reduction, lr in (("sum", 0.001), ("mean", 0.01)):
        own = model("lif", LossConfig("nll", reduction=reduction), torch.float32)  # type: ignore[arg-type]
        plan, _, learnt = learnt_in_c(
            tmp_path / reduction, own, "readout", x, told, Adaptation(lr=lr)
        )
        found.append(learnt)
    shipped = {constant.name: constant.values for constant in plan.constants()}
    assert (found[0]["readout_bias"] != shipped["readout_bias"]).all()
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-5)


def test_a_second_label_of_the_same_steps_is_ignored(tmp_path: Path) -> None:
    (x, told), own = stream(False), model("lif", "ce_mean", torch.float32)
    told[:, :2] = -1, 0
    told[9, 0], told[10, 1] = 1, 1
    twice, found = told.copy(), []
    twice[10, 0] = 2
    for name, labels in (("once", told), ("twice", twice)):
        plan, _, learnt = learnt_in_c(
            tmp_path / name, own, "readout", x, labels, Adaptation(lr=0.2)
        )
        found.append(learnt)
    assert all((found[1][name] == value).all() for name, value in found[0].items())
    shipped = {constant.name: constant.values for constant in plan.constants()}
    assert (found[0]["readout_bias"] != shipped["readout_bias"]).all()


def test_what_learns_is_not_compressed() -> None:
    """A weight of 0 may become another."""
    own = model("lif", "nll", torch.float32)
    with torch.no_grad():
        for layer in (own.network.layers[0], own.network.readout):
            layer.weight_in.zero_()  # type: ignore[operator, union-attr]
    for learn, sparse in (
        (None, [True, True]),
        ("readout", [True, False]),
        ("e-prop", [False, False]),
    ):
        plan = make_plan(device_network(own.network), "net", own.decision, learn=learn)  # type: ignore[arg-type]
        assert [layer.matrices[0].sparse for layer in plan.layers] == sparse


def test_with_a_label_for_each_step_any_readout_will_do_for_e_prop() -> None:
    own = model("lif", "nll", torch.float32, "spike_count")
    learning = make_plan(device_network(own.network), "net", own.decision, learn="e-prop").learning
    assert learning is not None and not learning.readout.constant
    own = model(
        "lif", "ce_mean", torch.float32, ALIF_READOUT
    )  # with one for all, one whose membrane is the output
    assert (
        make_plan(device_network(own.network), "net", own.decision, learn="e-prop").learning
        is not None
    )


def test_a_relu_has_the_slope_at_zero_with_which_it_was_trained() -> None:
    neuron = as_neuron("relu")
    (slope,) = emission_slope(RELU, None).run(FloatC(), [Text("drive")])
    assert slope.text == "(1.0f + 0.0f * drive) * (float)(drive >= 0.0f)"
    assert loops.emission_slope(neuron, None, torch.zeros(1)) == 1.0  # type: ignore[arg-type]


def test_forgetting_and_running_without_learning(tmp_path: Path) -> None:
    """Without traces, and after an update of rate 0, the scores are to the bit those of an export
    that does not learn."""
    x, told = stream(True)
    own = model("alif", "nll", torch.float32)
    told[:, 0] = -1
    _, scores, values = learnt_in_c(tmp_path / "learns", own, "e-prop", x, told, Adaptation(lr=1.0))
    device = device_network(own.network)
    told[:, 2] |= np.arange(90) == 0
    expected = np.concatenate(
        [
            run_float32(device, part[None].astype(np.float32)).output[0]
            for part in np.split(x, [30, 60])
        ]
    )
    assert (scores == expected).all()
    assert (values["layer0_from_self"] == device.layers[0].weight_rec).all()
    own.export(tmp_path / "plain", name="net")
    for folder in ("learns", "plain"):  # NAME_main.c
        (tmp_path / folder / "program").unlink(missing_ok=True)
    program = build(
        tmp_path / "learns", make_plan(device, "net", own.decision, learn="e-prop"), COMPILERS[0]
    )
    assert (program.run(x[None, :30].astype(np.float32))[0][0] == expected[:30]).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"learn": "e-prop", "hidden": (6, 5)},
            "one hidden layer, but this network has 2; use learn='readout'",
        ),
        ({"learn": "readout", "format": "int8"}, "needs float32"),
        (
            {"learn": "readout", "delays": {"recurrent": "uniform(0, 3)"}},
            "with delays cannot learn in C; .* by bptt",
        ),
        (
            {"learn": "e-prop", "loss": "ce_spike_count", "readout": "spike_count"},
            "whose membrane is the output",
        ),
        (
            {"learn": "e-prop", "loss": "ce_mean", "readout": {"neuron": "liquid"}},
            "whose membrane is the output",
        ),
    ],
)
def test_what_cannot_learn_in_c(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    learn, format = options.pop("learn"), options.pop("format", "c")
    own = model("alif", options.pop("loss", "nll"), torch.float32, **options)
    more = {"inputs_as": InputFormat()} if format == "int8" else {}
    with pytest.raises(SrnnError, match=said):
        own.export(tmp_path / "c", format, learn=learn, **more)
    assert not (tmp_path / "c").exists()


def test_the_command_says_what_learning_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = model("alif", "nll", torch.float32)
    own.save(tmp_path / "m.safetensors")
    assert (
        main(
            [
                "export",
                "c",
                str(tmp_path / "m.safetensors"),
                "--out",
                str(tmp_path / "c"),
                "--learn",
                "e-prop",
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    learning = make_plan(device_network(own.network), "m", own.decision, learn="e-prop").learning
    assert learning is not None
    synapses, readout = 7 * (4 + 7 + 1), 3 * (7 + 1)
    assert learning.parameters == synapses + readout
    # ALIF: membrane, adaptation and spike depend on one another (u on u, s and the input; a on a
    # and s; s on all of these).
    step = learning.operations["step"]
    assert (
        f"{4 * (synapses + readout):,} bytes of RAM for {synapses + readout} parameters and "
        f"{learning.trace_bytes:,}" in said
    )
    assert f"{step['adds']:,} additions and {step['multiplies']:,} multiplications per step" in said
    assert " multiplications per update" in said
    text = (tmp_path / "c" / "m.h").read_text()
    assert (
        f"{learning.trace_bytes} of traces" in text and f"a step {step['adds']} additions" in text
    )
