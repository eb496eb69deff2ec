"""What a network costs: one count of its operations, priced by four models. docs/energy.md
describes what each leaves out.

energy(net, x)["models"]["fp32"]["energy_pj"]["step"]        measured on an input

layers = describe_network(net)                               or step by step, with rates that you give:
counts = count(layers, Activity(spikes=True, density=0.1, rates=(0.3,)))
picojoules(total(counts), FP32)
"""

from .activity import Activity, ActivityTally, evaluate_activity, measure_input
from .counting import LayerCounts, LayerShape, count, describe_network, rates_of, total
from .estimate import break_even, compare, energy, energy_report
from .operation_energy import (
    FP32,
    INT8,
    MODELS,
    PAPER,
    PAPER_AC_PJ,
    PAPER_MAC_PJ,
    load_technology,
    picojoules,
    technologies,
)

__all__ = [
    "FP32",
    "INT8",
    "MODELS",
    "PAPER",
    "PAPER_AC_PJ",
    "PAPER_MAC_PJ",
    "Activity",
    "ActivityTally",
    "LayerCounts",
    "LayerShape",
    "break_even",
    "compare",
    "count",
    "describe_network",
    "energy",
    "energy_report",
    "evaluate_activity",
    "load_technology",
    "measure_input",
    "picojoules",
    "rates_of",
    "technologies",
    "total",
]
