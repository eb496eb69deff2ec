"""Sounds that tests make: tones, and the files they lie in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt


def tone(
    seconds: float = 1.0, rate: int = 16000, hz: float = 440.0, seed: int = 0
) -> npt.NDArray[np.int16]:
    """A tone that swells, with a little noise: (samples,)."""
    time = np.arange(round(seconds * rate)) / rate
    swell = 0.2 + 0.6 * np.sin(np.pi * np.arange(len(time)) / max(len(time), 1)) ** 2
    noise = np.random.default_rng(seed).normal(0, 0.02, len(time))
    return (32000 * np.clip(swell * np.sin(2 * np.pi * hz * time) + noise, -1, 1)).astype(np.int16)


def write_wav(path: Path, samples: npt.NDArray[np.generic], rate: int = 16000) -> Path:
    from scipy.io import wavfile

    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, samples)
    return path


def sphere(
    samples: npt.NDArray[np.int16], rate: int = 16000, coding: str = "pcm", order: str = "01"
) -> bytes:
    """A NIST SPHERE file, as TIMIT's are."""
    header = (
        "NIST_1A\n   1024\ndatabase_id -s5 TIMIT\nsample_coding -s3 " + coding + "\n"
        f"channel_count -i 1\nsample_count -i {len(samples)}\nsample_rate -i "
        f"{rate}\nsample_n_bytes -i 2\n"
        f"sample_byte_format -s2 {order}\nsample_sig_bits -i 16\nend_head\n"
    )
    return header.encode().ljust(1024) + samples.astype("<i2" if order == "01" else ">i2").tobytes()
