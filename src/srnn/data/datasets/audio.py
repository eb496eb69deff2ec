"""Sound files -> mono samples: WAV, NIST SPHERE (TIMIT) and FLAC, read by soundfile.

The format is told by the file's first bytes, not by its name: TIMIT's .WAV files are SPHERE, but
many copies of them are not.
"""

from __future__ import annotations

import io
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, naming
from ...files import read_bytes

MOST_SAMPLES = 2**28
"""Samples that a recording may become by decoding, resampling or padding, if it has not that many
bytes itself."""
FASTEST = 768_000
"""Largest sampling rate (Hz) that can be resampled."""
ODDEST = 2**17
"""Largest numerator and denominator of the ratio between two rates."""
_NOT_KNOWN = 2**31 - 2**16
"""From this many bytes on, the size of the samples is a dummy, from a program that wrote to a pipe
(sox, arecord, ffmpeg): they extend to the end."""
AUDIO_SUFFIXES = (".wav", ".flac", ".sph", ".nist")
"""Suffixes, in lower case, of the sound files for which folders are searched."""
_SAME = {True: 1e-6, False: 0.01}
"""Fraction by which rates may differ and still count as equal: for sound, and for sensors, whose
clocks are not exact."""
Samples = npt.NDArray[np.float32]
_FORMATS = (b"RIFF", b"NIST", b"fLaC")
"""The first bytes of the files that are read."""


def read_audio(path: Path, rate: int | None = None) -> tuple[Samples, int]:
    """Samples of a sound file, and their number per second.

    Several channels are averaged, so that a voice in one of two channels keeps its shape and loses
    half its level.

    Args:
        path: the file.
        rate: samples per second that are wanted, to which other rates are resampled by a polyphase
            filter; None: the file's own rate.

    Returns:
        Samples (N,) float32, PCM scaled to -1..1, N >= 1; and their rate in Hz.

    Raises:
        SrnnError: the file is missing (missing), empty, truncated or of another format (file), or
            has values that are not finite (data).
    """
    samples, own_rate = read_channels(path)
    if not np.isfinite(samples).all():
        raise SrnnError(
            f"{path} contains samples that are not finite (NaN or infinity).", "data", path
        )
    mono = samples.mean(axis=1, dtype=np.float32)
    return at_rate(str(path), mono, own_rate, rate, sound=True), own_rate if rate is None else rate


def read_channels(path: Path) -> tuple[Samples, int]:
    """The samples (N >= 1, channels) of a sound file, as for ``read_audio`` but of each channel, at
    the file's rate, and perhaps not finite."""
    content = read_bytes(path, "sound")
    if not content:
        raise SrnnError(f"{path} is empty (0 bytes); get it again or remove it.", "file", path)
    with naming(path):
        samples, own_rate = decode(content)
    if len(samples) == 0:
        raise SrnnError(f"{path} contains no samples; remove it.", "data", path)
    return samples, own_rate


def at_rate(
    name: str, x: npt.NDArray[Any], own: float | None, wanted: float | None, sound: bool
) -> npt.NDArray[Any]:
    """A signal at another rate; unchanged where the rates agree, or one is not known.

    A zero-phase polyphase filter is used (``resampled``). Sound is taken to be surrounded by
    silence; other signals, which may be far from 0, continue along the line from their first to
    their last sample.

    Args:
        name: what the signal is from, with which messages begin.
        x: (samples, channels) or (samples,).
        own: its rate in Hz; None: not known.
        wanted: the rate in Hz of the result; None: as it is.
        sound: whether it is sound, whose rates agree to a millionth; a sensor's agree to 1 %.

    Returns:
        The signal, float32 if it was resampled.

    Raises:
        SrnnError: a rate cannot be resampled (unsupported, resource).
    """
    if own is None or wanted is None or math.isclose(own, wanted, rel_tol=_SAME[sound]):
        return x
    line = "line" if len(x) > 1 else "mean"  # one sample has no direction
    try:
        return resampled(x, own, wanted, "constant" if sound else line)
    except SrnnError as error:
        raise SrnnError(f"{name} {error}", error.kind, name) from error


def resampled(
    samples: npt.NDArray[Any], rate: float, wanted: float, padding: str = "constant"
) -> Samples:
    """(N, ...) samples at ``rate`` -> (ceil(N wanted / rate), ...) at ``wanted``, by a zero-phase
    polyphase filter (scipy's).

    Args:
        samples: (N, ...).
        rate: samples per second; a fraction with a denominator up to 1000.
        wanted: the same of the result.
        padding: what is assumed before and after: "constant", silence; "line", a line through the
            first and last sample; "mean", the mean of all.

    Returns:
        (ceil(N wanted / rate), ...) float32.

    Raises:
        SrnnError: a rate is above 768,000, whose filter would be as long (unsupported), or the
            result would exceed MOST_SAMPLES (resource).
    """
    from scipy.signal import resample_poly

    if max(rate, wanted) > FASTEST:
        raise SrnnError(
            f"has {rate:.12g} samples per second; at most {FASTEST} can be resampled.",
            "unsupported",
            "rate",
        )
    above, below = (Fraction(value).limit_denominator(1000) for value in (wanted, rate))
    # A rate this low counts as none.
    up, down = (above / below).as_integer_ratio() if below else (0, 1)
    if not up:
        raise SrnnError(
            f"has {rate:.12g} samples per second; the ratio to {wanted:.12g} is too large to "
            "resample; set the option rate.",
            "unsupported",
            "rate",
        )
    check_samples(
        samples.size * up // down, 4 * samples.size, f"has {rate:.12g} samples per second"
    )
    if max(up, down) > ODDEST:  # the filter has twenty times as many coefficients
        raise SrnnError(
            f"has {rate:.12g} samples per second; the ratio to {wanted:.12g} is too complex to "
            "resample; set the option rate.",
            "unsupported",
            "rate",
        )
    # With half floats the filter would be as coarse; it takes no long ones.
    if samples.dtype.char in "eg":
        samples = samples.astype(np.float64)
    with np.errstate(over="ignore"):  # what is too large for float32 is not finite
        return resample_poly(samples, up, down, axis=0, padtype=padding).astype(np.float32)


def decode(content: bytes) -> tuple[Samples, int]:
    """Samples (N, channels) and rate of a sound file's bytes. SrnnError, without its name, if it is
    not sound."""
    import soundfile

    if content[:4] not in _FORMATS:
        raise SrnnError(
            "this is not a sound file of a known format (WAV, NIST SPHERE, FLAC).", "file"
        )
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            frames, rate = file.frames, file.samplerate
            check_samples(
                frames * file.channels, len(content), f"the sound has {len(content)} bytes"
            )
            # Refused if a header promises more than there is, which libsndfile accepts: it
            # only notes it.
            if content[:4] == b"NIST":
                promised = re.search(rb"^sample_count -i (\d{1,18})$", content[:1024], re.MULTILINE)
                if promised is None:
                    raise SrnnError("the SPHERE header is damaged.", "file")
                expected, found = int(promised[1]), file.frames
            else:
                noted = re.search(
                    r"^data *: (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE
                )
                if noted:
                    expected, found = map(int, noted.groups())
                else:
                    expected, found = (0, 0)
            if found < expected < _NOT_KNOWN:
                raise SrnnError(
                    f"the sound is cut off: {expected} are announced, and {found} there.", "file"
                )
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise SrnnError(
            "the sound is damaged, or of a kind that cannot be read "
            f"({error.error_string.rstrip('.')}); get it again, or convert it to WAV, for "
            "example with sox or sph2pipe.",
            "file",
        ) from error
    if len(samples) < frames:
        raise SrnnError(
            f"the sound is cut off: expected {frames} samples, found {len(samples)}.", "file"
        )
    return np.asarray(samples, np.float32), rate


def check_samples(count: int, size: int, what: str) -> None:
    """SrnnError (resource) where bytes would expand to more than MOST_SAMPLES, and to more than 25
    samples a byte.

    Args:
        count: samples of the result.
        size: bytes of the source.
        what: the source, with which the message begins.
    """
    maximum = max(MOST_SAMPLES, 25 * size)
    if count > maximum:
        raise SrnnError(
            f"{what}, which would become {count} samples; at most {maximum} are allowed.",
            "resource",
        )
