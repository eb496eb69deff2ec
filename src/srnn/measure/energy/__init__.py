"""What a network costs: operations and energy, by four models beside each other. docs/energy.md says what each leaves out.

shape = describe_network(net)
activity = Activity(InputActivity(spikes=True, density=0.1), rates=(0.3,))
report = energy_report(Subject("mine", shape, activity), load_technology(), step_ms=4.0)
report["models"]["fp32"]["energy_pj"]["step"]
"""

from .activity import Activity, InputActivity, measure_input, rates_of
from .estimate import MODELS, Subject, compare, energy_report
from .layers import LayerShape, NetworkShape, describe_network
from .memory import memory_energy
from .operations import (
    ANALOG_IN_PAPER,
    FP32_AC_PJ,
    FP32_MAC_PJ,
    PAPER_AC_PJ,
    PAPER_MAC_PJ,
    Operations,
    effective_operations,
    measured_operations,
    paper_operations,
    total,
)
from .technology import Technology, load_technology, technologies

__all__ = [
    "ANALOG_IN_PAPER",
    "FP32_AC_PJ",
    "FP32_MAC_PJ",
    "MODELS",
    "PAPER_AC_PJ",
    "PAPER_MAC_PJ",
    "Activity",
    "InputActivity",
    "LayerShape",
    "NetworkShape",
    "Operations",
    "Subject",
    "Technology",
    "compare",
    "describe_network",
    "effective_operations",
    "energy_report",
    "load_technology",
    "measure_input",
    "measured_operations",
    "memory_energy",
    "paper_operations",
    "rates_of",
    "technologies",
    "total",
]
