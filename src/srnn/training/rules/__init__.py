"""Learning rules: how the gradient of a loss over time is computed. One file per rule; ``bptt`` and ``tbptt`` need none.

    bptt       backpropagation through time: autograd, or the compiled loops, through the whole sequence
    tbptt      the same within windows, with the state carried on; every rule can use windows (``training.windows``)
    rtrl       the same gradient forwards in time; memory grows with neurons x parameters          (rtrl.py)
    d-rtrl     each neuron's own derivatives, forwards in time; nothing through recurrent weights    (d_rtrl.py)
    e-prop     the same, filtered as the readout remembers, and with a choice of feedback            (e_prop.py)
    es-d-rtrl  d-rtrl with one trace per input and one per neuron, instead of one per synapse         (es_d_rtrl.py)

All online rules use the Jacobian of the neuron's ``step`` (``srnn.nn.derivatives``), so that every rule works for every neuron.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from .d_rtrl import DRTRL
from .e_prop import EProp, Feedback
from .es_d_rtrl import ESDRTRL
from .learner import Learner, OnlineRule, follow, local_layers, run_window
from .rtrl import RTRL


def create_rule(
    name: str, feedback: Feedback | Literal["learned"] = "symmetric", seed: int = 0, mirrors: Sequence[Tensor] = ()
) -> OnlineRule | None:
    """A rule by its name in recipes; None for bptt and tbptt. ``feedback`` is for e-prop: drawn from ``seed`` if random,
    ``mirrors`` if learned."""
    if name in ("bptt", "tbptt"):
        return None
    if name == "e-prop":
        return EProp(mirrors=mirrors) if feedback == "learned" else EProp(feedback, seed)
    return {"rtrl": RTRL, "d-rtrl": DRTRL, "es-d-rtrl": ESDRTRL}[name]()


__all__ = [
    "DRTRL", "ESDRTRL", "RTRL", "EProp", "Learner", "OnlineRule", "create_rule", "follow", "local_layers",
    "run_window",
]  # fmt: skip
