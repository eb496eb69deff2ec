"""Random models, and recordings for them: every form of input, every kind of answer, and networks
most of whose neurons spike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch

import srnn
from srnn import SRNN, SrnnError
from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.speech import SpeechFeatures, Statistics
from srnn.data.linear import LinearPart
from srnn.data.signals import CrossingPath, ScaledPath, SignalPath, SpeechPath, Steps
from srnn.data.targets import Targets
from srnn.model.exit_policy import ExitPolicy
from srnn.nn.alarm import Alarm, errors_of
from srnn.nn.decision import RULES, Rule, softmax
from srnn.nn.fixedpoint.device import device_network, run_steps
from srnn.nn.fixedpoint.integer import InputFormat, measure_ranges, quantise
from srnn.nn.fixedpoint.sensor import SensorFormat
from support.deciding import LEAKY
from support.exporting import NEURONS
from support.graded import BoundedALIF
from support.sounds import tone

NAMES = "abcd"
CHANNELS = 4
COMPILED = (("alif",), (BoundedALIF.name,), ("lif", "adlif"), (BoundedALIF.name, "alif"))
"""Layers, of which each is compiled; what is drawn beside is not."""
MORE = (
    ("silif",),
    ("csilif", "alif"),
    ("brf",),
    ("bhrf", "lif"),
    ("drf",),
    ("cubalif", "cubalif-soft"),
    ("adlif", "lif", "alif"),
)
LEAKY_SOFT = Rule("leaky mean of softmax(output)", counted=softmax, joined=LEAKY.joined)
SHIFTED = Rule(
    "excess", counted=lambda x: (x + 0.5) * 0.5, joined=lambda total, y: total + 0.5 * (y - total)
)
LEAKY_VALUE = Rule("leaky mean of its output", joined=LEAKY.joined, confidence=None)
OWN = {"leaky": LEAKY, "leaky softmax": LEAKY_SOFT, "shifted": SHIFTED, "leaky value": LEAKY_VALUE}
"""Rules that the library does not have."""
KINDS = [*RULES, *OWN, "linear", "alarm"]
"""Of answers: by each rule; values with a linear part; the score of an alarm."""
_CLEAR = 2e-5
"""How far every membrane stays from its threshold: further than float32 rounds."""


@dataclass(frozen=True)
class Given:
    """What a network reads."""

    path: SignalPath
    inputs_as: InputFormat
    draw: Callable[[np.random.Generator, int], np.ndarray]
    """A recording of about so many steps, (samples, channels) float32, in the signal's unit."""

    @property
    def std(self) -> tuple[float, ...] | None:
        """Deviations that the C is told; None: none."""
        path = self.path
        return path.std if isinstance(path, CrossingPath) and path.horizon is None else None

    def samples(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A recording as samples of the float32 library, and of the one in integers."""
        path, floats = self.path, x.astype(np.float32)
        if isinstance(path, SpeechPath):
            sound = np.clip(np.rint(x.astype(float) * 32768), -32768, 32767).astype(np.int16)
            return sound, sound
        if isinstance(path, CrossingPath):
            return floats, np.rint(x.astype(float) * PER_UNIT).astype(np.int64)
        if (sensor := self.sensor) is not None:
            return floats, sensor.samples(x)
        return floats, self.inputs_as.encode(x)

    @property
    def sensor(self) -> SensorFormat | None:
        """How channels are scaled in integers; None: they are not."""
        path = self.path
        if not isinstance(path, ScaledPath) or path.statistics is None:
            return None
        return SensorFormat.of(*path.statistics[:2], self.inputs_as, None, path.pool)

    def inputs(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A recording as inputs of the float32 network, and of the one in integers."""
        path = self.path
        floats, integers = self.samples(x)
        if isinstance(path, CrossingPath):
            small = tuple(one * PER_UNIT for one in self.std or ())
            return (
                path.in_c(floats, self.std or ()),
                path.in_c(integers, small, integer=True).astype(np.int64),
            )
        steps = path.whole(x)
        if (sensor := self.sensor) is not None:
            return steps, sensor.inputs(integers)
        return steps, self.inputs_as.encode(steps)


PER_UNIT = 1000
"""What 1 in a signal's unit is for level crossings in integers, as in a page."""


def _steps(form: InputFormat, draw: Callable[..., np.ndarray]) -> Given:
    def recording(rng: np.random.Generator, length: int) -> np.ndarray:
        return draw(rng, (length, CHANNELS)).astype(np.float32)

    return Given(Steps(CHANNELS), form, recording)


def _walk(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Something smooth, about 0."""
    walk = rng.normal(0, 1, shape).cumsum(0)
    return walk - np.linspace(0, 1, len(walk))[:, None] * walk[-1:]


def _analog(rng: np.random.Generator) -> Given:
    largest = float(rng.choice([0.9, 1.0, 3.0, 100.0]))

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        x = rng.normal(0, largest / 2, shape) * (rng.random(shape) < 0.7)
        halves = np.rint(x * 2.0**form.bits) + 0.5  # which are rounded half to even
        return np.where(rng.random(shape) < 0.1, halves / 2.0**form.bits, x)

    form = InputFormat(largest, whole=False)
    return _steps(form, draw)


def _sensor(rng: np.random.Generator) -> Given:
    mean, std = rng.normal(0, 30, CHANNELS), np.exp(rng.normal(0, 3, CHANNELS))
    statistics = Statistics(mean.astype(np.float32), std.astype(np.float32))
    pool = int(rng.choice([1, 1, 2, 3]))
    names, units = ("ax", "ay", "az", "temp"), ("g", "g", "g", None)
    path = ScaledPath(CHANNELS, 50.0, statistics, pool=pool, names=names, units=units)

    def draw(rng: np.random.Generator, length: int) -> np.ndarray:
        x = mean + std * rng.normal(0, 1, (length * pool + int(rng.integers(pool)), CHANNELS))
        return x.astype(np.float32)

    return Given(path, InputFormat(8.0, whole=False), draw)


def _crossing(rng: np.random.Generator, running: bool) -> Given:
    rule: Any = rng.choice(["difference", "send_on_delta"])
    scale = (tuple(rng.normal(0, 1, 2).tolist()), tuple(rng.uniform(0.2, 2, 2).tolist()))
    thresholds = rng.uniform(0.5, 1.5, 2) if running else rng.uniform(0.2, 0.8, 2)
    crossing = LevelCrossing(rule, *thresholds.tolist())
    path = CrossingPath(
        crossing,
        2,
        100.0,
        smoothing=int(rng.choice([0, 5, 7])),
        scale=None if running else scale,
        horizon=0.2 if running else None,
    )

    def draw(rng: np.random.Generator, length: int) -> np.ndarray:
        return (np.array(scale[0]) + np.array(scale[1]) * _walk(rng, (length, 2))).astype("f4")

    return Given(path, InputFormat(), draw)


@cache
def _speech() -> SpeechPath:
    features = SpeechFeatures(rate=8000, mels=6, derivatives=1, normalise="training")
    known = [features.expand(features.frames(tone(0.5, 8000, hz) / 32768)) for hz in (300, 1500)]
    return SpeechPath(features, None, features.fit(known))


def _sound(rng: np.random.Generator) -> Given:
    def draw(rng: np.random.Generator, length: int) -> np.ndarray:
        samples = 80 * max(length // 2, 12) + int(rng.integers(80))  # shorter sound has no frames
        hz = rng.uniform(100, 3000, 3)
        t = np.arange(samples)[:, None] / 8000
        x = np.sin(2 * np.pi * hz * t) @ rng.uniform(0, 0.4, (3, 1))
        whole = np.rint((x + rng.normal(0, 0.02, x.shape)) * 32767)
        return (np.clip(whole, -32768, 32767) / 32768).astype(np.float32)

    return Given(_speech(), InputFormat(16.0, whole=False), draw)


FORMS: dict[str, Callable[[np.random.Generator], Given]] = {
    "spikes": lambda rng: _steps(InputFormat(), lambda rng, shape: rng.random(shape) < 0.4),
    "counts": lambda rng: _steps(InputFormat(), lambda rng, shape: rng.integers(-2, 4, shape)),
    "wide counts": lambda rng: _steps(
        InputFormat(float(rng.choice([300, 20_000]))),
        lambda rng, shape: rng.integers(-300, 300, shape),
    ),
    "analog": _analog,
    "sensor": _sensor,
    "running crossings": lambda rng: _crossing(rng, True),
    "crossings": lambda rng: _crossing(rng, False),
    "sound": _sound,
}
"""Of what a network reads."""


@dataclass(frozen=True)
class Case:
    """A random model with recordings for it."""

    kind: str
    given: Given
    model: srnn.Model
    xs: list[np.ndarray]
    state_bits: int
    """In which int8 C keeps a state."""

    @property
    def neurons(self) -> set[str]:
        """Names of those of its hidden layers."""
        return {layer.neuron.name for layer in self.model.frozen("run").layers[:-1]}

    @property
    def steps(self) -> list[np.ndarray]:
        """What the network reads of each recording, (T, inputs)."""
        return [self.given.path.whole(x) for x in self.xs]


def drawn(
    rng: np.random.Generator,
    readout: str,
    inputs: int = CHANNELS,
    outputs: int = len(NAMES),
    layers: Sequence[tuple[str, ...]] = COMPILED,
    **options: Any,
) -> SRNN:
    """A network of random layers, most of whose neurons spike."""
    neurons = layers[int(rng.integers(len(layers)))]
    depth = len(neurons)
    recurrent = rng.choice([True, False], depth).tolist()
    delays = [None, {"input": 2}, {"recurrent": "uniform(0, 3)"}]
    hidden = rng.integers(5, 12, depth).tolist()
    net = SRNN.paper(
        inputs,
        hidden,
        outputs,
        neuron=[NEURONS.get(name, name) for name in neurons],
        readout=readout,
        recurrent=recurrent,
        delays=[delays[int(rng.integers(3))] for _ in range(depth)],
        generator=torch.Generator().manual_seed(int(rng.integers(2**31))),
        **options,
    )
    with torch.no_grad():
        for layer in [*net.layers, net.readout]:
            layer.weight_in *= 6
            layer.bias.normal_(0.3, 0.3, generator=torch.Generator().manual_seed(depth))
    return net.eval()


def outputs_of(net: SRNN, steps: np.ndarray) -> np.ndarray:
    """What its readout gives for steps (T, inputs): (T, outputs)."""
    with torch.no_grad():
        return (
            net.run(torch.from_numpy(np.ascontiguousarray(steps, np.float32))[None])
            .output[0]
            .numpy()
        )


def _varies(net: SRNN, given: Given, x: np.ndarray, classes: bool) -> bool:
    """Whether its answers vary, in int8, too, whose sums graded values may exceed."""
    outputs = [outputs_of(net, given.path.whole(x))]
    if net.substeps == 1:
        try:
            small = quantise(device_network(net), given.inputs_as)
            outputs.append(small.run(given.inputs(x)[1][None]).output[0])
        except SrnnError:
            return False
    if not classes:
        return all((np.ptp(output, 0) > 0).all() for output in outputs)
    return all(len(np.unique(output.argmax(-1))) > 1 for output in outputs)


def clear(net: SRNN, steps: np.ndarray) -> bool:
    """Whether rounding decides of no spike."""
    device = device_network(net)
    layers = [layer.as_type(np.float64) for layer in device.layers]
    nearest = [np.inf]

    def step(number: int, part: Any, presynaptic: Any) -> Any:
        layer = layers[number]
        current = layer.bias + presynaptic[0] @ layer.weight_in.T
        if layer.weight_rec is not None:
            current = current + presynaptic[1] @ layer.weight_rec.T
        variables = [part[name] for name in layer.neuron.variables()]
        *new, drive = layer.neuron.step(
            *variables, part["s"], current, *layer.coefficients.values()
        )
        if layer.neuron.emission.binary and (
            number < len(layers) - 1 or layer.output != "membrane"
        ):
            nearest.append(float(np.abs(drive).min()))
        return new, layer.neuron.emit(drive)

    run_steps(replace(device, layers=tuple(layers)), steps[None].astype(float), None, step)
    return min(nearest) > _CLEAR


def lengths(rng: np.random.Generator) -> tuple[int, int, int]:
    """Of one step, of few, and of many."""
    return 1, int(rng.integers(2, 8)), int(rng.integers(30, 60))


def rounds_alike(given: Given, x: np.ndarray) -> bool:
    """Whether Python, in float64, sees the crossings that float32 sees; and log energies of sound
    are rounded to float16 as they arrive as they are at once."""
    path = given.path
    if isinstance(path, CrossingPath):
        return np.array_equal(path.whole(x), given.inputs(x)[0])
    if isinstance(path, SpeechPath):
        encoder = path.stream()
        return np.array_equal(path.whole(x), np.concatenate([encoder.push(x), encoder.flush()]))
    return True


def recordings_for(net: SRNN, given: Given, rng: np.random.Generator) -> list[np.ndarray] | None:
    """Recordings of which rounding decides nothing; None: it decides in most."""
    xs = []
    for length in lengths(rng):
        for _ in range(8):
            x = given.draw(rng, length)
            if rounds_alike(given, x) and (net.substeps > 1 or clear(net, given.path.whole(x))):
                break
        else:
            return None
        xs.append(x)
    return xs


def case_of(
    kind: str,
    form: str,
    seed: int,
    register: Callable[[str, Rule], None] = lambda name, rule: None,
    layers: Sequence[tuple[str, ...]] = COMPILED,
    **options: Any,
) -> Case:
    """A random network that answers so, reads such inputs, and has an exit policy where its
    sequences have a class.

    ``register``: gives the library one more rule.
    """
    rng = np.random.default_rng([seed, *kind.encode(), *form.encode()])
    name: Any = kind
    if kind in OWN:
        name = "nll" if OWN[kind].per_step else "ce_last"
        register(name, OWN[kind])
    if kind in ("linear", "alarm"):
        name = "mse"
    rule = RULES[name]
    readout, start = "integrator", int(rng.integers(0, 6))
    if name == "ce_spike_count":
        readout = "spike_count"
    given = FORMS[form](rng)
    inputs = given.path.inputs
    names = NAMES if kind != "alarm" else [f"x{i}" for i in range(inputs)]
    example = given.draw(rng, 50)
    scale = float(np.sqrt(np.square(given.path.whole(example).astype(float)).mean()))

    def network() -> SRNN:
        net = drawn(rng, readout, inputs, len(names), layers, **options)
        with torch.no_grad():
            net.layers[0].weight_in *= 0.6 / scale  # type: ignore[operator]
        return net

    for _ in range(200):
        net = network()
        if _varies(net, given, example, classes=not rule.value):
            xs = recordings_for(net, given, rng)
            if xs is not None:
                break
    else:
        raise AssertionError("no network of 200 gives answers that vary and are clear")
    targets = _targets(kind, rule, len(names), inputs, scale, rng, scaled=seed % 2 == 0)
    signal = None if isinstance(given.path, Steps) else given.path
    model = srnn.from_network(
        net, names, loss=name, start=start, targets=targets, signal=signal, name="random"
    )
    ranges = None
    if net.substeps == 1:
        ranges = measure_ranges(
            device_network(net), given.path.whole(example)[None], given.inputs_as
        )
    model = replace(model, inputs_as=given.inputs_as, state_ranges=ranges)
    if kind == "alarm":
        model = replace(model, alarm=asdict(_alarm(model, given.path.whole(example), rng)))
    if not rule.per_step and not rule.value:
        confidence, earliest = float(rng.choice([0.25, 0.3, 0.4])), int(rng.integers(1, 7))
        margin, patience = float(rng.choice([0.0, 0.02])), int(rng.integers(1, 4))
        policy = ExitPolicy(name, start, confidence, margin, patience, earliest)
        model = replace(model, policy=policy.to_dict())
    bits = int(rng.choice([32, 32, 16, 8]))
    return Case(kind, given, model, xs, bits)


def _targets(
    kind: str,
    rule: Rule,
    outputs: int,
    inputs: int,
    scale: float,
    rng: np.random.Generator,
    scaled: bool,
) -> Targets | None:
    """Units of values, with a linear part if asked for; None: outputs themselves are the values."""
    linear = None
    if kind in ("linear", "alarm"):
        taps = int(rng.integers(1, 5))
        weights = rng.normal(0, 0.3 / scale, (taps, inputs, outputs)).tolist()
        linear = LinearPart.restore(
            {"weights": weights, "rest": rng.uniform(0.1, 1, outputs).tolist()}
        )
    if not rule.value or (linear is None and not scaled):
        return None
    mean, std = rng.normal(0, 100, outputs), np.exp(rng.normal(0, 3, outputs))
    return Targets((None,) * outputs, tuple(mean.tolist()), tuple(std.tolist()), linear)


def _alarm(model: srnn.Model, steps: np.ndarray, rng: np.random.Generator) -> Alarm:
    """An alarm that some recordings raise."""
    targets = model.task.targets
    assert targets is not None
    said = targets.answered(outputs_of(model.spiking("exported"), steps).astype(float), steps)
    usual = float(errors_of(steps[1:], said[:-1], targets.residual_scale).mean())
    low = float(rng.choice([0.0, 0.9]))
    return Alarm(usual, low * usual, 1.1 * usual, int(rng.integers(1, 20)), int(rng.integers(3)))
