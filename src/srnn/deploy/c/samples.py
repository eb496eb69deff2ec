"""What a sample is to the C library: its channels with their units, and how they become the inputs
of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...data.encoders.speech import Statistics
from ...data.signals import ScaledPath, SignalPath
from ...data.units import spellings
from ...errors import SrnnError, option
from ...nn.fixedpoint.integer import InputFormat
from ...nn.fixedpoint.sensor import SensorFormat
from .arrays import number
from .names import c_string, one_comment


@dataclass(frozen=True)
class SamplesPlan:
    """The samples that a library takes. Without an encoder one makes one step: channels are scaled,
    or taken as they are.
    """

    name: str
    path: SignalPath | None
    """None: not known, so that a sample is the input of a step."""
    channels: int
    input: str
    """The C type of the network's input."""
    inputs_as: InputFormat | None
    """The format of the network's input in integers; None: it is float32."""
    counts: Sequence[float] | None = None
    """In integers: what 1 in a channel's unit is as a sample; None: chosen here."""

    def __post_init__(self) -> None:
        if self.counts is not None and self.format is None:
            raise SrnnError(
                f"{option('counts')} is for int8 networks whose channels were scaled in training.",
                "conflict",
                "counts",
            )

    @property
    def statistics(self) -> Statistics | None:
        """By which the channels are scaled; None: they are not."""
        return self.path.statistics if isinstance(self.path, ScaledPath) else None

    @property
    def pool(self) -> int:
        """Samples of which the mean is one step."""
        return self.path.pool if isinstance(self.path, ScaledPath) else 1

    @cached_property
    def format(self) -> SensorFormat | None:
        """How channels are scaled in integers; None: they are not."""
        if self.statistics is None or self.inputs_as is None:
            return None
        mean, std = self.statistics[:2]
        return SensorFormat.of(mean, std, self.inputs_as, self.counts, self.pool)

    @property
    def sample(self) -> str:
        """The C type of a sample."""
        if self.format is not None:
            return "int32_t"
        return self.input

    @property
    def multiplied(self) -> list[float] | None:
        """What 1 in a channel's unit is as a sample, which is rounded; None: samples are values."""
        if self.format is not None:
            return [float(count) for count in self.format.counts]
        if self.inputs_as is not None and self.inputs_as.bits:
            return [float(2**self.inputs_as.bits)] * self.channels
        return None

    def names_in_c(self) -> dict[str, Any]:
        """What the program is told that finds channels by their names."""
        names, units = (getattr(self.path, what, None) for what in ("names", "units"))
        if names is None:
            return {"NAMED": False}
        ways = [
            "".join(f"{way}\n" for way in spellings(unit)) if unit else ""
            for unit in units or [""] * len(names)
        ]
        return {
            "NAMED": True,
            "CHANNEL_NAMES": ", ".join(map(c_string, names)),
            "CHANNEL_UNITS": ", ".join(map(c_string, ways)),
        }

    def configuration(self) -> dict[str, Any]:
        """What ``samples.h`` is told, and all who push samples."""
        lines = self._lines()
        fields = {
            "CHANNELS": self.channels,
            "SAMPLE": self.sample if self.statistics else f"{self.name}_input",
            "CONVERTS": self.statistics is not None,
            "POOLED": self.pool > 1,
            "POOL": self.pool,
            "POOLED_SUM": "float" if self.format is None else "int64_t",
            "SUMS_OR_MEANS": "means" if self.format is None else "sums",
            "LISTED": bool(lines),
            "CHANNELS_LISTED": "\n".join(f" *     {line}" for line in lines),
        }
        if self.format is not None:
            return fields | {
                "FACTORS": _listed(self.format.factors, "int32_t"),
                "OFFSETS": _listed(self.format.offsets, "int64_t"),
                "SHIFTS": _listed(self.format.shifts, "uint8_t"),
                "INPUT_BOUND": self.format.bound,
            }
        if self.statistics is not None:
            means, deviations = (_listed(part, "float") for part in self.statistics[:2])
            return fields | {"MEANS": means, "DEVIATIONS": deviations}
        return fields

    def _lines(self) -> list[str]:
        """What is known of each channel; nothing where that is nothing of any."""
        names, units = (getattr(self.path, what, None) for what in ("names", "units"))
        if names is None and units is None and self.statistics is None:
            return []
        lines = []
        for channel in range(self.channels):
            line = f"{channel}  {names[channel]}" if names else f"{channel}"
            if units and units[channel]:
                line += f" in {units[channel]}"
            if self.format is not None:
                line += f", times {float(self.format.counts[channel]):.10g}, rounded"
            if self.statistics is not None:
                mean, std = (part[channel] for part in self.statistics[:2])
                line += f"; mean {mean:g}, deviation {std:g}"
            lines.append(one_comment(line))
        if self.pool > 1:
            lines.append(f"The mean of {self.pool} samples is the input of a step.")
        return lines


def _listed(values: Any, ctype: str) -> str:
    return ", ".join(number(value, ctype) for value in values)
