"""A trained network by its path or name: a run's folder, a model's file, or a pretrained one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..data.recordings import NO_OVERRIDES, ReadingOverrides
from ..errors import SrnnError, either
from ..files import check_files, read_object
from .pretrained import find_model
from .trained import Trained


def open_trained(
    path: Path | str, data: Path | None = None, said: ReadingOverrides = NO_OVERRIDES
) -> Trained:
    """The network in a run folder or a model's file, or the pretrained one of that name.

    Args:
        path: the folder, the file, or the name.
        data: labelled recordings that its task loads in place of its own data
            (``data.datasets.labelled``).
        said: how these recordings are read, where their files do not tell.

    Returns:
        The network with its task.

    Raises:
        SrnnError: ``missing`` if nothing is there, ``file`` if it is damaged, ``unsupported`` if
            labelled recordings are given to a network that raises alarms.
    """
    path = find_model(path)
    if path.is_dir():
        trained = read_folder(path)
    else:
        trained = Trained.read(path)
    if data is None:
        return trained
    if trained.alarm is not None:
        raise SrnnError(
            f"{trained.name} raises alarms, and is not measured on labels: srnn predict gives "
            "the score of any recording, and model.energy(x) its cost.",
            "unsupported",
            "data",
        )
    return replace(trained, task=trained.task.reading(data, overrides=said))


def read_folder(path: Path) -> Trained:
    """The network of the best epoch in a run's folder, with the exit policy and the spotting rule
    chosen since. SrnnError if it is not a run's, or before the first epoch has ended."""
    check_run(path)
    check_files(path)
    file = path / "model.safetensors"
    if not file.is_file():
        raise SrnnError(
            f"{path} has no checkpoint yet; train it to the end of its first epoch "
            f"({resumed(path)}).",
            "missing",
            file,
        )
    files = {"policy": path / "exit-policy.json", "spotting": path / "spotting.json"}
    chosen = {name: read_object(file) for name, file in files.items() if file.is_file()}
    return Trained.read(file, path).but(**chosen)


def check_run(path: Path) -> None:
    """SrnnError unless a run begins in this folder."""
    if not (path / "recipe.yaml").is_file():
        raise SrnnError(
            f"{path} is not a run: it has no recipe.yaml. Name the folder that 'srnn train' wrote.",
            "missing",
            path,
        )


def resumed(path: Path) -> str:
    """How a run's training is continued."""
    return either(
        f"srnn train ... --out {path} --resume", f"train(..., out={str(path)!r}, resume=True)"
    )
