"""Recordings in files: each format gives the same samples, at the rate that is wanted; what is
wrong is one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from srnn.data import recordings
from srnn.data.datasets.audio import read_audio
from srnn.data.recordings import read_recording, take_channels
from srnn.data.tables import COLUMNS, Rows, read_titles
from srnn.errors import SrnnError
from support.refusing import refuses
from support.signals import read_as
from support.sounds import tone, write_wav

ROWS = np.array([[1.0, 9.8], [2.0, 9.7], [4.0, 9.9], [8.0, 9.6]])


def test_every_format_gives_the_same_samples(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    np.savez(tmp_path / "b.npz", anything=ROWS)
    np.savez(tmp_path / "c.npz", signal=ROWS, other=ROWS[0], rate=50)
    numbers = [f"{a},{b}" for a, b in ROWS]
    (tmp_path / "d.csv").write_text("\n".join(numbers))
    (tmp_path / "e.csv").write_text("# an IMU\nx; y\n" + "\n".join(numbers).replace(",", ";"))
    timed = [f"{20 * k},{row}" for k, row in enumerate(numbers)]
    (tmp_path / "f.csv").write_text("\n".join(['"Time_ms",x,y', *timed]))
    pandas = [",x,y", *(f"{k},{row}" for k, row in enumerate(numbers))]
    (tmp_path / "g.csv").write_text("\n".join(pandas))
    rates = []
    for path in sorted(tmp_path.iterdir()):
        recording = read_recording(path)
        x, rate = recording.samples, recording.rate
        assert np.array_equal(x, ROWS)
        assert np.array_equal(read_as(path, 2, 50), ROWS)
        rates.append(rate)
    assert rates == [None, None, 50, None, None, pytest.approx(50), None]


@pytest.mark.parametrize("head", ["Time (ms)\tacc x\tacc y", '"Time (ms)"\t"acc; x"\ty', "\tx\ty"])
def test_tabs_hold_names_with_blanks_and_decimal_commas(tmp_path: Path, head: str) -> None:
    """As spreadsheets write tables of a country with decimal commas. A unit after a blank is the
    time's, not another column."""
    rows = [f"{20 * k}\t{a}\t{b}".replace(".", ",") for k, (a, b) in enumerate(ROWS)]
    (tmp_path / "a.csv").write_text("\n".join([head, *rows]))
    recording = read_recording(tmp_path / "a.csv")
    x, rate = recording.samples, recording.rate
    assert np.array_equal(x, ROWS) and rate == (
        None if head.startswith("\t") else pytest.approx(50)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ax,ay\n1,2\n3,\n", r"line 3: column 2 of 2 is empty; fill the value in"),
        ("ax,ay,az\n1,,2\n", r"line 2: column 2 of 3 is empty"),
        ("1,,2\n1,2,3\n", r"line 1: column 2 of 3 is empty"),  # numbers are no names
        ("ax\tay\taz\n1\t\t2\n", r"line 2: column 2 of 3 is empty"),
        (
            "ax\n0,5\n0,7\n",
            r"line 2: '0,5' is not a row of numbers \(column 1 is '0,5'\); write decimal points",
        ),
        ("ax,ay,az\n0,5\n0,7\n", r"line 2: 2 numbers under 3 names; write decimal points"),
        ("sep=;\na;b\n1;2\n", r"line 2: 'a;b' is not a row of numbers"),
        ("a;b\nm/s;m/s\n1;2\n", r"line 2: 'm/s;m/s' is not a row of numbers \(column 1 is 'm/s'\)"),
        ("a;b\n1,5;2.5\n", r"its numbers are not all written in one way"),
        (
            "Time (ms) ax\n0 1\n20 2\n",
            r"line 2: 2 numbers under 3 names",
        ),  # which would be read in seconds
    ],
)
def test_values_that_would_shift_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SrnnError, match=message):
        read_recording(tmp_path / "a.csv")


@pytest.mark.parametrize("end", ["\r", "\r\n"])
@pytest.mark.parametrize("head", [[], ["x,y"]])
def test_lines_end_as_programs_write_them(tmp_path: Path, head: list[str], end: str) -> None:
    """On old Macs with a CR alone: read as blanks, one column of numbers was one sample of many
    channels."""
    rows = [f"{a},{b}" for a, b in ROWS]
    (tmp_path / "a.csv").write_bytes(end.join([*head, *rows, ""]).encode())
    assert np.array_equal(read_recording(tmp_path / "a.csv").samples, ROWS)
    (tmp_path / "a.csv").write_bytes(
        end.join(["1", *["0.125"] * 200_000]).encode()
    )  # beyond the longest line
    assert read_recording(tmp_path / "a.csv").samples.shape == (200_001, 1)
    (tmp_path / "a.csv").write_bytes(end.join(["1", "", "x"]).encode())
    with pytest.raises(SrnnError, match=r"a\.csv, line 3: 'x' is not a row of numbers"):
        read_recording(tmp_path / "a.csv")


def test_a_name_too_long_for_the_machine_is_one_line() -> None:
    with pytest.raises(SrnnError, match=r"File name too long\. Name a"):
        read_recording(Path("a" * 300 + ".csv"))


@pytest.mark.parametrize("between", [",", ";", "\t", " "])
def test_a_quoted_name_holds_any_separator(tmp_path: Path, between: str) -> None:
    rows = [between.join(map(str, row)) for row in ROWS]
    (tmp_path / "a.csv").write_text("\n".join([f'"acc, x"{between}"acc; y"', *rows]))
    assert np.array_equal(read_recording(tmp_path / "a.csv").samples, ROWS)


@pytest.mark.parametrize("head", ['"time","acc, x","y"', "time,x,y"])
@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_numbers_may_be_in_quotes(tmp_path: Path, head: str, between: str) -> None:
    """As some programs write all values; a decimal comma is one where columns are not between
    commas, too."""
    rows = [between.join(f'"{value}"' for value in (k / 50, *row)) for k, row in enumerate(ROWS)]
    if between != ",":
        rows = [row.replace(".", ",") for row in rows]
    head = head.replace('","', f'"{between}"') if head[0] == '"' else head.replace(",", between)
    (tmp_path / "a.csv").write_text("\n".join([head, *rows]))
    recording = read_recording(tmp_path / "a.csv")
    x, rate = recording.samples, recording.rate
    assert np.array_equal(x, ROWS) and rate == pytest.approx(50)


def test_a_decimal_comma_between_commas_is_doubtful(tmp_path: Path) -> None:
    """0.5, or thousands?"""
    (tmp_path / "a.csv").write_text('"a","b"\n"0,5","0,7"\n')
    with refuses("column 1", "data"):
        read_recording(tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_names_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    rows = [f"{20_000 * k},{a},{b}" for k, (a, b) in enumerate(ROWS)]
    (tmp_path / "a.csv").write_text("\n".join(["Time (µs),Größe,y", *rows]), encoding=encoding)
    recording = read_recording(tmp_path / "a.csv")
    assert np.array_equal(recording.samples, ROWS)
    assert recording.rate == pytest.approx(50) and recording.channels == ("Größe", "y")


def test_numbers_are_those_that_python_reads(tmp_path: Path) -> None:
    texts = [repr(float(value)) for value in np.exp(np.random.default_rng(0).normal(0, 60, 2000))]
    (tmp_path / "a.csv").write_text("\n".join(["x", *texts]))
    x = read_recording(tmp_path / "a.csv").samples
    assert x[:, 0].tolist() == [*map(float, texts)] and x.flags.c_contiguous


def test_names_that_count_are_names(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("0,1,2\n3,4,5\n0,1,2\n")  # of pandas, for columns without names
    assert read_as(tmp_path / "x.csv", 3, None).tolist() == [[3, 4, 5], [0, 1, 2]]
    (tmp_path / "x.csv").write_text("1_1,1_2\n3,4\n")  # which Python's float takes for 11 and 12
    assert read_as(tmp_path / "x.csv", 2, None).tolist() == [[3, 4]]
    (tmp_path / "x.csv").write_text("0,1\n1,0\n")  # spikes
    assert read_as(tmp_path / "x.csv", 2, None).tolist() == [[0, 1], [1, 0]]


def test_one_channel_may_be_a_row_of_samples(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(5))
    assert read_as(tmp_path / "a.npy", 1, None).tolist() == [[0], [1], [2], [3], [4]]


def test_an_array_of_as_many_rows_as_there_are_channels_is_transposed_not_too_wide(
    tmp_path: Path,
) -> None:
    """It was told to choose some of its 100 channels."""
    np.save(tmp_path / "a.npy", np.zeros((3, 100)))
    with refuses("channels", "data"):
        read_as(tmp_path / "a.npy", 3, None)
    with refuses("channels", "data"):
        read_as(tmp_path / "a.npy", 2, None)


def test_sound_is_what_training_hears(tmp_path: Path) -> None:
    """Two channels are averaged, another rate is resampled, with the bits of ``read_audio``."""
    left = tone(0.1, 8000, 300.0)
    path = write_wav(tmp_path / "a.wav", np.stack([left, left // 2], axis=1), 8000)
    for rate in (8000, 16000, 11025):
        assert np.array_equal(read_as(path, 1, rate)[:, 0], read_audio(path, rate)[0])
    assert read_as(path, 2, 8000).shape == (800, 2)
    with refuses("channels", "data"):
        read_as(path, 3, 8000)


def test_a_sensor_is_resampled_without_jumps_at_its_ends(tmp_path: Path) -> None:
    seconds = np.arange(300) / 100
    wave = 9.8 + seconds + 0.1 * np.sin(2 * np.pi * 3 * seconds)
    np.savez(tmp_path / "a.npz", signal=wave, rate=100)
    for rate in (50.0, 200.0, 1000 / 3):
        x = read_as(tmp_path / "a.npz", 1, rate)[:, 0]
        times = np.arange(len(x)) / rate
        assert len(x) == np.ceil(3 * rate)
        np.testing.assert_allclose(x, 9.8 + times + 0.1 * np.sin(2 * np.pi * 3 * times), atol=0.03)
    assert np.array_equal(read_as(tmp_path / "a.npz", 1, 100.9)[:, 0], wave), (
        "clocks of sensors are not exact"
    )
    for rate in (1e-9, 5e-324):
        np.savez(tmp_path / "b.npz", signal=wave, rate=rate)
        with pytest.raises(
            SrnnError, match=r"b\.npz has .* samples per second; the ratio to 100 is too large"
        ):
            read_as(tmp_path / "b.npz", 1, 100)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "1,2\n3\n", "a.csv, line 2: the row has 1 instead of 2 numbers"),
        ("a.csv", "1\n3\n", "a.csv has 1 channel; this network reads 2"),
        ("a.csv", "1,2\n" * 4096 + "3\n", "a.csv, line 4097: the row has 1 instead of 2 numbers"),
        ("a.csv", "x,y\n1,2\n\n3,a\n", "a.csv, line 4: '3,a' is not a row of numbers"),
        (
            "a.csv",
            "x,kind\n1,walk\n3,run\n",
            "a.csv, line 2: '1,walk' is not .*, and remove columns of words",
        ),
        ("a.csv", "1,2\n3,\n", "a.csv, line 2: column 2 of 2 is empty"),
        (
            "a.csv",
            "1,2\n3,nan\n",
            r"a.csv, line 2: sample 1 is not finite in channel 1 \(counted from 0\): nan",
        ),
        (
            "a.csv",
            "t,x,y\n# mine\n0,1,2\n1,3,inf\n",
            r"a.csv, line 4: sample 1 is not finite in channel 1 \(counted from 0\): inf",
        ),
        (
            "a.csv",
            "1,2\n" * 5000 + "3,nan\n",
            r"a.csv, line 5001: sample 5000 is not finite in channel 1",
        ),
        ("a.csv", "t,x,y\n0,1,2\nnan,1,2\n", r"a.csv, line 3: the time is not finite \(nan\)"),
        (
            "a.csv",
            "timestamp,x,y\n5,1,2\n",
            r"a.csv, line 1: the first column is called 'timestamp', a time whose unit is not "
            r"understood; call it time",
        ),
        (
            "a.csv",
            "Zeit (ms),x,y\n5,1,2\n",  # it does say a unit
            r"a.csv, line 1: the first column is called 'Zeit \(ms\)', a time whose unit is not "
            r"understood; call it time",
        ),
        (
            "a.csv",
            '"Date Time",x,y\n5,1,2\n',
            r"a.csv, line 1: the first column is called 'Date Time'",
        ),
        (
            "a.csv",
            "time,x,y\n1.7e18,1,2\n",
            r"a.csv: the time 1.7e\+18 of sample 0 would be 1.7e\+18 s; call the column",
        ),
        (
            "a.csv",
            "time_ms,x,y\n0,1,2\n9e15,1,2\n",
            r"a.csv: the time 9e\+15 of sample 1 would be 9e\+12 s; .* or repair it",
        ),
        (
            "a.csv",
            "1\x00,\x002\x00\n",
            r"a.csv cannot be read as a table of numbers \(it is not text; save it as CSV",
        ),
        ("a.csv", "1,2\n,2\n3,x\n", "a.csv, line 3: '3,x' is not a row of numbers"),
        ("a.csv", "1;2\n1,5;2;\n", "a.csv, line 2: the row has 3 instead of 2 numbers"),
        ("a.csv", "x,y\n", "a.csv holds no samples"),
        ("a.csv", "t,x\n0,1\n1,1\n1,1\n", "a.csv: time does not advance at sample 2, from 1 to 1"),
        (
            "a.csv",
            "time,x,y\n0,1,2\nnan,1,2\n2,nan,2\n",
            r"a.csv, line 3: the time is not finite \(nan\)",
        ),
        ("a.csv", "1_1,1_2\n3,4_0\n", "a.csv, line 2: '3,4_0' is not a row of numbers"),
        ("a.csv", "", "a.csv is empty"),
        ("a.mp3", "x", "files ending in .mp3 are not read"),
        ("a.wav", "x", r"a.wav: this is not a sound file"),
        ("a.npy", "x", r"a.npy cannot be read as a signal"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SrnnError, match=message):
        read_as(tmp_path / name, 2, None)


@pytest.mark.parametrize(
    ("title", "rate"),
    [
        ("time", 0.02), ("T", 0.02), ("Time (s)", 0.02), ("t [s]", 0.02), ("elapsed_seconds", 0.02), ("timestamp_ms", 20.0),
        ("Time [ms]", 20.0), ("millis", 20.0), ("time_us", 2e4), ("Time (µs)", 2e4), ("time_ns", 2e7),
    ],
)  # fmt: skip
def test_time_is_a_rate_and_no_channel_in_every_unit(
    tmp_path: Path, title: str, rate: float
) -> None:
    (tmp_path / "a.csv").write_text(
        f"{title};x;y\n0;0,5;1\n50;1,5;2\n100;2,5;3\n", encoding="utf-8"
    )
    recording = read_recording(tmp_path / "a.csv")
    x, own = recording.samples, recording.rate
    np.testing.assert_array_equal(x, [[0.5, 1], [1.5, 2], [2.5, 3]])
    assert own == pytest.approx(rate)


@pytest.mark.parametrize("title", ["x", "ax", "s", "timer_a", "ms2", "acc m/s"])
def test_a_channel_is_not_taken_for_time(tmp_path: Path, title: str) -> None:
    (tmp_path / "a.csv").write_text(f"{title},y\n0,1\n1,2\n")
    recording = read_recording(tmp_path / "a.csv")
    x, own = recording.samples, recording.rate
    assert x.shape == (2, 2) and own is None


def test_rows_that_are_missing_are_filled_in(tmp_path: Path) -> None:
    times = np.delete(np.arange(60) / 50, slice(20, 30))  # a radio that lost ten samples
    rows = np.stack([times, 3 * times - 1, np.ones(50)], 1)
    np.savetxt(tmp_path / "a.csv", rows, fmt="%.6f", delimiter=",", header="t,x,y", comments="")
    recording = read_recording(tmp_path / "a.csv")
    x, rate = recording.samples, recording.rate
    assert rate == pytest.approx(50) and x.shape == (60, 2)
    np.testing.assert_allclose(x[:, 0], 3 * np.arange(60) / 50 - 1, atol=1e-5)
    jitter = np.arange(60) / 50 + np.random.default_rng(0).uniform(-0.004, 0.004, 60)
    np.savetxt(
        tmp_path / "b.csv",
        np.stack([jitter, rows[:1, 1].repeat(60)], 1),
        delimiter=",",
        header="t,x",
        comments="",
    )
    assert len(read_recording(tmp_path / "b.csv").samples) == 60, "a clock is not exact"
    (tmp_path / "c.csv").write_text("t,x\n0,1\n5e-324,2\n1e-323,3\n1,4\n")
    with refuses("time", "data"):
        read_recording(tmp_path / "c.csv")
    (tmp_path / "c.csv").write_text("t,x\n0,1\n1,2\n2,3\n1000,4\n")
    with refuses("time", "data"):
        read_recording(tmp_path / "c.csv")


def test_a_decimal_comma_is_read_between_semicolons(tmp_path: Path) -> None:
    for text in ("1,5;-2,25\n3;4,0e1\n", "1.5;-2.25\n3;40\n", "1.5,-2.25\n3,40\n", "\ufeff1,5; -2,25\r\n3; 40\r\n",
                 "1.5,-2.25 # begin\n\n# more\n3,40\n"):  # fmt: skip
        (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
        np.testing.assert_array_equal(
            read_recording(tmp_path / "a.csv").samples, [[1.5, -2.25], [3, 40]]
        )


def test_a_folder_is_no_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path, Path(".")):
        with pytest.raises(SrnnError, match="is a folder"):
            read_recording(path)


def test_numbers_of_any_kind_are_resampled(tmp_path: Path) -> None:
    """Long floats, which scipy's filter refuses; half floats, as which it would be coarse; and what
    float32 cannot hold."""
    wave = np.rint(100 * np.sin(np.arange(40) / 3))
    np.savez(tmp_path / "a.npz", signal=wave, rate=100)
    expected = read_as(tmp_path / "a.npz", 1, 50)
    for dtype in (np.longdouble, ">f8", ">f4", np.float16, ">i2", np.int8):
        np.savez(tmp_path / "b.npz", signal=wave.astype(dtype), rate=100)
        np.testing.assert_allclose(read_as(tmp_path / "b.npz", 1, 50), expected, atol=1e-3)
    np.savez(tmp_path / "c.npz", signal=1e300 * wave, rate=100)
    with refuses("samples", "data"):
        read_as(tmp_path / "c.npz", 1, 50)


def test_one_sample_stays_what_it_is_at_another_rate(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", signal=[[9.8, -1.5]], rate=25)
    assert np.array_equal(read_as(tmp_path / "a.npz", 2, 50), np.float32([[9.8, -1.5]] * 2))


def test_arrays_that_are_no_signal_are_refused(tmp_path: Path) -> None:
    for array in (
        np.zeros((2, 3, 4)),
        np.array(["a"]),
        np.zeros((0, 2)),
        np.zeros((3, 2), complex),
    ):
        np.save(tmp_path / "a.npy", array)
        with refuses("samples", "data"):
            read_as(tmp_path / "a.npy", 2, None)
    np.savez(tmp_path / "a.npz", left=ROWS, right=ROWS)
    with refuses(tmp_path / "a.npz", "file"):
        read_as(tmp_path / "a.npz", 2, None)
    with pytest.raises(SrnnError, match=r"none\.csv was not found"):
        read_as(tmp_path / "none.csv", 2, None)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_named_pipe_is_said_to_be_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sensor.csv")
    with pytest.raises(
        SrnnError, match=r"sensor\.csv is a pipe or a device, .*srnn stream reads a pipe as -"
    ):
        read_as(tmp_path / "sensor.csv", 2, None)


@pytest.mark.parametrize("titles", [True, False])
def test_a_table_has_a_bounded_number_of_columns(titles: bool, tmp_path: Path) -> None:
    """One of 300,000 columns took half a minute, and as many gigabytes to train on."""
    for count in (COLUMNS, COLUMNS + 1):
        first = [f"c{k}" for k in range(count)] if titles else ["2"] * count
        lines = [",".join(first), ",".join(["1"] * count)]
        path = tmp_path / f"{count}.csv"
        path.write_text("\n".join(lines))
        if count == COLUMNS:
            assert read_recording(path).samples.shape == (2 - titles, COLUMNS)
            continue
        for read in (read_recording, read_titles, lambda _, lines=lines: list(Rows(lines, "-", 9))):
            with refuses("columns", "data"):
                read(path)


def test_many_channels_are_looked_up_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All names were listed anew for each channel."""
    (tmp_path / "a.csv").write_text("a,b,c\n1,2,3\n")
    made, looked = recordings._places, []
    monkeypatch.setattr(recordings, "_places", lambda one: looked.append(1) or made(one))
    found = take_channels(read_recording(tmp_path / "a.csv"), ["C", "a", "b"])
    assert found.samples.tolist() == [[3, 1, 2]] and len(looked) == 1
