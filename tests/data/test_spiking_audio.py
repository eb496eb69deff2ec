"""Sound files to a file of spikes: its layout, whatever the order and the workers, and bad input in
one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import wavfile

from srnn.cli.main import main
from srnn.data.datasets import spiking_audio
from srnn.data.datasets.files import Item
from srnn.data.datasets.spiking_audio import convert, find_clips
from srnn.data.encoders import Cochlea
from srnn.data.encoders.cochlea import clip_key
from srnn.errors import SrnnError
from support.refusing import refuses


def tone(frequency: float, seconds: float, rate: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10_ann_0.wav, 2_ann_0.wav, 2_bob_0.wav: sorted by name, 10 comes first; as a number, last."""
    folder = tmp_path_factory.mktemp("recordings")
    for index, name in enumerate(("10_ann_0", "2_ann_0", "2_bob_0")):
        x = (tone(300 * (index + 1), 0.05 + 0.02 * index) * 2e4).astype(np.int16)
        wavfile.write(folder / f"{name}.wav", 8000, np.stack([x, x], axis=1) if index == 1 else x)
    return folder


SMALL = Cochlea(places=50)


def of(files: list[Path], labels: list[int], speakers: list[int]) -> list[Item]:
    """Clips with these labels and speakers, named as the files are."""
    return [
        Item(f, f.name, str(n), str(s)) for f, n, s in zip(files, labels, speakers, strict=True)
    ]


def test_a_folder_becomes_a_file_of_the_layout_of_shd(recordings: Path, tmp_path: Path) -> None:
    clips = find_clips([recordings], "{label}_{speaker}_{index}")
    seen: list[tuple[int, int]] = []
    out = tmp_path / "new" / "spikes.h5"
    done = convert(clips, out, cochlea=SMALL, workers=2, progress=lambda *n: seen.append(n))
    assert (
        done.clips == 3 and done.seconds == pytest.approx(0.21) and seen == [(1, 3), (2, 3), (3, 3)]
    )
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["spikes.h5"]
    with h5py.File(tmp_path / "new" / "spikes.h5") as file:
        assert file["labels"][:].tolist() == [1, 0, 0] and file["extra/speaker"][:].tolist() == [
            0,
            0,
            1,
        ]
        assert file["extra/keys"].asstr()[:].tolist() == ["2", "10"]
        assert file["extra/meta_info/speaker"].asstr()[:].tolist() == ["ann", "bob"]
        assert file["extra/meta_info/file"].asstr()[:].tolist() == [c.name for c in clips]
        times, units = file["spikes/times"], file["spikes/units"]
        assert sum(len(t) for t in times) == sum(len(u) for u in units) == done.spikes > 0
        samples = wavfile.read(recordings / "2_bob_0.wav")[1]
        when, unit = SMALL.spikes(samples, 8000, clip_key(0, "2_bob_0.wav"))
        np.testing.assert_array_equal(times[2], when.astype(np.float32))
        np.testing.assert_array_equal(units[2], unit)
        assert units[2].dtype == np.uint16
        assert (
            json.loads(file.attrs["cochlea"])["hair_cell"]["capacity"] == 1.0
            and file.attrs["seed"] == 0
        )


def test_clips_as_a_stream_hears_them(recordings: Path, tmp_path: Path) -> None:
    words = [
        "data",
        "encode",
        "cochlea",
        str(recordings),
        "--pattern",
        "{label}_{speaker}_{index}",
        "--places",
        "50",
    ]
    for length in (0.04, 0.2):  # cut, and followed by silence
        out = tmp_path / f"{length}.h5"
        assert main([*words, "--as-stream", "3", "--length", str(length), "--out", str(out)]) == 0
        ear = Cochlea(places=50, level=None, ramps=False)
        for name in ("2_ann_0.wav", "2_bob_0.wav"):
            samples = np.atleast_2d(wavfile.read(recordings / name)[1].T)[0] / 32768
            heard = np.concatenate([3 * samples, np.zeros(2000)])[: round(length * 8000)]
            when, unit = ear.spikes(heard, 8000, clip_key(0, name))
            with h5py.File(out) as file:
                assert json.loads(file.attrs["cochlea"])["gain"] == 3
                names = file["extra/meta_info/file"].asstr()[:].tolist()
                np.testing.assert_allclose(file["spikes/times"][names.index(name)], when, rtol=1e-6)
                np.testing.assert_array_equal(file["spikes/units"][names.index(name)], unit)
    for bad in (0, -1, float("nan")):
        with pytest.raises(SrnnError, match="gain"):
            Cochlea(level=None, gain=bad)
    with pytest.raises(SrnnError, match="level"):
        Cochlea(gain=2)


def test_order_and_workers_do_not_matter(recordings: Path, tmp_path: Path) -> None:
    files = sorted(recordings.iterdir())
    convert(of(files, [0, 1, 2], [0, 0, 0]), tmp_path / "a.h5", cochlea=SMALL, workers=1)
    convert(
        of(files[::-1], [2, 1, 0], [0, 0, 0]),
        tmp_path / "b.h5",
        cochlea=Cochlea(places=50),
        workers=3,
    )
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        for i in range(3):
            np.testing.assert_array_equal(a["spikes/times"][i], b["spikes/times"][2 - i])
            np.testing.assert_array_equal(a["spikes/units"][i], b["spikes/units"][2 - i])


def test_the_data_set_of_spikes_reads_it(recordings: Path, tmp_path: Path) -> None:
    shd = pytest.importorskip("srnn.data.datasets.shd")
    from srnn.data.encoders import EventBinning

    convert(
        of(sorted(recordings.iterdir()), [0, 1, 2], [0, 0, 1]), tmp_path / "a.h5", cochlea=SMALL
    )
    _, labels, speakers = shd.read_recordings(tmp_path / "a.h5", EventBinning(), 3)
    assert labels.tolist() == [0, 1, 2] and speakers is not None and speakers.tolist() == [0, 0, 1]


def test_labels_from_folders(recordings: Path, tmp_path: Path) -> None:
    for word in ("yes", "no"):
        (tmp_path / word).mkdir()
        (tmp_path / word / "ann_nohash_0.wav").write_bytes(
            (recordings / "2_ann_0.wav").read_bytes()
        )
    (tmp_path / "no" / "._ann_nohash_0.wav").write_bytes(
        b"\0"
    )  # hidden, as macOS leaves beside a copied file
    clips = find_clips([tmp_path], "{speaker}_nohash_{index}")
    assert [(c.name, c.label, c.group) for c in clips] == [
        ("no/ann_nohash_0.wav", "no", "ann"),
        ("yes/ann_nohash_0.wav", "yes", "ann"),
    ]
    assert [c.group for c in find_clips([tmp_path])] == ["", ""]
    assert find_clips([tmp_path / "no" / "ann_nohash_0.wav"])[0].label == "no"


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        ("{word}_{index}", "each once"),
        ("{label}{label}", "each once"),
        ("{index}", "extracts nothing"),
        ("{label}-{index}", "does not match"),
    ],
)
def test_bad_patterns_are_one_line(recordings: Path, pattern: str, word: str) -> None:
    with pytest.raises(SrnnError, match=word):
        find_clips([recordings], pattern)


def test_a_bad_clip_is_named_or_left_out(recordings: Path, tmp_path: Path) -> None:
    good = recordings / "2_ann_0.wav"
    broken, silent, cut = tmp_path / "broken.wav", tmp_path / "silent.wav", tmp_path / "cut.wav"
    broken.write_bytes(b"RIFF0000not a wave")
    cut.write_bytes(good.read_bytes()[:30])
    wavfile.write(silent, 8000, np.zeros(500, np.int16))
    out = tmp_path / "out.h5"
    out.write_bytes(b"old")
    for bad in (broken, silent, cut):
        with pytest.raises(SrnnError, match=bad.name) as error:
            convert(of([good, bad], [0, 1], [0, 0]), out, cochlea=SMALL)
        assert "\n" not in str(error.value) and out.read_bytes() == b"old"
    with pytest.raises(SrnnError, match="None of the 2 clips"):
        convert(of([broken, silent], [0, 1], [0, 0]), out, cochlea=SMALL, leave_out_bad=True)
    done = convert(
        of([silent, good, cut], [0, 1, 2], [0, 1, 0]), out, cochlea=SMALL, leave_out_bad=True
    )
    assert done.clips == 1 and [line.split(":")[0] for line in done.left_out] == [
        str(silent),
        str(cut),
    ]
    with h5py.File(out) as file:
        assert file["labels"][:].tolist() == [1] and file["spikes/times"].shape == (1,)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "broken.wav",
        "cut.wav",
        "out.h5",
        "silent.wav",
    ]


def test_a_bad_clip_is_found_before_the_first_is_converted(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*_: object) -> None:
        raise AssertionError("converted")

    for name in ("broken.wav", "late.wav"):
        (tmp_path / name).write_bytes(b"RIFF0000not a wave")
    monkeypatch.setattr(Cochlea, "spikes", no)
    files = [recordings / "2_ann_0.wav", tmp_path / "broken.wav", tmp_path / "late.wav"]
    with refuses("clips", "data"):
        convert(of(files, [0, 1, 2], [0, 0, 0]), tmp_path / "o.h5", cochlea=SMALL)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.wav", "late.wav"]


def test_the_same_name_in_two_folders(recordings: Path, tmp_path: Path) -> None:
    for folder in ("a/in", "b/in"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "2_ann_0.wav").write_bytes((recordings / "2_ann_0.wav").read_bytes())
    (tmp_path / "b" / "in" / "2_bob_0.wav").write_bytes((recordings / "2_bob_0.wav").read_bytes())
    names = [clip.name for clip in find_clips([tmp_path / "a" / "in", tmp_path / "b" / "in"])]
    assert names == ["a/in/2_ann_0.wav", "b/in/2_ann_0.wav", "b/in/2_bob_0.wav"]
    again = find_clips([tmp_path / "b", tmp_path / "b" / "in" / "2_ann_0.wav"])
    assert [clip.name for clip in again] == ["in/2_ann_0.wav", "in/2_bob_0.wav"]


def test_a_misnamed_clip_is_left_out_when_asked(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("2_ann_0.wav", "odd.wav"):
        (tmp_path / name).write_bytes((recordings / "2_ann_0.wav").read_bytes())
    out = tmp_path / "o.h5"
    words = [
        "data",
        "encode",
        "cochlea",
        str(tmp_path),
        "--pattern",
        "{label}_{speaker}_{index}",
        "--out",
        str(out),
    ]
    assert (
        main(words) == 2
        and "odd.wav does not match the pattern" in capsys.readouterr().err
        and not out.exists()
    )
    assert main([*words, "--places", "40", "--leave-out-bad", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["clips"] == 1 and "odd.wav does not match" in report["left_out"][0]
    (tmp_path / "2_ann_0.wav").unlink()
    words[-1] = str(tmp_path / "new.h5")
    assert main([*words, "--leave-out-bad"]) == 2 and "odd.wav" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"clips": []}, "no clips"),
        (
            {"clips": [Item(Path("a"), "a", "", ""), Item(Path("b"), "a", "", "")]},
            "Each clip needs a name of its own",
        ),
        ({"time_type": "float64"}, "float32"),
        ({"workers": 0}, "workers"),
        ({"workers": 100000}, "workers"),
        ({"length": 0.001}, "length"),
        ({"out": "."}, "folder"),
        ({"out": "/dev/null/x.h5"}, "Cannot write"),
    ],
)
def test_bad_arguments_are_one_line(
    recordings: Path, tmp_path: Path, options: dict, word: str
) -> None:
    files = [recordings / "2_ann_0.wav", recordings / "2_bob_0.wav"]
    given = {
        "clips": of(files, [0, 1], [0, 0]),
        "out": tmp_path / "o.h5",
        "cochlea": SMALL,
    } | options
    given["out"] = Path(given["out"])
    with pytest.raises(SrnnError, match=word):
        convert(**given)
    assert not list(tmp_path.iterdir())


def test_an_error_of_hdf5_leaves_nothing_behind(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.Dataset, "resize", full)
    with pytest.raises(SrnnError, match="No space left"):
        convert(of([recordings / "2_ann_0.wav"], [0], [0]), tmp_path / "o.h5", cochlea=SMALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="limits of a process")
@pytest.mark.parametrize("most", [0, 1000, 3000, 6000])
def test_a_full_disk_is_one_line(recordings: Path, tmp_path: Path, most: int) -> None:
    """HDF5, told of it, failed again while it closed the file: pages of tracebacks, and now and
    then a crash."""
    import resource

    clips, before = (
        find_clips([recordings], "{label}_{speaker}_{index}"),
        resource.getrlimit(resource.RLIMIT_FSIZE),
    )
    SMALL.spikes(tone(300, 0.05), 8000, 0)  # compiled code would not fit, either
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        with pytest.raises(SrnnError, match=r"^Cannot write .*o\.h5: File too large\.$"):
            convert(clips, tmp_path / "o.h5", cochlea=SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="limits of a process")
def test_what_no_longer_fits_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    """HDF5 believes what it reads: beyond the end of the file that was whatever memory held."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (tmp_path / "file").open("w+b") as file:
        disk = spiking_audio._Disk(file)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
        try:
            for place, content in ((0, b"abcdefgh"), (10, b"klm"), (2, b"CDEF")):
                disk.seek(place)
                assert disk.write(content) == len(content)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        for place, found in ((0, b"abCDEFgh"), (3, b"DEF"), (10, b"klm"), (11, b"l")):
            disk.seek(place)
            buffer = bytearray(b"?" * len(found))
            assert disk.readinto(buffer) == len(found) and buffer == found
            disk.seek(place)
            assert disk.read(len(found)) == found
        disk.seek(12)
        assert disk.read(5) == b"m"
        with pytest.raises(OSError, match="File too large"):
            disk.check()


def test_the_command(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "digits.h5"
    words = [
        "data",
        "encode",
        "cochlea",
        str(recordings),
        "--pattern",
        "{label}_{speaker}_{index}",
        "--out",
        str(out),
        "--places",
        "40",
    ]
    assert main([*words, "--json", "--times", "float16"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["clips"] == 3 and report["file"] == str(out) and report["left_out"] == []
    with h5py.File(out) as file:
        assert file["spikes/times"][0].dtype == np.float16
    assert main([*words, "--overwrite"]) == 0
    assert "3 clips" in capsys.readouterr().out
    assert main(["data", "encode", "cochlea", str(tmp_path / "no"), "--out", "new.h5"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
