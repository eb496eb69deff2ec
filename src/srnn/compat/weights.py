"""Read a published network's weights from .npz, or from the authors' pickled .pth without running what it may contain.

A pickle is a program. The authors saved whole modules, so ``torch.load(weights_only=True)`` refuses their files, and plain
``torch.load`` would run anything. Here every class that a file names is looked up in a short list: tensors are rebuilt,
modules become inert records of their attributes, and any other name is refused before anything is called.
"""

from __future__ import annotations

import collections
import pickle
import types
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import SrnnError
from ..files.arrays import read_npz

_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,  # type: ignore[attr-defined]
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,  # type: ignore[attr-defined]
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}


class _Record:
    """Stands for a module in the file: keeps its attributes, does nothing."""

    dump_patches = False  # torch's reader of the old format asks every module class for it

    def __init__(self, *_: Any) -> None: ...


def _is_module_class(module: str, name: str) -> bool:
    """A torch layer, or a class of the authors' own: of a script or of their folder of layers, always a top-level name."""
    authors = module == "__main__" or module.startswith("SRNN_layers.")
    return module.startswith("torch.nn.modules.") or (authors and name.isidentifier())


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if _is_module_class(module, name):
            return _Record
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no tensor and no layer")


def _restricted_load(file: Any, **options: Any) -> Any:
    return _RestrictedUnpickler(file, **options).load()


# What torch.load needs of a "pickle module".
_RESTRICTED_PICKLE = types.SimpleNamespace(
    Unpickler=_RestrictedUnpickler, load=_restricted_load, __name__="restricted pickle"
)


def _flatten(record: Any, prefix: str, found: dict[str, np.ndarray], depth: int = 0) -> None:
    """Collect the tensors of a module record, named as ``state_dict`` would name them."""
    attributes = vars(record)
    for group in ("_parameters", "_buffers"):
        for name, value in (attributes.get(group) or {}).items():
            if isinstance(value, torch.Tensor):
                found[prefix + str(name)] = value.detach().numpy()
    if depth < 16:
        for name, child in (attributes.get("_modules") or {}).items():
            if isinstance(child, _Record):
                _flatten(child, f"{prefix}{name}.", found, depth + 1)


def _read_pickled(path: Path) -> dict[str, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the authors' source code, which is not here and is not run
        content = torch.load(path, map_location="cpu", pickle_module=_RESTRICTED_PICKLE, weights_only=False)
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)
        return {str(name): value.detach().numpy() for name, value in content.items() if isinstance(value, torch.Tensor)}
    found: dict[str, np.ndarray] = {}
    if isinstance(content, _Record):
        _flatten(content, "", found)
    return found


_DAMAGED = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, AttributeError, TypeError,
            IndexError, AssertionError, NotImplementedError, OverflowError, MemoryError)  # fmt: skip
"""What reading a damaged archive or pickle may raise."""


def read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by name. ``what`` the file is stands in the message. Raises SrnnError, as ``read_weights``."""
    if not path.is_file():
        raise SrnnError(f"There is no {what} file {path}.")
    return read_npz(path, f"a {what} file (.npz)")


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Arrays by published parameter name. Raises SrnnError: no such file, not readable, nothing in it, or code in it."""
    if not path.is_file():
        raise SrnnError(f"There is no weights file {path}; name a published network's .npz or .pth with --weights.")
    if path.suffix == ".npz":
        weights = read_arrays(path, "weights")
    else:
        try:
            weights = _read_pickled(path)
        except pickle.UnpicklingError as error:
            raise SrnnError(f"Refused to open {path}: {error}. Only weights are read, nothing is run.") from error
        except _DAMAGED as error:
            raise SrnnError(f"{path} is no readable weights file ({type(error).__name__}); copy it again.") from error
    if not weights:
        raise SrnnError(f"{path} holds no weights.")
    return weights
