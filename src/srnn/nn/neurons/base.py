"""The contract of a neuron model, which every file in this folder fulfils.

A model is a frozen dataclass (its parameters) with one pure function, ``step``, in plain
arithmetic: operators, comparisons, and the functions of ``srnn.nn.arithmetic``. Every way of
running it is derived from that one text (``srnn.nn.equations``): the reference calls it on torch
tensors under autograd, the compiled loops inline it and the adjoint derived from it, exporters
write its record in other languages. No backend restates a neuron.

    step(*state, s, current, *coefficients)          -> (*new_state, v)

``state`` are the model's variables (the membrane ``u`` first), ``s`` what the neuron emitted one
step ago, ``current`` the summed input, ``v`` the drive from which the emission is made
(``srnn.nn.emissions``): a spike where v > 0, or a value. The names of the arguments are those of
the variables and of the coefficients: they are stated nowhere else.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections import namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ...errors import SrnnError, is_number, nearest
from ...files.bounds import Positive
from ...files.conversion import CheckedSettings, check
from ...registry import define, defined
from ...text import brief, shapes
from ..arithmetic import Number, State
from ..emissions import SPIKE, Emission
from ..equations import digest_of, equations

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TimeConstants = Literal["linear", "log", "unconstrained"]
_NUMBERS = {"constant": 1, "normal": 2, "uniform": 2, "loguniform": 2}
"""How many numbers each distribution has."""


@dataclass(frozen=True)
class Init(CheckedSettings):
    """A distribution from which values are drawn, one per neuron (or per sequence and neuron, for
    initial states).

    ``Init.parse`` reads what recipes write: a number, or "normal(mean, std)", "uniform(low, high)",
    "loguniform(low, high)", "constant(value)".

    Args:
        distribution: "constant", "normal", "uniform" or "loguniform" (its logarithm is uniform).
        a: the value, the mean, or the lower bound.
        b: the standard deviation, or the upper bound.

    Raises:
        SrnnError: ``value``, for numbers that do not make a distribution.
    """

    distribution: Literal["constant", "normal", "uniform", "loguniform"]
    a: float
    b: float = 0.0

    @classmethod
    def parse(cls, text: Any, field: str = "distribution") -> Init:
        """Read a distribution.

        Args:
            text: a number, its text form, or an Init.
            field: the setting that has the value, for errors.

        Returns:
            The distribution.

        Raises:
            SrnnError: ``value``, for anything else.
        """
        if isinstance(text, Init):
            return text
        match = re.fullmatch(r"\s*(\w+)\s*\(([^()]*)\)\s*", text) if isinstance(text, str) else None
        try:
            if is_number(text):
                return cls("constant", float(text))
            if match and match[1] in _NUMBERS:
                try:
                    numbers = [float(part) for part in match[2].split(",")]
                except ValueError:
                    numbers = []
                if len(numbers) == _NUMBERS[match[1]]:
                    return cls(match[1], *numbers)  # type: ignore[arg-type]
        except SrnnError as error:  # which names a number of the distribution
            raise SrnnError(str(error), error.kind, field) from error
        raise SrnnError(
            f"{brief(text)} is not a distribution; write a number, normal(mean, std), "
            "uniform(low, high) or loguniform(low, high).",
            "value",
            field,
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, number in (("a", self.a), ("b", self.b)):
            if not math.isfinite(number):
                message = f"A distribution needs finite numbers, not {self.a} and {self.b}."
                raise SrnnError(message, "value", name)
        if self.distribution == "normal" and self.b < 0:
            raise SrnnError(f"{self}: the standard deviation must not be negative.", "value", "b")
        if self.distribution.endswith("uniform") and self.b < self.a:
            raise SrnnError(f"{self}: the upper bound lies below the lower one.", "value", "b")
        if self.distribution == "loguniform" and self.a <= 0:
            raise SrnnError(f"{self}: the lower bound must be above 0.", "value", "a")

    def __str__(self) -> str:
        numbers = (self.a,) if self.distribution == "constant" else (self.a, self.b)
        # As ``parse`` reads them back, in six digits where those are enough.
        texts = [f"{one:g}" if float(f"{one:g}") == one else repr(float(one)) for one in numbers]
        return f"{self.distribution}({', '.join(texts)})"

    @property
    def mean(self) -> float:
        """The expected value."""
        if self.distribution == "uniform":
            return (self.a + self.b) / 2
        if self.distribution == "loguniform" and self.a < self.b:
            return (self.b - self.a) / math.log(self.b / self.a)
        return self.a

    def sample(
        self, *shape: int, generator: torch.Generator | None = None, **options: Any
    ) -> Tensor:
        """Draw values.

        Args:
            shape: the shape of the values.
            generator: draws them; None: torch's global one.
            options: torch's dtype and device.

        Returns:
            A tensor of that shape.
        """
        import torch

        if self.distribution == "constant":
            return torch.full(shape, self.a, **options)
        if self.distribution == "uniform":
            return self.a + (self.b - self.a) * torch.rand(shape, generator=generator, **options)
        if self.distribution == "loguniform":
            return self.a * (self.b / self.a) ** torch.rand(shape, generator=generator, **options)
        return self.a + self.b * torch.randn(shape, generator=generator, **options)


_INIT_TYPES = (Init, "Init", "srnn.Init")
"""The annotations that make a field a parameter; text where the module postpones their
evaluation."""


DEFINED: dict[str, type[Neuron]] = {}
"""The models by name: the library's, and any other whose class has been defined in this process."""


@dataclass(frozen=True)
class Neuron:
    """Base of all neuron models. A subclass has a name, its parameter fields, ``step`` and
    ``derive``.

    Args:
        trained: names of the parameters that the optimiser may change; the others stay as drawn.
        initial: a mapping from variable names (state variables and ``s``) to distributions of the
            initial state, drawn per sequence and neuron; missing ones are zero. The text "u" gives
            a variable the very values drawn for u (the published ECG and SHD networks start like
            this, with u and s the same tensor).
        time_constants: how a trained time constant is kept valid: "linear" (equal to the parameter
            itself from one step upwards), "log" (the parameter is the logarithm), or
            "unconstrained" (as in the published networks; may go wrong).
        detach_reset: whether to block the gradient through ``step``'s argument ``s``: through the
            reset, and whatever else a neuron's own spike does to it (a jump of its adaptation).
            Values stay the same. Recurrent weights still pass it.
    """

    name: ClassVar[str] = ""
    State: ClassVar[Any]
    """NamedTuple of (*state variables, s), each (B, size): the arguments of ``step`` before
    ``current``."""
    coefficients: ClassVar[tuple[str, ...]]
    """Names of the per-neuron constants, in order: the arguments of ``step`` after ``current``."""
    emission: ClassVar[Emission] = SPIKE
    """What is passed on, made from the drive v."""
    taus: ClassVar[tuple[str, ...]] = ("tau_mem",)
    """Which parameter fields are time constants, in time steps."""
    tau_min: ClassVar[float] = 0.1
    """No trained time constant falls below this many steps."""
    step: ClassVar[Callable[..., State]]
    derive: ClassVar[Callable[..., tuple[Tensor, ...]]]
    """A method that returns the coefficients of ``step``, given the parameters' values by name:
    each of shape (size,), in the order of ``coefficients``."""
    detached: ClassVar[bool] = False
    """Whether the derivatives of ``step`` with respect to ``s`` are 0: see ``forms.py``, which
    makes such models."""

    trained: tuple[str, ...] = field(default=("tau_mem",), kw_only=True)
    initial: Mapping[str, Any] | tuple[tuple[str, Init | str], ...] = field(
        default=(), kw_only=True
    )
    time_constants: TimeConstants = field(default="linear", kw_only=True)
    detach_reset: bool = field(default=False, kw_only=True)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        step = vars(cls).get("step")
        if inspect.isfunction(step):  # a plain function among the fields would become a method
            cls.step = staticmethod(step)
        if step is not None:
            own = tuple(inspect.signature(cls.step).parameters)
            place = own.index("current") if "current" in own else 0
            if place < 2 or own[place - 1] != "s":
                taken = ", ".join(own)
                raise SrnnError(
                    "The step of a neuron takes (*variables, s, current, *coefficients), not "
                    f"({taken}).",
                    "value",
                    "step",
                )
            for name in own[: place - 1]:
                if name in ("arriving", "incoming") or name.startswith("_"):
                    raise SrnnError(
                        f"A neuron's variable cannot be called '{name}': in a state, 'arriving' "
                        "and 'incoming' are the spikes in flight, and no name may begin with _.",
                        "value",
                        name,
                    )
            cls.coefficients = own[place + 1 :]
            if getattr(getattr(cls, "State", None), "_fields", None) != own[:place]:
                cls.State = namedtuple(f"{cls.__name__}State", own[:place], module=cls.__module__)
                cls.State.__repr__ = shapes  # net(x) in a notebook would print all numbers
                cls.State.__qualname__ = f"{cls.__qualname__}.State"  # by which it is pickled
        check("tau_min", cls.tau_min, Positive)
        if not isinstance(cls.emission, Emission):
            raise SrnnError(
                f"The emission of {cls.__name__} must be an Emission, such as SPIKE, RELU or "
                f"IDENTITY of srnn.nn.emissions, not {brief(cls.emission)}.",
                "value",
                "emission",
            )
        define(DEFINED, cls, f"{__package__}.", ("step", "derive"))

    def __post_init__(self) -> None:
        for name in self.parameters():
            object.__setattr__(self, name, Init.parse(getattr(self, name), name))
        for name, value in vars(type(self)).items():
            if isinstance(value, Init) and name not in self.parameters():
                raise SrnnError(
                    f"'{name}' of the neuron '{self.name}' is not a parameter yet: annotate it "
                    f"({name}: Init = ...), in a class that is a @dataclass(frozen=True).",
                    "value",
                    name,
                )
        check("detach_reset", self.detach_reset, bool)
        check("time_constants", self.time_constants, TimeConstants)
        object.__setattr__(self, "trained", check("trained", self.trained, tuple[str, ...]))
        pairs = isinstance(self.initial, tuple) and all(
            isinstance(each, tuple) and len(each) == 2 for each in self.initial
        )
        if not (pairs or isinstance(self.initial, Mapping)):
            message = "initial must be a mapping from variables to distributions"
            raise SrnnError(f"{message}, not {self.initial!r}.", "value", "initial")
        for name in self.trained:
            if name not in self.parameters():
                hint = (
                    " Its field 'trained' states which are trained (trained: tuple[str, ...] = () "
                    "if none are)."
                )
                if self.trained != Neuron.trained:
                    hint = nearest(name, self.parameters())
                message = f"Neuron '{self.name}' has no parameter '{name}'.{hint}"
                raise SrnnError(message, "name", "trained")
        for name in self.taus:
            if name not in self.parameters():
                raise SrnnError(
                    f"'{name}', a time constant of the neuron '{self.name}', is not one of its "
                    "parameters: name those that are time constants in taus (taus = () if none "
                    "are).",
                    "name",
                    "taus",
                )
        variables = self.State._fields
        # Kept as pairs, so that a model can be hashed, copied and pickled.
        initial = {
            key: value if value == "u" else Init.parse(value, f"initial.{key}")
            for key, value in dict(self.initial).items()
        }
        for key, value in initial.items():
            if key not in variables:
                message = f"Neuron '{self.name}' has no state variable '{key}'."
                raise SrnnError(f"{message}{nearest(key, variables)}", "name", f"initial.{key}")
            if value == "u" and "u" not in variables[: variables.index(key)]:
                raise SrnnError(
                    f"'{key}' of the neuron '{self.name}' cannot start like u: u must be a "
                    "variable that comes before it.",
                    "value",
                    f"initial.{key}",
                )
        object.__setattr__(self, "initial", tuple(initial.items()))
        try:
            hash(self)  # by which compiled loops are found again
        except TypeError as error:
            message = f"A field of the neuron '{self.name}' has an {error}; use a tuple instead."
            raise SrnnError(message, "value", self.name) from error

    @classmethod
    @functools.cache
    def parameters(cls) -> tuple[str, ...]:
        """Names of the model's own parameter fields, in order."""
        common = {item.name for item in fields(Neuron)}
        return tuple(
            item.name
            for item in fields(cls)
            if item.name not in common and item.type in _INIT_TYPES
        )

    @classmethod
    def variables(cls) -> tuple[str, ...]:
        """Names of the state variables without s."""
        return cls.State._fields[:-1]

    def dynamics(self, **parameters: Tensor) -> dict[str, Tensor]:
        """The time constants that describe how the model moves, by name, each (size,) in time
        steps; infinite if it has none.

        By default these are the parameters in ``taus``. A model whose dynamics follow from other
        parameters derives them.
        """
        return {name: parameters[name] for name in self.taus}

    @classmethod
    def emit(cls, v: Number) -> Number:
        """What neurons with drive v, a tensor or an array, emit, in the dtype of v; spikes carry no
        gradient."""
        return cls.emission.value(v)

    def digest(self) -> str:
        """The digest of all it computes: its equations, and ``derive`` of some values, in as many
        digits as machines agree on."""
        import torch

        numbers: list[str] = []
        for value in (0.4, 3.0):  # a single neuron: a constant of derive's own is broadcast
            places = enumerate(self.parameters())
            one = {
                name: torch.full((1,), value * (1 + place / 8), dtype=torch.float64)
                for place, name in places
            }
            numbers += [
                f"{number:.5g}"
                for coefficient in self.derive(**one)
                for number in coefficient.tolist()
            ]
        return digest_of(
            equations(type(self)).digest, self.emission.digest, self.taus, self.tau_min, numbers
        )

    def describe(self) -> dict[str, Any]:
        """The model as a plain mapping that ``as_neuron`` reads back (for recipes and checkpoints).

        SrnnError for a class whose name belongs to another: reading the mapping back would give
        that class's equations.
        """
        name = defined(DEFINED, type(self), "neuron")
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        for key, value in values.items():
            if isinstance(value, Init):
                values[key] = str(value)
        values["trained"] = list(self.trained)
        values["initial"] = {key: str(value) for key, value in dict(self.initial).items()}
        return {"name": name, **values}


def decay(tau: Tensor) -> Tensor:
    """exp(-dt/tau) with dt = 1: the factor by which a variable of time constant tau (in steps)
    shrinks in one step."""
    return (-tau.reciprocal()).exp()


def clamped(value: Tensor, low: float, high: float) -> Tensor:
    """Clamp values, with the gradient of the identity, so that they can come back from outside.

    Args:
        value: any shape.
        low: the lower bound.
        high: the upper bound.

    Returns:
        The clamped values, of the same shape.
    """
    return value + (value.clamp(low, high) - value).detach()
