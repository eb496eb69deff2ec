"""Turn sound files (.wav, .flac, SPHERE) into one HDF5 file of spike trains, in the layout of SHD and SSC.

  srnn encode cochlea recordings/ --pattern "{label}_{speaker}_{index}" --out digits.h5
  srnn encode cochlea words/ --pattern "{speaker}_nohash_{index}" --out words.h5
  srnn encode cochlea words/ --as-stream 6 --length 0.8 --out words.h5    as srnn stream --input signal --gain 6 encodes them

--pattern says how label and speaker are read from a file's name; if it has no {label}, the label is the name of the folder
that the file is in. All files are read once before the first is converted; the output file appears when it is
complete. A clip's spikes depend only on --seed, its name and its sound. Its name is relative to the folder IN; if two
clips would have the same name, all names are relative to the folder that all IN have in common.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from .show import tell

SHARED = ("--seed", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("encoder", choices=("cochlea",), help="the cochlea model of SHD and SSC")
    parser.add_argument("inputs", metavar="IN", nargs="+", type=Path, help="folders (with subfolders) and sound files")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.h5", help="the file to write")
    parser.add_argument("--pattern", metavar="P", help="such as {label}_{speaker}_{index}; default: labels are folders")
    parser.add_argument("--places", type=int, default=700, metavar="N", help="spike trains (default: 700)")
    parser.add_argument(
        "--as-stream",
        type=float,
        metavar="GAIN",
        help="the same gain for all clips and no fades, instead of the same level and fades",
    )
    parser.add_argument(
        "--length",
        type=float,
        metavar="S",
        help="cut clips to S seconds, or pad them with silence (default: neither)",
    )
    parser.add_argument(
        "--times",
        choices=("float32", "float16"),
        default="float32",
        help="precision of the times of spikes (default: float32; SHD has float16)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: one per core)")
    parser.add_argument("--leave-out-bad", action="store_true", help="skip clips that are damaged, silent or misnamed")


def run(arguments: argparse.Namespace) -> int:
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from ..data.datasets.spiking_audio import convert, find_clips
    from ..data.encoders.cochlea import Cochlea
    from .show import progress_bars

    gain = arguments.as_stream
    heard = {} if gain is None else {"level": None, "gain": gain, "ramps": False}
    cochlea = Cochlea(places=arguments.places, **heard)
    misnamed: list[str] = []
    clips = find_clips(arguments.inputs, arguments.pattern, misnamed if arguments.leave_out_bad else None)
    start = time.perf_counter()
    with progress_bars(not arguments.json, MofNCompleteColumn(), TimeRemainingColumn(compact=True)) as watch:
        done = convert(
            clips, arguments.out, cochlea=cochlea, seed=arguments.seed, workers=arguments.workers, time_type=arguments.times,
            leave_out_bad=arguments.leave_out_bad, progress=lambda done, total: watch("clips", done, total),
            length=arguments.length,
        )  # fmt: skip
    took = time.perf_counter() - start
    done = done._replace(left_out=[*misnamed, *done.left_out])

    def show() -> None:
        for line in done.left_out:
            print(f"left out: {line}", file=sys.stderr)
        print(
            f"{arguments.out}: {done.clips} clip{'s'[: done.clips != 1]}, {done.seconds:.1f} s of sound, "
            f"{done.spikes / done.clips:.0f} spikes per clip; took {took:.1f} s"
        )

    report = done._asdict()
    report["sound_seconds"] = report.pop("seconds")
    report |= {"file": str(arguments.out), "seconds": took}
    return tell(arguments, report, show)
