"""Small data folders of the official layouts, enough to train a few steps of every recipe: one
function a data set."""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from srnn.data.datasets.qtdb_records import RECORDS
from support.sounds import sphere, tone, write_wav
from support.watched import write_movement

MINI = (
    "left",
    "down",
    "yes",
    "right",
    "off",
    "up",
    "on",
    "no",
    "go",
    "stop",
    "_silence_",
    "_unknown_",
)
_MINI_SPEAKERS = {
    "0cb74144": 1037,
    "1acc97de": 1041,
    "1b4c9b89": 1043,
    "0c40e715": 1024,
    "0487ba9b": 1181,
}
"""And as many pieces of silence: three for training, one each for validation and testing."""
_V1 = (
    "bed bird cat dog down eight five four go happy house left marvin nine no off on one right "
    "seven sheila six stop "
    "three tree two up wow yes zero"
)


def hide_beside(root: Path) -> None:
    """Next to every file the hidden one that macOS keeps there on a disk of another system: ._NAME,
    which holds no data."""
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")


def write_qtdb(root: Path) -> None:
    """The paper's training file: nine records of one or two windows, a window 1301 steps, the next
    1000 later."""
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    labels = []
    for windows in (2, 1, 1, 1, 1, 1, 1, 1, 2):
        track = np.repeat(rng.integers(-1, 6, 200), rng.integers(20, 90, 200))[
            : 1000 * windows + 301
        ]
        for k in range(windows):
            window = track[1000 * k : 1000 * k + 1301].copy()
            window[:19], window[19:38] = 0, -1
            labels.append(window)
    y = (np.stack(labels)[..., None] == np.arange(6)).astype(np.uint8)
    x = rng.choice([0, 0, 0, 1], (len(y), 1301, 4)).astype(np.int16)
    x[:, -1, 0] = -1
    path = root / "qtdb" / "paper_split" / "QTDB_train.mat"
    path.parent.mkdir(parents=True)
    savemat(path, {"x": x, "y": y, "t": np.arange(1301, dtype=np.uint16)}, do_compression=True)


def write_qtdb_records(root: Path) -> None:
    """Raw records for training and validation, in PhysioNet's layout: two leads at 250 Hz, four
    annotated beats; needs wfdb."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies, when it is loaded and when it writes
        _write_qtdb_records(root)


def _write_qtdb_records(root: Path) -> None:
    import wfdb

    folder = root / "qtdb" / "records"
    folder.mkdir(parents=True)
    marks = [
        (0, "("),
        (10, "p"),
        (20, ")"),
        (35, "("),
        (45, "N"),
        (55, ")"),
        (100, "t"),
        (120, ")"),
    ]
    where = np.array([start + at for start in (300, 500, 700, 900) for at, _ in marks])
    for number, name in enumerate((*RECORDS["train"], *RECORDS["validation"])):
        signal = np.random.default_rng(number).normal(size=(2000, 2)).cumsum(0) * 0.02
        wfdb.wrsamp(
            name,
            250,
            ["mV", "mV"],
            ["one", "two"],
            signal,
            fmt=["212", "212"],
            write_dir=str(folder),
        )
        wfdb.wrann(
            name, "qc", where, symbol=[symbol for _, symbol in marks] * 4, write_dir=str(folder)
        )
        (folder / f"{name}.qc").replace(folder / f"{name}.q1c")  # wfdb writes no names with a digit


def write_shd(root: Path) -> None:
    """The training file: two recordings of each of four speakers."""
    _write_events(root / "shd" / "shd_train.h5", 8, 20, speakers=np.arange(8, dtype=np.uint16) // 2)


def write_ssc(root: Path) -> None:
    """Training and validation files."""
    for name, count in (("train", 6), ("valid", 3)):
        _write_events(root / "ssc" / f"ssc_{name}.h5", count, 35)


def _write_events(
    path: Path, count: int, classes: int, speakers: npt.NDArray[np.uint16] | None = None
) -> None:
    import h5py

    rng = np.random.default_rng(count)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", (count,), h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", (count,), h5py.vlen_dtype(np.uint16))
        for index in range(count):
            spikes = int(rng.integers(500, 2000))
            times[index] = np.sort(rng.random(spikes)).astype(np.float16)
            units[index] = rng.integers(0, 700, spikes).astype(np.uint16)
        file["labels"] = rng.integers(0, classes, count).astype(np.uint16)
        if speakers is not None:
            file["extra/speaker"] = speakers


def write_mnist(root: Path) -> None:
    """The training file, of ten images; a recipe has to hold out fewer than its 10,000."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 28, 28), np.uint8)
    labels = np.arange(10, dtype=np.uint8)
    (root / "mnist").mkdir()
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        head = (0x0800 + array.ndim).to_bytes(4, "big") + b"".join(
            n.to_bytes(4, "big") for n in array.shape
        )
        (root / "mnist" / f"train-{name}-ubyte.gz").write_bytes(
            gzip.compress(head + array.tobytes())
        )


def write_soli(root: Path) -> None:
    """Two gestures of three subjects, all in the training half."""
    import h5py

    folder, rng = root / "soli", np.random.default_rng(0)
    folder.mkdir()
    names = [f"{gesture}_{subject}_0" for gesture in (0, 10) for subject in (2, 3, 5)]
    for name in names:
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for receiver in range(4):
                file[f"ch{receiver}"] = rng.random((30, 1024), np.float32)
            file["label"] = np.full((30, 1), int(name.split("_")[0]))
    (folder / "file_half.json").write_text(json.dumps({"train": names, "eval": names[:1]}))


def write_speech_commands(root: Path) -> None:
    """Version 1: a recording of each of the 30 words for training, of some for validation, and
    background noise."""
    folder = root / "speech_commands_v0.01"
    for index, word in enumerate(_V1.split()):
        write_wav(folder / word / "00000001_nohash_0.wav", tone(hz=200 + 40 * index, seed=index))
    validation = ["yes", "no", "bed"]
    for word in validation:
        write_wav(folder / word / "00000002_nohash_0.wav", tone(hz=300, seed=99))
    write_wav(folder / "_background_noise_" / "hum.wav", tone(12.0, hz=50))
    (folder / "validation_list.txt").write_text(
        "".join(f"{word}/00000002_nohash_0.wav\n" for word in validation)
    )
    (folder / "testing_list.txt").write_text("")


def write_speech_commands_mini(root: Path) -> None:
    """A clip a class of each of five speakers, three of them for training, and phones for some of
    them."""
    folder, labels = root / "speech_commands_mini", {}
    for index, word in enumerate(MINI):
        for number, (speaker, silence) in enumerate(_MINI_SPEAKERS.items()):
            name = f"{'bed_' if word == '_unknown_' else ''}{speaker}_nohash_0.wav"
            if word == "_silence_":
                name = f"{silence}.wav"
            else:
                labels[f"{word}/{name}"] = [["SIL", 0, 30], ["AA", 30, 40], ["SIL", 70, 29]]
            write_wav(folder / word / name, tone(0.9, hz=200 + 50 * index, seed=number))
    (folder / "phones.json").write_text(json.dumps({"labels": labels}))


def write_spoken_digits(root: Path) -> None:
    """A recording of two digits by each of the six speakers, of different lengths."""
    for index, speaker in enumerate(("george", "jackson", "lucas", "nicolas", "theo", "yweweler")):
        for digit in (3, 7):
            samples = tone(0.3 + 0.05 * index, rate=8000, hz=200 + 50 * digit)
            write_wav(root / "fsdd" / "recordings" / f"{digit}_{speaker}_10.wav", samples, 8000)


def write_spoken_digit_spikes(root: Path) -> None:
    write_spoken_digits(root)
    names = sorted(path.name for path in (root / "fsdd" / "recordings").iterdir())
    path = root / "fsdd" / "cochlea.h5"
    _write_events(path, len(names), 10)
    import h5py

    with h5py.File(path, "a") as file:
        file["extra/meta_info/file"] = [name.encode() for name in names]


def write_timit(root: Path) -> None:
    """Two sentences of each of three speakers for training; SPHERE sound with phones beside it."""
    for speaker in ("FAAA0", "MBBB0", "MCCC0"):
        for sentence, seconds in (("SA1", 0.4), ("SX10", 0.5), ("SI20", 0.6)):
            folder = root / "timit" / "TRAIN" / "DR1" / speaker
            folder.mkdir(parents=True, exist_ok=True)
            samples = tone(seconds)
            (folder / f"{sentence}.WAV").write_bytes(sphere(samples))
            third = len(samples) // 3
            marks = f"0 {third} h#\n{third} {2 * third} iy\n{2 * third} {len(samples)} h#\n"
            (folder / f"{sentence}.PHN").write_text(marks)
    (root / "timit" / "TEST").mkdir()


WRITERS: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {
        "ecg": write_qtdb,
        "ecg, records": write_qtdb_records,
        "shd": write_shd,
        "ssc": write_ssc,
        "smnist": write_mnist,
        "psmnist": write_mnist,
        "soli": write_soli,
        "soli_sequence": write_soli,
        "gsc": write_speech_commands,
        "gsc, mini": write_speech_commands_mini,
        "phones": write_speech_commands_mini,
        "spoken-digits": write_spoken_digits,
        "spoken-digits-spikes": write_spoken_digit_spikes,
        "timit": write_timit,
        "folder": write_movement,
    }
)
"""What writes the data of a task (and, after a comma, its source) into a data folder."""
