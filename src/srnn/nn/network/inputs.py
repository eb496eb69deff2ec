"""What a network can be called with: all that ``torch.nn.LSTM(batch_first=True)`` takes, numpy
arrays, and ``Spikes``."""

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
    default, float64, says nothing about what was meant; it is copied to the network's device. A
    tensor of another float dtype is refused, as in torch, but converted under autocast, also as in
    torch. Raises SrnnError for it, and for what is not an array of numbers.

    ``packs``: a batch of zeros and ones becomes ``Spikes``, and so does a sparse tensor (COO or
    CSR) of ones; other sparse tensors become dense.
    """
    dtype, device = net.readout.weight_in.dtype, net.readout.weight_in.device
    if not isinstance(x, (Tensor, Spikes, np.ndarray)):
        raise SrnnError(
            f"The input must be a tensor, a numpy array or Spikes, not {type(x).__name__}."
        )
    # Few channels stay dense: packing them would gain nothing.
    packs = packs and device.type == "cpu" and x.shape[-1:] > (FEW_INPUTS,) and not traced()
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "biuf":
            raise SrnnError(f"The input must be an array of numbers, not of {x.dtype}.")
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
        raise SrnnError(
            f"The input is {x.dtype}, the network {dtype}; convert one of them with .to()."
        )
    packs = packs and x.ndim == 3 and x.device == device
    if (
        packs
        and x.layout == torch.sparse_coo
        and len(x)
        and not x.dense_dim()
        and not x.requires_grad
    ):
        events, (batch, steps, channels) = x.coalesce(), x.shape
        if bool((events.values() == 1).all()):
            sequence, *places = events.indices().numpy()
            ends = np.searchsorted(sequence, np.arange(1, batch))
            return Spikes.from_events(np.split(np.stack(places), ends, 1), steps, channels)
    if x.layout != torch.strided:
        x = x.to_dense()
    spikes = None
    if packs:
        spikes = Spikes.in_dense(x)
    if spikes is None:
        return x.to(dtype)
    return spikes


def checked(
    net: Any,
    x: Input,
    state: tuple[Any, ...] | None,
    lengths: Lengths | None,
    check: bool = False,
    packs: bool = False,
) -> tuple[Tensor | Spikes, Tensor | None]:
    """(input (B, T, net.inputs) as the layers read it, lengths (B,)), both as tensors; ``packs``:
    see ``as_input``.

    Raises SrnnError unless input, state (one entry per layer and the readout's) and lengths fit the
    network, and, with ``check``, for an input that is not finite.
    """
    x = as_input(net, x, packs)
    if x.ndim != 3 or x.shape[-1] != net.inputs:
        raise SrnnError(
            f"Expected an input of shape (batch, time, {net.inputs}), got {tuple(x.shape)}."
        )
    if state is not None:
        dtype = net.readout.weight_in.dtype

        def fitting(part: Tensor) -> Tensor:
            if part.dtype != dtype:
                raise SrnnError(
                    f"The state is {part.dtype}, the network {dtype}; convert one of them with "
                    ".to()."
                )
            return part

        each_part(state, fitting)  # which refuses what is not a state
        if len(state) != len(net.layers) + 1:
            raise SrnnError(
                f"The state has {len(state)} entries; this network needs {len(net.layers) + 1}."
            )
    if lengths is not None:
        lengths = _integers(lengths, x.shape[0])
        if (
            lengths.numel()
            and not traced()
            and not (int(lengths.min()) >= 0 and int(lengths.max()) <= x.shape[1])
        ):
            raise SrnnError(f"lengths must lie between 0 and the {x.shape[1]} steps of the batch.")
    if check:
        _require_finite(x, lengths)
    return x, lengths


def _integers(lengths: Lengths, batch: int) -> Tensor:
    """lengths as int64, in which no arithmetic with them overflows. SrnnError unless they are
    ``batch`` integers."""
    if not isinstance(lengths, Tensor):
        try:
            array = np.asarray(lengths)
        except (TypeError, ValueError) as error:
            raise SrnnError(
                f"lengths must be {batch} integers, not lists of different lengths."
            ) from error
        if array.dtype.kind not in "iu":
            raise SrnnError(f"lengths must be {batch} integers, got {array.dtype} {array.shape}.")
        lengths = torch.from_numpy(array.astype(np.int64))
    if (
        lengths.shape != (batch,)
        or lengths.is_floating_point()
        or lengths.is_complex()
        or lengths.dtype == torch.bool
    ):
        raise SrnnError(
            f"lengths must be {batch} integers, got {lengths.dtype} {tuple(lengths.shape)}."
        )
    return lengths.to(torch.int64)


def _require_finite(x: Tensor | Spikes, lengths: Tensor | None) -> None:
    """Raise SrnnError, naming the first place, if x (B, T, C) is not finite within its lengths
    (B,)."""
    if isinstance(x, Spikes):
        return
    wrong = ~torch.isfinite(x)
    if lengths is not None:
        wrong &= valid_steps(lengths, x.shape[1], x.device)
    if wrong.any():
        sequence, step, channel = place = wrong.nonzero()[0].tolist()
        value = float(x[tuple(place)])
        raise SrnnError(
            f"The input is not finite: sequence {sequence}, step {step}, channel {channel} is "
            f"{value}."
        )


def call(
    net: Any,
    x: Input | PackedSequence,
    state: tuple[Any, ...] | None,
    lengths: Lengths | None,
    check: bool = False,
) -> tuple[Tensor | PackedSequence, tuple[Any, ...]]:
    """Run a network on a batch, a single sequence, or packed sequences: (output, final state) in
    the same form.

    x (B, T, inputs) gives (B, T, outputs); x (T, inputs), with a state without batch axis, gives
    (T, outputs) and such a state; a PackedSequence gives one of the same sequences, and a state in
    their original order. ``lengths`` are for a batch only.
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
            raise SrnnError(
                f"Expected a sequence of shape (time, {net.inputs}), got {tuple(x.shape)}."
            )
        if state is None:
            whole = None
        else:
            whole = each_part(state, lambda part: part[None])
        result = net.run(x[None], whole, check=check)
        return result.output[0], each_part(result.state, lambda part: part[0])
    result = net.run(x, state, lengths=lengths, check=check)
    return result.output, result.state


def _no_lengths(lengths: Lengths | None, why: str) -> None:
    if lengths is not None:
        raise SrnnError(f"{why}; lengths are for a padded batch (batch, time, inputs).")


def each_part(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A network's state (nested tuples of tensors) with every tensor changed, in tuples of the same
    types. SrnnError for a state that holds anything else."""
    if isinstance(state, Tensor):
        return change(state)
    if not isinstance(state, (tuple, list)):
        raise SrnnError(
            "A state must be tuples of tensors, as the network returns it, not "
            f"{type(state).__name__}."
        )
    parts = [each_part(part, change) for part in state]
    return getattr(state, "_make", tuple)(parts)
