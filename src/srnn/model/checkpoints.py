"""Checkpoints: tensors beside a JSON text (epoch, metrics so far, the optimiser's settings, ...) in
one file.

It is written whole or not at all, and never trusted unchecked (``files/tensors.py``).

Names of tensors: ``network.<parameter>`` and ``optimizer.<number>.<quantity>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import SrnnError
from ..files import reading
from ..files.tensors import load_arrays, save_arrays
from ..nn.array_likes import as_numpy
from ..nn.baselines import CellLayer, DenseLayer, Network
from ..nn.delays import check_delays
from ..nn.network import Layer, layers_by_name
from ..nn.neurons import NEURONS
from ..nn.state_format import StateFormat
from ..nn.surrogates import SURROGATES
from ..text import one_line

_DELAYS = (".delay_rec", ".delay_in")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    path: Path
    tensors: dict[str, Tensor]
    info: dict[str, Any]

    @classmethod
    def of(
        cls, path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], info: dict[str, Any]
    ) -> Checkpoint:
        """What ``load_arrays`` gave, as tensors, which share the arrays' memory.

        Args:
            path: the checkpoint's file.
            arrays: by the tensors' names.
            info: the JSON object beside them.
        """
        with reading(path, "a checkpoint of srnn"):  # torch lacks some of numpy's dtypes
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return cls(path, tensors, info)

    @torch.no_grad()
    def copy_to(self, own: Mapping[str, Tensor], what: str) -> None:
        """Copy tensors of the checkpoint.

        Args:
            own: where each goes, by its name in the checkpoint.
            what: what they are, for the error.

        Raises:
            SrnnError: ``file`` if one is missing or has another shape.
        """
        for name, tensor in own.items():
            saved = self.tensors.get(name)
            if (
                saved is None
                or saved.shape != tensor.shape
                or saved.is_floating_point() != tensor.is_floating_point()
            ):
                raise SrnnError(f"The checkpoint {self.path} has no {what}.", "file", self.path)
            tensor.copy_(saved)


def save_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], info: Mapping[str, Any], *, named: bool = False
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the file.
        tensors: by checkpoint name.
        info: its JSON.
        named: as for ``whole_file``.

    Raises:
        SrnnError: ``file`` or ``resource`` if it cannot be written.
    """
    save_arrays(path, as_arrays(tensors), info, named=named)


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """Tensors as arrays, by the same names."""
    return {name: as_numpy(tensor) for name, tensor in tensors.items()}


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint. SrnnError if it is missing, damaged, or not a checkpoint of
    this library."""
    return Checkpoint.of(path, *load_arrays(path))


def architecture(network: Network) -> list[str]:
    """What must agree between a checkpoint and the network that takes it, one line per layer."""
    lines = []
    for name, module in network.named_modules():
        if isinstance(module, Layer):
            recurrent = "feed-forward"
            if module.recurrent:
                recurrent = "recurrent"
            lines.append(  # not the module's repr: files must stay readable for ever
                f"{name}: {module.inputs} -> {module.size} {module.neuron.name}, {recurrent}, "
                f"{module.surrogate.name}, "
                f"output={module.output}, {module.neuron.time_constants} time constants"
                + "".join(f", {name} delays" for name in module.delays.drawn)
                + (", batch norm" if module.norm is not None else "")
            )
        elif isinstance(module, CellLayer):
            lines.append(
                f"{name}: {module.inputs} -> {module.units} {module.name}, "
                f"{module.directions} directions"
            )
        elif isinstance(module, DenseLayer):
            lines.append(
                f"{name}: {module.inputs} -> {module.size} {'ReLU' if module.relu else 'linear'}"
            )
        elif isinstance(module, nn.LayerNorm):
            lines.append(f"{name}: layer normalisation of {module.normalized_shape[0]}")
    return lines


def surrogates(network: Network) -> list[str]:
    """The surrogate of each layer of spiking neurons with its parameters, one line per layer."""
    layers = layers_by_name(network).items()
    return [
        f"{name}: {layer.surrogate}"
        for name, layer in layers
        if layer.neuron.emission.uses_surrogate
    ]


def own_equations(network: Network) -> dict[str, str]:
    """Digests of neurons and surrogates from outside the library, by layer: their authors may edit
    them and keep the name."""
    return {
        f"{name}: {what} {model.name}": model.digest()
        for name, layer in layers_by_name(network).items()
        for what, model, library in (
            ("neuron", layer.neuron, NEURONS),
            ("surrogate", layer.surrogate, SURROGATES),
        )
        if library.get(model.name) is not type(model)
    }


def made_of(network: Network) -> dict[str, Any]:
    """What a checkpoint's JSON has of its network, for ``load_network``."""
    own = own_equations(network)
    return {"architecture": architecture(network), **({"equations": own} if own else {})}


def network_tensors(network: Network) -> dict[str, Tensor]:
    """All parameters and constants of the network, by checkpoint name."""
    return {f"network.{name}": tensor for name, tensor in network.state_dict().items()}


def model_tensors(network: Network) -> dict[str, Tensor]:
    """``network_tensors`` for a network to be used: with the format of its states."""
    return network_tensors(network) | format_tensors(network)


def format_tensors(network: Network) -> dict[str, Tensor]:
    """The format of the network's states, by checkpoint name."""
    return {
        name: torch.from_numpy(bits)
        for name, bits in StateFormat.of_network(network).arrays().items()
    }


def load_network(network: Network, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into a network.

    Args:
        network: changed in place.
        checkpoint: of a network of the same architecture.

    Raises:
        SrnnError: ``file`` if the checkpoint is of another architecture or other equations.
    """
    own, theirs = architecture(network), checkpoint.info.get("architecture")
    if theirs != own:
        if isinstance(theirs, list):
            pairs = zip(map(str, theirs), own, strict=False)
        else:
            pairs = []
        detail = next(
            (f"'{one_line(a, 200)}' there, '{b}' here" for a, b in pairs if a != b),
            "the number of layers differs",
        )
        raise SrnnError(
            f"The checkpoint {checkpoint.path} has another architecture: {detail}.",
            "file",
            checkpoint.path,
        )
    known = checkpoint.info.get("equations", {})  # missing in files of earlier versions
    for name, digest in own_equations(network).items():
        if not isinstance(known, dict) or known.get(name, digest) != digest:
            raise SrnnError(
                f"The checkpoint {checkpoint.path} has other equations: '{name}' has been edited "
                "since. Restore it, or give the edited class a name of its own.",
                "file",
                checkpoint.path,
            )
    expected = network_tensors(network)
    stored = {
        name: tensor for name, tensor in checkpoint.tensors.items() if name.startswith("network.")
    }
    for name in sorted(expected.keys() | stored.keys()):
        a, b = stored.get(name), expected.get(name)
        fits = (
            a is not None
            and b is not None
            and a.shape == b.shape
            and (a.dtype == b.dtype or (a.is_floating_point() and b.is_floating_point()))
        )
        if not fits:
            raise SrnnError(
                f"The checkpoint {checkpoint.path} has another architecture: "
                f"'{one_line(name, 200)}' does not fit.",
                "file",
                checkpoint.path,
            )
    for name, tensor in stored.items():
        if name.endswith(_DELAYS):
            check_delays(tensor, f"The checkpoint {checkpoint.path}, '{name}'")
    network.load_state_dict(
        {name.removeprefix("network."): tensor for name, tensor in stored.items()}
    )
