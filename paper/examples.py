"""The networks' inputs: one example of each task, from the real data if available."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srnn.data.datasets import qtdb_records
from srnn.data.datasets.audio import read_audio
from srnn.data.datasets.base import resolve_data_dir
from srnn.data.datasets.ecg import ECGTask
from srnn.data.datasets.mnist import permutation, read_images
from srnn.data.datasets.qtdb import CLASS_NAMES, SAMPLE_RATE
from srnn.data.datasets.shd import find_file
from srnn.data.encoders.cochlea import Cochlea, clip_key
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from srnn.files.hdf5 import lists, open_hdf5
from srnn.measure import style

from .evidence import Evidence
from .sheet import Made, MissingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def segments(
    axes: Any, labels: np.ndarray, low: float, high: float, room: int | None = None
) -> None:
    """Coloured stretches of equal labels between two heights; -1 stays blank.

    room: the width of a letter in steps; names are written where they fit. None: no names.
    """
    starts = np.flatnonzero(np.diff(labels, prepend=-2))
    for start, stop in zip(starts, [*starts[1:], len(labels)], strict=True):
        value = int(labels[start])
        if value < 0:
            continue
        axes.fill_between([start, stop], low, high, color=style.SEGMENTS[value], lw=0)
        name, middle = CLASS_NAMES[value], ((start + stop) / 2, (low + high) / 2)
        if room is not None and stop - start > room * (len(name) + 1):
            axes.text(*middle, name, ha="center", va="center", fontsize=5.5, color="white")


def ecg_example(axes: Axes, evidence: Evidence) -> Made:
    """A lead of a raw record with its labels, and the level-crossing spikes that the network
    gets."""
    from matplotlib.patches import Patch

    try:
        folder = qtdb_records.records_folder(evidence.data_dir)
        name = qtdb_records.RECORDS["train"][0]
        record = qtdb_records.read_record(folder, name)
    except SrnnError as error:
        raise MissingError(str(error)) from error
    path = ECGTask("records").signal()
    first = qtdb_records.annotated_stretches(record.labels)[0][0]
    cut = slice(max(first - 40, 0), first + 410)
    signal, labels = path.smoothed(record.signal)[cut], record.labels[cut]
    spikes, _ = path.crossing(signal)
    lead = signal[:, 0]
    top, low = float(lead.max()), float(lead.min())
    height = (top - low) / 9
    axes.plot(lead, color=style.BLACK, lw=0.8)
    segments(axes, labels, top + height, top + 2.2 * height, room=12)
    for channel in range(4):
        at = low - (1.5 + 1.7 * channel) * height
        axes.vlines(
            np.flatnonzero(spikes[:, channel]),
            at - 0.6 * height,
            at + 0.6 * height,
            lw=0.6,
            color=style.BLUE if channel % 2 == 0 else style.ORANGE,
        )
        axes.text(-6, at, ("1↑", "1↓", "2↑", "2↓")[channel], ha="right", va="center", fontsize=6)
    seconds = np.arange(0, len(lead), SAMPLE_RATE)
    axes.set_xticks(seconds, [f"{t // SAMPLE_RATE}" for t in seconds])
    axes.set(xlabel="time, s", yticks=[], xlim=(0, len(lead)))
    axes.spines["left"].set_visible(False)
    patches = [
        Patch(color=colour, label=name)
        for name, colour in zip(CLASS_NAMES, style.SEGMENTS, strict=True)
    ]
    style.legend_below(
        axes,
        6,
        handles=patches,
        fontsize=6,
        handlelength=0.8,
        handletextpad=0.3,
        columnspacing=0.7,
    )
    return Made(
        f"QTDB record {name}, lead 1 normalised; labels by the cardiologist (q1c); level crossing "
        "at 0.1 standard deviations",
        {
            "record": name,
            "signal": lead.tolist(),
            "labels": labels.tolist(),
            "spikes": spikes.astype(int).tolist(),
        },
    )


def spikes_example(axes: Axes, evidence: Evidence) -> Made:
    """A spoken seven as spikes: from SHD if it is there, else a recording of the spoken digits
    through our cochlea."""
    data = "SHD"
    try:
        times, units, source = _shd_seven(evidence)
    except SrnnError:
        times, units, source = _cochlea_seven(evidence)
        data = "spoken digits, not SHD"
    last = 1000 * float(times.max(initial=0.001)) + 10
    axes.plot(1000 * times, units, ",", color=style.BLUE, alpha=0.9, rasterized=True)
    axes.set(xlabel="time, ms", ylabel="place (0: high tones)", ylim=(700, 0), xlim=(0, last))
    return Made(source, {"spikes": len(times)}, f"“seven” ({data})")


def _shd_seven(evidence: Evidence) -> tuple[np.ndarray, np.ndarray, str]:
    """The first "seven" of SHD's training file. SrnnError if the file is not there."""
    path = find_file("shd", "train", evidence.data_dir)
    with open_hdf5(path, "recordings in HDF5") as file:
        index = int(np.flatnonzero(file["labels"][:] == 7)[0])
        (times,), (units,) = (
            lists(file[f"spikes/{name}"], index, index + 1) for name in ("times", "units")
        )
        return (
            times.astype(np.float64),
            units.astype(np.int64),
            f"SHD training file, clip {index}, label 7",
        )


def _cochlea_seven(evidence: Evidence) -> tuple[np.ndarray, np.ndarray, str]:
    folder = resolve_data_dir(evidence.data_dir) / "fsdd" / "recordings"
    path = folder / "7_jackson_10.wav"
    if not path.is_file():
        raise MissingError(
            "Neither SHD nor the Free Spoken Digit Dataset was found under "
            f"{resolve_data_dir(evidence.data_dir)}",
            "srnn data fetch shd",
        )
    try:
        samples, rate = read_audio(path)
        times, units = Cochlea().spikes(samples, rate, clip_key(0, path.stem))
    except SrnnError as error:
        raise MissingError(str(error)) from error
    return (
        times,
        units.astype(np.int64),
        f"not SHD: {path.name} of the Free Spoken Digit Dataset through srnn.data.encoders.cochlea",
    )


def gesture_example(axes: Axes, evidence: Evidence) -> Made:
    """Frames of a radar gesture."""
    try:
        split = create_task("soli").load("train", evidence.data_dir)
    except SrnnError as error:
        raise MissingError(
            "SoLi is not here: its range-Doppler images are read from your own copy.",
            "srnn data list",
        ) from error
    frames = np.asarray(split.x[:1])[0].reshape(len(split.x[0]), 32, 32)
    shown = np.linspace(0, len(frames) - 1, 6).astype(int)
    strip = np.concatenate(
        [np.pad(frames[index], ((0, 0), (0, 2)), constant_values=np.nan) for index in shown], axis=1
    )
    axes.imshow(strip, aspect="auto", cmap="cividis")
    axes.set_xticks(16 + 34 * np.arange(len(shown)), [str(index) for index in shown])
    axes.set(xlabel="frame", yticks=[])
    return Made("SoLi, first gesture of the training split", {"frames": shown.tolist()})


def pixels_example(axes: Axes, evidence: Evidence) -> Made:
    """A digit as S-MNIST and PS-MNIST read it, with the digit itself."""
    try:
        images, labels, path = read_images("train", evidence.data_dir)
    except SrnnError as error:
        raise MissingError(str(error)) from error
    image = images[0].reshape(28, 28)
    pixels = image.reshape(-1) / 255
    axes.plot(pixels, color=style.BLUE, lw=0.5)
    axes.plot(pixels[permutation(0)] - 1.25, color=style.ORANGE, lw=0.5)
    axes.set_yticks([0.5, -0.75], ["in order\n(S-MNIST)", "permuted\n(PS-MNIST)"])
    axes.set(xlabel="step: pixel after pixel", xlim=(0, 920), ylim=(-1.4, 1.1))
    axes.set_xticks(range(0, 785, 112))
    axes.imshow(image, cmap="gray_r", extent=(805, 915, -0.9, 0.6), aspect="auto")
    axes.text(860, 0.7, f"“{int(labels[0])}”", ha="center", fontsize=7)
    return Made(
        f"first training image of MNIST ({path.name}); permutation of seed 0",
        {"pixels": pixels.tolist()},
    )
