"""The very same ALIF network as a jitted JAX ``lax.scan`` over time, with the same surrogate as a
custom gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..nets import BETA, GAMMA, LOBE, SIGMA, THRESHOLD, WIDTH, Problem
from .base import Contestant


def normal(v: jax.Array, mean: float, std: float) -> jax.Array:
    return jnp.exp(-((v - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))


@jax.custom_vjp
def spike(v: jax.Array) -> jax.Array:
    return (v > 0).astype(v.dtype)


def spike_backward(v: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    lobes = normal(v, SIGMA, WIDTH * SIGMA) + normal(v, -SIGMA, WIDTH * SIGMA)
    return (gradient * GAMMA * ((1 + LOBE) * normal(v, 0.0, SIGMA) - LOBE * lobes),)


spike.defvjp(lambda v: (spike(v), v), spike_backward)


def alif_step(
    current: jax.Array, state: tuple[jax.Array, ...], alpha: jax.Array, rho: jax.Array
) -> tuple[jax.Array, ...]:
    u, e, s = state
    e = rho * e + (1 - rho) * s
    theta = THRESHOLD + BETA * e
    u = alpha * u + (1 - alpha) * current - theta * s
    return u, e, spike(u - theta)


class JaxContestant(Contestant):
    """What contestants on JAX share: a subclass defines ``loss(weights, x, y)`` and
    ``outputs(weights, x)``, time major."""

    packages = ("jax", "jaxlib")
    weights: Any

    def __init__(self, problem: Problem, options: Mapping[str, Any], dtype: str) -> None:
        super().__init__(problem, options, dtype)
        if dtype == "float64":
            jax.config.update("jax_enable_x64", True)
        self.x = jnp.asarray(np.ascontiguousarray(problem.x.swapaxes(0, 1)).astype(dtype))
        self.y = jnp.asarray(problem.y)
        self.build()
        self.gradient = jax.jit(jax.value_and_grad(self.loss))
        self.run = jax.jit(self.outputs)

    def build(self) -> None:
        raise NotImplementedError

    def outputs(self, weights: Any, x: jax.Array) -> jax.Array:
        """The readout over time, (T, B, classes)."""
        raise NotImplementedError

    def loss(self, weights: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        output = self.outputs(weights, x)
        if self.net.label_each_step:
            scores = jax.nn.log_softmax(output, -1)
            return -jnp.take_along_axis(scores, y.T[:, :, None], -1).mean()
        scores = jax.nn.log_softmax(output.mean(0), -1)
        return -jnp.take_along_axis(scores, y[:, None], -1).mean()

    def forward(self) -> None:
        jax.block_until_ready(self.run(self.weights, self.x))

    def train(self) -> None:
        jax.block_until_ready(self.gradient(self.weights, self.x, self.y))

    def saved(self) -> dict[str, float]:
        """Residuals that JAX's own vjp keeps, and the temporary memory that XLA plans for the
        compiled training step.

        The residuals are those of the unjitted transformation; the compiler may fuse some away, or
        keep more: the second number is what it really sets aside, working memory included.
        Parameters and input do not count.
        """
        _, pullback = jax.vjp(lambda weights: self.loss(weights, self.x, self.y), self.weights)
        known = {id(leaf) for leaf in jax.tree_util.tree_leaves((self.weights, self.x, self.y))}
        leaves = {
            id(leaf): leaf
            for leaf in jax.tree_util.tree_leaves(pullback)
            if hasattr(leaf, "nbytes")
        }
        held = sum(leaf.nbytes for key, leaf in leaves.items() if key not in known)
        analysis = self.gradient.lower(self.weights, self.x, self.y).compile().memory_analysis()
        return {
            "total": float(held + (self.x.nbytes if id(self.x) in leaves else 0)),
            "without_input": float(held),
            "xla_temporaries": float(analysis.temp_size_in_bytes),
        }


class Scan(JaxContestant):
    def build(self) -> None:
        self.weights = {
            name: jnp.asarray(value.astype(self.dtype))
            for name, value in self.problem.weights.items()
        }

    def walk(self, weights: Any, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        spikes, hidden = x, []
        for number, size in enumerate(self.net.hidden):
            weight_in, weight_rec, bias, tau_mem, tau_adp = (
                weights[f"layers.{number}.{name}"]
                for name in ("weight_in", "weight_rec", "bias", "tau_mem", "tau_adp")
            )
            alpha, rho = jnp.exp(-1 / tau_mem), jnp.exp(-1 / tau_adp)
            currents = spikes @ weight_in.T + bias

            def step(state: Any, current: Any, weight_rec=weight_rec, alpha=alpha, rho=rho) -> Any:
                state = alif_step(current + state[2] @ weight_rec.T, state, alpha, rho)
                return state, state[2]

            zero = jnp.zeros((x.shape[1], size), x.dtype)
            _, spikes = jax.lax.scan(step, (zero, zero, zero), currents)
            hidden.append(spikes)
        kappa = jnp.exp(-1 / weights["readout.tau_mem"])
        currents = spikes @ weights["readout.weight_in"].T + weights["readout.bias"]

        def leak(y: Any, current: Any) -> Any:
            y = kappa * y + (1 - kappa) * current
            return y, y

        _, output = jax.lax.scan(leak, jnp.zeros((x.shape[1], self.net.outputs), x.dtype), currents)
        return output, hidden

    def outputs(self, weights: Any, x: jax.Array) -> jax.Array:
        return self.walk(weights, x)[0]

    def rates(self) -> list[float]:
        return [float(spikes.mean()) for spikes in jax.jit(self.walk)(self.weights, self.x)[1]]

    def solution(self) -> dict[str, np.ndarray]:
        loss, gradients = self.gradient(self.weights, self.x, self.y)
        found = {name: np.asarray(value) for name, value in gradients.items()}
        found["loss"] = np.asarray(loss)
        for number, spikes in enumerate(jax.jit(self.walk)(self.weights, self.x)[1]):
            found[f"spikes.{number}"] = np.asarray(spikes).swapaxes(0, 1) > 0
        return found

    def stream(self) -> Callable[[], Any]:
        weights = self.weights

        @jax.jit
        def step(states: Any, y: jax.Array, below: jax.Array) -> Any:
            new = []
            for number, state in enumerate(states):
                layer = {
                    name: weights[f"layers.{number}.{name}"]
                    for name in ("weight_in", "weight_rec", "bias")
                }
                current = (
                    below @ layer["weight_in"].T + layer["bias"] + state[2] @ layer["weight_rec"].T
                )
                decays = (
                    jnp.exp(-1 / weights[f"layers.{number}.{tau}"])
                    for tau in ("tau_mem", "tau_adp")
                )
                new.append(alif_step(current, state, *decays))
                below = new[-1][2]
            kappa = jnp.exp(-1 / weights["readout.tau_mem"])
            return new, kappa * y + (1 - kappa) * (
                below @ weights["readout.weight_in"].T + weights["readout.bias"]
            )

        # Numpy inputs, as live data would come; the answer of a step is waited for before the next.
        stream = [np.asarray(x_t[:1]) for x_t in self.x]

        def walk() -> jax.Array:
            states = [
                tuple(jnp.zeros((1, size), self.x.dtype) for _ in range(3))
                for size in self.net.hidden
            ]
            y = jnp.zeros((1, self.net.outputs), self.x.dtype)
            for x_t in stream:
                states, y = step(states, y, x_t)
                y.block_until_ready()
            return y

        return walk


contestant = Scan
