"""Checkpoints: one safetensors file, its tensors beside a JSON text; written whole or not at all, and never believed unread.

The JSON (epoch, metrics so far, the optimiser's settings, ...) lies in the header's metadata as ``srnn``, next to ``sha256``:
the digest of the whole file with 64 zeros in the digest's own place. A file that is cut, flipped or swapped is refused before
anything is taken from it. Nothing is pickled.

Names of tensors: ``network.<parameter>`` and ``optimizer.<number>.<quantity>``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from .baselines import CellLayer, DenseLayer, Network
from .errors import SrnnError
from .files import write_atomically
from .network import Layer

FORMAT = 1
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_ZEROS = b'"sha256":"' + b"0" * 64 + b'"'


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    path: Path
    tensors: dict[str, Tensor]
    info: dict[str, Any]


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically. SrnnError when the folder cannot be written."""
    text = json.dumps({"format": FORMAT, **info})
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = tensors_to_bytes(on_cpu, {"srnn": text, "sha256": "0" * 64})
    digest = hashlib.sha256(content).hexdigest().encode()
    write_atomically(path, content.replace(_ZEROS, b'"sha256":"' + digest + b'"', 1))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint. SrnnError when it is missing, damaged, or no checkpoint of this library."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SrnnError(f"Cannot read the checkpoint {path}: {error.strerror or error}.") from error
    header_end = 8 + int.from_bytes(content[:8], "little")
    match = _DIGEST.search(content, 8, min(header_end, len(content)))
    if match is None:
        raise SrnnError(f"{path} is no checkpoint of srnn, or it is damaged.")
    as_hashed = content[: match.start()] + _ZEROS + content[match.end() :]
    if hashlib.sha256(as_hashed).hexdigest().encode() != match[1]:
        raise SrnnError(f"The checkpoint {path} is damaged (its checksum does not fit); use another one.")
    try:
        header = json.loads(content[8:header_end])
        info = json.loads(header["__metadata__"]["srnn"])
        tensors = tensors_from_bytes(content)
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise SrnnError(f"{path} is no checkpoint of srnn ({type(error).__name__}).") from error
    if info.get("format") != FORMAT:
        raise SrnnError(f"{path} has the checkpoint format {info.get('format')}; this version of srnn reads {FORMAT}.")
    return Checkpoint(path, tensors, info)


def architecture(network: Network) -> list[str]:
    """What must agree between a checkpoint and the network that takes it, one line a layer."""
    lines = []
    for name, module in network.named_modules():
        if isinstance(module, Layer):
            lines.append(f"{name}: {module.extra_repr()}, {module.neuron.time_constants} time constants")
        elif isinstance(module, (CellLayer, DenseLayer)):
            lines.append(f"{name}: {module.extra_repr()}")
    return lines


def network_tensors(network: Network) -> dict[str, Tensor]:
    """All parameters and constants of the network, by checkpoint name."""
    return {f"network.{name}": tensor for name, tensor in network.state_dict().items()}


def load_network(network: Network, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into the network. SrnnError when it is another architecture's."""
    own, theirs = architecture(network), checkpoint.info.get("architecture")
    if theirs != own:
        pairs = zip(theirs, own, strict=False) if isinstance(theirs, list) else []
        detail = next((f"'{a}' there, '{b}' here" for a, b in pairs if a != b), "the number of layers differs")
        raise SrnnError(f"The checkpoint {checkpoint.path} is of another architecture: {detail}.")
    expected = network_tensors(network)
    found = {name: tensor for name, tensor in checkpoint.tensors.items() if name.startswith("network.")}
    for name in sorted(expected.keys() | found.keys()):
        a, b = found.get(name), expected.get(name)
        if a is None or b is None or a.shape != b.shape:
            raise SrnnError(f"The checkpoint {checkpoint.path} is of another architecture: '{name}' does not fit.")
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in found.items()})


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's moments and counters, by checkpoint name. Its settings come from the recipe."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{quantity}": torch.as_tensor(value)
        for number, quantities in state.items()
        for quantity, value in quantities.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's moments into an optimiser that was built from the same recipe."""
    state: dict[int, dict[str, Tensor]] = {}
    try:
        for name, tensor in checkpoint.tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                number, _, quantity = rest.partition(".")
                state.setdefault(int(number), {})[quantity] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (ValueError, KeyError) as error:
        raise SrnnError(f"The checkpoint {checkpoint.path} does not fit the recipe's optimiser.") from error
