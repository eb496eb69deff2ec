"""The norms of gradients, layer by layer, and how they are bounded.

    network  the gradients of the whole network are scaled by one factor: their direction stays, but one layer whose gradient has
             exploded leaves the others almost no step
    layer    each layer's gradients are scaled on their own: the other layers keep their step

The bound is ``clip_norm``, or it adapts: ``clip_quantile`` of the norms of the last batches
(AutoClip, Seetharaman et al. 2020, arXiv 2007.14469), so that a recipe need not state how large its
gradients are. Adaptive gradient clipping (AGC, Brock et al. 2021, arXiv 2102.06171) bounds them by
the weights' norms instead. These mean little here: a layer's weights may start forty times larger
than another's (``initialisation.py``), and time constants are counted in steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ..model.recipe import TrainingConfig

REMEMBERED = 200
"""Number of past batches whose norms determine an adaptive bound."""
FEWEST = 10
"""Number of batches before a bound adapts; until then it is ``clip_norm``."""
WHOLE = "network"
"""Name for the norm of all gradients together."""


class Gradients:
    """The gradients of a network, by layer: "layers.0", ..., "readout", "encoder"."""

    def __init__(self, network: nn.Module, config: TrainingConfig) -> None:
        self._config = config
        self._groups: dict[str, list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            first, second, *_ = name.split(".")
            self._groups.setdefault(f"{first}.{second}" if first == "layers" else first, []).append(
                parameter
            )

    def divide(self, number: float) -> None:
        """Divide all gradients by a number."""
        for group in self._groups.values():
            for parameter in group:
                if parameter.grad is not None:
                    parameter.grad.div_(number)

    def norms(self) -> dict[str, float]:
        """The current norm of each layer's gradients."""
        norms = dict.fromkeys(self._groups, 0.0)
        own = [
            (name, p.grad)
            for name, group in self._groups.items()
            for p in group
            if p.grad is not None
        ]
        if own:
            each = torch.stack([torch.linalg.vector_norm(gradient) for _, gradient in own]).tolist()
        else:
            each = []
        for (name, _), norm in zip(own, each, strict=True):
            norms[name] = math.hypot(norms[name], norm)
        return norms

    def clip(
        self, fabric: Any, module: Any, optimizer: Any, norms: Mapping[str, float], recent: Any
    ) -> float:
        """Scale the gradients in place, as the recipe asks.

        Args:
            fabric: Lightning Fabric, which clips the whole network's gradients.
            module: the network, as Fabric wraps it.
            optimizer: the optimiser, as Fabric wraps it.
            norms: each layer's, from ``norms``.
            recent: each layer's last norms, from ``Watch``, which adaptive bounds follow.

        Returns:
            The norm of all gradients before scaling, which may not be finite.
        """
        config = self._config
        whole = config.clip == "network"
        if whole:
            bound = self._bound(recent.get(WHOLE, ()))
        else:
            bound = math.inf
        # Without clipping the norm is still needed: it shows whether every gradient is finite.
        total = float(
            fabric.clip_gradients(module, optimizer, max_norm=bound, error_if_nonfinite=False)
        )
        if not whole and math.isfinite(total):
            for name, parameters in self._groups.items():
                factor = self._bound(recent.get(name, ())) / (norms[name] + 1e-6)
                if factor < 1:
                    for parameter in parameters:
                        if parameter.grad is not None:
                            parameter.grad.mul_(factor)
        return total

    def _bound(self, recent: Any) -> float:
        """The largest norm that a gradient may keep; infinite: no limit."""
        config = self._config
        if config.clip_norm is None:
            fixed = math.inf
        else:
            fixed = config.clip_norm
        if config.clip_quantile is None or len(recent) < FEWEST:
            return fixed
        return min(fixed, float(np.quantile(recent, config.clip_quantile)))
