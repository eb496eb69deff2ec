"""Sound, tables and signals as someone else may have made them: small files that would take memory
or time, or wait for ever."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn import SrnnError
from srnn.data import tables
from srnn.data.datasets import files
from srnn.data.datasets.audio import FASTEST, MOST_SAMPLES, ODDEST, decode, read_audio, resampled
from srnn.data.datasets.base import check_padding
from srnn.data.datasets.files import list_items
from srnn.data.datasets.timit import read_phones
from srnn.data.signals import ScaledPath
from srnn.data.tasks import create_task
from srnn.deploy.streaming.sources import open_source

pytestmark = pytest.mark.robust


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Whatever the test does takes less than four megabytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def wav(
    data: bytes,
    code: int = 1,
    channels: int = 1,
    rate: int = 16000,
    bits: int = 16,
    before: bytes = b"",
) -> bytes:
    form = struct.pack("<HHIIHH", code, channels, rate, 0, 0, bits)
    chunks = (
        b"fmt "
        + struct.pack("<I", len(form))
        + form
        + before
        + b"data"
        + struct.pack("<I", len(data))
        + data
    )
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def flac(frames: int, channels: int = 1, rate: int = 16000) -> bytes:
    """A FLAC file of a header alone, whatever it promises."""
    about = (rate << 44) | (channels - 1 << 41) | (15 << 36) | frames
    return (
        b"fLaC\x80\0\0\x22"
        + struct.pack(">HH", 4096, 4096)
        + bytes(6)
        + about.to_bytes(8, "big")
        + bytes(16)
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (wav(b"\0\0", channels=0), "damaged"),
        (wav(b"\0\0", rate=0), "damaged"),
        (wav(b"\0\0", channels=65535), "damaged"),
        (wav(b"\0\0", code=0xFFFE), "damaged"),
        (wav(b"\0\0")[:-2] + b"", "cut off"),
        (b"NIST_1A\n-0000100\nsample_count -i 5\nend_head\n", "damaged"),
        (b"NIST_1A\n   1024\nsample_rate -i " + b"9" * 5000 + b"\n", "damaged"),
        (
            b"NIST_1A\n   1024\nsample_count -i 99999999999999999999\nsample_rate -i 9\nend_head\n",
            "damaged",
        ),
    ],
)
def test_sound_that_lies_is_one_line(content: bytes, why: str, little_memory: None) -> None:
    with pytest.raises(SrnnError, match=why):
        decode(content)


def test_a_flac_file_cannot_promise_more_than_its_size_allows(little_memory: None) -> None:
    most = MOST_SAMPLES
    for frames, channels in ((2**36 - 1, 8), (most + 1, 1), (most // 8 + 1, 8)):
        with pytest.raises(
            SrnnError,
            match=rf"would become {frames * channels} samples; at most {most} are allowed",
        ):
            decode(flac(frames, channels))


def test_absurd_rates_are_not_resampled(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    for rate in (FASTEST + 1, 2**31 - 1):
        path.write_bytes(wav(bytes(100), rate=rate))
        assert read_audio(path)[1] == rate
        with pytest.raises(
            SrnnError, match=rf"a\.wav has {rate} samples per second; at most 768000"
        ):
            read_audio(path, 16000)
    path.write_bytes(wav(bytes(2 * 20_000), rate=1))
    with pytest.raises(
        SrnnError, match=r"a\.wav has 1 samples per second, which would become 320000000 samples"
    ):
        read_audio(path, 16000)
    assert len(resampled(np.zeros(960, np.float32), FASTEST, 16000)) == 20
    assert len(resampled(np.zeros(960, np.float32), ODDEST - 1, 8000)) == 59
    with pytest.raises(SrnnError, match="too complex to resample"):
        resampled(np.zeros(960, np.float32), ODDEST + 1, 8000)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_among_sound_files_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(SrnnError, match=r"a\.wav is a pipe or a device, not a file"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file,label\n" + "x" * 200_000 + ",a\n", "field larger than field limit"),
        ("file,label\n" + "x" * 5000 + ".wav,a\n", "File name too long"),
        ("file,label\na\0.wav,a\n", "null byte|NUL"),
        ("file,label\na.wav," + "9" * 5000 + "\n", "a label may have at most 200 characters"),
        ("file,label\n//host/share/a.wav,a\n", "a file on another computer"),
        ("file,label\n\\\\host\\share\\a.wav,a\n", "a file on another computer"),
        ("file,label\n/dev/zero,a\n", "line 2: /dev/zero is a pipe or a device"),
        ("file,label\n\udcff,a\n", "cannot be read as a table"),
    ],
)
def test_a_table_that_lies_is_one_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.wav").write_bytes(wav(bytes(100)))
    (tmp_path / "list.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SrnnError, match=why) as caught:
        list_items(tmp_path / "list.csv")
    assert "\n" not in str(caught.value) and "list.csv" in str(caught.value)


def test_a_label_of_as_many_characters_as_possible_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(bytes(100)))
    (tmp_path / "list.csv").write_text("file,label\na.wav," + "9" * files._LABEL_AT_MOST + "\n")
    assert [item.path.name for item in list_items(tmp_path / "list.csv")] == ["a.wav"]


def test_labels_of_many_digits_are_names(tmp_path: Path) -> None:
    names = ["7", "30", "9" * 199]
    for name in names:
        for k in range(6):
            np.save(tmp_path / f"{len(name)}-{k}.npy", np.ones((3, 2)))
    rows = [f"{len(name)}-{k}.npy,{name}" for name in names for k in range(6)]
    (tmp_path / "list.csv").write_text("file,label\n" + "\n".join(rows) + "\n")
    assert create_task("folder", path=str(tmp_path / "list.csv")).class_names == tuple(names)


def test_one_long_sequence_does_not_fill_up_all_others() -> None:
    lengths = np.ones(100_000, np.int64)
    check_padding("f", lengths, 4)
    lengths[5] = 2**33 // (4 * 100_000)
    check_padding("f", lengths, 4)
    lengths[5] += 1
    with pytest.raises(SrnnError, match="the longest of 100000 sequences has 21475 steps"):
        check_padding("f", lengths, 4)
    check_padding("f", np.full(100_000, 10**6), 4)  # all of them long: so much is there


@pytest.mark.parametrize("raw", [b"1" * 3_000_000, b" " * 3_000_000, b"\0" * 3_000_000])
def test_a_line_without_an_end_is_not_read_into_memory(raw: bytes, little_memory: None) -> None:
    source = open_source("-", ScaledPath(1, None), 4, stdin=io.BytesIO(raw))
    with pytest.raises(
        SrnnError, match="line 1: a line of 1048576 bytes or more is not a row of numbers"
    ):
        list(source.blocks)


def test_a_line_at_its_limit_is_read() -> None:
    line = b"1".rjust(tables._LINE_AT_MOST - 2) + b"\n"
    assert [
        block.tolist()
        for block in open_source("-", ScaledPath(1, None), 4, stdin=io.BytesIO(line)).blocks
    ] == [[[1.0]]]


@pytest.mark.parametrize("rate", [0, -5, np.nan, np.inf, "fast", [1, 2]])
def test_rates_of_signals_are_numbers(tmp_path: Path, rate: Any) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((5, 1)), rate=rate)
    with pytest.raises(
        SrnnError, match=r"a\.npz, array 'rate', cannot be read as samples per second"
    ):
        open_source(str(tmp_path / "a.npz"), ScaledPath(1, None), 4)


@pytest.mark.parametrize("text", ["1e999", "nan", "-inf"])
def test_numbers_without_end_are_refused(text: str) -> None:
    with pytest.raises(SrnnError, match="sample 0 is not finite"):
        list(open_source("-", ScaledPath(1, None), 4, stdin=io.BytesIO(text.encode())).blocks)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 " + "9" * 5000 + " h#", "should be 'first_sample end_sample phone'"),
        ("0 999999999999 h#", "should be 'first_sample end_sample phone'"),
        ("0 5 " + "x" * 5000, "is not one of TIMIT's 61 phones"),
        ("\xff", "cannot be read as a list of phones"),
    ],
)
def test_phones_that_lie_are_one_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.phn").write_bytes(text.encode("latin1"))
    with pytest.raises(SrnnError, match=why) as caught:
        read_phones(tmp_path / "a.phn", {"h#": 0})
    assert len(str(caught.value)) < 400
    (tmp_path / "a.phn").write_text("0 99999999999 h#")
    assert read_phones(tmp_path / "a.phn", {"h#": 0})(np.array([10**10])).tolist() == [0]
