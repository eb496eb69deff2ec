"""A run is a folder: its contents, and the rules for starting and resuming a run.

    recipe.yaml        the resolved recipe: every default written out
    environment.json   versions, processor, threads, seed, git commit
    metrics.jsonl      one JSON object per epoch (or event)
    checkpoints/       last.safetensors, from which training resumes
    model.safetensors  the best network as a model (``trained.py``): all that is needed to use it
    result.json        what training ended with
    examples/          a few recordings of the validation split (``examples.py``), for the live page

Nothing in it is pickled; everything but the tensors can be read with a text editor. Whoever trains
in it holds its lock (``files.locked``); readers need none, because every file is written whole and
metrics.jsonl grows by whole lines.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from importlib import metadata
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .._version import __version__, minor_version
from ..errors import SrnnError, option
from ..files import (
    append_line,
    changing,
    check_files,
    check_folder,
    check_new,
    check_writable,
    cut_lines,
    files_in,
    locked,
    read_json,
    read_json_lines,
    read_object,
    read_text,
    remove_leftovers,
    write_atomically,
    write_json,
)
from ..model.opening import check_run, read_folder, resumed
from ..model.trained import Trained
from ..text import file_name, json_text
from .recipes import Recipe, dump_recipe, parse_recipe

_WRITTEN = (
    "exit-policy.json",
    "spotting.json",
    "result.json",
    "model.safetensors",
    "metrics.jsonl",
    "environment.json",
    "recipe.yaml",
)
"""A run's files, in the order in which they are removed."""


def default_folder(recipe_name: str, seed: int) -> Path:
    """runs/<recipe>-s<seed>-<number>, the first that is not there; a character that folder names
    cannot have everywhere becomes ``-``.

    Args:
        recipe_name: the recipe's name, or the path of its file or of the data.
        seed: the training's.
    """
    if Path(recipe_name).name:
        name = recipe_name.removesuffix(Path(recipe_name).suffix)
    else:
        name = recipe_name
    names = (f"{file_name(name) or 'run'}-s{seed}-{number}" for number in count(1))
    return next(Path("runs") / name for name in names if not os.path.lexists(Path("runs") / name))


class Run:
    """A run's folder. Make one with ``Run.start``, ``Run.resume`` or ``Run.open``."""

    def __init__(self, path: Path, recipe: Recipe, seed: int) -> None:
        self.path, self.recipe, self.seed = path, recipe, seed
        self.last, self.best = path / "checkpoints" / "last.safetensors", path / "model.safetensors"
        self.metrics, self.outcome = path / "metrics.jsonl", path / "result.json"

    @classmethod
    def check(cls, path: Path, resume: bool | None, overwrite: bool = False) -> None:
        """Raise SrnnError at once, before any work, if the folder cannot be used. Writes nothing.

        Args:
            resume: whether to continue a run that is there; None: the command cannot continue one.
            overwrite: whether a run that is there may be replaced; anything else that is there is
                refused.
        """
        check_folder(path)
        if resume and overwrite:
            both = f"{option('resume', flag=True)} and {option('overwrite', flag=True)}"
            problem = f"{both} contradict each other; give one of them."
            raise SrnnError(problem, "conflict", "resume")
        if not resume:
            also = ""
            if resume is not None:
                also = f"{option('resume', flag=True)} continues its run, "
            check_new(path, overwrite, ours=(path / "recipe.yaml").is_file(), also=also)
        _check_files(path)
        for folder in (path / "checkpoints", path / "examples"):
            if folder.is_symlink():  # what is written there would be elsewhere
                problem = f"{folder} is a link; move the folder itself there."
                raise SrnnError(problem, "file", folder)
        check_writable(path)

    @classmethod
    def start(
        cls,
        path: Path,
        recipe: Recipe,
        seed: int,
        about: Mapping[str, Any] = MappingProxyType({}),
        overwrite: bool = False,
    ) -> Run:
        """A new run in a folder.

        Args:
            path: the folder; new or empty.
            recipe: what is trained.
            seed: determines all that is random.
            about: entries that are added to environment.json.
            overwrite: whether the folder may hold a run, which is then replaced.

        Returns:
            The run, which has begun.

        Raises:
            SrnnError: ``exists`` or ``file`` for a folder that cannot be used.
        """
        cls.check(path, resume=None, overwrite=overwrite)
        text = dump_recipe(recipe)
        # Refuse what no recipe can hold, such as a name that is not a text, before training.
        parse_recipe(text)
        if overwrite:
            # Remove what a run wrote, and nothing else. Its recipe goes last: until then the folder
            # is a run, which can be replaced.
            with changing(path):
                for folder in (path / "checkpoints", path / "examples"):
                    if folder.is_dir():
                        shutil.rmtree(folder)
                measured = [file.name for file in path.glob("evaluation-*.json")]
                for name in (*measured, *_WRITTEN):
                    (path / name).unlink(missing_ok=True)
        run = cls(path, recipe, seed)
        try:
            with changing(path):
                (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            run.write_json("environment.json", environment(seed) | dict(about))
            write_atomically(path / "recipe.yaml", text.encode())  # last: it makes the folder a run
        except SrnnError:
            with suppress(SrnnError):
                _clear(path)
            raise
        return run

    @classmethod
    def hold(
        cls,
        path: Path,
        trained: Trained,
        about: Mapping[str, Any] = MappingProxyType({}),
        overwrite: bool = False,
    ) -> Run:
        """A new run for a network that was not trained there: its recipe and its checkpoint,
        without a history.

        Args:
            path: the folder; new or empty.
            trained: the network.
            about: as for ``start``; {"imported": {...}} states where it comes from.
            overwrite: as for ``start``.

        Returns:
            The run, which is complete.

        Raises:
            SrnnError: ``unsupported`` if the recipe builds another network.
        """
        trained.check_recipe()
        with locked(path):
            run = cls.start(path, trained.recipe, trained.seed, about, overwrite)
            replace(trained, about={**trained.about, **about}).save(run.best, named=False)
        return run

    @classmethod
    def resume(cls, path: Path, recipe: Recipe, seed: int) -> Run:
        """The run of this recipe and seed in the folder, to be continued.

        Args:
            path: the folder.
            recipe: the run's own; another note does not matter.
            seed: the run's own.

        Returns:
            The run; a new one if training never got that far.

        Raises:
            SrnnError: ``conflict`` for another recipe or seed, ``missing`` if there is no run,
                ``unsupported`` for one that another minor version began.
        """
        cls.check(path, resume=True)
        if not (path / "recipe.yaml").is_file():
            # Nothing but what is left of a run that was stopped before it had a recipe?
            only_begun = not set(files_in(path)) - {"environment.json", "checkpoints"}
            with suppress(SrnnError):  # no environment.json, or a torn one
                about = read_json(path / "environment.json")
                # One without a seed is another program's.
                only_begun = only_begun and isinstance(about, dict) and "seed" in about
            if not only_begun:
                raise SrnnError(
                    f"{path} is not empty and holds no run to resume (no recipe.yaml); choose "
                    f"another {option('out')}.",
                    "missing",
                    path,
                )
            _clear(path)
            return cls.start(path, recipe, seed)
        for folder in (path, path / "checkpoints", path / "examples"):
            remove_leftovers(folder, age=0)  # we hold the run's lock
        # Going on to the same bits is promised within a minor version only.
        versions = read_object(path / "environment.json", "a run's environment").get("versions")
        version = versions.get("srnn") if isinstance(versions, dict) else None
        if isinstance(version, str) and minor_version(version) != minor_version(__version__):
            raise SrnnError(
                f"{path} was begun by srnn {version}, whose trainings srnn {__version__} does not "
                "continue (it does read their models); finish it with that version, or train "
                f"anew in another {option('out')}.",
                "unsupported",
                path,
            )
        run = cls.open(path)
        # A note changes no number.
        begun, now = (replace(one, note="").to_dict() for one in (run.recipe, recipe))
        difference = _difference(begun, now)
        if difference:
            key, place = difference.partition(": ")[0], ""
            if key == "task.options.path":  # the data themselves are compared when they are read
                file = path / "recipe.yaml"
                place = f", or, if the data have moved, change their place in {file}"
            raise SrnnError(
                f"{path} was trained with another recipe ({difference}); resume it with its own "
                f"recipe.yaml{place}.",
                "conflict",
                key,
            )
        if run.seed != seed:
            own = f"{option('seed')} {run.seed}"
            raise SrnnError(
                f"{path} was started with seed {run.seed}, not {seed}; resume it with {own}.",
                "conflict",
                "seed",
            )
        return run

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """An existing run, to be read. SrnnError if the folder is not a run."""
        path = Path(path)
        check_run(path)
        _check_files(path)
        recipe, about = path / "recipe.yaml", path / "environment.json"
        content = read_json(about, "a run's environment")
        seed = None
        if isinstance(content, dict):
            seed = content.get("seed")
        if type(seed) is not int or not 0 <= seed < 2**63:
            raise SrnnError(
                f"{path} is not a complete run: {about} should hold the seed, an integer from 0 "
                "to below 2^63.",
                "file",
                about,
            )
        return cls(path, parse_recipe(read_text(recipe, "a recipe"), source=str(recipe)), seed)

    def trained(self) -> Trained:
        """The network of the best checkpoint. SrnnError before the first epoch has ended."""
        return read_folder(self.path)

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file of the run, whole or not at all.

        Args:
            name: the file's, in the run's folder.
            content: mappings, lists, numbers, text.
        """
        write_json(self.path / name, content)

    def log(self, record: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl; it is on disk when this returns, before the checkpoint
        that counts it."""
        append_line(self.metrics, json_text(record))

    def result(self) -> dict[str, Any]:
        """What training ended with: the validation report of the best checkpoint. SrnnError if it
        has not ended."""
        if not self.outcome.is_file():
            raise SrnnError(
                f"{self.path} has no result yet; finish its training first ({resumed(self.path)}).",
                "missing",
                self.outcome,
            )
        return read_object(self.outcome, "a run's result")

    def epochs(self) -> list[dict[str, Any]]:
        """The records of epochs in metrics.jsonl."""
        return self._records("epoch")

    def events(self) -> list[dict[str, Any]]:
        """The records of what was done when training went wrong: skipped steps, returns to the last
        checkpoint."""
        return self._records("event")

    def _records(self, key: str) -> list[dict[str, Any]]:
        """The records with that key, from whole lines only: the last line may be unfinished or
        torn."""
        if self.metrics.is_file():
            records = read_json_lines(self.metrics, "a run's metrics")
        else:
            records = []
        return [record for record in records if isinstance(record, dict) and key in record]

    def metrics_size(self) -> int:
        """Bytes in metrics.jsonl, so that a checkpoint can hold how far the file had got."""
        if not self.metrics.exists():
            return 0
        return self.metrics.stat().st_size

    def truncate_metrics(self, size: int) -> None:
        """Drop the lines written after a checkpoint, before more are written."""
        cut_lines(self.metrics, size)


def _check_files(path: Path) -> None:
    """SrnnError for a pipe or a device under a name of a run's files."""
    for folder in (path, path / "checkpoints"):
        check_files(folder)


def environment(seed: int) -> dict[str, Any]:
    """What a result may depend on, besides recipe and data."""

    def version(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    import torch

    from ..nn.kernels.problem import matmul_precision

    packages = ("torch", "numpy", "lightning-fabric", "safetensors", "scikit-learn")
    return {
        "seed": seed,
        "python": platform.python_version(),
        "versions": {"srnn": __version__, **{package: version(package) for package in packages}},
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "float32_matmul_precision": matmul_precision(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "git_commit": _git_commit(),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """The commit of the source tree from which this package runs, "-dirty" if changed; None for an
    installed package."""
    folder = Path(__file__).parent
    if "site-packages" in folder.parts:
        return None
    try:
        outcome = subprocess.run(
            [
                "git",
                "-C",
                str(folder),
                "describe",
                "--always",
                "--dirty",
                "--abbrev=40",
                "--exclude",
                "*",
            ],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return outcome.stdout.strip() or None


def _clear(path: Path) -> None:
    """Remove what is left of a run that was stopped before it had a recipe."""
    with changing(path):
        (path / "environment.json").unlink(missing_ok=True)
        if (path / "checkpoints").is_dir() and not files_in(path / "checkpoints"):
            shutil.rmtree(path / "checkpoints")


def _difference(ours: Any, theirs: Any, key: str = "") -> str:
    """The first setting that differs, as "training.epochs: 5 there, 6 now"; empty if none
    differs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in [*ours, *(name for name in theirs if name not in ours)]:
            difference = _difference(
                ours.get(name), theirs.get(name), f"{key}.{name}" if key else str(name)
            )
            if difference:
                return difference
        return ""
    if ours == theirs:
        return ""
    return f"{key}: {ours!r} there, {theirs!r} now"
