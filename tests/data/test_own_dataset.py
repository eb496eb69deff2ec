"""A data set of one's own is one file, that of docs/add-a-dataset.md: trained, streamed, exported
to C by the commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from srnn.cli.main import main
from srnn.data import tasks
from srnn.data.tasks import create_task, known_tasks, register
from srnn.deploy.streaming import Decoder
from srnn.errors import SrnnError
from srnn.training.runs import Run
from support.compiled import COMPILERS

PAGE = Path(__file__).parents[2] / "docs" / "add-a-dataset.md"
RECIPE = """
task: {name: taps, options: {threshold: 0.5}}
network:
  hidden: [6]
  neuron: {name: alif, tau_mem: 5, tau_adp: 20, threshold: 0.05}
  norm: none
  readout: {name: integrator, neuron: {name: integrator, tau_mem: 5}}
loss: {name: ce_mean}
training: {epochs: 1, batch_size: 8}
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of the page's file with its entry point, as pip would leave it; forgotten
    afterwards. Its data folder."""
    text = PAGE.read_text(encoding="utf-8")
    site, about = tmp_path / "site", tmp_path / "site" / "taps-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "taps.py").write_text(
        re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)[0], encoding="utf-8"
    )
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: taps\nVersion: 1.0\n")
    group, entry = re.findall(r'^\[project\.entry-points\."(.+)"\]\ntaps = "(\w+)"$', text, re.M)[0]
    (about / "entry_points.txt").write_text(f"[{group}]\ntaps = {entry}\n")
    known_tasks()
    monkeypatch.setattr(tasks, "_tasks", dict(tasks._tasks))
    monkeypatch.delitem(sys.modules, "taps", raising=False)
    monkeypatch.syspath_prepend(str(site))
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "taps"
    folder.mkdir(parents=True)
    for split, people in (("train", "aabbccdd" * 2), ("validation", "eeff")):
        y = np.arange(len(people)) % 3
        x = rng.normal(size=(len(people), 60)).cumsum(1) * (1 + y[:, None])
        np.savez(folder / f"{split}.npz", x=x, y=y, who=np.array(list(people)))
    yield folder.parent
    sys.modules.pop("taps", None)


def test_it_is_trained_streamed_and_exported(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taps.yaml").write_text(RECIPE)
    run, data = tmp_path / "run", ["--data-dir", str(installed)]
    assert (
        main(["train", str(tmp_path / "taps.yaml"), "--out", str(run), "--seed", "3", *data]) == 0
    )
    assert (
        json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["epoch"] == 1
    )  # 16 taps: two steps of 8
    task = create_task("taps", threshold=0.5)
    signal = np.random.default_rng(1).normal(size=(80, 1)).cumsum(0)
    steps = task.signal().whole(signal)
    assert steps.shape == (80, task.inputs) and 0.1 < steps.mean() < 0.9
    assert task.step_ms == task.signal().step_ms == 1.0 and task.signal().latency == 0

    # As it comes: the numbers of the whole, by the command and in blocks of any size.
    (tmp_path / "tap.csv").write_text("\n".join(f"{value!r}" for value in signal[:, 0].tolist()))
    capsys.readouterr()
    assert (
        main(
            [
                "stream",
                str(run),
                str(tmp_path / "tap.csv"),
                "--json",
                "--report",
                "step",
                "--segment",
                "0",
            ]
        )
        == 0
    )
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()][
        :-2
    ]  # the last one again, a summary
    decoder = Decoder.of(run, segment=0)
    session = decoder.open()
    scores = np.concatenate([session.push(signal[:7]).scores, session.push(signal[7:]).scores])
    trained = Run.open(run).trained()
    with torch.no_grad():
        output = trained.network(torch.from_numpy(steps)[None])[0][0].numpy()
    assert decoder.signal.what == "1 sensor at 1000 Hz"
    assert [row["class"] for row in told] == scores.argmax(-1).tolist() and len(told) == 80
    start = trained.loss.config.start
    np.testing.assert_allclose(scores[-1], output[start:].mean(0), atol=1e-5)

    # And on a device.
    out = tmp_path / "taps_c"
    assert main(["export", "c", str(run), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["encoder"]["std"] == [1.0]
    if not COMPILERS:
        pytest.skip("no C compiler (gcc, clang) on this machine")
    subprocess.run(["make", "-C", str(out), f"CC={COMPILERS[0]}"], check=True, capture_output=True)
    done = subprocess.run(
        [out / "run", "--scores", "--encode", "1"],
        input=(tmp_path / "tap.csv").read_text(),
        capture_output=True,
        text=True,
        check=True,
    )
    rows = np.array([line.split(",") for line in done.stdout.split()], float)
    np.testing.assert_allclose(rows, output, atol=1e-5)


def test_its_mistakes_are_one_line(installed: Path) -> None:
    for options, message in (
        ({"threshold": -1}, "'up' must be"),
        ({"treshold": 1}, "Did you mean 'threshold'"),
    ):
        with pytest.raises(SrnnError, match=message):
            create_task("taps", **options)
    with pytest.raises(SrnnError, match=r"test\.npz was not found: record taps first"):
        create_task("taps").load("test", installed)
    (installed / "taps" / "test.npz").write_bytes(b"PK")
    with pytest.raises(SrnnError, match=r"test\.npz"):
        create_task("taps").load("test", installed)


def test_a_name_is_one_tasks() -> None:
    known = known_tasks()["digits"]
    assert register(known) is known

    class Other(known):  # type: ignore[misc, valid-type]
        pass

    with pytest.raises(SrnnError, match="There are two tasks 'digits': DigitsTask and "):
        register(Other)
    assert known_tasks()["digits"] is known
