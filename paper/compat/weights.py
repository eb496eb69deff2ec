"""Read a published network's weights from .npz, or from the authors' pickled .pth without running
what it may contain.

A .pth is read by ``torch.load(weights_only=True)``, which makes tensors and refuses every other
name. The authors saved whole modules, whose classes it would refuse too: those of torch's layers
and of the authors' scripts become ``_Module``, which has attributes and does nothing.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srnn.errors import SrnnError
from srnn.files import reading
from srnn.files.arrays import read_npz

_LAYERS = re.compile(r"(torch\.nn\.modules|SRNN_layers|__main__)(\.\w+)+")
"""Names of layers: torch's, and those of the authors' folder and scripts."""


class _Module:
    """What stands for a layer, of whatever class; its attributes are those in the file."""


def read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by name; messages call it a ``what`` file. SrnnError as for
    ``read_weights``."""
    if not path.is_file():
        raise SrnnError(f"There is no {what} file {path}.", "missing", path)
    return read_npz(path, f"a {what} file (.npz)")


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Arrays by published parameter name. SrnnError if the file is missing or unreadable, or holds
    nothing, or code."""
    if not path.is_file():
        raise SrnnError(
            f"There is no weights file {path}; name a published network's .npz or .pth with "
            "--weights.",
            "missing",
            path,
        )
    weights = read_arrays(path, "weights") if path.suffix == ".npz" else _read_pickled(path)
    if not weights:
        raise SrnnError(f"{path} holds no weights.", "data", path)
    return weights


def _read_pickled(path: Path) -> dict[str, np.ndarray]:
    with reading(path, "weights, as torch.save writes them"):
        try:
            content = _load(path)
        except pickle.UnpicklingError as error:
            raise SrnnError(
                f"Refused to open {path}: {_refused(error)}. Only weights are read, and nothing is "
                "run.",
                "file",
                path,
            ) from error
        except RuntimeError as error:  # torch goes on to say how to load it all the same
            raise ValueError(str(error).partition(". ")[0]) from error
        return {name: tensor.detach().numpy() for name, tensor in _tensors(content)}


def _load(path: Path) -> Any:
    """What torch.save wrote, without anything but tensors, plain values and ``_Module``."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # the format of torch before 1.6, or no such file at all: torch.load says so
        named = []
    layers: list[Any] = [(_Module, name) for name in named if _LAYERS.fullmatch(name)]
    with warnings.catch_warnings(), torch.serialization.safe_globals(layers):
        warnings.simplefilter(
            "ignore"
        )  # of old storages, and of protocols that torch.save does not use
        return torch.load(path, map_location="cpu", weights_only=True)


def _refused(error: pickle.UnpicklingError) -> str:
    """What is wrong with a pickle, from torch's message, which is long and advises to run it."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named is None:
        return "it holds something other than weights"
    name = ascii(named[1][:100])[1:-1]
    if _LAYERS.fullmatch(name):
        return (
            f"it is a whole module ({name}) in the format of torch before 1.6; save its state_dict"
        )
    return f"it names {name}, which is neither a tensor nor a layer"


def _tensors(content: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a state_dict, or those of a module, named as its state_dict would name
    them."""
    if isinstance(content, _Module):
        yield from _of_module(content, "")
        return
    if not isinstance(content, Mapping):
        raise ValueError("it holds neither a state_dict nor a module")
    state = content.get("state_dict", content)
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            yield str(name), value


def _of_module(module: _Module, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    attributes = vars(module)
    for group in ("_parameters", "_buffers"):
        for name, value in attributes.get(group, {}).items():
            if isinstance(value, torch.Tensor):
                yield f"{prefix}{name}", value
    for name, inner in attributes.get("_modules", {}).items():
        if isinstance(inner, _Module):
            yield from _of_module(inner, f"{prefix}{name}.")
