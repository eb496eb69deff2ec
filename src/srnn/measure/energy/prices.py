"""What operations cost: each model is a list of prices that applies to the one record of counts (``counting.py``).

paper        the paper's rules and prices (3.1 / 0.1 pJ), one average rate: to compare with its tables
fp32         each layer's own rates, float32 (4.6 / 0.9 pJ), analog input as MACs
neurobench   NeuroBench's effective operations at the float32 prices
memory       operations, memory traffic and addressing, by a technology (``technology.py``)

All in 45 nm (Horowitz 2014). The paper takes an int32 multiplication alone as its MAC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .counting import LayerCounts

Prices = Mapping[str, float]
"""pJ of one, by the name of the count."""

PAPER_MAC_PJ, PAPER_AC_PJ = 3.1, 0.1
FP32_MAC_PJ, FP32_AC_PJ = 4.6, 0.9

PAPER: Prices = {"paper_macs": PAPER_MAC_PJ, "paper_acs": PAPER_AC_PJ}
FP32: Prices = {"synaptic_macs": FP32_MAC_PJ, "neuron_macs": FP32_MAC_PJ, "synaptic_acs": FP32_AC_PJ}
NEUROBENCH: Prices = {"effective_macs": FP32_MAC_PJ, "effective_acs": FP32_AC_PJ}
INT8: Prices = {"synaptic_macs": 3.2, "neuron_macs": 3.2, "rescalings": 3.2, "synaptic_acs": 0.1}
"""Of int8 weights whose sums and states are int32; a multiply-add is both. Not one of the models: ``srnn prune`` has it."""

MODELS = ("paper", "fp32", "neurobench", "memory")


def parts(counts: LayerCounts, prices: Prices) -> dict[str, float]:
    """pJ of each priced count."""
    return {name: getattr(counts, name) * price for name, price in prices.items()}


def picojoules(counts: LayerCounts, prices: Prices) -> float:
    """pJ of all priced counts."""
    return sum(parts(counts, prices).values())
