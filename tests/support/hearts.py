"""A small network exported with the encoder of two leads, and what it says of a raw signal: as the
C, and as its models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from srnn import SRNN
from srnn.data.signals import CrossingPath
from srnn.deploy.c import export_c
from srnn.deploy.c.arrays import DTYPES
from srnn.deploy.c.plan import Plan, make_plan
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import IntegerNetwork, quantise
from srnn.nn.network import FrozenNetwork
from support.compiled import Program
from support.signals import two_leads

Format = Literal["float32", "int8"]


def heart(encoder: CrossingPath, format: Format, folder: Path) -> tuple[Plan, FrozenNetwork]:
    net = SRNN(4, [16], 6, neuron="alif", generator=torch.Generator().manual_seed(0), norm="none")
    export_c(net, folder, "heart", format, encoder=encoder)
    device = device_network(net, encoder)
    model = quantise(device) if format == "int8" else device
    return make_plan(model, "heart"), model


def scores_of(model: FrozenNetwork, spikes: np.ndarray) -> np.ndarray:
    """(T, 6), of spikes (T, 4)."""
    x = spikes[None]
    return (
        model.run(x.astype(int)) if isinstance(model, IntegerNetwork) else run_float32(model, x)
    ).output[0]


def from_signal(
    program: Program, signal: np.ndarray, std: tuple[float, ...], *more: str
) -> np.ndarray:
    """The C's scores (T, 6) of a raw signal. ``std``: of its leads; (): the encoder measures them
    itself; ``more``: options."""
    lines = "\n".join(",".join(f"{value:.9g}" for value in row) for row in signal)
    rows = [
        line.split(",")
        for line in program.text("--encode", *map(str, std), *more, given=lines).split()
    ]
    return np.array(rows, float).astype(DTYPES[program.plan.number])


def check_begins_again(program: Program, std: tuple[float, ...], samples: int = 40) -> None:
    """An encoder that is initialised again keeps nothing of the signal before, which was larger and
    far away."""
    first, second = 50 * two_leads(samples, seed=1) + 9000, two_leads(samples)
    apart = [from_signal(program, signal, std) for signal in (first, second)]
    together = from_signal(program, np.concatenate([first, second]), std, "--steps", str(samples))
    np.testing.assert_array_equal(together, np.concatenate(apart))
