"""WFDB records: a header, its signal, its annotation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..target import Target, write
from .shared import CUT, each, parts


def read(data: bytes, folder: Path) -> None:
    from srnn.data.datasets.qtdb_records import read_record
    from srnn.data.signals import ScaledPath
    from srnn.deploy.streaming.sources import open_source

    for suffix, content in zip(("hea", "dat", "q1c"), parts(data, 3), strict=True):
        write(folder, f"r.{suffix}", content)
    each(
        lambda: list(open_source(str(folder / "r.hea"), ScaledPath(2, 250.0), 256).blocks),
        lambda: read_record(folder, "r"),
    )


def seeds() -> dict[str, bytes]:
    """Two leads in formats 212 and 16, with one beat."""
    samples = np.stack([np.arange(60) % 17 - 8, np.arange(60) % 11], axis=1)
    sums = [int(total) & 0xFFFF for total in samples.sum(0)]
    sums = [total - 65536 if total > 32767 else total for total in sums]
    a, b = samples[:, 0] & 0xFFF, samples[:, 1] & 0xFFF
    by_format = {
        "212": np.stack([a & 0xFF, (a >> 8) | (b >> 8) << 4, b & 0xFF], axis=1)
        .astype(np.uint8)
        .tobytes(),
        "16": samples.astype("<i2").tobytes(),
    }
    # Marks: ( p ) ( N ) t ), each some samples after the last: code << 10 | interval; a zero word
    # ends them.
    marks = zip((39, 24, 40, 39, 1, 40, 27, 40), (5, 3, 3, 3, 3, 3, 5, 5), strict=True)
    annotation = (
        b"".join((code << 10 | interval).to_bytes(2, "little") for code, interval in marks)
        + b"\0\0"
    )
    found = {}
    for form, signal in by_format.items():
        lines = ["r 2 250 60"] + [
            f"r.dat {form} 200(0)/mV 12 0 {samples[0, i]} {sums[i]} 0 lead{i}" for i in range(2)
        ]
        found[f"format{form}"] = CUT.join(["\n".join([*lines, ""]).encode(), signal, annotation])
    return found


TARGETS = (
    Target("wfdb", read, seeds,
           parsers=("wfdb.io.header", "wfdb.io._header", "wfdb.io._signal", "wfdb.io.record", "wfdb.io.annotation"),
           words=("r.dat", " 212 ", " 16 ", " 310 ", " 80 ", " 24 ", " 508 ", "200(0)/mV",
                  "99999999", "r/2 ", "~ 0", "\n%%%\n"),
           largest=2048),
)  # fmt: skip
