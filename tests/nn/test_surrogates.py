"""Surrogates: the published values, and one text for torch, numpy and plain floats."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import srnn
from srnn.errors import SrnnError
from srnn.nn.arithmetic import absolute, positive_part
from srnn.nn.kernels.reference import spike
from srnn.nn.surrogates import SURROGATES, Linear, Surrogate, as_surrogate
from support.refusing import refuses

POINTS = np.array([0, 0.25, 0.5, 1, 2, 3, 5])
PUBLISHED = {
    "multi_gaussian": [0.439112, 0.385269, 0.258858, 0.043452, -0.015696, -0.012098, -0.005096],
    "gaussian": [0.398942, 0.352065, 0.241971, 0.053991, 0.000134, 0, 0],
    "linear": [0.5, 0.375, 0.25, 0, 0, 0, 0],
    "slayer": [0.5, 0.143252, 0.041042, 0.003369, 0.000023, 0, 0],
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_values(name: str) -> None:
    assert np.abs(as_surrogate(name)(POINTS) - PUBLISHED[name]).max() < 1e-6


def test_multi_gaussian_zero_and_minimum() -> None:
    psi = as_surrogate("multi_gaussian")
    v = np.linspace(0, 6, 600_001)
    values = psi(v)
    assert v[np.argmax(values < 0)] == pytest.approx(1.2722, abs=1e-4)
    assert values.min() == pytest.approx(-0.015866, abs=1e-6)
    assert v[values.argmin()] == pytest.approx(1.864, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("arctan", {}),
        ("arctan", {"alpha": 3}),
        ("fast_sigmoid", {}),
        ("fast_sigmoid", {"slope": 7}),
    ],
)
def test_shapes_of_other_libraries(name: str, settings: dict[str, float]) -> None:
    """arctan and fast sigmoid are the derivatives of the functions that they are named after."""
    psi = as_surrogate({"name": name, **settings})
    v, dv = 0.13, 1e-6
    smooth = {
        "arctan": lambda x: math.atan(math.pi / 2 * settings.get("alpha", 2.0) * x) / math.pi,
        "fast_sigmoid": lambda x: x / (1 + settings.get("slope", 25.0) * abs(x)),
    }[name]
    assert psi(v) == pytest.approx((smooth(v + dv) - smooth(v - dv)) / (2 * dv), rel=1e-6)


@pytest.mark.parametrize("name", sorted(SURROGATES))
@given(v=st.floats(-50, 50))
def test_one_text(name: str, v: float) -> None:
    psi = as_surrogate(name)
    by_torch = psi(torch.tensor([v, -v], dtype=torch.float64))
    assert np.allclose(by_torch.numpy(), psi(np.array([v, -v])), rtol=1e-12, atol=0)
    assert by_torch[0] == by_torch[1]  # all are even
    assert float(psi(v)) == pytest.approx(float(by_torch[0]), rel=1e-12)


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_spike_is_strict_and_its_gradient_is_psi(name: str) -> None:
    v = torch.tensor([-1.0, 0.0, 1e-30, 2.0], dtype=torch.float64, requires_grad=True)
    s = spike(v, as_surrogate(name))
    assert s.tolist() == [0, 0, 1, 1]
    s.sum().backward()
    assert v.grad is not None and torch.equal(v.grad, as_surrogate(name)(v.detach()))


def test_without_side_lobes_multi_gaussian_is_gaussian() -> None:
    """So h, alone of all parameters, may be 0."""
    plain = as_surrogate({"name": "multi_gaussian", "h": 0})
    assert np.allclose(plain(POINTS), as_surrogate("gaussian")(POINTS), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_what_describes_it_makes_it_again(name: str) -> None:
    values = {field.name: 0.25 + place for place, field in enumerate(fields(SURROGATES[name]))}
    surrogate = as_surrogate({"name": name, **values})
    assert as_surrogate(surrogate.describe()) == surrogate and surrogate.parameters == tuple(
        values.values()
    )


def test_settings() -> None:
    assert as_surrogate({"name": "slayer", "slope": 3}).parameters == (0.5, 3)
    for wrong, hint in (
        ("multi_gausian", "multi_gaussian"),
        ({"name": "slayer", "slop": 3}, "slope"),
        ({}, "a mapping with a 'name'"),
        ({"name:slayer": None}, "space must follow each colon"),
    ):
        with pytest.raises(SrnnError, match=hint):
            as_surrogate(wrong)


# ---- one of one's own ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lopsided(Surrogate):
    """Falls faster on one side than on the other."""

    name: ClassVar[str] = "test_lopsided"
    derivative: ClassVar[Any] = staticmethod(
        lambda v, gamma, below, above: (
            gamma / (1.0 + below * positive_part(-v) + above * positive_part(v))
        )
    )
    gamma: float = 0.5
    below: float = 2.0
    above: float = 5.0


def test_an_own_surrogate_is_known_by_its_name(tmp_path: Path) -> None:
    """Where any other is: in recipes, and in the files of networks that it trained."""
    assert as_surrogate({"name": "test_lopsided", "above": 4}) == Lopsided(above=4)
    net = srnn.SRNN.paper(3, [4], 2, surrogate=Lopsided(below=3.0), backend="reference")
    srnn.from_network(net, ["no", "yes"], loss="ce_mean").save(tmp_path / "own.safetensors")
    assert srnn.load(tmp_path / "own.safetensors").network.surrogate == Lopsided(below=3.0)
    with pytest.raises(SrnnError, match="import its module first"):
        as_surrogate("test_of_a_module_that_is_not_imported")


def test_an_own_surrogate_has_a_name_of_its_own() -> None:
    """Files would be read back with the other's derivative."""
    taken = dataclass(frozen=True)(type("Taken", (Linear,), {"name": "linear"}))()
    assert type(as_surrogate("linear")) is Linear
    with pytest.raises(
        SrnnError, match="The name 'linear' of the surrogate Taken belongs to another class"
    ):
        taken.describe()


@pytest.mark.parametrize(
    ("derivative", "given"),
    [
        (
            staticmethod(lambda v, b, a: a / (1.0 + b * absolute(v))),
            "v, b, a",
        ),  # taken in this order, so a and b were swapped
        (lambda self, v: self.a / (1.0 + absolute(v)), "self, v"),
        (staticmethod(lambda v, a: a / (1.0 + absolute(v))), "v, a"),
    ],
)
def test_a_derivative_takes_the_fields_in_their_order(derivative: Any, given: str) -> None:
    content = {
        "name": "test_order",
        "derivative": derivative,
        "a": 0.5,
        "b": 3.0,
        "__annotations__": {"a": float, "b": float},
    }
    surrogate = dataclass(frozen=True)(type("Order", (Surrogate,), content))()
    with refuses("derivative"):
        as_surrogate(surrogate)


def test_the_arguments_of_a_derivative_may_have_other_names() -> None:
    content = {
        "name": "test_renamed",
        "derivative": staticmethod(lambda x, k: k / (1.0 + absolute(x))),
        "a": 0.5,
    }
    renamed = dataclass(frozen=True)(
        type("Renamed", (Surrogate,), content | {"__annotations__": {"a": float}})
    )
    assert as_surrogate(renamed(a=3.0))(2.0) == 1.0


def test_a_derivative_is_plain_arithmetic() -> None:
    curved = dataclass(frozen=True)(
        type(
            "Curved",
            (Surrogate,),
            {"name": "test_curved", "derivative": staticmethod(lambda v: torch.tanh(v))},
        )
    )
    told = (
        r"The equations of .*lambda> cannot be recorded .*absolute, positive_part and "
        r"unit_step "
        r"from srnn.nn.arithmetic"
    )
    with pytest.raises(SrnnError, match=told):
        srnn.SRNN.paper(3, [4], 2, surrogate=curved())
    with pytest.raises(
        SrnnError, match=r"^The class Curved, named 'test_none', needs a function 'derivative'\.$"
    ):
        type("Curved", (Surrogate,), {"name": "test_none"})


@pytest.mark.parametrize(("what", "given"), [
    ("neuron", srnn.ALIF), ("neuron", [srnn.ALIF]), ("surrogate", srnn.SLayer), ("readout", srnn.Integrator),
    ("readout", srnn.Readout),
])  # fmt: skip
def test_a_class_in_place_of_its_object_is_refused_with_what_to_write(
    what: str, given: Any
) -> None:
    """A neuron's line asked for a list with one for each layer."""
    name = np.atleast_1d(given)[0].__name__
    with pytest.raises(
        SrnnError, match=rf"^A {what} is given as an object, {name}\(\), not as the class\.$"
    ):
        srnn.SRNN.paper(3, [4], 2, **{what: given})
