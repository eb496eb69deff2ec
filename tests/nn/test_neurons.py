"""Neuron models: the contract, the derived adjoints against autograd, one text for torch and
numpy."""

from __future__ import annotations

import inspect
import math
import pickle
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from srnn.errors import SrnnError
from srnn.nn.derivatives import adjoint
from srnn.nn.equations import equations
from srnn.nn.network.layer import Layer
from srnn.nn.neurons import ALIF, LIF, NEURONS, Init, Neuron, as_neuron
from srnn.nn.neurons.base import decay
from srnn.nn.neurons.forms import detached_model, rounded_model
from srnn.nn.surrogates import Surrogate
from support.refusing import refuses

MODELS = sorted(NEURONS)


def random_arguments(name: str, seed: int = 0) -> list[torch.Tensor]:
    """State, s, current and coefficients of ``step`` for 50 neurons, float64."""
    model, generator = as_neuron(name), torch.Generator().manual_seed(seed)
    count = len(model.State._fields) + 1 + len(model.coefficients)
    return [torch.rand(50, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("name", MODELS)
def test_contract(name: str) -> None:
    """The signatures are what every backend relies on."""
    model = NEURONS[name]
    arguments = [*model.State._fields, "current", *model.coefficients]
    assert list(inspect.signature(model.step).parameters) == arguments
    gradients = [f"g_{variable}" for variable in model.variables()] + ["g_v"]
    assert list(inspect.signature(adjoint(model)).parameters) == gradients + arguments
    assert model.State._fields[0] == "u" and model.State._fields[-1] == "s"
    assert set(model.taus) <= set(model.parameters())
    values = {key: torch.full((3,), 5.0) for key in model.parameters()}
    assert len(model().derive(**values)) == len(model.coefficients)


@pytest.mark.parametrize("name", MODELS)
def test_adjoint_is_the_derivative_of_step(name: str) -> None:
    model = NEURONS[name]
    arguments = [value.requires_grad_() for value in random_arguments(name)]
    results = model.step(*arguments)
    incoming = [
        torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
        for i in range(len(results))
    ]
    expected = torch.autograd.grad(results, arguments, incoming, allow_unused=True)
    with torch.no_grad():
        found = adjoint(model)(*incoming, *arguments)
    assert len(found) == len(arguments)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(
            ours, torch.zeros(50).double() if theirs is None else theirs, rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize("name", MODELS)
def test_one_text_for_torch_and_numpy(name: str) -> None:
    arguments = random_arguments(name)
    by_torch = NEURONS[name].step(*arguments)
    by_numpy = NEURONS[name].step(*(value.numpy() for value in arguments))
    for left, right in zip(by_torch, by_numpy, strict=True):
        np.testing.assert_allclose(
            left.numpy(), right, rtol=1e-13 if "exp" in equations(NEURONS[name]).counts else 0
        )


def test_state_and_coefficients_are_the_arguments_of_step() -> None:
    assert ALIF.State._fields == ("u", "e", "s")
    assert ALIF.coefficients == ("alpha", "rho", "beta", "threshold")
    state = ALIF.State(1.0, 2.0, 3.0)
    assert repr(state) == "ALIFState(u=1.0, e=2.0, s=3.0)"
    again = pickle.loads(pickle.dumps(state))
    assert type(again) is ALIF.State
    assert again == state
    assert rounded_model(ALIF).State is detached_model(ALIF).State is ALIF.State
    assert rounded_model(ALIF).coefficients[:6] == (*ALIF.coefficients, "low_u", "top_u")


@pytest.mark.parametrize(
    "step", [lambda u, s: (u, u), lambda s, current: (s,), lambda s, u, current: (u, u)]
)
def test_a_step_of_other_arguments_is_refused(step: Any) -> None:
    with refuses("step"):
        type("Wrong", (Neuron,), {"step": staticmethod(step)})


@pytest.mark.parametrize("name", ["arriving", "incoming", "_u"])
def test_a_variable_that_a_state_has_for_something_else_or_cannot_have_is_refused(
    name: str,
) -> None:
    place: dict[str, Any] = {}
    exec(f"def step({name}, s, current):\n    return {name} + current, {name}", place)
    with refuses(name):
        type("Wrong", (Neuron,), {"step": place["step"]})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_drive_emits(dtype: torch.dtype) -> None:
    """A spike above the threshold, not at it; torch and numpy alike, in the drive's dtype."""
    drive = torch.tensor([-1.0, 0.0, 1e-30, 2.0], dtype=dtype)
    for name, wanted in (
        ("alif", [0, 0, 1, 1]),
        ("relu", [0, 0, 1e-30, 2]),
        ("integrator", [-1, 0, 1e-30, 2]),
    ):
        by_torch, by_numpy = NEURONS[name].emit(drive), NEURONS[name].emit(drive.numpy())
        assert torch.equal(by_torch, torch.tensor(wanted, dtype=dtype)) and by_torch.dtype == dtype
        assert by_numpy.dtype == drive.numpy().dtype and by_numpy.tolist() == by_torch.tolist()


def test_alif_step_by_hand() -> None:
    """Equations 5-8 with numbers worked out by hand: the reset uses the new threshold and the
    previous spike."""
    u, e, v = ALIF.step(0.5, 0.1, 1.0, 2.0, 0.9, 0.8, 1.8, 0.01)
    assert e == pytest.approx(0.8 * 0.1 + 0.2)  # .28
    assert u == pytest.approx(0.9 * 0.5 + 0.1 * 2.0 - (0.01 + 1.8 * 0.28))
    assert v == pytest.approx(u - (0.01 + 1.8 * 0.28))


def test_lif_of_the_papers_ablation() -> None:
    """u = .618 u + I, threshold .5, hard reset to zero."""
    model = LIF(tau_mem=1 / 0.382, resistance=1 / 0.382, threshold=0.5, trained=())  # type: ignore[arg-type]
    values = {
        name: getattr(model, name).sample(1, dtype=torch.float64) for name in model.parameters()
    }
    leak, gain, threshold, reset = (float(value) for value in model.derive(**values))
    assert (leak, gain, threshold, reset) == pytest.approx((0.618, 1.0, 0.5, 0.0))
    assert LIF.step(0.4, 0.0, 0.3, leak, gain, threshold, reset)[0] == pytest.approx(
        0.618 * 0.4 + 0.3
    )
    assert LIF.step(0.9, 1.0, 0.3, leak, gain, threshold, reset)[0] == pytest.approx(0.3)


def test_distributions() -> None:
    assert Init.parse("normal(20, 5)") == Init("normal", 20, 5)
    assert Init.parse(3) == Init("constant", 3) and Init.parse(str(Init("uniform", -1, 2))) == Init(
        "uniform", -1, 2
    )
    for number in (
        1 / 0.382,
        1.23456789,
        -1e-30,
        1e6,
        20.0,
    ):  # so that what is written down is the same neuron
        assert Init.parse(str(Init("normal", number, abs(number)))) == Init(
            "normal", number, abs(number)
        )
    assert str(Init("uniform", 0.1, 20)) == "uniform(0.1, 20)"
    assert Init.parse("constant(4)").sample(3).tolist() == [4, 4, 4]
    assert Init.parse(np.int64(3)) == Init("constant", 3)
    drawn = Init.parse("uniform(2, 3)").sample(1000, generator=torch.Generator().manual_seed(0))
    assert 2 <= drawn.min() < 2.05 and 2.95 < drawn.max() <= 3
    wide = Init.parse("loguniform(0.01, 100)")
    drawn = wide.sample(4000, generator=torch.Generator().manual_seed(0))
    assert 0.01 <= drawn.min() < 0.011 and 90 < drawn.max() <= 100
    assert abs(drawn.log10().mean()) < 0.06 and abs(drawn.mean() / wide.mean - 1) < 0.06
    assert Init.parse(str(wide)) == wide
    means = {"uniform(2, 4)": 3, "normal(5, 1)": 5, "loguniform(4, 4)": 4, "constant(7)": 7}
    assert {text: Init.parse(text).mean for text in means} == means
    drawn = Init.parse("normal(20, 5)").sample(4000, generator=torch.Generator().manual_seed(0))
    assert abs(drawn.mean() - 20) < 0.3 and abs(drawn.std() - 5) < 0.3
    assert (
        Init.parse("normal(4, 0)").sample(2).tolist()
        == Init.parse("uniform(4, 4)").sample(2).tolist()
        == Init.parse("loguniform(4, 4)").sample(2).tolist()
        == [4, 4]
    )
    for text in (
        "normal(20, 5)",
        "uniform(2, 3)",
        "loguniform(2, 3)",
        "3",
    ):  # by the given generator only, in the given precision
        one, other = (
            Init.parse(text if "(" in text else float(text)).sample(
                9, generator=torch.Generator().manual_seed(1), dtype=torch.float64
            )
            for _ in range(2)
        )
        assert torch.equal(one, other) and one.dtype == torch.float64


def test_settings() -> None:
    model = as_neuron(
        {
            "name": "alif",
            "beta": 0,
            "tau_mem": "normal(20, 1)",
            "trained": ["tau_mem"],
            "initial": {"s": "u"},
        }
    )
    assert isinstance(model, ALIF) and model.trained == ("tau_mem",)
    assert as_neuron(model.describe()) == model
    for wrong, hint in (
        ("allif", "alif"),
        ({"name": "alif", "tau_men": 3}, "tau_mem"),
        ({"beta": 1}, r"a mapping with a 'name', not by {'beta': 1}\.$"),
    ):
        with pytest.raises(SrnnError, match=hint):
            as_neuron(wrong)


ADAPTIVE = {
    "tau_mem": "normal(20, 5)",
    "tau_adp": "normal(150, 10)",
    "beta": 1.8,
    "threshold": 0.01,
}
RESONATOR = {"dt": 0.01, "refractory": 0.9, "threshold": 1}
DENDRITES: dict[str, float | str | Init] = {
    **{f"tau_{i}": 2 for i in (1, 2, 3, 4)},
    **{f"omega_{i}": (i - 1) * math.pi for i in (1, 2, 3, 4)},
    **{
        f"{part}_{i}": Init("normal", 0, math.sqrt(0.5))
        for part in ("re", "im")
        for i in (1, 2, 3, 4)
    },
    **{f"raise_{k}": 0.25 for k in (1, 2, 3, 4)},
}
GATES = dict.fromkeys(("mem_current", "mem_state", "adp_current", "adp_state"), "normal(0, 0.5)")


@pytest.mark.parametrize(
    ("name", "trained", "parameters"),
    [
        ("lif", "tau_mem", {"tau_mem": "normal(20, 5)", "threshold": 0.01, "resistance": 1, "reset": 0}),
        ("alif", "tau_mem tau_adp", ADAPTIVE),
        ("liquid", " ".join(["tau_mem tau_adp", *GATES]), ADAPTIVE | GATES),
        (
            "adlif", "tau_mem tau_adp a b",
            {"tau_mem": "uniform(5, 25)", "tau_adp": "uniform(60, 300)", "a": "uniform(0, 1)", "b": "uniform(0, 2)",
             "coupling": 120, "threshold": 1},
        ),
        (
            "silif", "tau_mem tau_adp log_dt a b",
            {"tau_mem": "loguniform(1, 25)", "tau_adp": "loguniform(25, 100)", "log_dt": 0, "a": "uniform(0, 1)",
             "b": "uniform(0, 2)", "threshold": 1},
        ),
        (
            "csilif", "tau_mem omega log_dt gain",
            {"tau_mem": 2, "omega": math.pi, "log_dt": Init("uniform", math.log(0.01), math.log(0.5)),
             "gain": "uniform(0, 2)", "threshold": 1},
        ),
        (
            "cubalif", "tau_mem tau_syn",
            {"tau_mem": "normal(20, 5)", "tau_syn": "normal(10, 2.5)", "gain": 1, "resistance": 1, "threshold": 0.02,
             "reset": 0},
        ),
        ("brf", "omega b_offset", {"omega": "uniform(15, 85)", "b_offset": "uniform(0.1, 1)", **RESONATOR}),
        ("bhrf", "omega b_offset", {"omega": "uniform(10, 50)", "b_offset": "uniform(1, 6)", **RESONATOR}),
        (
            "drf", " ".join(["log_dt", *DENDRITES]),
            {"log_dt": Init("uniform", math.log(0.001), math.log(0.1)), **DENDRITES, "threshold": 1},
        ),
        ("integrator", "tau_mem", {"tau_mem": "normal(20, 5)"}),
        ("relu", "tau_mem", {"tau_mem": "normal(20, 5)"}),
    ],
)  # fmt: skip
def test_what_a_recipe_leaves_out_stays_as_it_was_trained(
    name: str, trained: str, parameters: dict[str, float | str | Init]
) -> None:
    """Results were made with these values, of which their recipes name few."""
    neuron = as_neuron(name)
    assert {key: getattr(neuron, key) for key in neuron.parameters()} == {
        key: Init.parse(value) for key, value in parameters.items()
    }
    assert neuron.trained == tuple(trained.split()) and neuron.tau_min == (
        1.0 if name == "lif" else 0.1
    )
    kept_valid = "log" if name in ("silif", "csilif", "drf") else "linear"
    assert (neuron.time_constants, neuron.detach_reset, neuron.initial) == (kept_valid, False, ())
    assert neuron.taus == tuple(key for key in parameters if key.startswith("tau_"))


# ---- a neuron of one's own, and what may be wrong with it ----------------------------------------------------------------------


def _step(u: Any, s: Any, current: Any, alpha: Any, threshold: Any) -> Any:
    u = alpha * u + (1.0 - alpha) * current - threshold * s
    return u, u - threshold


@dataclass(frozen=True)
class _Leaky(Neuron):
    """Its step is a plain function among the fields."""

    name: ClassVar[str] = "test_leaky"
    step = _step

    tau_mem: Init = Init("constant", 5.0)
    threshold: Init = Init("constant", 0.2)

    def derive(self, **parameters: torch.Tensor) -> tuple[Any, ...]:
        return decay(parameters["tau_mem"]), parameters["threshold"]


def test_a_step_of_more_variables_has_a_state_of_its_own() -> None:
    """Even in a subclass of a model that has one; an annotation may also be text."""

    def step(u: Any, w: Any, s: Any, current: Any, alpha: Any, threshold: Any, bias: Any) -> Any:
        return u, w, u - threshold + bias

    body = {
        "name": "test_wide",
        "step": step,
        "__annotations__": {"bias": "srnn.Init"},
        "bias": Init("constant", 1.0),
    }
    wide: Any = dataclass(frozen=True)(type("Wide", (_Leaky,), body))
    assert wide.State._fields == ("u", "w", "s") and _Leaky.State._fields == ("u", "s")
    assert wide.coefficients == ("alpha", "threshold", "bias") and wide().parameters() == (
        "tau_mem",
        "threshold",
        "bias",
    )


def _leaky(**changed: Any) -> Neuron:
    model: Any = type("Leaky", (_Leaky,), {"name": "test_leaky", **changed})
    return model()


@pytest.mark.slow
def test_a_step_among_the_fields_is_no_method() -> None:
    x = torch.ones(1, 20, 2)
    found = [Layer(2, 3, _Leaky(), backend=name, recurrent=False) for name in ("reference", "auto")]
    found[1].load_state_dict(found[0].state_dict())
    outputs = [layer(x).output for layer in found]
    assert torch.equal(outputs[0], torch.as_tensor(outputs[1])) and outputs[0].requires_grad


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("step", {"step": lambda u, s, current, alpha, threshold: (u,)}),
        ("step", {"step": lambda u, s, current, alpha, threshold: alpha * u + current}),
        ("taus", {"taus": ("tau_syn",)}),
        ("derive", {"derive": lambda self, **p: (decay(p["tau_mem"]), 0.2)}),
        ("derive", {"derive": lambda self, **p: (decay(p["tau_mem"]),)}),
        ("derive", {"derive": lambda self, **p: None}),
        ("derive", {"derive": lambda self, **p: decay(p["tau_mem"])}),
        ("emission", {"emission": "graded"}),
        ("tau_min", {"tau_min": 0.0}),
        ("extra", {"extra": Init("constant", 1.0)}),
    ],
)
def test_a_neuron_that_is_not_valid_is_refused_when_a_network_is_made(
    field: str, changed: dict[str, Any]
) -> None:
    """Whatever the backend."""
    with refuses(field, "name" if field == "taus" else "value"):
        Layer(2, 3, _leaky(**changed))


def test_a_digest_tells_parameters_apart_by_their_names() -> None:
    swapped = _leaky(derive=lambda self, **p: (decay(p["threshold"]), p["tau_mem"]))
    assert _leaky().digest() == _Leaky(tau_mem=9).digest() != swapped.digest()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["values", "half", "type", "training", "digest", "detached"])
def test_a_parameter_that_its_class_or_torch_has_for_something_else_is_refused(name: str) -> None:
    body = {"name": "test_taken", "__annotations__": {name: Init}, name: Init("constant", 1.0)}
    own: Any = dataclass(frozen=True)(type("Own", (_Leaky,), body))
    with refuses(name):
        Layer(2, 3, own())


def test_a_field_that_compiled_loops_cannot_be_found_by_is_refused() -> None:
    body = {"name": "test_listed", "__annotations__": {"more": Any}, "more": ()}
    own: Any = dataclass(frozen=True)(type("Own", (_Leaky,), body))
    assert own(more=(1, 2)).more == (1, 2)
    with refuses("test_listed"):
        own(more=[1, 2])


@pytest.mark.parametrize("name", ["my-neuron", "my neuron", "", "3rd", "größe", "x){}//", 3])
@pytest.mark.parametrize("base", [LIF, Surrogate])
def test_functions_can_be_named_after_a_class_of_ones_own(base: type, name: Any) -> None:
    """In Python, and in the C of its network."""
    with pytest.raises(SrnnError, match=r"^The name of the class Own is .*'my_neuron'\.$"):
        type("Own", (base,), {"name": name})


@pytest.mark.parametrize(
    ("base", "missing", "given"),
    [(Neuron, "step", "derive"), (Neuron, "derive", "step"), (Surrogate, "derivative", "")],
)
def test_a_class_of_ones_own_lacks_no_function(base: type, missing: str, given: str) -> None:
    functions = {given: vars(_Leaky)[given]} if given else {}
    with pytest.raises(
        SrnnError, match=rf"^The class Own, named 'own', needs a function '{missing}'\.$"
    ):
        type("Own", (base,), {"name": "own", **functions})


@dataclass(frozen=True)
class _Unnamed(Neuron):
    step = _step
    derive = _Leaky.derive

    tau_mem: Init = Init("constant", 5.0)
    threshold: Init = Init("constant", 0.2)


def test_a_neuron_without_a_name_computes_and_is_not_written_down() -> None:
    x = torch.ones(1, 20, 2)
    named, unnamed = (
        Layer(2, 3, one, backend="reference", recurrent=False) for one in (_Leaky(), _Unnamed())
    )
    unnamed.load_state_dict(named.state_dict())
    assert torch.equal(torch.as_tensor(named(x).output), torch.as_tensor(unnamed(x).output))
    with pytest.raises(SrnnError, match="give it a name of its own"):
        _Unnamed().describe()
