"""The encoder of the C library: signal to input, sample by sample (see ``srnn.data.signals.crossing``, its model)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from ....data.signals import CrossingPath
from ....text import counted
from .arrays import Constant, Member, number, struct_dtype, struct_lines, whole_type

_RULES = {
    "difference": "spikes where a channel rises or falls by a threshold from one step to the next",
    "send_on_delta": "spikes where a channel has moved by a threshold since its last spike",
}


@dataclass(frozen=True)
class EncoderPlan(ABC):
    """What is to be written for an encoder. ``bits``: fractional bits of the network's input; None: it is float32.

    Each kind also has ``sample``, the C type of samples; ``constants``; ``operations``, the additions and multiplications of one
    step; ``header``, lines of NAME.h; ``source``, C functions; ``report``, for NAME.json.
    """

    name: str
    encoder: Any
    bits: int | None

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
    def members(self) -> list[Member]:
        """Its struct."""

    @property
    def ram_bytes(self) -> int:
        return struct_dtype(self.members).itemsize


@dataclass(frozen=True)
class CrossingPlan(EncoderPlan):
    """An encoder of level crossings."""

    encoder: CrossingPath

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
        """C type of the difference of two samples (in integers it takes 33 bits) and, if running, of sums of differences."""
        return "int64_t" if self.integer else "float"

    @property
    def table(self) -> Constant | None:
        """The smoothing's weights."""
        if not self.encoder.smoothing:
            return None
        weights = self.encoder.weights(self.integer)
        ctype = whole_type(-int(abs(weights).max()) - 1) if self.integer else "float"
        over = f", over {self.encoder.denominator}" if self.integer else ""
        what = f"smoothing: a row of {self.encoder.window} samples' weights for each place of a window{over}"
        return Constant("smoothing", ctype, weights, what)

    def constants(self) -> list[Constant]:
        return [self.table] if self.table else []

    def report(self) -> dict[str, Any]:
        encoder = self.encoder
        about = {"rule": encoder.crossing.rule, "up": encoder.crossing.up, "down": encoder.crossing.down}
        scale = {"horizon": encoder.horizon} if self.running else {"std": encoder.std}
        more = {"smoothing": encoder.smoothing, "latency_samples": encoder.late, **scale}
        return {**about, **more, "ram_bytes": self.ram_bytes}

    @property
    def members(self) -> list[Member]:
        sample, channels = self.sample, self.channels
        members: list[Member] = [(sample, "last", (self.encoder.window, channels)), (sample, "before", channels)]
        if self.running:
            members = [(self.wide, "total", channels), *members, (sample, "level", channels), (sample, "span", ())]
        else:
            members += [(sample, "up", channels), (sample, "down", channels)]
        return members + [("uint8_t", name, ()) for name in ("seen", "next", "stop", "started")]

    @property
    def operations(self) -> tuple[int, int]:
        products = self.encoder.smoothing * self.channels
        more = (4, 4) if self.running else (1, 0)  # a division counts as a multiplication
        return products + more[0] * self.channels, products + more[1] * self.channels

    @property
    def _told(self) -> str:
        """What NAME_encoder_init takes besides the encoder."""
        count = f"{self.name.upper()}_CHANNELS"
        return "" if self.running else f", const {self.sample} up[{count}], const {self.sample} down[{count}]"

    def header(self) -> list[str]:
        encoder, name, upper, ctype = self.encoder, self.name, self.name.upper(), self.sample
        adds, multiplies = self.operations
        up, down = f"{encoder.crossing.up:g}", f"{encoder.crossing.down:g}"
        lines = [
            f"/* From a signal of {counted(self.channels, 'channel')} to the network's input:",
            " *",
            f" *     {name}_encoder_init(&encoder{'' if self.running else ', up, down'});",
            f" *     {name}_encoder_push(&encoder, signal);            each sample",
            f" *     while ({name}_encode(&encoder, input))            the steps that are ready",
            f" *         {name}_step(&state, input, scores);",
            " *",
        ]
        if encoder.smoothing:
            lines += [
                f" * The signal is smoothed (Savitzky-Golay, {encoder.smoothing} samples, order 3), so a step is "
                f"{encoder.late} samples late: none is ready before {encoder.smoothing} samples are in, then "
                f"{encoder.late + 1}, then one per sample. At the end of a signal, {name}_encoder_end makes the rest ready.",
            ]
        lines += [
            f" * Level crossing: {_RULES[encoder.crossing.rule]}; none at the first step.",
            " * Each channel gives 2 inputs: rises, falls.",
            f" * {self._unit(up, down)}",
            f" * RAM {self.ram_bytes} bytes per encoder; a step takes {adds} additions and {multiplies} multiplications. */",
            f"#define {upper}_CHANNELS {self.channels}",
        ]
        if encoder.std is not None:
            pairs = zip(*encoder.thresholds(encoder.std, self.integer), strict=True)
            for side, values in zip(("UP", "DOWN"), pairs, strict=True):
                lines.append(f"#define {upper}_{side} {{{', '.join(number(value, ctype) for value in values)}}}")
        lines += [
            *struct_lines(f"{name}_encoder", self.members),
            f"void {name}_encoder_init({name}_encoder *encoder{self._told});",
            f"void {name}_encoder_push({name}_encoder *encoder, const {ctype} signal[{upper}_CHANNELS]);",
            f"int {name}_encode({name}_encoder *encoder, {name}_input spikes[{upper}_INPUTS]);",
        ]
        if encoder.smoothing:
            lines.append(f"void {name}_encoder_end({name}_encoder *encoder);")
        return [*lines, ""]

    def _unit(self, up: str, down: str) -> str:
        encoder, upper = self.encoder, self.name.upper()
        if self.running:
            clamped = f" Samples are integers, clamped to +-{encoder.limit}." if self.integer else ""
            return (
                f"Thresholds follow each channel: {up} and {down} times its mean change from a sample to the next, over all "
                f"so far, later with a time constant of {encoder.running().horizon} samples. Offset and gain do not "
                f"matter.{clamped}"
            )
        if self.integer:
            over = f" x {encoder.denominator}" if encoder.denominator > 1 else ""
            text = (
                f"{up}{over} and {down}{over} times its standard deviation, rounded up. Samples are integers in any unit, "
                f"as a converter gives them, clamped to +-{encoder.limit}; the deviation is in the same unit"
            )
        else:
            text = f"{up} and {down} times its standard deviation, in the signal's unit"
        text = f"up, down: a channel's thresholds, {text}"
        if encoder.std is None:
            return f"{text}. The network was trained on standardised channels; the mean does not matter."
        stds = ", ".join(f"{value:g}" for value in encoder.std)
        return f"{text}: {upper}_UP and {upper}_DOWN for deviations of {stds}. The mean does not matter."

    def _running(self, cast: str, zero: str) -> str:
        """C within the loop over channels: spikes for thresholds that follow the signal."""
        up, down, one = self.encoder.multiples(self.integer)
        horizon, ctype = self.encoder.running().horizon, self.sample
        rounded, move = ("encoder->total[c]", "(value - encoder->level[c])")
        if self.integer:
            rounded = f"(encoder->total[c] + {horizon // 2})"
            move = f"{one} * ({cast}value - encoder->level[c])"
        return f"""\
        const {self.wide} move = {move} * encoder->span;
        if (full)
            encoder->total[c] -= {rounded} / {number(horizon, ctype)};
        encoder->total[c] += change < {zero} ? -change : change;
        encoder->before[c] = value;
        spikes[2 * c] = move > {number(up, ctype)} * encoder->total[c] ? {self.one} : {zero};
        spikes[2 * c + 1] = -move > {number(down, ctype)} * encoder->total[c] ? {self.one} : {zero};
"""

    def source(self) -> str:
        name, upper, ctype, integer = self.name, self.name.upper(), self.sample, self.integer
        window, half = self.encoder.window, self.encoder.late
        zero = "0" if integer else "0.0f"
        cast = "(int64_t)" if integer else ""
        keep = f"encoder->{'level' if self.running else 'before'}[c] = value;"
        if self.encoder.crossing.rule == "send_on_delta":
            keep = (
                f"if (!encoder->started || spikes[2 * c] != {zero} || spikes[2 * c + 1] != {zero})\n            {keep}"
            )
        sample = "signal[c]"
        if integer and self.encoder.smoothing:
            limit = self.encoder.limit
            sample = f"signal[c] > {limit} ? {limit} : signal[c] < -{limit} ? -{limit} : signal[c]"
        adds, multiplies = self.operations
        told = """\
        encoder->up[c] = up[c];
        encoder->down[c] = down[c];
    }
"""
        if self.running:
            told = f"""\
        encoder->level[c] = {zero};
        encoder->total[c] = {zero};
    }}
    encoder->span = {zero};
"""
        head = f"""\
void {name}_encoder_init({name}_encoder *encoder{self._told})
{{
    int c;

    for (c = 0; c < {self.channels}; c++) {{
        encoder->before[c] = {zero};
{told}    encoder->seen = encoder->next = encoder->stop = encoder->started = 0;
}}

"""
        full, counted = "", ""
        crosses = f"""\
        spikes[2 * c] = change >= encoder->up[c] ? {self.one} : {zero};
        spikes[2 * c + 1] = -change >= encoder->down[c] ? {self.one} : {zero};
"""
        if self.running:
            full = f"    const int full = encoder->span >= {number(self.encoder.running().horizon, ctype)};\n"
            counted, crosses = "    if (!full)\n        encoder->span += 1;\n", self._running(cast, zero)
        crossing = f"""\
        const {self.wide} change = encoder->started ? {cast}value - encoder->before[c] : {zero};
{crosses}        {keep}
    }}
{counted}    COUNT(encoder_adds, {adds});
    COUNT(encoder_multiplies, {multiplies});
    encoder->next++;
    encoder->started = 1;
    return 1;
}}
"""
        encode = f"int {name}_encode({name}_encoder *encoder, {name}_input spikes[{upper}_INPUTS])\n{{"
        table = self.table
        if table is None:
            return f"""\
{head}void {name}_encoder_push({name}_encoder *encoder, const {ctype} signal[{upper}_CHANNELS])
{{
    int c;

    for (c = 0; c < {self.channels}; c++)
        encoder->last[0][c] = signal[c];
    encoder->next = 0;
    encoder->stop = 1;
}}

{encode}
{full}    int c;

    if (encoder->next == encoder->stop)
        return 0;
    for (c = 0; c < {self.channels}; c++) {{
        const {ctype} value = encoder->last[0][c];
{crossing}"""
        product = f"{'(int32_t)' if integer else ''}row[k] * encoder->last[k][c]"
        whole = f"encoder->last[encoder->next][c]{f' * {self.encoder.denominator}' if integer else ''}"
        return f"""\
{head}/* The window has the newest samples; steps are ready for its places from next up to, but not including, stop. */
void {name}_encoder_push({name}_encoder *encoder, const {ctype} signal[{upper}_CHANNELS])
{{
    int c, k;

    for (c = 0; c < {self.channels}; c++) {{
        for (k = 1; k < {window}; k++)
            encoder->last[k - 1][c] = encoder->last[k][c];
        encoder->last[{window - 1}][c] = {sample};
    }}
    encoder->next = encoder->seen < {window} ? 0 : {half};
    if (encoder->seen < {window})
        encoder->seen++;
    encoder->stop = encoder->seen < {window} ? 0 : {half + 1};
}}

void {name}_encoder_end({name}_encoder *encoder)
{{
    if (encoder->seen < {window} && encoder->stop < {window})
        encoder->next = (uint8_t)({window} - encoder->seen);
    encoder->stop = {window};
}}

/* A signal that ended before the window was full is not smoothed. */
{encode}
{full}    const {table.ctype} *row = smoothing + {window} * encoder->next;
    int c, k;

    if (encoder->next == encoder->stop)
        return 0;
    for (c = 0; c < {self.channels}; c++) {{
        {ctype} value = {zero};
        if (encoder->seen < {window})
            value = {whole};
        else
            for (k = 0; k < {window}; k++)
                value += {product};
{crossing}"""
