"""Sound files of every format that is read, and every way in which they can be unsound."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data.datasets.audio import decode, read_audio
from srnn.errors import SrnnError
from support.sounds import sphere, tone, write_wav


def riff(
    data: bytes,
    code: int = 1,
    channels: int = 1,
    rate: int = 16000,
    bits: int = 16,
    extra: bytes = b"",
) -> bytes:
    form = (
        struct.pack(
            "<HHIIHH", code, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits
        )
        + extra
    )
    chunks = (
        b"fmt "
        + struct.pack("<I", len(form))
        + form
        + b"data"
        + struct.pack("<I", len(data))
        + data
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_wav_as_scipy_writes_it(tmp_path: Path, dtype: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    if dtype[0] == "f":
        samples = rng.uniform(-1, 1, (101, channels)).astype(dtype)
        exact = samples.astype(np.float64)
    else:
        info = np.iinfo(dtype)
        samples = rng.integers(info.min, info.max, (101, channels), dtype, endpoint=True)
        exact = (samples.astype(np.float64) - (128 if dtype == "u1" else 0)) / 2.0 ** (
            info.bits - 1
        )
    read, rate = read_audio(write_wav(tmp_path / "a.wav", samples, 12345))
    assert rate == 12345 and read.dtype == np.float32 and read.shape == (101,)
    np.testing.assert_array_equal(read, exact.astype(np.float32).mean(1, dtype=np.float32))


def test_24_bits(tmp_path: Path) -> None:
    values = np.array([0, 1, -1, 2**23 - 1, -(2**23), 12345])
    data = b"".join(int(v).to_bytes(3, "little", signed=True) for v in values)
    read, _ = read_audio(write(tmp_path / "a.wav", riff(data, bits=24)))
    np.testing.assert_array_equal(read, (values / 2**23).astype(np.float32))


def test_extensible_and_odd_chunks(tmp_path: Path) -> None:
    data = tone(0.01).tobytes()
    pcm = bytes.fromhex("0100000000001000800000aa00389b71")
    extra = struct.pack("<HHI", 22, 16, 0) + pcm
    plain, extensible = riff(data), riff(data, code=0xFFFE, extra=extra)
    odd = plain[:12] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + plain[12:]
    wanted = read_audio(write(tmp_path / "a.wav", plain))[0]
    for content in (extensible, odd):
        np.testing.assert_array_equal(read_audio(write(tmp_path / "b.wav", content))[0], wanted)


@pytest.mark.parametrize("order", ["01", "10"])
def test_sphere_is_told_by_its_content(tmp_path: Path, order: str) -> None:
    samples = tone(0.05)
    read, rate = read_audio(write(tmp_path / "SA1.WAV", sphere(samples, order=order)))
    assert rate == 16000
    np.testing.assert_array_equal(read, samples / np.float32(32768))


def test_flac(tmp_path: Path) -> None:
    samples = np.stack([tone(0.1), tone(0.1, hz=200)], axis=1)
    soundfile.write(tmp_path / "a.flac", samples, 16000)
    read, rate = read_audio(tmp_path / "a.flac")
    assert rate == 16000
    np.testing.assert_allclose(read, samples.mean(1) / 32768, atol=1e-7)
    content = (tmp_path / "a.flac").read_bytes()
    for size in (5, 60, len(content) // 2, len(content) - 3):
        with pytest.raises(SrnnError, match=r"b\.flac: the sound is (damaged|cut off)"):
            read_audio(write(tmp_path / "b.flac", content[:size]))


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.5, rate=8000), 8000)
    read, rate = read_audio(path, 16000)
    assert rate == 16000 and len(read) == 8000
    wanted = tone(0.5, rate=16000) / 32768
    assert np.corrcoef(read, wanted)[0, 1] > 0.99


def test_silence_is_sound(tmp_path: Path) -> None:
    read, _ = read_audio(write_wav(tmp_path / "a.wav", np.zeros(100, np.int16)))
    assert not read.any()


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x80000000, 0x7FFFF000])
def test_what_was_written_to_a_pipe_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    """Whoever writes there cannot go back to say how much there is."""
    samples = tone(0.01)
    whole = riff(samples.tobytes())
    place = whole.index(b"data") + 4
    piped = (
        whole[:place] + struct.pack("<I", size) + whole[place + 4 :] + b"\x01"
    )  # half a sample at the end
    assert np.array_equal(
        read_audio(write(tmp_path / "a.wav", piped))[0],
        read_audio(write(tmp_path / "b.wav", whole))[0],
    )


NAN = np.array([0, np.nan, 1], np.float32).tobytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (riff(b""), "no samples"),
        (b"hello, world", "not a sound file of a known format"),
        (riff(tone(0.01).tobytes())[:-10], "cut off"),
        (riff(tone(0.01).tobytes())[:30], "damaged"),
        (riff(tone(0.01).tobytes())[:20], "damaged"),
        (riff(b"").replace(b"data\0\0\0\0", b"data\xff\xff\xff\xff"), "no samples"),
        (riff(bytes(8), code=17, bits=4), "damaged, or of a kind that cannot be read"),
        (riff(bytes(8), channels=0), "damaged"),
        (riff(NAN, code=3, bits=32), "not finite"),
        (riff(np.float64(1e300).tobytes(), code=3, bits=64), "not finite"),
        (sphere(tone(0.01))[:-4], "cut off"),
        (sphere(tone(0.01))[:20], "damaged"),
        (
            sphere(tone(0.01), coding="pcm,embedded-shorten-v2.00"),
            "convert it to WAV, for example with sox or sph2pipe",
        ),
        (sphere(tone(0.01)).replace(b"sample_count -i ", b"sample_count -i x"), "damaged"),
    ],
)
def test_unsound_files_are_one_line_with_their_name(
    tmp_path: Path, content: bytes, words: str
) -> None:
    with pytest.raises(SrnnError, match=words) as caught:
        read_audio(write(tmp_path / "bad.wav", content))
    assert "bad.wav" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SrnnError, match=r"nothing\.wav was not found"):
        read_audio(tmp_path / "nothing.wav")


@pytest.mark.parametrize(
    "fields", [("sample_rate",), ("sample_count", "channel_count"), ("channel_count",)]
)
def test_numbers_too_long_for_any_file_are_damage(tmp_path: Path, fields: tuple[str, ...]) -> None:
    """Python reads 4,300 digits, but makes no float of them, no text of their product, and numpy no
    shape."""
    header = {"sample_count": "0", "channel_count": "1", "sample_rate": "16000"} | dict.fromkeys(
        fields, "9" * 4300
    )
    lines = "".join(f"{name} -i {value}\n" for name, value in header.items()) + "end_head\n"
    path = write(tmp_path / "a.sph", f"NIST_1A\n   16384\n{lines}".ljust(16384).encode())
    with pytest.raises(SrnnError, match="damaged"):
        read_audio(path, 8000)


@given(st.data(), st.sampled_from([riff(tone(0.002).tobytes()), sphere(tone(0.002))]))
@settings(max_examples=150)
def test_damaged_bytes_never_end_in_a_traceback(data: st.DataObject, content: bytes) -> None:
    damaged = bytearray(content[: data.draw(st.integers(0, len(content)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, min(len(damaged), 60) - 1))] = data.draw(
                st.integers(0, 255)
            )
    try:
        samples, rate = decode(bytes(damaged))
    except SrnnError:
        return
    assert samples.ndim == 2 and rate > 0
