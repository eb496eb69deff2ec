"""Figures 2 and S2: what a layer costs in a time step, by the paper's rules; and accuracy against energy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...energy import LayerShape, NetworkShape, paper_operations, total
from . import style
from .evidence import Evidence
from .matching import cost, energy, same_data
from .published import TASKS, number, published_rows, source
from .sheet import Made, MissingError, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RULES = {  # as in srnn.energy.operations: m inputs, n units, r the firing rate
    "LIF": ("n", "r(mn + n²)"),
    "ALIF": ("3n", "r(mn + n²)"),
    "integrator": ("n", "r mn"),
    "ReLU": ("mn + n² + 5n", "-"),
    "LSTM": ("4(mn + n²) + 17n", "-"),
    "RNN": ("mn + 2n² + 4n", "-"),
    "GRU": ("3(mn + n²) + 12n", "-"),
}
_KINDS = {
    "LIF": "lif",
    "ALIF": "alif",
    "integrator": "integrator",
    "ReLU": "relu",
    "LSTM": "lstm",
    "RNN": "rnn",
    "GRU": "gru",
}
_NEURON_MACS = {"lif": 1, "alif": 3, "integrator": 1}
_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
_RATES = (0.3, 0.1, 0.03)


def figure2(evidence: Evidence) -> Sheet:
    """The paper's rules and what follows from them."""
    sheet = Sheet("fig2", "Figure 2: the cost of a time step", ["ac", "dd"], 5.8, heights=(1, 1.35), widths=(1, 1))
    layers = ("LIF", "ALIF", "integrator", "ReLU", "LSTM")
    sheet.panel("a", "operations of a layer, m inputs, n units", lambda axes: _rules(axes, layers))
    sheet.drawing("b", "operations within LIF, ALIF and LSTM units")
    sheet.panel("c", "what follows, m = n (not in the paper)", lambda axes: _sizes(axes, ("LSTM", "ReLU", "ALIF")))
    sheet.panel(
        "d",
        "accuracy against energy, from Table S2 (not in the paper's figure)",
        lambda axes: _accuracy(axes, evidence),
    )
    return sheet


def figure_s2(evidence: Evidence) -> Sheet:
    """The same for simple recurrent and gated units."""
    sheet = Sheet("figS2", "Figure S2: the cost of other recurrent units", ["bc"], 2.7)
    sheet.drawing("a", "bidirectional architecture")
    sheet.panel("b", "operations of a layer, m inputs, n units", lambda axes: _rules(axes, ("RNN", "GRU")))
    sheet.panel("c", "what follows, m = n (not in the paper)", lambda axes: _sizes(axes, ("GRU", "RNN", "ALIF")))
    return sheet


def layer_energy(name: str, size: int, rate: float) -> float:
    """pJ of a step of one recurrent layer with as many inputs as units, by the paper's rules."""
    kind = _KINDS[name]
    spiking = kind in ("lif", "alif")
    macs = _NEURON_MACS.get(kind, 0) * size
    layer = LayerShape(name, kind, size, size, recurrent=kind != "integrator", spiking=spiking, neuron_macs=macs)
    return energy(total(paper_operations(NetworkShape((layer,)), rate)))


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
        0, 0, "r: firing rate; a MAC costs 3.1 pJ, an AC 0.1 pJ", va="bottom", fontsize=6.5, color=style.GREY,
        transform=axes.transAxes,
    )  # fmt: skip
    return Made(
        "rules found by fitting the paper's Tables 2 and S2, whose own table is a picture; docs/energy.md says which rows fit",
        {name: dict(zip(("mac", "ac"), _RULES[name], strict=True)) for name in names},
    )


def _sizes(axes: Axes, names: tuple[str, ...]) -> Made:
    numbers: dict[str, Any] = {"n": list(_SIZES)}
    last = None
    for index, name in enumerate(names):
        rates = _RATES if name == "ALIF" else (0.0,)
        for shade, rate in enumerate(rates):
            key = f"{name}, rate {rate:g}" if name == "ALIF" else name
            values = [layer_energy(name, size, rate) for size in _SIZES]
            numbers[key] = values
            colour = style.BLUE if name == "ALIF" else (style.ORANGE, style.GREEN)[index]
            dash = style.DASHES[shade] if name == "ALIF" else "-"
            axes.plot(_SIZES, values, color=colour, ls=dash, marker=style.MARKERS[index], ms=3, label=key)
            last = values[-1]
    assert last is not None
    axes.set(xscale="log", yscale="log", xlabel="units, n", ylabel="energy of a step, pJ")
    axes.set_xticks([8, 32, 128, 512], ["8", "32", "128", "512"])
    axes.minorticks_off()
    axes.legend(loc="upper left")
    return Made("srnn.energy, the paper's rules and prices", numbers)


def _accuracy(axes: Axes, evidence: Evidence) -> Made:
    """Published networks as open symbols, the same networks of ours filled; a colour and shape a task."""
    from matplotlib.lines import Line2D

    numbers: dict[str, Any] = {"published": [], "ours": []}
    handles = []
    colours = (*style.CYCLE, style.GREY)
    shapes = ("o", "s", "^", "D", "v", "p", "h", "*")
    for index, (task, own_name) in enumerate(TASKS.items()):
        look: dict[str, Any] = {"color": colours[index], "marker": shapes[index], "ls": "none"}
        for row in published_rows("tableS2"):
            if row.task != task or row.energy is None or row.accuracy is None:
                continue
            x, y = number(row.energy), number(row.accuracy)
            axes.plot(
                x,
                y,
                **look,
                mfc="white" if not row.own else "none",
                ms=5 if not row.own else 7,
                mew=1.1 if not row.own else 1.8,
            )
            numbers["published"].append({"task": task, "method": row.method, "energy_pj": x, "accuracy": y})
        measured = 0
        paper = next(row for row in published_rows("tableS2") if row.task == task and row.own).load_recipe()
        assert paper is not None  # every task has one
        for entry in evidence.of_task(own_name):
            if not same_data(entry.recipe, paper):
                continue
            operations = cost(entry.recipe, None if entry.firing_rate is None else entry.firing_rate["mean"])
            if operations is None:
                continue
            accuracy, split, _ = entry.measured()
            x, y = energy(operations), 100 * accuracy["mean"]
            error = None if accuracy["std"] is None else 100 * accuracy["std"]
            axes.errorbar(x, y, yerr=error, **look, ms=4.5, elinewidth=0.8)
            numbers["ours"].append({"task": task, "run": entry.name, "energy_pj": x, "accuracy": y, "on": split})
            measured += 1
        handles.append(Line2D([], [], **look, mfc=colours[index] if measured else "white", label=task))
    if not numbers["published"] and not numbers["ours"]:
        raise MissingError("nothing published and nothing measured")
    first = axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.62), title="task")
    axes.add_artist(first)
    kinds = [
        Line2D([], [], color=style.GREY, marker="o", ls="none", mfc="white", ms=5, label="published"),
        Line2D(
            [], [], color=style.GREY, marker="o", ls="none", mfc="none", ms=7, mew=1.8, label="published,\nits SRNN"
        ),
        Line2D([], [], color=style.GREY, marker="o", ls="none", ms=4.5, label="ours"),
    ]
    axes.legend(handles=kinds, loc="center left", bbox_to_anchor=(1.0, 0.14))
    axes.set(xscale="log", xlabel="energy of a time step by the paper's rules, pJ", ylabel="accuracy, %")
    axes.grid(alpha=0.6)
    return Made(f"published: {source()}, Table S2, test splits; ours: results and runs, on the split named", numbers)
