"""Spikes as bits: what layers pass to each other, and what a binary data set passes to the first
layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from ..compiling import has_numba
from ..errors import SrnnError
from ..files.bounds import Between
from ..files.conversion import check
from ..text import brief

_UNPACKED = 1 << 14
"""Steps whose bits are unpacked at once."""

_LOOK = 64
"""Leading values that are checked first: most dense inputs that are not binary have one that is
neither 0 nor 1 among them."""

_PACKED = (
    torch.float32,
    torch.float64,
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int32,
    torch.int64,
)
"""Dtypes that compiled code packs."""


class _Unpack(torch.autograd.Function):
    """Dense spikes from bits; the gradient goes to the carrier."""

    @staticmethod
    def forward(ctx: Any, carrier: Tensor, spikes: Spikes) -> Tensor:
        """The spikes (B, T, N) of the dtype of ``carrier``."""
        return spikes._unpacked(carrier.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _Mask(torch.autograd.Function):
    """The carrier of spikes with some channels silenced: these channels receive no gradient."""

    @staticmethod
    def forward(ctx: Any, carrier: Tensor, keep: Tensor) -> Tensor:
        """Zeros of the shape of ``carrier``; ``keep`` (B, N) are the channels with a gradient."""
        ctx.save_for_backward(keep)
        return carrier.new_zeros(()).expand(carrier.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return gradients[0] * keep[:, None, :].to(gradients[0].dtype), None


def traced() -> bool:
    """Whether the caller is torch.compile, torch.export or a function of torch.func (grad, vmap,
    jvp, ...), whose tensors have no values to read."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def packed(bits: Tensor) -> Tensor:
    """The words that hold booleans (B, T, N), on the same device."""
    if not bits.shape[-1]:  # torch cannot view empty bytes as words
        return torch.zeros(bits.shape, dtype=torch.int64, device=bits.device)
    octets = F.pad(bits.to(torch.uint8), (0, -bits.shape[-1] % 64)).unflatten(-1, (-1, 8))
    places = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return (octets << places).sum(-1, dtype=torch.uint8).view(torch.int64)


def unpacked(words: Tensor, size: int) -> Tensor:
    """The bits of words; numpy unpacks faster on the CPU.

    Args:
        words: (B, T, ceil(size / 64)) int64.
        size: channels.

    Returns:
        (B, T, size) uint8 of 0 and 1, on the same device.
    """
    places = torch.arange(8, dtype=torch.uint8, device=words.device)
    octets = words.contiguous().view(torch.uint8)
    return (octets[..., None] >> places & 1).flatten(-2)[..., :size]


def _integers(places: ArrayLike) -> np.ndarray[Any, Any]:
    """Steps or channels of events as int64. SrnnError (``data``) for other numbers: times in
    seconds would all become step 0."""
    numbers = np.asarray(places)
    if numbers.size and numbers.dtype.kind not in "iu":
        message = f"Steps and channels of events must be integers, not {numbers.dtype}"
        raise SrnnError(f"{message}; count time in steps.", "data", "sequences")
    return numbers.astype(np.int64)


@dataclass(frozen=True, eq=False, repr=False)
class Spikes:
    """Binary signals of shape (B, T, N), 64 to a word: bit j % 64 of words[b, t, j // 64] is
    channel j."""

    words: Tensor
    """(B, T, ceil(N / 64)) int64; unused bits are 0."""
    size: int
    """N, the number of channels."""
    ndim: ClassVar[int] = 3
    carrier: Tensor | None = None
    """(B, T, N), the spikes' place in autograd's graph: what they were packed from, or zeros
    without memory of their own. None if no gradient is wanted."""

    def __post_init__(self) -> None:
        words = self.words
        # Not ``check``, which torch.compile could not trace.
        if not isinstance(self.size, int) or isinstance(self.size, bool) or self.size < 0:
            message = "The number of channels must be an integer of at least 0, not"
            raise SrnnError(f"{message} {brief(self.size)}.", "value", "size")
        if not isinstance(words, Tensor):
            message = f"Spikes are a tensor of words, not {type(words).__name__}"
            raise SrnnError(f"{message}; Spikes.from_dense packs them.", "data", "words")
        if words.ndim != 3 or words.dtype != torch.int64 or words.shape[2] != -(-self.size // 64):
            raise SrnnError(
                f"Spikes of {self.size} channels are (batch, time, {-(-self.size // 64)}) words of "
                f"torch.int64, not {tuple(words.shape)} of {words.dtype}; Spikes.from_dense packs "
                "them.",
                "data",
                "words",
            )
        if self.carrier is not None and self.carrier.shape != self.shape:
            message = f"The carrier of spikes {tuple(self.shape)} has a different shape"
            raise SrnnError(f"{message}, {tuple(self.carrier.shape)}.", "data", "carrier")

    @classmethod
    def from_dense(cls, x: Tensor) -> Spikes:
        """From zeros and ones (B, T, N) of any dtype. SrnnError (``data``) for other values."""
        if not isinstance(x, Tensor) or x.ndim != 3:
            if isinstance(x, Tensor):
                found = tuple(x.shape)
            else:
                found = type(x).__name__
            message = f"Spikes are made from a tensor (batch, time, channels), not {found}."
            raise SrnnError(message, "data", "x")
        spikes = cls.in_dense(x.detach())
        if spikes is None:
            message = "Spikes must be 0 or 1; this input has other values."
            raise SrnnError(message, "data", "x")
        return spikes

    @classmethod
    def in_dense(cls, x: Tensor) -> Spikes | None:
        """``from_dense``, or None where x has other values, which its first ones usually show.
        Gradients reach x."""
        first = x.detach()[:1, :1].reshape(-1)[:_LOOK]
        if not bool(((first == 0) | (first == 1)).all()):
            return None
        carrier = None
        if x.requires_grad:
            carrier = x
        if x.device.type == "cpu" and x.dtype in _PACKED and x.numel() and has_numba():
            from .packing import pack

            values = x.detach().contiguous().numpy()
            words = pack(values.view(np.uint8) if x.dtype == torch.bool else values)
            if words is None:
                return None
            return cls(torch.from_numpy(words.view(np.int64)), x.shape[2], carrier)
        bits = x.detach() != 0
        if not torch.equal(bits.to(x.dtype), x.detach()):
            return None
        return cls(packed(bits), x.shape[2], carrier)

    @classmethod
    def from_events(
        cls, sequences: Iterable[Iterable[ArrayLike]], steps: int, channels: int
    ) -> Spikes:
        """From events. Several at one step and channel count as one.

        Args:
            sequences: (step of each event, channel of each event) for every sequence, in any order:
                ``csr.nonzero()`` of a matrix.
            steps: T.
            channels: N.

        Raises:
            SrnnError: ``data``: events outside ``steps`` x ``channels``, or not integer.
        """
        steps = check("steps", steps, int, Between(0))
        channels = check("channels", channels, int, Between(0))
        try:
            batch = [(_integers(step), _integers(channel)) for step, channel in sequences]
        except (TypeError, ValueError) as error:
            message = "Events are (steps, channels) for each sequence, two lists of one length."
            raise SrnnError(message, "data", "sequences") from error
        words = np.zeros((len(batch), steps, -(-channels // 64)), np.uint64)
        for row, (t, c) in zip(words, batch, strict=True):
            if t.shape != c.shape or (
                t.size and (min(t.min(), c.min()) < 0 or t.max() >= steps or c.max() >= channels)
            ):
                message = f"Each event needs a step and a channel, within {steps} steps and"
                raise SrnnError(f"{message} {channels} channels.", "data", "sequences")
            np.bitwise_or.at(row, (t, c // 64), np.uint64(1) << (c % 64).astype(np.uint64))
        return cls(torch.from_numpy(words.view(np.int64)), channels)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((*self.words.shape[:2], self.size))

    def __repr__(self) -> str:
        return f"Spikes({tuple(self.shape)})"

    @property
    def device(self) -> torch.device:
        return self.words.device

    def __getitem__(self, index: Any) -> Spikes:
        """A part of the batch (and of time): sequences by slice, index array or mask, as for a
        tensor; detached."""
        words = self.words[index]
        if words.ndim != 3:
            message = "Index spikes so that batch and time remain, as in spikes[3:4]."
            raise SrnnError(message, "value", "index")
        return Spikes(words, self.size)

    def to(self, device: torch.device | str) -> Spikes:
        """The same spikes on another device, detached."""
        return Spikes(self.words.to(device), self.size)

    def kept(self, keep: Tensor) -> Spikes:
        """The spikes of the channels where ``keep`` (B, N) is true; the others are silenced, and
        receive no gradient."""
        mask = Spikes.from_dense(keep[:, None, :])
        if self.carrier is None:
            carrier: Any = None
        else:
            carrier = _Mask.apply(self.carrier, keep)
        return Spikes(self.words & mask.words, self.size, carrier)

    def bits(self) -> np.ndarray[Any, Any]:
        """The words for compiled code, which does not check them: (B, T, ceil(N / 64)) uint64,
        contiguous; the spikes are on the CPU.

        SrnnError (``data``) for a bit beyond the last channel.
        """
        words = self.words.contiguous().numpy().view(np.uint64)
        if self.size % 64 and words.size and int(words[..., -1].max()) >> self.size % 64:
            message = f"Spikes of {self.size} channels have bits beyond the last one"
            raise SrnnError(f"{message}; Spikes.from_dense packs them.", "data", "words")
        return words

    def counts(self) -> Tensor:
        """Spikes of each sequence and step, (B, T) int64."""
        words = np.bitwise_count(self.words.cpu().numpy().view(np.uint64))
        return torch.from_numpy(words.sum(-1, dtype=np.int64))

    def totals(self) -> Tensor:
        """Spikes of each channel over all sequences and steps, (N,) int64."""
        octets = self.words.flatten(0, 1).cpu().contiguous().numpy().view(np.uint8)
        total = np.zeros(self.size, np.int64)
        for first in range(0, len(octets), _UNPACKED):
            bits = np.unpackbits(
                octets[first : first + _UNPACKED], axis=-1, count=self.size, bitorder="little"
            )
            total += bits.sum(0, dtype=np.int64)
        return torch.from_numpy(total)

    def rate(self, lengths: Tensor | None = None) -> float:
        """Spikes per channel and (valid) step."""
        if lengths is None:
            steps = self.shape[0] * self.shape[1]
        else:
            steps = int(lengths.sum())
        return float(self.counts().sum()) / max(1, steps * self.size)

    def dense(self, dtype: torch.dtype | None = None) -> Tensor:
        """Zeros and ones (B, T, N), through which gradients reach whatever made the spikes."""
        if self.carrier is not None and dtype in (None, self.carrier.dtype):
            return _Unpack.apply(self.carrier, self)
        return self._unpacked(dtype or torch.get_default_dtype())

    def _unpacked(self, dtype: torch.dtype) -> Tensor:
        if self.words.device.type != "cpu" or traced():
            return unpacked(self.words, self.size).to(dtype)
        octets = self.words.contiguous().numpy().view(np.uint8)
        bits = np.unpackbits(octets, axis=-1, count=self.size, bitorder="little")
        return torch.from_numpy(bits).to(dtype)


def as_dense(x: Tensor | Spikes, dtype: torch.dtype | None = None) -> Tensor:
    """Inputs or emissions as a dense tensor.

    Args:
        x: (B, T, N); spikes are unpacked (``Spikes.dense``).
        dtype: of unpacked spikes; None: torch's default.

    Returns:
        (B, T, N); a dense tensor as it is.
    """
    if not isinstance(x, Spikes):
        return x
    return x.dense(dtype)
