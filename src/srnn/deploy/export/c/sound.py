"""The front end of a sound network in C: 16-bit samples -> log-mel features and derivatives, as ``SpeechPath`` streams them.

A frame is Hann-weighted; its Fourier transform is that of half as many complex numbers (``fourier``). One table of cosines serves
for everything: the window, the turns of the transform, and sines, a quarter further on.
All of it is float32, in a struct of fixed size; the logarithm is <math.h>'s. Python sums in another order, so energies differ by
rounding; both round log energies to float16, as training did, so nearly all features are equal but for the rounding of their
scale (tests/deploy/test_export_c_sound.py states how many).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ....data.encoders.derivatives import WIDTH, smoothed_derivatives
from ....data.encoders.mel import FLOOR, LogMel, mel_filters
from ....data.encoders.speech import MIN_SAMPLES_MS
from ....data.encoders.streaming_speech import check_streamable
from ....data.signals import SpeechPath
from .arrays import Constant, Member, number, rounding, struct_lines, whole_type
from .encoder import EncoderPlan
from .fourier import loading, primes, transform


@dataclass(frozen=True)
class SoundPlan(EncoderPlan):
    """An encoder of log-mel features."""

    encoder: SpeechPath

    uses_math = True
    floating = True

    @property
    def sample(self) -> str:
        return "int16_t"

    @property
    def front(self) -> LogMel:
        return check_streamable(self.encoder.features)

    @property
    def order(self) -> int:
        return self.encoder.features.derivatives

    @property
    def width(self) -> int:
        """Frames that a step is made of."""
        return WIDTH if self.order else 1

    @property
    def points(self) -> int:
        """Complex numbers that are transformed."""
        return self.front.window // 2

    @cached_property
    def factors(self) -> list[int]:
        return primes(self.points)

    @cached_property
    def bands(self) -> tuple[int, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """(first frequency, the lower band of each frequency from there on, (frequencies, 2) what it adds to that band and the
        next): a frequency lies in at most two."""
        front = self.front
        weights = mel_filters(front.rate, front.window, front.mels, front.low, front.high)[:, : self.points].T
        heard = np.flatnonzero(weights.any(1))
        first, weights = int(heard[0]), weights[heard[0] : heard[-1] + 1]
        lower = (weights != 0).argmax(1)
        both = np.stack([row[[at, min(at + 1, front.mels - 1)]] for row, at in zip(weights, lower, strict=True)])
        both[lower == front.mels - 1, 1] = 0
        return first, lower, both

    @property
    def late(self) -> int:
        return self.encoder.stream().latency

    def constants(self) -> list[Constant]:
        front, statistics = self.front, self.encoder.statistics
        assert statistics is not None
        _, lower, both = self.bands
        index = whole_type(self.points - 1)
        turns = np.cos(2 * np.pi * np.arange(front.window) / front.window)
        tables = [
            Constant("cosines", "float", turns, f"a turn of a circle in {front.window} parts"),
            Constant("loaded", index, loading(self.factors), "where each number lies before its transform"),
            Constant("factors", index, np.array(self.factors), "of the transform"),
            Constant("band", whole_type(front.mels - 1), lower, "the lower band of a frequency"),
            Constant("in_band", "float", both, "what a frequency's power adds to that band, and to the next"),
            Constant("feature_mean", "float", statistics.mean, "of the training set"),
            Constant("feature_std", "float", statistics.std, "of the training set"),
        ]
        if self.order:
            # The k-th derivative of a polynomial of degree k is the same all over a window.
            rows = smoothed_derivatives(np.eye(WIDTH, dtype=np.float32), self.order)[WIDTH // 2, WIDTH:]
            tables.append(Constant("slopes", "float", rows, f"a row of {WIDTH} frames' weights for each derivative"))
        return tables

    @property
    def members(self) -> list[Member]:
        window, mels = self.front.window, self.front.mels
        arrays = [("float", "frames", self.width * mels), ("float", "re", self.points), ("float", "im", self.points)]
        counts = [("int16_t", "at", ()), ("uint16_t", "have", ()), ("uint16_t", "count", ())]
        places = [("uint8_t", name, ()) for name in ("seen", "next", "stop", "ended")]
        return [*arrays, ("int16_t", "sound", window), *counts, *places]

    @property
    def operations(self) -> tuple[int, int]:
        """Those of one step; a division counts as a multiplication, logarithms are not counted."""
        front, channels = self.front, self.encoder.inputs
        adds, multiplies = front.window, 2 * front.window
        for p in self.factors:
            pairs = p // 2
            turned, combined = 2 * (p - 1), 4 * pairs * pairs if p > 2 else 0
            adds += self.points // p * (turned + 4 * pairs + (2 * pairs + combined + 4 * pairs if p > 2 else 0))
            multiplies += self.points // p * (2 * turned + combined)
        heard = len(self.bands[1])
        adds, multiplies = adds + 11 * heard + front.mels, multiplies + 8 * heard
        products = WIDTH * (channels - front.mels)
        return adds + products + channels, multiplies + products + channels

    def report(self) -> dict[str, Any]:
        about = {name: getattr(self.front, name) for name in ("rate", "window", "hop", "mels")}
        return {
            "features": "log_mel",
            **about,
            "low_hz": self.front.low,
            "high_hz": self.front.high,
            "derivatives": self.order,
            "latency_samples": self.late,
            "ram_bytes": self.ram_bytes,
        }

    def header(self) -> list[str]:
        name, upper, front = self.name, self.name.upper(), self.front
        adds, multiplies = self.operations
        derivatives = f" and their first {self.order} derivatives over time" if self.order else ""
        return [
            f"/* From sound of 16 bits at {front.rate} Hz to the network's input:",
            " *",
            f" *     {name}_encoder_init(&encoder);",
            f" *     {name}_encoder_push(&encoder, signal);            each sample",
            f" *     while ({name}_encode(&encoder, input))            the steps that are ready",
            f" *         {name}_step(&state, input, scores);",
            " *",
            f" * Log energies of {front.mels} mel bands from {front.low:g} to {front.high:g} Hz, of frames of {front.window} "
            f"samples, {front.hop} apart{derivatives}, scaled by the training set's means and deviations. A step is "
            f"{self.late} samples late, from the middle of its frame. At the end of a sound, {name}_encoder_end makes the rest "
            "ready.",
            f" * Call {name}_encode after each sample, as here: most calls return 0 at once, one in {front.hop} does "
            "the work of a frame. A sample that is pushed into a full frame, before that call, is dropped. Sound that arrives "
            "while a frame and its step are computed belongs in a ring buffer of your own, which an interrupt or DMA fills and "
            f"from which you push; {name}_encoder_push itself must not interrupt {name}_encode.",
            f" * Arithmetic: float32. RAM {self.ram_bytes} bytes per encoder; a step takes {adds} additions, {multiplies} "
            f"multiplications and {front.mels} logarithms. */",
            f"#define {upper}_CHANNELS 1",
            f"#define {upper}_RATE {front.rate}",
            *struct_lines(f"{name}_encoder", self.members),
            f"void {name}_encoder_init({name}_encoder *encoder);",
            f"void {name}_encoder_push({name}_encoder *encoder, const int16_t signal[{upper}_CHANNELS]);",
            f"int {name}_encode({name}_encoder *encoder, {name}_input input[{upper}_INPUTS]);",
            f"void {name}_encoder_end({name}_encoder *encoder);",
            "",
        ]

    def source(self) -> str:
        name, upper, front = self.name, self.name.upper(), self.front
        window, half, hop, mels, points = front.window, front.window // 2, front.hop, front.mels, self.points
        first, lower, _ = self.bands
        minimum, middle = front.rate * MIN_SAMPLES_MS // 1000, self.width // 2
        adds, multiplies = self.operations
        return f"""\
{transform(points)}
{_HALF}
/* Beyond its ends the sound is mirrored. Hann's window, times 2^-16: a half for the transform, and 2^15 is full scale. */
static float weighted(const {name}_encoder *encoder, int place)
{{
    int i = encoder->at + place;

    if (i < 0)
        i = -i;
    else if (i >= encoder->have)
        i = 2 * (encoder->have - 1) - i;
    return (float)encoder->sound[i] * ({2.0**-17!r}f - {2.0**-17!r}f * cosines[place]);
}}

/* Log energies of the bands of the frame that begins at sample encoder->at. */
static void analyse({name}_encoder *encoder, float *frame)
{{
    float energy[{mels + 1}];
    float *const re = encoder->re, *const im = encoder->im;
    int i;

    for (i = 0; i < {points}; i++) {{
        re[i] = weighted(encoder, 2 * loaded[i]);
        im[i] = weighted(encoder, 2 * loaded[i] + 1);
    }}
    transform(re, im);
    for (i = 0; i <= {mels}; i++)
        energy[i] = 0.0f;
    for (i = 0; i < {len(lower)}; i++) {{ /* the spectrum of even and odd samples, put together */
        const int k = {first} + i, m = {points - first} - i;
        const float c = cosines[k], s = cosines[k + {3 * window // 4} < {window} ? k + {3 * window // 4} : k - {window // 4}];
        const float odd_re = im[k] + im[m], odd_im = re[m] - re[k];
        const float x = re[k] + re[m] + (odd_re * c + odd_im * s), y = im[k] - im[m] + (odd_im * c - odd_re * s);
        const float power = x * x + y * y;
        energy[band[i]] += in_band[2 * i] * power;
        energy[band[i] + 1] += in_band[2 * i + 1] * power;
    }}
    for (i = 0; i < {mels}; i++)
        frame[i] = half(logf(energy[i] + {number(FLOOR, "float")}));
}}

void {name}_encoder_init({name}_encoder *encoder)
{{
    encoder->at = {-half};
    encoder->have = encoder->count = 0;
    encoder->seen = encoder->next = encoder->stop = encoder->ended = 0;
}}

void {name}_encoder_push({name}_encoder *encoder, const int16_t signal[{upper}_CHANNELS])
{{
    if (encoder->have == {window} || encoder->ended)
        return;
    encoder->sound[encoder->have++] = signal[0];
    if (encoder->count < {minimum})
        encoder->count++;
}}

void {name}_encoder_end({name}_encoder *encoder)
{{
    if (encoder->count && !encoder->ended)
        encoder->ended = 1;
}}

/* Makes frames until a step is ready; 0 if none is. Short sound continues as silence until there are {minimum} samples. */
static int ready({name}_encoder *encoder)
{{
    int i;

    while (encoder->next == encoder->stop) {{
        const int end = encoder->at + {window}, needed = end > {half} ? end : {half + 1};

        for (; encoder->ended && encoder->count < {minimum} && encoder->have < needed; encoder->count++)
            encoder->sound[encoder->have++] = 0;
        if (encoder->have < needed && (!encoder->ended || end > encoder->have + {half})) {{
            if (encoder->ended != 1)
                return 0;
            encoder->ended = 2; /* the last frames, which no more follow in their window */
            encoder->next = {middle + 1};
            encoder->stop = {self.width};
            continue;
        }}
        for (i = 0; i < {(self.width - 1) * mels}; i++)
            encoder->frames[i] = encoder->frames[i + {mels}];
        analyse(encoder, encoder->frames + {(self.width - 1) * mels});
        encoder->at = (int16_t)(encoder->at + {hop});
        if (encoder->at > 0 && encoder->have >= needed) {{
            for (i = encoder->at; i < encoder->have; i++)
                encoder->sound[i - encoder->at] = encoder->sound[i];
            encoder->have = (uint16_t)(encoder->have - encoder->at);
            encoder->at = 0;
        }}
        encoder->next = encoder->seen < {self.width} ? 0 : {middle};
        if (encoder->seen < {self.width})
            encoder->seen++;
        encoder->stop = encoder->seen < {self.width} ? 0 : {middle + 1};
    }}
    return 1;
}}

{self._put()}
int {name}_encode({name}_encoder *encoder, {name}_input input[{upper}_INPUTS])
{{
    const float *frame;
    int c{", d, k" if self.order else ""};

    if (!ready(encoder))
        return 0;
    frame = encoder->frames + encoder->next * {mels};
    for (c = 0; c < {mels}; c++) {{
        input[c] = scaled(frame[c], c);
{self._derivatives()}    }}
    COUNT(encoder_adds, {adds});
    COUNT(encoder_multiplies, {multiplies});
    encoder->next++;
    return 1;
}}
"""

    def _derivatives(self) -> str:
        if not self.order:
            return ""
        mels = self.front.mels
        return f"""\
        for (d = 1; d <= {self.order}; d++) {{
            float sum = 0.0f;
            for (k = 0; k < {WIDTH}; k++)
                sum += slopes[{WIDTH} * (d - 1) + k] * encoder->frames[{mels} * k + c];
            input[{mels} * d + c] = scaled(sum, {mels} * d + c);
        }}
"""

    def _put(self) -> str:
        """The C function that turns a feature into an input."""
        head = f"static {self.name}_input scaled(float feature, int c)\n{{\n"
        value = "    const float x = (feature - feature_mean[c]) / feature_std[c];\n"
        threshold = self.encoder.ternary
        if threshold is not None:
            bound, one, zero = number(threshold, "float"), self.one, "0" if self.integer else "0.0f"
            return f"{head}{value}\n    return x > {bound} ? {one} : x < -{bound} ? -{one} : {zero};\n}}\n"
        if self.bits is None:
            return f"{head}    return (feature - feature_mean[c]) / feature_std[c];\n}}\n"
        scaling = f"    const float x = {2.0**self.bits!r}f * ((feature - feature_mean[c]) / feature_std[c]);\n"
        return f"/* Rounded half to even, and clamped to the range. */\n{head}{scaling}{rounding('float')}"


_HALF = """\
/* Rounded to the 11 bits of a float16 (half to even), as the features were in training. */
static float half(float x)
{
    union { float number; uint32_t bits; } both;

    both.number = x;
    both.bits += 0xfffu + ((both.bits >> 13) & 1u);
    both.bits &= ~(uint32_t)0x1fff;
    return both.number;
}
"""
