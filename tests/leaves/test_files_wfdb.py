"""WFDB headers as someone else may have made them: refused before the package wfdb believes them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from srnn import SrnnError
from srnn.data.datasets import qtdb_records
from srnn.data.recordings import read_recording
from srnn.deploy.streaming.sources import open_source
from srnn.files import LIMITS, FormatLimits, reading
from srnn.files.wfdb_records import check_header, read_annotation, read_record

SIGNALS = LIMITS["wfdb"].items


def record(folder: Path, *lines: str, frames: int = 100) -> Path:
    """A record of two signals of 16 bits in r.dat, with the header of ``lines``."""
    np.arange(2 * frames, dtype="<i2").tofile(folder / "r.dat")
    (folder / "r.hea").write_text("\n".join(lines) + "\n")
    return folder / "r"


def signal(name: str = "r.dat", form: str = "16", gain: str = "200") -> str:
    return f"{name} {form} {gain} 16 0 0 0 0 lead"


def test_honest_headers_are_read(tmp_path: Path) -> None:
    pytest.importorskip("wfdb")
    for line in ("r 2 250 100", "r 2 250/360 100 12:00:00 01/02/2000", "r 2 250 100 # no", "r 2 250"):
        path = record(tmp_path, "# a comment", line.partition(" #")[0], signal(), signal(gain="200(0)/mV"), "# Age: 5")
        found = read_record(path, physical=True)
        assert found.p_signal.shape == (100, 2) and found.p_signal[1].tolist() == [2 / 200, 3 / 200]


def test_a_name_with_a_dot_is_that_of_its_own_header(tmp_path: Path) -> None:
    """r.hea was checked where r.2 was named, and wfdb read r.2.hea."""
    pytest.importorskip("wfdb")
    record(tmp_path, "r 2 250 100", signal(), signal())
    (tmp_path / "r.2.hea").write_text(f"r 1 250 100\n{signal()}\n")
    assert read_recording(tmp_path / "r.2.hea").x.shape == (100, 1)
    (tmp_path / "r.2.hea").write_text(f"r 1 250 99999999\n{signal()}\n")
    with pytest.raises(ValueError, match="declares 99999999 samples"):
        read_record(tmp_path / "r.2", physical=True)
    with pytest.raises(FileNotFoundError, match=r"r\.2\.atr"):
        read_annotation(tmp_path / "r.2", "atr")
    (tmp_path / "r.2.hea").unlink()
    with pytest.raises(SrnnError, match=r"r\.2\.hea was not found"):
        read_recording(tmp_path / "r.2.hea")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "no record line"),
        (["r 99999999 250 100", signal()], "describes 99999999 signals"),
        (["r 0 250 100"], "describes 0 signals"),
        (["r 3 250 100", signal(), signal()], "describes 3 signals, but has 2 signal lines"),
        (["r 1 250 100", signal(), signal()], "describes 1 signals, but has 2 signal lines"),
        (["r 2 250 99999999", signal(), signal()], "declares 99999999 samples of 2 signals, more than r.dat holds"),
        (["r 2 250 103", signal(), signal()], "more than r.dat holds"),
        (["r 2 250 999999999999", signal(), signal()], "declares 999999999999 samples"),
        (["r 2 0 100", signal(), signal()], "0 per second"),
        (["r 2 " + "9" * 5000 + " 100", signal(), signal()], "more than 1024 characters"),
        (["r/2 2 250 100", "a 50", "b 50"], "it has several segments"),
        (["r/1 2 250 100", "r 100"], "it has several segments"),
        (["r 2 250 100", signal("/etc/passwd"), signal()], "describes no signal in a file next to it"),
        (["r 2 250 100", signal("../r.dat"), signal()], "describes no signal in a file next to it"),
        (["r 2 250 100", signal("..\\\\r.dat"), signal()], "describes no signal in a file next to it"),
        (["r 2 250 100", signal("s3://a/r.dat"), signal()], "describes no signal in a file next to it"),
        (["r 2 250 100", signal("~"), signal()], "describes no signal in a file next to it"),
        (["r 2 250 100", signal("none.dat"), signal()], "No such file"),
        (["r 2 250 100", signal(form="508"), signal()], "are in format 508"),
        (["r 2 250 100", signal(form="99"), signal()], "are in format 99"),
        (["r 2 250 100", signal(form="16x0"), signal()], "0 samples per frame"),
        (["r 2 250 100", signal(form="16x1001"), signal()], "1001 samples per frame"),
        (["r 2 250 100", signal(form="16:10001"), signal()], "a skew of 10001"),
        (["r 2 250 100", signal(form="16+401"), signal()], "skips more bytes of r.dat"),
        (["r 2 250 100", signal(gain="1e999"), signal()], "has the gain 1e999"),
    ],
)
def test_a_header_that_lies_is_one_line_and_takes_no_memory(tmp_path: Path, lines: list[str], why: str) -> None:
    path = record(tmp_path, *lines)
    tracemalloc.start()
    try:
        with pytest.raises(SrnnError, match=why) as caught, reading(path, "a WFDB record"):
            check_header(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_headers_at_their_limits_are_taken_and_one_beyond_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (SIGNALS, SIGNALS + 1):
        path = record(tmp_path, f"r {count} 250 1", *[signal()] * count, frames=count)
        if count == SIGNALS:
            check_header(path)
        else:
            with pytest.raises(ValueError, match="1001 signals"):
                check_header(path)
    path = record(tmp_path, "r 2 250 100", signal(form="16x1"), signal(form="16:10000+400"))
    check_header(path)
    monkeypatch.setitem(LIMITS, "wfdb", FormatLimits(399, items=2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="more than 399 bytes"):
        check_header(path)


def test_readers_of_records_go_through_it(tmp_path: Path) -> None:
    pytest.importorskip("wfdb")
    record(tmp_path, "r 99999999 250 100", signal())
    with pytest.raises(SrnnError, match=r"r cannot be read as a WFDB record.*99999999 signals"):
        open_source(str(tmp_path / "r.hea"), 2, 250, 10)
    (tmp_path / "r.q1c").write_bytes(bytes(2))
    with pytest.raises(SrnnError, match=r"r is damaged: .*99999999 signals"):
        qtdb_records.read_record(tmp_path, "r")


def test_an_annotation_has_a_size(tmp_path: Path) -> None:
    pytest.importorskip("wfdb")
    with (tmp_path / "r.q1c").open("wb") as file:
        file.truncate(4 * 2**20 + 1)
    with pytest.raises(ValueError, match="more than 4194304 bytes"):
        read_annotation(tmp_path / "r", "q1c")
