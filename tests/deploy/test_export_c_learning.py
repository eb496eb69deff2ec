"""Exported networks learn as the stream in Python does: to rounding in double precision, and in
float32 as it allows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, Adaptation, Model, from_network
from srnn.cli.main import main
from srnn.deploy.c import export_c
from srnn.deploy.c.arrays import number
from srnn.deploy.c.plan import Plan, make_plan
from srnn.deploy.c.traces import emission_slope
from srnn.deploy.c.translate import FloatC
from srnn.nn.emissions import RELU
from srnn.nn.equations import Text
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.kernels import loops
from srnn.nn.loss_config import LossConfig
from srnn.nn.network import freeze
from srnn.nn.neurons import as_neuron
from support.compiled import COMPILERS, FLAGS, SANITIZED, build, compile_c, needs_compiler, ran
from support.rules import LEAKY, NEURONS

pytestmark = needs_compiler
CLASSES = ("a", "b", "c")
PROGRAM = """\
/* A step for each record of input: its numbers, a label or -1, and whether to update after it. Then the parameters.
 * NAME_push learns the same beside it. */
#include "net.h"

#include <stdio.h>
#include <string.h>

static net_model model;
static net_parameters parameters, pushed;
static net_traces traces, below;

int main(int argc, char **argv)
{
    static net_state state;
    static net_input input[NET_INPUTS];
    static net_score scores[NET_OUTPUTS];
    struct { int label, update, begin; } told;
    double rate, bound;

    if (argc != 3 || sscanf(argv[1], "%lf", &rate) != 1 || sscanf(argv[2], "%lf", &bound) != 1)
        return 2;
    net_parameters_init(&parameters);
    net_parameters_init(&pushed);
    while (fread(input, sizeof input, 1, stdin) == 1 && fread(&told, sizeof told, 1, stdin) == 1) {
        if (told.begin) {
            net_init(&state);
            net_traces_init(&traces);
            net_begin(&model, &pushed, &below);
            net_learn(&parameters, &traces, 0); /* of no step: ignored */
#ifdef LATE
            traces.position = below.position = UINT32_MAX;
            traces.learnt = below.learnt = MANY;
#endif
        }
        net_step(&state, &parameters, &traces, input, scores);
        net_push(&model, input);
        if (memcmp(scores, model.scores, sizeof scores))
            return 3;
        net_learn(&parameters, &traces, told.label);
        net_learn(&pushed, &below, told.label);
        if (told.update) {
            net_update(&parameters, &traces, (net_score)rate, (net_score)bound);
            net_update(&pushed, &below, (net_score)rate, (net_score)bound);
        }
        fwrite(scores, sizeof scores, 1, stdout);
    }
    fwrite(&parameters, sizeof parameters, 1, stdout);
    fwrite(&traces, sizeof traces, 1, stdout);
    return fflush(stdout) != 0 || memcmp(&parameters, &pushed, sizeof pushed);
}
"""
DOUBLE = ("-Dfloat=double", "-Dexpf=exp", "-Dfabsf=fabs", "-Dsqrtf=sqrt", "-DFLT_MAX=DBL_MAX")
"""The same text in double precision: what is left of a difference from Python is then not
rounding."""


def model(
    neuron: Any, loss: Any, dtype: Any, readout: Any = LEAKY, hidden: Any = (7,), **more: Any
) -> Model:
    """A network with recurrent weights, whose time constants stay."""
    net = SRNN.paper(
        4, list(hidden), 3, neuron=NEURONS[neuron] if isinstance(neuron, str) else neuron, readout=readout, recurrent=True,
        backend="reference", generator=torch.Generator().manual_seed(3), **more,
    )  # fmt: skip
    layers: list[Any] = [*net.layers, net.readout]
    with torch.no_grad():
        layers[0].weight_in *= 2
        for layer in layers:
            layer.params.requires_grad_(False)
            noise = torch.randn(layer.bias.shape, generator=torch.Generator().manual_seed(1))
            layer.bias.copy_(0.2 * noise)
    if isinstance(loss, str):
        return from_network(net.to(dtype), CLASSES, loss=loss)  # type: ignore[arg-type]
    own = from_network(net.to(dtype), CLASSES, loss=loss.name)
    return replace(own, recipe=replace(own.recipe, loss=loss))


def in_double(value: Any, ctype: str) -> str:
    """A literal, as ``number`` makes it, for the text in double precision."""
    return repr(float(value)) if ctype == "float" else str(int(value))


def learnt_in_c(
    folder: Path, own: Model, learn: Any, x: Any, told: Any, config: Adaptation, *flags: str
) -> tuple[Plan, np.ndarray, dict[str, np.ndarray]]:
    """The plan, the scores of each step, and the parameters in the end."""
    double = bool(flags) and flags[0] == DOUBLE[0]
    device = freeze(own.network, "C") if double else device_network(own.network)
    with pytest.MonkeyPatch.context() as patch:
        if double:
            patch.setattr(number, "__code__", in_double.__code__)
        export_c(device, folder, "net", decision=own.decision, learn=learn)
        plan = make_plan(device, "net", own.decision, learn=learn)
    (folder / "try.c").write_text(PROGRAM)
    assert "alloc" not in (folder / "net.c").read_text()
    # The single build is the one that warns.
    warned = ("-std=c99", "-O2", "-ffp-contract=off") if double else FLAGS
    sources = [folder / "try.c", folder / "net.c"]
    compile_c([COMPILERS[0], *warned, *flags], sources, folder / "try")
    ctype = np.float64 if double else np.float32
    rows = np.empty(len(x), np.dtype([("x", ctype, 4), ("told", np.int32, 3)]))
    rows["x"], rows["told"] = x, told
    out = ran(folder / "try", repr(config.lr), repr(config.bound), given=rows.tobytes())
    assert plan.learning is not None
    scores = np.frombuffer(out, ctype, 3 * len(x)).reshape(-1, 3)
    flat = np.frombuffer(out, ctype, plan.learning.parameters, scores.nbytes)
    if not double:  # the bytes that the header states
        assert len(out) == scores.nbytes + flat.nbytes + plan.learning.trace_bytes
    values, begin = {}, 0
    for layer in plan.learning.layers:
        for name, length in layer.tensors:
            part = flat[begin : begin + length]
            values[name] = part if name.endswith("bias") else part.reshape(-1, layer.size).T
            begin += length
    return plan, scores, values


def shipped(plan: Plan) -> dict[str, np.ndarray]:
    """The parameters of the export, as ``learnt_in_c`` returns them."""
    return {one.name: one.values.T for one in plan.constants()}


def in_single(folder: Path, own: Model, x: Any, told: Any, *flags: str, **how: Any) -> Any:
    """The readout's learning by the C in float32: (plan, scores, parameters)."""
    config = Adaptation(**{"lr": 0.2, **how})
    return learnt_in_c(folder, own, "readout", x, told, config, *flags)


def learnt_in_python(
    own: Model, x: np.ndarray, told: np.ndarray, config: Adaptation
) -> tuple[np.ndarray, dict[str, Any]]:
    """The same by a stream: scores, and parameters under the names that they have in C."""
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
    readout, layer = network.readout, network.layers[0]
    values = {"readout_from_below": readout.weight_in, "readout_bias": readout.bias}
    values |= {"layer0_from_input": layer.weight_in, "layer0_from_self": layer.weight_rec}
    values["layer0_bias"] = layer.bias
    return np.stack(scores), {name: value.detach().numpy() for name, value in values.items()}


def stream(steps: bool) -> tuple[np.ndarray, np.ndarray]:
    """Spikes (T, 4) of three sequences, and (label, update, begin) of each step."""
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
BRF = as_neuron({"name": "brf", "dt": 0.1, "omega": "uniform(1, 6)", "threshold": 0.05})
SLOW = partial(pytest.param, marks=pytest.mark.slow)
CASES = [
    ("alif", LossConfig("nll", start=3, label_smoothing=0.1), "e-prop", LEAKY, (7,)),
    ("adlif", LossConfig("ce_mean", start=3, label_smoothing=0.1), "e-prop", SPREAD, (7,)),
    ("lif", "ce_spike_count", "readout", "spike_count", (6, 5)),
    SLOW("lif", "ce_last", "e-prop", LEAKY, (7,)),
    SLOW("relu", "nll", "e-prop", LEAKY, (7,)),
    SLOW(BRF, "nll", "e-prop", LEAKY, (7,)),
    SLOW("alif", "nll", "readout", ALIF_READOUT, (6, 5)),
    SLOW("lif", "ce_mean", "e-prop", ALIF_READOUT, (7,)),
]


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
    if name in ("nll", "ce_last"):
        np.testing.assert_allclose(scores, outputs, rtol=1e-9, atol=1e-9)
    first, moved = shipped(plan), 0.0
    for name, value in learnt.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-9, err_msg=name)
        far = float(np.abs(value - first[name]).max())
        assert far > 2e-4, f"{name} has learnt nothing"
        moved = max(moved, far)
    # In float32: the distance that rounding makes of 90 steps and 7 updates, beside how far they
    # went.
    _, _, single = learnt_in_c(tmp_path / "single", own, learn, x, told, config, *SANITIZED)
    assert max(float(np.abs(single[name] - expected[name]).max()) for name in single) < 1e-3 * moved


@pytest.mark.parametrize("wrong", [np.nan, SLOW(np.inf)])
def test_labels_that_are_none_and_gradients_that_are_not_finite_move_nothing(
    wrong: float, tmp_path: Path
) -> None:
    (x, told), own = stream(True), model("alif", "nll", torch.float32)
    spoilt, odd = x.copy(), told.copy()
    spoilt[0] = wrong  # so the traces of the first sequence are not finite; its outputs are
    none = np.flatnonzero(told[30:, 0] < 0) + 30
    odd[none, 0] = np.resize([3, 1000, -7, 2**31 - 1, -(2**31)], len(none))
    told[:30, 0] = -1
    found, plain = (
        learnt_in_c(tmp_path / str(n), own, "e-prop", *given, Adaptation(lr=0.2), *SANITIZED)[2]
        for n, given in enumerate(((spoilt, odd), (x, told)))
    )
    assert all((found[name] == value).all() for name, value in plain.items())
    assert (found["layer0_from_self"] != own.network.layers[0].weight_rec.detach().numpy()).any()  # type: ignore[union-attr, operator]


def test_the_last_step_is_told_wherever_the_others_start(tmp_path: Path) -> None:
    """As in the loss itself: no sequence has 50 steps."""
    own = model("lif", LossConfig("ce_last", start=50), torch.float32)
    plan, _, learnt = in_single(tmp_path, own, *stream(False))
    assert (learnt["readout_bias"] != shipped(plan)["readout_bias"]).all()


def test_a_tensor_of_zeros_may_move_as_one_of_norm_one_in_a_thousand(tmp_path: Path) -> None:
    own = model("lif", "ce_mean", torch.float32)
    with torch.no_grad():
        own.network.readout.bias.zero_()  # type: ignore[operator, union-attr]
    learnt = in_single(tmp_path, own, *stream(False), bound=0.2)[2]
    assert np.linalg.norm(learnt["readout_bias"]) == pytest.approx(0.2e-3, rel=1e-3)


@pytest.mark.parametrize("loss", ["nll", SLOW("ce_mean")])
def test_what_counts_steps_stays_at_its_end(loss: str, tmp_path: Path) -> None:
    """After 2^32 steps (half a year at 250 Hz), or however many: all are beyond the start."""
    given, own = stream(loss == "nll"), model("lif", loss, torch.float32)
    early = in_single(tmp_path / "early", own, *given)[2]
    late = in_single(tmp_path / "late", own, *given, "-DLATE", "-DMANY=0")[2]
    assert all((late[name] == value).all() for name, value in early.items())


@pytest.mark.parametrize("loss", [SLOW("nll"), "ce_mean"])
def test_what_counts_what_is_learnt_stays_at_its_end(loss: str, tmp_path: Path) -> None:
    """A few more than 2^32 are not few: by their mean, a handful of gradients moves nothing."""
    (x, told), own = stream(loss == "nll"), model("lif", loss, torch.float32)
    told[:, 1] = np.arange(len(told)) == 9  # one update
    told[9, 0] = 1
    few, many = (
        in_single(tmp_path / name, own, x, told, "-DLATE", f"-DMANY={name}")[2]["readout_bias"]
        for name in ("0", "UINT32_MAX")
    )
    before = own.network.readout.bias.detach().numpy()  # type: ignore[union-attr, operator]
    assert np.abs(few - before).max() > 1e-3
    np.testing.assert_allclose(many, before, atol=1e-6)


def test_scores_that_are_all_far_below_zero_still_teach(tmp_path: Path) -> None:
    own = model("lif", "nll", torch.float32)
    with torch.no_grad():
        own.network.readout.bias.fill_(-500.0)  # type: ignore[operator, union-attr]
    _, scores, learnt = in_single(tmp_path, own, *stream(True))
    assert scores.max(1).min() < -90 and (learnt["readout_bias"] != -500.0).all()


def test_the_gradient_of_a_sum_is_not_divided_by_its_labels(tmp_path: Path) -> None:
    x, told = stream(False)
    told[:, :2] = 1, 0
    told[9, 1] = 1  # of 10 labels; none is learnt later
    losses = [LossConfig("nll", reduction=one) for one in ("sum", "mean")]  # type: ignore[arg-type]
    (plan, _, summed), (_, _, mean) = (
        in_single(tmp_path / loss.reduction, model("lif", loss, torch.float32), x, told, lr=lr)
        for loss, lr in zip(losses, (0.001, 0.01), strict=True)
    )
    assert (summed["readout_bias"] != shipped(plan)["readout_bias"]).all()
    for name, value in summed.items():
        np.testing.assert_allclose(mean[name], value, rtol=1e-5)


def test_a_second_label_of_the_same_steps_is_ignored(tmp_path: Path) -> None:
    (x, told), own = stream(False), model("lif", "ce_mean", torch.float32)
    told[:, :2] = -1, 0
    told[9, 0], told[10, 1] = 1, 1
    plan, _, once = in_single(tmp_path / "once", own, x, told)
    told[10, 0] = 2
    twice = in_single(tmp_path / "twice", own, x, told)[2]
    assert all((twice[name] == value).all() for name, value in once.items())
    assert (once["readout_bias"] != shipped(plan)["readout_bias"]).all()


def test_what_learns_is_not_compressed() -> None:
    """A weight of 0 may become another."""
    own = model("lif", "nll", torch.float32)
    with torch.no_grad():
        for layer in (own.network.layers[0], own.network.readout):
            layer.weight_in.zero_()  # type: ignore[operator, union-attr]
    cases = {None: [True, True], "readout": [True, False], "e-prop": [False, False]}
    for learn, sparse in cases.items():
        plan = make_plan(device_network(own.network), "net", own.decision, learn=learn)  # type: ignore[arg-type]
        assert [layer.matrices[0].sparse for layer in plan.layers] == sparse


def test_with_a_label_for_each_step_any_readout_will_do_for_e_prop() -> None:
    """With one label for all steps, one whose membrane is the output."""
    for loss, readout in (("nll", "spike_count"), ("ce_mean", ALIF_READOUT)):
        own = model("lif", loss, torch.float32, readout)
        plan = make_plan(device_network(own.network), "net", own.decision, learn="e-prop")
        assert plan.learning is not None
        assert loss != "nll" or not plan.learning.readout.constant


def test_a_relu_has_the_slope_at_zero_with_which_it_was_trained() -> None:
    neuron = as_neuron("relu")
    (slope,) = emission_slope(RELU, None).run(FloatC(), [Text("drive")])
    assert slope.text == "(1.0f + 0.0f * drive) * (float)(drive >= 0.0f)"
    assert loops.emission_slope(neuron, None, torch.zeros(1)) == 1.0  # type: ignore[arg-type]


def test_forgetting_and_running_without_learning(tmp_path: Path) -> None:
    """Without labels scores are those of an export that does not learn, in NAME_main.c too."""
    x, told = stream(True)
    own = model("alif", "nll", torch.float32)
    told[:, 0] = -1
    _, scores, values = learnt_in_c(tmp_path, own, "e-prop", x, told, Adaptation(lr=1.0))
    device, parts = device_network(own.network), x.astype(np.float32).reshape(3, 30, 4)
    expected = run_float32(device, parts).output
    assert (scores.reshape(3, 30, 3) == expected).all()
    assert (values["layer0_from_self"] == device.layers[0].weight_rec).all()
    plan = make_plan(device, "net", own.decision, learn="e-prop")
    assert (build(tmp_path, plan, COMPILERS[0]).run(parts)[0] == expected).all()


def test_the_command_says_what_learning_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = model("alif", "nll", torch.float32)
    file = own.save(tmp_path / "m.safetensors")
    assert main(f"export c {file} --out {tmp_path}/c --learn e-prop".split()) == 0
    said = capsys.readouterr().out
    learning = make_plan(device_network(own.network), "m", own.decision, learn="e-prop").learning
    assert learning is not None
    count = 7 * (4 + 7 + 1) + 3 * (7 + 1)
    step, traces = learning.operations["step"], learning.trace_bytes
    assert learning.parameters == count
    assert f"{4 * count:,} bytes of RAM for {count} parameters and {traces:,}" in said
    assert f"{step['adds']:,} additions and {step['multiplies']:,} multiplications per step" in said
    text = (tmp_path / "c" / "m.h").read_text()
    assert f"{traces} of traces" in text and f"a step {step['adds']} additions" in text
