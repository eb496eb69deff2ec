"""WFDB records: read by the package wfdb, from files next to their header, or refused in one
line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srnn import SrnnError
from srnn.data.datasets import qtdb_records
from srnn.data.recordings import read_recording
from srnn.files.wfdb_records import read_annotation, read_record


def record(folder: Path, *lines: str, frames: int = 100) -> Path:
    """A record of two signals of 16 bits in r.dat, with the header of ``lines``."""
    np.arange(2 * frames, dtype="<i2").tofile(folder / "r.dat")
    (folder / "r.hea").write_text("\n".join(lines) + "\n")
    return folder / "r"


def signal(name: str = "r.dat", form: str = "16", gain: str = "200") -> str:
    return f"{name} {form} {gain} 16 0 0 0 0 lead"


def test_honest_headers_are_read(tmp_path: Path) -> None:
    pytest.importorskip("wfdb")
    for line in (
        "r 2 250 100",
        "r 2 250/360 100 12:00:00 01/02/2000",
        "r 2 250 100 # no",
        "r 2 250",
    ):
        path = record(
            tmp_path,
            "# a comment",
            line.partition(" #")[0],
            signal(),
            signal(gain="200(0)/mV"),
            "# Age: 5",
        )
        found = read_record(path, physical=True)
        assert found.p_signal.shape == (100, 2) and found.p_signal[1].tolist() == [2 / 200, 3 / 200]


def test_a_name_with_a_dot_is_that_of_its_own_header(tmp_path: Path) -> None:
    """r.hea was checked where r.2 was named, and wfdb read r.2.hea."""
    pytest.importorskip("wfdb")
    record(tmp_path, "r 2 250 100", signal(), signal())
    (tmp_path / "r.2.hea").write_text(f"r 1 250 100\n{signal()}\n")
    assert read_recording(tmp_path / "r.2.hea").samples.shape == (100, 1)
    with pytest.raises(SrnnError, match=r"r\.2\.atr was not found"):
        read_annotation(tmp_path / "r.2", "atr")
    (tmp_path / "r.2.hea").unlink()
    with pytest.raises(SrnnError, match=r"r\.2\.hea was not found"):
        read_recording(tmp_path / "r.2.hea")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], ""),
        (["text of another file"], ""),
        (["r 0 250 100"], ""),
        (["r 3 250 100", signal(), signal()], ""),
        (["r 2 250 99999999", signal(), signal()], ""),
        (["r/2 2 250 100", "a 50", "b 50"], r"a\.hea was not found"),
        (["r/1 2 250 100", "r 100"], "segment r has segments itself"),
        (["r 2 250 100", signal("/etc/passwd"), signal()], "invalid syntax in signal line"),
        (["r 2 250 100", signal("../r.dat"), signal()], "invalid syntax in signal line"),
        (["r 2 250 100", signal("s3://a/r.dat"), signal()], "invalid syntax in signal line"),
        (["r 2 250 100", signal("none.dat"), signal()], r"r\.hea: .*none\.dat was not found"),
        (["r 2 250 100", signal(form="99"), signal()], ""),
    ],
)
def test_a_wrong_header_is_one_line(tmp_path: Path, lines: list[str], why: str) -> None:
    pytest.importorskip("wfdb")
    record(tmp_path, *lines)
    with pytest.raises(
        SrnnError, match=why or "r cannot be read as a WFDB record|r holds no samples"
    ) as caught:
        read_recording(tmp_path / "r.hea")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_cut_off_signal_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("wfdb")
    record(tmp_path, "r 2 250 100", signal(), signal(), frames=60)
    with pytest.raises(SrnnError, match="r cannot be read as a WFDB record"):
        read_recording(tmp_path / "r.hea")
    (tmp_path / "r.q1c").write_bytes(bytes(2))
    with pytest.raises(SrnnError, match="r is damaged"):
        qtdb_records.read_record(tmp_path, "r")
