"""What is put to the test. Each workload is given again after a fault, as a person would, and must
come to the same."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TINY = """
task: {name: tiny}
network: {hidden: [4], neuron: lif, norm: none, readout: integrator, backend: reference}
training: {epochs: 2, batch_size: 30, checkpoint_every: 1, optimizer: {lr: 2e-2}}
"""
_UNLIKE = re.compile(
    rb'"(seconds|samples_per_s|started|worker|git_commit)": ?("[^"]*"|[0-9.e+-]+|null)'
)
"""What differs between two undisturbed runs."""


@dataclass(frozen=True)
class Workload:
    """``prepare`` makes in a folder what ``run`` needs; ``run`` returns the exit code; ``result``
    is compared."""

    name: str
    run: Callable[[Path], int]
    result: Callable[[Path], Any]
    prepare: Callable[[Path], None] = lambda folder: None
    again: Callable[[Path], int] | None = None
    """The next start; None: as ``run``."""


@functools.cache
def _let_recipes_name_the_tiny_task() -> None:
    from srnn.data.tasks import register
    from support.tiny import TinyTask

    register(TinyTask)


def _command(*words: object) -> int:
    from srnn.cli.main import main

    _let_recipes_name_the_tiny_task()
    return main([str(word) for word in words])


def _as_command(run: Callable[[Path], int]) -> Callable[[Path], int]:
    """What is no command of its own, with errors as the command line has them."""

    def command(folder: Path) -> int:
        from srnn import SrnnError

        try:
            return run(folder)
        except (SrnnError, MemoryError, OSError) as error:
            print(f"srnn: {error}", file=sys.stderr)
            return 2

    return command


def _files(*names: str) -> Callable[[Path], Any]:
    """Digests of files and of folders' files, but for what differs between runs; nothing unfinished
    may lie in them."""

    def result(folder: Path) -> Any:
        found = {}
        for name in names:
            for path in sorted([folder / name, *(folder / name).rglob("*")]):
                if path.is_file() or path.is_symlink():
                    content = _UNLIKE.sub(b"", path.read_bytes()).replace(os.fsencode(folder), b"")
                    found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
        return found

    return result


def _trained(folder: Path, name: str = "run") -> Any:
    from srnn.model.checkpoints import read_checkpoint

    found: dict[str, Any] = {
        "unfinished": [str(p.relative_to(folder)) for p in (folder / name).rglob(".*")]
    }
    for which in ("checkpoints/last", "model"):
        tensors = read_checkpoint(folder / name / f"{which}.safetensors").tensors
        found[which] = {
            key: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
            for key, tensor in tensors.items()
        }
    return found | _files(f"{name}/metrics.jsonl", f"{name}/recipe.yaml", f"{name}/result.json")(
        folder
    )


def _train(folder: Path) -> int:
    return _command("train", folder / "tiny.yaml", "--out", folder / "run", "--resume", "--json")


def _with_recipe(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(TINY)


def _with_run(folder: Path) -> None:
    _with_recipe(folder)
    _train(folder)


def _sweep(folder: Path, *words: str) -> int:
    return _command("sweep", folder / "s.yaml", "--out", folder / "sweep", *words)


def _with_sweep(folder: Path) -> None:
    _with_recipe(folder)
    (folder / "s.yaml").write_text("recipe: tiny.yaml\nset: {training.epochs: 1}\nseeds: [0, 1]\n")


def _with_search(folder: Path) -> None:
    _with_recipe(folder)
    search = (
        "sampler: random\ntrials: 2\nparameters: {training.optimizer.lr: 'uniform(0.01, 0.1)'}\n"
    )
    (folder / "s.yaml").write_text(f"recipe: tiny.yaml\nset: {{training.epochs: 1}}\n{search}")


def _swept(folder: Path) -> Any:
    rows = json.loads((folder / "sweep" / "results.json").read_text())["trainings"]
    return [
        {key: row.get(key) for key in ("point", "seed", "state", "accuracy", "loss")}
        for row in rows
    ]


def _export(form: str, out: str, *words: str) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        if form == "c" and any((folder / out).glob("*.json")):
            return 0  # it is refused to write over what is whole
        again = () if form == "c" else ("--overwrite",)
        given = (folder / "run", "--out", folder / out, "--json", *words, *again)
        return _command("export", form, *given)

    return run


def _cache(folder: Path) -> int:
    from srnn.data.datasets.cache import cached

    def build() -> dict[str, Any]:
        return {"x": np.arange(3000.0), "y": np.ones(3)}

    found = cached(folder / "cache", "a", {"v": 1}, [folder / "tiny.yaml"], build, dict)
    return 0 if found["x"][2999] == 2999 and found["y"].sum() == 3 else 1


def _cached(folder: Path) -> Any:
    from srnn.data.datasets.cache import read_arrays

    return [read_arrays(path) is not None for path in (folder / "cache").glob("*.npz")], _files(
        "cache"
    )(folder).keys()


def _sum(a: float, b: float) -> float:
    return a + b


def _compile(folder: Path) -> int:
    from srnn.compiling import compiled

    os.environ["NUMBA_CACHE_DIR"] = str(folder / "numba")
    return 0 if compiled(_sum)(3.0, 4.0) == 7.0 else 1


def _kept(folder: Path) -> Any:
    from srnn.files.code_cache import _read

    kept = list((folder / "numba" / "srnn").iterdir())
    return [path.name for path in kept], [_read(path) is not None for path in kept]


def _with_archive(folder: Path) -> None:
    (folder / "data").mkdir()
    with zipfile.ZipFile(folder / "data" / "a.zip", "w") as archive:
        for name in ("one.txt", "in/two.txt"):
            archive.writestr(name, name * 1000)


def _unpack(folder: Path) -> int:
    from srnn.data.datasets.unpack import unpack_archives

    unpack_archives(folder / "data")
    return 0


def _unpacked(folder: Path) -> Any:
    return _files("data/one.txt", "data/in", "data")(folder).keys(), (
        folder / "data" / "in" / "two.txt"
    ).read_text()


def _stream(folder: Path) -> int:
    return _command(
        "stream",
        folder / "run",
        folder / "x.csv",
        "--state",
        folder / "s.state",
        "--input",
        "steps",
        "--json",
    )


def _with_stream(folder: Path) -> None:
    _with_run(folder)
    np.savetxt(folder / "x.csv", np.tile(np.eye(3), (4, 1)), delimiter=",")


def _streamed(folder: Path) -> Any:
    return (folder / "s.state").stat().st_size, sorted(
        p.name for p in folder.iterdir() if p.name.startswith(".")
    )


def _fit(folder: Path) -> int:
    import srnn
    from support.tiny import TinyTask

    data = TinyTask().load("train")
    srnn.fit(
        data.x,
        data.y,
        hidden=4,
        epochs=2,
        neuron="lif",
        overrides={"network.backend": "reference", "training.checkpoint_every": 1},
        out=folder / "run",
        resume=True,
    )
    return 0


def _with_recordings(folder: Path) -> None:
    _with_run(folder)
    (folder / "data").mkdir()
    for number in range(4):
        steps = np.roll(np.tile(np.eye(3), (4, 1)), number, 1)
        np.save(folder / "data" / f"{number}.npy", steps)


def _predict(folder: Path) -> int:
    words = ("--input", "steps", "--over-time", "--out", folder / "part.csv")
    return _command("predict", folder / "run", folder / "data", *words)


def _with_labels(folder: Path) -> None:
    from support.tiny import TinyTask

    _with_run(folder)
    data = TinyTask().load("validation")
    np.savez(folder / "data.npz", x=data.x, y=data.y, class_names=np.array(["a", "b", "c"]))


def _adapt(folder: Path) -> int:
    out = folder / "a.safetensors"
    if out.exists():
        return 0  # it is refused to write over what is whole
    return _command("adapt", folder / "run", "--data", folder / "data.npz", "--out", out)


def _with_spikes(folder: Path) -> None:
    from support.layouts import write_shd

    write_shd(folder)
    events = folder / "shd" / "shd_train.h5"
    for name in ("shd_train.h5", "shd_test.h5"):
        with zipfile.ZipFile(folder / "shd" / f"{name}.zip", "w") as archive:
            archive.write(events, name)
    events.unlink()


def _prepare(folder: Path) -> int:
    from dataclasses import replace

    from srnn.data.datasets import catalogue

    shd = replace(catalogue.CATALOGUE["shd"], files=())  # whose checksums these are not
    catalogue.find_data_set = lambda _: shd
    return _command("data", "prepare", "shd", "--data-dir", folder, "--json")


def _prepared(folder: Path) -> Any:
    from srnn.data.datasets.cache import read_arrays

    caches = (
        set()
    )  # a fault's copy of a file has another time, and so a cache beside that of before
    for path in (folder / "shd").rglob("*.npz"):
        arrays = read_arrays(path) or {}
        parts = [(name, arrays[name].tobytes()) for name in sorted(arrays)]
        caches.add(hashlib.sha256(repr(parts).encode()).hexdigest())
    return _files("shd/shd_train.h5", "shd/shd_test.h5")(folder), caches


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("train", _train, _trained, _with_recipe),
        Workload("sweep", _sweep, _swept, _with_sweep, lambda f: _sweep(f, "--retry-failed")),
        Workload("search", _sweep, _swept, _with_search, lambda f: _sweep(f, "--retry-failed")),
        Workload("summarise", lambda f: _command("report", f / "run", "--out", f / "sum", "--title", "t", "--command", "x"),
                 _files("sum"), _with_run),
        Workload("energy --out", lambda f: _command("energy", f / "run", "--out", f / "energy", "--json"), _files("energy"),
                 _with_run),
        Workload("report", lambda f: _command("report", f / "run", "--no-exit", "--json"), _files("run/report.html"), _with_run),
        Workload("export c", _export("c", "c"), _files("c"), _with_run),
        Workload("export onnx", _export("onnx", "n.onnx"), _files("n.onnx"), _with_run),
        Workload("export nir", _export("nir", "n.nir", "--dt", "0.001"), lambda f: (f / "n.nir").is_file(), _with_run),
        Workload("stream --state", _stream, _streamed, _with_stream),
        Workload("data cache", _as_command(_cache), _cached, _with_recipe),
        Workload("compile cache", _as_command(_compile), _kept),
        Workload("unpack", _as_command(_unpack), _unpacked, _with_archive),
        Workload("fit", _as_command(_fit), _trained),
        Workload("predict --out", _predict, _files("part.csv", "part.csv.journal"), _with_recordings),
        Workload("adapt", _adapt, _files("a.safetensors"), _with_labels),
        Workload("data prepare", _prepare, _prepared, _with_spikes),
    )
}  # fmt: skip
