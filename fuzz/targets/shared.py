"""What targets share: inputs of several parts, readers one after the other, a small trained
network."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.signal  # noqa: F401 (the first recording of another rate imports it)

from srnn.errors import SrnnError

from ..examining import check_message

if TYPE_CHECKING:
    from srnn.deploy.streaming import Decoder
    from srnn.training.recipes import Recipe

CUT = b"\n%%%\n"
"""Between the parts of an input."""
TINY = """\
task: {name: digits}
network:
  hidden: [4]
  neuron: {name: alif, tau_mem: 4, tau_adp: 20}
  norm: none
  readout: {name: integrator, neuron: {name: integrator, tau_mem: 3}}
  backend: reference
training: {epochs: 2, batch_size: 16}
"""


def parts(data: bytes, count: int) -> list[bytes]:
    """The input's parts; empty ones where it has fewer."""
    found = data.split(CUT, count - 1)
    return found + [b""] * (count - len(found))


def each(*readers: Callable[[], Any]) -> None:
    """All of them, though some refuse: each refusal's message is examined. Raises the last one if
    all refuse."""
    refusals = []
    for read in readers:
        try:
            read()
        except SrnnError as error:
            check_message(error)
            refusals.append(error)
    if len(refusals) == len(readers):
        raise refusals[-1]


def npz(**arrays: Any) -> bytes:
    """The bytes of an .npz file, whose members are not packed."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: Any) -> bytes:
    """The bytes of an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@functools.cache
def recipe() -> Recipe:
    from srnn.training.recipes import parse_recipe

    return parse_recipe(TINY)


@functools.cache
def network() -> Any:
    """A network of four neurons, for the digits' windows."""
    return recipe().build_network(recipe().create_task(), 0)


@functools.cache
def decoder() -> Decoder:
    """Reads one channel, which is sound at 8000 Hz."""
    from srnn.data.signals import WindowPath
    from srnn.deploy.streaming import Decoder
    from srnn.model.trained import Trained

    class AsSound(WindowPath):
        rate = 8000.0

        @property
        def what(self) -> str:
            return "sound at 8000 Hz"

    task = recipe().create_task()
    return Decoder(Trained(network(), task, recipe()), AsSound(task.inputs))
