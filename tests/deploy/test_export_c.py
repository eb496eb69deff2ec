"""The exported C does, to the bit, what its model in Python does; and that model what the reference
does."""

from __future__ import annotations

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
from srnn.data.encoders import LevelCrossing
from srnn.data.signals import CrossingPath
from srnn.deploy.c import export_c
from srnn.deploy.c.plan import make_plan
from srnn.deploy.c.resolve import folded
from srnn.deploy.c.translate import FixedC, FixedText, FloatC
from srnn.nn.arithmetic import absolute, exp, positive_part
from srnn.nn.equations import Text, record
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from support.compiled import COMPILERS, SANITIZED, build, compilers
from support.exporting import check_states, exported, network, signal

SLOW = partial(pytest.param, marks=pytest.mark.slow)
QUICK = ("alif", "adlif", "relu")
NEURONS = (
    "lif",
    "alif",
    "adlif",
    "silif",
    "csilif",
    "cubalif",
    "cubalif-soft",
    "brf",
    "bhrf",
    "drf",
    "relu",
    "integrator",
)


def flags_for(kind: str) -> tuple[str, ...]:
    """Analog inputs, which do more, with sanitizers; spikes as on the device."""
    return SANITIZED if kind == "analog" else ()


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize(
    ("neuron", "kind"),
    [
        pytest.param(
            neuron,
            kind,
            marks=()
            if neuron in QUICK or (neuron, kind) == ("brf", "analog")
            else pytest.mark.slow,
        )
        for neuron in NEURONS
        for kind in ("spikes", "analog")
    ],
)
def test_float32_is_its_model_to_the_bit(
    neuron: str, kind: str, compiler: str, tmp_path: Path
) -> None:
    net = network(neuron)
    plan, model = exported(net, tmp_path / "c")
    x = signal(kind)
    expected = run_float32(model, x)
    scores, states = build(tmp_path / "c", plan, compiler, *flags_for(kind)).run(x, trace=True)
    assert (scores == expected.output).all()
    check_states(states, plan, expected)
    assert all(
        np.count_nonzero(e) / e.size > 0.02 for e in expected.emitted[:-1]
    )  # it has something to compare


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("kind", ["spikes", "analog"])
@pytest.mark.parametrize(
    "neuron",
    [
        "alif",
        "adlif",
        "cubalif",
        SLOW("silif"),
        SLOW("brf"),
        SLOW("lif"),
        SLOW("csilif"),
        SLOW("bhrf"),
        SLOW("drf"),
        SLOW("cubalif-soft"),
    ],
)
def test_int8_is_its_model_to_the_bit(
    neuron: str, kind: str, compiler: str, tmp_path: Path
) -> None:
    x = signal(kind)
    inputs_as = InputFormat.measure(x)
    plan, model = exported(network(neuron, "alif"), tmp_path / "c", "int8", inputs_as=inputs_as)
    assert (plan.input == "int8_t") == (kind == "spikes")
    x = inputs_as.encode(x)
    expected = model.run(x)  # type: ignore[union-attr]
    scores, states = build(tmp_path / "c", plan, compiler, *flags_for(kind)).run(x, trace=True)
    assert (scores == expected.output).all()
    check_states(states, plan, expected)
    assert all(np.count_nonzero(e) / e.size > 0.02 for e in expected.emitted[:-1])
    assert "float" not in re.sub(
        r"/\*.*?\*/", "", (tmp_path / "c" / "net.c").read_text(), flags=re.DOTALL
    )


@pytest.mark.parametrize("compiler", compilers())
def test_a_neuron_with_an_exponential_is_its_model_to_rounding(
    compiler: str, tmp_path: Path
) -> None:
    """Each C library rounds expf in its own way."""
    plan, model = exported(network("liquid"), tmp_path / "c")
    x = signal("spikes")
    expected = run_float32(model, x)
    scores, _ = build(tmp_path / "c", plan, compiler).run(x)
    assert np.abs(scores - expected.output).max() <= 1e-5 * np.abs(expected.output).max()
    assert np.count_nonzero(expected.emitted[0]) / expected.emitted[0].size > 0.02


@pytest.mark.parametrize("readout", ["integrator", "alif", "spike_count"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_the_model_agrees_with_the_reference(neuron: str, readout: str) -> None:
    """Sums are made in another order, so float32 may round otherwise: no spike of these short runs
    differs."""
    net = network(neuron, readout, backend="reference")
    x = signal("analog", 1, steps=25)
    with torch.no_grad():
        reference = net.run(torch.from_numpy(x))
    model = run_float32(device_network(net), x)
    for emitted, layer in zip(model.emitted, reference.layers, strict=False):
        np.testing.assert_allclose(
            emitted,
            layer.output.numpy() if layer is not reference.layers[-1] else emitted,
            atol=1e-4,
        )
    np.testing.assert_allclose(model.output, reference.output.numpy(), atol=1e-4)


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("format", ["float32", "int8"])
def test_sizes_and_counts_are_what_the_header_says(
    format: str, compiler: str, tmp_path: Path
) -> None:
    plan, model = exported(network("alif", recurrent=[False, True]), tmp_path / "c", format)
    x = signal("spikes")
    run = run_float32(model, x) if format == "float32" else model.run(x.astype(int))  # type: ignore[union-attr]
    program = build(tmp_path / "c", plan, compiler, "-DSRNN_COUNT")
    program.run(x)
    steps, sent = 2 * 60, [x, *run.emitted]
    own = run.emitted[1].astype(int)
    # What a recurrent layer hears of itself is what it emitted a step before.
    adds = (
        int(sent[0].sum()) * 12
        + int(sent[1].sum()) * 9
        + int(own[:, :-1].sum()) * 9
        + int(own.sum()) * 3
    )
    assert program.counts["synaptic_adds"] == adds
    assert program.counts["synaptic_multiplies"] == 0
    assert program.counts["steps"] == steps
    assert program.counts["state_bytes"] == plan.ram_bytes
    worst = plan.operations()
    assert program.counts["neuron_adds"] == steps * worst["neuron_adds"]
    assert program.counts["neuron_multiplies"] == steps * worst["neuron_multiplies"]
    assert worst["synaptic_adds"] == 5 * 12 + 12 * 9 + 9 * 9 + 9 * 3
    text = (tmp_path / "c" / "net.h").read_text()
    assert f"RAM {plan.ram_bytes} bytes" in text and f"Flash {plan.flash_bytes} bytes" in text
    report = json.loads((tmp_path / "c" / "net.json").read_text())
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


@pytest.mark.parametrize("compiler", compilers())
def test_products_of_few_weights_are_counted(compiler: str, tmp_path: Path) -> None:
    """Those of analog inputs alone, for layers hand on spikes: one for each weight that is left."""
    net, x = thinned(), signal("analog")
    plan, _ = exported(net, tmp_path / "c")
    program = build(tmp_path / "c", plan, compiler, "-DSRNN_COUNT")
    program.run(x)
    left = net.layers[0].weight_in.count_nonzero(0).numpy()  # of each input
    assert program.counts["synaptic_multiplies"] == ((x != 0).sum((0, 1)) * left).sum() > 0


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("format", ["float32", "int8"])
def test_few_weights_are_stored_sparsely(format: str, compiler: str, tmp_path: Path) -> None:
    net = thinned()
    plan, model = exported(net, tmp_path / "c", format)
    dense = make_plan(
        quantise(device_network(network())) if format == "int8" else device_network(network()),
        "net",
    )
    assert plan.flash_bytes < dense.flash_bytes
    assert any(matrix.sparse for layer in plan.layers for matrix in layer.matrices)
    x = signal("spikes")
    run = run_float32(model, x) if format == "float32" else model.run(x.astype(int))  # type: ignore[union-attr]
    scores, states = build(tmp_path / "c", plan, compiler, *SANITIZED).run(x, trace=True)
    assert (scores == run.output).all()
    check_states(states, plan, run)


@pytest.mark.parametrize("compiler", compilers())
def test_text_and_resets(compiler: str, tmp_path: Path) -> None:
    plan, model = exported(network(), tmp_path / "c", about="it ends */ nothing /* here\n?")
    x = signal("analog", steps=4)
    expected = run_float32(model, x).output
    lines = "\n".join(" , ".join(f"{value:.9g}" for value in row) for row in x.reshape(-1, 5))
    found = build(tmp_path / "c", plan, compiler).text("--steps", "4", given=lines)
    assert (
        np.array([line.split(",") for line in found.split()], np.float32).reshape(expected.shape)
        == expected
    ).all()


BAD = [
    ("1,0\n0,1\n1,1\n0,0\n1,1\n", "line 1: too few numbers"),
    ("1,0,0,0,0\n\n1,x,0,0,0\n", "line 3: something is not"),
    ("1 0 0 0 0\r\nnan,0,0,0,0\n", "line 2: something is not"),
    ("1e99,0,0,0,0\n", "line 1: something is not"),
    ("0,0,0,0,0,0\n", "line 1: too many numbers"),
    ("0,0,0,0,", "line 1: too few numbers"),
    ("1" * 80, "line 1: something is not"),
    ("1" * 9999, "line 1: it is too long"),
    ("0,0,0,0,0\0\n", "line 1: something is not"),
]
BAD_INT8 = [
    ("0,0,300,0,0\n", "line 1: something is not an integer"),
    ("0,0,0.5,0,0\n", "line 1: something is not an integer"),
]


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("format", ["float32", "int8"])
def test_bad_input_is_named_by_its_line(format: str, compiler: str, tmp_path: Path) -> None:
    plan, _ = exported(network(), tmp_path / "c", format)
    program = build(tmp_path / "c", plan, compiler, *SANITIZED)
    for text, message in BAD + (BAD_INT8 if format == "int8" else []):
        done = program.tried(given=text)
        assert done.returncode == 2, text
        assert done.stderr.startswith(message) and done.stderr.count("\n") == 1, (text, done.stderr)
        assert done.stdout.count("\n") == message.count("line 3") + message.count("line 2"), (
            "good lines before are answered"
        )
    assert program.text(given="") == program.text(given="\n \n") == ""
    assert program.text(given="1.0 0 0 1e0 0") == program.text(given="1,0,0,1,0\n") != ""
    for words in (
        ["--steps", "many"],
        ["--steps"],
        ["--encode", "1"],
        ["--state", str(tmp_path / "none")],
    ):
        done = program.tried(*words, given="")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, words
    done = program.tried("--binary", given="abc")
    assert done.returncode == 2 and done.stderr.startswith("step 1: the input ends within it")


@pytest.mark.parametrize("neuron", NEURONS)
def test_no_step_costs_more_than_promised(neuron: str, tmp_path: Path) -> None:
    """What analog neurons send is multiplied, too."""
    if not COMPILERS:
        pytest.skip("no C compiler")
    plan, _ = exported(network(neuron), tmp_path / "c")
    program, worst = build(tmp_path / "c", plan, COMPILERS[0], "-DSRNN_COUNT"), plan.operations()
    silent = neuron not in ("relu", "integrator")
    assert (worst["synaptic_multiplies"] == 0) == silent
    for kind in ("spikes", "analog"):
        x = signal(kind, batch=1)
        program.run(x)
        promised = "synaptic_multiplies" + ("_if_input_is_analog" if kind == "analog" else "")
        assert program.counts["synaptic_multiplies"] <= worst[promised] * x.shape[1], kind
        assert program.counts["synaptic_adds"] <= worst["synaptic_adds"] * x.shape[1], kind
        if not silent:
            assert worst["synaptic_multiplies"] == 12 * 12 + 12 * 9 + 9 * 9 + 9 * 3
            assert program.counts["synaptic_multiplies"] > 0, kind
    assert f"and {worst['synaptic_multiplies']} multiplications" in re.sub(
        r"\s*\n \* ", " ", (tmp_path / "c" / "net.h").read_text()
    )


@pytest.mark.parametrize("format", ["float32", "int8"])
def test_comments_are_whole(format: str, tmp_path: Path) -> None:
    """Long lines are broken: within a comment, every line begins with its star, and is filled."""
    exported(network("alif"), tmp_path / "c", format)
    for name in ("net.h", "net.c"):
        text = (tmp_path / "c" / name).read_text()
        assert max(map(len, text.split("\n"))) <= 118
        for comment in re.findall(r"^/\* .*?\*/", text, flags=re.DOTALL | re.MULTILINE):
            assert all(
                line.startswith(" *") and line != " * being" for line in comment.split("\n")[1:]
            ), comment
        assert not re.search(r"^ \* \w+\n \* \w+\n", text, flags=re.MULTILINE)


def test_long_lines_are_broken_where_it_reads_well() -> None:
    """A name stays with its type, the end of a comment with its last word."""
    first, last = folded(f"void step({'state *state, ' * 7}score scores[OUTPUTS]);").split("\n")
    assert first.endswith("state *state,") and last == "        score scores[OUTPUTS]);"
    first, last = folded("/* " + "word " * 22 + "at it */").split("\n")
    assert not first.endswith("it") and last == " * it */"


def test_random_initial_states_become_their_mean() -> None:
    neuron = {"name": "alif", "initial": {"u": "uniform(0, 0.1)", "s": "u", "e": 0.01}}
    device = device_network(SRNN(2, [3], 2, neuron=neuron, norm="none"))
    assert device.layers[0].initial["u"].tolist() == pytest.approx([0.05] * 3)
    assert device.layers[0].initial["e"].tolist() == pytest.approx([0.01] * 3)
    assert not device.layers[0].initial["s"].any()


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    out = tmp_path / "c"
    broken = network()
    with torch.no_grad():
        broken.layers[0].bias[2] = float("nan")
    cases = [
        ((network(bidirectional=True), out), "forwards only"),
        ((network(substeps=2), out), "substeps"),
        ((broken, out), "not finite"),
        ((network("relu"), out, "net", "int8"), "float32"),
        ((torch.nn.Linear(2, 2), out), "SRNN"),
    ]
    for arguments, words in cases:
        with pytest.raises(SrnnError, match=words):
            export_c(*arguments)  # type: ignore[arg-type]
    assert not out.exists()
    with pytest.raises(SrnnError, match="makes 4 inputs from 2 channels; this network has 5"):
        export_c(network(), out, encoder=CrossingPath(LevelCrossing(), 2))
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    with pytest.raises(SrnnError, match="not empty"):
        export_c(network(), out)
    with pytest.raises(SrnnError, match=r"not empty; choose another out\."):
        export_c(network(), out, overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["c", "mine.txt"]


@pytest.mark.parametrize("layout", ["plain", "arduino"])
def test_an_earlier_export_is_written_over_where_that_is_asked_for(
    layout: Any, tmp_path: Path
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    export_c(network(seed=1), out, layout=layout)
    (out / "network").write_text("built")
    with pytest.raises(
        SrnnError, match=r"not empty; overwrite=True replaces it, or choose another out\."
    ):
        export_c(network(seed=2), out, layout=layout)
    export_c(network(seed=2), out, layout=layout, overwrite=True)
    export_c(network(seed=2), fresh, layout=layout, overwrite=True)
    files = [path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()]
    assert all((out / file).read_bytes() == (fresh / file).read_bytes() for file in files)
    assert (out / "network").read_text() == "built"


# ---- the translator -------------------------------------------------------------------------------------------------


def expressions(depth: int = 3):
    names = st.sampled_from(["a", "b", "c", "0.5", "1.0"])
    return st.recursive(
        names,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*"), inner).map(
                lambda t: f"({t[0]}) {t[1]} ({t[2]})"
            ),
            inner.map(lambda text: f"-({text})"),
        ),
        max_leaves=8,
    )


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
    assert first.text == (
        "expf(u) * fabsf(s) / ((u - s) > 0.0f ? (u - s) : 0.0f) + (float)(u > s) * (1.0f - "
        "(float)(s <= 2.0f))"
    )


def test_steps_that_are_not_plain_arithmetic() -> None:
    for step, why in ((odd_step, "cannot use sin"), (branching_step, "cannot branch")):
        with pytest.raises(SrnnError, match=why):
            record(step, ("u", "s", "current", "gain"))
    for function, why in (
        (exp, "int8 has no 'exp'"),
        (
            lambda u: 0.01 * u,
            "The number 0.01 in a neuron's step does not fit the 8 fractional bits",
        ),
    ):
        with pytest.raises(SrnnError, match=why):
            recorded = record(lambda u, s, function=function: (function(u), s), ("u", "s"))
            recorded.run(FixedC(), [FixedText(n, 8, 8, Counter()) for n in "us"])


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of random weights in the layout of the published ECG network."""
    from support.restated import restate

    folder = tmp_path_factory.mktemp("ecg")
    np.savez(folder / "weights.npz", **restate("ecg")[0])  # type: ignore[arg-type]
    words = [
        "import",
        "ecg",
        "--weights",
        str(folder / "weights.npz"),
        "--out",
        str(folder / "run"),
    ]
    assert main_of_paper(words) == 0
    return folder / "run"


@pytest.mark.parametrize(
    "more", [["--format", "float32"], ["--format", "int8", "--inputs", "spikes", "--name", "heart"]]
)
def test_command(
    more: list[str], published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["export", "c", str(published), "--out", str(out)]
    assert main([*arguments, *more, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    name = "heart" if "--name" in more else "run"
    assert report["format"] == more[1] and report["name"] == name
    files = {
        "Makefile",
        f"{name}_main.c",
        f"{name}.json",
        f"{name}.c",
        f"{name}.h",
        f"{name}_weights.h",
    }
    assert {path.name for path in out.iterdir()} == files
    assert main([*arguments, *more]) == 2
    assert "not empty" in capsys.readouterr().err


def test_command_mistakes(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    words_for = ["export", "c", str(published), *out]
    cases = [
        (["export"], "Say which: srnn export c, "),
        (["export", "c", *out], "MODEL"),
        (["export", "c", str(tmp_path / "nothing"), *out], "was not found"),
        ([*words_for, "--inputs", "3"], "int8"),
        ([*words_for, "--format", "int8", "--inputs", "many"], "largest analog input"),
        ([*words_for, "--name", "a-b"], "C identifiers"),
        ([*words_for, "--formt", "int8"], "--format"),
    ]
    for words, message in cases:
        assert main(words) == 2, words
        found = capsys.readouterr()
        assert message in found.err and found.err.count("\n") == 1 and not found.out
    assert not (tmp_path / "out").exists()
