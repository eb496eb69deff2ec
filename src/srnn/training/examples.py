"""A few recordings that a run keeps, so that its live page has something to play where no data are.

    examples/1-yes.npy     the first, of the class "yes": (samples, channels), as a stream of the network takes them

They are of the validation split, spread evenly over its classes, and read like any recording (``data/recordings.py``).
They are no part of the model; where they must not be passed on, the folder is deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.batches import Sequences, evenly_spread
from ..data.tasks import Task
from ..errors import SrnnError
from ..files import whole_file
from ..text import file_name
from .pretrained import FOLDER as PRETRAINED

FOLDER = "examples"
EXAMPLES = 3
BYTES = 2**18
"""Of all examples of a run together; longer ones are cut."""


def keep_examples(run: Path, task: Task, sequences: Sequences) -> None:
    """Write some of a split's sequences into a folder of the run, if the task's networks can be fed with them as they come.

    ``task``: with the statistics of its signal path. SrnnError where the folder cannot be written.
    """
    room = BYTES // EXAMPLES
    for number, index in enumerate(evenly_spread(sequences.y, EXAMPLES).tolist(), 1):
        signal = _signal(task, sequences, index)
        if signal is None or signal[:1].nbytes > room:
            return
        label = task.class_names[sequences.y[index]] if sequences.y.ndim == 1 and sequences.y[index] >= 0 else ""
        name = f"{number}-{file_name(label)}".rstrip("-")
        with whole_file(run / FOLDER / f"{name}.npy", parents=True) as file:
            np.save(file, signal[: room // signal[:1].nbytes])


def kept_examples(run: Path) -> list[Path]:
    """The recordings that a run keeps, in their order; of a pretrained network the one beside it, of another file none. What is
    larger than any ever kept is left out."""
    paths = sorted((run / FOLDER).glob("[0-9]*.npy")) if run.is_dir() else []
    if run.parent == PRETRAINED:
        paths = [run.with_suffix(".npy")]
    return [path for path in paths if path.stat().st_size <= BYTES][:EXAMPLES]


def _signal(task: Task, sequences: Sequences, index: int) -> npt.NDArray[Any] | None:
    """What a stream of the task's networks is given for one sequence, in few bytes; None where it is not known."""
    try:
        path = task.live()
    except SrnnError:  # they cannot be fed as the signal comes
        return None
    signal = sequences.signal_of(index, path)
    if signal is None:
        return None
    for kind in (np.uint8, np.int8):  # spikes, pixels
        with np.errstate(invalid="ignore"):
            if (signal.astype(kind) == signal).all():
                return signal.astype(kind)
    return signal
