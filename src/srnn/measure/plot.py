"""Pictures of a result or a model: each function draws into the matplotlib axes given, or into new
ones, and returns them.

    result = net.run(x, record=("u", "v"))
    srnn.plot.raster(result)
    srnn.plot.membranes(result, neurons=(3, 5)).figure.savefig("membranes.svg")
    srnn.plot.time_constants(srnn.load("runs/digits"))

matplotlib is imported when something is drawn, and new axes belong to pyplot, so that a notebook
shows them. All are drawn in the style of the paper's figures (``measure/style.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from ..text import counted
from . import style
from .analysis import Analysis, Anytime, ClassReport, TimeConstants
from .analysis import time_constants as time_constants_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..model.trained import Trained
    from ..nn.baselines import Network
    from ..nn.kernels.problem import LayerResult
    from ..nn.network import Result

Array = npt.NDArray[Any]
Accuracies = Sequence[float | None] | Anytime | Analysis
_SYMBOLS = {"tau_mem": "τ$_m$", "tau_adp": "τ$_{adp}$", "tau_syn": "τ$_{syn}$"}
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
_BINS = 30
_COUNTED = 12
"""Classes up to which a confusion matrix shows its counts."""
_NAME = 24
"""Characters of a class's name on an axis; what is longer is cut."""


@contextmanager
def _drawing(axes: Axes | None, height: float) -> Iterator[Axes]:
    """The axes, or new ones of the style's width and a height in inches."""
    if axes is not None:
        with style.context():
            yield axes
        return
    # Before the style's settings: the first figure makes pyplot ask a notebook how figures are
    # shown, and what the notebook then sets (that they are shown at all, at the end of each cell)
    # must stay.
    look = {"layout": "constrained", "facecolor": "white"}
    figure = style.pyplot().figure(figsize=(style.WIDTH, height), **look)
    with style.context():
        yield figure.subplots()


def raster(
    result: Result,
    axes: Axes | None = None,
    *,
    sequence: int = 0,
    step_ms: float | None = None,
    readout: bool = False,
) -> Axes:
    """The spikes of every neuron over time, layer upon layer; for neurons that do not spike, where
    their output is not 0.

    Args:
        result: what ``net.run(x)`` returned.
        axes: where to draw; None: new axes.
        sequence: the number of a sequence in its batch, which is drawn.
        step_ms: milliseconds per step, for an axis in time; None: in steps. Substeps are parts of a
            step.
        readout: draw the readout too, whose spikes are of interest where it counts them.

    Returns:
        The axes.

    Raises:
        SrnnError: ``value`` for another result, or a number that the result does not have.
    """
    _check_result(result)
    layers = [
        _emitted(layer, sequence) for layer in (result.layers if readout else result.layers[:-1])
    ]
    if not layers:
        message = "The network has no hidden layer; draw its readout with readout=True."
        raise SrnnError(message, "value", "readout")
    steps = result.output.shape[1]
    with _drawing(axes, 2.6) as axes:
        base, marks = 0, []
        for index, emitted in enumerate(layers):
            at, neurons = np.nonzero(emitted)
            size = emitted.shape[1]
            axes.plot(
                at * _per_step(emitted, steps, step_ms),
                base + neurons,
                "|",
                color=style.CYCLE[index % 7],
                ms=max(1.5, min(5.0, 120 / sum(layer.shape[1] for layer in layers))),
                mew=0.8,
            )
            if base:
                axes.axhline(base - 0.5, color=style.LIGHT, lw=0.6)
            if index == len(result.layers) - 1:
                name = "readout"
            else:
                name = f"layer {index}"
            marks.append((base + (size - 1) / 2, f"{name}\n{counted(size, 'neuron')}"))
            base += size
        axes.set_yticks([at for at, _ in marks], [text for _, text in marks])
        axes.tick_params(axis="y", length=0)
        axes.set(ylim=(-0.7, base - 0.3), **_time_axis(steps, step_ms))
        return axes


def _check_result(result: object) -> None:
    if not hasattr(result, "layers"):
        raise SrnnError(
            f"This draws the result of net.run(x), not a {type(result).__name__} as net(x) returns.",
            "value",
            "result",
        )


def membranes(
    result: Result,
    axes: Axes | None = None,
    *,
    layer: int = 0,
    neurons: Sequence[int] = (0, 1, 2),
    sequence: int = 0,
    step_ms: float | None = None,
) -> Axes:
    """Membrane potentials of some neurons of a layer over time, each in a band with its own scale,
    with their spikes.

    Args:
        result: from ``net.run(x, record=("u",))``; with ``record=("u", "v")`` thresholds are drawn
            too, moving ones included: a neuron spikes where v = u - threshold is above 0. Only the
            forward direction of a bidirectional layer is drawn.
        axes: where to draw; None: new axes.
        layer: a hidden layer's number; -1: the readout.
        neurons: the neurons' numbers, drawn from bottom to top.
        sequence: the number of a sequence in the batch, which is drawn.
        step_ms: milliseconds per step, for an axis in time; None: in steps.

    Returns:
        The axes.

    Raises:
        SrnnError: ``missing`` if the result has no trace of u; ``value`` for another result, or a
            number that the result does not have.
    """
    _check_result(result)
    if not -len(result.layers) <= layer < len(result.layers):
        raise SrnnError(
            f"There is no layer {layer}: the network has {len(result.layers)} with the readout.",
            "value",
            "layer",
        )
    one, steps = result.layers[layer], result.output.shape[1]
    emitted = _emitted(one, sequence)
    traces = {name.removeprefix("forward."): values for name, values in one.traces.items()}
    if "u" not in traces:
        raise SrnnError(
            "The result has no membrane potentials; run the network with "
            'net.run(x, record=("u", "v")).',
            "missing",
            "result",
        )
    u = _array(traces["u"][sequence])
    if not all(0 <= neuron < u.shape[1] for neuron in neurons):
        raise SrnnError(
            f"Layer {layer} has neurons 0 to {u.shape[1] - 1}, not all of {list(neurons)}.",
            "value",
            "neurons",
        )
    if "v" in traces:
        threshold = u - _array(traces["v"][sequence])
    else:
        threshold = np.zeros_like(u)
    x = np.arange(len(u)) * _per_step(u, steps, step_ms)
    with _drawing(axes, 0.5 + 0.7 * len(neurons)) as axes:
        for row, neuron in enumerate(neurons):
            shown = [u[:, neuron], *([threshold[:, neuron]] if threshold[:, neuron].any() else [])]
            low, high = min(map(np.min, shown)), max(map(np.max, shown))
            for values, colour, dash in zip(
                shown, (style.BLUE, style.GREY), ("-", style.DASHES[2]), strict=False
            ):
                band = row + 0.8 * (values - low) / max(float(high - low), 1e-30)
                axes.plot(x, band, color=colour, ls=dash, lw=1.0)
            if set(np.unique(emitted[:, neuron])) <= {0, 1}:
                axes.vlines(
                    x[emitted[:, neuron] > 0], row + 0.83, row + 0.93, color=style.ORANGE, lw=1.0
                )
        axes.set_yticks(
            [row + 0.4 for row in range(len(neurons))], [f"neuron {neuron}" for neuron in neurons]
        )
        axes.tick_params(axis="y", length=0)
        axes.set(ylim=(-0.1, max(len(neurons), 1)), **_time_axis(steps, step_ms))
        return axes


def time_constants(
    source: Trained | Network | Sequence[TimeConstants], axes: Axes | None = None
) -> Axes:
    """Histograms of the hidden layers' time constants now (filled) and before training (lines), on
    a logarithmic axis. Bars of the first kind (tau_mem) point upwards, those of others (tau_adp)
    downwards.

    Args:
        source: a model, whose recipe gives the untrained network if there was one; a network, of
            which nothing before training is drawn; or the result of
            ``measure.analysis.time_constants``.
        axes: where to draw; None: new axes.

    Returns:
        The axes.

    Raises:
        SrnnError: ``data`` if no time constant is a positive number; ``value`` for another source.
    """
    if not isinstance(source, Sequence) or isinstance(source, str):
        network, initial, step_ms = source, None, None
        if (task := getattr(source, "task", None)) is not None:
            network, initial, step_ms = source.network, source.untrained(), task.step_ms  # type: ignore[union-attr]
        if not hasattr(network, "time_constants"):
            kind = type(source).__name__
            message = f"A {kind} has no time constants; give a model (srnn.load) or a network."
            raise SrnnError(message, "value", "source")
        source = time_constants_of(network, initial, step_ms)  # type: ignore[arg-type]
    constants = [one for one in source if not one.name.startswith("readout.")]
    kinds = {
        kind: positive_values([one for one in constants if one.name.endswith(kind)])
        for kind in dict.fromkeys(one.name.rpartition(".")[2] for one in constants)
    }
    kinds = {kind: values for kind, values in kinds.items() if any(map(len, values))}
    if not kinds:
        raise SrnnError("None of the time constants is a positive number.", "data", "source")
    with _drawing(axes, 2.6) as axes:
        signs = {
            kind: -1 if index else 1
            for index, kind in enumerate(sorted(kinds, key="tau_mem".__ne__))
        }
        if len(kinds) == 1 and "tau_adp" in kinds:
            signs["tau_adp"] = -1
        everything = np.concatenate([np.concatenate(values) for values in kinds.values()])
        for (kind, sign), colour in zip(signs.items(), style.CYCLE, strict=False):
            now, before = kinds[kind]
            both = np.concatenate(kinds[kind])
            # A little wider than the values: a rounded edge loses no neuron.
            edges = np.geomspace(both.min() / 1.001, both.max() * 1.001, _BINS + 1)
            counts, start = (np.histogram(values, edges)[0] for values in (now, before))
            symbol = _SYMBOLS.get(kind, kind)
            axes.stairs(
                sign * counts, edges, fill=True, color=colour, alpha=0.75, label=f"{symbol} after"
            )
            if len(before):
                axes.stairs(
                    sign * start,
                    edges,
                    color=style.BLACK,
                    lw=0.8,
                    ls=style.DASHES[0 if sign > 0 else 2],
                    label=f"{symbol} before",
                )
        axes.axhline(0, color=style.GREY, lw=0.6)
        limit = max(map(abs, axes.get_ylim()))
        low, high = float(everything.min()) / 1.1, float(everything.max()) * 1.1
        style.log_scale(axes, "x")
        axes.set(
            xlabel="steps",
            ylabel="hidden neurons",
            xlim=(low, high),
            ylim=(-limit if -1 in signs.values() else 0, limit if 1 in signs.values() else 0),
        )
        ticks = [tick for tick in _TICKS if low <= tick <= high]
        if len(ticks) > 5:
            ticks = [tick for tick in ticks if str(tick)[0] == "1"]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        for text in style.legend_below(axes, 2, fontsize=6.5).get_texts():
            text.set_parse_math(True)  # only the symbols, which are ours
        return axes


def positive_values(constants: Sequence[TimeConstants]) -> tuple[Array, Array]:
    """(now, before training) of all neurons: the values that a logarithmic axis can show."""
    both = [
        [one.values for one in constants],
        [one.initial for one in constants if one.initial is not None],
    ]
    now, before = (np.concatenate([np.zeros(0), *values]) for values in both)
    return now[np.isfinite(now) & (now > 0)], before[np.isfinite(before) & (before > 0)]


def anytime(
    curves: Accuracies | Mapping[str, Accuracies],
    axes: Axes | None = None,
    *,
    relative: bool = False,
) -> Axes:
    """Accuracy over time: what it would be if the signal ended at that step.

    Args:
        curves: what ``measure.analysis.analyse`` returns, or its ``anytime``, or fractions by step
            (None where nothing counts yet); or several of these by name. Where steps without a
            label count, the accuracy of the labelled ones is drawn.
        axes: where to draw; None: new axes.
        relative: show time in percent of each curve's length, for sequences of different tasks.

    Returns:
        The axes.

    Raises:
        SrnnError: ``unsupported`` for a bidirectional network, which decides at the end.
    """
    if isinstance(curves, Mapping):
        named = curves
    else:
        named = {"": curves}
    with _drawing(axes, 2.6) as axes:
        for index, (name, curve) in enumerate(named.items()):
            percent = [np.nan if value is None else 100 * value for value in _accuracies(curve)]
            if relative:
                x = np.linspace(0, 100, len(percent))
            else:
                x = np.arange(1, len(percent) + 1)
            axes.plot(
                x,
                percent,
                color=style.CYCLE[index % 7],
                ls=style.DASHES[index % 7],
                label=name or None,
            )
        axes.set(
            xlabel="% of the sequence read" if relative else "steps read",
            ylabel="accuracy, %",
            ylim=(0, 100),
        )
        axes.grid()
        if any(named):
            style.legend_below(axes, fontsize=6)
        return axes


def confusion(report: ClassReport | Analysis, axes: Axes | None = None) -> Axes:
    """The confusion matrix: one row per true class, coloured by the fraction of it that was
    predicted as each class. With few classes, each field shows its count; with many, a bar shows
    which colour stands for which fraction.

    Args:
        report: what ``measure.analysis.analyse`` returns, or its ``classes``.
        axes: where to draw; None: new axes.

    Returns:
        The axes.

    Raises:
        SrnnError: ``value`` for another report.
    """
    if isinstance(report, Analysis):
        classes = report.classes
    else:
        classes = report
    if not isinstance(classes, ClassReport):
        raise SrnnError(
            f"This draws an analysis or its classes, a ClassReport, not a {type(report).__name__}.",
            "value",
            "report",
        )
    counts = classes.confusion
    names = [
        name if len(name) <= _NAME else f"{name[: _NAME - 1]}…" for name in classes.class_names
    ]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    few = len(names) <= _COUNTED
    texts = []
    if few:
        cells = zip(*np.nonzero(counts), strict=True)
        texts = [(x, y, f"{counts[y, x]:,}", shares[y, x]) for y, x in cells]
    height = max(4.2, min(1.6 + 0.13 * len(names), style.WIDTH))
    with _drawing(axes, height) as axes:
        image = style.heat_map(axes, shares, texts, vmin=0, vmax=1, aspect="equal", origin="upper")
        if not few:
            axes.figure.colorbar(image, ax=axes, label="fraction of the true class")
            axes.tick_params(labelsize=min(7.0, 72 * (height - 1.6) / len(names)))
        if max(map(len, names), default=0) > 4:
            rotated: dict[str, Any] = {"rotation": 90}
        else:
            rotated = {}
        axes.set_xticks(range(len(names)), names, **rotated)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="predicted", ylabel="true")
        return axes


def _accuracies(curve: Accuracies) -> Sequence[float | None]:
    if isinstance(curve, Analysis):
        if curve.anytime is None:
            raise SrnnError(
                "A bidirectional network has no accuracy over time: it decides at the end.",
                "unsupported",
                "curves",
            )
        curve = curve.anytime
    if isinstance(curve, Anytime):
        if curve.accuracy_labelled is None:
            return curve.accuracy
        return curve.accuracy_labelled
    return curve


def _array(tensor: Any) -> Array:
    return tensor.detach().cpu().numpy()


def _emitted(layer: LayerResult, sequence: int) -> Array:
    """(T, size) what a layer passed on for one sequence. SrnnError if the batch has no such
    sequence."""
    if not -len(layer.output) <= sequence < len(layer.output):
        message = f"There is no sequence {sequence}: the batch has {len(layer.output)}."
        raise SrnnError(message, "value", "sequence")
    return _array(layer.output[sequence])


def _per_step(values: Array, steps: int, step_ms: float | None) -> float:
    """Distance on the time axis between two rows of a layer's values; hidden layers may have
    several rows for each step."""
    return (1.0 if step_ms is None else step_ms) * steps / max(len(values), 1)


def _time_axis(steps: int, step_ms: float | None) -> dict[str, Any]:
    if step_ms is None:
        scale = 1.0
    else:
        scale = step_ms
    return {
        "xlim": (-0.5 * scale, max(steps - 0.5, 0.5) * scale),
        "xlabel": "time step" if step_ms is None else "time, ms",
    }
