"""Where a live signal comes from: files of sound, rows and records, raw standard input, a
microphone."""

from __future__ import annotations

import io
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.data.encoders.level_crossing import LevelCrossing
from srnn.data.gaps import Gaps, Missing
from srnn.data.recordings import ReadingOverrides
from srnn.data.signals import CrossingPath, ScaledPath
from srnn.deploy.streaming.sources import Source, open_microphone, open_source
from srnn.errors import SrnnError
from support.refusing import refuses
from support.signals import read_as
from support.sounds import write_wav


def whole(source: Source) -> np.ndarray:
    return source.whole()


def test_a_table_is_given_on_in_blocks_and_what_is_wrong_in_it_is_said_at_once(
    tmp_path: Path,
) -> None:
    path = tmp_path / "long.csv"
    rows = ["a,b", *(f"{number},{-number}" for number in range(9))]
    path.write_text("\n".join(rows))
    blocks = open_source(str(path), ScaledPath(2, 100), 4).blocks
    assert next(blocks).tolist() == [[0, 0], [1, -1], [2, -2], [3, -3]] and len(next(blocks)) == 4
    late = "\n".join([*rows, "1,nan"])
    for text, message in ((late, r"long.csv, line 11: sample 9 is not finite in channel 1 "
                                 r"\(counted from 0\): nan"),
                          ("a,b,c\n1,2,3\n", r"long.csv has 3 channels; this network reads 2"),
                          ("a,b\n1,2,3\n", "3 numbers under 2 names"),
                          ("a,b\n", "no samples"), ("", "is empty")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(SrnnError, match=message):
            open_source(str(path), ScaledPath(2, 100), 4)
    with pytest.raises(SrnnError, match="was not found"):
        open_source(str(tmp_path / "none.csv"), ScaledPath(2, 100), 4)


def test_a_table_with_times_is_resampled_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "timed.csv"
    path.write_text("\n".join(["time,x", *(f"{number / 50},{number % 7}" for number in range(40))]))
    assert np.array_equal(
        open_source(str(path), ScaledPath(1, 100), 8).whole(), read_as(path, 1, 100)
    )
    assert len(open_source(str(path), ScaledPath(1, 50), 8).whole()) == 40
    path.write_text(
        "\n".join([",x", *(f"{number},{number % 7}" for number in range(40))])
    )  # numbered rows
    assert np.array_equal(
        open_source(str(path), ScaledPath(1, 100), 8).whole(), read_as(path, 1, 100)
    )


def test_a_file_comes_in_blocks_at_the_rate_that_is_wanted(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.arange(100, dtype=np.int16), 8000)
    for rate, samples in ((8000, 100), (16000, 200)):
        source = open_source(str(path), ScaledPath(1, rate), 7)
        blocks = list(source.blocks)
        assert {len(block) for block in blocks[:-1]} == {7}
        assert np.array_equal(np.concatenate(blocks), read_as(path, 1, rate))
        assert sum(map(len, blocks)) == samples


def test_records(data_dir: Path) -> None:
    pytest.importorskip("wfdb")
    path = sorted((data_dir / "qtdb" / "records").glob("*.hea"))[0]
    for name in (path, path.with_suffix(".dat"), path.with_suffix("")):
        found = open_source(str(name), ScaledPath(2, 250), 10000)
        assert next(found.blocks).shape == (10000, 2) and len(found.whole()) == 900 * 250 - 10000
    with pytest.raises(SrnnError, match="has 2 channels; this network reads 4"):
        open_source(str(path), ScaledPath(4, 250), 10)


class Slowly(io.RawIOBase):
    """Bytes that come some at a time, as from a pipe."""

    def __init__(self, content: bytes, size: int) -> None:
        self._parts = [content[i : i + size] for i in range(0, len(content), size)]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._parts.pop(0) if self._parts else b""
        buffer[: min(len(part), len(buffer))] = part[: len(buffer)]
        if len(part) > len(buffer):
            self._parts.insert(0, part[len(buffer) :])
        return min(len(part), len(buffer))


@pytest.mark.parametrize("size", [1, 3, 4, 7, 64, 1000])
def test_raw_standard_input(size: int) -> None:
    x = np.arange(30, dtype="<i2").reshape(15, 2)
    for raw, data, expected in (
        ("int16", x.tobytes(), x / 32768),
        ("float32", x.astype("<f4").tobytes(), x),
    ):
        stdin: Any = io.BufferedReader(Slowly(data, size))  # type: ignore[arg-type]
        found = whole(open_source("-", CrossingPath(LevelCrossing(), 2, 250), 4, raw, stdin))  # type: ignore[arg-type]
        assert np.array_equal(found, expected.astype(np.float32))
    stdin = io.BufferedReader(Slowly(x.tobytes()[:-1], size))  # type: ignore[arg-type]
    with refuses("standard input", "file"):
        whole(open_source("-", ScaledPath(2, 250), 4, "int16", stdin))
    with pytest.raises(SrnnError, match="holds no samples"):
        whole(open_source("-", ScaledPath(2, 250), 4, "csv", io.BytesIO(b"")))
    bad = np.array([[1, 2], [3, np.inf]], "<f4")
    with pytest.raises(
        SrnnError, match=r"sample 1 is not finite in channel 1 \(counted from 0\): inf"
    ):
        whole(open_source("-", ScaledPath(2, 250), 4, "float32", io.BytesIO(bad.tobytes())))


def test_a_pipe_is_read_as_it_comes_or_in_full_blocks() -> None:
    x = np.arange(30, dtype="<i2").reshape(15, 2)
    text = "\n".join(f"{a},{b}" for a, b in x).encode()
    for raw, data in (("csv", text), ("int16", x.tobytes())):
        for at_once, sizes in ((False, [6, 6, 3]), (True, [1] * 15)):
            stdin: Any = io.BufferedReader(Slowly(data, 4), 4)  # type: ignore[arg-type]
            source = open_source("-", ScaledPath(2, 250), 6, raw, stdin, at_once=at_once)  # type: ignore[arg-type]
            blocks = list(source.blocks)
            assert [len(block) for block in blocks] == sizes
            assert np.array_equal(np.concatenate(blocks), x)


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4\n",
        "a;b\n1;2\n3;4",
        "\ufeff1 2\r\n\r\n# note\r\n3\t4\r\n",
        "# note\n\na,b\n1,2 # one, two\n3,4",
    ],
)
def test_rows(text: str) -> None:
    for stdin in (io.BytesIO(text.encode()), io.BufferedReader(Slowly(text.encode(), 3))):  # type: ignore[arg-type]
        assert np.array_equal(
            whole(open_source("-", ScaledPath(2, 250), 1, "csv", stdin)), [[1, 2], [3, 4]]
        )


@pytest.mark.parametrize("block", [1, 100])
def test_rows_from_a_pipe_are_read_by_name_and_unit(block: int) -> None:
    signal = ScaledPath(2, 250, names=("ax", "az"), units=("m/s2", "m/s2"))

    def piped(text: str, said: ReadingOverrides = ReadingOverrides()) -> np.ndarray:  # noqa: B008
        return whole(open_source("-", signal, block, "csv", io.BytesIO(text.encode()), said=said))

    rows = "1,2,3\n4,5,6\n"
    np.testing.assert_allclose(
        piped(f"az (g),t,ax (m/s2)\n{rows}"), [[3, 9.80665], [6, 4 * 9.80665]]
    )
    with pytest.warns(
        RuntimeWarning, match="^standard input: it does not state its units: taken as in m/s2"
    ) as told:
        assert piped(f"u,v,w\n{rows}", ReadingOverrides(channels=["w", 0])).tolist() == [
            [3, 1],
            [6, 4],
        ]
    assert len(told) == 1
    signal = ScaledPath(2, 250, names=("ax", "az"))
    assert piped(
        "timestamp,ax,az\n2026-03-01T00:00:00Z,1,2\n2026-03-01T00:00:00.004Z,3,4\n"
    ).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(SrnnError, match="standard input has no ax, az: its channels are u, v, w"):
        piped(f"u,v,w\n{rows}")


@pytest.mark.parametrize("block", [1, 3, 100])
@pytest.mark.parametrize("missing", ["interpolate", "hold"])
def test_gaps_in_a_pipe_are_filled_as_those_of_a_file(
    block: int, missing: Missing, tmp_path: Path
) -> None:
    text = "ay (g),t,ax (g)\n1,1,1\n2,,nan\n3,,\n4,1,4\n5,1,5\n"
    (tmp_path / "a.csv").write_text(text)
    signal = ScaledPath(2, 250, names=("ax", "ay"), units=("m/s2", "m/s2"))
    said = ReadingOverrides(gaps=Gaps(missing))
    whole = open_source(str(tmp_path / "a.csv"), signal, 9, said=said).whole()
    told = (
        rf"^standard input: values are missing, and are filled in \({missing}\), at most 25 in "
        rf"a row"
    )
    with pytest.warns(RuntimeWarning, match=told) as warned:
        piped = open_source(
            "-", signal, block, "csv", io.BytesIO(text.encode()), at_once=False, said=said
        ).whole()
    assert np.array_equal(piped, whole) and len(warned) == 1
    x = np.array([[1, 2], [np.nan, 3], [4, np.nan], [5, 6]], "<f4")
    np.save(tmp_path / "a.npy", x)
    whole = open_source(str(tmp_path / "a.npy"), ScaledPath(2, 250), 9, said=said).whole()
    with pytest.warns(RuntimeWarning, match=told):
        stdin: Any = io.BufferedReader(Slowly(x.tobytes(), 5))
        raw = open_source("-", ScaledPath(2, 250), block, "float32", stdin, said=said).whole()
    assert np.array_equal(raw, whole)


@pytest.mark.filterwarnings("ignore:standard input")
@pytest.mark.parametrize(
    ("text", "gaps", "told"),
    [
        (
            "1,2\n,2\n,2\n3,4\n",
            Gaps(longest=1),
            "standard input: 2 samples or more are missing in channel 0 .* after sample 0",
        ),
        (
            "1,2\n3,\n",
            Gaps(),
            r"standard input: sample 1 is not finite in channel 1 \(counted from 0\): nan",
        ),
        (",2\n3,4\n", Gaps(), r"standard input: sample 0 is not finite in channel 0"),
        ("1,2\n,4\n5,6\n", Gaps("refuse"), "standard input, line 2: column 1 of 2 is empty"),
        (
            "1,2\nnan,4\n5,6\n",
            Gaps("refuse"),
            "standard input, line 2: sample 1 is not finite in channel 0",
        ),
        (
            "1,2\ninf,4\n5,6\n",
            Gaps("hold"),
            "standard input, line 2: sample 1 is not finite in channel 0 .*: inf",
        ),
        ("time,a,b\n0,1,2\n,1,2\n", Gaps(), "standard input, line 3: the time is not finite"),
    ],
)
def test_gaps_in_a_pipe_that_may_not_be_filled_are_one_line(
    text: str, gaps: Gaps, told: str
) -> None:
    source = open_source(
        "-",
        ScaledPath(2, 250),
        4,
        "csv",
        io.BytesIO(text.encode()),
        said=ReadingOverrides(gaps=gaps),
    )
    with pytest.raises(SrnnError, match=told):
        source.whole()


@pytest.mark.parametrize("block", [1, 7, 100])
def test_times_that_tell_another_rate_are_noticed(block: int) -> None:
    """Rows from a pipe are not resampled: at 500 Hz a network for 250 heard everything half as
    fast, and nobody was told."""

    def piped(every: float, rows: int = 60, rate: float | None = 250) -> np.ndarray:
        text = "time_ms,a,b\n" + "".join(
            f"{every * t + t % 2 * 0.1:.3f},{t},1\n" for t in range(rows)
        )
        return whole(open_source("-", ScaledPath(2, rate), block, "csv", io.BytesIO(text.encode())))

    with pytest.warns(
        RuntimeWarning, match=r"rows are 0\.00\d+ s apart, and this network takes each as 0\.004 s"
    ) as told:
        assert piped(2.0)[:, 0].tolist() == [*range(60)]
    assert len(told) == 1
    assert (
        len(piped(4.1)) == 60 and len(piped(2.0, rate=None)) == 60
    )  # nearly that rate; not in time
    assert len(piped(2.0, rows=31)) == 31  # too few to tell


def test_the_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        """A device that gives three blocks at once."""

        def __init__(self, callback: Any, samplerate: float, device: Any, **_: Any) -> None:
            self.callback, self.device = callback, device

        def __enter__(self) -> None:
            for i in range(3):
                self.callback(np.full((80, 1), i, np.float32), 80, None, None)

        def __exit__(self, *_: object) -> None:
            pass

    module = types.SimpleNamespace(InputStream=Fake, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    blocks = open_microphone(1, 8000, 80, "2").blocks
    assert [next(blocks)[0, 0] for _ in range(3)] == [0, 1, 2]
