"""Models and streams that are pickled, copied, and sent to other processes."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import srnn
from srnn.cli.main import main
from srnn.model.recipe import Recipe, TaskConfig
from srnn.model.trained import Trained
from support.pages import marked
from support.tiny import TinyTask

X = np.random.default_rng(0).standard_normal((600, 2)).cumsum(0) * 0.02
pytestmark = pytest.mark.filterwarnings("default")  # which says that this is unlike an ECG


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def test_another_process_needs_neither_the_file_nor_torch(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    file.write_bytes(srnn.load("ecg-records").file.read_bytes())  # type: ignore[union-attr]
    model = srnn.load(file)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "x.npy", X)
    scores = model.predict(X).scores
    file.unlink()
    code = (
        "import pickle, sys, numpy as np\n"
        "model = pickle.loads(open('model.pickle', 'rb').read())\n"
        "np.save('scores.npy', model.predict(np.load('x.npy')).scores)\n"
        "assert not {'torch', 'scipy.signal'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=tmp_path)
    assert np.array_equal(np.load(tmp_path / "scores.npy"), scores)
    assert len(pickle.dumps(model)) < 40_000  # the file's content, and not twice


def test_a_model_is_the_same_whatever_has_been_done_with_it() -> None:
    model = srnn.load("ecg-records")
    scores = model.predict(X).scores
    for use in ("nothing", "loss", "network", "stream"):
        if use == "stream":
            model.stream().push(X)
        getattr(model, use, None)
        for other in (again(model), copy.deepcopy(model), copy.copy(model)):
            assert type(other) is srnn.Model and other.classes == model.classes
            assert np.array_equal(other.predict(X).scores, scores), use
    other = copy.deepcopy(model)
    other.network.readout.bias.data += 1e3 * torch.arange(6)
    assert np.array_equal(model.predict(X).scores, scores)
    assert not np.array_equal(again(other).predict(X).scores, scores)


@pytest.mark.parametrize("kind", ["digits", "own", "trained"])
def test_models_of_other_kinds(kind: str) -> None:
    x = np.random.default_rng(1).random((64, 1))
    if kind == "digits":
        model: Any = srnn.load("digits")
    elif kind == "own":
        net = srnn.SRNN(1, [5], 3, norm="batch")
        model = srnn.from_network(net, "abc", about={"by": {"me": [1, None]}})
    else:
        task = TinyTask()
        net = srnn.SRNN(task.inputs, [4], task.outputs, norm="none")
        model, x = Trained(net, task, Recipe(TaskConfig(task.name))), np.ones((9, task.inputs))
    other = again(model)
    assert other.about == model.about and other.name == model.name
    if kind != "trained":
        assert np.array_equal(other.predict(x).scores, model.predict(x).scores)
        assert repr(other) == repr(model)


@pytest.mark.slow
def test_processes_that_are_spawned_predict_the_same() -> None:
    model = srnn.load("ecg-records")
    parts = [X[:200], X[100:500], X]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(model.predict, parts)
    for one, part in zip(found, parts, strict=True):
        assert np.array_equal(one.scores, model.predict(part).scores)


def test_a_stream_is_continued_by_its_copy() -> None:
    session = srnn.load("ecg-records").stream()
    for cut in (0, 1, 333):
        session.push(X[:cut])
        others = [again(session), copy.deepcopy(session)]
        ends = [[one.push(X[cut:]), one.finish()] for one in (session, *others)]
        for end in ends[1:]:
            for told, expected in zip(end, ends[0], strict=True):
                assert all(map(np.array_equal, told, expected))
        session.reset()


@pytest.mark.slow
@pytest.mark.parametrize("library", ["joblib", "dask"])
def test_the_programs_of_the_docs_run_in_two_processes(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(
        library, reason=f"{library} is not installed: docs/many.md's example of it is not run"
    )
    monkeypatch.chdir(tmp_path)
    Path("recordings").mkdir()
    for number in range(5):
        table = pd.DataFrame(X[100 * number :], columns=["ii", "v1"])
        table.to_csv(f"recordings/{number}.csv", index=False)
    Path("program.py").write_text(marked("many.md", library))
    subprocess.run([sys.executable, "-W", "ignore", "program.py"], check=True)
    found = pd.read_csv("labels.csv").round(6)
    assert main(["predict", "ecg-records", "recordings", "--out", "expected.csv"]) == 0
    pd.testing.assert_frame_equal(found, pd.read_csv("expected.csv"))
