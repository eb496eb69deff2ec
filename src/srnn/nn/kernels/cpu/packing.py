"""A network and the states of its streams in the two flat arrays that the compiled step of ``stream.py`` works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....data.spikes import Spikes
from ...network.frozen import FrozenNetwork
from . import stream
from .arguments import Emitted
from .rows import LIST_OVERRUN, lanes_of

Array = np.ndarray[Any, Any]


class PackedNetwork:
    """A network and the states of ``streams`` streams, ready to be advanced by compiled code.

    Weights are copied. The states are zero until ``set_state``. Raises CannotCompile where Numba cannot.
    """

    def __init__(self, network: FrozenNetwork, streams: int) -> None:
        layers = network.layers
        self.dtype = layers[0].weight_in.dtype
        dynamics = [network.dynamics(number) for number in range(len(layers))]
        self.models = tuple(neuron for neuron, _ in dynamics)
        # In one order whatever the layers', so that fewer networks need compiling.
        self.neurons = tuple(sorted({type(neuron) for neuron in self.models}, key=lambda n: (n.name, n.__qualname__)))
        self.streams = streams
        lanes = lanes_of(np.empty(0, self.dtype))

        parts: list[Array] = []  # of ``numbers``, each a multiple of the vector's length
        records = np.zeros((len(layers), stream.RECORD), np.int64)
        state_size = 0

        def place(part: Array) -> int:
            start = sum(map(len, parts))
            parts.append(part)
            return start

        for layer, (neuron, coefficients), record in zip(layers, dynamics, records, strict=True):
            size, presynaptic = layer.weight_in.shape
            width = size + -size % lanes
            record[stream.KIND] = self.neurons.index(type(neuron))
            record[[stream.PRESYNAPTIC, stream.SIZE, stream.WIDTH]] = presynaptic, size, width
            record[stream.RECURRENT] = layer.weight_rec is not None
            rows = np.concatenate([matrix.T for matrix in layer.matrices()])
            record[stream.WEIGHTS] = place(np.pad(rows, ((0, 0), (0, width - size))).ravel())
            record[stream.BIAS] = place(np.pad(layer.bias, (0, width - size)))
            # Padding computes what the last neuron does, from no current: nothing odd.
            constants = np.stack([np.pad(c, (0, width - size), "edge") for c in coefficients])
            record[stream.COEFFICIENTS] = place(constants.reshape(len(constants), -1, lanes).transpose(1, 0, 2).ravel())
            record[stream.VARIABLES] = state_size
            record[stream.EMITTED] = state_size + width * len(neuron.variables())
            state_size = record[stream.EMITTED] + width
        records[:, stream.WANTS] = Emitted.NOTHING
        records[-1, stream.WANTS] = Emitted[layers[-1].output.upper()]

        capacity = int((records[:, stream.PRESYNAPTIC] + records[:, stream.SIZE]).max()) + LIST_OVERRUN
        header = np.zeros(stream.HEADER, np.int64)
        header[[stream.LAYERS, stream.SUBSTEPS, stream.STREAMS]] = len(layers), network.substeps, streams
        header[stream.STATE_SIZE] = state_size
        header[stream.VALUES] = place(np.zeros(capacity + -capacity % lanes, self.dtype))
        header[stream.SUMS] = place(np.zeros(records[:, stream.WIDTH].max(), self.dtype))
        header[stream.POOLED] = place(np.zeros(records[:, stream.WIDTH].max(), self.dtype))
        header[stream.FIRST_STATE] = place(np.zeros(streams * state_size, self.dtype))
        header[stream.EVENTS] = stream.HEADER + records.size
        self.plan = np.concatenate([header, records.ravel(), np.zeros(capacity, np.int64)])
        self._records = records
        # From torch, which aligns to cache lines, so that vectors do not straddle two.
        self.numbers = torch.from_numpy(np.concatenate(parts)).clone().numpy()
        self._bind()

    def _bind(self) -> None:
        self.advance = stream.advance_loop(self.neurons, self.dtype, False)
        self._states = self.numbers[self.plan[stream.FIRST_STATE] :].reshape(self.streams, -1)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("advance", "_states")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.numbers = torch.from_numpy(self.numbers).clone().numpy()
        self._bind()

    def run(self, x: Array | Spikes, out: Array, which: Array) -> None:
        """Advance the streams numbered ``which``: x (streams, T, inputs), contiguous; out (streams, T, outputs) is written."""
        if isinstance(x, Spikes):
            words = x.words.contiguous().numpy().view(np.uint64).reshape(-1)
            stream.advance_loop(self.neurons, self.dtype, True)(words, out.reshape(-1), which, self.plan, self.numbers)
        else:
            self.advance(x.reshape(-1), out.reshape(-1), which, self.plan, self.numbers)

    def _parts(self, number: int) -> tuple[Array, Array]:
        """Of a layer, for all streams: its variables (streams, blocks, variables, lanes) and emission (streams, width), views."""
        record, lanes = self._records[number], lanes_of(self.numbers)
        start, end, width = record[stream.VARIABLES], record[stream.EMITTED], record[stream.WIDTH]
        variables = self._states[:, start:end].reshape(self.streams, width // lanes, (end - start) // width, lanes)
        return variables, self._states[:, end : end + width]

    def state(self, which: Any) -> tuple[tuple[Tensor, ...], ...]:
        """A copy of the state of some streams (slice or numbers): a State a layer, of tensors (streams, size)."""
        state = []
        for number, model in enumerate(self.models):
            size = self._records[number, stream.SIZE]
            variables, emitted = (part[which] for part in self._parts(number))
            rows = variables.transpose(2, 0, 1, 3).reshape(variables.shape[2], len(variables), -1)
            tensors = (torch.from_numpy(row[:, :size].copy()) for row in (*rows, emitted))
            state.append(model.State._make(tensors))
        return tuple(state)

    def set_state(self, state: Sequence[Sequence[Tensor]], which: Any) -> None:
        """Overwrite the state of some streams (slice or numbers); shapes are the caller's care."""
        for number, tensors in enumerate(state):
            variables, emitted = self._parts(number)
            padding = self._records[number, stream.WIDTH] - self._records[number, stream.SIZE]
            *rows, s = (np.pad(tensor.numpy(), ((0, 0), (0, padding))) for tensor in tensors)
            for place, row in enumerate(rows):
                variables[which, :, place] = row.reshape(len(row), -1, variables.shape[-1])
            emitted[which] = s
