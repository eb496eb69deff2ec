"""benchmarks.devices: a network from samples to labels on emulated boards, and what it costs
there."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks import devices

import srnn
from srnn.data.encoders.speech import SpeechFeatures
from srnn.model.opening import open_trained
from srnn.nn.fixedpoint.integer import InputFormat
from srnn.training.runs import Run
from support.runs import make_run
from support.sounds import tone

LACKING = [text for one in devices.DEVICES.values() if (text := one.missing())]
MISSING = " ".join(dict.fromkeys(LACKING))
ABOUT = {"machine": {"commit": "0"}, "compilers": ["gcc"], "emulator": "qemu", "command": "x"}
LIBRARIES = "libnewlib-arm-none-eabi picolibc-riscv64-unknown-elf"


@pytest.mark.slow
@pytest.mark.skipif(
    bool(MISSING) or shutil.which("gcc") is None,
    reason=f"apt-get install gcc {MISSING} {LIBRARIES}",
)
def test_a_sound_network_on_every_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes are the same, and counts are those of the C; each platform has its own logarithm."""
    features = SpeechFeatures(rate=8000, normalise="training")
    tones = [tone(0.5, 8000, hz) / 32768 for hz in (300, 700, 1500)]
    known = features.fit([features.expand(features.frames(one)) for one in tones])
    options: Any = {"statistics": known, "inputs_as": InputFormat(16.0, whole=False)}
    run = make_run(tmp_path / "run", "--network.hidden=[8]", recipe="spoken-digits", **options)
    blocks = [tone(0.3, 8000, hz).reshape(-1, 80) for hz in (300, 1200)]
    golden = devices.Golden({"float32": blocks, "int8": blocks}, [0, 0], 8000)
    monkeypatch.setattr(devices, "recorded", lambda *_: golden)
    found = devices.measure("sound", Run.open(run).trained(), 2, None, tmp_path)
    for format, record in found["formats"].items():
        assert record["steps"] == 2 * 31
        constants = record["constants_bytes"]
        for device, on in record["devices"].items():
            front, network = on["instructions"]
            assert on["labels_that_differ"] == 0, (format, device)
            assert constants < on["flash_bytes"] < constants + 16_000
            assert 100 < on["stack_bytes"] < 2000
            # More than one for each sample and each weight.
            assert front > 5 * 8000 / 100 and network > 8 * 120
        soft, hard = (record["devices"][name] for name in ("Cortex-M0+", "Cortex-M4F"))
        # The front end is float32 in both formats.
        assert soft["instructions"][0] > 5 * hard["instructions"][0]
    page = devices.page({**ABOUT, "networks": [found]})
    assert all(name in page for name in (*devices.DEVICES, "sound, 120-8-10"))


def test_labels_are_those_of_whole_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a recording that is longer than most of training's."""
    model = srnn.load("spoken-digits")
    assert model.steps is not None
    word = np.load(srnn.example("spoken-digits")).ravel()
    sound = np.concatenate([word, np.zeros(80 * model.steps - len(word) % 80, np.float32)])[:, None]
    split = SimpleNamespace(load=lambda *_: SimpleNamespace(signals=[sound]))
    trained = open_trained(Path("spoken-digits"))
    monkeypatch.setattr("srnn.data.batches.Sequences", lambda *_: [0])
    monkeypatch.setattr(type(trained.recipe), "create_task", lambda _: split)
    golden = devices.recorded(trained, 1, None)
    assert [model.classes[label] for label in golden.labels] == [model.predict(sound).label]
    assert len(golden.blocks["int8"][0]) > model.steps


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler (gcc) on this machine")
def test_more_sequences_are_compared_on_this_machine(data_dir: Path) -> None:
    found = devices.labels("digits", open_trained(Path("digits")), 12, data_dir)
    assert found["right"]["python"] > 8
    assert found["as_in_python"]["float32"] == 12 and found["as_in_python"]["int8"] > 10
    assert found["int8_as_its_model"] == 12
    labels = {"networks": [found], "machine": {"commit": "1"}, "command": "python -m y"}
    page = devices.page({**ABOUT, "networks": [], "labels": labels})
    assert "python -m y" in page and "| digits | 12 |" in page
