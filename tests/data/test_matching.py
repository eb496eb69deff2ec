"""A recording is brought to what a signal path reads: by name, in its units, at its rate;
contradictions are one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from srnn.data.gaps import Gaps
from srnn.data.recordings import (
    Annotation,
    ReadingOverrides,
    Recording,
    match,
    read_recording,
    read_signal,
)
from srnn.data.signals import ScaledPath
from srnn.data.units import conversion, split_title
from srnn.errors import SrnnError
from support.refusing import refuses

ACCELEROMETER = ScaledPath(3, 50.0, names=("ax", "ay", "az"), units=("m/s2", "m/s2", "m/s2"))
X = np.arange(12.0).reshape(4, 3)


def csv(folder: Path, head: str, x: np.ndarray = X) -> Path:
    path = folder / "a.csv"
    path.write_text(
        "\n".join([head, *(",".join(map(str, row)) for row in x.tolist())]), encoding="utf-8"
    )
    return path


@pytest.mark.parametrize(
    ("title", "name", "unit"),
    [
        ("ax (m/s2)", "ax", "m/s2"), ("ax [g]", "ax", "g"), ("ecg_mV", "ecg", "mV"), ("Acc X (m/s²)", "Acc X", "m/s2"),
        ("gyro_dps", "gyro", "deg/s"), ("lead (µV)", "lead", "uV"), ("acc (left)", "acc (left)", None),
        ("lead_V", "lead_V", None), ("g", "g", None), ("acc_x", "acc_x", None), ("V (V)", "V", "V"),
    ],
)  # fmt: skip
def test_a_title_is_a_name_and_a_unit(title: str, name: str, unit: str | None) -> None:
    assert split_title(title) == (name, unit)


def test_units_of_a_kind_are_converted() -> None:
    assert conversion("g", "m/s2") == pytest.approx(9.80665) and conversion(
        "uV", "mV"
    ) == pytest.approx(1e-3)
    assert (
        conversion("deg/s", "rad/s") == pytest.approx(np.pi / 180) and conversion("adu", "adu") == 1
    )
    assert conversion("g", "mV") is None and conversion("adu", "mV") is None


def test_channels_are_found_by_name_and_converted(tmp_path: Path) -> None:
    """Columns az,ay,ax were read as ax,ay,az, and a file in g as one in m/s2."""
    recording = read_signal(
        csv(tmp_path, "AZ (g),ay (m/s2),t2,ax (m/s2)", np.c_[X[:, :2], 0 * X[:, 0], X[:, 2]]),
        ACCELEROMETER,
    )
    np.testing.assert_allclose(recording.samples, X[:, [2, 1, 0]] * [1, 1, 9.80665])
    assert (recording.channels, recording.units) == (ACCELEROMETER.names, ACCELEROMETER.units)
    assert recording.notes == ("it does not state its rate: taken as 50 Hz (rate says another)",)


def test_what_is_not_stated_is_taken_as_the_networks_and_noted() -> None:
    given = match(read_recording(X), ACCELEROMETER)
    assert np.array_equal(given.samples, X)
    assert given.notes == (
        "it does not state its names, units and rate: taken as ax, ay, az, in m/s2, 50 Hz (rate "
        "says another)",
    )
    assert match(Recording(X, 50, ("ax", "ay", "az"), ("m/s2",) * 3), ACCELEROMETER).notes == ()
    assert match(read_recording(X), ScaledPath(3)).notes == ()


def test_contradictions_are_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "x,y,z")
    with refuses("channels", "name"):
        read_signal(path, ACCELEROMETER)
    assert np.array_equal(
        read_signal(path, ACCELEROMETER, ReadingOverrides(channels=["Z", 1, "x"])).samples,
        X[:, [2, 1, 0]],
    )
    with refuses("channels", "name"):
        read_signal(path, ACCELEROMETER, ReadingOverrides(channels=["q", "y", "z"]))
    with refuses("channels", "name"):
        read_signal(path, ACCELEROMETER, ReadingOverrides(channels=[3, 0, 1]))
    with refuses("units", "data"):
        read_signal(csv(tmp_path, "ax (g),ay (mV),az (g)"), ACCELEROMETER)
    with refuses("channels", "name"):
        read_signal(csv(tmp_path, "ax,ax,ay,az", np.c_[X, X[:, 0]]), ACCELEROMETER)
    with refuses("channels", "name"):
        read_signal(X, ACCELEROMETER, ReadingOverrides(channels=["ax"]))


def test_the_advice_is_the_command_that_mends_it(tmp_path: Path) -> None:
    with pytest.raises(SrnnError, match=r"has no ay: .*channels=\['ax', 'u', 'az'\]"):
        read_signal(csv(tmp_path, "az,u,ax"), ACCELEROMETER)


def test_the_rate_that_is_said_is_the_recordings(tmp_path: Path) -> None:
    path = csv(tmp_path, "ax,ay,az", np.tile(X, (10, 1)))
    assert len(read_signal(path, ACCELEROMETER, ReadingOverrides(rate=100)).samples) == 20
    with refuses("rate"):
        ReadingOverrides(rate=0)


def test_arrays_in_files_state_names_units_and_rate(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz", signal=X, rate=100, channels=["az", "ay", "ax"], units=["g", "m/s2", ""]
    )
    recording = read_recording(tmp_path / "a.npz")
    assert recording.channels == ("az", "ay", "ax") and recording.units == ("g", "m/s2", None)
    assert read_signal(tmp_path / "a.npz", ACCELEROMETER).samples.shape == (2, 3)
    np.savez(tmp_path / "b.npz", signal=X, channels=["az"])
    with refuses("channels", "data"):
        read_recording(tmp_path / "b.npz")


def test_records_state_theirs(data_dir: Path) -> None:
    pytest.importorskip("wfdb")
    path = sorted((data_dir / "qtdb" / "records").glob("*.hea"))[0]
    recording = read_recording(path)
    assert (
        recording.rate == 250
        and recording.units == ("mV", "mV")
        and len(recording.channels or ()) == 2
    )


def test_annotations_are_read_when_they_are_asked_for(data_dir: Path) -> None:
    pytest.importorskip("wfdb")
    path = data_dir / "qtdb" / "records" / "sel100.hea"
    assert read_recording(path).annotations == ()
    recording = read_recording(path, annotator="q1c")
    assert [mark.symbol for mark in recording.annotations[:5]] == ["(", "p", ")", "(", "N"]
    assert "225000 samples at 250 Hz, 2 channels (MLII, V5 in mV), " in repr(recording).replace(
        ",000", "000"
    )
    assert "240 annotations" in repr(recording)
    faster = read_signal(path, ScaledPath(2, 500), ReadingOverrides(annotator="q1c")).annotations
    assert [mark.sample for mark in faster] == [2 * mark.sample for mark in recording.annotations]
    one = read_signal(path, ScaledPath(1, 250), ReadingOverrides(channels=["V5"], annotator="q1c"))
    assert one.annotations == recording.annotations
    with refuses(path.with_name("sel100.pu"), "missing"):
        read_recording(path, annotator="pu")
    for wrong in ("../records/sel100.q1c", ""):
        with refuses("annotator"):
            read_recording(path, annotator=wrong)


@pytest.mark.filterwarnings("ignore")  # wfdb's own
def test_annotations_keep_their_words_and_are_refused_where_they_are_damaged(
    tmp_path: Path,
) -> None:
    wfdb = pytest.importorskip("wfdb")
    folder = str(tmp_path)
    x = np.cumsum(np.ones((100, 1)), 0)
    wfdb.wrsamp(
        "r", fs=100, units=["mV"], sig_name=["ii"], p_signal=x, fmt=["16"], write_dir=folder
    )
    wfdb.wrann("r", "atr", np.array([0, 99]), ["+", "N"], aux_note=["(AFIB", ""], write_dir=folder)
    recording = read_recording(tmp_path / "r.hea", annotator="atr")
    assert recording.annotations == (Annotation(0, "+", "(AFIB"), Annotation(99, "N"))
    slower = match(recording, ScaledPath(1, 10))
    assert [mark.sample for mark in slower.annotations] == [0, 9] and len(slower.samples) == 10
    whole = (tmp_path / "r.atr").read_bytes()
    for size in range(0, len(whole) - 1, 2):
        (tmp_path / "r.atr").write_bytes(whole[:size])
        with pytest.raises(SrnnError, match=r"r\.atr cannot be read as the annotations") as caught:
            read_recording(tmp_path / "r.hea", annotator="atr")
        assert "\n" not in str(caught.value)
    wfdb.wrann("r", "atr", np.array([0, 100]), ["N", "N"], write_dir=folder)
    with pytest.raises(SrnnError, match="out of order, or outside the signal"):
        read_recording(tmp_path / "r.hea", annotator="atr")
    np.savetxt(tmp_path / "a.csv", x, delimiter=",")
    with refuses("annotator", "conflict"):
        read_recording(tmp_path / "a.csv", annotator="atr")


def test_a_table_in_memory_is_read_like_one_in_a_file() -> None:
    frame = pd.DataFrame(
        {"time_ms": [0, 10, 20, 30], "az (g)": X[:, 0], "ay": X[:, 1], "ax": X[:, 2]}
    )
    recording = read_recording(frame)
    assert np.array_equal(recording.samples, X) and recording.rate == pytest.approx(100)
    assert recording.channels == ("az", "ay", "ax") and recording.units == ("g", None, None)
    frame = frame.drop(columns="time_ms").set_index(
        pd.date_range("2026-03-01", periods=4, freq="20ms")
    )
    assert read_recording(frame).rate == pytest.approx(50)
    assert read_recording(pd.DataFrame(X)).channels is None, "0, 1, 2 are no names"
    with refuses("samples", "data"):
        read_recording(pd.DataFrame({"ax": ["a"], "ay": ["b"]}))


def test_dates_are_times(tmp_path: Path) -> None:
    for first in ("2026-03-01T23:59:59.{:03d}Z", "2026-03-01 23:59:59.{:03d}"):
        rows = [f"{first.format(20 * k)},{k},{-k}" for k in range(6)]
        (tmp_path / "a.csv").write_text("\n".join(["timestamp,ax,ay", *rows]))
        recording = read_recording(tmp_path / "a.csv")
        assert recording.rate == pytest.approx(50) and recording.samples.tolist() == [
            [k, -k] for k in range(6)
        ]
    (tmp_path / "a.csv").write_text("\n".join(["timestamp,ax,ay", *rows, "today,1,2"]))
    with pytest.raises(SrnnError, match="line 8: 'today,1,2' is not a row of numbers"):
        read_recording(tmp_path / "a.csv")


def test_short_gaps_are_filled_and_said(tmp_path: Path) -> None:
    x = np.arange(20.0).repeat(2).reshape(20, 2)
    x[3:6, 0] = np.nan
    filled = read_recording(x)
    assert np.array_equal(filled.samples[:, 0], np.arange(20.0))
    assert filled.notes == ("3 missing values filled in on a line between their neighbours",)
    held = read_recording(x, Gaps("hold"))
    assert held.samples[2:7, 0].tolist() == [2, 2, 2, 2, 6]
    message = r"3 samples are missing in channel 0 .* after sample 2; .*longest_gap, now 2 samples"
    with pytest.raises(SrnnError, match=message):
        read_recording(x, Gaps(longest=2))
    with refuses("samples", "data"):
        read_recording(x, Gaps("refuse"))
    x[-1, 1] = np.nan  # which has one neighbour
    with refuses("samples", "data"):
        read_recording(x)
    (tmp_path / "a.csv").write_text("ax,ay\n1,2\n,2\n3,\n4,4\n")
    recording = read_recording(tmp_path / "a.csv")
    assert (
        recording.samples.tolist() == [[1, 2], [2, 2], [3, 3], [4, 4]] and len(recording.notes) == 1
    )
    (tmp_path / "a.csv").write_text("ax,ay\n1,2\n,2\n3,2\n4,\n")
    with pytest.raises(SrnnError, match=r"a\.csv: sample 3 is not finite in channel 1"):
        read_recording(tmp_path / "a.csv")


def test_rows_that_are_missing_are_gaps_too(tmp_path: Path) -> None:
    times = np.delete(np.arange(60) / 50, slice(20, 30))
    path = csv(tmp_path, "t,x", np.c_[times, times])
    assert read_recording(path).notes == (
        "10 missing values filled in on a line between their neighbours",
    )
    held = read_recording(path, Gaps("hold")).samples[:, 0]
    np.testing.assert_allclose(held[18:32], [0.36, *[0.38] * 11, 0.60, 0.62])
    for gaps in (Gaps("refuse"), Gaps(longest=9)):
        with refuses("time", "data"):
            read_recording(path, gaps)
