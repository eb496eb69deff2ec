"""One time step at a time: a trained network on live signals.

``Stream`` packs a network once; each ``push`` is then one compiled call for all layers
(``kernels/cpu/stream.py``), microseconds long. Where that cannot run, the network itself is called
with one step at a time, and a warning says why.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...compiling import CannotCompile, why_no_numba
from ...errors import SrnnError
from ...files.bounds import Between
from ...files.conversion import check
from ...model.trained import Trained
from ...nn.array_likes import as_numpy, is_spikes, is_tensor
from ...nn.delays import state_type
from ...nn.frozen import FrozenNetwork

if TYPE_CHECKING:
    import torch

    from ...data.spikes import Spikes
    from ...nn.network import SRNN
    from ...nn.network.srnn import State

Array = np.ndarray[Any, Any]


class _SteppedNetwork:
    """Takes the place of ``PackedNetwork`` where it cannot run: steps any network by its own
    ``run``."""

    def __init__(self, net: SRNN, streams: int) -> None:
        import torch

        self._net = net
        # Of the right shapes; the stream sets it.
        self._state = net.initial_state(streams, torch.Generator())

    def run(self, x: Array | Spikes, out: Array, which: Array) -> None:
        """Advance some streams by a block.

        Args:
            x: (streams, T, inputs).
            out: (streams, T, outputs), of which the rows of these streams are written.
            which: their numbers.
        """
        import torch

        dtype = self._net.readout.weight_in.dtype
        if is_spikes(x):
            dense = x.dense(dtype)
        else:
            dense = torch.from_numpy(x).to(dtype)
        before = tuple(type(parts)(*(part[which] for part in parts)) for parts in self._state)
        with torch.no_grad():
            result = self._net.run(dense[which], before)
        out[which] = as_numpy(result.output).astype(out.dtype)
        for own, parts in zip(self._state, result.state, strict=True):
            for place, part in zip(own, parts, strict=True):
                place[which] = part

    def state(self, which: Any) -> list[list[Array]]:
        return [[as_numpy(part[which]).copy() for part in parts] for parts in self._state]

    def part(self, number: int, name: str) -> Array:
        """A copy of a part of the state.

        Args:
            number: the layer.
            name: the variable.

        Returns:
            (streams, size).
        """
        return as_numpy(getattr(self._state[number], name)).copy()

    def flat(self, number: int) -> Array:
        return np.concatenate(
            [as_numpy(part[number]).ravel() for parts in self._state for part in parts]
        )

    def set_flat(self, number: int, values: Array) -> None:
        """Set a stream's state.

        Args:
            number: the stream.
            values: as ``flat`` returns them.
        """
        import torch

        start = 0
        for part in (part for parts in self._state for part in parts):
            size = part[number].numel()
            part[number] = torch.from_numpy(values[start : start + size]).view(part.shape[1:])
            start += size

    def set_state(self, state: Sequence[Sequence[Array]], which: Any) -> None:
        """Set the state of some streams.

        Args:
            state: the variables of each layer.
            which: the streams' numbers, or a slice.
        """
        import torch

        for own, parts in zip(self._state, state, strict=True):
            for place, part in zip(own, parts, strict=True):
                place[which] = torch.from_numpy(part).to(place.dtype)


def _network(net: SRNN | None, frozen: FrozenNetwork, streams: int) -> Any:
    """The fastest way to step the network: a PackedNetwork, or a _SteppedNetwork and a warning.

    Args:
        net: the network as a module, to be stepped where it cannot be packed; None: CannotCompile
            there.
        frozen: the same network as arrays.
        streams: their number.
    """
    if net is None:
        layers: list[Any] = []
    else:
        layers = [*net.layers, net.readout]
    backends = {layer.backend for layer in layers}
    if "reference" not in backends:
        lacking = frozen.why_not("A compiled stream")
        reason = why_no_numba() or (lacking[0] if lacking else "")
        if not reason:
            from ...nn.kernels.cpu.packing import PackedNetwork

            try:
                return PackedNetwork(frozen, streams)
            except CannotCompile as error:
                reason = str(error).rstrip(".")
        if net is None:
            raise CannotCompile(f"This stream cannot be compiled: {reason}.", "unsupported")
        if "cpu" in backends:
            problem = f"The cpu backend cannot run this stream: {reason}."
            raise SrnnError(problem, "unsupported", "backend")
        from ...nn.kernels.running import warn_slow

        warn_slow(reason)
    assert net is not None
    for layer in layers:
        layer.backend = "reference"  # a change to the stream's own copy; the reason has been given
    return _SteppedNetwork(net, streams)


class Stream:
    """A network that is fed one time step at a time, or blocks of any length; the results are the
    same to the last bit.

        stream = srnn.Stream(net)
        scores = stream.push(x_t)                  # x_t (inputs,) -> (outputs,)
        scores = stream.push(block)                # (T, inputs) -> (T, outputs)

        many = srnn.Stream(net, streams=1000)
        scores = many.push(x_t)                    # (1000, inputs) -> (1000, outputs)
        scores = many.push(x_t, active=mask)       # streams where the mask is False wait; their scores are 0

    Args:
        net: an SRNN that reads forwards only, in float32 or float64 (others are stepped slowly).
            The stream takes a copy: after further training, make a new stream and pass on the state
            (``new.state = old.state``). Or a model, whose random initial state is drawn from its
            seed; or a ``FrozenNetwork``, which starts from its own. These two need no torch.
        streams: how many independent streams, a leading axis of everything; None: one, without that
            axis.
        generator: draws the initial state of neurons whose initial state is random (default:
            torch's global one).

    Inputs are numpy arrays, torch tensors or sequences of real numbers, converted to
    ``stream.dtype``; a contiguous array of that dtype is not copied. Only non-zero values cost
    time. Results are new numpy arrays. NaN and infinities are not checked for: the neurons that a
    NaN reaches fall silent, and, unlike the output of ``net(x)``, results may stay finite.

    A stream runs on the CPU, in the calling thread. Use it from one thread at a time (different
    streams from different threads do run side by side), and fork freely. It can be pickled and
    copied, with its state, to the same bits. Raises SrnnError, in one line, for networks, inputs or
    states that do not fit; CannotCompile, which is one, for a ``FrozenNetwork`` that cannot be
    compiled.
    """

    def __init__(
        self,
        net: SRNN | Trained | FrozenNetwork,
        streams: int | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        if isinstance(net, Trained):
            if net.unread is None:
                import torch

                generator = generator or torch.Generator().manual_seed(net.seed)
            net = net.unread or net.spiking("streamed")
        if isinstance(net, FrozenNetwork):
            frozen, self._net = net.require("A stream"), None
        else:
            from ...nn.network import copied, freeze

            frozen = freeze(net, "A stream")
            self._net = copied(net).cpu().eval().requires_grad_(False)
            # A trained encoder is applied here, before the compiled step, which runs layers only.
            self._net.encoder = None
        if streams is not None:
            streams = check("streams", streams, int, Between(1))
        self._threshold = frozen.threshold
        self.inputs, self.outputs, self.streams = frozen.inputs, frozen.outputs, streams
        if streams is None:
            self._count = 1
        else:
            self._count = streams
        self._network = _network(self._net, frozen, self._count)
        self._neurons = [layer.neuron for layer in frozen.layers]
        self._start = frozen.initial_state(1)
        """Its shapes are those of every state; its values, those that ``reset`` returns to, unless
        these are drawn."""
        self._weights_in = frozen.dtype
        self.dtype: np.dtype[Any] = frozen.layers[-1].weight_in.dtype
        self._everyone = np.arange(self._count)
        self._prepare()
        self.reset(generator=generator)

    def _prepare(self) -> None:
        """Keep at hand what ``push`` needs: a step costs little more than looking it up."""
        self.dtype = np.dtype(self.dtype.type)  # numpy's own object, not one out of a pickle
        if self.streams is None:
            lead = ()
        else:
            lead = (self.streams,)
        self._x_shape, self._out_shape = (*lead, self.inputs), (*lead, self.outputs)
        self._advance = getattr(self._network, "advance", None)
        if self._advance is not None:
            self._plan, self._numbers = self._network.plan, self._network.numbers

    def __getstate__(self) -> dict[str, Any]:
        made = ("_advance", "_plan", "_numbers")
        return {key: value for key, value in vars(self).items() if key not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()

    def __copy__(self) -> Stream:
        return copy.deepcopy(self)  # otherwise both would advance the same state

    def __repr__(self) -> str:
        return f"Stream({self.inputs} -> {self.outputs}, streams={self.streams}, {self.dtype})"

    # ---- input ------------------------------------------------------------------------------------------------------

    def push(self, x: Any, active: Any = None) -> Array:
        """Advance by one step, or by a block (``run``).

        Args:
            x: one step, (inputs,), or with ``streams=n`` (n, inputs); or a block.
            active: (n,) booleans: which streams take part; None: all. The others keep their state,
                and their part of the result is 0.

        Returns:
            (outputs,), or with ``streams=n`` (n, outputs); of a block as by ``run``.

        Raises:
            SrnnError: ``data``: x or ``active`` have another shape, or are not what they should be.
        """
        # The usual case first: nothing to convert, and as few operations as Python needs.
        if (
            active is None
            and x.__class__ is np.ndarray
            and x.dtype == self.dtype
            and x.shape == self._x_shape
            and x.flags.carray
            and self._advance is not None
            and self._threshold is None
        ):
            out = np.empty(self._out_shape, self.dtype)
            if self.streams is None:
                self._advance(x, out, self._everyone, self._plan, self._numbers)
            else:
                self._advance(
                    x.reshape(-1), out.reshape(-1), self._everyone, self._plan, self._numbers
                )
            return out
        if is_spikes(x):
            return self.run(x, active)
        x = self._array(x)
        if x.shape != self._x_shape:
            return self.run(x, active)
        if active is None and self._advance is not None and self._threshold is None:
            return self.push(x)  # now the usual case
        return self.run(x[..., None, :], active)[..., 0, :]

    def push_events(self, channels: Any) -> Array:
        """One step, given the numbers of the input channels that spike (the rest are 0); with
        ``streams=n``, n such lists."""
        x = np.zeros(self._x_shape, self.dtype)
        if self.streams is None:
            rows = [channels]
        else:
            rows = channels
        if not isinstance(rows, (Sequence, np.ndarray)) or len(rows) != self._count:
            wanted = f"a list of {self._count} lists of channels, one for each stream"
            raise SrnnError(f"push_events takes {wanted}.", "data", "channels")
        for row, numbers in zip(x.reshape(self._count, -1), rows, strict=True):
            chosen = np.asarray(numbers)
            if chosen.shape == (0,):
                continue
            if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
                given = f"{chosen.dtype} of shape {chosen.shape}"
                problem = f"Channels must be a list of integers, not {given}."
                raise SrnnError(problem, "data", "channels")
            # Read as unsigned, negative numbers become large ones.
            if chosen.astype(np.int64, copy=False).view(np.uint64).max() >= self.inputs:
                problem = f"Channels must lie between 0 and {self.inputs - 1}."
                raise SrnnError(problem, "data", "channels")
            row[chosen] = 1
        return self.push(x)

    def run(self, x: Any, active: Any = None) -> Array:
        """Advance by a block.

        Args:
            x: (T, inputs), or with ``streams=n`` (n, T, inputs). Also (binary) ``Spikes`` (n, T,
                inputs), with a batch of 1 if there is only one stream; they are never made dense,
                and are the fastest input.
            active: as for ``push``.

        Returns:
            (T, outputs), or with ``streams=n`` (n, T, outputs).

        Raises:
            SrnnError: ``data``: as for ``push``.
        """
        if is_spikes(x):
            shape = tuple(x.shape)
            if shape[0] != self._count or shape[2] != self.inputs:
                wanted = f"({self._count}, time, {self.inputs})"
                raise SrnnError(f"Expected spikes of shape {wanted}, got {shape}.", "data", "x")
            block: Array | Spikes = x.to("cpu")
            if self._threshold is not None:
                block = as_numpy(x.dense())
        else:
            dense = self._array(x)
            axes = self._x_shape[:-1]
            if dense.ndim < 2 or (*dense.shape[:-2], dense.shape[-1]) != self._x_shape:
                names = ", ".join(map(str, (*axes, "time", self.inputs)))
                wanted = f"one step of shape {self._x_shape} or a block ({names})"
                raise SrnnError(f"Expected {wanted}, got {dense.shape}.", "data", "x")
            block = dense.reshape(self._count, -1, self.inputs)
            shape = block.shape
        if self._threshold is not None:
            above, below = block > self._threshold, block < -self._threshold
            block = above.astype(self.dtype) - below.astype(self.dtype)
        which = self._which(active)
        if active is None:
            make = np.empty
        else:
            make = np.zeros
        out = make((self._count, shape[1], self.outputs), self.dtype)
        self._network.run(block, out, which)
        if self.streams is None:
            return out[0]
        return out

    def _array(self, x: Any) -> Array:
        """x as an array that compiled code takes: of the network's dtype, contiguous, aligned,
        writable."""
        try:
            array = np.asarray(as_numpy(x))
        except (TypeError, ValueError) as error:
            problem = f"The input is not an array of numbers ({error})."
            raise SrnnError(problem, "data", "x") from error
        if array.dtype.kind not in "fiub":
            raise SrnnError(f"The input must be real numbers, not {array.dtype}.", "data", "x")
        if array.dtype != self.dtype or not array.flags.carray:  # contiguous, aligned and writable
            array = array.astype(self.dtype, order="C")
        return array

    def _which(self, active: Any) -> Array:
        """The numbers of the streams that a mask selects; None selects all."""
        if active is None:
            return self._everyone
        mask = np.asarray(active)
        if mask.shape != (self._count,) or mask.dtype != bool:
            wanted = f"{self._count} booleans, one per stream"
            problem = f"active must be {wanted}, not {mask.dtype} {mask.shape}."
            raise SrnnError(problem, "data", "active")
        return np.flatnonzero(mask)

    # ---- state ------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """A copy of the state, as ``net.run`` returns and takes it: a NamedTuple per layer, of
        tensors (streams or 1, size).

        Assigning one continues from it, to the same bits.
        """
        return self._state(slice(None))

    @state.setter
    def state(self, state: State) -> None:
        self._set_state(state, slice(None), self._count)

    def state_part(self, layer: int, name: str) -> Array:
        """A copy of ``state[layer].name``: the cheapest to watch.

        Args:
            layer: its number.
            name: a variable, or ``s``.

        Returns:
            (streams or 1, size).
        """
        return self._network.part(layer, name)

    def get_state(self, number: int) -> State:
        """A copy of the state of stream ``number``, as for a batch of 1: to be kept, or continued
        by any other stream."""
        return self._state(self._one(number))

    def set_state(self, number: int, state: State) -> None:
        """Continue a stream from a state.

        Args:
            number: of the stream.
            state: of a batch of 1.

        Raises:
            SrnnError: ``name``: there is no such stream; ``data``: the state does not fit.
        """
        self._set_state(state, self._one(number), 1)

    @property
    def layout(self) -> str:
        """How the numbers of ``flat_state`` are arranged: two streams of a network must agree in it
        to exchange them."""
        return f"{type(self._network).__name__} {self.dtype}"

    def flat_state(self, number: int = 0) -> Array:
        """A copy of the state of stream ``number`` as one array of numbers: the cheapest to take
        and to set."""
        self._one(number)
        return self._network.flat(number)

    @functools.cached_property
    def _flat_size(self) -> int:
        """Numbers in a stream's flat state."""
        return self._network.flat(0).size

    def set_flat_state(self, values: Array, number: int = 0) -> None:
        """Continue a stream from a state.

        Args:
            values: as returned by ``flat_state``, of this stream or another of the same network.
            number: of the stream.

        Raises:
            SrnnError: ``name``: there is no such stream; ``data``: the state does not fit.
        """
        self._one(number)
        if np.shape(values) != (self._flat_size,):
            count = f"{self._flat_size} numbers, as returned by flat_state"
            raise SrnnError(f"A state of this network has {count}.", "data", "state")
        self._network.set_flat(number, values)

    def check_flat_state(self, values: Array) -> None:
        """SrnnError for a state in which no step of this network ends: numbers that are not finite,
        spikes that are not 0 or 1. (A random initial state may hold such spikes; this check is not
        meant for it.)"""
        before = self.flat_state()
        self.set_flat_state(values)
        state = self._network.state(slice(0, 1))
        self.set_flat_state(before)
        sound = bool(np.isfinite(values).all())
        for neuron, start, parts in zip(self._neurons, self._start, state, strict=True):
            for name, part in zip(start, parts, strict=True):
                if name in ("s", "arriving") and neuron.emission.binary:
                    sound = sound and bool(((part == 0) | (part == 1)).all())
        if not sound:
            raise SrnnError("The network cannot be in this state.", "data", "state")

    def reset(self, active: Any = None, *, generator: torch.Generator | None = None) -> None:
        """Return to the initial state.

        Args:
            active: (n,) booleans: which streams; None: all.
            generator: draws the state where it is random.

        Raises:
            SrnnError: ``data``: ``active`` is something else.
        """
        which = self._which(active)
        if self._net is None:
            state = [
                [np.repeat(part, len(which), 0) for part in parts.values()] for parts in self._start
            ]
        else:
            drawn = self._net.initial_state(len(which), generator)
            state = [[as_numpy(part) for part in parts] for parts in drawn]
        self._network.set_state(state, which)

    def _one(self, number: int) -> slice:
        if not 0 <= number < self._count:
            numbers = f"they are numbered from 0 to {self._count - 1}"
            raise SrnnError(f"There is no stream {number}; {numbers}.", "name", "number")
        return slice(number, number + 1)

    def _state(self, which: slice) -> State:
        import torch

        dtype, state = getattr(torch, self._weights_in), []
        for neuron, start, parts in zip(
            self._neurons, self._start, self._network.state(which), strict=True
        ):
            fields = neuron.State._fields
            kind = state_type(neuron.State, tuple(name for name in start if name not in fields))
            state.append(kind(*(torch.from_numpy(part).to(dtype) for part in parts)))
        return tuple(state)

    def _set_state(self, state: State, which: slice, count: int) -> None:
        if not isinstance(state, (tuple, list)) or len(state) != len(self._start):
            wanted = f"a tuple of {len(self._start)} entries"
            problem = f"A state of this network is {wanted}, as of net.run and stream.state."
            raise SrnnError(problem, "data", "state")
        for number, (parts, start) in enumerate(zip(state, self._start, strict=True)):
            expected = {name: (count, *part.shape[1:]) for name, part in start.items()}
            if isinstance(parts, (tuple, list)):
                entries = parts
            else:
                entries = [parts]
            shapes = [tuple(part.shape) if is_tensor(part) else type(part) for part in entries]
            if shapes != list(expected.values()):
                found = f"expected {expected}, got {shapes}"
                problem = f"The state of layer {number} does not fit: {found}."
                raise SrnnError(problem, "data", "state")
        arrays = [[np.asarray(as_numpy(part), self.dtype) for part in parts] for parts in state]
        self._network.set_state(arrays, which)
