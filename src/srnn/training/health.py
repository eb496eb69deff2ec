"""Whether a training is healthy: what each layer did in the current epoch, and what is wrong with
it.

Some steps of every fourth batch are sampled (spikes are bits, so this costs little), and the
gradients' norms of every batch. A layer is

    silent     at least ``SILENT`` of its neurons emitted nothing at any sampled step of the epoch
    saturated  at least ``SATURATED`` of its neurons spiked at more than ``ALWAYS`` of these steps
    exploded   the norm of its gradients was above ``EXPLODED`` in at least ``LONG`` of the batches

``examine`` names such layers; the training loop goes back to its last checkpoint, which was
healthy, and lowers the learning rate, or scales the layer's weights if it was unhealthy from the start.
A layer whose gradients exploded has smaller recurrent weights from there on (``calm``). If weights
start as drawn, silent layers have the first tenth of the epochs to wake by themselves, through the
surrogate's gradients: scaling such layers of `ecg` and `ecg-records` in epoch 2 cost one point and
three points of accuracy (results/health). The counts are part of the last checkpoint, so that a
resumed training sees, and does, the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.spikes import Spikes
from ..files.conversion import build
from ..nn.baselines import Network
from ..nn.kernels.problem import LayerResult
from ..nn.network import SRNN, layers_by_name
from .clipping import REMEMBERED, WHOLE

SILENT, SATURATED, ALWAYS = 0.9, 0.5, 0.95
"""Fractions of a layer's neurons, and of steps."""
EXPLODED, LONG, FEWEST = 1e5, 0.25, 4
"""Norm of a layer's gradients, and the least fraction and number of an epoch's batches that make it
count. Healthy norms are around 1, or around 1,000 with losses that are summed over steps."""
WAITS = 0.1
"""Fraction of the epochs, at least one epoch, in which layers may be silent if weights start as
drawn."""
CALMER = 0.9
"""Factor applied to an exploded layer's recurrent weights the first time that training goes
back."""
EVERY = 200
"""Number of batches after which a long epoch is examined."""
SAMPLED_EVERY = 4
"""One of so many batches is sampled, always including the first of an epoch."""
_SAMPLED = 512
"""Number of steps sampled from such a batch."""
_TINY = 1e-30
"""Stands for a norm of 0, whose logarithm is not finite."""


@dataclass
class Watch:
    """What was seen of the layers in the current epoch. Plain numbers, so that a checkpoint's JSON
    holds it exactly."""

    steps: int = 0
    """Sampled steps."""
    fired: dict[str, list[int]] = field(default_factory=dict)
    """By hidden layer: at how many sampled steps each neuron's output was not 0."""
    norms: dict[str, list[float]] = field(default_factory=dict)
    """By layer, about its gradients' norms: [batches, sum of logarithms, largest, batches above
    ``EXPLODED``]."""
    recent: dict[str, list[float]] = field(default_factory=dict)
    """The last batches' gradient norms, by layer and of all layers together, across epochs, if an
    adaptive bound needs them."""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Watch:
        """The watch in a checkpoint. SrnnError or ValueError for anything but plain finite
        numbers."""
        watch = build(cls, plain)
        numbers = [
            number
            for group in (watch.norms, watch.recent)
            for row in group.values()
            for number in row
        ]
        counts = [watch.steps, *(count for row in watch.fired.values() for count in row)]
        if (
            not all(map(math.isfinite, numbers))
            or min(counts) < 0
            or len(plain) != len(fields(cls))
            or any(len(row) != 4 for row in watch.norms.values())
        ):
            raise ValueError(
                "its counts of spikes or norms of gradients are not what training writes"
            )
        return watch

    def check(self, network: Network) -> None:
        """ValueError unless what was seen are layers of this network."""
        if isinstance(network, SRNN):
            layers = network.layers
        else:
            layers = ()
        sizes = {f"layers.{number}": layer.size for number, layer in enumerate(layers)}
        parts = {name for name, _ in network.named_modules()}
        if not self.norms.keys() <= parts or any(
            sizes.get(name) != len(row) for name, row in self.fired.items()
        ):
            raise ValueError("it saw layers that this network does not have")

    def begin_epoch(self) -> None:
        """Forget the epoch before."""
        self.steps, self.fired, self.norms = 0, {}, {}

    def see(
        self, network: Network, hidden: Sequence[LayerResult], lengths: Tensor | None, batch: int
    ) -> None:
        """Sample the hidden layers' outputs in one batch; networks other than SRNNs are not
        sampled.

        Args:
            network: what is trained.
            hidden: results of its hidden layers.
            lengths: (B,) valid steps of the hidden layers; None: all.
            batch: its number in the epoch, which seeds the choice of steps.
        """
        if not isinstance(network, SRNN) or not hidden:
            return
        sequences, steps = hidden[0].emitted.shape[:2]
        total = sequences * steps
        # At random: an even spacing that divides the number of steps would pick the same few steps
        # of all sequences every time.
        if total <= _SAMPLED:
            places = np.arange(total)
        else:
            places = np.random.default_rng(batch).integers(total, size=_SAMPLED)
        if lengths is not None:
            places = places[places % steps < lengths.cpu().numpy()[places // steps]]
        self.steps += len(places)
        for index, result in enumerate(hidden):
            name, counts = f"layers.{index}", _counts(result.emitted, places)
            before = self.fired.get(name)
            self.fired[name] = (counts if before is None else counts + np.array(before)).tolist()

    def add_norms(self, norms: Mapping[str, float], total: float, remember: bool) -> None:
        """Count the norms of one batch's gradients.

        Args:
            norms: by layer; a norm may be infinite or NaN.
            total: that of all layers together.
            remember: whether to keep them in ``recent``, if ``total`` is finite.
        """
        for name, norm in norms.items():
            batches, logs, largest, exploded = self.norms.get(name, (0, 0.0, 0.0, 0))
            finite = 1e38
            if math.isfinite(norm):
                finite = norm
            self.norms[name] = [
                batches + 1,
                logs + math.log(max(finite, _TINY)),
                max(largest, finite),
                exploded + (finite > EXPLODED),
            ]
        if remember and math.isfinite(total):
            for name, norm in (*norms.items(), (WHOLE, total)):
                self.recent[name] = [*self.recent.get(name, ()), norm][-REMEMBERED:]

    def report(self, network: Network) -> dict[str, dict[str, Any]]:
        """By layer: the fractions of silent and saturated neurons (for hidden layers that spike),
        and the geometric mean and the maximum of its gradients' norms."""
        reports: dict[str, dict[str, Any]] = {}
        for name, (batches, logs, largest, _) in self.norms.items():
            reports[name] = {
                "gradient_norm": math.exp(logs / max(batches, 1)),
                "largest_gradient_norm": largest,
            }
        for name, counts in self.fired.items():
            rates = np.array(counts) / max(self.steps, 1)
            reports.setdefault(name, {})["silent"] = float((rates == 0).mean())
            layer: Any = network.get_submodule(name)
            if layer.neuron.emission.binary:
                reports[name]["saturated"] = float((rates > ALWAYS).mean())
        return reports

    def exploded(self) -> set[str]:
        """The layers whose gradients were too large in more of the epoch's batches than chance
        explains."""
        return {
            name
            for name, (batches, _, _, count) in self.norms.items()
            if count >= max(FEWEST, LONG * batches)
        }

    def examine(
        self, network: Network, waits: bool = False
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Find the unhealthy layers of the epoch so far.

        Args:
            network: what is trained.
            waits: whether silent layers may still wake by themselves.

        Returns:
            What is wrong, by layer; and the part of it because of which training goes back now.
            Both are empty for a healthy training.
        """
        wrong: dict[str, str] = {}
        silent: set[str] = set()
        exploded = self.exploded()
        for name, health in self.report(network).items():
            size, (batches, _, largest, count_above) = (
                len(self.fired.get(name, ())),
                self.norms.get(name, (0, 0, 0, 0)),
            )
            if health.get("silent", 0) >= SILENT:
                silent.add(name)
                wrong[name] = (
                    f"{name} is silent "
                    f"({round(health['silent'] * size)} of {size} neurons emitted nothing)"
                )
            elif health.get("saturated", 0) >= SATURATED:
                count = round(health["saturated"] * size)
                wrong[name] = (
                    f"{name} is saturated ({count} of {size} neurons spiked at nearly every step)"
                )
            elif name in exploded:
                wrong[name] = (
                    f"the gradient of {name} has exploded (norm up to {largest:.2g}, "
                    f"above {EXPLODED:g} in {count_above:.0f} of {batches:.0f} batches)"
                )
        return wrong, {name: what for name, what in wrong.items() if not (waits and name in silent)}


@torch.no_grad()
def calm(network: Network, layers: Collection[str], times: int) -> dict[str, float]:
    """Multiply recurrent weights by ``CALMER`` to the power of ``times`` squared.

    If recurrent weights are too large, a gradient that goes back through them grows with every
    step. A smaller learning rate does not help against this: the batches after the checkpoint would
    overflow as they did before. How much too large is not known, so the factor falls faster each
    time, to .07 the fifth (results/health).

    Args:
        network: changed in place if it is an SRNN.
        layers: names of the layers whose gradients have exploded.
        times: how often training has gone back to this checkpoint, from 1.

    Returns:
        The factor, by layer with recurrent weights.
    """
    if not isinstance(network, SRNN):
        return {}
    calmed = {}
    factor = CALMER ** (times * times)
    for name in sorted(layers):
        parts = layers_by_name(network.get_submodule(name)).values()
        weights = [part.weight_rec for part in parts if part.weight_rec is not None]
        for weight in weights:
            weight.mul_(factor)
        if weights:
            calmed[name] = factor
    return calmed


def _counts(emitted: Tensor | Spikes, places: np.ndarray) -> np.ndarray:
    """At how many of these places (step + steps x sequence) each channel of (B, T, N) is not 0:
    (N,)."""
    if isinstance(emitted, Spikes):
        words = emitted.words.reshape(-1, emitted.words.shape[2])
        return (
            Spikes(words[torch.from_numpy(places).to(words.device)][None], emitted.size)
            .totals()
            .numpy()
        )
    rows = emitted.detach().reshape(-1, emitted.shape[2])
    return (rows[torch.from_numpy(places).to(rows.device)] != 0).sum(0).cpu().numpy()
