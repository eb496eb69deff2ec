"""A measured start: before the first training step, every layer spikes, and no neuron is silent or
saturated throughout.

A few training sequences run through the network, layer by layer. If a layer's mean rate is outside
``LAYER_RATES``, its input weights are multiplied by one gain; then each neuron whose own rate is
outside ``NEURON_RATES`` gets a gain of its own. Layers and neurons within the bounds keep their
weights to the bit. A layer sees the layers below as they were scaled.

- Gains are factors of a neuron's input weights or, with batch norm, of its gamma; a gain below 1
  also applies to its recurrent weights.
- If a neuron stays silent at every gain, its weights never let the current rise (its inputs are
  mostly excitatory, and its weights happened to be negative): their sign is turned, which gives
  weights that were just as likely to be drawn.
- Neurons that do not spike, and readouts whose membrane is read, are left alone: their output is
  graded, and so is the gradient.

Scaling layer by layer on data is LSUV (Mishkin & Matas 2016, arXiv 1511.06422). Spiking layers need
a membrane that fluctuates around its threshold from the start: Rossbroich, Gygax & Zenke 2022
(arXiv 2206.10226).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.batches import Sequences
from ..data.spikes import Spikes
from ..nn.baselines import Network
from ..nn.network import SRNN, BidirectionalLayer, Layer
from .seeds import derive_seed, epoch_order

SEQUENCES = 128
"""Most training sequences that are measured."""
LAYER_RATES = 0.005, 0.5
"""Bounds of a layer's mean rate, spikes per neuron and step."""
NEURON_RATES = 0.001, 0.9
"""Bounds of a neuron's rate: below it is silent, above it is saturated."""
TARGET = 0.05
"""Mean rate to which a layer outside the bounds is brought."""
_OCTAVES = 20
"""A layer's gain may differ from 1 by at most so many powers of two."""
_TURN = 6
"""If a neuron is still silent after so many doublings, its sign is turned; then its gain may rise
by ``_OCTAVES``."""
_ROUNDS = 30
"""How often single neurons are corrected: each correction changes what the others see."""


@dataclass(frozen=True)
class LayerInitialisation:
    """What the measurement found in a layer, and what it changed."""

    name: str
    size: int
    rates: tuple[float, float]
    """Mean rate before and after."""
    silent: tuple[int, int]
    """Silent neurons before and after."""
    saturated: tuple[int, int]
    """Saturated neurons before and after."""
    scaled: int
    """Neurons whose weights were changed."""
    gains: tuple[float, float]
    """Smallest and largest absolute gain."""

    @property
    def was_unhealthy(self) -> bool:
        """Whether the layer's mean rate was out of bounds."""
        return not LAYER_RATES[0] <= self.rates[0] <= LAYER_RATES[1]

    def __str__(self) -> str:
        text = f"{self.name} rate {self.rates[0]:.3f}"
        if self.scaled:
            least, most = (f"{gain:.3g}" for gain in self.gains)
            text += f" -> {self.rates[1]:.3f}, " + (
                f"gains {least} to {most}" if least != most else f"gain {most}"
            )
        for count, what in ((self.silent, "silent"), (self.saturated, "saturated")):
            if any(count):
                text += f", {count[0]}{f' -> {count[1]}' if self.scaled else ''} of {self.size} neurons {what}"
        return text


@torch.no_grad()
def measured_start(
    network: Network, train_set: Sequences, seed: int, only: Collection[str] | None = None
) -> list[LayerInitialisation]:
    """Measure the hidden layers (and a readout whose spikes are read), and scale the weights of
    those out of bounds, in place.

    The same seed gives the same bits with any number of threads.

    Args:
        network: changed in place.
        train_set: some of its sequences are run.
        seed: chooses these, and draws initial states.
        only: names of the layers to measure ("layers.0", "readout"); None: all.

    Returns:
        What was done, one entry per layer of spiking neurons and per direction; nothing for
        networks of torch's cells.
    """
    if not isinstance(network, SRNN):
        return []
    norms = {name: tensor.clone() for name, tensor in network.named_buffers() if ".norm." in name}
    indices = epoch_order(seed, 0, len(train_set))[:SEQUENCES]
    batch = train_set.take(indices)
    device = network.readout.weight_in.device
    generator = torch.Generator(device).manual_seed(derive_seed(seed, "start"))
    state = network.initial_state(len(indices), generator)
    starts: list[LayerInitialisation] = []
    x, lengths = network.hold(network.encode(batch.x)), network.hidden_lengths(batch.lengths)
    for index, (layer, layer_state) in enumerate(zip(network.layers, state[:-1], strict=True)):
        if only is None or f"layers.{index}" in only:
            for name, single, signal, own_state in _directions(
                f"layers.{index}", layer, x, layer_state, lengths
            ):
                starts += _start(name, single, signal, own_state, lengths)
        x = layer(x, layer_state, lengths).emitted
    if network.readout.output == "emission" and (only is None or "readout" in only):
        starts += _start("readout", network.readout, network.pool(x), state[-1], batch.lengths)
    for name, tensor in norms.items():  # statistics should come from training's own batches
        network.get_buffer(name).copy_(tensor)
    return starts


def _directions(
    name: str, layer: Any, x: Tensor | Spikes, state: Any, lengths: Tensor | None
) -> Iterator[tuple[str, Layer, Tensor | Spikes, tuple[Tensor, ...]]]:
    """The single-direction layers of which a layer consists, each with its input and state."""
    if isinstance(layer, BidirectionalLayer):
        signals = layer.signals(x, lengths)
        halves = (layer.forward_layer, layer.backward_layer)
        for part, half, signal, own in zip(
            ("forward", "backward"), halves, signals, state, strict=True
        ):
            yield f"{name}.{part}", half, signal, own
    else:
        yield name, layer, x, state


def _start(
    name: str, layer: Layer, x: Tensor | Spikes, state: tuple[Tensor, ...], lengths: Tensor | None
) -> list[LayerInitialisation]:
    """Measure and scale one layer; do nothing if it does not spike."""
    if not layer.neuron.emission.binary:
        return []
    scaling = _Scaling(layer, lambda: channel_rates(layer(x, state, lengths).emitted, lengths))
    before = scaling.rates
    scaling.common()
    scaling.single()
    after, gains = scaling.rates, scaling.gains.abs()
    silent, saturated = (
        (int(then.sum()), int(now.sum()))
        for then, now in zip(_outside(before), _outside(after), strict=True)
    )
    return [
        LayerInitialisation(
            name,
            layer.size,
            (float(before.mean()), float(after.mean())),
            silent,
            saturated,
            int((scaling.gains != 1).sum()),
            (float(gains.min()), float(gains.max())),
        )
    ]


def _outside(rates: Tensor) -> tuple[Tensor, Tensor]:
    """Which neurons are silent, and which are saturated."""
    return rates < NEURON_RATES[0], rates > NEURON_RATES[1]


class _Scaling:
    """The gains of one layer's neurons. ``measure`` runs the layer and returns its neurons' rates
    (size,)."""

    def __init__(self, layer: Layer, measure: Callable[[], Tensor]) -> None:
        self._layer, self._measure = layer, measure
        # Batch norm would cancel a gain of the weights, so the current is scaled after it.
        if layer.norm is None:
            self._scaled = layer.weight_in
        else:
            self._scaled = layer.norm.gamma
        self._drawn = self._scaled.detach().clone()
        if layer.weight_rec is None:
            self._weight_rec = None
        else:
            self._weight_rec = layer.weight_rec.detach().clone()
        self.gains = torch.ones(layer.size, dtype=torch.float64)
        """Gains of the input weights; negative: the sign was turned. Below 1, the recurrent weights
        have the same gain."""
        self.rates = measure()

    def _set(self, gains: Tensor) -> Tensor:
        """Give the layer these gains; returns its rates with them."""
        like = {"device": self._drawn.device, "dtype": self._drawn.dtype}
        own = gains.to(**like)
        self._scaled.copy_(self._drawn * (own if self._drawn.ndim == 1 else own[:, None]))
        if self._layer.weight_rec is not None and self._weight_rec is not None:
            self._layer.weight_rec.copy_(
                self._weight_rec * gains.abs().clamp(max=1).to(**like)[:, None]
            )
        self.gains, self.rates = gains, self._measure()
        return self.rates

    def common(self) -> None:
        """One gain for all neurons, if the mean rate is out of bounds: the one that brings it
        nearest to ``TARGET``."""
        mean = float(self.rates.mean())
        if LAYER_RATES[0] <= mean <= LAYER_RATES[1]:
            return
        ones, rising = torch.ones_like(self.gains), mean < LAYER_RATES[0]
        octave = 0.0
        for _ in range(_OCTAVES):
            if rising:
                octave += 1
            else:
                octave += -1
            if (float(self._set(ones * 2**octave).mean()) > TARGET) == rising:
                break
        else:
            self._set(ones)  # no gain helps: there is no input, or one that no gain can hold down
            return
        low, high = sorted((octave, octave - (1 if rising else -1)))
        for _ in range(3):
            middle = (low + high) / 2
            if float(self._set(ones * 2**middle).mean()) > TARGET:
                low, high = (low, middle)
            else:
                low, high = (middle, high)
        self._set(ones * 2**high)

    def single(self) -> None:
        """A gain for each neuron that is silent or saturated. Neurons that no gain makes spike keep
        the gain they had."""
        basis, gains = self.gains.clone(), self.gains.clone()
        turned, lost = (
            torch.zeros_like(gains, dtype=torch.bool),
            torch.zeros_like(gains, dtype=torch.bool),
        )
        for _ in range(_ROUNDS):
            silent, saturated = _outside(self.rates)
            silent = silent & ~lost
            if not bool((silent | saturated).any()):
                return
            limit = torch.where(turned, 2.0**_OCTAVES, 2.0**_TURN)
            at_end = silent & (gains.abs() >= basis.abs() * limit)
            lost |= at_end & turned
            turned |= at_end
            gains = torch.where(at_end, torch.where(lost, basis, -basis), gains)
            gains = torch.where(
                silent & ~at_end, gains * 2, torch.where(saturated, gains / 2, gains)
            )
            self._set(gains)


def channel_rates(emitted: Tensor | Spikes, lengths: Tensor | None) -> Tensor:
    """Fraction of the valid steps at which each channel is not 0.

    Args:
        emitted: (B, T, N), 0 beyond the end of each sequence.
        lengths: (B,) valid steps; None: all.

    Returns:
        (N,), float64 on the CPU.
    """
    if isinstance(emitted, Spikes):
        totals = emitted.totals()
    else:
        totals = (emitted.detach() != 0).sum((0, 1)).cpu()
    if lengths is None:
        steps = emitted.shape[0] * emitted.shape[1]
    else:
        steps = int(lengths.sum())
    return totals.double() / max(steps, 1)
