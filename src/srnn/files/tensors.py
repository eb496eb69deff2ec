"""Arrays beside a JSON text in one safetensors file, with a checksum: what checkpoints and models
are kept in.

The JSON is in the header's metadata as ``srnn``, next to ``sha256``: the digest of the whole file
with 64 zeros in the digest's own place. A file that is cut, flipped or swapped is refused before
anything is taken from it. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import numpy as safetensors

from ..errors import SrnnError
from .reading import parse_json, read_bytes, read_metadata, reading
from .writing import whole_file

FORMAT = 1
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_ZEROS = b'"sha256":"' + b"0" * 64 + b'"'

Arrays = dict[str, npt.NDArray[Any]]


def save_arrays(
    path: Path,
    arrays: Mapping[str, npt.NDArray[Any]],
    info: Mapping[str, Any],
    *,
    named: bool = False,
) -> None:
    """Write named arrays and a JSON object atomically.

    Args:
        path: the file.
        arrays: arrays by name, of any shape.
        info: the object.
        named: the user named the file, as for ``whole_file``.

    Raises:
        SrnnError: ``file``: the folder cannot be written.
    """
    text = json.dumps({"format": FORMAT, **info})
    flat = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = safetensors.save(flat, {"srnn": text})
    # The digest's place is made here: safetensors writes two texts in a random order, and a model
    # saved twice should have the same bytes. With its spaces the place is 80 bytes long, so that
    # tensors stay aligned to 8.
    at = content.index(b'{"srnn":') + 1
    length = (int.from_bytes(content[:8], "little") + 80).to_bytes(8, "little")
    head, tail = length + content[8:at], (b",    ", memoryview(content)[at:])
    digest = hashlib.sha256(head + _ZEROS)
    for part in tail:
        digest.update(part)
    with whole_file(path, named=named) as file:
        for part in (head, _ZEROS.replace(b"0" * 64, digest.hexdigest().encode()), *tail):
            file.write(part)


def load_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the object of a file that ``save_arrays`` wrote, verified.

    SrnnError if it is missing, damaged, or not a file of this library.
    """
    content = read_bytes(path, "a checkpoint")
    header_end = 8 + int.from_bytes(content[:8], "little")
    match = _DIGEST.search(content, 8, min(header_end, len(content)))
    if match is None:
        raise SrnnError(f"{path} is not a checkpoint of srnn, or it is damaged.", "file", path)
    view = memoryview(content)  # avoids a copy
    digest = hashlib.sha256(view[: match.start()])
    digest.update(_ZEROS)
    digest.update(view[match.end() :])
    if digest.hexdigest().encode() != match[1]:
        raise SrnnError(
            f"The checkpoint {path} is damaged (its checksum does not match); use another one.",
            "file",
            path,
        )
    # Whoever can write the file can make the checksum fit: nothing is trusted unchecked from here
    # on, either.
    with reading(path, "a checkpoint of srnn"):
        info = parse_json(read_metadata(content, path, "a checkpoint of srnn")["srnn"], path)
        arrays = safetensors.load(content)
        if info.get("format") != FORMAT:
            raise SrnnError(
                f"{path} has the checkpoint format {str(info.get('format'))[:50]}; "
                f"this version of srnn reads {FORMAT}.",
                "unsupported",
                path,
            )
    return arrays, info
