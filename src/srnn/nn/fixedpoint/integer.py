"""The integer model: a network with int8 weights that computes in integers only, bit for bit as the
int8 C does.

    weights      q = round(w / scale), -127..127; one scale per neuron; for its recurrent weights it is 2**k times as large as for
                 its input weights, with one k per layer, so that a shift is enough to add their sums
    sums         int32: the q of each synapse times its presynaptic neuron's output (a spike: 1)
    currents     sum x multiplier / 2**shift + bias, where multiplier / 2**shift is the neuron's scale in the layer's format
    state        int32 with F fractional bits; F is chosen for each layer so that its largest possible state fits;
                 between two steps it is kept like this, or in 16 or 8 bits (``state_format.py``)
    coefficients int32: multipliers (time constants among them) as fine as 31 bits allow, thresholds in the layer's format
    inputs       integers as they are (int8), or int16 with as many fractional bits as their range allows

The neuron's own ``step`` runs on ``FixedArray``; see ``fixed.py`` for what + - * mean there. Spikes
are 0 and 1. It is the reference of what runs, the same step compiled (``listing.py``).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

import numpy as np

from ...compiling import has_numba
from ...errors import SrnnError
from ...files.bounds import Between
from ...files.conversion import CheckedSettings
from ..equations import Record, equations, function
from ..frozen import Array, FrozenLayer, FrozenNetwork
from ..neurons import Neuron
from ..state_format import StateFormat
from .device import DeviceRun, States, run_steps
from .fixed import INT32_MAX, Fixed, FixedArray, rounded_shift
from .listing import Listing

FixedNumber = TypeVar("FixedNumber", bound=Fixed)
LEVELS = 127
"""Largest quantised weight."""
_STATE_BITS = 24  # more would be finer than float32
_COEFFICIENT_BITS = 30
_LARGEST_LIFT = 8
_LONG = 1000  # steps until a state has settled
_TOGETHER = 50  # steps whose numbers are compared at once
_KEPT = 2**16  # steps of which what all neurons emit is kept
_GROWTH = 16  # in the second half of them: more than the slowest leaks sum up, one after the other


@dataclass(frozen=True)
class InputFormat(CheckedSettings, key="inputs_as"):
    """The format of the network's input."""

    largest: Annotated[float, Between(0, 2**15, above=True, below=True)] = 1.0
    """The largest absolute value."""
    whole: bool = True
    """Whether all values are integers."""

    @classmethod
    def measure(cls, x: Array) -> InputFormat:
        """The format for inputs like these examples."""
        x = np.asarray(x)
        return cls(max(float(np.abs(x).max(initial=0)), 1e-3), bool((x == np.rint(x)).all()))

    @property
    def bits(self) -> int:
        """Fractional bits: an input is given as round(x * 2**bits)."""
        if self.whole and self.largest <= LEVELS:
            return 0
        return max(0, min(15, math.floor(math.log2(INT32_MAX / 2**16 / self.largest))))

    @property
    def bound(self) -> int:
        """The largest absolute value of an input as an integer: int8's or int16's."""
        if self.bits == 0 and self.largest <= LEVELS:
            return 128
        return 2**15

    def encode(self, x: Array) -> Array:
        """Inputs as integers (int64), saturating."""
        scaled = np.rint(np.asarray(x, np.float64) * 2.0**self.bits)
        return np.clip(scaled, -self.bound, self.bound - 1).astype(np.int64)


@dataclass(frozen=True, kw_only=True, repr=False)
class IntegerLayer(FrozenLayer):
    """A layer in integers (all arrays int64, within the ranges that the module's docstring
    gives)."""

    bits: int
    """Fractional bits of state, current and drive while a step computes."""
    width: int
    """Bits of a state variable between two steps."""
    kept_bits: dict[str, int]
    """Fractional bits of the state variables between two steps."""
    coefficient_bits: dict[str, int]
    multiplier: Array
    """(size,)."""
    shift: int
    lift: int
    """By how many bits recurrent sums are finer than those from below; negative: coarser. The
    coarser ones are summed first and multiplied by 2**abs(lift), then the finer ones are added."""
    largest_sum: Array
    """(size,), whatever arrives."""

    @property
    def emitted_bits(self) -> int:
        """Fractional bits of its emissions: none for spikes."""
        return emitted_bits(self.neuron, self.bits)

    def emitted(self, drive: FixedNumber) -> FixedNumber:
        """Its neurons' emissions, from their drive, in the format in which they are passed on:
        values with a bound in 16 bits."""
        value, emission = self.neuron.emit(drive.to(self.bits)), self.neuron.emission
        if emission.binary or math.isinf(emission.bound):
            return value.to(self.emitted_bits)
        return value.kept(self.emitted_bits, 16)

    @property
    def largest_current(self) -> int:
        """The largest absolute value of a current, whatever arrives and without saturation."""
        scaled = rounded_shift(self.largest_sum * self.multiplier, self.shift)
        return int((scaled + np.abs(self.bias)).max())

    def sums(self, seen: Array, s: Array) -> Array:
        """Weighted sums of the emissions that arrive.

        Args:
            seen: from below, (B, inputs).
            s: from the layer itself, (B, size).

        Returns:
            (B, size) int64.
        """
        # In float64, in which products of such small integers are exact and fast.
        sums = seen.astype(np.float64) @ self.weight_in.T.astype(np.float64)
        if self.weight_rec is not None:
            own = s.astype(np.float64) @ self.weight_rec.T.astype(np.float64)
            sums = sums * 2 ** max(self.lift, 0) + own * 2 ** max(-self.lift, 0)
        return sums.astype(np.int64)

    def current(
        self, sums: FixedNumber, constant: Callable[[Array, int], FixedNumber]
    ) -> FixedNumber:
        """Currents from sums.

        Args:
            sums: any kind of fixed-point numbers.
            constant: makes such numbers of integers (size,) and their fractional bits.

        Returns:
            Currents of that kind.
        """
        product = sums._product(constant(self.multiplier, 0), self.shift, self.bits)
        return product + constant(self.bias, self.bits)

    def step(
        self,
        variables: Sequence[FixedNumber],
        s: FixedNumber,
        sums: FixedNumber,
        constant: Callable[[Array, int], FixedNumber],
    ) -> tuple[list[FixedNumber], FixedNumber]:
        """A step of the layer, in any kind of fixed-point numbers.

        Args:
            variables: the neuron's, as they are kept.
            s: the last emissions.
            sums: as ``sums`` returns them.
            constant: see ``current``.

        Returns:
            The new variables, as they are kept, and the emissions.
        """
        wide = [variable.to(self.bits) for variable in variables]
        bits, current = self.coefficient_bits, self.current(sums, constant)
        coefficients = [constant(value, bits[name]) for name, value in self.coefficients.items()]
        *new, drive = self.neuron.step(*wide, s, current, *coefficients)
        formats = zip(new, self.kept_bits.values(), strict=True)
        kept = [one.kept(own_bits, self.width) for one, own_bits in formats]
        return kept, self.emitted(drive)

    def listing(self) -> Listing:
        """``step`` as a list of operations."""
        made = Listing(self.size, self.bits)
        variables = [made.given(bits) for bits in self.kept_bits.values()]
        s, sums = made.given(self.emitted_bits), made.given(0)
        kept, emitted = self.step(variables, s, sums, made.constant)
        made.keep([*kept, emitted])
        return made


def emitted_bits(neuron: Neuron, bits: int) -> int:
    """Fractional bits of a neuron's emissions.

    Args:
        neuron: the model.
        bits: fractional bits of its drive.

    Returns:
        0 for spikes, as many as 16 bits allow for values that have a bound, and those of the drive
        for others.
    """
    emission = neuron.emission
    if emission.binary:
        return 0
    if math.isinf(emission.bound):
        return bits
    return passed_on(neuron).bits


def passed_on(neuron: Neuron) -> InputFormat:
    """The format in which the next layer receives a neuron's emissions, which have a bound."""
    emission = neuron.emission
    if emission.binary:
        return InputFormat()
    return InputFormat(max(emission.bound, 1e-3), whole=False)


def _largest_emitted(neuron: Neuron) -> int:
    """The largest integer that a neuron emits: a spike is 1."""
    return 1 if neuron.emission.binary else passed_on(neuron).bound


@dataclass(frozen=True, kw_only=True, repr=False)
class IntegerNetwork(FrozenNetwork):
    """A network in integers; ``layers`` are IntegerLayers."""

    layers: tuple[IntegerLayer, ...]
    inputs_as: InputFormat

    @property
    def output_bits(self) -> int:
        """Fractional bits of the scores, which are the real ones times 2**output_bits as integers
        (spikes: 0 bits)."""
        readout = self.layers[-1]
        if readout.output == "emission":
            return readout.emitted_bits
        return readout.kept_bits[readout.neuron.variables()[0]]

    def run(self, x: Array, state: States | None = None) -> DeviceRun:
        """Run the network, compiled; to the bit as ``reference``.

        Args:
            x: (B, T, inputs) integers (see ``InputFormat.encode``).
            state: before the first step; None: the initial one.

        Returns:
            The result, in integers.
        """
        if not has_numba():
            return self.reference(x, state)
        from .compiled import run_layer

        if state is None:
            state = self.initial_state(len(x))
        seen, runs = np.asarray(x), list[DeviceRun]()
        for layer, part in zip(self.layers, state, strict=True):
            runs.append(run_layer(layer, layer.listing(), layer.lift, seen, part))
            seen = runs[-1].emitted[0]
        return DeviceRun(
            runs[-1].output,
            [run.emitted[0] for run in runs],
            [run.state[0] for run in runs],
            [run.largest[0] for run in runs],
            sum(run.saturated for run in runs),
        )

    def reference(self, x: Array, state: States | None = None) -> DeviceRun:
        """Run the network in numpy: step by step, and slow.

        Args:
            x: (B, T, inputs) integers.
            state: before the first step; None: the initial one.

        Returns:
            The result, in integers.
        """
        saturated = [0]

        def step(
            number: int, part: Mapping[str, Array], presynaptic: tuple[Array, Array]
        ) -> tuple[Sequence[Array], Array]:
            layer = self.layers[number]

            def fixed(values: Array, bits: int) -> FixedArray:
                return FixedArray(values, bits, layer.bits, saturated)

            variables = [fixed(part[name], bits) for name, bits in layer.kept_bits.items()]
            s, sums = fixed(part["s"], layer.emitted_bits), fixed(layer.sums(*presynaptic), 0)
            kept, emitted = layer.step(variables, s, sums, fixed)
            return [one.values for one in kept], emitted.values

        return replace(run_steps(self, np.asarray(x), state, step), saturated=saturated[0])


def quantise(
    network: FrozenNetwork,
    inputs_as: InputFormat | None = None,
    state_as: StateFormat | None = None,
) -> IntegerNetwork:
    """The network with int8 weights.

    Args:
        network: the network as arrays.
        inputs_as: the format of its input; None: spikes.
        state_as: how states are stored; None: as the network was trained for, or in 32 bits.

    Returns:
        The network in integers.

    Raises:
        SrnnError: ``unsupported``, for a network that int8 cannot represent (analog values between
            layers).
    """
    inputs_as, state_as = inputs_as or InputFormat(), state_as or network.state_as
    network.require("int8")
    formats = [inputs_as, *(passed_on(layer.neuron) for layer in network.layers[:-1])]
    largest = [inputs_as.bound, *(_largest_emitted(layer.neuron) for layer in network.layers[:-1])]
    given = enumerate(zip(network.layers, formats, largest, strict=True))
    layers = tuple(
        _quantise_layer(layer, form, most, state_as, number)
        for number, (layer, form, most) in given
    )
    signal = network.signal
    return IntegerNetwork(layers=layers, inputs_as=inputs_as, signal=signal, state_as=state_as)


def row_scales(weight_in: Array, weight_rec: Array | None) -> tuple[Array, int]:
    """The scales of int8 weights.

    Args:
        weight_in: (size, inputs).
        weight_rec: (size, size); None: a feed-forward layer.

    Returns:
        The value of one step of each neuron's input weights, (size,) float64, 0 for a neuron
        without weights; and k: one step of its recurrent weights is 2**k times as large.
    """
    steps = np.abs(weight_in.astype(np.float64)).max(1) / LEVELS
    if weight_rec is None:
        return steps, 0
    own = np.abs(weight_rec.astype(np.float64)).max(1) / LEVELS
    both = (steps > 0) & (own > 0)
    k = round(float(np.median(np.log2(own[both] / steps[both])))) if both.any() else 0
    k = max(-_LARGEST_LIFT, min(_LARGEST_LIFT, k))
    return np.maximum(steps, own * 2.0**-k), k


def rounded(matrix: Array, scales: Array) -> Array:
    """The int8 weights of a matrix.

    Args:
        matrix: (size, presynaptic).
        scales: (size,) as ``row_scales`` makes them.

    Returns:
        (size, presynaptic) int64.
    """
    steps = np.where(scales > 0, scales, 1.0)[:, None]
    return np.rint(matrix.astype(np.float64) / steps).astype(np.int64)


@functools.cache
def _every_number(model: type) -> Callable[..., tuple[Array, ...]]:
    """A neuron model's step that also returns, after the new state and the drive, the result of
    each of its operations."""
    own = equations(model)
    everything = (*own.results, *(node for node in own.nodes if node.operands))
    return function(f"every_number_of_{model.__name__}", Record(own.arguments, everything))


def largest_number(layer: FrozenLayer, largest_input: float) -> float:
    """How large any number in a layer's step can become under a long, strongest current of either
    sign.

    A current that changes sign can drive a resonating neuron somewhat further; int32 saturates
    there, and the integer model counts it.

    Args:
        layer: the layer.
        largest_input: the largest absolute value of its input.

    Returns:
        The largest absolute value, with a margin.

    Raises:
        SrnnError: ``unsupported``, if it grows without a bound.
    """
    reach = np.abs(layer.bias.astype(np.float64)) + np.abs(layer.weight_in).sum(1) * largest_input
    if layer.weight_rec is not None:
        reach = reach + np.abs(layer.weight_rec).sum(1) * layer.neuron.emission.bound
    neuron, multiplied = layer.neuron, equations(type(layer.neuron)).multiplied()
    added = [
        float(np.abs(value).max())
        for name, value in layer.coefficients.items()
        if name not in multiplied
    ]
    started = [float(np.abs(layer.initial[name]).max(initial=0)) for name in neuron.variables()]
    constants = [value.astype(np.float64) for value in layer.coefficients.values()]
    current = np.array([[1.0], [-1.0]]) * reach
    state = [
        np.broadcast_to(layer.initial[name].astype(np.float64), current.shape)
        for name in (*neuron.variables(), "s")
    ]
    step, peaks = _every_number(type(neuron)), []

    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        for _ in range(0, _LONG, _TOGETHER):
            passed = []
            for _ in range(_TOGETHER):
                numbers = step(*state, current, *constants)
                state = list(numbers[: len(state)])
                state[-1] = neuron.emit(state[-1])
                passed.append(numbers[len(state) :])
            peaks.append([np.abs(values).max() for values in zip(*passed, strict=True)])

    def largest(parts: int) -> float:
        # numpy's max, because Python's passes over NaN, which a state becomes once it has grown
        # beyond all numbers.
        moving = [peak for part in peaks[:parts] for peak in part]
        return float(np.max([reach.max(initial=0), 2.0**-6, *added, *started, *moving]))

    halfway, end = largest(len(peaks) // 2), largest(len(peaks))
    if not math.isfinite(end) or end > _GROWTH * halfway:
        raise SrnnError(
            f"A layer of {neuron.name} neurons has no bounded state (a time constant is negative, "
            "or its equations let it grow), which int8 needs: train it again, or export the network "
            "as float32.",
            "unsupported",
            layer.name,
        )
    return 2.0 * end


def _quantise_layer(
    layer: FrozenLayer,
    inputs_as: InputFormat,
    largest_input: int,
    state_as: StateFormat,
    number: int,
) -> IntegerLayer:
    """largest_input: the largest integer that arrives from below."""
    scales, k = row_scales(layer.weight_in, layer.weight_rec)
    weight_in, lift = rounded(layer.weight_in, scales), 0
    sums = np.abs(weight_in).sum(1) * largest_input
    weight_rec, unit = None, -inputs_as.bits
    if layer.weight_rec is not None:
        # A step of its recurrent sums is 2**own times the weights' step.
        own = k - passed_on(layer.neuron).bits
        weight_rec = rounded(layer.weight_rec, scales * 2.0**k)
        unit, lift = min(own, unit), unit - own
        sums = sums * 2 ** max(lift, 0)
        sums = sums + np.abs(weight_rec).sum(1) * _largest_emitted(layer.neuron) * 2 ** max(
            -lift, 0
        )
    if sums.max() > INT32_MAX:
        message = f"{layer.name}: sums of {layer.inputs} analog inputs may overflow int32"
        raise SrnnError(f"{message}. Export it as float32.", "unsupported", layer.name)

    largest = math.ceil(math.log2(largest_number(layer, inputs_as.largest)))
    bits = max(0, min(_STATE_BITS, 30 - largest))
    factors = scales * 2.0 ** (bits + unit)
    shift = min(62, 30 - math.ceil(math.log2(max(factors.max(), 2.0**-40))))
    if shift < 0:
        message = f"{layer.name}: its weights are too large for int32 (currents beyond 2^30)"
        raise SrnnError(f"{message}. Train it again.", "unsupported", layer.name)
    multiplied = equations(type(layer.neuron)).multiplied()
    coefficients, coefficient_bits = {}, {}
    for name, value in layer.coefficients.items():
        top = float(np.abs(value).max())
        finest = min(_COEFFICIENT_BITS, 30 - math.ceil(math.log2(max(top, 2.0**-20))))
        coefficient_bits[name] = finest if name in multiplied else bits
        coefficients[name] = _fixed(value, coefficient_bits[name])
    kept = {name: state_as.bits(number, name, bits) for name in layer.neuron.variables()}
    formats = {**kept, "s": emitted_bits(layer.neuron, bits)}
    initial = {name: _fixed(value, formats[name]) for name, value in layer.initial.items()}
    return IntegerLayer(
        name=layer.name,
        neuron=layer.neuron,
        weight_in=weight_in,
        weight_rec=weight_rec,
        bias=_fixed(layer.bias, bits),
        coefficients=coefficients,
        initial=initial,
        output=layer.output,
        bits=bits,
        width=state_as.width,
        kept_bits=kept,
        coefficient_bits=coefficient_bits,
        multiplier=np.rint(factors * 2.0**shift).astype(np.int64),
        shift=shift,
        lift=lift,
        largest_sum=sums,
        delays=layer.delays,
    )


def _fixed(value: Array, bits: int) -> Array:
    scaled = np.rint(value.astype(np.float64) * 2.0**bits)
    return np.clip(scaled, -INT32_MAX, INT32_MAX).astype(np.int64)


def measure_states(
    network: FrozenNetwork, x: Array, width: int, inputs_as: InputFormat | None = None
) -> StateFormat:
    """The format for states of few bits, from their ranges on examples.

    Args:
        network: the network as arrays.
        x: example inputs (B, T, inputs), real numbers.
        width: bits of every number.
        inputs_as: the format of the input; None: spikes.

    Returns:
        The format.

    Raises:
        SrnnError: ``unsupported``, for networks that int8 cannot represent.
    """
    ranges = () if width == 32 else measure_ranges(network, x, inputs_as)
    return StateFormat.of_ranges(width, ranges)


def measure_ranges(
    network: FrozenNetwork, x: Array, inputs_as: InputFormat | None = None
) -> tuple[dict[str, float], ...]:
    """The ranges of states in the integer model with 32-bit states.

    Args:
        network: the network as arrays.
        x: example inputs (B, T, inputs), real numbers.
        inputs_as: the format of the input; None: spikes.

    Returns:
        For each layer, the largest absolute value of each variable.

    Raises:
        SrnnError: ``unsupported``, for networks that int8 cannot represent.
    """
    model = quantise(network, inputs_as, StateFormat())
    state = model.initial_state(len(x))
    largest = [dict.fromkeys(layer.neuron.variables(), 0.0) for layer in model.layers]
    steps = max(1, _KEPT // max(1, len(x)))
    for begin in range(0, max(1, x.shape[1]), steps):
        run = model.run(model.inputs_as.encode(x[:, begin : begin + steps]), state)
        state = run.state
        for old, new in zip(largest, run.largest, strict=True):
            old.update({name: max(value, new[name]) for name, value in old.items()})
    return tuple(
        {name: value * 2.0**-layer.bits for name, value in values.items()}
        for values, layer in zip(largest, model.layers, strict=True)
    )
