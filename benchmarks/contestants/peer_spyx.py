"""Spyx on JAX: its two nearest neurons, through its own ``run`` (a jitted scan).

``rlif``  recurrent, but no adaptation.
``alif``  adaptive, but no recurrence.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from spyx import axn
from spyx import nn as snn

from ..nets import THRESHOLD
from .base import layer_weights
from .jax_scan import JaxContestant


class Spyx(JaxContestant):
    packages = ("jax", "jaxlib", "flax", "spyx")

    def build(self) -> None:
        rngs = nnx.Rngs(0)
        modules: list[Any] = []
        width, decay = self.net.inputs, math.exp(-1 / 20)
        for number, size in enumerate(self.net.hidden):
            weights = {
                name: jnp.asarray(value, jnp.float32)
                for name, value in layer_weights(self.problem, number).items()
            }
            linear = nnx.Linear(width, size, rngs=rngs)
            linear.kernel[...], linear.bias[...] = weights["weight_in"].T, weights["bias"]
            # Spyx adds the whole current where the paper's neuron adds (1 - alpha) of it: the
            # threshold makes up for that.
            constants = {
                "threshold": THRESHOLD / (1 - decay),
                "activation": axn.superspike(),
                "rngs": rngs,
            }
            if self.options["neuron"] == "rlif":
                neuron = snn.RLIF((size,), **constants)
                neuron.recurrent_w[...] = weights["weight_rec"].T
            else:
                neuron = snn.ALIF((size,), **constants)
                neuron.gamma[...] = jnp.exp(-1 / weights["tau_adp"])
            neuron.beta[...] = jnp.exp(-1 / weights["tau_mem"])
            modules += [linear, neuron]
            width = size
        modules += [
            nnx.Linear(width, self.net.outputs, rngs=rngs),
            snn.LI((self.net.outputs,), rngs=rngs),
        ]
        self.graph, self.weights = nnx.split(snn.Sequential(*modules))

    def outputs(self, weights: Any, x: jax.Array) -> jax.Array:
        output, _ = snn.run(nnx.merge(self.graph, weights), x)
        return output

    def rates(self) -> list[float]:
        def walk(weights: Any, x: jax.Array) -> list[jax.Array]:
            # One hidden layer's output after the other: the network cut off behind it.
            layers = nnx.merge(self.graph, weights).layers
            cuts = range(2, 2 * len(self.net.hidden) + 1, 2)
            return [snn.run(snn.Sequential(*layers[:cut]), x)[0].mean() for cut in cuts]

        return [float(rate) for rate in jax.jit(walk)(self.weights, self.x)]


contestant = Spyx
