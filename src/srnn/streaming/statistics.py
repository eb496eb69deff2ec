"""The training set's statistics of a run on sound: what has to be kept with its network, in RUN/encoder.safetensors."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..checkpoints import write_atomically
from ..encoders import Statistics
from ..errors import SrnnError
from ..tasks import AudioTask
from .saved import pack, unpack

NAME = "encoder.safetensors"


def run_statistics(folder: Path, task: AudioTask, data_dir: Path | None = None) -> Statistics:
    """From the run's folder; or from the task's training data, and then kept in the folder, so that these are needed once.

    SrnnError when there are neither, or the file is damaged or of another task.
    """
    path = folder / NAME
    options = json.loads(json.dumps({"task": task.name, **asdict(task)}))
    if path.is_file():
        try:
            arrays, info = unpack(path.read_bytes())
        except (OSError, SrnnError) as error:
            raise SrnnError(f"{path} cannot be read; remove it, and it is made anew from the data.") from error
        mean, std = arrays.get("mean"), arrays.get("std")
        shapes = [getattr(part, "shape", None) for part in (mean, std)]
        if info != options or shapes != [(task.inputs,)] * 2 or mean is None or std is None:
            raise SrnnError(f"{path} is of other task options than the run's; remove it, and it is made anew.")
        return Statistics(mean, std)
    try:
        found = task.statistics(data_dir)
    except SrnnError as error:
        raise SrnnError(
            f"To encode sound, this run needs the training set's statistics once (kept then in {path}): {error}"
        ) from error
    arrays = {"mean": np.asarray(found.mean), "std": np.asarray(found.std)}
    write_atomically(path, pack(arrays, options))
    return found
