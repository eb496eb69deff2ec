"""A stream's state as bytes: to be stored in a file, or given to a client who returns after the
server has ended.

    16 bytes   "srnn state" and the format's version, filled up with zeros
    16 bytes   BLAKE2b of the rest, with a key if there is one: then nobody without the key can make a state that is accepted
    the rest   a safetensors file: named arrays, and JSON in its metadata

Nothing is pickled, and nothing is used before the digest is verified.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import numpy as tensors

from ...errors import SrnnError
from ...files import parse_json, read_metadata, reading
from ...nn.frozen import FrozenNetwork

VERSION = 2
_MAGIC = b"srnn state %d" % VERSION
_HEAD = _MAGIC.ljust(16, b"\0")


def pack(
    arrays: Mapping[str, npt.NDArray[Any]], info: Mapping[str, Any], key: bytes = b""
) -> bytes:
    """A state as bytes.

    Args:
        arrays: by their names.
        info: an object for JSON.
        key: at most 64 bytes, without which nobody can make such bytes; empty: none.

    Returns:
        The bytes, for ``unpack``.
    """
    flat = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = tensors.save(flat, {"srnn": json.dumps(dict(info))})
    return _HEAD + _digest(content, key) + content


def unpack(data: bytes, key: bytes = b"") -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """The state in bytes of ``pack``.

    Args:
        data: the bytes.
        key: as for ``pack``.

    Returns:
        The arrays and the object that ``pack`` was given.

    Raises:
        SrnnError: ``data``: for any other bytes, or another key.
    """
    if len(data) < 32 or not data.startswith(_MAGIC[:-1]):
        raise SrnnError("This is not the state of a stream.", "data", "state")
    if data[:16] != _HEAD:
        problem = f"This state has another version; this version of srnn reads version {VERSION}."
        raise SrnnError(problem, "data", "state")
    content = data[32:]
    if not hmac.compare_digest(data[16:32], _digest(content, key)):
        problem = "This state is damaged, or was not made here (its digest does not match)."
        raise SrnnError(problem, "data", "state")
    with reading("This state", "a state of a stream"):
        metadata = read_metadata(content, "This state", "a state of a stream")
        info = parse_json(metadata["srnn"], "This state")
        if not isinstance(info, dict):
            raise ValueError("it does not describe itself")
        return tensors.load(content), info


def fingerprint(network: FrozenNetwork, summary: str) -> str:
    """What distinguishes a decoder's states from another's.

    Args:
        network: the decoder's.
        summary: describes its settings.

    Returns:
        A digest of both, 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(summary.encode(), digest_size=16)
    digest.update(f"{network.substeps} {network.state_as}".encode())
    if network.threshold is not None:
        digest.update(network.threshold.tobytes())
    for name, layer in network.directions.items():
        digest.update(f"{name} {layer.neuron} {layer.output} {[*layer.delays]}".encode())
        values = layer.coefficients.values(), layer.delays.values()
        for array in (*layer.matrices(), layer.bias, *values[0], *values[1]):
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _digest(content: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16, key=key[:64]).digest()
