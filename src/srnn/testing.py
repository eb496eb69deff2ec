"""Tests for what you write yourself: all that the library promises of its own neurons and data sets.

    import srnn.testing

    def test_my_neuron():
        print(srnn.testing.check_neuron(DropLIF))

    def test_my_data():
        srnn.testing.check_task(TapsTask(threshold=0.5), "data")

Each function raises an AssertionError that says what differs from what, and by how much, and returns
a ``Conformance`` of what was compared, and of what could not be and why.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .errors import SrnnError
from .files import temporary_folder

if TYPE_CHECKING:
    import numpy.typing as npt

    from .data.tasks import Task
    from .model.trained import Trained
    from .nn.neurons import Neuron
    from .nn.surrogates import Surrogate

_SPARSE, _DENSE = 0.02, 0.6
"""Rates, in spikes per neuron and step, between which random weights are drawn: networks that hardly
spike, or always do, would agree whatever their equations."""


@dataclass
class Conformance:
    """What was compared, and how closely; and what could not be, and why."""

    compared: dict[str, str] = field(default_factory=dict)
    """Such as {"stream": "bit for bit", "gradients": "within 1e-09"}."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Such as {"C": "no compiler was found"}."""

    def __str__(self) -> str:
        lines = [f"{name}: {how}" for name, how in self.compared.items()]
        return "\n".join(
            [*lines, *(f"{name}: not compared, {why}" for name, why in self.left_out.items())]
        )

    @contextmanager
    def part(self, name: str, how: str) -> Iterator[None]:
        """The block compares something.

        An SrnnError of kind ``unsupported`` or ``package`` leaves it out.

        Args:
            name: what is compared.
            how: how closely, once it agrees.
        """
        try:
            yield
        except SrnnError as error:
            if error.kind not in ("unsupported", "package"):
                raise
            self.left_out[name] = str(error)
        else:
            self.compared[name] = how


def check_neuron(
    neuron: str | Mapping[str, Any] | Neuron | type[Neuron],
    *,
    surrogate: str | Mapping[str, Any] | Surrogate = "multi_gaussian",
    hidden: Sequence[int] = (9, 7),
    steps: int = 40,
    seed: int = 0,
    delays: bool = True,
    tolerance: float = 1e-9,
    **options: Any,
) -> Conformance:
    """A neuron means the same wherever it runs.

    Networks of it, with random weights, are compared: the compiled loops with plain torch, in float64,
    by every layer's output, every final state and every gradient, on analog input and on spikes, with
    and without padding and delays; then all that ``check_model`` compares.

    Args:
        neuron: a class (with its defaults), an object, or a name or mapping as in a recipe.
        surrogate: of its spikes; one of your own is tested like this.
        hidden: neurons in each hidden layer.
        steps: length of the random sequences.
        seed: draws weights and input.
        delays: whether spikes between its neurons are also delayed; False: no delays are tried.
        tolerance: by how much values and gradients may differ, relative to the largest.
        options: others of ``SRNN``, such as ``norm="batch"`` or ``bidirectional=True``.

    Returns:
        What was compared.

    Raises:
        AssertionError: where two differ; where the random networks never spike, so that nothing
            would be tested; or where a gradient is not finite.
        SrnnError: for settings that ``SRNN`` refuses.
    """
    from .nn.network import SRNN
    from .nn.neurons import as_neuron

    model = as_neuron(neuron() if isinstance(neuron, type) else neuron)
    report, inputs, outputs = Conformance(), 5, 3
    rng = np.random.default_rng(seed)
    analog = rng.normal(0, 1, (4, steps, inputs))
    spikes = (rng.random((4, steps, inputs)) < 0.4).astype(float)
    lengths = torch.tensor([steps, steps - steps // 3, 1, 0])

    def network(backend: str, gain: float, **more: Any) -> SRNN:
        generator = torch.Generator().manual_seed(seed)
        settings: dict[str, Any] = {"norm": "none", "gain_in": gain, **options, **more}
        return SRNN(
            inputs,
            hidden,
            outputs,
            model,
            surrogate=surrogate,
            backend=backend,
            generator=generator,
            **settings,
        )

    gain = _lively(lambda gain: network("reference", gain), analog)
    forms: dict[str, dict[str, Any]] = {"recurrent": {}, "feed-forward": {"recurrent": False}}
    if delays and model.emission.binary and not options.get("bidirectional"):
        forms["delayed"] = {"delays": {"recurrent": "uniform(0, 9)", "input": 2}}
    for form, more in forms.items():
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            for x, ends in ((analog, None), (spikes, None), (analog, lengths)):
                found, expected = (
                    _numbers(network(backend, gain, **more).double(), x, ends, seed)
                    for backend in ("auto", "reference")
                )
                for name, value in expected.items():
                    _agree(
                        f"{form}: {name} of the compiled loops and of torch",
                        found[name],
                        value,
                        tolerance,
                    )
        slow = [str(one.message) for one in noted if "reference backend" in str(one.message)]
        what = f"compiled loops, values and gradients, {form}"
        if slow:
            report.left_out[what] = slow[0]
        else:
            report.compared[what] = f"within {tolerance:g}"

    from .api import from_network

    built = from_network(
        network("auto", gain).eval(), [f"class {number}" for number in range(outputs)]
    )
    inner = check_model(built, [x.astype(np.float32) for x in (analog[0], spikes[0])])
    report.compared |= inner.compared
    report.left_out |= inner.left_out
    return report


def check_model(model: Trained, recordings: Sequence[npt.ArrayLike]) -> Conformance:
    """A model answers the same wherever it runs: whole and in blocks, read again from its file, in
    C (float32, and int8 to the bit), and as ONNX.

    Args:
        model: of ``srnn.load``, ``srnn.fit`` or ``srnn.from_network``.
        recordings: each (samples, channels), what a sensor gives, or (steps, inputs) where the model
            reads steps.

    Returns:
        What was compared, and what this network or machine cannot do.

    Raises:
        AssertionError: where two differ.
    """
    from .api import Model, load

    own = Model.of(model)
    report = Conformance()
    arrays = [np.asarray(one, np.float32) for one in recordings]
    answers: list[Any] = [own.predict(x) for x in arrays]
    lag = own.task.lag()  # steps by which labels come later; ``predict`` moves them back
    with report.part("stream, in blocks of any size", "bit for bit"):
        for x, answer in zip(arrays, answers, strict=True):
            for size in (1, 7, len(x)):
                session = own.stream()
                blocks = [session.push(x[first : first + size]) for first in range(0, len(x), size)]
                blocks.append(session.finish())
                scores = np.concatenate([block.scores for block in blocks])[lag:]
                whole = answer.scores[: len(answer.scores) - lag]
                what = f"the stream in blocks of {size} and the whole"
                _agree(what, scores[: len(whole)], whole, 0)
    with temporary_folder() as folder:
        with report.part("the model's file", "bit for bit"):
            own.save(folder / "model.safetensors")
            again: Any = load(folder / "model.safetensors")
            for x, answer in zip(arrays, answers, strict=True):
                _agree("the model's file and the model", again.predict(x).scores, answer.scores, 0)
        encoded = [own.task.signal().whole(x) for x in arrays]
        _check_c(report, own, encoded, folder)
    with report.part("ONNX, step by step", "within 1e-4"):
        from .deploy.export import onnx
        from .errors import need

        need("onnxruntime", "ONNX", "onnx")
        net = own.spiking("exported")
        form = onnx.to_model(net, "step", decision=own.decision)
        runtime = onnx.start(form)
        drawn = net.initial_state(1, torch.Generator().manual_seed(own.seed))
        first = onnx.state_arrays(net, drawn) | onnx.decision_arrays(form, 1)
        for x in encoded:
            state, found = first, []
            names = ["scores", *(f"{name}.next" for name in state)]
            for row in x:
                scores, *after = runtime.run(names, {"x": row[None], **state})
                state = dict(zip(state, after, strict=True))
                found.append(scores[0])
            answered: Any = own.predict(x, "steps")
            expected = answered.scores[: len(x) - lag]
            _agree("ONNX and the model", np.stack(found)[lag:], expected, 1e-4)
    return report


def check_task(
    task: Task,
    data_dir: Path | str | None = None,
    *,
    splits: Sequence[str] = ("train", "validation"),
    apart: bool = True,
) -> Conformance:
    """A task's data are as training, streams and devices expect them.

    Each split is valid (shapes, dtypes, ranges, finite), the same when it is loaded again, and has
    the number of inputs that the signal path gives; no group is in two splits. The signal path gives
    the same for a signal whole and in blocks of any size.

    Args:
        task: with its options.
        data_dir: where its files are; None: as ``srnn train`` finds them.
        splits: which to load; the test split is left for the end.
        apart: whether no group (person, record) may be in two splits; False for data whose published
            splits share them.

    Returns:
        What was compared.

    Raises:
        AssertionError: where a promise does not hold.
        SrnnError: from the task itself, as where its files are missing.
    """
    report, loaded = Conformance(), dict[str, Any]()
    folder = None if data_dir is None else Path(data_dir)
    classes = len(task.class_names)
    for name in splits:
        first, again = (task.load(name, folder) for _ in range(2))  # type: ignore[arg-type]
        loaded[name] = first.validate(
            f"{task.name}, {name}", classes=classes, inputs=task.signal().inputs
        )
        for part in ("x", "y", "lengths", "groups"):
            one, other = (_array(getattr(split, part)) for split in (first, again))
            assert one.shape == other.shape and (one == other).all(), (
                f"{name}: {part} differs when it is loaded again"
            )
        report.compared[f"split {name}"] = (
            f"valid, {len(first.x)} sequences, the same when loaded again"
        )
    for one, other in itertools.combinations(loaded if apart else (), 2):
        groups = [loaded[name].groups for name in (one, other)]
        if any(group is None for group in groups):
            report.left_out[f"groups of {one} and {other}"] = "the task states none"
            continue
        shared = set(map(str, groups[0])) & set(map(str, groups[1]))
        assert not shared, f"in {one} and in {other}: {', '.join(sorted(shared)[:5])}"
        report.compared[f"groups of {one} and {other}"] = "none in both"
    path = task.signal()
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 1, (round(path.rate or 100) + 50, path.channels)).astype(np.float32)
    whole = path.whole(signal)
    for size in (1, 7, len(signal)):
        encoder = path.stream()
        parts = [
            encoder.push(signal[first : first + size]) for first in range(0, len(signal), size)
        ]
        _agree(
            f"the signal path in blocks of {size} and whole",
            np.concatenate([*parts, encoder.flush()]),
            whole,
            0,
        )
    report.compared["signal path, whole and in blocks"] = "bit for bit"
    return report


def _lively(network: Any, x: np.ndarray) -> float:
    """A gain with which all of the network's layers emit at a rate between the bounds. AssertionError
    if there is none."""
    rates: list[float] = []
    for gain in 2.0 ** np.arange(-2, 11):
        net = network(float(gain)).eval()
        with torch.no_grad():
            result = net.run(torch.from_numpy(x).float())
        rates = [float((layer.output != 0).float().mean()) for layer in result.layers[:-1]]
        graded = [not layer.neuron.emission.binary for layer in net.layers]
        if all(
            rate > _SPARSE and (is_graded or rate < _DENSE)
            for rate, is_graded in zip(rates, graded, strict=True)
        ):
            return float(gain)
    raise AssertionError(
        "no scale of random weights makes the neuron spike in some steps and not in others; choose a "
        f"threshold that its membrane reaches (rates of the last: {', '.join(f'{rate:.2f}' for rate in rates)})"
    )


def _numbers(
    net: Any, x: np.ndarray, lengths: torch.Tensor | None, seed: int
) -> dict[str, np.ndarray]:
    """Outputs of all layers, final states, and the gradients of a random functional of them."""
    leaf = torch.from_numpy(x).requires_grad_()
    start = net.initial_state(len(x), torch.Generator().manual_seed(seed))
    result = net.run(leaf, start, lengths=lengths)
    values = {"the output": result.output}
    for number, layer in enumerate(result.layers):
        values[f"the output of layer {number}"] = layer.output
        for place, part in enumerate(_tensors(result.state[number])):
            values[f"final state {place} of layer {number}"] = part
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros((), dtype=torch.float64)
    for value in values.values():
        total = (
            total
            + (value * torch.randn(value.shape, generator=generator, dtype=torch.float64)).sum()
        )
    total.backward()
    found = dict(values) | {"the gradient of the input": leaf.grad}
    found |= {f"the gradient of {name}": one.grad for name, one in net.named_parameters()}
    arrays = {name: value.detach().numpy() for name, value in found.items() if value is not None}
    for name, value in arrays.items():
        assert np.isfinite(value).all(), f"{name} is not finite"
    return arrays


def _tensors(state: Any) -> list[torch.Tensor]:
    """All tensors of a layer's state, whatever holds them."""
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, (tuple, list)):
        return [tensor for part in state for tensor in _tensors(part)]
    return []


def _array(part: Any) -> np.ndarray:
    """A part of a split; of spikes that are kept sparse the first hundred sequences."""
    if part is None or isinstance(part, np.ndarray):
        return np.asarray(part)
    return np.asarray(part[:100])


def _agree(what: str, found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """AssertionError unless the arrays are equal, or differ by less than the tolerance, relative to
    the largest."""
    assert found.shape == expected.shape, (
        f"{what}: the shapes are {found.shape} and {expected.shape}"
    )
    if not found.size or np.array_equal(found, expected, equal_nan=True):
        return
    largest = float(np.nanmax(np.abs(expected)))
    off = float(np.nanmax(np.abs(found.astype(float) - expected))) / max(largest, 1e-300)
    assert off <= tolerance, (
        f"{what} differ by {off:.1e} of {largest:.3g}; {tolerance:g} is allowed"
    )


def _check_c(
    report: Conformance, model: Trained, encoded: Sequence[np.ndarray], folder: Path
) -> None:
    """The network in C against the same numbers in numpy: float32, and integers to the bit."""
    from .deploy.c import export_c
    from .deploy.c.arrays import DTYPES
    from .deploy.c.plan import make_plan
    from .nn.fixedpoint.device import device_network, run_float32
    from .nn.fixedpoint.integer import InputFormat, measure_states, quantise

    compiler = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    for format, how in (("float32", "within 1e-5"), ("int8", "bit for bit")):
        name = f"C, {format}"
        if compiler is None:
            report.left_out[name] = "no C compiler (cc, gcc or clang) was found"
            continue
        with report.part(name, how):
            device = device_network(model.spiking("exported"))
            given: dict[str, Any] = {}
            numbers: Any = device
            if format == "int8":
                device.require("int8")
                inputs_as = model.inputs_as or InputFormat.measure(np.concatenate(encoded)[None])
                state_as = measure_states(device, np.concatenate(encoded)[None], 32, inputs_as)
                given = {"inputs_as": inputs_as, "state_as": state_as}
                numbers = quantise(device, inputs_as, state_as)
            place = folder / format
            export_c(device, place, "net", format, **given)  # type: ignore[arg-type]
            plan = make_plan(numbers, "net")
            program = place / "program"
            flags = ["-std=c99", "-O2", "-ffp-contract=off"]
            sources = [str(place / "net_main.c"), str(place / "net.c")]
            subprocess.run([compiler, *flags, "-o", str(program), *sources, "-lm"], check=True)
            for x in encoded:
                steps = x if format == "float32" else given["inputs_as"].encode(x)
                if format == "float32":
                    expected = run_float32(numbers, x[None]).output[0]
                else:
                    expected = numbers.run(steps[None].astype(int)).output[0]
                raw = np.ascontiguousarray(steps, DTYPES[plan.input])
                command = [str(program), "--binary", "--steps", str(len(steps))]
                out = subprocess.run(
                    command, input=raw.tobytes(), capture_output=True, check=True
                ).stdout
                found = np.frombuffer(out, DTYPES[plan.number]).reshape(expected.shape)
                _agree(
                    f"C in {format} and its model",
                    found,
                    expected,
                    1e-5 if format == "float32" else 0,
                )
