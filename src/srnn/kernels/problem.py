"""What every backend is given, and what it gives back: one layer over a batch of whole sequences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from ..neurons.base import Neuron
from ..surrogates import Surrogate

Output = Literal["emission", "membrane"]


@dataclass(frozen=True)
class LayerProblem:
    """One layer to be run. B sequences, T steps, I inputs, H neurons; all floats of one dtype on one device."""

    neuron: Neuron
    surrogate: Surrogate
    x: Tensor
    """Input, (B, T, I)."""
    weight_in: Tensor
    """(H, I)."""
    bias: Tensor | None
    """(H,)."""
    weight_rec: Tensor | None
    """(H, H): from neuron j (column) to neuron i (row), one step later. None: a feed-forward layer."""
    coefficients: tuple[Tensor, ...]
    """The neuron's per-neuron constants, each (H,), in the order of ``neuron.coefficients``."""
    state: tuple[Tensor, ...]
    """Initial (*state variables, s), each (B, H)."""
    lengths: Tensor | None = None
    """Valid steps of each sequence, (B,) integers; None: all. Later steps leave the state alone and emit 0."""
    output: Output = "emission"
    """What the layer hands on: the emission (spikes, activations) or the membrane (first state variable)."""
    record: tuple[str, ...] = ()
    """Traces to return: state variables by name, "s", "v" (the drive) or "current"."""


@dataclass(frozen=True)
class LayerResult:
    """What running a layer gives."""

    output: Tensor
    """(B, T, H); zero after a sequence's length."""
    state: tuple[Tensor, ...]
    """Final state, of the neuron's State type, each (B, H): that of each sequence's last valid step."""
    traces: dict[str, Tensor] = field(default_factory=dict)
    """The recorded variables, each (B, T, H)."""
