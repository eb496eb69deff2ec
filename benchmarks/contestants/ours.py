"""The project's own network: its backends and kinds of input.

Options: ``backend`` ("fast": the compiled one, an error where it cannot run, never a silent
fall-back; or "reference"), ``recompute``, ``input``:

``spikes``   binary inputs come as the library's ``Spikes``, packed before the clock starts, as a data set would keep them
``convert``  binary inputs come dense, and packing them is part of what is timed
``dense``    dense inputs stay dense

``neuron``: "alif", or another one's name, which reads the same weights with thresholds at which its
layers fire at the problem's rates; ``delays`` and ``norm``: as ``SRNN`` takes them, with such
thresholds too.

``stream``: "library" for the library's streaming step, "module" for the network itself, called with
one step at a time.

The fast backend is young: what a checkout does not have yet is reported as not supported.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srnn import SRNN
from srnn.nn.neurons import ALIF, NEURONS, Integrator
from srnn.nn.surrogates import MultiGaussian

from ..nets import BETA, GAMMA, LOBE, SIGMA, THRESHOLD, WIDTH
from .base import Unsupported
from .torch_base import TorchContestant


def spikes_class() -> Any:
    """The library's type for binary inputs."""
    try:
        return import_module("srnn").Spikes
    except (ImportError, AttributeError) as error:
        raise Unsupported("this checkout has no Spikes (packed binary inputs)") from error


def fast_backend() -> str:
    """The name of the compiled CPU backend."""
    if "cpu" not in import_module("srnn.nn.kernels.running").BACKENDS:
        raise Unsupported("this checkout has no compiled CPU backend")
    return "cpu"


class Ours(TorchContestant):
    packages = ("torch", "numba", "numpy")

    def make_input(self) -> Any:
        kind = self.options.get("input", "spikes")
        self.convert: Callable[[Any], Any] = lambda x: x
        if not self.problem.binary or kind == "dense" or self.options["backend"] == "reference":
            return super().make_input()
        if kind == "convert":
            self.convert = spikes_class().from_dense
            return super().make_input()
        return spikes_class().from_dense(torch.from_numpy(self.problem.x))

    def build(self) -> None:
        given: dict[str, Any] = {
            "backend": "reference" if self.options["backend"] == "reference" else fast_backend()
        }
        if self.options.get("recompute"):
            if "recompute" not in inspect.signature(SRNN.__init__).parameters:
                raise Unsupported("this checkout cannot recompute")
            given["recompute"] = True
        if "norm" in inspect.signature(SRNN.__init__).parameters:  # an older checkout has none
            given["norm"] = self.options.get("norm", "none")
        name = self.options.get("neuron", "alif")
        if name not in NEURONS:
            raise Unsupported(f"this checkout has no neuron '{name}'")
        if "delays" in self.options:
            given["delays"] = self.options["delays"]
        self.holds_common_weights = name == "alif" and not {"delays", "norm"} & set(self.options)
        neuron = ALIF(beta=BETA, threshold=THRESHOLD) if name == "alif" else NEURONS[name]()  # type: ignore[arg-type]
        surrogate = self.options.get("surrogate") or MultiGaussian(
            gamma=GAMMA, h=LOBE, s=WIDTH, sigma=SIGMA
        )
        net = self.net
        self.model = SRNN(
            net.inputs, list(net.hidden), net.outputs, neuron, Integrator(), surrogate, **given
        )
        self.model.to(self.torch_dtype)
        for number, layer in enumerate([*self.model.layers, self.model.readout]):
            name = f"layers.{number}" if number < len(net.hidden) else "readout"
            weights = {
                key.removeprefix(name + "."): torch.from_numpy(value)
                for key, value in self.problem.weights.items()
                if key.startswith(name + ".")
            }
            values = {key: weights.pop(key) for key in list(weights) if key.startswith("tau")}
            values = {
                key: value for key, value in values.items() if key in layer.neuron.parameters()
            }
            if number < len(net.hidden) and isinstance(neuron, ALIF):
                # Again, in this dtype: a parameter drawn before .to() is rounded to float32.
                constants = {"beta": BETA, "threshold": THRESHOLD}
                values |= {
                    key: torch.full((layer.size,), value, dtype=torch.float64)
                    for key, value in constants.items()
                }
            layer.params.set_values(**values)
            with torch.no_grad():
                for key, value in weights.items():
                    getattr(layer, key).copy_(value)
        self.parameters = {
            key.replace(".params.", "."): value for key, value in self.model.named_parameters()
        }
        if not self.holds_common_weights:
            self.match_rates()

    def match_rates(self) -> None:
        """Set each hidden layer's threshold so that it fires at the problem's rate: speed depends
        on that."""
        for number, rate in enumerate(self.net.rates):
            low, high = 1e-3, 1e3
            for _ in range(16):
                threshold = math.sqrt(low * high)
                layer: Any = self.model.layers[number]
                layer.params.set_values(
                    threshold=torch.full((layer.size,), threshold, dtype=torch.float64)
                )
                low, high = (threshold, high) if self.rates()[number] > rate else (low, threshold)

    def run(self, keep_hidden: bool = False) -> Tensor:
        x = self.convert(self.x)
        if not keep_hidden:
            return self.model(x)[0]
        result = self.model.run(x)
        self.hidden += [layer.output for layer in result.layers[:-1]]
        return result.output

    def stream(self) -> Callable[[], Any]:
        return (
            self.stream_library()
            if self.options.get("stream") == "library"
            else self.stream_module()
        )

    def stream_module(self) -> Callable[[], Any]:
        x = torch.from_numpy(self.problem.x[:1]).to(self.torch_dtype)

        @torch.inference_mode()
        def walk() -> Tensor:
            state, y = None, x
            for t in range(x.shape[1]):
                y, state = self.model(x[:, t : t + 1], state)
            return y

        return walk

    def streaming(self) -> Any:
        """The library's stream over this network, with a ``push`` and a ``run``
        (srnn.deploy.streaming)."""
        try:
            return import_module("srnn.deploy.streaming").Stream(self.model)
        except (ImportError, AttributeError) as error:
            raise Unsupported("this checkout has no srnn.deploy.streaming.Stream") from error

    def stream_library(self) -> Callable[[], Any]:
        stream = self.streaming()
        steps = list(np.ascontiguousarray(self.problem.x[0].astype(self.dtype)))

        def walk() -> Any:
            y = None
            for x_t in steps:
                y = stream.push(x_t)
            return y

        return walk

    def loop(self) -> Callable[[], Any]:
        stream = self.streaming()
        x = np.ascontiguousarray(self.problem.x[0].astype(self.dtype))
        return lambda: stream.run(x)


contestant = Ours
