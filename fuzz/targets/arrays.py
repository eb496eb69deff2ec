"""Arrays in files: IDX, .npy, .npz, and tables that name them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pandas

from ..mending import mend_npy, mend_zip, packed
from ..target import Target, write
from .shared import CUT, each, npy, npz, parts

# Once before any input: what pandas imports and looks up only then would be forbidden.
pandas.read_csv(io.StringIO("a\n1.5\n"), engine="c")

NUMPY = ("numpy.lib._format_impl", "numpy.lib._npyio_impl", "zipfile")


def read_idx(data: bytes, folder: Path) -> None:
    from srnn.data.datasets.mnist import _IMAGES, _LABELS, read_idx

    each(
        lambda: read_idx(write(folder, "images", data), _IMAGES),
        lambda: read_idx(write(folder, "labels", data), _LABELS),
        lambda: read_idx(write(folder, "images.gz", packed(data)), _IMAGES),
    )


def idx_seeds() -> dict[str, bytes]:
    return {
        "images": struct.pack(">IIII", 2051, 2, 3, 2) + bytes(12),
        "labels": struct.pack(">II", 2049, 5) + bytes(range(5)),
    }


def read_npy(data: bytes, folder: Path) -> None:
    from srnn.data.recordings import read_recording
    from srnn.data.signals import ScaledPath
    from srnn.deploy.streaming.sources import open_source

    path = write(folder, "a.npy", data)
    each(
        lambda: read_recording(path), lambda: list(open_source(str(path), ScaledPath(2), 64).blocks)
    )


def read_npz(data: bytes, folder: Path) -> None:
    from srnn.data.datasets.arrays import describe, load_arrays
    from srnn.data.datasets.splitting import Shares
    from srnn.data.signals import ScaledPath
    from srnn.deploy.streaming.sources import open_source

    path = write(folder, "a.npz", data)
    each(
        lambda: list(open_source(str(path), ScaledPath(2, 250.0), 64).blocks),
        lambda: describe(path),
        lambda: load_arrays("train", path, Shares(0.15, 0.2), describe(path)),
    )


def npz_seeds() -> dict[str, bytes]:
    x, y = np.arange(36, dtype=np.float32).reshape(6, 3, 2), np.array([0, 1, 2, 0, 1, 2])
    return {
        "classes": npz(
            x=x, y=y, class_names=np.array(["a", "b", "c"]), groups=np.array(list("pqrpqr"))
        ),
        "signal": npz(signal=x[:, 0], rate=250.0),
    }


def read_table(data: bytes, folder: Path) -> None:
    from srnn.data.datasets.arrays import describe, load_arrays
    from srnn.data.datasets.splitting import Shares

    table, array = parts(data, 2)
    for name in "abcdef":
        write(folder, f"{name}.npy", array)
    path = write(folder, "table.csv", table)
    each(
        lambda: describe(path),
        lambda: load_arrays("train", path, Shares(0.15, 0.2), describe(path)),
    )


def table_seeds() -> dict[str, bytes]:
    array = npy(np.arange(6.0).reshape(3, 2))
    split = b"".join(b"%s.npy,%d,%s\n" % (name, i % 2, s) for i, (name, s) in enumerate(
        zip((b"a", b"b", b"c", b"d", b"e", b"f"), (b"train", b"train", b"validation", b"test", b"test", b"train"), strict=True)
    ))  # fmt: skip
    return {"split": b"file,label,split\n" + split + CUT + array}


TARGETS = (
    Target("idx", read_idx, idx_seeds, words=("\x00\x00\x08\x03", "\x00\x00\x08\x01", "\xff\xff\xff\xff")),
    Target("npy", read_npy, lambda: {"floats": npy(np.arange(8.0).reshape(4, 2))}, (mend_npy,), NUMPY,
           words=("'descr': ", "'fortran_order': True", "'shape': (", "'|O'", "'<f8'", "'<c16'", "1099511627776, 0")),
    Target("npz", read_npz, npz_seeds, (mend_zip,), NUMPY),
    Target("table", read_table, table_seeds, parsers=("csv",), words=("file", "label", "group", "split", "\n%%%\n")),
)  # fmt: skip
