"""Surrogate gradients: they replace the derivative of the spike, which is zero or infinite
everywhere.

A neuron spikes when its drive ``v = u - theta`` (membrane minus threshold) is positive. On the way
back through time the derivative of that step is replaced by ``psi(v)``. Each surrogate is a small
frozen object: its parameters, and ``derivative`` as plain arithmetic, written once for torch, numpy
and every compiled kernel.

All of the paper's surrogates carry the dampening ``gamma = 0.5`` of the published code (the paper
omits it; so do not compare learning rates with a library that has gamma = 1 without setting it
here).

A surrogate of your own is a dataclass, as below. Once it is defined, recipes know it by its name:

    @dataclass(frozen=True)
    class Cauchy(Surrogate):
        name: ClassVar[str] = "cauchy"
        gamma: float = 0.5
        width: float = 0.3

        @staticmethod
        def derivative(v, gamma, width):
            return gamma / (1.0 + (v / width) * (v / width))
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar

from ..errors import SrnnError, is_number
from ..registry import OWN, create, define, defined
from ..text import brief
from .arithmetic import Coefficient, Number, absolute, exp, positive_part
from .equations import Record, record


def normal_density(x: Number, mean: Number, std: Number) -> Number:
    """Density of a normal distribution.

    Args:
        x: where.
        mean: of the distribution.
        std: its standard deviation.

    Returns:
        The density at x, of its shape.
    """
    z = (x - mean) / std
    return exp(-0.5 * (z * z)) * (1.0 / math.sqrt(2.0 * math.pi) / std)


DEFINED: dict[str, type[Surrogate]] = {}
"""The surrogates by name: the library's, and any other whose class has been defined in this
process."""


@dataclass(frozen=True)
class Surrogate:
    """Base of the surrogates: a name, parameters (the dataclass fields, positive numbers) and
    ``derivative(v, *parameters)``, which takes them in the order of the fields."""

    name: ClassVar[str] = ""
    derivative: ClassVar[Callable[..., Number]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        define(DEFINED, cls, __name__, ("derivative",))

    @property
    def parameters(self) -> tuple[float, ...]:
        """Parameters in the order in which ``derivative`` takes them."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            what = f"Surrogate '{self.name}': {field.name}"
            plain = isinstance(value, (int, float)) and is_number(value)  # as JSON holds it
            if not plain or abs(value) == math.inf or math.isnan(value):
                message = f"{what} must be a finite number, not {brief(value)}."
                raise SrnnError(message, "value", field.name)
            if field.name != "h" and value <= 0:
                raise SrnnError(f"{what} must be positive, not {value!r}.", "value", field.name)

    def digest(self) -> str:
        """The digest of its equation."""
        return derivative_record(type(self)).digest

    def describe(self) -> dict[str, Any]:
        """The surrogate as a mapping that ``as_surrogate`` reads back. SrnnError for a class whose
        name belongs to another."""
        return {"name": defined(DEFINED, type(self), "surrogate"), **asdict(self)}

    def __call__(self, v: Number) -> Number:
        """psi(v), elementwise; v = membrane - threshold, a torch tensor, a numpy array or a
        float."""
        return type(self).derivative(v, *self.parameters)


@dataclass(frozen=True)
class MultiGaussian(Surrogate):
    """The paper's surrogate (equation 1), with side lobes at +-sigma relative to the threshold.

    gamma [ (1+h) N(v; 0, sigma) - h N(v; sigma, s sigma) - h N(v; -sigma, s sigma) ]

    With the published h = .15, s = 6, sigma = .5 it crosses zero at |v| = 1.272 and is lowest,
    -.0159, at 1.864.
    """

    name: ClassVar[str] = "multi_gaussian"
    gamma: float = 0.5
    h: float = 0.15
    s: float = 6.0
    sigma: float = 0.5

    @staticmethod
    def derivative(
        v: Number, gamma: Coefficient, h: Coefficient, s: Coefficient, sigma: Coefficient
    ) -> Number:
        centre = (1.0 + h) * normal_density(v, 0.0, sigma)
        lobes = h * (normal_density(v, sigma, s * sigma) + normal_density(v, -sigma, s * sigma))
        return gamma * (centre - lobes)


@dataclass(frozen=True)
class Gaussian(Surrogate):
    """gamma N(v; 0, sigma); the paper's comparison, sigma = .5."""

    name: ClassVar[str] = "gaussian"
    gamma: float = 0.5
    sigma: float = 0.5

    @staticmethod
    def derivative(v: Number, gamma: Coefficient, sigma: Coefficient) -> Number:
        return gamma * normal_density(v, 0.0, sigma)


@dataclass(frozen=True)
class Linear(Surrogate):
    """gamma max(0, 1 - width |v|); a triangle (Bellec et al. 2018), the paper's alpha_linear =
    1."""

    name: ClassVar[str] = "linear"
    gamma: float = 0.5
    width: float = 1.0

    @staticmethod
    def derivative(v: Number, gamma: Coefficient, width: Coefficient) -> Number:
        return gamma * positive_part(1.0 - width * absolute(v))


@dataclass(frozen=True)
class SLayer(Surrogate):
    """gamma exp(-slope |v|) (Shrestha & Orchard 2018); the paper's alpha_slayer = 5."""

    name: ClassVar[str] = "slayer"
    gamma: float = 0.5
    slope: float = 5.0

    @staticmethod
    def derivative(v: Number, gamma: Coefficient, slope: Coefficient) -> Number:
        return gamma * exp(-slope * absolute(v))


@dataclass(frozen=True)
class ArcTan(Surrogate):
    """gamma (alpha/2) / (1 + (pi/2 alpha v)^2) (Fang et al. 2021); the default of other libraries,
    alpha = 2."""

    name: ClassVar[str] = "arctan"
    gamma: float = 1.0
    alpha: float = 2.0

    @staticmethod
    def derivative(v: Number, gamma: Coefficient, alpha: Coefficient) -> Number:
        z = 1.5707963267948966 * alpha * v  # pi/2
        return gamma * (0.5 * alpha) / (1.0 + z * z)


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """gamma / (1 + slope |v|)^2 (SuperSpike, Zenke & Ganguli 2018); slope = 25 as in other
    libraries."""

    name: ClassVar[str] = "fast_sigmoid"
    gamma: float = 1.0
    slope: float = 25.0

    @staticmethod
    def derivative(v: Number, gamma: Coefficient, slope: Coefficient) -> Number:
        z = 1.0 + slope * absolute(v)
        return gamma / (z * z)


SURROGATES: Mapping[str, type[Surrogate]] = MappingProxyType(
    {cls.name: cls for cls in (MultiGaussian, Gaussian, Linear, SLayer, ArcTan, FastSigmoid)}
)


def as_surrogate(spec: str | Mapping[str, Any] | Surrogate) -> Surrogate:
    """A surrogate from its name, from ``{"name": ..., parameter: value}``, or itself.

    Raises:
        SrnnError: ``name`` for an unknown name or parameter, suggesting the nearest one; ``value``
            for a derivative that is more than plain arithmetic.
    """
    surrogate = spec if isinstance(spec, Surrogate) else create("surrogate", DEFINED, spec, OWN)
    derivative_record(type(surrogate))
    return surrogate


@functools.cache
def derivative_record(model: type[Surrogate]) -> Record:
    """The record of psi(v, *parameters), whose only result is psi. SrnnError for what compiled
    kernels could not use, and for a derivative that takes other arguments, or its parameters in
    another order."""
    wanted = ["v", *(field.name for field in fields(model))]
    signature = inspect.signature(model.derivative)
    found = [*signature.parameters]
    try:
        signature.bind(*wanted)
        fits = found == wanted or sorted(found) != sorted(wanted)  # they may have other names
    except TypeError:
        fits = False
    if not fits:
        fields_of, own = ", ".join(wanted), ", ".join(found)
        raise SrnnError(
            f"derivative of the surrogate '{model.name}' must take ({fields_of}), the drive and "
            f"the fields of its @dataclass in their order, not ({own}).",
            "value",
            "derivative",
        )

    def psi(*arguments: Number) -> tuple[Number]:
        return (model.derivative(*arguments),)

    psi.__qualname__ = model.derivative.__qualname__
    return record(psi, wanted)
