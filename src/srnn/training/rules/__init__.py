"""Learning rules: how the gradient of a loss over time is computed. One file per rule; ``bptt`` and
``tbptt`` need none.

    bptt       backpropagation through time: autograd, or the compiled loops, through the whole sequence
    tbptt      the same within windows, with the state carried on; every rule can use windows (``training.windows``)
    d-rtrl     each neuron's own derivatives, forwards in time; nothing through recurrent weights    (d_rtrl.py)
    e-prop     the same, filtered as the readout remembers, and with a choice of feedback            (e_prop.py)

The rules that go forwards in time use the derivatives of the neuron's ``step``
(``srnn.nn.derivatives``), so that each works for every neuron.
"""

from .d_rtrl import DRTRL
from .e_prop import EProp, Feedback
from .learner import Learner, OnlineRule, follow, local_layers, run_window


def create_rule(name: str, feedback: Feedback = "symmetric", seed: int = 0) -> OnlineRule | None:
    """A learning rule.

    Args:
        name: its name in recipes.
        feedback: of e-prop: the transposed weights above, or random ones.
        seed: draws random feedback.

    Returns:
        The rule; None for bptt and tbptt, which need none.
    """
    rules = {"bptt": None, "tbptt": None, "d-rtrl": DRTRL(), "e-prop": EProp(feedback, seed)}
    return rules[name]


__all__ = [
    "DRTRL",
    "EProp",
    "Learner",
    "OnlineRule",
    "create_rule",
    "follow",
    "local_layers",
    "run_window",
]
