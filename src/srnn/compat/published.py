"""The published networks as ordinary SRNNs, with the constants that their weights were trained with.

Which constants these are, and how it is known, stands beside each. The published code adds two biases to a recurrent layer
(of its input and of its recurrent projection); their sum is this library's one bias.

To add a published network: one ``_Recipe`` in ``PUBLISHED``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from ..errors import SrnnError, nearest
from ..network import SRNN, Readout
from ..neurons import ALIF
from .weights import read_weights


@dataclass(frozen=True)
class Published:
    """A published network, ready to be evaluated."""

    name: str
    task: str
    task_options: Mapping[str, object]
    """The published network was trained on all of the training file, so nothing of it is held out."""
    network: SRNN
    loss: Mapping[str, object]
    """How its output is scored, as a recipe's ``loss`` section."""


@dataclass(frozen=True)
class _Recipe:
    task: str
    task_options: Mapping[str, object]
    build: Callable[[], SRNN]
    names: Mapping[str, tuple[str, ...]]
    """Our parameter -> the published arrays whose sum it is."""
    loss: Mapping[str, object]


def _ecg() -> SRNN:
    """4 - 36 recurrent - 6 ALIF. The hidden layer has beta 0, so its tau_adp (all 7) does nothing.

    threshold .1 fits the weights (the released script's .01 gives 30 %); the initial membrane and the initial "spike" are the
    same draw from U[0, .1), and e starts at .01.
    """

    def neuron(beta: float) -> ALIF:
        return ALIF(
            beta=beta,  # type: ignore[arg-type]
            threshold=0.1,  # type: ignore[arg-type]
            initial={"u": "uniform(0, 0.1)", "s": "u", "e": 0.01},
            time_constants="unconstrained",
        )

    return SRNN(4, [36], 6, neuron=neuron(0.0), readout=Readout(neuron(1.8), "membrane"))


PUBLISHED: Mapping[str, _Recipe] = MappingProxyType(
    {
        "ecg": _Recipe(
            task="ecg",
            task_options=MappingProxyType({"validation_blocks": 0}),
            build=_ecg,
            names=MappingProxyType(
                {
                    "layers.0.weight_in": ("i2h.weight",),
                    "layers.0.weight_rec": ("h2h.weight",),
                    "layers.0.bias": ("i2h.bias", "h2h.bias"),
                    "layers.0.params.tau_mem": ("tau_m_h",),
                    "layers.0.params.tau_adp": ("tau_adp_h",),
                    "readout.weight_in": ("h2o.weight",),
                    "readout.bias": ("h2o.bias",),
                    "readout.params.tau_mem": ("tau_m_o",),
                    "readout.params.tau_adp": ("tau_adp_o",),
                }
            ),
            loss=MappingProxyType({"name": "nll", "start": 10, "unlabelled": "as_class"}),
        ),
    }
)


def load_published(name: str, weights: Path | str) -> Published:
    """The published network of that name with the weights of that file (.npz, or the authors' .pth).

    Raises SrnnError for an unknown name, an unreadable file, or weights of another network.
    """
    if name not in PUBLISHED:
        raise SrnnError(f"There is no published network '{name}'.{nearest(name, PUBLISHED)}")
    recipe, path = PUBLISHED[name], Path(weights)
    arrays = read_weights(path)
    network = recipe.build()
    with torch.no_grad():
        for own, published in recipe.names.items():
            target = network.get_parameter(own)
            total = np.zeros(tuple(target.shape))
            for key in published:
                if key not in arrays:
                    raise SrnnError(
                        f"{path} has no '{key}': these are not the weights of the published '{name}' network."
                    )
                if arrays[key].shape != total.shape or arrays[key].dtype.kind != "f":
                    raise SrnnError(
                        f"{path}: '{key}' is {arrays[key].dtype} {arrays[key].shape}, expected floats of shape {total.shape}; "
                        f"these are not the weights of the published '{name}' network."
                    )
                if not np.isfinite(arrays[key]).all():
                    raise SrnnError(f"{path}: '{key}' holds values that are not finite; copy the file again.")
                total = total + arrays[key].astype(np.float64)
            target.copy_(torch.from_numpy(total))
    return Published(name, recipe.task, recipe.task_options, network.eval(), recipe.loss)
