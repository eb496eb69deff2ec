"""The encoder of the C library: signal to input, sample by sample (see
``srnn.data.signals.crossing``, its model)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...data.signals import CrossingPath
from ...text import counted
from .arrays import Constant, Member, number, struct_dtype, struct_members, whole_type
from .resolve import resolved


@dataclass(frozen=True)
class EncoderPlan(ABC):
    """What is to be written for an encoder. ``bits``: fractional bits of the network's input; None:
    it is float32.

    Each kind also has ``constants``; ``declared``, the file in ``runtime/`` with its struct;
    ``report``, for NAME.json.
    """

    name: str
    encoder: Any
    bits: int | None

    declared = ""
    uses_math = False
    """Whether it calls a function of <math.h>."""
    floating = False
    """Whether it computes in float32 even for a network in integers."""

    @property
    def integer(self) -> bool:
        return self.bits is not None

    @property
    def one(self) -> str:
        """A spike, as a number of the network's input."""
        return "1.0f" if self.bits is None else str(2**self.bits)

    @property
    def ends(self) -> bool:
        """Whether NAME_encoder_end makes further steps ready."""
        return True

    @property
    @abstractmethod
    def channels(self) -> int:
        """Of the signal."""

    @property
    @abstractmethod
    def sample(self) -> str:
        """The C type of a sample."""

    @property
    @abstractmethod
    def operations(self) -> tuple[int, int]:
        """Additions and multiplications of one step."""

    @cached_property
    def members(self) -> list[Member]:
        """Its struct."""
        return struct_members(self.declaration(), f"{self.name}_encoder")

    def declaration(self) -> str:
        """Its part of NAME.h, but for the bytes that it takes."""
        return resolved(self.declared, self.name, self.configuration())

    @property
    def ram_bytes(self) -> int:
        return struct_dtype(self.members).itemsize

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """What its files in ``runtime/`` are told."""

    def base(self) -> dict[str, Any]:
        """The part that is the same for all kinds."""
        adds, multiplies = self.operations
        zero = number(0, "int32_t" if self.integer else "float")
        return {
            "CHANNELS": self.channels,
            "SAMPLE": self.sample,
            "SAMPLE_ZERO": zero,
            "SPIKE": self.one,
            "NO_SPIKE": zero,
            "ENCODER_ADDS": adds,
            "ENCODER_MULTIPLIES": multiplies,
        }


@dataclass(frozen=True)
class CrossingPlan(EncoderPlan):
    """An encoder of level crossings."""

    encoder: CrossingPath

    declared = "crossing.h"

    @property
    def ends(self) -> bool:
        return self.encoder.smoothing > 0

    @property
    def channels(self) -> int:
        return self.encoder.channels

    @property
    def running(self) -> bool:
        """Whether thresholds follow the signal; otherwise they are given."""
        return self.encoder.horizon is not None

    @property
    def sample(self) -> str:
        """C type of samples, thresholds and smoothed values."""
        return "int32_t" if self.integer else "float"

    @property
    def wide(self) -> str:
        """C type of the difference of two samples (in integers it takes 33 bits) and, if running,
        of sums of differences."""
        return "int64_t" if self.integer else "float"

    @property
    def table(self) -> Constant | None:
        """The smoothing's weights."""
        if not self.encoder.smoothing:
            return None
        weights = self.encoder.weights(self.integer)
        ctype = whole_type(-int(abs(weights).max()) - 1) if self.integer else "float"
        over = f", over {self.encoder.denominator}" if self.integer else ""
        row = f"a row of {self.encoder.window} samples' weights"
        what = f"smoothing: {row} for each place of a window{over}"
        return Constant("smoothing", ctype, weights, what)

    def constants(self) -> list[Constant]:
        if not self.table:
            return []
        return [self.table]

    def report(self) -> dict[str, Any]:
        encoder = self.encoder
        about = {
            "rule": encoder.crossing.rule,
            "up": encoder.crossing.up,
            "down": encoder.crossing.down,
        }
        scale = {"horizon": encoder.horizon} if self.running else {"std": encoder.std}
        more = {"smoothing": encoder.smoothing, "mains": list(encoder.mains), **scale}
        late = {"latency_samples": encoder.late, "ram_bytes": self.ram_bytes}
        return {**about, **more, **late}

    @property
    def operations(self) -> tuple[int, int]:
        products = self.encoder.smoothing * self.channels
        more = (4, 4) if self.running else (1, 0)  # a division counts as a multiplication
        return products + more[0] * self.channels, products + more[1] * self.channels

    def configuration(self) -> dict[str, Any]:
        encoder, window = self.encoder, self.encoder.window
        kept = "level" if self.running else "before"
        fields: dict[str, Any] = {
            **self.base(),
            "CROSSING": True,
            "CHANNELS_COUNTED": counted(self.channels, "channel"),
            "WIDE": self.wide,
            "WINDOW": window,
            "WINDOW_END": window - 1,
            "RUNNING": self.running,
            "TOLD": not self.running,
            "SMOOTHED": encoder.smoothing > 0,
            "SMOOTHING": encoder.smoothing,
            "LATE": encoder.late,
            "READY_AT_FIRST": encoder.late + 1,
            "DENOMINATOR": encoder.denominator,
            "LARGEST_SAMPLE": encoder.limit,
            "ON_DELTA": encoder.crossing.rule == "send_on_delta",
            "KEPT_VALUE": kept,
            "DEVIATIONS_KNOWN": encoder.std is not None,
            "THRESHOLDS_TOLD": self._unit(f"{encoder.crossing.up:g}", f"{encoder.crossing.down:g}"),
        }
        if self.table is not None:
            fields["SMOOTHING_TYPE"] = self.table.ctype
        if encoder.std is not None:
            pairs = zip(*encoder.thresholds(encoder.std, self.integer), strict=True)
            for side, values in zip(("UP", "DOWN"), pairs, strict=True):
                written = (number(value, self.sample) for value in values)
                fields[f"{side}_THRESHOLDS"] = ", ".join(written)
        if self.running:
            up, down, unit = encoder.multiples(self.integer)
            horizon = encoder.running().horizon
            fields |= {
                "UP": number(up, self.sample),
                "DOWN": number(down, self.sample),
                "UNIT": unit,
            }
            fields |= {"HORIZON": number(horizon, self.sample), "HALF_HORIZON": horizon // 2}
        return fields

    def _unit(self, up: str, down: str) -> str:
        encoder, upper = self.encoder, self.name.upper()
        if self.running:
            horizon = encoder.running().horizon
            text = (
                f"Thresholds follow each channel: {up} and {down} times its mean change from a "
                f"sample to the next, over all so far, later with a time constant of {horizon} "
                "samples. Offset and gain do not matter."
            )
            if self.integer:
                text += f" Samples are integers, clamped to +-{encoder.limit}."
            return text
        if self.integer:
            over = f" x {encoder.denominator}" if encoder.denominator > 1 else ""
            text = (
                f"{up}{over} and {down}{over} times its standard deviation, rounded up. Samples "
                "are integers in any unit, as a converter gives them, clamped to "
                f"+-{encoder.limit}; the deviation is in the same unit"
            )
        else:
            text = f"{up} and {down} times its standard deviation, in the signal's unit"
        text = f"up, down: a channel's thresholds, {text}"
        if encoder.std is None:
            trained = "The network was trained on standardised channels; the mean does not matter."
            return f"{text}. {trained}"
        stds = ", ".join(f"{value:g}" for value in encoder.std)
        constants = f"{upper}_UP and {upper}_DOWN for deviations of {stds}"
        return f"{text}: {constants}. The mean does not matter."
