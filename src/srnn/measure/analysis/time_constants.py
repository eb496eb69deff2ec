"""How training changed the time constants: their values before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ...errors import SrnnError
from ...nn.baselines import Network
from ...nn.network import Layer
from ...nn.neurons import Neuron
from ..sections import (
    NUMBER,
    TEXT,
    Axis,
    Line,
    Plot,
    Section,
    Spread,
    Table,
    layer_title,
    over_time,
)
from .measuring import Measurement, Subject

Values = npt.NDArray[np.float64]
WIDE = 20.0
"""Ratio of the longest to the shortest time constant above which histogram bins grow by a constant
factor."""


KINDS = {"tau_mem": "membrane", "tau_adp": "adaptation"}
"""Names of time constants for people."""


class Histogram(NamedTuple):
    """Histogram of the time constants of a layer's neurons."""

    log: bool
    """Whether bins grow by a constant factor, because the range is wide; otherwise all have the
    same width."""
    edges: list[float]
    """(bins + 1,) in steps."""
    now: list[int]
    initial: list[int] | None
    """Before training; None if unknown."""


@dataclass(frozen=True)
class TimeConstants:
    """One kind of time constant of one layer."""

    name: str
    """"layers.0.tau_mem"."""
    is_trained: bool
    """Whether the optimiser trains it."""
    values: Values
    """(size,) now, in steps."""
    initial: Values | None
    """(size,) before training; None if unknown."""
    step_ms: float | None

    @property
    def rms_change(self) -> float | None:
        """Root-mean-square change, in steps, over the neurons for which it is finite."""
        if self.initial is None:
            return None
        both = np.isfinite(self.values) & np.isfinite(self.initial)
        if not both.any():
            return 0.0
        return float(np.sqrt(np.square(self.values[both] - self.initial[both]).mean()))

    def histogram(self, bins: int = 24) -> Histogram:
        """Histogram of the values now and before training, over the range of both."""
        both = _finite(
            self.values if self.initial is None else np.concatenate([self.values, self.initial])
        )
        log = bool(len(both) and both.min() > 0 and both.max() > WIDE * both.min())
        if log:
            edges = np.geomspace(both.min(), both.max(), bins + 1)
        else:
            edges = np.histogram_bin_edges(both, bins)

        def counts(values: Values) -> list[int]:
            inside = np.clip(_finite(values), edges[0], edges[-1])  # a rounded edge loses no neuron
            return np.histogram(inside, edges)[0].tolist()

        if self.initial is None:
            initial = None
        else:
            initial = counts(self.initial)
        return Histogram(log, edges.tolist(), counts(self.values), initial)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "trained": self.is_trained,
            "step_ms": self.step_ms,
            "rms_change": self.rms_change,
            "now": _summary(self.values),
            "initial": None if self.initial is None else _summary(self.initial),
        }

    @property
    def title(self) -> str:
        """For people: "Layer 1, membrane"."""
        layer, _, name = self.name.rpartition(".")
        return f"{layer_title(layer)}, {KINDS.get(name, name)}"

    def plot(self) -> Plot:
        bins = self.histogram()
        lines = [Line("now", bins.now, bins.edges, "area")]
        if bins.initial is not None:
            lines.append(Line("before training", bins.initial, bins.edges, "dashed"))
        steps = Axis(over_time(self.step_ms), low=bins.edges[0], high=bins.edges[-1], log=bins.log)
        return Plot(self.title, steps, Axis("neurons", low=0, whole=True), lines)


class AllTimeConstants(list[TimeConstants]):
    """Those of every layer."""

    @classmethod
    def begin(cls, subject: Subject) -> Measurement:
        trained = subject.trained
        found = cls(time_constants(trained.network, subject.initial, trained.task.step_ms))
        return Measurement(lambda _: found)

    def to_dict(self) -> list[dict[str, Any]]:
        return [one.to_dict() for one in self]

    def section(self) -> Section | None:
        if not self:
            return None
        columns = {
            "time constant": TEXT,
            "before training": NUMBER,
            "now": NUMBER,
            "rms change": NUMBER,
            "trained": TEXT,
        }
        rows = [
            [
                one.title,
                _spread(one.initial),
                _spread(one.values),
                one.rms_change,
                "yes" if one.is_trained else "no",
            ]
            for one in self
        ]
        lead = "How training changed them: mean and deviation over a layer's neurons, in steps."
        return Section(
            "Time constants",
            lead,
            (Table("Time constants", columns, rows), *(one.plot() for one in self)),
        )


def time_constants(
    network: Network, initial: Network | None = None, step_ms: float | None = None
) -> list[TimeConstants]:
    """The time constants of every layer.

    Args:
        network: the trained network.
        initial: the network before training (``recipe.build_network(task, run.seed)``); None:
            unknown.
        step_ms: milliseconds per step; None: steps are not in time.

    Returns:
        One for each layer and kind, the readout's last; empty for a network of torch's cells.

    Raises:
        SrnnError: ``conflict`` when the two architectures differ.
    """
    now = network.time_constants()
    if initial is None:
        before = {}
    else:
        before = initial.time_constants()
    if before and {name: len(v) for name, v in now.items()} != {
        name: len(v) for name, v in before.items()
    }:
        raise SrnnError(
            "The initial network has a different architecture: its time constants do not match.",
            "conflict",
            "initial",
        )
    constants = []
    for name, values in now.items():
        layer, _, tau = name.rpartition(".")
        module = network.get_submodule(layer)
        assert isinstance(module, Layer)
        start = None
        if before:
            start = before[name].double().cpu().numpy()
        trained, now_ = tau in trained_time_constants(module.neuron), values.double().cpu().numpy()
        constants.append(TimeConstants(name, trained, now_, start, step_ms))
    return constants


def trained_time_constants(neuron: Neuron) -> set[str]:
    """Names of the time constants that training changes: those that follow from a trained
    parameter."""
    with torch.enable_grad():
        parameters = {
            name: torch.ones(1, requires_grad=name in neuron.trained)
            for name in neuron.parameters()
        }
        return {
            name for name, value in neuron.dynamics(**parameters).items() if value.requires_grad
        }


def _finite(values: Values) -> Values:
    """The finite values: some published time constants are not finite, and a neuron that no longer
    turns has no period."""
    return values[np.isfinite(values)]


def _spread(values: Values | None) -> Spread | None:
    if values is None:
        known = np.array([])
    else:
        known = _finite(values)
    if not len(known):
        return None
    return Spread(float(known.mean()), float(known.std()))


def _summary(values: Values) -> dict[str, Any]:
    known = _finite(values)
    if not len(known):
        return {"mean": None, "std": None, "min": None, "max": None, "values": [None] * len(values)}
    return {
        "mean": float(known.mean()),
        "std": float(known.std()),
        "min": float(known.min()),
        "max": float(known.max()),
        "values": [value if np.isfinite(value) else None for value in values.tolist()],
    }
