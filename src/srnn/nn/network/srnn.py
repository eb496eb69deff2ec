"""SRNN: layers of spiking neurons and a readout, used like ``torch.nn.LSTM``."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ...data.spikes import Spikes, as_dense
from ...errors import SrnnError
from ...files.bounds import Count
from ...files.conversion import check
from ..delays import Delays
from ..frozen import FrozenNetwork, Merge
from ..kernels.problem import LayerResult, without_padding
from ..kernels.reference import recordable
from ..neurons import Neuron, as_neuron
from ..surrogates import Surrogate, as_surrogate
from .bidirectional import BidirectionalLayer
from .dropout import Dropout
from .encoding import LearnedTernary, as_encoder
from .freezing import freeze
from .inputs import Input, Lengths, call, checked
from .layer import Layer, WeightInit, layers_by_name
from .nans import with_nans
from .norm import BatchNorm, Norm, NormSpec
from .readout import Readout, as_readout

NeuronSpec = str | Mapping[str, Any] | Neuron
DelaysSpec = Delays | Mapping[str, Any] | None
State = tuple[Any, ...]
"""One entry per layer, the readout's last; each is of the neuron's State type (for a bidirectional
layer, a pair of them)."""


def each_layer(
    what: str, given: Any, sizes: Sequence[int], one: type | tuple[type, ...]
) -> list[Any]:
    """A setting of the hidden layers as a list.

    Args:
        what: the setting.
        given: a single value for all layers, or one for each.
        sizes: of the hidden layers.
        one: the types of a single value.

    Returns:
        A value for each layer.

    Raises:
        SrnnError: ``conflict`` for a list of another length, ``value`` for anything else.
    """
    if not isinstance(given, (Iterable, one)):
        advice = "give one for all hidden layers, or a list with one for each"
        raise SrnnError(f"{what} cannot be {given!r}; {advice}.", "value", what)
    values = [given] * len(sizes) if isinstance(given, one) else list(given)
    if len(values) != len(sizes):
        layers = f"{len(sizes)} hidden layer{'s' * (len(sizes) != 1)}"
        message = f"{what} has {len(values)} entries for {layers}"
        raise SrnnError(f"{message}; give one for all, or one for each.", "conflict", what)
    return values


def copied(net: SRNN) -> SRNN:
    """A copy of the network that shares nothing with it. SrnnError if torch cannot make one."""
    try:
        return copy.deepcopy(net)
    except RuntimeError as error:  # from torch.nn.utils.prune, whose products are not parameters
        raise SrnnError(
            "Torch cannot copy this network: make weight_norm, pruning and other parametrizations "
            "permanent first (torch.nn.utils).",
            "unsupported",
            "network",
        ) from error


@dataclass(frozen=True, repr=False)
class Result:
    """Everything that a run of the network returns."""

    output: Tensor
    """(B, T, outputs): the readout's membrane, or its spikes; NaN from the first NaN of a
    sequence's input on, and zero after its length."""
    state: State
    """Final state; pass it to the next call to go on where this one ended."""
    layers: tuple[LayerResult, ...]
    """The result of each layer, the readout's last: ``layers[0].output`` holds the first layer's
    spikes (B, T, size); with substeps, a hidden layer's are (B, T * substeps, size)."""

    def __repr__(self) -> str:
        sizes = ", ".join(str(layer.emitted.shape[-1]) for layer in self.layers)
        return f"Result(output {tuple(self.output.shape)} {self.output.dtype}, layers of {sizes})"


class SRNN(nn.Module):
    """Adaptive spiking recurrent neural network.

        net = SRNN(inputs=700, hidden=[128, 128], outputs=20)
        out, state = net(x)                # x (B, T, 700) -> out (B, T, 20)
        out, state = net(more, state)      # continues where the first call ended

    Like ``nn.LSTM`` it also takes one sequence (T, 700) -> (T, 20), and a ``PackedSequence`` -> a
    ``PackedSequence``. Numpy arrays, booleans and integers are converted to the network's dtype;
    the output is always a tensor.

    The defaults are chosen to learn in a loop of one's own, whatever the scale of the input: adLIF
    neurons, and batch norm of what they receive. ``SRNN.paper`` makes the paper's network instead.

    Args:
        inputs: number of input channels.
        hidden: number of neurons in each hidden layer; a single number for one layer.
        outputs: number of classes.
        neuron: a model's name ("adlif", "alif", ...: ``srnn.nn.neurons``), a model object, or a
            list with one per layer.
        readout: "integrator", "alif", "spike_count", a neuron, or a ``Readout``.
        surrogate: name or object of the surrogate gradient.
        recurrent: whether each hidden layer has recurrent weights; one answer for all, or a list.
        bidirectional: read every hidden layer's input from both ends.
        merge: how the outputs of both directions are combined, "mean" (the paper) or "concat".
        late: the backward direction sees everything one step late (the published TIMIT network).
        delays: additional steps until spikes arrive, as a mapping such as {"recurrent": "uniform(0,
            20)", "input": 3} (``nn/delays.py``); one for all hidden layers, or a list with one (or
            None) per layer. Recurrent delays apply only to recurrent layers. All are in steps of
            the hidden layers.
        substeps: steps of the hidden layers for each step of the input, which is held meanwhile;
            the readout takes one step, on the mean of what the last hidden layer emitted (5 per
            frame in the published TIMIT network).
        encoder: turns an analog input into spikes, with trained thresholds: "learned_ternary", or a
            mapping with its settings (``encoding.as_encoder``); None: the first layer reads the
            input as it is.
        norm: batch norm of the current that each hidden layer receives from below: "batch", or a
            mapping with its settings (``norm.Norm``); one for all, or a list. In training mode (as
            a new network is) a call uses the statistics of its batch and updates the running ones,
            which are used after ``eval()``. "none": no norm, as where batches hold single steps.
        init_in: initialisation of feed-forward weights, "xavier", "orthogonal", "kaiming" or
            "zero".
        init_rec: initialisation of recurrent weights, likewise.
        gain_in: factor of the hidden layers' initial feed-forward weights.
        bias: whether the hidden layers have one; one answer for all, or a list.
        backend: what runs the layers: "cpu", "gpu", "reference" (plain torch), or "auto": the
            fastest that can.
        recompute: compute currents again for the gradient, to the same bits, instead of storing
            them (for long sequences).
        generator: draws the initial parameters (default: torch's global one).

    Within a step each layer sees the layer below in the SAME step and itself one step earlier.
    Nothing is kept between calls.

    Raises:
        SrnnError: ``value`` or ``name`` for a setting that is not valid, ``conflict`` where a list
            has not one entry for each hidden layer.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int | Sequence[int],
        outputs: int,
        neuron: NeuronSpec | Sequence[NeuronSpec] = "adlif",
        readout: str | Mapping[str, Any] | Readout | Neuron = "integrator",
        surrogate: str | Mapping[str, Any] | Surrogate = "multi_gaussian",
        *,
        recurrent: bool | Sequence[bool] = True,
        bidirectional: bool = False,
        merge: Merge = "mean",
        late: bool = False,
        delays: DelaysSpec | Sequence[DelaysSpec] = None,
        substeps: int = 1,
        encoder: str | Mapping[str, Any] | LearnedTernary | None = None,
        norm: NormSpec | Sequence[NormSpec] = "batch",
        init_in: WeightInit = "xavier",
        init_rec: WeightInit = "orthogonal",
        gain_in: float = 1.0,
        bias: bool | Sequence[bool] = True,
        backend: str = "auto",
        recompute: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = list(hidden) if isinstance(hidden, Iterable) else [hidden]
        sizes = [check("hidden", size, Count) for size in sizes]
        inputs, outputs = check("inputs", inputs, Count), check("outputs", outputs, Count)
        substeps = check("substeps", substeps, Count)
        neurons = map(as_neuron, each_layer("neuron", neuron, sizes, (str, Mapping, Neuron, type)))
        recurrents = each_layer("recurrent", recurrent, sizes, bool)
        spans = map(
            Delays.parse, each_layer("delays", delays, sizes, (Delays, Mapping, type(None)))
        )
        norms = each_layer("norm", norm, sizes, (str, Mapping, Norm, type(None)))
        biases = each_layer("bias", bias, sizes, bool)
        for name, flag in (("bidirectional", bidirectional), ("late", late)):
            check(name, flag, bool)
        check("merge", merge, Merge)
        self.surrogate, spec = as_surrogate(surrogate), as_readout(readout)
        self.bidirectional, self.substeps = bidirectional, substeps

        layer_of = partial(
            Layer,
            surrogate=self.surrogate,
            init_in=init_in,
            generator=generator,
            backend=backend,
            recompute=recompute,
        )

        def make(n_in: int, n: int, kind: Sequence[Any]) -> Layer:
            model, is_recurrent, span, normed, has_bias = kind
            return layer_of(
                n_in,
                n,
                model,
                recurrent=is_recurrent,
                norm=normed,
                bias=has_bias,
                delays=span if is_recurrent else replace(span, recurrent=None),
                init_rec=init_rec,
                gain_in=gain_in,
            )

        self.layers = nn.ModuleList()
        width = inputs
        for size, *kind in zip(sizes, neurons, recurrents, spans, norms, biases, strict=True):
            layer: Layer | BidirectionalLayer = make(width, size, kind)
            if bidirectional:
                back = make(width, size, kind)
                layer = BidirectionalLayer(layer, back, merge, late=late)
            self.layers.append(layer)
            width = layer.size
        self.encoder = as_encoder(encoder, inputs)
        self.readout = layer_of(width, outputs, spec.neuron, recurrent=False, output=spec.output)

    @classmethod
    def paper(cls, inputs: int, hidden: int | Sequence[int], outputs: int, **options: Any) -> Self:
        """The network of Yin, Corradi & Bohte 2021 (Nature Machine Intelligence 3, 905-913).

        ALIF neurons (equations 5 to 8: ``srnn.nn.neurons.alif``) without any norm; the
        multi-Gaussian surrogate gradient (equation 1: ``srnn.nn.surrogates``); leaky integrators
        as readout; feed-forward weights drawn by Xavier's rule, recurrent ones as orthogonal
        matrices, biases of 0. The time constants, thresholds and readouts of each of the paper's
        tasks are in the recipes ``paper/ecg``, ``paper/shd``, ...

        Args:
            inputs: number of input channels.
            hidden: number of neurons in each hidden layer; a single number for one layer.
            outputs: number of classes.
            options: other arguments of ``SRNN``; they also replace what is set here
                (``readout="alif"``, as for ECG).
        """
        theirs: dict[str, Any] = {
            "neuron": "alif",
            "readout": "integrator",
            "surrogate": "multi_gaussian",
            "norm": "none",
            "init_in": "xavier",
            "init_rec": "orthogonal",
        }
        return cls(inputs, hidden, outputs, **theirs | options)

    @property
    def inputs(self) -> int:
        """Input channels: those of the first layer, which may have been replaced."""
        first: Any = next(iter(self.layers), self.readout)
        return first.inputs

    @property
    def outputs(self) -> int:
        """Outputs: the neurons of the readout, which may have been replaced."""
        return self.readout.size

    def initial_state(self, batch: int, generator: torch.Generator | None = None) -> State:
        """The state before the first step; random where the neurons' ``initial`` states it.

        Args:
            batch: number of sequences.
            generator: draws the state; None: torch's global one.

        Returns:
            A state for each layer, the readout's last.
        """
        return tuple(
            layer.initial_state(batch, generator) for layer in [*self.layers, self.readout]
        )

    def run(
        self,
        x: Input,
        state: State | None = None,
        *,
        lengths: Lengths | None = None,
        record: str | Iterable[str] = (),
        generator: torch.Generator | None = None,
        dropout: Dropout | None = None,
        check: bool = False,
    ) -> Result:
        """Run the network and return everything.

        Args:
            x: (B, T, inputs), a tensor or numpy array, which is converted to the network's dtype
                and, on the CPU, packed if it holds zeros and ones only; or (binary) ``Spikes``.
            state: as an earlier run returned it; None: the initial state.
            lengths: (B,) integers, the valid steps of each sequence in a padded batch.
            record: one or more variables, such as ("s", "u", "v", "current", "e"), whose traces (B,
                T, size) are returned by each layer that has them.
            generator: draws a random initial state where no ``state`` is given.
            dropout: decides which neurons the layers above receive, in training.
            check: refuse an input that is not finite, and name the place; this costs one pass.

        Returns:
            Output, final state, and the result of each layer with its traces.

        Raises:
            SrnnError: ``data``, for an input, a state or lengths that do not fit.
        """
        record = (record,) if isinstance(record, str) else tuple(record or ())
        packs = self.encoder is None and self.readout.backend != "reference" and not record
        x, lengths = checked(self, x, state, lengths, check, packs)
        if state is None:
            state = self.initial_state(x.shape[0], generator)
        given = x
        results: list[LayerResult] = []
        gain, traced = 1.0, [()] * (len(self.layers) + 1)
        if record:
            # The names that each layer has; one that none has is left for the first to refuse.
            own = [recordable(layer.neuron) for layer in [*self.layers, self.readout]]
            every = {name for names in own for name in names}
            traced = [
                tuple(name for name in record if name in names or name not in every)
                for names in own
            ]
        if self.encoder is not None and isinstance(x, Tensor):
            x = without_padding(x, lengths)  # NaN would make its threshold's gradient NaN
        x, hidden_lengths = self.hold(self.encode(x)), self.hidden_lengths(lengths)
        for index, (layer, layer_state) in enumerate(zip(self.layers, state[:-1], strict=True)):
            results.append(layer(x, layer_state, hidden_lengths, traced[index], gain=gain))
            x = results[-1].emitted
            if dropout is not None:
                x, gain = dropout(index, x)
        results.append(self.readout(self.pool(x), state[-1], lengths, traced[-1], gain=gain))
        after = tuple(result.state for result in results)
        # A step of the input reaches earlier steps of the output backwards, or by a batch's
        # statistics.
        mixed = self.bidirectional
        if not mixed and len(self.layers):
            norm = self.layers[0].norm
            mixed = isinstance(norm, BatchNorm) and norm.training
        output = with_nans(results[-1].output, given, state, after, lengths, mixed)
        return Result(output, after, tuple(results))

    def encode(self, x: Tensor | Spikes) -> Tensor | Spikes:
        """The network's input after its encoder, if it has one: (B, T, inputs) -> the same
        shape."""
        if self.encoder is None:
            return x
        return self.encoder(as_dense(x, self.readout.weight_in.dtype))

    def hold(self, x: Tensor | Spikes) -> Tensor | Spikes:
        """The (encoded) input as the hidden layers see it: every step held, (B, T, N) -> (B, T *
        substeps, N)."""
        if self.substeps == 1 or not self.layers:  # the readout takes one step in any case
            return x
        if isinstance(x, Spikes) and x.carrier is None:
            return Spikes(x.words.repeat_interleave(self.substeps, 1), x.size)
        x = as_dense(x, self.readout.weight_in.dtype)
        return x.repeat_interleave(self.substeps, 1)

    def pool(self, emitted: Tensor | Spikes) -> Tensor | Spikes:
        """What the last hidden layer emitted as the readout sees it: (B, T * substeps, N) -> their
        means (B, T, N)."""
        if self.substeps == 1 or not self.layers:
            return emitted
        emitted = as_dense(emitted, self.readout.weight_in.dtype)
        parts = emitted.unflatten(1, (emitted.shape[1] // self.substeps, self.substeps)).unbind(2)
        # One after the other, as a stream adds them up: torch's own mean has no order of its own.
        return functools.reduce(operator.add, parts) / self.substeps

    def hidden_lengths(self, lengths: Tensor | None) -> Tensor | None:
        """Valid steps of the hidden layers, (B,), from those of the input."""
        if lengths is None:
            return None
        return lengths * self.substeps

    def forward(
        self,
        x: Input | PackedSequence,
        state: State | None = None,
        lengths: Lengths | None = None,
        check: bool = False,
    ) -> tuple[Tensor | PackedSequence, State]:
        """Run the network.

        Args:
            x: (B, T, inputs), (T, inputs) or packed sequences.
            state: as an earlier call returned it; None: the initial state.
            lengths: (B,) integers, the valid steps of each sequence in a padded batch; None: all.
            check: refuse an input that is not finite, and name the place. Otherwise a NaN makes the
                output of its sequence NaN, from that step on (of the whole batch, where a norm in
                training mode averages over it).

        Returns:
            The output in the form of x, and the final state.
        """
        return call(self, x, state, lengths, check)

    def freeze(self) -> FrozenNetwork:
        """A copy of the network as arrays, for everything that uses it without training it; see
        ``FrozenNetwork.require``."""
        return freeze(self)

    def fold(self) -> SRNN:
        """A copy without norm, which computes the same bits as this network after ``eval()``: the
        running statistics are folded into weights and biases. Frozen, streamed and exported
        networks are folded anyway. SrnnError if the weights to be scaled are computed by something
        else."""
        normed = [layer for layer in layers_by_name(self).values() if layer.norm is not None]
        if not all(
            isinstance(part, nn.Parameter | None)
            for one in normed
            for part in (one.weight_in, one.bias)
        ):
            raise SrnnError(
                "A norm cannot be folded into weights that weight_norm, pruning or another "
                "parametrization computes; make them permanent first (torch.nn.utils).",
                "unsupported",
                "norm",
            )
        folded = copied(self)
        for layer in layers_by_name(folded).values():
            layer.fold()
        return folded

    def extra_repr(self) -> str:
        count = sum(parameter.numel() for parameter in self.parameters())
        sizes = [self.inputs, *(layer.size for layer in self.layers), self.outputs]
        more = f", {self.substeps} substeps" if self.substeps > 1 else ""
        return f"{' -> '.join(map(str, sizes))}, {count:,} parameters{more}"

    def time_constants(self) -> dict[str, Tensor]:
        """All time constants in steps, by name ("layers.0.tau_mem", ...), each (size,),
        detached."""
        dynamics = {}
        for name, layer in layers_by_name(self).items():
            dynamics |= {
                f"{name}.{tau}": values.clone() for tau, values in layer.params.dynamics().items()
            }
        return dynamics
