"""Sound files -> mono samples: WAV (PCM of 8 to 32 bits, floats), NIST SPHERE (TIMIT), FLAC (with the extra ``audio``).

The format is told by the file's first bytes, not by its name: TIMIT's .WAV files are SPHERE, but many copies of them are not.
"""

from __future__ import annotations

import io
import math
import os
import stat
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, naming, need
from ...files import read_bytes, reading

MOST_SAMPLES = 2**28
"""Samples that a recording may become by decoding, resampling or padding, if it has not that many bytes itself."""
FASTEST = 768_000
"""Largest sampling rate (Hz) that can be resampled."""
ODDEST = 2**17
"""Largest numerator and denominator of the ratio between two rates."""
_NOT_KNOWN = 2**31 - 2**16
"""From this many bytes on, the size of a chunk of samples is a dummy, from a program that wrote to a pipe (sox, arecord, ffmpeg):
the chunk extends to the end."""
AUDIO_SUFFIXES = (".wav", ".flac", ".sph", ".nist")
"""Suffixes, in lower case, of the sound files for which folders are searched."""
_SAME = {True: 1e-6, False: 0.01}
"""Fraction by which rates may differ and still count as equal: for sound, and for sensors, whose clocks are not exact."""
Samples = npt.NDArray[np.float32]
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


def read_audio(path: Path, rate: int | None = None) -> tuple[Samples, int]:
    """Samples of a sound file, and their number per second.

    Several channels are averaged, so that a voice in one of two channels keeps its shape and loses half its level.

    ``rate``: samples per second that are wanted; other rates are resampled by a polyphase filter; None: the file's own rate.

    Returns samples (N,) float32, PCM scaled to -1..1, N >= 1; and their rate in Hz. SrnnError for a missing, empty, truncated or
    compressed file, one of another format, and values that are not finite.
    """
    samples, own_rate = read_channels(path)
    mono = samples.mean(axis=1, dtype=np.float32)
    return at_rate(str(path), mono, own_rate, rate, sound=True), own_rate if rate is None else rate


def read_channels(path: Path) -> tuple[Samples, int]:
    """The samples (N >= 1, channels) of a sound file, as for ``read_audio`` but of each channel, at the file's rate."""
    with reading(path, "sound"):
        there = os.stat(path)
        if not stat.S_ISREG(there.st_mode):  # such as a pipe, which would block
            raise ValueError("it is not a regular file")
        if there.st_size == 0:
            raise SrnnError(f"{path} is empty (0 bytes); get it again or remove it.")
    content = read_bytes(path, "sound")
    with naming(path):
        samples, own_rate = decode(content)
    if len(samples) == 0:
        raise SrnnError(f"{path} contains no samples; remove it.")
    if not np.isfinite(samples).all():
        raise SrnnError(f"{path} contains samples that are not finite (NaN or infinity).")
    return samples, own_rate


def at_rate(name: str, x: npt.NDArray[Any], own: float | None, wanted: float | None, sound: bool) -> npt.NDArray[Any]:
    """The signal (samples, channels) at the rate ``wanted``; unchanged where the rates agree (a sensor's to 1 %), or one is
    not known.

    A zero-phase polyphase filter is used (``resampled``). Sound is taken to be surrounded by silence; other signals, which may
    be far from 0, continue along the line from their first to their last sample. SrnnError, which begins with ``name``, where a
    rate cannot be resampled.
    """
    if own is None or wanted is None or math.isclose(own, wanted, rel_tol=_SAME[sound]):
        return x
    line = "line" if len(x) > 1 else "mean"  # one sample has no direction
    try:
        return resampled(x, own, wanted, "constant" if sound else line)
    except SrnnError as error:
        raise SrnnError(f"{name} {error}") from error


def resampled(samples: npt.NDArray[Any], rate: float, wanted: float, padding: str = "constant") -> Samples:
    """(N, ...) samples at ``rate`` -> (ceil(N wanted / rate), ...) at ``wanted``, by a zero-phase polyphase filter (scipy's).

    Rates may be fractions with denominators up to 1000. ``padding``: what is assumed before and after: "constant", silence;
    "line", a line through the first and last sample; "mean", the mean of all. SrnnError for rates above 768,000, whose filter
    would be as long, and where the result would exceed MOST_SAMPLES.
    """
    from scipy.signal import resample_poly

    if max(rate, wanted) > FASTEST:
        raise SrnnError(f"has {rate:.12g} samples per second; at most {FASTEST} can be resampled.")
    above, below = (Fraction(value).limit_denominator(1000) for value in (wanted, rate))
    up, down = (above / below).as_integer_ratio() if below else (0, 1)  # a rate this low counts as none
    if not up:
        raise SrnnError(f"has {rate:.12g} samples per second; the ratio to {wanted:.12g} is too large to resample.")
    check_samples(samples.size * up // down, 4 * samples.size, f"has {rate:.12g} samples per second")
    if max(up, down) > ODDEST:  # the filter has twenty times as many coefficients
        raise SrnnError(f"has {rate:.12g} samples per second; the ratio to {wanted:.12g} is too complex to resample.")
    if samples.dtype.char in "eg":  # with half floats the filter would be as coarse; it takes no long ones
        samples = samples.astype(np.float64)
    with np.errstate(over="ignore"):  # what is too large for float32 is not finite
        return resample_poly(samples, up, down, axis=0, padtype=padding).astype(np.float32)


def decode(content: bytes) -> tuple[Samples, int]:
    """Samples (N, channels) and rate of a sound file's bytes. SrnnError, without its name, if it is not sound."""
    if content[:4] == b"RIFF":
        return decode_wav(content)
    if content[:7] == b"NIST_1A":
        return decode_sphere(content)
    if content[:4] == b"fLaC":
        return decode_flac(content)
    raise SrnnError("this is not a sound file of a known format (WAV, NIST SPHERE, FLAC).")


def decode_wav(content: bytes) -> tuple[Samples, int]:
    """Samples (N, channels) and rate of a RIFF WAVE file: PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise SrnnError("this is not a WAV file.")
    form: tuple[int, int, int, int] | None = None
    position = 12
    while position + 8 <= len(content):
        name, size = content[position : position + 4], struct.unpack_from("<I", content, position + 4)[0]
        start, position = position + 8, position + 8 + size + size % 2  # chunks begin at even offsets
        if name == b"fmt ":
            if size < 16 or start + size > len(content):
                raise SrnnError("the WAV header is damaged.")
            code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content, start)
            if code == _EXTENSIBLE and size >= 26:
                code = struct.unpack_from("<H", content, start + 24)[0]  # the sub-format begins with the code
            form = (code, channels, rate, bits)
        elif name == b"data":
            if form is None:
                raise SrnnError("the WAV header is damaged: there is no format before the samples.")
            if size >= _NOT_KNOWN and start < len(content):
                frame = max(1, form[1] * form[3] // 8)
                size = (len(content) - start) // frame * frame
            if start + size > len(content):
                raise SrnnError(
                    f"the WAV file is cut off: expected {size} bytes of samples, found {len(content) - start}."
                )
            return _pcm(content[start : start + size], *form)
    raise SrnnError("the WAV file is cut off: it ends before its samples.")


def _pcm(data: bytes, code: int, channels: int, rate: int, bits: int) -> tuple[Samples, int]:
    if channels < 1 or rate < 1:
        raise SrnnError(f"the WAV header is damaged: {channels} channels, {rate} samples per second.")
    dtype = {(_PCM, 8): "u1", (_PCM, 16): "<i2", (_PCM, 24): "u1", (_PCM, 32): "<i4",
             (_FLOAT, 32): "<f4", (_FLOAT, 64): "<f8"}.get((code, bits))  # fmt: skip
    if dtype is None:
        raise SrnnError(
            f"the WAV file has samples of format {code} with {bits} bits; only PCM of 8, 16, 24 or 32 bits and floats can "
            "be read. Convert it, for example: sox in.wav -e signed -b 16 out.wav"
        )
    if len(data) % (bits // 8 * channels):
        raise SrnnError(f"the WAV file ends within a sample ({len(data)} bytes of {bits} bits, {channels} channels).")
    raw: npt.NDArray[Any] = np.frombuffer(data, dtype)
    if code == _FLOAT:
        with np.errstate(over="ignore"):  # what is too large for float32 is refused as not finite
            return raw.astype(np.float32).reshape(-1, channels), rate
    if bits == 8:
        return ((raw.astype(np.float32) - 128) / np.float32(128)).reshape(-1, channels), rate
    if bits == 24:  # as the upper three bytes of 32 bits
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        raw, bits = wide.view("<i4")[:, 0], 32
    return (raw / np.float64(2 ** (bits - 1))).astype(np.float32).reshape(-1, channels), rate


def decode_sphere(content: bytes) -> tuple[Samples, int]:
    """Samples (N, channels) and rate of a NIST SPHERE file with PCM of 16 bits, as TIMIT's are."""
    try:
        header_bytes = int(content[8:16])
        if header_bytes < 16:
            raise ValueError("the header ends before its end mark")
        lines = content[16:header_bytes].decode("ascii", "replace").split("end_head", 1)[0].splitlines()
        fields = {parts[0]: parts[2] for line in lines if len(parts := line.split(None, 2)) == 3}
        coding = fields.get("sample_coding", "pcm")
        count, channels, rate, width = numbers = [
            int(fields.get(name, default))
            for name, default in (
                ("sample_count", ""), ("channel_count", "1"), ("sample_rate", ""), ("sample_n_bytes", "2"),
            )
        ]  # fmt: skip
        if max(numbers) >= 10**100:  # a header may have too many digits for a float or text
            raise ValueError("a number that no file can have")
    except ValueError as error:
        raise SrnnError("the SPHERE header is damaged.") from error
    if "shorten" in coding or "shortpack" in coding or "wavpack" in coding:
        raise SrnnError(
            f"the SPHERE file is compressed ({coding}); unpack it first, for example: sph2pipe -f wav in.wav out.wav"
        )
    if coding != "pcm" or width != 2:
        raise SrnnError(
            f"the SPHERE file has samples '{coding}' of {width} bytes; only PCM of 16 bits can be read. Convert it."
        )
    order = {"01": "<i2", "10": ">i2"}.get(fields.get("sample_byte_format", "01"))
    if count < 0 or channels < 1 or rate < 1 or order is None:
        raise SrnnError("the SPHERE header is damaged.")
    size = 2 * count * channels
    data = content[header_bytes : header_bytes + size]
    if len(data) < size:
        raise SrnnError(f"the SPHERE file is cut off: expected {size} bytes of samples, found {len(data)}.")
    return (np.frombuffer(data, order).astype(np.float32) / np.float32(32768)).reshape(-1, channels), rate


def decode_flac(content: bytes) -> tuple[Samples, int]:
    """Samples (N, channels) and rate of a FLAC file, by soundfile."""
    soundfile = need("soundfile", "Reading FLAC", "audio")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            promised, rate = file.frames, file.samplerate
            check_samples(promised * file.channels, len(content), f"the FLAC file has {len(content)} bytes")
            samples = np.asarray(file.read(dtype="float32", always_2d=True), np.float32)
    except (RuntimeError, ValueError, MemoryError) as error:  # soundfile's errors are RuntimeErrors
        raise SrnnError(f"the FLAC file is damaged: {error}") from error
    if len(samples) != promised:
        raise SrnnError(f"the FLAC file is cut off: expected {promised} samples, found {len(samples)}.")
    return samples, rate


def check_samples(count: int, size: int, what: str) -> None:
    """SrnnError where ``size`` bytes would expand to more than MOST_SAMPLES, and to more than 25 samples a byte."""
    maximum = max(MOST_SAMPLES, 25 * size)
    if count > maximum:
        raise SrnnError(f"{what}, which would become {count} samples; at most {maximum} are allowed.")
