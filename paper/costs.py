"""Figures 2 and S2: the cost of a layer per time step, by the paper's rules; and accuracy against
energy."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from srnn.measure import style
from srnn.measure.energy import Activity, LayerShape, count, describe_network
from srnn.nn.baselines import CELLS, ClassicalRNN
from srnn.nn.network import SRNN
from srnn.nn.neurons import as_neuron

from .evidence import Evidence
from .matching import cost, energy, same_data
from .published import TASKS, number, published_rows, source
from .sheet import Made, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from srnn.model.network import NetworkConfig

_RULES = {  # as in srnn.measure.energy.counting: m inputs, n units, r the firing rate
    "LIF": ("n", "r(mn + n²)"),
    "ALIF": ("3n", "r(mn + n²)"),
    "integrator": ("n", "r mn"),
    "ReLU": ("mn + n² + 5n", "-"),
    "LSTM": ("4(mn + n²) + 17n", "-"),
    "RNN": ("mn + 2n² + 4n", "-"),
    "GRU": ("3(mn + n²) + 12n", "-"),
}
_OF_NEURONS = {"relu": "ReLU SRNN", "adlif": "SE-adLIF SRNN", "lif": "LIF SRNN"}
_METHODS = {
    "Adaptive SRNN": "SRNN",
    "LIF SRNN": "LIF SRNN",
    "ReLU SRNN": "ReLU SRNN",
    "LSTM": "LSTM",
    "GRU": "GRU",
    "Vanilla RNN": "RNN",
    "Bidirectional LSTM": "Bi-LSTM",
    "CNN": "CNN",
}
"""The kind of each of the paper's methods, by the beginning of its name in Table S2."""
_SHAPES = {
    "SRNN": "o",
    "SE-adLIF SRNN": "*",
    "LIF SRNN": "s",
    "ReLU SRNN": "X",
    "LSTM": "^",
    "Bi-LSTM": "v",
    "GRU": "D",
    "RNN": "P",
    "CNN": "p",
}
"""The marker of each kind of method, as ``method_of`` and ``_METHODS`` name it."""
_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
_RATES = (0.3, 0.1, 0.03)


def figure2(evidence: Evidence) -> Sheet:
    """The paper's rules and what follows from them."""
    sheet = Sheet(
        "fig2", "Figure 2: the cost of a time step", ["ac", "d"], 6.1, by_row=True, heights=(1, 1.5)
    )
    layers = ("LIF", "ALIF", "integrator", "ReLU", "LSTM")
    sheet.panel("a", "operations of a layer, m inputs, n units", lambda axes: _rules(axes, layers))
    sheet.drawing("b", "operations within LIF, ALIF and LSTM units")
    sheet.panel(
        "c",
        "what follows, m = n (not in the paper)",
        lambda axes: _sizes(axes, ("LSTM", "ReLU", "ALIF")),
    )
    sheet.panel(
        "d",
        "accuracy against energy, from Table S2 (not in the paper's figure)",
        lambda axes: _accuracy(axes, evidence),
    )
    return sheet


def figure_s2(evidence: Evidence) -> Sheet:
    """Figure S2: the rules for simple recurrent and gated units, and what follows from them."""
    sheet = Sheet("figS2", "Figure S2: the cost of other recurrent units", ["bc"], 2.7)
    sheet.drawing("a", "bidirectional architecture")
    sheet.panel(
        "b", "operations of a layer, m inputs, n units", lambda axes: _rules(axes, ("RNN", "GRU"))
    )
    sheet.panel(
        "c",
        "what follows, m = n (not in the paper)",
        lambda axes: _sizes(axes, ("GRU", "RNN", "ALIF")),
    )
    return sheet


def layer_energy(name: str, size: int, rate: float) -> float:
    """Energy (pJ) of one step of a recurrent layer with as many inputs as units, by the paper's
    rules."""
    activity = Activity(True, rate, (rate,))
    return energy(count(_one_layer(name.lower(), size), activity)[0])


@functools.cache
def _one_layer(kind: str, size: int) -> tuple[LayerShape, ...]:
    if kind in CELLS:
        return describe_network(ClassicalRNN(size, size, 1, kind))  # type: ignore[arg-type]
    return describe_network(
        SRNN(size, size, 1, kind, init_rec="zero", norm="none")
    )  # orthogonal ones take a while


def _rules(axes: Axes, names: tuple[str, ...]) -> Made:
    axes.set_axis_off()
    columns = (0.0, 0.3, 0.72)
    step = 1 / (len(names) + 1.6)
    for x, head in zip(columns, ("layer", "MAC", "AC"), strict=True):
        axes.text(x, 1 - step / 2, head, fontweight="bold", va="center", transform=axes.transAxes)
    axes.plot([0, 1], [1 - step] * 2, color=style.GREY, lw=0.8, transform=axes.transAxes)
    for row, name in enumerate(names):
        for x, text in zip(columns, (name, *_RULES[name]), strict=True):
            axes.text(x, 1 - (row + 1.5) * step, text, va="center", transform=axes.transAxes)
    axes.text(
        0,
        0,
        "r: firing rate; a MAC costs 3.1 pJ, an AC 0.1 pJ",
        va="bottom",
        fontsize=6.5,
        color=style.GREY,
        transform=axes.transAxes,
    )
    return Made(
        "rules found by fitting the paper's Tables 2 and S2, whose own table is a picture; "
        "docs/energy.md says which rows fit",
        {name: dict(zip(("mac", "ac"), _RULES[name], strict=True)) for name in names},
    )


def _sizes(axes: Axes, names: tuple[str, ...]) -> Made:
    numbers: dict[str, Any] = {"n": list(_SIZES)}
    for index, name in enumerate(names):
        rates = _RATES if name == "ALIF" else (0.0,)
        for shade, rate in enumerate(rates):
            key = f"{name}, rate {rate:g}" if name == "ALIF" else name
            values = [layer_energy(name, size, rate) for size in _SIZES]
            numbers[key] = values
            colour = style.BLUE if name == "ALIF" else (style.ORANGE, style.GREEN)[index]
            dash = style.DASHES[shade] if name == "ALIF" else "-"
            axes.plot(
                _SIZES, values, color=colour, ls=dash, marker=style.MARKERS[index], ms=3, label=key
            )
    style.log_scale(axes, "x", "y")
    axes.set(xlabel="units, n", ylabel="energy of a step, pJ")
    axes.set_xticks([8, 32, 128, 512], ["8", "32", "128", "512"])
    axes.minorticks_off()
    axes.legend(loc="upper left")
    return Made("srnn.measure.energy, the paper's rules and prices", numbers)


def method_of(network: NetworkConfig) -> str:
    """What the paper calls a recipe's network: "SRNN", "LIF SRNN", "LSTM", ...; for a mix, the
    first in ``_OF_NEURONS``."""
    if network.model != "srnn":
        name = network.model.upper()
        return "Bi-LSTM" if network.bidirectional and name == "LSTM" else name
    names = [as_neuron(spec).name for spec in network.each("neuron")]
    return next((method for name, method in _OF_NEURONS.items() if name in names), "SRNN")


def _published_method(method: str) -> str:
    """The kind of a method in the paper's Table S2; its own name if it is of no known kind."""
    return next((kind for name, kind in _METHODS.items() if method.startswith(name)), method)


def _accuracy(axes: Axes, evidence: Evidence) -> Made:
    """One colour per task, one shape per method; published networks are open, ours filled."""
    from matplotlib.lines import Line2D

    numbers: dict[str, Any] = {"published": [], "ours": []}
    look: dict[str, Any]
    colours = (*style.CYCLE, style.GREY)
    shown: set[str] = set()
    for index, (task, own_name) in enumerate(TASKS.items()):
        for row in published_rows("tableS2"):
            if row.task != task or row.energy is None or row.accuracy is None:
                continue
            x, y, method = number(row.energy), number(row.accuracy), _published_method(row.method)
            look = {"color": colours[index], "marker": _SHAPES[method], "ls": "none"}
            axes.plot(x, y, **look, mfc="white", ms=_size(method, 5.5), mew=1.1)
            numbers["published"].append(
                {"task": task, "method": row.method, "energy_pj": x, "accuracy": y}
            )
            shown.add(method)
        paper = next(
            row for row in published_rows("tableS2") if row.task == task and row.own
        ).load_recipe()
        assert paper is not None  # every task has one
        for entry in evidence.of_task(own_name):
            if not same_data(entry.recipe, paper):
                continue
            operations = cost(entry.recipe, entry.rate)
            if operations is None:
                continue
            accuracy, split, _ = entry.measured()
            x, y = energy(operations), 100 * accuracy["mean"]
            error = None if accuracy["std"] is None else 100 * accuracy["std"]
            method = method_of(entry.recipe.network)
            look = {"color": colours[index], "marker": _SHAPES[method], "ls": "none"}
            axes.errorbar(x, y, yerr=error, **look, ms=_size(method, 4.5), elinewidth=0.8)
            numbers["ours"].append(
                {
                    "task": task,
                    "run": entry.name,
                    "method": method,
                    "energy_pj": x,
                    "accuracy": y,
                    "on": split,
                }
            )
            shown.add(method)
    tasks = [
        Line2D([], [], color=colour, marker="s", ls="none", label=task)
        for task, colour in zip(TASKS, colours, strict=True)
    ]
    look = {"color": style.GREY, "ls": "none"}
    methods = [
        Line2D([], [], **look, marker=shape, ms=_size(method, 5), label=method)
        for method, shape in _SHAPES.items()
        if method in shown
    ]
    whose = [
        Line2D([], [], **look, marker="o", mfc="white", label="published"),
        Line2D([], [], **look, marker="o", label="ours"),
    ]
    below = style.legend_below(axes, 8, handles=tasks, handletextpad=0.0, columnspacing=1.0)
    axes.add_artist(below)  # otherwise the next legend would replace it
    below.set_clip_on(False)  # a clipped legend gets no room in the layout
    axes.legend(
        handles=[*methods, *whose], loc="center left", bbox_to_anchor=(1.02, 0.5), labelspacing=0.6
    )
    style.log_scale(axes, "x")
    axes.set(xlabel="energy of a time step by the paper's rules, pJ", ylabel="accuracy, %")
    axes.grid(alpha=0.6)
    return Made(
        f"published: {source()}, Table S2, test splits; ours: results and runs, on the split named",
        numbers,
    )


def _size(method: str, points: float) -> float:
    """A star looks smaller than it is."""
    return points * (1.5 if method == "SE-adLIF SRNN" else 1.0)
