"""Delays: an emission of a presynaptic neuron arrives some steps later, the same number at all of
its synapses (axonal delays).

Within a step a layer sees the layer below in the same step and itself one step earlier. With a
delay of d >= 0 steps it sees x[t - d] of an input channel, s[t - 1 - d] of one of its own neurons.
A constant recurrent delay of k - 1 is the skip recurrence s[t - k] (ASRC-SNN, arXiv 2505.11455).
Delays are drawn once and are not trained.

Spikes in flight are state, like the neuron's variables and s (``delay_buffer.py``).
"""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SrnnError
from ..registry import check_settings
from ..text import shapes
from .neurons.base import Init

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 4095
"""The longest delay, in steps: far beyond any in use, but too short for a state to take all
memory."""

LEARNED = ("learned", "sigma")
"""Settings of version 0.1, which could train delays; a file in which ``learned`` is false is
read."""


@dataclass(frozen=True)
class Delays:
    """The distributions of a hidden layer's delays, in (its own) steps; None: it has none there.

    A drawn value is rounded to whole steps, and a negative one loses its sign: "normal(0, 12)" is
    half-normal.
    """

    recurrent: Init | None = None
    input: Init | None = None

    def __post_init__(self) -> None:
        for name in ("recurrent", "input"):
            if getattr(self, name) is not None:
                how = Init.parse(getattr(self, name), f"delays.{name}")
                object.__setattr__(self, name, how)

    @classmethod
    def parse(cls, spec: Delays | Mapping[str, Any] | None) -> Delays:
        """Delays from a mapping such as {"recurrent": "uniform(0, 20)", "input": 6}. SrnnError for
        anything else."""
        if isinstance(spec, Delays):
            return spec
        if not isinstance(spec, Mapping | None):
            example = "{recurrent: 'uniform(0, 20)'}"
            message = f"Delays are given as a mapping such as {example}, not {spec!r}."
            raise SrnnError(message, "value", "delays")
        settings = {key: value for key, value in (spec or {}).items() if key not in LEARNED}
        check_settings("Delays have", settings, [item.name for item in fields(cls)])
        if (spec or {}).get("learned"):
            raise SrnnError(
                "Delays can no longer be learned, only drawn: train a network whose delays have no "
                "'learned' and no 'sigma'.",
                "unsupported",
                "delays.learned",
            )
        return cls(**settings)

    @property
    def drawn(self) -> dict[str, Init]:
        """The distributions by connection, "recurrent" and "input"; empty for a layer without
        delays."""
        return {
            key: how for key in ("recurrent", "input") if (how := getattr(self, key)) is not None
        }

    def describe(self) -> dict[str, Any]:
        """The mapping that ``parse`` reads back; empty for a layer without delays."""
        return {key: str(how) for key, how in self.drawn.items()}


def check_delays(delays: Tensor | np.ndarray[Any, Any], what: str, field: str = "") -> None:
    """Check the range of delays.

    Args:
        delays: steps, of any shape.
        what: whose delays they are, which begins the message.
        field: of the error; "": ``what``.

    Raises:
        SrnnError: ``value``, unless all are from 0 to LONGEST steps.
    """
    if getattr(delays, "is_meta", False):  # a tensor without numbers
        return
    if not bool(((delays >= 0) & (delays <= LONGEST)).all()):
        raise SrnnError(f"{what}: a delay is from 0 to {LONGEST:,} steps.", "value", field or what)


@functools.cache
def state_type(neuron_state: Any, more: tuple[str, ...]) -> Any:
    """A neuron's State with further fields after its own; it can be pickled.

    Args:
        neuron_state: the NamedTuple of the neuron's variables and ``s``.
        more: names of further fields; () returns the neuron's own.

    Returns:
        A NamedTuple.
    """
    if not more:
        return neuron_state
    kind: Any = namedtuple(f"Delayed{neuron_state.__name__}", (*neuron_state._fields, *more))
    kind.__repr__ = shapes
    kind.__reduce__ = lambda self: (_restored, (neuron_state, more, tuple(self)))
    return kind


def _restored(neuron_state: Any, more: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return state_type(neuron_state, more)._make(values)
