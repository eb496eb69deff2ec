"""Equations recorded once: adjoint and Jacobian against autograd, for the library's neurons and for
random expressions."""

from __future__ import annotations

import inspect
import linecache
import math
import operator
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srnn import SRNN, Init, Neuron
from srnn.deploy.c import export_c
from srnn.deploy.c.plan import make_plan
from srnn.deploy.export import onnx
from srnn.nn import arithmetic
from srnn.nn.arithmetic import absolute, exp, positive_part
from srnn.nn.derivatives import adjoint, jacobian_record
from srnn.nn.equations import Algebra, Record, arguments_of, equations, function, record
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.neurons import NEURONS
from srnn.nn.neurons.base import decay
from srnn.nn.neurons.forms import rounded_model
from support.compiled import build, compilers
from support.derivatives import jacobian
from support.refusing import refuses

MODELS = [
    *NEURONS.values(),
    *(rounded_model(NEURONS[name]) for name in ("alif", "adlif", "lif", "cubalif", "integrator")),
]
NAMES = ("a", "b", "c")


def _model(step: Any) -> Any:
    """The least that a derivative needs to know of a model: here a step with state (a), s = b and
    current = c."""
    state: Any = NamedTuple("State", [("a", Any), ("b", Any)])
    attributes = {
        "name": "made_up",
        "State": state,
        "coefficients": (),
        "detached": False,
        "step": staticmethod(step),
    }
    return type("Model", (), attributes)


def _numbers(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(40, generator=generator, dtype=torch.float64) for _ in range(count)]


def _derivatives(step: Any, arguments: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """[result][argument], by autograd."""
    leaves = [argument.clone().requires_grad_() for argument in arguments]
    rows = []
    for result in step(*leaves):
        if isinstance(result, torch.Tensor) and result.requires_grad:
            found = torch.autograd.grad(result.sum(), leaves, allow_unused=True, retain_graph=True)
        else:
            found = [None] * len(leaves)
        rows.append([torch.zeros(40).double() if one is None else one for one in found])
    return rows


def _check_derivatives(model: Any, arguments: list[torch.Tensor] | None = None) -> None:
    names = arguments_of(model)
    arguments = arguments or _numbers(len(names))
    expected = _derivatives(model.step, arguments)
    incoming = _numbers(len(expected), seed=1)
    found = adjoint(model)(*incoming, *arguments)
    assert len(found) == len(names)
    for place, gradient in enumerate(found):
        theirs = sum(g * row[place] for g, row in zip(incoming, expected, strict=True))
        assert torch.allclose(gradient, theirs, rtol=1e-10, atol=1e-12), names[place]
    entries = iter(jacobian(model)(*arguments))
    for row in expected:
        for theirs in row:
            ours = torch.as_tensor(next(entries), dtype=torch.float64).expand(40)
            assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    assert next(entries, None) is None


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_derivatives_of_every_neuron(model: Any) -> None:
    _check_derivatives(model)


def test_derivatives_at_a_kink_are_autograds() -> None:
    """Of max(0, x) at 0 it is 1, of |x| it is 0: silence brings a state to exactly there."""
    model = _model(
        lambda a, b, c: (positive_part(a) + 2.0 * absolute(b), absolute(a) - positive_part(-c))
    )
    _check_derivatives(model, [torch.zeros(40).double()] * 3)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_what_a_result_does_not_depend_on_has_the_number_0_in_the_jacobian(model: Any) -> None:
    """Which those who read the record leave out."""
    own, entries = equations(model), iter(jacobian_record(model).results)
    for result in own.results:
        used = Record(own.arguments, (result,)).used
        assert all(
            name in used or entry.value == 0.0
            for name, entry in zip(own.arguments, entries, strict=False)
        )


@pytest.mark.parametrize(
    "bound", [0.25, np.float64(0.25)]
)  # numpy's stays on the left of the comparison
def test_a_constant_where_a_comparison_is_true_has_the_precision_of_the_arguments(
    bound: float,
) -> None:
    _check_derivatives(_model(lambda a, b, c: (0.1 * a * (bound < b), b + c)))


def test_a_product_is_computed_once_in_whichever_order() -> None:
    entries = jacobian_record(_model(lambda a, b, c: (a * b * c, a * c * b))).results
    assert entries[0].operation == "multiply" and entries[0] is entries[3]


def test_derivatives_where_a_coefficient_is_called_as_a_function_is() -> None:
    model = _model(lambda a, b, current, exp: (arithmetic.exp(-absolute(a * exp)), b * current))
    model.coefficients = ("exp",)
    _check_derivatives(model)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_record_computes_what_step_computes(model: Any) -> None:
    """On numpy arrays, to the bit; and as the text that is made of it."""
    values = [value.numpy() for value in _numbers(len(arguments_of(model)))]
    expected = model.step(*values)
    for found in (
        equations(model).run(Algebra(), values),
        function("again", equations(model))(*values),
    ):
        for ours, theirs in zip(found, expected, strict=True):
            assert np.array_equal(ours, theirs)


def expressions() -> st.SearchStrategy[str]:
    """Random texts of the vocabulary in a, b and c; nothing is divided by what may be 0, and no
    exponent is large."""
    leaves = st.sampled_from([*NAMES, "0.5", "2.0", "1.0"])
    unary = (
        "-({})",
        "absolute({})",
        "positive_part({})",
        "exp(-absolute({}))",
        "({}) * ({} > 0.25)",
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*"), inner).map(
                lambda t: f"({t[0]}) {t[1]} ({t[2]})"
            ),
            st.tuples(inner, inner).map(lambda t: f"({t[0]}) / (1.0 + absolute({t[1]}))"),
            st.tuples(st.sampled_from(unary), inner).map(lambda t: t[0].replace("{}", t[1])),
        ),
        max_leaves=7,
    )


@given(first=expressions(), second=expressions())
def test_derivatives_of_random_equations(first: str, second: str) -> None:
    # The first assignment is used twice, so that gradients meet.
    text = (
        f"def step(a, b, c):\n    x = {first}\n    y = x * ({second})\n    return x + 0.0 * a, "
        "y - x + 0.0 * b"
    )
    space: dict[str, Any] = {"absolute": absolute, "exp": exp, "positive_part": positive_part}
    exec(text, space)
    _check_derivatives(_model(space["step"]))


def test_the_adjoint_reads_like_one_by_hand() -> None:
    """Terms of one gradient are taken together, so that nothing is multiplied twice."""
    text = inspect.getsource(adjoint(NEURONS["alif"]))
    assert "(u - current) * g_u_new" in text and "(e - s) * g_e_new" in text
    assert text.count("*") <= 13  # as many products as the one that stood here, written by hand
    assert linecache.getlines(adjoint(NEURONS["alif"]).__code__.co_filename)


def test_names_are_the_authors() -> None:
    assert list(equations(NEURONS["alif"]).names.values()) == ["e_new", "theta", "u_new"]
    assert list(equations(NEURONS["lif"]).names.values()) == ["u_2", "u_new"]


def test_counts_and_multipliers() -> None:
    own = equations(NEURONS["alif"])
    assert (own.counts["multiply"], own.counts["add"], own.counts["subtract"]) == (6, 3, 4)
    assert own.multiplied() >= {"alpha", "rho", "beta"} and "threshold" not in own.multiplied()
    assert equations(NEURONS["integrator"]).used == {"u", "current", "alpha"}

    def step(a: Any, b: Any, c: Any) -> tuple[Any, ...]:
        total = a + b
        return (total * c + (a - b) * total + (1.0 - b) * 0.5,)

    assert record(step, NAMES).multiplied() == {
        "b",
        "c",
    }  # as a factor, or as 1 - b: no sum, no difference
    assert record(step, NAMES).counts == {"add": 3, "subtract": 2, "multiply": 3}


@pytest.mark.parametrize(
    ("step", "field"),
    [
        (lambda a, b, c: (a if a > b else b, c), "bool"),
        (lambda a, b, c: (np.sin(a), c), "sin"),
        (lambda a, b, c: (np.add.reduce(a), c), "add"),
        (lambda a, b, c: (np.add(a, b, dtype=np.float32), c), "add"),
        (lambda a, b, c: (a * (b == 1.0), c), "equal"),  # which torch and numpy can
        (lambda a, b, c: (a * (b == c), c), "equal"),
        (lambda a, b, c: (operator.iadd(a, b), c), "add"),
        (lambda a, b, c: (a + 1e400, c), "constant"),
        (lambda a, b, c: (a * (math.inf - math.inf), c), "constant"),
        (lambda a, b, c: (a / (c - c), b / 0.0), "divide"),
        (lambda a, b, c: (np.maximum(a, 1.0), c), "maximum"),
        (lambda a, b, c: (a + 10**400, c), "<lambda>"),
        (lambda a, b, c: (a + 1 / 0, c), "<lambda>"),
        (lambda a, b, c: (a + math.sqrt(-1.0), c), "<lambda>"),
        (lambda a, b, c: (torch.sigmoid(a), c), "<lambda>"),
        (lambda a, b, c: ("text", c), "<lambda>"),
        (lambda a, b, c: (a.clamp(min=0), c), "<lambda>"),
    ],
)
def test_what_is_more_than_plain_arithmetic_is_refused(step: Any, field: str) -> None:
    """The field is the operation, or the function where that is unknown."""
    with refuses(field):
        record(step, NAMES)
    assert sys.gettrace() is None or "srnn" not in repr(sys.gettrace())


def test_a_debugger_goes_on_after_a_record() -> None:
    def debugger(*_: Any) -> None:
        pass

    before = sys.gettrace()
    sys.settrace(debugger)
    try:
        record(lambda a: (a * a,), ("a",))
        assert sys.gettrace() is debugger
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(
    "step",
    [
        lambda a, b, c: (a * (1.0 - (b > 0.0)), c),
        lambda a, b, c: (a + 0.1 * (b > 0.0), c),
        lambda a, b, c: (a * ((b > 0.0) * (b < 1.0)), c),
        lambda a, b, c: (a / (b > 0.0), c),
        lambda a, b, c: (a > 0.0, c),
    ],
)
def test_a_comparison_only_chooses(step: Any) -> None:
    """It is a boolean to torch and a number to others: elsewhere each would compute something else,
    or nothing."""
    with refuses("step"):
        equations(_model(step))


def test_a_step_that_draws_noise_is_refused() -> None:
    """The reference drew anew at every step; what was recorded took the first number for a
    constant."""
    rng = np.random.default_rng(0)
    with refuses("step"):
        equations(_model(lambda a, b, c: (a + b + rng.normal(), c)))


def _with_names_of_the_derived(
    v: Any, g_v: Any, s: Any, current: Any, g_g_v: Any, part: Any
) -> Any:
    """Its variables are called as arguments of the adjoint are, and what it computes as a function
    that it calls."""
    exp = arithmetic.exp(-absolute(v))
    g_v = 0.5 * g_v + exp * part
    v = v * g_g_v + current * exp - g_v * s
    return v, g_v, positive_part(v - g_v)


def test_names_of_the_author_are_in_nobodys_way() -> None:
    model: Any = _model(_with_names_of_the_derived)
    model.State = NamedTuple("State", [("v", Any), ("g_v", Any), ("s", Any)])
    model.coefficients = ("g_g_v", "part")
    _check_derivatives(model)
    arguments = _numbers(6)
    for ours, theirs in zip(
        function("again", equations(model))(*arguments), model.step(*arguments), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("step", [lambda a, b, c: (0.0, c), lambda a, b, c: (a, 1.0)])
def test_what_a_step_returns_varies(step: Any) -> None:
    """A number, or one a neuron, has not the shape of a state."""
    equations(_model(lambda a, b, c: (a, b)))
    with refuses("step"):
        equations(_model(step))


# ---- a neuron of one's own: its equations and nothing else --------------------------------------------------------------------


def own_step(u: Any, s: Any, current: Any, alpha: Any, threshold: Any, drop: Any) -> Any:
    felt = 2.0 * positive_part(current) - 0.5 * absolute(current - threshold)
    u = alpha * u + (1.0 - alpha) * felt - drop * s * (u > 0.0)
    return u, u - threshold * (1.0 + exp(-absolute(u)))


@dataclass(frozen=True)
class Own(Neuron):
    """Uses all that equations may use."""

    name: ClassVar[str] = "own"
    step = staticmethod(own_step)

    tau_mem: Init = Init("uniform", 2.0, 6.0)
    threshold: Init = Init("uniform", 0.02, 0.1)
    drop: Init = Init("constant", 0.1)
    trained: tuple[str, ...] = field(default=("tau_mem", "threshold", "drop"), kw_only=True)

    def derive(self, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return decay(parameters["tau_mem"]), parameters["threshold"], parameters["drop"]


def _own_network(dtype: torch.dtype = torch.float64, backend: str = "cpu") -> SRNN:
    generator = torch.Generator().manual_seed(0)
    return SRNN(3, [10, 8], 2, neuron=Own(), generator=generator, backend=backend, norm="none").to(
        dtype
    )


def _own_signal() -> torch.Tensor:
    return 3.0 * torch.randn(
        4, 60, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


@pytest.mark.slow
def test_an_own_neuron_is_fast_and_right_on_the_cpu_backend() -> None:
    pytest.importorskip("numba")
    found = []
    for backend in ("reference", "cpu"):
        network = _own_network(backend=backend)
        output = network(_own_signal())[0]
        (output * torch.arange(2.0)).sum().backward()
        spikes = [layer.output.mean().detach() for layer in network.run(_own_signal()).layers[:-1]]
        found.append([output, *spikes, *(parameter.grad for parameter in network.parameters())])
    assert all(0.05 < float(rate) < 0.8 for rate in found[0][1:3])
    for ours, reference in zip(found[1], found[0], strict=True):
        assert torch.allclose(ours, reference, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("compiler", compilers())
def test_an_own_neuron_is_exported_to_c(compiler: str, tmp_path: Path) -> None:
    """With the spikes of the float32 model; only exp may differ in last bits, by the C library."""
    model = device_network(_own_network(torch.float32))
    export_c(model, tmp_path / "own", "own")
    text = (tmp_path / "own" / "own.c").read_text()
    assert "#include <math.h>" in text and "const float felt = " in text
    program = build(tmp_path / "own", make_plan(model, "own"), compiler, "-lm")
    x = _own_signal().float().numpy()
    scores, _ = program.run(x)
    assert np.allclose(scores, run_float32(model, x).output, rtol=1e-5, atol=1e-6)


def test_an_own_neuron_is_exported_to_onnx() -> None:
    pytest.importorskip("onnxruntime")
    network = _own_network()
    assert (
        onnx.greatest_difference(onnx.to_model(network, "sequence"), network, _own_signal()) < 1e-9
    )


def test_records_are_read_without_torch() -> None:
    """Of neurons' equations, emissions and decisions, so that what only infers need not import
    it."""
    code = (
        "import sys, srnn.nn.equations, srnn.nn.derivatives, srnn.nn.emissions, srnn.nn.decision\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
