"""In a notebook every figure appears, results are a line or a small table, and progress is one
output that is renewed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn.data.datasets import Split
from srnn.measure.analysis import Analysis
from srnn.progress import NotebookReporter, in_notebook, reporter_for
from srnn.training.evaluation import Evaluation

INLINE = """
import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.figure import Figure

matplotlib.interactive(True)  # as matplotlib_inline does when pyplot first asks for it
shown = []


def new_figure_manager(number, *given, FigureClass=Figure, **more):
    return new_figure_manager_given_figure(number, FigureClass(*given, **more))


def new_figure_manager_given_figure(number, figure):
    if matplotlib.is_interactive():  # else matplotlib_inline does not show it at the end of the cell
        shown.append(number)
    return FigureManagerBase(FigureCanvas(figure), number)


def show(*given, **more):
    pass
"""
"""The part of matplotlib's backend in notebooks by which a figure appears."""


@pytest.mark.slow
def test_every_figure_appears(tmp_path: Path) -> None:
    (tmp_path / "inline.py").write_text(INLINE)
    code = (
        "import srnn, torch\n"
        "result = srnn.SRNN(2, [3], 2, backend='reference').run(torch.rand(1, 9, 2), "
        "record=('u',))\n"
        "for _ in range(2): srnn.plot.membranes(result); srnn.plot.raster(result)\n"
        "import inline; print(inline.shown)"
    )
    environment = {
        "MPLBACKEND": "module://inline",
        "PYTHONPATH": str(tmp_path),
        "MPLCONFIGDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout == "[1, 2, 3, 4]\n", done.stderr


def test_results_are_short() -> None:
    net = srnn.SRNN(2, [64], 3, backend="reference")
    model = srnn.from_network(net, "abc", rate=50)
    x = np.random.default_rng(0).random((2, 300, 2), np.float32)
    session = model.stream()
    decisions = session.push(x[0])
    _, state = net(torch.as_tensor(x))
    report = {"task": "one", "split": "test", "n_sequences": 200, "accuracy": 0.5}
    evaluation = Evaluation(report, 1.0, np.ones((3, 3)), np.ones((200, 2)), None)
    results = [
        model, model.predict(x[0]), session, session.decoder, decisions, decisions._make(part[:0] for part in decisions),
        Split(x, np.zeros(2, np.int64)), state, evaluation, Analysis(evaluation, {}), model.energy(x), net.run(x),
    ]  # fmt: skip
    for one in results:
        assert len(repr(one)) < 300 and "\n" not in repr(one) and " at 0x" not in repr(one), repr(
            one
        )
    assert repr(session) == "Session(model: 300 samples read, 300 steps decided)"
    assert repr(decisions) == "Decisions(300 steps 0 to 299, 0 final)"
    assert "AdLIFState(u (2, 64)" in repr(state)
    assert {**model.energy(x)} == model.energy(x)
    assert json.loads(json.dumps(model.energy(x))) == model.energy(x)


def test_tables_show_names_as_text() -> None:
    net = srnn.SRNN(2, [3], 2, backend="reference")
    model = srnn.from_network(net, ["<script>", "b\x1b[2J"], name="<b>")
    x = np.random.default_rng(0).random((9, 2))
    per_step = srnn.from_network(net, ["<script>", "b"], loss="nll")
    for one in (model, model.predict(x), per_step.predict(x)):
        table = one._repr_html_()
        assert table.count("<tr>") >= 2 and "&lt;script&gt;" in table
        assert "<script>" not in table and "<b>" not in table and "\x1b" not in table
    assert "<td>" in model.energy(x[None])._repr_html_()


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A notebook's outputs: of each, what it has shown, in order."""
    made: list[list[str]] = []

    def display(data: dict[str, str], **options: Any) -> Any:
        assert options == {"raw": True, "display_id": True}
        texts = [data["text/plain"]]
        made.append(texts)
        return SimpleNamespace(update=lambda data, raw: texts.append(data["text/plain"]))

    python, shown = ModuleType("IPython"), ModuleType("IPython.display")
    python.get_ipython = lambda: SimpleNamespace(kernel=None)  # type: ignore[attr-defined]
    shown.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return made


@pytest.mark.slow
@pytest.mark.usefixtures("few_digits")
def test_training_is_one_output_of_a_few_lines(
    outputs: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    small = {"training.epochs": 4, "network.hidden": [4, 4], "network.backend": "reference"}
    for name in ("a", "b"):
        srnn.train("digits", tmp_path / name, small)
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""
    for texts in outputs:
        assert all(len(text.splitlines()) <= 16 for text in texts)
        assert texts[-1].startswith("data ") and texts[-1].splitlines()[-1].startswith("epoch ")
        assert "\n   1 " not in texts[-1] and any("validating" in text for text in texts)
    assert len(outputs) == 2


def test_only_a_notebook_is_one(outputs: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(reporter_for(json=False), NotebookReporter) and not outputs
    sys.modules["IPython"].get_ipython = lambda: SimpleNamespace()  # type: ignore[attr-defined]
    assert not in_notebook()  # IPython in a terminal
    sys.modules["IPython"].get_ipython = lambda: None  # type: ignore[attr-defined]
    assert not in_notebook()  # imported by a script
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()
