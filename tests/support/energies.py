"""Small networks whose operations can be counted by hand, and what goes into them."""

from __future__ import annotations

from dataclasses import replace

from srnn import SRNN
from srnn.measure.energy import Activity

SPIKES = Activity(spikes=True, density=0.1, steps=100.0)
ANALOG = Activity(spikes=False, density=0.5)
GIVEN = {"spikes": SPIKES, "analog": ANALOG}


def spiking(*rates: float) -> Activity:
    """Of hidden layers with these rates, whose input are spikes."""
    return replace(SPIKES, rates=rates)


def small(
    neuron: object = "alif", inputs: int = 3, hidden: object = (5, 4), **options: object
) -> SRNN:
    return SRNN.paper(inputs, list(hidden), 2, neuron=neuron, backend="reference", **options)  # type: ignore[arg-type, call-overload]
