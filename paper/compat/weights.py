"""Read a published network's weights from .npz, or from the authors' pickled .pth without running what it may contain.

The authors saved whole modules, so ``torch.load(weights_only=True)`` refuses their files. Without ``weights_only`` it
runs anything; and whichever unpickler it is given, it runs TorchScript and writes "patches" of source code. So it is not used:
both of torch's formats are read here. Tensors become arrays, modules become notes of their attributes (``files/pickled.py``),
and a file with anything else in it is refused.

    zip      ROOT/data.pkl, and for each storage ROOT/data/NUMBER, its bytes
    legacy   pickles one after another: a magic number, the protocol, the machine, the object, the storages' keys; then for
             each storage its length as int64 and its bytes
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from srnn.errors import SrnnError
from srnn.files import LIMITS, read_bytes, reading
from srnn.files.arrays import read_npz
from srnn.files.pickled import ForbiddenName, Made, Name, read_pickle
from srnn.files.zips import open_zip

_LIMITS = LIMITS["weights"]
_WHAT = "weights, as torch.save writes them"
_MOST, _DEPTH = _LIMITS.items, _LIMITS.depth
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_MEMBER = re.compile(
    r"[^/]+/(?:data\.pkl|data/\d+|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id)"
)
_TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = Name("torch._utils", "_rebuild_parameter")
_SIZE = Name("torch", "Size")
_KNOWN = {
    _TENSOR, _PARAMETER, _SIZE, Name("torch", "device"), Name("collections", "OrderedDict"),
    Name("builtins", "set"), Name("__builtin__", "set"),
}  # fmt: skip
_DTYPES: Mapping[str, str] = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
_OTHER_STORAGES = ("BFloat16Storage", "ComplexFloatStorage", "ComplexDoubleStorage")


class _Storage(NamedTuple):
    """Numbers in the file, by their persistent id."""

    key: str
    dtype: str
    size: int

    @property
    def bytes(self) -> int:
        return self.size * np.dtype(self.dtype).itemsize


def _is_known(name: Name) -> bool:
    """A part of tensors, a torch layer, or a class of the authors' own: of a script or of their folder of layers."""
    if name in _KNOWN or name.module.startswith("torch.nn.modules."):
        return True
    if name.module == "torch":
        return name.name in _DTYPES or name.name in _OTHER_STORAGES
    return name.name.isidentifier() and (name.module == "__main__" or name.module.startswith("SRNN_layers."))


class _Storages(dict[str, _Storage]):
    """The storages that an object refers to, by key."""

    def find(self, value: Any) -> Any:
        """What a persistent id stands for: numbers; or (legacy) a module's class, whose source code is skipped."""
        match value:
            case ("module", Name() as module, *_):
                return module
            case ("storage", Name("torch", kind), str(key), str(), int(count), *view) if count >= 0 and view in (
                [],
                [None],
            ):
                if kind not in _DTYPES:
                    raise ValueError(f"it holds numbers of the type {kind}, which cannot be read")
                storage = _Storage(key, _DTYPES[kind], count)
                if self.setdefault(key, storage) != storage:
                    raise ValueError("it describes the same numbers in different ways")
                return storage
        raise ValueError("it has a persistent id that is not a storage")

    def unpickle(self, file: io.BytesIO) -> Any:
        return read_pickle(file, _is_known, self.find, _MOST)


def _read_zip(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """The object in an archive, and the numbers that it refers to, by key."""
    with open_zip(path, _WHAT, _LIMITS) as archive:
        for name, member in archive.members.items():
            if not _MEMBER.fullmatch(name):
                raise ValueError(f"it holds {name[:100]!a}, which is not a part of weights")
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} in it is compressed, which torch does not do")
        roots = {name.partition("/")[0] for name in archive.members}
        if len(roots) != 1:
            raise ValueError("its members are not in one folder")
        (root,) = roots
        if f"{root}/byteorder" in archive.members and b"".join(archive.parts(f"{root}/byteorder")) != b"little":
            raise ValueError("it was written by a machine with another byte order")
        storages = _Storages()
        content = storages.unpickle(io.BytesIO(b"".join(archive.parts(f"{root}/data.pkl"))))
        parts = {key: b"".join(archive.parts(f"{root}/data/{key}")) for key in storages}
    return content, {key: _numbers(part, storages[key]) for key, part in parts.items()}


def _read_legacy(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """The same for the format without an archive."""
    file, storages = io.BytesIO(read_bytes(path, _WHAT, _LIMITS)), _Storages()
    if storages.unpickle(file) != _MAGIC or storages.unpickle(file) != _PROTOCOL:
        raise ValueError("it is not a file of torch.save")
    machine = storages.unpickle(file)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("it was written by a machine with another byte order")
    content, keys = storages.unpickle(file), storages.unpickle(file)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise ValueError("it does not hold the numbers that it refers to")
    numbers = {}
    for key in keys:
        if int.from_bytes(file.read(8), "little", signed=True) != storages[key].size:
            raise ValueError("it does not hold the number of values that it states")
        numbers[key] = _numbers(file.read(storages[key].bytes), storages[key])
    return content, numbers


def _numbers(part: bytes, storage: _Storage) -> np.ndarray:
    if len(part) != storage.bytes:
        raise ValueError("it does not hold the number of values that it states")
    return np.frombuffer(part, storage.dtype)


def _collect(content: Any, numbers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of a state_dict, or those of a module, named as its state_dict would name them."""
    arrays: dict[str, np.ndarray] = {}
    entries = _mapping(content)
    if entries or not isinstance(content, Made):
        entries = _mapping(entries.get("state_dict")) or entries
        return {str(name): _array(value, numbers) for name, value in entries.items() if _is_tensor(value)}
    modules, visited = [("", content, 0)], 0
    while modules:
        prefix, module, depth = modules.pop()
        visited += 1
        attributes = _mapping(module.state)
        for group in ("_parameters", "_buffers"):
            for name, value in _mapping(attributes.get(group)).items():
                if _is_tensor(value):
                    arrays[f"{prefix}{name}"] = _array(value, numbers)
        inner = [item for item in _mapping(attributes.get("_modules")).items() if isinstance(item[1], Made)]
        if depth + bool(inner) > _DEPTH or visited + len(modules) + len(inner) > _MOST or len(arrays) > _MOST:
            raise ValueError("it has too many modules, or they are nested too deeply")
        modules += [(f"{prefix}{name}.", child, depth + 1) for name, child in inner]
    return arrays


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value.items if isinstance(value, Made) else value if isinstance(value, dict) else {}


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Made) and value.by in (_TENSOR, _PARAMETER)


def _array(value: Made, numbers: Mapping[str, np.ndarray]) -> np.ndarray:
    """A view of a tensor's numbers. ValueError for one that reaches beyond its storage, or is larger than it."""
    tensor = value.arguments[0] if value.by == _PARAMETER else value
    match tensor:
        case Made(by=by, arguments=(_Storage() as storage, int(offset), size, tuple(strides), *_)) if by == _TENSOR:
            shape = size.arguments[0] if isinstance(size, Made) and size.by == _SIZE else size
        case _:
            raise ValueError("it has a tensor without numbers")
    if not isinstance(shape, tuple) or len(shape) != len(strides) or len(shape) > 16:
        raise ValueError("it has a tensor whose shape and strides do not fit")
    if not all(type(n) is int and 0 <= n < 2**48 for n in (offset, *shape, *strides)) or tensor.arguments[6:] not in (
        (),
        ({},),
    ):
        raise ValueError("it has a tensor that is not plain numbers")
    flat = numbers[storage.key]
    if 0 in shape:
        return np.zeros(shape, flat.dtype)
    reach = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if reach >= storage.size or math.prod(shape) > storage.size:
        raise ValueError("it has a tensor that reaches beyond its numbers")
    steps = [stride * flat.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False)


def _read_pickled(path: Path) -> dict[str, np.ndarray]:
    try:
        with reading(path, _WHAT):
            with path.open("rb") as file:
                zipped = file.read(2) == b"PK"
            return _collect(*(_read_zip if zipped else _read_legacy)(path))
    except SrnnError as error:
        if isinstance(error.__cause__, ForbiddenName):
            what = f"{error.__cause__}, which is neither a tensor nor a layer"
            raise SrnnError(f"Refused to open {path}: {what}. Only weights are read, and nothing is run.") from error
        raise


def read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by name; messages call it a ``what`` file. SrnnError as for ``read_weights``."""
    if not path.is_file():
        raise SrnnError(f"There is no {what} file {path}.")
    return read_npz(path, f"a {what} file (.npz)")


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Arrays by published parameter name. SrnnError if the file is missing or unreadable, or holds nothing, or code."""
    if not path.is_file():
        raise SrnnError(f"There is no weights file {path}; name a published network's .npz or .pth with --weights.")
    weights = read_arrays(path, "weights") if path.suffix == ".npz" else _read_pickled(path)
    if not weights:
        raise SrnnError(f"{path} holds no weights.")
    return weights
