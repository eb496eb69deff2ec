"""A network and the states of its streams in the two flat arrays that the compiled step of
``stream.py`` works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...array_likes import is_spikes
from ...frozen import FrozenNetwork
from . import stream
from .arguments import Array, Emitted
from .rows import LIST_OVERRUN, lanes_of

if TYPE_CHECKING:
    from ....data.spikes import Spikes

_RINGS = {
    "arriving": (stream.DEPTH, stream.DELAYS, stream.ARRIVING),
    "incoming": (stream.DEPTH_IN, stream.DELAYS_IN, stream.INCOMING),
}
"""For what is under way: where a layer's record has the ring's depth, its delays, and the place of
the ring."""


class PackedNetwork:
    """A network and the states of its streams, ready to be advanced by compiled code.

    The states are zero until ``set_state``. Raises CannotCompile where Numba cannot.

    Args:
        network: its weights are copied.
        streams: how many streams.
    """

    def __init__(self, network: FrozenNetwork, streams: int) -> None:
        layers = network.layers
        self.dtype = layers[0].weight_in.dtype
        dynamics = [network.dynamics(number) for number in range(len(layers))]
        self.models = tuple(neuron for neuron, _ in dynamics)
        # In one order whatever the layers', so that fewer networks need compiling.
        self.neurons = tuple(
            sorted({type(neuron) for neuron in self.models}, key=lambda n: (n.name, n.__qualname__))
        )
        self.streams = streams
        lanes = lanes_of(np.empty(0, self.dtype))

        parts: list[Array] = []  # of ``numbers``, each a multiple of the vector's length
        records = np.zeros((len(layers), stream.RECORD), np.int64)
        waits: list[int] = []  # delays
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
            constants = np.array(
                [np.pad(c, (0, width - size), "edge") for c in coefficients], self.dtype
            )
            constants = constants.reshape(len(coefficients), width // lanes, lanes)
            record[stream.COEFFICIENTS] = place(constants.transpose(1, 0, 2).ravel())
            record[stream.VARIABLES] = state_size
            record[stream.EMITTED] = state_size + width * len(neuron.variables())
            state_size = record[stream.EMITTED] + width
            for name, delays in layer.delays.items():
                depth, numbers, ring = _RINGS[name]
                record[[depth, numbers, ring]] = delays.max() + 1, len(waits), state_size
                waits.extend(delays.tolist())
                state_size += record[depth] * (len(delays) + -len(delays) % lanes)
        records[:, stream.WANTS] = Emitted.NOTHING
        records[-1, stream.WANTS] = Emitted[layers[-1].output.upper()]

        capacity = (
            int((records[:, stream.PRESYNAPTIC] + records[:, stream.SIZE]).max()) + LIST_OVERRUN
        )
        header = np.zeros(stream.HEADER, np.int64)
        header[[stream.LAYERS, stream.SUBSTEPS, stream.STREAMS]] = (
            len(layers),
            network.substeps,
            streams,
        )
        header[stream.STATE_SIZE] = state_size
        header[stream.VALUES] = place(np.zeros(capacity + -capacity % lanes, self.dtype))
        header[stream.SUMS] = place(np.zeros(records[:, stream.WIDTH].max(), self.dtype))
        header[stream.POOLED] = place(np.zeros(records[:, stream.WIDTH].max(), self.dtype))
        header[stream.FIRST_STATE] = place(np.zeros(streams * state_size, self.dtype))
        header[stream.TURNS] = first = stream.HEADER + records.size
        header[stream.EVENTS] = first + streams + len(waits)
        records[:, [stream.DELAYS, stream.DELAYS_IN]] += first + streams
        turns = np.zeros(streams, np.int64)
        self.plan = np.concatenate(
            [header, records.ravel(), turns, waits, np.zeros(capacity)]
        ).astype(np.int64)
        self._records = records
        self.numbers = _aligned(np.concatenate(parts))
        self._bind()

    def _bind(self) -> None:
        self.advance = stream.advance_loop(self.neurons, self.dtype, False)
        self._states = self.numbers[self.plan[stream.FIRST_STATE] :].reshape(self.streams, -1)
        turns = self.plan[stream.TURNS]
        self._turns = self.plan[turns : turns + self.streams]

    def __getstate__(self) -> dict[str, Any]:
        return {
            key: value
            for key, value in vars(self).items()
            if key not in ("advance", "_states", "_turns")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.numbers = _aligned(self.numbers)
        self._bind()

    def run(self, x: Array | Spikes, out: Array, which: Array) -> None:
        """Advance some streams.

        Args:
            x: (streams, T, inputs), contiguous.
            out: (streams, T, outputs), which is written.
            which: the numbers of the streams that advance.
        """
        if is_spikes(x):
            words = x.bits().reshape(-1)
            stream.advance_loop(self.neurons, self.dtype, True)(
                words, out.reshape(-1), which, self.plan, self.numbers
            )
        else:
            self.advance(x.reshape(-1), out.reshape(-1), which, self.plan, self.numbers)

    def _parts(self, number: int) -> tuple[Array, Array]:
        """A layer's variables (streams, blocks, variables, lanes) and its emission (streams,
        width), for all streams: views."""
        record, lanes = self._records[number], lanes_of(self.numbers)
        start, end, width = record[stream.VARIABLES], record[stream.EMITTED], record[stream.WIDTH]
        variables = self._states[:, start:end].reshape(
            self.streams, width // lanes, (end - start) // width, lanes
        )
        return variables, self._states[:, end : end + width]

    def _rings(self, number: int) -> dict[str, Array]:
        """What is under way in a layer, for all streams: views (streams, slots, presynaptic and
        padding) by name, from the first slot on; it is the next to arrive once ``_unwind`` has
        turned the ring."""
        record, lanes, views = self._records[number], lanes_of(self.numbers), {}
        for name, (depth, _, ring) in _RINGS.items():
            if record[depth]:
                count = record[stream.SIZE] if name == "arriving" else record[stream.PRESYNAPTIC]
                end = record[ring] + record[depth] * (count + -count % lanes)
                views[name] = self._states[:, record[ring] : end].reshape(
                    self.streams, record[depth], -1
                )
        return views

    def _unwind(self, which: Any) -> None:
        """Turn the rings of some streams (slice or numbers) to where they are at turn 0, and set
        their turn to 0."""
        for stream_number in np.arange(self.streams)[which][self._turns[which] != 0]:
            for number in range(len(self.models)):
                for ring in self._rings(number).values():
                    ring[stream_number] = np.roll(
                        ring[stream_number], -self._turns[stream_number], 0
                    )
            self._turns[stream_number] = 0

    def flat(self, number: int) -> Array:
        """A copy of the state of one stream, all its numbers."""
        self._unwind(slice(number, number + 1))
        return self._states[number].copy()

    def set_flat(self, number: int, values: Array) -> None:
        """Overwrite the state of one stream.

        Args:
            number: the stream's.
            values: what ``flat`` returned.
        """
        self._states[number] = values
        self._turns[number] = 0

    def state(self, which: Any) -> list[list[Array]]:
        """A copy of the state of some streams (slice or numbers): for each layer the arrays
        (streams, size) of its variables and s, and with delays those of what is under way (see
        ``nn/delay_buffer.py``)."""
        self._unwind(which)
        state = []
        for number in range(len(self.models)):
            size = self._records[number, stream.SIZE]
            variables, emitted = (part[which] for part in self._parts(number))
            rows = variables.transpose(2, 0, 1, 3).reshape(variables.shape[2], len(variables), -1)
            parts = [row[:, :size].copy() for row in (*rows, emitted)]
            for name, ring in self._rings(number).items():
                own = name == "arriving"
                # The last slot of an input's ring is empty between two steps.
                slots = ring.shape[1] - (not own)
                count = size if own else self._records[number, stream.PRESYNAPTIC]
                parts.append(ring[which, :slots, :count].copy())
            state.append(parts)
        return state

    def part(self, number: int, name: str) -> Array:
        """A copy of a part of the state of all streams.

        Args:
            number: the layer's.
            name: a variable of its neurons, or "s", their emission.

        Returns:
            (streams, size)
        """
        variables, emitted = self._parts(number)
        place = self.models[number].State._fields.index(name)
        chosen = (
            emitted
            if place == variables.shape[2]
            else variables[:, :, place].reshape(self.streams, -1)
        )
        return chosen[:, : self._records[number, stream.SIZE]].copy()

    def set_state(self, state: Sequence[Sequence[Array]], which: Any) -> None:
        """Overwrite the state of some streams; the caller checks the shapes.

        Args:
            state: what ``state`` returned.
            which: the streams, a slice or numbers.
        """
        self._turns[which] = 0
        for number, parts in enumerate(state):
            variables, emitted = self._parts(number)
            padding = self._records[number, stream.WIDTH] - self._records[number, stream.SIZE]
            count = len(self.models[number].State._fields)
            for (name, ring), part in zip(self._rings(number).items(), parts[count:], strict=True):
                _, slots, presynaptic = part.shape
                first = self._records[number, _RINGS[name][1]]
                delays = self.plan[first : first + presynaptic] - (name == "incoming")
                ring[which] = 0
                ring[which, :slots, :presynaptic] = part * (np.arange(slots)[:, None] <= delays)
            *rows, s = (np.pad(part, ((0, 0), (0, padding))) for part in parts[:count])
            for place, row in enumerate(rows):
                variables[which, :, place] = row.reshape(len(row), -1, variables.shape[-1])
            emitted[which] = s


def _aligned(array: Array) -> Array:
    """A copy of a flat array that begins at a cache line, so that vectors do not straddle two."""
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype)
    copy[:] = array
    return copy
