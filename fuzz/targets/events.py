"""HDF5: events in the layout of SHD, and arrays of one's own."""

from __future__ import annotations

import io
from pathlib import Path
from unittest import mock

import numpy as np

from ..target import Target, write
from .shared import each


def read(data: bytes, folder: Path) -> None:
    from srnn.data.datasets.arrays import describe, load_arrays
    from srnn.data.datasets.shd import check_file, read_recordings
    from srnn.data.datasets.splitting import Shares
    from srnn.data.encoders import EventBinning
    from srnn.deploy.export.nir import load as load_nir
    from srnn.files import hdf5

    path = write(folder, "a.h5", data)
    with mock.patch.object(hdf5, "CPU_SECONDS", 0.5):  # of the process that reads, which is ended then: no finding
        each(
            lambda: check_file(path),
            lambda: read_recordings(path, EventBinning(), 20),
            lambda: describe(path),
            lambda: load_arrays("train", path, Shares(0.15, 0.2), describe(path)),
            lambda: load_nir(path),
        )


def seeds() -> dict[str, bytes]:
    import h5py

    events, arrays = io.BytesIO(), io.BytesIO()
    with h5py.File(events, "w") as file:
        for name, kind, values in (("times", np.float16, [0.1, 0.2]), ("units", np.uint16, [3, 699])):
            rows = file.create_dataset(f"spikes/{name}", (2,), h5py.vlen_dtype(kind))
            rows[0] = rows[1] = np.array(values, kind)
        file["labels"], file["extra/speaker"] = np.array([0, 19]), np.array([1, 2])
        file["x"], file["y"] = np.ones((3, 2, 2), np.float32), np.array([0, 1, 0])  # so that all readers take it
        file["split"] = np.array([b"train", b"validation", b"test"])
    with h5py.File(arrays, "w") as file:
        file.create_dataset("x", data=np.ones((4, 2, 2), np.float32), chunks=(2, 2, 2), compression="gzip")
        file["y"] = np.array([0, 1, 0, 1])
        file["groups"] = np.array([b"p", b"q", b"r", b"s"])
    return {"events": events.getvalue(), "arrays": arrays.getvalue()}


TARGETS = (Target("hdf5", read, seeds, allowed=frozenset(("processes",)), largest=16384),)
