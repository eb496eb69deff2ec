"""Readers of others' files only read: no source uses what would run, fetch or unpickle, and the
libraries are asked not to.

docs/security.md lists the places; each file format's own tests try to break in.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import srnn

SOURCE = Path(srnn.__file__).parent
ROOTS = [path for path in (SOURCE, SOURCE.parents[1] / "benchmarks") if path.is_dir()]
RUNS = {
    "torch.load", "torch.jit.load", "torch.hub.load", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads",
    "shelve.open", "joblib.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "os.system", "os.popen",
    "np.lib.format.read_array", "np.fromfile", "importlib.metadata.entry_points", "metadata.entry_points", "entry_points",
    "h5py.File", "nir.read", "onnx.load", "wfdb.dl_database",
}  # fmt: skip
ALLOWED = {
    ("data/tasks.py", "entry_points"),  # tasks of installed packages, trusted as these are
    (
        "compiling.py",
        "pickle.loads",
    ),  # machine code, in a folder that only this user and root may write to
    ("data/datasets/spiking_audio.py", "h5py.File"),  # writes a file of its own
    ("files/hdf5.py", "h5py.File"),  # the one reader, which follows no link
    ("files/yaml_reading.py", "yaml.load"),  # by a loader that is derived from the safe one
    ("paper/compat/weights.py", "torch.load"),  # with weights_only
    ("nn/equations.py", "exec"),  # text that is made here, of a record of arithmetic
}


@functools.cache
def _calls() -> tuple[tuple[str, str, ast.Call], ...]:
    return tuple(_found_calls())


def _found_calls() -> Iterator[tuple[str, str, ast.Call]]:
    for root in ROOTS:
        for path in sorted(root.rglob("*.py")):
            where = (
                path.relative_to(SOURCE).as_posix() if root == SOURCE else f"benchmarks/{path.name}"
            )
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield where, _dotted(node.func), node


def _dotted(function: ast.expr) -> str:
    """``np.load``, say; what is called of something that has no name begins with a dot."""
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute):
        return f"{_dotted(function.value)}.{function.attr}"
    return ""


def test_nothing_that_runs_what_it_reads_is_used() -> None:
    found = {
        (where, name)
        for where, name, _ in _calls()
        if name in RUNS and (where, name) not in ALLOWED
    }
    assert not found
    assert any(name == "h5py.File" for _, name, _ in _calls())  # the search finds what is there


def test_numpy_never_unpickles() -> None:
    loads = [(where, call) for where, name, call in _calls() if name in ("np.load", "numpy.load")]
    for where, call in loads:
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert options.get("allow_pickle", "False") == "False", where


def test_torch_loads_weights_only() -> None:
    loads = [call for _, name, call in _calls() if name == "torch.load"]
    for call in loads:
        assert {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}[
            "weights_only"
        ] == "True"


def test_no_shell_is_started() -> None:
    for where, name, call in _calls():
        if name.startswith("subprocess."):
            assert "shell" not in {keyword.arg for keyword in call.keywords}, where


def test_optuna_keeps_no_pickles_in_the_journal() -> None:
    """It unpickles snapshots of backends that have some (Redis); the file has none, and its lines
    are JSON."""
    journal = pytest.importorskip("optuna.storages.journal")
    assert not hasattr(journal.JournalFileBackend, "load_snapshot") and hasattr(
        journal.JournalRedisBackend, "load_snapshot"
    )
    from optuna.storages import _rdb

    for module in ("storage", "models"):
        source = inspect.getsource(__import__(f"{_rdb.__name__}.{module}", fromlist=["_"]))
        assert not re.search(r"\bpickle\b|PickleType", source), module


def test_nir_makes_no_other_classes_than_nodes() -> None:
    nir = pytest.importorskip("nir")
    for name in ("os", "dict2NIRNode", "__builtins__", "np", "NIRNode.__init__"):
        with pytest.raises((AssertionError, AttributeError)):
            nir.dict2NIRNode({"type": name})
