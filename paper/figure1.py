"""Figure 1: what the neurons and the surrogate gradients compute. Pure computation: the library's
own neurons and surrogates."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

from srnn.measure import style
from srnn.nn.neurons.alif import step
from srnn.nn.surrogates import SURROGATES

from .evidence import Evidence
from .sheet import Made, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = 200
BURST = (20, 130)
"""First and last step of the input."""


def figure1(evidence: Evidence) -> Sheet:
    """Panels a and c as the neurons' answers to the same input, e the surrogates; b and d are
    drawings."""
    sheet = Sheet("fig1", "Figure 1: spiking neurons and surrogate gradients", ["ac", "ee"], 4.6)
    sheet.panel("a", "LIF: leak, threshold, reset", lambda axes: _neuron(axes, beta=0.0))
    sheet.drawing("b", "architecture of a spiking recurrent network")
    sheet.panel("c", "ALIF: each spike lifts the threshold", lambda axes: _neuron(axes, beta=1.8))
    sheet.drawing("d", "computational graph, rolled out in time")
    sheet.panel(
        "e", "surrogate gradients ψ(u − ϑ), with the published code's factor γ = 0.5", _surrogates
    )
    return sheet


def response(beta: float) -> dict[str, list[float]]:
    """Membrane, threshold and spikes of one ALIF neuron for a constant input that is switched on
    and off.

    beta 0 makes it a LIF neuron with soft reset. threshold 0.3, tau_mem 20, tau_adp 60 steps.
    """
    alpha, rho, threshold = exp(-1 / 20), exp(-1 / 60), 0.3
    u = e = s = 0.0
    traces: dict[str, list[float]] = {"input": [], "u": [], "threshold": [], "s": []}
    for t in range(STEPS):
        current = 1.8 if BURST[0] <= t < BURST[1] else 0.0
        u, e, drive = step(u, e, s, current, alpha, rho, beta, threshold)
        s = float(drive > 0)
        for name, value in zip(traces, (current, u, threshold + beta * e, s), strict=True):
            traces[name].append(value)
    return traces


def _neuron(axes: Axes, beta: float) -> Made:
    traces = response(beta)
    time = range(STEPS)
    spikes = [t for t in time if traces["s"][t]]
    axes.axvspan(*BURST, color=style.LIGHT, alpha=0.45, lw=0)
    axes.plot(
        time, traces["threshold"], color=style.ORANGE, ls=style.DASHES[1], label="threshold ϑ"
    )
    axes.plot(time, traces["u"], color=style.BLUE, lw=1.1, label="membrane u")
    axes.vlines(spikes, 1.02, 1.18, color=style.BLACK, lw=1.0)
    axes.text(
        spikes[-1] + 5 if spikes else 0, 1.1, f"{len(spikes)} spikes", va="center", fontsize=7
    )
    axes.text(
        sum(BURST) / 2, -0.27, "input on", ha="center", va="center", fontsize=7, color=style.GREY
    )
    axes.set(
        xlabel="time step",
        ylabel="membrane",
        xlim=(0, STEPS),
        ylim=(-0.35, 1.22),
        yticks=[0, 0.5, 1],
    )
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.88))
    return Made(
        f"srnn.nn.neurons.alif.step with beta {beta:g}, threshold 0.3, tau_mem 20, tau_adp 60 "
        "steps",
        traces,
    )


def _surrogates(axes: Axes) -> Made:
    v = np.linspace(-3, 3, 601)
    numbers: dict[str, Any] = {"v": v.tolist()}
    names = {
        "multi_gaussian": "multi-Gaussian (paper)",
        "gaussian": "Gaussian",
        "linear": "linear",
        "slayer": "SLayer",
    }
    axes.axhline(0, color=style.GREY, lw=0.6)
    for index, (name, title) in enumerate(names.items()):
        psi = np.asarray(SURROGATES[name]()(v))
        numbers[name] = psi.tolist()
        look: dict[str, Any] = {
            "color": style.CYCLE[index],
            "ls": style.DASHES[index],
            "lw": 1.2 if index else 1.8,
        }
        axes.plot(v, psi, **look, label=title)
    own = np.array(numbers["multi_gaussian"])
    low = len(v) - 1 - int(np.argmin(own[::-1]))
    axes.annotate(
        f"negative lobes:\nlowest −{abs(own[low]):.4f} at |u − ϑ| = {abs(v[low]):.2f}",
        (v[low], own[low]),
        (1.55, 0.13),
        arrowprops={"arrowstyle": "-", "color": style.GREY, "lw": 0.6},
        fontsize=7,
    )
    axes.set(xlabel="membrane − threshold, u − ϑ", ylabel="ψ", xlim=(-3, 3))
    axes.legend(loc="upper right")
    return Made(
        "srnn.nn.surrogates with the paper's constants (h 0.15, s 6, sigma 0.5; linear 1, SLayer "
        "5)",
        numbers,
    )
