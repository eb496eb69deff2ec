"""The exported C does, to the bit, what its model in Python does; and that model what the reference
does."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paper.commands import main as main_of_paper
from srnn import SRNN, SrnnError
from srnn.cli.main import main
from srnn.deploy.c.plan import make_plan
from srnn.deploy.c.translate import FixedC, FixedText, FloatC
from srnn.nn.arithmetic import absolute, exp, positive_part
from srnn.nn.equations import Text, record
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from support.compiled import SANITIZED, build, compilers, every_compiler, every_format
from support.exporting import check_bits, exported, network, signal
from support.refusing import refuses

SLOW = partial(pytest.param, marks=pytest.mark.slow)
QUICK = ("alif", "adlif", "relu")
NEURONS = (
    "lif", "alif", "adlif", "silif", "csilif", "cubalif", "cubalif-soft", "brf", "bhrf", "drf", "relu", "integrator",
)  # fmt: skip
FLOAT32 = [
    (neuron, kind) if neuron in QUICK or (neuron, kind) == ("brf", "analog") else SLOW(neuron, kind)
    for neuron in NEURONS
    for kind in ("spikes", "analog")
]
MORE = ("silif", "brf", "lif", "csilif", "bhrf", "drf", "cubalif-soft")
INT8 = ("alif", "adlif", "cubalif", *map(SLOW, MORE))


def flags_for(kind: str) -> tuple[str, ...]:
    """Analog inputs, which do more, with sanitizers; spikes as on the device."""
    return SANITIZED if kind == "analog" else ()


@every_compiler
@pytest.mark.parametrize(("neuron", "kind"), FLOAT32)
def test_float32_is_its_model_to_the_bit(
    neuron: str, kind: str, compiler: str, tmp_path: Path
) -> None:
    plan, model = exported(network(neuron), tmp_path)
    check_bits(tmp_path, plan, model, signal(kind), compiler, *flags_for(kind))


@every_compiler
@pytest.mark.parametrize("kind", ["spikes", "analog"])
@pytest.mark.parametrize("neuron", INT8)
def test_int8_is_its_model_to_the_bit(
    neuron: str, kind: str, compiler: str, tmp_path: Path
) -> None:
    x = signal(kind)
    inputs_as = InputFormat.measure(x)
    plan, model = exported(network(neuron, "alif"), tmp_path, "int8", inputs_as=inputs_as)
    assert (plan.input == "int8_t") == (kind == "spikes")
    check_bits(tmp_path, plan, model, inputs_as.encode(x), compiler, *flags_for(kind))
    code = re.sub(r"/\*.*?\*/", "", (tmp_path / "net.c").read_text(), flags=re.DOTALL)
    assert "float" not in code


@every_compiler
def test_a_neuron_with_an_exponential_is_its_model_to_rounding(
    compiler: str, tmp_path: Path
) -> None:
    """Each C library rounds expf in its own way."""
    plan, model = exported(network("liquid"), tmp_path)
    x = signal("spikes")
    expected = run_float32(model, x)
    scores, _ = build(tmp_path, plan, compiler).run(x)
    assert np.abs(scores - expected.output).max() <= 1e-5 * np.abs(expected.output).max()
    assert expected.emitted[0].mean() > 0.02


@pytest.mark.parametrize("readout", ["integrator", "alif", "spike_count"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_the_model_agrees_with_the_reference(neuron: str, readout: str) -> None:
    """Sums are made in another order: float32 rounds otherwise, but no spike differs."""
    net = network(neuron, readout, backend="reference")
    x = signal("analog", 1, steps=25)
    with torch.no_grad():
        reference = net.run(torch.from_numpy(x))
    model = run_float32(device_network(net), x)
    for emitted, layer in zip(model.emitted, reference.layers[:-1], strict=False):
        np.testing.assert_allclose(emitted, layer.output.numpy(), atol=1e-4)
    np.testing.assert_allclose(model.output, reference.output.numpy(), atol=1e-4)


@every_compiler
@every_format
def test_sizes_and_counts_are_what_the_header_says(
    format: str, compiler: str, tmp_path: Path
) -> None:
    plan, model = exported(network("alif", recurrent=[False, True]), tmp_path, format)
    x = signal("spikes")
    run = run_float32(model, x) if format == "float32" else model.run(x.astype(int))
    program = build(tmp_path, plan, compiler, "-DSRNN_COUNT")
    program.run(x)
    first, own = run.emitted[0].astype(int), run.emitted[1].astype(int)
    # What a recurrent layer hears of itself is what it emitted a step before.
    heard = 12 * int(x.sum()) + 9 * first.sum() + 9 * own[:, :-1].sum() + 3 * own.sum()
    worst, steps = plan.operations(), 2 * 60
    expected = {
        "synaptic_adds": heard,
        "synaptic_multiplies": 0,
        "steps": steps,
        "state_bytes": plan.ram_bytes,
        "neuron_adds": steps * worst["neuron_adds"],
        "neuron_multiplies": steps * worst["neuron_multiplies"],
    }
    assert expected.items() <= program.counts.items()
    assert worst["synaptic_adds"] == 5 * 12 + 12 * 9 + 9 * 9 + 9 * 3
    text = (tmp_path / "net.h").read_text()
    assert f"RAM {plan.ram_bytes} bytes" in text and f"Flash {plan.flash_bytes} bytes" in text
    report = json.loads((tmp_path / "net.json").read_text())
    assert report["flash_bytes"] == plan.flash_bytes
    assert report["worst_case_operations_per_step"] == worst


def thinned() -> Any:
    """A network of a fifth of its weights, and in one matrix of none."""
    net = network()
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in [*net.layers, net.readout]:
            for weight in (layer.weight_in, layer.weight_rec):
                if weight is not None:
                    weight *= (torch.rand(weight.shape, generator=rng) < 0.2) * 3
        net.layers[1].weight_rec.zero_()
    return net


@every_compiler
def test_products_of_few_weights_are_counted(compiler: str, tmp_path: Path) -> None:
    """Those of analog inputs alone, for layers hand on spikes: one for each weight that is left."""
    net, x = thinned(), signal("analog")
    plan, _ = exported(net, tmp_path)
    program = build(tmp_path, plan, compiler, "-DSRNN_COUNT")
    program.run(x)
    left = net.layers[0].weight_in.count_nonzero(0).numpy()  # of each input
    assert program.counts["synaptic_multiplies"] == ((x != 0).sum((0, 1)) * left).sum() > 0


@every_compiler
@every_format
def test_few_weights_are_stored_sparsely(format: str, compiler: str, tmp_path: Path) -> None:
    plan, model = exported(thinned(), tmp_path, format)
    whole = device_network(network())
    dense = make_plan(quantise(whole) if format == "int8" else whole, "net")
    assert plan.flash_bytes < dense.flash_bytes
    assert any(matrix.sparse for layer in plan.layers for matrix in layer.matrices)
    check_bits(tmp_path, plan, model, signal("spikes").astype(int), compiler, *SANITIZED)


BAD = {
    "1,0\n0,1\n1,1\n0,0\n1,1\n": "line 1: too few numbers",
    "1,0,0,0,0\n\n1,x,0,0,0\n": "line 3: something is not",
    "1 0 0 0 0\r\nnan,0,0,0,0\n": "line 2: something is not",
    "0,0,0,0,0,0\n": "line 1: too many numbers",
    "0,0,0,0,": "line 1: too few numbers",
    "1" * 9999: "line 1: it is too long",
    **dict.fromkeys(("1e99,0,0,0,0\n", "1" * 80, "0,0,0,0,0\0\n"), "line 1: something is not"),
}
BAD_INT8 = dict.fromkeys(("0,0,300,0,0\n", "0,0,0.5,0,0\n"), "line 1: something is not an integer")


@every_compiler
@every_format
def test_bad_input_is_named_by_its_line(format: str, compiler: str, tmp_path: Path) -> None:
    plan, _ = exported(network(), tmp_path, format)
    program = build(tmp_path, plan, compiler, *SANITIZED)
    for text, message in (BAD | (BAD_INT8 if format == "int8" else {})).items():
        done = program.tried(given=text)
        assert done.returncode == 2, text
        assert done.stderr.startswith(message) and done.stderr.count("\n") == 1, (text, done.stderr)
        assert done.stdout.count("\n") == (0 if "line 1" in message else 1), "good lines before"
    assert program.text(given="") == program.text(given="\n \n") == ""
    assert program.text(given="1.0 0 0 1e0 0") == program.text(given="1,0,0,1,0\n") != ""
    for words in ("--steps many", "--steps", "--encode 1", f"--state {tmp_path / 'none'}"):
        done = program.tried(*words.split(), given="")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, words
    done = program.tried("--binary", given="abc")
    assert done.returncode == 2 and done.stderr.startswith("step 1: the input ends within it")


@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("neuron", NEURONS)
def test_no_step_costs_more_than_promised(neuron: str, compiler: str, tmp_path: Path) -> None:
    """What analog neurons send is multiplied, too."""
    plan, _ = exported(network(neuron), tmp_path)
    program, worst = build(tmp_path, plan, compiler, "-DSRNN_COUNT"), plan.operations()
    analog = 12 * 12 + 12 * 9 + 9 * 9 + 9 * 3 if neuron in ("relu", "integrator") else 0
    assert worst["synaptic_multiplies"] == analog
    for kind in ("spikes", "analog"):
        x = signal(kind, batch=1)
        program.run(x)
        promised = "synaptic_multiplies" + ("_if_input_is_analog" if kind == "analog" else "")
        assert program.counts["synaptic_multiplies"] <= worst[promised] * x.shape[1], kind
        assert program.counts["synaptic_adds"] <= worst["synaptic_adds"] * x.shape[1], kind
        assert not analog or program.counts["synaptic_multiplies"] > 0, kind


def test_random_initial_states_become_their_mean() -> None:
    neuron = {"name": "alif", "initial": {"u": "uniform(0, 0.1)", "s": "u", "e": 0.01}}
    device = device_network(SRNN(2, [3], 2, neuron=neuron, norm="none"))
    assert device.layers[0].initial["u"].tolist() == pytest.approx([0.05] * 3)
    assert device.layers[0].initial["e"].tolist() == pytest.approx([0.01] * 3)
    assert not device.layers[0].initial["s"].any()


# ---- delays: int8 and C with their rings ----

DELAYS = [
    {"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"},
    [{"recurrent": 0, "input": 300}, {"recurrent": "normal(0, 6)"}],
    [{"input": 0}, {"recurrent": 11}],
]


def late(delays: Any, neuron: str = "alif", **options: Any) -> SRNN:
    net = network(neuron, delays=delays, backend="reference", **options)
    with torch.no_grad():
        for layer in net.layers:
            layer.bias.fill_(0.02)  # type: ignore[union-attr, operator]
    return net


@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("neuron", ["alif", "relu"])
def test_a_model_with_delays_goes_on_from_a_state(neuron: str, delays: Any) -> None:
    """As the reference does; what neurons emit may be analog."""
    net, x = late(delays, neuron), signal("analog", steps=50)
    device = device_network(net)
    with torch.no_grad():
        result = net.run(torch.from_numpy(x))
    run = run_float32(device, x)
    np.testing.assert_allclose(run.output, result.output.numpy(), atol=1e-4)
    for part, expected in zip(run.state, result.state, strict=True):
        for name, value in part.items():
            reached = getattr(expected, name).numpy()
            np.testing.assert_allclose(value, reached, atol=1e-4, err_msg=name)
    again = run_float32(device, x[:, 20:], run_float32(device, x[:, :20]).state)
    assert (again.output == run.output[:, 20:]).all()
    if neuron == "alif":
        model = quantise(device, InputFormat.measure(x))
        sent = model.inputs_as.encode(x)
        whole, cut = model.run(sent), model.run(sent[:, 20:], model.run(sent[:, :20]).state)
        assert (cut.output == whole.output[:, 20:]).all()
        spikes = result.layers[0].output.numpy()
        assert spikes.mean() > 0.02 and (whole.emitted[0] != spikes).mean() < 0.05


@every_compiler
@pytest.mark.parametrize(
    ("neuron", "format", "delays"),
    [*itertools.product(["alif"], ["float32", "int8"], DELAYS), ("relu", "float32", DELAYS[1])],
)
def test_delays_in_c_are_their_model_to_the_bit(
    neuron: str, format: str, delays: Any, compiler: str, tmp_path: Path
) -> None:
    x = signal("analog")
    options = {"inputs_as": InputFormat.measure(x)} if format == "int8" else {}
    plan, model = exported(late(delays, neuron), tmp_path, format, **options)
    x = model.inputs_as.encode(x) if format == "int8" else x
    check_bits(tmp_path, plan, model, x, compiler, *SANITIZED)


def test_spikes_under_way_take_a_bit_each(tmp_path: Path) -> None:
    plan, _ = exported(late({"recurrent": 15}), tmp_path)
    ring = plan.layers[0].rings[0]
    assert ring.members == (("uint8_t", "arriving", 16 * 2), ("uint16_t", "arriving_turn", 1))
    plain, _ = exported(late(None), tmp_path / "plain")
    assert plan.state_bytes - plain.state_bytes == 2 * (16 * 2 + 4)  # the turn, to whole words
    assert plan.flash_bytes - plain.flash_bytes == 12 + 9
    for longest, ctype in ((255, "uint8_t"), (256, "uint16_t")):  # one type for all layers
        net = late([{"recurrent": 3}, {"input": longest}])
        layers = make_plan(device_network(net), "net").layers
        assert [ring.delays.ctype for layer in layers for ring in layer.rings] == [ctype, ctype]


@pytest.mark.parametrize("compiler", compilers()[:1])
def test_no_state_is_unsafe(compiler: str, tmp_path: Path) -> None:
    """A turn beyond its ring is the first. 16 and 8 neurons fill their bytes, beyond which nothing
    is touched, and there is room for the sums of the largest layer, the last."""
    delays = [{"recurrent": 15, "input": 3}, {"recurrent": 15, "input": "uniform(0, 15)"}]
    rng = torch.Generator().manual_seed(0)
    net = SRNN(5, [16, 8], 17, neuron="alif", delays=delays, generator=rng, norm="none")
    plan, model = exported(net, tmp_path)
    x, program = signal("spikes"), build(tmp_path, plan, compiler, *SANITIZED)
    check_bits(tmp_path, plan, model, x, compiler, *SANITIZED)
    rings = [(layer.name, ring) for layer in plan.layers for ring in layer.rings]
    found = list[np.ndarray]()
    for beyond in (None, 0, 65_535):
        state = np.zeros((), plan.state_dtype())
        state["layer1"]["arriving"] = 255
        for name, ring in rings:
            state[name][f"{ring.name}_turn"] = 0 if beyond is None else max(ring.depth, beyond)
        found.append(program.run(x, state)[0])
    assert (found[1] == found[0]).all() and (found[2] == found[0]).all()


def test_neurons_of_a_network_with_delays_are_not_pruned() -> None:
    with refuses("delays", "unsupported"):
        late({"input": 3}).freeze().require("Pruning of neurons")


# ---- the translator -------------------------------------------------------------------------------------------------


def expressions():
    def joined(inner):
        parts = st.tuples(inner, st.sampled_from("+-*"), inner)
        return st.one_of(
            parts.map(lambda part: "({}) {} ({})".format(*part)), inner.map("-({})".format)
        )

    return st.recursive(st.sampled_from(["a", "b", "c", "0.5", "1.0"]), joined, max_leaves=8)


@given(expressions())
def test_texts_keep_the_order_of_operations(text: str) -> None:
    """The C text, read by Python, computes in float32 what the expression does, to the bit."""
    values = {name: np.float32(value) for name, value in (("a", 0.1), ("b", -3.7), ("c", 12.345))}
    space: dict = {}
    exec(f"def step(a, b, c): return ({text}),", space)
    (translated,) = record(space["step"], ("a", "b", "c")).run(FloatC(), map(Text, values))
    c = re.sub(r"(\d)f\b", r"\1", translated.text)
    assert eval(c, dict(values)) == eval(text, dict(values))


def odd_step(u, s, current, gain):
    u = np.sin(u) * gain
    return u, u


def branching_step(u, s, current, gain):
    return (u if u > gain else gain), u


def halving_step(u, s, current, gain):
    half = 0.5
    u = half * u + (1.0 - half) * gain * current
    return u, u - half


def test_constants_may_have_names() -> None:
    writer, found = FloatC(), record(halving_step, ("u", "s", "current", "gain"))
    results = found.run(writer, map(Text, found.arguments))
    assert writer.assignments == [("u_2", "0.5f * u + 0.5f * gain * current")]
    assert [result.text for result in results] == ["u_2", "u_2 - 0.5f"]
    assert found.used == {"u", "current", "gain"}


def test_all_that_equations_may_use_has_a_form_in_c() -> None:
    def step(u, s):
        return exp(u) * absolute(s) / positive_part(u - s) + (u > s) * (1.0 - (s <= 2.0)), u

    first, _ = record(step, ("u", "s")).run(FloatC(), map(Text, ("u", "s")))
    fraction = "expf(u) * fabsf(s) / ((u - s) > 0.0f ? (u - s) : 0.0f)"
    assert first.text == f"{fraction} + (float)(u > s) * (1.0f - (float)(s <= 2.0f))"


def test_steps_that_are_not_plain_arithmetic() -> None:
    for step in (odd_step, branching_step):
        with pytest.raises(SrnnError):
            record(step, ("u", "s", "current", "gain"))
    for function in (exp, lambda u: 0.01 * u):
        recorded = record(lambda u, s, function=function: (function(u), s), ("u", "s"))
        with pytest.raises(SrnnError):
            recorded.run(FixedC(), [FixedText(n, 8, 8, Counter()) for n in "us"])


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of random weights in the layout of the published ECG network."""
    from support.restated import restate

    folder = tmp_path_factory.mktemp("ecg")
    np.savez(folder / "weights.npz", **restate("ecg")[0])  # type: ignore[arg-type]
    words = f"import ecg --weights {folder}/weights.npz --out {folder}/run"
    assert main_of_paper(words.split()) == 0
    return folder / "run"


@pytest.mark.parametrize("more", ["--format float32", "--format int8 --inputs spikes --name heart"])
def test_command(
    more: str, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"export c {published} --out {tmp_path}/out {more}".split()
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    name = "heart" if "--name" in more else "run"
    assert report["format"] == more.split()[1] and report["name"] == name
    files = {f"{name}{end}" for end in ("_main.c", ".json", ".c", ".h", "_weights.h")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files | {"Makefile"}
    assert main(words) == 2


def test_command_mistakes(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = f"--out {tmp_path}/out"
    words_for = f"export c {published} {out}"
    for words, field in (
        ("export", ""),
        (f"export c {out}", "MODEL"),
        (f"export c {tmp_path}/nothing {out}", "nothing"),
        (f"{words_for} --inputs 3", "--inputs"),
        (f"{words_for} --format int8 --inputs many", "--inputs"),
        (f"{words_for} --name a-b", "a-b"),
        (f"{words_for} --formt int8", "--format"),
    ):
        assert main(words.split()) == 2, words
        found = capsys.readouterr()
        assert field in found.err and found.err.count("\n") == 1 and not found.out
    assert not (tmp_path / "out").exists()
