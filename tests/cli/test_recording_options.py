"""What a recording does not say, or says otherwise, is said in one way to every command that
measures on recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn.cli.main import main
from srnn.data.datasets.survey import say
from srnn.data.encoders.speech import Statistics
from srnn.data.signals import ScaledPath
from srnn.data.tasks import create_task
from srnn.deploy.live import describe
from srnn.deploy.streaming import Decoder

COMMANDS = ("evaluate", "energy", "report", "compress", "adapt", "evaluate two")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network of two named channels in m/s2 at 50 Hz."""
    statistics = Statistics(np.zeros(2, np.float32), np.full(2, 9.80665, np.float32))
    path = ScaledPath(2, 50, statistics, names=("ax", "ay"), units=("m/s2", "m/s2"))
    network = srnn.SRNN.paper(2, [4], 2, generator=torch.Generator().manual_seed(0))
    return srnn.from_network(network, ("still", "moving"), signal=path, steps=20).save(
        tmp_path / "m.safetensors"
    )


def recordings(folder: Path, head: str) -> Path:
    """Three recordings of each class, 40 samples of x and y in g."""
    rng = np.random.default_rng(0)
    for label in ("still", "moving"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            x = rng.normal(size=(40, 2)) * (label == "moving")
            np.savetxt(folder / label / f"{number}.csv", x, "%.6f", ",", header=head, comments="")
    return folder


def call(command: str, model: Path, folder: Path, *words: object) -> int:
    named = [str(model)]
    more = ["--out", str(folder / "adapted.safetensors")] if command == "adapt" else []
    if command == "evaluate two":
        other = model.with_name("other.safetensors")
        other.write_bytes(model.read_bytes())
        command, named = "evaluate", [*named, str(other)]
    return main([command, *named, *map(str, words), *more, "--json"])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.filterwarnings("ignore")
def test_names_and_rate_are_said_in_the_same_way(
    command: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = recordings(tmp_path / "own", "y (g),x (g)")
    said = ("--data", data, "--channels", "x,y", "--rate", "100")
    assert call(command, model, tmp_path, "--data", data) == 2
    assert (
        "has no ax, ay: its channels are y, x, and this network reads ax, ay."
        in capsys.readouterr().err
    )
    assert call(command, model, tmp_path, *said) == 0
    found = json.loads(capsys.readouterr().out)
    if command == "energy":
        assert found["input"]["steps_per_sequence"] == 20, "40 samples at 100 Hz are 20 at 50 Hz"
    assert call(command, model, tmp_path, "--channels", "x,y") == 2
    assert "are for recordings that --data names; remove them" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "report"])
@pytest.mark.filterwarnings("ignore")
def test_gaps_are_treated_as_is_said(
    command: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = recordings(tmp_path / "own", "ax (g),ay (g)")
    one = next(data.rglob("1.csv"))
    rows = one.read_text().splitlines()
    rows[5:8] = [",0.5"] * 3
    one.write_text("\n".join(rows))
    assert call(command, model, tmp_path, "--data", data) == 0
    for words in (("--missing", "refuse"), ("--longest-gap", 2)):
        capsys.readouterr()
        assert call(command, model, tmp_path, "--data", data, *words) == 2
        assert "1.csv" in capsys.readouterr().err


def test_arrays_are_converted_and_what_they_do_not_state_is_noted(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say.cache_clear()
    x = np.random.default_rng(0).normal(size=(6, 20, 2))
    known: dict[str, Any] = {"y": np.arange(6) % 2, "class_names": ["still", "moving"]}
    np.savez(tmp_path / "bare.npz", x=x, **known)
    told = "bare.npz: it does not state its names, units and rate: taken as ax, ay, in m/s2, 50 Hz"
    with pytest.warns(RuntimeWarning, match=told):
        assert main(["evaluate", str(model), "--data", str(tmp_path / "bare.npz"), "--json"]) == 0
    stated = {"channels": ["ay", "ax"], "units": ["g", "g"], "rate": 50}
    np.savez(tmp_path / "stated.npz", x=x[:, :, ::-1] / 9.80665, **known, **stated)
    assert main(["evaluate", str(model), "--data", str(tmp_path / "stated.npz"), "--json"]) == 0
    bare, found = map(json.loads, capsys.readouterr().out.splitlines())
    assert found["firing_rate"]["mean"] == pytest.approx(bare["firing_rate"]["mean"], rel=1e-3)
    np.savez(tmp_path / "wrong.npz", x=x, **known, **{**stated, "units": ["mV", "g"]})
    assert main(["evaluate", str(model), "--data", str(tmp_path / "wrong.npz"), "--json"]) == 2
    assert "channel ay is in mV, and this network reads it in m/s2" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_names_units_and_rate_are_in_the_file_the_page_the_header_and_the_service(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = "2 channels at 50 Hz (ax, ay in m/s2)"
    loaded = srnn.load(model)
    assert loaded.task.signal().what == known and known in repr(loaded)
    data = recordings(tmp_path / "own", "ay (g),ax (g)")
    assert main(["report", str(model), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"]["signal"] == known
    assert known in model.with_suffix(".html").read_text()
    loaded.export(tmp_path / "c", "c", name="net")
    assert ", of ax, ay in m/s2, " in (tmp_path / "c" / "net.h").read_text().replace("\n * ", " ")
    about = describe("m", Decoder.of(loaded))
    assert (about["names"], about["units"], about["rate"]) == (("ax", "ay"), ("m/s2", "m/s2"), 50)


def test_the_header_of_an_ecg_says_that_it_reads_millivolts(tmp_path: Path) -> None:
    task = create_task("ecg", source="records", scale="running")
    network = srnn.SRNN.paper(4, [4], 6, generator=torch.Generator().manual_seed(0))
    made = srnn.from_network(network, task.class_names, loss="nll", signal=task.signal())
    made.export(tmp_path / "c", "c", name="heart")
    text = (tmp_path / "c" / "heart.h").read_text().replace("\n * ", " ")
    assert "a step every 4 ms, of channels in mV, " in text
    again = srnn.load(made.save(tmp_path / "m.safetensors")).task.signal()
    assert again.units == ("mV", "mV") and again.what == "2 leads of ECG at 250 Hz (in mV)"
