"""A published network with its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srnn.errors import SrnnError, nearest
from srnn.model.trained import Trained
from srnn.nn.network import SRNN

from .networks import PUBLISHED, Definition
from .weights import read_weights


@dataclass(frozen=True)
class Published:
    """A published network with its weights."""

    trained: Trained
    silent_units: Mapping[str, tuple[int, ...]]
    """Layer -> units that are NaN in the weights. Loaded with weights of 0, with which they never
    spike either."""

    @property
    def network(self) -> SRNN:
        return self.trained.spiking("published")


def definition(name: str) -> Definition:
    """The published network of that name. Raises SrnnError for an unknown name."""
    if name not in PUBLISHED:
        raise SrnnError(
            f"There is no published network '{name}'.{nearest(name, PUBLISHED)}", "name", "network"
        )
    return PUBLISHED[name]


def load_published(name: str, weights: Path | str, overrides: Sequence[str] = ()) -> Published:
    """The published network of that name with the weights of that file (.npz, or the authors'
    .pth).

    ``overrides`` change settings of its recipe, as for ``load_recipe``:
    ``["--task.options.source", "mini"]``. Raises SrnnError for an unknown name, an unreadable file,
    or weights of another network.
    """
    described, path = definition(name), Path(weights)
    recipe = described.recipe(overrides)
    task = recipe.create_task()
    arrays = read_weights(path)
    network = recipe.build_network(task, 0)
    values = {
        own: _total(arrays, keys, network.get_parameter(own), path, name)
        for own, keys in described.names.items()
    }
    silent = _silence(values, described.silent_units)
    for own, value in values.items():
        if not np.isfinite(value).all():
            names = " + ".join(f"'{key}'" for key in described.names[own])
            raise SrnnError(
                f"{path}: {names} holds values that are not finite; copy the file again.",
                "data",
                path,
            )
        with torch.no_grad():
            network.get_parameter(own).copy_(torch.from_numpy(value))
    return Published(Trained(network.eval(), task, recipe), silent)


def _total(
    arrays: Mapping[str, np.ndarray[Any, Any]],
    keys: tuple[str, ...],
    target: torch.Tensor,
    path: Path,
    name: str,
) -> np.ndarray[Any, Any]:
    """The sum of the published arrays of a parameter, in float64; NaN where one of them is."""
    total = np.zeros(tuple(target.shape))
    for key in keys:
        if key not in arrays:
            raise SrnnError(
                f"{path} has no '{key}': these are not the weights of the published '{name}' "
                "network.",
                "data",
                path,
            )
        if arrays[key].shape != total.shape or arrays[key].dtype.kind != "f":
            raise SrnnError(
                f"{path}: '{key}' is {arrays[key].dtype} {arrays[key].shape}, expected floats of "
                f"shape {total.shape}; "
                f"these are not the weights of the published '{name}' network.",
                "data",
                path,
            )
        with np.errstate(
            invalid="ignore"
        ):  # a damaged NaN; the caller handles values that are not finite
            total = total + arrays[key].astype(np.float64)
    return total


def _silence(
    values: dict[str, np.ndarray[Any, Any]], silent_units: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Replace, in place, the parameters of those of the named units that are NaN throughout;
    returns these units."""
    silenced: dict[str, tuple[int, ...]] = {}
    for layer, units in silent_units.items():
        own = {name: value for name, value in values.items() if name.startswith(f"{layer}.")}
        dead = tuple(
            unit for unit in units if all(np.isnan(value[unit]).all() for value in own.values())
        )
        for name, value in own.items():
            value[list(dead)] = (
                1.0 if "tau" in name else 0.0
            )  # without input the membrane stays at 0, whatever tau
        if dead:
            silenced[layer] = dead
    return silenced


def describe_silent_units(silent_units: Mapping[str, tuple[int, ...]]) -> list[str]:
    """One line for each layer with units that are NaN in the weights."""
    return [
        f"{layer}: unit {', '.join(map(str, units))} is NaN in the weights; it never spikes and is "
        "loaded with weights of 0"
        for layer, units in silent_units.items()
    ]
