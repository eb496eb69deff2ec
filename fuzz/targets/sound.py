"""Sound files: WAV, NIST SPHERE and FLAC."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import soundfile

from ..target import Target, write
from .shared import each


def read(data: bytes, folder: Path) -> None:
    from srnn.data.datasets.audio import read_audio
    from srnn.data.signals import ScaledPath
    from srnn.deploy.streaming.sources import open_source

    path = write(folder, "a.wav", data)
    each(
        lambda: read_audio(path, 8000),
        lambda: list(open_source(str(path), ScaledPath(1, 8000.0), 64).blocks),
    )


def wav(code: int, bits: int, channels: int, samples: bytes, rate: int = 8000) -> bytes:
    size = bits // 8 * channels
    form = struct.pack("<HHIIHH", code, channels, rate, rate * size, size, bits)
    content = (
        b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", len(samples))
        + samples
    )
    return b"RIFF" + struct.pack("<I", len(content)) + content


def seeds() -> dict[str, bytes]:
    wave = np.sin(np.arange(24) / 3)
    words = (
        "NIST_1A\n   1024\nsample_count -i 24\nsample_rate -i 8000\nchannel_count -i "
        "1\nsample_n_bytes -i 2\n"
    )
    words += "sample_byte_format -s2 01\nsample_coding -s3 pcm\nend_head\n"
    flac = io.BytesIO()
    soundfile.write(flac, np.sin(np.arange(64) / 3), 8000, format="FLAC", subtype="PCM_16")
    return {
        "pcm16": wav(1, 16, 1, (wave * 9000).astype("<i2").tobytes()),
        "pcm24": wav(1, 24, 1, bytes(range(72))),
        "float32": wav(3, 32, 1, wave.astype("<f4").tobytes()),
        "resampled": wav(1, 8, 2, bytes(range(48)), rate=11025),
        "sphere": words.encode().ljust(1024) + (wave * 9000).astype("<i2").tobytes(),
        "flac": flac.getvalue(),
    }


TARGETS = (
    Target("audio", read, seeds, words=("RIFF", "WAVE", "fmt ", "data", "NIST_1A", "end_head", "sample_count -i ", "fLaC",
                                        "\xff\xff\xff\xff", "\xfe\xff", "sample_byte_format -s2 "
                                                                        "10")),
)  # fmt: skip
