"""A few recordings that a run keeps, so that its live page has something to play where the data set
is missing.

    examples/1-yes.npy     the first, of the class "yes": (samples, channels), as a stream of the network takes them; where their
                           channels have names, an .npz that states these, their units and rate

They come from the validation split, spread evenly over its classes, and are read like any recording
(``data/recordings.py``). They are not part of the model; if they must not be passed on, delete the
folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.batches import Sequences, evenly_spread
from ..data.signals import SignalPath
from ..data.tasks import Task
from ..errors import SrnnError
from ..files import whole_file
from ..model.pretrained import FOLDER as PRETRAINED
from ..model.pretrained import example
from ..text import file_name

FOLDER = "examples"
EXAMPLES = 3
BYTES = 2**18
"""Most bytes of all examples of a run together; longer ones are cut."""


def keep_examples(run: Path, task: Task, sequences: Sequences) -> None:
    """Write some of a split's sequences into a folder of the run, if the task's networks can read
    them as a stream. SrnnError if the folder cannot be written.

    Args:
        run: the run's folder.
        task: what the sequences are of, with the statistics of its signal path.
        sequences: the split.
    """
    room = BYTES // EXAMPLES
    for number, index in enumerate(evenly_spread(sequences.y, EXAMPLES).tolist(), 1):
        signal = _signal(task, sequences, index)
        if signal is None or signal[:1].nbytes > room:
            return
        label = ""
        if sequences.y.ndim == 1 and (known := int(sequences.y[index])) >= 0:
            label = task.class_names[known]
        name = f"{number}-{file_name(label)}".rstrip("-")
        _write(run / FOLDER / name, signal[: room // signal[:1].nbytes], task.live())


def _write(path: Path, signal: npt.NDArray[Any], taken: SignalPath) -> None:
    if taken.names is None and taken.units is None:
        with whole_file(path.with_name(f"{path.name}.npy"), parents=True) as file:
            np.save(file, signal)
        return
    stated = dict[str, Any]()
    if taken.names is not None:
        stated["channels"] = np.array(taken.names)
    if taken.units is not None:
        stated["units"] = np.array([unit or "" for unit in taken.units])
    if taken.rate is not None:
        stated["rate"] = np.array(taken.rate)
    with whole_file(path.with_name(f"{path.name}.npz"), parents=True) as file:
        np.savez(file, signal=signal, **stated)


def kept_examples(run: Path) -> list[Path]:
    """The recordings that a run keeps, in order; for a pretrained network, the one beside it; for
    any other file, none. Files larger than any that a run keeps are left out."""
    if run.is_dir():
        paths = sorted((run / FOLDER).glob("[0-9]*.np[yz]"))
    else:
        paths = []
    if run.parent == PRETRAINED:
        paths = [example(run.stem)]
    return [path for path in paths if path.is_file() and path.stat().st_size <= BYTES][:EXAMPLES]


def _signal(task: Task, sequences: Sequences, index: int) -> npt.NDArray[Any] | None:
    """The signal that a stream of the task's networks reads for one sequence, in few bytes; None if
    it is not known."""
    try:
        path = task.live()
    except SrnnError:  # the networks cannot read a stream
        return None
    signal = sequences.signal_of(index, path)
    if signal is None:
        return None
    for kind in (np.uint8, np.int8):  # spikes, pixels
        with np.errstate(invalid="ignore"):
            if (signal.astype(kind) == signal).all():
                return signal.astype(kind)
    return signal
