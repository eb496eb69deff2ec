"""``srnn data encode``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from .options import Json, Seed
from .show import print_result


def encode(
    encoder: Literal["cochlea"],
    inputs: Annotated[list[Path], Parameter(name="IN...")],
    /,
    *,
    out: Path,
    pattern: str | None = None,
    places: int = 700,
    as_stream: float | None = None,
    length: float | None = None,
    times: Literal["float32", "float16"] = "float32",
    workers: int | None = None,
    leave_out_bad: bool = False,
    overwrite: bool = False,
    seed: Seed = 0,
    json: Json = False,
) -> int:
    """Turn sound files (.wav, .flac, SPHERE) into one HDF5 file of spike trains, in the layout of
    SHD and SSC.

      srnn data encode cochlea recordings/ --pattern "{label}_{speaker}_{index}" --out digits.h5
      srnn data encode cochlea words/ --pattern "{speaker}_nohash_{index}" --out words.h5
      srnn data encode cochlea words/ --as-stream 6 --length 0.8 --out words.h5    as srnn stream --input signal --gain 6 does it

    --pattern says how label and speaker are read from a file's name; if it has no {label}, the
    label is the name of the folder that the file is in. All files are read once before the first is
    converted; the output file appears when it is complete. A clip's spikes depend only on --seed,
    its name and its sound. Its name is relative to the folder IN; if two clips would have the same
    name, all names are relative to the folder that all IN have in common.

    Args:
        encoder: the cochlea model of SHD and SSC
        inputs: folders (with subfolders) and sound files
        out: the file to write, .h5
        pattern: such as {label}_{speaker}_{index}; without it labels are folders
        places: spike trains
        as_stream: this gain for all clips and no fades, instead of the same level and fades
        length: cut clips to so many seconds, or pad them with silence (default: neither)
        times: precision of the times of spikes; SHD has float16
        workers: threads (default: one per core)
        leave_out_bad: skip clips that are damaged, silent or misnamed
        overwrite: replace the file in --out
    """
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from ..data.datasets.spiking_audio import convert, find_clips
    from ..data.encoders.cochlea import Cochlea
    from ..files import check_new
    from .show import progress_bars

    check_new(out, overwrite, ours=not out.is_dir())
    options = {} if as_stream is None else {"level": None, "gain": as_stream, "ramps": False}
    cochlea, misnamed = Cochlea(places=places, **options), list[str]()
    clips = find_clips(inputs, pattern, misnamed if leave_out_bad else None)
    start = time.perf_counter()
    with progress_bars(not json, MofNCompleteColumn(), TimeRemainingColumn(compact=True)) as watch:
        done = convert(
            clips,
            out,
            cochlea=cochlea,
            seed=seed,
            workers=workers,
            time_type=times,
            leave_out_bad=leave_out_bad,
            progress=lambda done, total: watch("clips", done, total),
            length=length,
        )
    took = time.perf_counter() - start
    done = done._replace(left_out=[*misnamed, *done.left_out])

    def show() -> None:
        for line in done.left_out:
            print(f"left out: {line}", file=sys.stderr)
        print(
            f"{out}: {done.clips} clip{'s'[: done.clips != 1]}, {done.seconds:.1f} s of sound, "
            f"{done.spikes / done.clips:.0f} spikes per clip; took {took:.1f} s"
        )

    report = done._asdict() | {"sound_seconds": done.seconds, "file": str(out), "seconds": took}
    return print_result(json, report, show)
