"""Inputs of a network: all that ``torch.nn.LSTM(batch_first=True)`` takes, numpy arrays, and
``Spikes``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ...data.spikes import Spikes, traced
from ...errors import SrnnError
from ..kernels.problem import FEW_INPUTS, is_autocast, valid_steps

Array = np.ndarray[Any, Any]
Input = Tensor | Spikes | Array
Lengths = Tensor | Array | Sequence[int]

_TORCH = ("bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64")
"""Numpy's dtypes that torch can calculate with."""


def uncompiled(network: Any) -> Any:
    """The network itself, without the wrapper that ``torch.compile`` may have put around it."""
    return getattr(network, "_orig_mod", network)


def as_input(net: Any, x: Input, packs: bool = False) -> Tensor | Spikes:
    """An input as a tensor of the network's dtype, or as ``Spikes``.

    Booleans and integers are converted, spikes becoming 0.0 and 1.0. So is every numpy array, whose
    float64 is only a default; it is copied to the network's device. A tensor of another float dtype
    is refused, as in torch, but converted under autocast, also as in torch.

    Args:
        net: the network.
        x: of any shape.
        packs: whether a batch of zeros and ones becomes ``Spikes``, and a sparse tensor (COO or
            CSR) of ones, too; other sparse tensors become dense.

    Returns:
        The input, of the same shape.

    Raises:
        SrnnError: ``value`` for anything but an array, ``data`` for one of another dtype.
    """
    dtype, device = net.readout.weight_in.dtype, net.readout.weight_in.device
    if not isinstance(x, (Tensor, Spikes, np.ndarray)):
        message = f"The input must be a tensor, a numpy array or Spikes, not {type(x).__name__}."
        raise SrnnError(message, "value", "x")
    # Few channels stay dense: packing them would gain nothing.
    packs = packs and device.type == "cpu" and x.shape[-1:] > (FEW_INPUTS,) and not traced()
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "biuf":
            message = f"The input must be an array of numbers, not of {x.dtype}."
            raise SrnnError(message, "data", "x")
        if packs and x.ndim == 3 and x.dtype.isnative and x.dtype.name in _TORCH:
            spikes = Spikes.in_dense(torch.from_numpy(np.require(x, requirements=("C", "W"))))
            if spikes is not None:
                return spikes
        copy = x.astype(np.float64 if dtype == torch.float64 else np.float32, subok=False)
        return torch.from_numpy(copy).to(device, dtype)
    if isinstance(x, Spikes):
        return x
    cast = x.is_floating_point() and x.dtype != torch.float64 and is_autocast(device)
    if (x.is_floating_point() or x.is_complex()) and x.dtype != dtype and not cast:
        message = f"The input is {x.dtype}, the network {dtype}; convert one of them with .to()."
        raise SrnnError(message, "data", "x")
    packs = packs and x.ndim == 3 and x.device == device
    sparse = packs and x.layout == torch.sparse_coo and not x.requires_grad and not x.dense_dim()
    if sparse and len(x):
        events, (batch, steps, channels) = x.coalesce(), x.shape
        if bool((events.values() == 1).all()):
            sequence, *places = events.indices().numpy()
            ends = np.searchsorted(sequence, np.arange(1, batch))
            return Spikes.from_events(np.split(np.stack(places), ends, 1), steps, channels)
    if x.layout != torch.strided:
        x = x.to_dense()
    spikes = Spikes.in_dense(x) if packs else None
    return x.to(dtype) if spikes is None else spikes


def checked(
    net: Any,
    x: Input,
    state: tuple[Any, ...] | None,
    lengths: Lengths | None,
    check: bool = False,
    packs: bool = False,
) -> tuple[Tensor | Spikes, Tensor | None]:
    """The arguments of a run, checked.

    Args:
        net: the network.
        x: (B, T, net.inputs).
        state: one entry per layer and the readout's; None: the initial one.
        lengths: (B,) valid steps; None: all.
        check: whether to refuse an input that is not finite.
        packs: see ``as_input``.

    Returns:
        The input as the layers read it, and the lengths, int64.

    Raises:
        SrnnError: ``data``, unless all fit the network.
    """
    x = as_input(net, x, packs)
    if x.ndim != 3 or x.shape[-1] != net.inputs:
        message = f"Expected an input of shape (batch, time, {net.inputs}), got {tuple(x.shape)}."
        raise SrnnError(message, "data", "x")
    if state is not None:
        dtype = net.readout.weight_in.dtype

        def fitting(part: Tensor) -> Tensor:
            if part.dtype != dtype:
                message = f"The state is {part.dtype}, the network {dtype}"
                raise SrnnError(f"{message}; convert one of them with .to().", "data", "state")
            return part

        each_part(state, fitting)  # which refuses what is not a state
        if len(state) != len(net.layers) + 1:
            needed = len(net.layers) + 1
            message = f"The state has {len(state)} entries; this network needs {needed}."
            raise SrnnError(message, "data", "state")
    if lengths is not None:
        lengths = _integers(lengths, x.shape[0])
        if lengths.numel() and not traced():
            steps = x.shape[1]
            if int(lengths.min()) < 0 or int(lengths.max()) > steps:
                message = f"lengths must lie between 0 and the {steps} steps of the batch."
                raise SrnnError(message, "data", "lengths")
    if check and isinstance(x, Tensor):
        wrong = ~torch.isfinite(x)
        if lengths is not None:
            wrong &= valid_steps(lengths, x.shape[1], x.device)
        if wrong.any():
            sequence, step, channel = place = wrong.nonzero()[0].tolist()
            where = f"sequence {sequence}, step {step}, channel {channel}"
            message = f"The input is not finite: {where} is {float(x[tuple(place)])}."
            raise SrnnError(message, "data", "x")
    return x, lengths


def _integers(lengths: Lengths, batch: int) -> Tensor:
    """lengths as int64, in which no arithmetic with them overflows. SrnnError unless they are
    ``batch`` integers."""
    needed = f"lengths must be {batch} integers"
    if not isinstance(lengths, Tensor):
        try:
            array = np.asarray(lengths)
        except (TypeError, ValueError) as error:
            message = f"{needed}, not lists of different lengths."
            raise SrnnError(message, "data", "lengths") from error
        if array.dtype.kind not in "iu":
            raise SrnnError(f"{needed}, got {array.dtype} {array.shape}.", "data", "lengths")
        lengths = torch.from_numpy(array.astype(np.int64))
    whole = not lengths.is_floating_point() and not lengths.is_complex()
    if lengths.shape != (batch,) or not whole or lengths.dtype == torch.bool:
        message = f"{needed}, got {lengths.dtype} {tuple(lengths.shape)}."
        raise SrnnError(message, "data", "lengths")
    return lengths.to(torch.int64)


def call(
    net: Any,
    x: Input | PackedSequence,
    state: tuple[Any, ...] | None,
    lengths: Lengths | None,
    check: bool = False,
) -> tuple[Tensor | PackedSequence, tuple[Any, ...]]:
    """Run a network on a batch, a single sequence, or packed sequences.

    Args:
        net: the network.
        x: (B, T, inputs), (T, inputs), or a PackedSequence.
        state: before the first step, for (T, inputs) without a batch axis; None: the initial one.
        lengths: (B,) valid steps, of a batch only; None: all.
        check: whether to refuse an input that is not finite.

    Returns:
        The output in the form of x, and the final state; that of packed sequences is in their
        original order.

    Raises:
        SrnnError: ``data``, for arguments that do not fit the network; ``conflict``, for lengths
            that are not of a batch.
    """
    if isinstance(x, PackedSequence):
        _no_lengths(lengths, "Packed sequences have lengths of their own")
        padded, steps = pad_packed_sequence(x, batch_first=True)
        result = net.run(padded, state, lengths=steps, check=check)
        output, order = result.output, x.sorted_indices
        if order is not None:
            output, steps = output[order], steps[order.cpu()]
        data = pack_padded_sequence(output, steps, batch_first=True).data
        return PackedSequence(data, x.batch_sizes, order, x.unsorted_indices), result.state
    if not isinstance(x, Spikes) and getattr(x, "ndim", 0) == 2:
        _no_lengths(lengths, "A single sequence has no padding")
        x = as_input(net, x)
        if x.shape[-1] != net.inputs:
            message = f"Expected a sequence of shape (time, {net.inputs}), got {tuple(x.shape)}."
            raise SrnnError(message, "data", "x")
        whole = None if state is None else each_part(state, lambda part: part[None])
        result = net.run(x[None], whole, check=check)
        return result.output[0], each_part(result.state, lambda part: part[0])
    result = net.run(x, state, lengths=lengths, check=check)
    return result.output, result.state


def _no_lengths(lengths: Lengths | None, why: str) -> None:
    if lengths is not None:
        message = f"{why}; lengths are for a padded batch (batch, time, inputs)."
        raise SrnnError(message, "conflict", "lengths")


def each_part(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A network's state with every tensor changed.

    Args:
        state: nested tuples of tensors.
        change: makes the new tensor from the old one.

    Returns:
        Tuples of the same types.

    Raises:
        SrnnError: ``value``, for a state that holds anything else.
    """
    if isinstance(state, Tensor):
        return change(state)
    if not isinstance(state, (tuple, list)):
        kind = type(state).__name__
        message = f"A state must be tuples of tensors, as the network returns it, not {kind}."
        raise SrnnError(message, "value", "state")
    parts = [each_part(part, change) for part in state]
    return getattr(state, "_make", tuple)(parts)
